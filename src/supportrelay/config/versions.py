"""What runs underneath: libraries too old to be safe are refused, an old Python is warned about (RELIABILITY C64)."""

import re
import sys
from functools import cache
from importlib import metadata

__all__ = ["old_python", "refused_versions"]

_NEEDED = {
    "aiosmtpd": ((1, 4, 6), "older ones let mail be smuggled in behind another (CVE-2024-27305, CVE-2024-34083)"),
    "aiosmtplib": ((5, 1, 3), "older ones read a hostile server's reply without limit"),
}
_FIXED_PYTHON = {(3, 11): 16}
"""First release of a Python series without the holes in ``email`` and ``html.parser`` that mail can reach."""


@cache
def refused_versions() -> list[str]:
    """Lines for the libraries that must be newer; empty is good."""
    lines = []
    for name, (needed, why) in _NEEDED.items():
        have = _version(name)
        if have < needed:
            shown = ".".join(map(str, have)) or "none"
            lines.append(f"{name} {shown} is installed, {'.'.join(map(str, needed))} or later is needed: {why}")
    return lines


def _version(name: str) -> tuple[int, ...]:
    try:
        text = metadata.version(name)
    except metadata.PackageNotFoundError:
        return ()
    return tuple(int(n) for n in re.findall(r"\d+", text)[:3])


def old_python(version: tuple[int, int, int] = sys.version_info[:3]) -> str:
    """A warning when security fixes are missing, else ""."""
    fixed = _FIXED_PYTHON.get(version[:2])
    if fixed is None or version[2] >= fixed:
        return ""
    have, want = ".".join(map(str, version)), f"{version[0]}.{version[1]}.{fixed}"
    return f"Python {have} lacks security fixes for reading mail; {want} has them"
