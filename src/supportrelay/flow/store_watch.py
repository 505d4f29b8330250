"""store_watch: tell a person when the disk has refused us (RELIABILITY F10)."""

import asyncio

from supportrelay.core.alarm import AlarmKind
from supportrelay.core.ports import StoreHealth
from supportrelay.flow.alarms import alarm
from supportrelay.flow.office import Office

__all__ = ["look_at_store", "watch_store"]

_LOOK_S = 10.0


async def watch_store(office: Office, health: StoreHealth) -> None:
    """Look every few seconds; never ends."""
    while True:
        await look_at_store(office, health)
        await asyncio.sleep(_LOOK_S)


async def look_at_store(office: Office, health: StoreHealth) -> None:
    """Raise what there is to tell. A disk that refuses cannot take an alarm: it is told when that is over."""
    if health.past is not None:
        (detail, lasted_s), health.past = health.past, None
        await alarm(office, AlarmKind.STORE_BROKEN, "disk", text=detail, lasted_s=int(lasted_s))
