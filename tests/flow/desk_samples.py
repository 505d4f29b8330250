"""A rulebook and mails for the stations that work for an outside desk."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import yaml

from supportrelay.config import load
from supportrelay.core.decision import Proof, Verdict
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.ports import Accepted, OwnerDirectory, ProofAsked
from supportrelay.core.reading import read_facts
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.outbox import OutboxCourier
from supportrelay.edge.patterns import compile_pattern
from supportrelay.edge.templates import BannerTemplates
from supportrelay.flow.assign import Assigned
from supportrelay.flow.examples import _office
from supportrelay.flow.journey import decide_on
from supportrelay.flow.office import Rulebook

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
SUPPORT, ALL = "support@desk.test", "all@desk.test"


def an_answer(**values: Any) -> DirectoryAnswer:
    at = NOW - timedelta(hours=1)
    deal = Deal("7", "Rollout", "1", DealState.OPEN, ("ann@staff.example",), at, at)
    known: dict[str, Any] = {"companies": (Company("1", "Acme", (deal,)),), "matched_by": MatchedBy.DOMAIN}
    return DirectoryAnswer(**(known | {"source": "hubspot", "known_at": at} | values))


class Prover:
    """Vouches for colleagues alone."""

    async def prove(self, asked: ProofAsked) -> Proof:
        is_ours = bool(asked.facts.from_) and asked.facts.from_[0].domain == "desk.test"
        return Proof(Verdict.PROVEN if is_ours else Verdict.UNPROVEN, "test")


def rulebook_of(folder: Path, directory: object) -> Rulebook:
    file = folder / "supportrelay.yaml"
    address = {"address": SUPPORT, "name": "desk", "sender": {"address": "r@desk.test"}, "allmember": [ALL]}
    written = {
        "addresses": [address],
        "internal_domains": ["desk.test"],
        "admins": ["it@desk.test"],
        "outbound": {"outbox": True},
    }
    file.write_text(yaml.safe_dump(written))
    config = load(file, {})
    return Rulebook(
        desk=config.desk(),
        rules=config.core_rules(compile_pattern),
        teams={},
        banners=BannerTemplates(),
        prover=Prover(),
        courier=OutboxCourier(folder),
        domains=PublicDomains(()),
        directory=cast("OwnerDirectory", directory),
    )


async def decide(
    rulebook: Rulebook,
    *,
    sender: str = "bob@acme.example",
    to: str = SUPPORT,
    cc: str = "",
    fields: str = "",
    may_wait: bool = False,
) -> Assigned:
    """The decision on a mail."""
    head = f"From: {sender}\r\nTo: {to}\r\nSubject: hello\r\n" + (f"Cc: {cc}\r\n" if cc else "") + fields
    octets = f"{head}\r\nhello\r\n".encode()
    accepted = Accepted("q", Envelope(sender, (SUPPORT,), Peer("192.0.2.1", "x")), octets, NOW)
    office = _office(rulebook, NOW)
    assigned, _ = await decide_on(office, rulebook, accepted, read_facts(octets), may_wait=may_wait, acts=False)
    return assigned
