"""The documentation is part of the contract: what is there stands in it, and what stands in it is there (STYLE 1)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from supportrelay.cli import main
from supportrelay.core.delivery import OutcomeKind
from supportrelay.i18n import read_catalogue

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
EVENT_PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                assert found is not None
                yield f"{name} {below}", found
        else:
            assert command is not None
            yield name, command


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in _commands()])
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    (line,) = [line for line in COMMANDS.splitlines() if re.match(rf"\| .*`{name}[ `]", line) and "JSON" not in line][
        :1
    ]
    options = {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }

    assert [one for one in sorted(options - {"--config", "--language"}) if one not in line] == []


def test_steps_of_verify_are_listed_completely() -> None:
    steps = {m.removeprefix("verify.") for m in read_catalogue("en") if m.startswith("verify.")} - {"failed"}
    listed = COMMANDS.partition("Steps of `verify`:")[2]

    assert set(re.findall(r"`(\w+)`", listed)) == steps


def _changes() -> set[str]:
    """What is written into ``changes`` anywhere in the sources."""
    found = {f"delivery.{one}" for one in OutcomeKind}
    for file in (ROOT / "src" / "supportrelay").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            name = getattr(node, "func", None)
            if isinstance(node, ast.Call) and getattr(name, "id", "") in {"Change", "change_row"}:
                found |= {str(a.value) for a in node.args if isinstance(a, ast.Constant) and "." in str(a.value)}
    return found


def test_every_change_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_]+\.\w+)`", EVENT_PAGE))

    assert sorted(_changes() - documented) == []
