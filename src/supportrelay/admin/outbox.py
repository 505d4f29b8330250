"""Operations on the outbox: mails kept as files instead of being sent."""

import asyncio
import base64
from dataclasses import asdict
from pathlib import Path
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.core.errors import InputError
from supportrelay.core.headers import field_value, split_headers
from supportrelay.edge.outbox import OutboxItem, list_outbox, read_outbox

__all__ = ["list_kept", "show"]

_HEADER_OCTETS = 65536


def _folder(context: OperationContext) -> Path:
    folder = context.config.outbox_folder
    if folder is None:
        raise InputError("this relay sends its mail and keeps none in an outbox (outbound.outbox)")
    return Path(folder)


async def list_kept(context: OperationContext, limit: int | None = None) -> list[dict[str, Any]]:
    """Kept mails, newest first: the fields of `OutboxItem`, ``from`` and ``subject`` decoded."""
    folder = _folder(context)
    return await asyncio.to_thread(lambda: [_entry(folder, item) for item in list_outbox(folder, limit)])


def _entry(folder: Path, item: OutboxItem) -> dict[str, Any]:
    fields: dict[str, str] = {}
    try:
        with (folder / f"{item.name}.eml").open("rb") as kept:
            fields = {f.name: field_value(f) for f in reversed(split_headers(kept.read(_HEADER_OCTETS)).fields)}
    except OSError:  # somebody tidied up
        fields = {}
    return {**asdict(item), "from": fields.get("from", ""), "subject": fields.get("subject", item.subject)}


async def show(context: OperationContext, id: str) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """One kept mail by its number or name: the fields of `OutboxItem`, and ``octets`` in base64."""
    try:
        item, octets = await asyncio.to_thread(read_outbox, _folder(context), id.strip().removesuffix(".eml"))
    except KeyError:
        raise InputError(f"no mail {id!r} in the outbox; 'supportrelay outbox list' shows what there is") from None
    return {**asdict(item), "octets": base64.b64encode(octets).decode("ascii")}
