"""What is left of a banner that is no longer whole: a marker line without its partner, and our sentences beside it.

Only what is ours by its form or its words is found: a marker line, the lines next to it that are sentences of the
shipped banners (`notice_words`), and the people listed between two of those. All else is the author's.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from supportrelay.core.notice import Marker, Notice, bare_line, find_markers, is_broken_marker, quote_depth
from supportrelay.core.notice_words import Line, is_said, line_of
from supportrelay.core.value import value_class

__all__ = ["Leftovers", "find_leftovers"]

_REACH = 60  # lines beside one marker
_WRAPPED_OVER = 6  # lines over which one sentence may be wrapped


@value_class
class Leftovers:
    """What is left.

    Attributes:
        found: To be taken out, in order; ``stop`` is behind the last line that is ours.
        is_left: More is there that may be ours and is not sure to be.
    """

    found: tuple[Notice, ...] = ()
    is_left: bool = False


def find_leftovers(lines: Sequence[str], notices: Sequence[Notice]) -> Leftovers:
    """Return the rests of banners in these lines beside the whole ones; linear.

    Args:
        lines: As for `notice.find_notices`.
        notices: What that found.
    """
    taken = {index for notice in notices for index in range(notice.first, notice.stop)}
    markers = [one for one in find_markers(lines) if one.first not in taken]
    lone = [one for one in markers if one.names_support]
    for marker in lone:
        taken.update(range(marker.first, marker.stop))
    found: list[Notice] = []
    is_left = len(lone) < len(markers)
    for marker in lone:
        last, is_doubt = _ours_beside(lines, marker, taken)
        rest = Notice(min(last, marker.first), max(last + 1, marker.stop), marker.mark)
        found.append(rest)
        taken.update(range(rest.first, rest.stop))
        is_left = is_left or is_doubt
    return Leftovers(tuple(found), is_left or _is_more(lines, found, taken))


def _ours_beside(lines: Sequence[str], marker: Marker, taken: AbstractSet[int]) -> tuple[int, bool]:
    """The last line that is ours, below the marker that opens and above the one that closes.

    And whether people are listed behind it, who may be ours too.
    """
    step = 1 if marker.is_opening else -1
    last = marker.first if step < 0 else marker.stop - 1
    at = last + step
    is_doubt = False
    while abs(at - last) <= _REACH and 0 <= at < len(lines) and at not in taken:
        if bare_line(lines[at]):
            count, kind = _lines_at(lines, at, step, marker, taken)
            if kind == Line.OTHER:
                break
            is_doubt = kind == Line.PEOPLE
            at += step * (count - 1)
            last = last if is_doubt else at
        at += step
    return last, is_doubt


def _lines_at(lines: Sequence[str], at: int, step: int, marker: Marker, taken: AbstractSet[int]) -> tuple[int, Line]:
    """How many lines from here on make one of ours, and of what kind."""
    joined: list[str] = []
    alone = Line.OTHER
    for count in range(1, _WRAPPED_OVER + 1):
        index = at + step * (count - 1)
        bare = bare_line(lines[index]) if 0 <= index < len(lines) and index not in taken else ""
        if not bare:
            break
        joined = [bare, *joined] if step < 0 else [*joined, bare]
        if count == 1:
            alone = line_of(joined, marker.mark)
        if _is_one_sentence(joined, marker.mark):
            return count, Line.SENTENCE
    is_listed = alone == Line.PEOPLE and quote_depth(lines[at]) == quote_depth(lines[marker.first])
    return 1, Line.PEOPLE if is_listed else Line.OTHER


def _is_one_sentence(lines: Sequence[str], mark: str) -> bool:
    """These lines together, and not the first of them already: what follows one is somebody else's."""
    if line_of(lines, mark) != Line.SENTENCE:
        return False
    return all(line_of(lines[:count], mark) != Line.SENTENCE for count in range(1, len(lines)))


def _is_more(lines: Sequence[str], found: Sequence[Notice], taken: AbstractSet[int]) -> bool:
    """Sentences of ours near by, or a marker line that is no longer one."""
    looked_at = -1
    for notice in found:
        for index in range(max(looked_at + 1, notice.first - _REACH), min(len(lines), notice.stop + _REACH)):
            looked_at = index
            if index not in taken and is_said(bare_line(lines[index])):
                return True
    return any(index not in taken and is_broken_marker(line) for index, line in enumerate(lines))
