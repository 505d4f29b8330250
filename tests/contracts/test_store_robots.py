"""The store's contract: automatic mail is counted for all workers together."""

from datetime import timedelta

from contracts.store_samples import after
from supportrelay.core.robot_limits import HOLD_FOR, LIMITS, Limit, RobotLimits
from supportrelay.edge.store import SqliteStore

TWO_A_MINUTE = {"sender:bot@x.test": (Limit(2, timedelta(minutes=1)),)}


async def test_the_one_beyond_the_limit_begins_a_stop(store: SqliteStore) -> None:
    found = [await store.count_robot(f"q{n}", TWO_A_MINUTE, after(n)) for n in range(4)]

    assert found[:2] == [None, None]
    assert [(stop.key, stop.count, stop.is_new) for stop in found[2:] if stop] == [
        ("sender:bot@x.test", 3, True),
        ("sender:bot@x.test", 3, False),
    ]


async def test_a_mail_counts_once_however_often_it_is_decided(store: SqliteStore) -> None:
    assert [await store.count_robot("q1", TWO_A_MINUTE, after(n)) for n in range(5)] == [None] * 5


async def test_what_is_spread_over_a_longer_time_goes_through(store: SqliteStore) -> None:
    assert [await store.count_robot(f"q{n}", TWO_A_MINUTE, after(40 * n)) for n in range(9)] == [None] * 9


async def test_a_stop_ends_and_the_count_begins_anew(store: SqliteStore) -> None:
    for n in range(3):
        await store.count_robot(f"q{n}", TWO_A_MINUTE, after(n))
    over = HOLD_FOR.total_seconds() + 3

    assert await store.count_robot("q8", TWO_A_MINUTE, after(over - 2)) is not None
    assert await store.count_robot("q9", TWO_A_MINUTE, after(over)) is None


async def test_each_key_has_a_count_of_its_own(store: SqliteStore) -> None:
    limits = {"sender:bot@x.test": LIMITS["sender"], "same:abc": LIMITS["same"]}
    for n in range(3):
        assert await store.count_robot(f"q{n}", limits, after(n)) is None

    stopped = await store.count_robot("q3", limits, after(4))
    other = await store.count_robot("q4", {"sender:bot@x.test": LIMITS["sender"]}, after(5))

    assert stopped is not None
    assert stopped.key == "same:abc"
    assert other is None


async def test_two_stores_on_one_file_count_together(store: SqliteStore) -> None:
    """Worker processes share the limits."""
    second = SqliteStore(store.path)
    try:
        for n, one in enumerate((store, second)):
            assert await one.count_robot(f"q{n}", TWO_A_MINUTE, after(n)) is None
        assert await second.count_robot("q3", TWO_A_MINUTE, after(3)) is not None
        assert await store.count_robot("q4", TWO_A_MINUTE, after(4)) is not None
    finally:
        await second.aclose()


async def test_a_desk_may_hold_for_another_time(store: SqliteStore) -> None:
    """And what counts longest tells how long a mail is remembered."""
    of_desk = RobotLimits({"sender": TWO_A_MINUTE["sender:bot@x.test"]}, timedelta(minutes=5))
    for n in range(3):
        await store.count_robot(f"q{n}", TWO_A_MINUTE, after(n), of_desk)

    assert await store.count_robot("q8", TWO_A_MINUTE, after(300), of_desk) is not None
    assert await store.count_robot("q9", TWO_A_MINUTE, after(310), of_desk) is None
