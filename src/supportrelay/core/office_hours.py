"""Office hours: ``Mon-Fri 09:00-18:00`` in a time zone, the condition ``hours`` of rules."""

import re
from datetime import datetime, timedelta, tzinfo

from supportrelay.core.errors import InputError
from supportrelay.core.value import value_class

__all__ = ["OfficeHours", "Span", "parse_spans"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_NUMBERS = {
    spelling: number
    for number, (name, sign) in enumerate(zip(_DAYS, "月火水木金土日", strict=True))
    for spelling in (name, name[:3], sign, f"{sign}曜", f"{sign}曜日")
}
_WEEK = frozenset(range(7))
_FORM = re.compile(
    r"(?P<days>[^\d\s:]+(?:\s*[-,～〜]\s*[^\d\s:]+)*)?\s*"
    r"(?:(?P<h1>\d{1,2}):(?P<m1>\d\d)\s*[-–～〜]\s*(?P<h2>\d{1,2}):(?P<m2>\d\d))?"
)
_MINUTES_A_DAY = 24 * 60


@value_class
class Span:
    """A span of the week.

    Attributes:
        days: 0 is Monday; the days on which it begins.
        begin: Minutes since midnight, the first one that counts.
        end: Minutes since midnight, the first one that does not; at most 1440. Not after ``begin``: on the next day.
    """

    days: frozenset[int]
    begin: int = 0
    end: int = _MINUTES_A_DAY

    def covers(self, weekday: int, minute: int) -> bool:
        """Whether a minute of a day lies in it; a span over midnight belongs to the day on which it begins."""
        if self.begin < self.end:
            return weekday in self.days and self.begin <= minute < self.end
        return (weekday in self.days and minute >= self.begin) or ((weekday - 1) % 7 in self.days and minute < self.end)


@value_class
class OfficeHours:
    """Spans of the week on the clocks of a zone (summer time included)."""

    spans: tuple[Span, ...]
    zone: tzinfo

    def covers(self, instant: datetime) -> bool:
        """Whether an aware instant lies in any span."""
        local = instant.astimezone(self.zone)
        weekday, minute = local.weekday(), local.hour * 60 + local.minute
        return any(span.covers(weekday, minute) for span in self.spans)


def parse_spans(text: str) -> tuple[Span, ...]:
    """Return the spans of ``Mon-Fri 09:00-12:00``, ``Sat,Sun``, ``22:00-06:00`` or ``月-金 9:00-18:00``.

    Without days it is every day, without a time the whole day.

    Raises:
        InputError: It is not of that form.
    """
    found = _FORM.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise InputError(f"no office hours: {text!r}; write them like 'Mon-Fri 09:00-18:00'")
    days = _parse_days(found["days"], text) if found["days"] else _WEEK
    if found["h1"] is None:
        return (Span(days),)
    begin, end = _minutes(found["h1"], found["m1"], text), _minutes(found["h2"], found["m2"], text)
    if begin in {end, _MINUTES_A_DAY}:
        raise InputError(f"{text!r} is no span of time; leave the time out for the whole day")
    return (Span(days, begin, end),)


def _minutes(hours: str, minutes: str, text: str) -> int:
    value = timedelta(hours=int(hours), minutes=int(minutes)) // timedelta(minutes=1)
    if int(minutes) > 59 or value > _MINUTES_A_DAY:  # noqa: PLR2004  minutes of an hour
        raise InputError(f"{text!r} names a time that no clock shows")
    return value


def _parse_days(words: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for word in words.split(","):
        first, dash, last = (part.strip() for part in re.sub("[～〜]", "-", word).partition("-"))
        begin = _day(first, text)
        end = _day(last, text) if dash else begin
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(word: str, text: str) -> int:
    number = _DAY_NUMBERS.get(word.lower())
    if number is None:
        raise InputError(f"no day {word!r} in {text!r}: Mon, Tue, Wed, Thu, Fri, Sat, Sun")
    return number
