"""The daemon with fault points: ``python tests/fault_points.py serve --config FILE``.

The product knows nothing of them, so that no configuration, no environment and no mail can switch one on. This program
wraps the methods that stand at the boundaries of the stations and then runs the ordinary command.

What happens where stands in a file, named by ``FAULT_FILE``, that may change while the daemon runs (`arm`)::

    {"point": "settle.before", "act": "kill", "word": "poison", "times": 3}

Acts: ``kill`` ends this process at once, ``kill_all`` its parent too, ``raise`` breaks the station, ``stop`` freezes
the process, ``write FILE WORD`` does that. ``word`` has to occur in what the method is given. Each time it happens, a
line is written to ``FILE.happened``.
"""

import asyncio
import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["POINTS", "arm", "happened"]

FILE = "FAULT_FILE"
_FLUSH_S = 0.05

POINTS = {
    "accept.before": "nothing of the message is stored",
    "accept.after": "committed, 250 not said",
    "decide.before": "250 said, nothing decided",
    "settle.before": "decided, not committed",
    "settle.after": "the decision and the first attempts are committed",
    "claim.after": "a later attempt is recorded, nothing done",
    "dial.before": "the copy is written, no connection taken",
    "data.before": "right before DATA",
    "report.before": "the next hop has answered, we have not noted it",
    "report.after": "noted",
}


def arm(file: Path, point: str, act: str = "kill", *, word: str = "", times: int = 1) -> None:
    """Have it happen, so many times."""
    assert point in POINTS, point
    file.with_suffix(".happened").unlink(missing_ok=True)
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps({"point": point, "act": act, "word": word, "times": times}))
    temporary.rename(file)


def happened(file: Path) -> int:
    """How often it happened since `arm`."""
    lines = file.with_suffix(".happened")
    return len(lines.read_text().splitlines()) if lines.exists() else 0


def _act_at(point: str, given: tuple[Any, ...]) -> str:
    """What is to happen now; "" nothing."""
    file = Path(os.environ[FILE])
    try:
        armed = json.loads(file.read_text())
    except FileNotFoundError:
        return ""
    if armed["point"] != point or (armed["word"] and armed["word"] not in repr(given)):
        return ""
    if happened(file) + 1 >= armed["times"]:
        file.unlink(missing_ok=True)
    act = str(armed["act"])
    if act.startswith("write "):
        _, path, text = act.split(" ")
        Path(path).write_text(text)
    return act


def _note(point: str) -> None:
    """It happens now."""
    with Path(os.environ[FILE]).with_suffix(".happened").open("a") as lines:
        lines.write(f"{point}\n")


async def _come_to(point: str, given: tuple[Any, ...]) -> None:
    act = _act_at(point, given)
    if not act:
        return
    if act.startswith("kill") and not point.startswith("accept"):
        await asyncio.sleep(_FLUSH_S)  # what was said before is said: the loop writes at its next turn
    _note(point)
    if act == "raise":
        raise RuntimeError(f"fault at {point}")
    if act.startswith("write "):
        return
    if act == "kill_all":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGSTOP if act == "stop" else signal.SIGKILL)


def _wrap(owner: type, name: str, *, before: str = "", after: str = "") -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    async def with_faults(*given: Any, **more: Any) -> Any:
        if before:
            await _come_to(before, given[1:])
        answer = await inner(*given, **more)
        if after and answer != []:  # nothing was claimed
            await _come_to(after, given[1:])
        return answer

    setattr(owner, name, with_faults)


def _put_in() -> None:
    from supportrelay.edge.smtp_out.courier import SmtpCourier
    from supportrelay.edge.store import SqliteStore
    from supportrelay.flow.journey import Journey
    from supportrelay.flow.worker import Worker

    _wrap(SqliteStore, "accept", before="accept.before", after="accept.after")
    _wrap(Journey, "decide", before="decide.before")
    _wrap(SqliteStore, "settle", before="settle.before", after="settle.after")
    _wrap(SqliteStore, "claim_deliveries", after="claim.after")
    _wrap(SmtpCourier, "send", before="dial.before")
    _wrap(Worker, "_still_ours", after="data.before")
    _wrap(SqliteStore, "report", before="report.before", after="report.after")


if __name__ == "__main__":
    from supportrelay.cli import main
    from supportrelay.edge.store import writer

    _put_in()
    writer._WAIT_S = float(os.environ.get("FAULT_STORE_WAIT_S", writer._WAIT_S))
    sys.exit(main())
