"""Work for a ticket at an outside desk meets what people did there meanwhile: write, leave it, or drop the move.

The desk's clock and ours differ by little (both keep time); whoever decided later stands (DESIGN 5, "the order of
acceptance"). The mirror is never asked.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from supportrelay.core.outside import DeskMove, DeskTicket, Mover
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = ["Verdict", "VerdictKind", "foreign_move", "judge", "moved_at"]

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
        moved: For DROP: the later move that stands.
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
    moved = foreign_move(current, written_stage_id=written_stage_id, written_at=written_at)
    if moved is not None and is_repeat and _is_lost_write(moved, current, wanted):
        return Verdict(VerdictKind.ALREADY, is_lost_write=True)
    if moved is not None and moved.at > asked_at:
        return Verdict(VerdictKind.DROP, moved)
    return Verdict(VerdictKind.ALREADY if current.stage == wanted else VerdictKind.WRITE)


def foreign_move(
    current: DeskTicket, *, written_stage_id: str = "", written_at: datetime | None = None
) -> DeskMove | None:
    """The newest move at the desk that is later than what we last wrote there and not that write itself.

    Without a history, a stage other than the written one was moved when the ticket last changed.
    """
    if current.moves:
        newest = max(current.moves, key=lambda move: move.at)
        if written_at is None:
            return newest
        is_ours = newest.stage_id == written_stage_id and abs(newest.at - written_at) <= _SAME_WRITE
        return None if is_ours or newest.at <= written_at else newest
    if not written_stage_id or current.stage_id == written_stage_id:
        return None
    return DeskMove(current.stage_id, current.updated_at)


def moved_at(current: DeskTicket) -> datetime:
    """When a ticket came where it is, as far as the desk tells."""
    return max((move.at for move in current.moves), default=current.updated_at)


def _is_lost_write(moved: DeskMove, current: DeskTicket, wanted: Stage) -> bool:
    """Our own write whose answer was lost: by a program, as far as the desk tells, and exactly what we wanted."""
    return moved.by in {Mover.PROGRAM, Mover.UNKNOWN} and moved.stage_id == current.stage_id and current.stage == wanted
