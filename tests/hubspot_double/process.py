"""The double as a process of its own, for tests::

    with HubSpotDouble.start({"companies": [...]}, relay_properties=True, search_lag_s=2) as hubspot:
        hubspot.base_url, hubspot.token          # what the relay is given
        hubspot.seed({...})                      # ids by name, see hubspot_double.seeding
        hubspot.fault("lost", method="POST", path="/tickets$", how="close", times=1)
        hubspot.hand_move(ticket_id, "4")
        assert hubspot.tickets()[0]["stages"][-1]["value"] == "4"
        hubspot.assert_no_violations()

`DoubleClient` is the same for a double that runs already. All calls are synchronous and quick.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from hubspot_double.settings import DEFAULT_TOKEN

__all__ = ["DoubleClient", "HubSpotDouble"]

_TESTS = Path(__file__).resolve().parents[1]


class DoubleClient:
    """Asks the double's own interface, ``/_double/`` (see `hubspot_double.admin`)."""

    def __init__(self, base_url: str, token: str = DEFAULT_TOKEN) -> None:
        self.base_url = base_url
        self.token = token
        self._http = httpx.Client(base_url=base_url, timeout=30.0, trust_env=False)

    def look(self, name: str, **query: Any) -> Any:
        """GET; AssertionError says what is wrong."""
        return self._value(self._http.get(f"/_double/{name}", params=query))

    def do(self, name: str, **arguments: Any) -> Any:
        """POST; AssertionError says what is wrong."""
        return self._value(self._http.post(f"/_double/{name}", json=arguments))

    @staticmethod
    def _value(answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    # -- looking --

    def records(self, kind: str, *, archived: bool = False) -> list[dict[str, Any]]:
        """``{id, properties, created_at, updated_at, archived, associations: {type: {id: [type ids]}}}`` of each.

        Tickets and deals also have ``stages`` (oldest first: value, timestamp, sourceType ...), tickets ``emails``.
        """
        found: list[dict[str, Any]] = self.look("state", kind=kind, **({"archived": "1"} if archived else {}))
        return found

    def tickets(self, *, archived: bool = False) -> list[dict[str, Any]]:
        return self.records("tickets", archived=archived)

    def ticket(self, ticket_id: str) -> dict[str, Any]:
        """Also an archived one."""
        return next(one for one in self.tickets(archived=True) if one["id"] == ticket_id)

    def owners(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.look("owners")
        return found

    def log(self, since: int = 0, *, bodies: bool = False) -> list[dict[str, Any]]:
        """Calls: n, at, method, path, query, lane, operation, status, ms, fault (and body); see `app.Logged`."""
        found: list[dict[str, Any]] = self.look("log", since=since, **({"bodies": "1"} if bodies else {}))
        return found

    def counters(self) -> dict[str, int]:
        """most_searches_in_1s, most_general_in_10s, most_calls_in_10s; searches, general, calls, rate_limited ..."""
        found: dict[str, int] = self.look("counters")
        return found

    @property
    def violations(self) -> list[dict[str, Any]]:
        """Requests that the API's description forbids, and flaws of the double."""
        found: list[dict[str, Any]] = self.look("violations")
        return found

    def assert_no_violations(self) -> None:
        found = self.violations
        assert not found, "\n".join(f"{one['method']} {one['path']}: {one['message']}" for one in found[:10])

    # -- changing --

    def seed(self, wanted: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Ids by name: companies, contacts, deals, owners."""
        found: dict[str, dict[str, str]] = self.do("seed", **wanted)
        return found

    def set(self, **settings: Any) -> None:
        """See `hubspot_double.settings.Settings`: search_lag_s, latency_s, burst_per_10s, forbidden_moves ..."""
        self.do("set", **settings)

    def fault(self, kind: str, **fields: Any) -> int:
        """See `hubspot_double.faults`; returns its number for `clear_faults` and `hits`."""
        return int(self.do("fault", kind=kind, **fields)["id"])

    def hits(self, fault_id: int) -> int:
        return next(int(one["hits"]) for one in self.look("faults") if one["id"] == fault_id)

    def clear_faults(self, fault_id: int | None = None) -> None:
        self.do("clear_faults", **({} if fault_id is None else {"fault": fault_id}))

    def reset_counters(self) -> None:
        """Counters, limits, log and violations begin anew."""
        self.do("reset_counters")

    def webhook(self, url: str, secret: str, **options: Any) -> None:
        """Ticket events are POSTed there from now on; options: duplicates, shuffles, signs_rightly, retry_after_s."""
        self.do("webhook", url=url, secret=secret, **options)

    def hand_move(self, ticket_id: str, stage_id: str) -> dict[str, Any]:
        """Somebody moves it on HubSpot's board."""
        return dict(self.do("hand_move", ticket=ticket_id, stage=stage_id))

    def set_properties(self, kind: str, record_id: str, values: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """By hand; ``source="AUTOMATION_PLATFORM"`` for a workflow. Nothing is checked."""
        return dict(self.do("set_properties", kind=kind, record=record_id, values=dict(values), **more))

    def set_owners(self, deal_id: str, owners: list[str], **more: Any) -> dict[str, Any]:
        """By address."""
        return dict(self.do("set_owners", deal=deal_id, owners=owners, **more))

    def owner(self, email: str, **changes: Any) -> dict[str, Any]:
        """Change or make one, ``archived=True`` ..."""
        return dict(self.do("owner", email=email, **changes))

    def make(
        self, kind: str, values: Mapping[str, str], links: Mapping[str, list[str]] | None = None
    ) -> dict[str, Any]:
        """A record made by hand."""
        return dict(self.do("make", kind=kind, values=dict(values), links=dict(links or {})))

    def delete(self, kind: str, record_id: str) -> None:
        self.do("delete", kind=kind, record=record_id)

    def restore(self, kind: str, record_id: str) -> None:
        self.do("restore", kind=kind, record=record_id)

    def merge(self, kind: str, keep: str, lose: str) -> dict[str, Any]:
        """``lose``'s id answers with ``keep`` from now on."""
        return dict(self.do("merge", kind=kind, keep=keep, lose=lose))

    def wait(self, is_so: Callable[[Self], object], timeout_s: float = 20.0) -> None:
        """Until ``is_so(self)``; AssertionError after the timeout."""
        deadline = time.monotonic() + timeout_s
        while not is_so(self):
            assert time.monotonic() < deadline, f"not so within {timeout_s} s"
            time.sleep(0.05)

    def close(self) -> None:
        self._http.close()


class HubSpotDouble(DoubleClient):
    """A double with its process."""

    def __init__(self, base_url: str, process: subprocess.Popen[str]) -> None:
        super().__init__(base_url)
        self.process = process

    @classmethod
    def start(
        cls,
        seed: Mapping[str, Any] | None = None,
        *,
        relay_properties: bool = False,
        port: int = 0,
        **settings: Any,
    ) -> Self:
        """``relay_properties``: `crm setup` has run already; ``settings`` as in `hubspot_double.settings`."""
        command = [sys.executable, "-m", "hubspot_double", "--port", str(port)]
        command += ["--with-relay-properties"] if relay_properties else []
        for name, value in settings.items():
            command += ["--set", f"{name}={yaml.safe_dump(value, default_flow_style=True).removesuffix('...').strip()}"]
        with tempfile.TemporaryDirectory() as folder:
            if seed is not None:
                file = Path(folder, "seed.yaml")
                file.write_text(yaml.safe_dump(dict(seed), allow_unicode=True), encoding="utf-8")
                command += ["--seed", str(file)]
            path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
            )
            assert process.stdout is not None
            line = process.stdout.readline()  # ends when the process does
        if "listening on" not in line:
            process.stdout.close()
            raise AssertionError(f"the double did not start: exit code {process.wait(10)}")
        return cls(line.split()[-1], process)

    def freeze(self) -> None:
        """Connections are taken by the kernel, and nobody answers (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process; once is enough, twice does no harm."""
        self.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
