"""AUTH: the part of the dialogue in which a client says who it is (RFC 4954), with PLAIN (RFC 4616) and LOGIN.

Only where the listener has somebody to ask (role submission), and only over TLS. What the client says is handed on and
forgotten; it stands in no log and no reply.
"""

import asyncio
import base64
import binascii
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from supportrelay.core import reply as say
from supportrelay.core.account import Account
from supportrelay.core.envelope import Peer
from supportrelay.core.reply import Reply
from supportrelay.edge.smtp_in.arrival import Arrival
from supportrelay.log import get_logger

__all__ = ["AUTH_LINE_LIMIT", "MECHANISMS", "LoginDialogue"]

log = get_logger()

AUTH_LINE_LIMIT = 12_288  # octets with CR LF (RFC 4954 §4)
MECHANISMS = ("PLAIN", "LOGIN")
_WEAK = frozenset({"ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "NTLM"})
_LOGIN_FAILURES = 5  # of one session (C25)
_PLAIN_PARTS = 3


@dataclass(slots=True)
class _Said:
    """What the client has said so far in one exchange; never printed."""

    mechanism: str
    answers: list[str] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class _Credentials:
    """A user name and a password, as they were said; never printed."""

    name: str = field(repr=False)
    password: str = field(repr=False)


class LoginDialogue(Arrival):
    """The commands and lines of a login; `Session` has the others.

    Attributes:
        user: The name of who is logged in, "" without.
    """

    user: str = ""
    _said: _Said | None = None
    _failed_logins: int = 0
    _login: asyncio.Task[None] | None = None

    @abstractmethod
    def peer(self) -> Peer:
        """Who speaks, as the policy sees him."""

    @abstractmethod
    def refuse(self, given: Reply) -> None:
        """Say a refusal; it counts against the session."""

    @abstractmethod
    def auth_refusal(self) -> Reply | None:
        """Why AUTH cannot come now: before EHLO, in the middle of a transaction."""

    @property
    def longest_line(self) -> int:
        """A token may be long where one may be said."""
        return AUTH_LINE_LIMIT if self.intake.login is not None else super().longest_line

    @property
    def offers_login(self) -> bool:
        """AUTH stands after EHLO."""
        return self.intake.login is not None and bool(self.tls)

    def forget_login(self) -> None:
        """TLS was started: nothing said before counts."""
        self.user = ""
        self._said = None

    @property
    def is_logging_in(self) -> bool:
        """The next line is an answer to our challenge, no command."""
        return self._said is not None

    def on_auth(self, argument: str) -> None:
        """RFC 4954 §4."""
        mechanism, _, initial = argument.partition(" ")
        refusal = self._login_refusal(mechanism.upper())
        if refusal is not None:
            self.refuse(refusal)
            return
        self._said = _Said(mechanism.upper())
        if initial:
            self._take_answer("" if initial == "=" else initial)
        else:
            self._challenge()

    def _login_refusal(self, mechanism: str) -> Reply | None:
        if self.intake.login is None:
            return say.NOT_IMPLEMENTED
        if not self.tls:
            return say.LOGIN_NEEDS_TLS
        if self.user:
            return say.ALREADY_LOGGED_IN
        if mechanism in _WEAK:
            return say.WEAK_MECHANISM
        if not mechanism:
            return say.BAD_ARGUMENT
        return self.auth_refusal() if mechanism in MECHANISMS else say.UNKNOWN_MECHANISM

    def answer_challenge(self, line: bytes) -> None:
        """A line that answers our challenge; ``*`` gives up (RFC 4954 §4)."""
        if len(line) > AUTH_LINE_LIMIT:
            self._end_exchange(say.LOGIN_TOO_LONG)
        elif line[-2:] != b"\r\n":
            self._end_exchange(say.BAD_SYNTAX)
        elif line == b"*\r\n":
            self._end_exchange(say.LOGIN_CANCELLED)
        else:
            self._take_answer(line[:-2].decode("ascii", "replace"))

    def _end_exchange(self, given: Reply) -> None:
        self._said = None
        self.refuse(given)

    def _take_answer(self, text: str) -> None:
        said = self._said
        assert said is not None
        try:
            said.answers.append(base64.b64decode(text, validate=True).decode("utf-8"))
        except (binascii.Error, ValueError):
            self._end_exchange(say.BAD_LOGIN)
            return
        credentials = _READERS[said.mechanism](said.answers)
        if credentials is None:
            self._challenge()
            return
        self._said = None
        if isinstance(credentials, Reply):
            self.refuse(credentials)
        else:
            self._begin_login(credentials)

    def _challenge(self) -> None:
        assert self._said is not None
        prompts = _PROMPTS[self._said.mechanism]
        self.say_line(f"334 {prompts[len(self._said.answers)]}")

    # --- the login itself; lines wait for it ---

    def _begin_login(self, credentials: _Credentials) -> None:
        self.is_waiting = True
        self._login = self.loop.create_task(self._log_in(credentials))

    async def _log_in(self, credentials: _Credentials) -> None:
        assert self.intake.login is not None
        found: Account | Reply
        try:
            found = await self.intake.login(credentials.name, credentials.password, self.peer())
        except Exception as exc:  # noqa: BLE001  a mistake of ours lets nobody in, and its text may hold what he said
            log.error("session.failed", peer=self.ip, station="login", error=type(exc).__name__)
            found = say.LOGIN_LATER
        self.is_waiting = False
        self.heard_at = self.loop.time()
        if isinstance(found, Account):
            self.user = found.name
            self.say_line(str(say.LOGGED_IN))
        else:
            self._refuse_login(found)
        if self.intake.is_closing:
            self.leave(say.SHUTTING_DOWN)
        else:
            self.answer_lines()

    def _refuse_login(self, given: Reply) -> None:
        self._failed_logins += given.code == say.LOGIN_FAILED.code
        if given.code == say.TOO_MANY_LOGINS.code:
            self.leave(given)
        elif self._failed_logins >= _LOGIN_FAILURES:
            log.warning("listener.refused", peer=self.ip, reply=str(say.TOO_MANY_LOGINS))
            self.leave(say.TOO_MANY_LOGINS)
        else:
            self.refuse(given)

    def login_first(self) -> Reply | None:
        """What to do for a client that nobody vouches for; None: there is no login here."""
        if self.intake.login is None or self.user:
            return None
        if self.tls:
            return say.LOGIN_FIRST
        return say.TLS_FIRST if self.intake.tls_context() is not None else None


def _read_plain(answers: list[str]) -> _Credentials | Reply | None:
    """``[authzid] NUL authcid NUL passwd`` (RFC 4616 §2); nobody acts as somebody else."""
    if not answers:
        return None
    parts = answers[0].split("\0")
    if len(parts) != _PLAIN_PARTS or not parts[1] or not parts[2]:
        return say.BAD_LOGIN
    acts_as, name, password = parts
    return _Credentials(name, password) if acts_as in {"", name} else say.LOGIN_FAILED


def _read_login(answers: list[str]) -> _Credentials | Reply | None:
    """A name and a password, asked for one after the other (draft-murchison-sasl-login)."""
    return _Credentials(answers[0], answers[1]) if len(answers) == len(_PROMPTS["LOGIN"]) else None


_PROMPTS = {
    "PLAIN": ("",),
    "LOGIN": (base64.b64encode(b"Username:").decode(), base64.b64encode(b"Password:").decode()),
}
_READERS: dict[str, Callable[[list[str]], _Credentials | Reply | None]] = {
    "PLAIN": _read_plain,
    "LOGIN": _read_login,
}
