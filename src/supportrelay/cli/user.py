"""user: people who may log in, to send mail by submission (and later to the board)."""

import sys
from pathlib import Path
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.core.account import LEAST_PASSWORD, parse_account_name, prepared_password
from supportrelay.core.errors import InputError
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["user"]

_LONGEST_LINE = 4096

_password_file = click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File whose first line is the password; '-' is standard input. Else it is asked for.",
)
_name = click.argument("name")


@click.group()
@group_configured
def user() -> None:
    """People who may log in."""


@user.command("add")
@click.option(
    "--address", "addresses", multiple=True, metavar="ADDRESS",
    help="An address he may write as, beside his name and the desk's; '*@domain' for all of a domain. May be repeated.",
)  # fmt: skip
@_password_file
@as_json
@_name
@configured
def add(relay: Relay, name: str, addresses: tuple[str, ...], password_file: Path | None, is_json: bool) -> None:
    """Make an account. NAME is an address, or a word for a device or program."""
    hashed = _new_password(name, password_file, relay)
    _told(relay, "user.add", is_json, name=name, password_hash=hashed, addresses=list(addresses))


@user.command("passwd")
@_password_file
@as_json
@_name
@configured
def passwd(relay: Relay, name: str, password_file: Path | None, is_json: bool) -> None:
    """Set a user's password; it counts at once."""
    hashed = _new_password(name, password_file, relay)
    _told(relay, "user.passwd", is_json, name=name, password_hash=hashed)


@user.command("addresses")
@click.option("--add", "added", multiple=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--remove", "removed", multiple=True, metavar="ADDRESS", help="May be repeated.")
@as_json
@_name
@configured
def addresses(relay: Relay, name: str, added: tuple[str, ...], removed: tuple[str, ...], is_json: bool) -> None:
    """Show or change what a user may write as, beside his name and the desk's addresses."""
    _told(relay, "user.addresses", is_json, name=name, add=list(added), remove=list(removed))


@user.command("disable")
@as_json
@_name
@configured
def disable(relay: Relay, name: str, is_json: bool) -> None:
    """Let nobody in by this name; the account stays."""
    _told(relay, "user.disable", is_json, name=name, disabled=True)


@user.command("enable")
@as_json
@_name
@configured
def enable(relay: Relay, name: str, is_json: bool) -> None:
    """Let a disabled user in again, and forget failed logins by his name."""
    _told(relay, "user.disable", is_json, "user.enable", name=name, disabled=False)


@user.command("remove")
@as_json
@_name
@configured
def remove(relay: Relay, name: str, is_json: bool) -> None:
    """Remove an account."""
    _told(relay, "user.remove", is_json, name=name)


@user.command("list")
@as_json
@configured
def list_users(relay: Relay, is_json: bool) -> None:
    """List who may log in, and as whom each may write."""
    found = relay.ask("user.list")
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text(f"head.{name}") for name in ("user", "state", "addresses", "changed")],
        [(one["name"], _state(one, words), one["addresses"], local_minute(one["changed_at"])) for one in found],
        empty=words.text("empty.users"),
    )


def _state(one: dict[str, Any], words: Catalogue) -> str:
    state = "disabled" if one["disabled"] else "blocked" if one["blocked"] else "active"
    return words.text(f"user_state.{state}")


def _told(relay: Relay, op: str, is_json: bool, done: str = "", **args: Any) -> None:
    answer = relay.ask(op, **args)
    if is_json:
        print_json(answer)
        return
    words = catalogue(relay.language)
    own = ", ".join([*([answer["name"]] if "@" in answer["name"] else []), *answer.get("addresses", ())])
    say(words.text(f"done.{done or op}", name=answer["name"], addresses=own or words.text("story.nobody_word")))


def _new_password(name: str, file: Path | None, relay: Relay) -> str:
    """The hash of a password that may be used; its text goes no further.

    Raises:
        InputError: Too short, or his name.
    """
    from supportrelay.edge.accounts.passwords import hash_password

    known = parse_account_name(name)
    password = prepared_password(_typed(file, catalogue(relay.language)))
    if len(password) < LEAST_PASSWORD:
        raise InputError(f"a password has {LEAST_PASSWORD} characters or more; a few words in a row are easy to type")
    if password.lower() in {known, known.partition("@")[0]} or len(set(password)) == 1:
        raise InputError("this password would be the first one tried")
    return hash_password(password)


def _typed(file: Path | None, words: Catalogue) -> str:
    """The password from a file, from a person, or from standard input: its first line."""
    if file is not None and str(file) != "-":
        with file.open("rb") as source:
            return _first_line(source.readline(_LONGEST_LINE))
    if file is None and sys.stdin.isatty():
        typed: str = click.prompt(
            words.text("ask.password"),
            hide_input=True,
            confirmation_prompt=words.text("ask.password_again"),
            err=True,
        )
        return typed
    return _first_line(sys.stdin.buffer.readline(_LONGEST_LINE))


def _first_line(octets: bytes) -> str:
    try:
        return octets.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError("the password is not UTF-8") from None
