"""A name for the content of a mail, which stays the same when the mail comes again by another way."""

import hashlib

from supportrelay.core.headers import HeaderBlock, split_headers, without_mark
from supportrelay.core.mime import MAX_HEADER_OCTETS, MimeError, Part, part_octets, read_parts, walk
from supportrelay.core.pieces import changed

__all__ = ["content_key", "key_of_parts", "usable_id"]


def usable_id(message_id: str) -> str:
    """The id inside its brackets, case kept; "" when it names nothing in the world (RULES 5.1)."""
    inner = message_id.strip().removeprefix("<").removesuffix(">").strip()
    domain = inner.rpartition("@")[2].lower()
    return "" if domain in {"", "localhost", "localhost.localdomain"} else inner


def content_key(octets: bytes) -> str:
    """SHA-256 (64 hex digits) over the parts of a message as they are encoded, not over its header. Never raises."""
    octets = without_mark(octets)
    try:
        root = read_parts(octets)
    except MimeError:
        return key_of_parts(octets, None, split_headers(octets, 0, min(len(octets), MAX_HEADER_OCTETS)))
    return key_of_parts(octets, root, root.header)


def key_of_parts(octets: bytes, root: Part | None, header: HeaderBlock) -> str:
    """The same for a message whose parts are read already; ``root`` is None when they could not be."""
    digest = hashlib.sha256()
    for part in walk(root) if root else ():
        if not part.children:
            digest.update(hashlib.sha256(_comparable(part_octets(octets, part))).digest())
    if root is None:
        digest.update(_comparable(octets[header.end :]))
    return digest.hexdigest()


def _comparable(octets: bytes) -> bytes:
    return changed(octets, lambda piece: piece.replace(b"\r\n", b"\n")).rstrip()
