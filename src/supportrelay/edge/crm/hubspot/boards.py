"""Ticket pipelines as HubSpot has them, and what their stages would mean here (CRM_FACTS (g)).

Stages are known by their ids: labels are words of people, who change them. Only a proposal looks at words.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading

__all__ = ["BOARD_LABEL", "Board", "BoardStage", "board_body", "propose_stages", "read_boards"]

BOARD_LABEL = "Support relay"
"""Of the pipeline that we make."""
_LONGEST_LABEL = 80
_LATE = 1_000_000  # a stage without a place stands last

_STAGES = (("NEW", "OPEN"), ("対応中", "OPEN"), ("CLOSED", "CLOSED"))
_WORDS: Mapping[Stage, tuple[str, ...]] = {
    Stage.NEW: ("new", "新規", "未対応", "未着手", "受付", "受信", "open", "オープン", "to do", "incoming"),
    Stage.WAITING: (
        "waiting",
        "対応中",
        "返信待",
        "回答待",
        "顧客待",
        "保留",
        "pending",
        "in progress",
        "進行中",
        "hold",
    ),
    Stage.CLOSED: ("closed", "クローズ", "完了", "解決", "対応済", "終了", "resolved", "solved", "done"),
}


@value_class
class BoardStage:
    """A stage of a pipeline.

    Attributes:
        is_closed: HubSpot counts tickets in it as closed; None: it does not say.
    """

    id: str
    label: str
    is_closed: bool | None = None


@value_class
class Board:
    """A ticket pipeline, its stages in the order of the board."""

    id: str
    label: str
    stages: tuple[BoardStage, ...]


def read_boards(body: Any) -> tuple[Board, ...]:
    """The pipelines of a list, or the one of an answer, in HubSpot's order; what has no id is left out."""
    found = reading.results(body) or ([body] if reading.record_id(body) else [])
    boards = [
        (_place(one), Board(reading.record_id(one), _label(one), _stages(one)))
        for one in found
        if reading.record_id(one) and not reading.is_true(one.get("archived"))
    ]
    return tuple(board for _, board in sorted(boards, key=lambda one: one[0]))


def _stages(pipeline: Mapping[str, Any]) -> tuple[BoardStage, ...]:
    listed = pipeline.get("stages")
    rows = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    stages = [
        (_place(one), BoardStage(reading.record_id(one), _label(one), _is_closed(one.get("metadata"))))
        for one in rows
        if reading.record_id(one) and not reading.is_true(one.get("archived"))
    ]
    return tuple(stage for _, stage in sorted(stages, key=lambda one: one[0]))


def _label(record: Any) -> str:
    return reading.printable(reading.text(record, "label"), _LONGEST_LABEL)


def _place(record: Mapping[str, Any]) -> int:
    place = record.get("displayOrder")
    return place if isinstance(place, int) and not isinstance(place, bool) and place >= 0 else _LATE


def _is_closed(metadata: Any) -> bool | None:
    state = reading.text(metadata, "ticketState").upper()
    if state in {"OPEN", "CLOSED"}:
        return state == "CLOSED"
    return True if isinstance(metadata, Mapping) and reading.is_true(metadata.get("isClosed")) else None


def propose_stages(board: Board) -> dict[Stage, tuple[str, ...]]:
    """What the stages would mean here: stage -> ids, the one to write first. A stage that nothing fits is left out.

    Closed is what HubSpot counts as closed, or is called so; new is what is called so, else the first open one; every
    other open stage is WAITING, those that are called so first.
    """
    closed = [one for one in board.stages if _counts_as_closed(one)]
    rest = [one for one in board.stages if one not in closed]
    new = next((one for one in rest if _is_called(one, Stage.NEW)), None) or (
        next((one for one in rest if not _is_called(one, Stage.WAITING)), None) or next(iter(rest), None)
    )
    waiting = sorted((one for one in rest if one is not new), key=lambda one: not _is_called(one, Stage.WAITING))
    found = {
        Stage.NEW: (new.id,) if new else (),
        Stage.WAITING: tuple(one.id for one in waiting),
        Stage.CLOSED: tuple(one.id for one in sorted(closed, key=lambda one: not _is_called(one, Stage.CLOSED))),
    }
    return {stage: ids for stage, ids in found.items() if ids}


def _counts_as_closed(stage: BoardStage) -> bool:
    return _is_called(stage, Stage.CLOSED) if stage.is_closed is None else stage.is_closed


def _is_called(stage: BoardStage, meaning: Stage) -> bool:
    label = stage.label.casefold()
    return any(word in label for word in _WORDS[meaning])


def board_body(boards: Sequence[Board]) -> dict[str, Any]:
    """What makes our pipeline, behind those that are there."""
    return {
        "label": BOARD_LABEL,
        "displayOrder": len(boards),
        "stages": [
            {"label": label, "displayOrder": place, "metadata": {"ticketState": state}}
            for place, (label, state) in enumerate(_STAGES)
        ],
    }
