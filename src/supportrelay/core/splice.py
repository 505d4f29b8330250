"""Edits on octets: what is not named by an edit stays as it was."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from supportrelay.core.headers import begins_with_field, split_headers, without_mark
from supportrelay.core.pieces import changed, count

__all__ = ["MAX_LINE", "Edit", "first_long_line", "has_clean_line_ends", "normalise_line_ends", "splice"]

MAX_LINE = 998
"""Octets in a line without its CRLF (RFC 5322 §2.1.1)."""

# Runs of CR are capped, so that a megabyte of them costs linear time.
_LINE_END = re.compile(rb"\r{0,4}\n")
_NUL_IS_SPACE = bytes(octet or 0x20 for octet in range(256))
_PIECE = 1024 * 1024
_LONE_CR = re.compile(rb"\r(?!\n)")


class Edit(NamedTuple):
    """Replace ``octets[start:end]`` by ``new``; an insertion when both are equal."""

    start: int
    end: int
    new: bytes


def splice(octets: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the octets with all edits applied.

    Edits may come in any order; insertions at one place keep the order in which they came and stand before a
    replacement that begins there.

    Raises:
        ValueError: Two edits overlap.
    """
    pieces: list[bytes] = []
    at = 0
    for start, end, new in sorted(edits, key=_place):
        if start < at:
            raise ValueError("edits overlap")
        pieces += (octets[at:start], new)
        at = end
    pieces.append(octets[at:])
    return b"".join(pieces)


def _place(edit: Edit) -> tuple[int, int]:
    return edit.start, edit.end


def first_long_line(octets: bytes, start: int = 0, end: int | None = None) -> int:
    """Return the offset of the first line over `MAX_LINE` octets between ``start`` and ``end``, -1 when there is none.

    ``start`` must be the beginning of a line. Looks at one octet in about a thousand.
    """
    stop = len(octets) if end is None else end
    at = start
    while stop - at > MAX_LINE:
        last = octets.rfind(b"\n", at, min(stop, at + MAX_LINE + 2))
        if last < 0:
            return at
        at = last + 1
    return -1


def has_clean_line_ends(octets: bytes) -> bool:
    """No line ends but CRLF, no CR or LF beside them."""
    return _is_clean_again(octets) if len(octets) <= _REMEMBERED_OCTETS else _is_clean(octets)


def _is_clean(octets: bytes) -> bool:
    return count(octets, b"\n") == count(octets, b"\r\n") == count(octets, b"\r")


# A message is asked about when it comes in and again when its copy is written, a moment later.
_REMEMBERED_OCTETS = 64 * 1024
_is_clean_again = lru_cache(maxsize=64)(_is_clean)


def normalise_line_ends(octets: bytes) -> bytes:
    """Return the octets with CRLF as the only line end and with an end of the header.

    A lone LF becomes CRLF. A lone CR becomes a space in the header, where a line end would make a new field
    (RELIABILITY C37), and CRLF in the body. NUL becomes a space in the header. A byte order mark before the header is
    dropped, for with it the first field is none. Good mail comes back as the same object.
    """
    octets = without_mark(octets)
    is_clean = has_clean_line_ends(octets)
    if not is_clean:
        octets = _with_crlf(octets)
    head_end = 0 if octets.startswith(b"\r\n") else octets.find(b"\r\n\r\n")
    if head_end < 0 or octets.find(b"\r\n--", 0, head_end) >= 0 or not (begins_with_field(octets) or not head_end):
        octets, head_end = _with_blank_line(octets, head_end)
    if not is_clean or octets.find(b"\0", 0, head_end) >= 0:
        head, body = changed(octets[:head_end], _without_nul), octets[head_end:]
        octets = head + body if is_clean else _LONE_CR.sub(b" ", head) + _LONE_CR.sub(b"\r\n", body)
    return octets


def _without_nul(octets: bytes) -> bytes:
    return octets.translate(_NUL_IS_SPACE)


def _with_crlf(octets: bytes) -> bytes:
    pieces = []
    at = 0
    while at < len(octets):
        cut = octets.find(b"\n", at + _PIECE) + 1 or len(octets)
        pieces.append(_LINE_END.sub(b"\r\n", octets[at:cut]))
        at = cut
    return b"".join(pieces)


def _with_blank_line(octets: bytes, head_end: int) -> tuple[bytes, int]:
    """The octets with a blank line where the header ends (there may be one further down, in the body)."""
    header = split_headers(octets)
    if header.is_closed:
        return octets, head_end
    at = header.end
    missing = b"\r\n" if octets.endswith(b"\n", 0, at) or not at else b"\r\n\r\n"
    return octets[:at] + missing + octets[at:], at
