"""AUTH at the submission listener, over real TLS and with real hashes (RFC 4954, RELIABILITY C25)."""

import asyncio
import io
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import structlog
from argon2 import PasswordHasher

from certificates import Pair, make_pair
from smtp_client import Desk, RawClient, a_listener
from supportrelay import log
from supportrelay.core.account import Account
from supportrelay.core.envelope import Peer, Role
from supportrelay.core.errors import InputError, TransientFailure
from supportrelay.core.login_limits import LoginLimits, login_keys
from supportrelay.core.reply import LOGIN_FAILED, LOGIN_LATER, TOO_MANY_LOGINS, Reply
from supportrelay.edge.accounts.login import LoginDesk
from supportrelay.edge.accounts.passwords import PasswordChecker, checked_hash, hash_password
from supportrelay.edge.store import SqliteStore

NAME, PASSWORD = "ann@staff.test", "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # what a check costs is not the question here
HASH = CHEAP.hash(PASSWORD)
STRANGER, OTHER, TRUSTED = Peer("192.0.2.7", "c"), Peer("198.51.100.9", "c"), Peer("10.0.0.1", "c", is_trusted=True)


@dataclass
class Door:
    """A login desk on a real store, with a clock and waits that are only written down."""

    store: SqliteStore
    now: datetime = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    waits: list[float] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1000))
    checker: PasswordChecker = field(default_factory=lambda: PasswordChecker(hasher=CHEAP))
    limits: LoginLimits = field(default_factory=LoginLimits)

    def __post_init__(self) -> None:
        self.desk = LoginDesk(
            self.store, now=lambda: self.now, sleep=self._sleep, checker=self.checker, limits=self.limits
        )

    async def _sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)

    async def guess(self, times: int = 1, *, name: str = NAME, peer: Peer = STRANGER) -> list[Account | Reply]:
        return [await self.desk.login(name, f"guess number {next(self.numbers)}", peer) for _ in range(times)]

    async def enter(self, peer: Peer = STRANGER, password: str = PASSWORD, name: str = NAME) -> Account | Reply:
        return await self.desk.login(name, password, peer)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "relay.db", create=True)
    await store.user_add(NAME, HASH, ["ann.b@staff.test"], who="person:test", now=datetime(2026, 11, 1, tzinfo=UTC))
    yield store
    await store.aclose()


@pytest.fixture
def door(store: SqliteStore) -> Iterator[Door]:
    door = Door(store)
    yield door
    door.desk.close()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure("debug", stream=stream, is_json=True)
    structlog.configure(cache_logger_on_first_use=False)  # else the loggers of modules keep this stream
    yield stream
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"))


# -- the dialogue ----------------------------------------------------------------------------------------------------


class Members(Desk):
    """Submission for who has logged in."""

    def check_sender(self, reverse_path: str, peer: Peer, size: int) -> Reply | None:
        return None if peer.user else Reply(550, "5.7.1", "We do not take mail from this sender")


def plain(name: str = NAME, password: str = PASSWORD, acts_as: str = "") -> str:
    return b64encode(f"{acts_as}\0{name}\0{password}".encode()).decode()


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@asynccontextmanager
async def a_client(
    door: Door, pair: Pair, *, role: Role = Role.SUBMISSION, has_login: bool = True, tls: bool = True
) -> AsyncIterator[tuple[RawClient, Members]]:
    desk = Members(tls=pair.server)
    login = door.desk.login if has_login else None
    async with a_listener(desk, role=role, login=login) as listener, RawClient.to(listener) as client:
        if tls:
            await start_tls(client, pair.client)
        yield client, desk


async def start_tls(client: RawClient, context: ssl.SSLContext) -> None:
    await client.say("EHLO client.test")
    assert (await client.say("STARTTLS")).startswith("220")
    await client.writer.start_tls(context, server_hostname="localhost")
    await client.say("EHLO client.test")


async def test_auth_is_offered_over_tls_only(door: Door, pair: Pair) -> None:
    async with a_client(door, pair, tls=False) as (client, _):
        assert "AUTH" not in await client.say("EHLO client.test")
        assert (await client.say(f"AUTH PLAIN {plain()}")).startswith("538 5.7.11")
        assert (await client.say("MAIL FROM:<ann@staff.test>")).startswith("530 5.7.0 Must issue STARTTLS")
        await start_tls(client, pair.client)
        assert "250-AUTH PLAIN LOGIN" in (await client.say("EHLO client.test")).split("\n")
        assert (await client.say("MAIL FROM:<ann@staff.test>")).startswith("530 5.7.0 Authentication required")
    assert door.checker.checks == 0, "a password said in clear is not even looked at"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([f"AUTH PLAIN {plain()}"], id="plain-at-once"),
        pytest.param(["AUTH PLAIN", plain()], id="plain-asked"),
        pytest.param([f"auth pLaIn {plain(acts_as=NAME)}"], id="any-case-as-himself"),
        pytest.param(["AUTH LOGIN", encoded(NAME), encoded(PASSWORD)], id="login"),
        pytest.param([f"AUTH LOGIN {encoded(NAME.upper())}", encoded(PASSWORD)], id="login-with-name"),
    ],
)
async def test_a_user_logs_in_and_his_mail_carries_his_name(door: Door, pair: Pair, lines: list[str]) -> None:
    async with a_client(door, pair) as (client, desk):
        *asked, last = [await client.say(line) for line in lines]
        assert all(reply.startswith("334 ") for reply in asked)
        assert last == "235 2.7.0 Authentication successful"
        assert (await client.say(f"AUTH PLAIN {plain()}")).startswith("503 5.5.1")
        await client.say("RSET")
        assert (await client.send(b"Subject: x\r\n\r\nHello")).startswith("250")
    assert [envelope.peer.user for envelope, _ in desk.taken] == [NAME]


async def test_login_asks_for_name_and_password(door: Door, pair: Pair) -> None:
    async with a_client(door, pair) as (client, _):
        assert await client.say("AUTH LOGIN") == "334 " + encoded("Username:")
        assert await client.say(encoded(NAME)) == "334 " + encoded("Password:")
        assert await client.say(encoded("wrong")) == "535 5.7.8 User name or password is wrong"


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        pytest.param(["AUTH PLAIN", "*"], "501 5.7.0", id="cancelled"),
        pytest.param(["AUTH LOGIN", encoded(NAME), "*"], "501 5.7.0", id="cancelled-late"),
        pytest.param(["AUTH PLAIN ="], "501 5.5.2", id="empty"),
        pytest.param(["AUTH PLAIN !!!!"], "501 5.5.2", id="no-base64"),
        pytest.param(["AUTH PLAIN", "AAAA AAAA"], "501 5.5.2", id="blank-in-base64"),
        pytest.param(["AUTH PLAIN " + encoded("ann")], "501 5.5.2", id="one-part"),
        pytest.param(["AUTH PLAIN " + b64encode(b"\0\xff\0x").decode()], "501 5.5.2", id="no-utf-8"),
        pytest.param([f"AUTH PLAIN {plain(acts_as='boss@staff.test')}"], "535 5.7.8", id="acts-as-another"),
        pytest.param(["AUTH CRAM-MD5"], "534 5.7.9", id="weak"),
        pytest.param(["AUTH GSSAPI"], "504 5.5.4", id="unknown"),
        pytest.param(["AUTH"], "501 5.5.4", id="none"),
        pytest.param(["AUTH PLAIN", "A" * 12_287], "500 5.5.6", id="too-long-an-answer"),
        pytest.param(["AUTH PLAIN " + "A" * 12_288], "500 5.5.2", id="too-long-a-command"),
        pytest.param(["NOOP " + "A" * 512], "500 5.5.2", id="other-lines-stay-short"),
        pytest.param(["MAIL FROM:<ann@staff.test>", f"AUTH PLAIN {plain()}"], "235", id="mail-was-refused"),
    ],
)
async def test_what_is_no_login_is_refused_and_the_session_goes_on(
    door: Door, pair: Pair, lines: list[str], reply: str
) -> None:
    async with a_client(door, pair) as (client, _):
        said = [await client.say(line) for line in lines]
        assert said[-1].startswith(reply)
        assert (await client.say("NOOP")).startswith("250")


async def test_a_token_of_12288_octets_is_read(door: Door, pair: Pair) -> None:
    """RFC 4954 §4; the limits of passwords come after that."""
    async with a_client(door, pair) as (client, _):
        await client.say("AUTH PLAIN")
        token = plain(password="x" * 9_000)
        assert len(token) + 2 <= 12_288
        assert (await client.say(token)).startswith("535")


async def test_no_login_in_the_middle_of_a_transaction(door: Door, pair: Pair) -> None:
    async with a_client(door, pair) as (client, desk):
        desk.check_sender = lambda *_: None  # type: ignore[method-assign]
        await client.say("MAIL FROM:<ann@staff.test>")
        assert (await client.say(f"AUTH PLAIN {plain()}")).startswith("503 5.5.1")


async def test_c25_the_mx_knows_no_auth(door: Door, pair: Pair) -> None:
    async with a_client(door, pair, role=Role.MX, has_login=False) as (client, _):
        assert "AUTH" not in await client.say("EHLO client.test")
        assert (await client.say(f"AUTH PLAIN {plain()}")).startswith("502 5.5.1")


async def test_tls_forgets_nobody_logs_in_before_it(door: Door, pair: Pair) -> None:
    """What came in one segment with STARTTLS is never read (RFC 3207 §4.2)."""
    async with a_client(door, pair, tls=False) as (client, _):
        await client.say("EHLO client.test")
        client.writer.write(f"STARTTLS\r\nAUTH PLAIN {plain()}\r\n".encode())
        assert (await client.reply()).startswith("554 5.5.0")
    assert door.checker.checks == 0


# -- guessing --------------------------------------------------------------------------------------------------------


async def test_c25_a_hundred_guesses_meet_a_closed_door(
    door: Door, pair: Pair, logged: io.StringIO, store: SqliteStore
) -> None:
    """535 each, slower from the third on, 421 with the fifth of a session; then the client is not heard any more."""
    replies: list[str] = []
    desk, trusting = Members(tls=pair.server), pair.client
    async with a_listener(desk, role=Role.SUBMISSION, login=door.desk.login) as listener:
        while len(replies) < 30:
            async with RawClient.to(listener) as client:
                await start_tls(client, trusting)
                last = ""
                while last[:3] != "421":
                    last = await client.say(f"AUTH PLAIN {plain(password=f'guess number {len(replies)}')}")
                    replies.append(last)
                assert await client.reply() == "", "and the session is over"
    replies += [str(one) for one in await door.guess(70, peer=Peer("127.0.0.1", "c"))]

    assert len(replies) == 100
    assert replies[:5] == ["535 5.7.8 User name or password is wrong"] * 4 + [str(TOO_MANY_LOGINS)]
    assert [reply[:3] for reply in replies[:20]] == [*["535"] * 4, "421"] * 4
    assert {reply[:9] for reply in replies[20:]} == {"421 4.7.0"}
    assert door.checker.checks == 20, "no password is looked at after that"
    assert door.waits[:7] == [0, 0, 1, 2, 4, 8, 8]
    assert set(door.waits[5:]) == {8}

    assert await door.enter(Peer("127.0.0.1", "c")) == TOO_MANY_LOGINS, "the right one neither"
    assert isinstance(await door.enter(OTHER), Account), "somewhere else he gets in"
    events = [json.loads(line) for line in logged.getvalue().splitlines()]
    failed = [event for event in events if event["event"] == "login.failed"]
    assert [(event["peer"], event["user"], event["failures"]) for event in failed] == [
        ("127.0.0.1", NAME, n) for n in range(1, 21)
    ]
    assert "guess number" not in logged.getvalue()
    assert PASSWORD not in logged.getvalue()


async def test_c25_all_workers_count_together_and_a_restart_forgets_nothing(door: Door, store: SqliteStore) -> None:
    second = Door(SqliteStore(store.path))
    try:
        for n in range(20):
            assert await (door, second)[n % 2].guess() == [LOGIN_FAILED]
        assert await door.enter() == TOO_MANY_LOGINS
        assert await second.enter() == TOO_MANY_LOGINS
    finally:
        second.desk.close()
        await second.store.aclose()


async def test_c25_a_hundred_sessions_at_once_get_no_more_tries(door: Door) -> None:
    replies = await asyncio.gather(*(door.desk.login(NAME, f"guess {n}", STRANGER) for n in range(100)))

    assert door.checker.checks <= 21, "two are looked at at a time, so one may slip through"
    assert set(replies) == {LOGIN_FAILED, TOO_MANY_LOGINS}


async def test_c25_the_block_ends_after_an_hour(door: Door) -> None:
    await door.guess(20)
    assert await door.enter() == TOO_MANY_LOGINS
    door.now += timedelta(minutes=59)
    assert await door.enter() == TOO_MANY_LOGINS
    door.now += timedelta(minutes=1)
    assert isinstance(await door.enter(), Account)


async def test_c25_a_clock_that_is_set_back_locks_nobody_out(door: Door) -> None:
    door.now += timedelta(days=400)
    await door.guess(20)
    door.now -= timedelta(days=400)
    assert isinstance(await door.enter(), Account)
    assert await door.guess() == [LOGIN_FAILED]
    assert door.waits[-1] == 0, "counting begins anew"


async def test_c25_neighbours_are_one_client(door: Door) -> None:
    """Of IPv6 anybody has a /64, and who guesses by trade has a /24."""
    for n in range(20):
        await door.guess(peer=Peer(f"2001:db8::{n}", "c"))
    assert await door.enter(Peer("2001:db8::ffff", "c")) == TOO_MANY_LOGINS
    for n in range(100):
        await door.guess(peer=Peer(f"192.0.2.{n}", "c"), name=f"user{n}@staff.test")
    assert await door.enter(Peer("192.0.2.200", "c")) == TOO_MANY_LOGINS


async def test_c25_guesses_from_everywhere_block_the_name_but_not_where_he_is_known(door: Door) -> None:
    """Else anybody could keep him out."""
    assert isinstance(await door.enter(OTHER), Account)
    for n in range(30):
        await door.guess(peer=Peer(f"203.0.{n}.1", "c"))
    assert await door.enter(STRANGER) == LOGIN_LATER
    assert isinstance(await door.enter(OTHER), Account)


async def test_c25_a_name_that_nobody_has_gets_the_same(door: Door, logged: io.StringIO) -> None:
    """Answers, work and waits; so nobody learns who has an account."""
    known = await door.guess(25)
    checks, waits = door.checker.checks, list(door.waits)
    door.waits.clear()
    unknown = await door.guess(25, name="my-secret-passphrase", peer=OTHER)

    assert unknown == known
    assert door.checker.checks == 2 * checks
    assert door.waits == waits
    assert "my-secret" not in logged.getvalue(), "a password in the wrong field"


async def test_a_telephone_with_an_old_password_does_not_keep_its_office_out(door: Door, logged: io.StringIO) -> None:
    """The same guess again teaches nobody anything: it counts once, is told once, is slowed, and costs nothing."""
    assert {await door.enter(password="the password of last year") for _ in range(100)} == {LOGIN_FAILED}
    assert door.checker.checks == 1
    told = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [one["level"] for one in told if one["event"] == "login.failed"] == ["warning", *["debug"] * 99]
    assert isinstance(await door.enter(), Account)
    await door.guess(4)
    assert await door.enter(password="the password of last year") == LOGIN_FAILED
    assert door.waits[-3:] == [2, 4, 4]


async def test_a_password_that_was_wrong_is_right_once_it_was_set(door: Door, store: SqliteStore) -> None:
    assert await door.enter(password="tomorrows password") == LOGIN_FAILED
    await store.user_password(NAME, CHEAP.hash("tomorrows password"), who="person:test", now=door.now)
    assert isinstance(await door.enter(password="tomorrows password"), Account)


async def test_our_own_networks_are_neither_slowed_nor_blocked(door: Door) -> None:
    assert set(await door.guess(40, peer=TRUSTED)) == {LOGIN_FAILED}
    assert door.waits == []
    assert isinstance(await door.enter(TRUSTED), Account)


async def test_a_disabled_user_is_answered_as_a_wrong_password(door: Door, store: SqliteStore) -> None:
    await store.user_disable(NAME, disabled=True, who="person:test", now=door.now)
    assert await door.enter() == LOGIN_FAILED
    await store.user_disable(NAME, disabled=False, who="person:test", now=door.now)
    assert isinstance(await door.enter(), Account)


async def test_a_new_password_counts_at_once_although_the_old_one_is_remembered(door: Door, store: SqliteStore) -> None:
    assert isinstance(await door.enter(), Account)
    assert isinstance(await door.enter(), Account)
    assert door.checker.checks == 1, "a program that opens a connection a message does not cost 42 ms each"
    await store.user_password(NAME, hash_password("another horse battery"), who="person:test", now=door.now)
    assert await door.enter() == LOGIN_FAILED
    assert isinstance(await door.enter(password="another horse battery"), Account)
    door.now += timedelta(minutes=5)
    assert isinstance(await door.enter(password="another horse battery"), Account)
    assert door.checker.checks == 4


async def test_a_password_typed_on_another_keyboard_is_the_same(door: Door, store: SqliteStore) -> None:
    """Composed and decomposed letters, and the Japanese space (RFC 8265 §4.2.2)."""
    from supportrelay.core.account import prepared_password

    hashed = hash_password(prepared_password("passwo\u0308rter\u3000im Wald"))
    await store.user_password(NAME, hashed, who="person:test", now=door.now)
    assert isinstance(await door.enter(password="passw\u00f6rter im Wald"), Account)


async def test_too_many_checks_at_once_are_put_off(store: SqliteStore) -> None:
    door = Door(store, checker=PasswordChecker(waiting=1, hasher=CHEAP))
    peers = [Peer(f"198.51.{n}.1", "c") for n in range(6)]
    replies = await asyncio.gather(*(door.guess(peer=peer) for peer in peers))
    door.desk.close()

    assert [LOGIN_LATER] in replies
    assert [LOGIN_FAILED] in replies


class BrokenStore:
    """A store that cannot be read now."""

    def account(self, name: str) -> Account | None:
        raise TransientFailure("4.3.0", "Cannot read now", detail="store: disk I/O error")

    def login_failures(self, *_: Any) -> Mapping[str, int]:
        return {}


async def test_a_store_that_cannot_be_read_lets_nobody_in(pair: Pair) -> None:
    desk = LoginDesk(BrokenStore(), now=lambda: datetime.now(UTC))  # type: ignore[arg-type]
    assert await desk.login(NAME, PASSWORD, STRANGER) == LOGIN_LATER


async def test_c29_a_mistake_of_ours_is_454_and_tells_nothing(pair: Pair, logged: io.StringIO) -> None:
    async def broken(name: str, password: str, peer: Peer, /) -> Account | Reply:
        raise RuntimeError(f"{name} {password}")

    desk = Members(tls=pair.server)
    async with a_listener(desk, role=Role.SUBMISSION, login=broken) as listener, RawClient.to(listener) as client:
        await start_tls(client, pair.client)
        assert await client.say(f"AUTH PLAIN {plain()}") == str(LOGIN_LATER)
        assert (await client.say("NOOP")).startswith("250")
    assert PASSWORD not in logged.getvalue()
    assert "session.failed" in logged.getvalue()


# -- what is kept ----------------------------------------------------------------------------------------------------


async def test_nothing_of_a_password_is_kept_but_its_hash(door: Door, store: SqliteStore) -> None:
    await door.enter()
    await door.guess(3, name="my-secret-passphrase")
    octets = b"".join(file.read_bytes() for file in store.path.parent.iterdir() if file.is_file())

    assert PASSWORD.encode() not in octets
    assert b"guess number" not in octets
    assert b"my-secret" not in octets
    assert octets.count(HASH.encode()) >= 1


def test_hashes_that_are_none_or_cost_too_much_are_refused() -> None:
    assert checked_hash(HASH) == HASH
    dear = HASH.replace("m=64,", "m=4194304,")
    for text in ("", "clear text", dear, HASH.replace("argon2id", "argon2i")):
        with pytest.raises(InputError) as caught:
            checked_hash(text)
        assert text == "" or text not in str(caught.value)


async def test_a_check_costs_what_owasp_asks_for_and_leaves_the_loop_alone() -> None:
    checker = PasswordChecker()
    try:
        assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await checker.check(hash_password(PASSWORD), PASSWORD)
        assert not await checker.check(hash_password(PASSWORD), PASSWORD + " ")
        assert not await checker.check("", PASSWORD)
        assert not await checker.check("no hash at all", PASSWORD)
    finally:
        checker.close()


def test_an_account_prints_without_its_hash() -> None:
    assert HASH not in repr(Account(NAME, HASH))


def test_keys_of_clients() -> None:
    assert login_keys("192.0.2.7", "x").network == "network:192.0.2.0/24"
    assert login_keys("2001:db8:1:2:3::4", "x").address == "address:2001:db8:1:2::/64"
    assert login_keys("unknown", "x").address == "address:unknown"
    assert "ann" not in login_keys("192.0.2.7", "ann").user
