"""Mailbox: an address with its display name; our own RFC 5321 grammar (no library parses it safely on 3.11.7)."""

from dataclasses import dataclass

__all__ = ["Mailbox"]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox.

    Attributes:
        local: Local part as written, unquoted.
        domain: A-label, lower case; may be an address literal with its brackets.
        name: Decoded display name, "" without.
    """

    local: str
    domain: str
    name: str = ""

    @property
    def key(self) -> str:
        """Comparing form: ``local@domain``, all lower case, local part unquoted (RULES 9.8)."""
        return f"{self.local.lower()}@{self.domain}"
