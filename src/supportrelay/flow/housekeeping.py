"""housekeeping: what was kept long enough goes (`keep` of the configuration), a little at a time beside the mail.

Every worker process has one; the one that holds the duty does the work. A crash in between loses nothing: each commit
is whole, and the next round finds the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from supportrelay.core.errors import TransientFailure
from supportrelay.core.ports import Lease
from supportrelay.flow.office import Office
from supportrelay.log import get_logger

__all__ = ["DUTY", "Housekeeper", "Keep", "RemovalStore"]

log = get_logger()

DUTY = "housekeeping"
_LEASE = timedelta(minutes=2)
_FIRST_AFTER_S = 600.0  # a daemon that is restarted every night tidies too
_EVERY_S = 3600.0
_REST_S = 0.1  # between two commits, so that the mail goes first

Keep = tuple[timedelta | None, timedelta | None]
"""How long octets, and everything else, are kept after a message is over; None: for ever."""


class RemovalStore(Protocol):
    """The store's part; each call is one small commit. ``(how many, where to go on or None)``."""

    async def hold_duty(self, name: str, lease: Lease, now: datetime) -> Any:
        """`core.crm_ports.DeskQueue.hold_duty`."""
        ...

    async def remove_contents(self, ended_before: datetime, after: int, now: datetime) -> tuple[int, int | None]:
        """Octets of messages that were over by then."""
        ...

    async def remove_messages(self, ended_before: datetime, after: int) -> tuple[int, int | None]:
        """Messages that were over by then, with all that was written about them."""
        ...

    async def remove_changes(self, before: datetime, after: int) -> tuple[int, int | None]:
        """Rows of the record that are about no message."""
        ...

    async def remove_short_lived(self, now: datetime) -> int:
        """Counts that count no more, whatever is kept."""
        ...

    async def remove_files(self) -> int:
        """What an earlier life left behind."""
        ...


class Housekeeper:
    """One worker process's part.

    Args:
        keep: As the configuration says now.
        rest: Takes seconds; waits between two commits.
    """

    def __init__(
        self,
        office: Office,
        store: RemovalStore,
        keep: Callable[[], Keep],
        *,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._office = office
        self._store = store
        self._keep = keep
        self._rest = rest

    async def run(self) -> None:
        """Tidy every hour until cancelled; never raises."""
        wait_s = _FIRST_AFTER_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = _EVERY_S
            await self.tidy()

    async def tidy(self) -> dict[str, int] | None:
        """One round, if the duty is ours: how many contents, messages and changes went. Never raises."""
        try:
            return await self._tidy()
        except TransientFailure as exc:
            log.warning("worker.chore_failed", detail=str(exc))
        except Exception:
            log.exception("worker.chore_failed")
        return None

    async def _tidy(self) -> dict[str, int] | None:
        if not await self._is_ours():
            return None
        raw, trace = self._keep()
        store = self._store
        await store.remove_short_lived(self._office.now())
        await store.remove_files()
        gone = {"contents": 0, "messages": 0, "changes": 0}
        if raw is not None:
            before = self._office.now() - raw
            gone["contents"] = await self._all(lambda n: store.remove_contents(before, n, self._office.now()))
        if trace is not None:
            past = self._office.now() - trace
            gone["messages"] = await self._all(lambda n: store.remove_messages(past, n))
            gone["changes"] = await self._all(lambda n: store.remove_changes(past, n))
        if any(gone.values()):
            log.info("store.tidied", **gone)
        return gone

    async def _all(self, remove: Callable[[int], Awaitable[tuple[int, int | None]]]) -> int:
        """Walk to the end; somebody else who takes the duty over goes on."""
        count, last = 0, 0
        while True:
            removed, following = await remove(last)
            count += removed
            if following is None or not await self._is_ours():
                return count
            last = following
            await self._rest(_REST_S)

    async def _is_ours(self) -> bool:
        now = self._office.now()
        return await self._store.hold_duty(DUTY, Lease(self._office.holder, now + _LEASE), now) is not None
