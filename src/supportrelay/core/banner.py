"""Where the banner stands in a mail: before its text where that may be edited, else in a part of its own (DESIGN 3)."""

import re

from supportrelay.core.banner_text import Banner, BannerValues
from supportrelay.core.headers import split_headers
from supportrelay.core.long_lines import shorten_fields, shorten_parts
from supportrelay.core.mime import MimeError, Part, decode_transfer, read_parts, walk
from supportrelay.core.part_edit import CannotEdit, edit_html, edit_text
from supportrelay.core.splice import Edit, first_long_line, normalise_line_ends, splice
from supportrelay.core.value import value_class
from supportrelay.core.wrap import attach_original, wrap_entity

__all__ = ["Banner", "BannerValues", "BodyPlan", "nature_of", "plan_body", "put_banner", "shorten_lines"]

_PGP_INLINE = re.compile(rb"^-----BEGIN PGP (SIGNED )?MESSAGE-----", re.MULTILINE)
_LOOK = 1024 * 1024  # octets of a text in which its PGP begins
_PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_OPAQUE_SIGNED = frozenset({"signed-data", "certs-only", "compressed-data"})
_SIGNED, _ENCRYPTED = "signed", "encrypted"
_CONTAINERS = {
    "multipart/signed": _SIGNED,
    "multipart/encrypted": _ENCRYPTED,
    "multipart/report": "report",
    "multipart/digest": "digest",
}


@value_class
class BodyPlan:
    """How a mail's body is changed.

    Attributes:
        edits: On the octets that were asked about.
        how: ``edited``, ``wrapped``, ``attached`` (the whole mail as original.eml) or ``none``.
        notes: For the trace, see `rewrite`.
    """

    edits: tuple[Edit, ...] = ()
    how: str = "none"
    notes: tuple[str, ...] = ()


@value_class
class _Bodies:
    """The parts that are a mail's text; ``nature`` says why they may not be edited, "" when they may."""

    plain: Part | None = None
    html: Part | None = None
    nature: str = ""


def put_banner(
    octets: bytes, banner: Banner, *, signed: str = "wrap", encrypted: str = "untouched"
) -> tuple[bytes, str, tuple[str, ...]]:
    """Return the mail with the banner in it, how that was done (`BodyPlan.how`), and notes; never raises.

    Args:
        octets: A whole mail.
        signed: ``wrap`` or ``untouched``; ``encrypted`` likewise.
    """
    normal = normalise_line_ends(octets)
    try:
        shortened, notes = shorten_lines(normal)
        plan = plan_body(shortened, read_parts(shortened), banner, signed=signed, encrypted=encrypted)
        result = splice(shortened, plan.edits)
    except (MimeError, CannotEdit, ValueError, RecursionError):
        notes = ("unparsed",)
        plan = BodyPlan(tuple(attach_original(normal, split_headers(normal), banner, received=octets)), "attached")
        result = splice(normal, plan.edits)
    return result, plan.how, (*notes, *plan.notes)


def shorten_lines(octets: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the mail without lines over 998 octets and without NUL, and notes; the same object when there are none.

    Raises:
        MimeError: The mail cannot be parsed.
        CannotEdit: A line stands where it cannot be changed without harm: in signed or encrypted parts, for example.
    """
    if first_long_line(octets) < 0 and b"\0" not in octets:
        return octets, ()
    root = read_parts(octets)
    edits, notes = shorten_fields(root.header)
    if first_long_line(octets, root.body_start) >= 0 or octets.find(b"\0", root.body_start) >= 0:
        if any(part.content_type in _CONTAINERS for part in walk(root)) or _inline_pgp(octets, root):
            raise CannotEdit("a long line or NUL in a signed or encrypted mail or a report")
        part_edits, part_notes = shorten_parts(octets, root)
        edits, notes = [*edits, *part_edits], [*notes, *part_notes]
    shortened = splice(octets, edits)
    if first_long_line(shortened) >= 0 or b"\0" in shortened:
        raise CannotEdit("a long line or NUL outside of every part")
    return shortened, tuple(notes)


def plan_body(octets: bytes, root: Part, banner: Banner, *, signed: str, encrypted: str) -> BodyPlan:
    """Decide where the banner goes in a mail with CRLF line ends, whose tree is ``root``."""
    bodies = _find_bodies(root) or _Bodies()
    nature = bodies.nature or _whole_nature(octets, root, bodies)
    if (nature == _SIGNED and signed == "untouched") or (nature == _ENCRYPTED and encrypted == "untouched"):
        return BodyPlan(notes=(f"banner.none:{nature}",))
    why = nature or ("" if bodies.plain or bodies.html else "no_text")
    if not why:
        try:
            return _edit_bodies(octets, bodies, banner)
        except CannotEdit:
            why = "unreadable_text"
    return BodyPlan(tuple(wrap_entity(octets, root.header, banner)), "wrapped", (f"banner.wrapped:{why}",))


def _edit_bodies(octets: bytes, bodies: _Bodies, banner: Banner) -> BodyPlan:
    edits: list[Edit] = []
    notes: list[str] = []
    for part, edit in ((bodies.plain, edit_text), (bodies.html, edit_html)):
        if part is not None:
            part_edits, part_notes = edit(octets, part, banner)
            edits += part_edits
            notes += part_notes
    return BodyPlan(tuple(edits), "edited", tuple(notes))


# --- the tree ---------------------------------------------------------------------------------------------------


def _find_bodies(part: Part) -> _Bodies | None:
    """The text of an entity: every form of it in an alternative, else the first; None when there is no text in it.

    Depth is bounded by `mime.MAX_DEPTH`.
    """
    nature = nature_of(part)
    if nature:
        return _Bodies(nature=nature)
    if not part.children:
        return _leaf_bodies(part)
    found = [bodies for bodies in map(_find_bodies, part.children) if bodies]
    if not found:
        return None
    if part.content_type != "multipart/alternative":
        return found[0]
    return _Bodies(
        plain=next((b.plain for b in found if b.plain), None),
        html=next((b.html for b in found if b.html), None),
        nature=next((b.nature for b in found if b.nature), ""),
    )


def nature_of(part: Part) -> str:
    """What forbids to edit a part: ``signed``, ``encrypted``, ``report`` ...; "" when nothing does."""
    if part.content_type in _PKCS7:
        return _SIGNED if part.parameters.get("smime-type", "").lower() in _OPAQUE_SIGNED else _ENCRYPTED
    return _CONTAINERS.get(part.content_type, "")


def _leaf_bodies(part: Part) -> _Bodies | None:
    if part.disposition == "attachment" or part.filename:
        return None
    if part.content_type == "text/plain":
        return _Bodies(plain=part)
    return _Bodies(html=part) if part.content_type == "text/html" else None


def _whole_nature(octets: bytes, root: Part, bodies: _Bodies) -> str:
    """What forbids to edit the mail as a whole, although its text could be."""
    if root.content_type.startswith("message/"):
        return "message"
    if root.children or root.content_type == "text/calendar":
        for part in walk(root):
            if part.content_type == "text/calendar" and part.disposition != "attachment":
                return "calendar"
    text = bodies.plain or bodies.html
    return _inline_pgp(octets, text) if text else ""


def _inline_pgp(octets: bytes, part: Part) -> str:
    """Is the text itself PGP? Looked for where a line begins, so not in a quotation."""
    if b"-----BEGIN PGP" not in octets and part.transfer_encoding != "base64":
        return ""
    text = decode_transfer(octets[part.body_start : min(part.end, part.body_start + _LOOK)], part.transfer_encoding)
    found = _PGP_INLINE.search(text) if b"-----BEGIN PGP" in text else None
    if not found:
        return ""
    return _SIGNED if found[1] else _ENCRYPTED
