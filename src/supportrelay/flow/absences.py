"""absences: a colleague's own absence notice makes him absent, and what he alone was sent goes to Allmember.

Believed are a notice at a bounce address, whose signed token proves that our copy went there, and one to support@ from
somebody proven (DESIGN 2; RULES 2). What a person writes never makes anybody absent, nor does a forged notice.
"""

from datetime import datetime

from supportrelay.core.absence import away_until
from supportrelay.core.automatic import AutomaticKind
from supportrelay.core.delivery import Cause, DeliveryKind, DeliveryState, Outcome, OutcomeKind, Phase
from supportrelay.core.ladder import next_form, why_of
from supportrelay.core.ports import DeliveryView, OtherForm
from supportrelay.core.reason import Reason
from supportrelay.core.settings import SupportAddress
from supportrelay.flow.assess import Assessment
from supportrelay.flow.failover import sweep
from supportrelay.flow.message_ids import id_of_form
from supportrelay.flow.office import Office, Rulebook

__all__ = ["fail_copy", "is_own_notice", "is_persons_copy", "note_absence"]


def is_own_notice(assessment: Assessment) -> bool:
    """An absence notice to support@ from a colleague who is proven to be one; a list is nobody."""
    sight = assessment.sight
    author = sight.author
    is_proven = author.is_staff and author.is_proven
    return sight.is_automatic and _is_absence(assessment) and is_proven and not _is_list(assessment, author.key)


def _is_absence(assessment: Assessment) -> bool:
    return assessment.sight.automatic.kind == AutomaticKind.OOO


def _is_list(assessment: Assessment, key: str) -> bool:
    return assessment.members.is_allmember(key)


def is_persons_copy(copy: DeliveryView, assessment: Assessment) -> bool:
    """A copy that one person reads, not a list's and none that was sent on as it came."""
    return copy.kind in {DeliveryKind.OWNER, DeliveryKind.ADMIN} and not _is_list(assessment, copy.recipient.lower())


async def note_absence(
    office: Office, rulebook: Rulebook, assessment: Assessment, named: DeliveryView | None
) -> tuple[Reason, ...]:
    """Remember who is away and until when; returns why, nothing when the mail is no believable notice.

    Args:
        named: The copy that a valid token names.

    Raises:
        TransientFailure: The store cannot be read or written.
    """
    if not _is_absence(assessment):
        return ()
    copy: DeliveryView | None
    if named is not None and is_persons_copy(named, assessment):
        owner, copy = named.recipient, named
    elif named is None and is_own_notice(assessment):
        owner, copy = assessment.sight.author.key, await _answered_copy(office, assessment)
    else:
        return ()
    until = await _remember(office, assessment, owner)
    day = f"{until:%Y-%m-%d}" if until else ""
    reasons = [Reason.of("report.absence", owner=owner, until=day) if day else _known_away(owner)]
    if copy is not None and await _give_to_others(office, rulebook, assessment, copy, until):
        reasons.append(Reason.of("report.absence_unread", owner=owner))
    return tuple(reasons)


def _known_away(owner: str) -> Reason:
    return Reason.of("report.absence_known", owner=owner)


async def _answered_copy(office: Office, assessment: Assessment) -> DeliveryView | None:
    """The copy that a notice to support@ answers, by the Message-ID that it names."""
    facts = assessment.facts
    for message_id in (*facts.in_reply_to[:1], *facts.references[-1:]):
        copy = await office.store.delivery_of_copy(message_id, assessment.sight.author.key)
        if copy is not None and is_persons_copy(copy, assessment):
            return copy
    return None


async def _remember(office: Office, assessment: Assessment, owner: str) -> datetime | None:
    """Until when he is away now; what a person said, or an earlier notice that reaches further, stands."""
    now = office.now()
    facts = assessment.facts
    until = away_until(f"{facts.subject}\n{facts.own_text or facts.body_text}", now)
    known = await office.store.absent_until(now)
    key = owner.lower()
    if key in known and ((end := known[key]) is None or end >= until):
        return end
    await office.store.absent_set(owner, "relay", now, until=until)
    return until


_MAY_STILL_BE_READ = frozenset(
    {DeliveryState.DELIVERED, DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.DEFERRED, DeliveryState.HELD}
)


async def _give_to_others(
    office: Office, rulebook: Rulebook, assessment: Assessment, copy: DeliveryView, until: datetime | None
) -> bool:
    """When everybody who has the mail is away it counts as not read: Allmember gets it; True when that was so."""
    absent = await office.store.absent_until(office.now())
    outside = {DeliveryKind.AS_IS, DeliveryKind.REWRITTEN}
    copies = [one for one in await office.store.deliveries_of(copy.queue_id) if one.kind not in outside]
    readable = [one for one in copies if one.state in _MAY_STILL_BE_READ]
    if any(not is_persons_copy(one, assessment) or one.recipient.lower() not in absent for one in readable):
        return False
    day = f"until {until:%Y-%m-%d}" if until else "until told otherwise"
    nobody_got_it = False
    for one in readable:
        nobody_got_it |= await fail_copy(office, one, status="", text=f"not read: {one.recipient} is away {day}")
    if nobody_got_it:
        await sweep(office, rulebook)
    return nobody_got_it


async def fail_copy(
    office: Office,
    copy: DeliveryView,
    *,
    status: str,
    text: str,
    cause: Cause = Cause.RECIPIENT,
    address: SupportAddress | None = None,
) -> bool:
    """Mark a copy as not arrived, or not read; True when nobody else got the mail.

    Args:
        cause: SIZE and CONTENT send it in another form, when there is one left (`core.ladder`).
        address: Of the mail; needed for that.
    """
    outcome = Outcome(OutcomeKind.FAILED, Phase.DOT, status=status, text=text[:500], cause=cause)
    form = next_form(copy.form, copy.kind, outcome)
    other = None
    if form is not None and address is not None:
        other = OtherForm(form, why_of(outcome), id_of_form(office, address, copy.queue_id, form))
    return (await office.store.fail_delivery(copy.delivery_id, outcome, office.now(), other)).nobody_got_it
