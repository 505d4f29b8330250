"""When nothing answers: after a few failures in a row it is left alone, then one call looks whether it is back."""

from datetime import datetime, timedelta
from typing import Final

__all__ = ["Breaker"]

_FAILURES: Final = 3
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(seconds=60)
_PROBE_WAIT: Final = timedelta(seconds=1)


class Breaker:
    """Counts failures in a row; one for each process and client.

    Open after three for 5 s; then one call is let through, and each that fails doubles the pause, to 60 s at most. Any
    answer, even a refusal, closes it.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._open_until: datetime | None = None
        self._is_probing = False

    def refused_until(self, now: datetime) -> datetime | None:
        """From when a call may be worth it, None when one may be made now."""
        if self._open_until is None:
            return None
        if now < self._open_until:
            # A clock that was set back must not keep it open for an hour.
            self._open_until = min(self._open_until, now + _LONGEST_PAUSE)
            return self._open_until
        return now + _PROBE_WAIT if self._is_probing else None

    def begin(self) -> bool:
        """A call is made now; True when it is the one that looks. `end_probe` has to follow then."""
        is_probe = self._open_until is not None
        self._is_probing = self._is_probing or is_probe
        return is_probe

    def end_probe(self) -> None:
        """The call that looks is over, however."""
        self._is_probing = False

    def failed(self, now: datetime) -> datetime | None:
        """No answer. Returns until when nothing shall be sent, None before the third in a row."""
        self._failures += 1
        if self._failures < _FAILURES:
            return None
        if self._open_until is not None and now < self._open_until:
            return self._open_until  # one that was under way already; it says nothing new
        if self._open_until is not None:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._open_until = now + self._pause
        return self._open_until

    def answered(self) -> bool:
        """An answer came; True when it had been open."""
        was_open = self._open_until is not None
        self._failures, self._pause, self._open_until = 0, _FIRST_PAUSE, None
        return was_open
