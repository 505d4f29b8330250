"""The octets of messages: small ones in the database, large ones in files that are synced before the commit."""

import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

__all__ = ["LARGEST_IN_DATABASE_OCTETS", "ContentFiles", "sync"]

LARGEST_IN_DATABASE_OCTETS = 256 * 1024


class ContentFiles:
    """Files ``<database directory>/contents/ab/NAME``.

    Args:
        folder: ``contents``, made when the first large message comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, queue_id: str, octets: bytes) -> str:
        """Write and sync; returns the path below the folder. Blocks: call it on a thread.

        The name is there only when the whole content is: temporary file, fsync, rename, fsync of the directory.

        Raises:
            OSError: Nothing is left behind.
        """
        name = blake2b(queue_id.encode("utf-8", "replace"), digest_size=20).hexdigest()
        path = self._folder / name[:2] / name
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync(self._folder)
            sync(self._folder.parent)
        temporary = path.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            sync(path.parent)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        return f"{name[:2]}/{name}"

    def read(self, file: str) -> bytes:
        """The octets of a file that `write` named.

        Raises:
            KeyError: It is gone.
        """
        try:
            return (self._folder / file).read_bytes()
        except FileNotFoundError as exc:
            raise KeyError(file) from exc

    def remove(self, file: str) -> None:
        """Delete it; not there is as good."""
        with suppress(FileNotFoundError):
            (self._folder / file).unlink()


def sync(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder, before this returns.

    Raises:
        OSError: It does not.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
