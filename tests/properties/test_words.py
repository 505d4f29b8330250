"""Encoded words, charsets and written fields: there and back, and never out of the line."""

from hypothesis import given
from hypothesis import strategies as st

from properties.mails import HEADER_TEXTS, OCTETS
from properties.profile import SOME
from supportrelay.core.charset import codec_name, decode_as, decode_text, encode_text
from supportrelay.core.encoded_word import decode_words, encode_words, one_line
from supportrelay.core.headers import field_value, fold_field, raw_value, split_headers

_NAMES = """
utf-8 us-ascii iso-2022-jp ISO-2022-JP-MS shift_jis cp932 euc-jp gb2312 gbk gb18030 big5 euc-kr ks_c_5601-1987
iso-8859-1 iso-8859-2 iso-8859-15 windows-1250 windows-1252 windows-1251 koi8-r utf-7 utf-16 utf-16le utf-32 tis-620
iso-2022-kr hz unknown-8bit nonsense punycode idna unicode_escape
"""
_LABELS = st.sampled_from(_NAMES.split()) | st.text(max_size=20)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=120)


@SOME
@given(OCTETS | st.binary(max_size=200), st.none() | _LABELS)
def test_any_octets_under_any_label_become_text_that_can_be_written(octets: bytes, label: str | None) -> None:
    text = decode_text(octets, label)

    assert text == decode_text(octets, label)
    text.encode("utf-8")
    codec = codec_name(label or "")
    if codec:
        decode_as(octets, codec).encode("utf-8")


@SOME
@given(_TEXT, _LABELS)
def test_what_can_be_said_in_a_charset_is_read_back_from_it(text: str, label: str) -> None:
    encoded = encode_text(text, label)
    if encoded is None or "\x1b" in text or "\x0e" in text or text.startswith("\ufeff"):
        return
    codec = codec_name(label)
    read = encoded.decode("ascii") if not codec else decode_as(encoded, codec)
    microsoft = str.maketrans("～∥－￠￡￢―", "〜‖−¢£¬—")
    assert read.translate(microsoft) == text.translate(microsoft) or not encoded.isascii()


@SOME
@given(HEADER_TEXTS)
def test_decoding_words_of_any_text_never_raises(text: str) -> None:
    decoded = decode_words(text)

    assert one_line(one_line(decoded)) == one_line(decoded)
    assert not any(c in one_line(decoded) for c in "\r\n\0")
    one_line(decoded).encode("utf-8")


@SOME
@given(_TEXT)
def test_encoded_words_are_read_as_what_they_were_made_of(text: str) -> None:
    encoded = encode_words(text)

    assert encoded.isascii()
    assert all(len(word) <= 75 for word in encoded.split(" "))
    assert decode_words(encoded) == text


@SOME
@given(st.sampled_from(["X", "Subject", "X-Supportrelay-Reason"]), HEADER_TEXTS)
def test_a_written_field_is_one_field_with_that_value(name: str, text: str) -> None:
    written = fold_field(name, text)

    assert written.isascii()
    assert max(map(len, written.split(b"\r\n"))) <= 998
    block = split_headers(written + b"\r\n")
    assert [field.name for field in block.fields] == [name.lower()]
    plain = one_line(text)
    if "=?" not in plain and "  " not in plain and "\t" not in plain and len(plain) < 900:
        assert "".join(field_value(block.fields[0]).split()) == "".join(plain.split())


@SOME
@given(OCTETS, st.none() | _LABELS)
def test_the_value_of_any_field_is_one_line(octets: bytes, label: str | None) -> None:
    for field in split_headers(b"X: " + octets).fields:
        value = raw_value(field, label)
        assert value == one_line(value)
        value.encode("utf-8")
