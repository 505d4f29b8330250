"""Fill an account from a description in YAML or JSON::

    owners:                       # addresses that deals name are made by themselves
      - ann@staff.test
      - {email: gone@staff.test, archived: true}
      - {email: "", type: QUEUE}
    companies:
      - name: Acme
        domain: acme.example
        additional_domains: [acme.test]      # or domains: [acme.example, acme.test]
        contacts: [taro@acme.example, {email: kunde@gmail.com, firstname: K}]
        properties: {lifecyclestage: customer}
        deals:
          - {name: Big one, stage: open, owners: [ann@staff.test, ben@staff.test]}   # open, won, lost or a stage id
    properties: {deals: [{name: support, label: Support, type: enumeration, fieldType: checkbox, owner: true}]}
    pipelines: {tickets: [{id: "7", label: Relay, stages: [{id: "71", label: NEW, ticketState: OPEN}]}]}
    settings: {search_lag_s: 2}

A deal's first owner is its ``hubspot_owner_id``; the others stand in ``relay_owner_2`` ... where the account has these
properties, else they are collaborators. ``owner_property`` in the seed puts all into one property, joined with ``;``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hubspot_double.account import Account, Source
from hubspot_double.catalogue import GROUPS, Property

__all__ = ["owner_id", "owner_values", "read", "seed"]

SEED = Source("IMPORT", "seed")
_STAGES = {"open": "open", "won": "closedwon", "lost": "closedlost"}


def read(path: Path) -> dict[str, Any]:
    """A seed file; JSON is YAML."""
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    assert isinstance(found, dict), f"{path} is no seed"
    return found


def seed(account: Account, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Add these; returns the ids by name under companies, deals, contacts and owners."""
    unknown = wanted.keys() - {"owners", "companies", "properties", "pipelines", "settings", "owner_property"}
    if unknown:
        raise ValueError(f"unknown in a seed: {sorted(unknown)}")
    account.settings.change(dict(wanted.get("settings", {})))
    for kind, definitions in wanted.get("properties", {}).items():
        for one in definitions:
            _property(account, kind, one)
    for kind, pipelines in wanted.get("pipelines", {}).items():
        for one in pipelines:
            stages = [(str(s["id"]), s["label"], _metadata(s)) for s in one["stages"]]
            account.add_pipeline(kind, one["label"], stages, str(one.get("id", "")))
    ids: dict[str, Any] = {"companies": {}, "contacts": {}, "deals": {}, "owners": {}}
    for one in wanted.get("owners", ()):
        more: dict[str, Any] = {"email": one} if isinstance(one, str) else one
        made = account.add_owner(
            more.get("email", ""),
            kind=more.get("type", "PERSON"),
            archived=more.get("archived", False),
            name=more.get("name", ""),
        )
        ids["owners"][more.get("email") or made["id"]] = made["id"]
    for one in wanted.get("companies", ()):
        _company(account, one, ids, wanted.get("owner_property", ""))
    ids["owners"] |= {owner["email"]: owner["id"] for owner in account.owners.values() if owner.get("email")}
    return ids


def _metadata(stage: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in stage.items() if name not in {"id", "label"}}


def _property(account: Account, kind: str, one: Mapping[str, Any]) -> None:
    account.properties[kind][one["name"]] = Property(
        one["name"],
        one.get("label", one["name"]),
        one.get("type", "string"),
        one.get("fieldType", "text"),
        one.get("groupName", next(iter(GROUPS[kind]))),
        options=[
            {"label": v, "value": v, "displayOrder": n, "hidden": False} for n, v in enumerate(one.get("options", ()))
        ],
        is_unique=one.get("hasUniqueValue", False),
        references_owner=one.get("owner", False),
        is_hubspot_defined=False,
    )


def _company(account: Account, one: Mapping[str, Any], ids: dict[str, Any], owner_property: str) -> None:
    domains = list(one.get("domains", ()))
    domain = one.get("domain") or (domains[0] if domains else "")
    more = list(one.get("additional_domains", ())) or domains[1:]
    values = {"name": one["name"], "domain": domain, "hs_additional_domains": "; ".join(more)}
    given = {name: str(value) for name, value in values.items() if value} | dict(one.get("properties", {}))
    company = account.create("companies", given, SEED)
    ids["companies"][one["name"]] = company.id
    to_contact = account.links.types["companies", "contacts"][0]
    for person in one.get("contacts", ()):
        known = {"email": person} if isinstance(person, str) else dict(person)
        known["email"] = known["email"].lower()
        holder = account.holder("contacts", "email", known["email"])
        contact_id = holder or account.create("contacts", known, SEED).id
        account.links.add(("companies", company.id), ("contacts", contact_id), to_contact)
        ids["contacts"][known["email"]] = contact_id
    for deal in one.get("deals", ()):
        made = account.create("deals", _deal(account, deal, owner_property), SEED)
        account.links.add(("companies", company.id), ("deals", made.id), account.links.types["companies", "deals"][0])
        ids["deals"][deal["name"]] = made.id


def _deal(account: Account, one: Mapping[str, Any], owner_property: str) -> dict[str, str]:
    owners = [owner_id(account, address) for address in one.get("owners", ())]
    stage = str(one.get("stage", "open"))
    found = account.stage("deals", _STAGES.get(stage, stage))
    assert found is not None, f"no deal stage {stage}"
    values = {"dealname": one["name"], "pipeline": found[0]["id"], "dealstage": found[1]["id"]}
    values |= owner_values(account, owners, owner_property)
    return values | {name: str(value) for name, value in one.get("properties", {}).items()}


def owner_values(account: Account, owners: Sequence[str], owner_property: str = "") -> dict[str, str]:
    """The properties of a deal that name these owners (ids), empty ones too."""
    if owner_property:
        return {owner_property: ";".join(owners)}
    values = {"hubspot_owner_id": owners[0] if owners else ""}
    places = [name for name in ("relay_owner_2", "relay_owner_3", "relay_owner_4") if account.defined("deals", name)]
    if not places:
        return values | {"hs_all_collaborator_owner_ids": ";".join(owners[1:])}
    assert len(owners) <= len(places) + 1, f"{len(owners)} owners, {len(places) + 1} places"
    return values | dict(zip(places, [*owners[1:], "", "", ""], strict=False))


def owner_id(account: Account, address: str) -> str:
    """The owner with this address, made when there is none."""
    for owner in account.owners.values():
        if owner.get("email", "").lower() == address.lower():
            return str(owner["id"])
    return str(account.add_owner(address)["id"])
