"""The copy that goes to an owner, a list or as it is: octets in, octets out; nothing but what DESIGN 3 names changes.

Notes, for the trace (``code`` or ``code:detail``)::

    line_ends.normalised     lone CR, lone LF, NUL or a missing blank line were mended
    header.refolded:NAME     a line of that field was over 998 octets
    header.encoded:NAME      raw octets of that field became encoded words; the next hop takes ASCII only
    header.garbage           lines that are no header field were kept as X-Original-Line
    from.missing, from.several, date.missing, message_id.missing
    part.re_encoded          the banner needed another transfer encoding in its part
    part.to_utf8             the banner needed another charset in its part
    part.long_line           parts with lines over 998 octets, or with NUL, were re-encoded
    banner.wrapped:WHY       the mail stands whole behind a part with the banner: signed, encrypted, report, digest,
                             message, calendar, no_text, unreadable_text
    banner.none:WHY          signed or encrypted mail stays untouched, as configured
    unparsed:WHY             the mail is attached whole as original.eml
    minimal_header           of its header only the fields that people need were kept
    hop.seven_bit            parts were re-encoded, or labelled anew: the next hop does not offer 8BITMIME
    hop.attached:WHY         the mail is attached whole in base64: the next hop takes less than it holds, and it may not
                             be re-encoded: signed, encrypted, words between the parts ...
    form.light               attachments were left out and named in the text: it was refused for its size
    form.attached            a clean header, the mail attached whole: it was refused for its content or its form
    form.notice              who, subject, why and a link: everything else was refused
    form.not_light:WHY       the attachments cannot be left out of it; a notice is sent at once
    dkim.not_signed:WHY      signing it failed; it was sent without our signature
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from supportrelay.core.banner import Banner, plan_body, shorten_lines
from supportrelay.core.copy_headers import CopyContext, copy_header, plain_field
from supportrelay.core.date_field import print_date
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryForm, DeliveryKind
from supportrelay.core.envelope import Envelope, Role
from supportrelay.core.headers import HeaderBlock, HeaderField, fields_named, split_headers
from supportrelay.core.left_out import attachments_of, leave_out
from supportrelay.core.mime import MAX_HEADER_OCTETS, MimeError, read_parts
from supportrelay.core.next_hop import NextHop
from supportrelay.core.part_edit import CannotEdit
from supportrelay.core.raw_header import make_header_ascii
from supportrelay.core.second_copy import SecondCopy, named, notice_body, with_lines
from supportrelay.core.settings import SupportAddress
from supportrelay.core.seven_bit import narrow
from supportrelay.core.splice import Edit, first_long_line, normalise_line_ends, splice
from supportrelay.core.value import value_class
from supportrelay.core.wrap import BLIND, attach_original

__all__ = [
    "Copy",
    "CopyContext",
    "as_is_attached",
    "as_is_copy",
    "attached_copy",
    "compose_copy",
    "compose_second_copy",
    "fit_copy",
    "received_line",
]


@value_class
class Copy:
    """A mail to send.

    Attributes:
        octets: With CRLF line ends; no lone CR or LF.
        notes: What had to be done beside the plan; see this module's docstring.
        sealed: How many octets at its beginning are DKIM signatures of ours.
    """

    octets: bytes
    notes: tuple[str, ...] = ()
    sealed: int = 0


def compose_copy(
    octets: bytes,
    *,
    plan: CopyPlan,
    address: SupportAddress,
    kind: DeliveryKind,
    context: CopyContext,
    banner: Banner | None,
) -> Copy:
    """Return the copy of a received mail for an owner, an administrator or a list; never raises on any mail.

    Args:
        octets: As received.
        plan: From the decision; ``plan.banner == "none"`` changes the header only.
        kind: LIST renames what lists refuse; every other kind is a copy to a single person.
        context: What belongs to this copy.
        banner: Rendered; None changes the header only.
    """
    normal = normalise_line_ends(octets)
    notes: tuple[str, ...] = () if normal is octets else ("line_ends.normalised",)
    wanted = None if plan.banner == "none" else banner
    writer = _Composer(octets, normal, plan, address, kind, context, wanted)
    for attempt in (writer.edited, writer.attached):
        try:
            copy = attempt()
        except (MimeError, CannotEdit) as exc:
            notes = (*notes, f"unparsed:{exc}")
        except Exception as exc:  # noqa: BLE001  a mail that finds a bug of ours must still arrive
            notes = (*notes, f"unparsed:{type(exc).__name__}")
        else:
            if first_long_line(copy.octets) < 0:
                return Copy(copy.octets, tuple(dict.fromkeys((*notes, *copy.notes))))
            notes = (*notes, "unparsed:long line")
    copy = writer.minimal()
    return Copy(copy.octets, (*notes, *copy.notes))


def compose_second_copy(
    octets: bytes,
    *,
    plan: CopyPlan,
    address: SupportAddress,
    kind: DeliveryKind,
    context: CopyContext,
    banner: Banner | None,
    second: SecondCopy,
) -> Copy:
    """Return another form of a copy that was refused (`core.ladder`); arguments as for `compose_copy`; never raises.

    LIGHT may hold octets over 127 like any copy (`fit_copy`); the other forms are ASCII.
    """
    writer = _safe_writer(octets, plan, address, kind, context, banner, second)
    try:
        if second.form == DeliveryForm.LIGHT:
            return writer.light()
        return writer.clean() if second.form == DeliveryForm.ATTACHED else writer.notice()
    except Exception as exc:  # noqa: BLE001  a mail that finds a bug of ours must still arrive
        copy = writer.minimal()
        return Copy(copy.octets, (f"unparsed:{type(exc).__name__}", *copy.notes))


def attached_copy(
    octets: bytes,
    *,
    plan: CopyPlan,
    address: SupportAddress,
    kind: DeliveryKind,
    context: CopyContext,
    banner: Banner | None,
) -> Copy:
    """Return a copy in ASCII: its own header, the mail attached whole; as `compose_copy` otherwise, never raises."""
    writer = _safe_writer(octets, plan, address, kind, context, banner, None)
    try:
        copy = writer.attached(as_message=False)
    except Exception:  # noqa: BLE001  as above
        copy = writer.minimal(as_message=False)
    return copy if first_long_line(copy.octets) < 0 else writer.minimal(as_message=False)


def fit_copy(copy: Copy, hop: NextHop, instead: Callable[[], Copy]) -> Copy:
    """Return the copy as a next hop takes it that does not take it as it is (`NextHop.takes`); never raises.

    Args:
        instead: Writes one in ASCII, for a mail that may not be re-encoded.
    """
    try:
        octets, notes = narrow(copy.octets, bodies=not hop.eight_bit)
    except Exception as exc:  # noqa: BLE001  as above
        why = str(exc) if isinstance(exc, MimeError | CannotEdit) else type(exc).__name__
        written = instead()
        return Copy(written.octets, (*written.notes, f"hop.attached:{why}"))
    return Copy(octets, (*copy.notes, *notes))


def _safe_writer(
    octets: bytes,
    plan: CopyPlan,
    address: SupportAddress,
    kind: DeliveryKind,
    context: CopyContext,
    banner: Banner | None,
    second: SecondCopy | None,
) -> "_Composer":
    """A writer whose header is ASCII whatever the mail came as."""
    normal, _ = make_header_ascii(normalise_line_ends(octets))
    wanted = None if plan.banner == "none" else banner
    return _Composer(octets, normal, plan, address, kind, replace(context, is_smtputf8=False), wanted, second)


@value_class
class _Composer:
    """The ways to write one copy, best first."""

    received: bytes
    normal: bytes
    plan: CopyPlan
    address: SupportAddress
    kind: DeliveryKind
    context: CopyContext
    banner: Banner | None
    second: SecondCopy | None = None

    def edited(self) -> Copy:
        """Banner and header put into the mail."""
        octets, notes = shorten_lines(self.normal)
        if self.banner is None:
            edits, header_notes = self._header_edits(_bounded_header(octets))
            return Copy(splice(octets, edits), (*notes, *header_notes))
        root = read_parts(octets)
        edits, header_notes = self._header_edits(root.header)
        body = plan_body(
            octets, root, self.banner, signed=self.address.signed_mail, encrypted=self.address.encrypted_mail
        )
        return Copy(splice(octets, [*edits, *body.edits]), (*notes, *header_notes, *body.notes))

    def attached(self, *, as_message: bool = True) -> Copy:
        """The mail attached whole, under its own header."""
        header = _bounded_header(self.normal)
        edits, notes = self._header_edits(header)
        body = attach_original(self.normal, header, self.banner, received=self.received, as_message=as_message)
        return Copy(splice(self.normal, [*edits, *body]), tuple(notes))

    def minimal(self, *, as_message: bool = True) -> Copy:
        """The mail attached whole under a clean header with the little that people need."""
        kept = b"".join(_readable_fields(self.normal))
        octets = kept + b"\r\n"
        header = split_headers(octets)
        edits, notes = self._header_edits(header)
        body = attach_original(octets, header, self.banner, received=self.received, as_message=as_message)
        return Copy(splice(octets, [*edits, *body]), (*notes, "minimal_header"))

    # -- other forms, for what was refused

    def light(self) -> Copy:
        """Without attachments; a notice when they cannot be left out, or are hardly what makes it large."""
        try:
            lighter, left = leave_out(self.normal, share=_LIGHT_ENOUGH)
            banner = with_lines(self.banner, [*self._said(DeliveryForm.LIGHT), *named(left)])
            copy = replace(self, normal=lighter, banner=banner).edited()
        except (MimeError, CannotEdit, ValueError) as exc:
            copy = self.notice()
            return Copy(copy.octets, (*copy.notes, f"form.not_light:{exc}"))
        return Copy(copy.octets, (*copy.notes, "form.light"))

    def clean(self) -> Copy:
        """A clean header, the original attached, nothing in it that a server could take for a mail."""
        banner = with_lines(self.banner, self._said(DeliveryForm.ATTACHED))
        copy = replace(self, banner=banner).minimal(as_message=False)
        return Copy(copy.octets, (*copy.notes, "form.attached"))

    def notice(self) -> Copy:
        """Who, subject, why and a link; with what was attached where that was too large, and not refused for itself."""
        is_too_large = self.second is not None and self.second.is_too_large
        attachments = named(attachments_of(self.normal)) if is_too_large else ()
        banner = with_lines(self.banner, [*self._said(DeliveryForm.NOTICE), *attachments])
        octets = b"".join(_readable_fields(self.normal)) + notice_body(banner)
        edits, notes = self._header_edits(split_headers(octets))
        return Copy(splice(octets, edits), (*notes, "form.notice"))

    def _said(self, form: DeliveryForm) -> tuple[str, ...]:
        return self.second.texts.get(form, ()) if self.second else ()

    def _header_edits(self, header: HeaderBlock) -> tuple[list[Edit], list[str]]:
        return copy_header(header, plan=self.plan, address=self.address, kind=self.kind, context=self.context)


def _bounded_header(octets: bytes) -> HeaderBlock:
    header = split_headers(octets)
    if header.end > MAX_HEADER_OCTETS:
        raise MimeError("header is too long")
    return header


_NEEDED = frozenset({"from", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references"})
_MAX_NEEDED_OCTETS = 16 * 1024
_LIGHT_ENOUGH = 0.9  # of the mail's octets; with more left nothing is won


def _readable_fields(octets: bytes) -> list[bytes]:
    """The first of each needed field, when it is of a sane size."""
    kept: dict[str, HeaderField] = {}
    for field in fields_named(octets, split_headers(octets), _NEEDED):
        if len(field.raw) <= _MAX_NEEDED_OCTETS and first_long_line(field.raw) < 0:
            kept.setdefault(field.name, field)
    return [field.raw for field in kept.values()]


_NOT_AS_IS = BLIND | {"authentication-results"}
_AUTHSERV_ID = re.compile(rb"[^:]*:\s*(?:\([^()]*\)\s*)?([^\s;()]{1,255})")


def _claims_to_be_ours(field: HeaderField, authserv_id: str) -> bool:
    """An Authentication-Results in our name that the sender wrote."""
    found = _AUTHSERV_ID.match(field.raw)
    return found is not None and bool(authserv_id) and found[1].lower() == authserv_id.lower().encode()


def as_is_copy(octets: bytes, *, context: CopyContext) -> Copy:
    """Return the mail as it came, with our trace on top and without Bcc; never raises."""
    normal = normalise_line_ends(octets)
    top = [context.received, plain_field("X-Supportrelay-Id", context.queue_id)]
    if context.trail:
        top.append(plain_field("X-Supportrelay-Trail", context.trail))
    edits = [Edit(0, 0, b"".join(top))]
    for field in fields_named(normal, split_headers(normal), _NOT_AS_IS):
        if field.name in BLIND:
            edits.append(Edit(field.start, field.start + len(field.raw), b""))
        elif _claims_to_be_ours(field, context.authserv_id):
            edits.append(Edit(field.start, field.start, b"X-Original-"))
    return Copy(splice(normal, edits), () if normal is octets else ("line_ends.normalised",))


def as_is_attached(octets: bytes, *, context: CopyContext) -> Copy:
    """Return a mail to be sent as it came, in ASCII: its own header, the mail attached whole; never raises."""
    normal, notes = make_header_ascii(normalise_line_ends(octets), is_whole=True)
    header = split_headers(normal)
    body = attach_original(normal, header, None, received=octets, as_message=False)
    copy = as_is_copy(splice(normal, body), context=context)
    return Copy(copy.octets, (*notes, *copy.notes))


# --- Received ---------------------------------------------------------------------------------------------------

_NOT_HELO = re.compile(r"[^A-Za-z0-9.:\-_\[\]]")
_NOT_IP = re.compile(r"[^0-9A-Fa-f.:]")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._\-]{1,64}@[A-Za-z0-9.\-]{1,253}")
_MAX_HELO = 255


def received_line(envelope: Envelope, *, hostname: str, queue_id: str, at: datetime) -> bytes:
    """Return a whole Received field (RFC 5321 §4.4), folded, ASCII, ended with CRLF.

    Args:
        envelope: What the client called itself is cut to what a domain or a literal may hold (RELIABILITY C27).
        hostname: Ours.
        queue_id: Ours.
        at: When it was accepted; aware.

    The recipient is named only when there is one, without a detail (`support+token` is nobody's business).
    """
    peer = envelope.peer
    helo = _host_name(peer.helo[:_MAX_HELO]) or "unknown"
    ip = _NOT_IP.sub("", peer.ip)
    literal = f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
    names = ("LMTP", "UTF8LMTP") if peer.role is Role.LMTP else ("ESMTP", "UTF8SMTP")  # RFC 3848, RFC 6531 §4.3
    protocol = names[envelope.is_smtputf8] + ("S" if peer.tls else "") + ("A" if peer.user else "")
    path = envelope.forward_paths[0] if len(envelope.forward_paths) == 1 else ""
    recipient = f"\r\n\tfor <{path}>" if _PLAIN_PATH.fullmatch(path) else ""
    return (
        f"Received: from {helo} ({literal if ip else 'unknown'})\r\n"
        f"\tby {_host_name(hostname)} (supportrelay) with {protocol} id {_NOT_HELO.sub('?', queue_id)}"
        f"{recipient};\r\n\t{print_date(at)}\r\n"
    ).encode("ascii")


@lru_cache(maxsize=1024)
def _host_name(written: str) -> str:
    return _NOT_HELO.sub("?", written)
