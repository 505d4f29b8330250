"""Who gets a copy, who is left out, and what Reply-To says (DESIGN 2, last points; DESIGN 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from supportrelay.core.decision import Direction, Fallback, Recipient
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.errors import AddressError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox, parse_path, print_mailbox
from supportrelay.core.membership import Membership
from supportrelay.core.reason import Reason
from supportrelay.core.rules import RuleOutcome
from supportrelay.core.sight import ForwardPaths, Sight
from supportrelay.core.value import value_class

__all__ = ["MAX_REPLY_TO", "Choice", "choose_recipients", "each_once", "passed_on", "reply_to"]

MAX_REPLY_TO = 20


@value_class
class Choice:
    """Who gets a copy.

    Attributes:
        people: People and lists by whom the mail is read, in order, each once.
        reasons: Including everybody who was left out, and why.
        readers: The owners, or whom a rule names in their place; those whom ``show_recipients`` shows.
    """

    people: tuple[Recipient, ...]
    reasons: tuple[Reason, ...]
    readers: tuple[str, ...] = ()


def choose_recipients(
    sight: Sight,
    facts: Facts,
    *,
    owners: Sequence[str],
    fallback: Fallback | None,
    outcome: RuleOutcome,
    members: Membership,
    teams: Mapping[str, tuple[str, ...]],
    stays_on_ticket: bool = False,
) -> Choice:
    """Owners, else Allmember (or what a rule says instead), then what rules add; then leave out who needs none.

    Args:
        stays_on_ticket: An automatic answer that is kept on its ticket: nobody gets it but who a rule names.
    """
    reasons: list[Reason] = []
    wanted = _wanted(sight, owners=owners, fallback=fallback, outcome=outcome, members=members, teams=teams)
    if stays_on_ticket and outcome.route is None:
        wanted = []
        reasons.append(Reason.of("recipients.automatic_answer"))
    left, addressed = _leave_out(sight, facts, wanted, reasons)
    if addressed and not left and sight.direction in _NEVER_WITHOUT_READER:
        reasons.append(Reason.of("recipients.addressed_after_all"))
        left = addressed
    also_to = [Recipient(a, _kind(a, members, DeliveryKind.OWNER), "rule") for a in outcome.also_to]
    added, _ = _leave_out(sight, facts, also_to, reasons)
    if outcome.rewrite_recipient:
        added.append(Recipient(outcome.rewrite_recipient, DeliveryKind.AS_IS, "rewrite"))
    if sight.proof.fails_elsewhere:
        left, added = _rewritten(left, reasons), _rewritten(added, reasons)
    readers = tuple(one.address for one in wanted if one.kind == DeliveryKind.OWNER)
    return Choice(each_once([*left, *added]), tuple(reasons), readers)


def _rewritten(recipients: Sequence[Recipient], reasons: list[Reason]) -> list[Recipient]:
    """Nobody outside would take a mail whose author's domain has such mail refused (DESIGN 3, last point)."""
    outside = [one.address for one in recipients if one.kind == DeliveryKind.AS_IS]
    reasons += [Reason.of("recipients.rewritten", address=address) for address in outside]
    return [replace(one, kind=DeliveryKind.REWRITTEN) if one.kind == DeliveryKind.AS_IS else one for one in recipients]


def passed_on(paths: ForwardPaths, members: Membership) -> tuple[Recipient, ...]:
    """Who gets the mail as it came, whatever the desk decides: postmaster's readers, submission's other recipients."""
    people = [Recipient(a, DeliveryKind.AS_IS, "postmaster") for a in members.desk.admins if paths.postmaster]
    return each_once([*people, *(Recipient(a, DeliveryKind.SUBMITTED, "relayed") for a in paths.elsewhere)])


def _wanted(
    sight: Sight,
    *,
    owners: Sequence[str],
    fallback: Fallback | None,
    outcome: RuleOutcome,
    members: Membership,
    teams: Mapping[str, tuple[str, ...]],
) -> list[Recipient]:
    allmember = [Recipient(a, DeliveryKind.LIST, "allmember") for a in sight.address.allmember]
    by_owner = [Recipient(a, DeliveryKind.OWNER, "owner") for a in owners]
    route = outcome.route
    if route is not None and route.kind == "allmember":
        return allmember
    if route is not None and route.kind in {"addresses", "team"}:
        addresses = teams.get(route.team, ()) if route.kind == "team" else route.addresses
        return [Recipient(a, _kind(a, members, DeliveryKind.OWNER), "rule") for a in addresses] or allmember
    if fallback == Fallback.UNPROVEN_SENDER and sight.address.unproven_staff == "admins":
        return [Recipient(a, DeliveryKind.ADMIN, "unproven") for a in members.desk.admins]
    return by_owner or allmember


def _kind(address: str, members: Membership, kind: DeliveryKind) -> DeliveryKind:
    """People outside our domains get the original octets (DESIGN 3, last point); Allmember is a list."""
    try:
        mailbox = parse_path(address)
    except AddressError:
        return DeliveryKind.AS_IS
    if members.is_allmember(mailbox.key):
        return DeliveryKind.LIST
    return kind if members.is_staff(mailbox) else DeliveryKind.AS_IS


_NEVER_WITHOUT_READER = frozenset({Direction.INBOUND, Direction.AUTOMATIC, Direction.UNPROVEN})


def _leave_out(
    sight: Sight, facts: Facts, wanted: Sequence[Recipient], reasons: list[Reason]
) -> tuple[list[Recipient], list[Recipient]]:
    """Take out the author and people who stand in To or Cc; return who is left, and who is addressed already."""
    addressed = {mailbox.key for mailbox in (*facts.to, *facts.cc)}
    writers = {sight.author.key, sight.forwarded_by.key if sight.forwarded_by else ""} - {""}
    if sight.is_unproven_staff:
        writers = set()  # whoever wrote it, the one it names shall see it
    left, out = [], []
    for recipient in wanted:
        key = recipient.address.lower()
        if key in writers and not sight.address.copy_to_author:
            reasons.append(Reason.of("recipients.author", address=recipient.address))
        elif key in addressed and not sight.address.copy_to_addressed:
            reasons.append(Reason.of("recipients.addressed", address=recipient.address))
            out.append(recipient)
        else:
            left.append(recipient)
    return left, out


def each_once(recipients: Sequence[Recipient]) -> tuple[Recipient, ...]:
    """One copy a person, by comparing form; the first entry stands."""
    found: dict[str, Recipient] = {}
    for recipient in recipients:
        found.setdefault(recipient.address.lower(), recipient)
    return tuple(found.values())


def reply_to(sight: Sight, facts: Facts, *, owners: Sequence[str], members: Membership) -> tuple[tuple[str, ...], bool]:
    """Return the printed mailboxes of Reply-To, and whether it was cut (over 20: the author and support only).

    Addresses outside ASCII stand there as they are; whether a copy may hold them is known when it is written.
    """
    support = sight.address.address
    if sight.is_unproven_staff:
        return (support,), False
    hidden = {owner.lower() for owner in owners}
    first: list[Mailbox] = []
    if sight.forwarded_by is not None:
        first = [*sight.customers[:1], sight.forwarded_by]
    elif _names_somebody(facts, members) and not _is_rewritten(sight, facts):
        first = list(facts.reply_to)
        author = sight.author.mailbox
        if author is not None and members.is_external(author) and not any(map(members.is_external, first)):
            first = [author, *first]  # it names colleagues only; an answer reaches the author all the same
    elif sight.author.mailbox is not None:
        first = [sight.author.mailbox]
    found: dict[str, str] = {}
    for position, mailbox in enumerate((*first, *facts.to, *facts.cc)):
        key = mailbox.key
        is_author = position < len(first)
        if members.is_ours(key) or members.is_known_to_rules(key):
            continue
        if not is_author and (key in hidden or members.is_allmember(key)):
            continue
        found.setdefault(key, print_mailbox(mailbox, utf8=True))
    printed = (*found.values(), support)
    if len(printed) > MAX_REPLY_TO:
        return (*_author_alone(sight, first, members), support), True
    return printed, False


def _author_alone(sight: Sight, first: Sequence[Mailbox], members: Membership) -> list[str]:
    """Where the author takes answers: his one Reply-To, else, when that is a list of people, himself."""
    author = sight.author.mailbox
    if len(first) > 1 and author is not None and sight.forwarded_by is None and not sight.author.is_form:
        first = [author]
    others = (m for m in first if not (members.is_ours(m.key) or members.is_known_to_rules(m.key)))
    return [print_mailbox(m, utf8=True) for m in others][:1]


def _names_somebody(facts: Facts, members: Membership) -> bool:
    """Reply-To names anybody but us; else a reply would reach nobody outside."""
    return any(not members.is_ours(mailbox.key) for mailbox in facts.reply_to)


def _is_rewritten(sight: Sight, facts: Facts) -> bool:
    """From was rewritten on the way, so its Reply-To may be the rewriting group's own."""
    author = sight.author.mailbox
    return bool(author and facts.original_from and author.key == facts.original_from.key)
