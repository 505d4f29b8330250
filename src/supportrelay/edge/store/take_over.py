"""An arrival that counts in place of an earlier one of the same mail (core.duplicate.takes_over)."""

import sqlite3

from supportrelay.edge.store.tickets import merge

__all__ = ["take_over"]

_EARLIER = """
SELECT m.seq, t.id FROM messages m LEFT JOIN conversations c ON c.id = m.conversation_id
LEFT JOIN tickets t ON t.id = c.ticket_id AND t.merged_into IS NULL AND t.trashed_at IS NULL WHERE m.queue_id = ?"""
_OTHERS = """
SELECT EXISTS (SELECT 1 FROM conversations c JOIN messages m ON m.conversation_id = c.id
WHERE c.ticket_id = ? AND m.seq <> ? AND m.first_arrival IS NOT ?)"""


def take_over(
    connection: sqlite3.Connection, earlier: str, seq: int, ticket_id: int | None, conversation_id: int | None, now: int
) -> None:
    """Make the arrival with the queue id ``earlier`` a duplicate of message ``seq``, inside its transaction.

    The ticket that the earlier one made goes into this one's, unless other mail is on it or it is the same.
    """
    first, made = connection.execute(_EARLIER, (earlier,)).fetchone()
    connection.execute("UPDATE arrivals SET message = ? WHERE message = ?", (seq, first))
    if made is not None and ticket_id is not None and made != ticket_id:
        (has_others,) = connection.execute(_OTHERS, (made, first, first)).fetchone()
        if not has_others:
            merge(connection, made, ticket_id, "relay", now)
    # What hung on it hangs on the new one: a third arrival asks who has a copy of any of them.
    connection.execute(
        "UPDATE messages SET first_arrival = ?, conversation_id = coalesce(?, conversation_id) "
        "WHERE seq = ? OR first_arrival = ?",
        (seq, conversation_id, first, first),
    )
