"""An HTTP/1.1 server on a real socket that answers as it is told, or misbehaves octet by octet."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Self


@dataclass
class Asked:
    """One request as it came; ``connection`` counts from 1, ``at`` is of the monotonic clock."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Misbehaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
Said = bytes | Misbehaviour


def say(status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
    """An answer: octets as they are, everything else as JSON."""
    octets = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(octets)), **(headers or {})}
    if status == 204:
        octets = b""
        del fields["Content-Length"]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + octets


class HttpStub:
    """Answers each request with what `answer` returns for it; ``asked`` has them all.

    An answer that is a function gets the writer, and the connection is closed after it.
    """

    def __init__(self, answer: Callable[[Asked], Said], *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self._came = asyncio.Condition()
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def asks(self, count: int) -> None:
        """Wait until so many requests came."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.asked) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._talk(reader, writer, self.connections)
        writer.close()
        self._tasks.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _version = head[0].split()
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = Asked(method, target, headers, body, connection)
            self.asked.append(asked)
            async with self._came:
                self._came.notify_all()
            said = self.answer(asked)
            if not isinstance(said, bytes):
                await said(writer)
                return
            writer.write(said)
            await writer.drain()
