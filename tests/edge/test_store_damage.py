"""A store that is missing, cut short or damaged (RELIABILITY F13), and what is known of its disk (F09, F10)."""

import errno
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.store_samples import a_lease, a_mail, accept_and_settle, after, an_opening_settlement
from supportrelay.core.errors import TransientFailure
from supportrelay.core.reply import NO_ROOM, NOT_STORED
from supportrelay.edge.store import RESERVE_OCTETS, SqliteStore, StoreError
from supportrelay.edge.store.wellness import Wellness

PAGE = 4096


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


async def a_used_store(path: Path) -> None:
    store = SqliteStore(path, create=True)
    for number in range(40):
        await store.accept(a_mail(f"q{number}", octets=b"Subject: x\r\n\r\n" + b"y" * 20_000), None)
    await store.aclose()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()


def change(store: SqliteStore, statement: str) -> None:
    with sqlite3.connect(store.path) as other:
        other.execute(statement)
    other.close()


async def test_f13_a_store_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """What lies beside it tells that there was one."""
    path = tmp_path / "relay.db"
    await a_used_store(path)
    path.unlink()

    with pytest.raises(StoreError, match="the store is gone"):
        SqliteStore(path, create=True)
    assert not path.exists()


@pytest.mark.parametrize("kept", [0, 17, PAGE - 1, 10 * PAGE, -PAGE], ids=lambda kept: f"{kept} octets")
async def test_f13_a_store_that_is_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "relay.db"
    await a_used_store(path)
    octets = path.read_bytes()
    path.write_bytes(octets[:kept])

    with pytest.raises(StoreError, match=r"damaged|not a store|store is gone"):
        SqliteStore(path, create=True)
    assert path.read_bytes() == octets[:kept], "left as it is"


async def test_f13_a_store_whose_pages_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await a_used_store(path)
    octets = bytearray(path.read_bytes())
    for page in range(2, len(octets) // PAGE):
        octets[page * PAGE : page * PAGE + 8] = b"\xff" * 8
    path.write_bytes(octets)

    with pytest.raises(StoreError, match="damaged"):
        SqliteStore(path)


@pytest.mark.parametrize("column", ["peer", "forward_paths"])
async def test_f13_a_message_whose_row_cannot_be_read_is_parked_and_told(store: SqliteStore, column: str) -> None:
    for number in (1, 2, 3):
        await store.accept(a_mail(f"q{number}", at=number), None)
    change(store, f"UPDATE messages SET {column} = '{{' WHERE queue_id = 'q1'")

    claimed = await store.claim_messages(after(10), a_lease(), 10)

    assert [one.accepted.queue_id for one in claimed] == ["q2", "q3"]
    (life,) = await store.trace("q1")
    assert life["state"] == "held"
    assert "cannot be read" in str(life["changes"])


@pytest.mark.parametrize("change_it", ["SET kind = 'x'", "SET form = 'x'", "SET new_message_id = X'00'"])
async def test_f13_a_copy_whose_row_cannot_be_read_is_parked_and_the_others_go_on(
    store: SqliteStore, change_it: str
) -> None:
    for number in (1, 2):
        await accept_and_settle(store, an_opening_settlement(f"q{number}"))
    change(store, f"UPDATE deliveries {change_it} WHERE message = (SELECT seq FROM messages WHERE queue_id = 'q1')")

    claimed = await store.claim_deliveries(after(40), a_lease(until=70), 10)

    assert "q2" in [one.queue_id for one in claimed]


async def test_f13_a_message_whose_content_stands_on_a_damaged_page_is_parked(tmp_path: Path) -> None:
    """Damage that a start does not find is met when the page is read; then it costs one message."""
    path = tmp_path / "relay.db"
    await a_used_store(path)
    octets = bytearray(path.read_bytes())
    at = octets.index(b"y" * (PAGE - 4)) // PAGE * PAGE
    octets[at : at + 4] = b"\xff\xff\xff\xff"  # the number of the content's next page
    path.write_bytes(octets)
    store = SqliteStore.__new__(SqliteStore)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supportrelay.edge.store.database._CHECKED_AT_START_OCTETS", 0)
        store.__init__(path)  # type: ignore[misc]

    claimed = [one.accepted.queue_id for _ in range(5) for one in await store.claim_messages(after(10), a_lease(), 10)]

    lost = {f"q{number}" for number in range(40)} - set(claimed)
    assert len(lost) == 1
    (life,) = await store.trace(lost.pop())
    assert life["state"] == "held"
    await store.aclose()


def test_f09_room_is_what_a_mail_needs_and_a_reserve(tmp_path: Path) -> None:
    free = {"octets": 0}
    wellness = Wellness(tmp_path, lambda _folder: free["octets"])
    rows = [
        (RESERVE_OCTETS - 1, 0, NO_ROOM),
        (RESERVE_OCTETS, 0, None),
        (RESERVE_OCTETS, 10 << 20, None),
        (RESERVE_OCTETS, 11 << 20, NO_ROOM),
        (75 << 20, 50 << 20, None),
        ((75 << 20) - 1, 50 << 20, NO_ROOM),
    ]
    for octets, size, expected in rows:
        free["octets"] = octets
        wellness._looked_at = -10.0
        assert wellness.refusal(size) is expected, (octets, size)


def test_f10_only_the_disks_own_errors_stop_the_intake(tmp_path: Path) -> None:
    wellness = Wellness(tmp_path, lambda _folder: 1 << 40)
    for harmless in (TransientFailure("4.3.0", "x"), OSError(errno.EMFILE, "x"), KeyError("x")):
        assert not wellness.failed(harmless)
    assert wellness.refusal(0) is None

    assert wellness.failed(OSError(errno.EIO, "broken"))
    assert not wellness.failed(OSError(errno.EIO, "broken")), "told once"
    assert wellness.refusal(0) is NOT_STORED
    assert not wellness.failed(OSError(errno.ENOSPC, "full"))
    assert wellness.refusal(0) is NO_ROOM
    wellness.succeeded()
    assert wellness.refusal(0) is None
    assert wellness.past is not None
