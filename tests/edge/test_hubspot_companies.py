"""Companies of HubSpot while several look-ups are under way."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from supportrelay.edge.crm.hubspot.companies import Companies
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.records import Records
from supportrelay.edge.crm.hubspot.settings import DirectorySettings

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class SlowAccount:
    """Answers searches when told to; every domain has its company, whose id is its first letter."""

    paths = Paths("2026-03")

    def __init__(self) -> None:
        self.searched: asyncio.Queue[str] = asyncio.Queue()
        self.may_answer = asyncio.Event()

    async def post(self, _path: str, body: Mapping[str, Any]) -> Any:
        domains = body["filterGroups"][0]["filters"][0]["values"]
        for one in domains:
            self.searched.put_nowait(one)
        await self.may_answer.wait()
        found = [{"id": one[0], "properties": {"name": one, "domain": one}} for one in domains]
        return {"results": found}


async def test_a_look_up_keeps_its_hits_when_another_one_lets_go_of_them() -> None:
    """Two people of one company write at once: neither may be taken for a stranger."""
    account = SlowAccount()
    records, companies = cast("Records", account), Companies(DirectorySettings())
    account.may_answer.set()
    await companies.by_domain(records, ["acme.example"], NOW)  # the first look-up goes on to the deals
    account.may_answer.clear()

    second = asyncio.create_task(companies.by_domain(records, ["acme.example", "other.example"], NOW))
    assert [await account.searched.get() for _ in range(2)] == ["acme.example", "other.example"]
    companies.let_go(["acme.example"])  # the first one is through
    account.may_answer.set()

    found = await second
    assert {domain: [one.name for one in hits] for domain, hits in found.items()} == {
        "acme.example": ["acme.example"],
        "other.example": ["other.example"],
    }


async def test_a_look_up_keeps_its_hits_when_they_grow_old_under_way() -> None:
    account = SlowAccount()
    records, companies = cast("Records", account), Companies(DirectorySettings())
    account.may_answer.set()
    await companies.by_domain(records, ["acme.example"], NOW)
    account.may_answer.clear()

    second = asyncio.create_task(companies.by_domain(records, ["acme.example", "other.example"], NOW))
    assert [await account.searched.get() for _ in range(2)] == ["acme.example", "other.example"]
    third = asyncio.create_task(companies.by_domain(records, ["new.example"], NOW + timedelta(minutes=2)))
    assert await account.searched.get() == "new.example"
    account.may_answer.set()

    assert set(await second) == {"acme.example", "other.example"}
    assert set(await third) == {"new.example"}
