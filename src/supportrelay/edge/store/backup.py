"""A whole store in one file while the relay runs, and back from it.

A backup is a SQLite file of ours without a log beside it: what lay in `contents/` stands in it, so one file is
everything. It is the state of one instant, taken beside the traffic.
"""

import os
import secrets
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from supportrelay.core.errors import InputError
from supportrelay.core.value import value_class
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.contents import ContentFiles, sync
from supportrelay.edge.store.database import check_ours, connect
from supportrelay.edge.store.holding import hold_all
from supportrelay.edge.store.rows import to_microseconds

__all__ = ["Backup", "Restored", "back_up", "restore"]

_LOG_FILES = ("-wal", "-shm")
# Numbers given out after the backup was made stand in tokens of mail that is out there; they must not come again.
_TICKETS_PASSED_OVER = 10_000
_DELIVERIES_PASSED_OVER = 10_000_000


@value_class
class Backup:
    """What a backup holds.

    Attributes:
        messages, unfinished, tickets: Counts; ``unfinished`` is what a restore would hold.
        octets: Size of the file.
        lost_contents: Queue ids whose content could not be read; they are in the backup without it.
    """

    messages: int
    unfinished: int
    tickets: int
    octets: int
    lost_contents: tuple[str, ...] = ()


@value_class
class Restored:
    """What came back.

    Attributes:
        held: Messages that wait for a person now.
        former: Where the store that was there lies, None when there was none.
    """

    held: int
    former: Path | None


def back_up(path: Path, target: Path) -> Backup:
    """Write the store at ``path`` into ``target``, which appears only when it is whole and synced.

    Raises:
        InputError: ``target`` is there, cannot be written, or the copy is not sound; ``path`` is no store.
    """
    if target.exists():
        raise InputError(f"{target}: is there already; a backup is never written over")
    if not path.exists():
        raise InputError(f"{path}: no store here")
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        made = _copy(path, part)
        sync(part)
        part.rename(target)
        sync(target.parent)
    except (OSError, sqlite3.Error) as exc:
        raise InputError(f"{target}: the backup could not be made: {exc}") from exc
    finally:
        with suppress(OSError):
            part.unlink()
    return made


def _copy(path: Path, part: Path) -> Backup:
    with closing(connect(path, read_only=True)) as source, closing(_plain(part)) as copy:
        source.backup(copy)  # one step: a snapshot, whatever is written meanwhile
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        lost = _fold_in(copy, ContentFiles(path.parent / "contents"))
        _refuse_unsound(copy, part)
        messages, unfinished = copy.execute(
            "SELECT count(*), coalesce(sum(state IN ('accepted', 'waiting', 'composed')), 0) FROM messages"
        ).fetchone()
        (tickets,) = copy.execute("SELECT count(*) FROM tickets").fetchone()
    return Backup(messages, unfinished, tickets, part.stat().st_size, tuple(lost))


def _fold_in(copy: sqlite3.Connection, contents: ContentFiles) -> list[str]:
    """Bring the files' octets in; queue ids of those that could not be read."""
    lost = []
    rows = copy.execute(
        "SELECT c.message, c.file, m.queue_id FROM contents c JOIN messages m ON m.seq = c.message "
        "WHERE c.file IS NOT NULL"
    ).fetchall()
    for message, file, queue_id in rows:
        try:
            octets = contents.read(file)
        except (OSError, KeyError):
            lost.append(queue_id)
            continue
        copy.execute("UPDATE contents SET octets = ?, file = NULL WHERE message = ?", (octets, message))
    return lost


def restore(path: Path, source: Path, now: datetime, who: str) -> Restored:
    """Put a backup where the store is. The caller holds the relay's lock, so nobody has the store open.

    What is unfinished in it is held, for part of it may have been sent after the backup was made. The store that was
    there is kept under another name.

    Raises:
        InputError: ``source`` is no sound store of ours, or of a newer release; nothing was changed.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copyfile(source, fresh)
        held = _make_ready(fresh, source, to_microseconds(now), who)
        sync(fresh)
        former = _put_aside(path, now)
        fresh.rename(path)
        sync(path.parent)
    except (OSError, sqlite3.Error) as exc:
        raise InputError(f"{source}: could not be restored: {exc}") from exc
    finally:
        for left in (fresh, *(Path(f"{fresh}{suffix}") for suffix in (*_LOG_FILES, "-journal"))):
            with suppress(OSError):
                left.unlink()
    return Restored(held, former)


def _make_ready(fresh: Path, source: Path, at: int, who: str) -> int:
    with closing(_plain(fresh)) as connection:
        check_ours(connection, source)
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        _refuse_unsound(connection, source)
        connection.execute("BEGIN IMMEDIATE")
        held = hold_all(connection, at, "restored")
        _pass_over_numbers(connection, at, who)
        connection.execute("COMMIT")
    return held


def _pass_over_numbers(connection: sqlite3.Connection, at: int, who: str) -> None:
    """Begin tickets and deliveries at numbers that the lost time cannot have used; the record says when."""
    connection.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'tickets'", (_TICKETS_PASSED_OVER,))
    marker = connection.execute(
        "INSERT INTO messages (queue_id, state, accepted_at, size_octets, is_smtputf8, message_id, subject, "
        "reverse_path, forward_paths, peer) VALUES (?, 'filed', ?, 0, 0, '', 'restored from a backup', '', '[]', '{}')",
        (f"restored-{at}", at),
    ).lastrowid
    connection.execute(
        "INSERT INTO deliveries (id, message, state, attempts, kind, recipient, recipient_key, why, new_message_id) "
        "SELECT coalesce(max(id), 0) + ?, ?, 'dropped', 0, 'note', '', '', 'restored', '' FROM deliveries",
        (_DELIVERIES_PASSED_OVER, marker),
    )
    write_change(connection, change_row(at, "store.restored", who, {}, message=marker))


def _put_aside(path: Path, now: datetime) -> Path | None:
    if not path.exists():
        return None
    former = path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%SZ}")
    if former.exists():
        raise InputError(f"{former}: is there already; move it away first")
    # The log belongs to the file: what was committed last may stand in it alone.
    for suffix in _LOG_FILES:
        if Path(f"{path}{suffix}").exists():
            Path(f"{path}{suffix}").rename(f"{former}{suffix}")
    path.rename(former)
    return former


def _refuse_unsound(connection: sqlite3.Connection, path: Path) -> None:
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise InputError(f"{path}: damaged: {said}")


def _plain(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")  # the file is synced as a whole before it gets its name
    return connection
