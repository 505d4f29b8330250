"""SPF (RFC 7208) by pyspf, in threads of its own; its questions go to our resolver.

pyspf asks the DNS through a module global, which is ours once this module is imported and finds whose question it is
by the thread. What a stranger publishes is cut before its patterns see it: on 64 KiB of ``a:aaaa...`` they take half a
minute and keep the interpreter to themselves (the worst term that we let through takes 4 ms).
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import spf  # type: ignore[import-untyped]

from supportrelay.core.dns import Dns, DnsRecord, RecordKind
from supportrelay.core.errors import TransientFailure
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.value import value_class

__all__ = ["SpfChecker", "SpfResult"]

_THREADS = 16  # of each kind; threads are made when they are needed
_LONGEST_RECORD = 4096
_LONGEST_TERM = 512
_KINDS: dict[str, RecordKind] = {"A": "A", "AAAA": "AAAA", "MX": "MX", "PTR": "PTR", "TXT": "TXT"}
_RESULTS = frozenset({"pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"})
_GRACE_S = 0.5


@value_class
class SpfResult:
    """What SPF says of one transaction.

    Attributes:
        result: ``pass``, ``fail``, ``softfail``, ``neutral``, ``none``, ``permerror`` or ``temperror``.
        domain: Of the reverse-path, or the HELO name for a null one; lower case.
        is_helo: The reverse-path was null.
    """

    result: str
    domain: str
    is_helo: bool = False


class SpfChecker:
    """Checks transactions against the records of a resolver; to be used from the event loop it was made for."""

    def __init__(self, dns: Dns) -> None:
        self._dns = dns
        self._threads: dict[bool, ThreadPoolExecutor] = {}

    async def check(
        self, ip: str, helo: str, sender: Mailbox | None, *, limit_s: float, decides: bool = False
    ) -> SpfResult:
        """The result, after ``limit_s`` seconds at most; never raises.

        Args:
            decides: Something hangs on it; such checks have threads that no stranger's slow servers fill.
            sender: The reverse-path; None for the null one, which stands for ``postmaster@HELO`` (RFC 7208 §2.4).
        """
        domain = sender.domain if sender else helo.lower().removesuffix(".")
        local = sender.local if sender and "@" not in sender.local else "postmaster"
        is_helo = sender is None
        if not domain or domain.startswith("[") or not domain.isascii():
            return SpfResult("none", domain if domain.isascii() else "", is_helo)
        loop = asyncio.get_running_loop()
        if decides not in self._threads:
            self._threads[decides] = ThreadPoolExecutor(_THREADS, thread_name_prefix="spf")
        until = time.monotonic() + limit_s

        def look_up(name: str, kind: RecordKind) -> tuple[DnsRecord, ...]:
            left = until - time.monotonic()
            if left <= 0:
                raise spf.TempError("out of time")
            return asyncio.run_coroutine_threadsafe(self._dns.ask(name, kind), loop).result(left)

        work = loop.run_in_executor(
            self._threads[decides], _check, ip, f"{local}@{domain}", helo or domain, look_up, limit_s
        )
        try:
            result = await asyncio.wait_for(work, limit_s + _GRACE_S)
        except TimeoutError:
            result = "temperror"
        return SpfResult(result, domain, is_helo)

    def close(self) -> None:
        """Begin nothing more; what is being checked ends with its questions."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)


_here = threading.local()


def _lookup(name: str, kind: str, _strict: Any = True, _timeout: float = 0) -> list[tuple[tuple[str, str], Any]]:
    """What pyspf asks the DNS with."""
    asked = _KINDS.get(kind)
    if asked is None:
        return []
    try:
        records = _here.look_up(name, asked)
    except TransientFailure as exc:
        raise spf.TempError(exc.detail) from exc
    except (TimeoutError, asyncio.CancelledError) as exc:
        raise spf.TempError("out of time") from exc
    if asked == "TXT":
        return [((name, kind), (text,)) for text in records if _is_readable(text)]
    return [((name, kind), record) for record in records]


spf.DNSLookup = _lookup


def _is_readable(text: DnsRecord) -> bool:
    """Whether it is an SPF record; other texts are nobody's business here.

    Raises:
        spf.PermError: It is one that nobody would write.
    """
    assert isinstance(text, bytes)
    if text[:6].lower() != b"v=spf1":
        return False
    if len(text) > _LONGEST_RECORD or any(len(term) > _LONGEST_TERM for term in text.split(b" ")):
        raise spf.PermError("SPF record too long")
    return True


class _Query(spf.query):  # type: ignore[misc]  # pyspf has no types
    """One question; what a domain would like refused senders to read is not fetched, for we refuse nobody."""

    def get_explanation(self, _spec: str) -> None:
        return None


def _check(
    ip: str, sender: str, helo: str, look_up: Callable[[str, RecordKind], tuple[DnsRecord, ...]], limit_s: float
) -> str:
    _here.look_up = look_up
    try:
        result, _, _ = _Query(i=ip, s=sender, h=helo, querytime=limit_s).check()
    except Exception:  # noqa: BLE001  pyspf on a stranger's record
        return "permerror"
    finally:
        _here.look_up = None
    return result if result in _RESULTS else "permerror"
