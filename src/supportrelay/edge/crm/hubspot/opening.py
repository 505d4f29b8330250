"""Making a ticket at HubSpot: once for a key, whole when it can be, bare rather than not at all."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.outside import DeskOpening, DeskTicket
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.contacts import LONGEST_LOGGED, Contacts
from supportrelay.edge.crm.hubspot.mails import LONGEST_TEXT, clean, cut_units
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings
from supportrelay.edge.crm.hubspot.tickets import PIPELINE, STAGE, TicketReading
from supportrelay.log import get_logger

__all__ = ["MISTAKES", "Link", "TicketMaker", "association"]

log = get_logger()

# What HubSpot says to a request that it will never take as it is; everything else is about us or about now.
MISTAKES = frozenset({400, 404, 409, 413, 422})
_CONFLICT = 409
_LONGEST_SUBJECT = 255
_PRIORITIES = frozenset({"LOW", "MEDIUM", "HIGH", "URGENT"})

# Type ids from the ticket's side (CRM_FACTS (e)): they have a direction.
_TO_CONTACT, _TO_PRIMARY_COMPANY, _TO_DEAL = 16, 26, 28

Link = tuple[str, str, int]  # kind of the other record, its id, type id


def association(to_id: str, type_id: int) -> dict[str, Any]:
    """An entry of ``associations`` for a record that is being made."""
    return {"to": {"id": to_id}, "types": [_type(type_id)]}


def _type(type_id: int) -> dict[str, Any]:
    return {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}


class TicketMaker:
    """Makes tickets; the key is unique there, so that asking twice makes one.

    Args:
        find: The ticket with a key, read by the key itself and not by search.
        owner_id: HubSpot's id of an active owner with this address (comparing form), "" when there is none.
    """

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        settings: DeskSettings,
        contacts: Contacts,
        find: Callable[..., Awaitable[DeskTicket | None]],
        owner_id: Callable[[str], Awaitable[str]],
    ) -> None:
        self._client = client
        self._paths = paths
        self._settings = settings
        self._reading = TicketReading(settings)
        self._contacts = contacts
        self._find = find
        self._owner_id = owner_id

    async def make(self, opening: DeskOpening) -> DeskTicket:
        """Make it, or return the one with this key.

        Raises:
            CrmDown: Cannot be asked, or nobody knows whether it was made; the same call again is safe.
            CrmRefusal: HubSpot does not even take subject, stage and key.
        """
        contact_id = await self._contacts.id_of(opening.customer, opening.customer_name)
        links = tuple(_links(opening, contact_id))
        needed, further = self._needed(opening), await self._further(opening)
        try:
            return await self._create({**needed, **further}, links, opening.stage)
        except CrmRefusal as exc:
            if exc.http_status not in MISTAKES:
                raise
            refusal = exc
        # Whatever it says: HubSpot has several ways of saying that the key is taken, and one call tells.
        there = await self._find(opening.key)
        if there is None and _is_conflict(refusal):
            there = await self._deleted(opening.key)
        return there or await self._make_bare(opening, needed, further, links, refusal)

    async def _create(self, properties: Mapping[str, str], links: tuple[Link, ...], stage: Stage) -> DeskTicket:
        body: dict[str, Any] = {"properties": dict(properties)}
        if links:
            body["associations"] = [association(to_id, type_id) for _, to_id, type_id in links]
        answer = await self._client.request("POST", self._paths.objects("tickets"), json=body, lane=Lane.TICKETS)
        made = self._reading.ticket(answer.body, written=stage)
        if made is None:
            raise CrmDown("tickets: the answer to a new ticket cannot be read; it is looked for by its key")
        return made

    def _needed(self, opening: DeskOpening) -> dict[str, str]:
        subject = " ".join(clean(opening.subject).split())
        return {
            "subject": cut_units(subject or opening.label or "-", _LONGEST_SUBJECT),
            PIPELINE: self._settings.pipeline,
            STAGE: self._reading.stage_id(opening.stage),
            self._settings.key_property: opening.key,
        }

    async def _further(self, opening: DeskOpening) -> dict[str, str]:
        priority = opening.priority.upper()
        wanted = {
            "content": cut_units(clean(opening.text[: LONGEST_TEXT + 1]), LONGEST_TEXT),
            "hs_ticket_priority": priority if priority in _PRIORITIES else "",
            "hubspot_owner_id": await self._owner(opening.owners),
        }
        return {name: value for name, value in wanted.items() if value}

    async def _owner(self, addresses: tuple[str, ...]) -> str:
        """The first one that HubSpot knows; a list of owners that may not be read makes no ticket wait."""
        try:
            for address in addresses:
                if found := await self._owner_id(address):
                    return found
        except CrmRefusal as exc:
            log.warning(
                "desk.part_refused",
                part="owner",
                status=exc.http_status,
                cause=reading.printable(exc.cause, LONGEST_LOGGED),
            )
        return ""

    async def _deleted(self, key: str) -> DeskTicket:
        """The ticket in HubSpot's recycling bin that still holds the key; reading it by id will say that it is gone."""
        found = await self._find(key, archived=True)
        if found is None:
            raise CrmDown("tickets: the key is taken, but no ticket with it can be read yet")
        return found

    async def _make_bare(
        self,
        opening: DeskOpening,
        needed: Mapping[str, str],
        further: Mapping[str, str],
        links: tuple[Link, ...],
        refusal: CrmRefusal,
    ) -> DeskTicket:
        """With what it cannot do without; then the rest piece by piece, so that one bad piece costs only itself."""
        made = await self._create_bare(opening.stage, needed)
        log.warning(
            "desk.opened_bare",
            label=opening.label,
            external_id=made.external_id,
            status=refusal.http_status,
            category=refusal.category,
            cause=reading.printable(refusal.cause, LONGEST_LOGGED),
        )
        try:
            for name, value in further.items():
                await self._add_property(made.external_id, name, value)
            for link in links:
                await self._add_link(opening, made.external_id, link)
        except CrmDown as exc:
            # The ticket is there; another attempt would only find it by its key.
            log.warning(
                "desk.part_refused",
                external_id=made.external_id,
                part="rest",
                status=0,
                cause=reading.printable(exc.cause, LONGEST_LOGGED),
            )
        return made

    async def _create_bare(self, stage: Stage, needed: Mapping[str, str]) -> DeskTicket:
        try:
            return await self._create(needed, (), stage)
        except CrmRefusal:
            # Rules of the pipeline may let tickets begin only in its first stage; the move is then tried by itself.
            if stage == Stage.NEW:
                raise
            begun = {**needed, STAGE: self._reading.stage_id(Stage.NEW)}
            return await self._create(begun, (), Stage.NEW)

    async def _add_property(self, external_id: str, name: str, value: str) -> None:
        path = self._paths.record("tickets", external_id)
        try:
            await self._client.request("PATCH", path, json={"properties": {name: value}}, lane=Lane.TICKETS)
        except CrmRefusal as exc:
            log.warning(
                "desk.part_refused",
                external_id=external_id,
                part=name,
                status=exc.http_status,
                cause=reading.printable(exc.cause, LONGEST_LOGGED),
            )

    async def _add_link(self, opening: DeskOpening, external_id: str, link: Link) -> None:
        kind, to_id, type_id = link
        try:
            if type_id == _TO_PRIMARY_COMPANY and await self._add_primary(external_id, to_id):
                return
            path = self._paths.associate_default("tickets", external_id, kind, to_id)
            await self._client.request("PUT", path, lane=Lane.TICKETS)
        except CrmRefusal as exc:
            if kind == "contacts":
                await self._contacts.forget(opening.customer)
            log.warning(
                "desk.part_refused",
                external_id=external_id,
                part=kind,
                status=exc.http_status,
                cause=reading.printable(exc.cause, LONGEST_LOGGED),
            )

    async def _add_primary(self, external_id: str, company_id: str) -> bool:
        """Make it the primary company; False when HubSpot refuses, then a plain association is tried."""
        path = self._paths.associate("tickets", external_id, "companies", company_id)
        try:
            await self._client.request("PUT", path, json=[_type(_TO_PRIMARY_COMPANY)], lane=Lane.TICKETS)
        except CrmRefusal:
            return False
        return True


def _links(opening: DeskOpening, contact_id: str) -> Iterator[Link]:
    if contact_id:
        yield "contacts", contact_id, _TO_CONTACT
    if opening.company_id:
        yield "companies", opening.company_id, _TO_PRIMARY_COMPANY
    for deal_id in dict.fromkeys(opening.deal_ids):
        if deal_id:
            yield "deals", deal_id, _TO_DEAL


def _is_conflict(refusal: CrmRefusal) -> bool:
    return refusal.http_status == _CONFLICT or "CONFLICTING_UNIQUE_VALUE" in f"{refusal.category} {refusal.cause}"
