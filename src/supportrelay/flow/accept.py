"""accept: take custody. The message is committed and synced before 250 is said (RFC 5321 §6.1)."""

import asyncio
from collections.abc import Awaitable, Callable

from supportrelay import tally
from supportrelay.core import reply
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import TransientFailure
from supportrelay.core.facts import Facts
from supportrelay.core.ports import Accepted
from supportrelay.core.reading import read_facts
from supportrelay.core.reply import Reply
from supportrelay.flow.office import Office
from supportrelay.flow.turns import is_quick
from supportrelay.log import get_logger

__all__ = ["MAX_RECEIVED", "WHOLE_OCTETS", "Accept"]

log = get_logger()

# RFC 5321 §6.3 says 100; DESIGN 5 takes Postfix's 50.
MAX_RECEIVED = 50

# Up to here a message is read whole before it is accepted; above it only the beginning is, and the rest when it is
# assessed.
WHOLE_OCTETS = 256 * 1024
_BEGINNING = 64 * 1024


class Accept:
    """The station at the door.

    Args:
        go_on: Called with an accepted message and its facts (None: not read yet); returns at once.
        is_full: The stations behind hold as much as they may; then the message waits in the store, not in memory.
        has_room: Waits a moment while they are full, so that the door is not faster than the road.
    """

    def __init__(
        self,
        office: Office,
        go_on: Callable[[Accepted, Facts | None], None],
        is_full: Callable[[], bool],
        has_room: Callable[[], Awaitable[None]],
    ) -> None:
        self._office = office
        self._go_on = go_on
        self._is_full = is_full
        self._has_room = has_room

    async def take(self, envelope: Envelope, octets: bytes) -> Reply:
        """Commit a message and answer. Anything unexpected is temporary: the client keeps the mail."""
        is_whole = len(octets) <= WHOLE_OCTETS
        beginning = octets if is_whole else octets[:_BEGINNING]
        # A coroutine of its own for nearly every mail would be work for nothing.
        facts = read_facts(beginning) if is_quick(beginning) else await asyncio.to_thread(read_facts, beginning)
        if facts.received_count > MAX_RECEIVED:
            return reply.LOOP
        office = self._office
        accepted = Accepted(
            queue_id=office.new_id(),
            envelope=envelope,
            octets=octets,
            accepted_at=office.now(),
            message_id=facts.message_id,
            subject=facts.subject,
        )
        waits = self._is_full()
        try:
            await office.store.accept(accepted, None if waits else office.lease())
        except TransientFailure as exc:
            log.error("message.not_stored", queue_id=accepted.queue_id, detail=str(exc))
            return reply.NO_ROOM if exc.status == reply.NO_ROOM.status else reply.NOT_STORED
        tally.count("accepted")
        log.debug("message.accepted", queue_id=accepted.queue_id, size_octets=len(octets), peer=envelope.peer.ip)
        if not waits:
            self._go_on(accepted, facts if is_whole else None)
        await self._has_room()
        return Reply(250, "2.0.0", f"Accepted as {accepted.queue_id}")
