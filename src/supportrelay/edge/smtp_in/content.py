"""From the octets after DATA to the message: where it ends, what it holds.

Only CRLF.CRLF ends a message, whatever else looks like an end to somebody (SMTP smuggling, RELIABILITY C10). Octets go
in as they come, so a line may be as long as the message (C16). Work and memory are linear; beyond the limit nothing is
kept.
"""

from supportrelay.core.pieces import changed
from supportrelay.core.splice import has_clean_line_ends

__all__ = ["HOPS_LIMIT", "ContentReader", "count_received"]

HOPS_LIMIT = 50

_END = b"\r\n.\r\n"
_OVERLAP = len(_END) - 1
_HEADER_LIMIT = 1 << 20


class ContentReader:
    """Collects one message. `feed` it until it returns what came after the end.

    Attributes:
        size_octets: Octets seen so far.
        is_too_large: More than ``limit`` came; what came was forgotten.
    """

    __slots__ = ("_buffer", "_limit", "is_too_large", "size_octets")

    def __init__(self, limit_octets: int) -> None:
        # The CRLF that ended the DATA line counts: a dot right after it is the empty message.
        self._buffer = bytearray(b"\r\n")
        self._limit = limit_octets
        self.size_octets = 0
        self.is_too_large = False

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
            # The buffer holds two octets more than the message: the CRLF in front.
            self.is_too_large = self.is_too_large or len(buffer) - 2 > self._limit
            return rest
        if self.is_too_large or len(buffer) > self._limit + len(_END):
            self.is_too_large = True
            del buffer[:-_OVERLAP]
        return None

    def octets(self) -> bytes:
        """The message: dots unstuffed (RFC 5321 §4.5.2), stray CR and LF made CRLF, each exactly once.

        Afterwards the reader is empty. Cost is linear, about 3 ms a MiB; call it in a thread for large ones.
        """
        octets = bytes(memoryview(self._buffer)[2:])
        self._buffer = bytearray()
        if octets.startswith(b"."):
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
