"""queue list, show, retry, hold, release, drop, wait."""

import sys
import time
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured, group_configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.core.errors import InputError
from supportrelay.i18n import Catalogue, catalogue, local_time

__all__ = ["queue"]

_ASK_AGAIN_S = 0.2
_PARKED = ("held", "dead", "looped", "ignored")  # what digests name until somebody ends it


@click.group()
@group_configured
def queue() -> None:
    """Messages and their deliveries."""


@queue.command("list")
@click.option("--all", "is_all", is_flag=True, help="Finished messages too.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only messages in this state; may be repeated.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@as_json
@configured
def list_queue(relay: Relay, is_all: bool, states: tuple[str, ...], limit: int | None, is_json: bool) -> None:
    """List messages that are not finished."""
    found = relay.ask("queue.list", finished=is_all, states=list(states), limit=limit)
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text(f"head.{name}") for name in ("queue_id", "state", "time", "from", "subject", "deliveries")],
        [
            (m["queue_id"], words.text(f"message_state.{m['state']}"), local_minute(m["accepted_at"]),
             m["reverse_path"] or words.text("null_path"), m["subject"], _copies(m, words))
            for m in found
        ],
        empty=words.text("empty.queue_all" if is_all else "empty.queue"),
    )  # fmt: skip


def _copies(message: dict[str, Any], words: Catalogue) -> list[str]:
    """Each copy; with its state where that is not the message's own."""
    return [
        one["recipient"]
        if one["state"] == message["state"]
        else f"{one['recipient']} ({words.text('delivery_state.' + one['state'])})"
        for one in message["deliveries"]
    ]


@queue.command("show")
@click.argument("queue_id", metavar="ID")
@click.option("--raw", is_flag=True, help="The mail as it was received, octet for octet.")
@as_json
@configured
def show_message(relay: Relay, queue_id: str, raw: bool, is_json: bool) -> None:
    """Show one message. ID is a queue id or a Message-ID."""
    if raw:
        import base64

        sys.stdout.flush()
        octets = base64.b64decode(relay.ask("queue.raw", queue_id=queue_id)["octets"])
        sys.stdout.buffer.write(octets)
        return
    found = relay.ask("queue.show", queue_id=queue_id)
    if is_json:
        print_json(found)
        return
    _print_message(found, catalogue(relay.language))


def _print_message(found: dict[str, Any], words: Catalogue) -> None:
    say(f"{found['queue_id']}  {words.text(f'''message_state.{found['state']}''')}  {found['subject']}")
    for name in ("message_id", "reverse_path", "forward_paths", "accepted_at", "direction", "customer", "ticket"):
        value = found.get(name)
        if name == "accepted_at":
            value = local_time(value)
        if name == "direction" and value:
            value = words.text(f"direction.{value}")
        if name == "reverse_path":
            value = value or words.text("null_path")
        text = ", ".join(value) if isinstance(value, list) else str(value or "")
        if text:
            say(f"  {words.text(f'head.{name}')}: {text}")
    if found["deliveries"]:
        say("")
        print_table(
            [words.text(f"head.{name}") for name in ("recipient", "state", "attempts", "due", "reply")],
            [
                (d["recipient"], words.text(f"delivery_state.{d['state']}"), d["attempts"], local_time(d["due_at"]),
                 d["last_reply"])
                for d in found["deliveries"]
            ],
        )  # fmt: skip


def _change(relay: Relay, op: str, queue_ids: tuple[str, ...], **args: Any) -> None:
    for queue_id in queue_ids:
        changed = relay.ask(op, queue_id=queue_id, **args)
        count = changed.get("count", 0)
        code = f"done.{op}_nothing" if not count and op in {"queue.drop", "queue.retry"} else f"done.{op}"
        say(catalogue(relay.language).text(code, queue_id=changed["queue_id"], count=count))


_ids = click.argument("queue_ids", metavar="ID...", nargs=-1, required=True)


@queue.command("retry")
@click.option("--all", "is_all", is_flag=True, help="Every copy that waits for its next try.")
@click.argument("queue_ids", metavar="[ID]...", nargs=-1)
@configured
def retry(relay: Relay, is_all: bool, queue_ids: tuple[str, ...]) -> None:
    """Try the copies of these messages now, failed ones too."""
    if is_all == bool(queue_ids):
        raise click.UsageError("name the messages, or say --all")
    if is_all:
        done = relay.ask("queue.retry")
        say(catalogue(relay.language).text("done.queue.retry_all", count=done["count"]))
    _change(relay, "queue.retry", queue_ids)


@queue.command("hold")
@_ids
@configured
def hold(relay: Relay, queue_ids: tuple[str, ...]) -> None:
    """Hold messages until a person releases them."""
    _change(relay, "queue.hold", queue_ids)


@queue.command("release")
@click.option("--held-at-start", "is_all", is_flag=True, help="Everything that `serve --hold` or a restore held.")
@click.argument("queue_ids", metavar="[ID]...", nargs=-1)
@configured
def release(relay: Relay, is_all: bool, queue_ids: tuple[str, ...]) -> None:
    """Let held messages go on."""
    if is_all == bool(queue_ids):
        raise click.UsageError("name the messages, or say --held-at-start")
    if is_all:
        done = relay.ask("queue.release_all")
        say(catalogue(relay.language).text("done.queue.release_all", count=done["count"]))
    _change(relay, "queue.release", queue_ids)


@queue.command("drop")
@click.option("--recipient", metavar="ADDRESS", help="Only the copy for this recipient.")
@click.option("--state", type=click.Choice(_PARKED), help="All that are in this state: they are seen to.")
@click.argument("queue_ids", metavar="[ID]...", nargs=-1)
@configured
def drop(relay: Relay, recipient: str | None, state: str | None, queue_ids: tuple[str, ...]) -> None:
    """Take messages out of the queue; what was received stays kept."""
    if bool(state) == bool(queue_ids) or (state and recipient):
        raise click.UsageError("name the messages, or say --state")
    if state:
        found = relay.ask("queue.list", finished=False, states=[state], limit=None)
        queue_ids = tuple(one["queue_id"] for one in found)
    _change(relay, "queue.drop", queue_ids, recipient=recipient)


@queue.command("wait")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS")
@configured
def wait(relay: Relay, timeout_s: float) -> None:
    """Wait until no work is due or running.

    Exit status 1 when there still is some after SECONDS.
    """
    end = time.monotonic() + timeout_s
    while True:
        left = relay.ask("queue.work_left")["work_left"]
        if not left:
            return
        if time.monotonic() >= end:
            told = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in left.items())
            raise InputError(f"after {timeout_s:g} s there is still work ({told})")
        time.sleep(_ASK_AGAIN_S)
