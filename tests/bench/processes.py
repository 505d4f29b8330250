"""CPU time and memory of a process and everything it started."""

from dataclasses import dataclass

import psutil

__all__ = ["Memory", "cpu_s", "cpu_s_by_process", "memory"]


@dataclass(frozen=True)
class Memory:
    """Octets: the proportional set sizes summed, and the largest resident set of one process."""

    pss: int
    max_rss: int
    processes: int


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by a process, its children, and the children they already buried."""
    return sum(cpu_s_by_process(pid).values())


def cpu_s_by_process(pid: int) -> dict[str, float]:
    """The same by what runs: program name; children that bear their parent's name are numbered as they were started.

    The dead ones count for their parent.
    """
    seconds: dict[str, float] = {}
    parent = ""
    for number, process in enumerate(_tree(pid)):
        try:
            times = process.cpu_times()
            name = process.name()
        except psutil.NoSuchProcess:
            continue
        parent = parent or name
        name = f"child {number}" if number and name == parent else name
        used = times.user + times.system
        seconds[name] = seconds.get(name, 0.0) + used
        buried = times.children_user + times.children_system
        if buried:
            seconds[f"{name}'s ended children"] = seconds.get(f"{name}'s ended children", 0.0) + buried
    return seconds


def memory(pid: int) -> Memory:
    """Memory in use now."""
    pss = max_rss = count = 0
    for process in _tree(pid):
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        pss += info.pss
        max_rss = max(max_rss, info.rss)
        count += 1
    return Memory(pss, max_rss, count)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *sorted(parent.children(recursive=True), key=lambda process: process.pid)]
    except psutil.NoSuchProcess:
        return []
