"""Put a long past into a store by SQL: tickets with their conversations and messages, and deliveries that wait."""

from pathlib import Path

__all__ = ["fill"]


def fill(database: Path, *, tickets: int, queued: int) -> None:
    """Insert as many rows; the daemon must not be running.

    Args:
        database: An SQLite store whose schema is up to date.
        tickets: Open and closed ones of other customers.
        queued: Deferred deliveries, due in some hours.
    """
    raise NotImplementedError(f"{database} {tickets} {queued}")
