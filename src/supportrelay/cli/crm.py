"""crm import, companies, deals, owners, refresh; `crm_setup` has setup and check."""

from pathlib import Path

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.crm_setup import check, setup
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.core.errors import InputError
from supportrelay.i18n import catalogue

__all__ = ["crm"]

_FORMATS = {".csv": "csv", ".yaml": "yaml", ".yml": "yaml"}


@click.group()
@group_configured
def crm() -> None:
    """Companies, deals and their owners."""


@crm.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Remove what the file does not name.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@as_json
@configured
def import_file(relay: Relay, file: Path, replace: bool, dry_run: bool, is_json: bool) -> None:
    """Import companies from YAML, or from CSV with one deal a row. A file with a mistake is not imported at all."""
    kind = _FORMATS.get(file.suffix.lower())
    if kind is None:
        raise click.UsageError(f"{file}: neither .yaml nor .csv")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"{file}: not UTF-8 (octet {exc.start})") from exc
    result = relay.ask("crm.import", text=text, kind=kind, name=file.name, replace=replace, dry_run=dry_run)
    if is_json:
        print_json(result)
        return
    words = catalogue(relay.language)
    say(words.text("done.would_import" if dry_run else "done.imported", file=file.name))
    for kind in ("companies", "contacts", "deals"):
        say("  " + words.text("done.import_counts", kind=words.text(f"head.{kind}"), **result[kind]))


@crm.command("companies")
@click.option("--search", metavar="TEXT", help="Only companies whose name, domain or contact contains this.")
@as_json
@configured
def companies(relay: Relay, search: str | None, is_json: bool) -> None:
    """List companies with their domains and contacts."""
    found = relay.ask("crm.companies", search=search)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text(f"head.{name}") for name in ("id", "name", "domains", "contacts", "deals")],
        [
            (c["id"], c["name"], c["domains"], [one["address"] for one in c["contacts"]],
             [one["name"] for one in c["deals"]])
            for c in found
        ],
        empty=words.text("empty.companies"),
    )  # fmt: skip


@crm.command("deals")
@click.option("--company", metavar="COMPANY", help="Only deals of this company: an id or a name.")
@as_json
@configured
def deals(relay: Relay, company: str | None, is_json: bool) -> None:
    """List deals with their owners, first owner first."""
    found = relay.ask("crm.deals", company=company)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text(f"head.{name}") for name in ("id", "company", "deal", "state", "owners", "moved")],
        [
            (d["id"], d["company"], d["name"], words.text(f"deal_state.{d['stage']}"), d["owners"],
             local_minute(d["moved_at"]))
            for d in found
        ],
        empty=words.text("empty.deals"),
    )  # fmt: skip


@crm.command("owners")
@click.argument("deal")
@click.argument("owners", metavar="[A [B [C [D]]]]", nargs=-1)
@click.option("--clear", is_flag=True, help="Leave the deal without owner.")
@as_json
@configured
def owners(relay: Relay, deal: str, owners: tuple[str, ...], clear: bool, is_json: bool) -> None:
    """Set the owners of DEAL, at most four, first owner first. DEAL is an id, a name or COMPANY/DEAL."""
    if clear == bool(owners):
        raise click.UsageError("name one to four owners, or say --clear")
    changed = relay.ask("crm.owners", deal=deal, owners=list(owners))
    if is_json:
        print_json(changed)
        return
    words = catalogue(relay.language)
    people = ", ".join(changed["owners"]) or words.text("story.nobody_word")
    say(words.text("done.owners", deal=changed["name"], owners=people))


@crm.command("refresh")
@click.argument("domain", required=False, default="")
@configured
def refresh(relay: Relay, domain: str) -> None:
    """Forget cached owners, of one DOMAIN or of all; the next mail asks the CRM anew."""
    relay.ask("crm.refresh", domain=domain)
    say(catalogue(relay.language).text("done.refreshed"))


crm.add_command(setup)
crm.add_command(check)
