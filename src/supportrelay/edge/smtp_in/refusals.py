"""Telling of connections that were turned away without filling the disk: a flood is a few lines and a count."""

from collections.abc import Callable

from supportrelay.core.reply import Reply
from supportrelay.log import get_logger

__all__ = ["RefusalLog"]

log = get_logger()

_WINDOW_S = 60.0
_LINES = 20


class RefusalLog:
    """At most 20 lines a minute; the first one after a silence says how many were left out.

    Args:
        now: Seconds that never run backwards.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began_at = now()
        self._told = 0
        self._left_out = 0

    def tell(self, ip: str, reply: Reply) -> None:
        """One connection was turned away."""
        now = self._now()
        if now - self._began_at >= _WINDOW_S:
            self._began_at, self._told = now, 0
        if self._told >= _LINES:
            self._left_out += 1
            return
        self._told += 1
        log.warning("listener.refused", peer=ip, reply=str(reply), left_out=self._left_out)
        self._left_out = 0
