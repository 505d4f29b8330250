"""Work for the outside desk: in order, once, whatever breaks (RELIABILITY F04, F18-F21)."""

import asyncio
from datetime import timedelta

import pytest

from contracts.desk_fake import FakeDesk
from flow.desk_world import World
from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.outside import DeskMail, DeskOpening, DeskTicket, Mover
from supportrelay.core.ports import DeskOrder, Settled
from supportrelay.core.ticket import Stage

NEW, WAITING, CLOSED = Stage.NEW, Stage.WAITING, Stage.CLOSED
DOWN = CrmDown("no answer")


async def made(world: World, queue_id: str = "q1") -> tuple[Settled, str]:
    """A ticket that is at the desk, and its id there; nothing counted yet."""
    ticket = await world.opens(queue_id)
    await world.work_off(world.worker())
    world.desk.calls.clear()
    world.clock.go(10)
    return ticket, str(world.row(ticket, "d.external_id")[0])


# -- making it


async def test_a_first_mail_makes_the_ticket_and_is_logged_on_it(world: World) -> None:
    ticket = await world.opens("q1")

    await world.work_off(world.worker())

    assert world.asked() == ["open", "record"], "the first stage is part of the opening"
    (opening,) = world.desk.openings.values()
    assert (opening.customer, opening.customer_name, opening.text) == ("ann@acme.example", "Ann Archer", "It burns.")
    assert (opening.company_id, opening.deal_ids, opening.label) == ("C1", ("D1",), f"SR-{ticket.ticket_id}")
    ((_, mail),) = world.desk.mails
    assert (mail.message_id, mail.is_inbound, mail.at) == ("<q1@acme.example>", True, world.clock())
    assert mail.cc == (("bob@acme.example", "Bob"),)
    assert world.told(ticket) == ["desk.opened", "desk.in_place", "desk.recorded"]
    assert world.work_left() == 0


async def test_ids_of_another_directory_are_not_the_desks(world: World) -> None:
    world.desk.has_directory_ids = False
    await world.opens("q1")

    await world.work_off(world.worker())

    (opening,) = world.desk.openings.values()
    assert (opening.company_id, opening.deal_ids) == ("", ())


async def test_mail_that_came_meanwhile_is_applied_in_order(world: World) -> None:
    ticket = await world.opens("q1")
    world.clock.go(1)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    world.clock.go(1)
    await world.joins("q3", ticket, NEW)

    await world.work_off(world.worker())

    assert world.asked() == ["open", "record", "move", "record", "move", "record"]
    (there,) = world.desk.tickets.values()
    assert [move.stage_id for move in reversed(there.moves)] == ["1", "4", "1"]
    assert [mail.is_inbound for _, mail in world.desk.mails] == [True, False, True]
    assert world.stage(ticket) == "NEW"


async def test_an_opening_whose_answer_was_lost_makes_no_second_ticket(world: World) -> None:
    world.desk.fail("open", DOWN, after=True)
    ticket = await world.opens("q1")
    await world.work_off(world.worker())
    assert world.told(ticket) == ["desk.put_off"]

    world.clock.go(6)
    await world.work_off(world.worker())

    assert world.asked() == ["open", "find", "record"]
    assert len(world.desk.tickets) == 1
    assert world.told(ticket)[1:] == ["desk.opened", "desk.in_place", "desk.recorded"]


async def test_a_worker_that_died_after_the_opening_makes_no_second_ticket(world: World) -> None:
    """Killed between the desk's answer and the commit of its id: the lease runs out, the key finds it."""
    ticket = await world.opens("q1")
    (claimed,) = await world.store.claim_desk(world.clock(), world.office("here:2:dead").lease(), 9)
    stuck = asyncio.Event()
    opened = world.desk.open

    async def open_and_die(opening: DeskOpening) -> DeskTicket:
        there = await opened(opening)
        stuck.set()
        await asyncio.Event().wait()
        return there

    world.desk.open = open_and_die  # type: ignore[method-assign]
    dying = world.worker("here:2:dead")
    task = asyncio.create_task(dying._work(claimed))
    await stuck.wait()
    world.desk.open = opened  # type: ignore[method-assign]

    await world.work_off(world.worker())
    assert len(world.desk.tickets) == 1, "it is still leased"
    world.clock.go(31)
    await world.work_off(world.worker())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert len(world.desk.tickets) == 1
    assert world.work_left() == 0
    assert world.told(ticket) == ["desk.opened", "desk.in_place", "desk.recorded"]


async def test_somebody_moved_it_between_the_opening_and_its_finding(world: World) -> None:
    world.desk.fail("open", DOWN, after=True)
    ticket = await world.opens("q1")
    await world.work_off(world.worker())
    world.clock.go(3)
    (external_id,) = world.desk.tickets
    world.desk.put_by_hand(external_id, WAITING)

    world.clock.go(6)
    await world.work_off(world.worker())

    assert world.there() == [WAITING]
    assert world.stage(ticket) == "WAITING"
    assert "desk.move_dropped" in world.told(ticket)


async def test_a_ticket_that_the_desk_does_not_take_waits_an_hour_and_says_why(world: World) -> None:
    world.desk.fail("open", CrmRefusal("subject: is required"))
    ticket = await world.opens("q1")

    await world.work_off(world.worker())

    error, due = world.row(ticket, "d.last_error", "d.due_at")
    assert error == "subject: is required"
    assert due == int((world.clock() + timedelta(hours=1)).timestamp() * 1e6)
    world.clock.go(3601)
    await world.work_off(world.worker())
    assert world.row(ticket, "d.last_error", "d.due_at") == ("", None)


# -- moving it


async def test_a_reply_costs_three_calls(world: World) -> None:
    ticket, external_id = await made(world)
    await world.joins("q2", ticket, CLOSED, direction="outbound")

    await world.work_off(world.worker())

    assert world.desk.calls == [("current", external_id), ("move", external_id), ("record", external_id)]
    assert world.there() == [CLOSED]
    assert world.why(ticket, "desk.moved")["to"] == "CLOSED"


async def test_what_is_there_already_is_not_written_again(world: World) -> None:
    ticket, _ = await made(world)
    await world.joins("q2", ticket, NEW)

    await world.work_off(world.worker())

    assert world.asked() == ["current", "record"]


async def test_a_persons_later_move_there_stands_against_all_older_mail(world: World) -> None:
    ticket, external_id = await made(world)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    world.clock.go(1)
    await world.joins("q3", ticket, NEW)
    world.clock.go(1)
    world.desk.put_by_hand(external_id, WAITING)
    # The first is done and the worker dies: what it saw must not make the person's move a known one.
    world.desk.fail("record", DOWN)
    await world.work_off(world.worker())
    world.clock.go(6)
    await world.work_off(world.worker())

    assert world.there() == [WAITING]
    assert world.asked("move") == []
    assert world.told(ticket).count("desk.move_dropped") == 2
    assert world.stage(ticket) == "WAITING"
    assert world.why(ticket, "desk.move_dropped")["by"] == "person"
    (moved_at,) = world.row(ticket, "t.moved_by_person_at")
    assert moved_at == int((world.clock() - timedelta(seconds=6)).timestamp() * 1e6)
    assert len(world.desk.mails) == 3, "the mails are logged all the same"


async def test_a_workflow_there_hides_no_mail_that_waits(world: World) -> None:
    """The desk was away when the customer wrote; its own workflow closed the quiet ticket a moment later."""
    ticket, external_id = await made(world)
    world.desk.put_by_hand(external_id, WAITING)
    world.clock.go(1)
    await world.joins("q2", ticket, NEW)
    world.clock.go(1)
    world.desk.put_by_hand(external_id, CLOSED, by=Mover.AUTOMATION)

    await world.work_off(world.worker())

    assert world.there() == [NEW]
    assert world.stage(ticket) == "NEW"


async def test_a_mail_after_the_persons_move_moves_it(world: World) -> None:
    ticket, external_id = await made(world)
    world.desk.put_by_hand(external_id, CLOSED)
    world.clock.go(1)
    await world.joins("q2", ticket, NEW)

    await world.work_off(world.worker())

    assert world.there() == [NEW]


async def test_down_while_a_colleague_closes_and_the_customer_answers_it_is_new_in_the_end(world: World) -> None:
    ticket, _ = await made(world)
    world.desk.fail("current", DOWN)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    await world.work_off(world.worker())
    world.clock.go(1)
    await world.joins("q3", ticket, NEW)
    world.clock.go(5)
    await world.work_off(world.worker())

    assert world.there() == [NEW]
    assert world.stage(ticket) == "NEW"


async def test_a_move_whose_answer_was_lost_is_our_own(world: World) -> None:
    ticket, _ = await made(world)
    world.desk.fail("move", DOWN, after=True)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    world.clock.go(1)
    await world.joins("q3", ticket, NEW)
    world.clock.go(1)
    await world.work_off(world.worker())
    assert world.there() == [CLOSED]
    world.desk.fail("record", DOWN)
    world.clock.go(6)
    await world.work_off(world.worker())
    world.clock.go(16)
    await world.work_off(world.worker())

    assert world.told(ticket)[-4:] == ["desk.in_place", "desk.recorded", "desk.moved", "desk.recorded"]
    assert world.there() == [NEW]
    assert world.row(ticket, "t.moved_by_person_at") == (None,)


async def test_a_refused_move_is_told_once_and_the_mirror_shows_what_is(world: World) -> None:
    ticket, _ = await made(world)
    world.desk.moves_refused.add(CLOSED)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    assert world.stage(ticket) == "CLOSED"

    await world.work_off(world.worker())

    assert world.asked("move") == ["move"]
    assert world.stage(ticket) == "NEW"
    assert world.told(ticket)[-2:] == ["desk.move_refused", "desk.recorded"]
    assert "hs_pipeline_stage" in world.why(ticket, "desk.move_refused")["error"]
    world.clock.go(3600)
    await world.work_off(world.worker())
    assert world.asked("move") == ["move"]


async def test_a_persons_move_here_is_written_there(world: World) -> None:
    ticket, _ = await made(world)
    assert ticket.ticket_id is not None
    await world.store.ticket_move(f"SR-{ticket.ticket_id}", "WAITING", "person:zoe", world.clock())

    await world.work_off(world.worker())

    assert world.there() == [WAITING]
    assert world.asked() == ["current", "move"]


async def test_a_desk_that_does_not_tell_is_written_to_unasked(world: World) -> None:
    world.desk.tells_stage = False
    ticket = await world.opens("q1")
    world.clock.go(1)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    await world.work_off(world.worker())
    world.clock.go(1)
    await world.joins("q3", ticket, NEW)
    await world.work_off(world.worker())

    assert world.asked() == ["open", "record", "move", "record", "move", "record"]


async def test_a_ticket_merged_there_goes_on_in_the_other_one(world: World) -> None:
    ticket, external_id = await made(world)
    other = world.desk.put_there(NEW)
    world.desk.merge(external_id, other.external_id)
    await world.joins("q2", ticket, CLOSED, direction="outbound")

    await world.work_off(world.worker())

    assert world.desk.tickets[other.external_id].stage == CLOSED
    assert world.work_left() == 0


# -- deleted there


async def test_a_ticket_deleted_there_goes_into_our_trash_and_the_mail_makes_a_new_one(world: World) -> None:
    ticket, external_id = await made(world)
    world.desk.delete(external_id)
    await world.joins("q2", ticket, NEW)

    await world.work_off(world.worker())

    assert world.row(ticket, "t.trashed_at")[0] is not None
    (there,) = world.desk.tickets.values()
    assert there.external_id != external_id
    assert [(one, mail.message_id) for one, mail in world.desk.mails[1:]] == [(there.external_id, "<q2@acme.example>")]
    assert world.work_left() == 0


async def test_deleted_while_its_mail_was_only_to_be_logged(world: World) -> None:
    ticket, external_id = await made(world)
    world.desk.delete(external_id)
    await world.joins("q2", ticket, None, desk=DeskOrder(None, records=True), direction="note")

    await world.work_off(world.worker())

    assert world.row(ticket, "t.trashed_at")[0] is not None
    assert world.work_left() == 0
    assert len(world.desk.tickets) == 1


# -- logging mail


async def test_a_record_whose_answer_was_lost_is_not_made_twice(world: World) -> None:
    ticket, _ = await made(world)
    world.desk.fail("record", DOWN, after=True)
    await world.joins("q2", ticket, NEW)
    await world.work_off(world.worker())
    world.clock.go(6)
    await world.work_off(world.worker())

    assert world.asked("record") == ["record", "record"]
    assert [mail.message_id for _, mail in world.desk.mails] == ["<q1@acme.example>", "<q2@acme.example>"]


async def test_a_refused_record_is_told_and_holds_nothing_up(world: World) -> None:
    ticket, _ = await made(world)
    world.desk.fail("record", CrmRefusal("hs_email_text: too long"))
    await world.joins("q2", ticket, NEW)
    world.clock.go(1)
    await world.joins("q3", ticket, CLOSED, direction="outbound")

    await world.work_off(world.worker())

    assert "desk.record_refused" in world.told(ticket)
    assert world.there() == [CLOSED]
    assert len(world.desk.mails) == 2


async def test_a_mail_whose_content_is_gone_is_skipped(world: World) -> None:
    ticket = await world.opens("q1")
    await world.store.write(lambda c: c.execute("DELETE FROM contents").rowcount)

    await world.work_off(world.worker())

    assert world.told(ticket) == ["desk.opened", "desk.in_place", "desk.record_skipped"]
    assert world.desk.mails == []


async def test_attachments_are_named_with_their_sizes(world: World) -> None:
    boundary = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nSee.\r\n--b\r\n'
        b'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nAAECAwQ=\r\n--b--\r\n"
    )
    await world.opens("q1", octets=b"From: ann@acme.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + boundary)

    await world.work_off(world.worker())

    ((_, mail),) = world.desk.mails
    assert mail.attachments == (("a.pdf", 5),)


# -- down, and back


async def test_a_desk_that_is_down_is_left_alone_and_everything_goes_on_at_once(world: World) -> None:
    for number in range(6):
        await world.opens(f"q{number}")
    retry_at = world.clock() + timedelta(seconds=40)
    world.desk.fail("open", CrmDown("429", retry_at=retry_at), times=99)
    world.desk.fail("find", CrmDown("429", retry_at=retry_at), times=99)
    worker = world.worker()
    await world.work_off(worker)
    asked = len(world.desk.calls)
    assert asked == 4, "as many as were under way; the others were not even claimed"

    world.clock.go(39)
    await world.work_off(worker)
    assert len(world.desk.calls) == asked

    world.desk.heal()
    world.clock.go(1)
    await world.work_off(worker)
    assert len(world.desk.tickets) == 6
    assert world.work_left() == 0
    assert len(world.desk.mails) == 6


async def test_the_first_answer_brings_back_what_was_put_off(world: World) -> None:
    await world.opens("q1")
    world.desk.fail("open", DOWN)
    worker = world.worker()
    await world.work_off(worker)
    assert world.work_left() == 1
    await world.opens("q2")

    await world.work_off(worker)

    assert world.work_left() == 0, "nobody waits for its time when another one's work shows that the desk answers"


async def test_what_is_known_without_asking_is_no_try(world: World) -> None:
    closed = CrmDown("closed", retry_at=world.clock() + timedelta(hours=2), is_closed=True)
    world.desk.fail("open", closed, times=2)
    world.desk.fail("find", closed, times=2)
    ticket = await world.opens("q1")
    worker = world.worker()

    await world.work_off(worker)

    assert world.row(ticket, "d.tries") == (0,)
    world.desk.heal()
    worker.resume()
    await world.work_off(worker)
    assert world.work_left() == 0


@pytest.mark.parametrize("locked_for", [None, timedelta(seconds=2)], ids=["it-fails", "it-is-locked"])
async def test_one_ticket_that_always_fails_keeps_nobody_waiting(world: World, locked_for: timedelta | None) -> None:
    poisoned = await world.opens("q0")

    class Poisoned(FakeDesk):
        async def find(self, key: str) -> DeskTicket | None:
            if key == poison:
                raise CrmDown("423", retry_at=world.clock() + locked_for if locked_for else None)
            return await super().find(key)

    (claimed,) = await world.store.claim_desk(world.clock(), world.office().lease(), 1)
    poison = claimed.key
    await world.store.desk_end(claimed.ticket_id, world.office().lease(), world.clock(), due_at=world.clock())
    world.desk = Poisoned(world.clock)
    worker = world.worker()
    for number in range(1, 30):
        await world.opens(f"q{number}")
        await world.work_off(worker)
        if locked_for is None:
            assert len(world.desk.tickets) == number
        world.clock.go(1)
    world.clock.go(2)
    await world.work_off(worker)

    assert len(world.desk.tickets) == number
    assert world.row(poisoned, "d.tries")[0] <= 5, "it is not asked again for each of the others"


async def test_a_mistake_of_ours_is_put_off_and_holds_nobody_up(world: World) -> None:
    broken = await world.opens("q1")
    world.desk.fail("open", ValueError("ours"))
    fine = await world.opens("q2", ids=())

    await world.work_off(world.worker(slots=1))

    assert world.row(broken, "d.last_error", "d.tries") == ("broke: ValueError", 1)
    assert world.told(fine)[-1] == "desk.recorded"


# -- who works


async def test_two_workers_are_never_on_the_same_ticket(world: World) -> None:
    at_work: set[str] = set()
    most = 0

    class Watched(FakeDesk):
        async def record(self, external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
            nonlocal most
            assert external_id not in at_work
            at_work.add(external_id)
            most = max(most, len(at_work))
            for _ in range(5):
                await asyncio.sleep(0)
            at_work.discard(external_id)
            await super().record(external_id, mail, is_repeat=is_repeat)

    world.desk = Watched(world.clock)
    tickets = [await world.opens(f"q{number}") for number in range(8)]
    for number, ticket in enumerate(tickets):
        world.clock.go(0.1)
        await world.joins(f"r{number}", ticket, CLOSED, direction="outbound")

    await world.work_off(world.worker("here:1:a", slots=2), world.worker("here:2:b", slots=2))

    assert len(world.desk.tickets) == 8
    assert world.there() == [CLOSED] * 8
    assert len(world.desk.mails) == 16
    assert most > 1, "they did work at the same time"


async def test_who_lost_the_lease_writes_nothing_more(world: World) -> None:
    ticket, _ = await made(world)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    (claimed,) = await world.store.claim_desk(world.clock(), world.office("here:2:slow").lease(), 9)
    world.clock.go(31)
    await world.work_off(world.worker())
    before = world.told(ticket)

    await world.worker("here:2:slow")._work(claimed)

    assert world.told(ticket) == before
    assert world.work_left() == 0


async def test_a_process_that_slept_past_its_lease_does_not_begin_a_second_time(world: World) -> None:
    """A busy machine: the lease is over, and whoever claims it again is the one who is still at it."""
    ticket, external_id = await made(world)
    await world.joins("q2", ticket, CLOSED, direction="outbound")
    at_it, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeDesk):
        async def record(self, external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
            at_it.set()
            self.calls.append(("record", external_id))
            await go_on.wait()
            self.mails.append((external_id, mail))

    slow = Slow(world.clock)
    slow.tickets = world.desk.tickets
    world.desk = slow
    worker = world.worker()
    await worker._pick_up()
    await at_it.wait()
    world.clock.go(31)

    await worker._pick_up()
    for _ in range(50):
        await asyncio.sleep(0)
    go_on.set()
    await world.work_off(worker)

    assert world.asked("record") == ["record"]
    assert [id_ for id_, _ in slow.mails] == [external_id]
    assert world.work_left() == 0


async def test_leaving_hands_back_what_is_under_way(world: World) -> None:
    ticket = await world.opens("q1")
    stuck = asyncio.Event()

    class Slow(FakeDesk):
        async def open(self, opening: DeskOpening) -> DeskTicket:
            stuck.set()
            await asyncio.Event().wait()
            return await super().open(opening)

    world.desk = Slow(world.clock)
    worker = world.worker()
    running = asyncio.create_task(worker.run())
    await stuck.wait()

    await worker.leave(0)
    await running

    assert world.row(ticket, "d.holder", "d.due_at", "d.tries") == (None, int(world.clock().timestamp() * 1e6), 0)


async def test_a_worker_that_runs_finds_work_by_itself_and_leaves(world: World) -> None:
    worker = world.worker()
    running = asyncio.create_task(worker.run())
    recorded = asyncio.Event()
    record = world.desk.record

    async def note(external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
        await record(external_id, mail, is_repeat=is_repeat)
        recorded.set()

    world.desk.record = note  # type: ignore[method-assign]
    await world.opens("q1")
    worker.wake()
    await asyncio.wait_for(recorded.wait(), 10)

    await worker.leave(10)
    await running

    assert world.work_left() == 0
