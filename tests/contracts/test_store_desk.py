"""The store's contract for the outside desk: work in order, one worker a ticket, the mirror, the trash."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.store_samples import (
    T0,
    a_join,
    a_lease,
    a_mail,
    a_settlement,
    accept_and_settle,
    after,
    an_opening,
    an_opening_settlement,
    from_ids,
    number_of,
)
from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskDone, DeskQueue
from supportrelay.core.errors import InputError
from supportrelay.core.outside import DeskMove, DeskTicket, Mover
from supportrelay.core.ports import Change, DeskOrder, NewDelivery, Settled, WhereFrom
from supportrelay.core.ticket import Stage, TicketView
from supportrelay.edge.store import SqliteStore, desk_trash
from supportrelay.edge.store.database import connect
from supportrelay.edge.store.tickets import leads_to

LEASE = a_lease("here:1:a", until=1000)
OTHER = a_lease("here:2:b", until=1000)


@pytest.fixture
async def other(store: SqliteStore) -> AsyncIterator[SqliteStore]:
    """A second worker's store on the same file."""
    opened = SqliteStore(store.path)
    yield opened
    await opened.aclose()


async def a_ticket(store: SqliteStore, queue_id: str = "q1", *, at: float = 0, **values: Any) -> Settled:
    """A mail that opens a ticket which the outside desk shall have too."""
    order = values.pop("desk", DeskOrder(Stage.NEW, records=True))
    settlement = an_opening_settlement(queue_id, accepted_at=after(at), desk=order, **values)
    return await accept_and_settle(store, settlement, mail=a_mail(queue_id, at=at))


async def a_reply(
    store: SqliteStore, queue_id: str, opened: Settled, *, at: float, stage: Stage | None = Stage.NEW, **values: Any
) -> Settled:
    order = values.pop("desk", DeskOrder(stage, records=True))
    settlement = a_settlement(
        queue_id, now=at + 1, change=a_join(opened, stage=stage), accepted_at=after(at), desk=order, **values
    )
    return await accept_and_settle(store, settlement, mail=a_mail(queue_id, at=at))


def there(external_id: str = "901", stage: Stage = Stage.NEW, *, at: float = 10, **values: Any) -> DeskTicket:
    stage_id = values.pop("stage_id", {"NEW": "1", "WAITING": "2", "CLOSED": "4"}.get(stage, "9"))
    return DeskTicket(external_id, stage, stage_id, after(at), **values)


async def claim_one(store: SqliteStore, *, at: float = 10, lease: Any = LEASE) -> ClaimedDeskTicket:
    (claimed,) = await store.claim_desk(after(at), lease, 10)
    return claimed


async def finish(store: SqliteStore, *, external_id: str = "901", at: float = 10, stage: Stage = Stage.NEW) -> int:
    """Do all work of the one due ticket, as if the desk took everything."""
    claimed = await claim_one(store, at=at)
    made = there(external_id, stage, at=at)
    if not claimed.external_id:
        assert await store.desk_opened(claimed.ticket_id, made, LEASE, after(at))
    for work in claimed.work:
        moved = DeskDone(work.id, "desk.moved", {}, seen=made, moves=True, records=True)
        assert await store.desk_done(claimed.ticket_id, moved, LEASE, after(at))
    await store.desk_end(claimed.ticket_id, LEASE, after(at))
    return claimed.ticket_id


async def view(store: SqliteStore, queue_id: str) -> TicketView:
    (hit,) = (await store.gather(from_ids(f"<{queue_id}@acme.example>"))).hits
    return hit.ticket


async def history(store: SqliteStore, ticket: int) -> list[str]:
    return [change["what"] for change in (await store.ticket_show(ticket))["history"]]


# -- what is asked for --


async def test_a_mail_that_opens_a_ticket_asks_the_desk_for_it(store: SqliteStore) -> None:
    queue: DeskQueue = store
    opened = await a_ticket(store, at=0)

    (claimed,) = await queue.claim_desk(after(5), LEASE, 10)

    assert (claimed.ticket_id, claimed.external_id, claimed.is_begun) == (opened.ticket_id, "", False)
    assert len(claimed.key) == 64
    assert set(claimed.key) <= set("0123456789abcdef")
    assert (claimed.stage, claimed.subject, claimed.customer) == (Stage.NEW, "Printer on fire", "ann@acme.example")
    assert (claimed.company_id, claimed.deal_id, claimed.owners) == ("C1", "D1", ("mori@relay.test",))
    assert (claimed.address, claimed.tries, claimed.written_stage_id, claimed.written_at) == ("support", 0, "", None)
    (work,) = claimed.work
    assert (work.queue_id, work.at, work.stage) == ("q1", after(0), Stage.NEW)
    assert (work.moves, work.records, work.by_person, work.is_repeat) == (True, True, False, False)


@pytest.mark.parametrize("order", [None, DeskOrder()])
async def test_a_mail_that_asks_for_nothing_makes_no_work(store: SqliteStore, order: DeskOrder | None) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1"))
    await a_reply(store, "q2", opened, at=5, stage=None, desk=order)

    assert await store.claim_desk(after(9), LEASE, 10) == []
    assert (await store.ticket_show(number_of(opened)))["desk"] is None


async def test_the_stage_of_an_opening_is_the_works_stage(store: SqliteStore) -> None:
    await a_ticket(store, desk=DeskOrder(records=False), opening=an_opening(stage=Stage.CLOSED))

    (work,) = (await claim_one(store)).work
    assert (work.stage, work.moves, work.records) == (Stage.CLOSED, True, False)


async def test_work_waits_in_the_order_in_which_it_was_decided(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    await a_reply(store, "q2", opened, at=5, stage=Stage.CLOSED)
    await store.ticket_move(number_of(opened), "対応中", "person:kim", after(8))
    await a_reply(store, "q3", opened, at=9, stage=None)

    claimed = await claim_one(store)

    assert [(w.queue_id, w.stage, w.by_person, w.moves, w.records) for w in claimed.work] == [
        ("q1", Stage.NEW, False, True, True),
        ("q2", Stage.CLOSED, False, True, True),
        ("", Stage.WAITING, True, True, False),
        ("q3", None, False, False, True),
    ]


async def test_a_ticket_that_lives_here_alone_is_moved_without_work(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1"))
    await store.ticket_move(number_of(opened), "CLOSED", "person:kim", after(8))

    assert await store.claim_desk(after(9), LEASE, 10) == []


async def test_a_merged_ticket_is_closed_at_the_desk_and_does_its_own_work(store: SqliteStore) -> None:
    source = await a_ticket(store, "q1")
    target = await a_ticket(store, "q2", at=1, opening=an_opening(customer="bob@acme.example"))
    await store.tickets_merge(number_of(source), number_of(target), "person:kim", after(3))
    await a_reply(store, "q3", source, at=4)

    first, second = await store.claim_desk(after(9), LEASE, 10)

    assert [(w.queue_id, w.stage, w.by_person) for w in first.work] == [
        ("q1", Stage.NEW, False),
        ("", Stage.CLOSED, True),
    ]
    assert second.ticket_id == target.ticket_id
    assert [w.queue_id for w in second.work] == ["q2", "q3"]


async def test_when_the_stage_was_decided_last_is_remembered_with_and_without_a_desk(store: SqliteStore) -> None:
    opened = await accept_and_settle(store, an_opening_settlement("q1", accepted_at=after(3)))
    assert (await view(store, "q1")).stage_mail_at == after(3)

    await a_reply(store, "q2", opened, at=9, stage=None, desk=None)
    assert (await view(store, "q1")).stage_mail_at == after(3)
    await a_reply(store, "q3", opened, at=7, stage=None, desk=DeskOrder(Stage.NEW))
    assert (await view(store, "q1")).stage_mail_at == after(7)
    await a_reply(store, "q4", opened, at=5, stage=Stage.CLOSED, desk=None)
    assert (await view(store, "q1")).stage_mail_at == after(7)


# -- who does it --


async def test_two_workers_never_have_the_same_ticket(store: SqliteStore, other: SqliteStore) -> None:
    for number in range(20):
        await a_ticket(store, f"q{number}", at=number / 100)

    mine, theirs = await asyncio.gather(store.claim_desk(after(9), LEASE, 12), other.claim_desk(after(9), OTHER, 12))

    assert len(mine) + len(theirs) == 20
    assert not {c.ticket_id for c in mine} & {c.ticket_id for c in theirs}
    first = mine or theirs
    assert [c.ticket_id for c in first] == sorted(c.ticket_id for c in first)


async def test_a_claim_without_due_work_takes_no_lock(store: SqliteStore) -> None:
    await a_ticket(store)
    await finish(store)
    before = store.commits

    assert await store.claim_desk(after(99), LEASE, 10) == []
    assert await store.desk_due_now(after(99)) == 0
    assert store.commits == before


async def test_a_second_attempt_knows_that_a_first_one_began(store: SqliteStore, other: SqliteStore) -> None:
    """RELIABILITY F04, F19: what was begun and has no end is looked for before it is made again."""
    opened = await a_ticket(store)
    await claim_one(store, lease=a_lease("here:1:a", until=30))
    await a_reply(store, "q2", opened, at=5)
    assert await other.claim_desk(after(29), OTHER, 10) == []

    claimed = await claim_one(other, at=31, lease=OTHER)

    assert claimed.is_begun
    assert [(w.queue_id, w.is_repeat) for w in claimed.work] == [("q1", True), ("q2", False)]


async def test_a_lost_lease_writes_nothing(store: SqliteStore, other: SqliteStore) -> None:
    opened = await a_ticket(store)
    claimed = await claim_one(store, lease=a_lease("here:1:a", until=30))
    await claim_one(other, at=31, lease=OTHER)
    done = DeskDone(claimed.work[0].id, "desk.moved", {}, moves=True, records=True)

    assert not await store.desk_opened(claimed.ticket_id, there(), LEASE, after(32))
    assert not await store.desk_done(claimed.ticket_id, done, LEASE, after(32))
    await store.desk_end(claimed.ticket_id, LEASE, after(32), error="late")
    assert not await store.renew_desk([claimed.ticket_id], LEASE)

    assert (await store.ticket_show(number_of(opened)))["desk"] == {"external_id": None, "waiting": 1, "error": None}
    assert await store.claim_desk(after(33), LEASE, 10) == []
    assert "desk.opened" not in await history(store, claimed.ticket_id)


async def test_a_lease_is_prolonged(store: SqliteStore, other: SqliteStore) -> None:
    await a_ticket(store)
    claimed = await claim_one(store, lease=a_lease("here:1:a", until=30))

    assert await store.renew_desk([claimed.ticket_id], a_lease("here:1:a", until=60))
    assert await store.renew_desk([], LEASE)
    assert await other.claim_desk(after(59), OTHER, 10) == []
    assert len(await other.claim_desk(after(60), OTHER, 10)) == 1


@pytest.mark.parametrize("how", ["release", "take_back"])
async def test_a_worker_that_ends_hands_its_tickets_back(store: SqliteStore, other: SqliteStore, how: str) -> None:
    await a_ticket(store)
    await claim_one(store)
    if how == "release":
        await store.release("here:1:a", after(11))
    else:
        assert await store.take_back("here", after(11)) >= 1

    assert (await claim_one(other, at=11, lease=OTHER)).is_begun


async def test_the_queue_counts_work_for_the_desk_that_is_due_or_running(store: SqliteStore) -> None:
    async def left() -> dict[str, int]:
        found = await store.work_left(after(10))
        return {name: count for name, count in found.items() if name.startswith("desk")}

    await a_ticket(store)
    assert await left() == {"desk_due": 1}
    claimed = await claim_one(store)
    assert await left() == {"desk_running": 1}
    await store.desk_end(claimed.ticket_id, LEASE, after(10), due_at=after(600), error="503")
    assert await left() == {}
    assert await store.desk_due_now(after(10)) == 1
    assert await left() == {"desk_due": 1}


# -- what came of it --


async def test_an_opened_ticket_knows_its_number_there(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    claimed = await claim_one(store)
    moves = (DeskMove("1", after(7), Mover.PROGRAM),)

    assert await store.desk_opened(claimed.ticket_id, there(at=10, moves=moves), LEASE, after(10))

    shown = await store.ticket_show(number_of(opened))
    assert shown["external_id"] == "901"
    assert shown["desk"] == {"external_id": "901", "waiting": 1, "error": None}
    assert (shown["history"][-1]["what"], shown["history"][-1]["why"]) == ("desk.opened", {"external_id": "901"})
    await store.release(LEASE.holder, after(11))
    again = await claim_one(store, at=11)
    assert (again.external_id, again.is_begun, again.key) == ("901", False, claimed.key)
    assert (again.written_stage_id, again.written_at) == ("1", after(7))


async def test_two_tickets_that_were_merged_at_the_desk_share_their_number(store: SqliteStore) -> None:
    one, two = await a_ticket(store, "q1"), await a_ticket(store, "q2", at=1)
    await store.claim_desk(after(10), LEASE, 10)
    for settled in (one, two):
        assert await store.desk_opened(number_of(settled), there("901"), LEASE, after(10))

    shown = await store.ticket_show(number_of(two))
    assert shown["external_id"] == "901"
    assert shown["history"][-1]["why"] == {"external_id": "901", "with": [f"SR-{one.ticket_id}"]}


async def test_work_is_done_piece_by_piece(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    claimed = await claim_one(store)
    (work,) = claimed.work
    moved = DeskDone(work.id, "desk.moved", {"to": "NEW"}, seen=there(at=12), moves=True)
    await store.desk_done(claimed.ticket_id, moved, LEASE, after(12))
    await store.release(LEASE.holder, after(12))

    claimed = await claim_one(store, at=12)
    (work,) = claimed.work
    assert (work.moves, work.records, work.is_repeat) == (False, True, True)
    assert (claimed.written_stage_id, claimed.written_at) == ("1", after(12))

    recorded = DeskDone(work.id, "desk.recorded", {}, records=True)
    assert await store.desk_done(claimed.ticket_id, recorded, LEASE, after(13))
    assert await store.desk_done(claimed.ticket_id, recorded, LEASE, after(13))
    shown = await store.ticket_show(number_of(opened))
    assert shown["desk"]["waiting"] == 0
    assert [(c["what"], c["queue_id"]) for c in shown["history"][-2:]] == [
        ("desk.moved", "q1"),
        ("desk.recorded", "q1"),
    ]


async def test_the_desks_stage_stands_in_the_mirror_when_the_work_says_so(store: SqliteStore) -> None:
    await a_ticket(store)
    claimed = await claim_one(store)
    before = await view(store, "q1")
    dropped = DeskDone(
        claimed.work[0].id,
        "desk.move_dropped",
        {"to": "NEW"},
        seen=there(stage=Stage.CLOSED, at=11),
        mirror=Stage.CLOSED,
        moved_by_person_at=after(9),
        moves=True,
        who="desk:hubspot",
    )
    await store.desk_done(claimed.ticket_id, dropped, LEASE, after(12))

    now = await view(store, "q1")
    assert (now.stage, now.closed_at, now.moved_by_person_at) == (Stage.CLOSED, after(12), after(9))
    assert now.version > before.version
    assert (await store.ticket_show(claimed.ticket_id))["history"][-1]["who"] == "desk:hubspot"


async def test_the_mirror_is_left_to_work_that_came_after_the_claim(store: SqliteStore) -> None:
    """A person moves the ticket here while older work is done there: his move has its turn."""
    opened = await a_ticket(store)
    claimed = await claim_one(store)
    await store.ticket_move(number_of(opened), "CLOSED", "person:kim", after(11))
    dropped = DeskDone(claimed.work[0].id, "desk.move_dropped", {}, mirror=Stage.WAITING, moves=True, records=True)
    await store.desk_done(claimed.ticket_id, dropped, LEASE, after(12))
    assert (await view(store, "q1")).stage == Stage.CLOSED

    await store.desk_opened(claimed.ticket_id, there(), LEASE, after(12))
    await store.desk_end(claimed.ticket_id, LEASE, after(12))
    (work,) = (await claim_one(store, at=12)).work
    assert (work.stage, work.by_person) == (Stage.CLOSED, True)


async def test_a_finished_ticket_is_not_due_until_there_is_new_work(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    await finish(store)
    assert await store.claim_desk(after(999), LEASE, 10) == []

    await a_reply(store, "q2", opened, at=20)
    (work,) = (await claim_one(store, at=21)).work
    assert work.queue_id == "q2"


async def test_work_that_came_while_it_was_leased_is_due_when_it_is_handed_back(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    claimed = await claim_one(store)
    await a_reply(store, "q2", opened, at=11)
    assert await store.claim_desk(after(12), OTHER, 10) == []
    await store.desk_opened(claimed.ticket_id, there(), LEASE, after(12))
    done = DeskDone(claimed.work[0].id, "desk.moved", {}, moves=True, records=True)
    await store.desk_done(claimed.ticket_id, done, LEASE, after(12))
    await store.desk_end(claimed.ticket_id, LEASE, after(12))

    assert [w.queue_id for w in (await claim_one(store, at=12)).work] == ["q2"]


async def test_a_round_that_failed_is_put_off_and_told_once(store: SqliteStore) -> None:
    """RELIABILITY F18: work is retried for days, and the record is no log of it."""
    opened = await a_ticket(store)
    for round_ in range(3):
        at = 10 + round_ * 100
        claimed = await claim_one(store, at=at)
        assert claimed.tries == round_
        await store.desk_end(
            claimed.ticket_id, LEASE, after(at), due_at=after(at + 99), error=f"503 busy (correlationId {round_})"
        )
        assert await store.claim_desk(after(at + 98), LEASE, 10) == []
    claimed = await claim_one(store, at=310)
    await store.desk_end(claimed.ticket_id, LEASE, after(310), due_at=after(400), error="closed", counts=False)

    shown = await store.ticket_show(number_of(opened))
    assert [c["why"]["error"] for c in shown["history"] if c["what"] == "desk.put_off"] == [
        "503 busy (correlationId 0)",
        "closed",
    ]
    assert shown["desk"]["error"] == "closed"
    claimed = await claim_one(store, at=400)
    assert claimed.tries == 3
    await store.desk_done(claimed.ticket_id, DeskDone(None, "desk.moved", {}), LEASE, after(400))
    await store.desk_end(claimed.ticket_id, LEASE, after(400), due_at=after(500))
    assert (await claim_one(store, at=500)).tries == 0
    assert (await store.ticket_show(number_of(opened)))["desk"]["error"] is None


async def test_new_mail_does_not_hurry_what_was_put_off_but_a_person_does(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    claimed = await claim_one(store)
    await store.desk_end(claimed.ticket_id, LEASE, after(10), due_at=after(600), error="503")
    await a_reply(store, "q2", opened, at=20)
    assert await store.claim_desk(after(30), LEASE, 10) == []

    await store.ticket_move(number_of(opened), "CLOSED", "person:kim", after(30))
    assert len((await claim_one(store, at=30)).work) == 3


@pytest.mark.parametrize("name", ["q1", None])
async def test_a_person_who_asks_to_try_again_means_the_desk_too(store: SqliteStore, name: str | None) -> None:
    source = await a_ticket(store)
    claimed = await claim_one(store)
    await store.desk_end(claimed.ticket_id, LEASE, after(10), due_at=after(600), error="503")
    target = await accept_and_settle(store, an_opening_settlement("q2"))
    await store.tickets_merge(number_of(source), number_of(target), "person:kim", after(11))
    claimed = await claim_one(store, at=11)
    await store.desk_end(claimed.ticket_id, LEASE, after(11), due_at=after(600), error="503")

    assert (await store.queue_retry(name, "person:kim", after(20)))["count"] == 1
    assert (await claim_one(store, at=20)).ticket_id == source.ticket_id


async def test_a_removed_probe_leaves_no_work_behind(store: SqliteStore) -> None:
    await a_ticket(store)
    await finish(store)
    assert await store.remove_probe("q1", "person:kim", after(20)) is not None

    assert await store.claim_desk(after(99), LEASE, 10) == []
    assert store.read(lambda c: c.execute("SELECT count(*) FROM desk_tickets").fetchone()) == (0,)


# -- what happens there --


async def test_a_stage_set_at_the_desk_is_known_here(store: SqliteStore, other: SqliteStore) -> None:
    opened = await a_ticket(store)
    await finish(store, at=10)
    waiting = there(stage=Stage.WAITING, at=30)
    assert await other.desk_unlike([waiting, there("555", at=30)]) == ["901"]

    assert await other.desk_seen([(waiting, after(30))], after(35), who="desk:hubspot") == [opened.ticket_id]

    now = await view(store, "q1")
    assert (now.stage, now.moved_by_person_at) == (Stage.WAITING, after(30))
    change = (await store.ticket_show(number_of(opened)))["history"][-1]
    assert (change["what"], change["who"], change["why"]["from"]) == ("ticket.moved", "desk:hubspot", "NEW")
    before = store.commits + other.commits
    assert await other.desk_seen([(waiting, after(30)), (there("555"), after(30))], after(36)) == []
    assert await other.desk_unlike([waiting]) == []
    assert store.commits + other.commits == before


async def test_a_stage_that_is_not_mapped_is_another_one(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    await finish(store)

    await store.desk_seen([(there(stage=Stage.OTHER, at=30), after(30))], after(35))

    assert [t["id"] for t in await store.tickets_list(stage="OTHER")] == [f"SR-{opened.ticket_id}"]


async def test_what_is_seen_gives_way_to_a_move_that_waits(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    await finish(store, at=10)
    await a_reply(store, "q2", opened, at=20)
    closed = there(stage=Stage.CLOSED, at=15)

    assert await store.desk_unlike([closed]) == []
    assert await store.desk_seen([(closed, after(15))], after(21)) == []
    assert (await view(store, "q1")).stage == Stage.NEW


async def test_older_news_than_what_was_written_last_change_nothing(store: SqliteStore) -> None:
    """A list of changes may be fetched before a move of ours and come in after it."""
    opened = await a_ticket(store)
    await finish(store, at=10)
    await a_reply(store, "q2", opened, at=20, stage=Stage.CLOSED)
    await finish(store, at=22, stage=Stage.CLOSED)

    assert await store.desk_seen([(there(stage=Stage.WAITING, at=15), after(15))], after(23)) == []
    assert (await view(store, "q1")).stage == Stage.CLOSED
    assert await store.desk_seen([(there(stage=Stage.WAITING, at=30), after(30))], after(31)) == [opened.ticket_id]


async def test_living_tickets_are_looked_at_in_turn(store: SqliteStore) -> None:
    numbers = {}
    for number, stage in enumerate((Stage.NEW, Stage.CLOSED, Stage.CLOSED, Stage.NEW)):
        opening = an_opening(stage=stage)
        opened = await a_ticket(store, f"q{number}", opening=opening, desk=DeskOrder(stage))
        numbers[str(901 + number)] = number_of(opened)
        await finish(store, external_id=str(901 + number), at=10 + number, stage=stage)
    store_time = T0 + timedelta(days=31)
    merged = await accept_and_settle(store, an_opening_settlement("q9"))
    await store.tickets_merge(numbers["904"], number_of(merged), "person:kim", after(60))
    await store.ticket_move(numbers["902"], "NEW", "person:kim", store_time - timedelta(days=20))
    await store.ticket_move(numbers["902"], "CLOSED", "person:kim", store_time - timedelta(days=20))

    async def look(limit: int, now: datetime) -> list[str]:
        return await store.desk_to_check(limit, now - timedelta(hours=1), now=now)

    assert await look(1, store_time) == ["901"]
    assert await look(5, store_time) == ["902"]
    before = store.commits
    assert await look(5, store_time) == []
    assert store.commits == before
    assert await look(5, store_time + timedelta(hours=2)) == ["901", "902"]
    # Those with an end are not even walked over again.
    in_turn = store.read(
        lambda c: c.execute("SELECT external_id FROM desk_tickets WHERE looked_at < 1 << 62").fetchall()
    )
    assert sorted(in_turn) == [("901",), ("902",)]

    await a_reply(store, "q5", Settled(ticket_id=numbers["903"], conversation_id=3), at=70)
    assert await look(5, store_time + timedelta(hours=3)) == ["903"]


# -- deleted there --


async def test_a_ticket_deleted_at_the_desk_is_in_the_trash(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    await finish(store)
    before = await view(store, "q1")

    assert await store.desk_gone("901", after(50), who="desk:hubspot") is None
    assert await store.desk_gone("901", after(51)) is None

    trashed = await view(store, "q1")
    assert trashed.is_trashed
    assert trashed.version > before.version
    shown = await store.ticket_show(number_of(opened))
    assert shown["trashed_at"] == "2026-03-02T09:00:50.000Z"
    change = shown["history"][-1]
    assert (change["what"], change["who"]) == ("ticket.trashed", "desk:hubspot")
    assert change["why"] == {"by": "desk", "external_id": "901"}
    assert await store.tickets_list() == await store.tickets_list(customer="ann@acme.example") == []
    assert [t["id"] for t in await store.tickets_list(trashed=True)] == [f"SR-{opened.ticket_id}"]
    assert len(await store.tickets_list(customer="ann@acme.example", trashed=True)) == 1
    subject = WhereFrom(customer="ann@acme.example", subject="printer on fire", address="support")
    assert (await store.gather(subject)).hits == ()
    assert await store.desk_to_check(5, after(99), now=after(99)) == []
    with pytest.raises(InputError, match="trash"):
        await store.ticket_move(number_of(opened), "CLOSED", "person:kim", after(60))


async def test_a_mail_whose_work_found_it_out_goes_on_in_a_new_ticket(store: SqliteStore) -> None:
    opened = await a_ticket(
        store, "q1", participants=("ann@acme.example", "bob@acme.example"), thread_index=b"\x01" * 22
    )
    await finish(store)
    copy = (NewDelivery("mori@relay.test", "owner", "owner", new_message_id="<copy2@relay.test>"),)  # type: ignore[arg-type]
    await a_reply(store, "q2", opened, at=20, deliveries=copy, has_cc_support=True, place="cc")
    again = a_settlement("q2b", first_arrival="q2", changes=())
    await accept_and_settle(store, again, mail=a_mail("q2b", at=21, message_id="<q2@acme.example>"))
    await a_reply(store, "q3", opened, at=22, stage=Stage.CLOSED, is_inbound=False)
    claimed = await claim_one(store, at=30)

    new = await store.desk_gone("901", after(40), keep_from="q2")

    assert new is not None
    assert not await store.desk_done(claimed.ticket_id, DeskDone(None, "desk.moved", {}), LEASE, after(41))
    old = await store.ticket_show(number_of(opened))
    made = await store.ticket_show(new)
    assert [m["queue_id"] for m in old["messages_list"]] == ["q1"]
    assert [m["queue_id"] for m in made["messages_list"]] == ["q2", "q2b", "q3"]
    assert (made["stage"], made["related"], made["external_id"]) == ("CLOSED", f"SR-{opened.ticket_id}", None)
    for name in ("customer", "company", "company_id", "deal", "deal_id", "owners", "address", "subject", "priority"):
        assert made[name] == old[name]
    assert set(made["participants"]) == {"ann@acme.example", "bob@acme.example"}
    assert made["desk"] == {"external_id": None, "waiting": 2, "error": None}

    work = await claim_one(store, at=41)
    assert (work.ticket_id, work.external_id, work.is_begun) == (new, "", False)
    assert work.key != claimed.key
    assert [(w.queue_id, w.stage, w.is_repeat) for w in work.work] == [
        ("q2", Stage.NEW, False),
        ("q3", Stage.CLOSED, False),
    ]
    for named in ("<q2@acme.example>", "<copy2@relay.test>", "<q3@acme.example>"):
        assert [h.ticket.id for h in (await store.gather(from_ids(named))).hits] == [new]
    known = await view(store, "q2")
    assert known.last_customer_message_ids[0] == "<q2@acme.example>"
    assert known.last_had_support_in_cc
    assert known.stage_mail_at == after(22)
    assert [h.ticket.id for h in (await store.gather(WhereFrom(thread_index=b"\x01" * 22))).hits] == [
        new,
        opened.ticket_id,
    ]
    (life,) = await store.trace("q2")
    assert life["ticket"] == f"SR-{new}"
    told = {(c["what"], c["ticket"]): c["why"] for c in life["changes"]}
    assert told["ticket.opened", f"SR-{new}"] == {
        "to": "CLOSED",
        "because": "deleted at the desk",
        "related": f"SR-{opened.ticket_id}",
    }
    assert told["ticket.continued", f"SR-{opened.ticket_id}"]["to"] == f"SR-{new}"
    assert "ticket.continued" in [c["what"] for c in old["history"]]


@pytest.mark.parametrize("first", ["the work", "who looks around"])
async def test_whoever_notices_a_deletion_first_the_same_comes_of_it(
    store: SqliteStore, other: SqliteStore, first: str
) -> None:
    opened = await a_ticket(store, "q1")
    await finish(store)
    await a_reply(store, "q2", opened, at=20)
    await claim_one(store, at=30)
    keep_from = {"the work": ("q2", ""), "who looks around": ("", "q2")}[first]

    made = [await other.desk_gone("901", after(40), keep_from=one) for one in keep_from]

    assert made[0] is not None
    assert made[1] is None
    assert [w.queue_id for w in (await claim_one(store, at=41, lease=OTHER)).work] == ["q2"]
    assert len(await store.tickets_list()) == 1


async def test_what_nobody_will_do_any_more_is_told(store: SqliteStore) -> None:
    """Only to be logged there, or moved by a person here: ended with a row each, not silently."""
    opened = await a_ticket(store, "q1")
    await finish(store)
    await a_reply(store, "q2", opened, at=20, stage=None)
    await store.ticket_move(number_of(opened), "CLOSED", "person:kim", after(25))

    assert await store.desk_gone("901", after(40)) is None

    dropped = [c for c in (await store.ticket_show(number_of(opened)))["history"] if c["what"] == "desk.dropped"]
    assert [(c["queue_id"], c["why"]["stage"], c["why"]["records"]) for c in dropped] == [
        ("q2", None, True),
        (None, "CLOSED", False),
    ]
    assert (await store.ticket_show(number_of(opened)))["desk"]["waiting"] == 0
    assert await store.claim_desk(after(99), LEASE, 10) == []


async def test_a_deleted_ticket_that_was_merged_away_here_still_leads_to_its_target(store: SqliteStore) -> None:
    source = await a_ticket(store, "q1")
    await finish(store)
    target = await accept_and_settle(store, an_opening_settlement("q2"))
    await store.tickets_merge(number_of(source), number_of(target), "person:kim", after(20))

    assert await store.desk_gone("901", after(30)) is None

    assert not (await view(store, "q1")).is_trashed
    assert (await view(store, "q1")).id == target.ticket_id
    assert await store.claim_desk(after(99), LEASE, 10) == []
    assert {"desk.gone", "desk.dropped"} <= set(await history(store, number_of(source)))


async def test_a_ticket_that_is_there_again_comes_out_of_the_trash(store: SqliteStore) -> None:
    opened = await a_ticket(store)
    await finish(store)
    await store.desk_gone("901", after(50))
    back = there(stage=Stage.WAITING, at=70)
    assert await store.desk_unlike([there(at=70)]) == ["901"]

    assert await store.desk_seen([(back, after(70))], after(71)) == [opened.ticket_id]

    now = await view(store, "q1")
    assert (now.is_trashed, now.stage) == (False, Stage.WAITING)
    assert (await history(store, number_of(opened)))[-2:] == ["ticket.restored", "ticket.moved"]
    await a_reply(store, "q2", opened, at=80)
    assert (await claim_one(store, at=81)).external_id == "901"


async def test_mail_that_was_decided_before_the_deletion_asks_nothing_of_the_desk(store: SqliteStore) -> None:
    """A decision made on the old ground is a conflict; one that looked nothing up is only kept."""
    opened = await a_ticket(store)
    await finish(store)
    where_from = from_ids("<q1@acme.example>")
    gathered = await store.gather(where_from)
    await store.desk_gone("901", after(50))
    await store.accept(a_mail("q2", at=51), a_lease())
    late = a_settlement(
        "q2", change=a_join(opened), where_from=where_from, fingerprint=gathered.fingerprint, desk=DeskOrder(Stage.NEW)
    )

    assert (await store.settle(late)).conflict == "changed"
    await a_reply(store, "q3", opened, at=52)
    assert (await store.ticket_show(number_of(opened)))["desk"]["waiting"] == 0
    assert await store.claim_desk(after(99), LEASE, 10) == []


async def test_emptying_the_trash_walks_no_table_while_others_wait_to_write(store: SqliteStore) -> None:
    """A store of years has millions of ids; the walk through them is a reader's (0.9 s for two million)."""
    number = number_of(await a_ticket(store))
    kept = number_of(await accept_and_settle(store, an_opening_settlement("q2")))
    await finish(store)
    await store.desk_gone("901", after(50))
    many = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO known_ids SELECT 'old' || i, c.id, 1 FROM n, conversations c WHERE c.ticket_id = ?"""
    await store.write(lambda c: c.execute(many, (kept,)), slow=True)
    connection = connect(store.path, read_only=False)
    leads = leads_to(connection, [number])
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.execute("BEGIN IMMEDIATE")
    connection.set_progress_handler(count, 100)
    assert desk_trash.purge(connection, number, leads, 1 << 60, 1 << 60)
    connection.set_progress_handler(None, 0)
    connection.execute("ROLLBACK")
    connection.close()

    assert steps < 100, "hundreds of steps of SQLite's machine each"


async def test_the_trash_is_emptied_and_its_mail_is_kept(store: SqliteStore) -> None:
    opened = await a_ticket(store, changes=(Change("ticket.opened", "relay", {"to": "NEW"}),))
    await finish(store)
    merged = await accept_and_settle(store, an_opening_settlement("q2"))
    await store.tickets_merge(number_of(merged), number_of(opened), "person:kim", after(30))
    kept = await accept_and_settle(store, an_opening_settlement("q3"))
    await store.desk_gone("901", after(50))

    assert await store.purge_trash(after(50), now=after(90)) == 0
    assert await store.purge_trash(after(51), now=after(90)) == 1

    everything = await store.tickets_list(merged=True, trashed=True)
    assert [t["id"] for t in everything] == [f"SR-{kept.ticket_id}"]
    assert (await store.gather(from_ids("<q1@acme.example>", "<q2@acme.example>"))).hits == ()
    (life,) = await store.trace("q1")
    assert life["ticket"] is None
    whats = [c["what"] for c in life["changes"]]
    assert (whats[1], whats[-1]) == ("ticket.opened", "ticket.purged")
    assert await store.content("q1")
