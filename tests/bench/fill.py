"""Put a long past into a store by SQL: tickets with their conversations and messages, and deliveries that wait."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

__all__ = ["fill"]

_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000
_PEER = json.dumps(
    {"ip": "192.0.2.7", "helo": "mail.test", "role": "mx", "is_trusted": False, "gateway": "", "tls": "", "user": ""}
)
_FREE = """
SELECT max(coalesce((SELECT max(seq) FROM messages), 0), coalesce((SELECT max(id) FROM tickets), 0)) + 1"""

# One row a ticket in each table. :first is the lowest free message number, :tickets how many. Every hundredth ticket is
# of a customer who writes during the bench; the others are spread over 50,000 companies. Four in five are closed.
_PAST = (
    "CREATE TEMP TABLE past (n INTEGER PRIMARY KEY, at INTEGER, customer TEXT, domain TEXT)",
    """
    WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :tickets)
    INSERT INTO past
    SELECT n, :now - (:tickets - n) * (:day * 700 / :tickets) - :day,
      CASE WHEN n % 100 = 0 THEN 'anna' ELSE 'person' || (n % 200000) END,
      CASE WHEN n % 100 = 0 THEN 'company' || (n / 100 % 10) ELSE 'customer' || (n % 50000) END || '.test'
    FROM counted""",
    """
    UPDATE past SET customer = customer || '@' || domain""",
    """
    INSERT INTO tickets (id, stage, created_at, updated_at, closed_at, last_mail_at, last_customer_mail_at, address,
      subject, subject_key, customer, customer_domain, company_id, company_name, deal_id, deal_name, owners, priority)
    SELECT :first + n, iif(n % 5 = 0, 'NEW', 'CLOSED'), at, at, iif(n % 5 = 0, NULL, at), at, at,
      'desk', 'Question ' || n || ' about an order', 'question ' || n || ' about an order', customer, domain,
      n % 50000, 'Customer ' || (n % 50000), n % 60000, 'Contract', '["owner1@desk.test"]', '' FROM past""",
    """
    INSERT INTO conversations (id, ticket_id, subject_key)
    SELECT :first + n, :first + n, 'question ' || n || ' about an order' FROM past""",
    """
    INSERT INTO messages (seq, queue_id, state, accepted_at, conversation_id, size_octets, is_smtputf8, message_id,
      subject, reverse_path, forward_paths, peer)
    SELECT :first + n, 'past' || n, 'delivered', at, :first + n, 4500, 0, '<past' || n || '@' || domain || '>',
      'Question ' || n || ' about an order', customer, '["support@desk.test"]', :peer FROM past""",
    "INSERT INTO known_ids SELECT '<past' || n || '@' || domain || '>', :first + n, 1 FROM past",
    "INSERT INTO participants SELECT :first + n, customer FROM past",
    "INSERT INTO arrivals SELECT hex(n * 2654435761 % 4294967296) || 'past' || n, :first + n FROM past",
    """
    INSERT INTO decisions (message, is_inbound, sent_at, direction, place, address_name, customer, copy_plan, decision)
    SELECT :first + n, 1, at, 'inbound', 'to', 'desk', customer, NULL, '{}' FROM past""",
    """
    INSERT INTO changes (at, what, who, message, ticket_id, why)
    SELECT at, 'message.accepted', 'relay', :first + n, NULL, '{"size_octets":4500,"ip":"192.0.2.7"}' FROM past""",
    """
    INSERT INTO changes (at, what, who, message, ticket_id, why)
    SELECT at, 'ticket.opened', 'mail:' || customer, :first + n, :first + n, '{"stage":"NEW"}' FROM past""",
)

# The newest messages of the past become undelivered ones: refused for now, due again when the bench is long over.
_QUEUE = (
    """
    UPDATE messages SET state = 'composed', due_at = :now, accepted_at = :now
    WHERE seq >= :first + :tickets - :queued AND seq < :first + :tickets""",
    """
    INSERT INTO contents (message, octets)
    SELECT seq, zeroblob(4500) FROM messages WHERE state = 'composed'""",
    """
    INSERT INTO deliveries (message, state, due_at, attempts, begun_at, kind, recipient, recipient_key, why,
      new_message_id, last_reply)
    SELECT seq, 'deferred', :now + 12 * :hour + seq % 3600 * 1000000, 3, :now, 'owner', 'owner1@desk.test',
      'owner1@desk.test', 'owner', '', '451 4.3.0 try again later' FROM messages WHERE state = 'composed'""",
)


def fill(database: Path, *, tickets: int, queued: int) -> None:
    """Insert as many rows; the daemon must not be running.

    Args:
        database: An SQLite store whose schema is up to date.
        tickets: Tickets of the last two years, a mail each.
        queued: Deferred deliveries, due in twelve hours; at most as many as tickets.
    """
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        values = {
            "first": connection.execute(_FREE).fetchone()[0],
            "tickets": tickets,
            "queued": min(queued, tickets),
            "now": int(time.time() * 1_000_000),
            "day": _DAY,
            "hour": _HOUR,
            "peer": _PEER,
        }
        for statement in _PAST + _QUEUE:
            connection.execute(statement, values)
        connection.commit()
        connection.execute("PRAGMA optimize")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
