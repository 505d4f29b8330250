"""Faults: what goes wrong with the next calls that match.

A fault is a JSON object (`DoubleClient.fault`): ``kind`` and

* ``method``, ``path``: regular expressions, the whole method and a part of the path; without: every call.
* ``times``: for so many calls, then it is used up; without: until it is cleared. ``skip``: lets so many by first.

Kinds, with their own fields:

* ``status``: ``status`` instead of doing anything, ``body`` (JSON value or text; default: HubSpot's for that status),
  ``headers``, ``retry_after``, ``policy`` for 429 (DAILY, TEN_SECONDLY_ROLLING, SECONDLY), ``scopes`` for 403.
* ``lost``: does the work; then ``how``: ``500`` or any status, ``close``, ``reset``, ``hang``.
* ``delay``: ``delay_s`` before the work. ``delay_answer``: the same after the work.
* ``hang``: never answers, does nothing. ``close``, ``reset``: the connection, nothing is done.
* ``html``: 200 with a page. ``redirect``: ``status`` (302) to ``location``. ``empty``: 200 without a body.
* ``cut``: the right answer, half of it; ``truncated``: the same, with the whole one's Content-Length, then closed.
* ``types``: the right answer with wrong types inside; ``how``: ``scrambled`` (default), ``list``, ``null``, ``string``.
* ``fields``: the right answer without the ``fields`` named, wherever they stand in it.
* ``huge``: ``octets`` (100 MB) of JSON, streamed. ``deep``: ``depth`` (100,000) lists in each other.
* ``gzip_bomb``: ``octets`` (100 MB) of zeros in JSON, compressed.
* ``drip``: the right answer, an octet each ``every_s``.
* ``down``: everything, ``how``: ``503`` (default) or ``close``.

All but ``cut``, ``truncated``, ``types``, ``fields``, ``drip``, ``lost``, ``delay``, ``delay_answer`` do no work.
"""

import asyncio
import gzip
import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from hubspot_double.calls import Answer
from hubspot_double.errors import rate_limit_body, refusal_body
from hubspot_double.wire import Wire

__all__ = ["Fault", "Faults"]

_JSON = [("Content-Type", "application/json;charset=utf-8")]
_CHUNK = 64 * 1024
_MB_100 = 100_000_000
_COMMON = {"kind", "method", "path", "times", "skip"}
_FIELDS = {
    "status": {"status", "body", "headers", "retry_after", "policy", "scopes"},
    "lost": {"how"},
    "delay": {"delay_s"},
    "delay_answer": {"delay_s"},
    "hang": set[str](),
    "close": set[str](),
    "reset": set[str](),
    "html": {"status"},
    "redirect": {"status", "location"},
    "empty": {"status"},
    "cut": set[str](),
    "truncated": set[str](),
    "types": {"how"},
    "fields": {"fields"},
    "huge": {"octets"},
    "deep": {"depth"},
    "gzip_bomb": {"octets"},
    "drip": {"every_s"},
    "down": {"how"},
}
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


@dataclass
class Fault:
    """See the module's text."""

    id: int
    kind: str
    method: str
    path: str
    times: int | None
    skip: int
    more: dict[str, Any]
    hits: int = 0
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.pattern = re.compile(self.path)

    def fits(self, method: str, path: str) -> bool:
        is_used_up = self.times is not None and self.hits >= self.times
        return (
            not is_used_up and re.fullmatch(self.method, method) is not None and self.pattern.search(path) is not None
        )

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "method": self.method,
            "path": self.path,
            "hits": self.hits,
        } | self.more


class Faults:
    """Those that are set, asked in the order in which they were set."""

    def __init__(self) -> None:
        self.all: list[Fault] = []
        self._ids = itertools.count(1)

    def set(self, wanted: dict[str, Any]) -> Fault:
        """ValueError names what is wrong with it."""
        kind = wanted.get("kind", "")
        unknown = wanted.keys() - _COMMON - _FIELDS.get(kind, set())
        if kind not in _FIELDS or unknown:
            raise ValueError(f"no fault like this: {kind} {sorted(unknown)}")
        more = {name: value for name, value in wanted.items() if name not in _COMMON}
        times = wanted.get("times")
        fault = Fault(
            next(self._ids),
            kind,
            wanted.get("method", ".*"),
            wanted.get("path", ""),
            times,
            wanted.get("skip", 0),
            more,
        )
        self.all.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """All of them, or the one; how many."""
        before = len(self.all)
        self.all = [fault for fault in self.all if fault_id is not None and fault.id != fault_id]
        return before - len(self.all)

    def match(self, method: str, path: str) -> Fault | None:
        for fault in self.all:
            if fault.fits(method, path):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                return fault
        return None


async def play(fault: Fault, wire: Wire, work: Callable[[], Answer]) -> None:
    """Answer as the fault says; ``work`` does what was asked for."""
    await _PLAYS[fault.kind](fault.more, wire, work)


async def _status(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    status = int(more["status"])
    headers = dict(more.get("headers", {}))
    if more.get("retry_after") is not None:
        headers["Retry-After"] = str(more["retry_after"])
    body = more.get("body", _default_body(status, more))
    octets = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, str) and body.startswith("<") else "application/json;charset=utf-8"
    await wire.answer(status, octets, [("Content-Type", kind), *headers.items()])


def _default_body(status: int, more: dict[str, Any]) -> Any:
    if status == 429:
        return rate_limit_body(more.get("policy", "TEN_SECONDLY_ROLLING"))
    if status == 401:
        text = "Authentication credentials not found. This API supports OAuth 2.0 authentication"
        return refusal_body(text, "INVALID_AUTHENTICATION")
    if status == 403:
        scopes = more.get("scopes", ["tickets"])
        error = {
            "message": f"One or more of the following scopes are required: {scopes}",
            "context": {"requiredGranularScopes": scopes},
        }
        return refusal_body("This app hasn't been granted all required scopes", "MISSING_SCOPES", [error])
    if status == 423:
        return refusal_body("The resource is locked", "LOCKED")
    if status == 477:
        return refusal_body("The account is being migrated", "MIGRATION_IN_PROGRESS")
    if status in {502, 503, 504, 521, 523, 524}:
        return _PAGE.format(f"Error {status}")
    text = "internal error" if status >= 500 else "refused"
    return {"status": "error", "message": text, "correlationId": str(uuid.uuid4())}


async def _ordinary(wire: Wire, answer: Answer) -> None:
    await wire.answer(answer.status, answer.octets(), [*_JSON, *answer.headers.items()])


async def _lost(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    work()
    how = str(more.get("how", "500"))
    if how in {"close", "reset"}:
        await wire.close(is_reset=how == "reset")
    elif how == "hang":
        await wire.until_gone()
    else:
        await _status({"status": int(how)}, wire, work)


async def _delay(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    await asyncio.sleep(more["delay_s"])
    await _ordinary(wire, work())


async def _delay_answer(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    answer = work()
    await asyncio.sleep(more["delay_s"])
    await _ordinary(wire, answer)


async def _hang(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    await wire.until_gone()


async def _close(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    await wire.close()


async def _reset(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    await wire.close(is_reset=True)


async def _html(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    page = _PAGE.format("We'll be back soon").encode()
    await wire.answer(more.get("status", 200), page, [("Content-Type", "text/html")])


async def _redirect(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    location = more.get("location", "https://elsewhere.example/")
    await wire.answer(more.get("status", 302), b"", [("Location", location)])


async def _empty(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    await wire.answer(more.get("status", 200), b"", _JSON)


async def _cut(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    answer = work()
    octets = answer.octets()
    await wire.answer(answer.status, octets[: len(octets) // 2], _JSON)


async def _truncated(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    answer = work()
    octets = answer.octets()
    await wire.head(answer.status, [*_JSON, ("Content-Length", str(len(octets)))])
    await wire.send({"type": "http.response.body", "body": octets[: len(octets) // 2], "more_body": True})
    await wire.close()


def scrambled(value: Any) -> Any:
    """The same with other types: objects become lists, lists objects, texts numbers, numbers texts."""
    if isinstance(value, dict):
        if "results" in value or "properties" in value or "id" in value:
            return {name: scrambled(one) for name, one in value.items()}
        return list(value.values())
    if isinstance(value, list):
        return {str(n): one for n, one in enumerate(value)}
    return 12345 if isinstance(value, str) else {"was": value}


async def _types(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    answer = work()
    how = more.get("how", "scrambled")
    wrong = {"list": [1, "two", None], "null": None, "string": "ok"}
    body = scrambled(answer.body) if how == "scrambled" else wrong[how]
    await wire.answer(answer.status, json.dumps(body).encode(), _JSON)


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(one, names) for name, one in value.items() if name not in names}
    return [_without(one, names) for one in value] if isinstance(value, list) else value


async def _fields(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    answer = work()
    await _ordinary(wire, Answer(answer.status, _without(answer.body, set(more["fields"])), answer.headers))


async def _huge(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"results":["'
        for _ in range(more.get("octets", _MB_100) // _CHUNK):
            yield b"x" * _CHUNK
            await asyncio.sleep(0)
        yield b'"]}'

    await wire.stream(200, _JSON, parts())


async def _deep(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    depth = more.get("depth", 100_000)
    await wire.answer(200, b'{"results":' + b"[" * depth + b"]" * depth + b"}", _JSON)


async def _gzip_bomb(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    octets = more.get("octets", _MB_100)
    packed = await asyncio.to_thread(lambda: gzip.compress(b'{"results":["' + b"0" * octets + b'"]}'))
    await wire.answer(200, packed, [*_JSON, ("Content-Encoding", "gzip")])


async def _drip(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    answer = work()

    async def parts() -> AsyncIterator[bytes]:
        for octet in answer.octets():
            yield bytes([octet])
            await asyncio.sleep(more.get("every_s", 1.0))

    await wire.stream(answer.status, _JSON, parts())


async def _down(more: dict[str, Any], wire: Wire, work: Callable[[], Answer]) -> None:
    how = str(more.get("how", "503"))
    await (wire.close() if how == "close" else _status({"status": int(how)}, wire, work))


_PLAYS = {
    "status": _status,
    "lost": _lost,
    "delay": _delay,
    "delay_answer": _delay_answer,
    "hang": _hang,
    "close": _close,
    "reset": _reset,
    "html": _html,
    "redirect": _redirect,
    "empty": _empty,
    "cut": _cut,
    "truncated": _truncated,
    "types": _types,
    "fields": _fields,
    "huge": _huge,
    "deep": _deep,
    "gzip_bomb": _gzip_bomb,
    "drip": _drip,
    "down": _down,
}
assert _PLAYS.keys() == _FIELDS.keys()
