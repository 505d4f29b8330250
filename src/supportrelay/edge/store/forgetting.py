"""One person's data: what is kept of an address, and removing what may go (docs/privacy.md).

His are the mails he wrote, colleagues' mails whose customer he is, and mails to nobody but him. They go whole when they
are over. Where others' records name him his address becomes `FORGOTTEN`. Others' mails that name him are theirs: they
stay as they came, and are counted.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any

from supportrelay.core.ticket import Stage, ticket_label
from supportrelay.core.value import value_class
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.contents import ContentFiles
from supportrelay.edge.store.directory import bump_version
from supportrelay.edge.store.removal import IS_FINISHED, zeroing
from supportrelay.edge.store.rows import address_key, pack_json, unpack_json

__all__ = ["FORGOTTEN", "Known", "known_of", "record", "steps"]

FORGOTTEN = "(forgotten)"

Step = Callable[[sqlite3.Connection], dict[str, int]]

_PIECE = 500
_CONTENTS_A_PIECE = 100
_LOOKED_AT_OCTETS = 256 * 1024
_A_COMMIT = 200
_NAMED_IDS = 100

_MESSAGES = f"""
SELECT m.seq, m.queue_id, m.reverse_path, m.forward_paths, x.direction, x.customer, x.decision, x.copy_plan,
{IS_FINISHED}
FROM messages m LEFT JOIN decisions x ON x.message = m.seq WHERE m.seq > ? ORDER BY m.seq LIMIT ?"""  # noqa: S608
_CONTENTS = """
SELECT c.message, m.queue_id, c.octets, c.file FROM contents c JOIN messages m ON m.seq = c.message
WHERE c.message > ? ORDER BY c.message LIMIT ?"""
_CHANGES = "SELECT id, message, delivery_id, who, why FROM changes WHERE id > ? ORDER BY id LIMIT ?"
_CUSTOMER_OF = "SELECT id, stage, merged_into FROM tickets WHERE customer = ?"
_TICKET_OF = """
SELECT c.ticket_id FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE m.seq = ?"""
_HAS_MAIL = """
SELECT 1 FROM conversations c JOIN messages m ON m.conversation_id = c.id WHERE c.ticket_id = ? LIMIT 1"""


@value_class
class Known:
    """What is kept of an address, as row numbers.

    Attributes:
        address: Comparing form.
        messages: His, and over. unfinished: His queue ids that are not; they stay.
        decisions: Others' messages, over, whose decision names him. changes: Rows of the record that do, or that are
            about a copy of his.
        naming: Queue ids of others' mails that name him in plain text, at most 100. naming_count: how many there are.
        tickets: Whose customer he is, but those with a mail of his that is not over. participations: likewise, where
            he takes part. open_tickets: those of the former that are not closed, as people write them.
        is_contact, is_user: Of the builtin CRM; has an account here.
        answers: Of a CRM, ``(kind, key)``.
    """

    address: str
    messages: tuple[int, ...] = ()
    unfinished: tuple[str, ...] = ()
    decisions: tuple[int, ...] = ()
    changes: tuple[int, ...] = ()
    naming: tuple[str, ...] = ()
    naming_count: int = 0
    tickets: tuple[int, ...] = ()
    open_tickets: tuple[str, ...] = ()
    participations: tuple[int, ...] = ()
    is_contact: bool = False
    is_user: bool = False
    answers: tuple[tuple[str, str], ...] = ()
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", _pattern_of(self.address))

    def without(self, text: str) -> str:
        """The text without the address."""
        return self._pattern.sub(FORGOTTEN, text)


def _pattern_of(address: str) -> re.Pattern[str]:
    """The address and no longer one: not ``joann@``, not ``@x.test.example``."""
    return re.compile(rf"(?<![\w.+=%-]){re.escape(address)}(?![\w-]|\.\w)", re.IGNORECASE)


# -- finding --


def known_of(connection: sqlite3.Connection, address: str, contents: ContentFiles) -> Known:
    """Walk the store for an address in comparing form; slow, on a thread."""
    pattern = _pattern_of(address)
    his, unfinished, decisions = _messages_of(connection, address, pattern)
    named, count = _naming(connection, address, pattern, {*his, *unfinished}, contents)
    needed = {row[0] for seq in unfinished for row in connection.execute(_TICKET_OF, (seq,))}
    tickets = [row for row in connection.execute(_CUSTOMER_OF, (address,)) if row[0] not in needed]
    places = _column(connection, "SELECT ticket_id FROM participants WHERE address = ?", address)
    return Known(
        address=address,
        messages=tuple(his),
        unfinished=tuple(unfinished.values()),
        decisions=tuple(decisions),
        changes=tuple(_changes_of(connection, address, pattern, his, {*unfinished})),
        naming=tuple(named),
        naming_count=count,
        tickets=tuple(row[0] for row in tickets),
        open_tickets=tuple(ticket_label(row[0]) for row in tickets if row[1] != Stage.CLOSED and row[2] is None),
        participations=tuple(one for one in places if one not in needed),
        is_contact=bool(_column(connection, "SELECT 1 FROM contacts WHERE address = ?", address)),
        is_user=bool(_column(connection, "SELECT 1 FROM users WHERE name = ?", address)),
        answers=tuple(
            (kind, key)
            for kind, key, body in connection.execute("SELECT kind, key, body FROM crm_answers")
            if key == address or (address in body.lower() and pattern.search(body))
        ),
    )


def _column(connection: sqlite3.Connection, sql: str, value: str) -> tuple[Any, ...]:
    return tuple(row[0] for row in connection.execute(sql, (value,)))


def _walk(connection: sqlite3.Connection, sql: str, piece: int) -> Iterator[Any]:
    """All rows of a query that goes on behind a number."""
    after = 0
    while rows := connection.execute(sql, (after, piece)).fetchall():
        yield from rows
        after = rows[-1][0]


def _messages_of(
    connection: sqlite3.Connection, address: str, pattern: re.Pattern[str]
) -> tuple[list[int], dict[int, str], list[int]]:
    """``(his that are over, his that are not, others' decisions that name him)``."""
    his: list[int] = []
    unfinished: dict[int, str] = {}
    decisions: list[int] = []
    for row in _walk(connection, _MESSAGES, _PIECE):
        seq, queue_id, reverse_path, forward_paths, direction, customer, decision, plan, is_finished = row
        told = [text for text in (reverse_path, forward_paths, customer, decision, plan) if text]
        if not any(address in text.lower() for text in told):
            continue
        author, envelope = _author(decision), (reverse_path, unpack_json(forward_paths))
        if _is_his(address, envelope, author, customer if direction == "outbound" else ""):
            if is_finished:
                his.append(seq)
            else:
                unfinished[seq] = queue_id
        elif is_finished and any(pattern.search(text) for text in (customer, decision, plan) if text):
            decisions.append(seq)
    return his, unfinished, decisions


def _is_his(address: str, envelope: tuple[str, list[str]], author: str, customer: str | None) -> bool:
    reverse_path, forward_paths = envelope
    return address in {address_key(reverse_path), author, customer} or {
        address_key(path) for path in forward_paths
    } == {address}


def _author(decision: str | None) -> str:
    """Who wrote, as the reasons of a decision say; "" when they don't."""
    for reason in (unpack_json(decision) or {}).get("reasons") or ():
        if str(reason.get("code", "")).startswith("author."):
            return str(reason.get("author") or "")
    return ""


def _naming(
    connection: sqlite3.Connection,
    address: str,
    pattern: re.Pattern[str],
    his: set[int],
    contents: ContentFiles,
) -> tuple[list[str], int]:
    """Others' mails that name him where it can be read without decoding: queue ids, at most 100, and how many."""
    found: list[str] = []
    count = 0
    wanted = address.encode("utf-8", "replace")
    for number, queue_id, octets, file in _walk(connection, _CONTENTS, _CONTENTS_A_PIECE):
        if number in his:
            continue
        begin = (octets if octets is not None else _beginning(contents, file))[:_LOOKED_AT_OCTETS].lower()
        if wanted in begin and pattern.search(begin.decode("utf-8", "replace")):
            count += 1
            if len(found) < _NAMED_IDS:
                found.append(queue_id)
    return found, count


def _beginning(contents: ContentFiles, file: str | None) -> bytes:
    try:
        return contents.read(file) if file else b""
    except (KeyError, OSError):
        return b""


def _changes_of(
    connection: sqlite3.Connection,
    address: str,
    pattern: re.Pattern[str],
    his: Sequence[int],
    unfinished: set[int],
) -> Iterator[int]:
    """Rows that name him and stay, and those about copies that go; what is not over keeps its record."""
    left_alone = {*his, *unfinished}
    copies = {
        row[0] for one in his for row in connection.execute("SELECT id FROM deliveries WHERE message = ?", (one,))
    }
    for number, message, delivery_id, who, why in _walk(connection, _CHANGES, _PIECE):
        if message in left_alone:
            continue
        names_him = (address in who.lower() or address in why.lower()) and (pattern.search(who) or pattern.search(why))
        if names_him or delivery_id in copies:
            yield number


# -- removing --


def steps(known: Known) -> Iterator[Step]:
    """What is done after his messages are gone, a commit each."""
    yield lambda c: _leave_tickets(c, known)
    yield lambda c: _leave_lists(c, known)
    for begin in range(0, len(known.decisions), _A_COMMIT):
        yield lambda c, some=known.decisions[begin : begin + _A_COMMIT]: _mask_decisions(c, known, some)  # type: ignore[misc]
    for begin in range(0, len(known.changes), _A_COMMIT):
        yield lambda c, some=known.changes[begin : begin + _A_COMMIT]: _mask_changes(c, known, some)  # type: ignore[misc]


def _leave_tickets(connection: sqlite3.Connection, known: Known) -> dict[str, int]:
    """His tickets stay without him; the subject goes too when no mail of it is left."""
    with zeroing(connection):
        for number in known.tickets:
            connection.execute(
                "UPDATE tickets SET customer = '', customer_domain = '', version = version + 1 WHERE id = ?", (number,)
            )
            if connection.execute(_HAS_MAIL, (number,)).fetchone() is None:
                connection.execute(
                    "UPDATE tickets SET subject = '', subject_key = '', customer_message_ids = '' WHERE id = ?",
                    (number,),
                )
                connection.execute("UPDATE conversations SET subject_key = '' WHERE ticket_id = ?", (number,))
        places = [(known.address, number) for number in known.participations]
        connection.executemany("DELETE FROM participants WHERE address = ? AND ticket_id = ?", places)
    return {"tickets": len(known.tickets), "participants": len(places)}


def _leave_lists(connection: sqlite3.Connection, known: Known) -> dict[str, int]:
    """The builtin CRM, what another CRM said, and short-lived counts."""
    address = known.address
    with zeroing(connection):
        contacts = connection.execute("DELETE FROM contacts WHERE address = ?", (address,)).rowcount
        if contacts:
            bump_version(connection)
        answers = connection.executemany("DELETE FROM crm_answers WHERE kind = ? AND key = ?", known.answers).rowcount
        connection.execute("DELETE FROM hard_failures WHERE address = ?", (address,))
        connection.execute("DELETE FROM absences WHERE address = ?", (address,))
        connection.execute("DELETE FROM alarms WHERE instr(key, ?)", (address,))
        for kind, key, facts in connection.execute("SELECT kind, key, facts FROM alarms").fetchall():
            if known.without(facts) != facts:
                values = (known.without(facts), kind, key)
                connection.execute("UPDATE alarms SET facts = ? WHERE kind = ? AND key = ?", values)
        for table in ("robot_mail", "robot_stops"):
            connection.execute(f"DELETE FROM {table} WHERE instr(key, ?)", (address,))  # noqa: S608  two constants
    return {"contacts": contacts, "answers": max(answers, 0)}


def _mask_decisions(connection: sqlite3.Connection, known: Known, numbers: Sequence[int]) -> dict[str, int]:
    with zeroing(connection):
        for number in numbers:
            row = connection.execute(
                "SELECT customer, copy_plan, decision FROM decisions WHERE message = ?", (number,)
            ).fetchone()
            if row is not None:
                customer = "" if row[0] == known.address else row[0]
                plan = None if row[1] is None else _plan_without(known, row[1])
                connection.execute(
                    "UPDATE decisions SET customer = ?, copy_plan = ?, decision = ? WHERE message = ?",
                    (customer, plan, known.without(row[2]), number),
                )
    return {"decisions": len(numbers)}


def _plan_without(known: Known, text: str) -> str:
    """A copy that is tried again does not name him to those who answer."""
    plan = unpack_json(text)
    if plan.get("reply_to"):
        plan["reply_to"] = [one for one in plan["reply_to"] if known.without(one) == one]
    return known.without(pack_json(plan))


def _mask_changes(connection: sqlite3.Connection, known: Known, numbers: Sequence[int]) -> dict[str, int]:
    """Without his address; and without a copy that is gone."""
    with zeroing(connection):
        for number in numbers:
            row = connection.execute("SELECT who, why FROM changes WHERE id = ?", (number,)).fetchone()
            if row is not None:
                connection.execute(
                    "UPDATE changes SET who = ?, why = ?, delivery_id = "
                    "(SELECT d.id FROM deliveries d WHERE d.id = changes.delivery_id) WHERE id = ?",
                    (known.without(row[0]), known.without(row[1]), number),
                )
    return {"changes": len(numbers)}


def record(connection: sqlite3.Connection, counts: dict[str, Any], who: str, now: int) -> None:
    """That somebody was forgotten, by whom, and how much it was; not who."""
    write_change(connection, change_row(now, "person.forgotten", who, counts))
