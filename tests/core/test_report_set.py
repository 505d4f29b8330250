"""Reports, and what only looks like one: a file each in ``reports/``, what it says above the message.

The first lines say what is expected, up to the blank line: ``expect`` the kind (of ``core.report``, else of
``core.automatic``), ``recipient`` for each one ADDRESS ACTION HARD-OR-SOFT IS-THE-ADDRESS-BAD, ``returned`` the
Message-ID of what it is about, ``envelope: null`` the reverse-path, ``charset`` in which the octets are written.
"""

from collections import Counter
from pathlib import Path

import pytest

from supportrelay.core.automatic import AutomaticKind, classify_automatic
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.reading import read_facts
from supportrelay.core.report import Report, read_report
from supportrelay.core.value import value_class

FILES = sorted((Path(__file__).resolve().parent / "reports").glob("*.txt"))
REPORTS = {"delivery-status", "disposition-notification", "feedback-report"}


@value_class
class Sample:
    """One file."""

    kind: str
    recipients: list[str]
    returned: str
    envelope: Envelope
    octets: bytes


def sample(path: Path) -> Sample:
    head, _, message = path.read_text("utf-8").partition("\n\n")
    said = [line.partition(": ")[::2] for line in head.splitlines()]
    words = dict(said)
    reverse_path = "" if words.get("envelope") == "null" else "somebody@customer.example"
    return Sample(
        words["expect"],
        [value for name, value in said if name == "recipient"],
        words.get("returned", ""),
        Envelope(reverse_path, ("support@desk.test",), Peer("192.0.2.1", "mx.customer.example")),
        message.encode(words.get("charset", "utf-8")),
    )


def seen(one: Sample, envelope: Envelope) -> tuple[str, Report | None]:
    """What the program sees: the kind, and the report where it is one."""
    facts = read_facts(one.octets)
    kind = classify_automatic(facts, envelope).kind
    if kind is not AutomaticKind.REPORT:
        return str(kind), None
    report = read_report(one.octets, facts, is_named=not envelope.reverse_path)
    return (report.kind if report else "report"), report


def told(report: Report | None) -> list[str]:
    return [
        f"{one.address} {one.action} {one.severity or '-'} "
        f"{('bad' if one.is_address_bad else 'good') if one.severity else '-'}"
        for one in (report.recipients if report else ())
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_report_is_read_as_a_person_reads_it(path: Path) -> None:
    one = sample(path)
    kind, report = seen(one, one.envelope)

    assert kind == one.kind
    assert told(report) == one.recipients
    if report is not None:
        assert report.is_certain
        assert not one.returned or report.returned_message_id == one.returned


def test_the_set_holds_reports_and_what_is_none() -> None:
    """Each kind is there often enough to say something about it."""
    kinds = Counter(sample(path).kind in REPORTS for path in FILES)

    assert kinds[True] >= 70
    assert kinds[False] >= 18
