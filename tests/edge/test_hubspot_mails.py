"""A mail as a record of HubSpot: what fits, what is left out, and what always stays."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.outside import DeskMail
from supportrelay.edge.crm.hubspot.contacts import ContactIds, split_name
from supportrelay.edge.crm.hubspot.mails import (
    LONGEST_TEXT,
    cut_units,
    is_logged_as,
    logged_message_id,
    mail_properties,
    plain_mail,
)
from supportrelay.i18n import Catalogue

WORDS = Catalogue("en")
AT = datetime(2026, 11, 22, 3, 30, 17, 883_456, tzinfo=UTC)
MAIL = DeskMail(
    message_id="<a.1@customer.example>",
    at=AT,
    is_inbound=True,
    subject="Printer  on\nfire",
    from_=(("jane@customer.example", "Jane Doe"),),
    to=(("support@relay.example", ""),),
    cc=(("boss@customer.example", "上司"), ("", "nobody")),
    text="Help!\r\nIt burns.\r\n",
    attachments=(("photo.jpg", 1_258_291), ("log.txt", 300), ("a\nb.pdf", 20_480)),
    customer="jane@customer.example",
)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def test_a_mail_is_logged_with_its_text_its_attachments_and_its_message_id() -> None:
    written = mail_properties(MAIL, WORDS)

    assert written["hs_email_text"] == (
        "Help!\nIt burns.\n\nAttachments:\n- photo.jpg (1.2 MB)\n- log.txt (300 B)\n- a b.pdf (20 KB)\n"
        "Message-ID: <a.1@customer.example>"
    )
    assert {name: value for name, value in written.items() if name not in {"hs_email_text", "hs_email_headers"}} == {
        "hs_timestamp": "2026-11-22T03:30:17.883Z",
        "hs_email_direction": "INCOMING_EMAIL",
        "hs_email_status": "SENT",
        "hs_email_subject": "Printer on fire",
    }
    assert json.loads(written["hs_email_headers"]) == {
        "from": {"email": "jane@customer.example", "firstName": "Jane Doe"},
        "to": [{"email": "support@relay.example"}],
        "cc": [{"email": "boss@customer.example", "firstName": "上司"}],
        "bcc": [],
    }


def test_an_answer_of_ours_is_outgoing_and_its_clock_may_be_anywhere() -> None:
    written = mail_properties(replace(MAIL, is_inbound=False, at=AT.astimezone(timezone(timedelta(hours=9)))), WORDS)

    assert (written["hs_email_direction"], written["hs_timestamp"]) == ("EMAIL", "2026-11-22T03:30:17.883Z")


@pytest.mark.parametrize("letter", ["x", "火", "🔥"], ids=["ascii", "japanese", "pairs of UTF-16"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_long_text_is_cut_visibly_and_keeps_its_last_lines(letter: str, language: str) -> None:
    words = Catalogue(language)
    written = mail_properties(replace(MAIL, text=letter * 200_000), words)["hs_email_text"]

    assert LONGEST_TEXT - 1 <= units(written) <= LONGEST_TEXT
    assert words.text("desk_log.cut") in written
    assert written.endswith("- a b.pdf (20 KB)\nMessage-ID: <a.1@customer.example>")
    assert "\ufffd" not in written


def test_a_text_that_just_fits_is_not_cut() -> None:
    footer = units(mail_properties(replace(MAIL, text=""), WORDS)["hs_email_text"]) + 2
    whole = mail_properties(replace(MAIL, text="x" * (LONGEST_TEXT - footer)), WORDS)["hs_email_text"]
    cut = mail_properties(replace(MAIL, text="x" * (LONGEST_TEXT - footer + 1)), WORDS)["hs_email_text"]

    assert (units(whole), "goes on" in whole, "goes on" in cut) == (LONGEST_TEXT, False, True)


def test_hundreds_of_attachments_and_recipients_fit() -> None:
    many = replace(
        MAIL,
        attachments=tuple(("火" * 300, 1) for _ in range(500)),
        to=tuple((f"{'a' * 200}{number}@customer.example", "名" * 500) for number in range(2000)),
        text="x" * 100_000,
    )
    written = mail_properties(many, WORDS)

    assert units(written["hs_email_text"]) <= LONGEST_TEXT
    assert "- and 400 more\nMessage-ID: <" in written["hs_email_text"]
    assert units(written["hs_email_headers"]) <= 60_000
    assert json.loads(written["hs_email_headers"])["to"]


def test_characters_that_no_form_takes_are_left_out() -> None:
    odd = replace(MAIL, text="a\0b\x1bc\x85d\ud800e\tf\u2028g\ufffe", subject="a\0\r\nb\x07", attachments=())
    written = mail_properties(odd, WORDS)

    assert written["hs_email_text"].startswith("abcde\tf\ng\n")
    assert written["hs_email_subject"] == "a b"


def test_a_mail_without_message_id_or_text_is_logged_too() -> None:
    bare = DeskMail("", AT, True, "", (), (), (), "")

    assert mail_properties(bare, WORDS)["hs_email_text"] == ""
    assert json.loads(mail_properties(bare, WORDS)["hs_email_headers"])["from"] == {}


def test_what_was_not_taken_is_said_in_plain_words() -> None:
    plain = plain_mail(replace(MAIL, subject="火事"), WORDS)

    assert "jane" not in json.dumps(plain)
    assert plain["hs_email_subject"] == "??"
    assert logged_message_id(plain["hs_email_text"]) == "<a.1@customer.example>"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("Hi\n\nMessage-ID: <a@b.example>", "<a@b.example>", id="last line"),
        pytest.param("Message-ID: <a@b.example>\n", "<a@b.example>", id="alone"),
        pytest.param("Message-ID: <a@b.example>\nand more", "", id="somewhere else"),
        pytest.param("He wrote Message-ID: <a@b.example>", "", id="in the middle of a line"),
        pytest.param("Message-ID: a@b.example", "", id="no brackets"),
        pytest.param("", "", id="empty"),
    ],
)
def test_the_message_id_is_read_from_the_last_line_only(text: str, found: str) -> None:
    assert logged_message_id(text) == found


@given(st.text(), st.text(max_size=50))
def test_whatever_a_mail_says_its_message_id_is_found_again(text: str, name: str) -> None:
    written = mail_properties(replace(MAIL, text=text, attachments=((name, 1),)), WORDS)["hs_email_text"]

    assert logged_message_id(written) == MAIL.message_id


@pytest.mark.parametrize(
    ("stamp", "subject", "is_it"),
    [
        pytest.param("2026-11-22T03:30:17.883Z", "Printer on fire", True, id="as written"),
        pytest.param("1795318217883", " Printer  on fire ", True, id="epoch, other spaces"),
        pytest.param("2026-11-22T03:30:17.884Z", "Printer on fire", False, id="another instant"),
        pytest.param("2026-11-22T03:30:17.883Z", "Printer", False, id="another subject"),
        pytest.param(None, None, False, id="nothing"),
    ],
)
def test_a_record_is_recognised_by_instant_and_subject(stamp: str | None, subject: str | None, is_it: bool) -> None:
    assert is_logged_as(MAIL, {"hs_timestamp": stamp, "hs_email_subject": subject}) is is_it


@given(st.text(), st.integers(0, 50))
def test_a_cut_never_tears_a_character(text: str, most: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    cut = cut_units(text, most)

    assert text.startswith(cut)
    assert most - 1 <= units(cut) <= most or cut == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Jane Doe", ("Jane", "Doe")),
        ("Jane Q. van Doe", ("Jane Q. van", "Doe")),
        ('"Doe, Jane"', ("Jane", "Doe")),
        ("Jane", ("Jane", "")),
        ("山田 太郎", ("太郎", "山田")),
        ("山田　太郎", ("太郎", "山田")),
        ("山田太郎", ("山田太郎", "")),
        ("jane@customer.example", ("", "")),
        ("", ("", "")),
        ("\x1b\x00 ", ("", "")),
        ("a " * 500, (("a " * 50).strip(), "a…")),
    ],
)
def test_a_display_name_becomes_first_and_last_name(name: str, expected: tuple[str, str]) -> None:
    assert split_name(name) == expected


def test_contact_ids_are_kept_for_a_while_and_the_oldest_go_first() -> None:
    clock = [AT]
    ids = ContactIds(lambda: clock[0], keep=timedelta(hours=1), most=2)
    ids.put("a@x.example", "1")
    ids.put("b@x.example", "2")
    assert ids.get("a@x.example") == "1"
    ids.put("c@x.example", "3")
    ids.put("", "4")

    assert [ids.get(f"{one}@x.example") for one in "abc"] == ["1", "", "3"]
    ids.put("c@x.example", "")
    assert ids.get("c@x.example") == ""
    clock[0] += timedelta(hours=2)
    assert ids.get("a@x.example") == ""
