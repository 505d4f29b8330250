"""Operations on the outbox: mails kept as files instead of being sent."""

import asyncio
import base64
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.core.errors import InputError
from supportrelay.core.headers import field_value, split_headers

__all__ = ["list_outbox", "show"]

_HEADER_OCTETS = 65536
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+=-]{0,250}")


def _folder(context: OperationContext) -> Path:
    folder = context.config.outbox_folder
    if folder is None:
        raise InputError("this relay sends its mail and keeps none in an outbox (outbound.outbox)")
    return Path(folder)


async def list_outbox(context: OperationContext, limit: int | None = None) -> list[dict[str, Any]]:
    """Kept mails, newest first: ``id, at, recipient, reverse_path, from, subject, size_octets``."""
    return await asyncio.to_thread(_listed, _folder(context), limit)


def _listed(folder: Path, limit: int | None) -> list[dict[str, Any]]:
    if not folder.is_dir():
        return []
    files = sorted(folder.glob("*.eml"), key=lambda file: (file.stat().st_mtime_ns, file.name), reverse=True)
    return [_entry(file) for file in files[:limit]]


def _entry(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        fields = {f.name: field_value(f) for f in reversed(split_headers(opened.read(_HEADER_OCTETS)).fields)}
    about = file.stat()
    return {
        "id": file.stem,
        "at": datetime.fromtimestamp(about.st_mtime, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "recipient": fields.get("x-outbox-recipient", ""),
        "reverse_path": fields.get("x-outbox-reverse-path", ""),
        "from": fields.get("from", ""),
        "subject": fields.get("subject", ""),
        "size_octets": about.st_size,
    }


async def show(context: OperationContext, id: str) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """``octets``: the kept mail, base64."""
    file = _folder(context) / f"{id.removesuffix('.eml')}.eml"
    if not _PLAIN_NAME.fullmatch(file.name) or not file.is_file():
        raise InputError(f"no mail {id!r} in the outbox")
    return {"octets": base64.b64encode(await asyncio.to_thread(file.read_bytes)).decode("ascii")}
