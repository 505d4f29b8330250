"""Private notes to the writer, through the daemon: an answer that nobody outside got, and what should not go out."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from journeys.companies import company
from journeys.letters import Desk, header, open_desk, support_address
from journeys.relay import OURS, mail
from smtp_sink import Received

ANN, BEN, ZOE = "ann@staff.test", "ben@staff.test", "zoe@staff.test"
SUPPORT, QUIET = "en@desk.test", "quiet@desk.test"
COMPANIES = [company(f"acme{n}", f"acme{n}.example", [("deal", "open", [ANN, BEN])]) for n in range(1, 30)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    config: dict[str, Any] = {
        "addresses": [
            support_address("en", language="en"),
            support_address("ja"),
            support_address("quiet", guards={"unsent_reply": False, "leaks": False}),
        ]
    }
    with open_desk(tmp_path_factory.mktemp("guards"), config, COMPANIES) as desk:
        yield desk


def ask(desk: Desk, number: int, *, support: str = SUPPORT, cc: str = "") -> tuple[str, bytes, str]:
    """A customer's mail; ``(its Message-ID, the copy an owner got, the customer)``."""
    customer, message_id = f"kunde@acme{number}.example", f"<q{number}@acme{number}.example>"
    octets = mail(sender=customer, to=support, cc=cc, subject=f"Question {number}", message_id=message_id)
    copies = desk.post(octets, customer, support)
    return message_id, copies[0].octets, customer


def answer(
    desk: Desk, number: int, *, sender: str = ANN, to: str = SUPPORT, cc: str = "", parent: str, **more: Any
) -> tuple[str, list[Received]]:
    """A colleague's mail; ``(its Message-ID, what arrived)``."""
    message_id = f"<a{number}.{len(desk.sink.messages)}@staff.test>"
    headers = {"In-Reply-To": parent, "References": parent} if parent else {}
    octets = mail(
        sender=sender, to=to, cc=cc, subject=f"Re: Question {number}", message_id=message_id, headers=headers, **more
    )
    ours = next(one for one in (SUPPORT, QUIET, "ja@desk.test") if one in to + cc)
    return message_id, desk.post(octets, sender, ours, peer=OURS)


def notes(arrived: list[Received]) -> list[Received]:
    return [one for one in arrived if header(one.octets, "Auto-Submitted") == "auto-generated"]


def read(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


# -- nobody outside has it -------------------------------------------------------------------------------------------


def test_an_answer_to_support_alone_is_told_to_its_writer_and_to_nobody_else(desk: Desk) -> None:
    parent, _, customer = ask(desk, 1)
    message_id, arrived = answer(desk, 1, parent=parent)
    (note,) = notes(arrived)
    assert note.recipients == (ANN,)
    assert note.reverse_path.startswith("en+b-")
    told = read(note.octets)
    assert (told["From"].addresses[0].addr_spec, told["To"]) == ("en-relay@desk.test", ANN)
    assert (told["Subject"], told["In-Reply-To"]) == ("Re: Question 1", message_id)
    assert told["X-Auto-Response-Suppress"] == "All"
    assert "Nobody outside has received" in told.get_content()
    assert customer in told.get_content()
    assert [one.recipients for one in arrived if one is not note] == [(BEN,)], "the other owner has his copy"

    life = desk.life(message_id)
    assert life["state"] == "delivered"
    assert life["decision"]["recipients"] == [BEN]
    assert {"address": ANN, "kind": "note", "why": "guard"} in life["decision"]["copies"]
    assert [c["why"]["writer"] for c in life["changes"] if c["what"] == "message.guarded"] == [ANN]


def test_the_note_names_the_people_of_the_mail_that_was_answered(desk: Desk) -> None:
    """The chef stood in another mail of the ticket and waits for nothing."""
    first, _, customer = ask(desk, 28, cc="chef@acme28.example")
    second = "<q28.2@acme28.example>"
    headers = {"In-Reply-To": first}
    octets = mail(
        sender=customer,
        to=SUPPORT,
        cc="kim@acme28.example",
        subject="Re: Question 28",
        message_id=second,
        headers=headers,
    )
    desk.post(octets, customer, SUPPORT)
    _, arrived = answer(desk, 28, parent=second)
    (note,) = notes(arrived)
    told = read(note.octets).get_content()
    assert (customer in told, "kim@acme28.example" in told, "chef" in told) == (True, True, False)


def test_an_owner_who_is_alone_is_told_and_the_mail_is_filed(desk: Desk) -> None:
    parent, _, _ = ask(desk, 2)
    message_id, arrived = answer(desk, 2, to=f"{SUPPORT}, {BEN}", parent=parent)
    assert [one.recipients for one in arrived] == [(ANN,)]
    assert desk.life(message_id)["state"] == "filed"


def test_the_note_is_in_the_language_of_the_address(desk: Desk) -> None:
    parent, _, _ = ask(desk, 3, support="ja@desk.test")
    _, arrived = answer(desk, 3, to="ja@desk.test", parent=parent)
    (note,) = notes(arrived)
    assert "社外のどなたにも届いていません" in read(note.octets).get_content()


def test_an_answer_to_the_note_joins_the_ticket_and_is_a_note(desk: Desk) -> None:
    parent, _, _ = ask(desk, 4)
    _, arrived = answer(desk, 4, parent=parent)
    (note,) = notes(arrived)
    _, again = answer(desk, 4, to="en-relay@desk.test", cc=SUPPORT, parent=header(note.octets, "Message-ID"))
    assert notes(again) == []
    assert desk.ticket("Question 4")["messages"] == 3


def test_a_note_that_comes_back_by_a_forwarding_rule_is_a_loop(desk: Desk) -> None:
    parent, _, _ = ask(desk, 5)
    _, arrived = answer(desk, 5, parent=parent)
    (note,) = notes(arrived)
    assert desk.post(note.octets, ANN, SUPPORT, peer=OURS) == []


def test_a_note_that_cannot_be_delivered_is_logged_and_nothing_follows(desk: Desk) -> None:
    parent, _, _ = ask(desk, 6)
    desk.sink.refuse("rcpt", "550 5.1.1 nobody here", recipient=ANN)
    try:
        message_id, arrived = answer(desk, 6, to=f"{SUPPORT}, {BEN}", parent=parent)
    finally:
        desk.sink.behave_well()
    assert arrived == []
    life = desk.life(message_id)
    assert life["state"] == "filed"
    assert [d["state"] for d in life["deliveries"]] == ["failed"]


QUIET_ANSWERS = [
    pytest.param(7, {"to": "kunde@acme7.example", "cc": SUPPORT}, True, id="the customer has it"),
    pytest.param(14, {}, False, id="a note that answers nobody"),
    pytest.param(15, {"sender": "kunde@acme15.example"}, True, id="the customer himself"),
]


@pytest.mark.parametrize(("number", "how", "answers"), QUIET_ANSWERS)
def test_whoever_needs_no_note_gets_none(desk: Desk, number: int, how: dict[str, Any], answers: bool) -> None:
    message_id, _, _ = ask(desk, number)
    _, arrived = answer(desk, number, parent=message_id if answers else "", **how)
    assert notes(arrived) == []


def test_staff_without_proof_are_told_nothing(desk: Desk) -> None:
    parent, _, _ = ask(desk, 8)
    thread = {"In-Reply-To": parent}
    octets = mail(sender=ANN, to=SUPPORT, subject="Re: Question 8", message_id="<forged8@x.example>", headers=thread)
    assert notes(desk.post(octets, ANN, SUPPORT)) == []


def test_both_guards_can_be_switched_off(desk: Desk) -> None:
    parent, copy, customer = ask(desk, 9, support=QUIET)
    _, first = answer(desk, 9, to=QUIET, parent=parent)
    _, second = answer(desk, 9, to=customer, cc=QUIET, parent=parent, body=read(copy).get_content())
    assert notes(first) == notes(second) == []


# -- too much went out -----------------------------------------------------------------------------------------------


def quote(copy: bytes) -> str:
    return "".join(f"> {line}\r\n" for line in read(copy).get_content().splitlines())


def test_a_banner_that_went_to_a_customer_is_told(desk: Desk) -> None:
    parent, copy, customer = ask(desk, 10)
    _, arrived = answer(desk, 10, to=customer, cc=SUPPORT, parent=parent, body=f"Yes.\r\n{quote(copy)}")
    (note,) = notes(arrived)
    assert note.recipients == (ANN,)
    text = read(note.octets).get_content()
    assert "our notice" in text
    assert customer in text


def test_a_list_of_owners_is_told_once_and_not_when_the_customer_knows_them(desk: Desk) -> None:
    parent, _, customer = ask(desk, 11)
    body = f"Please ask {ANN} or {BEN}."
    _, arrived = answer(desk, 11, sender=ZOE, to=customer, cc=SUPPORT, parent=parent, body=body)
    (note,) = notes(arrived)
    assert note.recipients == (ZOE,)
    assert f"{ANN}, {BEN}" in read(note.octets).get_content()
    _, again = answer(desk, 11, sender=ZOE, to=customer, cc=SUPPORT, parent=parent, body=body)
    assert notes(again) == [], "they were named to him before"


def test_owners_whom_the_customer_wrote_to_are_no_leak(desk: Desk) -> None:
    parent, _, customer = ask(desk, 12, cc=f"{ANN}, {BEN}")
    body = f"Please ask {ANN} or {BEN}."
    _, arrived = answer(desk, 12, sender=ZOE, to=customer, cc=SUPPORT, parent=parent, body=body)
    assert notes(arrived) == []


def test_allmembers_address_before_a_customer_is_told(desk: Desk) -> None:
    parent, _, customer = ask(desk, 13)
    _, arrived = answer(desk, 13, to=customer, cc=f"{SUPPORT}, all-en@desk.test", parent=parent)
    (note,) = notes(arrived)
    assert "all-en@desk.test" in read(note.octets).get_content()


# -- submission ------------------------------------------------------------------------------------------------------


def submit(desk: Desk, octets: bytes, *recipients: str) -> list[Received]:
    return desk.post(octets, ANN, *recipients, peer=OURS, port=desk.submission_port)


def test_submission_cuts_the_banner_out_and_nobody_has_to_be_told(desk: Desk) -> None:
    parent, copy, customer = ask(desk, 20)
    head = f"From: {ANN}\r\nTo: {customer}\r\nCc: {SUPPORT}\r\nSubject: Re: Question 20\r\nIn-Reply-To: {parent}\r\n"
    head += "Message-ID: <s20@staff.test>\r\nX-Odd:  two  spaces\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    banner, marker, rest = quote(copy).rpartition("support notice")
    tail = rest.partition("\r\n")[2].removeprefix("> \r\n")
    octets = f"{head}Yes.\r\n{banner}{marker}{rest}".encode()
    arrived = submit(desk, octets, customer, SUPPORT)
    (sent,) = [one for one in arrived if one.recipients == (customer,)]
    assert sent.octets.endswith(f"{head}Yes.\r\n{tail}".encode())
    assert notes(arrived) == []
    (mine,) = [d for d in desk.life("<s20@staff.test>")["deliveries"] if d["recipient"] == customer]
    assert (mine["kind"], mine["state"]) == ("submitted", "delivered")
    changes = [c for c in desk.life("<s20@staff.test>")["changes"] if c["what"] == "delivery.delivered"]
    assert ["notice.cut:1"] in [c["why"].get("copy_notes") for c in changes]


def test_signed_mail_is_sent_as_it_is_and_its_writer_told(desk: Desk) -> None:
    _, copy, customer = ask(desk, 21)
    octets = (
        f"From: {ANN}\r\nTo: {customer}\r\nSubject: Re: Question 21\r\nMessage-ID: <s21@staff.test>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        f"{quote(copy)}\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
    ).encode()
    arrived = submit(desk, octets, customer)
    (sent,) = [one for one in arrived if one.recipients == (customer,)]
    assert sent.octets.endswith(octets)
    assert [one.recipients for one in notes(arrived)] == [(ANN,)]
    changes = [c for c in desk.life("<s21@staff.test>")["changes"] if c["what"] == "delivery.delivered"]
    assert ["notice.kept:signed"] in [c["why"].get("copy_notes") for c in changes]


def test_a_mail_that_is_only_passed_on_reaches_no_allmember_when_it_fails(desk: Desk) -> None:
    _, copy, _ = ask(desk, 22)
    customer = "gone@acme22.example"
    desk.sink.refuse("rcpt", "550 5.1.1 nobody here", recipient=customer)
    half = quote(copy).partition("\r\n")[0].rstrip(" -―")
    octets = mail(sender=ANN, to=customer, subject="Re: Question 22", message_id="<s22@staff.test>", body=half)
    try:
        arrived = submit(desk, octets, customer)
    finally:
        desk.sink.behave_well()
    assert [one.recipients for one in arrived] == [(ANN,)], "half a marker line is told, Allmember has no part in it"
    assert desk.life("<s22@staff.test>")["state"] == "dead"


# -- explain, and what the ticket shows ------------------------------------------------------------------------------


def test_a_ticket_shows_an_answer_without_what_it_quotes(desk: Desk) -> None:
    parent, copy, customer = ask(desk, 23)
    head = "Yes.\r\n\r\n2026/01/07 9:55、Support <en-relay@desk.test>のメール:\r\n\r\n"
    answer(desk, 23, to=customer, cc=SUPPORT, parent=parent, body=head + quote(copy))
    shown = desk.relay.ask("tickets.show", id=desk.ticket("Question 23")["id"])
    assert [m["text"] for m in shown["messages_list"]] == ["Hello, we have a question.", "Yes."]
