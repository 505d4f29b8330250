"""What is remembered of a CRM: its last good answers, how fast it may be asked, and who looks after what."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from supportrelay.core.crm_ports import GateState, Remembered
from supportrelay.core.errors import CrmDown
from supportrelay.core.value import value_class
from supportrelay.edge.store.rows import clean_text, from_microseconds, pack_json, rfc3339, unpack_json

__all__ = [
    "Booking",
    "close",
    "closed_gates",
    "drop_answers",
    "enter",
    "expire",
    "free_duties",
    "fresh_answers",
    "gate",
    "hold_duty",
    "is_closed_until",
    "note_duty",
    "old_answers",
    "recall",
    "remember",
    "reopen",
    "someone_elses_duty",
    "stamp",
    "unlike_remembered",
]

_DAY_US = 86_400 * 1_000_000
# Nobody books so far ahead: the clock was set back.
_CLOCK_JUMP_US = 3600 * 1_000_000

_KNOWN = "SELECT known_at, expires_at, body FROM crm_answers WHERE kind = ? AND key = ?"
_STAMP = "SELECT known_at, expires_at FROM crm_answers WHERE kind = ? AND key = ?"
_REMEMBER = """
INSERT INTO crm_answers (kind, key, known_at, expires_at, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, key)
DO UPDATE SET known_at = excluded.known_at, expires_at = excluded.expires_at, body = excluded.body
WHERE excluded.known_at >= known_at"""
_FRESH = """
SELECT key FROM crm_answers WHERE kind = ?1 AND expires_at > ?2
AND (?3 = '' OR key = ?3 OR substr(key, -length(?3) - 1) IN ('@' || ?3, '.' || ?3))"""
_EXPIRE = "UPDATE crm_answers SET expires_at = known_at WHERE kind = ? AND key = ? AND expires_at > known_at"
_OLD = "SELECT kind, key FROM crm_answers WHERE known_at < ? LIMIT ?"
_DROP = "DELETE FROM crm_answers WHERE kind = ? AND key = ? AND known_at < ?"
_GATE = "SELECT arrival_at, closed_until, closed_why, day, used_today FROM crm_gates WHERE name = ?"
_CLOSED = "SELECT name FROM crm_gates WHERE (name = ? OR name > ? AND name < ?) AND closed_until IS NOT NULL"
_BOOK = """
INSERT INTO crm_gates (name, arrival_at, day, used_today) VALUES (?, ?, ?, ?) ON CONFLICT (name)
DO UPDATE SET arrival_at = excluded.arrival_at, day = excluded.day, used_today = excluded.used_today"""
_CLOSE = """
INSERT INTO crm_gates (name, closed_until, closed_why) VALUES (?, ?, ?) ON CONFLICT (name)
DO UPDATE SET closed_until = excluded.closed_until, closed_why = excluded.closed_why
WHERE closed_until IS NULL OR closed_until < excluded.closed_until"""
_HOLD = """
INSERT INTO duties (name, holder, until) VALUES (?1, ?2, ?3) ON CONFLICT (name)
DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE holder = excluded.holder OR until <= ?4
RETURNING notes"""


# -- answers --


def recall(connection: sqlite3.Connection, kind: str, key: str) -> Remembered | None:
    """What is kept under a key."""
    row = connection.execute(_KNOWN, (kind, clean_text(key))).fetchone()
    if row is None:
        return None
    return Remembered(from_microseconds(row[0]), from_microseconds(row[1]), unpack_json(row[2]))


def stamp(connection: sqlite3.Connection, kind: str, key: str) -> tuple[datetime, datetime] | None:
    """From when it is and until when it is fresh."""
    row = connection.execute(_STAMP, (kind, clean_text(key))).fetchone()
    return None if row is None else (from_microseconds(row[0]), from_microseconds(row[1]))


def unlike_remembered(
    connection: sqlite3.Connection, kind: str, answers: Mapping[str, Any], expires_at: int
) -> list[tuple[str, str]]:
    """``(key, body as text)`` of those that are not kept just so already."""
    rows = [(clean_text(key), pack_json(body)) for key, body in answers.items()]
    return [row for row in rows if _kept(connection, kind, row[0]) != (expires_at, row[1])]


def _kept(connection: sqlite3.Connection, kind: str, key: str) -> tuple[int, str] | None:
    row = connection.execute(_KNOWN, (kind, key)).fetchone()
    return None if row is None else (row[1], row[2])


def remember(
    connection: sqlite3.Connection, kind: str, rows: list[tuple[str, str]], known_at: int, expires_at: int
) -> None:
    """Keep answers; a newer one that another process kept meanwhile stands."""
    connection.executemany(_REMEMBER, [(kind, key, known_at, expires_at, body) for key, body in rows])


def fresh_answers(connection: sqlite3.Connection, kind: str, domain: str, now: int) -> list[str]:
    """Keys of fresh answers about a domain, "" for all of the kind. Walks the kind: for a reader."""
    return [str(row[0]) for row in connection.execute(_FRESH, (kind, now, clean_text(domain)))]


def expire(connection: sqlite3.Connection, kind: str, keys: Sequence[str]) -> int:
    """These are not fresh any more; how many were."""
    return connection.executemany(_EXPIRE, [(kind, key) for key in keys]).rowcount if keys else 0


def old_answers(connection: sqlite3.Connection, before: int, limit: int) -> list[tuple[str, str]]:
    """``(kind, key)`` of answers from before that. Walks all: for a reader."""
    return [(str(row[0]), str(row[1])) for row in connection.execute(_OLD, (before, limit))]


def drop_answers(connection: sqlite3.Connection, keys: Sequence[tuple[str, str]], before: int) -> int:
    """Delete those of these that nobody asked for anew meanwhile; how many."""
    return connection.executemany(_DROP, [(*key, before) for key in keys]).rowcount if keys else 0


# -- gates --


@value_class
class Booking:
    """``at``: when the call may be made (microseconds); or why it may not, as the arguments of `CrmDown`."""

    at: int = 0
    cause: str = ""
    retry_at: int = 0

    def refusal(self) -> CrmDown:
        """What the caller raises."""
        return CrmDown(self.cause, retry_at=from_microseconds(self.retry_at), is_closed=True)


def is_closed_until(connection: sqlite3.Connection, name: str, now: int) -> Booking | None:
    """The refusal of a gate that is closed now; None when it is open."""
    row = connection.execute(_GATE, (name,)).fetchone()
    return None if row is None else _closed(row, now)


def _closed(row: Any, now: int) -> Booking | None:
    if row[1] is None or row[1] <= now:
        return None
    return Booking(cause=row[2] or "closed", retry_at=row[1])


def enter(
    connection: sqlite3.Connection,
    name: str,
    *,
    every_us: int,
    burst: int,
    daily: int | None,
    now: int,
    most_wait_us: int,
) -> Booking:
    """Book a call by the generic cell rate; a refusal books nothing.

    ``arrival_at`` is when the next call would come if all came evenly; one may come ``burst - 1`` intervals earlier.
    """
    row = connection.execute(_GATE, (name,)).fetchone() or (0, None, "", "", 0)
    closed = _closed(row, now)
    if closed is not None:
        return closed
    today = _day(now)
    used = row[4] if row[3] == today else 0
    if daily is not None and used >= daily:
        return Booking(cause=f"all {daily} calls of the day are used", retry_at=(now // _DAY_US + 1) * _DAY_US)
    ahead_us = (burst - 1) * every_us
    arrival = row[0] if row[0] - now <= ahead_us + _CLOCK_JUMP_US else now
    at = max(now, arrival - ahead_us)
    if at - now > most_wait_us:
        return Booking(cause="too many calls are waiting already", retry_at=at)
    connection.execute(_BOOK, (name, max(arrival, now) + every_us, today, used + 1))
    return Booking(at)


def close(connection: sqlite3.Connection, name: str, until: int, why: str) -> None:
    """Close it; of two closings the one that lasts longer stands."""
    connection.execute(_CLOSE, (name, until, clean_text(why)))


def reopen(connection: sqlite3.Connection, name: str) -> None:
    """Open it and those below it."""
    for one in closed_gates(connection, name):
        connection.execute("UPDATE crm_gates SET closed_until = NULL, closed_why = '' WHERE name = ?", (one,))


def closed_gates(connection: sqlite3.Connection, name: str) -> list[str]:
    """Of the gate and those below it, which are closed, or were and nobody has said otherwise."""
    rows = connection.execute(_CLOSED, (name, f"{name}:", f"{name};"))  # ; comes right behind :
    return [str(row[0]) for row in rows]


def gate(connection: sqlite3.Connection, name: str) -> GateState:
    """As it stands."""
    row = connection.execute(_GATE, (name,)).fetchone()
    if row is None:
        return GateState()
    return GateState(None if row[1] is None else from_microseconds(row[1]), row[2], row[3], row[4])


def _day(at: int) -> str:
    return (rfc3339(at) or "")[:10]


# -- duties --


def someone_elses_duty(connection: sqlite3.Connection, name: str, holder: str, now: int) -> bool:
    """Somebody else has it now."""
    sql = "SELECT 1 FROM duties WHERE name = ? AND holder <> ? AND until > ?"
    return connection.execute(sql, (name, holder, now)).fetchone() is not None


def hold_duty(connection: sqlite3.Connection, name: str, holder: str, until: int, now: int) -> Mapping[str, Any] | None:
    """Take or prolong it; its notes, None when somebody else has it."""
    row = connection.execute(_HOLD, (name, holder, until, now)).fetchone()
    if row is None:
        return None
    notes: dict[str, Any] = unpack_json(row[0])
    return notes


def note_duty(connection: sqlite3.Connection, name: str, holder: str, notes: Mapping[str, Any]) -> None:
    """Keep notes with it; nothing when somebody else has it meanwhile."""
    sql = "UPDATE duties SET notes = ? WHERE name = ? AND holder = ? AND notes <> ?1"
    connection.execute(sql, (pack_json(notes), name, holder))


def free_duties(connection: sqlite3.Connection, first: str, last: str) -> None:
    """Whoever comes next may have what holders from ``first`` up to before ``last`` had."""
    connection.execute("UPDATE duties SET until = 0 WHERE holder >= ? AND holder < ?", (first, last))
