"""Content-Transfer-Encoding of what we write: quoted-printable and base64 (RFC 2045 §6.7, §6.8)."""

import binascii
import re
from collections.abc import Iterable

__all__ = [
    "base64_lines",
    "best_encoding",
    "quoted_printable",
    "quoted_printable_offset",
    "quoted_printable_offsets",
    "relined_base64",
]

_COLUMNS = 76
# What a literal line of quoted-printable may hold; '=' is not in it.
_LITERAL = re.compile(rb"[\t !-<>-~]*")
_PLAIN = bytes(range(32, 127)) + b"\r\n\t"
# Marks what cannot stand for itself with NUL: a search in C finds the last one, stripping asks octet by octet.
_MARKS = bytes(1 if octet in _PLAIN.replace(b"=", b"") else 0 for octet in range(256))
# As binascii.a2b_qp reads it; without a group it stands for nothing.
_TOKEN = re.compile(rb"=([0-9A-Fa-f]{2}|=)|=\r\n")


def base64_lines(octets: bytes) -> bytes:
    """Base64 in lines of 76 characters, each ended by CRLF."""
    if len(octets) <= _BASE64_PIECE:
        return _base64_piece(octets)
    # One call over megabytes would keep everything else waiting for the interpreter lock.
    pieces = [_base64_piece(octets[at : at + _BASE64_PIECE]) for at in range(0, len(octets), _BASE64_PIECE)]
    return b"".join(pieces)


_BASE64_PIECE = 57 * 16384  # whole lines
_DIGITS = _BASE64_PIECE // 3 * 4
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def relined_base64(encoded: bytes) -> bytes | None:
    """The same base64 in lines of 76 characters; None when it holds anything else, or padding inside of it."""
    pieces = [
        encoded[at : at + _BASE64_PIECE].translate(None, b"\r\n\t ") for at in range(0, len(encoded), _BASE64_PIECE)
    ]
    digits = b"".join(pieces)
    padding = len(digits) - len(digits.rstrip(b"="))
    if len(digits) % 4 or padding > 2:  # noqa: PLR2004
        return None
    if sum(len(piece.translate(None, _ALPHABET)) for piece in pieces) != padding:
        return None
    return b"".join([_in_lines(digits[at : at + _DIGITS]) for at in range(0, len(digits), _DIGITS)])


def _base64_piece(octets: bytes) -> bytes:
    return _in_lines(binascii.b2a_base64(octets, newline=False))


def _in_lines(digits: bytes) -> bytes:
    lines = [digits[at : at + _COLUMNS] for at in range(0, len(digits), _COLUMNS)]
    lines.append(b"")
    return b"\r\n".join(lines)


def _quoted_line(line: bytes) -> bytes:
    """One line without its end, in lines of at most 76 characters with soft breaks between."""
    if len(line) <= _COLUMNS and _LITERAL.fullmatch(line) and not line.endswith((b" ", b"\t")):
        return line
    quoted = binascii.b2a_qp(line, istext=False)
    spelled = quoted.replace(b"=\r\n", b"").replace(b"=\n", b"")
    if spelled.endswith((b" ", b"\t")):
        spelled = spelled[:-1] + b"=%02X" % spelled[-1]
    pieces = []
    at = 0
    while len(spelled) - at > _COLUMNS:
        cut = at + _COLUMNS - 1
        # Never inside an =XX.
        equals = spelled.rfind(b"=", cut - 2, cut)
        if equals >= 0:
            cut = equals
        pieces.append(spelled[at:cut])
        at = cut
    pieces.append(spelled[at:])
    return b"=\r\n".join(pieces)


def quoted_printable(octets: bytes) -> bytes:
    """Quoted-printable of text with CRLF line ends; the line ends stay hard line breaks, a lone CR or LF is quoted."""
    at = _literal_from(octets)
    return _quoted(octets[:at]) + _soft_broken(octets[at:]) if at < len(octets) else _quoted(octets)


def _literal_from(octets: bytes) -> int:
    """Where the lines begin whose octets stand for themselves to the end: mostly all that follows a notice in UTF-8."""
    at = octets.find(b"\r\n", octets.translate(_MARKS).rfind(b"\0") + 1)
    if at < 0:
        return len(octets)
    tail = octets[at + 2 :]
    is_clean = tail.count(b"\n") == tail.count(b"\r\n") == tail.count(b"\r")
    ends_in_space = b" \r" in tail or (b"\t" in tail and b"\t\r" in tail) or tail.endswith((b" ", b"\t"))
    return at + 2 if is_clean and not ends_in_space else len(octets)


def _soft_broken(octets: bytes) -> bytes:
    """Lines of literal octets with soft breaks in those over 76 characters."""
    cut = _COLUMNS - 1
    lines = [
        line
        if len(line) <= _COLUMNS
        else line[:cut] + b"=\r\n" + line[cut:]
        if len(line) <= cut + _COLUMNS  # nearly every one
        else b"=\r\n".join([line[at : at + cut] for at in range(0, len(line), cut)])
        for line in octets.split(b"\r\n")
    ]
    return b"\r\n".join(lines)


def _quoted(octets: bytes) -> bytes:
    ends = octets.count(b"\r\n")
    is_clean = ends and octets.count(b"\n") == ends == octets.count(b"\r")
    if is_clean and b" \r" not in octets and b"\t\r" not in octets:  # a quoted last space may pass column 76
        return binascii.b2a_qp(octets, istext=True)  # breaks lines as the first line of the text ends
    return b"\r\n".join([_quoted_line(line) for line in octets.split(b"\r\n")])


def quoted_printable_offset(encoded: bytes, decoded_offset: int) -> int:
    """Where in quoted-printable octets the decoded octet ``decoded_offset`` begins."""
    return quoted_printable_offsets(encoded, (decoded_offset,))[0]


def quoted_printable_offsets(encoded: bytes, decoded_offsets: Iterable[int]) -> list[int]:
    """The same for ascending offsets, in one pass."""
    found = []
    at = 0
    decoded = 0
    tokens = _TOKEN.finditer(encoded)
    token = next(tokens, None)
    for offset in decoded_offsets:
        while token is not None and decoded + token.start() - at < offset:
            decoded += token.start() - at + (1 if token[1] else 0)
            at = token.end()
            token = next(tokens, None)
        found.append(at + offset - decoded)
    return found


def best_encoding(octets: bytes) -> str:
    """``quoted-printable`` for text that stays readable in it, ``base64`` when that is shorter or cleaner."""
    quoted = len(octets.translate(None, _PLAIN))
    return "base64" if quoted * 6 > len(octets) else "quoted-printable"
