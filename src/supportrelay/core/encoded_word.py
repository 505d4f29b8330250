"""Encoded words of header fields, both ways (RFC 2047)."""

import binascii
import re
from collections.abc import Iterator

from supportrelay.core.charset import decode_text, encode_text

__all__ = ["decode_words", "encode_words", "one_line"]

# Spaces inside the text and a stray "?" are accepted. Possessive and bounded, so that it stays linear.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+(?:\?(?!=)[^?]*+){0,8}+)\?=")
_BREAKS = str.maketrans(dict.fromkeys(map(ord, "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"), " "))
# Controls, and lone surrogates, which no database takes (RELIABILITY C40).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return ``text`` on one line, without controls and surrogates, trimmed."""
    text = text.strip()
    if text.isprintable():  # no controls, no surrogates, no line breaks; U+3000 and the like take the long way
        return text
    return _UNPRINTABLE.sub("", text.translate(_BREAKS)).strip()


def decode_words(text: str) -> str:
    """Return ``text`` with its encoded words decoded; never raises.

    Octets of adjacent words in one charset are joined before decoding: many senders split characters between words.
    The result may hold anything, line breaks too; `one_line` makes it fit for a header.
    """
    if "=?" not in text:
        return text
    whole = _WORD.fullmatch(text)
    if whole:
        charset = whole[1].partition("*")[0]
        return decode_text(_payload(whole[2], whole[3], charset), charset)
    out: list[str] = []
    end = 0
    charset, octets, pending_base64 = "", bytearray(), ""
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        name, kind, payload = match[1].partition("*")[0].lower(), match[2], match[3]
        is_adjacent = end > 0 and not between.strip()
        if not (is_adjacent and name == charset):
            out.append(decode_text(bytes(octets), charset))
            octets, pending_base64 = bytearray(), ""
            if not is_adjacent:
                out.append(between)
        charset = name
        if kind in "bB":
            # A word whose base64 stops one digit after a whole group goes on in the next word.
            payload = pending_base64 + "".join(payload.split())
            pending_base64 = payload[-1] if len(payload) % 4 == 1 and not payload.endswith("=") else ""
            octets += _base64(payload[:-1] if pending_base64 else payload)
        else:
            octets += _q(payload, charset)
            pending_base64 = ""
        end = match.end()
    out.extend((decode_text(bytes(octets), charset), text[end:]))
    return "".join(out)


def _payload(kind: str, text: str, charset: str) -> bytes:
    return _base64("".join(text.split())) if kind in "bB" else _q(text, charset)


def _base64(payload: str) -> bytes:
    """Decode base64 with missing padding and foreign characters."""
    try:
        return binascii.a2b_base64(payload)
    except ValueError:  # binascii.Error is one, and so is what characters outside ASCII give
        pass
    digits = payload.rstrip("=").encode("ascii", "ignore")
    for missing in (b"=" * (-len(digits) % 4), b"=", b"==", b"A=="):
        try:
            return binascii.a2b_base64(digits + missing)
        except binascii.Error:
            continue
    return b""


def _q(payload: str, charset: str) -> bytes:
    """Decode Q; raw characters in a word, where none belong, have been read already and stand for themselves."""
    raw = None if payload.isascii() else encode_text(payload, charset)
    return binascii.a2b_qp(payload.encode("utf-8", "replace") if raw is None else raw, header=True)


# --- the way back

_MOST_OCTETS = 39  # of UTF-8 a word: 64 characters with =?utf-8?B? and ?=, so that a field name fits in front


def encode_words(text: str) -> str:
    """Return ``text`` as encoded words in UTF-8, separated by single spaces; a character is never split."""
    return " ".join(f"=?utf-8?B?{binascii.b2a_base64(chunk, newline=False).decode()}?=" for chunk in _chunks(text))


def _chunks(text: str) -> Iterator[bytes]:
    chunk = b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > _MOST_OCTETS:
            yield chunk
            chunk = b""
        chunk += octets
    if chunk:
        yield chunk
