"""Which move stands at the outside desk: what a mail asks for, or what somebody did there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supportrelay.core.desk_sync import Verdict, VerdictKind, decided_at, foreign_move, judge, moved_at
from supportrelay.core.outside import DeskMove, DeskTicket, Mover
from supportrelay.core.ticket import Stage

T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
IDS = {"1": Stage.NEW, "2": Stage.WAITING, "4": Stage.CLOSED, "9": Stage.OTHER}
PERSON, PROGRAM, AUTOMATION = Mover.PERSON, Mover.PROGRAM, Mover.AUTOMATION


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def there(*moves: tuple[str, float, Mover]) -> DeskTicket:
    """A ticket with its history, newest first."""
    told = tuple(DeskMove(stage_id, at(seconds), by) for stage_id, seconds, by in moves)
    return DeskTicket("5001", IDS[moves[0][0]], moves[0][0], at(moves[0][1] + 30), told)


def untold(stage_id: str, updated: float) -> DeskTicket:
    """A ticket at a desk without history."""
    return DeskTicket("5001", IDS[stage_id], stage_id, at(updated))


MADE = ("1", 0, PROGRAM)
WRITE, ALREADY, DROP = VerdictKind.WRITE, VerdictKind.ALREADY, VerdictKind.DROP
WRITTEN: dict[str, Any] = {"written_stage_id": "1", "written_at": at(0)}
ROWS: list[Any] = [
    # the ticket there; wanted, asked at; what we know; verdict, when and by whom it was moved
    pytest.param(there(MADE), "CLOSED", 10, WRITTEN, WRITE, None, id="nobody-touched-it"),
    pytest.param(there(MADE), "NEW", 10, WRITTEN, ALREADY, None, id="it-is-there"),
    pytest.param(there(("4", 5, PERSON), MADE), "NEW", 10, WRITTEN, WRITE, None, id="a-person-before-the-mail"),
    pytest.param(there(("4", 15, PERSON), MADE), "NEW", 10, WRITTEN, DROP, 15, id="a-person-after-the-mail"),
    pytest.param(there(("4", 10, PERSON), MADE), "NEW", 10, WRITTEN, WRITE, None, id="at-the-same-instant"),
    pytest.param(there(("4", 15, PERSON), MADE), "CLOSED", 10, WRITTEN, DROP, 15, id="to-the-same-stage-all-the-same"),
    pytest.param(there(("9", 15, PERSON), MADE), "NEW", 10, WRITTEN, DROP, 15, id="into-a-stage-without-meaning-here"),
    pytest.param(there(("9", 5, PERSON), MADE), "NEW", 10, WRITTEN, WRITE, None, id="out-of-a-stage-without-meaning"),
    pytest.param(there(("4", 15, AUTOMATION), MADE), "NEW", 10, WRITTEN, WRITE, None, id="a-workflow-hides-no-mail"),
    pytest.param(there(("2", 15, AUTOMATION), MADE), "CLOSED", 10, WRITTEN, DROP, 15, id="a-workflow-keeps-it-open"),
    pytest.param(
        there(("4", 20, AUTOMATION), ("2", 15, PERSON), MADE), "NEW", 10, WRITTEN, DROP, 15,
        id="a-person-before-a-workflow",
    ),
    pytest.param(
        there(("4", 20, AUTOMATION), ("2", 5, PERSON), MADE), "NEW", 10, WRITTEN, WRITE, None,
        id="a-person-before-the-mail-and-a-workflow",
    ),
    pytest.param(there(("2", 15, PROGRAM), MADE), "NEW", 10, WRITTEN, DROP, 15, id="another-program"),
    pytest.param(
        there(("4", 15.4, PROGRAM), MADE), "NEW", 10, {"written_stage_id": "4", "written_at": at(15)}, WRITE, None,
        id="our-own-write-by-their-clock",
    ),
    pytest.param(
        there(("2", 15.4, PERSON), MADE), "NEW", 10, {"written_stage_id": "4", "written_at": at(15)}, DROP, 15.4,
        id="a-person-right-after-our-write",
    ),
    pytest.param(
        there(("4", 17, PERSON), MADE), "NEW", 10, {"written_stage_id": "4", "written_at": at(15)}, DROP, 17,
        id="a-person-to-where-we-wrote-later",
    ),
    pytest.param(there(("4", 15, PROGRAM), MADE), "CLOSED", 10, WRITTEN, DROP, 15, id="a-program-to-the-same"),
    pytest.param(
        there(("4", 15, PROGRAM), MADE), "CLOSED", 10, WRITTEN | {"is_repeat": True}, ALREADY, None, id="our-lost-write"
    ),
    pytest.param(
        there(("4", 15, PERSON), MADE), "CLOSED", 10, WRITTEN | {"is_repeat": True}, DROP, 15,
        id="a-person-is-never-our-lost-write",
    ),
    pytest.param(
        there(("2", 20, PERSON), ("4", 15, PROGRAM), MADE), "CLOSED", 10, WRITTEN | {"is_repeat": True}, DROP, 20,
        id="a-person-after-our-lost-write",
    ),
    pytest.param(
        there(("2", 15, PROGRAM), MADE), "CLOSED", 10, WRITTEN | {"is_repeat": True}, DROP, 15,
        id="not-what-we-had-wanted",
    ),
    pytest.param(there(("4", 15, PERSON), MADE), "NEW", 10, {}, DROP, 15, id="adopted-never-written"),
    pytest.param(there(("4", 5, PERSON), MADE), "NEW", 10, {}, WRITE, None, id="adopted-moved-long-ago"),
    pytest.param(untold("4", 15), "NEW", 10, WRITTEN, DROP, 15, id="no-history-another-stage-later"),
    pytest.param(untold("4", 5), "NEW", 10, WRITTEN, WRITE, None, id="no-history-another-stage-earlier"),
    pytest.param(untold("1", 15), "CLOSED", 10, WRITTEN, WRITE, None, id="no-history-what-we-wrote"),
    pytest.param(untold("4", 15), "NEW", 10, {}, WRITE, None, id="no-history-nothing-written"),
    pytest.param(untold("4", 15), "CLOSED", 10, {}, ALREADY, None, id="no-history-there-already"),
]  # fmt: skip


@pytest.mark.parametrize(("current", "wanted", "asked", "known", "kind", "moved"), ROWS)
def test_which_move_stands(
    current: DeskTicket, wanted: str, asked: float, known: dict[str, Any], kind: VerdictKind, moved: float | None
) -> None:
    verdict = judge(current, wanted=Stage(wanted), asked_at=at(asked), **known)

    assert verdict.kind == kind
    assert (verdict.moved.at if verdict.moved else None) == (None if moved is None else at(moved))


def test_a_dropped_move_says_who_moved_it() -> None:
    verdict = judge(there(("4", 15, PERSON), MADE), wanted=Stage.NEW, asked_at=at(10), **WRITTEN)

    assert verdict == Verdict(DROP, DeskMove("4", at(15), PERSON))


def test_what_we_wrote_ourselves_is_nobody_elses_move() -> None:
    assert foreign_move(there(MADE), **WRITTEN) is None
    assert foreign_move(untold("1", 99), **WRITTEN) is None


def test_when_a_ticket_came_where_it_is() -> None:
    assert moved_at(there(("4", 15, PERSON), MADE)) == at(15)
    assert moved_at(untold("4", 15)) == at(15)


def test_when_somebody_decided_who_may_have_read_the_mail() -> None:
    assert decided_at(there(("4", 15, PERSON), MADE), **WRITTEN) == at(15)
    assert decided_at(there(("4", 15, AUTOMATION), MADE), **WRITTEN) is None
    assert decided_at(there(("4", 20, AUTOMATION), ("2", 15, PERSON), MADE), **WRITTEN) == at(15)
    assert decided_at(untold("4", 15), **WRITTEN) == at(15)
