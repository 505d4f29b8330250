"""Does the work grow as the mail does? Measured in CPU time of this thread, so that a busy machine changes nothing.

A mail of `_LARGE` octets may take two microseconds an octet. Where it takes more, it may take no more than twice what
eight of an eighth take. Quadratic work of two hundredths of a nanosecond a pair is found so; the best of three counts.
"""

import contextlib
import time
from collections.abc import Callable

from properties.nasty import nasty_mail
from properties.samples import AT, CONTEXT, ENVELOPE, copy_of
from supportrelay.core import mime, splice
from supportrelay.core.absence import away_until
from supportrelay.core.automatic import classify_automatic
from supportrelay.core.banner_cut import cut_notices
from supportrelay.core.language import message_language
from supportrelay.core.part_edit import CannotEdit
from supportrelay.core.reading import attachment_sizes, read_facts
from supportrelay.core.report import read_report
from supportrelay.core.rewrite import as_is_copy
from supportrelay.core.seven_bit import narrow
from supportrelay.core.splice import normalise_line_ends
from supportrelay.core.stored_view import stored_view

__all__ = ["WORK", "find_growth", "growth"]

_LARGE = 128 * 1024
_SHARE = 8
_FREE_S = 2e-6  # an octet
_MOST_GROWTH = 2.0
_TRIES = 3


def _read(octets: bytes) -> None:
    facts = read_facts(octets)
    classify_automatic(facts, ENVELOPE)
    message_language(facts)
    away_until(f"{facts.subject}\n{facts.body_text}", AT)
    read_report(octets, facts, is_named=True)


def _copy(octets: bytes) -> None:
    copy_of(octets)


def _others(octets: bytes) -> None:
    as_is_copy(octets, context=CONTEXT)
    attachment_sizes(octets)


def _narrow(octets: bytes) -> None:
    with contextlib.suppress(mime.MimeError, CannotEdit):
        narrow(normalise_line_ends(octets))


def _cut(octets: bytes) -> None:
    stored_view(octets)
    cut_notices(normalise_line_ends(octets), ("relay@desk.test",))


WORK: dict[str, Callable[[bytes], None]] = {
    "read": _read,
    "copy": _copy,
    "others": _others,
    "narrow": _narrow,
    "cut": _cut,
}


def find_growth(place: str, unit: str) -> list[str]:
    """Sentences about what grows faster than the mail does; none when all is well."""
    large, small = (nasty_mail(place, unit, size) for size in (_LARGE, _LARGE // _SHARE))
    found = []
    for name, work in WORK.items():
        for _ in range(_TRIES):
            said = growth(work, small, large)
            if not said:
                break
        else:
            found.append(f"{name} of {unit} at {place}: {said}")
    return found


def growth(work: Callable[[bytes], None], small: bytes, large: bytes) -> str:
    """What is wrong with the time that ``large`` takes beside ``small``; "" when nothing is."""
    large_s = _took_s(work, large)
    if large_s <= _FREE_S * len(large):
        return ""
    small_s = _took_s(work, small)
    share = len(large) / len(small)
    if large_s <= _MOST_GROWTH * share * max(small_s, _FREE_S * len(small)):
        return ""
    return f"{small_s * 1000:.0f} ms for {len(small)} octets, {large_s * 1000:.0f} ms for {len(large)}"


def _took_s(work: Callable[[bytes], None], octets: bytes) -> float:
    mime._read_again.cache_clear()
    splice._is_clean_again.cache_clear()
    begun = time.thread_time()
    work(octets)
    return time.thread_time() - begun
