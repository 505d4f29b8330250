"""Signs that a mail without the fields of RFC 3464 is a mail system's report (RULES 3.2).

Each sign is weak. A report needs two, and one of them must be of a kind that no person's mail has: a null reverse-path,
a mail system in From, or X-Failed-Recipients. Whoever forwards a report to us has neither.
"""

import re

from supportrelay.core.facts import Facts
from supportrelay.core.report_forms import TRANSCRIPT, find_form
from supportrelay.core.report_notice import is_notice

__all__ = ["find_report_sign", "has_null_path_noted", "may_be_report", "reporter"]

_REPORTERS = re.compile(
    r"(?:mailer[-_.]?daemon|post[-_.]?master|mdaemon|mail[-_.]?delivery(?:[-_.].*)?)$", re.IGNORECASE
)
_NAMELESS = re.compile(
    r"\W{0,5}(?:mailer[-_ ]daemon|postmaster|mail deliver(?:y|) (?:sub)?system)\b|\s*<?\s*>?\s*$", re.IGNORECASE
)
# At the beginning of a subject; behind a colon stands what an automatic answer answers, or a person forwards.
_SUBJECTS = re.compile(
    r"[^:：]{0,40}?(?:undeliver|delivery (?:failure|failed|has failed|status|error)|failure (?:notice|notification)"
    r"|returned mail|message not delivered|mail failure|non[- ]delivery|delayed mail|mail system error"
    r"|cannot send message|error sending your mail|could not be delivered"
    r"|unzustellbar|nicht zugestellt|non remis|échec de (?:la )?(?:remise|distribution)|niedostarcz|nie dostarczono"
    r"|недоставлен|не доставлено"
    r"|配信不能|配信(?:できません|エラー|に失敗)|配送(?:エラー|できません)|送信(?:できませんでした|エラー)|未達|不達"
    r"|メール(?:送信)?エラー)|warning: (?:message \S{1,40} delayed|could not send)",
    re.IGNORECASE,
)
_LOOK = 16 * 1024
_NULL_PATHS = frozenset({"<>", "", "<null>", "null"})
_NOBODY = re.compile(r"<?mailer-daemon(?:@[^>\s]*)?>?$", re.IGNORECASE)


def reporter(facts: Facts) -> str:
    """The address, or the words, of a From by which mail systems go; "" for anybody else's."""
    if facts.from_:
        return facts.from_[0].key if _REPORTERS.match(facts.from_[0].local, 0, 64) else ""
    for value in facts.fields.get("from", ()):
        if _NAMELESS.match(value[:200]):
            return value.strip() or "<>"
    return ""


def has_null_path_noted(facts: Facts) -> bool:
    """Return-Path, as a host before us wrote it at delivery, is null or the mail system's own."""
    values = facts.fields.get("return-path", ())
    return any(value.strip().lower() in _NULL_PATHS or _NOBODY.match(value.strip()[:100]) for value in values)


def find_report_sign(facts: Facts, *, is_null: bool) -> tuple[str, str] | None:
    """``(field, value)`` of what makes it a report, None when it is none. Fields of RFC 3464 are not looked at.

    Args:
        is_null: The envelope's reverse-path is null.
    """
    if is_notice(facts):
        return "x-amz-sns-message-id", facts.first("x-amz-sns-message-id")
    failed = facts.first("x-failed-recipients") if "x-failed-recipients" in facts.fields else ""
    said = reporter(facts)
    is_null = is_null or ("return-path" in facts.fields and has_null_path_noted(facts))
    if not (failed or said or is_null):
        return None
    count = bool(failed) + bool(said) + is_null
    first = ("x-failed-recipients", failed) if failed else ("from", said)
    if count > 1:
        return first
    if _SUBJECTS.match(facts.subject[:200]) and (is_null or failed or _names_somebody(facts)):
        return first if first[1] else ("subject", facts.subject)
    words = _certain_words(facts.body_text)
    if words:
        return first if first[1] else ("body", words)
    return None


def _names_somebody(facts: Facts) -> bool:
    """A postmaster may be a person who writes of mail that did not arrive; a report names who did not get it."""
    text = facts.body_text
    return (
        bool(facts.attachments)
        or facts.has_report_part
        or facts.forwarded_from is not None
        or TRANSCRIPT.search(text[:_LOOK]) is not None
        or find_form(text) is not None
    )


def _certain_words(text: str) -> str:
    """Name of the form in which mail systems alone write, "" for anything else; what is quoted does not count."""
    text = _QUOTED.sub("", text[:_LOOK])
    forwarded = _FORWARDED.search(text)
    text = text[: forwarded.start()] if forwarded else text
    written = find_form(text)
    if written is not None and written.is_certain and written.is_sign:
        return written.form
    return "transcript" if TRANSCRIPT.search(text[:_LOOK]) else ""


# Somebody in charge of a mail system, whose From is postmaster@, answers a report or sends one on.
_QUOTED = re.compile(r"^[ \t]*>(?!>>)[^\n]*$", re.MULTILINE)
_FORWARDED = re.compile(
    r"^[ \t]*-{2,} ?(?:forwarded message|weitergeleitete nachricht|message transf|ursprüngliche nachricht|転送)",
    re.IGNORECASE | re.MULTILINE,
)


def may_be_report(facts: Facts) -> bool:
    """Its own header says so; the envelope is not asked."""
    return find_report_sign(facts, is_null=False) is not None
