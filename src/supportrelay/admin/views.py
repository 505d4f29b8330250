"""What the store knows about a message, made ready to be told."""

from typing import Any

from supportrelay.admin.context import OperationContext

__all__ = ["known_messages"]


async def known_messages(context: OperationContext, name: str) -> list[dict[str, Any]]:
    """The lives of the messages with this queue id or Message-ID (the store's ``trace``), oldest first.

    The decision names the ticket that was made, which had no number when it was decided; and each change names the
    recipient whom it concerns.

    Raises:
        InputError: No such message.
    """
    return [_ready(found) for found in await context.store.trace(name)]


def _ready(found: dict[str, Any]) -> dict[str, Any]:
    decision = found.get("decision")
    if decision and decision.get("ticket") and decision["ticket"].get("action") == "open":
        found["decision"] = {**decision, "ticket": {**decision["ticket"], "id": found["ticket"]}}
    recipients = {delivery["id"]: delivery["recipient"] for delivery in found["deliveries"]}
    for change in found["changes"]:
        change["recipient"] = recipients.get(change["delivery_id"], "")
    return found
