"""outbox list, show: what the demo would have sent."""

import sys

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.i18n import Catalogue, catalogue

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
@click.option("--raw/--text", "is_raw", default=None, help="Octet for octet, or as a reader sees it. Default: the "
              "latter on a terminal.")  # fmt: skip
@configured
def show_mail(relay: Relay, mail: str, is_raw: bool | None) -> None:
    """Print one kept mail. ID is its number or its name."""
    import base64

    found = relay.ask("outbox.show", id=mail)
    octets = base64.b64decode(found["octets"])
    if is_raw or (is_raw is None and not sys.stdout.isatty()):
        sys.stdout.flush()
        sys.stdout.buffer.write(octets)
        return
    _tell(found["recipient"], octets, catalogue(relay.language))


def _tell(recipient: str, octets: bytes, words: Catalogue) -> None:
    from supportrelay.core.reading import read_facts

    facts = read_facts(octets)
    told = {
        "recipient": recipient,
        "from": facts.first("from"),
        "reply_to": facts.first("reply-to"),
        "to": facts.first("to"),
        "cc": facts.first("cc"),
        "subject": facts.subject,
        "attachments": ", ".join(facts.attachments),
    }
    for name, value in told.items():
        if value:
            say(f"{words.text(f'head.{name}')}: {value}")
    say("")
    say(facts.body_text.strip().replace("\r\n", "\n"))
