"""Copying the write-ahead log back into the database file beside the traffic."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from supportrelay.edge.store.database import connect
from supportrelay.edge.store.turn import Turn

__all__ = ["Checkpointer", "empty_log"]

# A WAL of this many pages (of 4 KiB) is emptied with everybody held for the last bit; below, only beside the traffic.
_WAL_PAGES_TO_RESTART = 8192
_COMMANDS_BETWEEN_CHECKPOINTS = 1000


def empty_log(path: Path) -> bool:
    """Copy the whole WAL back and cut it to nothing, for it holds pages as they were. Blocks; False: somebody reads."""
    connection = connect(path, read_only=False, cache_kib=512)
    turn = Turn(path)
    try:
        connection.execute("PRAGMA busy_timeout = 5000")
        turn.take()
        try:
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            turn.give_back()
    finally:
        connection.close()
        turn.close()


class Checkpointer:
    """Copies the WAL back into the file beside the traffic, on a thread and connection of its own.

    Under steady load a checkpoint never reaches the end of a WAL that grows meanwhile. So a long WAL is first copied
    beside the traffic and then, with the turn held, the short rest: the next writer begins it anew.

    Args:
        failed: Told what went wrong, on the thread.
    """

    def __init__(self, path: Path, failed: Callable[[Exception], None]) -> None:
        self._path = path
        self._failed = failed
        self._commands = 0
        self._wake = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def count(self, commands: int) -> None:
        """So many more commands were committed."""
        self._commands += commands
        if self._commands >= _COMMANDS_BETWEEN_CHECKPOINTS:
            self._commands = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="store-checkpoint", daemon=True)
                self._thread.start()
            self._wake.set()

    def close(self) -> None:
        """Finish a checkpoint that is under way."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        connection = connect(self._path, read_only=False, cache_kib=512)
        turn = Turn(self._path)
        try:
            connection.execute("PRAGMA busy_timeout = 1000")
            while True:
                self._wake.wait()
                self._wake.clear()
                if self._is_closed:
                    return
                try:
                    self._checkpoint(connection, turn)
                except (sqlite3.Error, OSError) as exc:
                    # The log keeps what could not be copied and synced; it is done again from there.
                    self._failed(exc)
        finally:
            connection.close()
            turn.close()

    def _checkpoint(self, connection: sqlite3.Connection, turn: Turn) -> None:
        is_busy, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if is_busy or pages < _WAL_PAGES_TO_RESTART:
            return
        turn.take()
        try:
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        finally:
            turn.give_back()
