"""The builtin CRM's tables: companies, contacts, deals, owners. Ids outside are ``C12`` and ``D12``."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from supportrelay.core.crm_import import checked_owners, name_key
from supportrelay.core.directory import Company, Deal, DealState
from supportrelay.core.errors import InputError
from supportrelay.edge.store.changes import change_row, write_changes
from supportrelay.edge.store.rows import address_key, clean_text, from_microseconds, rfc3339, unpack_json

__all__ = [
    "bump_version",
    "column",
    "companies_list",
    "companies_of_domain",
    "company",
    "company_of_contact",
    "company_of_deal",
    "deals_list",
    "directory_version",
    "owners",
    "owners_of",
    "owners_of_deal",
    "set_deal_owners",
    "write_owners",
]

_LONGEST_NUMBER = 18  # digits; SQLite's integers have 64 bits
_DEAL = "SELECT id, company_id, name, state, moved_at, created_at FROM deals"


def directory_version(connection: sqlite3.Connection) -> int:
    """Grows with every write to these tables; what was read under another version is stale."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'directory_version'").fetchone()
    return int(row[0])


def bump_version(connection: sqlite3.Connection) -> None:
    """Tell every process that the directory changed."""
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'directory_version'")


# -- reading --


def company_of_contact(connection: sqlite3.Connection, address: str) -> tuple[int, str] | None:
    """``(company row, language)`` of a contact in comparing form."""
    row = connection.execute("SELECT company_id, language FROM contacts WHERE address = ?", (address,)).fetchone()
    return None if row is None else (row[0], row[1])


def companies_of_domain(connection: sqlite3.Connection, domain: str) -> list[int]:
    """Company rows that have exactly this domain, lowest first."""
    rows = connection.execute("SELECT company_id FROM company_domains WHERE domain = ? ORDER BY company_id", (domain,))
    return [row[0] for row in rows]


def company(connection: sqlite3.Connection, company_id: int) -> Company:
    """A company with all its deals."""
    name = connection.execute("SELECT name FROM companies WHERE id = ?", (company_id,)).fetchone()[0]
    rows = connection.execute(f"{_DEAL} WHERE company_id = ? ORDER BY id", (company_id,)).fetchall()
    return Company(f"C{company_id}", name, tuple(_deal(connection, row) for row in rows))


def company_of_deal(connection: sqlite3.Connection, deal_id: str) -> tuple[str, Deal] | None:
    """``(company name, deal)`` by ``D12``."""
    number = _row_number(deal_id, "D")
    row = None if number is None else connection.execute(f"{_DEAL} WHERE id = ?", (number,)).fetchone()
    if row is None:
        return None
    name = connection.execute("SELECT name FROM companies WHERE id = ?", (row[1],)).fetchone()[0]
    return name, _deal(connection, row)


def owners(connection: sqlite3.Connection) -> frozenset[str]:
    """Every owner of every deal, comparing form."""
    return frozenset(row[0] for row in connection.execute("SELECT DISTINCT address_key FROM deal_owners"))


def owners_of_deal(connection: sqlite3.Connection, deal_id: str) -> tuple[str, ...] | None:
    """Owners as written, None when there is no such deal here (gone, or of another CRM)."""
    number = _row_number(deal_id, "D")
    if number is None or not connection.execute("SELECT 1 FROM deals WHERE id = ?", (number,)).fetchone():
        return None
    return owners_of(connection, number)


def companies_list(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """``{id, name, domains, contacts: [{address, name, language, ...}], deals: [{id, name, stage, owners}]}``."""
    return [
        {
            "id": f"C{number}",
            "name": name,
            "domains": column(connection, "SELECT domain FROM company_domains WHERE company_id = ?", number),
            "contacts": [
                {"address": row[0], "name": row[1], "language": row[2], **unpack_json(row[3])}
                for row in connection.execute(
                    "SELECT address, name, language, details FROM contacts WHERE company_id = ?", (number,)
                )
            ],
            "deals": [
                {"id": deal.id, "name": deal.name, "stage": str(deal.state), "owners": list(deal.owners)}
                for deal in company(connection, number).deals
            ],
        }
        for number, name in connection.execute("SELECT id, name FROM companies ORDER BY name_key, id").fetchall()
    ]


def deals_list(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """``{id, name, company, company_id, stage, owners, moved_at, created_at}``."""
    rows = connection.execute(
        "SELECT d.id, d.name, c.name, c.id, d.state, d.moved_at, d.created_at FROM deals d "
        "JOIN companies c ON c.id = d.company_id ORDER BY c.name_key, c.id, d.id"
    ).fetchall()
    return [
        {
            "id": f"D{row[0]}",
            "name": row[1],
            "company": row[2],
            "company_id": f"C{row[3]}",
            "stage": row[4],
            "owners": list(owners_of(connection, row[0])),
            "moved_at": rfc3339(row[5]),
            "created_at": rfc3339(row[6]),
        }
        for row in rows
    ]


def _deal(connection: sqlite3.Connection, row: tuple[int, int, str, str, int, int]) -> Deal:
    return Deal(
        id=f"D{row[0]}",
        name=row[2],
        company_id=f"C{row[1]}",
        state=DealState(row[3]),
        owners=owners_of(connection, row[0]),
        moved_at=from_microseconds(row[4]),
        created_at=from_microseconds(row[5]),
    )


def owners_of(connection: sqlite3.Connection, deal: int) -> tuple[str, ...]:
    """Owners of a deal's row, as written, in order."""
    return tuple(column(connection, "SELECT address FROM deal_owners WHERE deal_id = ? ORDER BY place", deal))


def column(connection: sqlite3.Connection, sql: str, value: int | str) -> list[Any]:
    """The first column of a query with one value."""
    return [row[0] for row in connection.execute(sql, (value,))]


def _row_number(public_id: str, letter: str) -> int | None:
    digits = public_id[1:] if public_id[:1].upper() == letter else ""
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_NUMBER
    return int(digits) if is_number else None


# -- setting owners --


def set_deal_owners(
    connection: sqlite3.Connection, selector: str, addresses: Sequence[str], *, clear: bool, who: str, now: int
) -> dict[str, Any]:
    """Replace the owners of the deal that ``selector`` names: ``D12``, a name, or COMPANY/DEAL.

    Raises:
        InputError: No such deal, several, no or too many owners, or no address.
    """
    if clear == bool(addresses):
        raise InputError("owners: name one to four addresses, or say that the deal shall have none (--clear)")
    found = checked_owners(addresses)
    deal = _select_deal(connection, selector)
    before = owners_of(connection, deal)
    write_owners(connection, deal, found)
    bump_version(connection)
    why = {"deal": f"D{deal}", "from": before, "to": found}
    write_changes(connection, [change_row(now, "crm.owners_set", who, why)])
    return next(row for row in deals_list(connection) if row["id"] == f"D{deal}")


def _select_deal(connection: sqlite3.Connection, selector: str) -> int:
    number = _row_number(selector.strip(), "D")
    if number is not None and connection.execute("SELECT 1 FROM deals WHERE id = ?", (number,)).fetchone():
        return number
    hits = set(column(connection, "SELECT id FROM deals WHERE name_key = ?", name_key(selector)))
    # Names may hold a slash themselves, so every way to split is tried.
    for place in (i for i, character in enumerate(selector) if character == "/"):
        hits.update(
            row[0]
            for row in connection.execute(
                "SELECT d.id FROM deals d JOIN companies c ON c.id = d.company_id "
                "WHERE c.name_key = ? AND d.name_key = ?",
                (name_key(selector[:place]), name_key(selector[place + 1 :])),
            )
        )
    if not hits:
        raise InputError(f"no deal {selector!r}; `supportrelay crm deals` lists them")
    if len(hits) > 1:
        ids = ", ".join(f"D{hit}" for hit in sorted(hits))
        raise InputError(f"several deals are called {selector!r}: {ids}; name one by its id or as COMPANY/DEAL")
    return int(hits.pop())


def write_owners(connection: sqlite3.Connection, deal: int, addresses: Iterable[str]) -> None:
    """Replace a deal's owners."""
    connection.execute("DELETE FROM deal_owners WHERE deal_id = ?", (deal,))
    connection.executemany(
        "INSERT INTO deal_owners (deal_id, place, address, address_key) VALUES (?, ?, ?, ?)",
        [(deal, place, clean_text(a), address_key(a)) for place, a in enumerate(addresses, start=1)],
    )
