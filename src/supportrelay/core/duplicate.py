"""Is this the same mail again? Same Message-ID, From and Date (DESIGN 2, RULES_OF_MAIL 5)."""

from hashlib import sha256

from supportrelay.core.content_key import usable_id
from supportrelay.core.decision import Direction
from supportrelay.core.facts import Facts
from supportrelay.core.ports import Gathered
from supportrelay.core.sight import Sight

__all__ = ["duplicate_key", "takes_over"]


def duplicate_key(facts: Facts) -> str:
    """Return 64 hex digits that are equal for two arrivals of one mail and different for two mails.

    Received and every field that a way adds are left out, so the key is stable over redelivery, over a second of our
    addresses and over a group that puts its footer under the text. A mail without a usable Message-ID is known by its
    decoded contents, author, date and subject. Some senders use one Message-ID for many mails (RULES 5.4): another
    From or Date makes another mail, and nobody's mail ever suppresses that of another author. Where no date tells such
    mails apart, their contents do.
    """
    identity = usable_id(facts.message_id)
    if not identity or facts.date is None:
        identity = f"{identity or 'gen'}-{facts.content_key}\0{facts.subject}"
    named = "\0".join((identity, " ".join(_authors(facts)), " ".join(facts.date_text.split())))
    return sha256(named.encode("utf-8", "replace")).hexdigest()


_BY_STAFF = frozenset({Direction.OUTBOUND, Direction.NOTE, Direction.INBOUND})


def takes_over(gathered: Gathered, sight: Sight) -> bool:
    """Tell whether this arrival counts in place of an earlier one of the same mail, which moved nothing.

    A colleague's mail may come twice, once straight from his provider and once through a group or a rule, and only one
    of the two ways proves who sent it. What he asked for must not hang on which of them was faster (RULES 5.7). And a
    customer's mail may come by one way that calls it spam, and by one that does not: that one makes his ticket.
    """
    if gathered.duplicate_of and gathered.duplicate_spam:
        return not sight.is_spam
    is_proven_staff = sight.author.is_staff and sight.author.is_proven and sight.direction in _BY_STAFF
    return bool(gathered.duplicate_of) and gathered.duplicate_unproven and is_proven_staff


def _authors(facts: Facts) -> list[str]:
    """The authors in comparing form.

    A group that rewrote a strict-DMARC author's From ("Ann via Support") names him in X-Original-From: the direct
    arrival and the one through the group are one mail. Who forges that could forge From as well.
    """
    if facts.original_from is not None and any(" via " in f" {m.name} " for m in facts.from_):
        return [facts.original_from.key]
    return sorted({mailbox.key for mailbox in facts.from_})
