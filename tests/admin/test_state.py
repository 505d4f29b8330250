"""Acting as the owner of the state directory."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from supportrelay.admin.state import act_as_owner
from supportrelay.core.errors import InputError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
ACT = """
import os, sys
from pathlib import Path
from supportrelay.admin.state import act_as_owner
from supportrelay.core.errors import InputError
os.seteuid(int(sys.argv[2]))
try:
    act_as_owner(Path(sys.argv[1]))
except InputError as exc:
    print(exc)
else:
    print(os.geteuid())
"""


def _acted(directory: Path, uid: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ACT, str(directory), str(uid)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_our_own_state_needs_nothing(tmp_path: Path) -> None:
    act_as_owner(tmp_path)


def test_a_state_directory_that_is_not_there_is_made(tmp_path: Path) -> None:
    act_as_owner(tmp_path / "var" / "lib")

    assert (tmp_path / "var" / "lib").is_dir()


def test_a_state_directory_that_cannot_be_made_is_the_persons_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="cannot be made"):
        act_as_owner(tmp_path / "file" / "state")


@needs_root
def test_root_becomes_the_owner_so_that_the_daemon_can_write_what_is_made(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)

    assert _acted(tmp_path, 0) == "12345"


@needs_root
def test_somebody_else_is_refused_and_told_who_may() -> None:
    """Not below pytest's own folder: nobody else may even look into that."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        os.chown(name, 12345, 12345)

        assert "belongs to 12345" in _acted(Path(name), 54321)
