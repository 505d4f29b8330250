"""Mail of our own in the queue: written in the transaction of the change that it tells of (RELIABILITY F36)."""

import sqlite3

from supportrelay.core.delivery import DeliveryKind, MessageState
from supportrelay.core.envelope import Peer
from supportrelay.core.own_mail import OwnMail
from supportrelay.core.ports import NewDelivery
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.lookup import KINDS
from supportrelay.edge.store.rows import address_key, clean_text, pack_paths, pack_peer, to_microseconds
from supportrelay.edge.store.settle import insert_deliveries

__all__ = ["insert_own_mail", "is_own_mail"]

# failover_at is set: nobody else gets it when it fails. due_at stays NULL: nobody has to be found who reads it.
_MESSAGE = """
INSERT INTO messages (queue_id, state, due_at, accepted_at, failover_at, size_octets, is_smtputf8, message_id, subject,
reverse_path, forward_paths, peer) VALUES (?, ?, NULL, ?, ?, ?, ?, ?, ?, '', ?, ?)"""
_OWN = "INSERT INTO own_mail (message, kind, about, at, recipient) VALUES (?, ?, ?, ?, ?)"
# An answer to it finds the ticket of the mail that it tells of.
_KNOWN_ID = """
INSERT OR IGNORE INTO known_ids (message_id, conversation_id, kind)
SELECT ?, conversation_id, ? FROM messages WHERE seq = ? AND conversation_id IS NOT NULL"""


def insert_own_mail(connection: sqlite3.Connection, mail: OwnMail) -> int:
    """Put a mail of our own into the queue, its copies due now; returns the number of its row.

    Call it inside the command that changes what it tells of. Both lives record it: its own, and that of ``about``.
    """
    at = to_microseconds(mail.at)
    is_smtputf8 = not all(address.isascii() for address in mail.recipients)
    seq = connection.execute(
        _MESSAGE,
        (
            mail.queue_id,
            MessageState.COMPOSED,
            at,
            at,
            len(mail.octets),
            is_smtputf8,
            clean_text(mail.message_id),
            clean_text(mail.subject),
            pack_paths(mail.recipients),
            pack_peer(Peer("", "")),
        ),
    ).lastrowid
    assert seq is not None
    connection.execute("INSERT INTO contents (message, octets, file) VALUES (?, ?, NULL)", (seq, mail.octets))
    deliveries = tuple(NewDelivery(one, DeliveryKind.OWN, str(mail.kind), due_at=mail.at) for one in mail.recipients)
    insert_deliveries(connection, seq, deliveries, at)
    about = _row_of(connection, mail.about)
    connection.execute(_OWN, (seq, mail.kind, about, at, address_key(mail.recipients[0])))
    why = {"kind": mail.kind, "recipients": list(mail.recipients)}
    rows = [change_row(at, "own.written", "relay", why | {"about": mail.about}, message=seq)]
    if about is not None:
        connection.execute(_KNOWN_ID, (clean_text(mail.message_id), KINDS["generated"], about))
        told = change_row(at, "message.told", "relay", why | {"queue_id": mail.queue_id}, message=about)
        rows.append(told)
    write_changes(connection, rows)
    return seq


def is_own_mail(connection: sqlite3.Connection, seq: int) -> bool:
    """Did we write this message ourselves? Nobody gets a report about it."""
    return connection.execute("SELECT 1 FROM own_mail WHERE message = ?", (seq,)).fetchone() is not None


def _row_of(connection: sqlite3.Connection, queue_id: str) -> int | None:
    row = (
        connection.execute("SELECT seq FROM messages WHERE queue_id = ?", (queue_id,)).fetchone() if queue_id else None
    )
    return None if row is None else int(row[0])
