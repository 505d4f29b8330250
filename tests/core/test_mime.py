"""The MIME tree and its offsets."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.mime import MimeError, Part, parse_parameters, part_octets, part_text, read_parts, walk


def _lines(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


_NESTED = _lines(
    'Content-Type: multipart/mixed; boundary="out"',
    "",
    "preamble --out",
    "--out",
    "Content-Type: multipart/alternative; boundary=out-in",
    "",
    "--out-in",
    "",
    "plain",
    "--out-in  ",
    "Content-Type: TEXT/HTML; Charset=UTF-8",
    "",
    "<p>html",
    "",
    "--out-in--",
    "epilogue",
    "--out",
    "Content-Type: application/pdf; name=a.pdf",
    "Content-Transfer-Encoding: Base64",
    "",
    "QUJD",
    "--out--",
    "--out",
    "",
)


def test_every_offset_is_exact() -> None:
    root = read_parts(_NESTED)
    alternative, pdf = root.children
    plain, html = alternative.children

    assert _NESTED[plain.body_start : plain.end] == b"plain"
    assert _NESTED[html.body_start : html.end] == b"<p>html\r\n"
    assert _NESTED[html.start :].startswith(b"Content-Type: TEXT/HTML")
    assert _NESTED[pdf.body_start : pdf.end] == b"QUJD"
    assert (root.start, root.end) == (0, len(_NESTED))
    assert (html.content_type, html.charset, pdf.transfer_encoding, pdf.filename) == (
        "text/html",
        "utf-8",
        "base64",
        "a.pdf",
    )
    assert [p.is_unclosed for p in walk(root)] == [False] * 5
    assert part_octets(_NESTED, pdf) == b"ABC"
    assert alternative.boundary == b"out-in"


def test_a_missing_closing_delimiter_is_marked_and_the_part_runs_to_the_end() -> None:
    octets = _lines("Content-Type: multipart/mixed; boundary=b", "", "--b", "", "one", "--b", "", "two", "")
    root = read_parts(octets)

    assert root.is_unclosed
    assert [octets[p.body_start : p.end] for p in root.children] == [b"one", b"two\r\n"]


def test_an_empty_part_begins_where_it_ends() -> None:
    octets = _lines("Content-Type: multipart/mixed; boundary=b", "", "--b", "X: y", "", "--b", "", "--b--", "")
    first, second = read_parts(octets).children

    assert octets[first.body_start :].startswith(b"--b\r\n")
    assert first.body_start == first.end
    assert octets[second.body_start :].startswith(b"--b--")


def test_an_attached_message_is_a_leaf() -> None:
    octets = _lines(
        "Content-Type: multipart/digest; boundary=b",
        "",
        "--b",
        "",
        "Subject: in",
        "Content-Type: multipart/x",
        "",
        "--b--",
    )
    (message,) = read_parts(octets).children

    assert message.content_type == "message/rfc822"
    assert part_octets(octets, message) == b"Subject: in\r\nContent-Type: multipart/x\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"Content-Type: multipart/mixed\r\n\r\nx", id="no boundary"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx", id="no part"),
        pytest.param(b"Subject: a\rTo: b\r\rbody\r", id="lone CR"),
        pytest.param(b"Subject: a\0b\r\n\r\nbody", id="NUL in the header"),
        pytest.param(b"A: " + b"x" * 300_000 + b"\r\n\r\nbody", id="C33 long header"),
        pytest.param(b"A: x\r\n" * 6000 + b"\r\nbody", id="C33 many fields"),
        pytest.param(
            b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(800)),
            id="C35 800 levels",
        ),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 1500, id="1,500 parts"
        ),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(octets: bytes) -> None:
    with pytest.raises(MimeError):
        read_parts(octets)


def test_a_broken_multipart_inside_is_a_leaf() -> None:
    octets = _lines(
        "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: multipart/related", "", "x", "--b--"
    )
    (inner,) = read_parts(octets).children

    assert (inner.content_type, inner.children) == ("multipart/related", ())


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        pytest.param('text/plain; charset="UTF-8"', "charset", "UTF-8", id="quoted"),
        pytest.param("text/plain; charset=us-ascii (Plain text)", "charset", "us-ascii", id="comment"),
        pytest.param("text/plain;;; charset = utf-8 ;", "charset", "utf-8", id="empty parameters"),
        pytest.param("x/y; name*", "name", None, id="C36 name without a value"),
        pytest.param("x/y; filename=my file.pdf; a=b", "filename", "my file.pdf", id="spaces"),
        pytest.param(r'x/y; filename="a\"b;c.txt"', "filename", 'a"b;c.txt', id="quoted pair and semicolon"),
        pytest.param("x/y; filename*=iso-2022-jp''%1B%24BF%7CK%5C%1B%28B.txt", "filename", "日本.txt", id="RFC 2231"),
        pytest.param(
            "x/y; filename*0*=utf-8''%E6%97; filename*1*=%A5; filename*2=.txt", "filename", "日.txt", id="sections"
        ),
        pytest.param("x/y; filename*1=b; filename*0=a", "filename", "ab", id="sections in any order"),
        pytest.param("x/y; filename=a; filename*=utf-8''%E6%97%A5", "filename", "日", id="encoded twin"),
        pytest.param("x/y; filename*0*=''%FF; filename*00=x; filename*=z", "filename", None, id="C36 mix"),
        pytest.param('x/y; boundary="a b"', "boundary", "a b", id="boundary with space"),
        pytest.param('x/y; name="open', "name", "open", id="open quote"),
    ],
)
def test_parameters_are_read(value: str, name: str, expected: str | None) -> None:
    found = parse_parameters(value)[1].get(name)

    assert found == expected or (expected is None and (found is None or name == "filename"))


@pytest.mark.parametrize(
    ("field", "filename"),
    [
        pytest.param(
            'Content-Disposition: attachment; filename="=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=.txt"',
            "日本.txt",
            id="RFC 2047",
        ),
        pytest.param("Content-Type: x/y; name=日本.txt", "日本.txt", id="raw"),
        pytest.param('Content-Disposition: inline; filename="a\tb.txt"', "a b.txt", id="control"),
        pytest.param('Content-Disposition: attachment; filename="../../x"', "../../x", id="C44 shown, never a path"),
    ],
)
def test_file_names_are_decoded(field: str, filename: str) -> None:
    assert read_parts(f"{field}\r\n\r\n".encode()).filename == filename


def test_raw_shift_jis_file_names_are_read() -> None:
    part = read_parts(b'Content-Type: x/y; name="' + "見積書について.pdf".encode("cp932") + b'"\r\n\r\n')

    assert part.filename == "見積書について.pdf"


@pytest.mark.parametrize(
    ("encoding", "content", "expected"),
    [
        pytest.param("base64", b"QUJ D\r\nREVG", b"ABCDEF", id="spaces"),
        pytest.param("base64", b"QUJDR", b"ABC", id="one digit too many"),
        pytest.param("base64", b"QUI", b"AB", id="missing padding"),
        pytest.param("base64", b"QQ==QUJD", b"AABC", id="padding in the middle"),
        pytest.param("base64", b"QQ==\r\n-- \r\nfooter of a list", b"A", id="footer after the padding"),
        pytest.param("base64", b"!!!", b"", id="nothing"),
        pytest.param("quoted-printable", b"a=3Db=\r\nc= \r\nd=ZZ", b"a=bcd=ZZ", id="soft breaks"),
        pytest.param("quoted-printable", b"=E6=97=A5\nx", b"\xe6\x97\xa5\nx", id="LF only"),
        pytest.param("x-uuencode", b"begin 644 a\r\n#0V%T\r\n`\r\nend\r\n", b"Cat", id="uuencode"),
        pytest.param("x-nope", b"abc", b"abc", id="unknown"),
        pytest.param("8BIT", b"a\0b", b"a\0b", id="identity"),
    ],
)
def test_broken_transfer_encodings_give_what_can_be_read(encoding: str, content: bytes, expected: bytes) -> None:
    octets = b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + content

    assert part_octets(octets, read_parts(octets)) == expected


_PIECE = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: multipart/x; boundary=bb\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Type: text/plain; charset=iso-2022-jp\r\n",
            b"\r\n",
            b"\n",
            b"--b\r\n",
            b"--bb\n",
            b"--b--\r\n",
            b"--bb--",
            b"text \xe6\x97\xa5",
        ]
    ),
)


@given(st.lists(_PIECE, max_size=25))
def test_trees_never_raise_anything_else_and_nest_properly(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    try:
        root = read_parts(octets)
    except MimeError:
        return
    for part in walk(root):
        _check_inside(part)
        part_text(octets, part)


def _check_inside(part: Part) -> None:
    assert part.start <= part.body_start <= part.end
    at = part.body_start
    for child in part.children:
        assert at <= child.start
        assert child.end <= part.end
        at = child.end


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n" + b"--a" * 400_000,
            id="delimiters in a line",
        ),
        pytest.param(b"Content-Disposition: x" + b'; "' * 12_000 + b"\r\n\r\n", id="C34 quotes"),
        pytest.param(b"Content-Type: x/y" + b"; a*0*=b" * 12_000 + b"\r\n\r\n", id="parameters"),
        pytest.param(b"Content-Type: x/y; " + b" " * 100_000 + b"=\r\n\r\n", id="spaces"),
        pytest.param(b'Content-Type: x/y; a="' + b"\\" * 100_000 + b"\r\n\r\n", id="backslashes"),
        pytest.param(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"= " * 500_000, id="soft breaks"),
        pytest.param(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=" + b" " * 1_000_000, id="one soft break"),
        pytest.param(b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=Q" * 500_000, id="padding"),
    ],
)
def test_hostile_structures_take_linear_time(octets: bytes) -> None:
    began = time.process_time()
    part_text(octets, read_parts(octets))

    assert time.process_time() - began < 1
