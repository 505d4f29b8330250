"""How values stand in the database: times, clean text, JSON, envelopes."""

import json
import json.encoder
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import comparing_form

__all__ = [
    "DAMAGED_ROW",
    "address_key",
    "clean_text",
    "from_microseconds",
    "pack_json",
    "pack_paths",
    "pack_peer",
    "rfc3339",
    "shown_json",
    "to_microseconds",
    "unpack_envelope",
    "unpack_json",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def to_microseconds(at: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant.

    Raises:
        TypeError: A naive datetime, which is a bug.
    """
    gap = at - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def from_microseconds(at: int) -> datetime:
    """The inverse of `to_microseconds`: aware, UTC."""
    return _EPOCH + timedelta(microseconds=at)


def rfc3339(at: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as every ``--json`` answer writes times; None stays None."""
    if at is None:
        return None
    return from_microseconds(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean_text(text: str) -> str:
    """Text that every database takes: NUL and lone surrogates become U+FFFD (RELIABILITY C40)."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def _other(value: object) -> Any:
    if isinstance(value, datetime):
        return rfc3339(to_microseconds(value))
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be kept as JSON")


def _encoder() -> Callable[[object], str]:
    """An encoder that is made once; json's own builds a new one at every call, which costs more than small texts do."""
    plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_other)
    make, quote = getattr(json.encoder, "c_make_encoder", None), getattr(json.encoder, "c_encode_basestring", None)
    if make is None or quote is None:  # not CPython
        return plain.encode
    pieces = make(None, _other, quote, None, ":", ",", False, False, True)
    return lambda value: "".join(pieces(value, 0))


_encode = _encoder()


def pack_json(value: object) -> str:
    """Compact JSON text without NUL and lone surrogates, inside its strings too (PostgreSQL refuses them)."""
    text = _encode(value)
    if "\\u0000" in text:
        text = _encode(_without_nul(json.loads(text)))
    return text if text.isascii() else _UNSTORABLE.sub(_REPLACEMENT, text)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT)
    if isinstance(value, list):
        return [_without_nul(v) for v in value]
    if isinstance(value, dict):
        return {_without_nul(k): _without_nul(v) for k, v in value.items()}
    return value


DAMAGED_ROW = (ValueError, KeyError, TypeError, AttributeError)
"""What reading a row back raises when somebody, or the disk, has changed it."""


def unpack_json(text: str | None) -> Any:
    """The inverse of `pack_json`; None stays None."""
    return None if text is None else json.loads(text)


def shown_json(text: str | None, instead: Any) -> Any:
    """As `unpack_json`, for people who look at rows that may be damaged."""
    try:
        return unpack_json(text)
    except DAMAGED_ROW:
        return instead


_PEER = tuple(one.name for one in fields(Peer))


@lru_cache(maxsize=1024)
def pack_peer(peer: Peer) -> str:
    """A session as JSON; one session brings many messages, so the text is remembered."""
    return pack_json({name: getattr(peer, name) for name in _PEER})


@lru_cache(maxsize=1024)
def pack_paths(forward_paths: tuple[str, ...]) -> str:
    """Forward-paths as a JSON list."""
    return pack_json(forward_paths)


def unpack_envelope(reverse_path: str, forward_paths: str, peer: str, is_smtputf8: int) -> Envelope:
    """The envelope as it was accepted."""
    session = json.loads(peer)
    session["role"] = Role(session["role"])
    return Envelope(reverse_path, tuple(json.loads(forward_paths)), Peer(**session), bool(is_smtputf8))


@lru_cache(maxsize=8192)
def address_key(printed: str) -> str:
    """Comparing form of an address somebody configured or typed; what is no address is compared in lower case."""
    try:
        return clean_text(comparing_form(printed.strip()))
    except AddressError:
        return clean_text(printed.strip().lower())
