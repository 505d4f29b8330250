"""Alarms: raised with the change that shows them, told by mail later, each not more than once an hour."""

import sqlite3
from collections.abc import Sequence

from supportrelay.core.alarm import AGAIN_AFTER, Alarm, AlarmKind
from supportrelay.core.own_mail import OwnMail
from supportrelay.core.own_ports import OwedAlarm
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.own_mail import insert_own_mail
from supportrelay.edge.store.rows import clean_text, from_microseconds, pack_json, unpack_json

__all__ = ["clear_alarm", "clear_what_is_over", "has_past_alarms", "owed_alarms", "raise_alarm", "tell_alarms"]

_AGAIN = int(AGAIN_AFTER.total_seconds()) * 1_000_000

_KNOWN = "SELECT due_at FROM alarms WHERE kind = ? AND key = ?"
_RAISE = """
INSERT INTO alarms (kind, key, first_at, last_at, count, facts, due_at, since)
VALUES (?1, ?2, ?3, ?3, 1, ?4, ?5, (SELECT coalesce(max(id), 0) FROM changes))
ON CONFLICT (kind, key) DO UPDATE SET last_at = ?3, facts = ?4, count = count + 1,
first_at = CASE WHEN due_at IS NULL THEN ?3 ELSE first_at END,
since = CASE WHEN due_at IS NULL THEN excluded.since ELSE since END,
due_at = coalesce(due_at, max(?5, coalesce(told_at, 0) + ?6))"""
# While the last mail about it is under way itself, one more would say the same.
_OWED = """
SELECT a.kind, a.key, a.facts, a.count, a.first_at, a.last_at FROM alarms a LEFT JOIN messages m ON m.seq = a.mail
WHERE a.due_at <= ? AND m.state IS NOT 'composed' ORDER BY a.due_at LIMIT ?"""
# A server spoke of mail since: what seemed down was not, or is not any more.
_OVER = """
SELECT a.kind, a.key FROM alarms a WHERE a.due_at <= ? AND a.kind = 'smarthost_down'
AND EXISTS (SELECT 1 FROM changes c WHERE c.id > a.since AND (c.what = 'delivery.delivered'
 OR (c.what IN ('delivery.deferred', 'delivery.failed')
 AND json_extract(c.why, '$.phase') IN ('rcpt', 'data', 'dot'))))"""
_TELL = """
UPDATE alarms SET count = count - ?1, told_at = ?2, mail = ?3, due_at = CASE WHEN count > ?1 THEN ?2 + ?4 END
WHERE kind = ?5 AND key = ?6"""


def raise_alarm(connection: sqlite3.Connection, alarm: Alarm, now: int, *, after: int = 0) -> bool:
    """Note that something is broken; True when nobody waited to tell of it yet.

    Args:
        after: Microseconds until it may be told; whoever raises it for what may pass clears it by then.
    """
    key = clean_text(alarm.key)
    row = connection.execute(_KNOWN, (alarm.kind, key)).fetchone()
    is_news = row is None or row[0] is None
    connection.execute(_RAISE, (alarm.kind, key, now, pack_json(alarm.facts), now + after, _AGAIN))
    if is_news:
        queue_id = alarm.facts.get("queue_id")
        seq = connection.execute("SELECT seq FROM messages WHERE queue_id = ?", (queue_id,)).fetchone()
        why = {"kind": alarm.kind, "key": key}
        write_change(connection, change_row(now, "alarm.raised", "relay", why, message=seq[0] if seq else None))
    return is_news


def clear_alarm(connection: sqlite3.Connection, kind: AlarmKind, key: str) -> None:
    """It is over; nothing is told that was not."""
    connection.execute("UPDATE alarms SET due_at = NULL, count = 0 WHERE kind = ? AND key = ?", (kind, clean_text(key)))


def has_past_alarms(connection: sqlite3.Connection, now: int) -> bool:
    """Is there anything that would be told although it passed? Asked on the reading connection."""
    return connection.execute(f"{_OVER} LIMIT 1", (now,)).fetchone() is not None


def clear_what_is_over(connection: sqlite3.Connection, now: int) -> None:
    """Forget what passed before anybody had to be told."""
    for kind, key in connection.execute(_OVER, (now,)).fetchall():
        clear_alarm(connection, kind, key)


def owed_alarms(connection: sqlite3.Connection, now: int, limit: int) -> list[OwedAlarm]:
    """What is to be told now, longest due first."""
    return [
        OwedAlarm(
            Alarm(AlarmKind(row[0]), row[1], unpack_json(row[2])),
            row[3],
            from_microseconds(row[4]),
            from_microseconds(row[5]),
        )
        for row in connection.execute(_OWED, (now, limit)).fetchall()
        if row[0] in set(AlarmKind)
    ]


def tell_alarms(
    connection: sqlite3.Connection, alarms: Sequence[OwedAlarm], mails: Sequence[OwnMail], now: int
) -> None:
    """Put the mail about these alarms into the queue; without a mail there is nobody who could be told."""
    seqs = [insert_own_mail(connection, mail) for mail in mails]
    for owed in alarms:
        told = (owed.count, now, seqs[0] if seqs else None, _AGAIN, owed.alarm.kind, owed.alarm.key)
        connection.execute(_TELL, told)
