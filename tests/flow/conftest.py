"""A store on a real disk, with a desk beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flow.desk_world import World
from supportrelay.edge.store import SqliteStore


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A store, a desk and a clock."""
    store = SqliteStore(tmp_path / "relay.db", create=True)
    yield World(store)
    await store.aclose()
