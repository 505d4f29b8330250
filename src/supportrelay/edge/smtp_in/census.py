"""Who is connected, counted over all listeners and worker processes (RELIABILITY C24).

Each process counts in a row of its own in memory that all share, and reads the sum of all rows: no lock, and what a
dead process counted is forgotten when its successor clears the row. Clients share a slot when their hashes meet: with
16,384 slots that makes a limit a little stricter for one client in sixteen while a thousand others are connected.
"""

import mmap
from collections.abc import Callable
from ipaddress import IPv6Address
from zlib import crc32

__all__ = ["Census", "SharedCounts", "client_key"]

_SLOTS = 1 << 14
_ROW = 1 + 2 * _SLOTS  # connections in all, connections by client, arrivals by client
_COUNT_BITS = 18
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_MINUTE_MASK = (1 << (32 - _COUNT_BITS)) - 1


class SharedCounts:
    """The memory; made before the workers are forked, one row for each."""

    def __init__(self, rows: int) -> None:
        self._memory = mmap.mmap(-1, rows * _ROW * 4)
        self._counts = memoryview(self._memory).cast("I")
        self._rows = rows

    def census(self, row: int, *, places: int, now: Callable[[], float]) -> "Census":
        """The view of one process; its row begins with nobody."""
        begin = row * _ROW * 4
        self._memory[begin : begin + _ROW * 4] = bytes(_ROW * 4)
        return Census(self._counts, row, self._rows, places=places, now=now)


class Census:
    """One process's view.

    Args:
        places: How many connections this process can bear (file descriptors).
        now: Seconds that never run backwards.
    """

    def __init__(self, counts: memoryview, row: int, rows: int, *, places: int, now: Callable[[], float]) -> None:
        self._counts = counts
        self._own = row * _ROW
        self._begins = tuple(n * _ROW for n in range(rows))
        self._places = places
        self._now = now

    @classmethod
    def alone(cls, now: Callable[[], float]) -> "Census":
        """For one process that shares with nobody."""
        return SharedCounts(1).census(0, places=_COUNT_MASK, now=now)

    @property
    def is_full(self) -> bool:
        """More connections in this process than it can bear."""
        return int(self._counts[self._own]) > self._places

    @property
    def connected(self) -> int:
        """Connections of all processes."""
        return sum(self._counts[begin] for begin in self._begins)

    def enter(self) -> None:
        """Somebody connected to this process."""
        self._counts[self._own] += 1

    def leave(self) -> None:
        """His connection is gone."""
        self._counts[self._own] -= 1

    def enter_client(self, key: str) -> int:
        """Count a connection of this client; returns how many it has now, in all processes."""
        slot = 1 + crc32(key.encode()) % _SLOTS
        self._counts[self._own + slot] += 1
        return sum(self._counts[begin + slot] for begin in self._begins)

    def leave_client(self, key: str) -> None:
        """One connection less."""
        self._counts[self._own + 1 + crc32(key.encode()) % _SLOTS] -= 1

    def count_arrival(self, key: str) -> int:
        """Count an arrival of this client; returns how many came this minute, in all processes."""
        slot = 1 + _SLOTS + crc32(key.encode()) % _SLOTS
        minute = int(self._now() / 60) & _MINUTE_MASK
        own = self._counts[self._own + slot]
        count = own & _COUNT_MASK if own >> _COUNT_BITS == minute else 0
        self._counts[self._own + slot] = (minute << _COUNT_BITS) | min(count + 1, _COUNT_MASK)
        rows = [self._counts[begin + slot] for begin in self._begins]
        return sum(row & _COUNT_MASK for row in rows if row >> _COUNT_BITS == minute)


def client_key(ip: str) -> str:
    """Who counts as one client: an IPv4 address, or the /64 of an IPv6 one, of which everybody has a whole network."""
    if ":" not in ip:
        return ip
    try:
        return str(IPv6Address(int(IPv6Address(ip)) >> 64 << 64))
    except ValueError:
        return ip
