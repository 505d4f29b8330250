"""The queue against a next hop that fails, on a clock of our own (RELIABILITY F17, F22-F31)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from flow.relay_world import RelayWorld, a_relay_world
from supportrelay.core.alarm import AlarmKind
from supportrelay.core.delivery import Cause, OutcomeKind, Phase
from supportrelay.core.ports import Lease
from supportrelay.core.retry import classify_reply

CUSTOMER = "kunde@acme1.example"  # ann's
TWO = "kunde@two.example"  # ann's and ben's
FOUR = "kunde@four.example"
ANN, BEN, ALL = "ann@staff.test", "ben@staff.test", "all@desk.test"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RelayWorld]:
    with pytest.MonkeyPatch.context() as patch:
        async with a_relay_world(tmp_path, patch) as world:
            yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RelayWorld]:
    with pytest.MonkeyPatch.context() as patch:
        async with a_relay_world(tmp_path_factory.mktemp("lasting"), patch) as world:
            yield world


@pytest_asyncio.fixture(loop_scope="module")
async def shared(lasting: RelayWorld) -> AsyncIterator[RelayWorld]:
    """One for many tests: each leaves nothing that waits, and its mails have names of their own."""
    yield lasting
    lasting.sink.behave_well()
    await lasting.go(hours=3)
    lasting.sink.clear()


SHARED = pytest.mark.asyncio(loop_scope="module")


async def alarms(world: RelayWorld) -> set[AlarmKind]:
    """Those that a person is to be told of now."""
    store = world.parts.store
    await store.forget_past_alarms(world.clock())
    return {owed.alarm.kind for owed in await store.owed_alarms(world.clock(), 100)}


async def test_f22_a_next_hop_that_is_down(world: RelayWorld) -> None:
    """1, 5, 15, 30, 45 minutes, then hourly; told after a quarter of an hour, given up after five days."""
    await world.sink.stop()
    message_id = await world.accept(CUSTOMER)
    waits = []
    since = world.clock()
    for _ in range(8):
        assert (AlarmKind.SMARTHOST_DOWN in await alarms(world)) == (world.clock() - since >= timedelta(minutes=15))
        due_at = await _first_due(world, message_id)
        waits.append((due_at - world.clock()).total_seconds() / 60)
        world.clock.at = due_at
        await world.work()
    for wait, expected in zip(waits, (1, 5, 15, 30), strict=False):
        assert expected <= wait <= expected * 1.1
    assert max(waits) <= 66
    copies = await world.copies(message_id)
    assert set(copies) == {ANN, ALL}, "nobody got it for an hour: Allmember may"
    for _ in range(130):
        await world.go(hours=1)
    life = await world.life(message_id)
    assert life["state"] == "dead", "given up, kept, and told"
    assert {copy["state"] for copy in life["deliveries"]} == {"failed"}
    assert await world.parts.store.content(life["queue_id"])


async def _first_due(world: RelayWorld, message_id: str) -> datetime:
    life = await world.life(message_id)
    ann = next(copy for copy in life["deliveries"] if copy["recipient"] == ANN)
    return datetime.fromisoformat(ann["due_at"])


@pytest.mark.parametrize("phase", ["banner", "ehlo", "mail"])
@SHARED
async def test_f23_a_temporary_refusal_before_anybody_is_named(shared: RelayWorld, phase: str) -> None:
    shared.sink.refuse(phase, "450 4.3.2 later", times=1)

    message_id = await shared.accept(TWO)
    states = sorted((await shared.copies(message_id)).values())
    assert states == [("deferred", ["deferred"]), ("delivered", ["delivered"])]
    await shared.go(minutes=2)

    assert shared.arrived(message_id) == {ANN: 1, BEN: 1}


@pytest.mark.parametrize("phase", ["rcpt", "data", "dot"])
@pytest.mark.parametrize("reply", ["450 4.2.0 later", "421 4.3.2 bye"])
@SHARED
async def test_f23_only_the_recipient_that_was_refused_is_tried_again(
    shared: RelayWorld, phase: str, reply: str
) -> None:
    shared.sink.refuse(phase, reply, recipient=ANN, times=1)

    message_id = await shared.accept(TWO)
    assert await shared.copies(message_id) == {ANN: ("deferred", ["deferred"]), BEN: ("delivered", ["delivered"])}
    await shared.go(minutes=2)

    assert await shared.copies(message_id) == {
        ANN: ("delivered", ["deferred", "delivered"]),
        BEN: ("delivered", ["delivered"]),
    }
    assert shared.arrived(message_id) == {ANN: 1, BEN: 1}


@pytest.mark.parametrize("phase", ["rcpt", "dot"])
@SHARED
async def test_f24_a_refusal_for_good_is_one_recipients_and_never_the_customers(shared: RelayWorld, phase: str) -> None:
    shared.sink.refuse(phase, "550 5.1.1 no such user", recipient=ANN)

    both = await shared.accept(TWO)
    alone = await shared.accept(CUSTOMER)
    await shared.go(minutes=2)

    assert {name: state for name, (state, _) in (await shared.copies(both)).items()} == {
        ANN: "failed",
        BEN: "delivered",
    }
    assert shared.arrived(alone) == {ALL: 1}, "our own mailbox is missing: others of us get it"
    told = {recipient for message in shared.sink.messages for recipient in message.recipients}
    assert told == {BEN, ALL}, "the customer hears nothing of it"


@pytest.mark.parametrize(
    ("phase", "reply"),
    [
        ("banner", "554 5.7.1 you are blocked"),
        ("ehlo", "550 5.7.1 no"),
        ("mail", "550 5.7.60 may not send as"),
        ("dot", "550 5.7.26 unauthenticated"),
    ],
)
async def test_f25_a_refusal_of_us_waits_with_an_alarm(world: RelayWorld, phase: str, reply: str) -> None:
    world.sink.refuse(phase, reply)

    message_id = await world.accept(CUSTOMER)

    assert await world.copies(message_id) == {ANN: ("deferred", ["deferred"])}
    assert AlarmKind.SMARTHOST_REFUSES_US in await alarms(world)
    await world.go(hours=2)
    assert set(await world.copies(message_id)) == {ANN}, "nobody else would fare better"
    world.sink.behave_well()
    await world.go(hours=2)
    assert world.arrived(message_id) == {ANN: 1}


@SHARED
async def test_f26_never_more_recipients_than_one_a_transaction(shared: RelayWorld) -> None:
    """So that none is too many; a server that says so all the same is asked again later."""
    message_id = await shared.accept(FOUR)
    assert sorted(shared.arrived(message_id).values()) == [1, 1, 1, 1]
    assert {len(message.recipients) for message in shared.sink.messages} == {1}

    for reply in ("452 4.5.3 too many recipients", "552 too many recipients", "552 5.5.3 too many recipients"):
        shared.sink.refuse("rcpt", reply, times=1)
        message_id = await shared.accept(CUSTOMER)
        assert await shared.copies(message_id) == {ANN: ("deferred", ["deferred"])}, reply
        await shared.go(minutes=2)
        assert shared.arrived(message_id) == {ANN: 1}
    assert classify_reply(Phase.RCPT, 552, "", "mailbox full") == (OutcomeKind.FAILED, Cause.RECIPIENT)


@SHARED
async def test_f28_greylisting_costs_one_copy_some_minutes(shared: RelayWorld) -> None:
    shared.sink.refuse("rcpt", "451 4.7.1 greylisted, come again in 5 minutes")
    message_id = await shared.accept(CUSTOMER)
    first_wait = await shared.due_at(message_id) - shared.clock()
    assert first_wait >= timedelta(minutes=1)

    for _ in range(5):
        await shared.go(minutes=1)
    shared.sink.behave_well()
    for _ in range(5):
        await shared.go(minutes=1)

    assert shared.arrived(message_id) == {ANN: 1}
    assert (await shared.copies(message_id))[ANN][1] == ["deferred", "deferred", "delivered"]


@pytest.mark.parametrize("act", ["close", "421"])
@SHARED
async def test_f29_an_idle_connection_that_went_away_counts_as_no_attempt(shared: RelayWorld, act: str) -> None:
    await shared.accept(CUSTOMER)
    before = shared.sink.connections
    if act == "close":
        shared.sink.close_connections()
    else:
        shared.sink.misbehave("mail:reply=421 4.4.2 idle too long,times=1")

    message_id = await shared.accept(CUSTOMER)

    assert await shared.copies(message_id) == {ANN: ("delivered", ["delivered"])}
    assert shared.sink.connections == before + 1


@SHARED
async def test_f30_content_that_is_refused_reaches_its_reader_in_another_form(shared: RelayWorld) -> None:
    shared.sink.refuse("dot", "554 5.7.1 spam", when=lambda octets: b"cheap watches" in octets)

    message_id = await shared.accept(CUSTOMER, "cheap watches")

    (notice,) = shared.sink.messages
    assert notice.recipients == (ANN,)
    assert message_id.encode() in notice.octets, "who wrote, about what, and where it is kept"
    states = await shared.copies(message_id)
    assert states[ANN][0] == "delivered"


@pytest.mark.parametrize("jump", [timedelta(days=365), -timedelta(hours=1), -timedelta(days=365)], ids=str)
async def test_f31_a_clock_that_jumps_expires_nothing_and_puts_nothing_off(world: RelayWorld, jump: timedelta) -> None:
    world.sink.refuse("rcpt", "450 4.2.0 later", times=2)
    message_id = await world.accept(CUSTOMER)

    world.clock.at += jump
    await world.work()

    assert (await world.copies(message_id))[ANN][0] != "failed", "tried once or twice, five days old or not"
    for _ in range(8):
        await world.go(minutes=30)
    assert world.arrived(message_id)[ANN] == 1
    assert (await world.life(message_id))["state"] == "delivered"


async def test_f31_leases_of_a_clock_that_ran_ahead_do_not_hold_work_for_a_year(world: RelayWorld) -> None:
    """Whoever held it is dead; it is no instance of ours that could be taken back."""
    store = world.parts.store
    ahead = world.clock() + timedelta(days=365)
    world.sink.refuse("rcpt", "450 4.2.0 later", times=1)
    message_id = await world.accept(CUSTOMER)
    (claimed,) = await store.claim_deliveries(ahead, Lease("elsewhere:1:z", ahead + timedelta(seconds=30)), 10)

    await world.work()
    await world.go(minutes=2)

    assert world.arrived(message_id) == {ANN: 1}
    assert claimed.attempt == 2


@pytest.mark.parametrize("slept", [timedelta(minutes=20), -timedelta(minutes=20)], ids=["slept", "clock put back"])
async def test_f17_a_worker_that_slept_past_its_lease_sends_nothing(world: RelayWorld, slept: timedelta) -> None:
    """Right before DATA it asks; somebody else has the copy by then."""
    store = world.parts.store
    world.sink.delay("rcpt", 0.5, times=1)
    accepting = asyncio.create_task(world.accept(CUSTOMER))
    while not any(line.startswith("RCPT") for _, line in world.sink.commands):  # noqa: ASYNC110  the sink has no event
        await asyncio.sleep(0.01)
    later = world.clock() + timedelta(minutes=10)
    (claimed,) = await store.claim_deliveries(later, Lease("elsewhere:1:z", later + timedelta(hours=1)), 10)
    world.clock.at += slept

    message_id = await accepting

    assert world.arrived(message_id) == {}
    assert claimed.attempt == 2
    assert not any(line == "DATA" for _, line in world.sink.commands)
