"""Many objects of HubSpot at once: batch reads and associations, in as few calls as there are."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.paths import Paths

__all__ = ["NOT_FOUND", "Link", "Records", "by_number", "listed", "living"]

NOT_FOUND = 404
_BATCH, _BATCH_WITH_HISTORY, _LINKED = 100, 50, 1000
_TOGETHER = 4  # calls under way at once; the gate paces them
_PAGES = 1000
_MERGED = "hs_merged_object_ids"
_IS_NOT_FOUND = re.compile("NOT_FOUND")
_SAYS_NOT_FOUND = re.compile(
    r"not found|(?:not|n't) exist|deleted|\bno .* associated", re.IGNORECASE
)  # without a category
_PAUSES, _LONGEST_PAUSE_S = 3, 8.0
# HUBSPOT_DEFINED, direction matters (CRM_FACTS section 1 (e)): contact -> company, deal -> company.
_PRIMARY = {("contacts", "companies"): 1, ("deals", "companies"): 5}


@value_class
class Link:
    """One association: to which object, and whether HubSpot calls it the primary one."""

    to_id: str
    is_primary: bool = False


def by_number(identifier: str) -> tuple[int, int, str]:
    """Sort key: the oldest object first, as ids count up."""
    return (0, int(identifier), "") if identifier.isascii() and identifier.isdigit() else (1, 0, identifier)


class Records:
    """Reads of one look-up. Errors of every call: `CrmDown`, `CrmRefusal`; what is not there is not in the answer.

    Args:
        seats: As many calls at once as the lane has connections, for all look-ups together.
        now: Aware, UTC.
    """

    def __init__(
        self, client: HubSpotClient, paths: Paths, lane: Lane, *, seats: asyncio.Semaphore, now: Callable[[], datetime]
    ) -> None:
        self._client = client
        self.paths = paths
        self._lane = lane
        self._seats = seats
        self._now = now
        self._has_answered = False

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The body of a GET."""
        return await self._call("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The body of a POST that only reads."""
        return await self._call("POST", path, json=body)

    async def _call(self, method: str, path: str, **what: Any) -> Any:
        """A call. Once HubSpot answers, a turn that lies ahead is waited for: what was read so far would be lost."""
        for pauses_left in range(_PAUSES, -1, -1):
            try:
                async with self._seats:
                    answer = await self._client.request(method, path, lane=self._lane, **what)
            except CrmDown as exc:
                pause_s = (exc.retry_at - self._now()).total_seconds() if exc.retry_at else _LONGEST_PAUSE_S
                if not (exc.is_closed and self._has_answered and pauses_left and pause_s < _LONGEST_PAUSE_S):
                    raise
                # A turn is booked some seconds ahead: half the way is enough to get one.
                await asyncio.sleep(max(pause_s, 0.0) / 2 + 0.01)
                continue
            self._has_answered = True
            return answer.body
        raise AssertionError("the last round returns or raises")

    async def one(self, kind: str, identifier: str, properties: Sequence[str], history: str = "") -> dict[str, Any]:
        """An object by its id, the survivor's id in it when it was merged; empty when it is gone."""
        params = {"properties": ",".join(properties)}
        if history:
            params["propertiesWithHistory"] = history
        try:
            found = await self.get(self.paths.record(kind, identifier), params)
        except CrmRefusal as exc:
            if exc.http_status == NOT_FOUND:
                return {}
            raise
        if not _is_whole(found):
            raise CrmDown(f"an answer about one of {kind} cannot be read")
        return {} if reading.is_true(found.get("archived")) else dict(found)

    async def many(
        self, kind: str, ids: Iterable[str], properties: Sequence[str], *, id_property: str = "", history: str = ""
    ) -> list[dict[str, Any]]:
        """Objects by ids, each asked for once, in no order; archived ones are left out."""
        asked = list(dict.fromkeys(ids))
        size = _BATCH_WITH_HISTORY if history else _BATCH
        chunks = [asked[at : at + size] for at in range(0, len(asked), size)]
        body: dict[str, Any] = {"properties": list(properties)}
        if history:
            body["propertiesWithHistory"] = [history]
        if id_property:
            body["idProperty"] = id_property
        found: list[dict[str, Any]] = []
        for at in range(0, len(chunks), _TOGETHER):
            answers = await asyncio.gather(
                *(
                    self._read_some(self.paths.batch_read(kind), {**body, "inputs": [{"id": one} for one in chunk]})
                    for chunk in chunks[at : at + _TOGETHER]
                )
            )
            found += [one for answer in answers for one in answer]
        return living(found)

    async def by_id(
        self, kind: str, ids: Iterable[str], properties: Sequence[str], *, history: str = "", follows: bool = True
    ) -> dict[str, dict[str, Any]]:
        """Objects by the id asked for; a merged one is its survivor, with the survivor's id in it.

        Args:
            follows: Read what a batch left out by its id: that answers with the survivor, or nothing is there.
        """
        asked = list(dict.fromkeys(ids))
        found: dict[str, dict[str, Any]] = {}
        for record in await self.many(kind, asked, [*properties, _MERGED], history=history):
            found[reading.record_id(record)] = record
            for old_id in reading.parts(reading.properties(record).get(_MERGED)):
                found.setdefault(old_id, record)
        for missing in [one for one in asked if one not in found] if follows else ():
            record = await self.one(kind, missing, properties, history)
            if reading.record_id(record):
                found[missing] = record
        return {one: found[one] for one in asked if one in found}

    async def links(
        self, kind: str, to_kind: str, ids: Iterable[str], *, most: int = 0
    ) -> tuple[dict[str, list[Link]], set[str]]:
        """Associations of each id that has any, and the ids of which more than ``most`` were left out."""
        primary = _PRIMARY.get((kind, to_kind))
        waiting = [{"id": one} for one in dict.fromkeys(ids)]
        found: dict[str, dict[str, Link]] = {}
        cut: set[str] = set()
        for _ in range(_PAGES):
            if not waiting:
                break
            inputs, waiting = waiting[:_LINKED], waiting[_LINKED:]
            answer = await self._read_some(self.paths.associations_batch_read(kind, to_kind), {"inputs": inputs})
            asked = {one["id"]: one.get("after") for one in inputs}
            for result in answer:
                from_id = reading.record_id(result.get("from"))
                if from_id not in asked:
                    continue
                here = found.setdefault(from_id, {})
                here.update((link.to_id, link) for link in _links(result, primary))
                after = reading.next_after(result)
                if most and len(here) >= most:
                    cut.update({from_id} if after or len(here) > most else ())
                elif after and after != asked[from_id]:
                    waiting.append({"id": from_id, "after": after})
        return {from_id: list(here.values())[: most or None] for from_id, here in found.items()}, cut

    async def _read_some(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The results of a batch read; nothing when none of them is there.

        A batch answers 207 with ``errors`` for what it could not read. Only "not found" means that it is not there; an
        error that does not say what it is means nothing.
        """
        try:
            answer = await self.post(path, body)
        except CrmRefusal as exc:
            if exc.http_status == NOT_FOUND:
                return []
            raise
        errors = answer.get("errors") if isinstance(answer, Mapping) else None
        for error in errors if isinstance(errors, list) else ():
            words = f"{reading.text(error, 'category')} {reading.text(error, 'subCategory')}".strip()
            told = words or reading.text(error, "message")
            if not (_IS_NOT_FOUND if words else _SAYS_NOT_FOUND).search(told):
                raise CrmDown(f"a part of a batch was not read: {reading.printable(told, 100) or 'nothing told'}")
        return listed(answer)


def listed(answer: Any) -> list[dict[str, Any]]:
    """The objects of a list.

    Raises:
        CrmDown: There is none, or something else in it. To take garbage for "nothing" would send a customer's mail
            to Allmember.
    """
    found = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise CrmDown("an answer without results")
    return found


def living(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are not archived; errors as for `listed`."""
    found = list(records)
    if not all(map(_is_whole, found)):
        raise CrmDown("an answer with a record without id or properties")
    return [one for one in found if not reading.is_true(one.get("archived"))]


def _is_whole(record: Any) -> bool:
    return bool(reading.record_id(record)) and isinstance(record.get("properties"), Mapping)


def _links(result: Mapping[str, Any], primary: int | None) -> list[Link]:
    entries = result.get("to")
    found = []
    for entry in entries if isinstance(entries, list) else (None,):
        to_id = reading.record_id(entry, "toObjectId")
        if not to_id:
            raise CrmDown("an association to nothing")
        found.append(Link(to_id, _is_primary(entry, primary)))
    return found


def _is_primary(entry: Any, primary: int | None) -> bool:
    types = entry.get("associationTypes")
    return any(
        (reading.text(one, "category") == "HUBSPOT_DEFINED" and reading.record_id(one, "typeId") == str(primary))
        or reading.text(one, "label").casefold() == "primary"
        for one in (types if isinstance(types, list) else ())
    )
