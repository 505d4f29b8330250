"""From octets to `Facts`: all that decisions need to know about a message, read once, quickly, without raising."""

import binascii
import re
from collections.abc import Iterable

from supportrelay.core.charset import codec_name, decode_text
from supportrelay.core.content_key import key_of_parts, usable_id
from supportrelay.core.date_field import parse_date
from supportrelay.core.encoded_word import decode_words, one_line
from supportrelay.core.facts import Facts
from supportrelay.core.headers import HeaderBlock, raw_value, split_headers, without_mark
from supportrelay.core.html_text import html_to_text
from supportrelay.core.mailbox import Mailbox, parse_mailboxes
from supportrelay.core.mime import (
    MAX_FIELDS,
    MAX_HEADER_OCTETS,
    MimeError,
    Part,
    decode_transfer,
    parse_parameters,
    part_octets,
    read_parts,
    walk,
)
from supportrelay.core.quoted import forwarded_author, own_words, split_html_quote
from supportrelay.core.raw_header import charset_hint
from supportrelay.core.subject import has_either_prefix, has_forward_prefix

__all__ = ["attachment_sizes", "body_parts", "part_beginning", "read_facts"]

_MAX_BODY_OCTETS = 1024 * 1024  # encoded octets of the body part that are looked at
_MAX_BODY_CHARACTERS = 256 * 1024
_MAX_IDS = 200
_ADDRESS_FIELDS = frozenset({"from", "sender", "reply-to", "to", "cc", "x-original-from", "x-original-sender"})


def read_facts(octets: bytes) -> Facts:
    """Read a message as received; what cannot be read stays empty and is named in ``problems``. Never raises."""
    size_octets = len(octets)
    if b"\n" not in octets and b"\r" in octets:  # old Macs; only this view is changed
        octets = octets.replace(b"\r", b"\n")
    octets = without_mark(octets)
    problems: tuple[str, ...] = ()
    root: Part | None = None
    try:
        root = read_parts(octets)
        header = root.header
    except MimeError as exc:
        problems = (f"structure: {exc}",)
        header = split_headers(octets, 0, min(len(octets), MAX_HEADER_OCTETS))
    hint = None if octets[: header.end].isascii() else charset_hint(octets)
    fields, addresses = _read_fields(header, hint)
    body = _read_body(octets, root) if root else _Body(decode_text(octets[header.end :][:_MAX_BODY_OCTETS], None))
    subject = fields["subject"][0] if "subject" in fields else ""
    is_forward = has_forward_prefix(subject)
    date_text = fields["date"][0] if "date" in fields else ""
    date = parse_date(date_text)
    if date_text and date is None:
        problems += ("date: unreadable",)
    message_id = _message_id(fields.get("message-id", ()))
    is_report = root is not None and root.content_type == "multipart/report"
    from_ = tuple(mailbox for value in addresses.get("from", ()) for mailbox in parse_mailboxes(value))
    if not from_ and "from" in fields:
        problems += ("from: no mailbox",)
    content_type, parameters = _whole_type(root, header)
    forwarded_from = None if is_report else _forwarded_from(octets, root, body.text, is_forward=is_forward)
    attachments = () if root is None or is_report else _attachments(root)
    return Facts(
        message_id=message_id,
        date=date,
        date_text=date_text,
        from_=from_,
        from_fields=len(addresses.get("from", ())),
        sender=_first_mailbox(addresses.get("sender", ())),
        reply_to=_mailboxes(addresses, "reply-to"),
        to=_mailboxes(addresses, "to"),
        cc=_mailboxes(addresses, "cc"),
        original_from=_first_mailbox([*addresses.get("x-original-from", ()), *addresses.get("x-original-sender", ())]),
        subject=subject,
        in_reply_to=_ids(fields.get("in-reply-to", ())),
        references=_ids(fields.get("references", ())),
        thread_index=_thread_index(fields.get("thread-index", ())),
        fields={name: tuple(values) for name, values in fields.items()},
        content_type=content_type,
        content_parameters=parameters,
        body_text=body.text,
        own_text=body.own_text,
        attachments=attachments,
        has_winmail=root is not None and bool(attachments) and any(map(_is_winmail, walk(root))),
        has_report_part=root is not None and any(part.content_type in _REPORT_PARTS for part in walk(root)),
        is_calendar_answer=body.is_calendar_answer,
        has_calendar_comment=body.has_calendar_comment,
        forwarded_from=forwarded_from,
        is_forward_subject=is_forward or (forwarded_from is not None and has_either_prefix(subject)),
        content_key="" if date and usable_id(message_id) else key_of_parts(octets, root, header),
        problems=problems,
        size_octets=size_octets,
        received_count=len(fields.get("received", ())),
    )


# --- header fields


# Structured fields hold no encoded words (RFC 2047 §5). Decoded, a sender's local part that a gateway copied into its
# verdict could become a verdict of its own (RELIABILITY C51).
_NEVER_WORDED = frozenset({"authentication-results", "arc-authentication-results", "received-spf"})


def _read_fields(header: HeaderBlock, hint: str | None) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Decoded values of every field, and the undecoded ones of address fields (a name must not become an address)."""
    fields: dict[str, list[str]] = {}
    addresses: dict[str, list[str]] = {}
    for field in header.fields[:MAX_FIELDS]:
        name = field.name
        if not name:
            continue
        value = raw_value(field, hint)
        if name in _ADDRESS_FIELDS:
            addresses.setdefault(name, []).append(value)
        is_worded = "=?" in value and name not in _NEVER_WORDED
        fields.setdefault(name, []).append(one_line(decode_words(value)) if is_worded else value)
    return fields, addresses


def _mailboxes(addresses: dict[str, list[str]], name: str) -> tuple[Mailbox, ...]:
    values = addresses.get(name)
    if not values:
        return ()
    if len(values) == 1:
        return parse_mailboxes(values[0])
    return tuple(mailbox for value in values for mailbox in parse_mailboxes(value))


def _first_mailbox(values: Iterable[str]) -> Mailbox | None:
    for value in values:
        found = parse_mailboxes(value)
        if found:
            return found[0]
    return None


_ID = re.compile(r"<[^<>\s]{1,996}>")
_BARE_ID = re.compile(r"[^<>\s]{1,900}@[^<>\s]{1,90}")


def _message_id(values: Iterable[str]) -> str:
    for value in values:
        match = _ID.search(value) or _ID.search("".join(value.split()))
        if match:
            return match[0]
        if _BARE_ID.fullmatch(value):
            return f"<{value}>"
    return ""


def _ids(values: Iterable[str]) -> tuple[str, ...]:
    found = [message_id for value in values for message_id in _ID.findall(value)]
    # The first names the thread, the last ones its newest mails.
    return tuple(found if len(found) <= _MAX_IDS else [found[0], *found[1 - _MAX_IDS :]])


_THREAD_INDEX_OCTETS = 22  # of a thread's first mail; answers append five octets each


def _thread_index(values: Iterable[str]) -> bytes:
    for value in values:
        try:
            octets = binascii.a2b_base64("".join(value.split())[:32].encode("ascii", "replace"))
        except binascii.Error:
            continue
        if len(octets) >= _THREAD_INDEX_OCTETS:
            return octets[:_THREAD_INDEX_OCTETS]
    return b""


def _whole_type(root: Part | None, header: HeaderBlock) -> tuple[str, dict[str, str]]:
    if root is not None:
        return root.content_type, root.parameters
    field = header.first("content-type")
    return parse_parameters(raw_value(field)) if field else ("text/plain", {})


# --- body


class _Body:
    """The text of a message."""

    __slots__ = ("has_calendar_comment", "is_calendar_answer", "own_text", "text")

    def __init__(self, text: str, own_text: str | None = None) -> None:
        self.text = _clean(text)
        self.own_text = own_words(self.text if own_text is None else _clean(own_text))
        self.is_calendar_answer = False
        self.has_calendar_comment = False


def _clean(text: str) -> str:
    text = text[:_MAX_BODY_CHARACTERS]
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", "") if "\0" in text else text


def _read_body(octets: bytes, root: Part) -> _Body:
    plain, html, calendar = body_parts(root)
    text = part_beginning(octets, plain) if plain else ""
    if html and not text.strip():
        own, quote, below = (html_to_text(piece) for piece in split_html_quote(part_beginning(octets, html)))
        body = _Body(f"{own}\n{quote}\n{below}".rstrip(), f"{own}\n{below}" if quote else None)
    else:
        body = _Body(text)
    if calendar:
        _read_calendar(octets, calendar, body)
    return body


def body_parts(root: Part) -> tuple[Part | None, Part | None, Part | None]:
    """First text/plain, first text/html, first text/calendar; a named text only counts when there is no other."""
    plain = html = calendar = named = broken = None
    for part in walk(root):
        kind = part.content_type
        if kind == "text/calendar" and calendar is None:
            calendar = part
        if kind.startswith("multipart/") and not part.children:
            broken = broken or part
        if part.disposition == "attachment" or kind not in {"text/plain", "text/html"}:
            continue
        if part.filename:
            named = named or part
        elif kind == "text/plain":
            plain = plain or part
        else:
            html = html or part
    if plain is None and html is None:
        if named is not None and named.content_type == "text/html":
            return None, named, calendar
        return named or broken, None, calendar
    return plain, html, calendar


def part_beginning(octets: bytes, part: Part) -> str:
    """The text of a part, of its first MiB as it is encoded; line ends as they are."""
    content = octets[part.body_start : min(part.end, part.body_start + _MAX_BODY_OCTETS)]
    # UTF-7 is not interpreted in HTML, where it would turn words into tags.
    is_plain = part.content_type == "text/html" and codec_name(part.charset) == "utf_7"
    return decode_text(decode_transfer(content, part.transfer_encoding), None if is_plain else part.charset or None)


_CALENDAR_METHOD = re.compile(r"^METHOD:[ \t]*(\w+)", re.IGNORECASE | re.MULTILINE)
_CALENDAR_COMMENT = re.compile(r"^COMMENT[;:][^\n]*\S", re.IGNORECASE | re.MULTILINE)
_GOOGLE_ANSWER = re.compile(r"calendar\.google\.com|Google (?:Calendar|カレンダー)|Googleカレンダー", re.IGNORECASE)


def _read_calendar(octets: bytes, part: Part, body: _Body) -> None:
    text = part_beginning(octets, part)
    written = _CALENDAR_METHOD.search(text)
    method = part.parameters.get("method") or (written[1] if written else "")
    body.is_calendar_answer = method.upper() in {"REPLY", "COUNTER", "DECLINECOUNTER"}
    if body.is_calendar_answer:
        # Google writes a text of its own into every answer; what the person wrote stands in COMMENT as well.
        has_own_text = bool(body.own_text.strip()) and not _GOOGLE_ANSWER.search(body.text)
        body.has_calendar_comment = has_own_text or bool(_CALENDAR_COMMENT.search(text))


# --- other parts

_REPORT_PARTS = frozenset(
    {
        "message/delivery-status",
        "message/global-delivery-status",
        "message/disposition-notification",
        "message/global-disposition-notification",
        "message/feedback-report",
    }
)

_TNEF = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
_NOT_ATTACHED = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})


def _attachments(root: Part) -> tuple[str, ...]:
    if not root.children and root.disposition != "attachment" and not root.filename:
        return ("",) if not root.content_type.startswith(("text/", "multipart/")) else ()
    return tuple(part.filename for part in walk(root) if _is_attachment(part))


def attachment_sizes(octets: bytes) -> tuple[tuple[str, int], ...]:
    """``(file name, octets)`` of each attachment of a message; decoded, base64 by its length alone. Never raises."""
    try:
        root = read_parts(octets)
    except MimeError:
        return ()
    return tuple((part.filename, _decoded_size(octets, part)) for part in walk(root) if _is_attachment(part))


def _decoded_size(octets: bytes, part: Part) -> int:
    if part.transfer_encoding != "base64":
        return part.end - part.body_start
    line_ends = octets.count(b"\n", part.body_start, part.end) + octets.count(b"\r", part.body_start, part.end)
    padding = octets.count(b"=", max(part.body_start, part.end - 4), part.end)
    return max(0, (part.end - part.body_start - line_ends) * 3 // 4 - padding)


def _is_attachment(part: Part) -> bool:
    if part.children or part.content_type in _NOT_ATTACHED:
        return False
    return part.disposition == "attachment" or bool(part.filename) or not part.content_type.startswith("text/")


def _is_winmail(part: Part) -> bool:
    return part.content_type in _TNEF or part.filename.lower() == "winmail.dat"


def _forwarded_from(octets: bytes, root: Part | None, text: str, *, is_forward: bool) -> Mailbox | None:
    if root is not None and root.children:
        for part in walk(root):
            if part.content_type == "message/rfc822":
                inner = split_headers(part_octets(octets, part)[:MAX_HEADER_OCTETS])
                return _first_mailbox(raw_value(field) for field in inner.all("from"))
    return forwarded_author(text, is_forward_subject=is_forward)
