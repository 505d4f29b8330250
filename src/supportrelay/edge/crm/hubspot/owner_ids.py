"""Which owner of HubSpot somebody is, for a ticket's owner; kept in the store, so that most tickets ask nothing."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from supportrelay.core.crm_ports import CrmMemory
from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import comparing_form

__all__ = ["OwnerIds"]

_KIND = "owner_id"
# Ids never change; who left is refused by HubSpot, and the ticket is made without him.
_KEPT_FOR = timedelta(hours=12)
_NOBODY_FOR = timedelta(minutes=5)


class OwnerIds:
    """Ids by address.

    Args:
        read: Ids of all active owners, by address in comparing form.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Mapping[str, str]]], memory: CrmMemory, *, now: Callable[[], datetime]
    ) -> None:
        self._read = read
        self._memory = memory
        self._now = now

    async def id_of(self, address: str) -> str:
        """HubSpot's id of an active owner with this address, "" when there is none.

        Raises:
            CrmDown, CrmRefusal: The list of owners was needed and could not be read.
        """
        try:
            key = comparing_form(address)
        except AddressError:
            return ""
        kept = self._memory.recall(_KIND, key)
        now = self._now()
        if kept is not None and kept.expires_at > now and isinstance(kept.body, str):
            return kept.body
        found = await self._read()
        await self._memory.remember(_KIND, dict(found), now, now + _KEPT_FOR)
        if key not in found:
            await self._memory.remember(_KIND, {key: ""}, now, now + _NOBODY_FOR)
        return found.get(key, "")
