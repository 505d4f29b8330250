"""Runs the conversations in this folder against the listener.

A file is read line by line: ``C:`` is said with CR LF, ``C|`` is said without; in both ``\\r``, ``\\n``, ``\\0`` and
``\\xNN`` stand for what they say. ``S:`` is one line of the reply, ``*`` in it matches anything; ``S|`` is the end of
the connection. ``=: N`` is the number of messages taken so far. ``--`` begins a new connection. ``#`` is a comment.
"""

import fnmatch
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtp_client import Desk, RawClient, a_listener

FILES = sorted(Path(__file__).parent.glob("*.smtp"))


def sessions(file: Path) -> Iterator[list[tuple[int, str, str]]]:
    """Sessions of steps: line number, sign, text."""
    steps: list[tuple[int, str, str]] = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if line.startswith("--"):
            yield steps
            steps = []
        elif line.strip() and not line.startswith("#"):
            steps.append((number, line[:2], line[3:]))
    yield steps


async def converse(client: RawClient, desk: Desk, steps: list[tuple[int, str, str]]) -> None:
    lines = [client.greeting]
    for number, sign, text in steps:
        where = f"line {number}"
        if sign in {"C:", "C|"}:
            said = text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
            client.writer.write(said + (b"\r\n" if sign == "C:" else b""))
        elif sign == "=:":
            assert len(desk.taken) == int(text), where
        else:
            lines = lines or (await client.reply()).split("\n")
            line = lines.pop(0)
            assert sign in {"S:", "S|"}, where
            assert fnmatch.fnmatchcase(line, text if sign == "S:" else ""), f"{where}: {line!r}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_dialogue_goes_as_written(file: Path) -> None:
    desk = Desk(max_size=2000)
    async with a_listener(desk) as listener:
        for steps in sessions(file):
            async with RawClient.to(listener) as client:
                await converse(client, desk, steps)
