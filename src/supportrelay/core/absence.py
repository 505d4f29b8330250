"""Until when is somebody away? Read from his absence notice, as far as that says so (RULES_OF_MAIL 2).

Japanese, English, German, French and Polish. A date counts by the words around it: the last day away (``until 20
August``, ``8月20日まで``, the end of a range) or the first day back (``back on 21 August``, ``8月21日より出社``).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from supportrelay.core.value import value_class

__all__ = ["LONGEST", "LONGEST_WITHOUT_YEAR", "away_until"]

LONGEST = timedelta(days=400)
"""No notice keeps anybody away longer, parental leave neither; a person can (``supportrelay absent``)."""
LONGEST_WITHOUT_YEAR = timedelta(days=92)
"""A day without its year may be one of the past: an old notice that nobody switched off."""

_LOOK = 2000  # characters of a notice
_STALE = timedelta(days=182)


def away_until(text: str, now: datetime) -> datetime:
    """Return when the writer of an absence notice is back: aware, UTC, after ``now``.

    Best effort: the last day that the notice names ends the absence; without one it is the end of the next business
    day. A date that is over, or further away than `LONGEST`, is not believed; without its year, `LONGEST_WITHOUT_YEAR`.

    Args:
        text: Subject and text of the notice.
        now: When it was accepted; aware, UTC.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text[:_LOOK]).split()).replace("’", "'")
    plain = _NOT_BACK_UNTIL.sub("back on", plain)
    found = [end for end, longest in _ends(plain, now.date()) if now < end <= now + longest]
    return max(found, default=_after_next_business_day(now))


# --- the words -------------------------------------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner janvier stycznia",
            "february feb februar février fevrier févr lutego",
            "march mar märz maerz mars marca",
            "april apr avril avr kwietnia",
            "may mai maja",
            "june jun juni juin czerwca",
            "july jul juli juillet juil lipca",
            "august aug août aout sierpnia",
            "september sep sept septembre września wrzesnia",
            "october oct oktober okt octobre października pazdziernika",
            "november nov novembre listopada",
            "december dec dezember dez décembre decembre déc grudnia",
        ),
        start=1,
    )
    for name in names.split()
}
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "monday montag lundi poniedziałku poniedziałek",
            "tuesday dienstag mardi wtorku wtorek",
            "wednesday mittwoch mercredi środy środę",
            "thursday donnerstag jeudi czwartku czwartek",
            "friday freitag vendredi piątku piątek",
            "saturday samstag samedi soboty sobotę",
            "sunday sonntag dimanche niedzieli niedzielę",
        )
    )
    for name in names.split()
}


def _any_of(words: dict[str, int]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_MONTH, _WEEKDAY = _any_of(_MONTHS), _any_of(_WEEKDAYS)
_SOME = r"(?:\w{2,12}[.,]? ){0,2}?"  # a weekday, an article: ``until Thursday, the``
_UNTIL = (
    r"\b(?:until|till|til|through|thru|up to|bis(?: zum| einschließlich| einschl\.| inkl\.| inklusive){0,2}|"
    rf"jusqu'au|do(?: dnia)?|(?:wracam|wrócę|wraca) po) {_SOME}"
)
_UNTIL_DAY_FIRST = rf"\b(?:bis(?: zum| einschließlich| einschl\.| inkl\.){{0,2}}|jusqu'au|do(?: dnia)?) {_SOME}"
_BACK = (
    r"\b(?:back|return(?:ing|s)?|zurück|wieder|de retour|retour|reprise|reprends|à partir du|"
    r"wracam|wrócę|powrót|powracam|będę (?:ponownie )?dostępn[ya])\b"
    rf"(?: (?!until|till|bis|jusqu|do )[^\s.]{{1,14}}){{0,4}}? (?:on |am |ab |ab dem |le |od |dnia )?{_SOME}"
)
_FROM_DAY = rf"\b(?:ab|am) (?:dem )?{_SOME}"  # German puts what happens on that day behind it
_AGAIN = r".{0,40}?\b(?:wieder|zurück|erreichbar)\b"
_TH = r"(?:st|nd|rd|th|er|\.)?"
_TO = r" ?(?:-|–|—|―|~|〜|to|until|till|through|bis(?: zum)?|au|do|and|から) ?"

_YEAR = r"(?P<y>\d{4}|\d\d(?!\d))"
_NOT_BACK_UNTIL = re.compile(
    r"\bnot (?:be )?(?:back|return(?:ing)?|available)\b[^.]{0,40}? (?:until|till|before)\b", re.IGNORECASE
)
_ISO = r"(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)(?!\d)"
_DOTTED = rf"(?P<d>\d\d?)\. ?(?P<m>\d\d?)(?:\.(?: ?{_YEAR})?|(?=[\s)!,]|$))"
_SLASHED = rf"(?P<d>\d\d?)[/-](?P<m>\d\d?)(?:[/-]{_YEAR})?(?![\d/])"
_DAY_MONTH = rf"(?P<d>\d\d?){_TH} (?:of )?(?P<n>{_MONTH})\b\.?(?:,? (?P<y>\d{{4}}))?"
_MONTH_DAY = rf"(?P<n>{_MONTH})\.? (?:the )?(?P<d>\d\d?){_TH}(?!\d)(?:,? (?P<y>\d{{4}}))?"
_JAPANESE_DAY = r"\d\d? ?日?(?: ?\([^()]{1,6}\))?"
_JAPANESE_WEEKDAY = r"(?: ?\([^()]{1,6}\)| ?[月火水木金土日]曜日?)?"
_JAPANESE = (
    r"(?:(?P<y>\d{4}|令和 ?\d\d?) ?[年/.-] ?)?(?P<m>\d\d?) ?[月/] ?(?P<d>\d\d?) ?日?"  # 8月20日, 2026/8/20
    + _JAPANESE_WEEKDAY
)
_JAPANESE_BACK = (
    r" ?(?:より|から|に|以降|には)[、 ]?(?:\S{0,8}?)(?:出社|出勤|復帰|業務|営業|再開|戻り|対応|返信|ご連絡)"
)
_JAPANESE_DAY_BACK = r"(?:次の|次回の?)?(?:出社|出勤|復帰|営業再開)(?:予定)?日?(?:は|:)? ?"
_LAST = r" ?(?:まで|迄|いっぱい|をもって)"


@value_class
class _Form:
    pattern: re.Pattern[str]
    is_first_day_back: bool = False
    may_be_month_first: bool = False


def _form(pattern: str, *, back: bool = False, month_first: bool = False) -> _Form:
    return _Form(re.compile(pattern, re.IGNORECASE), back, month_first)


_DATES = (_ISO, _DOTTED, _DAY_MONTH, _MONTH_DAY)
_FORMS: tuple[_Form, ...] = (
    _form(_JAPANESE + _LAST),
    _form(_JAPANESE + _JAPANESE_BACK, back=True),
    _form(_JAPANESE + r" ?(?:復帰|出社|出勤|営業再開)(?:予定|いたし|致し|し)", back=True),
    _form(_JAPANESE_DAY_BACK + _JAPANESE + r"(?! ?(?:まで|迄))", back=True),
    _form(rf"(?<![\d月/日] )(?<![\d月/])(?P<d>\d\d?) ?日(?: ?\([^()]{{1,6}}\))?{_JAPANESE_BACK}", back=True),
    _form(rf"[月/] ?{_JAPANESE_DAY}{_TO}{_JAPANESE}"),
    _form(rf"(?P<m>\d\d?) ?月 ?{_JAPANESE_DAY}{_TO}(?P<d>\d\d?) ?日"),
    _form(rf"(?<![\d月/日] )(?<![\d月/])(?P<d>\d\d?) ?日(?: ?\([^()]{{1,6}}\))?{_LAST}"),
    *(_form(_UNTIL + one) for one in _DATES),
    *(_form(_BACK + one, back=True) for one in _DATES),
    *(_form(_FROM_DAY + one + _AGAIN, back=True) for one in _DATES),
    _form(_UNTIL_DAY_FIRST + _SLASHED),
    _form(rf"\b(?:until|till|til|through|thru) {_SOME}{_SLASHED}", month_first=True),
    _form(_BACK + _SLASHED, back=True, month_first=True),
    _form(rf"\b\d\d?/\d\d?(?:/\d{{2,4}})?{_TO}{_SLASHED}", month_first=True),
    _form(rf"\b\d{{4}}-\d\d?-\d\d?{_TO}{_ISO}"),
    _form(rf"\b\d\d?\.(?: ?\d\d?\.)?(?: ?\d{{2,4}})?{_TO}{_DOTTED}"),
    _form(rf"\b\d\d?{_TH}(?: (?:{_MONTH})\.?)?(?:,? \d{{4}})?{_TO}(?:the )?{_DAY_MONTH}"),
    _form(rf"\b(?:{_MONTH})\.? \d\d?{_TH}(?:,? \d{{4}})?{_TO}{_MONTH_DAY}"),
    _form(rf"\b(?P<n>{_MONTH})\.? \d\d?{_TH}{_TO}(?P<d>\d\d?){_TH}(?!\d)(?:,? (?P<y>\d{{4}}))?"),
    _form(rf"{_UNTIL}(?:the )?(?P<d>\d\d?)(?:st|nd|rd|th)?(?=[,;!)]|\.(?: |$)|$)"),
    _form(rf"{_UNTIL}(?P<w>{_WEEKDAY})\b(?!,? \w{{0,5}} ?\d)"),
    _form(rf"{_BACK}(?P<w>{_WEEKDAY})\b(?!,? \w{{0,5}} ?\d)", back=True),
)


# --- the days --------------------------------------------------------------------------------------------------------


def _ends(text: str, today: date) -> Iterator[tuple[datetime, timedelta]]:
    """Each end that the text names, with how far away it may be."""
    for form in _FORMS:
        for match in form.pattern.finditer(text):
            named = match.groupdict()
            day = _named_day(named, today, may_be_month_first=form.may_be_month_first)
            if day is not None:
                end = _midnight(day if form.is_first_day_back else day + timedelta(days=1))
                yield end, LONGEST if named.get("y") else LONGEST_WITHOUT_YEAR


def _named_day(named: dict[str, str | None], today: date, *, may_be_month_first: bool) -> date | None:
    weekday, number = named.get("w"), named.get("d")
    if weekday:
        return today + timedelta(days=(_WEEKDAYS[weekday.lower()] - today.weekday() - 1) % 7 + 1)
    assert number is not None
    day, year, name = int(number), _year(named.get("y")), named.get("n")
    if name:
        return _day(year, _MONTHS[name.lower()], day, today)
    if not named.get("m"):
        return _next_such_day(day, today)
    month = int(named["m"] or 0)
    first = _day(year, month, day, today)
    if not may_be_month_first:
        return first
    # 5/8 is two days; whoever is expected back too early gets his mail too early, and that is the lesser evil.
    both = [one for one in (first, _day(year, day, month, today)) if one is not None]
    return min((one for one in both if one >= today), default=max(both, default=None))


def _year(said: str | None) -> int | None:
    if not said:
        return None
    if said.startswith("令和"):
        return 2018 + int(said.removeprefix("令和"))
    return int(said) if len(said) > 2 else 2000 + int(said)  # noqa: PLR2004  two digits


def _day(year: int | None, month: int, day: int, today: date) -> date | None:
    """Without a year it is the next such day, or one of the last weeks (then the notice is stale)."""
    if year is not None:
        return _or_none(lambda: date(year, month, day))
    this_year = _or_none(lambda: date(today.year, month, day))
    if this_year is not None and this_year >= today - _STALE:
        return this_year
    return _or_none(lambda: date(today.year + 1, month, day))


def _next_such_day(day: int, today: date) -> date | None:
    """The coming one: of the present month, when it is not over, else of the next."""
    this_month = _or_none(lambda: today.replace(day=day))
    if this_month is not None and this_month >= today:
        return this_month
    following = today.replace(day=1) + timedelta(days=32)
    return _or_none(lambda: following.replace(day=day))


def _or_none(make: Callable[[], date]) -> date | None:
    try:
        return make()
    except (ValueError, OverflowError):
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _after_next_business_day(now: datetime) -> datetime:
    day = now.date() + timedelta(days=1)
    while day.weekday() > 4:  # noqa: PLR2004  Saturday and Sunday
        day += timedelta(days=1)
    return _midnight(day + timedelta(days=1))
