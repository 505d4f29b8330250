"""Opening the database file: pragmas, schema, migrations; sqlite3's errors turned into ours.

DIAGNOSTICS
  `StoreError`: the file cannot be used and trying again cannot help; the text says why, for who starts us.
  `TransientFailure`: locked (4.3.0), disk full (4.3.1), anything else the disk says (4.3.0). Nothing was written.
  sqlite3.ProgrammingError and InterfaceError pass through: they are bugs of ours.
"""

import re
import sqlite3
import time
import uuid
from importlib import resources
from pathlib import Path

from supportrelay.core.errors import InputError, TransientFailure

__all__ = ["SCHEMA_VERSION", "StoreError", "as_failure", "check_ours", "connect", "is_busy", "prepare"]

SCHEMA_VERSION = 3
_APPLICATION_ID = 0x53524C59  # "SRLY": tells our file from any other SQLite file
_MIGRATION = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_LOCKED_WAIT_S = 10.0
_OPEN_WAIT_S = 10.0
_CHECKED_AT_START_OCTETS = 16 * 1024 * 1024


class StoreError(InputError):
    """The store cannot be opened; the text says what to do."""


def connect(path: Path, *, read_only: bool, cache_kib: int = 16_384) -> sqlite3.Connection:
    """A connection as we use it everywhere: autocommit, WAL, every commit synced.

    It may move between threads, one at a time (`writer.GroupWriter`).
    """
    mode = "ro" if read_only else "rw"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=_OPEN_WAIT_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # Two processes that open the file at once, the first of them after a kill, wait for each other here; once open, the
    # writer never waits on the event loop: it asks, and leaves the waiting to its thread.
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if read_only:
        # Readers never wait for writers in WAL; only for the recovery of a file whose last user died.
        connection.execute("PRAGMA busy_timeout = 2000")
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA foreign_keys = ON")
        # The same on every build: what is freed in a page that is written anyway becomes zeros (`removal` asks more).
        connection.execute("PRAGMA secure_delete = FAST").fetchone()
        # NORMAL would lose commits that were answered with 250 when the power fails (RELIABILITY, section A).
        connection.execute("PRAGMA synchronous = FULL")
        # The checkpointer (writer.py) does this beside the traffic; this is the net below it.
        connection.execute("PRAGMA wal_autocheckpoint = 65536")
        connection.execute(f"PRAGMA journal_size_limit = {128 * 1024 * 1024}")
        connection.execute("PRAGMA busy_timeout = 0")
    return connection


def prepare(path: Path, *, create: bool) -> None:
    """Make the file when asked, bring its schema up to date, refuse what we do not know.

    Raises:
        StoreError: Missing and not to be created, no store of ours, damaged, or of a newer release.
        TransientFailure: Locked by somebody for longer than 10 s, or the disk is full.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old; this Python needs one of 3.35 or later")
    if not path.exists() or not path.stat().st_size:
        if not create and not path.exists():
            raise StoreError(
                f"{path}: no store here. If this is the first start, create it (`supportrelay serve` does so with an "
                "empty state directory); if it should exist, look for the file or restore a backup: "
                "accepted mail is in it"
            )
        _refuse_if_it_was_here(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    connection = None
    try:
        _refuse_if_cut_short(path)
        connection = connect(path, read_only=False)
        connection.execute(f"PRAGMA busy_timeout = {int(_LOCKED_WAIT_S * 1000)}")
        _check_whole(connection, path)
        _bring_up_to_date(connection, path)
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if is_busy(exc) or code == sqlite3.SQLITE_FULL:
            raise as_failure(exc) from exc
        why = "damaged or not a store of supportrelay" if code in _DAMAGED else "cannot be opened"
        raise StoreError(f"{path}: {why}: {exc}") from exc
    finally:
        if connection is not None:
            connection.close()


def _refuse_if_it_was_here(path: Path) -> None:
    """An empty queue must not come by accident where mail was accepted before (RELIABILITY F13)."""
    traces = [one for one in (f"{path}-wal", f"{path}-turn", f"{path}-gate") if Path(one).exists()]
    if traces:
        raise StoreError(
            f"{path}: the store is gone, but {', '.join(traces)} show that there was one: accepted mail is in it. Look "
            "for the file or restore a backup (`supportrelay storage restore`); to begin anew with an empty store, "
            "remove them too"
        )


def _refuse_if_cut_short(path: Path) -> None:
    """What its first page says of its length (SQLite's file format, 1.3) is compared before SQLite may write.

    Raises:
        StoreError: It is shorter than that.
    """
    with path.open("rb") as file:
        head = file.read(32)
    log_path = Path(f"{path}-wal")
    if not head or (log_path.exists() and log_path.stat().st_size):  # its last pages may stand in the log alone
        return
    page_octets = int.from_bytes(head[16:18], "big")
    page_octets = 65536 if page_octets == 1 else page_octets
    is_head = head.startswith(b"SQLite format 3\0") and page_octets.bit_count() == 1
    needed = page_octets * int.from_bytes(head[28:32], "big")
    if is_head and path.stat().st_size < needed:
        raise StoreError(
            f"{path}: damaged: it should have {needed} octets; restore a backup (`supportrelay storage restore`)"
        )


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a small file whose pages do not fit together.

    A large one is not read through at each start: its damage is met when the page is, and told then.

    Raises:
        StoreError: Damaged.
    """
    if path.stat().st_size <= _CHECKED_AT_START_OCTETS:
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise StoreError(f"{path}: damaged: {found}; restore a backup (`supportrelay storage restore`)")


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _known_version(connection, path)
        if version == 0:
            _create(connection)
        else:
            _migrate(connection, version)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a store of ours, 0 of an empty file.

    Raises:
        StoreError: Somebody else's file, or of a newer release.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if version == 0 and tables == 0:
        return 0
    if application != _APPLICATION_ID or version == 0:
        raise StoreError(f"{path}: a SQLite file, but not a store of supportrelay; left as it is")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: made by a newer supportrelay (schema {version}, this release knows {SCHEMA_VERSION}); "
            "install that release again or restore a backup made before the upgrade"
        )
    return version


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what is no store of ours.

    Raises:
        StoreError: Empty, somebody else's, or of a newer release.
    """
    try:
        version = _known_version(connection, path)
    except sqlite3.DatabaseError as exc:
        raise StoreError(f"{path}: damaged or not a store of supportrelay: {exc}") from exc
    if version == 0:
        raise StoreError(f"{path}: empty, not a store of supportrelay")


def _create(connection: sqlite3.Connection) -> None:
    for statement in _statements(resources.files(__package__).joinpath("schema.sql").read_text("utf-8")):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO meta (name, value) VALUES (?, ?)",
        [("instance_id", uuid.uuid4().hex), ("directory_version", "1")],
    )
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Apply what is newer than ``version``; each is recorded in the transaction it ran in."""
    for number, name, text in _migrations():
        if version < number <= SCHEMA_VERSION:
            for statement in _statements(text):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations (number, name, applied_at) VALUES (?, ?, ?)",
                (number, name, int(time.time() * 1_000_000)),
            )
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _migrations() -> list[tuple[int, str, str]]:
    folder = resources.files(__package__).joinpath("migrations")
    found = [(_MIGRATION.match(entry.name), entry) for entry in folder.iterdir()]
    return sorted((int(m[1]), m[2], entry.read_text("utf-8")) for m, entry in found if m)


def _statements(script: str) -> list[str]:
    """Single statements; sqlite3's executescript would commit our transaction first."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def is_busy(exc: BaseException) -> bool:
    """Somebody else holds the lock."""
    return (getattr(exc, "sqlite_errorcode", 0) & 0xFF) in _BUSY


def as_failure(exc: Exception) -> Exception:
    """What a caller gets for an error of sqlite3 or the disk; bugs stay what they are."""
    if isinstance(exc, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return exc
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(exc, "errno", None) in {28, 122}:  # ENOSPC, EDQUOT
        return TransientFailure("4.3.1", "No space to store the message now", detail=f"store: {exc}")
    if isinstance(exc, sqlite3.Error | OSError):
        return TransientFailure("4.3.0", "Cannot store now, please try again", detail=f"store: {exc}")
    return exc
