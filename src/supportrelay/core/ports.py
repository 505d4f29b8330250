"""Protocols the stations need; the edges implement them, `bootstrap` brings them together.

A store call is a whole command: values in, values out, one transaction, never one left open across an await.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, Protocol

from supportrelay.core.alarm import Alarm
from supportrelay.core.decision import Proof
from supportrelay.core.delivery import DeliveryForm, DeliveryKind, DeliveryState, MessageState, Outcome
from supportrelay.core.directory import Deal, DirectoryAnswer
from supportrelay.core.envelope import Envelope
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.next_hop import NextHop
from supportrelay.core.own_mail import OwnMail
from supportrelay.core.robot_limits import USUAL, Limit, RobotLimits, RobotStop
from supportrelay.core.ticket import Hit, Stage
from supportrelay.core.value import value_class

__all__ = [
    "Accepted",
    "Attempted",
    "BegunDelivery",
    "Change",
    "ClaimedDelivery",
    "ClaimedMessage",
    "Courier",
    "DeliveryView",
    "DeskOrder",
    "Domains",
    "Gathered",
    "KnownId",
    "Lease",
    "NewDelivery",
    "OtherForm",
    "OwnerDirectory",
    "ProofAsked",
    "Reported",
    "SenderProver",
    "Settled",
    "Settlement",
    "SigningKey",
    "Store",
    "TicketChange",
    "TicketOpening",
    "WaitingMessage",
    "WhereFrom",
]


@value_class
class Lease:
    """The right to work on something until an instant.

    Attributes:
        holder: ``instance:worker:life``, unique for each life of a worker process.
        until: Aware, UTC.
    """

    holder: str
    until: datetime


@value_class
class Accepted:
    """A message we take custody of."""

    queue_id: str
    envelope: Envelope
    octets: bytes
    accepted_at: datetime
    message_id: str = ""
    subject: str = ""


@value_class
class Change:
    """A row of the ``changes`` record: what happened, to what, by whom, why.

    Attributes:
        what: Event name of the closed list in docs/flow.md: ``ticket.moved``, ``delivery.delivered`` ...
        who: ``relay``, ``mail:ADDRESS``, ``person:NAME`` (commands, board) or ``rule:NAME``.
        why: JSON values: from, to, reasons ...
    """

    what: str
    who: str
    why: Mapping[str, Any] = field(default_factory=dict)
    queue_id: str = ""
    ticket_id: int | None = None
    delivery_id: int | None = None


@value_class
class WhereFrom:
    """What to look up about one mail before deciding (`Store.gather`), and to look up again when committing.

    Attributes:
        duplicate_key: `core.duplicate.duplicate_key`; "" looks for none.
        in_reply_to: Message-IDs in order. references: from the right.
        thread_index: 22 octets or b"".
        token_ticket: Ticket number from a valid signed token, None without.
        customer: Author in comparing form, for the subject step.
        subject: Normalised subject, "" skips the subject step.
        subject_since: Only tickets with mail after this instant.
        any_of_customer: ``ticket_match: customer``: any open ticket of that customer.
        address: Name of the support address, for the subject and customer steps.
        message_id: The mail's own; an answer that was faster than the mail it answers named it already (an anchor).
        accepted_at: Mails accepted before it that are not decided yet and that it names come first; None asks for none.
        again_subject: Normalised subject of a mail that may have been sent twice, "" asks for none.
        again_since: Only mails accepted after this instant.
    """

    duplicate_key: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    thread_index: bytes = b""
    token_ticket: int | None = None
    customer: str = ""
    subject: str = ""
    subject_since: datetime | None = None
    any_of_customer: bool = False
    address: str = ""
    message_id: str = ""
    accepted_at: datetime | None = None
    again_subject: str = ""
    again_since: datetime | None = None


@value_class
class Gathered:
    """What the store knows about a mail.

    Attributes:
        duplicate_of: queue_id of the first arrival of the same mail, "" when there is none.
        duplicate_ticket: That arrival's ticket.
        duplicate_has: Recipients (comparing form) who have or will have a copy of it.
        hits: In the order of `HitBy`; ids of In-Reply-To before References; open tickets first within a step.
        fingerprint: Changes when any of this would change.
        undecided: queue_id of a mail that it names, accepted before and not decided yet; "" without.
        duplicate_unproven: That first arrival was a colleague's mail whose sender nobody could prove then.
        duplicate_spam: That first arrival is held, for it was called spam.
    """

    duplicate_of: str = ""
    duplicate_ticket: int | None = None
    duplicate_has: frozenset[str] = frozenset()
    hits: tuple[Hit, ...] = ()
    fingerprint: str = ""
    undecided: str = ""
    duplicate_unproven: bool = False
    duplicate_spam: bool = False


@value_class
class TicketOpening:
    """A ticket to make."""

    stage: Stage
    address: str
    subject: str
    subject_key: str
    customer: str
    customer_domain: str
    company_id: str
    company_name: str
    deal_id: str
    deal_name: str
    owners: tuple[str, ...]
    priority: str = ""
    related_ticket_id: int | None = None


@value_class
class TicketChange:
    """What a mail changes on the ticket it joins.

    Attributes:
        stage: Stage that the mail asks for, also when the ticket has it already: from now on the mail decides it, in
            the order of acceptance. None keeps it.
        owners: Owners as they are now, shown on the board.
        deal_id: New deal when the old one is gone (with ``deal_name`` and the company), None keeps it.
        reason: Why the stage moved, for ``changes``.
    """

    ticket_id: int
    conversation_id: int
    stage: Stage | None = None
    owners: tuple[str, ...] | None = None
    company_id: str | None = None
    company_name: str | None = None
    deal_id: str | None = None
    deal_name: str | None = None
    customer: str | None = None
    customer_domain: str | None = None
    priority: str = ""


@value_class
class DeskOrder:
    """What a mail asks of the outside desk, for the ticket of its settlement.

    Attributes:
        stage: Stage that the mail asks for, also when our mirror has it already; None leaves it.
        records: The mail is to be logged on the ticket.
    """

    stage: Stage | None = None
    records: bool = False


@value_class
class KnownId:
    """A Message-ID to remember for threading.

    Attributes:
        kind: ``seen`` (a stored mail's own), ``generated`` (ours), ``anchor`` (only named by others).
    """

    message_id: str
    kind: str


@value_class
class NewDelivery:
    """One copy to make. ``due_at`` None: begun in this same commit (its first attempt recorded, leased)."""

    recipient: str
    kind: DeliveryKind
    why: str
    due_at: datetime | None = None
    new_message_id: str = ""


@value_class
class Settlement:
    """Everything decided about one message; committed whole or not at all.

    Attributes:
        state: COMPOSED, FILED, HELD, IGNORED, LOOPED, WAITING ...
        due_at: For WAITING.
        direction, place, address_name, customer: for lists and counts.
        decision: `Decision.to_json`.
        copy_plan: `CopyPlan.to_json`, None when nothing is sent.
        where_from, fingerprint: what the decision stood on; looked up again in the transaction, and a difference is a
            conflict. None: nothing to check (reports, loops).
        is_inbound: Counts as mail of the customer on the ticket (``last_customer_mail_at``).
        sent_at: The mail's Date, or when it was accepted.
        participants: Addresses in comparing form that take part from now on.
        has_cc_support: Inbound mail with support in Cc.
        first_arrival: For a duplicate: queue_id of the first one.
        takes_over: queue_id of an earlier arrival that becomes a duplicate of this one; its ticket, when no other mail
            is on it, goes into this one's.
        accepted_at: When the mail was accepted; the order in which mail moves a ticket.
        desk: Work for the outside desk, None when tickets live here or the mail has none.
    """

    queue_id: str
    now: datetime
    lease: Lease
    state: MessageState
    direction: str
    place: str
    address_name: str
    customer: str
    decision: Mapping[str, Any]
    copy_plan: Mapping[str, Any] | None = None
    due_at: datetime | None = None
    where_from: WhereFrom | None = None
    fingerprint: str = ""
    opening: TicketOpening | None = None
    change: TicketChange | None = None
    is_inbound: bool = False
    sent_at: datetime | None = None
    ids: tuple[KnownId, ...] = ()
    thread_index: bytes = b""
    participants: tuple[str, ...] = ()
    has_cc_support: bool = False
    first_arrival: str = ""
    takes_over: str = ""
    deliveries: tuple[NewDelivery, ...] = ()
    changes: tuple[Change, ...] = ()
    accepted_at: datetime | None = None
    desk: DeskOrder | None = None


@value_class
class BegunDelivery:
    """A delivery of a settlement, as it stands in the store."""

    delivery_id: int
    recipient: str
    kind: DeliveryKind
    attempt: int
    new_message_id: str = ""


@value_class
class Settled:
    """What `Store.settle` did. ``conflict``: the world had changed, or the lease was lost; nothing was written."""

    conflict: str = ""
    ticket_id: int | None = None
    conversation_id: int | None = None
    deliveries: tuple[BegunDelivery, ...] = ()


@value_class
class ClaimedMessage:
    """A message in ACCEPTED or WAITING whose lease we now hold.

    Attributes:
        tries: How often it was begun without coming to an end, this time counted in.
        released_by: Who released it from hold; nothing holds it again for the same reason. "" for all others.
    """

    accepted: Accepted
    tries: int
    first_wait_at: datetime | None
    released_by: str = ""

    @property
    def is_suspect(self) -> bool:
        """An earlier try came to no end: it may be what killed its worker."""
        return self.tries > 1


@value_class
class ClaimedDelivery:
    """A due delivery whose lease we now hold and whose new attempt is recorded.

    Attributes:
        attempt: Number of this attempt, from 1.
        ticket_id: Of its message.
        form: What of the mail it holds, and ``form_why``: the refusal that led to it (`core.ladder.why_of`).
        is_suspect: It was cut off twice; what killed its worker may be this one.
    """

    delivery_id: int
    queue_id: str
    recipient: str
    kind: DeliveryKind
    attempt: int
    envelope: Envelope
    accepted_at: datetime
    copy_plan: Mapping[str, Any] | None
    ticket_id: int | None
    new_message_id: str = ""
    form: DeliveryForm = DeliveryForm.FULL
    form_why: str = ""
    is_suspect: bool = False


@value_class
class OtherForm:
    """What a delivery is sent as from now on.

    Attributes:
        why: The refusal that led to it (`core.ladder.why_of`).
        new_message_id: Of its own; remembered, so that answers to it find the ticket.
    """

    form: DeliveryForm
    why: str
    new_message_id: str


@value_class
class Attempted:
    """The end of an attempt.

    Attributes:
        due_at: When DEFERRED is due again; None otherwise.
        state: The delivery's state now.
        other_form: It was refused as it is and goes out in this form next, at ``due_at``.
    """

    delivery_id: int
    queue_id: str
    attempt: int
    outcome: Outcome
    state: DeliveryState
    now: datetime
    due_at: datetime | None = None
    other_form: OtherForm | None = None


@value_class
class Reported:
    """What `Store.report` left behind.

    Attributes:
        message_state: State of the message now.
        nobody_got_it: Every delivery is in an end state, none delivered, and no failover was made yet.
        goes_on: The delivery is due again this moment.
    """

    message_state: MessageState
    nobody_got_it: bool
    goes_on: bool = False


@value_class
class WaitingMessage:
    """A message that nobody has got although it is older than ``failover_after``, or whose copies all failed."""

    queue_id: str
    address_name: str
    ticket_id: int | None
    copy_plan: Mapping[str, Any] | None
    recipients: frozenset[str]
    all_failed: bool


@value_class
class DeliveryView:
    """A delivery by its id, for reports that name it."""

    delivery_id: int
    queue_id: str
    recipient: str
    state: DeliveryState
    ticket_id: int | None
    message_id: str
    kind: DeliveryKind = DeliveryKind.OWNER
    form: DeliveryForm = DeliveryForm.FULL


@value_class
class SigningKey:
    """A secret made at first start and kept in the store. The newest signs, all verify."""

    id: int
    secret: bytes
    made_at: datetime


class StoreHealth(Protocol):
    """What one process knows of the disk its store lies on.

    Attributes:
        trouble: What the disk said when it last refused; "" while all is well.
        past: The last trouble that ended and how many seconds it lasted, until somebody takes it away.
    """

    trouble: str
    past: tuple[str, float] | None

    @property
    def free_octets(self) -> int:
        """Free on that disk."""
        ...


class Store(Protocol):
    """Everything that is kept. Errors: `TransientFailure` (locked, full, gone: nothing was written)."""

    @property
    def health(self) -> StoreHealth:
        """What this process knows of its disk."""
        ...

    async def accept(self, message: Accepted, lease: Lease | None) -> None:
        """Commit and sync a message in ACCEPTED. Returns only when it is on the disk."""
        ...

    async def gather(self, where_from: WhereFrom) -> Gathered:
        """What is known about a mail: earlier arrival, tickets it points at."""
        ...

    async def settle(self, settlement: Settlement) -> Settled:
        """Commit a decision; find-or-open of the ticket is part of it."""
        ...

    async def report(self, attempted: Attempted) -> Reported:
        """Commit the end of an attempt."""
        ...

    async def claim_messages(
        self, now: datetime, lease: Lease, limit: int, *, suspects: int = 1
    ) -> list[ClaimedMessage]:
        """Take due, unleased messages in ACCEPTED or WAITING, oldest first; each counts as one more try.

        Args:
            suspects: How many of them at most may have a try behind them that came to no end. What killed a worker is
                among these; taken one at a time it kills nobody else's try (F05).
        """
        ...

    async def claim_deliveries(
        self, now: datetime, lease: Lease, limit: int, *, suspects: int = 1
    ) -> list[ClaimedDelivery]:
        """Take due, unleased deliveries, oldest first, and record the beginning of an attempt for each.

        A delivery in SENDING whose lease ran out is due at once (its attempt has a beginning and no end).

        Args:
            suspects: How many of them at most may have been cut off twice; see `claim_messages`.
        """
        ...

    async def renew(self, now: datetime, lease: Lease, queue_ids: Sequence[str], delivery_ids: Sequence[int]) -> bool:
        """Prolong what ``lease.holder`` holds; False when any of it is no longer held by it."""
        ...

    async def release(self, holder: str, now: datetime) -> None:
        """Hand back everything ``holder`` holds: due now."""
        ...

    async def take_back(self, instance: str, now: datetime) -> int:
        """At start: everything held by an earlier life of this instance is due now; returns how much."""
        ...

    async def mend_due_times(self, now: datetime) -> int:
        """Bring back what a clock that ran ahead put off for hours or years; returns how much (RELIABILITY F31)."""
        ...

    async def content(self, queue_id: str) -> bytes:
        """The octets as received.

        Raises:
            KeyError: No such message, or its content was deleted.
        """
        ...

    async def hold_message(self, queue_id: str, why: str, now: datetime) -> None:
        """Hold a message that broke a station too often."""
        ...

    async def add_failover(self, queue_id: str, deliveries: Sequence[NewDelivery], why: str, now: datetime) -> None:
        """Add copies for Allmember (once a message) and remember why."""
        ...

    async def nobody_got(self, accepted_before: datetime, limit: int) -> list[WaitingMessage]:
        """Messages in COMPOSED without a delivered copy and without failover, older than that or all failed."""
        ...

    async def delivery(self, delivery_id: int) -> DeliveryView | None:
        """One delivery."""
        ...

    async def delivery_of_copy(self, message_id: str, recipient: str) -> DeliveryView | None:
        """The newest delivery of a mail with this Message-ID to that recipient (comparing form)."""
        ...

    async def deliveries_of(self, queue_id: str) -> list[DeliveryView]:
        """All copies of a message, in the order in which they were made."""
        ...

    async def mails_outside(self, ticket_id: int, limit: int) -> list[str]:
        """queue_ids of the newest mails of a ticket from a customer, or from staff to people outside; newest first."""
        ...

    async def fail_delivery(
        self, delivery_id: int, outcome: Outcome, now: datetime, other_form: OtherForm | None = None
    ) -> Reported:
        """A report said that a delivered copy did not arrive; with ``other_form`` it is sent again as that."""
        ...

    async def add_own_mail(self, mail: OwnMail) -> None:
        """Put a mail of our own into the queue, due now.

        What tells of a change of state is written with that change instead (`edge.store.own_mail.insert_own_mail`).
        """
        ...

    async def raise_alarm(self, alarm: Alarm, now: datetime, *, after: timedelta = timedelta(0)) -> bool:
        """Note that something is broken, to be told not before ``after``; True when nobody waited to tell of it yet."""
        ...

    async def signing_keys(self) -> list[SigningKey]:
        """All keys, newest first; makes the first one when there is none."""
        ...

    async def absent_set(
        self, address: str, who: str, now: datetime, *, until: datetime | None = None, back: bool = False
    ) -> dict[str, Any]:
        """Remember that somebody is away (until told otherwise without ``until``) or back."""
        ...

    async def absent_until(self, now: datetime) -> Mapping[str, datetime | None]:
        """Who is away now (comparing form) and until when (None: until told otherwise)."""
        ...

    async def count_robot(
        self, queue_id: str, limits: Mapping[str, Sequence[Limit]], now: datetime, of_desk: RobotLimits = USUAL
    ) -> RobotStop | None:
        """Count an automatic mail, once however often it is asked; the stop that holds it, None when it may go."""
        ...


class OwnerDirectory(Protocol):
    """Whose customer is this? Could not ask is `TransientFailure`; asked and nobody is an empty answer."""

    async def find(self, customer: Mailbox) -> DirectoryAnswer:
        """Exact contact first, then the domain, then its parents down to the registrable one."""
        ...

    async def deal(self, deal_id: str) -> tuple[str, Deal] | None:
        """``(company name, deal)`` as it is now, None when it is gone."""
        ...

    async def owners(self) -> frozenset[str]:
        """All current owners, comparing form; they are staff."""
        ...


class Domains(Protocol):
    """Public suffixes and free-mail providers."""

    def registrable(self, domain: str) -> str:
        """Registrable domain of an A-label domain; the domain itself when it has none (a bare suffix, a literal)."""
        ...

    def is_free_mail(self, domain: str) -> bool:
        """Domain of a free-mail, carrier or access provider; never matched to a company."""
        ...


@value_class
class ProofAsked:
    """A mail whose sender is to be proven.

    Attributes:
        is_needed: Something is decided by the answer: From is staff's or ours, or a rule asks for it. Else it is only
            told, and not worth waiting for.
        is_passed_on: A rule may send it on with its From as it is, so what becomes of that counts.
    """

    facts: Facts
    envelope: Envelope
    octets: bytes
    is_needed: bool = True
    is_passed_on: bool = False


class SenderProver(Protocol):
    """Tells whether the sender is who he says."""

    async def prove(self, asked: ProofAsked) -> Proof:
        """The verdict for the author's domain; never raises, unknown on weather."""
        ...


class Courier(Protocol):
    """Makes one attempt for one delivery."""

    async def send(
        self,
        reverse_path: str,
        recipient: str,
        octets: bytes,
        *,
        is_smtputf8: bool,
        before_data: Callable[[], Awaitable[bool]] | None = None,
        fit: Callable[[NextHop], Awaitable[bytes]] | None = None,
    ) -> Outcome:
        """Send these octets to one recipient; never raises, unknown errors are deferred.

        ``before_data`` is the fencing check: asked right before DATA, False gives up and defers. ``fit`` gives other
        octets of the same copy: asked when the server that is spoken to does not take these (`NextHop.takes`), which is
        known only then; without it they are sent as they are.
        """
        ...

    async def aclose(self) -> None:
        """Close pooled connections."""
        ...
