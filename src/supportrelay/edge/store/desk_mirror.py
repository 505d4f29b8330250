"""Our tickets as mirror of the outside desk: stages that somebody changed there, and which to look at next."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from supportrelay.core.desk_sync import decided_at
from supportrelay.core.outside import DeskTicket
from supportrelay.core.ticket import Stage
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.desk import NEVER, set_mirror
from supportrelay.edge.store.rows import clean_text, from_microseconds, rfc3339, to_microseconds

__all__ = ["Seen", "has_seen", "has_to_check", "seen", "to_check", "unlike"]

Seen = tuple[DeskTicket, int]  # and when somebody moved it

# Closed longer than this, a ticket has its end: nobody asks any more whether it was deleted.
_CLOSED_LOOKED_AT_US = 30 * 86_400 * 1_000_000
_OURS = """
SELECT d.ticket_id, t.stage, t.trashed_at, t.merged_into, d.written_stage_id, d.written_at,
EXISTS (SELECT 1 FROM desk_work w WHERE w.ticket_id = d.ticket_id AND w.moves = 1)
FROM desk_tickets d JOIN tickets t ON t.id = d.ticket_id WHERE d.external_id = ? ORDER BY d.ticket_id"""
_HAS_TO_CHECK = """
SELECT 1 FROM desk_tickets INDEXED BY desk_tickets_by_look WHERE external_id IS NOT NULL AND looked_at < ? LIMIT 1"""
_TO_CHECK = """
SELECT d.ticket_id, d.external_id, t.trashed_at IS NULL AND t.merged_into IS NULL
AND (t.stage <> 'CLOSED' OR coalesce(t.closed_at, t.updated_at) > ?2)
FROM desk_tickets d INDEXED BY desk_tickets_by_look JOIN tickets t ON t.id = d.ticket_id
WHERE d.external_id IS NOT NULL AND d.looked_at < ?1 ORDER BY d.looked_at LIMIT ?3"""
_LOOKED = "UPDATE desk_tickets SET looked_at = ? WHERE ticket_id = ?"
_ROWS_A_LOOK = 1000


def unlike(connection: sqlite3.Connection, tickets: Sequence[DeskTicket]) -> list[str]:
    """External ids worth a closer look: another stage here without a move that waits, or in our trash."""
    found = (
        ticket.external_id
        for ticket in tickets
        for row in _ours(connection, ticket)
        if row[2] is not None or (row[1] != ticket.stage and not row[6])
    )
    return list(dict.fromkeys(found))


def has_seen(connection: sqlite3.Connection, tickets: Sequence[Seen]) -> bool:
    """`seen` would write something."""
    return any(
        row[2] is not None or _moves(row, ticket, at) for ticket, at in tickets for row in _ours(connection, ticket)
    )


def seen(connection: sqlite3.Connection, tickets: Sequence[Seen], who: str, now: int) -> list[int]:
    """Write stages that somebody changed at the desk; returns the ticket numbers that moved or came back."""
    changed = []
    for ticket, at in tickets:
        for row in _ours(connection, ticket):
            is_back, moves = row[2] is not None, _moves(row, ticket, at)
            if is_back:
                _restore(connection, row[0], ticket, who, now)
            if moves:
                _move(connection, row, ticket, at, who, now)
            if is_back or moves:
                changed.append(int(row[0]))
    return list(dict.fromkeys(changed))


def has_to_check(connection: sqlite3.Connection, before: int) -> bool:
    """One was not looked at since then."""
    return connection.execute(_HAS_TO_CHECK, (before,)).fetchone() is not None


def to_check(connection: sqlite3.Connection, limit: int, before: int, now: int) -> list[str]:
    """Living tickets longest not looked at. Those with an end leave the list for good, so that nobody walks over them.

    At most 1,000 rows a call are walked.
    """
    found: dict[str, None] = {}
    rows = connection.execute(_TO_CHECK, (before, now - _CLOSED_LOOKED_AT_US, _ROWS_A_LOOK)).fetchall()
    for ticket_id, external_id, is_living in rows:
        if is_living and external_id not in found and len(found) >= limit:
            break
        if is_living:
            found[external_id] = None
        connection.execute(_LOOKED, (now if is_living else NEVER, ticket_id))
    return list(found)


def _ours(connection: sqlite3.Connection, ticket: DeskTicket) -> list[Any]:
    """Our tickets with this id, without those merged away here: what happens to them there is no matter any more."""
    rows = connection.execute(_OURS, (clean_text(ticket.external_id),)).fetchall()
    return [row for row in rows if row[3] is None]


def _moves(row: Any, ticket: DeskTicket, at: int) -> bool:
    """Another stage than ours, no move of ours waiting, and no older news than what we saw last."""
    if row[6] or row[1] == ticket.stage:
        return False
    is_old_news = row[5] is not None and at < row[5] and row[4] != ticket.stage_id
    return not is_old_news


def _restore(connection: sqlite3.Connection, ticket_id: int, ticket: DeskTicket, who: str, now: int) -> None:
    connection.execute(
        "UPDATE tickets SET trashed_at = NULL, version = version + 1, updated_at = ? WHERE id = ?", (now, ticket_id)
    )
    connection.execute(_LOOKED, (now, ticket_id))
    why = {"external_id": ticket.external_id}
    write_change(connection, change_row(now, "ticket.restored", who, why, ticket_id=ticket_id))


def _move(connection: sqlite3.Connection, row: Any, ticket: DeskTicket, at: int, who: str, now: int) -> None:
    set_mirror(connection, row[0], Stage(ticket.stage), _decided_at(row, ticket, at), now)
    connection.execute(
        "UPDATE desk_tickets SET written_stage_id = ?, written_at = ?, looked_at = min(looked_at, ?) "
        "WHERE ticket_id = ?",
        (clean_text(ticket.stage_id), at, now, row[0]),
    )
    why = {"from": row[1], "to": str(ticket.stage), "stage_id": ticket.stage_id, "moved_at": rfc3339(at)}
    write_change(connection, change_row(now, "ticket.moved", who, why, ticket_id=row[0]))


def _decided_at(row: Any, ticket: DeskTicket, at: int) -> int | None:
    """Mail accepted before that does not move it; a workflow of the desk keeps no mail from being seen."""
    if not ticket.moves:
        return at
    written_at = None if row[5] is None else from_microseconds(row[5])
    decided = decided_at(ticket, written_stage_id=row[4], written_at=written_at)
    return None if decided is None else to_microseconds(decided)
