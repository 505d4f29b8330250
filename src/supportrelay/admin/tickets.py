"""Operations on tickets."""

import asyncio
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.core.stored_view import stored_view
from supportrelay.core.ticket import ticket_label
from supportrelay.i18n import catalogue

__all__ = ["list_tickets", "merge", "move", "show"]

# Of one ticket: the newest mails whose words are shown, how much of each is read, and how much of it is shown.
_MOST_TEXTS = 200
_READ_OCTETS = 2 * 1024 * 1024
_MOST_CHARACTERS = 64 * 1024


def _labelled(context: OperationContext, ticket: dict[str, Any]) -> dict[str, Any]:
    """The ticket with ``stage_label``, the word of its support address's language, and that address itself."""
    desk = {address.name: address for address in context.desk.addresses}
    address = desk.get(ticket["address"])  # None: renamed or taken away since
    language = (address or context.desk.addresses[0]).language
    return {
        **ticket,
        "address": address.address if address else ticket["address"],
        "stage_label": catalogue(language).text(f"stage.{ticket['stage']}"),
    }


async def list_tickets(
    context: OperationContext,
    stage: str | None = None,
    customer: str | None = None,
    merged: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Tickets in the shape of ``tickets list --json`` (DESIGN 8), the last changed first."""
    found = await context.store.tickets_list(stage, customer, limit, merged=merged)
    return [_labelled(context, ticket) for ticket in found]


async def show(context: OperationContext, id: str | int) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """One ticket with ``conversations``, ``messages_list``, ``participants`` and ``history``.

    Each of ``messages_list`` has ``text``: its author's words without our banner and the quoted history
    (`core.stored_view`); null for all but the newest 200 and where the content is no longer kept.
    """
    found = _labelled(context, await context.store.ticket_show(id))
    messages = found["messages_list"]
    older = len(messages) - _MOST_TEXTS
    found["messages_list"] = [
        {**message, "text": await _text(context, message["queue_id"]) if index >= older else None}
        for index, message in enumerate(messages)
    ]
    return found


async def _text(context: OperationContext, queue_id: str) -> str | None:
    """The view of one mail, made from what was received: nothing is stored that could become wrong."""
    try:
        octets = await context.store.content(queue_id)
    except KeyError:
        return None
    return (await asyncio.to_thread(stored_view, octets[:_READ_OCTETS]))[:_MOST_CHARACTERS]


async def move(context: OperationContext, id: str | int, stage: str) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """A person moves a ticket; mail accepted before cannot move it back."""
    return _labelled(context, await context.store.ticket_move(id, stage, who=context.who, now=context.now()))


async def merge(context: OperationContext, id: str | int, into: str | int) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """Merge ticket ``id`` into ``into``; the latter, with ``merged`` naming what it holds, the new one last."""
    merged = await context.store.tickets_merge(id, into, who=context.who, now=context.now())
    gone = ticket_label(int(str(id).strip().upper().removeprefix("SR-")))
    return {**_labelled(context, merged), "merged_ticket": gone}
