"""The audit names whatever somebody did to the store behind the relay's back, and nothing else."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.store_samples import (
    a_copy,
    a_lease,
    a_mail,
    a_settlement,
    accept_and_settle,
    after,
    an_end,
    an_opening_settlement,
    delivery_ids,
)
from supportrelay.core.audit import AuditReport
from supportrelay.core.delivery import DeliveryState, MessageState
from supportrelay.core.ports import Change
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store.audit import audit

OWNER, OTHER = "mori@relay.test", "sato@relay.test"
LARGE = b"Subject: large\r\n\r\n" + b"x" * (300 * 1024) + b"\r\n"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


def audited(store: SqliteStore, *, at: float = 60) -> AuditReport:
    return audit(store.path, after(-60), after(3600), after(at))


def codes(report: AuditReport) -> list[tuple[str, str]]:
    return [(one.code, one.queue_id) for one in report.findings]


async def behind_its_back(store: SqliteStore, sql: str) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute(sql)

    await store.write(tamper)


async def a_day(store: SqliteStore) -> None:
    """One delivered, one with an owner left, one under way, one filed, one undecided, one large."""
    two, decided = (a_copy(), a_copy(OTHER)), (Change("message.decided", "relay"),)
    names = {"copies": [{"address": OWNER, "kind": "owner"}, {"address": OTHER, "kind": "owner"}]}
    done = await accept_and_settle(
        store, an_opening_settlement("done", deliveries=two, decision=names, changes=decided)
    )
    for one in delivery_ids(done):
        await store.report(an_end(one, "done", DeliveryState.DELIVERED))
    half = await accept_and_settle(
        store, an_opening_settlement("half", deliveries=two, decision=names, changes=decided)
    )
    first, second = delivery_ids(half)
    await store.report(an_end(first, "half", DeliveryState.DELIVERED))
    await store.report(an_end(second, "half", DeliveryState.DEFERRED, due_at=after(3000)))
    await accept_and_settle(store, a_settlement("way"))
    await accept_and_settle(store, a_settlement("filed", state=MessageState.FILED, deliveries=(), decision={}))
    await store.accept(a_mail("new"), a_lease())
    await store.accept(a_mail("large", octets=LARGE), a_lease())


async def test_a_day_adds_up(store: SqliteStore) -> None:
    await a_day(store)
    report = audited(store)

    assert codes(report) == []
    assert report.adds_up
    assert report.accepted == 6
    assert report.states == {"delivered": 1, "composed": 2, "filed": 1, "accepted": 2}
    assert report.recipients == {OWNER: {"delivered": 2, "sending": 1}, OTHER: {"delivered": 1, "deferred": 1}}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("DELETE FROM deliveries WHERE id = 2", {("copy_lost", "done"), ("copy_missing", "done")}),
        ("DELETE FROM deliveries WHERE id = 5", {("copy_missing", "way")}),
        ("UPDATE deliveries SET state = 'delivered' WHERE id = 4", {("copy_state", "half"), ("state_wrong", "half")}),
        ("UPDATE deliveries SET state = 'failed' WHERE id = 1", {("copy_state", "done")}),
        ("UPDATE messages SET state = 'filed' WHERE queue_id = 'half'", {("state_wrong", "half")}),
        ("UPDATE messages SET state = 'delivered' WHERE queue_id = 'way'", {("state_wrong", "way")}),
        ("UPDATE messages SET state = 'filed' WHERE queue_id = 'new'", {("state_wrong", "new")}),
        ("UPDATE messages SET state = 'delivered' WHERE queue_id = 'new'", {("state_wrong", "new")}),
        ("UPDATE messages SET state = 'accepted' WHERE queue_id = 'filed'", {("state_wrong", "filed")}),
        ("UPDATE messages SET state = 'gone' WHERE queue_id = 'filed'", {("state_unknown", "filed")}),
        ("DELETE FROM contents WHERE message = 1", {("content_lost", "done")}),
        ("UPDATE contents SET octets = x'00' WHERE message = 1", {("content_size", "done")}),
    ],
)
async def test_what_was_done_behind_its_back_is_named(
    store: SqliteStore, sql: str, found: set[tuple[str, str]]
) -> None:
    await a_day(store)
    await behind_its_back(store, sql)
    report = audited(store)
    assert set(codes(report)) == found
    assert not report.adds_up


async def test_a_message_without_its_row_is_missed(store: SqliteStore) -> None:
    await a_day(store)
    await behind_its_back(store, "DELETE FROM contents WHERE message = 5")
    await behind_its_back(store, "DELETE FROM messages WHERE queue_id = 'new'")
    report = audited(store)
    assert [code for code, _ in codes(report)] == ["message_lost"]
    assert report.accepted == 6
    assert sum(report.states.values()) == 5


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"cut")])
async def test_a_file_that_is_gone_or_cut_is_named(store: SqliteStore, harm: Callable[[Path], object]) -> None:
    await a_day(store)
    files = [one for one in (store.path.parent / "contents").rglob("*") if one.is_file()]
    harm(files[0])
    ((code, queue_id),) = codes(audited(store))
    assert queue_id == "large"
    assert code in {"content_lost", "content_size"}


async def test_due_work_that_nobody_takes_up_is_named(store: SqliteStore) -> None:
    await a_day(store)
    await store.release("here:1:a", after(2))
    assert codes(audited(store, at=60)) == []
    late = dict(codes(audited(store, at=timedelta(hours=2).total_seconds())))
    assert late["overdue"]
    queues = {one.queue_id for one in audited(store, at=7200).findings}
    assert queues == {"half", "way", "new", "large"}


async def test_what_people_did_is_in_line(store: SqliteStore) -> None:
    await a_day(store)
    for name in ("half", "new"):
        await store.queue_hold(name, "person:ann", after(10))
    assert codes(audited(store)) == []
    for name in ("half", "new"):
        await store.queue_release(name, "person:ann", after(11))
    assert codes(audited(store)) == []
    await store.queue_drop("half", "person:ann", after(12))
    await store.queue_drop("filed", "person:ann", after(12))
    await store.queue_retry("done", "person:ann", after(13))
    assert codes(audited(store)) == []


async def test_only_the_period_is_looked_at_and_findings_are_bounded(store: SqliteStore) -> None:
    await a_day(store)
    await behind_its_back(store, "DELETE FROM contents")
    assert audit(store.path, after(100), after(200), after(60)).accepted == 0
    few = audit(store.path, after(-60), after(3600), after(60), most_findings=2)
    assert (len(few.findings), few.finding_count) == (2, 6)
