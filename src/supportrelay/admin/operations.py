"""The operations: one name for each thing a person may ask, the same with and without a running daemon.

An operation takes the context and JSON values, and returns what JSON can hold. `InputError` is the person's mistake.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from supportrelay.admin import crm, crm_setup, forget, mail, outbox, probe, queue, tickets, users
from supportrelay.admin.context import OperationContext
from supportrelay.admin.wording import languages_of
from supportrelay.core.errors import ConfigError, RelayError

__all__ = ["OPERATIONS", "dispatch", "perform"]

Operation = Callable[..., Awaitable[Any]]


async def _ping(context: OperationContext) -> dict[str, Any]:
    """Somebody is there."""
    return {"at": context.now().isoformat()}


OPERATIONS: dict[str, Operation] = {
    "relay.ping": _ping,
    "queue.list": queue.list_queue,
    "queue.show": queue.show,
    "queue.raw": queue.raw,
    "queue.retry": queue.retry,
    "queue.hold": queue.hold,
    "queue.release": queue.release,
    "queue.release_all": queue.release_all,
    "queue.drop": queue.drop,
    "queue.work_left": queue.work_left,
    "tickets.list": tickets.list_tickets,
    "tickets.show": tickets.show,
    "tickets.move": tickets.move,
    "tickets.merge": tickets.merge,
    "crm.import": crm.import_companies,
    "crm.companies": crm.companies,
    "crm.deals": crm.deals,
    "crm.owners": crm.owners,
    "crm.setup": crm_setup.set_up,
    "crm.adopt": crm_setup.adopt,
    "crm.check": crm_setup.check,
    "crm.refresh": crm.refresh,
    "desk.changed": crm_setup.changed,
    "user.list": users.list_users,
    "user.add": users.add,
    "user.passwd": users.password,
    "user.addresses": users.addresses,
    "user.disable": users.disable,
    "user.remove": users.remove,
    "privacy.forget": forget.forget,
    "absent.set": crm.set_absent,
    "absent.list": crm.absent,
    "outbox.list": outbox.list_kept,
    "outbox.show": outbox.show,
    "mail.explain": mail.explain,
    "mail.trace": mail.trace,
    "probe.begin": probe.begin,
    "probe.way_back": probe.way_back,
    "probe.clean": probe.clean,
}


async def perform(context: OperationContext, op: str, args: Mapping[str, Any]) -> Any:
    """The result of an operation.

    Raises:
        InputError: No such operation, wrong arguments, or the operation's own refusal.
    """
    operation = OPERATIONS.get(op)
    if operation is None:
        raise ConfigError([f"no operation {op!r}; is the running relay older than this command?"])
    try:
        inspect.signature(operation).bind(context, **args)
    except TypeError as exc:
        raise ConfigError([f"{op}: {exc}; is the running relay older than this command?"]) from exc
    return await operation(context, **args)


async def dispatch(context: OperationContext, op: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as it goes over the control socket: ``{ok, result, languages}`` or ``{ok, error, exit}``.

    ``languages`` (`languages_of`) spares the command from reading the configuration.
    """
    try:
        result = await perform(context, op, args)
        return {"ok": True, "result": result, "languages": languages_of(context.config)}
    except ConfigError as exc:
        return {"ok": False, "error": str(exc), "exit": 2}
    except RelayError as exc:
        return {"ok": False, "error": str(exc), "exit": 1}
