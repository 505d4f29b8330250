"""Every store and every directory, for the suites that each of them must pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supportrelay.edge.store import SqliteStore


@pytest.fixture(params=["sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An empty store on a real disk. PostgreSQL becomes a second parameter here."""
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()
