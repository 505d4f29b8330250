"""The pure parts of our own mail: words for every alarm, clean lines, what a report may say."""

from pathlib import Path

import pytest

from contracts.store_samples import after
from supportrelay.core.alarm import Alarm, AlarmKind
from supportrelay.core.alert_mail import alert_subject, alert_text
from supportrelay.core.delivery_report import public_diagnostic, public_status
from supportrelay.core.own_mail import OwnHead, OwnKind, write_head
from supportrelay.core.own_ports import OwedAlarm
from supportrelay.core.plain_line import plain_line
from supportrelay.i18n import catalogue, read_catalogue


@pytest.mark.parametrize("kind", list(AlarmKind))
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_alarm_has_words_in_every_language(kind: AlarmKind, language: str) -> None:
    known = read_catalogue(language)

    assert [f"alarm.{kind}{end}" for end in ("", ".title", ".do") if f"alarm.{kind}{end}" not in known] == []


@pytest.mark.parametrize("kind", list(AlarmKind))
def test_every_alarm_stands_on_the_administrators_page(kind: AlarmKind) -> None:
    page = Path(__file__).parents[2] / "docs" / "own-mail.md"

    assert f"`{kind}`" in page.read_text("utf-8")


def test_an_alert_names_what_when_how_often_and_what_to_do() -> None:
    words = catalogue("en")
    owed = [
        OwedAlarm(Alarm(AlarmKind.DISK_NEARLY_FULL, "/var", {"free": 3}), 4, after(0), after(60)),
        OwedAlarm(
            Alarm(AlarmKind.SMARTHOST_DOWN, "", {"host": "smtp:25", "text": "a\x1b[1m\r\nb\u202e"}),
            1,
            after(0),
            after(0),
        ),
    ]
    text = alert_text(owed, "support@desk.test", words)

    assert alert_subject(owed, "support@desk.test", words).endswith("the disk is nearly full, and 1 more")
    assert "/var" in text
    assert "4 times; first 2026-03-02 09:00 UTC, last 2026-03-02 09:01 UTC" in text
    assert "smtp:25 cannot be reached: a[1m b\n" in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("plain", "plain", id="plain"),
        pytest.param("a\r\nBcc: b", "a Bcc: b", id="line-ends"),
        pytest.param("a\x00\x1b[31mb\x7f", "a[31mb", id="controls"),
        pytest.param("a\u202eb\u2066c\u200bd\ufeff", "abcd", id="bidi-and-invisible"),
        pytest.param("a\u3000 \u00a0b\u2028c", "a b c", id="spaces"),
        pytest.param("x" * 21, "x" * 19 + "…", id="long"),
        pytest.param("プリンタ①", "プリンタ①", id="japanese"),
    ],
)
def test_others_words_become_one_clean_line(text: str, line: str) -> None:
    assert plain_line(text, 20) == line


@pytest.mark.parametrize(
    ("status", "cause", "is_failed", "told"),
    [
        pytest.param("5.1.1", "recipient", True, "5.1.1", id="as-the-server-said"),
        pytest.param("", "size", True, "5.3.4", id="too-large"),
        pytest.param("4.2.1", "weather", True, "5.4.7", id="time-ran-out"),
        pytest.param("", "weather", True, "5.4.7", id="nobody-answered"),
        pytest.param("", "recipient", True, "5.0.0", id="no-status"),
        pytest.param("4.2.1", "weather", False, "4.2.1", id="late"),
        pytest.param("", "weather", False, "4.0.0", id="late-without-status"),
    ],
)
def test_the_status_of_a_recipient(status: str, cause: str, is_failed: bool, told: str) -> None:
    assert public_status(status, cause, is_failed=is_failed) == told


def test_c62_a_servers_words_name_no_host_of_ours() -> None:
    said = "550 5.7.1 relay7.corp.internal [192.168.7.9] (10.0.0.1, 172.20.1.1, fd12:3456::9): 203.0.113.5 says no"

    told = public_diagnostic(said, ["relay7.corp.internal"])

    assert told == "550 5.7.1 (host) (host) ((host), (host), (host)): 203.0.113.5 says no"


def test_a_recipient_outside_ascii_stands_in_no_header_unencoded() -> None:
    head = OwnHead(
        "q", OwnKind.REPORT, "r@desk.test", "デスク", ("zoë@far.example",), "件名", "<q@desk.test>", after(0)
    )

    assert write_head(head).isascii()
