"""Mail that the relay writes itself: reports to authors, digests and alerts to the administrators.

It goes through the queue like any other: a message of its own with a null reverse-path (RFC 5321 §4.5.5), marked so
that nobody's program answers it (RFC 3834 §5, RULES_OF_MAIL 2 'Marks we put on'), and with a Message-ID that only we
can make, so that we know it when it comes back. Its octets are written once and sent unchanged. Nobody ever gets a
report about one (RELIABILITY C58).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from supportrelay.core.copy_headers import plain_field
from supportrelay.core.date_field import print_date
from supportrelay.core.headers import fold_field
from supportrelay.core.mailbox import Mailbox, parse_path, print_mailbox
from supportrelay.core.transfer import base64_lines, best_encoding, quoted_printable
from supportrelay.core.value import value_class

__all__ = ["OwnHead", "OwnKind", "OwnMail", "Wording", "text_part", "write_head"]


class OwnKind(StrEnum):
    """What a mail of our own tells."""

    REPORT = "report"  # to an author: his mail was not delivered (RFC 3464)
    DELAY = "delay"  # to a colleague: his mail is still under way
    DIGEST = "digest"  # to the administrators: what waits for a person
    ALERT = "alert"  # to the administrators: something is broken

    @property
    def is_answer(self) -> bool:
        """Sent because somebody sent something; `Auto-Submitted` says which (RFC 3834 §5)."""
        return self in {OwnKind.REPORT, OwnKind.DELAY}


@value_class
class OwnMail:
    """One mail of our own, as the store takes it.

    Attributes:
        queue_id: Its own.
        recipients: Printed addresses; one delivery each.
        octets: ASCII with CRLF.
        message_id: With brackets; stands in the octets too.
        subject: As people read it.
        at: When it was written; aware, UTC.
        about: queue_id of the message whose fate it tells; "" for digests and alerts.
    """

    queue_id: str
    kind: OwnKind
    recipients: tuple[str, ...]
    octets: bytes
    message_id: str
    subject: str
    at: datetime
    about: str = ""


@value_class
class OwnHead:
    """What the header of such a mail says.

    Attributes:
        sender_address, sender_name: From.
        reply_to: Where answers go; empty: to From.
        references: Message-IDs of the mail that it tells of, with brackets; empty without.
    """

    queue_id: str
    kind: OwnKind
    sender_address: str
    sender_name: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    at: datetime
    reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


class Wording(Protocol):
    """Sentences of one language; `i18n.Catalogue` is one."""

    def has(self, msgid: str) -> bool:
        """Somebody wrote a sentence for it."""
        ...

    def text(self, msgid: str, /, **values: object) -> str:
        """The sentence with its values."""
        ...

    def reason(self, coded: Mapping[str, Any]) -> str:
        """The sentence of a reason in its stored form."""
        ...


def write_head(head: OwnHead) -> bytes:
    """Return the header fields up to MIME-Version, in ASCII with CRLF; what follows describes the body.

    There is no Received and no loop mark in it: it names no host of ours.
    """
    fields = [
        plain_field("From", _mailbox(head.sender_address, head.sender_name)),
        fold_field("To", ", ".join(_mailbox(address) for address in head.recipients)),
        *([fold_field("Reply-To", ", ".join(_mailbox(one) for one in head.reply_to))] if head.reply_to else []),
        fold_field("Subject", head.subject),
        plain_field("Date", print_date(head.at)),
        plain_field("Message-ID", head.message_id),
        *_thread(head.references),
        plain_field("Auto-Submitted", "auto-replied" if head.kind.is_answer else "auto-generated"),
        plain_field("X-Auto-Response-Suppress", "All"),
        plain_field("X-Supportrelay-Id", head.queue_id),
        plain_field("X-Supportrelay-Reason", str(head.kind)),
        b"MIME-Version: 1.0\r\n",
    ]
    return b"".join(fields)


def _mailbox(address: str, name: str = "") -> str:
    mailbox = parse_path(address)
    return print_mailbox(Mailbox(mailbox.local, mailbox.domain, name))


def _thread(references: Sequence[str]) -> list[bytes]:
    named = [one for one in references if one.isascii() and one]
    return [fold_field("In-Reply-To", named[-1]), fold_field("References", " ".join(named))] if named else []


def text_part(text: str) -> bytes:
    """Return the fields and body of a text part: UTF-8 in whatever transfer encoding is shorter, lines CRLF."""
    octets = text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
    encoding = best_encoding(octets)
    body = base64_lines(octets) if encoding == "base64" else quoted_printable(octets)
    return (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        + plain_field("Content-Transfer-Encoding", encoding)
        + b"\r\n"
        + body
    )
