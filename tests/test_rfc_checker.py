"""The judge of our copies is judged: a sound copy, written here by hand, passes; every broken one is found out."""

import base64
import re
from collections.abc import Callable

import pytest

from rfc_checker import Circumstances, check
from rfc_mime import decode, read_entity, read_words, walk

SENDER = "relay@desk.test"
SUBJECT = b"Subject:  two   =?utf-8?B?5Lu25ZCN?=\r\n"
HEADER = (
    b"Return-Path: <kunde@acme.example>\r\nReceived: from a by b; Mon, 2 Mar 2026 10:00:00 +0900\r\n"
    b"DKIM-Signature: v=1; b=x\r\nFrom: Kunde <kunde@acme.example>\r\nTo: support@desk.test\r\n" + SUBJECT + b""
    b"Date: Mon, 2 Mar 2026 10:00:00 +0900\r\nMessage-ID: <1@acme.example>\r\nMIME-Version: 1.0\r\n"
)
COPY_HEADER = (
    b"Received: from c by d; Mon, 2 Mar 2026 10:00:01 +0900\r\nX-Supportrelay-Id: q1\r\n"
    b"X-Supportrelay-Reason: owner\r\nX-Auto-Response-Suppress: OOF, AutoReply\r\n"
    b"Received: from a by b; Mon, 2 Mar 2026 10:00:00 +0900\r\nX-Original-DKIM-Signature: v=1; b=x\r\n"
    b"From: Kunde via Support <relay@desk.test>\r\nReply-To: kunde@acme.example, support@desk.test\r\n"
    b"X-Original-From: Kunde <kunde@acme.example>\r\nTo: support@desk.test\r\n" + SUBJECT + b""
    b"Date: Mon, 2 Mar 2026 10:00:00 +0900\r\nMessage-ID: <1@acme.example>\r\nMIME-Version: 1.0\r\n"
)
TEXT_BANNER = (
    "――― support 案内 SR-1-k7xq2a（次の同じ線までは、返信の前に削除してください） ―――\r\n返信の宛先: x\r\n"
    "――― support 案内 SR-1-k7xq2a ―――\r\n\r\n"
).encode()
HTML_BANNER = b'<div class="supportrelay-banner" id="x">&#26696;&#20869;</div>\r\n'
PDF = b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0x\r\nLjQK'


def mixed(text: bytes, html: bytes, pdf: bytes = PDF) -> bytes:
    return (
        b'Content-Type: multipart/mixed; boundary="out"\r\n\r\npreamble\r\n--out\r\n'
        b'Content-Type: multipart/alternative; boundary="in"\r\n\r\n--in\r\n'
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text + b"\r\n--in\r\n"
        b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + html + b"\r\n--in--\r\n"
        b"\r\n--out\r\n" + pdf + b"\r\n--out--\r\nepilogue\r\n"
    )


TEXT = "こんにちは\r\n-- \r\n田中\r\n".encode()
HTML = "<html><head><title>x</title></head><body><p>こんにちは</p></body></html>".encode()
WITH_BANNER = HTML.replace(b"<body>", b"<body>" + HTML_BANNER)
ORIGINAL = HEADER + mixed(TEXT, HTML)
COPY = COPY_HEADER + mixed(TEXT_BANNER + TEXT, WITH_BANNER)
HOW = Circumstances(SENDER)

SIGNED_HEAD = b'Content-Type: multipart/signed; boundary="sig"; protocol="application/pgp-signature"\r\n'
SIGNED_BODY = (
    b"--sig\r\nContent-Type: text/plain\r\n\r\nHello \r\n--sig\r\nContent-Type: application/pgp-signature\r\n\r\n"
    b"-----BEGIN PGP SIGNATURE-----\r\n--sig--\r\n"
)
OUR = b"=_supportrelay_0123456789abcdef01234567"
FRONT = (
    b'Content-Type: multipart/mixed; boundary="' + OUR + b'"\r\n\r\n--' + OUR + b"\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + TEXT_BANNER
)
WRAPPED = COPY_HEADER + FRONT + b"\r\n--" + OUR + b"\r\n" + SIGNED_HEAD + b"\r\n" + SIGNED_BODY + b"\r\n--" + OUR
WRAPPED += b"--\r\n"
SIGNED = HEADER + SIGNED_HEAD + b"\r\n" + SIGNED_BODY
WRAP = Circumstances(SENDER, ["banner.wrapped:signed"])

BROKEN = HEADER + b'Content-Type: multipart/mixed; boundary="never"\r\n\r\nNo such boundary.\r\n'
ATTACHED = COPY_HEADER + FRONT + b"\r\n--" + OUR + b'\r\nContent-Type: message/rfc822; name="original.eml"\r\n\r\n'
ATTACHED += BROKEN + b"\r\n--" + OUR + b"--\r\n"
ATTACH = Circumstances(SENDER, ["unparsed:multipart without any part"])


@pytest.mark.parametrize(
    ("original", "copy", "how"),
    [
        pytest.param(ORIGINAL, COPY, HOW, id="edited"),
        pytest.param(SIGNED, WRAPPED, WRAP, id="wrapped"),
        pytest.param(BROKEN, ATTACHED, ATTACH, id="attached"),
        pytest.param(
            SIGNED, COPY_HEADER + SIGNED_HEAD + b"\r\n" + SIGNED_BODY, Circumstances(SENDER, banner=False), id="report"
        ),
        pytest.param(
            SIGNED,
            COPY_HEADER + SIGNED_HEAD + b"\r\n" + SIGNED_BODY,
            Circumstances(SENDER, signed="untouched"),
            id="signed, untouched",
        ),
    ],
)
def test_a_sound_copy_passes(original: bytes, copy: bytes, how: Circumstances) -> None:
    assert check(original, copy, how) == []


def change(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def changed(copy: bytes) -> bytes:
        assert old in copy
        return copy.replace(old, new, 1)

    return changed


def relabelled(copy: bytes) -> bytes:
    """The text in UTF-8 under another label: nobody said that it was changed."""
    return copy.replace(b"text/plain; charset=utf-8", b"text/plain; charset=utf8")


EDITED = [
    ("line", "a line over 998 octets", change(b"preamble", b"x" * 999)),
    ("line", "a lone LF", change(b"preamble\r\n", b"preamble\n\r\n")),
    ("line", "a lone CR", change(b"preamble", b"pre\ramble")),
    ("line", "NUL", change(b"preamble", b"pre\0amble")),
    ("header", "raw octets", change(b"two", "zwö".encode())),
    ("header", "a field lost", change(SUBJECT, b"")),
    ("header", "a field changed by a space", change(b"two   =?", b"two =?")),
    ("header", "a field encoded anew", change(b"=?utf-8?B?5Lu25ZCN?=", b"=?utf-8?Q?=E4=BB=B6=E5=90=8D?=")),
    ("header", "a field twice", change(SUBJECT, SUBJECT * 2)),
    ("header", "a field moved", lambda copy: change(b"MIME-V", SUBJECT + b"MIME-V")(copy.replace(SUBJECT, b""))),
    ("header", "a field of nobody's", change(SUBJECT, SUBJECT + b"Bcc: x@y.test\r\n")),
    ("header", "Return-Path kept", change(SUBJECT, b"Return-Path: <kunde@acme.example>\r\n" + SUBJECT)),
    ("header", "a signature not renamed", change(b"X-Original-DKIM", b"DKIM")),
    (
        "header",
        "the customer in From",
        change(b"From: Kunde via Support <relay@desk.test>", b"From: <kunde@acme.example>"),
    ),
    ("header", "two From", change(b"Reply-To:", b"From: <relay@desk.test>\r\nReply-To:")),
    ("header", "no Received of ours", change(b"Received: from c by d; Mon, 2 Mar 2026 10:00:01 +0900\r\n", b"")),
    ("header", "no id", change(b"X-Supportrelay-Id: q1\r\n", b"")),
    ("header", "another Content-Type", change(b'multipart/mixed; boundary="out"', b"multipart/mixed; boundary=out")),
    ("structure", "a part lost", lambda copy: copy.replace(b"\r\n--out\r\n" + PDF, b"")),
    ("structure", "a part more", change(b"\r\n--out--", b"\r\n--out\r\n\r\nx\r\n--out--")),
    ("structure", "another preamble", change(b"preamble", b"preambel")),
    ("structure", "another epilogue", change(b"epilogue", b"")),
    ("part", "an attachment's octets", change(b"JVBERi0x\r\nLjQK", b"JVBERi0xLjQK")),
    ("part", "an attachment's content", change(b"LjQK", b"LjUK")),
    ("part", "an attachment's header", change(b'name="a.pdf"', b'name="b.pdf"')),
    ("part", "a text's header", change(b"text/plain; charset=utf-8", b"text/plain;  charset=utf-8")),
    ("text", "no banner", change(TEXT_BANNER, b"")),
    ("text", "a banner cut off", change(TEXT_BANNER, TEXT_BANNER[:60])),
    ("text", "the banner twice", change(TEXT_BANNER, TEXT_BANNER * 2)),
    ("text", "the banner below", change(TEXT_BANNER + TEXT, TEXT + TEXT_BANNER)),
    ("text", "a character lost", change("田中\r\n\r\n--in".encode(), "田\r\n\r\n--in".encode())),
    ("text", "a space lost", change(b"-- \r\n", b"--\r\n")),
    ("text", "no banner in the html", change(HTML_BANNER, b"")),
    ("text", "html banner twice", change(HTML_BANNER, HTML_BANNER * 2)),
    (
        "text",
        "html banner in the head",
        lambda copy: copy.replace(WITH_BANNER, HTML.replace(b"x</t", HTML_BANNER + b"x</t")),
    ),
    (
        "text",
        "html banner below",
        lambda copy: copy.replace(WITH_BANNER, HTML.replace(b"</body>", HTML_BANNER + b"</body>")),
    ),
    ("text", "html banner in a comment", change(HTML_BANNER, b"<!--" + HTML_BANNER + b"-->")),
    ("text", "another html", change("<p>こんにちは".encode(), "<p>こんばんは".encode())),
    ("note", "another charset without a word", relabelled),
    (
        "form",
        "wrapped without a reason",
        lambda copy: (
            COPY_HEADER
            + FRONT
            + b"\r\n--"
            + OUR
            + b"\r\n"
            + ORIGINAL.partition(b"1.0\r\n")[2]
            + b"\r\n--"
            + OUR
            + b"--\r\n"
        ),
    ),
]


def test_raw_octets_in_a_header_need_a_hop_that_takes_them() -> None:
    copy = COPY.replace(b"two", "zwö".encode())
    narrow = Circumstances(SENDER, eight_bit=False)

    assert "eight_bit" in {finding.rule for finding in check(ORIGINAL, copy, narrow)}


@pytest.mark.parametrize(("rule", "how", "broken"), [pytest.param(*row, id=f"{row[0]}: {row[1]}") for row in EDITED])
def test_a_broken_copy_is_found_out(rule: str, how: str, broken: Callable[[bytes], bytes]) -> None:
    copy = broken(COPY)
    assert copy != COPY

    assert rule in {finding.rule for finding in check(ORIGINAL, copy, HOW)}


WHOLE = [
    ("entity", SIGNED, WRAPPED, WRAP, change(b"Hello \r\n", b"Hello\r\n")),
    ("entity", SIGNED, WRAPPED, WRAP, change(b"; protocol=", b";\r\n\tprotocol=")),
    ("text", SIGNED, WRAPPED, WRAP, change(TEXT_BANNER, b"Hello\r\n")),
    ("note", SIGNED, WRAPPED, HOW, lambda copy: copy),
    ("boundary", SIGNED, WRAPPED, WRAP, change(b"BEGIN PGP SIGNATURE", b"BEGIN " + OUR)),
    ("form", SIGNED, COPY_HEADER + SIGNED_HEAD + b"\r\n" + SIGNED_BODY, HOW, lambda copy: copy),
    ("form", BROKEN, COPY_HEADER + BROKEN.partition(b"1.0\r\n")[2], HOW, lambda copy: copy),
    ("form", SIGNED, WRAPPED, Circumstances(SENDER, WRAP.notes, signed="untouched"), lambda copy: copy),
    ("entity", BROKEN, ATTACHED, ATTACH, change(b"No such", b"no such")),
    ("note", BROKEN, ATTACHED, HOW, lambda copy: copy),
    ("eight_bit", ORIGINAL, COPY, Circumstances(SENDER, eight_bit=False), lambda copy: copy),
    ("header", ORIGINAL, COPY, Circumstances(SENDER, is_list=True), change(SUBJECT, SUBJECT + b"List-Id: <x>\r\n")),
]


@pytest.mark.parametrize(("rule", "original", "copy", "how", "broken"), WHOLE, ids=lambda value: str(value)[:12])
def test_a_mail_that_goes_whole_is_judged_too(
    rule: str, original: bytes, copy: bytes, how: Circumstances, broken: Callable[[bytes], bytes]
) -> None:
    assert rule in {finding.rule for finding in check(original, broken(copy), how)}


def single(head: bytes, body: bytes) -> tuple[bytes, bytes]:
    return HEADER + head + b"\r\n" + body, COPY_HEADER + head + b"\r\n" + body


TO_UTF8 = [
    pytest.param("iso-8859-1", "Grüße\r\n", "Grüße\r\n", True, id="right"),
    pytest.param("iso-8859-1", "Grüße\r\n", "Gruße\r\n", False, id="a letter changed"),
    pytest.param("iso-2022-jp", "日本\r\n", "日本\r\n", True, id="iso-2022-jp"),
    pytest.param("iso-2022-jp", "日本\r\n", "日\r\n", False, id="a character lost"),
]


@pytest.mark.parametrize(("charset", "was", "now", "is_sound"), TO_UTF8)
def test_a_text_that_became_utf_8_reads_as_before(charset: str, was: str, now: str, is_sound: bool) -> None:
    head = b"Content-Type: text/plain; charset="
    original = HEADER + head + charset.encode() + b"\r\n\r\n" + was.encode(charset)
    copy = COPY_HEADER + head + b"utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    copy += base64.encodebytes(TEXT_BANNER + now.encode()).replace(b"\n", b"\r\n")

    found = check(original, copy, Circumstances(SENDER, ["part.to_utf8"]))

    assert not found if is_sound else {finding.rule for finding in found} == {"text"}
    assert "note" in {finding.rule for finding in check(original, copy, HOW)}


def test_a_long_line_may_be_broken_when_the_trace_says_so() -> None:
    head, body = b"Content-Type: application/x-long\r\n", b"y" * 1500
    original = HEADER + mixed(TEXT, HTML, head + b"\r\n" + body)
    quoted = b"=\r\n".join(re.findall(rb".{1,75}", body))
    copy = COPY_HEADER + mixed(
        TEXT_BANNER + TEXT, WITH_BANNER, head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted
    )

    assert check(original, copy, Circumstances(SENDER, ["part.long_line"])) == []
    assert {f.rule for f in check(original, copy, HOW)} == {"note"}
    lost = copy.replace(b"yyyyy\r\n--out--", b"yyyy\r\n--out--")
    assert {f.rule for f in check(original, lost, Circumstances(SENDER, ["part.long_line"]))} == {"part"}


def test_raw_octets_of_a_header_may_be_encoded_when_the_trace_says_so() -> None:
    original = ORIGINAL.replace(SUBJECT, "Subject: zwölf\r\n".encode("latin-1"))
    copy = COPY.replace(SUBJECT, b"Subject: =?utf-8?Q?zw=C3=B6lf?=\r\n")

    assert check(original, copy, Circumstances(SENDER, ["header.encoded:subject"])) == []
    assert "header" in {f.rule for f in check(original, copy, HOW)}
    other = copy.replace(b"zw=C3=B6lf", b"elf")
    assert "header" in {f.rule for f in check(original, other, Circumstances(SENDER, ["header.encoded:subject"]))}


# --- the reader below it


def test_parts_and_their_octets_are_found() -> None:
    root = read_entity(ORIGINAL)

    assert [part.kind for part in walk(root)] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
    ]
    assert root.preamble == b"preamble"
    assert root.epilogue == b"\r\nepilogue\r\n"
    assert decode(list(walk(root))[-1]) == b"%PDF-1.4\n"


def test_encodings_are_undone_as_rfc_2045_has_it() -> None:
    def decoded(encoding: bytes, body: bytes) -> bytes:
        return decode(read_entity(b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body))

    assert decoded(b"quoted-printable", b"a=3D=C3=BC  \r\nb=\r\nc=zz") == "a=ü\r\nbc=zz".encode()
    assert decoded(b"BASE64", b"YWJj\r\n!ZGU=\r\n") == b"abcde"
    assert decoded(b"base64", b"YWJjZA==\r\n-- \r\na list\r\n") == b"abcd"
    assert decoded(b"x-unknown", b"YWJj") == b"YWJj"


@pytest.mark.parametrize(
    ("octets", "trouble"),
    [
        pytest.param(b"A: b\r\n", "no end of the header", id="no blank line"),
        pytest.param(b"A: b\r\nnonsense\r\n\r\n", "a line of the header is no field", id="garbage"),
        pytest.param(b"Hello\r\n\r\nx\r\n", "no header", id="no header"),
        pytest.param(b"Content-Type: multipart/mixed\r\n\r\nx\r\n", "multipart without a part", id="no boundary"),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n",
            "multipart without an end",
            id="no end",
        ),
    ],
)
def test_what_nobody_can_be_sure_of_is_marked(octets: bytes, trouble: str) -> None:
    assert read_entity(octets).trouble == trouble


def test_parameters_in_sections_and_encoded_words_are_read() -> None:
    entity = read_entity(b"Content-Type: text/x; a*0*=utf-8''%E4%BB%B6; a*1=\"b c\"; charset=X\r\n\r\n")

    assert entity.parameters["a"].encode("latin-1").decode() == "件b c"
    assert entity.charset == "x"
    assert read_words("=?utf-8?B?5Lu2?= =?utf-8*ja?Q?_=E5=90=8D?= x") == "件 名 x"
