"""What stands on standard output."""

import json
import sys
from io import BytesIO, TextIOWrapper

import pytest

from supportrelay.cli import printing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("件名 ok", "件名 ok", id="plain"),
        pytest.param("a\x1b[2Jb", "a\\x1b[2Jb", id="escape sequence"),
        pytest.param("a\nb\tc", "a\\x0ab\\x09c", id="line ends"),
        pytest.param("\u202egpj.exe", "\\x202egpj.exe", id="turned direction"),
        pytest.param(None, "", id="nothing"),
        pytest.param(3, "3", id="number"),
    ],
)
def test_strangers_text_steers_no_terminal(text: object, shown: str) -> None:
    assert printing.printable(text) == shown


def test_a_table_that_is_no_terminal_is_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long_id = "0" * 300
    printing.print_table(["ID", "件名"], [(long_id, "[red]x[/red] :smile: \x1b[31m"), ("b", "長い" * 200)])

    out = capsys.readouterr().out
    assert long_id in out
    assert "長い" * 200 in out
    assert "[red]x[/red] :smile: \\x1b[31m" in out
    assert "\x1b" not in out
    assert out.count("\n") == 3


def test_an_empty_table_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_table(["ID", "Stage"], [])

    assert capsys.readouterr().out.split() == ["ID", "Stage"]


def test_json_survives_a_terminal_that_knows_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(octets, encoding="ascii"))
    printing.print_json({"stage_label": "対応中"})
    sys.stdout.flush()

    assert json.loads(octets.getvalue().decode("ascii")) == {"stage_label": "対応中"}


@pytest.mark.parametrize("instant", ["", None, "no time"])
def test_an_instant_that_is_none_is_shown_as_it_is(instant: str | None) -> None:
    assert printing.local_time(instant) == (instant or "")
