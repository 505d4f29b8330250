"""The banner in a mail's text: what a reader sees, and which octets stay."""

import base64
import email
import quopri
from email.message import Message

import pytest

from supportrelay.core.banner import Banner, put_banner

JAPANESE = Banner(
    "――― support 案内 SR-12-k7xq2a ―――\n返信の前に削除してください。\n――― support 案内 SR-12-k7xq2a ―――\n",
    '<div class="supportrelay-banner">返信の前に削除してください。</div>\n',
)
ENGLISH = Banner(
    "--- support notice SR-12-k7xq2a ---\nPlease delete = this.\n--- support notice SR-12-k7xq2a ---\n",
    '<div class="supportrelay-banner">Please delete &amp; answer.</div>\n',
)
POLISH = Banner("--- usuń przed odpowiedzią ---\n", '<div class="supportrelay-banner">usuń</div>\n')

BOUNDARY = "=_outer"
ATTACHMENT = (
    b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\nJVBERi0xLjQK"
)
TEXTS = {
    "utf-8": "こんにちは、田中です。\r\nzażółć = 1\r\n\r\n-- \r\n田中\r\n",
    "iso-2022-jp": "こんにちは、田中です。\r\n=1\r\n",
    "shift_jis": "こんにちは、田中です。表示ソ能\r\n=1\r\n",
    "euc-jp": "こんにちは、田中です。\r\n=1\r\n",
    "iso-8859-1": "Grüße, ça va? = 1\r\n",
    "iso-8859-2": "Zażółć gęślą jaźń = 1\r\n",
    "iso-8859-15": "10 € = Grüße\r\n",
    "windows-1252": "10 € – “quoted”\r\n",
    "koi8-r": "Привет = 1\r\n",
    "gb18030": "你好 = 1\r\n",
    "us-ascii": "Hello there, 1 = 1\r\nFrom here on.\r\n",
    "": "Hello there, 1 = 1\r\n",
}
CODECS = {"": "ascii", "us-ascii": "ascii", "iso-8859-1": "cp1252", "shift_jis": "cp932"}


def codec(charset: str) -> str:
    return CODECS.get(charset, charset)


def encoded(text: str, charset: str, transfer: str) -> bytes:
    octets = text.encode(codec(charset))
    if transfer == "base64":
        return base64.encodebytes(octets).replace(b"\n", b"\r\n")
    if transfer == "quoted-printable":
        return quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return octets


def text_part(kind: str, text: str, charset: str, transfer: str) -> bytes:
    label = f"; charset={charset}" if charset else ""
    said = f"Content-Transfer-Encoding: {transfer}\r\n" if transfer else ""
    return f"Content-Type: text/{kind}{label}\r\n{said}\r\n".encode() + encoded(text, charset, transfer)


def html_of(text: str) -> str:
    return f'<html><head><title>x</title></head>\r\n<body bgcolor="#ffffff">\r\n<p>{text}</p></body></html>\r\n'


def multipart(kind: str, *parts: bytes, boundary: str = BOUNDARY) -> bytes:
    lines = [f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\npreamble\r\n'.encode()]
    lines += [f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts]
    return b"".join(lines) + f"--{boundary}--\r\nepilogue\r\n".encode()


HEADER = b"From: Ann <ann@customer.example>\r\nTo: support@desk.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def mail(entity: bytes) -> bytes:
    return HEADER + entity


def structures(part: bytes) -> dict[str, bytes]:
    image = b"Content-Type: image/png\r\nContent-ID: <i@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo="
    other = b"Content-Type: text/enriched\r\n\r\n<bold>x</bold>"
    return {
        "single": mail(part),
        "alternative": mail(multipart("alternative", other, part)),
        "mixed": mail(multipart("mixed", part, ATTACHMENT)),
        "related": mail(multipart("related", part, image)),
        "mixed-alternative": mail(
            multipart("mixed", multipart("alternative", part, other, boundary="=_inner").strip(), ATTACHMENT)
        ),
        "mixed-related-alternative": mail(
            multipart(
                "mixed",
                multipart(
                    "related", multipart("alternative", part, boundary="=_in").strip(), image, boundary="=_middle"
                ).strip(),
                ATTACHMENT,
            )
        ),
    }


def leaves(octets: bytes) -> list[Message]:
    return [part for part in email.message_from_bytes(octets).walk() if not part.is_multipart()]


def shape(octets: bytes) -> list[str]:
    return [part.get_content_type() for part in email.message_from_bytes(octets).walk()]


def seen_text(octets: bytes, kind: str = "text/plain") -> str:
    part = next(p for p in leaves(octets) if p.get_content_type() == kind)
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(codec(part.get_content_charset() or ""))


def banner_text(banner: Banner) -> str:
    return banner.text.replace("\n", "\r\n") + "\r\n"


def transfers(charset: str) -> list[str]:
    seven_bit = charset in {"", "us-ascii", "iso-2022-jp"}
    return ["7bit", "", "8bit", "quoted-printable", "base64"] if seven_bit else ["8bit", "quoted-printable", "base64"]


MATRIX = [
    pytest.param(charset, transfer, id=f"{charset or 'none'}-{transfer or 'none'}")
    for charset in TEXTS
    for transfer in transfers(charset)
]


@pytest.mark.parametrize("banner", [JAPANESE, ENGLISH, POLISH], ids=["ja", "en", "pl"])
@pytest.mark.parametrize(("charset", "transfer"), MATRIX)
def test_a_reader_sees_the_banner_and_then_the_text(charset: str, transfer: str, banner: Banner) -> None:
    text = TEXTS[charset]
    part = text_part("plain", text, charset, transfer)
    for original in structures(part).values():
        result, how, _ = put_banner(original, banner)

        assert how == "edited"
        assert seen_text(result) == banner_text(banner) + text.rstrip("\r\n") + seen_end(result, text)
        assert_untouched_outside(original, part, result)


def assert_untouched_outside(original: bytes, part: bytes, result: bytes) -> None:
    before, _, after = original.partition(part)
    assert result.startswith(before)
    assert result.endswith(after.lstrip(b"\r\n"))
    assert shape(result) == shape(original)
    assert_good_lines(result)


def seen_end(result: bytes, text: str) -> str:
    """The line end before a boundary is the boundary's; the text itself always ends one line."""
    seen = seen_text(result)
    end = seen[len(seen.rstrip("\r\n")) :]
    assert end in {"", "\r\n", text[len(text.rstrip("\r\n")) :]}
    return end


def assert_good_lines(octets: bytes) -> None:
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert max(map(len, octets.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("banner", [JAPANESE, ENGLISH], ids=["ja", "en"])
@pytest.mark.parametrize(("charset", "transfer"), MATRIX)
def test_a_reader_of_html_sees_the_banner_right_after_the_body_tag(charset: str, transfer: str, banner: Banner) -> None:
    text = html_of(TEXTS[charset].strip())
    part = text_part("html", text, charset, transfer)
    for original in structures(part).values():
        result, how, notes = put_banner(original, banner)

        assert (how, notes) == ("edited", ())
        assert seen_text(result, "text/html").rstrip() == text.replace('fff">', 'fff">' + entities(banner)).rstrip()
        assert_untouched_outside(original, part, result)


INSERTED = [
    pytest.param("utf-8", "8bit", JAPANESE, id="utf-8"),
    pytest.param("utf-8", "quoted-printable", JAPANESE, id="utf-8-qp"),
    pytest.param("iso-2022-jp", "7bit", JAPANESE, id="iso-2022-jp"),
    pytest.param("iso-2022-jp", "quoted-printable", JAPANESE, id="iso-2022-jp-qp"),
    pytest.param("shift_jis", "8bit", JAPANESE, id="shift_jis"),
    pytest.param("euc-jp", "8bit", JAPANESE, id="euc-jp"),
    pytest.param("euc-jp", "quoted-printable", JAPANESE, id="euc-jp-qp"),
    pytest.param("gb18030", "8bit", ENGLISH, id="gb18030"),
    pytest.param("us-ascii", "7bit", ENGLISH, id="us-ascii"),
    pytest.param("", "", ENGLISH, id="nothing-said"),
    pytest.param("iso-8859-1", "8bit", ENGLISH, id="latin-1"),
    pytest.param("iso-8859-2", "quoted-printable", POLISH, id="latin-2-qp"),
]


@pytest.mark.parametrize(("charset", "transfer", "banner"), INSERTED)
def test_a_banner_that_its_part_can_carry_is_a_pure_insertion(charset: str, transfer: str, banner: Banner) -> None:
    original = mail(multipart("mixed", text_part("plain", TEXTS[charset], charset, transfer), ATTACHMENT))

    result, _, notes = put_banner(original, banner)

    assert notes == ()
    assert_insertion(original, result)


def assert_insertion(original: bytes, result: bytes) -> None:
    same = next((i for i, (a, b) in enumerate(zip(original, result, strict=False)) if a != b), len(original))
    grown = len(result) - len(original)
    # An insertion may be seen at several places when the octets around it repeat.
    assert any(
        original[:i] + result[i : i + grown] + original[i:] == result for i in range(max(0, same - 200), same + 1)
    )


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_utf_16_becomes_utf_8(kind: str) -> None:
    text = TEXTS["utf-8"] if kind == "plain" else html_of("こんにちは")
    body = base64.encodebytes(text.encode("utf-16")).replace(b"\n", b"\r\n")
    head = f"Content-Type: text/{kind}; charset=UTF-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"

    result, _, notes = put_banner(mail(head.encode() + body), JAPANESE)

    assert notes == ("part.to_utf8",)
    wanted = banner_text(JAPANESE) + text if kind == "plain" else text.replace('fff">', 'fff">' + entities(JAPANESE))
    assert seen_text(result, f"text/{kind}") == wanted


def entities(banner: Banner) -> str:
    return banner.html.replace("\n", "\r\n").encode("ascii", "xmlcharrefreplace").decode()


def test_the_rest_of_an_iso_2022_jp_text_starts_in_ascii() -> None:
    original = mail(text_part("plain", TEXTS["iso-2022-jp"], "iso-2022-jp", "7bit"))

    result, _, _ = put_banner(original, JAPANESE)

    head, _, _ = result.partition(TEXTS["iso-2022-jp"].encode("iso2022_jp"))
    assert head.endswith(b"\x1b(B\r\n\r\n")


def test_eight_bit_octets_never_stand_in_a_part_that_says_7bit() -> None:
    original = mail(text_part("plain", "plain words\r\n" * 40, "utf-8", "7bit"))

    result, _, notes = put_banner(original, JAPANESE)

    assert result.isascii()
    assert notes == ("part.re_encoded",)
    assert email.message_from_bytes(result)["content-transfer-encoding"] in {"quoted-printable", "base64"}
    assert seen_text(result) == banner_text(JAPANESE) + "plain words\r\n" * 40


def test_a_part_that_says_7bit_and_is_not_is_made_legal_when_the_banner_needs_it() -> None:
    text = "まちがい\r\n"
    original = mail(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode())

    result, _, _ = put_banner(original, JAPANESE)

    assert result.isascii()
    assert seen_text(result) == banner_text(JAPANESE) + text


def test_a_mail_without_any_mime_field_gets_what_the_banner_needs() -> None:
    original = b"From: ann@customer.example\r\nSubject: x\r\n\r\nHello.\r\n"

    result, how, notes = put_banner(original, JAPANESE)

    parsed = email.message_from_bytes(result)
    assert (how, notes) == ("edited", ("part.to_utf8",))
    assert parsed["mime-version"] == "1.0"
    assert parsed.get_content_charset() == "utf-8"
    assert seen_text(result) == banner_text(JAPANESE) + "Hello.\r\n"


def test_an_ascii_banner_adds_no_mime_field() -> None:
    original = b"From: ann@customer.example\r\nSubject: x\r\n\r\nHello.\r\n"

    result, _, _ = put_banner(original, ENGLISH)

    assert_insertion(original, result)


CONTENT_TYPES = [
    pytest.param(b'text/plain; charset="us-ascii"; format=flowed', {"format": "flowed"}, id="quoted"),
    pytest.param(
        b"text/plain;\r\n\tformat=flowed;\r\n\tCHARSET = us-ascii;\r\n\tdelsp=yes", {"delsp": "yes"}, id="folded"
    ),
    pytest.param(b"text/plain", {}, id="none"),
    pytest.param(b"text/plain;", {}, id="open"),
    pytest.param(b"text/plain; format=flowed", {"format": "flowed"}, id="no-charset"),
    pytest.param(b'text/plain; x="a;charset=b"; charset=us-ascii', {"x": "a;charset=b"}, id="charset-in-a-value"),
    pytest.param(b"text/plain; charset*=us-ascii''us-ascii; format=flowed", {"format": "flowed"}, id="rfc2231"),
    pytest.param(b"text/plain; charset=us-ascii; charset=iso-8859-1", {}, id="twice"),
    pytest.param(b"text", {}, id="not-a-type"),
]


@pytest.mark.parametrize(("value", "kept"), CONTENT_TYPES)
def test_a_changed_charset_leaves_the_other_parameters(value: bytes, kept: dict[str, str]) -> None:
    original = HEADER + b"Content-Type: " + value + b"\r\n\r\nHello there.\r\n"

    result, _, _ = put_banner(original, JAPANESE)

    parsed = email.message_from_bytes(result)
    assert parsed.get_content_type() == "text/plain"
    assert parsed.get_content_charset() == "utf-8"
    assert {name: parsed.get_param(name) for name in kept} == kept
    assert seen_text(result).endswith("Hello there.\r\n")


def test_banner_lines_of_flowed_text_are_stuffed_and_never_flow() -> None:
    original = HEADER + b"Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\nHello \r\nthere.\r\n"

    result, _, _ = put_banner(original, Banner("> not a quotation \n  To: x\nFrom here \n", "<div></div>"))

    assert result.endswith(b"\r\n\r\n > not a quotation\r\n   To: x\r\n From here\r\n\r\nHello \r\nthere.\r\n")


def test_a_byte_order_mark_stays_in_front() -> None:
    original = mail(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xef\xbb\xbfHi\r\n"
    )

    result, _, _ = put_banner(original, JAPANESE)

    assert result.endswith(b"\r\n\r\n\xef\xbb\xbf" + banner_text(JAPANESE).encode() + b"Hi\r\n")


UNREADABLE = [
    pytest.param(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-mine\r\n\r\nHi\r\n", id="unknown-encoding"),
    pytest.param(b"Content-Type: text/plain; charset=gb2312\r\n\r\n\xff\xffHi\xff\r\n", id="damaged"),
    pytest.param(b"Content-Type: text/enriched\r\n\r\nHi\r\n", id="other-text"),
    pytest.param(ATTACHMENT, id="only-a-pdf"),
    pytest.param(b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nHi\r\n", id="attached-text"),
    pytest.param(b'Content-Type: text/plain; name="log.txt"\r\n\r\nHi\r\n', id="named-text"),
    pytest.param(b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nHi\r\n", id="message"),
    pytest.param(multipart("report", b"Content-Type: text/plain\r\n\r\nfailed", ATTACHMENT), id="report"),
    pytest.param(multipart("signed", b"Content-Type: text/plain\r\n\r\nHi", ATTACHMENT), id="signed"),
    pytest.param(
        multipart("mixed", multipart("signed", b"\r\nHi", ATTACHMENT, boundary="=_i").strip(), b"\r\nfooter"),
        id="signed-with-a-footer",
    ),
    pytest.param(b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nMIIB\r\n", id="opaque-signed"),
    pytest.param(b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nHi\r\n", id="pgp-signed"),
    pytest.param(
        multipart("alternative", b"\r\nHi", b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR"),
        id="calendar",
    ),
    pytest.param(b"Content-Type: text/calendar; method=REPLY\r\n\r\nBEGIN:VCALENDAR\r\n", id="calendar-alone"),
]


@pytest.mark.parametrize("entity", UNREADABLE)
def test_what_may_not_be_edited_stands_whole_behind_the_banner(entity: bytes) -> None:
    original = mail(entity)

    result, how, notes = put_banner(original, JAPANESE)

    assert how == "wrapped"
    assert notes[0].startswith("banner.wrapped:")
    assert seen_text(result) == JAPANESE.text.replace("\n", "\r\n")
    parsed = email.message_from_bytes(result)
    assert parsed.get_content_type() == "multipart/mixed"
    assert result.count(entity) == 1
    assert shape(result) == ["multipart/mixed", "text/plain", *shape(original)]
    assert parsed["subject"] == "x"
    assert parsed.get_all("mime-version") == ["1.0"]
    assert len(parsed.get_all("content-type", [])) == 1
    assert_good_lines(result)


def test_signed_mail_is_left_alone_when_configured_so() -> None:
    original = mail(multipart("signed", b"Content-Type: text/plain\r\n\r\nHi", ATTACHMENT))

    assert put_banner(original, JAPANESE, signed="untouched") == (original, "none", ("banner.none:signed",))


ENCRYPTED = [
    pytest.param(
        multipart("encrypted", b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1", ATTACHMENT), id="pgp"
    ),
    pytest.param(b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMIIB\r\n", id="smime"),
    pytest.param(b"Content-Type: application/x-pkcs7-mime; name=smime.p7m\r\n\r\nMIIB\r\n", id="smime-of-old"),
    pytest.param(b"\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n", id="inline"),
    pytest.param(
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(b"-----BEGIN PGP MESSAGE-----\n\nhQ\n"),
        id="inline-in-base64",
    ),
]


@pytest.mark.parametrize("entity", ENCRYPTED)
def test_encrypted_mail_is_left_alone_unless_configured_otherwise(entity: bytes) -> None:
    original = mail(entity.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    assert put_banner(original, JAPANESE)[:2] == (original, "none")
    assert put_banner(original, JAPANESE, encrypted="wrap")[1] == "wrapped"


def test_quoted_pgp_is_ordinary_text() -> None:
    original = mail(b"\r\nLook:\r\n> -----BEGIN PGP SIGNED MESSAGE-----\r\n")

    assert put_banner(original, ENGLISH)[1] == "edited"


def test_an_attached_invitation_does_not_stop_the_banner() -> None:
    invitation = (
        b"Content-Type: text/calendar\r\nContent-Disposition: attachment; filename=a.ics\r\n\r\nBEGIN:VCALENDAR"
    )

    assert put_banner(mail(multipart("mixed", b"\r\nHi", invitation)), ENGLISH)[1] == "edited"


BROKEN = [
    pytest.param(b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n", id="no-boundary"),
    pytest.param(b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nno part\r\n', id="no-part"),
    pytest.param(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n" * 1500, id="1500-parts"),
]


@pytest.mark.parametrize("entity", BROKEN)
def test_a_mail_that_cannot_be_parsed_is_attached_whole(entity: bytes) -> None:
    original = mail(entity)

    result, how, notes = put_banner(original, JAPANESE)

    assert (how, notes) == ("attached", ("unparsed",))
    assert shape(result)[:3] == ["multipart/mixed", "text/plain", "message/rfc822"]
    assert original in result


def test_octets_that_are_no_legal_message_are_attached_in_base64() -> None:
    original = HEADER + b"Content-Type: multipart/mixed\r\n\r\n" + b"x" * 2000 + b"\0\r\n"

    result, how, _ = put_banner(original, ENGLISH)

    attached = leaves(result)[1]
    assert how == "attached"
    assert (attached.get_content_type(), attached.get_filename()) == ("application/octet-stream", "original.eml")
    assert attached.get_payload(decode=True) == original
    assert_good_lines(result)


LONG = [
    pytest.param(b"Content-Type: text/plain\r\n\r\n" + b"word " * 4000 + b"\r\n", id="7bit"),
    pytest.param(b"Content-Type: text/html\r\n\r\n<p>" + b"word " * 4000 + b"\r\n", id="html"),
    pytest.param(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + "あ".encode() * 4000,
        id="8bit",
    ),
    pytest.param(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"w=3D " * 400 + b"x\r\n",
        id="qp",
    ),
    pytest.param(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"word " * 999),
        id="base64",
    ),
    pytest.param(
        multipart("mixed", b"\r\nHi", b"Content-Type: application/x-log\r\n\r\n" + b"log " * 999), id="attachment"
    ),
]


@pytest.mark.parametrize("entity", LONG)
def test_long_lines_are_re_encoded_and_read_the_same(entity: bytes) -> None:
    original = mail(entity)

    result, how, notes = put_banner(original, ENGLISH)

    assert how == "edited"
    assert "part.long_line" in notes
    assert_good_lines(result)
    for before, after in zip(leaves(original), leaves(result), strict=True):
        assert after.get_payload(decode=True).endswith(before.get_payload(decode=True)[-500:])  # type: ignore[union-attr,index,arg-type]


def test_a_signature_is_never_broken_for_a_long_line() -> None:
    original = mail(multipart("signed", b"\r\n" + b"x" * 1200, ATTACHMENT))

    result, how, _ = put_banner(original, ENGLISH)

    assert how == "attached"
    assert leaves(result)[1].get_payload(decode=True) == original


def test_japanese_text_under_a_wrong_label_is_not_mixed_with_another_charset() -> None:
    """ISO-2022-JP or Shift_JIS called UTF-8 is still read; UTF-8 in front would make it unreadable."""
    for text_codec in ("iso2022_jp", "cp932"):
        body = "こんにちは、田中です。\r\n".encode(text_codec)
        original = mail(b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body)

        result, _, notes = put_banner(original, JAPANESE)

        assert notes == ("part.to_utf8",)
        assert seen_text(result) == banner_text(JAPANESE) + "こんにちは、田中です。\r\n"


@pytest.mark.parametrize(
    ("octets", "charset"),
    [
        pytest.param("Привет, как дела? Мы получили ваш заказ.".encode("koi8_r"), b"", id="koi8-r without a label"),
        pytest.param("Привет".encode("koi8_r"), b"; charset=us-ascii", id="as ascii"),
        pytest.param("Grüße".encode("latin_1"), b"; charset=x-ours", id="unknown"),
        pytest.param("Zażółć gęślą jaźń".encode("cp1250"), b"; charset=utf-8", id="as utf-8"),
        pytest.param("見積依頼".encode("cp932"), b"", id="too short to be sure"),
    ],
)
def test_octets_in_an_unknown_charset_are_never_written_anew(octets: bytes, charset: bytes) -> None:
    """A guess may be wrong, and whoever knows the charset could read them."""
    head = b"Content-Type: text/plain%s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" % charset
    original = mail(head + octets + b"\r\n")

    result, how, notes = put_banner(original, JAPANESE)

    assert (how, notes) == ("wrapped", ("banner.wrapped:unreadable_text",))
    assert head + octets + b"\r\n" in result


def test_utf_16_without_a_label_is_known_by_its_mark() -> None:
    body = base64.encodebytes("日本語です\r\n".encode("utf-16")).replace(b"\n", b"\r\n")
    original = mail(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body)

    result, _, notes = put_banner(original, JAPANESE)

    assert notes == ("part.to_utf8",)
    assert seen_text(result) == banner_text(JAPANESE) + "日本語です\r\n"


def test_nec_characters_survive_beside_the_banner() -> None:
    """RULES 0.2: no codec of Python reads them."""
    body = b"\x1b$B-!-j\x1b(B no\r\n"
    original = mail(b"Content-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + body)

    result, _, notes = put_banner(original, JAPANESE)

    assert notes == ()
    assert result.endswith(body)


def test_the_boundary_is_in_no_way_the_mails_and_always_the_same() -> None:
    original = mail(ATTACHMENT)
    first, _, _ = put_banner(original, ENGLISH)
    boundary = email.message_from_bytes(first).get_boundary()
    assert boundary

    assert put_banner(original, ENGLISH)[0] == first
    again, _, _ = put_banner(first.replace(b"multipart/mixed", b"multipart/signed"), ENGLISH)
    assert email.message_from_bytes(again).get_boundary() != boundary


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_what_a_list_wrote_below_base64_stays_there(kind: str) -> None:
    """Lists append their footer to the octets; encoded anew without padding, it would be read as more base64."""
    footer = b"\r\n\r\n______\r\nteam mailing list\r\nteam@lists.example\r\n"
    entity = text_part(kind, "Zażółć", "utf-8", "base64") + footer

    copy, how, notes = put_banner(HEADER + entity, JAPANESE)

    assert (how, notes) == ("wrapped", ("banner.wrapped:unreadable_text",))
    assert entity in copy
