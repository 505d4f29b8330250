"""Our banner cut out of mail to customers: only its range differs, in any transfer encoding and charset (DESIGN 3)."""

import base64
import quopri
import time
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from supportrelay.core.banner import Banner, BannerValues
from supportrelay.core.banner_cut import Cut, cut_notices, holds_notice
from supportrelay.core.splice import splice
from supportrelay.edge.templates import BannerTemplates

SENDER = "relay@desk.test"
TEMPLATES = BannerTemplates(Path(__file__).parents[2] / "config" / "banner")
VALUES = BannerValues(
    support="support@desk.test",
    ticket="SR-12",
    ticket_url="https://desk.test/t/SR-12",
    marker="0f3a9c",
    to=("support@desk.test",),
    cc=("tanaka@kunde.example", "suzuki@kunde.example"),
    author="田中 <tanaka@kunde.example>",
    reply_to=("田中 <tanaka@kunde.example>", "support@desk.test"),
    manual_url="https://desk.test/manual",
    reason_code="O",
)
ANSWER = "かしこまりました。明日お送りします。"
QUESTION = "見積書をお送りください。\r\nよろしくお願いします。"


def banner(language: str = "ja", *, is_first: bool = True) -> Banner:
    return TEMPLATES.render("full", language, replace(VALUES, is_first=is_first))


def quote(text: str, mark: str = "> ") -> str:
    return "".join(f"{mark}{line}\r\n" for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"))


def plain_reply(language: str = "ja", mark: str = "> ") -> tuple[str, str]:
    """``(with the banner, without)``: an answer with our copy quoted below."""
    head = f"{ANSWER}\r\n\r\n2020/01/07 9:55、Support <{SENDER}>のメール:\r\n\r\n"
    notice = quote(banner(language).text + "\n", mark) + f"{mark.rstrip()}\r\n"
    return head + notice + quote(QUESTION, mark), head + quote(QUESTION, mark)


def mail(text: str, *, charset: str = "utf-8", encoding: str = "8bit", kind: str = "plain") -> bytes:
    octets = text.encode(charset)
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    head = (
        "From: Zoe <zoe@staff.test>\r\nTo: tanaka@kunde.example\r\nSubject: Re: Q\r\nX-Odd:   two  spaces\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/{kind}; charset={charset}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + octets


def cut(octets: bytes, senders: tuple[str, ...] = (SENDER,)) -> tuple[bytes, Cut]:
    found = cut_notices(octets, senders)
    return splice(octets, found.edits), found


def body_of(octets: bytes) -> str:
    """Decoded by a reader that is not ours."""
    message = message_from_bytes(octets, policy=policy.compat32)
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(message.get_content_charset("utf-8"))


def header_of(octets: bytes) -> bytes:
    return octets.partition(b"\r\n\r\n")[0]


# -- text/plain ------------------------------------------------------------------------------------------------------

FORMS = [
    pytest.param("utf-8", "8bit", id="utf-8 8bit"),
    pytest.param("utf-8", "base64", id="utf-8 base64"),
    pytest.param("utf-8", "quoted-printable", id="utf-8 quoted-printable"),
    pytest.param("iso-2022-jp", "7bit", id="iso-2022-jp 7bit"),
    pytest.param("iso-2022-jp", "base64", id="iso-2022-jp base64"),
    pytest.param("iso-2022-jp", "quoted-printable", id="iso-2022-jp quoted-printable"),
    pytest.param("shift_jis", "8bit", id="shift_jis 8bit"),
    pytest.param("shift_jis", "base64", id="shift_jis base64"),
    pytest.param("euc-jp", "quoted-printable", id="euc-jp quoted-printable"),
]


@pytest.mark.parametrize(("charset", "encoding"), FORMS)
@pytest.mark.parametrize("mark", ["> ", ">> ", "> > > ", ""])
def test_only_the_banner_goes_from_a_plain_text(charset: str, encoding: str, mark: str) -> None:
    before, after = plain_reply(mark=mark)
    octets = mail(before, charset=charset, encoding=encoding)
    got, found = cut(octets)
    assert header_of(got) == header_of(octets)
    assert body_of(got) == after
    assert (found.notes, found.is_left) == (("notice.cut:1",), False)


@pytest.mark.parametrize("language", ["ja", "en", "fr", "pl"])
@pytest.mark.parametrize("is_first", [True, False])
def test_every_banner_that_ships_is_known_again(language: str, is_first: bool) -> None:
    notice = quote(banner(language, is_first=is_first).text + "\n")
    got, _ = cut(mail(f"Yes.\r\n{notice}> Question\r\n"))
    assert body_of(got) == "Yes.\r\n> Question\r\n"


def test_what_is_not_the_banner_stays_octet_for_octet() -> None:
    """In an encoding that somebody else chose: long lines, needless escapes, a soft break at the end."""
    before = b"caf=C3=A9 =3D needlessly =41=\r\n" + b"x" * 70 + b"=\r\n end\r\n"
    notice = quopri.encodestring(quote(banner("ja").text).replace("\r\n", "\n").encode()).replace(b"\n", b"\r\n")
    after = b"> =\r\nquoted =E3=81=82=\r\n\r\n> tail =20\r\n"
    head = header_of(mail("", encoding="quoted-printable")) + b"\r\n\r\n"
    got, _ = cut(head + before + notice + after)
    assert got == head + before + after


def test_the_header_block_of_our_copy_goes_with_the_banner() -> None:
    block = f"From: Tanaka via Support <{SENDER}>\r\nSent: Tuesday\r\nTo: support@desk.test\r\nSubject: Q\r\n\r\n"
    text = f"{ANSWER}\r\n\r\n{{}}{QUESTION}\r\n"
    got, _ = cut(mail(text.format(block + banner().text.replace("\n", "\r\n") + "\r\n")))
    assert body_of(got) == text.format("")


def test_the_header_block_of_another_mail_stays() -> None:
    block = "From: Tanaka <tanaka@kunde.example>\r\nSent: Tuesday\r\nTo: support@desk.test\r\nSubject: Q\r\n\r\n"
    text = f"{ANSWER}\r\n\r\n{block}{{}}{QUESTION}\r\n"
    got, _ = cut(mail(text.format(banner().text.replace("\n", "\r\n") + "\r\n")))
    assert body_of(got) == text.format("")


def test_a_wrapped_and_quoted_banner_goes() -> None:
    lines = banner("ja").text.rstrip("\n").split("\n")
    wrapped = [piece for line in lines for piece in (line[:30], line[30:]) if piece]
    got, _ = cut(mail(f"Yes.\r\n{quote(chr(10).join(wrapped), '>> ')}>> Question\r\n"))
    assert body_of(got) == "Yes.\r\n>> Question\r\n"


# -- text/html -------------------------------------------------------------------------------------------------------


def outlook(html: str) -> str:
    """Our <div> as Outlook leaves it: paragraphs, and nothing that names it."""
    lines = html.split(">", 1)[1].rsplit("</div>", 1)[0].replace("\n", "").split("<br>")
    inner = "".join(
        f'<p class=MsoNormal><span lang=JA style="color:#333">{line}<o:p></o:p></span></p>' for line in lines
    )
    return f'<div style="border:solid #C9CED6 1.0pt;padding:6.0pt">{inner}</div>'


HTML = [
    pytest.param("<p>Yes</p><blockquote type=cite>", "{}", "<p>Question</p></blockquote>", id="as it was"),
    pytest.param(
        '<div dir="ltr">Yes</div><div class="gmail_quote"><blockquote class="gmail_quote"><div class="msg-1">',
        "{}",
        "<p>見積</p></div></blockquote></div>",
        id="Gmail",
    ),
    pytest.param("<html><body><p>Yes</p><div>", "OUTLOOK", "<p>Question</p></div></body></html>", id="Outlook"),
    pytest.param("<p>Yes &#23550; &nbsp;</p><table><tr><td>", "{}", "Question</td></tr></table>", id="in a table"),
]


@pytest.mark.parametrize(("head", "form", "tail"), HTML)
@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(("charset", "encoding"), FORMS)
def test_only_the_banner_goes_from_html(
    head: str, form: str, tail: str, language: str, charset: str, encoding: str
) -> None:
    html = banner(language).html.rstrip("\n")
    html = outlook(html) if form == "OUTLOOK" else html
    octets = mail(f"{head}{html}{tail}\r\n", charset=charset, encoding=encoding, kind="html")
    got, found = cut(octets)
    assert header_of(got) == header_of(octets)
    assert body_of(got) == f"{head}{tail}\r\n"
    assert (found.notes, found.is_left) == (("notice.cut:1",), False)


def test_a_banner_across_elements_loses_its_words_and_leaves_the_tags() -> None:
    lines = banner("en").text.rstrip("\n").split("\n")
    middle = "<br>".join(line.replace("<", "&lt;") for line in lines[1:-1])
    html = f"<div>Yes</div><div>before<br>{lines[0]}</div><div><b>{middle}</b></div><div>{lines[-1]}<br>Question</div>"
    got, found = cut(mail(html, kind="html"))
    assert body_of(got) == "<div>Yes</div><div>before<br></div><div><b></b></div><div><br>Question</div>"
    assert not found.is_left


def test_no_tag_of_the_author_loses_its_partner() -> None:
    first, *middle, last = banner("en").text.rstrip("\n").replace("<", "&lt;").split("\n")
    html = f"<div><p>Yes</p>{first}<br>{'<br>'.join(middle)}</div><div>{last}</div><p>Question</p>"
    got, _ = cut(mail(html, kind="html"))
    assert body_of(got) == "<div><p>Yes</p></div><div></div><p>Question</p>"


def test_outlooks_header_block_goes_too() -> None:
    block = (
        "<div><div><p class=MsoNormal><b>差出人:</b> Tanaka via Support &lt;relay@desk.test&gt;<br>"
        "<b>送信日時:</b> 2020年<br><b>宛先:</b> support@desk.test<br><b>件名:</b> Q</p></div></div>"
    )
    got, _ = cut(mail(f"<p>Yes</p>{block}{banner().html}<p>Question</p>", kind="html"))
    assert body_of(got) == "<p>Yes</p>\n<p>Question</p>"


# -- whole mails -----------------------------------------------------------------------------------------------------


def whole_mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "zoe@staff.test", "tanaka@kunde.example", "Re: 見積"
    message.set_content(plain_reply()[0].replace("\r\n", "\n"))
    message.add_alternative(f"<p>はい</p>{banner().html}<p>見積</p>", subtype="html")
    message.add_attachment(bytes(range(256)) * 20, maintype="application", subtype="pdf", filename="見積.pdf")
    message.add_attachment(banner().text, filename="notes.txt")
    return message


def leaves(octets: bytes) -> list[Message]:
    return [part for part in message_from_bytes(octets, policy=policy.compat32).walk() if not part.is_multipart()]


def content_of(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def test_both_forms_of_a_text_lose_it_and_every_attachment_stays() -> None:
    octets = whole_mail().as_bytes(policy=policy.SMTP)
    got, found = cut(octets)
    before, after = leaves(octets), leaves(got)
    assert found.notes == ("notice.cut:2",)
    assert [part.items() for part in before] == [part.items() for part in after]
    assert [part.get_payload() for part in before[2:]] == [part.get_payload() for part in after[2:]]
    assert not any(b"SR-12" in content_of(part) for part in after[:2])


def inside(container: str, inner: bytes) -> bytes:
    return (
        f'From: zoe@staff.test\r\nSubject: x\r\nContent-Type: {container}; boundary="b"\r\n\r\n--b\r\n'.encode()
        + inner
        + b"\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
    )


KEPT = [
    pytest.param(inside("multipart/signed", mail(plain_reply()[0])), "signed", id="signed"),
    pytest.param(mail("-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\n" + plain_reply()[0]), "signed", id="inline PGP"),
    pytest.param(mail(plain_reply()[0].replace("0f3a9c ―――", "111111 ―――")), "unsure", id="half a banner"),
    pytest.param(
        mail(plain_reply()[0].replace("> チケット", "\r\nやってみます。\r\n> チケット")),
        "unsure",
        id="an answer in the banner",
    ),
    pytest.param(
        mail(plain_reply()[0]).replace(b"Encoding: 8bit", b"Encoding: x-uuencode"), "unreadable", id="unknown encoding"
    ),
    pytest.param(mail(plain_reply()[0] + "x" * 300_000), "large", id="a book"),
    pytest.param(mail(plain_reply()[0], charset="utf-16", encoding="base64"), "unreadable", id="utf-16"),
]


@pytest.mark.parametrize(("octets", "why"), KEPT)
def test_what_cannot_be_cut_safely_stays_and_is_told(octets: bytes, why: str) -> None:
    got, found = cut(octets)
    assert got == octets
    assert found.is_left
    assert found.notes == (f"notice.kept:{why}",)
    assert holds_notice(octets)


def test_an_attached_copy_stays_as_it_is_and_is_told() -> None:
    copy = mail("".join(f"{line}\r\n" for line in banner("en").text.splitlines()) + "\r\nThe question.\r\n")
    octets = mail(f"--b\r\n\r\nsee below\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{copy.decode()}\r\n--b--\r\n")
    octets = octets.replace(b"Content-Type: text/plain", b"Content-Type: multipart/mixed; boundary=b", 1)

    assert cut_notices(octets, (SENDER,)) == Cut((), ("notice.kept:attached",), is_left=True)
    assert cut_notices(octets.replace(b"\xe2", b"x").replace(b"SR-", b"XX-"), (SENDER,)) == Cut()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(mail("Hello\r\n--- Version 0f3a9c ---\r\nSR-12\r\n"), id="no banner"),
        pytest.param(mail("SR-12-0f3a9c is our ticket\r\n"), id="a mark in a sentence"),
        pytest.param(b"Content-Type: multipart/mixed\r\n\r\nx", id="broken"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_mail_without_a_banner_stays(octets: bytes) -> None:
    assert cut_notices(octets, (SENDER,)) == Cut()
    assert not holds_notice(octets)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(banner().html * 150, id="many banners"),
        pytest.param("<!--" * 50_000 + "SR-1-000000", id="comments"),
        pytest.param(f"{banner('en').text.splitlines()[0]}<br>" * 2_000, id="openings"),
        pytest.param("SR-1-000000" + "<p><a \"'" * 30_000, id="tags"),
        pytest.param(("<p>" + " " * 4050 + "and" + banner().html) * 20, id="spaces before each banner"),
    ],
)
def test_hard_html_takes_linear_time(text: str) -> None:
    started = time.process_time()
    cut(mail(text, kind="html"))
    assert time.process_time() - started < 1.5
