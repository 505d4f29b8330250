from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.edge.crm.hubspot import reading

NOVEMBER = datetime(2026, 11, 1, 3, 30, 17, 883000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        pytest.param("2026-11-01T03:30:17.883Z", NOVEMBER, id="iso"),
        pytest.param("2026-11-01T12:30:17.883+09:00", NOVEMBER, id="zone"),
        pytest.param("2026-11-01T03:30:17.883", NOVEMBER, id="naive is UTC"),
        pytest.param("1793503817883", NOVEMBER, id="millis in a string"),
        pytest.param(1793503817883, NOVEMBER, id="millis"),
        pytest.param("-1", datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), id="before 1970"),
        pytest.param("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC), id="a day"),
        pytest.param("999999999999999", None, id="too late"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before the first year"),
        pytest.param("yesterday", None, id="words"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param(True, None, id="true"),
        pytest.param(1.5, None, id="fraction"),
        pytest.param({}, None, id="object"),
        pytest.param("٣", None, id="another script's digit"),
    ],
)
def test_an_instant_is_aware_and_utc_or_nothing(value: object, read: datetime | None) -> None:
    assert reading.instant(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [("9001", "9001"), (9001, "9001"), (" 1 ", "1"), (None, ""), (True, ""), (1.0, ""), ([], "")],
)
def test_an_id_is_text(value: object, read: str) -> None:
    """The guide shows a number, the SDK a string (CRM_FACTS (b))."""
    assert reading.identifier(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (";41; 42;;41", ("41", "42")),
        ("acme.test; acme.example ;", ("acme.test", "acme.example")),
        ("", ()),
        (None, ()),
        (41, ()),
    ],
)
def test_a_list_in_a_string_is_split(value: object, read: tuple[str, ...]) -> None:
    assert reading.parts(value) == read


@pytest.mark.parametrize(
    ("value", "is_true"), [("true", True), (True, True), (" TRUE", True), ("false", False), (None, False), (1, False)]
)
def test_yes_is_the_word_true(value: object, is_true: bool) -> None:
    assert reading.is_true(value) is is_true


def test_properties_are_text_or_nothing() -> None:
    record = {"id": 7, "properties": {"domain": " acme.test ", "name": None, "count": 5}}
    values = reading.properties(record)

    assert reading.record_id(record) == "7"
    assert [reading.text(values, name) for name in ("domain", "name", "count", "gone")] == ["acme.test", "", "", ""]


def test_a_page_tells_where_the_next_one_begins() -> None:
    assert reading.next_after({"paging": {"next": {"after": "10"}}}) == "10"
    assert reading.next_after({"paging": {"next": {"after": 10}}}) == "10"
    assert reading.next_after({"paging": {"next": None}}) == ""
    assert reading.next_after({}) == ""


def test_associations_are_read_in_all_their_forms() -> None:
    listed = {"results": [{"toObjectId": 9001}, {"toObjectId": "9001"}, {"toObjectId": "9002"}, None]}
    within = {"associations": {"deals": {"results": [{"id": "9001", "type": "x"}, {"id": "9002"}]}}}
    batch = {"from": {"id": "1"}, "to": [{"toObjectId": 9001}, {"toObjectId": 9002}]}

    for record in (listed, within, batch):
        assert reading.associated_ids(record, "deals") == ("9001", "9002")
    assert reading.associated_ids(within, "companies") == ()


def test_a_history_is_read_in_its_order() -> None:
    entries = [{"value": "2", "timestamp": "2026-11-01T00:00:00Z"}, {"value": "1"}]
    record = {"propertiesWithHistory": {"hs_pipeline_stage": [*entries, "x"]}}

    assert reading.history(record, "hs_pipeline_stage") == entries
    assert reading.history(record, "subject") == []


def test_a_strangers_text_is_one_printable_line() -> None:
    assert reading.printable("a\x1b[2J\n\n <b>対応中\u202e", 40) == "a [2J <b>対応中"
    assert reading.printable("x" * 100, 10) == "x" * 9 + "…"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["results", "properties", "paging", "next", "after", "associations", "to", "id", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_nothing_that_is_json_breaks_a_reader(body: Any) -> None:
    """RELIABILITY F20: wrong types are weather."""
    assert isinstance(reading.results(body), list)
    assert isinstance(reading.next_after(body), str)
    assert isinstance(reading.associated_ids(body, "x"), tuple)
    assert isinstance(reading.history(body, "x"), list)
    assert isinstance(reading.text(reading.properties(body), "x"), str)
    assert isinstance(reading.texts(body, "x"), tuple)
    assert isinstance(reading.record_id(body), str)
    assert isinstance(reading.parts(body), tuple)
    assert reading.instant(body) is None or isinstance(reading.instant(body), datetime)
