"""First look at a mail: whose it is, where support@ stands, and the first question of DESIGN 2 that says yes.

What needs the store or the CRM (same mail, threads, owners) comes after; `desk` finishes the table.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase

from supportrelay.core.automatic import Automatic, AutomaticKind
from supportrelay.core.decision import Direction, Place, Proof, Verdict
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, parse_path
from supportrelay.core.membership import Membership
from supportrelay.core.ports import SigningKey
from supportrelay.core.reason import Reason
from supportrelay.core.settings import SupportAddress
from supportrelay.core.token import Trail, read_delivery_token, read_message_id, read_ticket_token, read_trail
from supportrelay.core.value import value_class

__all__ = ["LOGGED_IN", "Author", "ForwardPaths", "Sight", "as_first_sent", "look", "own_trail", "sort_forward_paths"]

_POSTMASTER = frozenset({"postmaster", "abuse"})
_TRAIL_FIELDS = ("x-supportrelay-trail", "x-original-x-supportrelay-trail")
_MAX_TRAILS = 20
# `Proof.by` of AUTH, and of a gateway that saw an aligned signature (`edge.proof`).
LOGGED_IN = "AUTH "  # and the user's name: `Proof.by` of who logged in
_OUTSIDE_PROOF = re.compile(r"\bdkim=pass\b|^auth\b", re.IGNORECASE)


@value_class
class ForwardPaths:
    """The forward-paths of an envelope by what becomes of them, in order.

    Attributes:
        desk: Support addresses, senders, bounce addresses and addresses that rules know.
        postmaster: postmaster@ and abuse@: to ``admins``, as it came, no ticket.
        elsewhere: Anybody else's (submission): relayed as they are.
    """

    desk: tuple[str, ...]
    postmaster: tuple[str, ...]
    elsewhere: tuple[str, ...]


def sort_forward_paths(paths: Sequence[str], members: Membership) -> ForwardPaths:
    """Sort an envelope's forward-paths."""
    desk, postmaster, elsewhere = [], [], []
    for path in paths:
        key = path.lower()
        local, _, domain = key.rpartition("@")
        if members.is_ours(key) or members.is_known_to_rules(key):
            desk.append(path)
        elif key in _POSTMASTER or (local in _POSTMASTER and is_served_domain(domain, members)):
            postmaster.append(path)
        else:
            elsewhere.append(path)
    return ForwardPaths(tuple(desk), tuple(postmaster), tuple(elsewhere))


def is_served_domain(domain: str, members: Membership) -> bool:
    """A domain in which one of our support or sender addresses lives; its postmaster@ and abuse@ are ours."""
    return any(
        domain
        in {a.address.rpartition("@")[2], a.sender_address.rpartition("@")[2], a.bounce_address.rpartition("@")[2]}
        for a in members.desk.addresses
    )


def as_first_sent(facts: Facts, envelope: Envelope, members: Membership) -> Envelope:
    """The envelope with the recipient that a gateway noted before it changed it, when that is an address of ours.

    Only a gateway's own fields count (``gateways[].original_recipient``); a stranger's say nothing.
    """
    names = members.desk.original_recipients.get(envelope.peer.gateway, ()) if envelope.peer.gateway else ()
    for name in names:
        for mailbox in parse_mailboxes(facts.first(name)):
            key = mailbox.key
            if key not in envelope.forward_paths and (members.is_ours(key) or members.is_known_to_rules(key)):
                return replace(envelope, forward_paths=(key, *envelope.forward_paths))
    return envelope


@value_class
class Author:
    """Who wrote, as far as anybody vouches.

    Attributes:
        mailbox: None when nobody can tell (no From, several, ours without anybody vouching).
        is_staff: Has an address of ours' people.
        is_proven: and is who he says.
        is_form: Taken from Reply-To of a web form; has no staff powers and never counts as automatic.
        reason: How the author was found.
    """

    mailbox: Mailbox | None
    is_staff: bool
    is_proven: bool
    is_form: bool
    reason: Reason

    @property
    def key(self) -> str:
        """Comparing form, "" for nobody."""
        return self.mailbox.key if self.mailbox else ""


@value_class
class Sight:
    """What is seen on the mail itself.

    Attributes:
        direction: As the mail alone tells; DUPLICATE and the automatic answers to tickets are decided later.
        externals: External mailboxes in To and Cc, To first, each once.
        delivery_id: Named by a valid bounce token.
        ticket_id: Named by a valid ticket token.
        customers: Who may be the customer, best first (the ticket's own goes before).
        forwarded_by: The colleague, when a note forwards an external author's mail.
        is_automatic_answer: ``auto-replied``: when it joins a ticket, it goes to nobody.
        is_automatic: Any automatic mail, so that without a ticket it makes none.
    """

    address: SupportAddress
    place: Place
    direction: Direction
    author: Author
    proof: Proof
    automatic: Automatic
    externals: tuple[Mailbox, ...]
    customers: tuple[Mailbox, ...]
    forwarded_by: Mailbox | None = None
    is_spam: bool = False
    is_automatic: bool = False
    is_automatic_answer: bool = False
    is_unproven_staff: bool = False
    delivery_id: int | None = None
    ticket_id: int | None = None
    reasons: tuple[Reason, ...] = ()


def look(
    facts: Facts,
    envelope: Envelope,
    *,
    proof: Proof,
    automatic: Automatic,
    members: Membership,
    keys: Sequence[SigningKey],
    now: datetime,
) -> Sight:
    """Answer the questions that the mail itself can answer, in the order of DESIGN 2."""
    address, place = _own_address(facts, envelope, members)
    proof = _proof_of_author(facts, proof, members)
    author = find_author(facts, proof=proof, address=address, members=members)
    externals = _externals(facts, members)
    delivery_id, ticket_id = _tokens(facts, envelope, members, keys, now)
    is_automatic, is_answer = _automatic(automatic, author)
    reasons = [Reason.of(f"place.{place}", address=address.address), author.reason]
    direction, forwarded_by = _direction(facts, author, externals, members, keys, automatic, is_automatic)
    customers: tuple[Mailbox, ...] = ()
    if author.mailbox is not None and members.is_external(author.mailbox):
        customers = (author.mailbox,)
    if direction == Direction.OUTBOUND:
        customers = externals
    if direction == Direction.NOTE:
        customers = ()
        if forwarded_by is not None and facts.forwarded_from is not None:
            direction, customers = Direction.INBOUND, (facts.forwarded_from,)
            reasons.append(Reason.of("note.forwards_customer", colleague=forwarded_by.key, author=customers[0].key))
    if is_automatic:
        reasons.append(automatic.reason)
    return Sight(
        address=address,
        place=place,
        direction=direction,
        author=author,
        proof=proof,
        automatic=automatic,
        externals=externals,
        customers=customers,
        forwarded_by=forwarded_by if direction == Direction.INBOUND else None,
        is_spam=_is_spam(facts, members),
        is_automatic=is_automatic,
        is_automatic_answer=is_answer,
        is_unproven_staff=author.is_staff and not author.is_proven,
        delivery_id=delivery_id,
        ticket_id=ticket_id,
        reasons=tuple(reasons),
    )


def _direction(
    facts: Facts,
    author: Author,
    externals: Sequence[Mailbox],
    members: Membership,
    keys: Sequence[SigningKey],
    automatic: Automatic,
    is_automatic: bool,
) -> tuple[Direction, Mailbox | None]:
    """The first question that says yes; with the colleague who forwards, for a forwarding note."""
    if own_trail(facts, keys) or read_message_id(keys, facts.message_id) or _came_before(facts, members):
        return Direction.LOOP, None
    if automatic.kind == AutomaticKind.REPORT:
        return Direction.REPORT, None
    if is_automatic:
        return Direction.AUTOMATIC, None
    if author.is_staff and not author.is_proven:
        return Direction.UNPROVEN, None
    if not author.is_staff:
        return Direction.INBOUND, None
    if externals:
        return Direction.OUTBOUND, None
    inside = facts.forwarded_from
    if inside is not None and members.is_external(inside):
        return Direction.NOTE, author.mailbox
    return Direction.NOTE, None


def own_trail(facts: Facts, keys: Sequence[SigningKey]) -> Trail | None:
    """Our signed mark on the mail's own header; another relay on the way renames it and puts its own above."""
    values = (value for name in _TRAIL_FIELDS for value in facts.fields.get(name, ())[:_MAX_TRAILS])
    marks = (read_trail(keys, value) for value in values)
    return next((mark for mark in marks if mark is not None), None)


_ROUNDS = 3


def _came_before(facts: Facts, members: Membership) -> bool:
    """Taken here for the desk three times already: somebody strips our mark and sends it round (RULES 2A.3)."""
    if facts.received_count < _ROUNDS:
        return False
    taken_here = f"by {members.desk.hostname} (supportrelay)"
    rounds = 0
    for value in facts.fields.get("received", ()):
        if taken_here in value:
            path = value.partition(" for <")[2].partition(">")[0]
            rounds += bool(path) and members.is_ours(path.lower())
    return rounds >= _ROUNDS


def _proof_of_author(facts: Facts, proof: Proof, members: Membership) -> Proof:
    """Staff outside ``internal_domains`` are proven by AUTH or aligned DKIM only (DESIGN 6).

    Their provider's SPF vouches for everybody there, and a trusted host's word is about our own domains.
    """
    if proof.verdict != Verdict.PROVEN or not facts.from_:
        return proof
    sender = facts.from_[0]
    if not members.is_staff(sender) or members.is_internal_domain(sender.domain) or _OUTSIDE_PROOF.search(proof.by):
        return proof
    by = f"{proof.by} does not vouch for staff outside internal_domains"
    return replace(proof, verdict=Verdict.UNPROVEN, by=by)


def _automatic(automatic: Automatic, author: Author) -> tuple[bool, bool]:
    """``(automatic at all, an automatic answer)``. LIST is a human who wrote through a list (RULES 2B.6)."""
    if author.is_form:
        return False, False
    is_answer = automatic.kind in {AutomaticKind.OOO, AutomaticKind.AUTO_REPLY}
    is_notice = automatic.kind in {AutomaticKind.AUTO_GENERATED, AutomaticKind.NEWSLETTER, AutomaticKind.ROBOT}
    return is_answer or is_notice, is_answer


def _own_address(facts: Facts, envelope: Envelope, members: Membership) -> tuple[SupportAddress, Place]:
    """The first of our addresses in To, else in Cc, else in the envelope (DESIGN 2, 'Place')."""
    for place, mailboxes in ((Place.TO, facts.to), (Place.CC, facts.cc)):
        for mailbox in mailboxes:
            found = members.support_address(mailbox.key)
            if found and not members.bounce_token(mailbox.key):
                return found, place
    for path in envelope.forward_paths:
        key = path.lower()
        found = members.support_address(key) or members.sender_of(key)
        if found is None and (bounced := members.bounce_token(key)):
            found = bounced[0]
        if found:
            return found, Place.OTHER
    return members.desk.addresses[0], Place.OTHER


def find_author(facts: Facts, *, proof: Proof, address: SupportAddress, members: Membership) -> Author:
    """Who wrote (DESIGN 2, 'Author'; RULES 2A.4, 8.3, C38)."""
    is_proven = proof.verdict == Verdict.PROVEN
    if facts.from_fields != 1 or not facts.from_:
        return Author(None, False, False, False, Reason.of("author.no_single_from", fields=facts.from_fields))
    sender = facts.from_[0]
    answer_to = next((m for m in facts.reply_to if members.is_external(m)), None)
    is_ours = members.is_ours(sender.key)
    if any(fnmatchcase(sender.key, pattern) for pattern in address.form_senders):
        # Without a Reply-To the form names nobody; it is a form's mail all the same.
        author = answer_to or (None if is_ours else sender)
        code = "author.form_sender" if answer_to else "author.form_sender_alone"
        return Author(author, False, False, True, Reason.of(code, sender=sender.key))
    is_staff = members.is_staff(sender)
    if is_ours and is_proven and proof.by.startswith(LOGGED_IN):
        # A colleague writes as the desk; the submission listener lets nobody else (`core.account`).
        colleague = mailbox_of(proof.by.removeprefix(LOGGED_IN))
        return Author(colleague, True, True, False, Reason.of("author.as_desk", sender=sender.key, by=proof.by))
    if (is_ours or is_staff) and is_proven and facts.original_from is not None:
        # A gateway or our own group rewrote From; the author inside is not proven by that.
        original = facts.original_from
        if not members.is_ours(original.key):
            reason = Reason.of("author.rewritten", sender=sender.key, author=original.key)
            return Author(original, members.is_staff(original), False, False, reason)
    if is_ours:
        if is_proven and answer_to:
            return Author(answer_to, False, False, False, Reason.of("author.reply_to", sender=sender.key))
        return Author(None, False, False, False, Reason.of("author.ours_unvouched", sender=sender.key))
    if len(facts.from_) > 1:
        if any(members.is_staff(m) or members.is_ours(m.key) for m in facts.from_):
            return Author(None, False, False, False, Reason.of("author.no_single_from", fields=len(facts.from_)))
        return Author(sender, False, False, False, Reason.of("author.first_of_several", author=sender.key))
    if is_staff and answer_to and not _other_externals(facts, members, answer_to):
        return Author(answer_to, False, False, True, Reason.of("author.web_form", sender=sender.key))
    if is_staff:
        code = "author.staff_proven" if is_proven else "author.staff_unproven"
        return Author(sender, True, is_proven, False, Reason.of(code, author=sender.key, by=proof.by))
    return Author(sender, False, is_proven, False, Reason.of("author.external", author=sender.key))


def _other_externals(facts: Facts, members: Membership, but: Mailbox) -> bool:
    return any(members.is_external(m) and m.key != but.key for m in (*facts.to, *facts.cc))


def _externals(facts: Facts, members: Membership) -> tuple[Mailbox, ...]:
    found: dict[str, Mailbox] = {}
    for mailbox in (*facts.to, *facts.cc):
        if members.is_external(mailbox) and not members.is_known_to_rules(mailbox.key):
            found.setdefault(mailbox.key, mailbox)
    return tuple(found.values())


def _tokens(
    facts: Facts, envelope: Envelope, members: Membership, keys: Sequence[SigningKey], now: datetime
) -> tuple[int | None, int | None]:
    """``(delivery, ticket)`` that signed tokens in our addresses name; forged and old ones name nothing."""
    today = int(now.timestamp() // 86400)
    delivery_id = ticket_id = None
    for path in (*envelope.forward_paths, *(m.key for m in facts.to), *(m.key for m in facts.cc)):
        key = path.lower()
        bounced = members.bounce_token(key)
        if bounced and delivery_id is None:
            delivery_id = read_delivery_token(keys, bounced[1], today)
        detail = members.detail(key) if members.support_address(key) else ""
        if detail.startswith("t") and ticket_id is None:
            ticket_id = read_ticket_token(keys, detail[1:])
    return delivery_id, ticket_id


def _is_spam(facts: Facts, members: Membership) -> bool:
    return any(
        value.strip().casefold() == wanted.strip().casefold()
        for name, wanted in members.desk.spam.headers.items()
        for value in facts.fields.get(name.lower(), ())
    )


def mailbox_of(path: str) -> Mailbox | None:
    """A forward- or reverse-path as mailbox, None for the null path and bare words."""
    try:
        return parse_path(path)
    except AddressError:
        return None
