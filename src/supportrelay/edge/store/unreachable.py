"""Who cannot be reached: three copies refused for good within a week are named to a person (RULES_OF_MAIL 3.8)."""

import sqlite3
from datetime import timedelta

from supportrelay.core.alarm import Alarm, AlarmKind
from supportrelay.core.delivery import Cause, DeliveryKind, Outcome, OutcomeKind
from supportrelay.edge.store.alarms import raise_alarm
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.rows import address_key, clean_text

__all__ = ["note_failure", "unreachable"]

_SECOND = 1_000_000
_WITHIN = int(timedelta(days=7).total_seconds()) * _SECOND
_TOLD_AGAIN = int(timedelta(days=1).total_seconds()) * _SECOND
_TOO_MANY = 3
_OURS = frozenset({DeliveryKind.OWNER, DeliveryKind.LIST, DeliveryKind.ADMIN})
_BY_RULE = frozenset({DeliveryKind.AS_IS, DeliveryKind.REWRITTEN})

_COPY = """
SELECT d.kind, d.recipient, d.message, m.queue_id, d.why FROM deliveries d JOIN messages m ON m.seq = d.message
WHERE d.id = ?"""
_NOTE = "INSERT OR REPLACE INTO hard_failures (address, delivery, at, text) VALUES (?, ?, ?, ?)"
_COUNT = "SELECT count(*) FROM hard_failures WHERE address = ? AND at > ?"
_ALARM = "SELECT last_at FROM alarms WHERE kind = ? AND key = ?"
_LIST = """
SELECT address, count(*), min(at), max(at), (SELECT text FROM hard_failures l WHERE l.address = f.address
ORDER BY l.at DESC LIMIT 1) FROM hard_failures f WHERE at > ? GROUP BY address HAVING count(*) >= ? ORDER BY address"""


def note_failure(connection: sqlite3.Connection, delivery_id: int, outcome: Outcome, now: int) -> None:
    """A copy has failed for good; the third one within a week is recorded, and an alarm, once a day.

    What was refused for its size or content, and what was given up after trying, says nothing of the address. What a
    rule passes on (to a CRM's case address) has no other form, and nobody misses it there: each is an alarm.
    """
    kind, recipient, seq, queue_id, reason = connection.execute(_COPY, (delivery_id,)).fetchone()
    if kind in _BY_RULE and reason != "postmaster":
        facts = {"recipient": recipient, "queue_id": queue_id, "text": outcome.reply}
        raise_alarm(connection, Alarm(AlarmKind.PASSED_ON_REFUSED, address_key(recipient), facts), now)
    if kind not in _OURS or not _is_hard(outcome):
        return
    key = address_key(recipient)
    connection.execute("DELETE FROM hard_failures WHERE at <= ?", (now - _WITHIN,))
    connection.execute(_NOTE, (key, delivery_id, now, clean_text(outcome.reply)[:500]))
    count = connection.execute(_COUNT, (key, now - _WITHIN)).fetchone()[0]
    if count < _TOO_MANY:
        return
    row = connection.execute(_ALARM, (AlarmKind.OWNER_UNREACHABLE, key)).fetchone()
    if row is not None and row[0] > now - _TOLD_AGAIN:
        return
    why = {"address": key, "failures": count, "text": outcome.reply}
    write_change(connection, change_row(now, "owner.unreachable", "relay", why, message=seq))
    facts = {"recipient": key, "queue_id": queue_id, "count": count, "text": outcome.reply}
    raise_alarm(connection, Alarm(AlarmKind.OWNER_UNREACHABLE, key, facts), now)


def _is_hard(outcome: Outcome) -> bool:
    """5.x.x, or without a status 5xx, about the recipient; what nobody answered for has neither."""
    is_permanent = outcome.status.startswith("5") or (not outcome.status and outcome.code // 100 == 5)  # noqa: PLR2004
    return outcome.kind == OutcomeKind.FAILED and outcome.cause == Cause.RECIPIENT and is_permanent


def unreachable(connection: sqlite3.Connection, now: int) -> list[tuple[str, int, int, int, str]]:
    """``(address, failures, first, last, what was said last)`` of everybody who cannot be reached."""
    return connection.execute(_LIST, (now - _WITHIN, _TOO_MANY)).fetchall()
