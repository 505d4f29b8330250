"""HubSpot as a directory: what only HubSpot does, against a server that is as unkind as its documentation allows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.directory_worlds import HubSpotWorld
from hubspot_double.process import HubSpotDouble
from supportrelay.core.directory import DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.errors import CrmDown
from supportrelay.core.mailbox import parse_path
from supportrelay.edge.crm.hubspot.companies import a_label, spellings
from supportrelay.edge.crm.hubspot.owners import Standing
from supportrelay.edge.crm.hubspot.settings import DirectorySettings
from supportrelay.edge.store import SqliteStore


class Clock:
    """The real one, set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def double() -> Iterator[HubSpotDouble]:
    with HubSpotDouble.start(relay_properties=True) as started:
        yield started


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def hubspot(store: SqliteStore, double: HubSpotDouble, clock: Clock) -> AsyncIterator[HubSpotWorld]:
    before = double.look("settings")
    made = HubSpotWorld(store, double, now=clock)
    yield made
    await made.aclose()
    double.set(**before)


async def ask(hubspot: HubSpotWorld, address: str) -> DirectoryAnswer:
    return await hubspot.directory.find(parse_path(address))


async def names(hubspot: HubSpotWorld, address: str) -> list[str]:
    return [company.name for company in (await ask(hubspot, address)).companies]


Asked = Callable[..., HubSpotWorld]


@pytest.fixture
async def asked_by(store: SqliteStore, hubspot: HubSpotWorld) -> AsyncIterator[Asked]:
    """The same account, asked by other settings."""
    made = []

    def make(**settings: Any) -> HubSpotWorld:
        made.append(HubSpotWorld(store, hubspot.double, settings=DirectorySettings(**settings)))
        return made[-1]

    yield make
    for one in made:
        await one.directory.aclose()


def calls(hubspot: HubSpotWorld) -> dict[str, int]:
    counted: dict[str, int] = {}
    for one in hubspot.double.log():
        counted[one["operation"]] = counted.get(one["operation"], 0) + 1
    return counted


# --- companies


async def test_every_company_of_a_domain_is_found_lowest_id_first(hubspot: HubSpotWorld) -> None:
    """`domain` is not unique (CRM_FACTS trap 6)."""
    await hubspot.fill(
        {"name": "Zeta", "domain": "acme.example"},
        {"name": "Main", "domain": "ACME.example"},
        {"name": "Second", "domain": "other.example", "additional_domains": ["x.example", "Acme.Example", "y.example"]},
    )

    assert await names(hubspot, "a@acme.example") == ["Zeta", "Main", "Second"]
    assert await names(hubspot, "a@y.example") == ["Second"]


async def test_what_contains_token_finds_beside_it_is_left_out(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(
        {"name": "Alike", "domain": "one.test", "additional_domains": ["acme-tools.example", "shop.acme.example"]},
        {"name": "Acme", "domain": "two.test", "additional_domains": ["b.test", "acme.example"]},
    )

    assert await names(hubspot, "a@acme.example") == ["Acme"]
    assert await names(hubspot, "a@tools.example") == []


async def test_a_domain_may_be_written_in_its_own_script(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(
        {"name": "Umlaut", "domain": "müller.example"},
        {"name": "A-label", "domain": "xn--rksmrgs-5wao1o.example"},
        {"name": "Second", "domain": "b.example", "additional_domains": ["a.example", "bücher.example"]},
    )

    assert await names(hubspot, "a@xn--mller-kva.example") == ["Umlaut"]
    assert await names(hubspot, "a@räksmörgås.example") == ["A-label"]
    assert await names(hubspot, "a@bücher.example") == ["Second"]


def test_odd_domains_are_compared_as_they_are() -> None:
    assert a_label(" Acme.EXAMPLE. ") == "acme.example"
    assert a_label("ü" * 70 + ".example") == "ü" * 70 + ".example"
    assert spellings("xn--a.example") == ("xn--a.example",)


async def test_many_hits_come_in_pages(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(*({"name": f"C{n}", "domain": "many.example"} for n in range(205)))

    assert len(await names(hubspot, "a@many.example")) == 205
    assert calls(hubspot)["companies_search"] == 2


async def test_only_companies_that_have_to_do_with_us_count(hubspot: HubSpotWorld, asked_by: Asked) -> None:
    await hubspot.fill(
        {"name": "Lead", "domain": "acme.example", "properties": {"lifecyclestage": "lead"}},
        {"name": "Customer", "domain": "acme.example", "properties": {"lifecyclestage": "customer"}},
        {
            "name": "Nothing to us",
            "domain": "beta.example",
            "contacts": ["ann@beta.example"],
            "properties": {"lifecyclestage": "other"},
        },
    )
    filtered = asked_by(filter_property="lifecyclestage", filter_values=("Customer", "opportunity"))

    assert await names(filtered, "a@acme.example") == ["Customer"]
    answer = await ask(filtered, "ann@beta.example")
    assert (answer.companies, answer.matched_by, answer.is_known_contact) == ((), MatchedBy.NOTHING, True)


async def test_a_sender_with_hundreds_of_labels_costs_one_search(hubspot: HubSpotWorld) -> None:
    await hubspot.fill({"name": "Deep", "domain": "deep.example"})
    labels = ".".join(["a"] * 100)

    answer = await ask(hubspot, f"x@{labels}.deep.example")

    assert (answer.matched_by, len(answer.companies)) == (MatchedBy.PARENT_DOMAIN, 1)
    assert calls(hubspot)["companies_search"] == 1


async def test_a_merged_company_and_a_merged_deal_answer_as_the_survivor(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(
        {"name": "Old", "domain": "old.example", "contacts": ["a@old.example"], "deals": [{"name": "First"}]},
        {"name": "Kept", "domain": "kept.example", "deals": [{"name": "Second", "owners": ["ann@relay.test"]}]},
    )
    companies, deals = hubspot.ids["companies"], hubspot.ids["deals"]
    hubspot.double.merge("companies", companies["Kept"], companies["Old"])
    hubspot.double.merge("deals", deals["Second"], deals["First"])

    (company,) = (await ask(hubspot, "a@old.example")).companies
    assert (company.id, company.name, [deal.id for deal in company.deals]) == (
        companies["Kept"],
        "Kept",
        [deals["Second"]],
    )
    found = await hubspot.directory.deal(deals["First"])
    assert found is not None
    assert (found[0], found[1].id, found[1].owners) == ("Kept", deals["Second"], ("ann@relay.test",))


async def test_a_deleted_company_or_deal_is_gone(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(
        {"name": "Here", "domain": "here.example", "deals": [{"name": "Kept"}, {"name": "Dropped"}]},
        {"name": "Gone", "domain": "gone.example", "contacts": ["a@gone.example"]},
    )
    hubspot.double.delete("companies", hubspot.ids["companies"]["Gone"])
    hubspot.double.delete("deals", hubspot.ids["deals"]["Dropped"])

    assert await names(hubspot, "a@gone.example") == []
    assert [deal.name for deal in (await ask(hubspot, "a@here.example")).companies[0].deals] == ["Kept"]
    assert await hubspot.directory.deal(hubspot.ids["deals"]["Dropped"]) is None


# --- contacts


async def test_a_contacts_primary_company_stands_for_all(hubspot: HubSpotWorld) -> None:
    await hubspot.fill({"name": "First", "domain": "a.example", "contacts": ["kim@gmail.example"]})
    contact = hubspot.ids["contacts"]["kim@gmail.example"]
    hubspot.double.make("companies", {"name": "Second"}, {"contacts": [contact]})

    answer = await ask(hubspot, "kim@gmail.example")

    assert [company.name for company in answer.companies] == ["First"]
    assert (answer.matched_by, answer.contact_id) == (MatchedBy.CONTACT, contact)
    assert hubspot.contacts.get("kim@gmail.example") == contact


async def test_a_contact_without_a_company_falls_to_the_domain(hubspot: HubSpotWorld) -> None:
    await hubspot.fill({"name": "Acme", "domain": "acme.example"})
    hubspot.double.make("contacts", {"email": "ann@acme.example"})
    hubspot.double.make("contacts", {"email": "ann@gmail.example"})

    found, free = await ask(hubspot, "ann@acme.example"), await ask(hubspot, "ann@gmail.example")

    assert (found.matched_by, found.is_known_contact, bool(found.contact_id)) == (MatchedBy.DOMAIN, True, True)
    assert (free.matched_by, free.is_known_contact, free.companies) == (MatchedBy.NOTHING, True, ())
    assert calls(hubspot)["companies_search"] == 1


# --- deals


async def test_hundreds_of_deals_come_in_pages_and_batches(hubspot: HubSpotWorld) -> None:
    hubspot.double.set(association_page=40)
    await hubspot.fill({"name": "Big", "domain": "big.example", "deals": [{"name": f"D{n}"} for n in range(130)]})

    deals = (await ask(hubspot, "a@big.example")).companies[0].deals

    assert [deal.name for deal in deals] == [f"D{n}" for n in range(130)]
    counted = calls(hubspot)
    assert (counted["associations_batchRead"], counted["deals_batchRead"]) == (4, 3)


@pytest.mark.parametrize("tells", [pytest.param(True, id="by the deal"), pytest.param(False, id="by the stage table")])
async def test_the_state_of_a_deal(hubspot: HubSpotWorld, *, tells: bool) -> None:
    """A stage called "Closed lost" may be open, and its probability says nothing (CRM_FACTS (b))."""
    hubspot.double.set(tells_is_closed=tells)
    pipeline = {
        "id": "odd",
        "label": "Odd",
        "stages": [
            {"id": "odd-lost", "label": "Closed lost", "isClosed": "false", "probability": "0.0"},
            {"id": "odd-won", "label": "Lost", "isClosed": "true", "probability": "1.0"},
            {"id": "odd-half", "label": "Won", "isClosed": "true", "probability": "0.8"},
        ],
    }
    stages = ["open", "won", "lost", "odd-lost", "odd-won", "odd-half"]
    if tells:
        await hubspot.fill(pipelines={"deals": [pipeline]})
    await hubspot.fill({"name": "A", "domain": "a.example", "deals": [{"name": s, "stage": s} for s in stages]})

    deals = (await ask(hubspot, "a@a.example")).companies[0].deals

    assert {deal.name: deal.state for deal in deals} == {
        "open": DealState.OPEN,
        "won": DealState.WON,
        "lost": DealState.LOST,
        "odd-lost": DealState.OPEN,
        "odd-won": DealState.WON,
        "odd-half": DealState.LOST,
    }
    assert calls(hubspot).get("pipelines_list", 0) == (0 if tells else 1)


async def test_a_deal_moved_when_its_stage_did(hubspot: HubSpotWorld) -> None:
    """Not when somebody changed its name afterwards."""
    await hubspot.fill({"name": "A", "domain": "a.example", "deals": [{"name": "First"}]})
    number = hubspot.ids["deals"]["First"]
    made = hubspot.double.records("deals")[0]
    moved = hubspot.double.set_properties("deals", number, {"dealstage": "closedwon"})
    hubspot.double.set_properties("deals", number, {"dealname": "Renamed"})

    (deal,) = (await ask(hubspot, "a@a.example")).companies[0].deals

    assert (deal.name, deal.state) == ("Renamed", DealState.WON)
    assert deal.created_at == datetime.fromisoformat(made["created_at"])
    assert abs(deal.moved_at - datetime.fromisoformat(moved["updated_at"])) < timedelta(milliseconds=2)


# --- owners


async def test_owners_in_the_order_of_the_properties(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(
        {
            "name": "A",
            "domain": "a.example",
            "deals": [
                {"name": "Four", "owners": [f"{n}@staff.test" for n in "dbca"]},
                {"name": "Twice", "owners": ["d@staff.test", "D@Staff.test", "a@staff.test"]},
            ],
        }
    )

    four, twice = (await ask(hubspot, "a@a.example")).companies[0].deals

    assert four.owners == ("d@staff.test", "b@staff.test", "c@staff.test", "a@staff.test")
    assert twice.owners == ("d@staff.test", "a@staff.test")


async def test_who_left_queues_and_people_without_address_are_gone(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(
        {
            "name": "A",
            "domain": "a.example",
            "deals": [{"name": "One", "owners": ["left@old.test", "in@staff.test"]}],
        },
        owners=[{"email": "queue@team.test", "type": "QUEUE"}, {"email": "", "type": "PERSON"}],
    )
    queue = hubspot.ids["owners"]["queue@team.test"]
    mailless = next(one["id"] for one in hubspot.double.owners() if not one.get("email"))
    hubspot.double.owner("left@old.test", archived=True)
    number = hubspot.ids["deals"]["One"]
    hubspot.double.set_properties("deals", number, {"relay_owner_3": queue, "relay_owner_4": mailless})

    (deal,) = (await ask(hubspot, "a@a.example")).companies[0].deals

    assert (deal.owners, deal.owners_gone) == (("in@staff.test",), 3)
    staff = await hubspot.directory.owners()
    assert "in@staff.test" in staff
    assert staff.isdisjoint({"left@old.test", "queue@team.test"})
    assert hubspot.crm._book.owner("4711").standing == Standing.UNKNOWN


@pytest.mark.parametrize("name", ["hs_all_collaborator_owner_ids", "support_team"])
async def test_a_property_may_hold_several_owners(hubspot: HubSpotWorld, asked_by: Asked, name: str) -> None:
    """Deal collaborators, or one multi-user property; a leading ``;`` occurs, more than four do not count."""
    team = {"name": "support_team", "label": "T", "type": "enumeration", "fieldType": "checkbox", "owner": True}
    await hubspot.fill(
        {"name": "A", "domain": "a.example", "deals": [{"name": "One"}]},
        properties={"deals": [team]},
        owners=[f"{n}@team.test" for n in "abcdef"],
    )
    ids = [hubspot.ids["owners"][f"{n}@team.test"] for n in "fbbcde"]
    hubspot.double.set_properties(
        "deals",
        hubspot.ids["deals"]["One"],
        {"hubspot_owner_id": hubspot.ids["owners"]["a@team.test"], name: ";" + "; ".join(ids)},
    )
    asked = asked_by(owner_properties=("hubspot_owner_id", name))

    (deal,) = (await ask(asked, "a@a.example")).companies[0].deals

    assert (deal.owners, deal.owners_gone) == (tuple(f"{n}@team.test" for n in "afbc"), 0)


async def test_somebody_added_after_the_list_was_read_is_found(hubspot: HubSpotWorld, clock: Clock) -> None:
    await hubspot.fill({"name": "A", "domain": "a.example", "deals": [{"name": "One"}]})
    await hubspot.directory.owners()
    hubspot.double.set_owners(hubspot.ids["deals"]["One"], ["brandnew@staff.test"])
    clock.ahead = timedelta(seconds=11)

    (deal,) = (await ask(hubspot, "a@a.example")).companies[0].deals

    assert deal.owners == ("brandnew@staff.test",)


async def test_owners_come_in_pages(hubspot: HubSpotWorld) -> None:
    hubspot.double.set(list_page=7)
    await hubspot.fill(owners=[f"p{n}@pages.test" for n in range(20)])

    assert {f"p{n}@pages.test" for n in range(20)} <= await hubspot.directory.owners()
    assert calls(hubspot)["owners_list"] >= 3


# --- calls and faults


async def test_a_known_customers_mail_costs_no_call(hubspot: HubSpotWorld) -> None:
    await hubspot.fill({"name": "A", "domain": "a.example", "deals": [{"name": "One", "owners": ["ann@staff.test"]}]})
    answer = await ask(hubspot, "a@a.example")
    await hubspot.directory.owners()
    before = len(hubspot.double.log())

    for _ in range(50):
        await ask(hubspot, "a@a.example")
        await hubspot.directory.deal(answer.companies[0].deals[0].id)
        await hubspot.directory.owners()

    assert len(hubspot.double.log()) == before


async def test_fifty_companies_nobody_knows_yet(hubspot: HubSpotWorld) -> None:
    """Four domains a search, everything else in batches."""
    await hubspot.fill(
        *(
            {"name": f"C{n}", "domain": f"c{n}.example", "deals": [{"name": f"D{n}", "owners": ["ann@staff.test"]}]}
            for n in range(50)
        )
    )

    answers = await asyncio.gather(*(ask(hubspot, f"a@c{n}.example") for n in range(50)))

    assert [answer.companies[0].deals[0].name for answer in answers] == [f"D{n}" for n in range(50)]
    assert calls(hubspot) == {
        "contacts_batchRead": 1,
        "companies_search": 13,
        "associations_batchRead": 1,
        "deals_batchRead": 1,
        "owners_list": 1,
    }
    assert hubspot.double.counters()["most_searches_in_1s"] <= 5


async def test_searches_are_not_made_again_when_a_look_up_ends_early(hubspot: HubSpotWorld) -> None:
    await hubspot.fill(*({"name": f"C{n}", "domain": f"c{n}.example"} for n in range(8)))
    hubspot.double.fault("status", status=503, path="associations", times=1)
    customers = [f"a@c{n}.example" for n in range(8)]
    first = await asyncio.gather(*(ask(hubspot, one) for one in customers), return_exceptions=True)
    assert all(isinstance(one, CrmDown) for one in first)

    again = await asyncio.gather(*(ask(hubspot, one) for one in customers))

    assert [one.companies[0].name for one in again] == [f"C{n}" for n in range(8)]
    assert calls(hubspot)["companies_search"] == 2


async def test_an_address_that_hubspot_refuses_is_no_contact(hubspot: HubSpotWorld) -> None:
    await hubspot.fill({"name": "A", "domain": "a.example"})
    body = {"status": "error", "category": "VALIDATION_ERROR", "message": "not an email"}
    hubspot.double.fault("status", status=400, path="contacts/batch/read", body=body)

    assert await names(hubspot, "a@a.example") == ["A"]


@pytest.mark.parametrize(
    "fault",
    [pytest.param({"kind": "types", "how": how}, id=f"types {how}") for how in ("scrambled", "list", "null", "string")]
    + [
        pytest.param({"kind": "fields", "fields": ["results"]}, id="no results"),
        pytest.param({"kind": "fields", "fields": ["id", "properties", "toObjectId"]}, id="no ids"),
        pytest.param({"kind": "cut"}, id="cut"),
        pytest.param({"kind": "html"}, id="a page"),
        pytest.param({"kind": "down"}, id="down"),
        pytest.param({"kind": "status", "status": 401}, id="401"),
        pytest.param({"kind": "deep"}, id="deep"),
    ],
)
async def test_garbage_is_never_taken_for_nobody(hubspot: HubSpotWorld, fault: dict[str, Any]) -> None:
    await hubspot.fill({"name": "A", "domain": "a.example", "contacts": ["a@a.example"], "deals": [{"name": "One"}]})
    fields = dict(fault)
    hubspot.double.fault(fields.pop("kind"), **fields)

    for question in (
        ask(hubspot, "a@a.example"),
        hubspot.directory.deal(hubspot.ids["deals"]["One"]),
        hubspot.directory.owners(),
    ):
        with pytest.raises(CrmDown):
            await question
