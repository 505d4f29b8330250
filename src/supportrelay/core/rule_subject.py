"""What rules see of a mail: `RuleSubject`, and `View`, which makes what several conditions need only once."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

from supportrelay.core.decision import Direction, Place
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.language import message_language
from supportrelay.core.mailbox import Mailbox, comparing_form
from supportrelay.core.value import value_class

__all__ = ["Folded", "Named", "RuleSubject", "View"]

Named = tuple[str, str]
"""``(id, name)`` of a company or deal."""


@value_class
class RuleSubject:
    """One mail as rules see it. None means: cannot be told now; empty means: asked, and there is none.

    Attributes:
        is_spam: A spam filter marked it. is_held_spam: and the ``spam`` setting holds it, unless a rule decides.
        automatic: `automatic.rule_word` of its class, "" for people.
        proven: Whether the sender is proven.
        known_contact: The customer's exact address is a contact in the CRM.
        companies: Companies of the customer. deals: the deals chosen for it (the ticket's own when it joins one).
        owners: Their owners as the CRM writes them.
        accepted_at: Aware, UTC; for ``hours``.
        address_name: Name of the support address that the mail belongs to; no condition asks for it.
    """

    direction: Direction
    place: Place
    facts: Facts
    envelope: Envelope
    accepted_at: datetime
    is_spam: bool = False
    is_held_spam: bool = False
    automatic: str = ""
    proven: bool | None = False
    known_contact: bool | None = None
    companies: tuple[Named, ...] | None = None
    deals: tuple[Named, ...] | None = None
    owners: tuple[str, ...] | None = None
    address_name: str = ""
    recipient_delimiter: str = "+"


Folded = tuple[str, str]
"""A value as written and casefolded."""


class View:
    """A `RuleSubject` while rules look at it: what several conditions need is made once.

    Attributes:
        untold: Names of the conditions that could not be told, for the rule that is being asked.
    """

    def __init__(self, subject: RuleSubject) -> None:
        self.subject = subject
        self.facts = subject.facts
        self.untold: list[str] = []

    @cached_property
    def from_(self) -> tuple[Folded, ...]:
        """Authors."""
        return _keys(self.facts.from_)

    @cached_property
    def to(self) -> tuple[Folded, ...]:
        """To."""
        return _keys(self.facts.to)

    @cached_property
    def cc(self) -> tuple[Folded, ...]:
        """Cc."""
        return _keys(self.facts.cc)

    @cached_property
    def recipients(self) -> tuple[Folded, ...]:
        """Forward-paths in comparing form; a plus-address counts as itself and as its address."""
        found: dict[str, None] = {}
        for path in self.subject.envelope.forward_paths:
            key = _comparing(path)
            local, _, domain = key.rpartition("@")
            found[key] = None
            found[f"{local.partition(self.subject.recipient_delimiter)[0]}@{domain}"] = None
        return tuple((key, key.casefold()) for key in found)

    @cached_property
    def subject_text(self) -> tuple[Folded, ...]:
        """The subject, as a list of one."""
        return (_fold(self.facts.subject.strip()),)

    @cached_property
    def body(self) -> tuple[Folded, ...]:
        """The text, as a list of one."""
        return (_fold(self.facts.body_text.strip()),)

    @cached_property
    def attachments(self) -> tuple[Folded, ...]:
        """File names."""
        return tuple(map(_fold, self.facts.attachments))

    @cached_property
    def owners(self) -> tuple[Folded, ...] | None:
        """Owners in comparing form; None: cannot be told."""
        owners = self.subject.owners
        return None if owners is None else tuple(_fold(_comparing(owner)) for owner in owners)

    @cached_property
    def companies(self) -> tuple[Folded, ...] | None:
        """Ids and names; None: cannot be told."""
        return _named(self.subject.companies)

    @cached_property
    def deals(self) -> tuple[Folded, ...] | None:
        """Ids and names; None: cannot be told."""
        return _named(self.subject.deals)

    @cached_property
    def language(self) -> str:
        """Code of the language, "" when nothing tells."""
        return message_language(self.facts)

    def header(self, name: str) -> tuple[Folded, ...]:
        """The values of a field (lower-case name)."""
        return tuple(_fold(value.strip()) for value in self.facts.fields.get(name, ()))


def _fold(value: str) -> Folded:
    return value, value.casefold()


def _keys(mailboxes: Sequence[Mailbox]) -> tuple[Folded, ...]:
    return tuple(_fold(mailbox.key) for mailbox in mailboxes)


def _named(values: tuple[Named, ...] | None) -> tuple[Folded, ...] | None:
    return None if values is None else tuple(_fold(text) for pair in values for text in pair if text)


def _comparing(address: str) -> str:
    if '"' not in address and address.isascii():
        return address.lower()
    try:
        return comparing_form(address)
    except AddressError:
        return address.lower()
