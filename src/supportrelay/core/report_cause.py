"""Hard or soft, and why: read from a status (RFC 3463) and from what servers write beside it (RULES 3.5)."""

import re

from supportrelay.core.report_values import FailureCause, Severity

__all__ = ["weigh"]

_LOOK = 2000  # characters of a diagnostic
_ENHANCED = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
# A reply code stands alone; behind a colon, a dash or a quote it is one too. Not in host names, addresses, ids.
_REPLY = re.compile(r"(?<![\w.@/=-])([45])[0-5]\d(?=[\s:;,-]|$)(?!\s*(?:mail|messages|hours|days|minutes))")

_BOX = r"(?:mailbox|mail ?folder|account|inbox)(?:\(es\))?"
_SOMEBODY = r"(?:user|mailbox|address|recipient|account|username|local part)(?:\(s\)|s)?"
_IS = r"(?:is |was |were |has been |could |does |do )?(?:not |n't |no longer )?"
_GONE = r"(?:found|exists?|known|invalid|disabled|inactive|frozen|suspended|discontinued|unavailable)"

# Read from the top: a host that says "size limit of the mailbox" speaks of the mailbox, one that loops always exceeds
# something, and words beat codes, which servers choose carelessly (5.1.1 for "too many recipients this hour").
_WORDS: tuple[tuple[FailureCause, re.Pattern[str]], ...] = tuple(
    (cause, re.compile("|".join(words)))
    for cause, words in (
        (
            FailureCause.LOOP,
            (r"hop count", r"too many hops", r"(?:routing|mail) loop", r"loops? back to (?:me|my)", r"loop detected"),
        ),
        (
            FailureCause.TOO_LARGE,
            (
                r"(?:message|mail|e-?mail|data)(?: size)?(?: is)? too (?:large|big)",
                r"(?:message|mail) (?:size|length) (?:exceeds|is too|limit)",
                r"exceed(?:s|ed)? .{0,30}(?:message size|size limit|maximum size)",
                r"size limit for messages",
                r"サイズ.{0,12}(?:超え|大き|制限)",
                r"trop volumineux",
                r"zu groß",
                r"zbyt duż",
            ),
        ),
        (
            FailureCause.MAILBOX_FULL,
            (
                rf"{_BOX}(?: \S{{1,60}})? (?:is |was )?(?:temporarily )?(?:full|over its quota|over the limit)",
                r"over ?quota|(?:reached|out of) (?:\S{1,20} )?quota",
                r"over (?:the |its )?(?:disk )?quota",
                r"quota (?:has been |is |was )?exceeded",
                r"exceed(?:s|ed|ing)? .{0,30}(?:quota|storage|mailbox|allowed size|local limit)",
                r"mailbox .{0,30}(?:exceed|size limit)",
                r"quotaexceeded",
                r"not enough (?:storage|space|disk)",
                r"insufficient (?:storage|disk|space)",
                r"(?:boîte|boite) .{0,60}pleine",
                r"postfach .{0,40}voll",
                r"skrzynk\w .{0,30}(?:pełna|przepełnion)",
                r"(?:容量|メールボックス|受信箱|受信ボックス|受信トレイ).{0,16}(?:超|一杯|いっぱい|オーバー|あふれ|上限|満杯|フル)",
                r"(?:容量|空き).{0,8}(?:不足|がありません)",
            ),
        ),
        (
            FailureCause.NO_SUCH_ADDRESS,
            (
                r"user(?:name)? unknown",
                r"unknown (?:user|recipient|address|local[ -]part|mailbox|account)",
                r"no such (?:user|recipient|mailbox|address|person|account|email)",
                r"no mailbox here",
                r"not? (?:a )?(?:valid|known) (?:user|recipient|mailbox|address)",
                r"recipient name is not recognized",
                rf"{_SOMEBODY}(?: \S{{1,80}})?(?: account)? {_IS}(?:been )?{_GONE}",
                r"(?:does|did)(?: not|n.t) (?:exist|have an? \S{1,80} account|like recipient)",
                r"was(?: not|n.t) found",
                r"invalid (?:recipient|mailbox|user|address|final delivery userid)",
                r"recipnotfound|recipientnotfound|recipient not found",
                r"recipient address rejected: access denied",
                r"no longer (?:in use|valid|available|with)",
                r"ディレクトリ.{0,12}(?:見つかりません|ありません)",
                r"(?:あて先|宛先|アドレス|ユーザー?).{0,24}(?:見つか|存在し|不明|ありません)",
                r"不存在",
                r"nicht (?:gefunden|bekannt)|unbekannter empfänger",
                r"n.existe pas|introuvable|utilisateur inconnu",
                r"nie istnieje|nieznany (?:użytkownik|odbiorca)",
            ),
        ),
        (
            FailureCause.NO_SUCH_HOST,
            (
                r"no such (?:domain|host)",
                r"(?:host|domain)(?: or domain)?(?: name)?(?: \S{1,120})? (?:is |was )?(?:not found|unknown|invalid)",
                r"domain(?: \S{1,120})? does not exist",
                r"unknown (?:host|domain)",
                r"name service error",
                r"unrouteable",
                r"nxdomain|null ?mx|no (?:valid )?mx",
                r"could ?n.t find any host",
            ),
        ),
        (
            FailureCause.REFUSED,
            (
                r"spam|unsolicited|\bube\b|\bbulk\b",
                r"\bdmarc\b|\bspf\b|\bdkim\b|\bptr\b",
                r"block(?:ed|ing| ?list)|black ?list|banned|blocklist|\brbl\b|\bdnsbl\b",
                r"polic(?:y|ies)|security reasons",
                r"access denied|not (?:authori[sz]ed|permitted|allowed)|permission",
                r"relay(?:ing)? (?:access )?(?:denied|not)|unable to relay|non-accepted domain",
                r"too many recipients|rate limit|reputation|user complaints",
                r"virus|content rejected|filtered|message rejected|sender rejected",
                r"recipient preferences",
                r"command (?:parameter )?not implemented|syntax error|unrecognized command|bad sequence of commands",
                r"customfromdenied|misconfigured",
                r"拒否",
            ),
        ),
        (
            FailureCause.UNREACHABLE,
            (
                r"time[d ]?-?\s?out",
                r"(?:in the queue|queued) (?:for )?too long|expired|retry time",
                r"(?:could ?n.t|could not|unable to|n.t able to|did ?n.t|failed to) (?:connect|establish|open|reach)",
                r"connection (?:refused|reset|lost|closed|dropped)",
                r"not reachable|unreachable|socket error|no route to host",
                r"did not accept our requests",
                r"temporar|deferred|try (?:again )?later|essayer plus tard|upstream error|system resources",
                r"service (?:currently )?(?:unavailable|not available|refused|refuse)",
            ),
        ),
    )
)

_BY_SUBJECT_AND_DETAIL: dict[str, FailureCause] = {
    "1.2": FailureCause.NO_SUCH_HOST,
    "1.7": FailureCause.REFUSED,  # the sender's address
    "1.8": FailureCause.REFUSED,
    "2.1": FailureCause.NO_SUCH_ADDRESS,
    "2.2": FailureCause.MAILBOX_FULL,
    "2.3": FailureCause.TOO_LARGE,
    "3.4": FailureCause.TOO_LARGE,
    "4.4": FailureCause.NO_SUCH_HOST,
    "4.6": FailureCause.LOOP,
}
_BY_SUBJECT: dict[str, FailureCause] = {
    "1": FailureCause.NO_SUCH_ADDRESS,
    "4": FailureCause.UNREACHABLE,
    "6": FailureCause.REFUSED,
    "7": FailureCause.REFUSED,
}


def weigh(action: str, status: str, words: str) -> tuple[Severity, FailureCause]:
    """Return how a recipient's failure ended and why; two empty values for anything but a failure.

    Args:
        action: As in RFC 3464 §2.3.3, lower case.
        status: ``5.1.1`` or "".
        words: Diagnostic, or the sentence beside the address.
    """
    if action != "failed":
        return Severity.NONE, FailureCause.NONE
    words = words[:_LOOK].lower()
    code = _telling(status) or _enhanced(words) or status
    cause = _by_words(words) or _by_code(code)
    if not cause and _REJECTED.search(words):
        cause = FailureCause.REFUSED
    return _severity(code, words, cause), cause or FailureCause.OTHER


def _telling(status: str) -> str:
    """A status that says more than its class; X.0.0 is what servers write who do not know (RFC 3463 §3.1)."""
    return "" if status.endswith(".0.0") else status


def _enhanced(words: str) -> str:
    match = _ENHANCED.search(words)
    return _telling(match[0]) if match else ""


# Said beside every refusal; it tells something only when nothing else does.
_REJECTED = re.compile(r"\brejected\b|mail rejete")


def _by_words(words: str) -> FailureCause:
    return next((cause for cause, pattern in _WORDS if pattern.search(words)), FailureCause.NONE)


def _by_code(code: str) -> FailureCause:
    _, _, rest = code.partition(".")
    return _BY_SUBJECT_AND_DETAIL.get(rest) or _BY_SUBJECT.get(rest.partition(".")[0], FailureCause.NONE)


def _severity(code: str, words: str, cause: FailureCause) -> Severity:
    """By the status, else by the reply code in the words; without any code only a lost connection is soft."""
    if code and _telling(code):
        return Severity.SOFT if code.startswith("4") else Severity.HARD
    reply = _REPLY.search(words)
    first = reply[1] if reply else code[:1]
    if first:
        return Severity.SOFT if first == "4" else Severity.HARD
    return Severity.SOFT if cause is FailureCause.UNREACHABLE else Severity.HARD
