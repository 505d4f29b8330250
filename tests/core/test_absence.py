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
    pytest.param("次の出社は8月20日となります。", date(2026, 8, 20), id="ja-next-day-in"),
    pytest.param("出社予定日：8月20日", date(2026, 8, 20), id="ja-planned-day-in"),
    pytest.param("8月20日復帰予定です", date(2026, 8, 20), id="ja-planned-return"),
    pytest.param("ただいま不在です。20日(木)より出社します", date(2026, 8, 20), id="ja-day-alone-back"),
    pytest.param("I am out of the office until 20 August 2026.", date(2026, 8, 21), id="en"),
    pytest.param("I will not return to the office until 08/24/2026.", date(2026, 8, 24), id="en-not-until"),
    pytest.param("Je suis en congés jusqu’au 21/08/2026. Retour le 24/08/2026.", date(2026, 8, 24), id="fr-return"),
    pytest.param("away\r\nuntil Thursday, August 20th", date(2026, 8, 21), id="en-us-wrapped"),
    pytest.param("I will be back on Monday, 24 August", date(2026, 8, 24), id="en-first-day-back"),
    pytest.param("until 2026-08-20", date(2026, 8, 21), id="iso"),
    pytest.param("Ich bin bis zum 20.08.2026 nicht im Haus", date(2026, 8, 21), id="de"),
    pytest.param("bis 20. August", date(2026, 8, 21), id="de-in-words"),
    pytest.param("absent jusqu'au 20 août", date(2026, 8, 21), id="fr"),
    pytest.param("jestem na urlopie do 20 sierpnia", date(2026, 8, 21), id="pl"),
    pytest.param("until 5 August, then until 20 August", date(2026, 8, 21), id="the-last-one-named"),
    pytest.param("８月２０日（木）まで不在", date(2026, 8, 21), id="ja-wide-digits"),
    pytest.param("令和8年8月20日まで", date(2026, 8, 21), id="ja-era"),
    pytest.param("8月10日〜20日 夏季休業", date(2026, 8, 21), id="ja-range-in-a-month"),
    pytest.param("8月10日(月)から8月20日(木)まで", date(2026, 8, 21), id="ja-range-from-to"),
    pytest.param("休業期間：2026年8月8日(土)～2026年8月16日(日)", date(2026, 8, 17), id="ja-range-with-years"),
    pytest.param("20日まで休みます", date(2026, 8, 21), id="ja-day-alone"),
    pytest.param("8月17日より通常営業いたします", date(2026, 8, 17), id="ja-business-again"),
    pytest.param("21日から出社、8/20迄お休み", date(2026, 8, 21), id="ja-kanji-until"),
    pytest.param("I'm away from 3 to 20 August.", date(2026, 8, 21), id="en-range"),
    pytest.param("on vacation August 10-20, back soon", date(2026, 8, 21), id="en-us-range"),
    pytest.param("out August 10th through September 4th, 2026", date(2026, 9, 5), id="en-us-range-two-months"),
    pytest.param("between 2026-08-10 and 2026-08-20", date(2026, 8, 21), id="iso-range"),
    pytest.param("out until 20/08", date(2026, 8, 21), id="slash-day-first"),
    pytest.param("out until 08/20/2026", date(2026, 8, 21), id="slash-month-first"),
    pytest.param("away until 10/8", date(2026, 8, 11), id="slash-either-is-the-sooner"),
    pytest.param("until the 20th.", date(2026, 8, 21), id="en-day-alone"),
    pytest.param("I am out until Friday.", date(2026, 8, 8), id="en-weekday"),
    pytest.param("I will be back on Thursday", date(2026, 8, 6), id="en-weekday-back"),
    pytest.param("I return to the office on August 24", date(2026, 8, 24), id="en-return-to"),
    pytest.param("vom 3. bis 20. August im Urlaub", date(2026, 8, 21), id="de-range"),
    pytest.param("Urlaub 10.08. – 20.08.2026", date(2026, 8, 21), id="de-range-dotted"),
    pytest.param("bis einschließlich 20.08. abwesend", date(2026, 8, 21), id="de-inclusive"),
    pytest.param("bis zum 20. August", date(2026, 8, 21), id="de-bis-zum"),
    pytest.param("bis Freitag, den 21.08.", date(2026, 8, 22), id="de-weekday-and-date"),
    pytest.param("Ab dem 24. August bin ich wieder erreichbar", date(2026, 8, 24), id="de-back-behind"),
    pytest.param("Ich bin am 24.08.2026 wieder im Büro", date(2026, 8, 24), id="de-back-dotted"),
    pytest.param("Je suis absente du 3 au 20 août inclus", date(2026, 8, 21), id="fr-range"),
    pytest.param("jusqu’au 20/08", date(2026, 8, 21), id="fr-slash"),
    pytest.param("jusqu'au jeudi 20 août 2026", date(2026, 8, 21), id="fr-weekday"),
    pytest.param("de retour le 24 août", date(2026, 8, 24), id="fr-back"),
    pytest.param("od 3 do 20 sierpnia przebywam na urlopie", date(2026, 8, 21), id="pl-range"),
    pytest.param("do dnia 20.08.2026 r.", date(2026, 8, 21), id="pl-dotted"),
    pytest.param("nieobecny do 20.08", date(2026, 8, 21), id="pl-dotted-short"),
    pytest.param("Wracam 24 sierpnia", date(2026, 8, 24), id="pl-back"),
    pytest.param("Our price is 20/08 a piece, call 03-1234-5678", NEXT_BUSINESS_DAY_IS_OVER, id="no-words"),
    pytest.param("I am away.", NEXT_BUSINESS_DAY_IS_OVER, id="no-date"),
    pytest.param("育児休業のため2027年7月31日まで休業いたします", date(2027, 8, 1), id="ja-parental-leave"),
    pytest.param("令和9年4月1日より復帰いたします", date(2027, 4, 1), id="ja-parental-leave-era"),
    pytest.param("I am on parental leave until 30 June 2027.", date(2027, 7, 1), id="en-parental-leave"),
    pytest.param("Ich bin bis zum 31.07.2027 in Elternzeit", date(2027, 8, 1), id="de-parental-leave"),
    pytest.param("en congé parental jusqu'au 01/03/2027", date(2027, 3, 2), id="fr-parental-leave"),
    pytest.param("urlop rodzicielski do 30 czerwca 2027", date(2027, 7, 1), id="pl-parental-leave"),
    pytest.param("until 6 September 2027", date(2027, 9, 7), id="four-hundred-days-and-not-one-more"),
    pytest.param("until 7 September 2027", NEXT_BUSINESS_DAY_IS_OVER, id="four-hundred-and-one-days"),
    pytest.param("until 30 June, 7月31日まで", NEXT_BUSINESS_DAY_IS_OVER, id="far-away-without-year"),
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


def test_a_range_over_new_year_ends_in_the_next_one() -> None:
    now = datetime(2026, 12, 22, tzinfo=UTC)

    for text in (
        "12月29日～1月4日まで休業",
        "29.12. - 04.01.",
        "December 29 to January 4",
        "od 29 grudnia do 4 stycznia",
    ):
        assert away_until(text, now) == datetime(2027, 1, 5, tzinfo=UTC), text


def test_much_text_takes_no_long_time() -> None:
    """Words that begin a form again and again; only the first 2,000 characters count."""
    for text in ("until ", "bis zum ", "back on ", "1.", "8月", "ab dem 1. ", "20 august to "):
        away_until(text * 100_000, NOW)


@given(st.text(alphabet="until bis 0123456789./-月日まで年 August", max_size=300))
def test_any_text_gives_an_end_within_reach(text: str) -> None:
    assert NOW < away_until(text, NOW) <= NOW + LONGEST
