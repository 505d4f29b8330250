"""What the station that writes our own mail (`flow.clerk`) asks of the store: what is owed, and that it was told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from supportrelay.core.alarm import Alarm
from supportrelay.core.own_mail import OwnKind, OwnMail
from supportrelay.core.ports import Lease
from supportrelay.core.value import value_class

__all__ = ["OwedAlarm", "OwedReport", "OwnMailStore"]


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
