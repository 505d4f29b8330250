"""HubSpot's part of ``crm setup`` and ``crm check``, as JSON values (`admin.context.CrmTools`)."""

from typing import Any

from supportrelay.core.crm_ports import Gate
from supportrelay.edge.crm.hubspot.checking import AccountCheck
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings
from supportrelay.edge.crm.hubspot.setup import Setup, scopes_needed

__all__ = ["HubSpotTools"]


class HubSpotTools:
    """What people do with the account who set it up; the arguments are those of `AccountCheck`."""

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        gate: Gate,
        *,
        directory: DirectorySettings | None,
        desk: DeskSettings | None,
        logs_mail: bool = True,
    ) -> None:
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
