"""Commands without a daemon: they act on the state themselves."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.desk_commands import COMPANIES, MAIL, Desk
from supportrelay.cli import main
from supportrelay.config import load

Write = Callable[[str, str], Path]


def test_every_command_says_what_it_does() -> None:
    runner = CliRunner()
    commands = (
        "|serve|check|init|explain|trace|queue|queue wait|tickets|tickets move|crm|crm import|outbox|absent|verify"
    )
    for command in (words.split() for words in commands.split("|")):
        result = runner.invoke(main, [*command, "--help"])
        assert result.exit_code == 0, result.output
        if command and command[0] not in {"queue", "tickets", "crm", "outbox"}:
            assert "--config" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["burn"], id="no such command"),
        pytest.param(["queue", "burn"], id="no such subcommand"),
        pytest.param(["tickets", "move", "SR-1", "ready"], id="no such stage"),
        pytest.param(["explain", "/nothing/here.eml"], id="no such file"),
        pytest.param(["absent", "a@desk.test", "--until", "tomorrow"], id="no date"),
        pytest.param(["absent", "a@desk.test", "--until", "2030-01-01", "--back"], id="both"),
        pytest.param(["crm", "owners", "Rollout"], id="no owner"),
        pytest.param(["crm", "owners", "Rollout", "a@desk.test", "--clear"], id="owner and clear"),
        pytest.param(["queue", "retry"], id="nothing to retry"),
        pytest.param(["verify"], id="no reader"),
    ],
)
def test_wrong_use_is_exit_2_and_says_nothing_on_standard_output(desk: Desk, arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


def test_a_wrong_configuration_is_exit_2_with_every_mistake_by_line(desk: Desk) -> None:
    text = desk.config.read_text("utf-8").replace("language: ja", "languge: ja").replace("[it@desk.test]", "[]")
    desk.config.write_text(text, encoding="utf-8")

    result = desk.run("check", exit_code=2)
    lines = result.stderr.splitlines()
    assert result.stdout == ""
    assert len(lines) >= 2
    assert all(line.startswith(f"{desk.config}:") for line in lines)
    assert desk.run("tickets", "list", exit_code=2).stderr


def test_no_configuration_at_all_is_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUPPORTRELAY_CONFIG", raising=False)
    result = CliRunner().invoke(main, ["check"])

    assert result.exit_code == 2
    assert "no configuration" in result.stderr


def test_the_configuration_may_come_from_the_environment_or_stand_before_the_subcommand(desk: Desk) -> None:
    runner = CliRunner(env={"SUPPORTRELAY_CONFIG": str(desk.config)})
    assert runner.invoke(main, ["tickets", "list", "--json"]).stdout.strip() == "[]"
    result = CliRunner().invoke(main, ["tickets", "--config", str(desk.config), "list", "--json"])
    assert result.stdout.strip() == "[]"


def test_check_says_ok_and_warns_on_standard_error(desk: Desk) -> None:
    text = desk.config.read_text("utf-8").replace("127.0.0.9/32", "10.0.0.0/8")
    desk.config.write_text(text, encoding="utf-8")

    result = desk.run("check")
    assert result.stdout == "ok\n"
    assert "10.0.0.0/8" in result.stderr


def test_check_names_a_port_in_use_by_line(desk: Desk) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", desk.smtp_port))
        other.listen()
        result = desk.run("check", exit_code=2)

    assert f"{desk.config}:" in result.stderr
    assert str(desk.smtp_port) in result.stderr


def test_check_online_tries_the_smarthost_and_says_which_step_failed(desk: Desk) -> None:
    text = desk.config.read_text("utf-8")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        text = text.replace("{outbox: true}", f"{{host: 127.0.0.1, port: {port}, tls: none}}")
        desk.config.write_text(text, encoding="utf-8")
        result = desk.run("check", "--online", exit_code=1)

    assert f"127.0.0.1:{port}: " in result.stdout
    assert "refused" in result.stdout


def test_check_online_with_an_outbox_needs_no_network(desk: Desk) -> None:
    result = desk.run("check", "--online")

    assert "外には送られません" in result.stdout
    assert result.stdout.endswith("ok\n")


def test_init_asks_six_questions_and_what_it_writes_is_right(tmp_path: Path) -> None:
    file = tmp_path / "new" / "supportrelay.yaml"
    answers = "support@firm.example\n\nnot an address\nall@firm.example\nsupport@firm.example\nit@firm.example\n\nja\n"
    result = CliRunner(env={"LANG": "ja_JP.UTF-8", "LC_ALL": "", "LC_MESSAGES": ""}).invoke(
        main, ["init", str(file)], input=answers
    )

    assert result.exit_code == 0, result.output
    assert "not an address" in result.stderr
    assert "go round in a circle" in result.stderr
    assert "作成しました" in result.stdout
    assert load(file).desk().addresses[0].address == "support@firm.example"
    assert CliRunner().invoke(main, ["init", str(file)]).exit_code == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_init_by_somebody_who_may_not_write_the_services_folder_keeps_the_state_beside_the_file(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / "supportrelay.yaml"
    script = (
        "import os\n"
        "from click.testing import CliRunner\n"
        "from supportrelay.cli import main\n"
        "import supportrelay.cli.daemon, supportrelay.config.first\n"
        "from supportrelay.config import load, warnings\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "os.setuid(54321)\n"
        "typed = 'support@firm.example\\n\\nall@firm.example\\nit@firm.example\\n\\nja\\n'\n"
        "print(CliRunner().invoke(main, ['init', 'supportrelay.yaml'], input=typed).output)\n"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert load(file).state_folder == tmp_path / "state"


def test_companies_are_imported_shown_and_exported_as_json(desk: Desk, write: Write) -> None:
    file = write("more.yaml", COMPANIES)

    tried = desk.run("crm", "import", str(file), "--dry-run").stdout
    assert "追加 1" in tried
    assert desk.json("crm", "companies") == []
    assert desk.json("crm", "import", str(file))["deals"]["added"] == 1
    assert "Acme 株式会社" in desk.run("crm", "companies").stdout
    assert desk.json("crm", "deals")[0]["owners"] == ["mori@desk.test"]
    assert "進行中" in desk.run("crm", "deals").stdout


def test_a_bad_import_names_the_row_and_is_exit_1(desk: Desk, write: Write) -> None:
    file = write("bad.csv", "company,domains\nAcme,a.test\nBad,???\n")

    result = desk.run("crm", "import", str(file), exit_code=1)
    assert "bad.csv: line 3" in result.stderr
    assert desk.json("crm", "companies") == []


def test_an_import_that_is_no_text_is_exit_1_and_of_unknown_kind_exit_2(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in desk.run("crm", "import", str(tmp_path / "bad.yaml"), exit_code=1).stderr
    (tmp_path / "bad.xls").write_bytes(b"")
    desk.run("crm", "import", str(tmp_path / "bad.xls"), exit_code=2)


def test_owners_are_set_by_deal_and_a_fifth_is_an_error_that_says_so(desk: Desk, write: Write) -> None:
    desk.run("crm", "import", str(write("c.yaml", COMPANIES)))
    people = [f"p{n}@desk.test" for n in range(5)]

    assert "p0@desk.test, p1@desk.test" in desk.run("crm", "owners", "Rollout", *people[:2]).stdout
    fifth = desk.run("crm", "owners", "Rollout", *people, exit_code=1)
    assert "4 owners" in fifth.stderr
    assert desk.json("crm", "deals")[0]["owners"] == people[:2]
    desk.run("crm", "owners", "Acme 株式会社/Rollout", "--clear")
    assert desk.json("crm", "deals")[0]["owners"] == []


def test_an_owner_is_absent_through_the_last_day(desk: Desk) -> None:
    assert "不在" in desk.run("absent", "Mori@desk.test", "--until", "2099-12-24").stdout
    (away,) = desk.json("absent")
    assert away["address"] == "mori@desk.test"
    assert "2099-12-24(当日を含む)" in desk.run("absent").stdout
    desk.run("absent", "mori@desk.test", "--back")
    assert desk.json("absent") == []


def test_explain_tells_the_decision_and_leaves_no_trace(desk: Desk, write: Write) -> None:
    desk.run("crm", "import", str(write("c.yaml", COMPANIES)))
    file = write("mail.eml", MAIL)

    told = desk.json("explain", str(file))
    assert told["direction"] == "inbound"
    assert told["company"]["name"] == "Acme 株式会社"
    assert told["recipients"] == ["mori@desk.test"]
    assert told["ticket"] == {"id": None, "stage": "NEW", "action": "open", "priority": None}
    people = desk.run("explain", str(file)).stdout
    assert "お客様の会社は Acme 株式会社、商談は「Rollout」です。" in people
    assert "A copy would go to: mori@desk.test" in desk.run("explain", str(file), "--language", "en").stdout
    assert desk.json("tickets", "list") == []
    assert desk.json("queue", "list", "--all") == []


def test_explain_reads_standard_input_and_an_envelope(desk: Desk) -> None:
    mail = MAIL.replace("ann@customer.test", "mori@desk.test").replace("To:", "Cc: x@customer.test\nTo:")
    envelope = ("--mail-from", "mori@desk.test", "--rcpt", "support@desk.test", "--peer", "127.0.0.9")
    told = json.loads(desk.run("explain", "-", *envelope, "--json", typed=mail).stdout)

    assert told["direction"] == "outbound"
    assert told["proven"] is True


def test_waiting_for_an_idle_queue_returns_at_once(desk: Desk) -> None:
    desk.run("queue", "wait", "--timeout", "0")


def test_verify_without_a_daemon_is_refused(desk: Desk) -> None:
    assert "no relay is running" in desk.run("verify", "--reader", "me@desk.test", exit_code=1).stderr


def test_the_outbox_of_a_relay_that_sends_is_refused(desk: Desk) -> None:
    text = desk.config.read_text("utf-8").replace("{outbox: true}", "{host: smtp.desk.test}")
    desk.config.write_text(text, encoding="utf-8")

    assert "outbox" in desk.run("outbox", "list", exit_code=1).stderr


def test_a_store_from_the_future_or_broken_is_named_and_not_touched(desk: Desk) -> None:
    desk.run("tickets", "list")
    store = desk.config.parent / "state" / "relay.db"
    store.write_bytes(b"not a database at all" * 100)

    result = desk.run("tickets", "list", exit_code=1)
    assert "relay.db" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_elses_state_is_refused_when_no_daemon_runs(desk: Desk) -> None:
    desk.run("tickets", "list")
    script = (
        "import os, sys\n"
        "from click.testing import CliRunner\n"
        "from supportrelay.cli import main\n"
        "import supportrelay.config, supportrelay.bootstrap\n"
        "from supportrelay.admin import state\n"
        "from pathlib import Path\n"
        f"folder = Path({str(desk.config.parent / 'state')!r})\n"
        "os.chown(folder, 12345, 12345)\n"
        f"result = CliRunner().invoke(main, ['tickets', 'list', '--config', {str(desk.config)!r}])\n"
        "print(os.geteuid(), result.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    # Root acts as the owner: files of the store that root made are not 12345's to write.
    assert done.stdout.split()[0] == "12345", done.stderr
