"""The standard account: object types, properties, pipelines and association types (CRM_FACTS section 1)."""

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ALWAYS_READ",
    "CREATED",
    "DEFAULT_READ",
    "FIRST_ID",
    "GROUPS",
    "MODIFIED",
    "PIPELINES",
    "RELAY_PROPERTIES",
    "SINGULAR",
    "STAGE_PROPERTIES",
    "TYPES",
    "TYPE_IDS",
    "AssociationType",
    "Property",
    "association_types",
    "object_type",
    "standard_properties",
]

TYPE_IDS = {"companies": "0-2", "contacts": "0-1", "deals": "0-3", "tickets": "0-5", "emails": "0-49", "notes": "0-46"}
TYPES = tuple(TYPE_IDS)
SINGULAR = {"companies": "company"} | {name: name[:-1] for name in TYPES if name != "companies"}
FIRST_ID = {
    "companies": 11_000_000_001,
    "contacts": 22_000_000_001,
    "deals": 33_000_000_001,
    "tickets": 55_000_000_001,
    "emails": 77_000_000_001,
    "notes": 88_000_000_001,
}
CREATED = dict.fromkeys(TYPES, "createdate") | {"emails": "hs_createdate", "notes": "hs_createdate"}
MODIFIED = dict.fromkeys(TYPES, "hs_lastmodifieddate") | {"contacts": "lastmodifieddate"}
STAGE_PROPERTIES = {"tickets": ("hs_pipeline", "hs_pipeline_stage"), "deals": ("pipeline", "dealstage")}
ALWAYS_READ = {name: (CREATED[name], MODIFIED[name], "hs_object_id") for name in TYPES}
DEFAULT_READ = {
    "companies": ("name", "domain"),
    "contacts": ("email", "firstname", "lastname"),
    "deals": ("amount", "closedate", "dealname", "dealstage", "pipeline"),
    "tickets": ("content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_priority", "subject"),
    "emails": (),
    "notes": (),
}
GROUPS = {
    "companies": {"companyinformation": "Company information"},
    "contacts": {"contactinformation": "Contact information", "emailinformation": "Email information"},
    "deals": {"dealinformation": "Deal information", "deal_activity": "Deal activity"},
    "tickets": {"ticketinformation": "Ticket information", "ticket_activity": "Ticket activity"},
    "emails": {"email": "Email"},
    "notes": {"note": "Note"},
}
_BY_NAME = {name: name for name in TYPES} | {one: many for many, one in SINGULAR.items()}
_BY_NAME |= {type_id: name for name, type_id in TYPE_IDS.items()}


def object_type(name: str) -> str | None:
    """``companies`` for companies, company and 0-2; None for what is no type of ours."""
    return _BY_NAME.get(name)


@dataclass
class Property:
    """A property's definition."""

    name: str
    label: str = ""
    type: str = "string"
    field_type: str = "text"
    group: str = ""
    options: list[dict[str, Any]] = field(default_factory=list)
    is_read_only: bool = False
    is_unique: bool = False
    references_owner: bool = False
    is_hubspot_defined: bool = True
    description: str = ""
    created_at: str = "2024-01-01T00:00:00.000Z"

    @property
    def is_multi(self) -> bool:
        return self.field_type == "checkbox"

    def json(self) -> dict[str, Any]:
        """As the API shows it."""
        body: dict[str, Any] = {
            "name": self.name,
            "label": self.label or self.name,
            "type": self.type,
            "fieldType": self.field_type,
            "groupName": self.group,
            "description": self.description,
            "options": self.options,
            "hasUniqueValue": self.is_unique,
            "externalOptions": self.references_owner,
            "hidden": False,
            "formField": False,
            "calculated": False,
            "hubspotDefined": self.is_hubspot_defined,
            "archived": False,
            "displayOrder": -1,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
            "modificationMetadata": {
                "archivable": not self.is_hubspot_defined,
                "readOnlyDefinition": self.is_hubspot_defined,
                "readOnlyValue": self.is_read_only,
            },
        }
        if self.references_owner:
            body["referencedObjectType"] = "OWNER"
        return body


# name, or name:marks; r read-only, d datetime, n number, b bool, e enumeration whose values are checked elsewhere,
# o owner, m several owners, u unique, =A|B options
_STANDARD = {
    "companies": "name domain hs_additional_domains phone website industry "
    "lifecyclestage=lead|customer|opportunity|other city country hs_merged_object_ids:r numberofemployees:n",
    "contacts": "email:u firstname lastname phone jobtitle company lifecyclestage=lead|customer|opportunity|other "
    "hs_additional_emails hs_language=de|en|es|fr|ja|ko|zh hs_merged_object_ids:r associatedcompanyid:n",
    "deals": "dealname amount:n closedate:d dealstage:e pipeline:e hs_is_closed:rb hs_is_closed_won:rb description "
    "hs_all_collaborator_owner_ids:m hs_merged_object_ids:r hs_priority=low|medium|high",
    "tickets": "subject content hs_pipeline:e hs_pipeline_stage:e hs_ticket_priority=LOW|MEDIUM|HIGH|URGENT "
    "hs_ticket_category=PRODUCT_ISSUE|BILLING_ISSUE|FEATURE_REQUEST|GENERAL_INQUIRY "
    "source_type=CHAT|EMAIL|FORM|PHONE hs_merged_object_ids:r closed_date:d hs_is_closed:rb",
    "emails": "hs_timestamp:d hs_email_direction=EMAIL|INCOMING_EMAIL|FORWARDED_EMAIL "
    "hs_email_status=BOUNCED|FAILED|SCHEDULED|SENDING|SENT hs_email_subject hs_email_text hs_email_html "
    "hs_email_headers hs_attachment_ids hs_email_from_email:r hs_email_from_firstname:r hs_email_to_email:r "
    "hs_email_cc_email:r hs_email_bcc_email:r hs_email_message_id hs_email_thread_id hs_body_preview:r",
    "notes": "hs_timestamp:d hs_note_body hs_attachment_ids hs_body_preview:r",
}
_KINDS = {
    "d": ("datetime", "date"),
    "n": ("number", "number"),
    "b": ("bool", "booleancheckbox"),
    "e": ("enumeration", "select"),
}
RELAY_PROPERTIES: dict[str, tuple[Property, ...]] = {
    "tickets": (
        Property(
            "relay_thread_key",
            "Relay thread key",
            group="ticketinformation",
            is_unique=True,
            is_hubspot_defined=False,
        ),
    ),
    "deals": tuple(
        Property(
            f"relay_owner_{n}",
            f"Support owner {n}",
            type="enumeration",
            field_type="select",
            group="dealinformation",
            references_owner=True,
            is_hubspot_defined=False,
        )
        for n in (2, 3, 4)
    ),
}


def standard_properties(object_type_name: str) -> dict[str, Property]:
    """The properties every account has, by name."""
    group = next(iter(GROUPS[object_type_name]))
    words = _STANDARD[object_type_name].split()
    words += ["hubspot_owner_id:o", "hs_object_id:rn"]
    words += [f"{CREATED[object_type_name]}:rd", f"{MODIFIED[object_type_name]}:rd"]
    return {one.name: one for one in (_read(word, group) for word in words)}


def _read(word: str, group: str) -> Property:
    name, _, options = word.partition("=")
    name, _, marks = name.partition(":")
    made = Property(name, name, group=group, is_read_only="r" in marks, is_unique="u" in marks)
    for mark, (kind, field_type) in _KINDS.items():
        if mark in marks:
            made.type, made.field_type = kind, field_type
    if "o" in marks or "m" in marks:
        made.type, made.references_owner = "enumeration", True
        made.field_type = "checkbox" if "m" in marks else "select"
    if options:
        made.type, made.field_type = "enumeration", "select"
        made.options = [
            {"label": value, "value": value, "displayOrder": n, "hidden": False}
            for n, value in enumerate(options.split("|"))
        ]
    return made


PIPELINES: dict[str, tuple[str, str, tuple[tuple[str, str, dict[str, str]], ...]]] = {
    "tickets": (
        "0",
        "Support Pipeline",
        (
            ("1", "New", {"ticketState": "OPEN", "isClosed": "false"}),
            ("2", "Waiting on contact", {"ticketState": "OPEN", "isClosed": "false"}),
            ("3", "Waiting on us", {"ticketState": "OPEN", "isClosed": "false"}),
            ("4", "Closed", {"ticketState": "CLOSED", "isClosed": "true"}),
        ),
    ),
    "deals": (
        "default",
        "Sales Pipeline",
        (
            ("open", "Open", {"isClosed": "false", "probability": "0.4"}),
            ("contractsent", "Contract sent", {"isClosed": "false", "probability": "0.8"}),
            ("closedwon", "Closed won", {"isClosed": "true", "probability": "1.0"}),
            ("closedlost", "Closed lost", {"isClosed": "true", "probability": "0.0"}),
        ),
    ),
}


@dataclass(frozen=True)
class AssociationType:
    """One direction of a link; ``label`` None is the unlabelled one."""

    from_type: str
    to_type: str
    type_id: int
    inverse_id: int
    label: str | None = None

    def json(self) -> dict[str, Any]:
        return {"category": "HUBSPOT_DEFINED", "typeId": self.type_id, "label": self.label}


# from, to, id, id of the inverse, label; those marked [D] in CRM_FACTS (e), the rest follow HubSpot's published list
_ASSOCIATIONS = (
    ("tickets", "contacts", 16, 15, None),
    ("tickets", "companies", 339, 340, None),
    ("tickets", "companies", 26, 25, "Primary"),
    ("tickets", "deals", 28, 27, None),
    ("tickets", "emails", 223, 224, None),
    ("tickets", "notes", 227, 228, None),
    ("contacts", "companies", 279, 280, None),
    ("contacts", "companies", 1, 2, "Primary"),
    ("companies", "deals", 342, 341, None),
    ("companies", "deals", 6, 5, "Primary"),
    ("deals", "contacts", 3, 4, None),
    ("emails", "contacts", 198, 197, None),
    ("emails", "companies", 186, 185, None),
    ("emails", "deals", 210, 209, None),
    ("notes", "contacts", 202, 201, None),
    ("notes", "companies", 190, 189, None),
    ("notes", "deals", 214, 213, None),
)


def association_types() -> dict[tuple[str, str], list[AssociationType]]:
    """(from, to) -> the types of that direction, the unlabelled one first."""
    found: dict[tuple[str, str], list[AssociationType]] = {}
    for one, other, type_id, inverse_id, label in _ASSOCIATIONS:
        found.setdefault((one, other), []).append(AssociationType(one, other, type_id, inverse_id, label))
        found.setdefault((other, one), []).append(AssociationType(other, one, inverse_id, type_id, label))
    return found
