"""Passwords: argon2id hashes (RFC 9106) by argon2-cffi, checked off the event loop and a few at a time.

DIAGNOSTICS
  `TransientFailure`: so many checks wait already that another one would only make it worse.
"""

import asyncio
import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHash
from argon2.low_level import Type

from supportrelay.core.errors import InputError, TransientFailure

__all__ = ["PasswordChecker", "checked_hash", "hash_password"]

# OWASP's first choice for argon2id: measured 42 ms and 19 MiB a check on this project's machine. RFC 9106's own
# (64 MiB, 160 ms on four cores) would let a few guessers eat a small relay.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_MOST_MEMORY_KIB = 262_144  # of a hash that somebody brings
_WAITING = 32
_NICENESS = 10


def hash_password(password: str) -> str:
    """argon2's text for a prepared password; blocks for the time of a check."""
    return _HASHER.hash(password)


def checked_hash(text: str) -> str:
    """The text itself, when it is an argon2id hash whose check costs no more than it may.

    Raises:
        InputError: It is not; the text is not repeated.
    """
    try:
        found = extract_parameters(text)
    except InvalidHash:
        raise InputError("not an argon2 hash") from None
    if found.type is not Type.ID or found.memory_cost > _MOST_MEMORY_KIB:
        raise InputError("not an argon2id hash that is cheap enough to check")
    return text


class PasswordChecker:
    """Checks passwords on a thread of its own.

    argon2 lets go of the interpreter while it works, so mail goes on; the thread is nicer than the others of the
    process, so that mail goes first.

    Args:
        threads: Checks at a time in this process.
        waiting: Checks that may wait for those; more are refused.
        hasher: Says what a check costs for a user whom there is not.
    """

    def __init__(self, *, threads: int = 1, waiting: int = _WAITING, hasher: PasswordHasher = _HASHER) -> None:
        self._hasher = hasher
        self._nobodys = ""
        self._threads = threads
        self._room = threads + waiting
        self._pool: ThreadPoolExecutor | None = None
        self.checks = 0

    async def check(self, password_hash: str, password: str) -> bool:
        """The password is the one of this hash; "" is nobody's hash, and takes as long.

        Raises:
            TransientFailure: Too many checks wait.
        """
        if self._room <= 0:
            raise TransientFailure("4.7.0", "Cannot check a login now", detail="too many password checks wait")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "passwords", self._begin)
        self._room -= 1
        self.checks += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._check, password_hash, password)
        finally:
            self._room += 1

    def close(self) -> None:
        """Check no more; what waits is not done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    # -- these run on the thread --

    def _begin(self) -> None:
        """Be nice: on Linux niceness belongs to the thread (setpriority(2)). And have nobody's hash ready (C25)."""
        with contextlib.suppress(OSError):  # other systems know processes only
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        self._nobodys = self._hasher.hash(os.urandom(16).hex())

    def _check(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash or self._nobodys, password) and bool(password_hash)
        except (Argon2Error, InvalidHash):
            return False
