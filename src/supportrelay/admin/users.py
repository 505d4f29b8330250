"""Operations on people who may log in. A password comes as its hash: the clear one never leaves the command."""

from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.core.account import parse_account_name, parse_own_address
from supportrelay.core.errors import InputError
from supportrelay.core.login_limits import LoginLimits, login_keys
from supportrelay.edge.accounts.passwords import checked_hash

__all__ = ["add", "addresses", "disable", "list_users", "password", "remove"]


async def list_users(context: OperationContext) -> list[dict[str, Any]]:
    """``{name, addresses, disabled, has_password, failed_logins, blocked, made_at, changed_at}`` each, by name.

    ``failed_logins`` are those of the last hour by his name, from wherever; ``blocked``: they are too many, he gets in
    from networks only where he was before.
    """
    limits, now = LoginLimits(), context.now()
    found: list[dict[str, Any]] = await context.store.users()
    keys = {one["name"]: login_keys("", one["name"]).user for one in found}
    counts = context.store.login_failures(keys.values(), now, limits.window)
    for one in found:
        one["failed_logins"] = counts.get(keys[one["name"]], 0)
        one["blocked"] = one["failed_logins"] >= limits.per_user
    return found


async def add(
    context: OperationContext, name: str, password_hash: str, addresses: list[str] | None = None
) -> dict[str, Any]:
    """Make an account; ``name, addresses``.

    Raises:
        InputError: There is one, or a name, address or hash cannot be used.
    """
    known = parse_account_name(name)
    own = _own(addresses or [])
    await context.store.user_add(known, checked_hash(password_hash), own, who=context.who, now=context.now())
    return {"name": known, "addresses": own}


async def password(context: OperationContext, name: str, password_hash: str) -> dict[str, Any]:
    """Set his password, and forget the failed logins by his name; ``name``.

    Raises:
        InputError: No such user, as of all these.
    """
    known = parse_account_name(name)
    await context.store.user_password(known, checked_hash(password_hash), who=context.who, now=context.now())
    await _forget_failures(context, known)
    return {"name": known}


async def addresses(
    context: OperationContext, name: str, add: list[str] | None = None, remove: list[str] | None = None
) -> dict[str, Any]:
    """What he may write as beside his name and the desk's addresses; ``name, addresses``, as they are now."""
    known = parse_account_name(name)
    account = context.store.account(known)
    if account is None:
        raise InputError(f"no user {known}; `supportrelay user list` names them")
    gone = set(_own(remove or []))
    unknown = sorted(gone - set(account.addresses))
    if unknown:
        raise InputError(f"{known} has no address {', '.join(unknown)}")
    own = list(dict.fromkeys([*(one for one in account.addresses if one not in gone), *_own(add or [])]))
    if own != list(account.addresses):
        await context.store.user_addresses(known, own, who=context.who, now=context.now())
    return {"name": known, "addresses": own}


async def disable(context: OperationContext, name: str, disabled: bool) -> dict[str, Any]:
    """Nobody is let in by this name, or he is again; ``name, disabled``."""
    known = parse_account_name(name)
    await context.store.user_disable(known, disabled=disabled, who=context.who, now=context.now())
    if not disabled:
        await _forget_failures(context, known)
    return {"name": known, "disabled": disabled}


async def remove(context: OperationContext, name: str) -> dict[str, Any]:
    """The account goes; ``name``."""
    known = parse_account_name(name)
    await context.store.user_remove(known, who=context.who, now=context.now())
    await _forget_failures(context, known)
    return {"name": known}


def _own(addresses: list[str]) -> list[str]:
    return list(dict.fromkeys(parse_own_address(one) for one in addresses))


async def _forget_failures(context: OperationContext, name: str) -> None:
    await context.store.forget_login_failures([login_keys("", name).user])
