"""serve, check, init."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from supportrelay.cli.asking import Relay, configured, spoken_language
from supportrelay.cli.printing import say, say_error
from supportrelay.core.errors import ConfigError, InputError
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["check", "init", "serve"]


@click.command()
@click.option("--hold", is_flag=True, help="Hold what is in the queue at the start, until a person releases it.")
@configured
def serve(relay: Relay, hold: bool) -> None:
    """Run the relay until SIGTERM."""
    from supportrelay.log import configure
    from supportrelay.log_outlet import fill_standard_streams

    fill_standard_streams()
    configure()
    from supportrelay.supervisor import run

    sys.exit(run(relay.config_path, holds=hold))


@click.command()
@click.option("--online", is_flag=True, help="Also try store, CRM, smarthost (login, no mail), DKIM records.")
@configured
def check(relay: Relay, online: bool) -> None:
    """Validate the configuration and name every mistake as FILE:LINE:COLUMN; exit 2 when there is one."""
    config = relay.config
    from supportrelay.bootstrap import check_rules
    from supportrelay.config import warnings

    check_rules(config)
    for warning in warnings(config):
        say_error(f"warning: {warning}")
    is_running = _runs(relay)
    taken = [] if is_running else _taken_ports(config)
    if taken:
        raise ConfigError(taken)
    if online:
        _check_online(relay)
    say("ok")


def _runs(relay: Relay) -> bool:
    """A relay runs; one that does not listen to us is one too."""
    try:
        return relay.is_running()
    except InputError:
        return True


def _taken_ports(config: Any) -> list[str]:
    """Ports that somebody else has. What only root may open is a warning: the service has that right, we may not."""
    from supportrelay.config import check_ports

    taken = []
    for line in check_ports(config):
        if "needs root" in line:
            say_error(f"warning: {line}")
        else:
            taken.append(line)
    return taken


def _check_online(relay: Relay) -> None:
    from supportrelay.cli.crm_setup import tell_check
    from supportrelay.cli.online import try_smarthosts

    words = catalogue(relay.language)
    failed = False
    for step in (*try_smarthosts(relay.config), *_compare_dkim(relay.config)):
        say(words.text(f"online.{step.code}", **step.values))
        failed |= not step.is_good
    # Not the running relay: the file may say something else by now, and it is the file that is checked.
    if not tell_check(relay.ask_here("crm.check"), words) or failed:
        raise InputError("not everything that was tried works")


def _compare_dkim(config: Any) -> list[Any]:
    """Nothing is asked without keys."""
    import asyncio

    from supportrelay.bootstrap_dkim import private_keys
    from supportrelay.cli.online import compare_dkim
    from supportrelay.edge.dkim import public_record
    from supportrelay.edge.dns import DnsResolver

    async def compare() -> list[Any]:
        resolver = DnsResolver(config.dns.endpoints, timeout_s=config.dns.timeout.total_seconds())
        try:
            return await compare_dkim(config.dkim, [public_record(key) for key in private_keys(config)], resolver)
        finally:
            await resolver.aclose()

    return asyncio.run(compare()) if config.dkim else []


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("config/supportrelay.yaml"))
@click.option("--force", is_flag=True, help="Write over an existing file.")
@configured
def init(relay: Relay, file: Path, force: bool) -> None:
    """Ask six questions, write a first configuration to FILE (config/supportrelay.yaml) and check it."""
    from supportrelay.config import load, warnings
    from supportrelay.config.first import QUESTIONS, Answers, first_configuration

    file = Path(relay.config_option) if relay.config_option else file
    if file.exists() and not force:
        raise InputError(f"{file} exists; --force writes over it")
    words = catalogue(relay.language_option or spoken_language())
    answers: dict[str, Any] = {}
    for question in QUESTIONS:
        answers[question.key] = _ask(question, answers, words)
    text = first_configuration(Answers(**answers), storage_url=_storage_url())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    for warning in warnings(load(file)):
        say_error(f"warning: {warning}")
    say(words.text("init.written", file=file))


def _storage_url() -> str:
    """The service's folder; for somebody who may not write there and only tries it out, one beside the file."""
    from supportrelay.config.place import DEFAULT_URL, SQLITE

    folder = Path(DEFAULT_URL.removeprefix(SQLITE)).parent
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    return DEFAULT_URL if os.access(nearest, os.W_OK) else f"{SQLITE}state/relay.db"


def _ask(question: Any, answers: dict[str, Any], words: Catalogue) -> Any:
    """Ask until the answer can be used. Questions go to standard error: they are no answer."""
    from supportrelay.config.first import refuse_misfits

    while True:
        suggested = question.suggest(answers) or None
        asked = words.text(f"init.{question.key}")
        typed: str = click.prompt(asked, default=suggested, err=True, prompt_suffix=" " if suggested is None else ": ")
        try:
            answer = question.check(typed)
            refuse_misfits({**answers, question.key: answer})
        except InputError as exc:
            say_error(str(exc))
        else:
            return answer
