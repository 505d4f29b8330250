"""clerk: writes the relay's own mail: reports to authors, alerts and digests to the administrators.

What is owed stands in the store from the commit on that made it so; one worker, which holds the duty, writes it. A
crash in between writes it later, never twice: the mail and the end of the debt are one commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from supportrelay.core.errors import TransientFailure
from supportrelay.core.own_mail import OwnMail, Wording
from supportrelay.core.own_ports import OwedReport, OwnMailStore
from supportrelay.core.ports import Lease
from supportrelay.flow.digest import DigestRound, look_every
from supportrelay.flow.office import Office
from supportrelay.flow.tell_admins import alert_to_admins
from supportrelay.flow.tell_author import report_to_author
from supportrelay.log import get_logger

__all__ = ["DUTY", "Clerk"]

log = get_logger()

DUTY = "own.mail"
_LEASE = timedelta(seconds=60)
_SOON = timedelta(seconds=2)
_EVERY_S = 0.5
_AT_ONCE = 20
_LATER = timedelta(days=1)
_MOST_ENDED = 1000


class Clerk:
    """One worker process's part.

    Args:
        store: The same as the office's.
        wording: The sentences of a language.
        wake: Called when mail was put into the queue.
    """

    def __init__(
        self, office: Office, store: OwnMailStore, wording: Callable[[str], Wording], wake: Callable[[], None]
    ) -> None:
        self._office = office
        self._store = store
        self._wording = wording
        self._wake = wake
        self._digest = DigestRound(office, store, wording, DUTY)
        self._look_at: datetime | None = None
        self._silent_until: datetime | None = None  # the day's alerts are used up
        self._ended: dict[OwedReport, None] = {}
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Look twice a second until `leave`; never raises."""
        while not self._leaving.is_set():
            await self.tick()
            try:
                await asyncio.wait_for(self._leaving.wait(), _EVERY_S)
            except TimeoutError:
                continue

    def leave(self) -> None:
        """Write no more; whoever takes over finds the rest."""
        self._leaving.set()

    async def tick(self) -> None:
        """Write what is owed, when there is something and the duty is ours. Never raises."""
        try:
            now = self._office.now()
            reports = await self._store.owed_reports(now, _AT_ONCE)
            is_silent = self._silent_until is not None and now < self._silent_until <= now + _LEASE
            alarms = [] if is_silent else await self._store.owed_alarms(now, _AT_ONCE)
            looks = self._look_at is None or now >= self._look_at or now < self._look_at - _LEASE
            if not (reports or alarms or looks):
                return
            lease = Lease(self._office.holder, now + _LEASE)
            notes = await self._store.hold_duty(DUTY, lease, now)
            if looks:
                self._look_at = now + look_every(self._office.rulebook().desk.digest_after)
            if notes is None:
                return
            await self._report_all(reports, now)
            if alarms:
                await self._alert()
            if looks:
                self._wrote(await self._digest.look(notes, lease))
        except TransientFailure as exc:
            log.warning("own_mail.put_off", detail=str(exc))
        except Exception:
            log.exception("own_mail.put_off")

    async def _report_all(self, reports: Sequence[OwedReport], now: datetime) -> None:
        """Each is told, or due later. A debt that was ended and is there again is a mistake of ours, not a new one."""
        while reports:
            again = [owed for owed in reports if owed in self._ended]
            if again:
                log.error("own_mail.put_off", queue_id=again[0].queue_id, detail="a debt does not end")
                for owed in again:
                    await self._store.put_off_report(owed, now + _LATER)
            for owed in reports:
                if owed not in again:
                    await self._report(owed)
            while len(self._ended) > _MOST_ENDED:
                self._ended.pop(next(iter(self._ended)))
            reports = [] if again else await self._store.owed_reports(now, _AT_ONCE)

    async def _report(self, owed: OwedReport) -> None:
        """One that cannot be written stays owed, and does not keep the others from being written."""
        office = self._office
        try:
            found = await report_to_author(office, office.rulebook(), self._store, self._wording, owed)
            if found is None:
                await self._store.put_off_report(owed, office.now() + _SOON)
                return
        except TransientFailure:
            raise
        except Exception:
            log.exception("own_mail.put_off", queue_id=owed.queue_id)
            await self._store.put_off_report(owed, office.now() + _LEASE)
            return
        is_told = await self._store.tell_report(owed, found.mail, found.recipients, found.why, office.now())
        self._ended[owed] = None
        if is_told:
            self._wrote(found.mail)

    async def _alert(self) -> None:
        office = self._office
        await self._store.forget_past_alarms(office.now())
        alarms = await self._store.owed_alarms(office.now(), _AT_ONCE)
        told = await alert_to_admins(office, office.rulebook(), self._store, self._wording, alarms)
        if told is None:
            self._silent_until = office.now() + _LEASE
            return
        await self._store.tell_alarms(told.alarms, told.mails, office.now())
        for mail in told.mails:
            self._wrote(mail)

    def _wrote(self, mail: OwnMail | None) -> None:
        """It is in the queue; have it sent."""
        if mail is not None:
            log.info("own_mail.written", queue_id=mail.queue_id, kind=str(mail.kind), about=mail.about)
            self._wake()
