"""robots: automatic mail beyond what is usual is held, and named in the log; a person releases it (RULES 2A.5)."""

from dataclasses import replace

from supportrelay.core.decision import Decision, Direction, Disposition, TicketPlan
from supportrelay.core.ports import Accepted, Change
from supportrelay.core.reason import Reason
from supportrelay.core.robot_limits import limits_of
from supportrelay.flow.assess import Assessment
from supportrelay.flow.assign import domain_of_customer
from supportrelay.flow.office import Office, Rulebook
from supportrelay.log import get_logger

__all__ = ["hold_too_much"]

log = get_logger()

_NEVER_COUNTED = frozenset({Direction.LOOP, Direction.DUPLICATE, Direction.SPAM, Direction.REPORT})


async def hold_too_much(
    office: Office, rulebook: Rulebook, assessment: Assessment, decision: Decision, accepted: Accepted
) -> tuple[Decision, tuple[Change, ...]]:
    """Return the decision, or one that holds the mail, with what goes into the record.

    Reports are not counted: on copies of ours they act and go to nobody, on staff's mail they have a person to reach.

    Raises:
        TransientFailure: The store cannot be written.
    """
    if not _counts(assessment, decision):
        return decision, ()
    sender = assessment.facts.from_[0] if assessment.facts.from_ else None
    limits = limits_of(
        assessment.facts,
        accepted.octets,
        sender=sender.key if sender else "",
        domain=domain_of_customer(rulebook.domains, sender) if sender else "",
        ticket_id=decision.ticket.ticket_id,
        rates=rulebook.desk.robot_limits.rates,
        is_in_thread=decision.direction != Direction.AUTOMATIC,
    )
    if not limits:
        return decision, ()
    stop = await office.store.count_robot(accepted.queue_id, limits, office.now(), rulebook.desk.robot_limits)
    if stop is None:
        return decision, ()
    minutes = int(stop.within.total_seconds() // 60)
    said = {"key": stop.key, "count": stop.count, "minutes": minutes}
    if stop.is_new:
        log.error("robots.stopped", queue_id=accepted.queue_id, **said)
    reason = Reason.of("disposition.too_much_automatic", key=stop.key, count=stop.count, minutes=minutes)
    why = f"rate: {stop.count} automatic mails of {stop.key} within {minutes} minutes"
    held = replace(
        decision,
        disposition=Disposition.HOLD,
        recipients=(),
        copy=None,
        ticket=TicketPlan(),
        reasons=(*decision.reasons, reason),
    )
    return held, (Change("message.held", "relay", {"why": why}),)


def _counts(assessment: Assessment, decision: Decision) -> bool:
    if decision.disposition != Disposition.RELAY or decision.direction in _NEVER_COUNTED:
        return False
    return assessment.sight.is_automatic and bool(assessment.paths.desk)
