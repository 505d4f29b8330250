"""The grammar of MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3; RFC 1870, 6152, 6531).

Our own because aiosmtpd's goes through a private parser of the email package that recurses and lets controls pass
(RELIABILITY D07, D08). Arguments arrive decoded and free of control characters.
"""

import re
from functools import lru_cache

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import parse_path, print_path
from supportrelay.core.reply import (
    BAD_ARGUMENT,
    BAD_PARAMETER,
    BAD_RECIPIENT,
    BAD_SENDER,
    NEEDS_SMTPUTF8,
    Reply,
)
from supportrelay.core.value import value_class

__all__ = ["MailCommand", "parse_mail", "parse_rcpt"]

POSTMASTER = "postmaster"

# '>' and blanks may stand inside a quoted local part; devices leave the brackets out, and so may they.
_PATH = re.compile(r' *(?:<((?:[^"<>]++|"(?:[^"\\]++|\\.)*+")*+)>|([^\s"<>]++))(?: +(.*))?')
_SIZE = re.compile(r"[0-9]{1,20}")
_KNOWN = frozenset({"SIZE", "BODY", "SMTPUTF8"})


@value_class
class MailCommand:
    """What MAIL said.

    Attributes:
        reverse_path: Printed address, "" for the null one.
        size: Declared octets, 0 when none were.
        is_smtputf8: The parameter was there.
    """

    reverse_path: str
    size: int = 0
    is_smtputf8: bool = False


def parse_mail(argument: str, *, is_extended: bool) -> MailCommand | Reply:
    """Read ``FROM:<path> [parameters]``, or say what is wrong with it.

    Args:
        argument: What follows ``MAIL ``.
        is_extended: EHLO was said; without it there are no parameters.
    """
    split = _split(argument, "FROM:")
    if split is None:
        return BAD_SENDER
    path, words = split
    parameters = _parameters(words) if words else {}
    if isinstance(parameters, Reply):
        return parameters
    if parameters and not is_extended:
        return BAD_PARAMETER
    is_smtputf8 = "SMTPUTF8" in parameters
    reverse_path = "" if not path else _address(path, BAD_SENDER, is_smtputf8=is_smtputf8)
    if isinstance(reverse_path, Reply):
        return reverse_path
    return MailCommand(reverse_path, int(parameters.get("SIZE", "0")), is_smtputf8)


def parse_rcpt(argument: str, *, is_smtputf8: bool) -> str | Reply:
    """Read ``TO:<path>``: the printed forward-path, ``postmaster`` for the one without domain, or what is wrong.

    Args:
        argument: What follows ``RCPT ``.
        is_smtputf8: MAIL of this transaction said SMTPUTF8.
    """
    split = _split(argument, "TO:")
    if split is None:
        return BAD_RECIPIENT
    path, words = split
    if words:
        return BAD_PARAMETER  # we offer none for RCPT: no DSN
    if path.lower() == POSTMASTER:
        return POSTMASTER  # RFC 5321 §4.5.1
    return _address(path, BAD_RECIPIENT, is_smtputf8=is_smtputf8)


def _split(argument: str, keyword: str) -> tuple[str, str] | None:
    if argument[: len(keyword)].upper() != keyword:
        return None
    found = _PATH.fullmatch(argument, len(keyword))
    if not found:
        return None
    path = found[1] if found[1] is not None else found[2]
    return path, (found[3] or "").rstrip(" ")


def _parameters(words: str) -> dict[str, str] | Reply:
    parameters: dict[str, str] = {}
    for word in words.split(" "):
        name, has_value, value = word.partition("=")
        name = name.upper()
        if name not in _KNOWN:
            return BAD_PARAMETER
        if name in parameters or not _is_value(name, value, has_value=bool(has_value)):
            return BAD_ARGUMENT
        parameters[name] = value
    return parameters


def _is_value(name: str, value: str, *, has_value: bool) -> bool:
    if name == "SIZE":
        return _SIZE.fullmatch(value) is not None
    if name == "BODY":
        return value.upper() in {"7BIT", "8BITMIME"}
    return not has_value


def _address(path: str, refusal: Reply, *, is_smtputf8: bool) -> str | Reply:
    if not is_smtputf8 and not path.isascii():
        return NEEDS_SMTPUTF8
    return _printed(path) or refusal


@lru_cache(maxsize=1024)  # the same few addresses all day
def _printed(path: str) -> str:
    """The address as we write it, "" when it is none."""
    try:
        return print_path(parse_path(path))
    except AddressError:
        return ""
