"""Where mail goes and how to log in there."""

import asyncio
import shlex
import ssl
from dataclasses import field
from pathlib import Path
from typing import Any

from supportrelay.core.errors import TransientFailure
from supportrelay.core.value import value_class

__all__ = ["Login", "Smarthost"]

_COMMAND_S = 30


@value_class
class Login:
    """How to log in. Secrets stay out of ``repr``.

    Attributes:
        kind: ``password``, ``xoauth2`` or ``client_certificate``.
        password, token: As configured, used when there is no file (or command) to read them from.
        password_file, token_file: Read for each login, so that renewed secrets count at once.
        token_command: Program and arguments that print the access token; no shell.
        cert, key: PEM files of ``client_certificate``.
    """

    kind: str = "password"
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    token_command: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None

    async def secret(self) -> str:
        """The password, or the access token of xoauth2.

        Raises:
            TransientFailure: It cannot be read now.
        """
        if self.kind == "xoauth2" and self.token_command:
            return await self._from_command()
        file, value = (self.token_file, self.token) if self.kind == "xoauth2" else (self.password_file, self.password)
        if file is None:
            return value
        try:
            return (await asyncio.to_thread(file.read_text, "utf-8")).strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise TransientFailure("4.7.0", "cannot read the secret", detail=f"{file}: {exc}") from exc

    async def _from_command(self) -> str:
        process = None
        try:
            async with asyncio.timeout(_COMMAND_S):
                process = await asyncio.create_subprocess_exec(
                    *self.token_command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
                )
                printed, _ = await process.communicate()
        except (OSError, TimeoutError) as exc:
            if process is not None and process.returncode is None:
                process.kill()
            raise TransientFailure(
                "4.7.0", "cannot get the access token", detail=f"{self.token_command[0]}: {exc}"
            ) from exc
        if process.returncode:
            detail = f"{self.token_command[0]}: exit {process.returncode}"
            raise TransientFailure("4.7.0", "cannot get the access token", detail=detail)
        return printed.decode("utf-8", "replace").strip()


@value_class
class Smarthost:
    """A next hop.

    Attributes:
        tls: ``none``, ``starttls`` (never goes on in clear) or ``implicit``.
        tls_verify: Check certificate and name.
        tls_ca: PEM file in place of the system's authorities.
    """

    host: str
    port: int
    tls: str = "starttls"
    login: Login | None = None
    tls_verify: bool = True
    tls_ca: Path | None = None

    @property
    def address(self) -> str:
        """``host:port``, as outcomes and logs name it."""
        return f"{self.host}:{self.port}"

    @classmethod
    def of(cls, section: Any) -> "Smarthost":
        """From a section of the configuration: ``host port tls tls_verify tls_ca auth``; secrets may be SecretStr."""
        auth = getattr(section, "auth", None)
        login = None
        if auth is not None:
            command = getattr(auth, "token_command", None) or ()
            login = Login(
                kind=auth.kind,
                user=auth.user or "",
                password=_revealed(auth.password),
                password_file=auth.password_file,
                token=_revealed(auth.token),
                token_file=auth.token_file,
                token_command=tuple(shlex.split(command)) if isinstance(command, str) else tuple(command),
                cert=auth.cert,
                key=auth.key,
            )
        return cls(section.host, section.port, section.tls, login, section.tls_verify, section.tls_ca)

    def make_tls_context(self) -> ssl.SSLContext:
        """A context for connections to this host; reads files.

        Raises:
            OSError: A file cannot be read, or is no certificate (``ssl.SSLError``).
        """
        context = ssl.create_default_context(cafile=str(self.tls_ca) if self.tls_ca else None)
        if not self.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.login is not None and self.login.kind == "client_certificate" and self.login.cert is not None:
            context.load_cert_chain(self.login.cert, self.login.key)
        return context


def _revealed(secret: Any) -> str:
    if secret is None:
        return ""
    reveal = getattr(secret, "get_secret_value", None)
    return str(reveal() if reveal else secret)
