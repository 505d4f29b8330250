"""Subjects: what remains of one when prefixes and tags are gone, and what the prefixes say (RULES 4)."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["has_either_prefix", "has_forward_prefix", "has_reply_prefix", "normalise_subject"]

# After NFKC, which turns fullwidth letters, digits and colons into plain ones. "VS" is a Finnish reply and a Danish
# forward: taken as a reply, unless the body forwards something.
_REPLY = (
    "re|aw|antw|antwort|odp|odpowiedź|r|ref|réf|rép|res|rif|sv|svar|vá|vs|ynt|atb|bls|"
    "на|отв|ha|απ|σχετ|השב|תגובה|回复|回覆|答复|返信|返|回信|답장|회신"
)
_FORWARD = "fwd|fw|wg|tr|pd|i|enc|rv|vl|doorst|továbbítás|i̇lt|ilt|пересл|转发|轉寄|転送|전달"
_COUNTER = r"(?:\s{0,5}(?:\(\d{1,4}\)|\[\d{1,4}\])|[*^]?\d{1,3})?"
_REPLY_PREFIX = re.compile(rf"\s*+(?:{_REPLY}){_COUNTER}\s{{0,5}}:\s*+", re.IGNORECASE)
_FORWARD_PREFIX = re.compile(rf"\s*+(?:{_FORWARD}){_COUNTER}\s{{0,5}}:\s*+", re.IGNORECASE)
_EITHER_PREFIX = re.compile(rf"\s*+vs{_COUNTER}\s{{0,5}}:\s*+", re.IGNORECASE)
_ANY_PREFIX = re.compile(rf"\s*+(?:{_REPLY}|{_FORWARD}){_COUNTER}\s{{0,5}}:\s*+", re.IGNORECASE)
_LEADING_TAG = re.compile(r"\s*+(?:\[[^\[\]]{1,60}\]|【[^【】]{1,60}】)\s*+")
_TICKET_TAG = re.compile(r"\[[^\[\]]{0,40}SR-\d{1,12}[^\[\]]{0,20}\]", re.IGNORECASE)

_LONGEST = 1000  # characters looked at; `unicodedata.normalize` is quadratic on 3.11.7 (gh-149079)


def _plain(text: str) -> str:
    text = text[:_LONGEST]
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def normalise_subject(text: str, tags: Iterable[str] = ()) -> str:
    """Return the subject for comparing: NFKC, without ticket tags, the given tags and all reply and forward prefixes.

    ``tags`` are written with their brackets (``[EXTERNAL]``) and vanish wherever they stand. Spaces are collapsed,
    letters case-folded. At most 1,000 characters count.
    """
    return _normalised(text[:_LONGEST], tuple(tags))


@lru_cache(maxsize=256)  # asked for a mail's thread, its ticket and its guard
def _normalised(text: str, tags: tuple[str, ...]) -> str:
    plain = _TICKET_TAG.sub(" ", _plain(text)).casefold()
    for tag in tags:
        plain = plain.replace(_plain(tag).casefold(), " ")
    position = 0
    while match := _ANY_PREFIX.match(plain, position):
        position = match.end()
    return " ".join(plain[position:].split())


@lru_cache(maxsize=256)
def _begins_with(text: str, prefix: re.Pattern[str]) -> bool:
    plain = _plain(text)
    position = 0
    while True:  # tags of lists and gateways may stand in front
        if prefix.match(plain, position):
            return True
        match = _LEADING_TAG.match(plain, position)
        if not match:
            return False
        position = match.end()


def has_reply_prefix(text: str) -> bool:
    """The first prefix says reply: ``Re:``, ``AW:``, ``Odp:``, ``返信：``, ``Re[2]:`` ..."""
    return _begins_with(text[:_LONGEST], _REPLY_PREFIX)


def has_either_prefix(text: str) -> bool:
    """The first prefix says reply in one language and forward in another (``VS:``); the body tells which."""
    return _begins_with(text[:_LONGEST], _EITHER_PREFIX)


def has_forward_prefix(text: str) -> bool:
    """The first prefix says forward: ``Fwd:``, ``WG:``, ``TR :``, ``転送：`` ..."""
    return _begins_with(text[:_LONGEST], _FORWARD_PREFIX)
