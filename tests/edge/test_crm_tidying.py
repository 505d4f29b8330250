"""Old answers of a CRM go away by themselves."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from supportrelay.edge.crm.tidying import AnswerTidier
from supportrelay.edge.store import SqliteStore

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_who_never_writes_again_is_forgotten_after_90_days(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    old: dict[str, Any] = {f"u{n}@gone.example": {"companies": []} for n in range(450)}
    await store.remember("customer", old, NOW - 91 * DAY, NOW - 90 * DAY)
    await store.remember("customer", {"kim@acme.example": {"companies": []}}, NOW - 89 * DAY, NOW - 88 * DAY)
    commits = store.commits

    assert await AnswerTidier(store, now=lambda: NOW).tidy() == 450

    assert store.commits == commits + 3, "in small pieces: nobody waits long for his turn to write"
    assert store.recall("customer", "u1@gone.example") is None
    assert store.recall("customer", "kim@acme.example") is not None
    await store.aclose()


class Forgetful:
    """Says when it was asked; the first time it cannot."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[datetime] = asyncio.Queue()

    async def drop_answers(self, before: datetime) -> int:
        self.asked.put_nowait(before)
        if before == NOW - 90 * DAY and self.asked.qsize() == 1:
            raise ValueError("ours")
        return 0


async def test_it_tidies_again_and_again_whatever_breaks() -> None:
    memory, soon = Forgetful(), timedelta(milliseconds=1)
    tidier = AnswerTidier(memory, now=lambda: NOW, first_after=soon, every=soon)  # type: ignore[arg-type]
    tidier.start()

    assert [await memory.asked.get() for _ in range(3)] == [NOW - 90 * DAY] * 3
    await tidier.aclose()
