"""StoreRemoval: what is over goes, a little at a time; and one person's data on request."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from supportrelay.edge.store import forgetting, removal
from supportrelay.edge.store.checkpoint import empty_log
from supportrelay.edge.store.contents import ContentFiles
from supportrelay.edge.store.rows import rfc3339, to_microseconds
from supportrelay.edge.store.tickets import leads_to_conversations
from supportrelay.edge.store.writer import Command

__all__ = ["StoreRemoval"]

T = TypeVar("T")

_MOST_OCTETS = 4 * 1024 * 1024  # a commit; each is written once more, as zeros
_MOST_CONTENTS = 50
_MOST_MESSAGES = 100
_MOST_CHANGES = 500
_REMOVED_AT = """
SELECT max(x.at) FROM changes x JOIN messages m ON m.seq = x.message
WHERE m.queue_id = ? AND x.what = 'message.content_removed'"""


class StoreRemoval:
    """Mixin of `SqliteStore`. Each call makes one small commit, on the writer's thread."""

    path: Path
    _contents: ContentFiles

    async def write(self, command: Command[T], *, slow: bool = False) -> T:
        """`SqliteStore.write`."""
        raise NotImplementedError

    def read(self, query: Command[T]) -> T:
        """`SqliteStore.read`."""
        raise NotImplementedError

    async def _list(self, query: Command[T]) -> T:
        """`StoreViews._list`."""
        raise NotImplementedError

    # -- what is over --

    async def remove_contents(self, ended_before: datetime, after: int, now: datetime) -> tuple[int, int | None]:
        """Remove octets of messages that were over by then, from the row behind ``after`` on.

        Returns:
            How many, and where to go on; None at the end.
        """
        before, at = to_microseconds(ended_before), to_microseconds(now)
        found = await self._list(lambda c: removal.old_contents(c, after, before, _MOST_CONTENTS))
        chosen, last = _within(found)
        count = 0
        if chosen:
            count = await self.write(lambda c: removal.remove_contents(c, chosen, before, at), slow=True)
            await self.remove_files()
        return count, last

    async def remove_messages(self, ended_before: datetime, after: int) -> tuple[int, int | None]:
        """Remove messages that were over by then, with all that was written about them; as `remove_contents`."""
        before = to_microseconds(ended_before)
        found = await self._list(lambda c: removal.old_messages(c, after, before, _MOST_MESSAGES))
        return await self._remove([number for number, _ in found.rows], before), found.last

    async def _remove(self, numbers: Sequence[int], before: int, hollows_at: int | None = None) -> int:
        if not numbers:
            return 0
        leads = await self._list(lambda c: leads_to_conversations(c, removal.conversations_left_empty(c, numbers)))
        count = await self.write(
            lambda c: removal.remove_messages(c, numbers, leads, before, hollows_at=hollows_at), slow=True
        )
        await self.remove_files()
        return count

    async def remove_changes(self, before: datetime, after: int) -> tuple[int, int | None]:
        """Remove rows of the record from before then that are about no message; as `remove_contents`."""
        at = to_microseconds(before)
        found = await self._list(lambda c: removal.old_changes(c, after, at, _MOST_CHANGES))
        if not found.rows:
            return 0, found.last
        chosen = [number for number, _ in found.rows]
        return await self.write(lambda c: removal.remove_changes(c, chosen), slow=True), found.last

    async def remove_files(self) -> int:
        """Remove files whose contents are gone; those too that an earlier life left behind. How many."""
        files = self.read(lambda c: [row[0] for row in c.execute("SELECT file FROM files_to_remove")])
        for file in files:
            await asyncio.to_thread(self._contents.remove, file)
        if files:
            sql = "DELETE FROM files_to_remove WHERE file = ?"
            await self.write(lambda c: c.executemany(sql, [(file,) for file in files]))
        return len(files)

    async def remove_short_lived(self, now: datetime) -> int:
        """Remove counts that count no more: whoever counts next does so too, but perhaps nobody does. How many."""
        at = to_microseconds(now)
        if not self.read(lambda c: removal.has_short_lived(c, at)):
            return 0
        return await self.write(lambda c: removal.remove_short_lived(c, at), slow=True)

    def content_removed_at(self, queue_id: str) -> str | None:
        """When the octets of a message were removed, RFC 3339; None when they were not."""
        return rfc3339(self.read(lambda c: c.execute(_REMOVED_AT, (queue_id,)).fetchone())[0])

    # -- one person --

    async def known_of(self, address: str) -> forgetting.Known:
        """Everything that is kept of an address in comparing form; walks the whole store on a thread."""
        return await self._list(lambda c: forgetting.known_of(c, address, self._contents))

    async def forget(self, known: forgetting.Known, *, who: str, now: datetime) -> dict[str, int]:
        """Remove what may go of it, in small commits, and what is left of it in the write-ahead log; counts by kind."""
        at = to_microseconds(now)
        counts = {"messages": 0}
        numbers = list(known.messages)
        for begin in range(0, len(numbers), _MOST_MESSAGES):
            # Whoever is forgotten is forgotten now: what is over may be a second old.
            counts["messages"] += await self._remove(numbers[begin : begin + _MOST_MESSAGES], at + 1, at)
        for step in forgetting.steps(known):
            for name, count in (await self.write(step, slow=True)).items():
                counts[name] = counts.get(name, 0) + count
        why: dict[str, Any] = dict(counts)
        await self.write(lambda c: forgetting.record(c, why, who, at))
        await asyncio.to_thread(empty_log, self.path)
        return counts


def _within(found: removal.Old) -> tuple[list[int], int | None]:
    """As many as fit into one commit, at least one; and where to go on."""
    chosen: list[int] = []
    octets = 0
    for number, size in found.rows:
        if chosen and octets + size > _MOST_OCTETS:
            return chosen, chosen[-1]
        chosen.append(number)
        octets += size
    return chosen, found.last
