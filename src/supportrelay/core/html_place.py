"""Where a banner goes in an HTML text: right after ``<body>``, and never inside a comment, a script or a style."""

import re

__all__ = ["banner_offset"]

# One pass over the things that may hide a '<body'. What they open is closed with a plain search, so that no text
# takes more than linear time.
_LANDMARK = re.compile(
    rb"<(?:(?P<comment>!--)|(?P<raw>script|style|title|textarea)\b|(?P<body>body)\b|(?P<head_end>/head)\b"
    rb"|(?P<html>html)\b|(?P<doctype>!doctype)\b|(?P<xml>\?xml)\b)",
    re.IGNORECASE,
)
_RAW_END = re.compile(rb"</(?:script|style|title|textarea)\b", re.IGNORECASE)
_TAG_END = re.compile(rb"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_MAX_TAG = 8192
# '<!--[if !mso]><!--><body><!--<![endif]-->' hides what stands inside from Outlook.
_CONDITION_END = re.compile(rb"\s*+<!--\s*+<!\[endif\]\s*+-->")
# Two-octet sections of ISO-2022-JP look like ASCII and are none.
_SHIFTED = re.compile(rb"\x1b\$[^\x1b]*")


def banner_offset(html: bytes) -> int:
    """Return the offset in ``html`` (an ASCII-compatible charset, or ISO-2022-JP) before which a banner is inserted.

    After ``<body …>``; without one after ``</head>``, else after ``<html …>``, else after the doctype; else 0.
    """
    if b"\x1b$" in html:
        html = _SHIFTED.sub(lambda m: b"\x7f" * len(m[0]), html)
    fallback = {"head_end": 0, "html": 0, "doctype": 0, "xml": 0}
    at = 0
    while (found := _LANDMARK.search(html, at)) is not None:
        kind = found.lastgroup or ""
        if kind == "comment":
            end = html.find(b"-->", found.end())
            at = end + 3
        elif kind == "raw":
            close = _RAW_END.search(html, found.end())
            at = end = close.end() if close else -1
        else:
            at = end = _end_of_tag(html, found.end())
            if kind == "body" and end >= 0:
                return _after_condition(html, end)
            fallback[kind] = fallback.get(kind) or end
        if end < 0:
            break
    return next((offset for offset in fallback.values() if offset > 0), 0)


def _end_of_tag(html: bytes, start: int) -> int:
    """Offset after the ``>`` of a tag, -1 when there is none."""
    end = _TAG_END.match(html, start, start + _MAX_TAG)
    return end.end() if end else html.find(b">", start) + 1 or -1


def _after_condition(html: bytes, at: int) -> int:
    condition = _CONDITION_END.match(html, at)
    return condition.end() if condition else at
