"""journey: one message from accepted to its begun deliveries: assess, assign, and the commit of the decision."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from supportrelay import tally
from supportrelay.core.decision import Decision, Direction, Recipient, Verdict
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.desk import Known
from supportrelay.core.errors import TransientFailure
from supportrelay.core.facts import Facts
from supportrelay.core.ports import Accepted, BegunDelivery, Change, Settled
from supportrelay.core.reason import Reason
from supportrelay.core.rules import RuleOutcome
from supportrelay.core.token import read_probe
from supportrelay.core.value import value_class
from supportrelay.flow.again import only_the_same
from supportrelay.flow.assess import Assessment, CrmSilentError, assess, facts_of
from supportrelay.flow.assign import Assigned, assign
from supportrelay.flow.compose import Original
from supportrelay.flow.deliver import Deliverer
from supportrelay.flow.guarding import guard
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.proving import Proving
from supportrelay.flow.reports import Filed, concerns_report, explain_report, file_report, note_return
from supportrelay.flow.robots import hold_too_much
from supportrelay.flow.settlement import PROBE, settlement_of, waiting
from supportrelay.log import get_logger

__all__ = ["Begun", "Journey", "decide_on"]

log = get_logger()

# Two mails of one thread at the same instant change the world for each other; each round one of them gets through.
_MAX_ROUNDS = 50
_DECIDED = {direction: f"decided:{direction}" for direction in Direction}
_SENDER = {verdict: f"sender:{verdict}" for verdict in Verdict}
# A mail that answers one which is being decided this moment; a CRM that is silent keeps whole threads waiting.
_ROUNDS_FOR_EARLIER = 20
_EARLIER_S = 0.025
_AFTER_EARLIER = timedelta(seconds=0.5)
_FOLLOWS_FOR = timedelta(seconds=5)
_ASK_AGAIN = timedelta(seconds=5)
_LEAST_WAIT = timedelta(seconds=1)


@value_class
class Begun:
    """A settled message whose first attempts are recorded."""

    original: Original
    deliveries: tuple[BegunDelivery, ...]


async def decide_on(
    office: Office,
    rulebook: Rulebook,
    accepted: Accepted,
    facts: Facts,
    *,
    may_wait: bool,
    acts: bool = True,
    is_released: bool = False,
    follows: bool = False,
    proving: Proving | None = None,
) -> tuple[Assigned, tuple[Change, ...]]:
    """Assess and assign one mail; reports act on the deliveries they name. The same for the relay and ``explain``.

    Args:
        follows: Mails that it names, accepted before and not decided yet, come first.
        proving: Keeps the proof of its sender between two tries.

    Raises:
        CrmSilentError: The CRM is silent and the mail may wait.
        TransientFailure: The store cannot be read.
    """
    meter = office.meter
    assessing = assess(
        office,
        rulebook,
        facts,
        accepted.envelope,
        accepted.accepted_at,
        proving=proving or Proving(accepted.octets),
        may_wait=may_wait,
    )
    assessment = await (meter.run("assess", assessing) if meter else assessing)
    if follows and assessment.gathered.undecided:
        raise _EarlierMailError(assessment.gathered.undecided)
    assessment = await only_the_same(office, assessment, accepted.octets)
    if concerns_report(assessment):
        filed = await file_report(office, rulebook, assessment, accepted.octets) if acts else explain_report(assessment)
        return _as_assigned(filed, assessment), filed.changes
    if acts and assessment.sight.direction == Direction.LOOP and assessment.paths.desk:
        await note_return(office, rulebook, assessment)
    assigning = assign(office, rulebook, assessment, may_wait=may_wait, is_released=is_released)
    assigned = await (meter.run("assign", assigning) if meter else assigning)
    assigned = await guard(office, rulebook, assigned, accepted.octets)
    if not acts or is_released or not assessment.sight.is_automatic:
        return _for_probe(office, assigned, facts), ()
    decision, held = await hold_too_much(office, rulebook, assessment, assigned.decision, accepted)
    return _for_probe(office, replace(assigned, decision=decision), facts), held


def _as_assigned(filed: Filed, assessment: Assessment) -> Assigned:
    known = Known(
        facts=assessment.facts,
        sight=assessment.sight,
        gathered=assessment.gathered,
        match=filed.match,
        customer=None,
        choice=None,
        outcome=RuleOutcome(),
        paths=assessment.paths,
        members=assessment.members,
        accepted_at=assessment.accepted_at,
    )
    return Assigned(filed.decision, assessment, known)


def _for_probe(office: Office, assigned: Assigned, facts: Facts) -> Assigned:
    """``verify`` sends a marked mail: its copy goes to the one who asked, and to nobody else."""
    mark = facts.first("x-supportrelay-probe")
    if not mark:
        return assigned
    reader = read_probe(office.keys, mark, int(office.now().timestamp() // 86400))
    if reader is None:
        return assigned
    decision: Decision = replace(
        assigned.decision,
        recipients=(Recipient(reader, DeliveryKind.OWNER, "probe"),),
        reasons=(*assigned.decision.reasons, Reason.of(PROBE, reader=reader)),
    )
    return replace(assigned, decision=decision)


def _ask_again_at(retry_at: datetime | None, now: datetime, latest: datetime) -> datetime:
    """When to ask a silent CRM again: when it said, not sooner than in a second, and not after the mail goes on."""
    return min(max(retry_at, now + _LEAST_WAIT) if retry_at else now + _ASK_AGAIN, latest)


class _EarlierMailError(Exception):
    """A mail that this one names was accepted before it and is not decided yet; mail moves a ticket in that order."""


class Journey:
    """Carries one message to its decision and commits it."""

    def __init__(self, office: Office, deliverer: Deliverer) -> None:
        self._office = office
        self._deliverer = deliverer

    async def decide(
        self, rulebook: Rulebook, accepted: Accepted, facts: Facts | None, *, is_released: bool = False
    ) -> Begun | None:
        """Decide and commit; returns what is to be delivered now, None when there is nothing.

        Raises:
            TransientFailure: The store cannot be used now; the message stays as it is.
        """
        if facts is None:
            facts = await facts_of(accepted.octets)
        proving = Proving(accepted.octets)
        for number in range(_MAX_ROUNDS):
            try:
                settled, assigned = await self._round(rulebook, accepted, facts, proving, is_released=is_released)
            except _EarlierMailError as earlier:
                if number < _ROUNDS_FOR_EARLIER:
                    await asyncio.sleep(_EARLIER_S)
                    continue
                await self._put_off(accepted, self._office.now() + _AFTER_EARLIER, f"after {earlier}")
                return None
            if settled is None or assigned is None:
                return None
            if settled.conflict == "lease":
                log.warning("message.lease_lost", queue_id=accepted.queue_id)
                return None
            if not settled.conflict:
                return self._begun(accepted, facts, assigned, settled)
        raise TransientFailure("4.3.0", "decision changed too often", detail=accepted.queue_id)

    async def _round(
        self, rulebook: Rulebook, accepted: Accepted, facts: Facts, proving: Proving, *, is_released: bool
    ) -> tuple[Settled | None, Assigned | None]:
        """Decide once and try to commit it."""
        office = self._office
        now = office.now()
        latest = accepted.accepted_at + rulebook.desk.crm_max_wait
        try:
            assigned, changes = await decide_on(
                office,
                rulebook,
                accepted,
                facts,
                may_wait=now < latest,
                is_released=is_released,
                follows=not is_released and now < latest + _FOLLOWS_FOR,
                proving=proving,
            )
        except CrmSilentError as exc:
            await self._put_off(accepted, _ask_again_at(exc.retry_at, now, latest), str(exc))
            return None, None
        settlement = settlement_of(
            office, rulebook, assigned, queue_id=accepted.queue_id, lease=office.lease(), now=now
        )
        if changes:
            settlement = replace(settlement, changes=(*settlement.changes, *changes))
        settled = await office.store.settle(settlement)
        if settlement.desk is not None and not settled.conflict:
            office.wake_desk()
        return settled, assigned

    async def _put_off(self, accepted: Accepted, due_at: datetime, why: str) -> None:
        """It waits by due time, not in memory."""
        office = self._office
        await office.store.settle(
            waiting(accepted.queue_id, "", lease=office.lease(), now=office.now(), due_at=due_at, why=why)
        )

    def _begun(self, accepted: Accepted, facts: Facts, assigned: Assigned, settled: Settled) -> Begun | None:
        decision = assigned.decision
        tally.count(_DECIDED[decision.direction])
        tally.count(_SENDER[decision.proof.verdict])
        log.info(
            "message.decided",
            queue_id=accepted.queue_id,
            direction=str(decision.direction),
            ticket=settled.ticket_id,
            copies=len(settled.deliveries),
        )
        if not settled.deliveries:
            return None
        original = Original(
            queue_id=accepted.queue_id,
            envelope=accepted.envelope,
            octets=accepted.octets,
            facts=facts,
            accepted_at=accepted.accepted_at,
            plan=decision.copy,
            ticket_id=settled.ticket_id or decision.ticket.ticket_id,
        )
        return Begun(original, settled.deliveries)
