"""A large message on its way in: octets on disk instead of in memory, gone with whoever holds them."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["RESERVE_OCTETS", "Spool"]

RESERVE_OCTETS = 32 * 1024 * 1024
"""Left free by messages that are not ours yet: what was accepted needs the disk more (RELIABILITY F09)."""


class Spool:
    """A file without a name, so that a crash leaves nothing behind. All calls block.

    Nothing is synced here: a message is ours only when the store has it.

    Args:
        reserve_octets: So much stays free on the disk.

    Raises:
        OSError: The folder takes no file; from `write`: the disk is full, or nearly.
    """

    def __init__(self, folder: Path, *, reserve_octets: int = RESERVE_OCTETS) -> None:
        self._reserve_octets = reserve_octets
        try:
            self._descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError:  # a file system without nameless files
            self._descriptor, name = tempfile.mkstemp(dir=folder)
            Path(name).unlink()

    def __del__(self) -> None:
        self.close()

    def write(self, octets: bytes) -> None:
        """Append. A thousand clients that upload at once must not fill the disk up to the last octet."""
        disk = os.fstatvfs(self._descriptor)
        if disk.f_bavail * disk.f_frsize < len(octets) + self._reserve_octets:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = memoryview(octets)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def read(self) -> bytes:
        """Everything that was written."""
        size = os.fstat(self._descriptor).st_size
        pieces = []
        at = 0
        while at < size:
            piece = os.pread(self._descriptor, size - at, at)
            if not piece:
                raise OSError("a spooled message became shorter")
            pieces.append(piece)
            at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give the disk's space back; a second time does nothing."""
        descriptor, self._descriptor = getattr(self, "_descriptor", -1), -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)
