"""How much automatic mail is passed on before a person is asked: the end of loops that carry no mark of ours.

Only automatic mail is counted; what people write is never held back for being much (RULES_OF_MAIL 2A.5). The numbers
are RULES'; a ticket has a sender's, for the other side's robot may answer from another address each time.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta

from supportrelay.core.facts import Facts
from supportrelay.core.mime import MimeError, part_octets, read_parts, walk
from supportrelay.core.subject import normalise_subject
from supportrelay.core.value import value_class

__all__ = ["HOLD_FOR", "LIMITS", "USUAL", "Limit", "RobotLimits", "RobotStop", "limits_of"]


@value_class
class Limit:
    """No more than ``count`` mails ``within`` that time; the next one is too much."""

    count: int
    within: timedelta


@value_class
class RobotStop:
    """Automatic mail of one kind is held until an instant.

    Attributes:
        key: What was too much: ``KIND:WORD`` as `limits_of` makes it.
        count: How many came, ``within`` that time.
        is_new: It began with this mail; somebody is to be told.
    """

    key: str
    count: int
    within: timedelta
    is_new: bool = False


HOLD_FOR = timedelta(hours=3)
_SENDER = (Limit(10, timedelta(minutes=10)), Limit(25, timedelta(minutes=60)), Limit(100, timedelta(hours=10)))
LIMITS: Mapping[str, tuple[Limit, ...]] = {
    "same": (Limit(3, timedelta(minutes=30)),),
    "sender": _SENDER,
    "domain": (Limit(50, timedelta(minutes=60)),),
    "ticket": _SENDER,
}


@value_class
class RobotLimits:
    """The limits of a desk; ``rates`` by kind: same, sender, domain, ticket."""

    rates: Mapping[str, tuple[Limit, ...]] = field(default_factory=lambda: LIMITS)
    hold_for: timedelta = HOLD_FOR

    @property
    def longest(self) -> timedelta:
        """How long a mail counts at most."""
        return max((limit.within for limits in self.rates.values() for limit in limits), default=timedelta())


USUAL = RobotLimits()


def limits_of(
    facts: Facts,
    octets: bytes,
    *,
    sender: str,
    domain: str,
    ticket_id: int | None,
    rates: Mapping[str, tuple[Limit, ...]] = LIMITS,
    is_in_thread: bool = False,
) -> dict[str, tuple[Limit, ...]]:
    """Return what an automatic mail counts against: key -> limits.

    Args:
        sender: Comparing form, "" when From names nobody.
        domain: The registrable one, "" for free-mail: a million people share that.
        rates: By kind, as in `RobotLimits`.
        is_in_thread: People of another help desk, as far as anybody can tell. They have one address for all their
            tickets, so that only this ticket counts.
    """
    named = {
        "same": _content(facts, octets, sender),
        "sender": "" if is_in_thread else sender,
        "domain": "" if is_in_thread else domain,
        "ticket": str(ticket_id) if ticket_id is not None else "",
    }
    return {f"{kind}:{word}": rates[kind] for kind, word in named.items() if word and rates.get(kind)}


def _content(facts: Facts, octets: bytes, sender: str) -> str:
    """The same text and parts of a sender under a subject; a scanner sends the same text with another PDF."""
    text = " ".join(facts.body_text.split())
    digest = hashlib.sha256(f"{sender}\0{normalise_subject(facts.subject)}\0{text}".encode("utf-8", "replace"))
    try:
        for part in walk(read_parts(octets)):
            if not part.children and not part.content_type.startswith("text/"):
                digest.update(hashlib.sha256(part_octets(octets, part).replace(b"\r\n", b"\n").rstrip()).digest())
    except MimeError:
        pass  # the text has to do
    return digest.hexdigest()[:32]
