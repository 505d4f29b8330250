"""Who holds what: prolonging, handing back, taking back from an earlier life."""

import sqlite3
from collections.abc import Sequence

from supportrelay.edge.store.crm_memory import free_duties

__all__ = ["has_far_due_times", "mend_due_times", "release", "renew", "take_back", "work_left"]

_MESSAGES_OF = """
SELECT seq FROM messages INDEXED BY messages_at_work
WHERE state IN ('accepted', 'waiting') AND state NOT IN ('delivered', 'filed') AND holder >= ? AND holder < ?"""
_DELIVERIES_OF = """
SELECT id FROM deliveries INDEXED BY deliveries_at_work
WHERE state IN ('due', 'sending', 'deferred') AND holder >= ? AND holder < ?"""
_DESK_TICKETS_OF = """
SELECT ticket_id FROM desk_tickets INDEXED BY desk_tickets_at_work
WHERE due_at IS NOT NULL AND holder >= ? AND holder < ?"""
# One statement, so one snapshot: a copy that failed is its message's failover or Allmember's copy, never neither.
_WORK_LEFT = """
SELECT m.due + f.due, m.running, d.due, d.running, t.due, t.running FROM
(SELECT coalesce(sum(holder IS NULL AND due_at <= ?1), 0) AS due, coalesce(sum(holder IS NOT NULL), 0) AS running
 FROM messages INDEXED BY messages_at_work
 WHERE state IN ('accepted', 'waiting') AND state NOT IN ('delivered', 'filed')) m,
(SELECT count(*) AS due FROM messages INDEXED BY messages_at_work
 WHERE state = 'composed' AND state NOT IN ('delivered', 'filed') AND due_at = 0) f,
(SELECT coalesce(sum(holder IS NULL AND due_at <= ?1), 0) AS due, coalesce(sum(holder IS NOT NULL), 0) AS running
 FROM deliveries INDEXED BY deliveries_at_work WHERE state IN ('due', 'sending', 'deferred')) d,
(SELECT coalesce(sum(holder IS NULL AND due_at <= ?1), 0) AS due, coalesce(sum(holder IS NOT NULL), 0) AS running
 FROM desk_tickets INDEXED BY desk_tickets_at_work WHERE due_at IS NOT NULL) t"""
# A retry waits 66 minutes at most, a silent CRM is waited for less; what is due later was written when the clock was
# wrong (RELIABILITY F31). A lease is renewed every 10 s by whoever lives, so one that is far ahead may be shortened.
_FARTHEST = 2 * 3600 * 1_000_000
_FARTHEST_LEASE = 600 * 1_000_000
_HAS_FAR = """
SELECT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_at_work
WHERE state IN ('due', 'sending', 'deferred') AND due_at > ?1)
OR EXISTS (SELECT 1 FROM messages INDEXED BY messages_at_work
WHERE state IN ('accepted', 'waiting', 'composed') AND state NOT IN ('delivered', 'filed') AND due_at > ?1)"""
_MEND_DELIVERIES = """
UPDATE deliveries SET due_at = CASE WHEN holder IS NULL THEN ?1 ELSE ?1 + 60000000 END
WHERE state IN ('due', 'sending', 'deferred') AND due_at > CASE WHEN holder IS NULL THEN ?2 ELSE ?3 END"""
_MEND_MESSAGES = """
UPDATE messages SET due_at = CASE WHEN holder IS NULL THEN ?1 ELSE ?1 + 60000000 END
WHERE state IN ('accepted', 'waiting', 'composed') AND due_at > CASE WHEN holder IS NULL THEN ?2 ELSE ?3 END"""
# Another process may have committed what is due a moment after this one looked at the clock.
_SOON_US = 1_000_000


def renew(
    connection: sqlite3.Connection, holder: str, until: int, queue_ids: Sequence[str], delivery_ids: Sequence[int]
) -> bool:
    """Prolong; False when any of it is no longer held by this holder (the rest is prolonged)."""
    messages = connection.executemany(
        "UPDATE messages SET due_at = ? WHERE queue_id = ? AND holder = ?",
        [(until, queue_id, holder) for queue_id in queue_ids],
    )
    kept = messages.rowcount if queue_ids else 0
    deliveries = connection.executemany(
        "UPDATE deliveries SET due_at = ? WHERE id = ? AND holder = ?",
        [(until, delivery_id, holder) for delivery_id in delivery_ids],
    )
    kept += deliveries.rowcount if delivery_ids else 0
    return kept == len(queue_ids) + len(delivery_ids)


def release(connection: sqlite3.Connection, holder: str, now: int) -> None:
    """Hand back; it was not the message's fault, so the try does not count."""
    _free(connection, (holder, f"{holder}\0"), now, tries_back=1)


def take_back(connection: sqlite3.Connection, instance: str, now: int) -> int:
    """Free everything whose holder begins with ``instance:``; returns how much."""
    return _free(connection, (f"{instance}:", f"{instance};"), now, tries_back=0)  # ';' is the octet after ':'


def _free(connection: sqlite3.Connection, holders: tuple[str, str], now: int, *, tries_back: int) -> int:
    """Free what holders in this range have.

    SENDING stays: the attempt had a beginning, and whoever claims it next sees that it had no end.
    """
    messages = connection.execute(_MESSAGES_OF, holders).fetchall()
    connection.executemany(
        "UPDATE messages SET holder = NULL, due_at = min(accepted_at, ?), tries = max(tries - ?, 0) WHERE seq = ?",
        [(now, tries_back, row[0]) for row in messages],
    )
    deliveries = connection.execute(_DELIVERIES_OF, holders).fetchall()
    connection.executemany(
        "UPDATE deliveries SET holder = NULL, due_at = ? WHERE id = ?", [(now, row[0]) for row in deliveries]
    )
    desk_tickets = connection.execute(_DESK_TICKETS_OF, holders).fetchall()
    connection.executemany(
        "UPDATE desk_tickets SET holder = NULL, due_at = ? WHERE ticket_id = ?", [(now, row[0]) for row in desk_tickets]
    )
    free_duties(connection, *holders)
    return len(messages) + len(deliveries) + len(desk_tickets)


def mend_due_times(connection: sqlite3.Connection, now: int) -> int:
    """Bring back what a clock that ran ahead put off too far; returns how much. See `_FARTHEST`."""
    values = (now, now + _FARTHEST, now + _FARTHEST_LEASE)
    return sum(connection.execute(one, values).rowcount for one in (_MEND_DELIVERIES, _MEND_MESSAGES))


def has_far_due_times(connection: sqlite3.Connection, now: int) -> bool:
    """Is there anything to mend? Asked on the reading connection."""
    return bool(connection.execute(_HAS_FAR, (now + _FARTHEST_LEASE,)).fetchone()[0])


def work_left(connection: sqlite3.Connection, now: int) -> dict[str, int]:
    """What is due or running: leased work runs; what is deferred into the future is neither. Empty when none is left.

    Names: ``messages_due``, ``messages_running``, ``deliveries_due``, ``deliveries_running``, ``desk_due``,
    ``desk_running`` (tickets); those that are not 0.
    """
    names = ("messages_due", "messages_running", "deliveries_due", "deliveries_running", "desk_due", "desk_running")
    counts = connection.execute(_WORK_LEFT, (now + _SOON_US,)).fetchone()
    return {name: count for name, count in zip(names, counts, strict=True) if count}
