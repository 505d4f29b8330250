"""SqliteStore: everything that is kept, in one SQLite file and a folder beside it."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from supportrelay.core.delivery import Outcome
from supportrelay.core.errors import InputError, TransientFailure
from supportrelay.core.ports import (
    Accepted,
    Attempted,
    ClaimedDelivery,
    ClaimedMessage,
    DeliveryView,
    Gathered,
    Lease,
    NewDelivery,
    OtherForm,
    Reported,
    Settled,
    Settlement,
    SigningKey,
    WaitingMessage,
    WhereFrom,
)
from supportrelay.core.robot_limits import USUAL, Limit, RobotLimits, RobotStop
from supportrelay.edge.store import claims, intake, leases, lookup
from supportrelay.edge.store import deliveries as copies
from supportrelay.edge.store.contents import LARGEST_IN_DATABASE_OCTETS, ContentFiles
from supportrelay.edge.store.crm_store import StoreCrm
from supportrelay.edge.store.database import as_failure, connect, prepare
from supportrelay.edge.store.own_store import StoreOwn
from supportrelay.edge.store.removal_store import StoreRemoval
from supportrelay.edge.store.robots import count_robot
from supportrelay.edge.store.rows import from_microseconds, to_microseconds
from supportrelay.edge.store.settle import settle
from supportrelay.edge.store.users import StoreUsers
from supportrelay.edge.store.views import StoreViews
from supportrelay.edge.store.wellness import Wellness
from supportrelay.edge.store.writer import Command, GroupWriter

__all__ = ["SqliteStore", "sqlite_path"]

T = TypeVar("T")


def sqlite_path(url: str, base: Path | None = None) -> Path:
    """The file of ``sqlite:////absolute/path`` or ``sqlite:///relative`` (to ``base``).

    Raises:
        InputError: Another kind of URL, or no path.
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix) or len(url) == len(prefix):
        raise InputError(f"storage.url: {url!r} is not sqlite:////PATH")
    path = Path(url.removeprefix(prefix))
    return path if base is None or path.is_absolute() else base / path


class SqliteStore(StoreViews, StoreUsers, StoreCrm, StoreOwn, StoreRemoval):
    """`core.ports.Store` and the store's part of `core.crm_ports` on SQLite.

    WAL, synchronous=FULL, one sync for all commands that wait.

    Make it after a fork, once a process; commands belong to one event loop. Everything shared is in the file, so any
    number of processes may have it open.

    Args:
        path: The database file; ``PATH-turn``, ``PATH-gate`` and ``contents/`` lie beside it.
        create: Make it when it is missing; else a missing file is refused (an empty queue must not come by accident).

    Raises:
        StoreError: See `database.prepare`.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        prepare(path, create=create)
        self.path = path
        self._writer = GroupWriter(path)
        # Short reads by key run on the event loop itself: they take microseconds, a thread would take longer to wake.
        self._reader = connect(path, read_only=True, cache_kib=8192)
        self._contents = ContentFiles(path.parent / "contents")

    @property
    def health(self) -> Wellness:
        """What this process knows of its disk."""
        return self._writer.wellness

    @property
    def commits(self) -> int:
        """Transactions of this process."""
        return self._writer.commits

    @property
    def commands(self) -> int:
        """Commands of this process; over `commits`: how many share a sync."""
        return self._writer.commands

    async def aclose(self) -> None:
        """Finish what is under way and close."""
        await self._writer.aclose()
        self._reader.close()

    async def write(self, command: Command[T], *, slow: bool = False) -> T:
        """Run a command in the next transaction; its answer is there when it is committed and synced."""
        return await self._writer.submit(command, slow=slow)

    def read(self, query: Command[T]) -> T:
        """Run a short query by key on the calling thread, which is the event loop's."""
        try:
            return query(self._reader)
        except sqlite3.Error as exc:
            raise as_failure(exc) from exc

    # -- messages --

    async def accept(self, message: Accepted, lease: Lease | None) -> None:
        """Commit and sync a message in ACCEPTED."""
        file = None
        if len(message.octets) > LARGEST_IN_DATABASE_OCTETS:
            try:
                file = await asyncio.to_thread(self._contents.write, message.queue_id, message.octets)
            except OSError as exc:
                self._writer.note(exc)
                raise as_failure(exc) from exc
        holder = lease.holder if lease else None
        until = to_microseconds(lease.until) if lease else 0
        await self.write(lambda c: intake.accept(c, message, holder, until, file))

    async def gather(self, where_from: WhereFrom) -> Gathered:
        """What is known about a mail."""
        return self.read(lambda c: lookup.gather(c, where_from))

    async def settle(self, settlement: Settlement) -> Settled:
        """Commit a decision."""
        return await self.write(lambda c: settle(c, settlement))

    async def claim_messages(
        self, now: datetime, lease: Lease, limit: int, *, suspects: int = 1
    ) -> list[ClaimedMessage]:
        """Take due messages, oldest first."""
        at, until = to_microseconds(now), to_microseconds(lease.until)
        if not self.read(lambda c: intake.has_due_messages(c, at)):
            return []
        claimed = await self.write(lambda c: intake.claim_messages(c, at, lease.holder, until, limit, suspects))
        messages = [await self._with_content(message, now) for message in claimed]
        return [message for message in messages if message is not None]

    async def _with_content(self, claimed: intake.Claimed, now: datetime) -> ClaimedMessage | None:
        """With its octets; None when they are lost, and then a person is told instead of the others being blocked."""
        try:
            octets = await self.content(claimed.queue_id)
        except KeyError:
            await self.hold_message(claimed.queue_id, "content_lost", now)
            return None
        accepted = Accepted(
            claimed.queue_id,
            claimed.envelope,
            octets,
            from_microseconds(claimed.accepted_at),
            claimed.message_id,
            claimed.subject,
        )
        first_wait_at = None if claimed.first_wait_at is None else from_microseconds(claimed.first_wait_at)
        return ClaimedMessage(accepted, claimed.tries, first_wait_at, claimed.released_by)

    async def content(self, queue_id: str) -> bytes:
        """The octets as received."""
        octets, file = self.read(lambda c: intake.content(c, queue_id))
        return octets if octets is not None else await self._read_file(file)

    async def _read_file(self, file: str | None) -> bytes:
        if file is None:
            raise KeyError(file)
        try:
            return await asyncio.to_thread(self._contents.read, file)
        except OSError as exc:
            raise TransientFailure("4.3.0", "Cannot read now", detail=f"store: {exc}") from exc

    async def hold_message(self, queue_id: str, why: str, now: datetime) -> None:
        """Hold a message."""
        await self.write(lambda c: intake.hold_message(c, queue_id, why, to_microseconds(now)))

    # -- copies --

    async def report(self, attempted: Attempted) -> Reported:
        """Commit the end of an attempt."""
        return await self.write(lambda c: copies.report(c, attempted))

    async def claim_deliveries(
        self, now: datetime, lease: Lease, limit: int, *, suspects: int = 1
    ) -> list[ClaimedDelivery]:
        """Take due deliveries, oldest first, and record the beginning of an attempt for each."""
        if not self.read(lambda c: claims.has_due_deliveries(c, to_microseconds(now))):
            return []
        until = to_microseconds(lease.until)
        return await self.write(lambda c: claims.claim_deliveries(c, now, lease.holder, until, limit, suspects))

    async def add_failover(self, queue_id: str, deliveries: Sequence[NewDelivery], why: str, now: datetime) -> None:
        """Add copies for Allmember, once a message; none to add means that every way was tried."""
        at = to_microseconds(now)
        await self.write(lambda c: copies.add_failover(c, queue_id, deliveries, why, at))

    async def nobody_got(self, accepted_before: datetime, limit: int) -> list[WaitingMessage]:
        """Messages that nobody has got."""
        return self.read(lambda c: copies.nobody_got(c, to_microseconds(accepted_before), limit))

    async def delivery(self, delivery_id: int) -> DeliveryView | None:
        """One delivery."""
        return self.read(lambda c: copies.delivery(c, delivery_id))

    async def delivery_of_copy(self, message_id: str, recipient: str) -> DeliveryView | None:
        """The newest delivery of a mail with this Message-ID to that recipient."""
        return self.read(lambda c: copies.delivery_of_copy(c, message_id, recipient))

    async def deliveries_of(self, queue_id: str) -> list[DeliveryView]:
        """All copies of a message."""
        return self.read(lambda c: copies.deliveries_of(c, queue_id))

    async def mails_outside(self, ticket_id: int, limit: int) -> list[str]:
        """The newest mails of a ticket from or to people outside."""
        return self.read(lambda c: copies.mails_outside(c, ticket_id, limit))

    async def fail_delivery(
        self, delivery_id: int, outcome: Outcome, now: datetime, other_form: OtherForm | None = None
    ) -> Reported:
        """A report said that a delivered copy did not arrive; with ``other_form`` it is sent again as that."""
        at = to_microseconds(now)
        return await self.write(lambda c: copies.fail_delivery(c, delivery_id, outcome, at, other_form))

    # -- leases --

    async def renew(self, now: datetime, lease: Lease, queue_ids: Sequence[str], delivery_ids: Sequence[int]) -> bool:
        """Prolong what the holder holds."""
        del now  # what ran out but nobody took is still held
        until = to_microseconds(lease.until)
        return await self.write(lambda c: leases.renew(c, lease.holder, until, queue_ids, delivery_ids))

    async def release(self, holder: str, now: datetime) -> None:
        """Hand back everything a holder holds."""
        await self.write(lambda c: leases.release(c, holder, to_microseconds(now)))

    async def take_back(self, instance: str, now: datetime) -> int:
        """Free everything an earlier life of this instance held."""
        return await self.write(lambda c: leases.take_back(c, instance, to_microseconds(now)))

    async def mend_due_times(self, now: datetime) -> int:
        """Bring back what a clock that ran ahead put off too far."""
        at = to_microseconds(now)
        if not self.read(lambda c: leases.has_far_due_times(c, at)):
            return 0
        return await self.write(lambda c: leases.mend_due_times(c, at))

    # -- desk --

    async def instance(self) -> str:
        """Name of this store's relay, made with the file; leases of its workers begin with it."""
        row = self.read(lambda c: c.execute("SELECT value FROM meta WHERE name = 'instance_id'").fetchone())
        return str(row[0])

    async def signing_keys(self) -> list[SigningKey]:
        """All keys, newest first."""
        keys = self.read(_signing_keys)
        return keys or await self.write(_make_signing_key)

    async def absent_until(self, now: datetime) -> Mapping[str, datetime | None]:
        """Who is away now."""
        rows = self.read(
            lambda c: c.execute(
                "SELECT address, until FROM absences WHERE until IS NULL OR until > ?", (to_microseconds(now),)
            ).fetchall()
        )
        return {address: None if until is None else from_microseconds(until) for address, until in rows}

    async def count_robot(
        self, queue_id: str, limits: Mapping[str, Sequence[Limit]], now: datetime, of_desk: RobotLimits = USUAL
    ) -> RobotStop | None:
        """Count an automatic mail against its limits."""
        return await self.write(lambda c: count_robot(c, queue_id, limits, to_microseconds(now), of_desk))


def _signing_keys(connection: sqlite3.Connection) -> list[SigningKey]:
    rows = connection.execute("SELECT id, secret, made_at FROM signing_keys ORDER BY id DESC").fetchall()
    return [SigningKey(row[0], row[1], from_microseconds(row[2])) for row in rows]


def _make_signing_key(connection: sqlite3.Connection) -> list[SigningKey]:
    # Another process may have been first.
    if not connection.execute("SELECT 1 FROM signing_keys").fetchone():
        connection.execute(
            "INSERT INTO signing_keys (secret, made_at) VALUES (?, ?)",
            (secrets.token_bytes(32), time.time_ns() // 1000),
        )
    return _signing_keys(connection)
