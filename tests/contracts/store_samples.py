"""Values for the store's contract: mails, decisions, leases; each test changes what it is about."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from supportrelay.core.delivery import Cause, DeliveryKind, DeliveryState, MessageState, Outcome, OutcomeKind, Phase
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.ports import (
    Accepted,
    Attempted,
    Change,
    KnownId,
    Lease,
    NewDelivery,
    Settled,
    Settlement,
    TicketChange,
    TicketOpening,
    WhereFrom,
)
from supportrelay.core.ticket import Stage

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PEER = Peer("192.0.2.7", "mail.acme.example")
OWNER = "mori@relay.test"


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_lease(holder: str = "here:1:a", *, until: float = 30) -> Lease:
    return Lease(holder, after(until))


def a_mail(queue_id: str, *, octets: bytes = b"Subject: x\r\n\r\nhello\r\n", at: float = 0, **values: Any) -> Accepted:
    envelope = values.pop("envelope", Envelope("ann@acme.example", ("support@relay.test",), PEER))
    message_id = values.pop("message_id", f"<{queue_id}@acme.example>")
    return Accepted(queue_id, envelope, octets, after(at), message_id, values.pop("subject", "Printer on fire"))


def an_opening(**values: Any) -> TicketOpening:
    known: dict[str, Any] = {
        "stage": Stage.NEW,
        "address": "support",
        "subject": "Printer on fire",
        "subject_key": "printer on fire",
        "customer": "ann@acme.example",
        "customer_domain": "acme.example",
        "company_id": "C1",
        "company_name": "Acme",
        "deal_id": "D1",
        "deal_name": "Rollout",
        "owners": (OWNER,),
    }
    return TicketOpening(**(known | values))


def a_copy(recipient: str = OWNER, *, due_at: datetime | None = None, **values: Any) -> NewDelivery:
    return NewDelivery(recipient, values.pop("kind", DeliveryKind.OWNER), "owner", due_at, **values)


def a_settlement(queue_id: str, *, now: float = 1, **values: Any) -> Settlement:
    known: dict[str, Any] = {
        "queue_id": queue_id,
        "now": after(now),
        "lease": a_lease(),
        "state": MessageState.COMPOSED,
        "direction": "inbound",
        "place": "to",
        "address_name": "support",
        "customer": "ann@acme.example",
        "decision": {"direction": "inbound", "copies": [{"address": OWNER, "kind": "owner", "why": "owner"}]},
        "copy_plan": {"address_name": "support"},
        "is_inbound": True,
        "sent_at": after(now),
        "deliveries": (a_copy(),),
        "changes": (Change("message.decided", "relay", {"direction": "inbound"}),),
    }
    return Settlement(**(known | values))


def an_opening_settlement(queue_id: str, **values: Any) -> Settlement:
    known: dict[str, Any] = {
        "opening": an_opening(),
        "ids": (KnownId(f"<{queue_id}@acme.example>", "seen"),),
        "participants": ("ann@acme.example",),
        "changes": (Change("ticket.opened", "mail:ann@acme.example", {"to": "NEW"}),),
    }
    return a_settlement(queue_id, **(known | values))


def a_join(settled: Settled, **values: Any) -> TicketChange:
    assert settled.ticket_id is not None
    assert settled.conversation_id is not None
    return TicketChange(settled.ticket_id, settled.conversation_id, **values)


def an_end(delivery_id: int, queue_id: str, state: DeliveryState, *, now: float = 2, **values: Any) -> Attempted:
    kind = {DeliveryState.DELIVERED: OutcomeKind.DELIVERED, DeliveryState.DEFERRED: OutcomeKind.DEFERRED}.get(
        state, OutcomeKind.FAILED
    )
    code, status = {"delivered": (250, "2.0.0"), "deferred": (451, "4.3.0"), "failed": (550, "5.1.1")}[kind]
    cause = Cause.RECIPIENT if kind == OutcomeKind.FAILED else Cause.NONE
    outcome = Outcome(kind, Phase.DOT, code, status, "as the server says", "192.0.2.25:25", cause, at=after(now))
    return Attempted(delivery_id, queue_id, values.pop("attempt", 1), outcome, state, after(now), **values)


def from_ids(*ids: str, **values: Any) -> WhereFrom:
    return WhereFrom(in_reply_to=tuple(ids), **values)


async def accept_and_settle(store: Any, settlement: Settlement, *, mail: Accepted | None = None) -> Settled:
    """A mail all the way to its decision."""
    await store.accept(mail or a_mail(settlement.queue_id), settlement.lease)
    settled: Settled = await store.settle(settlement)
    assert settled.conflict == ""
    return settled


def number_of(settled: Settled) -> int:
    """The ticket's number."""
    assert settled.ticket_id is not None
    return settled.ticket_id


def delivery_ids(settled: Settled) -> Sequence[int]:
    return [delivery.delivery_id for delivery in settled.deliveries]
