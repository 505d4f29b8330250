"""Answers of a CRM that nobody asks for any more go away, and with them customers who never write again."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from supportrelay.core.crm_ports import CrmMemory
from supportrelay.core.errors import TransientFailure
from supportrelay.log import get_logger

__all__ = ["AnswerTidier"]

_KEPT: Final = timedelta(days=90)  # a last known answer older than that is no help, and names people
_EVERY: Final = timedelta(days=1)
_FIRST_AFTER: Final = timedelta(minutes=10)  # a daemon that is restarted every night tidies too


class AnswerTidier:
    """Drops old answers once a day, a few hundred a commit; in every worker process, which finds nothing mostly.

    Args:
        first_after, every: When.
    """

    def __init__(
        self,
        memory: CrmMemory,
        *,
        now: Callable[[], datetime],
        first_after: timedelta = _FIRST_AFTER,
        every: timedelta = _EVERY,
    ) -> None:
        self._memory = memory
        self._now = now
        self._first_after = first_after
        self._every = every
        self._tidying: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tidy from now on, until `aclose`."""
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().create_task(self._tidy_for_ever())

    async def _tidy_for_ever(self) -> None:
        wait = self._first_after
        while True:
            await asyncio.sleep(wait.total_seconds())
            wait = self._every
            try:
                await self.tidy()
            except TransientFailure as exc:
                get_logger().warning("worker.chore_failed", detail=str(exc))
            except Exception as exc:  # noqa: BLE001  a mistake of ours: the next day comes
                get_logger().error("worker.chore_failed", exc_info=exc)

    async def tidy(self) -> int:
        """Drop what is older than 90 days; how many answers."""
        before = self._now() - _KEPT
        count = 0
        while dropped := await self._memory.drop_answers(before):
            count += dropped
        if count:
            get_logger().info("crm.answers_dropped", count=count)
        return count

    async def aclose(self) -> None:
        """Tidy no more."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.gather(self._tidying, return_exceptions=True)
            self._tidying = None
