"""Conditions of rules: three answers, and one table that says for each name what it asks (DESIGN 7).

A condition tree is made of `AllOf`, `AnyOf`, `Negation` and `Test`. Its answer follows Kleene: *no* decides an `AllOf`
and *yes* an `AnyOf` whatever else cannot be told.
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from enum import Enum
from operator import attrgetter

from supportrelay.core.automatic import RULE_WORDS
from supportrelay.core.decision import Direction, Place
from supportrelay.core.errors import InputError
from supportrelay.core.office_hours import OfficeHours
from supportrelay.core.rule_patterns import CompilePattern, PatternList
from supportrelay.core.rule_subject import Folded, View
from supportrelay.core.value import value_class

__all__ = [
    "CONDITIONS",
    "RULE_DIRECTIONS",
    "AllOf",
    "Always",
    "Answer",
    "AnyOf",
    "Condition",
    "ConditionValue",
    "Negation",
    "Test",
    "condition",
]


class Answer(Enum):
    """What a condition says about a mail."""

    YES = "yes"
    NO = "no"
    CANNOT_TELL = "cannot tell"  # not now: the CRM was not reached


_YES, _NO, _CANNOT_TELL = Answer.YES, Answer.NO, Answer.CANNOT_TELL  # asked for every condition of every mail


RULE_DIRECTIONS = frozenset(
    {
        Direction.INBOUND,
        Direction.OUTBOUND,
        Direction.NOTE,
        Direction.UNPROVEN,
        Direction.AUTOMATIC,
        Direction.SPAM,
    }
)
"""Directions that rules get to see; loops, reports and the same mail again are decided before."""

# --- the tree ------------------------------------------------------------------------------------------------------

Ask = Callable[[View], bool | None]
"""True, False, or None for *cannot tell*."""


@value_class
class Test:
    """One condition; ``name`` is what the configuration calls it.

    Attributes:
        names_spam: It asks whether the mail is called spam; so its rule decides about spam.
    """

    __test__ = False  # no test of pytest's

    name: str
    ask: Ask = field(repr=False)
    names_spam: bool = False

    def answer(self, view: View) -> Answer:
        """The answer; a *cannot tell* is noted in ``view.untold``."""
        said = self.ask(view)
        if said:
            return _YES
        if said is None:
            view.untold.append(self.name)
            return _CANNOT_TELL
        return _NO


@value_class
class Always:
    """A rule without conditions."""

    def answer(self, view: View) -> Answer:  # noqa: ARG002  same shape as the others
        """Yes."""
        return _YES


@value_class
class AllOf:
    """Every part says yes. One *no* decides, even when another part cannot be told."""

    parts: tuple["Condition", ...]

    def answer(self, view: View) -> Answer:
        """The least of the answers: no, cannot tell, yes."""
        found = _YES
        for part in self.parts:
            said = part.answer(view)
            if said is _NO:
                return said
            if said is _CANNOT_TELL:
                found = said
        return found


@value_class
class AnyOf:
    """Some part says yes. One *yes* decides, even when another part cannot be told."""

    parts: tuple["Condition", ...]

    def answer(self, view: View) -> Answer:
        """The greatest of the answers: yes, cannot tell, no."""
        found = _NO
        for part in self.parts:
            said = part.answer(view)
            if said is _YES:
                return said
            if said is _CANNOT_TELL:
                found = said
        return found


@value_class
class Negation:
    """The part says no. What cannot be told cannot be told the other way round either."""

    part: "Condition"

    def answer(self, view: View) -> Answer:
        """Yes for no, no for yes."""
        return _OPPOSITE[self.part.answer(view)]


_OPPOSITE = {_YES: _NO, _NO: _YES, _CANNOT_TELL: _CANNOT_TELL}

Condition = Test | Always | AllOf | AnyOf | Negation


# --- what each name asks ---------------------------------------------------------------------------------------------

ConditionValue = Sequence[str] | bool | int | dict[str, Sequence[str]] | OfficeHours
"""Words and patterns always as a list (any of them); header as name -> patterns; size in octets; hours ready made."""


def condition(name: str, value: ConditionValue, compile_pattern: CompilePattern) -> Test:
    """Return the condition of that name.

    Raises:
        InputError: The value cannot have an effect: a word that is none, a pattern that cannot be used.
        KeyError: No condition of that name (`CONDITIONS` has them all).
    """
    ask = CONDITIONS[name](value, compile_pattern)
    names_spam = name == "spam" or (name == "direction" and Direction.SPAM in _lowered(_strings(value)))
    return Test(name, ask, names_spam)


_Builder = Callable[[ConditionValue, CompilePattern], Ask]


def _strings(value: ConditionValue) -> list[str]:
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, str) for one in value):
        raise InputError("needs one word or pattern, or a list of them")
    return list(value)


def _lowered(words: Sequence[str]) -> set[str]:
    return {word.strip().lower() for word in words}


def _words(allowed: Sequence[str], of: Callable[[View], str]) -> _Builder:
    def build(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:  # noqa: ARG001  one shape for all
        wanted = _lowered(_strings(value))
        unknown = sorted(wanted - set(allowed))
        if unknown:
            raise InputError(f"no such word: {', '.join(unknown)}; known are {', '.join(allowed)}")
        return lambda view: of(view) in wanted

    return build


_by_direction = _words(sorted(RULE_DIRECTIONS), attrgetter("subject.direction"))


def _direction(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:
    """Mail that is called spam is spam beside whatever else it is."""
    ask = _by_direction(value, compile_pattern)
    if Direction.SPAM not in _lowered(_strings(value)):
        return ask
    return lambda view: view.subject.is_spam or ask(view)


def _truth(of: Callable[[View], bool | None]) -> _Builder:
    def build(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:  # noqa: ARG001  one shape for all
        if not isinstance(value, bool):
            raise InputError("needs true or false")

        def ask(view: View) -> bool | None:
            said = of(view)
            return None if said is None else said is value

        return ask

    return build


def _patterns(of: Callable[[View], tuple[Folded, ...] | None], *, are_addresses: bool = False) -> _Builder:
    def build(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:
        texts = _strings(value)
        if are_addresses:
            _refuse_no_address(texts)
        wanted = PatternList.parse(texts, compile_pattern)

        def ask(view: View) -> bool | None:
            values = of(view)
            if values is None:
                return None
            for raw, folded in values:  # noqa: SIM110  asked for every mail; any() makes a generator each time
                if wanted.fits(raw, folded):
                    return True
            return False

        return ask

    return build


def _refuse_no_address(texts: Sequence[str]) -> None:
    for text in texts:
        if "@" not in text and "*" not in text and not text.startswith("/"):
            raise InputError(f"{text!r} fits no address; write ann@example.com, *@example.com or /expression/")


def _attachment(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:
    if isinstance(value, bool):
        return lambda view: bool(view.facts.attachments) is value
    return _patterns(attrgetter("attachments"))(value, compile_pattern)


def _header(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:
    """Every field named must have a value that fits; a field that is absent does not fit."""
    if not isinstance(value, dict) or not value:
        raise InputError("needs field names and patterns, like {X-Priority: 1}")
    wanted = []
    for name, texts in value.items():
        if not name or not name.isascii() or not name.isprintable() or set(" :") & set(name):
            raise InputError(f"{name!r} is no name of a header field")
        wanted.append((name.lower(), PatternList.parse(_strings(texts), compile_pattern)))

    def ask(view: View) -> bool:
        return all(any(patterns.fits(*pair) for pair in view.header(name)) for name, patterns in wanted)

    return ask


def _size_over(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:  # noqa: ARG001  one shape for all
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError("needs a size in octets")
    return lambda view: view.facts.size_octets > value


def _language(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:  # noqa: ARG001  one shape for all
    wanted = _lowered(_strings(value))
    for word in wanted:
        if not (word.isascii() and word.isalpha() and len(word) in {2, 3}):
            raise InputError(f"{word!r} is no language; use ja, en, fr, pl or another code of two or three letters")
    return lambda view: view.language in wanted


def _hours(value: ConditionValue, compile_pattern: CompilePattern) -> Ask:  # noqa: ARG001  one shape for all
    if not isinstance(value, OfficeHours):
        raise InputError("needs office hours, like 'Mon-Fri 09:00-18:00'")
    return lambda view: value.covers(view.subject.accepted_at)


CONDITIONS: dict[str, _Builder] = {
    "direction": _direction,
    "support_in": _words([str(place) for place in Place], attrgetter("subject.place")),
    "from": _patterns(attrgetter("from_"), are_addresses=True),
    "to": _patterns(attrgetter("to"), are_addresses=True),
    "cc": _patterns(attrgetter("cc"), are_addresses=True),
    "recipient": _patterns(attrgetter("recipients"), are_addresses=True),
    "subject": _patterns(attrgetter("subject_text")),
    "header": _header,
    "body": _patterns(attrgetter("body")),
    "attachment": _attachment,
    "size_over": _size_over,
    "spam": _truth(attrgetter("subject.is_spam")),
    "automatic": _words(list(dict.fromkeys(RULE_WORDS.values())), attrgetter("subject.automatic")),
    "proven": _truth(attrgetter("subject.proven")),
    "known_contact": _truth(attrgetter("subject.known_contact")),
    "company": _patterns(attrgetter("companies")),
    "deal": _patterns(attrgetter("deals")),
    "owner": _patterns(attrgetter("owners"), are_addresses=True),
    "language": _language,
    "hours": _hours,
}
"""Every condition that a rule may name."""
