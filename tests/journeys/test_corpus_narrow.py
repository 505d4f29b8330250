"""Every mail of the corpus to a server that takes neither 8BITMIME nor SMTPUTF8: all arrive, in ASCII.

What such a server gets decodes to what every other one does; where nothing had to be done it is the same, and judged
so.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys.companies import one_owner
from journeys.letters import open_desk, support_address
from journeys.test_corpus import ALL, MAILS, SENDER, Passage, goes_round, passed_through
from rfc_checker import Circumstances, Finding, check, mended, taken_in
from rfc_fields import field_findings
from rfc_mime import Entity, decode, read_entity
from rfc_text import banner_in_html, banner_in_text, find_texts
from smtp_sink import Received

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MAILS, reason="THE CORPUS IS NOT HERE: no real mail was tried"),
]


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> list[Passage]:
    """All of it; duplicates, and robots of which there were too many, go to a new desk."""
    config = {"addresses": [support_address("support")], "workers": 2}
    found: dict[Path, Passage] = {}
    left = MAILS
    while left:
        with open_desk(tmp_path_factory.mktemp("narrow"), config, [one_owner("acme", "ann@staff.test")]) as desk:
            desk.sink.settings.extensions = ("SIZE 104857600", "ENHANCEDSTATUSCODES")
            found |= {passage.path: passage for passage in passed_through(desk, left)}
        again = [path for path in left if _goes_again(found[path])]
        assert len(again) < len(left), "a desk that had nothing took all for duplicates"
        left = again
    return [found[path] for path in MAILS]


def _goes_again(passage: Passage) -> bool:
    is_held = bool(passage.life) and passage.life["state"] == "held" and passage.direction != "spam"
    return is_held or passage.direction == "duplicate"


def test_every_mail_arrives_in_ascii_and_decodes_to_what_it_was(passages: list[Passage]) -> None:
    taken = [passage for passage in passages if not goes_round(passage.octets) and passage.direction != "spam"]
    arrived = [passage for passage in taken if passage.life["deliveries"]]
    nobodys = [passage.name for passage in taken if not passage.life["deliveries"]]
    findings = {passage.name: found for passage in arrived if (found := list(_findings(passage)))}
    done = Counter(note.partition(":")[0] for passage in arrived for note in passage.notes if note.startswith("hop."))

    print(*(f"{name}: {finding}" for name, found in findings.items() for finding in found), sep="\n")
    print(*(f"{passage.name}: {note}" for passage in arrived for note in passage.notes if "hop.att" in note), sep="\n")
    print(done, f"{len(arrived)} arrived; for nobody to read: {nobodys}")
    assert all(passage.life["state"] == "filed" for passage in taken if not passage.life["deliveries"])
    assert not [passage.name for passage in arrived if len(passage.copies) != len(passage.life["deliveries"])]
    assert not findings
    assert done["hop.seven_bit"] > 10
    assert done["hop.attached"] > 0


def _findings(passage: Passage) -> Iterator[Finding]:
    for copy in passage.copies:
        assert not any("8BITMIME" in parameter for parameter in copy.mail_parameters)
        is_changed = any(note.startswith(("hop.", "header.encoded:content-")) for note in passage.notes)
        how = Circumstances(
            SENDER,
            passage.notes,
            is_list=copy.recipients == (ALL,),
            eight_bit=False,
            banner=passage.direction != "report",
        )
        found = check(passage.octets, copy.octets, how)
        if not is_changed:
            yield from found
            continue
        yield from (one for one in found if one.rule in {"line", "eight_bit", "boundary"})
        yield from _decoded(passage, copy, how)


def _decoded(passage: Passage, copy: Received, how: Circumstances) -> Iterator[Finding]:
    """Parts and fields of a copy that was re-encoded for the server."""
    received = taken_in(passage.octets)
    before = read_entity(mended(received) if how.has_note("line_ends.normalised") else received)
    after = read_entity(copy.octets)
    form = "edited"
    if how.has_note("hop.attached"):
        form = "attached"
        original = decode(after.children[-1])
        if original != received and b"\nbcc:" not in received.lower():
            yield Finding("entity", "original.eml", original)
    elif how.has_note("banner.wrapped"):
        form = "wrapped"
        yield from _same(before, after.children[1], [], "1")
    else:
        yield from _same(before, after, [id(text) for text in find_texts(before)] if how.banner else [], "1")
    for place, octets in field_findings(before, after, form, how):
        if not place.startswith(("content-", "mime-version")):
            yield Finding("header", place, octets)


def _same(before: Entity, after: Entity, texts: list[int], place: str) -> Iterator[Finding]:
    """The same tree, and every part decodes to the same; a text has the banner before it."""
    if (before.kind, len(before.children)) != (after.kind, len(after.children)):
        yield Finding("structure", f"{place} {before.kind}: now {after.kind}")
        return
    if before.children:
        if after.encoding in {"8bit", "binary"}:
            yield Finding("part", f"{place} says {after.encoding}")
        for number, (one, other) in enumerate(zip(before.children, after.children, strict=True), 1):
            yield from _same(one, other, texts, f"{place}.{number}")
    elif before.kind == "message/rfc822" and after.body != before.body:
        yield from _same(read_entity(before.body), read_entity(after.body), [], f"{place}.message")
    elif id(before) not in texts:
        if decode(before) != decode(after):
            yield Finding("part", f"{place} {before.kind} decoded", decode(after))
    else:
        was = decode(before)
        is_html = before.kind == "text/html"
        wrong = banner_in_html(before, after, was) if is_html else banner_in_text(after, was, original=before)
        if wrong is None or wrong:
            yield Finding("text", f"{place}: {wrong or 'no banner'}", decode(after))
