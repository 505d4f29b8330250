"""A worker process for the store's contract: one word a line in, one line out.

accept N          accept N messages one after the other; prints each queue id once it is committed
settle NAME ROOT  accept and settle a mail of the thread ROOT; prints the number of its ticket
enter N           book N calls at one instant, ten at a time; prints when each may be made, in microseconds from then
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contracts.store_samples import T0, a_mail, an_opening_settlement
from supportrelay.core.ports import KnownId, Lease, WhereFrom
from supportrelay.edge.store import SqliteStore


async def accept(store: SqliteStore, name: str, count: int) -> None:
    for number in range(count):
        queue_id = f"{name}-{number}"
        await store.accept(a_mail(queue_id, octets=queue_id.encode() * 300), None)
        print(queue_id, flush=True)


async def settle(store: SqliteStore, name: str, root: str) -> int:
    """One of two answers to a mail that never came here: the anchor is all they have in common."""
    lease = Lease(f"here:{name}:a", datetime.now(UTC) + timedelta(seconds=30))
    queue_id = f"{root}-{name}"
    await store.accept(a_mail(queue_id), lease)
    where_from = WhereFrom(duplicate_key=queue_id, references=(f"<{root}@acme.example>",))
    while True:
        gathered = await store.gather(where_from)
        known = {"lease": lease, "where_from": where_from, "fingerprint": gathered.fingerprint}
        settlement = an_opening_settlement(
            queue_id, ids=(KnownId(f"<{root}@acme.example>", "anchor"),), deliveries=(), **known
        )
        if gathered.hits:
            return gathered.hits[0].ticket.id
        settled = await store.settle(settlement)
        if not settled.conflict:
            assert settled.ticket_id is not None
            return settled.ticket_id
        assert settled.conflict == "changed"


async def enter(store: SqliteStore, count: int) -> None:
    for _ in range(count // 10):
        booked = await asyncio.gather(
            *(
                store.enter("hubspot", every_us=1_000_000, burst=3, daily=None, now=T0, most_wait_us=10**9)
                for _ in range(10)
            )
        )
        for at in booked:
            print(round((at - T0).total_seconds() * 1_000_000), flush=True)


async def main(path: str, name: str) -> None:
    store = SqliteStore(Path(path))
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        if words[0] == "accept":
            await accept(store, name, int(words[1]))
        elif words[0] == "enter":
            await enter(store, int(words[1]))
        else:
            print(await settle(store, name, words[1]), flush=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
