"""What the relay needs in a HubSpot account: looked up first, then made, as often as one likes (CRM_FACTS 1).

A ticket pipeline, a ticket property with unique values, and properties of deals for the second to fourth owner. A step
that cannot be done says why and leaves the others to go on.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.boards import BOARD_LABEL, Board, board_body, propose_stages, read_boards
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.pacing import Lane
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings

__all__ = ["Setup", "SetupPlan", "SetupStep", "StepState", "scopes_needed"]

_NOT_FOUND, _CONFLICT = 404, 409
_TICKET_GROUP, _DEAL_GROUP = "ticketinformation", "dealinformation"
_OUR_GROUP = "support_relay"
_LONGEST_CAUSE = 300

_DIRECTORY_SCOPES = (
    "crm.objects.companies.read",
    "crm.objects.contacts.read",
    "crm.objects.deals.read",
    "crm.objects.owners.read",
    "crm.schemas.deals.read",
    "crm.schemas.deals.write",
)
_DESK_SCOPES = ("tickets", "crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.owners.read")
_LOG_SCOPES = ("sales-email-read",)


No = CrmRefusal | CrmDown
_NO = (CrmRefusal, CrmDown)  # the account answered a moment ago: then CrmDown is about this call, a missing scope


class StepState(StrEnum):
    """What there is to do about one thing."""

    EXISTS = "exists"
    MAKE = "make"  # is missing and would be made
    MADE = "made"
    CANNOT = "cannot"


@value_class
class SetupStep:
    """One thing that the relay needs.

    Attributes:
        what: ``pipeline``, ``key_property``, ``owner_property``, ``ticket_group`` or ``deal_group``.
        name: Its internal name, or the label of a pipeline.
        why: Code of a reason (``crm_setup.WHY`` of the catalogues), "" when the state says all.
        values: For the reason's sentence; ``cause`` are HubSpot's words.
        body: What would be sent to make it.
    """

    what: str
    name: str
    state: StepState
    why: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """``what, name, state, why`` and the values beside them."""
        return {"what": self.what, "name": self.name, "state": self.state, "why": self.why, **self.values}


@value_class
class SetupPlan:
    """What is there and what is not.

    Attributes:
        board: The pipeline to keep tickets in, None when it is still to be made or cannot be.
        stages: What its stages mean; as configured where that fits, else a proposal.
        is_proposal: A person should read ``stages`` before using them.
        boards: All ticket pipelines of the account.
    """

    steps: tuple[SetupStep, ...]
    board: Board | None = None
    stages: Mapping[Stage, tuple[str, ...]] = field(default_factory=dict)
    is_proposal: bool = False
    boards: tuple[Board, ...] = ()

    @property
    def has_to_make(self) -> bool:
        """Something is missing that can be made."""
        return any(step.state is StepState.MAKE for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """JSON values: ``steps, pipeline, stages, is_proposal, pipelines``."""
        return {
            "steps": [step.to_json() for step in self.steps],
            "pipeline": self.board.id if self.board else None,
            "stages": {str(stage): list(ids) for stage, ids in self.stages.items()},
            "is_proposal": self.is_proposal,
            "pipelines": [
                {
                    "id": board.id,
                    "label": board.label,
                    "stages": [{"id": s.id, "label": s.label, "closed": s.is_closed} for s in board.stages],
                }
                for board in self.boards
            ],
        }


def scopes_needed(*, directory: bool, desk: bool, logs_mail: bool) -> tuple[str, ...]:
    """Scopes for a key with these roles (CRM_FACTS (j)); some accounts call ``tickets`` ``crm.objects.tickets.*``."""
    wanted = (
        *(_DIRECTORY_SCOPES if directory else ()),
        *(_DESK_SCOPES if desk else ()),
        *(_LOG_SCOPES if desk and logs_mail else ()),
    )
    return tuple(dict.fromkeys(wanted))


class Setup:
    """Looks up and makes.

    Args:
        directory, desk: The roles HubSpot has here; None for one that it has not.
    """

    def __init__(
        self, client: HubSpotClient, paths: Paths, directory: DirectorySettings | None, desk: DeskSettings | None
    ) -> None:
        self._client = client
        self._paths = paths
        self._directory = directory
        self._desk = desk

    async def plan(self, pipeline: str = "") -> SetupPlan:
        """What there is and what would be made; reads only. What one scope forbids leaves the rest to be told.

        Args:
            pipeline: Id of a pipeline to use; "" uses the configured one, else the one with our label, else a new one.

        Raises:
            CrmDown: HubSpot cannot be asked, or the token is refused.
        """
        await self._get(self._paths.account())
        plan = SetupPlan(())
        if self._desk is not None:
            plan = await self._plan_board(self._desk, pipeline)
            plan = _with(plan, await self._plan_key(self._desk.key_property))
        if self._directory is not None:
            plan = _with(plan, await self._plan_owners(self._directory.owner_properties))
        return plan

    async def apply(self, plan: SetupPlan) -> SetupPlan:
        """Make what is missing; the same plan as it stands afterwards. What is refused is CANNOT, with the words.

        Raises:
            CrmDown: As for `plan`; what was made stays and is found the next time.
        """
        steps: list[SetupStep] = []
        for step in plan.steps:
            if step.state is not StepState.MAKE:
                steps.append(step)
            elif step.what == "pipeline":
                made, plan = await self._make_board(step, plan)
                steps.append(made)
            else:
                steps.append(await self._make(step))
        return replace(plan, steps=tuple(steps))

    # -- the pipeline --

    async def _plan_board(self, desk: DeskSettings, pipeline: str) -> SetupPlan:
        try:
            answer = await self._get(self._paths.pipelines("tickets"))
        except _NO as exc:
            return SetupPlan((_refused("pipeline", desk.pipeline or BOARD_LABEL, exc),))
        boards = read_boards(answer)
        wanted = pipeline or desk.pipeline
        if wanted:
            board = next((one for one in boards if one.id == wanted), None)
            if board is None:
                values = {"ids": ", ".join(f"{one.id} ({one.label})" for one in boards)}
                step = SetupStep("pipeline", wanted, StepState.CANNOT, "no_such_pipeline", values)
                return SetupPlan((step,), boards=boards)
            return _reusing(board, boards, desk)
        board = next((one for one in boards if one.label.casefold() == BOARD_LABEL.casefold()), None)
        if board is not None:
            return _reusing(board, boards, desk)
        body = board_body(boards)
        return SetupPlan((SetupStep("pipeline", BOARD_LABEL, StepState.MAKE, body=body),), boards=boards)

    async def _make_board(self, step: SetupStep, plan: SetupPlan) -> tuple[SetupStep, SetupPlan]:
        """More than one pipeline needs a paid Service Hub: refused, one that is there is proposed."""
        assert self._desk is not None
        try:
            answer = await self._post(self._paths.pipelines("tickets"), step.body)
        except _NO as exc:
            there = read_boards(await self._get(self._paths.pipelines("tickets")))
            ours = next((one for one in there if one.label.casefold() == BOARD_LABEL.casefold()), None)
            board = ours or next(iter(there), None)
            if board is None:
                return _refused("pipeline", step.name, exc), replace(plan, boards=there)
            reused = _reusing(board, there, self._desk)
            if ours is not None:
                return reused.steps[0], reused
            values = {"cause": _cause(exc), "pipeline": f"{board.id} ({board.label})"}
            return SetupStep("pipeline", step.name, StepState.CANNOT, "reuse_instead", values), reused
        made = next(iter(read_boards(answer)), None)
        if made is None:
            values = {"cause": "an answer without id"}
            return SetupStep("pipeline", step.name, StepState.CANNOT, "refused", values), plan
        stages = propose_stages(made)
        return replace(step, state=StepState.MADE, values={"id": made.id}), replace(
            plan, board=made, stages=stages, is_proposal=False, boards=(*plan.boards, made)
        )

    # -- properties --

    async def _plan_key(self, name: str) -> tuple[SetupStep, ...]:
        try:
            found = await self._get(self._paths.property_("tickets", name))
        except _NO as exc:
            if _status(exc) != _NOT_FOUND:
                return (_refused("key_property", name, exc),)
        else:
            return (_key_step(name, found),)
        body = {
            "name": name,
            "label": "Relay thread key",
            "description": "Set by supportrelay: which ticket of the relay this is. Please leave it alone.",
            "type": "string",
            "fieldType": "text",
            "hasUniqueValue": True,
            "formField": False,
        }
        return await self._plan_made(
            "tickets", _TICKET_GROUP, [SetupStep("key_property", name, StepState.MAKE, body=body)]
        )

    async def _plan_owners(self, names: tuple[str, ...]) -> tuple[SetupStep, ...]:
        steps: list[SetupStep] = []
        missing: list[SetupStep] = []
        for number, name in enumerate(names, start=1):
            try:
                found = await self._get(self._paths.property_("deals", name))
            except _NO as exc:
                if _status(exc) != _NOT_FOUND:
                    steps.append(_refused("owner_property", name, exc))
                elif name == "hubspot_owner_id" or name.startswith("hs_"):
                    steps.append(SetupStep("owner_property", name, StepState.CANNOT, "not_ours_to_make"))
                else:
                    missing.append(SetupStep("owner_property", name, StepState.MAKE, body=_owner_body(name, number)))
            else:
                steps.append(_owner_step(name, found))
        return (*steps, *(await self._plan_made("deals", _DEAL_GROUP, missing)))

    async def _plan_made(self, kind: str, usual: str, missing: list[SetupStep]) -> tuple[SetupStep, ...]:
        """The steps with the group they go into: the usual one, else the first, else one of our own."""
        if not missing:
            return ()
        what = "ticket_group" if kind == "tickets" else "deal_group"
        try:
            groups = _group_names(await self._get(self._paths.property_groups(kind)))
        except _NO as exc:
            return (_refused(what, usual, exc),)
        first: tuple[SetupStep, ...] = ()
        group = usual if usual in groups else next(iter(groups), "")
        if not group:
            group = _OUR_GROUP
            first = (SetupStep(what, group, StepState.MAKE, body={"name": group, "label": BOARD_LABEL}),)
        return (*first, *(replace(step, body={**step.body, "groupName": group}) for step in missing))

    async def _make(self, step: SetupStep) -> SetupStep:
        kind = "tickets" if step.what in {"key_property", "ticket_group"} else "deals"
        is_group = step.what in {"ticket_group", "deal_group"}
        path = self._paths.property_groups(kind) if is_group else self._paths.properties(kind)
        try:
            await self._post(path, step.body)
        except _NO as exc:
            if _status(exc) != _CONFLICT:
                return _refused(step.what, step.name, exc)
            # Made by somebody else a moment ago, or put into the trash with its name: only looking tells.
            return replace(step, state=StepState.EXISTS) if is_group else await self._again(step, kind, exc)
        return replace(step, state=StepState.MADE)

    async def _again(self, step: SetupStep, kind: str, refusal: No) -> SetupStep:
        try:
            found = await self._get(self._paths.property_(kind, step.name))
        except _NO:
            return _refused(step.what, step.name, refusal)
        return _key_step(step.name, found) if step.what == "key_property" else _owner_step(step.name, found)

    async def _get(self, path: str) -> Mapping[str, Any]:
        return (await self._client.request("GET", path, lane=Lane.BACKGROUND)).body

    async def _post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return (await self._client.request("POST", path, json=dict(body), lane=Lane.BACKGROUND)).body


def _with(plan: SetupPlan, steps: tuple[SetupStep, ...]) -> SetupPlan:
    return replace(plan, steps=(*plan.steps, *steps))


def _reusing(board: Board, boards: tuple[Board, ...], desk: DeskSettings) -> SetupPlan:
    """The plan for a pipeline that is there, with the configured meaning of its stages or a proposed one."""
    ids = {stage.id for stage in board.stages}
    is_configured = (
        board.id == desk.pipeline and bool(desk.stages) and all(one in ids for of in desk.stages.values() for one in of)
    )
    stages = dict(desk.stages) if is_configured else propose_stages(board)
    missing = [str(stage) for stage in (Stage.NEW, Stage.WAITING, Stage.CLOSED) if not stages.get(stage)]
    if missing:
        values = {"id": board.id, "missing": ", ".join(missing)}
        step = SetupStep("pipeline", board.label, StepState.CANNOT, "too_few_stages", values)
        return SetupPlan((step,), boards=boards)
    step = SetupStep("pipeline", board.label, StepState.EXISTS, values={"id": board.id})
    is_ours = [stage.label for stage in board.stages] == ["NEW", "対応中", "CLOSED"]
    return SetupPlan((step,), board, stages, is_proposal=not (is_configured or is_ours), boards=boards)


def _key_step(name: str, found: Mapping[str, Any]) -> SetupStep:
    if not reading.is_true(found.get("hasUniqueValue")):
        return SetupStep("key_property", name, StepState.CANNOT, "not_unique")
    if reading.text(found, "type") not in {"", "string"}:
        return SetupStep("key_property", name, StepState.CANNOT, "not_text", {"type": reading.text(found, "type")})
    return SetupStep("key_property", name, StepState.EXISTS)


def _owner_step(name: str, found: Mapping[str, Any]) -> SetupStep:
    refers = reading.text(found, "referencedObjectType").upper()
    if refers not in {"", "OWNER"} or reading.text(found, "type") not in {"", "enumeration"}:
        return SetupStep("owner_property", name, StepState.CANNOT, "not_owners")
    return SetupStep("owner_property", name, StepState.EXISTS)


def _owner_body(name: str, number: int) -> dict[str, Any]:
    """CRM_FACTS (c): the value is an owner's id."""
    return {
        "name": name,
        "label": f"Support owner {number}",
        "description": "Gets this customer's mail from supportrelay besides the deal owner.",
        "type": "enumeration",
        "fieldType": "select",
        "externalOptions": True,
        "referencedObjectType": "OWNER",
        "formField": False,
    }


def _group_names(body: Any) -> list[str]:
    return [
        name
        for one in reading.results(body)
        if (name := reading.text(one, "name")) and not reading.is_true(one.get("archived"))
    ]


def _refused(what: str, name: str, refusal: No) -> SetupStep:
    return SetupStep(what, name, StepState.CANNOT, "refused", {"cause": _cause(refusal)})


def _cause(refusal: No) -> str:
    return reading.printable(refusal.cause, _LONGEST_CAUSE)


def _status(refusal: No) -> int:
    """0 when it is no answer of the account itself: a scope is missing, nobody answers."""
    return refusal.http_status if isinstance(refusal, CrmRefusal) else 0
