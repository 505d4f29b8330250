"""The account's state: records with their history, links, owners, pipelines, properties. No HTTP here.

Everything is changed through `Account`, so that history, unique values, the search index and webhook events follow.
Reads by id see every write at once; `Account.indexed` shows a record as the search index knows it (``search_lag_s``).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hubspot_double import catalogue
from hubspot_double.catalogue import Property
from hubspot_double.errors import ApiError
from hubspot_double.links import Links
from hubspot_double.settings import Settings

__all__ = ["API", "Account", "Change", "Event", "Record", "Source", "iso"]


def iso(at: float) -> str:
    """``2026-11-01T03:30:17.883Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Source:
    """Who changed something: ``INTEGRATION``, ``CRM_UI``, ``AUTOMATION_PLATFORM`` ..."""

    type: str
    id: str
    user_id: int | None = None


API = Source("INTEGRATION", "25200")
# object type, property, where a merge adds the loser's value, separator
_ADDED_BY_MERGE = (
    ("companies", "domain", "hs_additional_domains", "; "),
    ("contacts", "email", "hs_additional_emails", ";"),
)


@dataclass(frozen=True)
class Change:
    """One version of a property."""

    value: str
    at: float
    source: Source

    def json(self, *, tells_source: bool = True) -> dict[str, Any]:
        body: dict[str, Any] = {"value": self.value, "timestamp": iso(self.at)}
        if tells_source:
            body |= {"sourceType": self.source.type, "sourceId": self.source.id}
            if self.source.user_id is not None:
                body["updatedByUserId"] = self.source.user_id
        return body


@dataclass
class Record:
    """A company, contact, deal, ticket, email or note.

    Attributes:
        history: Property -> versions, newest first.
        versions: For the search index: (monotonic time, properties, archived), oldest first.
    """

    type: str
    id: str
    created_at: float
    updated_at: float
    properties: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[Change]] = field(default_factory=dict)
    archived_at: float | None = None
    versions: deque[tuple[float, dict[str, str], bool]] = field(default_factory=deque)

    @property
    def archived(self) -> bool:
        return self.archived_at is not None


@dataclass(frozen=True)
class Event:
    """Something that a webhook may tell."""

    type: str
    object_id: str
    at: float
    source: Source
    property_name: str = ""
    value: str = ""


class Account:
    """See the module's text."""

    def __init__(self, settings: Settings, *, relay_properties: bool = False) -> None:
        self.settings = settings
        self.records: dict[str, dict[str, Record]] = {name: {} for name in catalogue.TYPES}
        self.merged: dict[str, dict[str, str]] = {name: {} for name in catalogue.TYPES}
        self.unique: dict[tuple[str, str], dict[str, str]] = {}
        self.links = Links()
        self.owners: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, dict[str, dict[str, Any]]] = {"tickets": {}, "deals": {}}
        self.properties = {name: catalogue.standard_properties(name) for name in catalogue.TYPES}
        self.groups = {name: dict(groups) for name, groups in catalogue.GROUPS.items()}
        self.listeners: list[Callable[[Event], None]] = []
        self._next_id = dict(catalogue.FIRST_ID) | {"owner": 41629779, "user": 9586505, "definition": 900_001}
        for name, (pipeline_id, label, stages) in catalogue.PIPELINES.items():
            self.add_pipeline(name, label, [(s, text, dict(meta)) for s, text, meta in stages], pipeline_id)
        if relay_properties:
            for name, more in catalogue.RELAY_PROPERTIES.items():
                self.properties[name] |= {one.name: one for one in more}

    def now(self) -> float:
        return time.time() + self.settings.clock_skew_s

    def next_id(self, kind: str) -> str:
        self._next_id[kind] += 1
        return str(self._next_id[kind] - 1)

    # -- definitions --

    def add_pipeline(
        self, object_type: str, label: str, stages: list[tuple[str, str, dict[str, str]]], pipeline_id: str = ""
    ) -> dict[str, Any]:
        """Stages are (id or "", label, metadata)."""
        at = iso(self.now())
        made: dict[str, Any] = {
            "id": pipeline_id or self.next_id("definition"),
            "label": label,
            "displayOrder": len(self.pipelines[object_type]),
            "stages": [],
            "createdAt": at,
            "updatedAt": at,
            "archived": False,
        }
        self.pipelines[object_type][made["id"]] = made
        for stage_id, text, metadata in stages:
            self.add_stage(made, text, metadata, stage_id)
        return made

    def add_stage(
        self, pipeline: dict[str, Any], label: str, metadata: Mapping[str, str], stage_id: str = ""
    ) -> dict[str, Any]:
        at = iso(self.now())
        known = dict(metadata)
        if known.get("ticketState"):
            known.setdefault("isClosed", "true" if known["ticketState"] == "CLOSED" else "false")
        if "probability" in known:
            known.setdefault("isClosed", "true" if float(known["probability"]) in {0.0, 1.0} else "false")
        stage = {
            "id": stage_id or self.next_id("definition"),
            "label": label,
            "displayOrder": len(pipeline["stages"]),
            "metadata": known,
            "createdAt": at,
            "updatedAt": at,
            "archived": False,
        }
        pipeline["stages"].append(stage)
        return stage

    def stage(self, object_type: str, stage_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """(pipeline, stage) by the stage's id."""
        for pipeline in self.pipelines.get(object_type, {}).values():
            for stage in pipeline["stages"]:
                if stage["id"] == stage_id:
                    return pipeline, stage
        return None

    def add_owner(self, email: str, *, kind: str = "PERSON", archived: bool = False, name: str = "") -> dict[str, Any]:
        at = iso(self.now())
        user_id = int(self.next_id("user"))
        owner: dict[str, Any] = {
            "id": self.next_id("owner"),
            "type": kind,
            "createdAt": at,
            "updatedAt": at,
            "archived": archived,
        }
        if kind == "PERSON":
            first, _, last = (name or email.partition("@")[0].title()).partition(" ")
            owner |= {"firstName": first, "lastName": last}
            owner |= {"userId": None if archived else user_id, "userIdIncludingInactive": user_id}
        if email:
            owner["email"] = email
        self.owners[owner["id"]] = owner
        return owner

    # -- records --

    def find(self, object_type: str, key: str, id_property: str = "", *, archived: bool = False) -> Record:
        """By id (merged ones answer with the survivor) or by a unique property; 404 otherwise."""
        known: dict[str, Record] = self.records[object_type]
        if id_property and id_property != "hs_object_id":
            self.check_id_property(object_type, id_property)
            record_id = self.holder(object_type, id_property, key)
            if record_id is None and archived:
                record_id = next((r.id for r in known.values() if r.properties.get(id_property) == key), None)
        else:
            record_id = self.merged[object_type].get(key, key)
        record = known.get(record_id) if record_id is not None else None
        if record is None or record.archived is not archived:
            raise ApiError(404, "resource not found", "OBJECT_NOT_FOUND", context={"id": [key]})
        return record

    def check_id_property(self, object_type: str, name: str) -> None:
        defined = self.properties[object_type].get(name)
        if defined is None or not defined.is_unique:
            raise ApiError(400, f"{name} is not a unique property of {object_type}", context={"propertyName": [name]})

    @staticmethod
    def unique_form(value: str) -> str:
        return value.strip().lower()

    def holder(self, object_type: str, name: str, value: str) -> str | None:
        """The id of the record that has this unique value; a contact's further addresses count too."""
        wanted = self.unique_form(value)
        found = self.unique.get((object_type, name), {}).get(wanted)
        if found is None and (object_type, name) == ("contacts", "email"):
            for record in self.records["contacts"].values():
                more = record.properties.get("hs_additional_emails", "").lower()
                if more and wanted in more.split(";") and not record.archived:
                    return record.id
        return found

    def create(self, object_type: str, values: Mapping[str, str], source: Source = API) -> Record:
        """Values are taken as they are: `writing.check` comes before, for calls from outside."""
        at = self.now()
        record = Record(object_type, self.next_id(object_type), at, at)
        self.records[object_type][record.id] = record
        fixed = {"hs_object_id": record.id, catalogue.CREATED[object_type]: iso(at)}
        if object_type in catalogue.STAGE_PROPERTIES:
            pipeline, _ = catalogue.STAGE_PROPERTIES[object_type]
            fixed[pipeline] = next(iter(self.pipelines[object_type]))
        self.write(record, fixed | dict(values), source)
        if object_type == "tickets":
            self.tell(Event("ticket.creation", record.id, at, source))
        return record

    def write(self, record: Record, values: Mapping[str, str], source: Source = API) -> None:
        """New values with their history; '' clears."""
        at = self.now()
        derived = self.derived(record, values)
        for name, value in {**values, **derived}.items():
            before = record.properties.get(name, "")
            if value == before:
                continue
            self._keep(record, name, before, value)
            record.history.setdefault(name, []).insert(0, Change(value, at, source))
            if record.type == "tickets":
                self.tell(Event("ticket.propertyChange", record.id, at, source, name, value))
        self.touch(record, at)

    def touch(self, record: Record, at: float | None = None) -> None:
        """It changed: modification date and the search index's next version."""
        record.updated_at = max(at or self.now(), record.updated_at)
        record.properties[catalogue.MODIFIED[record.type]] = iso(record.updated_at)
        record.versions.append((time.monotonic(), dict(record.properties), record.archived))

    def _keep(self, record: Record, name: str, before: str, value: str) -> None:
        defined = self.properties[record.type].get(name)
        if defined is not None and defined.is_unique:
            index = self.unique.setdefault((record.type, name), {})
            if index.get(self.unique_form(before)) == record.id:
                del index[self.unique_form(before)]
            if value:
                index[self.unique_form(value)] = record.id
        if value:
            record.properties[name] = value
        else:
            record.properties.pop(name, None)

    def derived(self, record: Record, values: Mapping[str, str]) -> dict[str, str]:
        """Read-only properties that follow from others."""
        if record.type not in catalogue.STAGE_PROPERTIES:
            return {}
        found = self.stage(record.type, values.get(catalogue.STAGE_PROPERTIES[record.type][1], ""))
        if found is None or not self.settings.tells_is_closed:
            return {}
        metadata = found[1]["metadata"]
        is_closed = metadata.get("isClosed") == "true"
        derived = {"hs_is_closed": str(is_closed).lower()}
        if record.type == "deals":
            is_won = is_closed and float(metadata.get("probability", "0")) == 1.0
            derived["hs_is_closed_won"] = str(is_won).lower()
        return derived

    def archive(self, record: Record, source: Source = API) -> None:
        """Into the recycling bin; its unique values are free again."""
        record.archived_at = self.now()
        self._free(record)
        self.touch(record)
        if record.type == "tickets":
            self.tell(Event("ticket.deletion", record.id, record.archived_at, source))

    def _free(self, record: Record) -> None:
        """Others may have its unique values."""
        for name, value in record.properties.items():
            index = self.unique.get((record.type, name), {})
            if index.get(self.unique_form(value)) == record.id:
                del index[self.unique_form(value)]

    def restore(self, record: Record) -> None:
        """Out of the recycling bin, within HubSpot's 90 days."""
        record.archived_at = None
        for defined in self.properties[record.type].values():
            value = record.properties.get(defined.name, "")
            if defined.is_unique and value:
                self.unique.setdefault((record.type, defined.name), {}).setdefault(self.unique_form(value), record.id)
        self.touch(record)
        if record.type == "tickets":
            self.tell(Event("ticket.restore", record.id, record.updated_at, API))

    def merge(self, object_type: str, keep: str, lose: str, source: Source) -> Record:
        """``lose`` becomes part of ``keep``: its id goes on answering with the survivor."""
        survivor, loser = self.find(object_type, keep), self.find(object_type, lose)
        values = {k: v for k, v in loser.properties.items() if not survivor.properties.get(k)}
        for kind, name, more, joined in _ADDED_BY_MERGE:
            if object_type == kind and loser.properties.get(name) and survivor.properties.get(name):
                parts = [survivor.properties.get(more, ""), loser.properties[name], loser.properties.get(more, "")]
                values[more] = joined.join(part for part in parts if part)
        merged = [survivor.properties.get("hs_merged_object_ids", ""), loser.id]
        values["hs_merged_object_ids"] = ";".join(part for part in merged if part)
        self._free(loser)
        del self.records[object_type][loser.id]
        for old, new in list(self.merged[object_type].items()):
            if new == loser.id:
                self.merged[object_type][old] = survivor.id
        self.merged[object_type][loser.id] = survivor.id
        self.links.move((object_type, loser.id), (object_type, survivor.id))
        self.write(survivor, values, source)
        if object_type == "tickets":
            self.tell(Event("ticket.merge", survivor.id, survivor.updated_at, source))
        return survivor

    def indexed(self, object_type: str) -> Iterator[tuple[Record, dict[str, str]]]:
        """The records as the search index knows them now, archived ones left out."""
        horizon = time.monotonic() - self.settings.search_lag_s
        for record in self.records[object_type].values():
            versions = record.versions
            while len(versions) > 1 and versions[1][0] <= horizon:
                versions.popleft()
            if versions and versions[0][0] <= horizon and not versions[0][2]:
                yield record, versions[0][1]

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def defined(self, object_type: str, name: str) -> Property | None:
        return self.properties[object_type].get(name)
