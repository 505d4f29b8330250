"""The order of questions, each row with what it does to the ticket and who gets a copy (DESIGN 2)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.desk_samples import (
    CUSTOMER,
    DESK,
    KEY,
    NOW,
    OWNED,
    PROVEN,
    SUPPORT,
    UNPROVEN,
    ZOE,
    address,
    decided,
    mail,
    members,
    ticket,
    who_gets,
)
from supportrelay.core.decision import CopyPlan, Decision, Direction, Disposition, Fallback, Proof, TicketAction
from supportrelay.core.facts import Facts
from supportrelay.core.membership import Membership
from supportrelay.core.owners import OwnerChoice
from supportrelay.core.ports import Gathered
from supportrelay.core.rules import RuleOutcome
from supportrelay.core.settings import SpamMark
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Hit, HitBy, Stage
from supportrelay.core.token import trail

ANN, ALL, ADMIN = "ann@staff.test", "all-support@desk.test", "it@staff.test"
NOBODY = OwnerChoice(fallback=Fallback.UNKNOWN_COMPANY)
OUTBOUND = {"to": CUSTOMER, "cc": SUPPORT}
ABSENCE = {"auto_submitted": "auto-replied"}

ROWS: list[Any] = [
    # facts, proof, on a ticket?; direction, what happens to the ticket, stage, who gets it
    pytest.param(mail(), UNPROVEN, False, "inbound", "open", "NEW", [ANN], id="inbound-new"),
    pytest.param(mail(), UNPROVEN, True, "inbound", "join", "NEW", [ANN], id="inbound-in-a-thread"),
    pytest.param(mail(ZOE, **OUTBOUND), PROVEN, False, "outbound", "open", "CLOSED", [ANN], id="outbound-cc"),
    pytest.param(mail(ZOE, **OUTBOUND), PROVEN, True, "outbound", "join", "CLOSED", [ANN], id="outbound-cc-joined"),
    pytest.param(mail(ZOE, to=CUSTOMER), PROVEN, False, "outbound", "none", None, [ANN], id="outbound-bcc"),
    pytest.param(mail(ZOE, to=CUSTOMER), PROVEN, True, "outbound", "join", "WAITING", [ANN], id="outbound-bcc-joined"),
    pytest.param(mail(ZOE, **OUTBOUND), UNPROVEN, False, "unproven", "open", "NEW", [ADMIN], id="unproven"),
    pytest.param(mail(ZOE), PROVEN, False, "note", "open", "NEW", [ANN], id="note"),
    pytest.param(mail(ZOE), PROVEN, True, "note", "join", "WAITING", [ANN], id="note-in-a-thread"),
    pytest.param(mail(**ABSENCE), UNPROVEN, False, "automatic", "none", None, [ANN], id="absence-of-nothing"),
    pytest.param(mail(**ABSENCE), UNPROVEN, True, "automatic", "join", "WAITING", [], id="absence-in-a-thread"),
    pytest.param(mail("noreply@x.example"), UNPROVEN, False, "automatic", "none", None, [ANN], id="robot"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "proof", "is_on_ticket", "direction", "action", "stage", "gets"), ROWS)
def test_a_row_of_the_table(
    facts: Facts, proof: Proof, is_on_ticket: bool, direction: str, action: str, stage: str | None, gets: list[str]
) -> None:
    on = ticket(stage=Stage.WAITING, last_customer_mail_at=None) if is_on_ticket else None

    decision = decided(facts, proof=proof, joins=on)

    assert (decision.direction, decision.ticket.action, decision.ticket.stage) == (direction, action, stage)
    assert who_gets(decision) == gets


def test_unproven_staff_names_no_customer_and_no_company() -> None:
    decision = decided(mail(ZOE, **OUTBOUND))

    assert (decision.customer, decision.company_id, decision.deal_id, decision.owners) == ("", "", "", ())
    assert decision.fallback == Fallback.UNPROVEN_SENDER
    assert decision.copy is not None
    assert decision.copy.is_unproven
    assert decision.copy.reply_to == (SUPPORT,)


@pytest.mark.parametrize(
    ("sender", "proof", "is_unproven"),
    [
        pytest.param(f"Boss <{SUPPORT}>", UNPROVEN, True, id="our-address"),
        pytest.param(f"Boss <{ZOE}>, x@evil.example", UNPROVEN, True, id="a-colleague-among-several"),
        pytest.param(f"Boss <{ZOE}>\r\nFrom: x@evil.example", UNPROVEN, True, id="two-fields"),
        pytest.param(f"Scanner <{SUPPORT}>", PROVEN, False, id="our-address-by-a-host-of-ours"),
        pytest.param(CUSTOMER, UNPROVEN, False, id="a-customer"),
    ],
)
def test_c38_who_nobody_knows_is_not_shown_as_one_of_us(sender: str, proof: Proof, is_unproven: bool) -> None:
    copy = decided(mail(sender), proof=proof).copy

    assert copy is not None
    assert copy.is_unproven is is_unproven


@pytest.mark.parametrize(
    ("choice", "code", "name"),
    [
        (OWNED, "O", "owner"),
        (NOBODY, "A1", "unknown_company"),
        (OwnerChoice(fallback=Fallback.NO_DEAL), "A2", "no_deal"),
        (OwnerChoice(fallback=Fallback.NO_OWNER), "A3", "no_owner"),
        (OwnerChoice(fallback=Fallback.NO_REACHABLE_OWNER), "A3", "no_reachable_owner"),
        (None, "A4", "crm_unreachable"),
    ],
    ids=str,
)
def test_the_reason_is_named_in_full_and_in_a_neutral_code(choice: OwnerChoice | None, code: str, name: str) -> None:
    decision = decided(mail(), choice=choice)

    assert decision.copy is not None
    assert (decision.copy.reason_code, decision.copy.reason_name) == (code, name)
    assert who_gets(decision) == ([ANN] if choice is OWNED else [ALL])


def test_a_new_ticket_names_the_one_that_was_claimed_in_vain() -> None:
    refused = Match(refused=((ticket(id=99), "thread.not_on_ticket"),))

    assert decided(mail(), match=refused).ticket.related_ticket_id == 99


# --- the same mail


AGAIN = Gathered(duplicate_of="Q0", duplicate_ticket=7, duplicate_has=frozenset({ANN}))


def test_the_same_mail_goes_only_to_who_has_none_and_changes_nothing() -> None:
    two = replace(OWNED, owners=(ANN, "ben@staff.test"))

    decision = decided(mail(), gathered=AGAIN, choice=two)

    assert decision.direction == Direction.DUPLICATE
    assert decision.ticket.action == TicketAction.NONE
    assert who_gets(decision) == ["ben@staff.test"]


SPAM = members(replace(DESK, spam=SpamMark({"x-spam-flag": "YES"})))


def test_what_nobody_got_the_first_time_nobody_gets_the_second_time() -> None:
    """A spam or an absence notice that comes again must not slip through as 'only people who have none yet'."""
    again = replace(AGAIN, duplicate_has=frozenset())

    assert who_gets(decided(mail(x_spam_flag="YES"), gathered=again, who=SPAM)) == []
    assert who_gets(decided(mail(**ABSENCE), gathered=again, joins=ticket())) == []
    assert who_gets(decided(mail(), gathered=again, outcome=RuleOutcome(disposition=Disposition.HOLD))) == []


# --- spam and holding


def test_spam_is_held_before_anything_else_is_asked() -> None:
    for facts, proof in ((mail(x_spam_flag="YES"), UNPROVEN), (mail(**ABSENCE, x_spam_flag="YES"), UNPROVEN)):
        decision = decided(facts, proof=proof, who=SPAM)

        assert (decision.direction, decision.disposition) == (Direction.SPAM, Disposition.HOLD)
        assert (decision.ticket.action, who_gets(decision)) == (TicketAction.NONE, [])


def marks(decision: Decision) -> tuple[str, ...]:
    assert decision.copy is not None
    return decision.copy.tags


def test_spam_that_is_let_through_is_marked() -> None:
    tagging = members(replace(DESK, spam=SpamMark({"x-spam-flag": "YES"}, then="tag")))
    spam = mail(x_spam_flag="YES")

    for decision in (
        decided(spam, who=tagging),
        decided(spam, who=SPAM, is_released=True),
        decided(spam, who=SPAM, outcome=RuleOutcome(decides_spam=True)),
    ):
        assert who_gets(decision) == [ANN]
        assert marks(decision) == ("spam",)
    assert marks(decided(mail(subject="自動返信"))) == ("looks-automatic",)
    assert marks(decided(mail())) == ()


def held_staff(how: str) -> Membership:
    return members(replace(DESK, addresses=(address(unproven_staff=how),)))


def test_unproven_staff_may_be_held_and_is_released_as_unproven() -> None:
    forged = mail(ZOE, **OUTBOUND)

    assert decided(forged, who=held_staff("hold")).disposition == Disposition.HOLD
    released = decided(forged, who=held_staff("hold"), is_released=True)
    assert (released.disposition, who_gets(released), released.customer) == (Disposition.RELAY, [ALL], "")
    assert released.ticket.stage == Stage.NEW


def test_ignored_stays_ignored_even_when_released() -> None:
    ignoring = RuleOutcome(disposition=Disposition.IGNORE)

    for is_released in (False, True):
        decision = decided(mail(), outcome=ignoring, is_released=is_released)
        assert (decision.disposition, who_gets(decision), decision.ticket.action) == (Disposition.IGNORE, [], "none")


# --- passed on

EVERYBODY = (SUPPORT, "postmaster@desk.test", "a@far.example")


def test_others_get_it_as_it_came_beside_the_desk() -> None:
    assert who_gets(decided(mail(), paths=EVERYBODY)) == [ANN, ADMIN, "a@far.example"]
    only_others = decided(mail(), paths=EVERYBODY[1:])
    assert who_gets(only_others) == [ADMIN, "a@far.example"]
    assert only_others.ticket.action == TicketAction.NONE


def test_what_is_held_is_held_for_everybody() -> None:
    """A copy passed on would make the message 'delivered', and nobody would release what is held."""
    held = decided(mail(x_spam_flag="YES"), who=SPAM, paths=EVERYBODY)

    assert who_gets(held) == []
    assert who_gets(decided(mail(x_spam_flag="YES"), who=SPAM, paths=EVERYBODY, is_released=True)) == [
        ANN,
        ADMIN,
        "a@far.example",
    ]


def test_a_loop_goes_to_nobody_of_ours_and_on_to_others() -> None:
    ours = mail(x_supportrelay_trail=trail(KEY, "here", "Q1"))

    assert who_gets(decided(ours)) == []
    assert decided(ours).direction == Direction.LOOP
    assert who_gets(decided(ours, paths=("postmaster@desk.test",))) == []
    assert who_gets(decided(ours, paths=EVERYBODY)) == ["a@far.example"]
    assert who_gets(decided(ours, paths=("a@far.example",))) == ["a@far.example"]


# --- what rules change


def test_no_ticket_by_rule_takes_nobodys_copy() -> None:
    decision = decided(mail(), joins=ticket(), outcome=RuleOutcome(no_ticket=True))

    assert (decision.ticket.action, who_gets(decision)) == (TicketAction.NONE, [ANN])


def test_a_rule_makes_a_ticket_of_automatic_mail() -> None:
    for outcome, stage in (
        (RuleOutcome(wants_ticket=True), Stage.NEW),
        (RuleOutcome(wants_ticket=True, ticket_stage=Stage.CLOSED), Stage.CLOSED),
    ):
        decision = decided(mail("noreply@x.example"), outcome=outcome)
        assert (decision.ticket.action, decision.ticket.stage) == (TicketAction.OPEN, stage)


@pytest.mark.parametrize("facts", [mail(), mail(ZOE)], ids=["column-that-moves", "column-that-keeps"])
def test_a_persons_later_move_stands_against_a_rule_too(facts: Facts) -> None:
    wanted = RuleOutcome(wants_ticket=True, ticket_stage=Stage.CLOSED)
    later = ticket(stage=Stage.WAITING, moved_by_person_at=NOW + timedelta(seconds=1))

    kept = decided(facts, proof=PROVEN, joins=later, outcome=wanted).ticket
    assert (kept.stage, kept.moves, kept.note) == (Stage.WAITING, False, "moved_by_person")
    moved = decided(facts, proof=PROVEN, joins=ticket(stage=Stage.WAITING), outcome=wanted).ticket
    assert (moved.stage, moved.moves) == (Stage.CLOSED, True)


def test_a_late_mail_that_the_thread_names_is_known_to_be_answered() -> None:
    closed = ticket(stage=Stage.CLOSED, stage_mail_at=NOW + timedelta(seconds=1))
    answered = Gathered(hits=(Hit(HitBy.REFERENCES, closed, is_anchor=True, names_it=True),))
    other = Gathered(hits=(Hit(HitBy.REFERENCES, replace(closed, id=99), is_anchor=True, names_it=True),))

    kept = decided(mail(), joins=closed, gathered=answered).ticket
    assert (kept.stage, kept.note, kept.wants) == (Stage.CLOSED, "answered_already", None)
    for gathered in (Gathered(), other):
        opened = decided(mail(), joins=closed, gathered=gathered).ticket
        assert (opened.stage, opened.moves, opened.wants) == (Stage.NEW, True, Stage.NEW)


# --- the plan of the copy


def test_the_banner_is_long_on_the_first_mail_only() -> None:
    first, joined = decided(mail()).copy, decided(mail(), joins=ticket()).copy

    assert first is not None
    assert joined is not None
    assert (first.is_first, joined.is_first) == (True, False)


def test_owners_are_shown_when_wanted_but_not_twice() -> None:
    shown = members(replace(DESK, addresses=(address(show_recipients=True),)))
    two = replace(OWNED, owners=(ANN, "Ben@staff.test"))

    plan = decided(mail(cc="ben@STAFF.test"), who=shown, choice=two).copy
    assert plan is not None
    assert plan.visible_recipients == (ANN,)
    hidden = decided(mail(), choice=two).copy
    assert hidden is not None
    assert hidden.visible_recipients == ()


def test_a_forwarded_mail_names_its_author_and_who_forwarded_it() -> None:
    body = "---------- Forwarded message ---------\r\nFrom: Kunde <kunde@acme.example>\r\nDate: x\r\nTo: y\r\n\r\nhi"

    decision = decided(mail(ZOE, body=body), proof=PROVEN)

    assert decision.copy is not None
    assert (decision.copy.author, decision.copy.author_name, decision.copy.forwarded_by) == (CUSTOMER, "Kunde", ZOE)
    assert (decision.direction, decision.customer) == (Direction.INBOUND, CUSTOMER)


# --- last known answers


def as_of(choice: OwnerChoice | None, **more: Any) -> str:
    plan = decided(more.pop("facts", mail()), choice=choice, **more).copy
    assert plan is not None
    return plan.as_of


def test_the_copy_says_from_when_the_owners_are_where_they_chose_the_readers() -> None:
    old: dict[str, Any] = {"source": "hubspot", "known_at": NOW, "as_of": NOW}

    assert as_of(replace(OWNED, **old)) == "2026-03-09T07:00:00Z"
    assert as_of(replace(NOBODY, **old)) == "2026-03-09T07:00:00Z"
    assert as_of(replace(OWNED, source="hubspot", known_at=NOW)) == ""
    assert as_of(None) == "", "everybody gets it because the CRM is silent: nothing old was used"
    assert as_of(replace(OWNED, **old), facts=mail(ZOE, **OUTBOUND)) == "", "nobody asked for unproven staff's owners"


def test_a_decision_says_which_directory_it_stands_on() -> None:
    known = replace(OWNED, source="hubspot", known_at=NOW)

    said = {"source": "hubspot", "known_at": "2026-03-09T07:00:00Z", "is_last_known": False}
    assert decided(mail(), choice=known).to_json()["directory"] == said
    assert decided(mail(), choice=replace(known, as_of=NOW)).to_json()["directory"] == said | {"is_last_known": True}
    assert decided(mail(), choice=None).to_json()["directory"] is None


def test_a_plan_of_before_is_still_read() -> None:
    stored = {"address_name": "support", "reply_to": ["a@b.example"], "is_first": False, "gone": 1}

    assert CopyPlan.from_json(stored) == CopyPlan("support", reply_to=("a@b.example",), is_first=False)
    new = CopyPlan("support", as_of="2026-03-09T07:00:00Z")
    assert CopyPlan.from_json(new.to_json()) == new
