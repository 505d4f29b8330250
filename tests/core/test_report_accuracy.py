"""How well reports are read: the shared mails against `bounce_truth.tsv`. Prints the score (``pytest -s``)."""

from pathlib import Path

import pytest

from supportrelay.core.automatic import AutomaticKind, classify_automatic
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.reading import read_facts
from supportrelay.core.report import Report, read_report
from supportrelay.core.value import value_class

HERE = Path(__file__).resolve().parent
MAILS = HERE.parents[2] / "shared" / "mails"
LEAST = 0.97
# From a person's reverse-path: the mail's own header and words must tell, the envelope gives nothing away.
ENVELOPE = Envelope("somebody@customer.example", ("support@desk.example",), Peer("192.0.2.1", "mx.customer.example"))

pytestmark = pytest.mark.skipif(not MAILS.is_dir(), reason="the shared mails are not here")


@value_class
class Seen:
    """What a mail is: its kind, and ``(address, action)``, ``(hard or soft, bad or good)`` of each recipient."""

    kind: str
    recipients: tuple[tuple[str, str], ...]
    weights: tuple[tuple[str, str], ...]


def truth() -> dict[str, Seen]:
    found = {}
    for line in (HERE / "bounce_truth.tsv").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, kind, said = line.split("\t")
        words = [one.split(",") for one in said.split()] if said != "-" else []
        found[name] = Seen(kind, tuple((w[0], w[1]) for w in words), tuple((w[2], w[3]) for w in words))
    return found


def seen(octets: bytes) -> Seen:
    """What the program sees."""
    facts = read_facts(octets)
    kind = classify_automatic(facts, ENVELOPE).kind
    report = read_report(octets, facts) if kind is AutomaticKind.REPORT else None
    if report is None:
        return Seen(str(kind), (), ())
    return Seen(report.kind, *_recipients(report))


def _recipients(report: Report) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    named = tuple((one.address or "-", one.action or "-") for one in report.recipients)
    weights = tuple(
        (str(one.severity) or "-", ("bad" if one.is_address_bad else "good") if one.severity else "-")
        for one in report.recipients
    )
    return named, weights


def files() -> list[Path]:
    return sorted(
        path for path in MAILS.rglob("*") if path.is_file() and path.name not in {"README.md", ".gitattributes"}
    )


def test_reports_of_the_sisimai_set_are_read_right() -> None:
    expected = {name: one for name, one in truth().items() if name.startswith("sisimai+set-of-emails/")}
    found = {name: seen((MAILS / name).read_bytes()) for name in expected}
    scores = {}
    for what in ("kind", "recipients", "weights"):
        right = [name for name in expected if getattr(found[name], what) == getattr(expected[name], what)]
        scores[what] = len(right) / len(expected)
        wrong = sorted(set(expected) - set(right))
        print(f"{what}: {len(right)} of {len(expected)} = {scores[what]:.1%}", *wrong)

    assert min(scores.values()) >= LEAST, scores


def test_no_other_mail_is_taken_for_a_report() -> None:
    """Of all shared mails; a false report would not be relayed to anybody it is for."""
    reports = {name for name, one in truth().items() if one.kind.count("-")}
    paths = {str(path.relative_to(MAILS)): path for path in files()}
    taken = {name for name, path in paths.items() if seen(path.read_bytes()).kind in _KINDS}
    print(f"{len(paths)} mails, {len(taken)} reports, {len(reports - taken)} missed:", *sorted(reports - taken))

    assert len(paths) >= 400
    assert taken - reports == set()
    assert len(reports - taken) / len(reports) <= 1 - LEAST


_KINDS = {"delivery-status", "disposition-notification", "feedback-report", "report"}


def test_a_null_reverse_path_alone_makes_no_report() -> None:
    """The same mails with a null reverse-path: what people wrote stays theirs."""
    null = Envelope("", ENVELOPE.forward_paths, ENVELOPE.peer)
    reports = {name for name, one in truth().items() if one.kind.count("-")}
    taken = set()
    for path in files():
        name = str(path.relative_to(MAILS))
        facts = read_facts(path.read_bytes())
        if name not in reports and classify_automatic(facts, null).kind is AutomaticKind.REPORT:
            taken.add(name)

    assert taken == _NAMED_BY_FROM


# From says postmaster or nobody at all: with a null reverse-path that is two signs (RULES 3.2).
_NAMED_BY_FROM = {
    "apache+spamassassin/t.rules/VBOUNCE_MESSAGE/bug5884_att4343_gwava",
    "mailgun+flanker/long-links.eml",
    "rspamd+rspamd/currency.eml",
}
