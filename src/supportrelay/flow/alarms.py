"""alarms: say once that something is broken; the administrators get a mail about it (`flow.clerk`)."""

from datetime import timedelta

from supportrelay.core.alarm import Alarm, AlarmKind
from supportrelay.core.errors import TransientFailure
from supportrelay.flow.office import Office
from supportrelay.log import get_logger

__all__ = ["alarm"]

log = get_logger()


async def alarm(
    office: Office, kind: AlarmKind, key: str = "", *, after: timedelta = timedelta(0), **facts: str | int
) -> None:
    """Raise an alarm; never raises an exception.

    What changes the store with it raises it there, in the same transaction (`edge.store.alarms.raise_alarm`).

    Args:
        key: Which one of its kind; a mail an hour for each.
        after: How long it may wait: whoever sees that it is over by then clears it.
    """
    try:
        is_news = await office.store.raise_alarm(Alarm(kind, key, facts), office.now(), after=after)
    except TransientFailure as exc:  # the log is all that is left
        log.error("alarm.raised", kind=str(kind), key=key, **facts, detail=str(exc))
        return
    if is_news:
        log.error("alarm.raised", kind=str(kind), key=key, **facts)
