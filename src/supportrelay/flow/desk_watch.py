"""desk_watch: what people do at the outside desk comes back to the mirror: moved tickets, deleted tickets.

Every worker process has one; the one that holds the duty asks, the others wait to take over. A desk's list of changes
may lag, so each ticket that differs is read by its id before anything is believed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from supportrelay.core.crm_ports import DeskQueue, TicketDesk
from supportrelay.core.desk_sync import moved_at
from supportrelay.core.errors import CrmDown, CrmRefusal, TransientFailure
from supportrelay.core.outside import DeskTicket
from supportrelay.core.ports import Lease
from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.flow.office import Office
from supportrelay.log import get_logger

__all__ = ["DUTY", "DeskWatch"]

log = get_logger()

DUTY = "desk.watch"
_LEAST_LEASE = timedelta(seconds=30)
_FIRST_LOOK_BACK = timedelta(hours=1)
_MOST_PAGES = 20
_CHECK_EVERY = timedelta(minutes=5)
_CHECK_EACH = timedelta(hours=1)
_CHECKED_AT_ONCE = 100
_TOO_MANY_GONE = 10
_PURGE_EVERY = timedelta(days=1)
_TRASH_KEPT = timedelta(days=30)


class DeskWatch:
    """Looks at the desk in regular intervals, and at once where a webhook says so.

    Args:
        queue: The store.
        poll_every: Between two looks; may be changed while it runs.
    """

    def __init__(
        self,
        office: Office,
        queue: DeskQueue,
        desk: TicketDesk,
        *,
        poll_every: timedelta = timedelta(seconds=30),
    ) -> None:
        self._office = office
        self._queue = queue
        self._desk = desk
        self.poll_every = poll_every
        self._who = f"desk:{desk.kind}"
        self._is_down = False
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Look every interval until `leave`; never raises."""
        while not self._leaving.is_set():
            await self.tick()
            try:
                await asyncio.wait_for(self._leaving.wait(), self.poll_every.total_seconds())
            except TimeoutError:
                continue

    def leave(self) -> None:
        """Look no more; who takes over the duty goes on from the notes."""
        self._leaving.set()

    async def tick(self) -> bool:
        """One look, if the duty is ours; True when it was. Never raises."""
        try:
            notes = await self._queue.hold_duty(DUTY, self._lease(), self._office.now())
            if notes is None:
                return False
            if self._desk.tells_stage:
                notes = await self._poll(notes)
            notes = await self._check(notes)
            await self._purge(notes)
            self._is_down = False
        except (TransientFailure, CrmRefusal) as exc:
            # Said once; the desk's own client says what else there is to say.
            if not self._is_down:
                log.warning("desk.watch_failed", detail=str(exc))
            self._is_down = True
        except Exception:
            log.exception("desk.watch_failed")
        return True

    async def look(self, external_ids: Sequence[str]) -> None:
        """Look at these tickets now (a webhook named them); whoever else's they are costs nothing. Never raises."""
        try:
            # Any stage but the mirror's is worth a look: asked with two, each of ours is among the answers.
            now = self._office.now()
            asked = [DeskTicket(one, stage, "", now) for one in external_ids for stage in (Stage.OTHER, Stage.NEW)]
            await self._look_at(await self._queue.desk_unlike(asked))
        except (TransientFailure, CrmRefusal) as exc:
            log.warning("desk.watch_failed", detail=str(exc))
        except Exception:
            log.exception("desk.watch_failed")

    # -- what changed ------------------------------------------------------------------------------------------------

    async def _poll(self, notes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Everything changed since the cursor, which moves on only past what was looked at."""
        since = _instant(notes.get("since"))
        since = since or self._office.now() - _FIRST_LOOK_BACK
        for _ in range(_MOST_PAGES):
            changes = await self._desk.changed(since)
            await self._look_at(await self._queue.desk_unlike(changes.tickets))
            since = changes.until
            notes = await self._note(notes, since=since.isoformat())
            if changes.is_whole:
                break
        return notes

    async def _look_at(self, external_ids: Sequence[str]) -> None:
        for external_id in external_ids:
            there = await self._desk.current(external_id)
            if there is None:
                await self._gone(external_id)
                continue
            # Merged into another one there, ours follows that one under its own id.
            seen = replace(there, external_id=external_id)
            moved = await self._queue.desk_seen([(seen, moved_at(there))], self._office.now(), who=self._who)
            if moved:
                labels = [ticket_label(one) for one in moved]
                log.info("desk.ticket_moved", tickets=labels, stage=str(there.stage), external_id=external_id)

    async def _gone(self, external_id: str) -> None:
        new = await self._queue.desk_gone(external_id, self._office.now(), who=self._who)
        log.info("desk.ticket_gone", external_id=external_id, new=ticket_label(new) if new else "")

    # -- what no list of changes tells -------------------------------------------------------------------------------

    async def _check(self, notes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Living tickets, each about once an hour: deleted ones are in no list of changes."""
        now = self._office.now()
        if not _is_due(notes.get("checked_at"), now, _CHECK_EVERY):
            return notes
        external_ids = await self._queue.desk_to_check(_CHECKED_AT_ONCE, now - _CHECK_EACH, now=now)
        gone = await self._desk.gone(external_ids) if external_ids else frozenset()
        notes = await self._note(notes, checked_at=now.isoformat())
        if len(gone) >= _TOO_MANY_GONE and gone >= set(external_ids):
            # Nobody deletes them all; it is another account's token, and from the trash none would come back by itself.
            raise CrmDown(f"none of {len(gone)} tickets is there: is it the token of another account?")
        for external_id in sorted(gone):
            await self._gone(external_id)
        return notes

    async def _purge(self, notes: Mapping[str, Any]) -> None:
        now = self._office.now()
        if not _is_due(notes.get("purged_at"), now, _PURGE_EVERY):
            return
        count = 0
        while purged := await self._queue.purge_trash(now - _TRASH_KEPT, now=now):
            count += purged
        if count:
            log.info("desk.trash_purged", count=count)
        await self._note(notes, purged_at=now.isoformat())

    # -- the duty ----------------------------------------------------------------------------------------------------

    def _lease(self) -> Lease:
        return Lease(self._office.holder, self._office.now() + max(3 * self.poll_every, _LEAST_LEASE))

    async def _note(self, notes: Mapping[str, Any], **more: str) -> Mapping[str, Any]:
        """Keep where we are, and the duty for as long as this goes on."""
        noted = {**notes, **more}
        await self._queue.note_duty(DUTY, self._lease(), noted)
        await self._queue.hold_duty(DUTY, self._lease(), self._office.now())
        return noted


def _instant(written: Any) -> datetime | None:
    """An instant of the notes, None when there is none that can be read."""
    try:
        read = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _is_due(written: Any, now: datetime, every: timedelta) -> bool:
    """A clock that was set back does not put it off for longer than usual."""
    at = _instant(written)
    return at is None or not timedelta(0) <= now - at < every
