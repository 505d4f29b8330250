"""How full the disk is."""

import os
from pathlib import Path

__all__ = ["disk_space"]


def disk_space(folder: Path) -> tuple[int, int]:
    """``(free, whole)`` octets of the disk that a folder is on; free is what an ordinary user may still write.

    Raises:
        OSError: There is no such folder.
    """
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
