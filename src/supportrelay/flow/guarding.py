"""guarding: tell a colleague, in private, what is wrong with the mail he sent. The decision itself stays as it is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from supportrelay.core.decision import CopyPlan, Decision, Recipient
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.facts import Facts
from supportrelay.core.guards import (
    UNSENT_REPLY,
    Warned,
    answered_mail,
    colleagues_named,
    leak,
    may_be_told,
    unsent_reply,
    writer_of,
)
from supportrelay.core.reading import read_facts
from supportrelay.core.submitted import cut_of
from supportrelay.flow.assign import Assigned
from supportrelay.flow.note_to_writer import senders_of
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.turns import in_turn

__all__ = ["guard"]

# Earlier mails that are read to tell what people outside know already.
_LOOKED_BACK = 20
_MOST_OCTETS = 1024 * 1024


async def guard(office: Office, rulebook: Rulebook, assigned: Assigned, octets: bytes) -> Assigned:
    """Return the decision with a note to its writer, when there is something to tell him; else as it is.

    Raises:
        TransientFailure: The store cannot be read.
    """
    known, decision = assigned.known, assigned.decision
    wanted = may_be_told(known, decision)
    if not wanted:
        return assigned
    if wanted == UNSENT_REPLY:
        warned = await _unsent_reply(office, assigned)
    else:
        warned = await _leak(office, rulebook, assigned, octets)
    writer = writer_of(known)
    if warned is None or writer is None:
        return assigned
    told = Recipient(f"{writer.local}@{writer.domain}", DeliveryKind.NOTE, "guard")
    return replace(
        assigned,
        decision=replace(
            decision,
            recipients=(*decision.recipients, told),
            copy=_plan(decision, warned),
            reasons=(*decision.reasons, warned.reason),
        ),
    )


def _plan(decision: Decision, warned: Warned) -> CopyPlan:
    if decision.copy is not None:
        return replace(decision.copy, note=warned.to_plan())
    return CopyPlan(decision.address_name, is_passed_on=True, note=warned.to_plan())


async def _unsent_reply(office: Office, assigned: Assigned) -> Warned | None:
    known = assigned.known
    message_id = answered_mail(known, office.keys)
    if not message_id:
        return None
    answered = [facts async for facts in _mails_before(office, assigned) if facts.message_id == message_id]
    return unsent_reply(known, answered[0] if answered else None)


async def _leak(office: Office, rulebook: Rulebook, assigned: Assigned, octets: bytes) -> Warned | None:
    known = assigned.known
    if not known.sight.externals:
        return None
    senders = senders_of(rulebook)
    _, cut = await in_turn(octets, lambda: cut_of(octets, senders))
    # Whom we send it to gets it without the banner; whom it reaches by another way got it as it is.
    by_us = {path.lower() for path in known.paths.elsewhere}
    is_cut_for_all = all(mailbox.key in by_us for mailbox in known.sight.externals)
    has_banner = cut.is_left or (bool(cut.edits) and not is_cut_for_all)
    owners, allmember = colleagues_named(known, assigned.decision.owners)
    if owners or allmember:
        told = await _told_before(office, assigned)
        owners = tuple(one for one in owners if one not in told)
        allmember = tuple(one for one in allmember if one not in told)
    return leak(known, has_banner=has_banner, owners=owners, allmember=allmember)


async def _told_before(office: Office, assigned: Assigned) -> "_Told":
    """What the last mails of the ticket from or to people outside hold; asked only when something was found."""
    told = _Told()
    async for facts in _mails_before(office, assigned):
        told.add(facts)
    return told


async def _mails_before(office: Office, assigned: Assigned) -> AsyncIterator[Facts]:
    """The last mails of the ticket from or to people outside that are kept, newest first."""
    ticket = assigned.known.match.ticket
    if ticket is None:
        return
    for queue_id in await office.store.mails_outside(ticket.id, _LOOKED_BACK):
        try:
            octets = (await office.store.content(queue_id))[:_MOST_OCTETS]
        except KeyError:  # no longer kept
            continue
        yield await in_turn(octets, partial(read_facts, octets))


class _Told:
    """Addresses that were named before."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, facts: Facts) -> None:
        people = (m.key for m in (*facts.from_, *facts.to, *facts.cc, *facts.reply_to))
        self._texts.append("\n".join((*people, facts.body_text.lower())))

    def __contains__(self, address: object) -> bool:
        return any(str(address) in text for text in self._texts)
