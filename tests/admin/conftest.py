"""A real store with a mail on a ticket, and the context that operations work with."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supportrelay.admin.context import OperationContext
from supportrelay.config import Config, load
from supportrelay.core.decision import Decision, Direction, Place, Proof, Recipient, TicketAction, TicketPlan, Verdict
from supportrelay.core.delivery import DeliveryKind, DeliveryState, MessageState, Outcome, OutcomeKind, Phase
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.ports import Accepted, Attempted, Change, Lease, NewDelivery, Settlement, TicketOpening
from supportrelay.core.reason import Reason
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.builtin import BuiltinDirectory
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.store import SqliteStore

CONFIG = """
addresses:
  - name: support
    address: support@desk.test
    aliases: [help@desk.test]
    sender: {name: Desk, address: relay@desk.test}
    allmember: [all@desk.test]
    language: ja
  - name: europe
    address: support-eu@desk.test
    sender: {name: Desk, address: relay-eu@desk.test}
    allmember: [all-eu@desk.test]
    language: en
internal_domains: [desk.test]
admins: [it@desk.test]
language: ja
hostname: relay.desk.test
listen: [{host: 127.0.0.1, port: 8925}]
web: {host: 127.0.0.1, port: 8926}
outbound: {outbox: true}
storage: {url: "sqlite:///state/relay.db"}
rules:
  - name: into another system
    when: {recipient: case@desk.test}
    then: {rewrite_recipient: box@case.example}
"""
MAIL = (
    b"From: Ann <ann@customer.test>\r\nTo: support@desk.test\r\nSubject: Broken\r\n"
    b"Message-ID: <m1@customer.test>\r\n\r\nHelp\r\n"
)
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "supportrelay.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    (tmp_path / "state").mkdir()
    return load(file)


async def _decide(octets: bytes, envelope: Envelope) -> Decision:
    """Stands for `flow.explain`: says back what it was asked."""
    return Decision(
        Direction.INBOUND,
        Place.TO,
        "support",
        Proof(Verdict.UNPROVEN),
        customer=envelope.reverse_path,
        recipients=tuple(Recipient(path, DeliveryKind.OWNER, "owner") for path in envelope.forward_paths),
        reasons=(Reason.of("asked", octets=len(octets), ip=envelope.peer.ip),),
    )


@pytest.fixture
async def context(config: Config) -> AsyncIterator[OperationContext]:
    store = SqliteStore(config.storage.path, create=True)
    woken: list[int] = []
    try:
        yield OperationContext(
            store=store,
            directory=BuiltinDirectory(store, PublicDomains(())),
            config=config,
            desk=config.desk(),
            now=lambda: NOW,
            wake=lambda: woken.append(1),
            who="person:ann",
            decide=_decide,
        )
    finally:
        await store.aclose()


def decision_of(queue_id: str, *, address: str = "support", is_probe: bool = False) -> Decision:
    """An inbound mail of a known company that opens a ticket."""
    reasons = (
        Reason.of("place.to", address="support@desk.test"),
        Reason.of("author.external", author="ann@customer.test"),
        Reason.of("owners.company_by_domain", company="Acme"),
        Reason.of("owners.deal_chosen", deal="Rollout", state="open"),
        Reason.of("stage.opened_inbound", stage="NEW"),
    )
    return Decision(
        Direction.INBOUND,
        Place.TO,
        address,
        Proof(Verdict.UNPROVEN),
        customer="ann@customer.test",
        company_id="C1",
        company_name="Acme",
        deal_id="D1",
        deal_name="Rollout",
        owners=("mori@desk.test",),
        recipients=(Recipient("mori@desk.test", DeliveryKind.OWNER, "owner"),),
        ticket=TicketPlan(TicketAction.OPEN, stage=Stage.NEW, moves=True),
        reasons=(*reasons, Reason.of("probe.reader_only", reader="mori@desk.test")) if is_probe else reasons,
    )


Settle = Callable[..., Awaitable[str]]


@pytest.fixture
def settle(context: OperationContext) -> Settle:
    """Accept and settle a mail with one copy; its queue id. ``outcome`` ends the copy's first attempt."""

    async def settled(
        queue_id: str,
        *,
        outcome: OutcomeKind | None = OutcomeKind.DELIVERED,
        address: str = "support",
        is_probe: bool = False,
        message_id: str = "<m1@customer.test>",
    ) -> str:
        lease = Lease("i:test:1", NOW + timedelta(seconds=30))
        envelope = Envelope("ann@customer.test", ("support@desk.test",), Peer("192.0.2.7", "mx.customer.test"))
        accepted = Accepted(queue_id, envelope, MAIL, NOW, message_id, "Broken")
        await context.store.accept(accepted, lease)
        decision = decision_of(queue_id, address=address, is_probe=is_probe)
        done = await context.store.settle(
            Settlement(
                queue_id=queue_id,
                now=NOW,
                lease=lease,
                state=MessageState.COMPOSED,
                direction="inbound",
                place="to",
                address_name=address,
                customer="ann@customer.test",
                decision=decision.to_json(),
                copy_plan={"address_name": address},
                opening=TicketOpening(
                    Stage.NEW, address, "Broken", "broken", "ann@customer.test", "customer.test", "C1", "Acme", "D1",
                    "Rollout", ("mori@desk.test",),
                ),
                is_inbound=True,
                sent_at=NOW,
                deliveries=(NewDelivery("mori@desk.test", DeliveryKind.OWNER, "owner"),),
                changes=(
                    Change("message.decided", "relay", {"direction": "inbound", "recipients": ["mori@desk.test"]}),
                    Change("ticket.opened", "mail:ann@customer.test", {"to": "NEW"}),
                ),
            )
        )  # fmt: skip
        if outcome is not None:
            await context.store.report(_attempted(queue_id, done.deliveries[0].delivery_id, outcome))
        return queue_id

    return settled


def _attempted(queue_id: str, delivery_id: int, kind: OutcomeKind) -> Attempted:
    outcome = Outcome(kind, Phase.DOT, 250, "2.0.0", "Ok: queued as 4711", "smtp.desk.test:587")
    state = DeliveryState(kind.value)
    attempted = Attempted(delivery_id, queue_id, 1, outcome, state, NOW)
    if kind == OutcomeKind.DEFERRED:
        weather = Outcome(kind, Phase.RCPT, 451, "4.7.1", "Please try again later", "smtp.desk.test:587")
        return replace(attempted, outcome=weather, due_at=NOW + timedelta(minutes=5))
    return attempted
