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

Rules are asked in the order in which they were made; the first that fits and is not used up decides. Phases and all
ways to misbehave stand in `sink_rules`. Without a rule everything is accepted.

* ``refuse(phase, reply, recipient=, times=, when=)`` answers ``reply`` instead; at ``dot`` only for content of which
  ``when(octets)`` is true. At ``rcpt`` ``recipient`` is the address asked
  for; at ``data`` and ``dot`` any recipient of the transaction. A reply of 421 closes the connection after it.
* ``drop(phase, ...)`` aborts the connection instead of answering; at ``dot`` after the whole message came, which is
  then in ``unanswered``.
* ``delay(phase, seconds, ...)`` answers late.
* ``misbehave("dot:hang,times=1", ...)`` takes rules as they stand on paper: lie, trickle, hang, endless, read_slowly.
* ``behave_well()`` forgets all rules.

``sink.settings`` may change while it runs: ``extensions`` (EHLO lines; empty: none), ``knows_ehlo`` (False: 502),
``closes_after`` (messages on one connection, then it is closed without a word), ``says_421_before_closing``,
``idle_close_s`` (idle connections are closed without a word), ``tls`` (an SSLContext: STARTTLS is offered),
``accounts`` (user -> password or bearer token: AUTH PLAIN LOGIN XOAUTH2 are offered, MAIL without is 530).
``mood`` (a connection's number -> rules that are asked before the others, made anew for each connection).
``sets_aside`` (accepted messages of which it is true are kept in ``aside``, and nobody who waits counts them).
``SmtpSink(implicit_tls=True, tls=context)`` speaks TLS from the first octet; ``receive_window`` (octets) makes the
kernel's buffer small.

What it saw: ``messages`` (accepted), ``unanswered`` (refused or dropped at the dot), ``commands`` (every line received,
with the connection's number), ``octets`` (connection -> all that came, when ``settings.records_octets``),
``connections`` (count since start), ``open_connections``, ``logins``.
``close_connections()`` closes all open ones, ``stop()``/``start()`` take the port away and bring the same one back.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self, TypeVar, cast

import sink_rules
from sink_rules import Rule, random_mood, rule_of

__all__ = ["PrintingSink", "Received", "SmtpSink", "ThreadedSink", "message_id_of"]

T = TypeVar("T")
_CAPACITY = 64 * 1024
_MESSAGE_ID = re.compile(rb"(?im)^Message-ID:[ \t]*(?:\r\n[ \t]+)?(<[^>\r\n]*>)")


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
    rules: list[Rule] = field(default_factory=list)
    mood: Callable[[int], list[Rule]] | None = None
    records_octets: bool = False
    receive_window: int = 0
    sets_aside: Callable[["Received"], bool] | None = None


def _first_that_fits(
    rules: Iterable[Rule], phase: str, recipients: Sequence[str], octets: bytes, connection: int
) -> Rule | None:
    """The first rule that fits; counts its use."""
    for rule in rules:
        if rule.fits(phase, recipients, octets, connection):
            if rule.times is not None:
                rule.times -= 1
            return rule
    return None


@dataclass(frozen=True)
class _Answer:
    """What goes over the wire, and what it means for the sink itself: ``said`` begins with the code it acts on."""

    said: str
    octets: bytes
    trickle_s: float = 0.0
    endless: bytes = b""


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
        receive_window: int = 0,
    ) -> None:
        self.host = host
        self.port = port
        self.settings = _Settings(
            tls=tls, implicit_tls=implicit_tls, accounts=accounts or {}, receive_window=receive_window
        )
        self.messages: list[Received] = []
        self.unanswered: list[Received] = []
        self.aside: list[Received] = []
        self.commands: list[tuple[int, str]] = []
        self.logins: list[tuple[str, str]] = []
        self.connections = 0
        self.octets: dict[int, bytearray] = {}
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
        listening = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.settings.receive_window:  # those who connect inherit it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.settings.receive_window)
        listening.bind((self.host, self.port))
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self),
            sock=listening,
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
        self.settings.rules.append(Rule(phase, reply=reply, recipient=recipient, times=times, when=when))

    def drop(self, phase: str, *, recipient: str = "", times: int | None = None) -> None:
        """Abort the connection at that phase instead of answering."""
        self.settings.rules.append(Rule(phase, is_drop=True, recipient=recipient, times=times))

    def delay(self, phase: str, seconds: float, *, recipient: str = "", times: int | None = None) -> None:
        """Accept at that phase, but ``seconds`` later."""
        self.settings.rules.append(Rule(phase, delay_s=seconds, recipient=recipient, times=times))

    def misbehave(self, *rules: str) -> None:
        """Add rules as they stand on paper; see `sink_rules`."""
        self.settings.rules += map(rule_of, rules)

    def behave_well(self) -> None:
        """Forget all rules."""
        self.settings.rules.clear()
        self.settings.mood = None

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
            sets_aside = self.settings.sets_aside
            if accepted and sets_aside is not None and sets_aside(message):
                self.aside.append(message)
                return
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
        self.mood: list[Rule] = []
        self.slow_octets = 0
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
            mood = self.sink.settings.mood
            self.mood = mood(self.number) if mood is not None else []
            self.sink.protocols.add(self)
            self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.sink.settings.records_octets:
            self.sink.octets.setdefault(self.number, bytearray()).extend(data)
        if self.slow_octets and self.transport is not None:
            self.transport.pause_reading()
            pause_s = 0.05 * max(1, len(data) // self.slow_octets)
            asyncio.get_running_loop().call_later(pause_s, self._read_on)
        self.wake.set()

    def _read_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

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

    def _rule(self, phase: str, recipients: Sequence[str] = (), octets: bytes = b"") -> Rule | None:
        rules = chain(self.mood, self.sink.settings.rules)
        return _first_that_fits(rules, phase, recipients, octets, self.number)

    async def _answer(self, phase: str, usual: str, recipients: Sequence[str] = ()) -> str:
        """Say what the rules or else the protocol want; returns what was meant. Raises ConnectionError when dropped."""
        answer = await self._decide(phase, usual, recipients)
        await self._tell(answer)
        return answer.said

    async def _decide(self, phase: str, usual: str, recipients: Sequence[str], octets: bytes = b"") -> _Answer:
        rule = self._rule(phase, recipients, octets)
        if rule is None:
            return _answer_of(usual)
        if rule.delay_s:
            await asyncio.sleep(rule.delay_s)
        if rule.is_drop:
            raise ConnectionError
        if rule.is_hang:
            while True:
                await self._more()
        if rule.lie is not None:
            return _Answer(usual, rule.lie)
        said = rule.reply or usual
        return _Answer(said, _answer_of(said).octets, rule.trickle_s, rule.endless)

    async def _tell(self, answer: _Answer) -> None:
        if answer.endless:
            while self.transport is not None and not self.transport.is_closing():
                if self.transport.get_write_buffer_size() < _CAPACITY:
                    self.transport.write(answer.endless)
                await asyncio.sleep(0.001)
            raise ConnectionError
        for piece in _octet_by_octet(answer.octets) if answer.trickle_s else (answer.octets,):
            if self.transport is None:
                raise ConnectionError
            self.transport.write(piece)
            if answer.trickle_s:
                await asyncio.sleep(answer.trickle_s)
        if answer.said.startswith("421"):
            raise ConnectionError

    async def _serve(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
            rule = self._rule("connect")
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
        octets = await self._slowly_or_not()
        try:
            answer = await self._decide("dot", "250 2.0.0 kept", self.recipients, octets)
        except BaseException:
            await self.sink.keep(self._received(octets, ""), accepted=False)
            raise
        # First the record, then the word: whoever hears 250 may look at once.
        await self.sink.keep(self._received(octets, answer.said), accepted=answer.said.startswith("2"))
        await self._tell(answer)
        self._reset()
        self.taken += 1
        if (rule := self._rule("idle")) is not None:
            await asyncio.sleep(rule.delay_s)
            if rule.reply:
                self._say(rule.reply)
            return False
        if self.sink.settings.closes_after and self.taken >= self.sink.settings.closes_after:
            if self.sink.settings.says_421_before_closing:
                self._say("421 4.3.2 enough")
            return False
        return True

    async def _slowly_or_not(self) -> bytes:
        rule = self._rule("content", self.recipients)
        if rule is not None:
            await asyncio.sleep(rule.delay_s)
            if rule.is_drop:
                raise ConnectionError
            if rule.is_hang and self.transport is not None:  # takes nothing more
                self.transport.pause_reading()
            self.slow_octets = rule.slow_octets
        try:
            return await self._content()
        finally:
            self.slow_octets = 0

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
        await self._answer("rset", "250 2.0.0 ok")

    async def _on_noop(self, argument: str) -> None:
        self._say("250 2.0.0 ok")

    async def _on_quit(self, argument: str) -> bool:
        await self._answer("quit", "221 2.0.0 bye")
        return False


def _answer_of(said: str) -> _Answer:
    return _Answer(said, said.encode("utf-8", "surrogateescape") + b"\r\n")


def _octet_by_octet(octets: bytes) -> Iterator[bytes]:
    return (octets[at : at + 1] for at in range(len(octets)))


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


class PrintingSink(SmtpSink):
    """Keeps no mail, so that it may run for hours: a line of JSON for each, printed before it is answered."""

    async def keep(self, message: Received, *, accepted: bool) -> None:
        """Print it."""
        row = {
            "from": message.reverse_path,
            "to": message.recipients,
            "octets": len(message.octets),
            "message_id": message_id_of(message.octets),
            "when": message.when,
            "reply": message.reply,
            "accepted": accepted,
        }
        print(json.dumps(row), flush=True)
        self.commands.clear()


def message_id_of(octets: bytes) -> str:
    """The Message-ID field's value, "" without."""
    found = _MESSAGE_ID.search(octets.partition(b"\r\n\r\n")[0])
    return found[1].decode("utf-8", "replace") if found else ""


async def _main() -> None:
    """``python tests/smtp_sink.py 127.0.0.1 2525 "rcpt:reply=450 later,times=1" --mood 7``."""
    words = argparse.ArgumentParser(description=sink_rules.__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("host")
    words.add_argument("port", type=int, help="0 takes a free one, which is printed")
    words.add_argument("rules", nargs="*", type=rule_of)
    words.add_argument("--mood", type=int, default=0, metavar="SEED", help="a third of all connections meet a fault")
    given = words.parse_args()
    async with PrintingSink(given.host, given.port) as sink:
        sink.settings.rules += given.rules
        if given.mood:
            sink.settings.mood = random_mood(random.Random(given.mood))
        print(json.dumps({"listening": [sink.host, sink.port]}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
