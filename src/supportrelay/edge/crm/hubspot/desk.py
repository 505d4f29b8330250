"""HubSpot's board as our desk: `core.crm_ports.TicketDesk` (CRM_FACTS (e), (f))."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.outside import DeskChanges, DeskMail, DeskOpening, DeskTicket
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.contacts import LONGEST_LOGGED, Contacts
from supportrelay.edge.crm.hubspot.mails import is_logged_as, mail_properties, plain_mail
from supportrelay.edge.crm.hubspot.opening import MISTAKES, TicketMaker, association
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings
from supportrelay.edge.crm.hubspot.tickets import MODIFIED, PIPELINE, STAGE, TICKET_PROPERTIES, TicketReading
from supportrelay.i18n import Catalogue
from supportrelay.log import get_logger

__all__ = ["HubSpotDesk"]

log = get_logger()

_NOT_FOUND = 404
_EMAIL_TO_TICKET, _EMAIL_TO_CONTACT = 224, 198

_PAGE = 200
_PAGES_A_CALL = 5
_MOST_PAGES = 50  # 10,000 results, more are never shown of one search
_BATCH = 100
_EMAIL_PAGES = 40
_LATEST_EMAILS: Final = 300


class HubSpotDesk:
    """Tickets on HubSpot's own board.

    Args:
        client: Asks HubSpot; has pace, patience and the words for refusals.
        paths: Of the API version in use.
        settings: Pipeline, stages, key property.
        contacts: The customer's contact, found or made.
        owner_id: HubSpot's id of an active owner with this address (comparing form), "" when there is none.
        words: For what is written into mails' records beside their own text.
        has_directory_ids: The directory is HubSpot too, so companies and deals can be associated by id.
        search_lag: So late a change may appear in searches. HubSpot promises "a few moments"; others who depend on it
            wait five minutes.
    """

    kind = "hubspot"
    tells_stage = True

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        settings: DeskSettings,
        contacts: Contacts,
        owner_id: Callable[[str], Awaitable[str]],
        words: Catalogue,
        *,
        has_directory_ids: bool = True,
        search_lag: timedelta = timedelta(minutes=5),
    ) -> None:
        self.has_directory_ids = has_directory_ids
        self._client = client
        self._paths = paths
        self._settings = settings
        self._reading = TicketReading(settings)
        self._contacts = contacts
        self._words = words
        self._search_lag = search_lag
        self._maker = TicketMaker(client, paths, settings, contacts, self._by_key, owner_id)
        self._properties = [*TICKET_PROPERTIES, settings.key_property]

    async def aclose(self) -> None:
        """Close connections; the client may be shared and takes that more than once."""
        await self._client.aclose()

    # -- one ticket --

    async def find(self, key: str) -> DeskTicket | None:
        """The ticket with our key, with its stage history; one call."""
        return await self._by_key(key)

    async def _by_key(self, key: str, *, archived: bool = False) -> DeskTicket | None:
        return await self._read(key, archived=archived, idProperty=self._settings.key_property)

    async def open(self, opening: DeskOpening) -> DeskTicket:
        """Make the ticket, or return the one that has the key; one call when the customer's contact is known."""
        return await self._maker.make(opening)

    async def current(self, external_id: str) -> DeskTicket | None:
        """The ticket by id; one call. Merged away: the one that it went into, under that one's id."""
        return await self._read(external_id)

    async def _read(
        self, identifier: str, *, archived: bool = False, lane: Lane = Lane.TICKETS, **more: str
    ) -> DeskTicket | None:
        params = {"properties": ",".join(self._properties), "propertiesWithHistory": STAGE, **more}
        if archived:
            params["archived"] = "true"
        try:
            path = self._paths.record("tickets", identifier)
            answer = await self._client.request("GET", path, params=params, lane=lane)
        except CrmRefusal as exc:
            if exc.http_status == _NOT_FOUND:
                return None
            raise
        if reading.is_true(answer.body.get("archived")) and not archived:
            return None
        found = self._reading.ticket(answer.body)
        if found is None:
            # Silence here would read as "deleted" and put a conversation into the trash.
            raise CrmDown("tickets: an answer without id, stage or time cannot be used")
        return found

    async def move(self, external_id: str, stage: Stage) -> DeskTicket:
        """Write a stage; one call. It brings a ticket back that somebody put into another pipeline.

        Raises:
            CrmRefusal: 404 it is gone; else the rules of the pipeline.
        """
        wanted = {PIPELINE: self._settings.pipeline, STAGE: self._reading.stage_id(stage)}
        path = self._paths.record("tickets", external_id)
        answer = await self._client.request("PATCH", path, json={"properties": wanted}, lane=Lane.TICKETS)
        moved = self._reading.ticket(answer.body, written=stage)
        if moved is None:
            raise CrmDown("tickets: the answer to a move cannot be used")
        return moved

    # -- its mails --

    async def record(self, external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
        """Log a mail on the ticket; one call, and a few to look first when it may be there already.

        Refused as it is, it is logged without the customer's contact, and then in plain words.
        """
        if is_repeat and await self._is_logged(external_id, mail):
            return
        to_ticket = association(external_id, _EMAIL_TO_TICKET)
        whole, plain = mail_properties(mail, self._words), plain_mail(mail, self._words)
        contact_id = self._contacts.ids.get(mail.customer)
        tries = [(whole, [to_ticket]), (plain, [to_ticket])]
        if contact_id:
            tries.insert(0, (whole, [to_ticket, association(contact_id, _EMAIL_TO_CONTACT)]))
        refusal: CrmRefusal | None = None
        for properties, associations in tries:
            try:
                body = {"properties": properties, "associations": associations}
                await self._client.request("POST", self._paths.objects("emails"), json=body, lane=Lane.TICKETS)
            except CrmRefusal as exc:
                if exc.http_status not in MISTAKES:
                    raise
                refusal = refusal or exc
                if len(associations) > 1:
                    self._contacts.ids.put(mail.customer, "")  # it may be the contact that is gone
                continue
            if refusal is not None:
                log.warning(
                    "desk.mail_logged_in_part",
                    external_id=external_id,
                    is_text_kept=properties is whole,
                    status=refusal.http_status,
                    cause=reading.printable(refusal.cause, LONGEST_LOGGED),
                )
            return
        assert refusal is not None
        raise refusal

    async def _is_logged(self, external_id: str, mail: DeskMail) -> bool:
        ids = await self._email_ids(external_id)
        # Ids grow: an earlier attempt's entry is among the newest.
        newest = sorted(ids, key=lambda one: (len(one), one), reverse=True)[:_LATEST_EMAILS]
        for start in range(0, len(newest), _BATCH):
            body = {
                "inputs": [{"id": one} for one in newest[start : start + _BATCH]],
                "properties": ["hs_timestamp", "hs_email_subject"],
            }
            path = self._paths.batch_read("emails")
            answer = await self._client.request("POST", path, json=body, lane=Lane.TICKETS)
            if any(is_logged_as(mail, reading.properties(record)) for record in answer.results):
                return True
        return False

    async def _email_ids(self, external_id: str) -> set[str]:
        found: set[str] = set()
        path = self._paths.associations("tickets", external_id, "emails")
        after = ""
        for _ in range(_EMAIL_PAGES):
            params = {"limit": "500"} | ({"after": after} if after else {})
            answer = await self._client.request("GET", path, params=params, lane=Lane.TICKETS)
            found.update(reading.associated_ids(answer.body, "emails"))
            before, after = after, reading.next_after(answer.body)
            if not after or after == before:
                break
        return found

    # -- many tickets --

    async def changed(self, since: datetime) -> DeskChanges:
        """Tickets of the pipeline changed since then, without their history; 200 a call, at most 1,000 at once.

        ``until`` stays ``search_lag`` behind the newest change seen, by HubSpot's clock: its index lags. While there is
        more to read (``is_whole`` False) it is the newest change itself, so that reading goes on.
        """
        found: dict[str, DeskTicket] = {}
        newest, after, pages, is_whole = since, "", 0, False
        while not is_whole and (pages < _PAGES_A_CALL or newest <= since) and pages < _MOST_PAGES:
            records, next_after = await self._changed_page(newest, after)
            pages += 1
            is_whole = len(records) < _PAGE and not next_after
            read = [ticket for record in records if (ticket := self._reading.ticket(record)) is not None]
            found.update((ticket.external_id, replace(ticket, moves=())) for ticket in read)
            before, newest = newest, max([newest, *(ticket.updated_at for ticket in read)])
            # A whole page of one instant (somebody changed hundreds at once): only then its second page is asked for.
            after = next_after if newest == before else ""
            is_whole = is_whole or (newest == before and not after)
        until = max(since, newest - self._search_lag) if is_whole else max(newest, since + timedelta(milliseconds=1))
        return DeskChanges(tuple(sorted(found.values(), key=lambda one: one.updated_at)), until, is_whole)

    async def _changed_page(self, since: datetime, after: str) -> tuple[list[dict[str, Any]], str]:
        """``(records, cursor of the next page)``.

        Pages are searches of their own from the newest change on: with a cursor, tickets that change meanwhile go to
        the end and pull others over the edge of the page.
        """
        body: dict[str, Any] = {
            "filterGroups": [
                {
                    "filters": [
                        {"propertyName": PIPELINE, "operator": "EQ", "value": self._settings.pipeline},
                        {"propertyName": MODIFIED, "operator": "GTE", "value": str(_millis(since))},
                    ]
                }
            ],
            "sorts": [{"propertyName": MODIFIED, "direction": "ASCENDING"}],
            "properties": self._properties,
            "limit": _PAGE,
        }
        if after:
            body["after"] = after
        answer = await self._client.request("POST", self._paths.search("tickets"), json=body, lane=Lane.BACKGROUND)
        return answer.results, reading.next_after(answer.body)

    async def gone(self, external_ids: Sequence[str]) -> frozenset[str]:
        """Which of these were deleted; one call a hundred, and one for each that seems to be.

        Merged ones are not: their ids lead to the survivor. What a batch leaves out is asked for by itself, because
        "deleted" puts a conversation into the trash, and an answer with a hole looks just like it.
        """
        missing: list[str] = []
        wanted = list(dict.fromkeys(external_ids))
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            body = {"inputs": [{"id": one} for one in some], "properties": [STAGE]}
            path = self._paths.batch_read("tickets")
            answer = await self._client.request("POST", path, json=body, lane=Lane.BACKGROUND)
            there = {
                reading.record_id(record) for record in answer.results if not reading.is_true(record.get("archived"))
            }
            missing += [one for one in some if one not in there]
        return frozenset([one for one in missing if await self._read(one, lane=Lane.BACKGROUND) is None])


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)
