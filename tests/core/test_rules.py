"""Rules: every condition and every action once where it decides and once where it does not (DESIGN 7)."""

import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from supportrelay.core.decision import Direction, Disposition, Place
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.errors import InputError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.office_hours import OfficeHours, parse_spans
from supportrelay.core.rule_conditions import (
    CONDITIONS,
    AllOf,
    Always,
    Answer,
    AnyOf,
    Condition,
    ConditionValue,
    Negation,
    Test,
    condition,
)
from supportrelay.core.rule_subject import RuleSubject, View
from supportrelay.core.rules import Actions, Route, RouteKind, Rule, RuleOutcome, Skipped, evaluate, names_condition
from supportrelay.core.ticket import Stage
from supportrelay.edge.patterns import compile_pattern

YES, NO, CANNOT_TELL = Answer.YES, Answer.NO, Answer.CANNOT_TELL

MAIL = RuleSubject(
    direction=Direction.INBOUND,
    place=Place.TO,
    facts=Facts(
        from_=(Mailbox("Ann", "acme.example", "Ann"),),
        to=(Mailbox("support", "reflectle.test"), Mailbox("bob", "acme.example")),
        cc=(Mailbox("zoe", "other.example"),),
        subject="【至急】 Line down",
        fields={"x-priority": ("1 (Highest)",), "x-empty": ("",), "received": ("by a", "by b")},
        body_text="Hello,\nplease call us about the offer.\nThanks and regards\n",
        own_text="Hello,\nplease call us about the offer.\nThanks and regards\n",
        attachments=("Plan.PDF", ""),
        size_octets=5000,
    ),
    envelope=Envelope("ann@acme.example", ("Support+Sales@reflectle.test",), Peer("192.0.2.1", "x")),
    accepted_at=datetime(2026, 3, 2, 1, 0, tzinfo=UTC),
    proven=True,
    known_contact=True,
    companies=(("17", "ACME Corp"),),
    deals=(("4", "Robots 2026"),),
    owners=("Tanaka@reflectle.test",),
)
UNREACHED = replace(MAIL, known_contact=None, companies=None, deals=None, owners=None)
TOKYO = ZoneInfo("Asia/Tokyo")


def ask(name: str, value: ConditionValue, subject: RuleSubject = MAIL) -> Answer:
    return condition(name, value, compile_pattern).answer(View(subject))


DECIDES = [
    pytest.param("direction", ["inbound"], YES, id="direction"),
    pytest.param("direction", ["outbound", "Inbound"], YES, id="direction-any-of"),
    pytest.param("direction", ["outbound"], NO, id="direction-no"),
    pytest.param("support_in", ["to"], YES, id="support_in"),
    pytest.param("support_in", ["cc", "other"], NO, id="support_in-no"),
    pytest.param("from", ["*@ACME.example"], YES, id="from"),
    pytest.param("from", ["ann@acme.example"], YES, id="from-exact"),
    pytest.param("from", ["/^ann@/"], YES, id="from-regex-on-comparing-form"),
    pytest.param("from", ["*@other.example"], NO, id="from-no"),
    pytest.param("to", ["bob@*"], YES, id="to"),
    pytest.param("to", ["zoe@*"], NO, id="to-is-not-cc"),
    pytest.param("cc", ["zoe@other.example"], YES, id="cc"),
    pytest.param("cc", ["bob@acme.example"], NO, id="cc-is-not-to"),
    pytest.param("recipient", ["support+sales@reflectle.test"], YES, id="recipient"),
    pytest.param("recipient", ["support@reflectle.test"], YES, id="recipient-without-detail"),
    pytest.param("recipient", ["*@reflectle.test"], YES, id="recipient-domain"),
    pytest.param("recipient", ["bob@acme.example"], NO, id="recipient-is-not-to"),
    pytest.param("subject", ["*line down"], YES, id="subject"),
    pytest.param("subject", ["/至急|urgent/i"], YES, id="subject-regex"),
    pytest.param("subject", ["line down"], NO, id="subject-is-the-whole-value"),
    pytest.param("header", {"X-Priority": ["1*"]}, YES, id="header"),
    pytest.param("header", {"X-Priority": ["3", "1 (highest)"]}, YES, id="header-any-of"),
    pytest.param("header", {"Received": ["by b"]}, YES, id="header-any-field-of-that-name"),
    pytest.param("header", {"X-Priority": ["*"], "Received": ["by c"]}, NO, id="header-every-name"),
    pytest.param("header", {"X-Empty": ["*"]}, YES, id="header-there-and-empty"),
    pytest.param("header", {"X-Missing": ["*"]}, NO, id="header-absent"),
    pytest.param("body", ["*the offer*"], YES, id="body"),
    pytest.param("body", ["/^please call/m"], YES, id="body-regex"),
    pytest.param("body", ["the offer"], NO, id="body-is-the-whole-value"),
    pytest.param("attachment", ["*.pdf"], YES, id="attachment"),
    pytest.param("attachment", ["*.zip"], NO, id="attachment-no"),
    pytest.param("attachment", True, YES, id="attachment-any"),
    pytest.param("attachment", False, NO, id="attachment-none"),
    pytest.param("size_over", 4999, YES, id="size_over"),
    pytest.param("size_over", 5000, NO, id="size_over-no"),
    pytest.param("spam", False, YES, id="spam"),
    pytest.param("spam", True, NO, id="spam-no"),
    pytest.param("automatic", ["newsletter"], NO, id="automatic-no"),
    pytest.param("proven", True, YES, id="proven"),
    pytest.param("proven", False, NO, id="proven-no"),
    pytest.param("known_contact", True, YES, id="known_contact"),
    pytest.param("known_contact", False, NO, id="known_contact-no"),
    pytest.param("company", ["acme*"], YES, id="company-by-name"),
    pytest.param("company", ["17"], YES, id="company-by-id"),
    pytest.param("company", ["1"], NO, id="company-no"),
    pytest.param("deal", ["*2026"], YES, id="deal-by-name"),
    pytest.param("deal", ["4"], YES, id="deal-by-id"),
    pytest.param("deal", ["*2025"], NO, id="deal-no"),
    pytest.param("owner", ["tanaka@*"], YES, id="owner"),
    pytest.param("owner", ["suzuki@reflectle.test"], NO, id="owner-no"),
    pytest.param("language", ["pl", "en"], YES, id="language"),
    pytest.param("language", ["ja"], NO, id="language-no"),
    pytest.param("hours", OfficeHours(parse_spans("Mon-Fri 09:00-18:00"), TOKYO), YES, id="hours"),
    pytest.param("hours", OfficeHours(parse_spans("Mon-Fri 09:00-18:00"), UTC), NO, id="hours-no"),
]


@pytest.mark.parametrize(("name", "value", "answer"), DECIDES)
def test_a_condition_decides_and_does_not(name: str, value: ConditionValue, answer: Answer) -> None:
    assert ask(name, value) is answer


CHANGES = [
    pytest.param("spam", True, {"is_spam": True}, id="spam"),
    pytest.param("automatic", ["newsletter", "list"], {"automatic": "list"}, id="automatic"),
    pytest.param("direction", ["automatic"], {"direction": Direction.AUTOMATIC}, id="direction"),
    pytest.param("support_in", ["other"], {"place": Place.OTHER}, id="place"),
    pytest.param("known_contact", False, {"known_contact": False}, id="unknown-contact"),
    pytest.param("proven", False, {"proven": False}, id="unproven"),
]


@pytest.mark.parametrize(("name", "value", "changes"), CHANGES)
def test_a_condition_sees_what_changed(name: str, value: ConditionValue, changes: dict[str, object]) -> None:
    assert ask(name, value) is NO
    assert ask(name, value, replace(MAIL, **changes)) is YES  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("known_contact", True),
        ("known_contact", False),
        ("company", ["*"]),
        ("deal", ["*"]),
        ("owner", ["*"]),
    ],
)
def test_what_only_the_crm_knows_cannot_be_told_without_it(name: str, value: ConditionValue) -> None:
    assert ask(name, value, UNREACHED) is CANNOT_TELL


def test_a_proof_that_failed_to_come_cannot_be_told() -> None:
    assert ask("proven", True, replace(MAIL, proven=None)) is CANNOT_TELL


def test_asked_and_there_is_none_is_a_plain_no() -> None:
    nobody = replace(MAIL, companies=(), deals=(), owners=())

    assert [ask(name, ["*"], nobody) for name in ("company", "deal", "owner")] == [NO, NO, NO]


def test_every_condition_has_its_rows_above() -> None:
    rows = [row.values for row in (*DECIDES, *CHANGES)]

    assert {row[0] for row in rows} == set(CONDITIONS)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("direction", ["incoming"], "no such word", id="no-direction"),
        pytest.param("direction", ["loop"], "no such word", id="decided-before-rules"),
        pytest.param("direction", [], "needs", id="empty-list"),
        pytest.param("support_in", ["bcc"], "no such word", id="no-place"),
        pytest.param("automatic", ["robot"], "no such word", id="no-class"),
        pytest.param("from", ["acme.example"], "fits no address", id="domain-for-address"),
        pytest.param("owner", ["tanaka"], "fits no address", id="name-for-address"),
        pytest.param("subject", ["/(/"], "regular expression", id="bad-expression"),
        pytest.param("subject", ["/urgent"], "regular expression", id="half-an-expression"),
        pytest.param("header", {}, "needs field names", id="no-fields"),
        pytest.param("header", {"X Priority": ["1"]}, "no name of a header field", id="bad-field-name"),
        pytest.param("header", {"X-Priority": []}, "needs", id="no-pattern"),
        pytest.param("size_over", True, "size", id="size-is-a-number"),
        pytest.param("size_over", -1, "size", id="negative-size"),
        pytest.param("spam", 1, "true or false", id="truth"),
        pytest.param("language", ["japanese"], "no language", id="language"),
        pytest.param("hours", ["Mon"], "office hours", id="hours"),
    ],
)
def test_a_value_that_could_have_no_effect_is_refused(name: str, value: ConditionValue, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ask(name, value)


# --- three answers ---------------------------------------------------------------------------------------------------

_SAYS = {YES: True, NO: False, CANNOT_TELL: None}


def saying(answer: Answer) -> Test:
    return Test(answer.value, lambda view: _SAYS[answer])


@pytest.mark.parametrize(
    ("first", "second", "all_of", "any_of"),
    [
        (YES, YES, YES, YES),
        (YES, NO, NO, YES),
        (NO, NO, NO, NO),
        (YES, CANNOT_TELL, CANNOT_TELL, YES),
        (NO, CANNOT_TELL, NO, CANNOT_TELL),
        (CANNOT_TELL, CANNOT_TELL, CANNOT_TELL, CANNOT_TELL),
    ],
)
def test_three_answers_combine_as_kleene_has_it(first: Answer, second: Answer, all_of: Answer, any_of: Answer) -> None:
    for parts in ((saying(first), saying(second)), (saying(second), saying(first))):
        assert AllOf(parts).answer(View(MAIL)) is all_of
        assert AnyOf(parts).answer(View(MAIL)) is any_of


@pytest.mark.parametrize(("part", "answer"), [(YES, NO), (NO, YES), (CANNOT_TELL, CANNOT_TELL)])
def test_what_cannot_be_told_cannot_be_denied(part: Answer, answer: Answer) -> None:
    assert Negation(saying(part)).answer(View(MAIL)) is answer


# --- actions ---------------------------------------------------------------------------------------------------------


def rule(name: str, when: Condition | None = None, **then: object) -> Rule:
    return Rule(name, when or Always(), Actions(**then))  # type: ignore[arg-type]


ROUTE = Route(RouteKind.ADDRESSES, addresses=("boss@reflectle.test",))


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        pytest.param({"disposition": Disposition.IGNORE}, {"disposition": "ignore"}, id="ignore"),
        pytest.param({"disposition": Disposition.HOLD}, {"disposition": "hold"}, id="hold"),
        pytest.param({"route": ROUTE}, {"route": ROUTE}, id="route"),
        pytest.param({"also_to": ("a@b.test", "a@b.test")}, {"also_to": ("a@b.test",)}, id="also_to"),
        pytest.param({"rewrite_recipient": "case@crm.test"}, {"rewrite_recipient": "case@crm.test"}, id="rewrite"),
        pytest.param(
            {"ticket_stage": Stage.CLOSED, "no_ticket": False},
            {"ticket_stage": Stage.CLOSED, "wants_ticket": True},
            id="stage",
        ),
        pytest.param(
            {"always_new": True, "no_ticket": False}, {"always_new": True, "wants_ticket": True}, id="always_new"
        ),
        pytest.param(
            {"priority": "high", "no_ticket": False}, {"priority": "high", "wants_ticket": True}, id="priority"
        ),
        pytest.param({"no_ticket": True}, {"no_ticket": True}, id="no_ticket"),
        pytest.param({"banner": "none"}, {"banner": "none"}, id="banner"),
        pytest.param({"tags": ("vip",)}, {"tags": ("vip",)}, id="tags"),
        pytest.param({}, {}, id="nothing"),
    ],
)
def test_an_action_comes_out_of_the_rule_that_matches_and_only_of_that(
    then: dict[str, Any], outcome: dict[str, Any]
) -> None:
    matching = evaluate([rule("one", **then)], MAIL)
    other = evaluate([rule("one", saying(NO), **then)], MAIL)

    said = {f.name: getattr(matching, f.name) for f in fields(RuleOutcome)}
    plain = {f.name: getattr(RuleOutcome(), f.name) for f in fields(RuleOutcome)}
    assert said == plain | outcome | {"names": ("one",), "reasons": matching.reasons}
    assert [reason.to_json() for reason in matching.reasons] == [{"code": "rule.matched", "rule": "one"}]
    assert other == RuleOutcome()


def test_the_first_rule_that_matches_decides() -> None:
    outcome = evaluate([rule("no", saying(NO), banner="a"), rule("yes", banner="b"), rule("late", banner="c")], MAIL)

    assert outcome.names == ("yes",)
    assert outcome.banner == "b"


def test_continue_lets_the_rules_below_speak() -> None:
    outcome = evaluate([rule("one", tags=("a",), continues=True), rule("two", tags=("b",)), rule("three")], MAIL)

    assert outcome.names == ("one", "two")
    assert outcome.tags == ("a", "b")


def test_lists_add_up_and_of_the_rest_the_higher_rule_stands() -> None:
    high: dict[str, Any] = {
        "disposition": Disposition.HOLD,
        "route": ROUTE,
        "rewrite_recipient": "a@crm.test",
        "ticket_stage": Stage.NEW,
        "priority": "high",
        "no_ticket": False,
        "banner": "none",
    }
    low: dict[str, Any] = {
        "disposition": Disposition.IGNORE,
        "route": Route(RouteKind.ALLMEMBER),
        "rewrite_recipient": "b@crm.test",
        "ticket_stage": Stage.CLOSED,
        "priority": "low",
        "no_ticket": True,
        "banner": "full",
    }
    outcome = evaluate(
        [
            rule("high", **high, also_to=("a@b.test",), tags=("x",), continues=True),
            rule("low", **low, also_to=("c@d.test", "a@b.test"), tags=("x", "y"), continues=True),
        ],
        MAIL,
    )

    assert outcome == RuleOutcome(
        names=("high", "low"),
        disposition=Disposition.HOLD,
        route=ROUTE,
        rewrite_recipient="a@crm.test",
        ticket_stage=Stage.NEW,
        priority="high",
        wants_ticket=True,
        banner="none",
        also_to=("a@b.test", "c@d.test"),
        tags=("x", "y"),
        reasons=outcome.reasons,
    )


def test_below_no_ticket_nothing_is_said_about_the_ticket() -> None:
    outcome = evaluate(
        [
            rule("none", no_ticket=True, continues=True),
            rule("new", no_ticket=False, always_new=True, ticket_stage=Stage.NEW, priority="high"),
        ],
        MAIL,
    )

    assert outcome.no_ticket
    assert (outcome.wants_ticket, outcome.always_new, outcome.ticket_stage, outcome.priority) == (
        False,
        False,
        None,
        "",
    )


def test_a_rule_fills_what_the_higher_one_left_open() -> None:
    outcome = evaluate(
        [
            rule("one", no_ticket=False, priority="high", continues=True),
            rule("two", no_ticket=False, ticket_stage=Stage.WAITING, route=ROUTE),
        ],
        MAIL,
    )

    assert (outcome.priority, outcome.ticket_stage, outcome.route) == ("high", Stage.WAITING, ROUTE)


def test_a_rule_that_cannot_be_told_is_skipped_and_recorded() -> None:
    company = condition("company", ["acme*"], compile_pattern)
    owner = condition("owner", ["*"], compile_pattern)
    rules = [
        rule("vip", AllOf((company, AnyOf((owner, company)))), tags=("vip",)),
        rule("inbound", condition("direction", ["inbound"], compile_pattern), tags=("in",)),
    ]

    unreached, reached = evaluate(rules, UNREACHED), evaluate(rules, MAIL)

    assert unreached.names == ("inbound",)
    assert unreached.skipped == (Skipped("vip", ("company", "owner")),)
    assert [reason.to_json() for reason in unreached.reasons] == [
        {"code": "rule.skipped", "rule": "vip", "conditions": "company, owner"},
        {"code": "rule.matched", "rule": "inbound"},
    ]
    assert (reached.names, reached.skipped) == (("vip",), ())


def test_a_condition_that_decides_elsewhere_leaves_no_doubt() -> None:
    company = condition("company", ["acme*"], compile_pattern)

    assert evaluate([rule("one", AllOf((company, saying(NO))))], UNREACHED) == RuleOutcome()
    assert evaluate([rule("one", AnyOf((company, saying(YES))))], UNREACHED).skipped == ()


def test_only_skipped_rules_are_an_outcome_too() -> None:
    outcome = evaluate([rule("one", saying(CANNOT_TELL))], MAIL)

    assert (outcome.names, outcome.skipped) == ((), (Skipped("one", ("cannot tell",)),))


@pytest.mark.parametrize(
    ("when", "decides"),
    [
        pytest.param(condition("spam", True, compile_pattern), True, id="spam"),
        pytest.param(AllOf((Always(), condition("spam", True, compile_pattern))), True, id="inside"),
        pytest.param(Always(), False, id="always"),
        pytest.param(condition("from", ["*@acme.example"], compile_pattern), False, id="from"),
        pytest.param(condition("direction", ["note", "Spam"], compile_pattern), True, id="direction-spam"),
        pytest.param(condition("direction", ["inbound"], compile_pattern), False, id="direction"),
    ],
)
def test_only_a_rule_that_names_spam_decides_about_spam(when: Condition, decides: bool) -> None:
    assert evaluate([rule("one", when)], replace(MAIL, is_spam=True)).decides_spam is decides


def test_mail_called_spam_is_spam_beside_what_else_it_is() -> None:
    spam = replace(MAIL, is_spam=True)

    assert ask("direction", ["spam"], spam) is YES
    assert ask("direction", ["inbound"], spam) is YES
    assert ask("direction", ["spam"], MAIL) is NO


def test_held_spam_is_shown_to_rules_that_name_spam_until_one_of_them_matches() -> None:
    rules = [
        rule("unnamed above", Always()),
        rule("other spam", AllOf((condition("spam", True, compile_pattern), saying(NO)))),
        rule("spam", condition("spam", True, compile_pattern), tags=("spam",), continues=True),
        rule("unnamed below", Always(), also_to=("boss@reflectle.test",)),
    ]
    held = evaluate(rules, replace(MAIL, is_spam=True, is_held_spam=True))
    tagged = evaluate(rules, replace(MAIL, is_spam=True))

    assert held.names == ("spam", "unnamed below")
    assert held.decides_spam
    assert tagged.names == ("unnamed above",)
    assert evaluate(rules[:2], replace(MAIL, is_spam=True, is_held_spam=True)) == RuleOutcome()


def test_whether_a_condition_is_asked_is_known_without_asking() -> None:
    rules = [rule("one", AllOf((Always(), Negation(AnyOf((condition("known_contact", True, compile_pattern),))))))]

    assert names_condition(rules, "known_contact")
    assert not names_condition(rules, "company")
    assert not names_condition([], "company")


def test_a_quoted_or_international_forward_path_is_compared_in_one_form() -> None:
    envelope = Envelope("", ('"Ann B"@reflectle.test', "info@Bücher.example"), Peer("192.0.2.1", "x"))
    subject = replace(MAIL, envelope=envelope)

    assert ask("recipient", ["ann b@reflectle.test"], subject) is YES
    assert ask("recipient", ["*@xn--bcher-kva.example"], subject) is YES


def test_an_empty_mail_raises_nothing() -> None:
    empty = replace(MAIL, facts=Facts(), envelope=Envelope("", ("x",), Peer("", "")))

    for name in ("from", "to", "cc", "recipient", "subject", "body", "attachment"):
        assert ask(name, ["*nothing@*"], empty) is NO


def test_twenty_rules_take_less_than_a_tenth_of_a_millisecond() -> None:
    def of(name: str, value: ConditionValue) -> Test:
        return condition(name, value, compile_pattern)

    rules = []
    for n in range(5):
        rules += [
            rule(f"a{n}", AnyOf((of("automatic", ["newsletter"]), of("from", [f"*@news{n}.example"])))),
            rule(f"b{n}", AllOf((of("direction", ["inbound"]), of("subject", [f"/urgent{n}|故障{n}/i"])))),
            rule(f"c{n}", AllOf((of("recipient", [f"help{n}@reflectle.test"]), of("proven", True)))),
            rule(f"d{n}", AllOf((of("company", [f"Example {n}*"]), of("size_over", 10_000_000)))),
        ]
    times = []
    for _ in range(200):
        began = time.process_time_ns()
        for _ in range(5):
            outcome = evaluate(rules, MAIL)
        times.append((time.process_time_ns() - began) / 5)

    assert outcome == RuleOutcome()
    assert min(times) < 100_000
