"""The courier against a real server that misbehaves at every phase."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_sink import SmtpSink
from supportrelay.core.delivery import Cause, Outcome, OutcomeKind, Phase
from supportrelay.core.next_hop import NextHop
from supportrelay.edge.smtp_out import Login, Patience, PoolLimits, Smarthost, SmtpCourier
from supportrelay.edge.smtp_out.wire import wire_content, wire_path

MAIL = b"From: support@desk.test\r\nSubject: a question\r\n\r\nHello\r\n"
ANN = "ann@company.test"
BOUNCE = "support+b-k3x9@desk.test"
QUICK = Patience(connect_s=2, command_s=2, dot_s=2)


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with SmtpSink() as running:
        yield running


def courier_to(*sinks: SmtpSink, limits: PoolLimits | None = None, patience: Patience = QUICK) -> SmtpCourier:
    hosts = [Smarthost(sink.host, sink.port, "none") for sink in sinks]
    return SmtpCourier(hosts, hostname="relay.test", limits=limits, patience=patience)


async def send(courier: SmtpCourier, recipient: str = ANN, octets: bytes = MAIL, reverse_path: str = BOUNCE) -> Outcome:
    return await courier.send(reverse_path, recipient, octets, is_smtputf8=False)


async def send_once(*sinks: SmtpSink, recipient: str = ANN, octets: bytes = MAIL) -> Outcome:
    courier = courier_to(*sinks)
    outcome = await send(courier, recipient, octets)
    await courier.aclose()
    return outcome


async def test_a_copy_arrives_as_it_is_and_the_reply_is_kept(sink: SmtpSink) -> None:
    outcome = await send_once(sink)

    message = sink.messages[0]
    assert (message.reverse_path, message.recipients, message.octets) == (BOUNCE, (ANN,), MAIL)
    assert message.helo == "relay.test"
    assert (outcome.kind, outcome.phase, outcome.code, outcome.status) == (
        OutcomeKind.DELIVERED,
        Phase.DOT,
        250,
        "2.0.0",
    )
    assert outcome.text == "250 2.0.0 kept"
    assert outcome.host == f"{sink.host}:{sink.port}"
    assert outcome.at is not None


async def test_a_null_reverse_path_stays_null(sink: SmtpSink) -> None:
    """aiosmtplib refuses '<>'; a bounce we send on must remain one (RELIABILITY, finding 5)."""
    courier = courier_to(sink)
    outcome = await send(courier, reverse_path="")
    await courier.aclose()

    assert outcome.kind is OutcomeKind.DELIVERED
    assert any(line.startswith("MAIL FROM:<>") for _, line in sink.commands)


REFUSALS = [
    pytest.param("banner", "554 no", OutcomeKind.DEFERRED, Cause.OURS, id="banner 5xx"),
    pytest.param("banner", "450 later", OutcomeKind.DEFERRED, Cause.WEATHER, id="banner 4xx"),
    pytest.param("banner", "421 busy", OutcomeKind.DEFERRED, Cause.WEATHER, id="banner 421"),
    pytest.param("ehlo", "450 4.3.0 later", OutcomeKind.DEFERRED, Cause.WEATHER, id="ehlo 4xx"),
    pytest.param("ehlo", "550 5.7.1 no", OutcomeKind.DEFERRED, Cause.OURS, id="ehlo and helo 5xx"),
    pytest.param("mail", "451 4.3.0 later", OutcomeKind.DEFERRED, Cause.WEATHER, id="mail 4xx"),
    pytest.param("mail", "550 5.7.60 cannot send as", OutcomeKind.DEFERRED, Cause.OURS, id="mail 5xx"),
    pytest.param("rcpt", "450 4.2.0 greylisted", OutcomeKind.DEFERRED, Cause.WEATHER, id="rcpt 4xx"),
    pytest.param("rcpt", "550 5.1.1 no such user", OutcomeKind.FAILED, Cause.RECIPIENT, id="rcpt 5xx"),
    pytest.param("data", "451 4.3.0 later", OutcomeKind.DEFERRED, Cause.WEATHER, id="data 4xx"),
    pytest.param("data", "554 5.5.0 no", OutcomeKind.FAILED, Cause.CONTENT, id="data 5xx"),
    pytest.param("dot", "451 4.3.0 later", OutcomeKind.DEFERRED, Cause.WEATHER, id="dot 4xx"),
    pytest.param("dot", "554 5.7.1 spam", OutcomeKind.FAILED, Cause.CONTENT, id="dot 5xx"),
    pytest.param("dot", "554 5.2.252 SendAsDenied", OutcomeKind.DEFERRED, Cause.OURS, id="dot 5xx that is ours"),
    pytest.param("dot", "421 4.3.2 bye", OutcomeKind.DEFERRED, Cause.WEATHER, id="dot 421"),
]


@pytest.mark.parametrize(("phase", "reply", "kind", "cause"), REFUSALS)
async def test_a_refusal_names_its_phase_and_whose_fault_it_is(
    sink: SmtpSink, phase: str, reply: str, kind: OutcomeKind, cause: Cause
) -> None:
    """RELIABILITY F23-F25."""
    sink.refuse(phase, reply)

    outcome = await send_once(sink)

    assert (outcome.kind, outcome.cause, outcome.phase) == (kind, cause, Phase(phase))
    assert (outcome.code, outcome.text) == (int(reply[:3]), reply)
    assert not outcome.is_uncertain
    assert sink.messages == []


@pytest.mark.parametrize("phase", ["connect", "banner", "ehlo", "mail", "rcpt", "data", "dot"])
async def test_a_lost_connection_is_uncertain_only_after_the_dot(sink: SmtpSink, phase: str) -> None:
    """RELIABILITY D22, F06."""
    sink.drop(phase)

    outcome = await send_once(sink)

    assert (outcome.kind, outcome.cause) == (OutcomeKind.DEFERRED, Cause.WEATHER)
    assert outcome.is_uncertain is (phase == "dot")
    assert phase in {outcome.phase.value, "connect"}


@pytest.mark.parametrize(("phase", "is_uncertain"), [("mail", False), ("dot", True)])
async def test_a_server_that_does_not_answer_is_left(sink: SmtpSink, phase: str, is_uncertain: bool) -> None:
    sink.delay(phase, 60)
    courier = courier_to(sink, patience=Patience(connect_s=0.2, command_s=0.2, dot_s=0.2))

    outcome = await send(courier)

    assert (outcome.kind, outcome.is_uncertain, outcome.text) == (OutcomeKind.DEFERRED, is_uncertain, "timed out")
    await courier.aclose()


async def test_nobody_there_is_weather() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = Smarthost("127.0.0.1", taken.getsockname()[1], "none")
        courier = SmtpCourier([host], hostname="relay.test", patience=QUICK)

        outcome = await send(courier)

    assert (outcome.kind, outcome.phase, outcome.cause) == (OutcomeKind.DEFERRED, Phase.CONNECT, Cause.WEATHER)


async def test_many_copies_share_few_connections(sink: SmtpSink) -> None:
    courier = courier_to(sink, limits=PoolLimits(connections=3))

    outcomes = await asyncio.gather(*(send(courier, f"p{n}@company.test") for n in range(30)))
    await courier.aclose()

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DELIVERED}
    assert sorted(m.recipients[0] for m in sink.messages) == sorted(f"p{n}@company.test" for n in range(30))
    assert sink.connections <= 3
    assert not [line for _, line in sink.commands if line.startswith("RSET")], "RSET costs a round trip for nothing"


@pytest.mark.parametrize("says_421", [False, True])
async def test_a_pooled_connection_closed_while_idle_costs_nothing(sink: SmtpSink, says_421: bool) -> None:
    """RELIABILITY F29: transparent reconnect, no attempt counted."""
    sink.settings.closes_after = 1
    sink.settings.says_421_before_closing = says_421
    courier = courier_to(sink)

    outcomes = [await send(courier) for _ in range(5)]
    await courier.aclose()

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.DELIVERED] * 5
    assert sink.connections == 5


async def test_a_pooled_connection_that_dies_when_it_is_used_is_replaced_at_once(sink: SmtpSink) -> None:
    courier = courier_to(sink)
    assert (await send(courier)).kind is OutcomeKind.DELIVERED
    sink.drop("mail", times=1)

    outcome = await send(courier)
    await courier.aclose()

    assert outcome.kind is OutcomeKind.DELIVERED
    assert sink.connections == 2


async def test_a_pooled_connection_told_421_at_mail_is_replaced_at_once(sink: SmtpSink) -> None:
    courier = courier_to(sink)
    await send(courier)
    sink.refuse("mail", "421 4.4.2 idle too long", times=1)

    assert (await send(courier)).kind is OutcomeKind.DELIVERED
    await courier.aclose()


async def test_a_server_that_was_restarted_is_noticed(sink: SmtpSink) -> None:
    courier = courier_to(sink)
    await asyncio.gather(*(send(courier) for _ in range(5)))
    await sink.stop()
    await sink.start()

    outcomes = await asyncio.gather(*(send(courier) for _ in range(5)))
    await courier.aclose()

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DELIVERED}


async def test_a_connection_is_reset_after_a_refused_recipient_and_used_again(sink: SmtpSink) -> None:
    sink.refuse("rcpt", "550 5.1.1 unknown", times=1)
    courier = courier_to(sink)

    first, second = await send(courier, "nobody@company.test"), await send(courier)
    await courier.aclose()

    assert (first.kind, second.kind) == (OutcomeKind.FAILED, OutcomeKind.DELIVERED)
    assert sink.connections == 1
    assert sink.messages[0].recipients == (ANN,)


async def test_a_connection_ends_after_so_many_messages(sink: SmtpSink) -> None:
    courier = courier_to(sink, limits=PoolLimits(messages=2))

    for _ in range(4):
        await send(courier)
    await courier.aclose()

    assert [m.connection for m in sink.messages] == [1, 1, 2, 2]


async def test_an_old_connection_is_not_used_again(sink: SmtpSink) -> None:
    courier = courier_to(sink, limits=PoolLimits(age_s=0))

    await send(courier)
    await send(courier)
    await courier.aclose()

    assert sink.connections == 2


async def test_a_courier_that_was_replaced_ends_what_it_began_and_leaves_no_connection(sink: SmtpSink) -> None:
    """A reload makes a new courier while the old one is still sending."""
    sink.delay("dot", 0.1)
    courier = courier_to(sink)
    sending = asyncio.create_task(send(courier))
    while not sink.commands or sink.commands[-1][1] != "DATA":  # noqa: ASYNC110  the sink records, it does not signal
        await asyncio.sleep(0.005)
    await courier.aclose()

    assert (await sending).kind is OutcomeKind.DELIVERED
    while sink.open_connections:  # noqa: ASYNC110  same
        await asyncio.sleep(0.005)


async def test_the_next_smarthost_is_asked_when_the_first_is_down_and_later_the_first_is_asked_last() -> None:
    async with SmtpSink() as first, SmtpSink() as second:
        courier = courier_to(first, second)
        await first.stop()
        assert (await send(courier)).kind is OutcomeKind.DELIVERED
        await first.start()

        outcome = await send(courier)
        await courier.aclose()

        assert outcome.host == f"{second.host}:{second.port}"
        assert len(second.messages) == 2


async def test_no_other_smarthost_is_asked_once_one_has_judged_the_mail() -> None:
    async with SmtpSink() as first, SmtpSink() as second:
        first.refuse("rcpt", "550 5.1.1 unknown")

        outcome = await send_once(first, second)

        assert outcome.kind is OutcomeKind.FAILED
        assert second.connections == 0


async def test_when_all_smarthosts_fail_what_is_our_fault_is_told() -> None:
    async with SmtpSink() as first, SmtpSink() as second:
        first.refuse("banner", "554 we do not know you")
        second.refuse("banner", "421 busy")

        outcome = await send_once(first, second)

        assert (outcome.cause, outcome.code) == (Cause.OURS, 554)


async def test_a_lost_lease_stops_the_mail_right_before_data(sink: SmtpSink) -> None:
    """RELIABILITY F16, F17: the fencing token is checked before DATA."""
    courier = courier_to(sink)

    async def lost() -> bool:
        return False

    async def kept() -> bool:
        return True

    outcome = await courier.send(BOUNCE, ANN, MAIL, is_smtputf8=False, before_data=lost)
    again = await courier.send(BOUNCE, ANN, MAIL, is_smtputf8=False, before_data=kept)
    await courier.aclose()

    assert (outcome.kind, outcome.phase, outcome.text) == (OutcomeKind.DEFERRED, Phase.DATA, "lease lost")
    assert again.kind is OutcomeKind.DELIVERED
    assert len(sink.messages) == 1
    assert sink.connections == 1


async def test_a_lease_that_cannot_be_checked_sends_nothing(sink: SmtpSink) -> None:
    async def broken() -> bool:
        raise RuntimeError("store is gone")

    courier = courier_to(sink)
    outcome = await courier.send(BOUNCE, ANN, MAIL, is_smtputf8=False, before_data=broken)
    await courier.aclose()

    assert outcome.kind is OutcomeKind.DEFERRED
    assert sink.messages == []


@pytest.mark.parametrize(
    "recipient",
    [
        pytest.param("a@b.test,evil@x.test", id="two addresses"),
        pytest.param("alice@a.test)bob@b.test", id="a comment"),
        pytest.param("a@b.test> SIZE=1", id="parameters"),
        pytest.param("a@b.test\r\nRCPT TO:<evil@x.test>", id="a command"),
        pytest.param("nobody", id="no domain"),
    ],
)
async def test_what_is_no_address_never_reaches_the_wire(sink: SmtpSink, recipient: str) -> None:
    """RELIABILITY D25."""
    outcome = await send_once(sink, recipient=recipient)

    assert (outcome.kind, outcome.cause, outcome.status) == (OutcomeKind.FAILED, Cause.RECIPIENT, "5.1.3")
    assert sink.connections == 0


async def test_a_carriers_strange_address_is_quoted(sink: SmtpSink) -> None:
    await send_once(sink, recipient="abc..@ezweb.test")

    assert sink.messages[0].recipients == ('"abc.."@ezweb.test',)


async def test_what_the_server_offers_is_used(sink: SmtpSink) -> None:
    """RELIABILITY D28."""
    courier = courier_to(sink)
    await courier.send(BOUNCE, ANN, MAIL + "é".encode(), is_smtputf8=True)
    await courier.send(BOUNCE, ANN, MAIL, is_smtputf8=False)
    await courier.aclose()

    assert sink.messages[0].mail_parameters == (f"SIZE={len(MAIL) + 2}", "BODY=8BITMIME", "SMTPUTF8")
    assert sink.messages[1].mail_parameters == (f"SIZE={len(MAIL)}",)


async def test_a_server_without_extensions_gets_a_plain_dialogue_and_8_bit_is_noted(sink: SmtpSink) -> None:
    sink.settings.extensions = ()

    outcome = await send_once(sink, octets=MAIL + "é".encode())

    assert sink.messages[0].mail_parameters == ()
    assert "8BITMIME" in outcome.text


@pytest.mark.parametrize(
    ("extensions", "is_smtputf8", "asked"),
    [
        (("8BITMIME", "SMTPUTF8"), True, None),
        (("8BITMIME",), False, None),
        (("8BITMIME",), True, NextHop(eight_bit=True, utf8=False)),
        (("SMTPUTF8",), False, NextHop(eight_bit=False, utf8=True)),
        ((), False, NextHop(eight_bit=False, utf8=False)),
    ],
)
async def test_other_octets_are_asked_for_once_the_server_has_said_what_it_takes(
    sink: SmtpSink, extensions: tuple[str, ...], is_smtputf8: bool, asked: NextHop | None
) -> None:
    """RFC 6152 §3, RFC 6531 §3.6."""
    sink.settings.extensions = extensions
    hops: list[NextHop] = []

    async def fit(hop: NextHop) -> bytes:
        hops.append(hop)
        return MAIL + b"e"

    courier = courier_to(sink)
    outcome = await courier.send(BOUNCE, ANN, MAIL + "é".encode(), is_smtputf8=is_smtputf8, fit=fit)
    await courier.aclose()

    assert hops == ([] if asked is None else [asked])
    assert sink.messages[0].octets == MAIL + ("é".encode() if asked is None else b"e") + b"\r\n"
    assert "sent as 8-bit" not in outcome.text
    assert asked is None or "SMTPUTF8" not in sink.messages[0].mail_parameters


async def test_ascii_is_never_asked_for_in_another_form(sink: SmtpSink) -> None:
    sink.settings.extensions = ()

    async def fit(hop: NextHop) -> bytes:
        raise AssertionError(hop)

    courier = courier_to(sink)
    outcome = await courier.send(BOUNCE, ANN, MAIL, is_smtputf8=True, fit=fit)
    await courier.aclose()

    assert outcome.kind is OutcomeKind.DELIVERED


async def test_the_size_that_counts_is_that_of_what_is_sent(sink: SmtpSink) -> None:
    """Re-encoded a copy may pass the limit that it kept before."""
    sink.settings.extensions = ("SIZE 200",)

    async def fit(_: NextHop) -> bytes:
        return MAIL * 4

    courier = courier_to(sink)
    outcome = await courier.send(BOUNCE, ANN, MAIL + "é".encode(), is_smtputf8=False, fit=fit)
    await courier.aclose()

    assert (outcome.status, outcome.cause) == ("5.3.4", Cause.SIZE)
    assert not [line for _, line in sink.commands if line.startswith("MAIL")]


async def test_a_domain_outside_ascii_goes_as_a_labels(sink: SmtpSink) -> None:
    sink.settings.extensions = ("8BITMIME",)

    outcome = await send_once(sink, recipient="ann@例え.test")

    assert (outcome.kind, sink.messages[0].recipients) == (OutcomeKind.DELIVERED, ("ann@xn--r8jz45g.test",))


async def test_a_server_that_only_knows_helo_is_served(sink: SmtpSink) -> None:
    sink.settings.knows_ehlo = False

    assert (await send_once(sink)).kind is OutcomeKind.DELIVERED


async def test_an_utf8_address_fails_where_it_is_not_taken(sink: SmtpSink) -> None:
    """RELIABILITY C41."""
    sink.settings.extensions = ("8BITMIME",)

    outcome = await send_once(sink, recipient="用户@company.test")

    assert (outcome.kind, outcome.status, outcome.cause) == (OutcomeKind.FAILED, "5.6.7", Cause.RECIPIENT)


async def test_a_mail_larger_than_the_server_takes_is_not_uploaded(sink: SmtpSink) -> None:
    sink.settings.extensions = ("SIZE 1000",)

    outcome = await send_once(sink, octets=MAIL * 40)

    assert (outcome.kind, outcome.status, outcome.cause) == (OutcomeKind.FAILED, "5.3.4", Cause.SIZE)
    assert not [line for _, line in sink.commands if line.startswith("MAIL")]


async def test_a_large_mail_arrives_whole(sink: SmtpSink) -> None:
    octets = MAIL + b".dots and lines\r\n" * 200_000

    assert (await send_once(sink, octets=octets)).kind is OutcomeKind.DELIVERED
    assert sink.messages[0].octets == octets


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        pytest.param("550 5.1.1 a\x1b[31mred\x07", "550 5.1.1 a [31mred", id="escape codes"),
        pytest.param("550-5.1.1 one\r\n550 5.1.1 two", "550 5.1.1 one 5.1.1 two", id="several lines"),
        pytest.param("550 5.1.1 " + "x" * 5000, "550 5.1.1 " + "x" * 489 + "…", id="long"),
    ],
)
async def test_a_hostile_reply_becomes_one_printable_line(sink: SmtpSink, reply: str, text: str) -> None:
    """RELIABILITY C60."""
    sink.refuse("rcpt", reply)

    assert (await send_once(sink)).text == text


@pytest.mark.parametrize("reply", ["hello?", "x" * 100_000, "550-endless\r\n" * 4000])
async def test_garbage_instead_of_a_reply_is_weather(sink: SmtpSink, reply: str) -> None:
    sink.refuse("rcpt", reply)

    outcome = await send_once(sink)

    assert (outcome.kind, outcome.cause, outcome.phase) == (OutcomeKind.DEFERRED, Cause.WEATHER, Phase.RCPT)


# --- login and TLS ---


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=IP:127.0.0.1 -keyout {file}.key -out {file}.crt".split(),
        check=True,
        capture_output=True,
    )
    file.write_bytes(Path(f"{file}.key").read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_mail_goes_out_encrypted(server_tls: ssl.SSLContext, certificate: Path, tls: str) -> None:
    async with SmtpSink(tls=server_tls, implicit_tls=tls == "implicit") as sink:
        courier = SmtpCourier([Smarthost(sink.host, sink.port, tls, tls_ca=certificate)], hostname="relay.test")
        outcome = await send(courier)
        await courier.aclose()

        assert outcome.kind is OutcomeKind.DELIVERED, outcome
        assert sink.messages[0].is_tls


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_certificate_nobody_vouches_for_is_our_matter_and_nothing_is_sent(
    server_tls: ssl.SSLContext, tls: str
) -> None:
    """RELIABILITY F25."""
    async with SmtpSink(tls=server_tls, implicit_tls=tls == "implicit") as sink:
        courier = SmtpCourier([Smarthost(sink.host, sink.port, tls)], hostname="relay.test", patience=QUICK)
        outcome = await send(courier)
        await courier.aclose()

        assert (outcome.kind, outcome.phase, outcome.cause) == (OutcomeKind.DEFERRED, Phase.TLS, Cause.OURS)
        assert sink.messages == []


async def test_without_starttls_nothing_is_said_in_clear(sink: SmtpSink) -> None:
    """RELIABILITY C14, D30."""
    courier = SmtpCourier([Smarthost(sink.host, sink.port, "starttls")], hostname="relay.test")

    outcome = await send(courier)

    assert (outcome.kind, outcome.phase, outcome.cause) == (OutcomeKind.DEFERRED, Phase.TLS, Cause.OURS)
    assert not [line for _, line in sink.commands if line.startswith("MAIL")]


async def test_a_login_with_a_password_works_and_a_wrong_one_is_tried_once() -> None:
    """RELIABILITY D29, F25."""
    async with SmtpSink(accounts={"relay": "s3cret"}) as sink:
        right = SmtpCourier(
            [Smarthost(sink.host, sink.port, "none", Login("password", "relay", "s3cret"))], hostname="relay.test"
        )
        wrong = SmtpCourier(
            [Smarthost(sink.host, sink.port, "none", Login("password", "relay", "guess"))], hostname="relay.test"
        )

        delivered = await send(right)
        refused = [await send(wrong) for _ in range(3)]
        await right.aclose()

        assert delivered.kind is OutcomeKind.DELIVERED
        assert {(o.kind, o.phase, o.cause, o.code) for o in refused} == {
            (OutcomeKind.DEFERRED, Phase.AUTH, Cause.OURS, 535)
        }
        assert sink.logins == [("relay", "s3cret"), ("relay", "guess")]


async def test_an_access_token_is_read_anew_for_each_login(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with SmtpSink(accounts={"relay": "second"}) as sink:
        login = Login("xoauth2", "relay", token_file=token)
        host = Smarthost(sink.host, sink.port, "none", login)

        assert (await send(SmtpCourier([host], hostname="relay.test"))).cause is Cause.OURS
        token.write_text("second\n")
        courier = SmtpCourier([host], hostname="relay.test")
        assert (await send(courier)).kind is OutcomeKind.DELIVERED
        await courier.aclose()


async def test_an_access_token_may_come_from_a_command(sink: SmtpSink) -> None:
    sink.settings.accounts["relay"] = "printed"
    host = Smarthost(sink.host, sink.port, "none", Login("xoauth2", "relay", token_command=("echo", "printed")))
    courier = SmtpCourier([host], hostname="relay.test")

    assert (await send(courier)).kind is OutcomeKind.DELIVERED
    await courier.aclose()


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(Login("xoauth2", "relay", token_file=Path("/nowhere")), id="no file"),
        pytest.param(Login("xoauth2", "relay", token_command=("/nowhere",)), id="no command"),
        pytest.param(Login("xoauth2", "relay", token_command=("false",)), id="a command that fails"),
    ],
)
async def test_a_secret_that_cannot_be_read_is_our_matter(sink: SmtpSink, login: Login) -> None:
    sink.settings.accounts["relay"] = "x"
    outcome = await send(SmtpCourier([Smarthost(sink.host, sink.port, "none", login)], hostname="relay.test"))

    assert (outcome.kind, outcome.phase, outcome.cause) == (OutcomeKind.DEFERRED, Phase.AUTH, Cause.OURS)


def test_secrets_are_not_printed() -> None:
    assert "s3cret" not in repr(Smarthost("h", 25, login=Login(user="u", password="s3cret", token="s3cret")))


# --- the wire ---


@pytest.mark.parametrize(
    ("octets", "wire"),
    [
        pytest.param(b"", b".\r\n", id="nothing"),
        pytest.param(b"a\r\n", b"a\r\n.\r\n", id="plain"),
        pytest.param(b"a", b"a\r\n.\r\n", id="last line without an end"),
        pytest.param(b".\r\n", b"..\r\n.\r\n", id="a dot"),
        pytest.param(b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n.\r\n", id="dots"),
        pytest.param(b"a\n.\nb\r.\rc", b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n", id="stray line ends (C11)"),
    ],
)
def test_the_wire_form_has_one_end_only(octets: bytes, wire: bytes) -> None:
    assert wire_content(octets) == wire


@given(st.binary(max_size=200).map(lambda b: b.replace(b"\0", b"\r\n.")))
def test_no_content_can_end_the_message_early(octets: bytes) -> None:
    wire = wire_content(octets)

    assert wire.find(b"\r\n.\r\n") in {len(wire) - 5, -1}
    assert wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"
    assert wire.count(b"\n") == wire.count(b"\r") == wire.count(b"\r\n")


def test_paths_are_written_as_our_grammar_reads_them() -> None:
    assert wire_path("") == b"<>"
    assert wire_path("Ann@company.test") == b"<Ann@company.test>"
    assert wire_path('"a b"@company.test') == b'<"a b"@company.test>'
