"""Deals of HubSpot: name, state, owners, and when they moved (CRM_FACTS section 1 (b), (c))."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from supportrelay.core.directory import Deal, DealState
from supportrelay.core.errors import CrmRefusal
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.owners import OwnerBook
from supportrelay.edge.crm.hubspot.records import NOT_FOUND, Records, listed
from supportrelay.edge.crm.hubspot.settings import DirectorySettings

__all__ = ["Deals", "StageTable"]

_STAGE = "dealstage"
_PROPERTIES = (
    "dealname",
    _STAGE,
    "pipeline",
    "hs_is_closed",
    "hs_is_closed_won",
    "createdate",
    "hs_lastmodifieddate",
    "hs_v2_date_entered_current_stage",
)
_TABLE_FOR = timedelta(minutes=10)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Record = Mapping[str, Any]


class StageTable:
    """What the stages of the deal pipelines mean; asked for when a deal does not say itself whether it is closed."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._states: dict[str, DealState] = {}
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def prepare(self, records: Records) -> None:
        """Have the table ready, no older than ten minutes."""
        async with self._reading:
            if self._read_at is not None and self._now() - self._read_at < _TABLE_FOR:
                return
            asked_at = self._now()
            try:
                answer = await records.get(records.paths.pipelines("deals"))
            except CrmRefusal as exc:
                if exc.http_status != NOT_FOUND:
                    raise
                answer = {"results": []}
            self._states = dict(_states(answer))
            self._read_at = asked_at

    def state(self, values: Record) -> DealState:
        """State of a deal by its stage; OPEN when nobody knows the stage: an owner too many is better than none."""
        stage = reading.text(values, _STAGE)
        found = self._states.get(f"{reading.text(values, 'pipeline')}/{stage}") or self._states.get(stage)
        return found or DealState.OPEN


def _states(answer: Any) -> Iterable[tuple[str, DealState]]:
    for pipeline in listed(answer):
        stages = pipeline.get("stages")
        for stage in stages if isinstance(stages, list) else ():
            number = reading.record_id(stage)
            if not number:
                continue
            state = _state_of_stage(stage.get("metadata"))
            yield number, state
            yield f"{reading.record_id(pipeline)}/{number}", state


def _state_of_stage(metadata: Any) -> DealState:
    # Neither label nor probability says that a deal is closed: HubSpot's own sample has an open "Closed lost" with 0.8.
    if not isinstance(metadata, Mapping) or not reading.is_true(metadata.get("isClosed")):
        return DealState.OPEN
    try:
        return DealState.WON if float(metadata.get("probability", 0)) >= 1 else DealState.LOST
    except (TypeError, ValueError):
        return DealState.LOST


class Deals:
    """Reads deals.

    Args:
        settings: Which properties hold owners, in order.
        owners, stages: Shared.
    """

    def __init__(self, settings: DirectorySettings, owners: OwnerBook, stages: StageTable) -> None:
        self._owner_properties = settings.owner_properties
        self._properties = list(dict.fromkeys([*_PROPERTIES, *settings.owner_properties]))
        self._owners = owners
        self._stages = stages

    async def read(self, records: Records, ids: Iterable[str], *, follows: bool = False) -> dict[str, Deal]:
        """Deals by the id asked for, without a company; a merged one has the survivor's id in it. No call for none.

        ``follows`` as for `Records.by_id`.
        """
        found = await records.by_id("deals", ids, self._properties, history=_STAGE, follows=follows)
        return await self._deals(records, found) if found else {}

    async def _deals(self, records: Records, found: Mapping[str, Record]) -> dict[str, Deal]:
        values = {asked: reading.properties(record) for asked, record in found.items()}
        if any(_says_itself(one) is None for one in values.values()):
            await self._stages.prepare(records)
        await self._owners.prepare(records, {owner for one in values.values() for owner in self._owner_ids(one)})
        return {asked: self._deal(found[asked], one) for asked, one in values.items()}

    def _deal(self, record: Record, values: Record) -> Deal:
        number = reading.record_id(record)
        owners, gone = self._owners.reachable(self._owner_ids(values))
        created_at = reading.instant(values.get("createdate")) or reading.instant(record.get("createdAt")) or _LONG_AGO
        return Deal(
            id=number,
            name=reading.text(values, "dealname") or number,
            company_id="",
            state=_says_itself(values) or self._stages.state(values),
            owners=owners,
            moved_at=_moved_at(record, values) or created_at,
            created_at=created_at,
            owners_gone=gone,
        )

    def _owner_ids(self, values: Record) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(owner for name in self._owner_properties for owner in reading.parts(values.get(name)))
        )


def _says_itself(values: Record) -> DealState | None:
    """State by the deal's own properties, None when they do not say."""
    closed, won = reading.text(values, "hs_is_closed").lower(), reading.text(values, "hs_is_closed_won").lower()
    if closed == "false":
        return DealState.OPEN
    if closed != "true":
        return None
    return DealState.WON if won == "true" else DealState.LOST


def _moved_at(record: Record, values: Record) -> datetime | None:
    moves = [at for entry in reading.history(record, _STAGE) if (at := reading.instant(entry.get("timestamp")))]
    return (
        (max(moves) if moves else None)
        or reading.instant(values.get("hs_v2_date_entered_current_stage"))
        or reading.instant(values.get("hs_lastmodifieddate"))
    )
