"""Reports to authors: what became of their mail (RFC 3464, RFC 3462: a text, delivery-status, the original's header).

They name no host of ours, and of a mail to the desk nobody but the support address: who reads it there is not the
author's business (RELIABILITY F24, C62). Of the author's own words they hold only header fields that RFC 3464 §2 wants
returned, so that nobody can have us carry his text to others (C54).
"""

import re
from collections.abc import Sequence
from datetime import datetime

from supportrelay.core.copy_headers import plain_field
from supportrelay.core.date_field import print_date
from supportrelay.core.delivery import Cause
from supportrelay.core.headers import fields_named, split_headers
from supportrelay.core.own_mail import OwnHead, OwnKind, Wording, text_part, write_head
from supportrelay.core.splice import normalise_line_ends
from supportrelay.core.transfer import quoted_printable
from supportrelay.core.value import value_class

__all__ = ["Failure", "ReportContext", "public_diagnostic", "public_status", "write_report"]

_RETURNED = frozenset(
    {"from", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "mime-version"}
)
_MAX_FIELD = 4096
_MAX_RETURNED = 16 * 1024
_MAX_SHOWN = 100  # recipients
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_OF_CAUSE = {Cause.SIZE: "5.3.4", Cause.CONTENT: "5.6.0"}


@value_class
class Failure:
    """One recipient as the author may know him.

    Attributes:
        recipient: Printed address.
        status: RFC 3463.
        diagnostic: What the other server said; "" when that is not the author's business.
    """

    recipient: str
    status: str
    diagnostic: str = ""


@value_class
class ReportContext:
    """What belongs to this report.

    Attributes:
        head: Its header; the kind says whether it is a failure or a delay.
        support: The support address that the mail belongs to; its domain is all that is said about us.
        accepted_at: When the mail was accepted; aware.
        retry_until: For a delay: until when it is tried.
        is_for_desk: It was a mail to the desk; else it was passed on to people outside.
    """

    head: OwnHead
    support: str
    accepted_at: datetime
    is_for_desk: bool
    retry_until: datetime | None = None


def write_report(context: ReportContext, failures: Sequence[Failure], original: bytes, words: Wording) -> bytes:
    """Return the whole report in ASCII with CRLF; equal input gives equal octets.

    Args:
        failures: At least one.
        original: The mail that it is about, as received.
        words: In the reader's language.
    """
    boundary = f"=_report_{context.head.queue_id}"
    parts = [
        text_part(_text(context, failures, words)),
        b"Content-Type: message/delivery-status\r\n\r\n" + _status_part(context, failures),
        _returned_header(original),
    ]
    dash = f"--{boundary}".encode("ascii")
    body = b"".join(dash + b"\r\n" + part.rstrip(b"\r\n") + b"\r\n\r\n" for part in parts)
    return (
        write_head(context.head)
        + f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"\r\n\r\n'.encode(
            "ascii"
        )
        + body
        + dash
        + b"--\r\n"
    )


def _text(context: ReportContext, failures: Sequence[Failure], words: Wording) -> str:
    kind = "delay" if context.head.kind == OwnKind.DELAY else "desk" if context.is_for_desk else "outside"
    until = _shown(context.retry_until) if context.retry_until else ""
    text = words.text(f"own.report.{kind}", support=context.support, date=_shown(context.accepted_at), until=until)
    if not context.is_for_desk:
        lines = [f"  {one.recipient}\n    {one.diagnostic or one.status}" for one in failures[:_MAX_SHOWN]]
        rest = len(failures) - len(lines)
        if rest:
            lines.append(words.text("own.and_more", count=rest))
        text = text.replace("{recipients}", "\n".join(lines))
    return f"{text}\n"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _status_part(context: ReportContext, failures: Sequence[Failure]) -> bytes:
    """The machine's part (RFC 3464 §2.2, §2.3). Reporting-MTA is the address's domain, never a host's name."""
    blocks = [
        plain_field("Reporting-MTA", f"dns; {context.support.rpartition('@')[2]}")
        + plain_field("Arrival-Date", print_date(context.accepted_at))
    ]
    is_delay = context.head.kind == OwnKind.DELAY
    for one in failures[:_MAX_SHOWN]:
        block = [
            plain_field("Final-Recipient", _typed(one.recipient)),
            plain_field("Action", "delayed" if is_delay else "failed"),
            plain_field("Status", one.status),
        ]
        if one.diagnostic:
            block.append(plain_field("Diagnostic-Code", f"smtp; {one.diagnostic}"))
        if is_delay and context.retry_until is not None:
            block.append(plain_field("Will-Retry-Until", print_date(context.retry_until)))
        blocks.append(b"".join(block))
    return b"\r\n".join(blocks)


def _typed(address: str) -> str:
    """``rfc822; ann@x.example``; outside ASCII utf-8-addr-xtext (RFC 6533 §3)."""
    if address.isascii():
        return f"rfc822; {address}"
    spelled = "".join(c if c.isascii() and c not in "\\+= " else f"\\x{{{ord(c):X}}}" for c in address)
    return f"utf-8; {spelled}"


def _returned_header(original: bytes) -> bytes:
    """The fields of the original that its author wrote, octet for octet where mail may carry them so."""
    normal = normalise_line_ends(original[: 1024 * 1024])
    found = fields_named(normal, split_headers(normal), _RETURNED)
    kept: list[bytes] = []
    size = 0
    for field in found:
        if len(field.raw) <= _MAX_FIELD and size + len(field.raw) <= _MAX_RETURNED:
            kept.append(field.raw)
            size += len(field.raw)
    header = b"".join(kept)
    if header.isascii() and b"\0" not in header and all(len(line) <= 998 for line in header.split(b"\r\n")):  # noqa: PLR2004
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + header
    return (
        b"Content-Type: text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quoted_printable(header)
    )


# --- what may be said


def public_status(status: str, cause: str, *, is_failed: bool) -> str:
    """The status of a recipient: what the server said last, X.4.7 when time ran out (RFC 3463 §3.5).

    Args:
        is_failed: For good; else it is late.
    """
    wanted = "5" if is_failed else "4"
    if _STATUS.fullmatch(status) and status[0] == wanted:
        return status
    if not is_failed:
        return "4.0.0"
    if status.startswith("4") or cause == Cause.WEATHER:
        return "5.4.7"
    return _OF_CAUSE[Cause(cause)] if cause in set(_OF_CAUSE) else "5.0.0"


_PRIVATE = re.compile(
    r"\[?\b(?:10|127)(?:\.\d{1,3}){3}\b\]?|\[?\b(?:192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}\b\]?"
    r"|\[?\bf[cd][0-9a-f]{2}:[0-9a-f:]{2,}\]?",
    re.IGNORECASE,
)


def public_diagnostic(text: str, hosts: Sequence[str]) -> str:
    """A server's words on one line without the names and private addresses of our own hosts."""
    shown = " ".join(text.split())[:500]
    for host in hosts:
        if host:
            shown = re.sub(re.escape(host), "(host)", shown, flags=re.IGNORECASE)
    return _PRIVATE.sub("(host)", shown)
