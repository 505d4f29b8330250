"""StoreViews: what commands, control socket and board ask and change; answers are plain JSON values (DESIGN 8)."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from supportrelay.core.crm_import import ImportPlan
from supportrelay.core.errors import InputError
from supportrelay.core.mailbox import comparing_form
from supportrelay.core.ticket import Stage, parse_stage
from supportrelay.edge.store import desk_backlog, directory, holding, leases, queue, tickets
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.database import as_failure, connect
from supportrelay.edge.store.directory_import import import_companies
from supportrelay.edge.store.rows import rfc3339, to_microseconds
from supportrelay.edge.store.unreachable import unreachable
from supportrelay.edge.store.writer import Command

__all__ = ["StoreViews"]

T = TypeVar("T")


class _DryRunError(Exception):
    """Carries a summary out of a command whose writing is to be undone."""

    def __init__(self, summary: dict[str, Any]) -> None:
        super().__init__()
        self.summary = summary


class StoreViews:
    """Mixin of `SqliteStore`. Lists are read on a thread, each in one transaction: they may be long."""

    path: Path

    async def write(self, command: Command[T], *, slow: bool = False) -> T:
        """`SqliteStore.write`."""
        raise NotImplementedError

    async def _list(self, query: Command[T]) -> T:
        """Run a query on a thread and a connection of its own."""

        def ask() -> T:
            try:
                connection = connect(self.path, read_only=True, cache_kib=2048)
                try:
                    connection.execute("BEGIN")
                    return query(connection)
                finally:
                    connection.close()
            except sqlite3.Error as exc:
                raise as_failure(exc) from exc

        return await asyncio.to_thread(ask)

    # -- queue --

    async def queue_list(
        self, states: Sequence[str] | None = None, limit: int | None = None, *, finished: bool = False
    ) -> list[dict[str, Any]]:
        """Messages under way or waiting for a person, oldest first; see `queue.queue_list`."""
        return await self._list(
            lambda c: queue.queue_list(c, states=tuple(states or ()), finished=finished, limit=limit)
        )

    async def queue_show(self, name: str) -> dict[str, Any]:
        """One message by queue id or Message-ID; its octets: `content`."""
        return await self._list(lambda c: queue.queue_show(c, name))

    async def queue_retry(self, name: str | None, who: str, now: datetime) -> dict[str, Any]:
        """Due now; None: everything deferred. ``{queue_id, count}`` as all of these."""
        return await self.write(lambda c: queue.retry(c, name, who, to_microseconds(now)), slow=name is None)

    async def queue_hold(self, name: str, who: str, now: datetime) -> dict[str, Any]:
        """Wait for a person."""
        return await self.write(lambda c: queue.hold(c, name, who, to_microseconds(now)))

    async def queue_release(self, name: str, who: str, now: datetime) -> dict[str, Any]:
        """Go on."""
        return await self.write(lambda c: queue.release(c, name, who, to_microseconds(now)))

    async def hold_all(self, now: datetime) -> int:
        """The whole queue waits for a person; nobody else may have the store open. How many messages."""
        return await self.write(lambda c: holding.hold_all(c, to_microseconds(now), "held_at_start"), slow=True)

    async def queue_release_all(self, who: str, now: datetime) -> int:
        """Let go what a start or a restore held; how many messages."""
        return await self.write(lambda c: holding.release_all(c, who, to_microseconds(now)), slow=True)

    async def queue_drop(self, name: str, who: str, now: datetime, *, recipient: str | None = None) -> dict[str, Any]:
        """Out of the queue."""
        return await self.write(lambda c: queue.drop(c, name, recipient, who, to_microseconds(now)))

    async def trace(self, name: str) -> list[dict[str, Any]]:
        """Lives of the messages with this queue id or Message-ID."""
        return await self._list(lambda c: queue.trace(c, name))

    async def remove_probe(self, queue_id: str, who: str, now: datetime) -> int | None:
        """Delete the ticket that a probe made; its number, None when it had none of its own.

        Raises:
            InputError: No such message.
        """
        return await self.write(lambda c: queue.remove_probe(c, queue_id, who, to_microseconds(now)), slow=True)

    async def work_left(self, now: datetime) -> dict[str, int]:
        """Counts of due and running work (`leases.work_left`); empty when none is left."""
        return await self._list(lambda c: leases.work_left(c, to_microseconds(now)))

    async def desk_backlog(self) -> dict[str, Any]:
        """What waits for the outside desk, and why (`desk_backlog.backlog`)."""
        return await self._list(desk_backlog.backlog)

    # -- tickets --

    async def tickets_list(
        self,
        stage: str | None = None,
        customer: str | None = None,
        limit: int | None = None,
        *,
        merged: bool = False,
        trashed: bool = False,
    ) -> list[dict[str, Any]]:
        """Tickets, the last changed first; ``stage_label`` is the caller's to add. ``trashed``: those deleted too."""
        wanted = None if stage is None else str(_stage(stage))
        return await self._list(
            lambda c: tickets.tickets_list(
                c, stage=wanted, customer=customer, merged=merged, trashed=trashed, limit=limit
            )
        )

    async def ticket_show(self, ticket: str | int) -> dict[str, Any]:
        """One ticket with conversations, messages and history; ``12``, ``"12"`` and ``"SR-12"`` are the same."""
        return await self._list(lambda c: tickets.show(c, ticket))

    async def ticket_move(self, ticket: str | int, stage: str, who: str, now: datetime) -> dict[str, Any]:
        """A person moves a ticket."""
        to = _stage(stage)
        return await self.write(lambda c: tickets.move(c, ticket, to, who, to_microseconds(now)))

    async def tickets_merge(self, source: str | int, target: str | int, who: str, now: datetime) -> dict[str, Any]:
        """Merge ``source`` into ``target``; returns the target."""
        return await self.write(lambda c: tickets.merge(c, source, target, who, to_microseconds(now)))

    async def remove_ticket(self, ticket: str | int) -> bool:
        """Delete a probe's ticket; False when there is none."""
        return await self.write(lambda c: tickets.remove_ticket(c, ticket), slow=True)

    # -- the builtin CRM --

    async def companies(self) -> list[dict[str, Any]]:
        """All companies with domains, contacts and deals."""
        return await self._list(directory.companies_list)

    async def deals(self) -> list[dict[str, Any]]:
        """All deals."""
        return await self._list(directory.deals_list)

    async def set_deal_owners(
        self, deal: str, addresses: Sequence[str], who: str, now: datetime, *, clear: bool = False
    ) -> dict[str, Any]:
        """Replace a deal's owners; the deal as in `deals`."""
        return await self.write(
            lambda c: directory.set_deal_owners(c, deal, addresses, clear=clear, who=who, now=to_microseconds(now))
        )

    async def import_companies(
        self, plan: ImportPlan, who: str, now: datetime, *, replace: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        """``{companies: {added, updated, unchanged, removed}, contacts: ..., deals: ..., dry_run}``."""

        def command(connection: sqlite3.Connection) -> dict[str, Any]:
            summary = import_companies(connection, plan, replace=replace, who=who, now=to_microseconds(now))
            if dry_run:
                raise _DryRunError(summary)
            return summary

        try:
            summary = await self.write(command, slow=True)
        except _DryRunError as done:
            summary = done.summary
        return {**summary, "dry_run": dry_run}

    async def directory_refresh(self) -> None:
        """Every process reads the directory anew."""
        await self.write(directory.bump_version)

    # -- absences --

    async def absent_set(
        self, address: str, who: str, now: datetime, *, until: datetime | None = None, back: bool = False
    ) -> dict[str, Any]:
        """Somebody is away (until told otherwise without ``until``), or back; ``{address, absent, until}``.

        Raises:
            InputError: No address, or an ``until`` that is over.
        """
        key = comparing_form(address.strip())
        at = to_microseconds(now)
        end = None if until is None else to_microseconds(until)
        if end is not None and end <= at:
            raise InputError(f"--until: {rfc3339(end)} is over")

        def command(connection: sqlite3.Connection) -> None:
            if back:
                connection.execute("DELETE FROM absences WHERE address = ?", (key,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO absences (address, until, since, who) VALUES (?, ?, ?, ?)",
                    (key, end, at, who),
                )
            what = "owner.back" if back else "owner.absent"
            write_changes(connection, [change_row(at, what, who, {"address": key, "until": rfc3339(end)})])

        await self.write(command)
        return {"address": key, "absent": not back, "until": None if back else rfc3339(end)}

    async def unreachable(self, now: datetime) -> list[dict[str, Any]]:
        """To whom three copies within a week failed for good: ``{address, failures, since, last_at, text}``."""
        rows = await self._list(lambda c: unreachable(c, to_microseconds(now)))
        return [
            {"address": r[0], "failures": r[1], "since": rfc3339(r[2]), "last_at": rfc3339(r[3]), "text": r[4]}
            for r in rows
        ]

    async def absences(self, now: datetime) -> list[dict[str, Any]]:
        """Who is away now: ``{address, until, since, who}``."""
        rows = await self._list(
            lambda c: c.execute(
                "SELECT address, until, since, who FROM absences WHERE until IS NULL OR until > ? ORDER BY address",
                (to_microseconds(now),),
            ).fetchall()
        )
        return [{"address": r[0], "until": rfc3339(r[1]), "since": rfc3339(r[2]), "who": r[3]} for r in rows]


def _stage(word: str) -> Stage:
    if word == Stage.OTHER:
        return Stage.OTHER
    try:
        return parse_stage(word)
    except ValueError as exc:
        raise InputError(str(exc)) from exc
