"""Tickets that were at the outside desk before us, and what becomes of them here (`crm setup --adopt`)."""

from datetime import datetime

from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = ["AdoptableTicket", "Adopted", "Adoption"]


@value_class
class AdoptableTicket:
    """An open ticket of our pipeline that somebody else made, with what later mail may be recognised by.

    Attributes:
        contacts: Addresses of its contacts in comparing form, the one it was made for first.
        company_id, deal_ids: The desk's ids; "" and empty without.
        message_ids: Of the mails that are logged on it, oldest first, with angle brackets.
        created_at, updated_at: Aware, UTC, the desk's clock.
        key: What stands in the key property, "" for nothing.
    """

    external_id: str
    stage: Stage
    stage_id: str
    subject: str
    contacts: tuple[str, ...]
    company_id: str
    company_name: str
    deal_ids: tuple[str, ...]
    message_ids: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    key: str = ""


@value_class
class Adopted:
    """One that was taken over, or would be.

    Attributes:
        ticket_id: Our number, None in a dry run.
        key: To be written into its key property; "" in a dry run.
    """

    external_id: str
    subject: str
    customer: str
    ticket_id: int | None = None
    key: str = ""


@value_class
class Adoption:
    """What came of an adoption.

    Attributes:
        known: How many were ours already; they are left as they are.
    """

    adopted: tuple[Adopted, ...]
    known: int = 0
