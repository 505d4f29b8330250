"""``make run-hubspot`` as somebody follows it: each line that it prints does what it says."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from journeys.hubspot_world import wait_for
from journeys.relay import free_port

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("SUPPORTRELAY_DEMO_SMTP_PORT", "SUPPORTRELAY_DEMO_WEB_PORT", "SUPPORTRELAY_DEMO_HUBSPOT_PORT")


class Demo:
    """The demo as a process, and the lines it printed."""

    def __init__(self, state: Path, **more: str) -> None:
        self.env = os.environ | {name: str(free_port()) for name in PORTS}
        self.env |= {"SUPPORTRELAY_DEMO_STATE": str(state)} | more
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by `end`
        self.process = subprocess.Popen(
            [sys.executable, "config/demo_hubspot.py"],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def words(self) -> str:
        """Everything up to the last line of what it tells."""
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "docs/hubspot.md" in line:
                return "".join(said)
        raise AssertionError("".join(said))

    def errors(self) -> str:
        """What it says once it has ended."""
        self.process.wait(20)
        self.log.seek(0)
        return self.log.read()

    def end(self) -> None:
        """Both processes are gone."""
        self.process.terminate()
        self.process.communicate(timeout=30)
        self.log.close()

    def sh(self, line: str) -> str:
        """What somebody pastes into another terminal, which knows nothing of the ports."""
        env = {name: value for name, value in self.env.items() if name not in PORTS}
        done = subprocess.run(line, shell=True, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def start() -> Iterator[Callable[..., Demo]]:
    """Starts demos, and ends them."""
    begun: list[Demo] = []

    def started(state: Path, **more: str) -> Demo:
        begun.append(Demo(state, **more))
        return begun[-1]

    yield started
    for one in begun:
        one.end()


def tickets(demo: Demo) -> Any:
    return demo.sh(".venv/bin/supportrelay tickets list --config config/demo-hubspot.yaml --language en")


def test_every_line_that_it_prints_does_what_it_says(tmp_path: Path, start: Callable[..., Demo]) -> None:
    demo = start(tmp_path)
    said = demo.words()
    first_mail, move = re.findall(r"^  (python3 .*)$", said, re.MULTILINE)
    (board,) = re.findall(r"^  (http://\S+/_double/board)$", said, re.MULTILINE)
    commands = [line.partition("    ")[0].strip() for line in re.findall(r"^  (.*\.venv/.*)$", said, re.MULTILINE)]

    demo.sh(first_mail)
    wait_for(lambda: "Where is our order?" in httpx.get(board, trust_env=False).text, "not on the board")
    assert "NEW" in tickets(demo)
    demo.sh(move)
    wait_for(lambda: "WAITING" in tickets(demo), "the move is not known here")
    outputs = [demo.sh(command) for command in commands]
    assert len(outputs) == 4
    assert "tanaka@relay-demo.test" in outputs[1]
    assert "tanaka@relay-demo.test" in outputs[2]

    assert "runs already" in start(tmp_path).errors()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(20) == 0
    for name in PORTS:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{demo.env[name]}", trust_env=False)


def test_without_hubspots_descriptions_it_says_so_in_one_line(tmp_path: Path, start: Callable[..., Demo]) -> None:
    demo = start(tmp_path, HUBSPOT_DOUBLE_SPECS=str(tmp_path / "nowhere"))
    errors = demo.errors()
    assert demo.process.returncode == 1
    assert str(tmp_path / "nowhere") in errors
    assert len(errors.splitlines()) == 1
