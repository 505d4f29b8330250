"""Where a mail stops being its author's words: quoted lines, quote heads, forward heads (RULES 6, taking out 2 and 3).

This tells whether a person wrote anything and whom a forwarded mail is from; nothing is cut out of a mail by it.
"""

import re

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, parse_path
from supportrelay.core.quote_heads import (
    BLOCK_LINE,
    FORWARD_HEAD,
    ORIGINAL_HEAD,
    QUOTE_MARKS,
    SEPARATOR,
    begins_attribution,
    begins_block,
    is_attribution,
    is_followed_by_quote,
)

__all__ = ["forwarded_author", "own_words", "split_html_quote"]

_COLONS = (":", "：")
# One of these stands in every quoted line, separator, attribution and header block.
_QUOTE_SIGNS = (*_COLONS, *QUOTE_MARKS, "--")


def own_words(text: str) -> str:
    """``text`` without quoted lines and without what follows a quote head.

    A line that introduces '>' lines takes only those with it, so answers between or under quotes stay.
    """
    if not any(sign in text for sign in _QUOTE_SIGNS):
        return text.strip()
    lines = text.split("\n")
    kept: list[str] = []
    for index, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            kept.append(line)
        elif bare[0] in QUOTE_MARKS:
            continue
        elif bare[0] in "-<＜" and SEPARATOR.match(bare):
            break
        elif ":" not in bare and "：" not in bare:
            kept.append(line)
        elif begins_block(lines, index) or FORWARD_HEAD.match(bare):
            break
        elif bare[-1] in _COLONS and is_attribution(lines, index):
            _drop_wrapped_start(kept)
            if not is_followed_by_quote(lines, index):
                break
        else:
            kept.append(line)
    return "\n".join(kept).strip()


def _has_colon(line: str) -> bool:
    return ":" in line or "：" in line


def _drop_wrapped_start(kept: list[str]) -> None:
    """Take back the first lines of an attribution that was wrapped."""
    for back in (1, 2):
        if len(kept) >= back and kept[-back].strip() and begins_attribution(kept[-back]):
            del kept[-back:]
            return


# --- HTML

# Marks of the quoted part, and of those after which nothing is the author's own.
_HTML_QUOTES = ("gmail_quote", "yahoo_quoted", "protonmail_quote", "moz-cite-prefix")
_HTML_RESTS = ("divrplyfwdmsg", "appendonsend", "olk_src_body_section", "moz-forward-container")
_CITE = re.compile(r"<blockquote[^<>]{0,200}type=.?cite")


def split_html_quote(html: str) -> tuple[str, str, str]:
    """``(own, quote, below)``: what stands before the quote, the quote, and what the client put under it."""
    lower = html.lower()
    if len(lower) != len(html):  # a few letters change their length; offsets would be wrong
        return html, "", ""
    found = [(at, mark in _HTML_RESTS) for mark in (*_HTML_QUOTES, *_HTML_RESTS) if (at := lower.find(mark)) >= 0]
    if cite := _CITE.search(lower):
        found.append((cite.start() + 1, False))
    if not found:
        return html, "", ""
    at, is_rest = min(found)
    start = max(html.rfind("<", 0, at), 0)
    end = -1 if is_rest else lower.rfind("</blockquote>", at)
    end = len(html) if end < 0 else end + len("</blockquote>")
    return html[:start], html[start:end], html[end:]


# --- forwarded mail

# One of these stands in every explicit forward head.
_FORWARD_SIGNS = ("--", "message:", "Nachricht:", "E-Mail:", "message ré", "message tr", "転送された", "wiadomości:")
_FORWARD_REACH = 15  # lines after a forward head in which its From line stands
_MAILTO = re.compile(r"[\[<(]mailto:([^\]>)\s]{1,400})[\]>)]", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>\[\]()\"',;:]{1,128}@[A-Za-z0-9.\-]{1,253}")


def forwarded_author(text: str, *, is_forward_subject: bool) -> Mailbox | None:
    """The author of the mail that ``text`` forwards, None when it forwards none.

    An explicit forward head always counts; "Original Message" and a bare header block, which answers have too, only
    under a subject with a forward prefix.
    """
    if not is_forward_subject and not _may_forward(text):
        return None
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if "-" not in line and not _has_colon(line):
            continue
        if FORWARD_HEAD.match(line) or (is_forward_subject and ORIGINAL_HEAD.match(line)):
            return _first_author(lines[index + 1 : index + _FORWARD_REACH])
        if is_forward_subject and begins_block(lines, index):
            return _first_author(lines[index:])
    return None


def _may_forward(text: str) -> bool:
    """Does a sign of an explicit forward head stand in it? Without a colon only the dashes can."""
    return "--" in text or (_has_colon(text) and any(sign in text for sign in _FORWARD_SIGNS))


def _first_author(lines: list[str]) -> Mailbox | None:
    for line in lines:
        match = BLOCK_LINE.match(line)
        if match and match["author"]:
            return _author_of(match["value"].strip(" \t*"))
    return None


def _author_of(value: str) -> Mailbox | None:
    value = value[:1000]
    without_links = _MAILTO.sub("", value)
    found = parse_mailboxes(without_links if "@" in without_links else _MAILTO.sub(r"<\1>", value))
    if found:
        return found[0]
    match = _ADDRESS.search(value)
    try:
        return parse_path(match[0].rstrip(".")) if match else None
    except AddressError:
        return None
