"""Header fields on raw octets: find them, read them, write new ones. Every other octet stays as it was."""

import re
from typing import NamedTuple

from supportrelay.core.charset import decode_text
from supportrelay.core.encoded_word import decode_words, encode_words, one_line

__all__ = [
    "HeaderBlock",
    "HeaderField",
    "begins_with_field",
    "field_value",
    "fields_named",
    "fold_field",
    "raw_value",
    "split_headers",
    "without_mark",
]


class HeaderField(NamedTuple):
    """One header field.

    Attributes:
        name: Lower case; "" for a line that is no header field (kept, so that nothing is lost).
        raw: The octets with every line end.
        start: Offset of ``raw`` in the message.
    """

    name: str
    raw: bytes
    start: int


class HeaderBlock(NamedTuple):
    """A header block.

    Attributes:
        fields: In order. Their ``raw`` joined is the block without the blank line.
        end: Offset of the body, after the blank line.
        is_closed: There was a blank line.
    """

    fields: tuple[HeaderField, ...]
    end: int
    is_closed: bool = True

    def all(self, name: str) -> list[HeaderField]:
        """The fields of that (lower-case) name, in order."""
        return [f for f in self.fields if f.name == name]

    def first(self, name: str) -> HeaderField | None:
        """The first field of that (lower-case) name."""
        for header_field in self.fields:
            if header_field.name == name:
                return header_field
        return None


_LONGEST = 256 * 1024
_PIECE = 1024 * 1024
_LONGEST_NAME = 100  # of a field that is looked for by name, with its colon
_new_tuple = tuple.__new__  # a quarter of the time of the constructor that NamedTuple writes
_BLANK_LINE = re.compile(rb"\n\r?\n")
_RAW_FIELD = re.compile(rb"[^\n]*+\n(?:[ \t][^\n]*+\n)*+(?:[ \t][^\n]*+\Z)?|[^\n]++\Z")
_NAME = re.compile(rb"([!-9;-~]{1,900}+)[ \t]*:")  # a longer one could not even stand on a line
# Names as nearly every mail writes them; looking them up is quicker than matching and lowering.
_USUAL = """
ARC-Authentication-Results ARC-Message-Signature ARC-Seal Authentication-Results Auto-Submitted Bcc CC Cc
Content-Disposition Content-ID Content-Language Content-Transfer-Encoding Content-Type Content-type DKIM-Signature
Date Delivered-To From Importance In-Reply-To List-Id List-Unsubscribe MIME-Version Message-ID Message-Id Mime-Version
Organization Precedence Received Received-SPF References Reply-To Return-Path Sender Subject Thread-Index Thread-Topic
To User-Agent X-Mailer X-Originating-IP X-Priority X-Received
"""
_USUAL_NAMES = {name.encode("ascii"): name.lower() for name in _USUAL.split()}


def split_headers(octets: bytes, start: int = 0, stop: int | None = None) -> HeaderBlock:
    """Split the header block that begins at ``start``; offsets are offsets into ``octets``.

    Lines end with CRLF or LF; a lone CR is an ordinary octet. An mbox line ("From ") and other garbage become fields
    without a name. Where the blank line is missing, the header ends before the first line that is no field, and before
    a line that looks like a boundary in any case. A text whose first lines are no fields at all has no header: its
    first paragraph is not thrown into one. Of a header over 256 KiB only the fields at its beginning are named, for
    each costs a hundred octets of memory and more; ``end`` is where it ends all the same. Never raises; linear.
    """
    stop = len(octets) if stop is None else stop
    if octets.startswith(b"\n", start, stop):
        return HeaderBlock((), start + 1)
    if octets.startswith(b"\r\n", start, stop):
        return HeaderBlock((), start + 2)
    blank = _blank_line(octets, start, stop)
    fields_end, end = (blank.start() + 1, blank.end()) if blank else (stop, stop)
    longest = start + _LONGEST
    looked_at = min(fields_end, longest)
    fields: list[HeaderField] = []
    at = start
    for raw in _RAW_FIELD.findall(octets, start, looked_at):
        name = _USUAL_NAMES.get(raw[: raw.find(b":")]) or _field_name(raw)
        if not name and at > start and (not blank or raw.startswith(b"--")):
            end, blank = at, None
            break
        fields.append(_new_tuple(HeaderField, (name, raw, at)))
        at += len(raw)
    if at == longest < fields_end:
        fields.pop()  # the cut went through it
    if fields and not fields[0].name and _has_no_field(fields):  # one look for all mail that begins as it should
        return HeaderBlock((), start, is_closed=False)
    return HeaderBlock(tuple(fields), end, is_closed=bool(blank))


def _blank_line(octets: bytes, start: int, stop: int) -> re.Match[bytes] | None:
    """The first blank line; looked for piece by piece, so that nobody waits for the end of fifty megabytes."""
    while True:
        found = _BLANK_LINE.search(octets, start, min(start + _PIECE, stop))
        if found or start + _PIECE >= stop:
            return found
        start += _PIECE - 2


def fields_named(octets: bytes, header: HeaderBlock, names: frozenset[str]) -> list[HeaderField]:
    """The fields of these names, in order; those too of a header so long that ``header.fields`` is not all of it."""
    found = [field for field in header.fields if field.name in names]
    if header.end > _LONGEST:
        at = header.fields[-1].start + len(header.fields[-1].raw) if header.fields else 0
        pattern = re.compile(rb"^(?:%s)[ \t]*:" % "|".join(sorted(names)).encode(), re.IGNORECASE | re.MULTILINE)
        for piece in range(at, header.end, _PIECE):
            for match in pattern.finditer(octets, max(at, piece - _LONGEST_NAME), min(piece + _PIECE, header.end)):
                whole = _RAW_FIELD.match(octets, match.start(), header.end)
                assert whole
                found.append(HeaderField(_field_name(whole[0]), whole[0], match.start()))
                at = whole.end()
    return found


_MARK = b"\xef\xbb\xbf"


def without_mark(octets: bytes) -> bytes:
    """The message without a byte order mark before its first field; editors of UTF-8 leave them there."""
    return octets[len(_MARK) :] if octets.startswith(_MARK) and _NAME.match(octets, len(_MARK)) else octets


def begins_with_field(octets: bytes) -> bool:
    """The first line is a header field, as in nearly every message."""
    return octets[:_LONGEST_NAME].partition(b":")[0] in _USUAL_NAMES or _NAME.match(octets) is not None


def _has_no_field(fields: list[HeaderField]) -> bool:
    """Nothing but words, and an mbox line at most."""
    words = [field for field in fields if not field.raw.startswith((b"From ", b">From ")) and field.raw.strip()]
    return bool(words) and not any(field.name for field in words)


def _field_name(raw: bytes) -> str:
    match = _NAME.match(raw)
    return match[1].decode("ascii").lower() if match else ""


def raw_value(field: HeaderField, charset: str | None = None) -> str:
    """The value on one line as written, encoded words still encoded: what structured fields are parsed from.

    Raw octets are UTF-8, else of ``charset`` (what the mail calls its text) when they fit it, else guessed.
    """
    raw = field.raw
    value = raw[raw.find(b":") + 1 :].strip() if field.name else raw.strip()
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"").replace(b"\t", b" ")
    if not value.isascii() or b"\x1b" in value:
        return one_line(_decode_raw(value, charset))
    text = value.decode("ascii")
    return text if text.isprintable() else one_line(text)


def _decode_raw(value: bytes, charset: str | None) -> str:
    if charset and not value.isascii():
        try:
            return value.decode("utf-8")
        except UnicodeError:
            text = decode_text(value, charset)
            if "\ufffd" not in text:
                return text
    return decode_text(value, None)


def field_value(field: HeaderField) -> str:
    """The value for people and rules: unfolded, decoded (RFC 2047, raw 8-bit), one line, controls removed."""
    value = raw_value(field)
    return one_line(decode_words(value)) if "=?" in value else value


# --- writing

_LINE = 78  # RFC 5322 §2.1.1: should
_LONGEST_LINE = 998  # and must


def fold_field(name: str, value: str) -> bytes:
    """Return a whole header field, ended with CRLF, in ASCII.

    Lines have at most 78 octets where there is a space to fold at, never more than 998. Words outside ASCII are
    encoded; line breaks and controls in ``value`` become spaces or vanish, so no value can begin a second field.
    """
    lines: list[str] = []
    line = f"{name}:"
    may_fold = True  # not where white space alone would stay on a line
    for word in _ascii_words(one_line(value)):
        if may_fold and len(line) + 1 + len(word) > _LINE and (len(word) < _LINE or len(line) > len(name) + 1):
            lines.append(line)
            line = ""
        rest = word
        while len(line) + 1 + len(rest) > _LONGEST_LINE:
            room = _LONGEST_LINE - len(line) - 1
            lines.append(f"{line} {rest[:room]}")
            line, rest = "", rest[room:]
        line = f"{line} {rest}"
        may_fold = bool(line.strip())
    lines.append(line)
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def _ascii_words(value: str) -> list[str]:
    """Split at single spaces; runs of words outside ASCII become encoded words that keep their inner spaces."""
    if value.isascii():
        return value.split(" ")
    out: list[str] = []
    foreign: list[str] = []
    spaces: list[str] = []
    for word in value.split(" "):
        if not word.isascii():
            foreign += [*spaces, word]
            spaces = []
        elif not word and foreign:
            spaces.append(word)
        else:
            if foreign:
                out += encode_words(" ".join(foreign)).split(" ")
            out += [*spaces, word]
            foreign, spaces = [], []
    if foreign:
        out += encode_words(" ".join(foreign)).split(" ")
    return [*out, *spaces]
