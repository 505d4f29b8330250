"""The web port before the board: /healthz only."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from supportrelay.edge.web.health import open_web_port

SERVE = """
import sys, socket
from supportrelay.edge.web.health import open_web_port, serve_health
from supportrelay.edge.web.patience import ImpatientProtocol
ImpatientProtocol.patience_s = float(sys.argv[2])
bound = open_web_port("127.0.0.1", 0)
print(bound.getsockname()[1], flush=True)
serve_health("127.0.0.1", 0, is_alive=lambda: sys.argv[1] == "alive", bound=bound)
print("left", flush=True)
"""


def _served(state: str, patience_s: str = "30") -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, state, patience_s], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def alive() -> Iterator[int]:
    for port, _process in _served("alive"):
        yield port


def _get(port: int, path: str, method: str = "GET") -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body.startswith(b"{") else None
    finally:
        connection.close()


def test_a_living_daemon_answers_ok(alive: int) -> None:
    assert _get(alive, "/healthz") == (200, {"status": "ok"})
    assert _get(alive, "/healthz", "HEAD")[0] == 200


@pytest.mark.parametrize("path", ["/", "/healthz/", "/tickets", "/t/SR-1", "/../etc/passwd"])
def test_there_is_nothing_else(alive: int, path: str) -> None:
    """Nothing but health answers without a login (DESIGN 6)."""
    status, _ = _get(alive, path)
    assert status in {404, 307}


def test_nothing_can_be_posted(alive: int) -> None:
    assert _get(alive, "/healthz", "POST")[0] == 405


def test_who_asks_nothing_keeps_nobody_out() -> None:
    """64 connections are served at once; those that keep silent, or never come to an end, are cut."""
    for port, _process in _served("alive", patience_s="2"):
        silent = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(64)]
        try:
            for one in silent[::2]:
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            for one in silent:
                with suppress(ConnectionResetError):
                    assert one.recv(1) == b""
            assert _get(port, "/healthz")[0] == 200
        finally:
            for one in silent:
                one.close()


def test_a_daemon_that_is_not_alive_is_unhealthy_and_sigterm_ends_the_process_cleanly() -> None:
    for port, process in _served("dead"):
        assert _get(port, "/healthz")[0] == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "left\n"


def test_a_taken_port_is_an_error_of_the_system() -> None:
    with open_web_port("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            open_web_port("127.0.0.1", first.getsockname()[1])
