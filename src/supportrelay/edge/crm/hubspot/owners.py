"""Owners of HubSpot: from owner ids to people who can be reached (CRM_FACTS section 1 (d))."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from supportrelay.core.errors import AddressError, CrmDown
from supportrelay.core.mailbox import comparing_form
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.records import Records, listed

__all__ = ["MOST_OWNERS", "Owner", "OwnerBook", "Standing"]

MOST_OWNERS = 4  # `core.directory.Deal.owners`
_PAGE = 100
_PAGES = 500
_UNKNOWN_FOR = timedelta(seconds=10)  # somebody may have been added since the list was read
_LEFT_FOR = timedelta(hours=1)


class Standing(StrEnum):
    """Whether an owner can be reached, and if not, why."""

    PERSON = "person"
    QUEUE = "queue"
    NO_ADDRESS = "no_address"
    LEFT = "left"
    UNKNOWN = "unknown"


@value_class
class Owner:
    """An owner.

    Attributes:
        address: As HubSpot writes it. key: in comparing form. Both "" unless a PERSON.
    """

    id: str
    standing: Standing
    address: str = ""
    key: str = ""


class OwnerBook:
    """The list of owners, read at most every ``cache_for`` and shared by all who ask in this process."""

    def __init__(self, *, now: Callable[[], datetime], cache_for: timedelta) -> None:
        self._now = now
        self._cache_for = cache_for
        self._owners: dict[str, Owner] = {}
        self._read_at: datetime | None = None
        self._left: frozenset[str] = frozenset()
        self._left_read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def everybody(self, records: Records) -> frozenset[str]:
        """All who can be reached, comparing form."""
        async with self._reading:
            await self._read(records, self._cache_for)
        return frozenset(owner.key for owner in self._owners.values() if owner.standing == Standing.PERSON)

    async def ids(self, records: Records) -> dict[str, str]:
        """Ids of all who can be reached, by address in comparing form."""
        async with self._reading:
            await self._read(records, self._cache_for)
        return {one.key: one.id for one in self._owners.values() if one.standing == Standing.PERSON}

    async def prepare(self, records: Records, owner_ids: Iterable[str]) -> None:
        """Have the list ready for these; an id that is not on it is looked for among those who left, then anew."""
        wanted = set(owner_ids)
        async with self._reading:
            await self._read(records, self._cache_for)
            if wanted <= self._owners.keys():
                return
            if self._left_read_at is None or self._now() - self._left_read_at >= _LEFT_FOR:
                self._left = frozenset(await self._list(records, is_archived=True))
                self._left_read_at = self._now()
            if not wanted <= self._owners.keys() | self._left:
                await self._read(records, _UNKNOWN_FOR)

    def owner(self, owner_id: str) -> Owner:
        """An owner by id; call `prepare` before."""
        found = self._owners.get(owner_id)
        return found or Owner(owner_id, Standing.LEFT if owner_id in self._left else Standing.UNKNOWN)

    def reachable(self, owner_ids: Iterable[str]) -> tuple[tuple[str, ...], int]:
        """Addresses of the first four who can be reached, each once, and how many cannot; call `prepare` before."""
        owners = [self.owner(owner_id) for owner_id in dict.fromkeys(owner_ids)]
        people: dict[str, str] = {}
        for owner in owners:
            if owner.standing == Standing.PERSON:
                people.setdefault(owner.key, owner.address)
        gone = sum(owner.standing != Standing.PERSON for owner in owners)
        return tuple(people.values())[:MOST_OWNERS], gone

    async def _read(self, records: Records, oldest: timedelta) -> None:
        if self._read_at is not None and self._now() - self._read_at < min(oldest, self._cache_for):
            return
        asked_at = self._now()
        self._owners = await self._list(records, is_archived=False)
        self._read_at = asked_at

    @staticmethod
    async def _list(records: Records, *, is_archived: bool) -> dict[str, Owner]:
        found: dict[str, Owner] = {}
        params = {"limit": str(_PAGE), "archived": "true" if is_archived else "false"}
        for _ in range(_PAGES):
            answer = await records.get(records.paths.owners(), params)
            for record in listed(answer):
                owner = _owner(record)
                if not owner.id:
                    raise CrmDown("an owner without id")
                found[owner.id] = owner
            after = reading.next_after(answer)
            if not after or after == params.get("after"):
                break
            params = {**params, "after": after}
        return found


def _owner(record: Mapping[str, Any]) -> Owner:
    number = reading.record_id(record)
    if reading.is_true(record.get("archived")):
        return Owner(number, Standing.LEFT)
    if reading.text(record, "type").upper() == "QUEUE":
        return Owner(number, Standing.QUEUE)
    address = reading.text(record, "email")
    try:
        return Owner(number, Standing.PERSON, address, comparing_form(address))
    except AddressError:
        return Owner(number, Standing.NO_ADDRESS)
