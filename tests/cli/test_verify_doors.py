"""``supportrelay verify`` comes in by the door that the relay has, whichever it is."""

import asyncio
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from smtp_client import Desk, a_listener
from supportrelay.cli import verify
from supportrelay.core.envelope import Role

TLS = Path(__file__).parents[1] / "config" / "tls"
PROBE = {
    "from": "a@b.test",
    "address": "support@desk.test",
    "subject": "s",
    "date": "Sun, 22 Nov 2026 06:00:00 +0000",
    "message_id": "<x@b.test>",
    "mark": "m",
}


@pytest.mark.parametrize("door", ["lmtp-path", "lmtp-port", "implicit", "mx"])
async def test_verify_comes_in_by_the_door_there_is(door: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    is_implicit = door == "implicit"
    desk = Desk(tls=context if is_implicit else None)
    role = Role.LMTP if door.startswith("lmtp") else Role.MX
    bound = None
    if door == "lmtp-path":
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(tmp_path / "s"))
    async with a_listener(desk, role=role, bound=bound, tls_implicit=is_implicit) as listener:
        tls = SimpleNamespace(implicit=True) if is_implicit else None
        config = SimpleNamespace(listen=[SimpleNamespace(role=role, place=listener.address, tls=tls)])
        await asyncio.to_thread(verify._send, config, PROBE)

    assert desk.taken[0][0].peer.role is role
    assert bool(desk.taken[0][0].peer.tls) is is_implicit
