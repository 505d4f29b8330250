"""The whole queue held and let go: for who starts on a store of yesterday and wants to look first (RELIABILITY F37)."""

import sqlite3

from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.deliveries import update_message
from supportrelay.edge.store.rows import clean_text, unpack_json

__all__ = ["hold_all", "release_all"]

_WHYS = frozenset({"restored", "held_at_start"})
_UNDECIDED = """
SELECT seq FROM messages INDEXED BY messages_at_work
WHERE state IN ('accepted', 'waiting') AND state NOT IN ('delivered', 'filed')"""
_OPEN_COPIES = """
SELECT DISTINCT message FROM deliveries INDEXED BY deliveries_at_work WHERE state IN ('due', 'sending', 'deferred')"""
_HELD = """
SELECT seq FROM messages INDEXED BY messages_at_work WHERE state = 'held' AND state NOT IN ('delivered', 'filed')
UNION SELECT seq FROM messages INDEXED BY messages_at_work
WHERE state = 'composed' AND state NOT IN ('delivered', 'filed')"""
_LAST_HOLD = """
SELECT what, why FROM changes WHERE message = ? AND what IN ('message.held', 'message.released')
ORDER BY id DESC LIMIT 1"""


def hold_all(connection: sqlite3.Connection, now: int, why: str) -> int:
    """Everything that is not finished waits for a person: messages, copies, work for the outside desk.

    Nobody may be working on the store. A copy whose attempt had no end is held too; whoever releases it may send it a
    second time. Returns how many messages.

    Args:
        why: ``restored`` or ``held_at_start``.
    """
    undecided = [row[0] for row in connection.execute(_UNDECIDED)]
    copies = [row[0] for row in connection.execute(_OPEN_COPIES)]
    connection.executemany(
        "UPDATE messages SET state = 'held', due_at = NULL, holder = NULL WHERE seq = ?", [(seq,) for seq in undecided]
    )
    connection.execute(
        "UPDATE deliveries INDEXED BY deliveries_at_work SET state = 'held', due_at = NULL, holder = NULL "
        "WHERE state IN ('due', 'sending', 'deferred')"
    )
    for seq in copies:
        update_message(connection, seq)
    connection.execute("UPDATE desk_tickets SET due_at = NULL, holder = NULL WHERE due_at IS NOT NULL")
    held = sorted({*undecided, *copies})
    write_changes(connection, [change_row(now, "message.held", "relay", {"why": why}, message=seq) for seq in held])
    return len(held)


def release_all(connection: sqlite3.Connection, who: str, now: int) -> int:
    """Let go what `hold_all` held, and nothing that is held for another reason; returns how many messages."""
    released = [seq for (seq,) in connection.execute(_HELD).fetchall() if _is_held_by_us(connection, seq)]
    for seq in released:
        copies = connection.execute(
            "UPDATE deliveries SET state = CASE attempts WHEN 0 THEN 'due' ELSE 'deferred' END, due_at = ? "
            "WHERE message = ? AND state = 'held'",
            (now, seq),
        ).rowcount
        if copies:
            connection.execute("UPDATE messages SET state = 'composed' WHERE seq = ?", (seq,))
            update_message(connection, seq, waits_for_us=False)
        else:
            # Nothing was decided about it: it goes on as any mail, and a rule may still hold it.
            connection.execute(
                "UPDATE messages SET state = 'accepted', due_at = ?, tries = 0 WHERE seq = ? AND state = 'held'",
                (now, seq),
            )
    connection.execute(
        "UPDATE desk_tickets SET due_at = ? WHERE due_at IS NULL AND ticket_id IN (SELECT ticket_id FROM desk_work)",
        (now,),
    )
    rows = [change_row(now, "message.released", clean_text(who), {"count": 1}, message=seq) for seq in released]
    write_changes(connection, rows)
    return len(released)


def _is_held_by_us(connection: sqlite3.Connection, seq: int) -> bool:
    row = connection.execute(_LAST_HOLD, (seq,)).fetchone()
    return row is not None and row[0] == "message.held" and unpack_json(row[1]).get("why") in _WHYS
