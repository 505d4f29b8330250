"""Regular expressions of rules, by RE2."""

import time

import pytest

from supportrelay.core.errors import InputError
from supportrelay.edge.patterns import compile_pattern


@pytest.mark.parametrize(
    ("expression", "flags", "text", "stands"),
    [
        pytest.param("至急|urgent", "i", "【至急】", True, id="japanese"),
        pytest.param("至急|urgent", "i", "Re: URGENT", True, id="any-case"),
        pytest.param("至急|urgent", "", "Re: URGENT", False, id="case-counts"),
        pytest.param("ÉTÉ", "i", "l'été", True, id="any-case-beyond-ascii"),
        pytest.param("^b$", "", "a\nb\nc", False, id="whole-text"),
        pytest.param("^b$", "m", "a\nb\nc", True, id="lines"),
        pytest.param("a.b", "", "a\nb", False, id="dot-is-no-line-end"),
        pytest.param("a.b", "s", "a\nb", True, id="dot-is-all"),
        pytest.param("a|b", "i", "xB", True, id="flags-hold-for-the-whole-expression"),
        pytest.param(r"注文\d+", "", "注文12", True, id="digits"),
        pytest.param("x", "", "\ud800x", True, id="half-a-character-in-the-text"),
    ],
)
def test_an_expression_is_looked_for_anywhere_in_the_text(expression: str, flags: str, text: str, stands: bool) -> None:
    assert compile_pattern(expression, flags)(text) is stands


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("(", id="open-group"),
        pytest.param(r"(a)\1", id="back-reference"),
        pytest.param("(?=a)", id="look-ahead"),
        pytest.param("a{5000}", id="too-many-repetitions"),
        pytest.param("((((a{100}){100}){100}){100})", id="too-large-a-program"),
        pytest.param("a" * 1001, id="too-long"),
        pytest.param("\ud800", id="half-a-character"),
    ],
)
def test_what_cannot_be_searched_in_linear_time_is_refused_in_words(
    expression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="regular expression"):
        compile_pattern(expression)
    assert capfd.readouterr().err == ""


def test_a_pattern_that_explodes_elsewhere_does_not_here() -> None:
    search = compile_pattern("^(a+)+$")
    began = time.process_time()

    assert not search("a" * 200_000 + "b")
    assert time.process_time() - began < 1
