"""Catalogues: a code and its values in, a sentence in the reader's language out.

The catalogues are the ``.po`` files under ``locales/``; their msgids are dotted codes (``reason.ours.domain``,
``stage.WAITING``), their texts hold ``{name}`` placeholders. They are read as they are, so nothing has to be compiled,
and by a reader of our own: gettext's tools take longer to import than a command may take (a test compares them).
"""

import json
import string
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

__all__ = ["LANGUAGES", "Catalogue", "catalogue", "local_time", "read_catalogue"]

LANGUAGES = ("en", "ja")
FALLBACK = "en"
_LABELLED = {
    "stage": "stage",
    "before": "stage",
    "wanted": "stage",
    "state": "deal_state",
    "by": "proof",
    "how": "unproven_staff",
}
_INSTANTS = frozenset({"until", "due_at", "at"})
_LOGGED_IN = "AUTH "  # likewise, with the user's name
_VOUCHED = frozenset({"gateway", "checked", "sealer"})  # ``Proof.by`` goes on with what was found


class _Values(dict[str, object]):
    """Leaves a placeholder standing when its value is missing: a poorer sentence beats no sentence."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


class _Sentence(string.Formatter):
    """``{name}`` and nothing else: no attributes, indexes or positions, whatever a catalogue says."""

    def get_field(self, field_name: str, args: object, kwargs: Mapping[str, object]) -> tuple[object, str]:
        """The value of a plain name."""
        del args
        return kwargs[field_name], field_name


_FORMAT = _Sentence()


@cache
def read_catalogue(language: str) -> Mapping[str, str]:
    """Msgid -> text of one language, {} when there is no such catalogue; read once."""
    if language not in LANGUAGES:
        return {}
    source = Path(__file__).parent / "locales" / language / "LC_MESSAGES" / "supportrelay.po"
    if not source.is_file():
        return {}
    return {msgid: text for msgid, text in _entries(source.read_text("utf-8")) if msgid and text}


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """``(msgid, msgstr)`` of each entry; what our catalogues do not have (plurals, contexts) is not understood.

    Quoted pieces escape like JSON strings: line ends, tabs, quotes and backslashes.
    """
    msgid, msgstr, is_text = "", "", False
    for line in text.splitlines():
        if line.startswith('"'):
            piece = str(json.loads(line))
            msgid, msgstr = (msgid, msgstr + piece) if is_text else (msgid + piece, msgstr)
        elif line.startswith("msgid "):
            if is_text:
                yield msgid, msgstr
            msgid, msgstr, is_text = str(json.loads(line[6:])), "", False
        elif line.startswith("msgstr "):
            msgstr, is_text = str(json.loads(line[7:])), True
    if is_text:
        yield msgid, msgstr


class Catalogue:
    """The sentences of one language; what it lacks comes from English, and then from the code itself.

    Args:
        language: ``ja``, ``en`` ...; one without a catalogue (``fr``, ``pl``) speaks English.
    """

    __slots__ = ("_texts", "language")

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else FALLBACK
        self._texts = (read_catalogue(self.language), read_catalogue(FALLBACK))

    def has(self, msgid: str) -> bool:
        """Somebody wrote a sentence for it."""
        return any(msgid in texts for texts in self._texts)

    def text(self, msgid: str, /, **values: object) -> str:
        """The sentence of a msgid with its values put in; unknown: the msgid and the values."""
        for texts in self._texts:
            found = texts.get(msgid)
            if found is not None:
                return _FORMAT.vformat(found, (), _Values(values))
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        return f"{msgid} ({shown})" if shown else msgid

    def reason(self, coded: Mapping[str, object]) -> str:
        """The sentence of a `core.reason.Reason` in its stored form ``{"code": ..., values ...}``."""
        values = {k: self._word(k, v) for k, v in coded.items() if k != "code"}
        code = str(coded.get("code", ""))
        msgid = f"reason.{code}"
        return self.text(msgid, **values) if self.has(msgid) else self.text(code, **values)

    def reasons(self, coded: Iterable[Mapping[str, object]]) -> list[str]:
        """The sentences of several reasons, in order."""
        return [self.reason(one) for one in coded]

    def _word(self, name: str, value: object) -> object:
        """A value as people see it: stages, states and proofs by their label, instants by the clock on the wall."""
        label = f"{_LABELLED.get(name, '')}.{value}"
        if self.has(label):
            return self.text(label)
        if name == "by" and str(value).startswith(_LOGGED_IN):
            return self.text("proof.login", user=str(value).removeprefix(_LOGGED_IN))
        if name == "by" and str(value).partition(" ")[0] in _VOUCHED:
            vouching, _, how = str(value).partition(" ")
            return self.text(f"proof.{vouching}", how=how)
        return "" if value is None else local_time(value) if name in _INSTANTS else value


def local_time(instant: object) -> str:
    """An RFC 3339 instant as this machine's clock on the wall shows it; "" for none, other text as it is."""
    if not instant:
        return ""
    try:
        return datetime.fromisoformat(str(instant)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return str(instant)


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language, made once."""
    return Catalogue(language)
