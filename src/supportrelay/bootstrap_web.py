"""bootstrap_web: what the web process serves, from the configuration and what it shares with the workers."""

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.routing import Route

from supportrelay import __version__
from supportrelay.bootstrap_crm import webhook_routes
from supportrelay.config import Config
from supportrelay.core.vitals import Vitals, judge
from supportrelay.edge.store.vitals import read_vitals
from supportrelay.tally import LAG_BOUNDS_S, TallyBoard

__all__ = ["web_routes"]

_LOOKED_AT_S = 5.0


def web_routes(config: Config, board: TallyBoard) -> list[Route]:
    """Every route but ``/healthz``. Call it in the web process: what it imports no mail worker needs."""
    from supportrelay.edge.web.metrics import Eyes, eye_routes

    eyes = Eyes(
        sums=board.sums,
        vitals=_seldom(lambda: _vitals(config)),
        judge=lambda vitals: judge(vitals, board.beats(), time.monotonic_ns() // 1_000_000),
        lag_bounds_s=LAG_BOUNDS_S,
        allowed=config.web.allowed_networks,
        version=__version__,
    )
    return [*eye_routes(eyes), *webhook_routes(config)]


def _vitals(config: Config) -> Vitals | None:
    try:
        return read_vitals(config.storage.path, datetime.now(UTC), reserve_octets=config.max_size)
    except (sqlite3.Error, OSError):
        return None


def _seldom(look: Callable[[], Vitals | None]) -> Callable[[], Vitals | None]:
    """Whoever asks many times a second gets what was seen a moment ago."""
    seen: tuple[float, Vitals | None] | None = None

    def vitals() -> Vitals | None:
        nonlocal seen
        now = time.monotonic()
        if seen is None or now - seen[0] > _LOOKED_AT_S or seen[1] is None:
            seen = (now, look())
        return seen[1]

    return vitals
