"""Wellness: can mail be stored now? Asked at MAIL, so that nobody uploads what cannot be kept.

A disk that is nearly full takes no new mail, so that what was accepted can still be worked on. A disk that refused a
write or a sync takes none until a write came through: `GroupWriter` tries one every other second (RELIABILITY F09,
F10).
"""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from supportrelay.core import reply as say
from supportrelay.core.reply import Reply
from supportrelay.log import get_logger

__all__ = ["RESERVE_OCTETS", "Wellness"]

log = get_logger()

RESERVE_OCTETS = 16 * 1024 * 1024
"""Kept free for working on what was accepted: each message is written again, smaller, until it has ended."""
_LOOK_AGAIN_S = 1.0
_FULL_CODES = {sqlite3.SQLITE_FULL}
_BROKEN_CODES = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_BROKEN = {errno.EIO, errno.EROFS}


def _free_octets(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Wellness:
    """What one process knows of its disk.

    Args:
        folder: Where the store lies.
        free: Octets free there; for tests.

    Attributes:
        trouble: What the disk said when it last refused; "" while all is well.
        past: The last trouble that ended, and how many seconds it lasted, until somebody takes it away.
    """

    def __init__(self, folder: Path, free: Callable[[Path], int] = _free_octets) -> None:
        self.trouble = ""
        self.past: tuple[str, float] | None = None
        self._folder = folder
        self._free = free
        self._reply = say.NOT_STORED
        self._since = 0.0
        self._looked_at = -_LOOK_AGAIN_S
        self._free_then = 0

    @property
    def free_octets(self) -> int:
        """As of a second ago at most; a disk that cannot be asked has none."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN_S:
            self._looked_at = now
            try:
                self._free_then = self._free(self._folder)
            except OSError:
                self._free_then = 0
        return self._free_then

    def refusal(self, size_octets: int) -> Reply | None:
        """None: a message of that size can be taken (0: not declared). Else 452 4.3.1 or 451 4.3.0."""
        if self.trouble:
            return self._reply
        return say.NO_ROOM if self.free_octets < max(1.5 * size_octets, RESERVE_OCTETS) else None

    def failed(self, exc: Exception) -> bool:
        """Note an error of the store; True when it is the disk's, and a new trouble begins."""
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF if isinstance(exc, sqlite3.Error) else 0
        number = exc.errno if isinstance(exc, OSError) else 0
        is_full = code in _FULL_CODES or number in _FULL
        if not is_full and code not in _BROKEN_CODES and number not in _BROKEN:
            return False
        self._reply = say.NO_ROOM if is_full else say.NOT_STORED
        is_new = not self.trouble
        self.trouble = str(exc)
        if is_new:
            self._since = time.monotonic()
            log.error("store.unwell", folder=str(self._folder), detail=self.trouble)
        return is_new

    def succeeded(self) -> None:
        """Something was written and synced."""
        if self.trouble:
            lasted_s = time.monotonic() - self._since
            self.past, self.trouble = (self.trouble, lasted_s), ""
            log.warning("store.well_again", folder=str(self._folder), after_s=round(lasted_s, 1))
