"""user: accounts, with and without a daemon; a password is typed unseen or comes from a file, never as an argument."""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.desk_commands import Desk
from supportrelay.core.login_limits import login_keys
from supportrelay.edge.accounts.passwords import PasswordChecker
from supportrelay.edge.store import SqliteStore

PASSWORD = "correct horse battery"
Write = Callable[[str, str], Path]


def logs_in(desk: Desk, name: str, password: str) -> bool:
    async def ask() -> bool:
        store, checker = SqliteStore(desk.config.parent / "state" / "relay.db"), PasswordChecker()
        try:
            account = store.account(name)
            return account is not None and await checker.check(account.password_hash, password)
        finally:
            checker.close()
            await store.aclose()

    return asyncio.run(ask())


def test_an_account_is_made_changed_and_removed(desk: Desk, write: Write) -> None:
    file = write("password", PASSWORD + "\r\nsecond line\n")
    done = desk.run(
        "user", "add", "Ann@Desk.TEST", "--address", "ann.b@desk.test", "--password-file", str(file), "--language", "en"
    )
    assert done.stdout == "ann@desk.test may log in, and write as: ann@desk.test, ann.b@desk.test (and as the desk).\n"
    assert logs_in(desk, "ann@desk.test", PASSWORD)

    desk.run("user", "passwd", "ann@desk.test", typed="another horse battery\n")
    assert logs_in(desk, "ann@desk.test", "another horse battery")
    assert not logs_in(desk, "ann@desk.test", PASSWORD)

    changed = desk.json("user", "addresses", "ann@desk.test", "--add", "*@news.test", "--remove", "ann.b@desk.test")
    assert changed == {"name": "ann@desk.test", "addresses": ["*@news.test"]}
    assert desk.json("user", "disable", "ann@desk.test") == {"name": "ann@desk.test", "disabled": True}
    (listed,) = desk.json("user", "list")
    assert set(listed) == {
        *("name", "addresses", "disabled", "has_password"),
        *("failed_logins", "blocked", "made_at", "changed_at"),
    }
    assert (listed["disabled"], listed["has_password"], listed["addresses"]) == (True, True, ["*@news.test"])
    assert "argon2" not in desk.run("user", "list").stdout
    desk.run("user", "enable", "ann@desk.test")
    desk.run("user", "remove", "ann@desk.test")
    assert desk.json("user", "list") == []


def test_accounts_are_made_while_the_daemon_runs(running: Desk) -> None:
    assert running.run("user", "add", "scanner", typed=f"{PASSWORD}\n").stdout == (
        "scanner はログインできます。窓口のアドレスのほか、次のアドレスで送信できます: なし\n"
    )
    assert [one["name"] for one in running.json("user", "list")] == ["scanner"]
    running.run("user", "remove", "scanner")


@pytest.mark.parametrize(
    ("arguments", "typed", "told"),
    [
        pytest.param(["add", "ann"], "short", "12 characters", id="short"),
        pytest.param(["add", "ann"], "", "1 to 256", id="none"),
        pytest.param(["add", "ann"], "x" * 300, "1 to 256", id="long"),
        pytest.param(["add", "ann"], "aaaaaaaaaaaaaaa", "tried", id="one-letter"),
        pytest.param(["add", "ann@longdomain.test"], "ANN@longdomain.test", "tried", id="his-name"),
        pytest.param(["add", "ann lee"], PASSWORD, "not a name", id="no-name"),
        pytest.param(["add", "ann", "--address", "nobody"], PASSWORD, "not an address", id="no-address"),
        pytest.param(["passwd", "bob"], PASSWORD, "no user bob", id="nobody"),
        pytest.param(["disable", "bob"], "", "no user bob", id="nobody-to-disable"),
        pytest.param(["enable", "bob"], "", "no user bob", id="nobody-to-enable"),
        pytest.param(["remove", "bob"], "", "no user bob", id="nobody-to-remove"),
        pytest.param(["addresses", "bob"], "", "no user bob", id="nobody-to-ask-about"),
    ],
)
def test_what_cannot_be_is_exit_1_and_changes_nothing(desk: Desk, arguments: list[str], typed: str, told: str) -> None:
    result = desk.run("user", *arguments, typed=typed, exit_code=1)

    assert told in result.stderr
    assert result.stdout == ""
    assert not typed or typed not in result.stderr
    assert desk.json("user", "list") == []


def test_a_name_is_given_once(desk: Desk) -> None:
    desk.run("user", "add", "ann", typed=PASSWORD)
    assert "already" in desk.run("user", "add", "ANN", typed=PASSWORD, exit_code=1).stderr


def test_a_password_is_no_argument(desk: Desk) -> None:
    """Everybody on the machine could read it."""
    desk.run("user", "add", "ann", PASSWORD, exit_code=2)


def _at_a_terminal(desk: Desk, *typed: str) -> tuple[int, str]:
    """``(exit status, what stood on the terminal)`` of `user add` for a person who types these lines."""
    person, terminal = pty.openpty()
    arguments = ["user", "add", "ann", "--language", "en", "--config", str(desk.config)]
    process = subprocess.Popen(
        [sys.executable, "-m", "supportrelay", *arguments], stdin=terminal, stdout=terminal, stderr=terminal,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    seen = b""
    for line in typed:
        count = seen.count(b": ")
        while seen.count(b": ") == count and (got := os.read(person, 1000)):
            seen += got
        os.write(person, line.encode() + b"\n")
    try:
        while got := os.read(person, 1000):
            seen += got
    except OSError:  # Linux says EIO when the last one has closed it
        pass
    os.close(person)
    return process.wait(60), seen.decode()


def test_a_person_types_it_twice_and_nobody_sees_it(desk: Desk) -> None:
    code, seen = _at_a_terminal(desk, PASSWORD, PASSWORD)

    assert (code, seen.count("Password: "), seen.count("Once more: ")) == (0, 1, 1)
    assert "ann may log in" in seen
    assert PASSWORD not in seen


def test_a_name_that_was_guessed_at_is_shown_as_blocked_until_it_is_enabled(desk: Desk) -> None:
    desk.run("user", "add", "ann", typed=PASSWORD)

    async def guess() -> None:
        store = SqliteStore(desk.config.parent / "state" / "relay.db")
        key = login_keys("192.0.2.7", "ann").user
        for _ in range(30):
            await store.count_login_failure({key: 30}, datetime.now(UTC), timedelta(hours=1))
        await store.aclose()

    asyncio.run(guess())
    (listed,) = desk.json("user", "list")
    assert (listed["failed_logins"], listed["blocked"]) == (30, True)
    assert "blocked" in desk.run("user", "list", "--language", "en").stdout
    desk.run("user", "enable", "ann")
    (listed,) = desk.json("user", "list")
    assert (listed["failed_logins"], listed["blocked"]) == (0, False)
