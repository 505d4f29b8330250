"""Twice the mail, twice the work: for every unit at one place, and for the pairs that are known to be nasty.

All pairs take a quarter of an hour: ``make fuzz FUZZ=--growth``.
"""

import pytest

from properties.linear import find_growth, growth
from properties.nasty import PLACES, UNITS

_PLACES = list(PLACES)
_EVERY_UNIT = [(_PLACES[number * 7 % len(_PLACES)], unit) for number, unit in enumerate(UNITS)]
_KNOWN = [
    ("to", "less"),
    ("to", "paren"),
    ("to", "mailbox"),
    ("to", "fold"),
    ("from", "comment-nested"),
    ("from", "quote-open"),
    ("cc-open", "backslash"),
    ("subject", "word-half"),
    ("subject", "word-split"),
    ("subject", "ligature"),
    ("references", "id"),
    ("references", "id-open"),
    ("type", "parameter-open"),
    ("type", "continued"),
    ("disposition", "extended"),
    ("header", "field-foreign"),
    ("header", "field-bcc"),
    ("header", "crcrlf"),
    ("whole", "cr"),
    ("whole", "line"),
    ("mixed", "boundary"),
    ("mixed", "boundary-nested"),
    ("mixed-open", "boundary-like"),
    ("plain", "quoted"),
    ("plain", "quote-levels"),
    ("plain", "wrote-open"),
    ("plain", "block"),
    ("plain", "marker"),
    ("plain-japanese", "escape-kanji"),
    ("plain-euc", "euc-cut"),
    ("plain-utf7", "utf7-open"),
    ("plain-quoted", "qp-soft"),
    ("plain-quoted", "marker"),
    ("plain-base64", "base64-odd"),
    ("html", "html-comment"),
    ("html", "blockquote-cite"),
    ("html-tag", "tag-quote"),
    ("html-head", "html-script"),
    ("report", "greater"),  # two minutes once: each octet began a look at the rest
    ("report", "status"),
    ("report", "field"),
    ("report-text", "mailbox-open"),
    ("report-recipient", "percent"),
]


@pytest.mark.parametrize(
    ("place", "unit"), [*_EVERY_UNIT, *_KNOWN], ids=[f"{place}-{unit}" for place, unit in (*_EVERY_UNIT, *_KNOWN)]
)
def test_the_work_grows_as_the_mail_does(place: str, unit: str) -> None:
    assert find_growth(place, unit) == []


def test_quadratic_work_is_found() -> None:
    """What is measured can see what it is made for."""

    def quadratic(octets: bytes) -> None:
        for at in range(0, len(octets), 8):
            octets.count(b"\n", at)

    assert growth(quadratic, b"x" * 8192, b"x" * 131072)
    assert not growth(lambda octets: None, b"x" * 8192, b"x" * 131072)
