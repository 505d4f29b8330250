"""Rules as YAML has them: every accepted name has an effect, everything else is refused in words."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from supportrelay.config.rules import RuleConfig, build_rules, rule_recipients
from supportrelay.core.decision import Disposition
from supportrelay.core.errors import InputError
from supportrelay.core.rule_conditions import CONDITIONS, AllOf, Always, AnyOf, Negation, Test
from supportrelay.core.rules import Actions, Route, RouteKind, Rule
from supportrelay.core.ticket import Stage
from supportrelay.edge.patterns import compile_pattern

DESIGN = """
- name: newsletters are no tickets
  when: {any: [{automatic: newsletter}, {from: "*@news.example"}]}
  then: {ticket: none}
- name: urgent to the second line
  when: {direction: inbound, subject: "/至急|urgent/i"}
  then: {route_to: {team: second-line}, also_to: [boss@reflectle.jp], ticket: {always_new: true, priority: high}}
- name: into another system
  when: {recipient: help@reflectle.jp}
  then: {rewrite_recipient: support@v1su02.case.my-crm.com, also_to: [sales@reflectle.jp]}
"""


def rule(text: str) -> RuleConfig:
    """A rule from YAML; its name when there is none is x."""
    return RuleConfig.model_validate({"name": "x", "then": {"tag": "t"}} | yaml.safe_load(text))


def built(text: str, **options: Any) -> Rule:
    return rule(text).to_core(compile_pattern, **options)


def mistakes(text: str) -> list[tuple[str, str]]:
    """``(key path, what is wrong)`` of each mistake."""
    with pytest.raises(ValidationError) as raised:
        rule(text)
    return [(".".join(map(str, one["loc"])), one["msg"]) for one in raised.value.errors()]


def test_the_rules_of_the_design_are_read() -> None:
    configs = [RuleConfig.model_validate(one) for one in yaml.safe_load(DESIGN)]

    first, second, third = build_rules(configs, compile_pattern, teams={"second-line"})

    assert isinstance(first.when, AnyOf)
    assert first.then == Actions(no_ticket=True)
    assert isinstance(second.when, AllOf)
    assert [part.name for part in second.when.parts if isinstance(part, Test)] == ["direction", "subject"]
    assert second.then == Actions(
        route=Route(RouteKind.TEAM, team="second-line"),
        also_to=("boss@reflectle.jp",),
        always_new=True,
        priority="high",
        no_ticket=False,
    )
    assert third.then == Actions(rewrite_recipient="support@v1su02.case.my-crm.com", also_to=("sales@reflectle.jp",))
    assert rule_recipients(configs) == ("help@reflectle.jp",)


CONDITION_VALUES = {
    "direction": "inbound",
    "support_in": "[to, cc]",
    "from": "'*@news.example'",
    "to": "[ann@acme.example, '/^bob@/']",
    "cc": "'*@acme.example'",
    "recipient": "help@reflectle.jp",
    "subject": "'/至急|urgent/i'",
    "header": "{X-Priority: 1, X-Spam: ['*a', '*b']}",
    "body": "'*refund*'",
    "attachment": "'*.zip'",
    "size_over": "10MB",
    "spam": "true",
    "automatic": "[ooo, reply, notice, newsletter, list]",
    "proven": "false",
    "known_contact": "true",
    "company": "ACME*",
    "deal": "[4711, Robots]",
    "owner": "tanaka@reflectle.jp",
    "language": "[ja, pl]",
    "hours": "Mon-Fri 09:00-18:00",
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_can_be_written(name: str) -> None:
    when = built(f"when: {{{name}: {CONDITION_VALUES[name]}}}").when

    assert isinstance(when, Test)
    assert when.name == name


@pytest.mark.parametrize(
    ("when", "tree"),
    [
        pytest.param("{}", Always, id="empty-is-always"),
        pytest.param("{spam: true, proven: true}", AllOf, id="side-by-side"),
        pytest.param("{all: [{spam: true}, {proven: true}]}", AllOf, id="all"),
        pytest.param("{any: [{spam: true}, {proven: true}]}", AnyOf, id="any"),
        pytest.param("{not: {spam: true}}", Negation, id="not"),
        pytest.param("{spam: true, not: {proven: true}}", AllOf, id="mixed"),
        pytest.param("{not: {any: [{all: [{spam: true}]}]}}", Negation, id="deep"),
    ],
)
def test_conditions_combine(when: str, tree: type) -> None:
    assert isinstance(built(f"when: {when}").when, tree)


def test_without_when_a_rule_always_matches() -> None:
    assert built("{}").when == Always()


@pytest.mark.parametrize(
    ("then", "actions"),
    [
        pytest.param("ignore", Actions(disposition=Disposition.IGNORE), id="ignore-as-a-word"),
        pytest.param("{ignore: true}", Actions(disposition=Disposition.IGNORE), id="ignore"),
        pytest.param("{hold: true, tag: x}", Actions(disposition=Disposition.HOLD, tags=("x",)), id="hold"),
        pytest.param("{route_to: owners}", Actions(route=Route(RouteKind.OWNERS)), id="owners"),
        pytest.param("{route_to: allmember}", Actions(route=Route(RouteKind.ALLMEMBER)), id="allmember"),
        pytest.param("{route_to: {team: sales}}", Actions(route=Route(RouteKind.TEAM, team="sales")), id="team"),
        pytest.param(
            "{route_to: {addresses: [A@b.test, a@b.test]}}",
            Actions(route=Route(RouteKind.ADDRESSES, addresses=("a@b.test",))),
            id="addresses",
        ),
        pytest.param(
            "{route_to: [a@b.test]}", Actions(route=Route(RouteKind.ADDRESSES, addresses=("a@b.test",))), id="list"
        ),
        pytest.param(
            "{route_to: a@b.test}", Actions(route=Route(RouteKind.ADDRESSES, addresses=("a@b.test",))), id="address"
        ),
        pytest.param("{also_to: a@b.test}", Actions(also_to=("a@b.test",)), id="also_to"),
        pytest.param("{rewrite_recipient: a@b.test}", Actions(rewrite_recipient="a@b.test"), id="rewrite_recipient"),
        pytest.param("{ticket: none}", Actions(no_ticket=True), id="ticket-none"),
        pytest.param("{ticket: {none: true}}", Actions(no_ticket=True), id="ticket-none-mapping"),
        pytest.param("{ticket: false}", Actions(no_ticket=True), id="ticket-false"),
        pytest.param("{ticket: {stage: 対応中}}", Actions(no_ticket=False, ticket_stage=Stage.WAITING), id="stage"),
        pytest.param("{ticket: {always_new: true}}", Actions(no_ticket=False, always_new=True), id="always_new"),
        pytest.param("{ticket: {priority: urgent}}", Actions(no_ticket=False, priority="urgent"), id="priority"),
        pytest.param("{banner: full}", Actions(banner="full"), id="banner-full"),
        pytest.param("{banner: 'none'}", Actions(banner="none"), id="banner-none"),
        pytest.param("{banner: true}", Actions(banner="full"), id="banner-true"),
        pytest.param("{banner: false}", Actions(banner="none"), id="banner-false"),
        pytest.param("{banner: 'no'}", Actions(banner="none"), id="banner-no"),
        pytest.param("{banner: second_line}", Actions(banner="second_line"), id="banner-name"),
        pytest.param("{tag: [a, b, a]}", Actions(tags=("a", "b")), id="tag"),
        pytest.param("{tag: a, continue: true}", Actions(tags=("a",), continues=True), id="continue"),
        pytest.param("{}", Actions(), id="nothing-stops-the-rules-below"),
    ],
)
def test_actions_are_read(then: str, actions: Actions) -> None:
    assert built(f"then: {then}", teams=("sales",)).then == actions


def test_continue_may_stand_beside_then() -> None:
    assert built("{then: {tag: a}, continue: true}").then.continues


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        pytest.param("when: {colour: red}", "when.colour", "Extra", id="no-condition"),
        pytest.param("then: {shout: true}", "then.shout", "Extra", id="no-action"),
        pytest.param("wen: {}", "wen", "Extra", id="no-key"),
        pytest.param("when: {any: [{spam: true}, {colour: red}]}", "when.any.1.colour", "Extra", id="deep"),
        pytest.param("when:", "when", "", id="when-all-commented-out"),
        pytest.param("when: {subject: }", "when.subject", "must be", id="condition-without-value"),
        pytest.param("when: {spam: }", "when.spam", "true or false", id="truth-without-value"),
        pytest.param("when: {not: {}}", "when.not", "no condition", id="not-nothing"),
        pytest.param("when: {any: []}", "when.any", "list of conditions", id="any-of-nothing"),
        pytest.param("when: {any: {spam: true}}", "when.any", "list of conditions", id="any-of-a-mapping"),
        pytest.param("when: {all: [{}]}", "when.all.0", "no condition", id="all-of-an-empty-one"),
        pytest.param("when: [spam]", "when", "", id="when-is-a-list"),
        pytest.param("when: {direction: incoming}", "when.direction", "no such word", id="no-direction"),
        pytest.param("when: {direction: loop}", "when.direction", "no such word", id="direction-rules-never-see"),
        pytest.param("when: {automatic: true}", "when.automatic", "must be one word", id="automatic-is-a-word"),
        pytest.param("when: {from: news.example}", "when.from", "fits no address", id="from-a-domain"),
        pytest.param("when: {subject: /urgent}", "when.subject", "regular expression", id="half-an-expression"),
        pytest.param("when: {subject: {a: b}}", "when.subject", "must be", id="subject-is-a-mapping"),
        pytest.param("when: {header: X-Priority}", "when.header", "", id="header-is-a-word"),
        pytest.param("when: {header: {X-Priority: }}", "when.header.X-Priority", "must be", id="field-without-pattern"),
        pytest.param("when: {size_over: big}", "when.size_over", "size", id="no-size"),
        pytest.param("when: {spam: 'maybe'}", "when.spam", "true or false", id="no-truth"),
        pytest.param("when: {language: japanese}", "when.language", "no language", id="no-language"),
        pytest.param("when: {hours: always}", "when.hours.hours", "no day", id="no-hours"),
        pytest.param("when: {hours: '09:00-18:00 Asia/Nowhere'}", "when.hours.timezone", "time zone", id="no-zone"),
        pytest.param("then: {auto_reply: thanks}", "then.auto_reply", "not in this version", id="auto_reply"),
        pytest.param("then: {sequence: three}", "then.sequence", "not in this version", id="sequence"),
        pytest.param("then: {ignore: false}", "then.ignore", "only be true", id="ignore-false"),
        pytest.param("then: {ignore: true, hold: true}", "then", "exclude", id="ignore-and-hold"),
        pytest.param("then: {ignore: true, also_to: a@b.test}", "then", "nothing to do for also_to", id="ignore-and"),
        pytest.param("then: {hold: true, ticket: none}", "then", "nothing to do for ticket", id="hold-and"),
        pytest.param("then: {route_to: everybody}", "then.route_to", "must be owners", id="route-nowhere"),
        pytest.param("then: {route_to: []}", "then.route_to.addresses", "at least 1", id="route-to-nobody"),
        pytest.param("then: {route_to: {}}", "then.route_to", "must be one of", id="route-empty"),
        pytest.param("then: {route_to: {team: a, owners: true}}", "then.route_to", "must be one of", id="route-twice"),
        pytest.param("then: {also_to: boss}", "then.also_to.0", "mail address", id="no-address"),
        pytest.param("then: {also_to: }", "then.also_to", "", id="action-without-value"),
        pytest.param(
            "then: {rewrite_recipient: x}", "then.rewrite_recipient", "mail address", id="no-address-to-rewrite"
        ),
        pytest.param("then: {ticket: NEW}", "then.ticket", "must be none", id="ticket-is-no-stage"),
        pytest.param("then: {ticket: {}}", "then.ticket", "must be none", id="ticket-without-effect"),
        pytest.param(
            "then: {ticket: {none: true, stage: NEW}}", "then.ticket", "leaves no ticket", id="ticket-and-none"
        ),
        pytest.param(
            "then: {ticket: {always_new: false}}", "then.ticket.always_new", "only be true", id="not-always_new"
        ),
        pytest.param("then: {ticket: {stage: OPEN}}", "then.ticket.stage", "must be one of NEW", id="no-stage"),
        pytest.param("then: {ticket: {priority: high!}}", "then.ticket.priority", "", id="no-priority"),
        pytest.param("then: {banner: ../secret}", "then.banner", "must be full", id="no-banner"),
        pytest.param("then: {continue: true}", "then", "no effect", id="only-continue"),
        pytest.param("{then: {}, continue: true}", "", "no effect", id="only-continue-outside"),
        pytest.param("then:", "then", "required", id="no-then"),
        pytest.param("examples: [{mail: hello}]", "examples.0.mail", "header lines", id="example-without-header"),
        pytest.param("examples: [{mail: 'A: b', expect: {colour: red}}]", "examples.0.expect", "unknown", id="expect"),
        pytest.param(
            "examples: [{mail: 'A: b', given: {colour: red}}]", "examples.0.given.colour", "Extra", id="given"
        ),
        pytest.param(
            "examples: [{mail: 'A: b', given: {at: '2026-03-02T10:00:00'}}]",
            "examples.0.given.at",
            "timezone",
            id="time-without-zone",
        ),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused_at_its_place(text: str, path: str, words: str) -> None:
    found = mistakes(text)

    assert [place for place, _ in found] == [path]
    assert words in found[0][1]


def test_expressions_and_teams_are_named_with_rule_and_condition() -> None:
    text = "{name: vip, when: {any: [{spam: true}, {subject: '/(/'}]}, then: {route_to: {team: second}}}"

    with pytest.raises(InputError) as raised:
        built(text, teams=("first",))

    assert str(raised.value).splitlines() == [
        "rule vip: when.any[1].subject: /(/ is no regular expression that can be used: missing ): (",
        "rule vip: then.route_to.team: no such team; there are first",
    ]
    assert rule(text).problems(compile_pattern, teams=("second",))[0][0] == ("when", "any", 1, "subject")


def test_all_rules_are_checked_at_once_and_have_names_of_their_own() -> None:
    with pytest.raises(InputError) as raised:
        build_rules([rule("name: a"), rule("{name: a, when: {body: '/[/'}}")], compile_pattern)

    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == ["rule a", "rule a"]
    assert "another rule has that name" in str(raised.value)


@pytest.mark.parametrize(
    ("hours", "zone"),
    [
        pytest.param("Mon-Fri 09:00-18:00", "Europe/Paris", id="default"),
        pytest.param("Mon-Fri 09:00-18:00 Asia/Tokyo", "Asia/Tokyo", id="behind-the-time"),
        pytest.param("09:00-18:00 UTC", "UTC", id="utc"),
        pytest.param("{hours: 'Mon-Fri 09:00-18:00', timezone: Asia/Tokyo}", "Asia/Tokyo", id="mapping"),
        pytest.param("['Mon-Fri 09:00-12:00', 'Sat 10:00-12:00']", "Europe/Paris", id="list"),
    ],
)
def test_hours_have_a_time_zone(hours: str, zone: str) -> None:
    value = rule(f"when: {{hours: {hours}}}").when

    assert value is not None
    assert value.hours is not None
    assert str(value.hours.to_core("Europe/Paris").zone) == zone


@pytest.mark.parametrize(
    ("when", "recipients"),
    [
        pytest.param("{recipient: Help@Reflectle.jp}", ("help@reflectle.jp",), id="address"),
        pytest.param("{recipient: ['*@case.reflectle.jp', a@b.test]}", ("*@case.reflectle.jp", "a@b.test"), id="list"),
        pytest.param("{any: [{all: [{recipient: a@b.test}]}, {recipient: a@b.test}]}", ("a@b.test",), id="inside-once"),
        pytest.param("{not: {recipient: a@b.test}}", (), id="under-not"),
        pytest.param("{recipient: '/@b.test$/'}", (), id="expression"),
        pytest.param("{recipient: '*'}", (), id="everybody"),
        pytest.param("{recipient: '*@*.b.test'}", (), id="glob-in-the-domain"),
        pytest.param("{recipient: 'a*@b.test'}", (), id="glob-in-the-local-part"),
        pytest.param("{recipient: 'a@'}", (), id="no-address"),
        pytest.param("{to: a@b.test}", (), id="another-condition"),
    ],
)
def test_the_addresses_that_only_rules_know(when: str, recipients: tuple[str, ...]) -> None:
    assert rule_recipients([rule(f"when: {when}")]) == recipients


def test_examples_become_plain_values() -> None:
    text = """
name: vip
examples:
  - mail: "From: ann@acme.example\\n\\nHello"
  - mail: "From: ann@acme.example"
    given: {proven: true, company: ACME, deal: 4711, owners: Tanaka@reflectle.jp, recipient: help@reflectle.jp,
            known_contact: true, at: "2026-03-02T10:00:00+09:00"}
    expect: {rule: null, ticket: none}
"""

    first, second = built(text).examples

    assert (first.rule, first.number, first.expect) == ("vip", 1, {})
    assert (second.number, second.expect) == (2, {"rule": None, "ticket": "none"})
    assert (second.given.proven, second.given.company, second.given.deal) == (True, "ACME", "4711")
    assert (second.given.owners, second.given.recipient) == (("tanaka@reflectle.jp",), "help@reflectle.jp")
    assert (first.given.known_contact, second.given.known_contact) == (False, True)
    assert second.given.at is not None
    assert second.given.at.isoformat() == "2026-03-02T10:00:00+09:00"
