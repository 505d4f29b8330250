import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from supportrelay.edge.crm.hubspot.paths import Paths, family, is_search, is_version, template

SPECS = Path(__file__).resolve().parents[3] / "shared" / "specs" / "hubspot"
WRITTEN = {
    "2026-03": "hubspot-crm-subset.2026-03.openapi.json",
    "legacy": "hubspot-crm-subset.v3-v4-legacy.openapi.json",
}

# Every path with the methods it is used with.
USES: list[tuple[str, tuple[str, ...], str]] = [
    *[
        use
        for kind in ("companies", "contacts", "deals", "tickets", "emails", "notes")
        for use in [
            ("objects", (kind,), "get post"),
            ("record", (kind, "17"), "get patch delete"),
            ("search", (kind,), "post"),
            ("batch_read", (kind,), "post"),
        ]
    ],
    ("associations", ("companies", "17", "deals"), "get"),
    ("associate", ("tickets", "17", "companies", "4"), "put delete"),
    ("associate_default", ("tickets", "17", "contacts", "4"), "put"),
    ("associations_batch_read", ("companies", "deals"), "post"),
    ("associations_batch_default", ("tickets", "contacts"), "post"),
    ("association_labels", ("tickets", "companies"), "get"),
    ("owners", (), "get"),
    ("owner", ("41629779",), "get"),
    ("pipelines", ("tickets",), "get post"),
    ("pipeline", ("tickets", "0"), "get"),
    ("stages", ("tickets", "0"), "get post"),
    ("properties", ("deals",), "get post"),
    ("property_", ("deals", "relay_owner_2"), "get"),
    ("property_groups", ("tickets",), "get post"),
    ("account", (), "get"),
]


def described(version: str) -> dict[str, Any]:
    paths: dict[str, Any] = json.loads((SPECS / WRITTEN[version]).read_text("utf-8"))["paths"]
    return paths


def operations(paths: dict[str, Any], path: str) -> set[str]:
    """Methods of the description's path that this one matches; whole words are preferred to placeholders."""
    best = sorted(
        (known.count("{"), known)
        for known in paths
        if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(known)), path)
    )
    return set(paths[best[0][1]]) if best else set()


@pytest.mark.parametrize("version", WRITTEN)
@pytest.mark.parametrize(("method", "arguments", "verbs"), USES)
def test_every_path_stands_in_the_description_with_its_methods(
    version: str, method: str, arguments: tuple[str, ...], verbs: str
) -> None:
    path = getattr(Paths(version), method)(*arguments)

    assert set(verbs.split()) <= operations(described(version), path), path


def test_every_method_is_compared() -> None:
    methods = {name for name, _ in inspect.getmembers(Paths, inspect.isfunction) if not name.startswith("_")}

    assert methods == {name for name, _, _ in USES}


def test_an_id_stays_one_segment() -> None:
    """A key out of a mail must not be able to name another path."""
    assert (
        Paths("2026-03").record("tickets", "a/../b?c#d e%") == "/crm/objects/2026-03/tickets/a%2F..%2Fb%3Fc%23d%20e%25"
    )


@pytest.mark.parametrize("identifier", ["", ".", ".."])
def test_an_id_that_would_be_another_path_is_a_bug(identifier: str) -> None:
    with pytest.raises(ValueError, match="no id for a path"):
        Paths("legacy").record("tickets", identifier)


@pytest.mark.parametrize(
    ("version", "is_one"),
    [("2026-03", True), ("2026-09", True), ("legacy", True), ("v3", True), ("v4", True)]
    + [(wrong, False) for wrong in ("", "2026-3", "2026-13", "v5", "latest", "2026-03/..", "2026-03\n")],
)
def test_a_version_is_a_month_or_legacy(version: str, is_one: bool) -> None:
    assert is_version(version) is is_one
    if is_one:
        assert Paths(version).owners() in {f"/crm/owners/{version}", "/crm/v3/owners"}
    else:
        with pytest.raises(ValueError, match="neither a version"):
            Paths(version)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/crm/objects/2026-03/tickets/17", "/crm/objects/2026-03/tickets/{id}"),
        ("/crm/v3/objects/tickets/9f86d081", "/crm/v3/objects/tickets/{id}"),
        ("/crm/objects/2026-03/tickets/search", "/crm/objects/2026-03/tickets/search"),
        (
            "/crm/objects/2026-03/tickets/1/associations/default/companies/2",
            "/crm/objects/2026-03/tickets/{id}/associations/default/companies/{id}",
        ),
        ("/crm/v3/owners/5", "/crm/v3/owners/{id}"),
    ],
)
def test_a_template_tells_the_kind_of_call_and_no_id(path: str, shown: str) -> None:
    assert template(path) == shown


def test_a_dated_and_a_legacy_path_are_of_one_family() -> None:
    for method, arguments, verbs in USES:
        dated, legacy = (getattr(Paths(version), method)(*arguments) for version in WRITTEN)
        assert [family(verb.upper(), dated) for verb in verbs.split()] == [
            family(verb.upper(), legacy) for verb in verbs.split()
        ]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/crm/objects/2026-03/companies/search", "companies.read"),
        ("POST", "/crm/objects/2026-03/deals/batch/read", "deals.read"),
        ("POST", "/crm/objects/2026-03/tickets", "tickets.write"),
        ("POST", "/crm/objects/2026-03/emails", "emails.write"),
        ("GET", "/crm/v4/objects/companies/1/associations/deals", "companies-deals.read"),
        ("PUT", "/crm/v4/objects/ticket/1/associations/default/company/2", "tickets-companies.write"),
        ("GET", "/crm/owners/2026-03", "owners.read"),
        ("POST", "/crm/properties/2026-03/deals", "properties-deals.write"),
        ("GET", "/account-info/2026-03/details", "account-info.read"),
        ("GET", "/", "other.read"),
    ],
)
def test_a_family_is_what_one_scope_opens(method: str, path: str, name: str) -> None:
    assert family(method, path) == name


def test_searches_are_told_apart() -> None:
    paths = Paths("2026-03")
    assert is_search(paths.search("tickets"))
    assert not is_search(paths.record("tickets", "search/"))
    assert not is_search(paths.batch_read("tickets"))
