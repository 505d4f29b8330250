"""Mailboxes: parse, compare, print."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import (
    Mailbox,
    comparing_form,
    parse_mailboxes,
    parse_path,
    print_mailbox,
    print_path,
    split_detail,
)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        pytest.param("ann@Example.TEST", "ann", "example.test", id="plain"),
        pytest.param('"support"@ours.test', "support", "ours.test", id="C04 quotes are not part of the name"),
        pytest.param('"a b"@x.test', "a b", "x.test", id="space in quotes"),
        pytest.param(r'"a\"b\\"@x.test', 'a"b\\', "x.test", id="quoted pairs"),
        pytest.param('"victim@evil"@ours.test', "victim@evil", "ours.test", id="C04 at in quotes"),
        pytest.param("abc.@ezweb.ne.jp", "abc.", "ezweb.ne.jp", id="trailing dot of a carrier"),
        pytest.param('"abc."@ezweb.ne.jp', "abc.", "ezweb.ne.jp", id="the same, quoted"),
        pytest.param("x..y@docomo.ne.jp", "x..y", "docomo.ne.jp", id="two dots of a carrier"),
        pytest.param("victim%evil@ours.test", "victim%evil", "ours.test", id="C02 percent hack is a name"),
        pytest.param("evil!victim@ours.test", "evil!victim", "ours.test", id="C02 bang path is a name"),
        pytest.param("@ours.test,@x.test:victim@evil.test", "victim", "evil.test", id="C03 source route"),
        pytest.param("a@日本.jp", "a", "xn--wgv71a.jp", id="idn"),
        pytest.param("田中@x.test", "田中", "x.test", id="smtputf8"),
        pytest.param("a@[127.0.0.1]", "a", "[127.0.0.1]", id="ipv4 literal"),
        pytest.param("a@[IPv6:0::1]", "a", "[ipv6:::1]", id="ipv6 literal"),
        pytest.param("a@my_host.test", "a", "my_host.test", id="underscore"),
    ],
)
def test_addresses_are_read(text: str, local: str, domain: str) -> None:
    mailbox = parse_path(text)

    assert (mailbox.local, mailbox.domain) == (local, domain)
    assert parse_path(print_path(mailbox)) == mailbox


@pytest.mark.parametrize(
    "text",
    [
        "", "support", "@", "a@", "@x.test", "a@b@ours.test", "support@ours.test.", "a@.test", "a@x..test", "a@-x.test",
        "a b@x.test", "a\r\nb@x.test", "a\0@x.test", "a@x.test\n", "a\x7f@x.test", "a\x85@x.test", '"a@x.test',
        '""@x.test', '"a"b@x.test', "<a@x.test>", "a@[1.2.3]", "a@[::1]", "a@[IPv6:zz]", "a@[127.0.0.1", "a@x.test>",
        "a,b@x.test", "a@" + "x." * 200 + "test", "a" * 300 + "@x.test", "a@" + "日" * 250 + ".test",
        "a@xn--\u0301.test", "a@b_\ud800.test", "a@" + "y" * 64 + ".test", "a@ x.test", "a@[IPv6:fe80::1%eth0]",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_path(text)


@given(st.text(min_size=1, max_size=60))
def test_parsing_raises_nothing_but_our_error(text: str) -> None:
    for candidate in (text, f"{text}@x.test", f"a@{text}"):
        try:
            mailbox = parse_path(candidate)
        except AddressError:
            continue
        assert parse_path(print_path(mailbox)) == mailbox


_LOCAL = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@given(_LOCAL)
def test_print_then_parse_is_the_identity(local: str) -> None:
    mailbox = Mailbox(local, "x.test")

    assert parse_path(print_path(mailbox)) == mailbox


@given(_LOCAL, st.text(max_size=60))
def test_printed_mailboxes_are_ascii_and_read_back(local: str, name: str) -> None:
    printed = print_mailbox(Mailbox(local, "x.test", name))

    assert printed.isascii()
    assert "\r" not in printed
    assert "\n" not in printed
    read = parse_mailboxes(printed)
    if local.isascii():
        assert [m.key for m in read] == [Mailbox(local, "x.test").key]
    else:
        assert read == ()  # RFC 6857: named, not reachable


@pytest.mark.parametrize(
    ("mailbox", "printed"),
    [
        pytest.param(Mailbox("abc.", "ezweb.ne.jp"), '"abc."@ezweb.ne.jp', id="carrier"),
        pytest.param(Mailbox("a", "x.test", "Ann Lee"), "Ann Lee <a@x.test>", id="plain name"),
        pytest.param(Mailbox("a", "x.test", 'Lee, "A"'), '"Lee, \\"A\\"" <a@x.test>', id="quoted name"),
        pytest.param(Mailbox("a", "x.test", "田中"), "=?utf-8?B?55Sw5Lit?= <a@x.test>", id="encoded name"),
        pytest.param(Mailbox("a", "x.test", "x\r\nBcc: b"), '"x  Bcc: b" <a@x.test>', id="C37 line break"),
        pytest.param(Mailbox("a", "x.test", "=?utf-8?Q?x?="), "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?= <a@x.test>", id="word"),
    ],
)
def test_names_are_printed_safely(mailbox: Mailbox, printed: str) -> None:
    assert print_mailbox(mailbox) == printed


def _keys(value: str) -> list[str]:
    return [m.key for m in parse_mailboxes(value)]


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        pytest.param("support@ours.test <evil@x.test>", ["evil@x.test"], id="C38 address as name"),
        pytest.param('"support@ours.test" <evil@x.test>', ["evil@x.test"], id="C38 quoted address as name"),
        pytest.param("=?utf-8?Q?a=40ours.test=2C?= <evil@x.test>", ["evil@x.test"], id="encoded comma is no comma"),
        pytest.param("alice@a.test)bob@b.test", [], id="CVE-2023-27043 parenthesis"),
        pytest.param("alice@a.test(bob@b.test", [], id="comment never closed"),
        pytest.param("<alice@a.test>bob@b.test", [], id="words after the address"),
        pytest.param("<a@a.test> <b@b.test>", [], id="two addresses in one entry"),
        pytest.param("foo bar@x.test", [], id="two words and no angle bracket"),
        pytest.param('"Lee, A" <a@x.test>, b@x.test', ["a@x.test", "b@x.test"], id="comma in quotes"),
        pytest.param("Team: a@x.test, <b@x.test>;, c@x.test", ["a@x.test", "b@x.test", "c@x.test"], id="group"),
        pytest.param("undisclosed-recipients:;", [], id="empty group"),
        pytest.param("Cc: (x): a@b.test;", ["a@b.test"], id="C36 odd group"),
        pytest.param("a@x.test (Ann (the) Lee), (x) b@x.test", ["a@x.test", "b@x.test"], id="nested comments"),
        pytest.param("a@x.test; b@x.test", ["a@x.test", "b@x.test"], id="semicolon between"),
        pytest.param('To: "', [], id="C36 open quote"),
        pytest.param("<", [], id="C36 open bracket"),
        pytest.param("a@[IPv6:::1", [], id="C36 open literal"),
        pytest.param("a@x.test, b@[127.0.0.1]", ["a@x.test", "b@[127.0.0.1]"], id="literal"),
        pytest.param("<@a.test,@b.test:c@x.test>", ["c@x.test"], id="source route"),
        pytest.param("Müller, H <a@x.test>", ["a@x.test"], id="unquoted comma"),
        pytest.param(",,, ;a@x.test,,", ["a@x.test"], id="empty entries"),
        pytest.param("MAILER-DAEMON, <>", [], id="no address"),
        pytest.param("abc.@ezweb.ne.jp", ["abc.@ezweb.ne.jp"], id="carrier"),
    ],
)
def test_address_lists_are_read_without_guessing(value: str, keys: list[str]) -> None:
    assert _keys(value) == keys


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param("Ann  Lee <a@x.test>", "Ann Lee", id="spaces"),
        pytest.param('"Lee, \\"A\\"" <a@x.test>', 'Lee, "A"', id="quoted pairs"),
        pytest.param("=?utf-8?Q?M=C3=BCller,_H?= <a@x.test>", "Müller, H", id="comma left in a word"),
        pytest.param('"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=" <a@x.test>', "日本", id="word in quotes"),
        pytest.param("=?utf-8?q?a=0ab?= <a@x.test>", "a b", id="C36 line break in a word"),
        pytest.param("田中 <a@x.test>", "田中", id="raw"),
        pytest.param("Ann (x) Lee <a@x.test>", "Ann Lee", id="comment"),
        pytest.param("support@ours.test <a@x.test>", "support@ours.test", id="address as name"),
    ],
)
def test_names_are_decoded(value: str, name: str) -> None:
    assert [m.name for m in parse_mailboxes(value)] == [name]


@given(st.text(st.sampled_from('ab@.<>()",;: \\[]=?\r\nqé'), max_size=60))
def test_address_lists_never_raise(value: str) -> None:
    for mailbox in parse_mailboxes(value):
        assert parse_path(print_path(mailbox)).key == mailbox.key


@pytest.mark.parametrize(
    "piece",
    [
        ",",
        "a.",
        '"',
        '\\"',
        "(",
        ")",
        "<",
        "a,",
        "=?",
        "=?a?q?",
        "=?a?q?b?",
        "[",
        "()",
        ":",
        "<a@b.test>,",
        "a@b.test ",
        "\\",
        "a <",
    ],
)
@pytest.mark.parametrize("opening", ["", '"', "<", "(", "a <"])
def test_hostile_lists_take_linear_time(piece: str, opening: str) -> None:
    """RELIABILITY C34: 64 KB of anything."""
    began = time.process_time()
    found = parse_mailboxes(opening + piece * (65536 // len(piece)))

    assert time.process_time() - began < 1
    assert len(found) <= 2000


def test_addresses_compare_without_case_and_quotes() -> None:
    assert comparing_form('"Support"@OURS.test') == comparing_form("support@ours.TEST") == "support@ours.test"


@pytest.mark.parametrize(
    ("local", "delimiter", "parts"),
    [
        ("support+t12", "+", ("support", "t12")),
        ("support", "+", ("support", "")),
        ("a+b+c", "+", ("a", "b+c")),
        ("+x", "+", ("+x", "")),
        ("a-b", "", ("a-b", "")),
        ("support+", "+", ("support", "")),
    ],
)
def test_the_detail_follows_the_first_delimiter(local: str, delimiter: str, parts: tuple[str, str]) -> None:
    assert split_detail(local, delimiter) == parts


def test_an_address_outside_ascii_stands_as_it_is_where_a_field_may_hold_it() -> None:
    mailbox = Mailbox("jörg", "x.test", "Jörg")

    assert print_mailbox(mailbox, utf8=True) == '"Jörg" <jörg@x.test>'
    assert print_mailbox(mailbox).endswith(":;")
    assert parse_mailboxes(print_mailbox(mailbox, utf8=True)) == (mailbox,)
