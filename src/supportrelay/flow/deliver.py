"""deliver: make one attempt for one delivery whose beginning is already committed, and commit its end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind, DeliveryState, Outcome, OutcomeKind, Phase
from supportrelay.core.errors import TransientFailure
from supportrelay.core.ports import Attempted, BegunDelivery, ClaimedDelivery, Reported
from supportrelay.core.retry import next_attempt_at
from supportrelay.core.rewrite import Copy
from supportrelay.core.value import value_class
from supportrelay.flow.assess import facts_of
from supportrelay.flow.compose import Original, compose, reverse_path_of
from supportrelay.flow.office import Office, Rulebook
from supportrelay.log import get_logger

__all__ = ["Deliverer"]

log = get_logger()

_REPORT_AGAIN_S = (0.5, 2.0, 8.0)


@value_class
class _Begun:
    """A delivery with a recorded attempt."""

    delivery_id: int
    recipient: str
    kind: DeliveryKind
    attempt: int
    new_message_id: str


class Deliverer:
    """The last station.

    Args:
        still_ours: The fencing check right before DATA: do we still hold this delivery's lease?
    """

    def __init__(self, office: Office, still_ours: Callable[[int], Awaitable[bool]]) -> None:
        self._office = office
        self._still_ours = still_ours

    async def deliver_begun(
        self, rulebook: Rulebook, original: Original, begun: BegunDelivery, copies: dict[tuple[str, str], Copy]
    ) -> Reported:
        """The first attempt, straight after the decision; ``copies`` keeps what was written for the same mail."""
        delivery = _Begun(begun.delivery_id, begun.recipient, begun.kind, begun.attempt, begun.new_message_id)
        return await self._attempt(rulebook, original, delivery, copies)

    async def deliver_claimed(self, rulebook: Rulebook, claimed: ClaimedDelivery) -> Reported:
        """A later attempt: everything is read from the store again.

        Raises:
            TransientFailure: The store cannot be read; the attempt is found without an end and is due again.
        """
        octets = await self._office.store.content(claimed.queue_id)
        original = Original(
            queue_id=claimed.queue_id,
            envelope=claimed.envelope,
            octets=octets,
            facts=await facts_of(octets),
            accepted_at=claimed.accepted_at,
            plan=CopyPlan.from_json(dict(claimed.copy_plan)) if claimed.copy_plan else None,
            ticket_id=claimed.ticket_id,
        )
        delivery = _Begun(claimed.delivery_id, claimed.recipient, claimed.kind, claimed.attempt, claimed.new_message_id)
        return await self._attempt(rulebook, original, delivery, {})

    async def _attempt(
        self, rulebook: Rulebook, original: Original, begun: _Begun, copies: dict[tuple[str, str], Copy]
    ) -> Reported:
        office = self._office
        making = self._outcome(rulebook, original, begun, copies)
        outcome = await (office.meter.run("deliver", making) if office.meter else making)
        now = office.now()
        state, due_at = DeliveryState.DELIVERED, None
        if outcome.kind == OutcomeKind.FAILED:
            state = DeliveryState.FAILED
        elif outcome.kind == OutcomeKind.DEFERRED:
            due_at = next_attempt_at(
                begun.attempt,
                accepted_at=original.accepted_at,
                now=now,
                give_up_after=rulebook.desk.give_up_after,
                jitter=office.fraction(),
            )
            state = DeliveryState.DEFERRED if due_at else DeliveryState.FAILED
        if state != DeliveryState.DELIVERED:
            event = "delivery.deferred" if state == DeliveryState.DEFERRED else "delivery.failed"
            log.warning(
                event,
                queue_id=original.queue_id,
                recipient=begun.recipient,
                attempt=begun.attempt,
                reply=outcome.reply,
                cause=str(outcome.cause),
            )
        else:
            log.debug("delivery.delivered", queue_id=original.queue_id, attempt=begun.attempt)
        return await self._report(
            Attempted(begun.delivery_id, original.queue_id, begun.attempt, outcome, state, now, due_at)
        )

    async def _report(self, attempted: Attempted) -> Reported:
        """Commit the end of an attempt. A store that cannot write for a moment must not make us send a copy again."""
        for wait_s in _REPORT_AGAIN_S:
            try:
                return await self._office.store.report(attempted)
            except TransientFailure as exc:
                log.warning("delivery.put_off", queue_id=attempted.queue_id, detail=str(exc))
                await asyncio.sleep(wait_s)
        return await self._office.store.report(attempted)

    def _compose(self, rulebook: Rulebook, original: Original, begun: _Begun) -> Copy:
        def write() -> Copy:
            return compose(self._office, rulebook, original, begun.kind, begun.new_message_id)

        meter = self._office.meter
        return meter.call("compose", write) if meter else write()

    async def _outcome(
        self, rulebook: Rulebook, original: Original, begun: _Begun, copies: dict[tuple[str, str], Copy]
    ) -> Outcome:
        """Compose and send; what breaks on the way is temporary."""
        try:
            key = (str(begun.kind), begun.new_message_id)
            copy = copies.get(key)
            if copy is None:
                copy = copies[key] = self._compose(rulebook, original, begun)
            reverse_path = reverse_path_of(
                self._office,
                rulebook,
                original,
                delivery_id=begun.delivery_id,
                recipient=begun.recipient,
                kind=begun.kind,
            )
        except Exception as exc:  # a mail that breaks the station is tried again, and shown
            log.exception("copy.not_composed", queue_id=original.queue_id)
            return Outcome(OutcomeKind.DEFERRED, Phase.CONNECT, text=f"copy not composed: {type(exc).__name__}")

        async def still_ours() -> bool:
            return await self._still_ours(begun.delivery_id)

        outcome = await rulebook.courier.send(
            reverse_path,
            begun.recipient,
            copy.octets,
            is_smtputf8=original.envelope.is_smtputf8,
            before_data=still_ours,
        )
        return replace(outcome, notes=copy.notes) if copy.notes else outcome
