"""Answers on standard output: JSON for programs, tables for people, plain columns when it is no terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

import click

__all__ = ["local_time", "print_json", "print_table", "printable", "say", "say_error"]


def printable(text: object) -> str:
    r"""The text without anything that steers a terminal: such characters are shown as ``\x1b``.

    Subjects and names are written by strangers.
    """
    shown = "" if text is None else str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)


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


def local_time(instant: str | None) -> str:
    """An RFC 3339 instant as this machine's clock on the wall shows it; "" for none."""
    if not instant:
        return ""
    try:
        return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return instant


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, whole: Sequence[int] = (0,)) -> None:
    """A table.

    Args:
        headings: One a column.
        rows: Cells in that order.
        whole: Columns (ids) that are never broken or cut. On a terminal the others fold; elsewhere nothing does.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    cells = [[printable(cell) for cell in row] for row in rows]
    is_terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if is_terminal else None, pad_edge=is_terminal, header_style="bold")
    for number, heading in enumerate(headings):
        widest = max((cell_len(row[number]) for row in cells), default=0)
        if number in whole or not is_terminal:
            table.add_column(heading, no_wrap=True, min_width=max(widest, cell_len(heading)), overflow="ignore")
        else:
            table.add_column(heading, overflow="fold")
    for row in cells:
        table.add_row(*row)
    drawn = StringIO()
    console = Console(
        file=sys.stdout if is_terminal else drawn,
        width=None if is_terminal else 100_000,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not is_terminal,
    )
    console.print(table)
    for line in drawn.getvalue().splitlines():
        click.echo(line.rstrip())
