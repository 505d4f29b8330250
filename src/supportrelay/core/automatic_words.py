"""Words in a subject that read like an absence notice or an automatic answer (RULES 2B.8). Shown, never obeyed."""

import re

__all__ = ["looks_automatic", "says_absence"]

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
    return _has_words(subject, _ABSENCE_WORDS)


def _has_words(subject: str, words: tuple[str, ...]) -> bool:
    lowered = subject[:200].lower()
    return any(word in lowered for word in words)


def looks_automatic(subject: str) -> bool:
    """The subject of an absence notice or of another automatic answer."""
    return _has_words(subject, _WORDS) or _AT_THE_START.match(subject) is not None
