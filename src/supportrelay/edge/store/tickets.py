"""Tickets as commands and the board see and change them; plain JSON values in the shapes of DESIGN 8."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from supportrelay.core.errors import InputError
from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.desk import add_persons_move, desk_state
from supportrelay.edge.store.directory import owners_of_deal
from supportrelay.edge.store.rows import address_key, rfc3339, unpack_json

__all__ = [
    "Leads",
    "change_json",
    "leads_to",
    "leads_to_conversations",
    "merge",
    "move",
    "remove_ticket",
    "show",
    "take_apart",
    "ticket_number",
    "tickets_list",
]

_COLUMNS = """
SELECT t.id, t.stage, t.subject, t.customer, t.company_id, t.company_name, t.deal_id, t.deal_name, t.owners, t.address,
t.external_id, t.created_at, t.updated_at, t.closed_at, t.priority, t.merged_into, t.related_ticket_id, t.version,
(SELECT count(*) FROM conversations c JOIN messages m ON m.conversation_id = c.id
 WHERE c.ticket_id = t.id AND m.first_arrival IS NULL), t.trashed_at
FROM tickets t"""
_CHANGE = """
SELECT x.at, x.what, x.who, x.why, m.queue_id, x.ticket_id, x.delivery_id, x.id FROM changes x
LEFT JOIN messages m ON m.seq = x.message"""
_MESSAGES = """
SELECT m.queue_id, m.state, m.accepted_at, x.direction, x.place, m.reverse_path, m.message_id, m.subject, x.is_inbound,
m.conversation_id, m.first_arrival, m.size_octets FROM messages m LEFT JOIN decisions x ON x.message = m.seq
WHERE m.conversation_id = ? ORDER BY m.seq"""
_MAIL_STATE = """
SELECT last_customer_mail_at, last_had_support_in_cc, customer_message_ids, last_mail_at FROM tickets WHERE id = ?"""
_CUSTOMER_IDS_KEPT = 50
_LONGEST_NUMBER = 18  # digits; SQLite's integers have 64 bits

Leads = Mapping[int, tuple[set[Any], set[Any]]]
"""Conversation -> Message-IDs and Thread-Index roots that lead to it."""


def ticket_number(text: str | int) -> int:
    """The number in ``12``, ``"12"`` or ``"SR-12"``.

    Raises:
        InputError: None of these.
    """
    digits = str(text).strip().upper().removeprefix("SR-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_NUMBER):
        raise InputError(f"{text!r} is not a ticket; write it like SR-12")
    return int(digits)


def tickets_list(
    connection: sqlite3.Connection,
    *,
    stage: str | None,
    customer: str | None,
    merged: bool,
    limit: int | None,
    trashed: bool = False,
) -> list[dict[str, Any]]:
    """Tickets, the last changed first (DESIGN 8, without ``stage_label``).

    Args:
        merged: Those merged away too. trashed: those in the trash too.
    """
    most = -1 if limit is None else limit
    rows: list[Any] = []
    if customer is not None:
        sql = f"{_COLUMNS} WHERE t.customer = ? AND t.customer <> ''"
        sql += " AND t.stage = ?" if stage else ""
        sql += "" if trashed else " AND t.trashed_at IS NULL"
        rows = connection.execute(sql, (address_key(customer), stage) if stage else (address_key(customer),)).fetchall()
        rows = [row for row in rows if merged or row[15] is None]
    else:
        # A stage at a time walks the index from its newest end.
        for one in (stage,) if stage else tuple(Stage):
            sql = f"{_COLUMNS} WHERE t.stage = ? AND t.merged_into IS NULL"
            sql += "" if trashed else " AND t.trashed_at IS NULL"
            sql += " ORDER BY t.updated_at DESC, t.id DESC LIMIT ?"
            rows += connection.execute(sql, (str(one), most)).fetchall()
        if merged:
            sql = f"{_COLUMNS} WHERE t.merged_into IS NOT NULL"
            rows += [row for row in connection.execute(sql) if stage in {None, row[1]}]
    rows.sort(key=lambda row: (row[12], row[0]), reverse=True)
    owners: dict[str, tuple[str, ...] | None] = {}
    return [_ticket(connection, row, owners) for row in rows[:limit]]


def show(connection: sqlite3.Connection, ticket: str | int) -> dict[str, Any]:
    """One ticket with ``conversations``, ``messages_list``, ``participants``, ``history`` and ``desk``.

    ``history`` is its changes, oldest first; ``desk`` is ``{external_id, waiting, error}`` of a ticket that lives at
    an outside desk too, else None.

    Raises:
        InputError: No such ticket.
    """
    number = ticket_number(ticket)
    row = connection.execute(f"{_COLUMNS} WHERE t.id = ?", (number,)).fetchone()
    if row is None:
        raise InputError(f"no ticket {ticket_label(number)}")
    found = _ticket(connection, row, {})
    conversations = connection.execute(
        "SELECT id, subject_key FROM conversations WHERE ticket_id = ? ORDER BY id", (number,)
    ).fetchall()
    found["conversations"] = [
        {"id": one, "subject": subject, "messages": [_message(m) for m in connection.execute(_MESSAGES, (one,))]}
        for one, subject in conversations
    ]
    found["messages_list"] = sorted(
        (message for conversation in found["conversations"] for message in conversation["messages"]),
        key=lambda message: str(message["accepted_at"]),
    )
    found["participants"] = [
        one[0] for one in connection.execute("SELECT address FROM participants WHERE ticket_id = ?", (number,))
    ]
    sources = [one[0] for one in connection.execute("SELECT id FROM tickets WHERE merged_into = ?", (number,))]
    found["merged"] = [ticket_label(source) for source in sources]
    found["desk"] = desk_state(connection, number)
    found["history"] = _history(connection, [number, *sources])
    return found


def move(connection: sqlite3.Connection, ticket: str | int, stage: Stage, who: str, now: int) -> dict[str, Any]:
    """A person moves a ticket; mail accepted before cannot move it back.

    Raises:
        InputError: No such ticket, merged into another one, or in the trash.
    """
    number, before = _present(connection, ticket)
    connection.execute(
        "UPDATE tickets SET stage = ?, version = version + 1, updated_at = ?, moved_by_person_at = ?, "
        "closed_at = CASE WHEN ? <> 'CLOSED' THEN NULL WHEN stage = 'CLOSED' THEN closed_at ELSE ? END WHERE id = ?",
        (stage, now, now, stage, now, number),
    )
    why = {"from": before, "to": stage}
    write_changes(connection, [change_row(now, "ticket.moved", who, why, ticket_id=number)])
    add_persons_move(connection, number, stage, now)
    return show(connection, number)


def merge(connection: sqlite3.Connection, source: str | int, target: str | int, who: str, now: int) -> dict[str, Any]:
    """Put the conversations of ``source`` under ``target``, where its later mail goes too; returns the target.

    Raises:
        InputError: No such ticket, one is merged already or in the trash, or both are the same.
    """
    from_, _ = _present(connection, source)
    into, _ = _present(connection, target)
    if from_ == into:
        raise InputError(f"{ticket_label(from_)} cannot be merged into itself")
    connection.execute("UPDATE conversations SET ticket_id = ? WHERE ticket_id = ?", (into, from_))
    connection.execute(
        "INSERT OR IGNORE INTO participants (ticket_id, address) "
        "SELECT ?, address FROM participants WHERE ticket_id = ?",
        (into, from_),
    )
    connection.execute("DELETE FROM participants WHERE ticket_id = ?", (from_,))
    _merge_mail_state(connection, from_, into, now)
    # What was merged into the source before leads to the target directly: pointers never grow into chains.
    connection.execute(
        "UPDATE tickets SET merged_into = ?, version = version + 1, updated_at = ? WHERE id = ? OR merged_into = ?",
        (into, now, from_, from_),
    )
    add_persons_move(connection, from_, Stage.CLOSED, now)
    why = {"from": ticket_label(from_), "to": ticket_label(into)}
    write_changes(
        connection, [change_row(now, "ticket.merged", who, why, ticket_id=number) for number in (from_, into)]
    )
    return show(connection, into)


def remove_ticket(connection: sqlite3.Connection, ticket: str | int) -> bool:
    """Delete a ticket that a probe made; its messages stay, without a ticket. False when there is none."""
    number = ticket_number(ticket)
    connection.execute("UPDATE tickets SET merged_into = NULL WHERE merged_into = ?", (number,))
    connection.execute("DELETE FROM changes WHERE ticket_id = ?", (number,))
    return take_apart(connection, number)


def leads_to(connection: sqlite3.Connection, numbers: Sequence[int]) -> Leads:
    """What leads mail to these tickets. Walks all ids there are (4 million a second): no index is by conversation."""
    marks = ",".join("?" * len(numbers))
    sql = f"SELECT id FROM conversations WHERE ticket_id IN ({marks})"  # noqa: S608  question marks only
    return leads_to_conversations(connection, [row[0] for row in connection.execute(sql, tuple(numbers))])


def leads_to_conversations(connection: sqlite3.Connection, numbers: Sequence[int]) -> Leads:
    """What leads mail to these conversations; nothing is walked for none."""
    found = {int(number): (set[Any](), set[Any]()) for number in numbers}
    if not found:
        return found
    marks = ",".join("?" * len(found))
    for place, column, table in ((0, "message_id", "known_ids"), (1, "root", "thread_roots")):
        sql = f"SELECT {column}, conversation_id FROM {table} WHERE conversation_id IN ({marks})"  # noqa: S608  same
        for value, conversation in connection.execute(sql, tuple(found)):
            found[conversation][place].add(value)
    return found


def take_apart(connection: sqlite3.Connection, number: int, leads: Leads | None = None) -> bool:
    """Delete a ticket; its messages stay, without a ticket, and what happened. False when there is none.

    Args:
        leads: From `leads_to`, a moment ago; without them it is asked here and now, which probes can afford.
    """
    rows = connection.execute("SELECT id FROM conversations WHERE ticket_id = ?", (number,)).fetchall()
    if leads is None or not all(row[0] in leads for row in rows):
        leads = leads_to(connection, [number])
    for (conversation,) in rows:
        ids, roots = leads[conversation]
        for sql, values in (
            ("DELETE FROM known_ids WHERE message_id = ? AND conversation_id = ?", ids),
            ("DELETE FROM thread_roots WHERE root = ? AND conversation_id = ?", roots),
        ):
            connection.executemany(sql, [(value, conversation) for value in values])
    for sql in (
        "UPDATE messages SET conversation_id = NULL WHERE conversation_id = ?",
        "DELETE FROM conversations WHERE id = ?",
    ):
        connection.executemany(sql, rows)
    for sql in (
        "DELETE FROM participants WHERE ticket_id = ?",
        "DELETE FROM desk_work WHERE ticket_id = ?",
        "DELETE FROM desk_tickets WHERE ticket_id = ?",
    ):
        connection.execute(sql, (number,))
    return connection.execute("DELETE FROM tickets WHERE id = ?", (number,)).rowcount > 0


def change_json(row: Any) -> dict[str, Any]:
    """``{at, what, who, why, queue_id, ticket, delivery_id}`` of a change."""
    return {
        "at": rfc3339(row[0]),
        "what": row[1],
        "who": row[2],
        "why": unpack_json(row[3]),
        "queue_id": row[4],
        "ticket": None if row[5] is None else ticket_label(row[5]),
        "delivery_id": row[6],
    }


def _present(connection: sqlite3.Connection, ticket: str | int) -> tuple[int, str]:
    """``(number, stage)`` of a ticket that was not merged away and is not in the trash."""
    number = ticket_number(ticket)
    row = connection.execute("SELECT stage, merged_into, trashed_at FROM tickets WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise InputError(f"no ticket {ticket_label(number)}")
    if row[1] is not None:
        raise InputError(f"{ticket_label(number)} was merged into {ticket_label(row[1])}")
    if row[2] is not None:
        raise InputError(f"{ticket_label(number)} is in the trash: it was deleted at the desk")
    return number, str(row[0])


def _merge_mail_state(connection: sqlite3.Connection, from_: int, into: int, now: int) -> None:
    """The customer's newest mail of either is the target's."""
    one, other = (connection.execute(_MAIL_STATE, (number,)).fetchone() for number in (from_, into))
    newest = max(one, other, key=lambda row: -1 if row[0] is None else int(row[0]))
    oldest = one if newest is other else other
    ids = [message_id for row in (newest, oldest) if row[2] for message_id in row[2].split("\n")]
    connection.execute(
        "UPDATE tickets SET version = version + 1, updated_at = ?, last_customer_mail_at = ?, "
        "last_had_support_in_cc = ?, customer_message_ids = ?, last_mail_at = ? WHERE id = ?",
        (now, newest[0], newest[1], "\n".join(ids[:_CUSTOMER_IDS_KEPT]), max(one[3], other[3]), into),
    )


def _ticket(
    connection: sqlite3.Connection, row: Any, known_owners: dict[str, tuple[str, ...] | None]
) -> dict[str, Any]:
    """Owners are the deal's as they are now when it is one of the builtin CRM, else as last written."""
    deal_id = row[6]
    if deal_id not in known_owners:
        known_owners[deal_id] = owners_of_deal(connection, deal_id) if deal_id else None
    owners = known_owners[deal_id]
    return {
        "id": ticket_label(row[0]),
        "stage": row[1],
        "subject": row[2],
        "customer": row[3] or None,
        "company": row[5] or None,
        "company_id": row[4] or None,
        "deal": row[7] or None,
        "deal_id": deal_id or None,
        "owners": unpack_json(row[8]) if owners is None else list(owners),
        "address": row[9],
        "external_id": row[10],
        "messages": row[18],
        "created_at": rfc3339(row[11]),
        "updated_at": rfc3339(row[12]),
        "closed_at": rfc3339(row[13]),
        "priority": row[14] or None,
        "merged_into": None if row[15] is None else ticket_label(row[15]),
        "related": None if row[16] is None else ticket_label(row[16]),
        "trashed_at": rfc3339(row[19]),
    }


def _message(row: Any) -> dict[str, Any]:
    return {
        "queue_id": row[0],
        "state": row[1],
        "accepted_at": rfc3339(row[2]),
        "direction": row[3],
        "support_in": row[4],
        "reverse_path": row[5],
        "message_id": row[6],
        "subject": row[7],
        "is_inbound": bool(row[8]),
        "is_duplicate": row[10] is not None,
        "size_octets": row[11],
    }


def _history(connection: sqlite3.Connection, tickets: list[int]) -> list[dict[str, Any]]:
    """What happened to these tickets and to their mails."""
    rows: set[Any] = set()
    for number in tickets:
        rows.update(connection.execute(f"{_CHANGE} WHERE x.ticket_id = ?", (number,)))
    rows.update(
        connection.execute(
            f"{_CHANGE} JOIN conversations c ON c.id = m.conversation_id "
            "WHERE c.ticket_id = ? AND x.message = m.seq AND x.ticket_id IS NULL",
            (tickets[0],),
        )
    )
    return [change_json(row) for row in sorted(rows, key=lambda row: int(row[7]))]
