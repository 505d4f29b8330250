"""The digest: what waits for a person is named within the hour, and daily until somebody sees to it (DESIGN 5)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from contracts.store_samples import a_lease, a_mail, a_settlement, accept_and_settle
from flow.own_world import ADMIN, ANN, BOB, OwnWorld, text_of
from supportrelay.core.delivery import DeliveryKind, DeliveryState, MessageState
from supportrelay.core.ports import Change
from supportrelay.core.robot_limits import Limit
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store.changes import change_row, write_changes

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[OwnWorld]:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    world = OwnWorld(store)
    await world.clerk.tick()  # begins here
    yield world
    await store.aclose()


async def parked(world: OwnWorld, queue_id: str, state: MessageState, **values: Any) -> None:
    """A mail that nobody gets a copy of."""
    subject = values.pop("subject", "Printer on fire")
    known: dict[str, Any] = {
        "state": state,
        "direction": "loop" if state == MessageState.LOOPED else "inbound",
        "decision": {
            "rule": "newsletters" if state == MessageState.IGNORED else None,
            "reasons": [
                {"code": "author.external", "author": BOB},
                {"code": "disposition.too_much_automatic", "key": "sender:bot", "count": 11, "minutes": 10},
            ],
        },
        "deliveries": (),
        "copy_plan": None,
    }
    settlement = a_settlement(queue_id, now=world.at, lease=a_lease(until=world.at + 30), **(known | values))
    await accept_and_settle(world.store, settlement, mail=a_mail(queue_id, at=world.at, subject=subject))


async def passes(world: OwnWorld, seconds: float, *, step: float = 600) -> None:
    """Time goes by, and the clerk looks as it does."""
    end = world.at + seconds
    while world.at < end:
        world.clock.go(min(step, end - world.at))
        await world.clerk.tick()


async def digests(world: OwnWorld) -> list[Message]:
    return [one for one in await world.own_mail() if one["X-Supportrelay-Reason"] == "digest"]


def subject_of(message: Message) -> str:
    return str(make_header(decode_header(message["Subject"].replace("\r\n", ""))))


def named(message: Message, queue_ids: Sequence[str]) -> list[str]:
    return [one for one in queue_ids if f" {one} " in text_of(message)]


async def test_what_waits_is_named_within_the_hour_and_once(world: OwnWorld) -> None:
    for number, state in enumerate((MessageState.HELD, MessageState.LOOPED, MessageState.IGNORED)):
        await parked(world, f"q{number}", state)
    await world.dies("q3", proven=False)
    await passes(world, 5 * HOUR)

    (digest,) = await digests(world)

    assert digest["To"] == ADMIN
    assert digest["Reply-To"] == ADMIN
    assert digest["Auto-Submitted"] == "auto-generated"
    assert subject_of(digest) == "[supportrelay support@desk.test] 1 held, 1 undeliverable, 1 looped, 1 ignored"
    assert named(digest, ["q0", "q1", "q2", "q3"]) == ["q0", "q1", "q2", "q3"]
    text = text_of(digest)
    for told in (BOB, "Printer on fire", "newsletters", "11", "550 5.1.1 as the server says", "queue release", "retry"):
        assert told in text
    written = next(one for one in await world.store.queue_list() if one["deliveries"])
    assert written["accepted_at"] < "2026-03-02T10:00"


async def test_it_is_named_again_daily_until_somebody_sees_to_it(world: OwnWorld) -> None:
    await parked(world, "q1", MessageState.HELD)
    await passes(world, 2 * HOUR)
    await parked(world, "q2", MessageState.IGNORED)
    await passes(world, 2 * DAY)
    found = [named(one, ["q1", "q2"]) for one in await digests(world)]
    assert found == [["q1"], ["q2"], ["q1", "q2"], ["q1", "q2"]]

    await world.store.queue_drop("q1", "person:test", world.clock())
    await passes(world, DAY)
    await world.store.queue_drop("q2", "person:test", world.clock())
    await passes(world, 3 * DAY)

    found = [named(one, ["q1", "q2"]) for one in await digests(world)]
    assert found[4:] == [["q2"]]


async def test_a_restart_and_another_worker_repeat_and_skip_nothing(world: OwnWorld) -> None:
    await parked(world, "q1", MessageState.HELD)
    await passes(world, 20 * 60)
    world.clerk = world.new_clerk("here:2:b")
    await passes(world, 20 * 60)
    world.clerk = world.new_clerk("here:1:c")
    await passes(world, 6 * HOUR)

    assert [named(one, ["q1"]) for one in await digests(world)] == [["q1"]]


async def test_what_is_held_again_is_named_again(world: OwnWorld) -> None:
    await parked(world, "q1", MessageState.HELD)
    await passes(world, HOUR)
    await world.store.queue_release("q1", "person:test", world.clock())
    await passes(world, HOUR)
    await world.store.hold_message("q1", "station_broke", world.clock())
    await passes(world, HOUR)

    found = await digests(world)
    assert [named(one, ["q1"]) for one in found] == [["q1"], ["q1"]]
    assert "it broke a station three times" in text_of(found[1])


async def test_automatic_answers_that_went_to_nobody_are_named_once(world: OwnWorld) -> None:
    said = (Change("message.decided", "relay", {"direction": "automatic", "disposition": "relay", "recipients": []}),)
    await parked(world, "q1", MessageState.FILED, direction="automatic", changes=said)
    await passes(world, 3 * DAY)

    (digest,) = await digests(world)
    assert named(digest, ["q1"]) == ["q1"]
    assert "1 automatic answers" in subject_of(digest)


async def test_what_went_to_somebody_is_not_named(world: OwnWorld) -> None:
    (copy,) = await world.mail("q1", (ANN, DeliveryKind.OWNER))
    await world.ends(copy, "q1", DeliveryState.DELIVERED)
    await parked(world, "q2", MessageState.FILED)
    await passes(world, 2 * DAY)

    assert await world.own_mail() == []


async def test_a_flood_makes_one_mail_of_bounded_length(world: OwnWorld) -> None:
    await asyncio.gather(*(parked(world, f"q{number:03}", MessageState.HELD) for number in range(330)))
    await passes(world, 2 * HOUR)

    (digest,) = await digests(world)
    assert "330 held" in subject_of(digest)
    assert len(named(digest, [f"q{number:03}" for number in range(330)])) == 300
    assert "... and 30 more" in text_of(digest)
    assert len(digest.as_bytes()) < 256 * 1024


async def test_c49_others_words_stand_on_clean_lines(world: OwnWorld) -> None:
    evil = "a\u202egnp.exe\x1b[31m {0.__class__} {{7*7}} %n \u200b=cmd()\r\nBcc: eve@evil.example" + "x" * 500
    await parked(world, "q1", MessageState.HELD, subject=evil)
    await passes(world, HOUR)

    (digest,) = await digests(world)
    line = next(one for one in text_of(digest).split("\n") if "gnp.exe" in one)
    assert line.startswith("    agnp.exe[31m {0.__class__} {{7*7}} %n =cmd() Bcc:")
    assert len(line) <= 64
    assert "Bcc" not in digest


async def test_c58_a_digest_that_is_refused_is_told_to_nobody_again(world: OwnWorld) -> None:
    await parked(world, "q1", MessageState.HELD)
    await passes(world, HOUR)
    await world.store.queue_drop("q1", "person:test", world.clock())
    for claimed in await world.store.claim_deliveries(world.clock(), a_lease(until=world.at + 30), 10):
        await world.ends(claimed.delivery_id, claimed.queue_id, DeliveryState.FAILED)
    await passes(world, 3 * DAY)

    assert len(await world.own_mail()) == 1


async def test_a_digest_in_japanese_is_a_sound_mail(world: OwnWorld) -> None:
    desk = world.rulebook.desk
    address = replace(desk.addresses[0], language="ja")
    world.rulebook = replace(world.rulebook, desk=replace(desk, addresses=(address,)))
    await parked(world, "q1", MessageState.HELD, subject="プリンタ①が燃えています")
    await passes(world, HOUR)

    (digest,) = await digests(world)
    assert subject_of(digest) == "[supportrelay support@desk.test] 保留 1 件"
    assert "プリンタ①が燃えています" in text_of(digest)
    assert digest.as_bytes().isascii()


async def test_what_else_happened_is_named_once(world: OwnWorld) -> None:
    """An owner whom nobody reaches, a move that the desk's rules forbid."""
    at = int(world.clock().timestamp() * 1_000_000)
    rows = [
        change_row(at, "owner.unreachable", "relay", {"address": "gone@desk.test", "failures": 3}),
        change_row(at, "desk.move_refused", "relay", {"to": "CLOSED", "error": "a\x1b[0m rule \u202eforbids it"}),
    ]
    await world.store.write(lambda c: write_changes(c, rows))
    await passes(world, 3 * DAY)

    (digest,) = await digests(world)
    assert subject_of(digest).endswith("2 other events")
    assert "gone@desk.test cannot be reached" in text_of(digest)
    assert "refused to move a ticket to CLOSED: a[0m rule forbids it" in text_of(digest)


async def test_automatic_mail_that_is_held_just_now_is_named_with_the_rest(world: OwnWorld) -> None:
    limits = {"sender:bot@x.test": (Limit(1, timedelta(minutes=10)),)}
    for number in range(3):
        await world.store.count_robot(f"r{number}", limits, world.clock())
    await parked(world, "q1", MessageState.HELD)
    await passes(world, HOUR)

    (digest,) = await digests(world)
    assert "sender:bot@x.test" in text_of(digest)
