"""Mail made up: right, nearly right, and octets that are no mail at all."""

import base64
import quopri

from hypothesis import strategies as st

from properties.nasty import PLACES, UNITS

__all__ = ["ANY_MAIL", "BODIES", "FIELDS", "HEADER_TEXTS", "OCTETS", "TREES"]

_UNIT = st.sampled_from(sorted(UNITS.values()))
_LINE_END = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"\r\r\n", b"\n\n"])

OCTETS: st.SearchStrategy[bytes] = st.lists(_UNIT | st.binary(max_size=12), max_size=40).map(b"".join)
"""No mail: octets that mean something to some reader, in any order."""

HEADER_TEXTS: st.SearchStrategy[str] = st.one_of(
    OCTETS.map(lambda octets: octets.decode("latin-1")),
    OCTETS.map(lambda octets: octets.decode("utf-8", "surrogateescape")),
    st.text(max_size=120),
    st.text(st.sampled_from('ab@.<>()",;: \\[]=?_\r\n\tqQbé日\ud800\0'), max_size=80),
)
"""What may stand as the value of a field: lone surrogates, line breaks and NUL too."""

_NAMES = """
From To Cc Bcc Resent-Bcc Sender Reply-To Subject Date Message-ID In-Reply-To References Received DKIM-Signature
Return-Path Content-Type Content-Disposition Content-Transfer-Encoding MIME-Version List-Id Precedence Auto-Submitted
X-Auto-Response-Suppress X-Supportrelay-Trail X-Supportrelay-Id X-Original-From Thread-Index Authentication-Results
ARC-Seal Disposition-Notification-To X-Failed-Recipients X-Mailer Content-ID
"""
_VALUES = [
    b"Ann Smith <ann@customer.example>",
    b'"Smith, Ann" <ann@customer.example>, bob@x.test',
    b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?= <a@b.test>",
    b"\xe6\x97\xa5\xe6\x9c\xac <a@b.test>",
    b"\x93\xfa\x96{ <a@b.test>",
    b"a..b.@docomo.ne.jp",
    b"undisclosed-recipients:;",
    b"support@desk.test",
    b"Re: [SR-12] hello  there ",
    b"Mon, 9 Mar 2026 16:05:00 +0900",
    b"31 Feb 99 25:61 ABC",
    b"<1@customer.example>",
    b"<1@x>\r\n <2@x>\r\n\t<3@x>",
    b"auto-replied (vacation)",
    b"",
    b" ",
    b"x" * 1200,
    b"word " * 300,
    b"v1; inst=a; msg=Q1; mac=abcdefghijklmnop",
    b"text/plain; charset=iso-2022-jp",
    b'text/html; charset="utf-8"',
    b"multipart/mixed; boundary=b",
    b"multipart/mixed",
    b"multipart/report; report-type=delivery-status; boundary=b",
    b"message/rfc822",
    b"base64",
    b"quoted-printable",
    b"7bit",
    b"attachment; filename*0*=utf-8''%E6; filename*1*=%97%A5.pdf",
]


@st.composite
def _fields(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(_NAMES.split()).map(str.encode) | st.binary(max_size=10))
    if draw(st.integers(0, 5)) == 0:
        name = name.swapcase()
    value = draw(st.sampled_from(_VALUES) | OCTETS)
    return name + draw(st.sampled_from([b": ", b":", b" : ", b":\t", b""])) + value + draw(_LINE_END)


FIELDS: st.SearchStrategy[bytes] = st.lists(_fields(), max_size=12).map(b"".join)
"""A header, or what a careless program takes for one."""

BODIES: st.SearchStrategy[bytes] = st.one_of(
    OCTETS,
    st.tuples(FIELDS, OCTETS).map(lambda pair: b"--b\r\n" + pair[0] + b"\r\n" + pair[1] + b"\r\n--b--\r\n"),
    st.lists(
        st.sampled_from([b"word", b"> quoted", b"", b"--b", b"--b--", b"\xe3\x81\x82", b".", b"-- ", b"y" * 1100])
    ).flatmap(lambda lines: _LINE_END.map(lambda end: end.join(lines))),
)

ANY_MAIL: st.SearchStrategy[bytes] = st.one_of(
    OCTETS,
    st.tuples(FIELDS, st.sampled_from([b"\r\n", b"\n", b"", b"\r", b" \r\n"]), BODIES).map(b"".join),
    st.tuples(st.sampled_from(sorted(PLACES)), OCTETS).map(lambda pair: PLACES[pair[0]](pair[1])),
)

# --- sound mail, as a tree

_CHARSETS = [
    "utf-8",
    "iso-2022-jp",
    "shift_jis",
    "euc-jp",
    "iso-8859-1",
    "us-ascii",
    "windows-1252",
    "gb18030",
    "koi8-r",
]
_TEXTS = st.text(st.sampled_from("abc de.,:>-<&=\n日本語かな éß жщ\u3000～①…"), max_size=200) | st.just(
    "Hello.\n\nOn 1 Jan 2020, Bob wrote:\n> x\n"
)


@st.composite
def _leaves(draw: st.DrawFn) -> bytes:
    kind = draw(
        st.sampled_from(["text/plain"] * 4 + ["text/html"] * 3 + ["application/pdf", "text/calendar", "image/png"])
    )
    encoding = draw(st.sampled_from(["7bit", "8bit", "base64", "quoted-printable"]))
    charset = draw(st.sampled_from(_CHARSETS))
    if kind.startswith("text/"):
        text = draw(_TEXTS)
        if kind == "text/html":
            text = draw(st.sampled_from(["<html><head></head><body>", "<body>", "", "<!-- <body> -->"])) + text
        octets = text.replace("\n", "\r\n").encode(charset, "replace")
        content_type = f"{kind}; charset={charset}"
    else:
        octets = draw(st.binary(max_size=200))
        content_type = f'{kind}; name="a.bin"'
        encoding = "base64"
    body = octets
    if encoding == "base64":
        body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        body = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    elif not octets.isascii():
        encoding = "8bit"
    disposition = draw(st.sampled_from(["", "", "", "Content-Disposition: attachment; filename=x.bin\r\n"]))
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n{disposition}\r\n"
    return head.encode() + body


@st.composite
def _multiparts(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    parts = draw(st.lists(children, min_size=1, max_size=4))
    kind = draw(st.sampled_from(["mixed", "mixed", "alternative", "related", "signed", "digest", "report"]))
    boundary = f"=_{kind}_{abs(_number_of(b''.join(parts)))}".encode()
    head = b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (kind.encode(), boundary)
    inside = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    return head + draw(st.sampled_from([b"", b"preamble\r\n"])) + inside + b"--%s--\r\n" % boundary


def _number_of(octets: bytes) -> int:
    """The same number for the same octets in every process."""
    number = 0
    for octet in octets:
        number = (number * 131 + octet) % 2**61
    return number


def _attached(inner: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\nFrom: x@y.test\r\nSubject: inner\r\nMIME-Version: 1.0\r\n" + inner


_TOP: list[bytes] = [
    b"Received: from a by b; Mon, 9 Mar 2026 16:05:00 +0900\r\n",
    b"X-Mailer: x\r\n",
    b"Subject: =?utf-8?B?5pel5pys?=\r\n hello\r\n",
    b"Bcc: secret@x.test\r\n",
]


def _whole(entity: bytes) -> bytes:
    return (
        b"".join(_TOP)
        + b"From: Ann <ann@customer.example>\r\nTo: support@desk.test\r\nDate: Mon, 9 Mar 2026 16:05:00 +0900\r\n"
        b"Message-ID: <1@customer.example>\r\nMIME-Version: 1.0\r\n" + entity
    )


TREES: st.SearchStrategy[bytes] = st.recursive(
    _leaves(), lambda children: _multiparts(children) | children.map(_attached), max_leaves=8
).map(_whole)
"""Sound mail: CRLF, short lines (but for texts without a line end), every boundary closed."""
