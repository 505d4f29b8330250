"""What is signed: the relaxed forms of RFC 6376, compared with dkimpy's; which fields; how the field is written."""

import base64
import hashlib
import re
from datetime import UTC, datetime

import pytest
from dkim.canonicalization import Relaxed  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core import dkim_body, dkim_signature
from supportrelay.core.dkim_signature import SealKey
from supportrelay.core.headers import split_headers

AT = datetime(2026, 11, 21, 9, 0, 0, 500_000, tzinfo=UTC)
HEAD = b"From: Desk <relay@desk.test>\r\nTo: a@b.example\r\nSubject: x\r\n"


def _hash(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


KEY = SealKey("desk.test", "s1", "rsa-sha256", _hash, lambda octets, signature: _hash(octets) == signature)


def signature_fields(octets: bytes, keys: list[SealKey], at: datetime) -> bytes:
    return dkim_signature.signature_fields(octets, split_headers(octets), keys, at)


def still_holds(octets: bytes, key: SealKey) -> bool:
    return dkim_signature.still_holds(octets, split_headers(octets), key)


def tags(field: bytes) -> dict[str, str]:
    value = re.sub(rb"\s", b"", field.partition(b":")[2]).decode()
    return dict(part.split("=", 1) for part in value.split(";"))


def body_hash_of(message: bytes) -> bytes:
    return base64.b64decode(tags(signature_fields(message, [KEY], AT))["bh"])


@given(
    st.lists(st.sampled_from([b" ", b"\t", b"  \t ", b"\r\n", b"\r\n\r\n", b"a", b"\xe3\x81\x82", b"."]), max_size=40)
)
def test_the_body_is_hashed_in_the_relaxed_form(pieces: list[bytes]) -> None:
    """RFC 6376 §3.4.4; what dkimpy makes of it, in pieces of any size."""
    body = b"".join(pieces) + b"\r\n"
    expected = _hash(Relaxed.canonicalize_body(body))
    usual = dkim_body._PIECE
    try:
        for size in (usual, 1, 2, 3, 7):
            dkim_body._PIECE = size
            assert body_hash_of(HEAD + b"\r\n" + body) == expected
    finally:
        dkim_body._PIECE = usual


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b" " * 2_000_000 + b"x\r\n", id="a line of spaces"),
        pytest.param(b"\r\n" * 1_000_000 + b"x\r\n", id="empty lines, and a word"),
        pytest.param(b"x" + b" \r\n" * 600_000, id="empty lines at the end"),
        pytest.param((b" " * 996 + b"x\r\n") * 2000, id="lines of spaces"),
    ],
)
def test_bodies_that_patterns_are_slow_at_take_linear_time(body: bytes) -> None:
    """A pattern for white space before a line end is quadratic in the white space; this finishes."""
    expected = re.sub(rb" ++", b" ", body).replace(b" \r\n", b"\r\n").rstrip(b"\r\n") + b"\r\n"

    assert body_hash_of(HEAD + b"\r\n" + body) == _hash(expected)


def test_an_empty_body_is_the_hash_of_nothing() -> None:
    """RFC 6376 §3.4.4: unlike the simple form."""
    assert body_hash_of(HEAD + b"\r\n") == body_hash_of(HEAD + b"\r\n \r\n\r\n") == _hash(b"")


@given(
    st.lists(
        st.sampled_from(
            [b" ", b"\t", b"\r\n ", b"\r\n\t", b"word", b":", b"=?utf-8?b?44GC?=", b"\xe3\x81\x82", b"\x1b$B", b";"]
        ),
        max_size=25,
    )
)
def test_fields_are_signed_in_the_relaxed_form(pieces: list[bytes]) -> None:
    """RFC 6376 §3.4.2; name in lower case, unfolded, one space, none at the ends."""
    raw = b"SuBject : " + b"".join(pieces) + b"\r\n"
    ((name, value),) = Relaxed.canonicalize_headers([(b"SuBject ", raw.partition(b":")[2])])

    assert dkim_signature._relaxed("subject", raw) + b"\r\n" == name + b":" + value


def test_the_field_says_what_was_signed_and_when() -> None:
    field = signature_fields(HEAD + b"\r\nHello\r\n", [KEY], AT)
    found = tags(field)

    assert field.startswith(b"DKIM-Signature: v=1;")
    assert {name: found[name] for name in "vacdst"} == {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": "desk.test",
        "s": "s1",
        "t": str(int(AT.timestamp())),
    }
    assert "l" not in found
    assert found["h"].split(":") == ["from", "from", "reply-to", "subject", "subject", "cc", "to", "to"]


def test_the_field_stays_in_its_lines_and_in_ascii() -> None:
    """Also with the longest domain and selector there can be, and every field."""
    key = SealKey("a." * 126 + "b", ".".join(["s" * 60] * 3), KEY.algorithm, lambda _: b"\xff" * 512, KEY.verify)
    names = [*dkim_signature._CLOSED, *dkim_signature._CLOSED_WHEN_THERE, *dkim_signature._OPEN]
    head = b"".join(b"%s: x\r\n" % name.title().encode() for name in names)
    field = signature_fields(head + b"\r\nHello\r\n", [key], AT)

    assert field.isascii()
    assert field.endswith(b"\r\n")
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))
    assert all(line[:1] == b"\t" for line in field.split(b"\r\n")[1:-1])


def test_what_servers_on_the_way_change_is_not_signed() -> None:
    added = (
        b"Received: x\r\nReturn-Path: <>\r\nDKIM-Signature: v=1\r\nX-Spam: no\r\nX-Supportrelay-Id: 1\r\nList-Id: a\r\n"
    )

    assert signature_fields(added + HEAD + b"\r\nHello\r\n", [KEY], AT) == signature_fields(
        HEAD + b"\r\nHello\r\n", [KEY], AT
    )


def test_the_same_copy_is_signed_with_the_same_octets_again() -> None:
    """A retry sends what the first attempt sent."""
    assert signature_fields(HEAD + b"\r\nx", [KEY], AT) == signature_fields(HEAD + b"\r\nx", [KEY], AT)


def test_without_keys_there_is_no_field() -> None:
    assert signature_fields(HEAD + b"\r\nx", [], AT) == b""


MESSAGE = HEAD + b"Message-ID: <1@desk.test>\r\n\r\nHello \r\n there\r\n"


def test_a_signature_of_ours_holds_until_something_signed_changes() -> None:
    signed = signature_fields(MESSAGE, [KEY], AT) + MESSAGE

    assert still_holds(signed, KEY)
    assert still_holds(b"Received: by x\r\n" + signed, KEY)
    assert not still_holds(MESSAGE, KEY)
    for old, new in [
        (b"there", b"thhre"),
        (b"Subject: x", b"Subject: y"),
        (b"Subject: x\r\n", b"Subject: x\r\nReply-To: c@d.example\r\n"),
        (b"To: a@b.example", b"To: a@b.example\r\nTo: c@d.example"),
        (b"d=desk.test", b"d=other.test"),
        (b"\tb=", b"\tb=AAAA"),
        (b"\tb=", b"\tb=!"),
        (b"\th=", b"\tl=3; h="),
        (b"\th=", b"\th=(x+x+)+y:"),
    ]:
        assert old in signed
        assert not still_holds(signed.replace(old, new, 1), KEY), (old, new)


@given(st.binary(max_size=200))
def test_no_octets_break_the_look_at_a_signature(octets: bytes) -> None:
    still_holds(b"DKIM-Signature: d=desk.test; s=s1; a=rsa-sha256; c=relaxed/relaxed; " + octets + b"\r\n\r\n", KEY)
    still_holds(octets, KEY)
    signature_fields(octets, [KEY], AT)
