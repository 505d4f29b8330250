"""A ticket at an outside desk (HubSpot, Zendesk ...), in our terms."""

from datetime import datetime
from enum import StrEnum

from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = ["DeskChanges", "DeskMail", "DeskMove", "DeskOpening", "DeskTicket", "Mover"]


class Mover(StrEnum):
    """Who moved a ticket at the outside desk."""

    PERSON = "person"  # by hand in its screens
    PROGRAM = "program"  # through an interface: we ourselves, or another integration
    AUTOMATION = "automation"  # a workflow of the desk
    UNKNOWN = "unknown"


@value_class
class DeskMove:
    """One entry of a ticket's stage history.

    Attributes:
        stage_id: The desk's own id.
        at: Aware, UTC, by the desk's clock.
        who: The desk's id of the person or program, "" when it does not say.
    """

    stage_id: str
    at: datetime
    by: Mover = Mover.UNKNOWN
    who: str = ""


@value_class
class DeskTicket:
    """A ticket as the desk has it now.

    Attributes:
        stage: What its stage means here; OTHER for a stage that is not mapped.
        updated_at: When anything of it last changed (aware, UTC, the desk's clock).
        moves: Stage history, newest first; empty when the desk does not tell.
        key: Our key on it (`DeskOpening.key`), "" when it has none.
    """

    external_id: str
    stage: Stage
    stage_id: str
    updated_at: datetime
    moves: tuple[DeskMove, ...] = ()
    key: str = ""
    subject: str = ""


@value_class
class DeskOpening:
    """A ticket to make at the desk. The same key again is the same ticket.

    Attributes:
        key: Unique for our ticket, for ever: 64 hexadecimal digits.
        text: Beginning of the first mail's own words.
        customer, customer_name: Address in comparing form and display name; "" without a customer.
        company_id, deal_ids: Ids of the desk's own directory; empty when owners come from elsewhere.
        owners: Addresses, first owner first; the desk takes those it knows.
        label: ``SR-12``.
    """

    key: str
    stage: Stage
    subject: str
    text: str
    customer: str = ""
    customer_name: str = ""
    company_id: str = ""
    deal_ids: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    priority: str = ""
    label: str = ""


@value_class
class DeskMail:
    """A mail to be logged on the ticket; nothing is sent by it.

    Attributes:
        message_id: With angle brackets, "" without one.
        at: When we accepted it (aware, UTC).
        is_inbound: From the customer's side.
        from_, to, cc: ``(address, display name)``.
        text: The mail's text, whole; the desk's module cuts it to what the desk takes.
        attachments: ``(name, octets)`` of each.
        customer: Address in comparing form, for the association; "" without.
    """

    message_id: str
    at: datetime
    is_inbound: bool
    subject: str
    from_: tuple[tuple[str, str], ...]
    to: tuple[tuple[str, str], ...]
    cc: tuple[tuple[str, str], ...]
    text: str
    attachments: tuple[tuple[str, int], ...] = ()
    customer: str = ""


@value_class
class DeskChanges:
    """What changed at the desk since somebody last asked.

    Attributes:
        tickets: Changed tickets, oldest change first; ``moves`` may be empty here.
        until: Ask from here the next time.
        is_whole: False: there is more, ask again at once.
    """

    tickets: tuple[DeskTicket, ...]
    until: datetime
    is_whole: bool = True
