"""Whom the relay asks about senders: the DNS."""

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from supportrelay.config.scalars import Duration
from supportrelay.config.section import Section

__all__ = ["DnsConfig"]

_PORT = 53
_LAST_PORT = 65535
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.+))?")


def _server(text: str) -> str:
    """Check an address, with or without a port."""
    _endpoint(text)
    return text


def _endpoint(text: str) -> tuple[str, int]:
    host, port = text, str(_PORT)
    if bracketed := _BRACKETED.fullmatch(text):
        host, port = bracketed[1], bracketed[2] or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ip_address(host))
    except ValueError:
        raise ValueError(
            f"'{text}': must be an IP address, with a port if need be: 192.0.2.53 or [2001:db8::53]:5353"
        ) from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        raise ValueError(f"'{text}': the port must be 1 to {_LAST_PORT}")
    return address, int(port)


class DnsConfig(Section):
    """The resolvers that SPF, DKIM and DMARC are looked up with."""

    servers: tuple[Annotated[str, AfterValidator(_server)], ...] = Field(
        default=(),
        description="IP addresses of resolvers, tried in order; a port may follow (127.0.0.1:5353, [::1]:5353). Named "
        "here, they are asked about mail from this very machine (loopback) too, which is not looked up otherwise.",
        json_schema_extra={"default": "the system's, /etc/resolv.conf"},
        examples=["[127.0.0.1]"],
    )
    timeout: Duration = Field(
        default=timedelta(seconds=3),
        description="How long one question may take, repetitions included. A colleague's mail waits for its proof 8 "
        "seconds at most, other mail 2.",
    )

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """``(IP address, port)`` of each server."""
        return tuple(_endpoint(one) for one in self.servers)
