"""The store's contract between processes: one ticket a thread, nothing committed is lost, writers take turns."""

import asyncio
import os
import signal

from contracts.store_processes import Start, line_of, start, tell
from contracts.store_samples import a_lease, a_mail, after
from supportrelay.edge.store import SqliteStore

__all__ = ["start"]  # the fixture


async def test_two_mails_of_one_new_thread_in_two_processes_make_one_ticket(store: SqliteStore, start: Start) -> None:
    workers = await asyncio.gather(start("one"), start("two"))

    for number in range(200):
        for worker in workers:
            tell(worker, f"settle thread{number}\n")
        one, other = await asyncio.gather(*(line_of(worker) for worker in workers))
        assert one == other != ""

    assert len(await store.tickets_list()) == 200


async def test_what_was_accepted_survives_a_killed_process(store: SqliteStore, start: Start) -> None:
    """RELIABILITY F02, F03: kill -9 in the middle of the load, three times."""
    accepted: set[str] = set()
    for life in range(3):
        worker = await start(f"life{life}")
        tell(worker, "accept 1000\n")
        accepted.update([await line_of(worker) for _ in range(40 + life * 17)])
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.stdout is not None
        # What it had printed before it died was committed too.
        accepted.update((await worker.stdout.read()).decode().rpartition("\n")[0].split())
        await worker.wait()

    reopened = SqliteStore(store.path)
    try:
        claimed = await reopened.claim_messages(after(10), a_lease(until=60), 10_000)
    finally:
        await reopened.aclose()
    assert accepted <= {message.accepted.queue_id for message in claimed}
    assert all(m.accepted.octets == m.accepted.queue_id.encode() * 300 for m in claimed)


async def test_writers_of_several_processes_take_turns(store: SqliteStore, start: Start) -> None:
    """Without turns SQLite's polled lock lets one writer wait for a second and more."""
    workers = await asyncio.gather(*(start(f"w{number}") for number in range(3)))
    for worker in workers:
        tell(worker, "accept 200\n")
    loop = asyncio.get_running_loop()
    longest = 0.0
    for number in range(100):
        began = loop.time()
        await store.accept(a_mail(f"mine-{number}"), None)
        longest = max(longest, loop.time() - began)
    for worker in workers:
        for _ in range(200):
            await line_of(worker)

    assert longest < 1.0
    assert len(await store.claim_messages(after(1), a_lease(), 10_000)) == 700
