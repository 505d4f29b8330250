"""outbox list, show: what the demo would have sent."""

import sys

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.printing import local_time, print_json, print_table
from supportrelay.i18n import catalogue

__all__ = ["outbox"]


@click.group()
@group_configured
def outbox() -> None:
    """What was kept in the outbox instead of being sent."""


@outbox.command("list")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the newest.")
@as_json
@configured
def list_outbox(relay: Relay, limit: int | None, is_json: bool) -> None:
    """List kept mails, the newest first."""
    found = relay.ask("outbox.list", limit=limit)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text(f"head.{name}") for name in ("id", "time", "recipient", "from", "subject", "queue_id")],
        [
            (one["number"], local_time(one["kept_at"]), one["recipient"], one["from"], one["subject"], one["queue_id"])
            for one in found
        ],
        whole=(0, 5),
    )


@outbox.command("show")
@click.argument("mail", metavar="ID")
@configured
def show_mail(relay: Relay, mail: str) -> None:
    """Print one kept mail, octet for octet."""
    import base64

    octets = base64.b64decode(relay.ask("outbox.show", id=mail)["octets"])
    sys.stdout.flush()
    sys.stdout.buffer.write(octets)
