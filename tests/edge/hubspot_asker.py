"""A process that asks HubSpot as fast as it may, through the store's gate: URL STORE SECONDS.

Prints ``ready``, begins with a line on standard input, and prints how many calls it made and how many were refused.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from edge.hubspot_samples import an_account
from supportrelay.core.errors import CrmDown
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.store import SqliteStore


async def main(url: str, path: str, seconds: float) -> None:
    store = SqliteStore(Path(path))
    account = an_account(url, calls_per_10s=60, searches_per_s=4)
    client = HubSpotClient(account, store, now=lambda: datetime.now(UTC))
    paths = Paths("2026-03")
    made = refused = 0
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    until = monotonic() + seconds

    async def ask(lane: Lane, method: str, target: str) -> None:
        nonlocal made, refused
        while monotonic() < until:
            try:
                await client.request(method, target, lane=lane)
                made += 1
            except CrmDown as exc:
                if not exc.is_closed:
                    raise
                refused += 1  # its turn was too far ahead
                await asyncio.sleep(0.05)

    general, search = ("GET", paths.owners()), ("POST", paths.search("tickets"))
    async with asyncio.TaskGroup() as asking:
        for lane in (Lane.MAIL, Lane.MAIL, Lane.TICKETS, Lane.TICKETS, Lane.BACKGROUND):
            asking.create_task(ask(lane, *general))
        for lane in (Lane.MAIL, Lane.MAIL, Lane.TICKETS):
            asking.create_task(ask(lane, *search))
    print(made, refused, flush=True)
    await client.aclose()
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
