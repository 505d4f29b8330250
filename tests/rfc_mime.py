"""MIME as the RFCs tell it, for tests that judge our copies: octets in, a tree out; neither our code nor `email` in it.

Strict where RFC 5322, 2045 and 2046 are clear; what they leave open (a header that never ends, a multipart without a
part) is marked as broken and never guessed at.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Entity", "Field", "decode", "read_entity", "read_words", "split_base64", "walk"]


@dataclass(frozen=True)
class Field:
    """A header field: lower-case name ("" for a line that is none) and its octets with every line end."""

    name: str
    raw: bytes

    @property
    def value(self) -> bytes:
        """Unfolded (RFC 5322 §2.2.3), trimmed."""
        written = self.raw.partition(b":")[2] if self.name else self.raw
        return re.sub(rb"\r\n(?=[ \t])", b"", written).strip()


@dataclass(frozen=True)
class Entity:
    """A message or a body part.

    Attributes:
        header: Its octets without the blank line; ``fields`` joined.
        kind: Lower case ``type/subtype``.
        parameters: Of Content-Type, as written between the quotes.
        encoding: Content-Transfer-Encoding, "7bit" without.
        preamble, epilogue: Of a multipart, with the line ends of the delimiters next to them.
        trouble: Why a reader cannot be sure what is in it; "" mostly.
    """

    header: bytes
    body: bytes
    fields: tuple[Field, ...]
    kind: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    disposition: str = ""
    filename: str = ""
    encoding: str = "7bit"
    children: tuple["Entity", ...] = ()
    boundary: bytes = b""
    preamble: bytes = b""
    epilogue: bytes = b""
    trouble: str = ""

    @property
    def charset(self) -> str:
        """The label, lower case, "" without."""
        return self.parameters.get("charset", "").strip().lower()

    def first(self, name: str) -> Field | None:
        """The first field of that name."""
        return next((one for one in self.fields if one.name == name), None)


def walk(entity: Entity) -> Iterator[Entity]:
    """The entity and all in it, in the order of the octets."""
    yield entity
    for child in entity.children:
        yield from walk(child)


# --- header

_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")  # RFC 5322 §3.6.8; §4.5 has white space before the colon


def _split(octets: bytes) -> tuple[list[Field], bytes, bytes, str]:
    """``(fields, header, body, trouble)``; the header ends at the first empty line.

    Where there is none, before the first line that is no field; before a delimiter in any case. Where no line is a
    field, there is no header. An mbox's "From " line is no trouble.
    """
    if octets.startswith(b"\r\n"):
        return [], b"", octets[2:], ""
    head, blank, body = octets.partition(b"\r\n\r\n")
    trouble = "" if blank else "no end of the header"
    header = head + b"\r\n" if blank else head
    fields: list[Field] = []
    at = 0
    for line in re.findall(rb"[^\r\n]*\r\n|[^\r\n]+", header):
        if line[:1] in {b" ", b"\t"} and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].raw + line)
        elif found := _NAME.match(line):
            fields.append(Field(found[1].decode("ascii").lower(), line))
        elif at and (not blank or line.startswith(b"--")):
            header, body = octets[:at], octets[at:]
            break
        else:
            fields.append(Field("", line))
            is_mbox = not at and line.startswith((b"From ", b">From "))
            trouble = trouble or ("" if is_mbox else "a line of the header is no field")
        at += len(line)
    if fields and not any(one.name for one in fields):
        return [], b"", octets, "no header"
    return fields, header, body, trouble


_TYPE = re.compile(rb"\s*([!#$&^_.+0-9A-Za-z-]+)/([!#$&^_.+0-9A-Za-z-]+)\s*(?:;|\(|$)")
_PARAMETER = re.compile(rb";\s*([^\s=;\"]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s\"]*))", re.DOTALL)


def _parameters(value: bytes) -> dict[str, str]:
    """Lower-case names; RFC 2231 sections put together, their octets as Latin-1."""
    found: dict[str, str] = {}
    pieces: dict[str, dict[int, bytes]] = {}
    for name, quoted, bare in _PARAMETER.findall(value):
        said = re.sub(rb"\\(.)", rb"\1", quoted) if quoted else bare
        key = name.decode("latin-1").lower()
        section = re.fullmatch(r"([^*]+)(?:\*(\d+))?(\*?)", key)
        if section is None or "*" not in key:
            found.setdefault(key, said.decode("latin-1"))
            continue
        number = int(section[2] or 0)
        if section[3]:
            said = said.split(b"'", 2)[-1] if not number else said
            said = re.sub(rb"%([0-9A-Fa-f]{2})", lambda hit: bytes.fromhex(hit[1].decode("ascii")), said)
        pieces.setdefault(section[1], {})[number] = said
    for key, said_in in pieces.items():
        found[key] = b"".join(said_in[number] for number in sorted(said_in)).decode("latin-1")
    return found


def _word(found: Field | None) -> str:
    return re.split(rb"[\s;(]", found.value)[0].decode("latin-1").lower() if found else ""


# --- bodies

_DEEPEST = 50


def read_entity(octets: bytes, *, default: str = "text/plain", depth: int = 0) -> Entity:
    """Read a whole message, or a body part."""
    fields, header, body, trouble = _split(octets)

    def first(name: str) -> Field | None:
        return next((one for one in fields if one.name == name), None)

    kind = default
    parameters: dict[str, str] = {}
    content_type = first("content-type")
    if content_type is not None:
        typed = _TYPE.match(content_type.value)
        trouble = trouble or ("" if typed else "a Content-Type that cannot be read")
        kind = b"/".join(typed.groups()).decode("ascii").lower() if typed else "text/plain"  # RFC 2045 §5.2
        parameters = _parameters(content_type.value)
    disposition = first("content-disposition")
    disposed = _parameters(disposition.value) if disposition else {}
    entity = Entity(
        header,
        body,
        tuple(fields),
        kind,
        parameters,
        _word(disposition),
        disposed.get("filename", "") or parameters.get("name", ""),
        _word(first("content-transfer-encoding")) or "7bit",
        trouble=trouble,
    )
    return _multipart(entity, depth) if kind.startswith("multipart/") else entity


def _multipart(entity: Entity, depth: int) -> Entity:
    boundary = entity.parameters.get("boundary", "").rstrip().encode("latin-1")
    pieces = _pieces(entity.body, boundary) if boundary else None
    if pieces is None:
        return _with(entity, boundary=boundary, trouble="multipart without a part")
    preamble, parts, epilogue, is_closed = pieces
    trouble = entity.trouble or ("" if is_closed else "multipart without an end")
    if depth >= _DEEPEST:
        return _with(entity, boundary=boundary, trouble="too deep")
    default = "message/rfc822" if entity.kind == "multipart/digest" else "text/plain"
    children = tuple(read_entity(part, default=default, depth=depth + 1) for part in parts)
    return _with(entity, boundary=boundary, children=children, preamble=preamble, epilogue=epilogue, trouble=trouble)


def _with(entity: Entity, **changed: object) -> Entity:
    return Entity(**(entity.__dict__ | changed))


def _pieces(body: bytes, boundary: bytes) -> tuple[bytes, list[bytes], bytes, bool] | None:
    """``(preamble, parts, epilogue, is closed)`` by the delimiter lines (RFC 2046 §5.1.1); None without any."""
    line = re.compile(rb"(?:^|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    parts: list[bytes] = []
    preamble, start, at = b"", -1, 0
    while found := line.search(body, at):
        if found.start() and not body.startswith(b"\r\n", found.start()):
            at = found.end()  # ^ of a search that began inside
            continue
        if start < 0:
            if found[1]:
                return None
            preamble = body[: found.start()]
        else:
            # The line end before the next delimiter belongs to it, and may be the one after this delimiter.
            parts.append(body[start + 2 : found.start()])
        if found[1]:
            return preamble, parts, body[found.end() :], True
        start = at = found.end()
    if start < 0:
        return None
    parts.append(body[start + 2 :])
    return preamble, parts, b"", False


# --- transfer encodings (RFC 2045 §6)


def decode(entity: Entity) -> bytes:
    """The content with its transfer encoding undone; an unknown encoding changes nothing."""
    if entity.encoding == "base64":
        return _base64(entity.body)
    return _quoted_printable(entity.body) if entity.encoding == "quoted-printable" else entity.body


def _base64(body: bytes) -> bytes:
    """Octets outside of the alphabet are skipped, padding ends a run (§6.8)."""
    content, _ = split_base64(body)
    out = b""
    for run in re.split(rb"=+", re.sub(rb"[^A-Za-z0-9+/=]", b"", content)):
        usable = run[: len(run) - 1] if len(run) % 4 == 1 else run
        out += binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))
    return out


def split_base64(body: bytes) -> tuple[bytes, bytes]:
    """``(base64, what a list or a scanner put below it)``: other text after the padding is none."""
    padding = re.search(rb"=+", body)
    if padding and not re.fullmatch(rb"[A-Za-z0-9+/=\s]*", body[padding.end() :]):
        return body[: padding.end()], body[padding.end() :]
    return body, b""


def _quoted_printable(body: bytes) -> bytes:
    """White space at the end of a line is not content (§6.7 rule 3); a '=' that says nothing stands for itself."""
    body = re.sub(rb"[ \t]+(?=\r\n|\Z)", b"", body)
    body = re.sub(rb"=(?:\r\n|\Z)", b"", body)
    return re.sub(rb"=([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode("ascii")), body)


_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=")


def read_words(value: str) -> str:
    """A header value with its encoded words decoded (RFC 2047 §6.2)."""
    value = re.sub(r"(=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)\s+(?==\?)", r"\1", value)
    text, at = "", 0
    for found in _WORD.finditer(value):
        charset = found[1].partition("*")[0]  # RFC 2231 §5: a language
        try:
            written = found[3].encode("ascii" if found[3].isascii() else charset)
        except (LookupError, UnicodeError):
            written = found[3].encode("utf-8")
        octets = binascii.a2b_base64(written) if found[2] in "bB" else binascii.a2b_qp(written, header=True)
        text += value[at : found.start()]
        try:
            text += octets.decode(charset, "replace")
        except LookupError:
            text += octets.decode("latin-1")
        at = found.end()
    return text + value[at:]
