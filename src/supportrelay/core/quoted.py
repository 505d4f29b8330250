"""Where a mail stops being its author's words: quoted lines, quote heads, forward heads (RULES 6, taking out 2 and 3).

This tells whether a person wrote anything and whom a forwarded mail is from; nothing is cut out of a mail by it.
"""

import re

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import Mailbox, parse_mailboxes, parse_path

__all__ = ["forwarded_author", "own_words", "split_html_quote"]

_QUOTE_MARKS = (">", "＞")
_COLONS = (":", "：")
# One of these stands in every quoted line, separator, attribution and header block.
_QUOTE_SIGNS = (*_COLONS, *_QUOTE_MARKS, "--")

_FORWARD_WORDS = (
    r"Forwarded message|Forwarded by [^\-\n]{1,80}|転送メッセージ|転送されたメッセージ|Weitergeleitete Nachricht|"
    "Message transféré|Message transmis|Przekazana wiadomość|Wiadomość przekazana|Treść przekazanej wiadomości|"
    "Mensaje reenviado|Messaggio inoltrato"
)
_ORIGINAL_WORDS = (
    "Original Message|Original-Nachricht|元のメッセージ|オリジナルメッセージ|Ursprüngliche Nachricht|"
    "Message d['’]origine|Message original|Oryginalna wiadomość|Wiadomość oryginalna|Mensaje original|"
    "Messaggio originale"
)
_FORWARD_HEAD = re.compile(
    rf"[> \t]*+(?:-{{2,60}}[ \t]*(?:{_FORWARD_WORDS})[ \t]*-{{2,60}}|Begin forwarded message:|"
    r"Anfang der weitergeleiteten (?:Nachricht|E-Mail):|Début du message (?:réexpédié|transféré)\s?:|"
    r"転送されたメッセージ[:：]|Początek przekazywanej wiadomości:)",
    re.IGNORECASE,
)
_ORIGINAL_HEAD = re.compile(rf"[> \t]*+-{{2,60}}[ \t]*(?:{_ORIGINAL_WORDS})[ \t]*-{{2,60}}", re.IGNORECASE)
_SEPARATOR = re.compile(
    rf"-{{2,60}}[ \t]*(?:{_FORWARD_WORDS}|{_ORIGINAL_WORDS})[ \t]*-{{2,60}}|[＜<]以下、?引用[＞>]", re.IGNORECASE
)

# Attribution lines: "On ... wrote:", "Le ... a écrit :", "2020年1月7日(火) 9:55 名前 <addr>:". They may be wrapped.
# People write such words too ("he wrote:"), so a date in front, an address or quoted lines below must say the same.
_ATTRIBUTION_END = re.compile(
    r"(?:\bwrote|\ba écrit|\bschrieb[^\n]{0,120}|\bpisze|napisał(?:\(a\)|a)?|\bescribió|\bha scritto|"
    r"\bschreef[^\n]{0,120}|\bskrev[^\n]{0,120}|さん[はが]書きました|のメール|のメッセージ)[ \t]*[:：][ \t]*$"
)
_ENDS_WITH_ADDRESS = re.compile(r"<[^<>\s]{1,250}@[^<>\s]{1,250}>[ \t]*[:：][ \t]*$")
_HOLDS_ADDRESS = re.compile(r"[<＜(][^<>＜＞\s]{1,250}@[^<>＜＞\s]{1,250}[>＞)]")
_ATTRIBUTION_START = re.compile(
    r"[ \t]*(?:(?:On|Le|Am|W dniu|Dnia|El|Il|Op|Den) [^\n]*\d|[(（]?\d{4}[/年.\-]\d{1,2}[/月.\-])"
)

_FROM_NAMES = "From|Von|De|Od|Da|Van|Från|差出人|送信者|送信元|发件人|寄件者"
_OTHER_NAMES = (
    "Sent|Date|To|Cc|Subject|Reply-To|Gesendet|Datum|An|Betreff|Envoyé|À|Objet|Wysłano|Data|Do|DW|Temat|"
    "送信日時|日時|日付|送信日|宛先|ＣＣ|件名|主题|收件人"
)
_BLOCK_LINE = re.compile(
    rf"[> \t*]*+(?:(?P<author>{_FROM_NAMES})|{_OTHER_NAMES})\*?[ \t]*[:：][ \t]*\*?(?P<value>[^\n]*)$",
    re.IGNORECASE,
)
_BLOCK_SPAN = 6  # lines within which a header block shows itself
_BLOCK_LEAST = 3  # of its lines; From and two others


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
        elif bare[0] in _QUOTE_MARKS:
            continue
        elif bare[0] in "-<＜" and _SEPARATOR.match(bare):
            break
        elif ":" not in bare and "：" not in bare:
            kept.append(line)
        elif _begins_block(lines, index) or _FORWARD_HEAD.match(bare):
            break
        elif bare[-1] in _COLONS and _is_attribution(lines, index):
            _drop_wrapped_start(kept)
            if not _is_followed_by_quote(lines, index):
                break
        else:
            kept.append(line)
    return "\n".join(kept).strip()


def _has_colon(line: str) -> bool:
    return ":" in line or "：" in line


def _begins_block(lines: list[str], index: int) -> bool:
    """A header block as Outlook puts before the quoted mail begins here."""
    first = _BLOCK_LINE.match(lines[index])
    if not first or not first["author"]:
        return False
    following = lines[index : index + _BLOCK_SPAN]
    return sum(1 for line in following if _BLOCK_LINE.match(line)) >= _BLOCK_LEAST


def _is_attribution(lines: list[str], index: int) -> bool:
    line = lines[index][-600:]
    is_dated = any(_ATTRIBUTION_START.match(earlier[:600]) for earlier in lines[max(0, index - 2) : index + 1])
    if _ATTRIBUTION_END.search(line):
        return is_dated or bool(_HOLDS_ADDRESS.search(line)) or _is_followed_by_quote(lines, index)
    return is_dated and bool(_ENDS_WITH_ADDRESS.search(line))


def _drop_wrapped_start(kept: list[str]) -> None:
    """Take back the first lines of an attribution that was wrapped."""
    for back in (1, 2):
        if len(kept) >= back and kept[-back].strip() and _ATTRIBUTION_START.match(kept[-back]):
            del kept[-back:]
            return


def _is_followed_by_quote(lines: list[str], index: int) -> bool:
    for line in lines[index + 1 : index + 4]:
        if line.strip():
            return line.lstrip().startswith(_QUOTE_MARKS)
    return False


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
        if _FORWARD_HEAD.match(line) or (is_forward_subject and _ORIGINAL_HEAD.match(line)):
            return _first_author(lines[index + 1 : index + _FORWARD_REACH])
        if is_forward_subject and _begins_block(lines, index):
            return _first_author(lines[index:])
    return None


def _may_forward(text: str) -> bool:
    """Does a sign of an explicit forward head stand in it? Without a colon only the dashes can."""
    return "--" in text or (_has_colon(text) and any(sign in text for sign in _FORWARD_SIGNS))


def _first_author(lines: list[str]) -> Mailbox | None:
    for line in lines:
        match = _BLOCK_LINE.match(line)
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
