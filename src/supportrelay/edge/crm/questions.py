"""Questions to a CRM, gathered: many asked in the same moment go out as one, and no two ask the same."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from supportrelay.core.errors import CrmDown, PermanentFailure, TransientFailure
from supportrelay.log import get_logger

__all__ = ["MOST_AT_ONCE", "Questions", "as_down", "ask_in_parts"]

Q = TypeVar("Q")
A = TypeVar("A")

MOST_AT_ONCE = 100  # `core.crm_ports.DirectorySource`
_ROUNDS = 2  # under way at once; what comes meanwhile is gathered and goes out together


def as_down(exc: Exception, what: str) -> CrmDown:
    """What a failed question means to whoever asked: not now. A refusal and a mistake of ours are logged as well."""
    if isinstance(exc, CrmDown):
        return exc
    if isinstance(exc, TransientFailure):
        return CrmDown(str(exc))
    log = get_logger()
    if isinstance(exc, PermanentFailure):
        log.error("crm.question_refused", what=what, error=str(exc))
    else:
        log.error("crm.question_broke", what=what, exc_info=exc)
    return CrmDown(f"{what}: {type(exc).__name__}: {exc}")


async def ask_in_parts(
    ask: Callable[[Sequence[Q]], Awaitable[Mapping[str, A]]], questions: Sequence[Q]
) -> tuple[dict[str, A], Exception | None]:
    """Ask all at once; when that is refused, look for the one question that spoils it.

    One address that a CRM takes for a mistake must not keep a hundred customers waiting. Halves are asked as long as
    one of the two is answered: at most two calls a step, and none more when everything is refused alike.

    Returns the answers, and why the others have none. `CrmDown` is never looked into: it says nothing about them.
    """
    answers: dict[str, A] = {}
    try:
        return dict(await ask(questions)), None
    except TransientFailure as exc:
        return answers, exc
    except Exception as exc:  # noqa: BLE001  a refusal or a mistake of ours: both are looked into
        failure: Exception = exc
    while len(questions) > 1:
        middle = len(questions) // 2
        refused = []
        for half in (questions[:middle], questions[middle:]):
            try:
                answers.update(await ask(half))
            except TransientFailure as exc:
                return answers, exc
            except Exception as exc:  # noqa: BLE001  as above
                failure = exc
                refused.append(half)
        if len(refused) != 1:
            return answers, failure if refused else None
        (questions,) = refused
    return answers, failure


class Questions(Generic[Q, A]):
    """One kind of question to one CRM.

    Args:
        what: ``customers`` or ``deals``, for the log.
        ask: Asks at most 100 at once; the answers by key.
        keep: Remembers answers, with the instant before they were asked for; a failure is logged, not raised.
        gather_s: How long a question waits for others.
    """

    def __init__(
        self,
        what: str,
        ask: Callable[[Sequence[Q]], Awaitable[Mapping[str, A]]],
        keep: Callable[[Mapping[str, A], datetime], Awaitable[None]],
        *,
        now: Callable[[], datetime],
        gather_s: float,
    ) -> None:
        self._what = what
        self._ask = ask
        self._keep = keep
        self._now = now
        self._gather_s = gather_s
        self._gathered: dict[str, Q] = {}
        self._open: dict[str, asyncio.Future[A]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rounds: set[asyncio.Task[None]] = set()

    def ask(self, key: str, question: Q) -> "asyncio.Future[A]":
        """The answer to come, or `CrmDown`; the same future for everybody who asks meanwhile. Never cancel it."""
        future = self._open.get(key)
        if future is not None:
            return future
        loop = asyncio.get_running_loop()
        future = self._open[key] = loop.create_future()
        # Whoever asked may be content with what was known last; then nobody looks at a failure.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._gathered[key] = question
        if len(self._gathered) >= MOST_AT_ONCE:
            self._send_out()
        elif self._timer is None:
            self._timer = loop.call_later(self._gather_s, self._send_out)
        return future

    def _send_out(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._gathered and len(self._rounds) < _ROUNDS:
            keys = list(self._gathered)[:MOST_AT_ONCE]
            task = asyncio.get_running_loop().create_task(self._round({key: self._gathered.pop(key) for key in keys}))
            self._rounds.add(task)
            task.add_done_callback(self._end_round)

    def _end_round(self, task: "asyncio.Task[None]") -> None:
        self._rounds.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            get_logger().error("crm.question_broke", what=self._what, exc_info=failure)
        self._send_out()

    async def _round(self, questions: Mapping[str, Q]) -> None:
        asked_at = self._now()
        try:
            answers, failure = await ask_in_parts(self._ask, list(questions.values()))
            try:
                # Kept first: the mail that gets this answer asks for its deal next, out of what is kept.
                await self._keep(answers, asked_at)
            finally:
                self._tell(questions, answers, failure)
        finally:
            self._let_go(questions)

    def _tell(self, questions: Iterable[str], answers: Mapping[str, A], failure: Exception | None) -> None:
        down: CrmDown | None = None
        for key in questions:
            future = self._open[key]
            if key in answers:
                future.set_result(answers[key])
                continue
            if down is None:
                down = as_down(failure or ValueError("no answer for one that was asked about"), self._what)
            future.set_exception(down)

    def _let_go(self, keys: Iterable[str]) -> None:
        for key in keys:
            future = self._open.pop(key)
            if not future.done():
                future.set_exception(CrmDown(f"{self._what}: the relay is stopping"))

    async def aclose(self) -> None:
        """Give up what is under way; whoever waits for it gets `CrmDown`."""
        self._let_go(list(self._gathered))
        self._gathered.clear()
        if self._timer is not None:
            self._timer.cancel()
        rounds = list(self._rounds)
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
