"""A mail as the outside desk shall have it: what opens a ticket, and what is logged on it."""

from collections.abc import Iterable
from datetime import datetime

from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskWork
from supportrelay.core.decision import Direction
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.outside import DeskMail, DeskOpening
from supportrelay.core.ticket import Stage, ticket_label

__all__ = ["desk_mail", "desk_opening", "opening_stage"]

_OPENING_CHARACTERS = 2000
_OURS = frozenset({Direction.OUTBOUND, Direction.NOTE})


def opening_stage(claimed: ClaimedDeskTicket) -> Stage:
    """Where the ticket is made: where its first work wants it, else where it is here."""
    first = claimed.work[0] if claimed.work else None
    stage = first.stage if first is not None and first.moves and first.stage is not None else claimed.stage
    return Stage.NEW if stage == Stage.OTHER else stage


def desk_opening(claimed: ClaimedDeskTicket, facts: Facts | None, *, has_directory_ids: bool) -> DeskOpening:
    """The ticket to make.

    Args:
        facts: Of the mail that opens it, None when its content is gone.
        has_directory_ids: Companies and deals of the directory are the desk's own.
    """
    text = (facts.own_text.strip() or facts.body_text.strip()) if facts else ""
    company_id, deal_id = (claimed.company_id, claimed.deal_id) if has_directory_ids else ("", "")
    return DeskOpening(
        key=claimed.key,
        stage=opening_stage(claimed),
        subject=claimed.subject,
        text=text[:_OPENING_CHARACTERS],
        customer=claimed.customer,
        customer_name=_name_of(claimed.customer, facts) if facts and claimed.customer else "",
        # Several companies share a domain: the first one is the one whose owners come first.
        company_id=company_id.partition(",")[0],
        deal_ids=tuple(one for one in deal_id.split(",") if one),
        owners=claimed.owners,
        priority=claimed.priority,
        label=ticket_label(claimed.ticket_id),
    )


def desk_mail(work: DeskWork, facts: Facts, attachments: Iterable[tuple[str, int]], customer: str) -> DeskMail:
    """The mail to log.

    Args:
        customer: The ticket's, comparing form, "" without.
    """
    at: datetime = work.at
    return DeskMail(
        message_id=facts.message_id,
        at=at,
        is_inbound=work.direction not in _OURS,
        subject=facts.subject,
        from_=_people(facts.from_),
        to=_people(facts.to),
        cc=_people(facts.cc),
        text=facts.body_text,
        attachments=tuple(attachments),
        customer=customer,
    )


def _people(mailboxes: Iterable[Mailbox]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{mailbox.local}@{mailbox.domain}", mailbox.name) for mailbox in mailboxes)


def _name_of(customer: str, facts: Facts) -> str:
    """How he calls himself, or how others do; "" when nobody says."""
    people = (*facts.from_, *facts.reply_to, *facts.to, *facts.cc)
    return next((mailbox.name for mailbox in people if mailbox.key == customer and mailbox.name), "")
