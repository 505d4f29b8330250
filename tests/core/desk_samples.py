"""A desk to ask about: its configuration, mails as facts, tickets, and what is known when a decision is made."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from supportrelay.core.automatic import classify_automatic
from supportrelay.core.decision import Decision, Proof, Verdict
from supportrelay.core.desk import Known, decide
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import parse_path
from supportrelay.core.membership import Membership
from supportrelay.core.owners import OwnerChoice
from supportrelay.core.ports import Gathered, SigningKey
from supportrelay.core.reading import read_facts
from supportrelay.core.rules import RuleOutcome
from supportrelay.core.settings import Desk, SupportAddress
from supportrelay.core.sight import Sight, look, sort_forward_paths
from supportrelay.core.thread import Match
from supportrelay.core.ticket import Stage, TicketView

NOW = datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
KEY = SigningKey(1, b"a secret that nobody knows", NOW)
PROVEN = Proof(Verdict.PROVEN, "trusted network")
UNPROVEN = Proof(Verdict.UNPROVEN, "nothing vouches for it")

SUPPORT = "support@desk.test"
CUSTOMER = "kunde@acme.example"
ZOE = "zoe@staff.test"


def address(name: str = "support", **more: Any) -> SupportAddress:
    values: dict[str, Any] = {
        "name": name,
        "address": f"{name}@desk.test",
        "sender_name": "{author} via Support",
        "sender_address": f"{name}-relay@desk.test",
        "allmember": (f"all-{name}@desk.test",),
        "bounce_address": f"{name}+b-{{token}}@desk.test",
    }
    return SupportAddress(**(values | more))


DESK = Desk(
    addresses=(address(aliases=("help@desk.test",)), address("sales")),
    internal_domains=("desk.test", "*.sub.test", "staff.test"),
    admins=("it@staff.test",),
    hostname="relay.desk.test",
    authserv_id="relay.desk.test",
    staff=frozenset({"kim@outside.example"}),
    rule_recipients=("case@desk.test", "*@cases.example"),
)


def members(desk: Desk = DESK, owners: tuple[str, ...] = ()) -> Membership:
    return Membership(desk, frozenset(owners))


def mail(
    sender: str = CUSTOMER,
    to: str = SUPPORT,
    *,
    cc: str = "",
    subject: str = "Line 3 is down",
    body: str = "Please help.",
    **fields: str,
) -> Facts:
    """Facts of a mail; ``reply_to="x"`` is the field Reply-To."""
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", "Message-ID: <1@mail.example>"]
    lines += [f"Cc: {cc}"] if cc else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return read_facts("\r\n".join([*lines, "", body, ""]).encode())


def envelope(*paths: str, reverse_path: str = CUSTOMER) -> Envelope:
    return Envelope(reverse_path, paths or (SUPPORT,), Peer("192.0.2.1", "x"))


def seen(facts: Facts, *, proof: Proof = UNPROVEN, paths: tuple[str, ...] = (), who: Membership | None = None) -> Sight:
    """The first look at a mail."""
    way = envelope(*paths)
    return look(
        facts,
        way,
        proof=proof,
        automatic=classify_automatic(facts, way),
        members=who or members(),
        keys=(KEY,),
        now=NOW,
    )


def ticket(**changes: Any) -> TicketView:
    view = TicketView(
        id=7,
        conversation_id=70,
        version=1,
        stage=Stage.NEW,
        address="support",
        subject="line 3 is down",
        customer=CUSTOMER,
        customer_domain="acme.example",
        company_id="1",
        company_name="ACME",
        deal_id="10",
        deal_name="deal",
        participants=frozenset({CUSTOMER}),
        created_at=NOW - timedelta(days=3),
        updated_at=NOW - timedelta(days=1),
        closed_at=None,
        last_customer_mail_at=NOW - timedelta(days=1),
        last_customer_message_ids=("<last@acme.example>",),
        moved_by_person_at=None,
    )
    return replace(view, **changes)


OWNED = OwnerChoice(company_id="1", company_name="ACME", deal_id="10", deal_name="deal", owners=("ann@staff.test",))


def known(
    facts: Facts,
    *,
    proof: Proof = UNPROVEN,
    paths: tuple[str, ...] = (SUPPORT,),
    joins: TicketView | None = None,
    match: Match | None = None,
    choice: OwnerChoice | None = OWNED,
    outcome: RuleOutcome | None = None,
    gathered: Gathered | None = None,
    who: Membership | None = None,
    is_released: bool = False,
    teams: Mapping[str, tuple[str, ...]] | None = None,
) -> Known:
    """What is known of a mail when the decision is made."""
    who = who or members()
    sight = seen(facts, proof=proof, paths=paths, who=who)
    return Known(
        facts=facts,
        sight=sight,
        gathered=gathered or Gathered(),
        match=match or Match(ticket=joins),
        customer=parse_path(joins.customer)
        if joins and joins.customer
        else (sight.customers[0] if sight.customers else None),
        choice=choice,
        outcome=outcome or RuleOutcome(),
        paths=sort_forward_paths(paths, who),
        members=who,
        accepted_at=NOW,
        is_released=is_released,
        teams=teams or {},
    )


def decided(facts: Facts, **how: Any) -> Decision:
    """The whole decision on a mail; arguments as for `known`."""
    return decide(known(facts, **how))


def who_gets(decision: Decision) -> list[str]:
    return [recipient.address for recipient in decision.recipients]
