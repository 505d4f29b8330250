"""tickets list, show, move, merge."""

from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured, in_language
from supportrelay.cli.printing import local_time, print_json, print_table, say
from supportrelay.core.ticket import parse_stage
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["tickets"]


class StageWord(click.ParamType):  # type: ignore[type-arg]  # not subscriptable in older click
    """A stage by its name or its label: NEW, WAITING, 対応中, CLOSED."""

    name = "STAGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The stage's name."""
        try:
            return str(parse_stage(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


@click.group()
@group_configured
def tickets() -> None:
    """Tickets and their stages."""


@tickets.command("list")
@click.option("--stage", type=StageWord(), help="Only this stage.")
@click.option("--all", "is_all", is_flag=True, help="Merged ones too.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the newest.")
@as_json
@configured
def list_tickets(relay: Relay, stage: str | None, is_all: bool, limit: int | None, is_json: bool) -> None:
    """List tickets, the last changed first."""
    found = relay.ask("tickets.list", stage=stage, merged=is_all, limit=limit)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text(f"head.{name}") for name in ("id", "stage", "subject", "customer", "company", "owners", "changed")],
        [
            (t["id"], t["stage_label"], t["subject"], t["customer"] or "", t["company"] or "", ", ".join(t["owners"]),
             local_time(t["updated_at"]))
            for t in found
        ],
    )  # fmt: skip


@tickets.command("show")
@click.argument("ticket", metavar="ID")
@as_json
@in_language
@configured
def show_ticket(relay: Relay, ticket: str, is_json: bool, language: str | None) -> None:
    """Show one ticket: its mails and what happened to it. ID is SR-12 or 12."""
    found = relay.ask("tickets.show", id=ticket)
    if is_json:
        print_json(found)
        return
    words = catalogue(language or relay.language)
    _print_ticket(found, words)


def _print_ticket(found: dict[str, Any], words: Catalogue) -> None:
    from supportrelay.cli.story import tell_changes

    say(f"{found['id']}  {found['stage_label']}  {found['subject']}")
    for name in ("customer", "company", "deal", "owners", "address", "external_id"):
        value = found.get(name)
        text = ", ".join(value) if isinstance(value, list) else str(value or "")
        if text:
            say(f"  {words.text(f'head.{name}')}: {text}")
    if found.get("messages_list"):
        say("")
        say(words.text("head.messages"))
        print_table(
            [words.text(f"head.{name}") for name in ("queue_id", "time", "direction", "from", "subject", "state")],
            [_mail_row(mail, words) for mail in found["messages_list"]],
        )
    if found.get("history"):
        say("")
        say(words.text("head.history"))
        for line in tell_changes(found["history"], words):
            say(f"  {line}")


def _mail_row(mail: dict[str, Any], words: Catalogue) -> tuple[str, ...]:
    direction = words.text(f"direction.{mail['direction']}") if mail["direction"] else ""
    state = words.text(f"message_state.{mail['state']}")
    return mail["queue_id"], local_time(mail["accepted_at"]), direction, mail["reverse_path"], mail["subject"], state


@tickets.command("move")
@click.argument("ticket", metavar="ID")
@click.argument("stage", type=StageWord())
@as_json
@configured
def move_ticket(relay: Relay, ticket: str, stage: str, is_json: bool) -> None:
    """Move a ticket to NEW, WAITING (対応中) or CLOSED."""
    moved = relay.ask("tickets.move", id=ticket, stage=stage)
    if is_json:
        print_json(moved)
        return
    words = catalogue(relay.language)
    say(words.text("done.moved", ticket=moved["id"], stage=moved["stage_label"]))


@tickets.command("merge")
@click.argument("ticket", metavar="ID")
@click.argument("into", metavar="INTO")
@as_json
@configured
def merge_tickets(relay: Relay, ticket: str, into: str, is_json: bool) -> None:
    """Merge ticket ID into ticket INTO: its mails and later answers belong to INTO."""
    merged = relay.ask("tickets.merge", id=ticket, into=into)
    if is_json:
        print_json(merged)
        return
    say(catalogue(relay.language).text("done.merged", ticket=merged["merged_ticket"], into=merged["id"]))
