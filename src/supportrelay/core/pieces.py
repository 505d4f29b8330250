"""Work on large octets piece by piece.

One call of C over fifty megabytes keeps the interpreter lock for all its time, in a thread too, and nothing else goes
on meanwhile. Between two pieces others get their turn. Small octets are one piece.
"""

from collections.abc import Callable

__all__ = ["changed", "count", "find"]

_PIECE = 1024 * 1024
_CR = 0x0D


def count(octets: bytes, wanted: bytes) -> int:
    """How often ``wanted``, of one or two different octets, stands in ``octets``."""
    if len(octets) <= _PIECE:
        return octets.count(wanted)
    beyond = len(wanted) - 1
    return sum(octets.count(wanted, at, at + _PIECE + beyond) for at in range(0, len(octets), _PIECE))


def find(octets: bytes, wanted: bytes, start: int, end: int) -> int:
    """Where ``wanted`` first stands between ``start`` and ``end``, -1 when it does not."""
    while end - start > _PIECE:
        found = octets.find(wanted, start, start + _PIECE)
        if found >= 0:
            return found
        start += _PIECE - len(wanted) + 1
    return octets.find(wanted, start, end)


def changed(octets: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The octets with ``change`` made; no piece ends inside of a CRLF, nor between one and what follows it."""
    if len(octets) <= _PIECE:
        return change(octets)
    pieces = []
    at = 0
    while at < len(octets):
        cut = octets.find(b"\r\n", at + _PIECE, at + 2 * _PIECE)
        if cut < 0:
            cut = min(at + 2 * _PIECE, len(octets))
            cut -= octets[cut - 1] == _CR and cut < len(octets)
        pieces.append(change(octets[at:cut]))
        at = cut
    return b"".join(pieces)
