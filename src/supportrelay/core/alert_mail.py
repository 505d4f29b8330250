"""The text of an alert: what is broken, since when, and what the administrator can do."""

from collections.abc import Sequence

from supportrelay.core.own_mail import Wording
from supportrelay.core.own_ports import OwedAlarm
from supportrelay.core.plain_line import plain_line

__all__ = ["alert_subject", "alert_text"]

_MAX_FACT = 300


def alert_subject(owed: Sequence[OwedAlarm], support: str, words: Wording) -> str:
    """What it is about, and how many more there are."""
    title = words.text(f"alarm.{owed[0].alarm.kind}.title")
    code = "own.subject.alert" if len(owed) == 1 else "own.subject.alerts"
    return words.text(code, support=support, title=title, more=len(owed) - 1)


def alert_text(owed: Sequence[OwedAlarm], support: str, words: Wording) -> str:
    """Return the whole text; what others said stands in it on single clean lines."""
    blocks = [words.text("own.alert.head", support=support)]
    blocks += ["\n".join(_told(one, words)) for one in owed]
    blocks.append(words.text("own.alert.foot"))
    return "\n\n".join(blocks) + "\n"


def _told(owed: OwedAlarm, words: Wording) -> list[str]:
    alarm = owed.alarm
    facts = {name: plain_line(str(value), _MAX_FACT) for name, value in alarm.facts.items()}
    values = {"key": plain_line(alarm.key, _MAX_FACT), "text": "", "host": "", "queue_id": "", "recipient": ""} | facts
    times = words.text("own.alert.times", first=_shown(owed.first_at), last=_shown(owed.last_at), count=owed.count)
    return [
        f"* {words.text(f'alarm.{alarm.kind}', **values)}",
        f"  {times}",
        f"  {words.text(f'alarm.{alarm.kind}.do', **values)}",
    ]


def _shown(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
