"""Decisions and changes told in sentences, for a support lead without technical knowledge."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from supportrelay.cli.printing import local_time
from supportrelay.i18n import Catalogue

__all__ = ["tell_attempts", "tell_changes", "tell_reasons", "tell_summary"]

_ATTEMPTED = ("delivery.delivered", "delivery.deferred", "delivery.failed", "delivery.held", "delivery.lost")


def _author(decision: Mapping[str, Any]) -> str:
    """Who wrote, as the decision's reasons say; the customer when they don't."""
    for reason in decision.get("reasons", ()):
        if str(reason.get("code", "")).startswith("author."):
            found = reason.get("author") or reason.get("sender")
            if found:
                return str(found)
    return str(decision.get("customer") or "")


def _address(decision: Mapping[str, Any]) -> str:
    """The support address that the mail belongs to; its name when the reasons do not say."""
    reasons = decision.get("reasons", ())
    found = (r.get("address") for r in reasons if str(r.get("code", "")).startswith("place."))
    return str(next(found, None) or decision.get("address") or "")


def tell_summary(decision: Mapping[str, Any], words: Catalogue, *, is_past: bool) -> Iterator[str]:
    """Who wrote, whose customer that is, who gets it and why, what happens to the ticket: a sentence each.

    Args:
        decision: The shape of ``explain --json``.
        is_past: It did happen (trace), else it would (explain).
    """
    tense = "did" if is_past else "would"
    yield _who_wrote(decision, words)
    if decision.get("direction") in {"loop", "spam", "report"}:
        yield from _people(decision, words, tense)
        return
    yield _whose(decision, words)
    yield from _people(decision, words, tense)
    yield _ticket(decision, words, tense)


def _who_wrote(decision: Mapping[str, Any], words: Catalogue) -> str:
    author = _author(decision) or words.text("story.somebody")
    direction = str(decision.get("direction", ""))
    return words.text(
        f"story.wrote.{direction}",
        author=author,
        customer=decision.get("customer") or words.text("story.nobody_known"),
        address=_address(decision),
        place=words.text(f"support_in.{decision.get('support_in')}"),
    )


def _whose(decision: Mapping[str, Any], words: Catalogue) -> str:
    company, deal = decision.get("company"), decision.get("deal")
    if company and deal:
        return words.text("story.whose.deal", company=company["name"], deal=deal["name"])
    if company:
        return words.text("story.whose.company", company=company["name"])
    return words.text("story.whose.unknown")


def _people(decision: Mapping[str, Any], words: Catalogue, tense: str) -> Iterator[str]:
    people = ", ".join(decision.get("recipients", ()))
    disposition = str(decision.get("disposition", "relay"))
    if disposition != "relay":
        yield words.text(f"story.disposition.{disposition}")
        return
    if not people:
        yield words.text(f"story.nobody.{tense}")
        return
    kinds = {str(copy.get("why", "")) for copy in decision.get("copies", ())}
    fallback = decision.get("fallback")
    if fallback and kinds & {"allmember", "unproven"}:
        why = words.text(f"fallback.{fallback}")
    else:
        why = ", ".join(words.text(f"why.{kind}") for kind in sorted(kinds) if kind)
    yield words.text(f"story.people.{tense}", people=people, why=why)


def _ticket(decision: Mapping[str, Any], words: Catalogue, tense: str) -> str:
    ticket = decision.get("ticket") or {}
    stage = words.text(f"stage.{ticket.get('stage')}") if ticket.get("stage") else ""
    action = str(ticket.get("action", "none"))
    if action == "join" and any(str(r.get("code", "")).startswith("stage.moved_") for r in decision.get("reasons", ())):
        action = "moved"
    return words.text(f"story.ticket.{action}.{tense}", ticket=ticket.get("id") or "", stage=stage)


def tell_reasons(decision: Mapping[str, Any], words: Catalogue) -> list[str]:
    """Every step of the decision, in order."""
    return words.reasons(decision.get("reasons", ()))


def _who(who: str, words: Catalogue) -> str:
    kind, _, name = who.partition(":")
    return words.text(f"who.{kind}", name=name) if words.has(f"who.{kind}") else who


def _values(change: Mapping[str, Any], words: Catalogue) -> dict[str, Any]:
    """The values of a change as its sentence needs them."""
    why = dict(change.get("why") or {})
    values: dict[str, Any] = {
        "recipient": change.get("recipient", ""),
        "recipients": "",
        "reason": "",
        "text": "",
        "code": "",
        "attempt": "",
    } | why
    for name in ("from", "to"):
        if name in why and words.has(f"stage.{why[name]}"):
            values[name] = words.text(f"stage.{why[name]}")
    values.setdefault("from", "")
    values.setdefault("to", "")
    if isinstance(values["recipients"], list):
        values["recipients"] = ", ".join(map(str, values["recipients"])) or words.text("story.nobody_word")
    if "direction" in why:
        values["direction"] = words.text(f"direction.{why['direction']}")
    values["due_at"] = local_time(why.get("due_at"))
    values["ticket"] = change.get("ticket") or change.get("ticket_id") or ""
    values["reply"] = _reply(why, words)
    values["who"] = _who(str(change.get("who", "")), words)
    values["why"] = _cause(why.get("why"), why.get("note"), words)
    return values


def _cause(why: Any, note: Any, words: Catalogue) -> str:
    """Why something happened, in brackets; "" when nobody said."""
    code = note or why
    if not isinstance(code, str) or not code:
        return ""
    for msgid in (f"cause.{code}", f"reason.stage.{code}"):
        if words.has(msgid):
            return f" ({words.text(msgid)})"
    return "" if words.has(f"reason.{code}") else f" ({code})"


def _reply(why: Mapping[str, Any], words: Catalogue) -> str:
    """What the other server said, or how far we came."""
    text = str(why.get("text") or "")
    code = str(why.get("code") or "")
    said = (
        text if code and text.startswith(code) else " ".join(filter(None, (code, str(why.get("status") or ""), text)))
    )
    if why.get("host"):
        said = f"{why['host']}: {said}"
    if why.get("cause") and words.has(f"cause.{why['cause']}"):
        said = f"{said} ({words.text(f'''cause.{why['cause']}''')})"
    if why.get("is_uncertain"):
        said = f"{said} ({words.text('cause.uncertain')})"
    return said


def tell_changes(changes: Iterable[Mapping[str, Any]], words: Catalogue) -> Iterator[str]:
    """A line for each change: when, and what."""
    for change in changes:
        values = _values(change, words)
        yield f"{local_time(change['at'])}  {words.text('event.' + str(change['what']), **values)}"


def tell_attempts(changes: Sequence[Mapping[str, Any]], words: Catalogue) -> list[tuple[str, str, str, str, str]]:
    """Each attempt that ended: when, its number, to whom, what came of it, what the other server said."""
    return [
        (
            local_time(change["at"]),
            str((change.get("why") or {}).get("attempt", "")),
            str((change.get("why") or {}).get("recipient", "") or change.get("recipient", "")),
            words.text(f"outcome.{str(change['what']).partition('.')[2]}"),
            _reply(change.get("why") or {}, words),
        )
        for change in changes
        if change["what"] in _ATTEMPTED
    ]
