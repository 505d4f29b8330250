"""Who is believed to be who he says: trusted hosts, and a gateway's own Authentication-Results."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.decision import Verdict
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.ports import ProofAsked
from supportrelay.core.reading import read_facts
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.proof import Prover

GW = "mx.gateway.test"
BELOW = f"{GW}; dmarc=pass header.from=a.example; dkim=pass header.d=a.example"


@pytest.fixture(scope="module")
def prover() -> Prover:
    return Prover(PublicDomains())


def _asked(facts: Facts, envelope: Envelope) -> ProofAsked:
    return ProofAsked(facts, envelope, b"")


def _envelope(*, is_trusted: bool = False, gateway: str = "") -> Envelope:
    peer = Peer(ip="192.0.2.7", helo="host.example", is_trusted=is_trusted, gateway=gateway)
    return Envelope("ann@a.example", ("support@desk.test",), peer)


def _facts(*results: str, authors: tuple[str, ...] = ("a.example",), from_fields: int = 1) -> Facts:
    mailboxes = tuple(Mailbox("ann", domain) for domain in authors)
    return Facts(from_=mailboxes, from_fields=from_fields, fields={"authentication-results": results})


@pytest.mark.parametrize(
    ("results", "by"),
    [
        pytest.param([f"{GW}; dmarc=pass header.from=a.example"], "gateway dmarc=pass", id="dmarc"),
        pytest.param([f"{GW}; dkim=pass header.d=a.example"], "gateway dkim=pass", id="dkim by d="),
        pytest.param([f"{GW}; dkim=pass header.i=@mail.a.example"], "gateway dkim=pass", id="dkim relaxed"),
        pytest.param([f"{GW}; spf=pass smtp.mailfrom=ann@a.example"], "gateway spf=pass", id="spf"),
        pytest.param([f"{GW}; spf=pass smtp.mailfrom=bounce.a.example"], "gateway spf=pass", id="spf relaxed"),
        pytest.param(
            [
                (
                    f"{GW}; dkim=pass header.i=@a.example header.s=g2 header.b=Pq/1+l=; spf=pass (gateway.test: domain "
                    "of ann@a.example designates 192.0.2.7 as permitted sender) smtp.mailfrom=ann@a.example; "
                    "dmarc=pass (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=a.example"
                )
            ],
            "gateway dmarc=pass spf=pass dkim=pass",
            id="all three as Google writes them",
        ),
        pytest.param(
            [
                (
                    f"{GW} 1; spf=fail smtp.mailfrom=x@list.example; dkim=fail header.d=a.example; dkim=pass "
                    "header.d=other.example; dkim=pass reason=good header.d=a.example"
                )
            ],
            "gateway dkim=pass",
            id="one aligned signature among others",
        ),
        pytest.param(
            [f"{GW}; dmarc=pass action=none header.from=a.example; compauth=pass reason=100"],
            "gateway dmarc=pass",
            id="unknown words beside it",
        ),
        pytest.param([f"{GW.upper()}; DMARC=Pass Header.From=A.Example"], "gateway dmarc=pass", id="any case"),
        pytest.param(
            [f"(hello (there)) {GW} (x); dkim=pass (ok) header.d=a.example"], "gateway dkim=pass", id="comments"
        ),
        pytest.param([f"{GW}; dmarc=pass header.from=a.example", BELOW], "gateway dmarc=pass", id="topmost of two"),
    ],
)
async def test_the_gateways_own_word_proves_the_author(prover: Prover, results: list[str], by: str) -> None:
    proof = await prover.prove(_asked(_facts(*results), _envelope(gateway=GW)))

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, by)


@pytest.mark.parametrize(
    "results",
    [
        pytest.param([], id="the gateway wrote none"),
        pytest.param([f"{GW}; none"], id="it checked nothing"),
        pytest.param([f"{GW}; dmarc=fail header.from=a.example", BELOW], id="a forged one below its own"),
        pytest.param(["mx.e.example; dmarc=pass header.from=a.example"], id="a foreign authserv-id"),
        pytest.param(["mx.e.example; none", BELOW], id="its own not on top"),
        pytest.param([f"evil.{GW}; dkim=pass header.d=a.example"], id="an authserv-id that only ends like it"),
        pytest.param([f"({GW}) e.example; dkim=pass header.d=a.example"], id="its name in a comment"),
        pytest.param([f"{GW}; dmarc=none (dmarc=pass header.from=a.example)"], id="a verdict in a comment"),
        pytest.param([f"{GW}; spf=fail (a (b; dkim=pass header.d=a.example"], id="a comment that never ends"),
        pytest.param([f"{GW}; spf=fail (\\) ; dkim=pass header.d=a.example)"], id="an escaped bracket in a comment"),
        pytest.param(
            [f'{GW}; spf=fail smtp.mailfrom="x; dmarc=pass header.from=a.example"@e.example'],
            id="a verdict in a quoted local part",
        ),
        pytest.param(
            [f'{GW}; spf=fail smtp.mailfrom="x\\"; dkim=pass header.d=a.example"@e.example'],
            id="an escaped quote in a local part",
        ),
        pytest.param([f'{GW}; spf=fail smtp.mailfrom="x; dkim=pass header.d=a.example'], id="a quote that never ends"),
        pytest.param(
            [f"{GW}; dmarc=fail header.from=a.example; dmarc=pass header.from=a.example"], id="two dmarc verdicts"
        ),
        pytest.param(
            [f"{GW}; spf=fail smtp.mailfrom=a@e.example; spf=pass smtp.mailfrom=a@a.example"], id="two spf verdicts"
        ),
        pytest.param([f"{GW}; dmarc=pass header.from=e.example"], id="dmarc of another domain"),
        pytest.param([f"{GW}; dmarc=pass"], id="dmarc of no domain"),
        pytest.param([f"{GW}; dkim=pass header.d=e.example"], id="dkim of another domain"),
        pytest.param([f"{GW}; dkim=pass header.d=e.example header.i=@a.example"], id="dkim of two domains"),
        pytest.param([f"{GW}; spf=pass smtp.mailfrom=a.example@e.example"], id="spf of another domain"),
        pytest.param([f"{GW}; spf=pass smtp.helo=a.example"], id="an HELO name"),
        pytest.param([f"{GW}; dkim=pass header.d=example"], id="a parent that is no registrable domain"),
        pytest.param([f"{GW}; spf=softfail smtp.mailfrom=a@a.example; dkim=neutral header.d=a.example"], id="no pass"),
        pytest.param([f"{GW}; dkim=passed header.d=a.example"], id="a word that begins like pass"),
        pytest.param([f"{GW}; iprev=pass policy.iprev=192.0.2.7; arc=pass header.d=a.example"], id="other methods"),
        pytest.param([f"{GW}"], id="no results at all"),
        pytest.param([""], id="empty"),
        pytest.param([f"{GW}; dkim=pass header.d=a.example" + " " * 5000], id="too long to be read"),
        pytest.param([f"{GW}; dkim=pass header.d=a.example ü"], id="not ASCII"),
        pytest.param(["(" * 3000 + GW], id="nested too deep"),
    ],
)
async def test_nothing_else_in_the_header_proves_him(prover: Prover, results: list[str]) -> None:
    proof = await prover.prove(_asked(_facts(*results), _envelope(gateway=GW)))

    assert proof.verdict is Verdict.UNPROVEN
    assert proof.by


async def test_a_host_in_trusted_networks_proves_him_without_any_field(prover: Prover) -> None:
    proof = await prover.prove(_asked(_facts(), _envelope(is_trusted=True)))

    assert (proof.verdict, proof.by) == (Verdict.PROVEN, "trusted network")


async def test_a_strangers_authentication_results_count_for_nothing(prover: Prover) -> None:
    proof = await prover.prove(_asked(_facts(BELOW), _envelope()))

    assert (proof.verdict, proof.by) == (Verdict.UNPROVEN, "nothing vouches for it")


@pytest.mark.parametrize("envelope", [_envelope(is_trusted=True), _envelope(gateway=GW)], ids=["trusted", "gateway"])
@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(_facts(BELOW, authors=()), id="no author"),
        pytest.param(_facts(BELOW, authors=("a.example", "e.example")), id="two mailboxes"),
        pytest.param(_facts(BELOW, from_fields=2), id="two From fields"),
    ],
)
async def test_mail_without_exactly_one_author_is_proven_by_nobody(
    prover: Prover, facts: Facts, envelope: Envelope
) -> None:
    """Readers differ in which of two From fields they show (RELIABILITY C52)."""
    assert (await prover.prove(_asked(facts, envelope))).verdict is Verdict.UNPROVEN


async def test_customers_of_one_hoster_do_not_prove_each_other(prover: Prover) -> None:
    facts = _facts(f"{GW}; dkim=pass header.d=evil.github.io", authors=("staff.github.io",))

    assert (await prover.prove(_asked(facts, _envelope(gateway=GW)))).verdict is Verdict.UNPROVEN


async def test_an_encoded_word_in_a_local_part_is_not_read_as_a_verdict(prover: Prover) -> None:
    """``=?…?=`` is an atom of RFC 5321; the gateway copies it as it came, and decoding it would let its ';' out."""
    local = "=?us-ascii?Q?a=3B_dkim=3Dpass_header.d=3Da.example=3B_x=3Dpass_smtp.x=3D?="
    field = f"Authentication-Results: {GW}; spf=fail smtp.mailfrom={local}@e.example\r\n"
    facts = read_facts(field.encode() + b"From: ann@a.example\r\n\r\nHello\r\n")

    assert (await prover.prove(_asked(facts, _envelope(gateway=GW)))).verdict is Verdict.UNPROVEN


@given(st.text(st.sampled_from('mx.gatewy;=ps() "\\@dkimheadr\t'), max_size=300))
def test_no_field_value_makes_the_prover_raise(tail: str) -> None:
    prover = Prover(_SameDomain())
    facts = _facts(f"{GW}; " + tail)

    asyncio.run(prover.prove(_asked(facts, _envelope(gateway=GW))))


@pytest.mark.parametrize("piece", ["a=b ", "dkim=pass;", "x=y;", "smtp.a=b ", '"', "(", "\\", ";", " ", "a.", '"\\""'])
async def test_a_field_made_to_be_slow_is_not(prover: Prover, piece: str) -> None:
    begun = time.process_time()
    await prover.prove(_asked(_facts(f"{GW}; dkim=pass " + piece * 8000), _envelope(gateway=GW)))
    await prover.prove(_asked(_facts(f"{GW}; dkim=pass " + (piece * 4000)[:4000]), _envelope(gateway=GW)))

    assert time.process_time() - begun < 1


class _SameDomain:
    def registrable(self, domain: str) -> str:
        return domain

    def is_free_mail(self, domain: str) -> bool:
        return False
