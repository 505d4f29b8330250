"""HTML as the lines a reader sees, each with its place in the HTML; in linear time.

Not a browser: enough to find a quotation and a banner again in what mail programs make of them.
"""

import re

from supportrelay.core.html_text import resolve_references
from supportrelay.core.value import value_class

__all__ = ["Element", "HtmlLine", "HtmlView", "read_html"]

_BLOCKS = """
address article blockquote body br center dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 head header hr html li
main ol p pre section table tbody td tfoot th thead tr ul
"""
_BREAKING = frozenset(_BLOCKS.split())
_INVISIBLE = frozenset({"script", "style", "title", "textarea", "head"})
_CLOSING = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in _INVISIBLE}
_TOKEN = re.compile(
    r"<(?:(?P<comment>!--)|(?P<closing>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:]{0,30})(?=[\s/>])|(?P<other>[!?]))"
)
_TAG_END = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_MAX_TAG = 8192
_CITE = re.compile(r"type\s*=\s*[\"']?cite|gmail_quote|moz-cite|protonmail_quote", re.IGNORECASE)
_QUOTE_SIGN = re.compile(
    r"gmail_quote|yahoo_quoted|protonmail_quote|divRplyFwdMsg|appendonsend|OLK_SRC_BODY_SECTION", re.IGNORECASE
)
_OWN = re.compile(r"data-supportrelay\s*=\s*[\"']?([^\"'\s>]{1,40})", re.IGNORECASE)
_OWN_LEAST = len("data-supportrelay=x")
_VISIBLE = re.compile(r"[^\s\u00a0]")


@value_class
class HtmlLine:
    """A line that a reader sees.

    Attributes:
        text: Spaces collapsed, references resolved.
        start, end: Of its visible characters in the HTML; equal for an empty line.
        depth: Quotations it stands in.
    """

    text: str
    start: int
    end: int
    depth: int = 0


@value_class
class Element:
    """``html[start:end]``, with its tags, of a banner that still has our attribute."""

    start: int
    end: int
    mark: str


@value_class
class HtmlView:
    """What was read.

    Attributes:
        quote_at: Number of lines above the first sign by which a mail program begins its quotation, None without.
        own: Elements of ours, the inner one first.
        own_tags: ``(start, end, mark)`` of every tag that has our attribute.
    """

    lines: tuple[HtmlLine, ...]
    quote_at: int | None = None
    own: tuple[Element, ...] = ()
    own_tags: tuple[tuple[int, int, str], ...] = ()


def read_html(html: str) -> HtmlView:
    """Return the lines of an HTML text. Never raises."""
    return _Reader(html).read()


class _Reader:
    __slots__ = (
        "_depth",
        "_elements",
        "_end",
        "_html",
        "_is_head_open",
        "_lines",
        "_open",
        "_pieces",
        "_preformatted",
        "_quote_at",
        "_quotes",
        "_start",
        "_tags",
    )

    def __init__(self, html: str) -> None:
        self._html = html
        self._lines: list[HtmlLine] = []
        self._pieces: list[str] = []
        self._start = self._end = -1
        self._depth = 0
        self._quotes: list[bool] = []
        self._preformatted = 0
        self._is_head_open = False
        self._quote_at: int | None = None
        self._open: list[tuple[int, int, str]] = []  # how many divs are open, offset, mark
        self._elements: list[Element] = []
        self._tags: list[tuple[int, int, str]] = []

    def read(self) -> HtmlView:
        html = self._html
        at = 0
        divs = 0
        while (token := _TOKEN.search(html, at)) is not None:
            self._text(at, token.start())
            if token["comment"]:
                end = html.find("-->", token.end())
                at = end + 3 if end >= 0 else len(html)
                continue
            end = self._end_of_tag(token.end())
            name = (token["name"] or "").lower()
            is_closing = bool(token["closing"])
            attributes = html[token.end() : end]
            at = end
            if name in _INVISIBLE and not is_closing and not (name == "head" and self._is_head_open):
                at = self._skip(name, end)
                continue
            own = _OWN.search(attributes) if not is_closing and len(attributes) >= _OWN_LEAST else None
            if own is not None:
                self._tags.append((token.start(), end, own[1]))
            if name == "div":
                divs += -1 if is_closing else 1
                self._note_own(token.start(), end, divs, own, is_closing=is_closing)
            self._note_tag(name, attributes, is_closing=is_closing)
        self._text(at, len(html))
        self._break()
        return HtmlView(tuple(self._lines), self._quote_at, tuple(self._elements), tuple(self._tags))

    def _end_of_tag(self, at: int) -> int:
        found = _TAG_END.match(self._html, at, at + _MAX_TAG)
        return found.end() if found else self._html.find(">", at) + 1 or len(self._html)

    def _skip(self, name: str, at: int) -> int:
        """Past an element whose text nobody sees."""
        closing = _CLOSING[name].search(self._html, at)
        if closing is not None:
            return self._end_of_tag(closing.end())
        if name != "head":
            return len(self._html)
        self._is_head_open = True  # nothing closes it: people see what stands behind
        return at

    def _note_own(self, start: int, end: int, divs: int, own: re.Match[str] | None, *, is_closing: bool) -> None:
        if is_closing:
            if self._open and divs < self._open[-1][0]:
                _, at, mark = self._open.pop()
                self._elements.append(Element(at, end, mark))
        elif own is not None:
            self._open.append((divs, start, own[1]))

    def _note_tag(self, name: str, attributes: str, *, is_closing: bool) -> None:
        if name in _BREAKING:
            self._break(keeps_empty=name == "br")
        if name == "blockquote":
            self._note_quotation(attributes, is_closing=is_closing)
        elif name == "pre":
            self._preformatted = max(0, self._preformatted + (-1 if is_closing else 1))
        if not is_closing and self._quote_at is None and attributes and _QUOTE_SIGN.search(attributes):
            self._break()
            self._quote_at = len(self._lines)

    def _note_quotation(self, attributes: str, *, is_closing: bool) -> None:
        if is_closing:
            if self._quotes and self._quotes.pop():
                self._depth -= 1
            return
        is_quotation = _CITE.search(attributes) is not None
        self._quotes.append(is_quotation)
        self._depth += is_quotation

    def _text(self, start: int, end: int) -> None:
        if start >= end:
            return
        html = self._html
        if not self._preformatted:
            self._run(start, end)
            return
        while (line_end := html.find("\n", start, end)) >= 0:
            self._run(start, line_end)
            self._break(keeps_empty=True)
            start = line_end + 1
        self._run(start, end)

    def _run(self, start: int, end: int) -> None:
        html = self._html
        first = _VISIBLE.search(html, start, end)
        if first is None:
            if start < end:
                self._pieces.append(" ")
            return
        if self._start < 0:
            self._start = first.start()
        self._end = start + len(html[start:end].rstrip())
        self._pieces.append(html[start:end])

    def _break(self, *, keeps_empty: bool = False) -> None:
        """End the line; an empty one counts only where the author made it."""
        text = " ".join(resolve_references("".join(self._pieces)).split()) if self._pieces else ""
        if text:
            self._lines.append(HtmlLine(text, self._start, self._end, self._depth))
        elif keeps_empty:
            place = self._lines[-1].end if self._lines else 0
            self._lines.append(HtmlLine("", place, place, self._depth))
        self._pieces = []
        self._start = self._end = -1
