"""A disk that fills up, refuses writes or syncs, and a journal of what reached it in which order (`faulty_disk.c`)."""

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FaultyDisk", "Record"]

_HEAD = struct.Struct("=cII")


@dataclass(frozen=True)
class Record:
    """One thing that came to its end: W a write, S a sync, R a rename, A octets given to a socket."""

    what: str
    path: str
    octets: bytes


class FaultyDisk:
    """For one folder; give `environment` to the program that is to meet it.

    Args:
        scratch: Where the library and the control file go; not below ``folder``.
        keeps_journal: It holds every octet written, so only for little traffic.
    """

    def __init__(self, folder: Path, scratch: Path, *, keeps_journal: bool = False) -> None:
        self._control = scratch / "disk"
        self._journal = scratch / "disk.journal"
        library = _compiled(scratch)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULT_DISK": str(self._control),
            "FAULT_DISK_UNDER": str(folder.resolve()),
        }
        if keeps_journal:
            self.environment["FAULT_DISK_JOURNAL"] = str(self._journal)

    @property
    def control(self) -> Path:
        """Holds the word for what is wrong."""
        return self._control

    def be(self, word: str) -> None:
        """``full``, ``io``, ``sync``, ``readonly``, or ``well``."""
        new = self._control.with_suffix(".new")
        new.write_text(word)
        new.rename(self._control)

    def journal(self) -> list[Record]:
        """What happened so far, oldest first."""
        octets = self._journal.read_bytes()
        found, at = [], 0
        while at < len(octets):
            what, path_length, length = _HEAD.unpack_from(octets, at)
            at += _HEAD.size
            path = os.fsdecode(octets[at : at + path_length])
            at += path_length
            found.append(Record(what.decode(), path, octets[at : at + length]))
            at += length
        return found


def _compiled(scratch: Path) -> Path:
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    # Not skipped: a relay whose mail is not on the disk when it says 250 is what these tests are for.
    assert compiler, "a C compiler is needed (Debian: apt-get install gcc libc6-dev)"
    library = scratch / "faulty_disk.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library
