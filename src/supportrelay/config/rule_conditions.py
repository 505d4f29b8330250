"""``when`` of a rule: the conditions as YAML has them, and the condition tree made of them."""

from collections.abc import Iterator
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from supportrelay.config.problem import KeyPath
from supportrelay.config.scalars import Size
from supportrelay.config.section import Section
from supportrelay.core.errors import AddressError, InputError
from supportrelay.core.mailbox import comparing_form
from supportrelay.core.office_hours import OfficeHours, parse_spans
from supportrelay.core.rule_conditions import (
    CONDITIONS,
    AllOf,
    Always,
    AnyOf,
    Condition,
    ConditionValue,
    Negation,
    condition,
)
from supportrelay.core.rule_patterns import CompilePattern, Matcher

__all__ = [
    "DEFAULT_ZONE",
    "ConditionsConfig",
    "HoursConfig",
    "Nothing",
    "RulePart",
    "Truth",
    "build_condition",
    "named_recipients",
]

DEFAULT_ZONE = "UTC"


def _strings(value: Any) -> Any:
    """One word or pattern, or a list of them; numbers are text written without quotes."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values or not all(isinstance(one, (str, int, float)) and not isinstance(one, bool) for one in values):
        raise ValueError("must be one word or pattern, or a list of them")
    return tuple(str(one) for one in values)


def _strings_or_bool(value: Any) -> Any:
    return value if isinstance(value, bool) else _strings(value)


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  pydantic collects ValueErrors
    return value


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):  # a folder's name, no name at all, no such zone
        raise ValueError("no such time zone; write it as Asia/Tokyo or Europe/Warsaw") from None
    return text


def _spans(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            parse_spans(text)
        except InputError as error:
            raise ValueError(str(error)) from None
    return texts


Strings = Annotated[tuple[str, ...], BeforeValidator(_strings)]
Truth = Annotated[bool, BeforeValidator(_truth)]


def _several(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list of conditions: [{spam: true}, {from: '*@news.example'}]")
    return value


class Nothing:
    """Stands for a key without value, which no type accepts."""


class RulePart(Section):
    """A mapping inside a rule. A key without value is a mistake: what was meant would silently not happen."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: Nothing() if value is None else value for name, value in values.items()}
        return values


class HoursConfig(RulePart):
    """Office hours in a time zone."""

    hours: Annotated[Strings, AfterValidator(_spans)] = Field(
        description="Days and times: 'Mon-Fri 09:00-18:00', 'Sat,Sun', '22:00-06:00'; a list of them counts together."
    )
    timezone: Annotated[str, AfterValidator(_zone)] | None = Field(
        None, description="Time zone by its tz name, like Asia/Tokyo; UTC when it is not given."
    )

    def to_core(self, default_zone: str) -> OfficeHours:
        """The plain value."""
        spans = tuple(span for text in self.hours for span in parse_spans(text))
        return OfficeHours(spans, ZoneInfo(self.timezone or default_zone))


def _hours(value: Any) -> Any:
    """'Mon-Fri 09:00-18:00', the same with a time zone behind it, a list of times, or the mapping."""
    if isinstance(value, str):
        times, _, zone = value.strip().rpartition(" ")
        if times and ("/" in zone or zone.upper() == DEFAULT_ZONE):
            return {"hours": times, "timezone": zone}
        return {"hours": value}
    return {"hours": value} if isinstance(value, (list, tuple)) else value


class ConditionsConfig(RulePart):
    """Conditions side by side: every one of them must hold. A list as value means any of its entries.

    Patterns are ``*`` globs over the whole value without regard to case, or ``/regex/`` (``/regex/i`` for any case),
    which may stand anywhere in the value.
    """

    direction: Strings | None = Field(
        None, description="inbound, outbound, note, unproven, automatic or spam: what kind of mail it is."
    )
    support_in: Strings | None = Field(None, description="to, cc or other: where the support address stands.")
    from_: Strings | None = Field(None, alias="from", description="Patterns of addresses in From.")
    to: Strings | None = Field(None, description="Patterns of addresses in To.")
    cc: Strings | None = Field(None, description="Patterns of addresses in Cc.")
    recipient: Strings | None = Field(
        None,
        description="Patterns of addresses in the envelope. An address or *@domain named here is accepted as ours, "
        "even if no support address is of that name.",
    )
    subject: Strings | None = Field(None, description="Patterns of the decoded subject.")
    header: dict[str, Strings] | None = Field(
        None, description="Field names and patterns: each field must have a value that fits; '*' fits every value."
    )
    body: Strings | None = Field(None, description="Patterns of the text, quoted lines included (256 Ki characters).")
    attachment: Annotated[tuple[str, ...] | bool, BeforeValidator(_strings_or_bool)] | None = Field(
        None, description="Patterns of file names; true: any attachment, false: none."
    )
    size_over: Size | None = Field(None, description="The message is larger than this, in octets or like 10MB.")
    spam: Truth | None = Field(None, description="A spam filter marked it (see the setting 'spam').")
    automatic: Strings | None = Field(None, description="ooo, reply, notice, newsletter or list: not a person's mail.")
    proven: Truth | None = Field(None, description="The sender is who he says he is.")
    known_contact: Truth | None = Field(None, description="The customer's exact address is a contact in the CRM.")
    company: Strings | None = Field(None, description="Patterns of the customer's company, by name or id.")
    deal: Strings | None = Field(None, description="Patterns of the deal, by name or id.")
    owner: Strings | None = Field(None, description="Patterns of addresses of the deal's owners.")
    language: Strings | None = Field(None, description="ja, en, fr, pl or another code: the language of the text.")
    hours: Annotated[HoursConfig, BeforeValidator(_hours)] | None = Field(
        None, description="When it came: 'Mon-Fri 09:00-18:00', or {hours: ..., timezone: Asia/Tokyo}."
    )
    all_: Annotated[tuple["ConditionsConfig", ...], BeforeValidator(_several)] | None = Field(
        None, alias="all", description="A list of conditions that must all hold."
    )
    any_: Annotated[tuple["ConditionsConfig", ...], BeforeValidator(_several)] | None = Field(
        None, alias="any", description="A list of conditions of which one must hold."
    )
    not_: "ConditionsConfig | None" = Field(None, alias="not", description="Conditions that must not all hold.")

    @model_validator(mode="before")
    @classmethod
    def _is_no_condition(cls, values: Any) -> Any:
        if values == {}:
            raise ValueError("no condition in it")
        return values

    @field_validator(
        "direction", "support_in", "from_", "to", "cc", "recipient", "subject", "header", "body", "attachment",
        "automatic", "company", "deal", "owner", "language",
    )  # fmt: skip
    @classmethod
    def _has_effect(cls, value: Any, info: ValidationInfo) -> Any:
        """Words and patterns are read here once, so that a mistake is shown at its line."""
        if value is not None and info.field_name:
            try:
                CONDITIONS[info.field_name.rstrip("_")](value, _any_expression)
            except InputError as error:
                raise ValueError(str(error)) from None
        return value

    def tests(self, default_zone: str) -> Iterator[tuple[str, ConditionValue]]:
        """The conditions of this mapping, without ``all``, ``any`` and ``not``."""
        for name in CONDITIONS:
            value = getattr(self, "from_" if name == "from" else name)
            if value is not None:
                yield name, value.to_core(default_zone) if isinstance(value, HoursConfig) else value


def _any_expression(expression: str, flags: str) -> Matcher:  # noqa: ARG001  a `CompilePattern` that compiles nothing
    return bool


def build_condition(
    config: ConditionsConfig | None,
    compile_pattern: CompilePattern,
    zone: str,
    path: KeyPath,
    problems: list[tuple[KeyPath, str]],
) -> Condition:
    """The condition tree; what cannot be built is added to ``problems``."""
    if config is None:
        return Always()
    parts: list[Condition] = []
    for name, value in config.tests(zone):
        try:
            parts.append(condition(name, value, compile_pattern))
        except InputError as error:
            problems.append(((*path, name), str(error)))
    for name, several in (("all", config.all_), ("any", config.any_)):
        if several:
            built = tuple(
                build_condition(one, compile_pattern, zone, (*path, name, number), problems)
                for number, one in enumerate(several)
            )
            parts.append(AllOf(built) if name == "all" else AnyOf(built))
    if config.not_ is not None:
        parts.append(Negation(build_condition(config.not_, compile_pattern, zone, (*path, "not"), problems)))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def named_recipients(config: ConditionsConfig | None) -> Iterator[str]:
    """The addresses and ``*@domain`` of ``recipient`` conditions, in comparing form; what ``not`` leaves out is not."""
    if config is None:
        return
    yield from filter(None, map(_as_recipient, config.recipient or ()))
    for one in (*(config.all_ or ()), *(config.any_ or ())):
        yield from named_recipients(one)


def _as_recipient(text: str) -> str:
    is_domain = text.startswith("*@")
    probe = "x" + text[1:] if is_domain else text
    if text.startswith("/") or "*" in probe:
        return ""
    try:
        key = comparing_form(probe)
    except AddressError:
        return ""
    return f"*{key[1:]}" if is_domain else key
