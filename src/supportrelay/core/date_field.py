"""The Date field: RFC 5322 §3.3 with its obsolete forms, as instants."""

import re
from datetime import UTC, datetime, timedelta

__all__ = ["parse_date", "print_date"]

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_ZONES = {"ut": 0, "utc": 0, "gmt": 0, "z": 0, "jst": 900, "edt": -400, "est": -500, "cdt": -500, "cst": -600}
_ZONES |= {"mdt": -600, "mst": -700, "pdt": -700, "pst": -800, "cet": 100, "cest": 200, "bst": 100}
_DATE = re.compile(
    r"\s*+(?:[^\W\d]{1,12}\.?,?\s*+)?(\d{1,2})[\s\-]+([A-Za-z]{3})[A-Za-z]{0,6}[\s\-]+(\d{2,4}),?\s++"
    r"(\d{1,2}):(\d{2})(?:[:.](\d{2}))?(?:\.\d{1,9})?\s*+([+-]\d{4}|[A-Za-z]{1,5})?"
)


def parse_date(text: str) -> datetime | None:
    """Return the instant in UTC, None when the text is no date. A missing or unknown zone is taken as UTC."""
    match = _DATE.match(text)
    if not match:
        return None
    day, month_name, year, hour, minute, second, zone = match.groups()
    month = _MONTHS.get(month_name.lower())
    if month is None:
        return None
    full_year = int(year)
    if full_year < 1000:  # noqa: PLR2004  RFC 5322 §4.3: two digits from 50 up, and three, count from 1900
        full_year += 2000 if full_year < 50 else 1900  # noqa: PLR2004
    offset = _offset_minutes(zone or "")
    try:
        at = datetime(full_year, month, int(day), int(hour), int(minute), min(int(second or 0), 59), tzinfo=UTC)
        return at - timedelta(minutes=offset)
    except (ValueError, OverflowError):
        return None


def _offset_minutes(zone: str) -> int:
    hhmm = int(zone) if zone[:1] in {"+", "-"} else _ZONES.get(zone.lower(), 0)
    sign = -1 if hhmm < 0 else 1
    return sign * (abs(hhmm) // 100 * 60 + abs(hhmm) % 100)


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PRINTED_MONTHS = tuple(name.title() for name in _NAMES)


def print_date(at: datetime) -> str:
    """An instant as a Date field has it (RFC 5322 §3.3), in UTC; `strftime` would speak the machine's language."""
    utc = at.astimezone(UTC)
    time = f"{utc.hour:02}:{utc.minute:02}:{utc.second:02}"
    return f"{_DAYS[utc.weekday()]}, {utc.day} {_PRINTED_MONTHS[utc.month - 1]} {utc.year:04} {time} +0000"
