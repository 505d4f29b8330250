"""From a Decision to what the store commits in one transaction."""

from datetime import datetime

from supportrelay.core.decision import Decision, Direction, Disposition, TicketAction
from supportrelay.core.delivery import DeliveryKind, MessageState
from supportrelay.core.duplicate import takes_over
from supportrelay.core.facts import Facts
from supportrelay.core.ports import (
    Change,
    DeskOrder,
    KnownId,
    Lease,
    NewDelivery,
    Settlement,
    TicketChange,
    TicketOpening,
)
from supportrelay.core.sight import Sight
from supportrelay.core.subject import normalise_subject
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Stage
from supportrelay.flow.assign import Assigned, domain_of_customer
from supportrelay.flow.message_ids import id_of_copies, id_of_note
from supportrelay.flow.office import Office, Rulebook

__all__ = ["PROBE", "settlement_of", "waiting"]

# The reason by which a decision on our own probe is known.
PROBE = "probe.reader_only"

_MAX_ANCHORS = 50
_SUBJECT_TOLD = 200


def settlement_of(
    office: Office, rulebook: Rulebook, assigned: Assigned, *, queue_id: str, lease: Lease, now: datetime
) -> Settlement:
    """Everything about one message that is to be committed."""
    decision, assessment = assigned.decision, assigned.assessment
    facts, sight = assessment.facts, assessment.sight
    is_joining = decision.ticket.action == TicketAction.JOIN
    deliveries = _deliveries(office, rulebook, decision, facts, queue_id)
    is_taking_over = decision.direction != Direction.DUPLICATE and takes_over(assessment.gathered, sight)
    checks = decision.direction not in {Direction.LOOP, Direction.REPORT} and bool(assessment.paths.desk)
    return Settlement(
        queue_id=queue_id,
        now=now,
        lease=lease,
        state=_state(decision),
        direction=str(decision.direction),
        place=str(decision.place),
        address_name=decision.address_name,
        customer=decision.customer,
        decision=decision.to_json(),
        copy_plan=decision.copy.to_json() if decision.copy else None,
        where_from=assessment.where_from if checks else None,
        fingerprint=assessment.gathered.fingerprint if checks else "",
        opening=_opening(rulebook, assigned) if decision.ticket.action == TicketAction.OPEN else None,
        change=_change(rulebook, assigned) if is_joining else None,
        is_inbound=decision.direction == Direction.INBOUND and not sight.is_automatic,
        sent_at=assessment.accepted_at,
        ids=_ids(facts, decision, deliveries),
        thread_index=facts.thread_index,
        participants=_participants(assigned),
        has_cc_support=decision.direction == Direction.INBOUND and decision.place == "cc",
        first_arrival="" if is_taking_over else assessment.gathered.duplicate_of,
        takes_over=assessment.gathered.duplicate_of if is_taking_over else "",
        deliveries=deliveries,
        changes=_changes(decision, sight, assigned.known.match, facts),
        accepted_at=assessment.accepted_at,
        desk=_desk_order(rulebook, decision),
    )


# Mail from the customer's side; of colleagues' mail the desk has its own copies, or nobody wants it there.
_INBOUND = frozenset({Direction.INBOUND, Direction.UNPROVEN, Direction.AUTOMATIC})


def _desk_order(rulebook: Rulebook, decision: Decision) -> DeskOrder | None:
    """What the mail asks of the outside desk; a probe leaves no trace there."""
    desk, ticket = rulebook.desk, decision.ticket
    if desk.desk_kind == "builtin" or ticket.action == TicketAction.NONE:
        return None
    if any(reason.code == PROBE for reason in decision.reasons):
        return None
    stage = ticket.wants or (ticket.stage if ticket.action == TicketAction.OPEN else None)
    records = desk.desk_log == "all" or (desk.desk_log == "inbound" and decision.direction in _INBOUND)
    return DeskOrder(stage, records) if stage is not None or records else None


def waiting(queue_id: str, assigned_to: str, *, lease: Lease, now: datetime, due_at: datetime, why: str) -> Settlement:
    """A message that waits for the CRM by due time, not in memory."""
    return Settlement(
        queue_id=queue_id,
        now=now,
        lease=lease,
        state=MessageState.WAITING,
        direction="",
        place="",
        address_name=assigned_to,
        customer="",
        decision={},
        due_at=due_at,
        changes=(Change("message.waiting", "relay", {"why": why}),),
    )


def _state(decision: Decision) -> MessageState:
    if decision.direction == Direction.LOOP:
        return MessageState.LOOPED
    if decision.disposition == Disposition.HOLD:
        return MessageState.HELD
    if decision.disposition == Disposition.IGNORE:
        return MessageState.IGNORED
    return MessageState.COMPOSED if decision.recipients else MessageState.FILED


def _opening(rulebook: Rulebook, assigned: Assigned) -> TicketOpening:
    decision, known = assigned.decision, assigned.known
    customer = known.customer if decision.customer else None
    return TicketOpening(
        stage=decision.ticket.stage or Stage.NEW,
        address=decision.address_name,
        subject=known.facts.subject,
        subject_key=normalise_subject(known.facts.subject, known.members.desk.subject_tags),
        customer=decision.customer,
        customer_domain=domain_of_customer(rulebook.domains, customer) if customer else "",
        company_id=decision.company_id,
        company_name=decision.company_name,
        deal_id=decision.deal_id,
        deal_name=decision.deal_name,
        owners=decision.owners,
        priority=decision.ticket.priority,
        related_ticket_id=decision.ticket.related_ticket_id,
    )


def _change(rulebook: Rulebook, assigned: Assigned) -> TicketChange:
    """What joins changes: the stage, owners as they are now, and the deal when the ticket had none or lost it."""
    decision, known = assigned.decision, assigned.known
    ticket = known.match.ticket
    assert ticket is not None
    gains_deal = bool(decision.deal_id) and decision.deal_id != ticket.deal_id
    gains_company = bool(decision.company_id) and not ticket.company_id
    gains_customer = bool(decision.customer) and not ticket.customer
    return TicketChange(
        ticket_id=ticket.id,
        conversation_id=ticket.conversation_id,
        stage=decision.ticket.stage if decision.ticket.moves else decision.ticket.wants,
        owners=decision.owners if known.choice is not None else None,
        company_id=decision.company_id if gains_deal or gains_company else None,
        company_name=decision.company_name if gains_deal or gains_company else None,
        deal_id=decision.deal_id if gains_deal else None,
        deal_name=decision.deal_name if gains_deal else None,
        customer=decision.customer if gains_customer else None,
        customer_domain=domain_of_customer(rulebook.domains, known.customer)
        if gains_customer and known.customer
        else None,
        priority=decision.ticket.priority,
    )


def _ids(facts: Facts, decision: Decision, deliveries: tuple[NewDelivery, ...]) -> tuple[KnownId, ...]:
    """Ids that lead to this ticket from now on: the mail's own, its copies', and every one it names (RULES 4.2c)."""
    if decision.ticket.action == TicketAction.NONE:
        return ()
    named = dict.fromkeys((*facts.in_reply_to, *reversed(facts.references)))
    named.pop(facts.message_id, None)
    anchors = tuple(KnownId(one, "anchor") for one in list(named)[:_MAX_ANCHORS])
    given = {copy.new_message_id: None for copy in deliveries if copy.new_message_id}
    own = (KnownId(facts.message_id, "seen"),) if facts.message_id else ()
    return (*own, *(KnownId(one, "generated") for one in given), *anchors)


def _participants(assigned: Assigned) -> tuple[str, ...]:
    """External mailboxes of the ticket's first mail, or of one from proven staff or an earlier participant.

    A mail that fails its author's DMARC adds nobody: with a customer's address in From and his own in Cc a stranger
    would take part. The customer himself may write without being named here.
    """
    sight, ticket = assigned.assessment.sight, assigned.known.match.ticket
    if assigned.decision.ticket.action == TicketAction.NONE or sight.proof.fails_dmarc:
        return ()
    author = sight.author
    may_add = ticket is None or (author.is_staff and author.is_proven) or author.key in ticket.participants
    if not may_add or assigned.decision.direction == Direction.UNPROVEN:
        return ()
    people = {mailbox.key: None for mailbox in (*sight.customers, *sight.externals)}
    if author.mailbox is not None and not author.is_staff:
        people[author.key] = None
    return tuple(people)


def _deliveries(
    office: Office, rulebook: Rulebook, decision: Decision, facts: Facts, queue_id: str
) -> tuple[NewDelivery, ...]:
    """The copies to make; their own Message-ID when the desk wants one."""
    address = rulebook.address(decision.address_name)
    new_id = id_of_copies(office, address, facts, queue_id) if decision.copy is not None else ""
    ids = {DeliveryKind.AS_IS: "", DeliveryKind.REWRITTEN: "", DeliveryKind.SUBMITTED: ""}
    if decision.copy is not None and decision.copy.note:
        ids[DeliveryKind.NOTE] = id_of_note(office, address, queue_id)
    return tuple(
        NewDelivery(r.address, r.kind, r.why, new_message_id=ids.get(r.kind, new_id)) for r in decision.recipients
    )


def _changes(decision: Decision, sight: Sight, match: Match, facts: Facts) -> tuple[Change, ...]:
    """The rows of the record that this decision writes."""
    who = f"mail:{sight.author.key}" if sight.author.key else "mail:"
    changes = [
        Change(
            "message.decided",
            "relay",
            {
                "direction": str(decision.direction),
                "disposition": str(decision.disposition),
                "recipients": list(decision.readers),
            },
        )
    ]
    changes += [
        Change("message.guarded", "relay", {"writer": one.address, "reasons": [reason.to_json()]})
        for one in decision.recipients
        for reason in decision.reasons
        if one.kind == DeliveryKind.NOTE and reason.code.startswith("guard.")
    ]
    ticket = decision.ticket
    if ticket.action == TicketAction.OPEN:
        changes.append(Change("ticket.opened", who, {"to": str(ticket.stage)}))
    elif ticket.action == TicketAction.JOIN:
        what = "ticket.moved" if ticket.moves else "ticket.joined"
        why = next((r.code for r in decision.reasons if r.code.startswith("stage.")), "")
        changes.append(Change(what, who, {"to": str(ticket.stage), "why": why, "note": ticket.note}))
        if match.new_subject:
            told = {"subject": facts.subject[:_SUBJECT_TOLD], "is_new_matter": match.is_new_matter}
            changes.append(Change("ticket.subject_changed", who, told))
    return tuple(changes)
