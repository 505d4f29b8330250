"""trace: the life of one message."""

from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured
from supportrelay.cli.printing import print_json, print_table, say
from supportrelay.cli.story import tell_attempts, tell_changes, tell_reasons, tell_summary
from supportrelay.i18n import Catalogue, catalogue, local_time

__all__ = ["trace"]


@click.command()
@click.argument("message", metavar="ID")
@as_json
@configured
def trace(relay: Relay, message: str, is_json: bool) -> None:
    """Tell the life of one message. ID is a queue id or a Message-ID, with or without its brackets."""
    found = relay.ask("mail.trace", id=message)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language_of(found.get("address", "")))
    for number, one in enumerate([found, *found["others"]]):
        if number:
            say("")
        _tell(one, words)


def _tell(one: dict[str, Any], words: Catalogue) -> None:
    """First what it comes to, then step by step."""
    decision = one.get("decision") or {}
    say(
        words.text(
            "story.arrived",
            time=local_time(one["accepted_at"]),
            queue_id=one["queue_id"],
            subject=one["subject"] or words.text("story.no_subject"),
            state=words.text(f"message_state.{one['state']}"),
        )
    )
    if decision.get("direction"):
        for sentence in tell_summary(decision, words, is_past=True):
            say(sentence)
        say("")
        say(words.text("head.reasons"))
        for number, sentence in enumerate(tell_reasons(decision, words), 1):
            say(f"{number:>3}. {sentence}")
    say("")
    say(words.text("head.steps"))
    for line in tell_changes(one["changes"], words):
        say(f"  {line}")
    attempts = tell_attempts(one["changes"], words)
    if attempts:
        say("")
        say(words.text("head.attempts_list"))
        print_table([words.text(f"head.{n}") for n in ("time", "attempts", "recipient", "outcome", "reply")], attempts)
    waiting = [d for d in one["deliveries"] if d["state"] in {"due", "deferred", "sending", "held"}]
    for delivery in waiting:
        say(
            words.text(
                "story.waiting",
                recipient=delivery["recipient"],
                state=words.text(f"delivery_state.{delivery['state']}"),
                due=local_time(delivery["due_at"]),
            )
        )
