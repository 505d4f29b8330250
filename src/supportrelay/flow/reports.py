"""reports: what comes to a bounce address, reports that lost their token, and copies that come back to us.

The token names the delivery, the content decides (DESIGN 2, the first three rows). Nobody ever gets a report about a
report.
"""

from dataclasses import replace

from supportrelay.core.decision import CopyPlan, Decision, Direction, Recipient, TicketAction, TicketPlan
from supportrelay.core.delivery import Cause, DeliveryForm, DeliveryKind, DeliveryState
from supportrelay.core.errors import TransientFailure
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.owners import owners_of_deals
from supportrelay.core.ports import Change, DeliveryView, WhereFrom
from supportrelay.core.reason import Reason
from supportrelay.core.recipients import each_once, passed_on
from supportrelay.core.report import Report, ReportedRecipient, read_report
from supportrelay.core.report_values import FailureCause, Severity
from supportrelay.core.sight import own_trail
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Stage, TicketView
from supportrelay.core.token import read_delivery_token, read_trail
from supportrelay.core.value import value_class
from supportrelay.flow.absences import fail_copy, is_own_notice, is_persons_copy, note_absence
from supportrelay.flow.assess import Assessment
from supportrelay.flow.failover import sweep
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.turns import in_turn

__all__ = ["Filed", "concerns_report", "explain_report", "file_report", "note_return"]


@value_class
class Filed:
    """What became of a report. ``changes`` go into the record beside the decision."""

    decision: Decision
    match: Match
    changes: tuple[Change, ...] = ()


@value_class
class _Reported:
    """A copy of ours and what a report says of it."""

    copy: DeliveryView
    said: ReportedRecipient | None

    @property
    def is_failure(self) -> bool:
        return self.said is not None and self.said.action == "failed"


def concerns_report(assessment: Assessment) -> bool:
    """A report, a colleague's own absence notice, or what no person sent to a bounce address.

    A person's mail there is mail to support in that ticket. What is only passed on (postmaster's, submission's other
    recipients) is passed on, whatever it is.
    """
    sight = assessment.sight
    if not assessment.paths.desk:
        return False
    if sight.direction == Direction.REPORT or is_own_notice(assessment):
        return True
    return sight.delivery_id is not None and (sight.is_automatic or _is_from_nobody(assessment))


def _is_from_nobody(assessment: Assessment) -> bool:
    """A null reverse-path at a bounce address: no person's mail program writes that, however the mail reads."""
    return not assessment.envelope.reverse_path and not assessment.sight.author.is_form


def explain_report(assessment: Assessment) -> Filed:
    """What ``explain`` says of a report; nothing is acted on."""
    if assessment.sight.is_automatic and assessment.sight.direction != Direction.REPORT:
        return Filed(_decision(assessment, Direction.AUTOMATIC, (Reason.of("report.answer_to_copy"),)), Match())
    return Filed(_decision(assessment, Direction.REPORT, (Reason.of("report.explained"),)), Match())


async def file_report(office: Office, rulebook: Rulebook, assessment: Assessment, octets: bytes) -> Filed:
    """Act on a report.

    Raises:
        TransientFailure: The store cannot be read or written; the report is filed again later.
    """
    sight = assessment.sight
    named = await office.store.delivery(sight.delivery_id) if sight.delivery_id is not None else None
    if sight.is_automatic and sight.direction != Direction.REPORT:
        return await _file_answer(office, rulebook, assessment, named)
    is_named = named is not None or not assessment.envelope.reverse_path
    report = await in_turn(octets, lambda: read_report(octets, assessment.facts, is_named=is_named))
    reported = await _about_copies(office, assessment, report, named)
    if reported:
        return await _act(office, rulebook, assessment, report, reported)
    told = await _tell_writer(office, rulebook, assessment, report) if report is not None else None
    if told is not None:
        return told
    admins = _but_the_bouncing(_admins(rulebook), report)
    reason = Reason.of("report.of_nothing_known")
    return Filed(_decision(assessment, Direction.REPORT, (reason,), recipients=admins), Match())


def _admins(rulebook: Rulebook) -> tuple[Recipient, ...]:
    return tuple(Recipient(a, DeliveryKind.ADMIN, "report") for a in rulebook.desk.admins)


def _but_the_bouncing(people: tuple[Recipient, ...], report: Report | None) -> tuple[Recipient, ...]:
    """Without whom the report says mail does not reach: his copy would come back as the next report (RULES 3.9)."""
    failed = {one.address for one in report.recipients if one.action == "failed"} if report else set()
    return tuple(one for one in people if one.address.lower() not in failed)


# --- answers of robots to our copies


async def _file_answer(office: Office, rulebook: Rulebook, assessment: Assessment, named: DeliveryView | None) -> Filed:
    """An automatic answer to a copy goes to nobody; an absence notice makes that owner absent."""
    absence = await note_absence(office, rulebook, assessment, named)
    reasons = (Reason.of("report.answer_to_copy"), *absence)
    ticket_id = named.ticket_id if named else None
    return Filed(_decision(assessment, Direction.AUTOMATIC, reasons, ticket_id=ticket_id), Match())


# --- reports about our copies


async def _about_copies(
    office: Office, assessment: Assessment, report: Report | None, named: DeliveryView | None
) -> list[_Reported]:
    """The copies of ours that the report is about: by the token, else by what its returned part says."""
    if named is not None:
        return [_Reported(named, _said_of(named, report, assessment))]
    if report is None:
        return []
    queue_id = _returned_queue_id(office, report)
    copies = await office.store.deliveries_of(queue_id) if queue_id else []
    found: dict[int, _Reported] = {}
    for said in report.recipients:
        copy = next((c for c in copies if c.recipient.lower() == said.address), None)
        if copy is None and said.address:
            copy = await office.store.delivery_of_copy(report.returned_message_id, said.address)
        if copy is not None:
            found.setdefault(copy.delivery_id, _Reported(copy, said))
    if not found and len(copies) == 1 and report.recipients:
        # Sent on to another address of that person, which is the one reported.
        found[copies[0].delivery_id] = _Reported(copies[0], _worst(report, copies[0], assessment))
    return list(found.values())


def _returned_queue_id(office: Office, report: Report) -> str:
    """By our signed mark, else by the field that anybody who has seen a copy could write."""
    mark = read_trail(office.keys, report.returned_trail)
    return mark.queue_id if mark else report.returned_queue_id


def _said_of(copy: DeliveryView, report: Report | None, assessment: Assessment) -> ReportedRecipient | None:
    """What a report that came with the copy's own token says of it."""
    if report is not None:
        return _worst(report, copy, assessment)
    # No structure, but the field by which Exim names what failed for good; with a token that is enough.
    failed = assessment.facts.first("x-failed-recipients")
    return ReportedRecipient(copy.recipient.lower(), "failed", diagnostic="X-Failed-Recipients") if failed else None


def _worst(report: Report, copy: DeliveryView, assessment: Assessment) -> ReportedRecipient | None:
    """The failure among what is reported, else the first.

    A list's copy has failed only when the list itself is named: one member's full mailbox is not the list's.
    """
    if report.kind != "delivery-status":
        return None
    is_person = is_persons_copy(copy, assessment)
    mine = [r for r in report.recipients if is_person or r.address in {"", copy.recipient.lower()}]
    return next((r for r in mine if r.action == "failed"), mine[0] if mine else None)


async def _act(
    office: Office, rulebook: Rulebook, assessment: Assessment, report: Report | None, reported: list[_Reported]
) -> Filed:
    """Failed acts on its copy, everything else is noted; what only reads like a failure is shown to the admins."""
    reasons: list[Reason] = []
    changes: list[Change] = []
    nobody_got_it = False
    is_possible = _is_only_possible(report, reported)
    for one in reported:
        copy, said = one.copy, one.said
        if said is not None and one.is_failure and not is_possible and not _is_of_earlier_form(report, copy):
            text = f"reported later ({said.severity or 'failed'}, {said.cause or 'other'}): {said.diagnostic}"
            nobody_got_it |= await fail_copy(
                office,
                copy,
                status=said.status or _CLASS[said.severity],
                text=text,
                cause=_cause(said),
                address=assessment.sight.address,
            )
            reasons.append(Reason.of("report.failed", recipient=copy.recipient, status=said.status or "5.0.0"))
            continue
        action = f"{said.address} {said.action} {said.status}".strip()[:200] if said else ""
        action = f"possible: {action}" if is_possible else action
        changes.append(Change("delivery.reported", "relay", {"actions": [action]}, delivery_id=copy.delivery_id))
        code = "report.possible" if is_possible else "report.noted"
        reasons.append(Reason.of(code, recipient=copy.recipient))
    if nobody_got_it:
        await sweep(office, rulebook)
    readers: tuple[Recipient, ...] = ()
    if is_possible:
        bouncing = {one.copy.recipient.lower() for one in reported}
        readers = tuple(one for one in _admins(rulebook) if one.address.lower() not in bouncing)
    ticket_id = reported[0].copy.ticket_id
    decision = _decision(assessment, Direction.REPORT, tuple(reasons), ticket_id=ticket_id, recipients=readers)
    return Filed(decision, Match(), tuple(changes))


_CLASS = {Severity.HARD: "5.0.0", Severity.SOFT: "4.0.0", Severity.NONE: ""}


def _is_of_earlier_form(report: Report | None, copy: DeliveryView) -> bool:
    """A late word on what was refused already; what goes out in its place has its own fate, and its own Message-ID."""
    if copy.form == DeliveryForm.FULL:
        return False
    if report is not None and report.returned_message_id:
        return report.returned_message_id != copy.message_id
    return copy.state in {DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.DEFERRED}


def _cause(said: ReportedRecipient) -> Cause:
    """Whose fault: of the mail only what the report is clear about; a refusal by policy is mostly the recipient's."""
    if said.cause == FailureCause.TOO_LARGE:
        return Cause.SIZE
    is_form = said.status.startswith("5.6.") and said.status != "5.6.7"  # RFC 3463 §3.7; .7 is the address (RFC 6531)
    return Cause.CONTENT if is_form else Cause.RECIPIENT


def _is_only_possible(report: Report | None, reported: list[_Reported]) -> bool:
    """Nobody can tell what it says, or its form is not known well enough to act on (RULES 3.7)."""
    if report is None:
        return all(one.said is None for one in reported)
    return not report.is_certain


# --- our copy comes back


async def note_return(office: Office, rulebook: Rulebook, assessment: Assessment) -> None:
    """A copy that an owner's forwarding rule sent back to us counts as not read (DESIGN 2, first row).

    When he was the only one who had it, Allmember gets the mail. A list's copy stays: its other members read it.

    Raises:
        TransientFailure: The store cannot be read or written.
    """
    mark = own_trail(assessment.facts, office.keys)
    if mark is None:
        return
    copies = await office.store.deliveries_of(mark.queue_id)
    copy = _sent_back(office, assessment, copies)
    if copy is None or copy.state in {DeliveryState.FAILED, DeliveryState.DROPPED}:
        return
    if await fail_copy(office, copy, status="", text="a forwarding rule of the recipient sent this copy back to us"):
        await sweep(office, rulebook)


_FORWARDER_FIELDS = ("resent-from", "x-forwarded-for", "delivered-to", "x-original-to")


def _sent_back(office: Office, assessment: Assessment, copies: list[DeliveryView]) -> DeliveryView | None:
    """Whose copy came back: by the token in the reverse-path, by the forwarder's name, else the only one there is."""
    members, envelope = assessment.members, assessment.envelope
    people = [copy for copy in copies if is_persons_copy(copy, assessment)]
    reverse_path = envelope.reverse_path.lower()
    token = members.bounce_token(reverse_path)
    if token is not None:
        today = int(assessment.accepted_at.timestamp() // 86400)
        delivery_id = read_delivery_token(office.keys, token[1], today)
        return next((copy for copy in people if copy.delivery_id == delivery_id), None)
    local, _, domain = reverse_path.rpartition("@")
    said = [value.lower() for name in _FORWARDER_FIELDS for value in assessment.facts.fields.get(name, ())[:10]]
    # Gmail forwards as ann+caf_=support=desk.example@staff.example
    names = {reverse_path, f"{local.partition('+caf_=')[0]}@{domain}"}
    names.update(word.strip("<>,;") for value in said for word in value[:2000].split())
    named = next((copy for copy in people if copy.recipient.lower() in names), None)
    return named or (people[0] if len(copies) == len(people) == 1 else None)


# --- reports about others' mail


async def _tell_writer(office: Office, rulebook: Rulebook, assessment: Assessment, report: Report) -> Filed | None:
    """A report on our people's own mail to a customer: on its ticket, a failure back to NEW, and the writer is told."""
    writer = report.returned_from
    if writer is None or not _is_our_peoples(assessment, writer) or not report.returned_message_id:
        return None
    gathered = await office.store.gather(WhereFrom(in_reply_to=(report.returned_message_id,)))
    if not gathered.hits:
        return None
    ticket = gathered.hits[0].ticket
    readers = _but_the_bouncing(await _readers(office, rulebook, assessment, report, writer, ticket), report)
    code = "report.on_staff_mail" if readers else "report.on_staff_mail_noted"
    decision = _decision(assessment, Direction.REPORT, (Reason.of(code, writer=writer.key),), recipients=readers)
    is_failure = report.is_certain and _says(report, "failed")
    plan = TicketPlan(
        TicketAction.JOIN,
        ticket.id,
        ticket.conversation_id,
        Stage.NEW if is_failure else ticket.stage,
        moves=is_failure and ticket.stage != Stage.NEW,
        wants=Stage.NEW if is_failure else None,
    )
    copy = replace(decision.copy, banner="full", is_first=False) if decision.copy else None
    return Filed(replace(decision, customer=ticket.customer, ticket=plan, copy=copy), Match(ticket=ticket))


def _is_our_peoples(assessment: Assessment, writer: Mailbox) -> bool:
    """Written by a colleague, or in the name of support@; our copies' own sender is neither."""
    members = assessment.members
    is_support = members.support_address(writer.key) is not None and members.sender_of(writer.key) is None
    return is_support or members.is_staff(writer)


def _says(report: Report, *actions: str) -> bool:
    return report.kind == "delivery-status" and any(one.action in actions for one in report.recipients)


async def _readers(
    office: Office, rulebook: Rulebook, assessment: Assessment, report: Report, writer: Mailbox, ticket: TicketView
) -> tuple[Recipient, ...]:
    """The writer, of a complaint the admins too; of a receipt, or a mail that did arrive, nobody (RULES 3.3, 3.5).

    Who wrote in the name of support@ is not known: the ticket's owners are told, else Allmember.
    """
    if report.kind == "disposition-notification" or _says(report, "delivered", "relayed", "expanded"):
        return ()
    people: tuple[Recipient, ...]
    if assessment.members.support_address(writer.key) is None:
        people = (Recipient(f"{writer.local}@{writer.domain}", DeliveryKind.OWNER, "writer"),)
    else:
        owners = await _owners_now(office, rulebook, assessment, ticket)
        everybody = rulebook.address(assessment.sight.address.name).allmember
        people = owners or tuple(Recipient(a, DeliveryKind.LIST, "allmember") for a in everybody)
    return (*people, *_admins(rulebook)) if report.kind == "feedback-report" else people


async def _owners_now(
    office: Office, rulebook: Rulebook, assessment: Assessment, ticket: TicketView
) -> tuple[Recipient, ...]:
    """The owners of the ticket's deal as they are now; a CRM that is silent keeps no report waiting."""
    try:
        asked = [await rulebook.directory.deal(one) for one in ticket.deal_id.split(",") if one]
    except TransientFailure:
        return ()
    absent = frozenset(await office.store.absent_until(office.now()))
    deals = [deal for deal in asked if deal is not None]
    if not deals:
        return ()
    found = owners_of_deals(deals, is_ours=assessment.members.is_ours, absent=absent)
    return tuple(Recipient(a, DeliveryKind.OWNER, "owner") for a in found.owners)


def _decision(
    assessment: Assessment,
    direction: Direction,
    reasons: tuple[Reason, ...],
    *,
    recipients: tuple[Recipient, ...] = (),
    ticket_id: int | None = None,
) -> Decision:
    """The decision on a report; whoever else the envelope names gets it as it came."""
    address = assessment.sight.address
    reporter = assessment.facts.from_[0] if assessment.facts.from_ else None
    copy = CopyPlan(
        address.name,
        author=reporter.key if reporter else "",
        author_name=(reporter.name or reporter.local) if reporter else "",
        reply_to=(address.address,),
        banner="none",
        reason_code="R",
        reason_name="report",
    )
    return Decision(
        direction=direction,
        place=assessment.sight.place,
        address_name=address.name,
        proof=assessment.sight.proof,
        recipients=each_once([*recipients, *passed_on(assessment.paths, assessment.members)]),
        ticket=TicketPlan(ticket_id=ticket_id),
        copy=copy if recipients else None,
        reasons=reasons,
    )
