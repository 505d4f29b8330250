"""assess: what this mail is, from the mail itself and from what the store knows of it. Changes nothing."""

import asyncio
from dataclasses import replace
from datetime import datetime

from supportrelay.core.automatic import AutomaticKind, classify_automatic
from supportrelay.core.decision import Direction
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import CrmDown, TransientFailure
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.membership import Membership
from supportrelay.core.ports import Gathered, WhereFrom
from supportrelay.core.reading import read_facts
from supportrelay.core.reason import Reason
from supportrelay.core.sight import ForwardPaths, Sight, as_first_sent, look, sort_forward_paths
from supportrelay.core.thread import where_from
from supportrelay.core.value import value_class
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.proving import Proving
from supportrelay.flow.turns import is_quick

__all__ = ["Assessment", "CrmSilentError", "as_human", "assess", "facts_of"]

# A message that takes longer to read than this is decided on its header alone.
_READ_WAIT_S = 30.0


class CrmSilentError(Exception):
    """The CRM did not answer and the mail may still wait for it.

    Attributes:
        retry_at: Not before then, when the CRM said so.
    """

    def __init__(self, cause: TransientFailure) -> None:
        super().__init__(str(cause))
        self.retry_at = cause.retry_at if isinstance(cause, CrmDown) else None


@value_class
class Assessment:
    """What is seen and known before the CRM is asked about the customer.

    Attributes:
        told: Reasons that are no part of the first look.
    """

    facts: Facts
    envelope: Envelope
    sight: Sight
    members: Membership
    paths: ForwardPaths
    where_from: WhereFrom
    gathered: Gathered
    accepted_at: datetime
    told: tuple[Reason, ...] = ()


async def facts_of(octets: bytes) -> Facts:
    """Read a message of any size, no longer than the limit."""
    if is_quick(octets):
        return read_facts(octets)
    try:
        return await asyncio.wait_for(asyncio.to_thread(read_facts, octets), _READ_WAIT_S)
    except TimeoutError:
        return await asyncio.to_thread(read_facts, octets[:65536])


async def assess(
    office: Office,
    rulebook: Rulebook,
    facts: Facts,
    envelope: Envelope,
    accepted_at: datetime,
    *,
    proving: Proving,
    may_wait: bool,
) -> Assessment:
    """Look at the mail and at who vouches for its sender, then look up what the store knows of it.

    Raises:
        CrmSilentError: The CRM did not say who the owners are, and the mail may wait.
        TransientFailure: The store cannot be read now.
    """
    owners, told = await _owners(rulebook, may_wait=may_wait)
    members = rulebook.members(owners)
    envelope = as_first_sent(facts, envelope, members)
    proof = await proving.proof(rulebook, facts, envelope, members)
    automatic = classify_automatic(facts, envelope)
    sight = look(facts, envelope, proof=proof, automatic=automatic, members=members, keys=office.keys, now=accepted_at)
    sight = replace(sight, reasons=(*told, *sight.reasons)) if told else sight
    ticket_id = sight.ticket_id
    if sight.delivery_id is not None and ticket_id is None:
        view = await office.store.delivery(sight.delivery_id)
        ticket_id = view.ticket_id if view else None
    wanted = where_from(
        facts,
        envelope,
        members.desk,
        sight.address,
        _threading_author(sight),
        ticket_id,
        accepted_at,
        is_newsletter=automatic.kind == AutomaticKind.NEWSLETTER,
    )
    wanted = replace(wanted, message_id=facts.message_id)
    return Assessment(
        facts=facts,
        envelope=envelope,
        sight=sight,
        members=members,
        paths=sort_forward_paths(envelope.forward_paths, members),
        where_from=wanted,
        gathered=await office.store.gather(wanted),
        accepted_at=accepted_at,
        told=told,
    )


async def _owners(rulebook: Rulebook, *, may_wait: bool) -> tuple[frozenset[str], tuple[Reason, ...]]:
    """All owners, who are staff. Without the CRM only the configuration says who is one of us."""
    try:
        return await rulebook.directory.owners(), ()
    except TransientFailure as exc:
        if may_wait:
            raise CrmSilentError(exc) from exc
        return frozenset(), (Reason.of("author.owners_unknown"),)


def as_human(office: Office, assessment: Assessment) -> Assessment:
    """The same mail read as a person's: `auto-generated` inside a thread comes from another help desk (DESIGN 2)."""
    automatic = replace(assessment.sight.automatic, kind=AutomaticKind.HUMAN, reason=Reason.of("automatic.in_thread"))
    sight = look(
        assessment.facts,
        assessment.envelope,
        proof=assessment.sight.proof,
        automatic=automatic,
        members=assessment.members,
        keys=office.keys,
        now=assessment.accepted_at,
    )
    return replace(assessment, sight=replace(sight, reasons=(*assessment.told, *sight.reasons, automatic.reason)))


def _threading_author(sight: Sight) -> Mailbox | None:
    """Whose other mails count for the subject step: the customer's side of this mail."""
    if sight.direction == Direction.OUTBOUND or sight.forwarded_by is not None:
        return sight.customers[0] if sight.customers else None
    return sight.author.mailbox
