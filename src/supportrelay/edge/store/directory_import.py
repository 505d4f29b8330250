"""Importing a plan of companies into the builtin CRM's tables."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from supportrelay.core.crm_import import CompanyEntry, DealEntry, ImportPlan, name_key
from supportrelay.core.directory import DealState
from supportrelay.core.errors import InputError
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.directory import bump_version, column, companies_of_domain, owners_of, write_owners
from supportrelay.edge.store.rows import clean_text, pack_json, unpack_json

__all__ = ["import_companies"]


@dataclass(slots=True)
class _Counts:
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0

    def note(self, *, added: bool, changed: bool) -> None:
        if added:
            self.added += 1
        elif changed:
            self.updated += 1
        else:
            self.unchanged += 1

    def to_json(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class _Import:
    """One import into the tables; counts what it did."""

    def __init__(self, connection: sqlite3.Connection, now: int, *, replace: bool) -> None:
        self._connection = connection
        self._now = now
        self._replace = replace
        self.companies, self.contacts, self.deals = _Counts(), _Counts(), _Counts()

    def run(self, plan: ImportPlan) -> None:
        # Found before anything is written: a domain that moves between two companies of the file must not mix them.
        targets = [self._existing(entry) for entry in plan.companies]
        taken: dict[int, CompanyEntry] = {}
        for entry, target in zip(plan.companies, targets, strict=True):
            if target is not None and target in taken:
                raise InputError(
                    f"{entry.where} and {taken[target].where} both are company C{target}: a domain of each is its own"
                )
            if target is not None:
                taken[target] = entry
        kept = {self._company(entry, target) for entry, target in zip(plan.companies, targets, strict=True)}
        if self._replace:
            self._remove_others(kept)

    def _existing(self, entry: CompanyEntry) -> int | None:
        connection = self._connection
        hits = {hit for domain in entry.domains or () for hit in companies_of_domain(connection, domain)}
        key = name_key(entry.name)
        if len(hits) > 1:
            # Several companies may share a domain; the name tells which of them is meant.
            named = {hit for hit in hits if _name_key_of(connection, hit) == key}
            if len(named) != 1:
                ids = ", ".join(f"C{hit}" for hit in sorted(hits))
                raise InputError(f"{entry.where}: domains: they belong to several companies: {ids}; name one of them")
            hits = named
        if not hits and key:
            # Without a domain on one of the sides only the name is left to tell.
            same_name = set(column(connection, "SELECT id FROM companies WHERE name_key = ?", key))
            hits = {hit for hit in same_name if not entry.domains or not _has_domains(connection, hit)}
            if len(hits) > 1:
                raise InputError(f"{entry.where}: name: several companies have it; give a domain")
        if not hits and not entry.name:
            raise InputError(f"{entry.where}: name: missing, and no company has one of these domains")
        return hits.pop() if hits else None

    def _company(self, entry: CompanyEntry, target: int | None) -> int:
        connection = self._connection
        name = clean_text(entry.name)
        added, changed = target is None, False
        if target is None:
            number = connection.execute(
                "INSERT INTO companies (name, name_key, created_at) VALUES (?, ?, ?)",
                (name, name_key(name), self._now),
            ).lastrowid
            assert number is not None
        else:
            number = target
            before = connection.execute("SELECT name FROM companies WHERE id = ?", (number,)).fetchone()[0]
            if name and name != before:
                connection.execute(
                    "UPDATE companies SET name = ?, name_key = ? WHERE id = ?", (name, name_key(name), number)
                )
                changed = True
        changed |= self._domains(number, entry)
        changed |= self._contacts(number, entry)
        changed |= self._deals(number, entry)
        self.companies.note(added=added, changed=changed)
        return number

    def _domains(self, number: int, entry: CompanyEntry) -> bool:
        if entry.domains is None:
            return False
        connection = self._connection
        before = set(column(connection, "SELECT domain FROM company_domains WHERE company_id = ?", number))
        connection.executemany(
            "INSERT OR IGNORE INTO company_domains (domain, company_id) VALUES (?, ?)",
            [(domain, number) for domain in entry.domains],
        )
        gone = before - set(entry.domains) if self._replace else set()
        connection.executemany(
            "DELETE FROM company_domains WHERE domain = ? AND company_id = ?", [(domain, number) for domain in gone]
        )
        return bool(gone or set(entry.domains) - before)

    def _contacts(self, number: int, entry: CompanyEntry) -> bool:
        if entry.contacts is None:
            return False
        connection = self._connection
        changed = False
        for contact in entry.contacts:
            before = connection.execute(
                "SELECT company_id, name, language, details FROM contacts WHERE address = ?", (contact.address,)
            ).fetchone()
            # A bare address in the list names nothing but itself: what is known about it stays.
            name = clean_text(contact.name) or (before[1] if before else "")
            language = clean_text(contact.language) or (before[2] if before else "")
            details = pack_json({**(unpack_json(before[3]) if before else {}), **contact.details})
            after = (number, name, language, details)
            connection.execute(
                "INSERT OR REPLACE INTO contacts (address, company_id, name, language, details) VALUES (?, ?, ?, ?, ?)",
                (clean_text(contact.address), *after),
            )
            self.contacts.note(added=before is None, changed=before != after)
            changed |= before != after
        if self._replace:
            listed = {contact.address for contact in entry.contacts}
            gone = [
                address
                for address in column(connection, "SELECT address FROM contacts WHERE company_id = ?", number)
                if address not in listed
            ]
            connection.executemany("DELETE FROM contacts WHERE address = ?", [(address,) for address in gone])
            self.contacts.removed += len(gone)
            changed |= bool(gone)
        return changed

    def _deals(self, number: int, entry: CompanyEntry) -> bool:
        if entry.deals is None:
            return False
        changed = False
        for deal in entry.deals:
            changed |= self._deal(number, deal, entry.where)
        if self._replace:
            listed = {name_key(deal.name) for deal in entry.deals}
            rows = self._connection.execute("SELECT id, name_key FROM deals WHERE company_id = ?", (number,)).fetchall()
            gone = [(row[0],) for row in rows if row[1] not in listed]
            self._connection.executemany("DELETE FROM deals WHERE id = ?", gone)
            self.deals.removed += len(gone)
            changed |= bool(gone)
        return changed

    def _deal(self, number: int, deal: DealEntry, where: str) -> bool:
        connection = self._connection
        key = name_key(deal.name)
        rows = connection.execute(
            "SELECT id, state, name FROM deals WHERE company_id = ? AND name_key = ?", (number, key)
        ).fetchall()
        if len(rows) > 1:
            raise InputError(f"{where}: deal {deal.name!r}: the company has several of that name")
        added, changed = not rows, False
        if added:
            state = deal.state or DealState.OPEN
            row_number = connection.execute(
                "INSERT INTO deals (company_id, name, name_key, state, moved_at, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (number, clean_text(deal.name), key, state, self._now, self._now),
            ).lastrowid
            assert row_number is not None
        else:
            row_number, state, name = rows[0]
            if deal.state is not None and deal.state != state:
                connection.execute(
                    "UPDATE deals SET state = ?, moved_at = ? WHERE id = ?", (deal.state, self._now, row_number)
                )
                changed = True
            if clean_text(deal.name) != name:
                connection.execute("UPDATE deals SET name = ? WHERE id = ?", (clean_text(deal.name), row_number))
                changed = True
        if deal.owners is not None and deal.owners != owners_of(connection, row_number):
            write_owners(connection, row_number, deal.owners)
            changed = True
        self.deals.note(added=added, changed=changed)
        return added or changed

    def _remove_others(self, kept: set[int]) -> None:
        gone = [row for row in self._connection.execute("SELECT id FROM companies").fetchall() if row[0] not in kept]
        for row in gone:
            for counts, sql in (
                (self.contacts, "DELETE FROM contacts WHERE company_id = ?"),
                (self.deals, "DELETE FROM deals WHERE company_id = ?"),
                (self.companies, "DELETE FROM companies WHERE id = ?"),
            ):
                counts.removed += self._connection.execute(sql, row).rowcount


def import_companies(
    connection: sqlite3.Connection, plan: ImportPlan, *, replace: bool, who: str, now: int
) -> dict[str, Any]:
    """Bring the tables to what the plan says; ``{companies: {added, updated, unchanged, removed}, contacts, deals}``.

    A company is found by any of its domains, else by its name when either side has no domain. Deals are found by
    name. What the plan does not name stays, unless ``replace``.

    Raises:
        InputError: The plan fits two companies or none; nothing is written.
    """
    work = _Import(connection, now, replace=replace)
    work.run(plan)
    bump_version(connection)
    summary = {name: getattr(work, name).to_json() for name in ("companies", "contacts", "deals")}
    write_changes(connection, [change_row(now, "crm.imported", who, {**summary, "replace": replace})])
    return summary


def _name_key_of(connection: sqlite3.Connection, number: int) -> str:
    return str(connection.execute("SELECT name_key FROM companies WHERE id = ?", (number,)).fetchone()[0])


def _has_domains(connection: sqlite3.Connection, number: int) -> bool:
    return bool(connection.execute("SELECT 1 FROM company_domains WHERE company_id = ?", (number,)).fetchone())
