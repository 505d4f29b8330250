"""What the sessions of one listener share: whom to ask, how much of anything a client gets, who is there."""

import asyncio
import errno
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Protocol

from supportrelay.core import reply as say
from supportrelay.core.account import Account
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.errors import PermanentFailure, TransientFailure
from supportrelay.core.reply import Reply
from supportrelay.core.value import value_class
from supportrelay.edge.smtp_in.census import Census, client_key
from supportrelay.edge.smtp_in.content import HOPS_LIMIT, ContentReader, count_received
from supportrelay.edge.smtp_in.refusals import RefusalLog
from supportrelay.log import get_logger

__all__ = ["Client", "Intake", "IntakePolicy", "Limits", "Login", "Take"]

log = get_logger()

_LARGE = 1 << 20

Take = Callable[[Envelope, bytes], Awaitable[Reply]]
"""The accept station: takes custody and says what to answer to the dot. Never cancelled by the session."""


class Login(Protocol):
    """Checks who somebody says he is; may take seconds, never raises."""

    async def __call__(self, name: str, password: str, peer: Peer, /) -> Account | Reply:
        """His account, or a refusal: 535, 454, or 421, which ends the session."""
        ...


class IntakePolicy(Protocol):
    """Who may send what to whom. Asked in the middle of the dialogue: quick, pure, no waiting."""

    def peer(self, ip: str, helo: str, role: Role, tls: str) -> Peer:
        """The session as decisions see it: trusted, a gateway, or a stranger."""
        ...

    def is_familiar(self, ip: str) -> bool:
        """A trusted network or a gateway: limits for each client are not for those who speak for many."""
        ...

    def check_sender(self, reverse_path: str, peer: Peer, size: int) -> Reply | None:
        """None accepts. ``reverse_path`` "" is the null one, ``size`` 0 was not declared."""
        ...

    def check_recipient(self, forward_path: str, peer: Peer) -> Reply | None:
        """None accepts. ``forward_path`` is a printed address, or ``postmaster`` without a domain."""
        ...


@value_class
class Limits:
    """How much of anything a client gets; the defaults are meant to stay. Times in seconds.

    Attributes:
        idle_s: Between commands (RFC 5321 §4.5.3.2.7: at least 5 minutes).
        data_idle_s: Between two pieces of a message (§4.5.3.2.5: 3 minutes).
        data_grace_s, data_octets_per_s: A message may take the grace, and longer at this rate (Postfix: 500).
        session_s: A session older than this ends at its next command.
        linger_s: How long a client may take to read our last words before it is cut off.
        greet_after_s: Whoever speaks in this time, before our greeting, is no mail server. Long enough for octets sent
            with the first packet; twenty sessions still bring 1,300 messages/s, more than the stations behind take.
        proxy_s: How long a proxy may take for its header.
        connections: Of strangers, over all listeners and workers.
        connections_per_client, connections_per_minute: Of one address (of IPv6 a /64); 0 means any number.
        recipients: Per message; RFC 5321 §4.5.3.1.8 wants 100 or more.
        error_points: A refused recipient costs 1, any other mistake 5; then the session ends.
        idle_commands: Commands without a message: NOOP, RSET, EHLO ...
    """

    idle_s: float = 300
    data_idle_s: float = 180
    data_grace_s: float = 300
    data_octets_per_s: float = 500
    session_s: float = 7200
    linger_s: float = 5
    greet_after_s: float = 0.005
    proxy_s: float = 10
    connections: int = 1000
    connections_per_client: int = 50
    connections_per_minute: int = 0
    recipients: int = 1000
    error_points: int = 100
    idle_commands: int = 100

    @property
    def tick_s(self) -> float:
        """How often deadlines are looked at: one lazy timer is cheaper than one set anew for each line."""
        return min(30.0, self.idle_s / 3, self.data_idle_s / 3, self.data_grace_s / 3)


class Client(Protocol):
    """A session, as its listener sees it.

    Attributes:
        counted_as: Under which name `Intake.admit` counted it, "" before.
    """

    ip: str
    counted_as: str

    def wind_down(self) -> None:
        """Leave now when nothing is under way, else after the reply to the dot."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class Budget:
    """Large messages in memory at once, while the store takes them; the others wait on disk, first come first served.

    One of any size always gets its turn.
    """

    def __init__(self) -> None:
        self._used = 0
        self._waiting: deque[asyncio.Event] = deque()

    @asynccontextmanager
    async def held(self, octets: int, limit: int) -> AsyncIterator[None]:
        """Hold so many octets, as soon as no more than ``limit`` are held together."""
        if self._used and (self._waiting or self._used + octets > limit):
            await self._wait(octets, limit)
        self._used += octets
        try:
            yield
        finally:
            self._used -= octets
            if self._waiting:
                self._waiting[0].set()

    async def _wait(self, octets: int, limit: int) -> None:
        mine = asyncio.Event()
        self._waiting.append(mine)
        try:
            while self._used and (self._waiting[0] is not mine or self._used + octets > limit):
                await mine.wait()
                mine.clear()
        finally:
            self._waiting.remove(mine)
            if self._waiting:
                self._waiting[0].set()


@dataclass(slots=True, eq=False)
class Intake:
    """What all sessions of one listener share: its settings and who is there.

    Attributes:
        policy, max_size, tls_context: Asked anew each time, so that a reload changes them under open sessions.
        takes: Running custody tasks; they end even when their client is gone.
        spool_folder: Where large messages wait until they are whole; None: in memory.
        memory: For large messages while custody is taken of them.
    """

    role: Role
    policy: Callable[[], IntakePolicy]
    take: Take
    hostname: str
    max_size: Callable[[], int]
    tls_context: Callable[[], ssl.SSLContext | None]
    tls_required: bool = False
    tls_implicit: bool = False
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    login: Login | None = None
    limits: Limits = field(default_factory=Limits)
    spool_folder: Path | None = None
    memory: Budget = field(default_factory=Budget)
    census: Census = field(default_factory=lambda: Census.alone(time.monotonic))
    refusals: RefusalLog = field(default_factory=lambda: RefusalLog(time.monotonic))
    sessions: set[Client] = field(default_factory=set)
    takes: set[asyncio.Task[Reply]] = field(default_factory=set)
    writes: set[asyncio.Task[None]] = field(default_factory=set)
    is_closing: bool = False
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, session: Client) -> Reply | None:
        """Count a new connection; a reply when there is no place for it."""
        self.sessions.add(session)
        self.census.enter()
        if self.is_closing:
            return say.SHUTTING_DOWN
        return say.TOO_MANY_CONNECTIONS if self.census.is_full else None

    def is_proxy(self, ip: str) -> bool:
        """Its header says who the client is (RELIABILITY C26)."""
        return bool(self.proxies) and _is_in(ip, self.proxies)

    def admit(self, session: Client) -> Reply | None:
        """Count a client whose address is known; a reply when there are too many, of it or of all strangers."""
        session.counted_as = key = client_key(session.ip)
        here = self.census.enter_client(key)
        if self.policy().is_familiar(session.ip):
            return None
        limits = self.limits
        if self.census.connected > limits.connections:
            return say.TOO_MANY_CONNECTIONS
        if limits.connections_per_client and here > limits.connections_per_client:
            return say.TOO_MANY_FROM_YOU
        if limits.connections_per_minute and self.census.count_arrival(key) > limits.connections_per_minute:
            return say.TOO_OFTEN
        return None

    def forget(self, session: Client) -> None:
        """The session's connection is gone."""
        if session in self.sessions:
            self.sessions.remove(session)
            self.census.leave()
            if session.counted_as:
                self.census.leave_client(session.counted_as)
        self._tell_quiet()

    def begin_take(self, envelope: Envelope, content: ContentReader) -> asyncio.Task[Reply]:
        """Hand one message to ``take`` in a task that outlives the session; it never raises."""
        task = asyncio.get_running_loop().create_task(_take_custody(self, envelope, content))
        self.takes.add(task)
        task.add_done_callback(self._end_take)
        return task

    def begin_write(self, content: ContentReader) -> asyncio.Task[None]:
        """Have a thread write a piece of a large message."""
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(content.write_piece))
        self.writes.add(task)
        task.add_done_callback(self.writes.discard)
        return task

    def _end_take(self, task: asyncio.Task[Reply]) -> None:
        self.takes.discard(task)
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        if self.is_closing and not self.sessions and not self.takes:
            self._quiet.set()

    async def wait_quiet(self, timeout_s: float) -> bool:
        """Wait until no session and no custody is left; False when that took too long. Only once ``is_closing``."""
        self._tell_quiet()
        try:
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True


def _is_in(ip: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in networks)


async def _take_custody(intake: Intake, envelope: Envelope, content: ContentReader) -> Reply:
    try:
        if content.size_octets <= _LARGE:
            return await _take(intake, envelope, content.octets())
        async with intake.memory.held(content.size_octets, intake.max_size()):
            return await _take(intake, envelope, await asyncio.to_thread(content.octets))
    except TransientFailure as exc:
        log.warning("message.not_stored", status=exc.status, detail=exc.detail)
        return Reply(452 if exc.status == "4.3.1" else 451, exc.status, exc.text)
    except PermanentFailure as exc:
        return Reply(554, exc.status, exc.text)
    except OSError as exc:
        log.warning("message.not_stored", status=say.NOT_STORED.status, detail=f"spool: {exc}")
        return say.NO_ROOM if exc.errno in {errno.ENOSPC, errno.EDQUOT} else say.NOT_STORED
    except Exception:  # whatever it is, the client keeps the mail and tries again
        log.exception("session.failed", station="take")
        return say.NOT_STORED


async def _take(intake: Intake, envelope: Envelope, octets: bytes) -> Reply:
    if len(octets) > intake.max_size():  # stray CR and LF became two octets
        return say.TOO_LARGE
    if count_received(octets) > HOPS_LIMIT:
        intake.refusals.tell_message(envelope.peer.ip, say.LOOP, reverse_path=envelope.reverse_path)
        return say.LOOP
    return await intake.take(envelope, octets)
