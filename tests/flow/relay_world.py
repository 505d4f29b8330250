"""A whole relay in one process on a clock of its own: real store, real SMTP to a real sink, work done when told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow.desk_world import Clock
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import mail
from journeys.traffic import SUPPORT, arrivals
from smtp_sink import SmtpSink
from supportrelay import bootstrap
from supportrelay.admin.operations import dispatch
from supportrelay.bootstrap import Parts, context_of, open_parts
from supportrelay.config import load
from supportrelay.core.delivery import DeliveryState
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.edge.store import SqliteStore
from supportrelay.flow.accept import Accept
from supportrelay.flow.worker import Worker

__all__ = ["RelayWorld", "a_relay_world"]

_NUMBERS = count(1)


class RelayWorld:
    """Accepts mail, and works on what is due when `work` is called."""

    def __init__(self, parts: Parts, sink: SmtpSink, clock: Clock) -> None:
        self.parts = parts
        self.sink = sink
        self.clock = clock
        self.worker = Worker(parts.office)

    async def ask(self, op: str, **arguments: Any) -> Any:
        context = context_of(self.parts, wake=lambda: None, who="person:test")
        answer = await dispatch(context, op, arguments)
        assert answer["ok"], answer
        return answer["result"]

    async def accept(self, sender: str, body: str = "Hello") -> str:
        """Take a mail at the door and carry it on; its Message-ID."""
        message_id = f"<{next(_NUMBERS)}@mail.example>"
        octets = mail(
            sender=sender,
            to=SUPPORT,
            subject=message_id,
            message_id=message_id,
            body=body,
            date=self.clock().timestamp(),
        )
        door = Accept(self.parts.office, self.worker.go_on, self.worker.is_full, self.worker.has_room)
        reply = await door.take(Envelope(sender, (SUPPORT,), Peer("127.0.0.2", "mail.example")), octets)
        assert reply.is_positive
        await self.work()
        return message_id

    async def work(self) -> None:
        """Everything that is due now, to its end."""
        while True:
            if self.worker._tasks:
                await asyncio.wait(self.worker._tasks)
            await self.worker._sweep()
            if not await self.worker._pick_up() and not self.worker._tasks:
                return

    async def go(self, **span: float) -> None:
        """Let time pass, and do what is due then."""
        self.clock.at += timedelta(**span)
        await self.work()

    async def life(self, message_id: str) -> dict[str, Any]:
        lives = await self.parts.store.trace(message_id)
        return dict(lives[0])

    async def copies(self, message_id: str) -> dict[str, tuple[str, list[str]]]:
        """``recipient -> (state, how its attempts ended)``."""
        return {
            copy["recipient"]: (copy["state"], [one["outcome"] for one in copy["attempts_made"]])
            for copy in (await self.life(message_id))["deliveries"]
        }

    async def due_at(self, message_id: str) -> datetime:
        """When the one copy that waits is due."""
        waiting = [
            datetime.fromisoformat(copy["due_at"])
            for copy in (await self.life(message_id))["deliveries"]
            if copy["state"] == DeliveryState.DEFERRED
        ]
        (found,) = waiting
        return found

    def arrived(self, message_id: str) -> dict[str, int]:
        """``recipient -> how often``."""
        counted = arrivals(self.sink.messages)
        return {recipient: times for (one, recipient), times in counted.items() if one == message_id}


@asynccontextmanager
async def a_relay_world(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[RelayWorld]:
    async with SmtpSink() as sink:
        clock = Clock()
        patch.setattr(bootstrap, "_clock", clock)
        path = folder / "supportrelay.yaml"
        written = {**desk_config(sink.port), "storage": {"url": "sqlite:///relay.db"}}
        path.write_text(yaml.safe_dump(written, allow_unicode=True))
        config = load(path)
        store = SqliteStore(config.storage.path, create=True)
        instance = await store.instance()
        await store.aclose()
        async with open_parts(config, instance=instance, holder=f"{instance}:1:a") as parts:
            world = RelayWorld(parts, sink, clock)
            companies = yaml.safe_dump({"companies": COMPANIES}, allow_unicode=True)
            await world.ask("crm.import", text=companies, kind="yaml", name="companies.yaml")
            yield world
