"""StoreCrm: `DeskQueue`, `Gate` and `CrmMemory` on the store.

What nobody would write is not written: a question on the reading connection comes before every command that often finds
nothing to do.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from supportrelay.core.adoption import AdoptableTicket, Adoption
from supportrelay.core.alarm import Alarm, AlarmKind
from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskDone, GateState, Remembered
from supportrelay.core.outside import DeskTicket
from supportrelay.core.ports import Lease
from supportrelay.edge.store import adopt as adopting
from supportrelay.edge.store import crm_memory, desk, desk_mirror, desk_trash
from supportrelay.edge.store.alarms import raise_alarm
from supportrelay.edge.store.rows import from_microseconds, to_microseconds
from supportrelay.edge.store.tickets import leads_to
from supportrelay.edge.store.writer import Command

__all__ = ["StoreCrm"]

T = TypeVar("T")

_PURGED_A_CALL = 50
_UNAUTHORISED = ": 401 "  # as the CRM's client writes why a gate is closed
_DROPPED_A_CALL = 200  # 8 ms with bodies of 10 kB


def _close(connection: sqlite3.Connection, name: str, until: int, why: str) -> None:
    """A token that is refused is for a person to mend: nothing else opens that gate."""
    crm_memory.close(connection, name, until, why)
    if _UNAUTHORISED in why:
        now = time.time_ns() // 1000
        raise_alarm(connection, Alarm(AlarmKind.CRM_TOKEN_REFUSED, name.partition(":")[0], {"text": why}), now)


class StoreCrm:
    """Mixin of `SqliteStore`."""

    async def write(self, command: Command[T], *, slow: bool = False) -> T:
        """`SqliteStore.write`."""
        raise NotImplementedError

    def read(self, query: Command[T]) -> T:
        """`SqliteStore.read`."""
        raise NotImplementedError

    async def _list(self, query: Command[T]) -> T:
        """`StoreViews._list`."""
        raise NotImplementedError

    # -- work for the outside desk --

    async def claim_desk(self, now: datetime, lease: Lease, limit: int) -> list[ClaimedDeskTicket]:
        """Take tickets with due work, longest due first, and record that it began."""
        at, until = to_microseconds(now), to_microseconds(lease.until)
        if not self.read(lambda c: desk.has_due(c, at)):
            return []
        return await self.write(lambda c: desk.claim(c, at, lease.holder, until, limit))

    async def renew_desk(self, ticket_ids: Sequence[int], lease: Lease) -> bool:
        """Prolong; False when any is no longer ours."""
        until = to_microseconds(lease.until)
        return await self.write(lambda c: desk.renew(c, ticket_ids, lease.holder, until))

    async def desk_opened(self, ticket_id: int, made: DeskTicket, lease: Lease, now: datetime) -> bool:
        """The ticket is there; False when the lease was lost."""
        return await self.write(lambda c: desk.opened(c, ticket_id, made, lease.holder, to_microseconds(now)))

    async def desk_done(self, ticket_id: int, done: DeskDone, lease: Lease, now: datetime) -> bool:
        """A piece of work is done, wholly or in part; False when the lease was lost."""
        return await self.write(lambda c: desk.done(c, ticket_id, done, lease.holder, to_microseconds(now)))

    async def desk_end(
        self,
        ticket_id: int,
        lease: Lease,
        now: datetime,
        *,
        due_at: datetime | None = None,
        error: str = "",
        counts: bool = True,
    ) -> None:
        """Hand the ticket back."""
        at, due = to_microseconds(now), None if due_at is None else to_microseconds(due_at)
        await self.write(lambda c: desk.end(c, ticket_id, lease.holder, at, due_at=due, error=error, counts=counts))

    async def desk_due_now(self, now: datetime) -> int:
        """Everything put off is due now."""
        at = to_microseconds(now)
        if not self.read(lambda c: desk.has_put_off(c, at)):
            return 0
        return await self.write(lambda c: desk.due_now(c, at), slow=True)  # after a day without the desk these are many

    # -- what happens there --

    async def desk_seen(
        self, tickets: Sequence[tuple[DeskTicket, datetime]], now: datetime, *, who: str = "desk"
    ) -> list[int]:
        """Write stages that somebody changed at the desk to the mirror; the numbers of tickets that changed."""
        seen = [(ticket, to_microseconds(at)) for ticket, at in tickets]
        if not self.read(lambda c: desk_mirror.has_seen(c, seen)):
            return []
        return await self.write(lambda c: desk_mirror.seen(c, seen, who, to_microseconds(now)))

    async def desk_unlike(self, tickets: Sequence[DeskTicket]) -> list[str]:
        """External ids worth a closer look."""
        return self.read(lambda c: desk_mirror.unlike(c, tickets))

    async def desk_gone(self, external_id: str, now: datetime, *, keep_from: str = "", who: str = "desk") -> int | None:
        """A ticket was deleted at the desk: ours goes into the trash, mail that came after it to a new one."""
        at = to_microseconds(now)
        return await self.write(lambda c: desk_trash.gone(c, external_id, keep_from, who, at), slow=True)

    async def desk_to_check(self, limit: int, before: datetime, *, now: datetime | None = None) -> list[str]:
        """Living tickets longest not looked at; they count as looked at."""
        since, at = to_microseconds(before), time.time_ns() // 1000 if now is None else to_microseconds(now)
        if not self.read(lambda c: desk_mirror.has_to_check(c, since)):
            return []
        return await self.write(lambda c: desk_mirror.to_check(c, limit, since, at))

    async def purge_trash(self, before: datetime, *, now: datetime | None = None) -> int:
        """Delete what lies in the trash since earlier than that; at most 50 tickets a call, a commit each.

        All ids of mails are walked once, by a reader: nobody waits for that.
        """
        until, at = to_microseconds(before), time.time_ns() // 1000 if now is None else to_microseconds(now)
        numbers = self.read(lambda c: desk_trash.in_trash(c, until, _PURGED_A_CALL))
        leads = await self._list(lambda c: leads_to(c, numbers)) if numbers else {}
        count = 0
        for number in numbers:
            count += await self.write(lambda c, n=number: desk_trash.purge(c, n, leads, until, at), slow=True)  # type: ignore[misc]
        return count

    async def adopt(
        self,
        tickets: Sequence[AdoptableTicket],
        now: datetime,
        *,
        address: str,
        domain_of: Callable[[str], str],
        subject_tags: Sequence[str] = (),
        who: str = "relay",
        dry_run: bool = False,
    ) -> Adoption:
        """Make a mirror of tickets that were at the desk before us, in one commit; see `adopt.adopt`."""
        at = to_microseconds(now)
        return await self.write(
            lambda c: adopting.adopt(
                c,
                tickets,
                at,
                address=address,
                domain_of=domain_of,
                subject_tags=subject_tags,
                who=who,
                dry_run=dry_run,
            ),
            slow=True,
        )

    # -- duties --

    async def hold_duty(self, name: str, lease: Lease, now: datetime) -> Mapping[str, Any] | None:
        """Become or stay the one process that has this duty; its notes, None when somebody else has it."""
        at, until = to_microseconds(now), to_microseconds(lease.until)
        if self.read(lambda c: crm_memory.someone_elses_duty(c, name, lease.holder, at)):
            return None
        return await self.write(lambda c: crm_memory.hold_duty(c, name, lease.holder, until, at))

    async def note_duty(self, name: str, lease: Lease, notes: Mapping[str, Any]) -> None:
        """Keep notes with the duty."""
        await self.write(lambda c: crm_memory.note_duty(c, name, lease.holder, notes))

    # -- gates --

    async def enter(
        self, name: str, *, every_us: int, burst: int, daily: int | None, now: datetime, most_wait_us: int
    ) -> datetime:
        """Book one call; when it may be made."""
        at = to_microseconds(now)
        booking = self.read(lambda c: crm_memory.is_closed_until(c, name, at))
        if booking is None:
            # A refusal is an answer, no exception: that would have the whole batch of the writer run again.
            booking = await self.write(
                lambda c: crm_memory.enter(
                    c, name, every_us=every_us, burst=burst, daily=daily, now=at, most_wait_us=most_wait_us
                )
            )
        if booking.cause:
            raise booking.refusal()
        return from_microseconds(booking.at)

    async def close(self, name: str, until: datetime, why: str) -> None:
        """Let nobody through until then; a gate closed for longer stays so."""
        state = await self.gate(name)
        if state.closed_until is None or state.closed_until < until:
            await self.write(lambda c: _close(c, name, to_microseconds(until), why))

    async def reopen(self, name: str) -> None:
        """Let them through again, here and at the gates below it."""
        if self.read(lambda c: crm_memory.closed_gates(c, name)):
            await self.write(lambda c: crm_memory.reopen(c, name))

    async def gate(self, name: str) -> GateState:
        """As it stands."""
        return self.read(lambda c: crm_memory.gate(c, name))

    # -- answers --

    def recall(self, kind: str, key: str) -> Remembered | None:
        """What is kept under a key."""
        return self.read(lambda c: crm_memory.recall(c, kind, key))

    def stamp(self, kind: str, key: str) -> tuple[datetime, datetime] | None:
        """From when that is and until when it is fresh."""
        return self.read(lambda c: crm_memory.stamp(c, kind, key))

    async def remember(self, kind: str, answers: Mapping[str, Any], known_at: datetime, expires_at: datetime) -> None:
        """Keep these answers, in one commit; none when they are kept so already."""
        known, expires = to_microseconds(known_at), to_microseconds(expires_at)
        rows = self.read(lambda c: crm_memory.unlike_remembered(c, kind, answers, expires))
        if rows:
            await self.write(lambda c: crm_memory.remember(c, kind, rows, known, expires))

    async def expire(self, kind: str, domain: str = "", *, now: datetime | None = None) -> int:
        """Answers about a domain ("": all of the kind) are no longer fresh; how many were.

        Only what is fresh is written: years of bodies would be, else.
        """
        at = time.time_ns() // 1000 if now is None else to_microseconds(now)
        keys = await self._list(lambda c: crm_memory.fresh_answers(c, kind, domain, at))
        return await self.write(lambda c: crm_memory.expire(c, kind, keys), slow=True) if keys else 0

    async def drop_answers(self, before: datetime, *, most: int = _DROPPED_A_CALL) -> int:
        """Delete answers from before that, at most so many; how many."""
        until = to_microseconds(before)
        keys = await self._list(lambda c: crm_memory.old_answers(c, until, most))
        return await self.write(lambda c: crm_memory.drop_answers(c, keys, until), slow=True) if keys else 0
