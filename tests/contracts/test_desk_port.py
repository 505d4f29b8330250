"""What every desk promises (`core.crm_ports.TicketDesk`): the fake of the other tests, and HubSpot in both versions."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts.desk_boards import Board, FakeBoard, a_mail, an_opening, hubspot_desk, running_double
from hubspot_double.process import HubSpotDouble
from supportrelay.core.errors import CrmRefusal
from supportrelay.core.outside import DeskTicket, Mover
from supportrelay.core.ticket import Stage

NOBODY = "1" * 11


@pytest.fixture(scope="module")
def double() -> Iterator[HubSpotDouble]:
    with running_double() as started:
        # Nothing that is promised about single tickets may come out of a search.
        started.set(search_lag_s=3600)
        yield started


@pytest.fixture(params=["fake", "2026-03", "legacy"])
async def board(request: pytest.FixtureRequest) -> AsyncIterator[Board]:
    if request.param == "fake":
        yield FakeBoard()
        return
    async with hubspot_desk(request.getfixturevalue("double"), request.param) as made:
        yield made


async def test_a_ticket_that_was_made_is_found_by_key_and_by_id(board: Board) -> None:
    opening = an_opening()

    assert await board.desk.find(opening.key) is None
    made = await board.desk.open(opening)
    found, current = await board.desk.find(opening.key), await board.desk.current(made.external_id)

    assert found == current
    assert found is not None
    for ticket in (made, found):
        assert (ticket.stage, ticket.key, ticket.subject) == (Stage.NEW, opening.key, "Printer on fire")
        assert (ticket.external_id, ticket.stage_id) == (made.external_id, made.stage_id)
        assert ticket.updated_at.tzinfo is not None
        assert abs(ticket.updated_at - found.moves[0].at) < timedelta(seconds=5)
    assert [(move.stage_id, move.by) for move in found.moves] == [(made.stage_id, Mover.PROGRAM)]


@pytest.mark.parametrize("stage", [Stage.NEW, Stage.WAITING, Stage.CLOSED])
async def test_a_ticket_may_begin_in_any_stage(board: Board, stage: Stage) -> None:
    assert (await board.desk.open(an_opening(stage=stage))).stage == stage


async def test_the_same_key_again_is_the_same_ticket(board: Board) -> None:
    """Whatever was decided anew meanwhile: the first one stands."""
    opening = an_opening()
    first = await board.desk.open(opening)
    again = await board.desk.open(replace(opening, subject="Another", stage=Stage.CLOSED))

    assert (again.external_id, again.stage, again.subject) == (first.external_id, Stage.NEW, "Printer on fire")
    assert board.count(opening.key) == 1


async def test_a_move_stands_in_the_history_newest_first(board: Board) -> None:
    made = await board.desk.open(an_opening())
    moved = await board.desk.move(made.external_id, Stage.CLOSED)
    current = await board.desk.current(made.external_id)

    assert current is not None
    assert (moved.external_id, moved.stage, moved.stage_id) == (made.external_id, Stage.CLOSED, current.stage_id)
    assert (current.stage, [move.stage_id for move in current.moves]) == (
        Stage.CLOSED,
        [moved.stage_id, made.stage_id],
    )
    assert moved.updated_at >= made.updated_at


async def test_a_move_by_hand_is_told_from_ours(board: Board) -> None:
    made = await board.desk.open(an_opening())
    board.hand_move(made.external_id, Stage.WAITING)
    current = await board.desk.current(made.external_id)

    assert current is not None
    assert current.stage == Stage.WAITING
    assert [move.by for move in current.moves] == [Mover.PERSON, Mover.PROGRAM]
    assert current.moves[0].who
    assert current.moves[0].at > current.moves[1].at


async def test_a_deleted_ticket_is_gone_whoever_asks(board: Board) -> None:
    opening = an_opening()
    gone, stays = await board.desk.open(opening), await board.desk.open(an_opening())
    board.delete(gone.external_id)

    assert await board.desk.current(gone.external_id) is None
    assert await board.desk.find(opening.key) is None
    assert await board.desk.gone([gone.external_id, stays.external_id, NOBODY]) == {gone.external_id, NOBODY}
    with pytest.raises(CrmRefusal) as refused:
        await board.desk.move(gone.external_id, Stage.NEW)
    assert refused.value.http_status == 404


async def test_nobody_asked_for_nothing(board: Board) -> None:
    assert await board.desk.gone([]) == frozenset()


async def test_a_merged_ticket_answers_as_the_one_it_went_into(board: Board) -> None:
    keep, lose = await board.desk.open(an_opening()), await board.desk.open(an_opening())
    board.merge(lose.external_id, keep.external_id)
    current = await board.desk.current(lose.external_id)

    assert current is not None
    assert current.external_id == keep.external_id
    assert await board.desk.gone([lose.external_id]) == frozenset()
    assert (await board.desk.move(lose.external_id, Stage.CLOSED)).external_id == keep.external_id


async def test_a_mail_is_logged_and_a_repeat_looks_first(board: Board) -> None:
    made = await board.desk.open(an_opening())
    first, second = a_mail(), a_mail(subject="Re: Printer on fire")

    await board.desk.record(made.external_id, first, is_repeat=False)
    await board.desk.record(made.external_id, first, is_repeat=True)
    await board.desk.record(made.external_id, second, is_repeat=True)

    assert sorted(board.mails(made.external_id)) == ["Printer on fire", "Re: Printer on fire"]


async def test_the_same_mail_is_logged_on_each_ticket_it_belongs_to(board: Board) -> None:
    one, other = await board.desk.open(an_opening()), await board.desk.open(an_opening())
    await board.desk.record(one.external_id, a_mail(), is_repeat=True)
    await board.desk.record(other.external_id, a_mail(), is_repeat=True)

    assert (len(board.mails(one.external_id)), len(board.mails(other.external_id))) == (1, 1)


async def test_a_mail_for_a_ticket_that_is_not_there_is_refused(board: Board) -> None:
    with pytest.raises(CrmRefusal):
        await board.desk.record(NOBODY, a_mail(), is_repeat=False)


async def test_a_logged_mail_moves_nothing(board: Board) -> None:
    made = await board.desk.open(an_opening(stage=Stage.CLOSED))
    await board.desk.record(made.external_id, a_mail(), is_repeat=False)
    current = await board.desk.current(made.external_id)

    assert current is not None
    assert (current.stage, len(current.moves)) == (Stage.CLOSED, 1)


async def test_changes_are_told_oldest_first_and_none_is_left_out(board: Board, request: pytest.FixtureRequest) -> None:
    if not isinstance(board, FakeBoard):
        request.getfixturevalue("double").set(search_lag_s=0)
    first, second = await board.desk.open(an_opening()), await board.desk.open(an_opening())
    board.hand_move(first.external_id, Stage.WAITING)

    told = await board.desk.changed(first.updated_at)
    ours = [one for one in told.tickets if one.external_id in {first.external_id, second.external_id}]
    assert [(one.external_id, one.stage) for one in ours] == [
        (second.external_id, Stage.NEW),
        (first.external_id, Stage.WAITING),
    ]
    assert told.is_whole
    assert first.updated_at <= told.until <= max(one.updated_at for one in told.tickets)
    later = await board.desk.changed(told.until)
    assert _newest(later.tickets) == _newest(told.tickets)
    if not isinstance(board, FakeBoard):
        request.getfixturevalue("double").set(search_lag_s=3600)


def _newest(tickets: tuple[DeskTicket, ...]) -> tuple[str, Stage]:
    return (tickets[-1].external_id, tickets[-1].stage)


async def test_nothing_changed_leaves_the_cursor_where_it_is(board: Board) -> None:
    far = datetime(2040, 1, 1, tzinfo=UTC)
    told = await board.desk.changed(far)

    assert (told.tickets, told.until, told.is_whole) == ((), far, True)


async def test_a_desk_closes_more_than_once(board: Board) -> None:
    await board.desk.aclose()
    await board.desk.aclose()
