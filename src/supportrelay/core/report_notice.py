"""Amazon SES tells what became of a mail by SNS: JSON in the text of an ordinary mail."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, parse_path
from supportrelay.core.report_cause import weigh
from supportrelay.core.report_values import Report, ReportedRecipient

__all__ = ["is_notice", "read_notice"]

_KINDS = {
    "bounce": "delivery-status",
    "complaint": "feedback-report",
    "delivery": "delivery-status",
    "deliverydelay": "delivery-status",
}
_MAX_RECIPIENTS = 100


def is_notice(facts: Facts) -> bool:
    """It has SNS's own field, and JSON where the text should be."""
    return "x-amz-sns-message-id" in facts.fields and facts.body_text.lstrip()[:1] == "{"


def read_notice(facts: Facts) -> Report | None:
    """Return what SES says, None when it is no such notice. Never raises.

    https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
    """
    if not is_notice(facts):
        return None
    try:
        told, _ = json.JSONDecoder().raw_decode(facts.body_text.lstrip())
    except (ValueError, RecursionError):
        return None
    said = _mapping(told)
    what = _text(said, "notificationType") or _text(said, "eventType")
    kind = _KINDS.get(what.lower())
    if kind is None:
        return None
    sent = _mapping(said.get("mail"))
    headers = _mapping(sent.get("commonHeaders"))
    message_id = _text(headers, "messageId")
    writer = parse_mailboxes(_first(headers.get("from")) or _text(sent, "source"))
    return Report(
        kind,
        _recipients(said, what.lower()),
        message_id if message_id.startswith("<") else "",
        returned_from=writer[0] if writer else None,
        returned_to=_everybody(headers.get("to") or sent.get("destination")),
        form="ses",
    )


def _recipients(said: Mapping[str, Any], what: str) -> tuple[ReportedRecipient, ...]:
    if what == "delivery":
        told = _mapping(said.get("delivery"))
        words = _text(told, "smtpResponse")
        named = [{"emailAddress": a, "action": "delivered", "diagnosticCode": words} for a in _list(told, "recipients")]
    elif what == "complaint":
        told = _mapping(said.get("complaint"))
        action = _text(told, "complaintFeedbackType") or "abuse"
        named = [dict(_mapping(one)) | {"action": action} for one in _list(told, "complainedRecipients")]
    elif what == "bounce":
        told = _mapping(said.get("bounce"))
        status = "4.0.0" if _text(told, "bounceType").lower() == "transient" else "5.0.0"
        named = [{"action": "failed", "status": status, **_mapping(one)} for one in _list(told, "bouncedRecipients")]
    else:
        told = _mapping(said.get("deliveryDelay"))
        named = [dict(_mapping(one)) | {"action": "delayed"} for one in _list(told, "delayedRecipients")]
    return tuple(_recipient(one) for one in named[:_MAX_RECIPIENTS])


def _recipient(one: Mapping[str, Any]) -> ReportedRecipient:
    try:
        address = parse_path(_text(one, "emailAddress").strip("<> ")).key
    except AddressError:
        address = ""
    action, status = _text(one, "action").lower()[:40], _text(one, "status")[:20]
    words = _text(one, "diagnosticCode")[:500]
    severity, cause = weigh(action, status, words)
    return ReportedRecipient(address, action, status, words, severity, cause)


def _everybody(value: object) -> tuple[Mailbox, ...]:
    values = value if isinstance(value, list) else []
    return tuple(m for one in values[:_MAX_RECIPIENTS] if isinstance(one, str) for m in parse_mailboxes(one))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Mapping[str, Any], name: str) -> Iterable[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _first(value: object) -> str:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else ""
