"""When a deferred delivery is due again, and what a refusal of the next hop means.

Unknown means temporary: the mail is kept. Failed for good is only what a server said about this recipient or this
content; a refusal of *us* (login, sender rights, its greeting) is deferred with an alarm, for no other recipient would
fare better (DESIGN 5).
"""

import re
from datetime import datetime, timedelta
from itertools import accumulate, chain, repeat, takewhile

from supportrelay.core.delivery import Cause, OutcomeKind, Phase

__all__ = ["classify_reply", "next_attempt_at"]

_FIRST_WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30, 45))
_LONGEST_WAIT = timedelta(minutes=60)
_JITTER_SHARE = 0.1
_FEW_ATTEMPTS = 8


def next_attempt_at(
    attempts_made: int,
    accepted_at: datetime,
    now: datetime,
    give_up_after: timedelta,
    *,
    jitter: float = 0.0,
) -> datetime | None:
    """Return when a deferred delivery is due again, or None when it is time to give up.

    The waits are 1, 5, 15, 30 and 45 minutes, then 60: greylisting wants to see us soon, a broken server for days.
    It is time to give up when the next attempt would lie beyond ``accepted_at + give_up_after`` and enough attempts
    were made: a clock that jumps a year ahead shall not expire a mail that was tried once (RELIABILITY F31).

    Args:
        attempts_made: At least 1, the deferred one included.
        accepted_at: When we answered 250; aware, UTC.
        now: The end of the last attempt; aware, UTC.
        give_up_after: Positive.
        jitter: Random fraction 0 <= jitter <= 1, made by the caller; adds up to a tenth of the wait.

    Raises:
        ValueError: No attempts or a fraction out of range: bugs, not weather.

    RFC 5321 §4.5.4.1: give up after four to five days; shorter first waits than its 30 minutes are ours to choose
    because the next hop is our own smarthost.
    """
    if attempts_made < 1 or not 0 <= jitter <= 1:
        raise ValueError(f"{attempts_made=}, {jitter=}")
    wait = _FIRST_WAITS[attempts_made - 1] if attempts_made <= len(_FIRST_WAITS) else _LONGEST_WAIT
    due_at = now + wait * (1 + _JITTER_SHARE * jitter)
    is_over = due_at > accepted_at + give_up_after and attempts_made >= _attempts_wanted(give_up_after)
    return None if is_over else due_at


def _attempts_wanted(give_up_after: timedelta) -> int:
    """How many attempts a mail deserves whatever the clock says: what fits in, at most 8."""
    waits = chain(_FIRST_WAITS, repeat(_LONGEST_WAIT, _FEW_ATTEMPTS))
    fitting = sum(1 for _ in takewhile(lambda age: age <= give_up_after, accumulate(waits)))
    return min(_FEW_ATTEMPTS, 1 + fitting)


# DESIGN 5: refusals of our right to send, whatever the stage: 5.7.60 and 5.2.252 SendAsDenied (Exchange), 5.7.26
# (unauthenticated sender), 5.7.68 (tenant), 5.4.5 (daily limit of the account).
_OURS_STATUSES = frozenset({"5.7.60", "5.2.252", "5.7.26", "5.7.68", "5.4.5"})
_BEFORE_THE_MAIL = frozenset({Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.TLS, Phase.AUTH})
_LOGIN_CODES = frozenset({530, 534, 535, 538})  # RFC 4954 §6
_BAD_SEQUENCE = 503  # the two ends disagree about the dialogue; says nothing about the mail


def classify_reply(phase: Phase, code: int, status: str, text: str) -> tuple[OutcomeKind, Cause]:
    """Return what a reply of the next hop means for this delivery, and whose fault it is.

    Args:
        phase: The command that was answered.
        code: 0 when no reply came, or whatever a broken server said.
        status: Enhanced status, "" without.
        text: The reply's text.
    """
    if 200 <= code < 300:  # noqa: PLR2004
        is_taken = phase is Phase.DOT
        return (OutcomeKind.DELIVERED, Cause.NONE) if is_taken else (OutcomeKind.DEFERRED, Cause.WEATHER)
    if not 500 <= code < 600:  # noqa: PLR2004  4xx, a lost connection, garbage
        return OutcomeKind.DEFERRED, Cause.WEATHER
    if status in _OURS_STATUSES or "sendasdenied" in text.lower() or code in _LOGIN_CODES:
        return OutcomeKind.DEFERRED, Cause.OURS
    if phase in _BEFORE_THE_MAIL:
        return OutcomeKind.DEFERRED, Cause.OURS
    if code == _BAD_SEQUENCE:
        return OutcomeKind.DEFERRED, Cause.WEATHER
    if phase is Phase.MAIL:
        return _refused_at_mail(code, status)
    if phase is Phase.RCPT and _is_too_many_recipients(code, status, text):
        return OutcomeKind.DEFERRED, Cause.WEATHER
    return OutcomeKind.FAILED, _refused_later(phase, code, status, text)


def _is_too_many_recipients(code: int, status: str, text: str) -> bool:
    """552 at RCPT says "too many" unless it says more; it is as 452 then (RFC 5321 §4.5.3.1.10)."""
    is_bare = not status and not _SAYS_FULL.search(text) and not _SAYS_SIZE.search(text)
    return status == "5.5.3" or (code == _TOO_MUCH and is_bare)


def _refused_at_mail(code: int, status: str) -> tuple[OutcomeKind, Cause]:
    # MAIL carries SIZE= and SMTPUTF8: these two refusals are about the message, not about us (RFC 1870, RFC 6531).
    if code == _TOO_MUCH or status in _SIZE_STATUSES:
        return OutcomeKind.FAILED, Cause.SIZE
    if status == "5.6.7":
        return OutcomeKind.FAILED, Cause.CONTENT
    return OutcomeKind.DEFERRED, Cause.OURS


_TOO_MUCH = 552  # RFC 1870 §6.1: too large; RFC 5321 §4.2.2: no room; many: content that is not wanted
_SIZE_STATUSES = frozenset({"5.3.4", "5.2.3"})  # RFC 3463 §3.4, §3.3
# Servers that look up the mailbox only when they have the content (LMTP behind them, Exchange): RFC 3463 §3.2, §3.3.
_OF_THE_MAILBOX = re.compile(r"5\.(?:1\.\d+|2\.[124])")
_SAYS_SIZE = re.compile(
    r"too (?:large|big)|message too long|(?:message|mail|data|content|maximum) size|size (?:limit|exceed)",
    re.IGNORECASE,
)
_SAYS_FULL = re.compile(r"quota|mailbox (?:is )?full|over ?limit|storage|disk space", re.IGNORECASE)


def _refused_later(phase: Phase, code: int, status: str, text: str) -> Cause:
    """Whose fault a refusal at RCPT, DATA or the dot is: the size, the mailbox, or what is in the mail."""
    if status in _SIZE_STATUSES:
        return Cause.SIZE
    if phase is Phase.RCPT or _OF_THE_MAILBOX.fullmatch(status):
        return Cause.RECIPIENT
    if _SAYS_SIZE.search(text):
        return Cause.SIZE
    if code == _TOO_MUCH and not status:
        return Cause.RECIPIENT if _SAYS_FULL.search(text) else Cause.SIZE
    return Cause.CONTENT
