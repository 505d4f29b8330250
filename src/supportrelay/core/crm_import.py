"""Reading a file of companies for the builtin CRM: YAML or CSV -> `ImportPlan`, or every mistake in it.

YAML::

    companies:
      - name: Acme Ltd                       # required, unless a domain finds the company
        domains: [acme.example]
        contacts: [info@acme.example, {address: ann@acme.example, name: Ann Lee, language: en}]
        deals: [{name: Rollout, stage: open, owners: [mori@relay.example]}]

CSV, one deal a row, first row the names; lists are separated by ``;``; several rows of one company are put together::

    company,domains,contacts,deal,stage,owners
    Acme Ltd,acme.example;acme.test,info@acme.example,Rollout,open,mori@relay.example;ann@relay.example

What a file does not name is None here and is left alone, also by ``--replace``; an empty list empties.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any

from supportrelay.core.directory import DealState
from supportrelay.core.errors import AddressError, InputError
from supportrelay.core.mailbox import comparing_form
from supportrelay.core.value import value_class

__all__ = [
    "OWNERS_A_DEAL",
    "CompanyEntry",
    "ContactEntry",
    "DealEntry",
    "ImportPlan",
    "checked_owners",
    "name_key",
    "parse_csv_import",
    "parse_yaml_import",
]

OWNERS_A_DEAL = 4
_PROBLEMS_SHOWN = 50
_CSV_NAMES = ("company", "domains", "contacts", "deal", "stage", "owners")
_COMPANY_KEYS = {"name", "domains", "contacts", "deals"}
_DEAL_KEYS = {"name", "stage", "owners"}


@value_class
class ContactEntry:
    """A contact. ``address`` in comparing form; ``details``: further values of the file, as they stand there."""

    address: str
    name: str = ""
    language: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@value_class
class DealEntry:
    """A deal. ``state`` None: not named (a new deal is open). ``owners``: as written, in order, at most four."""

    name: str
    state: DealState | None = None
    owners: tuple[str, ...] | None = None


@value_class
class CompanyEntry:
    """A company. ``domains``: A-labels, lower case. ``where``: the place in the file, for messages about it."""

    name: str
    domains: tuple[str, ...] | None = None
    contacts: tuple[ContactEntry, ...] | None = None
    deals: tuple[DealEntry, ...] | None = None
    where: str = ""


@value_class
class ImportPlan:
    """A whole file without mistakes."""

    companies: tuple[CompanyEntry, ...]


def name_key(name: str) -> str:
    """The form in which names of companies and deals are compared: case folded, inner space as one."""
    return " ".join(name.split()).casefold()


def checked_owners(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses, each once, in order.

    Raises:
        InputError: One is no address, or there are more than four.
    """
    problems = _Problems()
    owners = _owners(list(addresses), "owners", problems)
    problems.raise_if_any()
    return owners


def parse_yaml_import(value: Any) -> ImportPlan:
    """The plan of a loaded YAML document.

    Raises:
        InputError: One line for each mistake: ``companies[3] (Acme Ltd): deals[1]: owners: ...``, counted from 1.
    """
    problems = _Problems()
    listed = value.get("companies") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise InputError("companies: a list is needed at the top: `companies: [{name: ..., domains: [...]}, ...]`")
    problems.unknown(value, {"companies"}, "top")
    companies = [_company(entry, f"companies[{number}]", problems) for number, entry in enumerate(listed, start=1)]
    _check_apart(companies, problems)
    problems.raise_if_any()
    return ImportPlan(tuple(companies))


def parse_csv_import(text: str) -> ImportPlan:
    """The plan of a CSV text; the first row names the columns, in any order; missing columns are left alone.

    Raises:
        InputError: One line for each mistake: ``line 7: owners: ...``.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), restkey="\0rest", strict=True)
    problems = _Problems()
    try:
        names = [str(name).strip().lower() for name in rows.fieldnames or ()]
        rows.fieldnames = names
        for name in names:
            if name not in _CSV_NAMES:
                problems.add("line 1", f"unknown column {name!r}; known: {', '.join(_CSV_NAMES)}")
        if "company" not in names:
            problems.add("line 1", "column company is missing")
        problems.raise_if_any()
        entries = [_csv_company(row, f"line {rows.line_num}", problems) for row in rows if any(row.values())]
    except csv.Error as exc:
        raise InputError(f"line {rows.reader.line_num}: {exc}") from exc
    companies = _put_together(entries, problems)
    _check_apart(companies, problems)
    problems.raise_if_any()
    return ImportPlan(tuple(companies))


class _Problems:
    """What is wrong, one line each, all of it before anything is refused."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, where: str, text: str) -> None:
        self._lines.append(f"{where}: {text}")

    def unknown(self, value: Mapping[Any, Any], known: set[str], where: str) -> None:
        for key in value:
            if key not in known:
                self.add(where, f"unknown key {key!r}; known: {', '.join(sorted(known))}")

    def raise_if_any(self) -> None:
        if self._lines:
            more = len(self._lines) - _PROBLEMS_SHOWN
            shown = self._lines[:_PROBLEMS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
            raise InputError("\n".join(shown))


def _company(value: Any, where: str, problems: _Problems) -> CompanyEntry:
    if not isinstance(value, dict):
        problems.add(where, "a company is written {name: ..., domains: [...], contacts: [...], deals: [...]}")
        return CompanyEntry("", where=where)
    name = _text(value.get("name"), f"{where}: name", problems)
    where = f"{where} ({name})" if name else where
    problems.unknown(value, _COMPANY_KEYS, where)
    domains = _list(value, "domains", where, problems)
    contacts = _list(value, "contacts", where, problems)
    deals = _list(value, "deals", where, problems)
    if not name and not domains:
        problems.add(where, "name: missing")
    return CompanyEntry(
        name,
        None if domains is None else _domains(domains, f"{where}: domains", problems),
        None if contacts is None else _contacts(contacts, f"{where}: contacts", problems),
        None if deals is None else _deals(deals, f"{where}: deals", problems),
        where,
    )


def _csv_company(row: dict[str, Any], where: str, problems: _Problems) -> CompanyEntry:
    if row.get("\0rest"):
        problems.add(where, "more values than columns; text with a comma stands in double quotes")
    cells = {name: (row.get(name) or "").strip() for name in _CSV_NAMES}
    if not cells["company"] and not cells["domains"]:
        problems.add(where, "company: missing")
    deals: tuple[DealEntry, ...] | None = None
    if cells["deal"]:
        deal: dict[str, Any] = {"name": cells["deal"]}
        if cells["stage"]:
            deal["stage"] = cells["stage"]
        if "owners" in row:
            deal["owners"] = _split(cells["owners"])
        deals = (_deal(deal, where, problems),)
    elif cells["stage"] or cells["owners"]:
        problems.add(where, "deal: missing, but stage or owners are given")
    return CompanyEntry(
        cells["company"],
        _domains(_split(cells["domains"]), f"{where}: domains", problems) if cells["domains"] else None,
        _contacts(_split(cells["contacts"]), f"{where}: contacts", problems) if cells["contacts"] else None,
        deals,
        where,
    )


def _put_together(entries: list[CompanyEntry], problems: _Problems) -> list[CompanyEntry]:
    """Rows with the same company name, or with none and a domain of an earlier row, are one company."""
    found: dict[str, CompanyEntry] = {}
    by_domain: dict[str, str] = {}
    for entry in entries:
        key = name_key(entry.name)
        if not key:
            key = next((by_domain[d] for d in entry.domains or () if d in by_domain), f"\0{entry.where}")
        earlier = found.get(key)
        found[key] = entry if earlier is None else _both(earlier, entry, problems)
        by_domain.update(dict.fromkeys(entry.domains or (), key))
    return list(found.values())


def _both(earlier: CompanyEntry, later: CompanyEntry, problems: _Problems) -> CompanyEntry:
    known = {name_key(deal.name) for deal in earlier.deals or ()}
    for deal in later.deals or ():
        if name_key(deal.name) in known:
            problems.add(later.where, f"deal: {deal.name!r} of this company stands in an earlier row already")
    addresses = {contact.address for contact in earlier.contacts or ()}
    new_contacts = tuple(c for c in later.contacts or () if c.address not in addresses)
    return replace(
        earlier,
        domains=_joined(earlier.domains, tuple(d for d in later.domains or () if d not in (earlier.domains or ()))),
        contacts=_joined(earlier.contacts, new_contacts),
        deals=_joined(earlier.deals, later.deals or ()),
    )


def _joined(earlier: tuple[Any, ...] | None, later: tuple[Any, ...]) -> tuple[Any, ...] | None:
    return None if earlier is None and not later else (*(earlier or ()), *later)


def _check_apart(companies: list[CompanyEntry], problems: _Problems) -> None:
    """One contact belongs to one company; a name stands once. A domain may belong to several companies."""
    contacts: dict[str, str] = {}
    names: dict[str, str] = {}
    for company in companies:
        for contact in company.contacts or ():
            if contact.address in contacts:
                problems.add(company.where, f"contacts: {contact.address} stands at {contacts[contact.address]} too")
            contacts[contact.address] = company.where
        key = name_key(company.name)
        if key and key in names:
            problems.add(company.where, f"name: the same company stands at {names[key]} too")
        names[key] = company.where


def _text(value: Any, where: str, problems: _Problems) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        problems.add(where, "a text is needed")
        return ""
    return " ".join(str(value).split())


def _list(value: Mapping[str, Any], key: str, where: str, problems: _Problems) -> list[Any] | None:
    found = value.get(key)
    if found is None:
        return None
    if not isinstance(found, list):
        problems.add(where, f"{key}: a list is needed, e.g. {key}: [...]")
        return None
    return found


def _split(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _domains(values: list[Any], where: str, problems: _Problems) -> tuple[str, ...]:
    domains = []
    for value in values:
        try:
            # The address parser knows what a domain is, and its A-label form.
            domain = comparing_form(f"x@{str(value).strip().removeprefix('@').removesuffix('.')}")[2:]
        except AddressError:
            domain = ""
        if "." not in domain or domain.startswith("["):
            problems.add(where, f"{value!r} is not a domain")
        elif domain not in domains:
            domains.append(domain)
    return tuple(domains)


def _address(value: Any, where: str, problems: _Problems) -> str:
    """Comparing form, "" after a problem."""
    try:
        return comparing_form(str(value).strip())
    except AddressError as exc:
        problems.add(where, f"{value!r} is not an address ({exc})")
        return ""


def _contacts(values: list[Any], where: str, problems: _Problems) -> tuple[ContactEntry, ...]:
    contacts: dict[str, ContactEntry] = {}
    for value in values:
        known = value if isinstance(value, dict) else {"address": value}
        address = _address(known.get("address") or "", where, problems)
        if address in contacts:
            problems.add(where, f"{address} stands here twice")
        further = {str(k): _text(v, f"{where}: {address}: {k}", problems) for k, v in known.items()}
        details = {k: v for k, v in further.items() if k not in {"address", "name", "language"}}
        contacts[address] = ContactEntry(address, further.get("name", ""), further.get("language", ""), details)
    return tuple(contacts.values())


def _deals(values: list[Any], where: str, problems: _Problems) -> tuple[DealEntry, ...]:
    deals: dict[str, DealEntry] = {}
    for number, value in enumerate(values, start=1):
        place = f"{where}[{number}]"
        if not isinstance(value, dict):
            problems.add(place, "a deal is written {name: ..., stage: open | won | lost, owners: [...]}")
            continue
        problems.unknown(value, _DEAL_KEYS, place)
        deal = _deal(value, place, problems)
        if name_key(deal.name) in deals:
            problems.add(place, f"name: {deal.name!r} stands here twice")
        deals[name_key(deal.name)] = deal
    return tuple(deals.values())


def _deal(value: Mapping[str, Any], where: str, problems: _Problems) -> DealEntry:
    name = _text(value.get("name"), f"{where}: name", problems)
    if not name:
        problems.add(where, "name: a deal needs a name")
    state = None
    if value.get("stage") is not None:
        word = str(value["stage"]).strip().lower()
        if word in set(DealState):
            state = DealState(word)
        else:
            problems.add(where, f"stage: {value['stage']!r} is none of open, won, lost")
    owners = value.get("owners")
    if owners is None:
        return DealEntry(name, state)
    if not isinstance(owners, list):
        problems.add(where, "owners: a list of addresses is needed")
        return DealEntry(name, state)
    return DealEntry(name, state, _owners(owners, f"{where}: owners", problems))


def _owners(values: list[Any], where: str, problems: _Problems) -> tuple[str, ...]:
    owners: dict[str, str] = {}
    for value in values:
        key = _address(value, where, problems)
        if key:
            owners.setdefault(key, str(value).strip())
    if len(owners) > OWNERS_A_DEAL:
        problems.add(where, f"{len(owners)} given; a deal has at most {OWNERS_A_DEAL} owners")
    return tuple(owners.values())
