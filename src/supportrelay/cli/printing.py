"""Answers on standard output: JSON for programs, tables for people, plain columns when it is no terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import category, combining, east_asian_width

import click

from supportrelay.i18n import local_time

__all__ = [
    "fitted_widths",
    "local_minute",
    "local_time",
    "print_json",
    "print_table",
    "printable",
    "say",
    "say_error",
    "width_of",
]

_GAP = 2  # columns between columns
_NARROWEST = 4
_PART_OF_WORD = 12


def printable(text: object) -> str:
    r"""The text without anything that steers a terminal: such characters are shown as ``\x1b``.

    Subjects and names are written by strangers. Spaces of other scripts, as the Japanese one, stay.
    """
    shown = "" if text is None else str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or category(c) == "Zs" else f"\\x{ord(c):02x}" for c in shown)


def say(text: str) -> None:
    """One line of the answer."""
    click.echo("\n".join(printable(line) for line in text.split("\n")))


def say_error(text: str) -> None:
    """One line on standard error."""
    click.echo("\n".join(printable(line) for line in text.split("\n")), err=True)


def print_json(answer: Any) -> None:
    """Readable JSON; characters that some terminal lacks are escaped by the encoder of the stream."""
    text = json.dumps(answer, ensure_ascii=False, indent=2, default=str)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(answer, ensure_ascii=True, indent=2, default=str)
    click.echo(text)


def local_minute(instant: str | None) -> str:
    """`local_time` without its seconds, for lists."""
    return local_time(instant)[: len("2026-11-21 09:00")]


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, whole: Sequence[int] = (0,), empty: str = ""
) -> None:
    """A table: drawn on a terminal, plain columns of whole lines elsewhere.

    Args:
        headings: One a column.
        rows: Cells in that order; a list or tuple is a cell of several lines (on a terminal) or words.
        whole: Columns (ids) that are never broken or cut. On a terminal the others fold; elsewhere nothing does.
        empty: A sentence to print in place of a table without rows; "" prints the headings.
    """
    cells = [[_lines(cell) for cell in row] for row in rows]
    if not cells and empty:
        say(empty)
    elif sys.stdout.isatty():
        _draw(headings, cells, whole)
    else:
        _align([list(headings), *([", ".join(cell) for cell in row] for row in cells)])


def _lines(cell: object) -> list[str]:
    return [printable(one) for one in cell] if isinstance(cell, list | tuple) else [printable(cell)]


def width_of(text: str) -> int:
    """Columns that the text takes: Chinese, Japanese and Korean characters take two, marks on others none."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(c) in "WF" else 0 if combining(c) else 1 for c in text)


def _align(rows: list[list[str]]) -> None:
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _draw(headings: Sequence[str], rows: list[list[list[str]]], whole: Sequence[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    room = console.width - _GAP * (len(headings) - 1)
    columns = [[[heading], *(row[number] for row in rows)] for number, heading in enumerate(headings)]
    if sum(map(_widest, columns)) > room:
        columns = [[[*map(_folding, cell)] for cell in column] for column in columns]
    widths = fitted_widths(
        [_widest(column) for column in columns],
        [_widest(column) if number in whole else _longest_word(column) for number, column in enumerate(columns)],
        room,
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        # A column that may not be cut runs over the edge when there is no room at all: an id is copied whole.
        table.add_column(heading, width=widths[number], no_wrap=number in whole, overflow="fold")
    for cells in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*("\n".join(cell) for cell in cells))
    console.print(table)


def fitted_widths(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns: as wide as they like when there is room, else no wider than ``room`` in sum if that can be.

    Args:
        natural: Width of the widest line of each column.
        least: Width of what should not be broken in each; cut down from the widest when even that is too much.
        room: For all of them.
    """
    widths = [min(*pair, room) for pair in zip(natural, least, strict=True)]
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    while sum(widths) < room:
        wanting = [number for number, width in enumerate(widths) if width < natural[number]]
        if not wanting:
            break
        widths[min(wanting, key=lambda number: widths[number])] += 1
    return widths


def _widest(column: Iterable[Iterable[str]]) -> int:
    return max((width_of(line) for cell in column for text in cell for line in text.split("\n")), default=0)


def _longest_word(column: Iterable[Iterable[str]]) -> int:
    """Of Latin letters; other scripts may break anywhere, so of their words only a part counts."""
    words = (word for cell in column for text in cell for word in text.split())
    return max((len(word) if word.isascii() else min(width_of(word), _PART_OF_WORD) for word in words), default=0)


def _folding(line: str) -> str:
    """An address breaks before its ``@`` rather than anywhere."""
    return line if " " in line else line.replace("@", "\n@", 1)
