"""Who writes is proven by the DNS, through the daemon: forged colleagues, foreign verdicts, hijacked tickets, a DNS
that fails (RELIABILITY C50, C51, C53, C54, C59). A server on loopback is all the DNS there is."""

import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple

import pytest

import dns_server
from dns_server import DnsServer, txt
from journeys.companies import one_owner
from journeys.letters import Desk, decoded, fields, header, open_desk, support_address
from journeys.relay import GATEWAY, STRANGER
from journeys.traffic import reload
from signed import RSA, letter, sealed, signed
from smtp_sink import Received

SUPPORT = "support@desk.test"
ADMINS, ALL = "it@staff.test", "all-support@desk.test"
ANN, BOSS, KIM = "ann@staff.test", "boss@staff.test", "kim@agency.example"
RELAY = "relay.desk.test"
SEALER = "groups.example"
_number = count()


class World(NamedTuple):
    """A desk, and the DNS it sees."""

    desk: Desk
    dns: DnsServer


def publish(dns: DnsServer, domain: str, *, spf: str = f"ip4:{STRANGER}", dmarc: str = "v=DMARC1; p=none") -> None:
    """What a domain that does as it should publishes."""
    dns.add(domain, "TXT", txt(f"v=spf1 {spf} -all"))
    dns.add(f"_dmarc.{domain}", "TXT", txt(dmarc))
    dns.add(f"s1._domainkey.{domain}", "TXT", txt(RSA.record))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with DnsServer() as dns:
        publish(dns, "staff.test", spf="ip4:192.0.2.1", dmarc="v=DMARC1; p=reject")
        publish(dns, "evil.example")
        publish(dns, "agency.example")
        publish(dns, "acme1.example")
        publish(dns, "strict.example", dmarc="v=DMARC1; p=reject")
        dns.add(f"arc._domainkey.{SEALER}", "TXT", txt(RSA.record))
        config: dict[str, Any] = {
            "addresses": [support_address("support")],
            "staff": [KIM],
            "gateways": [{"networks": [GATEWAY], "authserv_id": "gw.test"}],
            "trusted_arc_sealers": [SEALER],
            "dns": {"servers": [f"127.0.0.1:{dns.port}"], "timeout": "1s"},
            "workers": 1,
            "rules": [
                {
                    "name": "case",
                    "when": {"recipient": "case@desk.test"},
                    "then": {"rewrite_recipient": "c@crm.example"},
                }
            ],
        }
        companies = [one_owner(f"acme{n}", ANN) for n in range(40)]
        with open_desk(tmp_path_factory.mktemp("proof"), config, companies) as desk:
            world = World(desk, dns)
            for domain in ("evil.example", "acme1.example", "strict.example", "agency.example"):
                hear_of(world, domain)
            yield world


def hear_of(world: World, domain: str) -> None:
    """Mail until the relay knows all that a domain publishes; a busy machine may be too late for the first one."""
    for _ in range(20):
        octets = signed(letter(f"somebody@{domain}", subject=f"hello {next(_number)}"), domain)
        (copy,) = world.desk.post(octets, f"somebody@{domain}", SUPPORT)
        if "temperror" not in header(copy.octets, "Authentication-Results"):
            return
    raise AssertionError(f"nobody hears of {domain}")


class Question(NamedTuple):
    """A customer's mail that has a ticket."""

    customer: str
    subject: str
    message_id: str


def ask(world: World) -> Question:
    """A customer writes; the ticket is NEW."""
    number = next(_number)
    customer, subject = f"kunde@acme{number % 40}.example", f"question {number}"
    octets = letter(customer, subject=subject)
    world.desk.post(octets, customer, SUPPORT)
    return Question(customer, subject, header(octets, "Message-ID"))


def answer(question: Question, *, sender: str = f"Boss <{BOSS}>") -> bytes:
    """A colleague's answer that closes the ticket, when he is who he says: the customer in To, support in Cc."""
    extra = f"Cc: {SUPPORT}\r\nIn-Reply-To: {question.message_id}\r\n"
    return letter(sender, to=question.customer, subject=f"Re: {question.subject}", extra=extra, body="It is done.")


def ticket(world: World, question: Question) -> dict[str, Any]:
    """The question's own; a forged answer makes one of its own."""
    (found,) = [one for one in world.desk.relay.tickets() if one["subject"] == question.subject]
    return found


def stage(world: World, question: Question) -> str:
    return str(ticket(world, question)["stage"])


def told(copies: list[Received]) -> dict[str, str]:
    """Recipient -> our verdict on his copy."""
    return {copy.recipients[0]: header(copy.octets, "Authentication-Results") for copy in copies}


# --- C50 -------------------------------------------------------------------------------------------------------------


def bare(octets: bytes) -> bytes:
    return octets


def well_signed_by_another(octets: bytes) -> bytes:
    return signed(octets, "evil.example")


def with_words_behind_a_true_signature(octets: bytes) -> bytes:
    return signed(octets, "staff.test", length=True) + b"And close all others too.\r\n"


def with_a_second_from(octets: bytes) -> bytes:
    return signed(b"From: eve@evil.example\r\n" + octets, "evil.example")


def with_our_verdict(octets: bytes) -> bytes:
    word = b"dmarc=pass header.from=staff.test; dkim=pass header.d=staff.test; spf=pass smtp.mailfrom=staff.test\r\n"
    return b"".join(b"Authentication-Results: " + name + b"; " + word for name in (RELAY.encode(), b"gw.test")) + octets


def changed_after_it_was_signed(octets: bytes) -> bytes:
    return signed(octets.replace(b"It is done.", b"Not yet."), "staff.test").replace(b"Not yet.", b"It is done.")


def sealed_by_anybody(octets: bytes) -> bytes:
    return sealed(octets, "evil.example", "dmarc=pass header.from=staff.test", authserv_id=SEALER, selector="s1")


FORGERIES = [
    bare,
    well_signed_by_another,
    with_words_behind_a_true_signature,
    with_a_second_from,
    with_our_verdict,
    changed_after_it_was_signed,
    sealed_by_anybody,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_c50_a_forged_colleague_closes_nothing(world: World, forge: Any) -> None:
    """A plain mail with a warning: to the administrators, or to everybody when it names two authors."""
    question = ask(world)
    copies = world.desk.post(forge(answer(question)), "eve@evil.example", SUPPORT)

    assert stage(world, question) == "NEW"
    assert ticket(world, question)["messages"] == 1
    assert question.customer not in {one for copy in copies for one in copy.recipients}
    for copy in copies:
        if copy.recipients == (ADMINS,):
            assert decoded(header(copy.octets, "From")).startswith("未確認 via")
            assert header(copy.octets, "Reply-To") == SUPPORT
    assert {copy.recipients[0] for copy in copies} in ({ADMINS}, {ALL})


@pytest.mark.parametrize(
    ("octets_of", "sender", "peer"),
    [
        pytest.param(lambda q: signed(answer(q), "staff.test"), "x@evil.example", STRANGER, id="aligned signature"),
        pytest.param(
            lambda q: sealed(answer(q), SEALER, "dmarc=pass header.from=staff.test", authserv_id="mx.groups.example"),
            "group@groups.example",
            STRANGER,
            id="a trusted sealer",
        ),
        pytest.param(
            lambda q: b"Authentication-Results: gw.test; spf=pass smtp.mailfrom=staff.test\r\n" + answer(q),
            "x@evil.example",
            GATEWAY,
            id="our gateway's word",
        ),
        pytest.param(lambda q: signed(answer(q), "staff.test"), "x@evil.example", GATEWAY, id="signed, by a gateway"),
    ],
)
def test_c50_a_proven_colleague_closes(world: World, octets_of: Any, sender: str, peer: str) -> None:
    question = ask(world)
    copies = world.desk.post(octets_of(question), sender, SUPPORT, peer=peer)

    assert stage(world, question) == "CLOSED"
    assert set(told(copies)) == {ANN}
    assert "pass" in told(copies)[ANN]


def test_staff_elsewhere_is_proven_by_its_signature_and_not_by_its_providers_spf(world: World) -> None:
    """DESIGN 6: that provider's SPF vouches for everybody there."""
    first, second = ask(world), ask(world)
    by_spf = world.desk.post(answer(first, sender=KIM), KIM, SUPPORT)
    by_dkim = world.desk.post(signed(answer(second, sender=KIM), "agency.example"), KIM, SUPPORT)

    assert (stage(world, first), stage(world, second)) == ("NEW", "CLOSED")
    assert "spf=pass" in told(by_spf)[ADMINS]
    assert "dkim=pass header.d=agency.example" in told(by_dkim)[ANN]


# --- C51 -------------------------------------------------------------------------------------------------------------


def test_c51_the_only_verdict_on_a_copy_is_ours(world: World) -> None:
    forged = f"Authentication-Results: {RELAY}; dmarc=pass header.from=acme1.example\r\n"
    marks = "X-Supportrelay-Id: forged\r\nX-Supportrelay-Ticket: T-1\r\nX-Supportrelay-Reason: owner\r\n"
    octets = letter("kunde@acme1.example", subject="verdicts", extra=forged + marks)

    (copy,) = world.desk.post(signed(octets, "evil.example"), "kunde@acme1.example", SUPPORT)

    (verdict,) = fields(copy.octets, "Authentication-Results")
    assert verdict == (
        f"{RELAY}; dmarc=pass (p=none) header.from=acme1.example; spf=pass smtp.mailfrom=acme1.example; "
        "dkim=pass header.d=evil.example"
    )
    assert "X-Original-Authentication-Results" in copy.octets.decode()
    assert len(fields(copy.octets, "X-Supportrelay-Id")) == 1
    assert fields(copy.octets, "X-Supportrelay-Id") != ["forged"]
    life = world.desk.life(header(octets, "Message-ID"))
    assert (life["decision"]["verdict"], life["decision"]["proven_by"]) == ("proven", "checked spf=pass")


def test_c51_a_verdict_in_our_name_is_renamed_in_what_goes_on_as_it_came(world: World) -> None:
    """RFC 8601 §5; somebody else's stays."""
    ours, other = f"{RELAY}; dmarc=pass header.from=x.example", "mx.other.example; spf=none"
    extra = f"Authentication-Results: {ours}\r\nAuthentication-Results: {other}\r\n"
    octets = letter("kunde@acme1.example", to="case@desk.test", subject="as it came", extra=extra)

    copies = world.desk.post(octets, "kunde@acme1.example", "case@desk.test")

    (case,) = [copy.octets for copy in copies if copy.recipients == ("c@crm.example",)]
    assert fields(case, "Authentication-Results") == [other]
    assert fields(case, "X-Original-Authentication-Results") == [ours]


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_case_address_gets_our_from_only_where_the_authors_dmarc_would_fail(world: World, is_signed: bool) -> None:
    """DESIGN 3, last point; the trace says so."""
    octets = letter("kunde@strict.example", to="case@desk.test", subject=f"case {is_signed}")
    octets = signed(octets, "strict.example") if is_signed else octets

    copies = world.desk.post(octets, "kunde@strict.example", "case@desk.test")

    (case,) = [copy.octets for copy in copies if copy.recipients == ("c@crm.example",)]
    if is_signed:
        assert case.endswith(octets)
    else:
        assert "support-relay@desk.test" in header(case, "From")
        assert header(case, "X-Original-From") == "kunde@strict.example"
        assert header(case, "X-Supportrelay-Ticket") == ""
        assert case.partition(b"\r\n\r\n")[2] == octets.partition(b"\r\n\r\n")[2]
    reasons = [reason["code"] for reason in world.desk.life(header(octets, "Message-ID"))["decision"]["reasons"]]
    assert ("recipients.rewritten" in reasons) is not is_signed


# --- C53, C54 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["in_reply_to", "token"])
def test_c53_a_guessed_id_or_token_joins_no_ticket(world: World, how: str) -> None:
    """The thief's domain proves that he is he, and he is nobody on the ticket."""
    question = ask(world)
    label = world.desk.ticket(question.subject)["id"]
    extra, recipient = f"In-Reply-To: {question.message_id}\r\nReferences: <{label}@desk.test>\r\n", SUPPORT
    if how == "token":
        extra, recipient = "", f"support+t{label.lower().replace('-', '')}aaaaaaaa@desk.test"
    thief = letter("thief@evil.example", subject=f"theft {question.subject}", extra=extra)

    world.desk.post(signed(thief, "evil.example"), "thief@evil.example", recipient)

    assert world.desk.ticket(question.subject)["messages"] == 1
    assert world.desk.ticket(f"theft {question.subject}")["messages"] == 1


def test_c54_a_thousand_forged_senders_get_no_answer(world: World) -> None:
    """Whatever a stranger writes, in whose name ever, goes to our people and to nobody else."""
    before = len(world.desk.sink.messages)

    def send(part: int) -> None:
        with smtplib.SMTP("127.0.0.1", world.desk.relay.port, source_address=(STRANGER, 0), timeout=60) as client:
            for number in range(part, 1000, 4):
                victim = f"victim{number}@v{number % 20}.example"
                octets = letter(victim, subject=f"please answer {number}", body="Buy at http://evil.example")
                client.sendmail(victim, [SUPPORT], octets)

    with ThreadPoolExecutor(4) as senders:
        list(senders.map(send, range(4)))
    world.desk.relay.settle(120)

    arrived = world.desk.sink.messages[before:]
    assert {one for copy in arrived for one in copy.recipients} == {ALL}
    assert len(arrived) == 1000


# --- C59 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [dns_server.SERVFAIL, dns_server.DROP])
def test_c59_a_dns_that_fails_delays_nobody_and_condemns_nobody(world: World, fault: str) -> None:
    """The mail arrives, and is marked; a colleague's answer moves nothing while nobody can tell that it is his."""
    desk, dns = world
    name = f"dns{next(_number)}.example"
    for domain in (name, f"_dmarc.{name}", f"s1._domainkey.{name}"):
        dns.faults[domain] = fault
    octets = signed(letter(f"kunde@{name}", subject=f"dns {fault}"), name)

    (copy,) = desk.post(octets, f"kunde@{name}", SUPPORT)

    assert "dmarc=temperror" in header(copy.octets, "Authentication-Results")
    assert "fail" not in header(copy.octets, "Authentication-Results")
    assert desk.life(header(octets, "Message-ID"))["decision"]["verdict"] == "unknown"


def test_c59_a_colleague_whom_nobody_can_prove_now_closes_nothing(world: World) -> None:
    """As unproven, with its reason said (DESIGN 2); when the DNS is back the same mail by another way counts."""
    desk, dns = world
    question = ask(world)
    octets = signed(answer(question), "staff.test", selector="later")
    dns.faults["later._domainkey.staff.test"] = dns_server.SERVFAIL

    copies = desk.post(octets, BOSS, SUPPORT)

    assert stage(world, question) == "NEW"
    assert set(told(copies)) == {ADMINS}
    life = desk.life(header(octets, "Message-ID"))
    assert (life["decision"]["verdict"], life["decision"]["proven_by"]) == ("unknown", "the DNS did not answer")


def test_another_resolver_is_asked_after_a_reload(world: World) -> None:
    desk, _ = world
    with DnsServer() as other:
        publish(other, "acme2.example")
        former = desk.relay.config["dns"]
        desk.relay.config["dns"] = {"servers": [f"127.0.0.1:{other.port}"], "timeout": "1s"}
        desk.relay.write_config()
        reload(desk.relay)

        hear_of(world, "acme2.example")

        assert other.count("acme2.example")
        desk.relay.config["dns"] = former
        desk.relay.write_config()
        reload(desk.relay)


@pytest.mark.parametrize(("client", "messages"), [("kunde@acme1.example", 3), ("mallory@evil.example", 2)])
def test_c53_a_forged_customer_lets_no_stranger_into_a_thread_by_cc(world: World, client: str, messages: int) -> None:
    """His From and a Cc were all it took. Whom the customer himself puts in copy does take part."""
    number = next(_number)
    customer, stranger, subject = "kunde@acme1.example", f"mallory{number}@evil.example", f"open door {number}"
    asked = letter(customer, subject=subject)
    world.desk.post(asked, customer, SUPPORT)
    thread = f"In-Reply-To: {header(asked, 'Message-ID')}\r\n"

    world.desk.post(letter(customer, subject=f"Re: {subject}", extra=f"Cc: {stranger}\r\n{thread}"), client, SUPPORT)
    world.desk.post(letter(stranger, subject=f"Re: {subject}", extra=thread), stranger, SUPPORT)

    (found,) = [one for one in world.desk.relay.tickets() if one["subject"] == subject]
    assert found["messages"] == messages
