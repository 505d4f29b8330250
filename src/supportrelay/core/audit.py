"""Does the record add up? What is kept about each accepted message, held against what was written about it.

Every message is in exactly one state, and its state, its copies and its content are what its record of changes says.
Who deletes a row, turns a state or loses a file finds it named here.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from supportrelay.core.delivery import DeliveryState, MessageState
from supportrelay.core.value import value_class

__all__ = ["DUTY", "AuditReport", "AuditedCopy", "AuditedMessage", "Finding", "findings_of"]

DUTY = "audit"
"""What the one process has that makes the nightly account, and notes what came of it."""
# Due work that nobody takes up for so long: no worker is alive, or it is not asked for.
OVERDUE = timedelta(minutes=15)

_OPEN: frozenset[str] = frozenset({DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.DEFERRED})
# What the last change about a copy allows its state to be. "" stands for none, "retried" and "released" for what a
# person did with the whole message after it.
_AFTER: Mapping[str, frozenset[str]] = {
    "": _OPEN,
    "delivery.delivered": frozenset({DeliveryState.DELIVERED}),
    "delivery.deferred": frozenset({DeliveryState.DEFERRED, DeliveryState.SENDING}),
    "delivery.reshaped": frozenset({DeliveryState.DEFERRED, DeliveryState.SENDING}),
    "delivery.lost": _OPEN,
    "delivery.failed": frozenset({DeliveryState.FAILED}),
    "delivery.held": frozenset({DeliveryState.HELD}),
    "message.held": frozenset({DeliveryState.HELD}),
    "message.dropped": frozenset({DeliveryState.DROPPED}),
    "store.restored": frozenset({DeliveryState.DROPPED}),  # the mark that a restore leaves
}
_GOES_ON = frozenset({"message.retried", "message.released"})
_DECIDES_STATE = frozenset({MessageState.COMPOSED, MessageState.DELIVERED, MessageState.DEAD})
_UNDECIDED = frozenset({MessageState.ACCEPTED, MessageState.WAITING})


@value_class
class Finding:
    """Something that does not add up.

    Attributes:
        code: ``message_lost``, ``content_lost``, ``content_size``, ``state_unknown``, ``state_wrong``,
            ``copy_missing``, ``copy_lost``, ``copy_state``, ``overdue``.
        queue_id: "" when not even that is left.
        values: What was expected and found.
    """

    code: str
    queue_id: str
    values: Mapping[str, Any]


@value_class
class AuditedCopy:
    """One delivery row and the changes about it.

    Attributes:
        changes: Names of its changes and of the persons' changes of its message, in order; reports left out.
    """

    delivery_id: int
    recipient: str
    recipient_key: str
    state: str
    changes: tuple[str, ...]
    due_at: datetime | None
    is_leased: bool


@value_class
class AuditedMessage:
    """One message with everything that must fit together.

    Attributes:
        expected_state: What its copies make of it; "" when it has none.
        planned: Comparing forms of those whom the decision, or failover, gave a copy.
        content_octets: Size of what is kept; None when nothing is.
        was_removed: Its content was removed on purpose (retention, a request).
        lost_copies: Ids of deliveries that its changes name and no row has.
    """

    queue_id: str
    state: str
    expected_state: str
    size_octets: int
    content_octets: int | None
    was_removed: bool
    due_at: datetime | None
    is_leased: bool
    planned: frozenset[str]
    copies: Sequence[AuditedCopy]
    lost_copies: Sequence[int]
    changes: frozenset[str]


@value_class
class AuditReport:
    """The account of a period.

    Attributes:
        accepted: Messages that the record says were accepted in it; the sum of ``states`` when all is well.
        states: How many of them are in which state.
        recipients: Copies by recipient and state.
        findings: At most as many as were asked for; ``finding_count`` is all of them.
    """

    since: datetime
    until: datetime
    accepted: int
    states: Mapping[str, int]
    recipients: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]
    finding_count: int

    @property
    def adds_up(self) -> bool:
        """Every accepted message is in exactly one state, and nothing is out of line."""
        return not self.finding_count and self.accepted == sum(self.states.values())

    def to_json(self) -> dict[str, Any]:
        """As ``audit --json`` gives it; times RFC 3339 UTC."""
        return {
            "since": _rfc3339(self.since),
            "until": _rfc3339(self.until),
            "accepted": self.accepted,
            "states": dict(self.states),
            "recipients": {recipient: dict(states) for recipient, states in self.recipients.items()},
            "findings": [
                {"code": one.code, "queue_id": one.queue_id, "values": _plain(one.values)} for one in self.findings
            ],
            "finding_count": self.finding_count,
            "adds_up": self.adds_up,
        }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _rfc3339(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def findings_of(message: AuditedMessage, now: datetime) -> Iterator[Finding]:
    """What does not add up about one message."""
    yield from _content(message)
    yield from _state(message, now)
    for delivery_id in message.lost_copies:
        yield Finding("copy_lost", message.queue_id, {"delivery_id": delivery_id})
    there = {copy.recipient_key for copy in message.copies}
    if message.state in _DECIDES_STATE:
        for missing in sorted(message.planned - there):
            yield Finding("copy_missing", message.queue_id, {"recipient": missing})
    for copy in message.copies:
        yield from _copy(message, copy, now)


def _content(message: AuditedMessage) -> Iterator[Finding]:
    if message.content_octets is None:
        if not message.was_removed and message.size_octets:
            yield Finding("content_lost", message.queue_id, {"size_octets": message.size_octets})
    elif message.content_octets != message.size_octets:
        values = {"size_octets": message.size_octets, "found": message.content_octets}
        yield Finding("content_size", message.queue_id, values)


def _state(message: AuditedMessage, now: datetime) -> Iterator[Finding]:
    state = message.state
    expected = _expected_state(message)
    if state not in set(MessageState):
        yield Finding("state_unknown", message.queue_id, {"state": state})
    elif expected:
        yield Finding("state_wrong", message.queue_id, {"state": state, "expected": expected})
    elif state in _UNDECIDED and not message.is_leased and _is_overdue(message.due_at, now):
        yield Finding("overdue", message.queue_id, {"state": state, "due_at": message.due_at})


def _expected_state(message: AuditedMessage) -> str:
    """What the state should be; "" when it may be what it is."""
    state, changes = message.state, message.changes
    if state in _UNDECIDED:
        # A person's release has a mail decided again; its copies, if it had any, are gone through anew.
        if changes & {"message.released", "message.held"}:
            return ""
        return message.expected_state or ("decided" if "message.decided" in changes else "")
    if not changes & {"message.decided", "message.held", "message.dropped", "own.written", "store.restored"}:
        return str(MessageState.ACCEPTED)
    if message.copies:
        return "" if state == message.expected_state else message.expected_state
    is_bare = state in _DECIDES_STATE and not message.lost_copies and not message.planned
    return str(MessageState.FILED) if is_bare else ""


def _copy(message: AuditedMessage, copy: AuditedCopy, now: datetime) -> Iterator[Finding]:
    allowed = _allowed(copy.changes)
    values = {"delivery_id": copy.delivery_id, "recipient": copy.recipient, "state": copy.state}
    if copy.state not in allowed:
        yield Finding("copy_state", message.queue_id, values | {"expected": sorted(map(str, allowed))})
    elif copy.state in _OPEN and not copy.is_leased and _is_overdue(copy.due_at, now):
        yield Finding("overdue", message.queue_id, values | {"due_at": copy.due_at})


def _allowed(changes: Sequence[str]) -> frozenset[str]:
    """States that a copy may be in after these changes."""
    allowed = _OPEN
    for what in changes:
        if what in _GOES_ON:
            # What had ended well or was taken out stays so; the rest goes on.
            allowed = (allowed & {DeliveryState.DELIVERED, DeliveryState.DROPPED}) or _OPEN
        elif what in {"message.held", "message.dropped", "store.restored"}:
            # A person's word for the whole message: what had ended before stays as it was.
            allowed = allowed | _AFTER[what]
        elif what == "delivery.delivered" or DeliveryState.DELIVERED not in allowed or what == "delivery.failed":
            allowed = _AFTER.get(what, allowed)
        elif what == "delivery.reshaped":
            allowed = _AFTER[what]
    return allowed


def _is_overdue(due_at: datetime | None, now: datetime) -> bool:
    return due_at is not None and due_at + OVERDUE < now
