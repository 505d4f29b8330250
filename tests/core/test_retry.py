"""When a delivery is due again, and what refusals mean."""

from datetime import UTC, datetime, timedelta

import pytest

from supportrelay.core.delivery import Cause, OutcomeKind, Phase
from supportrelay.core.retry import classify_reply, next_attempt_at

ACCEPTED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FIVE_DAYS = timedelta(days=5)


@pytest.mark.parametrize(
    ("attempts_made", "minutes"), [(1, 1), (2, 5), (3, 15), (4, 30), (5, 45), (6, 60), (7, 60), (60, 60)]
)
def test_the_waits_grow_from_a_minute_to_an_hour(attempts_made: int, minutes: int) -> None:
    now = ACCEPTED + timedelta(hours=2)

    assert next_attempt_at(attempts_made, ACCEPTED, now, FIVE_DAYS) == now + timedelta(minutes=minutes)


def test_jitter_adds_at_most_a_tenth() -> None:
    now = ACCEPTED + timedelta(hours=9)

    assert next_attempt_at(9, ACCEPTED, now, FIVE_DAYS, jitter=1.0) == now + timedelta(minutes=66)


def test_after_five_days_it_is_time_to_give_up() -> None:
    before, after = ACCEPTED + FIVE_DAYS - timedelta(hours=2), ACCEPTED + FIVE_DAYS - timedelta(minutes=59)

    assert next_attempt_at(100, ACCEPTED, before, FIVE_DAYS) is not None
    assert next_attempt_at(100, ACCEPTED, after, FIVE_DAYS) is None


def test_a_clock_that_jumps_a_year_ahead_does_not_expire_a_mail_tried_once() -> None:
    """RELIABILITY F31: expiry needs age and attempts."""
    assert next_attempt_at(1, ACCEPTED, ACCEPTED + timedelta(days=365), FIVE_DAYS) is not None
    assert next_attempt_at(8, ACCEPTED, ACCEPTED + timedelta(days=365), FIVE_DAYS) is None


def test_a_clock_that_jumps_back_changes_nothing() -> None:
    now = ACCEPTED - timedelta(hours=1)

    assert next_attempt_at(1, ACCEPTED, now, FIVE_DAYS) == now + timedelta(minutes=1)


def test_a_short_give_up_time_is_kept_although_few_attempts_fit_in() -> None:
    assert next_attempt_at(2, ACCEPTED, ACCEPTED + timedelta(minutes=1), timedelta(minutes=2)) is None


@pytest.mark.parametrize(("attempts_made", "jitter"), [(0, 0.0), (1, 1.5), (1, -0.1)])
def test_impossible_arguments_are_bugs(attempts_made: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="attempts_made"):
        next_attempt_at(attempts_made, ACCEPTED, ACCEPTED, FIVE_DAYS, jitter=jitter)


DELIVERED = (OutcomeKind.DELIVERED, Cause.NONE)
WEATHER = (OutcomeKind.DEFERRED, Cause.WEATHER)
OURS = (OutcomeKind.DEFERRED, Cause.OURS)
RECIPIENT = (OutcomeKind.FAILED, Cause.RECIPIENT)
CONTENT = (OutcomeKind.FAILED, Cause.CONTENT)
SIZE = (OutcomeKind.FAILED, Cause.SIZE)


@pytest.mark.parametrize(
    ("phase", "code", "status", "text", "expected"),
    [
        pytest.param(Phase.DOT, 250, "2.0.0", "ok", DELIVERED, id="taken"),
        pytest.param(Phase.RCPT, 550, "5.1.1", "no such user", RECIPIENT, id="unknown recipient"),
        pytest.param(Phase.RCPT, 550, "5.7.1", "not here", RECIPIENT, id="recipient policy"),
        pytest.param(Phase.RCPT, 552, "5.2.2", "mailbox full", RECIPIENT, id="full mailbox"),
        pytest.param(Phase.RCPT, 450, "4.2.0", "greylisted", WEATHER, id="greylisting"),
        pytest.param(Phase.DATA, 554, "", "no", CONTENT, id="refused before the content"),
        pytest.param(Phase.DOT, 554, "5.7.1", "spam", CONTENT, id="spam"),
        pytest.param(Phase.DOT, 552, "5.3.4", "too big", SIZE, id="too big"),
        pytest.param(Phase.DOT, 550, "5.2.3", "RESOLVER.RST.RecipSizeLimit", SIZE, id="too big for that mailbox"),
        pytest.param(Phase.RCPT, 552, "5.3.4", "no", SIZE, id="too big, said at RCPT"),
        pytest.param(Phase.DOT, 552, "", "Message size exceeds fixed limit", SIZE, id="552 about the size"),
        pytest.param(Phase.DOT, 552, "", "Requested mail action aborted", SIZE, id="552 without a reason"),
        pytest.param(Phase.DOT, 552, "", "exceeded storage allocation", RECIPIENT, id="552 as RFC 5321 has it"),
        pytest.param(Phase.DOT, 554, "5.7.1", "message too large", SIZE, id="size under a policy's code"),
        pytest.param(Phase.DOT, 552, "5.7.0", "content is blocked", CONTENT, id="552 as Gmail has it"),
        pytest.param(Phase.DOT, 550, "5.6.0", "bad structure", CONTENT, id="form"),
        pytest.param(Phase.DOT, 554, "", "virus found", CONTENT, id="virus"),
        pytest.param(Phase.DOT, 550, "5.1.1", "no such user", RECIPIENT, id="unknown recipient, told late"),
        pytest.param(Phase.DOT, 552, "5.2.2", "over quota", RECIPIENT, id="full mailbox, told late"),
        pytest.param(Phase.DOT, 451, "4.3.0", "later", WEATHER, id="later"),
        pytest.param(Phase.DOT, 0, "", "connection lost", WEATHER, id="no reply"),
        pytest.param(Phase.DOT, -1, "", "garbage", WEATHER, id="garbage"),
        pytest.param(Phase.DOT, 354, "", "what", WEATHER, id="the wrong class"),
        pytest.param(Phase.RCPT, 250, "", "ok", WEATHER, id="no end of the dialogue is no delivery"),
        pytest.param(Phase.BANNER, 554, "", "go away", OURS, id="banner"),
        pytest.param(Phase.BANNER, 421, "", "busy", WEATHER, id="busy banner"),
        pytest.param(Phase.EHLO, 550, "", "who are you", OURS, id="EHLO"),
        pytest.param(Phase.TLS, 500, "", "what", OURS, id="STARTTLS"),
        pytest.param(Phase.AUTH, 535, "5.7.8", "bad", OURS, id="login"),
        pytest.param(Phase.AUTH, 454, "4.7.0", "later", WEATHER, id="login later"),
        pytest.param(Phase.MAIL, 550, "5.7.1", "sender", OURS, id="sender refused"),
        pytest.param(Phase.MAIL, 552, "", "too big", SIZE, id="declared size refused"),
        pytest.param(Phase.MAIL, 530, "5.7.0", "auth first", OURS, id="login wanted"),
        pytest.param(Phase.RCPT, 530, "5.7.0", "auth first", OURS, id="login wanted at RCPT"),
        pytest.param(Phase.RCPT, 503, "5.5.1", "MAIL first", WEATHER, id="bad sequence"),
        pytest.param(Phase.DOT, 550, "5.7.60", "cannot send as", OURS, id="5.7.60"),
        pytest.param(Phase.DOT, 554, "5.2.252", "denied", OURS, id="5.2.252"),
        pytest.param(Phase.DOT, 554, "5.2.0", "STOREDRV; SendAsDenied; x", OURS, id="SendAsDenied"),
        pytest.param(Phase.DOT, 550, "5.7.26", "unauthenticated", OURS, id="5.7.26"),
        pytest.param(Phase.RCPT, 550, "5.7.68", "tenant", OURS, id="5.7.68"),
        pytest.param(Phase.DOT, 550, "5.4.5", "daily limit", OURS, id="5.4.5"),
    ],
)
def test_a_reply_tells_whether_to_go_on_and_whose_fault_it_is(
    phase: Phase, code: int, status: str, text: str, expected: tuple[OutcomeKind, Cause]
) -> None:
    assert classify_reply(phase, code, status, text) == expected
