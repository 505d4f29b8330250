"""bootstrap_listen: where mail comes in: sockets, certificates, limits."""

import resource
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from supportrelay.config import Config
from supportrelay.config.certificate import valid_until
from supportrelay.core.envelope import Role
from supportrelay.core.errors import InputError
from supportrelay.core.value import value_class
from supportrelay.edge.smtp_in import Certificates, Limits

__all__ = ["BoundListener", "bind_listeners", "certificates_of", "limits_of", "places", "remove_paths", "use_pairs"]

_WANTED_FILES = 8192
# The store, its files, logs, connections to the next hop: what a worker opens beside its sessions.
_OTHER_FILES = 96


@value_class
class BoundListener:
    """A bound socket and what it is for."""

    socket: socket.socket
    role: Role
    position: int  # in config.listen

    @property
    def printed(self) -> str:
        """``127.0.0.1:8025 mx``."""
        name = self.socket.getsockname()
        return f"{name} {self.role}" if isinstance(name, str) else f"{name[0]}:{name[1]} {self.role}"


def bind_listeners(config: Config) -> list[list[BoundListener]]:
    """One set of sockets for each worker: ports by SO_REUSEPORT, a path by one socket that all have.

    Raises:
        InputError: A place is in use or not allowed; the text names the line of the configuration.
    """
    found: list[list[BoundListener]] = [[] for _ in range(config.workers)]
    for position, listen in enumerate(config.listen):
        if listen.path:
            shared = _bind_path(listen.path, config.where("listen", position, "path"))
            for of_worker in found:
                of_worker.append(BoundListener(shared, listen.role, position))
            continue
        where = config.where("listen", position, "port")
        port = _probe(listen.host, listen.port, where)
        for of_worker in found:
            bound = _bind(listen.host, port, where, shares=True)
            of_worker.append(BoundListener(bound, listen.role, position))
    return found


def _probe(host: str, port: int, where: str) -> int:
    """Bind without sharing first: a port that somebody else shares must not be joined by accident."""
    with _bind(host, port, where, shares=False) as probe:
        return int(probe.getsockname()[1])


def _bind(host: str, port: int, where: str, *, shares: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        if not shares:
            bound.listen(1)  # with SO_REUSEADDR only listening tells that the port is taken
    except OSError as exc:
        bound.close()
        raise InputError(f"{where}: cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    return bound


def _bind_path(path: Path, where: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_behind(path)
        bound.bind(str(path))
        # Whoever may open its folder may send, as with a port of loopback; a mail server runs as another user.
        path.chmod(0o666)
    except OSError as exc:
        bound.close()
        raise InputError(f"{where}: cannot listen on {path}: {exc.strerror or exc}") from exc
    return bound


def _remove_left_behind(path: Path) -> None:
    """A socket that nobody serves is what an earlier life left; one that is served stays, and binding fails."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


def remove_paths(bound: Iterable[BoundListener]) -> None:
    """Take the paths away, so that nobody connects to a daemon that leaves."""
    for one in bound:
        if one.socket.family == socket.AF_UNIX:
            with suppress(OSError):
                Path(one.socket.getsockname()).unlink()


def certificates_of(config: Config) -> Certificates:
    """What the listeners show.

    Raises:
        InputError: A certificate or key cannot be used.
    """
    certificates = Certificates(valid_until)
    use_pairs(certificates, config)
    return certificates


def use_pairs(certificates: Certificates, config: Config) -> None:
    """Use the files that a configuration names; a listener that was taken out serves on until the restart.

    Raises:
        InputError: A certificate or key cannot be used; nothing was changed.
    """
    certificates.use({one.place: (one.tls.cert, one.tls.key) if one.tls else None for one in config.listen})


def limits_of(config: Config) -> Limits:
    """How much of anything a client gets."""
    given = config.limits
    return Limits(
        idle_s=given.idle.total_seconds(),
        data_idle_s=given.data_idle.total_seconds(),
        data_grace_s=given.data_grace.total_seconds(),
        data_octets_per_s=given.data_rate,
        session_s=given.session.total_seconds(),
        connections=given.connections,
        connections_per_client=given.connections_per_client,
        connections_per_minute=given.connections_per_minute,
        recipients=given.recipients,
        error_points=given.errors * 5,
        idle_commands=given.commands_without_mail,
    )


def places(wanted: int) -> int:
    """Ask for as many files as that many connections need, and return how many connections there is room for.

    A process without free file descriptors can neither answer nor store (RELIABILITY C24, F34).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(_WANTED_FILES, 2 * wanted + _OTHER_FILES)
    best = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and best > soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
            soft = best
    # A session with a large message has a second file.
    return needed if soft == resource.RLIM_INFINITY else max((soft - _OTHER_FILES) // 2, 8)
