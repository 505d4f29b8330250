"""Print docs/words.md: the closed lists of words that JSON, headers and the log use, with what people read for them.

``.venv/bin/python tests/print_words.py > docs/words.md`` writes it anew, and puts the events of the log at the end of
docs/events.md; a test compares both.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from supportrelay.i18n import read_catalogue
from supportrelay.log import EVENTS

EVENTS_PAGE = Path(__file__).resolve().parents[1] / "docs" / "events.md"
INTRODUCTION = """\
# Words

Every closed list of words in `--json` and in header fields, and what people read for them; the events of the log stand
in [events.md](events.md). New ones may be added; none changes its meaning. Printed from the program:
`.venv/bin/python tests/print_words.py > docs/words.md`.
"""
FAMILIES = [
    ("direction", "Direction", "What kind of mail it is: `direction` of explain, trace and rules."),
    ("support_in", "Place", "Where our address stands: `support_in` of explain, trace and rules."),
    ("fallback", "Fallback", "Why no owner got it. `X-Supportrelay-Reason` has these too, and `owner` and `rule`."),
    ("disposition", "Disposition", "What becomes of a mail: `disposition`."),
    ("why", "Why", "Why this recipient: `copies[].why` of explain, `deliveries[].why`."),
    ("stage", "Stages", "`stage` of a ticket; commands and configuration take either word."),
    ("deal_state", "States of deals", "`stage` of a deal."),
    ("message_state", "States of messages", "`state` in `queue list` and trace."),
    ("delivery_kind", "Kinds of copies", "`copies[].kind`, `deliveries[].kind`."),
    ("delivery_state", "States of copies", "`deliveries[].state`."),
    ("form", "Forms of copies", "`deliveries[].form`: what of the mail a copy holds."),
    ("phase", "Phases", "How far an attempt came."),
    ("cause", "Causes", "Why an attempt, or a change, came out as it did."),
    ("event", "Changes", "The record: `changes[].what` of trace, the history of a ticket."),
    (
        "note",
        "Notes on copies",
        "What had to be done to a copy, as `CODE` or `CODE:DETAIL`: `copy_notes` of an attempt.",
    ),
    ("reason", "Reasons", "`reasons[].code` of explain and trace, with the values that stand in braces."),
]


def print_words() -> Iterator[str]:
    """The page, line by line."""
    yield from INTRODUCTION.splitlines()
    english, japanese = read_catalogue("en"), read_catalogue("ja")
    for family, title, about in FAMILIES:
        yield from ("", f"## {title}", "", about, "", "| word | English | 日本語 |", "| --- | --- | --- |")
        for word in words_of(family, english):
            msgid = f"{family}.{word}"
            yield f"| `{word}` | {_cell(english[msgid])} | {_cell(japanese[msgid])} |"


def print_events() -> Iterator[str]:
    """The end of docs/events.md, line by line."""
    yield from ("| event | means |", "| --- | --- |")
    for event, means in EVENTS.items():
        yield f"| `{event}` | {_cell(means)} |"


def words_of(family: str, catalogue: Mapping[str, str]) -> list[str]:
    """The words of one list, in the order of the alphabet."""
    return sorted(msgid.removeprefix(f"{family}.") for msgid in catalogue if msgid.startswith(f"{family}."))


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write("\n".join(print_words()) + "\n")
    text, _, _ = EVENTS_PAGE.read_text("utf-8").partition("| event | means |")
    EVENTS_PAGE.write_text(text + "\n".join(print_events()) + "\n", encoding="utf-8")
