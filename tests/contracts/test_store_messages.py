"""The store's contract: custody, claims and leases of messages."""

import asyncio
from typing import Any

import pytest

from contracts.store_samples import (
    PEER,
    T0,
    a_copy,
    a_lease,
    a_mail,
    a_settlement,
    accept_and_settle,
    after,
    an_opening_settlement,
    delivery_ids,
)
from supportrelay.core.delivery import MessageState
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.errors import TransientFailure
from supportrelay.core.ports import WhereFrom
from supportrelay.edge.store import SqliteStore


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(range(256)) * 16, id="every octet"),
        pytest.param(b"\0" * 262_144, id="the largest in the database"),
        pytest.param(b"x" * 262_145, id="the smallest in a file"),
        pytest.param(b"0123456789abcdef" * 200_000, id="3 MB"),
    ],
)
async def test_an_accepted_message_has_its_octets_back(store: SqliteStore, octets: bytes) -> None:
    await store.accept(a_mail("q1", octets=octets), None)

    assert await store.content("q1") == octets
    (claimed,) = await store.claim_messages(after(1), a_lease(), 10)
    assert claimed.accepted.octets == octets


async def test_an_accepted_message_has_its_envelope_back(store: SqliteStore) -> None:
    peer = Peer("2001:db8::1", "gw", Role.SUBMISSION, is_trusted=True, gateway="mx.gw.test", tls="TLSv1.3", user="ann")
    envelope = Envelope("", ("support@relay.test", "ünï@relay.test"), peer, is_smtputf8=True)
    await store.accept(a_mail("q1", envelope=envelope), None)

    (claimed,) = await store.claim_messages(after(1), a_lease(), 10)

    assert claimed.accepted.envelope == envelope
    assert claimed.accepted.accepted_at == T0
    assert claimed.tries == 1
    assert claimed.first_wait_at is None


async def test_text_that_no_database_takes_is_cleaned(store: SqliteStore) -> None:
    """RELIABILITY C40: NUL and lone surrogates."""
    mail = a_mail(
        "q1",
        subject="a\0b\udcff",
        message_id="<\0\ud800@x>",
        envelope=Envelope("a\udc80@x.example", ("s@relay.test",), Peer("192.0.2.1", "he\0lo")),
    )
    await store.accept(mail, a_lease())
    settlement = an_opening_settlement(
        "q1",
        decision={"a\0": ["\ud800", {"b": "c\0\\u0000"}]},
        customer="\udcff@x",
        where_from=WhereFrom(customer="\udcff@x", subject="\0subject", in_reply_to=("<\udcff>",)),
        fingerprint=(await store.gather(WhereFrom(customer="\udcff@x", subject="\0subject"))).fingerprint,
    )
    assert not (await store.settle(settlement)).conflict

    (life,) = await store.trace("q1")
    assert life["subject"] == "a\ufffdb\ufffd"
    assert life["decision"] == {"a\ufffd": ["\ufffd", {"b": "c\ufffd\\u0000"}]}


async def test_a_queue_id_is_accepted_once(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), None)

    with pytest.raises(TransientFailure):
        await store.accept(a_mail("q1"), None)
    assert len(await store.claim_messages(after(1), a_lease(), 10)) == 1


async def test_nobody_claims_what_its_acceptor_holds_until_the_lease_runs_out(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), a_lease(until=30))

    assert await store.claim_messages(after(29), a_lease("here:2:b"), 10) == []
    assert len(await store.claim_messages(after(30), a_lease("here:2:b", until=60), 10)) == 1
    assert await store.claim_messages(after(31), a_lease("here:3:c"), 10) == []


async def test_messages_are_claimed_oldest_first_and_no_more_than_asked_for(store: SqliteStore) -> None:
    for number in (3, 1, 2):
        await store.accept(a_mail(f"q{number}", at=number), None)

    first = await store.claim_messages(after(10), a_lease(), 2)
    rest = await store.claim_messages(after(10), a_lease(), 2)

    assert [c.accepted.queue_id for c in first] == ["q1", "q2"]
    assert [c.accepted.queue_id for c in rest] == ["q3"]


async def test_each_claim_counts_as_one_more_try_but_handing_back_does_not(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), None)
    tries = []
    for number in range(3):
        (claimed,) = await store.claim_messages(after(number * 100), a_lease(until=number * 100 + 30), 1)
        tries.append(claimed.tries)
    await store.release(a_lease().holder, after(210))
    (claimed,) = await store.claim_messages(after(211), a_lease(until=240), 1)

    assert tries == [1, 2, 3]
    assert claimed.tries == 3


async def test_of_the_messages_whose_try_had_no_end_one_is_taken_at_a_time(store: SqliteStore) -> None:
    """RELIABILITY F05: what kills its worker shall kill no other try then."""
    for number in (1, 2, 3):
        await store.accept(a_mail(f"q{number}", at=number), a_lease(until=10))
    await store.accept(a_mail("q4", at=4), None)

    nobody = await store.claim_messages(after(20), a_lease(until=50), 10, suspects=0)
    claims = [await store.claim_messages(after(20), a_lease(until=50), 10) for _ in range(3)]

    assert [(m.accepted.queue_id, m.is_suspect) for m in nobody] == [("q4", False)]
    assert [[(m.accepted.queue_id, m.is_suspect) for m in claim] for claim in claims] == [
        [("q1", True)],
        [("q2", True)],
        [("q3", True)],
    ]


async def test_a_settled_message_is_not_claimed_again(store: SqliteStore) -> None:
    await accept_and_settle(store, an_opening_settlement("q1"))

    assert await store.claim_messages(after(1000), a_lease(), 10) == []


async def test_a_settlement_without_the_lease_is_a_conflict_and_writes_nothing(store: SqliteStore) -> None:
    """RELIABILITY F16, F17: whoever slept too long finds another holder."""
    await store.accept(a_mail("q1"), a_lease(until=10))
    await store.claim_messages(after(11), a_lease("here:2:b", until=40), 1)

    settled = await store.settle(an_opening_settlement("q1"))

    assert settled.conflict == "lease"
    assert await store.tickets_list() == []
    assert not (await store.settle(an_opening_settlement("q1", lease=a_lease("here:2:b")))).conflict
    assert (await store.settle(an_opening_settlement("q1", lease=a_lease("here:2:b")))).conflict == "lease"


async def test_a_waiting_message_is_due_at_its_time_and_remembers_since_when_it_waits(store: SqliteStore) -> None:
    await accept_and_settle(
        store, a_settlement("q1", state=MessageState.WAITING, deliveries=(), due_at=after(15), copy_plan=None)
    )
    assert await store.claim_messages(after(14), a_lease(), 1) == []
    (claimed,) = await store.claim_messages(after(15), a_lease(until=45), 1)
    assert claimed.first_wait_at == after(1)
    assert claimed.tries == 1

    again = a_settlement("q1", now=16, state=MessageState.WAITING, deliveries=(), due_at=after(20))
    assert not (await store.settle(again)).conflict
    (claimed,) = await store.claim_messages(after(20), a_lease(until=60), 1)
    assert claimed.first_wait_at == after(1)


async def test_a_message_that_waits_is_no_duplicate_of_itself(store: SqliteStore) -> None:
    where_from = WhereFrom(duplicate_key="k1")
    known: dict[str, Any] = {"where_from": where_from, "fingerprint": (await store.gather(where_from)).fingerprint}
    await accept_and_settle(
        store, a_settlement("q1", state=MessageState.WAITING, deliveries=(), due_at=after(5), **known)
    )

    assert (await store.gather(where_from)).duplicate_of == ""


async def test_renewing_prolongs_and_says_when_something_is_held_no_more(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), a_lease(until=10))
    settled = await accept_and_settle(store, an_opening_settlement("q2"))
    (delivery_id,) = delivery_ids(settled)

    assert await store.renew(after(5), a_lease(until=60), ["q1"], [delivery_id])
    assert await store.claim_messages(after(59), a_lease("here:2:b"), 10) == []
    assert await store.claim_deliveries(after(59), a_lease("here:2:b"), 10) == []

    await store.claim_messages(after(60), a_lease("here:2:b", until=90), 10)
    assert not await store.renew(after(61), a_lease(until=120), ["q1"], [delivery_id])
    assert await store.renew(after(61), a_lease(until=120), [], [delivery_id])
    assert not await store.renew(after(61), a_lease(until=120), ["no such"], [])


async def test_releasing_makes_everything_of_this_holder_due_and_nothing_else(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), a_lease("here:1:a"))
    await store.accept(a_mail("q2"), a_lease("here:1:ab"))
    await accept_and_settle(store, an_opening_settlement("q3", lease=a_lease("here:1:a")))

    await store.release("here:1:a", after(2))

    messages = await store.claim_messages(after(2), a_lease("here:2:b"), 10)
    deliveries = await store.claim_deliveries(after(2), a_lease("here:2:b"), 10)
    assert [m.accepted.queue_id for m in messages] == ["q1"]
    assert [(d.queue_id, d.attempt) for d in deliveries] == [("q3", 2)]


async def test_a_starting_instance_takes_back_what_its_earlier_life_held(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), a_lease("here:1:a"))
    await store.accept(a_mail("q2"), a_lease("hereafter:1:a"))
    await accept_and_settle(store, an_opening_settlement("q3", lease=a_lease("here:2:b")))

    assert await store.take_back("here", after(2)) == 2

    messages = await store.claim_messages(after(2), a_lease("here:1:c"), 10)
    assert [(m.accepted.queue_id, m.tries) for m in messages] == [("q1", 2)]
    assert len(await store.claim_deliveries(after(2), a_lease("here:1:c"), 10)) == 1


async def test_a_held_message_is_left_alone_until_a_person_releases_it(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), a_lease())
    await store.hold_message("q1", "station_broke", after(1))
    assert await store.claim_messages(after(1000), a_lease(), 10) == []
    assert [m["state"] for m in await store.queue_list()] == ["held"]

    await store.queue_release("q1", "person:kim", after(1001))

    (claimed,) = await store.claim_messages(after(1001), a_lease(until=1030), 10)
    assert claimed.released_by == "person:kim"
    assert claimed.tries == 1


async def test_a_released_message_is_no_duplicate_of_itself(store: SqliteStore) -> None:
    where_from = WhereFrom(duplicate_key="k1")
    fingerprint = (await store.gather(where_from)).fingerprint
    held = a_settlement(
        "q1",
        state=MessageState.HELD,
        deliveries=(),
        copy_plan=None,
        decision={},
        where_from=where_from,
        fingerprint=fingerprint,
    )
    await accept_and_settle(store, held)
    assert (await store.gather(where_from)).duplicate_of == "q1"

    await store.queue_release("q1", "person:kim", after(5))

    assert (await store.gather(where_from)).duplicate_of == ""


async def test_releasing_a_mail_whose_decision_named_recipients_sends_it_to_them(store: SqliteStore) -> None:
    await accept_and_settle(store, an_opening_settlement("q1", state=MessageState.HELD, deliveries=()))

    await store.queue_release("q1", "person:kim", after(5))

    (delivery,) = await store.claim_deliveries(after(5), a_lease(until=40), 10)
    assert delivery.recipient == "mori@relay.test"
    assert await store.claim_messages(after(1000), a_lease(), 10) == []


async def test_content_of_an_unknown_message_is_a_key_error(store: SqliteStore) -> None:
    with pytest.raises(KeyError):
        await store.content("no such")


async def test_a_cancelled_accept_is_committed_all_the_same(store: SqliteStore) -> None:
    """aiosmtpd cancels its handler when the client goes away (RELIABILITY, finding 2)."""
    task = asyncio.ensure_future(store.accept(a_mail("q1"), None))
    other = asyncio.ensure_future(store.accept(a_mail("q2"), None))
    await asyncio.sleep(0)
    task.cancel()
    await other

    claimed = await store.claim_messages(after(1), a_lease(), 10)
    assert {c.accepted.queue_id for c in claimed} == {"q1", "q2"}


async def test_the_first_signing_key_is_made_once_and_kept(store: SqliteStore) -> None:
    keys, again = await asyncio.gather(store.signing_keys(), store.signing_keys())

    assert keys == again == await store.signing_keys()
    assert len(keys[0].secret) == 32


async def test_work_left_counts_due_and_running_work_only(store: SqliteStore) -> None:
    assert await store.work_left(after(0)) == {}
    await store.accept(a_mail("q1"), a_lease())
    await store.accept(a_mail("q2"), None)
    await accept_and_settle(store, an_opening_settlement("q3", deliveries=(a_copy(), a_copy("b@x", due_at=after(99)))))

    assert await store.work_left(after(2)) == {"messages_due": 1, "messages_running": 1, "deliveries_running": 1}
    assert (await store.work_left(after(99)))["deliveries_due"] == 1


async def test_many_messages_accepted_at_once_share_commits(store: SqliteStore) -> None:
    before = store.commits

    await asyncio.gather(
        *(store.accept(a_mail(f"q{n}", envelope=Envelope("", ("s@x",), PEER)), None) for n in range(200))
    )

    assert store.commits - before < 20
    assert len(await store.claim_messages(after(1), a_lease(), 1000)) == 200


async def test_one_command_that_fails_does_not_hurt_those_it_shares_a_commit_with(store: SqliteStore) -> None:
    await store.accept(a_mail("q1"), None)

    answers = await asyncio.gather(
        store.accept(a_mail("q2"), None),
        store.accept(a_mail("q1"), None),
        store.accept(a_mail("q3"), None),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [type(None), TransientFailure, type(None)]
    assert len(await store.claim_messages(after(1), a_lease(), 10)) == 3
