"""Associations between records: typed, with a direction, the inverse made with them (CRM_FACTS section 1 e)."""

import time
from collections import defaultdict

from hubspot_double import catalogue
from hubspot_double.catalogue import AssociationType

__all__ = ["Links"]

Node = tuple[str, str]  # object type, id


class Links:
    """``types`` is fixed; the links are kept both ways."""

    def __init__(self) -> None:
        self.types = catalogue.association_types()
        self._by_id = {(one, other, t.type_id): t for (one, other), ts in self.types.items() for t in ts}
        # from -> to type -> to id -> type id -> when (monotonic)
        self._kept: dict[Node, dict[str, dict[str, dict[int, float]]]] = defaultdict(lambda: defaultdict(dict))

    def type(self, from_type: str, to_type: str, type_id: int | None = None) -> AssociationType | None:
        """The unlabelled type of that direction, or the one with this id; None when it does not fit the pair."""
        if type_id is not None:
            return self._by_id.get((from_type, to_type, type_id))
        found = self.types.get((from_type, to_type))
        return found[0] if found else None

    def add(self, one: Node, other: Node, kind: AssociationType) -> None:
        """Link, with the inverse. A labelled link is an unlabelled one too; the first company is the primary one."""
        plain = self.types[one[0], other[0]][0]
        self._put(one, other, plain)
        if kind.label is None and not self._needs_primary(one, other):
            return
        primary = kind if kind.label is not None else self.types[one[0], other[0]][1]
        for company_side, record_side in ((one, other), (other, one)):
            if company_side[0] == "companies":
                self._drop_primary(record_side)
        self._put(one, other, primary)

    def _needs_primary(self, one: Node, other: Node) -> bool:
        if len(self.types[one[0], other[0]]) < 2:
            return False
        record = other if one[0] == "companies" else one
        primary = self.types[record[0], "companies"][1].type_id
        return not any(primary in types for types in self._kept[record]["companies"].values())

    def _drop_primary(self, record: Node) -> None:
        primary = self.types[record[0], "companies"][1]
        for company_id, types in self._kept[record]["companies"].items():
            if types.pop(primary.type_id, None) is not None:
                self._kept["companies", company_id][record[0]][record[1]].pop(primary.inverse_id, None)

    def _put(self, one: Node, other: Node, kind: AssociationType) -> None:
        at = time.monotonic()
        self._kept[one][other[0]].setdefault(other[1], {}).setdefault(kind.type_id, at)
        self._kept[other][one[0]].setdefault(one[1], {}).setdefault(kind.inverse_id, at)

    def remove(self, one: Node, other: Node) -> None:
        self._kept[one][other[0]].pop(other[1], None)
        self._kept[other][one[0]].pop(one[1], None)

    def of(self, one: Node, to_type: str) -> dict[str, list[AssociationType]]:
        """to id -> types, in the order in which they were made."""
        if one not in self._kept:
            return {}
        found = self._kept[one].get(to_type, {})
        return {to_id: [self._by_id[one[0], to_type, t] for t in types] for to_id, types in found.items()}

    def has(self, one: Node, to_type: str, to_id: str, before: float) -> bool:
        """Linked since before then (monotonic); for the search index."""
        if one not in self._kept:
            return False
        types = self._kept[one].get(to_type, {}).get(to_id, {})
        return any(at <= before for at in types.values())

    def move(self, old: Node, new: Node) -> None:
        """All links of a merged record."""
        for to_type, targets in self._kept.pop(old, {}).items():
            for to_id, types in targets.items():
                self._kept[to_type, to_id][old[0]].pop(old[1], None)
                for type_id in types:
                    self._put(new, (to_type, to_id), self._by_id[old[0], to_type, type_id])
