"""Others' words in a line of a mail of ours: no control, no bidi mark, nothing invisible (RELIABILITY C42, C49)."""

import unicodedata

__all__ = ["plain_line"]

_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SPACES = frozenset({"Zl", "Zp", "Zs"})


def plain_line(text: str, longest: int = 300) -> str:
    """Return one printable line of at most so many characters, with ``…`` when it was longer.

    Spaces of every kind become single ones; controls, bidi and zero-width marks vanish.
    """
    text = text[: 4 * longest]
    if not (text.isascii() and text.isprintable()):
        text = "".join(_plain(c) for c in text)
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _plain(character: str) -> str:
    if character in "\t\r\n\v\f":
        return " "
    category = unicodedata.category(character)
    return " " if category in _SPACES else "" if category in _UNWANTED else character
