"""Examples of rules: a mail in a few lines, and what must happen to it. A file whose examples fail is not loaded.

In the configuration each rule may carry some (DESIGN 7, issue 2)::

    - name: urgent to the second line
      when: {direction: inbound, subject: "/至急|urgent/i"}
      then: {route_to: {addresses: [second@reflectle.jp]}, ticket: {priority: high}}
      "examples":
        - mail: |
            From: Ann <ann@acme.example>
            To: support@reflectle.jp
            Subject: URGENT: line down

            Please call.
          given: {company: ACME, owners: [tanaka@reflectle.jp]}
          expect: {recipients: [second@reflectle.jp], ticket: NEW}

``mail``: header lines, an empty line, the body; the body may be missing.

``given``: what the relay would find out by itself: ``proven`` (true: the sender is who he says), ``company``, ``deal``
(their names in the CRM), ``owners`` (addresses), ``known_contact`` (true: the customer is a contact in the CRM),
``recipient`` (the address in the envelope; else the first of ours in To or Cc), ``at`` (when the mail came, with its
time zone: ``2026-03-02T10:00:00+09:00``). Nothing given: an unknown company and an unproven sender.

``expect``: any of ``rule`` (a rule's name: it matched; null: none did), ``rules`` (all of them in order),
``direction``, ``support_in``, ``proven``, ``customer``, ``company`` and ``deal`` (name or id, or null), ``owners``,
``fallback``, ``recipients`` (in any order), ``ticket`` (a stage, ``none``, or ``{stage, action, priority}``),
``disposition``, ``tags`` and ``address``: the words of ``supportrelay explain --json``. Without ``expect`` the rule
that carries the example must match.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Protocol

from supportrelay.core.errors import RelayError
from supportrelay.core.value import value_class

__all__ = ["EXPECTABLE", "Example", "Given", "check_examples"]


@value_class
class Given:
    """What the example takes for known; None: not said.

    Attributes:
        recipient: Forward-path of the envelope, "" for the first of our addresses on the mail.
        at: Aware; None for any time.
    """

    proven: bool = False
    company: str = ""
    deal: str = ""
    owners: tuple[str, ...] = ()
    recipient: str = ""
    at: datetime | None = None
    known_contact: bool = False


@value_class
class Example:
    """One example of a rule.

    Attributes:
        rule: The rule that carries it. number: counted from 1 within it.
        mail: Header lines and body as written, with any line ends.
        expect: Names of `EXPECTABLE`; empty: the rule matches.
    """

    rule: str
    number: int
    mail: str
    given: Given = Given()
    expect: Mapping[str, Any] = field(default_factory=dict)

    @property
    def octets(self) -> bytes:
        """The mail as it would arrive: UTF-8 with CRLF, and a body even if there is none."""
        lines = self.mail.strip("\r\n").splitlines()
        if "" not in lines:
            lines.append("")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


class HasExamples(Protocol):
    """A rule."""

    @property
    def examples(self) -> tuple[Example, ...]:
        """Its examples."""
        ...


def check_examples(rules: Sequence[HasExamples], decide: Callable[[Example], Mapping[str, Any]]) -> list[str]:
    """Return a line for each thing that came out otherwise than an example says; empty when all came out.

    Args:
        rules: All rules of the file, in order.
        decide: Decides on the example with all rules and returns the form of `Decision.to_json`.
    """
    return [line for rule in rules for example in rule.examples for line in _check(example, decide)]


def _check(example: Example, decide: Callable[[Example], Mapping[str, Any]]) -> list[str]:
    where = f"rule {example.rule}, example {example.number}"
    try:
        came_out = decide(example)
    except RelayError as error:
        return [f"{where}: {error}"]
    lines = []
    for name, expected in (example.expect or {"rule": example.rule}).items():
        wanted, got = EXPECTABLE[name](expected, came_out)
        if wanted != got:
            lines.append(f"{where}: expected {name} {_print(wanted)}, got {_print(got)}")
    return lines


def _print(value: object) -> str:
    match value:
        case None:
            return "none"
        case list() | tuple():
            return "[" + ", ".join(map(str, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{name}: {_print(one)}" for name, one in value.items()) + "}"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


# --- how each name is compared: (wanted, got), equal when it came out -------------------------------

_Compare = Callable[[Any, Mapping[str, Any]], tuple[object, object]]


def _same(name: str) -> _Compare:
    return lambda expected, came_out: (expected, came_out.get(name))


def _same_word(name: str) -> _Compare:
    def compare(expected: Any, came_out: Mapping[str, Any]) -> tuple[object, object]:
        got = came_out.get(name)
        return _lower(expected), _lower(got)

    return compare


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _as_list(expected: Any) -> list[Any]:
    return [expected] if isinstance(expected, str) else list(expected or ())


def _people(name: str) -> _Compare:
    """Addresses in any order and any case."""

    def compare(expected: Any, came_out: Mapping[str, Any]) -> tuple[object, object]:
        return sorted(map(str.lower, _as_list(expected))), sorted(map(str.lower, came_out.get(name) or ()))

    return compare


def _named(name: str) -> _Compare:
    """A company or deal by its name or id."""

    def compare(expected: Any, came_out: Mapping[str, Any]) -> tuple[object, object]:
        found = came_out.get(name)
        if found is None or expected is None:
            return expected, found and found["name"]
        return str(expected), str(expected) if str(expected) in {found["name"], str(found["id"])} else found["name"]

    return compare


def _rule(expected: Any, came_out: Mapping[str, Any]) -> tuple[object, object]:
    """One of the rules that matched; None: none did."""
    matched = list(came_out.get("rules") or ())
    if expected in matched:
        return expected, expected
    return expected, matched if len(matched) > 1 else (matched[0] if matched else None)


def _ticket(expected: Any, came_out: Mapping[str, Any]) -> tuple[object, object]:
    ticket = came_out.get("ticket") or {}
    if isinstance(expected, Mapping):
        return {k: _lower(v) for k, v in expected.items()}, {k: _lower(ticket.get(k)) for k in expected}
    has_none = ticket.get("action", "none") == "none"
    return _lower(expected) or "none", "none" if has_none else _lower(ticket.get("stage"))


EXPECTABLE: dict[str, _Compare] = {
    "rule": _rule,
    "rules": lambda expected, came_out: (list(expected or ()), list(came_out.get("rules") or ())),
    "direction": _same_word("direction"),
    "support_in": _same_word("support_in"),
    "address": _same("address"),
    "proven": _same("proven"),
    "customer": _same_word("customer"),
    "company": _named("company"),
    "deal": _named("deal"),
    "owners": _people("owners"),
    "fallback": _same_word("fallback"),
    "recipients": _people("recipients"),
    "ticket": _ticket,
    "disposition": _same_word("disposition"),
    "tags": lambda expected, came_out: (_as_list(expected), list(came_out.get("tags") or ())),
}
"""What an example may expect, and how it is compared."""
