"""The search endpoints (CRM_FACTS section 1 a): operators, sorting, paging, and what they refuse."""

import fnmatch
import re
import time
from collections.abc import Callable
from typing import Any

from hubspot_double import catalogue, writing
from hubspot_double.account import Account, Record
from hubspot_double.calls import Answer, Call
from hubspot_double.catalogue import Property
from hubspot_double.errors import ApiError, violation
from hubspot_double.objects import shown

__all__ = ["HANDLERS"]

_MOST_FILTERS = 18
_MOST_CHARACTERS = 3_000
_MOST_RESULTS = 10_000
_NEEDS = {"BETWEEN": ("value", "highValue"), "IN": ("values",), "NOT_IN": ("values",)}
_NO_VALUE = {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}
_QUERIED = {
    "companies": ("name", "domain", "phone", "website"),
    "contacts": ("firstname", "lastname", "email", "phone", "hs_additional_emails"),
    "deals": ("dealname", "description"),
    "tickets": ("subject", "content"),
}
Comparable = str | float


def _search(account: Account, kind: str, call: Call) -> Answer:
    body = call.body
    if call.size > _MOST_CHARACTERS:
        raise violation(f"search body has {call.size} characters, at most {_MOST_CHARACTERS}")
    groups = [group["filters"] for group in body.get("filterGroups", ())]
    if sum(map(len, groups)) > _MOST_FILTERS:
        raise violation(f"more than {_MOST_FILTERS} filters")
    for one in (one for group in groups for one in group):
        _check(account, kind, one)
    start, limit = int(body.get("after", "0")), body.get("limit", 10)
    if start + limit > _MOST_RESULTS:
        raise ApiError(400, f"Cannot page past {_MOST_RESULTS} results")
    words = body.get("query", "").lower()
    found = [
        (record, values)
        for record, values in account.indexed(kind)
        if (not groups or any(all(_fits(account, record, values, f) for f in group) for group in groups))
        and (not words or any(words in values.get(name, "").lower() for name in _QUERIED.get(kind, ())))
    ]
    _sort(account, kind, found, body.get("sorts", ()))
    results = [shown(account, r, body.get("properties"), values=values) for r, values in found[start : start + limit]]
    answer: dict[str, Any] = {"total": len(found), "results": results}
    if start + limit < len(found):
        answer["paging"] = {"next": {"after": str(start + limit)}}
    return Answer(200, answer)


def _check(account: Account, kind: str, one: dict[str, Any]) -> None:
    name, operator = one["propertyName"], one["operator"]
    for needed in _NEEDS.get(operator, () if operator in _NO_VALUE else ("value",)):
        if needed not in one:
            raise violation(f"filter {name} {operator} has no {needed}")
    if name.startswith("associations."):
        if catalogue.object_type(name.removeprefix("associations.")) is None or operator not in {"EQ", "IN"}:
            raise violation(f"filter {name} {operator}")
    elif account.defined(kind, name) is None:
        raise ApiError(400, f"There was a problem with the request. Property {name} does not exist")


def _fits(account: Account, record: Record, values: dict[str, str], one: dict[str, Any]) -> bool:
    name: str = one["propertyName"]
    operator: str = one["operator"]
    if name.startswith("associations."):
        to_type = catalogue.object_type(name.removeprefix("associations.")) or ""
        before = time.monotonic() - account.settings.search_lag_s
        wanted = one.get("values") or [one["value"]]
        return any(account.links.has((record.type, record.id), to_type, to_id, before) for to_id in wanted)
    value = values.get(name, "")
    if operator in _NO_VALUE:
        return bool(value) is (operator == "HAS_PROPERTY")
    if not value:  # a record without a value is in no set, and outside of none
        return operator == "NOT_CONTAINS_TOKEN"
    return _OPERATORS[operator](account, account.properties[record.type][name], value, one)


def _form(defined: Property, value: str) -> Comparable:
    """In the form in which values are compared; what cannot be read compares as text."""
    try:
        if defined.type == "number":
            return float(value)
        if defined.type in {"date", "datetime"}:
            return writing.parse_time(value)
    except ValueError:
        return value
    return value if defined.type == "enumeration" else value.lower()


def _equal(defined: Property, value: str, wanted: str) -> bool:
    if defined.is_multi and wanted in value.split(";"):
        return True
    return bool(_form(defined, value) == _form(defined, wanted))


def _in(defined: Property, value: str, wanted: list[str]) -> bool:
    if defined.type in {"string", "phone_number"}:  # the index is in lower case, what IN asks for is not made so
        return value.lower() in wanted
    return any(_equal(defined, value, one) for one in wanted)


def _between(defined: Property, value: str, low: str | None, high: str | None) -> tuple[int, int]:
    """(compared with low, compared with high), each -1, 0 or 1; 0 without."""

    def compare(other: str | None) -> int:
        if other is None:
            return 0
        ours, theirs = _form(defined, value), _form(defined, other)
        if isinstance(ours, float) and isinstance(theirs, float):
            return (ours > theirs) - (ours < theirs)
        return (str(ours) > str(theirs)) - (str(ours) < str(theirs))

    return compare(low), compare(high)


def _tokens(how: str, text: str) -> list[str]:
    split = r"[\s;,]+" if how == "whole" else r"[^\w*]+"
    return [token for token in re.split(split, text.lower()) if token]


def _contains(account: Account, value: str, wanted: str) -> bool:
    """Every token of ``wanted`` is one of the value's, in any order: ``acme.co.jp`` finds ``acme-tools.co.jp``."""
    how = account.settings.contains_token
    there = _tokens(how, value)
    return all(any(fnmatch.fnmatchcase(one, token) for one in there) for token in _tokens(how, wanted))


Operator = Callable[[Account, Property, str, dict[str, Any]], bool]
_OPERATORS: dict[str, Operator] = {
    "EQ": lambda _, p, v, f: _equal(p, v, f["value"]),
    "NEQ": lambda _, p, v, f: not _equal(p, v, f["value"]),
    "IN": lambda _, p, v, f: _in(p, v, f["values"]),
    "NOT_IN": lambda _, p, v, f: not _in(p, v, f["values"]),
    "LT": lambda _, p, v, f: _between(p, v, f["value"], None)[0] < 0,
    "LTE": lambda _, p, v, f: _between(p, v, f["value"], None)[0] <= 0,
    "GT": lambda _, p, v, f: _between(p, v, f["value"], None)[0] > 0,
    "GTE": lambda _, p, v, f: _between(p, v, f["value"], None)[0] >= 0,
    "BETWEEN": lambda _, p, v, f: (b := _between(p, v, f["value"], f["highValue"]))[0] >= 0 >= b[1],
    "CONTAINS_TOKEN": lambda a, _, v, f: _contains(a, v, f["value"]),
    "NOT_CONTAINS_TOKEN": lambda a, _, v, f: not _contains(a, v, f["value"]),
}


def _sort(account: Account, kind: str, found: list[tuple[Record, dict[str, str]]], sorts: Any) -> None:
    found.sort(key=lambda one: int(one[0].id))
    if not sorts:
        return
    sort = sorts[0]
    if isinstance(sort, str):
        name, is_down = sort.removeprefix("-"), sort.startswith("-")
    else:
        name, is_down = sort["propertyName"], sort.get("direction") == "DESCENDING"
    defined = account.defined(kind, name)
    if defined is None:
        raise ApiError(400, f"There was a problem with the request. Property {name} does not exist")

    def key(one: tuple[Record, dict[str, str]]) -> tuple[bool, float, str]:
        form = _form(defined, one[1].get(name, ""))
        return (not one[1].get(name), form, "") if isinstance(form, float) else (not form, 0.0, form)

    found.sort(key=key, reverse=is_down)


def _bound(kind: str) -> Callable[[Account, Call], Answer]:
    return lambda account, call: _search(account, kind, call)


HANDLERS = {f"{kind}_search": _bound(kind) for kind in catalogue.TYPES}
