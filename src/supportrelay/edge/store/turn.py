"""Turn: the right to write, passed between processes by flock'ed files beside the database."""

import fcntl
import os
from pathlib import Path

__all__ = ["Turn"]


class Turn:
    """The right to write among processes: exclusive, first come first served (nearly)."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._gate = os.open(f"{path}-gate", flags, 0o600)
        self._turn = os.open(f"{path}-turn", flags, 0o600)

    def try_take(self) -> bool:
        """Take it if nobody has it and nobody waits."""
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        return True

    def take(self) -> None:
        """Wait for it, however long; only on a thread."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def give_back(self) -> None:
        """Let the next one write."""
        fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files, which also gives the turn back."""
        os.close(self._gate)
        os.close(self._turn)
