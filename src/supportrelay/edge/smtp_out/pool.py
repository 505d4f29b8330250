"""The connections to one smarthost: at most so many, none too old, none after an error."""

import asyncio
import ssl

from supportrelay.core.delivery import Outcome, Phase
from supportrelay.core.value import value_class
from supportrelay.edge.smtp_out.link import Link, LinkFailure, Patience, open_link
from supportrelay.edge.smtp_out.smarthost import Smarthost

__all__ = ["ConnectionPool", "PoolLimits"]


@value_class
class PoolLimits:
    """How much one host gets.

    Attributes:
        connections: At once.
        age_s: A connection older than this is not used again (Postfix: smtp_connection_reuse_time_limit 300 s).
        messages: On one connection; some servers count.
    """

    connections: int = 20
    age_s: float = 300
    messages: int = 100


class ConnectionPool:
    """Connections to one host. `slots` limits how many are used at once; whoever takes one holds a slot.

    Attributes:
        last_choice_until: Loop time until which the host is asked last: it could not be reached.
        closed_until: Loop time until which it is not asked at all, and why: it refused our login (D29).
    """

    def __init__(self, host: Smarthost, *, hostname: str, limits: PoolLimits, patience: Patience) -> None:
        self.host = host
        self.slots = asyncio.Semaphore(limits.connections)
        self.last_choice_until = 0.0
        self.closed_until = 0.0
        self.refusal: Outcome | None = None
        self._hostname = hostname
        self._limits = limits
        self._patience = patience
        self._context: ssl.SSLContext | None = None
        self._idle: list[Link] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take_idle(self) -> Link | None:
        """A connection that seems open; the one used last, so that the others grow old and go."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            link = self._idle.pop()
            if link.is_open and now - link.opened_at < self._limits.age_s:
                return link
            link.close()
        return None

    async def open(self) -> Link:
        """A new connection.

        Raises:
            LinkFailure: There is none to be had.
        """
        if self._context is None and self.host.tls != "none":
            try:
                self._context = await asyncio.to_thread(self.host.make_tls_context)
            except OSError as exc:  # ssl.SSLError is one too
                raise LinkFailure(Phase.TLS, 0, f"certificate files: {exc}", is_ours=True) from exc
        return await open_link(self.host, hostname=self._hostname, patience=self._patience, context=self._context)

    def put_back(self, link: Link) -> None:
        """Keep a connection whose last transaction came to a known end, if it is any good."""
        loop = asyncio.get_running_loop()
        is_spent = link.sent >= self._limits.messages or loop.time() - link.opened_at >= self._limits.age_s
        if is_spent or self._is_closed or not link.is_open:
            link.close()
            return
        self._idle.append(link)
        if self._reaper is None:
            self._reaper = loop.call_later(self._limits.age_s, self._reap)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        oldest_allowed = loop.time() - self._limits.age_s
        for link in self._idle:
            if link.opened_at <= oldest_allowed or not link.is_open:
                link.close()
        self._idle = [link for link in self._idle if link.is_open]
        self._reaper = loop.call_later(self._limits.age_s / 4, self._reap) if self._idle else None

    async def aclose(self) -> None:
        """Say QUIT on idle connections; those in use are closed when they come back (a reload replaced us)."""
        self._is_closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        idle, self._idle = self._idle, []
        await asyncio.gather(*(link.quit() for link in idle))
