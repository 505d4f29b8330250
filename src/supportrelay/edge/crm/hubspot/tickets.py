"""HubSpot's ticket records in our terms (CRM_FACTS (e)); pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from supportrelay.core.outside import DeskMove, DeskTicket, Mover
from supportrelay.core.ticket import Stage
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.settings import DeskSettings

__all__ = ["STAGE", "TICKET_PROPERTIES", "TicketReading", "mover"]

PIPELINE, STAGE, MODIFIED = "hs_pipeline", "hs_pipeline_stage", "hs_lastmodifieddate"
TICKET_PROPERTIES = (PIPELINE, STAGE, "subject", MODIFIED)

# Words of ``sourceType`` in a property's history, from the SDKs that HubSpot publishes.
_HANDS = ("CRM_UI", "MOBILE")
_PROGRAMS = frozenset(
    {
        "API",
        "BATCH_UPDATE",
        "EXTENSION",
        "IMPORT",
        "INTEGRATION",
        "INTEGRATIONS_PLATFORM",
        "INTEGRATIONS_SYNC",
        "MIGRATION",
        "PORTAL_OBJECT_SYNC",
        "SALESFORCE",
    }
)
_AUTOMATION = frozenset(
    {
        "AI_GROUP",
        "AUTOMATION_JOURNEY",
        "AUTOMATION_PLATFORM",
        "BOT",
        "BREEZE_AGENT",
        "CALCULATED",
        "CRM_PROCESSES_PLATFORM",
        "CUSTOMER_AGENT",
        "HELP_DESK_AI",
        "INTERNAL_PROCESSING",
        "PIPELINE_SETTINGS",
        "PRIMARY_AUTOMATION",
        "PROSPECTING_AGENT",
        "SEQUENCES",
        "WORKFLOWS",
        "WORKFLOW_CONTACT_DELETE_ACTION",
    }
)


def mover(entry: reading.Json) -> Mover:
    """Who wrote an entry of a property's history.

    Places where both a person and HubSpot itself may act (help desk, Slack, conversations ...) count as a person's when
    a user is named; programs name one too, the person who made their token, and stay programs.
    """
    source = reading.text(entry, "sourceType").upper()
    if source.startswith(_HANDS):
        return Mover.PERSON
    if source in _PROGRAMS:
        return Mover.PROGRAM
    if source in _AUTOMATION:
        return Mover.AUTOMATION
    return Mover.PERSON if reading.record_id(entry, "updatedByUserId") else Mover.UNKNOWN


class TicketReading:
    """Reads tickets of one pipeline."""

    def __init__(self, settings: DeskSettings) -> None:
        self._settings = settings
        self._stages = {stage_id: stage for stage, ids in settings.stages.items() for stage_id in ids}

    def stage_id(self, stage: Stage) -> str:
        """The id that is written for a stage.

        Raises:
            ValueError: The configuration has none for it: a bug, the checks ask for it.
        """
        ids = self._settings.stages.get(stage, ())
        if not ids:
            raise ValueError(f"no stage id for {stage}")
        return ids[0]

    def stage(self, pipeline: str, stage_id: str) -> Stage:
        """What a stage means here; OTHER in another pipeline, though ids are unique, and for one that is not mapped."""
        if pipeline and pipeline != self._settings.pipeline:
            return Stage.OTHER
        return self._stages.get(stage_id, Stage.OTHER)

    def ticket(self, record: Any, *, written: Stage | None = None) -> DeskTicket | None:
        """The ticket of an answer, None when it holds none that can be used.

        ``written``: the stage just written, which counts when the answer does not repeat it.
        """
        external_id = reading.record_id(record)
        values = reading.properties(record)
        updated_at = _updated_at(record, values, is_write=written is not None)
        stage_id = reading.text(values, STAGE) or ("" if written is None else self.stage_id(written))
        if not external_id or not stage_id or updated_at is None:
            return None
        return DeskTicket(
            external_id=external_id,
            stage=self.stage(reading.text(values, PIPELINE), stage_id),
            stage_id=stage_id,
            updated_at=updated_at,
            moves=_moves(record),
            key=reading.text(values, self._settings.key_property),
            subject=reading.text(values, "subject"),
        )


def _updated_at(record: Any, values: reading.Json, *, is_write: bool) -> datetime | None:
    """Searches go by the property; of a write's two times, which need not agree, the later one is the write's."""
    modified = reading.instant(values.get(MODIFIED))
    if not isinstance(record, Mapping):
        return modified
    updated = reading.instant(record.get("updatedAt")) or reading.instant(record.get("createdAt"))
    if is_write and modified is not None and updated is not None:
        return max(modified, updated)
    return modified or updated


def _moves(record: Any) -> tuple[DeskMove, ...]:
    """Stage history, newest first, whatever order it came in."""
    found = []
    for entry in reading.history(record, STAGE):
        at = reading.instant(entry.get("timestamp"))
        stage_id = reading.text(entry, "value")
        if at is None or not stage_id:
            continue
        who = reading.record_id(entry, "updatedByUserId") or reading.record_id(entry, "sourceId")
        found.append(DeskMove(stage_id, at, mover(entry), reading.printable(who, 100)))
    return tuple(sorted(found, key=lambda move: move.at, reverse=True))
