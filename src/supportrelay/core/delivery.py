"""Delivery, Attempt, Outcome: one message to one recipient; one try; what came of it."""

from datetime import datetime
from enum import StrEnum

from supportrelay.core.value import value_class

__all__ = [
    "Cause",
    "DeliveryForm",
    "DeliveryKind",
    "DeliveryState",
    "MessageState",
    "Outcome",
    "OutcomeKind",
    "Phase",
]


class MessageState(StrEnum):
    """Where a message is; the same words in the store, the log and docs/flow.md."""

    ACCEPTED = "accepted"  # committed, nothing decided yet
    WAITING = "waiting"  # the CRM did not answer; decided again when due
    COMPOSED = "composed"  # decided, its deliveries are under way
    DELIVERED = "delivered"  # every delivery is in an end state and at least one person got it
    FILED = "filed"  # nobody was to get a copy: on its ticket, a duplicate, or an automatic answer
    HELD = "held"  # a person decides
    IGNORED = "ignored"  # a rule said so; kept and shown
    LOOPED = "looped"  # our own copy came back
    DEAD = "dead"  # every way was tried; kept and shown


class DeliveryState(StrEnum):
    """Where one copy is."""

    DUE = "due"  # never tried
    SENDING = "sending"  # an attempt was recorded and has no end yet
    DEFERRED = "deferred"  # tried, due again
    DELIVERED = "delivered"
    FAILED = "failed"  # 5xx for good, or given up
    HELD = "held"
    DROPPED = "dropped"  # a person took it out of the queue


class DeliveryKind(StrEnum):
    """What the copy is; decides how it is rewritten."""

    OWNER = "owner"  # a single person: banner, own copy
    LIST = "list"  # Allmember, a team, a group: banner, automatic marks renamed
    ADMIN = "admin"  # to the administrators: rewritten like OWNER
    AS_IS = "as_is"  # original octets: postmaster, a CRM's case address
    REWRITTEN = "rewritten"  # for the same people, with our From: the author's DMARC would have his refused there
    SUBMITTED = "submitted"  # submission's other recipients: as it came, without our banner in what it quotes
    NOTE = "note"  # ours to the writer of the mail: what is wrong with it; nobody's copy
    OWN = "own"  # a mail of our own (`core.own_mail`): sent as it was written

    @property
    def is_passed_on(self) -> bool:
        """Its author's mail, not ours to read: one form, no failover."""
        return self in {DeliveryKind.AS_IS, DeliveryKind.REWRITTEN, DeliveryKind.SUBMITTED}

    @property
    def keeps_author(self) -> bool:
        """From stays its author's."""
        return self in {DeliveryKind.AS_IS, DeliveryKind.SUBMITTED}


class DeliveryForm(StrEnum):
    """How much of the mail a copy holds; each refusal for size, content or form asks for the next (`core.ladder`)."""

    FULL = "full"  # as planned
    LIGHT = "light"  # attachments left out and named in the text
    ATTACHED = "attached"  # a clean header, the original attached whole
    NOTICE = "notice"  # who, subject, why, a link


class Phase(StrEnum):
    """How far an attempt came; after DATA_SENT the outcome is uncertain."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class OutcomeKind(StrEnum):
    """What came of an attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


class Cause(StrEnum):
    """Whose fault a refusal is."""

    NONE = "none"
    RECIPIENT = "recipient"  # this address cannot be reached
    CONTENT = "content"  # form or content of the message
    SIZE = "size"  # the message is too large for this server or mailbox
    OURS = "ours"  # login, sender rights, TLS, configuration: deferred with an alarm, never failed
    WEATHER = "weather"  # network, 4xx, anything unknown


@value_class
class Outcome:
    """What came of one attempt.

    Attributes:
        code: SMTP reply code, 0 when there was none.
        status: Enhanced status, "" when there was none.
        text: The reply in one printable line, at most 500 characters; it mostly begins with code and status.
        host: ``host:port`` spoken to, "" when none.
        is_uncertain: The message may have been delivered although we did not hear so.
        counts: False when a pooled connection was simply gone and the try does not count as an attempt.
        notes: What had to be done to the copy beside the plan (`core.rewrite`), for the trace.
    """

    kind: OutcomeKind
    phase: Phase
    code: int = 0
    status: str = ""
    text: str = ""
    host: str = ""
    cause: Cause = Cause.NONE
    is_uncertain: bool = False
    at: datetime | None = None
    notes: tuple[str, ...] = ()

    @property
    def reply(self) -> str:
        """What the server said in one line: code, status and words, each once."""
        if self.code and self.text.startswith(str(self.code)):
            return self.text
        return " ".join(part for part in (str(self.code or ""), self.status, self.text) if part)
