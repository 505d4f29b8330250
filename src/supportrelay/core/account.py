"""Account: somebody who may log in, and as whom he may write (DESIGN 6)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from supportrelay.core.errors import AddressError, InputError
from supportrelay.core.headers import fields_named, raw_value, split_headers
from supportrelay.core.mailbox import Mailbox, comparing_form, parse_mailboxes, parse_path, split_detail
from supportrelay.core.membership import Membership
from supportrelay.core.reply import AUTHOR_NOT_YOURS, SENDER_NOT_YOURS, Reply
from supportrelay.core.value import value_class

__all__ = [
    "LEAST_PASSWORD",
    "LONGEST_PASSWORD",
    "Account",
    "Accounts",
    "author_refusal",
    "may_write_as",
    "parse_account_name",
    "parse_own_address",
    "prepared_password",
    "sender_refusal",
]

LEAST_PASSWORD = 12  # characters; without a second factor, and guessing goes on day and night
LONGEST_PASSWORD = 256  # so that nobody makes us hash megabytes
_LONGEST_NAME = 254
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@value_class
class Account:
    """Somebody who may log in.

    Attributes:
        name: An address in comparing form, or a word (a device, a program).
        password_hash: argon2's text; never printed.
        addresses: What he may write as beside his name and the shared addresses: comparing form, or ``*@domain``.
        is_disabled: Nothing is let in by his name, his password stays as it is.
    """

    name: str
    password_hash: str = field(default="", repr=False)
    addresses: tuple[str, ...] = ()
    is_disabled: bool = False


class Accounts(Protocol):
    """Who has an account, as it stands now: a change counts at once, in open sessions too."""

    def account(self, name: str) -> Account | None:
        """By ``Account.name``; quick, on the event loop.

        Raises:
            TransientFailure: The store cannot be read now.
        """
        ...


def parse_account_name(text: str) -> str:
    """As accounts are compared: an address in comparing form, or a word of a-z, 0-9, ``.``, ``_``, ``-``.

    Raises:
        AddressError: Neither; the text is not repeated, for it may be a password in the wrong field.
    """
    text = text.strip()
    if "@" in text and len(text) <= _LONGEST_NAME:
        try:
            return comparing_form(text)
        except AddressError:
            raise AddressError("not an address") from None
    word = text.lower()
    if not _WORD.fullmatch(word):
        raise AddressError("not a name: an address, or at most 64 of a-z, 0-9, '.', '_' and '-'")
    return word


def parse_own_address(text: str) -> str:
    """An address somebody may write as: comparing form, or ``*@domain`` for all of a domain.

    Raises:
        AddressError: Neither.
    """
    text = text.strip()
    if text.startswith("*@"):
        return "*@" + comparing_form("x" + text[1:]).rpartition("@")[2]
    return comparing_form(text)


def prepared_password(text: str) -> str:
    """The password as it is compared: other spaces as the plain one, composed characters (RFC 8265 §4.2.2).

    So a password typed on a phone and on a computer is the same octets. The length is looked at first: composing takes
    quadratic time in this Python.

    Raises:
        InputError: Empty, over 256 characters, or with controls; the text is not repeated.
    """
    if not text or len(text) > LONGEST_PASSWORD:
        raise InputError(f"a password has 1 to {LONGEST_PASSWORD} characters")
    if _CONTROL.search(text):
        raise InputError("a password holds no control characters")
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in text)
    return unicodedata.normalize("NFC", spaced)


def may_write_as(account: Account, mailbox: Mailbox, members: Membership) -> bool:
    """His own addresses, with a detail too (``ann+news@``), and those that the desk shares.

    Shared are support addresses, their aliases and plus-addresses, and each ``sender``; never a bounce address, whose
    token would name a delivery.
    """
    key = mailbox.key
    if members.bounce_token(key):
        return False
    if members.support_address(key) or members.sender_of(key):
        return True
    base = split_detail(mailbox.local.lower(), members.desk.recipient_delimiter)[0]
    own = {account.name, *account.addresses}
    return not own.isdisjoint({key, f"{base}@{mailbox.domain}", f"*@{mailbox.domain}"})


def sender_refusal(account: Account | None, reverse_path: str, members: Membership) -> Reply | None:
    """What MAIL answers to somebody who is logged in; None accepts.

    The null reverse-path is nobody's and everybody's: a mail program sends receipts and notices of absence with it
    (RFC 5321 §4.5.5); the author inside is looked at all the same.

    Args:
        account: None: it was removed since.
        reverse_path: A printed address, "" is the null one.
    """
    if account is None or account.is_disabled:
        return SENDER_NOT_YOURS
    if not reverse_path:
        return None
    try:
        mailbox = parse_path(reverse_path)
    except AddressError:
        return SENDER_NOT_YOURS
    return None if may_write_as(account, mailbox, members) else SENDER_NOT_YOURS


def author_refusal(account: Account | None, octets: bytes, members: Membership) -> Reply | None:
    """What the dot answers to somebody who is logged in; None accepts.

    There is exactly one From, everybody in it is an address of his, and so is whom Sender names. What cannot be read
    without doubt is refused: another program may read it in another way (CVE-2023-27043).

    Args:
        octets: The message; takes time that grows with its header.
    """
    if account is None or account.is_disabled:
        return AUTHOR_NOT_YOURS
    fields = fields_named(octets, split_headers(octets), _AUTHORS)
    if sum(one.name == "from" for one in fields) != 1 or _from_lines(octets) != 1:
        return AUTHOR_NOT_YOURS
    for one in fields:
        mailboxes = _sure_mailboxes(raw_value(one))
        if not mailboxes or not all(may_write_as(account, mailbox, members) for mailbox in mailboxes):
            return AUTHOR_NOT_YOURS
    return None


def _from_lines(octets: bytes) -> int:
    """Lines up to the first blank one that anybody could take for From, wherever we see the header's end.

    Some read over a byte order mark, or over a line that is no field, and show the author whom they find there.
    """
    blank = _BLANK_LINE.search(octets)
    return len(_FROM_LINE.findall(octets, 0, blank.start() if blank else len(octets)))


_AUTHORS = frozenset({"from", "sender"})
_BLANK_LINE = re.compile(rb"\n\r?\n")
_FROM_LINE = re.compile(rb"^[^\t -~]{0,8}from[ \t]*:", re.IGNORECASE | re.MULTILINE)
# One match a quote, whatever stands behind it: a pattern that may fail there is tried anew at each quote inside.
_NO_ADDRESS = re.compile(r'"(?:[^"\\]++|\\.)*+("?)(@?)|=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*+\?=', re.DOTALL)


def _sure_mailboxes(value: str) -> Sequence[Mailbox]:
    """Mailboxes of an address list; none when it holds more that looks like an address than could be read."""
    mailboxes = parse_mailboxes(value)
    bare = _NO_ADDRESS.sub(_at_sign, value)
    return mailboxes if bare.count("@") == len(mailboxes) else ()


def _at_sign(word: re.Match[str]) -> str:
    """A local part in quotes leaves its ``@``; what a quote that never ends might hold counts as one, too."""
    is_name = word[1] is None or (word[1] and not word[2])
    return "" if is_name else "@"
