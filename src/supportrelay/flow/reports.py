"""reports: what comes to a bounce address, and reports that lost their token (DESIGN 2, rows 2 and 3).

The token names the delivery, the content decides. Nobody ever gets a report about a report.
"""

from supportrelay.core.decision import CopyPlan, Decision, Direction, Recipient, TicketAction, TicketPlan
from supportrelay.core.delivery import Cause, DeliveryKind, Outcome, OutcomeKind, Phase
from supportrelay.core.ports import Change, DeliveryView, WhereFrom
from supportrelay.core.reason import Reason
from supportrelay.core.report import Report, ReportedRecipient, read_report
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class
from supportrelay.flow.assess import Assessment
from supportrelay.flow.failover import sweep
from supportrelay.flow.office import Office, Rulebook

__all__ = ["Filed", "concerns_report", "explain_report", "file_report"]


@value_class
class Filed:
    """What became of a report. ``changes`` go into the record beside the decision."""

    decision: Decision
    match: Match
    changes: tuple[Change, ...] = ()


def concerns_report(assessment: Assessment) -> bool:
    """A report, or automatic mail at a bounce address; a person's mail there is mail to support in that ticket."""
    sight = assessment.sight
    if sight.direction == Direction.REPORT:
        return True
    return sight.delivery_id is not None and sight.is_automatic


def explain_report(assessment: Assessment) -> Filed:
    """What ``explain`` says of a report; nothing is acted on."""
    return Filed(_decision(assessment, Direction.REPORT, Reason.of("report.explained")), Match())


async def file_report(office: Office, rulebook: Rulebook, assessment: Assessment, octets: bytes) -> Filed:
    """Act on a report.

    Raises:
        TransientFailure: The store cannot be read or written; the report is filed again later.
    """
    sight = assessment.sight
    if sight.direction != Direction.REPORT:
        view = await office.store.delivery(sight.delivery_id or 0)
        ticket_id = view.ticket_id if view else None
        return Filed(
            _decision(assessment, Direction.AUTOMATIC, Reason.of("report.answer_to_copy"), ticket_id=ticket_id),
            Match(),
        )
    report = read_report(octets, assessment.facts)
    named = await office.store.delivery(sight.delivery_id) if sight.delivery_id is not None else None
    if named is not None:
        return await _act(office, rulebook, assessment, report, named)
    if report is not None:
        for recipient in report.recipients:
            view = await office.store.delivery_of_copy(report.returned_message_id, recipient.address.lower())
            if view is not None:
                return await _act(office, rulebook, assessment, report, view)
        told = await _tell_writer(office, assessment, report)
        if told is not None:
            return told
    admins = tuple(Recipient(a, DeliveryKind.ADMIN, "report") for a in rulebook.desk.admins)
    return Filed(
        _decision(assessment, Direction.REPORT, Reason.of("report.of_nothing_known"), recipients=admins), Match()
    )


async def _act(
    office: Office, rulebook: Rulebook, assessment: Assessment, report: Report | None, view: DeliveryView
) -> Filed:
    """A report on one of our copies: failed acts, everything else is noted."""
    failure = _failure(report)
    if failure is None:
        reason = Reason.of("report.noted", recipient=view.recipient)
        decision = _decision(assessment, Direction.REPORT, reason, ticket_id=view.ticket_id)
        change = Change("delivery.reported", "relay", {"actions": _actions(report)}, delivery_id=view.delivery_id)
        return Filed(decision, Match(), (change,))
    outcome = Outcome(
        OutcomeKind.FAILED,
        Phase.DOT,
        status=failure.status,
        text=f"reported later: {failure.diagnostic}"[:500],
        cause=Cause.RECIPIENT,
    )
    reported = await office.store.fail_delivery(view.delivery_id, outcome, office.now())
    if reported.nobody_got_it:
        await sweep(office, rulebook)
    reason = Reason.of("report.failed", recipient=view.recipient, status=failure.status)
    return Filed(_decision(assessment, Direction.REPORT, reason, ticket_id=view.ticket_id), Match())


def _failure(report: Report | None) -> ReportedRecipient | None:
    if report is None or report.kind != "delivery-status":
        return None
    return next((r for r in report.recipients if r.action == "failed"), None)


def _actions(report: Report | None) -> list[str]:
    return [f"{r.address} {r.action} {r.status}"[:200] for r in report.recipients[:10]] if report else []


async def _tell_writer(office: Office, assessment: Assessment, report: Report) -> Filed | None:
    """A report on staff's own mail to a customer: on its ticket, back to NEW, and the writer is told."""
    writer = report.returned_from
    if writer is None or not assessment.members.is_staff(writer) or not report.returned_message_id:
        return None
    gathered = await office.store.gather(WhereFrom(in_reply_to=(report.returned_message_id,)))
    if not gathered.hits:
        return None
    ticket = gathered.hits[0].ticket
    address = assessment.sight.address
    decision = Decision(
        direction=Direction.REPORT,
        place=assessment.sight.place,
        address_name=address.name,
        proof=assessment.sight.proof,
        customer=ticket.customer,
        recipients=(Recipient(f"{writer.local}@{writer.domain}", DeliveryKind.OWNER, "writer"),),
        ticket=TicketPlan(
            TicketAction.JOIN,
            ticket.id,
            ticket.conversation_id,
            Stage.NEW if _failure(report) else ticket.stage,
            moves=_failure(report) is not None and ticket.stage != Stage.NEW,
        ),
        copy=CopyPlan(address.name, reply_to=(address.address,), reason_code="R", reason_name="report", is_first=False),
        reasons=(Reason.of("report.on_staff_mail", writer=writer.key),),
    )
    return Filed(decision, Match(ticket=ticket))


def _decision(
    assessment: Assessment,
    direction: Direction,
    reason: Reason,
    *,
    recipients: tuple[Recipient, ...] = (),
    ticket_id: int | None = None,
) -> Decision:
    address = assessment.sight.address
    return Decision(
        direction=direction,
        place=assessment.sight.place,
        address_name=address.name,
        proof=assessment.sight.proof,
        recipients=recipients,
        ticket=TicketPlan(ticket_id=ticket_id),
        copy=CopyPlan(address.name, reply_to=(address.address,), banner="none", reason_code="R", reason_name="report")
        if recipients
        else None,
        reasons=(reason,),
    )
