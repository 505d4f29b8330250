"""Which ticket a mail belongs to, and what the settings of an address change. DESIGN section 2 after its table."""

import base64
import re
import smtplib
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from journeys.companies import company, one_owner
from journeys.letters import Desk, decoded, fields, header, open_desk, support_address
from journeys.relay import GATEWAY, OURS, STRANGER, mail
from smtp_sink import Received
from supportrelay.core.ports import SigningKey
from supportrelay.core.token import ticket_token

ANN, BEN, CHO, DAN, EVE = (f"{name}@staff.test" for name in ("ann", "ben", "cho", "dan", "eve"))
ZOE = "zoe@staff.test"  # a colleague who owns nothing
KIM = "kim@outside.example"  # stands in `staff`, but not in our domains
ADMIN = "it@staff.test"
SUPPORT = "support@desk.test"

COMPANIES = [
    *(one_owner(f"acme{n}", ANN) for n in range(120)),
    company("twodeals", "twodeals.example", [("old", "open", [ANN]), ("new", "open", [BEN]), ("gone", "lost", [CHO])]),
    company("both", "both.example", [("pair", "open", [ANN, BEN])]),
]

ADDRESSES = [
    support_address("support"),
    support_address("short", reopen_within="1s"),
    support_address("widened", ticket_match="customer"),
    support_address("author", copy_to_author=True),
    support_address("addressed", copy_to_addressed=True),
    support_address("shown", show_recipients=True),
    support_address("answers", automatic="relay"),
    support_address("holding", unproven_staff="hold"),
    support_address("everybody", unproven_staff="allmember"),
    support_address("alldeals", deal_choice="all"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    config = {
        "addresses": ADDRESSES,
        "staff": [KIM],
        "gateways": [{"networks": [GATEWAY], "authserv_id": "gw.test"}],
    }
    with open_desk(tmp_path_factory.mktemp("threads"), config, COMPANIES) as desk:
        yield desk


@pytest.fixture(scope="module")
def other_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The settings that belong to the whole desk, the other way round."""
    config = {
        "addresses": [support_address("support")],
        "spam": {"headers": {"X-Spam-Flag": "YES"}, "then": "tag"},
        "ticket_stages": {"outbound": {"cc_inherited": "keep"}},
    }
    with open_desk(tmp_path_factory.mktemp("other"), config, COMPANIES) as desk:
        yield desk


_number = count()
_company = count()


def new_customer() -> str:
    """Somebody of a company of his own, owned by Ann."""
    return f"kunde@acme{next(_company)}.example"


class Sent(str):  # noqa: SLOT000  a few of them, in tests
    """A Message-ID, with what arrived because of that mail."""

    arrived: list[Received]

    @property
    def gets(self) -> set[str]:
        return {recipient for copy in self.arrived for recipient in copy.recipients}

    def copy(self) -> bytes:
        (only,) = self.arrived
        return only.octets


def send(
    desk: Desk,
    sender: str,
    subject: str,
    *,
    to: str = SUPPORT,
    cc: str = "",
    rcpt: str = "",
    answers: str = "",
    peer: str = STRANGER,
    message_id: str = "",
    octets: bytes | None = None,
    **mail_fields: Any,
) -> Sent:
    """Send one mail; ``answers`` is the Message-ID it names, the envelope goes to the first of our addresses."""
    message_id = message_id or f"<thread.{next(_number)}@mail.example>"
    headers = dict(mail_fields.pop("headers", {}))
    if answers:
        headers |= {"In-Reply-To": answers, "References": answers}
    recipient = rcpt or next(a for a in f"{to}, {cc}".replace(",", " ").split() if a.endswith("@desk.test"))
    if octets is None:
        octets = mail(
            sender=sender, to=to, cc=cc, subject=subject, message_id=message_id, headers=headers, **mail_fields
        )
    sent = Sent(message_id)
    sent.arrived = desk.post(octets, sender.rpartition("<")[2].rstrip(">"), recipient, peer=peer)
    return sent


def new_subject(what: str) -> str:
    return f"{what} {next(_number)} 件名"


def move(desk: Desk, subject: str, stage: str) -> None:
    desk.relay.ask("tickets.move", id=desk.ticket(subject)["id"], stage=stage)


def related(desk: Desk, ticket: dict[str, Any]) -> Any:
    return desk.relay.ask("tickets.show", id=ticket["id"])["related"]


# --- the ways that lead to a ticket


def test_outlook_threads_by_thread_index(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("index")
    root = bytes([1, 220]) + next(_number).to_bytes(20, "big")
    first = {"Thread-Index": base64.b64encode(root).decode()}
    answer = {"Thread-Index": base64.b64encode(root + b"\1\2\3\4\5").decode()}

    send(desk, customer, subject, headers=first)
    send(desk, customer, new_subject("changed"), headers=answer)

    assert desk.ticket(subject)["messages"] == 2


def test_a_foreign_thread_index_is_no_key_to_a_ticket(desk: Desk) -> None:
    subject, other = new_subject("index"), new_subject("index")
    index = {"Thread-Index": base64.b64encode(bytes([1, 220]) + next(_number).to_bytes(20, "big")).decode()}

    send(desk, new_customer(), subject, headers=index)
    send(desk, new_customer(), other, headers=index)

    assert desk.ticket(subject)["messages"] == 1
    assert related(desk, desk.ticket(other)) == desk.ticket(subject)["id"]


REPLY_SUBJECTS = [
    pytest.param("{subject}", "Re: {subject}", True, id="re"),
    pytest.param("{subject}", "RE: 返信: Re[2]: {subject}", True, id="prefixes-of-the-world"),
    pytest.param("{subject}", "[EXTERNAL] Aw: {subject}", True, id="tag"),
    pytest.param("{subject}", "{subject}", False, id="no-prefix-is-a-new-matter"),
    pytest.param("{subject}", "Fwd: {subject}", False, id="a-forward-is-no-reply"),
    pytest.param("お問い合わせ", "Re: お問い合わせ", False, id="stock-subject"),
    pytest.param("質問{n}", "Re: 質問{n}", False, id="under-six-characters"),
]


@pytest.mark.parametrize(("first", "second", "joins"), REPLY_SUBJECTS)
def test_a_subject_joins_only_what_looks_like_a_reply(desk: Desk, first: str, second: str, joins: bool) -> None:
    customer, words = new_customer(), {"subject": new_subject("subject"), "n": next(_number) % 10}

    send(desk, customer, first.format(**words))
    send(desk, customer, second.format(**words))

    found = [t for t in desk.relay.tickets() if t["customer"] == customer]
    assert [t["messages"] for t in found] == ([2] if joins else [1, 1])


def test_references_nobody_knows_make_a_reply_too(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("unknown references")

    send(desk, customer, subject)
    send(desk, customer, subject, answers="<never-seen@elsewhere.example>")

    assert desk.ticket(subject)["messages"] == 2


def test_a_subject_joins_no_closed_ticket_and_no_other_customers(desk: Desk) -> None:
    customer, colleague, subject = new_customer(), "", new_subject("subject")
    colleague = customer.replace("kunde", "kollege")

    send(desk, customer, subject)
    send(desk, colleague, f"Re: {subject}")
    assert sorted(t["messages"] for t in desk.tickets(subject)) == [1, 1]
    for ticket in desk.tickets(subject):
        desk.relay.ask("tickets.move", id=ticket["id"], stage="CLOSED")
    send(desk, customer, f"Re: {subject}")

    assert sorted(t["messages"] for t in desk.tickets(subject)) == [1, 1, 1]


def test_two_answers_to_a_mail_we_never_saw_are_one_ticket(desk: Desk) -> None:
    """A colleague wrote to the customer without us; both people answer him with support@ in copy."""
    customer, subject, unseen = new_customer(), new_subject("anchor"), f"<unseen.{next(_number)}@staff.test>"

    send(desk, customer, f"Re: {subject}", answers=unseen)
    send(desk, customer.replace("kunde", "kollege"), "Aw: quite another subject", answers=unseen)

    assert desk.ticket(subject)["messages"] == 2


def test_an_anchor_alone_leads_a_stranger_nowhere(desk: Desk) -> None:
    subject, unseen = new_subject("anchor"), f"<unseen.{next(_number)}@staff.test>"

    send(desk, new_customer(), f"Re: {subject}", answers=unseen)
    send(desk, new_customer(), f"Re: {subject}", answers=unseen)

    assert [t["messages"] for t in desk.tickets(subject)] == [1, 1]


def test_an_answer_that_is_faster_than_its_mail_is_one_ticket(desk: Desk) -> None:
    customer, subject, late = new_customer(), new_subject("overtaken"), f"<late.{next(_number)}@mail.example>"

    send(desk, customer.replace("kunde", "kollege"), f"Re: {subject}", answers=late)
    send(desk, customer, subject, message_id=late)

    assert desk.ticket(subject)["messages"] == 2


def test_of_two_tickets_the_rightmost_reference_wins(desk: Desk) -> None:
    customer, left, right = new_customer(), new_subject("left"), new_subject("right")
    a, b = send(desk, customer, left), send(desk, customer, right)

    send(desk, customer, "Re: both of them", headers={"References": f"{a} {b}"})

    assert (desk.ticket(left)["messages"], desk.ticket(right)["messages"]) == (1, 2)


def signing_key(desk: Desk) -> SigningKey:
    with sqlite3.connect(f"file:{desk.relay.folder}/state/relay.db?mode=ro", uri=True) as store:
        (row,) = store.execute("SELECT id, secret FROM signing_keys").fetchall()
    return SigningKey(row[0], row[1], datetime.now(UTC))


@pytest.mark.parametrize("where", ["envelope", "to"])
def test_a_signed_token_in_a_plus_address_leads_to_its_ticket(desk: Desk, where: str) -> None:
    customer, subject = new_customer(), new_subject("token")
    send(desk, customer, subject)
    ticket = desk.ticket(subject)
    plus = f"support+t{ticket_token(signing_key(desk), int(ticket['id'].partition('-')[2]))}@desk.test"

    if where == "to":
        send(desk, customer, "in another matter", to=plus.upper(), rcpt=SUPPORT)
    else:
        send(desk, customer, "in another matter", rcpt=plus)

    assert desk.ticket(subject)["messages"] == 2


def test_a_token_passes_the_guard_like_everything_else(desk: Desk) -> None:
    subject, other = new_subject("token"), new_subject("token of another")
    send(desk, new_customer(), subject)
    number = int(desk.ticket(subject)["id"].partition("-")[2])
    key = signing_key(desk)
    forged = SigningKey(key.id, b"not our secret", key.made_at)

    for secret, related_to in ((key, desk.ticket(subject)["id"]), (forged, None)):
        send(desk, new_customer(), other, to=f"support+t{ticket_token(secret, number)}@desk.test")
        newest = max(desk.tickets(other), key=lambda t: int(t["id"].partition("-")[2]))
        assert related(desk, newest) == related_to
    assert desk.ticket(subject)["messages"] == 1


def test_a_number_in_the_subject_does_nothing(desk: Desk) -> None:
    """Anybody can write it (zammad #5064)."""
    customer, subject = new_customer(), new_subject("numbered")
    send(desk, customer, subject)
    number = desk.ticket(subject)["id"]

    for author in (customer, new_customer()):
        send(desk, author, f"Re: [{number}] {next(_number)} about it")

    assert desk.ticket(subject)["messages"] == 1


# --- the guard


def test_another_company_does_not_get_into_a_ticket(desk: Desk) -> None:
    subject, other = new_subject("guarded"), new_subject("intruder")
    first = send(desk, new_customer(), subject)
    intruder = new_customer()

    copy = send(desk, intruder, other, answers=first).copy()

    assert desk.ticket(subject)["messages"] == 1
    mine = desk.ticket(other)
    assert related(desk, mine) == desk.ticket(subject)["id"]
    assert mine["customer"] == intruder
    assert header(copy, "X-Supportrelay-Ticket") == mine["id"]
    assert desk.ticket(subject)["id"].encode() not in copy, "nothing of the other ticket goes out"


WHO_MAY: list[Any] = [
    pytest.param(lambda c: c, True, id="the-customer"),
    pytest.param(lambda c: c.replace("kunde", "kollege"), True, id="his-company"),
    pytest.param(lambda c: c.replace("@", "@lab."), True, id="a-subdomain-of-his-company"),
    pytest.param(lambda c: "partner@other.example", True, id="participant-of-the-first-mail"),
    pytest.param(lambda c: "brought@in.example", True, id="brought-in-by-a-participant"),
    pytest.param(lambda c: "stranger@in.example", False, id="a-participants-colleague"),
    pytest.param(lambda c: "one@gmail.com", False, id="free-mail"),
]


@pytest.mark.parametrize(("who", "joins"), WHO_MAY)
def test_who_may_write_on_a_ticket(desk: Desk, who: Callable[[str], str], joins: bool) -> None:
    customer, subject = new_customer(), new_subject("participants")
    first = send(desk, customer, subject, cc="partner@other.example")
    second = send(desk, "partner@other.example", f"Re: {subject}", cc="brought@in.example", answers=first)

    send(desk, who(customer), f"Re: {subject}", answers=second)

    assert max(t["messages"] for t in desk.tickets(subject)) == (3 if joins else 2)


def test_two_people_of_one_free_mail_provider_are_not_one_company(desk: Desk) -> None:
    subject = new_subject("free mail")
    first = send(desk, "first@gmail.com", subject)

    send(desk, "second@gmail.com", f"Re: {subject}", answers=first)

    assert [t["messages"] for t in desk.tickets(subject)] == [1, 1]


def test_who_forwards_a_ticket_and_never_wrote_on_it_starts_a_new_one(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("forwarded")
    first = send(desk, customer, subject)

    send(desk, customer.replace("kunde", "neuer"), f"Fwd: {subject}", answers=first)

    assert desk.ticket(subject)["messages"] == 1


# --- tickets that are gone


def test_a_merged_ticket_is_followed(desk: Desk) -> None:
    customer, old, into = new_customer(), new_subject("merged"), new_subject("target")
    first = send(desk, customer, old)
    send(desk, customer, into)
    desk.relay.ask("tickets.merge", id=desk.ticket(old)["id"], into=desk.ticket(into)["id"])
    before = desk.ticket(into)["messages"]

    copy = send(desk, customer, f"Re: {old}", answers=first).copy()

    assert desk.ticket(into)["messages"] == before + 1
    assert header(copy, "X-Supportrelay-Ticket") == desk.ticket(into)["id"]


def test_a_ticket_closed_long_ago_stays_closed(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("long ago")
    first = send(desk, customer, subject, to="short@desk.test")
    move(desk, subject, "CLOSED")
    closed = desk.ticket(subject)["id"]
    time.sleep(1.1)  # reopen_within is one second

    send(desk, customer, f"Re: {subject}", to="short@desk.test", answers=first)

    stages = {t["id"]: t["stage"] for t in desk.tickets(subject)}
    assert stages.pop(closed) == "CLOSED"
    assert list(stages.values()) == ["NEW"]
    assert related(desk, {"id": next(iter(stages))}) == closed


def test_ticket_match_customer_joins_any_open_ticket_of_his(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("widened")
    send(desk, customer, subject, to="widened@desk.test")

    send(desk, customer, new_subject("another matter"), to="widened@desk.test")
    send(desk, customer.replace("kunde", "kollege"), new_subject("a colleague's"), to="widened@desk.test")
    assert desk.ticket(subject)["messages"] == 2

    move(desk, subject, "CLOSED")
    send(desk, customer, new_subject("after closing"), to="widened@desk.test")
    assert desk.ticket(subject)["messages"] == 2


# --- the same mail


def test_one_id_on_two_mails_is_two_mails(desk: Desk) -> None:
    """Some robots use one Message-ID for many mails; another Date makes another mail."""
    customer, subject = new_customer(), new_subject("one id")
    first = send(desk, customer, subject, date=time.time() - 60)

    second = send(desk, customer, f"Re: {subject}", message_id=first)

    assert second.gets == {ANN}
    assert desk.ticket(subject)["messages"] == 2


def test_nobodys_mail_suppresses_that_of_another_author(desk: Desk) -> None:
    subject, at = new_subject("same id"), time.time()
    first = send(desk, new_customer(), subject, date=at)

    assert send(desk, new_customer(), subject, message_id=first, date=at).gets == {ANN}


def test_a_mail_without_message_id_that_comes_twice_is_one(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("no id")
    octets = mail(sender=customer, to=SUPPORT, subject=subject, message_id="")

    first, second = send(desk, customer, "", octets=octets), send(desk, customer, "", octets=octets)

    assert (first.gets, second.gets) == ({ANN}, set())
    assert desk.ticket(subject)["messages"] == 1
    # Its copy has an id that we know, so that an answer finds the ticket.
    given = header(first.copy(), "Message-ID")
    send(desk, customer, "quite another subject", answers=given)
    assert desk.ticket(subject)["messages"] == 2


def break_off(desk: Desk, sender: str, octets: bytes) -> None:
    """Send a mail, and go away without having heard what became of it, when it is with its owner already."""
    before = len(desk.sink.messages)
    client = smtplib.SMTP("127.0.0.1", desk.relay.port, source_address=(STRANGER, 0), timeout=20)
    client.ehlo("x.example")
    client.mail(sender)
    client.rcpt(SUPPORT)
    assert client.docmd("DATA")[0] == 354
    client.send(octets + b".\r\n")
    desk.sink.wait_for(before + 1, timeout=60)
    assert client.sock is not None
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
    client.close()
    desk.relay.settle()


@pytest.mark.parametrize("left_out", [(), ("Message-ID",), ("Message-ID", "Date")])
def test_who_did_not_hear_our_yes_and_sends_again_has_sent_one_mail(desk: Desk, left_out: tuple[str, ...]) -> None:
    """RULES_OF_MAIL 5.5: a broken session; without an id the content is the key, whatever else is missing."""
    customer, subject = new_customer(), new_subject("broken off")
    octets = mail(sender=customer, to=SUPPORT, subject=subject, message_id=f"<broken.{next(_number)}@mail.example>")
    for name in left_out:
        octets = re.sub(rf"(?m)^{name}:.*\r\n".encode(), b"", octets)
    break_off(desk, customer, octets)

    again = send(desk, customer, "", octets=octets)

    assert again.gets == set()
    assert desk.ticket(subject)["messages"] == 1


def test_who_sends_again_with_another_date_and_no_id_is_heard_and_marked(desk: Desk) -> None:
    """He may mean it; its ticket names the first one's, for only ids put a mail on a ticket (DESIGN 2)."""
    customer, subject, at = new_customer(), new_subject("broken off"), time.time()
    first, second = (mail(sender=customer, to=SUPPORT, subject=subject, message_id="", date=at + n) for n in (0, 5))
    break_off(desk, customer, first)

    again = send(desk, customer, "", octets=second)

    assert header(again.copy(), "X-Supportrelay-Tags") == "again"
    second_ticket, first_ticket = desk.tickets(subject)
    assert second_ticket["related"] == first_ticket["id"]


# --- spam


SPAM = {"X-Spam-Flag": "Yes"}


def test_spam_is_held_shown_and_released(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("spam")

    held = send(desk, customer, subject, headers=SPAM)

    assert held.gets == set()
    assert desk.tickets(subject) == []
    (shown,) = [m for m in desk.relay.ask("queue.list") if m["message_id"] == held]
    assert shown["state"] == "held"
    assert (desk.life(held)["decision"]["direction"], desk.life(held)["decision"]["disposition"]) == ("spam", "hold")

    before = len(desk.sink.messages)
    desk.relay.run("queue", "release", shown["queue_id"])
    desk.relay.settle()
    released = desk.sink.messages[before:]
    assert [copy.recipients for copy in released] == [(ANN,)]
    assert header(released[0].octets, "X-Supportrelay-Tags") == "spam"
    assert desk.ticket(subject)["stage"] == "NEW"


def test_spam_that_comes_twice_is_not_let_through_the_second_time(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("spam twice")
    octets = mail(sender=customer, to=SUPPORT, subject=subject, message_id="<spam@twice.example>", headers=SPAM)

    assert [send(desk, customer, "", octets=octets).gets for _ in range(2)] == [set(), set()]
    assert [m["state"] for m in desk.relay.ask("queue.list", finished=True) if m["subject"] == subject] == [
        "held",
        "filed",
    ]


def test_a_mail_that_one_way_calls_spam_makes_its_ticket_by_the_other(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("spam by one way")
    octets = mail(sender=customer, to=SUPPORT, subject=subject, message_id="<spam@one-way.example>")
    before = len(desk.sink.messages)

    desk.post(b"X-Spam-Flag: Yes\r\n" + octets, customer, SUPPORT)
    desk.post(octets, customer, SUPPORT)

    (held,) = [m for m in desk.relay.ask("queue.list") if m["subject"] == subject]
    assert (held["state"], desk.ticket(subject)["stage"], desk.ticket(subject)["messages"]) == ("held", "NEW", 1)
    desk.relay.ask("queue.release", queue_id=held["queue_id"])
    desk.relay.settle()
    assert [copy.recipients for copy in desk.sink.messages[before:]] == [(ANN,)], "nobody gets it twice"
    assert desk.ticket(subject)["messages"] == 1


def test_what_is_held_goes_to_nobody_not_even_as_it_came(desk: Desk) -> None:
    """Passed on to postmaster's readers while the desk's part is held, it would have counted as delivered."""
    customer, subject = new_customer(), new_subject("held for all")
    octets = mail(sender=customer, to=SUPPORT, subject=subject, message_id="<held@all.example>", headers=SPAM)

    assert desk.post(octets, customer, SUPPORT, "postmaster@desk.test") == []
    assert desk.life("<held@all.example>")["state"] == "held"

    before = len(desk.sink.messages)
    desk.relay.ask("queue.release", queue_id="<held@all.example>")
    desk.relay.settle()
    assert sorted(copy.recipients[0] for copy in desk.sink.messages[before:]) == [ANN, ADMIN]


def test_spam_may_only_be_tagged(other_desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("tagged")

    sent = send(other_desk, customer, subject, headers=SPAM)

    assert sent.gets == {ANN}
    assert header(sent.copy(), "X-Supportrelay-Tags") == "spam"
    assert other_desk.ticket(subject)["stage"] == "NEW"


# --- people and robots in a thread


def calendar_answer(sender: str, subject: str, answers: str, comment: str = "") -> bytes:
    return (
        f"From: {sender}\r\nTo: {SUPPORT}\r\nSubject: Accepted: {subject}\r\nIn-Reply-To: {answers}\r\n"
        f"Message-ID: <calendar.{next(_number)}@mail.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/alternative; boundary="=_cal"\r\n\r\n'
        f"--=_cal\r\nContent-Type: text/plain\r\n\r\n{comment}\r\n"
        "--=_cal\r\nContent-Type: text/calendar; method=REPLY\r\n\r\n"
        "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n--=_cal--\r\n"
    ).encode()


@pytest.mark.parametrize(("comment", "stage"), [("", "WAITING"), ("Can we make it an hour later?", "NEW")])
def test_a_calendar_answer_moves_only_with_words(desk: Desk, comment: str, stage: str) -> None:
    customer, subject = new_customer(), new_subject("meeting")
    first = send(desk, customer, subject)
    move(desk, subject, "WAITING")

    answer = send(desk, customer, "", octets=calendar_answer(customer, subject, first, comment))

    assert answer.gets == {ANN}
    assert (desk.ticket(subject)["stage"], desk.ticket(subject)["messages"]) == (stage, 2)


def test_an_absence_notice_goes_to_the_owners_when_the_address_wants_it(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("absence")
    first = send(desk, customer, subject, to="answers@desk.test")
    move(desk, subject, "WAITING")
    marks = {"Auto-Submitted": "auto-replied"}

    answer = send(desk, customer, f"Re: {subject}", to="answers@desk.test", answers=first, headers=marks)

    assert answer.gets == {ANN}
    assert (desk.ticket(subject)["stage"], desk.ticket(subject)["messages"]) == ("WAITING", 2)


def test_an_absence_notice_that_comes_twice_goes_to_nobody_twice(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("absence")
    first = send(desk, customer, subject)
    octets = mail(
        sender=customer,
        to=SUPPORT,
        subject=f"Re: {subject}",
        message_id="<absence@twice.example>",
        headers={"Auto-Submitted": "auto-replied", "In-Reply-To": first},
    )

    assert [send(desk, customer, "", octets=octets).gets for _ in range(2)] == [set(), set()]
    assert desk.ticket(subject)["messages"] == 2


def test_words_in_a_subject_silence_nobody(desk: Desk) -> None:
    customer, subject = new_customer(), "自動返信の設定について"

    sent = send(desk, customer, subject)

    assert sent.gets == {ANN}
    assert header(sent.copy(), "X-Supportrelay-Tags") == "looks-automatic"
    assert desk.ticket(subject)["stage"] == "NEW"


def test_who_writes_through_a_mailing_list_is_a_person(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("list")
    marks = {"Precedence": "List", "List-Id": "<team.acme.example>", "List-Post": "<mailto:team@acme.example>"}

    assert send(desk, customer, subject, headers=marks).gets == {ANN}
    assert desk.ticket(subject)["stage"] == "NEW"


def test_a_robots_mail_makes_no_ticket_but_is_read(desk: Desk) -> None:
    customer, subject = new_customer().replace("kunde", "noreply"), new_subject("robot")

    assert send(desk, customer, subject).gets == {ANN}
    assert desk.tickets(subject) == []


# --- closing


def test_a_closing_needs_words(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("wordless")
    first = send(desk, customer, subject)
    quoted = "\r\n\r\n> Hello, we have a question.\r\n"

    send(desk, ZOE, f"Re: {subject}", to=customer, cc=SUPPORT, answers=first, body=quoted, peer=OURS)
    assert desk.ticket(subject)["stage"] == "NEW"
    send(desk, ZOE, f"Re: {subject}", to=customer, cc=SUPPORT, answers=first, body=f"Done.{quoted}", peer=OURS)
    assert desk.ticket(subject)["stage"] == "CLOSED"


@pytest.mark.parametrize(
    ("to", "stage"),
    [
        pytest.param("expert@elsewhere.example", "NEW", id="somebody-else"),
        pytest.param("kollege@{domain}", "CLOSED", id="his-company"),
        pytest.param("expert@elsewhere.example, kunde@{domain}", "CLOSED", id="among-others"),
    ],
)
def test_a_closing_concerns_the_tickets_customer(desk: Desk, to: str, stage: str) -> None:
    customer, subject = new_customer(), new_subject("closing")
    first = send(desk, customer, subject)
    to = to.format(domain=customer.partition("@")[2])

    send(desk, ZOE, f"Re: {subject}", to=to, cc=SUPPORT, answers=first, peer=OURS)

    assert desk.ticket(subject)["stage"] == stage


def test_a_closing_that_answers_the_newest_mail_is_never_late(desk: Desk) -> None:
    """The colleague's clock is behind; his References tell that he has read it."""
    customer, subject = new_customer(), new_subject("clock")
    first = send(desk, customer, subject)
    at = time.time() - 3600

    send(desk, ZOE, f"Re: {subject}", to=customer, cc=SUPPORT, answers=first, date=at, peer=OURS)

    assert desk.ticket(subject)["stage"] == "CLOSED"


def test_an_inherited_cc_does_not_close_when_the_desk_says_so(other_desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("inherited")
    first = send(other_desk, customer, subject, to="buyer@other.example", cc=SUPPORT)
    send(other_desk, ZOE, f"Re: {subject}", to=customer, cc=SUPPORT, answers=first, peer=OURS)
    assert other_desk.ticket(subject)["stage"] == "NEW", "he answered all, and support@ was in Cc already"

    second = send(other_desk, customer, f"Re: {subject}", to=SUPPORT, answers=first)
    send(other_desk, ZOE, f"Re: {subject}", to=customer, cc=SUPPORT, answers=second, peer=OURS)
    assert other_desk.ticket(subject)["stage"] == "CLOSED", "he put support@ in Cc himself"


def test_an_inherited_cc_closes_as_shipped(desk: Desk) -> None:
    customer, subject = new_customer(), new_subject("inherited")
    first = send(desk, customer, subject, to="buyer@other.example", cc=SUPPORT)

    send(desk, ZOE, f"Re: {subject}", to=customer, cc=SUPPORT, answers=first, peer=OURS)

    assert desk.ticket(subject)["stage"] == "CLOSED"


# --- who gets it


def test_authors_get_their_own_mail_only_when_wanted(desk: Desk) -> None:
    for to, gets in ((SUPPORT, set()), ("author@desk.test", {ANN})):
        customer = new_customer()
        assert send(desk, ANN, new_subject("own"), to=f"{customer}, {to}", rcpt=to, peer=OURS).gets == gets


def test_addressed_owners_get_a_copy_only_when_wanted(desk: Desk) -> None:
    for to, gets in ((SUPPORT, {BEN}), ("addressed@desk.test", {ANN, BEN})):
        assert send(desk, "a@both.example", new_subject("addressed"), to=f"{to}, {ANN}", rcpt=to).gets == gets


def test_owners_stand_in_no_header(desk: Desk) -> None:
    sent = send(desk, "a@both.example", new_subject("hidden"))

    assert sent.gets == {ANN, BEN}
    assert len(sent.arrived) == 2, "each a copy of his own"
    for copy in sent.arrived:
        assert len(copy.recipients) == 1
        assert b"staff.test" not in copy.octets


def test_owners_stand_in_cc_when_wanted_and_then_the_banner_warns(desk: Desk) -> None:
    sent = send(desk, "a@both.example", new_subject("shown"), to=f"shown@desk.test, {ANN}", rcpt="shown@desk.test")

    (copy,) = sent.arrived
    assert copy.recipients == (BEN,)
    assert fields(copy.octets, "Cc") == [BEN], "Ann stands in To already"
    assert "「全員に返信」は使わないでください".encode() in body(copy)


def body(copy: Received) -> bytes:
    return copy.octets.partition(b"\r\n\r\n")[2]


def test_owners_of_all_open_deals_when_the_address_wants_it(desk: Desk) -> None:
    assert send(desk, "a@twodeals.example", new_subject("one deal")).gets <= {ANN, BEN}
    assert len(send(desk, "a@twodeals.example", new_subject("one deal")).gets) == 1

    assert send(desk, "a@twodeals.example", new_subject("all"), to="alldeals@desk.test").gets == {ANN, BEN}


def test_a_fifth_owner_is_refused(desk: Desk) -> None:
    refused = desk.relay.run("crm", "owners", "both/pair", ANN, BEN, CHO, DAN, EVE, expect=1)

    assert "4" in refused.err + refused.out
    assert send(desk, "a@both.example", new_subject("fifth")).gets == {ANN, BEN}


# --- staff that is not proven


def test_unproven_staff_is_held_until_somebody_releases_it(desk: Desk) -> None:
    subject = new_subject("held")

    sent = send(desk, ZOE, subject, to=f"{new_customer()}, holding@desk.test", rcpt="holding@desk.test")

    assert sent.gets == set()
    assert desk.tickets(subject) == []
    assert desk.life(sent)["state"] == "held"
    before = len(desk.sink.messages)
    desk.relay.ask("queue.release", queue_id=sent)
    desk.relay.settle()
    assert [copy.recipients for copy in desk.sink.messages[before:]] == [("all-holding@desk.test",)]
    assert desk.ticket(subject)["customer"] is None, "released is not proven"


def test_unproven_staff_goes_to_allmember_when_the_address_wants_it(desk: Desk) -> None:
    sent = send(desk, ZOE, new_subject("all"), to=f"{new_customer()}, everybody@desk.test", rcpt="everybody@desk.test")

    assert sent.gets == {"all-everybody@desk.test"}
    assert decoded(header(sent.copy(), "From")) == "未確認 via Support <everybody-relay@desk.test>"


def test_a_mail_forged_in_the_admins_name_reaches_the_admin(desk: Desk) -> None:
    """'Authors get no copy of their own mail' is not for those who only say that they are the author."""
    sent = send(desk, ADMIN, new_subject("forged"), to=f"{new_customer()}, {SUPPORT}", rcpt=SUPPORT)

    assert sent.gets == {ADMIN}
    assert header(sent.copy(), "X-Supportrelay-Reason") == "unproven_sender"


OUTSIDERS = [
    pytest.param(OURS, "", False, id="a-trusted-host-is-not-enough"),
    pytest.param(GATEWAY, "gw.test; dmarc=pass header.from=outside.example", False, id="dmarc-that-may-be-spf"),
    pytest.param(GATEWAY, "gw.test; spf=pass smtp.mailfrom=outside.example", False, id="spf"),
    pytest.param(GATEWAY, "gw.test; dkim=pass header.d=outside.example", True, id="aligned-dkim"),
    pytest.param(GATEWAY, "gw.test; dkim=pass header.d=else.example", False, id="dkim-of-somebody-else"),
    pytest.param(STRANGER, "gw.test; dkim=pass header.d=outside.example", False, id="a-strangers-word"),
]


@pytest.mark.parametrize(("peer", "results", "closes"), OUTSIDERS)
def test_staff_outside_our_domains_is_proven_by_dkim_only(desk: Desk, peer: str, results: str, closes: bool) -> None:
    customer, subject = new_customer(), new_subject("outside")
    first = send(desk, customer, subject)
    headers = {"Authentication-Results": results} if results else {}

    sent = send(desk, KIM, f"Re: {subject}", to=customer, cc=SUPPORT, answers=first, peer=peer, headers=headers)

    assert sent.gets == ({ANN} if closes else {ADMIN})
    stages = [t["stage"] for t in desk.tickets(subject)]
    assert sorted(stages) == (["CLOSED"] if closes else ["NEW", "NEW"])
