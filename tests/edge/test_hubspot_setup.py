"""``crm setup`` and ``crm check`` against the double: an empty account, a complete one, and what goes wrong."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hubspot_double.process import HubSpotDouble
from hubspot_double.settings import ALL_SCOPES
from supportrelay.core.adoption import AdoptableTicket, Adoption
from supportrelay.core.errors import CrmDown, InputError
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot.adopt import AdoptionReader
from supportrelay.edge.crm.hubspot.boards import Board, BoardStage, propose_stages, read_boards
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings, HubSpotAccount
from supportrelay.edge.crm.hubspot.setup import scopes_needed
from supportrelay.edge.crm.hubspot.tools import HubSpotTools
from supportrelay.edge.store import SqliteStore

DEFAULT_BOARD = {Stage.NEW: ("1",), Stage.WAITING: ("2", "3"), Stage.CLOSED: ("4",)}


@pytest.fixture
def hubspot() -> Iterator[HubSpotDouble]:
    with HubSpotDouble.start() as double:
        yield double
        double.assert_no_violations()


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def tools(
    hubspot: HubSpotDouble,
    folder: Path,
    *,
    directory: DirectorySettings | None = DirectorySettings(),  # noqa: B008  a value
    desk: DeskSettings | None = DeskSettings(""),  # noqa: B008  a value
    api_version: str = "2026-03",
    token: str = "",
) -> AsyncIterator[HubSpotTools]:
    store = SqliteStore(folder / "relay.db", create=True)
    account = HubSpotAccount(token or hubspot.token, hubspot.base_url, api_version)
    client = HubSpotClient(account, store, now=_now)
    paths = Paths(api_version)

    async def adopt(tickets: Sequence[AdoptableTicket], *, address: str, who: str, dry_run: bool) -> Adoption:
        return await store.adopt(
            tickets, _now(), address=address, domain_of=lambda one: one.rpartition("@")[2], who=who, dry_run=dry_run
        )

    reader = AdoptionReader(client, paths, desk, now=_now) if desk else None
    try:
        yield HubSpotTools(
            client, paths, store, directory=directory, desk=desk, reader=reader, adopt=adopt if desk else None
        )
    finally:
        await client.aclose()
        await store.aclose()


def steps(found: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in found["steps"]}


def writes(hubspot: HubSpotDouble) -> list[str]:
    return [f"{one['method']} {one['path']}" for one in hubspot.log() if one["method"] != "GET"]


@pytest.mark.parametrize("version", ["2026-03", "legacy"])
async def test_an_empty_account_gets_everything_once(hubspot: HubSpotDouble, tmp_path: Path, version: str) -> None:
    async with tools(hubspot, tmp_path, api_version=version) as account:
        shown = await account.set_up(pipeline="", dry_run=True)
        assert writes(hubspot) == []
        made = await account.set_up(pipeline="", dry_run=False)
        count = len(writes(hubspot))
        again = await account.set_up(pipeline="", dry_run=False)

    assert steps(shown) == {
        "Support relay": "make",
        "relay_thread_key": "make",
        "hubspot_owner_id": "exists",
        "relay_owner_2": "make",
        "relay_owner_3": "make",
        "relay_owner_4": "make",
    }
    assert shown["to_make"]
    assert set(steps(made).values()) == {"made", "exists"}
    assert set(steps(again).values()) == {"exists"}
    assert not again["to_make"]
    assert (count, len(writes(hubspot))) == (5, 5)
    assert made["pipeline"] == again["pipeline"]
    assert made["stages"] == again["stages"]
    assert {len(ids) for ids in made["stages"].values()} == {1}
    assert not made["is_proposal"]
    assert not again["is_proposal"]


async def test_what_is_made_is_what_the_desk_needs(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path) as account:
        await account.set_up(pipeline="", dry_run=False)

    bodies = [one["body"] for one in hubspot.log(bodies=True) if one["method"] == "POST"]
    board = next(body for body in bodies if "stages" in body)
    key = next(body for body in bodies if body.get("name") == "relay_thread_key")
    owner = next(body for body in bodies if body.get("name") == "relay_owner_2")
    assert [(s["label"], s["metadata"]["ticketState"]) for s in board["stages"]] == [
        ("NEW", "OPEN"),
        ("対応中", "OPEN"),
        ("CLOSED", "CLOSED"),
    ]
    assert (key["hasUniqueValue"], key["type"], key["fieldType"], key["groupName"]) == (
        True, "string", "text", "ticketinformation",
    )  # fmt: skip
    assert (owner["type"], owner["fieldType"], owner["externalOptions"], owner["referencedObjectType"]) == (
        "enumeration", "select", True, "OWNER",
    )  # fmt: skip
    assert owner["groupName"] == "dealinformation"


async def test_a_pipeline_that_is_named_is_used_with_a_proposal(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path) as account:
        found = await account.set_up(pipeline="0", dry_run=False)

    assert found["pipeline"] == "0"
    assert found["stages"] == {str(stage): list(ids) for stage, ids in DEFAULT_BOARD.items()}
    assert found["is_proposal"]
    assert not any("pipelines" in one for one in writes(hubspot))


async def test_a_pipeline_that_is_not_there_is_named_with_those_that_are(
    hubspot: HubSpotDouble, tmp_path: Path
) -> None:
    async with tools(hubspot, tmp_path, desk=DeskSettings("77")) as account:
        found = await account.set_up(pipeline="", dry_run=False)

    step = found["steps"][0]
    assert (step["state"], step["why"]) == ("cannot", "no_such_pipeline")
    assert "0 (" in step["ids"]
    assert found["pipeline"] is None
    assert steps(found)["relay_thread_key"] == "made"


async def test_an_account_that_has_one_pipeline_only_reuses_it(tmp_path: Path) -> None:
    """More ticket pipelines need a paid Service Hub."""
    with HubSpotDouble.start(most_ticket_pipelines=1) as hubspot:
        async with tools(hubspot, tmp_path) as account:
            found = await account.set_up(pipeline="", dry_run=False)

    step = found["steps"][0]
    assert (step["state"], step["why"]) == ("cannot", "reuse_instead")
    assert step["pipeline"].startswith("0 (")
    assert found["pipeline"] == "0"
    assert found["stages"] == {str(stage): list(ids) for stage, ids in DEFAULT_BOARD.items()}
    assert found["is_proposal"]


async def test_a_key_property_that_is_not_unique_is_refused(tmp_path: Path) -> None:
    """It can never be made unique: HubSpot takes that only when a property is made."""
    seed = {"properties": {"tickets": [{"name": "relay_thread_key"}], "deals": [{"name": "relay_owner_2"}]}}
    with HubSpotDouble.start(seed) as hubspot:
        async with tools(hubspot, tmp_path) as account:
            found = await account.set_up(pipeline="0", dry_run=True)

    whys = {one["name"]: one["why"] for one in found["steps"]}
    assert whys["relay_thread_key"] == "not_unique"
    assert whys["relay_owner_2"] == "not_owners"


async def test_a_scope_that_is_missing_leaves_the_rest_to_be_told(tmp_path: Path) -> None:
    scopes = [one for one in ALL_SCOPES if one not in {"crm.schemas.deals.write", "tickets"}]
    with HubSpotDouble.start(tokens={"few": scopes}) as hubspot:
        async with tools(hubspot, tmp_path, token="few") as account:
            found = await account.set_up(pipeline="", dry_run=False)

    refused = {one["name"]: one.get("cause", "") for one in found["steps"] if one["state"] == "cannot"}
    assert "tickets" in refused["Support relay"]
    assert "tickets" in refused["relay_thread_key"]
    assert "crm.schemas.deals.write" in refused["relay_owner_2"]
    assert steps(found)["hubspot_owner_id"] == "exists"


async def test_a_refused_token_is_no_plan(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path, token="wrong") as account:
        with pytest.raises(CrmDown, match="401"):
            await account.set_up(pipeline="", dry_run=True)


async def test_properties_that_others_make_meanwhile_count_as_there(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    """The GET said 404, the POST says 409."""
    async with tools(hubspot, tmp_path) as account:
        await account.set_up(pipeline="", dry_run=False)
        hubspot.fault("status", method="GET", path="/properties/.*/relay_", status=404, times=4)
        found = await account.set_up(pipeline="", dry_run=False)

    assert set(steps(found).values()) == {"exists"}


async def test_roles_that_hubspot_has_not_are_left_alone(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path, desk=None) as account:
        owners_only = await account.set_up(pipeline="", dry_run=True)
    async with tools(hubspot, tmp_path, directory=None) as account:
        tickets_only = await account.set_up(pipeline="", dry_run=True)

    assert set(steps(owners_only)) == set(DirectorySettings().owner_properties)
    assert set(steps(tickets_only)) == {"Support relay", "relay_thread_key"}
    assert "tickets" not in owners_only["scopes"]
    assert "crm.objects.deals.read" not in tickets_only["scopes"]


def test_scopes_are_each_named_once() -> None:
    found = scopes_needed(directory=True, desk=True, logs_mail=True)

    assert len(found) == len(set(found))
    assert {"tickets", "crm.objects.owners.read", "crm.schemas.deals.write", "sales-email-read"} <= set(found)


# --- what stages mean ----------------------------------------------------------------------------------------------


def board(*stages: tuple[str, bool | None]) -> Board:
    return Board("b", "B", tuple(BoardStage(str(i), label, shut) for i, (label, shut) in enumerate(stages, start=1)))


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        pytest.param(
            [("New", False), ("Waiting on contact", False), ("Waiting on us", False), ("Closed", True)],
            {"NEW": ("1",), "WAITING": ("2", "3"), "CLOSED": ("4",)},
            id="HubSpot's own",
        ),
        pytest.param(
            [("新規", False), ("担当者の返信待ち", False), ("対応中", False), ("完了", True), ("対応済み", True)],
            {"NEW": ("1",), "WAITING": ("2", "3"), "CLOSED": ("4", "5")},
            id="in Japanese",
        ),
        pytest.param(
            [("対応中", False), ("受付", False), ("エスカレーション", False), ("クローズ", True)],
            {"NEW": ("2",), "WAITING": ("1", "3"), "CLOSED": ("4",)},
            id="in another order, the word decides",
        ),
        pytest.param(
            [("A", False), ("B", False), ("C", True)],
            {"NEW": ("1",), "WAITING": ("2",), "CLOSED": ("3",)},
            id="no word",
        ),
        pytest.param(
            [("New", None), ("In progress", None), ("Resolved", None)],
            {"NEW": ("1",), "WAITING": ("2",), "CLOSED": ("3",)},
            id="no state",
        ),
        pytest.param([("New", False), ("Closed", True)], {"NEW": ("1",), "CLOSED": ("2",)}, id="too few"),
        pytest.param([], {}, id="none"),
    ],
)
def test_stages_are_proposed_by_state_and_words(
    stages: list[tuple[str, bool | None]], expected: dict[str, tuple[str, ...]]
) -> None:
    assert {str(stage): ids for stage, ids in propose_stages(board(*stages)).items()} == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"results": None},
        {"results": [1, None, {}, {"id": ""}, {"label": "no id"}]},
        {"results": [{"id": 7, "stages": [None, 3, {"id": []}, {"id": 1, "metadata": "x"}], "displayOrder": "first"}]},
    ],
)
def test_whatever_a_list_of_pipelines_holds_is_read(body: Any) -> None:
    for one in read_boards(body):
        propose_stages(one)


# --- crm check -----------------------------------------------------------------------------------------------------


def bad(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in findings if one["ok"] is False]


async def test_a_good_account_has_nothing_bad(tmp_path: Path) -> None:
    with HubSpotDouble.start(relay_properties=True) as hubspot:
        async with tools(hubspot, tmp_path, desk=DeskSettings("0", DEFAULT_BOARD)) as account:
            found = await account.check()
        hubspot.assert_no_violations()
        assert {one["method"] for one in hubspot.log()} == {"GET"}

    assert bad(found) == []
    assert {"account", "calls_today", "scope", "step", "stages"} <= {one["code"] for one in found}
    assert next(one for one in found if one["code"] == "account")["portal"] == "4711"


async def test_what_does_not_fit_is_named(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    desk = DeskSettings("0", {**DEFAULT_BOARD, Stage.CLOSED: ("4", "99")})
    async with tools(hubspot, tmp_path, desk=desk) as account:
        found = bad(await account.check())

    assert [one["id"] for one in found if one["code"] == "no_such_stage"] == ["99"]
    missing = [one["name"] for one in found if one["code"] == "step"]
    assert missing == ["relay_thread_key", "relay_owner_2", "relay_owner_3", "relay_owner_4"]


async def test_each_missing_scope_is_named_and_asked_for_anew(tmp_path: Path) -> None:
    """A person who has just added the scope is not told what the gate remembers."""
    scopes = [one for one in ALL_SCOPES if one not in {"crm.objects.deals.read", "sales-email-read"}]
    with HubSpotDouble.start(relay_properties=True, tokens={"few": scopes}) as hubspot:
        async with tools(hubspot, tmp_path, desk=DeskSettings("0", DEFAULT_BOARD), token="few") as account:
            before = bad(await account.check())
            hubspot.set(tokens={"few": list(ALL_SCOPES)})
            after = bad(await account.check())

    assert [one["scope"] for one in before if one["code"] == "scope_missing"] == [
        "crm.objects.deals.read",
        "sales-email-read",
    ]
    assert after == []


async def test_a_token_that_is_refused_is_told_and_tried_again(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path, token="wrong") as account:
        first, second = await account.check(), await account.check()

    assert [one["code"] for one in bad(first)] == ["no_answer"]
    assert "401" in bad(first)[0]["cause"]
    assert "401" in bad(second)[0]["cause"]
    assert any(one["code"] == "gate_closed" and "401" in one["why"] for one in second)
    assert "wrong" not in str(first)


async def test_a_gate_that_too_many_calls_closed_stays_closed(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    hubspot.fault("status", path="/account-info/", status=429, policy="DAILY", times=1)
    async with tools(hubspot, tmp_path) as account:
        first, second = await account.check(), await account.check()

    assert "429" in bad(first)[0]["cause"]
    assert any(one["code"] == "gate_closed" and "429" in one["why"] for one in second)
    assert len([one for one in hubspot.log() if "account-info" in one["path"]]) == 1


async def test_before_the_setting_up_check_says_so(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path) as account:
        found = bad(await account.check())

    assert "not_set_up" in {one["code"] for one in found}


# --- crm setup --adopt ---------------------------------------------------------------------------------------------


def opened(hubspot: HubSpotDouble, subject: str, stage: str) -> str:
    values = {"subject": subject, "hs_pipeline": "0", "hs_pipeline_stage": stage}
    return str(hubspot.make("tickets", values)["id"])


async def test_open_tickets_are_adopted_once_and_marked(tmp_path: Path) -> None:
    with HubSpotDouble.start(relay_properties=True) as hubspot:
        first, second = opened(hubspot, "Broken", "1"), opened(hubspot, "Late", "3")
        opened(hubspot, "Done", "4")
        async with tools(hubspot, tmp_path, desk=DeskSettings("0", DEFAULT_BOARD)) as account:
            shown = await account.adopt(address="support", who="person:ann", dry_run=True)
            keys_before = {hubspot.ticket(one)["properties"].get("relay_thread_key") for one in (first, second)}
            done = await account.adopt(address="support", who="person:ann", dry_run=False)
            again = await account.adopt(address="support", who="person:ann", dry_run=False)
        keys = [hubspot.ticket(one)["properties"]["relay_thread_key"] for one in (first, second)]
        hubspot.assert_no_violations()

    assert [(one["external_id"], one["subject"], one["ticket"]) for one in shown["adopted"]] == [
        (first, "Broken", None),
        (second, "Late", None),
    ]
    assert keys_before == {None}
    assert [one["ticket"] for one in done["adopted"]] == ["SR-1", "SR-2"]
    assert [len(key) for key in keys] == [64, 64]
    assert len(set(keys)) == 2
    assert (again["adopted"], again["known"], again["unmarked"]) == ([], 2, [])


async def test_a_ticket_that_cannot_be_marked_is_adopted_and_named(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    """Its key property is not there yet."""
    ticket = opened(hubspot, "Broken", "1")
    async with tools(hubspot, tmp_path, desk=DeskSettings("0", DEFAULT_BOARD, "not_made")) as account:
        found = await account.adopt(address="support", who="person:ann", dry_run=False)

    assert [one["external_id"] for one in found["adopted"]] == [ticket]
    assert [one["external_id"] for one in found["unmarked"]] == [ticket]
    assert "not_made" in found["unmarked"][0]["cause"]


async def test_there_is_nothing_to_adopt_where_tickets_live_elsewhere(hubspot: HubSpotDouble, tmp_path: Path) -> None:
    async with tools(hubspot, tmp_path, desk=None) as account:
        with pytest.raises(InputError):
            await account.adopt(address="support", who="person:ann", dry_run=True)
