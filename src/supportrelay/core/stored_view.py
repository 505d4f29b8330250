"""What a ticket shows of a mail: its author's words, without our banner and without the quoted history (RULES 6).

A view made when somebody looks; the mail as received stays what it is. Nothing is left out when it is not sure that
it is a quotation: answers between quoted lines, forwarded mail and what no rule here knows are shown whole.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from supportrelay.core.charset import codec_name, decode_text
from supportrelay.core.headers import field_value, split_headers
from supportrelay.core.html_lines import read_html
from supportrelay.core.mime import MimeError, Part, decode_transfer, read_parts
from supportrelay.core.notice import find_notices, may_hold_notice
from supportrelay.core.quote_heads import (
    BLOCK_LINE,
    FORWARD_HEAD,
    QUOTE_MARKS,
    SEPARATOR,
    begins_attribution,
    begins_block,
    is_attribution,
    is_quoted,
)
from supportrelay.core.reading import body_parts, part_beginning
from supportrelay.core.subject import has_forward_prefix
from supportrelay.core.value import value_class

__all__ = ["stored_view", "text_view"]

_MAX_CHARACTERS = 256 * 1024
_MAX_HEAD_OCTETS = 4096  # as it is encoded; Outlook's <meta> stands in the first kilobyte
_META = re.compile(rb"<meta\s[^<>]{0,200}?\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
# UTF-7 is not interpreted in HTML, and what was read octet by octet up to here is not UTF-16.
_NEVER_NAMED = frozenset({"utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"})
_LEAST_SHARE = 0.02  # of a mail; a view with less than that shows it whole (RULES 6, taking out 5)
_ABOVE = 3  # lines over which an attribution is wrapped
_RULE = re.compile(r"[_\-=*]{8,}")
_NAMED_BY_PROGRAM = re.compile(r"\S@\S|\d{1,2}[:.]\d\d")
# The author says that his answers stand in the quotation, which some programs do not mark.
_ANSWERS_INSIDE = re.compile(
    r"インライン|赤字|青字|(?:本文|文|メール)中に|行内に|\binline\b|\bin (?:red|blue|green)\b|\bin the text below\b|"
    r"\bbetween the lines\b|\bim Text\b|\bin (?:rot|blau)\b|\ben (?:rouge|bleu)\b|\bdans le texte\b|"
    r"\bna (?:czerwono|niebiesko)\b|\bw treści\b",
    re.IGNORECASE,
)


@value_class
class _Head:
    """Where a quotation begins: ``lines[first:stop]`` announce it.

    Attributes:
        is_rest: All below is quoted, marked line by line or not.
        is_sure: It names an address or a time, as programs do; people write "on the 3rd he wrote:" too.
    """

    first: int
    stop: int
    is_rest: bool
    is_sure: bool = True


def stored_view(octets: bytes) -> str:
    """Return the words of a mail's author as text with LF; the whole text when nothing else is sure. Never raises."""
    try:
        root = read_parts(octets)
    except MimeError:
        header = split_headers(octets)
        return text_view(decode_text(octets[header.end :][: 4 * _MAX_CHARACTERS], None))
    subject = root.header.first("subject")
    is_forward = subject is not None and has_forward_prefix(field_value(subject))
    plain, html, _ = body_parts(root)
    text = part_beginning(octets, plain) if plain else ""
    if html and not text.strip():
        return _html_view(_text_of_html(octets, html), is_forward=is_forward)
    return text_view(text, is_forward=is_forward)


def text_view(text: str, *, is_forward: bool = False) -> str:
    """The same for a plain text.

    Args:
        is_forward: Its subject says that it forwards: nothing but our banner is left out.
    """
    text = text[:_MAX_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return _view(text.split("\n"), None, is_forward=is_forward)


def _text_of_html(octets: bytes, part: Part) -> str:
    """The HTML, in the charset that it names itself where the part's header names none (HTML, "prescan")."""
    if codec_name(part.charset):
        return part_beginning(octets, part)
    beginning = octets[part.body_start : min(part.end, part.body_start + _MAX_HEAD_OCTETS)]
    named = _META.search(decode_transfer(beginning, part.transfer_encoding))
    label = named[1].decode("ascii") if named else ""
    if not codec_name(label) or codec_name(label) in _NEVER_NAMED:
        return part_beginning(octets, part)
    return part_beginning(octets, replace(part, charset=label))


def _html_view(html: str, *, is_forward: bool) -> str:
    view = read_html(html[:_MAX_CHARACTERS])
    lines = ["> " * line.depth + line.text for line in view.lines]
    return _view(lines, view.quote_at, is_forward=is_forward)


def _view(lines: list[str], sign_at: int | None, *, is_forward: bool) -> str:
    whole = "\n".join(lines).strip()
    if may_hold_notice(whole):
        lines, sign_at = _without_notices(lines, sign_at)
    text = "\n".join(lines).strip()
    if is_forward or not text:
        return text or whole
    head = _find_head(lines) or _head_by_sign(lines, sign_at)
    own = _own_lines(lines, head) if head else lines[: _quoted_end(lines)]
    view = "\n".join(own).strip()
    return view if len(view) >= _LEAST_SHARE * len(text) and view else text


def _without_notices(lines: list[str], sign_at: int | None) -> tuple[list[str], int | None]:
    kept: list[str] = []
    at = 0
    before = 0
    for notice in find_notices(lines):
        kept += lines[at : notice.first]
        if sign_at is not None and notice.stop <= sign_at:
            before += notice.stop - notice.first
        at = notice.stop
    kept += lines[at:]
    return kept, None if sign_at is None else min(sign_at - before, len(kept))


# --- where the quotation begins


def _find_head(lines: Sequence[str]) -> _Head | None:
    """The first head that a mail program wrote, outside quoted lines; None for a forward, which is shown whole."""
    for index, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare[0] in QUOTE_MARKS:
            continue
        if bare[0] in "-<＜" and SEPARATOR.match(bare):
            if FORWARD_HEAD.match(bare):
                return _Head(len(lines), len(lines), is_rest=True)
            return _Head(_rule_above(lines, index), _after_block(lines, index + 1), is_rest=True)
        if ":" not in bare and "：" not in bare:
            continue
        if FORWARD_HEAD.match(bare):
            return _Head(len(lines), len(lines), is_rest=True)
        if begins_block(lines, index):
            return _Head(_rule_above(lines, index), _after_block(lines, index), is_rest=True)
        if bare[-1] in ":：" and is_attribution(lines, index):
            first = _attribution_start(lines, index)
            is_sure = any(_NAMED_BY_PROGRAM.search(one) for one in lines[first : index + 1])
            return _Head(first, index + 1, is_rest=False, is_sure=is_sure)
    return None


def _head_by_sign(lines: Sequence[str], sign_at: int | None) -> _Head | None:
    """Where the HTML says that a quotation begins, for heads in other languages."""
    if sign_at is None or not any(line.strip() for line in lines[:sign_at]):
        return None
    stop = sign_at
    while stop < min(len(lines), sign_at + _ABOVE) and lines[stop].strip() and not is_quoted(lines[stop]):
        stop += 1
    has_quotation = any(is_quoted(line) for line in lines[stop : stop + 2])
    return _Head(sign_at, stop if has_quotation else sign_at, is_rest=not has_quotation)


def _attribution_start(lines: Sequence[str], index: int) -> int:
    for first in range(index, max(-1, index - _ABOVE), -1):
        if not lines[first].strip():
            break
        if begins_attribution(lines[first]):
            return first
    return index


def _rule_above(lines: Sequence[str], index: int) -> int:
    """Outlook draws a line above its header block."""
    above = index - 1
    while above > 0 and index - above < _ABOVE and not lines[above].strip():
        above -= 1
    return above if above >= 0 and _RULE.fullmatch(lines[above].strip()) else index


def _after_block(lines: Sequence[str], index: int) -> int:
    """Behind the lines of a header block and the empty ones after it."""
    stop = index
    while stop < len(lines) and (not lines[stop].strip() or BLOCK_LINE.match(lines[stop])):
        stop += 1
    return stop


# --- what stays


def _own_lines(lines: list[str], head: _Head) -> list[str]:
    """The lines that are not the quotation's; all of them when it holds answers, or may."""
    above, below = lines[: head.first], lines[head.stop :]
    quoted = [index for index, line in enumerate(below) if is_quoted(line)]
    others = [index for index, line in enumerate(below) if line.strip() and not is_quoted(line)]
    first_words = next((line for line in below if line.strip()), "")
    if not (quoted and is_quoted(first_words)):
        if others and _ANSWERS_INSIDE.search("\n".join(above)):
            return lines
        return above if head.is_rest or (not quoted and head.is_sure) else lines
    if not others:
        return above
    if others[0] > quoted[-1]:
        return [*above, "", *below[quoted[-1] + 1 :]]
    return lines


def _quoted_end(lines: Sequence[str]) -> int:
    """Where the quoted lines begin that end a mail without any head; its length when they do not end it."""
    end = len(lines)
    while end > 0 and (not lines[end - 1].strip() or is_quoted(lines[end - 1])):
        end -= 1
    has_quotes_above = any(is_quoted(line) for line in lines[:end])
    return len(lines) if has_quotes_above or end == 0 else end
