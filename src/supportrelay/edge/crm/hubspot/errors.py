"""What HubSpot's refusals mean (CRM_FACTS (h)): pure functions from status, headers and body to what is to be done."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot.reading import identifier, printable, text, texts

__all__ = ["Complaint", "Fault", "fault_of", "limited_until", "read_complaint", "retry_after", "told"]

LONGEST_CAUSE: Final = 500
_LONGEST_WAIT: Final = timedelta(hours=24)
_LONGEST_LIMIT: Final = timedelta(hours=1)
_SECONDS = re.compile(r"\s*([0-9]{1,9})(\.[0-9]*)?\s*")
_SCOPE = re.compile(r"\b(?:crm\.[a-z_]+(?:\.[a-z_]+)+|tickets|sales-email-read|oauth)\b")

# Said by whatever stands before HubSpot as well, which does not write JSON; they mean the same.
_TOO_BIG: Final = frozenset({413, 414, 431})
_REFUSALS: Final = frozenset({400, 404, 405, 406, 409, 410, 411, 412, 415, 422})


class Fault(StrEnum):
    """What went wrong with a call."""

    LIMITED = "limited"  # 429
    LOCKED = "locked"  # 423
    MIGRATING = "migrating"  # 477
    TOKEN_REFUSED = "token_refused"  # noqa: S105  401
    SCOPE_MISSING = "scope_missing"  # 403
    UNAVAILABLE = "unavailable"  # 5xx, no connection, no answer in time
    REDIRECTED = "redirected"  # 3xx; never followed
    GARBAGE = "garbage"  # an answer that cannot be read, or a refusal that is not HubSpot's
    REFUSED = "refused"  # asked the wrong thing: 400, 404, 409 ...
    UNKNOWN = "unknown"  # a status nobody told us about; temporary, as everything unknown


@value_class
class Complaint:
    """An error's body; every field of it is optional.

    Attributes:
        details: Message, code and names of fields of each single error.
        policy: ``DAILY``, ``TEN_SECONDLY_ROLLING``, ``SECONDLY``, "" without.
        scopes: What the token lacks.
        is_hubspots: There was a body in HubSpot's form; a page of some server between us has none.
    """

    message: str = ""
    category: str = ""
    correlation_id: str = ""
    policy: str = ""
    details: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    is_hubspots: bool = False


def read_complaint(body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Complaint:
    """Read an error's body, None when it was no JSON; whatever is missing stays empty."""
    body = body or {}
    listed = body.get("errors")
    errors = [error for error in listed if isinstance(error, Mapping)] if isinstance(listed, list) else []
    message = text(body, "message")
    named = [scope for error in errors for scope in _scopes(error.get("context"))]
    return Complaint(
        message=message,
        category=text(body, "category") or text(body, "errorType"),
        correlation_id=identifier(body.get("correlationId")) or headers.get("x-hubspot-correlation-id", ""),
        policy=text(body, "policyName").upper(),
        details=tuple(_detail(error) for error in errors),
        scopes=tuple(dict.fromkeys(named or _SCOPE.findall(message))),
        is_hubspots=any(name in body for name in ("status", "message", "category", "correlationId", "errors")),
    )


def _scopes(context: Any) -> tuple[str, ...]:
    return texts(context, "requiredGranularScopes") or texts(context, "requiredScopes")


def _detail(error: Mapping[str, Any]) -> str:
    context = error.get("context")
    fields = [
        f"{name}: {', '.join(texts(context, name)) or '?'}"
        for name in (context if isinstance(context, Mapping) else ())
        if isinstance(name, str)
    ]
    named = text(error, "in")
    words = [text(error, "code"), text(error, "message"), f"in {named}" if named else ""]
    return " ".join(word for word in [*words, f"[{'; '.join(fields)}]" if fields else ""] if word)


def fault_of(status: int, complaint: Complaint) -> Fault | None:
    """What the status says, None when the call succeeded.

    A 404 that is not HubSpot's is garbage: a misrouted call must not look like a ticket that was deleted.
    """
    named = {
        401: Fault.TOKEN_REFUSED,
        403: Fault.SCOPE_MISSING,
        408: Fault.UNAVAILABLE,
        423: Fault.LOCKED,
        429: Fault.LIMITED,
        477: Fault.MIGRATING,
    }
    if 200 <= status < 300:  # noqa: PLR2004  HTTP
        return None
    if status in named:
        return named[status]
    if 300 <= status < 400:  # noqa: PLR2004  HTTP
        return Fault.REDIRECTED
    if status >= 500:  # noqa: PLR2004  HTTP
        return Fault.UNAVAILABLE
    if status in _TOO_BIG:
        return Fault.REFUSED
    if status in _REFUSALS:
        return Fault.REFUSED if complaint.is_hubspots else Fault.GARBAGE
    return Fault.UNKNOWN


def told(complaint: Complaint, raw: bytes) -> str:
    """The complaint in one printable line of at most 500 characters; the correlation id is always in it.

    Args:
        raw: The body, for one that is not in HubSpot's form: its first 200 printable characters.
    """
    if complaint.is_hubspots:
        words = [complaint.category, complaint.message, *complaint.details]
        scopes = f"scopes needed: {', '.join(complaint.scopes)}" if complaint.scopes else ""
        shown = "; ".join(word for word in [scopes, *words] if word)
    else:
        shown = printable(raw[:4096].decode("utf-8", "replace"), 200)
    ending = printable(complaint.correlation_id, 80)
    ending = f" (correlationId {ending})" if ending else ""
    return printable(shown, LONGEST_CAUSE - len(ending)) + ending


def retry_after(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """``Retry-After`` as an instant: seconds or an HTTP date (RFC 9110 §10.2.3), 1 s to 24 h ahead; None without."""
    value = headers.get("retry-after", "")
    if match := _SECONDS.fullmatch(value):
        wait = timedelta(seconds=int(match[1]))
    else:
        try:
            named = parsedate_to_datetime(value)
            wait = (named if named.tzinfo else named.replace(tzinfo=UTC)) - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return now + min(max(wait, timedelta(seconds=1)), _LONGEST_WAIT)


def limited_until(
    complaint: Complaint, headers: Mapping[str, str], *, is_search: bool, now: datetime, zone: tzinfo
) -> datetime:
    """Until when a 429 asks for silence.

    ``Retry-After`` when there is one; else by the policy: the interval of 10 s, a second for searches, midnight of
    the account's time zone for the day's calls. Never longer than an hour: the day may begin elsewhere, and one wrong
    header must not keep owners and tickets away for a day.
    """
    if asked := retry_after(headers, now):
        return min(asked, now + _LONGEST_LIMIT)
    if complaint.policy == "DAILY":
        return min(_midnight_after(now, zone), now + _LONGEST_LIMIT)
    if complaint.policy == "SECONDLY" or (is_search and not complaint.policy):
        return now + timedelta(seconds=1)
    return now + timedelta(seconds=10)


def _midnight_after(now: datetime, zone: tzinfo) -> datetime:
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC)
