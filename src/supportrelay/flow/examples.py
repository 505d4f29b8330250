"""examples: what the rules of a file do to the example mails it carries, decided by the very code that serves."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from supportrelay.core.decision import Proof, Verdict
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.membership import Membership
from supportrelay.core.ports import Accepted, Gathered, Lease, ProofAsked, SigningKey, Store, WhereFrom
from supportrelay.core.reading import read_facts
from supportrelay.core.rule_examples import Example, Given
from supportrelay.flow.assign import Assigned
from supportrelay.flow.journey import decide_on
from supportrelay.flow.office import Office, Rulebook

__all__ = ["example_decider"]

_ANY_TIME = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


class _Given:
    """Directory and prover that know what the example gives."""

    def __init__(self, given: Given, at: datetime) -> None:
        self._given = given
        self._at = at

    async def find(self, customer: Mailbox) -> DirectoryAnswer:  # noqa: ARG002  the example has one customer
        given = self._given
        if not (given.company or given.deal or given.owners or given.known_contact):
            return DirectoryAnswer((), MatchedBy.NOTHING, "example", self._at)
        deals: tuple[Deal, ...] = ()
        if given.deal or given.owners:
            deals = (Deal("1", given.deal or "deal", "1", DealState.OPEN, given.owners, self._at, self._at),)
        companies = (Company("1", given.company or "company", deals),)
        matched_by = MatchedBy.CONTACT if given.known_contact else MatchedBy.DOMAIN
        return DirectoryAnswer(companies, matched_by, "example", self._at, is_known_contact=given.known_contact)

    async def deal(self, deal_id: str) -> None:  # noqa: ARG002
        return None

    async def owners(self) -> frozenset[str]:
        return frozenset(owner.lower() for owner in self._given.owners)

    async def prove(self, asked: ProofAsked) -> Proof:  # noqa: ARG002
        return Proof(Verdict.PROVEN if self._given.proven else Verdict.UNPROVEN, "example")


class _EmptyStore:
    """A store that has seen nothing."""

    async def gather(self, where_from: WhereFrom) -> Gathered:  # noqa: ARG002
        return Gathered()

    async def absent_until(self, now: datetime) -> Mapping[str, datetime | None]:  # noqa: ARG002
        return {}


def example_decider(rulebook: Rulebook) -> Callable[[Example], Mapping[str, Any]]:
    """Return what decides on an example, for `core.rule_examples.check_examples`."""

    def decide(example: Example) -> dict[str, Any]:
        given = example.given
        at = given.at or _ANY_TIME
        facts = read_facts(example.octets)
        world = _Given(given, at)
        book = replace(rulebook, prover=world, directory=world)
        recipient = given.recipient or _first_of_ours(facts, Membership(rulebook.desk))
        sender = facts.from_[0].key if facts.from_ else ""
        envelope = Envelope(sender, (recipient,), Peer("192.0.2.1", "example", is_trusted=given.proven))
        accepted = Accepted("example", envelope, example.octets, at)
        assigned: Assigned
        assigned, _ = _run_now(decide_on(_office(book, at), book, accepted, facts, may_wait=False, acts=False))
        return assigned.decision.to_json()

    return decide


def _first_of_ours(facts: Facts, members: Membership) -> str:
    ours = (m.key for m in (*facts.to, *facts.cc) if members.is_ours(m.key) or members.is_known_to_rules(m.key))
    return next(ours, members.desk.addresses[0].address)


def _office(rulebook: Rulebook, at: datetime) -> Office:
    key = SigningKey(0, b"example", at)
    return Office(
        store=cast("Store", _EmptyStore()),  # deciding asks a store for nothing else
        rulebook=lambda: rulebook,
        keys=(key,),
        instance="example",
        holder="example",
        now=lambda: at,
        new_id=lambda: "example",
        fraction=lambda: 0.0,
        lease=lambda: Lease("example", at),
    )


def _run_now(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing, also inside a running loop (a reload checks examples, too)."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise asyncio.InvalidStateError("an example waited for the outside world")
