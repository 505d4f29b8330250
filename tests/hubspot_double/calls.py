"""A call as the handlers see it, and what they answer."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hubspot_double import catalogue
from hubspot_double.errors import ApiError

__all__ = ["Answer", "Call", "page", "the_type"]

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request that keeps to the description.

    Attributes:
        operation: ``tickets_create`` ...
        path, query: Parameters with their types. body: JSON, None without.
        size: Characters of the body.
    """

    operation: str
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    size: int = 0


@dataclass
class Answer:
    """``body``: JSON value, octets as they are, or None for nothing."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def octets(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()


def the_type(name: str) -> str:
    """The object type of a path parameter; 400 for one that we do not have."""
    found = catalogue.object_type(name)
    if found is None:
        raise ApiError(400, f"Unable to infer object type from: {name}")
    return found


def page(found: Sequence[T], after: str, limit: int) -> tuple[Sequence[T], dict[str, Any]]:
    """One page and its ``paging`` (empty at the end); ``after`` is opaque, as HubSpot's are."""
    try:
        start = int(base64.b64decode(after, validate=True)) if after else 0
    except (ValueError, binascii.Error):
        raise ApiError(400, f"Invalid paging cursor: {after}") from None
    end = start + limit
    if end >= len(found):
        return found[start:end], {}
    cursor = base64.b64encode(str(end).encode()).decode()
    return found[start:end], {"paging": {"next": {"after": cursor, "link": f"?after={cursor}"}}}
