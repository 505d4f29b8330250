"""The same mail again: same Message-ID, From and Date (RULES_OF_MAIL 5)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from supportrelay.core.duplicate import duplicate_key
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox
from supportrelay.core.reading import read_facts

ANN, BOB = Mailbox("ann", "acme.example", "Ann"), Mailbox("bob", "acme.example", "Bob")
MAIL = Facts(
    message_id="<1@acme.example>",
    date=datetime(2026, 3, 2, 1, tzinfo=UTC),
    date_text="Mon, 2 Mar 2026 10:00:00 +0900",
    from_=(ANN,),
    subject="Line down",
    content_key="c0ffee",
)
NAMELESS = replace(MAIL, message_id="")


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(MAIL, True, id="itself"),
        pytest.param(replace(MAIL, subject="[team] Line down", content_key="0"), True, id="through-a-group"),
        pytest.param(replace(MAIL, from_=(Mailbox("ANN", "acme.example", "A."),)), True, id="from-written-otherwise"),
        pytest.param(replace(MAIL, date_text="Mon, 2  Mar 2026 10:00:00 +0900"), True, id="date-refolded"),
        pytest.param(
            replace(MAIL, from_=(Mailbox("support", "reflectle.test", "Ann via Support"),), original_from=ANN),
            True,
            id="from-rewritten-by-a-group",
        ),
        pytest.param(
            replace(MAIL, original_from=Mailbox("bounce-1", "esp.example")), True, id="original-sender-of-a-plain-from"
        ),
        pytest.param(replace(MAIL, from_=(BOB,)), False, id="another-author"),
        pytest.param(replace(MAIL, date_text="Mon, 2 Mar 2026 10:00:01 +0900"), False, id="another-date"),
        pytest.param(replace(MAIL, message_id="<2@acme.example>"), False, id="another-id"),
        pytest.param(replace(MAIL, message_id="<1@ACME.example>"), False, id="id-in-another-case"),
        pytest.param(NAMELESS, False, id="without-id"),
    ],
)
def test_a_mail_with_an_id_is_known_by_id_author_and_date(other: Facts, is_same: bool) -> None:
    assert (duplicate_key(MAIL) == duplicate_key(other)) is is_same


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(NAMELESS, True, id="itself"),
        pytest.param(replace(MAIL, message_id="<>"), True, id="empty-id"),
        pytest.param(replace(MAIL, message_id="<1.2@localhost>"), True, id="localhost-id"),
        pytest.param(replace(NAMELESS, content_key="0"), False, id="another-text"),
        pytest.param(replace(NAMELESS, subject="Other"), False, id="another-subject"),
        pytest.param(replace(NAMELESS, from_=(BOB,)), False, id="another-author"),
        pytest.param(replace(NAMELESS, date_text=""), False, id="another-date"),
    ],
)
def test_a_mail_without_a_usable_id_is_known_by_its_contents(other: Facts, is_same: bool) -> None:
    assert (duplicate_key(NAMELESS) == duplicate_key(other)) is is_same


@pytest.mark.parametrize(
    ("message_id", "date"),
    [
        pytest.param("<1@localhost>", "Date: Mon, 2 Mar 2026 10:00:00 +0900\r\n", id="id-of-localhost"),
        pytest.param("<device@acme.example>", "", id="no-date"),
        pytest.param("<device@acme.example>", "Date: ${date}\r\n", id="unreadable-date"),
    ],
)
def test_where_nothing_else_tells_mails_apart_their_words_do(message_id: str, date: str) -> None:
    def key(words: str) -> str:
        head = f"From: erp@acme.example\r\nSubject: Invoice\r\nMessage-ID: {message_id}\r\n{date}\r\n"
        return duplicate_key(read_facts((head + words + "\r\n").encode()))

    assert key("Number 1") == key("Number 1")
    assert key("Number 1") != key("Number 2")


def test_the_key_is_64_hex_digits_for_any_mail() -> None:
    for facts in (MAIL, Facts(), replace(MAIL, subject="\ud800", date_text="\0")):
        assert len(duplicate_key(facts)) == 64
        assert set(duplicate_key(facts)) <= set("0123456789abcdef")
