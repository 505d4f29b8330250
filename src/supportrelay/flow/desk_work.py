"""desk_work: carry what mail and people ask of a ticket to the outside desk, off the mail's way.

A ticket has one worker at a time, and its work one order. A desk that is down is left alone until it may be asked
again; its first answer brings everything back at once.
"""

import asyncio
from datetime import datetime, timedelta

from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskQueue, TicketDesk
from supportrelay.core.errors import CrmDown, CrmRefusal, TransientFailure
from supportrelay.core.ticket import ticket_label
from supportrelay.flow.desk_round import DeskRound, LeaseLostError, TicketGoneError
from supportrelay.flow.office import Office
from supportrelay.log import get_logger

__all__ = ["DeskWorker"]

log = get_logger()

_POLL_S = 1.0
_RENEW_S = 10.0
_BACKOFF_S = (5, 15, 60, 120, 300)
# A gate may be opened by hand before the time that was said.
_LONGEST_PAUSE = timedelta(minutes=5)
_LEAST_PAUSE = timedelta(seconds=1)
_OPEN_AGAIN = timedelta(hours=1)
# A ticket that the desk fails on this often waits its time, whatever it answers about others.
_FEW_TRIES = 2


class DeskWorker:
    """One worker process's share of the work for the outside desk.

    Args:
        queue: The store.
        slots: Tickets worked on at once.
    """

    def __init__(self, office: Office, queue: DeskQueue, desk: TicketDesk, *, slots: int = 4) -> None:
        self._office = office
        self._queue = queue
        self._desk = desk
        self._slots = slots
        self._held: dict[int, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._is_down = False
        self._brings_back = False
        self._paused_until: datetime | None = None
        self._wake = asyncio.Event()
        self._leaving = False
        self._claims_ended = asyncio.Event()
        self._claims_ended.set()
        self._left = asyncio.Event()

    def wake(self) -> None:
        """Look for due work now, unless the desk is to be left alone."""
        self._wake.set()

    def resume(self) -> None:
        """Somebody changed what kept the desk from answering (a token): ask it again, about all that was put off."""
        self._paused_until = None
        self._bring_back()

    async def run(self) -> None:
        """Pick up due work until `leave` begins, keep what is under way ours until it ends; never raises."""
        self._claims_ended.clear()
        renewing = asyncio.create_task(self._renew_for_ever())
        try:
            await self._claim_until_leaving()
            self._claims_ended.set()
            await self._left.wait()
        finally:
            renewing.cancel()

    async def leave(self, wait_s: float) -> None:
        """Finish what is under way (at most so long), hand back the rest."""
        self._leaving = True
        self._wake.set()
        await self._claims_ended.wait()
        if self._held:
            await asyncio.wait(self._held.values(), timeout=wait_s)
        under_way = [*self._held.values(), *self._chores]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._left.set()

    # -- what is due -------------------------------------------------------------------------------------------------

    async def _claim_until_leaving(self) -> None:
        while not self._leaving:
            wait_s = _POLL_S
            try:
                wait_s = await self._pick_up()
            except TransientFailure as exc:
                log.warning("queue.not_read", detail=str(exc))
            except Exception:
                log.exception("queue.not_read")
            if wait_s and not self._leaving:
                await self._sleep(wait_s)

    async def _pick_up(self) -> float:
        """Claim as much as there is room for; returns how long to sleep."""
        now = self._office.now()
        if self._paused_until is not None and now < self._paused_until:
            return min(_POLL_S, (self._paused_until - now).total_seconds())
        # A desk that was down is asked about one ticket first.
        free = (1 if self._is_down else self._slots) - len(self._held)
        if free <= 0:
            await asyncio.wait(self._held.values(), timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            return 0.0
        claimed = await self._queue.claim_desk(now, self._office.lease(), free)
        for ticket in claimed:
            at_it = self._held.get(ticket.ticket_id)
            # Our own lease ran out while this process slept: who is at it goes on, now under the new one.
            if at_it is None or at_it.done():
                self._start(ticket)
        return 0.0 if claimed else _POLL_S

    async def _sleep(self, wait_s: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), wait_s)
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    def _start(self, claimed: ClaimedDeskTicket) -> None:
        task = asyncio.create_task(self._work(claimed))
        self._held[claimed.ticket_id] = task

        def let_go(ended: asyncio.Task[None]) -> None:
            if self._held.get(claimed.ticket_id) is ended:
                del self._held[claimed.ticket_id]
            if not ended.cancelled() and ended.exception() is not None:
                log.error("worker.task_broke", detail=repr(ended.exception()))

        task.add_done_callback(let_go)

    # -- one ticket --------------------------------------------------------------------------------------------------

    async def _work(self, claimed: ClaimedDeskTicket) -> None:
        """One ticket's round and how it ends; whatever breaks breaks this ticket alone."""
        one = DeskRound(self._office, self._queue, self._desk, claimed, self._answered)
        label = ticket_label(claimed.ticket_id)
        backoff = _backoff(claimed.tries)
        try:
            await one.run()
            await self._queue.desk_end(claimed.ticket_id, self._office.lease(), self._office.now())
        except LeaseLostError:
            log.warning("desk.lease_lost", ticket=label)
        except TicketGoneError:
            self.wake()
        except CrmDown as exc:
            await self._desk_is_down(claimed, exc)
        except CrmRefusal as exc:
            if one.is_there:
                log.warning("desk.put_off", ticket=label, detail=exc.cause)
                await self._end(claimed, exc.cause, backoff)
            else:
                log.error("desk.open_refused", ticket=label, detail=exc.cause, category=exc.category)
                await self._end(claimed, exc.cause, _OPEN_AGAIN)
        except TransientFailure as exc:
            log.warning("desk.put_off", ticket=label, detail=str(exc))
            await self._end(claimed, str(exc), backoff)
        except asyncio.CancelledError:
            await self._end(claimed, "", timedelta(0), counts=False)
            raise
        except Exception as exc:
            log.exception("desk.work_broke", ticket=label)
            await self._end(claimed, f"broke: {type(exc).__name__}", backoff)

    async def _end(
        self,
        claimed: ClaimedDeskTicket,
        error: str,
        wait: timedelta,
        *,
        at_least: datetime | None = None,
        counts: bool = True,
    ) -> None:
        """Hand the ticket back, due later; when even that fails its lease runs out."""
        now = self._office.now()
        due_at = max(now + wait, at_least) if at_least is not None else now + wait
        try:
            await self._queue.desk_end(
                claimed.ticket_id, self._office.lease(), now, due_at=due_at, error=error, counts=counts
            )
        except TransientFailure as exc:
            log.warning("desk.put_off", ticket=ticket_label(claimed.ticket_id), detail=str(exc))

    # -- when the desk is down ---------------------------------------------------------------------------------------

    async def _desk_is_down(self, claimed: ClaimedDeskTicket, exc: CrmDown) -> None:
        """Put this ticket off; when the desk said until when, nothing else is begun before."""
        now = self._office.now()
        if not exc.is_closed:
            log.warning("desk.put_off", ticket=ticket_label(claimed.ticket_id), detail=exc.cause)
        if exc.retry_at is not None:
            until = min(max(exc.retry_at, now + _LEAST_PAUSE), now + _LONGEST_PAUSE)
            self._paused_until = max(until, self._paused_until or until)
            self._is_down = True
        wait = timedelta(0) if exc.is_closed and exc.retry_at is not None else _backoff(claimed.tries)
        await self._end(claimed, exc.cause, wait, at_least=exc.retry_at, counts=not exc.is_closed)
        # Not sooner: an answer in between would bring back what is not handed back yet. A time to come back (423) may
        # be this ticket's alone.
        self._brings_back |= exc.is_closed or claimed.tries < _FEW_TRIES

    def _answered(self) -> None:
        """The desk answers: what was put off while it did not goes on at once."""
        was_away = self._brings_back
        self._is_down = self._brings_back = False
        self._paused_until = None
        if was_away:
            self._bring_back()

    def _bring_back(self) -> None:
        task = asyncio.create_task(self._all_due_now())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _all_due_now(self) -> None:
        try:
            await self._queue.desk_due_now(self._office.now())
        except TransientFailure as exc:
            log.warning("worker.chore_failed", detail=str(exc))
        self.wake()

    # -- leases ------------------------------------------------------------------------------------------------------

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                await self._renew()
            except TransientFailure as exc:
                log.warning("worker.chore_failed", detail=str(exc))
            except Exception:
                log.exception("worker.chore_failed")

    async def _renew(self) -> None:
        """Keep what is under way; what somebody else has by now is let go before it writes anything more."""
        held = list(self._held)
        lease = self._office.lease()
        if not held or await self._queue.renew_desk(held, lease):
            return
        for ticket_id in held:
            task = self._held.get(ticket_id)
            if task is not None and not await self._queue.renew_desk([ticket_id], lease):
                log.warning("desk.lease_lost", ticket=ticket_label(ticket_id))
                task.cancel()


def _backoff(tries: int) -> timedelta:
    return timedelta(seconds=_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
