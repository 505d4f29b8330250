"""The listener, octet by octet: what it takes, what it refuses, what it survives (RELIABILITY C01-C32, D01-D17)."""

import asyncio
import resource
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from smtp_client import Desk, RawClient, a_listener, all_gone
from supportrelay.core.envelope import Envelope, Role
from supportrelay.core.errors import PermanentFailure, TransientFailure
from supportrelay.core.reply import ACCEPTED, Reply
from supportrelay.edge.smtp_in import Limits
from supportrelay.edge.smtp_in.command import MailCommand, parse_mail, parse_rcpt
from supportrelay.edge.smtp_in.content import ContentReader, count_received

MAIL = b"Subject: a question\r\n\r\nHello"


# --- envelope ---


async def test_a_mail_is_handed_over_with_its_envelope() -> None:
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        assert client.greeting == "220 mx.desk.test ESMTP supportrelay"
        assert (await client.send(MAIL, "support@desk.test", "help@Desk.TEST")).startswith("250 2.0.0 ")
        assert (await client.say("QUIT")).startswith("221 ")
        assert await client.reply() == ""

    envelope, octets = desk.taken[0]
    assert octets == MAIL + b"\r\n"
    assert envelope.reverse_path == "ann@customer.test"
    assert envelope.forward_paths == ("support@desk.test", "help@desk.test")
    assert (envelope.peer.ip, envelope.peer.helo, envelope.peer.role) == ("127.0.0.1", "client.test", Role.MX)
    assert not envelope.is_smtputf8


async def test_ehlo_offers_what_is_done_and_no_more() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        reply = await client.say("EHLO client.test")

    assert reply.split("\n") == [
        "250-mx.desk.test",
        "250-PIPELINING",
        "250-SIZE 100000",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250 ENHANCEDSTATUSCODES",
    ]


async def test_a_null_reverse_path_is_empty() -> None:
    """RELIABILITY, finding 5: aiosmtpd says '<>'."""
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.begin(sender="")
        await client.say(b"x\r\n.")

    assert desk.taken[0][0].reverse_path == ""


async def test_a_recipient_named_twice_is_one() -> None:
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.send(MAIL, "support@desk.test", "Support@DESK.test", "support@desk.test")

    assert desk.taken[0][0].forward_paths == ("support@desk.test",)


async def test_at_least_a_hundred_recipients_are_taken_then_the_rest_may_come_separately() -> None:
    """RELIABILITY C20."""
    desk = Desk()
    async with a_listener(desk, limits=Limits(recipients=100)) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await client.say("MAIL FROM:<a@customer.test>")
        replies = [await client.say(f"RCPT TO:<p{n}@desk.test>") for n in range(103)]
        await client.say("DATA")
        await client.say(MAIL + b"\r\n.")

    assert [reply[:3] for reply in replies] == ["250"] * 100 + ["452"] * 3
    assert len(desk.taken[0][0].forward_paths) == 100


async def test_who_names_one_recipient_for_ever_is_sent_away() -> None:
    """RELIABILITY C20, C21."""
    async with a_listener(Desk(), limits=Limits(recipients=100)) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await client.say("MAIL FROM:<a@customer.test>")
        replies = [await client.say("RCPT TO:<support@desk.test>") for _ in range(100)]
        late = [await client.say("RCPT TO:<support@desk.test>") for _ in range(1000)]
        last = await client.reply()

    assert {reply[:3] for reply in replies} == {"250"}
    assert late[0].startswith("452 4.5.3")
    assert last.startswith("421 4.7.0")


PATHS = [
    pytest.param("FROM:<a@b.test>", MailCommand("a@b.test"), id="plain"),
    pytest.param("from: <a@B.Test> ", MailCommand("a@b.test"), id="blank and case"),
    pytest.param("FROM:a@b.test", MailCommand("a@b.test"), id="a device without brackets"),
    pytest.param("FROM:<>", MailCommand(""), id="null"),
    pytest.param("FROM:<@x.test,@y.test:a@b.test>", MailCommand("a@b.test"), id="source route (C03)"),
    pytest.param('FROM:<"a b>c"@b.test>', MailCommand('"a b>c"@b.test'), id="quoted"),
    pytest.param('FROM:<"ann"@b.test>', MailCommand("ann@b.test"), id="quoted without need (C04)"),
    pytest.param("FROM:<abc..@ezweb.test>", MailCommand('"abc.."@ezweb.test'), id="carrier"),
    pytest.param("FROM:<a@b.test> SIZE=12", MailCommand("a@b.test", 12), id="size"),
    pytest.param("FROM:<a@b.test> size=12 body=8bitmime", MailCommand("a@b.test", 12), id="lower case"),
    pytest.param(
        "FROM:<用户@例.test> SMTPUTF8", MailCommand("用户@xn--fsq.test", is_smtputf8=True), id="SMTPUTF8 with IDN"
    ),
]
REFUSED_PATHS = [
    pytest.param("", "501 5.1.7", id="nothing"),
    pytest.param("TO:<a@b.test>", "501 5.1.7", id="another keyword"),
    pytest.param("FROM:<a@b.test", "501 5.1.7", id="bracket missing"),
    pytest.param("FROM:<a@b@c.test>", "501 5.1.7", id="two @ (C05)"),
    pytest.param("FROM:<a@b.test.>", "501 5.1.7", id="trailing dot (C05)"),
    pytest.param("FROM:<a>", "501 5.1.7", id="no domain (C05)"),
    pytest.param("FROM:<a@b.test>SIZE=1", "501 5.1.7", id="no blank"),
    pytest.param("FROM:<用户@b.test>", "553 5.6.7", id="UTF-8 without SMTPUTF8 (C08)"),
    pytest.param("FROM:<a@b.test> SIZE=abc", "501 5.5.4", id="SIZE=abc (C19)"),
    pytest.param("FROM:<a@b.test> SIZE=²", "501 5.5.4", id="superscript (C19)"),
    pytest.param("FROM:<a@b.test> SIZE=" + "9" * 400, "501 5.5.4", id="400 digits (C19)"),
    pytest.param("FROM:<a@b.test> SIZE", "501 5.5.4", id="SIZE without value"),
    pytest.param("FROM:<a@b.test> SMTPUTF8=1", "501 5.5.4", id="SMTPUTF8 with value"),
    pytest.param("FROM:<a@b.test> SIZE=1 SIZE=2", "501 5.5.4", id="twice"),
    pytest.param("FROM:<a@b.test> BODY=BINARYMIME", "501 5.5.4", id="BINARYMIME (C30)"),
    pytest.param("FROM:<a@b.test> RET=HDRS", "555 5.5.4", id="DSN (C30)"),
    pytest.param("FROM:<a@b.test> AUTH=<>", "555 5.5.4", id="AUTH= (C30)"),
]


@pytest.mark.parametrize(("argument", "expected"), PATHS)
def test_mail_is_read_by_our_own_grammar(argument: str, expected: MailCommand) -> None:
    assert parse_mail(argument, is_extended=True) == expected


@pytest.mark.parametrize(("argument", "reply"), REFUSED_PATHS)
def test_what_mail_may_not_say_is_refused(argument: str, reply: str) -> None:
    assert str(parse_mail(argument, is_extended=True)).startswith(reply)


def test_helo_knows_no_parameters() -> None:
    assert str(parse_mail("FROM:<a@b.test> SIZE=1", is_extended=False)).startswith("555 ")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        pytest.param("TO:<support@desk.test>", "support@desk.test", id="plain"),
        pytest.param("TO:<Postmaster>", "postmaster", id="postmaster (C07)"),
        pytest.param("TO:<>", "501 5.1.3", id="null (C06)"),
        pytest.param("TO:<support>", "501 5.1.3", id="bare name (C05)"),
        pytest.param("TO:<a@b.test> NOTIFY=NEVER", "555 5.5.4", id="DSN"),
        pytest.param("TO:<support@[127.0.0.1]>", "support@[127.0.0.1]", id="the policy judges literals (C05)"),
    ],
)
def test_rcpt_is_read_by_our_own_grammar(argument: str, expected: str) -> None:
    assert str(parse_rcpt(argument, is_smtputf8=False)).startswith(expected)


@given(st.text(max_size=120))
def test_the_grammar_answers_whatever_is_said(text: str) -> None:
    for keyword in ("", "FROM:<", "FROM:", "TO:<"):
        parse_mail(keyword + text, is_extended=True)
        parse_rcpt(keyword + text, is_smtputf8=True)


# --- content ---


@pytest.mark.parametrize(
    ("wire", "octets"),
    [
        pytest.param(b".\r\n", b"", id="empty"),
        pytest.param(b"\r\n.\r\n", b"\r\n", id="an empty line"),
        pytest.param(b"a\r\n.\r\n", b"a\r\n", id="a line"),
        pytest.param(b"..\r\n.\r\n", b".\r\n", id="a stuffed dot"),
        pytest.param(b"a\r\n..b\r\n...c\r\n.\r\n", b"a\r\n.b\r\n..c\r\n", id="stuffed dots"),
        pytest.param(b".a\r\n.\r\n", b"a\r\n", id="a dot that was not stuffed"),
        pytest.param(b"a\nb\rc\r\r\n.\r\n", b"a\r\nb\r\nc\r\n\r\n", id="stray line ends become CRLF, once"),
        pytest.param(b"a\r\n\0.\r\n.\r\n", b"a\r\n\0.\r\n", id="NUL stays"),
    ],
)
def test_content_is_unstuffed_and_its_line_ends_are_crlf(wire: bytes, octets: bytes) -> None:
    for cut in range(1, len(wire) + 1):
        reader = ContentReader(1000)
        rest = [reader.feed(wire[start : start + cut]) for start in range(0, len(wire), cut)]
        assert rest[-1] == b""
        assert reader.octets() == octets


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.\r\n", b"\0"]), max_size=40), st.integers(1, 7)
)
def test_however_octets_are_cut_the_end_is_the_first_crlf_dot_crlf(pieces: list[bytes], cut: int) -> None:
    wire = b"".join(pieces) + b"\r\n.\r\nQUIT"
    end = (b"\r\n" + wire).find(b"\r\n.\r\n") - 2
    reader = ContentReader(10_000)
    left = b""
    for start in range(0, len(wire), cut):
        rest = reader.feed(wire[start : start + cut])
        if rest is not None:
            left = rest + wire[start + cut :]
            break
    assert left == wire[end + 5 :]
    octets = reader.octets()
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\n", b"\r\n.\r"]
)
async def test_nothing_but_crlf_dot_crlf_ends_a_message(end: bytes) -> None:
    """RELIABILITY C10: one message, whatever a smuggler takes for an end."""
    desk = Desk()
    smuggled = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<support@desk.test>\r\nDATA\r\nsmuggled"
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        assert (await client.send(b"first" + end + smuggled)).startswith("250 ")
        assert (await client.say("NOOP")).startswith("250 ")

    assert len(desk.taken) == 1
    assert b"smuggled" in desk.taken[0][1]
    assert b"\r\n.\r\n" not in (octets := desk.taken[0][1]) or octets.count(b"\n") == octets.count(b"\r\n")


async def test_a_line_of_a_mebibyte_is_a_line() -> None:
    """RELIABILITY C16; aiosmtpd refuses it for good."""
    desk = Desk(max_size=2_000_000)
    line = b"x" * (1 << 20)
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        assert (await client.send(line)).startswith("250 ")

    assert desk.taken[0][1] == line + b"\r\n"


@pytest.mark.parametrize("filler", [b"x" * 999 + b"\r\n", b"\r\n", b"x", b"\r", b"\n.\n"])
async def test_a_mail_over_the_limit_is_refused_at_its_end_and_the_session_goes_on(filler: bytes) -> None:
    """RELIABILITY C17, C18."""
    desk = Desk(max_size=50_000)
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        body = filler * (60_000 // len(filler))
        assert (await client.send(b"x" + body)).startswith("552 5.3.4 ")
        assert (await client.send(MAIL)).startswith("250 ")

    assert len(desk.taken) == 1


async def test_a_declared_size_over_the_limit_is_refused_at_mail() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        assert (await client.say("MAIL FROM:<a@b.test> SIZE=100001")).startswith("552 5.3.4 ")
        assert (await client.say("MAIL FROM:<a@b.test> SIZE=100000")).startswith("250 ")


async def test_an_endless_mail_is_cut_off_and_costs_no_memory() -> None:
    """RELIABILITY C18: discarded up to twice the limit, then closed."""
    async with a_listener(Desk(max_size=1_000_000)) as listener, RawClient.to(listener) as client:
        await client.begin()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            for _ in range(400):
                client.writer.write(b"\r\n" * 32768)
                await client.writer.drain()
        except ConnectionError:
            pass
        assert (await client.reply())[:3] in {"552", ""}
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


async def test_more_than_fifty_hops_are_a_loop() -> None:
    """RELIABILITY C56; DESIGN 5."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        assert (await client.send(b"Received: x\r\n" * 51 + MAIL)).startswith("554 5.4.6 ")
        assert (await client.send(b"Received: x\r\n" * 50 + MAIL + b"\r\nReceived: in the body")).startswith("250 ")


@pytest.mark.parametrize(
    ("octets", "count"),
    [
        (b"", 0),
        (b"Received: a\r\n\r\nx", 1),
        (b"RECEIVED: a\r\nX: b\r\nreceived: c\r\n\r\nReceived: d", 2),
        (b"Received: a", 1),
    ],
)
def test_hops_are_counted_in_the_header_only(octets: bytes, count: int) -> None:
    assert count_received(octets) == count


# --- failures of ours ---


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        pytest.param(RuntimeError("database is locked"), "451 4.3.0 ", id="a bug"),
        pytest.param(
            TransientFailure("4.3.0", "Cannot store now", detail="/var/lib"), "451 4.3.0 Cannot", id="weather"
        ),
        pytest.param(TransientFailure("4.3.1", "No room now"), "452 4.3.1 No room now", id="a full disk"),
        pytest.param(PermanentFailure("5.6.0", "Not this one"), "554 5.6.0 Not this one", id="for good"),
    ],
)
async def test_a_failing_station_is_temporary_says_nothing_of_its_inside_and_the_next_mail_works(
    error: Exception, reply: str
) -> None:
    """RELIABILITY, finding 1; D01, C29."""
    desk = Desk()

    async def fail(envelope: Envelope, octets: bytes) -> Reply:
        desk.answer = None
        raise error

    desk.answer = fail
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        said = await client.send(MAIL)
        assert said.startswith(reply)
        assert "locked" not in said
        assert "/var" not in said
        assert (await client.send(MAIL)).startswith("250 ")


async def test_a_failing_policy_is_temporary_too() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await client.say("MAIL FROM:<a@customer.test>")
        assert (await client.say("RCPT TO:<crash@desk.test>")).startswith("451 4.3.0 ")
        assert (await client.send(MAIL)).startswith("250 ")


async def test_custody_outlives_the_client() -> None:
    """RELIABILITY, finding 2; D02: a commit is not cancelled when the client goes away."""
    desk = Desk()
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(envelope: Envelope, octets: bytes) -> Reply:
        began.set()
        await go_on.wait()
        desk.taken.append((envelope, octets))
        return ACCEPTED

    desk.answer = slow
    async with a_listener(desk) as listener:
        async with RawClient.to(listener) as client:
            await client.begin()
            client.write(MAIL + b"\r\n.")
            await began.wait()
            client.writer.transport.abort()
        go_on.set()
        await listener.drain(2)

    assert len(desk.taken) == 1


async def test_a_half_closed_client_gets_its_reply() -> None:
    """RELIABILITY C32: nc -N."""
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.begin()
        client.write(MAIL + b"\r\n.")
        client.writer.write_eof()
        assert (await client.reply()).startswith("250 ")
        assert await client.reply() == ""

    assert len(desk.taken) == 1


async def test_a_client_that_leaves_in_the_middle_leaves_nothing() -> None:
    desk = Desk()
    async with a_listener(desk) as listener:
        async with RawClient.to(listener) as client:
            await client.begin()
            client.write(MAIL)
        await listener.drain(2)

    assert desk.taken == []


# --- limits ---


async def test_commands_may_be_pipelined() -> None:
    """RFC 2920: we say PIPELINING, so every reply comes, in order."""
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        for _ in range(2):
            client.write("MAIL FROM:<a@customer.test>\r\nRCPT TO:<x@other.test>\r\nRCPT TO:<support@desk.test>\r\nDATA")
            assert [(await client.reply())[:3] for _ in range(4)] == ["250", "550", "250", "354"]
            client.write(MAIL + b"\r\n.\r\nNOOP")
            assert [(await client.reply())[:3] for _ in range(2)] == ["250", "250"]

    assert len(desk.taken) == 2


@pytest.mark.parametrize("early", ["EHLO x\r\nMAIL FROM:<a@b.test>", "EHLO x\r\nNOOP"])
async def test_who_speaks_before_the_reply_to_ehlo_is_sent_away(early: str) -> None:
    """RELIABILITY C12."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        assert (await client.say(early)).startswith("554 5.5.0 ")
        assert await client.reply() == ""


async def test_who_sends_content_before_354_is_sent_away() -> None:
    """RELIABILITY C12."""
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await client.say("MAIL FROM:<a@b.test>")
        await client.say("RCPT TO:<support@desk.test>")
        assert (await client.say("DATA\r\nSubject: x\r\n\r\nhi\r\n.")).startswith("554 5.5.0 ")

    assert desk.taken == []


@pytest.mark.parametrize("length", [513, 1002, 70_000, 200_000])
async def test_a_line_too_long_is_refused_and_the_session_lives(length: int) -> None:
    """RELIABILITY C15."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        assert (await client.say("NOOP " + "x" * (length - 7))).startswith("500 5.5.2 ")
        assert (await client.say("NOOP " + "x" * 505)).startswith("250 ")


async def test_an_endless_line_is_cut_off() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        client.writer.write(b"x" * (2 << 20))
        assert (await client.reply()).startswith("500 5.5.2 ")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        pytest.param(b"\x80\x81", "500 5.5.2", id="octets (C28)"),
        pytest.param(b"NOOP \xff", "500 5.5.2", id="no UTF-8 (C28)"),
        pytest.param(b"", "500 5.5.2", id="empty"),
        pytest.param(b"FROB", "500 5.5.1", id="unknown"),
        pytest.param(b"MAIL FROM:<a\0b@c.test>", "501 5.1.7", id="NUL (C08)"),
        pytest.param(b"MAIL FROM:<a\rb@c.test>", "501 5.1.7", id="CR (C08)"),
        pytest.param(b"RCPT TO:<a\x7fb@c.test>", "501 5.1.3", id="DEL (C08)"),
        pytest.param(b"EHLO a\rX-Inj: 1", "501 5.5.4", id="HELO with CR (C27)"),
        pytest.param(b"EHLO a\x1b[31m", "501 5.5.4", id="HELO with ESC (C27)"),
        pytest.param(b"EHLO " + b"a" * 300, "501 5.5.4", id="HELO too long (C27)"),
        pytest.param(b"EHLO", "501 5.5.4", id="HELO without name"),
        pytest.param(b"AUTH PLAIN AGEAYg==", "502 5.5.1", id="no AUTH (C25)"),
        pytest.param(b"MAIL FROM:<a@b.test>", "503 5.5.1", id="MAIL before EHLO"),
        pytest.param(b"RCPT TO:<a@b.test>", "503 5.5.1", id="RCPT before MAIL"),
        pytest.param(b"DATA", "503 5.5.1", id="DATA before MAIL"),
        pytest.param(b"VRFY support", "252 2.1.5", id="VRFY"),
        pytest.param(b"EXPN all", "502 5.5.1", id="EXPN"),
        pytest.param(b"STARTTLS", "454 4.7.0", id="no TLS"),
    ],
)
async def test_a_line_that_is_no_use_gets_its_reply_and_the_session_lives(line: bytes, reply: str) -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        assert (await client.say(line)).startswith(reply)
        assert (await client.say("NOOP")).startswith("250 ")


async def test_a_bare_line_feed_ends_no_command() -> None:
    """RELIABILITY D17."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        client.writer.write(b"NOOP\n")
        assert (await client.reply()).startswith("500 5.5.2 ")


async def test_a_strange_helo_name_is_made_harmless() -> None:
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.say("EHLO evil(comment);x and more")
        await client.say("MAIL FROM:<a@b.test>")
        await client.say("RCPT TO:<support@desk.test>")
        await client.say("DATA")
        await client.say(b"x\r\n.")

    assert desk.taken[0][0].peer.helo == "evil?comment??x"


@pytest.mark.parametrize(
    "octets", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
)
async def test_other_protocols_are_sent_away_at_once(octets: bytes) -> None:
    """RELIABILITY C31."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        client.writer.write(octets)
        assert (await client.reply()).startswith("554 ")
        assert await client.reply() == ""


async def test_octets_after_bdat_are_not_read_as_commands() -> None:
    """RELIABILITY C30."""
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await client.say("MAIL FROM:<a@b.test>")
        client.writer.write(b"BDAT 12\r\nQUIT\r\nQUIT\r\nNOOP\r\n")
        assert (await client.reply()).startswith("502 5.5.1 ")
        assert (await client.reply()).startswith("250 ")
        client.writer.write(b"BDAT 0 LAST\r\n")
        assert (await client.reply()).startswith("502 5.5.1 ")
        assert (await client.say("NOOP")).startswith("250 ")


@pytest.mark.parametrize("line", ["NOOP", "RSET", "VRFY x", "EHLO x"])
async def test_commands_without_mail_come_to_an_end(line: str) -> None:
    """RELIABILITY C21."""
    async with a_listener(Desk(), limits=Limits(idle_commands=20)) as listener, RawClient.to(listener) as client:
        replies = [await client.say(line) for _ in range(22)]

    assert [reply[:3] for reply in replies] == ["252" if line == "VRFY x" else "250"] * 21 + ["421"]


async def test_errors_come_to_an_end() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        replies: list[str] = []
        while not replies or replies[-1]:
            replies.append(await client.say("FROB"))

    assert replies[-2].startswith("421 4.7.0 ")
    assert len(replies) == 22


async def test_an_idle_client_is_told_and_closed() -> None:
    """RELIABILITY C22."""
    async with a_listener(Desk(), limits=Limits(idle_s=0.15)) as listener, RawClient.to(listener) as client:
        assert (await client.reply()).startswith("421 4.4.2 ")
        assert await client.reply() == ""
        assert listener.open_sessions == 0


async def test_a_client_silent_in_data_is_told_and_closed() -> None:
    limits = Limits(data_idle_s=0.15)
    async with a_listener(Desk(), limits=limits) as listener, RawClient.to(listener) as client:
        await client.begin()
        assert (await client.reply()).startswith("421 4.4.2 ")


async def test_a_client_that_drips_its_data_is_told_and_closed() -> None:
    """RELIABILITY C22, D04: a rate, not a timer that each octet resets."""
    limits = Limits(data_idle_s=5, data_grace_s=0.3, data_octets_per_s=500)
    async with a_listener(Desk(), limits=limits) as listener, RawClient.to(listener) as client:
        await client.begin()

        async def drip() -> None:
            while True:
                client.writer.write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await client.reply()).startswith("421 4.4.2 ")
        dripping.cancel()


async def test_a_client_that_never_reads_is_cut_off() -> None:
    """RELIABILITY C23, D05."""
    limits = Limits(idle_s=0.3, linger_s=0.2, idle_commands=10**9)
    async with a_listener(Desk(), limits=limits) as listener:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            await loop.sock_connect(client, listener.address)
            try:
                async with asyncio.timeout(5):
                    while True:
                        await loop.sock_sendall(client, b"NOOP\r\n" * 1000)
            except (ConnectionError, TimeoutError):
                pass
            await all_gone(listener)


async def test_one_address_gets_so_many_connections_unless_it_is_trusted() -> None:
    """RELIABILITY C24."""
    desk = Desk(trusted=frozenset({"127.0.0.3"}))
    async with a_listener(desk, limits=Limits(connections_per_client=1)) as listener:
        async with (
            RawClient.to(listener) as first,
            RawClient.to(listener) as second,
            RawClient.to(listener, source="127.0.0.2") as other,
            RawClient.to(listener, source="127.0.0.3"),
            RawClient.to(listener, source="127.0.0.3") as trusted,
        ):
            greetings = [client.greeting[:9] for client in (first, second, other, trusted)]
        assert greetings == ["220 mx.de", "421 4.7.0", "220 mx.de", "220 mx.de"]


async def test_all_together_get_so_many_connections_and_places_become_free_again() -> None:
    async with a_listener(Desk(), limits=Limits(connections=1)) as listener:
        async with RawClient.to(listener) as first, RawClient.to(listener) as second:
            assert first.greeting.startswith("220 ")
            assert second.greeting.startswith("421 4.3.2 ")
            await first.say("QUIT")
            await first.reply()
        await all_gone(listener)
        async with RawClient.to(listener) as third:
            assert third.greeting.startswith("220 ")


# --- the way out ---


async def test_idle_clients_are_told_when_the_listener_goes() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await listener.drain(2)

        assert (await client.reply()).startswith("421 4.3.2 ")
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(*listener.address)


async def test_a_mail_under_way_comes_to_its_end_when_the_listener_goes() -> None:
    """RELIABILITY F08."""
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        await client.begin()
        draining = asyncio.create_task(listener.drain(5))
        await asyncio.sleep(0)
        assert (await client.say(MAIL + b"\r\n.")).startswith("250 ")
        assert (await client.reply()).startswith("421 4.3.2 ")
        await draining

    assert len(desk.taken) == 1


async def test_a_mail_that_does_not_end_is_cut_off_when_the_time_is_over() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.begin()
        await listener.drain(0.1)

        assert await client.reply() == ""
        assert listener.open_sessions == 0


# --- TLS ---


@pytest.fixture(scope="session")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        f" -keyout {folder}/key -out {folder}/crt".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "crt"), Path(folder, "key"))
    return context


async def a_tls_mail(desk: Desk) -> None:
    async with a_listener(desk, tls_required=True) as listener, RawClient.to(listener) as client:
        assert "250-STARTTLS" in await client.say("EHLO clear.test")
        assert (await client.say("MAIL FROM:<a@b.test>")).startswith("530 5.7.0 ")
        assert (await client.say("STARTTLS")).startswith("220 ")
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        await client.writer.start_tls(trusting)
        assert (await client.say("MAIL FROM:<a@b.test>")).startswith("503 "), "what was said in clear does not count"
        assert "STARTTLS" not in await client.say("EHLO client.test")
        assert (await client.say("STARTTLS")).startswith("502 ")
        assert (await client.send(MAIL)).startswith("250 ")
        assert (await client.say("QUIT")).startswith("221 ")
    assert desk.taken[0][0].peer.tls.startswith("TLSv1.")
    assert desk.taken[0][0].peer.helo == "client.test"


async def test_starttls_encrypts_and_forgets_what_was_said_before(server_tls: ssl.SSLContext) -> None:
    await a_tls_mail(Desk(tls=server_tls))


def test_starttls_works_on_the_loop_that_serves(server_tls: ssl.SSLContext) -> None:
    """The daemon runs on uvloop."""
    uvloop.run(a_tls_mail(Desk(tls=server_tls)))


async def test_what_comes_in_one_segment_with_starttls_is_never_read(server_tls: ssl.SSLContext) -> None:
    """RELIABILITY C13 (CVE-2024-34083)."""
    async with a_listener(Desk(tls=server_tls)) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        assert (await client.say("STARTTLS\r\nMAIL FROM:<evil@x.test>")).startswith("554 5.5.0 ")
        assert await client.reply() == ""


async def test_a_failed_handshake_closes(server_tls: ssl.SSLContext) -> None:
    async with a_listener(Desk(tls=server_tls)) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        await client.say("STARTTLS")
        client.writer.write(b"no TLS at all\r\n\r\n")
        assert (await client.reader.read(1000))[:1] in {b"", b"\x15"}
        await all_gone(listener)


async def test_a_reload_changes_the_certificate_and_the_policy_under_an_open_session(
    server_tls: ssl.SSLContext,
) -> None:
    desk = Desk()
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        assert "STARTTLS" not in await client.say("EHLO x")
        desk.tls, desk.max_size = server_tls, 5
        assert "STARTTLS" in await client.say("EHLO x")
        assert (await client.send(MAIL)).startswith("552 ")


def test_a_whole_session_works_on_the_loop_that_serves() -> None:
    uvloop.run(test_a_mail_is_handed_over_with_its_envelope())
