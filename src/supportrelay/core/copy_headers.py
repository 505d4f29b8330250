"""The header of an owner's copy: edits on the octets of the original's, field by field (DESIGN 3)."""

import re
import unicodedata
from functools import lru_cache

from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.headers import HeaderBlock, HeaderField, field_value, fold_field, raw_value
from supportrelay.core.long_lines import refold
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, print_mailbox
from supportrelay.core.settings import SupportAddress
from supportrelay.core.splice import Edit
from supportrelay.core.ticket import ticket_label
from supportrelay.core.value import value_class

__all__ = ["CopyContext", "copy_header", "plain_field", "sender_name"]

_PREFIX = b"X-Original-"
_OURS = "x-supportrelay-"
_TRAIL = "x-supportrelay-trail"
_SHORT_FIELD = 76
_LONG_FIELD = 980  # with the prefix a line of it may pass 998

_REMOVED = frozenset(
    {
        "return-path",
        "delivered-to",
        "bcc",
        "resent-bcc",
        "sender",
        "disposition-notification-to",
        "return-receipt-to",
    }
)
_RENAMED = frozenset(
    {
        "dkim-signature",
        "domainkey-signature",
        "authentication-results",
        "list-unsubscribe",
        "list-unsubscribe-post",
    }
)
# Lists refuse mail that carries these (RULES 2: Google Groups).
_RENAMED_ON_LISTS = frozenset({"auto-submitted", "precedence", "mailing-list", "x-auto-response-suppress"})
_SUPPRESS = "x-auto-response-suppress"
_SUPPRESSED = ("OOF", "AutoReply")


@value_class
class CopyContext:
    """What a copy needs beside the plan; all of it made by us, none of it taken from the mail.

    Attributes:
        queue_id: Of the message; X-Supportrelay-Id.
        ticket_id: Of the ticket, None without one.
        hostname: Ours.
        received: A whole Received field with its line ends (`rewrite.received_line`).
        trail: Value of X-Supportrelay-Trail (`token.trail`).
        new_message_id: With brackets; "" keeps the original's.
        earlier_ids: Ids that earlier copies of ours went out with; References name them after the original's.
        unproven_word: Stands for the author's name when nobody could tell who wrote: 未確認.
        is_smtputf8: The mail came as SMTPUTF8, and the copy's header may hold UTF-8.
        authserv_id: Ours; what calls itself by it and is not from us goes out under another name (RFC 8601 §5).
    """

    queue_id: str
    ticket_id: int | None = None
    hostname: str = ""
    received: bytes = b""
    trail: str = ""
    new_message_id: str = ""
    earlier_ids: tuple[str, ...] = ()
    unproven_word: str = "unverified"
    is_smtputf8: bool = False
    authserv_id: str = ""


def plain_field(name: str, value: str) -> bytes:
    """One field of ours; folded only when it is long."""
    if len(name) + len(value) <= _SHORT_FIELD and value.isascii() and value.isprintable():
        return f"{name}: {value}\r\n".encode("ascii")
    return fold_field(name, value)


_SUPPRESS_FIELD = plain_field("X-Auto-Response-Suppress", ", ".join(_SUPPRESSED))


def copy_header(
    header: HeaderBlock, *, plan: CopyPlan, address: SupportAddress, kind: DeliveryKind, context: CopyContext
) -> tuple[list[Edit], list[str]]:
    """Edits that turn the header of a received mail into that of a copy, and notes."""
    return _Writer(header, plan, address, kind, context).write()


def sender_name(address: SupportAddress, plan: CopyPlan, unproven_word: str) -> str:
    """The name in From: the address's template filled in, without ``@`` and control characters."""
    template = address.sender_name
    author, company = plan.author_name, plan.company_name
    if plan.is_unproven:
        author, company = unproven_word, ""
        if "{author}" not in template:
            template = "{author} via " + template
    return _filled_in(template, author[: 4 * _MAX_NAME], company[: 4 * _MAX_NAME])


@lru_cache(maxsize=256)  # one mail has several copies, one customer several mails
def _filled_in(template: str, author: str, company: str) -> str:
    values = {"author": _clean_name(author), "company": _clean_name(company)}
    name = _PLACEHOLDER.sub(lambda m: values[m[1]], template)
    return _clean_name(_EMPTY_BRACKETS.sub(" ", name), _MAX_WHOLE_NAME)


_PLACEHOLDER = re.compile(r"\{(author|company)\}")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]|（\s*）|【\s*】")
_AT_SIGNS = str.maketrans({"@": " at ", "＠": " at ", "﹫": " at "})
_MAX_NAME = 64
_MAX_WHOLE_NAME = 160
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def _clean_name(text: str, longest: int = _MAX_NAME) -> str:
    """One line without controls, bidi marks and anything that could be taken for an address (RULES 7.1)."""
    text = text[: 4 * longest]
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() else " " if c in "\t\r\n\u3000" else "" if unicodedata.category(c) in _UNWANTED else c
            for c in text
        )
    return " ".join(text.translate(_AT_SIGNS).split())[:longest].strip()


def _is_of_lists(name: str) -> bool:
    return name in _RENAMED_ON_LISTS or name.startswith(("list-", "x-google-"))


@lru_cache(maxsize=256)  # one mail has several copies
def _from_field(name: str, sender_address: str) -> bytes:
    local, _, domain = sender_address.rpartition("@")
    return plain_field("From", print_mailbox(Mailbox(local, domain, name)))


class _Writer:
    """Goes once through the fields; what is not named stays as it is."""

    __slots__ = ("_address", "_context", "_edits", "_header", "_is_list", "_notes", "_plan", "_seen")

    def __init__(
        self, header: HeaderBlock, plan: CopyPlan, address: SupportAddress, kind: DeliveryKind, context: CopyContext
    ) -> None:
        self._header = header
        self._plan = plan
        self._address = address
        self._context = context
        self._is_list = kind == DeliveryKind.LIST
        self._edits: list[Edit] = []
        self._notes: list[str] = []
        self._seen: dict[str, HeaderField] = {}  # the last one of each name that matters

    def write(self) -> tuple[list[Edit], list[str]]:
        for field in self._header.fields:
            self._take(field)
        if "from" not in self._seen:
            self._notes.append("from.missing")
        if "date" not in self._seen:
            self._notes.append("date.missing")
        self._write_message_id()
        if self._plan.visible_recipients:
            self._write_visible_recipients()
        top = Edit(0, 0, self._top())
        return [top, *self._edits], self._notes

    def _take(self, field: HeaderField) -> None:
        name = field.name
        if name == _TRAIL:
            self._rename(field)  # another relay's loop mark: when the mail goes round by us, that relay must see it
        elif name in _REMOVED or name.startswith(_OURS):
            self._remove(field)
        elif name in {"from", "reply-to"}:
            self._take_author(field)
        elif name in _RENAMED or name.startswith("arc-") or (self._is_list and _is_of_lists(name)):
            self._rename(field)
        elif not name:
            self._take_garbage(field)
        elif name in {"date", "cc", "to", "message-id", "references", "in-reply-to", _SUPPRESS}:
            self._seen[name] = field

    # -- edits

    def _remove(self, field: HeaderField) -> None:
        self._edits.append(Edit(field.start, field.start + len(field.raw), b""))

    def _rename(self, field: HeaderField, prefix: bytes = _PREFIX) -> None:
        name_end = field.start + len(field.name)
        if len(field.raw) > _LONG_FIELD:
            self._edits.append(Edit(field.start, field.start + len(field.raw), refold(prefix + field.raw)))
            return
        self._insert(field.start, prefix)
        colon = field.raw.find(b":")
        if field.name and colon > len(field.name):  # "From : x" is read by some and ends the header for others
            self._edits.append(Edit(name_end, field.start + colon, b""))

    def _insert(self, at: int, octets: bytes) -> None:
        self._edits.append(Edit(at, at, octets))

    # -- fields

    def _take_author(self, field: HeaderField) -> None:
        """From and Reply-To: ours in place of the first, the originals kept under another name."""
        if field.name in self._seen:
            if field.name == "from":
                self._notes.append("from.several")
        else:
            self._insert(field.start, self._from() if field.name == "from" else self._reply_to())
        self._seen[field.name] = field
        self._rename(field)

    def _take_garbage(self, field: HeaderField) -> None:
        """A line that is no field would end the header at the next hop."""
        if field.raw.startswith((b"From ", b">From ")) or not field.raw.strip():
            self._remove(field)  # of an mbox, or white space before the header
            return
        self._rename(field, b"X-Original-Line: ")
        self._notes.append("header.garbage")

    def _from(self) -> bytes:
        name = sender_name(self._address, self._plan, self._context.unproven_word)
        line = _from_field(name, self._address.sender_address)
        if self._header.first("reply-to") is None:
            line += self._reply_to()
        return line

    def _reply_to(self) -> bytes:
        printed = self._plan.reply_to
        if not printed:
            return b""
        if all(map(str.isascii, printed)):
            return plain_field("Reply-To", ", ".join(printed))
        if self._context.is_smtputf8:
            return "Reply-To: {}\r\n".format(",\r\n ".join(printed)).encode("utf-8", "replace")
        return plain_field("Reply-To", ", ".join(print_mailbox(m) for one in printed for m in parse_mailboxes(one)))

    def _top(self) -> bytes:
        context, plan = self._context, self._plan
        lines = [context.received, plain_field("X-Supportrelay-Id", context.queue_id)]
        if plan.authentication:
            lines.append(plain_field("Authentication-Results", plan.authentication))
        if context.ticket_id is not None:
            lines.append(plain_field("X-Supportrelay-Ticket", ticket_label(context.ticket_id)))
        if reason := plan.reason_name or plan.reason_code:
            lines.append(plain_field("X-Supportrelay-Reason", reason))
        if plan.tags:
            lines.append(plain_field("X-Supportrelay-Tags", ", ".join(plan.tags)))
        if context.trail:
            lines.append(plain_field("X-Supportrelay-Trail", context.trail))
        if not self._is_list and self._address.suppress_auto_replies:
            lines.append(self._suppress())
        if "from" not in self._seen:
            lines.append(self._from())
        if context.new_message_id and "message-id" not in self._seen:
            lines.append(plain_field("Message-ID", context.new_message_id))
        return b"".join(lines)

    def _suppress(self) -> bytes:
        """One X-Auto-Response-Suppress that says what the original's said and that holidays stay quiet."""
        field = self._seen.get(_SUPPRESS)
        if field is None:
            return _SUPPRESS_FIELD
        words = re.findall(r"[A-Za-z]+", field_value(field))
        known = {word.lower() for word in words}
        if "all" in known or known >= {word.lower() for word in _SUPPRESSED}:
            return b""
        self._rename(field)
        words += [word for word in _SUPPRESSED if word.lower() not in known]
        return plain_field("X-Auto-Response-Suppress", ", ".join(words[:20]))

    def _write_message_id(self) -> None:
        field, new = self._seen.get("message-id"), self._context.new_message_id
        if field is None:
            self._notes.append("message_id.missing")
        if not new:
            return
        old = re.search(r"<[^<>\s]{1,990}>", raw_value(field)) if field else None
        former = [*([old[0]] if old else ()), *self._context.earlier_ids]
        references = self._seen.get("references")
        if former and references:
            self._append(references, "\r\n ".join(former))
        elif former:
            # RFC 5322 §3.6.4: an answer without References names its parent first.
            parent = self._seen.get("in-reply-to")
            named = re.findall(r"<[^<>\s]{1,990}>", raw_value(parent))[:1] if parent else []
            self._insert(field.start if field else 0, fold_field("References", " ".join([*named, *former])))
        if field is not None:
            self._insert(field.start, plain_field("Message-ID", new))
            self._rename(field)

    def _append(self, field: HeaderField, text: str, separator: bytes = b"") -> None:
        """Add to the end of a field, on a line of its own."""
        value_end = field.start + len(field.raw.rstrip())
        self._edits.append(
            Edit(value_end, field.start + len(field.raw), separator + b"\r\n " + text.encode() + b"\r\n")
        )

    def _write_visible_recipients(self) -> None:
        folded = fold_field("Cc", ", ".join(self._plan.visible_recipients))
        field = self._seen.get("cc")
        if field is None:
            place = self._seen.get("to")
            self._insert(place.start + len(place.raw) if place else self._header.end - 2, folded)
            return
        value = raw_value(field)
        if not value.strip(" ,"):
            self._edits.append(Edit(field.start, field.start + len(field.raw), folded))
            return
        mine = {mailbox.key for mailbox in parse_mailboxes(raw_value(HeaderField("cc", folded, 0)))}
        added = folded.removesuffix(b"\r\n").removeprefix(b"Cc:").lstrip()
        both = {mailbox.key for mailbox in parse_mailboxes(value + ", " + added.decode("ascii"))}
        if mine <= both:
            self._append(field, added.decode("ascii"), b"" if value.endswith(",") else b",")
        else:  # the original's list is broken; nothing before it is
            at = field.start + field.raw.find(b":") + 1
            self._insert(at, b" " + added + b",\r\n")
