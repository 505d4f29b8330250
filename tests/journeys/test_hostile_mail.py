"""Hostile mail, row by row of RELIABILITY C3, through the running daemon: it goes on, it is whole, it does no harm.

Which row stands where: docs/security.md. Customers are of companies that ann owns, so one copy each is what arrives.
"""

import base64
import io
import re
import smtplib
import threading
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from journeys.letters import decoded, fields, header
from journeys.relay import GATEWAY, STRANGER, Relay
from rfc_mime import decode, read_entity, walk
from smtp_sink import Received, ThreadedSink

SUPPORT, OWNER, SENDER = "support@desk.test", "ann@staff.test", "relay@desk.test"
CUSTOMER = "kunde@acme7.example"
COUNTER = iter(range(10_000))
WIDE = ("SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


class Hall:
    """The relay and what arrives."""

    def __init__(self, relay: Relay, sink: ThreadedSink) -> None:
        self.relay = relay
        self.sink = sink

    def post(
        self, octets: bytes, sender: str = CUSTOMER, to: str = SUPPORT, *, peer: str = STRANGER, smtputf8: bool = False
    ) -> list[Received]:
        """Send one mail, wait until all work is done, return what arrived meanwhile."""
        before = len(self.sink.messages)
        options = ["BODY=8BITMIME", *(["SMTPUTF8"] if smtputf8 else [])]
        with smtplib.SMTP("127.0.0.1", self.relay.port, source_address=(peer, 0), timeout=60) as client:
            client.ehlo("client.example")
            assert client.mail(sender, options)[0] == 250
            assert client.rcpt(to)[0] == 250
            client.putcmd("data")
            assert client.getreply()[0] == 354
            # Raw octets: smtplib's own way would mend line ends.
            client.send(re.sub(rb"(?m)^\.", b"..", octets) + (b"" if octets.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            code, text = client.getreply()
            assert code == 250, text
        self.relay.settle(timeout=120)
        arrived: list[Received] = self.sink.messages[before:]
        return arrived

    def life(self, octets: bytes) -> dict[str, Any]:
        """What was decided on the newest mail with the subject of these octets."""
        found = [
            one for one in self.relay.ask("queue.list", finished=True, limit=50) if one["subject"] == subject_of(octets)
        ]
        shown: dict[str, Any] = self.relay.ask("queue.show", queue_id=found[-1]["queue_id"])
        return shown


def subject_of(octets: bytes) -> str:
    return header(octets, "Subject")


@pytest.fixture
def hall(relay: Relay, sink: ThreadedSink) -> Iterator[Hall]:
    yield Hall(relay, sink)
    sink.behave_well()
    sink.settings.extensions = WIDE
    sink.close_connections()


def letter(more: bytes = b"", body: bytes = b"Hello, where is it?\r\n", *, without: str = "") -> bytes:
    """A mail with an id and a subject of its own; ``more`` are header fields at its end."""
    number = next(COUNTER)
    head = {
        "From": f"Kunde <{CUSTOMER}>",
        "To": SUPPORT,
        "Subject": f"hostile {number}",
        "Message-ID": f"<hostile.{number}@acme7.example>",
        "Date": "Mon, 2 Mar 2026 10:00:00 +0900",
    }
    lines = [f"{name}: {value}\r\n" for name, value in head.items() if name not in without.split()]
    return "".join(lines).encode() + more + b"\r\n" + body


def assert_whole(copy: Received, octets: bytes) -> None:
    """The body is in the copy octet for octet, or the whole mail is attached."""
    body = octets.partition(b"\r\n\r\n")[2]
    parts = [copy.octets, *(decode(part) for part in walk(read_entity(copy.octets)))]
    assert any(one.endswith(body) or body in one or octets.strip() in one for one in parts)
    assert header(copy.octets, "From").endswith(f"<{SENDER}>")
    assert len(fields(copy.octets, "From")) == 1


# -- C33 to C36: what parsers break on -------------------------------------------------------------------------------


HUGE = {
    "a hundred thousand fields": b"X: y\r\n" * 100_000,
    "a field of a megabyte": b"X-Long: " + b"word \r\n\t" * 131_072 + b"end\r\n",
    "a megabyte of references": b"References: " + b"<0123456789@x.example>\r\n " * 42_000 + b"<end@x.example>\r\n",
}


@pytest.mark.parametrize("name", list(HUGE))
def test_c33_a_huge_header_block_goes_on_unparsed(hall: Hall, name: str) -> None:
    """It is attached whole under a clean header; nobody refuses it and nobody chokes on it."""
    octets = letter(HUGE[name])
    (copy,) = hall.post(octets)

    assert len(copy.octets.partition(b"\r\n\r\n")[0]) < 64 * 1024
    assert any(octets == decode(part) for part in walk(read_entity(copy.octets)))
    assert subject_of(copy.octets) == subject_of(octets)
    assert hall.life(octets)["ticket"]


SLOW = {
    "commas": letter(b"Cc: " + b"," * 65_536 + b"\r\n"),
    "encoded words": letter(b"X-Words: " + b"=?utf-8?q?a?= " * 14_000 + b"\r\n"),
    "encoded words in the names": letter(b"Cc: " + b"=?utf-8?b?44GC?= <a@b.example>, " * 6_000 + b"c@d.example\r\n"),
    "dots": letter(b"Reply-To: " + b"a." * 12_000 + b"\r\n"),
    "quotes in parameters": letter(b"Content-Disposition: attachment" + b'; "' * 12_000 + b"\r\n"),
    "eight hundred boundaries": letter(
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="0"\r\n',
        b"".join(b'--%d\r\nContent-Type: multipart/mixed; boundary="%d"\r\n\r\n' % (n, n + 1) for n in range(800)),
    ),
    "brackets": letter(b"Cc: " + b"(" * 60_000 + b"\r\n"),
    "backslashes": letter(b'Cc: "' + b"\\" * 60_000 + b"\r\n"),
    "angles": letter(b"In-Reply-To: " + b"<" * 60_000 + b"\r\n"),
    "white space": letter(b"X-Space: " + b"\t \r\n " * 15_000 + b"x\r\n"),
}


def test_c34_headers_that_parsers_are_quadratic_on_hold_nobody_up(hall: Hall) -> None:
    """While they are worked on, the daemon answers others. How long it took is printed, not judged: machines differ."""
    waits: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            begun = time.monotonic()
            hall.relay.ask("relay.ping")
            waits.append(time.monotonic() - begun)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        arrived = {name: hall.post(octets) for name, octets in SLOW.items()}
    finally:
        done.set()
        asking.join()

    print(f"{len(waits)} questions to the daemon meanwhile, the longest took {max(waits) * 1000:.0f} ms")
    assert waits
    for name, copies in arrived.items():
        assert [copy.recipients for copy in copies] == [(OWNER,)], name
        assert_whole(copies[0], SLOW[name])


def _nested(opened: bytes, count: int) -> bytes:
    return b"".join(opened % (n, n + 1) if b"%d" in opened else opened for n in range(count))


NESTED = {
    "multiparts": letter(
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="0"\r\n',
        _nested(b'--%d\r\nContent-Type: multipart/mixed; boundary="%d"\r\n\r\n', 1000),
    ),
    "messages": letter(
        b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n",
        _nested(b"Content-Type: message/rfc822\r\n\r\n", 1000) + b"Subject: inmost\r\n\r\nhi\r\n",
    ),
    "comments": letter(b"Cc: " + b"(" * 500 + b"x" + b")" * 500 + b" a@b.example\r\n"),
    "comments without an end": letter(b"To: " + b"(" * 800 + b"\r\n", without="To"),
    "groups": letter(b"Cc: " + b"a:" * 500 + b";" * 500 + b"\r\n"),
    "html": letter(
        b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n", b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000 + b"\r\n"
    ),
}


@pytest.mark.parametrize("name", list(NESTED))
def test_c35_nesting_without_end_goes_on(hall: Hall, name: str) -> None:
    (copy,) = hall.post(NESTED[name])

    assert copy.recipients == (OWNER,)
    assert_whole(copy, NESTED[name])


CRASHERS: dict[str, tuple[bytes, str]] = {
    "parameter name*": (b"MIME-Version: 1.0\r\nContent-Type: text/plain; name*\r\n", ""),
    "parameter *": (b"MIME-Version: 1.0\r\nContent-Type: x/y; name*0*=utf-8''a; name*=b; name*0=c; name*00=d\r\n", ""),
    "filename*0*": (
        b"Content-Disposition: attachment; filename*0*=x'y'%zz; filename*1=\"; filename*=iso-9-9''%\r\n",
        "",
    ),
    "a comment for a recipient": (b"To: (c):\r\n", "To"),
    "a comment before a group": (b"Cc: (x): a@b;\r\n", ""),
    "one quote": (b'To: "\r\n', "To"),
    "one angle": (b"Cc: <\r\n", ""),
    "an id in brackets": (b"Message-ID: <[x]>\r\n", "Message-ID"),
    "half a literal": (b"To: a@[IPv6:::1\r\n", "To"),
    "two senders": (b"Sender: a@b, c@d\r\n", ""),
    "a charset nobody knows": (b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=nope\r\n", ""),
    "utf-16 in q": (b"Comments: =?utf-16?q?a?= =?utf-16?b?////?= =?nope?b?x?=\r\n", ""),
    "no value at all": (b"To:\r\nCc:\r\nReply-To:\r\nIn-Reply-To:\r\nReferences:\r\nContent-Type:\r\n", "To"),
    "dates": (b"Date: Mon, 99 Foo 99999999999 99:99:99 +9999999\r\n", "Date"),
    "an address of nothing": (b'Reply-To: @, <>, <@>, a@, @b, ""@, <a@b@c>\r\n', ""),
}


@pytest.mark.parametrize("name", list(CRASHERS))
def test_c36_what_python_s_parser_dies_of_goes_on_with_its_body_untouched(hall: Hall, name: str) -> None:
    more, without = CRASHERS[name]
    octets = letter(more, b"Body \t of it\r\n\r\n. dot\r\n", without=without)
    (copy,) = hall.post(octets)

    assert copy.recipients == (OWNER,)
    assert_whole(copy, octets)
    assert hall.life(octets)["ticket"]


def test_c36_a_from_with_a_line_end_in_its_name_keeps_its_address(hall: Hall) -> None:
    octets = letter(f"From: =?utf-8?q?a=0ab?= <{CUSTOMER}>\r\n".encode(), without="From")
    (copy,) = hall.post(octets)

    assert header(copy.octets, "Reply-To").startswith(f"a b <{CUSTOMER}>")
    assert decoded(header(copy.octets, "From")) == f"a b via Support <{SENDER}>"


# -- C37: injection --------------------------------------------------------------------------------------------------


INJECTED = "=?utf-8?q?hi=0d=0aBcc=3a_evil=40x.example=0aX-Injected=3a_1?="
INJECTIONS = {
    "subject": letter(f"Subject: {INJECTED}\r\n".encode(), without="Subject"),
    "name of the author": letter(f"From: {INJECTED} <{CUSTOMER}>\r\n".encode(), without="From"),
    "name of a recipient": letter(f"Cc: {INJECTED} <a@b.example>\r\nReply-To: {INJECTED} <c@d.example>\r\n".encode()),
    "file name": letter(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: image/png\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''a%0d%0aBcc:%20evil@x.example%0d%0aX-Injected:%201.png\r\n"
        b"\r\nAAAA\r\n--b--\r\n",
    ),
    "message id": letter(
        b"Message-ID: <hostile.0\r\n Bcc: evil@x.example\r\n X-Injected: 1@b>\r\n", without="Message-ID"
    ),
}


@pytest.mark.parametrize("refused", [False, True], ids=["as it is", "in another form"])
@pytest.mark.parametrize("name", list(INJECTIONS))
def test_c37_an_encoded_line_end_makes_no_header_field(hall: Hall, name: str, refused: bool) -> None:
    """Neither in the copy nor in what names its subject and files anew after a refusal."""
    octets = re.sub(rb"hostile\.\d+", b"hostile.again.%d" % next(COUNTER), INJECTIONS[name])
    if refused:
        hall.sink.refuse("dot", "552 5.3.4 too large", times=1)
    (copy,) = hall.post(octets)

    assert len(copy.recipients) == 1
    for entity in walk(read_entity(copy.octets)):
        if entity.kind.startswith("message/"):
            continue
        assert not fields(entity.header + b"\r\n", "Bcc")
        assert not fields(entity.header + b"\r\n", "X-Injected")
    assert "\n" not in decoded(header(copy.octets, "From"))


# -- C38: who wrote it -----------------------------------------------------------------------------------------------


STAFF = "zoe@staff.test"
CONFUSED = {
    "a staff address as name": f"From: {STAFF} <evil@x.example>",
    "a quoted staff address as name": f'From: "{STAFF}" <evil@x.example>',
    "two From fields, ours on top": f"From: {STAFF}\r\nFrom: evil@x.example",
    "two From fields, ours below": f"From: evil@x.example\r\nFrom: {STAFF}",
    "two addresses": f"From: {STAFF}, evil@x.example",
    "two addresses, ours last": f"From: evil@x.example, {STAFF}",
    "a group": f"From: staff: {STAFF}, evil@x.example;",
    "no From": "X-None: 1",
    "an empty From": "From: ",
    "a comment": f"From: ({STAFF}) evil@x.example",
    "a comment inside": f"From: evil@x.example ({STAFF})",
    "two angles": f"From: <{STAFF}> <evil@x.example>",
    "a route": f"From: <@staff.test:evil@x.example>, <{STAFF}",
    "a quoted local part": f'From: "{STAFF},"@x.example',
    "an encoded at sign": "From: =?utf-8?q?zoe=40staff=2etest?= <evil@x.example>",
    "an encoded address": "From: =?utf-8?q?=3Czoe=40staff=2Etest=3E?=",
}


@pytest.mark.parametrize("name", list(CONFUSED))
@pytest.mark.parametrize("domain", ["x.example", "staff.test"])
def test_c38_who_can_be_read_in_two_ways_is_nobody_of_ours(hall: Hall, name: str, domain: str) -> None:
    """A gateway says that this domain's DMARC passed; a colleague's mail to a customer with us in Cc would close."""
    subject = f"confused {next(COUNTER)}"
    octets = (
        f"Authentication-Results: gw.test; dmarc=pass header.from={domain}\r\n{CONFUSED[name]}\r\nTo: {CUSTOMER}\r\n"
        f"Cc: {SUPPORT}\r\nSubject: {subject}\r\nMessage-ID: <{subject.replace(' ', '.')}@x.example>\r\n"
        "Date: Mon, 2 Mar 2026 10:00:00 +0900\r\n\r\nClosed, I think.\r\n"
    ).encode()
    hall.post(octets, "evil@x.example", peer=GATEWAY)
    decision = hall.life(octets)["decision"]

    assert decision["direction"] not in {"outbound", "note"}
    tickets = [ticket for ticket in hall.relay.tickets() if ticket["subject"] == subject]
    assert [ticket["stage"] for ticket in tickets] == ["NEW"] * len(tickets)


# -- C39, C40: text that is none -------------------------------------------------------------------------------------


def _part(content_type: str, encoding: str, body: bytes) -> bytes:
    more = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return letter(more.encode(), body)


GARBAGE = {
    "bad encoded words": letter(b"X-W: =?utf-8?b?!!!?= =?utf-8?q?=zz?= =?utf-8?x?a?= =?a?= =??b??=\r\n"),
    "bad base64": _part("text/plain; charset=utf-8", "base64", b"####\r\nSGVsbG8\r\n=a=\r\n"),
    "bad quoted-printable": _part("text/plain; charset=utf-8", "quoted-printable", b"=zz =\r\n=E3=8 = x\r\n"),
    "an encoding nobody knows": _part("text/plain; charset=utf-8", "x-uuencode", b"begin 644 a\r\n#0V%T\r\nend\r\n"),
    "octets that are no utf-8": _part("text/plain; charset=utf-8", "8bit", b"\xc3\x28 \xff seen\r\n"),
    "octets that are no us-ascii": _part("text/plain; charset=us-ascii", "7bit", "Grüße\r\n".encode("latin-1")),
    "half an escape": _part("text/plain; charset=iso-2022-jp", "7bit", b"\x1b$B$\x1b(B x\x1b$\r\n"),
    "utf-7": _part("text/plain; charset=utf-7", "7bit", b"+2D3-+ADw-script+AD4-\r\n"),
    "utf-16 in base64": _part("text/plain; charset=utf-16", "base64", base64.b64encode(b"\xff\xfea") + b"\r\n"),
    "a charset that is code": _part("text/plain; charset=zlib_codec", "7bit", b"x\r\n"),
    "another": _part("text/plain; charset=../../etc/passwd", "7bit", b"x\r\n"),
    "a date that is none": letter(b"Date: yesterday\r\n", without="Date"),
    "raw octets in the header": letter(b"X-Raw: \x83e\x83X\x83g\r\nCc: \xe3\x81\x82 <a@b.example>\r\n"),
}


@pytest.mark.parametrize("name", list(GARBAGE))
def test_c39_text_that_cannot_be_read_goes_on_as_it_came(hall: Hall, name: str) -> None:
    """Replacement characters for people's screens; the octets stay what they were."""
    octets = GARBAGE[name]
    (copy,) = hall.post(octets)

    said = [octets.partition(b"\r\n\r\n")[2].strip(), decode(read_entity(octets)).strip()]
    parts = [copy.octets, *(decode(part) for part in walk(read_entity(copy.octets)))]
    # Text in UTF-8 that is none becomes UTF-8 with the banner; what can be read of it is there.
    assert any(words in one for words in (*said, b"seen") for one in parts)
    (ticket,) = [one for one in hall.relay.tickets() if one["subject"] == subject_of(octets)]
    shown = hall.relay.ask("tickets.show", id=ticket["id"])
    shown_text = " ".join(str(one.get("text")) for one in shown["messages_list"])
    assert shown_text.encode("utf-8")
    assert "\0" not in shown_text


def test_c39_parts_in_many_charsets_are_each_left_as_they_are(hall: Hall) -> None:
    texts = {
        "iso-2022-jp": "日本",
        "shift_jis": "資料",
        "euc-kr": "한국",
        "koi8-r": "Привет",
        "gb18030": "中文",
        "big5": "電話",
    }
    parts = [
        f"--b\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode() + text.encode(charset) + b"\r\n"
        for charset, text in texts.items()
    ]
    octets = letter(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n", b"".join(parts) + b"--b--\r\n"
    )
    (copy,) = hall.post(octets)

    for charset, text in list(texts.items())[1:]:
        assert text.encode(charset) in copy.octets


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(b"nul %d \xff\0 x", id="nul and no utf-8"),
        pytest.param(b"surrogate %d \xed\xa0\x80 x", id="a lone surrogate"),
        pytest.param(b"encoded %d =?utf-7?q?+2D3-?= =?utf-8?q?=00=ed=a0=80?= x", id="encoded ones"),
        pytest.param(b"escape %d \x1b]0;owned\x07\x1b[31m x", id="terminal escapes"),
    ],
)
def test_c40_nul_and_surrogates_reach_no_row_no_json_and_no_log(hall: Hall, subject: bytes) -> None:
    subject %= next(COUNTER)
    offset = hall.relay.log_path.stat().st_size
    octets = letter(b"Subject: " + subject + b"\r\n", without="Subject")
    (copy,) = hall.post(octets)

    assert copy.recipients == (OWNER,)
    words = " ".join(subject.decode("ascii", "ignore").split()[:2])
    (ticket,) = [one for one in hall.relay.tickets() if one["subject"].startswith(words)]
    shown = hall.relay.run("tickets", "show", str(ticket["id"]))
    for text in (ticket["subject"], shown.out, hall.relay.log_path.read_bytes()[offset:].decode("utf-8")):
        assert text.encode("utf-8")
        assert not set(text) & {"\0", "\x1b", "\x07"}


# -- C42 to C44: what people are shown -------------------------------------------------------------------------------


HIDDEN = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"


def test_c42_bidi_marks_and_what_has_no_width_do_not_stand_in_our_names(hall: Hall) -> None:
    name = f"Ann\u202egnp.exe\u200b{HIDDEN} Smith"
    encoded = base64.b64encode(name.encode()).decode()
    (copy,) = hall.post(letter(f"From: =?utf-8?b?{encoded}?= <{CUSTOMER}>\r\n".encode(), without="From"))

    shown = decoded(header(copy.octets, "From"))
    assert shown == f'"Anngnp.exe Smith via Support" <{SENDER}>'
    banner = "".join(decode(part).decode() for part in walk(read_entity(copy.octets)) if part.kind == "text/plain")
    assert "Anngnp.exe" in banner
    assert set(banner) & set(HIDDEN) == set()


def test_c42_a_domain_in_other_letters_is_shown_as_punycode(hall: Hall) -> None:
    """The Cyrillic a in apple: nobody reads it as the other one, in Reply-To, in the banner and on the ticket."""
    sender = "info@\u0430pple.example"
    octets = letter(f"From: Apple <{sender}>\r\n".encode(), without="From")
    (copy,) = hall.post(octets, sender, smtputf8=True)

    assert "xn--pple-43d.example" in header(copy.octets, "Reply-To")
    assert hall.life(octets)["decision"]["customer"] == "info@xn--pple-43d.example"
    assert "\u0430pple" not in header(copy.octets, "Reply-To")


def bomb() -> bytes:
    """A zip in a zip in a zip, each larger inside by a thousand."""
    content = b"\0" * 10_000_000
    for level in range(3):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(1 if not level else 10):
                archive.writestr(f"{level}.{number}.zip", content)
        content = packed.getvalue()
    return content


def test_c43_an_archive_that_explodes_is_never_opened(hall: Hall) -> None:
    packed = base64.encodebytes(bomb()).replace(b"\n", b"\r\n")
    octets = letter(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: application/zip; name=42.zip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + packed + b"--b--\r\n",
    )
    (copy,) = hall.post(octets)

    assert packed in copy.octets


NAMES = [
    "../../x",
    "C:\\x",
    "\u200b.htaccess",
    "invoice\u202efdp.exe",
    "a" * 300,
    "%2e%2e%2f",
    "a\x1b[31m\x00b",
    "<b>x",
]


def test_c44_names_of_attachments_are_cleaned_where_we_name_them(hall: Hall) -> None:
    """In the text of a copy whose attachments were left out; nothing is stored under such a name."""
    filling = base64.encodebytes(b"x" * 30_000).replace(b"\n", b"\r\n").decode()
    parts = [
        "--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment;"
        f' filename="=?utf-8?b?{base64.b64encode(name.encode()).decode()}?="\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\n{filling}"
        for name in NAMES
    ]
    octets = letter(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n" + "".join(parts).encode() + b"--b--\r\n",
    )
    hall.sink.refuse("dot", "552 5.3.4 too large", times=1)
    (copy,) = hall.post(octets)

    text = "".join(
        decode(part).decode("utf-8", "replace") for part in walk(read_entity(copy.octets)) if part.kind == "text/plain"
    )
    assert "invoice" in text
    assert set(text) & set(HIDDEN + "\x1b\0") == set()
    assert all(len(line) <= 300 for line in text.splitlines())
    stored = [file.name for file in hall.relay.folder.rglob("*")]
    assert not [name for name in stored if "htaccess" in name or "invoice" in name or name.startswith("aaa")]


# -- C49: words that other programs take for commands ----------------------------------------------------------------


WORDS = [
    "{0.__class__}",
    "{{7*7}}",
    "{% raw %}",
    "${HOME}",
    "%n%s",
    "=cmd(1)",
    "'; DROP TABLE tickets; --",
    "<script>x",
]


def test_c49_words_that_templates_and_queries_know_are_words(hall: Hall) -> None:
    """In names, subjects, the search of the directory and the log; {author} and {company} of a name stay words too."""
    for word in [*WORDS, "{author}{company}"]:
        name = base64.b64encode(f"N {word}".encode()).decode()
        octets = letter(
            f"From: =?utf-8?b?{name}?= <{CUSTOMER}>\r\nSubject: S{next(COUNTER)} {word}\r\n".encode(),
            without="From Subject",
        )
        (copy,) = hall.post(octets)
        name, _, address = decoded(header(copy.octets, "From")).rpartition(" ")
        assert (name.strip('"'), address) == (f"N {word} via Support", f"<{SENDER}>")
        (ticket,) = [one for one in hall.relay.tickets() if one["subject"] == subject_of(octets)]
        assert ticket["customer"] == CUSTOMER
    for word in [*WORDS, "%", "_", "'", '"', "\\"]:
        assert hall.relay.ask("crm.companies", search=word) == []
    assert len(hall.relay.ask("crm.companies", search="")) > 10


def test_c49_a_log_line_is_one_line_of_json_whatever_a_mail_says(hall: Hall) -> None:
    offset = hall.relay.log_path.stat().st_size
    hall.post(
        letter(b'Subject: a\x1b[2J", "event": "relay.stopped"}\r\n', without="Subject"), '"a{b}%n\'"@acme7.example'
    )

    lines = hall.relay.log_path.read_bytes()[offset:].decode().splitlines()
    assert lines
    assert all(line.startswith("{") and line.isprintable() for line in lines)
    assert not any('"event": "relay.stopped"' in line for line in lines)


# -- C56: loops ------------------------------------------------------------------------------------------------------


def test_c56_our_own_copy_that_comes_back_is_parked(hall: Hall) -> None:
    """It counts as not read, so Allmember gets the mail, once; how often it goes round and by whom does not matter.

    Another relay that passes it on under a name of its own renames our mark and writes its own above.
    """
    octets = letter()
    (copy,) = hall.post(octets)
    for number in range(3):
        stamp = b"Received: from a by b%d; Mon, 2 Mar 2026 10:01:00 +0900\r\n" % number
        arrived = hall.post(stamp + copy.octets, OWNER)
        assert [one.recipients for one in arrived] == [("all@desk.test",)] * (number == 0)
        renamed = copy.octets.replace(b"X-Supportrelay-Trail:", b"X-Original-X-Supportrelay-Trail:")
        renamed = renamed.replace(b"Message-ID: <hostile", b"Message-ID: <round%d.hostile" % number)
        renamed = re.sub(rb"(?m)^From: .*\r\n", b"From: Other <desk@relay.example>\r\n", renamed)
        assert hall.post(stamp + renamed, "desk@relay.example") == []
    assert hall.life(octets)["state"] in {"delivered", "looped"}


@pytest.mark.parametrize(("count", "code"), [(50, 250), (51, 554)])
def test_c56_a_mail_that_went_through_fifty_servers_is_the_last(hall: Hall, count: int, code: int) -> None:
    octets = letter(b"Received: from a by b; Mon, 2 Mar 2026 10:01:00 +0900\r\n" * count)
    with smtplib.SMTP("127.0.0.1", hall.relay.port, source_address=(STRANGER, 0), timeout=20) as client:
        client.ehlo("client.example")
        client.mail(CUSTOMER)
        client.rcpt(SUPPORT)
        answer, text = client.data(octets)

    assert answer == code
    assert code == 250 or text.startswith(b"5.4.6")
    hall.relay.settle()


# -- C63: who is not named -------------------------------------------------------------------------------------------


def test_c63_whoever_stands_in_the_envelope_or_in_bcc_alone_is_named_to_nobody(hall: Hall) -> None:
    """Not in copies, not on the ticket. The trace has the envelope, for the administrator."""
    secret, hidden = "help@desk.test", "hidden@elsewhere.example"
    octets = letter(f"Bcc: {hidden}\r\nResent-Bcc: {hidden}\r\n".encode())
    (copy,) = hall.post(octets, to=secret)

    (ticket,) = [one for one in hall.relay.tickets() if one["subject"] == subject_of(octets)]
    shown = str(hall.relay.ask("tickets.show", id=ticket["id"]))
    assert hidden.encode() not in copy.octets
    assert hidden not in shown
    trace_fields = re.sub(rb"(?m)^Received: (?:.*\r\n[ \t])*.*\r\n", b"", copy.octets)
    assert secret.encode() not in trace_fields
    assert OWNER.encode() not in copy.octets
