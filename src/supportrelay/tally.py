"""tally: what all processes of a daemon count together, for metrics and readiness.

The parent makes one piece of shared memory before it forks; each process counts in a row of its own, so that nobody
waits for anybody, and a process that is started again goes on in the row of its former life. The web process reads all
rows. Outside a daemon (commands, tests) counting goes nowhere.
"""

import mmap
from collections.abc import Mapping, Sequence

from supportrelay.core import reply as replies
from supportrelay.core.decision import Direction, Verdict
from supportrelay.core.delivery import DeliveryState
from supportrelay.core.reply import Reply

__all__ = ["LAG_BOUNDS_S", "NAMES", "OTHER", "Tally", "TallyBoard", "count", "count_refusal", "keep", "use"]

OTHER = "other"
LAG_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


def _reasons() -> list[str]:
    """Code and status of every refusal we give; what edges make up at run time counts as `OTHER`."""
    known = {_reason(one) for one in vars(replies).values() if isinstance(one, Reply) and not one.is_positive}
    return [*sorted(known), OTHER]


def _reason(given: Reply) -> str:
    return f"{given.code} {given.status}".strip()


NAMES: tuple[str, ...] = (
    "beat",  # when the process last said that it lives, in milliseconds of the machine's monotonic clock
    "accepted",
    *(f"refused:{reason}" for reason in _reasons()),
    *(f"decided:{direction}" for direction in Direction),
    *(f"sender:{verdict}" for verdict in Verdict),
    *(f"attempt:{state}" for state in DeliveryState),
    "attempt:reshaped",
    "commits",
    "commands",
    "crm:made",
    "crm:failed",
    *(f"lag:{bound:g}" for bound in LAG_BOUNDS_S),
    "lag:+Inf",
    "lag_sum",  # microseconds
)
_PLACE = {name: number for number, name in enumerate(NAMES)}
_OCTETS = 8


class Tally:
    """One process's row."""

    __slots__ = ("_cells",)

    def __init__(self, cells: "memoryview[int]") -> None:
        self._cells = cells

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        self._cells[_PLACE[name]] += by

    def keep(self, name: str, value: int) -> None:
        """Set a value."""
        self._cells[_PLACE[name]] = value

    def value(self, name: str) -> int:
        """What stands there."""
        return self._cells[_PLACE[name]]


class TallyBoard:
    """The rows of all processes; made before they are forked."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._cells = memoryview(mmap.mmap(-1, max(1, rows) * len(NAMES) * _OCTETS)).cast("q")

    def row(self, number: int) -> Tally:
        """The row of one process."""
        start = number * len(NAMES)
        return Tally(self._cells[start : start + len(NAMES)])

    def sums(self) -> Mapping[str, int]:
        """Every counter, all processes together."""
        width = len(NAMES)
        return {name: sum(self._cells[at : width * self.rows : width]) for at, name in enumerate(NAMES)}

    def beats(self) -> Sequence[int]:
        """When each process last said that it lives, 0 for never; milliseconds of the monotonic clock."""
        return [self.row(number).value("beat") for number in range(self.rows)]


_own = TallyBoard(1).row(0)


def use(row: Tally) -> None:
    """Count in this row from now on."""
    global _own  # noqa: PLW0603  one process, one row, as with the log
    _own = row


def count(name: str, by: int = 1) -> None:
    """Add to a counter of `NAMES`."""
    _own.count(name, by)


def keep(name: str, value: int) -> None:
    """Set a value of `NAMES`."""
    _own.keep(name, value)


def count_refusal(line: str) -> None:
    """A client was told no, in this line."""
    code, _, rest = line.partition(" ")
    name = f"refused:{code} {rest.partition(' ')[0]}"
    _own.count(name if name in _PLACE else f"refused:{OTHER}")
