"""What an operation works with; `bootstrap` fills it, in the daemon and for a command without daemon alike."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from supportrelay.core.decision import Decision
from supportrelay.core.envelope import Envelope
from supportrelay.core.settings import Desk

__all__ = ["OperationContext"]


async def _cannot_explain(_octets: bytes, _envelope: Envelope) -> Decision:
    raise NotImplementedError


def _nothing_cached(_domain: str) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class OperationContext:
    """The parts behind the operations.

    Attributes:
        store: The store with its views and administrative commands (`supportrelay.edge.store`).
        directory: The `OwnerDirectory` in use.
        config: The whole configuration (`supportrelay.config.Config`).
        desk: Its plain values.
        now: Aware, UTC.
        wake: Tells the workers that something is due; does nothing when none runs.
        who: ``person:NAME``, for the record of changes.
        decide: `flow.explain.explain` with its parts already in place.
        forget_owners: Drops cached answers of the CRM for a domain ("" for all); how many there were.
    """

    store: Any
    directory: Any
    config: Any
    desk: Desk
    now: Callable[[], datetime]
    wake: Callable[[], None] = lambda: None
    who: str = "person:unknown"
    decide: Callable[[bytes, Envelope], Awaitable[Decision]] = _cannot_explain
    forget_owners: Callable[[str], int] = _nothing_cached
