"""Worker processes on the same store, for the suites that need real ones."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from supportrelay.edge.store import SqliteStore

__all__ = ["Start", "line_of", "start", "tell"]

TESTS = Path(__file__).parents[1]
Start = Callable[[str], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(store: SqliteStore) -> AsyncIterator[Start]:
    """Starts a worker process on the same store."""
    workers = []

    async def begin(name: str) -> asyncio.subprocess.Process:
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "contracts.store_worker",
            str(store.path),
            name,
            cwd=TESTS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        workers.append(worker)
        assert await line_of(worker) == "ready"
        return worker

    yield begin
    for worker in workers:
        if worker.returncode is None:
            tell(worker, "\n")
            await worker.wait()


def tell(worker: asyncio.subprocess.Process, text: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(text.encode())


async def line_of(worker: asyncio.subprocess.Process) -> str:
    assert worker.stdout is not None
    return (await worker.stdout.readline()).decode().strip()
