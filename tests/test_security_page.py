"""docs/security.md names every attack, trap and fault once, and the tests it names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [
    *(f"C{number:02d}" for number in range(1, 65)),
    *(f"D{number:02d}" for number in (*range(1, 18), *range(20, 31))),
    *(f"F{number:02d}" for number in range(1, 39)),
]
_NOTHING = "not yet"


def _rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if re.match(r"\| [CDF]\d\d \|", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def _tests() -> set[str]:
    """Names of all test functions of the tree."""
    files = (file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in files for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}


def test_every_row_stands_there_once_and_in_order() -> None:
    assert [row[0] for row in _rows()] == ROWS


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in _rows()])
def test_a_row_says_what_is_done_and_what_shows_it(row: list[str]) -> None:
    assert len(row) == 4
    _, threat, does, shown = row

    assert threat
    assert does
    assert shown == _NOTHING or re.findall(r"`(test_\w+)`", shown)


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))

    assert len(named) > 100
    assert sorted(named - _tests()) == []
