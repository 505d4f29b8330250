"""Companies of HubSpot: by domain, checked here, and by id; those that have to do with us (CRM_FACTS section 1 (a))."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.records import Records, listed, living
from supportrelay.edge.crm.hubspot.settings import DirectorySettings

__all__ = ["Companies", "FoundCompany", "a_label", "spellings"]

_TERMS = 4  # five groups a search: one for `domain`, four for additional domains
_SEARCH_BODY = 2_900  # characters; HubSpot refuses 3,000
_HITS_A_PAGE, _MOST_HITS = 200, 10_000
_HELD_FOR = timedelta(seconds=60)


@value_class
class FoundCompany:
    """A company as it was read.

    Attributes:
        domains: All of them, as A-labels.
        counts: It passes the filter.
    """

    id: str
    name: str
    domains: frozenset[str]
    counts: bool


def a_label(domain: str) -> str:
    """A domain as people type it into a CRM, in the form in which we compare: lower-case A-labels."""
    domain = domain.strip().rstrip(".").lower()
    if not domain.isascii():
        try:
            return domain.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return domain
    return domain


def spellings(domain: str) -> tuple[str, ...]:
    """An A-label domain, and as people write it when that is something else."""
    if "xn--" not in domain:
        return (domain,)
    try:
        written = domain.encode("ascii").decode("idna").lower()
    except UnicodeError:
        return (domain,)
    return (domain, written) if a_label(written) == domain and written != domain else (domain,)


class Companies:
    """Reads companies.

    Hits of a domain are held for a minute when a look-up ends early: searches are few (five a second for the whole
    account), and the next attempt shall not begin with the same ones.
    """

    def __init__(self, settings: DirectorySettings) -> None:
        self._settings = settings
        self._wanted = frozenset(value.casefold() for value in settings.filter_values)
        names = ["name", "domain", "hs_additional_domains", settings.filter_property]
        self._properties = list(dict.fromkeys(filter(None, names)))
        self._held: dict[str, tuple[datetime, tuple[FoundCompany, ...]]] = {}

    async def read(self, records: Records, ids: Iterable[str]) -> dict[str, FoundCompany]:
        """Companies by the id asked for; a merged one is its survivor."""
        found = await records.by_id("companies", ids, self._properties)
        return {asked: self._company(record) for asked, record in found.items()}

    async def by_domain(
        self, records: Records, domains: Iterable[str], now: datetime
    ) -> dict[str, tuple[FoundCompany, ...]]:
        """Companies that have each domain; one search for four domains, one after the other.

        Call `let_go` when all of the look-up went well.
        """
        asked = list(dict.fromkeys(domains))
        for domain in [one for one, (until, _) in self._held.items() if until <= now]:
            del self._held[domain]
        # Its own from here on: another look-up may let go of the same ones while this one is searching.
        found = {domain: self._held[domain][1] for domain in asked if domain in self._held}
        searched = [domain for domain in asked if domain not in found]
        while searched:
            some, terms = _some_of(searched, self._properties)
            searched = searched[len(some) :]
            hits = await self._search(records, terms)
            for domain in some:
                has_it = tuple(company for company in hits if domain in company.domains)
                found[domain] = has_it
                self._held[domain] = (now + _HELD_FOR, has_it)
        return found

    def let_go(self, domains: Iterable[str]) -> None:
        """The next look-up searches for these again."""
        for domain in domains:
            self._held.pop(domain, None)

    async def _search(self, records: Records, terms: Sequence[str]) -> list[FoundCompany]:
        found: dict[str, FoundCompany] = {}
        body = _search_body(terms, self._properties)
        after = ""
        for _ in range(_MOST_HITS // _HITS_A_PAGE):
            answer = await records.post(records.paths.search("companies"), body)
            for company in map(self._company, living(listed(answer))):
                found[company.id] = company
            following = reading.next_after(answer)
            if not following or following == after:
                break
            after = following
            body = {**body, "after": after}
        return list(found.values())

    def _company(self, record: Mapping[str, Any]) -> FoundCompany:
        values = reading.properties(record)
        number = reading.record_id(record)
        main = reading.text(values, "domain")
        written = filter(None, [main, *reading.parts(values.get("hs_additional_domains"))])
        return FoundCompany(
            number,
            reading.text(values, "name") or main or number,
            frozenset(map(a_label, written)),
            self._counts(values),
        )

    def _counts(self, values: Mapping[str, Any]) -> bool:
        if not self._settings.filter_property or not self._wanted:
            return True
        has = reading.parts(values.get(self._settings.filter_property))
        return any(value.casefold() in self._wanted for value in has)


def _some_of(domains: Sequence[str], properties: Sequence[str]) -> tuple[list[str], list[str]]:
    """As many as one search takes, at least one, and how they are written."""
    some: list[str] = []
    terms: list[str] = []
    for domain in domains:
        wider = [*terms, *spellings(domain)]
        if some and (len(wider) > _TERMS or len(json.dumps(_search_body(wider, properties))) > _SEARCH_BODY):
            break
        some.append(domain)
        terms = wider
    return some, terms


def _search_body(terms: Sequence[str], properties: Sequence[str]) -> dict[str, Any]:
    # IN compares with lower-case values only; CONTAINS_TOKEN may also find what merely looks alike.
    groups: list[dict[str, Any]] = [{"filters": [{"propertyName": "domain", "operator": "IN", "values": list(terms)}]}]
    groups += [
        {"filters": [{"propertyName": "hs_additional_domains", "operator": "CONTAINS_TOKEN", "value": term}]}
        for term in terms
    ]
    return {"filterGroups": groups, "properties": list(properties), "limit": _HITS_A_PAGE}
