"""One open connection to a smarthost: TCP, banner, EHLO, TLS, login; each failure names how far it came.

aiosmtplib is driven command by command (RELIABILITY D20-D30): its convenience calls hide the phase, try every login
mechanism in turn, parse addresses loosely and go on in clear when STARTTLS is missing.
"""

import asyncio
import ssl
from dataclasses import dataclass

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from supportrelay.core.delivery import Phase
from supportrelay.core.errors import TransientFailure
from supportrelay.core.next_hop import NextHop
from supportrelay.core.value import value_class
from supportrelay.edge.smtp_out.smarthost import Smarthost
from supportrelay.log import hide, masked

__all__ = ["Link", "LinkFailure", "Patience", "open_link"]


@value_class
class Patience:
    """How long to wait for the next hop, in seconds (RFC 5321 §4.5.3.2).

    Attributes:
        connect_s: Each step up to the login.
        command_s: MAIL, RCPT and DATA together.
        dot_s: For the reply to the dot, after the upload; less than 10 minutes sends copies twice (§4.5.3.2.6).
        upload_octets_per_s: The slowest upload that is waited for.
    """

    connect_s: float = 30
    command_s: float = 300
    dot_s: float = 600
    upload_octets_per_s: float = 10_000


class LinkFailure(Exception):  # noqa: N818  the field's word is failure
    """No connection could be made ready.

    Attributes:
        phase: Where it failed.
        code: Reply code, 0 without one.
        text: Reply or reason.
        is_ours: Our configuration is to blame: TLS, certificate, login.
    """

    def __init__(self, phase: Phase, code: int, text: str, *, is_ours: bool = False) -> None:
        super().__init__(f"{phase}: {code} {text}")
        self.phase = phase
        self.code = code
        self.text = text
        self.is_ours = is_ours


@dataclass(slots=True, eq=False)
class Link:
    """A connection that is ready for MAIL.

    Attributes:
        extensions: EHLO keyword, lower case -> its parameters.
        opened_at: Loop time.
        sent: Messages so far.
        needs_reset: A transaction was left open; RSET comes before the next one.
    """

    client: aiosmtplib.SMTP
    protocol: SMTPProtocol
    extensions: dict[str, str]
    opened_at: float
    sent: int = 0
    needs_reset: bool = False

    @property
    def next_hop(self) -> NextHop:
        """What it takes; a server that knows HELO only takes ASCII."""
        return NextHop(eight_bit="8bitmime" in self.extensions, utf8="smtputf8" in self.extensions)

    @property
    def is_open(self) -> bool:
        """As far as we have heard."""
        return self.protocol.is_connected

    def close(self) -> None:
        """Close without a word."""
        self.client.close()

    async def quit(self) -> None:
        """Close politely, but not for long."""
        try:
            async with asyncio.timeout(1):
                await self.client.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            self.client.close()


async def open_link(host: Smarthost, *, hostname: str, patience: Patience, context: ssl.SSLContext | None) -> Link:
    """Connect and get ready for MAIL.

    Raises:
        LinkFailure: Always this one.
    """
    client = aiosmtplib.SMTP(
        hostname=host.host,
        port=host.port,
        local_hostname=hostname,
        timeout=patience.connect_s,
        use_tls=host.tls == "implicit",
        start_tls=False,
        tls_context=context,
    )
    try:
        await _connect(client)
        await _ehlo(client)
        if host.tls == "starttls":
            await _start_tls(client)
            await _ehlo(client)
        if host.login is not None and host.login.kind != "client_certificate":
            await _log_in(client, host)
    except BaseException:
        client.close()
        raise
    protocol = client.protocol
    if protocol is None:
        raise LinkFailure(Phase.EHLO, 0, "connection lost")
    return Link(client, protocol, dict(client.esmtp_extensions), asyncio.get_running_loop().time())


async def _connect(client: aiosmtplib.SMTP) -> None:
    try:
        await client.connect()
    except aiosmtplib.SMTPResponseException as exc:
        raise LinkFailure(Phase.BANNER, exc.code, exc.message) from exc
    except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
        cause = exc.__cause__
        if isinstance(cause, ssl.SSLError):
            raise LinkFailure(Phase.TLS, 0, f"TLS failed: {cause}", is_ours=True) from exc
        is_connected = isinstance(cause, (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPReadTimeoutError))
        raise LinkFailure(Phase.BANNER if is_connected else Phase.CONNECT, 0, str(exc) or repr(exc)) from exc


async def _ehlo(client: aiosmtplib.SMTP) -> None:
    try:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError as exc:
            if exc.code < 500 or not client.is_connected:  # noqa: PLR2004  4xx: later, with EHLO
                raise
            await client.helo()
    except aiosmtplib.SMTPResponseException as exc:
        raise LinkFailure(Phase.EHLO, exc.code, exc.message) from exc
    except (aiosmtplib.SMTPException, OSError) as exc:
        raise LinkFailure(Phase.EHLO, 0, str(exc) or repr(exc)) from exc


async def _start_tls(client: aiosmtplib.SMTP) -> None:
    if not client.supports_extension("starttls"):
        # Never in clear: somebody in between may have taken the word out (C14).
        raise LinkFailure(Phase.TLS, 0, "STARTTLS is not offered", is_ours=True)
    try:
        await client.starttls()
    except aiosmtplib.SMTPResponseException as exc:
        raise LinkFailure(Phase.TLS, exc.code, exc.message) from exc
    except ssl.SSLError as exc:
        raise LinkFailure(Phase.TLS, 0, f"TLS failed: {exc}", is_ours=True) from exc
    except (aiosmtplib.SMTPException, OSError) as exc:
        raise LinkFailure(Phase.TLS, 0, str(exc) or repr(exc)) from exc


async def _log_in(client: aiosmtplib.SMTP, host: Smarthost) -> None:
    """One mechanism, once: trying all of them counts as several wrong passwords (D29)."""
    login = host.login
    assert login is not None
    offered = client.server_auth_methods
    wanted = ["xoauth2"] if login.kind == "xoauth2" else ["plain", "login", "cram-md5"]
    mechanism = next((name for name in wanted if name in offered), "")
    if not mechanism:
        raise LinkFailure(Phase.AUTH, 0, f"none of {', '.join(wanted)} is offered for login", is_ours=True)
    attempt = {
        "xoauth2": client.auth_xoauth2,
        "plain": client.auth_plain,
        "login": client.auth_login,
        "cram-md5": client.auth_crammd5,
    }[mechanism]
    try:
        secret = await login.secret()
        hide(secret, f"\0{login.user}\0{secret}")  # read anew each time; and as PLAIN says them
        await attempt(login.user, secret)
    except TransientFailure as exc:
        raise LinkFailure(Phase.AUTH, 0, f"{exc.text}: {exc.detail}", is_ours=True) from exc
    except aiosmtplib.SMTPResponseException as exc:
        raise LinkFailure(Phase.AUTH, exc.code, masked(exc.message)) from exc  # some say back what they heard
    except (aiosmtplib.SMTPException, OSError) as exc:
        raise LinkFailure(Phase.AUTH, 0, masked(str(exc) or repr(exc))) from exc
