"""Regular expressions of rules, by RE2: whatever the pattern and the text, the search takes linear time.

RE2 knows no back-references and no look-around; such an expression is refused when the configuration is read.
"""

import re2

from supportrelay.core.errors import InputError
from supportrelay.core.rule_patterns import Matcher

__all__ = ["compile_pattern"]

_MAX_EXPRESSION = 1000
_MAX_MEMORY = 4 * 1024 * 1024  # octets for one expression's program and its search states


def compile_pattern(expression: str, flags: str = "") -> Matcher:
    """Return whether the expression stands somewhere in a text, as a callable.

    Args:
        expression: RE2 syntax, at most 1000 characters.
        flags: Any of ``i`` (any case), ``m`` (^ and $ at every line), ``s`` (. is any character).

    Raises:
        InputError: The expression cannot be used; the text says why.
    """
    if len(expression) > _MAX_EXPRESSION:
        raise InputError(f"a regular expression of more than {_MAX_EXPRESSION} characters")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # only yes or no is asked: the quick way through RE2
    options.max_mem = _MAX_MEMORY
    marked = f"(?{''.join(sorted(set(flags)))}:{expression})" if flags else expression
    try:
        # As octets: matching str makes the library count characters for positions that nobody asks for.
        search = re2.compile(marked.encode(), options).search
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InputError(f"/{expression}/ is no regular expression that can be used: {said}") from None
    except UnicodeEncodeError:
        raise InputError("a regular expression with half a character in it") from None
    return lambda text: search(text.encode("utf-8", "replace")) is not None
