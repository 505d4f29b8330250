"""Telling of what was refused without filling the disk: a flood is a few lines and a count."""

from collections.abc import Callable

from supportrelay.core.reply import Reply
from supportrelay.log import get_logger

__all__ = ["RefusalLog"]

log = get_logger()

_WINDOW_S = 60.0
_CONNECTIONS = 20
_MESSAGES = 200


class _Allowance:
    """So many lines a minute; the first one after a silence says how many were left out."""

    def __init__(self, lines: int, now: Callable[[], float]) -> None:
        self._lines = lines
        self._now = now
        self._began_at = now()
        self._told = 0
        self._left_out = 0

    def take(self) -> int | None:
        """How many were left out before this one; None: this one is left out too."""
        now = self._now()
        if now - self._began_at >= _WINDOW_S:
            self._began_at, self._told = now, 0
        if self._told >= self._lines:
            self._left_out += 1
            return None
        self._told += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class RefusalLog:
    """At most 20 lines a minute of connections, and 200 of senders, recipients and messages.

    Args:
        now: Seconds that never run backwards.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._connections = _Allowance(_CONNECTIONS, now)
        self._messages = _Allowance(_MESSAGES, now)

    def tell(self, ip: str, reply: Reply) -> None:
        """One connection was turned away."""
        left_out = self._connections.take()
        if left_out is not None:
            log.warning("listener.refused", peer=ip, reply=str(reply), left_out=left_out)

    def tell_message(self, ip: str, reply: Reply, **what: str) -> None:
        """A sender, a recipient or a message was refused."""
        left_out = self._messages.take()
        if left_out is not None:
            more = {"left_out": left_out} if left_out else {}
            log.info("message.refused", reply=str(reply), **what, peer=ip, **more)
