"""The store's own account of how it is, read on a connection of its own by the process that is asked for it."""

import os
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from supportrelay.core.audit import DUTY
from supportrelay.core.vitals import LastAudit, Vitals
from supportrelay.edge.store.database import connect
from supportrelay.edge.store.rows import to_microseconds, unpack_json

__all__ = ["read_vitals"]

_ALARMS_OF = timedelta(hours=1)

_MESSAGES = """
SELECT state, count(*) FROM messages INDEXED BY messages_at_work WHERE state NOT IN ('delivered', 'filed')
GROUP BY state"""
_DELIVERIES = """
SELECT state, count(*) FROM deliveries INDEXED BY deliveries_at_work WHERE state IN ('due', 'sending', 'deferred')
GROUP BY state"""
_TICKETS = "SELECT stage, count(*) FROM tickets WHERE merged_into IS NULL AND trashed_at IS NULL GROUP BY stage"
_OLDEST_MESSAGE = """
SELECT min(due_at) FROM messages INDEXED BY messages_at_work
WHERE state IN ('accepted', 'waiting') AND state NOT IN ('delivered', 'filed') AND holder IS NULL"""
_OLDEST_DELIVERY = """
SELECT min(due_at) FROM deliveries INDEXED BY deliveries_at_work
WHERE state IN ('due', 'sending', 'deferred') AND holder IS NULL"""
_BREAKERS = "SELECT name FROM crm_gates WHERE closed_until > ? ORDER BY name"
_ALARMS = "SELECT kind, sum(max(count, 1)) FROM alarms WHERE last_at > ? GROUP BY kind"


def read_vitals(path: Path, now: datetime, *, reserve_octets: int = 0) -> Vitals:
    """How the store is. Takes some ten milliseconds with a million tickets; call it on a thread.

    Raises:
        sqlite3.Error, OSError: It cannot be read.
    """
    connection = connect(path, read_only=True, cache_kib=1024)
    try:
        return _read(connection, path, now, reserve_octets)
    finally:
        connection.close()


def _read(connection: sqlite3.Connection, path: Path, now: datetime, reserve_octets: int) -> Vitals:
    at = to_microseconds(now)
    disk = os.statvfs(path.parent)
    (work,) = connection.execute("SELECT count(*) FROM desk_work").fetchone()
    return Vitals(
        messages=dict(connection.execute(_MESSAGES).fetchall()),
        deliveries=dict(connection.execute(_DELIVERIES).fetchall()),
        tickets=dict(connection.execute(_TICKETS).fetchall()),
        desk_work=work,
        oldest_due_s=_oldest_due_s(connection, at),
        breakers=[row[0] for row in connection.execute(_BREAKERS, (at,))],
        alarms=dict(connection.execute(_ALARMS, (at - _microseconds(_ALARMS_OF),)).fetchall()),
        last_audit=_last_audit(connection),
        free_octets=disk.f_bavail * disk.f_frsize,
        store_octets=path.stat().st_size,
        reserve_octets=reserve_octets,
    )


def _microseconds(span: timedelta) -> int:
    """Microseconds of a span."""
    return int(span.total_seconds() * 1_000_000)


def _oldest_due_s(connection: sqlite3.Connection, at: int) -> float:
    found = [connection.execute(sql).fetchone()[0] for sql in (_OLDEST_MESSAGE, _OLDEST_DELIVERY)]
    due = [one for one in found if one is not None and one < at]
    return (at - min(due)) / 1_000_000 if due else 0.0


def _last_audit(connection: sqlite3.Connection) -> LastAudit | None:
    row = connection.execute("SELECT notes FROM duties WHERE name = ?", (DUTY,)).fetchone()
    notes: dict[str, Any] = unpack_json(row[0]) if row else {}
    if "at" not in notes:
        return None
    return LastAudit(datetime.fromisoformat(notes["at"]), int(notes.get("findings", 0)))
