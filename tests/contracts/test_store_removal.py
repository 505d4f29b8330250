"""The store's contract: what was kept long enough goes, what is not over stays; and one person is forgotten."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.store_samples import (
    OWNER,
    PEER,
    a_copy,
    a_join,
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
from supportrelay.core.delivery import DeliveryKind, DeliveryState, MessageState
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import InputError
from supportrelay.core.ports import Change, KnownId, Settled
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store.audit import audit
from supportrelay.edge.store.forgetting import FORGOTTEN

ANN, BOB = "ann@acme.example", "bob@acme.example"
DAY = 86_400.0
DECIDED = Change("message.decided", "relay", {"direction": "inbound"})
TWO_IDS = (KnownId("<first@acme.example>", "seen"), KnownId("<x@y.test>", "anchor"))
LARGE = b"Subject: large\r\n\r\n" + b"x" * 300_000 + b"\r\n"


async def a_delivered(
    store: SqliteStore, queue_id: str, *, at: float = 0, octets: bytes = b"", **values: Any
) -> Settled:
    """A customer's mail whose copy was delivered a second later."""
    mail = a_mail(queue_id, at=at, octets=octets or f"Subject: {queue_id}\r\n\r\nhello\r\n".encode())
    settlement = an_opening_settlement(queue_id, now=at, **values)
    settled = await accept_and_settle(store, replace(settlement, changes=(DECIDED, *settlement.changes)), mail=mail)
    for number in delivery_ids(settled):
        await store.report(an_end(number, queue_id, DeliveryState.DELIVERED, now=at + 1))
    return settled


async def contents_removed(store: SqliteStore, before: float, *, now: float = 200 * DAY) -> int:
    return await walked(lambda n: store.remove_contents(after(before), n, after(now)))


async def messages_removed(store: SqliteStore, before: float) -> int:
    return await walked(lambda n: store.remove_messages(after(before), n))


async def walked(remove: Any) -> int:
    count, last = 0, 0
    while last is not None:
        removed, last = await remove(last)
        count += removed
    return count


def states(store: SqliteStore) -> dict[str, str]:
    return dict(store.read(lambda c: c.execute("SELECT queue_id, state FROM messages").fetchall()))


def rows(store: SqliteStore, table: str) -> int:
    return int(store.read(lambda c: c.execute(f"SELECT count(*) FROM {table}").fetchone())[0])


def sound(store: SqliteStore, now: float = 300 * DAY) -> Sequence[Any]:
    """What the audit finds wrong with everything that is there."""
    return audit(store.path, after(-DAY), after(now), after(now)).findings


# -- octets ----------------------------------------------------------------------------------------------------------


async def test_octets_of_what_is_over_go_and_the_record_says_when(store: SqliteStore) -> None:
    await a_delivered(store, "old")
    await a_delivered(store, "old-and-large", octets=LARGE)
    await a_delivered(store, "young", at=100 * DAY)
    files = [file for file in (store.path.parent / "contents").rglob("*") if file.is_file()]

    assert len(files) == 1
    assert await contents_removed(store, 50 * DAY) == 2
    for queue_id in ("old", "old-and-large"):
        with pytest.raises(KeyError):
            await store.content(queue_id)
        assert store.content_removed_at(queue_id) == "2026-09-18T09:00:00.000Z"
        (life,) = await store.trace(queue_id)
        assert life["copy_plan"] is None
        assert [d["state"] for d in life["deliveries"]] == ["delivered"]
        assert life["changes"][-1]["what"] == "message.content_removed"
    assert await store.content("young") == b"Subject: young\r\n\r\nhello\r\n"
    assert store.content_removed_at("young") is None
    assert not files[0].exists()
    assert rows(store, "files_to_remove") == 0
    assert await contents_removed(store, 50 * DAY) == 0, "and the next round finds nothing"
    assert sound(store) == ()


async def test_nothing_goes_that_is_not_over(store: SqliteStore) -> None:
    """Under way, held, dead, with a copy that is held or tried again, or a report that is owed: whatever its age."""
    mail = a_mail("accepted")
    await store.accept(mail, None)
    await accept_and_settle(store, a_settlement("held", state=MessageState.HELD, deliveries=()))
    await accept_and_settle(store, a_settlement("under-way"))
    dead = await accept_and_settle(store, a_settlement("dead"))
    await store.report(an_end(delivery_ids(dead)[0], "dead", DeliveryState.FAILED))
    await store.add_failover("dead", (), "all_failed", after(3))
    later = await accept_and_settle(store, a_settlement("tried-again", deliveries=(a_copy(), a_copy("b@relay.test"))))
    first, second = delivery_ids(later)
    await store.report(an_end(first, "tried-again", DeliveryState.DELIVERED))
    await store.report(an_end(second, "tried-again", DeliveryState.DEFERRED, due_at=after(60)))
    before = states(store)

    assert before["dead"] == "dead"
    assert await contents_removed(store, 100 * DAY) == 0
    assert await messages_removed(store, 100 * DAY) == 0
    assert states(store) == before


async def test_the_age_counts_from_the_end_and_not_from_the_door(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, a_settlement("slow"))
    await store.report(an_end(delivery_ids(settled)[0], "slow", DeliveryState.DELIVERED, now=40 * DAY))

    assert await contents_removed(store, 30 * DAY) == 0
    assert await contents_removed(store, 41 * DAY) == 1


async def test_what_a_person_took_up_again_between_look_and_commit_stays(store: SqliteStore) -> None:
    """The question is put again in the transaction that removes."""
    from supportrelay.edge.store import removal
    from supportrelay.edge.store.rows import to_microseconds

    await a_delivered(store, "old")
    before = to_microseconds(after(50 * DAY))
    found = store.read(lambda c: removal.old_contents(c, 0, before, 10))
    await store.queue_hold("old", "person:x", after(60 * DAY))
    await store.write(lambda c: c.execute("UPDATE deliveries SET state = 'held'"))
    numbers = [number for number, _ in found.rows]

    assert numbers
    assert await store.write(lambda c: removal.remove_contents(c, numbers, before, before), slow=True) == 0
    assert await store.content("old")


async def test_nothing_can_be_sent_from_what_is_no_longer_kept(store: SqliteStore) -> None:
    settled = await accept_and_settle(store, a_settlement("old", deliveries=(a_copy(), a_copy("b@relay.test"))))
    first, second = delivery_ids(settled)
    await store.report(an_end(first, "old", DeliveryState.DELIVERED))
    await store.report(an_end(second, "old", DeliveryState.FAILED))
    assert await contents_removed(store, 50 * DAY) == 1

    with pytest.raises(InputError, match="no longer kept"):
        await store.queue_retry("old", "person:x", after(60 * DAY))


async def test_a_commit_is_small(store: SqliteStore) -> None:
    """4 MiB or 50 contents: nobody waits for more."""
    for n in range(20):
        await a_delivered(store, f"m{n}", octets=LARGE)
    count, last = await store.remove_contents(after(50 * DAY), 0, after(60 * DAY))
    assert (count, last) == (13, 13)


async def test_one_wrong_clock_does_not_hide_the_rest(store: SqliteStore) -> None:
    await a_delivered(store, "from-the-future", at=900 * DAY)
    await a_delivered(store, "old")
    assert await contents_removed(store, 50 * DAY) == 1


async def test_files_left_behind_by_a_crash_are_removed(store: SqliteStore) -> None:
    await a_delivered(store, "old", octets=LARGE)
    sql = "INSERT INTO files_to_remove SELECT file FROM contents WHERE file IS NOT NULL"
    await store.write(lambda c: c.execute(sql))
    await store.write(lambda c: c.execute("DELETE FROM contents"))

    assert await store.remove_files() == 1
    assert not [file for file in (store.path.parent / "contents").rglob("*") if file.is_file()]


# -- everything else -------------------------------------------------------------------------------------------------


async def test_messages_go_with_all_that_was_written_about_them_and_tickets_stay(store: SqliteStore) -> None:
    opened = await a_delivered(store, "first", ids=TWO_IDS)
    await a_delivered(store, "last", at=500 * DAY, opening=an_opening(customer=BOB))
    assert store.read(lambda c: c.execute("SELECT count(*) FROM known_ids").fetchone())[0] == 3

    assert await messages_removed(store, 100 * DAY) == 1
    assert list(states(store)) == ["last"]
    for table, left in (("contents", 1), ("decisions", 1), ("deliveries", 1), ("known_ids", 1), ("tickets", 2)):
        assert (table, rows(store, table)) == (table, left)
    assert [t["id"] for t in await store.tickets_list(customer=ANN)] == ["SR-1"]
    gathered = await store.gather(from_ids("<x@y.test>"))
    assert gathered.hits == (), "no answer leads to what nobody knows any more"
    shown = await store.ticket_show(number_of(opened))
    assert (shown["messages_list"], shown["history"]) == ([], [])
    assert sound(store, 600 * DAY) == ()


async def test_ids_of_a_conversation_stay_as_long_as_one_mail_of_it(store: SqliteStore) -> None:
    opened = await a_delivered(store, "first", ids=TWO_IDS)
    joined = a_settlement(
        "second", now=90 * DAY, change=a_join(opened), ids=(KnownId("<second@acme.example>", "seen"),)
    )
    settled = await accept_and_settle(store, joined, mail=a_mail("second", at=90 * DAY))
    await store.report(an_end(delivery_ids(settled)[0], "second", DeliveryState.DELIVERED, now=90 * DAY + 1))
    await a_delivered(store, "last", at=500 * DAY, opening=an_opening(customer=BOB))

    assert await messages_removed(store, 50 * DAY) == 1
    ids = store.read(lambda c: [row[0] for row in c.execute("SELECT message_id FROM known_ids ORDER BY 1")])
    assert ids == ["<last@acme.example>", "<second@acme.example>", "<x@y.test>"]


async def test_numbers_are_never_given_out_twice(store: SqliteStore) -> None:
    """They stand in tokens of mail that is out there: the last message and the last copy stay."""
    settled = await a_delivered(store, "only")
    assert await messages_removed(store, 100 * DAY) == 0
    again = await a_delivered(store, "another", at=200 * DAY)
    assert await messages_removed(store, 100 * DAY) == 1
    third = await a_delivered(store, "third", at=201 * DAY)

    numbers = [*delivery_ids(settled), *delivery_ids(again), *delivery_ids(third)]
    assert numbers == sorted(set(numbers))


async def test_the_record_of_people_goes_by_its_age_but_not_that_of_open_tickets(store: SqliteStore) -> None:
    opened = await a_delivered(store, "first")
    closed = await a_delivered(store, "second", opening=an_opening(customer=BOB))
    for settled in (opened, closed):
        await store.ticket_move(number_of(settled), "WAITING", "person:x", after(5))
    await store.ticket_move(number_of(closed), "CLOSED", "person:x", after(6))
    await store.absent_set(OWNER, "person:x", after(7))
    await store.absent_set("b@relay.test", "person:x", after(90 * DAY))

    assert await walked(lambda n: store.remove_changes(after(50 * DAY), n)) == 3
    left = store.read(lambda c: c.execute("SELECT what, ticket_id FROM changes WHERE message IS NULL").fetchall())
    assert left == [("ticket.moved", number_of(opened)), ("owner.absent", None)]


# -- one person ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def desk(store: SqliteStore) -> SqliteStore:
    """Ann's mails and those of others; what tells of her has a word of its own."""
    decision = {"direction": "inbound", "reasons": [{"code": "author.external", "author": ANN}], "copies": []}
    opened = await a_delivered(
        store,
        "anns",
        octets=b"From: Ann <ann@acme.example>\r\nSubject: pangolin\r\n\r\nmy secret is pangolin\r\n",
        opening=an_opening(subject="pangolin", subject_key="pangolin"),
        decision=decision | {"copies": [{"address": OWNER, "kind": "owner", "why": "owner"}]},
        copy_plan={"address_name": "support", "author": ANN, "author_name": "Ann Pangolin"},
    )
    bobs = a_settlement(
        "bobs",
        now=10,
        customer=ANN,
        change=a_join(opened),
        decision=decision
        | {
            "customer": ANN,
            "reasons": [{"code": "author.external", "author": BOB}],
            "copies": [{"address": OWNER, "kind": "owner", "why": "owner"}],
        },
        copy_plan={"address_name": "support", "author": BOB, "reply_to": [BOB, f"Ann <{ANN}>", "support@relay.test"]},
        participants=(BOB,),
        changes=(DECIDED, Change("ticket.joined", f"mail:{BOB}", {"with": f"{ANN}, joann@acme.example"})),
    )
    mail = a_mail(
        "bobs",
        at=10,
        octets=b"From: bob@acme.example\r\nCc: Ann@ACME.example\r\n\r\nhello\r\n",
        envelope=Envelope(BOB, ("support@relay.test",), PEER),
    )
    settled = await accept_and_settle(store, bobs, mail=mail)
    await store.report(an_end(delivery_ids(settled)[0], "bobs", DeliveryState.DELIVERED, now=11))
    held = a_settlement("held", now=20, state=MessageState.HELD, deliveries=(), decision=decision)
    await accept_and_settle(store, held, mail=a_mail("held", at=20))
    await a_delivered(
        store,
        "joanns",
        at=30,
        octets=b"From: joann@acme.example\r\nReply-To: ann@acme.example.test\r\n\r\nhello\r\n",
        opening=an_opening(customer="joann@acme.example", subject="other", subject_key="other"),
        customer="joann@acme.example",
        decision=decision | {"reasons": [{"code": "author.external", "author": "joann@acme.example"}]},
        participants=("joann@acme.example",),
        changes=(Change("ticket.opened", "mail:joann@acme.example", {"to": "NEW"}),),
        deliveries=(),
        state=MessageState.FILED,
    )
    return store


async def test_what_is_known_of_a_person_is_told_before_anything_goes(desk: SqliteStore) -> None:
    known = await desk.known_of(ANN)
    ids = dict(desk.read(lambda c: c.execute("SELECT seq, queue_id FROM messages").fetchall()))

    # Joann's envelope says Ann (the samples' sender is hers): who sends in her name is hers too.
    assert {ids[number] for number in known.messages} == {"anns", "joanns"}
    assert known.unfinished == ("held",)
    assert [ids[number] for number in known.decisions] == ["bobs"]
    assert (known.naming, known.naming_count) == (("bobs",), 1)
    assert (known.tickets, known.open_tickets, known.participations) == ((1,), ("SR-1",), (1,))
    assert len(known.changes) == 1


async def test_a_person_is_forgotten_and_others_are_not(desk: SqliteStore) -> None:
    counts = await desk.forget(await desk.known_of(ANN), who="person:x", now=after(100))

    assert counts == {
        "messages": 2, "tickets": 1, "participants": 1, "contacts": 0, "answers": 0, "decisions": 1, "changes": 1,
    }  # fmt: skip
    assert "held" in states(desk), "what is not over stays"
    assert await desk.content("bobs"), "another's mail stays as it came"
    shown = await desk.ticket_show(1)
    assert (shown["customer"], shown["subject"], shown["participants"]) == (None, "pangolin", [BOB])
    (life,) = await desk.trace("bobs")
    assert life["decision"]["customer"] == FORGOTTEN
    assert life["copy_plan"]["reply_to"] == [BOB, "support@relay.test"]
    joined = next(change for change in life["changes"] if change["what"] == "ticket.joined")
    assert joined["why"] == {"with": f"{FORGOTTEN}, joann@acme.example"}
    again = await desk.known_of(ANN)
    assert (again.messages, again.decisions, again.changes, again.tickets) == ((), (), (), ())
    assert again.unfinished == ("held",)
    forgotten = desk.read(
        lambda c: c.execute("SELECT who, why FROM changes WHERE what = 'person.forgotten'").fetchall()
    )
    assert len(forgotten) == 1
    assert ANN not in forgotten[0][1]
    assert sound(desk) == ()


async def test_the_last_message_leaves_its_number_and_nothing_else(store: SqliteStore) -> None:
    """Its number stands in a token out there; it must not be the next one's."""
    settled = await a_delivered(
        store,
        "only",
        octets=b"Subject: pangolin\r\n\r\npangolin\r\n",
        opening=an_opening(subject="pangolin", subject_key="pangolin"),
    )
    await store.forget(await store.known_of(ANN), who="person:x", now=after(100))

    (life,) = await store.trace("only")
    assert (life["subject"], life["reverse_path"], life["forward_paths"], life["decision"]) == ("", "", [], None)
    assert [d["recipient"] for d in life["deliveries"]] == [""]
    assert (await store.ticket_show(number_of(settled)))["subject"] == ""
    following = await a_delivered(store, "next", at=200)
    assert delivery_ids(following)[0] > delivery_ids(settled)[0]
    assert sound(store) == ()


async def test_the_file_itself_holds_nothing_of_who_was_forgotten(store: SqliteStore) -> None:
    """Freed pages are overwritten, and the write-ahead log is emptied: a look at the disk finds nothing."""
    for n in range(60):
        await a_delivered(
            store,
            f"m{n}",
            at=n,
            octets=f"From: ann@acme.example\r\nSubject: pangolin {n}\r\n\r\n".encode() + b"pangolin " * (n * 40),
            opening=an_opening(subject=f"pangolin {n}", subject_key=f"pangolin {n}"),
            copy_plan={"address_name": "support", "author_name": "Ann Pangolin"},
        )
    await a_delivered(store, "bobs", at=100, opening=an_opening(customer=BOB), customer=BOB, participants=(BOB,))
    await store.write(lambda c: c.execute("UPDATE messages SET reverse_path = ? WHERE queue_id = 'bobs'", (BOB,)))
    known = await store.known_of(ANN)
    counts = await store.forget(known, who="person:x", now=after(200))
    octets = b"".join(file.read_bytes() for file in store.path.parent.rglob("*") if file.is_file())

    assert counts["messages"] == 60
    assert octets.lower().count(b"pangolin") == 0


@pytest.mark.parametrize("kind", [DeliveryKind.SUBMITTED])
async def test_colleagues_mail_to_him_is_his(store: SqliteStore, kind: DeliveryKind) -> None:
    mail = a_mail("to-ann", envelope=Envelope("zoe@relay.test", (ANN,), PEER))
    settlement = a_settlement("to-ann", direction="outbound", customer=ANN, deliveries=(a_copy(ANN, kind=kind),))
    settled = await accept_and_settle(store, settlement, mail=mail)
    await store.report(an_end(delivery_ids(settled)[0], "to-ann", DeliveryState.DELIVERED))
    assert len((await store.known_of(ANN)).messages) == 1


async def test_contacts_answers_and_counts_go(store: SqliteStore) -> None:
    now: datetime = after(0)
    await store.remember(
        "customer", {ANN: {"company": "C1"}, BOB: {"seen": ANN}, "x.test": {}}, now, now + timedelta(hours=1)
    )
    plan = "INSERT INTO companies (id, name, name_key, created_at) VALUES (1, 'Acme', 'acme', 0)"
    await store.write(lambda c: c.execute(plan))
    contact = "INSERT INTO contacts (address, company_id, name, language, details) VALUES (?, 1, 'Ann', '', '{}')"
    await store.write(lambda c: c.execute(contact, (ANN,)))
    known = await store.known_of(ANN)
    counts = await store.forget(known, who="person:x", now=now)

    assert known.is_contact
    assert (counts["contacts"], counts["answers"]) == (1, 2)
    assert rows(store, "contacts") == 0
    assert store.recall("customer", "x.test") is not None


def test_removal_is_done_with_secure_delete_whatever_the_build_says(store: SqliteStore) -> None:
    """2 is FAST: what is freed in pages that are written anyway. Builds differ in their default."""
    found: list[sqlite3.Row] = []
    from supportrelay.edge.store.database import connect

    connection = connect(store.path, read_only=False)
    found.append(connection.execute("PRAGMA secure_delete").fetchone())
    connection.close()
    assert found == [(2,)]
