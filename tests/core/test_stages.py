"""What a mail does to its ticket's stage: the columns of DESIGN 2, and what stands against a closing."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.desk_samples import CUSTOMER, DESK, NOW, PROVEN, SUPPORT, UNPROVEN, ZOE, mail, members, seen, ticket
from supportrelay.core.decision import Proof
from supportrelay.core.facts import Facts
from supportrelay.core.stages import StageChange, stage_by_mail, stage_by_rule
from supportrelay.core.ticket import Stage, StageRule, TicketStages, TicketView


def asked(
    facts: Facts,
    on: TicketView | None,
    *,
    proof: Proof = PROVEN,
    stages: TicketStages | None = None,
    companies: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
    is_named: bool = False,
) -> StageChange:
    desk = replace(DESK, ticket_stages=stages or TicketStages())
    return stage_by_mail(
        seen(facts, proof=proof, paths=(SUPPORT,), who=members(desk)),
        facts,
        desk=desk,
        ticket=on,
        accepted_at=NOW,
        customers_companies=companies,
        customers_domains=domains,
        is_named=is_named,
    )


ANSWER = {"in_reply_to": "<last@acme.example>"}
IN_TO = mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}", **ANSWER)
IN_CC = mail(ZOE, to=CUSTOMER, cc=SUPPORT, **ANSWER)
IN_BOTH = mail(ZOE, to=f"{CUSTOMER}, {SUPPORT}", cc=SUPPORT, **ANSWER)
IN_BCC = mail(ZOE, to=CUSTOMER, **ANSWER)
NOTE = mail(ZOE)
FORGED = mail(ZOE, to=CUSTOMER, cc=SUPPORT)
ABSENCE = mail(auto_submitted="auto-replied")

COLUMNS = [
    # facts, proof; stage without a ticket; afterwards from NEW, WAITING, CLOSED, OTHER
    pytest.param(mail(), UNPROVEN, "NEW", "NEW NEW NEW NEW", id="inbound-to"),
    pytest.param(mail(to="x@y.example", cc=SUPPORT), UNPROVEN, "NEW", "NEW NEW NEW NEW", id="inbound-cc"),
    pytest.param(mail(to="x@y.example"), UNPROVEN, "NEW", "NEW NEW NEW NEW", id="inbound-bcc"),
    pytest.param(IN_TO, PROVEN, "NEW", "NEW NEW NEW NEW", id="outbound-to"),
    pytest.param(IN_CC, PROVEN, "CLOSED", "CLOSED CLOSED CLOSED CLOSED", id="outbound-cc"),
    pytest.param(IN_BOTH, PROVEN, "NEW", "NEW NEW NEW NEW", id="outbound-to-and-cc"),
    pytest.param(IN_BCC, PROVEN, "", "NEW WAITING CLOSED OTHER", id="outbound-other"),
    pytest.param(NOTE, PROVEN, "NEW", "NEW WAITING CLOSED OTHER", id="note"),
    pytest.param(FORGED, UNPROVEN, "NEW", "NEW WAITING CLOSED OTHER", id="unproven"),
    pytest.param(ABSENCE, UNPROVEN, "NEW", "NEW WAITING CLOSED OTHER", id="automatic"),
]


@pytest.mark.parametrize(("facts", "proof", "opened", "moved"), COLUMNS)
def test_the_columns_of_the_table(facts: Facts, proof: Proof, opened: str, moved: str) -> None:
    without = asked(facts, None, proof=proof)
    assert ((without.stage or ""), without.moves) == (opened, bool(opened))

    for before, after in zip(["NEW", "WAITING", "CLOSED", "OTHER"], moved.split(), strict=True):
        change = asked(facts, ticket(stage=Stage(before)), proof=proof)
        assert (change.stage, change.moves) == (after, before != after)
        assert change.reasons


def test_the_columns_are_configuration() -> None:
    stages = TicketStages(
        inbound_to=StageRule.KEEP,
        inbound_cc=StageRule.WAITING,
        outbound_to=StageRule.CLOSED,
        outbound_cc=StageRule.WAITING,
        outbound_other=StageRule.NEW,
    )

    assert asked(mail(), ticket(stage=Stage.CLOSED), stages=stages).stage == Stage.CLOSED
    assert asked(mail(), None, stages=stages).stage == Stage.NEW, "a customer's mail is never without a ticket"
    assert asked(mail(to="x@y.example", cc=SUPPORT), ticket(), stages=stages).stage == Stage.WAITING
    assert asked(IN_TO, ticket(), stages=stages).stage == Stage.CLOSED
    assert asked(IN_CC, ticket(), stages=stages).stage == Stage.WAITING
    assert asked(IN_BCC, None, stages=stages).stage == Stage.NEW


def test_an_inherited_cc_may_be_told_from_one_that_was_set() -> None:
    stages = TicketStages(outbound_cc_inherited=StageRule.KEEP)

    assert asked(IN_CC, ticket(last_had_support_in_cc=True), stages=stages).stage == Stage.NEW
    assert asked(IN_CC, ticket(last_had_support_in_cc=False), stages=stages).stage == Stage.CLOSED
    assert asked(IN_CC, ticket(last_had_support_in_cc=True)).stage == Stage.CLOSED


def staff(body: str = "Done.", to: str = CUSTOMER, **fields: str) -> Facts:
    return mail(ZOE, to=to, cc=SUPPORT, body=body, **fields)


RECENT = {"last_customer_mail_at": NOW - timedelta(minutes=10)}
BEFORE = {"date": "Mon, 9 Mar 2026 06:30:00 +0000"}  # half an hour ago, twenty minutes before the customer's mail
AFTER = {"date": "Mon, 9 Mar 2026 06:55:00 +0000"}
NOT_HIS = "not_closed_other_customer"
AGAINST: list[Any] = [
    pytest.param(staff(**ANSWER), {}, {}, "", id="nothing"),
    pytest.param(staff(""), {}, {}, "not_closed_without_words", id="no-words"),
    pytest.param(staff("> quoted only\r\n"), {}, {}, "not_closed_without_words", id="only-a-quote"),
    pytest.param(staff(to="x@other.example"), {}, {}, NOT_HIS, id="another-customer"),
    pytest.param(staff(to="x@other.example"), {}, {"companies": ("9", "1")}, "", id="his-company-by-the-crm"),
    pytest.param(staff(to="x@acme.example"), {}, {"domains": ("acme.example",)}, "", id="his-company-by-domain"),
    pytest.param(
        staff(to="x@acme.example"), {"customer_domain": ""}, {"domains": ("",)}, NOT_HIS, id="free-mail"
    ),
    pytest.param(staff(to="x@y.example"), {"company_id": "", "customer": ""}, {}, "", id="a-ticket-without-customer"),
    pytest.param(staff(to="x@y.example"), {"company_id": "1,2"}, {"companies": ("2",)}, "", id="one-of-two-companies"),
    pytest.param(staff(**BEFORE), RECENT, {}, "not_closed_late", id="a-mail-came-meanwhile"),
    pytest.param(staff(**AFTER), RECENT, {}, "", id="written-after-it"),
    pytest.param(staff(**BEFORE, **ANSWER), RECENT, {}, "", id="answers-it-whatever-the-clock-says"),
    pytest.param(staff(**BEFORE, references="<older@acme.example>"), RECENT, {}, "not_closed_late", id="an-older"),
    pytest.param(staff(**BEFORE), {"last_customer_mail_at": None}, {}, "", id="no-customer-mail-at-all"),
    pytest.param(staff(), RECENT, {}, "", id="without-a-date"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "on", "known", "refusal"), AGAINST)
def test_what_stands_against_a_closing(facts: Facts, on: dict[str, Any], known: dict[str, Any], refusal: str) -> None:
    for stage in (Stage.NEW, Stage.WAITING):
        change = asked(facts, ticket(stage=stage, **on), **known)

        assert (change.stage, change.moves, change.note) == (
            (stage, False, refusal) if refusal else (Stage.CLOSED, True, "")
        )


def test_a_wordless_closing_without_a_ticket_opens_one_in_new() -> None:
    change = asked(staff(""), None)

    assert (change.stage, change.moves, change.note) == (Stage.NEW, True, "not_closed_without_words")


def test_an_attachment_says_something_too() -> None:
    facts = replace(staff("", **ANSWER), attachments=("offer.pdf",))

    assert asked(facts, ticket()).stage == Stage.CLOSED


@pytest.mark.parametrize("facts", [mail(), IN_TO, IN_CC])
def test_a_persons_later_move_stands_and_is_recorded(facts: Facts) -> None:
    later, earlier = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)

    change = asked(facts, ticket(stage=Stage.WAITING, moved_by_person_at=later))
    assert (change.stage, change.moves, change.note) == (Stage.WAITING, False, "moved_by_person")
    assert asked(facts, ticket(stage=Stage.WAITING, moved_by_person_at=earlier)).moves


def test_a_calendar_answer_without_words_keeps_the_stage() -> None:
    answer = replace(mail(), is_calendar_answer=True)

    assert asked(answer, ticket(stage=Stage.WAITING)).stage == Stage.WAITING
    assert asked(replace(answer, has_calendar_comment=True), ticket(stage=Stage.WAITING)).stage == Stage.NEW
    assert asked(answer, None).stage == Stage.NEW


# --- the order of acceptance

LATER, SAME, EARLIER = NOW + timedelta(seconds=1), NOW, NOW - timedelta(seconds=1)
ORDER: list[Any] = [
    # facts, named by the thread, stage, its mail's acceptance; stage afterwards, note, wants
    pytest.param(IN_TO, False, "CLOSED", LATER, "CLOSED", "later_mail", None, id="answer-late"),
    pytest.param(IN_TO, False, "CLOSED", SAME, "NEW", "", "NEW", id="answer-at-the-same-time"),
    pytest.param(IN_TO, False, "CLOSED", EARLIER, "NEW", "", "NEW", id="answer-in-order"),
    pytest.param(IN_TO, False, "CLOSED", None, "NEW", "", "NEW", id="answer-first"),
    pytest.param(IN_CC, False, "NEW", LATER, "NEW", "later_mail", None, id="closing-late"),
    pytest.param(IN_CC, False, "CLOSED", LATER, "CLOSED", "", None, id="closing-late-closed-already"),
    pytest.param(IN_CC, False, "CLOSED", EARLIER, "CLOSED", "", "CLOSED", id="closing-again"),
    pytest.param(mail(), False, "CLOSED", LATER, "NEW", "", "NEW", id="customer-late-nobody-has-read-it"),
    pytest.param(mail(), True, "CLOSED", LATER, "CLOSED", "answered_already", None, id="customer-late-but-answered"),
    pytest.param(mail(), True, "WAITING", LATER, "NEW", "", "NEW", id="customer-late-named-but-open"),
    pytest.param(mail(), True, "CLOSED", SAME, "NEW", "", "NEW", id="customer-named-but-not-late"),
    pytest.param(mail(), False, "NEW", LATER, "NEW", "", "NEW", id="customer-late-new-already"),
    pytest.param(mail(), False, "NEW", EARLIER, "NEW", "", "NEW", id="the-mirror-is-no-reason-not-to-move"),
    pytest.param(NOTE, False, "WAITING", LATER, "WAITING", "", None, id="a-note-asks-for-nothing"),
]


@pytest.mark.parametrize(("facts", "is_named", "before", "by_mail_of", "after", "note", "wants"), ORDER)
def test_mail_moves_a_ticket_in_the_order_of_acceptance(
    facts: Facts, is_named: bool, before: str, by_mail_of: datetime | None, after: str, note: str, wants: str | None
) -> None:
    proof = UNPROVEN if facts.from_[0].key == CUSTOMER else PROVEN
    on = ticket(stage=Stage(before), stage_mail_at=by_mail_of, last_customer_mail_at=None)

    change = asked(facts, on, proof=proof, is_named=is_named)

    assert (change.stage, change.moves, change.note, change.wants) == (after, before != after, note, wants)
    assert change.reasons


def test_a_customers_mail_that_shall_close_has_no_precedence() -> None:
    """Only what opens a ticket comes through late; by configuration it may ask for something else."""
    stages = TicketStages(inbound_to=StageRule.WAITING)

    assert asked(mail(), ticket(stage_mail_at=LATER), stages=stages).note == "later_mail"
    assert asked(mail(), ticket(stage_mail_at=EARLIER), stages=stages).stage == Stage.WAITING


def test_what_is_refused_or_kept_asks_for_nothing() -> None:
    for change in (
        asked(staff(""), ticket()),
        asked(staff(""), None),
        asked(NOTE, None),
        asked(mail(), ticket(stage=Stage.CLOSED, moved_by_person_at=LATER)),
        asked(mail(), ticket(stage=Stage.NEW, moved_by_person_at=LATER)),
    ):
        assert change.wants is None


@pytest.mark.parametrize(
    ("facts", "asks_for", "before", "by_mail_of", "expected"),
    [
        (mail(), Stage.CLOSED, Stage.NEW, LATER, (Stage.NEW, False, "later_mail", None)),
        (mail(), Stage.CLOSED, Stage.NEW, EARLIER, (Stage.CLOSED, True, "", Stage.CLOSED)),
        (mail(), Stage.CLOSED, Stage.CLOSED, EARLIER, (Stage.CLOSED, False, "", Stage.CLOSED)),
        (mail(), Stage.NEW, Stage.CLOSED, LATER, (Stage.NEW, True, "", Stage.NEW)),
        (IN_CC, Stage.NEW, Stage.CLOSED, LATER, (Stage.CLOSED, False, "later_mail", None)),
    ],
)
def test_a_rules_move_keeps_the_order_too(
    facts: Facts, asks_for: Stage, before: Stage, by_mail_of: datetime, expected: tuple[Any, ...]
) -> None:
    sight = seen(facts, proof=UNPROVEN if facts.from_[0].key == CUSTOMER else PROVEN)

    change = stage_by_rule(asks_for, sight, ticket(stage=before, stage_mail_at=by_mail_of), NOW)

    assert (change.stage, change.moves, change.note, change.wants) == expected
