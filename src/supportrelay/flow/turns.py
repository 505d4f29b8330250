"""turns: what is worked on while others wait, and what goes to a thread; nobody shall wait over 50 ms for his turn.

Reading and rewriting take linear time, and most mails well under a millisecond; but the worst octets we know of take
two to six microseconds each: many short lines, many fields, lists of nothing but brackets. So a mail is quick when it
is small and has few lines. A thread costs a tenth of a millisecond more.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["in_turn", "is_quick"]

T = TypeVar("T")

_QUICK_OCTETS = 16 * 1024
_QUICK_LINES = 600


def is_quick(octets: bytes) -> bool:
    """These octets may be read or rewritten on the event loop."""
    return len(octets) <= _QUICK_OCTETS and octets.count(b"\n") <= _QUICK_LINES


async def in_turn(octets: bytes, work: Callable[[], T]) -> T:
    """What ``work`` returns; done at once when it is quick for these octets, else by a thread."""
    return work() if is_quick(octets) else await asyncio.to_thread(work)
