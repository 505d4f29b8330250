"""The resolver against a server on loopback: what it keeps, whom it waits for, and what it calls unknown (C59)."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator

import dns.message
import pytest

import dns_server
from dns_server import DnsServer, txt
from supportrelay.core.errors import TransientFailure
from supportrelay.edge.dns import DnsResolver


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def resolver(server: DnsServer, clock: Clock) -> AsyncIterator[DnsResolver]:
    resolver = DnsResolver([("127.0.0.1", server.port)], timeout_s=30, clock=clock)
    yield resolver
    await resolver.aclose()


@pytest.fixture
async def hasty(server: DnsServer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DnsResolver]:
    """For questions that get no answer."""
    monkeypatch.setattr("supportrelay.edge.dns._PROBE_S", 0.3)
    resolver = DnsResolver([("127.0.0.1", server.port)], timeout_s=0.6, clock=clock)
    yield resolver
    await resolver.aclose()


async def answer_in_the_end(resolver: DnsResolver, clock: Clock) -> tuple[object, ...]:
    """However busy the machine is."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await resolver.ask("a.example", "TXT")
            except TransientFailure:
                clock.now += 100
                await asyncio.sleep(0.01)


async def until_silent(resolver: DnsResolver) -> None:
    """Ask until it has made sure that nobody is there."""
    await asyncio.gather(*(resolver.ask(f"{n}.example", "TXT") for n in range(4)), return_exceptions=True)
    for number in itertools.count():
        try:
            await resolver.ask(f"until{number}.example", "TXT")
        except TransientFailure as exc:
            if "silent" in exc.detail:
                return


async def test_every_kind_of_record_comes_back_plain(server: DnsServer, resolver: DnsResolver) -> None:
    server.add("a.example", "TXT", txt("one"), txt(b"x" * 300))
    server.add("a.example", "A", "192.0.2.1")
    server.add("a.example", "AAAA", "2001:db8::1")
    server.add("a.example", "MX", "10 MX.A.Example.")
    server.add("1.2.0.192.in-addr.arpa", "PTR", "Host.A.Example.")

    assert set(await resolver.ask("A.Example.", "TXT")) == {b"one", b"x" * 300}
    assert await resolver.ask("a.example", "A") == ("192.0.2.1",)
    assert await resolver.ask("a.example", "AAAA") == ("2001:db8::1",)
    assert await resolver.ask("a.example", "MX") == ((10, "mx.a.example"),)
    assert await resolver.ask("1.2.0.192.in-addr.arpa", "PTR") == ("host.a.example",)


async def test_an_alias_is_followed(server: DnsServer, resolver: DnsResolver) -> None:
    server.add("s1._domainkey.a.example", dns_server.ALIAS, "key.provider.example")
    server.add("key.provider.example", "TXT", txt("p=abc"))

    assert await resolver.ask("s1._domainkey.a.example", "TXT") == (b"p=abc",)


async def test_no_such_name_and_no_such_record_are_empty_answers(server: DnsServer, resolver: DnsResolver) -> None:
    server.add("a.example", "A", "192.0.2.1")

    assert await resolver.ask("a.example", "TXT") == ()
    assert await resolver.ask("nowhere.example", "TXT") == ()


@pytest.mark.parametrize(
    "name", ["", "a..example", "a." + "x" * 64 + ".example", "é.example", ".".join(["abcdefgh"] * 30)]
)
async def test_what_is_no_name_is_not_asked(server: DnsServer, resolver: DnsResolver, name: str) -> None:
    assert await resolver.ask(name, "TXT") == ()
    assert server.asked == []


async def test_a_truncated_answer_comes_by_tcp(server: DnsServer, resolver: DnsResolver) -> None:
    server.add("big.example", "TXT", txt("y" * 3000))
    server.faults["big.example"] = dns_server.LARGE

    assert await resolver.ask("big.example", "TXT") == (b"y" * 3000,)


async def test_an_answer_is_kept_as_long_as_it_says(server: DnsServer, resolver: DnsResolver, clock: Clock) -> None:
    server.add("a.example", "TXT", txt("one"))
    server.ttl = 60
    for _ in range(3):
        await resolver.ask("a.example", "TXT")
    assert server.count("a.example") == 1

    clock.now += 61
    await resolver.ask("a.example", "TXT")

    assert server.count("a.example") == 2


async def test_nothing_is_kept_longer_than_an_hour_and_no_absence_longer_than_five_minutes(
    server: DnsServer, resolver: DnsResolver, clock: Clock
) -> None:
    server.add("a.example", "TXT", txt("one"))
    server.ttl = 1_000_000
    await resolver.ask("a.example", "TXT")
    await resolver.ask("none.example", "TXT")
    clock.now += 301
    await resolver.ask("a.example", "TXT")
    await resolver.ask("none.example", "TXT")
    assert (server.count("a.example"), server.count("none.example")) == (1, 2)

    clock.now += 3600
    await resolver.ask("a.example", "TXT")

    assert server.count("a.example") == 2


async def test_equal_questions_share_one_query(server: DnsServer, resolver: DnsResolver) -> None:
    server.add("a.example", "TXT", txt("one"))
    server.faults["a.example"] = dns_server.SLOW
    server.slow_s = 0.1

    answers = await asyncio.gather(*(resolver.ask("a.example", "TXT") for _ in range(20)))

    assert (set(answers), server.count("a.example")) == ({(b"one",)}, 1)


async def test_who_gives_up_leaves_the_answer_for_the_next(server: DnsServer, resolver: DnsResolver) -> None:
    server.add("a.example", "TXT", txt("one"))
    server.faults["a.example"] = dns_server.SLOW
    server.slow_s = 0.15
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver.ask("a.example", "TXT"), 0.01)

    assert await resolver.ask("a.example", "TXT") == (b"one",)
    assert server.count("a.example") == 1


@pytest.mark.parametrize(
    "fault", [dns_server.SERVFAIL, dns_server.REFUSED, dns_server.DROP, dns_server.GARBAGE, dns_server.OTHER_ID]
)
async def test_c59_what_is_no_answer_is_unknown_and_never_empty(
    server: DnsServer, hasty: DnsResolver, clock: Clock, fault: str
) -> None:
    server.add("a.example", "TXT", txt("one"))
    server.faults["a.example"] = fault
    with pytest.raises(TransientFailure):
        await hasty.ask("a.example", "TXT")

    server.faults.clear()
    asked = server.count("a.example")
    with pytest.raises(TransientFailure):
        await hasty.ask("a.example", "TXT")  # left alone for a moment
    assert server.count("a.example") == asked

    clock.now += 4
    assert await answer_in_the_end(hasty, clock) == (b"one",)


async def test_c59_a_silent_resolver_is_not_waited_for_by_everybody(server: DnsServer, hasty: DnsResolver) -> None:
    server.faults["*"] = dns_server.DROP
    await until_silent(hasty)
    asked = len(server.asked)
    for number in range(500):
        with pytest.raises(TransientFailure):
            await hasty.ask(f"later{number}.example", "TXT")

    assert all(kind == "NS" for _, kind in server.asked[asked:])


async def test_c59_a_resolver_that_is_back_is_asked_again(
    server: DnsServer, hasty: DnsResolver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supportrelay.edge.dns._PROBE_AGAIN_S", 0.05)
    server.add("a.example", "TXT", txt("one"))
    server.faults["*"] = dns_server.DROP
    await until_silent(hasty)
    server.faults.clear()

    assert await answer_in_the_end(hasty, clock) == (b"one",)


async def test_c59_a_senders_own_slow_names_do_not_silence_the_resolver(
    server: DnsServer, hasty: DnsResolver, clock: Clock
) -> None:
    server.add("a.example", "TXT", txt("one"))
    slow = [f"{number}.evil.example" for number in range(6)]
    server.faults |= dict.fromkeys(slow, dns_server.DROP)

    refused = await asyncio.gather(*(hasty.ask(name, "TXT") for name in slow), return_exceptions=True)
    while server.count(".", "NS") == 0:  # noqa: ASYNC110  the server is a thread
        await asyncio.sleep(0.01)

    assert all(isinstance(one, TransientFailure) for one in refused)
    assert await answer_in_the_end(hasty, clock) == (b"one",)


async def test_without_any_server_nothing_is_known() -> None:
    resolver = DnsResolver([("127.0.0.1", 1)], timeout_s=0.6)
    with pytest.raises(TransientFailure):
        await resolver.ask("a.example", "TXT")
    await resolver.aclose()


async def test_two_thousand_records_are_read_by_a_thread(
    server: DnsServer, resolver: DnsResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dnspython takes 0.2 s for them, in which the event loop would serve nobody."""
    threads: set[str] = set()
    read = dns.message.from_wire

    def noting(wire: bytes, *arguments: object, **more: object) -> object:
        if len(wire) > 8192:
            threads.add(threading.current_thread().name)
        return read(wire, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("dns.message.from_wire", noting)
    server.add("many.example", "TXT", *(txt(str(number)) for number in range(2000)))
    server.faults["many.example"] = dns_server.LARGE

    assert len(await resolver.ask("many.example", "TXT")) == 100
    assert threads
    assert threading.main_thread().name not in threads
