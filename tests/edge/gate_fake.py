"""A `Gate` in memory, as strict as the port says: one process, a clock by its callers."""

from datetime import datetime, timedelta

from supportrelay.core.crm_ports import GateState
from supportrelay.core.errors import CrmDown


class GateFake:
    """Books by the generic cell rate.

    Attributes:
        entered: ``(gate, when asked, when it may go)`` of every booking.
        closings: ``(gate, until, why)`` of every closing; reopenings have neither.
    """

    def __init__(self) -> None:
        self._arrivals: dict[str, datetime] = {}
        self._closed: dict[str, tuple[datetime, str]] = {}
        self._used: dict[tuple[str, str], int] = {}
        self.entered: list[tuple[str, datetime, datetime]] = []
        self.closings: list[tuple[str, datetime | None, str]] = []

    async def enter(
        self, name: str, *, every_us: int, burst: int, daily: int | None, now: datetime, most_wait_us: int
    ) -> datetime:
        assert now.tzinfo is not None
        assert every_us > 0
        assert burst > 0
        assert most_wait_us >= 0
        if name in self._closed and self._closed[name][0] > now:
            until, why = self._closed[name]
            raise CrmDown(why, retry_at=until, is_closed=True)
        today = now.date().isoformat()
        if daily is not None and self._used.get((name, today), 0) >= daily:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise CrmDown(f"all {daily} calls of the day are used", retry_at=midnight, is_closed=True)
        arrival = max(self._arrivals.get(name, now), now)
        at = max(now, arrival - timedelta(microseconds=(burst - 1) * every_us))
        if at - now > timedelta(microseconds=most_wait_us):
            raise CrmDown("too many calls are waiting already", retry_at=at, is_closed=True)
        self._arrivals[name] = arrival + timedelta(microseconds=every_us)
        self._used[name, today] = self._used.get((name, today), 0) + 1
        self.entered.append((name, now, at))
        return at

    async def close(self, name: str, until: datetime, why: str) -> None:
        assert until.tzinfo is not None
        self.closings.append((name, until, why))
        if name not in self._closed or self._closed[name][0] < until:
            self._closed[name] = (until, why)

    async def reopen(self, name: str) -> None:
        self.closings.append((name, None, ""))
        for one in [one for one in self._closed if one == name or one.startswith(f"{name}:")]:
            del self._closed[one]

    async def gate(self, name: str) -> GateState:
        until, why = self._closed.get(name, (None, ""))
        days = [(day, used) for (gate, day), used in self._used.items() if gate == name]
        day, used = max(days, default=("", 0))
        return GateState(until, why, day, used)
