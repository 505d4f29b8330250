"""worker: carry accepted messages on at once, and pick up what is due and not leased; leave cleanly.

Whoever accepts a message holds its lease and goes on with it; nothing polls on the fast way (DESIGN 5).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from supportrelay.core.errors import TransientFailure
from supportrelay.core.facts import Facts
from supportrelay.core.ports import Accepted, ClaimedDelivery, ClaimedMessage, Reported
from supportrelay.flow.deliver import Copies, Deliverer
from supportrelay.flow.failover import sweep
from supportrelay.flow.journey import Journey
from supportrelay.flow.office import Office, Rulebook
from supportrelay.log import get_logger

__all__ = ["Worker"]

log = get_logger()

_POLL_S = 1.0
_RENEW_S = 10.0
_SWEEP_S = 60.0
# A delivery checked before DATA within this time of its lease's beginning needs no look at the store.
_FRESH = timedelta(seconds=20)
_MAX_TRIES = 3
# What broke a station is tried again after so long, not when its lease runs out.
_BROKE_WAIT = timedelta(seconds=1)
# Contents worked on at once, in octets (each costs three times as much while it is copied and sent), and how many
# messages are taken from the store at a time.
_MAX_OCTETS = 64 * 1024 * 1024
_MAX_CLAIM = 16


class Worker:
    """One worker process's share of the work.

    Args:
        slots: Messages or deliveries worked on at once; what comes above waits in the store, not in memory.
    """

    def __init__(self, office: Office, *, slots: int = 64) -> None:
        self._office = office
        self._deliverer = Deliverer(office, self._still_ours)
        self._journey = Journey(office, self._deliverer)
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages: dict[str, Any] = {}
        self._deliveries: dict[int, Any] = {}
        self._octets = 0
        # Of what may have killed a worker one at a time is begun: the others must not be cut off with it (F05).
        self._suspect_message = ""
        self._suspect_delivery = 0
        # Ours, but nobody works on them: the store could not be used. Handed back once it can.
        self._put_off: set[str] = set()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._leaving = False
        self._claims_ended = asyncio.Event()
        self._claims_ended.set()
        self._left = asyncio.Event()

    # -- the fast way ------------------------------------------------------------------------------------------------

    def go_on(self, accepted: Accepted, facts: Facts | None) -> None:
        """Carry a message on that was accepted a moment ago and whose lease we hold."""
        self._start(self._carry(accepted, facts, tries=1))

    def is_full(self) -> bool:
        """As much is under way as memory and the next hop shall bear; more waits in the store."""
        return len(self._tasks) >= self._slots or self._octets >= _MAX_OCTETS

    async def has_room(self) -> None:
        """Wait a moment while much is under way, so that the door is not faster than the road."""
        if self.is_full():
            self._room.clear()
            try:
                await asyncio.wait_for(self._room.wait(), 1.0)
            except TimeoutError:
                return

    async def _carry(self, accepted: Accepted, facts: Facts | None, *, tries: int, is_released: bool = False) -> None:
        office = self._office
        self._messages[accepted.queue_id] = office.now()
        self._octets += len(accepted.octets)
        try:
            rulebook = office.rulebook()
            begun = await self._journey.decide(rulebook, accepted, facts, is_released=is_released)
            self._clear(accepted.queue_id)
            if begun is None:
                return
            copies: Copies = {}
            attempts = [
                self._attempt(
                    rulebook,
                    accepted.queue_id,
                    one.delivery_id,
                    self._deliverer.deliver_begun(rulebook, begun.original, one, copies),
                )
                for one in begun.deliveries
            ]
            if len(attempts) == 1:  # a task less for most mails
                await attempts[0]
            else:
                await asyncio.gather(*attempts)
        except TransientFailure as exc:
            log.warning("message.put_off", queue_id=accepted.queue_id, detail=str(exc))
            self._put_off.add(accepted.queue_id)
        except Exception:
            log.exception("message.station_broke", queue_id=accepted.queue_id, tries=tries)
            await (self._hold if tries >= _MAX_TRIES else self._try_soon)(accepted.queue_id)
        finally:
            self._clear(accepted.queue_id)
            self._messages.pop(accepted.queue_id, None)
            self._octets -= len(accepted.octets)

    async def _hold(self, queue_id: str) -> None:
        try:
            await self._office.store.hold_message(queue_id, "station_broke", self._office.now())
        except TransientFailure as exc:
            log.warning("message.not_held", queue_id=queue_id, detail=str(exc))
        else:
            log.error("message.held", queue_id=queue_id, why="station_broke")

    async def _try_soon(self, queue_id: str) -> None:
        """Let the lease run out soon; whoever finds it then counts one more try."""
        office = self._office
        lease = replace(office.lease(), until=office.now() + _BROKE_WAIT)
        with contextlib.suppress(TransientFailure):
            await office.store.renew(office.now(), lease, [queue_id], [])

    def _clear(self, one: str | int) -> None:
        """It killed nobody as far as anything of ours could break on it: the next suspect may go."""
        if one == self._suspect_message:
            self._suspect_message = ""
            self.wake()
        elif one == self._suspect_delivery:
            self._suspect_delivery = 0
            self.wake()

    async def _attempt(
        self, rulebook: Rulebook, queue_id: str, delivery_id: int, attempt: Coroutine[Any, Any, Reported]
    ) -> None:
        """Make one attempt. One that breaks is found without an end and is due again; the others go on."""
        self._deliveries[delivery_id] = self._office.now()
        try:
            reported = await attempt
            if reported.nobody_got_it:
                await self._fail_over(rulebook)
            elif reported.goes_on:
                self.wake()
        except TransientFailure as exc:
            log.warning("delivery.put_off", queue_id=queue_id, detail=str(exc))
        except Exception:
            log.exception("delivery.station_broke", queue_id=queue_id)
        finally:
            self._clear(delivery_id)
            self._deliveries.pop(delivery_id, None)

    async def _fail_over(self, rulebook: Rulebook) -> None:
        """Somebody's last copy failed: such messages go to Allmember now."""
        await sweep(self._office, rulebook)
        self.wake()

    # -- what is due -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for due work now; commands that change the queue call this."""
        self._wake.set()

    async def run(self) -> None:
        """Pick up due work until `leave` begins, keep what is under way ours until it ends; never raises."""
        self._claims_ended.clear()
        renewing = asyncio.create_task(self._every(lambda: _RENEW_S, self._renew))
        sweeping = asyncio.create_task(self._every(self._sweep_wait_s, self._sweep))
        try:
            await self._claim()
            self._claims_ended.set()
            await self._left.wait()
        finally:
            renewing.cancel()
            sweeping.cancel()

    async def _claim(self) -> None:
        while not self._leaving:
            busy = False
            try:
                busy = await self._pick_up()
            except TransientFailure as exc:
                log.warning("queue.not_read", detail=str(exc))
            except Exception:
                log.exception("queue.not_read")
            if not busy:
                await self._sleep(_POLL_S)

    async def _sleep(self, wait_s: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), wait_s)
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _pick_up(self) -> bool:
        """Claim as much as there is room for; True when there may be more."""
        free = self._slots - len(self._tasks)
        if self.is_full() and self._tasks:
            await asyncio.wait(self._tasks, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            return True
        office = self._office
        suspects = int(not self._suspect_message)
        messages = await office.store.claim_messages(
            office.now(), office.lease(), min(free, _MAX_CLAIM), suspects=suspects
        )
        for message in messages:
            self._suspect_message = message.accepted.queue_id if message.is_suspect else self._suspect_message
            self._start(self._take_up(message))
        free -= len(messages)
        if free <= 0:
            return True
        suspects = int(not self._suspect_delivery)
        deliveries = await office.store.claim_deliveries(office.now(), office.lease(), free, suspects=suspects)
        for delivery in deliveries:
            self._suspect_delivery = delivery.delivery_id if delivery.is_suspect else self._suspect_delivery
            self._start(self._deliver(delivery))
        return bool(messages or deliveries)

    async def _take_up(self, claimed: ClaimedMessage) -> None:
        if claimed.tries > _MAX_TRIES:
            await self._hold(claimed.accepted.queue_id)
            self._clear(claimed.accepted.queue_id)
            return
        await self._carry(claimed.accepted, None, tries=claimed.tries, is_released=bool(claimed.released_by))

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        rulebook = self._office.rulebook()
        attempt = self._deliverer.deliver_claimed(rulebook, claimed)
        await self._attempt(rulebook, claimed.queue_id, claimed.delivery_id, attempt)

    # -- leases ------------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        office = self._office
        if self._put_off:
            handed_back = sorted(self._put_off - self._messages.keys())
            await office.store.renew(office.now(), replace(office.lease(), until=office.now()), handed_back, [])
            self._put_off.difference_update(handed_back)
            self.wake()
        if not self._messages and not self._deliveries:
            return
        await office.store.renew(office.now(), office.lease(), list(self._messages), list(self._deliveries))

    async def _still_ours(self, delivery_id: int) -> bool:
        """The fencing check: a lease taken a moment ago is ours; an older one is asked for and prolonged."""
        self._clear(delivery_id)
        begun_at = self._deliveries.get(delivery_id)
        office = self._office
        # A clock that was put back says nothing about how long it has been.
        if begun_at is not None and timedelta(0) <= office.now() - begun_at < _FRESH:
            return True
        try:
            return await office.store.renew(office.now(), office.lease(), [], [delivery_id])
        except TransientFailure:
            return False

    async def _sweep(self) -> None:
        mended = await self._office.store.mend_due_times(self._office.now())
        if mended:
            log.warning("queue.clock_was_ahead", count=mended)
        if await sweep(self._office, self._office.rulebook()) or mended:
            self.wake()

    def _sweep_wait_s(self) -> float:
        """Often enough that ``failover_after`` means what it says, also for who makes it short."""
        return min(_SWEEP_S, max(_POLL_S, self._office.rulebook().desk.failover_after.total_seconds() / 2))

    async def _every(self, wait_s: Callable[[], float], act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(wait_s())
            try:
                await act()
            except TransientFailure as exc:
                log.warning("worker.chore_failed", detail=str(exc))
            except Exception:
                log.exception("worker.chore_failed")

    # -- tasks and leaving -------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self.is_full():
            self._room.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("worker.task_broke", detail=repr(task.exception()))

    async def leave(self, wait_s: float) -> None:
        """Finish what is under way (at most so long), hand back the rest."""
        self._leaving = True
        self._wake.set()
        # What a claim brings that is under way now is still done: it is ours already.
        await self._claims_ended.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=wait_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._office.store.release(self._office.holder, self._office.now())
        self._left.set()
