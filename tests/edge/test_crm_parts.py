"""What the configuration says of the CRM counts in the running parts, and after a reload nothing older does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.http_stub import HttpStub, say
from hubspot_double.process import HubSpotDouble
from supportrelay import worker_process
from supportrelay.bootstrap import open_parts
from supportrelay.bootstrap_crm import open_crm
from supportrelay.config import Config, load
from supportrelay.core.mailbox import parse_path
from supportrelay.edge.crm.remembering import RememberingDirectory
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.store import SqliteStore

T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
STAGES = {"NEW": ["1"], "WAITING": ["2"], "CLOSED": ["4"]}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


def config_of(folder: Path, crm: dict[str, Any]) -> Config:
    address = {"address": "support@desk.test", "name": "desk", "sender": {"address": "r@desk.test"}}
    written = {
        "addresses": [address | {"allmember": ["all@desk.test"]}],
        "internal_domains": ["desk.test"],
        "admins": ["it@desk.test"],
        "outbound": {"outbox": True},
        "storage": {"url": f"sqlite:///{folder}/relay.db"},
        "crm": crm,
    }
    file = folder / "supportrelay.yaml"
    file.write_text(yaml.safe_dump(written))
    return load(file, {})


async def test_each_poll_looks_back_as_far_as_configured(store: SqliteStore, tmp_path: Path) -> None:
    newest = T0 + timedelta(minutes=30)
    values = {"hs_pipeline": "0", "hs_pipeline_stage": "1", "hs_lastmodifieddate": newest.isoformat()}
    page = {"total": 1, "results": [{"id": "901", "properties": values}]}
    async with HttpStub(lambda _: say(200, page)) as stub:
        account = {"kind": "hubspot", "token": "pat-na1-test", "base_url": stub.url}
        board = {**account, "pipeline": "0", "stages": STAGES, "search_lag": "1m"}
        config = config_of(tmp_path, {"tickets": board})
        crm = open_crm(config, store, PublicDomains(()), lambda: datetime.now(UTC))
        assert crm.desk is not None
        told = await crm.desk.changed(T0)
        await crm.aclose()

    assert told.until == newest - timedelta(minutes=1)


async def test_leaving_does_not_wait_for_a_long_look_at_the_board(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_DESK_FINISH_S", 0.05)

    async def never(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with HttpStub(lambda _: never) as stub:
        account = {"kind": "hubspot", "token": "pat-na1-test", "base_url": stub.url, "timeout": "60s"}
        config = config_of(tmp_path, {"tickets": {**account, "pipeline": "0", "stages": STAGES}})
        async with open_parts(config, instance="here", holder="here:1:a") as parts:
            outside = worker_process._Outside(parts)
            outside.start()
            await stub.asks(1)
            async with asyncio.timeout(5):
                await outside.leave()


async def test_after_a_reload_nobody_reads_mail_by_the_old_settings(store: SqliteStore, tmp_path: Path) -> None:
    """Somebody was taken out of `owner_properties`: not in five minutes, now; and nothing asks the old way any more."""
    owners = ["ann@staff.test", "ben@staff.test"]
    with HubSpotDouble.start(relay_properties=True) as double:
        double.seed(
            {"companies": [{"name": "Acme", "domain": "acme.test", "deals": [{"name": "One", "owners": owners}]}]}
        )

        def config(*properties: str) -> Config:
            account = {"kind": "hubspot", "token": double.token, "base_url": double.base_url}
            return config_of(tmp_path, {"directory": account | {"owner_properties": list(properties)}})

        async def found() -> tuple[str, ...]:
            answer = await parts.crm.directory.find(parse_path("kim@acme.test"))
            return answer.companies[0].deals[0].owners

        async with open_parts(config("hubspot_owner_id", "relay_owner_2"), instance="here", holder="here:1:a") as parts:
            parts.crm.start()
            assert await found() == tuple(owners)
            former = parts.crm.directory

            await parts.reload(config("hubspot_owner_id"))

            assert await found() == ("ann@staff.test",)
            assert isinstance(former, RememberingDirectory)
            assert former._refreshing is None
