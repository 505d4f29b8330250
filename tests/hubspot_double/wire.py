"""One HTTP exchange at the level of octets, so that faults can misbehave there too."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["TalkingProtocol", "Wire"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_LINGER_NONE = struct.pack("ii", 1, 0)
_transports: dict[tuple[str, int], asyncio.Transport] = {}


class TalkingProtocol(H11Protocol):
    """Uvicorn's own, whose connections can be found by the client's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            _transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _transports.pop(self.client, None)
        super().connection_lost(exc)


class Wire:
    """The exchange: the request's body in, one answer out, or none."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.status = 0

    async def body(self) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return b"".join(parts)
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    async def answer(self, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
        await self.head(status, [*headers, ("Content-Length", str(len(body)))])
        await self.send({"type": "http.response.body", "body": body})

    async def head(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.status = status
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def stream(self, status: int, headers: Iterable[tuple[str, str]], parts: AsyncIterator[bytes]) -> None:
        """Without a length, until the parts end or the client goes away."""
        await self.head(status, headers)
        gone = asyncio.ensure_future(self.until_gone())
        try:
            async for part in parts:
                if gone.done():
                    return
                await self.send({"type": "http.response.body", "body": part, "more_body": True})
            await self.send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def until_gone(self) -> None:
        """Until the client closes its connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def close(self, *, is_reset: bool = False) -> None:
        """Close the connection without a word; ``is_reset``: RST instead of FIN."""
        transport = _transports.get(tuple(self.scope["client"]))
        if transport is not None:
            if is_reset:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            transport.abort()
        await self.until_gone()
