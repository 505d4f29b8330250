"""Mail for next hops that take ASCII only: every part decodes to what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.linear import growth
from rfc_mime import decode, read_entity, walk
from supportrelay.core.left_out import attachments_of, leave_out, shown_size
from supportrelay.core.mime import MimeError, parse_parameters
from supportrelay.core.next_hop import NextHop
from supportrelay.core.part_edit import CannotEdit
from supportrelay.core.seven_bit import narrow

HEAD = b"From: a@b.example\r\nMIME-Version: 1.0\r\n"


def mixed(*parts: bytes, encoding: bytes = b"8bit") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    head = HEAD + b"Content-Transfer-Encoding: " + encoding + b'\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    return head + body + b"--b--\r\n"


TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + (
    "Proszę o wycenę, dziękuję. ".encode()
)
PLAIN = b"Content-Type: text/plain\r\n\r\nplain  \r\n"
BINARY = b"Content-Type: application/x-y\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(14, 255))


def leaves(octets: bytes) -> list[bytes]:
    return [decode(part) for part in walk(read_entity(octets)) if not part.children]


def test_text_becomes_readable_and_the_rest_base64() -> None:
    octets = mixed(TEXT, PLAIN, BINARY)

    narrowed, notes = narrow(octets)

    assert narrowed.isascii()
    assert leaves(narrowed) == leaves(octets)
    assert notes == ("hop.seven_bit",)
    parts = list(walk(read_entity(narrowed)))
    assert [part.encoding for part in parts] == ["7bit", "quoted-printable", "7bit", "base64"]
    assert PLAIN in narrowed, "what is ASCII keeps its octets"


def test_a_part_that_says_8bit_and_is_not_says_7bit() -> None:
    octets = mixed(PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", 1), TEXT)

    narrowed, _ = narrow(octets)

    assert b"8bit" not in narrowed


def test_an_attached_message_is_gone_into_never_encoded() -> None:
    """RFC 2046 §5.2.1: message/rfc822 takes 7bit, 8bit and binary."""
    inner = "Subject: é\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode()
    octets = mixed(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner, PLAIN)

    narrowed, notes = narrow(octets)

    message = read_entity(narrowed).children[0]
    assert (message.kind, message.encoding) == ("message/rfc822", "7bit")
    inside = read_entity(message.body)
    assert decode(inside).strip() == "Grüße".encode()
    assert inside.encoding == "quoted-printable"
    assert inside.first("subject") is not None
    assert inside.first("mime-version") is not None
    assert notes == ("hop.seven_bit",)


def test_quoted_printable_with_raw_octets_is_quoted_again() -> None:
    part = (
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\né =C3=A9 =\r\nx"
    )
    octets = mixed(part.encode())

    narrowed, _ = narrow(octets)

    assert leaves(narrowed) == leaves(octets) == ["é é x".encode()]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('Content-Disposition: attachment; filename="見積書 (1).pdf"; size=3', "見積書 (1).pdf"),
        ('Content-Disposition: attachment;\r\n\tfilename="a \\"é\\".txt"', 'a "é".txt'),
        ("Content-Disposition: attachment; filename=é.txt", "é.txt"),
        (f'Content-Disposition: attachment; filename="{"長" * 80}.txt"', "長" * 80 + ".txt"),
        ("Content-Disposition: attachment; filename=\"é\"; filename*=utf-8''%C3%A9.txt", "é.txt"),
    ],
)
def test_raw_file_names_are_written_as_rfc_2231_has_them(field: str, name: str) -> None:
    octets = mixed(field.encode() + b"\r\n\r\nx", TEXT)

    narrowed, notes = narrow(octets)

    found = read_entity(narrowed).children[0]
    disposition = found.first("content-disposition")
    assert disposition is not None
    assert parse_parameters(disposition.value.decode())[1]["filename"] == name
    assert all(len(line) <= 998 for line in narrowed.split(b"\r\n"))
    assert "header.encoded:content-disposition" in notes


SIGNED = (
    HEAD + b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="s"\r\n\r\n'
    b"--s\r\n%s\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n"
)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(SIGNED % TEXT, "signed", id="signed"),
        pytest.param(mixed(TEXT).replace(b"--b\r\n", b"\xe9\r\n--b\r\n", 1), "words between the parts", id="preamble"),
        pytest.param(mixed(TEXT) + b"\xe9", "words behind the last part", id="epilogue"),
        pytest.param(
            mixed(b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; \xe9\r\n"),
            "message/delivery-status",
            id="a report's status",
        ),
        pytest.param(
            mixed(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\neHh4\r\n\xe9"),
            "octets over 127 in base64",
            id="words in base64",
        ),
        pytest.param(
            mixed(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-own\r\n\r\n\xe9"),
            "transfer encoding x-own",
            id="an encoding that nobody knows",
        ),
        pytest.param(mixed(b"Content-Type: text/plain; \xe9\r\n\r\nx"), "content-type", id="no parameter"),
    ],
)
def test_what_may_not_be_changed_is_not(octets: bytes, why: str) -> None:
    with pytest.raises(CannotEdit, match=why):
        narrow(octets)


def test_a_signed_part_in_ascii_keeps_its_octets() -> None:
    signed = SIGNED % PLAIN
    octets = mixed(TEXT, signed.removeprefix(HEAD))

    narrowed, _ = narrow(octets)

    assert signed.removeprefix(HEAD) in narrowed


def test_where_8_bits_are_taken_only_the_header_changes() -> None:
    """8BITMIME without SMTPUTF8."""
    octets = "Subject: é\r\n".encode() + mixed(TEXT, 'Content-Type: text/x; name="é"\r\n\r\nx'.encode())

    narrowed, notes = narrow(octets, bodies=False)

    assert narrowed.partition(b"\r\n\r\n")[0].isascii()
    assert TEXT in narrowed
    assert b"name*=utf-8''%C3%A9" in narrowed
    assert notes == ("header.encoded:subject", "header.encoded:content-type")


@pytest.mark.parametrize(
    ("hop", "octets", "is_smtputf8", "takes"),
    [
        (NextHop(), b"\xe9", True, True),
        (NextHop(eight_bit=False), b"e", True, True),
        (NextHop(eight_bit=False), b"\xe9", False, False),
        (NextHop(utf8=False), b"\xe9", False, True),
        (NextHop(utf8=False), b"\xe9", True, False),
    ],
)
def test_a_hop_takes_what_it_offers(hop: NextHop, octets: bytes, is_smtputf8: bool, takes: bool) -> None:
    assert hop.takes(octets, is_smtputf8=is_smtputf8) is takes


LINES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [
                b"--b",
                b"--b--",
                b"Content-Type: multipart/mixed; boundary=b",
                b"Content-Type: message/rfc822",
                b"",
                b"\xe9",
            ]
        ),
        st.sampled_from(
            [b"Content-Transfer-Encoding: 8bit", b"Content-Transfer-Encoding: quoted-printable", b"X: \xe9"]
        ),
    ),
    max_size=20,
)


@given(LINES)
def test_the_result_is_ascii_or_there_is_none(lines: list[bytes]) -> None:
    """Never raises anything but our errors, never hands on octets that the hop does not take."""
    octets = HEAD + b"\r\n".join(line.replace(b"\r", b"").replace(b"\n", b"") for line in lines) + b"\r\n"
    try:
        narrowed, _ = narrow(octets)
    except (MimeError, CannotEdit):
        return
    assert narrowed.isascii()
    if octets.isascii() and b"8bit" not in octets:
        assert narrowed == octets


# -- attachments left out ----------------------------------------------------------------------------------------------


def test_attachments_leave_their_names_and_sizes() -> None:
    named = b"Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n\r\n" + b"x" * 3000
    octets = mixed(TEXT, named, BINARY)

    lighter, left = leave_out(octets)

    assert [str(one) for one in left] == ["a.png (3 KB)", "application/x-y (241 B)"]
    parts = read_entity(lighter).children
    assert [part.kind for part in parts] == ["text/plain"] * 3
    assert [decode(part).strip() for part in parts[1:]] == [b"[a.png (3 KB)]", b"[application/x-y (241 B)]"]
    assert TEXT in lighter


def test_a_signed_mail_without_its_attachments_is_signed_no_more() -> None:
    lighter, left = leave_out(SIGNED % TEXT)

    assert read_entity(lighter).kind == "multipart/mixed"
    assert [one.name for one in left] == ["application/pgp-signature"]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(HEAD + b"\r\nonly text\r\n", id="text"),
        pytest.param(mixed(TEXT, PLAIN), id="texts"),
        pytest.param(HEAD + b"Content-Type: application/pdf\r\n\r\nx\r\n", id="nothing but an attachment"),
        pytest.param(
            mixed(b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx"), id="encrypted"
        ),
    ],
)
def test_where_nothing_can_be_left_out_it_says_so(octets: bytes) -> None:
    with pytest.raises(CannotEdit):
        leave_out(octets)


def test_a_mail_that_is_nothing_but_an_attachment_has_one() -> None:
    scan = HEAD + b"Content-Type: application/pdf; name=scan.pdf\r\n\r\n" + b"x" * 3000

    assert [str(one) for one in attachments_of(scan)] == ["scan.pdf (3 KB)"]
    assert [str(one) for one in attachments_of(mixed(TEXT, BINARY))] == ["application/x-y (241 B)"]
    assert attachments_of(HEAD + b"Content-Type: multipart/mixed\r\n\r\nx") == ()


def test_a_mail_that_is_large_without_attachments_stays_so() -> None:
    octets = mixed(PLAIN + b"x" * 3000, b"Content-Type: image/png\r\n\r\n" + b"y" * 300)

    with pytest.raises(CannotEdit, match="large without"):
        leave_out(octets, share=0.9)


@pytest.mark.parametrize(("octets", "shown"), [(0, "0 B"), (1024, "1 KB"), (1025, "2 KB"), (3 << 20, "3.0 MB")])
def test_sizes_as_people_read_them(octets: int, shown: str) -> None:
    assert shown_size(octets) == shown


def test_a_raw_name_whose_twin_is_written_well_goes_and_others_stay() -> None:
    name = "見積.pdf"
    header = (
        f"Content-Type: application/pdf; name={name}\r\n"
        f"Content-Disposition: attachment; filename={name}; filename*0*=utf-8''plan;\r\n filename*1*=.pdf\r\n"
    )

    narrowed, _ = narrow(mixed(TEXT, header.encode() + b"\r\nx"))

    part = list(walk(read_entity(narrowed)))[-1]
    fields = {field.name: parse_parameters(field.value.decode())[1] for field in part.fields}
    assert fields["content-type"]["name"] == name
    assert fields["content-disposition"]["filename"] == "plan.pdf"


def test_many_raw_parameters_take_linear_time() -> None:
    def of(number: int) -> bytes:
        return HEAD + b"Content-Type: text/plain" + "; n=あ".encode() * number + b"\r\n\r\nx\r\n"

    def work(octets: bytes) -> None:
        narrow(octets)

    assert growth(work, of(1_250), of(10_000)) == ""
