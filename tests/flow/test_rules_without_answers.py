"""Rules when those who know do not answer: the CRM, and whoever vouches for senders."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from supportrelay.config import load
from supportrelay.core.decision import Decision, Proof, Verdict
from supportrelay.core.directory import DirectoryAnswer
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.errors import TransientFailure
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.ports import Accepted, ProofAsked
from supportrelay.core.reading import read_facts
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.outbox import OutboxCourier
from supportrelay.edge.patterns import compile_pattern
from supportrelay.edge.templates import BannerTemplates
from supportrelay.flow.assess import CrmSilentError
from supportrelay.flow.examples import _office
from supportrelay.flow.journey import decide_on
from supportrelay.flow.office import Rulebook

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
SUPPORT, BOSS, ALL = "support@desk.test", "boss@desk.test", "all@desk.test"
RULES = [
    {"name": name, "when": {name: value}, "then": {"also_to": BOSS}}
    for name, value in (
        ("company", "*"),
        ("deal", "*"),
        ("owner", "*"),
        ("known_contact", False),
        ("proven", False),
        ("subject", "hello"),
    )
]


class Nobody:
    """A directory that is down, and a prover that could not ask."""

    async def find(self, customer: Mailbox) -> DirectoryAnswer:
        raise TransientFailure("4.4.1", "the CRM does not answer")

    async def deal(self, deal_id: str) -> None:
        raise TransientFailure("4.4.1", "the CRM does not answer")

    async def owners(self) -> frozenset[str]:
        return frozenset()

    async def prove(self, asked: ProofAsked) -> Proof:
        return Proof(Verdict.UNKNOWN, "nobody answered")


@pytest.fixture
def rulebook(tmp_path: Path) -> Rulebook:
    file = tmp_path / "supportrelay.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "addresses": [
                    {"address": SUPPORT, "name": "desk", "sender": {"address": "r@desk.test"}, "allmember": [ALL]}
                ],
                "internal_domains": ["desk.test"],
                "admins": ["it@desk.test"],
                "outbound": {"outbox": True},
                "rules": RULES,
            }
        )
    )
    config = load(file, {})
    return Rulebook(
        desk=config.desk(),
        rules=config.core_rules(compile_pattern),
        teams={},
        banners=BannerTemplates(),
        prover=Nobody(),
        courier=OutboxCourier(tmp_path),
        domains=PublicDomains(()),
        directory=Nobody(),
    )


async def decide(rulebook: Rulebook, *, may_wait: bool) -> Decision:
    octets = b"From: ann@acme.example\r\nTo: support@desk.test\r\nSubject: hello\r\n\r\nhello\r\n"
    accepted = Accepted("q", Envelope("ann@acme.example", (SUPPORT,), Peer("192.0.2.1", "x")), octets, NOW)
    office = _office(rulebook, NOW)
    assigned, _ = await decide_on(office, rulebook, accepted, read_facts(octets), may_wait=may_wait, acts=False)
    return assigned.decision


async def test_what_nobody_can_tell_skips_the_rule_and_the_next_one_is_asked(rulebook: Rulebook) -> None:
    decision = await decide(rulebook, may_wait=False)

    skipped = [reason.to_json()["rule"] for reason in decision.reasons if reason.code == "rule.skipped"]
    assert skipped == ["company", "deal", "owner", "known_contact", "proven"]
    assert decision.rules == ("subject",)
    assert decision.fallback == "crm_unreachable"
    assert [one.address for one in decision.recipients] == [ALL, BOSS]


async def test_mail_that_may_wait_waits_for_the_crm_before_rules_are_asked(rulebook: Rulebook) -> None:
    with pytest.raises(CrmSilentError):
        await decide(rulebook, may_wait=True)


async def test_an_unknown_proof_is_no_proof_where_a_rule_does_not_ask(rulebook: Rulebook) -> None:
    """It counts as unproven for powers, and is never punished."""
    decision = await decide(replace(rulebook, rules=()), may_wait=False)

    assert decision.proof.verdict == Verdict.UNKNOWN
    assert decision.to_json()["proven"] is False
