"""What reads mail: never raises on any octets, says the same again, and hands on nothing that a store would refuse."""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime

from hypothesis import example, given
from hypothesis import strategies as st

from properties.mails import ANY_MAIL, HEADER_TEXTS, OCTETS, TREES
from properties.profile import SOME
from properties.samples import AT, ENVELOPE
from supportrelay.core.absence import away_until
from supportrelay.core.automatic import classify_automatic
from supportrelay.core.content_key import content_key
from supportrelay.core.date_field import parse_date
from supportrelay.core.duplicate import duplicate_key
from supportrelay.core.headers import fields_named, split_headers
from supportrelay.core.language import message_language
from supportrelay.core.mime import MAX_PARTS, MimeError, decode_transfer, parse_parameters, read_parts, walk
from supportrelay.core.reading import attachment_sizes, read_facts
from supportrelay.core.report import read_report
from supportrelay.core.subject import has_forward_prefix, has_reply_prefix, normalise_subject


def _texts(value: object) -> list[str]:
    """Every text in a value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _texts(one)]
    if isinstance(value, tuple | list):
        return [text for one in value for text in _texts(one)]
    if is_dataclass(value) and not isinstance(value, type):
        return [text for one in fields(value) for text in _texts(getattr(value, one.name))]
    return []


def _assert_storable(value: object) -> None:
    """UTF-8 without NUL: what SQLite, PostgreSQL and JSON take."""
    for text in _texts(value):
        assert "\0" not in text
        json.dumps(text, ensure_ascii=False).encode("utf-8")


@SOME
@given(ANY_MAIL | TREES)
@example(b"")
@example(b"\xef\xbb\xbf")
def test_facts_of_any_octets_are_read_the_same_again_and_can_be_stored(octets: bytes) -> None:
    facts = read_facts(octets)

    assert facts == read_facts(bytes(bytearray(octets)))
    assert facts.size_octets == len(octets)
    _assert_storable(facts)
    assert all(one.startswith("<") and one.endswith(">") for one in (*facts.references, *facts.in_reply_to))
    assert facts.date is None or facts.date.tzinfo is not None
    assert all(size >= 0 for _, size in attachment_sizes(octets))
    assert content_key(octets) == content_key(octets)


@SOME
@given(ANY_MAIL | TREES)
def test_what_judges_facts_takes_any_of_them(octets: bytes) -> None:
    facts = read_facts(octets)

    _assert_storable(classify_automatic(facts, ENVELOPE))
    assert message_language(facts).isascii()
    assert len(duplicate_key(facts)) == 64
    normalise_subject(facts.subject, ("[EXTERNAL]",))


_NAMES = """
Final-Recipient Original-Recipient Action Status Diagnostic-Code Disposition Feedback-Type Original-Rcpt-To
Reporting-MTA Original-Message-ID X
"""
_GROUP = st.lists(
    st.tuples(
        st.sampled_from(_NAMES.split()).map(str.encode),
        st.sampled_from(
            [
                b"rfc822; a@b.test",
                b"utf-8; \\x{3042}@b.test",
                b"failed",
                b"delayed",
                b"5.1.1",
                b"4.2.2 (full)",
                b"smtp; 550 no",
            ]
        )
        | OCTETS,
    ).map(lambda pair: pair[0] + b": " + pair[1] + b"\r\n"),
    max_size=6,
).map(lambda lines: b"".join(lines) + b"\r\n")
_KINDS = [b"message/delivery-status", b"message/disposition-notification", b"message/feedback-report", b"text/plain"]
_RETURNED = [b"message/rfc822", b"text/rfc822-headers", b"application/x"]


@st.composite
def _reports(draw: st.DrawFn) -> bytes:
    declared = draw(st.sampled_from([b"delivery-status", b"disposition-notification", b"feedback-report", b"x", b""]))
    top = draw(st.sampled_from([b"multipart/report", b"multipart/mixed"]))
    status = b"".join(draw(st.lists(_GROUP, max_size=5)))
    returned = draw(ANY_MAIL)
    return (
        b"From: MAILER-DAEMON@mx.test\r\nTo: support+b-x@desk.test\r\nSubject: Undelivered\r\n"
        b"Content-Type: %s; report-type=%s; boundary=r\r\n\r\n--r\r\n\r\n%s\r\n--r\r\nContent-Type: %s\r\n\r\n%s\r\n"
        b"--r\r\nContent-Type: %s\r\n\r\n%s\r\n--r--\r\n"
    ) % (top, declared, draw(OCTETS), draw(st.sampled_from(_KINDS)), status, draw(st.sampled_from(_RETURNED)), returned)


@SOME
@given(_reports() | ANY_MAIL)
def test_any_report_is_read_or_is_none(octets: bytes) -> None:
    report = read_report(octets, read_facts(octets))

    assert report == read_report(octets, read_facts(octets))
    if report is None:
        return
    _assert_storable(report)
    for recipient in report.recipients:
        assert not recipient.address or "@" in recipient.address
        assert len(recipient.diagnostic) <= 500
        assert "\n" not in recipient.diagnostic


@SOME
@given(ANY_MAIL | TREES)
def test_the_tree_lies_in_the_octets_part_beside_part(octets: bytes) -> None:
    try:
        root = read_parts(octets)
    except MimeError:
        return
    parts = list(walk(root))
    assert len(parts) <= MAX_PARTS
    assert (root.start, root.end) == (0, len(octets))
    for part in parts:
        assert part.start <= part.body_start
        assert part.start <= part.end or not part.children
        assert octets.startswith(b"".join(field.raw for field in part.header.fields), part.start)
        at = part.body_start
        for child in part.children:
            assert at < child.start
            at = max(child.end, child.body_start)
        assert at <= max(part.end, part.body_start)


@SOME
@given(OCTETS | ANY_MAIL, st.integers(0, 40))
def test_a_header_is_its_fields_and_a_blank_line(octets: bytes, start: int) -> None:
    block = split_headers(octets, min(start, len(octets)))
    position = min(start, len(octets))
    for field in block.fields:
        assert field.start == position
        assert octets.startswith(field.raw, position)
        position += len(field.raw)
    assert octets[position : block.end] in {b"", b"\n", b"\r\n"}
    assert fields_named(octets, block, frozenset({"to", "x"})) == [f for f in block.fields if f.name in {"to", "x"}]


@SOME
@given(HEADER_TEXTS)
def test_single_values_of_any_text_never_raise(text: str) -> None:
    value, parameters = parse_parameters(text)
    assert value == value.lower()
    assert all(name == name.lower() for name in parameters)
    found = parse_date(text)
    assert found is None or found.tzinfo is not None
    assert AT < away_until(text, AT) <= datetime.max.replace(tzinfo=AT.tzinfo)
    assert normalise_subject(normalise_subject(text)) == normalise_subject(text)
    assert has_reply_prefix(text) in {True, False}
    assert has_forward_prefix(text) in {True, False}


@SOME
@given(OCTETS, st.sampled_from(["base64", "quoted-printable", "x-uuencode", "7bit", "nonsense"]))
def test_any_transfer_encoding_is_undone_without_growing(octets: bytes, encoding: str) -> None:
    assert len(decode_transfer(octets, encoding)) <= len(octets)
