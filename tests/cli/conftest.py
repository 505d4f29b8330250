"""A desk for each test, and a running daemon for those that need one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.desk_commands import Desk, desk_in


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_in(tmp_path)


def _started(desk: Desk) -> "subprocess.Popen[str]":
    log = desk.config.with_suffix(".log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "supportrelay", "serve", "--config", str(desk.config)],
        stderr=subprocess.PIPE,
        stdout=log,
        text=True,
        env={**os.environ, "SUPPORTRELAY_LOG": "info"},
    )
    log.close()
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if '"relay.ready"' in line:
            return process
    process.wait()
    process.stderr.close()
    raise AssertionError("".join(said))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A daemon with one customer's mail that was delivered into the outbox."""
    desk = desk_in(tmp_path_factory.mktemp("desk"))
    desk.run("crm", "import", str(desk.config.parent / "companies.yaml"))
    process = _started(desk)
    assert process.stderr is not None
    try:
        desk.send()
        desk.run("queue", "wait", "--timeout", "20")
        yield desk
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        code = process.wait(30)
        process.stderr.close()
    assert code == 0, said


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, text: str) -> Path:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return written
