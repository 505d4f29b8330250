"""bootstrap_chores: what a worker does beside mail: pulse, nightly audit, what was kept long enough, the disk."""

import asyncio
import time
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from supportrelay.bootstrap import Parts
from supportrelay.core.audit import AuditReport
from supportrelay.edge.disk import disk_space
from supportrelay.edge.store.audit import audit
from supportrelay.flow.housekeeping import Housekeeper
from supportrelay.flow.nightly import Nightly
from supportrelay.flow.pulse import Pulse
from supportrelay.flow.store_watch import watch_store
from supportrelay.flow.watchman import Watchman

__all__ = ["chores_of", "watchman_of"]

# Between two pieces of an audit: it takes its time, mail does not wait for the interpreter.
_REST_S = 0.02


def chores_of(parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """Each runs until it is cancelled."""
    pulse = Pulse(parts.store, lambda: time.monotonic_ns() // 1_000_000)

    async def account(since: datetime, until: datetime) -> AuditReport:
        path = parts.config.storage.path
        return await asyncio.to_thread(audit, path, since, until, until, rest=lambda: time.sleep(_REST_S))

    nightly = Nightly(parts.office, parts.store, account, lambda at: at.astimezone())
    housekeeper = Housekeeper(parts.office, parts.store, lambda: (parts.config.keep.raw, parts.config.keep.trace))
    return [pulse.run(), nightly.run(), housekeeper.run(), watch_store(parts.office, parts.store.health)]


def watchman_of(parts: Parts) -> Watchman:
    """One for all workers; the first has it."""
    folder = parts.config.state_folder
    return Watchman(parts.office, str(folder), lambda: disk_space(folder), parts.certificates.ending)
