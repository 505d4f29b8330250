"""Begin a coroutine at once instead of at the loop's next turn (Python 3.12 has eager tasks for that)."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

__all__ = ["begin_now"]


def begin_now(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Run ``work`` up to where it first waits; the task does the rest. None: there is no rest."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return None
    return loop.create_task(_go_on(_Begun(work, waits_for)))


class _Begun:
    def __init__(self, work: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        go_on: Callable[[], Any]
        while True:
            try:
                value = yield waits_for
            except BaseException as exc:  # noqa: BLE001  cancelled: the work's own affair
                go_on = partial(self._work.throw, exc)
            else:
                go_on = partial(self._work.send, value)
            try:
                waits_for = go_on()
            except StopIteration:
                return


async def _go_on(begun: _Begun) -> None:
    await begun
