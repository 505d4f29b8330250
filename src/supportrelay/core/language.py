"""In which language is this mail? A plain guess for rules (condition ``language``), good enough to choose readers.

Asked in this order, the first answer stands:

1. Content-Language, its first tag (``ja-JP`` is ja).
2. The script of the writer's own text: kana is ja, hangul ko, Cyrillic ru (or uk by its letters), Greek el, Thai th,
   Arabic ar, Hebrew he; Chinese characters without kana are what the charset says, else zh.
3. A charset that only one language uses: ISO-2022-JP is ja, GB18030 zh.
4. Latin script: letters that few languages have, and their commonest words, counted over the first words.

Nothing found is "": no language, and every ``language`` condition says no.
"""

import re
from collections import Counter

from supportrelay.core.facts import Facts

__all__ = ["message_language"]

_MAX_TEXT = 2000
_MIN_SHARE = 0.1  # of the letters: a Japanese name under an English mail does not make it Japanese
_MIN_WORDS = 2

_CHARSETS = {
    "iso-2022-jp": "ja",
    "shift_jis": "ja",
    "shift-jis": "ja",
    "x-sjis": "ja",
    "windows-31j": "ja",
    "cp932": "ja",
    "euc-jp": "ja",
    "gb2312": "zh",
    "gbk": "zh",
    "gb18030": "zh",
    "big5": "zh",
    "euc-kr": "ko",
    "ks_c_5601-1987": "ko",
    "iso-2022-kr": "ko",
    "koi8-r": "ru",
    "koi8-u": "uk",
}

_SCRIPTS = (
    ("kana", re.compile("[\u3041-\u30fa\uff66-\uff9d]")),
    ("ko", re.compile("[\uac00-\ud7a3\u1100-\u11ff]")),
    ("han", re.compile("[\u4e00-\u9fff\u3400-\u4dbf]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("th", re.compile("[\u0e01-\u0e5b]")),
    ("ar", re.compile("[\u0620-\u06ff]")),
    ("he", re.compile("[\u05d0-\u05ea]")),
)
_LETTERS = re.compile(r"[^\W\d_]")
_UKRAINIAN = re.compile("[іїєґ]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")

_COMMON = {
    "en": "the and you for is are this that have with please we our your not can will would thanks dear regards",
    "fr": "le la les des une est vous nous je pour dans avec que qui sur merci bonjour cordialement notre pas et au",
    "pl": "nie jest się że na do dla jak czy proszę dziękuję dzień dobry pozdrawiam państwa mam oraz przez z w po o",
    "de": "der die das und ist nicht wir sie ich mit für auf bitte danke hallo grüße freundlichen ein eine zu den von",
    "es": "el los las una que por para con está hola gracias saludos usted no se su del es en y le un",
    "it": "il gli una che per con non sono grazie buongiorno saluti cordiali di della questo è e la un si mi",
    "nl": "de het een en van is niet wij met voor dank hallo groeten vriendelijke ik u op te dat die zijn",
    "pt": "o os as uma que por para com não obrigado olá cumprimentos você do da é em um se no na",
}
_VOTES: dict[str, tuple[str, ...]] = {
    word: tuple(code for code, words in _COMMON.items() if word in words.split())
    for word in sorted({word for words in _COMMON.values() for word in words.split()})
}

_LETTER_VOTES = (
    ("pl", re.compile("[ąęłśźżćń]")),
    ("de", re.compile("[ßäü]")),
    ("fr", re.compile("[èêœùûë]|ç(?!ã)")),
    ("es", re.compile("[ñ¿¡]")),
    ("pt", re.compile("[ãõ]")),
)


def message_language(facts: Facts) -> str:
    """Return the two-letter code of a mail's language, lower case, or "" when nothing tells."""
    tag = facts.first("content-language").partition(",")[0].strip().lower()
    code = tag.partition("-")[0].partition("_")[0]
    if code.isascii() and code.isalpha() and len(code) in {2, 3}:
        return code
    by_charset = _CHARSETS.get(facts.content_parameters.get("charset", "").lower(), "")
    text = f"{facts.subject}\n{(facts.own_text or facts.body_text)[:_MAX_TEXT]}"
    return _by_script(text, by_charset) or by_charset or _by_words(text)


def _by_script(text: str, by_charset: str) -> str:
    letters = len(_LETTERS.findall(text))
    if text.isascii() or not letters:
        return ""
    share = {name: len(pattern.findall(text)) / letters for name, pattern in _SCRIPTS}
    if share["kana"] + share["han"] >= _MIN_SHARE and share["kana"]:
        return "ja"
    name = max(share, key=lambda one: share[one])
    if share[name] < _MIN_SHARE:
        return ""
    if name == "han":
        return by_charset or "zh"
    return "uk" if name == "ru" and _UKRAINIAN.search(text) else name


def _by_words(text: str) -> str:
    lowered = text.lower()
    votes: Counter[str] = Counter()
    for word in _WORD.findall(lowered)[:300]:
        votes.update(_VOTES.get(word, ()))
    for code, letters in _LETTER_VOTES:
        votes[code] += 2 * len(letters.findall(lowered))
    ranked = votes.most_common(2)
    if not ranked or ranked[0][1] < _MIN_WORDS or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return ""
    return ranked[0][0]
