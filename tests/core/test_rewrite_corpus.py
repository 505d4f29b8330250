"""Every mail of the corpus becomes a sound copy; checked with a parser that is not ours."""

import email
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from supportrelay.core.banner import Banner
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryKind
from supportrelay.core.rewrite import Copy, CopyContext, compose_copy
from supportrelay.core.settings import SupportAddress

CORPUS = Path(__file__).parents[3] / "shared" / "mails"
MAILS = sorted(p for p in CORPUS.rglob("*") if p.is_file() and p.name not in {"README.md", ".gitattributes"})
ADDRESS = SupportAddress(
    name="desk",
    address="support@desk.test",
    sender_name="{author} via Support",
    sender_address="relay@desk.test",
    allmember=("all@desk.test",),
    bounce_address="support+b-{token}@desk.test",
)
PLAN = CopyPlan("desk", author_name="田中", reply_to=("ann@customer.example", "support@desk.test"))
CONTEXT = CopyContext(
    "Q1abc", 12, "desk.test", b"Received: from a by b; Mon, 9 Mar 2026 07:05:01 +0000\r\n", "v1; mac=x"
)
BANNER = Banner(
    "――― support 案内 SR-12-k7xq2a ―――\n削除してください。\n――― support 案内 SR-12-k7xq2a ―――\n",
    '<div id="supportrelay-banner">――― support 案内 SR-12-k7xq2a ―――</div>\n',
)
KEPT = ("Subject", "To", "Cc", "Date", "Message-ID", "In-Reply-To", "References", "Thread-Index", "Thread-Topic")
MARK = "SR-12-k7xq2a"

pytestmark = pytest.mark.skipif(not MAILS, reason="the corpus is not here")


def named(path: Path) -> str:
    return str(path.relative_to(CORPUS))


def normal(octets: bytes) -> bytes:
    """CRLF everywhere, so that line ends are no difference."""
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def copy_of(octets: bytes, kind: DeliveryKind = DeliveryKind.OWNER) -> Copy:
    return compose_copy(octets, plan=PLAN, address=ADDRESS, kind=kind, context=CONTEXT, banner=BANNER)


def leaves(octets: bytes) -> list[Message]:
    return [part for part in email.message_from_bytes(octets).walk() if not part.is_multipart()]


def said(part: Message) -> bytes:
    """A part's decoded octets without the white space at its ends."""
    payload = part.get_payload(decode=True)
    return payload.strip() if isinstance(payload, bytes) else b""


@pytest.mark.parametrize("kind", [DeliveryKind.OWNER, DeliveryKind.LIST])
@pytest.mark.parametrize("path", MAILS, ids=named)
def test_every_mail_becomes_a_sound_copy(path: Path, kind: DeliveryKind) -> None:
    octets = normal(path.read_bytes())

    copy = copy_of(octets, kind)

    assert copy.octets.count(b"\n") == copy.octets.count(b"\r\n") == copy.octets.count(b"\r")
    assert max(map(len, copy.octets.split(b"\r\n"))) <= 998
    assert not any(note.endswith(("Error", "Exception")) for note in copy.notes)  # a bug of ours that was caught
    assert copy_of(octets, kind) == copy


def raw_fields(octets: bytes) -> Iterator[tuple[str, bytes]]:
    """``(lower-case name, octets)`` of the header fields, read in the simplest way."""
    raw = b""
    for line in [*octets.partition(b"\r\n\r\n")[0].split(b"\r\n"), b"end:"]:
        if line.startswith((b" ", b"\t")):
            raw += b"\r\n" + line
            continue
        if raw:
            yield raw.partition(b":")[0].strip().decode("latin-1").lower(), raw
        raw = line


@pytest.mark.parametrize("path", MAILS, ids=named)
def test_kept_fields_stay_octet_for_octet(path: Path) -> None:
    octets = normal(path.read_bytes())
    copy = copy_of(octets)
    if any(note.startswith(("header.", "unparsed", "line_ends")) for note in copy.notes):
        pytest.skip("its header is broken")
    names = {name.lower() for name in KEPT}

    before = [raw for name, raw in raw_fields(octets) if name in names]

    assert [raw for name, raw in raw_fields(copy.octets) if name in names] == before


@pytest.mark.parametrize("path", MAILS, ids=named)
def test_everything_but_the_banner_reads_as_before(path: Path) -> None:
    octets = normal(path.read_bytes())
    copy = copy_of(octets)
    if any(note.startswith(("unparsed", "line_ends", "header.garbage")) for note in copy.notes):
        pytest.skip("attached whole, or read differently by the other parser")
    if any(b" " in raw.partition(b":")[0] for _, raw in raw_fields(octets)):
        pytest.skip("the other parser ends the header at 'Name : value'")
    if any(note.startswith("banner.wrapped") for note in copy.notes):
        first = leaves(copy.octets)[0]
        assert first.get_content_type() == "text/plain"
        assert MARK in said(first).decode("utf-8")
        assert octets.partition(b"\r\n\r\n")[2] in copy.octets
        return
    before, after = leaves(octets), leaves(copy.octets)
    assert [kind(part) for part in after] == [kind(part) for part in before]
    edited = [(old, new) for old, new in zip(before, after, strict=True) if not is_unedited(old, new)]
    for old, new in edited:
        assert_banner_added(old, new)
    assert len(edited) in {1, 2} or copy.notes[-1].startswith("banner.none")


def kind(part: Message) -> str:
    return part.get_content_type().split()[0]


def is_unedited(old: Message, new: Message) -> bool:
    return said(old) == said(new) and old.get_filename() == new.get_filename()


def assert_banner_added(old: Message, new: Message) -> None:
    """The new text is the old one and the banner."""
    assert kind(old) in {"text/plain", "text/html"}
    assert old.get_content_disposition() != "attachment"
    if old.get_content_charset() == new.get_content_charset():
        was, now = said(old), said(new)
        if old.get_content_type() == "text/plain":
            assert now.endswith(was.removeprefix(b"\xef\xbb\xbf")) or is_under_a_wrong_label(old)
        else:
            at = now.index(b'<div id="supportrelay-banner">')
            end = now.index(b"</div>", at) + len(b"</div>")
            assert (now[:at] + now[end:].removeprefix(b"\r\n")).strip() == was
    else:
        assert new.get_content_charset() == "utf-8"
        assert MARK in said(new).decode("utf-8")


def is_under_a_wrong_label(part: Message) -> bool:
    """The text is not in the charset it says, so the copy has it in UTF-8."""
    try:
        said(part).decode(part.get_content_charset() or "ascii")
    except UnicodeError:
        return True
    return False
