"""Ask the relay: through its control socket when it runs, else directly on its state."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from supportrelay.core.errors import InputError
from supportrelay.edge.control.client import ControlClient, NotHeard, NotRunning, control_path
from supportrelay.i18n import LANGUAGES

__all__ = ["Relay", "as_json", "configured", "group_configured", "person", "spoken_language"]

_CONFIG = "supportrelay.config"
_LANGUAGE = "supportrelay.language"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def person() -> str:
    """Who gives this command: ``person:NAME``, the one behind sudo if there is one."""
    import getpass

    name = os.environ.get("SUDO_USER", "")
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            name = str(os.getuid())
    return f"person:{name}"


def spoken_language() -> str:
    """The language of this terminal, for what is asked before there is a configuration that could say."""
    return next((os.environ[name][:2] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "en")


class CommandFailed(click.ClickException):
    """The relay said no."""

    def __init__(self, text: str, exit_status: int) -> None:
        super().__init__(text)
        self.exit_code = exit_status  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        """One line on standard error, as every other mistake."""
        click.echo(f"supportrelay: {self.message}", file=file, err=True)


@dataclass
class Relay:
    """The relay that a configuration describes, running or not.

    Attributes:
        config_option: ``--config`` as given; None looks in the usual places.
        language_option: ``--language`` as given; None leaves it to the configuration.
        accepts_unfinished: The command may run before ``crm setup`` found out what the file still lacks.
    """

    config_option: str | None = None
    language_option: str | None = None
    accepts_unfinished: bool = False
    _told_languages: Mapping[str, str] | None = None

    @cached_property
    def config_path(self) -> Path:
        """The configuration file in use."""
        from supportrelay.config import find_config

        return find_config(self.config_option)

    @cached_property
    def config(self) -> Any:
        """The configuration. Raises `ConfigError`, exit 2."""
        from supportrelay.config import load

        return load(self.config_path, accepts_unfinished=self.accepts_unfinished)

    @cached_property
    def state_directory(self) -> Path:
        """Where the store and the control socket are; read without validating the file when that is possible."""
        from supportrelay.config import state_folder_of

        return state_folder_of(self.config_path) or Path(self.config.state_folder)

    @property
    def language(self) -> str:
        """The language in which commands answer."""
        return self.language_option or self._languages[""]

    def language_of(self, address_name: str) -> str:
        """The language of a support address by its name; that of commands when there is no such address."""
        return self.language_option or self._languages.get(address_name, self.language)

    @cached_property
    def _languages(self) -> Mapping[str, str]:
        """The running relay said so with its answer, which spares reading the configuration."""
        if self._told_languages is not None:
            return self._told_languages
        from supportrelay.admin.wording import languages_of

        return languages_of(self.config)

    def ask(self, op: str, *, timeout_s: float = 60.0, **args: Any) -> Any:
        """The result of an operation of `supportrelay.admin.operations`.

        Raises:
            CommandFailed: The relay said no, with its exit status.
            InputError: The relay could not be asked.
        """
        client = ControlClient(control_path(self.state_directory))
        try:
            answer = client.call(op, args, who=person(), timeout_s=timeout_s)
        except NotRunning:
            return self.ask_here(op, **args)
        except NotHeard as exc:
            raise InputError(str(exc)) from exc
        return self._result(answer)

    def ask_here(self, op: str, **args: Any) -> Any:
        """The result of an operation in this process, with the file as it is now, whether a relay runs or not.

        For what sets up: a running relay has the configuration of before.

        Raises:
            ConfigError: The file cannot be used.
            CommandFailed: The operation said no.
        """
        return self._result(self._ask_directly(op, args))

    def _result(self, answer: Mapping[str, Any]) -> Any:
        if not answer.get("ok"):
            raise CommandFailed(str(answer.get("error", "no answer")), int(answer.get("exit", 1)))
        self._told_languages = answer.get("languages")
        return answer.get("result")

    def is_running(self) -> bool:
        """A daemon takes commands."""
        try:
            answer = ControlClient(control_path(self.state_directory)).call(
                "relay.ping", {}, who=person(), timeout_s=10
            )
        except NotRunning:
            return False
        except NotHeard as exc:
            raise InputError(str(exc)) from exc
        self._told_languages = answer.get("languages")
        return True

    def _ask_directly(self, op: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        import asyncio

        from supportrelay.admin.state import act_as_owner
        from supportrelay.bootstrap import open_offline
        from supportrelay.log import configure, hide

        configure(os.environ.get("SUPPORTRELAY_LOG", "warning"))
        hide(*self.config.secrets)
        who = person()  # before the user changes
        act_as_owner(self.state_directory)

        async def perform() -> Mapping[str, Any]:
            from supportrelay.admin.operations import dispatch

            async with open_offline(self.config, who=who) as context:
                return await dispatch(context, op, args)

        return asyncio.run(perform())


def _remember(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.meta[key] = value

    return callback


_config_option = click.option(
    "--config",
    metavar="FILE",
    expose_value=False,
    is_eager=True,
    callback=_remember(_CONFIG),
    help="Configuration file; else $SUPPORTRELAY_CONFIG, ./config/supportrelay.yaml, /etc/supportrelay/…",
)
_language_option = click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    expose_value=False,
    is_eager=True,
    callback=_remember(_LANGUAGE),
    help="Language of the answer; else as the configuration says.",
)


def group_configured(command: _Command) -> _Command:
    """``--config`` on a group, for people who write it before the subcommand."""
    return _config_option(command)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--config`` and ``--language`` on a command, whose first argument becomes the `Relay`."""
    from functools import wraps

    @_config_option
    @_language_option
    @click.pass_context
    @wraps(command)
    def with_relay(ctx: click.Context, /, *args: Any, **kwargs: Any) -> Any:
        return ctx.invoke(command, Relay(ctx.meta.get(_CONFIG), ctx.meta.get(_LANGUAGE)), *args, **kwargs)

    return with_relay


as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
