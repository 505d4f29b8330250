"""Webhooks of HubSpot over real sockets: HTTP in, the daemon's control socket behind."""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from supportrelay.edge.control.client import control_path
from supportrelay.edge.control.server import ControlServer

SECRET = "client-secret"
PUBLIC = "https://desk.example.test/relay"
PATH = "/hooks/hubspot"
SERVE = """
import sys, time
from pathlib import Path
from supportrelay.edge.control.client import ControlClient, control_path
from supportrelay.edge.crm.hubspot import webhook
from supportrelay.edge.web.health import open_web_port, serve_health
from supportrelay.edge.web.hooks import Hook, hubspot_hook

state, secret, public_url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def tell(ids):
    answer = ControlClient(control_path(state)).call("desk.changed", {"ids": ids}, who="desk:hubspot", timeout_s=4)
    return bool(answer.get("ok"))

hook = Hook(
    public_url=public_url,
    verify=lambda h, m, u, b: webhook.verify(h, m, u, b, secret, int(time.time() * 1000)),
    read=lambda body: [event.object_id for event in webhook.events(body)],
    tell=tell,
)
bound = open_web_port("127.0.0.1", 0)
print(bound.getsockname()[1], flush=True)
serve_health("127.0.0.1", 0, is_alive=lambda: True, bound=bound, more=[hubspot_hook(hook)])
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path), SECRET, PUBLIC], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Daemon:
    """The daemon's side of the control socket."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, str]] = []
        self.answer: Callable[[], dict[str, Any]] = lambda: {"ok": True, "result": {}}

    async def dispatch(self, op: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
        self.told.append((op, args.get("ids"), who))
        return self.answer()


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    told = Daemon()
    server = ControlServer(control_path(tmp_path), told.dispatch)
    await server.start()
    try:
        yield told
    finally:
        await server.aclose()


def event(ticket: str = "7", kind: str = "ticket.propertyChange") -> dict[str, Any]:
    return {"objectId": int(ticket), "subscriptionType": kind, "propertyName": "hs_pipeline_stage", "eventId": 1}


def signed(body: bytes, *, path: str = PATH, secret: str = SECRET, age_s: float = 0) -> dict[str, str]:
    """The uri is the one that HubSpot called, in front of the proxy."""
    stamp = str(int((time.time() - age_s) * 1000))
    text = b"POST" + (PUBLIC + path).encode() + body + stamp.encode()
    mac = hmac.digest(secret.encode(), text, hashlib.sha256)
    return {"X-HubSpot-Signature-v3": base64.b64encode(mac).decode(), "X-HubSpot-Request-Timestamp": stamp}


def post(port: int, body: bytes, headers: Mapping[str, str], path: str = PATH, method: str = "POST") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


async def posted(port: int, body: bytes, headers: Mapping[str, str], **more: str) -> int:
    return await asyncio.to_thread(post, port, body, headers, **more)


async def test_signed_events_reach_the_daemon_before_the_answer(port: int, daemon: Daemon) -> None:
    body = json.dumps([event("7"), event("8"), event("7"), event("9", "contact.creation")]).encode()

    assert await posted(port, body, signed(body)) == 204
    assert daemon.told == [("desk.changed", ["7", "8"], "desk:hubspot")]


async def test_the_query_belongs_to_what_is_signed(port: int, daemon: Daemon) -> None:
    body = json.dumps([event()]).encode()
    path = PATH + "?a=b%20c"

    assert await posted(port, body, signed(body, path=path), path=path) == 204
    assert await posted(port, body, signed(body), path=path) == 401
    assert len(daemon.told) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: (body, {}), id="unsigned"),
        pytest.param(lambda body: (body, signed(body, secret="another")), id="another secret"),
        pytest.param(lambda body: (body + b" ", signed(body)), id="another body"),
        pytest.param(lambda body: (body, signed(body, age_s=301)), id="too old"),
        pytest.param(lambda body: (body, signed(body, path="/hooks/other")), id="another address"),
        pytest.param(lambda body: (body, {"X-HubSpot-Signature-v3": "é"}), id="no base64"),
    ],
)
async def test_what_is_not_signed_rightly_is_refused_and_told_to_nobody(
    port: int, daemon: Daemon, change: Callable[[bytes], tuple[bytes, dict[str, str]]]
) -> None:
    body, headers = change(json.dumps([event()]).encode())

    assert await posted(port, body, headers) == 401
    assert daemon.told == []


async def test_without_a_daemon_hubspot_is_asked_to_come_again(port: int) -> None:
    body = json.dumps([event()]).encode()

    assert await posted(port, body, signed(body)) == 503


async def test_a_daemon_that_says_no_is_no_success(port: int, daemon: Daemon) -> None:
    daemon.answer = lambda: {"ok": False, "error": "tickets live here", "exit": 1}
    body = json.dumps([event()]).encode()

    assert await posted(port, body, signed(body)) == 503


async def test_a_daemon_that_does_not_answer_is_left_within_five_seconds(port: int, tmp_path: Path) -> None:
    body = json.dumps([event()]).encode()
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(control_path(tmp_path)))
        silent.listen()  # the kernel takes the connection, nobody answers
        assert await posted(port, body, signed(body)) == 503
    assert time.monotonic() - began < 5


async def test_a_body_that_is_not_sent_to_its_end_is_given_up(port: int, daemon: Daemon) -> None:
    body = json.dumps([event()]).encode()
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n{headers}\r\n".encode() + body)
    async with asyncio.timeout(10):
        assert b" 503 " in await reader.readline()
    writer.close()
    assert daemon.told == []


async def test_what_is_larger_than_a_mebibyte_is_refused(port: int, daemon: Daemon) -> None:
    body = b"[" + b" " * 1024 * 1024 + b"]"

    assert await posted(port, body, signed(body)) == 413
    assert daemon.told == []


async def test_events_about_nothing_of_ours_are_taken_without_the_daemon(port: int) -> None:
    for body in (b"[]", b"no json", b"{}", b"[" * 5000, json.dumps([event("9", "deal.creation")]).encode()):
        assert await posted(port, body, signed(body)) == 204


async def test_many_bad_signatures_are_told_to_wait_and_good_ones_still_count(port: int, daemon: Daemon) -> None:
    body = json.dumps([event()]).encode()
    wrong = signed(body, secret="guess")

    answers = [await posted(port, body, wrong) for _ in range(25)]

    assert answers == [401] * 20 + [429] * 5
    assert await posted(port, body, signed(body)) == 204
    assert len(daemon.told) == 1


async def test_only_posting_is_allowed_there(port: int) -> None:
    assert await posted(port, b"", {}, method="GET") == 405


def test_without_a_secret_there_is_no_such_page() -> None:
    """`serve_health` has the route only when it is given one."""
    from supportrelay.edge.web.health import health_app

    assert [route.path for route in health_app(lambda: True).routes if hasattr(route, "path")] == ["/healthz"]
