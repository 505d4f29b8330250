"""Office hours."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from supportrelay.core.errors import InputError
from supportrelay.core.office_hours import OfficeHours, parse_spans

TOKYO, WARSAW = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Warsaw")
MONDAY = datetime(2026, 3, 2, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("text", "day", "hour", "minute", "covers"),
    [
        pytest.param("Mon-Fri 09:00-18:00", 2, 9, 0, True, id="first-minute"),
        pytest.param("Mon-Fri 09:00-18:00", 2, 8, 59, False, id="before"),
        pytest.param("Mon-Fri 09:00-18:00", 6, 17, 59, True, id="last-minute"),
        pytest.param("Mon-Fri 09:00-18:00", 6, 18, 0, False, id="after"),
        pytest.param("Mon-Fri 09:00-18:00", 7, 12, 0, False, id="saturday"),
        pytest.param("mon,wednesday 9:00-18:00", 4, 12, 0, True, id="listed-day"),
        pytest.param("mon,wednesday 9:00-18:00", 3, 12, 0, False, id="day-not-listed"),
        pytest.param("Sat-Mon", 8, 0, 0, True, id="over-the-end-of-the-week"),
        pytest.param("Sat-Mon", 3, 0, 0, False, id="not-in-it"),
        pytest.param("月-金 9:00-18:00", 2, 12, 0, True, id="japanese-days"),
        pytest.param("月～金曜日 9:00～18:00", 7, 12, 0, False, id="japanese-saturday"),
        pytest.param("22:00-06:00", 3, 23, 0, True, id="night"),
        pytest.param("22:00-06:00", 3, 7, 0, False, id="morning"),
        pytest.param("Fri 22:00-06:00", 7, 5, 59, True, id="friday-night-is-saturday-morning"),
        pytest.param("Fri 22:00-06:00", 6, 5, 0, False, id="friday-morning-is-thursdays"),
        pytest.param("Sun 22:00-06:00", 2, 5, 0, True, id="sunday-night-is-monday-morning"),
        pytest.param("00:00-24:00", 7, 23, 59, True, id="whole-day"),
    ],
)
def test_a_span_of_the_week(text: str, day: int, hour: int, minute: int, covers: bool) -> None:
    instant = datetime(2026, 3, day, hour, minute, tzinfo=TOKYO)

    assert OfficeHours(parse_spans(text), TOKYO).covers(instant.astimezone(UTC)) is covers


def test_hours_follow_summer_time() -> None:
    hours = OfficeHours(parse_spans("09:00-17:00"), WARSAW)

    assert not hours.covers(datetime(2026, 1, 15, 7, 30, tzinfo=UTC))
    assert hours.covers(datetime(2026, 7, 15, 7, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mon-",
        "Funday 09:00-18:00",
        "Mon 9-18",
        "09:00-09:00",
        "25:00-26:00",
        "09:61-10:00",
        "24:00-01:00",
        "Mon Tue",
    ],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_spans(text)
