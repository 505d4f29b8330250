"""``POST /hooks/hubspot``: HubSpot says that tickets changed (CRM_FACTS (i)).

What it says is only a hint: the daemon reads the tickets itself. 204 is answered when the daemon has taken the hint;
anything else makes HubSpot try again. It wants an answer within five seconds.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from supportrelay.log import get_logger

__all__ = ["HUBSPOT_PATH", "Hook", "hubspot_hook"]

log = get_logger()

HUBSPOT_PATH = "/hooks/hubspot"
_LARGEST = 1024 * 1024  # octets; a hundred events are some 40,000
_SIGNATURES = ("x-hubspot-signature-v3", "x-hubspot-signature")
_ANSWER_S = 4.5
_AT_ONCE = 8  # bodies in memory; what comes besides is asked to come again
_BAD_A_MINUTE = 20
_MINUTE_S = 60.0

Verify = Callable[[Mapping[str, str], str, str, bytes], bool]
"""``(headers, method, URI as it was called, body)``: is it signed by who should?"""


class _BadSignatures:
    """Counts them, so that whoever tries does not fill the log."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0

    def add(self) -> bool:
        """One more; True when there are too many in this minute."""
        now = time.monotonic()
        if now - self._since > _MINUTE_S:
            if self._count > 1:
                log.warning("hook.refused", count=self._count)
            self._since, self._count = now, 0
        self._count += 1
        if self._count == 1:
            log.warning("hook.refused", count=1)
        return self._count > _BAD_A_MINUTE


class Hook:
    """The endpoint.

    Args:
        public_url: Under which the web port is reached from outside; HubSpot signs it.
        verify: Is this call from HubSpot?
        read: Body -> ids of tickets that it names.
        tell: Hands the ids to the daemon; blocking, at most some four seconds. False, or raising: it did not take them.
    """

    def __init__(
        self,
        *,
        public_url: str,
        verify: Verify,
        read: Callable[[bytes], Sequence[str]],
        tell: Callable[[Sequence[str]], bool],
    ) -> None:
        self._address = public_url.rstrip("/") + HUBSPOT_PATH
        self._verify = verify
        self._read = read
        self._tell = tell
        self._seats = asyncio.Semaphore(_AT_ONCE)
        self._bad = _BadSignatures()

    async def __call__(self, request: Request) -> Response:
        """204 taken, 401 not signed, 413 too large, 429 too many unsigned, 503 come again."""
        if not any(name in request.headers for name in _SIGNATURES):
            return self._refused()
        if self._seats.locked():
            return _later()
        try:
            async with self._seats, asyncio.timeout(_ANSWER_S):
                body = await _body(request)
                if body is None:
                    return Response(status_code=413)
                if not self._verify(request.headers, request.method, self._uri(request), body):
                    return self._refused()
                return await self._taken(body)
        except TimeoutError:
            return _later()
        except ClientDisconnect:
            return Response(status_code=400)

    def _uri(self, request: Request) -> str:
        query = request.scope.get("query_string", b"").decode("latin-1")
        return f"{self._address}?{query}" if query else self._address

    def _refused(self) -> Response:
        return (
            Response(status_code=429, headers={"Retry-After": "60"}) if self._bad.add() else Response(status_code=401)
        )

    async def _taken(self, body: bytes) -> Response:
        ids = list(dict.fromkeys(self._read(body)))
        if not ids:
            return Response(status_code=204)
        try:
            is_taken = await asyncio.to_thread(self._tell, ids)
        except (OSError, ValueError) as exc:  # nobody there, or an answer that is none
            log.warning("hook.not_taken", count=len(ids), error=type(exc).__name__)
            return _later()
        if not is_taken:
            log.warning("hook.not_taken", count=len(ids), error="refused")
            return _later()
        return Response(status_code=204)


def _later() -> Response:
    return Response(status_code=503, headers={"Retry-After": "5"})


async def _body(request: Request) -> bytes | None:
    """The body, None when it is too large; what is announced as too large is not read."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > _LARGEST:
        return None
    whole = bytearray()
    async for chunk in request.stream():
        whole += chunk
        if len(whole) > _LARGEST:
            return None
    return bytes(whole)


def hubspot_hook(hook: Hook) -> Route:
    """The route for `health.serve_health`."""
    return Route(HUBSPOT_PATH, hook.__call__, methods=["POST"])
