"""The control socket, on a real socket."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from supportrelay.edge.control.client import ControlClient, NotHeard, NotRunning, control_path
from supportrelay.edge.control.server import ControlServer


async def _echo(op: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
    if op == "break":
        raise RuntimeError("inside text")
    return {"ok": True, "result": {"op": op, "args": dict(args), "who": who}}


@asynccontextmanager
async def _listening(directory: Path, dispatch: Any = _echo) -> AsyncIterator[tuple[ControlServer, list[str]]]:
    events: list[str] = []
    server = ControlServer(control_path(directory), dispatch, on_event=lambda event, _fields: events.append(event))
    await server.start()
    try:
        yield server, events
    finally:
        await server.aclose()


async def _call(directory: Path, op: str, **args: Any) -> dict[str, Any]:
    client = ControlClient(control_path(directory))
    return await asyncio.to_thread(client.call, op, args, who="person:ann", timeout_s=5)


async def test_a_command_comes_back_with_its_result(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        answer = await _call(tmp_path, "queue.retry", queue_id="日本")

    assert answer == {"ok": True, "result": {"op": "queue.retry", "args": {"queue_id": "日本"}, "who": "person:ann"}}


async def test_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        mode = control_path(tmp_path).stat().st_mode

    assert stat.S_IMODE(mode) == 0o600
    assert not control_path(tmp_path).exists()


async def test_without_a_daemon_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        await _call(tmp_path, "queue.list")


async def test_a_socket_left_by_a_dead_daemon_is_taken_over(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(control_path(tmp_path)))
    dead.close()
    with pytest.raises(NotRunning):
        await _call(tmp_path, "queue.list")

    async with _listening(tmp_path):
        assert (await _call(tmp_path, "queue.list"))["ok"]


async def test_a_second_daemon_does_not_steal_the_socket(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        second = ControlServer(control_path(tmp_path), _echo)
        with pytest.raises(OSError, match="another daemon"):
            await second.start()
        assert (await _call(tmp_path, "queue.list"))["ok"]


async def test_a_state_directory_with_a_very_long_path_works(tmp_path: Path) -> None:
    """sockaddr_un holds 107 octets; a state directory may be deeper."""
    deep = tmp_path / ("d" * 80) / ("e" * 80)
    deep.mkdir(parents=True)

    async with _listening(deep):
        assert (await _call(deep, "tickets.list"))["ok"]
    with pytest.raises(NotRunning):
        await _call(deep, "tickets.list")


async def test_a_broken_command_is_answered_without_our_insides_and_the_daemon_goes_on(tmp_path: Path) -> None:
    async with _listening(tmp_path) as (_server, events):
        answer = await _call(tmp_path, "break")
        assert answer["ok"] is False
        assert answer["exit"] == 1
        assert "inside text" not in answer["error"]
        assert (await _call(tmp_path, "queue.list"))["ok"]

    assert "control.failed" in events


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"not json\n", id="no JSON"),
        pytest.param(b"[]\n", id="no object"),
        pytest.param(b"{}\n", id="no op"),
        pytest.param(b'{"op": "x", "args": 3}\n', id="args that are none"),
    ],
)
async def test_what_is_no_command_is_wrong_use(tmp_path: Path, line: bytes) -> None:
    async with _listening(tmp_path):
        reader, writer = await asyncio.open_unix_connection(control_path(tmp_path))
        writer.write(line)
        assert b'"exit": 2' in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_several_commands_go_through_one_connection_and_several_connections_at_once(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        answers = await asyncio.gather(*(_call(tmp_path, f"op.{n}") for n in range(20)))
        assert [a["result"]["op"] for a in answers] == [f"op.{n}" for n in range(20)]

        reader, writer = await asyncio.open_unix_connection(control_path(tmp_path))
        writer.write(b'{"op": "a"}\n{"op": "b"}\n')
        assert b'"op": "a"' in await reader.readline()
        assert b'"op": "b"' in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_a_daemon_that_never_answers_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def silent(_op: str, _args: Mapping[str, Any], _who: str) -> dict[str, Any]:
        await stop.wait()
        return {"ok": True, "result": None}

    async with _listening(tmp_path, silent):
        client = ControlClient(control_path(tmp_path))
        with pytest.raises(NotHeard, match="did not answer"):
            await asyncio.to_thread(client.call, "queue.list", {}, who="person:ann", timeout_s=0.1)
        stop.set()


async def test_a_large_answer_arrives_whole(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        answer = await _call(tmp_path, "crm.import", text="é" * 500_000)

    assert len(answer["result"]["args"]["text"]) == 500_000
