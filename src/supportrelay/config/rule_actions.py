"""``then`` of a rule: the actions as YAML has them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from supportrelay.config.rule_conditions import RulePart, Truth
from supportrelay.config.scalars import Address, Text
from supportrelay.core.decision import Disposition
from supportrelay.core.rules import Actions, Priority, Route, RouteKind
from supportrelay.core.ticket import Stage, parse_stage

__all__ = ["ActionsConfig", "Addresses", "RouteConfig", "TicketConfig", "as_actions"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _only_true(value: Any) -> Any:
    if value is not True:
        raise ValueError("can only be true; leave it out otherwise")
    return value


def _stage(value: Any) -> Any:
    if isinstance(value, Stage):
        return value
    try:
        return parse_stage(str(value))
    except ValueError:
        raise ValueError("must be one of NEW, WAITING (対応中) and CLOSED") from None


_BANNERS = {"true": "full", "yes": "full", "on": "full", "false": "none", "no": "none", "off": "none"}


def _banner(value: Any) -> Any:
    text = str(value).strip().lower()
    text = _BANNERS.get(text, text if text in {"full", "none"} else str(value).strip())
    if not text or not all(c.isalnum() or c in "-_" for c in text):
        raise ValueError("must be full, none or the name of a banner template")
    return text


OnlyTrue = Annotated[bool, BeforeValidator(_only_true)]
StageOfRule = Annotated[Stage, BeforeValidator(_stage)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_as_list), Field(min_length=1)]


class RouteConfig(RulePart):
    """Who gets the copies instead of the owners; one of these."""

    owners: OnlyTrue | None = Field(None, description="The owners, as without the rule.")
    allmember: OnlyTrue | None = Field(None, description="Everybody: the support address's allmember.")
    team: Text | None = Field(None, description="A team of the setting 'teams'.")
    addresses: Addresses | None = Field(None, description="These addresses.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "RouteConfig":
        if sum(1 for name in type(self).model_fields if getattr(self, name) is not None) != 1:
            raise ValueError("must be one of owners, allmember, {team: NAME} and {addresses: [...]}")
        return self

    def to_core(self) -> Route:
        """The plain value."""
        if self.team is not None:
            return Route(RouteKind.TEAM, team=self.team)
        if self.addresses is not None:
            return Route(RouteKind.ADDRESSES, addresses=tuple(dict.fromkeys(self.addresses)))
        return Route(RouteKind.OWNERS if self.owners else RouteKind.ALLMEMBER)


def _route(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() in {"owners", "allmember"}:
        return {value.strip().lower(): True}
    if isinstance(value, (list, tuple)) or (isinstance(value, str) and "@" in value):
        return {"addresses": value}
    if not isinstance(value, (dict, RouteConfig)):
        raise ValueError("must be owners, allmember, {team: NAME} or addresses")  # noqa: TRY004  as above
    return value


class TicketConfig(RulePart):
    """What the rule does to the ticket."""

    none: OnlyTrue | None = Field(None, description="No ticket is made, none is joined. 'ticket: none' is the same.")
    stage: StageOfRule | None = Field(None, description="NEW, WAITING (対応中) or CLOSED: the stage afterwards.")
    always_new: OnlyTrue | None = Field(None, description="Never join a ticket, always make one.")
    priority: Priority | None = Field(None, description="low, normal, high or urgent.")

    @model_validator(mode="after")
    def _has_effect(self) -> "TicketConfig":
        said = self.stage is not None or self.always_new is not None or self.priority is not None
        if self.none and said:
            raise ValueError("'none' leaves no ticket for anything else that is said here")
        if not self.none and not said:
            raise ValueError("must be none, or a mapping with stage, always_new or priority")
        return self


def _ticket(value: Any) -> Any:
    if value is False or (isinstance(value, str) and value.strip().lower() in {"none", "no", "false"}):
        return {"none": True}
    if not isinstance(value, (dict, TicketConfig)):
        raise ValueError("must be none, or a mapping with stage, always_new or priority")  # noqa: TRY004  as above
    return value


class ActionsConfig(RulePart):
    """What happens to a mail that the rule matches. Nothing at all: it stays untouched, also by the rules below."""

    ignore: OnlyTrue | None = Field(None, description="No ticket and no copy; kept, and listed in the digest.")
    hold: OnlyTrue | None = Field(None, description="Kept until a person decides.")
    route_to: Annotated[RouteConfig, BeforeValidator(_route)] | None = Field(
        None, description="Who gets the copies instead of the owners: owners, allmember, {team: NAME} or addresses."
    )
    also_to: Addresses | None = Field(None, description="Addresses that get a copy as well.")
    rewrite_recipient: Address | None = Field(
        None, description="An address that gets the mail as it came, like a CRM's case address."
    )
    ticket: Annotated[TicketConfig, BeforeValidator(_ticket)] | None = Field(
        None, description="none, or {stage: NEW, always_new: true, priority: high}."
    )
    banner: Annotated[str, BeforeValidator(_banner)] | None = Field(
        None, description="full, none or the name of a banner template."
    )
    tag: Annotated[tuple[Text, ...], BeforeValidator(_as_list), Field(min_length=1)] | None = Field(
        None, description="Words that are put on the message."
    )
    continue_: Truth = Field(default=False, alias="continue", description="The rules below are asked too.")
    auto_reply: Any = Field(None, description="Not in this version.")
    sequence: Any = Field(None, description="Not in this version.")

    @field_validator("auto_reply", "sequence")
    @classmethod
    def _not_yet(cls, value: Any) -> Any:  # noqa: ARG003  whatever it is
        raise ValueError("is not in this version; take it out")

    @model_validator(mode="after")
    def _has_effect(self) -> "ActionsConfig":
        said = {name for name in type(self).model_fields if getattr(self, name)}
        if said == {"continue_"}:
            raise ValueError("has no effect: nothing is done, and the rules below are asked anyway")
        if self.ignore and self.hold:
            raise ValueError("ignore and hold exclude each other")
        idle = sorted(said - {"ignore", "hold", "tag", "continue_"})
        if (self.ignore or self.hold) and idle:
            raise ValueError(f"{'ignore' if self.ignore else 'hold'} leaves nothing to do for {', '.join(idle)}")
        return self

    def to_core(self, *, continues: bool) -> Actions:
        """The plain value."""
        ticket = self.ticket
        disposition = Disposition.IGNORE if self.ignore else Disposition.HOLD if self.hold else None
        return Actions(
            disposition=disposition,
            route=self.route_to.to_core() if self.route_to else None,
            also_to=tuple(dict.fromkeys(self.also_to or ())),
            rewrite_recipient=self.rewrite_recipient or "",
            ticket_stage=ticket.stage if ticket else None,
            always_new=bool(ticket and ticket.always_new),
            priority=str(ticket.priority) if ticket and ticket.priority else "",
            no_ticket=bool(ticket.none) if ticket else None,
            banner=self.banner or "",
            tags=tuple(dict.fromkeys(self.tag or ())),
            continues=self.continue_ or continues,
        )


def as_actions(value: Any) -> Any:
    """``then: ignore`` is short for ``then: {ignore: true}``."""
    return {value: True} if isinstance(value, str) and value in {"ignore", "hold"} else value
