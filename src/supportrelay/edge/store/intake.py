"""Taking custody of messages, and handing them to whoever goes on with them."""

import sqlite3

from supportrelay.core.envelope import Envelope
from supportrelay.core.ports import Accepted
from supportrelay.core.value import value_class
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.owed import alarm_held
from supportrelay.edge.store.rows import (
    DAMAGED_ROW,
    clean_text,
    pack_paths,
    pack_peer,
    to_microseconds,
    unpack_envelope,
)

__all__ = ["Claimed", "accept", "claim_messages", "content", "has_due_messages", "hold_message"]

_INSERT_MESSAGE = """
INSERT INTO messages (queue_id, state, due_at, holder, tries, accepted_at, size_octets, is_smtputf8, message_id,
subject, reverse_path, forward_paths, peer) VALUES (?, 'accepted', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_CONTENT = "SELECT c.octets, c.file FROM messages m JOIN contents c ON c.message = m.seq WHERE m.queue_id = ?"
_INSERT_CONTENT = "INSERT INTO contents (message, octets, file) VALUES (?, ?, ?)"

_HAS_DUE = """
SELECT 1 FROM messages INDEXED BY messages_at_work
WHERE state = ? AND state NOT IN ('delivered', 'filed') AND due_at <= ? LIMIT 1"""
_DUE = """
SELECT seq, accepted_at, tries, size_octets FROM messages INDEXED BY messages_at_work
WHERE state = ? AND state NOT IN ('delivered', 'filed') AND due_at <= ? ORDER BY due_at, seq LIMIT ?"""
# Their contents are read into memory: large ones come in twos and threes.
_OCTETS_AT_ONCE = 32 * 1024 * 1024
# How many of them are passed over to find others behind them.
_SUSPECTS_PASSED = 100
_CLAIM = """
UPDATE messages SET holder = ?, due_at = ?, tries = tries + 1 WHERE seq = ?
RETURNING queue_id, reverse_path, forward_paths, peer, is_smtputf8, accepted_at, message_id, subject, tries,
first_wait_at, released_by"""


@value_class
class Claimed:
    """A claimed message without its octets."""

    queue_id: str
    envelope: Envelope
    accepted_at: int
    message_id: str
    subject: str
    tries: int
    first_wait_at: int | None
    released_by: str


def accept(connection: sqlite3.Connection, message: Accepted, holder: str | None, until: int, file: str | None) -> None:
    """Insert a message in ACCEPTED, with its content and the change row."""
    envelope = message.envelope
    at = to_microseconds(message.accepted_at)
    cursor = connection.execute(
        _INSERT_MESSAGE,
        (
            message.queue_id,
            until if holder else at,
            holder,
            int(holder is not None),  # who accepts goes on with it: that is the first try
            at,
            len(message.octets),
            envelope.is_smtputf8,
            clean_text(message.message_id),
            clean_text(message.subject),
            clean_text(envelope.reverse_path),
            pack_paths(envelope.forward_paths),
            pack_peer(envelope.peer),
        ),
    )
    seq = cursor.lastrowid
    connection.execute(_INSERT_CONTENT, (seq, None if file else message.octets, file))
    why = {"size_octets": len(message.octets), "ip": envelope.peer.ip}
    write_change(connection, change_row(at, "message.accepted", "relay", why, message=seq))


def has_due_messages(connection: sqlite3.Connection, now: int) -> bool:
    """Is there anything to claim? Asked on the reading connection, so that an idle relay never takes the lock."""
    return any(connection.execute(_HAS_DUE, (state, now)).fetchone() for state in ("accepted", "waiting"))


def claim_messages(
    connection: sqlite3.Connection, now: int, holder: str, until: int, limit: int, suspects: int
) -> list[Claimed]:
    """Take due messages, oldest first, fewer large ones. A lease that ran out is due: ``due_at`` is its end."""
    due = _due(connection, now, limit)
    if sum(1 for row in due if row[2]) > suspects:  # others may stand behind those that are passed over
        due = _due(connection, now, limit + _SUSPECTS_PASSED)
    claimed = []
    for seq in _one_by_one(due, limit, suspects):
        row = connection.execute(_CLAIM, (holder, until, seq)).fetchone()
        try:
            envelope = unpack_envelope(row[1], row[2], row[3], row[4])
        except DAMAGED_ROW as exc:  # parked, or no other message would ever be claimed (F13)
            hold_message(connection, row[0], f"row cannot be read: {exc!r}", now)
            continue
        claimed.append(Claimed(row[0], envelope, row[5], row[6], row[7], row[8], row[9], row[10]))
    return claimed


def _due(connection: sqlite3.Connection, now: int, limit: int) -> list[tuple[int, int, int, int]]:
    due = [row for state in ("accepted", "waiting") for row in connection.execute(_DUE, (state, now, limit))]
    return sorted(due, key=lambda row: (row[1], row[0]))


def _one_by_one(due: list[tuple[int, int, int, int]], limit: int, suspects: int) -> list[int]:
    """Of these rows, so many; of those whose earlier try had no end at most ``suspects``."""
    chosen: list[int] = []
    octets = 0
    for seq, _, tries, size_octets in due:
        if len(chosen) == limit or (chosen and octets + size_octets > _OCTETS_AT_ONCE):
            break
        if tries:
            if not suspects:
                continue
            suspects -= 1
        chosen.append(seq)
        octets += size_octets
    return chosen


def content(connection: sqlite3.Connection, queue_id: str) -> tuple[bytes | None, str | None]:
    """``(octets, file)``, one of them None.

    Raises:
        KeyError: No such message, its content was deleted, or stands on a damaged page. Not in a transaction: nothing
            else works in it after a damaged page was met.
    """
    try:
        row = connection.execute(_CONTENT, (queue_id,)).fetchone()
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise KeyError(queue_id) from exc
        raise
    if row is None or (row[0] is None and row[1] is None):
        raise KeyError(queue_id)
    return row[0], row[1]


def hold_message(connection: sqlite3.Connection, queue_id: str, why: str, now: int) -> None:
    """A person decides from here; its copies that are not on their way wait too."""
    row = connection.execute(
        "UPDATE messages SET state = 'held', due_at = NULL, holder = NULL WHERE queue_id = ? RETURNING seq", (queue_id,)
    ).fetchone()
    if row is None:
        return
    connection.execute(
        "UPDATE deliveries SET state = 'held', due_at = NULL, holder = NULL "
        "WHERE message = ? AND state IN ('due', 'deferred')",
        row,
    )
    write_change(connection, change_row(now, "message.held", "relay", {"why": why}, message=row[0]))
    alarm_held(connection, queue_id, why, now)
