"""deliver: make one attempt for one delivery whose beginning is already committed, and commit its end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import chain, repeat

from supportrelay import tally
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import (
    DeliveryForm,
    DeliveryState,
    MessageState,
    Outcome,
    OutcomeKind,
    Phase,
)
from supportrelay.core.errors import TransientFailure
from supportrelay.core.ladder import is_about_the_mail, next_form, why_of
from supportrelay.core.next_hop import NextHop
from supportrelay.core.ports import Attempted, BegunDelivery, ClaimedDelivery, OtherForm, Reported
from supportrelay.core.retry import next_attempt_at
from supportrelay.core.rewrite import Copy
from supportrelay.core.value import value_class
from supportrelay.flow.assess import facts_of
from supportrelay.flow.compose import CopyOrder, Original, compose, compose_for_hop, reverse_path_of
from supportrelay.flow.message_ids import id_of_form
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.seal import sealed, unsealed
from supportrelay.flow.turns import is_quick
from supportrelay.log import get_logger

__all__ = ["Copies", "Deliverer"]

log = get_logger()

_ATTEMPT = {state: f"attempt:{state}" for state in DeliveryState}
_REPORT_AGAIN_S = (0.5, 2.0, 4.0, 4.0)


@value_class
class _Begun:
    """A delivery with a recorded attempt."""

    delivery_id: int
    recipient: str
    order: CopyOrder
    attempt: int


# What was written for one mail, or is being written: the same for all who get the same, also for a next hop that takes
# less.
Copies = dict[tuple[CopyOrder, NextHop | None], Copy | asyncio.Task[Copy]]


async def _written_once(
    copies: Copies, key: tuple[CopyOrder, NextHop | None], octets: bytes, write: Callable[[], Copy]
) -> Copy:
    found = copies.get(key)
    if found is None:
        found = copies[key] = write() if is_quick(octets) else asyncio.create_task(asyncio.to_thread(write))
    return found if isinstance(found, Copy) else await asyncio.shield(found)


class Deliverer:
    """The last station.

    Args:
        still_ours: The fencing check right before DATA: do we still hold this delivery's lease?
    """

    def __init__(self, office: Office, still_ours: Callable[[int], Awaitable[bool]]) -> None:
        self._office = office
        self._still_ours = still_ours

    async def deliver_begun(
        self, rulebook: Rulebook, original: Original, begun: BegunDelivery, copies: Copies
    ) -> Reported:
        """The first attempt, straight after the decision; ``copies`` keeps what was written for the same mail."""
        order = CopyOrder(begun.kind, begun.new_message_id)
        delivery = _Begun(begun.delivery_id, begun.recipient, order, begun.attempt)
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
        order = CopyOrder(claimed.kind, claimed.new_message_id, claimed.form, claimed.form_why)
        delivery = _Begun(claimed.delivery_id, claimed.recipient, order, claimed.attempt)
        return await self._attempt(rulebook, original, delivery, {})

    async def _attempt(self, rulebook: Rulebook, original: Original, begun: _Begun, copies: Copies) -> Reported:
        office = self._office
        making = self._outcome(rulebook, original, begun, copies)
        outcome = await (office.meter.run("deliver", making) if office.meter else making)
        attempted = self._judged(rulebook, original, begun, outcome)
        tally.count("attempt:reshaped" if attempted.other_form else _ATTEMPT[attempted.state])
        _tell(attempted, begun, outcome)
        reported = await self._report(attempted)
        if reported.message_state == MessageState.DEAD and attempted.state == DeliveryState.FAILED:
            log.error("message.dead", queue_id=original.queue_id)
        return reported

    def _judged(self, rulebook: Rulebook, original: Original, begun: _Begun, outcome: Outcome) -> Attempted:
        """What follows from an outcome."""
        office = self._office
        now = office.now()
        state, due_at, other_form = DeliveryState.DELIVERED, None, None
        if outcome.kind == OutcomeKind.FAILED:
            state = DeliveryState.FAILED
            other_form = self._other_form(rulebook, original, begun, outcome)
            if other_form is not None:
                state, due_at = DeliveryState.DEFERRED, now
        elif outcome.kind == OutcomeKind.DEFERRED:
            due_at = next_attempt_at(
                begun.attempt,
                accepted_at=original.accepted_at,
                now=now,
                give_up_after=rulebook.desk.give_up_after,
                jitter=office.fraction(),
            )
            state = DeliveryState.DEFERRED if due_at else DeliveryState.FAILED
        return Attempted(
            begun.delivery_id, original.queue_id, begun.attempt, outcome, state, now, due_at, other_form=other_form
        )

    def _other_form(self, rulebook: Rulebook, original: Original, begun: _Begun, outcome: Outcome) -> OtherForm | None:
        form = next_form(begun.order.form, begun.order.kind, outcome) if original.plan else None
        if form is None or original.plan is None:
            return None
        address = rulebook.address(original.plan.address_name)
        return OtherForm(form, why_of(outcome), id_of_form(self._office, address, original.queue_id, form))

    async def _report(self, attempted: Attempted) -> Reported:
        """Commit the end of an attempt. A store that cannot write must not make us send a copy again.

        A full or broken disk is waited for, for nothing else can begin meanwhile (RELIABILITY F09).
        """
        store = self._office.store
        for number, wait_s in enumerate(chain(_REPORT_AGAIN_S, repeat(_REPORT_AGAIN_S[-1]))):
            try:
                return await store.report(attempted)
            except TransientFailure as exc:
                if number >= len(_REPORT_AGAIN_S) and not store.health.trouble:
                    raise
                if number < len(_REPORT_AGAIN_S):
                    log.warning("delivery.put_off", queue_id=attempted.queue_id, detail=str(exc))
            await asyncio.sleep(wait_s)
        raise AssertionError("waits end never")

    def _compose(self, rulebook: Rulebook, original: Original, order: CopyOrder) -> Copy:
        meter = self._office.meter
        if meter is None or not is_quick(original.octets):
            return self._written(rulebook, original, order)
        return meter.call("compose", lambda: self._written(rulebook, original, order))

    def _written(self, rulebook: Rulebook, original: Original, order: CopyOrder) -> Copy:
        return sealed(rulebook, original, order.kind, compose(self._office, rulebook, original, order))

    def _fitted(self, rulebook: Rulebook, original: Original, order: CopyOrder, full: Copy, hop: NextHop) -> Copy:
        """For a next hop that takes less; signed again, for its octets are others."""
        fitted = compose_for_hop(self._office, rulebook, original, order, unsealed(full), hop)
        return sealed(rulebook, original, order.kind, fitted)

    async def _outcome(self, rulebook: Rulebook, original: Original, begun: _Begun, copies: Copies) -> Outcome:
        """Compose and send; what breaks on the way is temporary."""
        try:
            order = begun.order
            copy = full = await _written_once(
                copies, (order, None), original.octets, lambda: self._compose(rulebook, original, order)
            )
            reverse_path = reverse_path_of(
                self._office,
                rulebook,
                original,
                delivery_id=begun.delivery_id,
                recipient=begun.recipient,
                kind=order.kind,
            )
        except Exception as exc:  # a mail that breaks the station is tried again, and shown
            log.exception("copy.not_composed", queue_id=original.queue_id)
            return Outcome(OutcomeKind.DEFERRED, Phase.CONNECT, text=f"copy not composed: {type(exc).__name__}")

        async def still_ours() -> bool:
            return await self._still_ours(begun.delivery_id)

        async def fit(hop: NextHop) -> bytes:
            nonlocal copy
            copy = await _written_once(
                copies,
                (order, hop),
                original.octets,
                lambda: self._fitted(rulebook, original, order, full, hop),
            )
            return copy.octets

        outcome = await rulebook.courier.send(
            reverse_path,
            begun.recipient,
            copy.octets,
            is_smtputf8=original.envelope.is_smtputf8,
            before_data=still_ours,
            fit=fit,
        )
        return replace(outcome, notes=copy.notes) if copy.notes else outcome


def _tell(attempted: Attempted, begun: _Begun, outcome: Outcome) -> None:
    """One line of the log; an error when a mail was refused in every form there is."""
    if attempted.state == DeliveryState.DELIVERED:
        log.debug("delivery.delivered", queue_id=attempted.queue_id, attempt=begun.attempt)
        return
    values: dict[str, object] = {
        "queue_id": attempted.queue_id,
        "recipient": begun.recipient,
        "attempt": begun.attempt,
        "reply": outcome.reply,
        "cause": str(outcome.cause),
    }
    if outcome.is_uncertain:  # nobody answered the dot: the mail may have arrived (F06)
        values["may_be_sent_twice"] = True
    if attempted.other_form is not None:
        log.warning("delivery.reshaped", **values, form=str(attempted.other_form.form))
    elif attempted.state == DeliveryState.DEFERRED:
        log.warning("delivery.deferred", **values)
    elif begun.order.form == DeliveryForm.NOTICE and is_about_the_mail(outcome):
        log.error("delivery.refused_in_every_form", **values)
    else:
        log.warning("delivery.failed", **values)
