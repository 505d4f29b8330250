"""The command line. Exit status: 0 done, 1 could not, 2 wrong use or wrong configuration.

Standard output carries only the answer; errors and logs go to standard error. Command modules are imported when their
command is named, so that each command starts quickly.
"""

import importlib
import sys
from typing import Any

import click

from supportrelay import __version__
from supportrelay.core.errors import ConfigError, RelayError

__all__ = ["main"]

_COMMANDS = {
    "serve": ("daemon:serve", "Run the relay until SIGTERM."),
    "check": ("daemon:check", "Validate the configuration and name every mistake by line."),
    "init": ("daemon:init", "Ask six questions and write a first configuration."),
    "explain": ("explain:explain", "Say what would happen to a mail, and why; changes nothing."),
    "trace": ("trace:trace", "Tell the life of one message."),
    "queue": ("queue:queue", "Messages and their deliveries."),
    "tickets": ("tickets:tickets", "Tickets and their stages."),
    "crm": ("crm:crm", "Companies, deals and their owners."),
    "outbox": ("outbox:outbox", "What the demo would have sent."),
    "user": ("user:user", "People who may log in."),
    "forget": ("forget:forget", "Remove what is kept of one customer."),
    "absent": ("absent:absent", "Say that an owner is away, or back."),
    "audit": ("audit:audit", "Prove that every accepted message is in exactly one state."),
    "storage": ("storage:storage", "Back the store up, and bring a backup back."),
    "dkim": ("dkim:dkim", "Keys for our DKIM signature."),
    "verify": ("verify:verify", "Send a marked probe through the running relay."),
}


class RelayGroup(click.Group):
    """The root: finds commands by name, and turns our errors into exit statuses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the documentation."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"supportrelay.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing a command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what we raise on purpose becomes one line a mistake on standard error."""
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            for problem in exc.problems:
                click.echo(problem, err=True)
            ctx.exit(2)
        except RelayError as exc:
            click.echo(f"supportrelay: {exc}", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            raise
        except OSError as exc:
            click.echo(f"supportrelay: {exc}", err=True)
            ctx.exit(1)


@click.group(cls=RelayGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="supportrelay")
def main() -> None:
    """Bring each customer's mail to the people who own the customer, and keep a ticket."""


if __name__ == "__main__":
    sys.exit(main())
