"""What an operation works with; `bootstrap` fills it, in the daemon and for a command without daemon alike."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from supportrelay.core.decision import Decision
from supportrelay.core.envelope import Envelope
from supportrelay.core.settings import Desk

__all__ = ["CrmTools", "OperationContext"]


class CrmTools(Protocol):
    """What an outside CRM offers the person who sets it up; answers are JSON values.

    Errors of every call: `CrmDown` when it cannot be asked, `CrmRefusal` when it refuses as a whole.
    """

    async def set_up(self, *, pipeline: str, dry_run: bool) -> dict[str, Any]:
        """Look up what the relay needs there and make what is missing; its shape stands in docs/commands.md."""
        ...

    async def check(self) -> list[dict[str, Any]]:
        """Findings, each ``code, ok`` (true, false, null: only told) and values; reads only."""
        ...

    async def adopt(self, *, address: str, who: str, dry_run: bool) -> dict[str, Any]:
        """Mirror open tickets that are there already: ``adopted, known, unmarked``."""
        ...


async def _cannot_explain(_octets: bytes, _envelope: Envelope) -> Decision:
    raise NotImplementedError


async def _nothing_cached(_domain: str) -> int:
    return 0


async def _nobody_watches(_ids: Sequence[str]) -> None:
    return


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
        forget_owners: Answers of the CRM for a domain ("" for all) are asked for anew; how many there were.
        crm: Tools of the outside CRM; None when everything is builtin.
        resume: The outside desk is worth asking again, however it answered a while ago.
        look_at: Tickets at the outside desk, by their ids there, are worth a look now; returns when that is noted.
    """

    store: Any
    directory: Any
    config: Any
    desk: Desk
    now: Callable[[], datetime]
    wake: Callable[[], None] = lambda: None
    who: str = "person:unknown"
    decide: Callable[[bytes, Envelope], Awaitable[Decision]] = _cannot_explain
    forget_owners: Callable[[str], Awaitable[int]] = _nothing_cached
    crm: CrmTools | None = None
    resume: Callable[[], None] = lambda: None
    look_at: Callable[[Sequence[str]], Awaitable[None]] = _nobody_watches
