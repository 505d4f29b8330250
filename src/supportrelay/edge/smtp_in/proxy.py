"""The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): who the client behind a proxy is.

Our own because aiosmtpd's reader waits on a stream with a limit of its own and believes any peer (RELIABILITY D12).
Whose header is believed is asked before (`Intake.is_proxy`).
"""

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from supportrelay.core.value import value_class

__all__ = ["ProxyHeader", "ProxyHeaderError", "read_proxy_header"]

_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16
_V1 = b"PROXY "
_V1_LIMIT = 107  # with its CRLF
_V1_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9a-fA-F.:]{2,39}) ([0-9a-fA-F.:]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_PORT_LIMIT = 65535


class ProxyHeaderError(ValueError):
    """These octets are no PROXY header."""


@value_class
class ProxyHeader:
    """What a proxy said.

    Attributes:
        ip: The client's address, printed; "" when the proxy speaks for itself (a health check), "unknown" when it
            does not know.
        size_octets: Of the header; what follows is the client's.
    """

    ip: str
    size_octets: int


def read_proxy_header(octets: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of ``octets``; None while it has not come whole.

    Raises:
        ProxyHeaderError: It is none, or a broken one. At the latest after 107 octets of version 1; one of version 2
            says its length, at most 65,551 octets.
    """
    if octets.startswith(_V1[: len(octets)]):
        return _read_v1(octets)
    if octets.startswith(_V2_SIGNATURE[: len(octets)]):
        return _read_v2(octets)
    raise ProxyHeaderError("no PROXY header")


def _read_v1(octets: bytes) -> ProxyHeader | None:
    end = octets.find(b"\r\n", 0, _V1_LIMIT)
    if end < 0:
        if len(octets) >= _V1_LIMIT:
            raise ProxyHeaderError("version 1: no end of line")
        return None
    line, size = octets[:end], end + 2
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return ProxyHeader("unknown", size)
    found = _V1_LINE.fullmatch(line)
    if not found:
        raise ProxyHeaderError("version 1: malformed")
    wanted = 4 if found[1] == b"TCP4" else 6
    try:
        source, target = (ip_address(found[n].decode("ascii")) for n in (2, 3))
    except ValueError:
        raise ProxyHeaderError("version 1: no address") from None
    if source.version != wanted or target.version != wanted or max(int(found[4]), int(found[5])) > _PORT_LIMIT:
        raise ProxyHeaderError("version 1: address of another family, or no port")
    return ProxyHeader(_printed(source), size)


def _read_v2(octets: bytes) -> ProxyHeader | None:
    if len(octets) < _V2_FIXED:
        return None
    command, family, length = struct.unpack_from("!BBH", octets, len(_V2_SIGNATURE))
    if command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError("version 2: unknown version or command")
    size = _V2_FIXED + length
    if len(octets) < size:
        return None
    if command == _LOCAL:
        return ProxyHeader("", size)
    address = octets[_V2_FIXED:size]
    if family == _TCP4 and length >= 12:  # noqa: PLR2004  two addresses, two ports
        return ProxyHeader(_printed(IPv4Address(address[:4])), size)
    if family == _TCP6 and length >= 36:  # noqa: PLR2004
        return ProxyHeader(_printed(IPv6Address(address[:16])), size)
    if family in {_TCP4, _TCP6}:
        raise ProxyHeaderError("version 2: address cut short")
    return ProxyHeader("unknown", size)


def _printed(address: IPv4Address | IPv6Address) -> str:
    """IPv4 as such also when it is written as IPv6."""
    return str(getattr(address, "ipv4_mapped", None) or address)
