"""Kill the daemon every 0.5 to 3 s under load, with a next hop that misbehaves on every third connection.

Two things have to hold (RELIABILITY F03, F07): what got 250 arrived at least once, and it arrived no more often than
deliveries were in flight at the kills. Both figures are printed; 1 when one of them is wrong.
"""

import argparse
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import smtp_sink
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import Relay, free_port
from journeys.traffic import Traffic

ANN = "ann@staff.test"
_MOST_MAILS = 1_000_000
_END_S = 180.0
_IN_FLIGHT = "SELECT count(*) FROM deliveries WHERE state = 'sending' AND holder IS NOT NULL"


@dataclass
class Told:
    """What became of it all.

    Attributes:
        in_flight: Copies that were being sent at the kills, as the store of the dead daemon has them.
        lost: Message-IDs that got 250 and did not arrive.
        held: Messages that a person had to release, for their worker had died three times.
    """

    kills: int
    in_flight: int
    accepted: int
    lost: list[str]
    duplicates: int
    held: int
    refused: list[str]

    @property
    def is_well(self) -> bool:
        """Nothing lost, nothing sent twice without need, nothing refused for good."""
        return not self.lost and self.duplicates <= self.in_flight and not self.refused and self.accepted > 0

    def __str__(self) -> str:
        lines = [
            f"soak: {self.kills} kills, {self.in_flight} copies in flight at them, {self.held} mails held and released",
            f"soak: accepted {self.accepted}, arrived {self.accepted - len(self.lost)}, lost {len(self.lost)}",
            f"soak: duplicates {self.duplicates}, allowed {self.in_flight}",
        ]
        lines += [f"soak: LOST {one}" for one in self.lost[:20]]
        lines += [f"soak: REFUSED {one}" for one in self.refused[:20]]
        return "\n".join([*lines, "soak: well" if self.is_well else "soak: FAILED"])


class Sink:
    """The next hop: a process of its own, whose lines say what arrived."""

    def __init__(self, folder: Path, port: int) -> None:
        self._port = port
        self._path = folder / "arrived.jsonl"
        self._process: subprocess.Popen[bytes] | None = None
        self._opened: IO[bytes] | None = None

    def start(self, *mood: str) -> None:
        """Listen, misbehaving as it is told."""
        self._opened = self._path.open("ab")
        program = [sys.executable, smtp_sink.__file__, "127.0.0.1", str(self._port), *mood]
        before = self._path.stat().st_size
        self._process = subprocess.Popen(program, stdout=self._opened)
        while b"listening" not in self._path.read_bytes()[before:]:
            if self._process.poll() is not None:
                raise RuntimeError("the sink did not start")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
        if self._opened is not None:
            self._opened.close()

    def arrivals(self) -> Counter[str]:
        """How often each Message-ID arrived at ann."""
        rows = [json.loads(line) for line in self._path.read_bytes().splitlines()]
        return Counter(row["message_id"] for row in rows if row.get("accepted") and ANN in row["to"])


def in_flight(relay: Relay) -> int:
    """Copies whose attempt has a beginning and no end, in the store of a daemon that is dead."""
    store = sqlite3.connect(relay.folder / "state" / "relay.db")
    try:
        return int(store.execute(_IN_FLIGHT).fetchone()[0])
    finally:
        store.close()


def soak(folder: Path, seconds: float, seed: int, pause_s: float) -> Told:
    """Load, kills, and in the end a next hop that takes everything."""
    dice = random.Random(seed)
    port = free_port()
    sink = Sink(folder, port)
    relay = Relay(folder, desk_config(port), COMPANIES)
    relay.patience_s = _END_S
    told = Told(0, 0, 0, [], 0, 0, [])
    try:
        sink.start("--mood", str(seed))
        relay.start()
        with Traffic(relay, "soak", _MOST_MAILS, pause_s=pause_s) as traffic:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(dice.uniform(0.5, 3.0))
                relay.kill()
                told.kills += 1
                told.in_flight += in_flight(relay)
                relay.start()
            traffic.end()
        sink.stop()
        sink.start()
        told.held = finish(relay)
        relay.stop()
    finally:
        sink.stop()
        if relay.process is not None:
            relay.kill()
    told.refused, told.accepted = traffic.refused, len(traffic.accepted)
    counted = sink.arrivals()
    told.lost = [one for one in traffic.accepted if not counted[one]]
    told.duplicates = sum(times - 1 for times in counted.values())
    return told


def finish(relay: Relay) -> int:
    """Have everything tried until nothing is left; how many mails had to be released."""
    released: set[str] = set()
    deadline = time.monotonic() + _END_S
    while True:
        relay.settle(_END_S)
        left = [row for row in relay.ask("queue.list") if row["state"] not in {"delivered", "filed"}]
        if not left or time.monotonic() > deadline:
            for row in left[:5]:
                print(f"soak: LEFT {row['message_id']} {row['state']} {row['deliveries']}")
            return len(released)
        for row in left:
            if row["state"] == "held":
                released.add(row["queue_id"])
                relay.ask("queue.release", queue_id=row["queue_id"])
        relay.ask("queue.retry")
        time.sleep(0.1)


def main() -> int:
    """Read the command line."""
    words = argparse.ArgumentParser(prog="soak", description=__doc__)
    words.add_argument("seconds", nargs="?", type=float, default=600.0)
    words.add_argument("--seed", type=int, default=random.randrange(1, 10**6), help="of kills and faults")
    words.add_argument("--pause", type=float, default=0.05, help="of each sender after a mail, in seconds")
    given = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and nothing is left behind
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"soak: {given.seconds:.0f} s, seed {given.seed}, in {folder}", flush=True)
    told = soak(folder, given.seconds, given.seed, given.pause)
    print(told, flush=True)
    if told.is_well:
        shutil.rmtree(folder)
    return 0 if told.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
