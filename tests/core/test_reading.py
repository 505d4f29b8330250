"""Facts: what a message says about itself."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.date_field import parse_date
from supportrelay.core.html_text import html_to_text
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.mime import MimeError, part_text, read_parts, walk
from supportrelay.core.quoted import forwarded_author, own_words
from supportrelay.core.reading import read_facts

_CORPUS = Path(__file__).parents[3] / "shared" / "mails"


def _mail(header: str, body: str = "Hello\n", charset: str = "utf-8") -> bytes:
    return "\r\n".join(header.strip().split("\n")).encode() + b"\r\n\r\n" + body.replace("\n", "\r\n").encode(charset)


def test_the_header_is_read() -> None:
    facts = read_facts(
        _mail(
            """
Received: from a
Received: from b
From: =?utf-8?B?55Sw5Lit?= <Taro@Customer.test>
Sender: s@customer.test
Reply-To: r@customer.test
To: Support <support@ours.test>, x@y.test
Cc: c@y.test
Date: Tue, 7 Jan 2020 09:55:00 +0900
Message-ID: <a.b@customer.test>
In-Reply-To: Your mail <p@ours.test>
References: <o@ours.test>
 <p@ours.test>
Thread-Index: AdXFAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBk=
X-Original-Sender: orig@customer.test
Subject: Fwd: =?utf-8?Q?=E8=A6=8B?=
"""
        )
    )

    assert facts.message_id == "<a.b@customer.test>"
    assert facts.date == datetime(2020, 1, 7, 0, 55, tzinfo=UTC)
    assert facts.date_text == "Tue, 7 Jan 2020 09:55:00 +0900"
    assert facts.from_ == (Mailbox("Taro", "customer.test", "田中"),)
    assert facts.from_fields == 1
    assert facts.sender == Mailbox("s", "customer.test")
    assert facts.reply_to == (Mailbox("r", "customer.test"),)
    assert [m.key for m in facts.to] == ["support@ours.test", "x@y.test"]
    assert [m.key for m in facts.cc] == ["c@y.test"]
    assert facts.original_from == Mailbox("orig", "customer.test")
    assert facts.subject == "Fwd: 見"
    assert facts.is_forward_subject
    assert facts.in_reply_to == ("<p@ours.test>",)
    assert facts.references == ("<o@ours.test>", "<p@ours.test>")
    assert len(facts.thread_index) == 22
    assert facts.received_count == 2
    assert facts.first("from") == "田中 <Taro@Customer.test>"
    assert facts.body_text == "Hello\n"
    assert facts.own_text == "Hello"
    assert facts.content_key == ""
    assert facts.problems == ()


def test_two_from_fields_are_counted() -> None:
    """C38."""
    facts = read_facts(b"From: a@x.test\r\nFrom: b@x.test\r\n\r\n")

    assert facts.from_fields == 2
    assert [m.key for m in facts.from_] == ["a@x.test", "b@x.test"]


@pytest.mark.parametrize(
    ("field", "message_id"),
    [
        pytest.param("Message-ID: <[x]>", "<[x]>", id="C36 literal"),
        pytest.param("Message-ID: a@b.test", "<a@b.test>", id="no brackets"),
        pytest.param("Message-ID: <>", "", id="empty"),
        pytest.param("Message-ID: nonsense", "", id="no id"),
        pytest.param("Message-ID: <" + "x" * 1200 + "@a>", "", id="over 998"),
        pytest.param("X: y", "", id="absent"),
    ],
)
def test_unusable_message_ids_are_none(field: str, message_id: str) -> None:
    facts = read_facts(f"{field}\r\nDate: Mon, 2 Mar 2026 10:00:00 +0900\r\n\r\nbody".encode())

    assert facts.message_id == message_id
    assert bool(facts.content_key) is not bool(message_id)


def test_the_content_key_survives_redelivery_and_tells_contents_apart() -> None:
    key = read_facts(b"Received: a\r\nFrom: a@x.test\r\n\r\nbody\r\n").content_key

    assert key == read_facts(b"Received: b\nReceived: c\nFrom: a@x.test\n\nbody\n\n").content_key
    assert key != read_facts(b"From: a@x.test\r\n\r\nother\r\n").content_key


_MIXED = """From: a@x.test
Message-ID: <1@x.test>
Content-Type: multipart/mixed; boundary=b"""


def _mixed(*parts: str) -> bytes:
    return _mail(_MIXED, "".join(f"--b\n{part}\n" for part in parts) + "--b--\n")


def test_body_and_attachments_are_told_apart() -> None:
    facts = read_facts(
        _mixed(
            "Content-Type: text/plain; charset=utf-8\n\n本文",
            "Content-Type: text/plain; name=notes.txt\nContent-Disposition: attachment\n\nnotes",
            'Content-Type: application/pdf; name="=?utf-8?B?6KaL56mN?=.pdf"\nContent-Transfer-Encoding: base64\n\nAAAA',
            "Content-Type: image/png\n\nx",
        )
    )

    assert facts.body_text == "本文"
    assert facts.attachments == ("notes.txt", "見積.pdf", "")
    assert facts.content_type == "multipart/mixed"
    assert facts.content_parameters == {"boundary": "b"}


@pytest.mark.parametrize(
    ("part", "is_one"),
    [
        pytest.param("Content-Type: application/ms-tnef", True, id="its type"),
        pytest.param("Content-Type: application/octet-stream; name=WINMAIL.DAT", True, id="its name"),
        pytest.param("Content-Type: application/octet-stream; name=winmail.dat.pdf", False, id="another name"),
    ],
)
def test_winmail_dat_is_known_by_type_or_name(part: str, is_one: bool) -> None:
    text = "Content-Type: text/plain\n\nwinmail.dat"
    assert read_facts(_mixed(text, f"{part}\n\nx")).has_winmail == is_one


def test_an_html_body_is_reduced_to_text() -> None:
    facts = read_facts(
        _mail(
            "Content-Type: text/html; charset=utf-8\nMessage-ID: <1@x>",
            "<html><head><style>p {}</style><title>t</title></head><body><p>Hello&nbsp;&lt;b&gt; &amp;lt; &#26085;</p>"
            '<!-- x --><script>alert("<p>")</script>a < b<br>2<div class="gmail_quote">On x wrote:<blockquote>old'
            "</blockquote></div>below</body></html>",
        )
    )

    assert facts.body_text.startswith("Hello <b> &lt; 日\na < b\n2")
    assert facts.own_text == "Hello <b> &lt; 日\na < b\n2\nbelow"
    assert "old" in facts.body_text


def test_an_iso_2022_jp_body_is_read() -> None:
    octets = _mail("Content-Type: text/plain; charset=ISO-2022-JP\nMessage-ID: <1@x>", "日本\n", "iso2022_jp")

    assert read_facts(octets).body_text == "日本\n"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        pytest.param("Yes.\n\nOn Mon, 6 Jan 2020 at 9:00, A <a@x.test> wrote:\n> old\n", "Yes.", id="gmail"),
        pytest.param("Yes.\n\nOn Mon, 6 Jan 2020 at 9:00, Long Name\n<a@x.test> wrote:\n> old\n", "Yes.", id="wrapped"),
        pytest.param("On Mon, 6 Jan 2020, A wrote:\n> old\n\nbelow\n> old\ninline", "below\ninline", id="answer below"),
        pytest.param("はい。\n2020年1月7日(火) 9:55 田中 <a@x.test>:\n> 前", "はい。", id="gmail ja"),
        pytest.param("はい。\n2020/01/07 9:55、HubSpotReflectle <h@x.test>のメール:\n前の文", "はい。", id="apple ja"),
        pytest.param("はい。\n(2020/01/07 9:55), 田中 wrote:\n> 前", "はい。", id="thunderbird ja"),
        pytest.param(
            "はい。\n\n差出人: 田中 <a@x.test>\n送信日時: 2020年1月7日\n宛先: b\n件名: x\n\n前",
            "はい。",
            id="outlook ja",
        ),
        pytest.param(
            "Yes.\n\n________\nFrom: A <a@x.test>\nSent: x\nTo: b\nSubject: x\n\nold", "Yes.\n\n________", id="outlook"
        ),
        pytest.param("Ja.\n\nVon: A\nGesendet: x\nAn: b\nBetreff: x\n\nalt", "Ja.", id="outlook de"),
        pytest.param("Oui.\n\nLe lun. 6 janv. 2020 à 9:00, A <a@x.test> a écrit :\n> vieux", "Oui.", id="fr"),
        pytest.param("Tak.\nW dniu 06.01.2020 o 09:00, A pisze:\n> stare", "Tak.", id="pl"),
        pytest.param("Ja.\nAm 06.01.2020 um 09:00 schrieb A:\n> alt", "Ja.", id="de"),
        pytest.param("Yes.\n-----Original Message-----\nold", "Yes.", id="original message"),
        pytest.param("はい。\n＜以下引用＞\n前", "はい。", id="quote begins"),
        pytest.param("＞前\n新", "新", id="fullwidth quote"),
        pytest.param("---------- Forwarded message ---------\nFrom: A <a@x.test>\n\nold", "", id="forward only"),
        pytest.param("He wrote:\nthis is mine", "He wrote:\nthis is mine", id="words of a person"),
        pytest.param("田中さん：\n本文です", "田中さん：\n本文です", id="salutation"),
        pytest.param("Date: tomorrow\nplease", "Date: tomorrow\nplease", id="one line is no block"),
    ],
)
def test_own_words_end_at_the_quote(text: str, own: str) -> None:
    assert own_words(text) == own


@pytest.mark.parametrize(
    ("text", "is_forward", "author"),
    [
        pytest.param(
            "fyi\n---------- Forwarded message ---------\nFrom: A B <a@x.test>\nDate: x", False, "a@x.test", id="gmail"
        ),
        pytest.param("Begin forwarded message:\n\n> From: A <a@x.test>\n> Subject: x", False, "a@x.test", id="apple"),
        pytest.param(
            "-------- 転送メッセージ --------\n件名: x\n日付: y\n差出人: A <a@x.test>",
            False,
            "a@x.test",
            id="thunderbird ja",
        ),
        pytest.param("-----Original Message-----\nFrom: A [mailto:a@x.test]\nSent: x", True, "a@x.test", id="outlook"),
        pytest.param("-----Original Message-----\nFrom: A <a@x.test>\nSent: x", False, None, id="an answer"),
        pytest.param("差出人: 田中 <a@x.test>\n送信日時: x\n宛先: y\n件名: z", True, "a@x.test", id="outlook ja"),
        pytest.param(
            "From: Lee, A <a@x.test<mailto:a@x.test>>\nSent: x\nTo: y\nSubject: z", True, "a@x.test", id="outlook link"
        ),
        pytest.param("From: a@x.test\nSent: x\nTo: y\nSubject: z", False, None, id="quoted, not forwarded"),
        pytest.param("nothing here", True, None, id="no head"),
    ],
)
def test_the_author_of_a_forwarded_mail_is_found(text: str, is_forward: bool, author: str | None) -> None:
    found = forwarded_author(text, is_forward_subject=is_forward)

    assert (found.key if found else None) == author


def test_the_author_of_an_attached_mail_is_found() -> None:
    facts = read_facts(_mixed("\nfyi", "Content-Type: message/rfc822\n\nFrom: A <a@x.test>\nSubject: x\n\nold"))

    assert facts.forwarded_from == Mailbox("a", "x.test", "A")


_REPLY = "Content-Type: text/calendar; method=REPLY\n\nBEGIN:VCALENDAR\nMETHOD:REPLY\n{}END:VCALENDAR"


@pytest.mark.parametrize(
    ("text", "calendar", "is_answer", "has_comment"),
    [
        pytest.param("", _REPLY.format(""), True, False, id="without a word"),
        pytest.param("I will be late", _REPLY.format(""), True, True, id="with a text"),
        pytest.param("", _REPLY.format("COMMENT:late\n"), True, True, id="with a comment"),
        pytest.param("A has accepted.\ncalendar.google.com", _REPLY.format(""), True, False, id="google's own text"),
        pytest.param("x", "Content-Type: text/calendar\n\nMETHOD:REQUEST", False, False, id="an invitation"),
    ],
)
def test_calendar_answers_are_known(text: str, calendar: str, is_answer: bool, has_comment: bool) -> None:
    facts = read_facts(_mixed(f"\n{text}", calendar))

    assert (facts.is_calendar_answer, facts.has_calendar_comment) == (is_answer, has_comment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue, 7 Jan 2020 09:55:00 +0900", datetime(2020, 1, 7, 0, 55, tzinfo=UTC)),
        ("7 Jan 20 09:55 JST (x)", datetime(2020, 1, 7, 0, 55, tzinfo=UTC)),
        ("Tue, 07 January 2020 09:55:60 -0130", datetime(2020, 1, 7, 11, 25, 59, tzinfo=UTC)),
        ("火, 7 Jan 2020 09:55:00 GMT", datetime(2020, 1, 7, 9, 55, tzinfo=UTC)),
        ("31 Feb 2020 00:00 +0000", None),
        ("1 Jan 0001 00:00 +9900", datetime(2000, 12, 27, 21, 0, tzinfo=UTC)),
        ("31 Dec 9999 23:00 -0200", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates_are_instants(text: str, expected: datetime | None) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("octets", "problem", "body"),
    [
        pytest.param(
            b"Content-Type: multipart/mixed\r\n\r\nwords", "structure: multipart without a boundary", "words", id="mime"
        ),
        pytest.param(b"Date: never\r\n\r\nwords", "date: unreadable", "words", id="date"),
        pytest.param(b"From: <>\r\n\r\nwords", "from: no mailbox", "words", id="from"),
        pytest.param(b"Subject: a\rFrom: b@x.test\r\rwords", "", "words", id="lone CR is read"),
    ],
)
def test_what_cannot_be_read_is_named(octets: bytes, problem: str, body: str) -> None:
    facts = read_facts(octets)

    assert facts.problems == ((problem,) if problem else ())
    assert facts.body_text == body


_PIECE = st.one_of(
    st.binary(max_size=10),
    st.text(max_size=10).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        [
            *(f"{n}: ".encode() for n in ("From", "To", "Date", "Message-ID", "References", "Thread-Index", "Subject")),
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: text/html; charset=iso-2022-jp\r\n",
            b"Content-Type: text/calendar; method=REPLY\r\n",
            b"Content-Type: message/rfc822\r\n",
            b"=?utf-8?B?",
            b"?=",
            b"<a@x.test>",
            b"\r\n",
            b"\r\n\r\n",
            b"--b\r\n",
            b"<blockquote type=cite>",
            b"&#99999999;",
            b"---------- Forwarded message ---------\n",
            b"\x1b$B",
            b"1 Jan 2020 00:00 +0900",
        ]
    ),
)


@given(st.lists(_PIECE, max_size=30))
def test_reading_never_raises(pieces: list[bytes]) -> None:
    facts = read_facts(b"".join(pieces))

    facts.body_text.encode("utf-8")
    assert "\0" not in facts.body_text
    assert all(value.isprintable() or "\n" not in value for values in facts.fields.values() for value in values)


def _corpus() -> Iterator[Path]:
    return (path for path in sorted(_CORPUS.rglob("*")) if path.is_file())


@pytest.mark.skipif(not _CORPUS.is_dir(), reason="the corpus of real mails lies beside the checkout")
def test_the_corpus_of_real_mails_is_read() -> None:
    """None raises anything but MimeError, none takes long; prints the slowest."""
    times: list[tuple[float, str]] = []
    unreadable = 0
    for path in _corpus():
        octets = path.read_bytes()
        began = time.process_time()
        facts = read_facts(octets)
        times.append((time.process_time() - began, path.name))
        assert facts.size_octets == len(octets)
        try:
            for part in walk(read_parts(octets)):
                part_text(octets, part)
        except MimeError:
            unreadable += 1
    times.sort(reverse=True)
    print(f"{len(times)} mails, {unreadable} unreadable, slowest: {times[:5]}")

    assert len(times) >= 400
    assert unreadable < 30
    assert times[0][0] < 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("<!--" * 60_000, id="comments"),
        pytest.param("<script>" * 30_000, id="scripts"),
        pytest.param("<" * 250_000, id="open tags"),
        pytest.param("<blockquote " * 20_000, id="quotes"),
        pytest.param("&" * 250_000, id="ampersands"),
        pytest.param("&#" + "9" * 250_000, id="one long number"),
        pytest.param("a\n" * 120_000, id="lines"),
        pytest.param("On " * 80_000 + ":", id="one long attribution"),
        pytest.param("On 1 Jan wrote:\n" * 15_000, id="attributions"),
        pytest.param("From: a\nTo: b\n" * 15_000, id="blocks"),
        pytest.param("-" * 250_000, id="dashes"),
        pytest.param("--\n" * 80_000, id="separators"),
        pytest.param("> " * 120_000, id="quote marks"),
        pytest.param(" " * 250_000 + ":", id="spaces"),
        pytest.param("差出人：" * 60_000, id="japanese blocks"),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_hostile_bodies_take_linear_time(body: str, kind: str) -> None:
    octets = _mail(f"Subject: Fwd: x\nContent-Type: text/{kind}; charset=utf-8", body)
    began = time.process_time()
    read_facts(octets)
    html_to_text(body)

    assert time.process_time() - began < 1.5


def test_a_byte_order_mark_does_not_hide_the_first_field() -> None:
    facts = read_facts(b"\xef\xbb\xbfFrom: ann@acme.example\r\nSubject: x\r\n\r\nHello\r\n")

    assert [mailbox.key for mailbox in facts.from_] == ["ann@acme.example"]
    assert facts.fields["from"] == ("ann@acme.example",)


def test_a_text_without_a_header_is_read_whole() -> None:
    facts = read_facts(b"Hello, no header here.\r\n\r\nBye.\r\n")

    assert facts.body_text == "Hello, no header here.\n\nBye.\n"


def test_a_report_is_found_wherever_it_stands_but_not_inside_of_an_attached_mail() -> None:
    status = "Content-Type: message/delivery-status\n\nAction: failed\n"
    report = 'Content-Type: multipart/report; boundary="r"\n\n--r\n' + status + "\n--r--"

    assert read_facts(_mixed(report)).has_report_part
    assert not read_facts(_mixed("Content-Type: message/rfc822\n\n" + report)).has_report_part
