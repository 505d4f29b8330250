"""Reading HubSpot's answers: whatever is missing or of a wrong type reads as nothing, and nothing here raises.

Property values are strings or null (CRM_FACTS section 1), ids strings or numbers, every field may be absent. Values
that are there and wrong are not guessed at: the caller sees the same as if they were not there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "associated_ids",
    "history",
    "identifier",
    "instant",
    "is_true",
    "next_after",
    "parts",
    "printable",
    "properties",
    "record_id",
    "results",
    "text",
    "texts",
]

Json = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = re.compile(r"-?[0-9]{1,15}")
_HAS_DIGITS = re.compile(r"[0-9]")


def properties(record: Any) -> Json:
    """The properties of an object; empty when there are none."""
    found = record.get("properties") if isinstance(record, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def text(values: Any, name: str) -> str:
    """A text value by name, stripped at both ends; "" when null, missing or something else than text."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return found.strip() if isinstance(found, str) else ""


def texts(values: Any, name: str) -> tuple[str, ...]:
    """The texts of a list by name, others left out. One text counts as a list of it."""
    found = values.get(name) if isinstance(values, Mapping) else None
    if isinstance(found, str):
        return (found,)
    return tuple(value for value in found if isinstance(value, str)) if isinstance(found, list) else ()


def identifier(value: Any) -> str:
    """An id as text: HubSpot writes ``"9001"`` or ``9001``; "" for anything else."""
    if isinstance(value, str):
        return value.strip()
    # A number in JSON with a fraction is no id, and `True` is an int to Python.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def record_id(record: Any, name: str = "id") -> str:
    """The id of an object (the surviving one's when two were merged), "" without."""
    return identifier(record.get(name)) if isinstance(record, Mapping) else ""


def instant(value: Any) -> datetime | None:
    """An instant, aware and in UTC: ISO 8601 (without a zone it is UTC) or milliseconds since 1970; None otherwise."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_millis(value)
    if not isinstance(value, str):
        return None
    value = value.strip()
    if _DIGITS.fullmatch(value):
        # Eight digits would also be a date in ISO's short form; HubSpot does not write that one.
        return _of_millis(int(value))
    if not _HAS_DIGITS.search(value):
        return None
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _of_millis(millis: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        return None


def is_true(value: Any) -> bool:
    """Whether a property says yes: ``"true"`` or a JSON true."""
    return value is True or (isinstance(value, str) and value.strip().casefold() == "true")


def parts(value: Any) -> tuple[str, ...]:
    """The values of a multi-value property: split at ``;``, stripped, each once and in order.

    A leading ``;`` and spaces after it occur (CRM_FACTS (a), (c)).
    """
    if not isinstance(value, str):
        return ()
    return tuple(dict.fromkeys(part for piece in value.split(";") if (part := piece.strip())))


def results(body: Any) -> list[dict[str, Any]]:
    """The objects of a list, search or batch answer; what is no object is left out."""
    found = body.get("results") if isinstance(body, Mapping) else None
    return [record for record in found if isinstance(record, dict)] if isinstance(found, list) else []


def next_after(body: Any) -> str:
    """Cursor of the next page, "" at the end. A caller still has to stop when it gets the same one twice."""
    for name in ("paging", "next"):
        body = body.get(name) if isinstance(body, Mapping) else None
    return record_id(body, "after")


def associated_ids(record: Any, kind: str) -> tuple[str, ...]:
    """Ids of the associated objects of a kind, each once.

    Reads three forms: the ``associations`` of an object that was read with them, the answer of an association list
    (``kind`` does not matter then), and one result of a batch read of associations (``to``).
    """
    found: Any = None
    if isinstance(record, Mapping):
        within = record.get("associations")
        found = within.get(kind) if isinstance(within, Mapping) else record
    return tuple(dict.fromkeys(id_ for entry in _entries(found) if (id_ := _associated_id(entry))))


def _entries(found: Any) -> Iterator[Any]:
    for name in ("results", "to"):
        entries = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(entries, Sequence) and not isinstance(entries, str):
            yield from entries


def _associated_id(entry: Any) -> str:
    return record_id(entry, "toObjectId") or record_id(entry)


def history(record: Any, name: str) -> list[dict[str, Any]]:
    """Entries of ``propertiesWithHistory`` for one property, in HubSpot's order (newest first)."""
    found = record.get("propertiesWithHistory") if isinstance(record, Mapping) else None
    entries = found.get(name) if isinstance(found, Mapping) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def printable(value: str, longest: int) -> str:
    """A stranger's text for logs and terminals: one line, no control characters, cut at ``longest`` characters."""
    # Cut first: a body of megabytes would be walked through otherwise. Four times: most of it may be white space.
    shown = "".join(char if char.isprintable() else " " for char in value[: longest * 4])
    line = " ".join(shown.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
