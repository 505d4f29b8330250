"""The daemon's half of the control socket."""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from supportrelay.edge.control.client import NotHeard, NotRunning, connected, short_path
from supportrelay.log import get_logger

__all__ = ["ControlServer"]

LONGEST_LINE_OCTETS = 64 * 1024 * 1024  # an imported customer list, a raw message shown
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)

log = get_logger()

Answer = dict[str, Any]
Dispatch = Callable[[str, Mapping[str, Any], str], Awaitable[Answer]]


class ControlServer:
    """Listens in the daemon.

    Args:
        path: From `control_path`; its directory exists.
        dispatch: ``(op, args, who) -> answer`` as the package shows it; raising is a mistake of ours, answered
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
            with short_path(self.path) as name:
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
            with connected(self.path, timeout_s=2):
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
    if event == "control.opened":
        log.info(event, **fields)
    else:
        log.warning(event, **fields)


def _refusal(text: str, *, exit_status: int = 1) -> Answer:
    return {"ok": False, "error": text, "exit": exit_status}
