"""Operations on the queue. A message is named by its queue id, or by a Message-ID that only one message has."""

import base64
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.admin.views import known_messages
from supportrelay.core.errors import InputError

__all__ = ["drop", "hold", "list_queue", "raw", "release", "release_all", "retry", "show", "work_left"]


async def list_queue(
    context: OperationContext, finished: bool = False, states: list[str] | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Messages under way or waiting for a person, in the shape of ``queue list --json`` (DESIGN 8)."""
    found: list[dict[str, Any]] = await context.store.queue_list(states, limit, finished=finished)
    return found


async def show(context: OperationContext, queue_id: str) -> dict[str, Any]:
    """One message with its copies, decision and changes."""
    return (await known_messages(context, queue_id))[-1]


async def raw(context: OperationContext, queue_id: str) -> dict[str, Any]:
    """``octets``: the mail as it was received, base64."""
    found = (await known_messages(context, queue_id))[-1]
    try:
        octets = await context.store.content(found["queue_id"])
    except KeyError:
        removed_at = context.store.content_removed_at(found["queue_id"])
        why = f"was removed on {removed_at} (keep.raw)" if removed_at else "is no longer kept"
        raise InputError(f"{found['queue_id']}: its content {why}") from None
    return {"octets": base64.b64encode(octets).decode("ascii")}


async def retry(context: OperationContext, queue_id: str | None = None) -> dict[str, Any]:
    """Copies of a message are due now, failed ones too; None: everything deferred. ``{queue_id, count}``."""
    done: dict[str, Any] = await context.store.queue_retry(queue_id, who=context.who, now=context.now())
    context.wake()
    return done


async def hold(context: OperationContext, queue_id: str) -> dict[str, Any]:
    """Copies that are not under way this moment wait for a person. ``{queue_id, count}``."""
    done: dict[str, Any] = await context.store.queue_hold(queue_id, who=context.who, now=context.now())
    return done


async def release(context: OperationContext, queue_id: str) -> dict[str, Any]:
    """What was held goes on. ``{queue_id, count}``."""
    done: dict[str, Any] = await context.store.queue_release(queue_id, who=context.who, now=context.now())
    context.wake()
    return done


async def release_all(context: OperationContext) -> dict[str, Any]:
    """What ``serve --hold`` or a restore held goes on, nothing else. ``{queue_id: "", count}``."""
    count = await context.store.queue_release_all(context.who, context.now())
    context.wake()
    return {"queue_id": "", "count": count}


async def drop(context: OperationContext, queue_id: str, recipient: str | None = None) -> dict[str, Any]:
    """A message, or its copy for one recipient, leaves the queue; what was received stays. ``{queue_id, count}``."""
    done: dict[str, Any] = await context.store.queue_drop(
        queue_id, who=context.who, now=context.now(), recipient=recipient
    )
    return done


async def work_left(context: OperationContext) -> dict[str, Any]:
    """``work_left``: how much is due or running now; and the counts that make it up, those that are not 0."""
    counts = await context.store.work_left(context.now())
    return {"work_left": sum(counts.values()), **counts}
