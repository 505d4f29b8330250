"""What comes back: our own copies, reports about them, notices of absence. The first three rows of DESIGN section 2."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from journeys.companies import company
from journeys.letters import Desk, decoded, dsn, fields, header, open_desk, support_address
from journeys.relay import OURS, mail
from smtp_sink import Received

SUPPORT = "support@desk.test"
ALL = "all-support@desk.test"
ADMIN = "it@staff.test"
ZOE = "zoe@staff.test"  # a colleague who owns nothing

# One company a test, because what is learnt of an owner stays.
ONE, TWO = ("solo{n}", ["own{n}@staff.test"]), ("pair{n}", ["own{n}@staff.test", "two{n}@staff.test"])
_COMPANIES = [
    company(name.format(n=n), f"{name.format(n=n)}.example", [("deal", "open", [o.format(n=n) for o in owners])])
    for n in range(100)
    for name, owners in (ONE, TWO)
]
_number, _reports = count(), count()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    config = {"addresses": [support_address("support")]}
    with open_desk(tmp_path_factory.mktemp("reports"), config, _COMPANIES) as desk:
        yield desk


@dataclass
class Case:
    """A customer's mail that was delivered, ready to be reported on."""

    desk: Desk
    name: str
    customer: str
    owners: list[str]
    subject: str
    message_id: str
    copies: dict[str, Received]

    @property
    def queue_id(self) -> str:
        return header(next(iter(self.copies.values())).octets, "X-Supportrelay-Id")

    def delivery(self, recipient: str) -> str:
        """State of the copy for that recipient."""
        states = {d["recipient"]: d["state"] for d in self.desk.life(self.queue_id)["deliveries"]}
        return str(states[recipient])

    @property
    def stage(self) -> str:
        return str(self.desk.ticket(self.subject)["stage"])

    def move(self, stage: str) -> None:
        self.desk.relay.ask("tickets.move", id=self.desk.ticket(self.subject)["id"], stage=stage)


def delivered(desk: Desk, *, owners: int = 1, message_id: str | None = None) -> Case:
    """A new case: one mail from a customer with that many owners (0: of an unknown company)."""
    n = next(_number)
    name, people = [("nobody{n}", []), ONE, TWO][owners]
    name, people = name.format(n=n), [p.format(n=n) for p in people]
    customer, subject = f"kunde@{name}.example", f"case {n} 件名"
    message_id = f"<case.{n}@mail.example>" if message_id is None else message_id
    octets = mail(sender=customer, to=SUPPORT, subject=subject, message_id=message_id)
    arrived = desk.post(octets, customer, SUPPORT)
    copies = {copy.recipients[0]: copy for copy in arrived}
    assert set(copies) == set(people or [ALL])
    return Case(desk, name, customer, people, subject, message_id, copies)


def gets(arrived: list[Received]) -> list[str]:
    return sorted(recipient for copy in arrived for recipient in copy.recipients)


def report_id() -> str:
    return f"<report.{next(_reports)}@mx.staff.test>"


# --- our own copy comes back


Forward = Callable[[Received, str], tuple[bytes, str]]
FORWARDERS = [
    pytest.param(lambda copy, _: (copy.octets, copy.reverse_path), id="reverse-path-kept"),
    pytest.param(lambda copy, owner: (copy.octets, owner), id="forwarder-in-the-envelope"),
    pytest.param(
        lambda copy, owner: (copy.octets, f"{owner.partition('@')[0]}+caf_=support=desk.test@staff.test"), id="gmail"
    ),
    pytest.param(
        lambda copy, owner: (f"Resent-From: {owner}\r\n".encode() + copy.octets, "x@srs.example"), id="resent"
    ),
    pytest.param(lambda copy, _: (copy.octets, "x@srs.example"), id="the-only-one-who-had-it"),
    pytest.param(
        lambda copy, owner: (
            b"X-Supportrelay-Trail: v1; inst=other; msg=1; mac=aaaaaaaaaaaaaaaa\r\n" + copy.octets,
            owner,
        ),
        id="another-relay-above",
    ),
    pytest.param(
        lambda copy, owner: (copy.octets.replace(b"X-Supportrelay-Trail", b"X-Original-X-Supportrelay-Trail"), owner),
        id="by-another-relays-copy",
    ),
]


@pytest.mark.parametrize("forward", FORWARDERS)
def test_an_owners_auto_forward_is_a_loop_and_his_copy_counts_as_not_read(desk: Desk, forward: Forward) -> None:
    """The returning copy goes to nobody; but nobody has read the mail, so Allmember gets the original."""
    case = delivered(desk)
    octets, reverse_path = forward(case.copies[case.owners[0]], case.owners[0])

    arrived = desk.post(octets, reverse_path, SUPPORT)

    assert gets(arrived) == [ALL]
    assert header(arrived[0].octets, "X-Supportrelay-Id") == case.queue_id, "of the customer's mail, not of its return"
    assert case.delivery(case.owners[0]) == "failed"
    assert desk.life(case.message_id)["state"] == "looped", "the newest with its Message-ID is what came back"
    assert desk.ticket(case.subject)["messages"] == 1


def test_a_copy_that_comes_back_from_one_of_two_owners_goes_to_nobody(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    copy = case.copies[case.owners[0]]

    assert desk.post(copy.octets, copy.reverse_path, SUPPORT) == []


def test_a_lists_copy_that_comes_back_goes_to_nobody(desk: Desk) -> None:
    """Allmember's other members have read it; and a list that leads to us must not send the mail round."""
    case = delivered(desk, owners=0)
    copy = case.copies[ALL]

    assert desk.post(copy.octets, copy.reverse_path, SUPPORT) == []
    assert [m["state"] for m in desk.relay.ask("queue.list", finished=True) if m["subject"] == case.subject] == [
        "delivered",
        "looped",
    ]


def test_a_forged_trail_silences_nobody(desk: Desk) -> None:
    """RULES 2A.1: a mark with a wrong signature is never a reason to drop a mail."""
    case = delivered(desk)
    trail = header(case.copies[case.owners[0]].octets, "X-Supportrelay-Trail")
    assert case.queue_id in trail
    octets = mail(
        sender=case.customer,
        to=SUPPORT,
        subject=f"{case.subject} forged",
        message_id=report_id(),
        headers={"X-Supportrelay-Trail": trail.replace(case.queue_id, case.queue_id[:-1] + "0")},
    )

    arrived = desk.post(octets, case.customer, SUPPORT)

    assert gets(arrived) == case.owners
    assert len(fields(arrived[0].octets, "X-Supportrelay-Trail")) == 1


def times_round(rounds: int, recipient: str) -> bytes:
    """Received fields as this relay writes them."""
    one = (
        "Received: from mx.acme.example ([192.0.2.1])\r\n\tby relay.desk.test (supportrelay) with ESMTP id x\r\n"
        f"\tfor <{recipient}>;\r\n\tMon, 2 Mar 2026 10:00:00 +0900\r\n"
    )
    return one.encode() * rounds


@pytest.mark.parametrize(
    ("rounds", "recipient", "state"),
    [
        pytest.param(3, SUPPORT, "looped", id="thrice"),
        pytest.param(2, SUPPORT, "delivered", id="twice"),
        pytest.param(3, "all-support@elsewhere.example", "delivered", id="not-for-us"),
    ],
)
def test_a_mail_that_came_three_times_goes_round_without_our_mark(
    desk: Desk, rounds: int, recipient: str, state: str
) -> None:
    """RULES 2A.3: whoever sends it back each time takes our mark off and gives it another Message-ID."""
    octets = mail(
        sender="x@round.example", to=SUPPORT, subject=f"round {rounds} {recipient}", message_id=(id_ := report_id())
    )

    arrived = desk.post(times_round(rounds, recipient) + octets, "x@round.example", SUPPORT)

    assert bool(arrived) == (state == "delivered")
    assert desk.life(id_)["state"] == state


# --- reports to the token


def test_a_failed_copy_goes_to_allmember_when_nobody_else_got_it(desk: Desk) -> None:
    case = delivered(desk)
    case.move("CLOSED")
    copy = case.copies[case.owners[0]]
    report = dsn(copy.octets, [(case.owners[0], "failed", "5.1.1")], to=copy.reverse_path, message_id=report_id())

    arrived = desk.post(report, "", copy.reverse_path)

    assert gets(arrived) == [ALL]
    assert decoded(header(arrived[0].octets, "Subject")) == case.subject
    assert case.delivery(case.owners[0]) == "failed"
    assert case.delivery(ALL) == "delivered"
    assert case.stage == "CLOSED", "a report about a copy moves nothing"
    assert desk.ticket(case.subject)["messages"] == 1


def test_a_failed_copy_goes_to_nobody_when_another_owner_got_it(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    first, second = case.owners
    copy = case.copies[first]
    report = dsn(copy.octets, [(first, "failed", "5.2.2")], to=copy.reverse_path, message_id=report_id())

    assert desk.post(report, "", copy.reverse_path) == []
    assert (case.delivery(first), case.delivery(second)) == ("failed", "delivered")
    assert any(c["what"] == "delivery.failed" for c in desk.life(case.message_id)["changes"])


def test_the_last_of_two_copies_failing_brings_allmember_in(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    arrived = []
    for owner in case.owners:
        copy = case.copies[owner]
        report = dsn(copy.octets, [(owner, "failed", "5.1.1")], to=copy.reverse_path, message_id=report_id())
        arrived.append(gets(desk.post(report, "", copy.reverse_path)))

    assert arrived == [[], [ALL]]


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_what_is_no_failure_is_only_noted(desk: Desk, action: str) -> None:
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    report = dsn(
        copy.octets, [(case.owners[0], action, "4.4.1")], to=copy.reverse_path, message_id=(id_ := report_id())
    )

    assert desk.post(report, "", copy.reverse_path) == []
    assert case.delivery(case.owners[0]) == "delivered"
    assert "delivery.reported" in [c["what"] for c in desk.life(id_)["changes"]]


def test_an_alias_that_leads_on_is_still_that_owners_copy(desk: Desk) -> None:
    """The token names the delivery; the mailbox behind the owner's address need not be known to us."""
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    report = dsn(
        copy.octets, [("box7@inside.staff.test", "failed", "5.2.1")], to=copy.reverse_path, message_id=report_id()
    )

    assert gets(desk.post(report, "", copy.reverse_path)) == [ALL]


def test_one_members_full_mailbox_is_not_the_lists_failure(desk: Desk) -> None:
    case = delivered(desk, owners=0)
    copy = case.copies[ALL]
    report = dsn(copy.octets, [("kim@staff.test", "failed", "5.2.2")], to=copy.reverse_path, message_id=report_id())

    assert desk.post(report, "", copy.reverse_path) == []
    assert case.delivery(ALL) == "delivered"


def test_a_mail_that_allmember_did_not_get_either_is_dead_and_stays_in_the_queue(desk: Desk) -> None:
    """Nothing vanishes: with nobody left to ask it waits for a person."""
    case = delivered(desk, owners=0)
    copy = case.copies[ALL]
    report = dsn(copy.octets, [(ALL, "failed", "5.1.1")], to=copy.reverse_path, message_id=report_id())

    assert desk.post(report, "", copy.reverse_path) == []
    assert desk.life(case.message_id)["state"] == "dead"
    assert case.message_id in [m["message_id"] for m in desk.relay.ask("queue.list")]


def test_a_failure_without_structure_counts_when_the_token_is_ours(desk: Desk) -> None:
    """Old Exim hosts name what failed in X-Failed-Recipients and nowhere else."""
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    report = mail(
        sender="Mail Delivery System <Mailer-Daemon@mx.staff.test>",
        to=copy.reverse_path,
        subject="Mail delivery failed: returning message to sender",
        message_id=report_id(),
        headers={"X-Failed-Recipients": case.owners[0]},
    )

    assert gets(desk.post(report, "", copy.reverse_path)) == [ALL]


def test_a_read_receipt_is_noted_and_goes_to_nobody(desk: Desk) -> None:
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    receipt = dsn(copy.octets, [(case.owners[0], "displayed", "2.0.0")], to=copy.reverse_path, message_id=report_id())
    receipt = receipt.replace(b"report-type=delivery-status", b"report-type=disposition-notification").replace(
        b"message/delivery-status", b"message/disposition-notification"
    )

    assert desk.post(receipt, case.owners[0], copy.reverse_path) == []
    assert case.delivery(case.owners[0]) == "delivered"


# --- absence and people at a bounce address


def absence(sender: str, to: str, *, text: str = "I am out of the office.", **headers: str) -> bytes:
    return mail(
        sender=sender,
        to=to,
        subject="Out of office",
        message_id=report_id(),
        body=text,
        headers={"Auto-Submitted": "auto-replied (vacation)"} | headers,
    )


def test_a_notice_of_absence_goes_to_nobody_and_its_owner_is_absent(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    case.move("WAITING")
    away, there = case.owners
    last = (datetime.now(UTC) + timedelta(days=10)).date()
    notice = absence(away, case.copies[away].reverse_path, text=f"休暇のため {last:%Y年%m月%d日} まで不在です。")

    assert desk.post(notice, "", case.copies[away].reverse_path) == []
    assert case.stage == "WAITING"
    assert desk.ticket(case.subject)["messages"] == 1
    (found,) = [a for a in desk.relay.ask("absent.list") if a["address"] == away]
    assert found["until"].startswith(f"{last + timedelta(days=1)}")

    answer = mail(
        sender=case.customer,
        to=SUPPORT,
        subject=f"Re: {case.subject}",
        message_id=report_id(),
        headers={"In-Reply-To": case.message_id},
    )
    assert gets(desk.post(answer, case.customer, SUPPORT)) == [there], "the absent one gives way to the other"

    desk.relay.ask("absent.set", address=away, back=True)
    again = mail(sender=case.customer, to=SUPPORT, subject=f"{case.subject} again", message_id=report_id())
    assert gets(desk.post(again, case.customer, SUPPORT)) == sorted(case.owners)


def test_the_only_owner_being_absent_brings_allmember_in(desk: Desk) -> None:
    case = delivered(desk)
    desk.relay.ask("absent.set", address=case.owners[0])
    again = mail(sender=case.customer, to=SUPPORT, subject=f"{case.subject} again", message_id=report_id())

    arrived = desk.post(again, case.customer, SUPPORT)

    assert gets(arrived) == [ALL]
    assert header(arrived[0].octets, "X-Supportrelay-Reason") == "no_reachable_owner"


def test_a_persons_word_about_an_absence_stands_against_a_notice(desk: Desk) -> None:
    case = delivered(desk)
    desk.relay.ask("absent.set", address=case.owners[0])
    copy = case.copies[case.owners[0]]

    desk.post(absence(case.owners[0], copy.reverse_path), "", copy.reverse_path)

    (found,) = [a for a in desk.relay.ask("absent.list") if a["address"] == case.owners[0]]
    assert found["until"] is None


def is_absent(desk: Desk, address: str) -> bool:
    return address in [a["address"] for a in desk.relay.ask("absent.list")]


LAST = (datetime.now(UTC) + timedelta(days=20)).date()
NOTICES = [
    pytest.param("自動応答: 見積の件", f"{LAST.month}月{LAST.day}日まで休暇をいただいております。", id="ja"),
    pytest.param("Automatic reply: offer", f"I am away until {LAST:%Y-%m-%d}.", id="en"),
    pytest.param("Automatische Antwort: Angebot", f"Abwesend bis zum {LAST:%d.%m.%Y}.", id="de"),
    pytest.param("Réponse automatique : devis", f"Absent jusqu'au {LAST:%d/%m/%Y}.", id="fr"),
    pytest.param("Odpowiedź automatyczna: oferta", f"Na urlopie do {LAST:%d.%m.%Y} r.", id="pl"),
]


@pytest.mark.parametrize(("subject", "text"), NOTICES)
def test_a_notice_without_any_mark_is_known_by_its_null_reverse_path_and_words(
    desk: Desk, subject: str, text: str
) -> None:
    """Exchange writes nothing else when the other side is not on Exchange too; the date is read in five languages."""
    case = delivered(desk, owners=2)
    owner, to = case.owners[0], case.copies[case.owners[0]].reverse_path
    notice = mail(sender=owner, to=to, subject=subject, message_id=report_id(), body=text)

    assert desk.post(notice, "", to) == []
    (found,) = [a for a in desk.relay.ask("absent.list") if a["address"] == owner]
    assert found["until"].startswith(f"{LAST + timedelta(days=1)}")


def test_a_proven_colleagues_notice_to_support_makes_him_absent(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    away, there = case.owners
    before = len(desk.relay.tickets())

    assert desk.post(absence(away, SUPPORT), "", SUPPORT, peer=OURS) == []
    assert is_absent(desk, away)
    assert len(desk.relay.tickets()) == before

    again = mail(sender=case.customer, to=SUPPORT, subject=f"{case.subject} again", message_id=(id_ := report_id()))
    assert gets(desk.post(again, case.customer, SUPPORT)) == [there]
    assert "owners.absent" in [reason["code"] for reason in desk.life(id_)["decision"]["reasons"]]


def test_a_forged_notice_to_support_makes_nobody_absent(desk: Desk) -> None:
    case = delivered(desk)

    desk.post(absence(case.owners[0], SUPPORT), "", SUPPORT)

    assert not is_absent(desk, case.owners[0])


def test_a_notice_with_a_forged_token_makes_nobody_absent(desk: Desk) -> None:
    case = delivered(desk)
    to = f"support+b-{'a' * 28}@desk.test"

    desk.post(absence(case.owners[0], to), "", to)

    assert not is_absent(desk, case.owners[0])


@pytest.mark.parametrize("where", ["support", "bounce"])
def test_what_an_owner_writes_himself_makes_him_not_absent(desk: Desk, where: str) -> None:
    case = delivered(desk)
    owner = case.owners[0]
    to = SUPPORT if where == "support" else case.copies[owner].reverse_path
    text = "休暇のため8月20日まで不在です。I'll be back on Monday and am out of the office until 20 August."
    note = mail(sender=owner, to=to, subject="Out of office next week", message_id=report_id(), body=text)

    desk.post(note, owner, to, peer=OURS)

    assert not is_absent(desk, owner)


def test_what_only_an_absent_owner_was_sent_goes_to_allmember(desk: Desk) -> None:
    case = delivered(desk)
    to = case.copies[case.owners[0]].reverse_path

    arrived = desk.post(absence(case.owners[0], to), "", to)

    assert gets(arrived) == [ALL]
    assert header(arrived[0].octets, "X-Supportrelay-Id") == case.queue_id, "the customer's mail, not the notice"
    failed = [c for c in desk.life(case.message_id)["changes"] if c["what"] == "delivery.failed"]
    assert "away until" in failed[0]["why"]["text"]


def test_what_a_notice_to_support_answers_goes_to_allmember(desk: Desk) -> None:
    case = delivered(desk)
    notice = absence(case.owners[0], SUPPORT, **{"In-Reply-To": case.message_id})

    assert gets(desk.post(notice, "", SUPPORT, peer=OURS)) == [ALL]
    assert desk.ticket(case.subject)["messages"] == 1


def test_only_when_both_owners_are_away_allmember_gets_the_mail(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    arrived = []
    for owner in case.owners:
        to = case.copies[owner].reverse_path
        arrived.append(gets(desk.post(absence(owner, to), "", to)))

    assert arrived == [[], [ALL]]


def test_another_robots_answer_makes_nobody_absent(desk: Desk) -> None:
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    answer = mail(
        sender=case.owners[0],
        to=copy.reverse_path,
        subject="We have received your request",
        message_id=report_id(),
        headers={"Auto-Submitted": "auto-replied"},
    )

    assert desk.post(answer, "", copy.reverse_path) == []
    assert case.owners[0] not in [a["address"] for a in desk.relay.ask("absent.list")]


def test_a_customers_mail_to_a_bounce_address_is_mail_to_support_in_that_ticket(desk: Desk) -> None:
    case = delivered(desk)
    case.move("WAITING")
    to = case.copies[case.owners[0]].reverse_path
    answer = mail(sender=case.customer, to=to, subject="something else", message_id=(id_ := report_id()))

    assert gets(desk.post(answer, case.customer, to)) == case.owners
    assert desk.ticket(case.subject)["messages"] == 2
    assert case.stage == "NEW"
    assert desk.life(id_)["support_in"] == "other"


def test_a_colleagues_mail_to_a_bounce_address_is_a_note_in_that_ticket(desk: Desk) -> None:
    case = delivered(desk)
    case.move("WAITING")
    to = case.copies[case.owners[0]].reverse_path
    note = mail(sender=ZOE, to=to, subject="something else", message_id=report_id())

    assert gets(desk.post(note, ZOE, to, peer=OURS)) == case.owners
    assert desk.ticket(case.subject)["messages"] == 2
    assert case.stage == "WAITING"


# --- tokens that are worth nothing


@pytest.mark.parametrize("change", ["last", "first", "other"])
def test_a_forged_token_is_worth_nothing(desk: Desk, change: str) -> None:
    case = delivered(desk)
    to = case.copies[case.owners[0]].reverse_path
    head, _, token = to.partition("@")[0].rpartition("-")
    forged = {
        "last": token[:-1] + ("a" if token[-1] != "a" else "i"),
        "first": ("b" if token[0] != "b" else "a") + token[1:],
        "other": "a" * len(token),
    }[change]
    to = f"{head}-{forged}@desk.test"
    report = dsn(b"Subject: x\r\n\r\n", [(case.owners[0], "failed", "5.1.1")], to=to, message_id=report_id())

    assert gets(desk.post(report, "", to)) == [ADMIN]
    assert case.delivery(case.owners[0]) == "delivered"


def test_a_persons_mail_to_a_forged_bounce_address_is_ordinary_mail(desk: Desk) -> None:
    case = delivered(desk)
    to = f"support+b-{'a' * 28}@desk.test"
    octets = mail(sender=case.customer, to=to, subject=f"{case.subject} 2", message_id=report_id())

    assert gets(desk.post(octets, case.customer, to)) == case.owners
    assert desk.ticket(f"{case.subject} 2")["messages"] == 1


def test_a_stranger_with_a_true_token_does_not_get_into_the_ticket(desk: Desk) -> None:
    """Every hit must fit the writer, a token too: who is not on the ticket starts one of his own."""
    case = delivered(desk)
    to = case.copies[case.owners[0]].reverse_path
    octets = mail(sender="x@stranger.example", to=to, subject=f"{case.subject} 3", message_id=report_id())

    assert gets(desk.post(octets, "x@stranger.example", to)) == [ALL]
    assert desk.ticket(case.subject)["messages"] == 1
    assert desk.ticket(f"{case.subject} 3")["customer"] == "x@stranger.example"


# --- reports without a token


def test_a_report_without_token_on_our_copy_acts(desk: Desk) -> None:
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    returned = b"\r\n".join(line for line in copy.octets.split(b"\r\n") if not line.startswith(b"X-Supportrelay"))
    report = dsn(returned, [(case.owners[0], "failed", "5.1.1")], to=SUPPORT, message_id=report_id())

    assert gets(desk.post(report, "", SUPPORT)) == [ALL]
    assert case.delivery(case.owners[0]) == "failed"
    assert [t for t in desk.relay.tickets() if "Undelivered" in t["subject"]] == []


def test_x_supportrelay_id_alone_names_the_copy(desk: Desk) -> None:
    """A mail without Message-ID, sent on by its owner: the report names an address that we never wrote to."""
    case = delivered(desk)
    report = dsn(
        f"X-Supportrelay-Id: {case.queue_id}\r\n\r\n".encode(),
        [("box@elsewhere.example", "failed", "5.1.1")],
        to=SUPPORT,
        message_id=report_id(),
    )

    assert gets(desk.post(report, "", SUPPORT)) == [ALL]


def test_each_recipient_of_a_report_counts_for_itself(desk: Desk) -> None:
    case = delivered(desk, owners=2)
    first, second = case.owners
    reported = [(first, "delayed", "4.4.1"), (second, "failed", "5.1.1")]
    report = dsn(case.copies[first].octets, reported, to=SUPPORT, message_id=report_id())

    assert desk.post(report, "", SUPPORT) == []
    assert (case.delivery(first), case.delivery(second)) == ("delivered", "failed")


def test_a_report_on_a_colleagues_mail_opens_the_ticket_again_and_tells_him(desk: Desk) -> None:
    case = delivered(desk)
    answer = mail(
        sender=f"Zoe <{ZOE}>",
        to=case.customer,
        cc=SUPPORT,
        subject=f"Re: {case.subject}",
        message_id=(answer_id := report_id()),
        headers={"In-Reply-To": case.message_id},
    )
    desk.post(answer, ZOE, SUPPORT, peer=OURS)
    assert case.stage == "CLOSED"

    report = dsn(answer, [(case.customer, "failed", "5.1.1")], to=SUPPORT, message_id=report_id())
    arrived = desk.post(report, "", SUPPORT)

    assert gets(arrived) == [ZOE]
    assert case.stage == "NEW"
    assert desk.ticket(case.subject)["messages"] == 3
    copy = arrived[0]
    assert header(copy.octets, "X-Supportrelay-Ticket") == desk.ticket(case.subject)["id"]
    assert header(copy.octets, "X-Supportrelay-Reason") == "report"
    assert header(copy.octets, "Reply-To") == SUPPORT
    assert answer_id.encode() in copy.octets, "with what came back"
    assert copy.reverse_path == "", "nobody ever gets a report about a report"


def test_a_delay_of_a_colleagues_mail_tells_him_and_keeps_the_stage(desk: Desk) -> None:
    case = delivered(desk)
    answer = mail(
        sender=ZOE,
        to=case.customer,
        cc=SUPPORT,
        subject=f"Re: {case.subject}",
        message_id=report_id(),
        headers={"In-Reply-To": case.message_id},
    )
    desk.post(answer, ZOE, SUPPORT, peer=OURS)
    report = dsn(answer, [(case.customer, "delayed", "4.4.1")], to=SUPPORT, message_id=report_id())

    assert gets(desk.post(report, "", SUPPORT)) == [ZOE]
    assert case.stage == "CLOSED"


def test_any_other_report_is_for_the_admins_and_makes_no_ticket(desk: Desk) -> None:
    before = len(desk.relay.tickets())
    report = dsn(
        b"From: x@foreign.example\r\nMessage-ID: <never@seen.example>\r\n\r\n",
        [("y@foreign.example", "failed", "5.1.1")],
        to=SUPPORT,
        message_id=report_id(),
    )

    arrived = desk.post(report, "", SUPPORT)

    assert gets(arrived) == [ADMIN]
    assert b"support \xe6\xa1\x88\xe5\x86\x85" not in arrived[0].octets, "no banner on a report"
    assert len(desk.relay.tickets()) == before


def test_our_signed_mark_in_the_returned_part_names_the_copy(desk: Desk) -> None:
    case = delivered(desk)
    trail = header(case.copies[case.owners[0]].octets, "X-Supportrelay-Trail")
    returned = f"X-Supportrelay-Trail: {trail}\r\n\r\n".encode()
    report = dsn(returned, [("box@elsewhere.example", "failed", "5.1.1")], to=SUPPORT, message_id=report_id())

    assert gets(desk.post(report, "", SUPPORT)) == [ALL]
    assert case.delivery(case.owners[0]) == "failed"


# --- reports in words


def qmail(recipient: str, returned: bytes, to: str, *, words: str = "Sorry, no mailbox here by that name.") -> bytes:
    """As qmail writes it: no structure, and what is returned stands in the text."""
    text = (
        "Hi. This is the qmail-send program at mx.staff.test.\r\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n\r\n"
        f"<{recipient}>:\r\n{words}\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n"
    )
    sender = "MAILER-DAEMON@mx.staff.test"
    octets = mail(sender=sender, to=to, subject="failure notice", message_id=report_id(), body=text)
    return octets.rstrip() + b"\r\n\r\n" + returned


def test_a_report_in_words_with_the_token_acts(desk: Desk) -> None:
    case = delivered(desk)
    copy = case.copies[case.owners[0]]
    report = qmail(case.owners[0], copy.octets, copy.reverse_path)

    assert gets(desk.post(report, "", copy.reverse_path)) == [ALL]
    assert case.delivery(case.owners[0]) == "failed"


@pytest.mark.parametrize("reverse_path", ["", "MAILER-DAEMON@mx.staff.test"], ids=["null-path", "mailer-daemon"])
def test_a_report_in_words_that_lost_its_token_is_known_by_what_it_returns(desk: Desk, reverse_path: str) -> None:
    """And it never goes to the owner whose copy bounced."""
    case = delivered(desk)
    copy = case.copies[case.owners[0]]

    arrived = desk.post(qmail(case.owners[0], copy.octets, SUPPORT), reverse_path, SUPPORT)

    assert gets(arrived) == [ALL]
    assert b"qmail-send" not in arrived[0].octets
    assert case.delivery(case.owners[0]) == "failed"


@pytest.mark.parametrize("sender", ["MAILER-DAEMON@mx.staff.test", "mx@staff.test"])
def test_what_only_reads_like_a_report_is_shown_and_nothing_follows(desk: Desk, sender: str) -> None:
    """RULES 3.7: low confidence."""
    case = delivered(desk)
    to = case.copies[case.owners[0]].reverse_path
    text = f"We are sorry, something went wrong and it could not be delivered: {case.owners[0]}"
    report = mail(sender=sender, to=to, subject="About your mail", message_id=(id_ := report_id()), body=text)

    assert gets(desk.post(report, "", to)) == [ADMIN]
    assert case.delivery(case.owners[0]) == "delivered"
    life = desk.life(id_)
    assert "report.possible" in [reason["code"] for reason in life["decision"]["reasons"]]
    assert life["direction"] == "report"


def test_a_report_about_the_administrators_own_address_does_not_go_there(desk: Desk) -> None:
    report = dsn(b"Subject: x\r\n\r\n", [(ADMIN, "failed", "5.1.1")], to=SUPPORT, message_id=report_id())

    assert desk.post(report, "", SUPPORT) == []


# --- other reports on people's mail


def answered(case: Case, sender: str = ZOE) -> bytes:
    """A colleague's answer that closed the ticket."""
    answer = mail(
        sender=sender,
        to=case.customer,
        cc=SUPPORT if sender == ZOE else "",
        subject=f"Re: {case.subject}",
        message_id=report_id(),
        headers={"In-Reply-To": case.message_id},
    )
    case.desk.post(answer, ZOE, SUPPORT, peer=OURS)
    return answer


def test_a_report_in_words_on_a_colleagues_mail_tells_him(desk: Desk) -> None:
    case = delivered(desk)
    answer = answered(case)

    assert gets(desk.post(qmail(case.customer, answer, SUPPORT), "", SUPPORT)) == [ZOE]
    assert case.stage == "NEW"


def test_a_customers_receipt_is_kept_on_the_ticket_and_disturbs_nobody(desk: Desk) -> None:
    case = delivered(desk)
    answer = answered(case)
    receipt = dsn(answer, [(case.customer, "displayed", "2.0.0")], to=SUPPORT, message_id=report_id())
    receipt = receipt.replace(b"delivery-status", b"disposition-notification")

    assert desk.post(receipt, case.customer, SUPPORT) == []
    assert case.stage == "CLOSED"
    assert desk.ticket(case.subject)["messages"] == 3


def test_a_mail_that_did_arrive_disturbs_nobody(desk: Desk) -> None:
    case = delivered(desk)
    report = dsn(answered(case), [(case.customer, "relayed", "2.0.0")], to=SUPPORT, message_id=report_id())

    assert desk.post(report, "", SUPPORT) == []
    assert case.stage == "CLOSED"


def test_a_complaint_alerts_the_admins_and_the_writer(desk: Desk) -> None:
    case = delivered(desk)
    answer = answered(case)
    complaint = dsn(answer, [(case.customer, "failed", "5.0.0")], to=SUPPORT, message_id=report_id())
    complaint = complaint.replace(b"delivery-status", b"feedback-report").replace(
        b"Reporting-MTA: dns; mx.staff.test\r\n\r\n", b"Feedback-Type: abuse\r\n\r\n"
    )

    assert gets(desk.post(complaint, "abuse@provider.example", SUPPORT)) == [ADMIN, ZOE]
    assert case.stage == "CLOSED"


# --- mail that is only passed on


def test_a_report_to_postmaster_reaches_the_admins_as_it_came(desk: Desk) -> None:
    report = dsn(
        b"Subject: x\r\n\r\n", [("a@b.example", "failed", "5.1.1")], to="postmaster@desk.test", message_id=report_id()
    )

    arrived = desk.post(report, "", "postmaster@desk.test")

    assert gets(arrived) == [ADMIN]
    assert arrived[0].octets.endswith(b"\r\n" + report)


def test_a_report_through_submission_reaches_whom_it_is_for(desk: Desk) -> None:
    """Our own mail server tells a customer that his mail was not delivered: the desk has no part in it."""
    report = dsn(
        b"Subject: x\r\n\r\n", [("a@desk.test", "failed", "5.1.1")], to="kunde@far.example", message_id=report_id()
    )

    arrived = desk.post(report, "", "kunde@far.example", peer=OURS, port=desk.submission_port)

    assert gets(arrived) == ["kunde@far.example"]
    assert arrived[0].octets.endswith(b"\r\n" + report)
    assert arrived[0].reverse_path == ""


def test_an_owner_may_redirect_his_copy_to_somebody_else(desk: Desk) -> None:
    """Our mark is on it, but it does not come back to us."""
    case = delivered(desk)
    copy = case.copies[case.owners[0]]

    arrived = desk.post(copy.octets, case.owners[0], "expert@far.example", peer=OURS, port=desk.submission_port)

    assert gets(arrived) == ["expert@far.example"]
    assert case.delivery(case.owners[0]) == "delivered"
