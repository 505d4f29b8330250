"""worker_process: one worker's life: open the parts, listen, work, reload, leave."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from supportrelay.admin.operations import dispatch
from supportrelay.bootstrap import Parts, check_rules, context_of, open_parts
from supportrelay.bootstrap_chores import chores_of, watchman_of
from supportrelay.bootstrap_crm import CurrentDesk
from supportrelay.bootstrap_listen import BoundListener, limits_of, places
from supportrelay.config import Config, load
from supportrelay.core.alarm import AlarmKind
from supportrelay.core.envelope import Envelope, Role
from supportrelay.core.errors import RelayError
from supportrelay.core.reply import Reply
from supportrelay.edge.accounts.login import LoginDesk
from supportrelay.edge.control.client import control_path
from supportrelay.edge.control.server import ControlServer
from supportrelay.edge.smtp_in import Census, Listener, SharedCounts, start_listener
from supportrelay.flow.accept import Accept
from supportrelay.flow.alarms import alarm
from supportrelay.flow.authors import AuthorCheck
from supportrelay.flow.clerk import Clerk
from supportrelay.flow.desk_watch import DeskWatch
from supportrelay.flow.desk_work import DeskWorker
from supportrelay.flow.meter import Meter
from supportrelay.flow.worker import Worker
from supportrelay.i18n import catalogue
from supportrelay.log import get_logger, hide

__all__ = ["run_worker"]

log = get_logger()

_DRAIN_S = 30.0
_FINISH_S = 60.0
_DESK_FINISH_S = 15.0


def run_worker(
    config: Config,
    *,
    index: int,
    listeners: Sequence[BoundListener],
    counts: SharedCounts,
    instance: str,
    holder: str,
    former_holder: str,
    when_ready: Callable[[], object],
) -> int:
    """Run one worker until SIGTERM; 0 when it left cleanly.

    Args:
        index: The first one (0) also listens for commands.
        counts: Of the connections of all workers.
        former_holder: Name of this worker's earlier life, whose leases are handed back; "" for the first life.
        when_ready: Called when every listener is open.
    """
    # Almost nothing of a message's life is cyclic; collecting at every 700 objects costs a tenth of the time.
    gc.set_threshold(20_000, 20, 50)
    gc.freeze()  # and what was imported stays: a collection need not go through it
    census = counts.census(index, places=places(config.limits.connections), now=time.monotonic)
    work = _Work(config, index, listeners, census, when_ready)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work.run(instance, holder, former_holder))


class _Work:
    """One worker process's state."""

    def __init__(
        self,
        config: Config,
        index: int,
        bound: Sequence[BoundListener],
        census: Census,
        when_ready: Callable[[], object],
    ) -> None:
        self._config = config
        self._index = index
        self._bound = bound
        self._census = census
        self._when_ready = when_ready
        self._stop = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._one_reload = asyncio.Lock()
        self._outside: _Outside | None = None
        self._logins: LoginDesk | None = None

    async def run(self, instance: str, holder: str, former_holder: str) -> int:
        profile = os.environ.get("SUPPORTRELAY_PROFILE") if self._index == 0 else None
        meter = Meter() if profile else None
        async with open_parts(self._config, instance=instance, holder=holder, meter=meter) as parts:
            if former_holder:
                # Not `release`: what was under way may be what killed it, so the try counts.
                await parts.store.take_back(former_holder.rpartition(":")[0], parts.office.now())
            parts.crm.start()
            worker = Worker(parts.office)
            outside = self._outside = _Outside(parts) if parts.crm.desk is not None else None
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._begin_reload, parts)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            self._logins = LoginDesk(parts.store, now=parts.office.now)
            control = await self._open_control(parts, worker, outside)
            listeners = [await self._listen(parts, worker, bound) for bound in self._bound]
            working = asyncio.create_task(worker.run())
            clerk = Clerk(parts.office, parts.store, catalogue, worker.wake)
            writing = asyncio.create_task(clerk.run())
            chores = [asyncio.create_task(one) for one in chores_of(parts)]
            if not self._index:
                chores.append(asyncio.create_task(watchman_of(parts).run()))
            if outside is not None:
                outside.start()
            self._when_ready()
            renewing = asyncio.create_task(parts.certificates.watch(parts.office.now, warns=not self._index))
            await self._stop.wait()
            renewing.cancel()
            for chore in chores:
                chore.cancel()
            leaving = [listener.drain(_DRAIN_S) for listener in listeners]
            if outside is not None:
                leaving.append(outside.leave())  # before the leases of this process are handed back
            await asyncio.gather(*leaving)
            self._logins.close()
            clerk.leave()
            await writing
            await worker.leave(_FINISH_S)
            await working
            if control is not None:
                await control.aclose()
            if meter is not None and profile:
                meter.write(Path(profile))
        return 0

    async def _listen(self, parts: Parts, worker: Worker, bound: BoundListener) -> Listener:
        listen = parts.config.listen[bound.position]
        accept = Accept(parts.office, worker.go_on, worker.is_full, worker.has_room)
        meter = parts.office.meter

        async def measured(envelope: Envelope, octets: bytes) -> Reply:
            assert meter is not None
            meter.count()
            return await meter.run("accept", accept.take(envelope, octets))

        take = measured if meter else accept.take
        if bound.role is Role.SUBMISSION:
            take = AuthorCheck(lambda: parts.intake, take).take
        return await start_listener(
            bound.socket,
            role=bound.role,
            policy=lambda: parts.intake,
            take=take,
            hostname=parts.config.hostname,
            max_size=lambda: parts.rulebook.desk.max_size_octets,
            tls_context=lambda: parts.certificates.context(listen.place),
            tls_required=listen.tls.required if listen.tls else False,
            tls_implicit=listen.tls.implicit if listen.tls else False,
            proxies=listen.proxy_from,
            limits=limits_of(parts.config),
            spool_folder=parts.config.state_folder,
            census=self._census,
            login=self._logins.login if self._logins and bound.role is Role.SUBMISSION else None,
        )

    async def _open_control(self, parts: Parts, worker: Worker, outside: "_Outside | None") -> ControlServer | None:
        """The first worker takes commands; what they change is in the store, and all workers see it."""
        if self._index:
            return None

        async def perform(op: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
            def wake() -> None:
                worker.wake()
                parts.office.wake_desk()

            if outside is None:
                return await dispatch(context_of(parts, wake=wake, who=who), op, args)
            context = context_of(parts, wake=wake, who=who, look_at=outside.look_at, resume=outside.resume)
            return await dispatch(context, op, args)

        server = ControlServer(control_path(self._config.state_folder), perform)
        await server.start()
        return server

    def _begin_reload(self, parts: Parts) -> None:
        reloading = asyncio.create_task(self._reload(parts))
        self._reloads.add(reloading)
        reloading.add_done_callback(self._reloads.discard)

    async def _reload(self, parts: Parts) -> None:
        """Swap what is configured, one reload after the other so that the last one counts; whatever fails, we go on."""
        async with self._one_reload:
            try:
                await self._take_over(parts)
            except RelayError as exc:
                log.error("config.refused", problem=str(exc))
                await alarm(parts.office, AlarmKind.CONFIG_REFUSED, text=str(exc))
            except Exception:  # the old configuration is as good as it was
                log.exception("config.refused", problem="a mistake of ours")

    async def _take_over(self, parts: Parts) -> None:
        """Read the file by a thread, since that takes longer than a mail may wait."""
        config = await asyncio.to_thread(load, self._config.path)
        hide(*config.secrets)
        await asyncio.to_thread(check_rules, config)
        await parts.reload(config)
        if self._outside is not None:
            self._outside.resume()
        log.info("config.reloaded", worker=self._index)


class _Outside:
    """The work of one process for an outside desk: what we ask of it, and what people do there."""

    def __init__(self, parts: Parts) -> None:
        desk = CurrentDesk(lambda: parts.crm.desk)
        self._parts = parts
        self._worker = DeskWorker(parts.office, parts.store, desk)
        self._watch = DeskWatch(parts.office, parts.store, desk, poll_every=parts.config.crm.poll_every)
        self._tasks: set[asyncio.Task[None]] = set()
        parts.office.wake_desk = self._worker.wake

    def start(self) -> None:
        self._keep(self._worker.run())
        self._keep(self._watch.run())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def resume(self) -> None:
        """The configuration changed: what kept the desk from answering may be over."""
        self._worker.resume()
        self._watch.poll_every = self._parts.config.crm.poll_every

    async def look_at(self, external_ids: Sequence[str]) -> None:
        """Somebody said that these changed there; looked at behind the answer."""
        self._keep(self._watch.look(external_ids))

    async def leave(self) -> None:
        self._watch.leave()
        await self._worker.leave(_DESK_FINISH_S)
        if self._tasks:
            # Somebody changed a thousand tickets there: whoever takes over looks at them.
            await asyncio.wait(self._tasks, timeout=_DESK_FINISH_S)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
