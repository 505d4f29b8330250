"""When an absence notice says that its writer is back."""

from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.absence import LONGEST, away_until

NOW = datetime(2026, 8, 3, 3, tzinfo=UTC)  # a Monday
NEXT_BUSINESS_DAY_IS_OVER = date(2026, 8, 5)

NOTICES = [
    pytest.param("夏季休暇のため8月20日まで不在です", date(2026, 8, 21), id="ja"),
    pytest.param("2026年8月20日（木）まで休暇をいただきます", date(2026, 8, 21), id="ja-with-year"),
    pytest.param("8/10～8/20まで", date(2026, 8, 21), id="ja-span"),
    pytest.param("8月21日(金)より出社いたします", date(2026, 8, 21), id="ja-first-day-back"),
    pytest.param("I am out of the office until 20 August 2026.", date(2026, 8, 21), id="en"),
    pytest.param("away\r\nuntil Thursday, August 20th", date(2026, 8, 21), id="en-us-wrapped"),
    pytest.param("I will be back on Monday, 24 August", date(2026, 8, 24), id="en-first-day-back"),
    pytest.param("until 2026-08-20", date(2026, 8, 21), id="iso"),
    pytest.param("Ich bin bis zum 20.08.2026 nicht im Haus", date(2026, 8, 21), id="de"),
    pytest.param("bis 20. August", date(2026, 8, 21), id="de-in-words"),
    pytest.param("absent jusqu'au 20 août", date(2026, 8, 21), id="fr"),
    pytest.param("jestem na urlopie do 20 sierpnia", date(2026, 8, 21), id="pl"),
    pytest.param("until 5 August, then until 20 August", date(2026, 8, 21), id="the-last-one-named"),
    pytest.param("I am away.", NEXT_BUSINESS_DAY_IS_OVER, id="no-date"),
    pytest.param("until 20 August 2099", NEXT_BUSINESS_DAY_IS_OVER, id="too-far-away"),
    pytest.param("bis 1.2.2020", NEXT_BUSINESS_DAY_IS_OVER, id="over"),
    pytest.param("bis 31.2.2027, 13月45日まで", NEXT_BUSINESS_DAY_IS_OVER, id="no-such-day"),
]


@pytest.mark.parametrize(("text", "back"), NOTICES)
def test_when_somebody_is_back(text: str, back: date) -> None:
    assert away_until(text, NOW) == datetime.combine(back, time(), UTC)


def test_without_a_date_a_weekend_is_no_business_day() -> None:
    assert away_until("gone", datetime(2026, 8, 7, 12, tzinfo=UTC)) == datetime(2026, 8, 11, tzinfo=UTC)


def test_a_day_without_year_around_new_year_is_the_next_one() -> None:
    assert away_until("until 4 January", datetime(2026, 12, 20, tzinfo=UTC)) == datetime(2027, 1, 5, tzinfo=UTC)


@given(st.text(alphabet="until bis 0123456789./-月日まで年 August", max_size=300))
def test_any_text_gives_an_end_within_reach(text: str) -> None:
    assert NOW < away_until(text, NOW) <= NOW + LONGEST
