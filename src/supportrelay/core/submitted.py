"""A mail of our own people on its way to whom they wrote to: as it came, without our banner in what it quotes."""

from collections.abc import Sequence

from supportrelay.core.banner_cut import Cut, cut_notices
from supportrelay.core.copy_headers import CopyContext
from supportrelay.core.rewrite import Copy, as_is_copy
from supportrelay.core.splice import normalise_line_ends, splice

__all__ = ["cut_of", "submitted_copy", "without_notices"]


def cut_of(octets: bytes, senders: Sequence[str]) -> tuple[bytes, Cut]:
    """The mail with CRLF line ends, and what is to be cut out of it; never raises."""
    normal = normalise_line_ends(octets)
    return normal, cut_notices(normal, senders)


def without_notices(octets: bytes, senders: Sequence[str]) -> bytes:
    """The mail without our banner; the same object when there is none that can be cut."""
    normal, cut = cut_of(octets, senders)
    return splice(normal, cut.edits) if cut.edits else octets


def submitted_copy(octets: bytes, *, context: CopyContext, senders: Sequence[str]) -> Copy:
    """Return the copy for a recipient who is not ours; never raises.

    Args:
        senders: Our sender addresses in comparing form (`banner_cut.cut_notices`).
    """
    normal, cut = cut_of(octets, senders)
    copy = as_is_copy(splice(normal, cut.edits) if cut.edits else octets, context=context)
    mended = ("line_ends.normalised",) if cut.edits and normal is not octets else ()
    return Copy(copy.octets, (*mended, *copy.notes, *cut.notes))
