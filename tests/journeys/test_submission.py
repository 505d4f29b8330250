"""Two doors: submission takes any recipient from our own people, the mx only what is ours from anybody (DESIGN 6)."""

import smtplib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from certificates import Pair, make_pair
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import OURS, STRANGER, Relay, free_port, mail
from journeys.traffic import SUPPORT, arrivals, customer, is_own_mail, message_id_of
from smtp_sink import Received, ThreadedSink

ANN, ZOE, ADMIN = "ann@staff.test", "zoe@staff.test", "it@staff.test"
CUSTOMER, ELSEWHERE = customer(3), "freund@elsewhere.example"
PASSWORD = "correct horse battery"
CREDENTIALS = b64encode(f"\0{ZOE}\0{PASSWORD}".encode()).decode()
ADDED = {"received", "x-supportrelay-id", "x-supportrelay-trail"}


@dataclass
class Doors:
    """A relay with both roles."""

    relay: Relay
    sink: ThreadedSink
    submission: int
    pair: Pair

    def at_mx(self, peer: str = STRANGER) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.relay.port, source_address=(peer, 0), timeout=20)

    def at_submission(self, peer: str = OURS) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.submission, source_address=(peer, 0), timeout=20)

    def logged_in(self, user: str = ZOE, peer: str = STRANGER, password: str = PASSWORD) -> smtplib.SMTP:
        """A stranger's address, a user's name and password."""
        client = smtplib.SMTP("127.0.0.1", self.submission, source_address=(peer, 0), timeout=30)
        try:
            client.starttls(context=self.pair.client)
            client.login(user, password)
        except BaseException:
            client.close()
            raise
        return client

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
        sink.settings.sets_aside = is_own_mail
        config = desk_config(sink.port)
        mx, submission = free_port(), free_port()
        pair = make_pair(tmp_path_factory.mktemp("tls"))
        config["listen"] = [
            {"host": "0.0.0.0", "port": mx, "role": "mx"},
            {
                "host": "0.0.0.0",
                "port": submission,
                "role": "submission",
                "tls": {"cert": str(pair.cert), "key": str(pair.key)},
            },
        ]
        relay = Relay(tmp_path_factory.mktemp("doors"), config, COMPANIES)
        relay.port = mx
        relay.start()
        yield Doors(relay, sink, submission, pair)
        assert relay.stop() == 0


@pytest.fixture
def doors(opened: Doors) -> Iterator[Doors]:
    opened.sink.clear()
    yield opened
    opened.sink.behave_well()


def letter(
    name: str, *, to: str, cc: str = "", sender: str = f"Zoë <{ZOE}>", replies_to: str = ""
) -> tuple[str, bytes]:
    """``(Message-ID, octets)`` of a mail whose every octet is easy to change by accident."""
    message_id = f"<{name.replace(' ', '-')}@mail.example>"
    odd = {"X-Odd": "  two  spaces\r\n\tand a tab ", "x-ODD": "again"}
    odd |= {"In-Reply-To": replies_to, "References": replies_to} if replies_to else {}
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
        assert "auth" not in client.esmtp_features
        assert client.docmd("AUTH", f"PLAIN {CREDENTIALS}") == (538, b"5.7.11 Start TLS before you log in")
        assert client.mail(ZOE) == (530, b"5.7.0 Must issue STARTTLS first")
        assert client.rcpt(SUPPORT)[0] == 503
        client.starttls(context=doors.pair.client)
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        assert client.mail(ZOE) == (530, b"5.7.0 Authentication required")
        assert client.rcpt(SUPPORT)[0] == 503


# -- submission by login ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def users(opened: Doors) -> Iterator[list[str]]:
    """Accounts made by the command, while the daemon runs."""
    file = opened.relay.folder / "password"
    file.write_text(PASSWORD + "\n", "utf-8")
    for user, *addresses in ((ZOE, "--address", "zoe.b@staff.test"), ("printer", "--address", "*@devices.test")):
        opened.relay.run("user", "add", user, *addresses, "--password-file", str(file))
    yield [ZOE, "printer"]
    opened.relay.run("user", "remove", "printer")


def test_who_logs_in_reaches_anybody_and_support_in_cc_closes(doors: Doors, users: list[str]) -> None:
    """AUTH is proof (DESIGN 6): the mail goes out as it came, the ticket is closed, and trace says why."""
    asked, question = letter("to be answered", to=SUPPORT, sender=CUSTOMER)
    with doors.at_mx() as client:
        client.sendmail(CUSTOMER, [SUPPORT], question, ["BODY=8BITMIME"])
    assert set(doors.got(asked)) == {ANN}

    message_id, octets = letter("login answer", to=CUSTOMER, cc=SUPPORT, replies_to=asked)
    with doors.logged_in() as client:
        assert not client.sendmail(ZOE, [CUSTOMER, SUPPORT, ELSEWHERE], octets, ["BODY=8BITMIME"])
    got = doors.got(message_id)

    assert set(got) == {CUSTOMER, ELSEWHERE, ANN}
    assert_as_it_came(got[CUSTOMER], octets)
    assert b"with ESMTPSA" in got[CUSTOMER].octets
    assert ZOE.encode() not in got[CUSTOMER].octets.removesuffix(octets), "who logged in is nobody else's business"
    (ticket,) = doors.tickets("to be answered")
    assert ticket["stage"] == "CLOSED"
    decision = doors.life(message_id)["decision"]
    assert (decision["direction"], decision["proven"], decision["proven_by"]) == ("outbound", True, f"AUTH {ZOE}")
    told = doors.relay.run("trace", message_id, "--language", "en").out
    assert f"logged in by AUTH as {ZOE}" in told


def test_a_colleague_writes_as_the_desk(doors: Doors, users: list[str]) -> None:
    """Shared addresses are everybody's who logs in; the mail counts as a colleague's."""
    message_id, octets = letter("as the desk", to=CUSTOMER, cc="help@desk.test", sender=f"Support <{SUPPORT}>")
    with doors.logged_in("printer") as client:
        client.sendmail(SUPPORT, [CUSTOMER, "help@desk.test"], octets, ["BODY=8BITMIME"])
    got = doors.got(message_id)

    assert set(got) == {CUSTOMER, ANN}
    assert_as_it_came(got[CUSTOMER], octets)
    (ticket,) = doors.tickets("as the desk")
    assert (ticket["stage"], ticket["customer"]) == ("CLOSED", CUSTOMER)


@pytest.mark.parametrize(
    ("user", "reverse_path", "author"),
    [
        pytest.param(ZOE, ZOE, ZOE, id="himself"),
        pytest.param(ZOE, "zoe.b@staff.test", "Zoë <Zoe.B@STAFF.test>", id="a-listed-address"),
        pytest.param(ZOE, "zoe+news@staff.test", ZOE, id="with-a-detail"),
        pytest.param(ZOE, "", ZOE, id="null-reverse-path"),
        pytest.param(ZOE, "relay@desk.test", "help@desk.test", id="the-desks"),
        pytest.param("printer", "any@devices.test", "other@devices.test", id="a-whole-domain"),
    ],
)
def test_what_somebody_may_write_as_is_taken(
    doors: Doors, users: list[str], user: str, reverse_path: str, author: str
) -> None:
    name = f"own {user} {reverse_path}".replace("@", ".").replace("+", "-")
    message_id, octets = letter(name, to=CUSTOMER, sender=author)
    with doors.logged_in(user) as client:
        assert not client.sendmail(reverse_path, [CUSTOMER], octets, ["BODY=8BITMIME"])
    assert set(doors.got(message_id)) == {CUSTOMER}


@pytest.mark.parametrize(
    "reverse_path",
    [
        pytest.param(ANN, id="a-colleague"),
        pytest.param(CUSTOMER, id="a-customer"),
        pytest.param("zoe@devices.test", id="another-domain"),
        pytest.param("support+b-0123456789abcdef@desk.test", id="a-bounce-address"),
    ],
)
def test_another_reverse_path_is_refused_at_mail(doors: Doors, users: list[str], reverse_path: str) -> None:
    with doors.logged_in() as client:
        client.ehlo()
        assert client.mail(reverse_path) == (550, b"5.7.1 You may not send as this address; use one of your own")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(f"From: Ann <{ANN}>", id="a-colleague"),
        pytest.param(f"From: {ZOE}, {ANN}", id="one-of-two"),
        pytest.param(f"From: {ZOE}\r\nFrom: {ANN}", id="two-fields"),
        pytest.param(f"Subject: no author\r\nfrom : {ANN}\r\nFrom: {ZOE}", id="odd-second-field"),
        pytest.param(f"From: {ZOE}\r\nSender: {ANN}", id="sender"),
        pytest.param(f"From: {ANN} <{ZOE}>", id="address-for-a-name"),
        pytest.param(f"From: Ann {ANN}>, {ZOE}", id="half-an-address"),
        pytest.param("From: Nobody", id="no-address"),
        pytest.param("Subject: no author at all", id="none"),
    ],
)
def test_another_author_is_refused_at_the_dot(doors: Doors, users: list[str], header: str) -> None:
    octets = f"{header}\r\nTo: {CUSTOMER}\r\n\r\nHello\r\n".encode()
    with doors.logged_in() as client:
        client.ehlo()
        client.mail(ZOE)
        client.rcpt(CUSTOMER)
        code, text = client.data(octets)
    assert (code, text) == (550, b"5.7.1 From must be one address of your own, or one that the desk shares")
    assert not doors.sink.messages


def test_a_disabled_user_is_out_at_once_in_open_sessions_too(doors: Doors, users: list[str]) -> None:
    with doors.logged_in() as client:
        client.ehlo()
        assert client.mail(ZOE)[0] == 250
        doors.relay.run("user", "disable", ZOE)
        client.rcpt(CUSTOMER)
        assert client.data(letter("too late", to=CUSTOMER)[1])[0] == 550
        assert client.mail(ZOE)[0] == 550
        with pytest.raises(smtplib.SMTPAuthenticationError):
            doors.logged_in(peer="127.0.0.3")
        doors.relay.run("user", "enable", ZOE)
        assert client.mail(ZOE)[0] == 250


def test_no_password_stands_in_log_store_or_answers(doors: Doors, users: list[str]) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError):
        doors.logged_in(peer="127.0.0.4", password="a wrong but telling word")
    listed = doors.relay.run("user", "list", "--json").out
    kept = [file for file in doors.relay.folder.rglob("*") if file.is_file() and file.name != "password"]
    octets = b"".join(file.read_bytes() for file in kept) + listed.encode()

    assert b"login.failed" in octets, "the failure is told"
    for secret in (PASSWORD, CREDENTIALS, "a wrong but telling word"):
        assert secret.encode() not in octets
    assert b"$argon2id$" not in listed.encode() + doors.relay.log_path.read_bytes()


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
