"""What a colleague should be told, in private, about a mail he just sent: nobody outside got it, or too much did.

Only proven staff are told, only about mail of their own, and at most once a mail. Nothing of the mail is changed or
kept back by it.
"""

from collections.abc import Collection, Iterable, Sequence

from supportrelay.core.automatic import AutomaticKind
from supportrelay.core.decision import Decision, Direction, Disposition
from supportrelay.core.desk import Known
from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox, parse_path
from supportrelay.core.membership import Membership
from supportrelay.core.ports import SigningKey
from supportrelay.core.reason import Reason
from supportrelay.core.token import read_message_id
from supportrelay.core.value import value_class

__all__ = [
    "LEAK",
    "UNSENT_REPLY",
    "Warned",
    "answered_mail",
    "colleagues_named",
    "leak",
    "may_be_told",
    "unsent_reply",
    "writer_of",
]

UNSENT_REPLY = "unsent_reply"
LEAK = "leak"

_GUARDED = {Direction.NOTE: UNSENT_REPLY, Direction.OUTBOUND: LEAK}
_PERSONS = frozenset({AutomaticKind.HUMAN, AutomaticKind.LIST})
_MOST_PEOPLE = 10
_LEAST_LIST = 2  # owners' addresses that make a list


@value_class
class Warned:
    """What the writer is told.

    Attributes:
        guard: ``unsent_reply`` or ``leak``.
        people: Whom his answer did not reach; who read what he sent.
        banner: Our notice is in it.
        owners: Owners' addresses in it that its readers did not know; ``allmember`` likewise.
    """

    guard: str
    people: tuple[str, ...]
    banner: bool = False
    owners: tuple[str, ...] = ()
    allmember: tuple[str, ...] = ()

    @property
    def reason(self) -> Reason:
        """For explain and the trace."""
        if self.guard == UNSENT_REPLY:
            return Reason.of("guard.unsent_reply", people=", ".join(self.people))
        found = ["banner"] * self.banner + [*self.owners, *self.allmember]
        return Reason.of("guard.leak", found=", ".join(found), people=", ".join(self.people))

    def to_plan(self) -> tuple[str, ...]:
        """The form kept in `CopyPlan.note`."""
        return (
            self.guard,
            *("banner:" for _ in range(self.banner)),
            *(f"owner:{one}" for one in self.owners),
            *(f"allmember:{one}" for one in self.allmember),
            *(f"person:{one}" for one in self.people),
        )

    @classmethod
    def from_plan(cls, plan: Sequence[str]) -> "Warned":
        """The inverse of `to_plan`; unknown words are left out."""

        def of(kind: str) -> tuple[str, ...]:
            return tuple(one.removeprefix(f"{kind}:") for one in plan[1:] if one.startswith(f"{kind}:"))

        return cls(plan[0], of("person"), bool(of("banner")), of("owner"), of("allmember"))


def may_be_told(known: Known, decision: Decision) -> str:
    """Which guard looks at this mail: ``unsent_reply``, ``leak``, or "" for none. Cheap: asked of every mail."""
    guard = _GUARDED.get(decision.direction)
    if guard is None or decision.disposition != Disposition.RELAY or writer_of(known) is None:
        return ""
    sight = known.sight
    wanted = sight.address.guard_unsent_reply if guard == UNSENT_REPLY else sight.address.guard_leaks
    return guard if wanted and sight.automatic.kind in _PERSONS else ""


def writer_of(known: Known) -> Mailbox | None:
    """The colleague who is told; None for everybody who is not proven, and for a list."""
    author = known.sight.author
    if author.mailbox is None or not (author.is_staff and author.is_proven):
        return None
    is_list = known.members.is_allmember(author.key) and "list-id" in known.facts.fields
    return None if is_list else author.mailbox


# --- nobody outside has it


def answered_mail(known: Known, keys: Sequence[SigningKey]) -> str:
    """The Message-ID of the customer's mail that an owner answers to no customer; "" for a note among colleagues.

    Where Allmember has the mail, everybody may be the one who answers.
    """
    ticket, facts, members = known.match.ticket, known.facts, known.members
    if ticket is None or facts.is_calendar_answer or known.sight.externals:
        return ""
    owners = {owner.lower() for owner in known.choice.owners} if known.choice else set()
    if owners and known.sight.author.key not in owners:
        return ""  # who did not get the customer's mail to answer it writes a note
    if any(_is_external(path, members) for path in known.paths.elsewhere):
        return ""  # blind copies reach people too
    return _answered(facts, ticket.last_customer_message_ids, keys)


def unsent_reply(known: Known, answered: Facts | None) -> Warned | None:
    """Whom the answer should have reached: the ticket's customer and the people of the mail that it answers.

    Args:
        answered: That mail; None when it is not kept any more.
    """
    ticket, members = known.match.ticket, known.members
    people = dict.fromkeys([ticket.customer] if ticket and ticket.customer else [])
    if answered is not None:
        authors = answered.reply_to or answered.from_
        people |= dict.fromkeys(one.key for one in (*authors, *answered.to, *answered.cc))
    outside = [one for one in people if _is_external(one, members)]
    return Warned(UNSENT_REPLY, tuple(outside[:_MOST_PEOPLE])) if outside else None


def _answered(facts: Facts, customers_ids: Collection[str], keys: Sequence[SigningKey]) -> str:
    """Of a customer's mails the one answered: that mail itself, whose id our copies keep, or a copy with its own id."""
    parents = facts.in_reply_to or facts.references[-1:]
    named = next((one for one in parents if one in customers_ids), "")
    if named or not any(read_message_id(keys, one) for one in parents):
        return named
    before = [one for one in facts.references if one not in parents]
    return before[-1] if before and before[-1] in customers_ids else ""


def _is_external(address: str, members: Membership) -> bool:
    try:
        return members.is_external(parse_path(address))
    except AddressError:
        return False


# --- too much went out


def leak(known: Known, *, has_banner: bool, owners: Iterable[str] = (), allmember: Iterable[str] = ()) -> Warned | None:
    """What of ours stands in a mail to people outside; None when nothing does.

    Args:
        has_banner: Of the mail as they get it.
        owners: Addresses of `colleagues_named` that its readers did not know; fewer than two are no list.
    """
    named = tuple(owners)
    everybody = tuple(allmember)
    named = named if len(named) >= _LEAST_LIST else ()
    if not (has_banner or named or everybody):
        return None
    people = tuple(one.key for one in known.sight.externals[:_MOST_PEOPLE])
    return Warned(LEAK, people, has_banner, named, everybody)


def colleagues_named(known: Known, owners: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(owners, allmember)``: those of the desk's addresses that a mail to people outside names.

    Owners in the text, when they stand in none of its address fields, which their readers see anyhow; Allmember in
    both. Without the writer, who signs.
    """
    facts, address = known.facts, known.sight.address
    text = facts.body_text.lower()
    shown = {mailbox.key for mailbox in (*facts.from_, *facts.to, *facts.cc, *facts.reply_to)}
    writer = known.sight.author.key
    everybody = [one.lower() for one in address.allmember if one.lower() != writer]
    named = [one for one in dict.fromkeys(owner.lower() for owner in owners) if one not in {writer, *everybody}]
    return (
        tuple(one for one in named if one not in shown and _stands_in(one, text)),
        tuple(one for one in everybody if one in shown or _stands_in(one, text)),
    )


def _stands_in(address: str, text: str) -> bool:
    """The address as a whole, not as a part of another one."""
    at = text.find(address)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(address) : at + len(address) + 2]
        joins = before and (before.isalnum() or before in "._%+-")
        goes_on = after and (after[0].isalnum() or after[0] in "-_" or (after[0] == "." and after[1:].isalnum()))
        if not (joins and before.isascii()) and not (goes_on and after.isascii()):
            return True
        at = text.find(address, at + 1)
    return False
