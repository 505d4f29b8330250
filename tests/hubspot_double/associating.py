"""Associations over HTTP: default and labelled, list, delete, batches (CRM_FACTS section 1 b, e)."""

from collections.abc import Callable
from typing import Any

from hubspot_double import catalogue
from hubspot_double.account import Account, iso
from hubspot_double.calls import Answer, Call, page, the_type
from hubspot_double.catalogue import AssociationType
from hubspot_double.errors import ApiError, violation

__all__ = ["HANDLERS"]

_MOST_LISTED = 500


def _pair(call: Call) -> tuple[str, str]:
    return the_type(call.path["fromObjectType"]), the_type(call.path["toObjectType"])


def _number(account: Account, record_id: str) -> int | str:
    return int(record_id) if account.settings.ids_as_numbers else record_id


def _plain(account: Account, one: str, other: str) -> AssociationType:
    kind = account.links.type(one, other)
    if kind is None:
        raise violation(f"no association type from {one} to {other}")
    return kind


def _link(
    account: Account, pair: tuple[str, str], ids: tuple[str, str], kinds: list[AssociationType]
) -> dict[str, Any]:
    one, other = account.find(pair[0], ids[0]), account.find(pair[1], ids[1])
    for kind in kinds:
        account.links.add((pair[0], one.id), (pair[1], other.id), kind)
    for side, against in ((one, other), (other, one)):  # an activity on a record changes it
        if side.type not in {"emails", "notes"} and against.type in {"emails", "notes"}:
            account.touch(side)
    return {"from": {"id": one.id}, "to": {"id": other.id}}


def _put_default(account: Account, call: Call) -> Answer:
    pair = _pair(call)
    kind = _plain(account, *pair)
    made = _link(account, pair, (call.path["fromObjectId"], call.path["toObjectId"]), [kind])
    return _batch(account, [made | {"associationSpec": _spec(kind)}], [])


def _spec(kind: AssociationType) -> dict[str, Any]:
    return {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind.type_id}


def _put_labels(account: Account, call: Call) -> Answer:
    pair = _pair(call)
    kinds = []
    for one in call.body:
        kind = account.links.type(*pair, one["associationTypeId"])
        if kind is None or one["associationCategory"] != "HUBSPOT_DEFINED":
            raise violation(f"association type {one['associationTypeId']} does not go from {pair[0]} to {pair[1]}")
        kinds.append(kind)
    made = _link(account, pair, (call.path["fromObjectId"], call.path["toObjectId"]), kinds)
    body = {
        "fromObjectTypeId": catalogue.TYPE_IDS[pair[0]],
        "fromObjectId": _number(account, made["from"]["id"]),
        "toObjectTypeId": catalogue.TYPE_IDS[pair[1]],
        "toObjectId": _number(account, made["to"]["id"]),
        "labels": [kind.label for kind in kinds if kind.label],
    }
    return Answer(201, body)


def _listed(account: Account, pair: tuple[str, str], record_id: str) -> list[dict[str, Any]]:
    found = account.links.of((pair[0], record_id), pair[1])
    return [
        {"toObjectId": _number(account, to_id), "associationTypes": [kind.json() for kind in kinds]}
        for to_id, kinds in found.items()
        if not account.records[pair[1]][to_id].archived
    ]


def _list(account: Account, call: Call) -> Answer:
    pair = _pair(call)
    _plain(account, *pair)
    record = account.find(pair[0], call.path["fromObjectId"])
    limit = call.query.get("limit", _MOST_LISTED)
    if limit > _MOST_LISTED:
        raise violation(f"limit {limit} is over {_MOST_LISTED}")
    limit = min(limit, account.settings.association_page)
    results, paging = page(_listed(account, pair, record.id), call.query.get("after", ""), limit)
    return Answer(200, {"results": results} | paging)


def _delete(account: Account, call: Call) -> Answer:
    one, other = _pair(call)
    account.links.remove((one, call.path["fromObjectId"]), (other, call.path["toObjectId"]))
    return Answer(204)


def _batch(account: Account, results: list[Any], errors: list[dict[str, Any]]) -> Answer:
    at = iso(account.now())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Answer(207 if errors else 200, body)


def _batch_read(account: Account, call: Call) -> Answer:
    pair = _pair(call)
    _plain(account, *pair)
    results, errors = [], []
    for one in call.body["inputs"]:
        record_id = account.merged[pair[0]].get(one["id"], one["id"])
        record = account.records[pair[0]].get(record_id)
        found = _listed(account, pair, record_id) if record is not None and not record.archived else []
        if not found:
            errors.append(_nothing(pair, one["id"]))
            continue
        to, paging = page(found, one.get("after", ""), account.settings.association_page)
        results.append({"from": {"id": record_id}, "to": to} | paging)
    if account.settings.results_reversed:
        results.reverse()
    return _batch(account, results, errors)


def _nothing(pair: tuple[str, str], record_id: str) -> dict[str, Any]:
    names = [catalogue.SINGULAR[name] for name in pair]
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {names[1]} is associated with {names[0]} {record_id}.",
        "context": {
            "fromObjectId": [record_id],
            "fromObjectType": [catalogue.TYPE_IDS[pair[0]]],
            "toObjectType": [catalogue.TYPE_IDS[pair[1]]],
        },
    }


def _batch_default(account: Account, call: Call) -> Answer:
    pair = _pair(call)
    kind = _plain(account, *pair)
    results, errors = [], []
    for one in call.body["inputs"]:
        try:
            made = _link(account, pair, (str(one["from"]["id"]), str(one["to"]["id"])), [kind])
        except ApiError as error:
            errors.append(error.body)
        else:
            results.append(made | {"associationSpec": _spec(kind)})
    return _batch(account, results, errors)


def _labels(account: Account, call: Call) -> Answer:
    return Answer(200, {"results": [kind.json() for kind in account.links.types.get(_pair(call), [])]})


HANDLERS: dict[str, Callable[[Account, Call], Answer]] = {
    "associations_putDefault": _put_default,
    "associations_putLabels": _put_labels,
    "associations_list": _list,
    "associations_delete": _delete,
    "associations_batchRead": _batch_read,
    "associations_batchDefault": _batch_default,
    "associations_labels": _labels,
}
