"""Our own banner, found again in a text that quotes it: three levels deep, re-wrapped, escaped (RULES 6, taking out 1).

A banner stands between two marker lines that carry the same mark (``SR-12-0f3a9c``: ticket and check code). A mail
program that translates what it quotes leaves dashes and mark alone, so the words between are not asked for.
"""

import re
from collections.abc import Sequence
from unicodedata import east_asian_width

from supportrelay.core.quote_heads import begins_block
from supportrelay.core.value import value_class

__all__ = [
    "Marker",
    "Notice",
    "bare_line",
    "find_markers",
    "find_notices",
    "has_marker",
    "is_banner_mark",
    "is_broken_marker",
    "may_hold_notice",
    "quote_depth",
]

_D = "\\-‐‑‒–—―─━ー−"
_MARK = r"SR\s?-\s?\d{1,12}\s?-\s?[0-9a-f]{6}(?![0-9a-z])"
_MARKER = re.compile(
    rf"[{_D}]{{2,20}}\s{{0,3}}(?P<words>[^{_D}()（）<>@]{{0,60}}?)\s{{0,3}}"
    rf"(?P<mark>{_MARK}|(?<![0-9a-zA-Z])[0-9a-f]{{6}}(?![0-9a-z]))"
    rf"\s{{0,3}}(?P<hint>[（(][^（）()]{{0,200}}[）)])?\s{{0,3}}[{_D}]{{2,20}}(?:\n[{_D}]{{1,20}}(?=\n|\Z))?"
)
# The mark itself, maybe with a line's end and quotation marks in it, or the word before one without a ticket. Nearly
# every mail says "support".
_GAP = r"[\s>＞|]{0,12}+"
_SIGN = re.compile(
    rf"SR{_GAP}-{_GAP}\d{{1,12}}{_GAP}-{_GAP}[0-9a-f]{{6}}|data-supportrelay|"
    r"(?i:support)[^<>@]{1,60}?(?<![0-9a-zA-Z])[0-9a-f]{6}(?![0-9a-z])"
)
_SHOWN_MARK = re.compile(_MARK)
_RULE_BESIDE = re.compile(rf"[{_D}]{{2}}|[‒–—―─━ー−]")
_IS_MARK = re.compile(r"(?:SR-\d{1,12}-)?[0-9a-f]{6}")
_WRAP_WIDTHS = range(50, 101)  # columns of a line that may have been wrapped: what follows is the rest of it
_QUOTED = re.compile(r"[ \t\u3000\u00a0]*+(?:(?:>|＞|&gt;|\|)[ \t\u3000\u00a0]*+)*+")
_WRAPPED_OVER = 6  # lines over which one marker may be wrapped
_MAX_LINES = 90  # a banner with ten long addresses in each list, wrapped at 60 columns and quoted
_BLOCK_REACH = 14  # lines of a header block above the banner, with its addresses wrapped
_BLANKS_BETWEEN = 4


@value_class
class Notice:
    """A banner in a list of lines: ``lines[first:stop]``.

    Attributes:
        first: With the quoted header block above it, when that names one of our senders.
        stop: With the empty line that follows a banner.
        mark: As the marker shows it, without spaces.
    """

    first: int
    stop: int
    mark: str


@value_class
class Marker:
    """A marker line: ``lines[first:stop]``, for it may be wrapped.

    Attributes:
        is_opening: It says what to do, as the first of the two does.
        names_support: It holds the word that each of ours holds.
    """

    first: int
    stop: int
    mark: str
    is_opening: bool
    names_support: bool


def is_banner_mark(text: str) -> bool:
    """The value of a banner's ``data-supportrelay``."""
    return _IS_MARK.fullmatch(text.strip()) is not None


def bare_line(line: str) -> str:
    """The line without quotation marks and the spaces around them, escaped ones (``&gt;``) too."""
    found = _QUOTED.match(line)
    return line[found.end() :].rstrip() if found else line.rstrip()


def quote_depth(line: str) -> int:
    """How often a line is quoted by its marks."""
    found = _QUOTED.match(line)
    return sum(found[0].count(mark) for mark in (">", "＞", "&gt;", "|")) - found[0].count("&gt;") if found else 0


def may_hold_notice(text: str) -> bool:
    """A quick look that says no to nearly every text."""
    return ("SR" in text or "upport" in text) and _SIGN.search(text) is not None


def has_marker(text: str) -> bool:
    """A marker line stands in the text, whatever is left of its banner."""
    return may_hold_notice(text) and bool(find_markers(text.split("\n")))


def is_broken_marker(line: str) -> bool:
    """The line holds a mark as a marker line does, but is none: its dashes are cut, or words stand before it."""
    if "SR" not in line or "support" not in line.casefold():
        return False
    found = _SHOWN_MARK.search(line)
    return found is not None and any(
        _RULE_BESIDE.search(piece) for piece in (line[: found.start()], line[found.end() :])
    )


def find_notices(lines: Sequence[str], senders: Sequence[str] = ()) -> list[Notice]:
    """Return the banners in these lines, in order; linear.

    Args:
        lines: Without line ends, as the reader sees them.
        senders: Our sender addresses in comparing form: a header block right above a banner goes with it when its From
            names one of these.
    """
    markers = find_markers(lines)
    found: list[Notice] = []
    at = 0
    while at < len(markers):
        opening = markers[at]
        closing = markers[at + 1] if at + 1 < len(markers) else None
        at += 1
        if closing is None or not _belong_together(opening, closing) or _has_answer(lines, opening, closing):
            continue
        at += 1
        floor = found[-1].stop if found else 0
        first = _with_header_block(lines, opening.first, senders, floor)
        stop = closing.stop
        if stop < len(lines) and not bare_line(lines[stop]):
            stop += 1
        found.append(Notice(first, stop, opening.mark))
    return found


def _belong_together(opening: Marker, closing: Marker) -> bool:
    return opening.mark == closing.mark and not closing.is_opening and closing.first - opening.first <= _MAX_LINES


def _has_answer(lines: Sequence[str], opening: Marker, closing: Marker) -> bool:
    """Words between the markers that are quoted less deeply: somebody wrote there, unless a line was wrapped."""
    depth = quote_depth(lines[opening.first])
    if not depth:
        return False
    before = lines[opening.first]
    for line in lines[opening.first + 1 : closing.stop]:
        if line.strip() and quote_depth(line) < depth and _columns(before) not in _WRAP_WIDTHS:
            return True
        before = line
    return False


def _columns(line: str) -> int:
    """Width of a line; East Asian letters take two columns."""
    return len(line) if line.isascii() else sum(1 + (east_asian_width(c) in "WF") for c in line)


def find_markers(lines: Sequence[str]) -> list[Marker]:
    """Return the marker lines, in order; linear."""
    found: list[Marker] = []
    index = 0
    while index < len(lines):
        marker = _marker_at(lines, index)
        if marker is not None:
            found.append(marker)
        index = marker.stop if marker else index + 1
    return found


def _marker_at(lines: Sequence[str], index: int) -> Marker | None:
    """The marker that begins this line; it ends a line too, maybe one of the next."""
    line = bare_line(lines[index])
    if line[:1] not in _D or not line:
        return None
    window = "\n".join([line, *map(bare_line, lines[index + 1 : index + _WRAPPED_OVER])])[:2000]
    match = _MARKER.match(window)
    if match is None or window[match.end() : match.end() + 1] not in {"", "\n"}:
        return None
    mark = "".join(match["mark"].split())
    names_support = "support" in match["words"].casefold()
    if not mark.startswith("SR-") and not names_support:
        return None
    return Marker(index, index + 1 + match[0].count("\n"), mark, match["hint"] is not None, names_support)


def _with_header_block(lines: Sequence[str], first: int, senders: Sequence[str], floor: int) -> int:
    """Where the header block above a banner begins, when it is one of a copy of ours; else where the banner does."""
    if not senders:
        return first
    below = first
    while below > floor and first - below < _BLANKS_BETWEEN and not bare_line(lines[below - 1]):
        below -= 1
    for top in range(below - 1, max(floor, below - _BLOCK_REACH) - 1, -1):
        line = bare_line(lines[top])
        if not line:
            return first
        if any(sender in line.lower() for sender in senders) and begins_block(lines, top):
            return top
    return first
