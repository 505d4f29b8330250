"""Decisions and changes told in sentences, for a support lead without technical knowledge."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from supportrelay.i18n import Catalogue, local_time

__all__ = ["tell_attempts", "tell_changes", "tell_reasons", "tell_summary"]

_ATTEMPTED = (
    "delivery.delivered",
    "delivery.deferred",
    "delivery.reshaped",
    "delivery.failed",
    "delivery.held",
    "delivery.lost",
)


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
    yield from _whose(decision, words)
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


def _whose(decision: Mapping[str, Any], words: Catalogue) -> Iterator[str]:
    company, deal = decision.get("company"), decision.get("deal")
    if company and deal:
        yield words.text("story.whose.deal", company=company["name"], deal=deal["name"])
    elif company:
        yield words.text("story.whose.company", company=company["name"])
    elif decision.get("customer"):
        yield words.text("story.whose.unknown", customer=decision["customer"])


def _people(decision: Mapping[str, Any], words: Catalogue, tense: str) -> Iterator[str]:
    disposition = str(decision.get("disposition", "relay"))
    if disposition != "relay":
        yield words.text(f"story.disposition.{disposition}")
        return
    by_why: dict[str, list[str]] = {}
    for copy in decision.get("copies", ()):
        by_why.setdefault(_why(str(copy["why"]), decision, words), []).append(str(copy["address"]))
    if not by_why:
        yield words.text(f"story.nobody.{tense}")
        return
    groups = (words.text("story.people.why", people=", ".join(people), why=why) for why, people in by_why.items())
    yield words.text(f"story.people.{tense}", people=", ".join(groups))


def _why(kind: str, decision: Mapping[str, Any], words: Catalogue) -> str:
    """Why somebody gets a copy; for everybody and for administrators, why nobody else does."""
    fallback = decision.get("fallback")
    if not fallback or kind not in {"allmember", "unproven"}:
        return words.text(f"why.{kind}")
    if fallback == "unknown_company" and not decision.get("customer"):
        return words.text("story.no_customer")
    return words.text(f"fallback.{fallback}")


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
    values["about"] = words.text("story.about", queue_id=why["about"]) if why.get("about") else ""
    values["form"] = words.text(f"form.{why['form']}") if "form" in why else ""
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
    if why.get("copy_notes"):
        notes = ", ".join(_note(str(note), words) for note in why["copy_notes"])
        said = f"{said} ({words.text('story.copy_notes', notes=notes)})"
    return said


def _note(note: str, words: Catalogue) -> str:
    """What had to be done to a copy: ``CODE`` or ``CODE:DETAIL``."""
    code, _, detail = note.partition(":")
    return words.text(f"note.{code}", detail=detail) if words.has(f"note.{code}") else note


def tell_changes(
    changes: Iterable[Mapping[str, Any]], words: Catalogue, mails: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[str]:
    """A line for each change: when, and what.

    Args:
        changes: As the store's views give them. One that stands on two tickets (a merge) is told once.
        words: The reader's language.
        mails: By queue id, when several are told together: then each says when it came, and which it was.
    """
    told: tuple[object, ...] = ()
    for change in changes:
        values = _values(change, words)
        msgid = f"event.{change['what']}"
        mail = (mails or {}).get(str(change.get("queue_id") or ""))
        if change["what"] == "message.held" and str(change.get("who", "")).startswith("person:"):
            msgid = "story.held_by_person"
        if mail and change["what"] == "message.accepted":
            msgid = "story.mail_came"
            values |= {
                "subject": mail["subject"] or words.text("story.no_subject"),
                "sender": mail["reverse_path"] or words.text("null_path"),
                "queue_id": change["queue_id"],
            }
        this = (change["at"], msgid, change.get("who"), change.get("why"), change.get("delivery_id"))
        if this != told:
            yield f"{local_time(change['at'])}  {words.text(msgid, **values)}"
        told = this


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
