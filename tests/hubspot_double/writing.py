"""What a write from outside must keep to: known, writable, well-formed, unique, required; stages and pipeline rules."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hubspot_double import catalogue
from hubspot_double.account import Account, Record, iso
from hubspot_double.catalogue import Property
from hubspot_double.errors import ApiError, detail, invalid, violation

__all__ = ["MOST_CHARACTERS", "check", "parse_time"]

MOST_CHARACTERS = 65_536
_REQUIRED = {
    "companies": (("name", "domain"),),
    "contacts": (("email", "firstname", "lastname"),),
    "deals": (("dealname",), ("dealstage",)),
    "tickets": (("subject",), ("hs_pipeline_stage",)),
    "emails": (("hs_timestamp",),),
    "notes": (("hs_timestamp",),),
}
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+")
_RECIPIENTS = ("from", "to", "cc", "bcc")


def parse_time(value: str) -> float:
    """Epoch seconds of ISO 8601 or epoch milliseconds; ValueError for anything else."""
    if re.fullmatch(r"-?\d{1,16}", value):
        return int(value) / 1000
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def check(account: Account, object_type: str, values: Mapping[str, str], record: Record | None) -> dict[str, str]:
    """The values as they are stored; ``record`` None for a create. Raises `ApiError`."""
    unknown = [name for name in values if account.defined(object_type, name) is None]
    if unknown:
        entries = [
            {"isValid": False, "message": f'Property "{n}" does not exist', "error": "PROPERTY_DOESNT_EXIST", "name": n}
            for n in unknown
        ]
        raise ApiError(
            400,
            f"Property values were not valid: {json.dumps(entries)}",
            errors=[detail(str(e["message"]), "PROPERTY_DOESNT_EXIST", propertyName=[str(e["name"])]) for e in entries],
        )
    kept = {name: _one(account, account.properties[object_type][name], value) for name, value in values.items()}
    if record is None:
        for alternatives in _REQUIRED[object_type]:
            if not any(kept.get(name) for name in alternatives):
                raise invalid(f"{alternatives[0]} is required", "REQUIRED_FIELD", propertyName=alternatives[:1])
    if object_type == "contacts" and kept.get("email"):
        kept["email"] = kept["email"].lower()
    _check_unique(account, object_type, kept, record)
    if object_type in catalogue.STAGE_PROPERTIES:
        _check_stage(account, object_type, kept, record)
    if object_type == "emails" and "hs_email_headers" in kept:
        kept |= _addresses(kept["hs_email_headers"])
    return kept


def _one(account: Account, defined: Property, value: str) -> str:
    name = defined.name
    if defined.is_read_only:
        raise invalid(f'"{name}" is a read only property', "READ_ONLY_VALUE", propertyName=[name])
    if len(value) > MOST_CHARACTERS:
        raise invalid(f'"{name}" is longer than {MOST_CHARACTERS} characters', "MAX_LENGTH", propertyName=[name])
    if not value:
        return ""
    if defined.references_owner:
        return _owners(account, defined, value)
    if defined.options:
        allowed = {option["value"] for option in defined.options}
        for one in value.split(";") if defined.is_multi else [value]:
            if one and one not in allowed:
                raise invalid(f"{one} was not one of the allowed options", "INVALID_OPTION", propertyName=[name])
    if defined.type == "number":
        try:
            float(value)
        except ValueError:
            raise invalid(f"{value[:80]} was not a valid number", "INVALID_NUMBER", propertyName=[name]) from None
    if defined.type in {"date", "datetime"}:
        try:
            return iso(parse_time(value))
        except (ValueError, OverflowError):
            raise invalid(f"{value[:80]} was not a valid date", "INVALID_DATE", propertyName=[name]) from None
    if name == "email" and not _ADDRESS.fullmatch(value):
        raise invalid(f"Email address {value[:80]} is invalid", "INVALID_EMAIL", propertyName=[name])
    return value


def _owners(account: Account, defined: Property, value: str) -> str:
    """Owner ids, never user ids (CRM_FACTS d); several in a multi-value property."""
    ids = [one for one in value.split(";") if one] if defined.is_multi else [value]
    for one in ids:
        owner = account.owners.get(one)
        if owner is None or owner["archived"]:
            raise invalid(f"Owner {one} does not exist", "INVALID_OWNER_ID", propertyName=[defined.name])
    return ";".join(ids)


def _check_unique(account: Account, object_type: str, kept: Mapping[str, str], record: Record | None) -> None:
    for name, value in kept.items():
        holder = account.holder(object_type, name, value) if value else None
        if holder is None or (record is not None and holder == record.id):
            continue
        if object_type == "contacts" and name == "email":
            raise ApiError(409, f"Contact already exists. Existing ID: {holder}", "CONFLICT")
        text = f"{value} already exists on another record"
        raise invalid(text, "CONFLICTING_UNIQUE_VALUE", propertyName=[name])


def _check_stage(account: Account, object_type: str, kept: dict[str, str], record: Record | None) -> None:
    pipeline_name, stage_name = catalogue.STAGE_PROPERTIES[object_type]
    if not {pipeline_name, stage_name} & kept.keys():
        return
    before = record.properties if record is not None else {}
    default = before.get(pipeline_name) or next(iter(account.pipelines[object_type]))
    pipeline_id = kept.get(pipeline_name) or default
    stage_id = kept.get(stage_name) or before.get(stage_name, "")
    if pipeline_id not in account.pipelines[object_type]:
        raise invalid(f"{pipeline_id} is no pipeline", "INVALID_PIPELINE_ID", propertyName=[pipeline_name])
    stages = {stage["id"] for stage in account.pipelines[object_type][pipeline_id]["stages"]}
    if stage_id not in stages:
        text = f"{stage_id} was not one of the allowed options: {sorted(stages)}".replace('"', "'")
        raise invalid(text, "INVALID_OPTION", propertyName=[stage_name])
    _check_rules(account, pipeline_id, before.get(stage_name, ""), stage_id)


def _check_rules(account: Account, pipeline_id: str, before: str, after: str) -> None:
    """Pipeline rules that an administrator set (KB, set up rules for ticket pipelines)."""
    first = account.settings.first_stages.get(pipeline_id)
    if not before and first and after not in first:
        raise ApiError(400, f"Records cannot be created in stage {after} of pipeline {pipeline_id}")
    for rule in account.settings.forbidden_moves:
        if (
            rule["pipeline"] == pipeline_id
            and before
            and rule["from"] in {before, "*"}
            and rule["to"] == after != before
        ):
            raise ApiError(400, f"A rule of pipeline {pipeline_id} forbids the move from stage {before} to {after}")


def _addresses(headers: str) -> dict[str, str]:
    """The read-only address properties of an email, from ``hs_email_headers``, a JSON string (CRM_FACTS f)."""
    try:
        parsed: Any = json.loads(headers) if headers else {}
    except ValueError:
        raise violation("hs_email_headers is no JSON") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("from", {}), dict):
        raise violation("hs_email_headers is no object with a from object")
    found = {}
    for role in _RECIPIENTS:
        people = parsed.get(role) or []
        people = [people] if isinstance(people, dict) else people
        if not isinstance(people, list) or not all(
            isinstance(p, dict) and isinstance(p.get("email"), str) for p in people
        ):
            raise violation(f"hs_email_headers: {role} has no e-mail addresses")
        found[f"hs_email_{role}_email"] = ";".join(person["email"] for person in people)
    return found
