"""Automatic mail, counted for all workers together, and what of it is held for a while (`core.robot_limits`)."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import timedelta

from supportrelay.core.robot_limits import Limit, RobotLimits, RobotStop
from supportrelay.edge.store.rows import clean_text

__all__ = ["count_robot"]

_SECOND = 1_000_000
_STOPPED = "SELECT count, within FROM robot_stops WHERE key = ? AND until > ?"
_STOP = "INSERT OR REPLACE INTO robot_stops (key, until, count, within) VALUES (?, ?, ?, ?)"
_COUNT = "INSERT OR IGNORE INTO robot_mail (key, queue_id, at) VALUES (?, ?, ?)"
_SINCE = "SELECT count(*) FROM robot_mail WHERE key = ? AND at > ?"


def count_robot(
    connection: sqlite3.Connection,
    queue_id: str,
    limits: Mapping[str, Sequence[Limit]],
    now: int,
    of_desk: RobotLimits,
) -> RobotStop | None:
    """Count a mail against its limits, once however often it is asked; the stop that holds it, None when it may go.

    What is held is not counted, so that a stop ends however much still comes, and the count begins anew.
    """
    keys = {clean_text(key): some for key, some in limits.items()}
    for key in keys:
        row = connection.execute(_STOPPED, (key, now)).fetchone()
        if row is not None:
            return RobotStop(key, row[0], timedelta(microseconds=row[1]))
    connection.execute("DELETE FROM robot_mail WHERE at < ?", (now - _microseconds(of_desk.longest),))
    connection.executemany(_COUNT, [(key, queue_id, now) for key in keys])
    for key, some in keys.items():
        for limit in some:
            within = _microseconds(limit.within)
            count = int(connection.execute(_SINCE, (key, now - within)).fetchone()[0])
            if count > limit.count:
                return _begin(connection, RobotStop(key, count, limit.within, is_new=True), queue_id, now, of_desk)
    return None


def _begin(connection: sqlite3.Connection, stop: RobotStop, queue_id: str, now: int, of_desk: RobotLimits) -> RobotStop:
    connection.execute("DELETE FROM robot_stops WHERE until <= ?", (now,))
    connection.execute("DELETE FROM robot_mail WHERE key = ? OR queue_id = ?", (stop.key, queue_id))
    connection.execute(_STOP, (stop.key, now + _microseconds(of_desk.hold_for), stop.count, _microseconds(stop.within)))
    return stop


def _microseconds(span: timedelta) -> int:
    return int(span.total_seconds() * _SECOND)
