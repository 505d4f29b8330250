"""What the suites of the HubSpot client share: an account that waits for nobody, a clock to be set, its promises."""

import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from edge.gate_fake import GateFake
from edge.http_stub import HttpStub
from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.settings import HubSpotAccount

TOKEN = "pat-na1-11112222-3333-4444-5555-666677778888"
T0 = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until it is set."""

    at: datetime = T0

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Asking:
    """A client, what it asks through and when."""

    client: HubSpotClient
    gate: GateFake
    clock: Clock
    logged: list[Any] = field(default_factory=list)

    def events(self, name: str) -> list[Any]:
        return [line for line in self.logged if line["event"] == name]


def an_account(url: str, **changes: Any) -> HubSpotAccount:
    """Fast enough for tests in which the pace is not the point."""
    figures = {"calls_per_10s": 10_000, "searches_per_s": 1_000, "timeout_s": 5.0} | changes
    return HubSpotAccount(TOKEN, url, **figures)


@asynccontextmanager
async def asking(stub: HttpStub, *, gate: GateFake | None = None, **changes: Any) -> AsyncIterator[Asking]:
    """A client of the stub; afterwards nothing that it logged holds the token."""
    gate = gate or GateFake()
    clock = Clock()
    with capture_logs() as logged:
        client = HubSpotClient(an_account(stub.url, **changes), gate, now=clock)
        yield Asking(client, gate, clock, logged)
        await client.aclose()
    assert TOKEN not in repr(logged)


@contextmanager
def down() -> Iterator[list[CrmDown]]:
    """The call ends as CrmDown, which is put in the list; nothing that hangs on it holds the token."""
    caught: list[CrmDown] = []
    try:
        yield caught
    except CrmDown as exc:
        assert_keeps_the_secret(exc)
        caught.append(exc)
        return
    raise AssertionError("did not raise CrmDown")


@contextmanager
def refused() -> Iterator[list[CrmRefusal]]:
    """The same for CrmRefusal."""
    caught: list[CrmRefusal] = []
    try:
        yield caught
    except CrmRefusal as exc:
        assert_keeps_the_secret(exc)
        caught.append(exc)
        return
    raise AssertionError("did not raise CrmRefusal")


def assert_keeps_the_secret(exc: BaseException) -> None:
    """Neither it, nor what led to it, nor a traceback that shows local variables, holds the token."""
    told = ""
    chained: BaseException | None = exc
    while chained:
        assert not hasattr(chained, "request")
        shown = traceback.TracebackException.from_exception(chained, capture_locals=True)
        # The tests' own frames hold the token that they let the server say.
        told += "".join(repr(frame.locals) for frame in shown.stack if "/tests/" not in frame.filename)
        told += "".join(shown.format_exception_only()) + repr(chained) + repr(vars(chained))
        chained = chained.__cause__ or chained.__context__

    assert TOKEN not in told
    assert "Bearer" not in told


def an_error(message: str = "No.", category: str = "VALIDATION_ERROR", **more: Any) -> dict[str, Any]:
    """An error's body as HubSpot writes it."""
    return {"status": "error", "message": message, "category": category, "correlationId": "c0ffee-17", **more}
