"""What the SMTP library leaves to us, and a next hop that means harm: RELIABILITY D20-D30, C14, C41, C60, F27."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtp_sink import SmtpSink
from supportrelay.core.delivery import Cause, Outcome, OutcomeKind, Phase
from supportrelay.core.errors import AddressError
from supportrelay.core.next_hop import NextHop
from supportrelay.edge.smtp_out import Login, Patience, PoolLimits, Smarthost, SmtpCourier
from supportrelay.edge.smtp_out.wire import wire_path

MAIL = b"From: support@desk.test\r\nSubject: a question\r\n\r\nHello\r\n.dots\r\n..too\r\n"
ANN, BEN = "ann@company.test", "ben@company.test"
BOUNCE = "support+b-k3x9@desk.test"
STAGES = ("banner", "ehlo", "mail", "rcpt", "data", "dot")


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with SmtpSink() as running:
        yield running


class Out:
    """A courier to one sink, closed at the end of the test."""

    def __init__(self) -> None:
        self.courier: SmtpCourier | None = None

    def to(self, sink: SmtpSink, **settings: object) -> "Out":
        limits = settings.pop("limits", None)
        patience = settings.pop("patience", Patience(connect_s=30, command_s=30, dot_s=30))
        host = Smarthost(sink.host, sink.port, **{"tls": "none", **settings})  # type: ignore[arg-type]
        self.courier = SmtpCourier([host], hostname="relay.test", limits=limits, patience=patience)  # type: ignore[arg-type]
        return self

    async def send(self, recipient: str = ANN, octets: bytes = MAIL, **more: object) -> Outcome:
        assert self.courier is not None
        return await self.courier.send(BOUNCE, recipient, octets, **more)  # type: ignore[arg-type]


@pytest.fixture
async def out() -> AsyncIterator[Out]:
    made = Out()
    yield made
    if made.courier is not None:
        await made.courier.aclose()


def verbs(sink: SmtpSink) -> list[str]:
    return [line.split(" ")[0].split(":")[0].upper() for _, line in sink.commands]


async def test_d20_connections_are_shared_reset_after_a_refusal_and_not_used_for_ever(sink: SmtpSink, out: Out) -> None:
    out.to(sink, limits=PoolLimits(connections=2, messages=2))
    sink.refuse("rcpt", "550 5.1.1 no", recipient=BEN, times=1)

    await out.send(BEN)
    for _ in range(4):
        assert (await out.send()).kind is OutcomeKind.DELIVERED

    assert verbs(sink)[:6] == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT"]
    assert sink.connections == 2, "two mails each"


async def test_d20_after_an_error_the_connection_is_a_new_one(sink: SmtpSink, out: Out) -> None:
    out.to(sink)
    sink.misbehave("rcpt:lie=what?\\r\\n,times=1")

    assert (await out.send()).kind is OutcomeKind.DEFERRED
    assert (await out.send()).kind is OutcomeKind.DELIVERED
    assert sink.connections == 2


async def test_d21_f27_the_answer_to_the_dot_may_take_longer_than_any_other(sink: SmtpSink, out: Out) -> None:
    """One copy, however late it is answered; the others do not wait for it."""
    assert Patience().dot_s >= 600, "RFC 5321 §4.5.3.2.6"
    out.to(sink, patience=Patience(connect_s=30, command_s=2.0, dot_s=60), limits=PoolLimits(connections=2))
    sink.misbehave(f"dot:delay=3.5,to={ANN}")

    slow = asyncio.create_task(out.send(ANN))
    while "DATA" not in verbs(sink):  # noqa: ASYNC110  the sink has no event
        await asyncio.sleep(0.01)
    assert (await out.send(BEN)).kind is OutcomeKind.DELIVERED
    assert not slow.done()

    assert (await slow).kind is OutcomeKind.DELIVERED
    assert len(sink.messages) == 2


@pytest.mark.parametrize("stage", STAGES)
async def test_d22_only_behind_the_dot_nobody_knows(sink: SmtpSink, out: Out, stage: str) -> None:
    out.to(sink)
    sink.drop(stage)

    outcome = await out.send()

    assert (outcome.kind, outcome.is_uncertain) == (OutcomeKind.DEFERRED, stage == "dot")


async def test_d23_each_recipient_has_a_reply_of_his_own(sink: SmtpSink, out: Out) -> None:
    out.to(sink)
    sink.refuse("rcpt", "421 4.3.2 going down", recipient=BEN)

    outcomes = [await out.send(ANN), await out.send(BEN), await out.send(ANN)]

    assert [one.text for one in outcomes] == ["250 2.0.0 kept", "421 4.3.2 going down", "250 2.0.0 kept"]
    assert [one.recipients for one in sink.messages] == [(ANN,), (ANN,)]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
async def test_d24_after_any_421_the_connection_is_closed(sink: SmtpSink, out: Out, stage: str) -> None:
    out.to(sink)
    sink.misbehave(f"{stage}:lie=421 4.3.2 bye\\r\\n,times=1")  # and stays open, as some do

    assert (await out.send()).kind is OutcomeKind.DEFERRED
    await out.send()
    assert sink.connections == 2


@pytest.mark.parametrize(
    "address", ["user@ex.com,evil@x.y", "alice@a.org)bob@b.org", "a b@c.test", "a@b\r\nRCPT TO:<x@y>"]
)
async def test_d25_what_is_no_address_is_not_made_one(sink: SmtpSink, out: Out, address: str) -> None:
    with pytest.raises(AddressError):
        wire_path(address)
    outcome = await out.to(sink).send(address)

    assert (outcome.kind, outcome.status) == (OutcomeKind.FAILED, "5.1.3")
    assert sink.connections == 0


async def test_d26_a_large_mail_leaves_the_loop_to_others(sink: SmtpSink, out: Out) -> None:
    out.to(sink)
    octets = MAIL + b"x" * 76 + b"\r\n" + (b"." + b"x" * 75 + b"\r\n") * 130_000
    sending = asyncio.create_task(out.send(octets=octets))
    turns = 0
    while not sending.done():
        await asyncio.sleep(0)
        turns += 1

    assert (await sending).kind is OutcomeKind.DELIVERED
    assert sink.messages[0].octets == octets
    assert turns > 50, "of the loop, while ten million octets were prepared and sent"


async def test_d27_what_has_clean_line_ends_arrives_octet_for_octet(sink: SmtpSink, out: Out) -> None:
    """Else its signature would be broken; stray line ends were made clean at intake."""
    octets = MAIL + bytes(set(range(256)) - {10, 13}) + b"\r\n"

    await out.to(sink).send(octets=octets)

    assert sink.messages[0].octets == octets


async def test_d28_size_8bitmime_and_smtputf8_are_said_where_they_are_offered(sink: SmtpSink, out: Out) -> None:
    out.to(sink)
    eight_bit = MAIL + "ü\r\n".encode()

    await out.send(octets=MAIL)
    await out.send(octets=eight_bit)
    await out.send("jürgen@company.test", octets=eight_bit)

    assert [one.mail_parameters for one in sink.messages] == [
        (f"SIZE={len(MAIL)}",),
        (f"SIZE={len(eight_bit)}", "BODY=8BITMIME"),
        (f"SIZE={len(eight_bit)}", "BODY=8BITMIME", "SMTPUTF8"),
    ]


async def test_d29_a_wrong_password_is_said_once_and_then_not_for_a_while(out: Out) -> None:
    async with SmtpSink(accounts={"relay": "right"}) as sink:
        out.to(sink, login=Login(kind="password", user="relay", password="wrong"))

        outcomes = [await out.send() for _ in range(3)]

        assert {(one.kind, one.cause, one.phase) for one in outcomes} == {
            (OutcomeKind.DEFERRED, Cause.OURS, Phase.AUTH)
        }
        assert sink.logins == [("relay", "wrong")]


@pytest.mark.parametrize("row", ["d30", "c14"])
async def test_d30_c14_without_starttls_nothing_is_said_in_clear(sink: SmtpSink, out: Out, row: str) -> None:
    out.to(sink, tls="starttls", login=Login(kind="password", user="relay", password="secret"))
    if row == "c14":  # offered, and then refused: what somebody in between can do
        sink.settings.extensions = ("STARTTLS",)

    outcome = await out.send()

    assert (outcome.kind, outcome.phase) == (OutcomeKind.DEFERRED, Phase.TLS)
    assert not {"MAIL", "AUTH", "DATA"} & set(verbs(sink))


async def test_c14_what_came_before_tls_does_not_count_behind_it(
    out: Out, server_pair: tuple[Path, ssl.SSLContext]
) -> None:
    """``220 ok`` with the replies to come in the same segment: who sits in between writes our dialogue."""
    certificate, context = server_pair
    async with SmtpSink(tls=context) as sink:
        sink.misbehave("tls:lie=220 ok\\r\\n250-evil.test\\r\\n250 AUTH PLAIN\\r\\n")
        out.to(sink, tls="starttls", tls_ca=certificate, login=Login(kind="password", user="relay", password="secret"))

        outcome = await out.send()

        assert outcome.kind is OutcomeKind.DEFERRED
        assert sink.messages == []
        assert sink.logins == []


@pytest.fixture(scope="module")
def server_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    pair = folder / "pair.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", pair),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair, folder / "key.pem")
    return pair, context


async def test_c41_a_next_hop_without_smtputf8_or_8bitmime(sink: SmtpSink, out: Out) -> None:
    """An address that needs UTF-8 fails with 5.6.7; for content, other octets are asked for."""
    out.to(sink)
    sink.settings.extensions = ("SIZE 1000000",)
    asked: list[NextHop] = []

    async def fit(hop: NextHop) -> bytes:
        asked.append(hop)
        return MAIL

    address = await out.send("jürgen@company.test")
    content = await out.send(octets=MAIL + "ü\r\n".encode(), fit=fit)

    assert (address.kind, address.status) == (OutcomeKind.FAILED, "5.6.7")
    assert content.kind is OutcomeKind.DELIVERED
    assert asked == [NextHop(eight_bit=False, utf8=False)]
    assert [one.octets for one in sink.messages] == [MAIL]


HOSTILE = {
    "a line of ten million octets": "long_line=10000000",
    "lines without end": "endless",
    "an escape sequence": "lie=550-\\x1b[2J\\x1b]0;owned\\x07\\r\\n550 5.7.1 \\x1b[31m no\\r\\n",
    "octets": "lie=\\x00\\xff\\xfe\\x80\\r\\n",
    "no SMTP": "lie=HTTP/1.1 200 OK\\r\\n",
    "a code that is none": "lie=999 5.5.5 hm\\r\\n",
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("act", HOSTILE.values(), ids=HOSTILE.keys())
async def test_c60_a_hostile_reply_is_cut_made_harmless_and_temporary(
    sink: SmtpSink, out: Out, stage: str, act: str
) -> None:
    out.to(sink)
    sink.misbehave(f"{stage}:{act}")

    outcome = await asyncio.wait_for(out.send(), 25)  # by its length, not by our patience

    assert outcome.text.isprintable()
    assert len(outcome.text) <= 1000
    is_refusal = "550" in act and stage in {"rcpt", "data", "dot"}
    assert outcome.kind is (OutcomeKind.FAILED if is_refusal else OutcomeKind.DEFERRED)
