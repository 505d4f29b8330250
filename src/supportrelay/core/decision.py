"""Decision: what shall happen to one message, with every reason; the vocabulary of ``explain`` and the trace."""

from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.reason import Reason, rfc3339
from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.core.value import value_class

__all__ = [
    "CopyPlan",
    "Decision",
    "Direction",
    "DirectoryUsed",
    "Disposition",
    "Fallback",
    "Place",
    "Proof",
    "Recipient",
    "TicketAction",
    "TicketPlan",
    "Verdict",
]


class Direction(StrEnum):
    """What kind of mail it is, after the order of questions."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    NOTE = "note"
    UNPROVEN = "unproven"
    AUTOMATIC = "automatic"
    REPORT = "report"
    SPAM = "spam"
    LOOP = "loop"
    DUPLICATE = "duplicate"


class Place(StrEnum):
    """Where the support address stands."""

    TO = "to"
    CC = "cc"
    OTHER = "other"


class Verdict(StrEnum):
    """Whether the sender is who he says he is."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    UNKNOWN = "unknown"  # could not be told now; treated like unproven, never punished


@value_class
class Proof:
    """The verdict on the author's domain.

    Attributes:
        by: What vouches for him, or why nothing does: ``trusted network``, ``gateway dmarc=pass`` ...
        header: Value of the Authentication-Results for the copies, "" when nothing was looked up.
        fails_elsewhere: A copy that keeps his From would be refused: his domain asks for it (DMARC), and no signature
            of his holds on the mail as it came.
        fails_dmarc: His domain has DMARC, whatever it asks for, and nothing speaks for the mail; never on weather.
    """

    verdict: Verdict
    by: str = ""
    header: str = ""
    fails_elsewhere: bool = False
    fails_dmarc: bool = False


class Disposition(StrEnum):
    """What policy decided to do with a message."""

    RELAY = "relay"
    HOLD = "hold"
    IGNORE = "ignore"
    REJECT = "reject"


class Fallback(StrEnum):
    """Why Allmember (or the admins) got it instead of owners."""

    UNKNOWN_COMPANY = "unknown_company"
    NO_DEAL = "no_deal"
    NO_OWNER = "no_owner"
    NO_REACHABLE_OWNER = "no_reachable_owner"
    CRM_UNREACHABLE = "crm_unreachable"
    UNPROVEN_SENDER = "unproven_sender"


@value_class
class Recipient:
    """One person or list that gets a copy. ``address`` is as configured or as the CRM writes it."""

    address: str
    kind: DeliveryKind
    why: str


class TicketAction(StrEnum):
    """What happens on the board."""

    NONE = "none"
    OPEN = "open"
    JOIN = "join"


@value_class
class TicketPlan:
    """What happens to the ticket.

    Attributes:
        ticket_id: The one joined; None for NONE and OPEN.
        stage: The stage afterwards (the present one when kept), None for NONE.
        moves: The stage is written by this mail.
        note: Code of why a wanted move was not applied, "" otherwise.
        wants: Stage that the mail rightly asks for, also when the ticket has it already; None leaves it as it is.
    """

    action: TicketAction = TicketAction.NONE
    ticket_id: int | None = None
    conversation_id: int | None = None
    stage: Stage | None = None
    moves: bool = False
    note: str = ""
    priority: str = ""
    related_ticket_id: int | None = None
    wants: Stage | None = None


@value_class
class DirectoryUsed:
    """Which directory named the owners, and from when its answer is.

    Attributes:
        known_at: Aware, UTC.
        is_last_known: It could not be asked now; this is what it said then.
    """

    source: str
    known_at: datetime
    is_last_known: bool = False


@value_class
class CopyPlan:
    """How the copies of this message are written; kept with the message, so that a retry writes the same copy.

    Attributes:
        address_name: The support address the mail belongs to (`SupportAddress.name`).
        author_name: Display name for ``{author}``; the address's local part when there is none.
        company_name: For ``{company}``, "" when unknown.
        reply_to: Printed mailboxes for Reply-To.
        reply_to_cut: Over 20 addresses: only author and support are in it.
        banner: ``full``, ``none`` or a banner's name.
        is_unproven: The name in From is written as unconfirmed.
        forwarded_by: The colleague who forwarded it, "" otherwise.
        reason_code: Short neutral code for the banner.
        reason_name: ``owner``, ``rule`` or the fallback's name, for X-Supportrelay-Reason.
        reason_text: Name of the deal, for the sentence of ``banner_details: full``.
        is_first: First mail of its ticket (the long banner).
        visible_recipients: Owners to add to Cc (``show_recipients``), else empty.
        tags: From rules.
        as_of: From when the owners are (RFC 3339), when the CRM could not be asked; "" when they are current.
        is_passed_on: Nothing of the mail is the desk's; the plan is for the note alone.
        note: What its writer is told (`guards.Warned.to_plan`), else empty.
        authentication: Value of our Authentication-Results, "" without (`Proof.header`).
    """

    address_name: str
    author: str = ""
    author_name: str = ""
    company_name: str = ""
    reply_to: tuple[str, ...] = ()
    reply_to_cut: bool = False
    banner: str = "full"
    is_unproven: bool = False
    forwarded_by: str = ""
    reason_code: str = ""
    reason_text: str = ""
    reason_name: str = ""
    is_first: bool = True
    visible_recipients: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    as_of: str = ""
    is_passed_on: bool = False
    note: tuple[str, ...] = ()
    authentication: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form kept in the store."""
        return {name: getattr(self, name) for name in _COPY_PLAN}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "CopyPlan":
        """The inverse of `to_json`; unknown names are left out, so that older rows stay readable."""
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in _COPY_PLAN
        }
        return cls(**known)


_COPY_PLAN = tuple(one.name for one in fields(CopyPlan))


@value_class
class Decision:
    """The whole decision on one message.

    Attributes:
        customer: Comparing form, "" when none.
        owners: Addresses found, before author and people already addressed are taken out.
        rule: Names of the rules that matched, in order.
        reasons: Every step, in the order it was taken.
        directory: Where the owners are from; None when no directory had to say.
    """

    direction: Direction
    place: Place
    address_name: str
    proof: Proof
    customer: str = ""
    company_id: str = ""
    company_name: str = ""
    deal_id: str = ""
    deal_name: str = ""
    owners: tuple[str, ...] = ()
    fallback: Fallback | None = None
    rules: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    ticket: TicketPlan = TicketPlan()
    disposition: Disposition = Disposition.RELAY
    copy: CopyPlan | None = None
    reasons: tuple[Reason, ...] = ()
    directory: DirectoryUsed | None = None

    @property
    def readers(self) -> tuple[str, ...]:
        """Addresses of those who get a copy; a note to the writer is none."""
        return tuple(r.address for r in self.recipients if r.kind != DeliveryKind.NOTE)

    def to_json(self) -> dict[str, Any]:
        """The shape of ``explain --json`` (DESIGN 8), with coded reasons."""
        return {
            "direction": str(self.direction),
            "support_in": str(self.place),
            "address": self.address_name,
            "proven": self.proof.verdict == Verdict.PROVEN,
            "proven_by": self.proof.by,
            "verdict": str(self.proof.verdict),
            "authentication": self.proof.header or None,
            "customer": self.customer or None,
            "company": {"id": self.company_id, "name": self.company_name} if self.company_id else None,
            "deal": {"id": self.deal_id, "name": self.deal_name} if self.deal_id else None,
            "owners": list(self.owners),
            "directory": _directory_json(self.directory),
            "fallback": str(self.fallback) if self.fallback else None,
            "rule": self.rules[0] if self.rules else None,
            "rules": list(self.rules),
            "recipients": list(self.readers),
            "copies": [{"address": r.address, "kind": str(r.kind), "why": r.why} for r in self.recipients],
            "ticket": {
                "id": ticket_label(self.ticket.ticket_id) if self.ticket.ticket_id else None,
                "stage": str(self.ticket.stage) if self.ticket.stage else None,
                "action": str(self.ticket.action),
                "priority": self.ticket.priority or None,
            },
            "disposition": str(self.disposition),
            "tags": list(self.copy.tags) if self.copy else [],
            "reasons": [r.to_json() for r in self.reasons],
        }


def _directory_json(used: DirectoryUsed | None) -> dict[str, Any] | None:
    if used is None:
        return None
    return {"source": used.source, "known_at": rfc3339(used.known_at), "is_last_known": used.is_last_known}
