"""Until when is somebody away? Read from his absence notice, as far as that says so (RULES_OF_MAIL 2)."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

__all__ = ["away_until"]

LONGEST = timedelta(days=92)
"""No notice keeps anybody away longer; a person can (``supportrelay absent``)."""

_LOOK = 4000  # characters of a notice
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier stycznia",
            "february feb februar février fevrier lutego",
            "march mar märz maerz mars marca",
            "april apr avril kwietnia",
            "may mai maja",
            "june jun juni juin czerwca",
            "july jul juli juillet lipca",
            "august aug août aout sierpnia",
            "september sep sept septembre września wrzesnia",
            "october oct oktober octobre października pazdziernika",
            "november nov novembre listopada",
            "december dec dezember décembre decembre grudnia",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(map(re.escape, _MONTHS), key=len, reverse=True))
_UNTIL = r"\b(?:until|till|through|bis(?: zum| einschließlich)?|jusqu['’]au|do(?: dnia)?) (?:\w{2,12}[.,]? ){0,2}?"
_BACK = r"\b(?:back|return(?:ing)?|zurück|de retour|wracam|wrócę)\b[^.]{0,30}?\b(?:on|am|ab|le|dnia) (?:\w{2,12},? )?"
_KANJI_DAY = r"(?:(?P<y>\d{4}) ?[年/.-] ?)?(?P<m>\d{1,2}) ?[月/] ?(?P<d>\d{1,2}) ?日?(?: ?[(（].[)）])?"
_DAY_MONTH = rf"(?P<d>\d\d?)(?:st|nd|rd|th|er|\.)? (?P<n>{_MONTH})\b(?:,? (?P<y>\d\d\d\d))?"
_MONTH_DAY = rf"(?P<n>{_MONTH})\.? (?P<d>\d\d?)(?:st|nd|rd|th)?\b(?:,? (?P<y>\d\d\d\d))?"

# Year (it may be missing), month, day, in a text whose white space is single spaces. True: the first day at work.
_FORMS: tuple[tuple[re.Pattern[str], bool], ...] = tuple(
    (re.compile(form, re.IGNORECASE), is_first_day_back)
    for form, is_first_day_back in (
        (_KANJI_DAY + " ?まで", False),
        (_KANJI_DAY + " ?(?:より|から|に|以降) ?(?:通常)?(?:出社|出勤|復帰|業務)", True),
        (_UNTIL + r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})", False),
        (_UNTIL + r"(?P<d>\d{1,2})\. ?(?P<m>\d{1,2})\.(?: ?(?P<y>\d{4}))?", False),
        (_UNTIL + _DAY_MONTH, False),
        (_UNTIL + _MONTH_DAY, False),
        (_BACK + _DAY_MONTH, True),
        (_BACK + _MONTH_DAY, True),
    )
)


def away_until(text: str, now: datetime) -> datetime:
    """Return when the writer of an absence notice is back: aware, UTC, after ``now``.

    Best effort: the last day that the notice names ends the absence; without one it is the end of the next business
    day. A date that is over, or further away than `LONGEST`, is not believed.

    Args:
        text: Subject and text of the notice.
        now: When it was accepted; aware, UTC.
    """
    found = [end for end in _ends(" ".join(text[:_LOOK].split()), now.date()) if now < end <= now + LONGEST]
    return max(found, default=_after_next_business_day(now))


def _ends(text: str, today: date) -> Iterator[datetime]:
    for form, is_first_day_back in _FORMS:
        for match in form.finditer(text):
            named = match.groupdict()
            month = _MONTHS[named["n"].lower()] if named.get("n") else int(named["m"])
            day = _day(named.get("y"), month, int(named["d"]), today)
            if day is not None:
                yield _midnight(day if is_first_day_back else day + timedelta(days=1))


def _day(year: str | None, month: int, day: int, today: date) -> date | None:
    """Without a year it is the next such day, or one of the last weeks (then the notice is stale)."""
    try:
        if year:
            return date(int(year), month, day)
        this_year = date(today.year, month, day)
        return this_year if this_year >= today - timedelta(days=182) else date(today.year + 1, month, day)
    except (ValueError, OverflowError):
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _after_next_business_day(now: datetime) -> datetime:
    day = now.date() + timedelta(days=1)
    while day.weekday() > 4:  # noqa: PLR2004  Saturday and Sunday
        day += timedelta(days=1)
    return _midnight(day + timedelta(days=1))
