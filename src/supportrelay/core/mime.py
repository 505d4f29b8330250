"""The MIME tree of a message with exact octet offsets, so that others can insert octets and leave the rest untouched.

Only multiparts have children. An attached message (message/rfc822) is a leaf: what it holds is another message, read
from `part_octets` by whoever needs it.
"""

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import field
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from supportrelay.core.charset import decode_text
from supportrelay.core.encoded_word import decode_words, one_line
from supportrelay.core.errors import InputError
from supportrelay.core.headers import HeaderBlock, HeaderField, raw_value, split_headers
from supportrelay.core.pieces import find
from supportrelay.core.value import value_class

__all__ = [
    "MAX_DEPTH",
    "MAX_HEADER_OCTETS",
    "MAX_PARTS",
    "MimeError",
    "Part",
    "decode_transfer",
    "parse_parameters",
    "part_octets",
    "part_text",
    "read_parts",
    "walk",
]

MAX_DEPTH = 50
MAX_PARTS = 1000
MAX_HEADER_OCTETS = 256 * 1024  # Postfix: 100 KiB; References of old threads and ARC chains make long ones
MAX_FIELDS = 5000


class MimeError(InputError):
    """The structure of a message cannot be relied on for editing (RULES 10.3); it is relayed as an attachment."""


@value_class
class Part:
    """One MIME entity; the whole message is one too. Offsets are offsets into the whole message.

    Attributes:
        header: Its header block.
        start: Where its header begins.
        body_start: Where its body begins.
        end: Where its body ends; the line end before a boundary belongs to the boundary.
        content_type: Lower case ``type/subtype``.
        parameters: Of Content-Type, lower-case name -> decoded value.
        disposition: Lower case, "" without.
        filename: Decoded, one line, "" without; never a path to write to.
        transfer_encoding: Lower case, "7bit" without.
        charset: Lower-case label, "" without.
        children: Parts of a multipart, in order; none when it is too broken to have any.
        boundary: The delimiter without its dashes, b"" unless multipart.
        is_unclosed: A multipart whose closing delimiter is missing: it runs to the end of what holds it.
    """

    header: HeaderBlock
    start: int
    body_start: int
    end: int
    content_type: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    disposition: str = ""
    filename: str = ""
    transfer_encoding: str = "7bit"
    charset: str = ""
    children: tuple["Part", ...] = ()
    boundary: bytes = b""
    is_unclosed: bool = False

    @property
    def is_attachment(self) -> bool:
        """Marked as an attachment, or named and not text."""
        return self.disposition == "attachment" or bool(self.filename and not self.content_type.startswith("text/"))


def walk(part: Part) -> Iterator[Part]:
    """The part and everything in it, in the order of the octets."""
    waiting = [part]
    while waiting:
        here = waiting.pop()
        yield here
        waiting.extend(reversed(here.children))


# --- the tree

_LF, _CR = 0x0A, 0x0D
_AFTER_DELIMITER = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\r?\Z)")


def read_parts(octets: bytes) -> Part:
    """Read the tree of a whole message; a missing closing delimiter is accepted and marked.

    Raises:
        MimeError: More than 50 levels or 1,000 parts, a header over 256 KiB, a NUL in a header, lines that end with a
            lone CR, or the whole is a multipart without a boundary or without any part. (Inside, such a multipart is
            a leaf: what stands around it can be edited all the same.)
    """
    return _read_again(octets) if len(octets) <= _REMEMBERED_OCTETS else _read(octets)


def _read(octets: bytes) -> Part:
    if b"\n" not in octets and b"\r" in octets:
        raise MimeError("lines end with a lone CR")
    return _Reader(octets).read(0, len(octets))


# A message is read when it is assessed and again when its copy is written, a moment later.
_REMEMBERED_OCTETS = 64 * 1024
_read_again = lru_cache(maxsize=64)(_read)


class _Reader:
    __slots__ = ("_count", "_octets")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._count = 0

    def read(
        self, start: int, stop: int, *, depth: int = 0, default_type: str = "text/plain", is_delimited: bool = False
    ) -> Part:
        """Read the entity in ``start:stop``; when a delimiter follows, the line end before it is not the entity's."""
        self._count += 1
        if self._count > MAX_PARTS:
            raise MimeError(f"more than {MAX_PARTS} parts")
        if depth > MAX_DEPTH:
            raise MimeError(f"more than {MAX_DEPTH} levels")
        header = split_headers(self._octets, start, stop)
        if header.end - start > MAX_HEADER_OCTETS or len(header.fields) > MAX_FIELDS:
            raise MimeError("header is too long")
        if self._octets.find(b"\0", start, header.end) >= 0:
            raise MimeError("NUL in a header")
        end = self._without_line_end(header.end, stop) if is_delimited else stop
        described = {f.name: f for f in reversed(header.fields) if f.name in _DESCRIBING}
        content_type, parameters = _content_type(described.get("content-type"), default_type)
        boundary, is_unclosed = b"", False
        children: tuple[Part, ...] = ()
        if content_type.startswith("multipart/"):
            boundary = parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
            default = "message/rfc822" if content_type == "multipart/digest" else "text/plain"
            children, is_unclosed = self._children(boundary, header.end, end, depth, default)
        disposition, filename = _disposition(described.get("content-disposition"), parameters)
        return Part(
            header=header,
            start=start,
            body_start=header.end,
            end=end,
            content_type=content_type,
            parameters=parameters,
            disposition=disposition,
            filename=filename,
            transfer_encoding=_transfer_encoding(described.get("content-transfer-encoding")),
            charset=_charset(parameters),
            children=children,
            boundary=boundary,
            is_unclosed=is_unclosed,
        )

    def _without_line_end(self, body_start: int, stop: int) -> int:
        if stop > body_start and self._octets[stop - 1] == _LF:
            stop -= 1
            if stop > body_start and self._octets[stop - 1] == _CR:
                stop -= 1
        return stop

    def _children(
        self, boundary: bytes, body_start: int, end: int, depth: int, default_type: str
    ) -> tuple[tuple[Part, ...], bool]:
        ranges, is_unclosed = self._ranges(b"--" + boundary, body_start, end) if boundary else ([], True)
        if not ranges and not depth:
            raise MimeError("multipart without any part" if boundary else "multipart without a boundary")
        last = len(ranges) - 1
        children = [
            self.read(
                start,
                stop,
                depth=depth + 1,
                default_type=default_type,
                is_delimited=not (is_unclosed and index == last),
            )
            for index, (start, stop) in enumerate(ranges)
        ]
        return tuple(children), is_unclosed

    def _ranges(self, delimiter: bytes, body_start: int, end: int) -> tuple[list[tuple[int, int]], bool]:
        """``(start, offset of the next delimiter line)`` of each part, and whether the closing delimiter is missing."""
        octets = self._octets
        ranges: list[tuple[int, int]] = []
        start = -1
        at = find(octets, delimiter, body_start, end)
        while at >= 0:
            after = at + len(delimiter)
            match = None
            if at == body_start or octets[at - 1] == _LF:  # a delimiter begins its line
                match = _AFTER_DELIMITER.match(octets, after, end)
            if match:
                if start >= 0:
                    ranges.append((start, at))
                if match[1]:
                    return ranges, False
                start = after = match.end()
                if len(ranges) > MAX_PARTS:
                    raise MimeError(f"more than {MAX_PARTS} parts")
            at = find(octets, delimiter, after, end)
        if start >= 0:
            ranges.append((start, end))
        return ranges, True


# --- fields of a part

_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]{1,127}/[a-z0-9!#$&^_.+\-]{1,127}")
_FIRST_TOKEN = re.compile(r"[^\s;()\"]*")
_CHARSET = re.compile(r"[^\s;()\"',]*")


_DESCRIBING = frozenset({"content-type", "content-disposition", "content-transfer-encoding"})


def _content_type(field_: HeaderField | None, default_type: str) -> tuple[str, dict[str, str]]:
    if field_ is None:
        return default_type, {}
    value, parameters = parse_parameters(raw_value(field_))
    # A type that cannot be read is plain text (RFC 2045 §5.2).
    return (value if _TYPE.fullmatch(value) else "text/plain"), parameters


def _disposition(field_: HeaderField | None, type_parameters: dict[str, str]) -> tuple[str, str]:
    disposition, name = "", ""
    if field_ is not None:
        disposition, parameters = parse_parameters(raw_value(field_))
        name = parameters.get("filename", "")
    return disposition, _file_name(name or type_parameters.get("name", ""))


def _file_name(written: str) -> str:
    return one_line(decode_words(written)) if written else ""


def _transfer_encoding(field_: HeaderField | None) -> str:
    match = _FIRST_TOKEN.match(raw_value(field_).lower()) if field_ else None
    return match[0] if match and match[0] else "7bit"


def _charset(parameters: dict[str, str]) -> str:
    label = parameters.get("charset")
    match = _CHARSET.match(label.strip(" '\"").lower()) if label else None
    return match[0] if match else ""


# --- parameters

_MAX_PARAMETERS = 200
_PARAMETER = re.compile(
    r"[\s;]*+(?:([^\s=;\"()]++)\s*+=\s*+(?:\"((?:[^\"\\]++|\\.)*+)\"?|([^;\"]*+)))?+[^;]*+", re.DOTALL
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_CONTINUED = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_MAY_HOLD_SPACES = frozenset({"name", "filename", "boundary"})


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """``(value, parameters)`` of a field like Content-Type, both lower case but for the parameters' values.

    RFC 2231 continuations and charsets are put together; the first of two equal names counts. Never raises, linear.
    """
    head, semicolon, rest = value.partition(";")
    token = _FIRST_TOKEN.match(head.strip().lower())
    parameters: dict[str, str] = {}
    continued: dict[str, dict[int, tuple[str, bool]]] = {}
    position = 0
    for _ in range(_MAX_PARAMETERS if semicolon else 0):
        match = _PARAMETER.match(rest, position)
        if match is None or match.end() == position:
            break
        position = match.end()
        if not match[1]:
            continue
        name = match[1].lower()
        text = _parameter_value(name, match)
        if "*" not in name:
            parameters.setdefault(name, text)
        elif section := _CONTINUED.fullmatch(name):
            continued.setdefault(section[1], {}).setdefault(int(section[2] or 0), (text, bool(section[3])))
    for name, sections in continued.items():
        parameters[name] = _joined(sections)  # better than a plain twin, which old readers get
    return (token[0] if token else ""), parameters


def _parameter_value(name: str, match: re.Match[str]) -> str:
    if match[2] is not None:
        return _QUOTED_PAIR.sub(r"\1", match[2]) if "\\" in match[2] else match[2]
    text = match[3].strip()
    if name in _MAY_HOLD_SPACES or name.startswith(("name*", "filename*")) or text.isalnum():
        return text
    token = _FIRST_TOKEN.match(text)
    return token[0] if token else text


def _joined(sections: dict[int, tuple[str, bool]]) -> str:
    """Put RFC 2231 sections together; the first encoded one names the charset."""
    label, octets = "", bytearray()
    for index in sorted(sections):
        text, is_encoded = sections[index]
        if is_encoded:
            if index == min(sections) and text.count("'") >= 2:  # noqa: PLR2004  charset'language'text
                label, _, text = text.split("'", 2)
            octets += unquote_to_bytes(text.encode("utf-8", "replace"))
        else:
            octets += text.encode("utf-8", "replace")
    return decode_text(bytes(octets), label or None)


# --- contents

_MORE_BASE64 = re.compile(rb"=+\s*[A-Za-z0-9+/][A-Za-z0-9+/=\s]*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_SPACE_BEFORE_LINE_END = re.compile(rb"=[ \t]++(?=\r?\n|\Z)")


def part_octets(octets: bytes, part: Part) -> bytes:
    """The part's content with its transfer encoding undone; broken encodings give what can be read of them."""
    return decode_transfer(octets[part.body_start : part.end], part.transfer_encoding)


def part_text(octets: bytes, part: Part) -> str:
    """The part's content as text; line ends as they are."""
    return decode_text(part_octets(octets, part), part.charset or None)


def decode_transfer(content: bytes, encoding: str) -> bytes:
    """Undo a transfer encoding; an unknown one changes nothing. Never raises."""
    decode = _DECODERS.get(encoding)
    return decode(content) if decode else content


def _decode_base64(content: bytes) -> bytes:
    padding = content.find(b"=")
    # Decoding ends at the padding, which is right for the footers that lists append; but some encode line by line.
    if padding < 0 or not _MORE_BASE64.fullmatch(content, padding):
        try:
            return binascii.a2b_base64(content)
        except binascii.Error:
            pass
    out = bytearray()
    for run in _NOT_BASE64.sub(b"", content).split(b"="):
        usable = run if len(run) % 4 != 1 else run[:-1]
        out += binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))
    return bytes(out)


def _decode_quoted_printable(content: bytes) -> bytes:
    if b"= " in content or b"=\t" in content:
        content = _SPACE_BEFORE_LINE_END.sub(b"=", content)
    return binascii.a2b_qp(content)


def _decode_uu(content: bytes) -> bytes:
    out = bytearray()
    begun = False
    for line in content.splitlines():
        if not begun:
            begun = line.startswith(b"begin ")
        elif line == b"end":
            break
        else:
            try:
                out += binascii.a2b_uu(line)
            except binascii.Error:
                continue
    return bytes(out) if begun else content


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "base64": _decode_base64,
    "quoted-printable": _decode_quoted_printable,
    "x-uuencode": _decode_uu,
    "uuencode": _decode_uu,
    "x-uue": _decode_uu,
}
