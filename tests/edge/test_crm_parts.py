"""What the configuration says of the CRM counts in the running parts, and after a reload nothing older does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.http_stub import HttpStub, say
from supportrelay.bootstrap_crm import open_crm
from supportrelay.config import Config, load
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.store import SqliteStore

T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
STAGES = {"NEW": ["1"], "WAITING": ["2"], "CLOSED": ["4"]}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


def config_of(folder: Path, url: str, **tickets: Any) -> Config:
    account = {"kind": "hubspot", "token": "pat-na1-test", "base_url": url}
    address = {"address": "support@desk.test", "name": "desk", "sender": {"address": "r@desk.test"}}
    written = {
        "addresses": [address | {"allmember": ["all@desk.test"]}],
        "internal_domains": ["desk.test"],
        "admins": ["it@desk.test"],
        "outbound": {"outbox": True},
        "crm": {"tickets": {**account, "pipeline": "0", "stages": STAGES, **tickets}},
    }
    file = folder / "supportrelay.yaml"
    file.write_text(yaml.safe_dump(written))
    return load(file, {})


async def test_each_poll_looks_back_as_far_as_configured(store: SqliteStore, tmp_path: Path) -> None:
    newest = T0 + timedelta(minutes=30)
    values = {"hs_pipeline": "0", "hs_pipeline_stage": "1", "hs_lastmodifieddate": newest.isoformat()}
    page = {"total": 1, "results": [{"id": "901", "properties": values}]}
    async with HttpStub(lambda _: say(200, page)) as stub:
        config = config_of(tmp_path, stub.url, search_lag="1m")
        crm = open_crm(config, store, PublicDomains(()), lambda: datetime.now(UTC))
        assert crm.desk is not None
        told = await crm.desk.changed(T0)
        await crm.aclose()

    assert told.until == newest - timedelta(minutes=1)
