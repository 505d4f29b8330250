"""The port: opens, shares its settings with the sessions, and goes down without losing what was begun."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from supportrelay.core.envelope import Role
from supportrelay.edge.smtp_in.census import Census
from supportrelay.edge.smtp_in.intake import Intake, IntakePolicy, Limits, Login, Take
from supportrelay.edge.smtp_in.lmtp import LmtpSession
from supportrelay.edge.smtp_in.session import Session
from supportrelay.log import get_logger

__all__ = ["Listener", "start_listener"]

log = get_logger()

_BACKLOG = 1024
_CUT_S = 1.0


class Listener:
    """An open port."""

    def __init__(self, intake: Intake, server: asyncio.Server, address: tuple[str, int]) -> None:
        self._intake = intake
        self._server = server
        self.address = address

    @property
    def open_sessions(self) -> int:
        """How many clients are connected."""
        return len(self._intake.sessions)

    async def drain(self, timeout_s: float) -> None:
        """Close the port, let running messages come to their end, then cut off what is left.

        Idle clients get 421 4.3.2 at once, those in the middle of DATA after their reply. Returns when no session and
        no custody is left, at the latest after ``timeout_s`` seconds and a moment for the rest to be cut.
        """
        intake = self._intake
        intake.is_closing = True
        self._server.close()
        for session in tuple(intake.sessions):
            session.wind_down()
        if not await intake.wait_quiet(timeout_s):
            for session in tuple(intake.sessions):
                session.abort()
            for task in tuple(intake.takes):
                task.cancel()
            await intake.wait_quiet(_CUT_S)
        log.info("listener.closed", host=self.address[0], port=self.address[1])


async def start_listener(
    sock: socket.socket,
    *,
    role: Role,
    policy: Callable[[], IntakePolicy],
    take: Take,
    hostname: str,
    max_size: Callable[[], int],
    tls_context: Callable[[], ssl.SSLContext | None],
    tls_required: bool = False,
    tls_implicit: bool = False,
    proxies: Sequence[IPv4Network | IPv6Network] = (),
    login: Login | None = None,
    limits: Limits | None = None,
    spool_folder: Path | None = None,
    census: Census | None = None,
) -> Listener:
    """Serve SMTP on a bound socket, on the running event loop.

    Args:
        sock: TCP or Unix; bound, not yet listening (or listening already). Several processes may share a TCP port by
            SO_REUSEPORT.
        role: For the policy.
        policy: Called for each transaction and recipient, so that a reload swaps it under open sessions.
        take: Takes custody of one message; see `Take`.
        hostname: In the greeting and after EHLO.
        max_size: Called for each message; octets.
        tls_context: Called for each EHLO and handshake; None offers no STARTTLS.
        tls_required: No MAIL before STARTTLS.
        tls_implicit: TLS from the first octet; the context may be another for each connection.
        proxies: Whoever connects from there must begin with a PROXY header, which says who the client is.
        login: Checks who logs in; AUTH is offered over TLS only. None: nobody can.
        limits: None takes the defaults.
        spool_folder: On disk, where large messages wait until they are whole; None: in memory.
        census: Counts connections together with other listeners and processes; None: this one alone.

    Raises:
        OSError: The socket cannot listen.
    """
    intake = Intake(
        role,
        policy,
        take,
        hostname,
        max_size,
        tls_context,
        tls_required=tls_required,
        tls_implicit=tls_implicit,
        proxies=tuple(proxies),
        login=login,
        limits=limits or Limits(),
        spool_folder=spool_folder,
        census=census or Census.alone(time.monotonic),
    )
    loop = asyncio.get_running_loop()
    make = LmtpSession if role is Role.LMTP else Session
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        server = await loop.create_unix_server(lambda: make(intake, loop), sock=sock, backlog=_BACKLOG)
        address = (str(sock.getsockname()), 0)
    else:
        server = await loop.create_server(lambda: make(intake, loop), sock=sock, backlog=_BACKLOG)
        address = sock.getsockname()[:2]
    log.info("listener.opened", host=address[0], port=address[1], role=role.value)
    return Listener(intake, server, address)
