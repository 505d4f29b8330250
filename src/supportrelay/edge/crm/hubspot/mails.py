"""A mail as HubSpot's e-mail engagement: logged on the ticket, sent to nobody (CRM_FACTS (f)).

A text of HubSpot holds 65,536 characters, which count here as UTF-16 units: its servers are Java. The last line always
names the Message-ID, by which `crm setup --adopt` finds the conversation again.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from supportrelay.core.outside import DeskMail
from supportrelay.edge.crm.hubspot import reading
from supportrelay.i18n import Catalogue

__all__ = ["LONGEST_TEXT", "clean", "cut_units", "is_logged_as", "logged_message_id", "mail_properties", "plain_mail"]

LONGEST_TEXT: Final = 65_536
_LONGEST_SUBJECT = 1000
_LONGEST_MESSAGE_ID = 998  # a line of RFC 5322
_MOST_ATTACHMENTS = 100
_LONGEST_FILE_NAME = 150
_MOST_PEOPLE = 200  # of a list; From, To and Cc of a mail to a thousand would not fit
_LONGEST_HEADERS = 60_000
_LONGEST_NAME = 100
_KIB = 1024

# Everything a form field or a Java XML writer may choke on: controls but tab and line feed, surrogates, non-characters.
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_LINE_END = re.compile("\r\n?|\u2028|\u2029")
_MESSAGE_ID_LINE = re.compile(r"(?:\A|\n)Message-ID: (<[^\s<>]{1,996}>)\s*\Z")


def clean(text: str) -> str:
    """Text without control characters, line ends as line feeds."""
    return _NOT_TEXT.sub("", _LINE_END.sub("\n", text))


def cut_units(text: str, most: int) -> str:
    """The beginning of a text, at most so many UTF-16 units; a pair is never torn."""
    head = text[:most]
    if head.isascii():
        return head
    return head.encode("utf-16-le", "replace")[: 2 * most].decode("utf-16-le", "ignore")


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2


def mail_properties(mail: DeskMail, words: Catalogue) -> dict[str, str]:
    """Properties of the engagement: the mail's text as far as it fits, its attachments by name, its Message-ID."""
    return {
        **_plain_properties(mail),
        "hs_email_subject": _subject(mail),
        "hs_email_text": _text(mail, words),
        "hs_email_headers": _headers(mail),
    }


def plain_mail(mail: DeskMail, words: Catalogue) -> dict[str, str]:
    """The same in plain words for a mail that HubSpot did not take as it is: that there was one, and its Message-ID."""
    return {
        **_plain_properties(mail),
        "hs_email_subject": _subject(mail).encode("ascii", "replace").decode("ascii"),
        "hs_email_text": words.text("desk_log.not_whole") + "\n\n" + _message_id_line(mail),
    }


def is_logged_as(mail: DeskMail, properties: reading.Json) -> bool:
    """Whether these properties of an engagement are this mail's: the same instant and subject."""
    if reading.instant(properties.get("hs_timestamp")) != _in_millis(mail.at):
        return False
    # A plain one was logged under question marks.
    ours = {_squeezed(_subject(mail)), _squeezed(_subject(mail).encode("ascii", "replace").decode("ascii"))}
    return _squeezed(reading.text(properties, "hs_email_subject")) in ours


def logged_message_id(text: str) -> str:
    """The Message-ID in the last line of a text that `mail_properties` wrote, "" without."""
    found = _MESSAGE_ID_LINE.search(text[-2000:])
    return found[1] if found else ""


def _plain_properties(mail: DeskMail) -> dict[str, str]:
    return {
        "hs_timestamp": _in_millis(mail.at).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "hs_email_direction": "INCOMING_EMAIL" if mail.is_inbound else "EMAIL",
        "hs_email_status": "SENT",
    }


def _in_millis(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _subject(mail: DeskMail) -> str:
    return cut_units(_squeezed(clean(mail.subject[: 2 * _LONGEST_SUBJECT])), _LONGEST_SUBJECT)


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _text(mail: DeskMail, words: Catalogue) -> str:
    footer = "\n\n" + "".join(f"{line}\n" for line in _attachments(mail, words)) + _message_id_line(mail)
    room = LONGEST_TEXT - _units(footer)
    # No more is looked at than could fit: a mail may have megabytes of text.
    head = clean(mail.text[: LONGEST_TEXT + 1]).rstrip()
    if len(mail.text) <= LONGEST_TEXT and _units(head) <= room:
        return (head + footer).strip("\n")
    mark = "\n\n" + words.text("desk_log.cut")
    return cut_units(head, room - _units(mark)) + mark + footer


def _attachments(mail: DeskMail, words: Catalogue) -> list[str]:
    if not mail.attachments:
        return []
    shown = [
        f"- {reading.printable(clean(name), _LONGEST_FILE_NAME) or '?'} ({_size(octets)})"
        for name, octets in mail.attachments[:_MOST_ATTACHMENTS]
    ]
    more = len(mail.attachments) - len(shown)
    if more:
        shown.append(words.text("desk_log.more_attachments", count=more))
    return [words.text("desk_log.attachments"), *shown]


def _size(octets: int) -> str:
    if octets < _KIB:
        return f"{octets} B"
    return f"{octets / _KIB:.0f} KB" if octets < _KIB * _KIB else f"{octets / _KIB / _KIB:.1f} MB"


def _message_id_line(mail: DeskMail) -> str:
    known = _squeezed(clean(mail.message_id))
    return f"Message-ID: {known}" if known and len(known) <= _LONGEST_MESSAGE_ID else ""


def _headers(mail: DeskMail) -> str:
    """``hs_email_headers``: a JSON text, from which HubSpot derives sender and recipients; shortened until it fits."""
    for most in (_MOST_PEOPLE, 20, 1):
        people = {
            "from": next(iter(_people(mail.from_, 1)), {}),
            "to": _people(mail.to, most),
            "cc": _people(mail.cc, most),
            "bcc": [],
        }
        written = json.dumps(people, ensure_ascii=False)
        if _units(written) <= _LONGEST_HEADERS:
            return written
    return json.dumps({"from": {}, "to": [], "cc": [], "bcc": []})


def _people(entries: Iterable[tuple[str, str]], most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for address, name in entries:
        if len(found) >= most:
            break
        email = _squeezed(clean(address))
        if not email:
            continue
        shown = reading.printable(clean(name), _LONGEST_NAME)
        found.append({"email": email, "firstName": shown} if shown else {"email": email})
    return found
