"""Reports about mail that was sent: delivery status (RFC 3464), disposition (RFC 8098), feedback (RFC 5965).

Fields are read first, found by searching the MIME tree, never by position; what has none is read by the forms of free
text that mail systems write (`report_forms`), and Amazon's notices by their JSON.
"""

import re
from dataclasses import replace

from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.headers import HeaderBlock, field_value, raw_value, split_headers
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, parse_path
from supportrelay.core.mime import MAX_HEADER_OCTETS, MimeError, Part, part_octets, read_parts, walk
from supportrelay.core.reading import read_facts
from supportrelay.core.report_cause import weigh
from supportrelay.core.report_forms import RETURNED, TRANSCRIPT, WrittenReport, find_form, is_warning
from supportrelay.core.report_notice import read_notice
from supportrelay.core.report_signs import may_be_report
from supportrelay.core.report_values import FailureCause, Report, ReportedRecipient, Severity

__all__ = ["FailureCause", "Report", "ReportedRecipient", "Severity", "read_report"]


_KINDS = {
    "message/delivery-status": "delivery-status",
    "message/global-delivery-status": "delivery-status",
    "message/disposition-notification": "disposition-notification",
    "message/global-disposition-notification": "disposition-notification",
    "message/feedback-report": "feedback-report",
}
_LOOK = 256 * 1024
_LOOK_TEXT = 64 * 1024  # characters
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


def read_report(octets: bytes, facts: Facts, *, is_named: bool = False) -> Report | None:
    """Read a report; None when the message is none. Never raises.

    A report is a multipart/report of one of the three kinds, a multipart that holds the part of one directly, or a mail
    system's text of a known form.

    Args:
        is_named: Something else says already that it is a report (a null reverse-path, a token of ours).
    """
    if b"\n" not in octets and b"\r" in octets:
        octets = octets.replace(b"\r", b"\n")
    notice = read_notice(facts)
    if notice is not None:
        return notice
    report = _by_fields(octets, facts)
    if report is not None and report.kind == "feedback-report":
        return replace(report, recipients=_who_complained(report))
    if report is not None and (report.recipients or report.kind == "disposition-notification"):
        return _weighed(_with_actions(report, facts), facts.body_text)
    if report is None and not (is_named or may_be_report(facts)):
        return None
    return _by_text(octets, facts, report) or report


def _by_fields(octets: bytes, facts: Facts) -> Report | None:
    """What the parts made for machines say."""
    if not facts.content_type.startswith(("multipart/", "message/")):
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
        recipients = _delivery_status(groups)
    elif kind == "disposition-notification":
        recipients = _disposition(groups)
    else:
        recipients = _feedback(groups)
    report = _about(returned, kind)
    if not report.returned_message_id:
        named = _field(groups, "original-message-id")
        report = replace(report, returned_message_id=named if named.startswith("<") else "")
    if kind == "delivery-status" and not any(one.address for one in recipients):
        recipients = _failed_recipients(facts) or recipients
    return replace(report, recipients=recipients)


def _with_actions(report: Report, facts: Facts) -> Report:
    """A recipient with a status of class 4 and no Action is still being tried only where the words say so."""
    if report.kind != "delivery-status" or all(one.action or not one.status for one in report.recipients):
        return report
    told = f"{facts.subject}\n{facts.body_text[:_LOOK_TEXT]}"
    action = {"2": "delivered", "4": "delayed" if is_warning(told) else "failed"}
    recipients = tuple(
        one if one.action else replace(one, action=action.get(one.status[:1], "")) for one in report.recipients
    )
    return replace(report, recipients=recipients)


def _about(returned: HeaderBlock, kind: str) -> Report:
    """A report with what the returned header says."""
    return Report(
        kind,
        returned_message_id=_first_id(returned),
        returned_queue_id=_value(returned, "x-supportrelay-id")[:_MAX_QUEUE_ID],
        returned_from=next(iter(_mailboxes(returned, "from")), None),
        returned_to=_mailboxes(returned, "to"),
        returned_trail=_value(returned, "x-supportrelay-trail")[:_MAX_TRAIL],
    )


# --- what words say

_MAX_TRAIL = 500
_MAX_DEPTH = 2
_STATUS_IN_TEXT = re.compile(r"^(?:Final|Original)-Recipient:", re.IGNORECASE | re.MULTILINE)


def _by_text(octets: bytes, facts: Facts, declared: Report | None, depth: int = 0) -> Report | None:
    """A report in words, else one that another was wrapped into; None when nothing names a recipient."""
    text = facts.body_text
    returned = _returned_anywhere(octets, text)
    base = declared if declared is not None and declared.returned_message_id else _about(returned, "delivery-status")
    if _STATUS_IN_TEXT.search(text[:_LOOK_TEXT]):  # a multipart whose boundary was lost, or a gateway that flattened it
        recipients = _delivery_status(_groups(text[:_LOOK_TEXT].encode("utf-8", "replace")))
        if any(one.address for one in recipients):
            recipients = tuple(one for one in recipients if one.address)
            return _weighed(replace(base, recipients=recipients, form="fields"), text)
    written = find_form(text)
    if written is not None and (written.is_certain or declared is not None):
        return replace(_as_written(base, written, text), is_certain=True)
    named = _failed_recipients(facts)
    if named:
        return _weighed(replace(base, recipients=named, form="x-failed-recipients"), text)
    if written is not None:
        return _as_written(base, _of_others(written, facts), text)
    return _wrapped(octets, depth) or _unsent(base, text)


def _of_others(written: WrittenReport, facts: Facts) -> WrittenReport:
    """Without who gets the report and who sends it, whom words of no known form may name as well."""
    own = {mailbox.key for mailbox in (*facts.to, *facts.from_)}
    others = tuple(one for one in written.recipients if one[0] not in own)
    return replace(written, recipients=others) if others else written


def _as_written(base: Report, written: WrittenReport, text: str) -> Report:
    recipients = tuple(ReportedRecipient(a, written.action, diagnostic=words) for a, words in written.recipients)
    report = replace(base, recipients=recipients, form=written.form, is_certain=written.is_certain)
    return _weighed(report, text[: written.end])


def _unsent(base: Report, text: str) -> Report | None:
    """Old sendmail says only how the session went; who was meant stands in what it returns."""
    if not TRANSCRIPT.search(text[:_LOOK_TEXT]) or len(base.returned_to) != 1:
        return None
    report = replace(base, recipients=(ReportedRecipient(base.returned_to[0].key, "failed"),), form="transcript")
    returned = RETURNED.search(text[:_LOOK_TEXT])
    return _weighed(report, text[: returned.start()] if returned else text)


def _wrapped(octets: bytes, depth: int) -> Report | None:
    """The report inside a scanner's or a gateway's notice that says nothing itself."""
    try:
        inner = next((p for p in walk(read_parts(octets)) if p.content_type == "message/rfc822"), None)
    except MimeError:
        return None
    if inner is None or depth >= _MAX_DEPTH:
        return None
    content = part_octets(octets, inner).lstrip(b"\r\n")
    facts = read_facts(content)
    report = _by_fields(content, facts)
    if report is not None and report.recipients:
        return _weighed(report, facts.body_text)
    return _by_text(content, facts, report, depth + 1) if may_be_report(facts) else None


def _weighed(report: Report, text: str) -> Report:
    """With severity and cause; where the fields say nothing, the words for people do (of a single recipient)."""
    alone = len(report.recipients) == 1
    return replace(report, recipients=tuple(_weighed_one(one, text if alone else "") for one in report.recipients))


def _weighed_one(one: ReportedRecipient, text: str) -> ReportedRecipient:
    severity, cause = weigh(one.action, one.status, one.diagnostic)
    if cause is FailureCause.OTHER and text:
        told_severity, told = weigh(one.action, one.status, " ".join(text[:_MAX_TOLD].split()))
        if told is not FailureCause.OTHER:
            severity, cause = told_severity, told
    return replace(one, severity=severity, cause=cause)


def _who_complained(report: Report) -> tuple[ReportedRecipient, ...]:
    """Many providers hide who complained; a mail to one person was that person's."""
    if len(report.returned_to) != 1 or any(one.address for one in report.recipients):
        return report.recipients
    return (ReportedRecipient(report.returned_to[0].key, report.recipients[0].action if report.recipients else ""),)


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


_FIELDS_IN_TEXT = re.compile(
    r"^[ \t]*((?:message-id|from|to|x-supportrelay-(?:id|trail)):"
    r"[^\n]{0,2000}(?:\n[ \t]+[^\n]{1,1000}){0,20})",
    re.IGNORECASE | re.MULTILINE,
)


def _returned_anywhere(octets: bytes, text: str) -> HeaderBlock:
    """The returned header: of a part, else the first such fields in the text behind its own words."""
    try:
        header = _returned(octets, read_parts(octets))
    except MimeError:
        header = HeaderBlock((), 0)
    if header.fields:
        return header
    told = text[:_LOOK_TEXT]
    begin = RETURNED.search(told)
    if begin is None:
        fields = list(_STATUS_IN_TEXT.finditer(told))
        begin = fields[-1] if fields else None
    found: dict[str, str] = {}
    for match in _FIELDS_IN_TEXT.finditer(told[begin.end() :] if begin else ""):
        found.setdefault(match[1].partition(":")[0].lower(), match[1])
    return split_headers("\n".join([*found.values(), "", ""]).encode("utf-8", "replace"))


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
_BLANK_LINE = re.compile(rb"\n\r?\n")
_BOUNDARY_LINE = re.compile(rb"^--[^\n]*\n", re.MULTILINE)
_MAX_DIAGNOSTIC = 500
_MAX_TOLD = 2000  # characters of the words for people


def _groups(content: bytes) -> list[HeaderBlock]:
    """The blocks of fields between blank lines; garbage lines do not matter.

    Every paragraph gets its blank line, so that it is looked at once: without one, what begins at each garbage line
    would be read to the end again.
    """
    groups: list[HeaderBlock] = []
    position = 0
    content = _BOUNDARY_LINE.sub(b"", content[:MAX_HEADER_OCTETS]) + b"\n\n"
    while position < len(content) and len(groups) < _MAX_GROUPS:
        block = split_headers(content, position)
        if block.fields:
            groups.append(block)
        blank = _BLANK_LINE.search(content, position) if block.end == position else None
        position = max(block.end, blank.end() if blank else position + 1)
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
    return tuple(ReportedRecipient(address, action) for address in dict.fromkeys(addresses) if address) or (
        (ReportedRecipient("", action),) if action else ()
    )


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
