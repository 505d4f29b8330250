"""What to cut out of an HTML text so that a banner is gone and every tag still has its partner."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from supportrelay.core.html_lines import HtmlLine, HtmlView, read_html
from supportrelay.core.leftovers import find_leftovers
from supportrelay.core.notice import find_notices, is_banner_mark
from supportrelay.core.value import value_class

__all__ = ["HtmlCut", "Range", "ranges_to_cut"]

_TAG = re.compile(r"<!--.{0,1000}?-->|<(?P<closing>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:]{0,30})(?:[\s/][^<>]*)?>", re.DOTALL)
_LAST_TAG = re.compile(r"<(?P<closing>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:]{0,30})(?:[\s/][^<>]*)?>\Z")
_BLANK = re.compile(r"(?:\s|&nbsp;|\u00a0|<o:p>(?:\s|&nbsp;|\u00a0)*+</o:p>)*+")
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "wbr", "col"})
_GOES_WHEN_EMPTY = frozenset({"div", "p", "span", "font", "b", "i", "o:p", "pre"})
_DROPPED_ALONE = frozenset({"br", "img", "a", "hr"})
_OWN_ATTRIBUTE = re.compile(
    r"\s+(?:data-supportrelay\s*=\s*(?:\"[^\"<>]{0,40}\"|'[^'<>]{0,40}'|[^\s\"'<>]{1,40})"
    r"|(?:class|id)\s*=\s*([\"']?)supportrelay-banner\1(?=[\s/>]))",
    re.IGNORECASE,
)
_LONGEST = 48 * 1024  # of a banner with all that Outlook writes around each word
_MAX_SHELLS = 100  # elements of ours that are looked into
_REACH = 4096  # characters of a tag, or of white space between two


class Range(NamedTuple):
    """``[start:end]`` of a text or of octets."""

    start: int
    end: int


@value_class
class HtmlCut:
    """What to cut out of an HTML text.

    Attributes:
        ranges: In order and apart from each other.
        count: Whole banners among that; ``rests`` counts what was left of others.
        is_left: More is there that may be ours and is not sure to be.
    """

    ranges: tuple[Range, ...] = ()
    count: int = 0
    rests: int = 0
    is_left: bool = False


def ranges_to_cut(html: str, senders: Sequence[str]) -> HtmlCut:
    """Return what to cut.

    A banner goes with the elements that hold nothing else. Where it begins in one element and ends in another, its
    words, line breaks, pictures and links go and the other tags stay. An element of ours that is empty goes, and from
    one that holds words of somebody else only what names us.
    """
    view = read_html(html)
    lines = [">" * line.depth + " " * bool(line.depth) + line.text for line in view.lines]
    notices = find_notices(lines, senders)
    rests = find_leftovers(lines, notices)
    found: list[Range] = []
    count = rest_count = 0
    for notice in sorted((*notices, *rests.found), key=lambda one: one.first):
        visible = [line for line in view.lines[notice.first : notice.stop] if line.text]
        if visible[-1].end - visible[0].start <= _LONGEST:
            found += _of_lines(html, visible)
            count += notice in notices
            rest_count += notice not in notices
    cuts = _apart(sorted(found))
    shells, shell_count = _shells(html, view, cuts)
    return HtmlCut(tuple(_apart(sorted([*cuts, *shells]))), count, rest_count + shell_count, rests.is_left)


# --- what names us in tags


def _shells(html: str, view: HtmlView, cuts: Sequence[Range]) -> tuple[list[Range], int]:
    """Elements of ours that hold nothing any more, the attributes by which the other ones are known, and how many."""
    own = [Range(one.start, one.end) for one in view.own if is_banner_mark(one.mark)]
    looked_at = [one for one in own if one.end - one.start <= _LONGEST][:_MAX_SHELLS]
    empty = [one for one in looked_at if not _is_within(one, cuts) and _is_empty(html, one, cuts)]
    gone = _apart(sorted([*cuts, *empty]))
    tags = [Range(start, end) for start, end, mark in view.own_tags if is_banner_mark(mark)]
    kept = [tag for tag in tags if not _is_within(tag, gone)]
    names = [Range(found.start(), found.end()) for tag in kept for found in _OWN_ATTRIBUTE.finditer(html, *tag)]
    return [*empty, *names], len(empty) + len(kept)


def _is_within(one: Range, ranges: Sequence[Range]) -> bool:
    """Of ranges in order."""
    at = bisect_left(ranges, one.end, key=lambda other: other.end)
    return at < len(ranges) and ranges[at].start <= one.start


def _is_empty(html: str, element: Range, cuts: Sequence[Range]) -> bool:
    """Nothing is seen of it without what is cut, and no tag in it lacks its partner."""
    pieces, at = [], element.start
    for cut in cuts[bisect_left(cuts, element.start, key=lambda one: one.end) :]:
        if cut.start >= element.end:
            break
        if cut.start < element.start or cut.end > element.end:
            return False
        pieces.append(html[at : cut.start])
        at = cut.end
    rest = "".join([*pieces, html[at : element.end]])
    if _unmatched(rest, Range(0, len(rest))) != ([], []) or "<!--" in rest:
        return False
    names = {(tag["name"] or "").lower() for tag in _TAG.finditer(rest)}
    return names <= _GOES_WHEN_EMPTY | {"br"} and not _TAG.sub("", rest).replace("&nbsp;", "").strip()


def _apart(ranges: Sequence[Range]) -> list[Range]:
    out: list[Range] = []
    for one in ranges:
        if out and one.start < out[-1].end:
            out[-1] = Range(out[-1].start, max(out[-1].end, one.end))
        elif one.start < one.end:
            out.append(one)
    return out


def _of_lines(html: str, visible: Sequence[HtmlLine]) -> list[Range]:
    inner = Range(visible[0].start, visible[-1].end)
    whole = _balanced(html, inner)
    return [_with_empty_elements(html, whole)] if whole else _words_only(html, inner)


def _balanced(html: str, inner: Range) -> Range | None:
    """The range with the tags right around it that its own tags lack; None when these do not stand there."""
    closers, openers = _unmatched(html, inner)
    start, end = inner
    for name in closers:
        tag = _tag_before(html, start)
        if tag is None or tag[1] or tag[2] != name:
            return None
        start = tag[0]
    for name in reversed(openers):
        following = _tag_after(html, end)
        if following is None or not following[1] or following[2] != name:
            return None
        end = following[0]
    return Range(start, end)


def _unmatched(html: str, inner: Range) -> tuple[list[str], list[str]]:
    """Names of closing tags without their opening ones, and of opening tags without their closing ones, in order."""
    closers: list[str] = []
    openers: list[str] = []
    for tag in _TAG.finditer(html, inner.start, inner.end):
        name = (tag["name"] or "").lower()
        if not name or name in _VOID or tag[0].endswith("/>"):
            continue
        if not tag["closing"]:
            openers.append(name)
        elif openers and openers[-1] == name:
            openers.pop()
        else:
            closers.append(name)
    return closers, openers


def _tag_before(html: str, at: int) -> tuple[int, bool, str] | None:
    """``(start, is closing, name)`` of the tag that ends here, white space between."""
    near = _without_blank_end(html[max(0, at - _REACH) : at])
    opened = near.rfind("<")
    tag = _LAST_TAG.match(near, opened) if opened >= 0 else None
    if tag is None:
        return None
    return max(0, at - _REACH) + opened, bool(tag["closing"]), tag["name"].lower()


def _without_blank_end(text: str) -> str:
    """The text without the white space at its end; an expression that looks for that takes quadratic time."""
    kept = text.rstrip()
    while kept.endswith("&nbsp;"):
        kept = kept.removesuffix("&nbsp;").rstrip()
    return kept


def _tag_after(html: str, at: int) -> tuple[int, bool, str] | None:
    """``(end, is closing, name)`` of the tag that begins here, white space between."""
    blank = _BLANK.match(html, at, at + _REACH)
    tag = _TAG.match(html, blank.end() if blank else at, at + _REACH)
    if tag is None or not tag["name"]:
        return None
    return tag.end(), bool(tag["closing"]), tag["name"].lower()


def _with_empty_elements(html: str, inner: Range) -> Range:
    """With the elements that would be empty, our own <div> first of all."""
    start, end = inner
    while True:
        before, after = _tag_before(html, start), _tag_after(html, end)
        if before is None or after is None or before[1] or not after[1]:
            return Range(start, end)
        if before[2] != after[2] or before[2] not in _GOES_WHEN_EMPTY:
            return Range(start, end)
        start, end = before[0], after[0]


def _words_only(html: str, inner: Range) -> list[Range]:
    out: list[Range] = []
    at = inner.start
    for tag in _TAG.finditer(html, inner.start, inner.end):
        out.append(Range(at, tag.start()))
        if (tag["name"] or "").lower() in _DROPPED_ALONE:
            out.append(Range(tag.start(), tag.end()))
        at = tag.end()
    out.append(Range(at, inner.end))
    return [one for one in out if html[one.start : one.end].strip()]
