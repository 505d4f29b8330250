"""Two doors: submission takes any recipient from our own people, the mx only what is ours from anybody (DESIGN 6)."""

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import OURS, STRANGER, Relay, free_port, mail
from journeys.traffic import SUPPORT, arrivals, customer, message_id_of
from smtp_sink import Received, ThreadedSink

ANN, ZOE, ADMIN = "ann@staff.test", "zoe@staff.test", "it@staff.test"
CUSTOMER, ELSEWHERE = customer(3), "freund@elsewhere.example"
ADDED = {"received", "x-supportrelay-id", "x-supportrelay-trail"}


@dataclass
class Doors:
    """A relay with both roles."""

    relay: Relay
    sink: ThreadedSink
    submission: int

    def at_mx(self, peer: str = STRANGER) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.relay.port, source_address=(peer, 0), timeout=20)

    def at_submission(self, peer: str = OURS) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.submission, source_address=(peer, 0), timeout=20)

    def got(self, message_id: str) -> dict[str, Received]:
        """Recipient -> his copy, of which there is one."""
        self.relay.settle()
        copies = {key: n for key, n in arrivals(self.sink.messages).items() if key[0] == message_id}
        assert set(copies.values()) <= {1}, copies
        mine = [m for m in self.sink.messages if message_id_of(m.octets) == message_id]
        return {recipient: m for m in mine for recipient in m.recipients}

    def tickets(self, subject: str) -> list[dict[str, Any]]:
        return [ticket for ticket in self.relay.tickets() if ticket["subject"] == subject]

    def life(self, message_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.relay.ask("mail.trace", id=message_id)
        return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with ThreadedSink() as sink:
        config = desk_config(sink.port)
        mx, submission = free_port(), free_port()
        config["listen"] = [
            {"host": "0.0.0.0", "port": mx, "role": "mx"},
            {"host": "0.0.0.0", "port": submission, "role": "submission"},
        ]
        relay = Relay(tmp_path_factory.mktemp("doors"), config, COMPANIES)
        relay.port = mx
        relay.start()
        yield Doors(relay, sink, submission)
        assert relay.stop() == 0


@pytest.fixture
def doors(opened: Doors) -> Iterator[Doors]:
    opened.sink.clear()
    yield opened
    opened.sink.behave_well()


def letter(name: str, *, to: str, cc: str = "", sender: str = f"Zoë <{ZOE}>") -> tuple[str, bytes]:
    """``(Message-ID, octets)`` of a mail whose every octet is easy to change by accident."""
    message_id = f"<{name.replace(' ', '-')}@mail.example>"
    odd = {"X-Odd": "  two  spaces\r\n\tand a tab ", "x-ODD": "again"}
    octets = mail(
        sender=sender, to=to, cc=cc, subject=name, message_id=message_id, body="Grüße \r\n\r\n. \r\n", headers=odd
    )
    return message_id, octets


def assert_as_it_came(copy: Received, original: bytes) -> None:
    """The original octets behind our trace fields, and nothing else."""
    assert copy.octets.endswith(original)
    added = copy.octets.removesuffix(original)
    names = {
        line.partition(b":")[0].decode().lower() for line in added.split(b"\r\n") if line[:1] not in {b"", b"\t", b" "}
    }
    assert names == ADDED


# -- submission ------------------------------------------------------------------------------------------------------


def test_staff_reach_anybody_and_the_support_copy_is_processed(doors: Doors) -> None:
    message_id, octets = letter("submitted", to=CUSTOMER, cc=SUPPORT)
    with doors.at_submission() as client:
        assert not client.sendmail(ZOE, [CUSTOMER, SUPPORT, ELSEWHERE], octets, ["BODY=8BITMIME"])
    got = doors.got(message_id)
    assert set(got) == {CUSTOMER, ELSEWHERE, ANN}
    for recipient in (CUSTOMER, ELSEWHERE):
        assert_as_it_came(got[recipient], octets)
        assert got[recipient].reverse_path == ZOE
    assert got[ANN].reverse_path.startswith("support+b-")
    assert b"X-Supportrelay-Ticket:" in got[ANN].octets
    (ticket,) = doors.tickets("submitted")
    assert (ticket["stage"], ticket["customer"]) == ("CLOSED", CUSTOMER)


def test_a_mail_to_others_only_is_passed_on_and_makes_no_ticket(doors: Doors) -> None:
    message_id, octets = letter("others only", to=CUSTOMER)
    with doors.at_submission() as client:
        client.sendmail(ZOE, [CUSTOMER], octets, ["BODY=8BITMIME"])
    got = doors.got(message_id)
    assert set(got) == {CUSTOMER}
    assert_as_it_came(got[CUSTOMER], octets)
    assert not doors.tickets("others only")


def test_a_customer_who_cannot_be_reached_is_no_reason_to_tell_allmember(doors: Doors) -> None:
    doors.sink.refuse("rcpt", "550 5.1.1 nobody here", recipient=CUSTOMER)
    with_support, octets = letter("refused customer", to=CUSTOMER, cc=SUPPORT)
    alone, octets_alone = letter("refused customer alone", to=CUSTOMER)
    with doors.at_submission() as client:
        client.sendmail(ZOE, [CUSTOMER, SUPPORT], octets, ["BODY=8BITMIME"])
        client.sendmail(ZOE, [CUSTOMER], octets_alone, ["BODY=8BITMIME"])
    assert set(doors.got(with_support)) == {ANN}
    assert doors.got(alone) == {}
    assert doors.life(with_support)["state"] == "delivered"
    assert doors.life(alone)["state"] == "dead", "somebody has to look at it"


def test_a_stranger_is_refused_at_submission(doors: Doors) -> None:
    with doors.at_submission(STRANGER) as client:
        client.ehlo()
        assert client.mail(ZOE) == (550, b"5.7.1 We do not take mail from this sender")
        assert client.rcpt(SUPPORT)[0] == 503


# -- mx --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", [pytest.param(STRANGER, id="stranger"), pytest.param(OURS, id="our-own-network")])
@pytest.mark.parametrize(
    "recipient",
    [
        pytest.param(ELSEWHERE, id="elsewhere"),
        pytest.param(ZOE, id="staff"),
        pytest.param("nobody@desk.test", id="unknown-at-home"),
        pytest.param("postmaster@elsewhere.example", id="another-postmaster"),
        pytest.param('"support@desk.test@elsewhere.example"@elsewhere.example', id="ours-inside-another"),
        pytest.param("support%desk.test@elsewhere.example", id="percent"),
    ],
)
def test_the_mx_refuses_what_is_not_ours_before_data(doors: Doors, peer: str, recipient: str) -> None:
    with doors.at_mx(peer) as client:
        client.ehlo()
        client.mail("someone@acme1.example")
        code, text = client.docmd(f"RCPT TO:<{recipient}>")
        assert (code, text[:5]) == (550, b"5.7.1")
        assert client.docmd("DATA")[0] == 503


def test_what_is_ours_is_taken_although_another_recipient_is_refused(doors: Doors) -> None:
    message_id, octets = letter("ours and another", to=SUPPORT, sender=customer(5))
    with doors.at_mx() as client:
        refused = client.sendmail(customer(5), [SUPPORT, ELSEWHERE], octets, ["BODY=8BITMIME"])
    assert set(refused) == {ELSEWHERE}
    assert set(doors.got(message_id)) == {ANN}


@pytest.mark.parametrize("path", ["postmaster", "postmaster@desk.test", "Postmaster@DESK.test", "abuse@desk.test"])
def test_postmaster_and_abuse_reach_the_admins_as_it_came(doors: Doors, path: str) -> None:
    message_id, octets = letter(f"to {path}".replace("@", "."), to=path, sender=customer(6))
    with doors.at_mx() as client:
        client.ehlo()
        client.mail(customer(6), ["BODY=8BITMIME"])
        assert client.docmd(f"RCPT TO:<{path}>")[0] == 250
        assert client.data(octets)[0] == 250
    got = doors.got(message_id)
    assert set(got) == {ADMIN}
    assert_as_it_came(got[ADMIN], octets)
    assert not doors.tickets(f"to {path}".replace("@", "."))


def test_a_plus_address_is_the_support_address(doors: Doors) -> None:
    message_id, octets = letter("plus", to="Support+Rechnung@desk.test", sender=customer(7))
    with doors.at_mx() as client:
        client.sendmail(customer(7), ["Support+Rechnung@desk.test"], octets, ["BODY=8BITMIME"])
    assert set(doors.got(message_id)) == {ANN}
    (ticket,) = doors.tickets("plus")
    assert ticket["stage"] == "NEW"


@pytest.mark.parametrize("recipient", [SUPPORT, "postmaster@desk.test"])
def test_copies_of_a_mail_with_the_null_sender_have_the_null_sender(doors: Doors, recipient: str) -> None:
    message_id, octets = letter(f"null to {recipient}".replace("@", "."), to=recipient, sender=customer(8))
    with doors.at_mx() as client:
        client.sendmail("", [recipient], octets, ["BODY=8BITMIME"])
    got = doors.got(message_id)
    assert set(got) == {ANN if recipient == SUPPORT else ADMIN}
    assert {copy.reverse_path for copy in got.values()} == {""}
