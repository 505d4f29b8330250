"""The doors of a running relay, by a client that sends raw octets: one test for each row of RELIABILITY C1 and C2.

What needs limits or clocks of its own stands in ``edge/test_smtp_in*.py``, floods in ``test_intake_floods.py``.
"""

import json
import re
import shutil
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, free_port, mail
from journeys.traffic import SUPPORT, arrivals, customer, message_id_of, reload
from smtp_sink import Received, ThreadedSink
from strange_client import StrangeClient, proxy_v1, proxy_v2

ANN, ADMIN = "ann@staff.test", "it@staff.test"
PROXY, LOST = "127.0.0.5", "250 2.0.0 "
NO_RELAY = "550 5.7.1 "


@dataclass
class Doors:
    """A relay with every kind of listener."""

    relay: Relay
    sink: ThreadedSink
    proxied: int
    implicit: int
    lmtp: Path
    certificate: Path

    def mx(self, *, source: str = STRANGER, receive_buffer: int | None = None) -> StrangeClient:
        return StrangeClient(("127.0.0.1", self.relay.port), source=source, receive_buffer=receive_buffer)

    def behind_proxy(self, source: str = PROXY) -> StrangeClient:
        return StrangeClient(("127.0.0.1", self.proxied), source=source)

    def mails(self) -> list[Received]:
        """What arrived, without what the relay writes to its admins of its own accord."""
        self.relay.settle()
        return [m for m in self.sink.messages if m.recipients != (ADMIN,) or b"@mail.example>" in m.octets]

    def copies(self, message_id: str) -> list[Received]:
        self.relay.settle()
        return [m for m in self.sink.messages if message_id_of(m.octets) == message_id]

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        return context


def make_pair(folder: Path, name: str) -> None:
    """A certificate and its key for two days, as certbot would renew them."""
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
        f" -addext subjectAltName=DNS:localhost -keyout {folder}/{name}.key -out {folder}/{name}.crt".split(),
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("in")
    for name in ("first", "second"):
        make_pair(folder, name)
    shutil.copy(folder / "first.crt", folder / "cert.pem")
    shutil.copy(folder / "first.key", folder / "key.pem")
    with ThreadedSink() as sink:
        config = desk_config(sink.port)
        mx, proxied, implicit = free_port(), free_port(), free_port()
        pair = {"cert": "cert.pem", "key": "key.pem"}
        config["listen"] = [
            {"host": "0.0.0.0", "port": mx, "role": "mx", "tls": pair},
            {"host": "0.0.0.0", "port": proxied, "role": "mx", "proxy_from": [PROXY]},
            {"host": "0.0.0.0", "port": implicit, "role": "mx", "tls": {**pair, "implicit": True}},
            {"path": "lmtp.sock", "role": "lmtp"},
        ]
        relay = Relay(folder, config, COMPANIES)
        relay.port = mx
        relay.start()
        yield Doors(relay, sink, proxied, implicit, folder / "lmtp.sock", folder / "cert.pem")
        assert relay.stop() == 0


@pytest.fixture
def doors(opened: Doors) -> Doors:
    opened.relay.settle()
    opened.sink.clear()
    return opened


def letter(name: str, body: str = "Hello, we have a question.") -> tuple[str, bytes]:
    """``(Message-ID, octets)`` of a customer's mail to support."""
    message_id = f"<{name}@mail.example>"
    octets = mail(sender=customer(1), to=SUPPORT, subject=name, message_id=message_id, body=body)
    return message_id, octets


# -- C1 relay and addresses ------------------------------------------------------------------------------------------

SENDERS = ["", "stranger@elsewhere.example", "zoe@staff.test", SUPPORT, "relay@desk.test", "kunde@acme1.example"]
FOREIGN = [
    "victim@elsewhere.example",
    "victim@staff.test",
    "nobody@desk.test",
    "victim@sub.desk.test",
    "victim@[192.0.2.1]",
    "postmaster@elsewhere.example",
    "support@desk.test.elsewhere.example",
    '"victim@elsewhere.example"@desk.test',
]


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender or "null")
def test_c01_nobody_relays_through_the_mx(doors: Doors, sender: str) -> None:
    with doors.mx() as client:
        client.reply()
        client.say("HELO localhost" if "staff" in sender else "EHLO relay.desk.test")
        assert client.say(f"MAIL FROM:<{sender}>").startswith("250 ")
        assert [client.say(f"RCPT TO:<{one}>")[:10] for one in FOREIGN] == [NO_RELAY] * len(FOREIGN)
        assert client.say("DATA").startswith("503 ")
    assert doors.mails() == []


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        pytest.param("victim%elsewhere.example@desk.test", NO_RELAY, id="c02-percent"),
        pytest.param("elsewhere.example!victim@desk.test", NO_RELAY, id="c02-bang"),
        pytest.param("@desk.test,@x.example:victim@elsewhere.example", NO_RELAY, id="c03-route-to-elsewhere"),
        pytest.param("@x.example:support@desk.test", "250 ", id="c03-route-to-us"),
        pytest.param('"victim@elsewhere.example"@desk.test', NO_RELAY, id="c04-quoted-at"),
        pytest.param('"support"@desk.test', "250 ", id="c04-quoted-without-need"),
        pytest.param("a@b@desk.test", "501 5.1.3 ", id="c05-two-ats"),
        pytest.param("support@[127.0.0.1]", NO_RELAY, id="c05-literal"),
        pytest.param("support@DESK.test", "250 ", id="c05-capitals"),
        pytest.param("support@desk.test.", "501 5.1.3 ", id="c05-trailing-dot"),
        pytest.param("support", "501 5.1.3 ", id="c05-bare-name"),
        pytest.param("", "501 5.1.3 ", id="c06-null-recipient"),
        pytest.param("Postmaster", "250 ", id="c07-postmaster"),
    ],
)
def test_c02_to_c07_what_an_address_means_is_judged_by_its_last_domain(doors: Doors, path: str, reply: str) -> None:
    """DESIGN 6 stands above RELIABILITY here: all that is not ours is 550 5.7.1."""
    with doors.mx() as client:
        client.reply()
        client.say("EHLO x")
        client.say("MAIL FROM:<>")
        assert client.say(f"RCPT TO:<{path}>").startswith(reply)


def test_c06_a_null_sender_stays_one_and_is_never_answered(doors: Doors) -> None:
    message_id, octets = letter("null-sender")
    with doors.mx() as client:
        assert client.begin(SUPPORT, sender="").startswith("354 ")
        assert client.say(octets + b".").startswith(LOST)
    copies = doors.copies(message_id)
    assert [(copy.reverse_path, copy.recipients) for copy in copies] == [("", (ANN,))]
    assert doors.mails() == copies, "no report, no automatic answer"


def test_c07_postmaster_without_domain_reaches_a_human(doors: Doors) -> None:
    message_id, octets = letter("to-postmaster")
    with doors.mx() as client:
        client.begin("Postmaster")
        assert client.say(octets + b".").startswith(LOST)
    assert [copy.recipients for copy in doors.copies(message_id)] == [(ADMIN,)]


# -- C2 framing ------------------------------------------------------------------------------------------------------

ENDS = [b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\n", b"\r\n.\r"]


def test_c10_c11_no_sequence_is_an_end_for_us_nor_for_the_next_hop(doors: Doors) -> None:
    """What is sent on holds no CR or LF of its own and no dot alone in a line, so that no reader sees two messages."""
    smuggled = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
    for number, end in enumerate(ENDS):
        _, octets = letter(f"smuggle-{number}")
        with doors.mx() as client:
            client.begin(SUPPORT)
            assert client.say(octets + end + smuggled + b"\r\n.").startswith(LOST)
            assert client.say("NOOP").startswith("250 ")
    arrived = doors.mails()
    assert Counter(message_id_of(one.octets) for one in arrived) == {
        f"<smuggle-{number}@mail.example>": 1 for number in range(len(ENDS))
    }
    for one in arrived:
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", one.octets)
        assert b"smuggled" in one.octets


def test_c13_what_was_said_before_tls_does_not_count(doors: Doors) -> None:
    with doors.mx() as client:
        client.reply()
        client.say("EHLO x")
        client.say("MAIL FROM:<a@elsewhere.example>")
        assert client.say("STARTTLS").startswith("220 ")
        client.start_tls(doors.tls())
        assert client.say(f"RCPT TO:<{SUPPORT}>").startswith("503 ")
        assert "STARTTLS" not in client.say("EHLO x")
    with doors.mx() as client:
        client.reply()
        client.say("EHLO x")
        client.send(b"STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n")
        assert client.rest().startswith(b"554 5.5.0 ")


def test_c16_a_long_line_is_taken_and_sent_on_in_lines_that_everybody_takes(doors: Doors) -> None:
    """Accepted and wrapped (RFC 5321 §4.5.3.1.6), never accepted and then refused by the next hop."""
    for length in (999, 5000, 1 << 20):
        _, octets = letter(f"line-{length}", body="x" * length)
        with doors.mx() as client:
            client.begin(SUPPORT)
            assert client.say(octets + b".").startswith(LOST)
    arrived = doors.mails()
    assert len(arrived) == 3
    for one in arrived:
        assert max(len(line) for line in one.octets.split(b"\r\n")) <= 998


def test_c20_a_thousand_recipients_are_taken_and_the_rest_may_come_separately(doors: Doors) -> None:
    with doors.mx() as client:
        client.reply()
        client.say("EHLO x")
        client.say("MAIL FROM:<>")
        client.send(b"".join(b"RCPT TO:<support+n%d@desk.test>\r\n" % n for n in range(2000)))
        replies = Counter(client.reply()[:9] for _ in range(2000))
        assert replies == {"250 2.1.5": 1000, "452 4.5.3": 1000}
        assert client.say("RSET").startswith("250 ")


def test_c26_only_a_named_proxy_says_who_the_client_is(doors: Doors) -> None:
    """D12. A stranger's header ends the connection before the banner, and so does a named proxy's silence about it."""
    for header in (proxy_v1("192.0.2.99"), proxy_v2("192.0.2.99")):
        with doors.mx() as client:
            client.send(header)
            assert b"220" not in client.rest()
        with doors.behind_proxy(STRANGER) as client:
            client.send(header + b"EHLO x\r\n")
            assert b"220" not in client.rest()
    with doors.behind_proxy() as client:
        client.send(b"EHLO no.header.example\r\n")
        assert client.rest() == b""
    with doors.behind_proxy(STRANGER) as client:
        assert client.reply().startswith("220 "), "who comes directly is served as who he is"


@pytest.mark.parametrize(
    ("header", "ip"),
    [
        pytest.param(proxy_v1("192.0.2.99"), "[192.0.2.99]", id="v1"),
        pytest.param(proxy_v1("2001:db8::99", target="2001:db8::1", family="TCP6"), "[IPv6:2001:db8::99]", id="v1-6"),
        pytest.param(proxy_v2("192.0.2.98", more=b"\x20\x00\x02ab"), "[192.0.2.98]", id="v2-with-more"),
        pytest.param(proxy_v2("2001:db8::98"), "[IPv6:2001:db8::98]", id="v2-6"),
        pytest.param(b"PROXY UNKNOWN\r\n", "unknown", id="unknown"),
        pytest.param(proxy_v2("192.0.2.97", command=0x20), f"[{PROXY}]", id="health-check"),
    ],
)
def test_c26_the_client_a_proxy_names_is_the_one_that_counts(
    doors: Doors, request: pytest.FixtureRequest, header: bytes, ip: str
) -> None:
    name = re.sub(r"\W+", "-", request.node.callspec.id)
    message_id, octets = letter(f"proxied-{name}")
    with doors.behind_proxy() as client:
        client.drip(header, size=7)
        client.begin(SUPPORT)
        assert client.say(octets + b".").startswith(LOST)
    (copy,) = doors.copies(message_id)
    assert f"from client.example ({ip})\r\n".encode() in copy.octets


def test_c26_trust_is_the_clients_and_not_the_proxys(doors: Doors) -> None:
    """127.0.0.1 is in trusted_networks: staff's mail from there is proven, through the proxy too; nobody else's is."""
    found = {}
    for ip in ("127.0.0.1", "192.0.2.1"):
        message_id = f"<trust-{ip}@mail.example>"
        octets = mail(sender="zoe@staff.test", to=customer(2), cc=SUPPORT, subject=f"trust {ip}", message_id=message_id)
        with doors.behind_proxy() as client:
            client.send(proxy_v1(ip))
            client.begin(SUPPORT, sender="zoe@staff.test")
            client.say(octets + b".")
        doors.relay.settle()
        found[ip] = doors.relay.ask("mail.trace", id=message_id)["decision"]["direction"]
    assert found == {"127.0.0.1": "outbound", "192.0.2.1": "unproven"}


def test_c27_a_strange_greeting_leaves_nothing_raw_behind(doors: Doors) -> None:
    message_id, octets = letter("strange-greeting")
    with doors.mx() as client:
        client.reply()
        for name in (b"a\rX-Inj: 1", b"a\x1b[31m", b"a\0b", b"x" * 1000, b"\xff"):
            assert client.say(b"EHLO " + name)[:3] in {"500", "501"}
        client.say(b"EHLO evil(comment);\\x by=y")
        client.say("MAIL FROM:<kunde@acme1.example>")
        client.say(f"RCPT TO:<{SUPPORT}>")
        client.say("DATA")
        assert client.say(octets + b".").startswith(LOST)
    (copy,) = doors.copies(message_id)
    received = copy.octets[copy.octets.index(b"Received: from evil") :].partition(b"\r\n")[0]
    assert received == b"Received: from evil?comment???x ([127.0.0.2])"
    log = doors.relay.log_path.read_bytes()
    assert b"X-Inj" not in log
    assert not set(log) & (set(range(32)) - {0x0A})


def test_c28_c30_c31_what_is_not_offered_or_not_smtp_does_no_harm(doors: Doors) -> None:
    with doors.mx() as client:
        client.reply()
        client.say("EHLO x")
        for line in ("\x80\x81", "BDAT 6 LAST\r\nQUIT\r\n", "AUTH PLAIN AGEAYg==", "MAIL FROM:<a@b.example> RET=HDRS"):
            assert client.say(line.removesuffix("\r\n"))[:1] == "5"
            assert client.say("NOOP").startswith("250 ")
    for octets in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)):
        with doors.mx() as client:
            assert client.reply().startswith("220 ")
            client.send(octets)
            assert client.rest().startswith(b"554 5.5.0 ")


def test_c32_half_a_close_right_after_the_dot_is_once_or_not_at_all(doors: Doors) -> None:
    """``nc -N``; and a client that is gone altogether (D02): what was committed is sent once."""
    answered = set()
    for number in range(20):
        message_id, octets = letter(f"half-{number}")
        with doors.mx() as client:
            client.begin(SUPPORT)
            client.send(octets + b".\r\n")
            if number % 2:
                client.half_close()
                if client.rest().startswith(LOST.encode()):
                    answered.add(message_id)
            else:
                client.reset()
    arrived = arrivals(doors.mails())
    assert set(arrived.values()) <= {1}
    assert len(answered) == 10, "who reads gets an answer"
    assert answered <= {message_id for message_id, _ in arrived}


# -- LMTP ------------------------------------------------------------------------------------------------------------


def test_lmtp_answers_the_dot_once_for_each_recipient(doors: Doors) -> None:
    """RFC 2033 §4.2; over a Unix socket, with the same rules about what is ours as the mx."""
    message_id, octets = letter("by-lmtp")
    with StrangeClient(doors.lmtp) as client:
        assert " LMTP " in client.reply()
        assert client.say("EHLO x").startswith("500 5.5.1")
        assert client.say("HELO x").startswith("500 5.5.1")
        offered = client.say("LHLO mda.example").split("\n")
        assert {"250-PIPELINING", "250-8BITMIME", "250 ENHANCEDSTATUSCODES"} <= set(offered)
        client.say("MAIL FROM:<kunde@acme1.example>")
        replies = [client.say(f"RCPT TO:<{to}>")[:3] for to in (SUPPORT, "x@y.example", "postmaster", SUPPORT)]
        assert replies == ["250", "550", "250", "250"]
        assert client.say("DATA").startswith("354 ")
        client.send(octets + b".\r\nNOOP\r\n")
        assert [client.reply()[:9] for _ in range(4)] == ["250 2.0.0"] * 4
    copies = doors.copies(message_id)
    assert sorted(copy.recipients for copy in copies) == [(ANN,), (ADMIN,)]
    assert all(b"with LMTP id" in copy.octets for copy in copies)


def test_lmtp_refuses_a_large_message_once_for_each_recipient(doors: Doors) -> None:
    with StrangeClient(doors.lmtp) as client:
        client.reply()
        client.say("LHLO mda.example")
        client.say("MAIL FROM:<kunde@acme1.example>")
        client.say(f"RCPT TO:<{SUPPORT}>")
        client.say("RCPT TO:<postmaster>")
        assert client.say("DATA").startswith("354 ")
        client.send(b"Received: x\r\n" * 51 + b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert [client.reply()[:9] for _ in range(2)] == ["554 5.4.6"] * 2


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_implicit_tls_speaks_from_the_first_octet(doors: Doors) -> None:
    """RFC 8314 §3.3; as `submissions` on port 465."""
    message_id, octets = letter("implicit-tls")
    with StrangeClient(("127.0.0.1", doors.implicit), tls=doors.tls()) as client:
        client.begin(SUPPORT)
        assert client.say(octets + b".").startswith(LOST)
    (copy,) = doors.copies(message_id)
    assert b"with ESMTPS id" in copy.octets
    with StrangeClient(("127.0.0.1", doors.implicit)) as client:
        client.send(b"EHLO in.clear.example\r\n")
        assert not client.rest().startswith(b"220")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_below_1_2_is_not_spoken(doors: Doors) -> None:
    old = doors.tls()
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"ALERT_PROTOCOL_VERSION|EOF"):  # the relay's doing, not ours
        StrangeClient(("127.0.0.1", doors.implicit), tls=old)


def test_f33_a_reload_shows_the_new_certificate_and_a_bad_pair_keeps_the_old(doors: Doors) -> None:
    folder = doors.relay.folder

    def shown() -> bytes:
        with doors.mx() as client:
            client.reply()
            client.say("EHLO x")
            client.say("STARTTLS")
            anybody = ssl.create_default_context()
            anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
            client.start_tls(anybody)
            assert isinstance(client.socket, ssl.SSLSocket)
            return client.socket.getpeercert(binary_form=True) or b""

    def of(name: str) -> bytes:
        return ssl.PEM_cert_to_DER_cert((folder / f"{name}.crt").read_text())

    assert shown() == of("first")
    shutil.copy(folder / "second.crt", folder / "cert.pem")
    shutil.copy(folder / "second.key", folder / "key.pem")
    reload(doors.relay)
    assert {shown() for _ in range(4)} == {of("second")}, "both workers"
    shutil.copy(folder / "first.crt", folder / "cert.pem")  # its key is the second's
    assert doors.relay.process is not None
    offset = doors.relay.log_path.stat().st_size
    doors.relay.process.send_signal(1)
    doors.relay.wait_for_log("config.refused", offset)
    assert {shown() for _ in range(4)} == {of("second")}
    logged = [json.loads(line) for line in doors.relay.log_path.read_bytes()[offset:].splitlines()]
    assert any("does not belong to the certificate" in str(one.get("problem")) for one in logged)
    shutil.copy(folder / "second.crt", folder / "cert.pem")
