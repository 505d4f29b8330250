"""pulse: a worker says that it lives, how late its loop is, and what its store did."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from supportrelay import tally

__all__ = ["Pulse"]

_EVERY_S = 0.25


class _Counted(Protocol):
    @property
    def commits(self) -> int: ...

    @property
    def commands(self) -> int: ...


class Pulse:
    """One worker's.

    Args:
        store: What it committed so far.
        monotonic_ms: The machine's monotonic clock, the same for all processes.
    """

    def __init__(self, store: _Counted, monotonic_ms: Callable[[], int]) -> None:
        self._store = store
        self._monotonic_ms = monotonic_ms
        self._commits = self._commands = 0

    async def run(self) -> None:
        """Beat until cancelled. A loop that is busy wakes us late: by so much any mail waits too."""
        loop = asyncio.get_running_loop()
        while True:
            self._beat()
            expected = loop.time() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self._note_lag(max(0.0, loop.time() - expected))

    def _beat(self) -> None:
        tally.keep("beat", self._monotonic_ms())
        # By difference: the row goes on where an earlier life of this worker stopped.
        commits, commands = self._store.commits, self._store.commands
        tally.count("commits", commits - self._commits)
        tally.count("commands", commands - self._commands)
        self._commits, self._commands = commits, commands

    def _note_lag(self, lag_s: float) -> None:
        name = next((f"lag:{bound:g}" for bound in tally.LAG_BOUNDS_S if lag_s <= bound), "lag:+Inf")
        tally.count(name)
        tally.count("lag_sum", int(lag_s * 1_000_000))
