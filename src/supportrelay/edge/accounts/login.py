"""Login: is it he? Guessing is slowed, then stopped, for all workers together (RELIABILITY C25).

* A failure is counted by the client's address, its surroundings and the user's name; who has used up his failures is
  refused without a look at his password.
* A name that nobody has costs the same work and gets the same answers as a wrong password.
* Of one client at most two logins are looked at at a time in a process, so a hundred sessions at once get no more
  tries than one after the other.
* What came of a login is remembered by a keyed digest: for five minutes that it was right, so that a program which
  opens a connection a message does not cost 42 ms each; for an hour that it was wrong, so that a telephone which says
  its old password all day counts once, and does not keep its whole office out. Both hold only while the stored hash is
  the same, so a new password, or an account that was disabled, takes effect at once.

No password, and no digest of one, leaves this module.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from supportrelay.core import reply as say
from supportrelay.core.account import Account, parse_account_name, prepared_password
from supportrelay.core.envelope import Peer
from supportrelay.core.errors import InputError, TransientFailure
from supportrelay.core.login_limits import LoginKeys, LoginLimits, login_keys
from supportrelay.core.reply import Reply
from supportrelay.edge.accounts.passwords import PasswordChecker
from supportrelay.log import get_logger

__all__ = ["LoginDesk", "UserStore"]

log = get_logger()

_AT_ONCE = 2
_RIGHT_FOR = timedelta(minutes=5)
_MOST_REMEMBERED = 10_000


class UserStore(Protocol):
    """What is kept of users and their logins (`edge.store.users`); may raise `TransientFailure`."""

    def account(self, name: str) -> Account | None:
        """By its name."""
        ...

    def login_failures(self, keys: Iterable[str], now: datetime, window: timedelta) -> Mapping[str, int]:
        """How many count now."""
        ...

    async def count_login_failure(
        self, limits: Mapping[str, int], now: datetime, window: timedelta
    ) -> Mapping[str, int]:
        """One more against each key."""
        ...

    def knows_login_place(self, name: str, network: str, now: datetime) -> bool:
        """He logged in from there before."""
        ...

    async def note_login_place(self, name: str, network: str, now: datetime) -> None:
        """He did now."""
        ...


@dataclass(slots=True, eq=False)
class _Line:
    """Logins of one client that are looked at, and that wait for it."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    people: int = 0


class LoginDesk:
    """Checks logins for the listeners of one process.

    Args:
        sleep: Takes seconds; another one in tests, which do not wait.
    """

    def __init__(
        self,
        users: UserStore,
        *,
        now: Callable[[], datetime],
        limits: LoginLimits | None = None,
        checker: PasswordChecker | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._users = users
        self._now = now
        self.limits = limits or LoginLimits()
        self._checker = checker or PasswordChecker()
        self._sleep = sleep
        self._lines: dict[str, _Line] = {}
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, tuple[bool, datetime]] = {}

    async def login(self, name: str, password: str, peer: Peer) -> Account | Reply:
        """The account, or what to answer: 535, 454 when it cannot be checked now, 421 when the client is blocked.

        The answer to a failure may wait; nothing else waits for it. Never raises.

        Args:
            name: As the client said it. password: likewise.
        """
        try:
            return await self._login(_known_form(name), _prepared(password), peer)
        except TransientFailure as exc:
            log.warning("login.put_off", peer=peer.ip, detail=exc.detail)
            return say.LOGIN_LATER

    async def _login(self, name: str, password: str, peer: Peer) -> Account | Reply:
        keys = login_keys(peer.ip, name)
        async with self._in_line(keys.address):
            refusal = self._blocked(keys, name, peer)
            if refusal is not None:
                return refusal
            account = self._users.account(name) if name else None
            is_right, is_new = await self._look(name, account, password)
            if is_right and account is not None and not account.is_disabled:
                await self._users.note_login_place(account.name, keys.network, self._now())
                log.debug("login.accepted", user=account.name, peer=peer.ip)
                return account
            count = await self._count(keys, account, peer, is_new=is_new)
        if not peer.is_trusted:
            await self._sleep(self.limits.delay_s(count))
        return say.LOGIN_FAILED

    def _blocked(self, keys: LoginKeys, name: str, peer: Peer) -> Reply | None:
        """A refusal without a look at the password; our own networks are never blocked."""
        if peer.is_trusted:
            return None
        now = self._now()
        counts = self._users.login_failures(keys.limits(self.limits), now, self.limits.window)
        if keys.is_client_blocked(counts, self.limits):
            log.warning("login.blocked", peer=peer.ip, why="client")
            return say.TOO_MANY_LOGINS
        if keys.is_user_blocked(counts, self.limits) and not self._users.knows_login_place(name, keys.network, now):
            log.warning("login.blocked", peer=peer.ip, why="user", user=self._shown(name))
            return say.LOGIN_LATER
        return None

    def _shown(self, name: str) -> str:
        """A name that is no account's is not written down: people type their password into the wrong field."""
        return name if name and self._users.account(name) else ""

    async def _count(self, keys: LoginKeys, account: Account | None, peer: Peer, *, is_new: bool) -> int:
        """Count a failure, unless it was a guess made before, and say so; how many this client has now."""
        counts: Mapping[str, int] = {}
        limits, now, window = keys.limits(self.limits), self._now(), self.limits.window
        if is_new and not peer.is_trusted:
            counts = await self._users.count_login_failure(limits, now, window)
        elif not peer.is_trusted:
            counts = self._users.login_failures(limits, now, window)
        tell = log.warning if is_new else log.debug  # what is tried again for ever is told once an hour
        tell(
            "login.failed",
            peer=peer.ip,
            user=account.name if account else "",
            is_disabled=account.is_disabled if account else False,
            failures=counts.get(keys.address, 0),
        )
        return counts.get(keys.address, 0)

    async def _look(self, name: str, account: Account | None, password: str) -> tuple[bool, bool]:
        """``(the password is right, it was not known to be wrong)``."""
        stored = account.password_hash if account else ""
        digest = self._digest(name, stored, password)
        is_right, until = self._remembered.get(digest, (False, None))
        if until is not None and self._now() < until:
            return is_right, False
        is_right = await self._checker.check(stored, password)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = is_right, self._now() + (_RIGHT_FOR if is_right else self.limits.window)
        return is_right, True

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._secret, "\0".join(parts).encode("utf-8", "replace"), hashlib.sha256)

    def _in_line(self, client: str) -> "_InLine":
        return _InLine(self._lines, client)

    def close(self) -> None:
        """Check no more."""
        self._checker.close()


class _InLine:
    """A place among the logins of one client that are looked at; the line is forgotten with its last one."""

    def __init__(self, lines: dict[str, _Line], client: str) -> None:
        self._lines = lines
        self._client = client

    async def __aenter__(self) -> None:
        line = self._lines.setdefault(self._client, _Line())
        line.people += 1
        try:
            await line.slots.acquire()
        except BaseException:
            self._leave(line)
            raise

    async def __aexit__(self, *_exc: object) -> None:
        line = self._lines[self._client]
        line.slots.release()
        self._leave(line)

    def _leave(self, line: _Line) -> None:
        line.people -= 1
        if not line.people:
            del self._lines[self._client]


def _known_form(name: str) -> str:
    """The name in the form of accounts, "" when it can be nobody's."""
    try:
        return parse_account_name(name)
    except InputError:
        return ""


def _prepared(password: str) -> str:
    """The password as it is compared; one that nobody can have is checked too, and is wrong."""
    try:
        return prepared_password(password)
    except InputError:
        return ""
