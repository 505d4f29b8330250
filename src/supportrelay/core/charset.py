"""Octets to text and back, tolerant on the way in, strict on the way out.

Decoding is for display, search and rules; what is relayed keeps its octets. Labels are looked up in a closed table:
Python's own lookup would import modules and keep every label that a stranger makes up, and knows codecs that are
no charsets (``punycode`` is quadratic, ``unicode_escape`` is a bug others have had).
"""

import re
from encodings.aliases import aliases

__all__ = ["codec_name", "decode_as", "decode_text", "encode_text", "is_guess"]

_NO_CHARSETS = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "tactis", "uu_codec", "zlib_codec"}
)

# What senders call a charset and what they really write (WHATWG's supersets, RULES 10.1).
_FAMILIES = {
    "iso2022_jp": (
        "iso_2022_jp iso2022_jp iso2022jp iso_2022_jp_1 iso_2022_jp_2 iso_2022_jp_3 iso_2022_jp_ms iso_2022_jp_ext "
        "iso2022_jp_1 iso2022_jp_2 iso2022_jp_3 iso2022_jp_ext iso_2022_jp_2004 csiso2022jp cp50220 cp50221 cp50222 jis"
    ),
    "cp932": (
        "shift_jis shiftjis sjis x_sjis s_jis x_shift_jis ms_kanji windows_31j windows31j cp932 ms932 x_ms_cp932 "
        "csshiftjis cswindows31j sjis_win shift_jisx0213 shift_jis_2004 windows_932"
    ),
    "euc_jp": "euc_jp eucjp x_euc_jp x_eucjp ujis u_jis eucjp_win eucjp_ms cp51932 cseucpkdfmtjapanese",
    "gb18030": "gb2312 gbk gb18030 x_gbk cp936 ms936 windows_936 gb_2312_80 euc_cn eucgb2312_cn csgb2312 chinese",
    "cp949": "ks_c_5601_1987 ks_c_5601 ksc5601 ksc_5601 euc_kr euckr cp949 uhc ms949 windows_949 korean",
    "cp950": "big5 big5_tw csbig5 cp950 ms950 x_big5",
    "cp1252": "iso_8859_1 iso8859_1 8859_1 latin1 latin_1 l1 cp1252 windows_1252 x_cp1252 iso_8859_1_1987",
    "cp874": "tis_620 tis620 iso_8859_11 cp874 windows_874",
    "iso8859_8": "iso_8859_8_i iso_8859_8_e logical visual",
    "utf_8": "utf_8 utf8 utf unicode_1_1_utf_8 cp65001 utf_8_mac utf8mb4",
    "mac_roman": "x_mac_roman",
    "mac_latin2": "x_mac_ce x_mac_centraleurroman",
    "mac_cyrillic": "x_mac_cyrillic x_mac_ukrainian",
    "utf_7": "utf_7 utf7 unicode_1_1_utf_7 cp65000",
    "koi8_u": "koi8_u",
    "": "unknown unknown_8bit x_unknown default _autodetect _autodetect_all x_user_defined 8bit binary none us_ascii "
    "ascii ansi_x3_4_1968 ansi_x3_4_1986 iso646_us us csascii iso_ir_6 646",
}

# Where encoding must stay within what the label's readers know.
_STRICT = {"cp1252": "latin_1", "cp950": "big5", "cp949": "euc_kr", "": "ascii"}
_STRICT_LABELS = {"gb2312": "gb2312", "gb_2312_80": "gb2312", "csgb2312": "gb2312", "gbk": "gbk", "x_gbk": "gbk"}
_NOT_FOR_MAIL_TEXT = frozenset({"utf_7", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"})


def _label_table() -> dict[str, str]:
    modules = set(aliases.values()) - _NO_CHARSETS
    table = {module: module for module in modules}
    table.update({alias: module for alias, module in aliases.items() if module in modules})
    for codec, labels in _FAMILIES.items():
        table.update(dict.fromkeys(labels.split(), codec))
    return table


_CODECS = _label_table()
_CODECS |= {label.replace("_", "-"): codec for label, codec in _CODECS.items()}
_CODECS |= {label.upper(): codec for label, codec in _CODECS.items()}
_LABEL_BREAKS = str.maketrans("-. :", "____")
_MAX_LABEL = 40


def codec_name(label: str) -> str | None:
    """The Python codec behind a label: "" for ASCII and for labels that say nothing, None for an unknown one."""
    known = _CODECS.get(label)
    if known is not None:
        return known
    plain = label.strip(" \t\"'").lower()
    if len(plain) > _MAX_LABEL:
        return None
    return _CODECS.get(plain.translate(_LABEL_BREAKS))


def decode_text(octets: bytes, label: str | None) -> str:
    """Return the text; never raises, at worst with U+FFFD in place of what cannot be read.

    A label is believed while the octets agree with it, and do not say clearly what else they are: escape sequences
    of ISO-2022-JP, nothing but well-formed UTF-8 with East Asian letters, or Japanese sentences as Latin-1. Without
    one (or with ``us-ascii``): UTF-8, ISO-2022-JP when its escape sequences are seen, Shift_JIS or EUC-JP by score,
    then Windows-1252 or -1250 (RULES 10.1).
    """
    codec = codec_name(label) if label else ""
    if not codec:
        return _guess(octets)
    if codec == "utf_8":
        return _decode_utf_8(octets)
    if codec == "iso2022_jp":
        return _decode_iso_2022_jp(octets)
    if octets.isascii():
        if b"\x1b$" in octets and codec not in _OWN_ESCAPES:
            return _decode_iso_2022_jp(octets)
        if codec in _WIDE:  # sixteen bits a letter, and never an octet over 127 or a NUL?
            return octets.decode("ascii") if b"\0" not in octets else decode_as(octets, codec)
    else:
        text = _clear_utf_8(octets)
        if text is None and codec == "cp1252":
            text = _clear_japanese(octets)
        if text is not None:
            return text
    return decode_as(octets, codec)


def is_guess(octets: bytes, label: str | None) -> bool:
    """Tell whether `decode_text` can only guess: the label means nothing, and the octets do not say what they are.

    A guess is good enough to show and to search, never to be written in place of the octets.
    """
    codec = codec_name(label) if label else ""
    if octets.isascii() or codec not in {"", None, "utf_8"}:
        return False
    if octets.startswith(_MARKS_OF_UTF_16) or b"\x1b$" in octets:
        return False
    try:
        octets.decode("utf_8")
    except UnicodeDecodeError:
        return _clear_japanese(octets) is None
    return False


_MARKS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OWN_ESCAPES = frozenset({"iso2022_kr", "hz", "utf_7"})
_WIDE = frozenset({"utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"})
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff01-\uffef]")


def _clear_utf_8(octets: bytes) -> str | None:
    """UTF-8 under another label. Text of another charset is well-formed UTF-8 with such letters by no accident."""
    try:
        text = octets.decode("utf_8")
    except UnicodeError:
        return None
    return text.removeprefix("\ufeff") if _EAST_ASIAN.search(text) and "\0" not in text else None


_KANA = re.compile("[\u3040-\u30ff]")
_FEWEST_LETTERS = 6


def _clear_japanese(octets: bytes) -> str | None:
    """Shift_JIS or EUC-JP under the label of Western mail: some kana in every sentence, which no accents make."""
    text = _japanese_by_score(octets)
    if text is None:
        return None
    sample = text[:20000]
    letters, kana = len(_EAST_ASIAN.findall(sample)), len(_KANA.findall(sample))
    return text if letters >= _FEWEST_LETTERS and kana * 7 >= letters else None


def decode_as(octets: bytes, codec: str) -> str:
    """The text as its label has it (`codec_name`), whatever else the octets say; never raises."""
    try:
        text = octets.decode(codec)
    except (UnicodeError, LookupError):
        text = _decode_disagreeing(octets, codec)
    if codec == "utf_7":  # the only codec that lets lone surrogates through
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


_NEXT = {"cp950": ("big5hkscs",)}


def _decode_disagreeing(octets: bytes, codec: str) -> str:
    """Decode what its label's codec refused."""
    if codec == "cp1252":  # five octets are undefined there; as Latin-1 they are controls
        return octets.decode("latin_1")
    if codec == "euc_jp":
        return _decode_euc_jp(octets)
    for other in ("utf_8", *_NEXT.get(codec, ())):
        try:
            return octets.decode(other)
        except UnicodeError:
            continue
    if codec == "cp932" and (japanese := _japanese_by_score(octets)) is not None:
        return japanese
    try:
        return octets.decode(codec, "replace")
    except (UnicodeError, LookupError):
        return _guess(octets)


def _decode_utf_8(octets: bytes) -> str:
    if b"\x1b$" in octets and octets.isascii():
        return _decode_iso_2022_jp(octets)
    try:
        text = octets.decode("utf_8")
    except UnicodeDecodeError as exc:
        if exc.reason == "unexpected end of data" and not octets[: exc.start].isascii():
            return octets.decode("utf_8", "replace")  # cut in its last letter: the label is right all the same
        return _guess(octets)
    return text.removeprefix("\ufeff")


def _guess(octets: bytes) -> str:
    if octets.isascii():
        return _decode_iso_2022_jp(octets) if b"\x1b" in octets else octets.decode("ascii")
    try:
        return octets.decode("utf_8")
    except UnicodeError:
        pass
    if octets.startswith(_MARKS_OF_UTF_16) and len(octets) % 2 == 0:
        return octets.decode("utf_16", "replace")
    if b"\x1b$" in octets:
        return _decode_iso_2022_jp(octets)
    japanese = _japanese_by_score(octets)
    if japanese is not None:
        return japanese
    utf_8 = octets.decode("utf_8", "replace")
    damaged = utf_8.count("\ufffd")
    if damaged * 5 <= sum(1 for c in utf_8 if c > "\x7f"):  # UTF-8 that was cut or hurt somewhere
        return utf_8
    if len(_POLISH.findall(octets)) > len(_WESTERN.findall(octets)):
        return octets.decode("cp1250", "replace")
    return _decode_western(octets)


def _decode_western(octets: bytes) -> str:
    try:
        return octets.decode("cp1252")
    except UnicodeError:
        return octets.decode("latin_1")


# Letters that Windows-1250 and -1252 read differently, beside an ASCII letter.
_POLISH = re.compile(rb"(?<=[A-Za-z])[\xb9\xb3\xbf\x9f\xea\x9c]|[\xa3\xaf\x8c\xb3\xbf](?=[a-z])")
_WESTERN = re.compile(rb"[\xe9\xe8\xe0\xe7\xea\xe4\xf6\xfc\xdf]")
_CJK_RUN = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff60]{2,}")


def _japanese_by_score(octets: bytes) -> str | None:
    """Shift_JIS or EUC-JP when most of what is not ASCII stands in runs of Japanese, as Western accents never do."""
    best, best_share = None, 0.5
    for codec in ("euc_jp", "cp932"):
        try:
            text = octets.decode(codec)
        except UnicodeError:
            continue
        sample = text[:20000]
        foreign = sum(1 for c in sample if c > "\x7f")
        share = sum(map(len, _CJK_RUN.findall(sample))) / foreign if foreign else 0.0
        if share > best_share:
            best, best_share = text, share
    return best


# --- ISO-2022-JP and EUC-JP with NEC row 13 (RULES 0.2)

_ESCAPE = re.compile(rb"\x1b(\$[@AB]|\$\([A-DOPQ]|\([BHIJ]|&@|\.[AF])")
_ASCII_SET, _KANJI_SET, _KANA_SET, _KANJI_2_SET = range(4)
_SETS = {
    b"$@": _KANJI_SET,
    b"$B": _KANJI_SET,
    b"$(B": _KANJI_SET,
    b"$(@": _KANJI_SET,
    b"$(O": _KANJI_SET,
    b"$(Q": _KANJI_SET,
    b"$(D": _KANJI_2_SET,
    b"(I": _KANA_SET,
}


_SHIFTED_OUT = re.compile(rb"\x0e([^\x0e\x0f\r\n\x1b]*+)\x0f?")


def _decode_iso_2022_jp(octets: bytes) -> str:
    if b"\x0e" in octets:  # half-width kana as CP50222 has them
        octets = _SHIFTED_OUT.sub(b"\x1b(I\\1\x1b(B", octets)
    try:
        return octets.decode("iso2022_jp")
    except UnicodeError:
        pass
    if not octets.isascii():
        try:
            return octets.decode("utf_8")
        except UnicodeError:
            if b"\x1b" not in octets:
                return _japanese_by_score(octets) or octets.decode("cp932", "replace")
    pieces = _ESCAPE.split(octets)
    text = [pieces[0].decode("cp932", "replace")]
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        text.append(_decode_set(piece, _SETS.get(escape, _ASCII_SET)))
    return "".join(text)


def _decode_set(piece: bytes, charset: int) -> str:
    """Decode what follows one escape sequence."""
    if charset == _ASCII_SET:
        return piece.decode("cp932", "replace")
    if charset == _KANA_SET:
        return bytes(o | 0x80 if 0x21 <= o <= 0x5F else o for o in piece).decode("cp932", "replace")  # noqa: PLR2004
    text: list[str] = []
    for line in piece.splitlines(keepends=True):  # a line starts in ASCII; whoever forgot to say so meant it
        if text and text[-1].endswith("\n"):
            text.append(line.decode("cp932", "replace"))
        elif charset == _KANJI_SET:
            text.append(_jis_pairs_to_sjis(line).decode("cp932", "replace"))
        else:
            text.append(_jis_pairs_to_euc_3(line).decode("euc_jp", "replace"))
    return "".join(text)


def _is_jis(octet: int) -> bool:
    return 0x21 <= octet <= 0x7E  # noqa: PLR2004  the 94 columns of JIS X 0208


def _sjis_pair(row: int, column: int) -> tuple[int, int]:
    """Shift_JIS octets of a JIS pair (both 0x21-0x7E)."""
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)  # noqa: PLR2004
    if row % 2:
        return lead, column + (0x1F if column < 0x60 else 0x20)  # noqa: PLR2004
    return lead, column + 0x7E


def _jis_pairs_to_sjis(piece: bytes) -> bytes:
    out = bytearray()
    i, stop = 0, len(piece)
    while i < stop:
        if i + 1 < stop and _is_jis(piece[i]) and _is_jis(piece[i + 1]):
            out += bytes(_sjis_pair(piece[i], piece[i + 1]))
            i += 2
        else:
            out.append(piece[i])
            i += 1
    return bytes(out)


def _jis_pairs_to_euc_3(piece: bytes) -> bytes:
    out = bytearray()
    i, stop = 0, len(piece)
    while i < stop:
        if i + 1 < stop and _is_jis(piece[i]) and _is_jis(piece[i + 1]):
            out += bytes((0x8F, piece[i] | 0x80, piece[i + 1] | 0x80))
            i += 2
        else:
            out.append(piece[i])
            i += 1
    return bytes(out)


_EUC_CHARACTER = re.compile(rb"\x8f[\xa1-\xfe]{2}|(?:[\xa1-\xfe]{2})+|(?:\x8e[\xa1-\xdf])+|[\x00-\x7f]+|[\x80-\xff]")


def _decode_euc_jp(octets: bytes) -> str:
    """EUC-JP whose strict codec failed: Shift_JIS under its name, or NEC and IBM rows by way of cp932."""
    try:
        return octets.decode("utf_8")
    except UnicodeError:
        pass
    if (japanese := _japanese_by_score(octets)) is not None:
        return japanese
    text = []
    for piece in _EUC_CHARACTER.findall(octets):
        if piece[0] in {0x8E, 0x8F} or len(piece) == 1:
            text.append(piece.decode("euc_jp", "replace"))
        elif piece[0] > 0x7F:  # noqa: PLR2004
            text.append(_jis_pairs_to_sjis(bytes(o & 0x7F for o in piece)).decode("cp932", "replace"))
        else:
            text.append(piece.decode("ascii"))
    return "".join(text)


# --- the way back

# The six characters for which JIS and Microsoft chose different Unicode code points.
_TO_JIS = str.maketrans("～∥－￠￡￢―", "〜‖−¢£¬—")
_TO_MICROSOFT = str.maketrans("〜‖−¢£¬—", "～∥－￠￡￢―")


def encode_text(text: str, label: str | None) -> bytes | None:
    """Return ``text`` in the charset of ``label``, None when it cannot be expressed there (or the label is unknown).

    ISO-2022-JP ends, and ends every line, in ASCII (RFC 1468). No label means US-ASCII.
    """
    codec = codec_name(label) if label else ""
    if codec is None or codec in _NOT_FOR_MAIL_TEXT:
        return None
    codec = _STRICT_LABELS.get((label or "").lower().translate(_LABEL_BREAKS)) or _STRICT.get(codec, codec)
    candidates = [text]
    if codec in {"iso2022_jp", "euc_jp"}:
        candidates.append(text.translate(_TO_JIS))
    elif codec == "cp932":
        candidates.append(text.translate(_TO_MICROSOFT))
    for candidate in candidates:
        try:
            return candidate.encode(codec)
        except (UnicodeError, LookupError):
            continue
    return None
