"""The store's contract: finding and opening tickets, duplicates."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from contracts.store_samples import (
    OWNER,
    a_copy,
    a_join,
    a_lease,
    a_mail,
    a_settlement,
    accept_and_settle,
    after,
    an_end,
    an_opening,
    an_opening_settlement,
    delivery_ids,
    from_ids,
    number_of,
)
from supportrelay.core.delivery import DeliveryState, MessageState
from supportrelay.core.errors import InputError
from supportrelay.core.ports import Change, KnownId, Settled, WhereFrom
from supportrelay.core.ticket import HitBy, Stage
from supportrelay.edge.store import SqliteStore


async def hits(store: SqliteStore, where_from: WhereFrom) -> list[tuple[HitBy, int]]:
    return [(hit.by, hit.ticket.id) for hit in (await store.gather(where_from)).hits]


async def test_a_new_ticket_is_seen_as_it_was_opened(store: SqliteStore) -> None:
    settled = await accept_and_settle(
        store, an_opening_settlement("q1", participants=("ann@acme.example", "bob@acme.example"), has_cc_support=True)
    )

    (hit,) = (await store.gather(from_ids("<q1@acme.example>"))).hits

    view = hit.ticket
    assert (hit.by, hit.is_anchor) == (HitBy.IN_REPLY_TO, False)
    assert (view.id, view.conversation_id) == (settled.ticket_id, settled.conversation_id)
    assert (view.stage, view.customer, view.subject) == (Stage.NEW, "ann@acme.example", "printer on fire")
    assert (view.company_name, view.deal_id) == ("Acme", "D1")
    assert view.participants == {"ann@acme.example", "bob@acme.example"}
    assert view.last_customer_mail_at == after(1)
    assert view.last_customer_message_ids == ("<q1@acme.example>",)
    assert view.last_had_support_in_cc
    assert view.moved_by_person_at is None
    assert view.created_at == view.updated_at == after(1)


async def test_joining_changes_the_ticket_and_its_version(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1"))
    joined = await accept_and_settle(
        store,
        a_settlement(
            "q2",
            now=5,
            change=a_join(opened, stage=Stage.CLOSED, owners=("new@relay.test",), deal_id="D9", deal_name="Next"),
            participants=("carl@acme.example",),
            is_inbound=False,
        ),
    )

    (hit,) = (await store.gather(from_ids("<q2@acme.example>"))).hits

    assert (joined.ticket_id, joined.conversation_id) == (opened.ticket_id, opened.conversation_id)
    assert hit.ticket.version == 2
    assert (hit.ticket.stage, hit.ticket.closed_at) == (Stage.CLOSED, after(5))
    assert (hit.ticket.deal_id, hit.ticket.deal_name, hit.ticket.company_id) == ("D9", "Next", "C1")
    assert hit.ticket.participants == {"ann@acme.example", "carl@acme.example"}
    assert hit.ticket.last_customer_mail_at == after(1)


async def test_a_reopened_ticket_is_not_closed_any_more(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1", opening=an_opening(stage=Stage.CLOSED)))
    await accept_and_settle(store, a_settlement("q2", change=a_join(opened, stage=Stage.NEW)))

    (hit,) = (await store.gather(from_ids("<q1@acme.example>"))).hits

    assert (hit.ticket.stage, hit.ticket.closed_at) == (Stage.NEW, None)


async def test_the_newest_fifty_mails_of_the_customer_are_known(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q0"))
    for number in range(1, 60):
        await accept_and_settle(store, a_settlement(f"q{number}", now=number, change=a_join(opened), deliveries=()))

    (hit,) = (await store.gather(from_ids("<q0@acme.example>"))).hits

    assert len(hit.ticket.last_customer_message_ids) == 50
    assert hit.ticket.last_customer_message_ids[0] == "<q59@acme.example>"


async def test_hits_come_in_the_order_of_their_strength(store: SqliteStore) -> None:
    numbers = {}
    for name, known in (
        ("token", {"opening": an_opening(customer="z@z.example")}),
        ("irt", {"opening": an_opening(customer="z@z.example")}),
        ("left", {"opening": an_opening(customer="z@z.example")}),
        ("right", {"opening": an_opening(customer="z@z.example")}),
        ("root", {"opening": an_opening(customer="z@z.example"), "thread_index": b"\x01" * 22}),
        ("subject", {}),
    ):
        settled = await accept_and_settle(store, an_opening_settlement(name, **known))
        numbers[name] = settled.ticket_id
    where_from = WhereFrom(
        in_reply_to=("<irt@acme.example>",),
        references=("<right@acme.example>", "<unknown@x>", "<left@acme.example>", "<irt@acme.example>"),
        thread_index=b"\x01" * 22,
        token_ticket=numbers["token"],
        customer="ann@acme.example",
        subject="printer on fire",
        subject_since=after(-100),
        address="support",
    )

    assert await hits(store, where_from) == [
        (HitBy.TOKEN, numbers["token"]),
        (HitBy.IN_REPLY_TO, numbers["irt"]),
        (HitBy.REFERENCES, numbers["right"]),
        (HitBy.REFERENCES, numbers["left"]),
        (HitBy.THREAD_INDEX, numbers["root"]),
        (HitBy.SUBJECT, numbers["subject"]),
    ]


async def test_open_tickets_come_before_closed_ones_of_the_same_id(store: SqliteStore) -> None:
    anchor = (KnownId("<elsewhere@x>", "anchor"),)
    one = await accept_and_settle(store, an_opening_settlement("q1", ids=anchor))
    other = await accept_and_settle(store, an_opening_settlement("q2", ids=anchor, opening=an_opening(stage="CLOSED")))

    assert await hits(store, from_ids("<elsewhere@x>")) == [
        (HitBy.IN_REPLY_TO, one.ticket_id),
        (HitBy.IN_REPLY_TO, other.ticket_id),
    ]


async def test_an_anchor_becomes_seen_when_its_own_mail_is_stored(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q2", ids=(KnownId("<q1@acme.example>", "anchor"),)))
    (hit,) = (await store.gather(from_ids("<q1@acme.example>"))).hits
    assert hit.is_anchor

    await accept_and_settle(store, a_settlement("q1", change=a_join(opened)))

    (hit,) = (await store.gather(from_ids("<q1@acme.example>"))).hits
    assert not hit.is_anchor


async def test_a_generated_id_is_not_made_less_by_being_named(store: SqliteStore) -> None:
    opened = await accept_and_settle(
        store, an_opening_settlement("q1", ids=(KnownId("<ours@relay.test>", "generated"),))
    )
    named = (KnownId("<ours@relay.test>", "anchor"),)
    await accept_and_settle(store, a_settlement("q2", change=a_join(opened), ids=named))

    (hit,) = (await store.gather(from_ids("<ours@relay.test>"))).hits
    assert not hit.is_anchor


async def test_a_mail_whose_answer_was_faster_finds_the_ticket_of_the_answer(store: SqliteStore) -> None:
    """The answer named it: its own id is an anchor there. A seen id is a sender that uses one id for many mails."""
    opened = await accept_and_settle(store, an_opening_settlement("q2", ids=(KnownId("<q1@acme.example>", "anchor"),)))

    assert await hits(store, WhereFrom(message_id="<q1@acme.example>")) == [(HitBy.REFERENCES, opened.ticket_id)]
    assert await hits(store, WhereFrom(message_id="<q2@acme.example>")) == [(HitBy.SAME_ID, opened.ticket_id)]


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        pytest.param({"customer": "bob@acme.example"}, {}, id="another customer"),
        pytest.param({"stage": Stage.CLOSED}, {}, id="closed"),
        pytest.param({"subject_key": "another subject"}, {}, id="another subject"),
        pytest.param({"address": "sales"}, {}, id="another address"),
        pytest.param({}, {"subject_since": after(100)}, id="too old"),
        pytest.param({}, {"subject": ""}, id="no subject to look for"),
    ],
)
async def test_the_subject_step_finds_nothing_of(
    store: SqliteStore, known: dict[str, Any], asked: dict[str, Any]
) -> None:
    await accept_and_settle(store, an_opening_settlement("q1", opening=an_opening(**known)))
    usual: dict[str, Any] = {"customer": "ann@acme.example", "subject": "printer on fire", "subject_since": after(0)}

    assert await hits(store, WhereFrom(**(usual | {"address": "support"} | asked))) == []


async def test_any_open_ticket_of_the_customer_is_found_when_asked_for(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1"))
    await accept_and_settle(store, an_opening_settlement("q2", opening=an_opening(stage=Stage.CLOSED)))

    where_from = WhereFrom(customer="ann@acme.example", any_of_customer=True, address="support")
    assert await hits(store, where_from) == [(HitBy.CUSTOMER, opened.ticket_id)]


async def test_a_decision_on_old_ground_is_a_conflict_and_writes_nothing(store: SqliteStore) -> None:
    where_from = from_ids("<q1@acme.example>")
    await store.accept(a_mail("q2"), a_lease())
    gathered = await store.gather(where_from)
    await accept_and_settle(store, an_opening_settlement("q1"))

    late = an_opening_settlement("q2", where_from=where_from, fingerprint=gathered.fingerprint)

    assert (await store.settle(late)).conflict == "changed"
    assert len(await store.tickets_list()) == 1
    again = a_settlement(
        "q2", where_from=where_from, fingerprint=(await store.gather(where_from)).fingerprint, opening=an_opening()
    )
    assert not (await store.settle(again)).conflict


async def test_a_person_who_moves_a_ticket_changes_the_ground_of_a_decision(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1"))
    where_from = from_ids("<q1@acme.example>")
    before = await store.gather(where_from)
    await store.ticket_move(number_of(opened), "対応中", "person:kim", after(5))

    gathered = await store.gather(where_from)

    assert gathered.fingerprint != before.fingerprint
    assert gathered.hits[0].ticket.stage == Stage.WAITING
    assert gathered.hits[0].ticket.moved_by_person_at == after(5)


async def test_the_same_mail_is_known_with_its_ticket_and_who_has_it(store: SqliteStore) -> None:
    where_from = WhereFrom(duplicate_key="k1")
    nothing = (await store.gather(where_from)).fingerprint
    first = await accept_and_settle(
        store, an_opening_settlement("q1", where_from=where_from, fingerprint=nothing, deliveries=(a_copy("A@x.test"),))
    )
    gathered = await store.gather(where_from)
    assert (gathered.duplicate_of, gathered.duplicate_ticket) == ("q1", first.ticket_id)
    assert gathered.duplicate_has == {"a@x.test"}

    second = a_settlement(
        "q2",
        first_arrival="q1",
        where_from=where_from,
        fingerprint=gathered.fingerprint,
        deliveries=(a_copy("b@x.test"),),
    )
    settled = await accept_and_settle(store, second)

    gathered = await store.gather(where_from)
    assert settled.ticket_id == first.ticket_id
    assert gathered.duplicate_of == "q1"
    assert gathered.duplicate_has == {"a@x.test", "b@x.test"}
    (ticket,) = await store.tickets_list()
    assert ticket["messages"] == 1


async def test_who_could_not_be_reached_does_not_have_it(store: SqliteStore) -> None:
    where_from = WhereFrom(duplicate_key="k1")
    fingerprint = (await store.gather(where_from)).fingerprint
    settled = await accept_and_settle(
        store, an_opening_settlement("q1", where_from=where_from, fingerprint=fingerprint)
    )
    await store.report(an_end(delivery_ids(settled)[0], "q1", DeliveryState.FAILED))

    assert (await store.gather(where_from)).duplicate_has == frozenset()


async def test_changes_of_a_settlement_know_their_ticket_and_delivery(store: SqliteStore) -> None:
    settled = await accept_and_settle(
        store,
        an_opening_settlement(
            "q1",
            changes=(
                Change("ticket.opened", "mail:ann@acme.example", {"to": "NEW"}),
                Change("delivery.begun", "relay", {"recipient": "mori@relay.test"}),
                Change("message.decided", "relay"),
            ),
        ),
    )

    changes = {change["what"]: change for change in (await store.queue_show("q1"))["changes"]}
    assert list(changes) == ["message.accepted", "ticket.opened", "delivery.begun", "message.decided"]
    assert changes["ticket.opened"]["ticket"] == f"SR-{settled.ticket_id}"
    assert changes["delivery.begun"]["delivery_id"] == delivery_ids(settled)[0]
    assert changes["message.decided"]["ticket"] is None


async def test_merging_brings_conversations_and_later_mail_to_the_target(store: SqliteStore) -> None:
    source = await accept_and_settle(store, an_opening_settlement("q1", opening=an_opening(subject_key="other words")))
    target = await accept_and_settle(
        store,
        an_opening_settlement("q2", opening=an_opening(customer="bob@acme.example"), participants=("bob@x",)),
        mail=a_mail("q2", at=1),
    )
    await store.tickets_merge(number_of(source), f"SR-{target.ticket_id}", "person:kim", after(9))

    (by_id,) = (await store.gather(from_ids("<q1@acme.example>"))).hits
    by_token = await hits(store, WhereFrom(token_ticket=source.ticket_id))
    subject = WhereFrom(customer="ann@acme.example", subject="other words", subject_since=after(0), address="support")
    assert by_id.ticket.id == target.ticket_id
    assert by_id.ticket.conversation_id == source.conversation_id
    assert by_id.ticket.subject == "other words"
    assert by_id.ticket.participants == {"ann@acme.example", "bob@x"}
    assert by_token == [(HitBy.TOKEN, target.ticket_id)]
    assert await hits(store, subject) == [(HitBy.SUBJECT, target.ticket_id)]

    joined = await accept_and_settle(store, a_settlement("q3", now=10, change=a_join(source)), mail=a_mail("q3", at=9))
    assert joined.ticket_id == target.ticket_id
    shown = await store.ticket_show(target.ticket_id)
    assert [m["queue_id"] for m in shown["messages_list"]] == ["q1", "q2", "q3"]
    assert len(shown["conversations"]) == 2
    assert shown["merged"] == [f"SR-{source.ticket_id}"]
    assert [t["id"] for t in await store.tickets_list()] == [f"SR-{target.ticket_id}"]
    assert len(await store.tickets_list(merged=True)) == 2


async def test_merges_never_become_chains_and_refuse_nonsense(store: SqliteStore) -> None:
    numbers = [number_of(await accept_and_settle(store, an_opening_settlement(f"q{n}"))) for n in range(30)]
    for number, following in pairwise(numbers):
        await store.tickets_merge(number, following, "person:kim", after(9))

    assert await hits(store, WhereFrom(token_ticket=numbers[0])) == [(HitBy.TOKEN, numbers[-1])]
    for source, target in ((numbers[-1], numbers[-1]), (numbers[0], numbers[-1]), (numbers[-1], 999), ("x", 1)):
        with pytest.raises(InputError):
            await store.tickets_merge(source, target, "person:kim", after(9))


async def test_tickets_are_listed_in_the_shape_of_the_contract(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    await accept_and_settle(store, an_opening_settlement("q2", now=5, opening=an_opening(stage="WAITING", customer="")))

    newest, ticket = await store.tickets_list()

    assert ticket == {
        "id": f"SR-{settled.ticket_id}",
        "stage": "NEW",
        "subject": "Printer on fire",
        "customer": "ann@acme.example",
        "company": "Acme",
        "company_id": "C1",
        "deal": "Rollout",
        "deal_id": "D1",
        "owners": ["mori@relay.test"],
        "address": "support",
        "external_id": None,
        "messages": 1,
        "created_at": "2026-03-02T09:00:01.000Z",
        "updated_at": "2026-03-02T09:00:01.000Z",
        "closed_at": None,
        "priority": None,
        "merged_into": None,
        "related": None,
        "trashed_at": None,
    }
    assert newest["customer"] is None
    assert await store.tickets_list(stage="対応中") == [newest]
    assert await store.tickets_list(customer="Ann@ACME.example") == [ticket]
    assert await store.tickets_list(limit=1) == [newest]


async def test_a_moved_ticket_tells_its_history(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))

    moved = await store.ticket_move(f"sr-{settled.ticket_id}", "CLOSED", "person:kim", after(60))

    assert (moved["stage"], moved["closed_at"]) == ("CLOSED", "2026-03-02T09:01:00.000Z")
    assert [(c["what"], c["who"]) for c in moved["history"]] == [
        ("message.accepted", "relay"),
        ("ticket.opened", "mail:ann@acme.example"),
        ("ticket.moved", "person:kim"),
    ]
    assert moved["history"][-1]["why"] == {"from": "NEW", "to": "CLOSED"}
    with pytest.raises(InputError, match="SR-77"):
        await store.ticket_show(77)


async def test_a_removed_probe_leaves_no_ticket(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1", thread_index=b"r" * 22))
    kept = await accept_and_settle(store, an_opening_settlement("q2"))
    await accept_and_settle(store, a_settlement("q3", change=a_join(kept)))

    assert await store.remove_probe("q1", "person:kim", after(9)) == settled.ticket_id
    assert await store.remove_probe("q3", "person:kim", after(9)) is None

    assert [t["id"] for t in await store.tickets_list()] == [f"SR-{kept.ticket_id}"]
    assert await hits(store, from_ids("<q1@acme.example>")) == []
    (life,) = await store.trace("q1")
    assert life["ticket"] is None
    assert life["changes"][-1]["what"] == "probe.removed"


async def test_a_new_ticket_never_takes_the_number_of_a_removed_one(store: SqliteStore) -> None:
    first = await accept_and_settle(store, an_opening_settlement("q1"))
    await store.remove_probe("q1", "person:kim", after(9))
    second = await accept_and_settle(store, an_opening_settlement("q2"))

    assert number_of(second) > number_of(first)
    assert delivery_ids(second)[0] > delivery_ids(first)[0]


async def test_a_filed_message_without_ticket_is_only_in_the_trace(store: SqliteStore) -> None:
    await accept_and_settle(store, a_settlement("q1", state=MessageState.FILED, deliveries=(), copy_plan=None))

    assert await store.queue_list() == []
    assert [m["state"] for m in await store.queue_list(finished=True)] == ["filed"]
    assert (await store.trace("<q1@acme.example>"))[0]["queue_id"] == "q1"


async def test_a_hit_says_that_the_thread_names_the_very_mail(store: SqliteStore) -> None:
    """An answer was faster than the mail it answers; other anchors say nothing of that kind."""
    known = (KnownId("<q1@acme.example>", "anchor"), KnownId("<elsewhere@x>", "anchor"))
    await accept_and_settle(store, an_opening_settlement("q2", ids=(*known, KnownId("<q2@acme.example>", "seen"))))

    gathered = await store.gather(from_ids("<q2@acme.example>", message_id="<q1@acme.example>"))
    assert [(h.by, h.is_anchor, h.names_it) for h in gathered.hits] == [
        (HitBy.IN_REPLY_TO, False, False),
        (HitBy.REFERENCES, True, True),
    ]
    both = WhereFrom(references=("<q2@acme.example>",), message_id="<q1@acme.example>")
    assert [h.names_it for h in (await store.gather(both)).hits] == [False, True]
    assert not any(h.names_it for h in (await store.gather(from_ids("<elsewhere@x>", message_id="<q9@x>"))).hits)


async def test_a_mail_that_it_answers_comes_first(store: SqliteStore) -> None:
    await store.accept(a_mail("first"), a_lease())
    answer = WhereFrom(in_reply_to=("<first@acme.example>",), accepted_at=after(5))
    named = WhereFrom(references=("<other@acme.example>", "<first@acme.example>"), accepted_at=after(5))
    older = WhereFrom(in_reply_to=("<first@acme.example>",), accepted_at=after(-5))

    assert (await store.gather(answer)).undecided == "first"
    assert (await store.gather(named)).undecided == "first"
    assert not (await store.gather(older)).undecided, "a mail accepted later waits for this one"

    await store.settle(an_opening_settlement("first"))
    assert not (await store.gather(answer)).undecided, "it is decided"


# --- the same mail by a way that proves more, and a mail sent twice


async def _unproven_then(store: SqliteStore, *, other_mail: bool) -> tuple[Settled, Settled, Settled]:
    """A customer's ticket, a colleague's unproven answer with a ticket of its own, and the same one proven."""
    key = WhereFrom(duplicate_key="k1")
    first = await accept_and_settle(store, an_opening_settlement("q1"))
    unproven = await accept_and_settle(
        store,
        an_opening_settlement(
            "q2",
            direction="unproven",
            is_inbound=False,
            where_from=key,
            fingerprint=(await store.gather(key)).fingerprint,
            opening=an_opening(customer="", customer_domain=""),
        ),
    )
    if other_mail:
        await accept_and_settle(store, a_settlement("q3", change=a_join(unproven)))
    found = await store.gather(key)
    assert (found.duplicate_of, found.duplicate_unproven) == ("q2", True)
    proven = a_settlement(
        "q4",
        direction="outbound",
        is_inbound=False,
        where_from=key,
        fingerprint=found.fingerprint,
        change=a_join(first, stage=Stage.CLOSED),
        takes_over="q2",
    )
    return first, unproven, await accept_and_settle(store, proven)


async def test_a_proven_arrival_takes_the_place_of_the_unproven_one_and_its_ticket(store: SqliteStore) -> None:
    first, unproven, proven = await _unproven_then(store, other_mail=False)

    assert proven.ticket_id == first.ticket_id
    ticket = await store.ticket_show(number_of(first))
    assert (ticket["stage"], ticket["messages"]) == ("CLOSED", 2), "the unproven one is a further arrival"
    assert (await store.ticket_show(number_of(unproven)))["merged_into"] == ticket["id"]
    again = await store.gather(WhereFrom(duplicate_key="k1"))
    assert (again.duplicate_of, again.duplicate_unproven, again.duplicate_has) == ("q4", False, frozenset({OWNER}))


async def test_a_ticket_that_others_write_on_is_not_taken_along(store: SqliteStore) -> None:
    _, unproven, _ = await _unproven_then(store, other_mail=True)

    left = await store.ticket_show(number_of(unproven))
    assert (left["merged_into"], left["messages"]) == (None, 1)


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [
        pytest.param({}, True, id="some-minutes-ago"),
        pytest.param({"again_since": after(1)}, False, id="longer-ago"),
        pytest.param({"again_subject": "toner low"}, False, id="another-subject"),
        pytest.param({"customer": "bob@acme.example"}, False, id="another-sender"),
        pytest.param({"address": "sales"}, False, id="another-address"),
    ],
)
async def test_a_mail_that_may_have_been_sent_twice_is_named(
    store: SqliteStore, changes: dict[str, Any], is_found: bool
) -> None:
    settled = await accept_and_settle(store, an_opening_settlement("q1"))
    asked = WhereFrom(
        customer="ann@acme.example", address="support", again_subject="printer on fire", again_since=after(-600)
    )

    found = (await store.gather(replace(asked, **changes))).hits

    expected = [(HitBy.AGAIN, settled.ticket_id, "q1")] if is_found else []
    assert [(hit.by, hit.ticket.id, hit.queue_id) for hit in found] == expected
