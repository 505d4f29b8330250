"""What people do at the outside desk comes back: moved tickets, deleted tickets, whoever of the workers looks."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from contracts.desk_fake import STAGE_IDS, FakeDesk
from flow.desk_world import World
from supportrelay.core.errors import CrmDown
from supportrelay.core.outside import DeskChanges, Mover
from supportrelay.core.ports import Settled
from supportrelay.core.ticket import Stage
from supportrelay.flow.desk_watch import DeskWatch

NEW, WAITING, CLOSED, OTHER = Stage.NEW, Stage.WAITING, Stage.CLOSED, Stage.OTHER


def watch(world: World, holder: str = "here:1:a") -> DeskWatch:
    return DeskWatch(world.office(holder), world.store, world.desk, poll_every=timedelta(seconds=10))


async def made(world: World, queue_id: str = "q1") -> tuple[Settled, str]:
    """A ticket that is at the desk, and its id there; nothing counted yet."""
    ticket = await world.opens(queue_id)
    await world.work_off(world.worker())
    world.desk.calls.clear()
    world.clock.go(10)
    return ticket, str(world.row(ticket, "d.external_id")[0])


async def test_a_ticket_moved_there_is_moved_here(world: World) -> None:
    ticket, external_id = await made(world)
    watcher = watch(world)
    assert await watcher.tick()
    world.desk.put_by_hand(external_id, WAITING)
    moved_at = world.clock()
    world.clock.go(30)

    assert await watcher.tick()

    assert world.stage(ticket) == "WAITING"
    assert world.row(ticket, "t.moved_by_person_at") == (int(moved_at.timestamp() * 1e6),)
    assert world.why(ticket, "ticket.moved")["to"] == "WAITING"
    assert (await world.store.ticket_move(f"SR-{ticket.ticket_id}", "CLOSED", "person:zoe", world.clock())) is not None


async def test_a_workflow_that_closes_a_ticket_is_no_person(world: World) -> None:
    """Mail that was accepted before and is decided later still opens it (`stages`)."""
    ticket, external_id = await made(world)
    world.desk.put_by_hand(external_id, CLOSED, by=Mover.AUTOMATION)

    await watch(world).tick()

    assert world.stage(ticket) == "CLOSED"
    assert world.row(ticket, "t.moved_by_person_at") == (None,)


async def test_a_stage_without_meaning_here_is_other(world: World) -> None:
    ticket, external_id = await made(world)
    world.desk.put_by_hand(external_id, OTHER)

    await watch(world).tick()

    assert world.stage(ticket) == "OTHER"


async def test_what_nobody_changed_costs_one_call(world: World) -> None:
    await made(world)

    await watch(world).tick()

    assert world.asked() == ["changed"]


async def test_work_that_waits_is_not_undone_by_looking(world: World) -> None:
    """The mirror is ahead of the desk; its work decides what stands."""
    ticket, external_id = await made(world)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    world.desk.put_by_hand(external_id, WAITING)

    await watch(world).tick()

    assert world.stage(ticket) == "CLOSED"


async def test_the_list_lags_the_id_does_not(world: World) -> None:
    """A list that still shows the old stage must not take the mirror back."""
    ticket, external_id = await made(world)
    stale = replace(world.desk.tickets[external_id], stage=CLOSED, stage_id=STAGE_IDS[CLOSED])

    class Lagging(FakeDesk):
        async def changed(self, since: datetime) -> DeskChanges:
            return DeskChanges((stale,), since)

    desk = Lagging(world.clock)
    desk.tickets = world.desk.tickets
    world.desk = desk

    await watch(world).tick()

    assert world.asked() == ["current"]
    assert world.stage(ticket) == "NEW"


async def test_a_deleted_ticket_goes_into_the_trash(world: World) -> None:
    ticket, external_id = await made(world)
    watcher = watch(world)
    await watcher.tick()
    world.desk.delete(external_id)
    world.clock.go(1800)
    await watcher.tick()
    assert world.row(ticket, "t.trashed_at") == (None,), "each ticket is looked at about once an hour"

    world.clock.go(1900)
    await watcher.tick()

    assert world.row(ticket, "t.trashed_at")[0] is not None
    world.clock.go(30 * 86400 + 86400)
    await watcher.tick()
    gone = world.store.read(lambda c: c.execute("SELECT count(*) FROM tickets").fetchone())
    assert gone == (0,), "after 30 days for good"


async def test_another_accounts_token_puts_nothing_into_the_trash(world: World) -> None:
    """Every id is unknown there. The board is as it was, so none would come back out of the trash by itself."""
    tickets = [await made(world, f"q{number}") for number in range(12)]
    right = world.desk
    world.clock.go(3700)

    world.desk = FakeDesk(world.clock)
    await watch(world).tick()
    assert [world.row(ticket, "t.trashed_at") for ticket, _ in tickets] == [(None,)] * 12

    world.desk = right
    right.delete(tickets[0][1])
    world.clock.go(3700)
    await watch(world).tick()
    trashed = [world.row(ticket, "t.trashed_at") != (None,) for ticket, _ in tickets]
    assert trashed == [True] + [False] * 11


async def test_one_of_all_workers_looks_and_another_goes_on_where_it_was(world: World) -> None:
    _, external_id = await made(world)
    one, other = watch(world, "here:1:a"), watch(world, "here:2:b")

    assert await one.tick()
    assert not await other.tick()

    world.desk.put_by_hand(external_id, CLOSED)
    until = world.clock()
    assert await one.tick()
    world.clock.go(31)
    asked: list[datetime] = []
    changed = world.desk.changed

    async def note(since: datetime) -> DeskChanges:
        asked.append(since)
        return await changed(since)

    world.desk.changed = note  # type: ignore[method-assign]
    assert await other.tick(), "the first one is dead: its lease ran out"
    assert asked == [until], "the cursor is kept in the store"
    assert not await one.tick()


async def test_many_changes_are_read_page_by_page(world: World) -> None:
    tickets = [await made(world, f"q{number}") for number in range(3)]
    for _, external_id in tickets:
        world.clock.go(1)
        world.desk.put_by_hand(external_id, CLOSED)
    changed = world.desk.changed

    async def one_by_one(since: datetime) -> DeskChanges:
        found = [ticket for ticket in (await changed(since)).tickets if ticket.stage == CLOSED]
        until = found[0].updated_at + timedelta(microseconds=1) if found else since
        return DeskChanges(tuple(found[:1]), until, is_whole=len(found) < 2)

    world.desk.changed = one_by_one  # type: ignore[method-assign]
    await watch(world).tick()

    assert [world.stage(ticket) for ticket, _ in tickets] == ["CLOSED"] * 3


async def test_a_desk_that_is_down_is_asked_again_next_time(world: World) -> None:
    ticket, external_id = await made(world)
    world.desk.put_by_hand(external_id, CLOSED)
    watcher = watch(world)
    world.desk.fail("changed", CrmDown("no answer"))
    world.desk.fail("current", CrmDown("no answer"))
    await watcher.tick()
    await watcher.tick()
    assert world.stage(ticket) == "NEW"

    await watcher.tick()

    assert world.stage(ticket) == "CLOSED", "the cursor did not go past what was not looked at"


async def test_a_webhook_has_a_ticket_looked_at_now(world: World) -> None:
    ticket, external_id = await made(world)
    _, deleted = await made(world, "q2")
    world.desk.put_by_hand(external_id, WAITING)
    world.desk.delete(deleted)

    await watch(world, "here:9:web").look([external_id, "no such id", deleted])

    assert world.stage(ticket) == "WAITING"
    assert sorted(world.desk.calls) == [("current", external_id), ("current", deleted)]
    assert world.store.read(lambda c: c.execute("SELECT count(trashed_at) FROM tickets").fetchone()) == (1,)
    world.desk.fail("current", CrmDown("no answer"))
    await watch(world).look([external_id])


async def test_two_merged_there_follow_the_one_that_stays(world: World) -> None:
    ticket, external_id = await made(world)
    stays = world.desk.put_there(CLOSED)
    world.desk.merge(external_id, stays.external_id)

    await watch(world).look([external_id])

    assert world.stage(ticket) == "CLOSED"


async def test_it_looks_until_it_leaves(world: World) -> None:
    ticket, external_id = await made(world)
    world.clock.go(3700)
    world.desk.put_by_hand(external_id, CLOSED)
    looked = asyncio.Event()
    gone = world.desk.gone

    async def note(external_ids: list[str]) -> frozenset[str]:
        looked.set()
        return await gone(external_ids)

    world.desk.gone = note  # type: ignore[assignment,method-assign]
    watcher = watch(world)
    running = asyncio.create_task(watcher.run())
    await asyncio.wait_for(looked.wait(), 10)
    watcher.leave()
    await running

    assert world.stage(ticket) == "CLOSED"
