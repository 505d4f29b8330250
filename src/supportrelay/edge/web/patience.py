"""HTTP connections on which nothing is asked: cut, or whoever opens 64 of them and keeps silent is the last one served.

uvicorn closes a connection that is idle after an answer; one that never finishes its first question, or lets the next
one drip in, it keeps for ever (0.35), and each counts against ``limit_concurrency``.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["ImpatientProtocol"]


class ImpatientProtocol(H11Protocol):
    """For ``uvicorn.Config(http=...)``.

    Attributes:
        patience_s: How long a question may take to come whole; at most twice that passes.
    """

    patience_s = 5.0
    _last: "RequestResponseCycle | None" = None
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Somebody is there."""
        super().connection_made(transport)
        self._look = self.loop.call_later(self.patience_s, self._look_again, True)

    def connection_lost(self, exc: Exception | None) -> None:
        """He is gone."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _look_again(self, is_first: bool) -> None:
        """No question under way, and none since the last look."""
        cycle = self.cycle
        is_asking = cycle is not None and not cycle.response_complete
        if not is_asking and not is_first and cycle is self._last:
            self.transport.abort()
            return
        self._last = cycle
        self._look = self.loop.call_later(self.patience_s, self._look_again, False)
