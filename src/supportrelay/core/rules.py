"""Rules: an ordered list of conditions and actions; the first that matches decides (DESIGN 7).

A rule that says ``continue`` lets the ones below it speak as well. Then lists add up (``also_to``, ``tag``), and of
everything else the word of the rule that stands higher remains: route, banner, disposition, rewrite_recipient, and for
the ticket each of stage, priority, and whether there shall be one. A rule that cannot be told now is skipped, which is
recorded, and the next one is asked. Mail that the ``spam`` setting holds is shown only to rules that ask for spam by
name, until one of them matches.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from supportrelay.core.decision import Disposition
from supportrelay.core.reason import Reason
from supportrelay.core.rule_conditions import (
    AllOf,
    Always,
    Answer,
    AnyOf,
    Condition,
    Negation,
    Test,
)
from supportrelay.core.rule_examples import Example
from supportrelay.core.rule_subject import RuleSubject, View
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = [
    "Actions",
    "Priority",
    "Route",
    "RouteKind",
    "Rule",
    "RuleOutcome",
    "RuleSubject",
    "Skipped",
    "evaluate",
    "names_condition",
]


class RouteKind(StrEnum):
    """Who gets the copies instead of the owners."""

    OWNERS = "owners"
    ALLMEMBER = "allmember"
    TEAM = "team"
    ADDRESSES = "addresses"


class Priority(StrEnum):
    """How urgent a ticket is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


@value_class
class Route:
    """Where ``route_to`` leads; ``team`` and ``addresses`` only with the kinds of that name."""

    kind: RouteKind
    team: str = ""
    addresses: tuple[str, ...] = ()


@value_class
class Actions:
    """What one rule asks for. Nothing said is None, "", () or False.

    Attributes:
        disposition: IGNORE or HOLD.
        no_ticket: True for ``ticket: none``; False: the rule says something about the ticket, so there shall be one.
        banner: ``full``, ``none`` or a banner's name.
        continues: The rules below are asked too.
    """

    disposition: Disposition | None = None
    route: Route | None = None
    also_to: tuple[str, ...] = ()
    rewrite_recipient: str = ""
    ticket_stage: Stage | None = None
    always_new: bool = False
    priority: str = ""
    no_ticket: bool | None = None
    banner: str = ""
    tags: tuple[str, ...] = ()
    continues: bool = False


@value_class
class Rule:
    """One rule; ``examples`` are what its author expects of it (`core.rule_examples`)."""

    name: str
    when: Condition
    then: Actions
    examples: tuple[Example, ...] = ()


@value_class
class Skipped:
    """A rule that could not be told, and the conditions of it that could not."""

    rule: str
    conditions: tuple[str, ...]


@value_class
class RuleOutcome:
    """What the rules say about one mail.

    Attributes:
        names: The rules that matched, in order.
        skipped: The rules that could not be told now.
        decides_spam: A rule that matched asks for spam by name: it decides, not the ``spam`` setting.
        reasons: ``rule.matched`` (rule) and ``rule.skipped`` (rule, conditions), in the order of the rules.

    The other fields are those of `Actions`, merged.
    """

    names: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    disposition: Disposition | None = None
    route: Route | None = None
    also_to: tuple[str, ...] = ()
    rewrite_recipient: str = ""
    ticket_stage: Stage | None = None
    always_new: bool = False
    priority: str = ""
    no_ticket: bool = False
    wants_ticket: bool = False
    banner: str = ""
    tags: tuple[str, ...] = ()
    decides_spam: bool = False
    reasons: tuple[Reason, ...] = ()


def evaluate(rules: Sequence[Rule], subject: RuleSubject) -> RuleOutcome:
    """Ask the rules from the top and return what they say together."""
    if not rules:
        return _NOTHING
    view = View(subject)
    matched: list[Rule] = []
    skipped: list[Skipped] = []
    reasons: list[Reason] = []
    must_name_spam = subject.is_held_spam
    for rule in rules:
        if must_name_spam and not _names_spam(rule.when):
            continue
        view.untold.clear()
        said = rule.when.answer(view)
        if said is Answer.CANNOT_TELL:
            untold = tuple(dict.fromkeys(view.untold))
            skipped.append(Skipped(rule.name, untold))
            reasons.append(Reason.of("rule.skipped", rule=rule.name, conditions=", ".join(untold)))
        elif said is Answer.YES:
            matched.append(rule)
            must_name_spam = False
            reasons.append(Reason.of("rule.matched", rule=rule.name))
            if not rule.then.continues:
                break
    return _merge(matched, tuple(skipped), tuple(reasons))


_NOTHING = RuleOutcome()


def _merge(matched: Sequence[Rule], skipped: tuple[Skipped, ...], reasons: tuple[Reason, ...]) -> RuleOutcome:
    if not matched:
        return RuleOutcome(skipped=skipped, reasons=reasons) if skipped else _NOTHING
    said = [rule.then for rule in matched]
    # Whether there shall be a ticket at all is said by the highest rule that mentions it; below 'none', stage and
    # priority have nothing to stand on.
    ticket = next((one.no_ticket for one in said if one.no_ticket is not None), None)
    on_ticket = [] if ticket else said
    return RuleOutcome(
        names=tuple(rule.name for rule in matched),
        skipped=skipped,
        disposition=next((one.disposition for one in said if one.disposition), None),
        route=next((one.route for one in said if one.route), None),
        also_to=tuple(dict.fromkeys(address for one in said for address in one.also_to)),
        rewrite_recipient=next((one.rewrite_recipient for one in said if one.rewrite_recipient), ""),
        ticket_stage=next((one.ticket_stage for one in on_ticket if one.ticket_stage), None),
        always_new=any(one.always_new for one in on_ticket),
        priority=next((one.priority for one in on_ticket if one.priority), ""),
        no_ticket=ticket is True,
        wants_ticket=ticket is False,
        banner=next((one.banner for one in said if one.banner), ""),
        tags=tuple(dict.fromkeys(tag for one in said for tag in one.tags)),
        decides_spam=any(_names_spam(rule.when) for rule in matched),
        reasons=reasons,
    )


def names_condition(rules: Sequence[Rule], name: str) -> bool:
    """Whether any rule asks this condition."""
    return any(test.name == name for rule in rules for test in _tests(rule.when))


def _names_spam(when: Condition) -> bool:
    return any(test.names_spam for test in _tests(when))


def _tests(when: Condition) -> Iterator[Test]:
    match when:
        case Test():
            yield when
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from _tests(part)
        case Negation(part=part):
            yield from _tests(part)
        case Always():
            return
