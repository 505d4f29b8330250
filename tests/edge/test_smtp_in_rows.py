"""The listener under limits and clocks of a test's own: rows of RELIABILITY C1, C2 and D (aiosmtpd's limits)."""

import asyncio
import errno
import re
import shutil
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from smtp_client import Desk, RawClient, a_listener, all_gone
from strange_client import StrangeClient, proxy_v1, proxy_v2
from supportrelay.core.envelope import Role
from supportrelay.core.errors import InputError
from supportrelay.core.reply import NOT_OURS, TOO_MANY_FROM_YOU
from supportrelay.edge.smtp_in import Census, Certificates, Limits, SharedCounts, content
from supportrelay.edge.smtp_in.census import client_key
from supportrelay.edge.smtp_in.content import ContentReader
from supportrelay.edge.smtp_in.intake import Budget, Intake
from supportrelay.edge.smtp_in.proxy import ProxyHeaderError, read_proxy_header
from supportrelay.edge.smtp_in.refusals import RefusalLog
from supportrelay.edge.smtp_in.session import Session
from supportrelay.edge.smtp_in.spool import Spool

MAIL = b"Subject: a question\r\n\r\nHello"
LOOPBACK = (ip_network("127.0.0.0/8"),)
PATIENT = Limits(error_points=10**9)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a.crt``, ``a.key``, ``b.crt``, ``b.key``."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, days in (("a", 300), ("b", 3)):
        subprocess.run(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN={name}"
            f" -keyout {folder}/{name}.key -out {folder}/{name}.crt".split(),
            check=True,
            capture_output=True,
        )
    return folder


# --- C1 ---


async def test_c08_no_control_nor_eight_bit_octet_passes_in_an_address() -> None:
    """Each of 00-1F, 7F, 80-FF at the beginning, inside and at the end of local part and domain (D07)."""
    forbidden = [octet for octet in (*range(0x20), *range(0x7F, 0x100)) if octet != 0x0A]
    shapes = (b"%bann@b.test", b"a%bnn@b.test", b"ann%b@b.test", b"ann@%bb.test", b"ann@b%b.test", b"ann@b.test%b")
    async with a_listener(Desk(), limits=PATIENT) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        for command, refusals in ((b"MAIL FROM:<", {"501 5.1.7", "553 5.6.7"}), (b"RCPT TO:<", {"501 5.1.3"})):
            if command.startswith(b"RCPT"):
                await client.say("MAIL FROM:<ann@b.test>")
            for shape in shapes:
                client.writer.write(
                    b"".join(command + shape.replace(b"%b", bytes([octet])) + b">\r\n" for octet in forbidden)
                )
                replies = {(await client.reply())[:9] for _ in forbidden}
                assert replies <= refusals
        assert (await client.say("MAIL FROM:<用户@b.test>")).startswith("503 ")
        assert (await client.say("RCPT TO:<用户@desk.test>")).startswith("553 5.6.7 ")


async def test_c08_a_line_feed_inside_an_address_ends_a_broken_command() -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        client.write(b"MAIL FROM:<a\nb@b.test>")
        assert [(await client.reply())[:9] for _ in range(2)] == ["500 5.5.2", "500 5.5.1"]


async def test_d08_open_brackets_cost_nothing() -> None:
    """aiosmtpd's grammar recurses on them."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        for opened in ("(" * 900, "<" * 900, '"' * 899, "@" * 900, "\\" * 900):
            assert (await client.say(f"MAIL FROM:<{opened}>")).startswith("501 5.1.7 ")
        assert (await client.say("MAIL FROM:<a@b.test>")).startswith("250 ")


# --- C2: before the greeting ---


@pytest.mark.parametrize("octets", [b"EHLO x\r\n", b"GET / HTTP/1.1\r\n\r\n", proxy_v1("192.0.2.9"), b"\r\n", b"E"])
async def test_c12_d17_who_speaks_before_the_greeting_is_sent_away(octets: bytes) -> None:
    """554 and never a 220."""
    async with a_listener(Desk(), limits=Limits(greet_after_s=30)) as listener:
        reader, writer = await asyncio.open_connection(*listener.address)
        writer.write(octets)
        async with asyncio.timeout(30):
            assert (await reader.read()).startswith(b"554 5.5.0 ")
        writer.close()


async def test_c12_our_own_people_are_greeted_at_once() -> None:
    desk = Desk(trusted=frozenset({"127.0.0.1"}))
    async with a_listener(desk, limits=Limits(greet_after_s=1000)) as listener:
        reader, writer = await asyncio.open_connection(*listener.address)
        writer.write(b"EHLO early.device\r\n")
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"220 ")
            assert (await reader.readline()).startswith(b"250-")
        writer.close()


async def test_c26_a_named_proxy_must_say_something_in_time() -> None:
    async with a_listener(Desk(), limits=Limits(proxy_s=0.2), proxies=LOOPBACK) as listener:
        reader, writer = await asyncio.open_connection(*listener.address)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
        await all_gone(listener)


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_c26_proxy_header_and_client_hello_in_one_segment(loop: object, pairs: Path) -> None:
    """A proxy that passes TLS through; what came behind its header belongs to the handshake."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pairs / "a.crt", pairs / "a.key")
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE

    def talk(address: tuple[str, int]) -> tuple[str, str]:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = anybody.wrap_bio(incoming, outgoing)
        with StrangeClient(address, source="127.0.0.1") as client:
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            client.send(proxy_v2("192.0.2.7") + outgoing.read())
            while True:
                incoming.write(client.socket.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.send(outgoing.read())
            client.send(outgoing.read())
            found = b""
            while not found.endswith(b"\r\n"):
                try:
                    found += tls.read(65536)
                except ssl.SSLWantReadError:
                    incoming.write(client.socket.recv(65536))
            return found.decode(), tls.version() or ""

    async def main() -> None:
        desk = Desk(tls=server)
        async with a_listener(desk, tls_implicit=True, proxies=LOOPBACK) as listener:
            greeting, version = await asyncio.to_thread(talk, listener.address)
        assert greeting.startswith("220 ")
        assert version == "TLSv1.3"

    loop(main())  # type: ignore[operator]


@pytest.mark.parametrize("is_implicit", [True, False], ids=["implicit", "starttls"])
@pytest.mark.parametrize("ends", ["nonsense", "closes", "resets", "says nothing"])
def test_f34_a_handshake_that_fails_gives_its_place_back(
    is_implicit: bool, ends: str, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it fails; a place that is not given back is gone until the restart."""
    monkeypatch.setattr("supportrelay.edge.smtp_in.connection._HANDSHAKE_S", 0.3)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pairs / "a.crt", pairs / "a.key")

    def talk(address: tuple[str, int]) -> None:
        with StrangeClient(address, source="127.0.0.1") as client:
            if not is_implicit:
                client.reply()
                client.say("EHLO x")
                client.say("STARTTLS")
            if ends == "nonsense":
                client.send(b"no TLS at all\r\n\r\n")
            elif ends == "resets":
                client.send(b"\x16\x03\x01\x02\x00\x01")
                client.reset()
                return
            if ends != "closes":
                client.rest()

    async def main() -> None:
        desk = Desk(tls=server)
        async with a_listener(desk, tls_implicit=is_implicit) as listener:
            await asyncio.to_thread(talk, listener.address)
            await all_gone(listener)

    uvloop.run(main())  # the workers' loop, which tells of such ends in ways of its own


def test_proxy_headers_are_read_however_they_are_cut() -> None:
    for header, ip in (
        (proxy_v1("192.0.2.9"), "192.0.2.9"),
        (proxy_v1("2001:DB8::9", target="::1", family="TCP6"), "2001:db8::9"),
        (b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", "unknown"),
        (proxy_v2("192.0.2.9"), "192.0.2.9"),
        (proxy_v2("::ffff:192.0.2.9"), "192.0.2.9"),
        (proxy_v2("2001:db8::9", more=b"\x04\x00\x01x" * 100), "2001:db8::9"),
        (proxy_v2("192.0.2.9", command=0x20), ""),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00", "unknown"),
    ):
        assert [read_proxy_header(header[:cut]) for cut in range(len(header))] == [None] * len(header)
        found = read_proxy_header(header + b"EHLO x\r\n")
        assert found is not None
        assert (found.ip, found.size_octets) == (ip, len(header))


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
        b"PROXY TCP4 192.0.2.999 192.0.2.2 1 2\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY " + b"x" * 200,
        b"\r\n\r\n\x00\r\nQUIT\n\x11\x11\x00\x0c" + bytes(12),
        b"\r\n\r\n\x00\r\nQUIT\n\x22\x11\x00\x0c" + bytes(12),
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04" + bytes(12),
    ],
)
def test_what_is_no_proxy_header_is_none(octets: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(octets)


@given(st.sampled_from([b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\x00\r\nQUIT\n", b""]), st.binary(max_size=300))
def test_the_reader_of_proxy_headers_raises_nothing_else(begin: bytes, octets: bytes) -> None:
    try:
        found = read_proxy_header(begin + octets)
    except ProxyHeaderError:
        return
    assert found is None or found.size_octets <= len(begin + octets)


# --- C2: time ---


async def test_c21_a_session_ends_some_day_whatever_it_says() -> None:
    async with a_listener(Desk(), limits=Limits(session_s=-1)) as listener, RawClient.to(listener) as client:
        assert (await client.say("NOOP")).startswith("421 4.4.2 ")
        assert await client.reply() == ""


@pytest.mark.parametrize("line", ["NOOP", "RSET", "EHLO x", "VRFY x", "junk"])
async def test_c21_endless_commands_come_to_an_end(line: str) -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        replies = [(await client.say(line))[:9] for _ in range(20)]
        while "" not in replies:
            replies.append((await client.say(line))[:9])
        assert "421 4.7.0" in replies
        assert len(replies) < 110


async def test_c22_d04_a_command_that_drips_in_is_not_more_time() -> None:
    """An octet now and then is no sign of life: the whole command has the time that RFC 5321 §4.5.3.2.7 gives."""
    async with a_listener(Desk(), limits=Limits(idle_s=1.0)) as listener, RawClient.to(listener) as client:

        async def drip() -> None:
            while True:
                client.writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await client.reply()).startswith("421 4.4.2 ")
        dripping.cancel()


def open_files() -> int:
    """Descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_c22_two_hundred_idle_clients_give_their_places_back() -> None:
    before = open_files()
    limits = Limits(idle_s=0.2, linger_s=0.1, connections_per_client=0)
    async with a_listener(Desk(), limits=limits) as listener:
        pairs = [await asyncio.open_connection(*listener.address) for _ in range(200)]
        async with asyncio.timeout(30):
            last = [await reader.read() for reader, _ in pairs]
        assert all(b"421 4.4.2 " in words for words in last)
        for _, writer in pairs:
            writer.close()
        await all_gone(listener)
    async with asyncio.timeout(30):
        while open_files() > before:  # noqa: ASYNC110  the kernel is asked, it tells nobody
            await asyncio.sleep(0.01)


async def test_d04_a_steady_upload_may_take_longer_than_any_silence() -> None:
    """aiosmtpd's one timer cut it."""
    desk = Desk()
    limits = Limits(idle_s=0.3, data_idle_s=20, data_grace_s=20)
    async with a_listener(desk, limits=limits) as listener, RawClient.to(listener) as client:
        await client.begin()
        for _ in range(12):
            client.writer.write(b"line\r\n")
            await asyncio.sleep(0.05)
        assert (await client.say(b".")).startswith("250 ")


async def test_d06_too_many_a_minute_of_one_address_are_told_so() -> None:
    desk = Desk(trusted=frozenset({"127.0.0.9"}))
    async with a_listener(desk, limits=Limits(connections_per_minute=3)) as listener:
        greetings = []
        for source in ("127.0.0.2",) * 4 + ("127.0.0.3",) + ("127.0.0.9",) * 5:
            async with RawClient.to(listener, source=source) as client:
                greetings.append(client.greeting[:9])
    assert greetings == ["220 mx.de"] * 3 + ["421 4.7.0"] + ["220 mx.de"] * 6


async def test_d10_limits_of_one_session_are_its_own() -> None:
    """aiosmtpd's table of command sizes belongs to the class and grows with each EHLO."""
    async with a_listener(Desk()) as listener, RawClient.to(listener) as one, RawClient.to(listener) as other:
        for _ in range(20):
            await one.say("EHLO x")
        for client in (one, other):
            assert (await client.say("NOOP " + "x" * 506)).startswith("500 5.5.2 ")
            assert (await client.say("NOOP " + "x" * 505)).startswith("250 ")


async def test_c29_a_policy_that_cannot_even_greet_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def fail(ip: str) -> bool:
        raise RuntimeError("database is locked")

    monkeypatch.setattr(desk, "is_familiar", fail)
    async with a_listener(desk) as listener, RawClient.to(listener) as client:
        assert client.greeting == "421 4.3.0 Cannot go on now, please try again"
        assert await client.reply() == ""


@pytest.mark.parametrize(
    "line",
    [
        "BDAT 12 LAST\r\nDATA\r\nx\r\n.",
        "MAIL FROM:<a@b.test> BODY=BINARYMIME",
        "MAIL FROM:<a@b.test> RET=HDRS",
        "MAIL FROM:<a@b.test> AUTH=<>",
        "AUTH PLAIN AGEAYg==",
        "ETRN x",
        "TURN",
        "SEND FROM:<a@b.test>",
    ],
)
async def test_c30_what_is_not_offered_is_refused_and_nothing_gets_out_of_step(line: str) -> None:
    async with a_listener(Desk()) as listener, RawClient.to(listener) as client:
        await client.say("EHLO x")
        assert (await client.say(line))[:3] in {"500", "501", "502", "555"}
        assert (await client.say("NOOP")).startswith("250 ")
        assert (await client.send(MAIL)).startswith("250 ")


# --- counting ---


def test_c24_workers_count_together_and_a_dead_ones_count_is_forgotten() -> None:
    counts = SharedCounts(2)
    first, second = (counts.census(row, places=1, now=lambda: 0.0) for row in (0, 1))
    first.enter()
    assert (first.enter_client("192.0.2.1"), second.enter_client("192.0.2.1")) == (1, 2)
    second.enter()
    second.enter()
    assert (first.connected, first.is_full, second.is_full) == (3, False, True)
    second = counts.census(1, places=1, now=lambda: 0.0)
    assert (first.connected, first.enter_client("192.0.2.1")) == (1, 2)
    first.leave_client("192.0.2.1")
    first.leave_client("192.0.2.1")
    first.leave()
    assert (second.connected, second.enter_client("192.0.2.1")) == (0, 1)


def test_c24_arrivals_are_counted_by_the_minute() -> None:
    now = [59.0]
    counts = SharedCounts(2)
    one, other = (counts.census(row, places=9, now=lambda: now[0]) for row in (0, 1))
    assert [one.count_arrival("a"), other.count_arrival("a"), one.count_arrival("b")] == [1, 2, 1]
    now[0] = 60.0
    assert one.count_arrival("a") == 1


def test_c24_a_whole_network_of_ipv6_is_one_client() -> None:
    assert client_key("2001:db8:1:2:3:4:5:6") == client_key("2001:db8:1:2::1") != client_key("2001:db8:1:3::1")
    assert client_key("192.0.2.1") == "192.0.2.1"
    assert client_key("unknown") == "unknown"
    assert Census.alone(lambda: 0.0).enter_client("x") == 1


async def test_large_messages_get_memory_in_turn() -> None:
    budget = Budget()
    order: list[str] = []
    go_on = asyncio.Event()

    async def hold(name: str, octets: int) -> None:
        async with budget.held(octets, 10):
            order.append(name)
            await go_on.wait()

    tasks = [asyncio.create_task(hold(*one)) for one in (("whole", 50), ("first", 6), ("second", 6), ("small", 1))]
    await asyncio.sleep(0)
    assert order == ["whole"], "one of any size gets its turn"
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    go_on.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["whole", "second", "small"]


# --- content on disk ---


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"..", b"\0", b"abcdef"]), max_size=60),
    st.integers(1, 9),
    st.integers(8, 20),
)
def test_c18_what_waits_on_disk_comes_out_as_from_memory(pieces: list[bytes], cut: int, piece: int) -> None:
    wire = b"".join(pieces).replace(b"\r\n.\r\n", b"") + b"\r\n.\r\n"
    in_memory, on_disk = ContentReader(10_000), ContentReader(10_000, Path("/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_PIECE", piece)
        for start in range(0, len(wire), cut):
            rests = [reader.feed(wire[start : start + cut]) for reader in (in_memory, on_disk)]
            assert rests[0] == rests[1]
            if rests[0] is not None:
                break
            while on_disk.wants_to_write:
                on_disk.write_piece()
    assert in_memory.size_octets == on_disk.size_octets
    assert in_memory.octets() == on_disk.octets()


async def test_c17_a_disk_that_takes_no_more_is_temporary_and_the_next_mail_works(tmp_path: Path) -> None:
    desk = Desk(max_size=5_000_000)
    folder = tmp_path / "gone"
    async with a_listener(desk, spool_folder=folder) as listener, RawClient.to(listener) as client:
        large = (b"x" * 70 + b"\r\n") * 20_000
        assert (await client.send(large)).startswith("451 4.3.0 ")
        folder.mkdir()
        assert (await client.send(large)).startswith("250 ")
        assert desk.taken[0][1] == large + b"\r\n"
        assert list(folder.iterdir()) == []


# --- LMTP, TLS ---


async def test_lmtp_is_greeted_by_lhlo_only() -> None:
    async with a_listener(Desk(), role=Role.LMTP) as listener, RawClient.to(listener) as client:
        assert client.greeting == "220 mx.desk.test LMTP supportrelay"
        assert (await client.say("EHLO x")).startswith("500 5.5.1 ")
        assert (await client.say("LHLO x")).startswith("250-mx.desk.test")
        await client.say("MAIL FROM:<>")
        for to in ("one@desk.test", "two@desk.test", "x@elsewhere.test"):
            await client.say(f"RCPT TO:<{to}>")
        await client.say("DATA")
        client.writer.write(b"x" * 200_000 + b"\r\n.\r\n")
        assert [(await client.reply())[:9] for _ in range(2)] == ["552 5.3.4"] * 2
        assert (await client.say("NOOP")).startswith("250 ")


def test_f33_d13_a_renewed_pair_is_taken_over_and_a_bad_one_is_not(pairs: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for target, name in ((certificate, "a.crt"), (key, "a.key")):
        shutil.copy(pairs / name, target)
    held = Certificates(lambda _: None)
    held.use({("host", 25): (certificate, key), ("host", 26): None})
    first = held.context(("host", 25))
    assert first is not None
    assert held.context(("host", 26)) is None
    now = datetime.now(UTC)

    held.look(now)
    assert held.context(("host", 25)) is first, "nothing changed"
    shutil.copy(pairs / "b.crt", certificate)
    held.look(now)
    assert held.context(("host", 25)) is first, "its key is not there yet"
    shutil.copy(pairs / "b.key", key)
    held.look(now)
    second = held.context(("host", 25))
    assert second is not first
    certificate.write_text("nonsense")
    held.look(now)
    assert held.context(("host", 25)) is second
    certificate.unlink()
    held.look(now)
    assert held.context(("host", 25)) is second
    with pytest.raises(InputError):
        held.use({("host", 25): (certificate, key), ("host", 26): (pairs / "a.crt", pairs / "a.key")})
    assert (held.context(("host", 25)), held.context(("host", 26))) == (second, None), "all or nothing"


async def test_f33_a_renewed_pair_is_noticed_without_being_told(pairs: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(pairs / "a.crt", certificate)
    shutil.copy(pairs / "a.key", key)
    held = Certificates(lambda _: None)
    held.use({("host", 25): (certificate, key)})
    first = held.context(("host", 25))
    watching = asyncio.create_task(held.watch(lambda: datetime.now(UTC), every_s=0.01))
    shutil.copy(pairs / "b.key", key)
    shutil.copy(pairs / "b.crt", certificate)
    async with asyncio.timeout(30):
        while held.context(("host", 25)) is first:  # noqa: ASYNC110  seen by looking, as a client does
            await asyncio.sleep(0.01)
    watching.cancel()


@pytest.mark.parametrize(
    ("left", "warnings"), [(timedelta(days=15), 0), (timedelta(days=13), 1), (timedelta(days=-1), 1)]
)
def test_f33_a_certificate_that_ends_soon_is_told_once_a_day(
    pairs: Path, left: timedelta, warnings: int, capfd: pytest.CaptureFixture[str]
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    held = Certificates(lambda _: now + left)
    held.use({("host", 25): (pairs / "a.crt", pairs / "a.key")})
    for minutes in range(5):
        held.look(now + timedelta(minutes=minutes))
    said = "".join(capfd.readouterr())
    assert said.count("tls.expiring") == warnings
    assert list(held.ending(now)) == [str(pairs / "a.crt")] * warnings
    held.look(now + timedelta(days=1, minutes=1))
    assert "".join(capfd.readouterr()).count("tls.expiring") == 1


def test_c24_a_flood_of_refusals_is_a_few_lines(capfd: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    refusals = RefusalLog(lambda: now[0])
    for _ in range(1000):
        refusals.tell("192.0.2.1", TOO_MANY_FROM_YOU)
    now[0] = 60.0
    refusals.tell("192.0.2.1", TOO_MANY_FROM_YOU)
    said = "".join(capfd.readouterr())
    assert said.count("listener.refused") == 21
    assert "left_out=980" in said or '"left_out": 980' in said


def test_f09_what_is_not_ours_yet_leaves_the_disk_its_reserve(tmp_path: Path) -> None:
    spool = Spool(tmp_path, reserve_octets=1 << 62)
    with pytest.raises(OSError, match="No space") as caught:
        spool.write(b"x")
    assert caught.value.errno == errno.ENOSPC
    assert spool.read() == b""
    spool.close()


def test_c24_a_flood_of_refused_recipients_is_a_few_hundred_lines(capfd: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    refusals = RefusalLog(lambda: now[0])
    for number in range(1000):
        refusals.tell_message("192.0.2.1", NOT_OURS, forward_path=f"x{number}@elsewhere.example")
    now[0] = 60.0
    refusals.tell_message("192.0.2.1", NOT_OURS, forward_path="x@elsewhere.example")
    said = "".join(capfd.readouterr())
    assert said.count("message.refused") == 201
    assert "left_out=800" in said or '"left_out": 800' in said


def test_a_unix_socket_serves_on_the_loop_that_serves(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Desk()
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(tmp_path / "s"))
        async with a_listener(desk, role=Role.LMTP, bound=bound):
            done = await asyncio.to_thread(_lmtp_mail, tmp_path / "s")
        assert done.startswith("250 ")
        assert desk.taken[0][0].peer.ip == "127.0.0.1"

    uvloop.run(main())


def _lmtp_mail(path: Path) -> str:
    with StrangeClient(path) as client:
        client.begin("support@desk.test", greet="LHLO x")
        return client.say(MAIL + b"\r\n.")


def test_c23_d05_a_client_that_never_reads_is_cut_off_on_the_loop_that_serves() -> None:
    """A small receive buffer, replies that nobody fetches: `transport.close()` would wait for ever."""

    async def main() -> None:
        limits = Limits(idle_s=0.3, linger_s=0.2, error_points=10**9, idle_commands=10**9)
        async with a_listener(Desk(), limits=limits) as listener:

            def flood() -> int:
                with StrangeClient(listener.address, source="127.0.0.1", receive_buffer=2048) as client:
                    return client.send_as_far_as_it_goes(b"HELP\r\n" * 1000 for _ in range(10_000))

            sent = await asyncio.to_thread(flood)
            assert sent < 60_000_000
            await all_gone(listener)

    uvloop.run(main())


OPENING = (b"EHLO x\r\n", b"MAIL FROM:<a@b.test>\r\nRCPT TO:<s@desk.test>\r\nDATA\r\n")


class Wire:
    """A transport that keeps what is written; TLS is never begun on it."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 4000) if name == "peername" else None

    def write(self, octets: bytes) -> None:
        assert not self.is_closed
        self.written += octets

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        """Nothing is read from it anyway."""

    resume_reading = pause_reading


WORDS = [
    *(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<s@desk.test>\r\nDATA\r\n", b"x\r\n.\r\n", b"DATA\r\n", b"RSET\r\n"),
    *(
        b"EHLO x",
        b"HELO x",
        b"MAIL FROM:<a@b.test>",
        b"MAIL FROM:<>",
        b"RCPT TO:<s@desk.test>",
        b"DATA",
        b"RSET",
        b"NOOP",
    ),
    *(
        b"BDAT 3",
        b"BDAT 3 LAST",
        b"AUTH PLAIN",
        b"STARTTLS",
        b"VRFY x",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b" ",
    ),
    *(b"\r\n.\r\n", b"\0", b"\xff", b"SIZE=", b"<", b">", b"x" * 600, b"GET / HTTP/1.1"),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=20), max_size=40), st.integers(1, 3), st.integers(0, 2))
def test_whatever_a_client_says_it_hears_replies_and_breaks_nothing(words: list[bytes], cut: int, begun: int) -> None:
    """No exception reaches the loop; every line that goes out is a reply; what is taken was asked for."""

    async def main() -> None:
        desk, wire, loop = Desk(), Wire(), asyncio.get_running_loop()
        intake = Intake(Role.MX, lambda: desk, desk.take, "mx.desk.test", lambda: 1000, lambda: None)
        intake.limits = Limits(greet_after_s=0)
        session = Session(intake, loop)
        session.connection_made(wire)  # type: ignore[arg-type]
        segments = [b"".join(words[at : at + cut]) for at in range(0, len(words), cut)]
        for said in [*OPENING[:begun], *segments]:
            session.data_received(said)
            while intake.takes:
                await asyncio.gather(*intake.takes)
                await asyncio.sleep(0)
        session.eof_received()
        session.connection_lost(None)
        assert not intake.sessions
        assert wire.written.endswith(b"\r\n")
        lines = wire.written.removesuffix(b"\r\n").split(b"\r\n")
        assert all(re.fullmatch(rb"[2345]\d\d[ -][\x20-\x7e]+", line) for line in lines)
        assert len(desk.taken) <= wire.written.count(b"354 ")

    asyncio.run(main())
