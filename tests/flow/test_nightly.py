"""The nightly audit: once a night by one worker, and heard of."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flow.own_world import OwnWorld
from supportrelay.core.audit import DUTY, AuditReport, Finding
from supportrelay.core.ports import Lease
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store.vitals import read_vitals
from supportrelay.flow.nightly import Nightly
from supportrelay.flow.office import Office

EVENING = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)
NIGHT = datetime(2026, 3, 3, 3, 4, tzinfo=UTC)


class Ledger:
    """What was asked for, and what is found."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime]] = []
        self.findings: tuple[Finding, ...] = ()
        self.lost = 0

    async def __call__(self, since: datetime, until: datetime) -> AuditReport:
        self.asked.append((since, until))
        return AuditReport(since, until, 3 + self.lost, {"delivered": 3}, {}, self.findings, len(self.findings))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def nightly_of(store: SqliteStore, ledger: Ledger, at: datetime, holder: str = "here:1:a") -> Nightly:
    world = OwnWorld(store)
    office = Office(
        store=store,
        rulebook=lambda: world.rulebook,
        keys=world.keys,
        instance="here",
        holder=holder,
        now=lambda: at,
        new_id=lambda: "0" * 16,
        fraction=lambda: 0.0,
        lease=lambda: Lease(holder, at + timedelta(seconds=30)),
    )
    return Nightly(office, store, ledger, lambda instant: instant)


async def test_it_is_made_in_the_night_and_once(store: SqliteStore, ledger: Ledger) -> None:
    await nightly_of(store, ledger, EVENING).tick()
    assert ledger.asked == [], "a relay that was started by day waits for its first night"
    for minutes in (0, 10, 20):
        await nightly_of(store, ledger, NIGHT + timedelta(minutes=minutes)).tick()
    assert ledger.asked == [(EVENING - timedelta(days=3), NIGHT)]


async def test_who_is_up_by_day_only_audits_too(store: SqliteStore, ledger: Ledger) -> None:
    for hours in (0, 1, 11, 12):
        await nightly_of(store, ledger, EVENING + timedelta(hours=hours)).tick()
    assert [until for _, until in ledger.asked] == [EVENING + timedelta(hours=11)]


async def test_a_night_that_was_missed_is_made_up_for_and_its_days_are_looked_at(
    store: SqliteStore, ledger: Ledger
) -> None:
    await nightly_of(store, ledger, EVENING).tick()
    await nightly_of(store, ledger, NIGHT).tick()
    later = NIGHT + timedelta(days=5, hours=9)
    await nightly_of(store, ledger, later, holder="here:1:b").tick()
    assert ledger.asked[1:] == [(NIGHT - timedelta(days=3), later)]


async def test_one_worker_makes_it(store: SqliteStore, ledger: Ledger) -> None:
    await nightly_of(store, ledger, EVENING).tick()
    await nightly_of(store, ledger, NIGHT, holder="here:1:a").tick()
    await nightly_of(store, ledger, NIGHT + timedelta(minutes=1), holder="here:2:b").tick()
    assert len(ledger.asked) == 1


async def test_what_it_found_stands_in_the_vitals_and_raises_an_alarm(store: SqliteStore, ledger: Ledger) -> None:
    ledger.findings = (Finding("content_lost", "q1", {"size_octets": 7}),)
    await nightly_of(store, ledger, EVENING).tick()
    await nightly_of(store, ledger, NIGHT).tick()
    vitals = read_vitals(store.path, NIGHT)
    assert vitals.last_audit is not None
    assert (vitals.last_audit.at, vitals.last_audit.findings) == (NIGHT, 1)
    assert vitals.alarms == {"audit_finding": 1}


async def test_a_sum_that_is_wrong_is_a_finding(store: SqliteStore, ledger: Ledger) -> None:
    ledger.lost = 1
    await nightly_of(store, ledger, EVENING).tick()
    await nightly_of(store, ledger, NIGHT).tick()
    vitals = read_vitals(store.path, NIGHT)
    assert vitals.last_audit is not None
    assert vitals.last_audit.findings == 1


async def test_what_adds_up_is_no_alarm(store: SqliteStore, ledger: Ledger) -> None:
    await nightly_of(store, ledger, EVENING).tick()
    await nightly_of(store, ledger, NIGHT).tick()
    vitals = read_vitals(store.path, NIGHT)
    assert vitals.alarms == {}
    assert vitals.last_audit is not None
    assert vitals.last_audit.findings == 0
    assert await store.hold_duty(DUTY, Lease("here:2:b", NIGHT + timedelta(hours=2)), NIGHT) is None
