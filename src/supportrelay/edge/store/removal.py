"""Removing what is over: contents of messages, then messages with all that was written about them.

Whatever is not finished stays, whoever asks: a message that is under way, held or dead, one with a copy under way or
held, a report that is owed, or work that waits for an outside desk. The question is put again in the transaction that
removes.

Freed pages are overwritten with zeros (`PRAGMA secure_delete`, on for these commands: it costs a write of each page
that is freed; elsewhere only what is freed in pages that are written anyway).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from supportrelay.core.envelope import Peer
from supportrelay.core.value import value_class
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.rows import pack_peer
from supportrelay.edge.store.tickets import Leads

__all__ = [
    "IS_FINISHED",
    "Old",
    "conversations_left_empty",
    "has_short_lived",
    "old_changes",
    "old_contents",
    "old_messages",
    "remove_changes",
    "remove_contents",
    "remove_messages",
    "remove_short_lived",
    "zeroing",
]

IS_FINISHED = """
(m.state IN ('delivered', 'filed', 'ignored', 'looped')
 AND NOT EXISTS (SELECT 1 FROM deliveries d
                 WHERE d.message = m.seq AND d.state NOT IN ('delivered', 'failed', 'dropped'))
 AND NOT EXISTS (SELECT 1 FROM reports_owed r WHERE r.message = m.seq AND r.due_at IS NOT NULL)
 AND NOT EXISTS (SELECT 1 FROM desk_work w WHERE w.message = m.seq))"""
# When the last thing happened to it. That its content was removed is nothing that happened to the mail.
_ENDED_AT = """
max(m.accepted_at, coalesce((SELECT max(x.at) FROM changes x
    WHERE x.message = m.seq AND x.what <> 'message.content_removed'), 0))"""
_CONTENTS = f"""
SELECT m.seq, m.accepted_at, m.size_octets, {_ENDED_AT} < ?2 AND {IS_FINISHED}
FROM contents c JOIN messages m ON m.seq = c.message WHERE c.message > ?1 ORDER BY c.message LIMIT ?3"""  # noqa: S608
_MESSAGES = f"""
SELECT m.seq, m.accepted_at, m.size_octets, {_ENDED_AT} < ?2 AND {IS_FINISHED}
FROM messages m WHERE m.seq > ?1 ORDER BY m.seq LIMIT ?3"""  # noqa: S608
_STILL_OLD = f"SELECT {_ENDED_AT} < ? AND {IS_FINISHED} FROM messages m WHERE m.seq = ?"  # noqa: S608
# Numbers stand in tokens and in the record; the highest ones stay, so that none is given out again.
_HIGHEST = (
    "SELECT max(seq) FROM messages UNION SELECT message FROM deliveries WHERE id = (SELECT max(id) FROM deliveries)"
)
_EMPTIED = """
SELECT DISTINCT m.conversation_id FROM messages m WHERE m.seq = ?1 AND m.conversation_id IS NOT NULL"""
_OWN_IDS = """
SELECT message_id FROM messages WHERE seq = ?1 AND message_id <> ''
UNION SELECT new_message_id FROM deliveries WHERE message = ?1 AND new_message_id <> ''"""
_OF_MESSAGE = (
    "DELETE FROM arrivals WHERE message = ?",
    "DELETE FROM decisions WHERE message = ?",
    "DELETE FROM own_mail WHERE message = ?",
    "DELETE FROM reports_owed WHERE message = ?",
    "DELETE FROM digest_told WHERE message = ?",
    "DELETE FROM deliveries WHERE message = ?",
    "DELETE FROM changes WHERE message = ?",
    "DELETE FROM messages WHERE seq = ?",
)
_HOLLOW = (
    "DELETE FROM arrivals WHERE message = ?",
    "DELETE FROM decisions WHERE message = ?",
    "DELETE FROM own_mail WHERE message = ?",
    """UPDATE deliveries SET recipient = '', recipient_key = '', new_message_id = '', last_reply = '', form_why = ''
       WHERE message = ?""",
    "UPDATE changes SET why = '{}', who = CASE WHEN who LIKE 'mail:%' THEN 'mail:' ELSE who END WHERE message = ?",
)
# Rows about messages go with these; of a ticket that is not closed the whole history stays.
_CHANGES = """
SELECT x.id, x.at, x.at < ?2 AND (x.message IS NULL OR m.seq IS NULL)
AND (x.ticket_id IS NULL OR t.id IS NULL OR t.stage = 'CLOSED' OR t.merged_into IS NOT NULL)
FROM changes x LEFT JOIN messages m ON m.seq = x.message LEFT JOIN tickets t ON t.id = x.ticket_id
WHERE x.id > ?1 ORDER BY x.id LIMIT ?3"""
_HOUR_US = 3_600_000_000
# Counts by person and place: table, what is past, and by how much.
_SHORT_LIVED = (
    ("login_failures", "until <= ?", 0),
    ("login_places", "seen_at <= ?", 90 * 24 * _HOUR_US),
    ("robot_mail", "at <= ?", 24 * _HOUR_US),
    ("robot_stops", "until <= ?", 24 * _HOUR_US),
    ("hard_failures", "at <= ?", 8 * 24 * _HOUR_US),
    ("alarms", "due_at IS NULL AND last_at <= ?", 8 * 24 * _HOUR_US),  # many are of one mail, and nobody clears them
)
_PIECE = 500
# Rows follow the clock nearly always. So many younger ones in a row: the rest is younger too.
_YOUNG_IN_A_ROW = 1000


@value_class
class Old:
    """What a walk found.

    Attributes:
        rows: Row numbers, and how many octets each had as it came.
        last: The walk goes on behind this number; None at its end.
    """

    rows: tuple[tuple[int, int], ...]
    last: int | None


def old_contents(connection: sqlite3.Connection, after: int, before: int, most: int) -> Old:
    """Contents of messages that were over before an instant, from the row behind ``after`` on."""
    return _walk(connection, _CONTENTS, after, before, most)


def old_messages(connection: sqlite3.Connection, after: int, before: int, most: int) -> Old:
    """Messages that were over before an instant; the ones with the highest numbers are left out."""
    kept = {row[0] for row in connection.execute(_HIGHEST)}
    found = _walk(connection, _MESSAGES, after, before, most)
    return Old(tuple(row for row in found.rows if row[0] not in kept), found.last)


def old_changes(connection: sqlite3.Connection, after: int, before: int, most: int) -> Old:
    """Rows of the record from before an instant that are about no message."""
    return _walk(connection, _CHANGES, after, before, most)


def _walk(connection: sqlite3.Connection, sql: str, after: int, before: int, most: int) -> Old:
    """Walk until so many were found, or a thousand in a row are too young (one alone: the clock was wrong)."""
    found: list[tuple[int, int]] = []
    young = 0
    while young < _YOUNG_IN_A_ROW:
        rows = connection.execute(sql, (after, before, _PIECE)).fetchall()
        for number, at, *size, is_old in rows:
            after = number
            young = young + 1 if at >= before else 0
            if is_old:
                found.append((number, size[0] if size else 0))
            if len(found) >= most:
                return Old(tuple(found), after)
        if len(rows) < _PIECE:
            break
    return Old(tuple(found), None)


@contextmanager
def zeroing(connection: sqlite3.Connection) -> Iterator[None]:
    """What is freed in here is overwritten with zeros."""
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    try:
        yield
    finally:
        connection.execute("PRAGMA secure_delete = FAST").fetchone()


def remove_contents(connection: sqlite3.Connection, numbers: Iterable[int], before: int, now: int) -> int:
    """Remove the octets of these messages, as far as they are still over; how many.

    What was only there to write copies from them goes too; that it was removed, and when, stands in the record.
    """
    count = 0
    with zeroing(connection):
        for number in numbers:
            if not _is_old(connection, number, before):
                continue
            _remove_content(connection, number)
            connection.execute("UPDATE decisions SET copy_plan = NULL WHERE message = ?", (number,))
            write_change(connection, change_row(now, "message.content_removed", "relay", {}, message=number))
            count += 1
    return count


def _is_old(connection: sqlite3.Connection, number: int, before: int) -> bool:
    row = connection.execute(_STILL_OLD, (before, number)).fetchone()
    return bool(row and row[0])


def _remove_content(connection: sqlite3.Connection, number: int) -> None:
    row = connection.execute("DELETE FROM contents WHERE message = ? RETURNING file", (number,)).fetchone()
    if row is not None and row[0] is not None:
        connection.execute("INSERT OR IGNORE INTO files_to_remove (file) VALUES (?)", row)


def conversations_left_empty(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[int]:
    """Conversations that have no mail any more once these are gone."""
    going = set(numbers)
    touched = {row[0] for number in numbers for row in connection.execute(_EMPTIED, (number,))}
    sql = "SELECT seq FROM messages WHERE conversation_id = ?"
    return [one for one in touched if all(row[0] in going for row in connection.execute(sql, (one,)))]


def remove_messages(
    connection: sqlite3.Connection, numbers: Sequence[int], leads: Leads, before: int, *, hollows_at: int | None = None
) -> int:
    """Remove these messages, as far as they are still over, and everything that was written about them; how many.

    Their tickets stay. The ids by which answers found a conversation go with its last mail. Of a message whose number
    must stay nothing is removed, or everything but the number.

    Args:
        leads: Ids that lead to `conversations_left_empty`, a moment ago.
        hollows_at: Now, when those whose number must stay are to be emptied; None leaves them as they are.
    """
    kept = {row[0] for row in connection.execute(_HIGHEST)}
    gone = [number for number in numbers if _is_old(connection, number, before)]
    with zeroing(connection):
        for number in gone:
            if number not in kept:
                _remove_message(connection, number)
            elif hollows_at is not None:
                _hollow_message(connection, number, hollows_at)
        for conversation, (ids, roots) in leads.items():
            _forget_leads(connection, conversation, ids, roots)
    return len(gone) if hollows_at is not None else sum(number not in kept for number in gone)


def _remove_message(connection: sqlite3.Connection, number: int) -> None:
    _remove_content(connection, number)
    _forget_own_ids(connection, number)
    for sql in _OF_MESSAGE:
        connection.execute(sql, (number,))


def _hollow_message(connection: sqlite3.Connection, number: int, now: int) -> None:
    """Leave numbers and states, and nothing that tells of anybody; it goes when others have higher numbers."""
    _remove_content(connection, number)
    _forget_own_ids(connection, number)
    for sql in _HOLLOW:
        connection.execute(sql, (number,))
    connection.execute(
        "UPDATE messages SET message_id = '', subject = '', reverse_path = '', forward_paths = '[]', peer = ?, "
        "conversation_id = NULL WHERE seq = ?",
        (pack_peer(Peer("", "")), number),
    )
    write_change(connection, change_row(now, "message.content_removed", "relay", {}, message=number))


def _forget_own_ids(connection: sqlite3.Connection, number: int) -> None:
    conversation = connection.execute("SELECT conversation_id FROM messages WHERE seq = ?", (number,)).fetchone()[0]
    if conversation is not None:
        ids = [(row[0], conversation) for row in connection.execute(_OWN_IDS, (number,))]
        connection.executemany("DELETE FROM known_ids WHERE message_id = ? AND conversation_id = ?", ids)


def _forget_leads(connection: sqlite3.Connection, conversation: int, ids: set[Any], roots: set[Any]) -> None:
    """Unless a mail has joined it meanwhile."""
    if connection.execute("SELECT 1 FROM messages WHERE conversation_id = ?", (conversation,)).fetchone():
        return
    for sql, values in (
        ("DELETE FROM known_ids WHERE message_id = ? AND conversation_id = ?", ids),
        ("DELETE FROM thread_roots WHERE root = ? AND conversation_id = ?", roots),
    ):
        connection.executemany(sql, [(value, conversation) for value in values])
    connection.execute(
        "UPDATE tickets SET customer_message_ids = '' WHERE id = (SELECT ticket_id FROM conversations WHERE id = ?)",
        (conversation,),
    )


def remove_changes(connection: sqlite3.Connection, numbers: Iterable[int]) -> int:
    """Remove these rows of the record; how many."""
    with zeroing(connection):
        return connection.executemany("DELETE FROM changes WHERE id = ?", [(one,) for one in numbers]).rowcount


def has_short_lived(connection: sqlite3.Connection, now: int) -> bool:
    """Is there anything for `remove_short_lived`? By index, or in tables that are small."""
    return any(
        connection.execute(f"SELECT 1 FROM {table} WHERE {past} LIMIT 1", (now - age,)).fetchone()  # noqa: S608
        for table, past, age in _SHORT_LIVED
    )


def remove_short_lived(connection: sqlite3.Connection, now: int) -> int:
    """Remove failed logins, places of logins, counted mail and failures, alarms that were told; how many."""
    with zeroing(connection):
        return sum(
            connection.execute(f"DELETE FROM {table} WHERE {past}", (now - age,)).rowcount  # noqa: S608  constants
            for table, past, age in _SHORT_LIVED
        )
