"""File names and other parameters with octets over 127, made legal by RFC 2231: for next hops that take ASCII only."""

import re

from supportrelay.core.headers import HeaderField, raw_value

__all__ = ["ascii_parameters"]

_PARAMETER = re.compile(rb";\s*+([^\s=;\"*]++)\s*+=\s*+(\"(?:[^\"\\]++|\\.)*+\"?|[^;\r\n]*+)", re.DOTALL)
_NAME_IN_SECTIONS = re.compile(rb"[;\s]([^\s=;\"*]++)\*")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~")  # attribute-char
_SECTION = 60  # characters of a value on one line


def ascii_parameters(field: HeaderField, hint: str | None) -> bytes | None:
    """Return a Content-* field with its raw parameters in RFC 2231 form, every other octet as it was.

    Args:
        hint: Charset in which raw octets are read that are no UTF-8 (`raw_header.charset_hint`).

    None when octets over 127 stand where no parameter is: nobody can say what they were to be.
    """
    twins = frozenset(_NAME_IN_SECTIONS.findall(field.raw.lower()))

    def encoded(found: re.Match[bytes]) -> bytes:
        if found[0].isascii():
            return found[0]
        name = found[1]
        if name.lower() in twins:
            return b""  # its twin in RFC 2231 form says the same, better
        value = found[2]
        if value.startswith(b'"'):
            value = _QUOTED_PAIR.sub(rb"\1", value[1:].removesuffix(b'"'))
        return _sections(name, raw_value(HeaderField("", value, 0), hint))

    new = _PARAMETER.sub(encoded, field.raw)
    new = new if new.endswith(b"\r\n") else new.rstrip() + b"\r\n"
    return new if new.isascii() else None


def _sections(name: bytes, text: str) -> bytes:
    """``; name*=utf-8''...``, in numbered sections when it is long (RFC 2231 §3, §4.1)."""
    sections, section = [], b"utf-8''"
    for octet in text.encode("utf-8", "replace"):
        section += bytes([octet]) if octet in _PLAIN else b"%%%02X" % octet
        if len(section) >= _SECTION:
            sections.append(section)
            section = b""
    if section or not sections:
        sections.append(section)
    if len(sections) == 1:
        return b";\r\n\t%s*=%s" % (name, sections[0])
    return b"".join(b";\r\n\t%s*%d*=%s" % (name, number, one) for number, one in enumerate(sections))
