"""The store as an administrator handles it: an upgrade with a filled queue, a backup beside traffic, a restore."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import Relay, free_port, mail
from journeys.traffic import SUPPORT, customer, message_id_of
from smtp_sink import ThreadedSink

SCHEMA_1 = (Path(__file__).parents[1] / "contracts" / "schema_1.sql").read_text("utf-8")
UNDECIDED = 960
DEFERRED = 40


@pytest.fixture
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        yield sink


@pytest.fixture
def relay(tmp_path: Path, sink: ThreadedSink) -> Iterator[Relay]:
    """Not started; its next server is nowhere."""
    config = desk_config(sink.port) | {"outbound": {"host": "127.0.0.1", "port": free_port(), "tls": "none"}}
    relay = Relay(tmp_path, config, COMPANIES)
    yield relay
    if relay.process is not None:
        assert relay.stop() == 0


def a_mail(number: int) -> tuple[bytes, str]:
    message_id = f"<storage.{number}@mail.example>"
    return mail(sender=customer(number), to=SUPPORT, subject=f"storage {number}", message_id=message_id), message_id


def send(relay: Relay, numbers: range) -> set[str]:
    ids = set()
    for number in numbers:
        octets, message_id = a_mail(number)
        relay.send(octets, customer(number), [SUPPORT])
        ids.add(message_id)
    return ids


def with_a_server(relay: Relay, sink: ThreadedSink) -> None:
    relay.config["outbound"]["port"] = sink.port
    relay.write_config()


def arrived(sink: ThreadedSink) -> list[str]:
    return [message_id_of(one.octets) for one in sink.messages]


def as_schema_1(path: Path) -> None:
    """The same store as the first release would have it: its tables and columns, and nothing else."""
    old = path.with_suffix(".old")
    connection = sqlite3.connect(old)
    connection.executescript(SCHEMA_1)
    connection.execute("ATTACH ? AS now", (str(path),))
    application_id = connection.execute("PRAGMA now.application_id").fetchone()[0]
    for (table,) in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        if table.startswith("sqlite_"):
            continue
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"DELETE FROM main.{table}")
        connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")
    connection.commit()
    connection.execute("DETACH now")
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    old.rename(path)


def add_undecided(path: Path, numbers: range) -> set[str]:
    """Mails that the first release took and did not come to."""
    ids = set()
    connection = sqlite3.connect(path)
    (peer,) = connection.execute("SELECT peer FROM messages LIMIT 1").fetchone()
    for number in numbers:
        octets, message_id = a_mail(number)
        at = 1_770_000_000_000_000 + number
        seq = connection.execute(
            "INSERT INTO messages (queue_id, state, due_at, accepted_at, size_octets, is_smtputf8, message_id, "
            "subject, reverse_path, forward_paths, peer) VALUES (?, 'accepted', ?, ?, ?, 0, ?, ?, ?, ?, ?)",
            (f"old{number}", at, at, len(octets), message_id, f"storage {number}", customer(number),
             f'["{SUPPORT}"]', peer),
        ).lastrowid  # fmt: skip
        connection.execute("INSERT INTO contents (message, octets) VALUES (?, ?)", (seq, octets))
        ids.add(message_id)
    connection.commit()
    connection.close()
    return ids


def test_f38_a_queue_of_the_first_release_is_brought_along_and_delivered(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F38: a thousand queued mails, some decided and some not, survive the upgrade; each goes out once."""
    relay.start()
    sent = send(relay, range(DEFERRED))
    relay.settle()
    assert relay.stop() == 0
    path = relay.folder / "state" / "relay.db"
    as_schema_1(path)
    sent |= add_undecided(path, range(DEFERRED, DEFERRED + UNDECIDED))
    with_a_server(relay, sink)

    relay.start()
    relay.ask("queue.retry", queue_id=None)
    relay.settle(timeout=240)

    assert set(arrived(sink)) == sent
    copies = [(message_id_of(one.octets), recipient) for one in sink.messages for recipient in one.recipients]
    assert len(copies) == len(set(copies)), "nobody gets anything twice"
    assert relay.ask("queue.list") == []


def test_f37_a_backup_is_restored_held_and_let_go(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F37: the queue of the backup is shown and waits for a person; what is new goes its way."""
    relay.start()
    queued = send(relay, range(3))
    relay.settle()
    made = relay.run("storage", "backup", str(relay.folder / "backup.db"), "--json").json
    assert made["messages"] == made["unfinished"] == 3
    assert "is there already" in relay.run("storage", "backup", str(relay.folder / "backup.db"), expect=1).err
    lost = send(relay, range(3, 5))
    refused = relay.run("storage", "restore", str(relay.folder / "backup.db"), "--yes", expect=1).err
    assert "a relay is running" in refused
    relay.kill()

    restored = relay.run("storage", "restore", str(relay.folder / "backup.db"), "--yes", "--language", "en").out
    assert "Messages held: 3" in restored
    with_a_server(relay, sink)
    relay.start()
    new = send(relay, range(5, 6))
    relay.settle()
    assert set(arrived(sink)) == new
    held = relay.ask("queue.list")
    assert {one["message_id"] for one in held} == queued
    assert {one["state"] for one in held} == {"held"}
    assert "バックアップからの復元" in relay.run("trace", held[0]["queue_id"]).out
    relay.run("queue", "release", "--held-at-start")
    relay.settle()
    assert set(arrived(sink)) == queued | new
    assert not lost & set(arrived(sink)), "they came after the backup"


def test_f37_a_start_with_hold_sends_nothing_old(relay: Relay, sink: ThreadedSink) -> None:
    relay.start()
    queued = send(relay, range(2))
    relay.settle()
    assert relay.stop() == 0
    with_a_server(relay, sink)

    relay.start("--hold")
    relay.settle()
    assert arrived(sink) == []
    relay.run("queue", "release", "--held-at-start")
    relay.settle()
    assert set(arrived(sink)) == queued
