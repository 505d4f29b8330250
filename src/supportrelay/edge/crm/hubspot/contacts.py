"""The customer as a contact of HubSpot: found by address, made when missing."""

import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from supportrelay.core.crm_ports import CrmMemory
from supportrelay.core.errors import CrmRefusal
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.log import get_logger

__all__ = ["LONGEST_LOGGED", "ContactIds", "Contacts", "split_name"]

log = get_logger()

LONGEST_LOGGED: Final = 200
"""Of HubSpot's words in the log, in characters: they may repeat what was sent."""

_NOT_FOUND, _CONFLICT = 404, 409
_EXISTING_ID = re.compile(r"Existing ID:\s*([0-9]{1,20})")  # stands in the sentence only (hubspot-api-php#59)
_LONGEST_NAME = 100
# Merged contacts answer to their old ids; a deleted one is left out of the ticket and found anew then.
_KIND, _KEPT_FOR = "contact", timedelta(days=30)
# Scripts in which the family name is written first.
_FAMILY_FIRST = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


class ContactIds:
    """Contact ids by address, in memory, shared by directory and desk of one process.

    Args:
        now: The clock (aware).
        keep: How long an id counts; merged contacts answer to their old ids, so a stale one still works.
        most: Addresses kept; the one that was not asked for longest goes first.
    """

    def __init__(
        self, now: Callable[[], datetime], *, keep: timedelta = timedelta(hours=12), most: int = 20_000
    ) -> None:
        self._now = now
        self._keep = keep
        self._most = most
        self._ids: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    def get(self, address: str) -> str:
        """The id of the contact with this address (comparing form), "" when it is not known here."""
        found = self._ids.get(address)
        if found is None:
            return ""
        contact_id, known_at = found
        if self._now() - known_at > self._keep:
            del self._ids[address]
            return ""
        self._ids.move_to_end(address)
        return contact_id

    def put(self, address: str, contact_id: str) -> None:
        """Remember an id; "" forgets it."""
        if not address or not contact_id:
            self._ids.pop(address, None)
            return
        self._ids[address] = (contact_id, self._now())
        self._ids.move_to_end(address)
        while len(self._ids) > self._most:
            self._ids.popitem(last=False)


class Contacts:
    """Contacts as the desk needs them: an id for the customer of a ticket.

    Args:
        ids: Of this process. memory: Of all of them; None leaves it at this one.
    """

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        ids: ContactIds,
        memory: CrmMemory | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._paths = paths
        self._memory = memory
        self._now = now
        self.ids = ids

    async def id_of(self, address: str, name: str) -> str:
        """The contact's id, made when there is none; "" when HubSpot refuses (logged): a ticket can do without.

        One call for a contact that is not in the cache, two for one that has to be made.

        Raises:
            CrmDown: HubSpot cannot be asked.
        """
        known = self.ids.get(address) or self._recall(address)
        if known or not address:
            return known
        try:
            found = await self._find(address) or await self._make(address, name)
        except CrmRefusal as exc:
            # Its words may hold the address.
            cause = re.sub(re.escape(address), "(address)", exc.cause, flags=re.IGNORECASE)
            log.warning("desk.contact_refused", status=exc.http_status, cause=reading.printable(cause, LONGEST_LOGGED))
            return ""
        self.ids.put(address, found)
        if found and self._memory is not None:
            await self._memory.remember(_KIND, {address: found}, self._now(), self._now() + _KEPT_FOR)
        return found

    async def forget(self, address: str) -> None:
        """HubSpot does not take the contact that we had: look for it anew the next time."""
        self.ids.put(address, "")
        if self._memory is not None:
            await self._memory.remember(_KIND, {address: ""}, self._now(), self._now())

    def _recall(self, address: str) -> str:
        """What another worker, or an earlier life, found or made; or what the directory said about the customer."""
        if self._memory is None:
            return ""
        kept = self._memory.recall(_KIND, address)
        if kept is not None:
            found = kept.body if kept.expires_at > self._now() and isinstance(kept.body, str) else ""
            self.ids.put(address, found)
            return found
        answer = self._memory.recall("customer", address)
        if answer is None or answer.expires_at <= self._now() or not isinstance(answer.body, dict):
            return ""
        return str(answer.body.get("contact_id") or "") if answer.body.get("source") == "hubspot" else ""

    async def _find(self, address: str) -> str:
        try:
            answer = await self._client.request(
                "GET",
                self._paths.record("contacts", address),
                params={"idProperty": "email", "properties": "email"},
                lane=Lane.TICKETS,
            )
        except CrmRefusal as exc:
            if exc.http_status == _NOT_FOUND:
                return ""
            raise
        return reading.record_id(answer.body)

    async def _make(self, address: str, name: str) -> str:
        first, last = split_name(name)
        wanted = {"email": address, "firstname": first, "lastname": last}
        properties = {key: value for key, value in wanted.items() if value}
        try:
            answer = await self._client.request(
                "POST", self._paths.objects("contacts"), json={"properties": properties}, lane=Lane.TICKETS
            )
        except CrmRefusal as exc:
            # Somebody made it meanwhile, or it has this address as its second one.
            if exc.http_status != _CONFLICT:
                raise
            existing = _EXISTING_ID.search(exc.cause)
            return existing[1] if existing else await self._find(address)
        return reading.record_id(answer.body)


def split_name(name: str) -> tuple[str, str]:
    """``(first, last)`` of a display name: ``Doe, Jane`` and ``Jane Q. Doe`` alike, ``山田 太郎`` family name first.

    One word is a first name; something with an @ is no name. Each at most 100 characters.
    """
    line = reading.printable(name, 2 * _LONGEST_NAME).strip("\"' ")
    if not line or "@" in line:
        return "", ""
    last, comma, first = line.partition(", ")
    if not comma:
        words = line.split()
        if len(words) == 1:
            return line[:_LONGEST_NAME], ""
        if _FAMILY_FIRST.search(line):
            last, first = words[0], " ".join(words[1:])
        else:
            first, last = " ".join(words[:-1]), words[-1]
    return first[:_LONGEST_NAME].strip(), last[:_LONGEST_NAME].strip()
