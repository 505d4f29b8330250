"""The two ends: many senders (smtp-source) and the next hop that counts what arrives (smtp-sink)."""

import os
import re
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.tools import BUILD, program

__all__ = ["RECIPIENT", "SENDERS", "Flow", "Sink", "TooSlow", "free_port", "send_all"]

SENDERS = 10
RECIPIENT = "support@desk.test"
_COUNT = re.compile(rb"mesg=(\d+)")


class TooSlow(RuntimeError):  # noqa: N818  a finding, not an error
    """What was sent did not arrive in time; the text says how much did."""


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sink:
    """An smtp-sink process. ``arrived`` is the number of messages so far."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self._log = BUILD / f"sink-{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as out:
            user = ["-u", "nobody"] if os.geteuid() == 0 else []  # smtp-sink refuses to stay root
            command = [program("smtp-sink"), "-c", *user, "-m", "512", f"127.0.0.1:{self.port}", "512"]
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        wait_for_port(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    @property
    def arrived(self) -> int:
        """Messages received so far; read off the counter that smtp-sink prints."""
        with self._log.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - 256))
            found = _COUNT.findall(log.read())
        return int(found[-1]) if found else 0

    def wait_for(self, count: int, timeout_s: float) -> float:
        """Wait until that many arrived; the instant (`time.perf_counter`) when they had."""
        deadline = time.perf_counter() + timeout_s
        while self.arrived < count:
            if time.perf_counter() > deadline:
                raise TooSlow(f"{self.arrived} of {count} messages arrived within {timeout_s:.0f} s")
            time.sleep(0.005)
        return time.perf_counter()


@dataclass(frozen=True)
class Flow:
    """One measured run: how many messages, in how many seconds until the last arrived and was accepted."""

    messages: int
    seconds: float
    accepted_s: float

    @property
    def rate(self) -> float:
        """Messages a second, accepted and sent on."""
        return self.messages / self.seconds


def send_all(
    port: int, sink: Sink, messages: int, *, sessions: int = 20, size_octets: int = 4096, timeout_s: float = 300
) -> Flow:
    """Send through whatever listens on ``port`` and wait until all of it arrived at the sink."""
    before = sink.arrived
    senders = min(SENDERS, sessions)
    shares = [messages // senders + (number < messages % senders) for number in range(senders)]
    begun = time.perf_counter()
    sources = [
        subprocess.Popen(_source_command(port, number, share, sessions // senders, size_octets), stderr=subprocess.PIPE)
        for number, share in enumerate(shares)
        if share
    ]
    try:
        for source in sources:
            _, complaint = source.communicate(timeout=timeout_s)
            if source.returncode:
                raise TooSlow(f"smtp-source: {complaint.decode(errors='replace').strip()[-400:]}")
    finally:
        for source in sources:
            with suppress(ProcessLookupError):
                source.kill()
    accepted = time.perf_counter()
    arrived = sink.wait_for(before + messages, timeout_s)
    return Flow(messages, arrived - begun, accepted - begun)


def _source_command(port: int, number: int, messages: int, sessions: int, size_octets: int) -> list[str]:
    return [
        program("smtp-source"), "-s", str(max(1, sessions)), "-m", str(messages), "-l", str(size_octets),
        "-f", f"anna@company{number}.test", "-t", RECIPIENT, "-S", f"Question {number} about invoice {number}00",
        "-M", f"mail.company{number}.test", "-C", "20", f"127.0.0.1:{port}",
    ]  # fmt: skip


def wait_for_port(port: int, timeout_s: float = 20) -> None:
    """Until somebody listens there."""
    deadline = time.perf_counter() + timeout_s
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.perf_counter() > deadline:
            raise TooSlow(f"nobody listens on port {port} after {timeout_s} s")
        time.sleep(0.02)
