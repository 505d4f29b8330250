"""forget: what is kept of one customer is removed, with a report of what went and what had to stay."""

import sys
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured
from supportrelay.cli.printing import print_json, say, say_error
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["forget"]

_PATIENCE_S = 6 * 3600.0  # the whole store is walked, octets of every mail among it


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.argument("address")
@configured
def forget(relay: Relay, address: str, dry_run: bool, yes: bool, is_json: bool) -> None:
    """Remove what is kept of a customer: ADDRESS.

    Mails that he wrote, or whose customer he is, go with all that was written about them; his tickets stay without him.
    Exit status 1 when mails of his are not finished and had to stay.
    """
    if not (dry_run or yes):
        _have_it_agreed(relay, address)
    report = relay.ask("privacy.forget", timeout_s=_PATIENCE_S, address=address, dry_run=dry_run)
    if is_json:
        print_json(report)
    else:
        words = catalogue(relay.language)
        for line in _told(report, words):
            say(line)
    if report["kept"]["unfinished"] and not dry_run:
        sys.exit(1)


def _have_it_agreed(relay: Relay, address: str) -> None:
    """Show a person what would go, and ask.

    Raises:
        click.UsageError: Nobody is there to ask.
        click.Abort: He said no.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("say --yes, or --dry-run to see what would be removed")
    found = relay.ask("privacy.forget", timeout_s=_PATIENCE_S, address=address, dry_run=True)
    words = catalogue(relay.language)
    for line in _told(found, words):
        say_error(line)
    click.confirm(words.text("ask.forget"), abort=True, err=True)


def _told(report: dict[str, Any], words: Catalogue) -> list[str]:
    """What went, or would, and what stays; a line each."""
    removed, kept = report["removed"], report["kept"]
    tense = "would_forget" if report["dry_run"] else "forget"
    lines = [words.text(f"done.{tense}", address=report["address"])]
    lines += [f"  {words.text(f'forget.{name}', count=count)}" for name, count in removed.items() if count]
    if not any(removed.values()):
        lines.append(f"  {words.text('forget.nothing')}")
    stays = []
    for name, count in (("unfinished", len(kept["unfinished"])), ("others", kept["others_count"])):
        if count:
            stays.append(words.text(f"forget.kept.{name}", count=count, ids=", ".join(kept[name][:10])))
    if kept["open_tickets"]:
        stays.append(words.text("forget.kept.open_tickets", ids=", ".join(kept["open_tickets"])))
    if kept["account"]:
        stays.append(words.text("forget.kept.account", address=report["address"]))
    if kept["outside"]:
        stays.append(words.text("forget.kept.outside", kind=kept["outside"]))
    stays.append(words.text("forget.kept.beyond"))
    return [*lines, words.text("forget.kept"), *(f"  {line}" for line in stays)]
