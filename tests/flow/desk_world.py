"""A store, a desk and workers on one clock."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from contracts.desk_fake import FakeDesk
from contracts.store_samples import T0, a_join, a_lease, a_mail, a_settlement, accept_and_settle, an_opening_settlement
from supportrelay.core.ports import DeskOrder, Lease, Settled, SigningKey
from supportrelay.core.ticket import Stage
from supportrelay.edge.store import SqliteStore
from supportrelay.flow.desk_work import DeskWorker
from supportrelay.flow.office import Office, Rulebook

OCTETS = (
    b"From: Ann Archer <ann@acme.example>\r\nTo: support@relay.test\r\nCc: Bob <bob@acme.example>\r\n"
    b"Subject: Printer on fire\r\nMessage-ID: <%s@acme.example>\r\n\r\nIt burns.\r\n\r\n> quoted\r\n"
)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.at = T0

    def __call__(self) -> datetime:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class World:
    """One store and one desk; workers by name."""

    def __init__(self, store: SqliteStore, desk: FakeDesk | None = None) -> None:
        self.clock = Clock()
        self.store = store
        self.desk = desk or FakeDesk(self.clock)

    def office(self, holder: str = "here:1:a") -> Office:
        return Office(
            store=self.store,
            rulebook=cast("Callable[[], Rulebook]", None),  # these stations ask for none
            keys=(SigningKey(0, b"k", T0),),
            instance="here",
            holder=holder,
            now=self.clock,
            new_id=lambda: "",
            fraction=lambda: 0.0,
            lease=lambda: Lease(holder, self.clock() + timedelta(seconds=30)),
        )

    def worker(self, holder: str = "here:1:a", *, slots: int = 4) -> DeskWorker:
        return DeskWorker(self.office(holder), self.store, self.desk, slots=slots)

    async def opens(self, queue_id: str, stage: Stage = Stage.NEW, **values: Any) -> Settled:
        """A mail that makes a ticket, accepted now."""
        order = values.pop("desk", DeskOrder(stage, records=True))
        return await self._settle(
            queue_id, lambda **more: an_opening_settlement(queue_id, desk=order, **(values | more)), values
        )

    async def joins(self, queue_id: str, to: Settled, stage: Stage | None, **values: Any) -> Settled:
        """A mail that joins a ticket, accepted now."""
        order = values.pop("desk", DeskOrder(stage, records=True))
        change = a_join(to, stage=stage)
        return await self._settle(
            queue_id, lambda **more: a_settlement(queue_id, desk=order, change=change, **(values | more)), values
        )

    async def _settle(self, queue_id: str, make: Callable[..., Any], values: dict[str, Any]) -> Settled:
        at = (self.clock() - T0).total_seconds()
        octets = values.pop("octets", OCTETS % queue_id.encode())
        mail = a_mail(queue_id, at=at, octets=octets)
        lease = a_lease(until=at + 30)
        return await accept_and_settle(self.store, make(now=at, lease=lease, accepted_at=self.clock()), mail=mail)

    async def work_off(self, *workers: DeskWorker) -> None:
        """Until nothing is due any more."""
        busy = True
        while busy:
            waits = [await worker._pick_up() for worker in workers]
            busy = not all(waits) or any(worker._chores for worker in workers)
            await asyncio.gather(*(task for worker in workers for task in (*worker._held.values(), *worker._chores)))

    def asked(self, *methods: str) -> list[str]:
        """Which methods of the desk were called, in order."""
        return [name for name, _ in self.desk.calls if not methods or name in methods]

    def told(self, ticket: Settled) -> list[str]:
        """What the record says of the desk on a ticket, in order."""
        sql = "SELECT what FROM changes WHERE ticket_id = ? AND what LIKE 'desk.%' ORDER BY id"
        return [row[0] for row in self.store.read(lambda c: c.execute(sql, (ticket.ticket_id,)).fetchall())]

    def why(self, ticket: Settled, what: str) -> dict[str, Any]:
        """Values of the last change of that name."""
        sql = "SELECT why FROM changes WHERE ticket_id = ? AND what = ? ORDER BY id DESC LIMIT 1"
        row = self.store.read(lambda c: c.execute(sql, (ticket.ticket_id, what)).fetchone())
        return dict(json.loads(row[0]))

    def row(self, ticket: Settled, *columns: str) -> Sequence[Any]:
        """Of our ticket joined with its row for the desk."""
        sql = (
            f"SELECT {', '.join(columns)} FROM tickets t LEFT JOIN desk_tickets d ON d.ticket_id = t.id WHERE t.id = ?"
        )
        return tuple(self.store.read(lambda c: c.execute(sql, (ticket.ticket_id,)).fetchone()))

    def stage(self, ticket: Settled) -> str:
        """The mirror's."""
        return str(self.row(ticket, "t.stage")[0])

    def work_left(self) -> int:
        return int(self.store.read(lambda c: c.execute("SELECT count(*) FROM desk_work").fetchone())[0])

    def there(self) -> list[Stage]:
        """Stages of all tickets at the desk."""
        return [ticket.stage for ticket in self.desk.tickets.values()]
