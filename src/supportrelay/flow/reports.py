"""reports: what comes to a bounce address, reports that lost their token, and copies that come back to us.

The token names the delivery, the content decides (DESIGN 2, the first three rows). Nobody ever gets a report about a
report.
"""

from dataclasses import replace

from supportrelay.core.absence import away_until
from supportrelay.core.automatic import AutomaticKind
from supportrelay.core.decision import CopyPlan, Decision, Direction, Recipient, TicketAction, TicketPlan
from supportrelay.core.delivery import Cause, DeliveryKind, DeliveryState, Outcome, OutcomeKind, Phase
from supportrelay.core.membership import Membership
from supportrelay.core.ports import Change, DeliveryView, WhereFrom
from supportrelay.core.reason import Reason
from supportrelay.core.recipients import each_once, passed_on
from supportrelay.core.report import Report, ReportedRecipient, read_report
from supportrelay.core.sight import own_trail
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Stage
from supportrelay.core.token import read_delivery_token
from supportrelay.core.value import value_class
from supportrelay.flow.assess import Assessment
from supportrelay.flow.failover import sweep
from supportrelay.flow.office import Office, Rulebook

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
    """A report, or automatic mail at a bounce address; a person's mail there is mail to support in that ticket.

    What is only passed on (postmaster's, submission's other recipients) is passed on, whatever it is.
    """
    sight = assessment.sight
    if not assessment.paths.desk:
        return False
    return sight.direction == Direction.REPORT or (sight.delivery_id is not None and sight.is_automatic)


def explain_report(assessment: Assessment) -> Filed:
    """What ``explain`` says of a report; nothing is acted on."""
    return Filed(_decision(assessment, Direction.REPORT, (Reason.of("report.explained"),)), Match())


async def file_report(office: Office, rulebook: Rulebook, assessment: Assessment, octets: bytes) -> Filed:
    """Act on a report.

    Raises:
        TransientFailure: The store cannot be read or written; the report is filed again later.
    """
    sight = assessment.sight
    named = await office.store.delivery(sight.delivery_id) if sight.delivery_id is not None else None
    if sight.direction != Direction.REPORT:
        return await _file_answer(office, assessment, named)
    report = read_report(octets, assessment.facts)
    reported = await _about_copies(office, assessment, report, named)
    if reported:
        return await _act(office, rulebook, assessment, reported)
    told = await _tell_writer(office, assessment, report) if report is not None else None
    if told is not None:
        return told
    admins = tuple(Recipient(a, DeliveryKind.ADMIN, "report") for a in rulebook.desk.admins)
    reason = Reason.of("report.of_nothing_known")
    return Filed(_decision(assessment, Direction.REPORT, (reason,), recipients=admins), Match())


# --- answers of robots to our copies


async def _file_answer(office: Office, assessment: Assessment, named: DeliveryView | None) -> Filed:
    """An automatic answer at a bounce address goes to nobody; an absence notice makes that owner absent."""
    reasons = [Reason.of("report.answer_to_copy")]
    is_absence = assessment.sight.automatic.kind == AutomaticKind.OOO
    if named is not None and is_absence and _is_person(named, assessment.members):
        now = office.now()
        until = away_until(f"{assessment.facts.subject}\n{assessment.facts.body_text}", now)
        key = named.recipient.lower()
        # What a person said, or an earlier notice that reaches further, stands.
        known = await office.store.absent_until(now)
        if key not in known or ((end := known[key]) is not None and end < until):
            await office.store.absent_set(named.recipient, "relay", now, until=until)
        reasons.append(Reason.of("report.absence", owner=named.recipient, until=f"{until:%Y-%m-%d}"))
    ticket_id = named.ticket_id if named else None
    return Filed(_decision(assessment, Direction.AUTOMATIC, tuple(reasons), ticket_id=ticket_id), Match())


# --- reports about our copies


async def _about_copies(
    office: Office, assessment: Assessment, report: Report | None, named: DeliveryView | None
) -> list[_Reported]:
    """The copies of ours that the report is about: by the token, else by what its returned part says."""
    members = assessment.members
    if named is not None:
        return [_Reported(named, _said_of(named, report, assessment))]
    if report is None:
        return []
    copies = await office.store.deliveries_of(report.returned_queue_id) if report.returned_queue_id else []
    found: dict[int, _Reported] = {}
    for said in report.recipients:
        copy = next((c for c in copies if c.recipient.lower() == said.address), None)
        if copy is None and said.address:
            copy = await office.store.delivery_of_copy(report.returned_message_id, said.address)
        if copy is not None:
            found.setdefault(copy.delivery_id, _Reported(copy, said))
    if not found and len(copies) == 1 and report.recipients:
        # Sent on to another address of that person, which is the one reported.
        found[copies[0].delivery_id] = _Reported(copies[0], _worst(report, copies[0], members))
    return list(found.values())


def _said_of(copy: DeliveryView, report: Report | None, assessment: Assessment) -> ReportedRecipient | None:
    """What a report that came with the copy's own token says of it."""
    if report is not None:
        return _worst(report, copy, assessment.members)
    # No structure, but the field by which Exim names what failed for good; with a token that is enough.
    failed = assessment.facts.first("x-failed-recipients")
    return ReportedRecipient(copy.recipient.lower(), "failed", diagnostic="X-Failed-Recipients") if failed else None


def _worst(report: Report, copy: DeliveryView, members: Membership) -> ReportedRecipient | None:
    """The failure among what is reported, else the first.

    A list's copy has failed only when the list itself is named: one member's full mailbox is not the list's.
    """
    if report.kind != "delivery-status":
        return None
    is_person = _is_person(copy, members)
    mine = [r for r in report.recipients if is_person or r.address in {"", copy.recipient.lower()}]
    return next((r for r in mine if r.action == "failed"), mine[0] if mine else None)


def _is_person(copy: DeliveryView, members: Membership) -> bool:
    return copy.kind in {DeliveryKind.OWNER, DeliveryKind.ADMIN} and not members.is_allmember(copy.recipient.lower())


async def _act(office: Office, rulebook: Rulebook, assessment: Assessment, reported: list[_Reported]) -> Filed:
    """Failed acts on its copy, everything else is noted."""
    reasons: list[Reason] = []
    changes: list[Change] = []
    nobody_got_it = False
    for one in reported:
        copy, said = one.copy, one.said
        if said is not None and one.is_failure:
            text = f"reported later: {said.diagnostic}"
            nobody_got_it |= await _fail(office, copy, status=said.status, text=text)
            reasons.append(Reason.of("report.failed", recipient=copy.recipient, status=said.status or "5.0.0"))
        else:
            action = f"{said.address} {said.action} {said.status}"[:200] if said else ""
            changes.append(Change("delivery.reported", "relay", {"actions": [action]}, delivery_id=copy.delivery_id))
            reasons.append(Reason.of("report.noted", recipient=copy.recipient))
    if nobody_got_it:
        await sweep(office, rulebook)
    decision = _decision(assessment, Direction.REPORT, tuple(reasons), ticket_id=reported[0].copy.ticket_id)
    return Filed(decision, Match(), tuple(changes))


async def _fail(office: Office, copy: DeliveryView, *, status: str, text: str) -> bool:
    """Mark a copy as not arrived; True when nobody else got the mail."""
    outcome = Outcome(OutcomeKind.FAILED, Phase.DOT, status=status, text=text[:500], cause=Cause.RECIPIENT)
    return (await office.store.fail_delivery(copy.delivery_id, outcome, office.now())).nobody_got_it


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
    if await _fail(office, copy, status="", text="a forwarding rule of the recipient sent this copy back to us"):
        await sweep(office, rulebook)


_FORWARDER_FIELDS = ("resent-from", "x-forwarded-for", "delivered-to", "x-original-to")


def _sent_back(office: Office, assessment: Assessment, copies: list[DeliveryView]) -> DeliveryView | None:
    """Whose copy came back: by the token in the reverse-path, by the forwarder's name, else the only one there is."""
    members, envelope = assessment.members, assessment.envelope
    people = [copy for copy in copies if _is_person(copy, members)]
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


async def _tell_writer(office: Office, assessment: Assessment, report: Report) -> Filed | None:
    """A report on staff's own mail to a customer: on its ticket, back to NEW, and the writer is told."""
    writer = report.returned_from
    if writer is None or not assessment.members.is_staff(writer) or not report.returned_message_id:
        return None
    gathered = await office.store.gather(WhereFrom(in_reply_to=(report.returned_message_id,)))
    if not gathered.hits:
        return None
    ticket = gathered.hits[0].ticket
    is_failure = report.kind == "delivery-status" and any(r.action == "failed" for r in report.recipients)
    decision = _decision(
        assessment,
        Direction.REPORT,
        (Reason.of("report.on_staff_mail", writer=writer.key),),
        recipients=(Recipient(f"{writer.local}@{writer.domain}", DeliveryKind.OWNER, "writer"),),
    )
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
