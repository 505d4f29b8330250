"""HubSpot's paths, dated or legacy (CRM_FACTS section 0 and 1).

Every path here stands in the OpenAPI descriptions with the method it is used with; a test compares. Kinds of objects
are written in the plural: ``companies``, ``contacts``, ``deals``, ``tickets``, ``emails``, ``notes``.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

__all__ = ["LEGACY", "Paths", "family", "is_search", "is_version", "template"]

LEGACY: Final = "legacy"
_LEGACY_TOO = frozenset({LEGACY, "v3", "v4"})
_DATED = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")

_ONE_OF = {
    "company": "companies",
    "contact": "contacts",
    "deal": "deals",
    "ticket": "tickets",
    "email": "emails",
    "note": "notes",
}
_KINDS = frozenset(_ONE_OF.values())
_AREAS = frozenset({"owners", "pipelines", "properties", "account-info"})
_VERBS = frozenset({"search", "batch", "read", "create", "update", "upsert", "archive", "default", "associate"})
_PARTS = frozenset({"crm", "objects", "associations", "details", "labels", "groups", "stages", "v3", "v4"})
_WORDS = _KINDS | _AREAS | _VERBS | _PARTS | _ONE_OF.keys()


def is_version(text: str) -> bool:
    """Whether `Paths` takes it: year and month, or ``legacy`` (``v3`` and ``v4`` mean the same)."""
    return text in _LEGACY_TOO or _DATED.fullmatch(text) is not None


def _segment(identifier: str) -> str:
    """An id as one path segment, everything quoted that could end it.

    Raises:
        ValueError: Empty or made of dots: such a path would name something else.
    """
    if not identifier.strip("."):
        raise ValueError(f"{identifier!r} is no id for a path")
    return quote(identifier, safe="")


class Paths:
    """The paths of one API version; each method names where, and the docstring with which methods.

    Args:
        api_version: ``2026-03`` ... for dated paths, ``legacy`` for v3 and v4.

    Raises:
        ValueError: Neither of these.
    """

    def __init__(self, api_version: str) -> None:
        if not is_version(api_version):
            raise ValueError(f"{api_version!r} is neither a version like 2026-03 nor {LEGACY}")
        is_legacy = api_version in _LEGACY_TOO
        self.api_version = api_version
        self._objects = "/crm/v3/objects" if is_legacy else f"/crm/objects/{api_version}"
        # Of associations only v4 knows labels and several companies; they moved under objects and beside them.
        self._linked_objects = "/crm/v4/objects" if is_legacy else self._objects
        self._associations = "/crm/v4/associations" if is_legacy else f"/crm/associations/{api_version}"
        self._owners = "/crm/v3/owners" if is_legacy else f"/crm/owners/{api_version}"
        self._pipelines = "/crm/v3/pipelines" if is_legacy else f"/crm/pipelines/{api_version}"
        self._properties = "/crm/v3/properties" if is_legacy else f"/crm/properties/{api_version}"
        self._account = "/account-info/v3" if is_legacy else f"/account-info/{api_version}"

    def objects(self, kind: str) -> str:
        """GET lists, POST makes one."""
        return f"{self._objects}/{_segment(kind)}"

    def record(self, kind: str, identifier: str) -> str:
        """GET, PATCH, DELETE one, by id or (with ``idProperty``) by the value of a unique property."""
        return f"{self.objects(kind)}/{_segment(identifier)}"

    def search(self, kind: str) -> str:
        """POST; five a second for the whole account, lags behind writes."""
        return f"{self.objects(kind)}/search"

    def batch_read(self, kind: str) -> str:
        """POST, at most 100 ids."""
        return f"{self.objects(kind)}/batch/read"

    def associations(self, kind: str, identifier: str, to_kind: str) -> str:
        """GET what one record is associated with."""
        return f"{self._linked_objects}/{_segment(kind)}/{_segment(identifier)}/associations/{_segment(to_kind)}"

    def associate(self, kind: str, identifier: str, to_kind: str, to_identifier: str) -> str:
        """PUT with labels (they replace the old ones), DELETE."""
        return f"{self.associations(kind, identifier, to_kind)}/{_segment(to_identifier)}"

    def associate_default(self, kind: str, identifier: str, to_kind: str, to_identifier: str) -> str:
        """PUT without a body: associated, no label."""
        return (
            f"{self._linked_objects}/{_segment(kind)}/{_segment(identifier)}/associations/default"
            f"/{_segment(to_kind)}/{_segment(to_identifier)}"
        )

    def associations_batch_read(self, kind: str, to_kind: str) -> str:
        """POST, at most 1,000 ids."""
        return f"{self._associations}/{_segment(kind)}/{_segment(to_kind)}/batch/read"

    def associations_batch_default(self, kind: str, to_kind: str) -> str:
        """POST, at most 2,000 pairs."""
        return f"{self._associations}/{_segment(kind)}/{_segment(to_kind)}/batch/associate/default"

    def association_labels(self, kind: str, to_kind: str) -> str:
        """GET the labels and type ids there are."""
        return f"{self._associations}/{_segment(kind)}/{_segment(to_kind)}/labels"

    def owners(self) -> str:
        """GET lists the owners."""
        return self._owners

    def owner(self, owner_id: str) -> str:
        """GET one owner."""
        return f"{self._owners}/{_segment(owner_id)}"

    def pipelines(self, kind: str) -> str:
        """GET lists, POST makes one."""
        return f"{self._pipelines}/{_segment(kind)}"

    def pipeline(self, kind: str, pipeline_id: str) -> str:
        """GET one with its stages."""
        return f"{self.pipelines(kind)}/{_segment(pipeline_id)}"

    def stages(self, kind: str, pipeline_id: str) -> str:
        """GET lists, POST makes one."""
        return f"{self.pipeline(kind, pipeline_id)}/stages"

    def properties(self, kind: str) -> str:
        """GET lists definitions, POST makes one."""
        return f"{self._properties}/{_segment(kind)}"

    def property_(self, kind: str, name: str) -> str:
        """GET one definition."""
        return f"{self.properties(kind)}/{_segment(name)}"

    def property_groups(self, kind: str) -> str:
        """GET lists, POST makes one."""
        return f"{self.properties(kind)}/groups"

    def account(self) -> str:
        """GET the account's details (time zone, portal id): the cheapest check of a token."""
        return f"{self._account}/details"


def template(path: str) -> str:
    """The path with every id masked as ``{id}``: what logs and errors name, and what calls are counted by."""
    return "/".join(segment if _is_word(segment) else "{id}" for segment in path.split("/"))


def _is_word(segment: str) -> bool:
    return not segment or segment in _WORDS or _DATED.fullmatch(segment) is not None


def is_search(path: str) -> bool:
    """Whether the call counts against the account's searches."""
    return path.endswith("/search")


def family(method: str, path: str) -> str:
    """What one scope opens: ``tickets.read``, ``contacts.write``, ``tickets-companies.write``, ``owners.read``.

    A 403 for one of them says nothing about the others. Definitions (properties, pipelines) are families of their own.
    """
    names = [_ONE_OF.get(name, name) for name in map(unquote, path.split("/"))]
    kinds = [name for name in names if name in _KINDS]
    area = next((name for name in names if name in _AREAS), "")
    subject = "-".join(filter(None, [area, *kinds])) or "other"
    reads = method == "GET" or path.endswith(("/search", "/batch/read"))
    return f"{subject}.{'read' if reads else 'write'}"
