"""What follows from a change for people who have to hear of it: noted in the transaction of that change (F36)."""

import sqlite3
from datetime import timedelta

from supportrelay.core.alarm import DOWN_FOR, Alarm, AlarmKind
from supportrelay.core.delivery import Cause, DeliveryForm, DeliveryKind, DeliveryState, Outcome, OutcomeKind, Phase
from supportrelay.core.ladder import is_about_the_mail
from supportrelay.core.own_mail import OwnKind
from supportrelay.core.ports import Attempted
from supportrelay.edge.store.alarms import raise_alarm
from supportrelay.edge.store.own_mail import is_own_mail

__all__ = ["alarm_held", "owe_after_attempt", "owe_when_dead"]

_DELAY_AFTER = int(timedelta(hours=4).total_seconds()) * 1_000_000
_DOWN_FOR = int(DOWN_FOR.total_seconds()) * 1_000_000
_NOT_REACHED = frozenset({Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.TLS, Phase.AUTH})

# A report may be owed again, for recipients who fail later; a delay is told once.
_REPORT = """
INSERT INTO reports_owed (message, kind, due_at) VALUES (?, ?, ?)
ON CONFLICT (message, kind) DO UPDATE SET due_at = excluded.due_at"""
_DELAY = "INSERT OR IGNORE INTO reports_owed (message, kind, due_at) VALUES (?, ?, ?)"
_COPY = """
SELECT d.kind, d.form, d.recipient, m.queue_id, m.accepted_at FROM deliveries d JOIN messages m ON m.seq = d.message
WHERE d.id = ?"""


def owe_when_dead(connection: sqlite3.Connection, seq: int, now: int) -> None:
    """Nobody got a message: its author is owed a report. One of our own is an alarm instead, and no mail about it."""
    if not is_own_mail(connection, seq):
        connection.execute(_REPORT, (seq, OwnKind.REPORT, now))
        return
    for recipient, queue_id in connection.execute(
        "SELECT d.recipient, m.queue_id FROM deliveries d JOIN messages m ON m.seq = d.message WHERE d.message = ?",
        (seq,),
    ).fetchall():
        facts = {"recipient": recipient, "queue_id": queue_id}
        raise_alarm(connection, Alarm(AlarmKind.OWN_MAIL_FAILED, recipient, facts), now)


def owe_after_attempt(connection: sqlite3.Connection, attempted: Attempted, now: int) -> None:
    """An attempt ended without delivery."""
    a = attempted
    kind, form, recipient, queue_id, accepted_at = connection.execute(_COPY, (a.delivery_id,)).fetchone()
    _alarm_next_hop(connection, a.outcome, now)
    if form == DeliveryForm.NOTICE and a.state == DeliveryState.FAILED and is_about_the_mail(a.outcome):
        facts = {"queue_id": queue_id, "recipient": recipient, "text": a.outcome.reply}
        raise_alarm(connection, Alarm(AlarmKind.REFUSED_IN_EVERY_FORM, queue_id, facts), now)
    if kind != DeliveryKind.SUBMITTED:
        return
    seq = connection.execute("SELECT message FROM deliveries WHERE id = ?", (a.delivery_id,)).fetchone()[0]
    if a.state == DeliveryState.FAILED:
        connection.execute(_REPORT, (seq, OwnKind.REPORT, now))
    elif now - accepted_at >= _DELAY_AFTER:
        connection.execute(_DELAY, (seq, OwnKind.DELAY, now))


def _alarm_next_hop(connection: sqlite3.Connection, outcome: Outcome, now: int) -> None:
    """A server that refuses us, or none that can be reached for a while."""
    facts = {"host": outcome.host, "text": outcome.reply}
    if outcome.cause == Cause.OURS:
        raise_alarm(connection, Alarm(AlarmKind.SMARTHOST_REFUSES_US, outcome.host, facts), now)
    elif outcome.kind == OutcomeKind.DEFERRED and outcome.host and outcome.phase in _NOT_REACHED:
        raise_alarm(connection, Alarm(AlarmKind.SMARTHOST_DOWN, "", facts), now, after=_DOWN_FOR)


def alarm_held(connection: sqlite3.Connection, queue_id: str, why: str, now: int) -> None:
    """A message is held because it cannot be handled; a person has to look."""
    facts = {"queue_id": queue_id, "text": why}
    raise_alarm(connection, Alarm(AlarmKind.STATION_BROKE, queue_id, facts), now)
