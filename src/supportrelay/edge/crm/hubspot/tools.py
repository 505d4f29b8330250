"""HubSpot's part of ``crm setup`` and ``crm check``, as JSON values (`admin.context.CrmTools`)."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from supportrelay.core.adoption import AdoptableTicket, Adopted, Adoption
from supportrelay.core.crm_ports import Gate
from supportrelay.core.errors import CrmRefusal, InputError
from supportrelay.core.ticket import ticket_label
from supportrelay.edge.crm.hubspot.adopt import AdoptionReader
from supportrelay.edge.crm.hubspot.checking import AccountCheck
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings
from supportrelay.edge.crm.hubspot.setup import Setup, scopes_needed

__all__ = ["Adopt", "HubSpotTools"]

_AT_ONCE = 200


class Adopt(Protocol):
    """The store's part of adopting: a mirror for each ticket that has none, one commit for them all."""

    def __call__(
        self, tickets: Sequence[AdoptableTicket], *, address: str, who: str, dry_run: bool
    ) -> Awaitable[Adoption]:
        """What came of them."""
        ...


class HubSpotTools:
    """What people do with the account who set it up.

    Args:
        client, paths, gate, directory, desk, logs_mail: As for `AccountCheck`.
        reader, adopt: For adopting; None where tickets live elsewhere.
    """

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        gate: Gate,
        *,
        directory: DirectorySettings | None,
        desk: DeskSettings | None,
        logs_mail: bool = True,
        reader: AdoptionReader | None = None,
        adopt: Adopt | None = None,
    ) -> None:
        self._reader = reader
        self._adopt = adopt
        self._setup = Setup(client, paths, directory, desk)
        self._check = AccountCheck(client, paths, gate, directory=directory, desk=desk, logs_mail=logs_mail)
        self._desk = desk
        self._scopes = scopes_needed(directory=directory is not None, desk=desk is not None, logs_mail=logs_mail)
        self._client = client

    async def set_up(self, *, pipeline: str, dry_run: bool) -> dict[str, Any]:
        """Look up what is needed, and make what is missing unless ``dry_run``.

        Returns ``steps, pipeline, stages, is_proposal, pipelines`` (`SetupPlan.to_json`), ``key_property, scopes,
        to_make``.

        Raises:
            CrmDown: HubSpot cannot be asked.
            CrmRefusal: It refuses the account's own details.
        """
        await self._client.reopen()
        plan = await self._setup.plan(pipeline)
        to_make = plan.has_to_make
        if not dry_run and to_make:
            plan = await self._setup.apply(plan)
        key = self._desk.key_property if self._desk else None
        return {**plan.to_json(), "key_property": key, "scopes": list(self._scopes), "to_make": to_make}

    async def check(self) -> list[dict[str, Any]]:
        """Findings, each ``code, ok`` (true, false, null: only told) and values."""
        return [finding.to_json() for finding in await self._check.run()]

    async def adopt(self, *, address: str, who: str, dry_run: bool) -> dict[str, Any]:
        """Mirror the open tickets of the pipeline, then write our key on each.

        Asking again adopts none twice. A ticket that cannot be marked is ours all the same: it is known by its id.

        Returns ``adopted`` (each ``external_id, subject, customer, ticket``), ``known`` (how many were ours already),
        ``unmarked`` (each ``external_id, cause``).

        Raises:
            CrmDown, CrmRefusal: As every call; what was adopted before stands.
            InputError: Tickets live elsewhere.
        """
        if self._reader is None or self._adopt is None:
            raise InputError("tickets do not live at HubSpot; there is nothing to adopt")
        adopted: list[Adopted] = []
        unmarked: list[dict[str, str]] = []
        known = 0
        batch: list[AdoptableTicket] = []

        async def take(tickets: Sequence[AdoptableTicket], keep: Adopt) -> None:
            nonlocal known
            done = await keep(tickets, address=address, who=who, dry_run=dry_run)
            adopted.extend(done.adopted)
            known += done.known
            unmarked.extend(await self._mark(done.adopted))

        async for ticket in self._reader.tickets():
            batch.append(ticket)
            if len(batch) == _AT_ONCE:
                await take(batch, self._adopt)
                batch = []
        if batch:
            await take(batch, self._adopt)
        return {"adopted": [_adopted_json(one) for one in adopted], "known": known, "unmarked": unmarked}

    async def _mark(self, adopted: Sequence[Adopted]) -> list[dict[str, str]]:
        assert self._reader is not None
        refused = []
        for one in adopted:
            if not one.key:
                continue
            try:
                await self._reader.mark(one.external_id, one.key)
            except CrmRefusal as exc:
                refused.append({"external_id": one.external_id, "cause": exc.cause})
        return refused


def _adopted_json(one: Adopted) -> dict[str, Any]:
    return {
        "external_id": one.external_id,
        "subject": one.subject,
        "customer": one.customer,
        "ticket": ticket_label(one.ticket_id) if one.ticket_id else None,
    }
