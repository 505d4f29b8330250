"""The command line's half of the control socket; it imports little, so that commands start quickly."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["SOCKET_NAME", "ControlClient", "NotHeard", "NotRunning", "connected", "control_path", "short_path"]

SOCKET_NAME = "relay.sock"
LONGEST_PATH = 100

Answer = dict[str, Any]


class NotRunning(ConnectionError):  # noqa: N818  it is a state, not a mistake
    """No daemon listens on this socket."""


class NotHeard(ConnectionError):  # noqa: N818  it is an answer, not a mistake
    """A daemon runs and does not listen to this user, or went away before it answered."""


def control_path(state_directory: Path) -> Path:
    """Where the daemon that keeps its state there listens."""
    return state_directory / SOCKET_NAME


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of the socket that fits into ``sockaddr_un``."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


@contextmanager
def connected(path: Path, *, timeout_s: float) -> Iterator[socket.socket]:
    """A connection to the daemon; raises `NotRunning` or `NotHeard`."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(timeout_s)
        try:
            with short_path(path) as name:
                connection.connect(name)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as exc:
            raise NotRunning(f"no relay listens on {path}") from exc
        except PermissionError as exc:
            raise NotHeard(f"a relay may be running as another user ({path} is not ours)") from exc
        yield connection


class ControlClient:
    """Speaks to a running daemon; blocking, for the command line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, op: str, args: Mapping[str, Any], *, who: str, timeout_s: float = 60.0) -> Answer:
        """The daemon's answer, with the fields shown in the package's docstring.

        Raises:
            NotRunning: Nothing was asked, nobody is there.
            NotHeard: A daemon is there and did not answer; whether it did anything is unknown.
        """
        line = json.dumps({"op": op, "args": dict(args), "who": who}).encode("ascii") + b"\n"
        with connected(self.path, timeout_s=timeout_s) as connection:
            try:
                connection.sendall(line)
                with connection.makefile("rb") as answers:
                    answer = answers.readline()
            except TimeoutError as exc:
                raise NotHeard(f"the relay did not answer within {timeout_s:g} s") from exc
            except OSError as exc:
                raise NotHeard(f"the relay went away: {exc}") from exc
        if not answer.endswith(b"\n"):
            raise NotHeard("the relay went away before it answered")
        decoded: Answer = json.loads(answer)
        return decoded
