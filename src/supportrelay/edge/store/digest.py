"""What a digest tells, and that it was told. Long readings run on a thread (`StoreViews._list`)."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from supportrelay.core.digest import STATES, DigestEvent, DigestItem
from supportrelay.core.own_mail import OwnMail
from supportrelay.core.own_ports import DigestNews
from supportrelay.edge.store.crm_memory import note_duty
from supportrelay.edge.store.own_mail import insert_own_mail
from supportrelay.edge.store.rows import from_microseconds, pack_json, unpack_json

__all__ = ["digest_items", "digest_news", "tell_digest"]

# By the one index of unfinished mail. A mail of ours that did not reach an administrator is not told to him again
# (RELIABILITY C58).
_COUNT = """
SELECT count(*) FROM messages m INDEXED BY messages_at_work
WHERE m.state = ?2 AND m.state NOT IN ('delivered', 'filed') AND (m.state <> 'dead' OR NOT EXISTS
(SELECT 1 FROM own_mail o WHERE o.message = m.seq
 AND (o.kind IN ('digest', 'alert') OR o.recipient IN (SELECT value FROM json_each(?1)))))"""
_UNTOLD = """
SELECT m.seq FROM messages m INDEXED BY messages_at_work LEFT JOIN digest_told t ON t.message = m.seq
WHERE m.state = ?2 AND m.state NOT IN ('delivered', 'filed') AND (m.state <> 'dead' OR NOT EXISTS
(SELECT 1 FROM own_mail o WHERE o.message = m.seq
 AND (o.kind IN ('digest', 'alert') OR o.recipient IN (SELECT value FROM json_each(?1)))))
AND t.state IS NOT ?2 ORDER BY m.seq LIMIT ?3"""
_NEWEST = """
SELECT m.seq FROM messages m INDEXED BY messages_at_work
WHERE m.state = ?2 AND m.state NOT IN ('delivered', 'filed') AND (m.state <> 'dead' OR NOT EXISTS
(SELECT 1 FROM own_mail o WHERE o.message = m.seq
 AND (o.kind IN ('digest', 'alert') OR o.recipient IN (SELECT value FROM json_each(?1)))))
ORDER BY m.seq DESC LIMIT ?3"""
_STALE = """
SELECT t.message FROM digest_told t LEFT JOIN messages m ON m.seq = t.message WHERE m.state IS NOT t.state LIMIT ?"""
_MUTED = """
SELECT c.message FROM changes c JOIN messages m ON m.seq = c.message
WHERE c.id > ? AND c.id <= ? AND c.what = 'message.decided' AND c.why LIKE '%"direction":"automatic"%'
AND m.state = 'filed'"""
_EVENTS = "SELECT what, at, why FROM changes WHERE id > ? AND id <= ? AND what IN ({}) ORDER BY id LIMIT ?"
_TOLD_OF = ("owner.unreachable", "desk.move_refused", "desk.open_refused", "desk.record_refused")
_ITEM = """
SELECT m.queue_id, m.state, m.accepted_at, m.reverse_path, m.subject, x.decision, t.state,
(SELECT c.why FROM changes c WHERE c.message = m.seq AND c.what IN ('message.held', 'delivery.held')
 ORDER BY c.id DESC LIMIT 1),
(SELECT d.last_reply FROM deliveries d WHERE d.message = m.seq AND d.last_reply <> '' ORDER BY d.id LIMIT 1)
FROM messages m LEFT JOIN decisions x ON x.message = m.seq LEFT JOIN digest_told t ON t.message = m.seq
WHERE m.seq = ?"""
_STOPS = "SELECT key FROM robot_stops WHERE until > ? ORDER BY key LIMIT 20"
_MOST_UNTOLD = 10_000
_MOST_EVENTS = 50


def digest_news(connection: sqlite3.Connection, cursor: int | None, now: int, admins: Sequence[str]) -> DigestNews:
    """What there is to tell.

    Args:
        cursor: The last row of ``changes`` that was looked at; None begins here.
        admins: In comparing form.
    """
    last = int(connection.execute("SELECT coalesce(max(id), 0) FROM changes").fetchone()[0])
    since = last if cursor is None else cursor
    readers = pack_json(list(admins))
    counts = {state: int(connection.execute(_COUNT, (readers, state)).fetchone()[0]) for state in STATES}
    untold = [
        (row[0], state)
        for state in STATES
        for row in connection.execute(_UNTOLD, (readers, state, _MOST_UNTOLD)).fetchall()
    ]
    muted = [row[0] for row in connection.execute(_MUTED, (since, last)).fetchall()]
    marks = ", ".join("?" * len(_TOLD_OF))
    events = connection.execute(_EVENTS.format(marks), (since, last, *_TOLD_OF, _MOST_EVENTS)).fetchall()
    return DigestNews(
        cursor=last,
        counts=counts,
        untold=tuple(untold),
        muted=tuple(dict.fromkeys(muted)),
        events=tuple(DigestEvent(what, from_microseconds(at), unpack_json(why)) for what, at, why in events),
        stops=tuple(row[0] for row in connection.execute(_STOPS, (now,))),
        ended=tuple(row[0] for row in connection.execute(_STALE, (_MOST_UNTOLD,))),
    )


def digest_items(
    connection: sqlite3.Connection, seqs: Sequence[int], admins: Sequence[str], *, is_daily: bool, most: int
) -> list[DigestItem]:
    """The messages of a digest as it names them: these, for a daily one then all that are open, newest first."""
    chosen = dict.fromkeys(seqs[:most])
    if is_daily:
        for state in STATES:
            found = connection.execute(_NEWEST, (pack_json(list(admins)), state, most)).fetchall()
            chosen.update((row[0], None) for row in found)
    rows = [connection.execute(_ITEM, (seq,)).fetchone() for seq in list(chosen)[:most]]
    return [_item(row) for row in rows if row is not None]


def _item(row: tuple[Any, ...]) -> DigestItem:
    decision = unpack_json(row[5]) or {}
    held = unpack_json(row[7]) or {}
    return DigestItem(
        queue_id=row[0],
        state=row[1] if row[1] in STATES else "muted",
        at=from_microseconds(row[2]),
        who=_author(decision) or row[3],
        subject=row[4],
        decision=decision,
        held_why=str(held.get("why") or held.get("text") or ""),
        last_reply=row[8] or "",
        is_new=row[6] != row[1],
    )


def _author(decision: Mapping[str, Any]) -> str:
    for reason in decision.get("reasons", ()):
        if str(reason.get("code", "")).startswith("author."):
            found = reason.get("author") or reason.get("sender")
            if found:
                return str(found)
    return ""


def tell_digest(
    connection: sqlite3.Connection,
    mail: OwnMail | None,
    told: Sequence[tuple[int, str]],
    ended: Sequence[int],
    duty: str,
    holder: str,
    notes: Mapping[str, Any],
    now: int,
) -> None:
    """Put the digest into the queue; keep what it told and where it stands, and forget what is no longer so.

    Nothing at all when somebody else has the duty meanwhile: he tells it.
    """
    if connection.execute("SELECT 1 FROM duties WHERE name = ? AND holder = ?", (duty, holder)).fetchone() is None:
        return
    if mail is not None:
        insert_own_mail(connection, mail)
    connection.executemany(
        "INSERT OR REPLACE INTO digest_told (message, state, at) VALUES (?, ?, ?)", [(*one, now) for one in told]
    )
    connection.executemany("DELETE FROM digest_told WHERE message = ?", [(one,) for one in ended])
    note_duty(connection, duty, holder, notes)
