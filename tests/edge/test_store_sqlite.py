"""What is SQLite's own: the file, its schema, a locked and a full one, checkpoints."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.store_samples import a_lease, a_mail, accept_and_settle, after, an_opening_settlement
from supportrelay.core.errors import InputError, TransientFailure
from supportrelay.edge.store import SqliteStore, StoreError, checkpoint, database, sqlite_path, writer
from supportrelay.edge.store.turn import Turn


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "relay.db", create=True)
    yield made
    await made.aclose()


def test_a_missing_store_is_made_only_when_asked(tmp_path: Path) -> None:
    """RELIABILITY F13: never start with an empty queue silently."""
    with pytest.raises(StoreError, match="no store here"):
        SqliteStore(tmp_path / "relay.db")
    assert not (tmp_path / "relay.db").exists()


async def test_large_messages_are_claimed_a_few_at_a_time(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty mails of 25 MiB that wait are not read into memory together (RELIABILITY C17)."""
    monkeypatch.setattr("supportrelay.edge.store.intake._OCTETS_AT_ONCE", 2500)
    for number, octets in enumerate((5000, 1000, 1000, 1000, 10)):
        await store.accept(a_mail(f"q{number}", octets=b"x" * octets), None)

    claimed = [[m.accepted.queue_id for m in await store.claim_messages(after(1), a_lease(), 10)] for _ in range(4)]

    assert claimed == [["q0"], ["q1", "q2"], ["q3", "q4"], []]


async def test_a_store_is_found_again_with_everything_in_it(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "state" / "relay.db", create=True)
    instance = await first.instance()
    await first.accept(a_mail("q1"), None)
    await first.aclose()

    again = SqliteStore(tmp_path / "state" / "relay.db")
    assert await again.instance() == instance
    assert len(await again.claim_messages(after(1), a_lease(), 10)) == 1
    await again.aclose()


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        pytest.param(b"Dear Sir or Madam, " * 300, "damaged or not a store", id="text"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 5000, "damaged or not a store", id="a wrong head"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, octets: bytes, says: str) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(octets)

    with pytest.raises(StoreError, match=says):
        SqliteStore(path)
    assert path.read_bytes() == octets


def test_somebody_else_s_database_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "relay.db")
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()

    with pytest.raises(StoreError, match="not a store of supportrelay"):
        SqliteStore(tmp_path / "relay.db", create=True)


async def test_a_store_of_a_newer_release_is_refused(store: SqliteStore) -> None:
    connection = database.connect(store.path, read_only=False)
    connection.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    connection.close()

    with pytest.raises(StoreError, match="newer supportrelay"):
        SqliteStore(store.path)


async def test_a_migration_is_recorded_in_the_transaction_it_ran_in(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = database.SCHEMA_VERSION + 1
    script = "CREATE TABLE later (x TEXT);\n-- a comment; with a semicolon\nINSERT INTO later VALUES ('a;b');\n"
    monkeypatch.setattr(database, "SCHEMA_VERSION", newer)
    monkeypatch.setattr(database, "_migrations", lambda: [(newer, "later", script)])

    migrated = SqliteStore(store.path)
    try:
        assert migrated.read(lambda c: c.execute("SELECT x FROM later").fetchall()) == [("a;b",)]
        assert migrated.read(lambda c: c.execute("SELECT number, name FROM migrations").fetchall()) == [
            (newer, "later")
        ]
        assert migrated.read(lambda c: c.execute("PRAGMA user_version").fetchone()) == (newer,)
    finally:
        await migrated.aclose()


async def test_a_failing_migration_changes_nothing(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = database.SCHEMA_VERSION + 1
    monkeypatch.setattr(database, "SCHEMA_VERSION", newer)
    monkeypatch.setattr(database, "_migrations", lambda: [(newer, "bad", "CREATE TABLE later (x);\nNONSENSE;\n")])

    with pytest.raises(StoreError):
        SqliteStore(store.path)
    assert store.read(lambda c: c.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'later'").fetchone()) == (0,)


def test_a_store_of_the_first_release_becomes_one_of_this_one(tmp_path: Path) -> None:
    """Table by table, column by column, index by index; what ALTER appends differs in spaces and comments only."""
    older, newer = tmp_path / "older.db", tmp_path / "newer.db"
    connection = sqlite3.connect(older)
    connection.executescript((Path(__file__).parents[1] / "contracts" / "schema_1.sql").read_text("utf-8"))
    connection.execute("INSERT INTO meta (name, value) VALUES ('instance_id', 'abc')")
    connection.execute(f"PRAGMA application_id = {database._APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()

    for path in (older, newer):
        database.prepare(path, create=True)

    assert shape_of(older) == shape_of(newer)


def shape_of(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: re.sub(r"\s+", "", re.sub(r"--.*", "", sql)) for name, sql in rows}


async def test_a_locked_database_is_waited_for(store: SqliteStore) -> None:
    """RELIABILITY F11: an administrator's shell or a backup holds the lock for a moment."""
    other = database.connect(store.path, read_only=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.accept(a_mail("q1"), None))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()

    other.execute("ROLLBACK")
    await waiting
    other.close()


@pytest.mark.parametrize("what", ["lock", "turn"])
async def test_a_database_locked_for_too_long_is_a_transient_failure_and_recovers(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """RELIABILITY F11, F17: also when a frozen process has the turn; later commands go through once it lets go."""
    monkeypatch.setattr(writer, "_WAIT_S", 0.2)
    other = database.connect(store.path, read_only=False)
    turn = Turn(store.path)
    if what == "lock":
        other.execute("BEGIN IMMEDIATE")
    else:
        turn.take()

    with pytest.raises(TransientFailure) as caught:
        await store.accept(a_mail("q1"), None)
    assert caught.value.status == "4.3.0"

    if what == "lock":
        other.execute("ROLLBACK")
    else:
        turn.give_back()
    await store.accept(a_mail("q2"), None)
    claimed = await store.claim_messages(after(1), a_lease(), 10)
    assert [message.accepted.queue_id for message in claimed] == ["q2"]
    other.close()
    turn.close()


async def test_a_full_disk_is_a_transient_failure_with_its_own_status_and_recovers(store: SqliteStore) -> None:
    """RELIABILITY F09: 452 4.3.1, nothing half stored, recovers alone."""
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 10}")

    answers = await asyncio.gather(
        *(store.accept(a_mail(f"q{n}", octets=b"x" * 200_000), None) for n in range(4)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {TransientFailure}
    assert "4.3.1" in {answer.status for answer in answers if isinstance(answer, TransientFailure)}

    connection.execute("PRAGMA max_page_count = 1073741823")
    await store.accept(a_mail("q9"), None)
    assert [m.accepted.queue_id for m in await store.claim_messages(after(1), a_lease(), 10)] == ["q9"]


async def test_a_failed_commit_fails_every_command_that_shared_it(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that failed is never counted as done (RELIABILITY F10)."""

    class Broken:
        """The connection, with a disk that fails when it matters."""

        def __init__(self, real: sqlite3.Connection) -> None:
            self._real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return self._real.execute(sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(store._writer, "_connection", Broken(store._writer._connection))
        answers = await asyncio.gather(
            store.accept(a_mail("q1"), None), store.accept(a_mail("q2"), None), return_exceptions=True
        )

    assert [type(answer) for answer in answers] == [TransientFailure, TransientFailure]
    await store.accept(a_mail("q3"), None)
    assert [m.accepted.queue_id for m in await store.claim_messages(after(1), a_lease(), 10)] == ["q3"]


async def test_nothing_to_claim_takes_no_lock(store: SqliteStore) -> None:
    before = store.commits
    await store.claim_messages(after(1), a_lease(), 10)
    await store.claim_deliveries(after(1), a_lease(), 10)

    assert store.commits == before


async def test_closing_finishes_what_is_under_way(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    accepting = [asyncio.ensure_future(store.accept(a_mail(f"q{n}"), None)) for n in range(5)]
    await asyncio.sleep(0)
    await store.aclose()

    assert all(one.done() and one.exception() is None for one in accepting)
    with pytest.raises(TransientFailure):
        await store.accept(a_mail("late"), None)


async def test_the_write_ahead_log_does_not_grow_without_end(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_WAL_PAGES_TO_RESTART", 200)
    monkeypatch.setattr(checkpoint, "_COMMANDS_BETWEEN_CHECKPOINTS", 20)
    wal = store.path.with_name("relay.db-wal")
    sizes = []
    for number in range(600):
        await store.accept(a_mail(f"q{number}", octets=b"x" * 4096), None)
        sizes.append(wal.stat().st_size)

    assert max(sizes) < 600 * 6 * 4096 / 2


async def test_a_large_file_that_cannot_be_written_is_a_transient_failure(store: SqliteStore) -> None:
    (store.path.parent / "contents").write_text("in the way")

    with pytest.raises(TransientFailure):
        await store.accept(a_mail("q1", octets=b"x" * 300_000), None)
    assert await store.claim_messages(after(1), a_lease(), 10) == []


async def test_a_message_whose_content_is_lost_is_held_and_blocks_no_other(store: SqliteStore) -> None:
    """RELIABILITY F13: the bad row is parked."""
    await store.accept(a_mail("q1", octets=b"x" * 300_000), None)
    await store.accept(a_mail("q2"), None)
    for file in (store.path.parent / "contents").glob("*/*"):
        file.unlink()

    claimed = await store.claim_messages(after(1), a_lease(), 10)

    assert [message.accepted.queue_id for message in claimed] == ["q2"]
    assert [(m["queue_id"], m["state"]) for m in await store.queue_list(["held"])] == [("q1", "held")]


async def test_no_hot_query_scans_a_table(store: SqliteStore) -> None:
    """With 1,000,000 tickets a forgotten index is the end; SQLite says how it would look."""
    await accept_and_settle(store, an_opening_settlement("q1"))
    seen: set[str] = set()
    store._reader.set_trace_callback(seen.add)
    connection = store._writer._connection
    connection.set_trace_callback(seen.add)
    await run_everything(store)
    connection.set_trace_callback(None)
    store._reader.set_trace_callback(None)

    for statement in seen:
        if statement.lstrip().split(None, 1)[0] in {"SELECT", "UPDATE", "DELETE"}:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            scans = [line for line in plan if line.startswith("SCAN") and "USING INDEX deliveries_at_work" not in line]
            allowed = {"SCAN signing_keys", "SCAN absences", "SCAN duties", "SCAN CONSTANT ROW"}
            assert not {line for line in scans if "COVERING INDEX" not in line} - allowed, (statement, plan)


async def run_everything(store: SqliteStore) -> None:
    from contracts.store_samples import a_settlement, an_end
    from supportrelay.core.delivery import DeliveryState
    from supportrelay.core.ports import KnownId, TicketChange, WhereFrom

    where_from = WhereFrom(
        duplicate_key="k",
        in_reply_to=("<q1@acme.example>",),
        references=("<x@x>",),
        thread_index=b"r" * 22,
        token_ticket=1,
        customer="ann@acme.example",
        subject="printer on fire",
        subject_since=after(0),
        any_of_customer=True,
        address="support",
        message_id="<q2@acme.example>",
    )
    gathered = await store.gather(where_from)
    view = gathered.hits[0].ticket
    settlement = a_settlement(
        "q2",
        where_from=where_from,
        fingerprint=gathered.fingerprint,
        change=TicketChange(view.id, view.conversation_id),
        ids=(KnownId("<x@x>", "anchor"),),
        thread_index=b"r" * 22,
    )
    settled = await accept_and_settle(store, settlement)
    await store.renew(after(2), a_lease(), ["q2"], [d.delivery_id for d in settled.deliveries])
    await store.report(an_end(settled.deliveries[0].delivery_id, "q2", DeliveryState.DEFERRED, due_at=after(5)))
    await store.claim_deliveries(after(5), a_lease(), 10)
    await store.accept(a_mail("q3"), None)
    await store.claim_messages(after(5), a_lease(), 10)
    await store.release("here:1:a", after(6))
    await store.take_back("here", after(6))
    await store.nobody_got(after(100), 10)
    await run_the_desk(store)
    await store.delivery(1)
    await store.delivery_of_copy("<q1@acme.example>", "mori@relay.test")
    await store.absent_until(after(0))
    await store.content("q1")


async def run_the_desk(store: SqliteStore) -> None:
    from contracts.store_samples import number_of
    from supportrelay.core.crm_ports import DeskDone
    from supportrelay.core.outside import DeskTicket
    from supportrelay.core.ports import DeskOrder
    from supportrelay.core.ticket import Stage

    lease = a_lease()
    settlement = an_opening_settlement("q4", accepted_at=after(6), desk=DeskOrder(Stage.NEW, records=True))
    number = number_of(await accept_and_settle(store, settlement))
    ((work,),) = [claimed.work for claimed in await store.claim_desk(after(7), lease, 10)]
    made = DeskTicket("901", Stage.NEW, "1", after(7))
    await store.desk_opened(number, made, lease, after(7))
    await store.renew_desk([number], lease)
    await store.desk_done(number, DeskDone(work.id, "desk.moved", {}, seen=made, moves=True), lease, after(7))
    await store.desk_end(number, lease, after(7), due_at=after(99), error="503")
    await store.desk_due_now(after(8))
    await store.ticket_move(number, "CLOSED", "person:kim", after(8))
    closed = DeskTicket("901", Stage.WAITING, "2", after(9))
    await store.desk_unlike([closed])
    await store.desk_seen([(closed, after(9))], after(9))
    await store.desk_to_check(10, after(100), now=after(100))
    await store.work_left(after(9))
    await store.queue_retry("q4", "person:kim", after(9))
    await store.enter("hubspot", every_us=1, burst=1, daily=9, now=after(9), most_wait_us=9)
    await store.close("hubspot", after(10), "503")
    await store.reopen("hubspot")
    await store.remember("customer", {"ann@acme.example": {}}, after(9), after(99))
    store.recall("customer", "ann@acme.example")
    await store.hold_duty("watch", lease, after(9))
    await store.note_duty("watch", lease, {"since": 1})
    await store.purge_trash(after(100))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        pytest.param("sqlite:////var/lib/relay.db", "/var/lib/relay.db", id="absolute"),
        pytest.param("sqlite:///state/relay.db", "/etc/relay/state/relay.db", id="relative to the configuration"),
    ],
)
def test_a_url_names_the_file(url: str, path: str) -> None:
    assert sqlite_path(url, Path("/etc/relay")) == Path(path)


async def test_a_frozen_process_with_the_turn_does_not_keep_us_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_WAIT_S", 0.2)
    store = SqliteStore(tmp_path / "relay.db", create=True)
    turn = Turn(store.path)
    turn.take()
    accepting = asyncio.ensure_future(store.accept(a_mail("q1"), None))
    await asyncio.sleep(0)

    await store.aclose()

    with pytest.raises(TransientFailure):
        await accepting
    turn.close()


@pytest.mark.parametrize("url", ["postgresql://x/y", "sqlite:", "sqlite:///", "/var/lib/relay.db"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        sqlite_path(url)
