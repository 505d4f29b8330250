"""Edits on octets: what an edit does not name stays, and what may be done twice does nothing the second time."""

from hypothesis import given
from hypothesis import strategies as st

from properties.mails import ANY_MAIL, OCTETS, TREES
from properties.profile import SOME
from supportrelay.core.banner import shorten_lines
from supportrelay.core.headers import split_headers
from supportrelay.core.html_place import banner_offset
from supportrelay.core.left_out import leave_out
from supportrelay.core.long_lines import refold
from supportrelay.core.mime import MimeError, decode_transfer, part_octets, read_parts, walk
from supportrelay.core.part_edit import CannotEdit
from supportrelay.core.raw_header import make_header_ascii
from supportrelay.core.seven_bit import narrow
from supportrelay.core.splice import Edit, first_long_line, has_clean_line_ends, normalise_line_ends, splice
from supportrelay.core.transfer import base64_lines, quoted_printable, quoted_printable_offset
from supportrelay.edge.smtp_in.content import ContentReader
from supportrelay.edge.smtp_out.wire import wire_content


@SOME
@given(st.binary(max_size=100), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20), st.binary(max_size=10))))
def test_taking_out_what_was_put_in_gives_the_original(octets: bytes, wanted: list[tuple[int, int, bytes]]) -> None:
    edits: list[Edit] = []
    at = 0
    for place, length, new in sorted(wanted):
        start, end = min(place, len(octets)), min(place + length, len(octets))
        if start > at or not edits:
            edits.append(Edit(start, end, new))
            at = end
    result = splice(octets, reversed(edits))

    back: list[Edit] = []
    shift = 0
    for edit in edits:
        here = edit.start + shift
        back.append(Edit(here, here + len(edit.new), octets[edit.start : edit.end]))
        shift += len(edit.new) - (edit.end - edit.start)
    assert splice(result, back) == octets


@SOME
@given(ANY_MAIL)
def test_line_ends_are_mended_once_and_words_never(octets: bytes) -> None:
    normal = normalise_line_ends(octets)

    assert has_clean_line_ends(normal)
    assert normalise_line_ends(normal) == normal
    words = bytes(o for o in octets.removeprefix(b"\xef\xbb\xbf") if o not in b"\r\n \0")
    assert bytes(o for o in normal.removeprefix(b"\xef\xbb\xbf") if o not in b"\r\n \0") == words


@SOME
@given(ANY_MAIL)
def test_a_header_is_made_ascii_once_and_the_body_stays(octets: bytes) -> None:
    normal = normalise_line_ends(octets)
    written, _ = make_header_ascii(normal)

    body, after = normal[split_headers(normal).end :], written[split_headers(written).end :]
    assert after == body
    again, notes = make_header_ascii(written)
    assert again == written
    assert all(note.startswith("header.encoded:content-") for note in notes)


@SOME
@given(TREES | ANY_MAIL)
def test_long_lines_become_short_and_no_part_says_anything_else(octets: bytes) -> None:
    normal = normalise_line_ends(octets)
    try:
        short, notes = shorten_lines(normal)
    except (MimeError, CannotEdit):
        return
    assert first_long_line(short) < 0
    if not notes:
        assert short == normal
        return
    before = [part for part in walk(read_parts(normal)) if not part.children]
    after = [part for part in walk(read_parts(short)) if not part.children]
    for old, new in zip(before, after, strict=True):
        content, written = part_octets(normal, old), part_octets(short, new)
        assert written in {content, content + b"\r\n"}


@SOME
@given(TREES)
def test_seven_bits_say_the_same(octets: bytes) -> None:
    normal = normalise_line_ends(octets)
    try:
        written, _ = narrow(normal)
    except (MimeError, CannotEdit):
        return
    assert written.isascii()
    before = [part for part in walk(read_parts(normal)) if not part.children]
    after = [part for part in walk(read_parts(written)) if not part.children]
    for old, new in zip(before, after, strict=True):
        if not old.content_type.startswith("message/"):
            assert part_octets(written, new) in {part_octets(normal, old), part_octets(normal, old) + b"\r\n"}


@SOME
@given(TREES)
def test_what_is_left_out_is_named_and_the_rest_is_there(octets: bytes) -> None:
    try:
        lighter, left = leave_out(octets)
    except (MimeError, CannotEdit, ValueError):
        return
    assert left
    assert split_headers(lighter).fields[0].raw == split_headers(octets).fields[0].raw


@SOME
@given(st.binary(max_size=300) | OCTETS)
def test_transfer_encodings_are_undone_to_what_was_encoded(octets: bytes) -> None:
    for encoding, encode in (("base64", base64_lines), ("quoted-printable", quoted_printable)):
        encoded = encode(octets)
        assert decode_transfer(encoded, encoding) == octets
        assert max(map(len, encoded.split(b"\r\n"))) <= 76
        assert encoded.isascii()


@SOME
@given(OCTETS, st.integers(0, 100))
def test_a_place_in_quoted_printable_divides_what_it_says(octets: bytes, place: int) -> None:
    decoded = decode_transfer(octets, "quoted-printable")
    at = quoted_printable_offset(octets, min(place, len(decoded)))
    assert 0 <= at <= max(len(octets), place)


@SOME
@given(OCTETS)
def test_a_banner_stands_outside_of_every_tag(octets: bytes) -> None:
    at = banner_offset(octets)
    assert 0 <= at <= len(octets)
    assert at == 0 or octets[:at].endswith((b">", b"]-->")) or b"\x1b" in octets


@SOME
@given(st.lists(st.sampled_from([b"X-Long: ", b"word ", b"y" * 700, b",", b"\t", b"\r\n ", b"z" * 999]), max_size=12))
def test_a_refolded_field_says_the_same(pieces: list[bytes]) -> None:
    raw = b"X: " + b"".join(pieces) + b"\r\n"
    folded = refold(raw)

    assert folded.endswith(b"\r\n")
    assert max(map(len, folded.split(b"\r\n"))) <= 998
    assert b"".join(folded.split()) == b"".join(raw.split())


@SOME
@given(ANY_MAIL, st.lists(st.integers(1, 40), max_size=10))
def test_what_goes_over_the_wire_comes_in_as_it_was(octets: bytes, cuts: list[int]) -> None:
    """Dots and line ends: our writer and our reader agree, however the octets are cut on the way."""
    normal = normalise_line_ends(octets)
    wire = wire_content(normal)
    reader = ContentReader(len(wire) + 10)
    rest = None
    for cut in [*cuts, len(wire)]:
        piece, wire = wire[:cut], wire[cut:]
        rest = reader.feed(piece)
        if rest is not None:
            break
    assert rest == b""
    assert not wire
    assert reader.octets() in {normal, normal + b"\r\n"}
