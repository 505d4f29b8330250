"""The copy, whatever the mail: sound, the same every time, and with every octet in it that is not ours to change."""

from dataclasses import replace

from hypothesis import assume, example, given
from hypothesis import strategies as st

from properties.mails import ANY_MAIL, FIELDS, TREES
from properties.profile import SOME
from properties.samples import ADDRESS, BANNER, CONTEXT, PLAIN_BANNER, PLAN, copy_of
from supportrelay.core.banner import Banner, put_banner
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.headers import split_headers
from supportrelay.core.mime import MimeError, Part, part_text, read_parts, walk
from supportrelay.core.rewrite import as_is_copy, compose_copy
from supportrelay.core.splice import first_long_line, normalise_line_ends

# What a copy may do to a field of a received header, by name: anything.
_NAMES = """
from reply-to sender to cc bcc resent-bcc return-path delivered-to message-id references dkim-signature
domainkey-signature authentication-results disposition-notification-to return-receipt-to list-unsubscribe
list-unsubscribe-post x-auto-response-suppress mime-version
"""
_OURS = frozenset(_NAMES.split())
_BANNERS = st.sampled_from([BANNER, PLAIN_BANNER])


def _assert_sound(octets: bytes) -> None:
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert first_long_line(octets) < 0
    header = split_headers(octets)
    assert header.is_closed
    assert all(field.name for field in header.fields)


@SOME
@given(ANY_MAIL, st.sampled_from(list(DeliveryKind)), _BANNERS)
@example(b"", DeliveryKind.OWNER, BANNER)
@example(b"\r\n", DeliveryKind.OWNER, BANNER)
@example(b"\0", DeliveryKind.OWNER, BANNER)
def test_any_octets_make_a_sound_copy_and_the_same_one_again(octets: bytes, kind: DeliveryKind, banner: Banner) -> None:
    copy = copy_of(octets, banner, kind)

    _assert_sound(copy.octets)
    assert not any(note.endswith(("Error", "Exception")) for note in copy.notes)
    assert copy == copy_of(bytes(bytearray(octets)), banner, kind)
    names = [field.name for field in split_headers(copy.octets).fields]
    assert names.count("from") == 1
    assert not {"bcc", "resent-bcc"} & set(names)


@SOME
@given(ANY_MAIL)
def test_a_copy_as_it_is_holds_everything_but_blind_recipients(octets: bytes) -> None:
    copy = as_is_copy(octets, context=CONTEXT)
    normal = normalise_line_ends(octets)
    header = split_headers(normal)
    kept = b"".join(f.raw for f in header.fields if f.name not in {"bcc", "resent-bcc"})

    trace = copy.octets[: copy.octets.find(b"X-Supportrelay-Trail")].count(b"\n") + 1
    body = b"\r\n".join(copy.octets.split(b"\r\n")[trace:])
    assert body == kept + normal[sum(len(f.raw) for f in header.fields) :]


def _leaves(octets: bytes) -> list[Part]:
    return [part for part in walk(read_parts(octets)) if not part.children]


def _raw(octets: bytes, part: Part) -> bytes:
    return octets[part.body_start : part.end]


@SOME
@given(TREES, _BANNERS)
def test_every_part_of_a_sound_mail_is_in_its_copy_octet_for_octet_or_with_the_banner_before_its_text(
    octets: bytes, banner: Banner
) -> None:
    assume(first_long_line(octets) < 0)
    copy = copy_of(octets, banner)
    before, after = _leaves(octets), _leaves(copy.octets)

    assert not any(note.startswith("unparsed") for note in copy.notes)
    if any(note.startswith("banner.wrapped") for note in copy.notes):
        notice, *after = after
        assert "SR-12" in part_text(copy.octets, notice)
    assert len(before) == len(after)
    edited = 0
    for old, new in zip(before, after, strict=True):
        if _raw(octets, old) == _raw(copy.octets, new):
            assert [f.raw for f in old.header.fields if old.start] == [f.raw for f in new.header.fields if old.start]
            continue
        edited += 1
        assert old.content_type == new.content_type
        assert old.content_type in {"text/plain", "text/html"}
        _assert_text_kept(octets, old, copy.octets, new)
    assert edited <= 2 or "multipart/alternative" in {p.content_type for p in walk(read_parts(octets))}


def _assert_text_kept(octets: bytes, old: Part, written: bytes, new: Part) -> None:
    """Take the banner out and the text is the original, character for character."""
    text, original = part_text(written, new), part_text(octets, old)
    notice = text[: len(text) - len(original)] if old.content_type == "text/plain" else None
    if notice is not None:
        assert text.endswith(original)
        assert "SR-12" in notice
        return
    start = text.index("<div>")
    end = text.index("</div>", start) + len("</div>\r\n")
    assert "SR-12" in text[start:end]
    assert text[:start] + text[end:] == original


@SOME
@given(TREES, _BANNERS)
def test_what_a_banner_edit_adds_can_be_taken_out_again(octets: bytes, banner: Banner) -> None:
    """The tree stays, and every octet outside of the edited texts and of the header."""
    result, how, _ = put_banner(octets, banner)
    assume(first_long_line(octets) < 0)
    if how == "none":
        assert result == octets
    elif how == "wrapped":
        root = read_parts(result)
        entity = root.children[1]
        old = read_parts(octets)
        content = b"".join(f.raw for f in old.header.fields if f.name.startswith("content-"))
        assert result[entity.start : entity.body_start] == content + b"\r\n"
        assert result[entity.body_start : entity.end] == octets[old.body_start :]
    else:
        assert how == "edited"
        old_tree = [(p.content_type, p.boundary) for p in walk(read_parts(octets))]
        assert old_tree == [(p.content_type, p.boundary) for p in walk(read_parts(result))]


@SOME
@given(FIELDS)
def test_fields_that_are_not_ours_stay_in_order_octet_for_octet(fields: bytes) -> None:
    octets = normalise_line_ends(fields + b"From: a@b.test\r\n\r\nHello.\r\n")
    header = split_headers(octets)
    try:
        read_parts(octets)
    except MimeError:
        assume(False)
    assume(octets[: header.end].isascii())
    assume(first_long_line(octets, 0) < 0 and all(len(f.raw) < 900 for f in header.fields))
    assume(all(f.name for f in header.fields))
    assume(b"\0" not in octets)
    copy = compose_copy(
        octets,
        plan=replace(PLAN, banner="none"),
        address=ADDRESS,
        kind=DeliveryKind.OWNER,
        context=CONTEXT,
        banner=None,
    )

    kept = [f.raw for f in header.fields if not _may_change(f.name)]
    written = [f.raw for f in split_headers(copy.octets).fields]
    position = 0
    for raw in kept:
        assert raw in written[position:]
        position = written.index(raw, position) + 1
    assert copy.octets.endswith(octets[header.end :])


def _may_change(name: str) -> bool:
    return name in _OURS or name.startswith(("arc-", "x-supportrelay-"))
