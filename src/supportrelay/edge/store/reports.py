"""What authors are owed: read by whoever writes it, and ended in the transaction that puts the mail into the queue."""

import sqlite3
from collections.abc import Sequence

from supportrelay.core.own_mail import OwnKind, OwnMail
from supportrelay.core.own_ports import OwedReport
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.own_mail import insert_own_mail
from supportrelay.edge.store.rows import address_key, from_microseconds, to_microseconds

__all__ = ["owed_reports", "own_mail_since", "put_off_report", "tell_report"]

_OWED = """
SELECT m.queue_id, o.kind, o.due_at FROM reports_owed o JOIN messages m ON m.seq = o.message
WHERE o.due_at <= ? ORDER BY o.due_at LIMIT ?"""
_DONE = """
UPDATE reports_owed SET due_at = NULL WHERE kind = ? AND due_at = ?
AND message = (SELECT seq FROM messages WHERE queue_id = ?) RETURNING message"""
_PUT_OFF = """
UPDATE reports_owed SET due_at = ? WHERE kind = ? AND due_at = ?
AND message = (SELECT seq FROM messages WHERE queue_id = ?)"""
_SINCE = "SELECT count(*) FROM own_mail WHERE kind = ? AND recipient = ? AND at > ?"


def owed_reports(connection: sqlite3.Connection, now: int, limit: int) -> list[OwedReport]:
    """What is due, longest first."""
    rows = connection.execute(_OWED, (now, limit)).fetchall()
    return [OwedReport(row[0], OwnKind(row[1]), from_microseconds(row[2])) for row in rows]


def tell_report(
    connection: sqlite3.Connection,
    owed: OwedReport,
    mail: OwnMail | None,
    recipients: Sequence[str],
    why: str,
    now: int,
) -> bool:
    """End a debt once: with the mail, or with the reason why there is none."""
    row = connection.execute(_DONE, (owed.kind, to_microseconds(owed.due_at), owed.queue_id)).fetchone()
    if row is None:
        return False
    if mail is not None:
        insert_own_mail(connection, mail)
    what = "message.reported" if mail is not None else "message.not_reported"
    said = {"kind": owed.kind, "recipients": list(recipients), "why": why}
    write_change(connection, change_row(now, what, "relay", said, message=row[0]))
    return True


def put_off_report(connection: sqlite3.Connection, owed: OwedReport, due_at: int) -> None:
    """Due again then."""
    connection.execute(_PUT_OFF, (due_at, owed.kind, to_microseconds(owed.due_at), owed.queue_id))


def own_mail_since(connection: sqlite3.Connection, kind: OwnKind, recipient: str, since: int) -> int:
    """How many mails of a kind were written to somebody."""
    return int(connection.execute(_SINCE, (kind, address_key(recipient), since)).fetchone()[0])
