"""Addresses: nothing but our error, print and parse are each other's reverse, and no name becomes an address."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from properties.mails import HEADER_TEXTS
from properties.profile import SOME
from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import Mailbox, comparing_form, parse_mailboxes, parse_path, print_mailbox, print_path

_LABEL = st.text(st.sampled_from("abcxyz019"), min_size=1, max_size=8)
_DOMAINS = st.lists(_LABEL, min_size=1, max_size=3).map(".".join)
_LOCALS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
_NAMES = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["a@evil.test", '"<a@evil.test>', "=?utf-8?q?a?=", "(", "a, b", ";", "日本 <x@y.test>", "\u2028", "a  b"]
)


@SOME
@given(HEADER_TEXTS)
def test_a_path_is_parsed_or_refused_with_our_error(text: str) -> None:
    try:
        mailbox = parse_path(text)
    except AddressError:
        return
    assert parse_path(print_path(mailbox)) == mailbox
    assert comparing_form(text) == mailbox.key
    assert mailbox.domain == mailbox.domain.lower()
    assert mailbox.domain.isascii()


@SOME
@given(_LOCALS, _DOMAINS)
@example("abc.", "ezweb.ne.jp")
@example('a"b\\c', "x.test")
def test_any_local_part_survives_printing(local: str, domain: str) -> None:
    mailbox = Mailbox(local, domain)

    assert parse_path(print_path(mailbox)) == mailbox


@SOME
@given(HEADER_TEXTS)
def test_every_mailbox_of_any_list_is_one(text: str) -> None:
    for mailbox in parse_mailboxes(text):
        assert parse_path(print_path(mailbox)).key == mailbox.key
        assert mailbox.name.isprintable() or " " in mailbox.name or mailbox.name.strip() == mailbox.name
        assert not any(c in mailbox.name for c in "\r\n\0\ud800")


@SOME
@given(st.lists(st.tuples(_LOCALS, _DOMAINS, _NAMES), max_size=5))
def test_a_printed_list_is_read_as_what_was_printed(people: list[tuple[str, str, str]]) -> None:
    written = [Mailbox(local, domain, name) for local, domain, name in people]
    printed = ", ".join(map(print_mailbox, written))

    assert printed.isascii()
    assert "\n" not in printed
    assert [m.key for m in parse_mailboxes(printed)] == [m.key for m in written]


@SOME
@given(HEADER_TEXTS, _LOCALS, _DOMAINS)
def test_what_stands_before_a_list_takes_nothing_from_the_address_behind_it(text: str, local: str, domain: str) -> None:
    """Or nothing is read: an address is never made of two halves."""
    assume(not any(c in text for c in '"(<[:@\\'))
    wanted = Mailbox(local, domain)

    assert wanted in parse_mailboxes(f"{text}, {print_path(wanted)}")
