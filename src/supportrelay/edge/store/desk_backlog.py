"""What waits for the outside desk, for a person who asks how it stands."""

import sqlite3
from typing import Any

from supportrelay.core.ticket import ticket_label
from supportrelay.edge.store.rows import rfc3339

__all__ = ["backlog"]

_MOST_ERRORS = 5
_COUNTS = """
SELECT count(*), coalesce(sum(d.tries > 0), 0),
(SELECT count(*) FROM desk_work), (SELECT min(at) FROM desk_work)
FROM desk_tickets d WHERE d.due_at IS NOT NULL"""
_ERRORS = """
SELECT last_error, count(*), min(ticket_id) FROM desk_tickets WHERE due_at IS NOT NULL AND last_error <> ''
GROUP BY last_error ORDER BY count(*) DESC, last_error LIMIT ?"""


def backlog(connection: sqlite3.Connection) -> dict[str, Any]:
    """``{tickets, failing, work, oldest_at, errors: [{error, tickets, example}]}``; errors are the commonest five."""
    tickets, failing, work, oldest = connection.execute(_COUNTS).fetchone()
    return {
        "tickets": tickets,
        "failing": failing,
        "work": work,
        "oldest_at": rfc3339(oldest),
        "errors": [
            {"error": error, "tickets": count, "example": ticket_label(example)}
            for error, count, example in connection.execute(_ERRORS, (_MOST_ERRORS,))
        ],
    }
