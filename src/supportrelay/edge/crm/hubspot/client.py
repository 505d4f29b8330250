"""Calls to HubSpot: no faster than agreed, never longer than their timeout, and whatever comes back is ours to read.

Every call waits for its turn at the gate, which all processes share, and ends as an `Answer`, a `CrmRefusal` (HubSpot
understood and said no) or a `CrmDown` (everything else). Nothing here is tried again except a read over a kept
connection that HubSpot had closed meanwhile; a create whose answer was lost may have happened, and whoever asked for it
looks first (CRM_FACTS (h)).
"""

import json as json_
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from supportrelay import tally
from supportrelay.core.crm_ports import Gate
from supportrelay.core.errors import CrmDown, CrmRefusal, TransientFailure
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot.body import GarbageAnswer, parse
from supportrelay.edge.crm.hubspot.breaker import Breaker
from supportrelay.edge.crm.hubspot.errors import (
    Complaint,
    Fault,
    fault_of,
    limited_until,
    read_complaint,
    retry_after,
    told,
)
from supportrelay.edge.crm.hubspot.pacing import Lane, Turns
from supportrelay.edge.crm.hubspot.paths import family, is_search, template
from supportrelay.edge.crm.hubspot.reading import printable, results
from supportrelay.edge.crm.hubspot.settings import HubSpotAccount
from supportrelay.edge.crm.hubspot.wire import NoReply, Reply, Wire
from supportrelay.log import get_logger, hide

__all__ = ["Answer", "HubSpotClient", "Lane", "Params"]

log = get_logger()

_REFUSED_PAUSE: Final = timedelta(minutes=5)
_LOCKED_PAUSE: Final = timedelta(seconds=2)
_DAY_HINT_LASTS: Final = timedelta(minutes=10)
_NEARLY_USED: Final = 0.05

Params = Mapping[str, str | int | bool | None]


@value_class
class Answer:
    """What HubSpot answered, status 200 to 299.

    Attributes:
        body: Empty for an answer without content.
        limits: ``X-HubSpot-RateLimit-...`` by the rest of its name in lower case: ``daily-remaining`` ...
    """

    status: int
    body: dict[str, Any]
    limits: Mapping[str, int]

    @property
    def results(self) -> list[dict[str, Any]]:
        """The objects of a list, search or batch."""
        return results(self.body)

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What of a batch failed (207)."""
        return results({"results": self.body.get("errors")})


@value_class
class _Call:
    """One call as it is told about: no ids, no token."""

    method: str
    path: str
    lane: Lane

    @property
    def shown(self) -> str:
        return f"{self.method} {template(self.path)}"

    @property
    def family(self) -> str:
        return family(self.method, self.path)

    @property
    def is_search(self) -> bool:
        return is_search(self.path)

    @property
    def reads(self) -> bool:
        return self.family.endswith(".read")


class HubSpotClient:
    """One account, asked from one process.

    Args:
        account: Token, address and limits.
        gate: Shared by all processes; its gates are `gate_names`, and ``NAME:FAMILY`` where a scope is missing.
        now: The clock (aware, UTC).

    Attributes:
        time_zone: The account's, once somebody has read it; the day of the daily limit ends there.
        calls: Made so far, by method and path without ids.
        faults: Failed so far, by `Fault`.

    Raises:
        ValueError: An address or token that must not be used (`check_base_url`, `check_token`).
    """

    def __init__(
        self, account: HubSpotAccount, gate: Gate, *, now: Callable[[], datetime], name: str = "hubspot"
    ) -> None:
        hide(account.token)
        self._wire = Wire(account)
        self._turns = Turns(account, gate, now=now, name=name)
        self._gate = gate
        self._now = now
        self._name = name
        self.gate_names = (self._turns.general, self._turns.search)
        self.time_zone: tzinfo = UTC
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._breaker = Breaker()
        self._is_token_refused = False
        # Families of paths: shut for want of a scope; those whose shared gate was looked at; those told about.
        self._shut: set[str] = set()
        self._looked_at: set[str] = set()
        self._scopeless: set[str] = set()
        self._spared_until: datetime | None = None

    async def request(
        self, method: str, path: str, *, json: Any = None, params: Params | None = None, lane: Lane
    ) -> Answer:
        """Make one call and return its answer.

        Args:
            method: ``GET``, ``POST`` ...
            path: From `Paths`, ids quoted.
            json: The body, None for none.
            params: Query; None values are left out.
            lane: Who waits for it.

        Raises:
            CrmRefusal: Status 400, 404, 409 and their like, in HubSpot's own words; 404 too.
            CrmDown: No answer, one that cannot be read, or nothing was sent (``is_closed``).
        """
        call = _Call(method, path, lane)
        content = None if json is None else json_.dumps(json, ensure_ascii=False).encode("utf-8", "replace")
        query = {name: value for name, value in (params or {}).items() if value is not None}
        came = await self._once(call, content, query)
        if isinstance(came, NoReply) and came.was_kept and call.reads:
            came = await self._once(call, content, query)
        if isinstance(came, NoReply):
            raise await self._no_reply(call, came)
        return await self._read(call, came)

    async def reopen(self) -> None:
        """Forget why nothing may be sent, in all processes: somebody changed the token or its scopes."""
        for name in self.gate_names:  # and with them the families without scope, whoever found that out
            await self._gate.reopen(name)
        self._shut.clear()
        self._spared_until = None
        self._breaker.answered()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    # --- before the call -------------------------------------------------------------------------------------------

    async def _once(self, call: _Call, content: bytes | None, query: Mapping[str, Any]) -> Reply | NoReply:
        await self._refuse_without_scope(call)
        self._refuse_in_vain(call)
        async with self._turns.take(call.lane, is_search=call.is_search):
            # While it waited, others may have found out that nobody answers.
            self._refuse_in_vain(call)
            is_probe = self._breaker.begin()
            try:
                self.calls[call.shown] += 1
                tally.count("crm:made")
                return await self._wire.exchange(call.method, call.path, content, query)
            finally:
                if is_probe:
                    self._breaker.end_probe()

    def _refuse_in_vain(self, call: _Call) -> None:
        now = self._now()
        if until := self._breaker.refused_until(now):
            raise CrmDown("HubSpot did not answer a moment ago", retry_at=until, is_closed=True)
        if self._spared_until and now < self._spared_until and call.lane is Lane.BACKGROUND:
            raise CrmDown(
                "the day's calls are nearly used; what is left is for mail and tickets",
                retry_at=self._spared_until,
                is_closed=True,
            )

    async def _refuse_without_scope(self, call: _Call) -> None:
        """The shared gate of the family is read once by each process, and while it is shut here: it may be reopened."""
        name = call.family
        if name in self._looked_at and name not in self._shut:
            return
        self._looked_at.add(name)
        shared = await self._gate.gate(self._gate_of_family(name))
        if shared.closed_until and shared.closed_until > self._now():
            self._shut.add(name)
            raise CrmDown(shared.closed_why, retry_at=shared.closed_until, is_closed=True)
        self._shut.discard(name)

    def _gate_of_family(self, name: str) -> str:
        return f"{self._name}:{name}"

    # --- after the call --------------------------------------------------------------------------------------------

    async def _read(self, call: _Call, reply: Reply) -> Answer:
        """The answer; raises what it means when it is none."""
        limits = _limits(reply.headers)
        self._spare(limits)
        has_no_body = not reply.octets and (reply.status in {204, 205} or call.method in {"PUT", "DELETE"})
        body: dict[str, Any] | None = {} if has_no_body else None
        unread = ""
        try:
            body = await parse(reply.octets) if body is None else body
        except GarbageAnswer as exc:
            unread = str(exc)
        complaint = read_complaint(body, reply.headers)
        fault = fault_of(reply.status, complaint)
        if fault is None and body is not None:
            await self._succeeded(call)
            return Answer(reply.status, body, limits)
        words = told(complaint, reply.octets)
        if fault is Fault.TOKEN_REFUSED:
            unread = "token refused (401)"
        words = ": ".join(filter(None, [unread if fault in {None, Fault.GARBAGE, Fault.TOKEN_REFUSED} else "", words]))
        raise await self._failure(call, reply, fault or Fault.GARBAGE, complaint, words)

    async def _failure(
        self, call: _Call, reply: Reply, fault: Fault, complaint: Complaint, words: str
    ) -> CrmDown | CrmRefusal:
        if fault in {Fault.UNAVAILABLE, Fault.REDIRECTED}:
            words = f"redirected, which is not followed: {words}" if fault is Fault.REDIRECTED else words
            return await self._no_reply(
                call, NoReply(words, fault, reply.status), asked=retry_after(reply.headers, self._now())
            )
        await self._answered()
        cause = f"{call.shown}: {reply.status} {words}".rstrip()
        if fault is Fault.REFUSED:
            self.faults[fault] += 1
            category = printable(complaint.category, 80)
            return CrmRefusal(cause, status=reply.status, category=category)
        self._tell(call, fault, reply.status, cause, complaint)
        retry_at, closed = self._silence(call, reply, fault, complaint)
        if fault is Fault.SCOPE_MISSING:
            self._shut.add(call.family)
        if retry_at:
            await self._close(closed, retry_at, cause)
        return CrmDown(cause, retry_at=retry_at)

    def _silence(
        self, call: _Call, reply: Reply, fault: Fault, complaint: Complaint
    ) -> tuple[datetime | None, tuple[str, ...]]:
        """Until when, and which gates are closed for everybody."""
        now = self._now()
        match fault:
            case Fault.LIMITED:
                until = limited_until(complaint, reply.headers, is_search=call.is_search, now=now, zone=self.time_zone)
                # The day's calls are one sum; other figures are each kind's own, unless the general one is named.
                names_general = call.is_search and complaint.policy == "TEN_SECONDLY_ROLLING"
                own = self._turns.search if call.is_search else self._turns.general
                return until, self.gate_names if names_general or complaint.policy == "DAILY" else (own,)
            case Fault.MIGRATING:
                return retry_after(reply.headers, now) or now + _REFUSED_PAUSE, self.gate_names
            case Fault.TOKEN_REFUSED:
                return now + _REFUSED_PAUSE, self.gate_names
            case Fault.SCOPE_MISSING:
                return now + _REFUSED_PAUSE, (self._gate_of_family(call.family),)
            case Fault.LOCKED:
                return now + _LOCKED_PAUSE, ()
            case _:
                return None, ()

    async def _no_reply(self, call: _Call, came: NoReply, *, asked: datetime | None = None) -> CrmDown:
        """No answer that is HubSpot's: what to raise. The third in a row closes the gate for everybody."""
        cause = f"{call.shown}: {came.status or ''} {came.cause}".replace("  ", " ")
        self._tell(call, came.fault, came.status, cause, None)
        if came.fault is Fault.GARBAGE:
            return CrmDown(cause)
        until = self._breaker.failed(self._now())
        if until:
            await self._close(self.gate_names, until, cause)
        return CrmDown(cause, retry_at=asked or until)

    def _tell(self, call: _Call, fault: Fault, status: int, cause: str, complaint: Complaint | None) -> None:
        """Log once what a person has to mend, and each failure as a warning."""
        self.faults[fault] += 1
        tally.count("crm:failed")
        if fault is Fault.TOKEN_REFUSED:
            if not self._is_token_refused:
                log.error("crm.token_refused", crm=self._name, cause=cause)
            self._is_token_refused = True
            return
        if fault is Fault.SCOPE_MISSING and complaint:
            if call.family not in self._scopeless:
                log.error("crm.scope_missing", crm=self._name, scopes=list(complaint.scopes), cause=cause)
            self._scopeless.add(call.family)
            return
        log.warning("crm.call_failed", crm=self._name, call=call.shown, status=status, fault=str(fault), cause=cause)

    async def _succeeded(self, call: _Call) -> None:
        await self._answered()
        if self._is_token_refused:
            self._is_token_refused = False
            await self._open(self.gate_names)
        if call.family in self._scopeless:
            self._scopeless.discard(call.family)
            await self._open((self._gate_of_family(call.family),))

    async def _answered(self) -> None:
        if self._breaker.answered():
            await self._open(self.gate_names)

    async def _close(self, names: tuple[str, ...], until: datetime, why: str) -> None:
        try:
            for name in names:
                await self._gate.close(name, until, why)
        except TransientFailure as exc:  # the store is busy; what HubSpot said is still the answer
            log.warning("crm.gate_not_kept", crm=self._name, cause=exc.detail)

    async def _open(self, names: tuple[str, ...]) -> None:
        try:
            for name in names:
                await self._gate.reopen(name)
        except TransientFailure as exc:
            log.warning("crm.gate_not_kept", crm=self._name, cause=exc.detail)

    def _spare(self, limits: Mapping[str, int]) -> None:
        """Leave the last calls of the day to mail and tickets."""
        if "daily" not in limits or "daily-remaining" not in limits:
            return
        if limits["daily-remaining"] >= limits["daily"] * _NEARLY_USED:
            self._spared_until = None
            return
        if self._spared_until is None:
            log.warning("crm.day_nearly_used", crm=self._name, left=limits["daily-remaining"], of=limits["daily"])
        # Not until midnight: where that is may be unknown, and nobody else may be asking.
        self._spared_until = self._now() + _DAY_HINT_LASTS


def _limits(headers: Mapping[str, str]) -> dict[str, int]:
    prefix = "x-hubspot-ratelimit-"
    return {
        name.removeprefix(prefix): int(value)
        for name, value in headers.items()
        if name.startswith(prefix) and value.isascii() and value.isdigit() and len(value) < 16  # noqa: PLR2004
    }
