"""What is wrong with rules that only shows beside the rest of the configuration."""

from collections.abc import Iterator

from supportrelay.config.models import Config
from supportrelay.config.problem import Problem
from supportrelay.core.errors import InputError
from supportrelay.core.membership import Membership
from supportrelay.core.rule_patterns import Matcher

__all__ = ["find_rule_conflicts"]


def find_rule_conflicts(config: Config) -> Iterator[Problem]:
    """Names that stand twice, expressions that cannot be used, teams that are not there, mail to ourselves."""
    names: dict[str, int] = {}
    membership = Membership(config.desk())
    for i, rule in enumerate(config.rules):
        if rule.name in names:
            yield Problem(("rules", i, "name"), f"'{rule.name}': this name stands at rules[{names[rule.name]}] too")
        names.setdefault(rule.name, i)
        for path, text in rule.problems(_try_expression, teams=config.teams):
            yield Problem(("rules", i, *path), text)
        to = rule.then
        targets = [("also_to", address) for address in to.also_to or ()]
        if to.rewrite_recipient:
            targets.append(("rewrite_recipient", to.rewrite_recipient))
        if to.route_to:
            targets += [("route_to", address) for address in to.route_to.addresses or ()]
        for key, address in targets:
            if membership.is_ours(address):
                text = f"'{address}': is an address of the relay itself; mail to it would go round in a circle"
                yield Problem(("rules", i, "then", key), text)


def _try_expression(expression: str, flags: str) -> Matcher:
    """Whether RE2 takes an expression; what it finds is not asked here (`edge.patterns` compiles it for use)."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile((f"(?{flags}:{expression})" if flags else expression).encode(), options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else ""
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InputError(f"/{expression}/ is no regular expression that can be used: {said}") from None
    except UnicodeEncodeError:
        raise InputError("a regular expression with half a character in it") from None
    return lambda _text: False
