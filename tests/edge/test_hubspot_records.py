"""Batch reads of HubSpot that answer in part (207): what was not read is not taken for what is not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from edge.gate_fake import GateFake
from edge.http_stub import HttpStub, say
from edge.hubspot_samples import an_account
from supportrelay.core.errors import CrmDown
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.records import Records

THERE = {"id": "7", "properties": {"email": "kim@acme.example"}}


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def records(error: dict[str, Any]) -> AsyncIterator[Records]:
    """An account whose batches answer with one contact and one error."""
    answer = {"status": "COMPLETE", "results": [THERE], "numErrors": 1, "errors": [error]}
    async with HttpStub(lambda _: say(207, answer)) as stub:
        client = HubSpotClient(an_account(stub.url), GateFake(), now=now)
        yield Records(client, Paths("2026-03"), Lane.MAIL, seats=asyncio.Semaphore(1), now=now)
        await client.aclose()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"category": "OBJECT_NOT_FOUND"}, id="category"),
        pytest.param(
            {"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND", "category": "OBJECT_NOT_FOUND"}, id="both"
        ),
        pytest.param({"message": "Could not get some objects, they may be deleted or not exist."}, id="words"),
        pytest.param({"message": "No company is associated with contact 12."}, id="no-association"),
    ],
)
async def test_what_is_not_found_is_not_there(error: dict[str, Any]) -> None:
    async with records(error) as account:
        assert await account.many("contacts", ["kim@acme.example", "no@acme.example"], ["email"]) == [THERE]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"category": "INTERNAL_ERROR", "message": "object not found in cache"}, id="another-category"),
        pytest.param({"message": "internal error"}, id="words-alone"),
        pytest.param({"status": "error"}, id="nothing-told"),
        pytest.param({}, id="empty"),
    ],
)
async def test_what_failed_otherwise_is_not_known(error: dict[str, Any]) -> None:
    async with records(error) as account:
        with pytest.raises(CrmDown, match="a part of a batch was not read"):
            await account.many("contacts", ["kim@acme.example", "no@acme.example"], ["email"])
