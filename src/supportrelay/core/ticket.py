"""Ticket, its stages, and who may move it where."""

from datetime import datetime
from enum import StrEnum

from supportrelay.core.value import value_class

__all__ = ["Hit", "HitBy", "Stage", "StageRule", "TicketStages", "TicketView", "parse_stage", "ticket_label"]


class Stage(StrEnum):
    """The columns of the board. People see the label of their language (catalogues: ``stage.NEW`` ...)."""

    NEW = "NEW"
    WAITING = "WAITING"  # 対応中: answered, waiting for the customer; set by people, never by mail
    CLOSED = "CLOSED"
    OTHER = "OTHER"  # a stage of the outside desk that is not mapped


_LABELS = {"対応中": Stage.WAITING, "新規": Stage.NEW, "完了": Stage.CLOSED}


def parse_stage(word: str) -> Stage:
    """Return the stage a person named, by its name (any case) or its label.

    Raises:
        ValueError: No such stage; the text lists the ones there are. OTHER cannot be asked for.
    """
    found = _LABELS.get(word.strip())
    if found is None and word.strip().upper() in {"NEW", "WAITING", "CLOSED"}:
        found = Stage(word.strip().upper())
    if found is None:
        raise ValueError(f"no stage {word!r}: NEW, WAITING (対応中) or CLOSED")
    return found


def ticket_label(ticket_id: int) -> str:
    """The id people see and type: ``SR-12``."""
    return f"SR-{ticket_id}"


class StageRule(StrEnum):
    """What a mail does to its ticket's stage."""

    NEW = "NEW"
    WAITING = "WAITING"
    CLOSED = "CLOSED"
    KEEP = "keep"


@value_class
class TicketStages:
    """The NEW/CLOSED columns of the rules of the desk, as configuration (`ticket_stages`)."""

    inbound_to: StageRule = StageRule.NEW
    inbound_cc: StageRule = StageRule.NEW
    inbound_other: StageRule = StageRule.NEW
    outbound_to: StageRule = StageRule.NEW
    outbound_cc: StageRule = StageRule.CLOSED  # Cc closes
    outbound_cc_inherited: StageRule = StageRule.CLOSED
    outbound_other: StageRule = StageRule.KEEP


@value_class
class TicketView:
    """A ticket as a decision needs it.

    Attributes:
        id: The relay's own number (of the ticket that a merge leads to).
        conversation_id: The conversation through which it was found.
        version: Grows with every change; a decision made on an older one is made again.
        customer: The customer's address in comparing form, or "" when none is known.
        customer_domain: Registrable domain of the customer, "" when free-mail or unknown.
        participants: Addresses in comparing form.
        subject: Normalised subject of the conversation.
        last_customer_mail_at: The Date of the newest inbound mail (or when it was accepted), None without one.
        last_customer_message_ids: Message-IDs of the inbound mails, newest first, at most 50.
        moved_by_person_at: When a person last moved it; None when nobody did.
        last_had_support_in_cc: The newest inbound mail had support in Cc (then 'Reply all' inherits it).
        stage_mail_at: When the mail was accepted that last decided the stage; None when none did.
        is_trashed: Deleted at the outside desk; no mail joins it any more.
        last_mail_at: When the newest mail joined it; None when nobody says.
    """

    id: int
    conversation_id: int
    version: int
    stage: Stage
    address: str
    subject: str
    customer: str
    customer_domain: str
    company_id: str
    company_name: str
    deal_id: str
    deal_name: str
    participants: frozenset[str]
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    last_customer_mail_at: datetime | None
    last_customer_message_ids: tuple[str, ...]
    moved_by_person_at: datetime | None
    last_had_support_in_cc: bool = False
    stage_mail_at: datetime | None = None
    is_trashed: bool = False
    last_mail_at: datetime | None = None


class HitBy(StrEnum):
    """How a ticket was found, best first."""

    TOKEN = "token"  # noqa: S105  the signed token in an address, not a password
    IN_REPLY_TO = "in_reply_to"
    REFERENCES = "references"
    THREAD_INDEX = "thread_index"
    SAME_ID = "same_id"  # a sender that uses one Message-ID for many mails
    SUBJECT = "subject"
    AGAIN = "again"  # sent twice, as two mails; joins nothing by itself
    CUSTOMER = "customer"


@value_class
class Hit:
    """One way in which a mail points at a ticket.

    Attributes:
        is_anchor: The id was only ever seen named by others (a mail we never saw).
        names_it: That id is the mail's own: somebody answered it, or wrote on below it, before it got here.
        queue_id: For AGAIN: the mail on that ticket which may be the same one.
    """

    by: HitBy
    ticket: TicketView
    is_anchor: bool = False
    names_it: bool = False
    queue_id: str = ""
