"""The digest: what waits for a person, named to the administrators within the hour and daily until somebody sees to it.

A line for each: queue id, when, who, subject, why; below each kind the command that shows it and the one that ends it.
Bounded, so that a flood makes one mail, not a large one. Others' words stand in it on single clean lines (C42, C49).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from supportrelay.core.own_mail import Wording
from supportrelay.core.plain_line import plain_line
from supportrelay.core.value import value_class

__all__ = ["MOST_LINES", "STATES", "Digest", "DigestEvent", "DigestItem", "digest_subject", "digest_text"]

STATES = ("held", "dead", "looped", "ignored")
"""States in which a message stays until a person ends it, in the order of the digest."""
MOST_LINES = 300
"""Of a digest; what is more is counted."""

_SUBJECT = 60
_WHO = 60
_WHY = 160


@value_class
class DigestItem:
    """One message that waits for a person, or that nobody got a copy of.

    Attributes:
        state: Of `STATES`, or ``muted``: an automatic answer that is on its ticket and went to nobody.
        who: Its author, else the reverse-path.
        decision: In its stored form, {} without.
        held_why, last_reply: What the record says; "" without.
        is_new: In no digest yet.
    """

    queue_id: str
    state: str
    at: datetime
    who: str
    subject: str
    decision: Mapping[str, Any]
    held_why: str = ""
    last_reply: str = ""
    is_new: bool = True


@value_class
class DigestEvent:
    """Something else that a person should know: an owner who cannot be reached, a move that the desk refused.

    Attributes:
        what: Of the record (docs/events.md).
        values: Of its row.
    """

    what: str
    at: datetime
    values: Mapping[str, Any]


@value_class
class Digest:
    """All that a digest tells.

    Attributes:
        counts: Of every state in `STATES` and of ``muted``: how many there are, more than ``items`` name.
        items: At most `MOST_LINES`, in the order of `STATES`, new ones first.
        is_daily: Names what was named before too.
        stops: What automatic mail is held of just now (`robot_limits`).
    """

    counts: Mapping[str, int]
    items: tuple[DigestItem, ...]
    events: tuple[DigestEvent, ...] = ()
    is_daily: bool = False
    stops: tuple[str, ...] = ()


def digest_subject(digest: Digest, support: str, words: Wording) -> str:
    """Counts: ``[supportrelay support@x] 3 held, 1 undeliverable``."""
    named = [
        words.text(f"digest.count.{state}", count=digest.counts[state])
        for state in (*STATES, "muted")
        if digest.counts.get(state)
    ]
    if digest.events:
        named.append(words.text("digest.count.events", count=len(digest.events)))
    return words.text("own.subject.digest", support=support, counts=words.text("digest.comma").join(named))


def digest_text(digest: Digest, support: str, words: Wording) -> str:
    """Return the whole text."""
    blocks = [words.text("digest.head.daily" if digest.is_daily else "digest.head.new", support=support)]
    for state in (*STATES, "muted"):
        count = digest.counts.get(state, 0)
        items = [one for one in digest.items if one.state == state]
        if count:
            blocks.append(_of_state(state, count, items, words))
    if digest.events:
        lines = [_event(one, words) for one in digest.events]
        blocks.append("\n".join([words.text("digest.title.events"), *lines]))
    if digest.stops:
        lines = [f"  {plain_line(one, _WHY)}" for one in digest.stops]
        blocks.append("\n".join([words.text("digest.title.stops"), *lines]))
    blocks.append(words.text("digest.foot"))
    return "\n\n".join(blocks) + "\n"


def _of_state(state: str, count: int, items: Sequence[DigestItem], words: Wording) -> str:
    lines = [words.text(f"digest.title.{state}", count=count)]
    lines += [_line(one, words) for one in items]
    if count > len(items):
        lines.append("  " + words.text("own.and_more", count=count - len(items)))
    lines.append(words.text(f"digest.do.{state}"))
    return "\n".join(lines)


def _line(item: DigestItem, words: Wording) -> str:
    subject = plain_line(item.subject, _SUBJECT) or words.text("story.no_subject")
    who = plain_line(item.who, _WHO) or words.text("null_path")
    new = "* " if item.is_new else "  "
    why = _why(item, words)
    return f"{new}{item.queue_id}  {item.at:%Y-%m-%d %H:%M}Z  {who}\n    {subject}" + (f"\n    {why}" if why else "")


def _why(item: DigestItem, words: Wording) -> str:
    """Why it waits, as a sentence."""
    reasons = [r for r in item.decision.get("reasons", ()) if str(r.get("code", "")).startswith("disposition.")]
    if item.state == "dead":
        return plain_line(item.last_reply, _WHY)
    if item.state == "ignored" and item.decision.get("rule"):
        return words.text("digest.why.rule", rule=plain_line(str(item.decision["rule"]), _WHO))
    if item.state != "held":
        return ""
    code = f"cause.{item.held_why}"
    if words.has(code):
        return words.text(code)
    return plain_line(words.reason(reasons[-1]) if reasons else item.held_why, _WHY)


def _event(event: DigestEvent, words: Wording) -> str:
    values = {name: plain_line(str(value), _WHO) for name, value in event.values.items()}
    code = f"digest.event.{event.what}"
    text = words.text(code, **values) if words.has(code) else event.what
    return f"  {event.at:%Y-%m-%d %H:%M}Z  {text}"
