"""Does the account fit the configuration? Reads only, in some fifteen calls (CRM_FACTS (j))."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from supportrelay.core.crm_ports import Gate, GateState
from supportrelay.core.errors import CrmDown, CrmRefusal
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class
from supportrelay.edge.crm.hubspot import reading
from supportrelay.edge.crm.hubspot.client import HubSpotClient
from supportrelay.edge.crm.hubspot.pacing import Lane
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import DeskSettings, DirectorySettings
from supportrelay.edge.crm.hubspot.setup import Setup, SetupPlan, SetupStep, StepState

__all__ = ["AccountCheck", "Finding"]

_DIRECTORY_READS = (
    ("crm.objects.companies.read", "companies"),
    ("crm.objects.contacts.read", "contacts"),
    ("crm.objects.deals.read", "deals"),
)
_DESK_READS = (("tickets", "tickets"), ("crm.objects.contacts.read", "contacts"))
_MAIL_READS = (("sales-email-read", "emails"),)


@value_class
class Finding:
    """One thing that was looked at.

    Attributes:
        code: ``crm_check.CODE`` of the catalogues; ``step`` is one of `setup.SetupStep`.
        is_good: None: neither good nor bad, only told.
    """

    code: str
    is_good: bool | None
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """``code, ok`` and the values beside them."""
        return {"code": self.code, "ok": self.is_good, **self.values}


class AccountCheck:
    """Looks at one account.

    Args:
        directory, desk: The roles HubSpot has here, None for one that it has not.
        logs_mail: Mail is logged on tickets.
    """

    def __init__(
        self,
        client: HubSpotClient,
        paths: Paths,
        gate: Gate,
        *,
        directory: DirectorySettings | None,
        desk: DeskSettings | None,
        logs_mail: bool,
    ) -> None:
        self._client = client
        self._paths = paths
        self._gate = gate
        self._directory = directory
        self._desk = desk
        self._logs_mail = logs_mail

    async def run(self) -> list[Finding]:
        """Everything that was found, in the order of looking; ends early when the account cannot be asked at all."""
        findings = await self._gates()
        account = await self._account()
        findings.append(account)
        if not account.is_good:
            return findings
        for scope, kind in dict.fromkeys(self._reads()):
            findings.append(await self._scope(scope, self._paths.objects(kind)))
        findings.append(await self._scope("crm.objects.owners.read", self._paths.owners()))
        try:
            plan = await Setup(self._client, self._paths, self._directory, self._desk).plan()
        except (CrmDown, CrmRefusal) as exc:
            return [*findings, Finding("no_answer", False, {"cause": exc.cause})]
        findings += [_of_step(step) for step in plan.steps]
        if self._desk is not None:
            findings += _board(plan, self._desk)
        return findings

    def _reads(self) -> Iterator[tuple[str, str]]:
        if self._directory is not None:
            yield from _DIRECTORY_READS
        if self._desk is not None:
            yield from _DESK_READS
            yield from _MAIL_READS if self._logs_mail else ()

    async def _gates(self) -> list[Finding]:
        """What the gates say before anything is asked. A person asks now, so a refused token is tried again."""
        states = {name: await self._gate.gate(name) for name in self._client.gate_names}
        used = sum(state.used_today for state in states.values())
        findings = [Finding("calls_today", None, {"used": used, "day": max(s.day for s in states.values())})]
        closed = {name: state for name, state in states.items() if state.closed_until is not None}
        for name, state in closed.items():
            assert state.closed_until is not None
            values = {"gate": name, "until": state.closed_until.isoformat(), "why": state.closed_why}
            findings.append(Finding("gate_closed", None, values))
        if not any(_is_pace(state) for state in closed.values()):
            await self._client.reopen()
        return findings

    async def _account(self) -> Finding:
        try:
            answer = await self._client.request("GET", self._paths.account(), lane=Lane.BACKGROUND)
        except (CrmDown, CrmRefusal) as exc:
            return Finding("no_answer", False, {"cause": exc.cause})
        portal = reading.record_id(answer.body, "portalId")
        return Finding("account", True, {"portal": portal, "zone": reading.text(answer.body, "timeZone")})

    async def _scope(self, scope: str, path: str) -> Finding:
        try:
            await self._client.request("GET", path, params={"limit": 1}, lane=Lane.BACKGROUND)
        except (CrmDown, CrmRefusal) as exc:
            return Finding("scope_missing", False, {"scope": scope, "cause": exc.cause})
        return Finding("scope", True, {"scope": scope})


def _is_pace(state: GateState) -> bool:
    """Closed because too much was asked; nobody's repair opens that."""
    return ": 429 " in state.closed_why or ": 477 " in state.closed_why


def _of_step(step: SetupStep) -> Finding:
    return Finding("step", step.state is StepState.EXISTS, step.to_json())


def _board(plan: SetupPlan, desk: DeskSettings) -> Iterator[Finding]:
    if not desk.pipeline or not desk.stages:
        yield Finding("not_set_up", False)
        return
    board = next((one for one in plan.boards if one.id == desk.pipeline), None)
    if board is None:
        return  # told as a step
    there = {stage.id: stage for stage in board.stages}
    missing = [(stage, one) for stage, ids in desk.stages.items() for one in ids if one not in there]
    for stage, one in missing:
        known = ", ".join(f"{s.id} ({s.label})" for s in board.stages)
        yield Finding("no_such_stage", False, {"stage": str(stage), "id": one, "known": known})
    if not missing:
        meanings = {str(stage): ", ".join(there[one].label for one in ids) for stage, ids in desk.stages.items()}
        yield Finding("stages", True, {name.lower(): meanings.get(name, "") for name in map(str, _SHOWN)})
    other = [s.label for s in board.stages if not any(s.id in ids for ids in desk.stages.values())]
    if other:
        yield Finding("other_stages", None, {"labels": ", ".join(other)})


_SHOWN = (Stage.NEW, Stage.WAITING, Stage.CLOSED)
