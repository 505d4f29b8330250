"""What is sent after a refusal, and what it says about itself."""

import pytest

from supportrelay.core.banner import Banner
from supportrelay.core.delivery import Cause, DeliveryForm, DeliveryKind, Outcome, OutcomeKind, Phase
from supportrelay.core.ladder import next_form, why_of
from supportrelay.core.left_out import LeftOut
from supportrelay.core.second_copy import named, with_lines

FULL, LIGHT, ATTACHED, NOTICE = DeliveryForm


def refused(cause: Cause, kind: OutcomeKind = OutcomeKind.FAILED) -> Outcome:
    return Outcome(kind, Phase.DOT, 552, "5.3.4", "too large for ann@company.test", cause=cause)


@pytest.mark.parametrize(
    ("form", "cause", "following"),
    [
        (FULL, Cause.SIZE, LIGHT),
        (FULL, Cause.CONTENT, ATTACHED),
        (LIGHT, Cause.SIZE, NOTICE),
        (LIGHT, Cause.CONTENT, NOTICE),
        (ATTACHED, Cause.SIZE, NOTICE),
        (ATTACHED, Cause.CONTENT, NOTICE),
        (NOTICE, Cause.SIZE, None),
        (NOTICE, Cause.CONTENT, None),
        (FULL, Cause.RECIPIENT, None),
        (FULL, Cause.OURS, None),
    ],
)
def test_each_refusal_of_the_mail_asks_for_less_of_it(
    form: DeliveryForm, cause: Cause, following: DeliveryForm | None
) -> None:
    assert next_form(form, DeliveryKind.OWNER, refused(cause)) == following


def test_what_is_sent_on_as_it_came_has_one_form() -> None:
    assert next_form(FULL, DeliveryKind.AS_IS, refused(Cause.SIZE)) is None


def test_what_is_only_put_off_keeps_its_form() -> None:
    assert next_form(FULL, DeliveryKind.LIST, refused(Cause.CONTENT, OutcomeKind.DEFERRED)) is None


def test_the_reason_that_is_kept_names_nobody() -> None:
    """It stands in a copy, which may be quoted before a customer."""
    assert why_of(refused(Cause.SIZE)) == "size 552 5.3.4"


def test_lines_stand_inside_the_banner_so_that_they_go_with_it() -> None:
    banner = Banner("--- notice 1 ---\nWho\n--- notice 1 ---\n", '<div class="b">Who<div>x</div></div>\n')

    extended = with_lines(banner, ["<left> out:", "a\nb\u202e"])

    assert extended.text == "--- notice 1 ---\nWho\n<left> out:\na b\n--- notice 1 ---\n"
    assert "&lt;left&gt; out:<br>" in extended.html
    assert extended.html.endswith("</div>\n</div>\n")


def test_lines_stand_alone_where_there_is_no_banner_and_last_where_it_has_no_end() -> None:
    assert with_lines(None, ["x"]).text == "x\n"
    assert with_lines(Banner("words\nmore\n", "words"), ["x"]).text == "words\nmore\nx\n"


def test_no_list_of_attachments_is_endless() -> None:
    lines = named([LeftOut(f"{number}.png", 10) for number in range(60)])

    assert (lines[0], lines[-1], len(lines)) == ("- 0.png (10 B)", "- (+10)", 51)
