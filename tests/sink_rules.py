"""How a sink misbehaves: rules asked at each phase; the first that fits and is not used up decides.

Phases are ``connect banner ehlo tls auth mail rcpt data content dot rset quit idle``; ``content`` is between 354 and
the dot, ``idle`` after a message, when the client may keep the connection.

A rule on paper, for the command line and for scripts of many connections (`rule_of`)::

    PHASE:ACT[=VALUE][,to=ADDRESS][,times=N][,connection=N]

    dot:drop,times=1                    abort after the whole message came
    rcpt:reply=450 4.2.0 later,to=ann@example.test
    dot:delay=540                       accept nine minutes later
    banner:trickle=0.5                  one octet each half second
    ehlo:hang                           never answer
    mail:long_line=10000000             an answer of one line of ten million octets
    ehlo:endless                        lines with a hyphen, without end
    rcpt:lie=999 what                   any octets in place of the answer; backslash escapes as in Python
    content:read_slowly=512             512 octets each 50 ms, with a small window
"""

import codecs
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["ACTS", "PHASES", "Rule", "random_mood", "rule_of"]

PHASES = ("connect", "banner", "ehlo", "tls", "auth", "mail", "rcpt", "data", "content", "dot", "rset", "quit", "idle")
ACTS = ("reply", "drop", "delay", "trickle", "hang", "long_line", "endless", "lie", "read_slowly")


@dataclass
class Rule:
    """One way to misbehave.

    Attributes:
        reply: Said in place of the usual answer; 421 closes the connection.
        lie: Octets sent in place of the answer. The sink itself goes on as if it had said the usual one.
        delay_s: Wait first.
        trickle_s: Send the answer octet by octet, with so much time between.
        is_drop, is_hang: Abort, or never answer until the client is gone.
        endless: Lines that are repeated until the client is gone.
        slow_octets: At ``content``: read only so much each 50 ms.
        times: How often it still applies; None: always.
        recipient, connection, when: Only for them; "", 0 and None: for all.
    """

    phase: str
    reply: str = ""
    lie: bytes | None = None
    delay_s: float = 0.0
    trickle_s: float = 0.0
    is_drop: bool = False
    is_hang: bool = False
    endless: bytes = b""
    slow_octets: int = 0
    recipient: str = ""
    times: int | None = None
    connection: int = 0
    when: Callable[[bytes], bool] | None = None

    def __post_init__(self) -> None:
        assert self.phase in PHASES, self.phase

    def fits(self, phase: str, recipients: Sequence[str], octets: bytes, connection: int) -> bool:
        """Does it decide here?"""
        is_asked = self.phase == phase and self.times != 0 and (not self.recipient or self.recipient in recipients)
        is_asked = is_asked and self.connection in {0, connection}
        return is_asked and (self.when is None or self.when(octets))


def rule_of(text: str) -> Rule:
    """Read a rule as it stands on paper.

    Raises:
        ValueError: It is none.
    """
    phase, separator, rest = text.partition(":")
    act, *more = rest.split(",")
    name, _, value = act.partition("=")
    # A comma may stand in a reply: what is no option belongs to it.
    while more and more[0].partition("=")[0] not in {"to", "times", "connection"}:
        value += "," + more.pop(0)
    options = dict(one.split("=", 1) for one in more)
    if not separator or phase not in PHASES or name not in ACTS:
        raise ValueError(f"{text!r} is no rule PHASE:ACT[=VALUE]")
    rule = Rule(
        phase,
        recipient=options.get("to", ""),
        times=int(options["times"]) if "times" in options else None,
        connection=int(options.get("connection", "0")),
    )
    match name:
        case "reply":
            rule.reply = value
        case "drop":
            rule.is_drop = True
        case "hang":
            rule.is_hang = True
        case "delay":
            rule.delay_s = float(value)
        case "trickle":
            rule.trickle_s = float(value)
        case "long_line":
            rule.lie = b"250 " + b"x" * int(value) + b"\r\n"
        case "endless":
            rule.endless = b"250-more\r\n" * 1000
        case "lie":
            rule.lie = codecs.decode(value, "unicode_escape").encode("latin-1")
        case "read_slowly":
            rule.slow_octets = int(value)
    return rule


# Nothing that refuses for good, and nothing that takes a mail without saying so: what arrives then is the relay's
# doing alone.
_MOODS = (
    "banner:reply=421 4.3.2 busy",
    "banner:drop",
    "ehlo:drop",
    "mail:reply=451 4.3.0 later",
    "rcpt:reply=450 4.2.0 greylisted,times=1",
    "rcpt:drop,times=1",
    "data:reply=451 4.3.0 later,times=1",
    "content:drop,times=1",
    "dot:reply=451 4.3.0 later,times=1",
    "dot:reply=421 4.3.2 bye,times=1",
    "dot:drop,times=1",
    "rcpt:lie=what is this?\\r\\n,times=1",
    "dot:delay=0.3,times=3",
    "mail:trickle=0.01,times=1",
    "idle:drop,times=1",
)


def random_mood(dice: random.Random) -> Callable[[int], list[Rule]]:
    """A third of all connections meet a fault, once each."""

    def mood(_number: int) -> list[Rule]:
        return [rule_of(dice.choice(_MOODS))] if dice.random() < 1 / 3 else []

    return mood
