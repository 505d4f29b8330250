"""The private note to a colleague about his mail: a small mail in its thread that no program answers."""

from collections.abc import Mapping
from datetime import datetime

from supportrelay.core.copy_headers import plain_field
from supportrelay.core.date_field import print_date
from supportrelay.core.facts import Facts
from supportrelay.core.guards import UNSENT_REPLY, Warned
from supportrelay.core.headers import fold_field
from supportrelay.core.mailbox import Mailbox, parse_path, print_mailbox
from supportrelay.core.settings import SupportAddress
from supportrelay.core.subject import has_reply_prefix
from supportrelay.core.ticket import ticket_label
from supportrelay.core.transfer import base64_lines, best_encoding, quoted_printable
from supportrelay.core.value import value_class

__all__ = ["WORDS", "NoteContext", "write_note"]

WORDS = (
    "unsent_reply",
    "unsent_reply.send",
    "unsent_reply.note",
    "leak",
    "leak.banner",
    "leak.owners",
    "leak.allmember",
    "leak.next",
    "ticket",
    "only_you",
)
"""What a note may say; `guard.WORD` of the catalogues."""

_MAX_SUBJECT = 200
_MAX_IDS = 20


@value_class
class NoteContext:
    """What belongs to this note.

    Attributes:
        words: `WORDS` in the reader's language, with ``{name}`` placeholders.
        writer: Address of its reader.
        trail: Value of X-Supportrelay-Trail.
        message_id: Of the note, with brackets; only we can make it.
        at: When his mail was accepted (aware): a retry writes the same note.
    """

    words: Mapping[str, str]
    writer: str
    queue_id: str
    ticket_id: int | None
    trail: str
    message_id: str
    at: datetime


def write_note(warned: Warned, facts: Facts, address: SupportAddress, context: NoteContext) -> bytes:
    """Return the whole note in ASCII with CRLF; equal input gives equal octets.

    It is marked so that nobody's program answers it (RFC 3834 §5, RULES 2 'Marks we put on') and so that we know it
    again when it comes back.
    """
    encoding, body = _body(_text(warned, facts, address, context))
    fields = [
        plain_field("X-Supportrelay-Id", context.queue_id),
        plain_field("X-Supportrelay-Reason", warned.guard),
        plain_field("X-Supportrelay-Trail", context.trail),
        plain_field("From", _sender(address)),
        plain_field("To", print_mailbox(parse_path(context.writer))),
        fold_field("Subject", _subject(facts)),
        plain_field("Date", print_date(context.at)),
        plain_field("Message-ID", context.message_id),
        *_thread(facts),
        plain_field("Auto-Submitted", "auto-generated"),
        plain_field("X-Auto-Response-Suppress", "All"),
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n",
        plain_field("Content-Transfer-Encoding", encoding),
    ]
    if context.ticket_id is not None:
        fields.insert(1, plain_field("X-Supportrelay-Ticket", ticket_label(context.ticket_id)))
    return b"".join(fields) + b"\r\n" + body


def _sender(address: SupportAddress) -> str:
    local, _, domain = address.sender_address.rpartition("@")
    return print_mailbox(Mailbox(local, domain, address.name))


def _subject(facts: Facts) -> str:
    subject = facts.subject[:_MAX_SUBJECT]
    return subject if has_reply_prefix(subject) else f"Re: {subject}".rstrip()


def _thread(facts: Facts) -> list[bytes]:
    """In-Reply-To and References: below his mail, for his mail program and for us."""
    if not facts.message_id.isascii() or not facts.message_id:
        return []
    ids = [one for one in dict.fromkeys((*facts.references, facts.message_id)) if one.isascii()]
    kept = ids if len(ids) <= _MAX_IDS else [ids[0], *ids[1 - _MAX_IDS :]]
    return [fold_field("In-Reply-To", facts.message_id), fold_field("References", " ".join(kept))]


def _text(warned: Warned, facts: Facts, address: SupportAddress, context: NoteContext) -> str:
    words = context.words
    people = [f"  {one}" for one in warned.people]
    if warned.guard == UNSENT_REPLY:
        blocks = [[words["unsent_reply"]], [words["unsent_reply.send"], *people], [words["unsent_reply.note"]]]
    else:
        found = [words["leak.banner"]] if warned.banner else []
        found += [words["leak.owners"].replace("{owners}", ", ".join(warned.owners))] if warned.owners else []
        everybody = ", ".join(warned.allmember)
        found += [words["leak.allmember"].replace("{allmember}", everybody)] if warned.allmember else []
        blocks = [[words["leak"], *people], [f"- {one}" for one in found], [words["leak.next"]]]
    end = [words["ticket"].replace("{ticket}", ticket_label(context.ticket_id))] if context.ticket_id else []
    blocks.append([*end, words["only_you"].replace("{support}", address.address)])
    text = "\n\n".join("\n".join(lines) for lines in blocks if lines)
    return text.replace("{subject}", facts.subject[:_MAX_SUBJECT]) + "\n"


def _body(text: str) -> tuple[str, bytes]:
    octets = text.replace("\n", "\r\n").encode("utf-8", "replace")
    encoding = best_encoding(octets)
    return encoding, base64_lines(octets) if encoding == "base64" else quoted_printable(octets)
