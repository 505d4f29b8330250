"""StoreUsers: accounts, failed logins, and from where people log in. Names are in comparing form (core.account)."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from supportrelay.core.account import Account
from supportrelay.core.errors import InputError
from supportrelay.edge.store.changes import change_row, write_change
from supportrelay.edge.store.rows import clean_text, pack_json, rfc3339, to_microseconds, unpack_json
from supportrelay.edge.store.writer import Command

__all__ = ["StoreUsers"]

T = TypeVar("T")

_ACCOUNT = "SELECT name, password_hash, addresses, disabled_at FROM users WHERE name = ?"
_ADD = """
INSERT INTO users (name, password_hash, addresses, made_at, changed_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO NOTHING"""
_LIST = "SELECT name, password_hash <> '', addresses, made_at, changed_at, disabled_at FROM users ORDER BY name"
_COUNT = """
INSERT INTO login_failures (key, count, until) VALUES (?1, 1, ?2) ON CONFLICT (key) DO UPDATE SET
count = CASE WHEN until > ?3 AND until <= ?2 THEN count + 1 ELSE 1 END,
until = CASE WHEN until > ?3 AND until <= ?2 AND count + 1 < ?4 THEN until ELSE ?2 END RETURNING count"""
_PLACE = """
INSERT INTO login_places (name, network, seen_at) VALUES (?1, ?2, ?3)
ON CONFLICT (name, network) DO UPDATE SET seen_at = ?3"""

_PLACE_NOTED_EVERY = timedelta(days=1)
_PLACE_KEPT = timedelta(days=90)


class StoreUsers:
    """Mixin of `SqliteStore`."""

    async def write(self, command: Command[T], *, slow: bool = False) -> T:
        """`SqliteStore.write`."""
        raise NotImplementedError

    def read(self, query: Command[T]) -> T:
        """`SqliteStore.read`."""
        raise NotImplementedError

    async def _list(self, query: Command[T]) -> T:
        """`StoreViews._list`."""
        raise NotImplementedError

    # -- accounts --

    def account(self, name: str) -> Account | None:
        """An account by its name."""
        row = self.read(lambda c: c.execute(_ACCOUNT, (clean_text(name),)).fetchone())
        return None if row is None else Account(row[0], row[1], tuple(unpack_json(row[2])), row[3] is not None)

    async def users(self) -> list[dict[str, Any]]:
        """``{name, addresses, disabled, has_password, made_at, changed_at}`` each, by name."""
        rows = await self._list(lambda c: c.execute(_LIST).fetchall())
        return [
            {
                "name": row[0],
                "addresses": unpack_json(row[2]),
                "disabled": row[5] is not None,
                "has_password": bool(row[1]),
                "made_at": rfc3339(row[3]),
                "changed_at": rfc3339(row[4]),
            }
            for row in rows
        ]

    async def user_add(
        self, name: str, password_hash: str, addresses: Sequence[str], *, who: str, now: datetime
    ) -> None:
        """Make an account.

        Raises:
            InputError: There is one.
        """
        at = to_microseconds(now)

        def command(connection: sqlite3.Connection) -> None:
            values = (clean_text(name), password_hash, pack_json(list(addresses)), at, at)
            if not connection.execute(_ADD, values).rowcount:
                raise InputError(f"there is a user {name} already")
            why = {"name": name, "addresses": list(addresses)}
            write_change(connection, change_row(at, "user.added", who, why))

        await self.write(command)

    async def user_password(self, name: str, password_hash: str, *, who: str, now: datetime) -> None:
        """Set his password; his failed logins are forgotten.

        Raises:
            InputError: No such user, as of all these.
        """
        at = to_microseconds(now)

        def command(connection: sqlite3.Connection) -> None:
            _update(connection, name, "password_hash = ?", password_hash, at)
            write_change(connection, change_row(at, "user.password_set", who, {"name": name}))

        await self.write(command)

    async def user_addresses(self, name: str, addresses: Sequence[str], *, who: str, now: datetime) -> None:
        """Set what he may write as beside his name."""
        at = to_microseconds(now)

        def command(connection: sqlite3.Connection) -> None:
            _update(connection, name, "addresses = ?", pack_json(list(addresses)), at)
            why = {"name": name, "addresses": list(addresses)}
            write_change(connection, change_row(at, "user.addresses_set", who, why))

        await self.write(command)

    async def user_disable(self, name: str, *, disabled: bool, who: str, now: datetime) -> None:
        """Nobody is let in by this name, or he is again."""
        at = to_microseconds(now)

        def command(connection: sqlite3.Connection) -> None:
            _update(connection, name, "disabled_at = ?", at if disabled else None, at)
            row = (
                change_row(at, "user.disabled", who, {"name": name})
                if disabled
                else change_row(at, "user.enabled", who, {"name": name})
            )
            write_change(connection, row)

        await self.write(command)

    async def user_remove(self, name: str, *, who: str, now: datetime) -> None:
        """The account goes, and what was kept of its logins."""
        at = to_microseconds(now)

        def command(connection: sqlite3.Connection) -> None:
            if not connection.execute("DELETE FROM users WHERE name = ?", (clean_text(name),)).rowcount:
                raise _no_user(name)
            connection.execute("DELETE FROM login_places WHERE name = ?", (clean_text(name),))
            write_change(connection, change_row(at, "user.removed", who, {"name": name}))

        await self.write(command)

    # -- logins --

    def login_failures(self, keys: Iterable[str], now: datetime, window: timedelta) -> dict[str, int]:
        """Failed logins that count now, by key; keys without are left out."""
        at, latest = to_microseconds(now), to_microseconds(now + window)
        sql = "SELECT key, count FROM login_failures WHERE key = ? AND until > ? AND until <= ?"
        found = [self.read(lambda c, key=key: c.execute(sql, (key, at, latest)).fetchone()) for key in keys]  # type: ignore[misc]
        return dict(row for row in found if row)

    async def count_login_failure(self, limits: Mapping[str, int], now: datetime, window: timedelta) -> dict[str, int]:
        """Count one failure against each key; how many there are now.

        A count lasts for the window from its first failure on, and from the one that reaches the limit anew. One that
        would last longer than a window was made by a clock that was set back since: it begins again.
        """
        at = to_microseconds(now)
        until = at + window // timedelta(microseconds=1)

        def command(connection: sqlite3.Connection) -> dict[str, int]:
            connection.execute("DELETE FROM login_failures WHERE until <= ?", (at,))
            return {
                key: int(connection.execute(_COUNT, (key, until, at, limit)).fetchone()[0])
                for key, limit in limits.items()
            }

        return await self.write(command)

    async def forget_login_failures(self, keys: Sequence[str]) -> None:
        """These count no more."""
        await self.write(lambda c: c.executemany("DELETE FROM login_failures WHERE key = ?", [(k,) for k in keys]))

    def knows_login_place(self, name: str, network: str, now: datetime) -> bool:
        """The user logged in from there within the last 90 days."""
        since = to_microseconds(now - _PLACE_KEPT)
        sql = "SELECT 1 FROM login_places WHERE name = ? AND network = ? AND seen_at > ?"
        return self.read(lambda c: c.execute(sql, (clean_text(name), network, since)).fetchone()) is not None

    async def note_login_place(self, name: str, network: str, now: datetime) -> None:
        """The user logged in from there; written once a day."""
        at = to_microseconds(now)
        since = to_microseconds(now - _PLACE_NOTED_EVERY)
        noted = "SELECT 1 FROM login_places WHERE name = ? AND network = ? AND seen_at > ?"
        if self.read(lambda c: c.execute(noted, (clean_text(name), network, since)).fetchone()) is not None:
            return
        old = to_microseconds(now - _PLACE_KEPT)

        def command(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM login_places WHERE seen_at <= ?", (old,))
            connection.execute(_PLACE, (clean_text(name), network, at))

        await self.write(command)


def _update(connection: sqlite3.Connection, name: str, what: str, value: str | int | None, at: int) -> None:
    sql = f"UPDATE users SET {what}, changed_at = ? WHERE name = ?"  # noqa: S608  `what` is one of three constants
    if not connection.execute(sql, (value, at, clean_text(name))).rowcount:
        raise _no_user(name)


def _no_user(name: str) -> InputError:
    return InputError(f"no user {name}; `supportrelay user list` names them")
