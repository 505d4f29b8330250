"""Work for a ticket at an outside desk meets what people did there meanwhile: write, leave it, or drop the move.

The desk's clock and ours differ by little (both keep time); whoever decided later stands (DESIGN 5, "the order of
acceptance"). The mirror is never asked.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from supportrelay.core.outside import DeskMove, DeskTicket, Mover
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = ["Verdict", "VerdictKind", "decided_at", "foreign_move", "judge", "moved_at"]

# What a desk answers to a write and what its history says of it differ by milliseconds.
_SAME_WRITE = timedelta(seconds=1)


class VerdictKind(StrEnum):
    """What becomes of a move."""

    WRITE = "write"
    ALREADY = "already"
    DROP = "drop"


@value_class
class Verdict:
    """What becomes of a move.

    Attributes:
        moved: For DROP: the later move that stands. A workflow's does not stand against a move to NEW.
        is_lost_write: For ALREADY: it is our own write, of which we only learn now.
    """

    kind: VerdictKind
    moved: DeskMove | None = None
    is_lost_write: bool = False


def judge(
    current: DeskTicket,
    *,
    wanted: Stage,
    asked_at: datetime,
    written_stage_id: str = "",
    written_at: datetime | None = None,
    is_repeat: bool = False,
) -> Verdict:
    """Return what becomes of a move that a mail, or a person here, asks for.

    Args:
        current: The ticket as the desk has it now, with its history where the desk tells one.
        asked_at: When that mail was accepted, or the person moved (aware, UTC).
        written_stage_id, written_at: What we last wrote or saw there, "" and None before.
        is_repeat: An earlier attempt to write this may have come through without our learning of it.
    """
    moves = _foreign_moves(current, written_stage_id, written_at)
    if moves and is_repeat and _is_lost_write(moves[0], current, wanted):
        return Verdict(VerdictKind.ALREADY, is_lost_write=True)
    # A workflow that closes what lay quiet for a week has not read the mail that came a moment before.
    later = next((move for move in moves if move.at > asked_at and not (wanted == Stage.NEW and _is_blind(move))), None)
    if later is not None:
        return Verdict(VerdictKind.DROP, later)
    return Verdict(VerdictKind.ALREADY if current.stage == wanted else VerdictKind.WRITE)


def foreign_move(
    current: DeskTicket, *, written_stage_id: str = "", written_at: datetime | None = None
) -> DeskMove | None:
    """The newest move at the desk that is later than what we last wrote there and not that write itself.

    Without a history, a stage other than the written one was moved when the ticket last changed.
    """
    return next(iter(_foreign_moves(current, written_stage_id, written_at)), None)


def decided_at(
    current: DeskTicket, *, written_stage_id: str = "", written_at: datetime | None = None
) -> datetime | None:
    """When somebody last moved it there who may have read its mail; None when it was a workflow of the desk alone."""
    moves = _foreign_moves(current, written_stage_id, written_at)
    return next((move.at for move in moves if not _is_blind(move)), None)


def _foreign_moves(current: DeskTicket, written_stage_id: str, written_at: datetime | None) -> list[DeskMove]:
    """Newest first."""
    if not current.moves:
        is_ours = not written_stage_id or current.stage_id == written_stage_id
        return [] if is_ours else [DeskMove(current.stage_id, current.updated_at)]
    moves = sorted(current.moves, key=lambda move: move.at, reverse=True)
    if written_at is None:
        return moves
    is_ours = moves[0].stage_id == written_stage_id and abs(moves[0].at - written_at) <= _SAME_WRITE
    return [] if is_ours else [move for move in moves if move.at > written_at]


def _is_blind(move: DeskMove) -> bool:
    return move.by == Mover.AUTOMATION


def moved_at(current: DeskTicket) -> datetime:
    """When a ticket came where it is, as far as the desk tells."""
    return max((move.at for move in current.moves), default=current.updated_at)


def _is_lost_write(moved: DeskMove, current: DeskTicket, wanted: Stage) -> bool:
    """Our own write whose answer was lost: by a program, as far as the desk tells, and exactly what we wanted."""
    return moved.by in {Mover.PROGRAM, Mover.UNKNOWN} and moved.stage_id == current.stage_id and current.stage == wanted
