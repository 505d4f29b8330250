"""How values stand in the database, and what a message's copies make of it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.delivery import MessageState
from supportrelay.edge.store.deliveries import state_after
from supportrelay.edge.store.rows import (
    address_key,
    clean_text,
    from_microseconds,
    pack_json,
    rfc3339,
    to_microseconds,
    unpack_json,
)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  bounds of the strategy are naive by its rule
def test_an_instant_comes_back_as_it_was(at: datetime) -> None:
    assert from_microseconds(to_microseconds(at)) == at


def test_other_zones_are_the_same_instant() -> None:
    at = datetime(2026, 3, 2, 18, 0, tzinfo=timezone(timedelta(hours=9)))
    assert rfc3339(to_microseconds(at)) == "2026-03-02T09:00:00.000Z"
    with pytest.raises(TypeError):
        to_microseconds(datetime(2026, 3, 2))  # noqa: DTZ001  a naive one is what this is about


@given(st.text(alphabet=st.characters()))
def test_any_text_can_be_kept_after_cleaning(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert len(cleaned) == len(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_comes_back_except_for_what_no_database_takes(value: object) -> None:
    packed = pack_json(value)
    packed.encode()
    assert "\\u0000" not in packed.replace("\\\\", "")
    if "\\x00" not in repr(value):
        assert unpack_json(packed) == value


@pytest.mark.parametrize(
    ("printed", "key"),
    [
        pytest.param(" Ann@ACME.example ", "ann@acme.example", id="case"),
        pytest.param('"ann.."@x.example', "ann..@x.example", id="quoted"),
        pytest.param("Everybody", "everybody", id="no address"),
    ],
)
def test_recipients_are_compared_in_comparing_form(printed: str, key: str) -> None:
    assert address_key(printed) == key


@pytest.mark.parametrize(
    ("copies", "failover_made", "state", "all_failed"),
    [
        pytest.param(["delivered"], False, "delivered", False, id="one who got it"),
        pytest.param(["delivered", "failed"], False, "delivered", False, id="one of two got it"),
        pytest.param(["delivered", "deferred"], False, "composed", False, id="one to come"),
        pytest.param(["failed", "failed"], False, "composed", True, id="nobody got it"),
        pytest.param(["failed", "failed"], True, "dead", True, id="nobody, and Allmember neither"),
        pytest.param(["failed", "dropped"], False, "composed", True, id="failed and dropped"),
        pytest.param(["dropped"], False, "filed", False, id="a person dropped it"),
        pytest.param(["held"], False, "held", False, id="held"),
        pytest.param(["held", "due"], False, "composed", False, id="held and under way"),
        pytest.param(["delivered", "held"], False, "held", False, id="delivered and held"),
    ],
)
def test_the_state_of_a_message_follows_from_its_copies(
    copies: list[str], failover_made: bool, state: str, all_failed: bool
) -> None:
    after, _, failed = state_after([(one, "owner") for one in copies], failover_made=failover_made)

    assert (after, failed) == (MessageState(state), all_failed)
