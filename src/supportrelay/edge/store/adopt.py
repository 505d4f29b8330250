"""Taking over tickets that were at the outside desk before us: a mirror of each, so that later mail finds it."""

import sqlite3
from collections.abc import Callable, Sequence

from supportrelay.core.adoption import AdoptableTicket, Adopted, Adoption
from supportrelay.core.subject import normalise_subject
from supportrelay.core.ticket import Stage
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.desk import key_of
from supportrelay.edge.store.lookup import SEEN
from supportrelay.edge.store.rows import clean_text, to_microseconds

__all__ = ["adopt"]

_TICKET = """
INSERT INTO tickets (stage, created_at, updated_at, closed_at, last_mail_at, address, subject, subject_key, customer,
customer_domain, company_id, company_name, deal_id, deal_name, owners, priority, external_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '[]', '', ?)"""
_DESK_TICKET = """
INSERT INTO desk_tickets (ticket_id, external_id, written_stage_id, written_at, looked_at) VALUES (?, ?, ?, ?, ?)"""
_KNOWN_ID = "INSERT OR IGNORE INTO known_ids (message_id, conversation_id, kind) VALUES (?, ?, ?)"
_MOST_PEOPLE = 200


def adopt(
    connection: sqlite3.Connection,
    tickets: Sequence[AdoptableTicket],
    now: int,
    *,
    address: str,
    domain_of: Callable[[str], str],
    subject_tags: Sequence[str] = (),
    who: str = "relay",
    dry_run: bool = False,
) -> Adoption:
    """Make a mirror of each that has none; asking again makes none twice.

    Args:
        tickets: As the desk has them; one that is ours already, by its id there or by our key on it, is left alone.
        now: Microseconds since 1970.
        address: Name of the support address that they belong to from now on.
        domain_of: Registrable domain of an address in comparing form, "" for one of a free-mail provider.
        subject_tags: As configured; left out of subjects when they are compared.
        who: For ``changes``.
        dry_run: Nothing is written.
    """
    instance = str(connection.execute("SELECT value FROM meta WHERE name = 'instance_id'").fetchone()[0])
    ours = _our_keys(connection, instance) if any(ticket.key for ticket in tickets) else frozenset()
    adopted: dict[str, Adopted] = {}
    for ticket in tickets:
        if ticket.external_id in adopted or ticket.key in ours or _is_known(connection, ticket.external_id):
            continue
        customer = clean_text(ticket.contacts[0]) if ticket.contacts else ""
        made = Adopted(ticket.external_id, ticket.subject, customer)
        if not dry_run:
            key = normalise_subject(ticket.subject, subject_tags)
            domain = domain_of(customer) if customer else ""
            number = _insert(connection, ticket, now, (address, key, customer, domain))
            why = {"external_id": ticket.external_id, "to": str(ticket.stage)}
            write_change(connection, change_row(now, "ticket.adopted", who, why, ticket_id=number))
            made = Adopted(ticket.external_id, ticket.subject, customer, number, key_of(instance, number))
        adopted[ticket.external_id] = made
    return Adoption(tuple(adopted.values()), len({ticket.external_id for ticket in tickets}) - len(adopted))


def _our_keys(connection: sqlite3.Connection, instance: str) -> frozenset[str]:
    rows = connection.execute("SELECT ticket_id FROM desk_tickets")
    return frozenset(key_of(instance, row[0]) for row in rows)


def _is_known(connection: sqlite3.Connection, external_id: str) -> bool:
    sql = "SELECT 1 FROM desk_tickets WHERE external_id = ?"
    return connection.execute(sql, (clean_text(external_id),)).fetchone() is not None


def _insert(connection: sqlite3.Connection, ticket: AdoptableTicket, now: int, ours: tuple[str, str, str, str]) -> int:
    """The ticket, its conversation with the ids of its mails, its people, and its row for the desk."""
    address, subject_key, customer, customer_domain = ours
    external_id = clean_text(ticket.external_id)
    # The desk's clock may be ahead; nothing here happens later than now.
    created_at, updated_at = (min(to_microseconds(at), now) for at in (ticket.created_at, ticket.updated_at))
    row = (
        ticket.stage,
        created_at,
        updated_at,
        updated_at if ticket.stage == Stage.CLOSED else None,
        updated_at,
        address,
        clean_text(ticket.subject),
        clean_text(subject_key),
        customer,
        customer_domain,
        ticket.company_id,
        clean_text(ticket.company_name),
        # Of several deals nobody here can tell which one it is about; the directory is asked with the next mail.
        ticket.deal_ids[0] if len(ticket.deal_ids) == 1 else "",
        external_id,
    )
    number = connection.execute(_TICKET, row).lastrowid
    assert number is not None
    conversation = connection.execute(
        "INSERT INTO conversations (ticket_id, subject_key) VALUES (?, ?)", (number, clean_text(subject_key))
    ).lastrowid
    ids = [clean_text(message_id) for message_id in ticket.message_ids if message_id]
    connection.executemany(_KNOWN_ID, [(message_id, conversation, SEEN) for message_id in ids])
    connection.executemany(
        "INSERT OR IGNORE INTO participants (ticket_id, address) VALUES (?, ?)",
        [(number, clean_text(contact)) for contact in ticket.contacts[:_MOST_PEOPLE]],
    )
    written_at = to_microseconds(ticket.updated_at)
    connection.execute(_DESK_TICKET, (number, external_id, clean_text(ticket.stage_id), written_at, now))
    return number
