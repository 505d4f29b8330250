"""Protocols for CRMs: what one module for a CRM implements, and what it gets from us (docs/crm.md).

A CRM may be asked in two roles, each on its own: the directory tells whose customer somebody is, the desk keeps the
tickets on its board.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from supportrelay.core.directory import Deal, DirectoryAnswer
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.outside import DeskChanges, DeskMail, DeskOpening, DeskTicket
from supportrelay.core.ports import Lease
from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = [
    "ClaimedDeskTicket",
    "CrmMemory",
    "DeskDone",
    "DeskQueue",
    "DeskWork",
    "DirectorySource",
    "Gate",
    "GateState",
    "Remembered",
    "TicketDesk",
]


class DirectorySource(Protocol):
    """A CRM asked for owners; no cache, no patience: `edge.crm.remembering` has both.

    Errors of every call: `CrmDown` when it cannot be asked, `CrmRefusal` when it refuses to answer at all. Asked and
    nobody is an empty answer.
    """

    @property
    def kind(self) -> str:
        """``hubspot`` ..."""
        ...

    async def look_up(self, customers: Sequence[Mailbox]) -> Mapping[str, DirectoryAnswer]:
        """The answer about each customer, by `Mailbox.key`, in as few calls as there are; at most 100 at once.

        Exact contact first, then the domain, then its parents down to the registrable one.
        """
        ...

    async def deals(self, deal_ids: Sequence[str]) -> Mapping[str, tuple[str, Deal]]:
        """``(company name, deal)`` by the id asked for, as they are now; what is gone is not in it. At most 100."""
        ...

    async def owners(self) -> frozenset[str]:
        """All current owners, comparing form; they are staff."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class TicketDesk(Protocol):
    """Where tickets live outside. Errors as for `DirectorySource`."""

    @property
    def kind(self) -> str:
        """``hubspot`` ..."""
        ...

    @property
    def tells_stage(self) -> bool:
        """`current` and `changed` know the stage; a plain e-mail-to-case address does not."""
        ...

    @property
    def has_directory_ids(self) -> bool:
        """Companies and deals of the directory in use have the desk's own ids."""
        ...

    async def find(self, key: str) -> DeskTicket | None:
        """The ticket with our key, None when there is none. Sees every write that was answered before."""
        ...

    async def open(self, opening: DeskOpening) -> DeskTicket:
        """Make the ticket, or return the one that has the key already; never two."""
        ...

    async def current(self, external_id: str) -> DeskTicket | None:
        """The ticket as it is now with its stage history, by id; None when it was deleted."""
        ...

    async def move(self, external_id: str, stage: Stage) -> DeskTicket:
        """Write the first stage id of NEW, WAITING or CLOSED; `CrmRefusal` when the desk's rules forbid it."""
        ...

    async def record(self, external_id: str, mail: DeskMail, *, is_repeat: bool) -> None:
        """Log a mail on the ticket. ``is_repeat``: an earlier attempt may have done it; then it looks first."""
        ...

    async def changed(self, since: datetime) -> DeskChanges:
        """Tickets of our pipeline changed since then; may name some twice and must not leave one out for good."""
        ...

    async def gone(self, external_ids: Sequence[str]) -> frozenset[str]:
        """Which of these were deleted; at most 100."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


@value_class
class GateState:
    """What a gate knows.

    Attributes:
        closed_until: Nothing may be sent before (aware, UTC); None: it is open.
        closed_why: Why, for the log, trace and `crm check`.
        used_today: Calls since midnight of ``day`` (``2026-11-22``), so far as we counted.
    """

    closed_until: datetime | None = None
    closed_why: str = ""
    day: str = ""
    used_today: int = 0


class Gate(Protocol):
    """Lets calls to a CRM through no faster than agreed, for all processes together (the store keeps the count)."""

    async def enter(
        self, name: str, *, every_us: int, burst: int, daily: int | None, now: datetime, most_wait_us: int
    ) -> datetime:
        """Book one call; returns when it may be made, now or later.

        The generic cell rate: one each ``every_us``, at most ``burst`` at once.

        Raises:
            CrmDown: ``is_closed``: the gate is closed, the day's calls are used up, or the booking would lie more than
                ``most_wait_us`` ahead; nothing was booked.
        """
        ...

    async def close(self, name: str, until: datetime, why: str) -> None:
        """Let nobody through until then (429, 401, 403, no answer)."""
        ...

    async def reopen(self, name: str) -> None:
        """It answers again, or somebody changed the token: it and those below it (``NAME:...``) are open."""
        ...

    async def gate(self, name: str) -> GateState:
        """As it stands."""
        ...


@value_class
class Remembered:
    """An answer of a CRM as it was kept.

    Attributes:
        known_at: From when it is. expires_at: fresh until then (aware, UTC).
        body: JSON values.
    """

    known_at: datetime
    expires_at: datetime
    body: Any


class CrmMemory(Protocol):
    """The last known good answers, kept in the store for all processes and across restarts."""

    def recall(self, kind: str, key: str) -> Remembered | None:
        """What is kept. Reads by key, on the event loop."""
        ...

    def stamp(self, kind: str, key: str) -> tuple[datetime, datetime] | None:
        """``(known_at, expires_at)`` of what is kept, without its body, which may be long."""
        ...

    async def remember(self, kind: str, answers: Mapping[str, Any], known_at: datetime, expires_at: datetime) -> None:
        """Keep these (key -> body), in one commit."""
        ...

    async def expire(self, kind: str, domain: str = "", *, now: datetime | None = None) -> int:
        """Answers about a domain are no longer fresh (they stay as last known); "" for all of the kind. How many.

        About ``acme.example`` (comparing form) are the key itself, and keys that end in ``@acme.example`` or
        ``.acme.example``: its addresses, its subdomains and their addresses. ``now``: None by the clock.
        """
        ...

    async def drop_answers(self, before: datetime) -> int:
        """Delete answers of all kinds that nobody asked for since then, a few hundred at most; how many."""
        ...


@value_class
class DeskWork:
    """One piece of work for a ticket at the desk: what one mail, or a person here, asks for.

    Attributes:
        queue_id: The mail, "" when a person moved the ticket here.
        at: When that mail was accepted, or the person moved (aware, UTC).
        stage: Stage to write, None leaves it.
        by_person: A person here asked (board, command); such a move stands against everything older.
        records: The mail is still to be logged. moves: the stage is still to be written.
        is_repeat: An earlier attempt began and did not end.
        direction: Of the mail (`core.decision.Direction`), "" when a person moved the ticket.
    """

    id: int
    queue_id: str
    at: datetime
    stage: Stage | None
    by_person: bool = False
    records: bool = False
    moves: bool = False
    is_repeat: bool = False
    direction: str = ""


@value_class
class ClaimedDeskTicket:
    """A ticket with due work at the desk, whose lease we hold.

    Attributes:
        key: For `DeskOpening.key`.
        external_id: "" when it is not made there yet.
        is_begun: An earlier attempt to make it began and did not end.
        written_stage_id, written_at: What we last wrote or saw there (the desk's clock), "" and None before.
        stage: The mirror's stage.
        work: In the order to apply.
        tries: Failed rounds so far.
    """

    ticket_id: int
    key: str
    external_id: str
    is_begun: bool
    written_stage_id: str
    written_at: datetime | None
    stage: Stage
    subject: str
    customer: str
    company_id: str
    deal_id: str
    owners: tuple[str, ...]
    priority: str
    address: str
    work: tuple[DeskWork, ...]
    tries: int = 0


@value_class
class DeskDone:
    """What came of a piece of work; written with its row of ``changes``.

    Attributes:
        seen: The ticket at the desk afterwards, None when it was not read.
        mirror: New stage of our mirror when the desk's stands, None leaves it.
        moved_by_person_at: A person moved it there then.
        what, why: For ``changes``: ``desk.moved``, ``desk.move_dropped``, ``desk.move_refused``, ``desk.recorded`` ...
        moves, records: What of the work is done now.
        who: Who did it, for ``changes``: ``desk:hubspot``; "" is the relay, or ``desk`` with `moved_by_person_at`.
    """

    work_id: int | None
    what: str
    why: Mapping[str, Any]
    seen: DeskTicket | None = None
    mirror: Stage | None = None
    moved_by_person_at: datetime | None = None
    moves: bool = False
    records: bool = False
    who: str = ""


class DeskQueue(Protocol):
    """The part of the store that keeps work for the outside desk; writing calls are fenced by the lease's holder."""

    async def claim_desk(self, now: datetime, lease: Lease, limit: int) -> list[ClaimedDeskTicket]:
        """Take tickets with due work, oldest work first, nobody else's; their beginning is recorded."""
        ...

    async def desk_opened(self, ticket_id: int, made: DeskTicket, lease: Lease, now: datetime) -> bool:
        """The ticket is there; False when the lease was lost (nothing written)."""
        ...

    async def desk_done(self, ticket_id: int, done: DeskDone, lease: Lease, now: datetime) -> bool:
        """A piece of work is done, wholly or in part; False when the lease was lost."""
        ...

    async def desk_end(
        self,
        ticket_id: int,
        lease: Lease,
        now: datetime,
        *,
        due_at: datetime | None = None,
        error: str = "",
        counts: bool = True,
    ) -> None:
        """Hand the ticket back: with work left due at ``due_at`` (``error`` says why, ``counts`` as a failed try)."""
        ...

    async def desk_due_now(self, now: datetime) -> int:
        """Everything put off is due now: the desk answers again."""
        ...

    async def renew_desk(self, ticket_ids: Sequence[int], lease: Lease) -> bool:
        """Prolong; False when any is no longer ours."""
        ...

    async def desk_seen(
        self, tickets: Sequence[tuple[DeskTicket, datetime]], now: datetime, *, who: str = "desk"
    ) -> list[int]:
        """Stages somebody changed at the desk, each with when: written to the mirror where no move is waiting.

        One in our trash is there again, so it is out of the trash. Give it what was read by id; a list may lag.

        Args:
            who: For ``changes``: ``desk:hubspot``.

        Returns the ticket numbers that moved or came back. Unknown tickets, and those whose mirror agrees, change
        nothing; nor does a change older than the one we saw last.
        """
        ...

    async def desk_unlike(self, tickets: Sequence[DeskTicket]) -> list[str]:
        """External ids worth a closer look: the mirror has another stage and no move is waiting, or is in the trash."""
        ...

    async def desk_gone(self, external_id: str, now: datetime, *, keep_from: str = "", who: str = "desk") -> int | None:
        """A ticket was deleted at the desk: its conversation goes into our trash, its lease is over.

        Args:
            keep_from: Queue id of the mail whose work found it out: that mail and later ones with waiting work make a
                new ticket, which starts with the old one's customer, deal and owners, NEW, and names it as related.
                "": from the first mail that still waits to move the ticket, if there is one: whoever notices first,
                the mail's work or somebody who looks around, the same comes of it.
            who: For ``changes``: ``desk:hubspot``.

        Returns the new ticket's number, None when there is none.
        """
        ...

    async def desk_to_check(self, limit: int, before: datetime, *, now: datetime | None = None) -> list[str]:
        """External ids of living tickets (open, or closed within 30 days) not looked at since then, oldest first.

        They count as looked at from ``now`` on (None: by the clock).
        """
        ...

    async def purge_trash(self, before: datetime, *, now: datetime | None = None) -> int:
        """Delete tickets that lie in the trash since earlier than that, for good; how many.

        At most 50 a call. Their mails stay, and ``changes`` tell of it with ``now`` (None: by the clock).
        """
        ...

    async def hold_duty(self, name: str, lease: Lease, now: datetime) -> Mapping[str, Any] | None:
        """Become (or stay) the one process that has this duty; its notes, None when somebody else has it."""
        ...

    async def note_duty(self, name: str, lease: Lease, notes: Mapping[str, Any]) -> None:
        """Keep notes (a cursor) with the duty."""
        ...
