"""Claiming copies that are due; what was cut off again and again is held."""

import sqlite3
from datetime import datetime
from typing import Any

from supportrelay.core.delivery import DeliveryForm, DeliveryKind, DeliveryState
from supportrelay.core.ports import ClaimedDelivery
from supportrelay.edge.store.changes import change_row, write_change, write_changes
from supportrelay.edge.store.deliveries import update_message
from supportrelay.edge.store.owed import alarm_held
from supportrelay.edge.store.rows import DAMAGED_ROW, from_microseconds, to_microseconds, unpack_envelope, unpack_json

__all__ = ["claim_deliveries", "has_due_deliveries"]

_HAS_DUE = """
SELECT 1 FROM deliveries INDEXED BY deliveries_at_work
WHERE state IN ('due', 'sending', 'deferred') AND due_at <= ? LIMIT 1"""
_DUE = """
SELECT d.id, d.state, d.attempts, d.begun_at, d.message, m.queue_id, d.recipient, d.kind, d.new_message_id,
m.reverse_path, m.forward_paths, m.peer, m.is_smtputf8, m.accepted_at, x.copy_plan, c.ticket_id, d.form, d.form_why
FROM deliveries d INDEXED BY deliveries_at_work
JOIN messages m ON m.seq = d.message LEFT JOIN decisions x ON x.message = d.message
LEFT JOIN conversations c ON c.id = m.conversation_id
WHERE d.state IN ('due', 'sending', 'deferred') AND d.due_at <= ? ORDER BY d.due_at, d.id LIMIT ?"""
_CLAIM = """
UPDATE deliveries SET state = 'sending', attempts = attempts + 1, begun_at = ?, holder = ?, due_at = ? WHERE id = ?"""
# Attempts cut off since the last one that had an end, or that a person let go on.
_CUT_OFF = """
SELECT count(*) FROM changes WHERE message = ?1 AND delivery_id = ?2 AND what = 'delivery.lost' AND id > coalesce(
(SELECT max(id) FROM changes WHERE message = ?1 AND delivery_id = ?2 AND what IN
('delivery.deferred', 'delivery.failed', 'delivery.delivered', 'delivery.held', 'delivery.reshaped')), 0)"""
_MAX_CUT_OFF = 3
_SUSPICIOUS = 2
_SUSPECTS_PASSED = 100
_HOLD = "UPDATE deliveries SET state = 'held', due_at = NULL, holder = NULL, last_reply = '' WHERE id = ?"


def has_due_deliveries(connection: sqlite3.Connection, now: int) -> bool:
    """Is there anything to claim? Asked on the reading connection."""
    return connection.execute(_HAS_DUE, (now,)).fetchone() is not None


def claim_deliveries(
    connection: sqlite3.Connection, now: datetime, holder: str, until: int, limit: int, suspects: int
) -> list[ClaimedDelivery]:
    """Take due copies, oldest first, each with a new attempt recorded.

    One that was under way whenever its worker died may be what killed it: after three times a person decides.
    """
    at = to_microseconds(now)
    rows, alone, is_short = _choose(connection, at, limit, limit, suspects)
    if is_short:
        rows, alone, _ = _choose(connection, at, limit, limit + _SUSPECTS_PASSED, suspects)
    connection.executemany(_CLAIM, [(at, holder, until, row[0]) for row in rows])
    # An attempt with a beginning and no end: its worker is gone, the copy may or may not have arrived.
    lost = [
        change_row(
            at,
            "delivery.lost",
            "relay",
            {"attempt": row[2], "begun_at": None if row[3] is None else from_microseconds(row[3])},
            message=row[4],
            delivery_id=row[0],
        )
        for row in rows
        if row[1] == DeliveryState.SENDING
    ]
    if lost:
        write_changes(connection, lost)
    claimed = []
    for row in rows:
        try:
            claimed.append(_as_claimed(row, is_suspect=row[0] in alone))
        except DAMAGED_ROW as exc:  # parked, or no other copy would ever be claimed (F13)
            _hold(connection, row, f"row cannot be read: {exc!r}", at)
    return claimed


def _choose(
    connection: sqlite3.Connection, at: int, limit: int, looked_at: int, suspects: int
) -> tuple[list[Any], set[int], bool]:
    """``(rows, ids of the suspects among them, there may be others behind suspects that were passed over)``."""
    rows: list[Any] = []
    alone: set[int] = set()
    has_passed = False
    for row in connection.execute(_DUE, (at, looked_at)).fetchall():
        if len(rows) == limit:
            break
        cut_off = 1 + _cut_off(connection, row[4], row[0]) if row[1] == DeliveryState.SENDING else 0
        if cut_off >= _MAX_CUT_OFF:
            _hold(connection, row, f"cut off {_MAX_CUT_OFF} times: its worker died", at)
        elif cut_off >= _SUSPICIOUS and len(alone) == suspects:
            has_passed = True
        else:
            if cut_off >= _SUSPICIOUS:
                alone.add(row[0])
            rows.append(row)
    return rows, alone, has_passed and len(rows) < limit


def _as_claimed(row: Any, *, is_suspect: bool) -> ClaimedDelivery:
    return ClaimedDelivery(
        delivery_id=row[0],
        queue_id=row[5],
        recipient=row[6],
        kind=DeliveryKind(row[7]),
        attempt=row[2] + 1,
        envelope=unpack_envelope(row[9], row[10], row[11], row[12]),
        accepted_at=from_microseconds(row[13]),
        copy_plan=unpack_json(row[14]),
        ticket_id=row[15],
        new_message_id=row[8],
        form=DeliveryForm(row[16]),
        form_why=row[17],
        is_suspect=is_suspect,
    )


def _cut_off(connection: sqlite3.Connection, seq: int, delivery_id: int) -> int:
    return int(connection.execute(_CUT_OFF, (seq, delivery_id)).fetchone()[0])


def _hold(connection: sqlite3.Connection, row: Any, text: str, now: int) -> None:
    delivery_id, seq, queue_id, recipient = row[0], row[4], row[5], row[6]
    connection.execute(_HOLD, (delivery_id,))
    why = {"recipient": recipient, "text": text}
    write_change(connection, change_row(now, "delivery.held", "relay", why, message=seq, delivery_id=delivery_id))
    alarm_held(connection, queue_id, text, now)
    update_message(connection, seq, waits_for_us=False)
