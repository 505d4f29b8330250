"""The sink itself: each way to misbehave does what its name says, and it runs as a process of its own."""

import asyncio
import contextlib
import json
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sink_rules import rule_of
from smtp_sink import SmtpSink

TRANSACTION = (b"EHLO a\r\n", b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@d.test>\r\n", b"DATA\r\n", b"x\r\n.\r\n")
STAGES = ("banner", "ehlo", "mail", "rcpt", "data", "dot")


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with SmtpSink() as running:
        yield running


async def talk(sink: SmtpSink, *, enough: int = 200_000, silent_at: int = -1) -> list[bytes]:
    """A whole transaction; what was answered to each step, up to where the sink is to be silent."""
    reader, writer = await asyncio.open_connection(sink.host, sink.port)
    answers: list[bytes] = []
    try:
        for number, step in enumerate((b"", *TRANSACTION)):
            with contextlib.suppress(ConnectionError):
                writer.write(step)
                answers.append(await asyncio.wait_for(_answer(reader, enough), 0.2 if number == silent_at else 30))
    except TimeoutError:
        answers.append(b"<silence>")
    writer.transport.abort()
    return answers


async def _answer(reader: asyncio.StreamReader, enough: int) -> bytes:
    heard = b""
    while len(heard) < enough:
        piece = await reader.read(65536)
        heard += piece
        if not piece:
            break
        last = heard.split(b"\r\n")[-2:]
        if heard.endswith(b"\r\n") and (last[0][3:4] != b"-" or not last[0][:3].isdigit()):
            break
    return heard


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("act", "heard"),
    [
        ("reply=599 5.9.9 no", b"599 5.9.9 no\r\n"),
        (r"lie=\x1b[2Jwhat\x00\r\n", b"\x1b[2Jwhat\x00\r\n"),
        ("long_line=100000", b"250 " + b"x" * 100_000 + b"\r\n"),
        ("drop", b""),
        ("hang", b"<silence>"),
        ("endless", b"250-more\r\n" * 20_000),
    ],
)
async def test_it_misbehaves_where_and_as_it_is_told(sink: SmtpSink, stage: str, act: str, heard: bytes) -> None:
    sink.misbehave(f"{stage}:{act}")

    at = STAGES.index(stage)

    answers = await talk(sink, enough=200_000, silent_at=at if act == "hang" else -1)

    assert all(answer[:1] in b"23" for answer in answers[:at])
    assert answers[at][: len(heard)] == heard
    if act == "drop" and stage == "dot":
        assert (len(sink.messages), len(sink.unanswered)) == (0, 1)


async def test_a_rule_may_be_for_one_connection_one_recipient_so_many_times(sink: SmtpSink) -> None:
    sink.misbehave("mail:drop,connection=2", "rcpt:reply=450 4.2.0 later, please,to=c@d.test,times=1")

    lengths = [len(await talk(sink)) for _ in range(4)]

    assert sink.messages, "only the first was refused"
    assert [len(sink.messages), lengths[1] < lengths[0] or lengths[1] == 7] == [2, True]
    assert rule_of("rcpt:reply=450 a, b,times=2").reply == "450 a, b"


@pytest.mark.parametrize("text", ["dot", "dot:dance", "nowhere:drop", ":drop"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rule"):
        rule_of(text)


async def test_it_trickles_and_reads_slowly_with_a_small_window() -> None:
    async with SmtpSink(receive_window=2048) as sink:
        sink.settings.records_octets = True
        sink.misbehave("banner:trickle=0.001", "content:read_slowly=100000")
        reader, writer = await asyncio.open_connection(sink.host, sink.port)
        assert await reader.readline() == b"220 127.0.0.1 sink\r\n"
        for step in TRANSACTION[:4]:
            writer.write(step)
            await _answer(reader, 10_000)
        writer.write(b"x" * 20_000 + b"\r\n.\r\n")
        assert (await reader.readline()).startswith(b"250")
        assert len(sink.messages[0].octets) == 20_002
        assert bytes(sink.octets[1]).startswith(b"EHLO a\r\nMAIL FROM:")
        writer.close()


def test_it_runs_by_itself() -> None:
    program = Path(__file__).with_name("smtp_sink.py")
    with subprocess.Popen(
        [sys.executable, str(program), "127.0.0.1", "0", "rcpt:reply=450 4.2.0 later,times=1"], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            host, port = json.loads(process.stdout.readline())["listening"]
            with smtplib.SMTP(host, port, timeout=30) as client:
                with pytest.raises(smtplib.SMTPRecipientsRefused):
                    client.sendmail("a@b.test", ["c@d.test"], b"Message-ID: <1@b.test>\r\n\r\nx\r\n")
                client.sendmail("a@b.test", ["c@d.test"], b"Message-ID: <1@b.test>\r\n\r\nx\r\n")
            row = json.loads(process.stdout.readline())
            assert (row["message_id"], row["to"], row["accepted"]) == ("<1@b.test>", ["c@d.test"], True)
        finally:
            process.terminate()
