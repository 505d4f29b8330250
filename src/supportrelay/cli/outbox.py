"""outbox list, show: what the demo would have sent."""

import sys

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.printing import local_minute, print_json, print_table
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
            (one["number"], local_minute(one["kept_at"]), one["recipient"], _name(one["from"]), one["subject"],
             one["queue_id"])
            for one in found
        ],
        whole=(0, 2, 5),
        empty=words.text("empty.outbox"),
    )  # fmt: skip


def _name(sender: str) -> str:
    """The name in From: the address is the desk's own on every copy."""
    name, _, address = sender.rpartition(" <")
    return name.strip('" ') if name and address.endswith(">") else sender


@outbox.command("show")
@click.argument("mail", metavar="ID")
@configured
def show_mail(relay: Relay, mail: str) -> None:
    """Print one kept mail, octet for octet."""
    import base64

    octets = base64.b64decode(relay.ask("outbox.show", id=mail)["octets"])
    sys.stdout.flush()
    sys.stdout.buffer.write(octets)
