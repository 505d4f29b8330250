"""supervisor: one parent that holds the sockets, its worker processes and the web process.

The parent runs no event loop and opens no store while children live, so that it may fork at any time. Children die
with it (PR_SET_PDEATHSIG); a child that died is started again on the sockets the parent still holds, so that clients
in the backlog only wait.
"""

import contextlib
import ctypes
import fcntl
import gc
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supportrelay import bootstrap
from supportrelay.bootstrap_listen import BoundListener, bind_listeners, remove_paths
from supportrelay.bootstrap_web import web_routes
from supportrelay.config import Config, ConfigError, diff_needing_restart, load, warnings
from supportrelay.core.errors import InputError, RelayError
from supportrelay.edge.smtp_in import SharedCounts
from supportrelay.edge.web.health import open_web_port, serve_health
from supportrelay.log import get_logger, hide
from supportrelay.tally import TallyBoard, use
from supportrelay.worker_process import run_worker

__all__ = ["run"]

log = get_logger()

_PR_SET_PDEATHSIG = 1
_STOP_WAIT_S = 90.0
_RESTART_WAIT_S = 1.0
# Children of a daemon that was killed die with it, but not in the same instant.
_EARLIER_LIFE_S = 5.0
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass(slots=True)
class _Child:
    """One child process.

    Attributes:
        sockets: What it listens on; it closes all others, so that a port is closed when those who serve it leave.
        holder: Names the leases of a worker's present life. former: of the life before, "" in the first.
    """

    name: str
    main: Callable[["_Child", int], int]
    sockets: list[socket.socket]
    holder: str = ""
    former: str = ""
    pid: int = 0
    started_at: float = 0.0


@dataclass(slots=True)
class _House:
    """Everything the parent holds."""

    config: Config
    instance: str
    sockets: list[list[BoundListener]]
    web: socket.socket
    counts: SharedCounts
    board: TallyBoard
    children: list[_Child] = field(default_factory=list)

    def close_sockets(self, *, except_for: Sequence[socket.socket] = ()) -> None:
        """Let go of ports; a port stays open while any process has it."""
        for one in (*(bound.socket for of_worker in self.sockets for bound in of_worker), self.web):
            if one not in except_for:
                one.close()


def run(config_path: Path, *, holds: bool = False) -> int:
    """Run the daemon until SIGTERM; 0 after a clean stop, 1 when it could not start, 2 for a wrong configuration.

    Args:
        holds: What is unfinished in the store waits for a person (RELIABILITY F37); new mail goes its way.
    """
    try:
        config = load(config_path)
        bootstrap.check_rules(config)
    except ConfigError as exc:
        for problem in exc.problems:
            sys.stderr.write(problem + "\n")
        return 2
    hide(*config.secrets)
    for warning in warnings(config):
        log.warning("config.warning", text=warning)
    try:
        with _only_one(config.state_folder):
            return _serve(config, holds=holds)
    except (RelayError, OSError) as exc:
        sys.stderr.write(f"supportrelay: {exc}\n")
        log.error("relay.not_started", detail=str(exc))
        return 1


@contextlib.contextmanager
def _only_one(state_folder: Path) -> Iterator[None]:
    """Hold the lock file: two daemons on one store would share its leases. It also proves an earlier life dead."""
    state_folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(state_folder / "relay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _EARLIER_LIFE_S
    try:
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise InputError(f"a relay is already running on {state_folder}")
            time.sleep(0.05)
        yield
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _serve(config: Config, *, holds: bool) -> int:
    instance = bootstrap.prepare_store(config, holds=holds)
    sockets = bind_listeners(config)
    web = open_web_port(config.web.host, config.web.port)
    house = _House(config, instance, sockets, web, SharedCounts(config.workers), TallyBoard(config.workers))
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    gc.collect()
    gc.freeze()  # children share what is imported by now
    ready_read, ready_write = os.pipe()
    for index in range(config.workers):
        bound = [one.socket for one in sockets[index]]
        house.children.append(_Child(f"worker-{index}", _worker_main(house, index), bound))
    house.children.append(_Child("web", _web_main(house), [web]))
    for child in house.children:
        _start(house, child, ready_write)
    if not _all_ready(ready_read, config.workers):
        _stop(house)
        return 1
    log.info("relay.ready", listen=[b.printed for b in sockets[0]], workers=config.workers)
    _notify("READY=1")
    _watch(house, ready_write)
    _notify("STOPPING=1")
    return _stop(house)


def _worker_main(house: _House, index: int) -> Callable[[_Child, int], int]:
    def main(child: _Child, ready: int) -> int:
        use(house.board.row(index))
        return run_worker(
            house.config,
            index=index,
            listeners=house.sockets[index],
            counts=house.counts,
            instance=house.instance,
            holder=child.holder,
            former_holder=child.former,
            when_ready=lambda: os.write(ready, b"r"),
        )

    return main


def _web_main(house: _House) -> Callable[[_Child, int], int]:
    def main(_child: _Child, _ready: int) -> int:
        parent = os.getppid()
        host, port = house.config.web.host, house.config.web.port
        routes = web_routes(house.config, house.board)
        serve_health(host, port, is_alive=lambda: os.getppid() == parent, bound=house.web, more=routes)
        return 0

    return main


def _start(house: _House, child: _Child, ready: int) -> None:
    child.former, child.holder = child.holder, f"{house.instance}:{child.name}:{secrets.token_hex(4)}"
    parent = os.getpid()
    child.started_at = time.monotonic()
    for stream in (sys.stdout, sys.stderr):  # what waits in them would be written by both
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    child.pid = os.fork()
    if child.pid:
        return
    code = 1
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            # SIGHUP stays blocked: a reload asked for while a worker starts waits until it can hear it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS - {signal.SIGHUP})
            house.close_sockets(except_for=child.sockets)
            code = child.main(child, ready)
    except BaseException:
        log.exception("process.broke", name=child.name)
    finally:
        os._exit(code)


def _all_ready(ready: int, count: int) -> bool:
    """Wait for every worker's word; False when one died before it could say so."""
    os.set_blocking(ready, False)
    heard = 0
    while heard < count:
        with contextlib.suppress(BlockingIOError):
            heard += len(os.read(ready, 64))
        if heard < count and signal.sigtimedwait(_SIGNALS, 0.05) is not None:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                log.error("relay.not_started", detail="a process ended while starting")
                return False
    return True


def _watch(house: _House, ready: int) -> None:
    """Wait for signals until we shall stop; start dead children again."""
    while True:
        info = signal.sigtimedwait(_SIGNALS, 5.0)
        if info is not None and info.si_signo in {signal.SIGTERM, signal.SIGINT}:
            return
        if info is not None and info.si_signo == signal.SIGHUP:
            _reload(house)
        for child in _dead(house):
            log.error("process.ended", name=child.name, pid=child.pid)
            if time.monotonic() - child.started_at < _RESTART_WAIT_S:
                time.sleep(_RESTART_WAIT_S)
            _start(house, child, ready)


def _dead(house: _House) -> list[_Child]:
    found: list[_Child] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found += [child for child in house.children if child.pid == pid]


def _reload(house: _House) -> None:
    """Read the file again; a broken one is reported and the running configuration stays."""
    _notify("RELOADING=1")
    try:
        config = load(house.config.path)
        bootstrap.check_rules(config)
    except RelayError as exc:
        for problem in exc.problems if isinstance(exc, ConfigError) else [str(exc)]:
            log.error("config.refused", problem=problem)
    else:
        hide(*config.secrets)
        for key in diff_needing_restart(house.config, config):
            log.warning("config.needs_restart", key=key)
        house.config = config
        for child in house.children:
            if child.name != "web":
                os.kill(child.pid, signal.SIGHUP)
        log.info("relay.reloaded")
    _notify("READY=1")


def _stop(house: _House) -> int:
    """Ask the children to finish; a second signal, or time, ends them."""
    remove_paths(house.sockets[0])
    house.close_sockets()
    for child in house.children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_WAIT_S
    left = {child.pid for child in house.children}
    while left:
        info = signal.sigtimedwait(_SIGNALS, 0.2)
        is_hurried = info is not None and info.si_signo in {signal.SIGTERM, signal.SIGINT}
        if is_hurried or time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        try:
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                left.discard(pid)
        except ChildProcessError:
            left.clear()
    log.info("relay.stopped")
    return 0


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing to do when it did not start us."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    name = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        if state == "RELOADING=1":
            state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
        sender.sendto(state.encode(), name)
