"""What a mail does to its ticket's stage: the NEW / CLOSED columns of DESIGN 2, late closings, people's moves.

The columns themselves are configuration; `ticket.TicketStages` ships them ('Cc closes' is its ``outbound_cc``).
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from supportrelay.core.automatic import AutomaticKind
from supportrelay.core.decision import Direction, Place
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.reason import Reason
from supportrelay.core.settings import Desk
from supportrelay.core.sight import Sight
from supportrelay.core.ticket import Stage, StageRule, TicketView
from supportrelay.core.value import value_class

__all__ = ["StageChange", "moved_by_person", "stage_by_mail", "was_moved_by_person"]


@value_class
class StageChange:
    """The stage afterwards, and whether this mail writes it.

    Attributes:
        stage: None when the mail makes no ticket.
        note: Code of why a wanted move was not applied.
    """

    stage: Stage | None
    moves: bool
    note: str = ""
    reasons: tuple[Reason, ...] = ()


def stage_by_mail(
    sight: Sight,
    facts: Facts,
    *,
    desk: Desk,
    ticket: TicketView | None,
    accepted_at: datetime,
    customers_companies: Collection[str],
    customers_domains: Collection[str],
) -> StageChange:
    """Return the stage that this mail asks for and whether it gets it.

    Args:
        ticket: The ticket it joins, None when it would make one.
        customers_companies: Company ids of the externals on this mail. customers_domains: their registrable domains,
            without free-mail.
    """
    wanted, column = _wanted(sight, desk, ticket)
    if wanted == StageRule.KEEP:
        if ticket is not None:
            return StageChange(ticket.stage, moves=False, reasons=(Reason.of("stage.kept", stage=str(ticket.stage)),))
        if sight.direction == Direction.OUTBOUND:
            return StageChange(None, moves=False, reasons=(Reason.of("stage.no_ticket_made"),))
        return StageChange(Stage.NEW, moves=True, reasons=(Reason.of("stage.opened", stage="NEW"),))
    stage = Stage(wanted.value)
    if stage == Stage.CLOSED:
        refusal = _why_not_closed(sight, facts, ticket, customers_companies, customers_domains)
        if refusal:
            reasons = (Reason.of(f"stage.{refusal}"),)
            if ticket is None:
                return StageChange(Stage.NEW, moves=True, note=refusal, reasons=reasons)
            return StageChange(ticket.stage, moves=False, note=refusal, reasons=reasons)
    if ticket is None:
        return StageChange(stage, moves=True, reasons=(Reason.of(f"stage.opened_{column}", stage=str(stage)),))
    if was_moved_by_person(ticket, accepted_at):
        return moved_by_person(ticket, stage)
    if ticket.stage == stage:
        return StageChange(stage, moves=False, reasons=(Reason.of("stage.already", stage=str(stage)),))
    reason = Reason.of(f"stage.moved_{column}", before=str(ticket.stage), stage=str(stage))
    return StageChange(stage, moves=True, reasons=(reason,))


def was_moved_by_person(ticket: TicketView, accepted_at: datetime) -> bool:
    """A person's move after the mail was accepted stands against what the mail asks for."""
    return ticket.moved_by_person_at is not None and ticket.moved_by_person_at > accepted_at


def moved_by_person(ticket: TicketView, wanted: Stage) -> StageChange:
    """The stage stays where the person put it; that something else was wanted is recorded."""
    return StageChange(
        ticket.stage,
        moves=False,
        note="moved_by_person",
        reasons=(Reason.of("stage.moved_by_person", stage=str(ticket.stage), wanted=str(wanted)),),
    )


def _wanted(sight: Sight, desk: Desk, ticket: TicketView | None) -> tuple[StageRule, str]:
    """The cell of the table, and the column's name for the reason."""
    columns = desk.ticket_stages
    if sight.direction == Direction.OUTBOUND:
        if sight.place == Place.TO:
            return columns.outbound_to, "outbound_to"
        if sight.place == Place.CC:
            if ticket is not None and ticket.last_had_support_in_cc:
                return columns.outbound_cc_inherited, "outbound_cc"
            return columns.outbound_cc, "outbound_cc"
        return columns.outbound_other, "outbound_other"
    if sight.direction == Direction.INBOUND:
        if sight.automatic.kind == AutomaticKind.CALENDAR_ANSWER and ticket is not None:
            return StageRule.KEEP, "calendar"
        by_place = {Place.TO: columns.inbound_to, Place.CC: columns.inbound_cc, Place.OTHER: columns.inbound_other}
        return by_place[sight.place], "inbound"
    # Notes, automatic answers and unproven staff move and close nothing; without a ticket they make one in NEW.
    return StageRule.KEEP, "keep"


def _why_not_closed(
    sight: Sight,
    facts: Facts,
    ticket: TicketView | None,
    companies: Collection[str],
    domains: Collection[str],
) -> str:
    """Why a mail that asks for CLOSED does not close, "" when it does (DESIGN 2, 'Closing needs')."""
    if sight.automatic.kind not in {AutomaticKind.HUMAN, AutomaticKind.LIST}:
        return "not_closed_automatic"
    if not facts.own_text.strip() and not facts.attachments:
        return "not_closed_without_words"
    if ticket is None:
        return ""
    if not _concerns_customer(ticket, sight.externals, companies, domains):
        return "not_closed_other_customer"
    if _is_late(facts, ticket):
        return "not_closed_late"
    return ""


def _concerns_customer(
    ticket: TicketView, externals: Sequence[Mailbox], companies: Collection[str], domains: Collection[str]
) -> bool:
    if not ticket.customer:
        return bool(externals)
    return (
        any(mailbox.key == ticket.customer for mailbox in externals)
        or bool(set(ticket.company_id.split(",")) & set(companies) - {""})
        or bool(ticket.customer_domain and ticket.customer_domain in domains)
    )


def _is_late(facts: Facts, ticket: TicketView) -> bool:
    """A customer's mail came after this one was written, and it does not answer that mail."""
    if ticket.last_customer_mail_at is None or facts.date is None:
        return False
    if ticket.last_customer_mail_at <= facts.date:
        return False
    known = {*facts.references, *facts.in_reply_to}
    return not (ticket.last_customer_message_ids and ticket.last_customer_message_ids[0] in known)
