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


# -- what is left of a banner ----------------------------------------------------------------------------------------

VARIANTS = [
    pytest.param(VALUES, id="first"),
    pytest.param(replace(VALUES, is_first=False), id="later"),
    pytest.param(replace(VALUES, is_unproven=True, forwarded_by="Ben <ben@staff.test>"), id="unproven, forwarded"),
    pytest.param(replace(VALUES, reply_to_cut=True, visible_recipients=True), id="many addressees"),
    pytest.param(replace(VALUES, reason_text="no deal", as_of="2026-11-22 10:31 UTC"), id="with details"),
    pytest.param(replace(VALUES, ticket="", ticket_url="", manual_url=""), id="without ticket"),
    pytest.param(replace(VALUES, has_winmail=True), id="first with winmail.dat"),
    pytest.param(replace(VALUES, has_winmail=True, is_first=False), id="later with winmail.dat"),
    pytest.param(
        replace(VALUES, cc=tuple(f'"Tanaka, {n}" <n{n}@kunde.example>' for n in range(20)), is_first=False),
        id="many people",
    ),
]


def wrapped(lines: list[str], width: int) -> list[str]:
    """As a program wraps what it quotes: at a space where there is one."""
    out = []
    for line in lines:
        rest = line
        while len(rest) > width:
            at = rest.rfind(" ", width // 2, width) + 1 or width
            out.append(rest[:at].rstrip())
            rest = rest[at:]
        out.append(rest)
    return out


@pytest.mark.parametrize("values", VARIANTS)
@pytest.mark.parametrize("language", ["ja", "en", "fr", "pl"])
@pytest.mark.parametrize(
    "gone", [pytest.param(slice(1, None), id="end only"), pytest.param(slice(-1), id="begin only")]
)
@pytest.mark.parametrize("width", [500, 76])
def test_a_banner_without_one_of_its_marker_lines_goes(
    values: BannerValues, language: str, gone: slice, width: int
) -> None:
    """Somebody deleted the other one; every sentence of every shipped template is known by its words."""
    lines = TEMPLATES.render("full", language, values).text.rstrip("\n").split("\n")[gone]
    if lines[0].lstrip().startswith("To:"):  # nothing of ours above: see below
        lines = [line for line in lines if not line.lstrip().startswith(("To:", "Cc:"))]
    text = quote("\n".join(wrapped(lines, width)))
    got, found = cut(mail(f"Yes.\r\n\r\n{text}> Question\r\n"))
    assert body_of(got) == "Yes.\r\n\r\n> Question\r\n"
    assert (found.notes, found.is_left) == (("notice.rest:1",), False)


@pytest.mark.parametrize("mark", ["", "> ", ">> ", "＞"])
@pytest.mark.parametrize("line", [0, -1])
def test_a_lone_marker_line_goes_alone(mark: str, line: int) -> None:
    """What stands next to it is the author's: an empty line, a list of people, a header block, words like ours."""
    alone = quote(banner("ja").text.rstrip("\n").split("\n")[line], mark)
    theirs = quote("Manual: https://kunde.example/manual", mark)  # a line as ours, where ours never stands
    above = f"{ANSWER}\r\n\r\n{quote('Kind regards', mark)}{theirs * (line == 0)}"
    below = f"{theirs * (line == -1)}{mark}\r\n{quote('A reply goes to me.', mark)}"
    below += f"{quote('Ticket: SR-99', mark)}{mark}Question\r\n"
    got, found = cut(mail(above + alone + below))
    assert body_of(got) == above + below
    assert (found.notes, found.is_left) == (("notice.rest:1",), False)


def test_an_answer_inside_the_banner_stays_and_ours_around_it_goes() -> None:
    before, after = plain_reply()
    octets = mail(before.replace("> チケット", "\r\nやってみます。\r\n> チケット"))
    got, found = cut(octets)
    assert body_of(got) == after.replace("> 見積書", "\r\nやってみます。\r\n>\r\n> 見積書")
    assert (found.notes, found.is_left) == (("notice.rest:2",), False)


def test_markers_that_do_not_belong_together_leave_what_stands_between() -> None:
    before, after = plain_reply()
    got, found = cut(
        mail(before.replace("0f3a9c ―――", "111111 ―――").replace("> Manual", "> Our own words\r\n> Manual"))
    )
    assert body_of(got) == after.replace("> 見積書", ">\r\n> 見積書")
    assert (found.notes, found.is_left) == (("notice.rest:2",), False)


UNSURE = [
    pytest.param("Yes. --- support notice SR-12-0f3a9c (delete down to the next) ---", id="words before the marker"),
    pytest.param("--- support notice SR-12-0f3a9c", id="its end is cut"),
    pytest.param("― support 案内 SR-12-0f3a9c ―", id="one dash"),
    pytest.param("--- see SR-12-0f3a9c ---", id="another word in it"),
]


@pytest.mark.parametrize("line", UNSURE)
def test_what_is_not_surely_a_marker_stays_and_is_told(line: str) -> None:
    octets = mail(f"Yes.\r\n{line}\r\n> A plain 'Reply' goes to all.\r\n")
    got, found = cut(octets)
    assert got == octets
    assert (found.notes, found.is_left) == (("notice.kept:unsure",), True)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("> To: Tanaka <tanaka@kunde.example>", id="people, and nothing of ours behind"),
        pytest.param(
            '> "Tanaka, T" <tanaka@kunde.example>,\r\n> a@b.test and 3 more', id="wrapped, and nothing behind"
        ),
        pytest.param(
            "> as I said:\r\n> Move them to Cc or take them out as needed.", id="a sentence that stands apart"
        ),
    ],
)
def test_what_may_be_ours_beside_a_marker_stays_and_is_told(line: str) -> None:
    marker = banner("en").text.split("\n")[0]
    got, found = cut(mail(f"Yes.\r\n> {marker}\r\n{line}\r\n> Question\r\n"))
    assert body_of(got) == f"Yes.\r\n{line}\r\n> Question\r\n"
    assert found.notes == ("notice.rest:1", "notice.kept:unsure")
    assert found.is_left


def html_banner(language: str = "en") -> list[str]:
    return banner(language).html.strip().removesuffix("\n</div>").split("\n")


@pytest.mark.parametrize(("charset", "encoding"), FORMS[:3])
@pytest.mark.parametrize("language", ["ja", "en", "fr", "pl"])
@pytest.mark.parametrize("gone", [1, -1])
def test_a_banner_in_html_without_one_of_its_marker_lines_goes(
    charset: str, encoding: str, language: str, gone: int
) -> None:
    """The program took our attributes, the author one of the lines."""
    lines = html_banner(language)[1:]
    lines.pop(0 if gone == 1 else -1)
    octets = mail(f"<p>Yes</p><div>{''.join(lines)}</div><p>Q</p>", charset=charset, encoding=encoding, kind="html")
    got, found = cut(octets)
    assert body_of(got).replace("<br>", "").replace("<div></div>", "") == "<p>Yes</p><p>Q</p>"
    assert (found.notes, found.is_left) == (("notice.rest:1",), False)


OWN = 'class="supportrelay-banner" id="supportrelay-banner" data-supportrelay="SR-12-0f3a9c" style="margin:0"'
SHELLS = [
    pytest.param(f"<p>Yes</p><div {OWN}></div><p>Q</p>", "<p>Yes</p><p>Q</p>", id="empty"),
    pytest.param(f"<p>Yes</p><div {OWN}><span><br>&nbsp;</span>\n</div>Q", "<p>Yes</p>Q", id="nothing to see in it"),
    pytest.param(f"<div {OWN}><p>Yes</p></div>Q", '<div style="margin:0"><p>Yes</p></div>Q', id="the answer in it"),
    pytest.param(f"<div {OWN}><img src=x></div>Q", '<div style="margin:0"><img src=x></div>Q', id="a picture in it"),
    pytest.param(f"<div {OWN}><p></div></p>Q", '<div style="margin:0"><p></div></p>Q', id="crossed tags"),
    pytest.param(f"<td {OWN}>Q</td>", '<td style="margin:0">Q</td>', id="on another element"),
]


@pytest.mark.parametrize(("before", "after"), SHELLS)
def test_what_names_us_in_a_tag_goes(before: str, after: str) -> None:
    got, found = cut(mail(before, kind="html"))
    assert body_of(got) == after
    assert (found.notes, found.is_left) == (("notice.rest:1",), False)


def test_an_attribute_like_ours_that_is_not_stays() -> None:
    octets = mail('<div data-supportrelay="no mark" id="supportrelay-banner">Yes</div> SR-1-00000a', kind="html")
    assert cut(octets) == (octets, Cut())


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
        pytest.param(f'<div data-supportrelay="{"0" * 6}">' * 2_000 + "</div>" * 2_000, id="shells"),
        pytest.param("SR-1-000000" + "<p><a \"'" * 30_000, id="tags"),
        pytest.param(("<p>" + " " * 4050 + "and" + banner().html) * 20, id="spaces before each banner"),
    ],
)
def test_hard_html_takes_linear_time(text: str) -> None:
    started = time.process_time()
    cut(mail(text, kind="html"))
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["--- support notice SR-1-00000a ---", *["a@b.test"] * 70] * 150, id="people beside each"),
        pytest.param(["--- support notice SR-1-00000a ---", *["Ticket:"] * 10] * 3_000, id="wrapped beside each"),
        pytest.param(
            ["--- support notice SR-1-00000a ---", *["To: " + "x, " * 600 + "a@b.test"] * 8] * 8, id="long lists"
        ),
        pytest.param(["--- support notice SR-1-00000a", "Yes"] * 6_000, id="broken ones"),
    ],
)
def test_hard_text_takes_linear_time(lines: list[str]) -> None:
    started = time.process_time()
    cut(mail("\r\n".join(lines)))
    assert time.process_time() - started < 1.5
