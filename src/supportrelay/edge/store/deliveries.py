"""Copies on their way: claims, ends of attempts, failover, and what a message's state is after them."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from supportrelay.core.delivery import (
    Cause,
    DeliveryForm,
    DeliveryKind,
    DeliveryState,
    MessageState,
    Outcome,
    OutcomeKind,
)
from supportrelay.core.ports import (
    Attempted,
    DeliveryView,
    NewDelivery,
    OtherForm,
    Reported,
    WaitingMessage,
)
from supportrelay.edge.store.changes import change_row, write_change, write_changes
from supportrelay.edge.store.lookup import KINDS
from supportrelay.edge.store.owed import owe_after_attempt, owe_when_dead
from supportrelay.edge.store.rows import (
    address_key,
    clean_text,
    from_microseconds,
    shown_json,
    to_microseconds,
)
from supportrelay.edge.store.settle import insert_deliveries
from supportrelay.edge.store.unreachable import note_failure

__all__ = [
    "add_failover",
    "deliveries_of",
    "delivery",
    "delivery_of_copy",
    "fail_delivery",
    "mails_outside",
    "nobody_got",
    "report",
    "state_after",
    "update_message",
]

_OPEN = {"due", "sending", "deferred"}
_PASSED_ON = {kind.value for kind in DeliveryKind if kind.is_passed_on}
_ENDED = {"delivered", "failed", "dropped"}

_ATTEMPTED = """
SELECT state, attempts, begun_at, message, recipient FROM deliveries WHERE id = ?"""
_END = "UPDATE deliveries SET state = ?, due_at = ?, holder = NULL, last_reply = ? WHERE id = ?"
_OTHER_FORM = "UPDATE deliveries SET form = ?, form_why = ?, new_message_id = ? WHERE id = ?"
# Answers to a copy that got an id of its own find the mail's ticket.
_KNOWN_ID = """
INSERT OR IGNORE INTO known_ids (message_id, conversation_id, kind)
SELECT ?, conversation_id, ? FROM messages WHERE seq = ? AND conversation_id IS NOT NULL"""
_MESSAGE_AND_COPIES = """
SELECT m.state, m.due_at, m.failover_at, m.accepted_at, d.state, d.kind FROM messages m
LEFT JOIN deliveries d ON d.message = m.seq WHERE m.seq = ?"""
_NOBODY_GOT = """
SELECT m.seq, m.queue_id, coalesce(x.address_name, ''), c.ticket_id, x.copy_plan, m.due_at
FROM messages m INDEXED BY messages_at_work LEFT JOIN decisions x ON x.message = m.seq
LEFT JOIN conversations c ON c.id = m.conversation_id
WHERE m.state = 'composed' AND m.state NOT IN ('delivered', 'filed') AND m.due_at <= ? ORDER BY m.due_at LIMIT ?"""
_VIEW = """
SELECT d.id, m.queue_id, d.recipient, d.state, c.ticket_id, m.message_id, d.new_message_id, d.kind, d.form
FROM deliveries d
JOIN messages m ON m.seq = d.message LEFT JOIN conversations c ON c.id = m.conversation_id"""


_OUTSIDE = """
SELECT m.queue_id FROM conversations c JOIN messages m ON m.conversation_id = c.id JOIN decisions x ON x.message = m.seq
WHERE c.ticket_id = ? AND x.direction IN ('inbound', 'outbound') ORDER BY m.seq DESC LIMIT ?"""


def report(connection: sqlite3.Connection, attempted: Attempted) -> Reported:
    """Write the end of an attempt and what follows for its message.

    An attempt that is no longer the running one (its lease was lost, or a person took the copy out of the queue) is
    recorded; it decides only when the copy did arrive.
    """
    a = attempted
    row = connection.execute(_ATTEMPTED, (a.delivery_id,)).fetchone()
    if row is None:
        return Reported(MessageState.DEAD, nobody_got_it=False)
    state, attempts, begun_at, seq, recipient = row
    is_running = state == DeliveryState.SENDING and attempts == a.attempt
    arrived = a.state == DeliveryState.DELIVERED and state != DeliveryState.DELIVERED
    if is_running or arrived:
        due_at = None if a.due_at is None else to_microseconds(a.due_at)
        connection.execute(_END, (a.state, due_at, clean_text(a.outcome.reply), a.delivery_id))
    why = _why(a.outcome, recipient) | {"attempt": a.attempt}
    if is_running and a.other_form is not None:
        why["form"] = a.other_form.form
        _reshape(connection, seq, a.delivery_id, a.other_form)
    if begun_at is not None and is_running:
        why["begun_at"] = from_microseconds(begun_at)
    if a.due_at is not None:
        why["due_at"] = a.due_at
    if not is_running:
        why["too_late"] = True
    what = "delivery.held" if a.state == DeliveryState.HELD else f"delivery.{a.outcome.kind}"
    if "form" in why:
        what = "delivery.reshaped"
    now = to_microseconds(a.now)
    write_change(connection, change_row(now, what, "relay", why, message=seq, delivery_id=a.delivery_id))
    if is_running and not arrived:
        owe_after_attempt(connection, a, now)
        if a.state == DeliveryState.FAILED:
            note_failure(connection, a.delivery_id, a.outcome, now)
    reported = update_message(connection, seq, waits_for_us=a.outcome.cause == Cause.OURS, now=now)
    return replace(reported, goes_on=True) if "form" in why else reported


def _reshape(connection: sqlite3.Connection, seq: int, delivery_id: int, other: OtherForm) -> None:
    """From now on the copy is another one, with an id of its own."""
    connection.execute(_OTHER_FORM, (other.form, other.why, other.new_message_id, delivery_id))
    if other.new_message_id:
        connection.execute(_KNOWN_ID, (other.new_message_id, KINDS["generated"], seq))


def update_message(
    connection: sqlite3.Connection, seq: int, *, waits_for_us: bool | None = None, now: int | None = None
) -> Reported:
    """Set a message's state to what its copies make of it.

    Args:
        waits_for_us: The last refusal was our own fault: Allmember would fare no better, so no failover by time
            (DESIGN 5). None leaves that as it was.
        now: When that it is dead is to be recorded: nobody got it, Allmember neither.
    """
    rows = connection.execute(_MESSAGE_AND_COPIES, (seq,)).fetchall()
    state, due_at, failover_at, accepted_at = rows[0][:4]
    copies = [(row[4], row[5]) for row in rows if row[4] is not None]
    after, got, all_failed = state_after(copies, failover_made=failover_at is not None)
    nobody_got_it = all_failed and failover_at is None
    now_due_at = None
    if after == MessageState.COMPOSED and not got and failover_at is None:
        if waits_for_us is None:
            waits_for_us = state == MessageState.COMPOSED and due_at is None
        now_due_at = 0 if all_failed else None if waits_for_us else accepted_at
    if (state, due_at) != (after, now_due_at):
        connection.execute(
            "UPDATE messages SET state = ?, due_at = ?, holder = NULL WHERE seq = ?", (after, now_due_at, seq)
        )
    if now is not None and after == MessageState.DEAD != state:
        write_change(connection, change_row(now, "message.dead", "relay", {"copies": len(copies)}, message=seq))
        owe_when_dead(connection, seq, now)
    return Reported(after, nobody_got_it)


def state_after(copies: Sequence[tuple[str, str]], *, failover_made: bool) -> tuple[MessageState, bool, bool]:
    """``(state, somebody got it, all failed)`` of a message by ``(state, kind)`` of its copies.

    Copies sent on as they are (submission's other recipients) are not ours to read: they count only when there is
    nothing else. A note to the mail's writer is nobody's copy: whatever becomes of it, nothing follows but that it
    ended. A message stays COMPOSED while Allmember can still be asked.
    """
    states = {state for state, _ in copies}
    readable = [(state, kind) for state, kind in copies if kind != DeliveryKind.NOTE]
    if not readable and states:
        state = MessageState.COMPOSED if states & _OPEN else MessageState.FILED
        return state, True, False  # nobody has to be found who gets it
    ours = [state for state, kind in readable if kind not in _PASSED_ON] or [one for one, _ in readable]
    got = DeliveryState.DELIVERED in ours
    all_failed = not got and "failed" in ours and all(state in _ENDED for state in ours)
    if states & _OPEN or (all_failed and not failover_made):
        return MessageState.COMPOSED, got, all_failed
    if DeliveryState.HELD in states:
        return MessageState.HELD, got, all_failed
    if got:
        return MessageState.DELIVERED, got, all_failed
    if states <= {DeliveryState.DROPPED}:
        return MessageState.FILED, got, all_failed
    return MessageState.DEAD, got, all_failed


def add_failover(
    connection: sqlite3.Connection, queue_id: str, deliveries: Sequence[NewDelivery], why: str, now: int
) -> None:
    """Add Allmember's copies, once a message; who has or will have one is left out. None left: the message is dead."""
    row = connection.execute("SELECT seq, failover_at FROM messages WHERE queue_id = ?", (queue_id,)).fetchone()
    if row is None or row[1] is not None:
        return
    seq = row[0]
    served = {
        key
        for (key,) in connection.execute(
            "SELECT recipient_key FROM deliveries WHERE message = ? AND state NOT IN ('failed', 'dropped') "
            "AND kind <> 'note'",
            (seq,),
        )
    }
    added = tuple(copy for copy in deliveries if address_key(copy.recipient) not in served)
    insert_deliveries(connection, seq, added, now)
    given = {copy.new_message_id for copy in added if copy.new_message_id}
    connection.executemany(_KNOWN_ID, [(one, KINDS["generated"], seq) for one in sorted(given)])
    connection.execute("UPDATE messages SET failover_at = ? WHERE seq = ?", (now, seq))
    reasons = {"why": why, "recipients": [copy.recipient for copy in added]}
    write_changes(connection, [change_row(now, "message.failover", "relay", reasons, message=seq)])
    update_message(connection, seq, now=now)


def nobody_got(connection: sqlite3.Connection, accepted_before: int, limit: int) -> list[WaitingMessage]:
    """Composed messages that nobody has got, all failed ones first."""
    found = []
    for seq, queue_id, address_name, ticket_id, copy_plan, due_at in connection.execute(
        _NOBODY_GOT, (accepted_before, limit)
    ).fetchall():
        recipients = connection.execute(
            "SELECT recipient_key FROM deliveries WHERE message = ? AND kind <> 'note'", (seq,)
        ).fetchall()
        plan = shown_json(copy_plan, None)
        found.append(
            WaitingMessage(queue_id, address_name, ticket_id, plan, frozenset(r[0] for r in recipients), due_at == 0)
        )
    return found


def delivery(connection: sqlite3.Connection, delivery_id: int) -> DeliveryView | None:
    """One delivery."""
    return _view(connection.execute(f"{_VIEW} WHERE d.id = ?", (delivery_id,)).fetchone())


def delivery_of_copy(connection: sqlite3.Connection, message_id: str, recipient: str) -> DeliveryView | None:
    """The newest delivery of a mail with this Message-ID, its own or one we gave to the copy."""
    values = (clean_text(message_id), address_key(recipient))
    if not values[0]:
        return None
    rows = (
        connection.execute(
            f"{_VIEW} WHERE {column} = ? AND {column} <> '' AND d.recipient_key = ? ORDER BY d.id DESC LIMIT 1", values
        ).fetchone()
        for column in ("m.message_id", "d.new_message_id")
    )
    return _view(max((row for row in rows if row is not None), default=None, key=lambda row: int(row[0])))


def deliveries_of(connection: sqlite3.Connection, queue_id: str) -> list[DeliveryView]:
    """All copies of a message."""
    rows = connection.execute(f"{_VIEW} WHERE m.queue_id = ? ORDER BY d.id", (clean_text(queue_id),)).fetchall()
    return [view for row in rows if (view := _view(row)) is not None]


def mails_outside(connection: sqlite3.Connection, ticket_id: int, limit: int) -> list[str]:
    """The newest mails of a ticket from or to people outside."""
    return [row[0] for row in connection.execute(_OUTSIDE, (ticket_id, limit))]


def fail_delivery(
    connection: sqlite3.Connection, delivery_id: int, outcome: Outcome, now: int, other_form: OtherForm | None = None
) -> Reported:
    """A report said that a copy which the next host took did not arrive; another form of it is due at once.

    While an attempt is under way or due, a refusal of the mail itself is only noted: that attempt will tell.
    """
    row = connection.execute(_ATTEMPTED, (delivery_id,)).fetchone()
    if row is None:
        return Reported(MessageState.DEAD, nobody_got_it=False)
    state, attempts, _, seq, recipient = row
    why = _why(outcome, recipient) | {"attempt": attempts, "by_report": True}
    what = f"delivery.{OutcomeKind.FAILED}"
    if other_form is not None and state == DeliveryState.DELIVERED:
        what, why["form"] = "delivery.reshaped", other_form.form
        connection.execute(_END, (DeliveryState.DEFERRED, now, clean_text(outcome.reply), delivery_id))
        _reshape(connection, seq, delivery_id, other_form)
    elif other_form is not None and state in _OPEN:
        what = "delivery.reported"
        why["actions"] = [f"{recipient} failed {outcome.status}".strip()]
    elif state != DeliveryState.FAILED:
        connection.execute(_END, (DeliveryState.FAILED, None, clean_text(outcome.reply), delivery_id))
        note_failure(connection, delivery_id, outcome, now)
    write_changes(connection, [change_row(now, what, "relay", why, message=seq, delivery_id=delivery_id)])
    return update_message(connection, seq, waits_for_us=None if what == "delivery.reported" else False, now=now)


def _view(row: tuple[int, str, str, str, int | None, str, str, str, str] | None) -> DeliveryView | None:
    if row is None:
        return None
    return DeliveryView(
        row[0],
        row[1],
        row[2],
        DeliveryState(row[3]),
        row[4],
        row[6] or row[5],
        DeliveryKind(row[7]),
        DeliveryForm(row[8]),
    )


def _why(outcome: Outcome, recipient: str) -> dict[str, object]:
    why: dict[str, object] = {
        "recipient": recipient,
        "code": outcome.code,
        "status": outcome.status,
        "text": outcome.text,
        "host": outcome.host,
        "phase": outcome.phase,
    }
    if outcome.cause != "none":
        why["cause"] = outcome.cause
    if outcome.is_uncertain:
        why["is_uncertain"] = True
    if outcome.notes:
        why["copy_notes"] = list(outcome.notes[:20])
    return why
