"""tickets list, show, move, merge."""

from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.core.ticket import parse_stage
from supportrelay.i18n import Catalogue, catalogue, local_time

__all__ = ["tickets"]

_TIMES = ("created_at", "updated_at")
_TOLD = (
    "customer",
    "company",
    "deal",
    "owners",
    "address",
    "priority",
    "external_id",
    "merged_into",
    "related",
    *_TIMES,
)


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
        [words.text(f"head.{name}") for name in ("id", "stage", "subject", "customer", "owners", "changed")],
        [
            (t["id"], _stage(t, words), t["subject"], [one for one in (t["company"], t["customer"]) if one],
             t["owners"], local_minute(t["updated_at"]))
            for t in found
        ],
        empty=words.text("empty.tickets"),
    )  # fmt: skip


def _stage(ticket: dict[str, Any], words: Catalogue) -> str:
    """The column it stands in; where it went when it was merged."""
    if ticket["merged_into"]:
        return f"→ {ticket['merged_into']}"
    return words.text(f"stage.{ticket['stage']}")


@tickets.command("show")
@click.argument("ticket", metavar="ID")
@click.option("--text", "has_text", is_flag=True, help="What each mail says, without quotations.")
@as_json
@configured
def show_ticket(relay: Relay, ticket: str, has_text: bool, is_json: bool) -> None:
    """Show one ticket: its mails and what happened to it. ID is SR-12 or 12."""
    found = relay.ask("tickets.show", id=ticket)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    _print_ticket(found, words)
    if has_text:
        _print_texts(found["messages_list"], words)


def _print_texts(messages: list[dict[str, Any]], words: Catalogue) -> None:
    """Each mail's words under its line; control characters in them are `say`'s business."""
    for mail in messages:
        say("")
        say("  ".join(_mail_row(mail, words)[:-1]))
        for line in (mail["text"] or "").split("\n"):
            say(f"  {line}".rstrip())


def _print_ticket(found: dict[str, Any], words: Catalogue) -> None:
    from supportrelay.cli.story import tell_changes

    say(f"{found['id']}  {words.text('stage.' + found['stage'])}  {found['subject']}")
    for name in _TOLD:
        value = local_time(found[name]) if name in _TIMES else found.get(name)
        text = ", ".join(value) if isinstance(value, list) else str(value or "")
        if text:
            say(f"  {words.text(f'head.{name}')}: {text}")
    if found.get("messages_list"):
        say("")
        say(words.text("head.messages"))
        print_table(
            [words.text(f"head.{name}") for name in ("queue_id", "time", "direction", "from", "subject", "state")],
            [_mail_row(mail, words) for mail in found["messages_list"]],
            whole=(0, 1),
        )
    if found.get("history"):
        say("")
        say(words.text("head.history"))
        mails = {mail["queue_id"]: mail for mail in found["messages_list"]}
        for line in tell_changes(found["history"], words, mails):
            say(f"  {line}")


def _mail_row(mail: dict[str, Any], words: Catalogue) -> tuple[str, ...]:
    direction = words.text(f"direction.{mail['direction']}") if mail["direction"] else ""
    state = words.text(f"message_state.{mail['state']}")
    sender = mail["reverse_path"] or words.text("null_path")
    return mail["queue_id"], local_minute(mail["accepted_at"]), direction, sender, mail["subject"], state


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
    say(words.text("done.moved", ticket=moved["id"], stage=words.text(f"stage.{moved['stage']}")))


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
