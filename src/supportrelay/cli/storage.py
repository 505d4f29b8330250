"""storage backup, restore."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured, person
from supportrelay.cli.printing import print_json, say, say_error
from supportrelay.core.errors import InputError
from supportrelay.i18n import catalogue

__all__ = ["storage"]


@click.group()
@group_configured
def storage() -> None:
    """Back the store up, and bring a backup back."""


@storage.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_json
@configured
def backup(relay: Relay, file: Path, is_json: bool) -> None:
    """Write the whole store, as it is this instant, into FILE; the relay may run."""
    from supportrelay.admin.state import act_as_owner
    from supportrelay.edge.store.backup import back_up

    path, target = relay.config.storage.path, file.absolute()
    act_as_owner(relay.state_directory)
    made = back_up(path, target)
    words = catalogue(relay.language)
    if made.lost_contents:
        say_error(words.text("storage.lost_contents", count=len(made.lost_contents), ids=" ".join(made.lost_contents)))
    if is_json:
        print_json({"file": str(target), **asdict(made)})
        return
    say(words.text("storage.backed_up", file=target, messages=made.messages, unfinished=made.unfinished,
                   tickets=made.tickets, size=_mib(made.octets)))  # fmt: skip


@storage.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@configured
def restore(relay: Relay, file: Path, yes: bool, is_json: bool) -> None:
    """Put the backup FILE where the store is; the relay must not run.

    What was unfinished in it is held: part of it may have been sent since. The store that was there is kept beside it.
    """
    from supportrelay.admin.state import act_as_owner
    from supportrelay.edge.store import backup as storing

    path, source = relay.config.storage.path, file.absolute()
    words = catalogue(relay.language)
    if not yes:
        click.confirm(words.text("storage.restore_ask", file=source, path=path), abort=True, err=True)
    who = person()
    act_as_owner(relay.state_directory)
    with _nobody_else(relay.state_directory):
        done = storing.restore(path, source, datetime.now(UTC), who)
    if is_json:
        print_json({"path": str(path), "held": done.held, "former": str(done.former) if done.former else None})
        return
    say(words.text("storage.restored", path=path, held=done.held))
    if done.former is not None:
        say(words.text("storage.former", former=done.former))


def _mib(octets: int) -> str:
    return f"{octets / (1 << 20):.1f}"


@contextmanager
def _nobody_else(state_folder: Path) -> Iterator[None]:
    """Hold the daemon's lock file, so that none starts meanwhile.

    Raises:
        InputError: One runs.
    """
    lock = os.open(state_folder / "relay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"a relay is running on {state_folder}: stop it first") from None
    else:
        yield
    finally:
        os.close(lock)
