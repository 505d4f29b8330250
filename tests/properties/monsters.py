"""The largest mails there are: each as big in one way as a client can make it."""

from collections.abc import Callable

__all__ = ["MONSTERS"]

_MIB = 1024 * 1024
_HEAD = (
    b"From: Ann <ann@customer.example>\r\nTo: support@desk.test\r\nSubject: Big\r\n"
    b"Date: Mon, 9 Mar 2026 16:05:00 +0900\r\nMessage-ID: <big@customer.example>\r\nMIME-Version: 1.0\r\n"
)
_MIXED = _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
_TEXT = b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello.\r\n"
_LINE = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n"


def _filled(unit: bytes, octets: int) -> bytes:
    return unit * (octets // len(unit))


def _attached(octets: int, encoding: bytes, unit: bytes) -> bytes:
    head = (
        b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment\r\n'
        b"Content-Transfer-Encoding: %s\r\n\r\n" % encoding
    )
    return _MIXED + _TEXT + head + _filled(unit, octets) + b"--b--\r\n"


def _attachments(count: int, octets: int) -> bytes:
    parts = b"".join(
        b'--b\r\nContent-Type: image/png; name="%d.png"\r\nContent-Disposition: attachment\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n%s" % (number, _filled(_LINE, octets // count))
        for number in range(count)
    )
    return _MIXED + _TEXT + parts + b"--b--\r\n"


def _text(kind: bytes, encoding: bytes, unit: bytes, octets: int) -> bytes:
    head = b"Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (kind, encoding)
    return _HEAD + head + _filled(unit, octets)


MONSTERS: dict[str, Callable[[int], bytes]] = {
    "attachment-base64": lambda octets: _attached(octets, b"base64", _LINE),
    "attachment-one-line": lambda octets: _attached(octets, b"base64", b"QUJD"),
    "attachment-quoted": lambda octets: _attached(octets, b"quoted-printable", b"=E3=81=82 and words =\r\n"),
    "attachment-8bit": lambda octets: _attached(octets, b"8bit", "あいうえお\r\n".encode()),
    "attachments-300": lambda octets: _attachments(300, octets),
    "parts-10000": lambda octets: (
        _MIXED + _TEXT + _filled(b"--b\r\n\r\n" + b"x" * (octets // 10_000 - 8) + b"\r\n", octets) + b"--b--\r\n"
    ),
    "fields-100000": lambda octets: _HEAD + _filled(b"X-A: b\r\n", min(octets, 800_000)) + b"\r\nHello.\r\n",
    "fields-everywhere": lambda octets: _filled(b"a:b\r\n", octets) + b"\r\nHello.\r\n",
    "field-long": lambda octets: _HEAD + b"X-A: " + _filled(b"word ", octets) + b"\r\n\r\nHello.\r\n",
    "addresses-100000": lambda octets: (
        _HEAD + b"Cc: " + _filled(b"Ann B <ann@customer.example>,\r\n ", octets) + b"x@y.test\r\n\r\nHello.\r\n"
    ),
    "text-plain": lambda octets: _text(b"text/plain", b"8bit", b"A line of words as people write them.\r\n", octets),
    "text-dots": lambda octets: _text(b"text/plain", b"8bit", b".\r\n", octets),
    "text-one-line": lambda octets: _text(b"text/plain", b"8bit", b"word ", octets),
    "text-short-lines": lambda octets: _text(b"text/plain", b"8bit", b"\r\n", octets),
    "text-base64": lambda octets: _text(b"text/plain", b"base64", _LINE, octets),
    "text-quoted": lambda octets: _text(b"text/plain", b"quoted-printable", b"=E3=81=82=\r\n", octets),
    "text-bare-lf": lambda octets: _text(b"text/plain", b"8bit", b"a line\n", octets),
    "text-foreign": lambda octets: _text(b"text/plain", b"8bit", b"\x82\xa0\xff", octets),
    "html": lambda octets: _text(b"text/html", b"8bit", b"<p>A <b>line</b></p>\r\n", octets),
    "html-base64": lambda octets: _text(b"text/html", b"base64", b"PHA+QTwvcD4NCjxwPkE8L3A+\r\n", octets),
    "html-no-body": lambda octets: _text(b"text/html", b"8bit", b"<!--", octets),
    "no-header": lambda octets: _filled(b"just words\r\n", octets),
    "no-blank-line": lambda octets: _HEAD + _filled(b"words and words\r\n", octets),
    "no-body-blank-line": lambda octets: _MIXED + b"--b\r\nX: y\r\n" + _filled(b"words and words\r\n", octets),
    "nul": lambda octets: b"\0" * octets,
    "deep": lambda octets: (
        _HEAD
        + b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(45)
        )
        + b"\r\n"
        + _filled(b"--b\r\nwords\r\n", octets)
    ),
}
"""Name -> a function of the octets it shall have (about)."""
