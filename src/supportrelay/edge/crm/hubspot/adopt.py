"""Open tickets that are on HubSpot's board already, read for `crm setup --adopt`."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from supportrelay.core.adoption import AdoptableTicket
from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import comparing_form
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.mails import logged_message_id
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.records import Link, Records, by_number
from supportrelay.edge.crm.hubspot.settings import DeskSettings
from supportrelay.edge.crm.hubspot.tickets import PIPELINE, STAGE, TICKET_PROPERTIES, TicketReading

__all__ = ["AdoptionReader"]

_PAGE: Final = 200
_MOST_CONTACTS, _MOST_DEALS, _MOST_EMAILS = 50, 20, 500  # of one ticket
# A text may hold 65,536 characters of three octets; one answer has to stay below 8 MB.
_TEXTS_A_CALL = 25
_MESSAGE_ID = re.compile(r"<?([^\s<>@]{1,500}@[^\s<>@]{1,400})>?")
_OPEN = (Stage.NEW, Stage.WAITING)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class AdoptionReader:
    """Reads what is there and marks what was taken over. A call in the background's lane: mail goes first."""

    def __init__(
        self, client: HubSpotClient, paths: Paths, settings: DeskSettings, *, now: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._paths = paths
        self._settings = settings
        self._reading = TicketReading(settings)
        self._records = Records(client, paths, Lane.BACKGROUND, seats=asyncio.Semaphore(1), now=now)

    async def tickets(self) -> AsyncIterator[AdoptableTicket]:
        """All tickets of our pipeline in stages that mean NEW or WAITING, the oldest first.

        About five calls and one search for 200 tickets, and one more for each 25 of their mails. What changed within
        the last minutes may be left out: search lags.

        Raises:
            CrmDown, CrmRefusal: As every call; what was handed out before stands.
        """
        last = "0"
        while True:
            records = await self._page(last)
            for ticket in await self._with_everything(records):
                yield ticket
            ids = [reading.record_id(record) for record in records]
            newest = max((one for one in ids if one), key=by_number, default=last)
            if len(records) < _PAGE or newest == last:
                return
            last = newest

    async def mark(self, external_id: str, key: str) -> None:
        """Write our key on a ticket.

        Raises:
            CrmRefusal: The key property is missing, or another ticket has this key. The mirror works all the same: it
                knows the ticket by its id.
        """
        await self._client.request(
            "PATCH",
            self._paths.record("tickets", external_id),
            json={"properties": {self._settings.key_property: key}},
            lane=Lane.BACKGROUND,
        )

    async def _page(self, after_id: str) -> list[dict[str, Any]]:
        """By id and not by cursor: a search shows 10,000 results at most, and pages move while people work."""
        open_ids = [stage_id for stage in _OPEN for stage_id in self._settings.stages.get(stage, ())]
        body = {
            "filterGroups": [
                {
                    "filters": [
                        {"propertyName": PIPELINE, "operator": "EQ", "value": self._settings.pipeline},
                        {"propertyName": STAGE, "operator": "IN", "values": open_ids},
                        {"propertyName": "hs_object_id", "operator": "GT", "value": after_id},
                    ]
                }
            ],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": [*TICKET_PROPERTIES, "createdate", self._settings.key_property],
            "limit": _PAGE,
        }
        return reading.results(await self._records.post(self._paths.search("tickets"), body))

    async def _with_everything(self, records: list[dict[str, Any]]) -> list[AdoptableTicket]:
        ids = [one for record in records if (one := reading.record_id(record))]
        if not ids:
            return []
        contacts = await self._linked(ids, "contacts", _MOST_CONTACTS)
        companies = await self._linked(ids, "companies", 0)
        deals = await self._linked(ids, "deals", _MOST_DEALS)
        emails = await self._linked(ids, "emails", _MOST_EMAILS)
        addresses = await self._values("contacts", contacts, "email")
        names = await self._values("companies", companies, "name")
        message_ids = await self._message_ids(emails)
        found = []
        for record in records:
            ticket = self._reading.ticket(record)
            if ticket is None or ticket.stage not in _OPEN:
                continue
            company_id = _primary(companies.get(ticket.external_id, ()))
            found.append(
                AdoptableTicket(
                    external_id=ticket.external_id,
                    stage=ticket.stage,
                    stage_id=ticket.stage_id,
                    subject=ticket.subject,
                    contacts=_addresses(contacts.get(ticket.external_id, ()), addresses),
                    company_id=company_id,
                    company_name=names.get(company_id, ""),
                    deal_ids=tuple(link.to_id for link in deals.get(ticket.external_id, ())),
                    message_ids=_in_order(emails.get(ticket.external_id, ()), message_ids),
                    created_at=_created_at(record) or ticket.updated_at,
                    updated_at=ticket.updated_at,
                    key=ticket.key,
                )
            )
        return found

    async def _linked(self, ids: list[str], kind: str, most: int) -> dict[str, list[Link]]:
        links, _ = await self._records.links("tickets", kind, ids, most=most)
        return links

    async def _values(self, kind: str, links: Mapping[str, list[Link]], name: str) -> dict[str, str]:
        """A property of all linked objects, by their ids."""
        records = await self._records.many(kind, _all_ids(links), [name])
        return {reading.record_id(one): reading.text(reading.properties(one), name) for one in records}

    async def _message_ids(self, links: Mapping[str, list[Link]]) -> dict[str, tuple[datetime, str]]:
        """``(when, Message-ID)`` of logged mails by their ids: HubSpot's own property, else the last line we wrote."""
        found: dict[str, tuple[datetime, str]] = {}
        without: dict[str, datetime] = {}
        for record in await self._records.many("emails", _all_ids(links), ["hs_timestamp", "hs_email_message_id"]):
            values = reading.properties(record)
            at = reading.instant(values.get("hs_timestamp")) or _LONG_AGO
            named = _MESSAGE_ID.fullmatch(reading.text(values, "hs_email_message_id"))
            if named:
                found[reading.record_id(record)] = (at, f"<{named[1]}>")
            else:
                without[reading.record_id(record)] = at
        asked = list(without)
        for start in range(0, len(asked), _TEXTS_A_CALL):
            chunk = asked[start : start + _TEXTS_A_CALL]
            for record in await self._records.many("emails", chunk, ["hs_email_text"]):
                email_id = reading.record_id(record)
                logged = logged_message_id(reading.text(reading.properties(record), "hs_email_text"))
                if logged and email_id in without:
                    found[email_id] = (without[email_id], logged)
        return found


def _all_ids(links: Mapping[str, list[Link]]) -> list[str]:
    return list(dict.fromkeys(link.to_id for found in links.values() for link in found))


def _primary(links: Iterable[Link]) -> str:
    """The primary company, else the oldest one."""
    found = sorted(links, key=lambda link: (not link.is_primary, by_number(link.to_id)))
    return found[0].to_id if found else ""


def _addresses(links: Iterable[Link], addresses: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    for link in links:
        try:
            found.append(comparing_form(addresses.get(link.to_id, "")))
        except AddressError:
            continue
    return tuple(dict.fromkeys(found))


def _in_order(links: Iterable[Link], message_ids: Mapping[str, tuple[datetime, str]]) -> tuple[str, ...]:
    known = sorted(message_ids[link.to_id] for link in links if link.to_id in message_ids)
    return tuple(dict.fromkeys(message_id for _, message_id in known))


def _created_at(record: Mapping[str, Any]) -> datetime | None:
    return reading.instant(reading.properties(record).get("createdate")) or reading.instant(record.get("createdAt"))
