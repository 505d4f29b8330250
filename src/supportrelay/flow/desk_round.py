"""One ticket's work at the outside desk, in order: make it there, read its stage, move it, log its mail.

Everything may be cut off anywhere and is done again: the ticket is made under a key of its own, a move is judged by the
desk's history (`core.desk_sync`), and a mail that may be logged already is looked for first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskDone, DeskQueue, DeskWork, TicketDesk
from supportrelay.core.desk_mail import desk_mail, desk_opening, opening_stage
from supportrelay.core.desk_sync import Verdict, VerdictKind, judge
from supportrelay.core.errors import CrmRefusal
from supportrelay.core.facts import Facts
from supportrelay.core.outside import DeskTicket
from supportrelay.core.reading import attachment_sizes
from supportrelay.core.reason import rfc3339
from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.flow.assess import facts_of
from supportrelay.flow.office import Office
from supportrelay.flow.turns import is_quick
from supportrelay.log import get_logger

__all__ = ["DeskRound", "LeaseLostError", "TicketGoneError"]

log = get_logger()

T = TypeVar("T")

_READ_WAIT_S = 30.0


class LeaseLostError(Exception):
    """Somebody else has the ticket; nothing more may be written."""


class TicketGoneError(Exception):
    """The ticket was deleted at the desk; what becomes of its work is settled."""


class DeskRound:
    """What is due for one ticket.

    Args:
        claimed: The ticket, whose lease we hold.
        answered: Called whenever the desk answered, be it with a refusal.
    """

    def __init__(
        self,
        office: Office,
        queue: DeskQueue,
        desk: TicketDesk,
        claimed: ClaimedDeskTicket,
        answered: Callable[[], None],
    ) -> None:
        self._office = office
        self._queue = queue
        self._desk = desk
        self._claimed = claimed
        self._answered = answered
        self._external_id = claimed.external_id
        self._written = (claimed.written_stage_id, claimed.written_at)
        self._current: DeskTicket | None = None
        self._was_made = False
        self._last_move = max((place for place, one in enumerate(claimed.work) if one.moves), default=-1)

    @property
    def is_there(self) -> bool:
        """The ticket is at the desk."""
        return bool(self._external_id)

    async def run(self) -> None:
        """Do all of it.

        Raises:
            CrmDown: The desk cannot be asked now.
            CrmRefusal: It does not take the ticket, or does not show it.
            LeaseLostError, TicketGoneError: There is nothing more to do here.
            TransientFailure: The store cannot be used now.
        """
        if not self._external_id:
            await self._make()
        for place, work in enumerate(self._claimed.work):
            if work.moves:
                await self._move(place, work)
            if work.records:
                await self._record(place, work)

    # -- making it ---------------------------------------------------------------------------------------------------

    async def _make(self) -> None:
        claimed = self._claimed
        made = await self._ask(self._desk.find(claimed.key)) if claimed.is_begun else None
        if made is None:
            queue_id = next((work.queue_id for work in claimed.work if work.queue_id), "")
            octets = await self._content(queue_id)
            facts = await facts_of(octets) if octets is not None else None
            opening = desk_opening(claimed, facts, has_directory_ids=self._desk.has_directory_ids)
            made = await self._ask(self._desk.open(opening))
        # What we wrote is how it began; whoever moved it since has to be seen by `judge`.
        ours = replace(made, stage_id=made.moves[-1].stage_id, moves=made.moves[-1:]) if made.moves else made
        office = self._office
        if not await self._queue.desk_opened(claimed.ticket_id, ours, office.lease(), office.now()):
            raise LeaseLostError
        log.info("desk.opened", ticket=ticket_label(claimed.ticket_id), external_id=made.external_id)
        self._external_id = made.external_id
        self._current, self._written, self._was_made = made, _as_written(ours), True

    # -- moving it ---------------------------------------------------------------------------------------------------

    async def _move(self, place: int, work: DeskWork) -> None:
        stage = work.stage or self._claimed.stage
        verdict = await self._judge(place, work, stage)
        why: dict[str, Any] = {"to": str(stage)}
        mirror = stage if place == self._last_move else None
        if verdict.kind == VerdictKind.DROP and verdict.moved is not None:
            await self._drop(place, work, verdict, why)
        elif verdict.kind == VerdictKind.ALREADY:
            # What others wrote stays theirs in our eyes, to be weighed against older mail that comes yet.
            seen = self._current if verdict.is_lost_write else None
            if seen is not None:
                self._written = _as_written(seen)
            await self._done(DeskDone(work.id, "desk.in_place", why, seen, mirror, moves=True))
        else:
            before = self._current
            try:
                after = await self._ask(self._desk.move(self._id_there(), stage))
            except CrmRefusal as exc:
                await self._refused(place, work, exc, why)
                return
            self._current, self._written = after, _as_written(after)
            why |= {"from": str(before.stage) if before else None, "stage_id": after.stage_id}
            await self._done(DeskDone(work.id, "desk.moved", why, after, mirror, moves=True))

    async def _judge(self, place: int, work: DeskWork, stage: Stage) -> Verdict:
        """Against what the desk says now, read once a round; a desk that does not tell is written to unasked."""
        is_first_of_made = self._was_made and place == 0
        if not self._desk.tells_stage:
            is_made_so = is_first_of_made and stage == opening_stage(self._claimed)
            return Verdict(VerdictKind.ALREADY if is_made_so else VerdictKind.WRITE)
        if self._current is None:
            self._current = await self._read(work)
        written_stage_id, written_at = self._written
        return judge(
            self._current,
            wanted=stage,
            asked_at=work.at,
            written_stage_id=written_stage_id,
            written_at=written_at,
            # Work is done in order: only the first piece can have been tried before.
            is_repeat=place == 0 and (work.is_repeat or is_first_of_made),
        )

    async def _drop(self, place: int, work: DeskWork, verdict: Verdict, why: dict[str, Any]) -> None:
        """A later move there stands, and the mirror follows it."""
        current, moved = self._current, verdict.moved
        assert current is not None
        assert moved is not None
        why |= {"stage": str(current.stage), "moved_at": rfc3339(moved.at), "by": str(moved.by), "person": moved.who}
        await self._done(
            DeskDone(
                work.id,
                "desk.move_dropped",
                why,
                # Without a history the time of a move is a guess that every later change would renew.
                seen=None if current.moves else current,
                mirror=current.stage if place == self._last_move else None,
                moved_by_person_at=moved.at,
                moves=True,
                who=f"desk:{self._desk.kind}",
            )
        )

    async def _refused(self, place: int, work: DeskWork, exc: CrmRefusal, why: dict[str, Any]) -> None:
        """The desk's rules forbid it: said once, and the mirror shows what is."""
        self._current = await self._read(work) if self._desk.tells_stage else None
        mirror = self._current.stage if self._current is not None and place == self._last_move else None
        why |= {"error": exc.cause, "status": exc.http_status, "category": exc.category}
        await self._done(DeskDone(work.id, "desk.move_refused", why, mirror=mirror, moves=True))
        self._warn("desk.move_refused", work, exc)

    # -- logging its mail --------------------------------------------------------------------------------------------

    async def _record(self, place: int, work: DeskWork) -> None:
        octets = await self._content(work.queue_id)
        if octets is None:
            await self._done(DeskDone(work.id, "desk.record_skipped", {}, records=True))
            return
        facts: Facts = await facts_of(octets)
        mail = desk_mail(work, facts, await _attachments(octets), self._claimed.customer)
        del octets
        is_repeat = work.is_repeat and place == 0
        try:
            await self._ask(self._desk.record(self._id_there(), mail, is_repeat=is_repeat))
        except CrmRefusal as exc:
            if self._desk.tells_stage:
                await self._read(work)
            why = {"error": exc.cause, "status": exc.http_status, "category": exc.category}
            await self._done(DeskDone(work.id, "desk.record_refused", why, records=True))
            self._warn("desk.record_refused", work, exc)
            return
        await self._done(DeskDone(work.id, "desk.recorded", {}, records=True))

    async def _content(self, queue_id: str) -> bytes | None:
        """The mail as received, None when it is not kept any more."""
        if not queue_id:
            return None
        try:
            return await self._office.store.content(queue_id)
        except KeyError:
            return None

    # -- all of these ------------------------------------------------------------------------------------------------

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except CrmRefusal:
            self._answered()
            raise
        self._answered()
        return answer

    def _id_there(self) -> str:
        """A ticket that was merged into another one there goes on under that one's id."""
        return self._current.external_id if self._current is not None else self._external_id

    async def _read(self, work: DeskWork) -> DeskTicket:
        """The ticket as it is now. Deleted: ours goes into the trash, and mail that found it out makes a new one."""
        there = await self._ask(self._desk.current(self._external_id))
        if there is not None:
            return there
        who = f"desk:{self._desk.kind}"
        new = await self._queue.desk_gone(self._external_id, self._office.now(), keep_from=work.queue_id, who=who)
        label = ticket_label(self._claimed.ticket_id)
        log.info("desk.ticket_gone", ticket=label, external_id=self._external_id, new=ticket_label(new) if new else "")
        raise TicketGoneError

    async def _done(self, done: DeskDone) -> None:
        office = self._office
        if not await self._queue.desk_done(self._claimed.ticket_id, done, office.lease(), office.now()):
            raise LeaseLostError

    def _warn(self, event: str, work: DeskWork, exc: CrmRefusal) -> None:
        label = ticket_label(self._claimed.ticket_id)
        log.warning(event, ticket=label, queue_id=work.queue_id, external_id=self._external_id, detail=exc.cause)


def _as_written(ticket: DeskTicket) -> tuple[str, datetime]:
    """What the store remembers of it: the stage's id and since when it is there."""
    return ticket.stage_id, ticket.moves[0].at if ticket.moves else ticket.updated_at


async def _attachments(octets: bytes) -> tuple[tuple[str, int], ...]:
    if is_quick(octets):
        return attachment_sizes(octets)
    try:
        return await asyncio.wait_for(asyncio.to_thread(attachment_sizes, octets), _READ_WAIT_S)
    except TimeoutError:
        return ()
