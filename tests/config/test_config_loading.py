"""Loading: every mistake by line, all at once, in plain words."""

import contextlib
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supportrelay.config import Config, diff_needing_restart, find_config, load, owner_conflicts, state_folder_of
from supportrelay.config.source import read_source
from supportrelay.core.errors import ConfigError
from supportrelay.core.settings import Desk
from supportrelay.core.ticket import StageRule

BROKEN = Path(__file__).parent / "broken"
SMALLEST = """\
addresses:
  - name: support
    address: Support@Company.Example
    sender: {address: relay@company.example}
    allmember: [everybody@company.example]
internal_domains: [company.example]
admins: [it@company.example]
outbound: {outbox: true}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def put(text: str) -> Path:
        file = tmp_path / "supportrelay.yaml"
        file.write_text(text, "utf-8")
        return file

    return put


def problems_of(file: Path, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, environment or {})
    return [line.replace(f"{file.parent}/", "") for line in caught.value.problems]


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_broken_file_is_told_by_line_and_completely(file: Path) -> None:
    """RELIABILITY F32. The expected lines stand beside the file."""
    expected = file.with_suffix(".expected").read_text("utf-8").splitlines()

    assert problems_of(file) == expected


def test_no_problem_repeats_a_secret() -> None:
    for file in BROKEN.glob("*.yaml"):
        assert "hunter2" not in "\n".join(problems_of(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "nowhere.yaml") == ["nowhere.yaml: there is no such file"]
    assert problems_of(tmp_path) == [f"{tmp_path}: cannot be read (Is a directory)".replace(f"{tmp_path.parent}/", "")]


def test_the_smallest_file_loads_with_every_default(write: Callable[[str], Path]) -> None:
    desk = load(write(SMALLEST), {}).desk()

    address = desk.addresses[0]
    assert (address.address, address.sender_name) == ("support@company.example", "{author} via Support")
    assert address.bounce_address == "support+b-{token}@company.example"
    assert (address.language, address.reopen_within) == ("en", timedelta(days=30))
    assert desk.max_size_octets == 50 * 1024 * 1024
    assert desk.ticket_stages.outbound_cc is StageRule.CLOSED
    assert desk.spam.headers == {"x-spam-flag": "YES"}
    assert desk.authserv_id == desk.hostname


def test_defaults_are_those_of_the_plain_values(write: Callable[[str], Path]) -> None:
    """One truth: what core takes for the default is what the reference says."""
    desk = load(write(SMALLEST), {}).desk()
    plain = Desk(
        desk.addresses,
        desk.internal_domains,
        desk.admins,
        desk.hostname,
        desk.authserv_id,
        spam=desk.spam,
        stock_subjects=desk.stock_subjects,  # the list that we ship, in normalised form
    )

    assert desk == plain


def test_the_bounce_address_is_made_with_the_delimiter(write: Callable[[str], Path]) -> None:
    desk = load(write(SMALLEST + "recipient_delimiter: '-'\n"), {}).desk()

    assert desk.addresses[0].bounce_address == "support-b-{token}@company.example"


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        pytest.param("${NAME}", {"NAME": "a.example"}, "a.example", id="variable"),
        pytest.param("${NAME:-b.example}", {}, "b.example", id="default"),
        pytest.param(
            "${NAME:-b.example}", {"NAME": ""}, "b.example", id="empty counts as unset where there is a default"
        ),
        pytest.param("'x.${NAME}.example'", {"NAME": "y"}, "x.y.example", id="inside quotes and text"),
    ],
)
def test_variables_of_the_environment_are_put_in(
    write: Callable[[str], Path], text: str, environment: dict[str, str], expected: str
) -> None:
    assert load(write(f"{SMALLEST}hostname: {text}\n"), environment).hostname == expected


def test_a_doubled_dollar_is_a_plain_one(write: Callable[[str], Path]) -> None:
    config = load(write(SMALLEST + "subject_tags: ['$${NAME}']\n"), {})

    assert config.subject_tags == ("${NAME}",)


def test_numbers_may_come_from_the_environment(write: Callable[[str], Path]) -> None:
    config = load(write(SMALLEST + "web: {port: '${PORT}'}\nworkers: ${N:-3}\n"), {"PORT": "8181"})

    assert (config.web.port, config.workers) == (8181, 3)


def test_a_value_of_the_environment_is_never_shown(write: Callable[[str], Path]) -> None:
    lines = problems_of(write(SMALLEST + "hostname: ${NAME}\n"), {"NAME": "hunter 2"})

    assert lines == ["supportrelay.yaml:9:11: hostname: not a host name or IP address (a port has a key of its own)"]


def test_a_secret_comes_out_of_its_file(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    login = "outbound: {host: smtp.company.example, auth: {user: relay, password_file: password}}"
    config = load(write(SMALLEST.replace("outbound: {outbox: true}", login)), {})

    auth = config.outbound[0].auth
    assert auth
    assert auth.password
    assert auth.password.get_secret_value() == "hunter2"
    assert auth.password_file == tmp_path / "password"
    assert "hunter2" not in repr(config)


def test_numbers_in_place_of_text_keep_their_form(write: Callable[[str], Path]) -> None:
    login = "outbound: {host: smtp.company.example, auth: {user: 1.10, password: 0042}}"
    auth = load(write(SMALLEST.replace("outbound: {outbox: true}", login)), {}).outbound[0].auth

    assert auth
    assert auth.password
    assert (auth.user, auth.password.get_secret_value()) == ("1.10", "0042")


def test_yes_and_no_are_words_and_also_truth_values(write: Callable[[str], Path]) -> None:
    """YAML 1.1's Norway problem: a header's value YES must not become true."""
    text = SMALLEST.replace("    allmember", "    copy_to_author: yes\n    allmember")
    config = load(write(text + "spam: {headers: {X-Spam: YES}}\n"), {})

    assert config.addresses[0].copy_to_author is True
    assert config.spam.headers == {"X-Spam": "YES"}


def test_a_key_with_nothing_under_it_is_not_set(write: Callable[[str], Path]) -> None:
    """Everything under 'rules:' is commented out."""
    assert load(write(SMALLEST + "rules:\n  # - name: later\nweb:\n"), {}).rules == ()


def test_anchors_and_merges_work(write: Callable[[str], Path]) -> None:
    text = (
        SMALLEST
        + """\
teams: {a: &people [ann@company.example], b: *people}
web: {<<: {port: 9000, host: 127.0.0.2}, port: 9001}
"""
    )
    config = load(write(text), {})

    assert config.teams["b"] == ("ann@company.example",)
    assert (config.web.host, config.web.port) == ("127.0.0.2", 9001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("50MB", 50_000_000, id="MB"),
        pytest.param("50MiB", 52_428_800, id="MiB"),
        pytest.param("50 mib", 52_428_800, id="space and lower case"),
        pytest.param("1048576", 1_048_576, id="octets"),
        pytest.param("'10M'", 10_485_760, id="M is MiB"),
    ],
)
def test_sizes(write: Callable[[str], Path], text: str, expected: int) -> None:
    assert load(write(f"{SMALLEST}max_size: {text}\n"), {}).max_size == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("30s", timedelta(seconds=30), id="seconds"),
        pytest.param("5m", timedelta(minutes=5), id="minutes"),
        pytest.param("1h30m", timedelta(minutes=90), id="two units"),
        pytest.param("2d", timedelta(days=2), id="days"),
        pytest.param("500ms", timedelta(milliseconds=500), id="milliseconds"),
    ],
)
def test_durations(write: Callable[[str], Path], text: str, expected: timedelta) -> None:
    assert load(write(f"{SMALLEST}crm: {{max_wait: {text}}}\n"), {}).crm.max_wait == expected


def test_stages_may_be_named_by_their_label(write: Callable[[str], Path]) -> None:
    stages = load(write(SMALLEST + "ticket_stages: {outbound: {cc: 対応中, cc_inherited: keep, to: closed}}\n"), {})

    found = stages.desk().ticket_stages
    assert (found.outbound_cc, found.outbound_cc_inherited, found.outbound_to) == (
        StageRule.WAITING,
        StageRule.KEEP,
        StageRule.CLOSED,
    )


def test_one_smarthost_and_a_list_of_them(write: Callable[[str], Path]) -> None:
    one = SMALLEST.replace("{outbox: true}", "{host: a.company.example, tls: implicit}")
    two = SMALLEST.replace("{outbox: true}", "[{host: a.company.example}, {host: b.company.example, tls: none}]")

    assert [(o.host, o.port) for o in load(write(one), {}).outbound] == [("a.company.example", 465)]
    assert [(o.host, o.port) for o in load(write(two), {}).outbound] == [
        ("a.company.example", 587),
        ("b.company.example", 25),
    ]


def test_paths_are_relative_to_the_file(write: Callable[[str], Path], tmp_path: Path) -> None:
    config = load(write(SMALLEST + "storage: {url: 'sqlite:///state/relay.db'}\nbanner_folder: texts\n"), {})

    assert config.storage.path == tmp_path / "state" / "relay.db"
    assert config.state_folder == tmp_path / "state"
    assert config.outbox_folder == tmp_path / "state" / "outbox"
    assert config.banner_templates == tmp_path / "texts"
    assert not (tmp_path / "state").exists()


def test_an_outbox_may_be_any_folder(write: Callable[[str], Path], tmp_path: Path) -> None:
    config = load(write(SMALLEST.replace("outbox: true", "outbox: sent")), {})

    assert config.outbox_folder == tmp_path / "sent"


def test_a_configuration_does_not_change(write: Callable[[str], Path]) -> None:
    config = load(write(SMALLEST), {})

    with pytest.raises(ValueError, match="frozen"):
        config.workers = 3


def test_a_value_knows_its_line(write: Callable[[str], Path], tmp_path: Path) -> None:
    config = load(write(SMALLEST + "web: {port: 9000}\n"), {})

    assert config.where("web", "port") == f"{tmp_path}/supportrelay.yaml:9:13"
    assert config.where("listen", 0, "port") == f"{tmp_path}/supportrelay.yaml"


def test_a_sender_that_is_a_deal_owner_is_told_by_who_knows_the_owners(write: Callable[[str], Path]) -> None:
    config = load(write(SMALLEST), {})

    assert owner_conflicts(config, ["ann@company.example"]) == []
    assert "relay@company.example" in owner_conflicts(config, ["relay@company.example"])[0]


def test_what_needs_a_restart_is_named(write: Callable[[str], Path]) -> None:
    old = load(write(SMALLEST), {})
    new = load(
        write(SMALLEST + "workers: 64\nweb: {port: 9}\nlisten: [{port: 26}]\nstorage: {url: 'sqlite:///b'}\n"), {}
    )
    same = load(write(SMALLEST + "failover_after: 2h\nrules: [{name: a, then: {ticket: none}}]\n"), {})

    assert diff_needing_restart(old, new) == ["listen", "storage.url", "web.port", "workers"]
    assert diff_needing_restart(old, same) == []


def test_the_file_is_looked_for_in_a_fixed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="init"):
        find_config(None, {})

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "supportrelay.yaml").write_text("")
    assert find_config(None, {}) == Path("config/supportrelay.yaml")
    assert find_config(None, {"SUPPORTRELAY_CONFIG": "b.yaml"}) == Path("b.yaml")
    assert find_config("a.yaml", {"SUPPORTRELAY_CONFIG": "b.yaml"}) == Path("a.yaml")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from("ab: -[]{}&*!|>'\"#%@`,?\n\t${}1.~<\x00é"), max_size=80))
def test_whatever_a_file_holds_only_our_error_comes_out(tmp_path: Path, text: str) -> None:
    file = tmp_path / "any.yaml"
    file.write_text(text, "utf-8")

    with pytest.raises(ConfigError):
        load(file, {})


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats(allow_nan=False))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_under_a_known_key_only_our_error_comes_out(tmp_path: Path, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(Config.model_fields)))
    file = tmp_path / "any.yaml"
    values = yaml.safe_load(SMALLEST) | {key: data.draw(_VALUES)}
    file.write_text(yaml.safe_dump(values, allow_unicode=True), "utf-8")

    with contextlib.suppress(ConfigError):
        load(file, {})


def test_deep_nesting_is_an_error_of_ours(write: Callable[[str], Path]) -> None:
    assert problems_of(write("a: " + "[" * 20_000)) == ["supportrelay.yaml: nested too deeply"]


def test_aliases_of_aliases_are_an_error_of_ours(write: Callable[[str], Path]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    source = read_source(write("\n".join(lines)), {})

    assert any("repeats itself" in problem.text for problem in source.problems)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(write: Callable[[str], Path]) -> None:
    file = write(SMALLEST)
    file.chmod(stat.S_IWUSR)

    assert problems_of(file) == ["supportrelay.yaml: cannot be read (Permission denied)"]


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param("", id="by default"),
        pytest.param("storage: {url: 'sqlite:///state/relay.db'}\n", id="from the file's folder"),
        pytest.param("storage: {url: 'sqlite:////var/tmp/x/../relay.db'}\n", id="absolute"),
        pytest.param("storage: {url: 'sqlite:///${SUPPORTRELAY_TEST_STATE:-there}/relay.db'}\n", id="environment"),
    ],
)
def test_where_the_state_is_can_be_told_without_the_models(write: Callable[[str], Path], storage: str) -> None:
    """A command beside a running daemon asks no more than that."""
    file = write(SMALLEST + storage)

    for environment in ({}, {"SUPPORTRELAY_TEST_STATE": "here"}):
        assert state_folder_of(file, environment) == load(file, environment).state_folder


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: [", id="no YAML"),
        pytest.param("", id="empty"),
        pytest.param("[a, b]", id="a list"),
        pytest.param("storage: here", id="no mapping"),
        pytest.param("storage: {url: [a]}", id="no text"),
        pytest.param("storage: {url: 'postgresql://x/y'}", id="another store"),
        pytest.param("storage: {url: 'sqlite:///${SUPPORTRELAY_NOT_SET}/a.db'}", id="variable not set"),
    ],
)
def test_where_the_state_is_cannot_be_told_from_a_broken_file(write: Callable[[str], Path], text: str) -> None:
    assert state_folder_of(write(text), {}) is None


def test_the_secrets_in_use_are_known_so_that_the_log_can_leave_them_out(write: Callable[[str], Path]) -> None:
    (write("").parent / "secret").write_text("from-a-file\n")
    text = SMALLEST.replace("outbound: {outbox: true}", "").rstrip() + (
        "\noutbound:\n"
        "  - {host: a.example, auth: {kind: password, user: relay, password: '${PASSWORD}'}}\n"
        "  - {host: b.example, auth: {kind: xoauth2, user: relay, token_file: secret}}\n"
    )

    assert set(load(write(text), {"PASSWORD": "from-the-environment"}).secrets) == {
        "from-the-environment",
        "from-a-file",
    }


@pytest.mark.parametrize("keep", ["{raw: 90d, trace: 30d}", "{trace: 400d}"])
def test_what_is_known_of_a_mail_is_not_removed_before_the_mail(write: Callable[[str], Path], keep: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(SMALLEST + f"keep: {keep}\n"), {})
    assert "trace must not be shorter than raw" in str(caught.value)
    assert load(write(SMALLEST + "keep: {raw: 90d, trace: 400d}\n"), {}).keep.raw == timedelta(days=90)
