"""Who owns the customer: the deal that counts, its owners who can be reached, else the reason for Allmember."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from supportrelay.core.decision import Fallback
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.reason import Reason, rfc3339
from supportrelay.core.value import value_class

__all__ = ["MAX_OWNERS", "OwnerChoice", "choose_owners", "owners_of_deals"]

MAX_OWNERS = 4


@value_class
class OwnerChoice:
    """Whose customer it is.

    Attributes:
        company_id, deal_id: Several are joined with commas (several companies for one domain, ``deal_choice: all``).
        owners: Reachable owners, each once, at most four, as the directory writes them.
        fallback: Why Allmember, None when there are owners.
        companies, deals: The same as ``(id, name)`` pairs.
        source, known_at: Which directory said so, and from when that is; "" and None when none was asked.
        as_of: ``known_at`` of the oldest answer, when the CRM could not be asked now; None: current.
    """

    company_id: str = ""
    company_name: str = ""
    deal_id: str = ""
    deal_name: str = ""
    owners: tuple[str, ...] = ()
    fallback: Fallback | None = None
    reasons: tuple[Reason, ...] = ()
    companies: tuple[tuple[str, str], ...] = ()
    deals: tuple[tuple[str, str], ...] = ()
    source: str = ""
    known_at: datetime | None = None
    as_of: datetime | None = None


def _counting_deals(company: Company, states: Sequence[DealState], choice: str) -> list[Deal]:
    """The deals of the best state there is; with ``latest`` the one that DESIGN 2 names."""
    for state in (s for s in (DealState.OPEN, DealState.WON, DealState.LOST) if s in states):
        deals = [deal for deal in company.deals if deal.state == state]
        if not deals:
            continue
        if len(deals) == 1:
            return deals
        if choice == "all":
            return sorted(deals, key=lambda d: (_numeric(d.id), d.id))
        # The one with an owner whose stage moved last, then the newest, then the lowest id.
        return [
            min(
                deals,
                key=lambda d: (not d.owners, -d.moved_at.timestamp(), -d.created_at.timestamp(), _numeric(d.id), d.id),
            )
        ]
    return []


def _numeric(deal_id: str) -> int:
    return int(deal_id) if deal_id.isdecimal() else 0


def choose_owners(
    answer: DirectoryAnswer,
    *,
    states: Sequence[DealState],
    choice: str,
    is_ours: Callable[[str], bool],
    absent: Collection[str],
) -> OwnerChoice:
    """Choose company, deal and owners from a directory's answer.

    Args:
        states: ``deal_states``. choice: ``deal_choice``, ``latest`` or ``all``.
        is_ours: Comparing form -> one of our own addresses, which never own anything.
        absent: Comparing forms of people who are away.
    """
    as_of = answer.known_at if answer.is_last_known else None
    if not answer.companies:
        nobody = OwnerChoice(fallback=Fallback.UNKNOWN_COMPANY, reasons=(Reason.of("owners.unknown_company"),))
        return _aged(nobody, answer.source, answer.known_at, as_of)
    found = [(company, _counting_deals(company, states, choice)) for company in answer.companies]
    usable = [(company, deals) for company, deals in found if any(deal.owners for deal in deals)]
    with_deal = [(company, deals) for company, deals in found if deals]
    chosen = usable or with_deal or found
    reasons = [_match_reason(answer, chosen[0][0])]
    if len(usable) > 1:
        reasons.append(Reason.of("owners.several_companies", count=len(usable)))
    else:
        chosen = chosen[:1]
    companies = [company for company, _ in chosen]
    deals = [deal for _, of_company in chosen for deal in of_company]
    found_owners = _with_owners(companies, deals, reasons, is_ours=is_ours, absent=absent)
    return _aged(found_owners, answer.source, answer.known_at, as_of)


def _aged(choice: OwnerChoice, source: str, known_at: datetime | None, as_of: datetime | None) -> OwnerChoice:
    """The choice with where it is from; that the CRM could not be asked is told before everything that follows."""
    if as_of is None:
        return replace(choice, source=source, known_at=known_at)
    told = Reason.of("owners.last_known", at=rfc3339(as_of), source=source or "CRM")
    return replace(choice, source=source, known_at=as_of, as_of=as_of, reasons=(told, *choice.reasons))


def _match_reason(answer: DirectoryAnswer, company: Company) -> Reason:
    code = {
        MatchedBy.CONTACT: "owners.company_by_contact",
        MatchedBy.DOMAIN: "owners.company_by_domain",
        MatchedBy.PARENT_DOMAIN: "owners.company_by_parent_domain",
    }.get(answer.matched_by, "owners.company_by_deal")
    return Reason.of(code, company=company.name)


def owners_of_deals(
    kept: Sequence[tuple[str, Deal]],
    *,
    is_ours: Callable[[str], bool],
    absent: Collection[str],
    source: str = "",
    known_at: datetime | None = None,
) -> OwnerChoice:
    """The owners, as they are now, of the deals that a ticket keeps: ``(company name, deal)`` pairs, not empty.

    Args:
        source, known_at: Of what the same directory said about this mail's people, "" and None when it was not asked.
    """
    companies = {deal.company_id: Company(deal.company_id, name) for name, deal in kept}
    reasons = [Reason.of("owners.ticket_keeps_deal", deal=kept[0][1].name)]
    deals = [deal for _, deal in kept]
    as_of = min((deal.as_of for deal in deals if deal.as_of is not None), default=None)
    choice = _with_owners(list(companies.values()), deals, reasons, is_ours=is_ours, absent=absent)
    return _aged(choice, source, known_at, as_of)


def _with_owners(
    companies: Sequence[Company],
    deals: Sequence[Deal],
    reasons: list[Reason],
    *,
    is_ours: Callable[[str], bool],
    absent: Collection[str],
) -> OwnerChoice:
    deal_name = ", ".join([d.name for d in deals])
    reachable: tuple[str, ...] = ()
    fallback: Fallback | None = Fallback.NO_DEAL
    if deals:
        reachable, fallback = _reachable_owners(deals, deal_name, reasons, is_ours=is_ours, absent=absent)
    else:
        reasons.append(Reason.of("owners.no_deal", company=companies[0].name))
    return OwnerChoice(
        company_id=",".join([c.id for c in companies]),
        company_name=companies[0].name,
        deal_id=",".join([d.id for d in deals]),
        deal_name=deal_name,
        owners=reachable,
        fallback=fallback,
        reasons=tuple(reasons),
        companies=tuple([(c.id, c.name) for c in companies]),
        deals=tuple([(d.id, d.name) for d in deals]),
    )


def _reachable_owners(
    deals: Sequence[Deal],
    deal_name: str,
    reasons: list[Reason],
    *,
    is_ours: Callable[[str], bool],
    absent: Collection[str],
) -> tuple[tuple[str, ...], Fallback | None]:
    """Owners who can be reached, each once, at most four, or why there is none; says so in ``reasons``."""
    reasons.append(Reason.of("owners.deal_chosen", deal=deal_name, state=str(deals[0].state)))
    reachable_by_key: dict[str, str] = {}
    unreachable = sum(deal.owners_gone for deal in deals)
    for owner in (owner for deal in deals for owner in deal.owners):
        key = owner.lower()
        if is_ours(key):
            unreachable += 1
            reasons.append(Reason.of("owners.is_ours", owner=owner))
        elif key in absent:
            unreachable += 1
            reasons.append(Reason.of("owners.absent", owner=owner))
        else:
            reachable_by_key.setdefault(key, owner)
    reachable = tuple(reachable_by_key.values())[:MAX_OWNERS]
    if len(reachable_by_key) > MAX_OWNERS:
        reasons.append(Reason.of("owners.cut_to_four", count=len(reachable_by_key)))
    if reachable:
        return reachable, None
    fallback = Fallback.NO_REACHABLE_OWNER if unreachable else Fallback.NO_OWNER
    reasons.append(Reason.of(f"owners.{fallback}", deal=deal_name))
    return (), fallback
