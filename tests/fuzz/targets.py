"""What is fuzzed: each target takes any octets, and raises when something is wrong that no octets may bring about."""

from collections.abc import Callable

from properties.samples import AT, BANNER, CONTEXT, ENVELOPE, PLAIN_BANNER, copy_of
from supportrelay.core.absence import away_until
from supportrelay.core.automatic import classify_automatic
from supportrelay.core.banner import put_banner
from supportrelay.core.banner_cut import cut_notices
from supportrelay.core.charset import decode_text, encode_text
from supportrelay.core.date_field import parse_date
from supportrelay.core.encoded_word import decode_words, encode_words, one_line
from supportrelay.core.errors import AddressError
from supportrelay.core.headers import field_value, fold_field, split_headers
from supportrelay.core.html_text import html_to_text
from supportrelay.core.language import message_language
from supportrelay.core.mailbox import parse_mailboxes, parse_path, print_path
from supportrelay.core.mime import MimeError, parse_parameters, read_parts, walk
from supportrelay.core.part_edit import CannotEdit
from supportrelay.core.quoted import forwarded_author, own_words, split_html_quote
from supportrelay.core.raw_header import make_header_ascii
from supportrelay.core.reading import attachment_sizes, read_facts
from supportrelay.core.report import read_report
from supportrelay.core.rewrite import as_is_copy
from supportrelay.core.seven_bit import narrow
from supportrelay.core.splice import first_long_line, has_clean_line_ends, normalise_line_ends, splice
from supportrelay.core.stored_view import stored_view, text_view

__all__ = ["TARGETS"]

_LABELS = [
    None,
    "utf-8",
    "iso-2022-jp",
    "shift_jis",
    "euc-jp",
    "gb18030",
    "big5",
    "euc-kr",
    "utf-7",
    "utf-16",
    "koi8-r",
]
_NOT_COPIED = frozenset({"return-path", "delivered-to", "bcc", "resent-bcc", "sender"})


def addresses(octets: bytes) -> None:
    """Lists and single paths."""
    text = octets.decode("utf-8", "surrogateescape")
    for mailbox in parse_mailboxes(text):
        assert parse_path(print_path(mailbox)).key == mailbox.key
        assert one_line(mailbox.name) == mailbox.name
    try:
        path = parse_path(text)
    except AddressError:
        return
    assert parse_path(print_path(path)) == path


def words(octets: bytes) -> None:
    """Encoded words, charsets, dates and parameters."""
    text = octets.decode("utf-8", "surrogateescape")
    one_line(decode_words(text)).encode("utf-8")
    parse_parameters(text)
    parse_date(text)
    written = fold_field("X", text)
    assert written.isascii()
    assert first_long_line(written) < 0
    assert len(split_headers(written + b"\r\n").fields) == 1
    clean = one_line(octets.decode("utf-8", "replace")).replace("\ufeff", "")
    assert decode_words(encode_words(clean)) == clean
    label = _LABELS[octets[0] % len(_LABELS)] if octets else None
    decoded = decode_text(octets[1:], label)
    decoded.encode("utf-8")
    encode_text(decoded, label)


def header(octets: bytes) -> None:
    """The header made ASCII; the body stays."""
    normal = normalise_line_ends(octets)
    assert has_clean_line_ends(normal)
    assert normalise_line_ends(normal) == normal
    written, _ = make_header_ascii(normal)
    block = split_headers(written)
    assert written[block.end :] == normal[split_headers(normal).end :]
    assert all(f.raw.isascii() for f in block.fields if not (f.name.startswith("content-") or f.name in _NOT_COPIED))
    for field in block.fields:
        assert one_line(field_value(field)) == field_value(field)


def facts(octets: bytes) -> None:
    """Everything that is read of a mail, and what is made of it."""
    found = read_facts(octets)
    for values in found.fields.values():
        "".join(values).encode("utf-8")
    assert "\0" not in found.body_text
    found.body_text.encode("utf-8")
    classify_automatic(found, ENVELOPE)
    message_language(found)
    away_until(f"{found.subject}\n{found.body_text}", AT)
    attachment_sizes(octets)
    report(octets)


def report(octets: bytes) -> None:
    """Reports, structured and in words."""
    found = read_report(octets, read_facts(octets))
    for recipient in found.recipients if found else ():
        assert not recipient.address or "@" in recipient.address
        recipient.diagnostic.encode("utf-8")


def copy(octets: bytes) -> None:
    """The copy: sound, and never for want of a bug."""
    for banner in (BANNER, PLAIN_BANNER, None):
        written = copy_of(octets, banner)
        assert has_clean_line_ends(written.octets)
        assert first_long_line(written.octets) < 0
        assert not any(note.endswith(("Error", "Exception")) for note in written.notes), written.notes
        block = split_headers(written.octets)
        assert block.is_closed
        assert all(field.name for field in block.fields)
        assert [f.name for f in block.fields].count("from") == 1
        assert not any(f.name in {"bcc", "resent-bcc"} for f in block.fields)
    as_is_copy(octets, context=CONTEXT)
    try:
        short, _ = narrow(written.octets)
    except (MimeError, CannotEdit):
        return
    assert short.isascii()


def banner(octets: bytes) -> None:
    """A banner put in keeps the tree."""
    normal = normalise_line_ends(octets)
    result, how, _ = put_banner(normal, BANNER)
    assert has_clean_line_ends(result)
    if first_long_line(normal) >= 0 or b"\0" in normal:
        return
    if how == "none":
        assert result == normal
    if how == "edited":
        before, after = list(walk(read_parts(normal))), list(walk(read_parts(result)))
        assert [(p.content_type, p.boundary) for p in before] == [(p.content_type, p.boundary) for p in after]
        changed = [
            (old, new)
            for old, new in zip(before, after, strict=True)
            if not old.children and normal[old.body_start : old.end] != result[new.body_start : new.end]
        ]
        assert all(old.content_type in {"text/plain", "text/html"} for old, _ in changed)


def quotes(octets: bytes) -> None:
    """Quotes and banners cut out."""
    text = octets.decode("utf-8", "replace")
    own_words(text)
    text_view(text)
    assert "".join(split_html_quote(text)) == text
    html_to_text(text)
    forwarded_author(text, is_forward_subject=True)
    stored_view(octets)
    normal = normalise_line_ends(octets)
    cut = cut_notices(normal, ("relay@desk.test",))
    splice(normal, cut.edits)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "addresses": addresses,
    "words": words,
    "header": header,
    "facts": facts,
    "report": report,
    "copy": copy,
    "banner": banner,
    "quotes": quotes,
}
