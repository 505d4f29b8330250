"""housekeeping: one worker does it, a little at a time, as the configuration says now, and never what is not over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.store_samples import (
    a_copy,
    a_mail,
    a_settlement,
    accept_and_settle,
    after,
    an_end,
    delivery_ids,
)
from flow.own_world import OwnWorld
from supportrelay.core.alarm import Alarm, AlarmKind
from supportrelay.core.delivery import DeliveryState, MessageState
from supportrelay.edge.store import SqliteStore
from supportrelay.flow.housekeeping import Housekeeper, Keep

DAY_S = 86_400.0
NINETY_DAYS: Keep = (timedelta(days=90), timedelta(days=400))


class House:
    """A store with mails of several ages, and housekeepers that never rest for real."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.world = OwnWorld(store)
        self.keep: Keep = NINETY_DAYS
        self.rests: list[float] = []

    def keeper(self, holder: str = "here:1:a") -> Housekeeper:
        async def rest(wait_s: float) -> None:
            self.rests.append(wait_s)
            await asyncio.sleep(0)

        return Housekeeper(self.world.office(holder), self.store, lambda: self.keep, rest=rest)

    def at_day(self, day: float) -> None:
        self.world.clock.at = after(day * DAY_S)

    async def mails(self, count: int, *, day: float) -> None:
        for n in range(count):
            queue_id = f"d{day:g}-{n}"
            mail = a_mail(queue_id, at=day * DAY_S)
            settled = await accept_and_settle(self.store, a_settlement(queue_id, now=day * DAY_S), mail=mail)
            end = an_end(delivery_ids(settled)[0], queue_id, DeliveryState.DELIVERED, now=day * DAY_S + 1)
            await self.store.report(end)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    yield House(store)
    await store.aclose()


async def test_octets_go_first_and_everything_else_later(house: House) -> None:
    await house.mails(60, day=0)
    await house.mails(1, day=350)
    house.at_day(91)
    assert await house.keeper().tidy() == {"contents": 60, "messages": 0, "changes": 0}
    assert house.rests, "fifty a commit, and mail goes first in between"
    house.at_day(401)
    assert await house.keeper().tidy() == {"contents": 0, "messages": 60, "changes": 0}
    assert await house.keeper().tidy() == {"contents": 0, "messages": 0, "changes": 0}
    assert len(await house.store.queue_list(finished=True)) == 1


async def test_without_keep_only_counts_go(house: House) -> None:
    await house.mails(2, day=0)
    await house.store.count_login_failure({"address:192.0.2.7/32": 20}, after(0), timedelta(hours=1))
    await house.store.note_login_place("ann@staff.test", "network:192.0.2.0/24", after(0))
    house.keep = (None, None)
    house.at_day(80)
    await house.keeper().tidy()
    places = "SELECT count(*) FROM login_places UNION ALL SELECT count(*) FROM login_failures"
    assert house.store.read(lambda c: c.execute(places).fetchall()) == [(1,), (0,)]
    house.at_day(9_000)
    assert await house.keeper().tidy() == {"contents": 0, "messages": 0, "changes": 0}
    assert house.store.read(lambda c: c.execute(places).fetchall()) == [(0,), (0,)]
    assert len(await house.store.queue_list(finished=True)) == 2


async def test_an_alarm_that_was_told_goes_and_one_that_waits_stays(house: House) -> None:
    for key in ("told", "waits"):
        await house.store.raise_alarm(Alarm(AlarmKind.REFUSED_IN_EVERY_FORM, key), after(0))
    told = [one for one in await house.store.owed_alarms(after(0), 9) if one.alarm.key == "told"]
    await house.store.tell_alarms(told, (), after(0))
    for day, left in ((7, ["told", "waits"]), (9, ["waits"])):
        house.at_day(day)
        await house.keeper().tidy()
        keys = house.store.read(lambda c: c.execute("SELECT key FROM alarms ORDER BY key").fetchall())
        assert [key for (key,) in keys] == left


async def test_what_the_configuration_says_now_counts(house: House) -> None:
    await house.mails(1, day=0)
    keeper = house.keeper()
    house.at_day(50)
    assert (await keeper.tidy() or {})["contents"] == 0
    house.keep = (timedelta(days=30), None)
    assert (await keeper.tidy() or {})["contents"] == 1


async def test_one_worker_does_it_and_another_takes_over_when_it_is_gone(house: House) -> None:
    await house.mails(1, day=0)
    house.at_day(91)
    first, second = house.keeper("here:1:a"), house.keeper("here:2:b")
    assert await first.tidy() is not None
    assert await second.tidy() is None
    house.at_day(91.1)
    assert await second.tidy() is not None
    assert await first.tidy() is None


async def test_who_loses_the_duty_in_the_middle_stops(house: House) -> None:
    """Its lease ran out, somebody else took it: two never walk at once."""
    await house.mails(60, day=0)
    house.at_day(91)
    keeper = house.keeper()

    async def rest(_wait_s: float) -> None:
        house.at_day(91.1)
        assert await house.keeper("here:2:b").tidy() is not None

    keeper._rest = rest
    done = await keeper.tidy()
    assert done is not None
    assert done["contents"] == 50, "the other one did the rest"
    assert await house.store.remove_contents(after(91 * DAY_S), 0, after(92 * DAY_S)) == (0, None)


async def test_a_held_mail_of_any_age_stays_and_goes_once_it_is_over(house: House) -> None:
    held = a_settlement("held", state=MessageState.HELD, deliveries=())
    await accept_and_settle(house.store, held)
    await house.mails(1, day=0)
    house.at_day(900)
    assert (await house.keeper().tidy() or {})["messages"] == 0, "held, and the newest"
    assert await house.store.content("held")
    await house.store.queue_drop("held", "person:x", after(900 * DAY_S))
    house.at_day(989)
    assert (await house.keeper().tidy() or {})["contents"] == 0, "ninety days from its end"
    house.at_day(991)
    assert (await house.keeper().tidy() or {})["contents"] == 1


async def test_a_copy_that_is_tried_for_months_keeps_its_mail(house: House) -> None:
    both = a_settlement("both", deliveries=(a_copy(), a_copy("b@relay.test")))
    settled = await accept_and_settle(house.store, both)
    first, second = delivery_ids(settled)
    await house.store.report(an_end(first, "both", DeliveryState.DELIVERED))
    await house.store.report(an_end(second, "both", DeliveryState.DEFERRED, due_at=after(800 * DAY_S)))
    house.at_day(700)
    assert (await house.keeper().tidy() or {})["contents"] == 0


async def test_a_store_that_cannot_be_written_is_tried_again_an_hour_later(house: House) -> None:
    await house.mails(1, day=0)
    house.at_day(91)
    keeper = house.keeper()
    await house.store.write(lambda c: c.execute("ALTER TABLE contents RENAME TO contents_away"))
    assert await keeper.tidy() is None
    await house.store.write(lambda c: c.execute("ALTER TABLE contents_away RENAME TO contents"))
    assert (await keeper.tidy() or {})["contents"] == 1
