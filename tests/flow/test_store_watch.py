"""A disk that refused us is told once it writes again (RELIABILITY F10)."""

from pathlib import Path

from flow.own_world import OwnWorld
from supportrelay.core.alarm import AlarmKind
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store.wellness import Wellness
from supportrelay.flow.store_watch import look_at_store


async def test_f10_what_the_disk_did_is_told_when_it_is_over_and_once(tmp_path: Path) -> None:
    """While it lasts there is no place for an alarm but the log."""
    store = SqliteStore(tmp_path / "relay.db", create=True)
    world = OwnWorld(store)
    health = Wellness(tmp_path)
    health.failed(OSError(5, "Input/output error"))

    await look_at_store(world.office(), health)
    assert await store.owed_alarms(world.clock(), 10) == []
    health.succeeded()
    await look_at_store(world.office(), health)
    await look_at_store(world.office(), health)

    (owed,) = await store.owed_alarms(world.clock(), 10)
    assert owed.alarm.kind is AlarmKind.STORE_BROKEN
    assert "Input/output error" in str(owed.alarm.facts["text"])
    assert owed.count == 1
    await store.aclose()
