"""Until when a certificate is valid; the standard library reads that only for certificates of peers."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["valid_until"]

_SEQUENCE, _INTEGER, _VERSION, _UTC_TIME = 0x30, 0x02, 0xA0, 0x17
_LONG_FORM = 0x80


def valid_until(file: Path) -> datetime | None:
    """Return the end of validity of the first certificate in a PEM file, None when it cannot be read.

    RFC 5280 §4.1: Certificate { TBSCertificate { [0] version, serial, signature, issuer, Validity { from, until }.
    """
    try:
        text = file.read_text("ascii", "ignore")
        begin = text.index(ssl.PEM_HEADER)
        end = text.index(ssl.PEM_FOOTER, begin) + len(ssl.PEM_FOOTER)
        der = ssl.PEM_cert_to_DER_cert(text[begin:end])
        certificate = _element(der, 0, _SEQUENCE)[0]
        at = _element(der, certificate, _SEQUENCE)[0]
        if der[at] == _VERSION:
            at = _element(der, at, _VERSION)[1]
        for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serial, signature algorithm, issuer
            at = _element(der, at, tag)[1]
        validity = _element(der, at, _SEQUENCE)[0]
        _, after_from = _element(der, validity)
        begin, end = _element(der, after_from)
        return _time(der[begin:end].decode("ascii"), is_short=der[after_from] == _UTC_TIME)
    except (OSError, ValueError, IndexError):
        return None


def _element(der: bytes, at: int, tag: int | None = None) -> tuple[int, int]:
    """Where the content of the element at an offset begins and ends."""
    if tag is not None and der[at] != tag:
        raise ValueError("another element")
    length, begin = der[at + 1], at + 2
    if length >= _LONG_FORM:
        begin += length - _LONG_FORM
        length = int.from_bytes(der[at + 2 : begin], "big")
    return begin, begin + length


def _time(text: str, *, is_short: bool) -> datetime:
    return datetime.strptime(text, "%y%m%d%H%M%SZ" if is_short else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
