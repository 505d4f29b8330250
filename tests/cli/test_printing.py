"""What stands on standard output."""

import json
import re
import sys
from io import BytesIO, StringIO, TextIOWrapper

import pytest

from supportrelay.cli import printing
from supportrelay.i18n import local_time


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("件名 ok", "件名 ok", id="plain"),
        pytest.param("a\x1b[2Jb", "a\\x1b[2Jb", id="escape sequence"),
        pytest.param("a\nb\tc", "a\\x0ab\\x09c", id="line ends"),
        pytest.param("件名\u3000お見積り", "件名\u3000お見積り", id="Japanese space"),
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


@pytest.mark.parametrize(
    ("natural", "least", "room", "widths"),
    [
        pytest.param([5, 20], [5, 8], 40, [5, 20], id="room for all"),
        pytest.param([5, 30, 30], [5, 8, 10], 35, [5, 15, 15], id="what is left is shared"),
        pytest.param([5, 30], [5, 30], 20, [5, 15], id="even the least is too much"),
        pytest.param([300, 300], [300, 300], 10, [5, 5], id="hardly any room"),
        pytest.param([9, 9, 9], [9, 9, 9], 3, [3, 3, 3], id="none"),
        pytest.param([], [], 80, [], id="no columns"),
    ],
)
def test_columns_share_the_room_that_is_there(
    natural: list[int], least: list[int], room: int, widths: list[int]
) -> None:
    assert printing.fitted_widths(natural, least, room) == widths


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_on_a_terminal_addresses_break_before_their_at_and_no_word_is_cut(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    printing.print_table(
        ["ID", "お客様", "件名", "担当者"],
        [("SR-1", ["株式会社さくら製作所", "yamada@sakura-works.example"], "[b]x[/b] printer", ["tanaka@relay.test"])],
    )

    drawn = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    lines = [line.rstrip() for line in drawn.splitlines()]
    assert [line for line in lines if printing.width_of(line) > int(columns)] == []
    assert "@sakura-works.example" in drawn
    assert "[b]x[/b]" in drawn
    assert lines[2].startswith("SR-1  株式会社さくら製作所")


def test_an_empty_table_may_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_table(["ID", "Stage"], [], empty="Nothing here.")

    assert capsys.readouterr().out == "Nothing here.\n"


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
    assert local_time(instant) == (instant or "")
    assert printing.local_minute(instant) == (instant or "")
