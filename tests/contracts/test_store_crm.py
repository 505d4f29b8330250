"""The store's contract for CRMs: how fast they may be asked, what they said last, who looks after what."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from contracts.store_processes import Start, line_of, start, tell
from contracts.store_samples import a_lease, after
from supportrelay.core.crm_ports import CrmMemory, Gate, GateState, Remembered
from supportrelay.core.errors import CrmDown
from supportrelay.edge.store import SqliteStore

__all__ = ["start"]  # the fixture

SECOND_US = 1_000_000


@pytest.fixture
async def other(store: SqliteStore) -> AsyncIterator[SqliteStore]:
    """Another process's store on the same file."""
    opened = SqliteStore(store.path)
    yield opened
    await opened.aclose()


async def enter(gate: Gate, *, at: float = 0, burst: int = 3, daily: int | None = None, wait: float = 60) -> float:
    """Seconds until the call may be made: one a second, three at once."""
    booked = await gate.enter(
        "hubspot",
        every_us=SECOND_US,
        burst=burst,
        daily=daily,
        now=after(at),
        most_wait_us=round(wait * SECOND_US),
    )
    return (booked - after(at)).total_seconds()


# -- gates --


async def test_a_burst_goes_through_at_once_and_then_one_after_the_other(store: SqliteStore) -> None:
    assert [await enter(store) for _ in range(5)] == [0, 0, 0, 1, 2]
    assert [await enter(store, at=4) for _ in range(3)] == [0, 0, 1]
    assert [await enter(store, at=100) for _ in range(4)] == [0, 0, 0, 1]


async def test_all_processes_stand_in_one_queue(store: SqliteStore, other: SqliteStore) -> None:
    waits = await asyncio.gather(*(enter(one) for _ in range(5) for one in (store, other)))

    assert sorted(waits) == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]


async def test_real_processes_together_never_overstep(store: SqliteStore, start: Start) -> None:
    """Of 200 calls of two processes any second has one, and the first three more."""
    workers = await asyncio.gather(start("one"), start("two"))
    for worker in workers:
        tell(worker, "enter 100\n")
    booked = []
    for worker in workers:
        booked += [int(await line_of(worker)) for _ in range(100)]

    booked.sort()
    assert booked == [0, 0, 0, *(number * SECOND_US for number in range(1, 198))]
    assert (await store.gate("hubspot")).used_today == 200


async def test_who_would_wait_too_long_books_nothing(store: SqliteStore) -> None:
    for _ in range(5):
        await enter(store)
    with pytest.raises(CrmDown) as caught:
        await enter(store, wait=2)
    assert caught.value.is_closed
    assert caught.value.retry_at == after(3)

    assert await enter(store, wait=3) == 3
    assert (await store.gate("hubspot")).used_today == 6


async def test_the_calls_of_a_day_are_counted_by_the_date(store: SqliteStore, other: SqliteStore) -> None:
    assert [await enter(one, daily=2) for one in (store, other)] == [0, 0]
    with pytest.raises(CrmDown) as caught:
        await enter(store, daily=2)

    midnight = after(0).replace(hour=0) + timedelta(days=1)
    assert caught.value.retry_at == midnight
    assert await store.gate("hubspot") == GateState(day="2026-03-02", used_today=2)
    tomorrow = (midnight - after(0)).total_seconds()
    assert await enter(store, at=tomorrow, daily=2) == 0
    assert await store.gate("hubspot") == GateState(day="2026-03-03", used_today=1)


async def test_a_closed_gate_is_closed_for_all_until_its_time(store: SqliteStore, other: SqliteStore) -> None:
    await store.close("hubspot", after(30), "401: the token is refused")
    await other.close("hubspot", after(10), "503")
    await asyncio.gather(store.close("search", after(30), "429"), store.close("search", after(10), "503"))
    assert await other.gate("search") == GateState(after(30), "429")
    commits = other.commits
    with pytest.raises(CrmDown) as caught:
        await enter(other, at=29)
    assert other.commits == commits
    assert (caught.value.cause, caught.value.retry_at) == ("401: the token is refused", after(30))
    assert caught.value.is_closed
    assert await enter(other, at=30) == 0
    assert await enter(other, at=30) == 0
    assert (await other.gate("files")) == GateState()


async def test_opening_and_closing_write_only_what_changes(store: SqliteStore, other: SqliteStore) -> None:
    await store.reopen("hubspot")
    assert store.commits == 0
    await store.close("hubspot", after(30), "503")
    await store.close("hubspot", after(30), "503 again")
    await store.close("hubspot", after(20), "504")
    assert store.commits == 1
    assert await store.gate("hubspot") == GateState(after(30), "503")

    await other.reopen("hubspot")
    await other.reopen("hubspot")
    assert other.commits == 1
    assert await store.gate("hubspot") == GateState()
    assert await enter(store) == 0


async def test_opening_a_gate_opens_those_below_it_and_no_others(store: SqliteStore, other: SqliteStore) -> None:
    names = ["hubspot", "hubspot:search", "hubspot:deals.read", "hubspot2", "hub", "hubspot;x"]
    for name in names:
        await store.close(name, after(30), "403")
    await other.reopen("hubspot")
    assert [name for name in names if (await store.gate(name)).closed_until] == ["hubspot2", "hub", "hubspot;x"]


async def test_a_gate_closed_between_question_and_booking_is_closed(store: SqliteStore, other: SqliteStore) -> None:
    closing = asyncio.ensure_future(other.close("hubspot", after(30), "429"))
    answers = await asyncio.gather(*(enter(store) for _ in range(3)), return_exceptions=True)
    await closing

    with pytest.raises(CrmDown):
        await enter(store)
    assert (await store.gate("hubspot")).used_today == sum(not isinstance(one, CrmDown) for one in answers)


async def test_a_clock_that_was_set_back_closes_nothing(store: SqliteStore) -> None:
    await enter(store, at=86_400 * 300)

    assert [await enter(store) for _ in range(4)] == [0, 0, 0, 1]


async def test_a_refusal_disturbs_no_command_that_shares_its_commit(store: SqliteStore) -> None:
    for _ in range(3):
        await enter(store)
    answers = await asyncio.gather(enter(store, wait=0), enter(store), return_exceptions=True)

    assert isinstance(answers[0], CrmDown)
    assert answers[1] == 1


# -- answers --


async def test_the_last_answers_are_kept_for_all_and_across_restarts(store: SqliteStore, other: SqliteStore) -> None:
    memory: CrmMemory = store
    assert memory.recall("customer", "jin@acme.example") is None
    await memory.remember(
        "customer", {"jin@acme.example": {"companies": [{"名": "エース"}]}, "b": None}, after(0), after(300)
    )

    assert other.recall("customer", "jin@acme.example") == Remembered(
        after(0), after(300), {"companies": [{"名": "エース"}]}
    )
    assert other.recall("customer", "b") == Remembered(after(0), after(300), None)
    assert other.recall("deal", "b") is None


async def test_what_is_kept_just_so_already_is_not_written(store: SqliteStore) -> None:
    await store.remember("deal", {"1": {"name": "A"}, "2": {"name": "B"}}, after(0), after(300))
    before = store.commits
    await store.remember("deal", {"1": {"name": "A"}, "2": {"name": "B"}}, after(1), after(300))
    await store.remember("deal", {}, after(1), after(300))
    assert store.commits == before

    await store.remember("deal", {"1": {"name": "A"}, "2": {"name": "C"}}, after(2), after(300))
    assert store.commits == before + 1
    kept = [store.recall("deal", key) for key in ("1", "2")]
    assert kept == [Remembered(after(0), after(300), {"name": "A"}), Remembered(after(2), after(300), {"name": "C"})]
    await store.remember("deal", {"1": {"name": "A"}}, after(10), after(310))
    assert store.recall("deal", "1") == Remembered(after(10), after(310), {"name": "A"})


async def test_an_older_answer_does_not_overwrite_a_newer_one(store: SqliteStore, other: SqliteStore) -> None:
    await store.remember("deal", {"1": "new"}, after(10), after(310))
    await other.remember("deal", {"1": "old"}, after(9), after(309))

    assert store.recall("deal", "1") == Remembered(after(10), after(310), "new")


async def test_answers_about_a_domain_are_asked_anew(store: SqliteStore) -> None:
    keys = ["jin@acme.example", "kim@mail.acme.example", "mail.acme.example", "acme.example"]
    others = ["jin@notacme.example", "jin@acme.example.org", "e"]
    await store.remember("customer", dict.fromkeys([*keys, *others], 1), after(0), after(300))
    await store.remember("deal", {"acme.example": 1}, after(0), after(300))

    assert await store.expire("customer", "acme.example", now=after(1)) == 4
    assert await store.expire("customer", "acme.example", now=after(1)) == 0

    def fresh(kind: str, key: str) -> bool:
        found = store.recall(kind, key)
        assert found is not None
        assert (found.known_at, found.body) == (after(0), 1)
        return found.expires_at > after(1)

    assert [key for key in [*keys, *others] if fresh("customer", key)] == others
    assert fresh("deal", "acme.example")
    assert await store.expire("customer", now=after(1)) == 3


async def test_what_is_old_anyway_is_not_written_when_answers_expire(store: SqliteStore) -> None:
    """Years of last known answers, of which a handful are fresh: 0.7 s of everybody's time for 30,000."""
    await store.remember("customer", {f"u{n}@acme.example": n for n in range(50)}, after(0), after(300))
    before = store.commits

    assert await store.expire("customer", now=after(300)) == 0
    assert store.commits == before


async def test_answers_nobody_asked_for_in_a_long_time_are_dropped_bit_by_bit(
    store: SqliteStore, other: SqliteStore
) -> None:
    await store.remember("customer", {f"u{n}@acme.example": n for n in range(5)}, after(0), after(300))
    await store.remember("contact", {"u1@acme.example": "7"}, after(50), after(90_000))
    await other.remember("customer", {"u4@acme.example": 44}, after(100), after(400))

    assert [await store.drop_answers(after(100), most=2) for _ in range(4)] == [2, 2, 1, 0]
    before = store.commits
    assert await store.drop_answers(after(100)) == 0
    assert store.commits == before
    assert store.recall("customer", "u3@acme.example") is None
    assert store.recall("customer", "u4@acme.example") == Remembered(after(100), after(400), 44)


# -- duties --


async def test_a_duty_has_one_holder_until_he_lets_go(store: SqliteStore, other: SqliteStore) -> None:
    mine, theirs = a_lease("here:1:a", until=30), a_lease("here:2:b", until=60)
    both = await asyncio.gather(store.hold_duty("watch", mine, after(0)), other.hold_duty("watch", theirs, after(0)))
    assert sorted(both, key=str) == [None, {}] or sorted(both, key=str) == [{}, None]
    first, second = (store, other) if both[0] is not None else (other, store)
    held, wanted = (mine, theirs) if both[0] is not None else (theirs, mine)

    await first.note_duty("watch", held, {"since": after(5), "after": "901"})
    await second.note_duty("watch", wanted, {"since": "mine"})
    assert await first.hold_duty("watch", held, after(10)) == {"since": "2026-03-02T09:00:05.000Z", "after": "901"}
    before = second.commits
    assert await second.hold_duty("watch", wanted, after(20)) is None
    assert second.commits == before
    assert await second.hold_duty("other", wanted, after(20)) == {}

    await first.release(held.holder, after(21))
    assert (await second.hold_duty("watch", wanted, after(21)) or {})["after"] == "901"
    assert await first.hold_duty("watch", held, after(22)) is None


async def test_a_duty_whose_holder_died_is_taken_when_its_time_is_over(store: SqliteStore, other: SqliteStore) -> None:
    assert await store.hold_duty("watch", a_lease("here:1:a", until=30), after(0)) == {}
    theirs = a_lease("there:2:b", until=90)

    assert await other.hold_duty("watch", theirs, after(29)) is None
    assert await other.hold_duty("watch", theirs, after(30)) == {}
    assert await store.hold_duty("watch", a_lease("here:1:a", until=60), after(31)) is None
    await store.take_back("there", after(32))
    assert await store.hold_duty("watch", a_lease("here:1:a", until=60), after(33)) == {}
