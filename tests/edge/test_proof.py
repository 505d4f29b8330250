"""Who is proven by what: SPF and DKIM aligned with From, DMARC's say, sealers, and a DNS that fails."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from signed import RSA, letter, sealed, signed
from supportrelay.core.decision import Proof, Verdict
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.ports import ProofAsked
from supportrelay.core.reading import read_facts
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.proof import Prover
from supportrelay.edge.proof import prover as prover_module
from zone import NEVER, SILENT, Zone

IP = "192.0.2.7"
RECORD = RSA.record.decode()
KEYS = {f"s1._domainkey.{domain}": RECORD for domain in ("a.example", "mail.a.example", "evil.example")}
SPF = f"v=spf1 ip4:{IP} -all"
DOMAINS = PublicDomains()
FROM = "Ann <ann@a.example>"
PLAIN = letter(FROM)
SIGNED = signed(PLAIN, "a.example")


async def prove(octets: bytes, zone: dict[str, Any], **how: Any) -> Proof:
    """A mail that came from the internet."""
    peer = Peer(ip=how.pop("ip", IP), helo="host.a.example", role=how.pop("role", Role.MX), **how.pop("peer", {}))
    envelope = Envelope(how.pop("sender", "ann@a.example"), ("support@desk.test",), peer)
    asked = {name: how.pop(name) for name in ("is_needed", "is_passed_on") if name in how}
    prover = Prover(DOMAINS, how.pop("dns", None) or Zone(zone), authserv_id="relay.desk.test", **how)
    try:
        return await prover.prove(ProofAsked(read_facts(octets), envelope, octets, **asked))
    finally:
        prover.close()


@pytest.mark.parametrize(
    ("octets", "zone", "how", "by"),
    [
        pytest.param(SIGNED, KEYS, {"sender": "x@evil.example"}, "checked dkim=pass", id="its own signature"),
        pytest.param(PLAIN, {"a.example": SPF}, {}, "checked spf=pass", id="its own SPF"),
        pytest.param(SIGNED, KEYS | {"a.example": SPF}, {}, "checked spf=pass dkim=pass", id="both"),
        pytest.param(
            signed(PLAIN, "mail.a.example"), KEYS, {"sender": ""}, "checked dkim=pass", id="a subdomain's signature"
        ),
        pytest.param(
            PLAIN,
            {"bounce.a.example": SPF},
            {"sender": "b@bounce.a.example"},
            "checked spf=pass",
            id="a subdomain's SPF",
        ),
        pytest.param(PLAIN, {"host.a.example": SPF}, {"sender": ""}, "checked spf=pass", id="HELO of a null sender"),
        pytest.param(
            signed(SIGNED, "evil.example"), KEYS, {"sender": "x@evil.example"}, "checked dkim=pass", id="beside another"
        ),
        pytest.param(
            SIGNED,
            KEYS | {"_dmarc.a.example": "v=DMARC1; p=reject; adkim=s; aspf=s"},
            {"sender": "x@evil.example"},
            "checked dkim=pass",
            id="strict, and the very domain",
        ),
    ],
)
async def test_an_aligned_pass_proves(octets: bytes, zone: dict[str, Any], how: dict[str, Any], by: str) -> None:
    proof = await prove(octets, zone, **how)

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, by)


@pytest.mark.parametrize(
    ("octets", "zone", "how"),
    [
        pytest.param(PLAIN, {}, {}, id="nothing at all"),
        pytest.param(PLAIN, {"a.example": "v=spf1 -all"}, {}, id="SPF fails"),
        pytest.param(PLAIN, {"a.example": "v=spf1 ip4:192.0.2.7 ?all"}, {"ip": "192.0.2.8"}, id="SPF neutral"),
        pytest.param(PLAIN, {"evil.example": SPF}, {"sender": "x@evil.example"}, id="another's SPF"),
        pytest.param(signed(PLAIN, "evil.example"), KEYS, {"sender": "x@evil.example"}, id="another's signature"),
        pytest.param(SIGNED.replace(b"question", b"command"), KEYS, {"sender": "x@evil.example"}, id="changed"),
        pytest.param(SIGNED, {}, {"sender": "x@evil.example"}, id="no key"),
        pytest.param(
            signed(PLAIN, "mail.a.example"),
            KEYS | {"_dmarc.a.example": "v=DMARC1; p=none; adkim=s"},
            {"sender": "x@evil.example"},
            id="a subdomain's signature, strict",
        ),
        pytest.param(
            PLAIN,
            {"bounce.a.example": SPF, "_dmarc.a.example": "v=DMARC1; p=none; aspf=s"},
            {"sender": "b@bounce.a.example"},
            id="a subdomain's SPF, strict",
        ),
        pytest.param(
            signed(letter("Ann <ann@dept.a.example>"), "a.example"),
            KEYS | {"_dmarc.dept.a.example": "v=DMARC1; p=none; psd=n", "_dmarc.a.example": "v=DMARC1; p=none"},
            {"sender": "x@evil.example"},
            id="a department on its own",
        ),
        pytest.param(signed(letter("ann@a.example, bob@b.example"), "a.example"), KEYS, {}, id="two authors"),
        pytest.param(b"From: bob@b.example\r\n" + SIGNED, KEYS, {}, id="two From"),
        pytest.param(signed(PLAIN, "a.example", length=True) + b"More\r\n", KEYS, {"sender": ""}, id="l="),
    ],
)
async def test_c50_c52_what_is_not_aligned_or_does_not_hold_proves_nothing(
    octets: bytes, zone: dict[str, Any], how: dict[str, Any]
) -> None:
    assert (await prove(octets, zone, **how)).verdict is Verdict.UNPROVEN


@pytest.mark.parametrize(
    ("octets", "zone"),
    [
        pytest.param(PLAIN, {"a.example": SILENT}, id="SPF"),
        pytest.param(SIGNED, {"s1._domainkey.a.example": SILENT}, id="DKIM"),
        pytest.param(
            signed(PLAIN, "mail.a.example"), KEYS | {"_dmarc.a.example": SILENT}, id="how strict the author is"
        ),
    ],
)
async def test_c59_no_answer_is_unknown(octets: bytes, zone: dict[str, Any]) -> None:
    proof = await prove(octets, zone, is_needed=False)

    assert (proof.verdict, proof.by) == (Verdict.UNKNOWN, "the DNS did not answer")
    assert "dmarc=temperror" in proof.header


async def test_c59_what_cannot_speak_for_the_author_makes_nothing_unknown() -> None:
    """Else a forger would choose what his mail is called, by a DNS of his that does not answer."""
    octets = signed(PLAIN, "evil.example")
    proof = await prove(octets, {"evil.example": SILENT, "s1._domainkey.evil.example": SILENT}, sender="x@evil.example")

    assert proof.verdict is Verdict.UNPROVEN


async def test_c59_one_proof_is_enough_while_the_rest_is_silent() -> None:
    zone = KEYS | {"a.example": SILENT, "_dmarc.a.example": SILENT}
    proof = await prove(SIGNED, zone)

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, "checked dkim=pass")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what never comes."""
    for name, value in (("_NEEDED_S", 0.5), ("_NOT_NEEDED_S", 0.1), ("_AGAIN_S", 0.25)):
        monkeypatch.setattr(prover_module, name, value)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DNS that failed is asked again at once."""
    for name, value in (("_NEEDED_S", 60.0), ("_AGAIN_S", 0.05)):
        monkeypatch.setattr(prover_module, name, value)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("is_needed", [True, False])
async def test_c59_a_slow_dns_is_waited_for_within_a_limit(is_needed: bool) -> None:
    zone = {"a.example": NEVER, "_dmarc.a.example": NEVER, "s1._domainkey.a.example": NEVER}
    async with asyncio.timeout(30):
        proof = await prove(SIGNED, zone, is_needed=is_needed)

    assert proof.verdict is Verdict.UNKNOWN


@pytest.mark.usefixtures("soon")
async def test_c59_a_dns_that_failed_is_asked_once_more_where_the_answer_decides() -> None:
    zone = Zone({"a.example": SILENT})

    async def repair() -> None:
        while "a.example" not in zone.asked:  # noqa: ASYNC110  the zone tells nobody
            await asyncio.sleep(0.001)
        zone.records["a.example"] = SPF

    repairing = asyncio.create_task(repair())
    proof = await prove(PLAIN, {}, dns=zone)
    await repairing

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, "checked spf=pass")


class Broken:
    """A DNS with a mistake of ours in it."""

    async def ask(self, name: str, kind: str) -> tuple[bytes, ...]:
        raise ZeroDivisionError(name, kind)


async def test_a_mistake_of_ours_is_unknown_too() -> None:
    assert (await prove(SIGNED, {}, dns=Broken())).verdict is Verdict.UNKNOWN


# --- who is asked about at all -------------------------------------------------------------------------------------

GATEWAY = {"gateway": "mx.gateway.test"}
VOUCHED = b"Authentication-Results: mx.gateway.test; spf=pass smtp.mailfrom=a.example\r\n"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"peer": {"is_trusted": True}}, id="a trusted network"),
        pytest.param({"peer": {"user": "ann"}}, id="a login"),
        pytest.param({"ip": "127.0.0.1"}, id="a program on this machine"),
        pytest.param({"ip": "::ffff:127.0.0.1"}, id="the same by IPv6"),
        pytest.param({"ip": ""}, id="the same by a socket in the file system"),
        pytest.param({"peer": GATEWAY, "is_needed": False}, id="a gateway, and nothing depends on it"),
    ],
)
async def test_no_question_leaves_the_machine(how: dict[str, Any]) -> None:
    zone = Zone({})
    await prove(SIGNED, {}, dns=zone, **how)

    assert zone.asked == []


async def test_mail_of_this_machine_is_looked_up_when_asked_to() -> None:
    proof = await prove(SIGNED, KEYS, ip="127.0.0.2", asks_for_loopback=True)

    assert proof.by == "checked dkim=pass"


@pytest.mark.parametrize("how", [{"peer": GATEWAY}, {"role": Role.LMTP}])
async def test_spf_is_nothing_about_who_passes_on(how: dict[str, Any]) -> None:
    """A gateway's address, or a local delivery's, is not the sender's."""
    proof = await prove(PLAIN, {"a.example": SPF}, **how)

    assert (proof.verdict, "spf" in proof.header) == (Verdict.UNPROVEN, False)


async def test_a_signature_counts_through_a_gateway_that_says_nothing() -> None:
    proof = await prove(SIGNED, KEYS, peer=GATEWAY)

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, "checked dkim=pass")


async def test_a_gateways_word_is_enough() -> None:
    zone = Zone({})
    proof = await prove(VOUCHED + PLAIN, {}, dns=zone, peer=GATEWAY)

    assert (proof.verdict, proof.by, zone.asked) == (Verdict.PROVEN, "gateway spf=pass", [])
    assert proof.header == "relay.desk.test; spf=pass (mx.gateway.test says so)"


async def test_who_logged_in_is_proven_as_such() -> None:
    assert (await prove(PLAIN, {}, peer={"user": "ann"})).by == "AUTH ann"


# --- DMARC's say -----------------------------------------------------------------------------------------------------

REJECT = {"_dmarc.a.example": "v=DMARC1; p=reject"}


@pytest.mark.parametrize(
    ("octets", "zone", "fails"),
    [
        pytest.param(SIGNED, KEYS | REJECT, False, id="signed"),
        pytest.param(PLAIN, REJECT | {"a.example": SPF}, True, id="by SPF alone, which holds only here"),
        pytest.param(PLAIN, REJECT, True, id="by nothing"),
        pytest.param(PLAIN, {"_dmarc.a.example": "v=DMARC1; p=none"}, False, id="nobody minds"),
        pytest.param(PLAIN, {"_dmarc.a.example": "v=DMARC1; p=quarantine; t=y"}, False, id="a test"),
        pytest.param(PLAIN, {}, False, id="no DMARC"),
        pytest.param(SIGNED, REJECT | {"s1._domainkey.a.example": SILENT}, False, id="nobody knows"),
        pytest.param(PLAIN, {"_dmarc.a.example": SILENT}, False, id="nobody knows what it asks for"),
    ],
)
@pytest.mark.usefixtures("soon")
async def test_what_becomes_of_a_copy_that_keeps_its_from(octets: bytes, zone: dict[str, Any], fails: bool) -> None:
    """DESIGN 3, last point."""
    assert (await prove(octets, zone)).fails_elsewhere == fails


NONE = {"_dmarc.a.example": "v=DMARC1; p=none"}


@pytest.mark.parametrize(
    ("octets", "zone", "fails"),
    [
        pytest.param(PLAIN, REJECT, True, id="by nothing"),
        pytest.param(PLAIN, NONE, True, id="whatever it asks for"),
        pytest.param(SIGNED, KEYS | REJECT, False, id="signed"),
        pytest.param(PLAIN, REJECT | {"a.example": SPF}, False, id="by SPF"),
        pytest.param(PLAIN, {}, False, id="no DMARC"),
        pytest.param(PLAIN, {"_dmarc.a.example": SILENT}, False, id="nobody knows whether it has DMARC"),
        pytest.param(SIGNED, REJECT | {"s1._domainkey.a.example": SILENT}, False, id="nobody knows the key"),
    ],
)
@pytest.mark.usefixtures("soon")
async def test_whether_a_mail_fails_the_dmarc_of_its_author(octets: bytes, zone: dict[str, Any], fails: bool) -> None:
    assert (await prove(octets, zone)).fails_dmarc == fails


@pytest.mark.parametrize(
    ("word", "fails"),
    [
        ("dmarc=fail", True),
        ("dmarc=none", False),
        ("dmarc=fail header.from=b.example; dmarc=fail", False),
        ("none", False),
    ],
)
async def test_behind_a_gateway_dmarc_fails_when_the_gateway_says_so(word: str, fails: bool) -> None:
    """It saw the client; SPF cannot be looked up behind it."""
    octets = f"Authentication-Results: mx.gateway.test; {word}\r\n".encode() + PLAIN

    assert (await prove(octets, REJECT, peer=GATEWAY)).fails_dmarc == fails
    assert (await prove(octets, REJECT, peer=GATEWAY, is_passed_on=True)).fails_dmarc == fails


async def test_a_gateways_mail_is_looked_up_when_it_may_go_outside() -> None:
    proof = await prove(VOUCHED + PLAIN, REJECT, peer=GATEWAY, is_passed_on=True)

    assert (proof.by, proof.fails_elsewhere) == ("gateway spf=pass", True)


# --- our own Authentication-Results ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "zone", "header"),
    [
        pytest.param(
            SIGNED,
            KEYS | REJECT | {"a.example": SPF},
            "dmarc=pass (p=reject) header.from=a.example; spf=pass smtp.mailfrom=a.example; "
            "dkim=pass header.d=a.example",
            id="all pass",
        ),
        pytest.param(
            PLAIN,
            REJECT | {"a.example": "v=spf1 -all"},
            "dmarc=fail (p=reject) header.from=a.example; spf=fail smtp.mailfrom=a.example; dkim=none",
            id="all fail",
        ),
        pytest.param(
            PLAIN, {}, "dmarc=none header.from=a.example; spf=none smtp.mailfrom=a.example; dkim=none", id="nothing"
        ),
        pytest.param(
            SIGNED.replace(b"question", b"command"),
            KEYS,
            "dmarc=none header.from=a.example; spf=none smtp.mailfrom=a.example; "
            "dkim=fail (body was changed) header.d=a.example",
            id="changed",
        ),
    ],
)
async def test_what_was_found_is_told(octets: bytes, zone: dict[str, Any], header: str) -> None:
    assert (await prove(octets, zone)).header == f"relay.desk.test; {header}"


# --- ARC -------------------------------------------------------------------------------------------------------------

SEALERS = frozenset({"google.example"})
ARC_KEYS = {f"arc._domainkey.{domain}": RECORD for domain in ("google.example", "list.example")}
WORD = "dmarc=pass header.from=a.example; dkim=pass header.d=a.example"


def by_google(octets: bytes = PLAIN, word: str = WORD) -> bytes:
    return sealed(octets, "google.example", word, authserv_id="mx.google.example")


def by_list(octets: bytes, word: str = "arc=pass") -> bytes:
    return sealed(octets, "list.example", word, authserv_id="list.example")


async def test_a_trusted_sealers_word_proves() -> None:
    proof = await prove(by_google(), ARC_KEYS, sealers=SEALERS, sender="x@list.example")

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, "sealer google.example dmarc=pass dkim=pass")
    assert proof.header.startswith("relay.desk.test; arc=pass header.as-d=google.example; dmarc=pass")


async def test_an_earlier_word_counts_while_only_trusted_ones_sealed_after_it() -> None:
    twice = by_google(by_google(), "arc=pass; dmarc=fail header.from=a.example")

    assert (await prove(twice, ARC_KEYS, sealers=SEALERS, sender="")).verdict is Verdict.PROVEN


@pytest.mark.parametrize(
    ("octets", "sealers"),
    [
        pytest.param(by_google(), frozenset(), id="nobody is trusted"),
        pytest.param(by_google(), frozenset({"other.example"}), id="another one is"),
        pytest.param(by_list(by_google()), SEALERS, id="somebody else sealed after it"),
        pytest.param(by_google(by_list(PLAIN, WORD), "arc=pass"), SEALERS, id="the word is of somebody before"),
        pytest.param(by_google(word="dmarc=fail header.from=a.example"), SEALERS, id="the sealer saw no pass"),
        pytest.param(by_google(word="dmarc=pass header.from=b.example"), SEALERS, id="the sealer saw another author"),
        pytest.param(by_google().replace(b"question", b"command"), SEALERS, id="changed after the seal"),
        pytest.param(by_google().replace(b"dmarc=pass", b"dmarc=best", 1), SEALERS, id="the word was changed"),
        pytest.param(
            by_google().replace(b"From: Ann <ann@a", b"From: Boss <boss@a").replace(b"Ann", b"Boss"),
            SEALERS,
            id="another author afterwards",
        ),
        pytest.param(
            b"ARC-Authentication-Results: i=1; mx.google.example; " + WORD.encode() + b"\r\n" + PLAIN,
            SEALERS,
            id="no seal at all",
        ),
    ],
)
async def test_a_seal_that_is_not_trusted_or_does_not_hold_proves_nothing(
    octets: bytes, sealers: frozenset[str]
) -> None:
    assert (await prove(octets, ARC_KEYS, sealers=sealers, sender="")).verdict is Verdict.UNPROVEN


async def test_nobody_is_asked_about_seals_that_are_not_trusted() -> None:
    zone = Zone(ARC_KEYS)
    await prove(by_list(by_google()), {}, dns=zone, sealers=SEALERS, sender="")

    assert not [name for name in zone.asked if name.startswith("arc.")]


async def test_a_sealers_key_that_is_not_to_be_had_is_unknown() -> None:
    proof = await prove(by_google(), {"arc._domainkey.google.example": SILENT}, sealers=SEALERS, is_needed=False)

    assert proof.verdict is Verdict.UNKNOWN


def test_a_proof_keeps_what_was_told_when_it_is_not_believed() -> None:
    """`core.sight` may say no for staff outside ``internal_domains``; the header stays."""
    assert replace(Proof(Verdict.PROVEN, "x", "h"), verdict=Verdict.UNPROVEN).header == "h"
