"""explain: what would happen to a mail, and why."""

import sys
from pathlib import Path
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured
from supportrelay.cli.printing import print_json, say
from supportrelay.cli.story import tell_reasons, tell_summary
from supportrelay.i18n import catalogue

__all__ = ["explain"]


@click.command()
@click.argument("file", metavar="FILE.eml", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--mail-from", metavar="ADDRESS", help="MAIL FROM; '' is the null reverse-path. Default: Return-Path, From."
)
@click.option("--rcpt", "rcpts", metavar="ADDRESS", multiple=True, help="RCPT TO; may be repeated. Default: our "
              "addresses in To and Cc, else the first support address.")  # fmt: skip
@click.option("--peer", metavar="IP", default="192.0.2.1", show_default=True, help="Who would hand it to us.")
@as_json
@configured
def explain(
    relay: Relay,
    file: str,
    mail_from: str | None,
    rcpts: tuple[str, ...],
    peer: str,
    is_json: bool,
) -> None:
    """Say what would happen to the mail in FILE.eml ('-' reads standard input), and why. Changes nothing."""
    import base64

    octets = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    decision: dict[str, Any] = relay.ask(
        "mail.explain",
        octets=base64.b64encode(octets).decode("ascii"),
        mail_from=mail_from,
        rcpts=list(rcpts),
        peer=peer,
    )
    if is_json:
        print_json(decision)
        return
    words = catalogue(relay.language_of(decision["address"]))
    for sentence in tell_summary(decision, words, is_past=False):
        say(sentence)
    say("")
    say(words.text("head.reasons"))
    for number, sentence in enumerate(tell_reasons(decision, words), 1):
        say(f"{number:>3}. {sentence}")
