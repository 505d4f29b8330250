"""What ``crm setup`` and ``crm check`` tell people: sentences, lines to paste, exit status."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.desk_commands import CONFIG, Desk
from supportrelay.admin.context import OperationContext
from supportrelay.admin.operations import dispatch
from supportrelay.cli.crm_setup import config_lines, tell_check
from supportrelay.config import Config, load
from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.edge.crm.builtin import BuiltinDirectory
from supportrelay.edge.crm.hubspot import setup as hubspot_setup
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.store import SqliteStore
from supportrelay.i18n import Catalogue, read_catalogue

FOUND = {
    "pipeline": "77",
    "stages": {"NEW": ["1"], "WAITING": ["2", "3"], "CLOSED": ["4"]},
    "key_property": "relay_thread_key",
}
HUBSPOT = "crm:\n  directory: {kind: hubspot, token: abc}\n  tickets: {kind: hubspot}\n"


@pytest.mark.parametrize("key", ["relay_thread_key", "our_key"])
def test_the_lines_to_paste_load_and_mean_what_was_found(tmp_path: Path, key: str) -> None:
    lines = config_lines(FOUND | {"key_property": key})
    crm: dict[str, Any] = yaml.safe_load("\n".join(lines))
    crm["crm"]["directory"] = {"kind": "hubspot", "token": "abc"}
    file = tmp_path / "supportrelay.yaml"
    file.write_text(CONFIG.format(smtp=8025, web=8026) + yaml.safe_dump(crm, allow_unicode=True), encoding="utf-8")

    desk = load(file, {}).crm.hubspot_desk

    assert desk
    assert desk["pipeline"] == "77"
    assert {str(stage): list(ids) for stage, ids in desk["stages"].items()} == FOUND["stages"]
    assert desk["key_property"] == key


def test_nothing_is_printed_to_paste_while_the_board_is_unknown() -> None:
    assert config_lines(FOUND | {"pipeline": None}) == []
    assert config_lines(FOUND | {"stages": {}}) == []


def test_builtin_has_nothing_to_set_up(desk: Desk) -> None:
    assert "hubspot" in desk.run("crm", "setup", "--dry-run", exit_code=1).stderr
    assert "adopt" in desk.run("crm", "setup", "--adopt", "--dry-run", exit_code=1).stderr


@pytest.mark.parametrize(
    "arguments", [["--adopt", "--pipeline", "0"], ["--address", "support"]], ids=["two boards", "address without adopt"]
)
def test_options_that_do_not_go_together_are_refused(desk: Desk, arguments: list[str]) -> None:
    desk.run("crm", "setup", *arguments, exit_code=2)


def test_serving_needs_what_setup_finds_and_says_so(desk: Desk) -> None:
    desk.config.write_text(desk.config.read_text("utf-8") + HUBSPOT, encoding="utf-8")

    assert "crm setup" in desk.run("check", exit_code=2).stderr


def test_every_step_and_reason_has_its_sentence() -> None:
    known = read_catalogue("en")
    for what in ("pipeline", "key_property", "owner_property", "ticket_group", "deal_group"):
        assert f"crm_setup.what.{what}" in known
    for state in ("exists", "make", "made", "cannot"):
        assert f"crm_setup.state.{state}" in known
    sources = Path(hubspot_setup.__file__).parent
    whys = set(re.findall(r'StepState\.CANNOT, "(\w+)"', (sources / "setup.py").read_text("utf-8")))
    codes = set(re.findall(r'Finding\(\s*"(\w+)"', (sources / "checking.py").read_text("utf-8"))) - {"step"}
    assert len(whys) > 6
    assert len(codes) > 8
    assert [why for why in whys if f"crm_setup.why.{why}" not in known] == []
    assert [code for code in codes if f"crm_check.{code}" not in known] == []


# --- the operations ------------------------------------------------------------------------------------------------


class Tools:
    """Plays an outside CRM's tools."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[Any] = []
        self.fails = fails

    async def set_up(self, *, pipeline: str, dry_run: bool) -> dict[str, Any]:
        self.asked.append((pipeline, dry_run))
        if self.fails:
            raise self.fails
        return {"steps": []}

    async def check(self) -> list[dict[str, Any]]:
        return [{"code": "account", "ok": True, "portal": "1", "zone": "Asia/Tokyo"}]

    async def adopt(self, *, address: str, who: str, dry_run: bool) -> dict[str, Any]:
        self.asked.append((address, who, dry_run))
        return {"adopted": [], "known": 0, "unmarked": []}


def _config(folder: Path, text: str) -> Config:
    file = folder / "supportrelay.yaml"
    (folder / "state").mkdir(exist_ok=True)
    file.write_text(CONFIG.format(smtp=8025, web=8026) + text, encoding="utf-8")
    return load(file, {}, accepts_unfinished=True)


async def _answer(folder: Path, crm: str, tools: Tools | None, op: str, **args: Any) -> dict[str, Any]:
    config = _config(folder, crm)
    store = SqliteStore(config.storage.path, create=True)
    looked: list[str] = []

    async def look_at(ids: Any) -> None:
        looked.extend(ids)

    context = OperationContext(
        store=store,
        directory=BuiltinDirectory(store, PublicDomains(())),
        config=config,
        desk=config.desk(),
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        who="person:ann",
        crm=tools,
        look_at=look_at,
    )
    try:
        return await dispatch(context, op, args) | {"looked": looked}
    finally:
        await store.aclose()


async def test_setup_hands_on_what_was_asked(tmp_path: Path) -> None:
    tools = Tools()
    answer = await _answer(tmp_path, HUBSPOT, tools, "crm.setup", pipeline=" 7 ", dry_run=True)

    assert tools.asked == [("7", True)]
    assert answer["result"] == {"directory": "hubspot", "tickets": "hubspot", "steps": []}


@pytest.mark.parametrize(
    "failure", [CrmRefusal("GET /x: 404 gone"), CrmDown("GET /x: 401 token refused (401)")], ids=["refusal", "down"]
)
async def test_what_the_crm_says_is_the_error(tmp_path: Path, failure: Exception) -> None:
    answer = await _answer(tmp_path, HUBSPOT, Tools(failure), "crm.setup")

    assert (answer["ok"], answer["exit"]) == (False, 1)
    assert "GET /x" in answer["error"]


async def test_adopting_needs_a_board_and_an_address(tmp_path: Path) -> None:
    tools = Tools()
    unfinished = await _answer(tmp_path, HUBSPOT, tools, "crm.adopt")
    board = HUBSPOT.replace("tickets: {kind: hubspot}", "tickets: {kind: hubspot, pipeline: '0', stages: {NEW: ['1'], "
                            "WAITING: ['2'], CLOSED: ['3']}}")  # fmt: skip
    unknown = await _answer(tmp_path, board, tools, "crm.adopt", address="sales")
    done = await _answer(tmp_path, board, tools, "crm.adopt", dry_run=True)

    assert "crm setup" in unfinished["error"]
    assert "no support address 'sales'" in unknown["error"]
    assert done["result"]["address"] == "support"
    assert tools.asked == [("support", "person:ann", True)]


async def test_tickets_that_changed_outside_are_handed_to_whoever_watches(tmp_path: Path) -> None:
    noted = await _answer(tmp_path, HUBSPOT, Tools(), "desk.changed", ids=["7", "8", "7"])
    builtin = await _answer(tmp_path, "", None, "desk.changed", ids=["7"])

    assert (noted["result"], noted["looked"]) == ({"noted": 2}, ["7", "8"])
    assert not builtin["ok"]
    for wrong in ("7", [7], [""], ["1"] * 1001):
        assert not (await _answer(tmp_path, HUBSPOT, Tools(), "desk.changed", ids=wrong))["ok"]


async def test_check_tells_whose_customer_a_domain_is(tmp_path: Path) -> None:
    """The directory is the builtin one here; the question is the same."""
    tickets = HUBSPOT.replace("directory: {kind: hubspot, token: abc}", "directory: {kind: builtin}").replace(
        "{kind: hubspot}", "{kind: hubspot, token: abc}"
    )
    text = (
        "companies: [{name: Acme, domains: [acme.test], deals: [{name: Big, stage: open, owners: [mori@desk.test]}]}]"
    )
    await _answer(tmp_path, "", None, "crm.import", text=text, kind="yaml")
    answer = (await _answer(tmp_path, tickets, Tools(), "crm.check", domain="acme.test"))["result"]
    unknown = (await _answer(tmp_path, tickets, Tools(), "crm.check", domain="nobody.test"))["result"]

    assert (answer["kind"], answer["tickets"]) == ("builtin", "hubspot")
    assert answer["desk"] == {"tickets": 0, "failing": 0, "work": 0, "oldest_at": None, "errors": []}
    assert answer["sample"]["owners"] == ["mori@desk.test"]
    assert answer["sample"]["companies"][0]["deals"][0]["name"] == "Big"
    assert (unknown["sample"]["owners"], unknown["sample"]["fallback"]) == ([], "unknown_company")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_check_found_is_told_in_sentences(capsys: pytest.CaptureFixture[str], language: str) -> None:
    found = {
        "kind": "hubspot",
        "tickets": "hubspot",
        "owners": 12,
        "problems": [],
        "findings": [
            {"code": "calls_today", "ok": None, "used": 7, "day": "2026-11-22"},
            {"code": "gate_closed", "ok": None, "gate": "hubspot", "until": "2026-11-22T10:00:00+00:00", "why": "429"},
            {"code": "account", "ok": True, "portal": "4711", "zone": "Asia/Tokyo"},
            {"code": "scope_missing", "ok": False, "scope": "tickets", "cause": "403"},
            {"code": "step", "ok": False, "what": "key_property", "name": "k", "state": "cannot", "why": "not_unique"},
            {"code": "no_such_stage", "ok": False, "stage": "CLOSED", "id": "9", "known": "1 (New)"},
        ],
        "desk": {
            "tickets": 3, "failing": 1, "work": 4, "oldest_at": "2026-11-22T09:00:00.000Z",
            "errors": [{"error": "no stage", "tickets": 1, "example": "SR-12"}],
        },
        "sample": {
            "asked": "acme.test",
            "companies": [{"id": "1", "name": "Acme", "deals": [
                {"id": "2", "name": "Big", "state": "open", "owners": ["a@desk.test"], "owners_gone": 1},
            ]}],
            "owners": ["a@desk.test"],
            "reasons": [{"code": "owners.company_by_domain", "company": "Acme"}],
        },
    }  # fmt: skip

    is_good = tell_check(found, Catalogue(language))
    told = capsys.readouterr().out

    assert not is_good
    assert told.count("FAIL") == 3
    assert "{" not in told
    assert "crm_" not in told.replace("crm_check.", "X")
    for word in ("4711", "SR-12", "acme.test", "Acme", "a@desk.test", "tickets"):
        assert word in told
