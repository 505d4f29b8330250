"""How mail programs begin a quotation: attribution lines, header blocks, separators, forward heads (RULES 6).

Written as the programs write them: Gmail, Outlook, Apple Mail, Thunderbird, Becky!, Yahoo! and phones, in Japanese,
English, German, French, Polish and their neighbours.
"""

import re
from collections.abc import Sequence

__all__ = [
    "BLOCK_LINE",
    "FORWARD_HEAD",
    "ORIGINAL_HEAD",
    "QUOTE_MARKS",
    "SEPARATOR",
    "begins_attribution",
    "begins_block",
    "is_attribution",
    "is_followed_by_quote",
    "is_quoted",
]

QUOTE_MARKS = (">", "＞")

_FORWARD_WORDS = (
    r"Forwarded message|Forwarded by [^\-\n]{1,80}|転送メッセージ|転送されたメッセージ|Weitergeleitete Nachricht|"
    "Message transféré|Message transmis|Przekazana wiadomość|Wiadomość przekazana|Treść przekazanej wiadomości|"
    "Mensaje reenviado|Messaggio inoltrato"
)
_ORIGINAL_WORDS = (
    "Original Message|Original-Nachricht|元のメッセージ|元のメール|オリジナルメッセージ|Ursprüngliche Nachricht|"
    "Message d['’]origine|Message original|Oryginalna wiadomość|Wiadomość oryginalna|Mensaje original|"
    "Messaggio originale"
)
FORWARD_HEAD = re.compile(
    rf"[> \t]*+(?:-{{2,60}}[ \t]*(?:{_FORWARD_WORDS})[ \t]*-{{2,60}}|Begin forwarded message:|"
    r"Anfang der weitergeleiteten (?:Nachricht|E-Mail):|Début du message (?:réexpédié|transféré)\s?:|"
    r"転送されたメッセージ[:：]|Początek przekazywanej wiadomości:)",
    re.IGNORECASE,
)
ORIGINAL_HEAD = re.compile(rf"[> \t]*+-{{2,60}}[ \t]*(?:{_ORIGINAL_WORDS})[ \t]*-{{2,60}}", re.IGNORECASE)
SEPARATOR = re.compile(
    rf"-{{2,60}}[ \t]*(?:{_FORWARD_WORDS}|{_ORIGINAL_WORDS})[ \t]*-{{2,60}}|[＜<]以下、?引用[＞>]", re.IGNORECASE
)

# Attribution lines: "On ... wrote:", "Le ... a écrit :", "2020年1月7日(火) 9:55 名前 <addr>:". They may be wrapped.
# People write such words too ("he wrote:"), so a date in front, an address or quoted lines below must say the same.
_ATTRIBUTION_END = re.compile(
    r"(?:\bwrote|\ba écrit|\bschrieb[^\n]{0,120}|\bpisze|napisał(?:\(a\)|a)?|\bescribió|\bha scritto|"
    r"\bschreef[^\n]{0,120}|\bskrev[^\n]{0,120}|さん[はが]書きました|のメール|のメッセージ)"
    r"[ \t\u00a0\u202f]*[:：][ \t]*$"
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
BLOCK_LINE = re.compile(
    rf"[> \t*]*+(?:(?P<author>{_FROM_NAMES})|{_OTHER_NAMES})\*?[ \t\u00a0]*[:：][ \t]*\*?(?P<value>[^\n]*)$",
    re.IGNORECASE,
)
_BLOCK_SPAN = 6  # lines within which a header block shows itself
_BLOCK_LEAST = 3  # of its lines; From and two others


def is_quoted(line: str) -> bool:
    """The line begins with a quotation mark."""
    return line.lstrip().startswith(QUOTE_MARKS)


def begins_block(lines: Sequence[str], index: int) -> bool:
    """A header block as Outlook puts before the quoted mail begins here."""
    first = BLOCK_LINE.match(lines[index])
    if not first or not first["author"]:
        return False
    following = lines[index : index + _BLOCK_SPAN]
    return sum(1 for line in following if BLOCK_LINE.match(line)) >= _BLOCK_LEAST


def is_attribution(lines: Sequence[str], index: int) -> bool:
    """The line that ends an attribution."""
    line = lines[index][-600:]
    is_dated = any(begins_attribution(earlier) for earlier in lines[max(0, index - 2) : index + 1])
    if _ATTRIBUTION_END.search(line):
        return is_dated or bool(_HOLDS_ADDRESS.search(line)) or is_followed_by_quote(lines, index)
    return is_dated and bool(_ENDS_WITH_ADDRESS.search(line))


def begins_attribution(line: str) -> bool:
    """The line could be the first one of an attribution: it begins with a date."""
    return _ATTRIBUTION_START.match(line[:600]) is not None


def is_followed_by_quote(lines: Sequence[str], index: int) -> bool:
    """One of the next three lines is the first with words, and it is quoted."""
    for line in lines[index + 1 : index + 4]:
        if line.strip():
            return is_quoted(line)
    return False
