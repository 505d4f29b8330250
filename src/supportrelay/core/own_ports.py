"""What the station that writes our own mail (`flow.clerk`) asks of the store: what is owed, and that it was told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from supportrelay.core.alarm import Alarm
from supportrelay.core.digest import DigestEvent, DigestItem
from supportrelay.core.own_mail import OwnKind, OwnMail
from supportrelay.core.ports import Lease
from supportrelay.core.value import value_class

__all__ = ["DigestNews", "OwedAlarm", "OwedReport", "OwnMailStore"]


@value_class
class OwedReport:
    """An author is to be told what became of his mail.

    Attributes:
        kind: REPORT or DELAY.
        due_at: Names this debt: one that came since is another.
    """

    queue_id: str
    kind: OwnKind
    due_at: datetime


@value_class
class OwedAlarm:
    """An alarm that is to be told.

    Attributes:
        count: How often it was raised since the last mail about it.
        first_at, last_at: Since that mail; aware, UTC.
    """

    alarm: Alarm
    count: int
    first_at: datetime
    last_at: datetime


@value_class
class DigestNews:
    """What there is to tell the administrators.

    Attributes:
        cursor: The last row of the record that this knows.
        counts: State -> how many messages are in it; our own mail to administrators aside, which they know of.
        untold: ``(number, state)`` of those that no digest named in that state; at most 10,000 of each.
        muted: Numbers of automatic answers that went to nobody, since the cursor before.
        events: What else happened since then.
        stops: What automatic mail is held of now.
        ended: Numbers of messages that are not any more what a digest said of them.
    """

    cursor: int
    counts: Mapping[str, int]
    untold: tuple[tuple[int, str], ...]
    muted: tuple[int, ...] = ()
    events: tuple[DigestEvent, ...] = ()
    stops: tuple[str, ...] = ()
    ended: tuple[int, ...] = ()


class OwnMailStore(Protocol):
    """The part of the store that `flow.clerk` needs beside `ports.Store`."""

    async def owed_reports(self, now: datetime, limit: int) -> list[OwedReport]:
        """What authors are to be told now, longest due first."""
        ...

    async def tell_report(
        self, owed: OwedReport, mail: OwnMail | None, recipients: Sequence[str], why: str, now: datetime
    ) -> bool:
        """Put a report into the queue, or record why there is none; False when somebody else did it before.

        Args:
            recipients: Whose failure it tells; they are not told again.
        """
        ...

    async def put_off_report(self, owed: OwedReport, due_at: datetime) -> None:
        """It could not be written now."""
        ...

    async def hold_duty(self, name: str, lease: Lease, now: datetime) -> Mapping[str, Any] | None:
        """Become or stay the one process that has this duty; its notes, None when somebody else has it."""
        ...

    async def queue_show(self, name: str) -> dict[str, Any]:
        """One message with its decision, deliveries and changes."""
        ...

    async def own_mail_since(self, kind: OwnKind, recipient: str, since: datetime) -> int:
        """How many mails of a kind went to somebody first of all."""
        ...

    async def owed_alarms(self, now: datetime, limit: int) -> list[OwedAlarm]:
        """What is to be told now, longest due first."""
        ...

    async def forget_past_alarms(self, now: datetime) -> None:
        """Drop those that passed before anybody had to be told."""
        ...

    async def tell_alarms(self, owed: Sequence[OwedAlarm], mails: Sequence[OwnMail], now: datetime) -> None:
        """Put the mail about these alarms into the queue; without a mail there is nobody who could be told."""
        ...

    async def digest_news(self, cursor: int | None, admins: Sequence[str], now: datetime) -> DigestNews:
        """What there is to tell; ``cursor`` None begins with what happens from now on."""
        ...

    async def digest_items(
        self, numbers: Sequence[int], admins: Sequence[str], *, is_daily: bool, most: int
    ) -> list[DigestItem]:
        """These messages, for a daily digest all that wait for a person; at most so many."""
        ...

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
        """Put a digest into the queue with what it told, and keep the duty's notes, in one commit."""
        ...
