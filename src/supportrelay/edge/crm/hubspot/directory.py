"""HubSpot as a `DirectorySource`: contacts, companies, deals and owners in as few calls as there are."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from supportrelay.core.directory import Company, Deal, DirectoryAnswer, MatchedBy
from supportrelay.core.errors import AddressError, CrmRefusal
from supportrelay.core.mailbox import Mailbox, comparing_form
from supportrelay.core.ports import Domains
from supportrelay.core.value import value_class
from supportrelay.edge.crm.candidates import domains_to_ask
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.companies import Companies, FoundCompany, spellings
from supportrelay.edge.crm.hubspot.contacts import ContactIds
from supportrelay.edge.crm.hubspot.deals import Deals, StageTable
from supportrelay.edge.crm.hubspot.owners import OwnerBook
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.records import Link, Records, by_number
from supportrelay.edge.crm.hubspot.settings import DirectorySettings
from supportrelay.log import get_logger

__all__ = ["HubSpotDirectory"]

_BAD_REQUEST = 400
_COMPANIES_OF_ONE = 4
_DEALS_OF_A_COMPANY = 5_000
_OWNERS_FOR = timedelta(minutes=1)
_STEPS = 4  # domains asked about for one customer: a sender writes as many labels as he likes
_SEATS = {Lane.MAIL: 4, Lane.TICKETS: 2, Lane.BACKGROUND: 1}


@value_class
class _Contact:
    id: str
    language: str


@value_class
class _Match:
    """Companies of a customer, and how they were found."""

    companies: tuple[FoundCompany, ...] = ()
    by: MatchedBy = MatchedBy.NOTHING


class HubSpotDirectory:
    """`core.crm_ports.DirectorySource` at HubSpot.

    Calls for a look-up of up to 100 customers nobody knows yet: one for contacts, one for their companies, one or more
    for these companies, one search for four domains, one for the deals' ids, one for each 50 deals; owners when the
    list is older than a minute, pipelines only when a deal does not say whether it is closed.

    Args:
        client, paths: The account.
        settings: What is read, and which companies count.
        domains: Public suffixes and free-mail providers.
        now: Aware, UTC.
        contacts: Contact ids, shared with the desk of this process.
        cache_for: How long the list of owners is good, at most a minute: answers made of it are remembered again.
        lane: Who waits for it; `in_background` makes the same with less priority.
    """

    kind = "hubspot"

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        settings: DirectorySettings,
        domains: Domains,
        *,
        now: Callable[[], datetime],
        contacts: ContactIds,
        cache_for: timedelta = timedelta(minutes=5),
        lane: Lane = Lane.MAIL,
    ) -> None:
        self._client = client
        self._paths = paths
        self._domains = domains
        self._now = now
        self._contacts = contacts
        self._use(lane)
        self._book = OwnerBook(now=now, cache_for=min(cache_for, _OWNERS_FOR))
        self._companies = Companies(settings)
        self._deals = Deals(settings, self._book, StageTable(now))

    def _use(self, lane: Lane) -> None:
        self._lane = lane
        self._seats = asyncio.Semaphore(_SEATS[lane])

    def in_background(self) -> "HubSpotDirectory":
        """The same account with the same lists of owners and stages, for refreshing."""
        twin = object.__new__(HubSpotDirectory)
        twin.__dict__.update(self.__dict__)
        twin._use(Lane.BACKGROUND)
        return twin

    # --- the port

    async def look_up(self, customers: Sequence[Mailbox]) -> Mapping[str, DirectoryAnswer]:
        """The answer about each customer; see `core.crm_ports.DirectorySource`."""
        records, known_at = self._records(), self._now()
        contacts = await self._read_contacts(records, [customer.key for customer in customers])
        matches = await self._match_contacts(records, contacts)
        rest = [customer for customer in customers if customer.key not in matches]
        steps = {customer.domain: self._steps(customer.domain) for customer in rest}
        asked = [domain for several in steps.values() for domain in several]
        hits = await self._companies.by_domain(records, asked, known_at) if asked else {}
        for customer in rest:
            matches[customer.key] = _nearest(customer.domain, steps[customer.domain], hits)
        companies = await self._with_deals(records, (one for match in matches.values() for one in match.companies))
        self._companies.let_go(asked)
        return {
            customer.key: self._answer(matches[customer.key], companies, contacts.get(customer.key), known_at)
            for customer in customers
        }

    async def deals(self, deal_ids: Sequence[str]) -> Mapping[str, tuple[str, Deal]]:
        """``(company name, deal)`` by the id asked for; see `core.crm_ports.DirectorySource`."""
        records = self._records()
        # Ids of another directory (D7) are refused by HubSpot, and nothing there answers to them.
        numbers = [one for one in deal_ids if one.isascii() and one.isdigit()]
        found = await self._deals.read(records, numbers, follows=True)
        if not found:
            return {}
        links, _ = await records.links("deals", "companies", (deal.id for deal in found.values()))
        chosen = {deal_id: _primary_first(several)[0].to_id for deal_id, several in links.items() if several}
        companies = await self._companies.read(records, chosen.values())
        answers = {}
        for asked, deal in found.items():
            company_id = chosen.get(deal.id, "")
            company = companies.get(company_id)
            answers[asked] = (company.name if company else "", replace(deal, company_id=company.id if company else ""))
        return answers

    async def owners(self) -> frozenset[str]:
        """All current owners that have an address; see `core.crm_ports.DirectorySource`."""
        return await self._book.everybody(self._records())

    async def owner_ids(self) -> dict[str, str]:
        """HubSpot's ids of active owners, by address in comparing form."""
        return await self._book.ids(self._records())

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    def _records(self) -> Records:
        return Records(self._client, self._paths, self._lane, seats=self._seats, now=self._now)

    # --- contacts

    async def _read_contacts(self, records: Records, keys: Sequence[str]) -> dict[str, _Contact]:
        """Contacts by address in comparing form; only those that are there."""
        wanted = set(keys)
        written = [form for key in keys for form in _spellings_of_address(key)]
        try:
            rows = await records.many(
                "contacts", written, ("email", "hs_additional_emails", "hs_language"), id_property="email"
            )
        except CrmRefusal as exc:
            # HubSpot takes it for no address, so it has no such contact. Of several, we do not know which.
            if exc.http_status != _BAD_REQUEST or len(keys) > 1:
                raise
            return {}
        found = {}
        for row in rows:
            values = reading.properties(row)
            contact = _Contact(reading.record_id(row), reading.text(values, "hs_language"))
            for key in _keys_of(values) & wanted:
                found[key] = contact
                self._contacts.put(key, contact.id)
        return found

    async def _match_contacts(self, records: Records, contacts: Mapping[str, _Contact]) -> dict[str, _Match]:
        """Companies of those contacts that have any that counts."""
        if not contacts:
            return {}
        links, _ = await records.links("contacts", "companies", (contact.id for contact in contacts.values()))
        chosen = {contact_id: _chosen(several) for contact_id, several in links.items()}
        read = await self._companies.read(records, (one for several in chosen.values() for one in several))
        matches = {}
        for key, contact in contacts.items():
            companies = tuple(
                company for one in chosen.get(contact.id, ()) if (company := read.get(one)) and company.counts
            )
            if companies:
                matches[key] = _Match(companies, MatchedBy.CONTACT)
        return matches

    # --- companies and deals

    def _steps(self, domain: str) -> list[str]:
        asked = domains_to_ask(domain, self._domains)
        return asked if len(asked) <= _STEPS else [asked[0], *asked[1 - _STEPS :]]

    async def _with_deals(self, records: Records, found: Iterable[FoundCompany]) -> dict[str, Company]:
        names = {company.id: company.name for company in found}
        if not names:
            return {}
        links, cut = await records.links("companies", "deals", names, most=_DEALS_OF_A_COMPANY)
        if cut:
            get_logger().warning("crm.deals_cut", companies=sorted(cut), most=_DEALS_OF_A_COMPANY)
        deals = await self._deals.read(records, (link.to_id for several in links.values() for link in several))
        companies = {}
        for number, name in names.items():
            own = {deals[link.to_id].id: deals[link.to_id] for link in links.get(number, ()) if link.to_id in deals}
            companies[number] = Company(
                number, name, tuple(replace(own[one], company_id=number) for one in sorted(own, key=by_number))
            )
        return companies

    def _answer(
        self, match: _Match, companies: Mapping[str, Company], contact: _Contact | None, known_at: datetime
    ) -> DirectoryAnswer:
        numbers = sorted({company.id for company in match.companies}, key=by_number)
        return DirectoryAnswer(
            tuple(companies[number] for number in numbers),
            match.by,
            self.kind,
            known_at,
            is_known_contact=contact is not None,
            contact_language=contact.language if contact else "",
            contact_id=contact.id if contact else "",
        )


def _nearest(domain: str, steps: Sequence[str], hits: Mapping[str, Sequence[FoundCompany]]) -> _Match:
    for step in steps:
        companies = tuple(company for company in hits[step] if company.counts)
        if companies:
            return _Match(companies, MatchedBy.DOMAIN if step == domain else MatchedBy.PARENT_DOMAIN)
    return _Match()


def _primary_first(links: Iterable[Link]) -> list[Link]:
    return sorted(links, key=lambda link: (not link.is_primary, by_number(link.to_id)))


def _chosen(links: Sequence[Link]) -> list[str]:
    """The primary company; without one all of them, at most four."""
    primary = [link.to_id for link in links if link.is_primary]
    return sorted(primary or (link.to_id for link in links), key=by_number)[:_COMPANIES_OF_ONE]


def _spellings_of_address(key: str) -> list[str]:
    local, _, domain = key.rpartition("@")
    return [f"{local}@{written}" for written in spellings(domain)]


def _keys_of(values: Any) -> set[str]:
    """Addresses of a contact in comparing form."""
    keys = set()
    for address in (reading.text(values, "email"), *reading.parts(values.get("hs_additional_emails"))):
        try:
            keys.add(comparing_form(address))
        except AddressError:
            continue
    return keys
