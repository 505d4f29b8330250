"""Work for the outside desk: what mail and people ask of it, who works on which ticket, what came of it.

One worker has a ticket's lease and does its work in order; everybody else only adds to it. Whatever writes on behalf of
the worker asks first whether the lease is still his.
"""

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from supportrelay.core.crm_ports import ClaimedDeskTicket, DeskDone, DeskWork
from supportrelay.core.outside import DeskTicket
from supportrelay.core.ports import DeskOrder, TicketOpening
from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.rows import clean_text, from_microseconds, to_microseconds, unpack_json

__all__ = [
    "NEVER",
    "add_mail_work",
    "add_persons_move",
    "claim",
    "desk_state",
    "done",
    "due_now",
    "end",
    "has_due",
    "has_put_off",
    "key_of",
    "opened",
    "renew",
    "set_mirror",
]

# No look is due: the ticket has its end (`desk_mirror.to_check`). Work brings it back.
NEVER = 1 << 62
_WORK_A_TICKET = 200
_ERROR_CHARACTERS = 500
_OF_ONE_CALL = re.compile(r" ?\(correlationId [^()]{0,100}\)")

_ADD_TICKET = """
INSERT INTO desk_tickets (ticket_id, due_at) SELECT id, ?2 FROM tickets WHERE id = ?1 AND trashed_at IS NULL
ON CONFLICT (ticket_id) DO UPDATE SET due_at = coalesce(due_at, excluded.due_at),
looked_at = min(looked_at, excluded.due_at)"""
_DUE_NOW = """
UPDATE desk_tickets SET due_at = CASE WHEN holder IS NULL THEN min(coalesce(due_at, ?2), ?2) ELSE due_at END,
looked_at = min(looked_at, ?2) WHERE ticket_id = ?1"""
_ADD_WORK = """
INSERT INTO desk_work (ticket_id, message, at, stage, by_person, moves, records) VALUES (?, ?, ?, ?, ?, ?, ?)"""
_HAS_DUE = """
SELECT 1 FROM desk_tickets INDEXED BY desk_tickets_at_work WHERE due_at IS NOT NULL AND due_at <= ? LIMIT 1"""
# In the order of the index, which ends with the ticket: a further column would sort all that became due together.
_DUE = """
SELECT d.ticket_id, d.external_id, d.opening_began_at, d.written_stage_id, d.written_at, d.tries, t.stage, t.subject,
t.customer, t.company_id, t.deal_id, t.owners, t.priority, t.address, t.trashed_at
FROM desk_tickets d INDEXED BY desk_tickets_at_work JOIN tickets t ON t.id = d.ticket_id
WHERE d.due_at IS NOT NULL AND d.due_at <= ? ORDER BY d.due_at LIMIT ?"""
_WORK = """
SELECT w.id, coalesce(m.queue_id, ''), w.at, w.stage, w.by_person, w.records, w.moves, w.began_at,
coalesce(x.direction, '') FROM desk_work w LEFT JOIN messages m ON m.seq = w.message
LEFT JOIN decisions x ON x.message = w.message WHERE w.ticket_id = ? ORDER BY w.id LIMIT ?"""
_BEGIN = "UPDATE desk_work SET began_at = ? WHERE id = ? AND began_at IS NULL"
_TAKE = """
UPDATE desk_tickets SET holder = ?, due_at = ?, opening_began_at = CASE WHEN external_id IS NULL
THEN coalesce(opening_began_at, ?) ELSE opening_began_at END WHERE ticket_id = ?"""
_OTHERS = "SELECT ticket_id FROM desk_tickets WHERE external_id = ? AND ticket_id <> ? ORDER BY ticket_id"
# Work that came after the claim: what it asks for stands in the mirror already, and its own turn comes.
_NEWER_MOVE = "SELECT 1 FROM desk_work WHERE ticket_id = ? AND moves = 1 AND began_at IS NULL LIMIT 1"
_MIRROR = """
UPDATE tickets SET version = version + 1, updated_at = ?1, stage = coalesce(?2, stage),
closed_at = CASE WHEN ?2 IS NULL THEN closed_at WHEN ?2 <> 'CLOSED' THEN NULL WHEN stage = 'CLOSED' THEN closed_at
ELSE ?1 END,
moved_by_person_at = coalesce(max(moved_by_person_at, ?3), moved_by_person_at, ?3)
WHERE id = ?4 AND (stage <> ?2 OR ?3 > coalesce(moved_by_person_at, 0))"""
_LEFT = """
SELECT d.external_id, d.last_error, d.tries, t.trashed_at,
(SELECT count(*) FROM desk_work w WHERE w.ticket_id = d.ticket_id)
FROM desk_tickets d JOIN tickets t ON t.id = d.ticket_id WHERE d.ticket_id = ? AND d.holder = ?"""


# -- what is asked for --


def add_mail_work(
    connection: sqlite3.Connection,
    ticket_id: int,
    order: DeskOrder,
    opening: TicketOpening | None,
    *,
    message: int,
    accepted_at: int,
    now: int,
) -> None:
    """What a mail asks of the desk; nothing when it asks for nothing, or the ticket lies in the trash."""
    stage = order.stage if order.stage is not None or opening is None else opening.stage
    if stage is None and not order.records:
        return
    if connection.execute(_ADD_TICKET, (ticket_id, now)).rowcount:
        values = (ticket_id, message, accepted_at, stage, 0, int(stage is not None), int(order.records))
        connection.execute(_ADD_WORK, values)


def add_persons_move(connection: sqlite3.Connection, ticket_id: int, stage: Stage, now: int) -> None:
    """A person here moved a ticket that lives at the desk too; due at once, after everything older."""
    if connection.execute(_DUE_NOW, (ticket_id, now)).rowcount:
        connection.execute(_ADD_WORK, (ticket_id, None, now, stage, 1, 1, 0))


def desk_state(connection: sqlite3.Connection, ticket_id: int) -> dict[str, Any] | None:
    """``{external_id, waiting, error}`` for a person; None when the ticket lives here alone."""
    row = connection.execute(
        "SELECT external_id, last_error, (SELECT count(*) FROM desk_work w WHERE w.ticket_id = d.ticket_id) "
        "FROM desk_tickets d WHERE ticket_id = ?",
        (ticket_id,),
    ).fetchone()
    return None if row is None else {"external_id": row[0], "waiting": row[2], "error": row[1] or None}


# -- who does it --


def has_due(connection: sqlite3.Connection, now: int) -> bool:
    """Is there anything to claim? Asked on the reading connection, so that an idle relay never takes the lock."""
    return connection.execute(_HAS_DUE, (now,)).fetchone() is not None


def claim(connection: sqlite3.Connection, now: int, holder: str, until: int, limit: int) -> list[ClaimedDeskTicket]:
    """Take due tickets, longest due first, with their work in order; that it began is recorded with the claim."""
    instance = str(connection.execute("SELECT value FROM meta WHERE name = 'instance_id'").fetchone()[0])
    claimed = []
    for row in connection.execute(_DUE, (now, limit)).fetchall():
        work = connection.execute(_WORK, (row[0], _WORK_A_TICKET)).fetchall()
        if row[14] is not None or (row[1] is not None and not work):
            # Trashed, or its work was taken away: nobody has anything to do there.
            connection.execute("UPDATE desk_tickets SET due_at = NULL, holder = NULL WHERE ticket_id = ?", (row[0],))
            continue
        connection.execute(_TAKE, (holder, until, now, row[0]))
        connection.executemany(_BEGIN, [(now, one[0]) for one in work])
        claimed.append(_claimed(instance, row, work))
    return claimed


def key_of(instance: str, ticket_id: int) -> str:
    """Our key on a ticket at the desk, 64 hexadecimal digits.

    Ours alone, for ever: another relay at the same desk counts its tickets from 1 too.
    """
    return hashlib.sha256(f"{instance}:{ticket_id}".encode()).hexdigest()


def _claimed(instance: str, row: Any, work: Sequence[Any]) -> ClaimedDeskTicket:
    return ClaimedDeskTicket(
        ticket_id=row[0],
        key=key_of(instance, row[0]),
        external_id=row[1] or "",
        is_begun=row[1] is None and row[2] is not None,
        written_stage_id=row[3],
        written_at=None if row[4] is None else from_microseconds(row[4]),
        stage=Stage(row[6]),
        subject=row[7],
        customer=row[8],
        company_id=row[9],
        deal_id=row[10],
        owners=tuple(unpack_json(row[11])),
        priority=row[12],
        address=row[13],
        work=tuple(
            DeskWork(
                id=one[0],
                queue_id=one[1],
                at=from_microseconds(one[2]),
                stage=None if one[3] is None else Stage(one[3]),
                by_person=bool(one[4]),
                records=bool(one[5]),
                moves=bool(one[6]),
                is_repeat=one[7] is not None,
                direction=one[8],
            )
            for one in work
        ),
        tries=row[5],
    )


def renew(connection: sqlite3.Connection, ticket_ids: Sequence[int], holder: str, until: int) -> bool:
    """Prolong; False when any is no longer this holder's (the rest is prolonged)."""
    kept = connection.executemany(
        "UPDATE desk_tickets SET due_at = ? WHERE ticket_id = ? AND holder = ?",
        [(until, ticket_id, holder) for ticket_id in ticket_ids],
    ).rowcount
    return not ticket_ids or kept == len(ticket_ids)


def has_put_off(connection: sqlite3.Connection, now: int) -> bool:
    """Something is due later than now, and nobody has it."""
    sql = "SELECT 1 FROM desk_tickets INDEXED BY desk_tickets_at_work WHERE due_at > ? AND holder IS NULL LIMIT 1"
    return connection.execute(sql, (now,)).fetchone() is not None


def due_now(connection: sqlite3.Connection, now: int) -> int:
    """Everything that was put off is due; how many tickets."""
    return connection.execute(
        "UPDATE desk_tickets INDEXED BY desk_tickets_at_work SET due_at = ?1 WHERE due_at > ?1 AND holder IS NULL",
        (now,),
    ).rowcount


# -- what came of it --


def opened(connection: sqlite3.Connection, ticket_id: int, made: DeskTicket, holder: str, now: int) -> bool:
    """The ticket is at the desk. One that was merged there may be two of ours: both have its id then."""
    if not _is_held(connection, ticket_id, holder):
        return False
    external_id = clean_text(made.external_id)
    others = [ticket_label(row[0]) for row in connection.execute(_OTHERS, (external_id, ticket_id))]
    connection.execute(
        "UPDATE desk_tickets SET external_id = ?, looked_at = ?, tries = 0 WHERE ticket_id = ?",
        (external_id, now, ticket_id),
    )
    connection.execute("UPDATE tickets SET external_id = ? WHERE id = ?", (external_id, ticket_id))
    _note_seen(connection, ticket_id, made)
    why: dict[str, Any] = {"external_id": external_id}
    write_change(connection, change_row(now, "desk.opened", "relay", why, ticket_id=ticket_id))
    if others:
        shared = change_row(now, "desk.shared", "relay", why | {"with": others}, ticket_id=ticket_id)
        write_change(connection, shared)
    return True


def done(connection: sqlite3.Connection, ticket_id: int, what: DeskDone, holder: str, now: int) -> bool:
    """Take what is done out of the work and write what came of it."""
    if not _is_held(connection, ticket_id, holder):
        return False
    message = None
    if what.work_id is not None:
        row = connection.execute(
            "SELECT message, moves, records FROM desk_work WHERE id = ? AND ticket_id = ?", (what.work_id, ticket_id)
        ).fetchone()
        if row is None:  # told a second time
            return True
        message = row[0]
        _tick_off(connection, what.work_id, moves=row[1] and not what.moves, records=row[2] and not what.records)
    if what.seen is not None:
        _note_seen(connection, ticket_id, what.seen)
    moved_at = None if what.moved_by_person_at is None else to_microseconds(what.moved_by_person_at)
    mirror = what.mirror
    if mirror is not None and connection.execute(_NEWER_MOVE, (ticket_id,)).fetchone():
        mirror = None
    if mirror is not None or moved_at is not None:
        set_mirror(connection, ticket_id, mirror, moved_at, now)
    connection.execute("UPDATE desk_tickets SET tries = 0 WHERE ticket_id = ?", (ticket_id,))
    who = what.who or ("relay" if moved_at is None else "desk")
    write_change(connection, change_row(now, what.what, who, what.why, message=message, ticket_id=ticket_id))
    return True


def end(
    connection: sqlite3.Connection,
    ticket_id: int,
    holder: str,
    now: int,
    *,
    due_at: int | None,
    error: str,
    counts: bool,
) -> None:
    """Hand the ticket back; nothing when the lease was lost. An error is recorded when it is a new one."""
    row = connection.execute(_LEFT, (ticket_id, holder)).fetchone()
    if row is None:
        return
    external_id, last_error, tries, trashed_at, waiting = row
    error = clean_text(error)[:_ERROR_CHARACTERS]
    is_over = trashed_at is not None or (not waiting and external_id is not None)
    due = None if is_over else now if due_at is None else due_at
    tries = tries + int(counts) if error else 0
    connection.execute(
        "UPDATE desk_tickets SET holder = NULL, due_at = ?, tries = ?, last_error = ? WHERE ticket_id = ?",
        (due, tries, error, ticket_id),
    )
    if error and _same_each_time(error) != _same_each_time(last_error):
        why = {"error": error, "due_at": None if due is None else from_microseconds(due)}
        write_change(connection, change_row(now, "desk.put_off", "relay", why, ticket_id=ticket_id))


def _same_each_time(error: str) -> str:
    """An error without what only names this one call: else each retry would be a new error, and a row."""
    return _OF_ONE_CALL.sub("", error)


def set_mirror(
    connection: sqlite3.Connection, ticket_id: int, stage: Stage | None, moved_at: int | None, now: int
) -> None:
    """Our ticket's stage (None leaves it), and when a person moved it (None: nobody did)."""
    connection.execute(_MIRROR, (now, stage, moved_at, ticket_id))


def _is_held(connection: sqlite3.Connection, ticket_id: int, holder: str) -> bool:
    sql = "SELECT 1 FROM desk_tickets WHERE ticket_id = ? AND holder = ?"
    return connection.execute(sql, (ticket_id, holder)).fetchone() is not None


def _tick_off(connection: sqlite3.Connection, work_id: int, *, moves: bool, records: bool) -> None:
    if moves or records:
        sql = "UPDATE desk_work SET moves = ?, records = ? WHERE id = ?"
        connection.execute(sql, (int(moves), int(records), work_id))
    else:
        connection.execute("DELETE FROM desk_work WHERE id = ?", (work_id,))


def _note_seen(connection: sqlite3.Connection, ticket_id: int, seen: DeskTicket) -> None:
    at: datetime = seen.moves[0].at if seen.moves else seen.updated_at
    connection.execute(
        "UPDATE desk_tickets SET written_stage_id = ?, written_at = ? WHERE ticket_id = ?",
        (clean_text(seen.stage_id), to_microseconds(at), ticket_id),
    )
