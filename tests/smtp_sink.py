"""A real SMTP server that keeps what it gets and misbehaves when told to; for tests and journeys only.

Inside asyncio tests::

    async with SmtpSink() as sink:  # listens on sink.host, sink.port
        sink.refuse("rcpt", "450 4.2.0 later", recipient="ann@example.test", times=1)
        sink.delay("dot", 0.2)
        ...
        await sink.wait_for(3)  # three messages accepted, or TimeoutError
        assert sink.messages[0].recipients == ("ann@example.test",)

From synchronous tests (own thread, own loop), the same behaviours, settable while it runs::

    with ThreadedSink() as sink:
        sink.wait_for(3, timeout=10)

Phases are ``connect banner ehlo tls auth mail rcpt data dot``. Rules are asked in the order in which they were made;
the first that fits and is not used up decides. Without a rule everything is accepted.

* ``refuse(phase, reply, recipient=, times=, when=)`` answers ``reply`` instead; at ``dot`` only for content of which
  ``when(octets)`` is true. At ``rcpt`` ``recipient`` is the address asked
  for; at ``data`` and ``dot`` any recipient of the transaction. A reply of 421 closes the connection after it.
* ``drop(phase, ...)`` aborts the connection instead of answering; at ``dot`` after the whole message came, which is
  then in ``unanswered``.
* ``delay(phase, seconds, ...)`` answers late.
* ``behave_well()`` forgets all rules.

``sink.settings`` may change while it runs: ``extensions`` (EHLO lines; empty: none), ``knows_ehlo`` (False: 502),
``closes_after`` (messages on one connection, then it is closed without a word), ``says_421_before_closing``,
``idle_close_s`` (idle connections are closed without a word), ``tls`` (an SSLContext: STARTTLS is offered),
``accounts`` (user -> password or bearer token: AUTH PLAIN LOGIN XOAUTH2 are offered, MAIL without is 530).
``SmtpSink(implicit_tls=True, tls=context)`` speaks TLS from the first octet.

What it saw: ``messages`` (accepted), ``unanswered`` (refused or dropped at the dot), ``commands`` (every line received,
with the connection's number), ``connections`` (count since start), ``open_connections``, ``logins``.
``close_connections()`` closes all open ones, ``stop()``/``start()`` take the port away and bring the same one back.
"""

import asyncio
import base64
import contextlib
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, cast

__all__ = ["Received", "SmtpSink", "ThreadedSink"]

T = TypeVar("T")
_CAPACITY = 64 * 1024


@dataclass(frozen=True)
class Received:
    """One message as it came.

    Attributes:
        reverse_path, recipients: Without angle brackets; "" is the null reverse-path.
        octets: Dot-unstuffed, with the line ends that were sent.
        when: ``time.time()`` of the dot.
        mail_parameters, rcpt_parameters: As written, upper case.
        reply: What was answered to the dot; "" when the connection was dropped.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    octets: bytes
    when: float
    helo: str = ""
    mail_parameters: tuple[str, ...] = ()
    rcpt_parameters: tuple[tuple[str, ...], ...] = ()
    connection: int = 0
    is_tls: bool = False
    user: str = ""
    reply: str = ""


@dataclass
class _Rule:
    phase: str
    reply: str = ""
    delay_s: float = 0.0
    is_drop: bool = False
    recipient: str = ""
    times: int | None = None
    when: Callable[[bytes], bool] | None = None

    def fits(self, phase: str, recipients: Sequence[str], octets: bytes) -> bool:
        is_asked = self.phase == phase and self.times != 0 and (not self.recipient or self.recipient in recipients)
        return is_asked and (self.when is None or self.when(octets))


@dataclass
class _Settings:
    """Rules and settings shared by `SmtpSink` and `ThreadedSink`."""

    extensions: tuple[str, ...] = ("SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    knows_ehlo: bool = True
    closes_after: int = 0
    says_421_before_closing: bool = False
    idle_close_s: float = 0.0
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    accounts: dict[str, str] = field(default_factory=dict)
    rules: list[_Rule] = field(default_factory=list)

    def decide(self, phase: str, recipients: Sequence[str], octets: bytes = b"") -> _Rule | None:
        """The first rule that fits; counts its use."""
        for rule in self.rules:
            if rule.fits(phase, recipients, octets):
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None


class SmtpSink:
    """See the module's text. ``port`` 0 takes a free one."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        accounts: dict[str, str] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.settings = _Settings(tls=tls, implicit_tls=implicit_tls, accounts=accounts or {})
        self.messages: list[Received] = []
        self.unanswered: list[Received] = []
        self.commands: list[tuple[int, str]] = []
        self.logins: list[tuple[str, str]] = []
        self.connections = 0
        self.protocols: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._arrived: asyncio.Condition | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; a second start takes the same port again."""
        self._arrived = asyncio.Condition()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self),
            self.host,
            self.port,
            ssl=self.settings.tls if self.settings.implicit_tls else None,
            backlog=1024,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and abort every connection."""
        if self._server is not None:
            self._server.close()
            self.close_connections()
            await self._server.wait_closed()
            self._server = None

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self.protocols)

    def refuse(
        self,
        phase: str,
        reply: str,
        *,
        recipient: str = "",
        times: int | None = None,
        when: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Answer ``reply`` at that phase, ``times`` times (None: always), to content that ``when`` is true of."""
        self.settings.rules.append(_Rule(phase, reply=reply, recipient=recipient, times=times, when=when))

    def drop(self, phase: str, *, recipient: str = "", times: int | None = None) -> None:
        """Abort the connection at that phase instead of answering."""
        self.settings.rules.append(_Rule(phase, is_drop=True, recipient=recipient, times=times))

    def delay(self, phase: str, seconds: float, *, recipient: str = "", times: int | None = None) -> None:
        """Accept at that phase, but ``seconds`` later."""
        self.settings.rules.append(_Rule(phase, delay_s=seconds, recipient=recipient, times=times))

    def behave_well(self) -> None:
        """Forget all rules."""
        self.settings.rules.clear()

    def close_connections(self) -> None:
        """Abort every open connection, as a server does that is restarted."""
        for protocol in tuple(self.protocols):
            protocol.abort()

    def clear(self) -> None:
        """Forget what was seen."""
        self.messages.clear()
        self.unanswered.clear()
        self.commands.clear()

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:  # noqa: ASYNC109  a test's patience
        """All accepted messages once there are ``count``.

        Raises:
            TimeoutError: They did not come; the text says how many did.
        """
        assert self._arrived is not None, "not started"
        try:
            async with asyncio.timeout(timeout), self._arrived:
                await self._arrived.wait_for(lambda: len(self.messages) >= count)
        except TimeoutError:
            raise TimeoutError(f"{len(self.messages)} of {count} messages came within {timeout} s") from None
        return self.messages

    async def keep(self, message: Received, *, accepted: bool) -> None:
        """Record a message that reached its dot."""
        assert self._arrived is not None
        async with self._arrived:
            (self.messages if accepted else self.unanswered).append(message)
            self._arrived.notify_all()


class _Connection(asyncio.Protocol):
    """One session: lines in order, one task that answers them."""

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink
        self.number = 0
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.wake = asyncio.Event()
        self.is_tls = sink.settings.implicit_tls
        self.task: asyncio.Task[None] | None = None
        self.eof = False
        self.helo = ""
        self.user = ""
        self.taken = 0
        self._reset()

    def _reset(self) -> None:
        self.reverse_path: str | None = None
        self.mail_parameters: tuple[str, ...] = ()
        self.recipients: list[str] = []
        self.rcpt_parameters: list[tuple[str, ...]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's
        if self.task is None:
            self.sink.connections += 1
            self.number = self.sink.connections
            self.sink.protocols.add(self)
            self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.wake.set()

    def eof_received(self) -> bool:
        self.eof = True
        self.wake.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.sink.protocols.discard(self)
        self.eof = True
        self.wake.set()

    def abort(self) -> None:
        """Close at once, without a word."""
        if self.transport is not None:
            self.transport.abort()

    async def _more(self) -> None:
        self.wake.clear()
        if self.eof:
            raise ConnectionError
        async with asyncio.timeout(self.sink.settings.idle_close_s or None):
            await self.wake.wait()

    async def _line(self) -> str:
        while (end := self.buffer.find(b"\r\n")) < 0:
            await self._more()
        line = bytes(self.buffer[:end]).decode("utf-8", "surrogateescape")
        del self.buffer[: end + 2]
        self.sink.commands.append((self.number, line))
        return line

    async def _content(self) -> bytes:
        start = 0
        while True:
            if self.buffer.startswith(b".\r\n"):
                octets, end = b"", 3
                break
            if (at := self.buffer.find(b"\r\n.\r\n", start)) >= 0:
                octets, end = bytes(self.buffer[: at + 2]), at + 5
                break
            start = max(0, len(self.buffer) - 4)
            await self._more()
        del self.buffer[:end]
        if octets.startswith(b"."):
            octets = octets[1:]
        return octets.replace(b"\r\n.", b"\r\n")

    def _say(self, reply: str) -> None:
        if self.transport is not None:
            self.transport.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")

    async def _answer(self, phase: str, usual: str, recipients: Sequence[str] = ()) -> str:
        """Say what the rules or else the protocol want; returns what was said. Raises ConnectionError when dropped."""
        reply = await self._decide(phase, usual, recipients)
        self._tell(reply)
        return reply

    async def _decide(self, phase: str, usual: str, recipients: Sequence[str], octets: bytes = b"") -> str:
        rule = self.sink.settings.decide(phase, recipients, octets)
        reply = usual
        if rule is not None:
            if rule.delay_s:
                await asyncio.sleep(rule.delay_s)
            if rule.is_drop:
                raise ConnectionError
            reply = rule.reply or usual
        return reply

    def _tell(self, reply: str) -> None:
        self._say(reply)
        if reply.startswith("421"):
            raise ConnectionError

    async def _serve(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
            rule = self.sink.settings.decide("connect", ())
            if rule is None or not rule.is_drop:
                await self._answer("banner", f"220 {self.sink.host} sink")
                while await self._command(await self._line()):
                    pass
        if self.transport is not None:
            if self.buffer:
                self.transport.abort()
            else:
                self.transport.close()

    async def _command(self, line: str) -> bool:
        verb, _, argument = line.partition(" ")
        method = getattr(self, f"_on_{verb.lower()}", None)
        if method is None:
            self._say("502 5.5.1 not known here")
            return True
        return await method(argument) is not False

    async def _on_ehlo(self, argument: str) -> None:
        settings = self.sink.settings
        if not settings.knows_ehlo:
            self._say("502 5.5.1 no EHLO here")
            return
        self.helo = argument
        lines = [self.sink.host, *settings.extensions]
        if settings.tls is not None and not self.is_tls:
            lines.append("STARTTLS")
        if settings.accounts:
            lines.append("AUTH PLAIN LOGIN XOAUTH2")
        text = "".join(f"250{' ' if i == len(lines) - 1 else '-'}{item}\r\n" for i, item in enumerate(lines))
        await self._answer("ehlo", text[:-2])

    async def _on_helo(self, argument: str) -> None:
        self.helo = argument
        await self._answer("ehlo", f"250 {self.sink.host}")

    async def _on_starttls(self, argument: str) -> None:
        context = self.sink.settings.tls
        if context is None:
            self._say("454 4.7.0 no TLS here")
            return
        reply = await self._answer("tls", "220 2.0.0 go ahead")
        if reply.startswith("220") and self.transport is not None:
            loop = asyncio.get_running_loop()
            try:
                transport = await loop.start_tls(self.transport, self, context, server_side=True)
            except (OSError, ssl.SSLError) as exc:
                raise ConnectionError from exc
            self.transport = transport
            self.is_tls = True
            self._reset()

    async def _on_auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "LOGIN":
            user = await self._challenge("VXNlcm5hbWU6", initial)
            secret = await self._challenge("UGFzc3dvcmQ6", "")
        elif mechanism.upper() == "PLAIN":
            _, user, secret = (await self._challenge("", initial)).split("\0")
        else:
            fields = (await self._challenge("", initial)).split("\x01")
            user, secret = fields[0].removeprefix("user="), fields[1].removeprefix("auth=Bearer ")
        self.sink.logins.append((user, secret))
        if self.sink.settings.accounts.get(user) == secret:
            self.user = user
            await self._answer("auth", "235 2.7.0 welcome")
        else:
            await self._answer("auth", "535 5.7.8 credentials invalid")

    async def _challenge(self, text: str, initial: str) -> str:
        if not initial:
            self._say(f"334 {text}")
            initial = await self._line()
        return base64.b64decode(initial).decode()

    async def _on_mail(self, argument: str) -> None:
        if self.sink.settings.accounts and not self.user:
            self._say("530 5.7.0 authentication required")
            return
        if self.reverse_path is not None:
            self._say("503 5.5.1 nested MAIL")
            return
        path, parameters = _split_path(argument)
        reply = await self._answer("mail", "250 2.1.0 sender ok")
        if reply.startswith("2"):
            self.reverse_path, self.mail_parameters = path, parameters

    async def _on_rcpt(self, argument: str) -> None:
        if self.reverse_path is None:
            self._say("503 5.5.1 MAIL first")
            return
        path, parameters = _split_path(argument)
        reply = await self._answer("rcpt", "250 2.1.5 recipient ok", (path,))
        if reply.startswith("2"):
            self.recipients.append(path)
            self.rcpt_parameters.append(parameters)

    async def _on_data(self, argument: str) -> bool:
        if not self.recipients:
            self._say("503 5.5.1 RCPT first")
            return True
        reply = await self._answer("data", "354 go ahead", self.recipients)
        if not reply.startswith("354"):
            return True
        octets = await self._content()
        try:
            reply = await self._decide("dot", "250 2.0.0 kept", self.recipients, octets)
        except BaseException:
            await self.sink.keep(self._received(octets, ""), accepted=False)
            raise
        # First the record, then the word: whoever hears 250 may look at once.
        await self.sink.keep(self._received(octets, reply), accepted=reply.startswith("2"))
        self._tell(reply)
        self._reset()
        self.taken += 1
        if self.sink.settings.closes_after and self.taken >= self.sink.settings.closes_after:
            if self.sink.settings.says_421_before_closing:
                self._say("421 4.3.2 enough")
            return False
        return True

    def _received(self, octets: bytes, reply: str) -> Received:
        assert self.reverse_path is not None
        return Received(
            self.reverse_path,
            tuple(self.recipients),
            octets,
            time.time(),
            helo=self.helo,
            mail_parameters=self.mail_parameters,
            rcpt_parameters=tuple(self.rcpt_parameters),
            connection=self.number,
            is_tls=self.is_tls,
            user=self.user,
            reply=reply,
        )

    async def _on_rset(self, argument: str) -> None:
        self._reset()
        self._say("250 2.0.0 ok")

    async def _on_noop(self, argument: str) -> None:
        self._say("250 2.0.0 ok")

    async def _on_quit(self, argument: str) -> bool:
        self._say("221 2.0.0 bye")
        return False


def _split_path(argument: str) -> tuple[str, tuple[str, ...]]:
    """``FROM:<a@b> SIZE=1`` -> ``("a@b", ("SIZE=1",))``; '>' inside a quoted local part stays."""
    start = argument.index("<") + 1
    end = argument.rindex(">")
    return argument[start:end], tuple(argument[end + 1 :].upper().split())


class ThreadedSink:
    """`SmtpSink` in a thread of its own; a context manager. Everything of the sink is reachable by its name."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.sink = SmtpSink(*arguments, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-sink", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self.sink.start())
        return self

    def __exit__(self, *exc: object) -> None:
        self._run(self.sink.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __getattr__(self, name: str) -> Any:
        """Rules, settings and what was seen are the sink's own."""
        return getattr(self.sink, name)

    def start(self) -> None:
        """Listen again on the same port."""
        self._run(self.sink.start())

    def stop(self) -> None:
        """Take the port away and abort every connection."""
        self._run(self.sink.stop())

    def close_connections(self) -> None:
        """Abort every open connection."""
        self._loop.call_soon_threadsafe(self.sink.close_connections)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:
        """All accepted messages once there are ``count``; TimeoutError otherwise."""
        return self._run(self.sink.wait_for(count, timeout))


async def _main(host: str, port: int) -> None:
    """Print one JSON line a message, for a look by hand: ``python tests/smtp_sink.py 127.0.0.1 2525``."""
    async with SmtpSink(host, port) as sink:
        shown = 0
        while True:
            messages = await sink.wait_for(shown + 1, timeout=10**8)
            for message in messages[shown:]:
                row = {"from": message.reverse_path, "to": message.recipients, "octets": len(message.octets)}
                print(json.dumps(row), flush=True)
            shown = len(messages)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
