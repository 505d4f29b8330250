"""The builtin CRM as an `OwnerDirectory`: companies, contacts, deals and owners in the store itself."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from supportrelay.core.directory import Company, Deal, DirectoryAnswer, MatchedBy
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.ports import Domains
from supportrelay.edge.crm.candidates import domains_to_ask
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store import directory as rows

__all__ = ["BuiltinDirectory"]

_ANSWERS_KEPT = 10_000


def _utc_now() -> datetime:
    return datetime.now(UTC)


class BuiltinDirectory:
    """`core.ports.OwnerDirectory` over the store's own tables.

    Answers are remembered under the directory's version, which every write to it raises and every call reads: owners
    changed in one process count at once in all.

    Args:
        store: Where the tables are.
        domains: Public suffixes and free-mail providers.
        now: For ``known_at``; an answer is as fresh as the call.
    """

    def __init__(self, store: SqliteStore, domains: Domains, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._domains = domains
        self._now = now
        self._version = -1
        self._answers: dict[str, tuple[tuple[Company, ...], MatchedBy, str]] = {}
        self._owners: frozenset[str] | None = None
        self._is_checked = False

    async def find(self, customer: Mailbox) -> DirectoryAnswer:
        """Exact contact first, then the domain, then its parents down to the registrable one."""
        self._forget_when_changed()
        key = customer.key
        found = self._answers.get(key)
        if found is None:
            found = self._look_up(key, customer.domain)
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers.clear()
            self._answers[key] = found
        companies, matched_by, language = found
        return DirectoryAnswer(companies, matched_by, "builtin", self._now(), matched_by == MatchedBy.CONTACT, language)

    async def deal(self, deal_id: str) -> tuple[str, Deal] | None:
        """``(company name, deal)`` as it is now, None when it is gone."""
        return self._store.read(lambda c: rows.company_of_deal(c, deal_id))

    async def owners(self) -> frozenset[str]:
        """All current owners, comparing form."""
        self._forget_when_changed()
        if self._owners is None:
            self._owners = self._store.read(rows.owners)
        return self._owners

    def _forget_when_changed(self) -> None:
        """Ask for the version, once in a step of the event loop: a mail asks for owners and customer in one."""
        if self._is_checked:
            return
        version = self._store.read(rows.directory_version)
        self._is_checked = True
        asyncio.get_running_loop().call_soon(self._end_step)
        if version != self._version:
            self._version = version
            self._answers.clear()
            self._owners = None

    def _end_step(self) -> None:
        self._is_checked = False

    def _look_up(self, address: str, domain: str) -> tuple[tuple[Company, ...], MatchedBy, str]:
        contact = self._store.read(lambda c: rows.company_of_contact(c, address))
        if contact is not None:
            number, language = contact
            return (self._store.read(lambda c: rows.company(c, number)),), MatchedBy.CONTACT, language
        for candidate in domains_to_ask(domain, self._domains):
            companies = self._store.read(
                lambda c, d=candidate: tuple(rows.company(c, n) for n in rows.companies_of_domain(c, d))  # type: ignore[misc]
            )
            if companies:
                return companies, MatchedBy.DOMAIN if candidate == domain else MatchedBy.PARENT_DOMAIN, ""
        return (), MatchedBy.NOTHING, ""
