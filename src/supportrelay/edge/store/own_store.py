"""StoreOwn: mail of our own, and what it is owed for, on the store."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from supportrelay.core.alarm import Alarm
from supportrelay.core.digest import DigestItem
from supportrelay.core.own_mail import OwnKind, OwnMail
from supportrelay.core.own_ports import DigestNews, OwedAlarm, OwedReport
from supportrelay.core.ports import Lease
from supportrelay.edge.store import alarms, digest, reports
from supportrelay.edge.store.own_mail import insert_own_mail
from supportrelay.edge.store.rows import address_key, to_microseconds
from supportrelay.edge.store.writer import Command

__all__ = ["StoreOwn"]

T = TypeVar("T")

_QUICK = 500  # rows that the event loop may write


class StoreOwn:
    """Mixin of `SqliteStore`."""

    async def write(self, command: Command[T], *, slow: bool = False) -> T:
        """`SqliteStore.write`."""
        raise NotImplementedError

    def read(self, query: Command[T]) -> T:
        """`SqliteStore.read`."""
        raise NotImplementedError

    async def _list(self, query: Command[T]) -> T:
        """`StoreViews._list`."""
        raise NotImplementedError

    async def add_own_mail(self, mail: OwnMail) -> None:
        """Put a mail of our own into the queue."""
        await self.write(lambda c: insert_own_mail(c, mail))

    async def own_mail_since(self, kind: OwnKind, recipient: str, since: datetime) -> int:
        """How many mails of a kind went to somebody first of all."""
        return self.read(lambda c: reports.own_mail_since(c, kind, recipient, to_microseconds(since)))

    # -- reports --

    async def owed_reports(self, now: datetime, limit: int) -> list[OwedReport]:
        """What authors are to be told now."""
        return self.read(lambda c: reports.owed_reports(c, to_microseconds(now), limit))

    async def tell_report(
        self, owed: OwedReport, mail: OwnMail | None, recipients: Sequence[str], why: str, now: datetime
    ) -> bool:
        """Put a report into the queue, or record why there is none."""
        at = to_microseconds(now)
        return await self.write(lambda c: reports.tell_report(c, owed, mail, recipients, why, at))

    async def put_off_report(self, owed: OwedReport, due_at: datetime) -> None:
        """It could not be written now."""
        await self.write(lambda c: reports.put_off_report(c, owed, to_microseconds(due_at)))

    # -- alarms --

    async def raise_alarm(self, alarm: Alarm, now: datetime, *, after: timedelta = timedelta(0)) -> bool:
        """Note that something is broken."""
        at, wait = to_microseconds(now), int(after.total_seconds() * 1_000_000)
        return await self.write(lambda c: alarms.raise_alarm(c, alarm, at, after=wait))

    async def forget_past_alarms(self, now: datetime) -> None:
        """Drop those that passed before anybody had to be told."""
        at = to_microseconds(now)
        if self.read(lambda c: alarms.has_past_alarms(c, at)):
            await self.write(lambda c: alarms.clear_what_is_over(c, at))

    async def owed_alarms(self, now: datetime, limit: int) -> list[OwedAlarm]:
        """What is to be told now."""
        return self.read(lambda c: alarms.owed_alarms(c, to_microseconds(now), limit))

    async def tell_alarms(self, owed: Sequence[OwedAlarm], mails: Sequence[OwnMail], now: datetime) -> None:
        """The mail about these alarms goes into the queue."""
        await self.write(lambda c: alarms.tell_alarms(c, owed, mails, to_microseconds(now)))

    # -- digests --

    async def digest_news(self, cursor: int | None, admins: Sequence[str], now: datetime) -> DigestNews:
        """What there is to tell."""
        at, keys = to_microseconds(now), tuple(map(address_key, admins))
        return await self._list(lambda c: digest.digest_news(c, cursor, at, keys))

    async def digest_items(
        self, numbers: Sequence[int], admins: Sequence[str], *, is_daily: bool, most: int
    ) -> list[DigestItem]:
        """The messages that a digest names."""
        keys = tuple(map(address_key, admins))
        return await self._list(lambda c: digest.digest_items(c, numbers, keys, is_daily=is_daily, most=most))

    async def tell_digest(
        self,
        mail: OwnMail | None,
        told: Sequence[tuple[int, str]],
        ended: Sequence[int],
        duty: str,
        lease: Lease,
        notes: Mapping[str, Any],
        now: datetime,
    ) -> None:
        """Put a digest into the queue with what it told."""
        at = to_microseconds(now)
        await self.write(
            lambda c: digest.tell_digest(c, mail, told, ended, duty, lease.holder, notes, at),
            slow=len(told) + len(ended) > _QUICK,
        )
