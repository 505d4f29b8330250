"""A mail for a next hop without 8BITMIME or SMTPUTF8: what is 8-bit is re-encoded part by part (RFC 6152 §3, RFC 2045).

Every part decodes to what it was, character for character; what is ASCII already keeps its octets. Signed and encrypted
entities are never touched: with octets over 127 in them the mail cannot be sent on as it is (`CannotEdit`), and the
caller attaches it whole.
"""

from supportrelay.core.headers import HeaderField
from supportrelay.core.mime import MimeError, Part, part_octets, read_parts
from supportrelay.core.part_edit import CannotEdit, check_readable, ended, re_encode
from supportrelay.core.raw_header import ascii_field, charset_hint
from supportrelay.core.raw_parameters import ascii_parameters
from supportrelay.core.splice import Edit, first_long_line, splice
from supportrelay.core.transfer import quoted_printable

__all__ = ["narrow"]

_SEALED = {"multipart/signed": "signed", "multipart/encrypted": "encrypted"}
_EIGHT_BIT = frozenset({"8bit", "binary"})
_OVER_127 = bytes(range(128, 256))
_MAX_NESTED = 8  # messages in messages; each one is read once more


def narrow(octets: bytes, *, bodies: bool = True) -> tuple[bytes, tuple[str, ...]]:
    """Return a mail with CRLF line ends in ASCII, and notes (`rewrite`).

    Args:
        bodies: False leaves the content of parts as it is and changes header fields only: the hop takes 8-bit bodies.

    Raises:
        MimeError: The mail cannot be parsed.
        CannotEdit: Octets over 127 stand where they may not be changed: under a signature, before the first part ...
    """
    return _narrowed(octets, bodies=bodies, depth=0)


def _narrowed(octets: bytes, *, bodies: bool, depth: int) -> tuple[bytes, tuple[str, ...]]:
    root = read_parts(octets)
    narrower = _Narrower(octets, bodies=bodies, depth=depth)
    narrower.visit(root)
    try:
        narrowed = splice(octets, narrower.edits)
    except ValueError as exc:
        raise CannotEdit("two edits in one place") from exc
    if not (narrowed.isascii() if bodies else narrowed[: root.body_start].isascii()):
        raise CannotEdit("octets over 127 outside of every part")
    if first_long_line(narrowed) >= 0:
        raise CannotEdit("a long line")
    return narrowed, tuple(narrower.notes)


class _Narrower:
    """Goes once through the tree and collects edits."""

    __slots__ = ("_bodies", "_depth", "_hint", "_octets", "edits", "notes")

    def __init__(self, octets: bytes, *, bodies: bool, depth: int) -> None:
        self._octets = octets
        self._bodies = bodies
        self._depth = depth
        self._hint = charset_hint(octets)
        self.edits: list[Edit] = []
        self.notes: dict[str, None] = {}

    def visit(self, part: Part) -> None:
        """Depth is bounded by `mime.MAX_DEPTH`."""
        sealed = _SEALED.get(part.content_type)
        if sealed and self._bodies and not self._is_ascii(part.body_start, part.end):
            raise CannotEdit(sealed)
        self._header(part)
        if sealed:
            self._relabel(part)
        elif part.children:
            self._relabel(part)
            self._between(part)
            for child in part.children:
                self.visit(child)
        elif self._bodies:
            self._leaf(part)

    def _is_ascii(self, start: int, end: int) -> bool:
        return self._octets[start:end].isascii()

    # -- headers

    def _header(self, part: Part) -> None:
        for field in part.header.fields:
            if not field.raw.isascii():
                self.edits.append(Edit(field.start, field.start + len(field.raw), self._in_ascii(field)))
                self.notes[f"header.encoded:{field.name or '-'}"] = None

    def _in_ascii(self, field: HeaderField) -> bytes:
        if field.name not in {"content-type", "content-disposition"}:
            return ascii_field(field, self._hint)
        encoded = ascii_parameters(field, self._hint)
        if encoded is None:
            raise CannotEdit(field.name)
        return encoded

    def _relabel(self, part: Part) -> None:
        """Say 7bit where 8bit was said; a container may say nothing else of what holds no such part any more."""
        if not self._bodies or part.transfer_encoding not in _EIGHT_BIT:
            return
        named = [field for field in part.header.fields if field.name == "content-transfer-encoding"]
        for index, field in enumerate(named):
            line = b"" if index else b"Content-Transfer-Encoding: 7bit\r\n"
            self.edits.append(Edit(field.start, field.start + len(field.raw), line))
        self.notes["hop.seven_bit"] = None

    # -- contents

    def _between(self, part: Part) -> None:
        """Preamble, delimiters and epilogue belong to no part and cannot be encoded."""
        at = part.body_start
        for child in part.children:
            if self._bodies and not self._is_ascii(at, child.start):
                raise CannotEdit("words between the parts")
            at = child.end
        if self._bodies and not self._is_ascii(at, part.end):
            raise CannotEdit("words behind the last part")

    def _leaf(self, part: Part) -> None:
        if self._is_ascii(part.body_start, part.end):
            self._relabel(part)
            return
        self.notes["hop.seven_bit"] = None
        check_readable(part)
        kind, encoding = part.content_type, part.transfer_encoding
        if encoding == "quoted-printable":
            new = ended(self._octets, part, quoted_printable(part_octets(self._octets, part)))
            self.edits.append(Edit(part.body_start, part.end, new))
        elif encoding == "base64" or kind.startswith("multipart/"):
            raise CannotEdit(f"octets over 127 in {encoding if encoding == 'base64' else kind}")
        elif kind == "message/rfc822":
            self._message(part)
        elif kind.startswith("message/") and not kind.startswith("message/global"):
            raise CannotEdit(kind)  # RFC 2046 §5.2: 7bit is all that it may be
        else:
            body = self._octets[part.body_start : part.end]
            self.edits += re_encode(self._octets, part, body, encoding=_encoding(part, body))

    def _message(self, part: Part) -> None:
        """An attached message may not be encoded as a whole (RFC 2046 §5.2.1); it is gone into."""
        if self._depth >= _MAX_NESTED:
            raise CannotEdit("messages in messages")
        try:
            inner, _ = _narrowed(self._octets[part.body_start : part.end], bodies=True, depth=self._depth + 1)
        except MimeError as exc:
            raise CannotEdit(f"in an attached message: {exc}") from exc
        self.edits.append(Edit(part.body_start, part.end, inner))
        self._relabel(part)


def _encoding(part: Part, body: bytes) -> str:
    """Quoted-printable for text, base64 for the rest, and for scripts of which hardly a letter is ASCII."""
    is_text = part.content_type.startswith("text/")
    plain = len(body.translate(None, _OVER_127))
    return "quoted-printable" if is_text and 2 * plain >= len(body) else "base64"
