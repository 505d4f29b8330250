"""Signed marks are believed only when we made them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.desk_samples import KEY
from supportrelay.core.token import (
    delivery_token,
    marker_code,
    new_message_id,
    read_delivery_token,
    read_message_id,
    read_probe,
    read_ticket_token,
    read_trail,
    sign_probe,
    ticket_token,
    trail,
)

OTHER = replace(KEY, id=2, secret=b"another secret")
DAY = 20000


@given(st.integers(0, 2**40 - 1), st.integers(0, 60000))
def test_a_delivery_token_is_short_lower_case_and_comes_back(number: int, day: int) -> None:
    token = delivery_token(KEY, number, day)

    assert len(token) == 28
    assert token.isalnum()
    assert token == token.lower()
    assert read_delivery_token([OTHER, KEY], token, day) == number
    assert read_delivery_token([KEY], token.upper(), day) == number, "some hosts fold the case of local parts"


def test_a_delivery_token_lives_for_fourteen_days() -> None:
    token = delivery_token(KEY, 1, DAY)

    assert [read_delivery_token([KEY], token, DAY + days) for days in (0, 14, 15)] == [1, 1, None]


@given(st.integers(0, 27), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_character_makes_a_token_worthless(at: int, character: str) -> None:
    token = delivery_token(KEY, 42, DAY)
    changed = token[:at] + character + token[at + 1 :]

    assert read_delivery_token([KEY], changed, DAY) == (42 if changed == token else None)


@given(st.text(max_size=40))
def test_any_text_is_read_without_raising(text: str) -> None:
    assert read_delivery_token([KEY], text, DAY) is None
    assert read_ticket_token([KEY], text) is None
    assert read_trail([KEY], text) is None
    assert read_message_id([KEY], text) is None
    assert read_probe([KEY], text, DAY) is None


def test_marks_of_one_kind_are_worth_nothing_as_another() -> None:
    assert read_ticket_token([KEY], delivery_token(KEY, 7, 0)) is None
    assert read_delivery_token([KEY], ticket_token(KEY, 7), 0) is None
    assert read_ticket_token([KEY], ticket_token(KEY, 7)) == 7


@pytest.mark.parametrize("change", [("msg=Q1", "msg=Q2"), ("inst=here", "inst=there"), ("mac=", "mac=a"), ("v1", "v2")])
def test_a_trail_says_who_and_what_and_cannot_be_changed(change: tuple[str, str]) -> None:
    mark = trail(KEY, "here", "Q1")

    found = read_trail([OTHER, KEY], f" {mark} ")
    assert found is not None
    assert (found.instance, found.queue_id) == ("here", "Q1")
    assert read_trail([KEY], mark.replace(*change)) is None
    assert read_trail([OTHER], mark) is None


def test_our_message_ids_are_known_to_us_alone() -> None:
    made = new_message_id(KEY, "Q1f", "desk.test")

    assert made.startswith("<Q1f.")
    assert made.endswith("@desk.test>")
    assert read_message_id([OTHER, KEY], made) == "Q1f"
    assert read_message_id([OTHER], made) is None
    assert read_message_id([KEY], made.replace("Q1f", "Q2f")) is None


def test_a_probe_is_for_its_reader_on_its_day() -> None:
    value = sign_probe(KEY, "me@staff.test", DAY)

    assert [read_probe([KEY], value, DAY + days) for days in (-1, 0, 1, 2)] == [
        None,
        "me@staff.test",
        "me@staff.test",
        None,
    ]
    assert read_probe([KEY], value.replace("me@", "you@"), DAY) is None


def test_the_banners_check_code_differs_by_ticket_and_mail() -> None:
    codes = {marker_code(KEY, ticket, queue_id) for ticket in range(20) for queue_id in ("Q1", "Q2")}

    assert len(codes) == 40
    assert all(len(code) == 6 and code.isalnum() for code in codes)
