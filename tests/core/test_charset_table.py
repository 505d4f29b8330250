"""RULES 10.1, row by row: what senders call their charset, what they write, and what a reader must see."""

import base64
import email
import email.policy
from urllib.parse import quote

import pytest

from supportrelay.core.banner import Banner, put_banner
from supportrelay.core.charset import codec_name, decode_text, encode_text
from supportrelay.core.encoded_word import decode_words
from supportrelay.core.mime import part_octets, read_parts
from supportrelay.core.reading import read_facts

JAPANESE = "お問い合わせの件、山田です。"
ROW_13 = b"\x1b$B-!-j\x1b(B \x1b$B;3ED\x1b(B"

DECODED = [
    # -- ISO-2022-JP and what Microsoft writes under that name
    pytest.param(ROW_13, "iso-2022-jp", "①㈱ 山田", id="jis-row-13"),
    pytest.param(b"\x1b$B|b\x1b(B", "iso-2022-jp", "髙", id="jis-ibm-kanji"),
    pytest.param(b"\x1b(I6E6E\x1b(B-\x1b$B;3\x1b(B", "iso-2022-jp", "ｶﾅｶﾅ-山", id="jis-half-width-kana"),
    pytest.param(b"\x0e6E\x0f-\x1b$B;3\x1b(B", "iso-2022-jp", "ｶﾅ-山", id="jis-kana-by-shift-out"),
    pytest.param(b"\xb6\xc5-\x1b$B;3\x1b(B", "iso-2022-jp", "ｶﾅ-山", id="jis-8-bit-kana"),
    pytest.param(b"\x1b$@;3ED\x1b(Ja", "iso-2022-jp", "山田a", id="jis-78-and-roman"),
    pytest.param(b"\x1b$B;3ED", "iso-2022-jp", "山田", id="jis-without-an-end"),
    pytest.param(b"\x1b$(D0!\x1b(B", "iso-2022-jp-1", "丂", id="jis-x-0212"),
    pytest.param(JAPANESE.encode("iso2022_jp"), "CP50221", JAPANESE, id="cp50221"),
    # -- Shift_JIS, EUC-JP, UTF-8
    pytest.param("①㈱髙～表ソ能ｶﾅ".encode("cp932"), "Shift_JIS", "①㈱髙～表ソ能ｶﾅ", id="shift-jis"),
    pytest.param("①㈱髙".encode("cp932"), "windows-31j", "①㈱髙", id="windows-31j"),
    pytest.param("山田ｶﾅ".encode("euc_jp"), "EUC-JP", "山田ｶﾅ", id="euc-jp"),
    pytest.param(b"\xad\xa1\xad\xea\xbb\xb3", "x-euc-jp", "①㈱山", id="euc-row-13"),
    pytest.param(JAPANESE.encode(), "UTF-8", JAPANESE, id="utf-8"),
    pytest.param(b"\xef\xbb\xbf" + JAPANESE.encode(), "utf8", JAPANESE, id="utf-8-with-mark"),
    # -- under a wrong label
    pytest.param(JAPANESE.encode("cp932"), "utf-8", JAPANESE, id="shift-jis-as-utf-8"),
    pytest.param(JAPANESE.encode("euc_jp"), "utf-8", JAPANESE, id="euc-as-utf-8"),
    pytest.param(JAPANESE.encode("iso2022_jp"), "utf-8", JAPANESE, id="jis-as-utf-8"),
    pytest.param(ROW_13, "utf-8", "①㈱ 山田", id="jis-row-13-as-utf-8"),
    pytest.param(JAPANESE.encode(), "shift_jis", JAPANESE, id="utf-8-as-shift-jis"),
    pytest.param(JAPANESE.encode(), "euc-jp", JAPANESE, id="utf-8-as-euc"),
    pytest.param(JAPANESE.encode(), "iso-2022-jp", JAPANESE, id="utf-8-as-jis"),
    pytest.param(JAPANESE.encode("cp932"), "iso-2022-jp", JAPANESE, id="shift-jis-as-jis"),
    pytest.param(JAPANESE.encode("euc_jp"), "iso-2022-jp", JAPANESE, id="euc-as-jis"),
    pytest.param(JAPANESE.encode("iso2022_jp"), "shift_jis", JAPANESE, id="jis-as-shift-jis"),
    pytest.param(JAPANESE.encode("iso2022_jp"), "euc-jp", JAPANESE, id="jis-as-euc"),
    pytest.param(JAPANESE.encode("iso2022_jp"), "iso-8859-1", JAPANESE, id="jis-as-latin-1"),
    pytest.param(JAPANESE.encode("euc_jp"), "shift_jis", JAPANESE, id="euc-as-shift-jis"),
    pytest.param(JAPANESE.encode(), "iso-8859-1", JAPANESE, id="utf-8-as-latin-1"),
    pytest.param(JAPANESE.encode("cp932"), "iso-8859-1", JAPANESE, id="shift-jis-as-latin-1"),
    pytest.param(JAPANESE.encode("euc_jp"), "windows-1252", JAPANESE, id="euc-as-latin-1"),
    pytest.param("中文邮件测试".encode(), "gb2312", "中文邮件测试", id="utf-8-as-gb2312"),
    pytest.param("한국어 제목".encode(), "euc-kr", "한국어 제목", id="utf-8-as-euc-kr"),
    # -- no label
    pytest.param(JAPANESE.encode("iso2022_jp"), None, JAPANESE, id="jis-unlabelled"),
    pytest.param(ROW_13, None, "①㈱ 山田", id="jis-row-13-unlabelled"),
    pytest.param(JAPANESE.encode("cp932"), "us-ascii", JAPANESE, id="shift-jis-as-ascii"),
    pytest.param(JAPANESE.encode("euc_jp"), None, JAPANESE, id="euc-unlabelled"),
    pytest.param(JAPANESE.encode(), "x-unknown", JAPANESE, id="utf-8-unknown"),
    # -- the rest of the world
    pytest.param("𠀀中文測試〇".encode("gb18030"), "GB18030", "𠀀中文測試〇", id="gb18030"),
    pytest.param("中文測試镕".encode("gb18030"), "gb2312", "中文測試镕", id="gbk-as-gb2312"),
    pytest.param("中文測試€".encode("cp950"), "Big5", "中文測試€", id="big5"),
    pytest.param("中文嘅".encode("big5hkscs"), "big5", "中文嘅", id="hkscs-as-big5"),
    pytest.param("중간 똠방각하".encode("cp949"), "EUC-KR", "중간 똠방각하", id="euc-kr"),
    pytest.param("한국어".encode("iso2022_kr"), "iso-2022-kr", "한국어", id="iso-2022-kr"),
    pytest.param("Привет, ёж".encode("koi8_r"), "koi8-r", "Привет, ёж", id="koi8-r"),
    pytest.param("Привіт, їжак".encode("koi8_u"), "KOI8-U", "Привіт, їжак", id="koi8-u"),
    pytest.param("Zażółć – „gęślą”".encode("cp1250"), "windows-1250", "Zażółć – „gęślą”", id="windows-1250"),
    pytest.param("Привет – €".encode("cp1251"), "windows-1251", "Привет – €", id="windows-1251"),
    pytest.param("“été” – œuf €".encode("cp1252"), "Windows-1252", "“été” – œuf €", id="windows-1252"),
    pytest.param("Ελλάδα".encode("cp1253"), "windows-1253", "Ελλάδα", id="windows-1253"),
    pytest.param("İstanbul ğ".encode("cp1254"), "windows-1254", "İstanbul ğ", id="windows-1254"),
    pytest.param("שלום".encode("cp1255"), "windows-1255", "שלום", id="windows-1255"),
    pytest.param("مرحبا".encode("cp1256"), "windows-1256", "مرحبا", id="windows-1256"),
    pytest.param("Ačiū".encode("cp1257"), "windows-1257", "Ačiū", id="windows-1257"),
    pytest.param("Tiếng".encode("cp1258", "ignore"), "windows-1258", "Ting", id="windows-1258"),
    pytest.param("สวัสดี".encode("cp874"), "tis-620", "สวัสดี", id="thai"),
    pytest.param("日本".encode("utf_16"), "utf-16", "日本", id="utf-16-with-mark"),
    pytest.param("日本".encode("utf_16_le"), "utf-16le", "日本", id="utf-16le"),
    pytest.param("日本\r\n".encode("utf_16_be"), "UTF-16BE", "日本\r\n", id="utf-16be"),
    pytest.param(b"plain words", "utf-16", "plain words", id="ascii-as-utf-16"),
    pytest.param(JAPANESE.encode(), "utf-16", JAPANESE, id="utf-8-as-utf-16"),
    pytest.param("日本".encode("utf_7"), "utf-7", "日本", id="utf-7"),
    # -- what must not be taken for anything else
    pytest.param("Ã©tude: «CAFÉ», ÇA, Ã 3 €".encode("cp1252"), "iso-8859-1", "Ã©tude: «CAFÉ», ÇA, Ã 3 €", id="latin-1"),
    pytest.param(
        "Grüße aus Köln – schön, ß".encode("cp1252"), "windows-1252", "Grüße aus Köln – schön, ß", id="german"
    ),
]


@pytest.mark.parametrize(("octets", "label", "text"), DECODED)
def test_what_was_written_is_read(octets: bytes, label: str | None, text: str | None) -> None:
    """``None``: nothing tells what it is, so the label is believed."""
    assert decode_text(octets, label) == (text if text is not None else octets.decode("cp1252", "replace"))


# --- the banner in the part's own charset

LABELS = [
    *("utf-8", "iso-2022-jp", "shift_jis", "euc-jp", "gb18030", "gb2312", "big5", "euc-kr", "koi8-r", "iso-8859-1"),
    *("iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254"),
    *("windows-1255", "windows-1256", "windows-1257", "windows-1258", "tis-620", "us-ascii"),
]
BANNERS = {
    "ja": Banner("――― 案内 SR-1 ―――\n返信の前に削除してください。\n", "<div>案内</div>\n"),
    "en": Banner("--- notice SR-1 ---\nDelete this.\n", "<div>notice</div>\n"),
    "fr": Banner("--- avis SR-1 ---\nÀ supprimer, s'il vous plaît.\n", "<div>à</div>\n"),
    "pl": Banner("--- uwaga SR-1 ---\nUsuń przed odpowiedzią.\n", "<div>usuń</div>\n"),
}


@pytest.mark.parametrize("language", BANNERS)
@pytest.mark.parametrize("label", LABELS)
def test_the_banner_stands_in_the_parts_own_charset_wherever_it_fits(label: str, language: str) -> None:
    banner = BANNERS[language]
    said = banner.text.replace("\n", "\r\n")
    octets = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=" + label.encode() + b"\r\n\r\nHello\r\n"

    copy, how, notes = put_banner(octets, banner)

    part = read_parts(copy)
    fits = encode_text(said, label) is not None
    assert how == "edited"
    assert part.charset == (label if fits else "utf-8")
    assert ("part.to_utf8" in notes) == (not fits)
    assert email.message_from_bytes(copy, policy=email.policy.default).get_content().replace("\n", "\r\n").replace(
        "\r\r", "\r"
    ) == (said + "\r\nHello\r\n")


def test_which_banners_fit_where() -> None:
    """So that the test above cannot pass by encoding nothing."""
    japanese = BANNERS["ja"].text

    own = {label for label in LABELS if encode_text(japanese, label) is not None}

    assert own >= {"utf-8", "iso-2022-jp", "shift_jis", "euc-jp", "gb18030"}
    assert not own & {"us-ascii", "koi8-r", "iso-8859-1", "windows-1250"}
    assert {label for label in LABELS if encode_text(BANNERS["en"].text, label) is None} == set()
    assert encode_text(BANNERS["fr"].text, "iso-8859-1") is not None
    assert encode_text(BANNERS["pl"].text, "iso-8859-2") is not None


@pytest.mark.parametrize("label", ["shift_jis", "iso-8859-1", "euc-jp", "utf-8", "iso-2022-jp", "gb18030"])
@pytest.mark.parametrize("codec", ["cp932", "iso2022_jp", "utf-8", "euc_jp"])
def test_banner_and_text_are_never_in_two_charsets(label: str, codec: str) -> None:
    """Whatever the label says, a reader sees both or, where nobody can tell, the label stays with its octets."""
    head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=" + label.encode()
    said = BANNERS["ja"].text.replace("\n", "\r\n") + "\r\n"

    copy, how, _ = put_banner(head + b"\r\n\r\n" + (JAPANESE + "\r\n").encode(codec), BANNERS["ja"])

    part = read_parts(copy)
    assert how == "edited"
    if label == "gb18030" and codec in {"cp932", "euc_jp"}:
        return  # they are valid there, and nothing tells them apart
    assert decode_text(part_octets(copy, part), part.charset) == said + JAPANESE + "\r\n"
    assert part_octets(copy, part).decode(part.charset) == said + JAPANESE + "\r\n"


# --- UTF-7 in HTML

UTF_7 = b"<html><body>1 +- 1 +ADw-script+AD4-alert(1)+ADw-/script+AD4-</body></html>\r\n"


def test_utf_7_in_html_is_never_interpreted() -> None:
    """No reader does (WHATWG); written anew in UTF-8 what was words would become a script."""
    octets = b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-7\r\n\r\n" + UTF_7

    copy, how, notes = put_banner(octets, Banner("x\n", '<div>a+b <a href="x?a+b">案内</a></div>\n'))

    assert (how, notes) == ("edited", ())
    assert b"charset=utf-7" in copy
    assert b"<script" not in copy
    assert copy.replace(b'<div>a&#43;b <a href="x?a&#43;b">&#26696;&#20869;</a></div>\r\n', b"") == octets
    assert "+ADw-script+AD4-" in read_facts(octets).body_text


# --- header: adjacent words, file names


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param("=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= =?iso-2022-jp?B?GyRCJEckORsoQg==?=", "山田です", id="jis"),
        pytest.param(
            " ".join(
                f"=?shift_jis?B?{base64.b64encode(piece).decode()}?="
                for piece in ("表示ソ能".encode("cp932")[:3], "表示ソ能".encode("cp932")[3:])
            ),
            "表示ソ能",
            id="shift-jis character split",
        ),
        pytest.param("=?ISO-2022-JP?B?GyRCLSEbKEI=?=", "①", id="row 13"),
        pytest.param("=?gb2312?Q?=D6=D0?=\r\n =?GB2312?Q?=CE=C4?=", "中文", id="gb2312"),
        pytest.param("=?euc-kr?B?x9GxuQ==?=   =?EUC-KR?B?vu4=?=", "한국어", id="euc-kr"),
        pytest.param("=?utf-8?Q?=E6=97?= =?utf-8?Q?=A5?= x", "日 x", id="utf-8 character split"),
    ],
)
def test_adjacent_encoded_words_are_joined_before_decoding(written: str, text: str) -> None:
    assert decode_words(written) == text


NAMES = [
    ("見積書①.pdf", "utf-8"),
    ("見積書について.pdf", "iso-2022-jp"),
    ("見積書ソ能.pdf", "cp932"),
    ("報價單.pdf", "big5"),
    ("견적서.pdf", "cp949"),
    ("смета.pdf", "koi8-r"),
    ("Größe.pdf", "iso-8859-1"),
]


@pytest.mark.parametrize(("name", "codec"), NAMES, ids=[codec for _, codec in NAMES])
@pytest.mark.parametrize("way", ["rfc2231", "rfc2231-sections", "rfc2047", "rfc2047-unquoted", "name-only"])
def test_file_names_are_read_however_they_are_written(name: str, codec: str, way: str) -> None:
    octets = name.encode(codec)
    label = "shift_jis" if codec == "cp932" else "ks_c_5601-1987" if codec == "cp949" else codec
    percent, word = quote(octets, safe=""), f"=?{label}?B?{base64.b64encode(octets).decode()}?="
    half = percent.index("%")  # a section may begin anywhere but inside of %XX
    field = {
        "rfc2231": f"Content-Disposition: attachment; filename*={label}''{percent}",
        "rfc2231-sections": "Content-Disposition: attachment;\r\n "
        f"filename*0*={label}''{percent[:half]};\r\n filename*1*={percent[half:]}",
        "rfc2047": f'Content-Disposition: attachment; filename="{word}"',
        "rfc2047-unquoted": f"Content-Disposition: attachment; filename={word}",
        "name-only": f'Content-Type: application/pdf; name="{word}"',
    }[way]

    assert read_parts(field.encode() + b"\r\n\r\nx").filename == name


@pytest.mark.parametrize(("name", "codec"), [*NAMES[:1], *NAMES[2:3]], ids=["utf-8", "cp932"])
def test_raw_file_names_are_read(name: str, codec: str) -> None:
    field = b'Content-Disposition: attachment; filename="' + name.encode(codec) + b'"'

    assert read_parts(field + b"\r\n\r\nx").filename == name


@pytest.mark.parametrize("label", ["unicode-1-1-utf-7", "ISO-2022-JP-MS", "eucJP-win", "cp51932", "MS932", "x-gbk"])
def test_odd_labels_are_known(label: str) -> None:
    assert codec_name(label)
