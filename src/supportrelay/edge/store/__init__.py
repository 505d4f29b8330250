"""Everything that is kept: one SQLite file (PostgreSQL later, behind the same port)."""

from supportrelay.edge.store.database import StoreError
from supportrelay.edge.store.sqlite import SqliteStore, sqlite_path
from supportrelay.edge.store.wellness import RESERVE_OCTETS

__all__ = ["RESERVE_OCTETS", "SqliteStore", "StoreError", "sqlite_path"]
