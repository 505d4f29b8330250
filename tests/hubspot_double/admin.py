"""What tests and the demo ask of the double itself: ``/_double/NAME``, JSON in and out, no token, no limits.

GET ``state owners log counters violations faults settings webhook_sent webhook_waiting`` and, for people, ``board``;
POST the rest, arguments as a JSON object (`DoubleClient` has a method for each). What is wrong with a command is said
with a 400 and ``{"error": ...}``.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

from hubspot_double import catalogue, seeding
from hubspot_double.account import Account, Record, Source, iso
from hubspot_double.app import Double
from hubspot_double.board import page
from hubspot_double.errors import ApiError
from hubspot_double.wire import Wire

__all__ = ["Admin"]


class Admin:
    """Answers for one double."""

    def __init__(self, double: Double) -> None:
        self.double = double

    @property
    def account(self) -> Account:
        return self.double.account

    async def __call__(self, wire: Wire) -> None:
        name = wire.scope["path"].removeprefix("/_double/")
        if name in {"", "board"}:
            await wire.answer(200, page(self.account).encode(), [("Content-Type", "text/html; charset=utf-8")])
            return
        body = await wire.body()
        arguments = dict(parse_qsl(wire.scope["query_string"].decode()))
        try:
            arguments |= json.loads(body) if body else {}
            do: Callable[..., Any] | None = _COMMANDS.get((wire.scope["method"], name))
            status, answer = (404, {"error": f"no {name}"}) if do is None else (200, do(self, **arguments))
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
        except ApiError as error:
            status, answer = 400, {"error": error.message}
        await wire.answer(status, json.dumps(answer).encode(), [("Content-Type", "application/json")])

    # -- looking --

    def state(self, kind: str = "tickets", archived: str = "") -> list[dict[str, Any]]:
        """All records of a type, archived ones with ``archived=1``, as `_told` shows them."""
        return [self._told(r) for r in self.account.records[kind].values() if archived or not r.archived]

    def _told(self, record: Record) -> dict[str, Any]:
        links = self.account.links
        body: dict[str, Any] = {
            "id": record.id,
            "properties": record.properties,
            "created_at": iso(record.created_at),
            "updated_at": iso(record.updated_at),
            "archived": record.archived,
            "associations": {
                to: {to_id: [kind.type_id for kind in kinds] for to_id, kinds in found.items()}
                for to in catalogue.TYPES
                if (found := links.of((record.type, record.id), to))
            },
        }
        if record.type in catalogue.STAGE_PROPERTIES:
            stage_name = catalogue.STAGE_PROPERTIES[record.type][1]
            body["stages"] = [change.json() for change in record.history.get(stage_name, ())][::-1]
        if record.type == "tickets":
            emails = self.account.records["emails"]
            body["emails"] = [emails[i].properties for i in links.of(("tickets", record.id), "emails")]
        return body

    def owners(self) -> list[dict[str, Any]]:
        return list(self.account.owners.values())

    def log(self, since: str = "0", bodies: str = "") -> list[dict[str, Any]]:
        return self.double.logged(int(since), with_bodies=bool(bodies))

    def counters(self) -> dict[str, Any]:
        return self.double.limits.counters()

    def violations(self) -> list[dict[str, Any]]:
        return self.double.violations

    def faults(self) -> list[dict[str, Any]]:
        return [fault.json() for fault in self.double.faults.all]

    def settings(self) -> dict[str, Any]:
        return asdict(self.double.settings)

    def webhook_sent(self) -> list[dict[str, Any]]:
        return self.double.webhooks.sent

    def webhook_waiting(self) -> int:
        """Events that are not delivered, nor given up."""
        return self.double.webhooks.waiting

    # -- changing --

    def set(self, **changes: Any) -> dict[str, Any]:
        self.double.settings.change(changes)
        return self.settings()

    def seed(self, **wanted: Any) -> dict[str, Any]:
        return seeding.seed(self.account, wanted)

    def fault(self, **wanted: Any) -> dict[str, Any]:
        return self.double.faults.set(wanted).json()

    def clear_faults(self, fault: int | None = None) -> dict[str, int]:
        return {"cleared": self.double.faults.clear(fault)}

    def reset_counters(self) -> dict[str, Any]:
        """Counters, limits, log and violations begin anew; the account stays."""
        self.double.limits.reset()
        self.double.log.clear()
        self.double.violations.clear()
        return self.counters()

    def webhook(self, url: str = "", secret: str = "", **more: Any) -> dict[str, Any]:
        """Where ticket events go; ``""`` turns them off. ``duplicates``, ``shuffles``, ``signs_rightly``."""
        hooks = self.double.webhooks
        hooks.url, hooks.secret = url, secret
        for name, value in more.items():
            if name not in {"duplicates", "shuffles", "signs_rightly", "retry_after_s"}:
                raise ValueError(f"webhook has no {name}")
            setattr(hooks, name, value)
        return {"url": url}

    def _hand(self) -> Source:
        user = self.double.settings.user_id
        return Source("CRM_UI", f"userId:{user}", user)

    def set_properties(self, kind: str, record: str, values: dict[str, str], source: str = "CRM_UI") -> dict[str, Any]:
        """By hand in HubSpot's screens (or ``source`` AUTOMATION_PLATFORM ...); nothing is checked."""
        found = self.account.find(kind, record)
        self.account.write(found, values, self._hand() if source == "CRM_UI" else Source(source, "25999"))
        return self._told(found)

    def hand_move(self, ticket: str, stage: str) -> dict[str, Any]:
        """Somebody moves a ticket on HubSpot's board."""
        found = self.account.stage("tickets", stage)
        if found is None:
            raise ValueError(f"no stage {stage}")
        return self.set_properties("tickets", ticket, {"hs_pipeline": found[0]["id"], "hs_pipeline_stage": stage})

    def set_owners(self, deal: str, owners: list[str], owner_property: str = "") -> dict[str, Any]:
        """The deal's owners, by address."""
        ids = [seeding.owner_id(self.account, address) for address in owners]
        values = seeding.owner_values(self.account, ids, owner_property)
        return self.set_properties("deals", deal, values)

    def delete(self, kind: str, record: str) -> dict[str, Any]:
        found = self.account.find(kind, record)
        self.account.archive(found, self._hand())
        return self._told(found)

    def restore(self, kind: str, record: str) -> dict[str, Any]:
        found = self.account.find(kind, record, archived=True)
        self.account.restore(found)
        return self._told(found)

    def merge(self, kind: str, keep: str, lose: str) -> dict[str, Any]:
        return self._told(self.account.merge(kind, keep, lose, self._hand()))

    def make(self, kind: str, values: dict[str, str], links: dict[str, list[str]] | None = None) -> dict[str, Any]:
        """A record made by hand; ``links``: type -> ids."""
        record = self.account.create(kind, values, self._hand())
        for to_type, ids in (links or {}).items():
            for to_id in ids:
                link = self.account.links.types[kind, to_type][0]
                self.account.links.add((kind, record.id), (to_type, to_id), link)
        return self._told(record)

    def owner(self, email: str, **changes: Any) -> dict[str, Any]:
        """Change an owner, or make one; ``archived``: true takes the user id away, as HubSpot does."""
        owner = self.account.owners[seeding.owner_id(self.account, email)]
        owner |= changes
        if owner["archived"]:
            owner["userId"] = None
        return owner


_LOOKS = ("state", "owners", "log", "counters", "violations", "faults", "settings", "webhook_sent", "webhook_waiting")
_CHANGES = (
    *("set", "seed", "fault", "clear_faults", "reset_counters", "webhook"),
    *("set_properties", "hand_move", "set_owners", "delete", "restore", "merge", "make", "owner"),
)
_COMMANDS: dict[tuple[str, str], Callable[..., Any]] = {("GET", name): getattr(Admin, name) for name in _LOOKS}
_COMMANDS |= {("POST", name): getattr(Admin, name) for name in _CHANGES}
