"""Reports about mail that was sent: delivery status (RFC 3464), disposition (RFC 8098), feedback (RFC 5965).

Only structured reports are read here. The facts are found by searching the MIME tree, never by position.
"""

import re

from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.headers import HeaderBlock, field_value, raw_value, split_headers
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, parse_path
from supportrelay.core.mime import MAX_HEADER_OCTETS, MimeError, Part, part_octets, read_parts, walk
from supportrelay.core.value import value_class

__all__ = ["Report", "ReportedRecipient", "read_report"]


@value_class
class ReportedRecipient:
    """What a report says about one recipient.

    Attributes:
        address: Comparing form, "" when it cannot be read.
        action: Lower case: ``failed``, ``delayed``, ``delivered``, ``relayed``, ``expanded``; the disposition
            (``displayed`` ...) or the kind of feedback (``abuse`` ...) in the other reports.
        status: ``5.1.1``, "" without.
        diagnostic: One line, at most 500 characters.
    """

    address: str
    action: str
    status: str = ""
    diagnostic: str = ""


@value_class
class Report:
    """A report.

    Attributes:
        kind: ``delivery-status``, ``disposition-notification`` or ``feedback-report``.
        returned_message_id: With brackets, of the mail it is about; "" when it is not said.
        returned_queue_id: X-Supportrelay-Id of the returned part: it is about a copy of ours. Not proven: only the
            token in the envelope is.
        returned_from: First mailbox of its From.
        returned_to: Mailboxes of its To.
    """

    kind: str
    recipients: tuple[ReportedRecipient, ...] = ()
    returned_message_id: str = ""
    returned_queue_id: str = ""
    returned_from: Mailbox | None = None
    returned_to: tuple[Mailbox, ...] = ()


_KINDS = {
    "message/delivery-status": "delivery-status",
    "message/global-delivery-status": "delivery-status",
    "message/disposition-notification": "disposition-notification",
    "message/global-disposition-notification": "disposition-notification",
    "message/feedback-report": "feedback-report",
}
_LOOK = 256 * 1024
_REPORT_TYPES = frozenset(_KINDS.values())
_RETURNED = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/rfc822-headers",
        "message/global-headers",
        "text/rfc822-headers",
        "text/rfc822-header",
    }
)


def read_report(octets: bytes, facts: Facts) -> Report | None:
    """Read a structured report; None when the message is none. Never raises.

    A report is a multipart/report of one of the three kinds, or a multipart that holds the part of one directly.
    """
    if not facts.content_type.startswith("multipart/"):
        return None
    if facts.content_type != "multipart/report":  # nearly all mail: one look is cheaper than the tree
        beginning = octets[:_LOOK]
        if not any(kind.encode("ascii") in beginning for kind in _REPORT_TYPES):
            return None
    try:
        root = read_parts(octets)
    except MimeError:
        return None
    status = next((part for part in walk(root) if part.content_type in _KINDS), None)
    declared = facts.content_parameters.get("report-type", "").lower()
    if status is None and not (root.content_type == "multipart/report" and declared in _REPORT_TYPES):
        return None
    kind = _KINDS[status.content_type] if status else declared
    groups = _groups(part_octets(octets, status)) if status else []
    returned = _returned(octets, root)
    if kind == "delivery-status":
        recipients = _delivery_status(groups) or _failed_recipients(facts)
    elif kind == "disposition-notification":
        recipients = _disposition(groups)
    else:
        recipients = _feedback(groups)
    message_id = _first_id(returned) or _field(groups, "original-message-id")
    return Report(
        kind,
        recipients,
        message_id if message_id.startswith("<") else "",
        _value(returned, "x-supportrelay-id")[:_MAX_QUEUE_ID],
        next(iter(_mailboxes(returned, "from")), None),
        _mailboxes(returned, "to"),
    )


# --- the returned part

_MAX_QUEUE_ID = 100
_ID = re.compile(r"<[^<>\s]{1,996}>")


def _returned(octets: bytes, root: Part) -> HeaderBlock:
    for part in walk(root):
        if part.content_type in _RETURNED:
            header = split_headers(part_octets(octets, part)[:MAX_HEADER_OCTETS].lstrip())
            if any(field.name for field in header.fields):
                return header
    return HeaderBlock((), 0)


def _value(header: HeaderBlock, name: str) -> str:
    field = header.first(name)
    return field_value(field) if field else ""


def _first_id(header: HeaderBlock) -> str:
    match = _ID.search(_value(header, "message-id"))
    return match[0] if match else ""


def _mailboxes(header: HeaderBlock, name: str) -> tuple[Mailbox, ...]:
    field = header.first(name)
    return parse_mailboxes(raw_value(field)) if field else ()


# --- the groups of fields

_MAX_GROUPS = 1000
_MAX_DIAGNOSTIC = 500


def _groups(content: bytes) -> list[HeaderBlock]:
    """The blocks of fields between blank lines; garbage lines do not matter."""
    groups: list[HeaderBlock] = []
    position = 0
    content = content[:MAX_HEADER_OCTETS]
    while position < len(content) and len(groups) < _MAX_GROUPS:
        block = split_headers(content, position)
        if block.fields:
            groups.append(block)
        position = max(block.end, position + 1)
    return groups


def _field(groups: list[HeaderBlock], name: str) -> str:
    for group in groups:
        if value := _value(group, name):
            return value
    return ""


_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")


def _delivery_status(groups: list[HeaderBlock]) -> tuple[ReportedRecipient, ...]:
    recipients = []
    for group in groups:
        address = _recipient(group)
        action = _first_word(_value(group, "action"))
        if not address and not action:  # the first group is about the message
            continue
        diagnostic = _without_type(_value(group, "diagnostic-code"))
        status = _STATUS.search(_value(group, "status"))
        recipients.append(
            ReportedRecipient(
                address,
                action or ("failed" if status and status[1].startswith("5") else ""),
                status[1] if status else "",
                diagnostic[:_MAX_DIAGNOSTIC],
            )
        )
    return tuple(recipients)


def _failed_recipients(facts: Facts) -> tuple[ReportedRecipient, ...]:
    """A report that lost its status part, from a host that also names the recipients in its header."""
    found = (mailbox for value in facts.fields.get("x-failed-recipients", ()) for mailbox in parse_mailboxes(value))
    return tuple(ReportedRecipient(mailbox.key, "failed") for mailbox in found)


def _disposition(groups: list[HeaderBlock]) -> tuple[ReportedRecipient, ...]:
    disposition = _field(groups, "disposition").partition(";")[2]
    action = _first_word(disposition.partition("/")[0])
    address = next((found for group in groups if (found := _recipient(group))), "")
    return (ReportedRecipient(address, action),) if address or action else ()


def _feedback(groups: list[HeaderBlock]) -> tuple[ReportedRecipient, ...]:
    action = _first_word(_field(groups, "feedback-type"))
    addresses = [
        _comparing(field_value(field))
        for group in groups
        for name in ("original-rcpt-to", "removal-recipient")
        for field in group.all(name)
    ]
    return tuple(ReportedRecipient(address, action) for address in dict.fromkeys(addresses) if address)


# --- addresses in reports

_COMMENT = re.compile(r"\([^()]{0,200}\)")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNICODE = re.compile(r"\\x\{([0-9A-F]{1,6})\}")


def _recipient(group: HeaderBlock) -> str:
    """Final-Recipient, else Original-Recipient, in comparing form."""
    final = _value(group, "final-recipient")
    if address := _comparing(_without_type(final)):
        return address
    original = _without_type(_value(group, "original-recipient"))
    # The sending client wrote it in xtext (RFC 3461 §4); whoever copied it may have decoded it or not.
    return _comparing(original) or _comparing(_XTEXT.sub(lambda match: chr(int(match[1], 16)), original))


def _without_type(value: str) -> str:
    """``rfc822; x@y`` -> ``x@y``; some leave the type out."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and "@" not in kind else value.strip()


def _comparing(address: str) -> str:
    address = _COMMENT.sub(" ", address).strip()
    if "\\x{" in address:  # utf-8-addr-xtext, RFC 6533 §3
        address = _UNICODE.sub(lambda match: chr(min(int(match[1], 16), 0x10FFFF)), address)
    if address.startswith("<") and address.endswith(">"):
        address = address[1:-1].strip()
    try:
        return parse_path(address).key
    except AddressError:
        return ""


def _first_word(text: str) -> str:
    words = _COMMENT.sub(" ", text).split(maxsplit=1)
    return words[0].lower()[:40] if words else ""
