"""Forms of free text in which mail systems report, for hosts that know no RFC 3464 (RULES 3.7).

One row for each form that was seen: the words by which it is known, and where behind them the recipients stand. A form
whose words mail systems alone write is certain; the last rows only read like a report.
"""

import re

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import parse_path
from supportrelay.core.value import value_class

__all__ = ["RETURNED", "TRANSCRIPT", "WrittenReport", "find_form", "is_warning"]

_LOOK = 16 * 1024  # characters; what is returned may be longer
_REACH = 4000  # characters behind the words in which the recipients stand
_MAX_RECIPIENTS = 100


@value_class
class WrittenReport:
    """What a text says, as far as its form tells.

    Attributes:
        recipients: ``(address, the words about it)``, each address once.
        action: ``failed``, ``delayed`` or ``delivered``, as in RFC 3464 §2.3.3.
        end: Offset in the text from which the returned mail may be looked for.
        is_sign: Mail systems alone write so; else people in charge of one may, in a mail of their own.
    """

    form: str
    recipients: tuple[tuple[str, str], ...]
    is_certain: bool
    action: str
    end: int
    is_sign: bool = True


@value_class
class _Form:
    name: str
    words: re.Pattern[str]
    recipients: re.Pattern[str]
    is_certain: bool = True
    action: str = "failed"
    is_sign: bool = True


# Japanese text stands beside an address without a space, so that non-ASCII characters belong to it only when its domain
# has some too.
_LOCAL = r"[A-Za-z0-9!#$%&*+/=?^_`{}~.-]"
_ADDRESS = (
    rf"(?P<a>(?<!{_LOCAL}){_LOCAL}{{1,64}}@[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,253}}[A-Za-z0-9])?"
    r"|[^\s<>()\[\],;:\"'|@：、。「」『』（）＜＞]{1,64}@(?=[A-Za-z0-9.-]{0,253}[\u0080-\uffff])"
    r"[A-Za-z0-9\u0080-\uffff.-]{1,255}[A-Za-z0-9\u0080-\uffff])"
)
_ANGLED = r"<(?P<b>[^\s<>]{1,64}@[^\s<>@]{1,255})>"
# A line that begins with an address; quote marks, bullets and `Recipient:` may stand before it.
_LINE = re.compile(
    rf"^[ \t>*・'-]{{0,20}}(?:(?:Recipient(?: address)?|Addressed To|To|Failed address|宛先|あて先|送信先|"
    rf"メールアドレス)[ \t]?[:：])?[ \t'　]*(?:{_ANGLED}|{_ADDRESS})",
    re.MULTILINE | re.IGNORECASE,
)
_INSIDE = re.compile(rf"{_ANGLED}|{_ADDRESS}")
_AT_ONCE = re.compile(rf"\s{{0,20}}(?:{_ANGLED}|{_ADDRESS})")
_ONE = r"(?=<?[^\s<>]{3,320}>?"  # an address, and what must stand behind it


def _form(
    name: str,
    words: str,
    recipients: re.Pattern[str] = _LINE,
    *,
    is_certain: bool = True,
    action: str = "failed",
    is_sign: bool = True,
) -> _Form:
    return _Form(name, re.compile(words, re.MULTILINE), recipients, is_certain, action, is_sign)


_NOT_YET = (
    r"delivery to (?:the following|these) recipients?(?: or groups)? (?:has been|is|was|is being) delayed|"
    r"has not yet been delivered|not been delivered (?:yet|to all)|"
    r"hasn't been delivered yet|could not be delivered for (?:more than|\d)|still in the queue|we will keep trying|"
    r"this is a warning (?:message )?only|still being retried|delivery attempts will continue|"
    r"had transient non-?fatal|will retry for \d{1,3} more hours|"
    r"message (?:has been |is )?delayed|まだ(?:配信|送信|配送)(?:されて|できて)|配信が遅延|配送が遅延|"
    r"配信が遅れて|送信が遅れて|再送(?:信)?を(?:継続|続け)"
)

_FORMS: tuple[_Form, ...] = (
    _form(
        "google",
        r"\*\* ?(?:delivery incomplete|配信未完了|配信が完了していません|zustellung unvollständig|"
        r"distribution incomplète|dostarczanie niekompletne|entrega incompleta) ?\*\*",
        _INSIDE,
        action="delayed",
    ),
    _form("delayed", _NOT_YET, action="delayed"),
    _form(
        "delivered",
        r"your message was successfully delivered to the destination|had successful delivery notifications|"
        r"delivery to these recipients or groups is complete",
        action="delivered",
    ),
    _form(
        "qmail",
        r"this is the (?:qmail-send|james|deliver) (?:program|mail server)|"
        r"(?:un|wasn't )able to deliver (?:your )?message to the following address|"
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
        "google",
        r"\*\* ?(?:message not delivered|address not found|message blocked|recipient inbox full|message rejected|"
        r"アドレス不明|アドレスが見つかりませんでした|メールは配信されませんでした|メール(?:が|は)ブロックされました|配信不能|"
        r"受信トレイの容量不足|adresse nicht gefunden|nachricht nicht zugestellt|nachricht (?:wurde )?blockiert|"
        r"posteingang (?:des empfängers )?voll|adresse introuvable|message non (?:distribué|remis)|message bloqué|"
        r"boîte de réception (?:du destinataire )?pleine|nie znaleziono adresu|nie dostarczono wiadomości|"
        r"wiadomość (?:nie została dostarczona|została zablokowana)|no se ha encontrado la dirección|"
        r"mensaje (?:no entregado|bloqueado)) ?\*\*",
        _INSIDE,
    ),
    _form("sendmail", r"--- ?the following addresses had [a-z ]{0,40}(?:errors|problems) ?---"),
    _form(
        "transcript",
        r"--- ?transcript of session follows",
        re.compile(rf"(?:>>> RCPT TO: ?|[45]\d\d (?:[45]\.\d\.\d )?){_ANGLED}", re.IGNORECASE),
    ),
    _form("exchange", r"did not reach the following recipient\(s\):"),
    _form("exchange", r"the following recipient\(s\) (?:could not|cannot) be reached:"),
    _form("exchange", r"delivery has failed to these recipients or (?:distribution lists|groups):"),
    _form("exchange", rf"your message to {_ONE} (?:couldn't|could not) be delivered)", _AT_ONCE),
    _form("exchange", rf"ihre nachricht an {_ONE} konnte nicht zugestellt werden)", _AT_ONCE),
    _form("exchange", rf"votre message à {_ONE} n['’]a pas pu être (?:remis|distribué))", _AT_ONCE),
    _form("exchange", r"nie (?:można|udało się) dostarczyć wiadomości do ", _AT_ONCE),
    _form(
        "exchange",
        r"(?:no se (?:ha podido|pudo) entregar (?:el|su|tu) mensaje a|não foi possível entregar (?:a )?sua "
        r"mensagem (?:a|para)|impossibile recapitare il messaggio (?:a|inviato a)) ",
        _AT_ONCE,
    ),
    _form("exchange", r"your message (?:couldn't|could not) be delivered", _INSIDE),
    _form("exchange", r"(?:次|以下)の受信者または(?:グループ|配布リスト)[^\n]{0,20}配信[^\n]{0,20}失敗"),
    _form("exchange", r"配信に失敗した受信者または(?:グループ|配布リスト)"),
    _form("exchange", r"(?:fehler bei der|échec de la) [^\n]{1,60}(?:empf(?:ä|ae)nger|destinataires)[^\n]{0,60}:"),
    _form(
        "exchange",
        r"(?:destinatarios|destinatari|adresatów|odbiorców|destinatários|geadresseerden|收件人|收件者|받는 사람|"
        r"mottagare)[^\n]{1,20}(?:grupos|gruppi|grup|groepen|组|群組|그룹|grupper)[^\n]{0,60}[:：]",
    ),
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
        r"(?:(?:送信|配信|配送|届け|お届け)[^\n]{0,30}(?:できません|できなかった|失敗|エラー)|届きません)",
    ),
    _form("japanese", r"人以上の受信者に(?:配送|配信|送信)できません"),
    _form(
        "japanese",
        rf"^[ \t　「]*{_ONE}[ 」]?(?:へ|宛|あて|宛て)(?:の|に送信された)(?:電子)?(?:メール|メッセージ)[^\n]{{0,80}}"
        r"(?:配信|送信|配送|届け|お届け)[^\n]{0,20}(?:できません|できなかった|失敗|されません))",
        _AT_ONCE,
    ),
    _form("chinese", r"邮件被退回|邮件无法(?:送达|投递)|郵件被退回|無法(?:寄送|傳送|投遞)", _INSIDE),
    _form("french", r"n['’]a pas pu être (?:remis|distribué)e? [^\n]{0,40}destinataires?[^\n]{0,30}:"),
    _form(
        "german",
        r"folgenden? (?:adressen?|empfängern?)[^\n]{0,60}(?:fehlgeschlagen|zugestellt)[^\n]{0,20}:",
    ),
    _form("smail", r"-{5} ?failed addresses follow: ?-{5}"),
    _form("interscan", r"sent <<< rcpt to:", _AT_ONCE),
    _form("vtext", r"error message below:", re.compile(rf"^[ \t]*RCPT TO: {_ADDRESS}", re.MULTILINE | re.IGNORECASE)),
    _form(
        "imail",
        r"(?:invalid final delivery userid|user mailbox exceeds allowed size|unknown (?:local )?user):",
        _AT_ONCE,
    ),
    _form("imail", r"^undeliverable to ", _AT_ONCE),
    _form("mailfoundry", r"unable to deliver message to:", _AT_ONCE),
    _form("mailmarshal", r"the following recipients were affected:"),
    _form("x6", r"the following recipients returned permanent errors:", _AT_ONCE),
    _form("dragonfly", r"there was an error delivering your mail to", _AT_ONCE),
    _form("surfcontrol", r"a transcript of the attempts to send the message follows"),
    _form("workmail", r"while trying to deliver the mail to the following recipients:"),
    _form("mdaemon", r"had permanent fatal delivery errors"),
    _form("groupwise", r"the message that you sent was undeliverable to the following:"),
    _form("opensmtpd", r"attempting to deliver a message for\s{1,8}the following list of recipients:"),
    _form("courier", r"your message to the following recipients (?:cannot|could not) be delivered:"),
    _form("messaging", r"your message (?:cannot|could not) be delivered to the following recipients:"),
    _form("mimecast", r"an email you addressed to email address :"),
    _form("communigate", r"^failed to deliver to '", _AT_ONCE),
    _form("ironport", rf"the following message to {_ONE} was undeliverable)", _AT_ONCE),
    _form("barracuda", r"^your message to: (?=[^\n]{3,2000}\n?[ \t]*was blocked by our)", _AT_ONCE),
    # In whatever language: a recipient with the server's answer about him.
    _form(
        "reply",
        rf"^(?=[ \t>]{{0,20}}+(?:[*-] ?)?<?{_LOCAL}{{1,64}}+@[A-Za-z0-9.-]{{1,255}}+>?[ \t]{{0,4}}+[:(]?\s{{0,8}}+"
        r"(?:\S[^\n]{0,300})?\b[45][0-5]\d[ -][45]\.\d{1,3}\.\d{1,3}\b)",
        is_sign=False,
    ),
    _form("japanese", r"メール(?:を|が|は)(?:送信|配信|配送)(?:でき|され)ません", is_sign=False),
    _form("fml", r"duplicated message-id in", _AT_ONCE, is_certain=False),
    _form(
        "unknown",
        r"(?:could not be|couldn't be|cannot be|was not|wasn't|has not been|not) (?:delivered|reached)|"
        r"undeliver(?:able|ed)|(?:problem|error|trouble) delivering|did not reach|returned to (?:the )?sender|"
        r"delivery (?:has )?failed|failed to deliver|unable to (?:deliver|send)|non[- ]remis|unzustellbar|"
        r"nicht (?:an [^\n]{0,40})?zugestellt|pas pu être (?:remis|distribué)|"
        r"niedostarcz|nie (?:zostala|została|mogła) [^\n]{0,20}dostarczon|"
        r"(?:配信|送信|配送|お届け|届ける)(?:でき|ことができ|に失敗)|(?:宛先|あて先)(?:不明|が見つかり)",
        _INSIDE,
        is_certain=False,
    ),
)

# Old sendmail shows how the session went, and may name nobody.
TRANSCRIPT = re.compile(r"^[ \t]*-{3,} ?transcript of session follows", re.IGNORECASE | re.MULTILINE)

# From here on the text is not about the recipients any more.
RETURNED = re.compile(
    r"^[ \t]*--[ -]*(?:below this line|original (?:message|mail)|this is a copy|the header of the original|"
    r"unsent message|message text follows|returned message|message header|non-delivered information \(header)[^\n]*$"
    r"|^[ \t]*(?:original message (?:follows|headers)|message headers follow|included is a copy of the message)[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)


def find_form(text: str) -> WrittenReport | None:
    """Return what a text reports, None when it has no form that is known. Linear in ``text``, of which 16 Ki count."""
    text = text[:_LOOK]
    returned = RETURNED.search(text)
    told = text[: returned.start()] if returned else text
    lowered = _lower(told)
    for form in _FORMS:
        match = form.words.search(lowered)
        if match is None:
            continue
        found = _recipients(told[match.end() : match.end() + _REACH], form.recipients)
        if found:
            action = "delayed" if form.action == "failed" and is_warning(told) else form.action
            return WrittenReport(form.name, found, form.is_certain, action, len(told), form.is_sign)
    return None


_WARNING = re.compile(_NOT_YET)


def is_warning(told: str) -> bool:
    """The mail is still being tried."""
    return _WARNING.search(_lower(told)) is not None


def _lower(text: str) -> str:
    """Lower case, each character in its place; the forms are written so, which is eight times as fast to look for."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


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
