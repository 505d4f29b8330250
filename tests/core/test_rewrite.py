"""The header of a copy, field by field; what else a copy promises."""

import dataclasses
import email
import email.header
import email.utils
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supportrelay.core.banner import Banner
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.rewrite import Copy, CopyContext, as_is_copy, compose_copy, received_line
from supportrelay.core.settings import SupportAddress

AT = datetime(2026, 3, 9, 7, 5, 1, tzinfo=UTC)
ADDRESS = SupportAddress(
    name="desk",
    address="support@desk.test",
    sender_name="{author} via Support",
    sender_address="relay@desk.test",
    allmember=("all@desk.test",),
    bounce_address="support+b-{token}@desk.test",
)
PLAN = CopyPlan(
    "desk",
    author="ann@customer.example",
    author_name="Ann Smith",
    company_name="ACME",
    reply_to=("Ann Smith <ann@customer.example>", "support@desk.test"),
    reason_code="A1",
)
CONTEXT = CopyContext(
    queue_id="Q1abc",
    ticket_id=12,
    hostname="mx.desk.test",
    received=b"Received: from a ([192.0.2.1])\r\n\tby mx.desk.test; Mon, 9 Mar 2026 07:05:01 +0000\r\n",
    trail="v1; inst=a; msg=Q1abc; mac=abcdefghijklmnop",
    unproven_word="未確認",
)
BANNER = Banner("--- notice ---\nline\n--- notice ---\n", "<div>notice</div>\n")
BODY = b"Hello.\r\n"
MAIL = (
    b"Return-Path: <ann@customer.example>\r\n"
    b"Received: from x by y; Mon, 9 Mar 2026 07:05:00 +0000\r\n"
    b"DKIM-Signature: v=1; d=customer.example;\r\n b=abc\r\n"
    b"ARC-Seal: i=1\r\n"
    b"Authentication-Results: mx.example; dmarc=pass\r\n"
    b"From: =?utf-8?q?Ann?= Smith\r\n <ann@customer.example>\r\n"
    b"Sender: ann-pa@customer.example\r\n"
    b"To:support@desk.test,\r\n\tBob <bob@customer.example>\r\n"
    b"Bcc: secret@customer.example\r\n"
    b"subject: =?iso-2022-jp?B?GyRCJDMbKEI=?=  two  spaces \r\n"
    b"Date: Mon, 9 Mar 2026 16:05:00 +0900\r\n"
    b"Message-ID: <1@customer.example>\r\n"
    b"In-Reply-To: <0@desk.test>\r\n"
    b"References: <TYAPR01MB12345678901234567890123456789012345678901234567890@customer.example>\r\n <0@desk.test>\r\n"
    b"Thread-Index: AQHabc==\r\n"
    b"Disposition-Notification-To: ann@customer.example\r\n"
    b"Return-Receipt-To: ann@customer.example\r\n"
    b"List-Unsubscribe: <mailto:u@customer.example>\r\n"
    b"List-Id: <l.customer.example>\r\n"
    b"Precedence: list\r\n"
    b"Auto-Submitted: no\r\n"
    b"X-Google-Group-Id: 1\r\n"
    b"X-Supportrelay-Trail: forged\r\n"
    b"X-SUPPORTRELAY-Anything: forged\r\n"
    b"X-Mailer: x\r\n"
    b"\r\n" + BODY
)


def compose(
    octets: bytes = MAIL,
    *,
    plan: CopyPlan = PLAN,
    address: SupportAddress = ADDRESS,
    kind: DeliveryKind = DeliveryKind.OWNER,
    context: CopyContext = CONTEXT,
    banner: Banner | None = BANNER,
) -> Copy:
    return compose_copy(octets, plan=plan, address=address, kind=kind, context=context, banner=banner)


def head(copy: Copy) -> bytes:
    return copy.octets.partition(b"\r\n\r\n")[0] + b"\r\n"


def mail_from(value: str | bytes) -> bytes:
    octets = value if isinstance(value, bytes) else value.encode()
    return b"From: " + octets + b"\r\nTo: support@desk.test\r\nSubject: x\r\n\r\nHello.\r\n"


def test_the_whole_copy_for_an_owner() -> None:
    copy = compose()

    assert copy.notes == ()
    assert copy.octets == (
        CONTEXT.received + b"X-Supportrelay-Id: Q1abc\r\n"
        b"X-Supportrelay-Ticket: SR-12\r\n"
        b"X-Supportrelay-Reason: A1\r\n"
        b"X-Supportrelay-Trail: v1; inst=a; msg=Q1abc; mac=abcdefghijklmnop\r\n"
        b"X-Auto-Response-Suppress: OOF, AutoReply\r\n"
        b"Received: from x by y; Mon, 9 Mar 2026 07:05:00 +0000\r\n"
        b"X-Original-DKIM-Signature: v=1; d=customer.example;\r\n b=abc\r\n"
        b"X-Original-ARC-Seal: i=1\r\n"
        b"X-Original-Authentication-Results: mx.example; dmarc=pass\r\n"
        b"From: Ann Smith via Support <relay@desk.test>\r\n"
        b"Reply-To: Ann Smith <ann@customer.example>, support@desk.test\r\n"
        b"X-Original-From: =?utf-8?q?Ann?= Smith\r\n <ann@customer.example>\r\n"
        b"To:support@desk.test,\r\n\tBob <bob@customer.example>\r\n"
        b"subject: =?iso-2022-jp?B?GyRCJDMbKEI=?=  two  spaces \r\n"
        b"Date: Mon, 9 Mar 2026 16:05:00 +0900\r\n"
        b"Message-ID: <1@customer.example>\r\n"
        b"In-Reply-To: <0@desk.test>\r\n"
        b"References: <TYAPR01MB12345678901234567890123456789012345678901234567890@customer.example>\r\n"
        b" <0@desk.test>\r\n"
        b"Thread-Index: AQHabc==\r\n"
        b"X-Original-List-Unsubscribe: <mailto:u@customer.example>\r\n"
        b"List-Id: <l.customer.example>\r\n"
        b"Precedence: list\r\n"
        b"Auto-Submitted: no\r\n"
        b"X-Google-Group-Id: 1\r\n"
        b"X-Original-X-Supportrelay-Trail: forged\r\n"
        b"X-Mailer: x\r\n"
        b"\r\n--- notice ---\r\nline\r\n--- notice ---\r\n\r\nHello.\r\n"
    )


def test_a_list_gets_nothing_that_lists_refuse() -> None:
    written = head(
        compose(
            MAIL.replace(b"X-Mailer", b"X-Auto-Response-Suppress: All\r\nMailing-list: x\r\nX-Mailer"),
            kind=DeliveryKind.LIST,
        )
    )

    parsed = email.message_from_bytes(written)
    for name in (
        "Auto-Submitted",
        "Precedence",
        "List-Id",
        "Mailing-list",
        "X-Google-Group-Id",
        "X-Auto-Response-Suppress",
    ):
        assert name not in parsed
        assert f"X-Original-{name}" in parsed


@pytest.mark.parametrize(
    ("field", "written"),
    [
        pytest.param(b"", ["OOF, AutoReply"], id="none"),
        pytest.param(b"X-Auto-Response-Suppress: All\r\n", ["All"], id="all"),
        pytest.param(b"X-Auto-Response-Suppress: DR, OOF, AutoReply\r\n", ["DR, OOF, AutoReply"], id="enough"),
        pytest.param(b"X-Auto-Response-Suppress: DR, RN\r\n", ["DR, RN, OOF, AutoReply"], id="not-enough"),
    ],
)
def test_a_holiday_notice_of_an_owner_does_not_go_to_the_customer(field: bytes, written: list[str]) -> None:
    parsed = email.message_from_bytes(compose(field + MAIL).octets)

    assert parsed.get_all("X-Auto-Response-Suppress") == written


def test_suppressing_can_be_switched_off() -> None:
    address = dataclasses.replace(ADDRESS, suppress_auto_replies=False)

    assert b"X-Auto-Response-Suppress" not in compose(address=address).octets


def test_without_a_ticket_none_is_named() -> None:
    assert b"X-Supportrelay-Ticket" not in compose(context=dataclasses.replace(CONTEXT, ticket_id=None)).octets


def test_a_mails_own_reply_to_is_kept_under_another_name() -> None:
    copy = compose(
        mail_from("ann@customer.example").replace(b"Subject", b"Reply-To: a@x.test\r\nReply-To: b@x.test\r\nSubject")
    )

    parsed = email.message_from_bytes(copy.octets)
    assert parsed.get_all("Reply-To") == ["Ann Smith <ann@customer.example>, support@desk.test"]
    assert parsed.get_all("X-Original-Reply-To") == ["a@x.test", "b@x.test"]


def test_many_addresses_are_folded() -> None:
    people = tuple(f"=?utf-8?B?55Sw5Lit?= <person{i}@customer.example>" for i in range(20))

    written = head(compose(plan=dataclasses.replace(PLAN, reply_to=people)))

    assert max(map(len, written.split(b"\r\n"))) <= 120
    parsed = email.message_from_bytes(written)
    assert [a for _, a in email.utils.getaddresses(parsed.get_all("Reply-To", []))] == [
        f"person{i}@customer.example" for i in range(20)
    ]


# --- From

NAMES = [
    pytest.param("Ann Smith", "", "{author} via Support", "Ann Smith via Support", id="plain"),
    pytest.param("田中 太郎", "ACME株式会社", "{author} ({company})", "田中 太郎 (ACME株式会社)", id="japanese"),
    pytest.param("Ann", "", "{author} ({company}) via Support", "Ann via Support", id="no-company"),
    pytest.param("Ann", "ACME", "HubSpotReflectle", "HubSpotReflectle", id="fixed"),
    pytest.param("support@desk.test", "", "{author} via Support", "support at desk.test via Support", id="address"),
    pytest.param("x＠y﹫z", "", "{author}", "x at y at z", id="wide-at"),
    pytest.param('Ann" <boss@desk.test>, "', "", "{author}", 'Ann" <boss at desk.test>, "', id="quotes"),
    pytest.param("Ann\r\nBcc: x", "", "{author}", "Ann Bcc: x", id="line-end"),
    pytest.param("\u202eAnn\u202c\u200b\x00", "", "{author} x", "Ann x", id="bidi"),
    pytest.param("{company}", "ACME", "{author}", "{company}", id="placeholder-in-a-name"),
    pytest.param("A" * 500, "", "{author}", "A" * 64, id="long"),
    pytest.param("a\udcffb", "", "{author}", "ab", id="surrogate"),
    pytest.param("", "", "{author}", "", id="nobody"),
]


@pytest.mark.parametrize(("author", "company", "template", "shown"), NAMES)
def test_the_name_in_from_is_clean_and_the_address_ours(author: str, company: str, template: str, shown: str) -> None:
    plan = dataclasses.replace(PLAN, author_name=author, company_name=company)
    written = head(compose(plan=plan, address=dataclasses.replace(ADDRESS, sender_name=template)))

    value = email.message_from_bytes(written)["From"]
    name, address = email.utils.parseaddr(str(value))
    assert address == "relay@desk.test"
    assert str(email.header.make_header(email.header.decode_header(name))) == shown
    assert written.count(b"\r\nFrom:") == 1
    assert b"\r\nBcc" not in written


@pytest.mark.parametrize(
    ("template", "shown"),
    [("{author} ({company}) via Support", "未確認 via Support"), ("HubSpotReflectle", "未確認 via HubSpotReflectle")],
)
def test_an_unproven_author_is_not_named(template: str, shown: str) -> None:
    plan = dataclasses.replace(PLAN, is_unproven=True)
    written = head(compose(plan=plan, address=dataclasses.replace(ADDRESS, sender_name=template)))

    name, _ = email.utils.parseaddr(email.message_from_bytes(written)["From"])
    assert str(email.header.make_header(email.header.decode_header(name))) == shown


def test_several_from_fields_become_one() -> None:
    copy = compose(b"From: a@x.test\r\n" + mail_from("b@x.test"))

    parsed = email.message_from_bytes(copy.octets)
    assert parsed.get_all("From") == ["Ann Smith via Support <relay@desk.test>"]
    assert parsed.get_all("X-Original-From") == ["a@x.test", "b@x.test"]
    assert "from.several" in copy.notes


def test_a_missing_from_is_written() -> None:
    copy = compose(b"Subject: x\r\n\r\nHi\r\n")

    parsed = email.message_from_bytes(copy.octets)
    assert parsed["From"] == "Ann Smith via Support <relay@desk.test>"
    assert parsed["Reply-To"]
    assert copy.notes == ("from.missing", "date.missing", "message_id.missing")


# --- ids and visible recipients


def test_a_new_message_id_keeps_the_thread() -> None:
    copy = compose(context=dataclasses.replace(CONTEXT, new_message_id="<new.1@desk.test>"))

    assert (
        b"Message-ID: <new.1@desk.test>\r\n"
        b"X-Original-Message-ID: <1@customer.example>\r\nIn-Reply-To: <0@desk.test>\r\n"
        b"References: <TYAPR01MB12345678901234567890123456789012345678901234567890@customer.example>\r\n"
        b" <0@desk.test>\r\n <1@customer.example>\r\n"
    ) in copy.octets


@pytest.mark.parametrize(
    ("fields", "references"),
    [
        pytest.param(b"Message-ID: <1@x.test>\r\n", "<1@x.test>", id="first-mail"),
        pytest.param(b"In-Reply-To: <0@x.test>\r\nMessage-ID: <1@x.test>\r\n", "<0@x.test> <1@x.test>", id="answer"),
        pytest.param(b"", None, id="without-id"),
        pytest.param(b"Message-ID: broken\r\n", None, id="broken-id"),
    ],
)
def test_references_are_made_when_there_are_none(fields: bytes, references: str | None) -> None:
    copy = compose(
        fields + mail_from("a@x.test"), context=dataclasses.replace(CONTEXT, new_message_id="<new.1@desk.test>")
    )

    parsed = email.message_from_bytes(copy.octets)
    assert parsed.get_all("Message-ID") == ["<new.1@desk.test>"]
    assert parsed["References"] == references


CC = [
    pytest.param(b"", "bo@desk.test, cy@desk.test", id="none"),
    pytest.param(b"Cc: x@y.test\r\n", "x@y.test, bo@desk.test, cy@desk.test", id="one"),
    pytest.param(b"Cc: x@y.test,\r\n", "x@y.test, bo@desk.test, cy@desk.test", id="comma"),
    pytest.param(b"Cc: \r\n", "bo@desk.test, cy@desk.test", id="empty"),
    pytest.param(b"Cc: team: a@y.test;\r\n", "team: a@y.test;, bo@desk.test, cy@desk.test", id="group"),
    pytest.param(b'Cc: "open <x@y.test>\r\n', 'bo@desk.test, cy@desk.test, "open <x@y.test>', id="broken"),
    pytest.param(b"Cc: a@y.test (open\r\n", "bo@desk.test, cy@desk.test, a@y.test (open", id="open-comment"),
]


@pytest.mark.parametrize(("field", "written"), CC)
def test_visible_recipients_stand_in_cc(field: bytes, written: str) -> None:
    plan = dataclasses.replace(PLAN, visible_recipients=("bo@desk.test", "cy@desk.test"))

    parsed = email.message_from_bytes(compose(field + mail_from("a@x.test"), plan=plan).octets)

    assert [" ".join(str(v).split()) for v in parsed.get_all("Cc", [])] == [written]


def test_owners_stand_in_no_header_otherwise() -> None:
    octets = compose(plan=dataclasses.replace(PLAN, reason_text="owner bo@desk.test")).octets

    assert b"bo@desk.test" not in octets


# --- what comes from outside never makes a field

HOSTILE = "=?utf-8?q?hi=0d=0aBcc=3a_e=40x.test?="


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(mail_from(f"{HOSTILE} <a@x.test>"), id="from"),
        pytest.param(mail_from("a@x.test").replace(b": x", b": " + HOSTILE.encode()), id="subject"),
        pytest.param(mail_from("a@x.test").replace(b": x", b": hi\rBcc: e@x.test"), id="lone-cr"),
        pytest.param(mail_from("a@x.test").replace(b": x", b": hi\r\n \r\n Bcc: e@x.test"), id="blank-continuation"),
        pytest.param(b"Reply-To: " + HOSTILE.encode() + b" <a@x.test>\r\n" + mail_from("a@x.test"), id="reply-to"),
        pytest.param(b"Message-ID: <1@x\rBcc: e@x.test>\r\n" + mail_from("a@x.test"), id="message-id"),
    ],
)
@pytest.mark.parametrize("new_id", ["", "<new.1@desk.test>"])
def test_nothing_from_outside_becomes_a_field(octets: bytes, new_id: str) -> None:
    """RELIABILITY C37."""
    plan = dataclasses.replace(PLAN, author_name="hi\r\nBcc: e@x.test", visible_recipients=("a\r\nBcc: e@x.test",))

    copy = compose(octets, plan=plan, context=dataclasses.replace(CONTEXT, new_message_id=new_id))

    assert "Bcc" not in email.message_from_bytes(copy.octets)
    assert not any(line.lower().startswith(b"bcc") for line in copy.octets.split(b"\r\n"))


def test_lines_that_are_no_field_do_not_end_the_header() -> None:
    octets = b"From ann@x.test Mon Mar  9 2026\r\nFrom: a@x.test\r\nsome garbage\r\nSubject: x\r\n\r\nHi\r\n"

    copy = compose(octets)

    parsed = email.message_from_bytes(copy.octets)
    assert parsed["Subject"] == "x"
    assert parsed["X-Original-Line"] == "some garbage"
    assert not any(line.startswith(b"From ") for line in copy.octets.split(b"\r\n"))


def test_a_field_over_998_octets_is_refolded_and_named() -> None:
    octets = (
        b"References: " + b"<1234567890123456789012345678901234567890@x.test> " * 40 + b"\r\n" + mail_from("a@x.test")
    )

    copy = compose(octets, banner=None)

    assert "header.refolded:references" in copy.notes
    assert max(map(len, copy.octets.split(b"\r\n"))) <= 998
    assert email.message_from_bytes(copy.octets)["References"].count("<1234") == 40


def test_a_renamed_field_stays_within_998_octets() -> None:
    octets = b"ARC-Seal: " + b"x " * 490 + b"yyyyyy\r\n" + mail_from("a@x.test")

    copy = compose(octets)

    assert max(map(len, copy.octets.split(b"\r\n"))) <= 998


def test_without_a_banner_only_the_header_changes() -> None:
    for copy in (compose(banner=None), compose(plan=dataclasses.replace(PLAN, banner="none"))):
        assert copy.octets.endswith(b"\r\n\r\nHello.\r\n")
        assert b"From: Ann Smith via Support <relay@desk.test>\r\n" in copy.octets


def test_a_mail_that_cannot_be_parsed_arrives_under_its_own_header() -> None:
    octets = MAIL.replace(b"X-Mailer", b"Content-Type: multipart/mixed\r\nX-Mailer")

    copy = compose(octets)

    parsed = email.message_from_bytes(copy.octets)
    assert parsed["Message-ID"] == "<1@customer.example>"
    assert parsed["From"] == "Ann Smith via Support <relay@desk.test>"
    assert [p.get_content_type() for p in parsed.walk()][:3] == ["multipart/mixed", "text/plain", "message/rfc822"]
    assert copy.notes == ("unparsed:multipart without a boundary",)
    assert b"secret@customer.example" not in copy.octets


def test_a_monstrous_header_arrives_as_an_attachment_under_a_clean_one() -> None:
    """RELIABILITY C33."""
    octets = b"X-Junk: y\r\n" * 100_000 + mail_from("a@x.test")

    copy = compose(octets)

    head_octets, _, _ = copy.octets.partition(b"\r\n\r\n")
    parsed = email.message_from_bytes(copy.octets)
    assert len(head_octets) < 2000
    assert parsed["Subject"] == "x"
    assert "minimal_header" in copy.notes
    attached = parsed.get_payload()[1]  # type: ignore[index]
    assert attached.get_content_type() in {"message/rfc822", "application/octet-stream"}  # type: ignore[union-attr]


def test_nothing_at_all_still_makes_a_copy() -> None:
    parsed = email.message_from_bytes(compose(b"").octets)

    assert parsed["From"] == "Ann Smith via Support <relay@desk.test>"


PIECES = [
    b"From: a@x.test\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: text/plain; charset=",
    b"utf-8",
    b"iso-2022-jp\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"--b\r\n",
    b"--b--\r\n",
    b"\0",
    b"\xe3\x81\x82",
    b"\x1b$B",
    b"\x1b(B",
    b"=\r\n",
    b"=3D",
    b"<body>",
    b"Content-Type: text/html\r\n",
    b'Cc: "',
    b"Bcc: x@y.test\r\n",
    b" ",
    b"x" * 1200,
    b"garbage\r\n",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join) | st.binary(max_size=200),
    st.sampled_from(list(DeliveryKind)),
)
def test_any_octets_make_a_sound_copy(octets: bytes, kind: DeliveryKind) -> None:
    copy = compose(octets, kind=kind, banner=Banner("案内\n", "<div>案内</div>\n"))

    assert copy.octets.count(b"\n") == copy.octets.count(b"\r\n") == copy.octets.count(b"\r")
    assert max(map(len, copy.octets.split(b"\r\n"))) <= 998
    assert not any(note.endswith(("Error", "Exception")) for note in copy.notes)
    assert head(copy).count(b"\r\nFrom: ") == 1
    assert b"\r\nBcc:" not in head(copy)


# --- as it is


def test_a_copy_as_it_is_changes_nothing_but_the_trace() -> None:
    copy = as_is_copy(MAIL, context=CONTEXT)

    assert copy.octets == (
        CONTEXT.received
        + b"X-Supportrelay-Id: Q1abc\r\nX-Supportrelay-Trail: v1; inst=a; msg=Q1abc; mac=abcdefghijklmnop\r\n"
        + MAIL.replace(b"Bcc: secret@customer.example\r\n", b"")
    )


# --- Received


def peer(helo: str = "mail.customer.example", ip: str = "192.0.2.1", **more: str) -> Peer:
    return Peer(ip, helo, **more)  # type: ignore[arg-type]


def received(
    envelope_peer: Peer, *, paths: tuple[str, ...] = ("support@desk.test",), is_smtputf8: bool = False
) -> bytes:
    envelope = Envelope("ann@customer.example", paths, envelope_peer, is_smtputf8)
    at = AT.astimezone(timezone(timedelta(hours=9)))
    return received_line(envelope, hostname="mx.desk.test", queue_id="Q1abc", at=at)


def test_received_says_who_by_whom_and_when() -> None:
    assert received(peer()) == (
        b"Received: from mail.customer.example ([192.0.2.1])\r\n"
        b"\tby mx.desk.test (supportrelay) with ESMTP id Q1abc\r\n"
        b"\tfor <support@desk.test>;\r\n"
        b"\tMon, 9 Mar 2026 07:05:01 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        pytest.param(received(peer(ip="2001:db8::1")), b"([IPv6:2001:db8::1])", id="ipv6"),
        pytest.param(received(peer(tls="TLSv1.3")), b"with ESMTPS id", id="tls"),
        pytest.param(received(peer(tls="TLSv1.3", user="ann")), b"with ESMTPSA id", id="auth"),
        pytest.param(received(peer(), is_smtputf8=True), b"with UTF8SMTP id", id="smtputf8"),
        pytest.param(received(peer(helo="")), b"from unknown (", id="no-helo"),
        pytest.param(received(peer(helo="a\r\nX-Inj: 1\x1b\x00é")), b"from a??X-Inj:?1??? (", id="hostile-helo"),
    ],
)
def test_received_names_the_session(line: bytes, wanted: bytes) -> None:
    assert wanted in line
    assert line.count(b"\r\n") - line.count(b"\r\n\t") == 1


@pytest.mark.parametrize("paths", [("a@x.test", "b@x.test"), ("support+secrettoken@desk.test",), ('"a b"@x.test',)])
def test_received_names_no_blind_recipient_and_no_token(paths: tuple[str, ...]) -> None:
    assert b"for <" not in received(peer(), paths=paths)
