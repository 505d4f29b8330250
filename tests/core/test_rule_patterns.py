"""Globs and the syntax of patterns."""

import time

import pytest

from supportrelay.core.errors import InputError
from supportrelay.core.rule_patterns import Glob, Matcher, PatternList, parse_pattern


def plain(expression: str, flags: str) -> Matcher:
    """Stands for the compiler: the expression is text to be found."""
    folds = "i" in flags
    return lambda text: (expression.lower() in text.lower()) if folds else expression in text


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        pytest.param("ann@acme.example", "ann@acme.example", True, id="equal"),
        pytest.param("ann@acme.example", "joann@acme.example", False, id="whole-value"),
        pytest.param("ANN@*", "ann@acme.example", True, id="any-case"),
        pytest.param("*@acme.example", "@acme.example", True, id="star-is-nothing"),
        pytest.param("*@acme.example", "ann@acme.example.evil", False, id="end"),
        pytest.param("ann*", "joann", False, id="beginning"),
        pytest.param("*line*down*", "the line is down!", True, id="parts-in-order"),
        pytest.param("*line*down*", "down the line", False, id="parts-out-of-order"),
        pytest.param("a*a", "a", False, id="parts-do-not-overlap"),
        pytest.param("a*a", "aa", True, id="parts-side-by-side"),
        pytest.param("ab*ba*ab", "abab", False, id="middle-needs-room"),
        pytest.param("***", "", True, id="only-stars"),
        pytest.param("", "", True, id="empty"),
        pytest.param("", "x", False, id="empty-is-not-all"),
        pytest.param("*至急*", "【至急】見積", True, id="japanese"),
        pytest.param("STRASSE*", "Straße 1", True, id="casefold"),
        pytest.param("a.c", "abc", False, id="dot-is-a-dot"),
        pytest.param("a?c", "abc", False, id="only-stars-are-special"),
    ],
)
def test_a_glob_is_compared_over_the_whole_value_without_case(pattern: str, value: str, fits: bool) -> None:
    assert Glob.parse(pattern).fits(value.casefold()) is fits
    assert PatternList.parse(["nothing", pattern], plain).fits(value, value.casefold()) is fits


def test_a_glob_takes_linear_time() -> None:
    began = time.process_time()

    assert not Glob.parse("*a" * 30 + "*b").fits("a" * 200_000)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        pytest.param("/urgent/", "an urgent case", True, id="found-inside"),
        pytest.param("/urgent/", "URGENT", False, id="case-counts"),
        pytest.param("/urgent/i", "URGENT", True, id="any-case"),
        pytest.param("/a/b/", "x/a/b", True, id="slashes-inside"),
        pytest.param("/", "/", True, id="a-slash-alone-is-a-glob"),
    ],
)
def test_an_expression_stands_between_slashes(pattern: str, value: str, fits: bool) -> None:
    assert PatternList.parse([pattern], plain).fits(value, value.casefold()) is fits


@pytest.mark.parametrize("pattern", ["/urgent", "//", "/urgent/x", "/urgent/igm", "/var/log*", "//i"])
def test_half_an_expression_is_refused(pattern: str) -> None:
    with pytest.raises(InputError):
        parse_pattern(pattern, plain)


def test_any_pattern_of_a_list_will_do() -> None:
    several = PatternList.parse(["a", "b*", "/c/"], plain)

    assert [several.fits(value, value) for value in ("a", "bx", "xcx", "x")] == [True, True, True, False]
