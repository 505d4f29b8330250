"""``rules``: an ordered list of conditions and actions (DESIGN 7), and what is refused in them.

Nothing is accepted that would have no effect: a word that no mail can have, a pattern that fits no address, an action
beside one that takes its ground away. ``auto_reply`` and sequences are known and refused until they work.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator, model_validator

from supportrelay.config.problem import KeyPath, print_key_path
from supportrelay.config.rule_actions import ActionsConfig, Addresses, as_actions
from supportrelay.config.rule_conditions import (
    DEFAULT_ZONE,
    ConditionsConfig,
    Nothing,
    Truth,
    build_condition,
    named_recipients,
)
from supportrelay.config.scalars import Address, Text
from supportrelay.config.section import Section
from supportrelay.core.errors import InputError
from supportrelay.core.rule_examples import EXPECTABLE, Example, Given
from supportrelay.core.rule_patterns import CompilePattern
from supportrelay.core.rules import Rule

__all__ = ["ExampleConfig", "GivenConfig", "RuleConfig", "build_rules", "rule_recipients"]


class GivenConfig(Section):
    """What an example takes for known."""

    proven: Truth = Field(default=False, description="The sender is who he says he is.")
    company: Text | None = Field(default=None, description="The customer's company in the CRM.")
    deal: Text | None = Field(default=None, description="Its deal.")
    owners: Addresses | None = Field(default=None, description="The deal's owners.")
    known_contact: Truth = Field(default=False, description="The customer's exact address is a contact in the CRM.")
    recipient: Address | None = Field(
        default=None, description="The address in the envelope; else the first of ours in To or Cc."
    )
    at: AwareDatetime | None = Field(
        default=None, description="When it came, with its time zone: 2026-03-02T10:00:00+09:00."
    )


class ExampleConfig(Section):
    """A mail and what must happen to it; a file whose examples fail is not loaded."""

    mail: str = Field(description="Header lines, an empty line, the text.")
    given: GivenConfig = Field(default=GivenConfig(), description="What the relay would find out by itself.")
    expect: dict[str, Any] = Field(
        {}, description="Names of 'explain --json' and their values. Nothing: the rule matches."
    )

    @field_validator("mail")
    @classmethod
    def _is_mail(cls, text: str) -> str:
        if ":" not in text.strip().partition("\n")[0]:
            raise ValueError("must begin with header lines, like 'From: ann@example.com'")
        return text

    @field_validator("expect")
    @classmethod
    def _is_known(cls, expect: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(expect) - set(EXPECTABLE))
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}; known are {', '.join(EXPECTABLE)}")
        return expect

    def to_core(self, rule: str, number: int) -> Example:
        """The plain value."""
        given = self.given
        return Example(
            rule=rule,
            number=number,
            mail=self.mail,
            given=Given(
                proven=given.proven,
                company=given.company or "",
                deal=given.deal or "",
                owners=given.owners or (),
                recipient=given.recipient or "",
                at=given.at,
                known_contact=given.known_contact,
            ),
            expect=self.expect,
        )


class RuleConfig(Section):
    """One rule."""

    name: Text = Field(description="A name of its own; explain, trace and the log show it.")
    when: ConditionsConfig | None = Field(None, description="Conditions; without it the rule always matches.")
    then: Annotated[ActionsConfig, BeforeValidator(as_actions)] = Field(description="Actions.")
    continue_: Truth = Field(
        default=False, alias="continue", description="The rules below are asked too; the same as in 'then'."
    )
    examples: tuple[ExampleConfig, ...] = Field((), description="Mails and what must happen to them.")

    @field_validator("when", mode="before")
    @classmethod
    def _empty_is_always(cls, when: Any) -> Any:
        return None if when == {} else when

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        """``when:`` with everything under it commented out must not become a rule that always matches."""
        if isinstance(values, dict):
            given = {k: v for k, v in values.items() if v is not None}
            return given if values.get("when", given) is not None else {**given, "when": Nothing()}
        return values

    @model_validator(mode="after")
    def _has_effect(self) -> "RuleConfig":
        if self.continue_ and not self.then.model_fields_set:
            raise ValueError("has no effect: nothing is done, and the rules below are asked anyway")
        return self

    def problems(self, compile_pattern: CompilePattern, *, teams: Collection[str] = ()) -> list[tuple[KeyPath, str]]:
        """What only others can tell: expressions that cannot be compiled, teams that are not there.

        Returns:
            The way from the rule to the value, and what is wrong with it.
        """
        found: list[tuple[KeyPath, str]] = []
        build_condition(self.when, compile_pattern, DEFAULT_ZONE, ("when",), found)
        route = self.then.route_to
        if route and route.team is not None and route.team not in teams:
            known = f"there are {', '.join(sorted(teams))}" if teams else "there are none"
            found.append((("then", "route_to", "team"), f"no such team; {known}"))
        return found

    def to_core(
        self, compile_pattern: CompilePattern, *, teams: Collection[str] = (), timezone: str = DEFAULT_ZONE
    ) -> Rule:
        """The plain value.

        Args:
            compile_pattern: Compiles regular expressions (`edge.patterns.compile_pattern`).
            teams: Names that ``route_to`` may use.
            timezone: Of ``hours`` that name none.

        Raises:
            InputError: A line for each of `problems`, with the rule's name and the condition.
        """
        problems = self.problems(compile_pattern, teams=teams)
        if problems:
            raise InputError("\n".join(f"rule {self.name}: {print_key_path(path)}: {text}" for path, text in problems))
        return Rule(
            name=self.name,
            when=build_condition(self.when, compile_pattern, timezone, ("when",), []),
            then=self.then.to_core(continues=self.continue_),
            examples=tuple(one.to_core(self.name, number) for number, one in enumerate(self.examples, start=1)),
        )


def build_rules(
    configs: Sequence[RuleConfig],
    compile_pattern: CompilePattern,
    *,
    teams: Collection[str] = (),
    timezone: str = DEFAULT_ZONE,
) -> tuple[Rule, ...]:
    """Return all rules in order; arguments as for `RuleConfig.to_core`.

    Raises:
        InputError: A line for each mistake of any rule, and for each name that two rules have.
    """
    lines: list[str] = []
    rules: list[Rule] = []
    names: set[str] = set()
    for config in configs:
        if config.name in names:
            lines.append(f"rule {config.name}: another rule has that name")
        names.add(config.name)
        try:
            rules.append(config.to_core(compile_pattern, teams=teams, timezone=timezone))
        except InputError as error:
            lines.append(str(error))
    if lines:
        raise InputError("\n".join(lines))
    return tuple(rules)


def rule_recipients(rules: Sequence[RuleConfig]) -> tuple[str, ...]:
    """Return the addresses and ``*@domain`` that ``recipient`` conditions name, in comparing form, each once.

    They are accepted as ours at RCPT. Other globs and regular expressions name nothing that could be listed, and what
    stands under ``not`` is named only to be left out.
    """
    return tuple(dict.fromkeys(one for rule in rules for one in named_recipients(rule.when)))
