"""A mail without its attachments, for mailboxes that take no more: the texts stay, each attachment leaves its name."""

import math

from supportrelay.core.banner_text import clean_line
from supportrelay.core.mime import MimeError, Part, part_octets, read_parts, walk
from supportrelay.core.part_edit import CannotEdit, ended
from supportrelay.core.splice import Edit, splice
from supportrelay.core.value import value_class
from supportrelay.core.wrap import text_body

__all__ = ["LeftOut", "attachments_of", "leave_out", "shown_size"]

_ENCRYPTED = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
# Small, and a report is none without it.
_KEPT = frozenset({"message/delivery-status", "message/disposition-notification", "message/feedback-report"})
_MAX_NAME = 100
_KIB = 1024


@value_class
class LeftOut:
    """An attachment that is not in a copy.

    Attributes:
        name: Its file name on one line, without marks that turn or hide letters (RELIABILITY C44), else its type; at
            most 100 characters.
        size_octets: Decoded.
    """

    name: str
    size_octets: int

    def __str__(self) -> str:
        return f"{self.name} ({shown_size(self.size_octets)})"


def shown_size(octets: int) -> str:
    """``340 B``, ``12 KB``, ``3.4 MB``."""
    if octets < _KIB:
        return f"{octets} B"
    if octets < _KIB * _KIB:
        return f"{-(-octets // _KIB)} KB"
    return f"{octets / _KIB / _KIB:.1f} MB"


def leave_out(octets: bytes, *, share: float = math.inf) -> tuple[bytes, tuple[LeftOut, ...]]:
    """Return a mail with CRLF line ends without its attachments, and what they were, in order.

    A line of text stands in the place of each, so that the structure stays. Of a signed mail the signature goes too:
    it would not fit any more.

    Args:
        share: Of the mail's octets; when more is left nothing is won.

    Raises:
        MimeError: The mail cannot be parsed.
        CannotEdit: There is none, the mail is encrypted, or it is large without.
    """
    root = read_parts(octets)
    edits: list[Edit] = []
    found: list[LeftOut] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.content_type in _ENCRYPTED:
            raise CannotEdit("encrypted")
        if part.children:
            waiting.extend(reversed(part.children))
            if part.content_type == "multipart/signed":
                edits.append(_unsigned(part))
        elif part is not root and not _is_text(part):
            found.append(_described(octets, part))
            edits.append(Edit(part.start, part.end, _stub(octets, part, found[-1])))
    if not found:
        raise CannotEdit("no attachment")
    lighter = splice(octets, edits)
    if len(lighter) > len(octets) * share:
        raise CannotEdit("large without attachments")
    return lighter, tuple(found)


def attachments_of(octets: bytes) -> tuple[LeftOut, ...]:
    """What is attached to a mail, in order; a scan that is nothing but a PDF is. Empty when that cannot be said."""
    try:
        root = read_parts(octets)
    except MimeError:
        return ()
    return tuple(_described(octets, part) for part in walk(root) if not part.children and not _is_text(part))


def _is_text(part: Part) -> bool:
    is_body = part.content_type.startswith("text/") and part.disposition != "attachment" and not part.filename
    return is_body or part.content_type in _KEPT


def _described(octets: bytes, part: Part) -> LeftOut:
    name = clean_line(part.filename)[:_MAX_NAME] or part.content_type[:_MAX_NAME]
    return LeftOut(name, len(part_octets(octets, part)))


def _stub(octets: bytes, part: Part, left: LeftOut) -> bytes:
    encoding, body = text_body(f"[{left}]\n")
    header = b"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: inline\r\n"
    return header + b"Content-Transfer-Encoding: %s\r\n\r\n%s" % (encoding, ended(octets, part, body))


def _unsigned(part: Part) -> Edit:
    """``multipart/mixed`` with the same boundary in place of ``multipart/signed``."""
    field = part.header.first("content-type")
    assert field is not None  # without one it would be no multipart/signed
    quoted = part.boundary.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    new = b'Content-Type: multipart/mixed;\r\n\tboundary="%s"\r\n' % quoted
    return Edit(field.start, field.start + len(field.raw), new)
