"""When a call may be made: the gate that all processes share, a few connections, and mail before everything else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from supportrelay.core.crm_ports import Gate
from supportrelay.core.errors import CrmDown
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot.settings import HubSpotAccount

__all__ = ["CONNECTIONS", "Lane", "Turns"]


class Lane(StrEnum):
    """Who waits for a call; mail goes first."""

    MAIL = "mail"  # a mail waits for the answer
    TICKETS = "tickets"
    BACKGROUND = "background"  # polls, refreshing, setup


@value_class
class _LaneRule:
    """How a lane shares.

    Attributes:
        connections: At most so many calls at once; a slow HubSpot fills one lane, never the others.
        burst_share: Part of the burst that it may use.
        most_wait_s: For a connection and a turn together; then `CrmDown`.
        books_ahead: Books a turn that lies ahead. Those who do not leave it to the others and ask again.
    """

    connections: int
    burst_share: float
    most_wait_s: float
    books_ahead: bool


_LANES: Final = {
    Lane.MAIL: _LaneRule(4, 1.0, 3.0, books_ahead=True),
    Lane.TICKETS: _LaneRule(3, 0.6, 20.0, books_ahead=False),
    Lane.BACKGROUND: _LaneRule(1, 0.3, 20.0, books_ahead=False),
}
# Mail books 3 s ahead at most, so whoever is told to come back later than this stands before a closed gate.
_LONGEST_QUEUE_S: Final = 4.0
# What the figures of `_paces` allow for; after three turns missed it goes all the same.
_LATEST: Final = timedelta(milliseconds=100)
_BOOKINGS: Final = 3
CONNECTIONS: Final = sum(rule.connections for rule in _LANES.values())


@value_class
class _Pace:
    """A gate's figures for one kind of call."""

    gate: str
    every_us: int
    burst: int
    daily: int | None


class Turns:
    """Turns for one client.

    Attributes:
        general, search: Names of the gates.
    """

    def __init__(self, account: HubSpotAccount, gate: Gate, *, now: Callable[[], datetime], name: str) -> None:
        self._gate = gate
        self._now = now
        self._paces = _paces(account, name)
        self.general, self.search = (pace.gate for pace in self._paces.values())
        self._lanes = {lane: asyncio.Semaphore(rule.connections) for lane, rule in _LANES.items()}

    @asynccontextmanager
    async def take(self, lane: Lane, *, is_search: bool) -> AsyncIterator[None]:
        """A connection of the lane, entered at the instant at which the gate lets the call go.

        Raises:
            CrmDown: ``is_closed``: no turn in the time that the lane waits, or the gate is closed.
        """
        loop = asyncio.get_running_loop()
        rule = _LANES[lane]
        give_up_at = loop.time() + rule.most_wait_s
        connections = self._lanes[lane]
        try:
            async with asyncio.timeout_at(give_up_at):
                await connections.acquire()
        except TimeoutError:
            raise CrmDown(f"all connections for {lane} are in use", is_closed=True) from None
        try:
            # A search is a call too. Its own gate comes last: the narrower one decides the instant.
            await self._wait(self._paces[False], rule, give_up_at)
            if is_search:
                await self._wait(self._paces[True], rule, give_up_at)
            yield
        finally:
            connections.release()

    async def _wait(self, pace: _Pace, rule: _LaneRule, give_up_at: float) -> None:
        """Return when a call may go. One that was held up past its turn (a busy machine) takes another one."""
        for _ in range(_BOOKINGS):
            at = await self._book(pace, rule, give_up_at)
            # A clock that jumps must not make anybody wait for longer than was agreed.
            wait_s = min((at - self._now()).total_seconds(), rule.most_wait_s)
            if wait_s > 0:
                await asyncio.sleep(wait_s + 0.001)  # loops round to the millisecond, either way
            if self._now() - at <= _LATEST:
                return

    async def _book(self, pace: _Pace, rule: _LaneRule, give_up_at: float) -> datetime:
        loop = asyncio.get_running_loop()
        while True:
            left_s = max(0.0, give_up_at - loop.time())
            now = self._now()
            try:
                return await self._gate.enter(
                    pace.gate,
                    every_us=pace.every_us,
                    burst=max(1, int(pace.burst * rule.burst_share)),
                    daily=pace.daily,
                    now=now,
                    # Booked turns cannot be overtaken. Half an interval is no queue, and no contest of pollers either.
                    most_wait_us=int(left_s * 1e6) if rule.books_ahead else pace.every_us // 2,
                )
            except CrmDown as closed:
                if rule.books_ahead or closed.retry_at is None:
                    raise
                pause_s = max((closed.retry_at - now).total_seconds(), 0.01)
                if pause_s > min(left_s, _LONGEST_QUEUE_S):
                    raise
            await asyncio.sleep(pause_s)


def _paces(account: HubSpotAccount, name: str) -> dict[bool, _Pace]:
    """The gates' figures: for every call, and besides for searches (True).

    The generic cell rate lets ``10 s / every + burst`` through in the worst ten seconds, so the burst is taken off the
    rate, and 10.3 s are reckoned for ten: calls do not travel equally fast, and one that was held up meets the later
    ones. Searches are spaced a tenth wider than asked, for the same reason. Whether they count among the others too is
    not documented; here they do.
    """
    burst = max(1, account.calls_per_10s // 10)
    rate = max(1, account.calls_per_10s - burst)
    return {
        False: _Pace(name, 10_300_000 // rate, burst, account.calls_per_day),
        True: _Pace(f"{name}:search", 1_100_000 // max(1, account.searches_per_s), 1, None),
    }
