"""A relay whose owners and tickets are at the HubSpot double, and what its board must show."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubspot_double.process import HubSpotDouble
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import Relay
from smtp_sink import ThreadedSink

STAGES = {"NEW": ["1"], "WAITING": ["2", "3"], "CLOSED": ["4"]}
# The double allows a little more, so that overstepping shows.
CALLS_PER_10S = 400
DOUBLE_BURST = 410
MAX_WAIT_S = 8


def seed_of(companies: list[dict[str, Any]]) -> dict[str, Any]:
    """The sample companies of the builtin CRM, for the double."""
    return {"companies": companies}


def hubspot_config(
    sink_port: int, double: HubSpotDouble, *, directory: bool = True, tickets: bool = True, version: str = "2026-03"
) -> dict[str, Any]:
    """The desk's configuration with one role or both at HubSpot."""
    account = {
        "token": double.token,
        "base_url": double.base_url,
        "api_version": version,
        "calls_per_10s": CALLS_PER_10S,
        "timeout": "5s",
    }
    crm: dict[str, Any] = {"cache_for": "5m", "max_wait": f"{MAX_WAIT_S}s"}
    if directory:
        crm["directory"] = {"kind": "hubspot", **account}
    if tickets:
        crm["tickets"] = {"kind": "hubspot", "pipeline": "0", "stages": STAGES, "poll_every": "1s"}
        crm["tickets"] |= {} if directory else account
    return desk_config(sink_port) | {"crm": crm}


class HubSpotWorld:
    """Directory and tickets at the double.

    Attributes:
        sink: Where the copies arrive.
        ids: Of the seeded records, by kind and name.
    """

    sink: ThreadedSink

    def __init__(self, relay: Relay, double: HubSpotDouble, ids: dict[str, dict[str, str]]) -> None:
        self.relay = relay
        self.double = double
        self.ids = ids

    @classmethod
    def make(cls, folder: Path, sink_port: int, double: HubSpotDouble, **config: Any) -> "HubSpotWorld":
        """Seed the double and configure a relay; the caller starts it."""
        ids = double.seed(seed_of(COMPANIES))
        return cls(Relay(folder, hubspot_config(sink_port, double, **config), []), double, ids)

    def set_owners(self, deal: str, owners: tuple[str, ...]) -> None:
        self.double.set_owners(self.ids["deals"][deal.rpartition("/")[2]], list(owners))
        self.relay.run("crm", "refresh")

    def settle(self) -> None:
        self.relay.settle(40)

    def check(self, tickets: list[dict[str, Any]]) -> None:
        """The board there shows the same stages, one ticket for each of ours."""
        for ticket in tickets:
            assert ticket["external_id"], ticket
            there = self.double.ticket(ticket["external_id"])
            stage = there["properties"]["hs_pipeline_stage"]
            assert stage in STAGES[ticket["stage"]], f"{ticket['id']} is {ticket['stage']} here and {stage} there"

    def there(self, ticket: dict[str, Any]) -> dict[str, Any]:
        """The ticket as HubSpot has it."""
        return self.double.ticket(ticket["external_id"])

    def one(self, subject: str) -> dict[str, Any]:
        """The relay's only ticket with this subject."""
        found = [ticket for ticket in self.relay.tickets() if ticket["subject"] == subject]
        assert len(found) == 1, found
        return found[0]


def wait_for(is_so: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
