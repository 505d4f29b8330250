"""Play a case through the running relay, and compare what came of it, line by line."""

import contextlib
import smtplib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from fnmatch import fnmatchcase
from html import unescape
from typing import Any

from cases.case_files import Block, Case, Expected, Sending
from cases.case_letters import build, decode_text, fill
from journeys.letters import Desk, decoded, fields, header
from journeys.relay import GATEWAY, OURS, STRANGER
from smtp_sink import Received
from supportrelay.core.ports import SigningKey
from supportrelay.core.token import ticket_token

__all__ = ["Player"]

_PEERS = {"stranger": STRANGER, "ours": OURS, "gateway": GATEWAY}
_ADDRESSES = {"all": "all-support@desk.test", "admin": "it@staff.test", "allsales": "all-sales@desk.test"}
_MARK = "――― support"


@dataclass
class Mail:
    """What came of one mail.

    Attributes:
        reply: What the relay answered last, ``250 ...`` when it took it.
        life: As ``queue show --json`` has it; empty when it was refused.
        ticket: As ``tickets show --json``, None when the mail is on none.
    """

    name: str
    octets: bytes
    reply: str
    copies: list[Received]
    life: dict[str, Any] = field(default_factory=dict)
    ticket: dict[str, Any] | None = None

    @property
    def decision(self) -> dict[str, Any]:
        return self.life.get("decision") or {}

    @property
    def codes(self) -> list[str]:
        return [reason["code"] for reason in self.decision.get("reasons", [])]


class Player:
    """Plays one case on a desk."""

    def __init__(self, desk: Desk, case: Case) -> None:
        self.desk = desk
        self.case = case
        self.mails: dict[str, Mail] = {}

    def play(self) -> list[str]:
        """Play all steps; returns what differs, each with file and line."""
        wrong = []
        for step in self.case.steps:
            if isinstance(step, Block):
                for line, command in step.commands:
                    self._do(line, command)
            else:
                mail = self._send(step)
                wrong += self._compare(mail, step.expected)
        return wrong

    # -- sending --

    def _send(self, sending: Sending) -> Mail:
        directives = sending.directives
        octets = build(
            sending.text,
            name=f"{sending.name}.{self.case.name}",
            adds=directives.get("adds") != "nothing",
            line_end=b"\n" if directives.get("line ends") == "lf" else b"\r\n",
            earlier=self._earlier,
        )
        sender, recipients = self._envelope(directives.get("envelope", ""), octets)
        before = len(self.desk.sink.messages)
        reply = self._transaction(octets, sender, recipients, _PEERS[directives.get("peer", "stranger")])
        self.desk.relay.settle(60)
        mail = Mail(sending.name, octets, reply, self.desk.sink.messages[before:])
        if reply.startswith("250"):
            mail.life = self.desk.relay.ask("queue.show", queue_id=self._newest())
            label = mail.decision.get("ticket", {}).get("id")
            mail.ticket = self.desk.relay.ask("tickets.show", id=label) if label else None
        self.mails[sending.name] = mail
        return mail

    def _envelope(self, directive: str, octets: bytes) -> tuple[str, list[str]]:
        sender, _, recipients = fill(directive, self._earlier).partition("->")
        paths = [path.strip() for path in recipients.split(",") if path.strip()]
        if not paths:
            people = [a.lower() for _, a in getaddresses([*fields(octets, "To"), *fields(octets, "Cc")])]
            paths = [a for a in people if a.endswith("@desk.test")] or ["support@desk.test"]
        if not sender.strip():
            sender = next((a for _, a in getaddresses(fields(octets, "From")[:1])), "")
        return sender.strip().removeprefix("<").removesuffix(">"), paths

    def _transaction(self, octets: bytes, sender: str, recipients: list[str], peer: str) -> str:
        is_utf8 = not (sender + "".join(recipients)).isascii()
        with smtplib.SMTP("127.0.0.1", self.desk.relay.port, source_address=(peer, 0), timeout=60) as client:
            client.ehlo()
            if is_utf8:
                client.command_encoding = "utf-8"
            parameters = f"SIZE={len(octets)} BODY=8BITMIME{' SMTPUTF8' if is_utf8 else ''}"
            code, text = client.docmd(f"MAIL FROM:<{sender}> {parameters}")
            for recipient in recipients:
                if code < 300:
                    code, text = client.docmd(f"RCPT TO:<{recipient}>")
            if code < 300:
                with contextlib.suppress(smtplib.SMTPDataError):
                    code, text = client.data(octets)
            return f"{code} {text.decode()}"

    def _newest(self) -> str:
        with self._store() as store:
            return str(store.execute("SELECT queue_id FROM messages ORDER BY seq DESC LIMIT 1").fetchone()[0])

    @contextlib.contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.desk.relay.folder / "state" / "relay.db", timeout=20)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    # -- earlier mails --

    def _earlier(self, word: str, arguments: list[str]) -> bytes:
        mail = self.mails[arguments[0]]
        if word in {"token", "ticket"}:
            assert mail.ticket is not None, f"{mail.name} is on no ticket"
            label = str(mail.ticket["id"])
            if word == "ticket":
                return label.encode()
            return f"support+t{ticket_token(self._key(), int(label.partition('-')[2]))}@desk.test".encode()
        copy = self._copy(mail, arguments[1])
        if word == "return-path":
            return copy.reverse_path.encode()
        if word == "copy":
            return copy.octets
        if word == "head":
            return copy.octets.partition(b"\r\n\r\n")[0]
        if word in {"id", "field"}:
            return header(copy.octets, "Message-ID" if word == "id" else arguments[2]).encode()
        raise AssertionError(f"no such directive: {word}")

    def _copy(self, mail: Mail, person: str) -> Received:
        wanted = self._address(person)
        found = [copy for copy in mail.copies if wanted in copy.recipients]
        assert found, f"{wanted} got no copy of {mail.name}"
        return found[-1]

    def _key(self) -> SigningKey:
        with self._store() as store:
            row = store.execute("SELECT id, secret FROM signing_keys ORDER BY made_at DESC LIMIT 1").fetchone()
        return SigningKey(row[0], row[1], datetime.now(UTC))

    def _address(self, word: str) -> str:
        if "@" in word:
            return word
        return _ADDRESSES.get(word) or self.case.own(f"{word}@staff.test")

    # -- between mails --

    def _do(self, line: int, command: str) -> None:
        verb, *rest = command.split()
        relay = self.desk.relay
        if verb == "move":
            relay.ask("tickets.move", id=self._label(rest[0]), stage=rest[1])
        elif verb == "merge":
            relay.ask("tickets.merge", id=self._label(rest[0]), into=self._label(rest[1]))
        elif verb == "release":
            relay.ask("queue.release", queue_id=self.mails[rest[0]].life["queue_id"])
            relay.settle()
        elif verb == "absent":
            relay.ask("absent.set", address=self._address(rest[0]))
        elif verb == "age":
            self._age(self._label(rest[0]), int(rest[1]))
        else:
            raise AssertionError(f"{self.case.path}:{line}: no such command: {verb}")

    def _label(self, name: str) -> str:
        ticket = self.mails[name].ticket
        assert ticket is not None, f"{name} is on no ticket"
        return str(ticket["id"])

    def _age(self, label: str, days: int) -> None:
        """As if everything on that ticket had happened so many days earlier."""
        earlier = int(timedelta(days=days).total_seconds() * 1_000_000)
        columns = ("created_at", "updated_at", "closed_at", "last_mail_at", "last_customer_mail_at", "stage_mail_at",
                   "moved_by_person_at")  # fmt: skip
        with self._store() as store:
            changed = ", ".join(f"{column} = {column} - {earlier}" for column in columns)
            store.execute(f"UPDATE tickets SET {changed} WHERE id = ?", (int(label.partition("-")[2]),))

    # -- comparing --

    def _compare(self, mail: Mail, expected: tuple[Expected, ...]) -> list[str]:
        wrong = []
        wanted = list(expected)
        if not any(one.key == "reply" for one in wanted):
            wanted.insert(0, Expected(expected[0].line if expected else 1, "reply", "250*"))
        for one in wanted:
            value = fill(one.value, self._earlier)
            try:
                got = self._got(mail, replace(one, value=value))
            except (AssertionError, KeyError, StopIteration) as exc:
                got = [f"{type(exc).__name__}: {exc}"]
            if not any(fnmatchcase(found, _pattern(value)) for found in got):
                shown = " | ".join(found[:3000] for found in got)
                wrong.append(f"{self.case.path}:{one.line}: {mail.name}: {one.key}: {value!r}, but it is {shown!r}")
        if wrong:
            wrong.append(f"  reasons of {mail.name}: {', '.join(mail.codes)}")
        return wrong

    def _got(self, mail: Mail, one: Expected) -> list[str]:
        """What is, as the file writes it; several values when any of them will do."""
        decision, ticket = mail.decision, mail.ticket
        if one.key.startswith("header "):
            return self._headers(mail, one.key.removeprefix("header "))
        if one.key.startswith("delivery "):
            return [self._delivery(*one.key.split()[1:])]
        if one.key.startswith("ticket of "):
            label = self._label(one.key.split()[2])
            return _ticket_words(self.desk.relay.ask("tickets.show", id=label))
        simple: dict[str, Callable[[], str]] = {
            "reply": lambda: mail.reply.replace("\n", " "),
            "direction": lambda: decision["direction"],
            "place": lambda: decision["support_in"],
            "disposition": lambda: decision["disposition"],
            "state": lambda: mail.life["state"],
            "proven": lambda: "yes" if decision["proven"] else "no",
            "fallback": lambda: decision["fallback"] or "none",
            "automatic": lambda: _automatic(mail),
            "thread": lambda: self._thread(mail),
            "stage": lambda: ticket["stage"] if ticket else "none",
            "messages": lambda: str(ticket["messages"]) if ticket else "none",
            "customer": lambda: (ticket["customer"] if ticket else decision["customer"]) or "none",
            "company": lambda: _company(ticket or decision),
            "names": lambda: self._related(ticket),
            "copies": lambda: self._people(mail),
            "copy": lambda: _form(mail),
            "banner": lambda: _banner(mail),
            "absent": self._absent,
            "view": lambda: _view(mail),
        }
        if one.key in simple:
            return [simple[one.key]()]
        if one.key in {"shows", "hides"}:
            assert mail.copies, "no copy"
            texts = [_readable(copy.octets) for copy in mail.copies]
            is_in = (
                all(one.value in text for text in texts)
                if one.key == "shows"
                else any(one.value in text for text in texts)
            )
            return [one.value if is_in == (one.key == "shows") else "\n".join(texts)]
        if one.key == "reason":
            return mail.codes
        if one.key == "keeps":
            return [_kept(mail, one.value)]
        if one.key == "history":
            return [change["what"] for change in (ticket or {}).get("history", [])]
        if one.key == "changes":
            return [change["what"] for change in mail.life["changes"]]
        raise AssertionError(f"no such expectation: {one.key}")

    def _thread(self, mail: Mail) -> str:
        """``new``, ``none``, or the first mail of this file that is on the same ticket."""
        if mail.ticket is None:
            return "none"
        number = mail.ticket["id"]
        for other in self.mails.values():
            if other is mail:
                return "new"
            if other.ticket is not None and other.ticket["id"] == number:
                return other.name
        raise AssertionError("not among the mails")

    def _related(self, ticket: dict[str, Any] | None) -> str:
        related = ticket["related"] if ticket else None
        for other in self.mails.values():
            if related and other.ticket is not None and other.ticket["id"] == related:
                return other.name
        return related or "none"

    def _people(self, mail: Mail) -> str:
        short = {address: word for word, address in _ADDRESSES.items()}
        got = []
        for recipient in sorted(r for copy in mail.copies for r in copy.recipients):
            local, _, domain = recipient.partition("@")
            word = local.removesuffix(f"-{self.case.name}") if domain == "staff.test" else recipient
            got.append(short.get(recipient, word))
        return ", ".join(sorted(got)) or "nobody"

    def _headers(self, mail: Mail, name: str) -> list[str]:
        """The field in every copy: once when all agree, ``-`` when it is in none."""
        assert mail.copies, "no copy"
        values = {" + ".join(decoded(value) for value in fields(copy.octets, name)) or "-" for copy in mail.copies}
        return [" | ".join(sorted(values))]

    def _delivery(self, name: str, person: str) -> str:
        life = self.desk.relay.ask("queue.show", queue_id=self.mails[name].life["queue_id"])
        wanted = self._address(person)
        return str(next(d["state"] for d in life["deliveries"] if d["recipient"] == wanted))

    def _absent(self) -> str:
        mine = [a for a in self.desk.relay.ask("absent.list") if f"-{self.case.name}@" in a["address"]]
        return ", ".join(f"own until {a['until'][:10] if a['until'] else 'told'}" for a in mine) or "nobody"


def _view(mail: Mail) -> str:
    """What the ticket shows of the mail, its lines joined by a space."""
    listed = (mail.ticket or {})["messages_list"]
    text = next(one["text"] for one in listed if one["queue_id"] == mail.life["queue_id"])
    return " ".join(text.split())


def _company(of: dict[str, Any]) -> str:
    """A ticket has the name, a decision name and id."""
    found = of["company"]
    return str(found["name"] if isinstance(found, dict) else found or "none")


def _pattern(value: str) -> str:
    return value.replace("[", "[[]")


def _ticket_words(ticket: dict[str, Any]) -> list[str]:
    words = [
        str(ticket["stage"]),
        f"subject {ticket['subject']}",
        f"{ticket['messages']} messages",
        f"customer {ticket['customer'] or 'none'}",
    ]
    return [*words, "merged"] if ticket.get("merged_into") else words


def _automatic(mail: Mail) -> str:
    kinds = [code.removeprefix("automatic.") for code in mail.codes if code.startswith("automatic.")]
    return kinds[0] if kinds else "no"


def _types(message: Message) -> list[str]:
    return [part.get_content_type() for part in message.walk()]


def _form(mail: Mail) -> str:
    """How the copies carry the original: edited, added, wrapped, attached, as it came."""
    assert mail.copies, "no copy"
    forms = set()
    before = _types(message_from_bytes(mail.octets))
    for copy in mail.copies:
        after = _types(message_from_bytes(copy.octets))
        if mail.octets in copy.octets and _MARK not in _readable(copy.octets):
            forms.add("as it came")
        elif after == before:
            forms.add("edited")
        elif after[2:3] in (["message/rfc822"], ["application/octet-stream"]) and before[:1] != after[2:3]:
            forms.add("attached")
        elif after == ["multipart/mixed", "text/plain", *before]:
            forms.add("wrapped")
        elif after == [before[0], "text/plain", *before[1:]]:
            forms.add("added")
        else:
            forms.add(f"{before} -> {after}")
    return ", ".join(sorted(forms))


def _banner(mail: Mail) -> str:
    assert mail.copies, "no copy"
    has = {_MARK in _readable(copy.octets) for copy in mail.copies}
    return " and ".join("yes" if one else "no" for one in sorted(has))


def _readable(octets: bytes) -> str:
    """All text of a mail, decoded by a parser that is not ours; HTML with its entities resolved."""
    texts = []
    for part in message_from_bytes(octets).walk():
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            text = decode_text(payload, part.get_content_charset() or "utf-8")
            texts.append(unescape(text) if part.get_content_subtype() == "html" else text)
    return "\n".join(texts)


def _kept(mail: Mail, what: str) -> str:
    """``body``: the original's body, octet for octet, in every copy. Else a line of it that must be there."""
    assert mail.copies, "no copy"
    wanted = mail.octets.replace(b"\r\n", b"\n").partition(b"\n\n")[2].strip() if what == "body" else what.encode()
    is_kept = all(wanted in copy.octets.replace(b"\r\n", b"\n") for copy in mail.copies)
    return what if is_kept else "not kept"
