"""DKIM-Signature fields (RFC 6376): what is signed, in which form, and how the field is written.

Always ``c=relaxed/relaxed``, SHA-256, the whole body (no ``l=``: what is appended behind it would look signed,
RELIABILITY C52). ``t=`` is given, so that the same copy signed again has the same octets.
"""

import base64
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from supportrelay.core.dkim_body import body_hash, single_spaces
from supportrelay.core.headers import HeaderBlock, HeaderField, fields_named
from supportrelay.core.value import value_class

__all__ = ["SealKey", "signature_fields", "still_holds"]


@value_class
class SealKey:
    """A key that signs for one domain.

    Attributes:
        domain: d=, a lower-case A-label.
        selector: s=.
        algorithm: a=: ``rsa-sha256`` or ``ed25519-sha256`` (RFC 8463).
        sign: The signature of these octets, which are hashed by it.
        verify: Whether a signature is one of these octets by this key.
    """

    domain: str
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], bool]


# Nobody on the way has a reason to add one of these, so they are named once more than there are, also when there are
# none: a second From, or a Reply-To where there was none, breaks the signature (RFC 6376 §8.15).
_CLOSED = ("from", "reply-to", "subject", "cc")
# Servers on the way add these when they are missing; a second one is nobody's business.
_CLOSED_WHEN_THERE = (
    *("to", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding"),
)
# Signed as they are. Received, Return-Path, our own X- fields and what lists add are changed on the way: left out.
_OPEN = (
    *("sender", "content-disposition", "content-id", "content-description", "content-language"),
    *("list-unsubscribe", "list-unsubscribe-post"),  # RFC 8058 §4
)
_SIGNED = frozenset((*_CLOSED, *_CLOSED_WHEN_THERE, *_OPEN))
_LINE = 76


def signature_fields(octets: bytes, header: HeaderBlock, keys: Sequence[SealKey], at: datetime) -> bytes:
    """Return a DKIM-Signature field for each key, to be put in front of these octets; b"" without keys.

    Args:
        octets: A whole message with CRLF line ends and one From.
        header: Its header (`split_headers`).
        at: For ``t=``; aware.
    """
    if not keys:
        return b""
    listed, signed = _signed_header(fields_named(octets, header, _SIGNED))
    body = base64.b64encode(body_hash(octets, header.end, is_relaxed=True)[0]).decode("ascii")
    return b"".join(_field(key, listed, signed, body, int(at.timestamp())) for key in keys)


def still_holds(octets: bytes, header: HeaderBlock, key: SealKey) -> bool:
    """A signature that this key made earlier stands on the message and still holds; those of others are not looked at.

    So a mail that comes through us twice is signed once.
    """
    for field in fields_named(octets, header, frozenset({"dkim-signature"})):
        tags = _tags(field)
        ours = (tags.get("d"), tags.get("s"), tags.get("a")) == (key.domain, key.selector, key.algorithm)
        if ours and tags.get("c") == "relaxed/relaxed" and "l" not in tags:
            return _verified(octets, header, field, tags, key)
    return False


def _verified(octets: bytes, header: HeaderBlock, field: HeaderField, tags: dict[str, str], key: SealKey) -> bool:
    if tags.get("bh") != base64.b64encode(body_hash(octets, header.end, is_relaxed=True)[0]).decode("ascii"):
        return False
    names = tags.get("h", "").lower().split(":")
    if not set(names) <= _SIGNED:  # not written by us, whoever it says it is
        return False
    signed = _chosen(fields_named(octets, header, frozenset(names)), names)
    bare = re.sub(rb"(;\s*b\s*=)[^;]*", rb"\1", field.raw, count=1)
    try:
        signature = base64.b64decode(tags.get("b", ""), validate=True)
    except ValueError:
        return False
    return "from" in names and key.verify(signed + _relaxed("dkim-signature", bare), signature)


def _tags(field: HeaderField) -> dict[str, str]:
    """The tags with white space taken out of their values; d, s and h are as good without."""
    value = field.raw[field.raw.find(b":") + 1 :].decode("ascii", "replace")
    parts = (part.partition("=") for part in value.split(";"))
    return {name.strip(): "".join(text.split()) for name, _, text in parts}


# --- header


def _signed_header(fields: Sequence[HeaderField]) -> tuple[tuple[str, ...], bytes]:
    """Names for h=, and the fields in the form that is hashed."""
    there: dict[str, int] = {}
    for field in fields:
        there[field.name] = there.get(field.name, 0) + 1
    listed: list[str] = []
    for name in _CLOSED:
        listed += [name] * (there.get(name, 0) + 1)
    for name in _CLOSED_WHEN_THERE:
        listed += [name] * (there[name] + 1) if name in there else []
    for name in _OPEN:
        listed += [name] * there.get(name, 0)
    return tuple(listed), _chosen(fields, listed)


def _chosen(fields: Sequence[HeaderField], names: Sequence[str]) -> bytes:
    """What those names stand for: of several fields of a name the last comes first (RFC 6376 §5.4.2)."""
    left: dict[str, list[HeaderField]] = {}
    for field in fields:
        left.setdefault(field.name, []).append(field)
    chosen = [left[name].pop() for name in names if left.get(name)]
    return b"".join([_relaxed(field.name, field.raw) + b"\r\n" for field in chosen])


def _relaxed(name: str, raw: bytes) -> bytes:
    """A field in relaxed form (RFC 6376 §3.4.2), without its line end."""
    value = raw[raw.find(b":") + 1 :].replace(b"\r\n", b"")
    return name.encode("ascii") + b":" + single_spaces(value).strip(b" ")


# --- the field


def _field(key: SealKey, listed: tuple[str, ...], signed: bytes, body: str, at: int) -> bytes:
    bare = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; t={at};\r\n"
        f"\td={key.domain}; s={key.selector};\r\n\t{_folded_names(listed)};\r\n\tbh={body};\r\n\tb="
    ).encode("ascii")
    signature = base64.b64encode(key.sign(signed + _relaxed("dkim-signature", bare))).decode("ascii")
    lines = [signature[at : at + _LINE - 4] for at in range(0, len(signature), _LINE - 4)]
    return bare + "\r\n\t".join(lines).encode("ascii") + b"\r\n"


@lru_cache(maxsize=256)  # nearly all mails have the same fields
def _folded_names(listed: tuple[str, ...]) -> str:
    lines, line = [], "h="
    for number, name in enumerate(listed):
        word = name if number == len(listed) - 1 else name + ":"
        if len(line) + len(word) > _LINE:
            lines.append(line)
            line = ""
        line += word
    return "\r\n\t".join([*lines, line])
