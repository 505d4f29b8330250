"""A raw SMTP client and a listener to talk to, for tests that look at every octet."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.reply import ACCEPTED, NOT_OURS, Reply
from supportrelay.edge.smtp_in import Limits, Listener, start_listener
from supportrelay.edge.smtp_in.intake import Login

__all__ = ["Desk", "RawClient", "a_listener", "all_gone"]


@dataclass
class Desk:
    """A policy that takes mail for ``@desk.test`` and the postmaster, and a ``take`` that keeps what it gets."""

    trusted: frozenset[str] = frozenset()
    taken: list[tuple[Envelope, bytes]] = field(default_factory=list)
    answer: Callable[[Envelope, bytes], Awaitable[Reply]] | None = None
    max_size: int = 100_000
    tls: ssl.SSLContext | None = None

    def peer(self, ip: str, helo: str, role: Role, tls: str) -> Peer:
        return Peer(ip, helo, role, is_trusted=ip in self.trusted, tls=tls)

    def is_familiar(self, ip: str) -> bool:
        return ip in self.trusted

    def check_sender(self, reverse_path: str, peer: Peer, size: int) -> Reply | None:
        return Reply(550, "5.7.1", "not you") if reverse_path.startswith("spammer@") else None

    def check_recipient(self, forward_path: str, peer: Peer) -> Reply | None:
        if forward_path == "crash@desk.test":
            raise RuntimeError("database is locked")
        return None if forward_path == "postmaster" or forward_path.endswith("@desk.test") else NOT_OURS

    async def take(self, envelope: Envelope, octets: bytes) -> Reply:
        if self.answer is not None:
            return await self.answer(envelope, octets)
        self.taken.append((envelope, octets))
        return ACCEPTED


@asynccontextmanager
async def a_listener(
    desk: Desk,
    *,
    limits: Limits | None = None,
    tls_required: bool = False,
    role: Role = Role.MX,
    login: Login | None = None,
    bound: socket.socket | None = None,
    **more: Any,
) -> AsyncIterator[Listener]:
    """A listener on a free port of 127.0.0.1 or on ``bound``, drained at the end; more as `start_listener` takes it."""
    if bound is None:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
    listener = await start_listener(
        bound,
        role=role,
        policy=lambda: desk,
        take=desk.take,
        hostname="mx.desk.test",
        max_size=lambda: desk.max_size,
        tls_context=lambda: desk.tls,
        tls_required=tls_required,
        login=login,
        limits=limits,
        **more,
    )
    try:
        yield listener
    finally:
        await listener.drain(0.5)


class RawClient:
    """Says octets, reads replies. ``async with RawClient.to(listener) as client``; the greeting is read by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.greeting = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, listener: Listener, *, source: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Connect from ``source``."""
        reader, writer = await asyncio.open_connection(*listener.address, local_addr=(source, 0), limit=1 << 22)
        client = cls(reader, writer)
        try:
            client.greeting = await client.reply()
            yield client
        finally:
            writer.close()

    async def reply(self) -> str:
        """The next reply, its lines joined by a line feed; "" when the connection was closed."""
        lines: list[str] = []
        async with asyncio.timeout(30):
            while True:
                try:
                    line = (await self.reader.readline()).decode()
                except ConnectionError:
                    line = ""
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        """Say one line, read one reply."""
        self.write(line)
        return await self.reply()

    def write(self, line: str | bytes) -> None:
        """Say one line; CR LF is added."""
        self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")

    async def begin(self, *recipients: str, sender: str = "ann@customer.test") -> str:
        """EHLO, MAIL, RCPT and DATA; the reply to DATA."""
        await self.say("EHLO client.test")
        await self.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients or ("support@desk.test",):
            await self.say(f"RCPT TO:<{recipient}>")
        return await self.say("DATA")

    async def send(self, octets: bytes, *recipients: str) -> str:
        """A whole transaction; ``octets`` as they go over the wire, without the final CR LF . CR LF."""
        await self.begin(*recipients)
        return await self.say(octets + b"\r\n.")


async def all_gone(listener: Listener) -> None:
    """Wait until no session is left; the server sees a closed connection a moment after the client made it."""
    async with asyncio.timeout(30):
        while listener.open_sessions:  # noqa: ASYNC110  sessions are counted, not signalled
            await asyncio.sleep(0.01)
