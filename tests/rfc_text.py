"""Texts with a banner in them: which ones they are, and whether all that was written is still there.

Octets are compared as long as the charset stayed; only where a copy is in UTF-8 and the original was not are both read.
White space at the end of a line is no content of quoted-printable; a copy in another encoding may have it or not.
"""

import re
from html.parser import HTMLParser

from rfc_mime import Entity, decode

__all__ = ["banner_in_html", "banner_in_text", "find_texts", "html_place", "readings"]

_BOM = b"\xef\xbb\xbf"
_TEXT_BANNER = re.compile(
    r" ?――― support 案内 (SR-\d+-[0-9a-z]+|[0-9a-z]+)（次の同じ線までは、返信の前に削除してください） ―――\r\n"
    r"(?:[^\r\n]+\r\n)*? ?――― support 案内 \1 ―――\r\n(?:\r\n)?"
)
_HTML_BANNER = re.compile(rb'<div class="supportrelay-banner".*?</div>\r\n', re.DOTALL)


def find_texts(entity: Entity) -> list[Entity]:
    """The parts before whose text the banner belongs: the first text, in an alternative each of its two forms."""
    if entity.kind.startswith("multipart/") and entity.children:
        found = [texts for texts in map(find_texts, entity.children) if texts]
        if entity.kind != "multipart/alternative":
            return found[0] if found else []
        flat = [text for texts in found for text in texts]
        firsts = (next((t for t in flat if t.kind == kind), None) for kind in ("text/plain", "text/html"))
        return [text for text in firsts if text is not None]
    is_text = entity.kind in {"text/plain", "text/html"} and entity.disposition != "attachment" and not entity.filename
    return [entity] if is_text else []


# --- charsets

_CODECS = {
    "": ["ascii", "utf-8"],
    "us-ascii": ["ascii", "utf-8"],
    "ascii": ["ascii", "utf-8"],
    "shift_jis": ["cp932"],
    "x-sjis": ["cp932"],
    "gb2312": ["gb18030"],
    "gbk": ["gb18030"],
    "ks_c_5601-1987": ["cp949"],
    "euc-kr": ["cp949"],
    "big5": ["cp950", "big5"],
    "iso-8859-1": ["cp1252", "latin-1"],
    "tis-620": ["cp874"],
    "windows-874": ["cp874"],
    "x-mac-roman": ["mac_roman"],
    "x-mac-ce": ["mac_latin2"],
    "x-mac-cyrillic": ["mac_cyrillic"],
    "utf-7": ["utf-7"],
    "unicode-1-1-utf-7": ["utf-7"],
}
_ANYWAY = ["utf-8", "iso2022_jp_ext", "cp932", "euc_jp", "cp1250", "cp1252", "latin-1"]


def readings(octets: bytes, label: str) -> list[str]:
    """The texts that these octets may rightly be read as: by their label, and by any charset they are valid in."""
    found = []
    for codec in [*_CODECS.get(label, [label]), *_ANYWAY]:
        try:
            found.append(octets.decode(codec))
        except (LookupError, UnicodeError):
            continue
    return found


def _strictly(octets: bytes, label: str) -> str | None:
    for codec in _CODECS.get(label, [label]):
        try:
            return octets.decode(codec)
        except (LookupError, UnicodeError):
            continue
    return None


# --- text/plain


def banner_in_text(after: Entity, was: bytes, *, original: Entity | None = None, is_whole: bool = False) -> str | None:
    """ "" when the part is banner and text; else what is wrong; None when there is no banner.

    Args:
        was: The original text, decoded.
        is_whole: There is nothing but the banner.
    """
    now = decode(after).removeprefix(_BOM)
    was = was.removeprefix(_BOM)
    if is_whole or original is None:
        text = _strictly(now, after.charset)
        return "" if text is not None and _TEXT_BANNER.fullmatch(text.rstrip("\r\n") + "\r\n") else None
    is_mislabelled = _strictly(was, original.charset) is None
    if after.charset == original.charset and not (is_mislabelled and _strictly(now, after.charset) is not None):
        if _may_be_trimmed(original, after):
            was, now = _trimmed(was), _trimmed(now)
        if not now.endswith(was):
            return "the original's octets are not at its end"
        front = _strictly(now[: len(now) - len(was)], after.charset)
        return "" if front is not None and _TEXT_BANNER.fullmatch(front) else None
    text = _strictly(now, after.charset)
    found = _TEXT_BANNER.match(text) if text else None
    if text is None or not found:
        return None
    rest = text[found.end() :]
    trim = _trim if _may_be_trimmed(original, after) else _without_mark
    if any(trim(rest) == trim(reading) for reading in readings(was, original.charset)):
        return ""
    return f"{rest[:40]!r} is none of {[r[:40] for r in readings(was, original.charset)][:3]!r}"


def _may_be_trimmed(before: Entity, after: Entity) -> bool:
    return before.encoding == "quoted-printable" and after.encoding != before.encoding


def _trimmed(octets: bytes) -> bytes:
    return re.sub(rb"[ \t]+(?=\r\n|\Z)", b"", octets)


def _trim(text: str) -> str:
    return re.sub(r"[ \t]+(?=\r\n|\Z)", "", _without_mark(text))


def _without_mark(text: str) -> str:
    return text.removeprefix("\ufeff")


# --- text/html


def banner_in_html(before: Entity, after: Entity, was: bytes) -> str | None:
    """ "" when the part is the original with one banner in it; else what is wrong; None when there is no banner."""
    now = decode(after)
    found = _HTML_BANNER.search(now)
    if not found:
        return None
    if not found[0].isascii() and after.charset != "utf-8":
        return "a banner that its charset may not hold"
    rest = now[: found.start()] + now[found.end() :]
    if before.charset == after.charset:
        if _may_be_trimmed(before, after):
            rest, was = _trimmed(rest), _trimmed(was)
        return "" if rest == was else "not the original's octets around the banner"
    text = _strictly(rest, after.charset)
    if text is None:
        return f"not {after.charset}"
    trim = _trim if _may_be_trimmed(before, after) else _without_mark
    if any(trim(text) == trim(reading) for reading in readings(was, before.charset)):
        return ""
    return "not the original's characters around the banner"


class _Page(HTMLParser):
    """Finds the banner as a browser would: as an element, and what is to be seen above it."""

    _UNSEEN = frozenset({"head", "title", "script", "style"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.is_found = False
        self.is_unseen = 0
        self.above = ""
        self.is_at_the_top = False  # nothing between <body> and here

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if ("class", "supportrelay-banner") in attrs and not self.is_unseen:
            self.is_found = True
            self.above = "" if self.is_at_the_top else self.above
        elif not self.is_found:
            self.is_at_the_top = tag in {"body", "html"}
        if tag in self._UNSEEN:
            self.is_unseen += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in self._UNSEEN and self.is_unseen:
            self.is_unseen -= 1
        self.is_at_the_top = self.is_at_the_top or tag == "head"

    def handle_data(self, data: str) -> None:
        if not self.is_found and not self.is_unseen:
            self.above += data.strip()
            self.is_at_the_top = self.is_at_the_top and not data.strip()


def html_place(after: Entity) -> str:
    """ "" when a browser shows the banner, above everything else; otherwise what is wrong."""
    page = _Page()
    text = _strictly(decode(after), after.charset)
    page.feed(text if text is not None else decode(after).decode("latin-1"))
    page.close()
    if not page.is_found:
        return "the banner is in a comment, a script or the head"
    return f"words above the banner: {page.above[:60]!r}" if page.above.strip("\ufeff") else ""
