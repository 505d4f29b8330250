"""The stored view of a reply: its author's words, without our banner and the quoted history (RULES 6, taking out)."""

import base64
import time

import pytest

from supportrelay.core.stored_view import stored_view, text_view

MARK = "SR-12-0f3a9c"
BANNER_JA = [
    f"――― support 案内 {MARK}（次の同じ線までは、返信の前に削除してください） ―――",
    "返信されるときは、この案内と、その下に引用される From・To・Cc・件名の部分を消してからお送りください。",
    "このメールは、次の宛先で support@desk.test に届いたものです。",
    "  To: support@desk.test",
    "返信の宛先: 田中 <tanaka@kunde.example>",
    "チケット: SR-12",
    f"――― support 案内 {MARK} ―――",
]
BANNER_EN = [
    f"--- support notice {MARK} (delete down to the next line like this before you answer) ---",
    "A reply goes to: Tanaka <tanaka@kunde.example>",
    f"--- support notice {MARK} ---",
]
QUESTION = ["見積書をお送りください。", "よろしくお願いします。"]
OWN = "かしこまりました。\n明日お送りします。"

HEADS = [
    pytest.param("2020/01/07 9:55、HubSpotReflectle <hubspot@reflectle.jp>のメール:", id="Apple Mail ja"),
    pytest.param("2020年1月7日(火) 9:55 HubSpotReflectle <hubspot@reflectle.jp>:", id="Gmail ja"),
    pytest.param("2020年1月7日(火) 9:55\nHubSpotReflectle <hubspot@reflectle.jp>:", id="Gmail ja wrapped"),
    pytest.param("On Tue, Jan 7, 2020 at 9:55 AM Desk <desk@x.example> wrote:", id="Gmail en"),
    pytest.param(
        "On Tue, Jan 7, 2020 at 9:55 AM HubSpotReflectle <\nhubspot@reflectle.jp> wrote:", id="Gmail en wrapped"
    ),
    pytest.param("Am Di., 7. Jan. 2020 um 09:55 Uhr schrieb Desk <desk@x.example>:", id="Gmail de"),
    pytest.param("Le mar. 7 janv. 2020 à 09:55, Desk <desk@x.example> a écrit :", id="Gmail fr"),
    pytest.param("Le mar. 7 janv. 2020 à 09:55, Desk <desk@x.example> a écrit\u00a0:", id="Gmail fr, hard space"),
    pytest.param("wt., 7 sty 2020 o 09:55 Desk <desk@x.example> napisał(a):", id="Gmail pl"),
    pytest.param("W dniu 7.01.2020 o 09:55, Desk pisze:", id="Thunderbird pl"),
    pytest.param("On 2020/01/07 9:55, Desk wrote:", id="Thunderbird en"),
    pytest.param("2020/01/07 9:55、デスク さんは書きました:", id="Thunderbird ja"),
    pytest.param("Am 07.01.20 um 09:55 schrieb Desk:", id="Thunderbird de"),
    pytest.param("Le 07/01/2020 à 09:55, Desk a écrit :", id="Thunderbird fr"),
    pytest.param("On Tue, 07 Jan 2020 09:55:00 +0900\nDesk <desk@x.example> wrote:", id="Becky!"),
    pytest.param("デスク <desk@x.example> さんは書きました:", id="Becky! ja"),
    pytest.param("2020年1月7日 火曜日, 午前9:55、デスク<desk@x.example>さんのメッセージ:", id="Yahoo! ja"),
    pytest.param("On Jan 7, 2020, at 9:55, Desk <desk@x.example> wrote:", id="iPhone en"),
]
BLOCKS = [
    pytest.param(
        "From: HubSpotReflectle <hubspot@reflectle.jp>\nSent: Tuesday, January 7, 2020 9:55 AM\n"
        "To: support@desk.test\nSubject: Quote",
        id="Outlook en",
    ),
    pytest.param(
        "差出人: HubSpotReflectle <hubspot@reflectle.jp>\n送信日時: 2020年1月7日 9:55\n宛先: support@desk.test\n"
        "件名: 見積",
        id="Outlook ja",
    ),
    pytest.param(
        "差出人： HubSpotReflectle <hubspot@reflectle.jp>\n"
        "日時： 2020年1月7日 9:55\n宛先： support@desk.test\n件名： 見積",
        id="Outlook ja, wide colons",
    ),
    pytest.param(
        "________________________________\n"
        "From: Desk <desk@x.example>\nSent: Tuesday\nTo: support@desk.test\nSubject: Q",
        id="Outlook with its line",
    ),
    pytest.param(
        "-----Original Message-----\nFrom: Desk <desk@x.example>\nSent: Tuesday\nTo: a@b.test\nSubject: Q",
        id="Original Message",
    ),
    pytest.param("-----元のメッセージ-----\nFrom: Desk <desk@x.example>\nTo: a@b.test\nSubject: Q", id="phone ja"),
    pytest.param("＜以下引用＞", id="ika inyou"),
    pytest.param(
        "Von: Desk <desk@x.example>\nGesendet: Dienstag\nAn: support@desk.test\nBetreff: Angebot", id="Outlook de"
    ),
    pytest.param("De : Desk <desk@x.example>\nEnvoyé : mardi\nÀ : support@desk.test\nObjet : Devis", id="Outlook fr"),
    pytest.param("Od: Desk <desk@x.example>\nWysłano: wtorek\nDo: support@desk.test\nTemat: Oferta", id="Outlook pl"),
]


def quoted(lines: list[str], mark: str = "> ") -> str:
    return "\n".join(mark + line for line in lines)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("banner", [pytest.param(BANNER_JA, id="banner ja"), pytest.param([], id="no banner")])
def test_an_attribution_and_what_it_quotes_are_left_out(head: str, banner: list[str]) -> None:
    assert text_view(f"{OWN}\n\n{head}\n\n{quoted([*banner, '', *QUESTION])}\n") == OWN


@pytest.mark.parametrize("head", BLOCKS)
def test_a_header_block_takes_all_below_it(head: str) -> None:
    text = "\n".join([OWN, "", head, "", *BANNER_JA, "", *QUESTION])
    assert text_view(text) == OWN


@pytest.mark.parametrize("head", HEADS[:5])
def test_an_attribution_that_marks_no_lines_takes_all_below_it(head: str) -> None:
    assert text_view("\n".join([OWN, "", head, "", *QUESTION])) == OWN


# -- inline answers, and whatever is not sure ------------------------------------------------------------------------

KEPT = [
    pytest.param(
        "On Tue, Jan 7, 2020 at 9:55 AM Desk <desk@x.example> wrote:\n> When?\nTomorrow.\n> How many?\nTwo.",
        id="answers between quoted lines",
    ),
    pytest.param("> 納期はいつですか。\n来週です。\n> 数量は。\n10個です。", id="answers without a head"),
    pytest.param("> 納期はいつですか。\n\n来週です。", id="quoted first, then answered"),
    pytest.param("Our director wrote:\n\nWe shall go on as before.", id="wrote, without anything a program says"),
    pytest.param("On 3 May our director wrote:\n\nWe shall go on as before.", id="wrote on a day"),
    pytest.param("件名: 見積\n金額: 1000円\n数量: 3", id="a list with colons"),
    pytest.param("From: Berlin\nBy train, please.", id="one line like a header field"),
    pytest.param(
        "My answers are in red in your mail.\n\nFrom: D <d@x.example>\nSent: Tue\nTo: a@b.test\nSubject: Q\n\n"
        "When? Tomorrow.",
        id="answers inside an unmarked quotation",
    ),
    pytest.param(
        "ご参考まで。\n\n---------- Forwarded message ---------\nFrom: A <a@b.example>\nSubject: Q\n\n本文",
        id="forward",
    ),
    pytest.param(
        "On Tue, Jan 7, 2020 at 9:55 AM Desk <desk@x.example> wrote:\nNo marks here\n> but older ones", id="unsure"
    ),
    pytest.param("A > B holds.\n5 > 3 too.", id="greater than"),
]


@pytest.mark.parametrize("text", KEPT)
def test_nothing_is_left_out_when_it_is_not_sure(text: str) -> None:
    assert text_view(text) == text


def test_an_answer_below_the_quotation_stays() -> None:
    text = f"On Tue, Jan 7, 2020 at 9:55 AM D <d@x.example> wrote:\n{quoted(QUESTION)}\n\n{OWN}\n"
    assert text_view(text) == OWN


def test_a_forward_keeps_all_but_our_banner() -> None:
    text = "\n".join(
        ["見てください", "", "From: D <d@x.example>", "Sent: x", "To: y@z.test", "", *BANNER_EN, "", "本文"]
    )
    assert text_view(text, is_forward=True) == "見てください\n\nFrom: D <d@x.example>\nSent: x\nTo: y@z.test\n\n本文"


def test_only_a_quotation_is_shown_whole() -> None:
    text = f"On Tue, Jan 7, 2020 at 9:55 AM D <d@x.example> wrote:\n{quoted(QUESTION)}"
    assert text_view(text) == text


def test_less_than_two_percent_is_shown_whole() -> None:
    text = f"OK\n\nOn Tue, Jan 7, 2020 at 9:55 AM D <d@x.example> wrote:\n{quoted(['word ' * 20] * 20)}"
    assert text_view(text) == text.strip()


# -- the banner, quoted ----------------------------------------------------------------------------------------------


def inline_with(banner: str) -> str:
    return f"Yes.\n> When?\nTomorrow.\n{banner}\n> How many?\nTwo."


@pytest.mark.parametrize("prefix", ["> ", ">", ">> ", "> > > ", ">>> ", "＞ ", "&gt; ", "&gt; &gt; ", "| ", ""])
@pytest.mark.parametrize("banner", [pytest.param(BANNER_JA, id="ja"), pytest.param(BANNER_EN, id="en")])
def test_the_banner_goes_at_any_depth(prefix: str, banner: list[str]) -> None:
    text = inline_with(quoted([*banner, ""], prefix))
    assert text_view(text) == inline_with("").replace("\n\n", "\n")


WRAPPED = [
    pytest.param(
        f"> ――― support 案内 {MARK}（次の同じ線までは、\n> 返信の前に削除してください） ―――\n> 本文\n"
        f"> ――― support 案内\n> {MARK} ―――",
        id="between words",
    ),
    pytest.param(
        f">> --- support notice {MARK} (delete down to the next\n>> line like this before you\n>> answer) ---\n>> x\n"
        ">> --- support notice SR-12-\n>> 0f3a9c ---",
        id="inside the mark",
    ),
    pytest.param(f"> --- Hinweis {MARK} (vor der Antwort löschen) ---\n> x\n> --- Hinweis {MARK} ---", id="translated"),
    pytest.param("> --- support notice 0f3a9c (delete) ---\n> x\n> --- support notice 0f3a9c ---", id="no ticket"),
    pytest.param(f"> — support notice {MARK} —\n> x\n> — support notice {MARK} —".replace("—", "——"), id="em dashes"),
]


@pytest.mark.parametrize("banner", WRAPPED)
def test_a_banner_that_was_wrapped_or_translated_goes(banner: str) -> None:
    assert text_view(inline_with(banner)) == inline_with("").replace("\n\n", "\n")


def test_three_banners_of_three_mails_go() -> None:
    inner = [line.replace("0f3a9c", "11aa22") for line in BANNER_EN]
    inmost = [line.replace("0f3a9c", "33bb44") for line in BANNER_JA]
    banners = f"{quoted(BANNER_JA)}\n> Hello\n{quoted(inner, '>> ')}\n>> Hi\n{quoted(inmost, '>>> ')}\n>>> Hey"
    assert text_view(inline_with(banners)) == inline_with("> Hello\n>> Hi\n>>> Hey")


LEFT = [
    pytest.param(BANNER_EN[0], id="no end"),
    pytest.param(BANNER_EN[-1], id="no beginning"),
    pytest.param(f"{BANNER_EN[0]}\nx\n{BANNER_EN[-1].replace('0f3a9c', '111111')}", id="two marks"),
    pytest.param("\n".join([BANNER_EN[0], *["x"] * 200, BANNER_EN[-1]]), id="too far apart"),
    pytest.param("--- Version 0f3a9c ---\nx\n--- Version 0f3a9c ---", id="no word of ours"),
]


@pytest.mark.parametrize("banner", LEFT)
def test_what_is_no_whole_banner_stays(banner: str) -> None:
    assert text_view(inline_with(banner)) == inline_with(banner)


# -- HTML ------------------------------------------------------------------------------------------------------------


def html_mail(html: str, subject: str = "Re: Q") -> bytes:
    return f"Subject: {subject}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}".encode()


BANNER_HTML = '<div class="supportrelay-banner">' + "<br>".join(BANNER_JA).replace("<t", "&lt;t") + "</div>"
HTML = [
    pytest.param(
        '<div dir="ltr">Yes<div>tomorrow</div></div><br><div class="gmail_quote"><div class="gmail_attr">On Tue, '
        'Jan 7, 2020 at 9:55 AM D &lt;<a href="mailto:d@x.example">d@x.example</a>&gt; wrote:<br></div><blockquote '
        f'class="gmail_quote">{BANNER_HTML}When?</blockquote></div>',
        id="Gmail",
    ),
    pytest.param(
        f'<p>Yes</p><p>tomorrow</p><div class="moz-cite-prefix">Am 07.01.20 um 09:55 schrieb D:<br></div><blockquote '
        f'type="cite" cite="mid:x">{BANNER_HTML}<pre>When?\nWhere?</pre></blockquote>',
        id="Thunderbird",
    ),
    pytest.param(
        '<p class="MsoNormal">Yes</p><p class=MsoNormal>tomorrow</p><div><div style="border-top:solid 1.0pt"><p '
        "class=MsoNormal><b>差出人:</b> D &lt;d@x.example&gt;<br><b>送信日時:</b> 2020年1月7日<br><b>宛先:</b> s@d.test"
        f"<br><b>件名:</b> Q</p></div></div>{BANNER_HTML}<p class=MsoNormal>When?</p>",
        id="Outlook",
    ),
    pytest.param(
        '<div>Yes</div><div>tomorrow</div><div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><font>'
        "<b>From:</b> D<br><b>Sent:</b> Tue<br><b>To:</b> x@y.test<br><b>Subject:</b> Q</font></div><div>When?</div>",
        id="Outlook on the web",
    ),
    pytest.param(
        '<div>Yes</div><div>tomorrow</div><div id="divRplyFwdMsg">Αποστολέας: D<br>Εστάλη: Tue</div><div>When?</div>',
        id="Outlook in another language",
    ),
    pytest.param(
        '<div>Yes<br>tomorrow</div><div class="yahoo_quoted"><div>Κάποιος έγραψε:</div><div>When?</div></div>',
        id="Yahoo! in another language",
    ),
    pytest.param(
        'Yes<br>tomorrow<div><br><blockquote type="cite"><div>2020/01/07 9:55、D &lt;d@x.example&gt;のメール:</div><br>'
        "<div>When?</div></blockquote></div>",
        id="Apple Mail",
    ),
    pytest.param(
        '<div>Yes</div><div>tomorrow</div><div class="protonmail_quote">On Tuesday, Jan 7th, 2020 at 9:55, D '
        '&lt;d@x.example&gt; wrote:<br><blockquote class="protonmail_quote">When?</blockquote></div>',
        id="Proton",
    ),
]


@pytest.mark.parametrize("html", HTML)
def test_html_loses_its_quotation(html: str) -> None:
    assert stored_view(html_mail(html)) == "Yes\ntomorrow"


def test_html_answers_between_quotations_stay() -> None:
    html = (
        '<div class="gmail_quote"><div class="gmail_attr">On Tue, Jan 7, 2020 at 9:55 AM D &lt;d@x.example&gt; wrote:'
        f'</div><blockquote class="gmail_quote">{BANNER_HTML}When?</blockquote><div>Tomorrow.</div>'
        '<blockquote class="gmail_quote">How many?</blockquote><div>Two.</div></div>'
    )
    view = stored_view(html_mail(html))
    assert view.endswith("wrote:\n> When?\nTomorrow.\n> How many?\nTwo.")
    assert "support 案内" not in view


def test_an_html_forward_is_shown_whole() -> None:
    html = '<p>FYI</p><div id="divRplyFwdMsg"><b>From:</b> D<br><b>Sent:</b> x<br><b>To:</b> y</div><p>When?</p>'
    assert stored_view(html_mail(html, "Fwd: Q")).endswith("When?")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"Content-Type: multipart/mixed\r\n\r\nno boundary", id="broken"),
        pytest.param(b"Content-Type: application/pdf\r\n\r\n%PDF", id="no text"),
        pytest.param(html_mail("<" * 5000 + "<head>" * 5000 + "<!--" * 5000), id="broken HTML"),
    ],
)
def test_any_mail_has_a_view(octets: bytes) -> None:
    assert isinstance(stored_view(octets), str)


HARD = [
    pytest.param("> " * 100_000, id="marks"),
    pytest.param("--- support " * 20_000, id="dashes"),
    pytest.param(f"{BANNER_EN[0]}\n" * 2_500, id="openings"),
    pytest.param("From: a@b.test\n\n" * 12_000, id="heads"),
    pytest.param("On 2020 x\n" * 20_000, id="dates"),
    pytest.param("-" * 250_000, id="one line of dashes"),
]
HARD_HTML = [
    pytest.param("<head>" * 40_000, id="heads"),
    pytest.param('<a "' * 60_000, id="open quotes"),
    pytest.param("<blockquote type=cite>" * 11_000, id="quotations"),
    pytest.param('<div data-supportrelay="SR-1-000000">' * 6_000, id="banners"),
    pytest.param("<pre>\n" * 40_000, id="lines"),
]


@pytest.mark.parametrize("text", HARD)
def test_hard_text_takes_linear_time(text: str) -> None:
    started = time.process_time()
    text_view(text)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize("html", HARD_HTML)
def test_hard_html_takes_linear_time(html: str) -> None:
    started = time.process_time()
    stored_view(html_mail(html))
    assert time.process_time() - started < 1.5


UNLABELLED = [
    pytest.param('<meta charset="windows-1251">', "", "cp1251", "Добрый день", id="windows-1251"),
    pytest.param(
        "<META HTTP-EQUIV=Content-Type CONTENT='text/html; charset=koi8-r'>", "", "koi8-r", "Привет", id="koi8-r"
    ),
    pytest.param('<meta http-equiv="x"><meta charset=gb18030>', "; charset=us-ascii", "gb18030", "您好", id="us-ascii"),
    pytest.param(
        '<meta charset="big5">', "; charset=windows-1251", "cp1251", "Добрый день", id="the header's comes first"
    ),
    pytest.param('<meta charset="utf-7">', "", "ascii", "+AGE-bc", id="utf-7 is not interpreted"),
    pytest.param('<meta charset="utf-16">', "", "utf-8", "見積", id="utf-16 it cannot be"),
    pytest.param('<meta charset="x-unknown">', "", "utf-8", "見積", id="an unknown one"),
]


@pytest.mark.parametrize(("meta", "parameter", "codec", "words"), UNLABELLED)
@pytest.mark.parametrize("encoding", ["8bit", "base64"])
def test_html_without_a_label_is_read_in_the_charset_that_it_names(
    meta: str, parameter: str, codec: str, words: str, encoding: str
) -> None:
    html = f"<html><head>{meta}</head><body><p>{words}</p></body></html>".encode(codec)
    head = f"Content-Type: text/html{parameter}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    assert stored_view(head + (base64.encodebytes(html) if encoding == "base64" else html)) == words


def test_an_endless_meta_takes_linear_time() -> None:
    octets = b"Content-Type: text/html\r\n\r\n" + b"<meta " * 200_000
    started = time.process_time()
    stored_view(octets)
    assert time.process_time() - started < 1.5
