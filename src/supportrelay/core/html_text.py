"""HTML reduced to text, in linear time: for decisions and search only, never for display as HTML.

``html.parser`` of Python 3.11.7 is quadratic (gh-153030), and `html.unescape` raises on long numbers.
"""

import re
from html.entities import html5

__all__ = ["html_to_text", "resolve_references"]

_BLOCKS = """
address article blockquote br dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr li ol p pre section table td th tr ul
"""
# As they stand between "<" and ">" or the first space.
_BREAKS = frozenset(form for name in _BLOCKS.split() for form in (name, "/" + name, name + "/"))
_INVISIBLE = frozenset({"script", "style", "title"})
_TAG_SIGNS = frozenset("/!?")
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|(?!amp;)([a-zA-Z][a-zA-Z0-9]{1,31}));?")
_USUAL = (("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"))


def html_to_text(html: str) -> str:
    """Return the visible text: tags gone, blocks on lines of their own, references resolved, spaces collapsed."""
    if "<!--" in html:
        first, *rest = html.split("<!--")
        html = first + "".join(piece.partition("-->")[2] for piece in rest)
    text = _without_tags(" ".join(html.split()))
    if "&" in text:
        text = resolve_references(text)
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before).strip()


def _without_tags(html: str) -> str:
    first, *pieces = html.split("<")
    out = [first]
    closing = ""  # of the invisible element we are in
    for piece in pieces:
        tag, is_closed, text = piece.partition(">")
        name = tag.partition(" ")[0].lower()
        if closing:
            if name != closing:
                continue
            closing = ""
        elif name in _INVISIBLE and is_closed:
            closing = "/" + name
            continue
        if not is_closed or not (name[:1].isalpha() or name[:1] in _TAG_SIGNS):
            out.append("<" + piece)  # no tag: "a < b"
            continue
        if name in _BREAKS:
            out.append("\n")
        out.append(text)
    return "".join(out)


def resolve_references(text: str) -> str:
    """The text with character references (``&gt;``, ``&#8213;``) put into what they stand for; never raises."""
    if "&" not in text:
        return text
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
