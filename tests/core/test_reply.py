"""The replies we give, and strangers' replies made fit to keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core import reply
from supportrelay.core.reply import Reply, enhanced_status, printable_line

GIVEN = [getattr(reply, name) for name in reply.__all__ if name.isupper()]


@pytest.mark.parametrize("given_reply", GIVEN, ids=str)
def test_every_reply_is_one_short_ascii_line_whose_status_has_the_class_of_its_code(given_reply: Reply) -> None:
    line = str(given_reply)

    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 510
    assert not given_reply.status or given_reply.status[0] == {3: "2"}.get(
        given_reply.code // 100, str(given_reply.code // 100)
    )


def test_a_reply_without_status_prints_without_a_gap() -> None:
    assert str(reply.START_INPUT) == "354 End data with <CR><LF>.<CR><LF>"
    assert str(reply.NOT_OURS).startswith("550 5.7.1 ")


@given(st.text(max_size=3000))
def test_a_strangers_text_becomes_one_printable_line_of_at_most_500_characters(text: str) -> None:
    line = printable_line(text)

    assert len(line) <= 500
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in line)
    assert not set(line) & set("\u202a\u202e\u2028\u2029\u2066")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("5.7.1 no", "5.7.1", id="at the start"),
        pytest.param("5.7.60 SMTP; Client does not have permissions", "5.7.60", id="two digits"),
        pytest.param("Error: 5.2.252 SendAsDenied", "5.2.252", id="after a word"),
        pytest.param("mail from 10.5.7.1 refused", "", id="an IP address is none"),
        pytest.param("no such user", "", id="none"),
    ],
)
def test_the_enhanced_status_is_read_from_the_text(text: str, status: str) -> None:
    assert enhanced_status(text) == status
