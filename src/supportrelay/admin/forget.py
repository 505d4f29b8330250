"""One person's data, removed on request (docs/privacy.md)."""

from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.admin.wording import read_address
from supportrelay.core.errors import InputError
from supportrelay.core.mailbox import parse_path
from supportrelay.core.membership import Membership

__all__ = ["forget"]


async def forget(context: OperationContext, address: str, dry_run: bool = False) -> dict[str, Any]:
    """Remove what is kept of a customer's address, or only say what would be.

    ``address, dry_run, removed`` (counts: messages, tickets, participants, contacts, answers, decisions, changes) and
    ``kept``: ``unfinished`` (queue ids of his mails that are not over), ``others`` and ``others_count`` (queue ids, at
    most 100, of others' mails that name him), ``open_tickets``, ``account``, ``outside`` (a CRM that keeps what it
    likes, or null).

    Raises:
        InputError: No address, or one of us: staff are in every mail of the desk.
        TransientFailure: Whether he is one of us cannot be asked now.
    """
    key = read_address(address)
    members = Membership(context.desk, await context.directory.owners())
    if not members.is_external(parse_path(key)):
        raise InputError(f"{key} is one of us; only customers are forgotten")
    known = await context.store.known_of(key)
    if dry_run:
        removed = {
            "messages": len(known.messages),
            "tickets": len(known.tickets),
            "participants": len(known.participations),
            "contacts": int(known.is_contact),
            "answers": len(known.answers),
            "decisions": len(known.decisions),
            "changes": len(known.changes),
        }
    else:
        removed = {
            **dict.fromkeys(("decisions", "changes"), 0),
            **await context.store.forget(known, who=context.who, now=context.now()),
        }
    return {"address": key, "dry_run": dry_run, "removed": removed, "kept": _kept(context, known)}


def _kept(context: OperationContext, known: Any) -> dict[str, Any]:
    crm = context.config.crm
    outside = [kind for kind in (crm.directory.kind, crm.tickets.kind) if kind != "builtin"]
    return {
        "unfinished": list(known.unfinished),
        "others": list(known.naming),
        "others_count": known.naming_count,
        "open_tickets": list(known.open_tickets),
        "account": known.is_user,
        "outside": outside[0] if outside else None,
    }
