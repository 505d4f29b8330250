"""Whether the ports are free that the configuration wants."""

import errno
import socket
from collections.abc import Iterator

from supportrelay.config.models import Config
from supportrelay.config.problem import KeyPath, print_key_path

__all__ = ["check_ports"]


def check_ports(config: Config) -> list[str]:
    """Return a line ``FILE:LINE:COLUMN: key: what is wrong`` for each port that cannot be opened now.

    The ports are bound for an instant without being shared, so a running daemon of this same configuration makes its
    own ports taken; whether that is a mistake only the caller knows.
    """
    found = [(place, _why_not(host, port)) for place, host, port in _places(config)]
    found += [
        (("listen", i), ("path", f"there is no folder {one.path.parent}"))
        for i, one in enumerate(config.listen)
        if one.path and not one.path.parent.is_dir()
    ]
    return [
        f"{config.where(*place, why[0])}: {print_key_path((*place, why[0]))}: {why[1]}" for place, why in found if why
    ]


def _places(config: Config) -> Iterator[tuple[KeyPath, str, int]]:
    for i, listener in enumerate(config.listen):
        if listener.path:
            continue
        yield ("listen", i), listener.host, listener.port
    yield ("web",), config.web.host, config.web.port


def _why_not(host: str, port: int) -> tuple[str, str] | None:
    """The key that is wrong, ``host`` or ``port``, and why; None when the port can be opened."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        return "host", f"'{host}' cannot be resolved ({exc.strerror})"
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                # Two sockets may be bound with SO_REUSEADDR while neither listens.
                probe.listen(1)
        except OSError as exc:
            return _words(exc, host, port)
    return None


def _words(error: OSError, host: str, port: int) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return "port", f"port {port} of {host} is in use by another program"
    if error.errno == errno.EACCES:
        return "port", f"port {port} needs root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "host", f"{host} is no address of this machine"
    return "port", f"port {port} of {host} cannot be opened ({error.strerror})"
