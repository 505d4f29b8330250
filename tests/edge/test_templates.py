"""The banner's templates: complete in every language, safe, overridable, and wrong ones are named at once."""

import dataclasses
from pathlib import Path

import pytest

from supportrelay.core.banner import BannerValues
from supportrelay.core.charset import encode_text
from supportrelay.core.errors import InputError
from supportrelay.edge.templates import BannerTemplates

ROOT = Path(__file__).parents[2]
PACKAGED = ROOT / "src" / "supportrelay" / "edge" / "banner"
LANGUAGES = ["ja", "en", "fr", "pl"]
TEMPLATES = BannerTemplates()
VALUES = BannerValues(
    support="support@desk.test",
    ticket="SR-12",
    ticket_url="https://desk.test/t/SR-12",
    marker="k7xq2a",
    to=("support@desk.test", "田中 <tanaka@customer.example>"),
    cc=("bob@customer.example",),
    author="ann@customer.example",
    reply_to=("ann@customer.example", "tanaka@customer.example", "support@desk.test"),
    manual_url="https://desk.test/manual",
    reason_code="A1",
)
EVERYTHING = dataclasses.replace(
    VALUES,
    visible_recipients=True,
    forwarded_by="ben@desk.test",
    reason_text="the deal's owner",
    is_unproven=False,
    has_winmail=True,
    as_of="2026-11-22 10:31 UTC",
)


def test_the_files_in_config_are_the_packaged_ones() -> None:
    packaged = {path.name: path.read_bytes() for path in PACKAGED.glob("*.j2")}

    assert {path.name: path.read_bytes() for path in (ROOT / "config" / "banner").glob("*.j2")} == packaged
    assert set(packaged) == {f"{language}.{form}.j2" for language in LANGUAGES for form in ("txt", "html")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_banner_says_everything(language: str) -> None:
    banner = TEMPLATES.render("full", language, EVERYTHING)

    for text in (banner.text, banner.html):
        for said in ("SR-12-k7xq2a", "support@desk.test", "bob@customer.example", "tanaka@customer.example"):
            assert said in text
        for said in (
            "https://desk.test/t/SR-12",
            "https://desk.test/manual",
            "ben@desk.test",
            "A1",
            "From" if language in {"ja", "en"} else "Cc",
        ):
            assert said in text
    assert banner.html.count("<div") == banner.html.count("</div>") == 1
    assert 'class="supportrelay-banner"' in banner.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_marker_line_stands_at_both_ends(language: str) -> None:
    lines = TEMPLATES.render("full", language, VALUES).text.splitlines()

    for line in (lines[0], lines[-1]):
        assert "SR-12-k7xq2a" in line
        assert "support" in line
        assert line.startswith(("―――", "---"))
        assert line.endswith(("―――", "---"))
    assert not any("k7xq2a" in line for line in lines[1:-1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_later_banners_have_at_most_eight_lines(language: str) -> None:
    people = tuple(f"Somebody {i} <somebody{i}@customer.example>" for i in range(300))
    values = dataclasses.replace(EVERYTHING, is_first=False, to=people, cc=people, reply_to=people)

    banner = TEMPLATES.render("full", language, values)

    assert len(banner.text.splitlines()) <= 8
    assert max(len(line.encode()) for line in banner.text.splitlines()) <= 998
    assert any(str(more) in banner.text for more in range(290, 300))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("language", LANGUAGES)
def test_winmail_dat_is_named_where_it_is_attached_and_nowhere_else(language: str, is_first: bool) -> None:
    """RULES_OF_MAIL 10.4."""
    values = dataclasses.replace(VALUES, is_first=is_first)
    without = TEMPLATES.render("full", language, values)
    banner = TEMPLATES.render("full", language, dataclasses.replace(values, has_winmail=True))

    for text in (banner.text, banner.html):
        assert text.count("winmail.dat") == 1
        assert "Outlook" in text
    assert "winmail" not in without.text + without.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_warning_about_reply_all_stands_only_when_recipients_are_visible(language: str) -> None:
    visible = TEMPLATES.render("full", language, dataclasses.replace(VALUES, visible_recipients=True)).text
    hidden = TEMPLATES.render("full", language, VALUES).text

    warning = [line for line in visible.splitlines() if line not in hidden.splitlines()]
    assert len(warning) == 1
    assert any(word in warning[0] for word in ("Reply all", "全員に返信", "Répondre à tous", "Odpowiedz wszystkim"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_cut_reply_to_is_told(language: str) -> None:
    text = TEMPLATES.render("full", language, dataclasses.replace(VALUES, reply_to_cut=True)).text

    assert "tanaka@customer.example, support@desk.test" not in text
    assert text != TEMPLATES.render("full", language, VALUES).text


@pytest.mark.parametrize(
    ("language", "charset"),
    [
        ("ja", "iso-2022-jp"),
        ("ja", "shift_jis"),
        ("ja", "euc-jp"),
        ("en", "us-ascii"),
        ("fr", "iso-8859-1"),
        ("pl", "iso-8859-2"),
    ],
)
def test_each_language_can_be_written_in_its_old_charsets(language: str, charset: str) -> None:
    values = dataclasses.replace(EVERYTHING, to=("support@desk.test",))

    assert encode_text(TEMPLATES.render("full", language, values).text, charset) is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_ends_in_a_space_and_none_is_empty(language: str) -> None:
    for values in (VALUES, EVERYTHING, BannerValues(reply_to=("a",)), BannerValues(reply_to=("a",), is_first=False)):
        lines = TEMPLATES.render("full", language, values).text.removesuffix("\n").split("\n")

        assert all(line and line == line.rstrip() for line in lines)


def test_values_are_escaped_in_html_and_kept_on_their_line() -> None:
    values = dataclasses.replace(
        VALUES, to=("<script>x</script>\r\nBcc: a",), forwarded_by="a\n--- support notice SR-12-k7xq2a ---"
    )

    banner = TEMPLATES.render("full", "en", values)

    assert "<script>" not in banner.html
    assert "&lt;script&gt;" in banner.html
    assert len(banner.text.splitlines()) == len(
        TEMPLATES.render("full", "en", dataclasses.replace(values, to=("a",), forwarded_by="b")).text.splitlines()
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_old_owners_are_told_beside_the_neutral_code(language: str) -> None:
    now = TEMPLATES.render("full", language, VALUES)
    then = TEMPLATES.render("full", language, dataclasses.replace(VALUES, as_of="2026-11-22 10:31 UTC"))

    for before, after in ((now.text, then.text), (now.html, then.html)):
        changed = set(after.splitlines()) - set(before.splitlines())
        assert len(changed) == 1
        assert "A1" in (line := changed.pop())
        assert "2026-11-22 10:31 UTC" in line
        assert not any(word in line for word in ("CRM", "hubspot", "owner", "担当"))


def test_an_unknown_language_is_answered_in_english() -> None:
    assert TEMPLATES.render("full", "de", VALUES) == TEMPLATES.render("full", "en", VALUES)


# --- the operator's folder


def test_a_file_in_the_folder_replaces_the_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "ja.txt.j2").write_text("― {{ mark }} ―\nこちらは社内用です {{ to }}\n", encoding="utf-8")

    templates = BannerTemplates(tmp_path)

    assert (
        templates.render("full", "ja", VALUES).text.splitlines()[1].startswith("こちらは社内用です support@desk.test")
    )
    assert templates.render("full", "ja", VALUES).html == TEMPLATES.render("full", "ja", VALUES).html


def test_an_own_banner_has_languages_and_a_fallback(tmp_path: Path) -> None:
    (tmp_path / "short.ja.txt.j2").write_text("短い {{ mark }}\n", encoding="utf-8")
    (tmp_path / "short.txt.j2").write_text("short {{ mark }} <b>\n", encoding="utf-8")

    templates = BannerTemplates(tmp_path)

    assert templates.render("short", "ja", VALUES).text == "短い SR-12-k7xq2a\n"
    assert templates.render("short", "pl", VALUES).text == "short SR-12-k7xq2a <b>\n"
    assert "short SR-12-k7xq2a &lt;b&gt;" in templates.render("short", "pl", VALUES).html
    assert templates.has("short")
    assert templates.has("short", "fr")


@pytest.mark.parametrize(
    ("name", "known"), [("none", True), ("full", True), ("nobody", False), ("../full", False), ("", False)]
)
def test_which_banners_there_are(name: str, known: bool) -> None:
    assert TEMPLATES.has(name, "ja") is known
    assert TEMPLATES.has(name) is known


def test_a_missing_banner_is_an_error_that_names_the_file() -> None:
    with pytest.raises(InputError, match=r"vip\.ja\.txt\.j2"):
        TEMPLATES.require("vip", "ja")
    TEMPLATES.require("full", "ja")


def test_a_banner_that_fails_when_a_mail_waits_is_replaced_by_the_standard_one(tmp_path: Path) -> None:
    """Gone since the mail was decided on, or good for the sample values only."""
    for name in ("vip.txt.j2", "ja.txt.j2"):
        (tmp_path / name).write_text("{{ 1 // (cc|length) }} {{ mark }}\n", encoding="utf-8")
    templates = BannerTemplates(tmp_path)
    values = dataclasses.replace(VALUES, cc=())
    standard = TEMPLATES.render("full", "ja", values)

    assert TEMPLATES.render("gone", "ja", values) == standard
    assert templates.render("vip", "ja", VALUES).text == "0 SR-12-k7xq2a\n"
    assert templates.render("vip", "ja", values) == standard
    assert templates.render("full", "ja", values) == standard


BAD = [
    pytest.param("ok\n{% if x %}\n", r"bad\.txt\.j2:\d", id="syntax"),
    pytest.param("{{ nobody }}", "nobody", id="unknown-name"),
    pytest.param("{{ mark.__class__.__mro__ }}", "unsafe", id="sandbox"),
    pytest.param("{% if not is_first %}{{ nobody }}{% endif %}", "nobody", id="only-in-the-short-form"),
]


@pytest.mark.parametrize(("template", "said"), BAD)
def test_a_bad_template_is_refused_when_it_is_loaded(tmp_path: Path, template: str, said: str) -> None:
    (tmp_path / "bad.txt.j2").write_text(template, encoding="utf-8")

    with pytest.raises(InputError, match=said):
        BannerTemplates(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        BannerTemplates(tmp_path / "nowhere")


def test_a_template_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "ja.txt.j2").write_bytes("案内".encode("shift_jis"))

    with pytest.raises(InputError, match=r"ja\.txt\.j2"):
        BannerTemplates(tmp_path)
