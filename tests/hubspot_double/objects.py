"""Records over HTTP: list, read, create, update, archive, one by one and in batches."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hubspot_double import catalogue, writing
from hubspot_double.account import Account, Record, iso
from hubspot_double.calls import Answer, Call, the_type
from hubspot_double.catalogue import AssociationType
from hubspot_double.errors import ApiError, invalid, violation

__all__ = ["HANDLERS", "shown"]

_HISTORY_BATCH = 50
_MOST_LISTED = 100
_VERSIONS_SHOWN = 20


def shown(
    account: Account,
    record: Record,
    wanted: Iterable[str] | None,
    *,
    history: Iterable[str] = (),
    values: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A record as the API shows it: a wanted property without a value is null, one that is not defined is left out.

    Args:
        values: Other values than the present ones (the search index's).
    """
    found = record.properties if values is None else values
    names = dict.fromkeys(catalogue.ALWAYS_READ[record.type])
    names |= dict.fromkeys(wanted or catalogue.DEFAULT_READ[record.type])
    known = account.properties[record.type]
    body: dict[str, Any] = {
        "id": record.id,
        "properties": {name: found.get(name) for name in names if name in known},
        "createdAt": iso(record.created_at),
        "updatedAt": found[catalogue.MODIFIED[record.type]],
        "archived": record.archived,
    }
    if record.archived_at is not None:
        body["archivedAt"] = iso(record.archived_at)
    asked = [name for name in history if name in known]
    if asked:
        tells = account.settings.tells_history
        body["propertiesWithHistory"] = {
            name: [one.json(tells_source=tells) for one in record.history.get(name, ())[:_VERSIONS_SHOWN]]
            for name in asked
        }
        body["properties"] |= {name: found.get(name) for name in asked}
    return body


def _with_links(account: Account, record: Record, types: Iterable[str]) -> dict[str, Any]:
    """``associations`` of a read: companies -> results with ids and type names."""
    found: dict[str, Any] = {}
    for name in types:
        to_type = the_type(name)
        results = [
            {"id": to_id, "type": _type_name(record.type, to_type, kind)}
            for to_id, kinds in account.links.of((record.type, record.id), to_type).items()
            for kind in kinds
        ]
        if results:
            found[to_type] = {"results": results}
    return {"associations": found} if found else {}


def _type_name(one: str, other: str, kind: AssociationType) -> str:
    name = f"{catalogue.SINGULAR[one]}_to_{catalogue.SINGULAR[other]}"
    return name if kind.label else f"{name}_unlabeled"


def _list(account: Account, kind: str, call: Call) -> Answer:
    limit = call.query.get("limit", 10)
    if limit > _MOST_LISTED:
        raise violation(f"limit {limit} is over {_MOST_LISTED}")
    limit = min(limit, account.settings.list_page)
    after, archived = call.query.get("after", ""), call.query.get("archived", False)
    if after and not after.isdigit():
        raise ApiError(400, f"Invalid paging cursor: {after}")
    found = [r for r in account.records[kind].values() if r.archived is archived and int(r.id) > int(after or 0)]
    found.sort(key=lambda r: int(r.id))
    body: dict[str, Any] = {"results": [_read_body(account, record, call) for record in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1].id
        body["paging"] = {"next": {"after": last, "link": f"?after={last}"}}
    return Answer(200, body)


def _read_body(account: Account, record: Record, call: Call) -> dict[str, Any]:
    history = call.query.get("propertiesWithHistory", ())
    body = shown(account, record, call.query.get("properties"), history=history)
    return body | _with_links(account, record, call.query.get("associations", ()))


def _get(account: Account, kind: str, call: Call) -> Answer:
    id_property, archived = call.query.get("idProperty", ""), call.query.get("archived", False)
    record = account.find(kind, call.path["objectId"], id_property, archived=archived)
    return Answer(200, _read_body(account, record, call))


def _create(account: Account, kind: str, call: Call) -> Answer:
    return Answer(201, shown(account, _made(account, kind, call.body), call.body["properties"]))


def _made(account: Account, kind: str, wanted: dict[str, Any]) -> Record:
    values = writing.check(account, kind, wanted["properties"], None)
    links = [_link(account, kind, one) for one in wanted.get("associations", ())]
    record = account.create(kind, values)
    for to_type, to_id, kinds in links:
        for one in kinds:
            account.links.add((kind, record.id), (to_type, to_id), one)
        if kind in {"emails", "notes"}:  # an activity on a record changes it
            account.touch(account.records[to_type][to_id])
    return record


def _link(account: Account, kind: str, wanted: dict[str, Any]) -> tuple[str, str, list[AssociationType]]:
    """What a create's association points to. The type id tells the other side's type."""
    to_id, kinds = str(wanted["to"]["id"]), []
    for one in wanted["types"]:
        fitting = [
            account.links.type(kind, to_type, one["associationTypeId"])
            for to_type in catalogue.TYPES
            if one["associationCategory"] == "HUBSPOT_DEFINED"
        ]
        found = next((f for f in fitting if f is not None), None)
        if found is None:
            raise violation(f"association type {one['associationTypeId']} does not go from {kind}")
        kinds.append(found)
    if len({one.to_type for one in kinds}) != 1:
        raise violation("association types of one link point to different object types")
    to_type = kinds[0].to_type
    to_id = account.merged[to_type].get(to_id, to_id)
    record = account.records[to_type].get(to_id)
    if record is None or record.archived:
        raise invalid(f"No {to_type} with id {to_id}", "INVALID_OBJECT_IDS", objectId=[to_id])
    return to_type, to_id, kinds


def _update(account: Account, kind: str, call: Call) -> Answer:
    record = account.find(kind, call.path["objectId"], call.query.get("idProperty", ""))
    account.write(record, writing.check(account, kind, call.body["properties"], record))
    return Answer(200, shown(account, record, call.body["properties"]))


def _archive(account: Account, kind: str, call: Call) -> Answer:
    record = account.records[kind].get(call.path["objectId"])
    if record is not None and not record.archived:
        account.archive(record)
    return Answer(204)


# -- batches --


def _batch(account: Account, status: int, results: list[Any], errors: Sequence[dict[str, Any]] = ()) -> Answer:
    at = iso(account.now())
    if account.settings.results_reversed:
        results.reverse()
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    return Answer(207 if errors else status, body)


def _missing(kind: str, ids: list[str]) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {kind.upper()} objects, they may be deleted or not exist.",
        "context": {"ids": ids},
    }


def _batch_read(account: Account, kind: str, call: Call) -> Answer:
    wanted = list(dict.fromkeys(one["id"] for one in call.body["inputs"]))
    history = call.body.get("propertiesWithHistory", ())
    if history and len(call.body["inputs"]) > _HISTORY_BATCH:
        raise violation(f"at most {_HISTORY_BATCH} inputs with property history")
    id_property, archived = call.body.get("idProperty", ""), call.query.get("archived", False)
    if id_property and id_property != "hs_object_id":
        account.check_id_property(kind, id_property)
    found: dict[str, Record] = {}
    missing = []
    for one in wanted:
        try:
            record = account.find(kind, one, id_property, archived=archived)
        except ApiError:
            missing.append(one)
        else:
            found[record.id] = record
    results = [shown(account, r, call.body.get("properties"), history=history) for r in found.values()]
    return _batch(account, 200, results, [_missing(kind, missing)] if missing else ())


def _each(account: Account, status: int, inputs: list[dict[str, Any]], do: Callable[[dict[str, Any]], Any]) -> Answer:
    """Batch create: all or, when every input has an ``objectWriteTraceId``, one by one with 207 (CRM_FACTS h)."""
    traced = all(one.get("objectWriteTraceId") for one in inputs)
    results, errors = [], []
    for one in inputs:
        try:
            made = do(one)
        except ApiError as error:
            if not traced:
                raise
            context = {"objectWriteTraceId": [one["objectWriteTraceId"]]}
            errors.append({k: v for k, v in error.body.items() if k != "correlationId"} | {"context": context})
        else:
            trace = {"objectWriteTraceId": one["objectWriteTraceId"]} if one.get("objectWriteTraceId") else {}
            results.append(made | trace)
    return _batch(account, status, results, errors)


def _batch_create(account: Account, kind: str, call: Call) -> Answer:
    inputs = call.body["inputs"]
    if not all(one.get("objectWriteTraceId") for one in inputs):
        for one in inputs:  # nothing is made when one of them is wrong
            writing.check(account, kind, one["properties"], None)
            for link in one.get("associations", ()):
                _link(account, kind, link)

    def do(one: dict[str, Any]) -> dict[str, Any]:
        return shown(account, _made(account, kind, one), one["properties"])

    return _each(account, 201, inputs, do)


def _batch_update(account: Account, kind: str, call: Call) -> Answer:
    pairs, missing = [], []
    for one in call.body["inputs"]:
        try:
            record = account.find(kind, one["id"], one.get("idProperty", ""))
        except ApiError as error:
            if error.status != 404:
                raise
            missing.append(one["id"])
        else:
            pairs.append((record, one["properties"], writing.check(account, kind, one["properties"], record)))
    for record, _, values in pairs:
        account.write(record, values)
    results = [shown(account, record, names) for record, names, _ in pairs]
    return _batch(account, 200, results, [_missing(kind, missing)] if missing else ())


def _batch_upsert(account: Account, kind: str, call: Call) -> Answer:
    steps = []
    for one in call.body["inputs"]:
        account.check_id_property(kind, one["idProperty"])
        holder = account.holder(kind, one["idProperty"], one["id"])
        record = account.records[kind][holder] if holder else None
        wanted = one["properties"] | {one["idProperty"]: one["id"]}
        steps.append((record, wanted, writing.check(account, kind, wanted, record)))
    results = []
    for record, wanted, values in steps:
        if record is None:
            results.append(shown(account, account.create(kind, values), wanted) | {"new": True})
        else:
            account.write(record, values)
            results.append(shown(account, record, wanted) | {"new": False})
    return _batch(account, 200, results)


_OPERATIONS: dict[str, Callable[[Account, str, Call], Answer]] = {
    "list": _list,
    "get": _get,
    "create": _create,
    "update": _update,
    "archive": _archive,
    "batchRead": _batch_read,
    "batchCreate": _batch_create,
    "batchUpdate": _batch_update,
    "batchUpsert": _batch_upsert,
}


def _bound(kind: str, do: Callable[[Account, str, Call], Answer]) -> Callable[[Account, Call], Answer]:
    return lambda account, call: do(account, kind, call)


HANDLERS = {f"{kind}_{name}": _bound(kind, do) for kind in catalogue.TYPES for name, do in _OPERATIONS.items()}
