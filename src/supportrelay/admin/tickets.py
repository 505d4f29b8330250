"""Operations on tickets."""

from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.core.ticket import ticket_label
from supportrelay.i18n import catalogue

__all__ = ["list_tickets", "merge", "move", "show"]


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
    """One ticket with ``conversations``, ``messages_list``, ``participants`` and ``history``."""
    return _labelled(context, await context.store.ticket_show(id))


async def move(context: OperationContext, id: str | int, stage: str) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """A person moves a ticket; mail accepted before cannot move it back."""
    return _labelled(context, await context.store.ticket_move(id, stage, who=context.who, now=context.now()))


async def merge(context: OperationContext, id: str | int, into: str | int) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """Merge ticket ``id`` into ``into``; the latter, with ``merged`` naming what it holds, the new one last."""
    merged = await context.store.tickets_merge(id, into, who=context.who, now=context.now())
    gone = ticket_label(int(str(id).strip().upper().removeprefix("SR-")))
    return {**_labelled(context, merged), "merged_ticket": gone}
