"""From the text of a case to the octets on the wire.

Directives, each in double square brackets, anywhere in a mail:

* ``[[raw CHARSET text]]``: the text in that charset; ``iso-2022-jp-ms`` is ISO-2022-JP with NEC row 13.
* ``[[base64 CHARSET text]]``, ``[[quoted-printable CHARSET text]]``: likewise, then encoded. The text may begin on the
  next line and have many lines.
* ``[[hex 1b 24 42]]``: these octets. ``[[repeat 20000 x]]``: so many times that text.
* ``[[numbered 3 a#@b]]``: ``a1@b, a2@b, a3@b``, folded.
* ``[[octets 3000]]``: base64 of so many octets, always the same ones.
* ``[[word CHARSET text]]``: an encoded word (RFC 2047, B).
* ``[[day 10 %Y-%m-%d]]``: the day in ten days, as strftime writes it; ``%-m`` has no leading zero.
* ``[[return-path NAME PERSON]]``: the reverse-path of the copy that a person got of an earlier mail.
* ``[[head NAME PERSON]]``, ``[[copy NAME PERSON]]``, ``[[id NAME PERSON]]``: that copy's header, the whole copy, its
  Message-ID in brackets. ``[[field NAME PERSON Field]]``: a header field of it.
* ``[[token NAME]]``: the signed plus-address of an earlier mail's ticket. ``[[ticket NAME]]``: its label.
"""

import base64
import binascii
import quopri
import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

__all__ = ["build", "decode_text", "encode_text", "fill"]

_DIRECTIVE = re.compile(r"\[\[([a-z0-9\-]+)(?:[ \n](.*?))?\]\]", re.DOTALL)

# Says what a directive that depends on earlier mails stands for: ``(word, arguments) -> octets``.
Earlier = Callable[[str, list[str]], bytes]


def encode_text(text: str, charset: str) -> bytes:
    """The text in a charset; ``iso-2022-jp-ms`` is one that Python cannot write."""
    return _iso_2022_jp_ms(text) if charset == "iso-2022-jp-ms" else text.encode(charset)


def _iso_2022_jp_ms(text: str) -> bytes:
    found, is_double = bytearray(), False
    for character in text:
        octets = character.encode("cp932")
        if len(octets) == 2 and not is_double:
            found += b"\x1b$B"
        elif len(octets) == 1 and is_double:
            found += b"\x1b(B"
        is_double = len(octets) == 2
        found += _to_jis(*octets) if is_double else octets
    return bytes(found + (b"\x1b(B" if is_double else b""))


def _to_jis(lead: int, trail: int) -> bytes:
    """Shift_JIS to JIS: two rows in one lead octet."""
    row = (lead - (0x81 if lead < 0xA0 else 0xC1)) * 2 + 0x21
    if trail >= 0x9F:
        return bytes((row + 1, trail - 0x7E))
    return bytes((row, trail - (0x20 if trail >= 0x80 else 0x1F)))


def decode_text(octets: bytes, charset: str) -> str:
    """The text of octets in a charset, also of ISO-2022-JP with NEC row 13 and half-width kana."""
    if charset == "iso-2022-jp":
        pieces = re.split(rb"\x1b([($][A-Z@])", octets)
        sets = [b"(B", *pieces[1::2]]
        return "".join(_decode_set(piece, which) for piece, which in zip(pieces[::2], sets, strict=True))
    names = {"shift_jis": "cp932", "gb2312": "gb18030", "ks_c_5601-1987": "cp949"}
    try:
        return octets.decode(names.get(charset, charset), "replace")
    except LookupError:
        return octets.decode("utf-8", "replace")


def _decode_set(octets: bytes, which: bytes) -> str:
    if which == b"(I":  # half-width kana
        return bytes(octet | 0x80 for octet in octets).decode("cp932")
    if not which.startswith(b"$"):
        return octets.decode("ascii", "replace")
    pairs = octets.replace(b"\r", b"").replace(b"\n", b"")
    return b"".join(_to_shift_jis(*pairs[n : n + 2]) for n in range(0, len(pairs) - 1, 2)).decode("cp932", "replace")


def _to_shift_jis(row: int, cell: int) -> bytes:
    lead = (row - 0x21) // 2
    lead += 0x81 if lead < 31 else 0xC1
    if row % 2 == 0:
        return bytes((lead, cell + 0x7E))
    return bytes((lead, cell + (0x20 if cell >= 0x60 else 0x1F)))


def build(text: str, *, name: str, adds: bool, line_end: bytes, earlier: Earlier) -> bytes:
    """The octets of a mail: directives done, line ends made, the usual fields added where they are missing."""
    octets = b"".join(_pieces(text, earlier)).replace(b"\r\n", b"\n").replace(b"\n", line_end)
    if adds:
        octets = _usual_fields(octets, name, line_end) + octets
    return octets


def fill(text: str, earlier: Earlier) -> str:
    """A line of a case with its directives done."""
    return b"".join(_pieces(text, earlier)).decode()


def _pieces(text: str, earlier: Earlier) -> list[bytes]:
    pieces, position = [], 0
    for match in _DIRECTIVE.finditer(text):
        pieces += [text[position : match.start()].encode(), _directive(match[1], match[2] or "", earlier)]
        position = match.end()
    return [*pieces, text[position:].encode()]


def _directive(word: str, argument: str, earlier: Earlier) -> bytes:
    if word == "hex":
        return bytes.fromhex(argument)
    if word == "repeat":
        times, _, what = argument.partition(" ")
        return what.encode() * int(times)
    if word == "numbered":
        times, _, what = argument.partition(" ")
        return ",\n ".join(what.replace("#", str(number + 1)) for number in range(int(times))).encode()
    if word == "octets":
        return _lines(random.Random(7).randbytes(int(argument)))
    if word == "day":
        days, _, form = argument.partition(" ")
        return (datetime.now(UTC) + timedelta(days=int(days))).strftime(form).encode()
    if word in _ENCODERS:
        charset, text = re.split(r"[ \n]", argument, maxsplit=1)
        return _ENCODERS[word](encode_text(text, charset), charset)
    return earlier(word, argument.split())


def _lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).rstrip(b"\n")


_ENCODERS: Mapping[str, Callable[[bytes, str], bytes]] = {
    "raw": lambda octets, _: octets,
    "base64": lambda octets, _: _lines(octets.replace(b"\n", b"\r\n")),
    "quoted-printable": lambda octets, _: quopri.encodestring(octets),
    "word": lambda octets, charset: f"=?{charset}?B?".encode() + binascii.b2a_base64(octets, newline=False) + b"?=",
}


def _usual_fields(octets: bytes, name: str, line_end: bytes) -> bytes:
    block = b"\n" + octets.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower()
    usual = {
        b"Date": format_datetime(datetime.now(UTC)).encode(),
        b"Message-ID": f"<{name}@mail.test>".encode(),
        b"MIME-Version": b"1.0",
        b"Content-Type": b"text/plain; charset=utf-8",
        b"Content-Transfer-Encoding": b"8bit",
    }
    if b"\ncontent-type:" in block:
        usual.pop(b"Content-Transfer-Encoding")
    missing = [(field, value) for field, value in usual.items() if b"\n" + field.lower() + b":" not in block]
    return b"".join(field + b": " + value + line_end for field, value in missing)
