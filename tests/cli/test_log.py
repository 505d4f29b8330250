"""The log: JSON lines, masked, never in the way of mail."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from supportrelay import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    log._hidden.clear()


def _logged(level: str = "info") -> tuple[io.StringIO, object]:
    stream = io.StringIO()
    log.configure(level, stream=stream, is_json=True)
    return stream, log.get_logger()


def test_an_event_is_one_json_line_with_time_and_level() -> None:
    stream, logger = _logged()
    logger.info("message.accepted", queue_id="abc", subject="日本\nInjected: x")  # type: ignore[attr-defined]

    line = stream.getvalue()
    assert line.count("\n") == 1
    event = json.loads(line)
    assert event["event"] == "message.accepted"
    assert event["level"] == "info"
    assert event["subject"] == "日本\nInjected: x"
    assert event["at"].endswith("Z")


def test_what_lies_below_the_level_is_not_written() -> None:
    stream, logger = _logged("warning")
    logger.info("message.accepted")  # type: ignore[attr-defined]
    logger.warning("message.held")  # type: ignore[attr-defined]

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["message.held"]


def test_secrets_are_masked_by_name_and_by_value() -> None:
    stream, logger = _logged()
    log.hide("hunter22", "ab")
    logger.error("courier.misconfigured", smtp_password="x1", reply="535 bad hunter22 cab")  # type: ignore[attr-defined]

    event = json.loads(stream.getvalue())
    assert event["smtp_password"] == log.MASK
    assert event["reply"] == "535 bad *** cab"


def test_an_exception_comes_with_its_trace() -> None:
    stream, logger = _logged()
    try:
        int("inside")
    except ValueError:
        logger.exception("store.failed")  # type: ignore[attr-defined]

    assert "ValueError: invalid literal" in json.loads(stream.getvalue())["exception"]


def test_a_lone_surrogate_does_not_break_the_log() -> None:
    stream, logger = _logged()
    logger.info("message.accepted", subject="\udcff")  # type: ignore[attr-defined]

    assert json.loads(stream.getvalue())["event"] == "message.accepted"


def test_a_closed_standard_error_loses_the_log_and_nothing_else() -> None:
    """RELIABILITY F35: the log sink is broken, mail flows."""
    script = (
        "import os, sys\n"
        "from supportrelay import log\n"
        "log.configure('info', is_json=True)\n"
        "logger = log.get_logger()\n"
        "os.close(2)\n"
        "for _ in range(3): logger.info('message.accepted')\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout == "alive\n"


def test_secrets_are_masked_as_json_and_base64_write_them() -> None:
    stream, logger = _logged()
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----"
    log.hide('pass "word" ä', key)
    logger.error("courier.misconfigured", reply='535 pass "word" ä', said="cGFzcyAid29yZCIgw6Q=", text=key)  # type: ignore[attr-defined]

    line = stream.getvalue()
    assert json.loads(line)["reply"] == "535 ***"
    assert "word" not in line
    assert "cGFzcy" not in line
    assert "MIIEvQ" not in line
    assert log.masked("535 cGFzcyAid29yZCIgw6Q= no") == "535 *** no"


def test_of_many_renewed_tokens_the_newest_are_hidden() -> None:
    """A token a hour for years; each line is searched for all that are kept."""
    for number in range(2_000):
        log.hide(f"token-{number:06}")

    assert log.masked("token-001999") == log.MASK
    assert len(log._hidden) <= 300
