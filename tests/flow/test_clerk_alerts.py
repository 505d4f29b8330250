"""Alerts to the administrators: what is broken, an hour apart, and no more than a person reads."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import Message
from pathlib import Path

import pytest

from contracts.store_samples import a_lease
from flow.own_world import ADMIN, ANN, OwnWorld, text_of
from supportrelay.core.alarm import ALERTS_A_DAY, Alarm, AlarmKind
from supportrelay.core.delivery import Cause, DeliveryKind, DeliveryState, Outcome, OutcomeKind, Phase
from supportrelay.core.ports import Attempted
from supportrelay.edge.store import SqliteStore
from supportrelay.flow import alarms
from supportrelay.flow.alarms import alarm
from supportrelay.flow.watchman import Watchman

MINUTE, HOUR = 60.0, 3600.0
DISK = Alarm(AlarmKind.DISK_NEARLY_FULL, "/var/lib", {"free": 12})


class Said:
    """A log that only remembers: how the process's own is configured depends on who ran before."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def error(self, event: str, **_values: object) -> None:
        self.events.append(event)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[OwnWorld]:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    yield OwnWorld(store)
    await store.aclose()


async def alerts(world: OwnWorld) -> list[Message]:
    return [one for one in await world.own_mail() if one["X-Supportrelay-Reason"] == "alert"]


async def arrives(world: OwnWorld) -> None:
    """What is in the queue is delivered."""
    for one in await world.store.claim_deliveries(world.clock(), a_lease(until=world.at + 30), 50):
        await world.ends(one.delivery_id, one.queue_id, DeliveryState.DELIVERED, attempt=one.attempt)


async def test_an_alarm_is_one_mail_an_hour_with_its_count(world: OwnWorld) -> None:
    for _ in range(30):
        await world.store.raise_alarm(DISK, world.clock())
        await world.clerk.tick()
        await arrives(world)
        world.clock.go(6 * MINUTE)

    found = await alerts(world)

    assert len(found) == 3
    assert "/var/lib" in text_of(found[0])
    assert "12 MiB" in text_of(found[0])
    assert "1 times" in text_of(found[0])
    assert "10 times" in text_of(found[1])
    assert (found[0]["To"], found[0]["Auto-Submitted"], found[0]["Reply-To"]) == (ADMIN, "auto-generated", ADMIN)


async def test_different_alarms_share_a_mail_when_they_come_together(world: OwnWorld) -> None:
    await world.store.raise_alarm(DISK, world.clock())
    await world.store.raise_alarm(Alarm(AlarmKind.AUDIT_FINDING, "x", {}), world.clock())
    await world.clerk.tick()

    (found,) = await alerts(world)

    assert "and 1 more" in found["Subject"].replace("\r\n", "")


async def test_a_day_has_an_end_of_alerts_and_nothing_is_lost(world: OwnWorld) -> None:
    for number in range(ALERTS_A_DAY + 10):
        await world.store.raise_alarm(Alarm(AlarmKind.CERTIFICATE_EXPIRES, f"/{number}.pem", {}), world.clock())
        await world.clerk.tick()
        world.clock.go(MINUTE)
    assert len(await alerts(world)) == ALERTS_A_DAY

    world.clock.go(24 * HOUR)
    await world.clerk.tick()

    told = text_of((await alerts(world))[-1])
    assert [f"/{number}.pem" in told for number in range(ALERTS_A_DAY - 1, ALERTS_A_DAY + 10)] == [False, *[True] * 10]


async def test_f22_a_smarthost_that_is_away_for_a_quarter_of_an_hour_is_told(world: OwnWorld) -> None:
    (copy,) = await world.mail("q1", (ANN, DeliveryKind.OWNER))
    await not_reached(world, copy, attempt=1)
    await world.clerk.tick()
    world.clock.go(14 * MINUTE)
    await world.clerk.tick()
    assert await alerts(world) == []

    world.clock.go(2 * MINUTE)
    await world.clerk.tick()

    (found,) = await alerts(world)
    assert "smtp.test:25 cannot be reached" in text_of(found)


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEFERRED])
async def test_f22_one_that_came_back_is_not(world: OwnWorld, state: DeliveryState) -> None:
    """Also when all that it said since is 'later' to a recipient."""
    copy, other = await world.mail("q1", (ANN, DeliveryKind.OWNER), ("ben@desk.test", DeliveryKind.OWNER))
    await not_reached(world, copy, attempt=1)
    world.clock.go(5 * MINUTE)
    await world.ends(other, "q1", state, due_at=world.clock() if state == DeliveryState.DEFERRED else None)
    world.clock.go(20 * MINUTE)
    await world.clerk.tick()

    assert await alerts(world) == []


async def not_reached(world: OwnWorld, delivery_id: int, *, attempt: int) -> None:
    outcome = Outcome(OutcomeKind.DEFERRED, Phase.CONNECT, 0, "", "refused", "smtp.test:25", Cause.WEATHER)
    due_at = world.clock() + timedelta(hours=1)
    state = DeliveryState.DEFERRED
    await world.store.report(Attempted(delivery_id, "q1", attempt, outcome, state, world.clock(), due_at))


async def test_f25_a_server_that_refuses_us_is_told_at_once(world: OwnWorld) -> None:
    (copy,) = await world.mail("q1", (ANN, DeliveryKind.OWNER))
    outcome = Outcome(OutcomeKind.DEFERRED, Phase.AUTH, 535, "5.7.8", "no such login", "smtp.test:25", Cause.OURS)
    due_at = world.clock() + timedelta(hours=1)
    await world.store.report(Attempted(copy, "q1", 1, outcome, DeliveryState.DEFERRED, world.clock(), due_at))
    await world.clerk.tick()

    (found,) = await alerts(world)
    assert "smtp.test:25 refuses us, not the mail: 535 5.7.8 no such login" in text_of(found)


async def test_f05_a_mail_that_breaks_a_station_is_told_with_what_to_do(world: OwnWorld) -> None:
    await world.mail("q1", (ANN, DeliveryKind.OWNER))
    await world.store.hold_message("q1", "station_broke", world.clock())
    await world.clerk.tick()

    (found,) = await alerts(world)
    assert "supportrelay queue release q1" in text_of(found)


async def test_f21_a_token_that_the_crm_refuses_is_told(world: OwnWorld) -> None:
    why = "GET /crm/v3/owners: 401 The token is invalid"
    await world.store.close("hubspot:search", datetime.now(world.clock().tzinfo) + timedelta(minutes=5), why)
    world.clock.at = datetime.now(world.clock().tzinfo)
    await world.clerk.tick()

    (found,) = await alerts(world)
    assert "The CRM hubspot refuses our token: GET /crm/v3/owners: 401" in text_of(found)


async def test_c58_nobody_is_mailed_about_a_mail_to_himself_and_the_others_are(world: OwnWorld) -> None:
    desk = replace(world.rulebook.desk, admins=(ADMIN, "ops@desk.test"))
    world.rulebook = replace(world.rulebook, desk=desk)
    await world.store.raise_alarm(
        Alarm(AlarmKind.OWN_MAIL_FAILED, ADMIN, {"recipient": ADMIN, "queue_id": "q9"}), world.clock()
    )
    await world.clerk.tick()

    assert [one["To"] for one in await alerts(world)] == ["ops@desk.test"]


async def test_two_workers_tell_it_once(world: OwnWorld) -> None:
    await world.store.raise_alarm(DISK, world.clock())
    await world.new_clerk("here:1:a").tick()
    await world.new_clerk("here:2:b").tick()

    assert len(await alerts(world)) == 1


@pytest.mark.parametrize(
    ("free_mib", "is_told"),
    [pytest.param(5000, False, id="room"), pytest.param(600, True, id="a-fiftieth"), pytest.param(10, True, id="full")],
)
async def test_a_disk_that_is_nearly_full_is_an_alarm(world: OwnWorld, free_mib: int, is_told: bool) -> None:
    def space() -> tuple[int, int]:
        return free_mib * 2**20, 50_000 * 2**20

    await Watchman(world.office(), "/var/lib", space, lambda now: {"/a.pem": now} if is_told else {}).look()

    owed = await world.store.owed_alarms(world.clock(), 10)
    kinds = {one.alarm.kind for one in owed}
    assert kinds == ({AlarmKind.DISK_NEARLY_FULL, AlarmKind.CERTIFICATE_EXPIRES} if is_told else set())


async def test_an_alarm_that_cannot_be_kept_is_in_the_log(
    world: OwnWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is gone; whoever raised it goes on."""
    said = Said()
    monkeypatch.setattr(alarms, "log", said)
    gone = SqliteStore(tmp_path / "gone.db", create=True)
    await gone.aclose()
    await alarm(replace(world.office(), store=gone), AlarmKind.STORE_BROKEN, "relay.db", text="locked")

    assert said.events == ["alarm.raised"]
