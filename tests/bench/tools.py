"""Postfix's programs: where they are, and getting them where we may."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BUILD", "ROOT", "MissingTool", "has_postfix", "need_tools", "program"]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class MissingTool(RuntimeError):  # noqa: N818  it is no error of ours
    """A program that the bench needs is not there and could not be installed."""


def find(program: str) -> str | None:
    """Path of a program; the system directories are searched even where they are not on PATH."""
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(_SBIN))


def need_tools() -> None:
    """Make smtp-source, smtp-sink and postfix available; Debian's package, without setting up a system mailer."""
    if find("smtp-source") and find("smtp-sink"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingTool(
            "smtp-source and smtp-sink are missing: install the postfix package (as root), then try again"
        )
    print(
        "bench: installing Debian's postfix package for smtp-source and smtp-sink (no mailer is set up)",
        file=sys.stderr,
    )
    answer = "postfix postfix/main_mailer_type select No configuration\n"
    subprocess.run(["debconf-set-selections"], input=answer, text=True, check=True)
    _apt_get("update", "-qq")
    # A unit that a package starts by itself would be a mailer nobody asked for.
    policy = Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        policy.chmod(0o755)
    try:
        _apt_get("install", "-y", "-qq", "--no-install-recommends", "postfix")
    finally:
        if is_ours:
            policy.unlink()
    if not find("smtp-source"):
        raise MissingTool("the postfix package brought no smtp-source")


def has_postfix() -> bool:
    """A Postfix instance can be run: its master needs root."""
    return os.geteuid() == 0 and find("postfix") is not None


def _apt_get(*arguments: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], env=quiet, stdout=subprocess.DEVNULL, check=True)


def program(name: str) -> str:
    """Path of a program that `need_tools` made sure of."""
    path = find(name)
    if path is None:
        raise MissingTool(f"{name} is missing")
    return path
