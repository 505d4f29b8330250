"""What a report says, as values."""

from enum import StrEnum

from supportrelay.core.mailbox import Mailbox
from supportrelay.core.value import value_class

__all__ = ["FailureCause", "Report", "ReportedRecipient", "Severity"]


class Severity(StrEnum):
    """How a failure ended, by the class of its status (RFC 3463 §2, RULES 3.5)."""

    NONE = ""  # no failure
    HARD = "hard"  # 5.x.x: refused for good
    SOFT = "soft"  # 4.x.x: given up after trying; the same mail might arrive tomorrow


class FailureCause(StrEnum):
    """Why a copy did not arrive, as far as status and words tell."""

    NONE = ""
    NO_SUCH_ADDRESS = "no_such_address"
    NO_SUCH_HOST = "no_such_host"
    MAILBOX_FULL = "mailbox_full"
    TOO_LARGE = "too_large"
    REFUSED = "refused"  # policy, block lists, DMARC, content
    LOOP = "loop"
    UNREACHABLE = "unreachable"  # no connection, or not in time
    OTHER = "other"


# What says nothing about the address: the next mail may arrive.
_GOOD_ADDRESS = frozenset(
    {
        FailureCause.MAILBOX_FULL,
        FailureCause.TOO_LARGE,
        FailureCause.REFUSED,
        FailureCause.LOOP,
        FailureCause.UNREACHABLE,
    }
)


@value_class
class ReportedRecipient:
    """What a report says about one recipient.

    Attributes:
        address: Comparing form, "" when it cannot be read.
        action: Lower case: ``failed``, ``delayed``, ``delivered``, ``relayed``, ``expanded``; the disposition
            (``displayed`` ...) or the kind of feedback (``abuse`` ...) in the other reports.
        status: ``5.1.1``, "" without.
        diagnostic: One line, at most 500 characters.
        severity, cause: Of a failure.
    """

    address: str
    action: str
    status: str = ""
    diagnostic: str = ""
    severity: Severity = Severity.NONE
    cause: FailureCause = FailureCause.NONE

    @property
    def is_address_bad(self) -> bool:
        """The address itself is at fault; a full mailbox, a policy or the size of a mail are not (RULES 3.5)."""
        return self.severity is Severity.HARD and self.cause not in _GOOD_ADDRESS


@value_class
class Report:
    """A report.

    Attributes:
        kind: ``delivery-status``, ``disposition-notification`` or ``feedback-report``.
        returned_message_id: With brackets, of the mail it is about; "" when it is not said.
        returned_queue_id: X-Supportrelay-Id of the returned part: it is about a copy of ours. Not proven: only the
            token in the envelope and ``returned_trail`` are.
        returned_trail: X-Supportrelay-Trail of the returned part, as written.
        returned_from: First mailbox of its From.
        returned_to: Mailboxes of its To.
        is_certain: Fields say it, or a form that mail systems are known to write. Otherwise it only reads like a
            report: shown to people, nothing follows from it (RULES 3.7).
        form: Which form of free text it has (`report_forms`), "" for fields.
    """

    kind: str
    recipients: tuple[ReportedRecipient, ...] = ()
    returned_message_id: str = ""
    returned_queue_id: str = ""
    returned_from: Mailbox | None = None
    returned_to: tuple[Mailbox, ...] = ()
    returned_trail: str = ""
    is_certain: bool = True
    form: str = ""
