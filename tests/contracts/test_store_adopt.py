"""Tickets that were at the desk before us get a mirror, once, and later mail finds it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from contracts.store_samples import T0, a_lease, accept_and_settle, after, an_opening_settlement, from_ids
from supportrelay.core.adoption import AdoptableTicket, Adoption
from supportrelay.core.ports import DeskOrder, WhereFrom
from supportrelay.core.ticket import HitBy, Stage
from supportrelay.edge.store import SqliteStore

THERE = AdoptableTicket(
    external_id="5001",
    stage=Stage.WAITING,
    stage_id="2",
    subject="Re: Printer on fire",
    contacts=("jane@customer.example", "boss@customer.example"),
    company_id="71",
    company_name="Customer Ltd",
    deal_ids=("81",),
    message_ids=("<a@customer.example>", "<b@relay.example>"),
    created_at=T0 - timedelta(days=3),
    updated_at=T0 - timedelta(hours=1),
)


async def adopt(store: SqliteStore, *tickets: AdoptableTicket, dry_run: bool = False) -> Adoption:
    return await store.adopt(
        tickets,
        T0,
        address="support",
        domain_of=lambda address: address.partition("@")[2],
        who="person:kim",
        dry_run=dry_run,
    )


async def test_an_adopted_ticket_is_found_by_the_ids_of_its_mails(store: SqliteStore) -> None:
    adoption = await adopt(store, THERE)
    (adopted,) = adoption.adopted

    for message_id in THERE.message_ids:
        (hit,) = (await store.gather(from_ids(message_id))).hits
        assert (hit.by, hit.ticket.id, hit.is_anchor) == (HitBy.IN_REPLY_TO, adopted.ticket_id, False)
    assert (hit.ticket.stage, hit.ticket.customer, hit.ticket.customer_domain) == (
        Stage.WAITING,
        "jane@customer.example",
        "customer.example",
    )
    assert (hit.ticket.company_id, hit.ticket.deal_id) == ("71", "81")
    assert hit.ticket.participants == set(THERE.contacts)
    assert (hit.ticket.created_at, hit.ticket.updated_at) == (THERE.created_at, THERE.updated_at)
    assert (adoption.known, len(adopted.key)) == (0, 64)


async def test_it_is_found_by_its_customer_and_subject_too(store: SqliteStore) -> None:
    (adopted,) = (await adopt(store, THERE)).adopted
    asked = WhereFrom(
        customer="jane@customer.example",
        subject="printer on fire",
        subject_since=T0 - timedelta(days=14),
        address="support",
    )

    assert [hit.ticket.id for hit in (await store.gather(asked)).hits] == [adopted.ticket_id]


async def test_it_shows_where_it_came_from(store: SqliteStore) -> None:
    (adopted,) = (await adopt(store, THERE)).adopted

    shown: dict[str, Any] = await store.ticket_show(f"SR-{adopted.ticket_id}")
    assert (shown["external_id"], shown["subject"], shown["stage"]) == ("5001", "Re: Printer on fire", "WAITING")
    assert [(one["what"], one["who"], one["why"]["external_id"]) for one in shown["history"]] == [
        ("ticket.adopted", "person:kim", "5001")
    ]


async def test_the_same_again_makes_nothing_twice(store: SqliteStore) -> None:
    first = await adopt(store, THERE, THERE)
    second = await adopt(store, THERE, replace(THERE, external_id="5002"))

    assert (len(first.adopted), first.known) == (1, 0)
    assert ([one.external_id for one in second.adopted], second.known) == (["5002"], 1)
    assert len(await store.tickets_list()) == 2


async def test_a_dry_run_says_what_it_would_do_and_writes_nothing(store: SqliteStore) -> None:
    adoption = await adopt(store, THERE, dry_run=True)

    assert [(one.external_id, one.customer, one.ticket_id, one.key) for one in adoption.adopted] == [
        ("5001", "jane@customer.example", None, "")
    ]
    assert await store.tickets_list() == []
    assert (await adopt(store, THERE)).known == 0


async def test_a_ticket_that_we_made_ourselves_is_known_by_its_key(store: SqliteStore) -> None:
    """Made there, and the process died before it could write the id down: adopting it would make two of it."""
    settled = await accept_and_settle(store, an_opening_settlement("A1", desk=DeskOrder()))
    (claimed,) = await store.claim_desk(after(2), a_lease(), 10)
    assert claimed.ticket_id == settled.ticket_id

    adoption = await adopt(store, replace(THERE, key=claimed.key), replace(THERE, external_id="5002", key="f" * 64))

    assert ([one.external_id for one in adoption.adopted], adoption.known) == (["5002"], 1)


async def test_its_key_is_the_one_that_the_desk_work_uses(store: SqliteStore) -> None:
    """One formula for both, or a lost store could not recognise its own tickets."""
    await accept_and_settle(store, an_opening_settlement("A1", desk=DeskOrder()))
    (claimed,) = await store.claim_desk(after(2), a_lease(), 10)
    (adopted,) = (await adopt(store, THERE)).adopted

    assert claimed.key != adopted.key
    other = await adopt(store, replace(THERE, external_id="5003", key=adopted.key))
    assert (other.adopted, other.known) == ((), 1)


async def test_what_people_do_there_afterwards_reaches_the_mirror(store: SqliteStore) -> None:
    (adopted,) = (await adopt(store, THERE)).adopted

    assert await store.desk_to_check(10, after(1), now=after(1)) == ["5001"]
    assert adopted.ticket_id is not None


async def test_tickets_without_contact_or_subject_or_with_odd_text_are_taken_too(store: SqliteStore) -> None:
    odd = replace(
        THERE,
        subject="\ud800\0",
        contacts=(),
        message_ids=("", "<x\0@y>"),
        deal_ids=("1", "2"),
        created_at=T0 + timedelta(days=1),
        updated_at=T0 + timedelta(days=1),
    )
    (adopted,) = (await adopt(store, odd)).adopted
    (shown,) = await store.tickets_list()

    assert (shown["customer"], shown["deal_id"], adopted.customer) == (None, None, "")
