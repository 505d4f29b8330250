"""Where the banner goes in HTML, what it may say, and the encodings it is written in."""

import binascii
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.banner import Banner, BannerValues, put_banner
from supportrelay.core.banner_text import clean_line, shorten_people
from supportrelay.core.html_place import banner_offset
from supportrelay.core.long_lines import refold
from supportrelay.core.splice import Edit, first_long_line, normalise_line_ends, splice
from supportrelay.core.transfer import base64_lines, quoted_printable, quoted_printable_offset

# '|' marks the place
PLACES = [
    pytest.param("<html><body>|Hi</body></html>", id="plain"),
    pytest.param('<BODY class="a>b" onload=\'x("<body>")\'>|Hi', id="quoted-bracket"),
    pytest.param("<html><head></head><body\r\n style='x'\r\n>|Hi", id="folded"),
    pytest.param("<html><!-- <body> --><body>|Hi", id="commented"),
    pytest.param(
        "<!--[if mso]><body class=mso><![endif]--><!--[if !mso]><!--><body>|Hi<!--<![endif]-->", id="conditional"
    ),
    pytest.param("<!--[if !mso]><!--><body class=c><!--<![endif]-->|Hi", id="behind-the-condition"),
    pytest.param("<style>x:'<body>'</style><script>w('<body>')</script><body>|Hi", id="style-and-script"),
    pytest.param("<SCRIPT>w('<body>')</SCRIPT><body>|Hi", id="capital-script"),
    pytest.param("<html><head><title>x</title></head>|<p>Hi", id="no-body-but-head"),
    pytest.param('<html xmlns="x">|<p>Hi', id="no-body-but-html"),
    pytest.param("<!DOCTYPE html>|<p>Hi", id="only-a-doctype"),
    pytest.param("|<p>Hi", id="fragment"),
    pytest.param("|Hi, <bodyguard>", id="another-element"),
    pytest.param("|<!-- never closed <body>", id="open-comment"),
    pytest.param("|<script>never closed <body>", id="open-script"),
    pytest.param("|", id="empty"),
]


@pytest.mark.parametrize("marked", PLACES)
def test_the_banner_stands_where_a_reader_looks_first(marked: str) -> None:
    assert banner_offset(marked.replace("|", "").encode()) == marked.index("|")


def test_octets_of_iso_2022_jp_that_look_like_a_tag_are_none() -> None:
    kanji = b"\x1b$B<body>>>\x1b(B"

    assert banner_offset(b"<p>" + kanji + b"<body>Hi") == len(b"<p>" + kanji + b"<body>")


@pytest.mark.parametrize("text", [b"<!--" * 200_000, b"<body " * 200_000, b"<script>" * 200_000, b"<body '" * 200_000])
def test_hostile_html_takes_linear_time(text: bytes) -> None:
    begun = time.process_time()

    banner_offset(text)

    assert time.process_time() - begun < 2


def test_a_body_tag_broken_by_quoted_printable_is_found() -> None:
    html = (
        '<html><body style=3D"color: red; background: white; margin: 0" class=3D"one =\r\ntwo">Hi =C3=A9</body></html>'
    )
    original = (
        b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + html.encode()
    )

    result, _, _ = put_banner(original, Banner("", "<div>案内</div>\n"))

    assert result == original.replace(b'two">Hi', b'two">=\r\n<div>&#26696;&#20869;</div>\r\nHi')


# --- values


def test_people_are_shown_on_one_short_line() -> None:
    people = tuple(f"Person {i} <person{i}@customer.example>" for i in range(600))

    joined, more = shorten_people(people)

    assert joined.startswith("Person 0 <person0@customer.example>, Person 1")
    assert len(joined) <= 240
    assert joined.count("@") + more == 600


def test_one_person_is_shown_however_long_the_name() -> None:
    assert shorten_people(["x" * 5000]) == ("x" * 100, 0)


def test_nobody_is_nobody() -> None:
    assert shorten_people([]) == ("", 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a\r\nBcc: b", "a  Bcc: b", id="line-end"),
        pytest.param("\u202eevil\u202c \u200bx\x00\x1b[1m", "evil x[1m", id="bidi-and-controls"),
        pytest.param("a\udc80b", "ab", id="surrogate"),
        pytest.param("  田中　太郎 ", "田中　太郎", id="japanese"),
    ],
)
def test_a_value_is_one_clean_line(text: str, line: str) -> None:
    assert clean_line(text) == line


def test_the_mark_names_ticket_and_check_code() -> None:
    assert BannerValues(ticket="SR-12", marker="k7xq2a").mark == "SR-12-k7xq2a"
    assert BannerValues(marker="k7xq2a").mark == "k7xq2a"


# --- encodings


@given(
    st.binary(max_size=400) | st.text(max_size=300).map(lambda t: t.replace("\n", "\r\n").encode("utf-8", "replace"))
)
def test_quoted_printable_and_base64_read_back_as_they_were(octets: bytes) -> None:
    quoted = quoted_printable(octets)

    assert binascii.a2b_qp(quoted) == octets
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) for line in quoted.split(b"\r\n"))
    assert quoted.count(b"\r\n") == quoted.count(b"\n") == quoted.count(b"\r")
    assert binascii.a2b_base64(base64_lines(octets)) == octets


@given(st.binary(max_size=200), st.integers(0, 200))
def test_an_offset_in_text_is_found_in_its_quoted_printable(octets: bytes, offset: int) -> None:
    offset = min(offset, len(octets))
    quoted = quoted_printable(octets)

    assert binascii.a2b_qp(quoted[: quoted_printable_offset(quoted, offset)]) == octets[:offset]


# --- octets


@pytest.mark.parametrize(
    ("received", "normal"),
    [
        pytest.param(b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n", id="good"),
        pytest.param(b"A: b\n\nc\n", b"A: b\r\n\r\nc\r\n", id="lf"),
        pytest.param(b"A: b\rBcc: x\r\n\r\nc\rd\r\n", b"A: b Bcc: x\r\n\r\nc\r\nd\r\n", id="lone-cr"),
        pytest.param(b"A: b\r\r\n\r\r\nc", b"A: b\r\n\r\nc", id="cr-cr-lf"),
        pytest.param(b"A: b\0\r\n\r\nc\0", b"A: b \r\n\r\nc\0", id="nul"),
        pytest.param(b"A: b\r\n", b"A: b\r\n\r\n", id="no-body"),
        pytest.param(b"A: b", b"A: b\r\n\r\n", id="no-line-end"),
        pytest.param(b"A: b\r\nno field\r\n", b"A: b\r\n\r\nno field\r\n", id="no-blank-line"),
        pytest.param(b"", b"\r\n", id="nothing"),
        pytest.param(b"\r\nbody\r\n", b"\r\nbody\r\n", id="no-header"),
        pytest.param(b"Hello there\r\n\r\nbye\r\n", b"\r\nHello there\r\n\r\nbye\r\n", id="no-field-at-all"),
        pytest.param(b"\xef\xbb\xbfA: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n", id="byte-order-mark"),
    ],
)
def test_line_ends_are_made_what_smtp_wants(received: bytes, normal: bytes) -> None:
    assert normalise_line_ends(received) == normal


def test_a_good_mail_is_not_copied() -> None:
    good = b"A: b\r\n\r\nc\r\n"

    assert normalise_line_ends(good) is good


@given(st.binary(max_size=300))
def test_normal_octets_stay_normal(octets: bytes) -> None:
    normal = normalise_line_ends(octets)

    assert normal.count(b"\n") == normal.count(b"\r\n") == normal.count(b"\r")
    assert normalise_line_ends(normal) == normal


def test_edits_that_overlap_are_a_bug() -> None:
    with pytest.raises(ValueError, match="overlap"):
        splice(b"abcdef", [Edit(0, 3, b""), Edit(2, 4, b"")])


@pytest.mark.parametrize("size", [0, 1, 997, 998, 999, 1000, 5000])
@pytest.mark.parametrize("tail", [b"", b"\r\n", b"\r\nx\r\n"])
def test_a_long_line_is_one_over_998_octets(size: int, tail: bytes) -> None:
    assert (first_long_line(b"short\r\n" + b"x" * size + tail) >= 0) == (size > 998)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"X: " + b"word " * 500 + b"\r\n", id="spaces"),
        pytest.param(b"To: " + b"a@b.test," * 500 + b"\r\n", id="commas"),
        pytest.param(b"X: " + b"y" * 5000 + b"\r\n z\r\n", id="nothing-to-fold-at"),
        pytest.param(b"X:" + b" " * 3000 + b"z\r\n", id="only-spaces"),
        pytest.param(b"X: y\r\n" + b" " * 3000 + b"z\r\n " + b" " * 2000 + b"\r\n", id="lines-of-spaces"),
    ],
)
def test_a_refolded_field_is_still_one_field(raw: bytes) -> None:
    folded = refold(raw)

    lines = folded.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(line) <= 998 for line in lines)
    assert all(line[:1] in {b" ", b"\t"} and line.strip() for line in lines[1:])
    assert folded.replace(b"\r\n", b"").replace(b" ", b"") == raw.replace(b"\r\n", b"").replace(b" ", b"")
