"""As whom somebody who logged in may write, and what names and passwords are."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.account import (
    LONGEST_PASSWORD,
    Account,
    author_refusal,
    parse_account_name,
    parse_own_address,
    prepared_password,
    sender_refusal,
)
from supportrelay.core.errors import InputError
from supportrelay.core.login_limits import LoginLimits
from supportrelay.core.membership import Membership
from supportrelay.core.reply import AUTHOR_NOT_YOURS, SENDER_NOT_YOURS
from supportrelay.core.settings import Desk, SupportAddress

ADDRESS = SupportAddress(
    "support", "support@desk.test", "Desk", "relay@desk.test", ("all@desk.test",), "support+b-{token}@desk.test",
    aliases=("help@desk.test",),
)  # fmt: skip
MEMBERS = Membership(Desk((ADDRESS,), ("staff.test",), ("it@staff.test",), "relay.desk.test", "relay.desk.test"))
ANN = Account("ann@staff.test", "hash", ("ann.b@staff.test", "*@devices.test"))
DEVICE = Account("printer", "hash")


def mail(*fields: str) -> bytes:
    return "\r\n".join([*fields, "", "Hello", ""]).encode()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["From: ann@staff.test"], id="his-name"),
        pytest.param(["From: =?utf-8?b?5bGx55SwQOWWtualremDqA==?= <ANN.B@Staff.Test>"], id="at-sign-encoded"),
        pytest.param(['From: "Ann @ Work" <ann@staff.test>'], id="at-sign-in-a-quoted-name"),
        pytest.param(["From: ann@staff.test (Ann)"], id="comment"),
        pytest.param(["From: Ann\r\n <ann+x@staff.test>"], id="folded"),
        pytest.param(["From: ann@staff.test, ann.b@staff.test", "Sender: ann@staff.test"], id="two-of-his-own"),
        pytest.param(["FROM : any@devices.test"], id="whole-domain"),
        pytest.param(["From: Desk <support+x@desk.test>"], id="desk"),
        pytest.param(["From: relay@desk.test", "Reply-To: boss@staff.test"], id="answers-go-where-he-likes"),
    ],
)
def test_his_own_and_the_desks_addresses_are_his_to_write_as(fields: list[str]) -> None:
    assert author_refusal(ANN, mail(*fields), MEMBERS) is None


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["From: bob@staff.test"], id="colleague"),
        pytest.param(["From: ann@staff.test.evil.example"], id="longer-domain"),
        pytest.param(["From: xann@staff.test"], id="longer-name"),
        pytest.param(["From: x@sub.devices.test"], id="subdomain"),
        pytest.param(["From: ann@staff.test", "From: ann@staff.test"], id="twice"),
        pytest.param(["From: ann@staff.test", "Sender: bob@staff.test"], id="sender"),
        pytest.param(["From: bob@staff.test <ann@staff.test>"], id="address-for-a-name"),
        pytest.param(["From: ann@staff.test (bob@staff.test)"], id="address-in-a-comment"),
        pytest.param(["From: bob@staff.test>, ann@staff.test"], id="half-an-address"),
        pytest.param(["From: <ann@staff.test> bob@staff.test"], id="address-after-the-address"),
        pytest.param(['From: "bob@staff.test'], id="open-quote"),
        pytest.param(['From: ann@staff.test, "bob@staff.test'], id="open-quote-behind-his-own"),
        pytest.param(['From: ann@staff.test, "bob"@staff.test'], id="quoted-local-part"),
        pytest.param(["From: support+b-0123456789@desk.test"], id="bounce-address"),
        pytest.param(["From:"], id="empty"),
        pytest.param(["To: x@y.test"], id="none"),
        pytest.param(["From: undisclosed:;"], id="empty-group"),
        pytest.param(["\ufeffFrom: bob@staff.test", "From: ann@staff.test"], id="behind-a-byte-order-mark"),
        pytest.param(["From: ann@staff.test", "\0From: bob@staff.test"], id="behind-a-control"),
        pytest.param(["From: ann@staff.test", "--x", "From: bob@staff.test"], id="behind-what-ends-our-header"),
    ],
)
def test_everybody_elses_are_not(fields: list[str]) -> None:
    assert author_refusal(ANN, mail(*fields), MEMBERS) == AUTHOR_NOT_YOURS


def test_a_from_behind_a_very_long_header_is_found() -> None:
    """The last field counts as the first one does; a reader further on may take either."""
    long = [f"X-{n}: {'x' * 70}" for n in range(5_000)]
    assert author_refusal(ANN, mail("From: ann@staff.test", *long), MEMBERS) is None
    assert author_refusal(ANN, mail("From: ann@staff.test", *long, "From: bob@staff.test"), MEMBERS) == AUTHOR_NOT_YOURS


@pytest.mark.parametrize("end", ["", '"@staff.test', '" <ann@staff.test>'])
def test_c34_quotes_in_quotes_cost_linear_time(end: str) -> None:
    """Two hundred thousand of them took minutes, in which nobody else in the process had his turn."""
    refusal = author_refusal(ANN, mail("From: ann@staff.test", 'Sender: "' + '\\"' * 200_000 + end), MEMBERS)
    assert refusal == (None if "ann" in end else AUTHOR_NOT_YOURS)


@pytest.mark.parametrize("account", [None, Account("ann@staff.test", "hash", is_disabled=True)])
def test_who_is_gone_writes_as_nobody(account: Account | None) -> None:
    assert sender_refusal(account, "ann@staff.test", MEMBERS) == SENDER_NOT_YOURS
    assert sender_refusal(account, "", MEMBERS) == SENDER_NOT_YOURS
    assert author_refusal(account, mail("From: ann@staff.test"), MEMBERS) == AUTHOR_NOT_YOURS


def test_a_device_with_a_word_for_a_name_writes_as_the_desk_only() -> None:
    assert sender_refusal(DEVICE, "support@desk.test", MEMBERS) is None
    assert sender_refusal(DEVICE, "", MEMBERS) is None
    assert sender_refusal(DEVICE, "printer@staff.test", MEMBERS) == SENDER_NOT_YOURS
    assert sender_refusal(DEVICE, "no address", MEMBERS) == SENDER_NOT_YOURS


@given(st.binary(max_size=400))
def test_no_octets_make_the_check_raise(octets: bytes) -> None:
    assert author_refusal(ANN, b"From: " + octets, MEMBERS) in {None, AUTHOR_NOT_YOURS}
    assert author_refusal(ANN, octets, MEMBERS) in {None, AUTHOR_NOT_YOURS}


@given(st.text(max_size=60))
def test_no_colleague_comes_through_beside_his_own_address(text: str) -> None:
    """Whatever stands around it: with bob's address in it as well, a From is not Ann's alone."""
    value = text.replace("\r", "").replace("\n", "").replace('"', "").replace("\\", "").replace("=?", "")
    octets = f"From: {value}bob@staff.test, ann@staff.test\r\n\r\n".encode("utf-8", "replace")
    assert author_refusal(ANN, octets, MEMBERS) == AUTHOR_NOT_YOURS


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (" Ann@Staff.TEST ", "ann@staff.test"),
        ("Printer-2", "printer-2"),
        ("a", "a"),
        ("müller@bücher.test", "müller@xn--bcher-kva.test"),
    ],
)  # fmt: skip
def test_names_are_addresses_or_words(typed: str, name: str) -> None:
    assert parse_account_name(typed) == name


@pytest.mark.parametrize("typed", ["", " ", "my secret", "-x", "x" * 65, "a@", "@b", "a@b@c", "a\0b", "ä"])
def test_what_is_no_name_is_refused_without_being_repeated(typed: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_account_name(typed)
    assert not typed.strip() or len(typed) < 3 or typed not in str(caught.value)


def test_addresses_of_a_user_may_be_whole_domains() -> None:
    assert parse_own_address("Ann@Staff.TEST") == "ann@staff.test"
    assert parse_own_address("*@Bücher.TEST") == "*@xn--bcher-kva.test"
    for text in ("*", "*@", "*@*.test", "staff.test", "*x@staff.test@"):
        with pytest.raises(InputError):
            parse_own_address(text)


@given(st.text(min_size=1, max_size=40))
def test_a_password_is_the_same_however_it_is_composed(text: str) -> None:
    import unicodedata

    try:
        prepared = prepared_password(text)
    except InputError:
        return
    assert prepared == prepared_password(unicodedata.normalize("NFD", text))
    assert prepared == prepared_password(prepared)


@pytest.mark.parametrize("text", ["", "x" * (LONGEST_PASSWORD + 1), "tab\there", "nul\0", "\ud800"])
def test_what_is_no_password_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        prepared_password(text)


def test_answers_come_later_from_the_third_failure_on() -> None:
    limits = LoginLimits()
    assert [limits.delay_s(n) for n in range(8)] == [0, 0, 0, 1, 2, 4, 8, 8]
    assert limits.delay_s(10**9) == 8
    assert limits.window == timedelta(hours=1)
