"""meter: CPU time by station, for `make bench`; costs nothing when nobody measures.

A station's time is what its own steps took on this thread; what runs between them (SMTP in, the store's commands, the
event loop) is the rest of the process.
"""

import json
import time
import types
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Meter"]

T = TypeVar("T")


class Meter:
    """Adds up CPU seconds by station."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._messages = 0
        self._begun_s = time.process_time()

    def count(self) -> None:
        """One more message."""
        self._messages += 1

    def run(self, station: str, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """The same coroutine with its steps timed."""
        return self._stepped(station, work)

    @types.coroutine
    def _stepped(self, station: str, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            begun = time.thread_time()
            try:
                waits_for = work.throw(thrown) if thrown is not None else work.send(sent)
            except StopIteration as done:
                result: T = done.value
                return result
            finally:
                self._seconds[station] += time.thread_time() - begun
            sent = thrown = None
            try:
                sent = yield waits_for
            except BaseException as exc:  # noqa: BLE001  it belongs to the coroutine, which gets it
                thrown = exc

    def call(self, station: str, work: Callable[[], T]) -> T:
        """What a plain function returns, timed."""
        begun = time.thread_time()
        try:
            return work()
        finally:
            self._seconds[station] += time.thread_time() - begun

    def write(self, path: Path) -> None:
        """Write milliseconds a message by station as JSON."""
        if not self._messages:
            return
        whole = time.process_time() - self._begun_s
        # Stations inside stations: the copy is composed while it is delivered.
        self._seconds["deliver"] -= self._seconds["compose"]
        named = sum(self._seconds.values())
        seconds = {**self._seconds, "smtp in, store, loop": whole - named}
        by_station = {name: round(1000 * s / self._messages, 3) for name, s in seconds.items()}
        path.write_text(json.dumps(by_station), encoding="utf-8")
