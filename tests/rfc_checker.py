"""Is a copy what DESIGN 3 promises? Original and copy compared octet by octet, by a reader that is not ours.

`check` returns findings; an empty list is a sound copy. Every finding names its rule:

=================  ================================================================================================
``line``           over 998 octets (RFC 5322 §2.1.1), a lone CR or LF, a NUL
``eight_bit``      octets over 127 that the transaction did not announce (RFC 6152, RFC 6531)
``boundary``       a delimiter of ours that stands in the content, or two multiparts within one another with one (§5.1)
``header``         a field lost, changed, moved, or added without DESIGN saying so
``form``           the mail was edited, wrapped, attached or left alone against DESIGN 3
``structure``      parts lost, added or moved; preamble and epilogue too
``part``           header or octets of a part changed, although it is no text with a banner
``text``           a text is not the banner and then the original's text, character for character
``entity``         a wrapped or attached mail is not octet for octet what came
``note``           something was done that the trace does not name
=================  ================================================================================================
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rfc_fields import field_findings
from rfc_mime import Entity, decode, read_entity, split_base64, walk
from rfc_text import banner_in_html, banner_in_text, find_texts, html_place

__all__ = ["Circumstances", "Finding", "check", "taken_in"]

_OURS = re.compile(rb"=_supportrelay_[0-9a-f]{24}")
_LONGEST = 998


@dataclass(frozen=True)
class Finding:
    """A broken rule, where, and the octets that show it (at most 120)."""

    rule: str
    place: str
    octets: bytes = b""

    def __str__(self) -> str:
        return f"{self.rule}: {self.place}: {self.octets[:120]!r}"


@dataclass(frozen=True)
class Circumstances:
    """What the judge must know beside the two mails.

    Attributes:
        sender: The address that stands in From of every copy.
        notes: What the trace says was done to the copy.
        is_list: It went to Allmember or a group.
        eight_bit: The transaction said BODY=8BITMIME; ``utf8``: it said SMTPUTF8.
        banner: There is one to be in it; False for a report that goes to the administrators.
        signed, encrypted: As configured: ``wrap`` or ``untouched``.
    """

    sender: str
    notes: Sequence[str] = ()
    is_list: bool = False
    eight_bit: bool = True
    utf8: bool = False
    banner: bool = True
    signed: str = "wrap"
    encrypted: str = "untouched"

    def has_note(self, beginning: str) -> bool:
        """Does the trace name this?"""
        return any(note.startswith(beginning) for note in self.notes)


def check(sent: bytes, copy: bytes, how: Circumstances) -> list[Finding]:
    """Compare a mail as a client sent it with a copy as it arrived."""
    findings = list(_well_formed(copy, how))
    received = taken_in(sent)
    original = received
    if how.has_note("line_ends.normalised"):
        original = mended(received)
    before, after = read_entity(original), read_entity(copy)
    form = _form(before, after)
    nested = set(_nested_boundaries(after)) - set(_nested_boundaries(before))
    findings += [Finding("boundary", "two multiparts within one another have it", boundary) for boundary in nested]
    findings += _form_findings(original, before, form, how)
    findings += [Finding("header", place, octets) for place, octets in field_findings(before, after, form, how)]
    if form == "attached":
        findings += _attached(received, after)
    elif form == "wrapped":
        findings += _wrapped(before, after)
    else:
        findings += _edited(before, after, how)
    return findings


def taken_in(octets: bytes) -> bytes:
    """The octets as RELIABILITY C10 and D27 have them taken in: every CR and LF a CRLF, and one at the very end."""
    octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def mended(octets: bytes) -> bytes:
    """A header that no reader takes for another one: no byte order mark, no NUL, and an empty line after it."""
    if re.match(rb"\xef\xbb\xbf[!-9;-~]+[ \t]*:", octets):
        octets = octets[3:]
    entity = read_entity(octets)
    header = entity.header.replace(b"\0", b" ")
    return header + b"\r\n" + entity.body


# --- RFC 5322, 5321


def _well_formed(copy: bytes, how: Circumstances) -> Iterator[Finding]:
    for line in copy.split(b"\r\n"):
        if len(line) > _LONGEST:
            yield Finding("line", f"{len(line)} octets", line)
        if b"\r" in line or b"\n" in line:
            yield Finding("line", "a lone CR or LF", line)
    if b"\0" in copy:
        yield Finding("line", "NUL", copy[max(0, copy.find(b"\0") - 40) :])
    header, _, body = copy.partition(b"\r\n\r\n")
    # Raw octets in a header were never legal; with BODY=8BITMIME they may stay, for the received ones are the truth.
    if not header.isascii() and not (how.utf8 or how.eight_bit):
        line = next(line for line in header.split(b"\r\n") if not line.isascii())
        yield Finding("eight_bit", "in the header", line)
    if not body.isascii() and not how.eight_bit:
        yield Finding("eight_bit", "in the body", next(line for line in body.split(b"\r\n") if not line.isascii()))
    for boundary in set(_OURS.findall(copy)):
        named = copy.count(b'boundary="' + boundary)
        lines = len(re.findall(rb"(?m)^--" + re.escape(boundary) + rb"(?:--)?\r$", copy))
        if named != 1 or copy.count(boundary) != named + lines:
            yield Finding("boundary", "ours stands in the content", boundary)


def _nested_boundaries(entity: Entity, above: frozenset[bytes] = frozenset()) -> Iterator[bytes]:
    if entity.children:
        if entity.boundary in above:
            yield entity.boundary
        for child in entity.children:
            yield from _nested_boundaries(child, above | {entity.boundary})


# --- the form (DESIGN 3)


def _form(before: Entity, after: Entity) -> str:
    """``attached``, ``wrapped`` or ``edited``; the last one for a mail that was left alone as well."""
    if not _OURS.fullmatch(after.boundary) or after.boundary == before.boundary:
        return "edited"
    return "attached" if after.children[-1:] and after.children[-1].filename == "original.eml" else "wrapped"


def _form_findings(original: bytes, before: Entity, form: str, how: Circumstances) -> Iterator[Finding]:
    allowed, why = _allowed_forms(original, before, how)
    if form not in allowed:
        yield Finding("form", f"{form}, but {why or 'a text that may be edited'}: {sorted(allowed)}")
    if form == "wrapped" and not how.has_note("banner.wrapped"):
        yield Finding("note", "wrapped without a word")
    if form == "attached" and not how.has_note("unparsed"):
        yield Finding("note", "attached without a word")


_WHOLE = {"multipart/report": "report", "multipart/digest": "digest", "multipart/signed": "signed"}


def _allowed_forms(original: bytes, before: Entity, how: Circumstances) -> tuple[set[str], str]:
    """The forms that DESIGN 3 allows for this mail, and why it is not simply edited."""
    nature = nature_of(before)
    has_long_line = any(len(line) > _LONGEST for line in original.split(b"\r\n")) or b"\0" in original
    if how.banner and before.trouble in {"multipart without a part", "too deep"}:
        return {"attached"}, before.trouble
    forms = {"edited"}
    if not how.banner:
        nature = ""
    elif nature == "encrypted":
        forms = {"edited"} if how.encrypted == "untouched" else {"wrapped"}
    elif nature == "signed":
        forms = {"edited"} if how.signed == "untouched" else {"wrapped"}
    elif nature:
        forms = {"wrapped"}
    elif not find_texts(before):
        forms, nature = {"wrapped"}, "no text"
    elif any(split_base64(text.body)[1].strip() for text in find_texts(before) if text.encoding == "base64"):
        forms, nature = {"wrapped"}, "words below base64"
    elif any(not _is_readable(text) for text in find_texts(before) if text is not before):
        forms, nature = {"wrapped"}, "a text that nobody can read"
    elif any(_is_anything(text) for text in find_texts(before)):
        forms |= {"wrapped"}
    if has_long_line and (nature or before.trouble):
        forms |= {"attached"}
    if before.trouble and before.trouble != "multipart without an end":
        forms |= {"attached"}
    return forms, nature


def nature_of(entity: Entity) -> str:
    """Why no text in it may be touched; "" when one may."""
    if entity.kind.startswith("message/"):
        return "message"
    parts = list(walk(entity))
    for part in parts:
        if part.kind in {"application/pkcs7-mime", "application/x-pkcs7-mime"} and _is_body(entity, part):
            is_signed = part.parameters.get("smime-type", "").lower() in {
                "signed-data",
                "certs-only",
                "compressed-data",
            }
            return "signed" if is_signed else "encrypted"
        if part.kind == "multipart/encrypted" and _is_body(entity, part):
            return "encrypted"
        if part.kind in _WHOLE and _is_body(entity, part):
            return _WHOLE[part.kind]
    if any(part.kind == "text/calendar" and part.disposition != "attachment" for part in parts):
        return "calendar"
    for text in find_texts(entity)[:1]:
        found = re.search(rb"(?m)^-----BEGIN PGP (SIGNED )?MESSAGE-----", decode(text))
        if found:
            return "signed" if found[1] else "encrypted"
    return ""


def _is_body(root: Entity, part: Entity) -> bool:
    """No text that could carry the banner stands before it."""
    if part is root:
        return True
    for child in root.children:
        if any(one is part for one in walk(child)):
            return _is_body(child, part)
        if root.kind != "multipart/alternative" and (find_texts(child) or nature_of(child)):
            return False
    return False


def _is_readable(text: Entity) -> bool:
    known = text.encoding in {"7bit", "8bit", "binary", "base64", "quoted-printable"}
    return known and text.trouble not in {"no end of the header", "a line of the header is no field", "no header"}


def _is_anything(text: Entity) -> bool:
    """Octets over 127 that are no UTF-8, without a charset that says what they are."""
    octets = decode(text)
    label = text.parameters.get("charset", "").strip(" '\"").lower()
    try:
        is_named = bool(label) and codecs.lookup(label).name not in {"ascii", "utf-8"}
    except LookupError:
        is_named = False
    return not is_named and "\ufffd" in octets.decode("utf-8", "replace")


# --- the mail whole, behind a part with the banner


def _front(after: Entity) -> Iterator[Finding]:
    front = after.children[0]
    if front.kind != "text/plain" or banner_in_text(front, b"", is_whole=True) is None:
        yield Finding("text", "the first part is not the banner", decode(front))


def _wrapped(before: Entity, after: Entity) -> Iterator[Finding]:
    yield from _front(after)
    if len(after.children) != 2 or after.preamble or after.epilogue.strip(b"\r\n"):
        yield Finding("structure", f"{len(after.children)} parts instead of banner and mail")
        return
    inside = after.children[1]
    described = b"".join(f.raw for f in before.fields if f.name.startswith("content-"))
    if inside.header != described:
        yield Finding("entity", "Content-* fields", inside.header)
    if inside.body != before.body:
        yield Finding("entity", "body", _difference(before.body, inside.body))


def _attached(received: bytes, after: Entity) -> Iterator[Finding]:
    if len(after.children) == 2:
        yield from _front(after)
    else:
        yield Finding("structure", f"{len(after.children)} parts instead of banner and mail")
    content = decode(after.children[-1])
    wanted = _without_blind(received)
    if content != wanted:
        yield Finding("entity", "original.eml", _difference(wanted, content))
    if after.children[-1].kind == "message/rfc822" and after.children[-1].encoding not in {"7bit", "8bit"}:
        yield Finding("entity", f"message/rfc822 in {after.children[-1].encoding} (RFC 2046 §5.2.1)")


def _without_blind(octets: bytes) -> bytes:
    head, blank, body = octets.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^(?:resent-)?bcc[ \t]*:.*\r\n(?:[ \t].*\r\n)*", b"", head + blank[:2]) + blank[2:] + body


# --- the mail with a banner in its text


def _edited(before: Entity, after: Entity, how: Circumstances) -> Iterator[Finding]:
    texts = find_texts(before) if how.banner and not nature_of(before) else []
    has_long_line = any(len(line) > _LONGEST for line in before.body.split(b"\r\n")) or b"\0" in before.body
    if not texts and not has_long_line and after.body != before.body:
        yield Finding("entity", "body", _difference(before.body, after.body))
        return
    yield from _compared(before, after, [id(text) for text in texts], "1", how)


def _compared(before: Entity, after: Entity, texts: list[int], place: str, how: Circumstances) -> Iterator[Finding]:
    is_root = place == "1"
    if before.kind != after.kind or len(before.children) != len(after.children):
        yield Finding("structure", f"{place} {before.kind}: now {after.kind} with {len(after.children)} parts")
        return
    if before.children:
        if not is_root and before.header != after.header and not _refolded(before, after, how):
            yield Finding("part", f"{place} header", after.header)
        if (before.preamble, before.epilogue) != (after.preamble, after.epilogue):
            yield Finding("structure", f"{place} preamble or epilogue", after.preamble + after.epilogue)
        if before.boundary != after.boundary:
            yield Finding("boundary", f"{place} changed", after.boundary)
        for n, (one, other) in enumerate(zip(before.children, after.children, strict=True), 1):
            yield from _compared(one, other, texts, f"{place}.{n}", how)
        return
    if id(before) in texts:
        yield from _text(before, after, place, how)
    else:
        yield from _leaf(before, after, place, how, is_root=is_root)


def _refolded(before: Entity, after: Entity, how: Circumstances) -> bool:
    is_long = any(len(line) > _LONGEST for line in before.header.split(b"\r\n"))
    return is_long and how.has_note("part.long_line") and before.header.split() == after.header.split()


def _leaf(before: Entity, after: Entity, place: str, how: Circumstances, *, is_root: bool) -> Iterator[Finding]:
    """A part that is no text with a banner: its octets, unless a line of it is too long."""
    is_long = any(len(line) > _LONGEST for line in (before.header + b"\r\n" + before.body).split(b"\r\n"))
    if is_long or b"\0" in before.body:
        if not how.has_note("part.long_line") and not how.has_note("header.refolded"):
            yield Finding("note", f"{place} {before.kind}: written anew without a word")
        if decode(before) != decode(after):
            yield Finding("part", f"{place} {before.kind} decoded", _difference(decode(before), decode(after)))
        return
    if not is_root and before.header != after.header:
        yield Finding("part", f"{place} {before.kind} header", _difference(before.header, after.header))
    if before.body != after.body:
        yield Finding("part", f"{place} {before.kind} body", _difference(before.body, after.body))


def _text(before: Entity, after: Entity, place: str, how: Circumstances) -> Iterator[Finding]:
    """A text with the banner: the banner, and then what was written."""
    is_html = before.kind == "text/html"
    was = decode(before)
    wrong = banner_in_html(before, after, was) if is_html else banner_in_text(after, was, original=before)
    if wrong is None or wrong:
        yield Finding("text", f"{place} {before.kind} {before.charset}/{before.encoding}: {wrong or 'no banner'}")
    if is_html and not wrong and (misplaced := html_place(after)):
        yield Finding("text", f"{place} {before.kind}: {misplaced}")
    is_long = any(len(line) > _LONGEST for line in before.body.split(b"\r\n"))
    if before.charset != after.charset and not how.has_note("part.to_utf8"):
        yield Finding("note", f"{place}: {before.charset} became {after.charset} without a word")
    is_anew = before.encoding != after.encoding
    if is_anew and not (how.has_note("part.re_encoded") or how.has_note("part.to_utf8") or is_long):
        yield Finding("note", f"{place}: {before.encoding} became {after.encoding} without a word")
    is_same = (before.charset, before.encoding) == (after.charset, after.encoding)
    if is_same and place != "1" and before.header != after.header and not is_long:
        yield Finding("part", f"{place} {before.kind} header", _difference(before.header, after.header))


def _difference(one: bytes, other: bytes) -> bytes:
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return b"%d: " % at + one[max(0, at - 10) : at + 40] + b" <> " + other[max(0, at - 10) : at + 40]
