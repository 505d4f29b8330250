"""The header of a copy beside that of the original: what DESIGN 3 adds, removes and renames, and nothing else."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Protocol

from rfc_mime import Entity, Field, read_words, walk
from rfc_text import readings

__all__ = ["field_findings"]


class _How(Protocol):
    @property
    def sender(self) -> str: ...
    @property
    def is_list(self) -> bool: ...
    def has_note(self, beginning: str) -> bool: ...


_REMOVED = {
    "return-path",
    "delivered-to",
    "bcc",
    "resent-bcc",
    "sender",
    "disposition-notification-to",
    "return-receipt-to",
}
_RENAMED = {
    "from",
    "reply-to",
    "dkim-signature",
    "domainkey-signature",
    "authentication-results",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "x-supportrelay-trail",
}
_RENAMED_FOR_LISTS = {"auto-submitted", "precedence", "mailing-list"}
_SUPPRESS = "x-auto-response-suppress"
_ADDED = {"from", "reply-to", _SUPPRESS}
_LONGEST = 998


def field_findings(before: Entity, after: Entity, form: str, how: _How) -> Iterator[tuple[str, bytes]]:
    """``(place, octets)`` of every field that is not where and what DESIGN 3 says."""
    wanted = [raw for field in before.fields if (raw := _expected(field, how)) is not None]
    kept = [field for field in after.fields if not _is_ours(field)]
    labels = [part.charset for part in walk(before)]
    wanted = [_encoded(field, kept, labels, how) for field in wanted]
    described = {"content-type", "content-transfer-encoding", "mime-version"}
    if form in {"wrapped", "attached"}:
        described |= {field.name for field in before.fields if field.name.startswith("content-")}
    yield from _in_order(
        [field for field in wanted if field.name not in described],
        [field for field in kept if field.name not in described],
        how,
    )
    if form == "edited":
        yield from _described(before, after, how)
    yield from _ours(before, after, how)


def _expected(field: Field, how: _How) -> Field | None:
    """The field as the copy should have it, None for one that must be gone."""
    name = field.name
    if not name:
        if field.raw.startswith((b"From ", b">From ")) or not field.raw.strip():
            return None
        return Field("x-original-line", b"X-Original-Line: " + field.raw)
    if name in _RENAMED or name.startswith("arc-"):
        return _renamed(field)
    if how.is_list and (name in _RENAMED_FOR_LISTS or name == _SUPPRESS or name.startswith(("list-", "x-google-"))):
        return _renamed(field)
    if name == _SUPPRESS:
        words = {word.lower() for word in re.findall(rb"[A-Za-z]+", field.value)}
        return field if b"all" in words or {b"oof", b"autoreply"} <= words else _renamed(field)
    return None if name in _REMOVED or name.startswith("x-supportrelay-") else field


def _renamed(field: Field) -> Field:
    return Field("x-original-" + field.name, b"X-Original-" + re.sub(rb"^([!-9;-~]+)[ \t]+:", rb"\1:", field.raw))


def _is_ours(field: Field) -> bool:
    """A field that the copy may have got from us; judged in `_ours`."""
    return field.name.startswith("x-supportrelay-") or field.name in {"from", "reply-to"}


def _encoded(field: Field, kept: list[Field], labels: list[str], how: _How) -> Field:
    """Raw octets that became encoded words, as the trace says: the copy's field when it reads as the original's."""
    name = field.name.removeprefix("x-original-")
    notes = (f"header.encoded:{name}", f"header.encoded:{field.name}", "header.encoded:-")
    if field.raw.isascii() or not any(how.has_note(note) for note in notes):
        return field
    texts = {_bare(read_words(text)) for label in labels for text in readings(field.value, label)}
    texts.add(_bare(read_words(field.value.decode("utf-8", "replace"))))  # octets that were cut off
    for other in kept:
        if (
            other.name in {field.name, f"downgraded-{field.name}"}
            and _bare(read_words(other.value.decode("latin-1"))) in texts
        ):
            return other
    return field


def _bare(text: str) -> str:
    """Without white space and what quotes; an address that is no address any more stands in no brackets."""
    return re.sub(r'[\s"\\<>]|:;', "", text)


def _in_order(wanted: list[Field], kept: list[Field], how: _How) -> Iterator[tuple[str, bytes]]:
    """The first Received and a mark for robots are ours; everything else is the original's, in its order."""
    if kept and kept[0].name == "received":
        kept = kept[1:]
    else:
        yield "no Received of ours on top", kept[0].raw if kept else b""
    ours = [field for field in kept[:1] if field.name == _SUPPRESS]
    one = [_folding(field, how) for field in wanted]
    other = [_folding(field, how) for field in kept]
    for tag, i, j, k, m in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        lost = [field for field in wanted[i:j] if field.raw.strip()]
        new = [field for field in kept[k:m] if field not in ours and not _is_named(field, wanted, how)]
        if lost:
            yield "lost or changed", b"".join(field.raw for field in lost)[:300]
        if new:
            yield "not of the original", b"".join(field.raw for field in new)[:300]


def _is_named(field: Field, wanted: list[Field], how: _How) -> bool:
    """A Message-ID for a mail that has none, as the trace says."""
    had = any(one.name == field.name for one in wanted)
    return field.name == "message-id" and not had and how.has_note("message_id.missing")


def _folding(field: Field, how: _How) -> bytes:
    """The octets; where the trace says that a field was folded anew, its octets without white space."""
    is_long = any(len(line) > _LONGEST - 12 for line in field.raw.split(b"\r\n"))
    was_folded = is_long or how.has_note(f"header.refolded:{field.name.removeprefix('x-original-')}")
    raw = b"".join(field.raw.split()) if was_folded else field.raw
    return raw.rstrip(b"\r\n")


def _described(before: Entity, after: Entity, how: _How) -> Iterator[tuple[str, bytes]]:
    """Content-Type, its encoding and MIME-Version of a mail whose text was edited: as before, unless noted."""
    may_change = any(how.has_note(note) for note in ("part.re_encoded", "part.to_utf8", "part.long_line"))
    for name in ("content-type", "content-transfer-encoding", "mime-version"):
        was = [field.raw.strip() for field in before.fields if field.name == name]
        now = [field.raw.strip() for field in after.fields if field.name == name]
        if was != now and not (may_change and not before.children):
            yield f"{name} changed", b"".join(now)


def _ours(before: Entity, after: Entity, how: _How) -> Iterator[tuple[str, bytes]]:
    """What we add is there once, and is ours."""
    senders = [field for field in after.fields if field.name == "from"]
    if len(senders) != 1 or how.sender.encode() not in senders[0].value:
        yield "not one From with our sender", b"".join(field.raw for field in senders)
    for name in ("reply-to", "sender", "x-supportrelay-id", "x-supportrelay-reason", "x-supportrelay-trail"):
        found = [field for field in after.fields if field.name == name]
        if len(found) > (0 if name == "sender" else 1):
            yield f"several {name}", b"".join(field.raw for field in found)
    if after.first("x-supportrelay-id") is None:
        yield "no X-Supportrelay-Id", b""
    had = {field.name for field in before.fields}
    for name in ("date", "message-id", "to", "cc", "subject"):
        is_named = name == "message-id" and how.has_note("message_id.missing")
        if name not in had and after.first(name) is not None and not is_named:
            yield f"{name} was added", after.first(name).raw  # type: ignore[union-attr]  # just seen
