"""The rows of DESIGN section 2 as steps, and how a row is played through a running daemon.

A row is a list of steps; a step is a mail, a command, or new owners on a deal, with the people who get a copy and the
stage afterwards. Where directory and tickets live is the world's business (`World`).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from typing import Any, Protocol

from journeys.relay import GATEWAY, OURS, STRANGER, Relay, mail
from smtp_sink import Received, ThreadedSink

SUPPORT = "support@desk.test"
ANN, BEN, CHO, DAN = (f"{name}@staff.test" for name in ("ann", "ben", "cho", "dan"))
ZOE = "zoe@staff.test"  # a colleague who owns nothing
ALL = "all@desk.test"


@dataclass
class Mail:
    """One mail and what must come of it.

    ``answers`` is the number (from 0) of the step in this row that it answers; ``gets`` who gets a copy; ``stage`` the
    stage of the row's ticket afterwards ("" for: not looked at, None: there is no ticket).
    """

    sender: str
    gets: set[str]
    stage: str | None
    to: str = SUPPORT
    cc: str = ""
    rcpt: tuple[str, ...] = (SUPPORT,)
    peer: str = STRANGER
    answers: int | None = None
    same_as: int | None = None
    minutes: float = 0
    body: str = "Hello, we have a question."
    headers: dict[str, str] = field(default_factory=dict)
    check: Callable[[Received], None] | None = None
    envelope_sender: str | None = None
    told: str = ""  # the writer, in private: no customer got it


@dataclass
class Run:
    """A command between two mails."""

    arguments: tuple[str, ...]
    stage: str | None = ""


@dataclass
class Owners:
    """New owners on a deal, where the directory is: ``company/deal`` and addresses."""

    deal: str
    owners: tuple[str, ...]
    stage: str | None = ""


@dataclass
class Row:
    id: str
    steps: list[Mail | Run | Owners]
    tickets: int = 1
    ticket: dict[str, object] = field(default_factory=dict)


def header(octets: bytes, name: str) -> str:
    block = octets.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    found = re.findall(rf"(?im)^{re.escape(name)}:[ \t]*((?:.*(?:\r\n[ \t].*)*))", block)
    return re.sub(r"\r\n[ \t]+", " ", found[0]).strip() if found else ""


def to_ann_and_support(copy: Received) -> None:
    reply_to = header(copy.octets, "Reply-To")
    assert SUPPORT in reply_to
    assert "ann@staff.test" not in reply_to, "owners stand only in the envelope"


def unproven_looks(copy: Received) -> None:
    assert "未確認" in _decoded(header(copy.octets, "From"))
    assert header(copy.octets, "Reply-To") == SUPPORT


def forwarded_looks(copy: Received) -> None:
    reply_to = header(copy.octets, "Reply-To")
    assert "kunde@acme30.example" in reply_to
    assert ZOE in reply_to


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


def owned(n: int) -> str:
    return f"kunde@acme{n}.example"


ROWS = [
    Row("inbound-to", [Mail(owned(0), {ANN}, "NEW", check=to_ann_and_support)], ticket={"company": "acme0"}),
    Row("inbound-cc", [Mail(owned(1), {ANN}, "NEW", to="other@acme1.example", cc=SUPPORT)]),
    Row(
        "outbound-to", [Mail(ZOE, {ANN}, "NEW", to=f"{owned(2)}, {SUPPORT}", peer=OURS)], ticket={"customer": owned(2)}
    ),
    Row("outbound-cc-without-ticket", [Mail(ZOE, {ANN}, "CLOSED", to=owned(3), cc=SUPPORT, peer=OURS)]),
    Row(
        "outbound-cc-closes",
        [
            Mail(owned(4), {ANN}, "NEW"),
            Mail(ZOE, {ANN}, "CLOSED", to=owned(4), cc=SUPPORT, answers=0, peer=OURS),
        ],
    ),
    Row(
        "late-closing",
        [
            Mail(owned(5), {ANN}, "NEW"),
            Mail(owned(5), {ANN}, "NEW", answers=0),
            Mail(ZOE, {ANN}, "NEW", to=owned(5), cc=SUPPORT, answers=0, minutes=-30, peer=OURS),
        ],
    ),
    Row(
        "to-and-cc-together",
        [
            Mail(owned(6), {ANN}, "NEW"),
            Mail(ZOE, {ANN}, "NEW", to=f"{owned(6)}, {SUPPORT}", cc=SUPPORT, answers=0, peer=OURS),
        ],
    ),
    Row(
        "bcc-keeps-the-stage",
        [
            Mail(owned(7), {ANN}, "NEW"),
            Mail(ZOE, {ANN}, "CLOSED", to=owned(7), cc=SUPPORT, answers=0, peer=OURS),
            Mail(ZOE, {ANN}, "CLOSED", to=owned(7), answers=0, peer=OURS),
        ],
    ),
    Row("bcc-without-ticket", [Mail(ZOE, {ANN}, None, to=owned(8), peer=OURS)], tickets=0),
    Row(
        "waiting-to-new-by-an-answer",
        [
            Mail(owned(9), {ANN}, "NEW"),
            Run(("tickets", "move", "TICKET", "対応中"), "WAITING"),
            Mail(owned(9), {ANN}, "NEW", answers=0),
        ],
    ),
    Row(
        "closed-to-new-by-an-answer",
        [
            Mail(owned(10), {ANN}, "NEW"),
            Mail(ZOE, {ANN}, "CLOSED", to=owned(10), cc=SUPPORT, answers=0, peer=OURS),
            Mail(owned(10), {ANN}, "NEW", answers=1),
        ],
    ),
    Row("unknown-company", [Mail("who@stranger.example", {ALL}, "NEW")], ticket={"company": None}),
    Row("no-deal", [Mail("a@nodeal.example", {ALL}, "NEW")], ticket={"company": "nodeal", "deal": None}),
    Row("won-deal", [Mail("a@won.example", {BEN}, "NEW")], ticket={"deal": "won deal"}),
    Row("lost-deal", [Mail("a@lost.example", {CHO}, "NEW")], ticket={"deal": "lost deal"}),
    Row(
        "only-open-deals-count",
        [Mail("a@wononly.example", {"all-open@desk.test"}, "NEW", to="open@desk.test", rcpt=("open@desk.test",))],
    ),
    Row("deal-without-owner", [Mail("a@noowner.example", {ALL}, "NEW")], ticket={"deal": "bare deal"}),
    Row("two-owners", [Mail("a@two.example", {ANN, BEN}, "NEW")]),
    Row("four-owners", [Mail("a@four.example", {ANN, BEN, CHO, DAN}, "NEW")]),
    Row(
        "owners-changed-while-serving",
        [
            Mail("a@change.example", {ANN}, "NEW"),
            Owners("change/changing", (BEN, CHO)),
            Mail("a@change.example", {BEN, CHO}, "NEW", answers=0),
        ],
    ),
    Row(
        "another-deal-touched-between-two-mails",
        [
            Mail("a@twodeals.example", {ANN}, "NEW"),
            Owners("twodeals/second", (CHO,)),
            Mail("a@twodeals.example", {ANN}, "NEW", answers=0),
        ],
        ticket={"deal": "first"},
    ),
    Row(
        "participant-writes-from-free-mail",
        [
            Mail(owned(11), {ANN}, "NEW", cc="private@gmail.com"),
            Mail("private@gmail.com", {ANN}, "NEW", answers=0),
        ],
        ticket={"customer": owned(11)},
    ),
    Row("subdomain", [Mail("a@lab.tokyo.acme12.example", {ANN}, "NEW")], ticket={"company": "acme12"}),
    Row("free-mail-contact", [Mail("kunde@gmail.com", {DAN}, "NEW")], ticket={"company": "freemail"}),
    Row("free-mail-stranger", [Mail("nobody@gmail.com", {ALL}, "NEW")], ticket={"company": None}),
    Row(
        "web-form-with-reply-to",
        [
            Mail(
                "form@webforms.example",
                {ANN},
                "NEW",
                headers={"Reply-To": owned(13), "Auto-Submitted": "auto-generated"},
            )
        ],
        ticket={"customer": owned(13)},
    ),
    Row(
        "web-form-from-our-own-domain",
        [Mail("www@desk.test", {ANN}, "NEW", headers={"Reply-To": owned(14)})],
        ticket={"customer": owned(14)},
    ),
    Row(
        "forged-staff-from-a-stranger",
        [
            Mail(owned(15), {ANN}, "NEW"),
            Mail(ZOE, {"it@staff.test"}, "NEW", to=owned(15), cc=SUPPORT, answers=0, check=unproven_looks),
        ],
        tickets=2,
    ),
    Row(
        "forged-staff-through-a-gateway",
        [
            Mail(owned(16), {ANN}, "NEW"),
            Mail(
                ZOE,
                {"it@staff.test"},
                "NEW",
                to=owned(16),
                cc=SUPPORT,
                answers=0,
                peer=GATEWAY,
                headers={"Authentication-Results": "gw.test; dmarc=fail header.from=staff.test"},
            ),
        ],
        tickets=2,
    ),
    Row(
        "staff-through-a-gateway",
        [
            Mail(owned(17), {ANN}, "NEW"),
            Mail(
                ZOE,
                {ANN},
                "CLOSED",
                to=owned(17),
                cc=SUPPORT,
                answers=0,
                peer=GATEWAY,
                headers={"Authentication-Results": "gw.test; dmarc=pass header.from=staff.test"},
            ),
        ],
    ),
    Row(
        "strict-dmarc-customer-rewritten-by-our-group",
        [
            Mail(
                f"Kunde via Support <{SUPPORT}>",
                {ANN},
                "NEW",
                peer=GATEWAY,
                headers={
                    "Authentication-Results": "gw.test; dmarc=pass header.from=desk.test",
                    "X-Original-From": f"Kunde <{owned(18)}>",
                    "Reply-To": owned(18),
                    "List-Id": "<support.desk.test>",
                    "Precedence": "list",
                },
            )
        ],
        ticket={"customer": owned(18)},
    ),
    Row(
        "vacation-answer-keeps-the-stage",
        [
            Mail(owned(19), {ANN}, "NEW"),
            Run(("tickets", "move", "TICKET", "WAITING"), "WAITING"),
            Mail(owned(19), set(), "WAITING", answers=0, headers={"Auto-Submitted": "auto-replied (vacation)"}),
        ],
    ),
    Row(
        "vacation-answer-to-nothing",
        [Mail(owned(20), {ANN}, None, headers={"Auto-Submitted": "auto-replied"})],
        tickets=0,
    ),
    Row(
        "auto-generated-answer-in-a-thread",
        [
            Mail(owned(21), {ANN}, "NEW"),
            Run(("tickets", "move", "TICKET", "WAITING"), "WAITING"),
            Mail(owned(21), {ANN}, "NEW", answers=0, headers={"Auto-Submitted": "auto-generated"}),
        ],
    ),
    Row(
        "newsletter",
        [
            Mail(
                owned(22),
                {ANN},
                None,
                headers={"Precedence": "bulk", "List-Unsubscribe": "<mailto:u@acme22.example>"},
            )
        ],
        tickets=0,
    ),
    Row("same-mail-twice", [Mail(owned(23), {ANN}, "NEW"), Mail(owned(23), set(), "NEW", same_as=0)]),
    Row(
        "same-mail-by-two-of-our-addresses",
        [
            Mail(owned(24), {ANN}, "NEW", to=f"{SUPPORT}, sales@desk.test"),
            Mail(owned(24), set(), "NEW", same_as=0, to=f"{SUPPORT}, sales@desk.test", rcpt=("sales@desk.test",)),
        ],
        ticket={"address": SUPPORT},
    ),
    Row(
        "owner-already-in-to",
        [Mail("a@two.example", {BEN}, "NEW", to=f"{SUPPORT}, {ANN}")],
    ),
    Row("only-owner-in-to", [Mail(owned(25), {ANN}, "NEW", to=f"{SUPPORT}, {ANN}")]),
    Row("sole-owner-is-the-author", [Mail(ANN, set(), "NEW", to=f"{owned(26)}, {SUPPORT}", peer=OURS)]),
    Row(
        "two-of-our-addresses-in-one-mail",
        [
            Mail(
                "who@nobody-knows.example",
                {"all-sales@desk.test"},
                "NEW",
                to="sales@desk.test",
                cc=SUPPORT,
                rcpt=(SUPPORT, "sales@desk.test"),
            )
        ],
        ticket={"address": "sales@desk.test"},
    ),
    Row(
        "mail-to-the-sender-address",
        [
            Mail(owned(27), {ANN}, "NEW"),
            Run(("tickets", "move", "TICKET", "WAITING"), "WAITING"),
            Mail(owned(27), {ANN}, "NEW", to="relay@desk.test", rcpt=("relay@desk.test",), answers=0),
        ],
    ),
    Row(
        "address-that-only-a-rule-knows",
        [
            Mail(
                owned(28),
                {ANN, "case@crm.example", "boss@staff.test"},
                "NEW",
                to="case@desk.test",
                rcpt=("case@desk.test",),
            )
        ],
    ),
    Row(
        "a-gateway-noted-whom-it-was-for",
        [
            Mail(
                "who@nobody-knows-either.example",
                {"all-sales@desk.test"},
                "NEW",
                to="undisclosed-recipients:;",
                peer=GATEWAY,
                headers={"X-Gm-Original-To": "sales@desk.test"},
            )
        ],
        ticket={"address": "sales@desk.test"},
    ),
    Row(
        "a-stranger-notes-whom-it-was-for",
        [
            Mail(
                "who@nobody-knows-either.example",
                {ALL},
                "NEW",
                to="undisclosed-recipients:;",
                headers={"X-Gm-Original-To": "sales@desk.test"},
            )
        ],
        ticket={"address": SUPPORT},
    ),
    Row("internal-note-without-thread", [Mail(ZOE, {ALL}, "NEW", peer=OURS)], ticket={"customer": None}),
    Row(
        "internal-note-in-a-thread",
        [
            Mail(owned(29), {ANN}, "NEW"),
            Run(("tickets", "move", "TICKET", "WAITING"), "WAITING"),
            Mail(ZOE, {ANN}, "WAITING", answers=0, peer=OURS),
            Mail(ANN, set(), "WAITING", answers=0, peer=OURS, told=ANN),
        ],
    ),
    Row(
        "note-that-forwards-a-customers-mail",
        [
            Mail(
                ZOE,
                {ANN},
                "NEW",
                body="FYI\r\n\r\n---------- Forwarded message ---------\r\nFrom: Kunde <kunde@acme30.example>\r\n"
                "Date: Mon, 2 Mar 2026 10:00:00 +0900\r\nSubject: help\r\nTo: <zoe@staff.test>\r\n\r\nPlease help.",
                check=forwarded_looks,
                peer=OURS,
            )
        ],
        ticket={"customer": "kunde@acme30.example"},
    ),
    Row(
        "another-company-answers-a-thread",
        [
            Mail(owned(31), {ANN}, "NEW"),
            Mail("other@acme32.example", {ANN}, "NEW", answers=0),
        ],
        tickets=2,
    ),
]


class World(Protocol):
    """Where directory and tickets live."""

    relay: Relay

    def set_owners(self, deal: str, owners: tuple[str, ...]) -> None:
        """Change a deal's owners there, and make the relay ask anew."""

    def settle(self) -> None:
        """Wait until no work is due or running."""

    def check(self, tickets: list[dict[str, Any]]) -> None:
        """After each step: what the board there must show of these tickets."""


def play(row: Row, world: World, sink: ThreadedSink) -> None:
    """Play a row's steps and check each."""
    relay = world.relay
    sent: list[tuple[bytes, str] | None] = []
    for number, step in enumerate(row.steps):
        if isinstance(step, Run):
            relay.run(*(ticket_id(relay, row.id) if word == "TICKET" else word for word in step.arguments))
            world.settle()
            sent.append(None)
        elif isinstance(step, Owners):
            world.set_owners(step.deal, step.owners)
            sent.append(None)
        else:
            sent.append(_send(row, number, step, sent, world, sink))
        if step.stage != "":
            stages = [t["stage"] for t in tickets_of(relay, row.id)]
            expected = [step.stage] if step.stage else []
            assert stages[-1:] == expected or stages[:1] == expected, f"step {number}: {stages}"
        world.check(tickets_of(relay, row.id))
    found = tickets_of(relay, row.id)
    assert len(found) == row.tickets, found
    for key, value in row.ticket.items():
        got = found[0][key]
        assert (got["name"] if isinstance(got, dict) else got) == value, (key, found[0])


def ticket_id(relay: Relay, row_id: str) -> str:
    return str(tickets_of(relay, row_id)[0]["id"])


def tickets_of(relay: Relay, row_id: str) -> list[dict[str, Any]]:
    """The row's tickets, the last changed first."""
    return [t for t in relay.tickets() if t["subject"].removeprefix("Re: ") == f"{row_id} 件名"]


def _send(
    row: Row,
    number: int,
    step: Mail,
    sent: list[tuple[bytes, str] | None],
    world: World,
    sink: ThreadedSink,
) -> tuple[bytes, str]:
    message_id = f"<{row.id}.{number}@mail.example>"
    headers = dict(step.headers)
    subject = f"{row.id} 件名" if number == 0 else f"Re: {row.id} 件名"
    if step.answers is not None:
        parent = sent[step.answers]
        assert parent is not None
        headers |= {"In-Reply-To": parent[1], "References": parent[1]}
    octets = mail(
        sender=step.sender,
        to=step.to,
        cc=step.cc,
        subject=subject,
        message_id=message_id,
        body=step.body,
        headers=headers,
        date=time.time() + 60 * step.minutes,
    )
    if step.same_as is not None:
        first = sent[step.same_as]
        assert first is not None
        octets, message_id = first
    before = len(sink.messages)
    address = re.sub(r".*<(.*)>", r"\1", step.sender)
    world.relay.send(octets, step.envelope_sender or address, list(step.rcpt), peer=step.peer)
    world.settle()
    arrived = sink.messages[before:]
    notes = [message for message in arrived if header(message.octets, "X-Supportrelay-Reason") == "unsent_reply"]
    assert [note.recipients for note in notes] == ([(step.told,)] if step.told else []), f"step {number}"
    arrived = [message for message in arrived if message not in notes]
    got = [recipient for message in arrived for recipient in message.recipients]
    assert sorted(got) == sorted(step.gets), f"step {number}"
    for message in arrived:
        _looks_right(message, octets, message_id)
        if step.check is not None:
            step.check(message)
    return octets, message_id


def _looks_right(copy: Received, original: bytes, message_id: str) -> None:
    """What holds for every copy: nobody of the envelope in the header, the original's text, id and subject."""
    block, _, body = copy.octets.partition(b"\r\n\r\n")
    assert header(copy.octets, "Message-ID") == message_id
    assert b"\r\nSubject:" in b"\r\n" + block
    for recipient in copy.recipients:
        line = block + b"\r\n"
        if recipient.encode() not in original.partition(b"\r\n\r\n")[0] and "crm" not in recipient:
            assert recipient.encode() not in line, f"{recipient} stands in the header"
    assert original.partition(b"\r\n\r\n")[2].strip() in body.replace(b"=\r\n", b"") or b"base64" in block
    if "case@crm.example" in copy.recipients:
        assert original in copy.octets, "a case address gets the original octets"
        return
    assert header(copy.octets, "From").endswith("relay@desk.test>")
    assert header(copy.octets, "X-Supportrelay-Id")
    assert copy.reverse_path.startswith(("support+b-", "sales+b-", "open+b-"))
