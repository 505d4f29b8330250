"""Owners, pipelines, properties and the account over HTTP (CRM_FACTS section 1 d, g)."""

import re
from collections.abc import Callable
from typing import Any

from hubspot_double import catalogue
from hubspot_double.account import Account, iso
from hubspot_double.calls import Answer, Call, page, the_type
from hubspot_double.catalogue import Property
from hubspot_double.errors import ApiError, detail, violation

__all__ = ["HANDLERS"]

_MOST_UNIQUE = 10
_FIELD_TYPES = {
    "bool": {"booleancheckbox", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"booleancheckbox", "checkbox", "radio", "select", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "phone_number": {"phonenumber"},
    "string": {"file", "text", "textarea", "html", "phonenumber", "calculation_equation"},
}


def _owners(account: Account, call: Call) -> Answer:
    limit = call.query.get("limit", 100)
    if limit > 500:
        raise violation(f"limit {limit} is over 500")
    archived, email = call.query.get("archived", False), call.query.get("email", "").lower()
    found = [
        owner
        for owner in account.owners.values()
        if owner["archived"] is archived and (not email or owner.get("email", "").lower() == email)
    ]
    results, paging = page(found, call.query.get("after", ""), min(limit, account.settings.list_page))
    return Answer(200, {"results": results} | paging)


def _owner(account: Account, call: Call) -> Answer:
    wanted, name = call.path["ownerId"], call.query.get("idProperty", "id")
    if name not in {"id", "userId"}:
        raise violation(f"idProperty {name}")
    for owner in account.owners.values():
        if str(owner.get(name)) == wanted and owner["archived"] is call.query.get("archived", False):
            return Answer(200, owner)
    raise ApiError(404, f"No owner with {name} {wanted}", "OBJECT_NOT_FOUND")


def _staged(call: Call) -> str:
    kind = the_type(call.path["objectType"])
    if kind not in {"tickets", "deals"}:
        raise ApiError(400, f"{kind} have no pipelines")
    return kind


def _pipelines(account: Account, call: Call) -> Answer:
    return Answer(200, {"results": list(account.pipelines[_staged(call)].values())})


def _find_pipeline(account: Account, call: Call) -> dict[str, Any]:
    found = account.pipelines[_staged(call)].get(call.path["pipelineId"])
    if found is None:
        raise ApiError(404, f"No pipeline {call.path['pipelineId']}", "OBJECT_NOT_FOUND")
    return found


def _pipeline(account: Account, call: Call) -> Answer:
    return Answer(200, _find_pipeline(account, call))


def _check_stage(kind: str, stage: dict[str, Any], labels: list[str]) -> None:
    if stage["label"].lower() in (label.lower() for label in labels):
        raise ApiError(400, f"Stage labels must be unique: {stage['label']}")
    metadata = stage.get("metadata", {})
    if kind == "deals":
        try:
            is_right = 0.0 <= float(metadata["probability"]) <= 1.0
        except (KeyError, ValueError):
            is_right = False
        if not is_right:
            raise ApiError(400, "probability between 0.0 and 1.0 is required in a deal stage's metadata")
    elif metadata.get("ticketState", "OPEN") not in {"OPEN", "CLOSED"}:
        raise ApiError(400, f"Invalid ticketState {metadata['ticketState']}")


def _create_pipeline(account: Account, call: Call) -> Answer:
    kind, body = _staged(call), call.body
    known = account.pipelines[kind]
    if body.get("pipelineId") in known or body["label"].lower() in (one["label"].lower() for one in known.values()):
        raise ApiError(409, f"A pipeline {body['label']} already exists", "CONFLICT")
    if kind == "tickets" and len(known) >= account.settings.most_ticket_pipelines:
        raise ApiError(403, "This account may not have more ticket pipelines", "FORBIDDEN")
    labels: list[str] = []
    for stage in body["stages"]:
        _check_stage(kind, stage, labels)
        labels.append(stage["label"])
    stages = sorted(body["stages"], key=lambda stage: stage["displayOrder"])
    made = account.add_pipeline(
        kind,
        body["label"],
        [(stage.get("stageId", ""), stage["label"], _metadata(kind, stage)) for stage in stages],
        body.get("pipelineId", ""),
    )
    return Answer(201, made)


def _metadata(kind: str, stage: dict[str, Any]) -> dict[str, str]:
    return ({"ticketState": "OPEN"} if kind == "tickets" else {}) | dict(stage.get("metadata", {}))


def _stages(account: Account, call: Call) -> Answer:
    return Answer(200, {"results": _find_pipeline(account, call)["stages"]})


def _create_stage(account: Account, call: Call) -> Answer:
    pipeline, body = _find_pipeline(account, call), call.body
    _check_stage(_staged(call), body, [stage["label"] for stage in pipeline["stages"]])
    return Answer(
        201, account.add_stage(pipeline, body["label"], _metadata(_staged(call), body), body.get("stageId", ""))
    )


def _properties(account: Account, call: Call) -> Answer:
    found = account.properties[the_type(call.path["objectType"])].values()
    return Answer(200, {"results": [] if call.query.get("archived") else [one.json() for one in found]})


def _property(account: Account, call: Call) -> Answer:
    found = account.defined(the_type(call.path["objectType"]), call.path["propertyName"])
    if found is None:
        raise ApiError(404, f"Property {call.path['propertyName']} does not exist", "OBJECT_NOT_FOUND")
    return Answer(200, found.json())


def _create_property(account: Account, call: Call) -> Answer:
    kind, body = the_type(call.path["objectType"]), call.body
    known = account.properties[kind]
    name = body["name"]
    if name in known:
        text = f"A property named '{name}' already exists."
        raise ApiError(409, text, "OBJECT_ALREADY_EXISTS", sub_category="Properties.PROPERTY_EXISTS")
    _check_property(account, kind, body)
    made = Property(
        name,
        body["label"],
        body["type"],
        body["fieldType"],
        body["groupName"],
        options=body.get("options", []),
        is_unique=body.get("hasUniqueValue", False),
        references_owner=body.get("referencedObjectType") == "OWNER",
        is_hubspot_defined=False,
        description=body.get("description", ""),
        created_at=iso(account.now()),
    )
    known[name] = made
    return Answer(201, made.json())


def _check_property(account: Account, kind: str, body: dict[str, Any]) -> None:
    def refuse(text: str, code: str) -> ApiError:
        return ApiError(400, text, errors=[detail(text, code, propertyName=[body["name"]])])

    if not re.fullmatch(r"[a-z][a-z0-9_]*", body["name"]):
        raise refuse(f"{body['name']} is no property name", "INVALID_NAME")
    if body["groupName"] not in account.groups[kind]:
        raise refuse(f"Property group {body['groupName']} does not exist", "GROUP_DOESNT_EXIST")
    if body["fieldType"] not in _FIELD_TYPES[body["type"]]:
        raise refuse(f"{body['fieldType']} does not fit {body['type']}", "INVALID_FIELD_TYPE")
    refers = body.get("externalOptions", False)
    if refers is not ("referencedObjectType" in body) or (refers and body["type"] != "enumeration"):
        raise refuse("externalOptions and referencedObjectType go together, with enumeration", "INVALID_OPTIONS")
    if body["type"] == "enumeration" and not refers and not body.get("options"):
        raise refuse("An enumeration needs options", "INVALID_OPTIONS")
    made = sum(one.is_unique and not one.is_hubspot_defined for one in account.properties[kind].values())
    if body.get("hasUniqueValue") and made >= _MOST_UNIQUE:
        raise refuse(f"At most {_MOST_UNIQUE} unique properties", "UNIQUE_PROPERTIES_LIMIT")


def _groups(account: Account, call: Call) -> Answer:
    found = account.groups[the_type(call.path["objectType"])]
    results = [
        {"name": name, "label": label, "displayOrder": n, "archived": False}
        for n, (name, label) in enumerate(found.items())
    ]
    return Answer(200, {"results": results})


def _create_group(account: Account, call: Call) -> Answer:
    found, body = account.groups[the_type(call.path["objectType"])], call.body
    if body["name"] in found:
        raise ApiError(409, f"A property group named '{body['name']}' already exists.", "OBJECT_ALREADY_EXISTS")
    found[body["name"]] = body["label"]
    return Answer(201, {"name": body["name"], "label": body["label"], "displayOrder": -1, "archived": False})


def _account(account: Account, call: Call) -> Answer:
    body = {
        "portalId": account.settings.portal_id,
        "accountType": "STANDARD",
        "timeZone": "Asia/Tokyo",
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }
    return Answer(200, body)


HANDLERS: dict[str, Callable[[Account, Call], Answer]] = {
    "owners_list": _owners,
    "owners_get": _owner,
    "pipelines_list": _pipelines,
    "pipelines_create": _create_pipeline,
    "pipelines_get": _pipeline,
    "pipelines_listStages": _stages,
    "pipelines_createStage": _create_stage,
    "properties_list": _properties,
    "properties_create": _create_property,
    "properties_get": _property,
    "properties_listGroups": _groups,
    "properties_createGroup": _create_group,
    "account_details": _account,
}
assert set(catalogue.STAGE_PROPERTIES) == {"tickets", "deals"}
