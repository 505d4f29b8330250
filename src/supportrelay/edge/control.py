"""The control socket: a person's commands reach the running daemon, and take effect at once.

A Unix socket ``relay.sock`` in the state directory, mode 0600. One JSON object a line in both directions::

    {"op": "queue.retry", "args": {"queue_id": "..."}, "who": "person:ann"}
    {"ok": true, "result": {...}}          {"ok": false, "error": "no message 7K…", "exit": 1}

Only root and the daemon's own user are heard; the kernel says who speaks (SO_PEERCRED).
A socket's path may have at most 107 octets, a state directory more: then it is reached through an open descriptor of
its directory (``/proc/self/fd/N/relay.sock``), so it always stands where the state is.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

__all__ = ["SOCKET_NAME", "ControlClient", "ControlServer", "NotHeard", "NotRunning", "control_path"]

SOCKET_NAME = "relay.sock"
LONGEST_PATH = 100
LONGEST_LINE_OCTETS = 64 * 1024 * 1024  # an imported customer list, a raw message shown
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)

Answer = dict[str, Any]
Dispatch = Callable[[str, Mapping[str, Any], str], Awaitable[Answer]]


class NotRunning(ConnectionError):  # noqa: N818  it is a state, not a mistake
    """No daemon listens on this socket."""


class NotHeard(ConnectionError):  # noqa: N818  it is an answer, not a mistake
    """A daemon runs and does not listen to this user, or went away before it answered."""


def control_path(state_directory: Path) -> Path:
    """Where the daemon that keeps its state there listens."""
    return state_directory / SOCKET_NAME


@contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """A name of the socket that fits into ``sockaddr_un``."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


class ControlServer:
    """Listens in the daemon.

    Args:
        path: From `control_path`; its directory exists.
        dispatch: ``(op, args, who) -> answer`` with the fields shown above; raising is a mistake of ours, answered
            with a neutral text.
        on_event: Called with an event name and fields; None writes the log.
    """

    def __init__(
        self, path: Path, dispatch: Dispatch, *, on_event: Callable[[str, Mapping[str, Any]], None] | None = None
    ) -> None:
        self.path = path
        self._dispatch = dispatch
        self._on_event = on_event or _log_event
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen. A socket that a dead daemon left behind is taken over.

        Raises:
            OSError: A living daemon listens there (EADDRINUSE), or the directory cannot be written.
        """
        listening = self._bind()
        self._server = await asyncio.start_unix_server(self._converse, sock=listening, limit=LONGEST_LINE_OCTETS)
        self._on_event("control.opened", {"path": str(self.path)})

    def _bind(self) -> socket.socket:
        self._remove_stale()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        earlier = os.umask(0o177)
        try:
            with _short_path(self.path) as name:
                listening.bind(name)
        except BaseException:
            listening.close()
            raise
        finally:
            os.umask(earlier)
        listening.setblocking(False)
        return listening

    def _remove_stale(self) -> None:
        try:
            with _connected(self.path, timeout_s=2):
                pass
        except (NotRunning, NotHeard):
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        else:
            raise OSError(98, f"another daemon listens on {self.path}")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._kept(writer):
            if not self._may_speak(writer):
                await self._say(writer, _refusal("only root and the relay's own user may give commands"))
                return
            while line := await reader.readline():
                await self._say(writer, await self._answer(line))

    @asynccontextmanager
    async def _kept(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._open.add(writer)
        try:
            yield
        except (ConnectionError, ValueError):  # went away; a line over the limit
            return
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                await writer.wait_closed()

    def _may_speak(self, writer: asyncio.StreamWriter) -> bool:
        connection = writer.get_extra_info("socket")
        _pid, uid, _gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid in {0, os.geteuid()}:
            return True
        self._on_event("control.refused", {"uid": uid})
        return False

    async def _answer(self, line: bytes) -> Answer:
        try:
            asked = json.loads(line)
            op, args, who = str(asked["op"]), dict(asked.get("args") or {}), str(asked.get("who") or "person:unknown")
        except (ValueError, KeyError, TypeError):
            return _refusal("not a command", exit_status=2)
        try:
            return await self._dispatch(op, args, who)
        except Exception as exc:  # noqa: BLE001  one command must not end the daemon; the log has the cause
            self._on_event("control.failed", {"op": op, "error": repr(exc)})
            return _refusal("the relay could not do that; its log says why")

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, answer: Answer) -> None:
        writer.write(json.dumps(answer, ensure_ascii=True, default=str).encode("ascii") + b"\n")
        await writer.drain()

    async def aclose(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        for writer in list(self._open):
            writer.close()
        await self._server.wait_closed()
        self._server = None


def _log_event(event: str, fields: Mapping[str, Any]) -> None:
    from supportrelay.log import get_logger  # the command line speaks to the socket without a log

    log = get_logger()
    if event == "control.opened":
        log.info(event, **fields)
    else:
        log.warning(event, **fields)


def _refusal(text: str, *, exit_status: int = 1) -> Answer:
    return {"ok": False, "error": text, "exit": exit_status}


@contextmanager
def _connected(path: Path, *, timeout_s: float) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(timeout_s)
        try:
            with _short_path(path) as name:
                connection.connect(name)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as exc:
            raise NotRunning(f"no relay listens on {path}") from exc
        except PermissionError as exc:
            raise NotHeard(f"a relay may be running as another user ({path} is not ours)") from exc
        yield connection


class ControlClient:
    """Speaks to a running daemon; blocking, for the command line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, op: str, args: Mapping[str, Any], *, who: str, timeout_s: float = 60.0) -> Answer:
        """The daemon's answer, with the fields shown in the module's docstring.

        Raises:
            NotRunning: Nothing was asked, nobody is there.
            NotHeard: A daemon is there and did not answer; whether it did anything is unknown.
        """
        line = json.dumps({"op": op, "args": dict(args), "who": who}).encode("ascii") + b"\n"
        with _connected(self.path, timeout_s=timeout_s) as connection:
            try:
                connection.sendall(line)
                with connection.makefile("rb") as answers:
                    answer = answers.readline()
            except TimeoutError as exc:
                raise NotHeard(f"the relay did not answer within {timeout_s:g} s") from exc
            except OSError as exc:
                raise NotHeard(f"the relay went away: {exc}") from exc
        if not answer.endswith(b"\n"):
            raise NotHeard("the relay went away before it answered")
        decoded: Answer = json.loads(answer)
        return decoded
