"""Cutting quotes, banners and tags: what is left are words of the mail, and nothing is cut where nothing was found."""

from hypothesis import given
from hypothesis import strategies as st

from properties.mails import ANY_MAIL, OCTETS, TREES
from properties.profile import SOME
from properties.samples import PLAIN_BANNER, copy_of
from supportrelay.core.banner_cut import cut_notices, holds_notice
from supportrelay.core.html_text import html_to_text
from supportrelay.core.quoted import forwarded_author, own_words, split_html_quote
from supportrelay.core.splice import normalise_line_ends, splice
from supportrelay.core.stored_view import stored_view, text_view

_LINES = st.lists(
    st.sampled_from(
        [
            "",
            "Hello.",
            "> quoted",
            ">> deeper",
            "＞ 全角",
            "-- ",
            "On 1 Jan 2020, Bob wrote:",
            "Am 1.1.2020 schrieb Bob:",
            "2020年1月7日(火) 9:55 名前 <a@b.test>:",
            "From: a@b.test",
            "Sent: today",
            "To: c@d.test",
            "Subject: x",
            "差出人: a@b.test",
            "件名: x",
            "-----Original Message-----",
            "---------- Forwarded message ---------",
            "He said: yes",
            "see http://x.test:80/",
            "_" * 32,
            "以下、インラインで",
            "<以下、引用>",
        ]
    )
    | st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30),
    max_size=15,
).map("\n".join)


@SOME
@given(_LINES | OCTETS.map(lambda octets: octets.decode("utf-8", "replace")))
def test_own_words_are_lines_of_the_text_in_order(text: str) -> None:
    lines = iter([line.strip() for line in text.split("\n")])
    for line in own_words(text).split("\n"):
        assert not line.strip() or line.strip() in lines
    assert own_words(text) == own_words(text)
    forwarded_author(text, is_forward_subject=True)
    forwarded_author(text, is_forward_subject=False)


@SOME
@given(_LINES)
def test_a_view_of_a_text_is_made_of_its_lines(text: str) -> None:
    lines = iter([line.strip() for line in text.splitlines()])
    for line in text_view(text).split("\n"):
        assert not line.strip() or line.strip() in lines


@SOME
@given(OCTETS.map(lambda octets: octets.decode("utf-8", "replace")))
def test_any_html_is_read_as_text_and_its_pieces_are_the_whole(html: str) -> None:
    assert "".join(split_html_quote(html)) == html
    text = html_to_text(html)
    assert text == text.strip()
    text.encode("utf-8")


@SOME
@given(ANY_MAIL | TREES)
def test_the_stored_view_of_any_mail_is_text(octets: bytes) -> None:
    view = stored_view(octets)
    assert view == stored_view(octets)
    assert "\0" not in view
    view.encode("utf-8")


@SOME
@given(ANY_MAIL | TREES)
def test_from_a_mail_without_our_banner_nothing_is_cut(octets: bytes) -> None:
    normal = normalise_line_ends(octets)
    if b"SR-" in normal:
        return
    cut = cut_notices(normal, ("relay@desk.test",))

    assert splice(normal, cut.edits) == normal
    assert not holds_notice(normal)


@SOME
@given(TREES)
def test_cutting_any_copy_leaves_a_mail(octets: bytes) -> None:
    copy = copy_of(octets, PLAIN_BANNER)
    cut = cut_notices(copy.octets, ("relay@desk.test",))

    assert splice(copy.octets, cut.edits).count(b"\r\n\r\n") >= 1
    again = cut_notices(splice(copy.octets, cut.edits), ("relay@desk.test",))
    assert not again.edits
