"""A whole store in one file, and back (RELIABILITY F37)."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from contracts.store_samples import T0, a_lease, a_mail, accept_and_settle, after, an_opening_settlement
from supportrelay.core.errors import InputError
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.store.backup import back_up, restore

LARGE = b"Subject: large\r\n\r\n" + b"x" * (300 * 1024) + b"\r\n"


async def a_store(path: Path) -> SqliteStore:
    """One mail composed with a copy that is due, one undecided, one large and undecided."""
    store = SqliteStore(path, create=True)
    await accept_and_settle(store, an_opening_settlement("composed"))
    await store.accept(a_mail("undecided"), None)
    await store.accept(a_mail("large", octets=LARGE), None)
    return store


def leftovers(folder: Path) -> list[Path]:
    return [*folder.glob(".*"), *folder.glob("relay.db.before-*")]


def states(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT queue_id, state FROM messages WHERE queue_id NOT LIKE 'restored-%'"))
    finally:
        connection.close()


async def test_a_backup_of_a_store_in_use_is_one_sound_file(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "relay.db")
    made = back_up(tmp_path / "relay.db", tmp_path / "backup.db")
    await store.accept(a_mail("later"), None)
    await store.aclose()

    assert (made.messages, made.unfinished, made.tickets, made.lost_contents) == (3, 3, 1, ())
    assert made.octets == (tmp_path / "backup.db").stat().st_size
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
    assert sorted(states(tmp_path / "backup.db")) == ["composed", "large", "undecided"]
    elsewhere = tmp_path / "elsewhere" / "relay.db"
    restore(elsewhere, tmp_path / "backup.db", T0, "person:test")
    back = SqliteStore(elsewhere)
    assert await back.content("large") == LARGE, "there is no folder of contents there"
    await back.aclose()
    assert not leftovers(tmp_path)


async def test_f37_what_was_unfinished_is_held_and_let_go_by_a_person(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = await a_store(path)
    back_up(path, tmp_path / "backup.db")
    await store.accept(a_mail("lost"), None)
    before = await store.instance()
    await store.aclose()

    done = restore(path, tmp_path / "backup.db", T0, "person:test")

    assert done.held == 3
    assert done.former is not None
    assert "lost" in states(done.former), "the store that was there is kept, its log with it"
    assert set(states(path).values()) == {"held"}
    back = SqliteStore(path)
    assert await back.instance() == before
    assert await back.claim_messages(after(1), a_lease(), 10) == []
    assert await back.claim_deliveries(after(1), a_lease(), 10) == []
    await back.accept(a_mail("new"), None)
    assert [one.accepted.queue_id for one in await back.claim_messages(after(1), a_lease(), 10)] == ["new"]
    assert await back.queue_release_all("person:test", after(2)) == 3
    claimed = await back.claim_messages(after(3), a_lease(), 10)
    assert sorted(one.accepted.queue_id for one in claimed) == ["large", "undecided"]
    assert not any(one.released_by for one in claimed), "nothing was decided about them: rules may still hold them"
    assert len(await back.claim_deliveries(after(3), a_lease(), 10)) >= 1
    await back.aclose()


async def test_what_a_person_held_is_not_let_go_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = await a_store(path)
    await store.queue_hold("undecided", "person:mori", after(1))
    await store.hold_all(after(2))
    assert await store.queue_release_all("person:test", after(3)) == 2
    await store.aclose()
    assert states(path) == {"composed": "composed", "undecided": "held", "large": "accepted"}


async def test_numbers_of_the_lost_time_are_not_given_out_again(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = await a_store(path)
    back_up(path, tmp_path / "backup.db")
    await store.aclose()
    restore(path, tmp_path / "backup.db", T0, "person:test")

    back = SqliteStore(path)
    settled = await accept_and_settle(back, an_opening_settlement("next"))
    assert settled.ticket_id is not None
    assert settled.ticket_id > 10_000
    assert all(one.delivery_id > 10_000_000 for one in settled.deliveries)
    await back.aclose()


async def test_a_backup_is_never_written_over(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "relay.db")
    (tmp_path / "backup.db").write_bytes(b"precious")
    with pytest.raises(InputError, match="is there already"):
        back_up(tmp_path / "relay.db", tmp_path / "backup.db")
    assert (tmp_path / "backup.db").read_bytes() == b"precious"
    await store.aclose()


async def test_a_content_that_is_gone_is_named(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "relay.db")
    (file,) = [one for one in (tmp_path / "contents").rglob("*") if one.is_file()]
    file.unlink()
    assert back_up(tmp_path / "relay.db", tmp_path / "backup.db").lost_contents == ("large",)
    await store.aclose()


async def test_writers_go_on_while_a_backup_is_made(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "relay.db")
    making = asyncio.create_task(asyncio.to_thread(back_up, tmp_path / "relay.db", tmp_path / "backup.db"))
    for number in range(50):
        await store.accept(a_mail(f"beside-{number}"), None)
    await making
    await store.aclose()
    assert len(states(tmp_path / "relay.db")) == 53
    assert 3 <= len(states(tmp_path / "backup.db")) <= 53


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "somebody's", "newer"])
async def test_what_is_no_sound_store_is_refused_and_nothing_changes(tmp_path: Path, kind: str) -> None:
    path, bad = tmp_path / "relay.db", tmp_path / "bad.db"
    store = await a_store(path)
    back_up(path, bad)
    await store.aclose()
    octets = bad.read_bytes()
    if kind == "text":
        bad.write_bytes(b"Dear Sir or Madam, " * 300)
    elif kind == "empty":
        bad.write_bytes(b"")
    elif kind == "cut":
        bad.write_bytes(octets[: len(octets) // 2])
    else:
        connection = sqlite3.connect(bad)
        connection.execute("PRAGMA application_id = 7" if kind == "somebody's" else "PRAGMA user_version = 99")
        connection.close()
    before = states(path)

    with pytest.raises(InputError, match=r"bad\.db"):
        restore(path, bad, T0, "person:test")
    assert states(path) == before
    assert not leftovers(tmp_path)
