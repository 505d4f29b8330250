"""The nastiest texts we know of for each reader, of any length: one unit again and again, at each place of a mail.

Reading takes linear time whatever stands there (RULES_OF_MAIL 0.1); so a unit is anything that opens something,
promises something, or makes a careless expression look back.
"""

from collections.abc import Callable

__all__ = ["PLACES", "UNITS", "nasty_mail", "repeated"]

UNITS: dict[str, bytes] = {
    # addresses
    "less": b"<",
    "greater": b">",
    "paren": b"(",
    "paren-close": b")",
    "comment": b"(a)",
    "comment-nested": b"((",
    "bracket": b"[",
    "quote": b'"',
    "quote-open": b'"a ',
    "backslash": b"\\",
    "comma": b",",
    "comma-space": b", ",
    "semicolon": b";",
    "colon": b":",
    "group": b"g:;,",
    "at": b"@",
    "local-at": b"a@",
    "mailbox": b"a@b.test, ",
    "mailbox-open": b"<a@",
    "named": b"Ann B <a@b.test>, ",
    "dots": b".",
    "label": b"a.",
    "route": b"@a,",
    # encoded words
    "word-start": b"=?",
    "word-end": b"?=",
    "word-half": b"=?a?b?",
    "word-question": b"=?a?q??",
    "word-q": b"=?utf-8?q?a?= ",
    "word-split": b"=?utf-8?B?4?= ",
    "word-tight": b"=?utf-8?q?a?=",
    "word-bad": b"=?utf-8?q?a b?=",
    # white space and line ends
    "space": b" ",
    "tab": b"\t",
    "cr": b"\r",
    "lf": b"\n",
    "crlf": b"\r\n",
    "space-crlf": b" \r\n",
    "fold": b"\r\n ",
    "fold-x": b"\r\n x",
    "crcrlf": b"\r\r\n",
    "nul": b"\0",
    "letter": b"x",
    "word": b"word ",
    "line": b"word\r\n",
    # header fields
    "field": b"a: b\r\n",
    "field-foreign": b"a: \xe9\r\n",
    "field-bcc": b"Bcc: b@c.test\r\n",
    "field-space": b"a : b\r\n",
    "field-mbox": b"From a\r\n",
    "received": b"Received: x\r\n",
    "type": b"Content-Type: multipart/mixed; boundary=b\r\n",
    "id": b"<1@a.test> ",
    "id-open": b"<1@a.test ",
    "prefix": b"Re: ",
    "tag": b"[a] ",
    "ticket-tag": b"[SR-1",
    "date": b"1 Jan 2020 ",
    "digits": b"1",
    "zone": b"+0900 ",
    # parameters
    "parameter": b'a="b";',
    "parameter-open": b'a="',
    "continued": b"a*0=b;",
    "continued-high": b"a*999*=b;",
    "extended": b"name*=utf-8''%41;",
    "equals": b"=",
    "star": b"*",
    "percent": b"%41",
    "apostrophe": b"'",
    # bodies
    "boundary": b"--b\r\n",
    "boundary-end": b"--b--\r\n",
    "boundary-like": b"--b",
    "boundary-nested": b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
    "boundary-text": b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n",
    "boundary-message": b"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b.test\r\n\r\nx\r\n",
    "boundary-status": b"--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b.test\r\n\r\n",
    "status": b"Final-Recipient: rfc822; a@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n",
    "status-part": b"5.1",
    "dashes": b"-",
    "signature": b"-- \r\n",
    "pgp": b"-----BEGIN PGP ",
    "pgp-line": b"-----BEGIN PGP MESSAGE-----\r\n",
    "base64": b"YWJj\r\n",
    "base64-padded": b"YQ==",
    "base64-odd": b"Y*",
    "qp": b"=E3=81=82",
    "qp-soft": b"=\r\n",
    "qp-space": b"= ",
    "qp-hex": b"=3D",
    "uu": b"begin 644 a\r\n",
    "foreign": b"\xe9",
    "kana": "あ".encode(),
    "utf8-cut": b"\xe3\x81",
    "sjis": b"\x82\xa0",
    "sjis-cut": b"\x82\xa0\xff",
    "euc": b"\xa4\xa2",
    "euc-cut": b"\xa4\xa2\x80",
    "escape-in": b"\x1b$B",
    "escape-kanji": b'\x1b$B$"',
    "escape-out": b"\x1b(B",
    "escape-212": b"\x1b$(DPP",
    "shift-out": b"\x0e",
    "shift-out-x": b"\x0eA\x0f",
    "utf7": b"+AGE-",
    "utf7-open": b"+",
    "combining": "\u0301".encode(),
    "ligature": "\ufdfa".encode(),
    # quotes
    "quoted": b"> x\r\n",
    "quote-levels": b">",
    "quote-levels-space": b"> ",
    "wrote": b"On 1 x wrote:\r\n",
    "wrote-open": b"On 1 ",
    "wrote-words": b"wrote ",
    "wrote-colon": b"wrote:",
    "schrieb": b"schrieb ",
    "schrieb-colon": b"schrieb :",
    "ecrit": " a écrit :".encode(),
    "address-colon": b"<a@b.test>:\r\n",
    "block": b"From: a@b.test\r\n",
    "block-whole": b"From: a\r\nTo: b\r\nSubject: c\r\nDate: d\r\n",
    "block-stars": b"*",
    "separator": b"-----Original Message-----\r\n",
    "separator-open": b"----- Original ",
    "forward": b"---------- Forwarded message ---------\r\n",
    "forwarded-by": b"---- Forwarded by a ",
    "japanese-date": "2020年1月7日(火) 9:55 a <a@b.test>:\r\n".encode(),
    "year": b"2020/",
    "until": b"until 1 ",
    "until-words": b"until back on ",
    "made": "1月1日 ".encode(),
    "marker": b"--- SR-1-abcdef ---\r\n",
    # HTML
    "tag-open": b"<a ",
    "tag-quote": b'<a "',
    "tag-body-quote": b"<body '",
    "tag-body": b"<body",
    "tag-close": b"</",
    "tag-div": b"<div>",
    "html-comment": b"<!--",
    "html-comment-end": b"-->",
    "html-comment-both": b"<!-- -->",
    "html-script": b"<script>",
    "html-script-end": b"</script>",
    "html-style": b"<style>x",
    "html-head": b"</head>",
    "html-condition": b"<!--[if mso]>",
    "entity": b"&",
    "entity-number": b"&#",
    "entity-amp": b"&amp;",
    "entity-name": b"&abcdefgh",
    "blockquote": b"<blockquote ",
    "blockquote-cite": b"<blockquote type=cite>",
    "blockquote-end": b"</blockquote>",
    "gmail": b'<div class="gmail_quote">',
    "gmail-attribute": b"gmail_quote",
    "metadata": b"METHOD:",
    "comment-field": b"COMMENT:\n",
}


def repeated(unit: bytes, octets: int) -> bytes:
    """The unit, again and again, up to about so many octets."""
    return unit * max(1, octets // len(unit))


_HEAD = b"From: Ann <ann@customer.example>\r\nTo: support@desk.test\r\nDate: Mon, 9 Mar 2026 16:05:00 +0900\r\n"


def _field(name: bytes, before: bytes = b"", after: bytes = b"") -> Callable[[bytes], bytes]:
    return lambda text: (
        (b"" if name == b"From" else _HEAD)
        + b"%s: %s%s%s\r\nMessage-ID: <1@customer.example>\r\n\r\nHello.\r\n" % (name, before, text, after)
    )


def _body(
    kind: bytes, before: bytes = b"", after: bytes = b"\r\n", encoding: bytes = b"8bit"
) -> Callable[[bytes], bytes]:
    return lambda text: (
        _HEAD
        + b"Subject: Fwd: x\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s%s%s"
        % (kind, encoding, before, text, after)
    )


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "subject": _field(b"Subject"),
    "from": _field(b"From"),
    "to": _field(b"To"),
    "cc-open": _field(b"Cc", b'"'),
    "references": _field(b"References"),
    "date": _field(b"Date"),
    "type": _field(b"Content-Type", b"multipart/mixed; boundary=b;"),
    "type-name": _field(b"Content-Type", b'text/plain; name="'),
    "disposition": _field(b"Content-Disposition", b"attachment; "),
    "encoding": _field(b"Content-Transfer-Encoding"),
    "automatic": _field(b"Auto-Submitted"),
    "suppress": _field(b"X-Auto-Response-Suppress"),
    "results": _field(b"Authentication-Results"),
    "header": lambda text: _HEAD + text + b"\r\n\r\nHello.\r\n",
    "before": lambda text: text + _HEAD + b"\r\nHello.\r\n",
    "whole": lambda text: text,
    "plain": _body(b"text/plain; charset=utf-8"),
    "plain-unlabelled": _body(b"text/plain"),
    "plain-japanese": _body(b"text/plain; charset=iso-2022-jp", encoding=b"7bit"),
    "plain-euc": _body(b"text/plain; charset=euc-jp"),
    "plain-utf7": _body(b"text/plain; charset=utf-7"),
    "plain-quoted": _body(b"text/plain; charset=utf-8", encoding=b"quoted-printable"),
    "plain-base64": _body(b"text/plain; charset=utf-8", encoding=b"base64"),
    "plain-uu": _body(b"text/plain", before=b"begin 644 a\r\n", encoding=b"x-uuencode"),
    "plain-flowed": _body(b"text/plain; format=flowed; charset=iso-8859-1"),
    "plain-after": _body(b"text/plain; charset=utf-8", before=b"Thanks.\r\n\r\nOn 1 Jan 2020, Bob wrote:\r\n> "),
    "html": _body(b"text/html; charset=utf-8", before=b"<html><body>"),
    "html-head": _body(b"text/html; charset=utf-8", before=b"<html><head>"),
    "html-tag": _body(b"text/html; charset=utf-8", before=b"<html><body "),
    "html-quoted": _body(b"text/html; charset=iso-2022-jp", before=b"<html>", encoding=b"quoted-printable"),
    "mixed": _body(b"multipart/mixed; boundary=b", before=b"--b\r\n", after=b"\r\n--b--\r\n"),
    "mixed-header": _body(b"multipart/mixed; boundary=b", before=b"--b\r\nX: ", after=b"\r\n\r\nx\r\n--b--\r\n"),
    "mixed-open": _body(b"multipart/mixed; boundary=b", before=b"--b\r\n\r\n"),
    "report": _body(
        b"multipart/report; report-type=delivery-status; boundary=b",
        before=b"--b\r\nContent-Type: message/delivery-status\r\n\r\n",
        after=b"\r\n--b--\r\n",
    ),
    "report-diagnostic": _body(
        b"multipart/report; report-type=delivery-status; boundary=b",
        before=b"--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b.test\r\n"
        b"Action: failed\r\nDiagnostic-Code: smtp; 550 ",
        after=b"\r\n--b--\r\n",
    ),
    "report-recipient": _body(
        b"multipart/report; report-type=delivery-status; boundary=b",
        before=b"--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\nOriginal-Recipient: rfc822; ",
        after=b"\r\n--b--\r\n",
    ),
    "report-text": _body(
        b"multipart/report; report-type=delivery-status; boundary=b",
        before=b"--b\r\n\r\nYour mail was not delivered:\r\n\r\n",
        after=b"\r\n--b--\r\n",
    ),
    "calendar": _body(b"text/calendar; method=REPLY", before=b"BEGIN:VCALENDAR\r\n"),
}


def nasty_mail(place: str, unit: str, octets: int) -> bytes:
    """A mail of about so many octets, nearly all of them that unit at that place."""
    return PLACES[place](repeated(UNITS[unit], octets))
