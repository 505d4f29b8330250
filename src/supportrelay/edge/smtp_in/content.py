"""From the octets after DATA to the message: where it ends, what it holds.

Only CRLF.CRLF ends a message, whatever else looks like an end to somebody (SMTP smuggling, RELIABILITY C10). Octets go
in as they come, so a line may be as long as the message (C16). Work is linear; a large message waits on disk, so that
memory stays flat (C17, C18), and beyond the limit nothing is kept.
"""

from pathlib import Path

from supportrelay.core.pieces import changed
from supportrelay.core.splice import has_clean_line_ends
from supportrelay.edge.smtp_in.spool import Spool

__all__ = ["HOPS_LIMIT", "ContentReader", "count_received"]

HOPS_LIMIT = 50

_END = b"\r\n.\r\n"
_LAST_LINE = len(_END) - 2  # the dot and its CRLF
_OVERLAP = len(_END) - 1
_PIECE = 1 << 18
_HEADER_LIMIT = 1 << 20


class ContentReader:
    """Collects one message. `feed` it until it returns what came after the end.

    Args:
        limit_octets: More is forgotten as it comes.
        folder: Where a large message waits on disk; whenever it `wants_to_write`, call `write_piece` before the next
            `feed`. None: everything stays in memory.

    Attributes:
        size_octets: Octets seen so far.
        is_too_large: More than ``limit`` came; what came was forgotten.
        failure: Why the disk did not take it; what came was forgotten.
    """

    __slots__ = ("_buffer", "_context", "_folder", "_limit", "_spool", "failure", "is_too_large", "size_octets")

    def __init__(self, limit_octets: int, folder: Path | None = None) -> None:
        # The CRLF that ended the DATA line counts: a dot right after it is the empty message.
        self._buffer = bytearray(b"\r\n")
        self._context = 2  # octets in front that are not to be kept: 2 at the beginning of a line, 0 inside one
        self._limit = limit_octets
        self._folder = folder
        self._spool: Spool | None = None
        self.size_octets = 0
        self.is_too_large = False
        self.failure: OSError | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Take the next octets; None while the end has not come, else what came after it."""
        buffer = self._buffer
        searched = max(0, len(buffer) - _OVERLAP)
        buffer += data
        self.size_octets += len(data)
        end = buffer.find(_END, searched)
        if end >= 0:
            rest = bytes(buffer[end + len(_END) :])
            self.size_octets -= len(rest)
            del buffer[end + 2 :]
            self.is_too_large = self.is_too_large or self.size_octets - _LAST_LINE > self._limit
            return rest
        if self.is_too_large or self.failure or self.size_octets > self._limit + _LAST_LINE:
            self.is_too_large = self.is_too_large or not self.failure
            self._spool = None
            del buffer[:-_OVERLAP]
        return None

    @property
    def wants_to_write(self) -> bool:
        """As much is in memory as shall be."""
        return self._folder is not None and len(self._buffer) > _PIECE

    def write_piece(self) -> None:
        """Write most of what is in memory to the disk, in its final form. Blocks; never raises."""
        buffer = self._buffer
        cut = buffer.rfind(b"\r\n", self._context)
        is_line = cut >= 0
        if not is_line:  # inside a long line, not between CR and LF
            cut = len(buffer) - buffer.endswith(b"\r")
        piece = bytes(memoryview(buffer)[self._context : cut + 2 * is_line])
        try:
            if self._spool is None:
                assert self._folder is not None
                self._spool = Spool(self._folder)
            self._spool.write(_final(piece, is_line_start=bool(self._context)))
        except OSError as exc:
            self.failure = exc
            self._spool = None
        del buffer[:cut]
        self._context = 2 * is_line

    def octets(self) -> bytes:
        """The message: dots unstuffed (RFC 5321 §4.5.2), stray CR and LF made CRLF, each exactly once.

        Afterwards the reader is empty. Cost is linear, about 3 ms a MiB; call it in a thread for large ones.

        Raises:
            OSError: The disk does not take or give it.
        """
        octets = bytes(memoryview(self._buffer)[self._context :])
        self._buffer = bytearray()
        octets = _final(octets, is_line_start=bool(self._context))
        if self.failure is not None:
            raise self.failure
        if self._spool is None:
            return octets
        spool, self._spool = self._spool, None
        spool.write(octets)
        octets = spool.read()
        spool.close()
        return octets


def _final(octets: bytes, *, is_line_start: bool) -> bytes:
    if is_line_start and octets.startswith(b"."):
        octets = octets[1:]
    octets = changed(octets, _unstuffed)
    if has_clean_line_ends(octets):
        return octets
    # A reader further on may take a bare LF for a line end and its dot for the end: leave none (C10, C11, D27).
    return changed(octets, _with_crlf)


def _unstuffed(octets: bytes) -> bytes:
    return octets.replace(b"\r\n.", b"\r\n")


def _with_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def count_received(octets: bytes) -> int:
    """How many Received fields stand in the header (its first MiB), counted on the octets."""
    end = octets.find(b"\r\n\r\n", 0, _HEADER_LIMIT)
    header = octets[: end if end >= 0 else _HEADER_LIMIT].lower()
    return header.count(b"\r\nreceived:") + header.startswith(b"received:")
