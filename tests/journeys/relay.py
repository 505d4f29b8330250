"""The daemon as a process, between a client that speaks SMTP and a sink that keeps what arrives."""

import contextlib
import json
import os
import random
import signal
import smtplib
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import yaml

from supportrelay.edge.control.client import ControlClient
from supportrelay.edge.store.audit import audit

STRANGER = "127.0.0.2"
OURS = "127.0.0.1"  # stands in trusted_networks
GATEWAY = "127.0.0.9"


def free_port() -> int:
    """A port that nobody has, below those that the kernel gives to connections (ip_local_port_range).

    One of those might be somebody's connection by the time the relay opens it.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise AssertionError("a hundred ports are taken")


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Relay:
    """A relay under test: its folder, its configuration, its process."""

    def __init__(self, folder: Path, config: dict[str, Any], companies: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.port = free_port()
        self.web_port = free_port()
        config.setdefault("listen", [{"host": "0.0.0.0", "port": self.port, "role": "mx"}])
        config.setdefault("storage", {"url": "sqlite:///state/relay.db"})
        config.setdefault("web", {"host": "127.0.0.1", "port": self.web_port})
        self.config = config
        self.program: list[str] = ["-m", "supportrelay"]  # what serves
        self.environment: dict[str, str] = {}
        self.patience_s = 40.0  # with its start and its end
        self.config_path = folder / "supportrelay.yaml"
        self.write_config()
        self.process: subprocess.Popen[bytes] | None = None
        self.is_audited = True  # False where a test spoils the store on purpose
        self.log_path = folder / "relay.log"
        if companies:
            companies_path = folder / "companies.yaml"
            companies_path.write_text(yaml.safe_dump({"companies": companies}, allow_unicode=True))
            self.run("crm", "import", str(companies_path))

    def write_config(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config, allow_unicode=True, sort_keys=False))

    # -- the daemon --

    def start(self, *options: str) -> None:
        with self.log_path.open("ab") as log:
            offset = self.log_path.stat().st_size
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "serve", "--config", str(self.config_path), *options],
                stderr=log,
                stdout=log,
                env=os.environ | {"SUPPORTRELAY_LOG": "info"} | self.environment,
            )
        self.wait_for_log("relay.ready", offset, self.patience_s)

    def wait_for_log(self, word: str, offset: int = 0, timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while word.encode() not in self.log_path.read_bytes()[offset:]:
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {word} in the log:\n{self.log_path.read_text()[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(self.patience_s)
        self.process = None
        if code == 0 and self.is_audited:
            self.audit()
        return code

    def audit(self) -> None:
        """Whatever the journey was: every accepted message is in one state, with its copies and its content."""
        store, now = self.folder / "state" / "relay.db", datetime.now(UTC)
        report = audit(store, now - timedelta(days=3650), now + timedelta(days=1), now)
        found = [one for one in report.findings if one.code != "overdue"]
        assert not found, found

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    # -- mail in, commands --

    def send(self, octets: bytes, sender: str, recipients: list[str], *, peer: str = STRANGER) -> None:
        with smtplib.SMTP("127.0.0.1", self.port, source_address=(peer, 0), timeout=20) as client:
            refused = client.sendmail(sender, recipients, octets, mail_options=["BODY=8BITMIME"])
            assert not refused

    def run(self, *arguments: str, expect: int = 0) -> Answer:
        """Run a command; ``--config`` is put behind its name."""
        done = subprocess.run(
            [sys.executable, "-m", "supportrelay", *arguments, "--config", str(self.config_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Answer(done.returncode, done.stdout, done.stderr)

    def ask(self, op: str, **arguments: Any) -> Any:
        """An operation of the running daemon, by its control socket: what the commands themselves do, but quicker."""
        answer = ControlClient(self.folder / "state" / "relay.sock").call(op, arguments, who="person:test")
        assert answer["ok"], answer
        return answer["result"]

    def settle(self, timeout: float = 20.0) -> None:
        """Wait until no work is due or running."""
        deadline = time.monotonic() + timeout
        while any(self.ask("queue.work_left").values()):
            assert time.monotonic() < deadline, "work is left"
            time.sleep(0.01)

    def tickets(self) -> list[dict[str, Any]]:
        """As `supportrelay tickets list --json` has them."""
        found = self.ask("tickets.list")
        assert isinstance(found, list)
        return found


def mail(
    *,
    sender: str,
    to: str = "",
    cc: str = "",
    subject: str,
    message_id: str,
    body: str = "Hello, we have a question.",
    date: float | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    """A plain text mail as it would come over the wire."""
    lines = [f"From: {sender}"]
    lines += [f"To: {to}"] if to else []
    lines += [f"Cc: {cc}"] if cc else []
    lines += [f"Subject: {subject}", f"Date: {formatdate(date if date is not None else time.time())}"]
    lines += [f"Message-ID: {message_id}"] if message_id else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", ""]
    return ("\r\n".join(lines) + "\r\n" + body + "\r\n").encode()
