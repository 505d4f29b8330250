"""What a banner says: the notice before the text of an owner's copy."""

import unicodedata
from collections.abc import Callable, Iterable

from supportrelay.core.value import value_class

__all__ = ["Banner", "BannerValues", "clean_line", "shorten_people"]

_MAX_PERSON = 100
_MAX_PEOPLE = 10
_MAX_LINE_CHARACTERS = 240  # with the words around it a line stays under 998 octets in any charset


class Banner:
    """A rendered notice.

    Attributes:
        text: Lines for a text/plain part, each ended by LF.
    """

    __slots__ = ("_html", "text")

    def __init__(self, text: str, html: str | Callable[[], str]) -> None:
        """A notice whose HTML form may be a callable that renders it; most mails have no part for it."""
        self.text = text
        self._html = html

    @property
    def html(self) -> str:
        """One self-contained element for a text/html part."""
        if not isinstance(self._html, str):
            self._html = self._html()
        return self._html

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Banner) and (self.text, self.html) == (other.text, other.html)

    __hash__ = None  # type: ignore[assignment]  # compared by what it says, never a key


@value_class
class BannerValues:
    """What a banner may say. It may end up quoted before a customer: nothing a customer may not read (DESIGN 3).

    Attributes:
        support: The support address.
        ticket: The label people see (`ticket_label`), "" without a ticket.
        ticket_url: Link to the ticket, "" for none.
        marker: Short check code (`token.marker_code`); with the ticket it makes the marker line recognisable.
        to: Printed mailboxes of To as they came; ``cc`` likewise. Shown cut to ten.
        author: Printed mailbox or name of the author.
        reply_to: Who gets a plain reply.
        reply_to_cut: Too many addresses: a reply goes to author and support only.
        visible_recipients: Owners stand in Cc: the warning about 'Reply all' is shown.
        manual_url: Link to the manual, "" for none.
        forwarded_by: The colleague who forwarded it, "" otherwise.
        is_unproven: Nobody could tell that the sender is who he says.
        reason_code: Short neutral code, "" shows none.
        reason_text: Only with ``banner_details: full``.
        as_of: From when what chose the readers is (``2026-11-22 10:31 UTC``), "" when it is current.
        has_winmail: A winmail.dat is attached, which hides what else is (RULES_OF_MAIL 10.4).
        is_first: First mail of its ticket: the long form; at most 8 lines otherwise.
    """

    support: str = ""
    ticket: str = ""
    ticket_url: str = ""
    marker: str = ""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    author: str = ""
    reply_to: tuple[str, ...] = ()
    reply_to_cut: bool = False
    visible_recipients: bool = False
    manual_url: str = ""
    forwarded_by: str = ""
    is_unproven: bool = False
    reason_code: str = ""
    reason_text: str = ""
    as_of: str = ""
    has_winmail: bool = False
    is_first: bool = True

    @property
    def mark(self) -> str:
        """``SR-12-k7xq2a``: ticket and check code, as the marker line shows them."""
        return "-".join(part for part in (self.ticket, self.marker) if part)

    def to_template(self) -> dict[str, str | int | bool]:
        """Every name a template may use. All texts are one clean line; lists of people are joined and cut."""
        to, to_more = shorten_people(self.to)
        cc, cc_more = shorten_people(self.cc)
        reply_to, reply_to_more = shorten_people(self.reply_to)
        return {
            "support": self.support,
            "ticket": self.ticket,
            "ticket_url": self.ticket_url,
            "mark": clean_line(self.mark),
            "to": to,
            "to_more": to_more,
            "cc": cc,
            "cc_more": cc_more,
            "author": clean_line(self.author)[:_MAX_PERSON],
            "reply_to": reply_to,
            "reply_to_more": reply_to_more,
            "reply_to_cut": self.reply_to_cut,
            "visible_recipients": self.visible_recipients,
            "manual_url": self.manual_url,
            "forwarded_by": clean_line(self.forwarded_by)[:_MAX_PERSON],
            "is_unproven": self.is_unproven,
            "reason_code": clean_line(self.reason_code)[:_MAX_PERSON],
            "reason_text": clean_line(self.reason_text)[:_MAX_LINE_CHARACTERS],
            "as_of": clean_line(self.as_of)[:_MAX_PERSON],
            "has_winmail": self.has_winmail,
            "is_first": self.is_first,
        }


def clean_line(text: str) -> str:
    """Return the text as one line without control, bidi, zero-width and surrogate characters (RELIABILITY C42)."""
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = (
        " " if c in "\t\r\n\u2028\u2029" else "" if unicodedata.category(c) in {"Cc", "Cf", "Cs"} else c for c in text
    )
    return " ".join("".join(kept).split(" ")).strip()


def shorten_people(people: Iterable[str]) -> tuple[str, int]:
    """Return ``(joined, more)``: the first people in one line, and how many are left out; at least one is shown."""
    everyone = list(people)
    shown: list[str] = []
    room = _MAX_LINE_CHARACTERS
    for person in everyone[:_MAX_PEOPLE]:
        line = clean_line(person[: 4 * _MAX_PERSON])[:_MAX_PERSON]
        room -= len(line) + 2
        if shown and room < 0:
            break
        shown.append(line)
    return ", ".join(shown), len(everyone) - len(shown)
