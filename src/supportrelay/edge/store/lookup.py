"""What is known about a mail: an earlier arrival of it, and the tickets that it points at.

`find` is asked twice: before the decision, on the reading connection, and again inside the transaction that commits the
decision. Its fingerprint tells whether the decision still stands on the same ground.
"""

import sqlite3
from datetime import datetime

from supportrelay.core.ports import Gathered, WhereFrom
from supportrelay.core.ticket import Hit, HitBy, Stage, TicketView
from supportrelay.core.value import value_class
from supportrelay.edge.store.rows import clean_text, from_microseconds, to_microseconds

__all__ = ["ANCHOR", "GENERATED", "KINDS", "SEEN", "Found", "find", "gather", "target_of", "ticket_view"]

ANCHOR, SEEN, GENERATED = 0, 1, 2
KINDS = {"anchor": ANCHOR, "seen": SEEN, "generated": GENERATED}

# Ids looked up of one mail: In-Reply-To first, then References from the right.
_IDS_A_MAIL = 64
_MERGES_FOLLOWED = 20

# Of one step; a stranger may name one id in any number of mails.
_HITS_A_STEP = 8
_ARRIVAL = "SELECT message FROM arrivals WHERE duplicate_key = ?"
_FIRST_ARRIVAL = """
SELECT m.seq, m.queue_id, c.ticket_id, d.direction = 'unproven', m.state = 'held' AND d.direction = 'spam'
FROM messages m LEFT JOIN conversations c ON c.id = m.conversation_id
LEFT JOIN decisions d ON d.message = m.seq WHERE m.seq = ?"""

_COPIES_OF_ARRIVALS = """
SELECT id, recipient_key FROM deliveries WHERE state NOT IN ('failed', 'dropped') AND kind <> 'note' AND message IN
(SELECT ?1 UNION ALL SELECT seq FROM messages WHERE first_arrival = ?1) ORDER BY id"""

# Most ids are unknown: asked alone they cost one search, with joins and an order five times that.
_IDS = """
SELECT kind, conversation_id FROM known_ids WHERE message_id = ? ORDER BY conversation_id DESC LIMIT 32"""
_ROOTS = "SELECT 1, conversation_id FROM thread_roots WHERE root = ? ORDER BY conversation_id DESC LIMIT 32"
_BY_CONVERSATION = """
SELECT t.id, t.version, t.stage, t.merged_into FROM conversations c JOIN tickets t ON t.id = c.ticket_id
WHERE c.id = ?"""

_BY_NUMBER = "SELECT 1, NULL, t.id, t.version, t.stage, t.merged_into FROM tickets t WHERE t.id = ?"

_BY_SUBJECT = """
SELECT 1, NULL, t.id, t.version, t.stage, t.merged_into FROM tickets t
WHERE t.customer = ? AND t.customer <> '' AND t.stage IN ('NEW', 'WAITING', 'OTHER') AND t.subject_key = ?
AND t.address = ? AND t.last_mail_at > ? AND t.trashed_at IS NULL ORDER BY t.id DESC LIMIT 8"""

_BY_CUSTOMER = """
SELECT 1, NULL, t.id, t.version, t.stage, t.merged_into FROM tickets t
WHERE t.customer = ? AND t.customer <> '' AND t.stage IN ('NEW', 'WAITING', 'OTHER')
AND t.address = ? AND t.trashed_at IS NULL ORDER BY t.id DESC LIMIT 8"""

# A mail sent twice as two: nearly always there is no such ticket, and then this one search is all. The first of them
# was a customer's mail some minutes ago, so the stage is NEW; asking for other ones costs three times that.
_MAYBE_AGAIN = """
SELECT id, version FROM tickets
WHERE customer = ? AND customer <> '' AND stage = 'NEW' AND subject_key = ? AND address = ?
AND last_mail_at > ? AND trashed_at IS NULL AND merged_into IS NULL LIMIT 2"""
_NEWEST_INBOUND = """
SELECT m.queue_id, m.conversation_id FROM conversations c JOIN messages m ON m.conversation_id = c.id
JOIN decisions d ON d.message = m.seq
WHERE c.ticket_id = ? AND m.first_arrival IS NULL AND d.is_inbound AND m.accepted_at > ? ORDER BY m.seq DESC LIMIT 2"""

_CONVERSATION_OF = "SELECT id FROM conversations WHERE ticket_id = ? ORDER BY subject_key = ? DESC, id DESC LIMIT 1"

# The nearest of the References: a chain is decided one after the other, so the parents say enough.
_NEAREST = 5
_UNDECIDED = """
SELECT queue_id FROM messages
WHERE message_id = ? AND message_id <> '' AND state IN ('accepted', 'waiting') AND accepted_at < ? LIMIT 1"""

_VIEW = """
SELECT id, version, stage, address, subject_key, customer, customer_domain, company_id, company_name, deal_id,
deal_name, created_at, updated_at, closed_at, last_customer_mail_at, customer_message_ids, moved_by_person_at,
last_had_support_in_cc, stage_mail_at, trashed_at, last_mail_at FROM tickets WHERE id = ?"""


# kind, conversation (None: any of the ticket), ticket, version, stage, merged_into
_Row = tuple[int, int | None, int, int, str, int | None]


@value_class
class _Pointer:
    by: HitBy
    ticket_id: int
    conversation_id: int
    version: int
    is_open: bool
    is_anchor: bool
    names_it: bool
    queue_id: str = ""


@value_class
class Found:
    """`first` is the row number of the first arrival, 0 without."""

    first: int
    duplicate_of: str
    duplicate_ticket: int | None
    duplicate_has: frozenset[str]
    pointers: tuple[_Pointer, ...]
    fingerprint: str
    is_unproven: bool = False
    is_spam: bool = False


def find(connection: sqlite3.Connection, where_from: WhereFrom) -> Found:
    """Look everything up; a few selects by key."""
    first, duplicate_of, duplicate_ticket, is_unproven, is_spam, copies = 0, "", None, 0, 0, []
    if where_from.duplicate_key:
        row = connection.execute(_ARRIVAL, (where_from.duplicate_key,)).fetchone()
        if row is not None:
            earlier = connection.execute(_FIRST_ARRIVAL, row).fetchone()
            first, duplicate_of, duplicate_ticket, is_unproven, is_spam = earlier
            copies = connection.execute(_COPIES_OF_ARRIVALS, (first,)).fetchall()
    pointers = tuple(_pointers(connection, where_from))
    known = [
        f"{p.by}:{p.ticket_id}:{p.conversation_id}:{p.version}:{p.is_anchor:d}{p.names_it:d}{p.queue_id}"
        for p in pointers
    ]
    fingerprint = f"{first}/{','.join(str(c[0]) for c in copies)}/{';'.join(known)}"
    has = frozenset(c[1] for c in copies)
    return Found(first, duplicate_of, duplicate_ticket, has, pointers, fingerprint, bool(is_unproven), bool(is_spam))


def gather(connection: sqlite3.Connection, where_from: WhereFrom) -> Gathered:
    """The same with the tickets themselves."""
    found = find(connection, where_from)
    views: dict[int, TicketView | None] = {}
    hits = []
    for pointer in found.pointers:
        if pointer.ticket_id not in views:
            views[pointer.ticket_id] = ticket_view(connection, pointer.ticket_id, pointer.conversation_id)
        view = views[pointer.ticket_id]
        # Another version: changed since the line above; the settlement will find another fingerprint and ask again.
        if view is not None:
            if view.conversation_id != pointer.conversation_id:
                view = ticket_view(connection, pointer.ticket_id, pointer.conversation_id)
            if view is not None:
                hits.append(Hit(pointer.by, view, pointer.is_anchor, pointer.names_it, pointer.queue_id))
    return Gathered(
        found.duplicate_of,
        found.duplicate_ticket,
        found.duplicate_has,
        tuple(hits),
        found.fingerprint,
        _undecided(connection, where_from),
        found.is_unproven,
        found.is_spam,
    )


def _undecided(connection: sqlite3.Connection, where_from: WhereFrom) -> str:
    """The mail that this one answers, or another it names, while nothing is decided about that one yet."""
    if where_from.accepted_at is None:
        return ""
    at = to_microseconds(where_from.accepted_at)
    for message_id in dict.fromkeys((*where_from.in_reply_to, *where_from.references[:_NEAREST])):
        row = connection.execute(_UNDECIDED, (clean_text(message_id), at)).fetchone()
        if row is not None:
            return str(row[0])
    return ""


def ticket_view(connection: sqlite3.Connection, ticket_id: int, conversation_id: int) -> TicketView | None:
    """A ticket as a decision needs it, None when it is gone."""
    row = connection.execute(_VIEW, (ticket_id,)).fetchone()
    if row is None:
        return None
    people = connection.execute("SELECT address FROM participants WHERE ticket_id = ?", (ticket_id,)).fetchall()
    subject = connection.execute("SELECT subject_key FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    return TicketView(
        id=row[0],
        conversation_id=conversation_id,
        version=row[1],
        stage=Stage(row[2]),
        address=row[3],
        subject=subject[0] if subject is not None else row[4],
        customer=row[5],
        customer_domain=row[6],
        company_id=row[7],
        company_name=row[8],
        deal_id=row[9],
        deal_name=row[10],
        participants=frozenset(p[0] for p in people),
        created_at=from_microseconds(row[11]),
        updated_at=from_microseconds(row[12]),
        closed_at=_instant(row[13]),
        last_customer_mail_at=_instant(row[14]),
        last_customer_message_ids=tuple(row[15].split("\n")) if row[15] else (),
        moved_by_person_at=_instant(row[16]),
        last_had_support_in_cc=bool(row[17]),
        stage_mail_at=_instant(row[18]),
        is_trashed=row[19] is not None,
        last_mail_at=_instant(row[20]),
    )


def target_of(connection: sqlite3.Connection, ticket_id: int) -> tuple[int, int, str] | None:
    """``(id, version, stage)`` of the ticket that this one, or the last it was merged into, is; None when gone."""
    for _ in range(_MERGES_FOLLOWED):
        row = connection.execute(
            "SELECT id, version, stage, merged_into FROM tickets WHERE id = ?", (ticket_id,)
        ).fetchone()
        if row is None or row[3] is None:
            return None if row is None else (row[0], row[1], row[2])
        ticket_id = row[3]
    return None


def _instant(at: int | None) -> datetime | None:
    return None if at is None else from_microseconds(at)


def _pointers(connection: sqlite3.Connection, where_from: WhereFrom) -> list[_Pointer]:
    found: list[_Pointer] = []
    if where_from.token_ticket is not None:
        rows = connection.execute(_BY_NUMBER, (where_from.token_ticket,)).fetchall()
        _add(connection, found, HitBy.TOKEN, rows, where_from.subject)
    asked = {""}
    for by, ids in (
        (HitBy.IN_REPLY_TO, where_from.in_reply_to),
        (HitBy.REFERENCES, where_from.references),
        (HitBy.REFERENCES, (where_from.message_id,)),
    ):
        for message_id in ids:
            if message_id in asked or len(asked) > _IDS_A_MAIL:
                continue
            asked.add(message_id)
            named = connection.execute(_IDS, (clean_text(message_id),)).fetchall()
            if not named:
                continue
            if message_id == where_from.message_id:
                _add_by_own_id(connection, found, named, where_from.subject)
                continue
            _add(connection, found, by, _with_tickets(connection, named), where_from.subject)
    if where_from.thread_index:
        named = connection.execute(_ROOTS, (where_from.thread_index,)).fetchall()
        _add(connection, found, HitBy.THREAD_INDEX, _with_tickets(connection, named), where_from.subject)
    if where_from.customer:
        _add_by_customer(connection, found, where_from)
        if where_from.again_subject and where_from.again_since is not None:
            found += _maybe_again(connection, where_from, to_microseconds(where_from.again_since))
    return found


def _add_by_own_id(
    connection: sqlite3.Connection, found: list[_Pointer], named: list[tuple[int, int]], subject: str
) -> None:
    """As an anchor it was named by an answer that came first; else its sender uses one id for many mails."""
    anchors = _with_tickets(connection, [one for one in named if one[0] == ANCHOR])
    _add(connection, found, HitBy.REFERENCES, anchors, subject, names_it=True)
    seen = _with_tickets(connection, [one for one in named if one[0] != ANCHOR])
    _add(connection, found, HitBy.SAME_ID, seen, subject)


def _maybe_again(connection: sqlite3.Connection, where_from: WhereFrom, since: int) -> list[_Pointer]:
    """Tickets on which the same mail, sent a moment ago under another id, may stand."""
    values = (clean_text(where_from.customer), clean_text(where_from.again_subject), where_from.address, since)
    return [
        _Pointer(HitBy.AGAIN, ticket_id, conversation_id, version, True, False, False, queue_id)
        for ticket_id, version in connection.execute(_MAYBE_AGAIN, values).fetchall()
        for queue_id, conversation_id in connection.execute(_NEWEST_INBOUND, (ticket_id, since)).fetchall()
    ]


def _with_tickets(connection: sqlite3.Connection, named: list[tuple[int, int]]) -> list[_Row]:
    """The tickets of the best eight conversations: real ids before anchors, then the newest."""
    named.sort(key=lambda one: one[0], reverse=True)
    return [
        (*one, *row)
        for one in named[:_HITS_A_STEP]
        if (row := connection.execute(_BY_CONVERSATION, (one[1],)).fetchone()) is not None
    ]


def _add_by_customer(connection: sqlite3.Connection, found: list[_Pointer], where_from: WhereFrom) -> None:
    customer = clean_text(where_from.customer)
    if where_from.subject:
        since = 0 if where_from.subject_since is None else to_microseconds(where_from.subject_since)
        values = (customer, clean_text(where_from.subject), where_from.address, since)
        rows = connection.execute(_BY_SUBJECT, values).fetchall()
        _add(connection, found, HitBy.SUBJECT, rows, where_from.subject, only_open=True)
    if where_from.any_of_customer:
        rows = connection.execute(_BY_CUSTOMER, (customer, where_from.address)).fetchall()
        _add(connection, found, HitBy.CUSTOMER, rows, where_from.subject, only_open=True)


def _add(
    connection: sqlite3.Connection,
    found: list[_Pointer],
    by: HitBy,
    rows: list[_Row],
    subject: str,
    *,
    only_open: bool = False,
    names_it: bool = False,
) -> None:
    """Append the tickets of one id or step: merged ones followed, open ones first, each once a step."""
    step = []
    for kind, conversation_id, row_ticket, row_version, row_stage, merged_into in rows:
        ticket_id, version, stage = row_ticket, row_version, row_stage
        if merged_into is not None:
            target = target_of(connection, merged_into)
            if target is None:
                continue
            ticket_id, version, stage = target
        if only_open and stage == Stage.CLOSED:
            continue
        through = conversation_id
        if through is None:
            row = connection.execute(_CONVERSATION_OF, (ticket_id, clean_text(subject))).fetchone()
            if row is None:
                continue
            through = row[0]
        pointer = _Pointer(by, ticket_id, through, version, stage != Stage.CLOSED, kind == ANCHOR, names_it)
        step.append(pointer)
    step.sort(key=lambda pointer: not pointer.is_open)
    known = {(p.by, p.ticket_id, p.conversation_id, p.names_it) for p in found}
    found.extend(p for p in step if (p.by, p.ticket_id, p.conversation_id, p.names_it) not in known)
