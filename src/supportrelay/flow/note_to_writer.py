"""note_to_writer: the private note of a guard, written from the plan kept with the message."""

from datetime import datetime

from supportrelay.core.decision import CopyPlan
from supportrelay.core.facts import Facts
from supportrelay.core.guard_note import WORDS, NoteContext, write_note
from supportrelay.core.guards import Warned
from supportrelay.core.rewrite import Copy
from supportrelay.core.token import trail
from supportrelay.flow.office import Office, Rulebook

__all__ = ["note_to_writer", "senders_of"]


def senders_of(rulebook: Rulebook) -> tuple[str, ...]:
    """The addresses in From of our copies; a header block that names one is of a copy of ours."""
    return tuple(address.sender_address for address in rulebook.desk.addresses)


def note_to_writer(
    office: Office,
    rulebook: Rulebook,
    plan: CopyPlan,
    facts: Facts,
    *,
    queue_id: str,
    ticket_id: int | None,
    message_id: str,
    accepted_at: datetime,
) -> Copy:
    """Return the note; equal input gives equal octets, so that a retry sends the same.

    Args:
        facts: Of the mail that it is about, whose From is proven staff.
        message_id: Of the note.
    """
    address = rulebook.address(plan.address_name)
    writer = facts.from_[0]
    context = NoteContext(
        words={word: rulebook.word(address.language, f"guard.{word}") for word in WORDS},
        writer=f"{writer.local}@{writer.domain}",
        queue_id=queue_id,
        ticket_id=ticket_id,
        trail=trail(office.keys[0], office.instance, queue_id),
        message_id=message_id,
        at=accepted_at,
    )
    return Copy(write_note(Warned.from_plan(plan.note), facts, address, context))
