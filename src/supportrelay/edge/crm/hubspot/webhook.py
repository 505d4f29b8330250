"""What HubSpot tells us by itself: whether a call is really from HubSpot, and what it says (CRM_FACTS (i)).

Pure functions over what came in. An event is only a hint that a ticket is worth reading by its id: events come twice,
out of order, or not at all.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading

__all__ = ["EventKind", "WebhookEvent", "events", "verify"]

_OLDEST_MS: Final = 300_000
_MOST_EVENTS = 100  # HubSpot sends at most as many at once
_MOST_MERGED = 100
_SIGNATURE_V3, _TIMESTAMP, _SIGNATURE_V1 = (
    "x-hubspot-signature-v3",
    "x-hubspot-request-timestamp",
    "x-hubspot-signature",
)
_MILLIS = re.compile(r"[0-9]{1,15}")
# The only ones that HubSpot signs decoded; a second decoding would make two addresses one.
_DECODED = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_TO_DECODE = re.compile("|".join(_DECODED), re.IGNORECASE)
_TICKETS = "0-5"


class EventKind(StrEnum):
    """What happened to a ticket."""

    CHANGED = "changed"  # made, or a property changed, or another ticket went into it
    DELETED = "deleted"
    RESTORED = "restored"
    MERGED = "merged"  # it went into another one; its id leads there


@value_class
class WebhookEvent:
    """One event about a ticket.

    Attributes:
        at: By HubSpot's clock (aware, UTC), None when it does not say.
    """

    object_id: str
    kind: EventKind
    at: datetime | None = None


def verify(
    headers: Mapping[str, str],
    method: str,
    uri: str,
    body: bytes,
    secret: str,
    now_ms: int,
    *,
    accepts_v1: bool = False,
) -> bool:
    """Whether HubSpot signed this call within the last five minutes; compared in constant time.

    Version 3: base64 of HMAC-SHA256 over method, URI, raw body and timestamp. Version 1, which has no timestamp and can
    be played again: hex of SHA-256 over secret and body; only where a setting allows it and no version 3 came along.

    Args:
        headers: Of the call, names in any case.
        uri: Scheme, host, path and query as HubSpot called it, still percent-encoded; behind a proxy that is not what
            arrived here.
        body: The octets as they came.
        secret: The app's client secret; with an empty one nothing is believed.
        now_ms: Milliseconds since 1970.
    """
    given = {name.lower(): value.strip() for name, value in headers.items()}
    if not secret:
        return False
    if _SIGNATURE_V3 not in given:
        expected = hashlib.sha256(secret.encode() + body).hexdigest()
        return accepts_v1 and _same(given.get(_SIGNATURE_V1, "").lower(), expected)
    timestamp = given.get(_TIMESTAMP, "")
    if not _MILLIS.fullmatch(timestamp) or abs(now_ms - int(timestamp)) > _OLDEST_MS:
        return False
    signed = (method.upper() + _decoded(uri)).encode("utf-8", "surrogateescape") + body + timestamp.encode()
    expected = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode("ascii")
    return _same(given[_SIGNATURE_V3], expected)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode("ascii"))


def _decoded(uri: str) -> str:
    return _TO_DECODE.sub(lambda found: _DECODED[found[0].upper()], uri)


def events(body: bytes) -> tuple[WebhookEvent, ...]:
    """What a signed body says about tickets, each ticket and kind once, at most 100 events.

    Anything else in it (other objects, wrong types, no JSON at all) reads as nothing: asking for changes finds later
    what was missed here.
    """
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    told = read if isinstance(read, list) else [read]
    found: dict[tuple[str, EventKind], WebhookEvent] = {}
    for entry in told[:_MOST_EVENTS]:
        for event in _read(entry):
            found[event.object_id, event.kind] = event
    return tuple(found.values())


def _read(entry: Any) -> Iterator[WebhookEvent]:
    """``ticket.propertyChange`` with ``objectId``, or ``object.propertyChange`` with ``objectTypeId`` beside it."""
    about, _, what = reading.text(entry, "subscriptionType").partition(".")
    is_ticket = about == "ticket" or (about == "object" and reading.text(entry, "objectTypeId") == _TICKETS)
    if not is_ticket:
        return
    at = reading.instant(entry.get("occurredAt"))
    if what == "merge":
        merged = entry.get("mergedObjectIds")
        for one in merged[:_MOST_MERGED] if isinstance(merged, list) else []:
            if object_id := reading.identifier(one):
                yield WebhookEvent(object_id, EventKind.MERGED, at)
    object_id = reading.record_id(entry, "primaryObjectId") or reading.record_id(entry, "objectId")
    if object_id:
        yield WebhookEvent(object_id, _KINDS.get(what, EventKind.CHANGED), at)


_KINDS = {
    "deletion": EventKind.DELETED,
    "privacyDeletion": EventKind.DELETED,
    "restore": EventKind.RESTORED,
}
