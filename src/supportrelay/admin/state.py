"""Acting as the user whom the state belongs to, when no daemon runs."""

import os
import pwd
from pathlib import Path

from supportrelay.core.errors import InputError

__all__ = ["act_as_owner"]


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def act_as_owner(directory: Path) -> None:
    """Become the user whom the state belongs to, so that files made now are files that the daemon can write.

    Args:
        directory: The state directory; made when it is not there.

    Raises:
        InputError: We are somebody else, and not root.
    """
    try:
        owner = directory.stat()
    except (FileNotFoundError, NotADirectoryError):
        _make(directory)
        return
    except PermissionError as exc:
        raise InputError(f"the state directory {directory} cannot be seen: run this as its owner or as root") from exc
    if os.geteuid() == owner.st_uid:
        return
    if os.geteuid() != 0:
        name = _user_name(owner.st_uid)
        raise InputError(
            f"no relay is running, and its state in {directory} belongs to {name}: run this as {name} or as root"
        )
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o750, parents=True)
    except OSError as exc:
        raise InputError(f"no relay is running, and its state directory {directory} cannot be made: {exc}") from exc
