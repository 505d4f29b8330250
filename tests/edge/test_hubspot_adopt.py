"""Open tickets that are on HubSpot's board before us: what is read of them, and that later mail finds them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.desk_boards import SETTINGS, HubSpotBoard, a_mail, an_opening, hubspot_desk
from contracts.store_samples import from_ids
from edge.gate_fake import GateFake
from edge.http_stub import HttpStub, say
from edge.hubspot_samples import T0, an_account
from hubspot_double.process import HubSpotDouble
from supportrelay.core.adoption import AdoptableTicket
from supportrelay.core.errors import CrmRefusal
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot.adopt import AdoptionReader
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import HubSpotAccount
from supportrelay.edge.store import SqliteStore

SEED = {
    "owners": ["mori@relay.test"],
    "companies": [
        {
            "name": "Acme",
            "domain": "acme.example",
            "contacts": ["Taro@acme.example", "hana@acme.example"],
            "deals": [{"name": "Big one", "stage": "open"}],
        },
        {"name": "Beta", "domain": "beta.example", "contacts": ["kim@beta.example"]},
    ],
}


@pytest.fixture
def double() -> Iterator[HubSpotDouble]:
    with HubSpotDouble.start(SEED, relay_properties=True, burst_per_10s=0, searches_per_s=0) as started:
        yield started
        started.assert_no_violations()


@pytest.fixture(params=["2026-03", "legacy"])
async def board(request: pytest.FixtureRequest, double: HubSpotDouble) -> AsyncIterator[HubSpotBoard]:
    async with hubspot_desk(double, request.param) as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def a_reader(double: HubSpotDouble, version: str = "2026-03") -> AsyncIterator[AdoptionReader]:
    account = HubSpotAccount(double.token, double.base_url, version, calls_per_10s=100_000, searches_per_s=10_000)
    client = HubSpotClient(account, GateFake(), now=_now)
    yield AdoptionReader(client, Paths(version), SETTINGS, now=_now)
    await client.aclose()


async def adoptable(double: HubSpotDouble, version: str = "2026-03") -> dict[str, AdoptableTicket]:
    async with a_reader(double, version) as reader:
        return {ticket.external_id: ticket async for ticket in reader.tickets()}


def make(double: HubSpotDouble, links: dict[str, list[str]] | None = None, **values: str) -> str:
    known = {"subject": "Printer on fire", "hs_pipeline": "0", "hs_pipeline_stage": "1"}
    return str(double.make("tickets", known | values, links)["id"])


@pytest.mark.parametrize("version", ["2026-03", "legacy"])
async def test_a_ticket_is_read_with_its_people_company_deals_and_mails(double: HubSpotDouble, version: str) -> None:
    contacts = {one["properties"]["email"].lower(): one["id"] for one in double.records("contacts")}
    companies = {one["properties"]["name"]: one["id"] for one in double.records("companies")}
    (deal,) = [one["id"] for one in double.records("deals")]
    links = {
        "contacts": [contacts["taro@acme.example"], contacts["hana@acme.example"]],
        "companies": [companies["Acme"]],
        "deals": [deal],
    }
    ticket = make(double, links, hs_pipeline_stage="3")
    async with hubspot_desk(double, version) as board:
        await board.desk.record(ticket, a_mail(message_id="<two@acme.example>", text="ok"), is_repeat=False)
    double.make(
        "emails",
        {"hs_timestamp": "2026-11-20T00:00:00Z", "hs_email_text": "hi", "hs_email_message_id": "<one@acme.example>"},
        {"tickets": [ticket]},
    )
    double.make("emails", {"hs_timestamp": "2026-11-21T00:00:00Z", "hs_email_text": "no id"}, {"tickets": [ticket]})

    found = (await adoptable(double, version))[ticket]

    assert (found.stage, found.stage_id, found.subject, found.key) == (Stage.WAITING, "3", "Printer on fire", "")
    assert found.contacts == ("taro@acme.example", "hana@acme.example")
    assert (found.company_id, found.company_name, found.deal_ids) == (companies["Acme"], "Acme", (deal,))
    assert found.message_ids == ("<one@acme.example>", "<two@acme.example>")
    assert found.created_at <= found.updated_at


async def test_closed_tickets_and_other_pipelines_are_left_alone(double: HubSpotDouble) -> None:
    stages = [{"id": "x1", "label": "One", "ticketState": "OPEN"}]
    double.seed({"pipelines": {"tickets": [{"id": "x", "label": "Other", "stages": stages}]}})
    make(double, hs_pipeline_stage="4")
    make(double, hs_pipeline="x", hs_pipeline_stage="x1")
    ours = make(double)

    assert list(await adoptable(double)) == [ours]


async def test_hundreds_of_tickets_are_read_page_by_page_without_a_hole(double: HubSpotDouble) -> None:
    """Another ticket closes while they are read: with a cursor, one would slip over the edge of the page."""
    made = [make(double, subject=f"{n}") for n in range(430)]
    found = []
    async with a_reader(double) as reader:
        async for ticket in reader.tickets():
            found.append(ticket.external_id)
            if len(found) == 100:
                double.hand_move(made[0], "4")

    assert found == made
    searches = [one for one in double.log() if one["path"].endswith("/tickets/search")]
    assert len(searches) == 3


async def test_an_adopted_ticket_is_found_by_its_mail_and_carries_our_key(
    double: HubSpotDouble, board: HubSpotBoard, store: SqliteStore
) -> None:
    contact = next(one["id"] for one in double.records("contacts") if one["properties"]["email"] == "kim@beta.example")
    ticket = make(double, {"contacts": [contact]})
    await board.desk.record(ticket, a_mail(message_id="<a@beta.example>"), is_repeat=False)
    found = list((await adoptable(double)).values())

    adoption = await store.adopt(found, _now(), address="support", domain_of=lambda _: "beta.example")
    (adopted,) = adoption.adopted
    async with a_reader(double) as reader:
        await reader.mark(adopted.external_id, adopted.key)

    (hit,) = (await store.gather(from_ids("<a@beta.example>"))).hits
    assert (hit.ticket.id, hit.ticket.customer) == (adopted.ticket_id, "kim@beta.example")
    by_key = await board.desk.find(adopted.key)
    assert by_key is not None
    assert by_key.external_id == ticket
    (again,) = (await adoptable(double)).values()
    assert again.key == adopted.key
    assert (await store.adopt([again], _now(), address="support", domain_of=lambda _: "")).adopted == ()


async def test_a_key_that_another_ticket_has_is_refused(double: HubSpotDouble, board: HubSpotBoard) -> None:
    taken = await board.desk.open(an_opening())
    ticket = make(double)
    async with a_reader(double) as reader:
        with pytest.raises(CrmRefusal):
            await reader.mark(ticket, taken.key)


async def test_tickets_with_nothing_and_with_odd_values_are_read(double: HubSpotDouble) -> None:
    odd = double.make("contacts", {"firstname": "No address"})["id"]
    bad = double.make("contacts", {"email": "not an address"})["id"]
    ticket = make(double, {"contacts": [odd, bad]}, subject="")
    mails = [f"<{n}@x.example>" for n in ("a b", "<<>>")] + ["no-at", ""]
    for message_id in mails:
        values = {"hs_timestamp": "2026-11-21T00:00:00Z", "hs_email_message_id": message_id}
        double.make("emails", values, {"tickets": [ticket]})
    found = (await adoptable(double))[ticket]

    assert (found.contacts, found.company_id, found.deal_ids, found.message_ids) == ((), "", (), ())


async def test_a_search_that_never_moves_on_ends() -> None:
    record: dict[str, Any] = {
        "id": "1",
        "properties": {"hs_pipeline": "0", "hs_pipeline_stage": "1", "hs_lastmodifieddate": T0.isoformat()},
        "createdAt": T0.isoformat(),
        "updatedAt": T0.isoformat(),
    }
    body = {"total": 10_000, "results": [record] * 200, "status": "COMPLETE"}
    async with HttpStub(lambda asked: say(200, body if asked.target.endswith("/search") else {"results": []})) as stub:
        account = replace(an_account(stub.url), searches_per_s=100_000, calls_per_10s=1_000_000)
        client = HubSpotClient(account, GateFake(), now=_now)
        reader = AdoptionReader(client, Paths("2026-03"), SETTINGS, now=_now)
        found = [ticket.external_id async for ticket in reader.tickets()]
        await client.aclose()

    assert set(found) == {"1"}
    assert sum(asked.target.endswith("/search") for asked in stub.asked) == 2
