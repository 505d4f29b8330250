"""Boards to test desks on: each with the hands of the people who work there, and what can be seen on it."""

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from contracts.desk_fake import STAGE_IDS, FakeDesk
from edge.gate_fake import GateFake
from hubspot_double.process import HubSpotDouble
from supportrelay.core.crm_ports import TicketDesk
from supportrelay.core.outside import DeskMail, DeskOpening
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.contacts import ContactIds, Contacts
from supportrelay.edge.crm.hubspot.desk import HubSpotDesk
from supportrelay.edge.crm.hubspot.paths import Paths, template
from supportrelay.edge.crm.hubspot.settings import DeskSettings, HubSpotAccount
from supportrelay.i18n import Catalogue

__all__ = ["SETTINGS", "Board", "FakeBoard", "HubSpotBoard", "a_mail", "an_opening", "hubspot_desk", "running_double"]

SETTINGS = DeskSettings("0", {Stage.NEW: ("1",), Stage.WAITING: ("2", "3"), Stage.CLOSED: ("4",)})
OWNERS = ("mori@relay.test", "ann@relay.test")
_numbers = itertools.count(1)


def an_opening(**values: Any) -> DeskOpening:
    """Each has a key of its own: boards outlive a test."""
    known: dict[str, Any] = {
        "key": f"{next(_numbers):064x}",
        "stage": Stage.NEW,
        "subject": "Printer on fire",
        "text": "Help!",
        "label": "SR-12",
    }
    return DeskOpening(**(known | values))


def a_mail(**values: Any) -> DeskMail:
    known = DeskMail(
        message_id="<a@customer.example>",
        at=datetime(2026, 11, 22, 3, 30, 17, 883_456, tzinfo=UTC),
        is_inbound=True,
        subject="Printer on fire",
        from_=(("jane@customer.example", "Jane Doe"),),
        to=(("support@relay.test", ""),),
        cc=(),
        text="Help!",
        customer="jane@customer.example",
    )
    return replace(known, **values)


class Board(Protocol):
    """A desk and what people do and see there."""

    desk: TicketDesk

    def hand_move(self, external_id: str, stage: Stage) -> None: ...

    def delete(self, external_id: str) -> None: ...

    def merge(self, lose: str, keep: str) -> None: ...

    def count(self, key: str) -> int:
        """Tickets with this key, deleted ones too."""
        ...

    def mails(self, external_id: str) -> list[str]:
        """Subjects of the mails that are logged on a ticket."""
        ...


class FakeBoard:
    """The one in memory."""

    def __init__(self) -> None:
        self.fake = FakeDesk()
        self.desk: TicketDesk = self.fake

    def hand_move(self, external_id: str, stage: Stage) -> None:
        self.fake.put_by_hand(external_id, stage)

    def delete(self, external_id: str) -> None:
        self.fake.delete(external_id)

    def merge(self, lose: str, keep: str) -> None:
        self.fake.merge(lose, keep)

    def count(self, key: str) -> int:
        return sum(opening.key == key for opening in self.fake.openings.values())

    def mails(self, external_id: str) -> list[str]:
        return [mail.subject for there, mail in self.fake.mails if there == external_id]


class HubSpotBoard:
    """The double's."""

    def __init__(self, desk: HubSpotDesk, double: HubSpotDouble, ids: ContactIds) -> None:
        self.desk: TicketDesk = desk
        self.double = double
        self.ids = ids

    def hand_move(self, external_id: str, stage: Stage) -> None:
        self.double.hand_move(external_id, SETTINGS.stages[stage][0])

    def delete(self, external_id: str) -> None:
        self.double.delete("tickets", external_id)

    def merge(self, lose: str, keep: str) -> None:
        self.double.merge("tickets", keep, lose)

    def count(self, key: str) -> int:
        tickets = self.double.tickets(archived=True)
        return sum(one["properties"].get("relay_thread_key") == key for one in tickets)

    def mails(self, external_id: str) -> list[str]:
        return [one["properties"]["hs_email_subject"] for one in self.emails(external_id)]

    def emails(self, external_id: str) -> list[dict[str, Any]]:
        """The records of mails on a ticket, as they are there."""
        on_it = self.double.ticket(external_id)["associations"].get("emails", {})
        return [one for one in self.double.records("emails") if one["id"] in on_it]

    def calls(self, since: int = 0) -> list[str]:
        """``POST tickets``, ``GET tickets/{id}`` ... of each call since one of them."""
        return [f"{one['method']} {_VERSION.sub('', template(one['path']))}" for one in self.double.log(since)]

    def last_call(self) -> int:
        return max((int(one["n"]) for one in self.double.log()), default=0)


_VERSION = re.compile("/crm/(v3/|v4/)?(objects/)?(20[0-9-]+/)?")


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def running_double() -> Iterator[HubSpotDouble]:
    """With the relay's property and two owners; whatever is asked of it keeps to the API's description."""
    owners = [*OWNERS, {"email": "gone@relay.test", "archived": True}]
    with HubSpotDouble.start({"owners": owners}, relay_properties=True, burst_per_10s=0, searches_per_s=0) as double:
        yield double
        double.assert_no_violations()


@asynccontextmanager
async def hubspot_desk(
    double: HubSpotDouble, version: str, *, settings: DeskSettings = SETTINGS, **account: Any
) -> AsyncIterator[HubSpotBoard]:
    """The real desk on a double."""
    known = {"calls_per_10s": 100_000, "searches_per_s": 10_000, "calls_per_day": 1_000_000}
    where = HubSpotAccount(double.token, double.base_url, version, **(known | account))
    client = HubSpotClient(where, GateFake(), now=_now)
    paths = Paths(version)
    ids = ContactIds(_now)
    owners = {one.get("email"): one["id"] for one in double.owners() if not one.get("archived")}

    async def owner_id(address: str) -> str:
        return str(owners.get(address, ""))

    desk = HubSpotDesk(client, paths, settings, Contacts(client, paths, ids), owner_id, Catalogue("en"))
    try:
        yield HubSpotBoard(desk, double, ids)
    finally:
        double.clear_faults()
        await desk.aclose()


assert set(STAGE_IDS) >= set(SETTINGS.stages)
