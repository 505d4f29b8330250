"""A mail whose text may not be edited, put whole behind a part with the banner."""

import hashlib

from supportrelay.core.banner_text import Banner
from supportrelay.core.headers import HeaderBlock, fields_named, split_headers
from supportrelay.core.splice import Edit, first_long_line, splice
from supportrelay.core.transfer import base64_lines, best_encoding, quoted_printable

__all__ = ["BLIND", "attach_original", "text_body", "wrap_entity"]

BLIND = frozenset({"bcc", "resent-bcc"})
"""Fields that nobody else may see."""

_MIME_VERSION = b"MIME-Version: 1.0\r\n"


def wrap_entity(octets: bytes, header: HeaderBlock, banner: Banner) -> list[Edit]:
    """Edits that make the mail a multipart/mixed of the banner and the entity as it was.

    The Content-* fields go with the entity, octet for octet; a signature over it stays whole (RFC 1847).
    """
    boundary = _new_boundary(octets)
    content = [f for f in header.fields if f.name.startswith("content-")]
    entity_header = b"".join(f.raw for f in content)
    is_8bit = not (octets[header.end :].isascii() and entity_header.isascii())
    top = b"" if header.first("mime-version") else _MIME_VERSION
    front = _banner_part(banner, boundary) + b"--%s\r\n%s\r\n" % (boundary, entity_header)
    return [
        *(Edit(f.start, f.start + len(f.raw), b"") for f in content),
        Edit(header.end - 2, header.end - 2, top + _mixed(boundary, is_8bit=is_8bit)),
        Edit(header.end, header.end, front),
        Edit(len(octets), len(octets), b"\r\n--%s--\r\n" % boundary),
    ]


def attach_original(
    octets: bytes, header: HeaderBlock, banner: Banner | None, *, received: bytes, as_message: bool = True
) -> list[Edit]:
    """Edits that replace the body by the banner and the mail as received, attached as ``original.eml``.

    Args:
        octets: The normalised octets that are edited, with their header.
        received: The octets as they came. Attached as message/rfc822 where that is legal, else in base64.
        as_message: False takes base64 in any case: nothing but ASCII goes over the wire, and no server looks at it as
            at a mail.
    """
    boundary = _new_boundary(octets)
    original = _without_bcc(received)
    as_message = as_message and received == octets and _may_be_message(original)
    is_8bit = as_message and not original.isascii()
    kind = b"message/rfc822" if as_message else b"application/octet-stream"
    encoding = b"base64" if not as_message else b"8bit" if is_8bit else b"7bit"
    attached = original if as_message else base64_lines(original)
    part = (
        b'--%s\r\nContent-Type: %s\r\nContent-Disposition: attachment; filename="original.eml"\r\n'
        b"Content-Transfer-Encoding: %s\r\n\r\n%s\r\n--%s--\r\n"
    ) % (boundary, kind, encoding, attached, boundary)
    replaced = [f for f in header.fields if f.name.startswith("content-") or f.name == "mime-version"]
    return [
        *(Edit(f.start, f.start + len(f.raw), b"") for f in replaced),
        Edit(header.end - 2, header.end - 2, _MIME_VERSION + _mixed(boundary, is_8bit=is_8bit)),
        Edit(header.end, len(octets), (_banner_part(banner, boundary) if banner else b"") + part),
    ]


def _mixed(boundary: bytes, *, is_8bit: bool) -> bytes:
    encoding = b"Content-Transfer-Encoding: 8bit\r\n" if is_8bit else b""
    return b'Content-Type: multipart/mixed; boundary="%s"\r\n%s' % (boundary, encoding)


def _banner_part(banner: Banner, boundary: bytes) -> bytes:
    """The delimiter, the part and the line end that belongs to the next delimiter."""
    encoding, body = text_body(banner.text)
    return (
        b"--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: inline\r\n"
        b"Content-Transfer-Encoding: %s\r\n\r\n%s\r\n"
    ) % (boundary, encoding, body)


def text_body(text: str) -> tuple[bytes, bytes]:
    """``(transfer encoding, body octets)`` of a text with LF line ends, in UTF-8 and in ASCII on the wire."""
    octets = text.replace("\n", "\r\n").encode("utf-8", "replace")
    if octets.isascii() and first_long_line(octets) < 0:
        return b"7bit", octets
    if best_encoding(octets) == "base64":
        return b"base64", base64_lines(octets)
    return b"quoted-printable", quoted_printable(octets)


def _new_boundary(octets: bytes) -> bytes:
    """A boundary that stands nowhere in the mail; the same for the same mail, so that a retry writes the same copy."""
    digest = hashlib.sha256(octets[:65536] + b"%d" % len(octets))
    while True:
        boundary = b"=_supportrelay_" + digest.hexdigest()[:24].encode("ascii")  # "=_" never stands in QP or base64
        if boundary not in octets:
            return boundary
        digest.update(b"again")


def _without_bcc(octets: bytes) -> bytes:
    """Blind recipients stay blind, in an attachment too (RELIABILITY C63)."""
    blind = fields_named(octets, split_headers(octets), BLIND)
    return splice(octets, (Edit(f.start, f.start + len(f.raw), b"") for f in blind)) if blind else octets


def _may_be_message(octets: bytes) -> bool:
    """Legal as message/rfc822 (RFC 2046 §5.2.1): lines and header as the rules want them."""
    header = octets[: split_headers(octets).end]
    return header.isascii() and b"\0" not in octets and first_long_line(octets) < 0
