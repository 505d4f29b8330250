"""Our exceptions.

::

    RelayError
    ├── TransientFailure    class 4: try again; unknown errors are of this kind
    │   └── CrmDown         the CRM cannot be asked now, and until when that is known
    ├── PermanentFailure    class 5: trying again cannot help
    │   └── CrmRefusal      the CRM answered, and the answer is no
    └── InputError          a person gave us something we cannot use; the text says where and what
        ├── AddressError    not an RFC 5321 mailbox
        └── ConfigError     the configuration; one line a mistake

Bugs stay ``ValueError`` and ``TypeError``.
"""

from datetime import datetime

__all__ = [
    "AddressError",
    "ConfigError",
    "CrmDown",
    "CrmRefusal",
    "InputError",
    "PermanentFailure",
    "RelayError",
    "TransientFailure",
]


class RelayError(Exception):
    """The root: everything we raise on purpose."""


class TransientFailure(RelayError):  # noqa: N818  the field's word is failure
    """Trying again may help.

    Args:
        status: Enhanced status code, class 4 (RFC 3463).
        text: Safe to show to a peer.
        detail: For the log and the trace only.
    """

    def __init__(self, status: str, text: str, *, detail: str = "") -> None:
        super().__init__(f"{status} {text}" + (f" ({detail})" if detail else ""))
        self.status = status
        self.text = text
        self.detail = detail


class PermanentFailure(RelayError):  # noqa: N818  the field's word is failure
    """Trying again cannot help; arguments as for `TransientFailure`, status of class 5."""

    def __init__(self, status: str, text: str, *, detail: str = "") -> None:
        super().__init__(f"{status} {text}" + (f" ({detail})" if detail else ""))
        self.status = status
        self.text = text
        self.detail = detail


class CrmDown(TransientFailure):
    """A CRM that cannot be asked now: no connection, no answer, too many calls, token refused.

    Args:
        cause: What happened, for the log and the trace; names the HTTP status, never a token.
        retry_at: Not before this instant (aware, UTC); None: nobody said.
        is_closed: Known without asking: somebody was refused a moment ago, and nothing was sent this time.
    """

    def __init__(self, cause: str, *, retry_at: datetime | None = None, is_closed: bool = False) -> None:
        super().__init__("4.4.3", "The CRM cannot be asked now", detail=cause)
        self.cause = cause
        self.retry_at = retry_at
        self.is_closed = is_closed


class CrmRefusal(PermanentFailure):
    """A CRM understood and refused: a move that its rules forbid, a value that it does not take.

    Args:
        cause: Its words, cut and made printable, with the names of fields.
        status: HTTP status or what stands for it.
        category: The CRM's own word for the kind of mistake, "" without.
    """

    def __init__(self, cause: str, *, status: int = 400, category: str = "") -> None:
        super().__init__("5.3.0", "The CRM refused", detail=cause)
        self.cause = cause
        self.http_status = status
        self.category = category


class InputError(RelayError):
    """A person's input that cannot be used; nothing was changed. The text is for that person."""


class AddressError(InputError):
    """Not a mailbox as RFC 5321 §4.1.2 writes it."""


class ConfigError(InputError):
    """The configuration cannot be used.

    Args:
        problems: One line each, ``FILE:LINE:COLUMN: key: what is wrong`` as far as known.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
