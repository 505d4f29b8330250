"""Raw octets in a header: read rightly, and made ASCII in copies, so that no next hop refuses them."""

import email.policy
import time
from email import message_from_bytes

import pytest

from supportrelay.core.raw_header import charset_hint, make_header_ascii
from supportrelay.core.reading import read_facts


def mail(field: bytes, charset: str = "utf-8") -> bytes:
    return b"Date: x\r\n" + field + b"\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\nHello\r\n"


SUBJECTS = [
    pytest.param("お問い合わせの件", "utf-8", "iso-2022-jp", id="utf-8 whatever the body says"),
    pytest.param("お問い合わせの件", "cp932", "shift_jis", id="shift_jis"),
    pytest.param("請求書", "cp932", "Shift_JIS", id="short shift_jis"),
    pytest.param("お問い合わせの件", "euc_jp", "euc-jp", id="euc-jp"),
    pytest.param("年級七日新片又到", "big5", "big5", id="big5"),
    pytest.param("中文邮件测试", "gb18030", "gb2312", id="gb2312"),
    pytest.param("한국어 제목", "cp949", "ks_c_5601-1987", id="korean"),
    pytest.param("Привет", "koi8_r", "koi8-r", id="koi8-r"),
    pytest.param("Zażółć", "cp1250", "windows-1250", id="windows-1250"),
    pytest.param("Größe", "cp1252", "iso-8859-1", id="latin-1"),
    pytest.param("Größe", "cp1252", "utf-8", id="latin-1 under a wrong label"),
]


@pytest.mark.parametrize(("text", "codec", "charset"), SUBJECTS)
def test_raw_octets_are_read_in_the_charset_of_the_text(text: str, codec: str, charset: str) -> None:
    octets = mail(b"Subject: " + text.encode(codec), charset)

    copy, notes = make_header_ascii(octets)

    assert read_facts(octets).subject == text
    assert copy.isascii()
    assert notes == ("header.encoded:subject",)
    assert message_from_bytes(copy, policy=email.policy.default)["Subject"] == text
    assert copy.partition(b"\r\n\r\n")[2] == octets.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        pytest.param(
            '"Jürgen \\"J\\" Müller" <j@x.test>',
            b"To: =?utf-8?B?SsO8cmdlbiAiSiIgTcO8bGxlcg==?= <j@x.test>",
            id="quoted",
        ),
        pytest.param(
            "Jürgen <j@x.test>, Ann <a@x.test>", b"To: =?utf-8?B?SsO8cmdlbg==?= <j@x.test>, Ann <a@x.test>", id="bare"
        ),
        pytest.param(
            '"Ann" <a@x.test>, ü <u@x.test>', b'To: "Ann" <a@x.test>, =?utf-8?B?w7w=?= <u@x.test>', id="other"
        ),
        pytest.param("Jan <jürgen@x.test>", b"To: Jan =?utf-8?B?asO8cmdlbkB4LnRlc3Q=?= :;", id="address"),
    ],
)
def test_names_are_encoded_and_addresses_stay(written: str, wanted: bytes) -> None:
    copy, _ = make_header_ascii(mail(b"To: " + written.encode()))

    assert wanted in copy.replace(b"\r\n ", b" ")


def test_raw_octets_inside_of_an_encoded_word_stand_for_themselves() -> None:
    octets = mail(b"Subject: =?iso-8859-1?Q?Gr\xf6=DFe?= =?iso-8859-1?Q?_M\xfcller?=", "iso-8859-1")

    assert read_facts(octets).subject == "Größe Müller"
    assert read_facts(make_header_ascii(octets)[0]).subject == "Größe Müller"


def test_what_may_hold_no_encoded_word_is_set_aside() -> None:
    """RFC 6857 §3.2: the field goes under another name."""
    copy, notes = make_header_ascii(mail("Received: from università.example by mx\r\n\t; Mon".encode()))

    assert b"\r\nDowngraded-Received: from =?utf-8?" in copy
    assert notes == ("header.encoded:received",)


def test_a_header_in_ascii_is_not_touched() -> None:
    octets = mail(b"Subject:  x   =?utf-8?B?5pel5pys6Kqe?=")

    assert make_header_ascii(octets) == (octets, ())
    assert make_header_ascii(octets)[0] is octets


def test_a_raw_line_break_never_begins_a_field() -> None:
    copy, _ = make_header_ascii(mail('Subject: ü\u2028Bcc: a@x.test "'.encode()))

    assert [line.partition(b":")[0] for line in copy.split(b"\r\n")[:3]] == [b"Date", b"Subject", b"Content-Type"]


@pytest.mark.parametrize(
    ("octets", "hint"),
    [
        pytest.param(b'Content-Type: text/html; charset="Big5"\r\n', "big5", id="quoted"),
        pytest.param(b"Content-Type: text/plain; Charset = Shift_JIS\r\n", "shift_jis", id="spaces"),
        pytest.param(b"Subject: x\r\n", None, id="none"),
    ],
)
def test_the_first_charset_is_the_hint(octets: bytes, hint: str | None) -> None:
    assert charset_hint(octets) == hint


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("ü" + '\\"' * 60_000, id="quotes"),
        pytest.param("<" + "ü" * 60_000, id="no end of an address"),
        pytest.param("<ü" * 40_000, id="addresses without an end"),
        pytest.param("=?a?q?ü" * 20_000, id="words without an end"),
        pytest.param("=?a?q?ü?= " * 12_000, id="words"),
        pytest.param("ü " * 60_000, id="raw words"),
    ],
)
def test_hostile_headers_take_linear_time(value: str) -> None:
    octets = mail(b"To: " + value.encode())
    began = time.process_time()

    copy, _ = make_header_ascii(octets)

    assert time.process_time() - began < 1.0
    assert copy.isascii()
