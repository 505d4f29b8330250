"""A plain desk in memory that keeps the promises of `TicketDesk`, with the hands and faults that tests need."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from supportrelay.core.crm_ports import TicketDesk
from supportrelay.core.errors import CrmRefusal
from supportrelay.core.outside import DeskChanges, DeskMail, DeskMove, DeskOpening, DeskTicket, Mover
from supportrelay.core.ticket import Stage

__all__ = ["STAGE_IDS", "FakeDesk"]

STAGE_IDS = {Stage.NEW: "1", Stage.WAITING: "2", Stage.CLOSED: "4", Stage.OTHER: "99"}
_T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class FakeDesk:
    """`TicketDesk` in memory.

    Args:
        now: The desk's clock. Without one, each change happens a second after the one before.

    Attributes:
        tickets: By external id, as they are now; ``moves`` with the whole history.
        openings: By external id, what each was made from. mails: What was recorded, in order.
        calls: ``(method, key or external id)`` in order, those that failed too.
        moves_refused: Stages that the desk's rules do not let anybody write.
    """

    kind = "fake"
    tells_stage = True
    has_directory_ids = True

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self._now = now or self._tick
        self._ticked = _T0
        self._next_id = 5000
        self._faults: list[tuple[str, Exception, bool]] = []
        self._merged: dict[str, str] = {}
        self.tickets: dict[str, DeskTicket] = {}
        self.openings: dict[str, DeskOpening] = {}
        self.mails: list[tuple[str, DeskMail]] = []
        self.calls: list[tuple[str, str]] = []
        self.moves_refused: set[Stage] = set()
        self.is_closed = False

    def _tick(self) -> datetime:
        self._ticked += timedelta(seconds=1)
        return self._ticked

    # -- hands and faults --

    def fail(self, method: str, error: Exception, *, times: int = 1, after: bool = False) -> None:
        """The next calls of a method raise; ``after``: what was asked is done all the same (a lost answer)."""
        self._faults += [(method, error, after)] * times

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def put_by_hand(
        self, external_id: str, stage: Stage, *, at: datetime | None = None, by: Mover = Mover.PERSON
    ) -> DeskTicket:
        """Somebody moves a ticket on the board."""
        return self._write_stage(external_id, stage, at or self._now(), by, "9586504")

    def delete(self, external_id: str) -> None:
        """Somebody deletes a ticket."""
        del self.tickets[external_id]

    def merge(self, from_: str, into: str) -> None:
        """Somebody merges two tickets; the old id leads to the one that stays."""
        del self.tickets[from_]
        self._merged[from_] = into
        self.tickets[into] = replace(self.tickets[into], updated_at=self._now())

    def put_there(self, stage: Stage = Stage.NEW, *, key: str = "", subject: str = "") -> DeskTicket:
        """A ticket that somebody made by hand."""
        return self._make(stage, key, subject, Mover.PERSON)

    # -- the port --

    async def find(self, key: str) -> DeskTicket | None:
        """By key."""
        after = self._begin("find", key)
        found = next((ticket for ticket in self.tickets.values() if ticket.key == key), None)
        self._end(after)
        return found

    async def open(self, opening: DeskOpening) -> DeskTicket:
        """Make it, or the one there is."""
        after = self._begin("open", opening.key)
        made = next((ticket for ticket in self.tickets.values() if ticket.key == opening.key), None)
        if made is None:
            made = self._make(opening.stage, opening.key, opening.subject, Mover.PROGRAM)
            self.openings[made.external_id] = opening
        self._end(after)
        return made

    async def current(self, external_id: str) -> DeskTicket | None:
        """As it is now."""
        after = self._begin("current", external_id)
        found = self.tickets.get(self._merged.get(external_id, external_id))
        self._end(after)
        return found

    async def move(self, external_id: str, stage: Stage) -> DeskTicket:
        """Write a stage."""
        after = self._begin("move", external_id)
        there = self._there(external_id)
        if stage in self.moves_refused:
            raise CrmRefusal(f"hs_pipeline_stage: may not be {stage} now", category="VALIDATION_ERROR")
        moved = self._write_stage(there, stage, self._now(), Mover.PROGRAM, "12345")
        self._end(after)
        return moved

    async def record(self, external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
        """Log a mail; a repeat of the same instant and subject is not logged again."""
        after = self._begin("record", external_id)
        there = self._there(external_id)
        logged = {(one, entry.at, entry.subject) for one, entry in self.mails}
        if not (is_repeat and (there, mail.at, mail.subject) in logged):
            self.mails.append((there, mail))
            self.tickets[there] = replace(self.tickets[there], updated_at=self._now())
        self._end(after)

    async def changed(self, since: datetime) -> DeskChanges:
        """Changed since then, oldest first."""
        after = self._begin("changed", "")
        found = sorted(
            (ticket for ticket in self.tickets.values() if ticket.updated_at >= since),
            key=lambda ticket: ticket.updated_at,
        )
        self._end(after)
        until = max((ticket.updated_at for ticket in found), default=since)
        return DeskChanges(tuple(replace(ticket, moves=()) for ticket in found), until)

    async def gone(self, external_ids: Sequence[str]) -> frozenset[str]:
        """Which were deleted."""
        after = self._begin("gone", ",".join(external_ids))
        found = frozenset(one for one in external_ids if one not in self.tickets and one not in self._merged)
        self._end(after)
        return found

    async def aclose(self) -> None:
        """Close."""
        self.is_closed = True

    # -- inside --

    def _begin(self, method: str, what: str) -> Exception | None:
        """Raise the fault that waits for this method, or hand back the one to raise at the end."""
        self.calls.append((method, what))
        for place, (name, error, after) in enumerate(self._faults):
            if name == method:
                del self._faults[place]
                if after:
                    return error
                raise error
        return None

    def _end(self, error: Exception | None) -> None:
        if error is not None:
            raise error

    def _there(self, external_id: str) -> str:
        there = self._merged.get(external_id, external_id)
        if there not in self.tickets:
            raise CrmRefusal("no such ticket", status=404, category="OBJECT_NOT_FOUND")
        return there

    def _make(self, stage: Stage, key: str, subject: str, by: Mover) -> DeskTicket:
        self._next_id += 1
        at = self._now()
        move = DeskMove(STAGE_IDS[stage], at, by, "12345")
        made = DeskTicket(str(self._next_id), stage, STAGE_IDS[stage], at, (move,), key, subject)
        self.tickets[made.external_id] = made
        return made

    def _write_stage(self, external_id: str, stage: Stage, at: datetime, by: Mover, who: str) -> DeskTicket:
        before = self.tickets[external_id]
        # A stage written again is no move: HubSpot's history does not show it.
        moves = before.moves
        if before.stage != stage:
            moves = (DeskMove(STAGE_IDS[stage], at, by, who), *moves)
        after = replace(before, stage=stage, stage_id=STAGE_IDS[stage], updated_at=at, moves=moves)
        self.tickets[external_id] = after
        return after


def _is_a_desk(fake: FakeDesk) -> TicketDesk:
    """Checked by mypy: the fake keeps to the port."""
    return fake
