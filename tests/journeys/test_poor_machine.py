"""A machine that lacks memory (RELIABILITY F34; file descriptors: test_intake_floods) or a place for the log (F35)."""

import contextlib
import os
import resource
import select
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import psutil
import pytest

from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, free_port, mail
from smtp_sink import ThreadedSink

SUPPORT, ALL = "support@desk.test", "all@desk.test"
NUMBERS = count(1)
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        yield sink


class Poor(Relay):
    """Started by a shell, which takes something away."""

    def __init__(self, folder: Path, sink: ThreadedSink) -> None:
        super().__init__(folder, {**desk_config(sink.port), "workers": 1}, [])
        self.sink = sink

    def start_by(self, line: str, stderr: int | None = subprocess.DEVNULL, log: str = "info") -> None:
        """``line`` is sh, with "$@" for the daemon. Ports are looked for now, so that nobody takes them meanwhile."""
        self.port, self.web_port = free_port(), free_port()
        self.config["listen"][0]["port"], self.config["web"]["port"] = self.port, self.web_port
        self.write_config()
        program = [sys.executable, "-m", "supportrelay", "serve", "--config", str(self.config_path)]
        self.process = subprocess.Popen(
            ["sh", "-c", line, "sh", *program],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=os.environ | {"SUPPORTRELAY_LOG": log},
        )
        wait_until(lambda: self._answers() or self._has_ended(), "does not answer")
        assert not self._has_ended(), f"ended with {self.process.returncode}"

    def _has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, smtplib.SMTPException), self.client() as client:
            return client.noop()[0] == 250
        return False

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, source_address=(STRANGER, 0), timeout=60)

    def letter(self, body: str = "Hello") -> tuple[str, bytes]:
        message_id = f"<{next(NUMBERS)}@mail.example>"
        sender = f"kunde{next(NUMBERS)}@stranger.example"
        return message_id, mail(sender=sender, to=SUPPORT, subject=message_id, message_id=message_id, body=body)

    def flows(self, mails: int = 1) -> None:
        """Mail gets in and arrives."""
        letters = [self.letter() for _ in range(mails)]
        with self.client() as client:
            for _, octets in letters:
                client.sendmail("kunde@stranger.example", [SUPPORT], octets)
        for message_id, _ in letters:
            wait_until(partial(self._has_arrived, message_id), f"{message_id} did not arrive")

    def _has_arrived(self, message_id: str) -> bool:
        return self.arrived(message_id) == 1

    def arrived(self, message_id: str) -> int:
        return sum(message_id.encode() in one.octets and ALL in one.recipients for one in self.sink.messages)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def poor(tmp_path: Path, sink: ThreadedSink) -> Iterator[Poor]:
    poor = Poor(tmp_path, sink)
    yield poor
    if poor.process is not None:
        poor.kill()


def test_f35_with_a_closed_standard_error_mail_flows(poor: Poor) -> None:
    """And no file of ours gets its number, for whatever a library prints goes there."""
    poor.start_by('exec "$@" 2>&- <&-')

    poor.flows()

    assert poor.process is not None
    family = [poor.process.pid, *(child.pid for child in psutil.Process(poor.process.pid).children())]
    assert {str(Path(f"/proc/{pid}/fd/2").readlink()) for pid in family} == {"/dev/null"}
    assert poor.stop() == 0


def test_f35_with_a_full_disk_for_the_log_mail_flows(poor: Poor) -> None:
    poor.start_by('exec "$@" 2>/dev/full')

    poor.flows(3)

    assert poor.stop() == 0


def test_f35_with_a_log_that_nobody_reads_mail_flows(poor: Poor) -> None:
    """A pipe takes 64 KiB, then whoever writes waits. What is left out is told when somebody reads again."""
    read, write = os.pipe()
    poor.start_by('exec "$@"', stderr=write, log="debug")
    os.close(write)
    lines = 0
    while _is_writable(poor):
        poor.flows(40)
        lines += 40
        assert lines < 4000
    poor.flows(40)

    got: list[bytes] = []
    emptying = threading.Thread(target=_read_all, args=(read, got), daemon=True)
    emptying.start()
    wait_until(lambda: len(b"".join(got)) >= 50_000, "nothing was logged")
    poor.flows()
    wait_until(lambda: b"log.lines_dropped" in b"".join(got), "not told")
    assert poor.stop() == 0
    emptying.join(10)
    os.close(read)


def _is_writable(poor: Poor) -> bool:
    """Is there room in the pipe that the daemon has as standard error?"""
    assert poor.process is not None
    number = os.open(f"/proc/{poor.process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return bool(select.select([], [number], [], 0)[1])
    finally:
        os.close(number)


def _read_all(number: int, got: list[bytes]) -> None:
    while piece := os.read(number, 65536):
        got.append(piece)


def test_f34_without_memory_the_mail_stays_where_it_is_and_others_get_in(poor: Poor) -> None:
    """Many large mails at once: each is taken whole or refused for now, and the next small one goes."""
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    poor.start_by('ulimit -v 900000 && exec "$@"')
    line = "x" * 998 + "\r\n"
    letters = [poor.letter(line * 10_000) for _ in range(6)]
    said: list[int] = []

    def send(octets: bytes) -> None:
        try:
            with poor.client() as client:
                client.sendmail("kunde@stranger.example", [SUPPORT], octets)
            said.append(250)
        except smtplib.SMTPResponseException as exc:
            said.append(exc.smtp_code)
        except (OSError, smtplib.SMTPException):
            said.append(0)

    threads = [threading.Thread(target=send, args=(octets,)) for _, octets in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert len(said) == len(letters)
    assert set(said) <= {250, 421, 451, 452, 0}, "nothing for good"
    poor.flows()
    wait_until(lambda: sum(map(poor.arrived, [one for one, _ in letters])) >= said.count(250), "accepted, not sent")
    assert poor.stop() == 0
