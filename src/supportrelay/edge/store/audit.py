"""The audit's look at the store: in small pieces on a connection of its own, so that mail is not kept waiting."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from supportrelay.core.audit import AuditedCopy, AuditedMessage, AuditReport, Finding, findings_of
from supportrelay.edge.store.database import connect
from supportrelay.edge.store.deliveries import state_after
from supportrelay.edge.store.rows import address_key, from_microseconds, to_microseconds, unpack_json

__all__ = ["audit"]

_AT_A_TIME = 100
_MESSAGES = """
SELECT m.seq, m.queue_id, m.state, m.due_at, m.holder, m.size_octets, m.failover_at, length(c.octets), c.file,
c.message IS NOT NULL, x.decision FROM messages m LEFT JOIN contents c ON c.message = m.seq
LEFT JOIN decisions x ON x.message = m.seq
WHERE m.seq > ?1 AND m.accepted_at >= ?2 AND m.accepted_at < ?3 ORDER BY m.seq LIMIT ?4"""
_COPIES = """
SELECT id, recipient, recipient_key, state, kind, due_at, holder FROM deliveries WHERE message = ? ORDER BY id"""
_CHANGES = "SELECT what, delivery_id, why FROM changes WHERE message = ? ORDER BY id"
# What was accepted and has no row any more. The record of the period is walked by its own number.
_LOST = """
SELECT c.message, c.at FROM changes c LEFT JOIN messages m ON m.seq = c.message
WHERE c.id > ?1 AND c.id <= ?2 AND c.what = 'message.accepted' AND m.seq IS NULL AND c.at >= ?3 AND c.at < ?4"""
_CHANGES_AT_A_TIME = 20_000
_OF_PERSONS = frozenset({"message.retried", "message.released", "message.held", "message.dropped", "store.restored"})
_REMOVED = frozenset({"message.content_removed"})


def audit(
    path: Path,
    since: datetime,
    until: datetime,
    now: datetime,
    *,
    most_findings: int = 1000,
    rest: Callable[[], None] = lambda: None,
) -> AuditReport:
    """The account of what was accepted from ``since`` up to ``until``. Blocks: call it on a thread.

    Args:
        rest: Called between two pieces; may sleep.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    connection = connect(path, read_only=True, cache_kib=4096)
    try:
        return _Account(connection, path.parent / "contents", since, until, now, most_findings).made(rest)
    finally:
        connection.close()


class _Account:
    def __init__(
        self,
        connection: sqlite3.Connection,
        contents: Path,
        since: datetime,
        until: datetime,
        now: datetime,
        most_findings: int,
    ) -> None:
        self._connection = connection
        self._contents = contents
        self._since, self._until, self._now = since, until, now
        self._most = most_findings
        self._states: Counter[str] = Counter()
        self._recipients: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._findings: list[Finding] = []
        self._count = 0

    def made(self, rest: Callable[[], None]) -> AuditReport:
        last = 0
        while True:
            with _snapshot(self._connection):
                rows = self._connection.execute(_MESSAGES, (last, *self._period(), _AT_A_TIME)).fetchall()
                for row in rows:
                    self._take(row)
            if not rows:
                break
            last = rows[-1][0]
            rest()
        lost = sum(self._lost(rest))
        return AuditReport(
            since=self._since,
            until=self._until,
            accepted=sum(self._states.values()) + lost,
            states=dict(self._states),
            recipients={recipient: dict(states) for recipient, states in sorted(self._recipients.items())},
            findings=tuple(self._findings),
            finding_count=self._count,
        )

    def _period(self) -> tuple[int, int]:
        return to_microseconds(self._since), to_microseconds(self._until)

    def _note(self, finding: Finding) -> None:
        self._count += 1
        if len(self._findings) < self._most:
            self._findings.append(finding)

    def _lost(self, rest: Callable[[], None]) -> Iterator[int]:
        (first, last) = self._connection.execute(
            "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM changes"
        ).fetchone()
        for start in range(first - 1, last, _CHANGES_AT_A_TIME):
            end = min(start + _CHANGES_AT_A_TIME, last)
            for message, at in self._connection.execute(_LOST, (start, end, *self._period())).fetchall():
                self._note(Finding("message_lost", "", {"row": message, "accepted_at": from_microseconds(at)}))
                yield 1
            rest()

    def _take(self, row: Sequence[Any]) -> None:
        message = self._message(row)
        self._states[message.state] += 1
        for copy in message.copies:
            self._recipients[copy.recipient][copy.state] += 1
        for finding in findings_of(message, self._now):
            self._note(finding)

    def _message(self, row: Sequence[Any]) -> AuditedMessage:
        seq, queue_id, state, due_at, holder, size, failover_at, octets, file, has_content, decision = row
        changes = self._connection.execute(_CHANGES, (seq,)).fetchall()
        rows = self._connection.execute(_COPIES, (seq,)).fetchall()
        ids = {one[0] for one in rows}
        expected = ""
        if rows:
            expected = state_after([(one[3], one[4]) for one in rows], failover_made=failover_at is not None)[0]
        return AuditedMessage(
            queue_id=queue_id,
            state=state,
            expected_state=str(expected),
            size_octets=size,
            content_octets=self._size_of(file) if file else octets if has_content else None,
            was_removed=any(what in _REMOVED for what, _, _ in changes),
            due_at=None if not due_at else from_microseconds(due_at),
            is_leased=holder is not None,
            planned=_planned(decision, changes),
            copies=[_copy(one, changes) for one in rows],
            lost_copies=self._gone({one for _, one, _ in changes if one is not None} - ids),
            changes=frozenset(what for what, _, _ in changes),
        )

    def _gone(self, delivery_ids: set[int]) -> list[int]:
        """A report's changes name copies of another message; those are somewhere."""
        return [
            one
            for one in sorted(delivery_ids)
            if self._connection.execute("SELECT 1 FROM deliveries WHERE id = ?", (one,)).fetchone() is None
        ]

    def _size_of(self, file: str) -> int | None:
        try:
            return (self._contents / file).stat().st_size
        except OSError:
            return None


def _planned(decision: str | None, changes: Sequence[Any]) -> frozenset[str]:
    """Whom the decision, and Allmember's turn, gave a copy."""
    named = [one["address"] for one in unpack_json(decision).get("copies") or ()] if decision else []
    for what, _, why in changes:
        if what == "message.failover":
            named += unpack_json(why).get("recipients") or []
    return frozenset(address_key(one) for one in named)


def _copy(row: Sequence[Any], changes: Sequence[Any]) -> AuditedCopy:
    delivery_id, recipient, key, state, _kind, due_at, holder = row
    told = tuple(
        what
        for what, about, _ in changes
        if (about == delivery_id and what.startswith("delivery.") and what != "delivery.reported")
        or (about is None and what in _OF_PERSONS)
    )
    return AuditedCopy(
        delivery_id=delivery_id,
        recipient=recipient,
        recipient_key=key,
        state=state,
        changes=told,
        due_at=None if not due_at else from_microseconds(due_at),
        is_leased=holder is not None,
    )


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """One read transaction, so that a message and its copies are of the same instant."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
