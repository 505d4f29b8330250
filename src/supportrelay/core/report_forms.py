"""Forms of free text in which mail systems report, for hosts that know no RFC 3464 (RULES 3.7).

One row for each form that was seen: the words by which it is known, and where behind them the recipients stand. A form
whose words mail systems alone write is certain; the last rows only read like a report.
"""

import re

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import parse_path
from supportrelay.core.value import value_class

__all__ = ["RETURNED", "TRANSCRIPT", "WrittenReport", "find_form"]

_LOOK = 16 * 1024  # characters; what is returned may be longer
_REACH = 4000  # characters behind the words in which the recipients stand
_MAX_RECIPIENTS = 100


@value_class
class WrittenReport:
    """What a text says, as far as its form tells.

    Attributes:
        recipients: ``(address, the words about it)``, each address once.
        end: Offset in the text from which the returned mail may be looked for.
    """

    form: str
    recipients: tuple[tuple[str, str], ...]
    is_certain: bool
    is_delayed: bool
    end: int


@value_class
class _Form:
    name: str
    words: re.Pattern[str]
    recipients: re.Pattern[str]
    is_certain: bool = True
    is_delayed: bool = False


_ADDRESS = r"(?P<a>[^\s<>()\[\],;:\"'|]{1,64}@[A-Za-z0-9\u0080-\uffff.-]{1,255}[A-Za-z0-9\u0080-\uffff])"
_ANGLED = r"<(?P<b>[^\s<>]{1,64}@[^\s<>@]{1,255})>"
# A line that begins with an address; quote marks, bullets and `Recipient:` may stand before it.
_LINE = re.compile(
    rf"^[ \t>*・-]{{0,20}}(?:Recipient:|Addressed To:|To:|宛先:)?[ \t]*(?:{_ANGLED}|{_ADDRESS})",
    re.MULTILINE | re.IGNORECASE,
)
_INSIDE = re.compile(rf"{_ANGLED}|{_ADDRESS}")
_AT_ONCE = re.compile(rf"\s{{0,20}}(?:{_ANGLED}|{_ADDRESS})")


def _form(name: str, words: str, recipients: re.Pattern[str] = _LINE, **more: bool) -> _Form:
    return _Form(name, re.compile(words, re.IGNORECASE), recipients, **more)


_NOT_YET = (
    r"delivery to the following recipients? (?:has been|is|was) delayed|"
    r"has not (?:yet )?been delivered|not been delivered (?:yet|to all)|could not be delivered for more than|"
    r"this is a warning message only|still being retried|delivery attempts will continue|"
    r"message (?:has been |is )?delayed|まだ(?:配信|送信|配送)(?:されて|できて)|配信が遅延|配送が遅延"
)

_FORMS: tuple[_Form, ...] = (
    _form("delayed", _NOT_YET, is_delayed=True),
    _form(
        "qmail",
        r"this is the qmail-send program|(?:un|wasn't )able to deliver (?:your )?message to the following address|"
        r"your mail message to the following address\(es\) could not be delivered",
    ),
    _form("postfix", r"i'm sorry to have to inform you that"),
    _form("exim", r"(?:to one or more(?: of its)?|to one or more of)\s{1,4}(?:of\s{1,4})?(?:its\s{1,4})?recipients\."),
    _form("exim", r"the following address(?:\(es\))?\s{1,4}failed:"),
    _form(
        "google",
        r"(?:delivery to the following recipients?|delivery to the following recipients) failed(?: permanently)?[.:]",
    ),
    _form(
        "google", r"\*\* (?:message not delivered|address not found|message blocked|recipient inbox full) \*\*", _INSIDE
    ),
    _form("sendmail", r"--- ?the following addresses had [a-z ]{0,40}(?:errors|problems) ?---"),
    _form(
        "transcript",
        r"--- ?transcript of session follows",
        re.compile(rf"(?:>>> RCPT TO: ?|[45]\d\d (?:[45]\.\d\.\d )?){_ANGLED}", re.IGNORECASE),
    ),
    _form("exchange", r"did not reach the following recipient\(s\):"),
    _form("exchange", r"delivery has failed to these recipients or (?:distribution lists|groups):"),
    _form("exchange", r"your message (?:to [^\n]{1,200} )?couldn't be delivered", _INSIDE),
    _form("exchange", r"(?:次|以下)の受信者または(?:グループ|配布リスト)[^\n]{0,20}配信[^\n]{0,20}失敗"),
    _form("exchange", r"(?:fehler bei der|échec de la) [^\n]{1,60}(?:empf(?:ä|ae)nger|destinataires)[^\n]{0,60}:"),
    _form("notes", r"---- ?failure reasons? {1,4}----+"),
    _form("notes", r"was not delivered to:"),
    _form("m-filter", r"以下のメールアドレスへの送信に失敗しました"),
    _form("au", r"次のあて先へのメッセージはエラーのため送信できませんでした"),
    _form("au", r"could not be delivered to:", _AT_ONCE),
    _form("docomo", r"the following recipients? (?:was|were) (?:rejected|undeliverable|not deliverable)"),
    _form("carrier", r"each of the following recipients was rejected by a remote"),
    _form("carrier", r"the user\(s\) account is (?:temporarily over quota|disabled)"),
    _form(
        "japanese",
        r"(?:以下|次|下記)の(?:あて先|宛先|送信先|メールアドレス|アドレス|受信者)[^\n]{0,40}"
        r"(?:送信|配信|配送|届け|お届け)[^\n]{0,30}(?:できません|できなかった|失敗|エラー)",
    ),
    _form("interscan", r"sent <<< rcpt to:", _AT_ONCE),
    _form("vtext", r"error message below:", re.compile(rf"^[ \t]*RCPT TO: {_ADDRESS}", re.MULTILINE | re.IGNORECASE)),
    _form(
        "imail",
        r"(?:invalid final delivery userid|user mailbox exceeds allowed size|unknown (?:local )?user):",
        _AT_ONCE,
    ),
    _form("mailfoundry", r"unable to deliver message to:", _AT_ONCE),
    _form("mailmarshal", r"the following recipients were affected:"),
    _form("x6", r"the following recipients returned permanent errors:", _AT_ONCE),
    _form("dragonfly", r"there was an error delivering your mail to", _AT_ONCE),
    _form("surfcontrol", r"a transcript of the attempts to send the message follows"),
    _form("workmail", r"while trying to deliver the mail to the following recipients:"),
    _form("fml", r"duplicated message-id in", _AT_ONCE, is_certain=False),
    _form(
        "unknown",
        r"(?:could not be|couldn't be|cannot be|was not|has not been|not) delivered|undeliver(?:able|ed)|"
        r"delivery (?:has )?failed|failed to deliver|unable to (?:deliver|send)|non[- ]remis|unzustellbar|"
        r"nicht zugestellt|niedostarcz|nie (?:zostala|została|mogła) [^\n]{0,20}dostarczon|"
        r"(?:配信|送信|配送|お届け)(?:でき|に失敗)",
        _INSIDE,
        is_certain=False,
    ),
)

# Old sendmail shows how the session went, and may name nobody.
TRANSCRIPT = re.compile(r"^[ \t]*-{3,} ?transcript of session follows", re.IGNORECASE | re.MULTILINE)

# From here on the text is not about the recipients any more.
RETURNED = re.compile(
    r"^[ \t]*--[ -]*(?:below this line|original (?:message|mail)|this is a copy|the header of the original|"
    r"unsent message|returned message|message header|non-delivered information \(header)[^\n]*$"
    r"|^[ \t]*(?:original message (?:follows|headers)|message headers follow|included is a copy of the message)[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)


def find_form(text: str) -> WrittenReport | None:
    """Return what a text reports, None when it has no form that is known. Linear in ``text``, of which 16 Ki count."""
    text = text[:_LOOK]
    returned = RETURNED.search(text)
    told = text[: returned.start()] if returned else text
    for form in _FORMS:
        match = form.words.search(told)
        if match is None:
            continue
        found = _recipients(told[match.end() : match.end() + _REACH], form.recipients)
        if found:
            is_delayed = form.is_delayed or _is_warning(told)
            return WrittenReport(form.name, found, form.is_certain, is_delayed, len(told))
    return None


_WARNING = re.compile(_NOT_YET, re.IGNORECASE)


def _is_warning(told: str) -> bool:
    return _WARNING.search(told) is not None


def _recipients(section: str, pattern: re.Pattern[str]) -> tuple[tuple[str, str], ...]:
    """Addresses with the words up to the next one; an address that stands in the words about another is none."""
    cut = _NEXT_PART.search(section)
    matches = _addresses(section[: cut.start()], pattern) if cut else []
    matches = matches or _addresses(section, pattern)
    starts = [start for _, start, _ in matches[1:]] + [len(section)]
    return tuple(
        (address, _words(section[end:stop]) or _words(section))
        for (address, _, end), stop in zip(matches, starts, strict=False)
    )


_NEXT_PART = re.compile(r"\n[ \t]*-{3,}")


def _addresses(section: str, pattern: re.Pattern[str]) -> list[tuple[str, int, int]]:
    """``(address, start, end)``, each address once."""
    found: dict[str, tuple[str, int, int]] = {}
    for match in pattern.finditer(section):
        named = match.groupdict()
        address = _comparing(named.get("b") or named.get("a") or "")
        if address:
            found.setdefault(address, (address, match.start(), match.end()))
        if len(found) >= _MAX_RECIPIENTS or pattern is _AT_ONCE:
            break
    return list(found.values())


def _words(text: str) -> str:
    return " ".join(text[:1000].split()).lstrip(">:]. ")[:500]


def _comparing(address: str) -> str:
    try:
        return parse_path(address.strip().rstrip(".")).key
    except AddressError:
        return ""
