"""assess: what this mail is, from the mail itself and from what the store knows of it. Changes nothing."""

import asyncio
from dataclasses import replace
from datetime import datetime

from supportrelay.core.automatic import AutomaticKind, classify_automatic
from supportrelay.core.decision import Direction
from supportrelay.core.envelope import Envelope
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.membership import Membership
from supportrelay.core.ports import Gathered, WhereFrom
from supportrelay.core.reading import read_facts
from supportrelay.core.reason import Reason
from supportrelay.core.sight import ForwardPaths, Sight, as_first_sent, look, sort_forward_paths
from supportrelay.core.thread import where_from
from supportrelay.core.value import value_class
from supportrelay.flow.accept import WHOLE_OCTETS
from supportrelay.flow.office import Office, Rulebook

__all__ = ["Assessment", "as_human", "assess", "facts_of"]

# A message that takes longer to read than this is decided on its header alone.
_READ_WAIT_S = 30.0


@value_class
class Assessment:
    """What is seen and known before the CRM is asked."""

    facts: Facts
    envelope: Envelope
    sight: Sight
    members: Membership
    paths: ForwardPaths
    where_from: WhereFrom
    gathered: Gathered
    accepted_at: datetime


async def facts_of(octets: bytes) -> Facts:
    """Read a message of any size; a large one by a thread, and no longer than the limit."""
    if len(octets) <= WHOLE_OCTETS:
        return read_facts(octets)
    try:
        return await asyncio.wait_for(asyncio.to_thread(read_facts, octets), _READ_WAIT_S)
    except TimeoutError:
        return read_facts(octets[:65536])


async def assess(
    office: Office, rulebook: Rulebook, facts: Facts, envelope: Envelope, accepted_at: datetime
) -> Assessment:
    """Look at the mail, then look up what the store knows of it.

    Raises:
        TransientFailure: The store or the directory's list of owners cannot be read now.
    """
    members = rulebook.members(await rulebook.directory.owners())
    envelope = as_first_sent(facts, envelope, members)
    proof = await rulebook.prover.prove(facts, envelope)
    automatic = classify_automatic(facts, envelope)
    sight = look(facts, envelope, proof=proof, automatic=automatic, members=members, keys=office.keys, now=accepted_at)
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
    )


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
    return replace(assessment, sight=replace(sight, reasons=(*sight.reasons, automatic.reason)))


def _threading_author(sight: Sight) -> Mailbox | None:
    """Whose other mails count for the subject step: the customer's side of this mail."""
    if sight.direction == Direction.OUTBOUND or sight.forwarded_by is not None:
        return sight.customers[0] if sight.customers else None
    return sight.author.mailbox
