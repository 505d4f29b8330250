"""Our exceptions.

::

    RelayError
    ├── TransientFailure    class 4: try again; unknown errors are of this kind
    ├── PermanentFailure    class 5: trying again cannot help
    └── InputError          a person gave us something we cannot use; the text says where and what
        ├── AddressError    not an RFC 5321 mailbox
        └── ConfigError     the configuration; one line a mistake

Bugs stay ``ValueError`` and ``TypeError``.
"""

__all__ = ["AddressError", "ConfigError", "InputError", "PermanentFailure", "RelayError", "TransientFailure"]


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
