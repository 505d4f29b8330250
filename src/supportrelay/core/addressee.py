"""Who is told that a mail was not delivered: its author, when it is certain that he wrote it, and nobody else."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from supportrelay.core.automatic import Automatic
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox, parse_path
from supportrelay.core.membership import Membership
from supportrelay.core.ports import SigningKey
from supportrelay.core.token import read_message_id
from supportrelay.core.value import value_class

__all__ = ["OWN_MAIL_MARK", "Addressee", "find_addressee", "is_answer_to_own_mail"]

OWN_MAIL_MARK = "o"
"""Last letter of the seed of our own mail's Message-IDs; copies have others (`flow.message_ids`)."""

_NEVER = frozenset({"loop", "report", "spam", "automatic"})
# An outsider's robot that writes again whenever it hears from us gets no third one (RELIABILITY C55).
_TO_OUTSIDERS = (2, timedelta(days=7))
_TO_STAFF = (300, timedelta(hours=1))


@value_class
class Addressee:
    """The author's address, or why there is none.

    Attributes:
        address: Printed, "" when nobody is told.
        why: ``null_reverse_path``, ``automatic``, ``unproven``, ``answers_ours``, ``own_address``, ``other_domain``.
        most: Reports that he gets ``within`` that time.
    """

    address: str
    why: str = ""
    most: int = 0
    within: timedelta = timedelta(0)


def find_addressee(
    decision: Mapping[str, Any],
    envelope: Envelope,
    facts: Facts,
    automatic: Automatic,
    *,
    members: Membership,
    keys: Sequence[SigningKey],
    registrable: Callable[[str], str],
) -> Addressee:
    """Return who is told about a mail that failed.

    Never a null reverse-path or a program (RFC 3834 §2, RELIABILITY C55); nobody whose From was not proven (C57); and
    nobody but him: a reverse-path in another domain than the proven author's would make us write to a stranger (C54).

    Args:
        decision: In its stored form.
        registrable: Of a domain (`ports.Domains`).
    """
    if not envelope.reverse_path:
        return Addressee("", "null_reverse_path")
    if automatic.no_answer or str(decision.get("direction", "")) in _NEVER:
        return Addressee("", "automatic")
    if not decision.get("proven"):
        return Addressee("", "unproven")
    if is_answer_to_own_mail(facts, keys):
        return Addressee("", "answers_ours")
    mailbox = _mailbox(envelope.reverse_path)
    if mailbox is not None and members.is_ours(mailbox.key):
        # Written as support@: whoever logged in for it, if that is an address.
        mailbox = _mailbox(envelope.peer.user)
        if mailbox is not None and members.is_ours(mailbox.key):
            mailbox = None
    if mailbox is None:
        return Addressee("", "own_address")
    is_staff = members.is_staff(mailbox)
    author = facts.from_[0] if len(facts.from_) == 1 else None
    is_same = author is not None and registrable(author.domain) == registrable(mailbox.domain)
    is_one_of_us = author is not None and (members.is_staff(author) or members.is_ours(author.key))
    if not is_same and not (is_staff and is_one_of_us):
        return Addressee("", "other_domain")
    most, within = _TO_STAFF if is_staff else _TO_OUTSIDERS
    address = envelope.reverse_path if mailbox == _mailbox(envelope.reverse_path) else envelope.peer.user
    return Addressee(address, most=most, within=within)


def is_answer_to_own_mail(facts: Facts, keys: Sequence[SigningKey]) -> bool:
    """It answers a mail that the relay wrote itself."""
    for one in (*facts.in_reply_to, *facts.references):
        seed = read_message_id(keys, one)
        if seed is not None and seed.endswith(OWN_MAIL_MARK) and len(seed) == _SEED:
            return True
    return False


_SEED = 17  # a queue id and the mark


def _mailbox(address: str) -> Mailbox | None:
    try:
        return parse_path(address)
    except AddressError:
        return None
