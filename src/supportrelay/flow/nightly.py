"""nightly: once a day one worker audits what was accepted since the last time, and says what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from supportrelay.core.alarm import AlarmKind
from supportrelay.core.audit import DUTY, AuditReport
from supportrelay.core.errors import TransientFailure
from supportrelay.core.ports import Lease
from supportrelay.flow.alarms import alarm
from supportrelay.flow.office import Office
from supportrelay.log import get_logger

__all__ = ["Duties", "Nightly"]

log = get_logger()

_LOOK_S = 600.0
_LEASE = timedelta(minutes=30)
_HOUR = 3  # by the clock of the machine: little mail, and before anybody comes in
_LOOKS_BACK = timedelta(days=3)  # most mail has come to its end by then, and what was tampered with since shows
_NAMED = 5


class Duties(Protocol):
    """What only one process shall do."""

    async def hold_duty(self, name: str, lease: Lease, now: datetime) -> Mapping[str, Any] | None:
        """Become or stay the one; its notes, None when somebody else is."""
        ...

    async def note_duty(self, name: str, lease: Lease, notes: Mapping[str, Any]) -> None:
        """Keep notes with it."""
        ...


class Nightly:
    """One worker's part; the one that holds the duty does it.

    Args:
        audit: Makes the account of a period, beside the traffic.
        local: An instant by the clock on this machine's wall.
    """

    def __init__(
        self,
        office: Office,
        duties: Duties,
        audit: Callable[[datetime, datetime], Awaitable[AuditReport]],
        local: Callable[[datetime], datetime],
    ) -> None:
        self._office = office
        self._duties = duties
        self._audit = audit
        self._local = local

    async def run(self) -> None:
        """Look every ten minutes until cancelled; never raises."""
        while True:
            await self.tick()
            await asyncio.sleep(_LOOK_S)

    async def tick(self) -> None:
        """Audit when it is time and the duty is ours."""
        office = self._office
        try:
            now = office.now()
            lease = Lease(office.holder, now + _LEASE)
            notes = await self._duties.hold_duty(DUTY, lease, now)
            if notes is None:
                return
            if not notes:
                # The first one is made when the first night is over, whether somebody was up in it or not.
                await self._duties.note_duty(DUTY, lease, {"begun": now.isoformat()})
                return
            if not self._is_time(notes, now):
                return
            report = await self._audit(self._since(notes, now), now)
            await self._duties.note_duty(DUTY, lease, _notes(report, now))
            await self._say(report)
        except TransientFailure as exc:
            log.warning("audit.put_off", detail=str(exc))
        except Exception:
            log.exception("audit.put_off")

    def _is_time(self, notes: Mapping[str, Any], now: datetime) -> bool:
        """The night has come since the last one, or since the relay was first started."""
        local = self._local(now)
        night = local.replace(hour=_HOUR, minute=0, second=0, microsecond=0)
        if local < night:
            night -= timedelta(days=1)
        return datetime.fromisoformat(notes.get("at") or notes["begun"]) < night

    def _since(self, notes: Mapping[str, Any], now: datetime) -> datetime:
        last = datetime.fromisoformat(notes.get("at") or notes["begun"])
        return min(last, now) - _LOOKS_BACK

    async def _say(self, report: AuditReport) -> None:
        if report.adds_up:
            log.info("audit.done", accepted=report.accepted, states=dict(report.states))
            return
        named = [f"{one.code} {one.queue_id}".strip() for one in report.findings[:_NAMED]]
        log.error("audit.found", findings=report.finding_count, named=named)
        await alarm(self._office, AlarmKind.AUDIT_FINDING, "", findings=report.finding_count, named=", ".join(named))


def _notes(report: AuditReport, now: datetime) -> dict[str, Any]:
    findings = report.finding_count or int(not report.adds_up)
    return {"at": now.isoformat(), "findings": findings, "accepted": report.accepted}
