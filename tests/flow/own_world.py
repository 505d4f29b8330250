"""A store, a rulebook and a clerk on one clock; mails whose copies end as the test says."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contracts.store_samples import T0, a_copy, a_lease, a_mail, a_settlement, accept_and_settle, an_end
from flow.desk_samples import rulebook_of
from flow.desk_world import Clock
from supportrelay.core.delivery import DeliveryKind, DeliveryState
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.ports import Lease, SigningKey
from supportrelay.edge.store import SqliteStore
from supportrelay.flow.clerk import Clerk
from supportrelay.flow.office import Office, Rulebook
from supportrelay.i18n import catalogue

SUPPORT, ADMIN, ANN, BOB = "support@desk.test", "it@desk.test", "ann@desk.test", "bob@acme.example"


def octets_of(sender: str = BOB, *fields: str, body: str = "It burns.") -> bytes:
    head = [f"From: {sender}", f"To: {SUPPORT}", "Subject: Printer on fire", "Message-ID: <m1@acme.example>", *fields]
    return ("\r\n".join(head) + f"\r\n\r\n{body}\r\n").encode()


@cache
def _rulebook() -> Rulebook:
    with TemporaryDirectory() as folder:  # read once; the public suffixes take a third of a second
        return rulebook_of(Path(folder), None)


class OwnWorld:
    """One store, one clerk."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.clock = Clock()
        self.rulebook = _rulebook()
        self.numbers = itertools.count()
        self.keys = (SigningKey(0, b"k", T0),)
        self.clerk = self.new_clerk()

    def office(self, holder: str = "here:1:a") -> Office:
        return Office(
            store=self.store,
            rulebook=lambda: self.rulebook,
            keys=self.keys,
            instance="here",
            holder=holder,
            now=self.clock,
            new_id=lambda: f"{next(self.numbers):016d}",
            fraction=lambda: 0.0,
            lease=lambda: Lease(holder, self.clock() + timedelta(seconds=30)),
        )

    def new_clerk(self, holder: str = "here:1:a") -> Clerk:
        return Clerk(self.office(holder), self.store, catalogue, lambda: None)

    @property
    def at(self) -> float:
        return (self.clock() - T0).total_seconds()

    async def mail(
        self,
        queue_id: str,
        *copies: tuple[str, DeliveryKind],
        sender: str = BOB,
        octets: bytes | None = None,
        proven: bool = True,
        direction: str = "inbound",
        peer: Peer | None = None,
        paths: Sequence[str] = (SUPPORT,),
        **values: Any,
    ) -> list[int]:
        """A mail on its way to these; the ids of its copies."""
        envelope = Envelope(sender, tuple(paths), peer or Peer("192.0.2.7", "mail.acme.example"))
        mail = a_mail(
            queue_id, at=self.at, envelope=envelope, octets=octets_of(sender or BOB) if octets is None else octets
        )
        decision = {"direction": direction, "proven": proven, "reasons": [], "rules": []}
        settled = await accept_and_settle(
            self.store,
            a_settlement(
                queue_id,
                now=self.at,
                lease=a_lease(until=self.at + 30),
                address_name="desk",
                decision=decision,
                direction=direction,
                deliveries=tuple(a_copy(one, kind=kind) for one, kind in copies),
                **values,
            ),
            mail=mail,
        )
        return [one.delivery_id for one in settled.deliveries]

    async def ends(self, delivery_id: int, queue_id: str, state: DeliveryState, **values: Any) -> None:
        await self.store.report(an_end(delivery_id, queue_id, state, now=self.at, **values))

    async def dies(self, queue_id: str, **values: Any) -> None:
        """A customer's mail that neither its owner nor Allmember got."""
        (copy,) = await self.mail(queue_id, (ANN, DeliveryKind.OWNER), **values)
        await self.ends(copy, queue_id, DeliveryState.FAILED)
        await self.store.add_failover(queue_id, [], "all_failed", self.clock())

    async def own_mail(self) -> list[Message]:
        """What the clerk wrote, oldest first."""
        rows = await self.store.queue_list(finished=True)
        mine = [one for one in rows if one["deliveries"] and one["deliveries"][0]["kind"] == DeliveryKind.OWN]
        return [message_from_bytes(await self.store.content(one["queue_id"])) for one in mine]

    async def changes(self, queue_id: str) -> list[tuple[str, dict[str, Any]]]:
        life = (await self.store.trace(queue_id))[0]
        return [(one["what"], one["why"]) for one in life["changes"]]


def text_of(message: Message) -> str:
    """The text that people read."""
    part = next(one for one in message.walk() if one.get_content_type() == "text/plain")
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets.decode("utf-8").replace("\r\n", "\n")


def status_of(report: Message) -> list[Message]:
    """The groups of its message/delivery-status: of the message, then of each recipient."""
    part = next(one for one in report.walk() if one.get_content_type() == "message/delivery-status")
    found = part.get_payload()
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, Message) and one.keys()]
