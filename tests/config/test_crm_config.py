"""The settings of a CRM: HubSpot as directory, as desk, as both; what is missing before ``crm setup``."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supportrelay.config import Config, diff_needing_restart, load, warnings
from supportrelay.core.errors import ConfigError
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings, HubSpotAccount

BASE = """\
addresses:
  - name: support
    address: support@company.example
    sender: {address: relay@company.example}
    allmember: [everybody@company.example]
internal_domains: [company.example]
admins: [it@company.example]
hostname: relay.company.example
outbound: {outbox: true}
"""
AS_IN_THE_DESIGN = """\
crm:
  max_wait: 60s
  directory: {kind: hubspot, token: "${HUBSPOT_TOKEN}", base_url: https://api.hubapi.com, api_version: 2026-03,
              owner_properties: [hubspot_owner_id, relay_owner_2, relay_owner_3, relay_owner_4]}
  tickets: {kind: hubspot, pipeline: "0", stages: {NEW: ["1"], WAITING: ["2", "3"], CLOSED: ["4"]}}
"""
TOKEN = {"HUBSPOT_TOKEN": "pat-na1-hunter2"}
BOARD = "pipeline: '0', stages: {NEW: ['1'], WAITING: ['2'], CLOSED: ['4']}"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        file = tmp_path / "supportrelay.yaml"
        file.write_text(BASE + text, "utf-8")
        return file

    return put


def crm(directory: str = "kind: builtin", tickets: str = "kind: builtin", *, at: str = "") -> str:
    """``at``: the role whose mapping is pointed at as a whole."""
    text = f"crm:\n  directory: {{{directory}}}\n  tickets: {{{tickets}}}\n"
    return text.replace(f"  {at}: ", f"  ^{at}: ") if at else text


def refused(file: Path, *, accepts_unfinished: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, TOKEN, accepts_unfinished=accepts_unfinished)
    assert "hunter2" not in str(caught.value)
    return [line.replace(f"{file}:", "") for line in caught.value.problems]


def test_the_example_of_the_design_loads_as_written(write: Write) -> None:
    config = load(write(AS_IN_THE_DESIGN), TOKEN)

    assert HubSpotAccount(**config.crm.hubspot_account or {}) == HubSpotAccount("pat-na1-hunter2")
    assert DirectorySettings(**config.crm.hubspot_directory or {}) == DirectorySettings()
    assert DeskSettings(**config.crm.hubspot_desk or {}) == DeskSettings(
        "0", {Stage.NEW: ("1",), Stage.WAITING: ("2", "3"), Stage.CLOSED: ("4",)}
    )
    assert config.secrets == ("pat-na1-hunter2",)
    assert "hunter2" not in repr(config)
    desk = config.desk()
    assert (desk.desk_kind, desk.desk_log) == ("hubspot", "all")


def test_every_key_reaches_its_setting(write: Write) -> None:
    text = """\
web: {public_url: https://desk.company.example}
crm:
  directory:
    kind: hubspot
    token: abc
    base_url: http://127.0.0.1:8085/
    api_version: v3
    owner_properties: [second_owner]
    company_filter: {values: [customer, 'other one']}
    calls_per_10s: 150
    calls_per_day: 1000
    timeout: 5s
  tickets:
    kind: hubspot
    pipeline: 77
    stages: {新規: [1], 対応中: [2, 3], closed: ['4']}
    key_property: our_key
    log_mail: inbound
    poll_every: 1m
    search_lag: 10m
    webhook_secret: xyz
"""
    config = load(write(text), {})

    assert config.crm.hubspot_account == {
        "token": "abc", "base_url": "http://127.0.0.1:8085", "api_version": "legacy", "calls_per_10s": 150,
        "calls_per_day": 1000, "timeout_s": 5.0,
    }  # fmt: skip
    assert config.crm.hubspot_directory == {
        "owner_properties": ("second_owner",),
        "filter_property": "lifecyclestage",
        "filter_values": ("customer", "other one"),
    }
    assert config.crm.hubspot_desk == {
        "pipeline": "77",
        "stages": {Stage.NEW: ("1",), Stage.WAITING: ("2", "3"), Stage.CLOSED: ("4",)},
        "key_property": "our_key",
    }
    assert (config.crm.poll_every, config.crm.search_lag) == (timedelta(minutes=1), timedelta(minutes=10))
    assert (config.crm.webhook_secret, config.desk().desk_log) == ("xyz", "inbound")
    assert set(config.secrets) == {"abc", "xyz"}


def test_without_a_word_both_are_builtin(write: Write) -> None:
    for text in ("", "crm: {directory: {}, tickets: {kind: }}\n", crm()):
        config = load(write(text), {})
        assert (config.crm.directory.kind, config.crm.tickets.kind) == ("builtin", "builtin")
        assert (config.crm.hubspot_account, config.crm.hubspot_directory, config.crm.hubspot_desk) == (None, None, None)
        assert (config.desk().desk_kind, config.crm.is_set_up) == ("builtin", True)


def test_tickets_alone_bring_their_account(write: Write) -> None:
    config = load(write(crm(tickets=f"kind: hubspot, token: abc, timeout: 20s, {BOARD}")), {})

    assert config.crm.hubspot_directory is None
    assert config.crm.hubspot_account
    assert (config.crm.hubspot_account["token"], config.crm.hubspot_account["timeout_s"]) == ("abc", 20.0)


def test_a_token_may_stand_in_a_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    config = load(write(crm("kind: hubspot, token_file: token")), {})

    assert (config.crm.hubspot_account or {})["token"] == "from-a-file"
    assert config.secrets == ("from-a-file",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            crm("kind: ^zendesk"),
            "crm.directory.kind: zendesk comes in a later version; builtin and hubspot are there",
            id="later",
        ),
        pytest.param(
            crm(tickets="kind: ^trello"),
            "crm.tickets.kind: there is no such kind; builtin and hubspot are there",
            id="no such kind",
        ),
        pytest.param(
            crm("kind: hubspot, token: hunter2, ^tokn_file: b"),
            "crm.directory.tokn_file: unknown key; did you mean 'token_file'?",
            id="unknown key",
        ),
        pytest.param(
            crm("^token: hunter2"),
            "crm.directory.token: unknown key of kind builtin; it belongs to kind hubspot",
            id="kind forgotten",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, ^pipeline: '1'"),
            "crm.directory.pipeline: unknown key; the keys here are token, token_file, base_url, api_version, "
            "calls_per_10s, calls_per_day, timeout, kind, owner_properties, company_filter",
            id="key of the other role",
        ),
        pytest.param(
            crm("kind: hubspot", at="directory"),
            "crm.directory.token: is required (or token_file) by kind hubspot",
            id="token",
        ),
        pytest.param(
            crm(tickets=f"kind: hubspot, {BOARD}", at="tickets"),
            "crm.tickets.token: is required (or token_file) by kind hubspot",
            id="token of the tickets",
        ),
        pytest.param(
            crm("kind: hubspot, token: ^'hunter2 '"),
            "crm.directory.token: must be one word of plain characters, as HubSpot shows it",
            id="space in the token",
        ),
        pytest.param(
            crm("kind: hubspot, token: ^''"),
            "crm.directory.token: must be one word of plain characters, as HubSpot shows it",
            id="empty token",
        ),
        pytest.param(
            crm("kind: hubspot, token_file: ^nowhere"),
            "crm.directory.token_file: cannot read FOLDER/nowhere (No such file or directory)",
            id="no token file",
        ),
        pytest.param(
            crm("kind: hubspot, token: ^'${NOT_SET}'"),
            "crm.directory.token: the environment variable NOT_SET is not set",
            id="variable not set",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, base_url: ^http://api.hubapi.com"),
            "crm.directory.base_url: 'http://api.hubapi.com': must begin with https:// (http:// is for this "
            "machine alone: the token would be readable)",
            id="in the clear",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, base_url: ^http://crm.localhost"),
            "crm.directory.base_url: 'http://crm.localhost': must begin with https:// (http:// is for this "
            "machine alone: the token would be readable)",
            id="names below localhost are looked up elsewhere",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, base_url: ^https://me:hunter2@api.hubapi.com"),
            "crm.directory.base_url: must not hold a user or password; the token has a key of its own",
            id="password in the address",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, base_url: ^'https://api.hubapi.com?a=b'"),
            "crm.directory.base_url: 'https://api.hubapi.com?a=b': must end with the host or a path: no ? and no #",
            id="query",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, base_url: ^api.hubapi.com"),
            "crm.directory.base_url: 'api.hubapi.com': not an address of the web; it begins with http:// or https://",
            id="no address",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, api_version: ^2026-13"),
            "crm.directory.api_version: '2026-13': must be a version like 2026-03, or legacy for the v3 and v4 paths",
            id="no version",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, owner_properties: ^[]"),
            "crm.directory.owner_properties: needs at least one",
            id="no owner property",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, owner_properties: ^[a, b, c, d, e, f, g, h, i]"),
            "crm.directory.owner_properties: takes at most 8",
            id="nine owner properties",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, owner_properties: ^[a, a]"),
            "crm.directory.owner_properties: a stands there twice",
            id="owner property twice",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, owner_properties: [^Deal owner]"),
            "crm.directory.owner_properties[0]: 'Deal owner': not the internal name of a property: letters, "
            "digits and _ (HubSpot shows it as </>)",
            id="a label",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, company_filter: {values: ^[]}"),
            "crm.directory.company_filter.values: needs at least one",
            id="filter without values",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, calls_per_10s: ^0"),
            "crm.directory.calls_per_10s: '0': must be at least 1",
            id="no calls",
        ),
        pytest.param(
            crm("kind: hubspot, token: a, timeout: ^10m"),
            "crm.directory.timeout: '10m': must be between 1s and 100s",
            id="timeout",
        ),
        pytest.param(
            crm("kind: hubspot, token: a", f"kind: hubspot, token: ^b, {BOARD}"),
            "crm.tickets.token: stands in crm.directory, whose account is used; take it out here",
            id="two accounts",
        ),
        pytest.param(
            crm("kind: hubspot, token: a", "kind: hubspot, pipeline: '0', stages: ^{NEW: ['1'], CLOSED: ['4']}"),
            "crm.tickets.stages: WAITING is missing; each of NEW, WAITING (対応中) and CLOSED needs at least one id",
            id="a stage without id",
        ),
        pytest.param(
            crm(
                "kind: hubspot, token: a",
                "kind: hubspot, pipeline: '0', stages: {NEW: ^[], WAITING: ['2'], CLOSED: ['4']}",
            ),
            "crm.tickets.stages.NEW: needs at least one",
            id="an empty stage",
        ),
        pytest.param(
            crm(
                "kind: hubspot, token: a",
                "kind: hubspot, pipeline: '0', stages: ^{NEW: [1], WAITING: [2], CLOSED: [4, 1]}",
            ),
            "crm.tickets.stages: the id 1 stands under NEW and CLOSED; a stage means one thing",
            id="an id twice",
        ),
        pytest.param(
            crm(
                "kind: hubspot, token: a",
                "kind: hubspot, pipeline: '0', stages: {NEW: [1], WAITING: [2], 対応中: ^[3], CLOSED: [4]}",
            ),
            "crm.tickets.stages.対応中: is the same stage as WAITING",
            id="a stage under two names",
        ),
        pytest.param(
            crm(
                "kind: hubspot, token: a",
                "kind: hubspot, pipeline: '0', stages: {NEW: [1], WAITING: [2], CLOSED: [4], DONE: ^[5]}",
            ),
            "crm.tickets.stages.DONE: must be one of NEW, WAITING (対応中) and CLOSED",
            id="no such stage",
        ),
        pytest.param(
            crm("kind: hubspot, token: a", f"kind: hubspot, {BOARD}, log_mail: ^some"),
            "crm.tickets.log_mail: 'some': must be one of all, inbound, none",
            id="log_mail",
        ),
        pytest.param(
            crm("kind: hubspot, token: a", f"kind: hubspot, {BOARD}, poll_every: ^2h"),
            "crm.tickets.poll_every: '2h': must be between 1s and 1h",
            id="poll_every",
        ),
        pytest.param(
            crm("kind: hubspot, token: a", f"kind: hubspot, {BOARD}, webhook_secret: ^hunter2"),
            "crm.tickets.webhook_secret: needs web.public_url: HubSpot signs the address that it calls",
            id="webhooks without address",
        ),
        pytest.param(
            crm("kind: hubspot, token: a", "kind: hubspot", at="tickets"),
            "crm.tickets.pipeline: is required; 'supportrelay crm setup' finds or makes the board and prints the lines",
            id="not set up",
        ),
    ],
)
def test_each_mistake_is_told_at_its_place(write: Write, text: str, expected: str) -> None:
    """The ``^`` in a text stands where the mistake is."""
    before = (BASE + text).partition("^")[0]
    place = f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"
    file = write(text.replace("^", ""))

    assert refused(file) == [f"{place}: {expected.replace('FOLDER', str(file.parent))}"]


def test_several_mistakes_are_told_at_once(write: Write) -> None:
    found = refused(
        write(crm("kind: hubspot, token: a, api_version: new, timeout: 1ms", "kind: hubspot, stages: {NEW: []}"))
    )

    assert [line.split(": ")[1] for line in found] == [
        "crm.directory.api_version",
        "crm.directory.timeout",
        "crm.tickets.stages.NEW",
    ]


def test_commands_for_the_setting_up_take_a_file_without_pipeline(write: Write) -> None:
    unfinished = write(crm("kind: hubspot, token: a", "kind: hubspot"))
    config = load(unfinished, {}, accepts_unfinished=True)

    assert not config.crm.is_set_up
    assert config.crm.hubspot_desk == {"pipeline": "", "stages": {}, "key_property": "relay_thread_key"}
    broken = write(crm("kind: hubspot, token: a", "kind: hubspot, stages: {NEW: [1]}"))
    assert "WAITING is missing" in refused(broken, accepts_unfinished=True)[0]


def test_a_new_token_needs_no_restart_and_another_board_does(write: Write) -> None:
    old = load(write(AS_IN_THE_DESIGN), TOKEN)
    same = load(
        write(AS_IN_THE_DESIGN.replace("{NEW", "{WAITING: ['7'], NEW").replace(', WAITING: ["2", "3"]', "")),
        {"HUBSPOT_TOKEN": "another"},
    )
    other = load(write(AS_IN_THE_DESIGN.replace('pipeline: "0"', 'pipeline: "1", key_property: b')), TOKEN)
    builtin: Config = load(write(""), {})

    assert diff_needing_restart(old, same) == []
    assert diff_needing_restart(old, other) == ["crm.tickets.pipeline", "crm.tickets.key_property"]
    assert diff_needing_restart(old, builtin)[:2] == ["crm.directory.kind", "crm.tickets.kind"]


def test_what_is_allowed_and_not_wise_is_named(write: Write) -> None:
    text = crm("kind: hubspot, token: hunter2, api_version: legacy")
    found = [line.partition("supportrelay.yaml:")[2] for line in warnings(load(write(text), {}))]

    assert any("crm.directory.token: this file can be read by every user" in line for line in found)
    assert any("crm.directory.api_version: the paths of v4 end on 30 March 2027" in line for line in found)


def test_the_end_of_a_version_is_told_90_days_ahead(write: Write) -> None:
    config = load(write(crm("kind: hubspot, token: '${HUBSPOT_TOKEN}'")), TOKEN)

    def told(year: int, month: int) -> list[str]:
        return [line for line in warnings(config, datetime(year, month, 15, tzinfo=UTC)) if "version 2026-03" in line]

    assert told(2027, 5) == []
    assert told(2027, 6)[0].endswith("version 2026-03 is supported until 2027-09; take a newer one")
    assert told(2027, 9)[0].endswith("version 2026-03 was no longer supported from 2027-09; take a newer one")


def test_webhooks_in_the_clear_are_named(write: Write) -> None:
    text = crm("kind: hubspot, token: '${HUBSPOT_TOKEN}'", f"kind: hubspot, {BOARD}, webhook_secret: xyz")
    config = load(write(text + "web: {public_url: http://desk.company.example}\n"), TOKEN)

    assert any("web.public_url: HubSpot calls webhooks by https only" in line for line in warnings(config))


PAGES = [Path(__file__).resolve().parents[2] / "docs" / name for name in ("hubspot.md", "hubspot.ja.md")]
BLOCKS = [
    pytest.param(block, id=f"{page.name} {number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL), start=1
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_pages_on_hubspot_show_loads(tmp_path: Path, block: str) -> None:
    (tmp_path / "secret").write_text("pat-na1-hunter2")
    text = re.sub(r"/etc/supportrelay/[\w-]+", "secret", block)
    file = tmp_path / "supportrelay.yaml"
    file.write_text((BASE if "outbound:" not in block else BASE.partition("outbound:")[0]) + text, "utf-8")

    config = load(file, {}, accepts_unfinished=True)

    assert config.crm.directory.kind == "hubspot"
    assert config.crm.is_set_up == ("tickets: {kind: hubspot}" not in block)


def test_both_pages_on_hubspot_show_the_same() -> None:
    assert len(BLOCKS) == 8
    command = re.compile(r"^ {4}supportrelay [\w -]+?(?= {2}|$)", re.MULTILINE)
    english, japanese = (command.findall(page.read_text("utf-8")) for page in PAGES)
    assert len(english) > 4
    assert english == japanese
