"""What every directory answers to 'whose customer is this?'."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest

from contracts.directory_worlds import ACME, BuiltinWorld, FakeWorld, HubSpotWorld, World, utc_now
from hubspot_double.process import HubSpotDouble
from supportrelay.core.directory import DealState, MatchedBy
from supportrelay.core.mailbox import parse_path
from supportrelay.edge.store import SqliteStore


@pytest.fixture(scope="module")
def double() -> Iterator[HubSpotDouble]:
    with HubSpotDouble.start(relay_properties=True) as started:
        yield started


@pytest.fixture(params=["builtin", "fake", "hubspot 2026-03", "hubspot legacy"])
async def world(request: pytest.FixtureRequest, store: SqliteStore, double: HubSpotDouble) -> AsyncIterator[World]:
    kind, _, version = request.param.partition(" ")
    makers: dict[str, Callable[[SqliteStore], World]] = {
        "builtin": BuiltinWorld,
        "fake": FakeWorld,
        "hubspot": partial(HubSpotWorld, double=double, api_version=version),
    }
    made = makers[kind](store)
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    ("customer", "matched_by", "companies"),
    [
        pytest.param("jin@acme.example", MatchedBy.CONTACT, ["Acme Ltd"], id="exact contact"),
        pytest.param("old@gmail.example", MatchedBy.CONTACT, ["Acme Ltd"], id="contact at a provider"),
        pytest.param("new@acme.example", MatchedBy.DOMAIN, ["Acme Ltd"], id="domain"),
        pytest.param("new@acme.test", MatchedBy.DOMAIN, ["Acme Ltd"], id="second domain"),
        pytest.param("new@eu.mail.acme.example", MatchedBy.PARENT_DOMAIN, ["Acme Ltd"], id="domain below"),
        pytest.param("new@lab.acme.example", MatchedBy.DOMAIN, ["Lab"], id="the nearest domain wins"),
        pytest.param("new@gmail.example", MatchedBy.NOTHING, [], id="provider"),
        pytest.param("new@x.gmail.example", MatchedBy.NOTHING, [], id="below a provider"),
        pytest.param("new@notacme.example", MatchedBy.NOTHING, [], id="a longer name"),
        pytest.param("new@[192.0.2.1]", MatchedBy.NOTHING, [], id="address literal"),
        pytest.param("new@shop.co.example", MatchedBy.NOTHING, [], id="never above the registrable domain"),
        pytest.param("new@shared.example", MatchedBy.DOMAIN, ["One", "Two"], id="several companies"),
    ],
)
async def test_a_company_is_found_by(world: World, customer: str, matched_by: MatchedBy, companies: list[str]) -> None:
    await world.fill(
        ACME,
        {"name": "Lab", "domains": ["lab.acme.example"]},
        {"name": "One", "domains": ["shared.example"]},
        {"name": "Two", "domains": ["shared.example", "co.example"]},
        {"name": "Provider", "domains": ["gmail.example"]},
    )
    before = utc_now()

    answer = await world.directory.find(parse_path(customer))

    assert (answer.matched_by, [company.name for company in answer.companies]) == (matched_by, companies)
    assert answer.source == world.source
    assert before <= answer.known_at <= utc_now()
    assert not answer.is_last_known
    assert answer.is_known_contact == (matched_by == MatchedBy.CONTACT)


async def test_an_answer_has_all_deals_with_their_owners_in_order(world: World) -> None:
    await world.fill(ACME)

    answer = await world.directory.find(parse_path("jin@acme.example"))

    rollout, pilot = answer.companies[0].deals
    assert answer.contact_language == "ja"
    assert (rollout.name, rollout.state, rollout.owners) == (
        "Rollout",
        DealState.OPEN,
        ("Mori@relay.test", "ann@relay.test"),
    )
    assert (pilot.state, pilot.owners, pilot.owners_gone) == (DealState.WON, (), 0)
    assert rollout.company_id == answer.companies[0].id
    assert rollout.created_at <= rollout.moved_at <= utc_now()
    assert await world.directory.deal(rollout.id) == ("Acme Ltd", rollout)
    assert {"mori@relay.test", "ann@relay.test"} <= await world.directory.owners()


@pytest.mark.parametrize("deal_id", ["D99", "4711", "4-7", "x/y", ""])
async def test_a_deal_that_is_not_there_is_gone(world: World, deal_id: str) -> None:
    """Also ids that another directory gave."""
    await world.fill(ACME)

    assert await world.directory.deal(deal_id) is None


async def test_a_deal_is_known_without_its_customer(world: World) -> None:
    await world.fill(ACME)
    answer = await world.directory.find(parse_path("jin@acme.example"))
    await world.look_again()

    found = await world.directory.deal(answer.companies[0].deals[0].id)

    assert found == ("Acme Ltd", answer.companies[0].deals[0])


async def test_owners_that_were_changed_count_after_a_refresh(world: World) -> None:
    await world.fill(ACME)
    customer = parse_path("x@acme.example")
    await world.directory.find(customer)
    await world.set_owners("Rollout", ["new@relay.test"])
    await world.look_again()

    rollout = (await world.directory.find(customer)).companies[0].deals[0]

    assert rollout.owners == ("new@relay.test",)
    assert await world.directory.deal(rollout.id) == ("Acme Ltd", rollout)


async def test_many_ask_at_the_same_time(world: World) -> None:
    await world.fill(ACME, {"name": "Bolt", "domains": ["bolt.example"]})
    customers = [parse_path(f"u{n}@{domain}.example") for n in range(60) for domain in ("acme", "bolt", "none")]

    answers = await asyncio.gather(*(world.directory.find(customer) for customer in customers))

    names = [[company.name for company in answer.companies] for answer in answers]
    assert names == [["Acme Ltd"], ["Bolt"], []] * 60
