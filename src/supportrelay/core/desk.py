"""The rules of the desk, second half: from what is known about a mail to the whole Decision (DESIGN 2).

`sight.look` answers what the mail itself can answer; here come 'same mail', spam, threads, owners and rules.
"""

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from datetime import datetime

from supportrelay.core.decision import (
    CopyPlan,
    Decision,
    Direction,
    DirectoryUsed,
    Disposition,
    Fallback,
    Recipient,
    TicketAction,
    TicketPlan,
    Verdict,
)
from supportrelay.core.duplicate import takes_over
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.membership import Membership
from supportrelay.core.owners import OwnerChoice
from supportrelay.core.ports import Gathered
from supportrelay.core.reason import Reason, rfc3339
from supportrelay.core.recipients import Choice, choose_recipients, each_once, passed_on, reply_to
from supportrelay.core.rules import RouteKind, RuleOutcome
from supportrelay.core.sight import ForwardPaths, Sight
from supportrelay.core.stages import StageChange, stage_by_mail, stage_by_rule
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Stage, TicketView
from supportrelay.core.value import value_class

__all__ = ["Known", "decide"]

_NO_TICKET = TicketPlan()

_REASON_CODES = {
    Fallback.UNKNOWN_COMPANY: "A1",
    Fallback.NO_DEAL: "A2",
    Fallback.NO_OWNER: "A3",
    Fallback.NO_REACHABLE_OWNER: "A3",
    Fallback.CRM_UNREACHABLE: "A4",
    Fallback.UNPROVEN_SENDER: "U",
}


@value_class
class Known:
    """Everything known about a mail when the decision is made.

    Attributes:
        match: The ticket it joins, already through the guard (and dropped when a rule says ``always_new``).
        customer: The customer, None when there is none or nobody knows.
        choice: Owners of the customer or of the ticket's deal; None when the CRM did not answer in time.
        companies, domains: Company ids and registrable domains (without free-mail) of the externals.
        is_released: A person released it from hold: nothing holds it again.
    """

    facts: Facts
    sight: Sight
    gathered: Gathered
    match: Match
    customer: Mailbox | None
    choice: OwnerChoice | None
    outcome: RuleOutcome
    paths: ForwardPaths
    members: Membership
    accepted_at: datetime
    is_released: bool = False
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    companies: Collection[str] = ()
    domains: Collection[str] = ()


def decide(known: Known) -> Decision:
    """Decide what happens to a mail; the order of questions is DESIGN 2's."""
    sight = known.sight
    if sight.direction == Direction.LOOP and (known.paths.desk or known.paths.postmaster):
        return _base(known, Direction.LOOP, disposition=Disposition.IGNORE, reasons=(Reason.of("loop.own_copy"),))
    if not known.paths.desk:
        return _passed_on(known)
    if known.gathered.duplicate_of and not takes_over(known.gathered, sight):
        return _same_mail(known)
    if _is_held_spam(known):
        return _base(known, Direction.SPAM, disposition=Disposition.HOLD, reasons=(Reason.of("spam.held"),))
    return _ordinary(known)


def _is_held_spam(known: Known) -> bool:
    is_held = known.sight.is_spam and known.members.desk.spam.then == "hold" and not known.is_released
    return is_held and not known.outcome.decides_spam


def _ordinary(known: Known) -> Decision:
    sight, outcome = known.sight, known.outcome
    owners, fallback, owner_reasons = _owners(known)
    disposition = _disposition(known, fallback)
    ticket, ticket_reasons = _ticket(known)
    choice = _people(known, owners, fallback, ticket, disposition)
    reasons = (*known.match.reasons, *owner_reasons, *outcome.reasons, *ticket_reasons, *choice.reasons)
    if known.gathered.duplicate_of:
        code = "duplicate.no_spam" if known.gathered.duplicate_spam else "duplicate.now_proven"
        reasons = (Reason.of(code, first=known.gathered.duplicate_of), *reasons)
    return _base(
        known,
        sight.direction,
        owners=owners,
        fallback=fallback,
        recipients=_without_copy(known, choice),
        ticket=ticket if disposition == Disposition.RELAY else TicketPlan(),
        disposition=disposition,
        copy=_copy_plan(known, owners, fallback, ticket, choice.readers),
        reasons=reasons,
    )


def _owners(known: Known) -> tuple[tuple[str, ...], Fallback | None, tuple[Reason, ...]]:
    """Owners and the fallback; unproven staff have no customer and no owners."""
    if known.sight.direction == Direction.UNPROVEN:
        return (), Fallback.UNPROVEN_SENDER, (Reason.of("owners.unproven", how=known.sight.address.unproven_staff),)
    if known.choice is None:
        return (), Fallback.CRM_UNREACHABLE, (Reason.of("owners.crm_unreachable"),)
    return known.choice.owners, known.choice.fallback, known.choice.reasons


def _disposition(known: Known, fallback: Fallback | None) -> Disposition:
    if known.outcome.disposition == "ignore":
        return Disposition.IGNORE
    if known.is_released:
        return Disposition.RELAY
    if known.outcome.disposition == "hold":
        return Disposition.HOLD
    if fallback == Fallback.UNPROVEN_SENDER and known.sight.address.unproven_staff == "hold":
        return Disposition.HOLD
    return Disposition.RELAY


def _ticket(known: Known) -> tuple[TicketPlan, tuple[Reason, ...]]:
    """The ticket column of the table, with what rules say."""
    sight, outcome, ticket = known.sight, known.outcome, known.match.ticket
    if outcome.no_ticket:
        return TicketPlan(), (Reason.of("ticket.none_by_rule"),)
    by_rule = outcome.wants_ticket
    if sight.is_automatic and ticket is None and not by_rule:
        return TicketPlan(), (Reason.of("ticket.none_automatic"),)
    change = _stage(known, ticket)
    if change.stage is None:
        return TicketPlan(), change.reasons
    related = known.match.refused[0][0].id if known.match.refused else None
    plan = TicketPlan(
        action=TicketAction.JOIN if ticket else TicketAction.OPEN,
        ticket_id=ticket.id if ticket else None,
        conversation_id=ticket.conversation_id if ticket else None,
        stage=change.stage,
        moves=change.moves,
        note=change.note,
        priority=outcome.priority,
        related_ticket_id=related if ticket is None else None,
        wants=change.wants,
    )
    return plan, change.reasons


def _stage(known: Known, ticket: TicketView | None) -> StageChange:
    """By the columns, unless a rule names the stage."""
    sight, outcome, accepted_at = known.sight, known.outcome, known.accepted_at
    is_named = ticket is not None and any(h.names_it and h.ticket.id == ticket.id for h in known.gathered.hits)
    if outcome.ticket_stage is not None:
        return stage_by_rule(Stage(outcome.ticket_stage), sight, ticket, accepted_at, is_named=is_named)
    change = stage_by_mail(
        sight,
        known.facts,
        desk=known.members.desk,
        ticket=ticket,
        accepted_at=accepted_at,
        customers_companies=known.companies,
        customers_domains=known.domains,
        is_named=is_named,
    )
    if change.stage is None and outcome.wants_ticket:
        reason = Reason.of("stage.opened_rule", stage="NEW")
        return StageChange(Stage.NEW, moves=True, reasons=(reason,), wants=Stage.NEW)
    return change


def _people(
    known: Known,
    owners: tuple[str, ...],
    fallback: Fallback | None,
    ticket: TicketPlan,
    disposition: Disposition,
) -> Choice:
    """Who gets a copy; an automatic answer that joined a ticket goes to nobody but who a rule names."""
    if disposition != Disposition.RELAY:
        return Choice((), (Reason.of(f"disposition.{disposition}"),))
    sight = known.sight
    answers_ticket = sight.is_automatic_answer and ticket.action == TicketAction.JOIN
    return choose_recipients(
        sight,
        known.facts,
        owners=owners,
        fallback=fallback,
        outcome=known.outcome,
        members=known.members,
        teams=known.teams,
        stays_on_ticket=answers_ticket and sight.address.automatic == "keep",
    )


def _copy_plan(
    known: Known, owners: tuple[str, ...], fallback: Fallback | None, ticket: TicketPlan, readers: tuple[str, ...]
) -> CopyPlan:
    sight, choice = known.sight, known.choice
    author = sight.customers[0] if sight.forwarded_by and sight.customers else sight.author.mailbox
    if author is None and known.facts.from_:
        author = known.facts.from_[0]
    printed, is_cut = reply_to(sight, known.facts, owners=owners, members=known.members)
    reason_code, reason_name = _why_these_readers(known.outcome, fallback)
    return CopyPlan(
        address_name=sight.address.name,
        author=author.key if author else "",
        author_name=(author.name or author.local) if author else "",
        company_name=choice.company_name if choice else "",
        reply_to=printed,
        reply_to_cut=is_cut,
        banner=known.outcome.banner or "full",
        is_unproven=sight.direction == Direction.UNPROVEN or _is_nobody(sight, known.facts),
        forwarded_by=sight.forwarded_by.key if sight.forwarded_by else "",
        reason_code=reason_code,
        reason_text=choice.deal_name if choice else "",
        reason_name=reason_name,
        is_first=ticket.action != TicketAction.JOIN,
        visible_recipients=_visible(known, readers) if sight.address.show_recipients else (),
        tags=tuple(dict.fromkeys((*known.outcome.tags, *_marks(known)))),
        as_of=rfc3339(choice.as_of) if choice and choice.as_of and reason_code not in {"RU", "U"} else "",
        authentication=sight.proof.header,
    )


def _is_nobody(sight: Sight, facts: Facts) -> bool:
    """From names somebody of whom nobody knows whether he wrote: ours without proof, or one of several (RULES 8.2)."""
    is_vouched = sight.proof.verdict == Verdict.PROVEN or sight.author.is_form
    return sight.author.mailbox is None and not is_vouched and bool(facts.from_)


def _why_these_readers(outcome: RuleOutcome, fallback: Fallback | None) -> tuple[str, str]:
    """The short code and the name of why these people got it: a rule, the fallback, or because they own it."""
    if outcome.route is not None and outcome.route.kind != RouteKind.OWNERS:
        return "RU", "rule"
    return (_REASON_CODES[fallback], str(fallback)) if fallback else ("O", "owner")


def _visible(known: Known, readers: tuple[str, ...]) -> tuple[str, ...]:
    """Readers to add to Cc: those who do not stand in To or Cc already."""
    addressed = {mailbox.key for mailbox in (*known.facts.to, *known.facts.cc)}
    return tuple(reader for reader in readers if reader.lower() not in addressed)


def _marks(known: Known) -> tuple[str, ...]:
    """What readers shall see on the copy although it changes nothing."""
    sight, match = known.sight, known.match
    marks = {
        "spam": sight.is_spam,
        "looks-automatic": sight.automatic.subject_looks_automatic,
        "again": match.is_again,
        "new-matter": match.is_new_matter,
    }
    return tuple(mark for mark, is_set in marks.items() if is_set)


def _same_mail(known: Known) -> Decision:
    """The same mail once more: nothing new on the board, only people who have none yet get a copy."""
    owners, fallback, _ = _owners(known)
    disposition = Disposition.HOLD if _is_held_spam(known) else _disposition(known, fallback)
    choice = _people(known, owners, fallback, _first_arrivals_ticket(known), disposition)
    # The mail came before by a way that proved its sender: this one tells nobody to beware of it.
    was_proven = known.sight.is_unproven_staff and not known.gathered.duplicate_unproven
    missing = () if was_proven else _without_copy(known, choice)
    return _base(
        known,
        Direction.DUPLICATE,
        owners=owners,
        fallback=fallback,
        recipients=missing,
        ticket=TicketPlan(ticket_id=known.gathered.duplicate_ticket),
        copy=replace(_copy_plan(known, owners, fallback, TicketPlan(), choice.readers), is_first=False),
        reasons=(Reason.of("duplicate.same_mail", first=known.gathered.duplicate_of, missing=len(missing)),),
    )


def _without_copy(known: Known, choice: Choice) -> tuple[Recipient, ...]:
    """Who has no copy yet of an earlier arrival."""
    has = known.gathered.duplicate_has
    return tuple(p for p in choice.people if p.address.lower() not in has) if has else choice.people


def _first_arrivals_ticket(known: Known) -> TicketPlan:
    """As if it joined the first arrival's ticket: an automatic answer goes to nobody this time either."""
    ticket_id = known.gathered.duplicate_ticket
    return TicketPlan(TicketAction.JOIN, ticket_id) if ticket_id is not None else TicketPlan()


def _passed_on(known: Known) -> Decision:
    """Nothing of it is for the desk: postmaster's mail and submission's other recipients go on as they came."""
    code = "passed_on.postmaster" if known.paths.postmaster else "passed_on.elsewhere"
    return _base(known, known.sight.direction, reasons=(Reason.of(code),))


def _passed_on_now(known: Known, direction: Direction, disposition: Disposition) -> tuple[Recipient, ...]:
    """Who gets it as it came beside the desk; what is held is held for everybody until a person decides."""
    if disposition == Disposition.HOLD:
        return ()
    if direction == Direction.LOOP:
        return passed_on(replace(known.paths, postmaster=()), known.members)
    people = passed_on(known.paths, known.members)
    if direction != Direction.DUPLICATE:
        return people
    return tuple(p for p in people if p.address.lower() not in known.gathered.duplicate_has)


def _base(
    known: Known,
    direction: Direction,
    *,
    owners: tuple[str, ...] = (),
    fallback: Fallback | None = None,
    recipients: tuple[Recipient, ...] = (),
    ticket: TicketPlan = _NO_TICKET,
    disposition: Disposition = Disposition.RELAY,
    copy: CopyPlan | None = None,
    reasons: tuple[Reason, ...] = (),
) -> Decision:
    choice = known.choice or OwnerChoice()
    has_customer = direction not in {Direction.UNPROVEN, Direction.LOOP}
    return Decision(
        direction=direction,
        place=known.sight.place,
        address_name=known.sight.address.name,
        proof=known.sight.proof,
        customer=known.customer.key if known.customer and has_customer else "",
        company_id=choice.company_id if has_customer else "",
        company_name=choice.company_name if has_customer else "",
        deal_id=choice.deal_id if has_customer else "",
        deal_name=choice.deal_name if has_customer else "",
        owners=owners,
        fallback=fallback,
        rules=known.outcome.names,
        recipients=each_once([*recipients, *_passed_on_now(known, direction, disposition)]),
        ticket=ticket,
        disposition=disposition,
        copy=copy,
        reasons=(*known.sight.reasons, *reasons),
        directory=_directory(choice) if has_customer else None,
    )


def _directory(choice: OwnerChoice) -> DirectoryUsed | None:
    if choice.known_at is None:
        return None
    return DirectoryUsed(choice.source, choice.known_at, choice.as_of is not None)
