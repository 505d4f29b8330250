"""The message and its addresses as they go over the wire (RFC 5321 §4.1.2, §4.5.2)."""

import re

from supportrelay.core.mailbox import parse_path, print_path
from supportrelay.core.pieces import changed, count

__all__ = ["wire_content", "wire_path"]

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
_PLAIN = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*+@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+")


def wire_path(path: str) -> bytes:
    """``<path>`` in UTF-8; "" is the null reverse-path.

    aiosmtplib's own quoting goes through ``parseaddr``, which makes one address of another (RELIABILITY D25): ours are
    parsed by our grammar and written as they are.

    Raises:
        AddressError: Not a mailbox; nothing may be sent there.
    """
    if path and not _PLAIN.fullmatch(path):
        path = print_path(parse_path(path))
    return f"<{path}>".encode()


def wire_content(octets: bytes) -> bytes:
    """The message with its dots stuffed, its last line ended, and the final dot.

    Line ends are CRLF since intake; stray ones would let the next hop see another end than we do (C11), so they are
    made CRLF here too should a copy hold any. Linear, about 2 ms a MiB.
    """
    if not count(octets, b"\n") == count(octets, b"\r\n") == count(octets, b"\r"):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    stuffed = changed(octets, _stuff)
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n.\r\n")


def _stuff(octets: bytes) -> bytes:
    return octets.replace(b"\r\n.", b"\r\n..")
