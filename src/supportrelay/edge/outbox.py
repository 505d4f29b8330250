"""The outbox: outgoing copies kept as files instead of being sent; for the demo and for trying things out.

A copy is ``NNNN-QUEUE_ID-RECIPIENT.eml``, its octets as they would have gone out, beside a ``.json`` of the same name
with its envelope. Several processes may write the same folder; a reader never sees half a file.
"""

import asyncio
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from supportrelay.core.delivery import Cause, Outcome, OutcomeKind, Phase
from supportrelay.core.next_hop import NextHop
from supportrelay.core.reply import printable_line
from supportrelay.core.value import value_class

__all__ = ["OutboxCourier", "OutboxItem", "list_outbox", "read_outbox"]

_QUEUE_ID = re.compile(rb"^x-supportrelay-id:[ \t]*([A-Za-z0-9._-]{1,64})", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^subject:[ \t]*([^\r\n]{0,400})", re.IGNORECASE | re.MULTILINE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]")
_HEADER_OCTETS = 64 * 1024
_NAME = re.compile(r"(\d{4,})-(.*)\.json")


@value_class
class OutboxItem:
    """One kept copy.

    Attributes:
        number: Counts from 1 in this folder.
        name: File name without ending; ``outbox show`` takes it or the number.
        subject: As it stands in the header, not decoded.
        kept_at: RFC 3339, UTC.
    """

    number: int
    name: str
    queue_id: str
    reverse_path: str
    recipient: str
    subject: str
    size_octets: int
    is_smtputf8: bool
    kept_at: str


class OutboxCourier:
    """`core.ports.Courier` that keeps every copy in ``folder`` (made when needed) and calls it delivered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(
        self,
        reverse_path: str,
        recipient: str,
        octets: bytes,
        *,
        is_smtputf8: bool = False,
        before_data: Callable[[], Awaitable[bool]] | None = None,
        fit: Callable[[NextHop], Awaitable[bytes]] | None = None,  # noqa: ARG002  a file takes everything
    ) -> Outcome:
        """Keep one copy; a disk that does not take it defers the delivery."""
        now = datetime.now(UTC)
        if before_data is not None and not await before_data():
            return Outcome(OutcomeKind.DEFERRED, Phase.DATA, text="lease lost", cause=Cause.WEATHER, at=now)
        try:
            name = await asyncio.to_thread(_keep, self._folder, reverse_path, recipient, octets, is_smtputf8, now)
        except OSError as exc:
            text = printable_line(f"outbox: {exc}")
            return Outcome(OutcomeKind.DEFERRED, Phase.DOT, text=text, cause=Cause.OURS, at=now)
        return Outcome(
            OutcomeKind.DELIVERED, Phase.DOT, 250, "2.0.0", f"250 2.0.0 kept as {name}.eml", host="outbox", at=now
        )

    async def aclose(self) -> None:
        """Nothing is open."""


def _keep(folder: Path, reverse_path: str, recipient: str, octets: bytes, is_smtputf8: bool, now: datetime) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    header = octets[: octets.find(b"\r\n\r\n", 0, _HEADER_OCTETS) + 2 or _HEADER_OCTETS]
    queue_id, subject = _QUEUE_ID.search(header), _SUBJECT.search(header)
    known_id = queue_id[1].decode("ascii") if queue_id else "unknown"
    number = _next_number(folder)
    name = f"{number:04d}-{known_id}-{_UNSAFE.sub('_', recipient)[:100]}"
    item = OutboxItem(
        number=number,
        name=name,
        queue_id=known_id,
        reverse_path=reverse_path,
        recipient=recipient,
        subject=subject[1].decode("utf-8", "replace") if subject else "",
        size_octets=len(octets),
        is_smtputf8=is_smtputf8,
        kept_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    _write(folder / f"{name}.eml", octets)
    # The .json comes last: a reader that finds it finds the mail too.
    _write(folder / f"{name}.json", json.dumps(asdict(item), ensure_ascii=False, indent=1).encode())
    return name


def _next_number(folder: Path) -> int:
    with (folder / ".number").open("a+", encoding="ascii") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        number = int(counter.read() or "0") + 1
        counter.truncate(0)
        counter.write(str(number))
        counter.flush()
    return number


def _write(file: Path, octets: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(octets)
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def list_outbox(folder: Path, limit: int | None = None) -> list[OutboxItem]:
    """What was kept, newest first; [] when the folder is not there. Files of others are passed over."""
    numbered = [(int(found[1]), file) for file in folder.glob("*.json") if (found := _NAME.fullmatch(file.name))]
    newest = sorted(numbered, reverse=True)[:limit]
    return [item for _, file in newest if (item := _read_item(file)) is not None]


def _read_item(file: Path) -> OutboxItem | None:
    try:
        return OutboxItem(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_outbox(folder: Path, name_or_number: str) -> tuple[OutboxItem, bytes]:
    """One kept copy: its envelope and its octets.

    Raises:
        KeyError: There is none of that name or number.
    """
    for item in list_outbox(folder):
        is_number = name_or_number.isascii() and name_or_number.isdigit() and int(name_or_number) == item.number
        if is_number or item.name == name_or_number:
            try:
                return item, (folder / f"{item.name}.eml").read_bytes()
            except OSError as exc:
                raise KeyError(name_or_number) from exc
    raise KeyError(name_or_number)
