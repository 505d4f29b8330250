"""From the connection to the greeting: who the client is, whether there is a place for it, whether it can wait."""

import asyncio
from typing import ClassVar

from supportrelay.core import reply as say
from supportrelay.edge.smtp_in.connection import Connection
from supportrelay.edge.smtp_in.intake import Intake
from supportrelay.edge.smtp_in.proxy import ProxyHeaderError, read_proxy_header
from supportrelay.log import get_logger

__all__ = ["Arrival"]

log = get_logger()


class Arrival(Connection):
    """The part of a session before the greeting.

    Attributes:
        protocol_name: In the greeting.
    """

    protocol_name: ClassVar[str] = "ESMTP"

    def __init__(self, intake: Intake, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(intake, loop)
        self._is_proxied = False

    def arrive(self) -> None:
        """Ask a proxy who its client is; others are who they are."""
        if self.intake.is_proxy(self.ip):
            self.awaits_proxy = True
            self._reset_timeout(self.limits.proxy_s)
        else:
            self._welcome()

    def _welcome(self) -> None:
        """Go on once the client's address is known."""
        refusal = self.intake.admit(self)
        context = self.intake.tls_context() if self.intake.tls_implicit else None
        if refusal is not None:
            self.turn_away(refusal)
        elif not self.intake.tls_implicit:
            self.greet_soon()
        elif context is None:
            self.turn_away(say.TLS_NOT_AVAILABLE)
        else:
            self.begin_tls(context)

    def greet_soon(self) -> None:
        """Listen a moment before speaking: whoever does not wait for the greeting is no mail server (C12)."""
        wait_s = 0.0 if self.intake.policy().is_familiar(self.ip) else self.limits.greet_after_s
        if self.intake.proxies and not self._is_proxied:
            wait_s *= 10  # where a proxy is meant to stand, a forged header is worth more than a moment
        if wait_s:
            self.greeting = self.loop.call_later(wait_s, self._say_greeting)
        else:
            self._say_greeting()

    def _say_greeting(self) -> None:
        self.is_greeted = True
        self.say_line(f"220 {self.intake.hostname} {self.protocol_name} supportrelay")

    def _read_proxy_header(self) -> None:
        try:
            header = read_proxy_header(bytes(self.pending))
        except ProxyHeaderError as exc:
            log.warning("proxy.refused", peer=self.ip, detail=str(exc))
            self.abort()
            return
        if header is not None:
            self.awaits_proxy, self._is_proxied = False, True
            del self.pending[: header.size_octets]
            self.ip = header.ip or self.ip
            self._reset_timeout(self.limits.tick_s)
            self._welcome()
            if self.pending and not self.is_waiting:
                self.turn_away(say.TALKED_TOO_EARLY)

    def read_before_greeting(self) -> None:
        """A proxy's header, or too early."""
        try:
            if self.awaits_proxy:
                self._read_proxy_header()
            else:
                self.turn_away(say.TALKED_TOO_EARLY)
        except Exception:
            log.exception("session.failed", peer=self.ip)
            self.leave(say.CANNOT_GO_ON)
