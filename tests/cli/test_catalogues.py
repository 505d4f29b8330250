"""The catalogues say everything in both languages."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from supportrelay.core.automatic import AutomaticKind
from supportrelay.core.decision import Direction, Disposition, Fallback, Place
from supportrelay.core.delivery import Cause, DeliveryKind, DeliveryState, MessageState, OutcomeKind
from supportrelay.core.directory import DealState
from supportrelay.core.ticket import HitBy, Stage
from supportrelay.i18n import Catalogue, read_catalogue
from supportrelay.log import EVENTS

SRC = Path(__file__).parents[2] / "src" / "supportrelay"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
REASON_FAMILIES = (
    "author|automatic|disposition|duplicate|loop|note|owners|passed_on|place|probe|recipients|report|rule|spam|thread"
)
REASON_LITERAL = re.compile(rf"(?:{REASON_FAMILIES})\.[a-z_]+")


def _sources(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((SRC / folder).rglob("*.py"))]


@cache
def _nodes(file: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(file.read_text("utf-8"))))


def _literals(file: Path) -> set[str]:
    return {n.value for n in _nodes(file) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def _constant(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant)
    return str(node.value)


def _calls(file: Path, method: str) -> list[ast.Call]:
    return [
        node
        for node in _nodes(file)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
        and node.args
    ]


def test_both_languages_have_the_same_msgids() -> None:
    assert set(read_catalogue("en")) == set(read_catalogue("ja"))
    assert len(read_catalogue("en")) > 250


def test_both_languages_have_the_same_placeholders() -> None:
    """A value that one language leaves out is a fact that its readers never learn."""
    english, japanese = read_catalogue("en"), read_catalogue("ja")

    assert [m for m in english if set(PLACEHOLDER.findall(english[m])) != set(PLACEHOLDER.findall(japanese[m]))] == []


def test_every_reason_that_the_sources_give_has_a_sentence() -> None:
    """``Reason.of("code")`` anywhere, and literals of the families that are only ever reasons."""
    codes = {
        _constant(call.args[0])
        for file in _sources("core", "flow", "edge")
        for call in _calls(file, "of")
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "Reason"
        and isinstance(call.args[0], ast.Constant)
    }
    for file in _sources("core", "flow"):
        codes |= {text for text in _literals(file) if REASON_LITERAL.fullmatch(text)}

    assert len(codes) > 40
    assert [code for code in sorted(codes) if f"reason.{code}" not in read_catalogue("en")] == []


def _stage_reasons() -> list[str]:
    columns = ["inbound", "outbound_to", "outbound_cc", "outbound_other", "calendar", "keep", "rule"]
    source = (SRC / "core" / "stages.py").read_text("utf-8")
    refusals = re.findall(r'return "(not_closed_\w+)"', source)
    assert refusals
    return [f"stage.{verb}_{column}" for verb in ("opened", "moved") for column in columns] + [
        f"stage.{refusal}" for refusal in refusals
    ]


@pytest.mark.parametrize(
    "code",
    [
        *(f"place.{one}" for one in Place),
        *(f"automatic.{one}" for one in AutomaticKind),
        *(f"disposition.{one}" for one in Disposition),
        *(f"thread.{one}" for one in HitBy),
        *_stage_reasons(),
        "owners.no_owner",
        "owners.no_reachable_owner",
    ],
)
def test_reasons_that_are_put_together_have_sentences(code: str) -> None:
    assert f"reason.{code}" in read_catalogue("en")


@pytest.mark.parametrize(
    "msgid",
    [
        *(f"direction.{one}" for one in Direction),
        *(f"story.wrote.{one}" for one in Direction),
        *(f"support_in.{one}" for one in Place),
        *(f"fallback.{one}" for one in Fallback),
        *(f"disposition.{one}" for one in Disposition),
        *(f"stage.{one}" for one in Stage),
        *(f"message_state.{one}" for one in MessageState),
        *(f"delivery_state.{one}" for one in DeliveryState),
        *(f"delivery_kind.{one}" for one in DeliveryKind),
        *(f"outcome.{one}" for one in OutcomeKind),
        *(f"cause.{one}" for one in Cause if one != Cause.NONE),
        *(f"deal_state.{one}" for one in DealState),
    ],
)
def test_every_enumeration_has_words(msgid: str) -> None:
    assert msgid in read_catalogue("en")


NOTE = re.compile(
    r"(?:banner|date|form|from|header|hop|line_ends|message_id|part|unparsed|minimal_header)[._][a-z0-9_.]+:?|unparsed:?"
)


def test_every_note_on_a_copy_has_words() -> None:
    """`Copy.notes` end up in trace."""
    noted: set[str] = set()
    for name in ("banner", "copy_headers", "headers", "long_lines", "part_edit", "rewrite", "seven_bit"):
        noted |= {text.rstrip(":") for text in _literals(SRC / "core" / f"{name}.py") if NOTE.fullmatch(text)}

    assert {"part.to_utf8", "header.garbage", "unparsed"} <= noted
    assert [note for note in sorted(noted) if f"note.{note}" not in read_catalogue("en")] == []


def test_every_event_of_the_record_has_a_sentence() -> None:
    """What is written into ``changes`` is told by trace."""
    written: set[str] = set()
    for file in _sources("edge/store", "flow"):
        for node in _nodes(file):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in {"Change", "change_row"}:
                written |= {str(a.value) for a in node.args if isinstance(a, ast.Constant) and "." in str(a.value)}

    assert {"message.accepted", "ticket.opened"} <= written
    assert [what for what in sorted(written) if f"event.{what}" not in read_catalogue("en")] == []


def test_every_event_that_is_logged_stands_in_the_list() -> None:
    """One closed list of events (STYLE 1, KumoMTA)."""
    logged = {
        _constant(call.args[0])
        for file in sorted(SRC.rglob("*.py"))
        for method in ("debug", "info", "warning", "error", "exception", "critical")
        for call in _calls(file, method)
        if isinstance(call.args[0], ast.Constant)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name | ast.Attribute)
        and (call.func.value.id if isinstance(call.func.value, ast.Name) else call.func.value.attr).strip("_") == "log"
    }

    assert sorted(logged - set(EVENTS)) == []


@pytest.mark.parametrize("language", ["fr", "pl", "xx", ""])
def test_a_language_without_catalogue_speaks_english(language: str) -> None:
    assert Catalogue(language).text("stage.WAITING") == "WAITING"


def test_stages_are_named_as_the_language_names_them() -> None:
    assert Catalogue("ja").text("stage.WAITING") == "対応中"
    sentence = Catalogue("ja").reason({"code": "stage.moved_inbound", "before": "WAITING", "stage": "NEW"})
    assert "対応中" in sentence
    assert "NEW" in sentence


def test_an_unknown_code_is_shown_with_its_values() -> None:
    assert Catalogue("ja").reason({"code": "new.thing", "ticket": "SR-1"}) == "new.thing (ticket=SR-1)"
    assert Catalogue("en").text("nothing.here") == "nothing.here"


def test_a_missing_value_leaves_its_placeholder_and_strange_values_are_only_text() -> None:
    """Values come from mails: ``{0.__class__}`` in a subject is text (RELIABILITY C49)."""
    words = Catalogue("en")

    assert "{author}" in words.text("reason.author.external")
    assert "{0.__class__} {x}" in words.text("reason.author.external", author="{0.__class__} {x}")
