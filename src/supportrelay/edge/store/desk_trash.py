"""Tickets deleted at the outside desk: into our trash, on with the mail that came after, and after 30 days away."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.core.value import value_class
from supportrelay.edge.store.changes import change_row, write_change, write_changes
from supportrelay.edge.store.lookup import GENERATED, SEEN
from supportrelay.edge.store.rows import clean_text
from supportrelay.edge.store.tickets import Leads, take_apart

__all__ = ["gone", "in_trash", "purge"]

_CUSTOMER_IDS_KEPT = 50

_OURS = """
SELECT d.ticket_id, t.merged_into FROM desk_tickets d JOIN tickets t ON t.id = d.ticket_id
WHERE d.external_id = ? AND t.trashed_at IS NULL ORDER BY d.ticket_id"""
_WORK = """
SELECT w.id, w.message, w.at, w.stage, w.moves, w.records, m.queue_id, m.conversation_id FROM desk_work w
LEFT JOIN messages m ON m.seq = w.message WHERE w.ticket_id = ? ORDER BY w.id"""
_OF_TICKET = """
SELECT m.seq, m.conversation_id FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE m.queue_id = ? AND c.ticket_id = ?"""
_NEW_TICKET = """
INSERT INTO tickets (stage, related_ticket_id, created_at, updated_at, closed_at, last_mail_at, last_customer_mail_at,
last_had_support_in_cc, address, subject, subject_key, customer, customer_domain, company_id, company_name, deal_id,
deal_name, owners, priority, customer_message_ids, stage_mail_at)
SELECT ?1, id, ?2, ?2, ?3, last_mail_at, ?4, ?5, address, subject, subject_key, customer, customer_domain, company_id,
company_name, deal_id, deal_name, owners, priority, ?6, ?7 FROM tickets WHERE id = ?8"""
_ARRIVALS = "SELECT seq FROM messages WHERE seq = ?1 UNION SELECT seq FROM messages WHERE first_arrival = ?1"
_INBOUND = """
SELECT m.message_id, x.sent_at, x.place = 'cc' FROM messages m JOIN decisions x ON x.message = m.seq
WHERE m.seq = ? AND x.is_inbound"""
_OWN_IDS = """
SELECT message_id, ?2 FROM messages WHERE seq = ?1 AND message_id <> ''
UNION SELECT new_message_id, ?3 FROM deliveries WHERE message = ?1 AND new_message_id <> ''"""


@value_class
class _Kept:
    """What goes on on a new ticket: rows of `_WORK` in order, and the conversations' messages they are about."""

    first: int
    conversation_id: int
    work: tuple[Any, ...]
    messages: tuple[int, ...]

    @property
    def stage(self) -> Stage:
        return next((Stage(row[3]) for row in reversed(self.work) if row[3] is not None), Stage.NEW)


def gone(connection: sqlite3.Connection, external_id: str, keep_from: str, who: str, now: int) -> int | None:
    """Trash what was deleted at the desk; the number of the new ticket with the mail that goes on, None without."""
    made = None
    for number, merged_into in connection.execute(_OURS, (clean_text(external_id),)).fetchall():
        work = connection.execute(_WORK, (number,)).fetchall()
        if merged_into is not None:
            # Its mail stands on the other ticket, which lives; what it was merged into is still found through it.
            _end_work(connection, number, work, who, now)
            _let_go(connection, number)
            why = {"external_id": external_id}
            write_change(connection, change_row(now, "desk.gone", who, why, ticket_id=number))
            continue
        kept = _kept(connection, number, work, keep_from)
        _trash(connection, number, external_id, who, now)
        if kept is not None:
            work = [row for row in work if row not in kept.work]
            made = _go_on(connection, number, kept, now)
        _end_work(connection, number, work, who, now)
    return made


def in_trash(connection: sqlite3.Connection, before: int, limit: int) -> list[int]:
    """Ticket numbers that lie in the trash since earlier than that."""
    sql = "SELECT id FROM tickets WHERE trashed_at IS NOT NULL AND trashed_at < ? ORDER BY trashed_at LIMIT ?"
    return [int(row[0]) for row in connection.execute(sql, (before, limit))]


def purge(connection: sqlite3.Connection, number: int, leads: Leads, before: int, now: int) -> bool:
    """Delete a ticket and what was merged into it for good; its mails stay, and what happened. False: restored.

    Args:
        leads: From `leads_to` a moment ago: no mail joins what lies in the trash, so there are no more.
    """
    row = connection.execute("SELECT trashed_at FROM tickets WHERE id = ?", (number,)).fetchone()
    if row is None or row[0] is None or row[0] >= before:
        return False
    sources = connection.execute("SELECT id FROM tickets WHERE merged_into = ?", (number,)).fetchall()
    mails = connection.execute(
        "SELECT m.seq FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.ticket_id = ?", (number,)
    ).fetchall()
    rows = [change_row(now, "ticket.purged", "relay", {}, message=seq, ticket_id=number) for (seq,) in mails]
    write_changes(connection, rows or [change_row(now, "ticket.purged", "relay", {}, ticket_id=number)])
    for (source,) in sources:
        take_apart(connection, source, leads)
    return take_apart(connection, number, leads)


def _kept(connection: sqlite3.Connection, number: int, work: Sequence[Any], keep_from: str) -> _Kept | None:
    """The mail that found it out and later work of mails; unasked, from the first mail that waits to move it."""
    of_mails = [row for row in work if row[1] is not None and row[7] is not None]
    if keep_from:
        found = connection.execute(_OF_TICKET, (clean_text(keep_from), number)).fetchone()
        if found is None:
            return None
        first, conversation_id = found
        begins = next((row[0] for row in of_mails if row[1] == first), None)
        later = [row for row in of_mails if (row[1] >= first if begins is None else row[0] >= begins)]
    else:
        moving = next((row for row in of_mails if row[4]), None)
        if moving is None:
            return None
        first, conversation_id = moving[1], moving[7]
        later = [row for row in of_mails if row[0] >= moving[0]]
    mails = dict.fromkeys([first, *(row[1] for row in later)])
    # What came of the same mail a second time stays with it.
    messages = [seq for one in mails for (seq,) in connection.execute(_ARRIVALS, (one,))]
    return _Kept(first, conversation_id, tuple(later), tuple(dict.fromkeys(messages)))


def _trash(connection: sqlite3.Connection, number: int, external_id: str, who: str, now: int) -> None:
    connection.execute(
        "UPDATE tickets SET trashed_at = ?1, version = version + 1, updated_at = ?1 WHERE id = ?2", (now, number)
    )
    _let_go(connection, number)
    why = {"by": "desk", "external_id": external_id}
    write_change(connection, change_row(now, "ticket.trashed", who, why, ticket_id=number))


def _let_go(connection: sqlite3.Connection, number: int) -> None:
    connection.execute(
        "UPDATE desk_tickets SET due_at = NULL, holder = NULL, tries = 0, last_error = '' WHERE ticket_id = ?",
        (number,),
    )


def _end_work(connection: sqlite3.Connection, number: int, work: Sequence[Any], who: str, now: int) -> None:
    """Nothing is dropped silently: each piece says what it was."""
    rows = [
        change_row(
            now,
            "desk.dropped",
            who,
            {"stage": row[3] if row[4] else None, "records": bool(row[5]), "why": "deleted"},
            message=row[1],
            ticket_id=number,
        )
        for row in work
    ]
    write_changes(connection, rows)
    connection.executemany("DELETE FROM desk_work WHERE id = ?", [(row[0],) for row in work])


def _go_on(connection: sqlite3.Connection, old: int, kept: _Kept, now: int) -> int:
    """A new ticket like the old one, with the mail that came after; returns its number."""
    inbound = [row for seq in kept.messages for row in connection.execute(_INBOUND, (seq,))]
    last = max(inbound, key=lambda row: int(row[1]), default=(None, None, 0))
    ids = dict.fromkeys(row[0].replace("\n", " ") for row in reversed(inbound) if row[0])
    stage_mail_at = max((row[2] for row in kept.work if row[3] is not None), default=None)
    values = (
        kept.stage,
        now,
        now if kept.stage == Stage.CLOSED else None,
        last[1],
        last[2],
        "\n".join(list(ids)[:_CUSTOMER_IDS_KEPT]),
        stage_mail_at,
        old,
    )
    new = connection.execute(_NEW_TICKET, values).lastrowid
    conversation = connection.execute(
        "INSERT INTO conversations (ticket_id, subject_key) SELECT ?, subject_key FROM conversations WHERE id = ?",
        (new, kept.conversation_id),
    ).lastrowid
    assert new is not None
    assert conversation is not None
    _take_over(connection, old, new, kept, conversation)
    connection.execute("INSERT INTO desk_tickets (ticket_id, due_at) VALUES (?, ?)", (new, now))
    _tell(connection, old, new, kept, now)
    return new


def _take_over(connection: sqlite3.Connection, old: int, new: int, kept: _Kept, conversation: int) -> None:
    """People, mails, the ids that lead to them, and the work that waits; at the new ticket none of it began."""
    connection.execute(
        "INSERT INTO participants (ticket_id, address) SELECT ?, address FROM participants WHERE ticket_id = ?",
        (new, old),
    )
    for seq in kept.messages:
        left = connection.execute("SELECT conversation_id FROM messages WHERE seq = ?", (seq,)).fetchone()[0]
        connection.execute("UPDATE messages SET conversation_id = ? WHERE seq = ?", (conversation, seq))
        for message_id, kind in connection.execute(_OWN_IDS, (seq, SEEN, GENERATED)).fetchall():
            connection.execute("DELETE FROM known_ids WHERE message_id = ? AND conversation_id = ?", (message_id, left))
            connection.execute(
                "INSERT OR REPLACE INTO known_ids (message_id, conversation_id, kind) VALUES (?, ?, ?)",
                (message_id, conversation, kind),
            )
    # Without an index by conversation this walks the roots; it is rare, and not on the event loop.
    connection.execute(
        "INSERT OR IGNORE INTO thread_roots (root, conversation_id) "
        "SELECT root, ? FROM thread_roots WHERE conversation_id = ?",
        (conversation, kept.conversation_id),
    )
    connection.executemany(
        "UPDATE desk_work SET ticket_id = ?, began_at = NULL WHERE id = ?", [(new, row[0]) for row in kept.work]
    )


def _tell(connection: sqlite3.Connection, old: int, new: int, kept: _Kept, now: int) -> None:
    """On both tickets and on every mail that moved."""
    why = {"to": str(kept.stage), "because": "deleted at the desk", "related": ticket_label(old)}
    rows = [change_row(now, "ticket.opened", "relay", why, message=kept.first, ticket_id=new)]
    rows += [
        change_row(now, "ticket.joined", "relay", why, message=seq, ticket_id=new)
        for seq in kept.messages
        if seq != kept.first
    ]
    why = {"from": ticket_label(old), "to": ticket_label(new)}
    rows.append(change_row(now, "ticket.continued", "relay", why, message=kept.first, ticket_id=old))
    write_changes(connection, rows)
