"""The server: arrival, faults, token, limits, description, scope, then the handler. An ASGI application."""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubspot_double import associating, catalogue, defining, faults, objects, scopes, searching
from hubspot_double.account import Account
from hubspot_double.calls import Answer, Call
from hubspot_double.description import Description, Operation
from hubspot_double.errors import ApiError, rate_limit_body, refusal_body, violation
from hubspot_double.limits import Limits
from hubspot_double.settings import Settings
from hubspot_double.webhooks import Webhooks
from hubspot_double.wire import Receive, Scope, Send, Wire

__all__ = ["Double", "Logged"]

_HANDLERS = objects.HANDLERS | searching.HANDLERS | associating.HANDLERS | defining.HANDLERS
_MOST_LOGGED = 200_000
_JSON = ("Content-Type", "application/json;charset=utf-8")


@dataclass
class Logged:
    """One call.

    Attributes:
        n: Counts from 1. at: epoch seconds of the arrival. ms: until the answer began, -1 while it is under way.
        status: 0 when there was no answer. lane: ``search`` or ``general``. fault: its kind, "" without.
        body: What was sent, as JSON, of calls that are described.
    """

    n: int
    at: float
    method: str
    path: str
    query: str
    lane: str
    operation: str = ""
    status: int = 0
    ms: float = -1.0
    fault: str = ""
    body: Any = None


class Double:
    """One HubSpot account behind one address; ``admin`` answers what is under ``/_double/``."""

    def __init__(self, settings: Settings, *, relay_properties: bool = False) -> None:
        self.settings = settings
        self.description = Description()
        self.faults = faults.Faults()
        self.limits = Limits(settings)
        self.webhooks = Webhooks(settings)
        self.violations: list[dict[str, Any]] = []
        self.log: deque[Logged] = deque(maxlen=_MOST_LOGGED)
        self.calls = 0
        self.admin: Callable[[Wire], Any] | None = None
        self.account = Account(settings, relay_properties=relay_properties)
        self.account.listeners.append(self.webhooks.hear)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        wire = Wire(scope, receive, send)
        if scope["path"].startswith("/_double/") and self.admin is not None:
            await self.admin(wire)
            return
        arrived = time.monotonic()
        entry = self._arrive(scope, arrived)
        try:
            await self._exchange(wire, entry, arrived)
        finally:
            entry.status, entry.ms = wire.status, round((time.monotonic() - arrived) * 1000, 1)

    def _arrive(self, scope: Scope, arrived: float) -> Logged:
        self.calls += 1
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        is_search = scope["method"] == "POST" and path.endswith("/search")
        self.limits.arrive(arrived, is_search=is_search)
        query = scope["query_string"].decode("latin-1")
        lane = "search" if is_search else "general"
        entry = Logged(self.calls, time.time(), scope["method"], path, query, lane)
        self.log.append(entry)
        return entry

    async def _exchange(self, wire: Wire, entry: Logged, arrived: float) -> None:
        body = await wire.body()
        fault = self.faults.match(entry.method, entry.path)
        if self.settings.latency_s:
            await asyncio.sleep(self.settings.latency_s / 2)

        def work() -> Answer:
            return self.answer(entry, wire.scope, body, arrived)

        if fault is not None:
            entry.fault = fault.kind
            await faults.play(fault, wire, work)
            return
        answer = work()
        if self.settings.latency_s:
            await asyncio.sleep(self.settings.latency_s / 2)
        headers = [*answer.headers.items()] if answer.body is None else [_JSON, *answer.headers.items()]
        await wire.answer(answer.status, answer.octets(), headers)

    def answer(self, entry: Logged, scope: Scope, body: bytes, arrived: float) -> Answer:
        """Do what was asked for; every refusal becomes its answer."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        is_search = entry.lane == "search"
        try:
            answer = self._admitted(entry, headers, body, arrived)
        except ApiError as error:
            if error.is_violation:
                self._violated(entry, error.message)
            answer = Answer(error.status, error.body)
        except Exception:  # noqa: BLE001 - a flaw of the double itself must show in the tests
            self._violated(entry, "the double broke: " + traceback.format_exc())
            answer = Answer(500, refusal_body("internal error", "INTERNAL"))
        if not is_search:
            answer.headers |= self.limits.headers()
        return answer

    def _violated(self, entry: Logged, message: str) -> None:
        self.violations.append({"n": entry.n, "method": entry.method, "path": entry.path, "message": message})

    def _admitted(self, entry: Logged, headers: dict[str, str], body: bytes, arrived: float) -> Answer:
        granted = self._granted(headers.get("authorization", ""))
        policy = self.limits.admit(arrived, is_search=entry.lane == "search")
        if policy:
            retry = self.settings.retry_after_s
            return Answer(429, rate_limit_body(policy), {} if retry is None else {"Retry-After": str(retry)})
        operation, segments = self._operation(entry)
        entry.operation = operation.id
        path = operation.path_values(segments)
        query = operation.query_values(entry.query)
        value = operation.body_value(body, headers.get("content-type", ""))
        entry.body = value
        self._check_scopes(operation, path, granted)
        call = Call(operation.id, path, query, value, len(body.decode(errors="replace")))
        return _HANDLERS[operation.id](self.account, call)

    def _granted(self, authorization: str) -> set[str]:
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer" or token not in self.settings.tokens:
            text = "Authentication credentials not found. This API supports OAuth 2.0 authentication"
            raise ApiError(401, text, "INVALID_AUTHENTICATION")
        return set(self.settings.tokens[token])

    def _operation(self, entry: Logged) -> tuple[Operation, tuple[str, ...]]:
        found = self.description.match(entry.path)
        if found is None:
            raise ApiError(404, "resource not found", "OBJECT_NOT_FOUND", is_violation=self.settings.violate_unknown)
        operations, segments = found
        if entry.method not in operations:
            raise violation(f"{entry.method} {entry.path} is not described", 405)
        return operations[entry.method], segments

    def _check_scopes(self, operation: Operation, path: dict[str, str], granted: set[str]) -> None:
        named = [path[name] for name in ("objectType", "fromObjectType", "toObjectType") if name in path]
        types = tuple(kind for kind in map(catalogue.object_type, named) if kind)
        for alternatives in scopes.needed(operation.id, types):
            if not granted & set(alternatives):
                text = (
                    "This app hasn't been granted all required scopes to make this call. "
                    "Read more about required scopes here: https://developers.hubspot.com/scopes."
                )
                error = {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": list(alternatives)},
                }
                raise ApiError(403, text, "MISSING_SCOPES", errors=[error])

    def logged(self, since: int, *, with_bodies: bool) -> list[dict[str, Any]]:
        """Calls after number ``since``."""
        found = [dict(vars(one)) for one in self.log if one.n > since]
        if not with_bodies:
            for one in found:
                del one["body"]
        return found
