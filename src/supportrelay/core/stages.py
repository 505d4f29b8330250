"""What a mail does to its ticket's stage: the NEW / CLOSED columns of DESIGN 2, and what stands against a move.

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

__all__ = ["StageChange", "stage_by_mail", "stage_by_rule"]


@value_class
class StageChange:
    """The stage afterwards, and whether this mail writes it.

    Attributes:
        stage: None when the mail makes no ticket.
        note: Code of why a wanted move was not applied.
        wants: Stage that the mail rightly asks for, also when the ticket has it already; None leaves it as it is.
    """

    stage: Stage | None
    moves: bool
    note: str = ""
    reasons: tuple[Reason, ...] = ()
    wants: Stage | None = None


def stage_by_mail(
    sight: Sight,
    facts: Facts,
    *,
    desk: Desk,
    ticket: TicketView | None,
    accepted_at: datetime,
    customers_companies: Collection[str],
    customers_domains: Collection[str],
    is_named: bool = False,
) -> StageChange:
    """Return the stage that this mail asks for and whether it gets it.

    Args:
        ticket: The ticket it joins, None when it would make one.
        customers_companies: Company ids of the externals on this mail. customers_domains: their registrable domains,
            without free-mail.
        is_named: A mail that is on the ticket already names this very one (`Hit.names_it`).
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
        reason = Reason.of(f"stage.opened_{column}", stage=str(stage))
        return StageChange(stage, moves=True, reasons=(reason,), wants=stage)
    opens = sight.direction == Direction.INBOUND and stage == Stage.NEW
    stands = _what_stands(ticket, stage, accepted_at, opens=opens, is_named=is_named)
    if stands is not None:
        return stands
    if ticket.stage == stage:
        reason = Reason.of("stage.already", stage=str(stage))
        return StageChange(stage, moves=False, reasons=(reason,), wants=stage)
    reason = Reason.of(f"stage.moved_{column}", before=str(ticket.stage), stage=str(stage))
    return StageChange(stage, moves=True, reasons=(reason,), wants=stage)


def stage_by_rule(
    stage: Stage, sight: Sight, ticket: TicketView | None, accepted_at: datetime, *, is_named: bool = False
) -> StageChange:
    """A rule's ``ticket: {stage}`` in place of the columns; what stands against a move stands even then."""
    if ticket is None:
        reason = Reason.of("stage.opened_rule", stage=str(stage))
        return StageChange(stage, moves=True, reasons=(reason,), wants=stage)
    opens = sight.direction == Direction.INBOUND and stage == Stage.NEW
    stands = _what_stands(ticket, stage, accepted_at, opens=opens, is_named=is_named)
    if stands is not None:
        return stands
    reason = Reason.of("stage.moved_rule", stage=str(stage))
    return StageChange(stage, moves=ticket.stage != stage, reasons=(reason,), wants=stage)


def _what_stands(
    ticket: TicketView, wanted: Stage, accepted_at: datetime, *, opens: bool, is_named: bool
) -> StageChange | None:
    """Why the stage stays although the mail asks for another: somebody later has decided it. None: it may move.

    Order is the order in which mails were accepted, whatever order they are decided in.

    Args:
        opens: A customer's mail that asks for NEW. Nobody has read it yet, so it opens however late it is decided,
            unless what closed the ticket answers this very mail.
    """
    is_earlier = ticket.stage_mail_at is not None and accepted_at < ticket.stage_mail_at
    by_person = ticket.moved_by_person_at is not None and ticket.moved_by_person_at > accepted_at
    if not (is_earlier or by_person):
        return None
    if ticket.stage == wanted:
        reason = Reason.of("stage.already", stage=str(wanted))
        return StageChange(wanted, moves=False, reasons=(reason,), wants=wanted if opens and not by_person else None)
    if by_person:
        reason = Reason.of("stage.moved_by_person", stage=str(ticket.stage), wanted=str(wanted))
        return StageChange(ticket.stage, moves=False, note="moved_by_person", reasons=(reason,))
    if not opens:
        reason = Reason.of("stage.later_mail", stage=str(ticket.stage), wanted=str(wanted))
        return StageChange(ticket.stage, moves=False, note="later_mail", reasons=(reason,))
    if ticket.stage == Stage.CLOSED and is_named:
        reason = Reason.of("stage.answered_already", stage=str(ticket.stage))
        return StageChange(ticket.stage, moves=False, note="answered_already", reasons=(reason,))
    return None


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
