"""Header fields on octets."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.headers import field_value, fields_named, fold_field, split_headers, without_mark


def _value(raw: bytes) -> str:
    return field_value(split_headers(raw + b"\r\n\r\n").fields[0])


_LINE = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"A: b", b"\tfolded", b"", b" ", b"From x", b"--b", b"\r", b"no colon", b": x", b"X : y", b"\0"]),
)


@given(st.lists(st.tuples(_LINE, st.sampled_from([b"\r\n", b"\n", b"\r", b""]))))
def test_fields_blank_line_and_body_joined_are_the_message(pieces: list[tuple[bytes, bytes]]) -> None:
    octets = b"".join(line + end for line, end in pieces)
    block = split_headers(octets)
    raw = b"".join(f.raw for f in block.fields)

    assert octets.startswith(raw)
    assert octets[len(raw) : block.end] in {b"", b"\n", b"\r\n"}
    assert all(octets[f.start : f.start + len(f.raw)] == f.raw for f in block.fields)
    if block.is_closed:
        assert block.end > len(raw)


def test_folded_fields_keep_their_lines() -> None:
    block = split_headers(b"From mbox\r\nSubject: a\r\n\tb\r\ngarbage\r\nTo : x\r\n\r\nbody")

    assert [f.name for f in block.fields] == ["", "subject", "", "to"]
    assert block.end == len(b"From mbox\r\nSubject: a\r\n\tb\r\ngarbage\r\nTo : x\r\n\r\n")
    assert field_value(block.fields[1]) == "a b"


def test_without_a_blank_line_the_body_begins_at_the_first_line_that_is_no_field() -> None:
    block = split_headers(b"Subject: a\r\nHello there\r\nTo: b\r\n")

    assert [f.name for f in block.fields] == ["subject"]
    assert not block.is_closed
    assert block.end == len(b"Subject: a\r\n")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(
            b"Subject: =?iso-2022-jp?B?GyRCRnwbKEI=?= =?iso-2022-jp?B?GyRCS1wbKEI=?=", "日本", id="adjacent words"
        ),
        pytest.param(b"Subject: =?utf-8?B?5pel5pys6?= =?utf-8?B?Kqe?=", "日本語", id="base64 cut inside a group"),
        pytest.param(b"Subject: =?utf-8?Q?=E6=97?=\r\n =?utf-8?Q?=A5?=", "日", id="character split between words"),
        pytest.param(b"Subject: =?utf-8?B?5pel5pys?=x", "日本x", id="no space after the word"),
        pytest.param(b"Subject: =?utf-8?B?5pel5pysYQ?=", "日本a", id="missing padding"),
        pytest.param(b"Subject: =?utf-8?Q?a b?=", "a b", id="space inside a word"),
        pytest.param(b"Subject: =?utf-8?Q?what??=", "what?", id="question mark inside a word"),
        pytest.param(b"Subject: =?iso-2022-jp?B?GyRCRnxLXA==?=", "日本", id="no return to ascii"),
        pytest.param(b"Subject: \x1b$BF|K\\\x1b(B", "日本", id="raw iso-2022-jp"),
        pytest.param("Subject: 日本".encode(), "日本", id="raw utf-8"),
        pytest.param("Subject: お問い合わせ".encode("cp932"), "お問い合わせ", id="raw shift_jis"),
        pytest.param(b"Subject: =?utf-8?q?hi=0aBcc=3a_e=40x?=", "hi Bcc: e@x", id="encoded line break"),
        pytest.param(b"Subject: =?utf-7?Q?+2AA-x?=", "\ufffdx", id="lone surrogate"),
        pytest.param(b"Subject: a\0b\x07", "ab", id="controls"),
        pytest.param(b"Subject: =?nope?Q?a=E9?=", "aé", id="unknown charset"),
        pytest.param(b"Subject: =?utf-8*en?Q?a?= =?us-ascii?Q?b?= c", "ab c", id="language and second charset"),
        pytest.param(b"Subject: =?broken", "=?broken", id="no word at all"),
    ],
)
def test_values_are_decoded(raw: bytes, value: str) -> None:
    assert _value(raw) == value


@pytest.mark.parametrize(
    "text",
    [
        "日本 語 plain 日本",
        "plain",
        "a  b",
        "日本  語",
        "x" * 2000,
        "あ" * 400,
        "a\r\nBcc: x@y",
        "\0\x07",
        "",
        "é " * 300,
        "a " * 300,
    ],
)
def test_folded_fields_read_back_and_keep_their_limits(text: str) -> None:
    raw = fold_field("Subject", text)
    lines = raw.split(b"\r\n")

    assert lines.pop() == b""
    assert raw.isascii()
    assert all(len(line) <= 998 for line in lines)
    assert all(line.startswith(b" ") for line in lines[1:])
    assert all(len(line) <= 78 for line in lines if max(map(len, line.split()), default=0) < 77)
    assert all(line.strip() for line in lines)
    if len(text) < 1000:
        assert _value(raw).split() == text.replace("\0", "").replace("\x07", "").split()


@given(st.text(max_size=300))
def test_no_value_begins_a_second_field(text: str) -> None:
    block = split_headers(fold_field("X-Name", text) + b"\r\n")

    assert [f.name for f in block.fields] == ["x-name"]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"A: b\r\n" * 20000, id="many fields"),
        pytest.param(b"A: b\r\n" + b" c\r\n" * 30000, id="many continuation lines"),
        pytest.param(b"Subject: " + b"=?utf-8?q?a?= " * 14000, id="many words"),
        pytest.param(b"Subject: " + b"=?a?q?" * 30000, id="words that never end"),
        pytest.param(b"Subject: " + b"=?a?q?b?" * 25000, id="words that nearly end"),
        pytest.param(b"Subject: " + b"\x1b$B" * 60000, id="escapes"),
        pytest.param(b"\r\r" * 90000, id="lone carriage returns"),
    ],
)
def test_hostile_headers_take_linear_time(octets: bytes) -> None:
    """RELIABILITY C34: 200 KB well under a second."""
    began = time.process_time()
    for field in split_headers(octets).fields:
        field_value(field)

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"Hello, this is no header.\r\nNor is this.\r\n\r\nBye.\r\n", id="paragraphs"),
        pytest.param(b"Hello\r\n", id="one line"),
        pytest.param(b"From ann@x Mon Mar 2\r\nHello, Ann\r\n\r\nBye.\r\n", id="after an mbox line"),
    ],
)
def test_a_text_without_any_field_has_no_header(octets: bytes) -> None:
    """Its first paragraph would vanish in a header that nobody looks at."""
    block = split_headers(octets)

    assert (block.fields, block.end, block.is_closed) == ((), 0, False)


def test_a_byte_order_mark_before_the_first_field_is_none_of_it() -> None:
    assert without_mark(b"\xef\xbb\xbfFrom: a@x\r\n\r\n") == b"From: a@x\r\n\r\n"
    assert without_mark(b"\xef\xbb\xbf no field\r\n") == b"\xef\xbb\xbf no field\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"a:b\r\n" * 400_000 + b"\r\nHello.\r\n", id="fields"),
        pytest.param(b"a:" + b"b " * 1_000_000 + b"\r\n\r\nHello.\r\n", id="one-field"),
        pytest.param(b"a:b\r\n" * 400_000, id="no-blank-line"),
    ],
)
def test_an_endless_header_takes_no_endless_memory_and_ends_where_it_ends(octets: bytes) -> None:
    block = split_headers(octets)

    assert sum(len(f.raw) for f in block.fields) <= 256 * 1024
    assert octets.startswith(b"".join(f.raw for f in block.fields))
    assert octets[block.end :] in {b"Hello.\r\n", b""}


def test_fields_are_found_by_name_in_an_endless_header_too() -> None:
    octets = (
        b"Bcc: a@b.test\r\n"
        + b"a:b\r\n" * 400_000
        + b"Resent-BCC : x@y.test,\r\n z@y.test\r\nX: Bcc:\r\n\r\nBcc: no\r\n"
    )

    found = fields_named(octets, split_headers(octets), frozenset({"bcc", "resent-bcc"}))
    assert [octets[f.start : f.start + len(f.raw)] for f in found] == [f.raw for f in found]
    assert [f.raw for f in found] == [
        b"Bcc: a@b.test\r\n",
        b"Resent-BCC : x@y.test,\r\n z@y.test\r\n",
    ]
