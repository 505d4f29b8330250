"""Our reader of catalogues agrees with gettext's own tools."""

from pathlib import Path

import pytest
from babel.messages.pofile import read_po

import supportrelay
from supportrelay.i18n import LANGUAGES, read_catalogue


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_read_as_gettext_reads_it(language: str) -> None:
    file = Path(supportrelay.__file__).parent / "locales" / language / "LC_MESSAGES" / "supportrelay.po"
    with file.open("rb") as opened:
        entries = {entry.id: entry.string for entry in read_po(opened, locale=language, abort_invalid=True)}

    assert read_catalogue(language) == {msgid: text for msgid, text in entries.items() if msgid and text}
