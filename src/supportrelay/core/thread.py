"""Which ticket does this mail belong to? What to look up, and which hit may be believed (DESIGN 2, RULES_OF_MAIL 4).

Everything in a header can be written by anybody. So a hit is only a claim: the writer must have to do with the ticket
(RELIABILITY C53). A claim that is turned away makes a new ticket that names the other one, and nothing of the other
one goes out.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from supportrelay.core.duplicate import duplicate_key
from supportrelay.core.envelope import Envelope
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.ports import WhereFrom
from supportrelay.core.reason import Reason
from supportrelay.core.settings import Desk, SupportAddress
from supportrelay.core.subject import has_forward_prefix, has_reply_prefix, normalise_subject
from supportrelay.core.ticket import Hit, HitBy, Stage, TicketView, ticket_label
from supportrelay.core.value import value_class

__all__ = ["Match", "choose_ticket", "subject_change", "where_from"]

SUBJECT_WITHIN = timedelta(days=14)
AGAIN_WITHIN = timedelta(minutes=10)
NEW_MATTER_AFTER = timedelta(days=30)
MIN_SUBJECT = 6
THREAD_INDEX_OCTETS = 22  # the conversation's part; each answer appends five more

# More ids than people write; the leftmost is the thread's first mail, the rightmost ones are the nearest parents.
_MAX_IN_REPLY_TO = 10
_MAX_RIGHT, _MAX_LEFT = 45, 5


def where_from(
    facts: Facts,
    envelope: Envelope,  # noqa: ARG001  its token arrives checked, as token_ticket
    desk: Desk,
    address: SupportAddress,
    author: Mailbox | None,
    token_ticket: int | None,
    now: datetime,
    *,
    is_newsletter: bool = False,
) -> WhereFrom:
    """Return what to ask the store about a mail: its earlier arrival and the tickets it points at.

    Args:
        facts: The mail's.
        envelope: The mail's; the token in it arrives checked, as ``token_ticket``.
        desk: For subject_tags and stock_subjects; the latter are in normalised form.
        address: The support address that the mail belongs to.
        author: After the rules of DESIGN 2, not just From; None asks for no ticket of a customer.
        token_ticket: Ticket of a token whose signature was checked, from an address of the envelope, To or Cc.
        now: When it was accepted (aware, UTC); the subject step looks back 14 days from it.
        is_newsletter: Turned away from threading; only its earlier arrival is asked for (RULES 4).
    """
    key = duplicate_key(facts)
    if is_newsletter:
        return WhereFrom(duplicate_key=key, address=address.name)
    in_reply_to = _unique(facts.in_reply_to)[:_MAX_IN_REPLY_TO]
    return WhereFrom(
        duplicate_key=key,
        in_reply_to=in_reply_to,
        references=_from_the_right(facts.references, in_reply_to),
        thread_index=facts.thread_index if len(facts.thread_index) == THREAD_INDEX_OCTETS else b"",
        token_ticket=token_ticket,
        customer=author.key if author else "",
        subject=_subject_to_ask(facts, desk),
        subject_since=now - SUBJECT_WITHIN,
        any_of_customer=address.ticket_match == "customer",
        address=address.name,
        accepted_at=now,
        again_subject=normalise_subject(facts.subject, desk.subject_tags),
        again_since=now - AGAIN_WITHIN,
    )


def _subject_to_ask(facts: Facts, desk: Desk) -> str:
    """The normalised subject when it may join a ticket by itself, "" otherwise."""
    looks_like_a_reply = facts.in_reply_to or facts.references or has_reply_prefix(facts.subject)
    if not looks_like_a_reply or facts.is_forward_subject or has_forward_prefix(facts.subject):
        return ""
    subject = normalise_subject(facts.subject, desk.subject_tags)
    return "" if len(subject) < MIN_SUBJECT or subject in desk.stock_subjects else subject


def _unique(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))


def _from_the_right(references: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    if len(references) > _MAX_RIGHT + _MAX_LEFT:
        references = references[:_MAX_LEFT] + references[-_MAX_RIGHT:]
    return _unique(one for one in reversed(references) if one not in asked)


@value_class
class Match:
    """The ticket a mail belongs to.

    Attributes:
        ticket: None: a new one, which names `related_ticket_id`.
        by: How it was found, None without a ticket.
        refused: Each other ticket once, with the code why: ``thread.not_on_ticket``, ``thread.closed_too_long``,
            ``thread.not_open``, ``thread.again``, ``thread.anchor_only``, ``thread.forwarded_by_stranger``,
            ``thread.trashed``.
        reasons: ``thread.BY`` and ``thread.several`` of the ticket found, then one ``refused`` code each; values
            ``ticket`` (its label).
        is_again: The same words of the same person came a few minutes before; the ticket is this one, or in `refused`.
        new_subject: Its subject is another than the thread's.
        is_new_matter: And nothing else ties it to the thread: a long silence, and nothing quoted.
    """

    ticket: TicketView | None = None
    by: HitBy | None = None
    refused: tuple[tuple[TicketView, str], ...] = ()
    reasons: tuple[Reason, ...] = ()
    is_again: bool = False
    new_subject: bool = False
    is_new_matter: bool = False

    @property
    def related_ticket_id(self) -> int | None:
        """The first ticket that was claimed in vain, for a new ticket to name; None when the mail joins one."""
        return self.refused[0][0].id if self.refused and self.ticket is None else None


@value_class
class _Writer:
    """Who writes, as far as the guard asks."""

    author_key: str
    author_domain: str
    company_ids: frozenset[str]
    is_proven_staff: bool

    def takes_part(self, ticket: TicketView) -> bool:
        return bool(self.author_key) and (self.author_key == ticket.customer or self.author_key in ticket.participants)

    def is_of_its_company(self, ticket: TicketView) -> bool:
        """By the CRM's company, or by registrable domain; a free-mail domain is "" on either side and never equal."""
        return (bool(ticket.company_id) and ticket.company_id in self.company_ids) or (
            bool(self.author_domain) and self.author_domain == ticket.customer_domain
        )


def choose_ticket(
    hits: Iterable[Hit],
    *,
    author_key: str,
    author_domain: str,
    company_ids: frozenset[str],
    is_proven_staff: bool,
    subject_key: str,
    now: datetime,
    reopen_within: timedelta,
    is_forward_subject: bool = False,
) -> Match:
    """Return the first hit that may be believed; every other ticket that was claimed is named with its reason.

    Args:
        hits: As `Gathered` has them: ids of In-Reply-To before References, these from the right.
        author_key: Comparing form, "" when there is no author.
        author_domain: Registrable domain of the author, "" for free-mail and unknown.
        company_ids: Companies of the customer; by contact or domain, never by a free-mail domain.
        is_proven_staff: Staff may write on every ticket.
        subject_key: Normalised subject of the mail.
        now: When the mail was accepted (aware, UTC).
        reopen_within: Of the support address; a ticket closed longer ago stays closed.
        is_forward_subject: The subject begins with a forward prefix: who never wrote on that ticket starts a new one.
    """
    writer = _Writer(author_key, author_domain, company_ids, is_proven_staff)
    found: Hit | None = None
    others: dict[int, TicketView] = {}
    refused: dict[int, tuple[TicketView, str]] = {}
    again: set[int] = set()
    for hit in sorted(hits, key=_rank):
        if hit.by == HitBy.SAME_ID and not _is_like(hit, subject_key):
            continue  # a device that has but one id: its mails have nothing to do with each other
        code = (
            _not_open(hit, now, reopen_within)
            or _not_his(hit, writer, is_forward_subject=is_forward_subject)
            or _only_anchor(hit, writer, subject_key)
        )
        if hit.by == HitBy.AGAIN:
            # Without a sign of a reply it stays a mail of its own (DESIGN 2), but people are told.
            again.add(hit.ticket.id)
            code = code or "thread.again"
        if code:
            refused.setdefault(hit.ticket.id, (hit.ticket, code))
        elif found is None:
            found = hit
        elif hit.by == found.by and hit.ticket.id != found.ticket.id:
            others[hit.ticket.id] = hit.ticket
    return _match(found, others.values(), refused, again)


_RANK = {by: rank for rank, by in enumerate(HitBy)}


def _rank(hit: Hit) -> int:
    return _RANK[hit.by]


def _is_like(hit: Hit, subject_key: str) -> bool:
    return len(subject_key) >= MIN_SUBJECT and subject_key == hit.ticket.subject


def _match(
    found: Hit | None, others: Iterable[TicketView], refused: dict[int, tuple[TicketView, str]], again: set[int]
) -> Match:
    reasons = []
    if found is not None:
        refused.pop(found.ticket.id, None)
        reasons.append(Reason.of(f"thread.{found.by}", ticket=ticket_label(found.ticket.id)))
        reasons += [Reason.of("thread.several", ticket=ticket_label(ticket.id)) for ticket in others]
    reasons += [Reason.of(code, ticket=ticket_label(ticket.id)) for ticket, code in refused.values()]
    return Match(
        ticket=found.ticket if found else None,
        by=found.by if found else None,
        refused=tuple(refused.values()),
        reasons=tuple(reasons),
        is_again=bool(again),
    )


def subject_change(match: Match, facts: Facts, subject_key: str, now: datetime) -> Match:
    """The match with a note when the mail has another subject than its thread (RULES 4, 'Changed subject').

    It stays where its ids lead. After 30 days of silence and without a quote people are asked whether it is a new
    matter: many answer an old mail only because the address stands there.
    """
    ticket = match.ticket
    if ticket is None or not subject_key or subject_key == ticket.subject or match.by in _BY_LIKENESS:
        return match
    label = ticket_label(ticket.id)
    reasons = (*match.reasons, Reason.of("thread.new_subject", ticket=label))
    last = ticket.last_mail_at
    is_new = last is not None and now - last >= NEW_MATTER_AFTER and not _quotes(facts)
    if is_new:
        reasons = (*reasons, Reason.of("thread.new_matter", ticket=label))
    return replace(match, reasons=reasons, new_subject=True, is_new_matter=is_new)


def _quotes(facts: Facts) -> bool:
    return facts.own_text.split() != facts.body_text.split()


_BY_LIKENESS = frozenset({HitBy.SUBJECT, HitBy.CUSTOMER})


def _not_open(hit: Hit, now: datetime, reopen_within: timedelta) -> str:
    if hit.ticket.is_trashed:
        return "thread.trashed"
    if hit.ticket.stage is not Stage.CLOSED:
        return ""
    if hit.by in _BY_LIKENESS:
        return "thread.not_open"  # likeness alone never opens a ticket again
    closed_at = hit.ticket.closed_at or hit.ticket.updated_at
    return "" if now - closed_at <= reopen_within else "thread.closed_too_long"


def _not_his(hit: Hit, writer: _Writer, *, is_forward_subject: bool) -> str:
    if writer.is_proven_staff or writer.takes_part(hit.ticket):
        return ""
    if is_forward_subject:
        return "thread.forwarded_by_stranger"
    return "" if writer.is_of_its_company(hit.ticket) else "thread.not_on_ticket"


def _only_anchor(hit: Hit, writer: _Writer, subject_key: str) -> str:
    """An id that others only named weighs less: it needs the same subject or the same company beside the guard."""
    if not hit.is_anchor or writer.is_of_its_company(hit.ticket):
        return ""
    return "" if subject_key and subject_key == hit.ticket.subject else "thread.anchor_only"
