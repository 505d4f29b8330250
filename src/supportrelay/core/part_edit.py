"""A banner put into one text part: by insertion where the encoding allows it, by re-encoding where it must be.

The text that a reader sees afterwards is the banner and the original text, character for character.
"""

import binascii
import re
from collections.abc import Callable

from supportrelay.core.banner_text import Banner
from supportrelay.core.charset import codec_name, decode_as, decode_text, encode_text, is_guess
from supportrelay.core.html_place import banner_offset
from supportrelay.core.mime import Part, part_octets
from supportrelay.core.splice import Edit, first_long_line
from supportrelay.core.transfer import base64_lines, best_encoding, quoted_printable, quoted_printable_offset

__all__ = [
    "CannotEdit",
    "check_readable",
    "check_size",
    "edit_html",
    "edit_text",
    "ended",
    "re_encode",
    "rewrite_base64",
]

_BOM = b"\xef\xbb\xbf"
_QUOTED_BOM = b"=EF=BB=BF"
_READABLE = frozenset({"7bit", "8bit", "binary", "base64", "quoted-printable"})
_CHARSET_PARAMETER = re.compile(rb"(;\s*charset\s*=\s*)(\"[^\"\\\r\n]*\"|[^\s;\"()]+)", re.IGNORECASE)
_FLOWED_STUFFED = (" ", ">", "From ")
_MAX_HEAD = 512 * 1024  # how far a <body> is looked for
_MAX_ANEW = 2 * 1024 * 1024  # octets of a text that is read and written anew; a larger one stays as it is

_Edited = tuple[list[Edit], list[str]]


class CannotEdit(Exception):  # noqa: N818  an answer between two modules, never seen outside
    """The part cannot be edited without harming its text; the banner goes into a part of its own."""


# --- text/plain -------------------------------------------------------------------------------------------------


def edit_text(octets: bytes, part: Part, banner: Banner) -> _Edited:
    """Edits that put the banner before the text of a text/plain part, and notes.

    Raises:
        CannotEdit: Its text or its transfer encoding cannot be read without loss, or it is too large to be written
            anew where it would have to be.
    """
    check_readable(part)
    text = _banner_lines(banner.text, is_flowed=part.parameters.get("format", "").lower() == "flowed")
    encoded = encode_text(text, part.charset)
    if encoded is None and text.isascii() and codec_name(part.charset or "") is None:
        encoded = text.encode("ascii")  # an unknown charset is read as a superset of ASCII
    body = _Body(octets, part)
    if encoded is None or not _fits(body, part, encoded):
        return _in_utf_8(octets, part, lambda original: text + original)
    return _insert_text(octets, part, encoded, body)


class _Body:
    """A part's decoded octets, decoded once and only when asked for."""

    __slots__ = ("_decoded", "_octets", "_part")

    def __init__(self, octets: bytes, part: Part) -> None:
        self._octets = octets
        self._part = part
        self._decoded: bytes | None = None

    def decoded(self) -> bytes:
        if self._decoded is None:
            check_size(self._part)
            self._decoded = part_octets(self._octets, self._part)
        return self._decoded


def _banner_lines(banner_text: str, *, is_flowed: bool) -> str:
    """The banner's text with CRLF, an empty line after it, and space-stuffed for ``format=flowed`` (RFC 3676 §4.4)."""
    lines = [line.rstrip() for line in banner_text.rstrip("\n").split("\n")]
    if is_flowed:
        lines = [" " + line if line.startswith(_FLOWED_STUFFED) else line for line in lines]
    return "\r\n".join([*lines, "", ""])


def _fits(body: _Body, part: Part, encoded: bytes) -> bool:
    """Tell whether these octets of the part's charset may stand before its own octets."""
    codec = codec_name(part.charset or "")
    if codec is None:
        return encoded.isascii()
    if encode_text("A\r\n", part.charset) != b"A\r\n":
        return False
    if encoded.isascii() and b"\x1b" not in encoded:
        return True
    original = body.decoded()
    if codec == "iso2022_jp":
        return original.isascii()
    try:
        written = decode_as(original, codec) if codec == "cp1252" else original.decode(codec)
    except (UnicodeError, LookupError):
        return False
    # Under a wrong label the banner would be in one charset and the text in another.
    return written.removeprefix("\ufeff") == decode_text(original, part.charset)


def _insert_text(octets: bytes, part: Part, encoded: bytes, body: _Body) -> _Edited:
    start = part.body_start
    encoding = part.transfer_encoding
    if encoding == "base64":
        return rewrite_base64(octets, part, _after_bom(body.decoded(), encoded)), []
    if encoding == "quoted-printable":
        at = start + (len(_QUOTED_BOM) if octets.startswith(_QUOTED_BOM, start) else 0)
        return [Edit(at, at, quoted_printable(encoded))], []
    if _may_stand(encoded, encoding):
        at = start + (len(_BOM) if octets.startswith(_BOM, start) else 0)
        return [Edit(at, at, encoded)], []
    return re_encode(octets, part, _after_bom(body.decoded(), encoded)), ["part.re_encoded"]


def _may_stand(encoded: bytes, encoding: str) -> bool:
    """Tell whether these octets may be inserted as they are."""
    is_legal = encoded.isascii() if encoding == "7bit" else encoding == "8bit"
    return is_legal and first_long_line(encoded) < 0


def _after_bom(body: bytes, encoded: bytes) -> bytes:
    return _BOM + encoded + body[len(_BOM) :] if body.startswith(_BOM) else encoded + body


# --- text/html --------------------------------------------------------------------------------------------------


def edit_html(octets: bytes, part: Part, banner: Banner) -> _Edited:
    """Edits that put the banner at the top of the body of a text/html part, and notes.

    Everything outside ASCII is written as numeric entities, so that any charset that holds ASCII can carry it. UTF-7 is
    one of these: no reader interprets it in HTML, and written anew what was words could become a script.

    Raises:
        CannotEdit: As `edit_text`.
    """
    check_readable(part)
    html = "\r\n".join(banner.html.rstrip("\n").split("\n")) + "\r\n"
    encoded = html.encode("ascii", "xmlcharrefreplace")
    codec = codec_name(part.charset or "")
    if codec == "utf_7":
        encoded = encoded.replace(b"+", b"&#43;")
    elif codec is not None and encode_text("A\r\n", part.charset) != b"A\r\n":
        return _in_utf_8(octets, part, lambda original: _in_html(original.encode("utf-8"), encoded).decode("utf-8"))
    start, end = part.body_start, part.end
    encoding = part.transfer_encoding
    if encoding == "base64":
        return rewrite_base64(octets, part, _in_html(_Body(octets, part).decoded(), encoded)), []
    if encoding == "quoted-printable":
        head = octets[start : min(end, start + _MAX_HEAD)]
        at = start + quoted_printable_offset(head, banner_offset(binascii.a2b_qp(head)))
        soft_break = b"" if at == start or octets[at - 1 : at] == b"\n" else b"=\r\n"
        return [Edit(at, at, soft_break + quoted_printable(encoded))], []
    if not _may_stand(encoded, encoding):
        return re_encode(octets, part, _in_html(_Body(octets, part).decoded(), encoded)), ["part.re_encoded"]
    at = start + banner_offset(octets[start : min(end, start + _MAX_HEAD)])
    return [Edit(at, at, encoded)], []


def _in_html(html: bytes, encoded: bytes) -> bytes:
    at = banner_offset(html[:_MAX_HEAD])
    return html[:at] + encoded + html[at:]


# --- both -------------------------------------------------------------------------------------------------------


def check_readable(part: Part) -> None:
    """Raise `CannotEdit` unless it is clear where the part's text begins and how it is encoded."""
    if part.transfer_encoding not in _READABLE:
        raise CannotEdit(f"transfer encoding {part.transfer_encoding}")
    if not part.header.is_closed or (part.start and not all(f.name for f in part.header.fields)):
        raise CannotEdit("a part whose header has no clear end")


def check_size(part: Part) -> None:
    """Raise `CannotEdit` when a part is too large to be written anew: that takes long, and nothing is won by it."""
    if part.end - part.body_start > _MAX_ANEW:
        raise CannotEdit("too large to be written anew")


def _in_utf_8(octets: bytes, part: Part, put: Callable[[str], str]) -> _Edited:
    """The whole part in UTF-8, for a banner that its charset cannot express."""
    body = _Body(octets, part).decoded()
    original = decode_text(body, part.charset or None)
    if "\ufffd" in original or is_guess(body, part.charset or None):
        raise CannotEdit("charset")
    return re_encode(octets, part, put(original).encode("utf-8"), charset="utf-8"), ["part.to_utf8"]


_FOOTER = re.compile(rb"[^\sA-Za-z0-9+/=]")


def rewrite_base64(octets: bytes, part: Part, body: bytes) -> list[Edit]:
    """The whole content anew.

    Raises:
        CannotEdit: A mailing list or a scanner wrote below the padding. Encoded anew there may be no padding, and what
            is below would be read as more of it.
    """
    padding = octets.find(b"=", part.body_start, part.end)
    if padding >= 0 and _FOOTER.search(octets, padding, part.end):
        raise CannotEdit("words below base64")
    return [Edit(part.body_start, part.end, ended(octets, part, base64_lines(body)))]


def ended(octets: bytes, part: Part, new: bytes) -> bytes:
    """New body octets with the line end that must follow them.

    The line end before a boundary belongs to the boundary; an empty part may have none of its own before it.
    """
    if part.end >= len(octets):
        return new
    if octets.startswith(b"\r\n", part.end):
        return new.removesuffix(b"\r\n") if part.transfer_encoding == "base64" else new
    return new if new.endswith(b"\r\n") else new + b"\r\n"


def re_encode(octets: bytes, part: Part, body: bytes, *, charset: str = "", encoding: str = "") -> list[Edit]:
    """Edits that give a part these decoded octets in quoted-printable or base64, and say so in its header."""
    is_text = part.content_type.startswith("text/")
    if not encoding:
        encoding = "base64" if part.transfer_encoding == "base64" or not is_text else best_encoding(body)
    new = base64_lines(body).removesuffix(b"\r\n") if encoding == "base64" else quoted_printable(body)
    return [Edit(part.body_start, part.end, ended(octets, part, new)), *_header_edits(part, encoding, charset)]


def _header_edits(part: Part, encoding: str, charset: str) -> list[Edit]:
    fields = part.header.fields
    at = part.header.end - 2  # before the blank line
    edits: list[Edit] = []
    if charset:
        content_type = part.header.first("content-type")
        if content_type is None:
            edits.append(
                Edit(at, at, b"Content-Type: %s; charset=%s\r\n" % (part.content_type.encode(), charset.encode()))
            )
        else:
            new = _with_charset(content_type.raw, part, charset.encode("ascii"))
            edits.append(Edit(content_type.start, content_type.start + len(content_type.raw), new))
    if encoding != part.transfer_encoding:
        line = b"Content-Transfer-Encoding: %s\r\n" % encoding.encode("ascii")
        named = [f for f in fields if f.name == "content-transfer-encoding"]
        edits += [Edit(f.start, f.start + len(f.raw), b"" if i else line) for i, f in enumerate(named)]
        if not named:
            edits.append(Edit(at, at, line))
    if part.start == 0 and edits and part.header.first("mime-version") is None:
        edits.append(Edit(at, at, b"MIME-Version: 1.0\r\n"))
    return edits


def _with_charset(raw: bytes, part: Part, charset: bytes) -> bytes:
    """A Content-Type field with another charset; its other octets stay where that is safe."""
    mentioned = raw.lower().count(b"charset")
    is_named = part.content_type.encode("ascii", "replace") in raw.lower()
    if is_named and not mentioned and not raw.rstrip().endswith(b";"):
        return raw.rstrip(b"\r\n \t") + b";\r\n\tcharset=" + charset + b"\r\n"
    found = _CHARSET_PARAMETER.search(raw)
    if is_named and mentioned == 1 and found and raw.count(b'"', 0, found.start()) % 2 == 0:
        return raw[: found.end(1)] + charset + raw[found.end() :]
    kept = {
        name: value
        for name, value in part.parameters.items()
        if name not in {"charset", "charset*"} and (name + value).isascii() and (name + value).isprintable()
    }
    lines = [b"Content-Type: %s; charset=%s" % (part.content_type.encode("ascii", "replace"), charset)]
    for name, value in kept.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'\t{name}="{quoted}"'.encode("ascii"))
    return b";\r\n".join(lines) + b"\r\n"
