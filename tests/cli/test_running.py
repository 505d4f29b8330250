"""Commands beside a running daemon."""

import email
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from cli.desk_commands import MAIL, Desk


def test_the_ticket_is_listed_in_the_shape_of_the_contract(running: Desk) -> None:
    ticket = next(t for t in running.json("tickets", "list") if t["subject"] == "Broken")

    assert ticket["id"].startswith("SR-")
    assert ticket["stage"] in {"NEW", "WAITING", "CLOSED"}
    assert ticket["customer"] == "ann@customer.test"
    assert ticket["company"] == "Acme 株式会社"
    assert ticket["deal"] == "Rollout"
    assert ticket["owners"] == ["mori@desk.test"]
    assert ticket["address"] == "support@desk.test"
    assert ticket["external_id"] is None
    assert ticket["messages"] == 1
    assert ticket["created_at"].endswith("Z")


def test_a_ticket_is_moved_by_its_japanese_word_and_shown(running: Desk) -> None:
    assert "SR-1 を 対応中 に移しました。" in running.run("tickets", "move", "SR-1", "対応中").stdout
    assert running.json("tickets", "list", "--stage", "WAITING")[0]["stage_label"] == "対応中"
    shown = running.run("tickets", "show", "1").stdout
    assert "SR-1  対応中  Broken" in shown
    assert "さんがチケット SR-1 を 対応中 に移しました。" in shown
    assert "moved ticket SR-1 to WAITING." in running.run("tickets", "show", "SR-1", "--language", "en").stdout


def test_a_trace_tells_the_whole_life_in_the_desks_language(running: Desk) -> None:
    told = running.run("trace", "m1@customer.test").stdout

    assert "現在: 配送済み" in told
    assert "社外の ann@customer.test から" in told
    assert "新しいチケット SR-1 が NEW に作られました。" in told
    assert "お客様のメールドメイン" in told or "連絡先として登録" in told
    assert "mori@desk.test: 届きました(1 回目)。" in told
    assert "{" not in told
    life = running.json("trace", "<m1@customer.test>")
    assert life["state"] == "delivered"
    assert life["decision"]["ticket"]["id"] == "SR-1"
    assert "delivered (attempt 1)" in running.run("trace", life["queue_id"], "--language", "en").stdout


def test_the_raw_mail_comes_back_as_it_was_received(running: Desk) -> None:
    queue_id = running.json("trace", "<m1@customer.test>")["queue_id"]
    raw = running.run("queue", "show", queue_id, "--raw").stdout_bytes

    assert raw.endswith(b"\r\n\r\nIt is broken.\r\n")
    assert b"X-Supportrelay" not in raw
    assert "現在" not in running.run("queue", "show", queue_id).stdout
    assert queue_id in running.run("queue", "list", "--all").stdout
    assert running.json("queue", "list") == []


def test_the_outbox_shows_what_would_have_been_sent(running: Desk) -> None:
    (kept,) = [one for one in running.json("outbox", "list") if one["subject"] == "Broken"]

    assert kept["recipient"] == "mori@desk.test"
    mail = email.message_from_bytes(running.run("outbox", "show", str(kept["number"])).stdout_bytes)
    assert mail["Message-ID"] == "<m1@customer.test>"
    assert "relay@desk.test" in mail["From"]
    assert kept["queue_id"] in running.run("outbox", "list").stdout
    assert running.run("outbox", "show", "nothing", exit_code=1).stderr
    read = running.run("outbox", "show", str(kept["number"]), "--text").stdout
    assert "宛先: mori@desk.test" in read
    assert "It is broken." in read


def test_verify_goes_the_whole_way_and_cleans_up(running: Desk) -> None:
    before = running.json("tickets", "list")

    result = running.run("verify", "--reader", "me@desk.test", "--timeout", "20")
    assert "FAIL" not in result.stdout
    assert "me@desk.test 宛の写しを受け取りました" in result.stdout
    assert "all@desk.test" in result.stdout  # what cannot be known
    assert running.json("tickets", "list") == before
    steps = running.json("verify", "--reader", "me@desk.test")
    assert [s["step"] for s in steps] == [
        "accepted",
        "decided",
        "delivered",
        "way_back",
        "unknowable_way_back",
        "cleaned",
        "unknowable_allmember",
    ]
    assert {m["ticket"] for m in running.json("queue", "list", "--all") if "verify" in m["subject"]} == {None}
    probes = [m for m in running.json("outbox", "list") if m["subject"].startswith("supportrelay verify")]
    assert {m["recipient"] for m in probes} == {"me@desk.test"}


def test_verify_says_what_cannot_be_known_of_an_allmember(running: Desk) -> None:
    result = running.run("verify", "--address", "all@desk.test", "--reader", "me@desk.test", "--language", "en")

    assert "cannot be known from here" in result.stdout


def test_health_answers_beside_the_mail(running: Desk) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.web_port}/healthz", timeout=10) as response:
        assert json.load(response) == {"status": "ok"}


def test_check_knows_that_its_own_daemon_has_the_ports(running: Desk) -> None:
    assert running.run("check").stdout == "ok\n"


def test_a_command_is_heard_although_the_file_is_broken_by_now(running: Desk) -> None:
    """The daemon runs on what it read; without one a broken file is exit 2."""
    right = running.config.read_text("utf-8")
    running.config.write_text(right.replace("language: ja", "languge: ja"), "utf-8")
    try:
        assert "お客様" in running.run("tickets", "list").stdout
        assert running.run("check", exit_code=2).stderr
    finally:
        running.config.write_text(right, "utf-8")


def test_a_command_beside_a_daemon_imports_little(running: Desk) -> None:
    """Commands start quickly: no models, no log, no event loop, no mail, no public suffixes."""
    heavy = (
        "pydantic",
        "structlog",
        "asyncio",
        "publicsuffixlist",
        "rich",
        "babel",
        "jinja2",
        "supportrelay.bootstrap",
    )
    script = (
        "import sys\n"
        "from supportrelay.cli import main\n"
        f"main(['tickets', 'list', '--config', {str(running.config)!r}], standalone_mode=False)\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_owners_changed_by_a_command_count_for_the_next_mail(running: Desk) -> None:
    running.run("crm", "owners", "Rollout", "second@desk.test")
    running.run("crm", "refresh", "customer.test")
    running.send(MAIL.replace("m1@", "m2@").replace("Broken", "Another thing altogether"))
    running.run("queue", "wait", "--timeout", "20")

    assert running.json("trace", "m2@customer.test")["decision"]["recipients"] == ["second@desk.test"]
    running.run("crm", "owners", "Rollout", "mori@desk.test")


def test_a_mail_is_held_by_a_person_only_while_there_is_something_to_hold(running: Desk) -> None:
    queue_id = running.json("trace", "<m1@customer.test>")["queue_id"]

    assert running.run("queue", "release", queue_id, exit_code=1).stderr
    assert queue_id in running.run("queue", "retry", queue_id).stdout
    running.run("queue", "retry", "--all")
    assert running.run("queue", "hold", "nothing", exit_code=1).stderr


def test_two_tickets_become_one(running: Desk) -> None:
    for name, subject in (("m3", "First of two subjects"), ("m4", "Second of two subjects")):
        running.send(MAIL.replace("m1@", f"{name}@").replace("Broken", subject))
    running.run("queue", "wait", "--timeout", "20")
    first, second = (running.json("trace", f"{name}@customer.test")["ticket"] for name in ("m3", "m4"))

    assert f"{second} を {first} に統合しました。" in running.run("tickets", "merge", second, first).stdout
    assert running.run("tickets", "move", second, "NEW", exit_code=1).stderr
    assert len(running.json("tickets", "show", first)["messages_list"]) == 2


def test_a_second_daemon_on_the_same_state_is_refused(running: Desk) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "supportrelay", "serve", "--config", str(running.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "already running" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_else_is_not_heard(running: Desk, tmp_path: Path) -> None:
    """The socket is 0600; who cannot even reach it is told that a relay may be running as another user."""
    script = (
        "import os, sys\n"
        "from click.testing import CliRunner\n"
        "from supportrelay.cli import main\n"
        "import supportrelay.config, supportrelay.cli.tickets, supportrelay.admin.state\n"
        "os.seteuid(54321)\n"
        f"result = CliRunner().invoke(main, ['tickets', 'list', '--config', {str(running.config)!r}])\n"
        "print(result.exit_code, result.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert not done.stdout.startswith("0"), done.stdout
