"""One connection of the listener: octets in, lines and content to the dialogue, replies out, deadlines.

aiosmtpd gives the protocol class and its timer. Its loop over lines is not used, because it is cancelled by a
half-closed connection, keeps any amount of lines in memory, knows one timer for everything and turns our failures into
permanent refusals (RELIABILITY D01-D10); and because answering where the octets come in takes a third of the time of
waking a task for each line.

Lines are answered in order and at once. Two things wait, ``take`` and the TLS handshake; while one runs, octets stay
where they are.
"""

import asyncio
import ssl
from abc import abstractmethod
from typing import cast

from aiosmtpd.smtp import SMTP

from supportrelay import tally
from supportrelay.core import reply as say
from supportrelay.core.reply import Reply
from supportrelay.edge.smtp_in.content import ContentReader
from supportrelay.edge.smtp_in.eager import begin_now
from supportrelay.edge.smtp_in.intake import Intake
from supportrelay.log import get_logger

__all__ = ["LONG_LINE_LIMIT", "PENDING_LIMIT", "Connection"]

log = get_logger()

LONG_LINE_LIMIT = 1000  # MAIL and RCPT: parameters, source routes, long bounce addresses
PENDING_LIMIT = 1 << 16
_ENDLESS_LINE = 1 << 20
_HANDSHAKE_S = 60
_HANDSHAKE_LOOK_S = 1.0
_LOOPBACK = "127.0.0.1"
_TLS_HANDSHAKE = 0x16  # first octet of a TLS record, so somebody takes us for HTTPS or SMTPS


class _NoHooks:
    """aiosmtpd looks for hooks with ``dir()`` at each connection; there are none to find."""

    def __dir__(self) -> tuple[str, ...]:
        return ()


_NO_HOOKS = _NoHooks()


class Connection(SMTP):
    """The server's side of one connection; `Session` adds the dialogue.

    Of aiosmtpd's private methods ``_reset_timeout`` is used and ``_timeout_cb`` overridden; 1.4.6 is its last release
    and pyproject.toml ends below 2.

    Attributes:
        ip: Of the client, printed; with a proxy in front, what that says.
        tls: Protocol and cipher, "" in clear.
        pending: Octets not read yet.
        content: Not None while a message comes.
        is_waiting: For ``take`` or a TLS handshake.
        greeting, is_greeted, awaits_proxy: Until the dialogue begins; see `arrival`.
        heard_at: Loop time of the last octets.
        prompted_at: Loop time at which the client's turn began: a command that comes octet by octet is not more time.
    """

    def __init__(self, intake: Intake, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_NO_HOOKS, hostname=intake.hostname, loop=loop, timeout=intake.limits.tick_s)
        self.intake = intake
        self.limits = intake.limits
        self.ip = ""
        self.counted_as = ""
        self.tls = ""
        self.pending = bytearray()
        self.content: ContentReader | None = None
        self.is_waiting = False
        self.data_at = self.heard_at = self.prompted_at = self.started_at = loop.time()
        self._wire: asyncio.Transport | None = None
        self.greeting: asyncio.TimerHandle | None = None
        self.is_greeted = False
        self.awaits_proxy = False
        self._is_leaving = False  # the last word is said
        self._is_stalled = False  # the client does not read
        self._is_deaf = False  # we stopped reading
        self._is_half_closed = False
        self._long_line_octets = 0
        self._handshake: asyncio.Task[None] | None = None

    def __dir__(self) -> tuple[str, ...]:
        # aiosmtpd's constructor walks dir(self) and dir(handler) for its own dialogue: 0.2 ms a connection for nothing.
        return ()

    @property
    def longest_line(self) -> int:
        """Octets of a line that is kept to be answered; a longer one is refused at its end."""
        return LONG_LINE_LIMIT

    @abstractmethod
    def arrive(self) -> None:
        """The client is there and counted; its address may still be a proxy's."""

    @abstractmethod
    def greet_soon(self) -> None:
        """Greet, unless the client talks first."""

    @abstractmethod
    def read_before_greeting(self) -> None:
        """Octets are in ``pending``, and it was not the client's turn."""

    @abstractmethod
    def answer(self, line: bytes) -> None:
        """Answer one line, its line end included; may raise."""

    @abstractmethod
    def read_content(self, data: bytes) -> None:
        """Octets of a message."""

    @abstractmethod
    def forget_session(self) -> None:
        """TLS was started: what was said in clear does not count (RFC 3207 §4.2)."""

    @abstractmethod
    def forget_transaction(self) -> None:
        """As RSET."""

    # --- its life ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._wire = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's
        peername = transport.get_extra_info("peername")
        # A Unix socket has no addresses; whoever opened it is on this machine.
        self.ip = _printed_ip(peername[0]) if isinstance(peername, tuple) and peername else _LOOPBACK
        # Not aiosmtpd's: it makes a session, a stream and a task for its loop over lines, as long as a whole dialogue.
        self.transport = transport
        self._reset_timeout()
        try:
            refusal = self.intake.enter(self)
            if refusal is not None:
                self.turn_away(refusal)
            else:
                self.arrive()
        except Exception:
            log.exception("session.failed", peer=self.ip)
            self.leave(say.CANNOT_GO_ON)

    def turn_away(self, refusal: Reply) -> None:
        """There is no place for this connection, or it does not behave."""
        self.intake.refusals.tell(self.ip, refusal)
        self.leave(refusal)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  part of the protocol
        """The connection is gone; a running take goes on."""
        self._is_leaving = True
        self._wire = self.content = None
        self.pending.clear()
        if self.greeting is not None:
            self.greeting.cancel()
        self.intake.forget(self)
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self.transport = None

    def eof_received(self) -> bool:
        """The client has said all it will; what it sent before still counts (RELIABILITY C32)."""
        self._is_half_closed = True
        return self.is_waiting and not self.tls  # TLS cannot be half closed

    def wind_down(self) -> None:
        """Leave now when nothing is under way, else after the reply to the dot."""
        if self.content is None and not self.is_waiting:
            self.leave(say.SHUTTING_DOWN)

    def abort(self) -> None:
        """Cut the connection."""
        if self._wire is not None:
            self._wire.abort()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands; the connection is cut when that fails."""
        if self._wire is None:
            return
        try:
            wire = await self.loop.start_tls(
                self._wire, self, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_S
            )
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError
            wire = None
        cipher = None if wire is None or wire.is_closing() else wire.get_extra_info("cipher")
        if (
            wire is None or cipher is None
        ):  # the client left in the middle; uvloop calls that a success, and tells nobody
            self.abort()
            self.connection_lost(None)
            return
        self.transport = self._wire = wire
        self._handshake = None
        self._reset_timeout()
        name, version, _bits = cipher
        self.tls = f"{version} {name}".strip()
        self.forget_session()
        self.is_waiting = False
        self.prompted_at = self.loop.time()
        if self.intake.is_closing:
            self.leave(say.SHUTTING_DOWN)
        elif not self.is_greeted:
            self.greet_soon()
        self.answer_lines()

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """Start the handshake; lines wait until it is done.

        At once: what comes next is for TLS and not for us. What came behind a proxy's header already is handed on.
        """
        self.is_waiting = True
        self.prompted_at = self.loop.time()
        early = bytes(self.pending)
        self.pending.clear()
        self._handshake = begin_now(self.loop, self.start_tls(context))
        self._reset_timeout(_HANDSHAKE_LOOK_S)
        if early and self._wire is not None:
            handshake = cast("asyncio.BufferedProtocol", self._wire.get_protocol())
            memoryview(handshake.get_buffer(len(early)))[: len(early)] = early
            handshake.buffer_updated(len(early))

    # --- deadlines ---

    def _timeout_cb(self) -> None:
        if self._wire is None:
            return
        if self._is_leaving or self.awaits_proxy:
            self._wire.abort()  # it does not read our last words, and close() would wait for that for ever (C23)
            return
        if self._handshake is not None:
            self._look_at_handshake(self._handshake)
            return
        refusal = self._overdue(self.loop.time())
        if refusal is not None:
            self.leave(refusal)
        else:
            self._reset_timeout()

    def _look_at_handshake(self, handshake: asyncio.Task[None]) -> None:
        """End one that cannot end by itself: uvloop never tells of a client that left before the first octet."""
        assert self._wire is not None
        if self._wire.is_closing() or self.loop.time() - self.prompted_at > _HANDSHAKE_S:
            handshake.cancel()
            self.abort()
            self.connection_lost(None)
        else:
            self._reset_timeout(_HANDSHAKE_LOOK_S)

    def _overdue(self, now: float) -> Reply | None:
        limits = self.limits
        if self.content is not None:
            if now - self.heard_at > limits.data_idle_s:
                return say.TIMED_OUT
            allowed_s = limits.data_grace_s + self.content.size_octets / limits.data_octets_per_s
            return say.TOO_SLOW if now - self.data_at > allowed_s else None
        if self.is_waiting:
            return None
        return say.TIMED_OUT if now - self.prompted_at > limits.idle_s else None

    # --- words out ---

    def say_line(self, line: str) -> None:
        """One reply; several lines come joined by CR LF."""
        if line >= "4":
            tally.count_refusal(line)
        if self._wire is not None:
            self._wire.write(line.encode("ascii", "replace") + b"\r\n")

    def leave(self, last_word: Reply) -> None:
        """Say the last word, then close; a client that does not read it in time is cut off (D05)."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self.content = None
        self.pending.clear()
        if self.greeting is not None:
            self.greeting.cancel()
        if self.tls or not self.intake.tls_implicit:  # else it expects no words in clear
            self.say_line(str(last_word))
        if self._wire is not None:
            self._wire.close()
            self._reset_timeout(self.limits.linger_s)

    def pause_writing(self) -> None:
        """The client does not read: answer nothing more until it does (C23)."""
        super().pause_writing()
        self._is_stalled = True

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._is_stalled = False
        self.answer_lines()

    # --- octets in ---

    def data_received(self, data: bytes) -> None:
        """Octets came: content after DATA, lines else."""
        if self._is_leaving:
            return
        self.heard_at = self.loop.time()
        if self.content is not None and not self.is_waiting:
            self._read_guarded(data)
            return
        self.pending += data
        if not self.is_greeted:
            self.read_before_greeting()
            return
        if not (self.is_waiting or self._is_stalled):
            self.answer_lines()
        elif len(self.pending) > PENDING_LIMIT and self._wire is not None:
            self._is_deaf = True
            self._wire.pause_reading()

    def answer_lines(self) -> None:
        """Go on with what has come, as far as it goes."""
        pending = self.pending
        while pending and not (self.is_waiting or self._is_stalled or self._is_leaving):
            if self.content is not None:
                data = bytes(pending)
                pending.clear()
                self._read_guarded(data)
                continue
            end = pending.find(b"\n") + 1
            if not end:
                self._look_at_part_of_line()
                break
            line = bytes(pending[:end])
            del pending[:end]
            self.prompted_at = self.heard_at
            self._answer_guarded(line)
        self._after_lines()

    def _after_lines(self) -> None:
        if self._wire is None or self.is_waiting or self._is_stalled:
            return
        if self._is_deaf:
            self._is_deaf = False
            self._wire.resume_reading()
        if self._is_half_closed and not self._is_leaving:
            self._is_leaving = True
            self._wire.close()

    def _look_at_part_of_line(self) -> None:
        if self.pending[0] == _TLS_HANDSHAKE:
            self.leave(say.NO_HTTP)
        elif len(self.pending) > self.longest_line:
            # Too long already: forget it, refuse it at its end (C15). An endless line is no line.
            self._long_line_octets += len(self.pending)
            self.pending.clear()
            if self._long_line_octets > _ENDLESS_LINE:
                self.leave(say.LINE_TOO_LONG)

    def _answer_guarded(self, line: bytes) -> None:
        if self._long_line_octets:
            line = b"x" * (self.longest_line + 1) + b"\r\n"
            self._long_line_octets = 0
        try:
            self.answer(line)
        except Exception:  # a mistake of ours is never the client's permanent failure (C29)
            log.exception("session.failed", peer=self.ip)
            self.forget_transaction()
            self.say_line(str(say.NOT_STORED))

    def _read_guarded(self, data: bytes) -> None:
        try:
            self.read_content(data)
        except Exception:
            log.exception("session.failed", peer=self.ip)
            self.leave(say.CANNOT_GO_ON)  # where the message ends is not known any more


def _printed_ip(address: str) -> str:
    """Without zone; IPv4 as such also when it came through a dual-stack socket."""
    return address.partition("%")[0].removeprefix("::ffff:")
