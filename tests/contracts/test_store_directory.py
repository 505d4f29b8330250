"""The builtin CRM in a store: imports, owners of deals, who is away."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.directory_worlds import ACME, FewDomains, plan
from contracts.store_samples import T0, accept_and_settle, after, an_opening, an_opening_settlement
from supportrelay.core.directory import DealState
from supportrelay.core.errors import InputError
from supportrelay.core.mailbox import parse_path
from supportrelay.edge.crm.builtin import BuiltinDirectory
from supportrelay.edge.store import SqliteStore

WHO = "person:kim"


@pytest.fixture
def directory(store: SqliteStore) -> BuiltinDirectory:
    return BuiltinDirectory(store, FewDomains(), now=lambda: T0)


async def test_owners_changed_by_another_process_count_at_once(store: SqliteStore, directory: BuiltinDirectory) -> None:
    await store.import_companies(plan(ACME), WHO, T0)
    customer = parse_path("x@acme.example")
    await directory.find(customer)
    elsewhere = SqliteStore(store.path)
    try:
        changed = await elsewhere.set_deal_owners("Rollout", ["new@relay.test"], WHO, after(5))
    finally:
        await elsewhere.aclose()

    assert changed["owners"] == ["new@relay.test"]
    assert (await directory.find(customer)).companies[0].deals[0].owners == ("new@relay.test",)
    assert await directory.owners() == {"new@relay.test"}


async def test_a_second_import_updates_what_it_names_and_leaves_the_rest(
    store: SqliteStore, directory: BuiltinDirectory
) -> None:
    await store.import_companies(plan(ACME, {"name": "Other", "domains": ["other.example"]}), WHO, T0)
    summary = await store.import_companies(
        plan(
            {
                "name": "Acme Inc",
                "domains": ["acme.test", "acme.jp"],
                "contacts": ["jin@acme.example"],
                "deals": [{"name": "ROLLOUT", "stage": "won"}, {"name": "Next", "owners": ["bob@relay.test"]}],
            }
        ),
        WHO,
        after(60),
    )

    acme, other = await store.companies()
    answer = await directory.find(parse_path("jin@acme.example"))
    rollout, pilot, following = answer.companies[0].deals
    assert summary["companies"] == {"added": 0, "updated": 1, "unchanged": 0, "removed": 0}
    assert summary["deals"] == {"added": 1, "updated": 1, "unchanged": 0, "removed": 0}
    assert summary["contacts"] == {"added": 0, "updated": 0, "unchanged": 1, "removed": 0}
    assert (acme["name"], acme["domains"]) == ("Acme Inc", ["acme.example", "acme.jp", "acme.test"])
    assert acme["contacts"][0] == {"address": "jin@acme.example", "name": "陣", "language": "ja", "phone": "12"}
    assert other["name"] == "Other"
    assert (rollout.state, rollout.moved_at, rollout.created_at) == (DealState.WON, after(60), T0)
    assert rollout.owners == ("Mori@relay.test", "ann@relay.test")
    assert (pilot.moved_at, following.state) == (T0, DealState.OPEN)


async def test_the_same_import_again_changes_nothing(store: SqliteStore) -> None:
    await store.import_companies(plan(ACME), WHO, T0)
    before = await store.companies()

    summary = await store.import_companies(plan(ACME), WHO, after(60), replace=True)

    assert await store.companies() == before
    assert {name: counts["unchanged"] for name, counts in summary.items() if name != "dry_run"} == {
        "companies": 1,
        "contacts": 2,
        "deals": 2,
    }


async def test_only_replace_removes_and_it_leaves_what_the_file_does_not_mention(store: SqliteStore) -> None:
    await store.import_companies(plan(ACME, {"name": "Other", "domains": ["other.example"]}), WHO, T0)

    summary = await store.import_companies(
        plan({"name": "Acme Ltd", "domains": ["acme.test"], "deals": [{"name": "Pilot"}]}), WHO, T0, replace=True
    )

    (acme,) = await store.companies()
    assert acme["domains"] == ["acme.test"]
    assert [deal["name"] for deal in acme["deals"]] == ["Pilot"]
    assert len(acme["contacts"]) == 2
    assert (summary["companies"]["removed"], summary["deals"]["removed"]) == (1, 1)


async def test_a_dry_run_tells_and_changes_nothing(store: SqliteStore) -> None:
    summary = await store.import_companies(plan(ACME), WHO, T0, dry_run=True)

    assert summary["companies"]["added"] == 1
    assert summary["dry_run"]
    assert await store.companies() == []


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        pytest.param([{"domains": ["nobody.example"]}], "name: missing", id="no name and no known domain"),
        pytest.param(
            [{"name": "Both", "domains": ["one.example", "two.example"]}],
            "several companies: C1, C2",
            id="two companies",
        ),
        pytest.param(
            [{"name": "A", "domains": ["one.example"]}, {"name": "B", "domains": ["one.example"]}],
            "both are company C1",
            id="two entries for one company",
        ),
    ],
)
async def test_an_import_that_fits_nowhere_is_refused_whole(
    store: SqliteStore, entries: list[dict[str, object]], says: str
) -> None:
    await store.import_companies(
        plan({"name": "One", "domains": ["one.example"]}, {"name": "Two", "domains": ["two.example"]}), WHO, T0
    )

    with pytest.raises(InputError, match=says):
        await store.import_companies(plan({"name": "Fresh", "domains": ["fresh.example"]}, *entries), WHO, T0)
    assert [company["name"] for company in await store.companies()] == ["One", "Two"]


@pytest.mark.parametrize("selector", ["D2", "Pilot", "pilot ", "Acme Ltd/Pilot", "a/b", "Acme Ltd/a/b"])
async def test_a_deal_is_named_by_id_name_or_company_and_name(store: SqliteStore, selector: str) -> None:
    deals = [{"name": "Rollout"}, {"name": "a/b" if "a/b" in selector else "Pilot"}]
    await store.import_companies(plan({**ACME, "deals": deals}), WHO, T0)

    changed = await store.set_deal_owners(selector, ["a@relay.test", "A@relay.test"], WHO, T0)

    assert (changed["id"], changed["owners"]) == ("D2", ["a@relay.test"])


async def test_several_deals_of_one_name_are_listed_by_their_ids(store: SqliteStore) -> None:
    await store.import_companies(
        plan(ACME, {"name": "Bob", "domains": ["bob.example"], "deals": [{"name": "Pilot"}]}), WHO, T0
    )

    with pytest.raises(InputError, match="D2, D3"):
        await store.set_deal_owners("Pilot", ["a@relay.test"], WHO, T0)
    with pytest.raises(InputError, match="no deal"):
        await store.set_deal_owners("Nothing", ["a@relay.test"], WHO, T0)


async def test_a_fifth_owner_is_refused_and_says_so(store: SqliteStore) -> None:
    await store.import_companies(plan(ACME), WHO, T0)

    with pytest.raises(InputError, match="at most 4 owners"):
        await store.set_deal_owners("Rollout", [f"o{n}@relay.test" for n in range(5)], WHO, T0)
    with pytest.raises(InputError, match="not an address"):
        await store.set_deal_owners("Rollout", ["nobody"], WHO, T0)
    with pytest.raises(InputError):
        await store.set_deal_owners("Rollout", [], WHO, T0)
    cleared = await store.set_deal_owners("Rollout", [], WHO, T0, clear=True)
    assert cleared["owners"] == []


async def test_a_ticket_shows_the_owners_of_its_deal_as_they_are_now(store: SqliteStore) -> None:
    await store.import_companies(plan(ACME), WHO, T0)
    await accept_and_settle(store, an_opening_settlement("q1"))
    await accept_and_settle(store, an_opening_settlement("q2", opening=an_opening(deal_id="4711")))

    owners = {ticket["deal_id"]: ticket["owners"] for ticket in await store.tickets_list()}
    assert owners == {"D1": ["Mori@relay.test", "ann@relay.test"], "4711": ["mori@relay.test"]}


async def test_somebody_is_away_until_his_day_or_until_he_is_back(store: SqliteStore) -> None:
    await store.absent_set("Mori@relay.test", WHO, T0, until=after(3600))
    await store.absent_set("ann@relay.test", WHO, T0)

    assert await store.absent_until(after(1)) == {"mori@relay.test": after(3600), "ann@relay.test": None}
    assert await store.absent_until(after(3600)) == {"ann@relay.test": None}
    await store.absent_set("ann@relay.test", WHO, after(5), back=True)
    assert [one["address"] for one in await store.absences(after(5))] == ["mori@relay.test"]
    with pytest.raises(InputError):
        await store.absent_set("ann@relay.test", WHO, after(5), until=after(4))
    with pytest.raises(InputError):
        await store.absent_set("ann", WHO, after(5))


async def test_a_thousand_companies_are_imported_beside_the_mail(store: SqliteStore, tmp_path: Path) -> None:
    many = plan(*({"name": f"C{n}", "domains": [f"c{n}.example"]} for n in range(1000)))
    importing = asyncio.ensure_future(store.import_companies(many, WHO, datetime.now(UTC)))
    await accept_and_settle(store, an_opening_settlement("q1"))

    assert (await importing)["companies"]["added"] == 1000
