"""Words that read like an absence notice or an automatic answer, in Japanese, English, German, French and Polish.

Alone they are shown and never obeyed (RULES 2B.8, DESIGN 2). Beside a field that says "automatic answer", or a null
reverse-path, they tell what kind of answer it is.
"""

import re

__all__ = ["looks_automatic", "says_absence", "says_absence_in_text"]

_ABSENCE_WORDS = (
    "不在",
    "外出中",
    "休暇",
    "退職",
    "out of office",
    "out of the office",
    "out-of-office",
    "abwesen",
    "absence du bureau",
    "poza biurem",
    "nieobecno",
    "vacation",
)
# People write these too; they count beside another sign only.
_AWAY_WORDS = (
    "休業",
    "出張中",
    "お休み",
    "nicht im büro",
    "urlaub",
    "absence",
    "en congé",
    "na urlopie",
    "on leave",
    "annual leave",
)
_ANSWER_WORDS = (
    "自動返信",
    "自動応答",
    "自動送信",
    "automatic reply",
    "automatische antwort",
    "réponse automatique",
    "autoodpowied",
    "automatyczna odpowied",
    "odpowiedź automatyczna",
    "risposta automatica",
    "respuesta automática",
    "automatisch antwoord",
    "autosvar",
)
_WORDS = _ABSENCE_WORDS + _ANSWER_WORDS
_AT_THE_START = re.compile(
    r"\s*(?:auto\s*[:：]|auto[ -]?(?:reply|respon)|absent(?:e|es|s)?(?![a-zà-ÿ]))", re.IGNORECASE
)


def says_absence(subject: str) -> bool:
    """It says that somebody is away."""
    return _has_words(subject, _ABSENCE_WORDS + _AWAY_WORDS) or _AWAY_AT_THE_START.match(subject) is not None


_IN_TEXT = re.compile(
    r"不在|休暇(?:中|を|のため|と|に)|お休みを|外出(?:中|して)|出張(?:中|のため|して)|休業"
    r"|out of (?:the |my )?office|(?:i am|i'm|i’m|i will be|i'll be|currently|be) (?:away|travel|out (?:until|from|on))"
    r"|on (?:vacation|holidays?|leave|annual leave|parental leave|maternity leave|paternity leave|sick leave)\b"
    r"|(?:annual|parental|maternity|sick) leave|return(?:ing)? to (?:the |my )?office|limited access to (?:my )?e-?mail"
    r"|nicht im (?:büro|hause?)\b|abwesend|im urlaub|außer haus|wieder (?:im büro|erreichbar|für sie da)"
    r"|je (?:suis|serai) (?:actuellement )?(?:absent|en congé|en vacances|en déplacement)"
    r"|absent\(?e?\)? (?:du|jusqu|de)"
    r"|en congés?\b|de retour (?:le|au bureau)"
    r"|nieobecn|na urlopie|poza biurem|wracam|wrócę",
    re.IGNORECASE,
)
_LOOK = 1500  # characters of a text


def says_absence_in_text(text: str) -> bool:
    """The text of an automatic answer says that its writer is away."""
    return _IN_TEXT.search(text[:_LOOK]) is not None


_AWAY_AT_THE_START = re.compile(r"\s*(?:away|out of office|back on|absent(?:e|\(e\))?)\b", re.IGNORECASE)


def _has_words(subject: str, words: tuple[str, ...]) -> bool:
    lowered = subject[:200].lower()
    return any(word in lowered for word in words)


def looks_automatic(subject: str) -> bool:
    """The subject of an absence notice or of another automatic answer."""
    return _has_words(subject, _WORDS) or _AT_THE_START.match(subject) is not None
