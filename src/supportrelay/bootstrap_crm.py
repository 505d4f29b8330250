"""bootstrap_crm: from the configuration to the CRM's parts of one process. A new CRM gets its branch here."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from starlette.routing import Route

from supportrelay.config import Config
from supportrelay.core.adoption import AdoptableTicket, Adoption
from supportrelay.core.crm_ports import TicketDesk
from supportrelay.core.outside import DeskChanges, DeskMail, DeskOpening, DeskTicket
from supportrelay.core.ports import Domains, OwnerDirectory
from supportrelay.core.ticket import Stage
from supportrelay.edge.control.client import ControlClient, control_path
from supportrelay.edge.crm.builtin import BuiltinDirectory
from supportrelay.edge.crm.hubspot import webhook
from supportrelay.edge.crm.hubspot.adopt import AdoptionReader
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.contacts import ContactIds, Contacts
from supportrelay.edge.crm.hubspot.desk import HubSpotDesk
from supportrelay.edge.crm.hubspot.directory import HubSpotDirectory
from supportrelay.edge.crm.hubspot.owner_ids import OwnerIds
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings, HubSpotAccount
from supportrelay.edge.crm.hubspot.tools import Adopt, HubSpotTools
from supportrelay.edge.crm.remembering import RememberingDirectory
from supportrelay.edge.crm.tidying import AnswerTidier
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.web.hooks import Hook, hubspot_hook
from supportrelay.i18n import Catalogue

__all__ = ["Crm", "CurrentDesk", "open_crm", "webhook_routes"]

# HubSpot wants an answer within five seconds.
_TOLD_WITHIN_S = 4


class Crm:
    """Directory and desk of one process.

    Attributes:
        desk: None when tickets live in the relay's own store.
        tools: For ``crm setup`` and ``crm check``; None without an outside CRM.
    """

    def __init__(
        self,
        directory: OwnerDirectory,
        *,
        desk: TicketDesk | None = None,
        tools: HubSpotTools | None = None,
        client: HubSpotClient | None = None,
        tidier: AnswerTidier | None = None,
    ) -> None:
        self.directory = directory
        self.desk = desk
        self.tools = tools
        self._client = client
        self._tidier = tidier

    def start(self) -> None:
        """Refresh answers in the background from now on, and drop old ones."""
        if isinstance(self.directory, RememberingDirectory):
            self.directory.start()
        if self._tidier is not None:
            self._tidier.start()

    async def stop(self) -> None:
        """Nothing in the background any more: another one has taken over. Who still asks is answered."""
        if isinstance(self.directory, RememberingDirectory):
            await self.directory.stop()
        if self._tidier is not None:
            await self._tidier.aclose()

    async def forget(self, domain: str) -> int:
        """Answers kept about a domain's customers ("" for all) are asked for anew."""
        return await self.directory.forget(domain) if isinstance(self.directory, RememberingDirectory) else 0

    async def reopen(self) -> None:
        """A person changed the account: what its gate was closed for may be over."""
        if self._client is not None:
            await self._client.reopen()

    async def aclose(self) -> None:
        """End background work and close connections."""
        await self.stop()
        if isinstance(self.directory, RememberingDirectory):
            await self.directory.aclose()
        if self._client is not None:
            await self._client.aclose()


def open_crm(config: Config, store: SqliteStore, domains: Domains, now: Callable[[], datetime]) -> Crm:
    """Bring a process's directory and desk together; nothing is asked yet."""
    crm = config.crm
    if crm.hubspot_account is None:
        return Crm(BuiltinDirectory(store, domains, now=now))
    account = HubSpotAccount(**crm.hubspot_account)
    paths = Paths(account.api_version)
    client = HubSpotClient(account, store, now=now)
    reads = DirectorySettings(**crm.hubspot_directory) if crm.hubspot_directory is not None else None
    board = DeskSettings(**crm.hubspot_desk) if crm.hubspot_desk is not None else None
    ids = ContactIds(now)
    # A desk alone asks for owners too: the ticket's owner is written by his id.
    hubspot = HubSpotDirectory(
        client, paths, reads or DirectorySettings(), domains, now=now, contacts=ids, cache_for=crm.cache_for
    )
    directory: OwnerDirectory = BuiltinDirectory(store, domains, now=now)
    if reads is not None:
        directory = RememberingDirectory(
            hubspot, store, cache_for=crm.cache_for, now=now, background=hubspot.in_background()
        )
    desk = None
    if board is not None and crm.is_set_up:
        desk = HubSpotDesk(
            client,
            paths,
            board,
            Contacts(client, paths, ids, store, now=now),
            OwnerIds(hubspot.owner_ids, store, now=now).id_of,
            Catalogue(config.language),
            has_directory_ids=reads is not None,
            search_lag=crm.search_lag,
        )
    tools = HubSpotTools(
        client,
        paths,
        store,
        directory=reads,
        desk=board,
        logs_mail=crm.log_mail != "none",
        reader=AdoptionReader(client, paths, board, now=now) if board is not None else None,
        adopt=_adopting(config, store, domains, now) if board is not None else None,
    )
    return Crm(directory, desk=desk, tools=tools, client=client, tidier=AnswerTidier(store, now=now))


def _adopting(config: Config, store: SqliteStore, domains: Domains, now: Callable[[], datetime]) -> Adopt:
    def domain_of(address: str) -> str:
        domain = address.rpartition("@")[2]
        return "" if domains.is_free_mail(domain) else domains.registrable(domain)

    async def adopt(tickets: Sequence[AdoptableTicket], *, address: str, who: str, dry_run: bool) -> Adoption:
        return await store.adopt(
            tickets,
            now(),
            address=address,
            domain_of=domain_of,
            subject_tags=config.desk().subject_tags,
            who=who,
            dry_run=dry_run,
        )

    return adopt


def webhook_routes(config: Config) -> list[Route]:
    """The endpoint by which HubSpot says what changed; none without a secret to know it by. For the web process."""
    secret = config.crm.webhook_secret
    if not secret:
        return []

    def is_hubspot(headers: Mapping[str, str], method: str, uri: str, body: bytes) -> bool:
        return webhook.verify(headers, method, uri, body, secret, int(time.time() * 1000))

    def tell(ids: Sequence[str]) -> bool:
        client = ControlClient(control_path(config.state_folder))
        answer = client.call("desk.changed", {"ids": list(ids)}, who="desk:hubspot", timeout_s=_TOLD_WITHIN_S)
        return bool(answer.get("ok"))

    hook = Hook(
        public_url=config.web.public_url or "",
        verify=is_hubspot,
        read=lambda body: [event.object_id for event in webhook.events(body)],
        tell=tell,
    )
    return [hubspot_hook(hook)]


class CurrentDesk:
    """The desk as the configuration names it now: a new token counts without a restart.

    Args:
        now: Returns it; None, when tickets shall live here after the next start, leaves the last one in use.
    """

    def __init__(self, now: Callable[[], TicketDesk | None]) -> None:
        self._now = now
        first = now()
        assert first is not None
        self._last: TicketDesk = first

    @property
    def _desk(self) -> TicketDesk:
        self._last = self._now() or self._last
        return self._last

    @property
    def kind(self) -> str:
        """Of the desk in use."""
        return self._desk.kind

    @property
    def tells_stage(self) -> bool:
        """See `TicketDesk`."""
        return self._desk.tells_stage

    @property
    def has_directory_ids(self) -> bool:
        """See `TicketDesk`."""
        return self._desk.has_directory_ids

    async def find(self, key: str) -> DeskTicket | None:
        """See `TicketDesk`, as all of these."""
        return await self._desk.find(key)

    async def open(self, opening: DeskOpening) -> DeskTicket:
        """Make the ticket."""
        return await self._desk.open(opening)

    async def current(self, external_id: str) -> DeskTicket | None:
        """The ticket as it is now."""
        return await self._desk.current(external_id)

    async def move(self, external_id: str, stage: Stage) -> DeskTicket:
        """Write a stage."""
        return await self._desk.move(external_id, stage)

    async def record(self, external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
        """Log a mail."""
        await self._desk.record(external_id, mail, is_repeat=is_repeat)

    async def changed(self, since: datetime) -> DeskChanges:
        """What changed there."""
        return await self._desk.changed(since)

    async def gone(self, external_ids: Sequence[str]) -> frozenset[str]:
        """Which were deleted."""
        return await self._desk.gone(external_ids)

    async def aclose(self) -> None:
        """Closed with the parts it belongs to."""
