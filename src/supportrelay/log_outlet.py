"""log_outlet: where the lines of the log go. A log that nobody takes is lost, never the mail (RELIABILITY F35).

A full disk or a closed stream raises, and that is swallowed. A pipe, socket or terminal that nobody reads would block,
and with it the event loop: it is asked first, a piece at a time, and what does not fit is left out and counted.
"""

import os
import select
import stat
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

__all__ = ["Outlet", "fill_standard_streams"]

# What a pipe that is ready takes at once (PIPE_BUF on Linux); a longer write may wait for its reader.
_PIECE_OCTETS = 4096


def fill_standard_streams() -> None:
    """Open nothing in place of a standard stream that is closed.

    Else the next file would get its number, the store as likely as any, and whatever somebody prints goes there.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  for as long as we live
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


class Outlet:
    """Takes finished lines; one system call for most."""

    def __init__(self, stream: TextIO | None) -> None:
        """``stream`` None: there is none, and every line is lost."""
        self.stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._dropped = 0
        self._number = -1
        self._poll: select.poll | None = None
        with suppress(OSError, ValueError, AttributeError):  # a stream without a descriptor, or a closed one
            number = stream.fileno() if stream else -1
            if not stat.S_ISREG(os.fstat(number).st_mode):
                self._number, self._poll = number, select.poll()
                self._poll.register(number, select.POLLOUT)

    def write(self, line: str) -> None:
        """Write a line, or lose it."""
        try:
            if self._poll is None:
                if self.stream is not None:
                    self.stream.write(line + "\n")
                    self.stream.flush()
                return
            if self._dropped and self._poll.poll(0):
                lost, self._dropped = self._dropped, 0
                at = datetime.now(UTC).isoformat(timespec="milliseconds")
                os.write(self._number, f'{{"at": "{at}", "event": "log.lines_dropped", "count": {lost}}}\n'.encode())
            self._write_pieces((line + "\n").encode(self.encoding, "backslashreplace"))
        except (OSError, ValueError):
            return

    def _write_pieces(self, octets: bytes) -> None:
        assert self._poll is not None
        for start in range(0, len(octets), _PIECE_OCTETS):
            if not self._poll.poll(0):
                self._dropped += 1
                return
            os.write(self._number, octets[start : start + _PIECE_OCTETS])
