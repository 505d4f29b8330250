"""The same customers in every directory: builtin, any CRM behind the memory, and HubSpot behind it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from hubspot_double.process import DoubleClient
from supportrelay.core.crm_import import ImportPlan, parse_yaml_import
from supportrelay.core.directory import Company, Deal, DealState, DirectoryAnswer, MatchedBy
from supportrelay.core.mailbox import Mailbox, comparing_form
from supportrelay.core.ports import OwnerDirectory
from supportrelay.edge.crm.builtin import BuiltinDirectory
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.contacts import ContactIds
from supportrelay.edge.crm.hubspot.directory import HubSpotDirectory
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DirectorySettings, HubSpotAccount
from supportrelay.edge.crm.remembering import RememberingDirectory
from supportrelay.edge.store import SqliteStore

__all__ = ["ACME", "BuiltinWorld", "FakeWorld", "FewDomains", "HubSpotWorld", "World", "plan", "utc_now"]

ACME: Mapping[str, Any] = {
    "name": "Acme Ltd",
    "domains": ["acme.example", "acme.test"],
    "contacts": ["old@gmail.example", {"address": "Jin@acme.example", "name": "陣", "language": "ja", "phone": 12}],
    "deals": [
        {"name": "Rollout", "stage": "open", "owners": ["Mori@relay.test", "ann@relay.test"]},
        {"name": "Pilot", "stage": "won", "owners": []},
    ],
}
WHO = "person:kim"


def utc_now() -> datetime:
    return datetime.now(UTC)


def plan(*companies: Mapping[str, object]) -> ImportPlan:
    return parse_yaml_import({"companies": list(companies)})


class FewDomains:
    """Public suffixes and providers as the tests need them."""

    def registrable(self, domain: str) -> str:
        labels = domain.split(".")
        return ".".join(labels[-3:] if domain.endswith(".co.example") else labels[-2:])

    def is_free_mail(self, domain: str) -> bool:
        return domain == "gmail.example"


class World(Protocol):
    """A directory and the people who keep it."""

    source: str

    @property
    def directory(self) -> OwnerDirectory: ...

    async def fill(self, *companies: Mapping[str, Any]) -> None:
        """Companies as `crm import` takes them."""
        ...

    async def set_owners(self, deal: str, owners: Sequence[str]) -> None:
        """By the deal's name."""
        ...

    async def look_again(self) -> None:
        """What was changed shall count now (`crm refresh`)."""
        ...

    async def aclose(self) -> None: ...


class BuiltinWorld:
    source = "builtin"

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.directory = BuiltinDirectory(store, FewDomains())

    async def fill(self, *companies: Mapping[str, Any]) -> None:
        await self._store.import_companies(plan(*companies), WHO, utc_now())

    async def set_owners(self, deal: str, owners: Sequence[str]) -> None:
        await self._store.set_deal_owners(deal, list(owners), WHO, utc_now())

    async def look_again(self) -> None:
        return

    async def aclose(self) -> None:
        return


class FakeSource:
    """A CRM as a dictionary."""

    kind = "fake"

    def __init__(self) -> None:
        self.companies: list[Company] = []
        self.by_address: dict[str, tuple[Company, str]] = {}
        self.by_domain: dict[str, list[int]] = {}

    def _answer(self, customer: Mailbox) -> DirectoryAnswer:
        now = utc_now()
        if customer.key in self.by_address:
            company, language = self.by_address[customer.key]
            number = int(company.id)
            return DirectoryAnswer((self.companies[number],), MatchedBy.CONTACT, self.kind, now, True, language, "1")
        domain, by = customer.domain, MatchedBy.DOMAIN
        while domain not in {"gmail.example", "co.example"} and not domain.startswith("["):
            if domain in self.by_domain:
                return DirectoryAnswer(tuple(self.companies[n] for n in self.by_domain[domain]), by, self.kind, now)
            if "." not in domain:
                break
            domain, by = domain.partition(".")[2], MatchedBy.PARENT_DOMAIN
        return DirectoryAnswer((), MatchedBy.NOTHING, self.kind, now)

    async def look_up(self, customers: Sequence[Mailbox]) -> Mapping[str, DirectoryAnswer]:
        return {customer.key: self._answer(customer) for customer in customers}

    async def deals(self, deal_ids: Sequence[str]) -> Mapping[str, tuple[str, Deal]]:
        return {
            deal.id: (company.name, deal) for company in self.companies for deal in company.deals if deal.id in deal_ids
        }

    async def owners(self) -> frozenset[str]:
        return frozenset(comparing_form(o) for c in self.companies for deal in c.deals for o in deal.owners)

    async def aclose(self) -> None:
        return


class FakeWorld:
    source = "fake"

    def __init__(self, store: SqliteStore) -> None:
        self._crm = FakeSource()
        self.directory = RememberingDirectory(self._crm, store, cache_for=timedelta(minutes=5), now=utc_now)

    async def fill(self, *companies: Mapping[str, Any]) -> None:
        at = utc_now()
        for one in companies:
            number = len(self._crm.companies)
            deals = tuple(
                Deal(
                    f"{number}-{place}",
                    deal["name"],
                    str(number),
                    DealState(deal.get("stage", "open")),
                    tuple(deal.get("owners", ())),
                    at,
                    at,
                )
                for place, deal in enumerate(one.get("deals", ()))
            )
            company = Company(str(number), one["name"], deals)
            self._crm.companies.append(company)
            for domain in one.get("domains", ()):
                self._crm.by_domain.setdefault(domain, []).append(number)
            for contact in one.get("contacts", ()):
                known = {"address": contact} if isinstance(contact, str) else contact
                self._crm.by_address[comparing_form(known["address"])] = (company, known.get("language", ""))

    async def set_owners(self, deal: str, owners: Sequence[str]) -> None:
        self._crm.companies = [
            Company(
                one.id,
                one.name,
                tuple(
                    Deal(d.id, d.name, d.company_id, d.state, tuple(owners), d.moved_at, d.created_at)
                    if d.name == deal
                    else d
                    for d in one.deals
                ),
            )
            for one in self._crm.companies
        ]

    async def look_again(self) -> None:
        await self.directory.forget()

    async def aclose(self) -> None:
        await self.directory.aclose()


class HubSpotWorld:
    """An account of the double, emptied at the end; owners stay."""

    source = "hubspot"

    def __init__(
        self,
        store: SqliteStore,
        double: DoubleClient,
        api_version: str = "2026-03",
        settings: DirectorySettings | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.double = double
        double.reset_counters()
        double.clear_faults()
        account = HubSpotAccount(double.token, double.base_url, api_version)
        self.client = HubSpotClient(account, store, now=utc_now)
        self.contacts = ContactIds(utc_now)
        self.crm = HubSpotDirectory(
            self.client,
            Paths(api_version),
            settings or DirectorySettings(),
            FewDomains(),
            now=now,
            contacts=self.contacts,
        )
        self.directory = RememberingDirectory(
            self.crm,
            store,
            background=self.crm.in_background(),
            cache_for=timedelta(minutes=5),
            now=now,
            patience_s=10.0,
        )
        self.ids: dict[str, dict[str, str]] = {"companies": {}, "contacts": {}, "deals": {}, "owners": {}}

    async def fill(self, *companies: Mapping[str, Any], **seed: Any) -> None:
        properties = {"contacts": [{"name": "hs_language"}]} | seed.pop("properties", {})
        made = await asyncio.to_thread(
            self.double.seed, {"companies": list(map(_seed, companies)), "properties": properties, **seed}
        )
        for kind, ids in made.items():
            self.ids[kind] |= ids

    async def set_owners(self, deal: str, owners: Sequence[str]) -> None:
        self.double.set_owners(self.ids["deals"][deal], list(owners))

    async def look_again(self) -> None:
        await self.directory.forget()
        self.crm._book._read_at = None  # nobody waits the ten seconds after which a new owner is looked for

    async def aclose(self) -> None:
        await self.directory.aclose()
        self.double.assert_no_violations()
        for kind in ("deals", "contacts", "companies"):
            for record in self.double.records(kind):
                self.double.delete(kind, record["id"])


def _seed(company: Mapping[str, Any]) -> dict[str, Any]:
    contacts = []
    for one in company.get("contacts", ()):
        known = {"address": one} if isinstance(one, str) else one
        contacts.append({"email": known["address"]} | ({"hs_language": "ja"} if known.get("language") else {}))
    return {**company, "contacts": contacts}
