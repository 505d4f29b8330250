"""Header fields with octets over 127, written by senders that know no encoded words: read, and made legal where needed.

Without SMTPUTF8 a header is ASCII (RFC 5322 §2.2, RFC 6531 §3.2). Raw octets have come this far all the same, and a
copy keeps them: any charset we took them for might be the wrong one. Only for a next hop that takes nothing but ASCII,
and in forms of a copy that are ASCII anyway, the words become encoded words (RFC 2047), and what may hold none is set
aside as RFC 6857 has it.
"""

import re

from supportrelay.core.encoded_word import decode_words, encode_words, one_line
from supportrelay.core.headers import HeaderField, fold_field, raw_value, split_headers
from supportrelay.core.splice import Edit, splice

__all__ = ["ascii_field", "charset_hint", "make_header_ascii"]

_CHARSET = re.compile(rb"charset\s{0,5}=\s{0,5}[\"']?([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_LOOK = 64 * 1024

_OF_ADDRESSES = frozenset({"from", "sender", "reply-to", "to", "cc"})
# What is no text and no list of people: an encoded word in it would be read as something else.
_SET_ASIDE = frozenset({"received", "message-id", "in-reply-to", "references", "date"})
# A copy does not have them.
_GONE = frozenset({"return-path", "delivered-to", "bcc", "resent-bcc", "sender"})
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)(?:"|\Z)', re.DOTALL)
_WORDS = re.compile(r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*+\?=(?:\s+=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*+\?=)*+")
_MAILBOX = re.compile(r"<([^<>]*+)>")


def charset_hint(octets: bytes) -> str | None:
    """The first charset that a mail names: whoever wrote raw octets into its header most likely meant the same."""
    found = _CHARSET.search(octets, 0, _LOOK)
    return found[1].decode("ascii").lower() if found else None


def make_header_ascii(octets: bytes, *, is_whole: bool = False) -> tuple[bytes, tuple[str, ...]]:
    """Return the mail with a header in ASCII, and a note for each field; the same object when it is.

    Content-* fields stay: they may be under a signature, and readers know raw file names. So do those that a copy to
    an owner does not have; ``is_whole`` is for mail that is sent on as it came.
    """
    end = octets.find(b"\r\n\r\n")
    if octets.isascii() if end < 0 else octets[:end].isascii():  # nearly all mail
        return octets, ()
    header = split_headers(octets)
    hint = charset_hint(octets)
    foreign = [f for f in header.fields if not f.raw.isascii() and not _is_left(f.name, is_whole=is_whole)]
    if not foreign:
        return octets, ()
    edits = [Edit(f.start, f.start + len(f.raw), ascii_field(f, hint)) for f in foreign]
    return splice(octets, edits), tuple(f"header.encoded:{f.name or '-'}" for f in foreign)


def _is_left(name: str, *, is_whole: bool) -> bool:
    return name.startswith("content-") or (name in _GONE and not is_whole)


def ascii_field(field: HeaderField, hint: str | None) -> bytes:
    """A field with raw octets, in ASCII; not for Content-*, whose parameters take no encoded words."""
    value = _WORDS.sub(_without_raw_words, raw_value(field, hint))
    if not field.name:
        return fold_field("X-Original-Line", value)
    name = field.raw[: field.raw.find(b":")].decode("ascii").strip()
    plain_name = field.name.removeprefix("x-original-").removeprefix("resent-")
    if plain_name in _SET_ASIDE:
        return fold_field(f"Downgraded-{name}", value)
    if plain_name in _OF_ADDRESSES:
        value = _MAILBOX.sub(_as_group, _QUOTED.sub(_as_phrase, value))
    return fold_field(name, value)


def _without_raw_words(words: re.Match[str]) -> str:
    """Encoded words as they are, unless there are raw octets inside of them."""
    return words[0] if words[0].isascii() else decode_words(words[0])


def _as_phrase(quoted: re.Match[str]) -> str:
    """A quoted name outside ASCII: encoded words stand where a quoted string may, never inside of one (§5 rule 3)."""
    if quoted[0].isascii():
        return quoted[0]
    return encode_words(one_line(re.sub(r"\\(.)", r"\1", quoted[1])))


def _as_group(mailbox: re.Match[str]) -> str:
    """An address that cannot be written in ASCII becomes an empty group of that name (RFC 6857 §3.1.8)."""
    return mailbox[0] if mailbox[0].isascii() else encode_words(mailbox[1]) + " :;"
