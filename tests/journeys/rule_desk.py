"""A desk for rules: mails that carry their case in X-Case, and a daemon that is asked, sent to and looked at."""

import base64
import sqlite3
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from itertools import count
from typing import Any

from journeys.relay import OURS, STRANGER, Relay
from smtp_sink import Received, ThreadedSink

SUPPORT = "support@desk.test"
KUNDE = "kunde@acme.example"  # a contact of ACME Corp, whose deal Ann owns
COLLEGE = "someone@acme.example"  # of ACME Corp, but no contact
OTHER = "info@pumps.example"  # of Pumps Ltd, whose deal Ben owns
NOBODY = "who@stranger.example"
ANN, BEN, CHO, DAN, ZOE = (f"{name}@staff.test" for name in ("ann", "ben", "cho", "dan", "zoe"))
ALL, ADMINS = "all@desk.test", "it@staff.test"
CASE = "X-Case"

COMPANIES: list[dict[str, Any]] = [
    {
        "name": "ACME Corp",
        "domains": ["acme.example"],
        "contacts": [KUNDE],
        "deals": [{"name": "Robots 2026", "stage": "open", "owners": [ANN]}],
    },
    {"name": "Pumps Ltd", "domains": ["pumps.example"], "deals": [{"name": "Pumps", "stage": "open", "owners": [BEN]}]},
    {"name": "Free mail", "domains": ["free.example"], "contacts": ["boss@gmail.com"]},
]


def rules_config(sink_port: int, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "hostname": "relay.desk.test",
        "addresses": [
            {
                "name": "support",
                "address": SUPPORT,
                "sender": {"name": "{author} via Support", "address": "relay@desk.test"},
                "allmember": [ALL],
                "language": "ja",
            },
            {
                "name": "shown",
                "address": "shown@desk.test",
                "sender": {"name": "Shown", "address": "shown-relay@desk.test"},
                "allmember": [ALL],
                "language": "en",
                "show_recipients": True,
                "banner_details": "full",
            },
        ],
        "internal_domains": ["desk.test", "staff.test"],
        "admins": [ADMINS],
        "teams": {"second-line": [CHO, DAN]},
        "trusted_networks": [OURS],
        "outbound": {"host": "127.0.0.1", "port": sink_port, "tls": "none"},
        "workers": 1,
        "rules": rules,
    }


@dataclass(frozen=True)
class Letter:
    """One mail. ``case`` goes into X-Case; ``answers`` and ``message_id`` are Message-IDs, made up when empty."""

    sender: str = KUNDE
    to: str = SUPPORT
    cc: str = ""
    rcpt: tuple[str, ...] = (SUPPORT,)
    peer: str = STRANGER
    subject: str = "a question"
    body: str = "Hello, we have a question."
    headers: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    envelope_sender: str | None = None
    answers: str = ""
    message_id: str = ""
    case: str = ""

    @property
    def reverse_path(self) -> str:
        return self.sender if self.envelope_sender is None else self.envelope_sender

    def octets(self) -> bytes:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, self.to
        if self.cc:
            message["Cc"] = self.cc
        message["Subject"] = self.subject
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = self.message_id
        if self.case:
            message[CASE] = self.case
        if self.answers:
            message["In-Reply-To"] = self.answers
        for name, value in self.headers.items():
            message[name] = value
        message.set_content(self.body, cte="base64" if len(self.body) > 900 else "8bit")
        for name in self.files:
            message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename=name)
        return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@dataclass(frozen=True)
class Outcome:
    """What came of a mail.

    Attributes:
        copies: Recipient -> copy at the sink.
        explained: What ``explain --json`` said before. life: what ``trace --json`` says afterwards.
        ticket: As ``tickets list --json`` has it, None when the mail is on none.
    """

    letter: Letter
    octets: bytes
    copies: dict[str, Received]
    explained: dict[str, Any]
    life: dict[str, Any]
    ticket: dict[str, Any] | None

    @property
    def decision(self) -> dict[str, Any]:
        found = self.life["decision"]
        assert isinstance(found, dict)
        return found

    @property
    def rules(self) -> list[str]:
        return list(self.decision["rules"])

    def header(self, recipient: str, name: str) -> str:
        block = self.copies[recipient].octets.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
        for line in block.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.decode().lower() == name.lower():
                return str(make_header(decode_header(value.decode().strip())))
        return ""

    def text(self, recipient: str) -> str:
        """What the recipient reads."""
        read = BytesParser(policy=policy.default).parsebytes(self.copies[recipient].octets).get_body(("plain",))
        assert read is not None
        return str(read.get_content())


class RuleDesk:
    """The daemon with all the rules, and the sink behind it."""

    def __init__(self, relay: Relay, sink: ThreadedSink) -> None:
        self.relay = relay
        self.sink = sink
        self._numbers = count(1)

    def send(self, letter: Letter) -> Outcome:
        """Ask ``explain``, send, wait, look; what was explained must have come true."""
        if not letter.message_id:
            number = next(self._numbers)
            # Words of their own: a person who writes the same twice is told apart (`flow.again`).
            letter = replace(
                letter,
                message_id=f"<{letter.case or 'none'}.{number}@mail.example>",
                body=f"{letter.body}\r\n({number})",
            )
        self._forget_robots()
        octets = letter.octets()
        explained = self.explain(letter, octets)
        before = len(self.sink.messages)
        self.relay.send(octets, letter.reverse_path, list(letter.rcpt), peer=letter.peer)
        self.relay.settle()
        life = self.relay.ask("mail.trace", id=letter.message_id)
        outcome = Outcome(letter, octets, self._copies(before), explained, life, self._ticket(life))
        self._came_true(outcome)
        return outcome

    def _forget_robots(self) -> None:
        """One customer sends all the automatic mail of this table; how much is too much is told elsewhere."""
        with sqlite3.connect(self.relay.folder / "state" / "relay.db", timeout=10) as store:
            store.execute("DELETE FROM robot_mail")
            store.execute("DELETE FROM robot_stops")
        store.close()

    def explain(self, letter: Letter, octets: bytes) -> dict[str, Any]:
        found = self.relay.ask(
            "mail.explain",
            octets=base64.b64encode(octets).decode(),
            mail_from=letter.reverse_path,
            rcpts=list(letter.rcpt),
            peer=letter.peer,
        )
        assert isinstance(found, dict)
        return found

    def _copies(self, before: int) -> dict[str, Received]:
        arrived = [(one, message) for message in self.sink.messages[before:] for one in message.recipients]
        assert len(arrived) == len({one for one, _ in arrived}), "one copy a person"
        return dict(arrived)

    def _ticket(self, life: dict[str, Any]) -> dict[str, Any] | None:
        label = (life["decision"] or {}).get("ticket", {}).get("id")
        return next((ticket for ticket in self.relay.tickets() if ticket["id"] == label), None)

    def _came_true(self, outcome: Outcome) -> None:
        for name in ("direction", "support_in", "proven", "customer", "company", "deal", "owners", "fallback",
                     "rule", "rules", "recipients", "disposition", "tags"):  # fmt: skip
            assert outcome.explained[name] == outcome.decision[name], name
        for name in ("stage", "action", "priority"):
            assert outcome.explained["ticket"][name] == outcome.decision["ticket"][name], name
        assert sorted(outcome.copies) == sorted(outcome.decision["recipients"])
