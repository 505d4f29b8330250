"""Mail that the relay writes itself, as it leaves: reports, alerts, digests (RELIABILITY C54, C55, C57, C58, C62)."""

import itertools
import smtplib
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from typing import Any

import pytest

from flow.own_world import status_of, text_of
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import GATEWAY, OURS, STRANGER, Relay, free_port, mail
from journeys.traffic import SUPPORT, customer
from smtp_sink import Received, ThreadedSink

ANN, ALL, ADMIN = "ann@staff.test", "all@desk.test", "it@staff.test"
GONE = "550 5.1.1 <%s> no such user here [10.1.2.3]"
_numbers = itertools.count(1)


class Office:
    """A relay with both doors and a sink that refuses whom it is told to."""

    def __init__(self, relay: Relay, sink: ThreadedSink, submission: int) -> None:
        self.relay = relay
        self.sink = sink
        self.submission = submission

    def refuse(self, *people: str) -> None:
        for person in people:
            self.sink.refuse("rcpt", GONE % person, recipient=person)

    def customer_writes(self, sender: str, *, peer: str = GATEWAY, proof: str = "pass", **headers: str) -> str:
        """A mail to the desk; its Message-ID."""
        number = next(_numbers)
        message_id = f"<own.{number}@mail.example>"
        domain = sender.rpartition("@")[2]
        results = {"Authentication-Results": f"gw.test; dmarc={proof} header.from={domain}"} if proof else {}
        octets = mail(
            sender=f"Kunde <{sender}>",
            to=SUPPORT,
            subject=f"Secret subject {number}",
            message_id=message_id,
            body="Buy pills at http://evil.example",
            headers=results | headers,
        )
        self.relay.send(octets, sender, [SUPPORT], peer=peer)
        return message_id

    def submits(self, sender: str, *recipients: str) -> str:
        message_id = f"<own.{next(_numbers)}@mail.example>"
        octets = mail(sender=sender, to=", ".join(recipients), subject="To you", message_id=message_id)
        with smtplib.SMTP("127.0.0.1", self.submission, source_address=(OURS, 0), timeout=30) as client:
            client.sendmail(sender, recipients, octets, ["BODY=8BITMIME"])
        return message_id

    def until(self, found: Callable[[], Any]) -> Any:
        """What is found, when it is there."""
        deadline = time.monotonic() + 60
        while not (answer := found()):
            assert time.monotonic() < deadline, self.relay.log_path.read_text()[-3000:]
            time.sleep(0.05)
        return answer

    def changes(self, message_id: str) -> dict[str, dict[str, Any]]:
        """What the record says, by what it was."""
        life = self.relay.ask("mail.trace", id=message_id)
        return {change["what"]: change["why"] for change in life["changes"]}

    def change(self, message_id: str, what: str) -> dict[str, Any]:
        found: dict[str, Any] = self.until(lambda: self.changes(message_id).get(what))
        return found

    def was_told(self, message_id: str) -> bool:
        """Whether its author got a report; waits until that is decided."""
        ends = {"message.reported", "message.not_reported"}
        found: set[str] = self.until(lambda: ends & set(self.changes(message_id)))
        return "message.reported" in found

    def wait_for_reports(self, address: str, count: int) -> None:
        self.until(lambda: len(self.own_mail_to(address, "report")) == count)

    def own_mail_to(self, address: str, kind: str) -> list[Received]:
        return [m for m in self.sink.messages if m.recipients == (address,) and reason_of(m) == kind]


def reason_of(received: Received) -> str:
    return str(message_from_bytes(received.octets)["X-Supportrelay-Reason"])


def subject_of(message: Message) -> str:
    return str(make_header(decode_header(message["Subject"].replace("\r\n", ""))))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with ThreadedSink() as sink:
        config = desk_config(sink.port)
        mx, submission = free_port(), free_port()
        config["listen"] = [
            {"host": "0.0.0.0", "port": mx, "role": "mx"},
            {"host": "0.0.0.0", "port": submission, "role": "submission"},
        ]
        config["digest"] = {"after": "1s"}
        relay = Relay(tmp_path_factory.mktemp("own"), config, COMPANIES)
        relay.port = mx
        relay.start()
        yield Office(relay, sink, submission)
        assert relay.stop() == 0


@pytest.fixture
def office(opened: Office) -> Iterator[Office]:
    opened.sink.clear()
    yield opened
    opened.sink.behave_well()


# --- reports to authors


def test_c62_a_report_is_a_sound_rfc_3464_mail(office: Office) -> None:
    office.refuse(ANN, ALL)
    author = customer(1)
    message_id = office.customer_writes(author)
    (received,) = office.until(lambda: office.own_mail_to(author, "report"))
    report = message_from_bytes(received.octets)

    assert received.reverse_path == ""
    assert parseaddr(report["From"])[1] == "relay@desk.test"
    assert report["To"] == author
    assert report["Reply-To"] == SUPPORT
    assert report["Date"]
    assert report["Message-ID"].endswith("@desk.test>")
    assert report["In-Reply-To"] == report["References"] == message_id
    assert (report["Auto-Submitted"], report["X-Auto-Response-Suppress"]) == ("auto-replied", "All")
    assert report["MIME-Version"] == "1.0"
    assert (report.get_content_type(), report.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert SUPPORT in subject_of(report)
    parts = report.get_payload()
    assert isinstance(parts, list)
    assert [one.get_content_type() for one in parts if isinstance(one, Message)] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    whole, recipient = status_of(report)
    assert (whole["Reporting-MTA"], bool(whole["Arrival-Date"])) == ("dns; desk.test", True)
    assert dict(recipient.items()) == {
        "Final-Recipient": f"rfc822; {SUPPORT}",
        "Action": "failed",
        "Status": "5.3.0",
    }
    assert "メールシステム" in text_of(report)  # in the address's language
    for inside in (b"relay.desk.test", b"10.1.2.3", b"127.0.0.", b"staff.test", b"all@desk", b"pills", b"Received"):
        assert inside not in received.octets
    assert received.octets.isascii()
    told = office.change(message_id, "message.reported")
    assert told["recipients"] == [SUPPORT]
    listed = office.relay.ask("queue.list", finished=True)
    own = next(one for one in listed if one["message_id"] == report["Message-ID"])
    assert (own["reverse_path"], own["forward_paths"], own["ticket"]) == ("", [author], None)
    assert (
        office.changes(own["queue_id"])["own.written"]["about"]
        == office.relay.ask("mail.trace", id=message_id)["queue_id"]
    )


@pytest.mark.parametrize(
    ("why", "values"),
    [
        pytest.param("unproven", {"peer": STRANGER, "proof": ""}, id="c57-stranger"),
        pytest.param("unproven", {"proof": "fail"}, id="c57-dmarc-fail"),
        pytest.param("automatic", {"Precedence": "bulk"}, id="c55-bulk"),
        pytest.param("automatic", {"List-Id": "<all.acme.example>"}, id="c55-list"),
    ],
)
def test_c57_nobody_else_gets_one(office: Office, why: str, values: dict[str, str]) -> None:
    office.refuse(ANN, ALL)
    author = customer(20 + next(_numbers))
    message_id = office.customer_writes(author, **values)

    assert office.change(message_id, "message.not_reported")["why"] == why
    office.relay.settle()
    assert office.own_mail_to(author, "report") == []


def test_a_submitter_is_told_of_each_who_did_not_get_it_in_one_mail(office: Office) -> None:
    nobody, nowhere, friend = "nobody@far.example", "nowhere@far.example", "friend@far.example"
    office.refuse(nobody, nowhere)
    message_id = office.submits(ANN, nobody, friend, nowhere)
    (received,) = office.until(lambda: office.own_mail_to(ANN, "report"))
    report = message_from_bytes(received.octets)

    groups = status_of(report)
    assert [(one["Final-Recipient"], one["Status"]) for one in groups[1:]] == [
        (f"rfc822; {nobody}", "5.1.1"),
        (f"rfc822; {nowhere}", "5.1.1"),
    ]
    assert all("no such user here" in one["Diagnostic-Code"] for one in groups[1:])
    assert b"10.1.2.3" not in received.octets
    assert friend not in text_of(report)
    assert [m.recipients for m in office.sink.messages if m.reverse_path == ANN] == [(friend,)]
    office.change(message_id, "message.reported")


def test_c58_a_report_that_is_refused_is_no_reason_for_another(office: Office) -> None:
    author = customer(7)
    office.refuse(ANN, ALL, author)
    message_id = office.customer_writes(author)
    own = office.change(message_id, "message.told")["queue_id"]
    office.until(lambda: office.relay.ask("queue.show", queue_id=own)["state"] == "dead")
    (alert,) = office.until(lambda: office.own_mail_to(ADMIN, "alert"))

    assert own in text_of(message_from_bytes(alert.octets))
    office.relay.settle()
    about = [one for one in office.relay.ask("queue.list", finished=True) if author in one["forward_paths"]]
    assert [one["queue_id"] for one in about] == [own]


# --- a robot at the other end


def test_c55_a_robot_that_answers_everything_gets_two_mails_at_most(office: Office) -> None:
    """It answers whatever we send, without any mark; and nobody here can be reached."""
    robot = customer(9)
    office.refuse(ANN, ALL)
    for number in range(4):
        message_id = office.customer_writes(robot)
        if office.was_told(message_id):
            office.wait_for_reports(robot, number + 1)
    office.relay.settle()

    assert len(office.own_mail_to(robot, "report")) == 2


def test_c55_a_robot_that_answers_a_report_as_answers_go_gets_no_second_one(office: Office) -> None:
    robot = customer(10)
    office.refuse(ANN, ALL)
    office.customer_writes(robot)
    (report,) = office.until(lambda: office.own_mail_to(robot, "report"))
    answered = str(message_from_bytes(report.octets)["Message-ID"])
    answer = office.customer_writes(robot, **{"In-Reply-To": answered, "References": answered})

    assert office.change(answer, "message.not_reported")["why"] == "answers_ours"


def test_a_report_that_comes_back_is_known(office: Office) -> None:
    robot = customer(11)
    office.refuse(ANN, ALL)
    office.customer_writes(robot)
    (report,) = office.until(lambda: office.own_mail_to(robot, "report"))
    office.relay.send(report.octets, "", [SUPPORT])
    office.relay.settle()

    states = [
        one["state"]
        for one in office.relay.ask("queue.list", finished=True, states=["looped"])
        if one["message_id"] == message_from_bytes(report.octets)["Message-ID"]
    ]
    assert states == ["looped"]


def test_c54_three_hundred_forged_senders_get_nothing(office: Office) -> None:
    """No automatic answer exists, and nobody whose name was forged hears of his mail."""
    office.refuse(ANN, ALL)
    forged = [f"victim{number}@victims.example" for number in range(300)]
    before = len(office.relay.ask("queue.list", finished=True))
    with smtplib.SMTP("127.0.0.1", office.relay.port, source_address=(GATEWAY, 0), timeout=60) as client:
        for number, victim in enumerate(forged):
            octets = mail(sender=victim, to=SUPPORT, subject="Free!", message_id=f"<{number}@victims.example>")
            client.sendmail(victim, [SUPPORT], octets)
    office.relay.settle(60)
    last = [f"<{number}@victims.example>" for number in (0, 149, 299)]
    for message_id in last:
        assert office.change(message_id, "message.not_reported")["why"] == "unproven"

    assert len(office.relay.ask("queue.list", finished=True)) - before >= 300
    assert {m.recipients for m in office.sink.messages if "victims.example" in m.recipients[0]} == set()


# --- mail to the administrators


def test_what_is_dead_stands_in_the_digest(office: Office) -> None:
    office.refuse(ANN, ALL)
    message_id = office.customer_writes(customer(12), peer=STRANGER, proof="")
    queue_id = office.until(lambda: office.relay.ask("mail.trace", id=message_id)["queue_id"])
    received = office.until(
        lambda: next(
            (m for m in office.own_mail_to(ADMIN, "digest") if queue_id in text_of(message_from_bytes(m.octets))), None
        )
    )
    digest = message_from_bytes(received.octets)

    assert (received.reverse_path, digest["Auto-Submitted"], digest["Reply-To"]) == ("", "auto-generated", ADMIN)
    assert "配送不能" in subject_of(digest)
    assert customer(12) in text_of(digest)
    assert not [one for one in office.relay.tickets() if "supportrelay" in one["subject"]]
    office.relay.run("queue", "drop", "--state", "dead")
    assert office.relay.ask("queue.list", states=["dead"]) == []


def test_f25_a_smarthost_that_refuses_us_is_an_alert_that_waits_like_any_mail(office: Office) -> None:
    office.sink.refuse("mail", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", times=2)
    office.customer_writes(customer(13))
    alert = office.until(
        lambda: (
            next(
                (m for m in office.own_mail_to(ADMIN, "alert") if "5.7.60" in text_of(message_from_bytes(m.octets))),
                None,
            )
            or office.relay.ask("queue.retry") is None
        )
    )

    assert "queue retry --all" in text_of(message_from_bytes(alert.octets))
