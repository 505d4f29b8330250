"""Rows of ``changes``: what happened, written in the transaction in which it happened."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from supportrelay.edge.store.rows import clean_text, pack_json

__all__ = ["ChangeRow", "change_row", "write_change", "write_changes"]

_INSERT = "INSERT INTO changes (at, what, who, message, ticket_id, delivery_id, why) VALUES (?, ?, ?, ?, ?, ?, ?)"

ChangeRow = tuple[int, str, str, int | None, int | None, int | None, str]


def change_row(
    at: int,
    what: str,
    who: str,
    why: Mapping[str, Any],
    *,
    message: int | None = None,
    ticket_id: int | None = None,
    delivery_id: int | None = None,
) -> ChangeRow:
    """One row; ``message`` is the number of the message's row."""
    return (at, what, clean_text(who), message, ticket_id, delivery_id, pack_json(why))


def write_change(connection: sqlite3.Connection, row: ChangeRow) -> None:
    """Append one."""
    connection.execute(_INSERT, row)


def write_changes(connection: sqlite3.Connection, rows: Iterable[ChangeRow]) -> None:
    """Append them."""
    connection.executemany(_INSERT, rows)
