"""What a colleague is told about his own mail, and when he is left in peace."""

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest

from core.desk_samples import CUSTOMER, KEY, NOW, PROVEN, SUPPORT, UNPROVEN, ZOE, decided, known, mail, ticket
from supportrelay.core.decision import Disposition
from supportrelay.core.desk import Known
from supportrelay.core.facts import Facts
from supportrelay.core.guard_note import WORDS, NoteContext, write_note
from supportrelay.core.guards import (
    LEAK,
    UNSENT_REPLY,
    Warned,
    answered_mail,
    colleagues_named,
    leak,
    may_be_told,
    unsent_reply,
)
from supportrelay.core.mailbox import parse_path
from supportrelay.core.token import new_message_id
from supportrelay.i18n import Catalogue

ANN = "ann@staff.test"
ALL = "all-support@desk.test"
LAST = "<last@acme.example>"


def known_of(facts: Facts, *, paths: tuple[str, ...] = (SUPPORT,), joins: Any = None, proof: Any = PROVEN) -> Known:
    """What is known when the decision is made; without a ticket unless one is given."""
    return known(facts, proof=proof, paths=paths, joins=joins)


def answer(sender: str = ANN, to: str = SUPPORT, *, body: str = "Here.", parent: str = LAST, **more: str) -> Facts:
    return mail(sender, to, body=body, subject="Re: Line 3 is down", in_reply_to=parent, **more)


# -- nobody outside has it -------------------------------------------------------------------------------------------


def warned_of(known: Known, answered: Facts | None = None) -> Warned | None:
    return unsent_reply(known, answered) if answered_mail(known, (KEY,)) == LAST else None


def test_an_answer_that_reached_nobody_outside_is_told_with_the_addresses_of_the_mail_it_answers() -> None:
    """Others of the ticket have nothing to do with it."""
    joins = ticket(participants=frozenset({CUSTOMER, "long.ago@acme.example", "ben@staff.test"}))
    asked = mail("assistant@acme.example", f"{SUPPORT}, {ZOE}", cc="chef@acme.example")
    assert warned_of(known_of(answer(), joins=joins), asked) == Warned(
        UNSENT_REPLY, (CUSTOMER, "assistant@acme.example", "chef@acme.example")
    )
    assert warned_of(known_of(answer(), joins=joins)) == Warned(UNSENT_REPLY, (CUSTOMER,)), "it is not kept any more"


def test_answers_go_where_the_mail_asked_for_them() -> None:
    asked = mail("noreply@acme.example", SUPPORT, reply_to="kim@acme.example")
    assert warned_of(known_of(answer(), joins=ticket(customer="")), asked) == Warned(
        UNSENT_REPLY, ("kim@acme.example",)
    )


def test_an_answer_to_colleagues_only_is_told() -> None:
    assert warned_of(known_of(answer(to=f"{SUPPORT}, {ZOE}"), joins=ticket()))


def test_an_answer_to_a_copy_with_an_id_of_its_own_is_told() -> None:
    ours = new_message_id(KEY, "q1", "desk.test")
    facts = answer(parent=ours, references=f"{LAST} {ours}")
    assert warned_of(known_of(facts, joins=ticket()))


QUIET = [
    pytest.param(answer(to=f"{SUPPORT}, {CUSTOMER}"), {}, id="the customer stands in To"),
    pytest.param(answer(to="someone@else.example"), {}, id="somebody outside stands in To"),
    pytest.param(answer(), {"paths": (SUPPORT, CUSTOMER)}, id="a blind copy to the customer"),
    pytest.param(answer(), {"joins": None}, id="no ticket"),
    pytest.param(answer(), {"joins": ticket(customer="", participants=frozenset())}, id="a ticket without customer"),
    pytest.param(answer(parent="<note@staff.test>"), {}, id="a note that answers a colleague"),
    pytest.param(mail(ANN, subject="By the way"), {}, id="a note that answers nothing"),
    pytest.param(answer(ZOE), {}, id="a colleague who does not own the customer"),
    pytest.param(
        answer(parent=new_message_id(KEY, "q1", "desk.test"), references="<note@staff.test>"),
        {},
        id="an answer to our copy of a colleague's mail",
    ),
    pytest.param(answer(parent="<q1.0123456789abcdef0123@x.test>", references=LAST), {}, id="an id that is forged"),
]


@pytest.mark.parametrize(("facts", "how"), QUIET)
def test_true_notes_and_real_answers_are_left_alone(facts: Facts, how: dict[str, Any]) -> None:
    how = {"joins": ticket(participants=frozenset()), **how}
    assert warned_of(known_of(facts, **how)) is None


# -- who is told at all ----------------------------------------------------------------------------------------------


def told(facts: Facts, **how: Any) -> str:
    one = known_of(facts, joins=ticket(), **how)
    return may_be_told(one, decided(facts, proof=how.get("proof", PROVEN), joins=ticket()))


def test_each_direction_has_its_guard() -> None:
    assert told(answer()) == UNSENT_REPLY
    assert told(answer(to=CUSTOMER, cc=SUPPORT)) == LEAK


SILENT = [
    pytest.param(answer(CUSTOMER), PROVEN, id="a customer"),
    pytest.param(answer(ZOE, to=CUSTOMER), UNPROVEN, id="staff without proof"),
    pytest.param(answer(ZOE, auto_submitted="auto-replied"), PROVEN, id="a robot"),
    pytest.param(answer(SUPPORT), PROVEN, id="ourselves"),
    pytest.param(answer(ALL, list_id="<all.desk.test>"), PROVEN, id="a list"),
]


@pytest.mark.parametrize(("facts", "proof"), SILENT)
def test_outsiders_robots_and_lists_are_told_nothing(facts: Facts, proof: Any) -> None:
    assert told(facts, proof=proof) == ""


def test_what_is_held_or_ignored_is_told_nothing() -> None:
    one = known_of(answer(), joins=ticket())
    decision = decided(answer(), proof=PROVEN, joins=ticket())
    assert may_be_told(one, replace(decision, disposition=Disposition.HOLD)) == ""


@pytest.mark.parametrize(
    ("facts", "switch"),
    [
        pytest.param(answer(), {"guard_unsent_reply": False}, id="unsent_reply"),
        pytest.param(answer(to=CUSTOMER), {"guard_leaks": False}, id="leaks"),
    ],
)
def test_each_guard_can_be_switched_off(facts: Facts, switch: dict[str, Any]) -> None:
    one = known_of(facts, joins=ticket())
    off = replace(one, sight=replace(one.sight, address=replace(one.sight.address, **switch)))
    assert may_be_told(off, decided(facts, proof=PROVEN, joins=ticket())) == ""


# -- too much went out -----------------------------------------------------------------------------------------------

OWNERS = (ANN, "ben@staff.test", ZOE)
NAMED = [
    pytest.param("Ask ann@staff.test or BEN@staff.test.", (ANN, "ben@staff.test"), (), id="owners"),
    pytest.param(f"{ZOE} signs", (), (), id="the writer's own"),
    pytest.param("xann@staff.test and ann@staff.testing", (), (), id="parts of others"),
    pytest.param(f"<{ANN}>, mailto:{ANN}. 担当は{ANN}です。", (ANN,), (), id="in brackets, in a sentence"),
    pytest.param(f"To: {ALL}", (), (ALL,), id="Allmember"),
]


@pytest.mark.parametrize(("body", "owners", "allmember"), NAMED)
def test_addresses_of_the_desk_are_found(body: str, owners: tuple[str, ...], allmember: tuple[str, ...]) -> None:
    found = colleagues_named(known_of(answer(ZOE, to=CUSTOMER, body=body)), OWNERS)
    assert found == (owners, allmember)


def test_colleagues_in_the_header_are_no_leak_but_allmember_is() -> None:
    facts = answer(ZOE, to=CUSTOMER, cc=f"{ANN}, {ALL}", body=f"{ANN} and {ALL}")
    assert colleagues_named(known_of(facts), OWNERS) == ((), (ALL,))


def test_one_owner_is_no_list() -> None:
    one = known_of(answer(ZOE, to=CUSTOMER))
    assert leak(one, has_banner=False, owners=(ANN,)) is None
    assert leak(one, has_banner=False) is None
    assert leak(one, has_banner=False, owners=(ANN, ZOE)) == Warned(LEAK, (CUSTOMER,), owners=(ANN, ZOE))
    assert leak(one, has_banner=True, allmember=(ALL,)) == Warned(LEAK, (CUSTOMER,), banner=True, allmember=(ALL,))


# -- the note --------------------------------------------------------------------------------------------------------

WARNINGS = [
    pytest.param(Warned(UNSENT_REPLY, (CUSTOMER,)), id="unsent"),
    pytest.param(Warned(LEAK, (CUSTOMER,), banner=True, owners=(ANN, ZOE), allmember=(ALL,)), id="leak"),
]


@pytest.mark.parametrize("warned", WARNINGS)
def test_a_warning_survives_the_store(warned: Warned) -> None:
    assert Warned.from_plan(warned.to_plan()) == warned


def note(warned: Warned, facts: Facts, language: str = "en") -> bytes:
    words = {word: Catalogue(language).text(f"guard.{word}") for word in WORDS}
    context = NoteContext(words, ZOE, "q1", 7, "trail", "<n@desk.test>", NOW + timedelta(hours=1))
    return write_note(warned, facts, known_of(facts).sight.address, context)


@pytest.mark.parametrize("warned", WARNINGS)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_note_goes_into_the_thread_and_is_answered_by_no_program(warned: Warned, language: str) -> None:
    facts = answer(references="<a@acme.example> <last@acme.example>")
    octets = note(warned, facts, language)
    read = message_from_bytes(octets, policy=policy.default)
    assert octets.isascii()
    assert all(len(line) <= 78 for line in octets.split(b"\r\n"))
    assert (read["From"].addresses[0].addr_spec, read["To"]) == ("support-relay@desk.test", ZOE)
    assert read["Subject"] == "Re: Line 3 is down"
    assert read["In-Reply-To"] == "<1@mail.example>"
    assert read["References"].split() == ["<a@acme.example>", LAST, "<1@mail.example>"]
    assert (read["Auto-Submitted"], read["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert read["Date"].datetime == NOW + timedelta(hours=1)
    text = read.get_content()
    assert CUSTOMER in text
    assert "SR-7" in text
    assert "{" not in text
    for one in (*warned.owners, *warned.allmember):
        assert one in text


def test_a_hostile_subject_stays_a_subject() -> None:
    facts = replace(answer(), subject="x\r\nBcc: evil@x.example" + "長" * 500, message_id="", references=())
    octets = note(Warned(UNSENT_REPLY, (CUSTOMER,)), facts)
    assert b"\r\nBcc:" not in octets
    assert b"In-Reply-To" not in octets
    assert parse_path(message_from_bytes(octets)["To"]).key == ZOE
