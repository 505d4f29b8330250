"""Examples of rules: what is compared, and the line that says what came out instead."""

from collections.abc import Mapping
from typing import Any

import pytest

from supportrelay.core.decision import Decision, Direction, Place, Proof
from supportrelay.core.errors import InputError
from supportrelay.core.rule_conditions import Always
from supportrelay.core.rule_examples import EXPECTABLE, Example, check_examples
from supportrelay.core.rules import Actions, Rule

MAIL = "From: Ann <ann@acme.example>\nTo: support@reflectle.test\nSubject: 至急\n\nPlease call.\n"
CAME_OUT = {
    "direction": "inbound",
    "support_in": "to",
    "address": "reflectle",
    "proven": False,
    "customer": "ann@acme.example",
    "company": {"id": "17", "name": "ACME"},
    "deal": None,
    "owners": ["Tanaka@reflectle.test"],
    "fallback": None,
    "rule": "urgent",
    "rules": ["urgent", "vip"],
    "recipients": ["second@reflectle.test", "Boss@reflectle.test"],
    "ticket": {"id": None, "stage": "NEW", "action": "open", "priority": "high"},
    "disposition": "relay",
    "tags": ["vip"],
    "reasons": [],
}


def check(expect: Mapping[str, Any], came_out: Mapping[str, Any] = CAME_OUT, rule: str = "urgent") -> list[str]:
    rules = [Rule(rule, Always(), Actions(), (Example(rule, 1, MAIL, expect=expect),))]
    return check_examples(rules, lambda example: came_out)


@pytest.mark.parametrize(
    ("expect", "failure"),
    [
        pytest.param({}, "", id="nothing-said-this-rule"),
        pytest.param({"rule": "urgent"}, "", id="rule"),
        pytest.param({"rule": "vip"}, "", id="rule-below-one-that-continues"),
        pytest.param({"rule": "other"}, "expected rule other, got [urgent, vip]", id="rule-no"),
        pytest.param({"rule": None}, "expected rule none, got [urgent, vip]", id="no-rule"),
        pytest.param({"rules": ["urgent", "vip"]}, "", id="rules"),
        pytest.param({"rules": ["vip", "urgent"]}, "expected rules [vip, urgent], got [urgent, vip]", id="rules-no"),
        pytest.param({"direction": "Inbound"}, "", id="direction"),
        pytest.param({"direction": "outbound"}, "expected direction outbound, got inbound", id="direction-no"),
        pytest.param({"support_in": "to"}, "", id="support_in"),
        pytest.param({"support_in": "cc"}, "expected support_in cc, got to", id="support_in-no"),
        pytest.param({"address": "reflectle"}, "", id="address"),
        pytest.param({"address": "other"}, "expected address other, got reflectle", id="address-no"),
        pytest.param({"proven": False}, "", id="proven"),
        pytest.param({"proven": True}, "expected proven true, got false", id="proven-no"),
        pytest.param({"customer": "Ann@acme.example"}, "", id="customer"),
        pytest.param({"customer": None}, "expected customer none, got ann@acme.example", id="customer-no"),
        pytest.param({"company": "ACME"}, "", id="company-name"),
        pytest.param({"company": 17}, "", id="company-id"),
        pytest.param({"company": "Other"}, "expected company Other, got ACME", id="company-no"),
        pytest.param({"company": None}, "expected company none, got ACME", id="company-none"),
        pytest.param({"deal": None}, "", id="deal"),
        pytest.param({"deal": "Robots"}, "expected deal Robots, got none", id="deal-no"),
        pytest.param({"owners": "tanaka@reflectle.test"}, "", id="owners"),
        pytest.param({"owners": []}, "expected owners [], got [tanaka@reflectle.test]", id="owners-no"),
        pytest.param({"fallback": None}, "", id="fallback"),
        pytest.param({"fallback": "no_deal"}, "expected fallback no_deal, got none", id="fallback-no"),
        pytest.param(
            {"recipients": ["boss@reflectle.test", "Second@reflectle.test"]}, "", id="recipients-in-any-order"
        ),
        pytest.param(
            {"recipients": ["boss@reflectle.test"]},
            "expected recipients [boss@reflectle.test], got [boss@reflectle.test, second@reflectle.test]",
            id="recipients-no",
        ),
        pytest.param({"ticket": "new"}, "", id="ticket"),
        pytest.param({"ticket": "CLOSED"}, "expected ticket closed, got new", id="ticket-no"),
        pytest.param({"ticket": "none"}, "expected ticket none, got new", id="ticket-none"),
        pytest.param({"ticket": {"stage": "NEW", "priority": "high"}}, "", id="ticket-parts"),
        pytest.param(
            {"ticket": {"priority": "low"}},
            "expected ticket {priority: low}, got {priority: high}",
            id="ticket-parts-no",
        ),
        pytest.param({"tags": "vip"}, "", id="tags"),
        pytest.param({"tags": []}, "expected tags [], got [vip]", id="tags-no"),
        pytest.param({"disposition": "relay"}, "", id="disposition"),
        pytest.param({"disposition": "hold"}, "expected disposition hold, got relay", id="disposition-no"),
    ],
)
def test_what_an_example_expects_is_compared(expect: dict[str, Any], failure: str) -> None:
    assert check(expect) == ([f"rule urgent, example 1: {failure}"] if failure else [])


def test_without_expectation_the_rule_itself_must_match() -> None:
    assert check({}, rule="third") == ["rule third, example 1: expected rule third, got [urgent, vip]"]


def test_nothing_matched_and_no_ticket_are_what_a_plain_decision_says() -> None:
    plain = Decision(Direction.INBOUND, Place.TO, "reflectle", Proof("unproven")).to_json()  # type: ignore[arg-type]

    assert check({"rule": None, "ticket": "none", "rules": [], "recipients": [], "company": None}, plain) == []


def test_every_mistake_of_every_example_has_its_line() -> None:
    def example(number: int) -> Example:
        return Example("urgent", number, MAIL, expect={"direction": "note", "proven": True})

    rules = [Rule("urgent", Always(), Actions(), (example(1), example(2)))]

    assert len(check_examples(rules, lambda one: CAME_OUT)) == 4


def test_an_example_that_cannot_be_decided_says_why() -> None:
    def refuse(example: Example) -> Mapping[str, Any]:
        raise InputError("no such address")

    rules = [Rule("urgent", Always(), Actions(), (Example("urgent", 2, MAIL),))]

    assert check_examples(rules, refuse) == ["rule urgent, example 2: no such address"]


@pytest.mark.parametrize(
    ("mail", "octets"),
    [
        pytest.param("From: a@b.test\nSubject: x\n\nHi", b"From: a@b.test\r\nSubject: x\r\n\r\nHi\r\n", id="body"),
        pytest.param("From: a@b.test", b"From: a@b.test\r\n\r\n", id="no-body"),
        pytest.param("\nFrom: a@b.test\r\n\r\nHi\r\n", b"From: a@b.test\r\n\r\nHi\r\n", id="crlf"),
        pytest.param("Subject: 至急\n", "Subject: 至急\r\n\r\n".encode(), id="utf-8"),
    ],
)
def test_the_mail_of_an_example_becomes_octets(mail: str, octets: bytes) -> None:
    assert Example("urgent", 1, mail).octets == octets


def test_all_names_but_the_list_of_reasons_can_be_expected() -> None:
    named = set(Decision(Direction.INBOUND, Place.TO, "x", Proof("unproven")).to_json())  # type: ignore[arg-type]

    assert set(EXPECTABLE) <= named
