"""supportrelay as ``serve`` starts it by default, with all its work; ten companies in the CRM."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.load import RECIPIENT, SENDERS, TooSlow, free_port
from bench.tools import BUILD, ROOT
from supportrelay.edge.dkim import make_key_file

__all__ = ["SupportRelay", "companies_of_bench"]

_READY_WITHIN_S = 30
_STOPPED_WITHIN_S = 60


class SupportRelay:
    """Runs while the context lasts; ``port`` takes mail, ``pid`` is the daemon, ``database`` its store.

    Args:
        next_hop: Port of the sink on loopback.
        workers: None leaves the default.
        name: Of its folder under build/bench.
        keep: Go on with the store of an earlier life of that name.
        has_meter: Let the first worker measure its stations, which costs it some of its speed; see `profile`.
        crm: Section of the configuration; without it the ten companies are imported into the builtin CRM.
        dkim: Kinds of keys (`edge.dkim.KINDS`) that sign the copies.
    """

    def __init__(
        self,
        next_hop: int,
        workers: int | None = None,
        *,
        name: str = "",
        keep: bool = False,
        has_meter: bool = False,
        crm: dict[str, Any] | None = None,
        dkim: Sequence[str] = (),
    ) -> None:
        self._dkim = dkim
        self._crm = crm
        self.name = "supportrelay" + (f", workers {workers}" if workers else "")
        self.folder = BUILD / (name or f"relay-{workers or 'default'}")
        self.database = self.folder / "relay.db"
        self.port = free_port()
        self.pid = 0
        self._next_hop = next_hop
        self.workers = workers
        self._keep = keep
        self._has_meter = has_meter
        self._log = self.folder / "relay.log"
        self._profile = self.folder / "profile.json"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.prepare()
        # A daemon that knows the variable writes there, when it ends, what each station cost.
        environment = {**os.environ, **({"SUPPORTRELAY_PROFILE": str(self._profile)} if self._has_meter else {})}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_command("serve"), "--config", str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.pid = self._process.pid
        self._wait_until_ready(self._process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            print(f"bench: {self.name} did not stop within {_STOPPED_WITHIN_S} s", file=sys.stderr)

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "supportrelay.yaml"

    def prepare(self) -> None:
        """Write the configuration and import the companies."""
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind in self._dkim:
            make_key_file(kind, self.folder / f"{kind}.pem")
        # JSON is YAML.
        self.config.write_text(json.dumps(self._configuration(), indent=1), encoding="utf-8")
        if not self._keep and self._crm is None:
            companies = self.folder / "companies.yaml"
            companies.write_text(json.dumps(companies_of_bench(), indent=1), encoding="utf-8")
            imported = [*_command("crm", "import"), str(companies), "--config", str(self.config)]
            subprocess.run(imported, check=True, stdout=subprocess.DEVNULL)

    def profile(self) -> dict[str, Any]:
        """CPU milliseconds a message by station, when the daemon wrote them (after it ended)."""
        if not self._profile.exists():
            return {}
        found: dict[str, Any] = json.loads(self._profile.read_text(encoding="utf-8"))
        return found

    def _configuration(self) -> dict[str, Any]:
        return {
            "addresses": [
                {
                    "name": "desk",
                    "address": RECIPIENT,
                    "sender": {"name": "{author} via Support", "address": "relay@desk.test"},
                    "allmember": ["all@desk.test"],
                    "language": "ja",
                    "manual_url": "https://desk.test/manual",
                }
            ],
            "internal_domains": ["desk.test"],
            "admins": ["it@desk.test"],
            "hostname": "relay.desk.test",
            "listen": [{"host": "127.0.0.1", "port": self.port, "role": "mx"}],
            "trusted_networks": [],
            "outbound": {"host": "127.0.0.1", "port": self._next_hop, "tls": "none"},
            "storage": {"url": f"sqlite:///{self.database}"},
            "web": {"host": "127.0.0.1", "port": free_port(), "public_url": "https://desk.test"},
            **({"workers": self.workers} if self.workers else {}),
            **({"crm": self._crm} if self._crm else {}),
            "dkim": [
                {"domain": "desk.test", "selector": kind, "private_key_file": f"{kind}.pem"} for kind in self._dkim
            ],
        }

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while b"relay.ready" not in self._log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise TooSlow(
                    f"{self.name} is not ready; its log ends:\n{self._log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.02)


def companies_of_bench() -> dict[str, Any]:
    """Ten companies with a deal and an owner each."""
    return {
        "companies": [
            {
                "name": f"Company {number}",
                "domains": [f"company{number}.test"],
                "deals": [{"name": "Yearly contract", "stage": "open", "owners": [f"owner{number}@desk.test"]}],
            }
            for number in range(SENDERS)
        ]
    }


def _command(*words: str) -> list[str]:
    installed = ROOT / ".venv" / "bin" / "supportrelay"
    return [str(installed) if installed.exists() else "supportrelay", *words]
