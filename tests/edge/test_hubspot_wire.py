"""A server that is slow, broken or hostile (RELIABILITY F18, F20, C61): a clear error in time, and never the token."""

import asyncio
import gzip
import json
import ssl
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from edge.gate_fake import GateFake
from edge.http_stub import Asked, HttpStub, Said, say
from edge.hubspot_samples import TOKEN, Clock, an_account, asking, down
from supportrelay.edge.crm.hubspot.body import MOST_OCTETS, GarbageAnswer, parse
from supportrelay.edge.crm.hubspot.client import HubSpotClient, Lane
from supportrelay.edge.crm.hubspot.paths import Paths
from supportrelay.edge.crm.hubspot.settings import HubSpotAccount
from supportrelay.edge.crm.hubspot.wire import check_base_url, check_token

PATHS = Paths("2026-03")
COMPANY = PATHS.record("companies", "17")
SHOWN = "GET /crm/objects/2026-03/companies/{id}: "
TLS = Path(__file__).resolve().parents[1] / "config" / "tls"

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def packed(octets: bytes, encoding: str = "gzip") -> bytes:
    return say(200, octets, {"Content-Encoding": encoding})


def a_bomb(octets: int) -> bytes:
    packing = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    mebibyte = b" " * 1024 * 1024
    return b"".join(packing.compress(mebibyte) for _ in range(octets // len(mebibyte))) + packing.flush()


UNASKED = "packed in a way nobody asked for"
NESTED = b'{"results":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

DEEP = b'{"a":' * 70 + b"1" + b"}" * 70
LISTS = b'{"results":[' + b"[]," * 2_500_000 + b"0]}"


# --- answers that cannot be used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        pytest.param(say(200, b"<html>\x1b[2J\nWe are back soon"), "no JSON: <html> [2J We are back soon", id="html"),
        pytest.param(say(200, b"<p>" + b"x" * 9999), "no JSON: <p>" + "x" * 196 + "…", id="long html"),
        pytest.param(say(200, b'{"results":[{"id":"1"'), 'no JSON: {"results":[{"id":"1"', id="cut json"),
        pytest.param(say(200, b""), "no JSON", id="empty"),
        pytest.param(say(200, [{"id": "1"}]), 'JSON, but no object: [{"id": "1"}]', id="list"),
        pytest.param(say(200, b'"x"'), 'JSON, but no object: "x"', id="text"),
        pytest.param(say(200, b'{"name":"\xff\xfe"}'), 'not UTF-8: {"name":"\ufffd\ufffd"}', id="not utf-8"),
        pytest.param(say(200, NESTED), 'nested too deeply: {"results":' + "[" * 188 + "…", id="100,000 levels"),
        pytest.param(say(200, DEEP), "nested too deeply: " + '{"a":' * 39 + '{"a"…', id="70 levels"),
        pytest.param(say(200, LISTS), "too many values: " + LISTS[:199].decode() + "…", id="many lists"),
        pytest.param(say(200, b'{"n":' + b"9" * 5000 + b"}"), 'no JSON: {"n":' + "9" * 194 + "…", id="long number"),
        pytest.param(packed(gzip.compress(b'{"id":"1"}')[:-6]), "cut off inside its packing", id="cut gzip"),
        pytest.param(packed(b"not gzip at all"), "broken packing", id="broken gzip"),
        pytest.param(packed(a_bomb(100 * 1024 * 1024)), "too large, over 8 MiB", id="gzip bomb"),
        pytest.param(packed(gzip.compress(a_bomb(1024**2)), "gzip, gzip"), UNASKED, id="bombs"),
        pytest.param(packed(b"x", "br"), UNASKED, id="brotli"),
    ],
)  # fmt: skip
async def test_garbage_is_temporary_and_told_in_a_line(said: bytes, cause: str) -> None:
    async with HttpStub(lambda _asked: said) as stub, asking(stub) as here:
        with down() as caught:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert caught[0].cause == f"{SHOWN}200 {cause}"
    assert here.client.faults == {"garbage": 1}
    assert here.gate.closings == []


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(b"Content-Length: 104857600\r\n\r\n", id="length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n", id="chunked"),
        pytest.param(b"Connection: close\r\n\r\n", id="until the end"),
    ],
)
async def test_a_hundred_megabytes_are_not_taken(framing: bytes) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        piece = b"x" * 100_000
        chunk = f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if b"chunked" in framing else piece
        writer.write(HEAD + framing)
        with suppress(ConnectionError):
            for _ in range(1000):
                writer.write(chunk)
                await writer.drain()
                sent += len(piece)

    async with HttpStub(lambda _asked: flood) as stub, asking(stub) as here:
        with down() as caught:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)
        assert caught[0].cause == f"{SHOWN}200 too large, over 8 MiB"
        # The connection is closed, not drained; and the next call has another.
        stub.answer = lambda _asked: say(200)
        await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert sent < 40_000_000
    assert stub.connections == 2


@pytest.mark.parametrize("padding", [10, 500_000])
async def test_odd_answers_that_can_be_read_are_read(padding: int) -> None:
    """Half a character, NaN, a byte order mark: on the loop and in a thread."""
    body = b'\xef\xbb\xbf{"name":"\\ud83d x","n":NaN,"\\uD800":["\\ud83d\\ude00"],"pad":"' + b"x" * padding + b'"}'
    async with HttpStub(lambda _asked: packed(gzip.compress(body))) as stub, asking(stub) as here:
        answer = await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    del answer.body["pad"]
    assert answer.body == {"name": "\ufffd x", "n": None, "\ufffd": ["😀"]}


async def test_a_large_answer_leaves_the_event_loop_its_turn() -> None:
    """`json` holds the interpreter's lock; without the hooks the loop stands still for the whole of it."""
    record = {"id": "1", "properties": {f"p{n}": str(n) * 20 for n in range(20)}, "score": 1.5, "count": 7}
    octets = json.dumps({"results": [record] * (MOST_OCTETS // len(json.dumps(record)) - 2)}).encode()
    assert len(octets) > MOST_OCTETS * 0.9
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    ticking = asyncio.create_task(tick())
    body = await parse(octets)
    ticking.cancel()

    assert len(body["results"]) > 1000
    assert turns > 20  # with the plain parser a handful, before and after


async def test_small_answers_are_parsed_where_they_are() -> None:
    with pytest.raises(GarbageAnswer, match="no object"):
        await parse(b"[]")


# --- slow ------------------------------------------------------------------------------------------------------------


async def never(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def dribble(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def dribble_head(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    for number in range(3000):
        writer.write(b"X-%d: y\r\n" % number)
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("said", [never, dribble, dribble_head])
async def test_one_timeout_is_for_everything(said: Said) -> None:
    async with HttpStub(lambda _asked: said) as stub, asking(stub, timeout_s=0.3) as here:
        begun = monotonic()
        with down() as caught:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert 0.25 < monotonic() - begun < 3
    assert caught[0].cause.startswith(SHOWN)
    assert caught[0].cause.endswith("no answer within 0.3 s")


async def test_slow_ticket_work_leaves_mail_its_connections() -> None:
    """RELIABILITY F18: a bulkhead. Ten ticket calls hang; a mail's question is answered at once."""

    def answer(asked: Asked) -> Said:
        return never if "tickets" in asked.target else say(200)

    async with HttpStub(answer) as stub, asking(stub, timeout_s=1.0) as here:
        tickets = PATHS.record("tickets", "1")
        hanging = [asyncio.create_task(here.client.request("GET", tickets, lane=Lane.TICKETS)) for _ in range(10)]
        await stub.asks(3)
        for _ in range(5):
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)
        assert not any(task.done() for task in hanging)
        assert sum("tickets" in asked.target for asked in stub.asked) == 3
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_mail_does_not_queue_for_a_connection_for_long() -> None:
    async with HttpStub(lambda _asked: never) as stub, asking(stub, timeout_s=20.0) as here:
        hanging = [asyncio.create_task(here.client.request("GET", COMPANY, lane=Lane.MAIL)) for _ in range(4)]
        await stub.asks(4)
        begun = monotonic()
        with down() as caught:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)
        assert monotonic() - begun < 5
        assert caught[0].is_closed
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


# --- connections that break ------------------------------------------------------------------------------------------


async def hang_up(_writer: asyncio.StreamWriter) -> None:
    """Close without a word."""


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b'Content-Length: 1000\r\n\r\n{"results":')
    await writer.drain()


async def babble(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mx.example.test ESMTP\r\n")
    await writer.drain()


async def long_head(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        for _ in range(1000):
            writer.write(b"X-Long: " + b"y" * 10_000)
            await writer.drain()


@pytest.mark.parametrize("said", [hang_up, reset, cut, babble, long_head])
async def test_a_broken_connection_is_temporary(said: Said) -> None:
    async with HttpStub(lambda _asked: said) as stub, asking(stub) as here:
        with down() as caught:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert caught[0].cause.startswith(SHOWN)
    assert len(stub.asked) == 1
    assert here.client.faults == {"unavailable": 1}


def closing_after_one(broken: Said) -> Callable[[Asked], Said]:
    """The second request of each connection meets a connection that is going away."""
    seen: dict[int, int] = {}

    def answer(asked: Asked) -> Said:
        seen[asked.connection] = seen.get(asked.connection, 0) + 1
        return say(200) if seen[asked.connection] == 1 else broken

    return answer


@pytest.mark.parametrize("broken", [hang_up, reset])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", COMPANY), ("POST", PATHS.search("tickets")), ("POST", PATHS.batch_read("deals"))]
)
async def test_a_read_over_a_connection_that_was_closed_meanwhile_is_made_again(
    broken: Said, method: str, path: str
) -> None:
    async with HttpStub(closing_after_one(broken)) as stub, asking(stub) as here:
        await here.client.request("GET", COMPANY, lane=Lane.MAIL)
        answer = await here.client.request(method, path, lane=Lane.MAIL)

        assert answer.status == 200
        # Every attempt has its own turn at the gate.
        assert len([name for name, *_ in here.gate.entered if name == "hubspot"]) == len(stub.asked) == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PATHS.objects("tickets")),
        ("PATCH", PATHS.record("tickets", "1")),
        ("PUT", PATHS.associate_default("tickets", "1", "companies", "2")),
    ],
)
async def test_a_write_is_never_made_again(method: str, path: str) -> None:
    """It may have happened; the desk looks for it first (CRM_FACTS (h))."""
    async with HttpStub(closing_after_one(hang_up)) as stub, asking(stub) as here:
        await here.client.request("GET", COMPANY, lane=Lane.MAIL)
        with down():
            await here.client.request(method, path, json={}, lane=Lane.TICKETS)

    assert len(stub.asked) == 2


async def test_a_cut_answer_is_not_asked_for_again() -> None:
    async with HttpStub(closing_after_one(cut)) as stub, asking(stub) as here:
        await here.client.request("GET", COMPANY, lane=Lane.MAIL)
        with down():
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert len(stub.asked) == 2


# --- where the token goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """RELIABILITY C61: 302 to 169.254.169.254."""
    async with HttpStub(lambda _asked: say(200)) as other:
        where = {"Location": f"{other.url}/latest/meta-data/"}
        async with HttpStub(lambda _asked: say(status, b"moved", where)) as stub, asking(stub) as here:
            with down() as caught:
                await here.client.request("GET", COMPANY, lane=Lane.MAIL)

            assert len(stub.asked) == 1
    assert other.connections == 0
    assert caught[0].cause == f"{SHOWN}{status} redirected, which is not followed: moved"


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with HttpStub(lambda _asked: say(200)) as proxy, HttpStub(lambda _asked: say(200)) as stub:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with asking(stub) as here:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert proxy.connections == 0


async def test_a_certificate_that_nobody_vouches_for_gets_no_token() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    async with HttpStub(lambda _asked: say(200), tls=tls) as stub, asking(stub) as here:
        with down() as caught:
            await here.client.request("GET", COMPANY, lane=Lane.MAIL)

    assert stub.asked == []
    assert "CERTIFICATE_VERIFY_FAILED" in caught[0].cause


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://api.hubapi.com", True),
        ("https://api-eu1.hubapi.com", True),
        ("http://127.0.0.1:8123", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8123", True),
        ("http://localhost:8123", True),
        ("http://api.hubapi.com", False),
        ("http://localhost.evil.example", False),
        ("http://10.0.0.1", False),
        ("ftp://127.0.0.1", False),
        ("https://user:word@api.hubapi.com", False),
        ("https://api.hubapi.com/", False),
        ("https://api.hubapi.com?x=1", False),
        ("https://api.hubapi.com#x", False),
        ("api.hubapi.com", False),
        ("https://", False),
        ("https://a:b:c", False),
        ("", False),
    ],
)
def test_a_token_goes_encrypted_or_nowhere(url: str, is_good: bool) -> None:
    assert (check_base_url(url) == "") is is_good
    if not is_good:
        with pytest.raises(ValueError) as caught:
            HubSpotClient(HubSpotAccount(TOKEN, url), GateFake(), now=Clock())
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("token", ["", "pat na1", "pat-na1\r\nX: y", "pat-ñ", "pat\x00"])
def test_a_token_that_no_header_can_hold_is_refused_unseen(token: str) -> None:
    assert check_token(token)
    with pytest.raises(ValueError) as caught:
        HubSpotClient(HubSpotAccount(token, "https://api.hubapi.com"), GateFake(), now=Clock())
    assert not token or token not in str(caught.value)


def test_nothing_shows_the_token() -> None:
    account = an_account("https://api.hubapi.com")
    client = HubSpotClient(account, GateFake(), now=Clock())

    def reach(thing: Any, depth: int) -> str:
        inner = vars(thing).values() if depth and hasattr(thing, "__dict__") else ()
        return repr(thing) + "".join(reach(value, depth - 1) for value in inner)

    assert TOKEN not in reach(client, 2) + str(account)
