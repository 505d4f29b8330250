"""GroupWriter: commands of many messages share one transaction and one sync.

SUMMARY
  A command is a function of a connection that runs its statements and returns its answer. `submit` queues it; a cycle
  takes everything that waits, runs it in one transaction and resolves all futures after the commit:

      idle -> begin (turn file, BEGIN IMMEDIATE) -> run the commands -> commit (sync) -> resolve -> rest, next cycle

THEORY
  What waits for others (the turn, the lock, the sync) happens on the writer's thread. The statements themselves take
  microseconds and run on the event loop: on a thread of their own each would give the interpreter lock away and stand
  in line for it again, once a statement (a settlement has fifteen). Commands marked ``slow`` run on the thread.

  Between processes a flock'ed turn file comes before BEGIN IMMEDIATE: SQLite's own lock is polled, and with four
  writers the unlucky one waited 1.4 s. A second file, the gate, is held while waiting for the turn, so that the one
  who just had the turn cannot take it again before the one who waits.

  A cancelled awaiter changes nothing: its command runs and is committed (aiosmtpd cancels handlers at a lost session).

DIAGNOSTICS
  TransientFailure 4.3.0 when turn or lock are not had within 10 s, 4.3.1 when the disk is full; nothing of that
  command was written. An error in one command hurts no other: the batch is run again with a savepoint
  for each, so a command may run twice before it counts.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from supportrelay.core.errors import TransientFailure
from supportrelay.edge.store.checkpoint import Checkpointer
from supportrelay.edge.store.database import as_failure, connect, is_busy
from supportrelay.edge.store.turn import Turn
from supportrelay.edge.store.wellness import Wellness

__all__ = ["Command", "GroupWriter"]

T = TypeVar("T")
Command = Callable[[sqlite3.Connection], T]

_WAIT_S = 10.0
# Of the event loop between two cycles: whom a commit wakes submits the next command in the second, and the more share
# a commit, the fewer pages are written twice (1 worker: 0.66 -> 0.27 syncs a message, 44 -> 29 writes). Rounds of an
# idle loop take microseconds.
_ROUNDS_OF_REST = 4
_PROBE_S = 2.0
# Written as it is: what counts is that a page and a sync came through.
_PROBE = "UPDATE meta SET value = value WHERE name = 'instance_id'"


@dataclass(slots=True, eq=False)
class _Waiting:
    command: Command[Any]
    future: asyncio.Future[Any]
    slow: bool
    answer: Any = None
    error: Exception | None = None


class GroupWriter:
    """The one writer of this process.

    Attributes:
        commits: Transactions committed; ``commands`` over ``commits`` is how many share a sync.
        commands: Commands run.
        wellness: What its errors say of the disk.
    """

    def __init__(self, path: Path, wellness: Wellness | None = None) -> None:
        self.wellness = wellness or Wellness(path.parent)
        self.commits = 0
        self.commands = 0
        self._path = path
        self._connection = connect(path, read_only=False)
        self._turn = Turn(path)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Waiting] = []
        self._is_busy = False
        self._is_closed = False
        self._patience: asyncio.TimerHandle | None = None
        self._cause: Exception | None = None  # of a command that failed in this cycle
        self._idle: asyncio.Future[None] | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()
        self._checkpointer = Checkpointer(path, lambda exc: self._tell_loop(self.note, exc))

    def submit(self, command: Command[T], *, slow: bool = False) -> asyncio.Future[T]:
        """Queue a command; the future has its answer once it is committed and synced.

        Args:
            command: Runs statements on the connection it is given; no commit, no other effect: it may be run twice.
            slow: Takes more than a few milliseconds; runs on the writer's thread.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._is_closed:
            future.set_exception(TransientFailure("4.3.2", "Shutting down", detail="store: closed"))
            return future
        self._waiting.append(_Waiting(command, future, slow))
        if not self._is_busy:
            self._is_busy = True
            self._loop = loop
            # Not at once: what the other sessions submit in this round of the loop shares the commit.
            loop.call_soon(self._begin)
        return future

    async def aclose(self) -> None:
        """Finish what waits, then close; what cannot be had within 10 s fails."""
        self._is_closed = True
        if self._is_busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if self._is_busy:
            # Somebody frozen has the turn and our thread waits for it. It ends with the process, and so does the rest.
            return
        self._jobs.put(None)
        self._checkpointer.close()
        await asyncio.to_thread(self._thread.join)
        self._connection.close()
        self._turn.close()

    # -- what the disk says --

    def note(self, error: Exception) -> None:
        """An error of the store; when it is the disk's, a write is tried until one comes through."""
        if self.wellness.failed(error) and self._loop is not None:
            self._loop.call_later(_PROBE_S, self._probe)

    def _probe(self) -> None:
        if not self.wellness.trouble or self._is_closed:
            return
        assert self._loop is not None
        self.submit(lambda c: c.execute(_PROBE)).add_done_callback(asyncio.Future.exception)
        self._loop.call_later(_PROBE_S, self._probe)

    # -- the cycle; these run on the event loop --

    def _begin(self) -> None:
        if not self._waiting:
            self._is_busy = False
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        assert self._loop is not None
        try:
            if self._turn.try_take():
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                except BaseException:
                    self._turn.give_back()
                    raise
                self._run()
                return
        except sqlite3.Error as exc:
            if not is_busy(exc):
                self._fail_waiting(exc)
                return
        except OSError as exc:
            self._fail_waiting(exc)
            return
        self._patience = self._loop.call_later(_WAIT_S, self._lose_patience)
        self._jobs.put(self._begin_on_thread)

    def _begun(self, error: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if error is not None:
            self._fail_waiting(error)
        else:
            self._run()

    def _lose_patience(self) -> None:
        """Turn or lock not had in time: those who wait now are told; the thread goes on waiting for later ones."""
        assert self._loop is not None
        late, self._waiting = self._waiting, []
        for waiting in late:
            waiting.error = TransientFailure(
                "4.3.0", "Cannot store now, please try again", detail=f"store: locked for {_WAIT_S:.0f} s"
            )
        _resolve(late)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._patience = self._loop.call_later(_WAIT_S, self._lose_patience)

    def _fail_waiting(self, error: Exception) -> None:
        assert self._loop is not None
        self.note(error)
        late, self._waiting = self._waiting, []
        for waiting in late:
            waiting.error = as_failure(error)
        _resolve(late)
        self._loop.call_soon(self._begin)

    def _run(self) -> None:
        batch, self._waiting = self._waiting, []
        before = self._connection.total_changes
        quick = [waiting for waiting in batch if not waiting.slow]
        slow = [waiting for waiting in batch if waiting.slow]
        if not self._run_together(quick):
            self._run_apart(quick)
        if slow or self._connection.total_changes != before:
            self._jobs.put(lambda: self._commit_on_thread(batch, slow))
        else:
            # Nothing written (all conflicts, nothing due): no sync, no thread.
            self._committed(batch, self._commit(), is_written=False)

    def _run_together(self, batch: list[_Waiting]) -> bool:
        """Run commands without savepoints, which cost a tenth of it all; False when one failed and none may count."""
        connection = self._connection
        try:
            for waiting in batch:
                waiting.answer = waiting.command(connection)
        except Exception:  # noqa: BLE001  it comes again when they are run apart, and is told there
            return False
        return True

    def _run_apart(self, batch: list[_Waiting]) -> None:
        """Begin again with a savepoint for each, so that the one that fails is the only one that fails."""
        connection = self._connection
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as exc:
            self._cause = exc
            for waiting in batch:
                waiting.error = as_failure(exc)
            return
        for waiting in batch:
            self._run_one(waiting)

    def _run_one(self, waiting: _Waiting) -> None:
        """Run one command; after an error the transaction is as it was before."""
        connection = self._connection
        if not connection.in_transaction:
            # SQLite gave the whole transaction up (disk full, I/O error): nothing of this batch may count.
            waiting.error = TransientFailure("4.3.0", "Cannot store now, please try again", detail="store: rolled back")
            return
        try:
            connection.execute("SAVEPOINT command")
            waiting.answer = waiting.command(connection)
            connection.execute("RELEASE command")
        except Exception as exc:  # noqa: BLE001  whatever it was, its caller gets it and the others go on
            self._cause = exc
            waiting.error = as_failure(exc)
            if connection.in_transaction:
                connection.execute("ROLLBACK TO command")
                connection.execute("RELEASE command")

    def _committed(self, batch: list[_Waiting], error: Exception | None, *, is_written: bool = True) -> None:
        cause, self._cause = error or self._cause, None
        if cause is not None:
            self.note(cause)
        elif is_written:
            self.wellness.succeeded()
        if error is not None:
            failure = as_failure(error)
            for waiting in batch:
                waiting.error = waiting.error or failure
        else:
            self.commits += 1
            self.commands += len(batch)
            self._checkpointer.count(len(batch))
        _resolve(batch)
        self._rest(_ROUNDS_OF_REST)

    def _rest(self, rounds: int) -> None:
        assert self._loop is not None
        if rounds:
            self._loop.call_soon(self._rest, rounds - 1)
        else:
            self._begin()

    # -- these run on the writer's thread (`_commit` on either) --

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _begin_on_thread(self) -> None:
        error: Exception | None = None
        try:
            self._turn.take()
            try:
                self._begin_patiently()
            except BaseException:
                self._turn.give_back()
                raise
        except (sqlite3.Error, OSError) as exc:
            error = exc
        self._tell_loop(self._begun, error)

    def _begin_patiently(self) -> None:
        """BEGIN IMMEDIATE against somebody without the turn (a backup, an administrator's shell)."""
        until = time.monotonic() + _WAIT_S
        pause_s = 0.001
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if not is_busy(exc) or time.monotonic() > until:
                    raise
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.025)
            else:
                return

    def _commit_on_thread(self, batch: list[_Waiting], slow: list[_Waiting]) -> None:
        for waiting in slow:
            self._run_one(waiting)
        self._tell_loop(self._committed, batch, self._commit())

    def _commit(self) -> Exception | None:
        connection = self._connection
        try:
            if connection.in_transaction:
                connection.execute("COMMIT")
            else:
                return TransientFailure("4.3.0", "Cannot store now, please try again", detail="store: rolled back")
        except sqlite3.Error as exc:
            # A sync that failed is never counted as done: out of the transaction, everybody is told.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            return exc
        finally:
            self._turn.give_back()
        return None

    def _tell_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        # A loop that was closed under us has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def _resolve(batch: list[_Waiting]) -> None:
    for waiting in batch:
        if waiting.future.done():  # its awaiter was cancelled
            continue
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.answer)
