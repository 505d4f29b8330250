"""assign: find the owner, open or move the ticket. A silent CRM delays the ticket, never the mail (DESIGN 5).

Here the questions are asked that need the CRM; `core.desk.decide` answers with the Decision, and `settlement` turns
it into what the store commits.
"""

from dataclasses import dataclass, field
from datetime import datetime

from supportrelay.core.automatic import AutomaticKind, rule_word
from supportrelay.core.decision import Decision, Direction, Fallback, Verdict
from supportrelay.core.desk import Known, decide
from supportrelay.core.directory import DirectoryAnswer
from supportrelay.core.errors import AddressError, TransientFailure
from supportrelay.core.mailbox import Mailbox, parse_path
from supportrelay.core.owners import OwnerChoice, choose_owners, owners_of_deals
from supportrelay.core.ports import Domains, OwnerDirectory
from supportrelay.core.reason import Reason
from supportrelay.core.rules import RuleOutcome, RuleSubject, evaluate, names_condition
from supportrelay.core.subject import normalise_subject
from supportrelay.core.thread import Match, choose_ticket, subject_change
from supportrelay.core.ticket import TicketView
from supportrelay.core.value import value_class
from supportrelay.flow.assess import Assessment, CrmSilentError, as_human
from supportrelay.flow.office import Office, Rulebook

__all__ = ["Assigned", "assign"]

# More externals than this on one mail are not looked up one by one.
_MAX_CANDIDATES = 10


@value_class
class Assigned:
    """A decision with what it stood on."""

    decision: Decision
    assessment: Assessment
    known: Known


@dataclass(slots=True)
class _Crm:
    """The directory's answers about one mail; each customer is asked for once.

    Attributes:
        is_silent: A question went unanswered.
    """

    directory: OwnerDirectory
    may_wait: bool
    is_silent: bool = False
    answers: dict[str, DirectoryAnswer] = field(default_factory=dict)

    async def ask(self, customer: Mailbox) -> DirectoryAnswer | None:
        """The answer about a customer, None when the CRM is silent and the mail may not wait."""
        if self.is_silent:
            return None
        found = self.answers.get(customer.key)
        if found is not None:
            return found
        try:
            found = self.answers[customer.key] = await self.directory.find(customer)
        except TransientFailure as exc:
            if self.may_wait:
                raise CrmSilentError(exc) from exc
            self.is_silent = True
            return None
        return found

    def answered(self) -> tuple[str, datetime | None]:
        """Who answered so far, and from when its oldest answer is; "" and None when nobody was asked about."""
        answers = self.answers.values()
        return next((a.source for a in answers), ""), min((a.known_at for a in answers), default=None)

    def company_ids(self) -> frozenset[str]:
        """Companies of everybody asked about so far."""
        return frozenset(c.id for answer in self.answers.values() for c in answer.companies)


async def assign(
    office: Office, rulebook: Rulebook, assessment: Assessment, *, may_wait: bool, is_released: bool = False
) -> Assigned:
    """Decide about a mail.

    Args:
        may_wait: The mail is younger than ``crm.max_wait``; then a silent CRM raises instead of sending to Allmember.
        is_released: A person released it from hold.

    Raises:
        CrmSilentError: Wait and ask again.
        TransientFailure: The store cannot be read.
    """
    if assessment.sight.direction == Direction.LOOP or not assessment.paths.desk:
        return _finish(assessment, Match(), None, OwnerChoice(), RuleOutcome(), ())
    crm = _Crm(rulebook.directory, may_wait)
    customer = await _customer_of_mail(assessment, crm)
    match = _match(rulebook, assessment, customer, crm)
    if match.ticket and assessment.sight.automatic.kind in {AutomaticKind.AUTO_GENERATED, AutomaticKind.ROBOT}:
        assessment = as_human(office, assessment)
        customer = await _customer_of_mail(assessment, crm)
    absent = frozenset(await office.store.absent_until(office.now()))
    customer, choice = await _owners(assessment, rulebook, match.ticket, customer, crm, absent)
    contact = await _known_contact(rulebook, customer, choice, crm)
    outcome = evaluate(
        rulebook.rules, _rule_subject(assessment, choice, known_contact=contact, is_released=is_released)
    )
    if outcome.always_new and match.ticket is not None:
        refused = ((match.ticket, "thread.always_new"), *match.refused)
        match = Match(refused=refused)
        customer = await _customer_of_mail(assessment, crm)
        customer, choice = await _owners(assessment, rulebook, None, customer, crm, absent)
    companies = await _companies(assessment, match.ticket, crm)
    return _finish(assessment, match, customer, choice, outcome, companies, rulebook, is_released=is_released)


def _finish(
    assessment: Assessment,
    match: Match,
    customer: Mailbox | None,
    choice: OwnerChoice | None,
    outcome: RuleOutcome,
    companies: tuple[str, ...] | frozenset[str],
    rulebook: Rulebook | None = None,
    *,
    is_released: bool = False,
) -> Assigned:
    domains = (
        frozenset(domain_of_customer(rulebook.domains, m) for m in assessment.sight.externals[:_MAX_CANDIDATES])
        if rulebook
        else frozenset()
    )
    known = Known(
        facts=assessment.facts,
        sight=assessment.sight,
        gathered=assessment.gathered,
        match=match,
        customer=customer,
        choice=choice,
        outcome=outcome,
        paths=assessment.paths,
        members=assessment.members,
        accepted_at=assessment.accepted_at,
        is_released=is_released,
        teams=rulebook.teams if rulebook else {},
        companies=companies,
        domains=domains - {""},
    )
    return Assigned(decide(known), assessment, known)


def domain_of_customer(domains: Domains, mailbox: Mailbox) -> str:
    """Registrable domain, "" for free-mail: what two people of one company share."""
    return "" if domains.is_free_mail(mailbox.domain) else domains.registrable(mailbox.domain)


async def _customer_of_mail(assessment: Assessment, crm: _Crm) -> Mailbox | None:
    """The author of an inbound mail; of an outbound one the first external whose company is known, else the first."""
    candidates = assessment.sight.customers[:_MAX_CANDIDATES]
    for candidate in candidates:
        answer = await crm.ask(candidate)
        if answer is not None and answer.companies:
            return candidate
    return candidates[0] if candidates else None


def _match(rulebook: Rulebook, assessment: Assessment, customer: Mailbox | None, crm: _Crm) -> Match:
    """The ticket, through the guard."""
    sight = assessment.sight
    if not assessment.gathered.hits:
        return Match()
    author = sight.author.mailbox
    subject_key = normalise_subject(assessment.facts.subject, assessment.members.desk.subject_tags)
    match = choose_ticket(
        assessment.gathered.hits,
        author_key=sight.author.key,
        author_domain=domain_of_customer(rulebook.domains, author) if author and not sight.author.is_staff else "",
        company_ids=crm.company_ids() if customer is not None else frozenset(),
        is_proven_staff=sight.author.is_staff and sight.author.is_proven,
        subject_key=subject_key,
        now=assessment.accepted_at,
        reopen_within=sight.address.reopen_within,
        is_forward_subject=assessment.facts.is_forward_subject,
    )
    return subject_change(match, assessment.facts, subject_key, assessment.accepted_at)


async def _owners(
    assessment: Assessment,
    rulebook: Rulebook,
    ticket: TicketView | None,
    customer: Mailbox | None,
    crm: _Crm,
    absent: frozenset[str],
) -> tuple[Mailbox | None, OwnerChoice | None]:
    """The customer and his owners: of the ticket's deal as they are now, else of the deal that counts."""
    is_ours = assessment.members.is_ours
    if ticket is not None:
        customer = _mailbox(ticket.customer) or customer
        if ticket.deal_id and not crm.is_silent:
            try:
                asked = [await rulebook.directory.deal(one) for one in ticket.deal_id.split(",")]
            except TransientFailure as exc:
                if crm.may_wait:
                    raise CrmSilentError(exc) from exc
                return customer, None
            kept = [found for found in asked if found is not None]
            if kept:
                source, known_at = crm.answered()
                return customer, owners_of_deals(kept, is_ours=is_ours, absent=absent, source=source, known_at=known_at)
    if customer is None:
        return None, OwnerChoice(fallback=Fallback.UNKNOWN_COMPANY, reasons=(Reason.of("owners.no_customer"),))
    answer = await crm.ask(customer)
    if answer is None:
        return customer, None
    address = assessment.sight.address
    return customer, choose_owners(
        answer, states=address.deal_states, choice=address.deal_choice, is_ours=is_ours, absent=absent
    )


def _mailbox(key: str) -> Mailbox | None:
    try:
        return parse_path(key) if key else None
    except AddressError:
        return None


async def _companies(assessment: Assessment, ticket: TicketView | None, crm: _Crm) -> frozenset[str]:
    """Company ids of the externals, when closing depends on them."""
    externals = assessment.sight.externals[:_MAX_CANDIDATES]
    if assessment.sight.direction != Direction.OUTBOUND or ticket is None:
        return frozenset()
    if any(mailbox.key == ticket.customer for mailbox in externals):
        return frozenset()
    found: set[str] = set()
    for mailbox in externals:
        answer = await crm.ask(mailbox)
        if answer is not None:
            found.update(c.id for c in answer.companies)
    return frozenset(found)


async def _known_contact(
    rulebook: Rulebook, customer: Mailbox | None, choice: OwnerChoice | None, crm: _Crm
) -> bool | None:
    """Whether the customer is a contact in the CRM; None when it could not tell.

    A ticket's customer may be somebody else than who wrote, and then nobody has asked for him yet.
    """
    if choice is None or customer is None:
        return None if choice is None else False
    answer = crm.answers.get(customer.key)
    if answer is None and names_condition(rulebook.rules, "known_contact"):
        answer = await crm.ask(customer)
        if answer is None:
            return None
    return answer is not None and answer.is_known_contact


_PROVEN = {Verdict.PROVEN: True, Verdict.UNPROVEN: False, Verdict.UNKNOWN: None}


def _rule_subject(
    assessment: Assessment, choice: OwnerChoice | None, *, known_contact: bool | None, is_released: bool
) -> RuleSubject:
    """What rules see; None where the CRM, or whoever vouches for senders, could not tell."""
    sight = assessment.sight
    return RuleSubject(
        direction=sight.direction,
        place=sight.place,
        facts=assessment.facts,
        envelope=assessment.envelope,
        accepted_at=assessment.accepted_at,
        is_spam=sight.is_spam,
        is_held_spam=sight.is_spam and not is_released and assessment.members.desk.spam.then == "hold",
        automatic="" if sight.author.is_form else rule_word(sight.automatic.kind),
        proven=_PROVEN[sight.proof.verdict],
        known_contact=known_contact,
        companies=choice.companies if choice else None,
        deals=choice.deals if choice else None,
        owners=choice.owners if choice else None,
        address_name=sight.address.name,
        recipient_delimiter=assessment.members.desk.recipient_delimiter,
    )
