"""Lines over 998 octets, which the next hop may refuse: refolded in headers, re-encoded in parts (RELIABILITY C16).

So are parts with NUL, which no line of a mail may hold (RFC 2045 §2.8).
"""

from supportrelay.core.headers import HeaderBlock
from supportrelay.core.mime import Part, part_octets, walk
from supportrelay.core.part_edit import CannotEdit, check_readable, check_size, ended, re_encode
from supportrelay.core.splice import MAX_LINE, Edit, first_long_line
from supportrelay.core.transfer import base64_lines, quoted_printable, relined_base64

__all__ = ["refold", "shorten_fields", "shorten_parts"]


def refold(raw: bytes) -> bytes:
    """Return a header field with no line over 998 octets; folded at white space where there is any."""
    lines: list[bytes] = []
    for whole in raw.removesuffix(b"\r\n").split(b"\r\n"):
        line = whole if len(whole) <= MAX_LINE or whole[:MAX_LINE].strip() else b" " + whole.lstrip()
        while len(line) > MAX_LINE:
            head, line = _cut(line)
            lines.append(head)
        if line.strip() or line is whole:
            lines.append(line)
    return b"\r\n".join(lines) + b"\r\n"


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """``(a line, the rest that begins with white space)``; a line of white space alone would end a header."""
    cut = max(line.rfind(b" ", 1, MAX_LINE), line.rfind(b"\t", 1, MAX_LINE))
    if cut < 0 or not line[:cut].strip():
        comma = line.rfind(b",", 1, MAX_LINE)
        cut = comma + 1 if comma > 0 else MAX_LINE - 1
    return line[:cut].rstrip(), b" " + line[cut:].lstrip()


def shorten_fields(header: HeaderBlock) -> tuple[list[Edit], list[str]]:
    """Edits that refold the fields that need it, and a note for each."""
    edits: list[Edit] = []
    notes: list[str] = []
    for field in header.fields:
        if len(field.raw) > MAX_LINE and first_long_line(field.raw) >= 0:
            edits.append(Edit(field.start, field.start + len(field.raw), refold(field.raw)))
            notes.append(f"header.refolded:{field.name}")
    return edits, notes


def shorten_parts(octets: bytes, root: Part) -> tuple[list[Edit], list[str]]:
    """Edits that re-encode the parts that need it; their decoded octets stay the same.

    Raises:
        CannotEdit: A part that may not be re-encoded, e.g. an attached message.
    """
    edits: list[Edit] = []
    for part in walk(root):
        if part is not root:
            edits += shorten_fields(part.header)[0]
        is_long = not part.children and first_long_line(octets, part.body_start, part.end) >= 0
        if is_long or (not part.children and octets.find(b"\0", part.body_start, part.end) >= 0):
            edits += _shorten_part(octets, part)
    return edits, ["part.long_line"] if edits else []


def _shorten_part(octets: bytes, part: Part) -> list[Edit]:
    check_readable(part)
    if part.transfer_encoding == "base64":
        digits = relined_base64(octets[part.body_start : part.end])
        if digits is not None:
            return [Edit(part.body_start, part.end, ended(octets, part, digits))]
    check_size(part)
    body = part_octets(octets, part)
    if part.transfer_encoding == "base64":
        return [Edit(part.body_start, part.end, ended(octets, part, base64_lines(body)))]
    if part.transfer_encoding == "quoted-printable":
        return [Edit(part.body_start, part.end, ended(octets, part, quoted_printable(body)))]
    if part.content_type.startswith(("message/", "multipart/")):
        raise CannotEdit(f"a long line or NUL in {part.content_type}")
    return re_encode(octets, part, body)
