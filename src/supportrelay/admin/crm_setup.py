"""Operations that set up, check and adopt: what the CRM says about itself, and how it fits the configuration."""

from typing import Any

from supportrelay.admin.context import CrmTools, OperationContext
from supportrelay.core.directory import Company, DirectoryAnswer
from supportrelay.core.errors import CrmRefusal, InputError, TransientFailure
from supportrelay.core.mailbox import Mailbox, parse_path
from supportrelay.core.membership import Membership
from supportrelay.core.owners import choose_owners

__all__ = ["adopt", "changed", "check", "set_up"]

_NOBODY = "nobody-in-particular"
_MOST_IDS = 1000


def _tools(context: OperationContext) -> CrmTools:
    if context.crm is None:
        raise InputError(
            "nothing to set up: crm.directory.kind and crm.tickets.kind are builtin; set one of them to hubspot first"
        )
    return context.crm


async def set_up(context: OperationContext, pipeline: str = "", dry_run: bool = False) -> dict[str, Any]:
    """What the relay needs at the CRM, and making it: the shape of `CrmTools.set_up` with ``kind`` of both roles.

    Raises:
        InputError: Everything is builtin; the CRM refuses as a whole.
        CrmDown: It cannot be asked.
    """
    try:
        done = await _tools(context).set_up(pipeline=pipeline.strip(), dry_run=dry_run)
    except CrmRefusal as exc:
        raise InputError(exc.cause) from exc
    crm = context.config.crm
    return {"directory": crm.directory.kind, "tickets": crm.tickets.kind, **done}


async def adopt(context: OperationContext, address: str = "", dry_run: bool = False) -> dict[str, Any]:
    """Mirror the open tickets that are at the desk: ``address, adopted, known, unmarked``.

    Args:
        address: Name of the support address they belong to from now on, "" for the first.

    Raises:
        InputError: No such address; the desk is not outside, or not set up; the CRM refuses.
        CrmDown: It cannot be asked; what was adopted before stands.
    """
    names = [one.name for one in context.desk.addresses]
    name = address.strip() or names[0]
    if name not in names:
        raise InputError(f"no support address {name!r}; there are {', '.join(names)}")
    if context.config.crm.tickets.kind == "builtin":
        raise InputError("tickets live here (crm.tickets.kind is builtin); there is no board to adopt from")
    if not context.config.crm.is_set_up:
        raise InputError("crm.tickets has no pipeline yet; run 'supportrelay crm setup' and paste what it prints")
    try:
        done = await _tools(context).adopt(address=name, who=context.who, dry_run=dry_run)
    except CrmRefusal as exc:
        raise InputError(exc.cause) from exc
    context.wake()
    return {"address": name, **done}


async def check(context: OperationContext, domain: str = "") -> dict[str, Any]:
    """Does the CRM fit: ``kind, tickets, companies, deals, owners, problems, findings, sample, desk``.

    ``problems`` are lines about the configuration, ``findings`` as in `CrmTools.check`; ``sample`` is what mail from
    ``domain`` (or an address) would find, null without one; ``desk`` counts work that waits for an outside desk.
    """
    from supportrelay.config import owner_conflicts

    crm = context.config.crm
    findings = await context.crm.check() if context.crm else []
    if any(one["code"] == "account" and one["ok"] for one in findings):
        context.resume()  # what waits because of a token or scope need not wait any longer
    answer: dict[str, Any] = {"kind": crm.directory.kind, "tickets": crm.tickets.kind, "problems": [], "sample": None}
    try:
        known = await context.directory.owners()
        answer["owners"] = len(known)
        answer["problems"] = owner_conflicts(context.config, known)
        if domain.strip():
            answer["sample"] = await _sample(context, domain.strip().lower())
    except TransientFailure as exc:
        findings.append({"code": "no_answer", "ok": False, "cause": exc.detail or str(exc)})
    unreachable = await context.store.unreachable(context.now())
    findings += [{"code": "owner_unreachable", "ok": None, **one} for one in unreachable]
    if crm.directory.kind == "builtin":
        answer["companies"] = len(await context.store.companies())
        answer["deals"] = len(await context.store.deals())
    answer["desk"] = await context.store.desk_backlog() if crm.tickets.kind != "builtin" else None
    return {**answer, "findings": findings}


async def _sample(context: OperationContext, wanted: str) -> dict[str, Any]:
    """Whose customer somebody there would be, by the first support address's settings."""
    address = context.desk.addresses[0]
    customer: Mailbox = parse_path(wanted if "@" in wanted else f"{_NOBODY}@{wanted}")
    await context.forget_owners(customer.domain)  # who asks has just changed something there
    found: DirectoryAnswer = await context.directory.find(customer)
    choice = choose_owners(
        found,
        states=address.deal_states,
        choice=address.deal_choice,
        is_ours=Membership(context.desk).is_ours,
        absent=frozenset(await context.store.absent_until(context.now())),
    )
    return {
        "asked": wanted,
        "matched_by": str(found.matched_by),
        "known_at": found.known_at.isoformat(),
        "is_last_known": found.is_last_known,
        "companies": [_company(one) for one in found.companies],
        "owners": list(choice.owners),
        "fallback": str(choice.fallback) if choice.fallback else None,
        "reasons": [reason.to_json() for reason in choice.reasons],
    }


def _company(company: Company) -> dict[str, Any]:
    return {
        "id": company.id,
        "name": company.name,
        "deals": [
            {
                "id": deal.id,
                "name": deal.name,
                "state": str(deal.state),
                "owners": list(deal.owners),
                "owners_gone": deal.owners_gone,
                "moved_at": deal.moved_at.isoformat(),
            }
            for deal in company.deals
        ],
    }


async def changed(context: OperationContext, ids: list[str]) -> dict[str, Any]:
    """Tickets at the outside desk changed there (a webhook said so): ``noted``, how many are looked at.

    Raises:
        InputError: Not a list of ids, or the desk is not outside.
    """
    # What comes over the socket is not typed.
    if not isinstance(ids, list) or len(ids) > _MOST_IDS or not all(isinstance(one, str) and one for one in ids):
        raise InputError(f"ids must be a list of at most {_MOST_IDS} texts")
    if context.config.crm.tickets.kind == "builtin":
        raise InputError("tickets live here; nobody else has them")
    wanted = list(dict.fromkeys(ids))
    await context.look_at(wanted)
    return {"noted": len(wanted)}
