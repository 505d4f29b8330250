"""Operations on companies, deals and owners, and on absences; `crm_setup` has those for an outside CRM."""

from datetime import datetime
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.admin.wording import read_address
from supportrelay.core.crm_import import ImportPlan, parse_csv_import, parse_yaml_import
from supportrelay.core.errors import InputError

__all__ = ["absent", "companies", "deals", "import_companies", "owners", "refresh", "set_absent"]


def _refuse_unless_builtin(context: OperationContext) -> None:
    kind = context.config.crm.directory.kind
    if kind != "builtin":
        raise InputError(f"companies and deals are kept in {kind}; change them there")


def _plan(text: str, kind: str, name: str) -> ImportPlan:
    try:
        return parse_csv_import(text) if kind == "csv" else parse_yaml_import(_yaml(text))
    except InputError as exc:
        raise InputError("\n".join(f"{name}: {line}" for line in str(exc).splitlines())) from exc


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(f"{place}not YAML: {getattr(exc, 'problem', None) or exc}") from exc
    except ValueError as exc:  # a date that is none
        raise InputError(f"not YAML: {exc}") from exc


async def import_companies(
    context: OperationContext, text: str, kind: str, name: str = "", replace: bool = False, dry_run: bool = False
) -> dict[str, Any]:
    """Import a file's text; ``{companies: {added, updated, unchanged, removed}, contacts: ..., deals: ..., dry_run}``.

    Raises:
        InputError: A line for each mistake; nothing was imported.
    """
    _refuse_unless_builtin(context)
    plan = _plan(text, kind, name)
    done: dict[str, Any] = await context.store.import_companies(
        plan, who=context.who, now=context.now(), replace=replace, dry_run=dry_run
    )
    return done


async def companies(context: OperationContext, search: str | None = None) -> list[dict[str, Any]]:
    """``{id, name, domains, contacts, deals}`` each; those that contain ``search`` when it is given."""
    _refuse_unless_builtin(context)
    found: list[dict[str, Any]] = await context.store.companies()
    return [one for one in found if search.casefold() in _searched(one)] if search else found


def _searched(company: dict[str, Any]) -> str:
    contacts = (f"{one['address']} {one.get('name', '')}" for one in company["contacts"])
    return "\n".join([company["name"], *company["domains"], *contacts]).casefold()


async def deals(context: OperationContext, company: str | None = None) -> list[dict[str, Any]]:
    """``{id, name, company, company_id, stage, owners, moved_at, created_at}`` each; of one company when named."""
    _refuse_unless_builtin(context)
    found: list[dict[str, Any]] = await context.store.deals()
    if company is None:
        return found
    wanted = company.strip().casefold()
    return [one for one in found if wanted in {one["company_id"].casefold(), one["company"].casefold()}]


async def owners(context: OperationContext, deal: str, owners: list[str]) -> dict[str, Any]:
    """Set the owners of a deal, [] clears them; the deal as `deals` shows it.

    Raises:
        InputError: No such deal, several (their ids), a fifth owner, one that is no address or one of ours.
    """
    _refuse_unless_builtin(context)
    if owners:
        _refuse_ours(context, owners)
    changed: dict[str, Any] = await context.store.set_deal_owners(
        deal, owners, who=context.who, now=context.now(), clear=not owners
    )
    return changed


def _refuse_ours(context: OperationContext, owners: list[str]) -> None:
    from supportrelay.core.membership import Membership

    members = Membership(context.desk)
    for owner in owners:
        if members.is_ours(read_address(owner)):
            raise InputError(f"{owner} is an address of the support desk; mail to it would go round in a circle")


async def refresh(context: OperationContext, domain: str = "") -> dict[str, Any]:
    """Ask the CRM anew, in every process; ``domain`` "" means everything."""
    if context.config.crm.directory.kind == "builtin":
        await context.store.directory_refresh()
    return {"domain": domain.strip().lower(), "forgotten": await context.forget_owners(domain.strip().lower())}


async def set_absent(
    context: OperationContext, address: str, until: str | None = None, back: bool = False
) -> dict[str, Any]:
    """An owner is away until an instant (None: until told otherwise), or back: ``address, absent, until``.

    Raises:
        InputError: No address, or an instant that is past.
    """
    instant = datetime.fromisoformat(until) if until else None
    done: dict[str, Any] = await context.store.absent_set(
        address, who=context.who, now=context.now(), until=instant, back=back
    )
    return done


async def absent(context: OperationContext) -> list[dict[str, Any]]:
    """Who is away now: ``address, until`` (null: until told otherwise), ``since, who``."""
    away: list[dict[str, Any]] = await context.store.absences(context.now())
    return away
