"""The copy that owners get, octet by octet at the sink: DESIGN section 3. Read with a parser that is not ours."""

import base64
import email
import os
import quopri
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from journeys.companies import company, one_owner
from journeys.letters import Desk, decoded, fields, header, open_desk, support_address
from journeys.relay import OURS, free_port, mail
from smtp_sink import Received

ANN, BEN = "ann@staff.test", "ben@staff.test"
ZOE = "zoe@staff.test"
SUPPORT = "support@desk.test"
ALL = "all-support@desk.test"
DEAL = "Top-Secret-Deal"
CUSTOMER = "Kunde Müller <kunde@acme.example>"

CORPUS = Path(__file__).parents[3] / "shared" / "mails"
MAILS = sorted(p for p in CORPUS.rglob("*") if p.is_file() and p.name not in {"README.md", ".gitattributes"})

COMPANIES = [
    company("ACME", "acme.example", [(DEAL, "open", [ANN])]),
    company("both", "both.example", [(DEAL, "open", [ANN, BEN])]),
    one_owner("extra", ANN),
]
ADDRESSES: list[dict[str, Any]] = [
    support_address("support", manual_url="https://desk.test/manual"),
    support_address("english", language="en"),
    support_address("untouched", signed_mail="untouched", encrypted_mail="wrap"),
    support_address("newid", message_id="new"),
    support_address("plain", reverse_path="sender", suppress_auto_replies=False),
    support_address("bounces", bounce_address="b-{token}@bounce.desk.test"),
    support_address("details", banner_details="full"),
    support_address("named", sender={"name": "Support of {company}", "address": "named-relay@desk.test"}),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    config = {
        "addresses": ADDRESSES,
        "web": {"host": "127.0.0.1", "port": free_port(), "public_url": "https://board.desk.test"},
    }
    with open_desk(tmp_path_factory.mktemp("copies"), config, COMPANIES) as desk:
        yield desk


_number = count()


def one_copy(desk: Desk, octets: bytes, to: str = SUPPORT, sender: str = "kunde@acme.example", **more: Any) -> Received:
    """Send one mail; the one copy that arrives."""
    (copy,) = desk.post(octets, sender, to, **more)
    return copy


def letter(entity: bytes, *, to: str = SUPPORT, more: bytes = b"") -> bytes:
    """A mail with this entity (Content-* fields, blank line, body), each with a subject of its own."""
    n = next(_number)
    return (
        b"Return-Path: <kunde@acme.example>\r\nReceived: from a by b; Mon, 2 Mar 2026 10:00:00 +0900\r\n"
        b"From: =?utf-8?B?55Sw5Lit?=\r\n <kunde@acme.example>\r\n"
        b"To: " + to.encode() + b"\r\nsubject:  Letter %d   =?utf-8?B?5Lu25ZCN?=\r\n" % n + more + b""
        b"Date: Mon, 2 Mar 2026 10:00:00 +0900\r\nMessage-ID: <letter.%d@acme.example>\r\nMIME-Version: 1.0\r\n"
        % n
        + entity
    )


# --- every structure in every charset and every transfer encoding

TEXTS = {
    "utf-8": "お世話になっております。田中です。\r\nzażółć = 1\r\n\r\n-- \r\n田中\r\n",
    "iso-2022-jp": "お世話になっております。\r\n1 = 1\r\n",
    "shift_jis": "お世話になっております。表示ソ能\r\n1 = 1\r\n",
    "euc-jp": "お世話になっております。\r\n1 = 1\r\n",
    "iso-8859-1": "Grüße, ça va? = 1\r\n",
    "iso-8859-2": "Zażółć gęślą jaźń = 1\r\n",
    "us-ascii": "Hello there, 1 = 1\r\nFrom here on.\r\n.\r\n..dots\r\n\r\n \r\n",
}
SEVEN_BIT = {"iso-2022-jp", "us-ascii"}
HOLDS_JAPANESE = {"utf-8", "iso-2022-jp", "shift_jis", "euc-jp"}
KINDS = ("plain", "html", "alternative", "related", "mixed")
PNG = (
    b"Content-Type: image/png; name=x.png\r\nContent-ID: <i@x>\r\nContent-Disposition: inline\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo="
)
PDF = (
    b'Content-Type: application/pdf; name="a.pdf"\r\n'
    b'Content-Disposition: attachment;\r\n filename="=?utf-8?B?5Lu2?=.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\nJVBERi0xLjQK  \r\n"
)
NOTES = (
    b"Content-Type: text/plain; name=notes.txt\r\nContent-Disposition: attachment; filename=notes.txt\r\n\r\n"
    b"No banner here."
)


def html_of(text: str) -> str:
    return f'<html><head><title>x</title></head>\r\n<body bgcolor="#ffffff">\r\n<p>{text}</p></body></html>\r\n'


def encoded(text: str, charset: str, transfer: str) -> bytes:
    octets = text.encode(charset)
    if transfer == "base64":
        return base64.encodebytes(octets).replace(b"\n", b"\r\n")
    if transfer == "quoted-printable":
        return quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return octets


def text_part(kind: str, charset: str, transfer: str) -> bytes:
    text = TEXTS[charset] if kind == "plain" else html_of(TEXTS[charset])
    head = f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {transfer}\r\n\r\n"
    return head.encode() + encoded(text, charset, transfer)


def multipart(kind: str, *parts: bytes, boundary: str = "=_outer") -> bytes:
    pieces = [f'Content-Type: multipart/{kind};\r\n\tboundary="{boundary}"\r\n\r\npreamble\r\n'.encode()]
    pieces += [b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts]
    return b"".join(pieces) + f"--{boundary}--\r\nepilogue\r\n".encode()


def entity_of(kind: str, charset: str, transfer: str) -> bytes:
    plain, html = text_part("plain", charset, transfer), text_part("html", charset, transfer)
    if kind in {"plain", "html"}:
        return plain if kind == "plain" else html
    if kind == "alternative":
        return multipart("alternative", plain, html)
    if kind == "related":
        return multipart("related", html, PNG)
    return multipart("mixed", multipart("alternative", plain, html, boundary="=_inner"), PDF, NOTES)


MATRIX = [
    (kind, charset, transfer)
    for kind in KINDS
    for charset in TEXTS
    for transfer in ("7bit", "8bit", "quoted-printable", "base64")
    if transfer != "7bit" or charset in SEVEN_BIT
]


@pytest.fixture(scope="module")
def matrix(desk: Desk) -> dict[tuple[str, str, str], tuple[bytes, bytes]]:
    """All combinations sent at once; original and copy of each."""
    originals = {case: letter(entity_of(*case)) for case in MATRIX}
    for octets in originals.values():
        desk.relay.send(octets, "kunde@acme.example", [SUPPORT])
    desk.relay.settle()
    copies = {header(copy.octets, "Message-ID"): copy.octets for copy in desk.sink.messages}
    return {case: (octets, copies[header(octets, "Message-ID")]) for case, octets in originals.items()}


def leaves(octets: bytes) -> list[Message]:
    return [part for part in email.message_from_bytes(octets).walk() if not part.is_multipart()]


def read(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(part.get_content_charset() or "ascii")


def is_text_body(part: Message) -> bool:
    return part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment"


TEXT_BANNER = re.compile(
    r"――― support 案内 (SR-\d+-\w+)（次の同じ線までは、返信の前に削除してください） ―――\r\n(?P<said>.*?)"
    r"――― support 案内 \1 ―――\r\n\r\n",
    re.DOTALL,
)
HTML_BANNER = re.compile(r'<div class="supportrelay-banner".*?</div>\r?\n', re.DOTALL)


@pytest.mark.parametrize(("kind", "charset", "transfer"), [pytest.param(*case, id="-".join(case)) for case in MATRIX])
def test_a_reader_sees_the_banner_and_then_what_was_written(
    matrix: dict[tuple[str, str, str], tuple[bytes, bytes]], kind: str, charset: str, transfer: str
) -> None:
    original, copy = matrix[kind, charset, transfer]
    before, after = leaves(original), leaves(copy)

    assert [p.get_content_type() for p in before] == [p.get_content_type() for p in after]
    for was, now in zip(before, after, strict=True):
        if not is_text_body(was):
            assert now.items() == was.items()
            assert now.get_payload() == was.get_payload(), "not even its encoding changed"
            continue
        text = read(now)
        if was.get_content_type() == "text/plain":
            found = TEXT_BANNER.match(text)
            assert found, text
            assert text[found.end() :] == read(was)
        else:
            found = HTML_BANNER.search(text)
            assert found, text
            assert text[: found.start()].rstrip().endswith('<body bgcolor="#ffffff">')
            assert text[: found.start()] + text[found.end() :] == read(was)
            assert found[0].isascii() or charset == "utf-8"
        wanted = charset if charset in HOLDS_JAPANESE or was.get_content_type() == "text/html" else "utf-8"
        assert now.get_content_charset() == wanted
        assert now.get_param("name") is None


@pytest.mark.parametrize(("kind", "charset", "transfer"), [pytest.param(*case, id="-".join(case)) for case in MATRIX])
def test_every_octet_outside_of_the_banner_is_as_it_came(
    matrix: dict[tuple[str, str, str], tuple[bytes, bytes]], kind: str, charset: str, transfer: str
) -> None:
    """Without the octets that were put in it is the original's body, wherever an insertion can carry the banner."""
    original, copy = (octets.partition(b"\r\n\r\n")[2] for octets in matrix[kind, charset, transfer])
    boundaries = [b"--=_outer", b"--=_inner"]
    was, now = (re.split(b"(" + b"|".join(boundaries) + b")", octets) for octets in (original, copy))
    assert len(was) == len(now), "preamble, epilogue and boundaries stand"

    inserted = 0
    for one, other in zip(was, now, strict=True):
        if one == other:
            continue
        is_html = b"text/html" in one or (kind == "html")
        if transfer == "base64" or not (charset in HOLDS_JAPANESE or is_html):
            continue  # written anew; the test above reads it
        start = common(one, other)
        end = common(one[start:][::-1], other[start:][::-1])
        assert one[start : len(one) - end] == b"", "nothing of the original is missing"
        inserted += 1
    if transfer != "base64" and charset in HOLDS_JAPANESE:
        assert inserted == (2 if kind in {"alternative", "mixed"} else 1)


def common(one: bytes, other: bytes) -> int:
    """How many octets both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


# --- the header


def raw_fields(octets: bytes) -> list[bytes]:
    """Header fields octet for octet."""
    head = octets.partition(b"\r\n\r\n")[0] + b"\r\n"
    return re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", head)


def name_of(raw: bytes) -> str:
    return raw.partition(b":")[0].strip().decode("latin-1").lower()


CHANGED = {"return-path", "from"}


def test_header_fields_keep_their_octets_and_their_order(
    matrix: dict[tuple[str, str, str], tuple[bytes, bytes]],
) -> None:
    for (kind, charset, _), (original, copy) in matrix.items():
        if kind in {"plain", "html"}:
            continue  # Content-Type and encoding of the whole mail may have to change
        kept = [raw for raw in raw_fields(original) if name_of(raw) not in CHANGED]
        written = raw_fields(copy)
        assert [raw for raw in written if raw in kept] == kept, (kind, charset)
        assert {name_of(raw) for raw in written if raw not in kept} == {
            "received",
            "x-supportrelay-id",
            "x-supportrelay-ticket",
            "x-supportrelay-reason",
            "x-supportrelay-trail",
            "x-auto-response-suppress",
            "from",
            "reply-to",
            "x-original-from",
        }


MARKED = {
    "DKIM-Signature": "v=1; d=acme.example; b=abc",
    "ARC-Seal": "i=1; a=rsa-sha256",
    "ARC-Message-Signature": "i=1",
    "ARC-Authentication-Results": "i=1; x",
    "Authentication-Results": "mx.example; dmarc=pass",
    "List-Unsubscribe": "<mailto:u@acme.example>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "Sender": "pa@acme.example",
    "Delivered-To": "support@desk.test",
    "Bcc": "secret@acme.example",
    "Disposition-Notification-To": "kunde@acme.example",
    "Return-Receipt-To": "kunde@acme.example",
    "X-Supportrelay-Reason": "forged",
    "Thread-Topic": "topic",
    "List-Id": "<team.acme.example>",
    "Precedence": "list",
    "Auto-Submitted": "no",
    "X-Google-Group-Id": "1",
    "Mailing-list": "team",
    "X-Mailer": "a mailer",
}
GONE = ("Sender", "Delivered-To", "Bcc", "Disposition-Notification-To", "Return-Receipt-To", "Return-Path")
RENAMED = tuple(MARKED)[:7]
OF_LISTS = ("List-Id", "Precedence", "Auto-Submitted", "X-Google-Group-Id", "Mailing-list")
STAYS = ("Thread-Topic", "X-Mailer")


def test_what_is_removed_renamed_and_kept_on_a_single_owners_copy(desk: Desk) -> None:
    octets = mail(sender=CUSTOMER, to=SUPPORT, subject="marked", message_id="<marked.1@acme.example>", headers=MARKED)

    copy = one_copy(desk, octets).octets

    for name in GONE:
        assert fields(copy, name) == []
        assert fields(copy, f"X-Original-{name}") == []
    for name in RENAMED:
        assert (fields(copy, name), fields(copy, f"X-Original-{name}")) == ([], [MARKED[name]])
    for name in (*OF_LISTS, *STAYS):
        assert (fields(copy, name), fields(copy, f"X-Original-{name}")) == ([MARKED[name]], [])
    assert fields(copy, "X-Supportrelay-Reason") == ["owner"]
    assert fields(copy, "X-Auto-Response-Suppress") == ["OOF, AutoReply"]
    assert b"secret@acme.example" not in copy


def test_a_list_gets_nothing_that_lists_refuse(desk: Desk) -> None:
    headers = MARKED | {"X-Auto-Response-Suppress": "All"}
    octets = mail(
        sender="x@unknown.example", to=SUPPORT, subject="marked", message_id="<marked.2@x.example>", headers=headers
    )

    copy = one_copy(desk, octets, sender="x@unknown.example")

    assert copy.recipients == (ALL,)
    for name in (*OF_LISTS, "X-Auto-Response-Suppress"):
        assert fields(copy.octets, name) == []
        assert fields(copy.octets, f"X-Original-{name}") == [headers[name]]
    assert fields(copy.octets, "X-Supportrelay-Reason") == ["unknown_company"]


def test_from_is_ours_and_the_author_stands_in_the_name(desk: Desk) -> None:
    octets = mail(
        sender='"Ann @ACME <evil@x.example>" <kunde@acme.example>',
        to=SUPPORT,
        subject="from",
        message_id="<f1@a.example>",
    )

    copy = one_copy(desk, octets).octets

    assert fields(copy, "From") == ['"Ann at ACME <evil at x.example> via Support" <support-relay@desk.test>']
    assert fields(copy, "X-Original-From") == ['"Ann @ACME <evil@x.example>" <kunde@acme.example>']


def test_the_name_in_from_may_tell_the_company(desk: Desk) -> None:
    octets = mail(sender=CUSTOMER, to="named@desk.test", subject="named", message_id="<f2@a.example>")

    assert fields(one_copy(desk, octets, "named@desk.test").octets, "From") == [
        "Support of ACME <named-relay@desk.test>"
    ]


def test_reply_reaches_the_author_everybody_he_addressed_and_support_but_nobody_of_ours(desk: Desk) -> None:
    octets = mail(
        sender=CUSTOMER,
        to=f"Help <{SUPPORT}>, {ANN}, Buyer <buyer@acme.example>, {ALL}",
        cc=f"BUYER@acme.example, Zoe <{ZOE}>, support+x@desk.test, english@desk.test",
        subject="reply",
        message_id="<r1@acme.example>",
        headers={"Reply-To": "Büro <buero@acme.example>, second@acme.example"},
    )

    copy = one_copy(desk, octets).octets

    (reply_to,) = fields(copy, "Reply-To")
    assert re.findall(r"[\w+.-]+@[\w.-]+", reply_to) == [
        "buero@acme.example",
        "second@acme.example",
        "buyer@acme.example",
        "zoe@staff.test",
        SUPPORT,
    ]
    assert decoded(reply_to).startswith("Büro <buero@acme.example>")
    assert reply_to.isascii()
    assert decoded(fields(copy, "X-Original-Reply-To")[0]) == "Büro <buero@acme.example>, second@acme.example"
    assert fields(copy, "To") == [f"Help <{SUPPORT}>, {ANN}, Buyer <buyer@acme.example>, {ALL}"]


@pytest.mark.parametrize(("others", "is_cut"), [(18, False), (19, True), (300, True)])
def test_over_twenty_addresses_a_reply_goes_to_author_and_support_only(desk: Desk, others: int, is_cut: bool) -> None:
    to = ",\r\n ".join([SUPPORT, *(f"p{n}@acme.example" for n in range(others))])
    octets = mail(sender=CUSTOMER, to=to, subject=f"many {others}", message_id=f"<many{others}@acme.example>")

    copy = one_copy(desk, octets).octets

    found = re.findall(r"[\w+.-]+@[\w.-]+", header(copy, "Reply-To"))
    assert len(found) == (2 if is_cut else others + 2)
    assert (found[0], found[-1]) == ("kunde@acme.example", SUPPORT)
    assert ("宛先が多いため".encode() in copy) == is_cut
    assert all(len(line) <= 998 for line in copy.split(b"\r\n"))


def test_the_reverse_path_is_a_signed_token_of_each_delivery(desk: Desk) -> None:
    octets = mail(sender="a@both.example", to=SUPPORT, subject="paths", message_id="<p1@both.example>")

    paths = [copy.reverse_path for copy in desk.post(octets, "a@both.example", SUPPORT)]

    assert len(set(paths)) == 2
    for path in paths:
        assert re.fullmatch(r"support\+b-[a-z2-7]{28}@desk\.test", path)
        assert len(path.partition("@")[0]) <= 64


def test_the_reverse_path_may_be_on_a_domain_of_its_own_or_the_sender(desk: Desk) -> None:
    for to, pattern in (
        ("bounces@desk.test", r"b-[a-z2-7]{28}@bounce\.desk\.test"),
        ("plain@desk.test", "plain-relay@desk.test"),
    ):
        octets = mail(sender=CUSTOMER, to=to, subject=f"path {to}", message_id=f"<p2.{to}>")
        copy = one_copy(desk, octets, to)
        assert re.fullmatch(pattern, copy.reverse_path)
        assert bool(fields(copy.octets, "X-Auto-Response-Suppress")) == (to != "plain@desk.test")


def test_a_null_reverse_path_stays_null(desk: Desk) -> None:
    """A notification must not become something to notify about (RFC 5321 §4.5.5)."""
    octets = mail(sender=CUSTOMER, to=SUPPORT, subject="null", message_id="<null@acme.example>")

    assert one_copy(desk, octets, sender="").reverse_path == ""


def test_new_message_ids_keep_the_thread_on_both_sides(desk: Desk) -> None:
    to = "newid@desk.test"
    octets = mail(
        sender=CUSTOMER,
        to=to,
        subject="new id",
        message_id="<n1@acme.example>",
        headers={"References": "<n0@acme.example>"},
    )

    copy = one_copy(desk, octets, to).octets

    (given,) = fields(copy, "Message-ID")
    assert given != "<n1@acme.example>"
    assert fields(copy, "X-Original-Message-ID") == ["<n1@acme.example>"]
    assert fields(copy, "References") == ["<n0@acme.example> <n1@acme.example>"]
    answer = mail(
        sender=CUSTOMER,
        to=to,
        subject="quite another subject",
        message_id="<n2@acme.example>",
        headers={"In-Reply-To": given},
    )
    again = one_copy(desk, answer, to).octets
    assert header(again, "X-Supportrelay-Ticket") == header(copy, "X-Supportrelay-Ticket")


def test_the_copy_says_how_it_came_and_whose_ticket_it_is(desk: Desk) -> None:
    octets = mail(sender=CUSTOMER, to=SUPPORT, subject="trace of it", message_id="<t1@acme.example>")

    copy = one_copy(desk, octets).octets

    life = desk.life("<t1@acme.example>")
    assert fields(copy, "X-Supportrelay-Id") == [life["queue_id"]]
    assert fields(copy, "X-Supportrelay-Ticket") == [desk.ticket("trace of it")["id"]]
    assert copy.startswith(b"Received: from ")
    assert life["queue_id"] in fields(copy, "Received")[0]


# --- the banner


def said_by(copy: bytes) -> str:
    """The banner's text between its marker lines."""
    part = next(p for p in leaves(copy) if p.get_content_type() == "text/plain")
    found = TEXT_BANNER.match(read(part))
    assert found
    return found["said"].replace("\r\n", "\n")


def test_the_japanese_banner_says_what_to_do_before_answering(desk: Desk) -> None:
    octets = mail(
        sender=CUSTOMER,
        to=f"Help <{SUPPORT}>, Buyer <buyer@acme.example>",
        cc="chef@acme.example",
        subject="banner",
        message_id="<b1@acme.example>",
    )

    said = said_by(one_copy(desk, octets).octets)

    number = desk.ticket("banner")["id"]
    for words in (
        "引用される From・To・Cc・件名の部分を消してから",
        f"To: Help <{SUPPORT}>, Buyer <buyer@acme.example>",
        "Cc: chef@acme.example",
        f"そのまま「返信」すると、差出人、上の To と Cc の方全員、{SUPPORT} に届きます",
        "Cc に移すか、宛先から外してください",
        f"{number} https://board.desk.test/t/{number}",
        "https://desk.test/manual",
    ):
        assert words in said, words
    assert "全員に返信" not in said, "owners stand in no header, so there is nothing to warn of"


SECRETS = [
    pytest.param(CUSTOMER, "kunde@acme.example", id="owner"),
    pytest.param("x@unknown2.example", "x@unknown2.example", id="allmember"),
    pytest.param("a@both.example", "a@both.example", id="two-owners"),
]


@pytest.mark.parametrize(("author", "reverse_path"), SECRETS)
def test_the_banner_holds_nothing_that_a_customer_may_not_read(desk: Desk, author: str, reverse_path: str) -> None:
    subject = f"secrets of {reverse_path}"
    octets = mail(sender=author, to=SUPPORT, subject=subject, message_id=f"<s.{reverse_path}>")

    for copy in desk.post(octets, reverse_path, SUPPORT):
        text = copy.octets.decode()
        for secret in ("staff.test", DEAL, "all-support", "unknown_company", "会社が登録されていない", "CRM"):
            assert secret not in text.partition("\r\n\r\n")[2], secret
        assert re.search(r"\((O|A1)\)", said_by(copy.octets)), "a short neutral code"


def test_the_banner_tells_the_reason_only_when_the_address_wants_it(desk: Desk) -> None:
    known = mail(sender=CUSTOMER, to="details@desk.test", subject="details 1", message_id="<d1@acme.example>")
    unknown = mail(sender="x@y.example", to="details@desk.test", subject="details 2", message_id="<d2@y.example>")

    assert DEAL in said_by(one_copy(desk, known, "details@desk.test").octets)
    copy = one_copy(desk, unknown, "details@desk.test", "x@y.example")
    assert "会社が登録されていないため" in said_by(copy.octets)


def test_the_banner_of_an_unproven_mail_promises_no_reply_to_its_author(desk: Desk) -> None:
    octets = mail(sender=ZOE, to=f"{CUSTOMER}, {SUPPORT}", subject="unproven", message_id="<u1@staff.test>")

    copy = one_copy(desk, octets, sender=ZOE)

    assert fields(copy.octets, "Reply-To") == [SUPPORT]
    said = said_by(copy.octets)
    assert "本人であることは確認できていません" in said
    assert f"返信の宛先: {SUPPORT}" in said
    assert "差出人、上の To と Cc の方全員" not in said


def test_after_the_first_mail_of_a_thread_the_banner_is_short(desk: Desk) -> None:
    people: dict[str, Any] = {"to": f"{SUPPORT}, buyer@acme.example", "cc": "chef@acme.example"}
    first = mail(sender=CUSTOMER, subject="short banner", message_id="<sb1@acme.example>", **people)
    second = mail(
        sender=CUSTOMER,
        subject="Re: short banner",
        message_id="<sb2@acme.example>",
        headers={"In-Reply-To": "<sb1@acme.example>"},
        **people,
    )

    long, short = (said_by(one_copy(desk, octets).octets).count("\n") + 2 for octets in (first, second))

    assert long > 8 >= short


def test_an_english_banner_needs_no_other_charset(desk: Desk) -> None:
    octets = letter(text_part("plain", "us-ascii", "7bit"), to="english@desk.test")
    octets = octets.replace(b"=?utf-8?B?55Sw5Lit?=", b"Tanaka")

    copy = one_copy(desk, octets, "english@desk.test").octets

    assert header(copy, "Content-Type") == "text/plain; charset=us-ascii"
    assert copy.partition(b"\r\n\r\n")[2].endswith(octets.partition(b"\r\n\r\n")[2])
    assert b"--- support notice SR-" in copy


# --- what may not be edited

SIGNED = multipart(
    'signed; micalg=sha-256; protocol="application/pkcs7-signature"',
    text_part("plain", "us-ascii", "7bit"),
    b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB",
)
OPAQUE = (
    b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nMIIB\r\n"
)
ENCRYPTED = multipart(
    'encrypted; protocol="application/pgp-encrypted"',
    b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
    b"Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n-----END PGP MESSAGE-----",
)
CLEAR = (
    b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhello\r\n"
    b"-----BEGIN PGP SIGNATURE-----\r\nx\r\n-----END PGP SIGNATURE-----\r\n"
)
CALENDAR = multipart(
    "alternative",
    text_part("plain", "us-ascii", "7bit"),
    b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n"
    b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR",
)
BROKEN = b'Content-Type: multipart/mixed; boundary="=_never"\r\n\r\nThere is no such boundary, but words.\r\n'

WRAPPED = [
    pytest.param(SIGNED, SUPPORT, True, id="signed"),
    pytest.param(OPAQUE, SUPPORT, True, id="signed-opaque"),
    pytest.param(CLEAR, SUPPORT, True, id="signed-inline"),
    pytest.param(CALENDAR, SUPPORT, True, id="calendar"),
    pytest.param(ENCRYPTED, SUPPORT, False, id="encrypted"),
    pytest.param(SIGNED, "untouched@desk.test", False, id="signed-untouched"),
    pytest.param(ENCRYPTED, "untouched@desk.test", True, id="encrypted-wrapped"),
]


@pytest.mark.parametrize(("entity", "to", "is_wrapped"), WRAPPED)
def test_what_may_not_be_edited_stays_whole(desk: Desk, entity: bytes, to: str, is_wrapped: bool) -> None:
    octets = letter(entity, to=to)

    copy = one_copy(desk, octets, to).octets

    assert ("support 案内" in read(leaves(copy)[0])) == is_wrapped
    if is_wrapped:
        assert email.message_from_bytes(copy).get_content_type() == "multipart/mixed"
        assert entity in copy, "the entity with its Content-* fields, octet for octet"
    else:
        assert copy.endswith(entity.partition(b"\r\n\r\n")[2])
        assert entity.partition(b"\r\n\r\n")[0] in copy.partition(b"\r\n\r\n")[0]


def test_what_cannot_be_parsed_arrives_whole_as_an_attachment(desk: Desk) -> None:
    octets = letter(BROKEN)

    copy = one_copy(desk, octets).octets

    assert "support 案内" in read(leaves(copy)[0])
    attached = [p for p in email.message_from_bytes(copy).walk() if p.get_filename() == "original.eml"]
    assert [p.get_content_type() for p in attached] == ["message/rfc822"]
    assert octets.partition(b"\r\n")[2] in copy, "as it was received"
    assert header(copy, "Subject") == header(octets, "Subject")


def test_a_mail_of_nothing_but_an_attachment_gets_a_part_with_the_banner(desk: Desk) -> None:
    copy = one_copy(desk, letter(PDF)).octets

    assert [part.get_content_type() for part in leaves(copy)] == ["text/plain", "application/pdf"]
    assert PDF in copy


@pytest.mark.parametrize("transfer", ["base64", "8bit"])
def test_a_large_attachment_arrives_octet_for_octet(desk: Desk, transfer: str) -> None:
    if transfer == "base64":
        content = base64.encodebytes(os.urandom(5 * 1024 * 1024)).replace(b"\n", b"\r\n")
    else:
        content = b"\xe4\xbb\xb6 0123456789\r\n.\r\n" * (5 * 1024 * 1024 // 18)
    head = (
        "Content-Type: application/x-large\r\nContent-Disposition: attachment; filename=l\r\n"
        f"Content-Transfer-Encoding: {transfer}\r\n\r\n"
    )
    entity = multipart("mixed", text_part("plain", "utf-8", "8bit"), head.encode() + content)

    copy = one_copy(desk, letter(entity)).octets

    assert head.encode() + content in copy
    assert "support 案内".encode() in copy


def test_what_had_to_be_done_to_a_copy_stands_in_the_trace(desk: Desk) -> None:
    octets = letter(b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + b"x" * 1200 + b"\r\n")
    message_id = header(octets, "Message-ID")

    one_copy(desk, octets)

    (delivered,) = [c for c in desk.life(message_id)["changes"] if c["what"] == "delivery.delivered"]
    assert delivered["why"]["copy_notes"] == ["part.long_line", "part.to_utf8"]
    assert "(写し: " in desk.relay.run("trace", message_id).out


# --- staff


def test_a_colleagues_mail_looks_like_his(desk: Desk) -> None:
    octets = mail(sender=f"Zoe <{ZOE}>", to=f"{CUSTOMER}, {SUPPORT}", subject="outbound", message_id="<o1@staff.test>")

    copy = one_copy(desk, octets, sender=ZOE, peer=OURS).octets

    assert fields(copy, "From") == ["Zoe via Support <support-relay@desk.test>"]
    assert re.findall(r"[\w+.-]+@[\w.-]+", header(copy, "Reply-To")) == [ZOE, "kunde@acme.example", SUPPORT]


# --- real mail


def as_sent(path: Path) -> bytes:
    """A file of the corpus as a mail server would send it: CRLF line ends."""
    return re.sub(rb"\r?\n", b"\r\n", path.read_bytes())


def goes_round(path: Path) -> bool:
    """More than 50 Received: refused at the dot with 5.4.6, as DESIGN section 5 says."""
    names = [name_of(raw) for raw in raw_fields(as_sent(path))]
    return names.count("received") > 50


@pytest.mark.skipif(not MAILS, reason="THE CORPUS IS NOT HERE: no real mail was tried")
def test_no_real_mail_is_refused_or_lost(tmp_path: Path) -> None:
    """All of the corpus as mail of a known customer's server: taken, and delivered or accounted for."""
    config = {"addresses": [support_address("support")], "workers": 2}
    with open_desk(tmp_path, config, COMPANIES) as desk:

        def send(path: Path) -> str:
            try:
                desk.relay.send(as_sent(path), "kunde@acme.example", [SUPPORT])
            except Exception as exc:  # noqa: BLE001  whatever it is, it belongs into the list below
                return f"{path.relative_to(CORPUS)}: {exc!r}"
            return ""

        with ThreadPoolExecutor(4) as senders:
            refused = [answer for answer in senders.map(send, MAILS) if answer]
        round_trips = [path for path in MAILS if goes_round(path)]
        assert len(refused) == len(round_trips) < 3, refused
        assert all("5.4.6" in answer for answer in refused), refused
        desk.relay.settle(60)

        messages = desk.relay.ask("queue.list", finished=True)
        arrived = Counter(header(copy.octets, "X-Supportrelay-Id") for copy in desk.sink.messages)
        lives = [desk.life(m["queue_id"]) for m in messages]

    assert len(messages) == len(MAILS) - len(round_trips)
    classes: Counter[str] = Counter()
    for life in lives:
        direction, state = life["decision"]["direction"], life["state"]
        classes[f"{direction} {state}"] += 1
        wanted = {"delivered"} | ({"filed"} if direction in {"automatic", "duplicate"} else set())
        wanted |= {"held"} if direction == "spam" else set()
        assert state in wanted, (life["queue_id"], direction, state, life["subject"])
        assert arrived[life["queue_id"]] == len(life["deliveries"])
        assert (arrived[life["queue_id"]] > 0) == (state == "delivered")
    for copy in desk.sink.messages:
        assert copy.octets.count(b"\n") == copy.octets.count(b"\r\n") == copy.octets.count(b"\r")
        assert all(len(line) <= 998 for line in copy.octets.split(b"\r\n"))
    print(*(f"{number:4} {name}" for name, number in sorted(classes.items())), sep="\n")
    assert classes["inbound delivered"] > 200
