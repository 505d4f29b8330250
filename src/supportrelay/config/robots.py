"""How much automatic mail is passed on before a person is asked."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from supportrelay.config.scalars import Duration, read_duration
from supportrelay.config.section import Section
from supportrelay.core.robot_limits import Limit, RobotLimits

__all__ = ["RobotsConfig"]

_RATE = re.compile(r"(\d{1,6})\s*/\s*(\S+)")
_LONGEST = timedelta(days=7)


def _limit(text: str) -> Limit:
    match = _RATE.fullmatch(text.strip())
    within = read_duration(match[2]) if match else timedelta()
    if match is None or int(match[1]) < 1 or not timedelta() < within <= _LONGEST:
        raise ValueError("must be COUNT/TIME with a time of at most 7d, as in 10/30m")
    return Limit(int(match[1]), within)


def _checked(text: str) -> str:
    _limit(text)
    return text


_Rates = tuple[Annotated[str, AfterValidator(_checked)], ...]


class RobotsConfig(Section):
    """Limits of automatic mail; what people write, and reports on mail of ours, never count."""

    same: _Rates = Field(
        default=("3/30m",),
        description="The same text from the same sender: no more than so many in that time. Whatever comes beyond a "
        "limit is held for a person; [] is no limit.",
    )
    sender: _Rates = Field(default=("10/10m", "25/1h", "100/10h"), description="From one address.")
    domain: _Rates = Field(
        default=("50/1h",), description="From one registrable domain; free-mail and provider domains do not count."
    )
    ticket: _Rates = Field(
        default=("10/10m", "25/1h", "100/10h"),
        description="In one ticket: the other side's robot may answer from another address each time.",
    )
    hold_for: Duration = Field(
        default=timedelta(hours=3), description="How long mail of that kind is held, from the first beyond the limit."
    )

    def to_core(self) -> RobotLimits:
        """The plain values that decisions use."""
        rates = {name: tuple(map(_limit, getattr(self, name))) for name in ("same", "sender", "domain", "ticket")}
        return RobotLimits(rates, self.hold_for)
