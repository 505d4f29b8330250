"""Patterns of rules: ``*`` globs over the whole value, or ``/regex/i`` somewhere in it. Both in linear time.

A glob's parts between the stars are looked for from the left, each behind the one before: no backtracking. Regular
expressions are compiled by a callable that is given (`edge.patterns.compile_pattern`, RE2), because ``re`` can be made
to search for hours by whoever writes the mail (RELIABILITY, catastrophic backtracking).
"""

from collections.abc import Callable, Sequence

from supportrelay.core.errors import InputError
from supportrelay.core.value import value_class

__all__ = ["CompilePattern", "Glob", "Matcher", "PatternList", "parse_pattern"]

Matcher = Callable[[str], bool]
"""Does the expression stand somewhere in this text?"""

CompilePattern = Callable[[str, str], Matcher]
"""``(expression, flags)`` -> `Matcher`; raises `InputError` on an expression that cannot be used. Flags: i, m, s."""

_FLAGS = frozenset("ims")


@value_class
class Glob:
    """A pattern with ``*`` for any run of characters; compared without case, over the whole value.

    Attributes:
        parts: The casefolded text between the stars; one part when there is no star.
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> "Glob":
        """A glob as people write it; several stars side by side are one."""
        head, *rest = pattern.casefold().split("*")
        if not rest:
            return cls((head,))
        return cls((head, *(part for part in rest[:-1] if part), rest[-1]))

    def fits(self, folded: str) -> bool:
        """Whether the casefolded value is of this form."""
        parts = self.parts
        if len(parts) == 1:
            return folded == parts[0]
        first, last = parts[0], parts[-1]
        end = len(folded) - len(last)
        if end < len(first) or not folded.startswith(first) or not folded.endswith(last):
            return False
        at = len(first)
        for part in parts[1:-1]:
            found = folded.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


def parse_pattern(text: str, compile_pattern: CompilePattern) -> Glob | Matcher:
    """Return a glob, or the matcher of ``/expression/flags``.

    Raises:
        InputError: The expression or its flags cannot be used.
    """
    if len(text) > 1 and text[0] == "/":
        expression, closing, flags = text[1:].rpartition("/")
        if closing and expression and set(flags) <= _FLAGS:
            return compile_pattern(expression, flags)
        if closing and expression and flags.isalpha() and len(flags) <= len(_FLAGS):
            raise InputError(f"unknown flag in {text!r}: i (any case), m (^ and $ at lines) and s (. is any character)")
        raise InputError(f"{text!r} begins like a regular expression but is none: /expression/ or /expression/i")
    return Glob.parse(text)


@value_class
class PatternList:
    """Several patterns; any of them will do.

    Attributes:
        exact: Globs without a star, casefolded.
    """

    exact: frozenset[str]
    globs: tuple[Glob, ...]
    expressions: tuple[Matcher, ...]

    @classmethod
    def parse(cls, texts: Sequence[str], compile_pattern: CompilePattern) -> "PatternList":
        """Patterns as people write them.

        Raises:
            InputError: As `parse_pattern`.
        """
        exact, globs, expressions = set(), [], []
        for text in texts:
            pattern = parse_pattern(text, compile_pattern)
            if not isinstance(pattern, Glob):
                expressions.append(pattern)
            elif len(pattern.parts) == 1:
                exact.add(pattern.parts[0])
            else:
                globs.append(pattern)
        return cls(frozenset(exact), tuple(globs), tuple(expressions))

    def fits(self, raw: str, folded: str) -> bool:
        """Whether the value, given as written and casefolded, fits any pattern."""
        if folded in self.exact:
            return True
        for glob in self.globs:
            if glob.fits(folded):
                return True
        for expression in self.expressions:  # noqa: SIM110  asked for every mail; any() makes a generator each time
            if expression(raw):
                return True
        return False
