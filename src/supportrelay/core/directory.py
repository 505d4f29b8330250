"""What a CRM tells about a customer: companies, deals, owners."""

from dataclasses import field
from datetime import datetime
from enum import StrEnum

from supportrelay.core.value import value_class

__all__ = ["Company", "Deal", "DealState", "DirectoryAnswer", "MatchedBy"]


class DealState(StrEnum):
    """Where a deal stands."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class MatchedBy(StrEnum):
    """How a customer's company was found."""

    CONTACT = "contact"
    DOMAIN = "domain"
    PARENT_DOMAIN = "parent_domain"
    DEAL = "deal"
    NOTHING = "nothing"


@value_class
class Deal:
    """A deal and who owns it.

    Attributes:
        id: The directory's id, as text.
        owners: Addresses as the directory writes them, at most four, first owner first; ones that left are not listed.
        moved_at: When its stage last moved (aware, UTC).
        created_at: When it was made (aware, UTC).
        owners_gone: How many owners are set on it that nobody can reach (archived, no address).
        as_of: From when this is, when the CRM could not be asked now; None: current.
    """

    id: str
    name: str
    company_id: str
    state: DealState
    owners: tuple[str, ...]
    moved_at: datetime
    created_at: datetime
    owners_gone: int = 0
    as_of: datetime | None = None


@value_class
class Company:
    """A company with all its deals, whatever their state."""

    id: str
    name: str
    deals: tuple[Deal, ...] = ()


@value_class
class DirectoryAnswer:
    """The answer to 'whose customer is this?'. No companies: asked, and there is none.

    Attributes:
        companies: Every company that this customer may belong to, lowest id first.
        matched_by: How.
        source: Kind of the directory: ``builtin``, ``hubspot`` ...
        known_at: From when the answer is (aware, UTC).
        is_known_contact: The exact address is a contact.
        contact_language: The contact's language, or "".
        contact_id: The contact's id in the directory, "" without one.
        is_last_known: The CRM could not be asked now; this is what it said at ``known_at``.
    """

    companies: tuple[Company, ...]
    matched_by: MatchedBy
    source: str
    known_at: datetime
    is_known_contact: bool = False
    contact_language: str = field(default="")
    contact_id: str = ""
    is_last_known: bool = False
