"""The queue as commands see and change it, and the trace; plain JSON values in the shapes of DESIGN 8."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from supportrelay.core.delivery import DeliveryKind, DeliveryState, MessageState
from supportrelay.core.errors import InputError
from supportrelay.core.ports import NewDelivery
from supportrelay.core.ticket import ticket_label
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.deliveries import update_message
from supportrelay.edge.store.desk import due_now
from supportrelay.edge.store.rows import address_key, clean_text, rfc3339, shown_json, unpack_json
from supportrelay.edge.store.settle import insert_deliveries
from supportrelay.edge.store.tickets import change_json, remove_ticket

__all__ = ["drop", "hold", "queue_list", "queue_show", "release", "remove_probe", "retry", "trace"]

_FINISHED = {MessageState.DELIVERED, MessageState.FILED}
# What `queue list` shows unasked: under way, or waiting for a person.
_UNFINISHED = tuple(state for state in MessageState if state not in {*_FINISHED, "ignored", "looped"})

_COLUMNS = """
SELECT m.seq, m.queue_id, m.state, m.reverse_path, m.forward_paths, m.message_id, m.subject, m.accepted_at,
m.size_octets, x.direction, x.place, x.address_name, x.customer, m.due_at, m.holder, m.tries, c.ticket_id,
f.queue_id, m.peer, m.failover_at, m.released_by, m.is_smtputf8
FROM messages m LEFT JOIN conversations c ON c.id = m.conversation_id LEFT JOIN messages f ON f.seq = m.first_arrival
LEFT JOIN decisions x ON x.message = m.seq"""
_DELIVERIES = """
SELECT id, recipient, kind, state, attempts, due_at, last_reply, holder, why, begun_at, new_message_id, form
FROM deliveries WHERE message = ? ORDER BY id"""
_CHANGES = """
SELECT x.at, x.what, x.who, x.why, m.queue_id, x.ticket_id, x.delivery_id FROM changes x
JOIN messages m ON m.seq = x.message WHERE x.message = ? ORDER BY x.id"""
# Of the mail's ticket, and of those merged into it: their work stays theirs.
_DESK_DUE_NOW = """
UPDATE desk_tickets SET due_at = ?1 WHERE due_at > ?1 AND holder IS NULL AND ticket_id IN
(SELECT c.ticket_id FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE m.seq = ?2
 UNION SELECT t.id FROM messages m JOIN conversations c ON c.id = m.conversation_id
 JOIN tickets t ON t.merged_into = c.ticket_id WHERE m.seq = ?2)"""
_ENDS_OF_ATTEMPTS = {
    "delivery.delivered",
    "delivery.deferred",
    "delivery.reshaped",
    "delivery.failed",
    "delivery.held",
    "delivery.lost",
}


def queue_list(
    connection: sqlite3.Connection, *, states: Sequence[str], finished: bool, limit: int | None
) -> list[dict[str, Any]]:
    """Messages, oldest first (DESIGN 8).

    Args:
        states: Only these; empty for what is under way or waits for a person.
        finished: Every state, finished mail too.
        limit: At most so many; of finished ones the newest, else the oldest.

    Raises:
        InputError: No such state.
    """
    for state in states:
        if state not in set(MessageState):
            raise InputError(f"no state {state!r}: {', '.join(MessageState)}")
    wanted = tuple(states) or (tuple(MessageState) if finished else _UNFINISHED)
    most = -1 if limit is None else limit
    rows: list[Any] = []
    for state in wanted:
        if state in _FINISHED:
            sql = f"{_COLUMNS} WHERE m.state = ? ORDER BY m.seq DESC LIMIT ?"
        else:
            sql = f"{_COLUMNS} WHERE m.state = ? AND m.state NOT IN ('delivered', 'filed') ORDER BY m.seq LIMIT ?"
        rows += connection.execute(sql, (state, most)).fetchall()
    rows.sort(key=lambda row: int(row[0]))
    if limit is not None:
        rows = rows[-limit:] if _FINISHED & set(wanted) else rows[:limit]
    return [_message(connection, row) for row in rows]


def queue_show(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    """One message by its queue id, or the newest with this Message-ID; with its decision and changes.

    Raises:
        InputError: No such message.
    """
    return _life(connection, _rows_named(connection, name)[-1])


def trace(connection: sqlite3.Connection, name: str) -> list[dict[str, Any]]:
    """The lives of all messages with this queue id or Message-ID, in the order of acceptance.

    Each is the message as in `queue_show`: ``envelope``, ``decision`` (`Decision.to_json`), ``copy_plan``,
    ``deliveries`` with their ``attempts_made`` and ``changes``.

    Raises:
        InputError: No such message.
    """
    return [_life(connection, row) for row in _rows_named(connection, name)]


# -- changes by a person --


def retry(connection: sqlite3.Connection, name: str | None, who: str, now: int) -> dict[str, Any]:
    """Everything deferred is due now, work for the outside desk too; of a named message also what failed.

    ``{queue_id, count}``.
    """
    if name is None:
        count = connection.execute(
            "UPDATE deliveries INDEXED BY deliveries_at_work SET due_at = ? "
            "WHERE state IN ('due', 'sending', 'deferred') AND state = 'deferred' AND due_at > ?",
            (now, now),
        ).rowcount
        count += due_now(connection, now)
        write_changes(connection, [change_row(now, "queue.retried", who, {"count": count})])
        return {"queue_id": "", "count": count}
    seq, queue_id = _with_content(connection, name)
    count = connection.execute(
        # What failed begins with the whole mail again: whoever has it retried has seen to what was refused.
        "UPDATE deliveries SET form = CASE state WHEN 'failed' THEN 'full' ELSE form END, "
        "state = CASE attempts WHEN 0 THEN 'due' ELSE 'deferred' END, due_at = ? "
        "WHERE message = ? AND state IN ('due', 'deferred', 'failed')",
        (now, seq),
    ).rowcount
    count += connection.execute(
        "UPDATE messages SET due_at = ? WHERE seq = ? AND state IN ('accepted', 'waiting') AND holder IS NULL",
        (now, seq),
    ).rowcount
    count += connection.execute(_DESK_DUE_NOW, (now, seq)).rowcount
    if count:
        write_changes(connection, [change_row(now, "message.retried", who, {"count": count}, message=seq)])
        _update_if_decided(connection, seq)
    return {"queue_id": queue_id, "count": count}


def hold(connection: sqlite3.Connection, name: str, who: str, now: int) -> dict[str, Any]:
    """Copies that are not under way this moment wait for a person; ``{queue_id, count}``."""
    seq, queue_id = _one(connection, name)
    count = connection.execute(
        "UPDATE deliveries SET state = 'held', due_at = NULL WHERE message = ? AND state IN ('due', 'deferred')", (seq,)
    ).rowcount
    count += connection.execute(
        "UPDATE messages SET state = 'held', due_at = NULL, holder = NULL "
        "WHERE seq = ? AND state IN ('accepted', 'waiting')",
        (seq,),
    ).rowcount
    if count:
        write_changes(connection, [change_row(now, "message.held", who, {"why": "by a person"}, message=seq)])
        _update_if_decided(connection, seq)
    return {"queue_id": queue_id, "count": count}


def release(connection: sqlite3.Connection, name: str, who: str, now: int) -> dict[str, Any]:
    """Let a held message go on; ``{queue_id, count}``.

    Held copies are due. A decision that named recipients but held the mail is carried out. Anything else is decided
    again, with ``released_by`` set so that nothing holds it for the same reason.

    Raises:
        InputError: It is not held.
    """
    seq, queue_id = _with_content(connection, name)
    state = connection.execute("SELECT state FROM messages WHERE seq = ?", (seq,)).fetchone()[0]
    count = connection.execute(
        "UPDATE deliveries SET state = CASE attempts WHEN 0 THEN 'due' ELSE 'deferred' END, due_at = ? "
        "WHERE message = ? AND state = 'held'",
        (now, seq),
    ).rowcount
    if not count and state != MessageState.HELD:
        raise InputError(f"{queue_id} is not held ({state})")
    connection.execute("UPDATE messages SET released_by = ? WHERE seq = ?", (clean_text(who), seq))
    if not count:
        count = _carry_out(connection, seq, now)
    if count:
        connection.execute("UPDATE messages SET state = 'composed' WHERE seq = ?", (seq,))
        update_message(connection, seq, waits_for_us=False)
    else:
        # Its key is given back: decided again, it must not find itself as its own duplicate.
        connection.execute("DELETE FROM arrivals WHERE message = ?", (seq,))
        connection.execute("UPDATE messages SET state = 'accepted', due_at = ?, tries = 0 WHERE seq = ?", (now, seq))
    write_changes(connection, [change_row(now, "message.released", who, {"count": count}, message=seq)])
    return {"queue_id": queue_id, "count": max(count, 1)}


def drop(connection: sqlite3.Connection, name: str, recipient: str | None, who: str, now: int) -> dict[str, Any]:
    """Take a message, or one of its copies, out of the queue; what was received stays kept. ``{queue_id, count}``.

    Raises:
        InputError: No copy for that recipient.
    """
    seq, queue_id = _one(connection, name)
    rows = connection.execute("SELECT id, recipient_key, state FROM deliveries WHERE message = ?", (seq,)).fetchall()
    if recipient is not None:
        rows = [row for row in rows if row[1] == address_key(recipient)]
        if not rows:
            raise InputError(f"{queue_id} has no copy for {recipient}")
    chosen = [row[0] for row in rows if row[2] not in {DeliveryState.DELIVERED, DeliveryState.DROPPED}]
    connection.executemany(
        "UPDATE deliveries SET state = 'dropped', due_at = NULL, holder = NULL WHERE id = ?", [(one,) for one in chosen]
    )
    count = len(chosen)
    if recipient is None:
        count += connection.execute(
            "UPDATE messages SET state = 'filed', due_at = NULL, holder = NULL "
            "WHERE seq = ? AND state NOT IN ('delivered', 'filed', 'composed')",
            (seq,),
        ).rowcount
    if count:
        why = {"recipient": recipient, "count": count}
        write_changes(connection, [change_row(now, "message.dropped", who, why, message=seq)])
        _update_if_decided(connection, seq)
    return {"queue_id": queue_id, "count": count}


def remove_probe(connection: sqlite3.Connection, queue_id: str, who: str, now: int) -> int | None:
    """Delete the ticket that a probe made, when no other mail has joined it; its number, None without.

    The probe's message and deliveries stay: their ids stand in tokens of mail that is still out there.

    Raises:
        InputError: No such message.
    """
    row = connection.execute(
        "SELECT m.seq, c.ticket_id, (SELECT count(*) FROM messages o JOIN conversations p ON p.id = o.conversation_id "
        "WHERE p.ticket_id = c.ticket_id) FROM messages m LEFT JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.queue_id = ?",
        (queue_id,),
    ).fetchone()
    if row is None:
        raise InputError(f"no message {queue_id!r}")
    ticket: int | None = row[1] if row[1] is not None and row[2] == 1 else None
    if ticket is not None:
        remove_ticket(connection, ticket)
    write_changes(connection, [change_row(now, "probe.removed", who, {"ticket": ticket}, message=row[0])])
    return ticket


def _update_if_decided(connection: sqlite3.Connection, seq: int) -> None:
    """A message without copies keeps the state that was written; with copies they say what it is."""
    if connection.execute("SELECT 1 FROM deliveries WHERE message = ?", (seq,)).fetchone():
        update_message(connection, seq)


def _carry_out(connection: sqlite3.Connection, seq: int, now: int) -> int:
    """Make the copies that a holding decision named; none when it named none or has no plan for them."""
    row = connection.execute("SELECT decision, copy_plan FROM decisions WHERE message = ?", (seq,)).fetchone()
    copies = unpack_json(row[0]).get("copies") if row and row[1] else None
    named = tuple(NewDelivery(c["address"], DeliveryKind(c["kind"]), c["why"]) for c in copies or ())
    return len(insert_deliveries(connection, seq, named, now))


# -- shapes --


def _rows_named(connection: sqlite3.Connection, name: str) -> list[Any]:
    wanted = clean_text(name.strip())
    rows = connection.execute(f"{_COLUMNS} WHERE m.queue_id = ?", (wanted,)).fetchall()
    if not rows:
        message_id = wanted if wanted.startswith("<") else f"<{wanted}>"
        found = connection.execute(
            "SELECT seq FROM messages WHERE message_id = ?1 AND message_id <> '' "
            "UNION SELECT message FROM deliveries WHERE new_message_id = ?1 AND new_message_id <> '' ORDER BY 1",
            (message_id,),
        ).fetchall()
        rows = [connection.execute(f"{_COLUMNS} WHERE m.seq = ?", one).fetchone() for one in found]
    if not rows:
        raise InputError(f"no message {name!r}: neither a queue id nor a Message-ID that is known here")
    return rows


def _one(connection: sqlite3.Connection, name: str) -> tuple[int, str]:
    rows = _rows_named(connection, name)
    if len(rows) > 1:
        ids = ", ".join(row[1] for row in rows)
        raise InputError(f"several messages have the Message-ID {name}: {ids}; name one of them")
    return rows[0][0], rows[0][1]


def _with_content(connection: sqlite3.Connection, name: str) -> tuple[int, str]:
    """As `_one`, of a message from which copies can be written."""
    seq, queue_id = _one(connection, name)
    if connection.execute("SELECT 1 FROM contents WHERE message = ?", (seq,)).fetchone() is None:
        raise InputError(f"{queue_id}: its content is no longer kept, so nothing can be sent from it")
    return seq, queue_id


def _message(connection: sqlite3.Connection, row: Any) -> dict[str, Any]:
    deliveries = connection.execute(_DELIVERIES, (row[0],)).fetchall()
    return {
        "queue_id": row[1],
        "state": row[2],
        "reverse_path": row[3],
        "forward_paths": shown_json(row[4], []),
        "message_id": row[5],
        "subject": row[6],
        "accepted_at": rfc3339(row[7]),
        "size_octets": row[8],
        "direction": row[9] or "",
        "support_in": row[10] or "",
        "address": row[11] or "",
        "customer": row[12] or None,
        "due_at": rfc3339(row[13]) if row[2] in {"accepted", "waiting"} and row[14] is None else None,
        "ticket": None if row[16] is None else ticket_label(row[16]),
        "duplicate_of": row[17],
        "deliveries": [_delivery(delivery) for delivery in deliveries],
    }


def _delivery(row: Any) -> dict[str, Any]:
    return {
        "id": row[0],
        "recipient": row[1],
        "kind": row[2],
        "state": row[3],
        "attempts": row[4],
        "due_at": rfc3339(row[5]) if row[3] in {"due", "deferred"} else None,
        "last_reply": row[6],
        "why": row[8],
        "form": row[11],
    }


def _life(connection: sqlite3.Connection, row: Any) -> dict[str, Any]:
    found = _message(connection, row)
    changes = [change_json(change) for change in connection.execute(_CHANGES, (row[0],))]
    decided = connection.execute("SELECT decision, copy_plan FROM decisions WHERE message = ?", (row[0],)).fetchone()
    found["envelope"] = {
        "reverse_path": row[3],
        "forward_paths": found["forward_paths"],
        "is_smtputf8": bool(row[21]),
        "peer": shown_json(row[18], {}),
    }
    found["decision"] = shown_json(decided[0], {}) if decided else None
    found["copy_plan"] = shown_json(decided[1], {}) if decided else None
    found["failover_at"] = rfc3339(row[19])
    found["released_by"] = row[20] or None
    found["tries"] = row[15]
    found["changes"] = changes
    for delivery, stored in zip(
        found["deliveries"], connection.execute(_DELIVERIES, (row[0],)).fetchall(), strict=True
    ):
        delivery["new_message_id"] = stored[10] or None
        delivery["attempts_made"] = _attempts(changes, stored)
    return found


def _attempts(changes: list[dict[str, Any]], row: Any) -> list[dict[str, Any]]:
    """Ended attempts from the changes, and the one that runs now."""
    attempts = [
        {**change["why"], "outcome": change["what"].partition(".")[2], "ended_at": change["at"]}
        for change in changes
        if change["delivery_id"] == row[0] and change["what"] in _ENDS_OF_ATTEMPTS
    ]
    if row[3] == DeliveryState.SENDING:
        attempts.append({"attempt": row[4], "begun_at": rfc3339(row[9]), "outcome": None, "ended_at": None})
    return attempts
