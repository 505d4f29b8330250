"""A large mail goes out piece by piece, and a server may say no before it has all of it."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from smtp_sink import SmtpSink
from supportrelay.core.delivery import Cause, Outcome, OutcomeKind, Phase
from supportrelay.edge.smtp_out.courier import SmtpCourier
from supportrelay.edge.smtp_out.smarthost import Smarthost

TLS_FILES = Path(__file__).resolve().parents[1] / "config" / "tls"
PIECE = 1 << 18
LARGE = b"Subject: large\r\n\r\n" + b"".join(b".%069d\r\n" % n for n in range(5 * 1024 * 1024 // 72))

Hears = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


async def send(smarthost: Smarthost, octets: bytes = LARGE) -> tuple[Outcome, SmtpCourier]:
    courier = SmtpCourier([smarthost], hostname="relay.test")
    async with asyncio.timeout(60):
        return await courier.send("zoe@desk.test", "ann@acme.example", octets), courier


@pytest.mark.parametrize("tls", ["none", "implicit", "starttls"])
async def test_a_large_mail_arrives_whole_and_others_get_their_turn(tls: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "cert.pem", TLS_FILES / "key.pem")
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with SmtpSink(tls=context if tls != "none" else None, implicit_tls=tls == "implicit") as sink:
        beside = asyncio.create_task(another())
        outcome, courier = await send(Smarthost(sink.host, sink.port, tls, tls_verify=False))
        beside.cancel()
        again = await courier.send("zoe@desk.test", "bob@acme.example", b"Subject: small\r\n\r\nx\r\n")
        await courier.aclose()

        assert outcome.kind is OutcomeKind.DELIVERED, outcome
        assert again.kind is OutcomeKind.DELIVERED
        assert sink.messages[0].octets == LARGE
        assert sink.messages[1].connection == sink.messages[0].connection  # its end is known: kept for the next
        assert turns >= len(LARGE) // PIECE


async def ask(after_data: Hears, octets: bytes = LARGE) -> Outcome:
    """What becomes of a mail at a server that knows one dialogue; from DATA on ``after_data`` has the connection."""
    dialogues: list[asyncio.Task[None]] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        dialogues.append(task)
        try:
            writer.write(b"220 mx.test\r\n")
            while (line := await reader.readline()) != b"DATA\r\n" and line:
                writer.write(b"250 ok\r\n")
            writer.write(b"354 go\r\n")
            await after_data(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    outcome, courier = await send(Smarthost("127.0.0.1", server.sockets[0].getsockname()[1], "none"), octets)
    await courier.aclose()
    for dialogue in dialogues:
        dialogue.cancel()
    await asyncio.gather(*dialogues, return_exceptions=True)
    server.close()
    return outcome


async def test_a_refusal_before_the_end_stands() -> None:
    """Postfix says 552 and closes; others say it and read no more, and would be written to for ever."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(PIECE)
        writer.write(b"552 5.3.4 too large\r\n")
        await asyncio.Event().wait()

    outcome = await ask(refuse, LARGE * 4)

    assert (outcome.kind, outcome.cause, outcome.phase) == (OutcomeKind.FAILED, Cause.SIZE, Phase.DOT)


async def test_a_yes_before_the_end_is_not_believed() -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(PIECE)
        writer.write(b"250 2.0.0 have it\r\n")
        await asyncio.Event().wait()

    outcome = await ask(lie, LARGE * 4)

    assert (outcome.kind, outcome.is_uncertain) == (OutcomeKind.DEFERRED, True)


async def test_a_connection_that_ends_in_the_middle_is_tried_again() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(PIECE)
        writer.transport.abort()

    outcome = await ask(hang_up)

    assert (outcome.kind, outcome.is_uncertain) == (OutcomeKind.DEFERRED, True)
