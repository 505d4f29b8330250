"""The port: opens, shares its settings with the sessions, and goes down without losing what was begun."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from supportrelay.core.envelope import Role
from supportrelay.edge.smtp_in.intake import Intake, IntakePolicy, Limits, Take
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
    limits: Limits | None = None,
) -> Listener:
    """Serve SMTP on a bound socket, on the running event loop.

    Args:
        sock: Bound, not yet listening (or listening already); several processes may share a port by SO_REUSEPORT.
        role: For the policy.
        policy: Called for each transaction and recipient, so that a reload swaps it under open sessions.
        take: Takes custody of one message; see `Take`.
        hostname: In the greeting and after EHLO.
        max_size: Called for each message; octets.
        tls_context: Called for each EHLO and handshake; None offers no STARTTLS.
        tls_required: No MAIL before STARTTLS.
        limits: None takes the defaults.

    Raises:
        OSError: The socket cannot listen.
    """
    intake = Intake(role, policy, take, hostname, max_size, tls_context, tls_required, limits or Limits())
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    server = await loop.create_server(lambda: Session(intake, loop), sock=sock, backlog=_BACKLOG)
    address = sock.getsockname()
    log.info("listener.opened", host=address[0], port=address[1], role=role.value)
    return Listener(intake, server, (address[0], address[1]))
