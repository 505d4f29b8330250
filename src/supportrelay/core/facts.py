"""Facts: the parsed view of a message on which decisions stand. The octets remain the truth."""

from dataclasses import field
from datetime import datetime

from supportrelay.core.mailbox import Mailbox
from supportrelay.core.value import value_class

__all__ = ["Facts"]


@value_class
class Facts:
    """What a message says about itself; decoded, bounded, never trusted for relaying octets.

    Attributes:
        message_id: With angle brackets, as written; "" when absent or unusable (empty, over 998 octets).
        date: Aware, UTC; None when absent or unreadable.
        date_text: The Date field's value, unfolded and trimmed; part of the duplicate key.
        from_: Mailboxes of all From fields. ``from_fields`` counts those fields.
        original_from: First of X-Original-From and X-Original-Sender that holds a mailbox.
        subject: Decoded, one line, controls removed.
        in_reply_to: Message-IDs with brackets, in order. ``references`` likewise.
        thread_index: First 22 octets of Outlook's Thread-Index, b"" without.
        fields: Lower-case name -> decoded values in order (one line each); every header field of the top block.
        content_type: Lower case ``type/subtype`` of the whole message.
        content_parameters: Lower-case name -> value of that Content-Type.
        body_text: Decoded text of the first text body part (HTML reduced to text), at most 256 Ki characters.
        own_text: ``body_text`` without quoted lines and what follows a quote head: did a person write anything?
        attachments: File names of the attachments, decoded; "" for a nameless one.
        has_winmail: One of them is Outlook's winmail.dat (TNEF).
        has_report_part: Somewhere in a multipart stands a delivery status, a disposition or a feedback report.
        is_calendar_answer: A text/calendar part with method=REPLY (or COUNTER).
        has_calendar_comment: That answer carries words of its own.
        forwarded_from: Author inside a forwarded mail (message/rfc822 or a forward head in the text), None without.
        is_forward_subject: The subject begins with a forward prefix.
        content_key: SHA-256 hex over decoded text and parts, for mail without a usable Message-ID or without a date;
            "" for all other mail.
        problems: What could not be read, in words for the trace; the fields concerned are empty.
        size_octets: Of the message as received.
        received_count: Number of Received fields.
    """

    message_id: str = ""
    date: datetime | None = None
    date_text: str = ""
    from_: tuple[Mailbox, ...] = ()
    from_fields: int = 0
    sender: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    original_from: Mailbox | None = None
    subject: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    thread_index: bytes = b""
    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    content_type: str = "text/plain"
    content_parameters: dict[str, str] = field(default_factory=dict)
    body_text: str = ""
    own_text: str = ""
    attachments: tuple[str, ...] = ()
    has_winmail: bool = False
    has_report_part: bool = False
    is_calendar_answer: bool = False
    has_calendar_comment: bool = False
    forwarded_from: Mailbox | None = None
    is_forward_subject: bool = False
    content_key: str = ""
    problems: tuple[str, ...] = ()
    size_octets: int = 0
    received_count: int = 0

    def first(self, name: str) -> str:
        """The first value of a field (lower-case name), "" without."""
        values = self.fields.get(name)
        return values[0] if values else ""
