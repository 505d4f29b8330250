"""Large mails: what would take long is not done to them, and what is done takes turns with everything else."""

import base64
import email

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.samples import BANNER, copy_of
from supportrelay.core.pieces import changed, count, find
from supportrelay.core.transfer import base64_lines, relined_base64
from supportrelay.edge.smtp_out.wire import wire_content

MIB = 1024 * 1024
HEAD = b"From: ann@customer.example\r\nSubject: x\r\nDate: Mon, 9 Mar 2026 16:05:00 +0900\r\nMessage-ID: <1@x>\r\n"


def test_a_large_attachment_in_one_line_of_base64_arrives_as_it_is() -> None:
    """Programs that forget to break lines are as good at large files as at small ones."""
    file = bytes(range(256)) * 16384
    octets = (
        HEAD
        + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello.\r\n--b\r\n"
        + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(file)
        + b"\r\n--b--\r\n"
    )

    copy = copy_of(octets)

    attached = email.message_from_bytes(copy.octets).get_payload()[1]  # type: ignore[index]
    assert attached.get_payload(decode=True) == file  # type: ignore[union-attr]
    assert max(map(len, copy.octets.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b"Content-Transfer-Encoding: base64\r\n\r\n" + base64_lines("あいう\r\n".encode() * 300_000), id="base64"
        ),
        pytest.param(b"Content-Transfer-Encoding: 8bit\r\n\r\n" + "あいう\r\n".encode() * 300_000, id="8bit"),
        pytest.param(b"Content-Transfer-Encoding: 7bit\r\n\r\n" + "あいう\r\n".encode() * 300_000, id="mislabelled"),
    ],
)
def test_a_text_too_large_to_be_written_anew_stands_whole_behind_the_banner(body: bytes) -> None:
    copy = copy_of(HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" + body)

    assert "banner.wrapped:unreadable_text" in copy.notes
    assert body.partition(b"\r\n\r\n")[2] in copy.octets
    first = email.message_from_bytes(copy.octets).get_payload()[0]  # type: ignore[index]
    assert "SR-12" in first.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_a_large_html_text_gets_its_banner_where_its_body_begins() -> None:
    head = HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>"
    octets = head + b"<p>x</p>\r\n" * 500_000

    copy = copy_of(octets)

    banner = BANNER.html.strip().encode("ascii", "xmlcharrefreplace")
    assert b"<html><body>" + banner in copy.octets
    assert copy.octets.endswith(octets[len(head) :])


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
@pytest.mark.parametrize("unit", [b".\r\n", b"\r\n", b"\r\n.", b"ab", b"\n", b"\r", b"\r\r\n.", b"\n."])
def test_piece_by_piece_is_the_same_as_at_once(size: int, unit: bytes) -> None:
    octets = (unit * (size // len(unit) + 1))[:size]

    for wanted in (b"\n", b"\r\n", b"\r"):
        assert count(octets, wanted) == octets.count(wanted)
    assert changed(octets, lambda piece: piece.replace(b"\r\n.", b"\r\n..")) == octets.replace(b"\r\n.", b"\r\n..")
    assert changed(octets, _with_crlf) == _with_crlf(octets)
    assert wire_content(octets).count(b"\r\n.\r\n") == 1


def _with_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("place", [0, 5, MIB - 3, MIB - 1, MIB, 2 * MIB - 4, 3 * MIB - 5])
@pytest.mark.parametrize("wanted", [b"--b", b"\n--boundary"])
def test_what_stands_on_the_edge_of_a_piece_is_found(place: int, wanted: bytes) -> None:
    octets = bytearray(b"x" * (3 * MIB + 20))
    octets[place : place + len(wanted)] = wanted

    assert find(bytes(octets), wanted, 0, len(octets)) == place
    assert find(bytes(octets), wanted, 0, place + len(wanted) - 1) == -1
    assert find(bytes(octets), wanted, place + 1, len(octets)) == -1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 90), st.sampled_from([b"\r\n", b"\n", b" ", b""]))
def test_base64_in_new_lines_is_the_same_base64(octets: bytes, columns: int, line_end: bytes) -> None:
    digits = base64.b64encode(octets)
    written = line_end.join(digits[at : at + columns] for at in range(0, len(digits), columns))

    assert relined_base64(written) == base64_lines(octets)


@pytest.mark.parametrize("encoded", [b"YQ", b"YQ==YQ==", b"YQ=", b"Y*Q=", b"YWJj\r\n-- \r\nfooter", b"===="])
def test_what_is_not_plainly_base64_is_not_given_new_lines(encoded: bytes) -> None:
    assert relined_base64(encoded) is None
