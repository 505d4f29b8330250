"""Message-IDs of our own: which copy gets one, and how it is made."""

from supportrelay.core.delivery import DeliveryForm
from supportrelay.core.facts import Facts
from supportrelay.core.settings import SupportAddress
from supportrelay.core.token import new_message_id
from supportrelay.flow.office import Office

__all__ = ["id_of_copies", "id_of_failover", "id_of_form", "id_of_note"]


def id_of_copies(office: Office, address: SupportAddress, facts: Facts, queue_id: str) -> str:
    """The id of a mail's copies; "" when they keep the mail's own.

    A mail without any gets one too: the next hop would add one that we never learn, and answers would lose the ticket.
    """
    has_none = "message-id" not in facts.fields
    return _made(office, address, queue_id) if address.message_id == "new" or has_none else ""


def id_of_failover(office: Office, address: SupportAddress, queue_id: str) -> str:
    """The id of Allmember's copies that come after others; "" as above."""
    return _made(office, address, f"{queue_id}f") if address.message_id == "new" else ""


def id_of_form(office: Office, address: SupportAddress, queue_id: str, form: DeliveryForm) -> str:
    """The id of copies in another form: whoever gets one may hold the first all the same."""
    return _made(office, address, f"{queue_id}{form[0]}")


def id_of_note(office: Office, address: SupportAddress, queue_id: str) -> str:
    """The id of the note to a mail's writer; his answer to it finds the ticket."""
    return _made(office, address, f"{queue_id}g")


def _made(office: Office, address: SupportAddress, seed: str) -> str:
    return new_message_id(office.keys[0], seed, address.sender_address.rpartition("@")[2])
