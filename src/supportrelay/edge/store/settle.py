"""Committing a decision: find or open the ticket, write the message, its copies and their first attempts."""

import sqlite3

from supportrelay.core.delivery import DeliveryKind, DeliveryState, MessageState
from supportrelay.core.ports import BegunDelivery, NewDelivery, Settled, Settlement, TicketChange, TicketOpening
from supportrelay.core.ticket import Stage
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.desk import add_mail_work
from supportrelay.edge.store.lookup import KINDS, SEEN, find, target_of
from supportrelay.edge.store.rows import address_key, clean_text, pack_json, to_microseconds
from supportrelay.edge.store.take_over import take_over

__all__ = ["insert_deliveries", "settle"]

_CUSTOMER_IDS_KEPT = 50
# No mail adds more; the guard only has to recognise the people who really take part.
_PARTICIPANTS_A_MAIL = 200

_MESSAGE = "SELECT seq, state, holder, accepted_at, message_id FROM messages WHERE queue_id = ?"
_UPDATE_MESSAGE = """
UPDATE messages SET state = ?, due_at = ?, holder = NULL, tries = 0, first_wait_at = ?, conversation_id = ?,
first_arrival = ? WHERE seq = ?"""
_DECISION = """
INSERT OR REPLACE INTO decisions (message, is_inbound, sent_at, direction, place, address_name, customer, copy_plan,
decision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ARRIVAL = "INSERT OR IGNORE INTO arrivals (duplicate_key, message) VALUES (?, ?)"
_DELIVERY = """
INSERT INTO deliveries (message, state, due_at, holder, attempts, begun_at, kind, recipient, recipient_key, why,
new_message_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_TICKET = """
INSERT INTO tickets (stage, related_ticket_id, created_at, updated_at, closed_at, last_mail_at, last_customer_mail_at,
last_had_support_in_cc, address, subject, subject_key, customer, customer_domain, company_id, company_name, deal_id,
deal_name, owners, priority, customer_message_ids, stage_mail_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_KNOWN_ID = """
INSERT INTO known_ids (message_id, conversation_id, kind) VALUES (?, ?, ?)
ON CONFLICT (message_id, conversation_id) DO UPDATE SET kind = excluded.kind WHERE kind < excluded.kind"""
_JOINED = """
SELECT stage, closed_at, last_customer_mail_at, last_had_support_in_cc, customer_message_ids, stage_mail_at FROM tickets
WHERE id = ?"""
_JOIN = """
UPDATE tickets SET version = version + 1, updated_at = ?, last_mail_at = ?, stage = ?, closed_at = ?,
last_customer_mail_at = ?, last_had_support_in_cc = ?, customer_message_ids = ?, owners = coalesce(?, owners),
company_id = coalesce(?, company_id), company_name = coalesce(?, company_name), deal_id = coalesce(?, deal_id),
deal_name = coalesce(?, deal_name), customer = coalesce(?, customer),
customer_domain = coalesce(?, customer_domain), priority = coalesce(nullif(?, ''), priority), stage_mail_at = ?
WHERE id = ?"""

_CONFLICT_LEASE = Settled(conflict="lease")
_CONFLICT_CHANGED = Settled(conflict="changed")


def settle(connection: sqlite3.Connection, settlement: Settlement) -> Settled:
    """Commit all of it, or nothing and say which conflict: ``lease`` or ``changed``."""
    s = settlement
    row = connection.execute(_MESSAGE, (s.queue_id,)).fetchone()
    if row is None or row[1] not in {"accepted", "waiting"} or row[2] != s.lease.holder:
        return _CONFLICT_LEASE
    seq, _, _, accepted_at, own_message_id = row
    if s.where_from is not None and find(connection, s.where_from).fingerprint != s.fingerprint:
        return _CONFLICT_CHANGED
    now = to_microseconds(s.now)
    sent_at = now if s.sent_at is None else to_microseconds(s.sent_at)
    first, conversation_id, ticket_id = _first_arrival(connection, s.first_arrival)
    if s.opening is not None:
        ticket_id, conversation_id = _open_ticket(connection, s, s.opening, now, sent_at, own_message_id)
    elif s.change is not None:
        ticket_id, conversation_id = _join_ticket(connection, s, s.change, now, sent_at, own_message_id)
        if ticket_id is None:
            return _CONFLICT_CHANGED
    # Who waits is decided again; with the key claimed it would then be a duplicate of itself.
    if s.where_from is not None and s.where_from.duplicate_key and s.state != MessageState.WAITING:
        connection.execute(_ARRIVAL, (s.where_from.duplicate_key, seq))
    if conversation_id is not None and (s.opening is not None or s.change is not None):
        _remember(connection, s, ticket_id, conversation_id, own_message_id)
    if s.takes_over:
        take_over(connection, s.takes_over, seq, ticket_id, conversation_id, now)
    _write_message(connection, s, seq, accepted_at, now, sent_at, conversation_id, first)
    begun = insert_deliveries(connection, seq, s.deliveries, now, s.lease.holder, to_microseconds(s.lease.until))
    _write_settled_changes(connection, s, seq, now, ticket_id, begun)
    if s.desk is not None and ticket_id is not None and (s.opening is not None or s.change is not None):
        add_mail_work(connection, ticket_id, s.desk, s.opening, message=seq, accepted_at=accepted_at, now=now)
    return Settled(ticket_id=ticket_id, conversation_id=conversation_id, deliveries=tuple(begun))


def insert_deliveries(
    connection: sqlite3.Connection,
    seq: int,
    deliveries: tuple[NewDelivery, ...],
    now: int,
    holder: str | None = None,
    until: int = 0,
) -> list[BegunDelivery]:
    """Insert copies; those without ``due_at`` are begun (attempt 1, leased) when there is a holder, else due now."""
    begun = []
    for copy in deliveries:
        starts = copy.due_at is None and holder is not None
        state = DeliveryState.SENDING if starts else DeliveryState.DUE
        due_at = until if starts else now if copy.due_at is None else to_microseconds(copy.due_at)
        cursor = connection.execute(
            _DELIVERY,
            (
                seq,
                state,
                due_at,
                holder if starts else None,
                int(starts),
                now if starts else None,
                copy.kind,
                clean_text(copy.recipient),
                address_key(copy.recipient),
                clean_text(copy.why),
                copy.new_message_id,
            ),
        )
        assert cursor.lastrowid is not None
        begun.append(BegunDelivery(cursor.lastrowid, copy.recipient, copy.kind, int(starts), copy.new_message_id))
    return begun


def _first_arrival(connection: sqlite3.Connection, queue_id: str) -> tuple[int | None, int | None, int | None]:
    """``(row number, conversation, ticket)``: a duplicate's further copies belong to the first one's ticket."""
    if not queue_id:
        return None, None, None
    row = connection.execute(
        "SELECT m.seq, m.conversation_id, c.ticket_id FROM messages m "
        "LEFT JOIN conversations c ON c.id = m.conversation_id WHERE m.queue_id = ?",
        (queue_id,),
    ).fetchone()
    return (None, None, None) if row is None else (row[0], row[1], row[2])


def _open_ticket(
    connection: sqlite3.Connection, s: Settlement, opening: TicketOpening, now: int, sent_at: int, message_id: str
) -> tuple[int, int]:
    o = opening
    customer_mail_at = sent_at if s.is_inbound else None
    cursor = connection.execute(
        _TICKET,
        (
            o.stage,
            o.related_ticket_id,
            now,
            now,
            now if o.stage == Stage.CLOSED else None,
            now,
            customer_mail_at,
            s.is_inbound and s.has_cc_support,
            o.address,
            clean_text(o.subject),
            clean_text(o.subject_key),
            clean_text(o.customer),
            o.customer_domain,
            o.company_id,
            clean_text(o.company_name),
            o.deal_id,
            clean_text(o.deal_name),
            pack_json(o.owners),
            o.priority,
            _one_line(message_id) if s.is_inbound else "",
            None if s.accepted_at is None else to_microseconds(s.accepted_at),
        ),
    )
    ticket_id = cursor.lastrowid
    cursor = connection.execute(
        "INSERT INTO conversations (ticket_id, subject_key) VALUES (?, ?)", (ticket_id, clean_text(o.subject_key))
    )
    assert ticket_id is not None
    assert cursor.lastrowid is not None
    return ticket_id, cursor.lastrowid


def _join_ticket(
    connection: sqlite3.Connection, s: Settlement, change: TicketChange, now: int, sent_at: int, message_id: str
) -> tuple[int | None, int | None]:
    """Change the ticket, or the one it was merged into meanwhile; ``(None, None)`` when it is gone."""
    c = change
    target = target_of(connection, c.ticket_id)
    if target is None:
        return None, None
    ticket_id = target[0]
    stage, closed_at, customer_mail_at, had_cc, known, stage_mail_at = connection.execute(
        _JOINED, (ticket_id,)
    ).fetchone()
    if c.stage is not None and c.stage != stage:
        stage, closed_at = c.stage, now if c.stage == Stage.CLOSED else None
    if s.accepted_at is not None and (c.stage is not None or (s.desk is not None and s.desk.stage is not None)):
        stage_mail_at = max(stage_mail_at or 0, to_microseconds(s.accepted_at))
    if s.is_inbound:
        if customer_mail_at is None or sent_at >= customer_mail_at:
            customer_mail_at, had_cc = sent_at, s.has_cc_support
        if message_id:
            kept = known.split("\n")[: _CUSTOMER_IDS_KEPT - 1] if known else []
            known = "\n".join([_one_line(message_id), *kept])
    connection.execute(
        _JOIN,
        (
            now,
            now,
            stage,
            closed_at,
            customer_mail_at,
            had_cc,
            known,
            None if c.owners is None else pack_json(c.owners),
            c.company_id,
            None if c.company_name is None else clean_text(c.company_name),
            c.deal_id,
            None if c.deal_name is None else clean_text(c.deal_name),
            None if c.customer is None else clean_text(c.customer),
            c.customer_domain,
            c.priority,
            stage_mail_at,
            ticket_id,
        ),
    )
    return ticket_id, c.conversation_id


def _one_line(message_id: str) -> str:
    return clean_text(message_id).replace("\n", " ")


def _remember(
    connection: sqlite3.Connection, s: Settlement, ticket_id: int | None, conversation_id: int, message_id: str
) -> None:
    """Ids, thread root and people by which later mail finds this conversation and may join it."""
    ids = {clean_text(known.message_id): KINDS[known.kind] for known in s.ids if known.message_id}
    if message_id:
        # Its own mail is stored now, whatever it was called before.
        ids[message_id] = max(SEEN, ids.get(message_id, SEEN))
    connection.executemany(_KNOWN_ID, [(message_id, conversation_id, kind) for message_id, kind in ids.items()])
    if s.thread_index:
        connection.execute(
            "INSERT OR IGNORE INTO thread_roots (root, conversation_id) VALUES (?, ?)",
            (s.thread_index, conversation_id),
        )
    if s.participants:
        connection.executemany(
            "INSERT OR IGNORE INTO participants (ticket_id, address) VALUES (?, ?)",
            [(ticket_id, clean_text(address)) for address in s.participants[:_PARTICIPANTS_A_MAIL]],
        )


def _write_message(
    connection: sqlite3.Connection,
    s: Settlement,
    seq: int,
    accepted_at: int,
    now: int,
    sent_at: int,
    conversation_id: int | None,
    first: int | None,
) -> None:
    due_at = None
    if s.state == MessageState.WAITING:
        due_at = now if s.due_at is None else to_microseconds(s.due_at)
    elif s.state == MessageState.COMPOSED and any(copy.kind != DeliveryKind.NOTE for copy in s.deliveries):
        due_at = accepted_at  # since then nobody has got a copy
    first_wait_at = None
    if s.state == MessageState.WAITING:
        row = connection.execute("SELECT first_wait_at FROM messages WHERE seq = ?", (seq,)).fetchone()
        first_wait_at = now if row[0] is None else row[0]
    connection.execute(_UPDATE_MESSAGE, (s.state, due_at, first_wait_at, conversation_id, first, seq))
    connection.execute(
        _DECISION,
        (
            seq,
            s.is_inbound,
            sent_at,
            s.direction,
            s.place,
            s.address_name,
            clean_text(s.customer),
            None if s.copy_plan is None else pack_json(s.copy_plan),
            pack_json(s.decision),
        ),
    )


def _write_settled_changes(
    connection: sqlite3.Connection,
    s: Settlement,
    seq: int,
    now: int,
    ticket_id: int | None,
    begun: list[BegunDelivery],
) -> None:
    rows = []
    for c in s.changes:
        message: int | None = seq
        if c.queue_id and c.queue_id != s.queue_id:
            other = connection.execute("SELECT seq FROM messages WHERE queue_id = ?", (c.queue_id,)).fetchone()
            message = None if other is None else other[0]
        of_ticket, of_delivery = c.ticket_id, c.delivery_id
        if of_ticket is None and c.what.startswith("ticket."):
            of_ticket = ticket_id
        if of_delivery is None and c.what.startswith("delivery."):
            of_delivery = next((b.delivery_id for b in begun if b.recipient == c.why.get("recipient")), None)
        rows.append(
            change_row(now, c.what, c.who, c.why, message=message, ticket_id=of_ticket, delivery_id=of_delivery)
        )
    write_changes(connection, rows)
