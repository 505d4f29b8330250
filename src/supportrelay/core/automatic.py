"""Was this mail written by a person? Header rules only; words in a subject never decide (RULES_OF_MAIL 2B).

The table `_TABLE` is read from the top and the first row that says something wins. Some of its rows differ from
RULES 2B, each for a reason:

* Exchange's absence notices say ``auto-generated``, so their own mark is asked before Auto-Submitted; else a holiday
  notice would count as the answer of another help desk and open the ticket again.
* A calendar answer that calls itself ``auto-generated`` is still a calendar answer.
* Old mailing lists send ``Precedence: bulk``; where one may post (List-Post, Mailing-List) it is a list, no newsletter.
* Mailing services send no Precedence any more, but a List-Id for each campaign. Feedback-ID (made for them) with
  List-Unsubscribe, on a mail that answers nothing, is a newsletter.
* iCloud marks absence notices with a field of its own and nothing else.
* From without any address is a robot's when it is empty or says MAILER-DAEMON; local programs write that.
* ``multipart/report`` of a kind we do not know is a notice (RULES 3.3), not a report.
"""

import re
from collections.abc import Callable
from enum import StrEnum

from supportrelay.core.automatic_words import looks_automatic, says_absence, says_absence_in_text
from supportrelay.core.envelope import Envelope
from supportrelay.core.facts import Facts
from supportrelay.core.reason import Reason
from supportrelay.core.report_signs import find_report_sign, reporter
from supportrelay.core.subject import has_forward_prefix
from supportrelay.core.value import value_class

__all__ = ["RULE_WORDS", "Automatic", "AutomaticKind", "classify_automatic", "rule_word"]


class AutomaticKind(StrEnum):
    """What kind of sender is at the other end."""

    HUMAN = "human"
    OOO = "ooo"  # an absence notice
    AUTO_REPLY = "auto_reply"  # another automatic answer to a mail
    AUTO_GENERATED = "auto_generated"  # a machine's own mail; inside a ticket's thread a help desk's person
    NEWSLETTER = "newsletter"
    LIST = "list"  # a person who wrote through a mailing list
    ROBOT = "robot"  # the sender's local part says that nobody reads there
    REPORT = "report"  # delivery status, read receipt, complaint
    CALENDAR_ANSWER = "calendar_answer"  # accepted, declined ... without a word of its own

    @property
    def is_answer(self) -> bool:
        """An automatic answer: put on its ticket without moving it, copied to nobody (RULES 2B.3-4)."""
        return self in {AutomaticKind.OOO, AutomaticKind.AUTO_REPLY}

    @property
    def is_human(self) -> bool:
        """A person wrote it; a list only passed it on (RULES 2B.6)."""
        return self in {AutomaticKind.HUMAN, AutomaticKind.LIST}


@value_class
class Automatic:
    """The class of a mail.

    Attributes:
        reason: ``automatic.KIND`` with the field that said so (``field``, ``value``; at most 80 characters).
        subject_looks_automatic: Its subject reads like an absence notice or an automatic answer. Shown, never obeyed.
        no_answer: Never answer this automatically (RELIABILITY C55), whatever its class.
    """

    kind: AutomaticKind
    reason: Reason
    subject_looks_automatic: bool = False
    no_answer: bool = False


RULE_WORDS: dict[AutomaticKind, str] = {
    AutomaticKind.OOO: "ooo",
    AutomaticKind.AUTO_REPLY: "reply",
    AutomaticKind.AUTO_GENERATED: "notice",
    AutomaticKind.ROBOT: "notice",
    AutomaticKind.REPORT: "notice",
    AutomaticKind.NEWSLETTER: "newsletter",
    AutomaticKind.LIST: "list",
}
"""The word of the rules' condition ``automatic`` for each kind; the others have none."""


def rule_word(kind: AutomaticKind) -> str:
    """The word that a rule's ``automatic`` condition compares, "" for mail of people and calendar answers."""
    return RULE_WORDS.get(kind, "")


def classify_automatic(facts: Facts, envelope: Envelope) -> Automatic:
    """Return the class of a mail by its header and envelope. Mail through forms is the caller's question (DESIGN 2)."""
    mail = _Signs(facts, envelope)
    kind, said = AutomaticKind.HUMAN, ("", "")
    for row_kind, ask in _TABLE:
        found = ask(mail)
        if found is not None:
            kind, said = row_kind, found
            break
    looks = looks_automatic(facts.subject)
    return Automatic(
        kind=kind,
        reason=Reason.of(f"automatic.{kind}", field=said[0], value=said[1][:80]) if said[0] else _PERSON,
        subject_looks_automatic=looks,
        no_answer=looks or kind is not AutomaticKind.HUMAN or _forbids_answer(mail),
    )


_PERSON = Reason.of("automatic.human")
_MAX_VALUE = 1000  # of a field that holds one token; the rest of a longer one says nothing

_Said = tuple[str, str] | None
"""The field and its value that decided, or None: this row says nothing."""


class _Signs:
    """One mail's signs, read once."""

    __slots__ = ("answer_field", "envelope", "facts", "precedence", "suppress")

    def __init__(self, facts: Facts, envelope: Envelope) -> None:
        self.facts = facts
        self.envelope = envelope
        self.precedence = {_token(v) for v in facts.fields.get("precedence", ())}
        self.precedence.update(_token(v) for v in facts.fields.get("x-precedence", ()))
        self.suppress = {
            _token(word)
            for value in facts.fields.get("x-auto-response-suppress", ())
            for word in value[:_MAX_VALUE].split(",")
        }
        self.answer_field = _answer_field(self)

    def has(self, name: str) -> bool:
        return bool(self.facts.first(name))


def _token(value: str) -> str:
    """``Auto-Replied (vacation); owner-email=x`` -> ``auto-replied``: no comment, no parameter, lower case."""
    value = value[:_MAX_VALUE]
    if "(" in value:
        value = _without_comments(value)
    return value.partition(";")[0].strip().strip('"').lower()


def _without_comments(value: str) -> str:
    kept, depth = [], 0
    for character in value:
        if character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif not depth:
            kept.append(character)
    return "".join(kept)


# --- reports -------------------------------------------------------------------------------------------------------

_REPORT_TYPES = frozenset({"", "delivery-status", "disposition-notification", "feedback-report"})


def _by_report_structure(mail: _Signs) -> _Said:
    content_type = mail.facts.content_type
    if content_type == "message/delivery-status":
        return "content-type", content_type
    if content_type == "multipart/report":
        kind = mail.facts.content_parameters.get("report-type", "").lower()
        if kind in _REPORT_TYPES:
            return "content-type", f"{content_type}; report-type={kind}"
    return None


def _by_report_inside(mail: _Signs) -> _Said:
    """A report that a list or a gateway put into a multipart of its own; a person who forwards one is no reporter."""
    if not mail.facts.has_report_part:
        return None
    said = reporter(mail.facts)
    if said or not mail.envelope.reverse_path:
        return ("from", said) if said else ("content-type", mail.facts.content_type)
    return None


def _by_report_signs(mail: _Signs) -> _Said:
    """Without structure: a null reverse-path, a mail system's name, a field, words; two of them (RULES 3.2)."""
    return find_report_sign(mail.facts, is_null=not mail.envelope.reverse_path)


# --- absence notices and other automatic answers ---------------------------------------------------------------------

_SUPPRESS_ABSENCE = frozenset({"all", "autoreply", "oof"})
_ABSENCE_MARKS = ("vacation", "owner-email")


def _by_exchange_absence(mail: _Signs) -> _Said:
    """Exchange marks the answers of its rules; the suppress field alone stands in much mail of people.

    What a rule redirects or forwards has the same marks and is a person's mail: it says who sent it on.
    """
    is_sent_on = mail.has("resent-from") or has_forward_prefix(mail.facts.subject)
    if mail.has("x-ms-exchange-inbox-rules-loop") and mail.suppress & _SUPPRESS_ABSENCE and not is_sent_on:
        return "x-ms-exchange-inbox-rules-loop", mail.facts.first("x-ms-exchange-inbox-rules-loop")
    return None


def _by_apple_absence(mail: _Signs) -> _Said:
    said = mail.facts.first("x-apple-action")
    return ("x-apple-action", said) if _token(said) == "vacation" else None


def _by_vacation(mail: _Signs) -> _Said:
    for value in mail.facts.fields.get("auto-submitted", ()):
        lowered = value[:_MAX_VALUE].lower()
        if _token(value) in {"auto-replied", "vacation"} and any(mark in lowered for mark in _ABSENCE_MARKS):
            return "auto-submitted", value
    return None


def _by_absence_words(mail: _Signs) -> _Said:
    """An automatic answer by its header and an absence by its words (Gmail writes no more than that)."""
    said = _by_auto_replied(mail) or mail.answer_field
    return _absence_words(mail.facts) if said and _is_absence(mail.facts) else None


def _is_absence(facts: Facts) -> bool:
    return says_absence(facts.subject) or says_absence_in_text(facts.own_text or facts.body_text)


def _absence_words(facts: Facts) -> tuple[str, str]:
    """Where it says so."""
    return ("subject", facts.subject) if says_absence(facts.subject) else ("body", facts.own_text[:80])


def _by_null_path_absence(mail: _Signs) -> _Said:
    """Servers that mark nothing still answer with a null reverse-path, as nobody's mail program does (RFC 3834 §3.3).

    Domino's call themselves auto-generated, which would make a help desk's person of them.
    """
    subject = mail.facts.subject
    if mail.envelope.reverse_path or not (looks_automatic(subject) or says_absence(subject)):
        return None
    return _absence_words(mail.facts) if _is_absence(mail.facts) else None


def _by_null_path_answer(mail: _Signs) -> _Said:
    is_answer = not mail.envelope.reverse_path and looks_automatic(mail.facts.subject)
    return ("subject", mail.facts.subject) if is_answer else None


def _by_auto_replied(mail: _Signs) -> _Said:
    for value in mail.facts.fields.get("auto-submitted", ()):
        if _token(value) == "auto-replied":
            return "auto-submitted", value
    return None


def _by_auto_generated(mail: _Signs) -> _Said:
    """``auto-generated``, ``auto-notified`` and every word that is not ``no`` (RFC 3834 §5: an extension)."""
    for value in mail.facts.fields.get("auto-submitted", ()):
        if _token(value) not in {"", "no"}:
            return "auto-submitted", value
    return None


_ANSWER_FIELDS = frozenset(
    {
        "x-autoreply",
        "x-autorespond",
        "x-autoresponse",
        "x-autoresponder",
        "x-auto-respond",
        "x-auto-reply",
        "x-autoreply-from",
        "x-autoreply-domain",
        "x-mail-autoreply",
        "x-autogenerated",
    }
)
_DENIALS = frozenset({"no", "false", "0", ""})
_ANSWER_PRECEDENCE = frozenset({"auto_reply", "autoreply", "auto-reply"})


def _by_answer_fields(mail: _Signs) -> _Said:
    return mail.answer_field


def _answer_field(mail: _Signs) -> _Said:
    """The field by which an automatic answer is known where Auto-Submitted says nothing."""
    facts = mail.facts
    for name in sorted(_ANSWER_FIELDS & facts.fields.keys()):
        if _token(facts.first(name)) not in _DENIALS:
            return name, facts.first(name)
    if _token(facts.first("x-fc-machinegenerated")) == "true":
        return "x-fc-machinegenerated", "true"
    if _token(facts.first("content-identifier")).startswith("auto-replied"):
        return "content-identifier", facts.first("content-identifier")
    if _token(facts.first("x400-content-identifier")).startswith("auto reply to"):
        return "x400-content-identifier", facts.first("x400-content-identifier")
    for value in facts.fields.get("delivered-to", ()):
        if _token(value).partition("@")[0] == "autoresponder":
            return "delivered-to", value
    words = mail.precedence & _ANSWER_PRECEDENCE
    return ("precedence", min(words)) if words else None


# --- the rest ----------------------------------------------------------------------------------------------------


def _by_calendar(mail: _Signs) -> _Said:
    facts = mail.facts
    return ("content-type", "text/calendar") if facts.is_calendar_answer and not facts.has_calendar_comment else None


def _by_other_report(mail: _Signs) -> _Said:
    return ("content-type", "multipart/report") if mail.facts.content_type == "multipart/report" else None


_BULK = frozenset({"bulk", "junk"})


def _by_newsletter(mail: _Signs) -> _Said:
    """Bulk mail that one can only leave. A list that takes posts (List-Post) sends what people wrote, bulk or not."""
    if _token(mail.facts.first("list-post")) not in {"", "no"} or mail.has("mailing-list"):
        return None
    has_both = mail.has("list-unsubscribe") and mail.has("feedback-id")
    if not mail.precedence & _BULK and (not has_both or mail.facts.in_reply_to or mail.facts.references):
        return None
    for name in ("list-unsubscribe", "feedback-id"):
        if mail.has(name):
            return name, mail.facts.first(name)
    return None


def _by_list(mail: _Signs) -> _Said:
    for name in ("list-id", "list-post", "mailing-list"):
        if mail.has(name):
            return name, mail.facts.first(name)
    return ("precedence", "list") if "list" in mail.precedence else None


# At the start of the local part, or (the no-reply words) at its end: ``drive-shares-noreply``. What follows must not be
# a letter, so that ``bouncer`` and ``noreplyless`` remain people.
_ROBOT_LOCAL = re.compile(
    r"^(?:mailer-daemon|post[-_.]?master|mdaemon|listserv|majordomo|bounces?)(?![a-z])"
    r"|(?:^|[-_.+])(?:no[-_.]?reply|do[-_.]?not[-_.]?reply)(?![a-z])"
)


def _by_robot_sender(mail: _Signs) -> _Said:
    facts = mail.facts
    sender = facts.from_[0] if facts.from_ else facts.sender
    if sender is None:
        said = reporter(facts)
        return ("from", said) if said else None
    return ("from", sender.key) if _ROBOT_LOCAL.search(sender.local[:256].lower()) else None


_TABLE: tuple[tuple[AutomaticKind, Callable[[_Signs], _Said]], ...] = (
    (AutomaticKind.REPORT, _by_report_structure),
    (AutomaticKind.REPORT, _by_report_inside),
    (AutomaticKind.REPORT, _by_report_signs),
    (AutomaticKind.OOO, _by_exchange_absence),
    (AutomaticKind.OOO, _by_apple_absence),
    (AutomaticKind.OOO, _by_vacation),
    (AutomaticKind.OOO, _by_absence_words),
    (AutomaticKind.AUTO_REPLY, _by_auto_replied),
    (AutomaticKind.OOO, _by_null_path_absence),
    (AutomaticKind.AUTO_REPLY, _by_null_path_answer),
    (AutomaticKind.CALENDAR_ANSWER, _by_calendar),
    (AutomaticKind.AUTO_GENERATED, _by_auto_generated),
    (AutomaticKind.AUTO_GENERATED, _by_other_report),
    (AutomaticKind.AUTO_REPLY, _by_answer_fields),
    (AutomaticKind.NEWSLETTER, _by_newsletter),
    (AutomaticKind.LIST, _by_list),
    (AutomaticKind.ROBOT, _by_robot_sender),
)

_SILENT_PRECEDENCE = frozenset({"bulk", "junk", "list"})
_SILENT_SUPPRESS = frozenset({"all", "autoreply", "auto-reply", "auto_reply", "dr", "oof"})
_LIST_FIELDS = ("list-unsubscribe", "list-subscribe", "list-help", "list-owner", "list-archive", "feedback-id")


def _forbids_answer(mail: _Signs) -> bool:
    """What does not make a class but forbids an automatic answer (RELIABILITY C55, RFC 3834 §2)."""
    return (
        not mail.envelope.reverse_path
        or bool(mail.precedence & _SILENT_PRECEDENCE)
        or bool(mail.suppress & _SILENT_SUPPRESS)
        or any(mail.has(name) for name in _LIST_FIELDS)
    )
