"""The DNS through dnspython: one resolver a process, its answers kept as long as they say, within bounds.

Nobody waits for what was asked a moment ago: equal questions share one query, which goes on when the one who asked has
given up, so that its answer is there for the next mail. A name whose servers are silent or broken is left alone for
3 seconds, doubling to a minute. When the resolver itself is silent (three questions without any answer, and then none
about the root either), every question fails at once until it answers again; a sender's own slow servers cannot cause
that (RELIABILITY C59).
"""

import asyncio
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from supportrelay.core.dns import DnsRecord, RecordKind
from supportrelay.core.errors import TransientFailure
from supportrelay.core.value import value_class
from supportrelay.log import get_logger

__all__ = ["DnsResolver"]

log = get_logger()

_LEAST_KEPT_S = 5
_LONGEST_KEPT_S = 3600
_NONE_KEPT_S = 300  # at most, for a name that does not exist; a key just published shall be found soon
_UNKNOWN_KEPT_S = 3.0
_UNKNOWN_LONGEST_S = 60.0
_MOST_KEPT = 2048
_LARGEST_KEPT = 8 * 1024  # octets of an answer; larger ones are asked for again, so that 16 MB are the most
_MOST_RECORDS = 100
_MOST_AT_ONCE = 512
_SILENT_QUESTIONS = 3
_PROBE_S = 1.0
_PROBE_AGAIN_S = 5.0
_PORT = 53
_PAYLOAD = 1232  # octets of an UDP answer (DNS flag day 2020); larger ones come by TCP
_LONGEST_NAME = 253
_LONGEST_LABEL = 63


@value_class
class _Entry:
    """An answer, or that there was none.

    Attributes:
        until: On the clock of the resolver.
        unknown: Why nobody knows; "" for an answer.
        failures: How often in a row nobody knew.
    """

    records: tuple[DnsRecord, ...]
    until: float
    unknown: str = ""
    failures: int = 0


class DnsResolver:
    """`core.dns.Dns`; for one event loop.

    Args:
        servers: ``(IP address, port)``; none: the system's (/etc/resolv.conf).
        timeout_s: For one question, repetitions included.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        *,
        timeout_s: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._clock = clock
        self._kept: OrderedDict[tuple[str, RecordKind], _Entry] = OrderedDict()
        self._running: dict[tuple[str, RecordKind], asyncio.Task[_Entry]] = {}
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._silent = 0
        self._watching: asyncio.Task[None] | None = None
        self._is_silent = False

    async def ask(self, name: str, kind: RecordKind) -> tuple[DnsRecord, ...]:
        """See `core.dns.Dns`."""
        name = name.lower().removesuffix(".")
        if not _is_name(name):
            return ()
        key = name, kind
        entry = self._kept.get(key)
        if entry is None or entry.until < self._clock():
            entry = await self._ask_now(key)
        else:
            self._kept.move_to_end(key)
        if entry.unknown:
            raise TransientFailure("4.4.3", "DNS did not answer", detail=f"{kind} {name}: {entry.unknown}")
        return entry.records

    async def _ask_now(self, key: tuple[str, RecordKind]) -> _Entry:
        task = self._running.get(key)
        if task is None:
            if self._is_silent:
                return _Entry((), 0, "the resolver is silent")
            if len(self._running) >= _MOST_AT_ONCE:
                return _Entry((), 0, "too many questions at once")
            task = self._running[key] = asyncio.create_task(self._look_up(key))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)

    async def _look_up(self, key: tuple[str, RecordKind]) -> _Entry:
        name, kind = key
        try:
            answer = await self._query(_dns_name(name), kind)
            records, ttl = _records(answer), _ttl(answer)
            entry = _Entry(records, self._clock() + ttl)
            self._heard(was_answered=True)
        except dns.resolver.NXDOMAIN as exc:
            entry = _Entry((), self._clock() + _negative_ttl(exc))
            self._heard(was_answered=True)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  whatever a stranger's servers make the library trip over
            entry = self._unknown(key, exc)
            self._heard(was_answered=_was_answered(exc))
        self._keep(key, entry)
        return entry

    async def _query(self, name: dns.name.Name, kind: str, lifetime_s: float | None = None) -> dns.resolver.Answer:
        if self._resolver is None:
            self._resolver = _open(self._servers, self._timeout_s)
        return await self._resolver.resolve(
            name,
            kind,
            raise_on_no_answer=False,
            search=False,
            lifetime=lifetime_s or self._timeout_s,
            backend=dns.asyncbackend.get_backend("asyncio"),
        )

    def _unknown(self, key: tuple[str, RecordKind], exc: Exception) -> _Entry:
        former = self._kept.get(key)
        failures = former.failures + 1 if former else 1
        wait_s = min(_UNKNOWN_KEPT_S * 2 ** min(failures - 1, 8), _UNKNOWN_LONGEST_S)
        return _Entry((), self._clock() + wait_s, type(exc).__name__, failures)

    def _keep(self, key: tuple[str, RecordKind], entry: _Entry) -> None:
        self._kept.pop(key, None)
        if sum(len(record) for record in entry.records) > _LARGEST_KEPT:
            return
        self._kept[key] = entry
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    # -- is anybody there at all?

    def _heard(self, *, was_answered: bool) -> None:
        self._silent = 0 if was_answered else self._silent + 1
        if self._silent >= _SILENT_QUESTIONS and self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Ask about the root until somebody answers anything; meanwhile nobody is kept waiting."""
        try:
            while not await self._is_there():
                if not self._is_silent:
                    self._is_silent = True
                    log.warning("dns.silent", servers=[server for server, _ in self._servers] or "system")
                await asyncio.sleep(_PROBE_AGAIN_S)
            if self._is_silent:
                log.info("dns.answers")
        finally:
            self._is_silent, self._silent, self._watching = False, 0, None

    async def _is_there(self) -> bool:
        try:
            await self._query(dns.name.root, "NS", _PROBE_S)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  as above
            return _was_answered(exc)
        return True

    async def aclose(self) -> None:
        """Give up what is being asked."""
        tasks = [*self._running.values(), *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Server(dns.nameserver.Do53Nameserver):
    """A server whose long answers are read by a thread.

    dnspython takes 0.2 s for two thousand records, in which nobody else on the event loop would get his turn.
    """

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """By UDP as dnspython does it, and by TCP when that was not enough."""
        if not max_size:
            return await super().async_query(
                request, timeout, source, source_port, max_size, backend, one_rr_per_rrset, ignore_trailing
            )
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(self.address, self.port)
            try:
                writer.write(request.to_wire(prepend_length=True))
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                wire = await reader.readexactly(length)
            finally:
                writer.close()
        response = await asyncio.to_thread(dns.message.from_wire, wire)
        if not request.is_response(response):
            raise dns.exception.FormError("an answer to something else")  # type: ignore[no-untyped-call]
        return response


def _open(servers: Sequence[tuple[str, int]], timeout_s: float) -> dns.asyncresolver.Resolver:
    """A resolver that keeps nothing by itself.

    Raises:
        dns.resolver.NoResolverConfiguration: The system names no servers.
    """
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    named = servers or [(str(address), _PORT) for address in resolver.nameservers]
    resolver.nameservers = [_Server(address, port) for address, port in named]
    resolver.timeout = timeout_s / 3  # an UDP packet may get lost twice
    resolver.use_edns(0, 0, _PAYLOAD)
    return resolver


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isascii()
        and all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))
    )


def _dns_name(name: str) -> dns.name.Name:
    return dns.name.Name([*(label.encode("ascii") for label in name.split(".")), b""])


def _records(answer: dns.resolver.Answer) -> tuple[DnsRecord, ...]:
    return tuple(_record(rdata) for rdata in list(answer.rrset or ())[:_MOST_RECORDS])


def _record(rdata: Any) -> DnsRecord:
    match rdata.rdtype:
        case dns.rdatatype.TXT:
            return b"".join(rdata.strings)
        case dns.rdatatype.MX:
            return int(rdata.preference), _printed(rdata.exchange)
        case dns.rdatatype.PTR:
            return _printed(rdata.target)
        case _:
            return str(rdata.address)


def _printed(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _ttl(answer: dns.resolver.Answer) -> float:
    longest = _LONGEST_KEPT_S if answer.rrset else _NONE_KEPT_S
    return min(max(answer.chaining_result.minimum_ttl, _LEAST_KEPT_S), longest)


def _negative_ttl(exc: dns.resolver.NXDOMAIN) -> float:
    ttls = [response.resolve_chaining().minimum_ttl for response in exc.responses().values()]  # type: ignore[no-untyped-call]
    return min(max(*ttls, _LEAST_KEPT_S), _NONE_KEPT_S) if ttls else _LEAST_KEPT_S


def _was_answered(exc: Exception) -> bool:
    """Some server sent something: it is there, whatever it said."""
    if isinstance(exc, dns.resolver.NXDOMAIN | dns.resolver.YXDOMAIN):
        return True
    errors = getattr(exc, "kwargs", {}).get("errors", ())
    return any(error[4] is not None for error in errors)
