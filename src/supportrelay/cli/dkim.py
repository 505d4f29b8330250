"""dkim: make keys for our signature, and show what DNS must say."""

from pathlib import Path
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured, spoken_language
from supportrelay.cli.printing import print_json, say
from supportrelay.core.errors import RelayError
from supportrelay.i18n import catalogue

__all__ = ["dkim"]

_KINDS = ("rsa-2048", "ed25519")


@click.group()
def dkim() -> None:
    """Keys for our DKIM signature."""


@dkim.command()
@click.option("--domain", required=True, help="The domain in From of our copies.")
@click.option("--selector", required=True, help="A name for the key, as relay2026; a new key gets a new one.")
@click.option("--kind", type=click.Choice(_KINDS), default=_KINDS[0], show_default=True)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File for the key.")
@as_json
@configured
def keygen(relay: Relay, domain: str, selector: str, kind: str, out: Path, is_json: bool) -> None:
    """Make a key in a new file; print the DNS record and the lines for the configuration."""
    from pydantic import ValidationError

    from supportrelay.config.desk import DkimConfig
    from supportrelay.edge.dkim import make_key_file

    try:
        entry = DkimConfig(domain=domain, selector=selector, private_key_file=out.absolute())
    except ValidationError as exc:
        first = exc.errors()[0]
        raise click.UsageError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None
    key = make_key_file(kind, out)
    shown = _shown(entry, key)
    if is_json:
        print_json(shown)
        return
    words = catalogue(_language(relay))
    say(words.text("dkim.publish", domain=entry.domain))
    say(_zone_line(shown))
    say("")
    say(words.text("dkim.configure"))
    say("dkim:")
    file = _quoted(entry.private_key_file)
    say(f"  - {{domain: {entry.domain}, selector: {entry.selector}, private_key_file: {file}}}")


@dkim.command()
@as_json
@configured
def show(relay: Relay, is_json: bool) -> None:
    """The configured keys, and the DNS record of each."""
    config = relay.config
    from supportrelay.bootstrap_dkim import private_keys

    shown = [_shown(entry, key) for entry, key in zip(config.dkim, private_keys(config), strict=True)]
    if is_json:
        print_json(shown)
        return
    words = catalogue(relay.language)
    if not shown:
        say(words.text("dkim.none"))
    for one in shown:
        say(words.text("dkim.key", domain=one["domain"], selector=one["selector"], kind=one["kind"]))
        say(_zone_line(one))


def _shown(entry: Any, key: Any) -> dict[str, Any]:
    from supportrelay.edge.dkim import key_kind, public_record, txt_strings

    record = public_record(key)
    return {
        "domain": entry.domain,
        "selector": entry.selector,
        "kind": key_kind(key),
        "file": str(entry.private_key_file) if entry.private_key_file else None,
        "name": f"{entry.selector}._domainkey.{entry.domain}",
        "record": record,
        "strings": txt_strings(record),
    }


def _zone_line(shown: dict[str, Any]) -> str:
    """As a zone file has it; a record of several strings stands in brackets."""
    strings = " ".join(f'"{one}"' for one in shown["strings"])
    return f"{shown['name']}. IN TXT {strings if len(shown['strings']) == 1 else f'( {strings} )'}"


def _quoted(file: object) -> str:
    return "'" + str(file).replace("'", "''") + "'"


def _language(relay: Relay) -> str:
    """Keys are made before there is a configuration, too."""
    try:
        return relay.language
    except RelayError:
        return relay.language_option or spoken_language()
