"""Octets to text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportrelay.core.charset import codec_name, decode_text, encode_text

_SENTENCE = "お問い合わせの件、山田です。"


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        pytest.param(_SENTENCE, "iso2022_jp", "ISO-2022-JP", id="iso-2022-jp"),
        pytest.param(_SENTENCE + "①㈱髙～", "cp932", "Shift_JIS", id="shift_jis is really windows-31j"),
        pytest.param(_SENTENCE + "①", "cp932", "x-sjis", id="x-sjis"),
        pytest.param(_SENTENCE, "euc_jp", "EUC-JP", id="euc-jp"),
        pytest.param("中文測試", "gb18030", "gb2312", id="gb2312 is really gb18030"),
        pytest.param("똠방각하", "cp949", "ks_c_5601-1987", id="ks_c_5601 is really cp949"),
        pytest.param("“été” – œuf €", "cp1252", "ISO-8859-1", id="latin-1 is really windows-1252"),
        pytest.param("Zażółć gęślą jaźń", "iso8859_2", "iso-8859-2", id="iso-8859-2"),
        pytest.param("Привет", "koi8_r", "KOI8-R", id="koi8-r"),
        pytest.param("Größe", "mac_roman", "x-mac-roman", id="x-mac-roman"),
        pytest.param("日本", "utf_7", "utf-7", id="utf-7"),
        pytest.param("日本", "utf_8", "'utf-8'", id="label in quotes"),
    ],
)
def test_a_label_is_read_as_what_senders_mean_by_it(text: str, codec: str, label: str | None) -> None:
    assert decode_text(text.encode(codec), label) == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        pytest.param(_SENTENCE, "utf_8", id="utf-8"),
        pytest.param(_SENTENCE, "iso2022_jp", id="iso-2022-jp by its escapes"),
        pytest.param(_SENTENCE, "cp932", id="shift_jis by score"),
        pytest.param(_SENTENCE, "euc_jp", id="euc-jp by score"),
        pytest.param("Où êtes-vous? C’est l’été, déjà fêté à Noël", "cp1252", id="french"),
        pytest.param("It’s a test", "cp1252", id="one apostrophe is no kanji"),
        pytest.param("Żółć gęślą jaźń, proszę", "cp1250", id="polish"),
    ],
)
@pytest.mark.parametrize("label", [None, "us-ascii", "x-unknown", "nope-17"])
def test_without_a_usable_label_the_charset_is_found(text: str, codec: str, label: str | None) -> None:
    assert decode_text(text.encode(codec), label) == text


def test_nec_row_13_in_iso_2022_jp_is_read() -> None:
    """No Python codec does it (RULES 0.2)."""
    octets = b"\x1b$B-!-j\x1b(B and \x1b$B3t\x1b(B"

    assert decode_text(octets, "iso-2022-jp") == "①㈱ and 株"


def test_nec_row_13_in_euc_jp_is_read() -> None:
    assert decode_text(b"\xad\xa1\xb3\xf4 x", "euc-jp") == "①株 x"


def test_iso_2022_jp_without_return_to_ascii_is_read() -> None:
    assert decode_text(b"\x1b$BF|K\\\nplain", "iso-2022-jp").startswith("日本\n")


def test_half_width_kana_and_jis_x_0212_are_read() -> None:
    assert decode_text(b"\x1b(I6E\x1b(B \x1b$B-!\x1b(B", "iso-2022-jp") == "ｶﾅ ①"


@pytest.mark.parametrize(
    "label", ["punycode", "idna", "unicode_escape", "base64", "zlib", "rot13", "undefined", "x" * 99]
)
def test_codecs_that_are_no_charsets_are_unknown(label: str) -> None:
    assert codec_name(label) is None


@given(
    st.binary(max_size=200),
    st.sampled_from([None, "utf-8", "iso-2022-jp", "euc-jp", "sjis", "utf-16", "utf-7", "hz", "x"]),
)
def test_decoding_never_raises_and_gives_no_surrogates(octets: bytes, label: str | None) -> None:
    decode_text(octets, label).encode("utf-8")


@given(st.text(max_size=60), st.sampled_from(["iso-2022-jp", "shift_jis", "euc-jp", "gb2312", "iso-8859-1", "utf-8"]))
def test_what_was_encoded_decodes_to_the_same_letters(text: str, label: str | None) -> None:
    octets = encode_text(text, label)

    if octets is not None and not any(c < " " or "\x7f" <= c <= "\x9f" or c == "\ufeff" for c in text):
        same = str.maketrans("～∥－￠￡￢―", "〜‖−¢£¬—")
        assert decode_text(octets, label).translate(same) == text.translate(same) or label != "utf-8"


@pytest.mark.parametrize(
    ("text", "label", "octets"),
    [
        pytest.param("日本\r\nabc", "iso-2022-jp", b"\x1b$BF|K\\\x1b(B\r\nabc", id="back to ascii before the line end"),
        pytest.param("～－", "ISO-2022-JP", b"\x1b$B!A!]\x1b(B", id="microsoft's wave dash as jis knows it"),
        pytest.param("①", "iso-2022-jp", None, id="row 13 is not plain jis x 0208"),
        pytest.param("〜", "shift_jis", b"\x81\x60", id="jis wave dash as microsoft knows it"),
        pytest.param("日本", "iso-8859-1", None, id="kanji in latin-1"),
        pytest.param("é", None, None, id="no label is ascii"),
        pytest.param("é", "us-ascii", None, id="ascii"),
        pytest.param("a", "utf-16", None, id="utf-16 is no charset for mail text"),
        pytest.param("a", "nope", None, id="unknown label"),
        pytest.param("\ud800", "utf-8", None, id="lone surrogate"),
    ],
)
def test_encoding_is_strict(text: str, label: str | None, octets: bytes | None) -> None:
    assert encode_text(text, label) == octets


@pytest.mark.parametrize("text", ["見積書の件", "納期の件", "お世話になっております。", "견적 요청", "Grüße aus Łódź"])
@pytest.mark.parametrize("missing", [1, 2])
def test_text_that_was_cut_in_its_last_letter_is_no_other_charset(text: str, missing: int) -> None:
    """Gateways cut long subjects by octets; 見積書の件 without its last octet is well-formed Shift_JIS too."""
    cut = text.encode()[:-missing]

    assert decode_text(cut, "utf-8").rstrip("\ufffd") == text[:-1]


def test_half_a_surrogate_pair_in_broken_utf_7_is_no_text() -> None:
    """No store takes it; UTF-7 that could not be read as a whole brought it in."""
    assert decode_text(b"+2AA-\xff a", "utf-7") == "\ufffd\ufffd a"
