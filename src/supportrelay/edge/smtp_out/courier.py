"""The courier: one attempt for one delivery, command by command; one Outcome, whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiosmtplib
from aiosmtplib.response import SMTPResponse

from supportrelay.core.delivery import Cause, Outcome, OutcomeKind, Phase
from supportrelay.core.errors import AddressError
from supportrelay.core.next_hop import NextHop
from supportrelay.core.reply import enhanced_status, printable_line
from supportrelay.core.retry import classify_reply
from supportrelay.edge.smtp_out.link import Link, LinkFailure, Patience
from supportrelay.edge.smtp_out.pool import ConnectionPool, PoolLimits
from supportrelay.edge.smtp_out.smarthost import Smarthost
from supportrelay.edge.smtp_out.upload import upload
from supportrelay.edge.smtp_out.wire import wire_content, wire_path
from supportrelay.log import get_logger

__all__ = ["SmtpCourier"]

log = get_logger()

_LAST_CHOICE_S = 60
_LOGIN_REFUSED_S = 60
_LARGE = 1 << 20
_LARGE_AT_ONCE = 4

_SERVICE_CLOSING = 421
_START_INPUT = 354


@dataclass(slots=True)
class _Job:
    """One delivery on its way."""

    mail_from: bytes
    rcpt_to: bytes
    octets: bytes
    wire: bytes
    is_smtputf8: bool
    before_data: Callable[[], Awaitable[bool]] | None
    fit: Callable[[NextHop], Awaitable[bytes]] | None = None

    async def for_hop(self, hop: NextHop) -> "_Job":
        """The same delivery with octets that this server takes; nearly always as it is."""
        if self.fit is None or hop.takes(self.octets, is_smtputf8=self.is_smtputf8):
            return self
        octets = await self.fit(hop)
        return replace(self, octets=octets, wire=await _wire(octets))


async def _wire(octets: bytes) -> bytes:
    return wire_content(octets) if len(octets) <= _LARGE else await asyncio.to_thread(wire_content, octets)


class _LinkGone(Exception):  # noqa: N818  nothing went wrong: the server closed a connection that was idle
    """A pooled connection was not there any more; nothing of the mail was sent."""


class SmtpCourier:
    """`core.ports.Courier` over SMTP."""

    def __init__(
        self,
        hosts: Sequence[Smarthost],
        *,
        hostname: str,
        limits: PoolLimits | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            hosts: In order of preference; at least one.
            hostname: What we say at EHLO.
            limits: For each host; None takes the defaults.
            patience: None takes the defaults.
        """
        self._patience = patience or Patience()
        self._pools = [
            ConnectionPool(host, hostname=hostname, limits=limits or PoolLimits(), patience=self._patience)
            for host in hosts
        ]
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    @classmethod
    def of(cls, sections: Sequence[Any], *, hostname: str) -> "SmtpCourier":
        """From the ``outbound`` sections of the configuration; see `Smarthost.of`."""
        return cls([Smarthost.of(section) for section in sections], hostname=hostname)

    async def aclose(self) -> None:
        """Close pooled connections."""
        await asyncio.gather(*(pool.aclose() for pool in self._pools))

    async def send(
        self,
        reverse_path: str,
        recipient: str,
        octets: bytes,
        *,
        is_smtputf8: bool = False,
        before_data: Callable[[], Awaitable[bool]] | None = None,
        fit: Callable[[NextHop], Awaitable[bytes]] | None = None,
    ) -> Outcome:
        """Send these octets to one recipient; never raises, unknown errors are deferred.

        Args:
            reverse_path: "" is the null one.
            recipient: One address.
            octets: The message, CRLF line ends.
            is_smtputf8: The mail came with SMTPUTF8.
            before_data: Asked right before DATA; False gives up and defers (the lease was lost).
            fit: Gives the octets for a server that does not take these; None sends them all the same.
        """
        try:
            mail_from = wire_path(reverse_path)
        except AddressError as exc:
            return _outcome(OutcomeKind.DEFERRED, Phase.MAIL, f"reverse-path: {exc}", cause=Cause.OURS)
        try:
            rcpt_to = wire_path(recipient)
        except AddressError as exc:
            return _outcome(OutcomeKind.FAILED, Phase.RCPT, str(exc), status="5.1.3", cause=Cause.RECIPIENT)
        job = _Job(mail_from, rcpt_to, octets, b"", is_smtputf8, before_data, fit)
        try:
            if len(octets) <= _LARGE:
                job.wire = wire_content(octets)
                return await self._send(job)
            async with self._large:
                job.wire = await _wire(octets)
                return await self._send(job)
        except Exception as exc:  # unknown errors are temporary, and never lose the mail
            log.exception("delivery.deferred", recipient=recipient)
            return _outcome(OutcomeKind.DEFERRED, Phase.CONNECT, f"{type(exc).__name__}: {exc}", cause=Cause.WEATHER)

    async def _send(self, job: _Job) -> Outcome:
        """Ask one host after the other until one of them answers for the mail."""
        now = asyncio.get_running_loop().time()
        pools = self._pools
        if len(pools) > 1:
            pools = sorted(pools, key=lambda pool: pool.last_choice_until > now)
        outcomes: list[Outcome] = []
        for pool in pools:
            try:
                async with pool.slots:
                    return await self._try_host(pool, job)
            except LinkFailure as failure:
                outcomes.append(self._remember(pool, failure))
        # What the administrator can do something about says more than the weather.
        return next((o for o in outcomes if o.cause is Cause.OURS), outcomes[-1])

    async def _try_host(self, pool: ConnectionPool, job: _Job) -> Outcome:
        if pool.refusal is not None and asyncio.get_running_loop().time() < pool.closed_until:
            raise _KnownRefusal(pool.refusal)
        link = pool.take_idle()
        if link is not None:
            try:
                return await self._transact(pool, link, job, is_reused=True)
            except _LinkGone:
                pass  # closed while idle: a fresh one at once, and no attempt is counted (F29)
        link = await pool.open()
        if pool.last_choice_until:
            pool.last_choice_until, pool.refusal = 0.0, None
        return await self._transact(pool, link, job, is_reused=False)

    def _remember(self, pool: ConnectionPool, failure: LinkFailure) -> Outcome:
        if isinstance(failure, _KnownRefusal):
            return replace(failure.outcome, at=datetime.now(UTC))
        outcome = _link_outcome(failure, pool.host.address)
        now = asyncio.get_running_loop().time()
        pool.last_choice_until = now + _LAST_CHOICE_S
        if outcome.cause is Cause.OURS:
            log.error("courier.misconfigured", host=pool.host.address, phase=outcome.phase.value, reply=outcome.text)
            if outcome.phase is Phase.AUTH:
                # The next wrong password may lock the account.
                pool.closed_until, pool.refusal = now + _LOGIN_REFUSED_S, outcome
        if len(self._pools) > 1:
            log.warning("courier.switched", away_from=pool.host.address, reply=outcome.text)
        return outcome

    async def _transact(self, pool: ConnectionPool, link: Link, job: _Job, *, is_reused: bool) -> Outcome:
        """One mail transaction; the connection is kept only when its end is known."""
        dialogue = _Dialogue(link, await self._fitting(link, job), pool.host.address, self._patience)
        is_known = False
        try:
            outcome = await dialogue.run()
            is_known = True
        except (aiosmtplib.SMTPServerDisconnected, ConnectionError) as exc:
            if is_reused and dialogue.phase is not Phase.DOT:
                raise _LinkGone from exc
            outcome = dialogue.broken(str(exc) or "connection lost")
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            outcome = dialogue.broken("timed out")
        except aiosmtplib.SMTPResponseException as exc:  # no SMTP: a line without code, or without end
            outcome = dialogue.broken(exc.message)
        finally:
            if is_known and not dialogue.is_closing:
                pool.put_back(link)
            else:
                link.close()
        if is_reused and outcome.code == _SERVICE_CLOSING and outcome.phase is Phase.MAIL:
            raise _LinkGone
        return outcome

    async def _fitting(self, link: Link, job: _Job) -> _Job:
        try:
            return await job.for_hop(link.next_hop)
        except BaseException:
            link.close()
            raise


class _KnownRefusal(LinkFailure):
    """The host refused our login a moment ago; it is not asked again yet."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.phase, outcome.code, outcome.text, is_ours=True)
        self.outcome = outcome


class _Dialogue:
    """MAIL, RCPT, DATA and the dot on one connection.

    Attributes:
        phase: How far it came.
        is_closing: The server said 421: it closes, whatever it is connected to says (D24). Or refused before the end.
    """

    __slots__ = ("_address", "_job", "_link", "_patience", "is_closing", "phase")

    def __init__(self, link: Link, job: _Job, address: str, patience: Patience) -> None:
        self._link = link
        self._job = job
        self._address = address
        self._patience = patience
        self.phase = Phase.MAIL
        self.is_closing = False

    async def run(self) -> Outcome:
        """The outcome; raises what aiosmtplib raises when the connection breaks."""
        refusal = self._unsendable()
        if refusal is not None:
            return refusal
        patience = self._patience
        async with asyncio.timeout(patience.command_s) as deadline:  # one timer for both, moved on
            refusal = await self._envelope()
            if refusal is not None:
                return refusal
            upload_s = len(self._job.wire) / patience.upload_octets_per_s
            deadline.reschedule(asyncio.get_running_loop().time() + patience.dot_s + upload_s)
            return await self._content()

    def _unsendable(self) -> Outcome | None:
        """What the next hop says at EHLO it cannot take is not worth an upload."""
        offered, job = self._link.extensions, self._job
        limit = offered.get("size", "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < len(job.octets):
            text = f"the next hop takes {limit} octets, the message has {len(job.octets)}"
            return self._failed(552, "5.3.4", text, Cause.SIZE)
        # A local part has no other spelling (RFC 6531 §3.2); no other form of the mail would help.
        if "smtputf8" not in offered and not job.mail_from.isascii():
            return self._failed(553, "5.6.7", "the next hop does not take SMTPUTF8 senders", Cause.RECIPIENT)
        if "smtputf8" not in offered and not job.rcpt_to.isascii():
            return self._failed(553, "5.6.7", "the next hop does not take SMTPUTF8 recipients", Cause.RECIPIENT)
        return None

    def _failed(self, code: int, status: str, text: str, cause: Cause) -> Outcome:
        return _outcome(OutcomeKind.FAILED, self.phase, text, code=code, status=status, host=self._address, cause=cause)

    async def _envelope(self) -> Outcome | None:
        link, job = self._link, self._job
        command = link.protocol.execute_command
        if link.needs_reset:
            reply = await command(b"RSET")
            if reply.code // 100 != 2:  # noqa: PLR2004
                raise aiosmtplib.SMTPServerDisconnected("RSET refused")
            link.needs_reset = False
        reply = await command(b"MAIL", b"FROM:" + job.mail_from, *self._mail_parameters())
        if reply.code // 100 != 2:  # noqa: PLR2004
            return self._refused(reply)
        link.needs_reset = True
        self.phase = Phase.RCPT
        reply = await command(b"RCPT", b"TO:" + job.rcpt_to)
        if reply.code // 100 != 2:  # noqa: PLR2004
            return self._refused(reply)
        self.phase = Phase.DATA
        if job.before_data is not None and not await job.before_data():
            return _outcome(OutcomeKind.DEFERRED, Phase.DATA, "lease lost", host=self._address, cause=Cause.WEATHER)
        reply = await command(b"DATA")
        return None if reply.code == _START_INPUT else self._refused(reply)

    def _mail_parameters(self) -> list[bytes]:
        offered, job = self._link.extensions, self._job
        parameters = []
        if "size" in offered:
            parameters.append(b"SIZE=%d" % len(job.octets))
        if "8bitmime" in offered and not job.octets.isascii():
            parameters.append(b"BODY=8BITMIME")
        needs_utf8 = (job.is_smtputf8 and not job.octets.isascii()) or not (
            job.mail_from.isascii() and job.rcpt_to.isascii()
        )
        if needs_utf8 and "smtputf8" in offered:
            parameters.append(b"SMTPUTF8")
        return parameters

    async def _content(self) -> Outcome:
        self.phase = Phase.DOT
        link = self._link
        reply, is_whole = await upload(link.protocol, self._job.wire)
        link.needs_reset = False
        if reply.code // 100 != 2:  # noqa: PLR2004
            return self._refused(reply, is_closing=not is_whole)
        link.sent += 1
        return _outcome(
            OutcomeKind.DELIVERED,
            Phase.DOT,
            f"{reply.code} {reply.message}{self._note()}",
            code=reply.code,
            status=enhanced_status(reply.message),
            host=self._address,
        )

    def _note(self) -> str:
        if "8bitmime" not in self._link.extensions and not self._job.octets.isascii():
            return " [sent as 8-bit although the next hop does not offer 8BITMIME]"
        return ""

    def _refused(self, reply: SMTPResponse, *, is_closing: bool = False) -> Outcome:
        self.is_closing = is_closing or reply.code == _SERVICE_CLOSING
        status = enhanced_status(reply.message)
        kind, cause = classify_reply(self.phase, reply.code, status, reply.message)
        if cause is Cause.OURS:
            log.error("courier.misconfigured", host=self._address, phase=self.phase.value, reply=reply.message[:200])
        return _outcome(
            kind,
            self.phase,
            f"{reply.code} {reply.message}",
            code=reply.code,
            status=status,
            host=self._address,
            cause=cause,
        )

    def broken(self, reason: str) -> Outcome:
        """The connection broke; after the content went out nobody knows what became of it (D22, F06)."""
        return _outcome(
            OutcomeKind.DEFERRED,
            self.phase,
            reason,
            host=self._address,
            cause=Cause.WEATHER,
            is_uncertain=self.phase is Phase.DOT,
        )


def _link_outcome(failure: LinkFailure, address: str) -> Outcome:
    status = enhanced_status(failure.text)
    kind, cause = classify_reply(failure.phase, failure.code, status, failure.text)
    text = f"{failure.code} {failure.text}" if failure.code > 0 else failure.text
    return _outcome(
        kind,
        failure.phase,
        text,
        code=max(failure.code, 0),
        status=status,
        host=address,
        cause=Cause.OURS if failure.is_ours else cause,
    )


def _outcome(
    kind: OutcomeKind,
    phase: Phase,
    text: str,
    *,
    code: int = 0,
    status: str = "",
    host: str = "",
    cause: Cause = Cause.NONE,
    is_uncertain: bool = False,
) -> Outcome:
    return Outcome(
        kind,
        phase,
        code=code,
        status=status,
        text=printable_line(text),
        host=host,
        cause=cause,
        is_uncertain=is_uncertain,
        at=datetime.now(UTC),
    )
