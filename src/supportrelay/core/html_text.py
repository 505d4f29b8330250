"""HTML reduced to text, in linear time: for decisions and search only, never for display as HTML.

``html.parser`` of Python 3.11.7 is quadratic (gh-153030), and `html.unescape` raises on long numbers.
"""

import re
from html.entities import html5

__all__ = ["html_to_text"]

_INVISIBLE = re.compile(r"<(?=(?:script|style|title)\b)", re.IGNORECASE)
_INVISIBLE_END = re.compile(r"</(?:script|style|title)\b[^<>]*+>", re.IGNORECASE)
_LINE_BREAK = re.compile(
    r"<(?:br|hr|/?(?:p|div|tr|li|ul|ol|h[1-6]|blockquote|table|pre|dt|dd|section|article))\b[^<>]*+>", re.IGNORECASE
)
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*+>")
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|(?!amp;)([a-zA-Z][a-zA-Z0-9]{1,31}));?")
_USUAL = (("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"))


def html_to_text(html: str) -> str:
    """Return the visible text: tags gone, blocks on lines of their own, references resolved, spaces collapsed."""
    if "<!--" in html:
        first, *rest = html.split("<!--")
        html = first + "".join(piece.partition("-->")[2] for piece in rest)
    first, *rest = _INVISIBLE.split(html)
    if rest:
        html = first + "".join(_after_invisible(piece) for piece in rest)
    text = _TAG.sub("", _LINE_BREAK.sub("\n", " ".join(html.split())))
    if "&" in text:
        text = _resolve(text)
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before).strip()


def _after_invisible(piece: str) -> str:
    end = _INVISIBLE_END.search(piece)
    return piece[end.end() :] if end else ""


def _resolve(text: str) -> str:
    for reference, character in _USUAL:
        text = text.replace(reference, character)
    return _REFERENCE.sub(_resolved, text).replace("&amp;", "&")


def _resolved(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name:
        return html5.get(name + ";", match[0])
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF or number < 0x20:  # noqa: PLR2004  Unicode's limits
        return " "
    return chr(number)
