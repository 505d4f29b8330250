"""Our banner cut out of a mail that goes to customers (DESIGN 3): octets in, edits out.

What lies between two marker lines goes, with the header block above it that names our sender; of a banner that is not
whole any more only what is ours by itself: a marker line, and our sentences beside it (`leftovers`). Everything else
stays octet for octet; where that cannot be promised nothing is changed, and `Cut.is_left` says that something is left.

Notes, for the trace::

    notice.cut:N             N quoted banners were cut out
    notice.rest:N            N rests of banners were cut out
    notice.kept:signed       signed (or ``encrypted``) mail stays as it is
    notice.kept:unsure       a rest that is not surely ours
    notice.kept:unreadable   its part cannot be edited without harm
    notice.kept:large        its part is over 256 KiB
    notice.kept:attached     a copy of ours is attached, which stays as it is
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from supportrelay.core.banner import nature_of
from supportrelay.core.charset import decode_text, encode_text
from supportrelay.core.html_cut import Range, ranges_to_cut
from supportrelay.core.html_lines import read_html
from supportrelay.core.leftovers import find_leftovers
from supportrelay.core.mime import MimeError, Part, decode_transfer, part_octets, read_parts, walk
from supportrelay.core.notice import find_notices, has_marker, is_banner_mark, may_hold_notice
from supportrelay.core.part_edit import CannotEdit, check_readable, ended, rewrite_base64
from supportrelay.core.splice import Edit, splice
from supportrelay.core.transfer import quoted_printable, quoted_printable_offsets
from supportrelay.core.value import value_class

__all__ = ["Cut", "cut_notices", "holds_notice"]

_MAX_OCTETS = 256 * 1024  # of a text; more would hold up other mail
_CHARSETS = ("utf-8", "cp932", "euc-jp", "iso-2022-jp", "windows-1252")
_MAX_NESTED = 3  # messages in messages; each one is read once more
_SHIELDED = frozenset({"signed", "encrypted"})


@value_class
class Cut:
    """What is to be cut.

    Attributes:
        edits: On the octets asked about.
        is_left: A banner, or a part of one, is in the mail even so.
    """

    edits: tuple[Edit, ...] = ()
    notes: tuple[str, ...] = ()
    is_left: bool = False


@value_class
class _Found:
    """Banners of one part: how many, whole ones and rests, what to change, and a word of the notes for what is left."""

    count: int = 0
    rests: int = 0
    edits: tuple[Edit, ...] = ()
    left: str = ""


def cut_notices(octets: bytes, senders: Sequence[str] = (), *, depth: int = 0) -> Cut:
    """Return what to cut out of a mail with CRLF line ends; never raises.

    Args:
        octets: A whole mail.
        senders: Our sender addresses in comparing form; a header block goes when its From names one.
        depth: Messages around it that it is attached to.
    """
    try:
        root = read_parts(octets)
    except (MimeError, RecursionError):
        return Cut()
    edits: list[Edit] = []
    left: list[str] = []
    count = rests = 0
    for part, nature in _texts(root):
        found = _in_part(octets, part, nature, senders)
        edits += found.edits
        count += found.count
        rests += found.rests
        if found.left and found.left not in left:
            left.append(found.left)
    if depth < _MAX_NESTED and _is_attached(octets, root, depth):
        left.append("attached")
    notes = [f"notice.{what}:{number}" for what, number in (("cut", count), ("rest", rests)) if number]
    return Cut(tuple(edits), (*notes, *(f"notice.kept:{why}" for why in left)), bool(left))


def holds_notice(octets: bytes, *, depth: int = 0) -> bool:
    """A banner, or a part of one, stands in a text of the mail; never raises."""
    cut = cut_notices(octets, depth=depth)
    return bool(cut.edits) or cut.is_left


def _is_attached(octets: bytes, root: Part, depth: int) -> bool:
    """Somebody forwards a copy of ours as an attachment."""
    attached = (part for part in walk(root) if part.content_type == "message/rfc822")
    return any(holds_notice(part_octets(octets, part), depth=depth + 1) for part in attached)


def _texts(part: Part, nature: str = "") -> Iterator[tuple[Part, str]]:
    """The texts of a mail that its reader sees, each with what forbids to change it; depth is bounded by `mime`."""
    if part.children:
        inside = nature or nature_of(part)
        for child in part.children:
            yield from _texts(child, inside)
    elif part.content_type in {"text/plain", "text/html"} and part.disposition != "attachment" and not part.filename:
        yield part, nature


def _in_part(octets: bytes, part: Part, nature: str, senders: Sequence[str]) -> _Found:
    if part.end - part.body_start > 2 * _MAX_OCTETS:
        return _Found(left="large" if b"SR-" in octets[part.body_start : part.end] else "")
    decoded = part_octets(octets, part)
    text = decode_text(decoded, part.charset or None)
    if not may_hold_notice(text):
        return _Found()
    if len(decoded) > _MAX_OCTETS:
        return _Found(left="large" if "SR-" in text else "")
    is_html = part.content_type == "text/html"
    shield = nature or ("signed" if text.lstrip().startswith("-----BEGIN PGP") else "")
    if shield:
        return _Found(left=(shield if shield in _SHIELDED else "unreadable") if _is_in(text, is_html=is_html) else "")
    return _cut_html(octets, part, decoded, text, senders) if is_html else _cut_plain(octets, part, decoded, senders)


def _is_in(text: str, *, is_html: bool) -> bool:
    if not is_html:
        return has_marker(text)
    view = read_html(text)
    return has_marker("\n".join(line.text for line in view.lines)) or any(is_banner_mark(e.mark) for e in view.own)


# --- text/plain


def _cut_plain(octets: bytes, part: Part, decoded: bytes, senders: Sequence[str]) -> _Found:
    """Whole lines go; each is decoded by itself, which every charset of mail allows whose LF is one octet."""
    raw = decoded.split(b"\n")
    lines = [decode_text(line, part.charset or None).rstrip("\r") for line in raw]
    notices = find_notices(lines, senders)
    rests = find_leftovers(lines, notices)
    starts = [0]
    for line in raw:
        starts.append(starts[-1] + len(line) + 1)
    found = sorted((*notices, *rests.found), key=lambda one: one.first)
    ranges = [Range(starts[n.first], min(starts[n.stop], len(decoded))) for n in found]
    left = "unsure" if rests.is_left else ""
    if not found:
        return _Found(left=left or ("unreadable" if _is_in(decode_text(decoded, part.charset), is_html=False) else ""))
    return _edited(octets, part, decoded, ranges, _Found(len(notices), len(rests.found), left=left))


# --- text/html


def _cut_html(octets: bytes, part: Part, decoded: bytes, text: str, senders: Sequence[str]) -> _Found:
    cut = ranges_to_cut(text, senders)
    left = "unsure" if cut.is_left or _is_in(_without(text, cut.ranges), is_html=True) else ""
    if not cut.ranges:
        return _Found(left=left)
    ranges = _in_octets(text, cut.ranges, decoded, part.charset)
    if ranges is None:
        return _Found(left="unreadable")
    return _edited(octets, part, decoded, ranges, _Found(cut.count, cut.rests, left=left))


def _without(text: str, cuts: Sequence[Range]) -> str:
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(text[at : cut.start])
        at = cut.end
    return "".join([*pieces, text[at:]])


def _in_octets(text: str, cuts: Sequence[Range], decoded: bytes, charset: str) -> list[Range] | None:
    """The same ranges in octets, in the charset in which the text gives just these octets; None when none does."""
    bounds = [0, *(at for cut in cuts for at in (cut.start, cut.end)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    for label in dict.fromkeys((charset, *_CHARSETS)):
        encoded = [encode_text(piece, label) for piece in pieces]
        known = [one for one in encoded if one is not None]
        if len(known) == len(pieces) and b"".join(known) == decoded:
            places = [0]
            for one in known:
                places.append(places[-1] + len(one))
            return [Range(places[i], places[i + 1]) for i in range(1, len(pieces), 2)]
    return None


# --- both


def _edited(octets: bytes, part: Part, decoded: bytes, ranges: Sequence[Range], found: _Found) -> _Found:
    """What was found with the edits that take these decoded octets out; charset and transfer encoding stay."""
    try:
        check_readable(part)
        edits = _WRITERS[part.transfer_encoding](octets, part, decoded, ranges)
    except (CannotEdit, KeyError):
        return _Found(left="unreadable")
    wanted = splice(decoded, [Edit(one.start, one.end, b"") for one in ranges])
    inside = [Edit(e.start - part.body_start, e.end - part.body_start, e.new) for e in edits]
    content = splice(octets[part.body_start : part.end], inside)
    if decode_transfer(content, part.transfer_encoding) != wanted:
        return _Found(left="unreadable")
    return _Found(found.count, found.rests, tuple(edits), found.left)


def _as_they_are(_octets: bytes, part: Part, _decoded: bytes, ranges: Sequence[Range]) -> list[Edit]:
    return [Edit(part.body_start + one.start, part.body_start + one.end, b"") for one in ranges]


def _in_quoted_printable(octets: bytes, part: Part, decoded: bytes, ranges: Sequence[Range]) -> list[Edit]:
    """The lines that hold the ranges; a cut inside a line of the encoding is joined by a soft break."""
    encoded = octets[part.body_start : part.end]
    edits = []
    places = quoted_printable_offsets(encoded, [place for one in ranges for place in (one.start, one.end)])
    for start, end in zip(places[::2], places[1::2], strict=True):
        joins = start > 0 and not encoded.endswith(b"\n", 0, start) and not encoded.startswith(b"\r\n", end)
        edits.append(Edit(part.body_start + start, part.body_start + end, b"=\r\n" if joins else b""))
    inside = [Edit(e.start - part.body_start, e.end - part.body_start, e.new) for e in edits]
    wanted = splice(decoded, [Edit(one.start, one.end, b"") for one in ranges])
    if decode_transfer(splice(encoded, inside), "quoted-printable") == wanted:
        return edits
    return [Edit(part.body_start, part.end, ended(octets, part, quoted_printable(wanted)))]


def _in_base64(octets: bytes, part: Part, decoded: bytes, ranges: Sequence[Range]) -> list[Edit]:
    wanted = splice(decoded, [Edit(one.start, one.end, b"") for one in ranges])
    return rewrite_base64(octets, part, wanted)


_WRITERS: dict[str, Callable[[bytes, Part, bytes, Sequence[Range]], list[Edit]]] = {
    "7bit": _as_they_are,
    "8bit": _as_they_are,
    "binary": _as_they_are,
    "quoted-printable": _in_quoted_printable,
    "base64": _in_base64,
}
