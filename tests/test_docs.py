"""The documentation is part of the contract: what people may write or will read stands in it (STYLE 4)."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from pydantic import BaseModel

from supportrelay.bootstrap import check_rules
from supportrelay.cli import main
from supportrelay.config import Config, load
from supportrelay.config.reference import example_text
from supportrelay.config.rule_actions import ActionsConfig, RouteConfig, TicketConfig
from supportrelay.config.rule_conditions import ConditionsConfig, HoursConfig
from supportrelay.config.rules import ExampleConfig, GivenConfig, RuleConfig
from supportrelay.core.automatic import RULE_WORDS
from supportrelay.core.decision import Direction, Disposition, Fallback, Place
from supportrelay.core.delivery import DeliveryKind, DeliveryState, MessageState
from supportrelay.core.rule_conditions import RULE_DIRECTIONS
from supportrelay.core.rule_examples import EXPECTABLE
from supportrelay.core.rules import Priority, RouteKind
from supportrelay.core.ticket import Stage
from supportrelay.i18n import read_catalogue
from supportrelay.log import EVENTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {page.name: page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("*.md"))}
RULES = PAGES["rules.md"]
RULE_MODELS = (
    ConditionsConfig,
    HoursConfig,
    ActionsConfig,
    RouteConfig,
    TicketConfig,
    RuleConfig,
    ExampleConfig,
    GivenConfig,
)


def keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


# --- rules ---------------------------------------------------------------------------------------------------------


def _rows(title: str) -> set[str]:
    """The words in the first column of the table below a heading."""
    section = RULES.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return {word for line in section.splitlines() if line.startswith("| `") for word in _code(line.split("|")[1])}


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_condition_has_its_row() -> None:
    assert _rows("Conditions") == set(keys(ConditionsConfig))


def test_every_action_has_its_row() -> None:
    assert _rows("Actions") == set(keys(ActionsConfig))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(sorted(RULE_DIRECTIONS), id="direction"),
        pytest.param([str(place) for place in Place], id="support_in"),
        pytest.param(sorted(set(RULE_WORDS.values())), id="automatic"),
        pytest.param([str(priority) for priority in Priority], id="priority"),
        pytest.param([str(stage) for stage in Stage if stage != "OTHER"], id="stage"),
        pytest.param([str(kind) for kind in RouteKind], id="route_to"),
        pytest.param(keys(RouteConfig), id="route"),
        pytest.param(keys(TicketConfig), id="ticket"),
        pytest.param(keys(HoursConfig), id="hours"),
        pytest.param(keys(GivenConfig), id="given"),
        pytest.param(keys(ExampleConfig), id="example"),
        pytest.param(sorted(EXPECTABLE), id="expect"),
    ],
)
def test_every_word_of_rules_is_told(words: list[str]) -> None:
    told = " ".join(_code(re.sub(r"^```.*?^```", "", RULES, flags=re.MULTILINE | re.DOTALL)))

    assert [word for word in words if not re.search(rf"\b{word}\b", told)] == []


def _yaml_blocks() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", RULES, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(_yaml_blocks())))
def test_rules_to_copy_from_are_taken_as_they_stand(number: int, tmp_path: Path) -> None:
    """Examples of rules included: what stands on the page comes out."""
    config: dict[str, Any] = {
        "addresses": [
            {
                "name": "reflectle",
                "address": "support@reflectle.jp",
                "sender": {"address": "hubspot@reflectle.jp"},
                "allmember": ["allmember@co-growth.jp"],
            }
        ],
        "internal_domains": ["reflectle.jp", "co-growth.jp"],
        "admins": ["it@co-growth.jp"],
        "outbound": {"outbox": True},
    }
    file = tmp_path / "supportrelay.yaml"
    file.write_text(yaml.safe_dump(config | yaml.safe_load(_yaml_blocks()[number]), allow_unicode=True), "utf-8")

    check_rules(load(file, {}))


# --- configuration, commands ---------------------------------------------------------------------------------------


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The model and all that its fields name, but those of rules."""
    if model in seen or model in RULE_MODELS:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for inner in _named(field.annotation):
            yield from _models(inner, seen)


def _named(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _named(argument)


def test_every_key_of_the_configuration_stands_in_the_example() -> None:
    """With its unit, default and reason, which the models print (tests/config)."""
    written = set(re.findall(r"^[ #-]*([a-z][a-z0-9_]*):", example_text(), re.MULTILINE))
    models = list(_models(Config, set()))

    assert len(models) > 10
    assert {f"{model.__name__}.{key}" for model in models for key in keys(model) if key not in written} == set()


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _commands(found, (*path, name))


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in _commands(main)])
def test_every_command_stands_in_the_readme(path: tuple[str, ...]) -> None:
    """Its table names a group once in a row: `queue list`, `show`, ..."""
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    group = [row for row in rows if path[0] in {words.split()[0] for words in _code(row)}]
    named = {word for row in group for words in _code(row) for word in words.split()}

    assert set(path) <= named


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("print_words", ROOT / "tests" / "print_words.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_words_is_what_the_program_prints(printer: ModuleType) -> None:
    """``.venv/bin/python tests/print_words.py > docs/words.md`` writes it anew."""
    assert PAGES["words.md"].splitlines() == list(printer.print_words())


def test_the_page_of_events_ends_with_what_the_log_may_say(printer: ModuleType) -> None:
    assert PAGES["events.md"].splitlines()[-len(EVENTS) - 2 :] == list(printer.print_events())


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            [m.removeprefix("reason.") for m in read_catalogue("en") if m.startswith("reason.")], id="reasons"
        ),
        pytest.param([m.removeprefix("event.") for m in read_catalogue("en") if m.startswith("event.")], id="changes"),
        pytest.param(list(Direction), id="direction"),
        pytest.param(list(Place), id="support_in"),
        pytest.param(list(Fallback), id="fallback"),
        pytest.param(list(Disposition), id="disposition"),
        pytest.param(list(Stage), id="stage"),
        pytest.param(list(MessageState), id="message_state"),
        pytest.param(list(DeliveryState), id="delivery_state"),
        pytest.param(list(DeliveryKind), id="delivery_kind"),
    ],
)
def test_every_word_of_a_closed_list_has_its_row(words: list[str]) -> None:
    told = {line.split("|")[1].strip(" `") for line in PAGES["words.md"].splitlines() if line.startswith("| `")}

    assert len(words) > 2
    assert [str(word) for word in words if str(word) not in told] == []


def test_pages_link_to_what_is_there() -> None:
    linked = {(name, link) for name, text in PAGES.items() for link in re.findall(r"\]\(([^)#:]+)\)", text)}
    linked |= {("../README.md", link) for link in re.findall(r"\]\(([^)#:]+)\)", README)}

    assert linked
    assert [(name, link) for name, link in linked if not ((ROOT / "docs" / name).parent / link).exists()] == []
