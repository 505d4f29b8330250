"""Load the configuration; every mistake is told at once, by line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from supportrelay.config.checks import find_conflicts
from supportrelay.config.crm_checks import find_unfinished
from supportrelay.config.models import Config
from supportrelay.config.problem import KeyPath, Problem
from supportrelay.config.source import Source, read_source
from supportrelay.config.versions import refused_versions
from supportrelay.config.wording import problems_of, wrong_paths
from supportrelay.core.errors import ConfigError

_NOWHERE = "nowhere.invalid"
_MOST_ATTEMPTS = 5

__all__ = ["load"]


def load(path: Path | str, environment: Mapping[str, str] = os.environ, *, accepts_unfinished: bool = False) -> Config:
    """Return the configuration in a file.

    Args:
        path: The file; relative names in it are relative to its folder.
        environment: For ``${VARIABLE}``.
        accepts_unfinished: Take a file without what ``crm setup`` finds out; no daemon may run with it.

    Raises:
        ConfigError: It cannot be used; ``problems`` has a line ``FILE:LINE:COLUMN: key: what is wrong`` for each
            mistake, in the order of the file. Also when a library is older than what is safe.
    """
    refused = refused_versions()
    if refused:
        raise ConfigError(refused)
    file = Path(path)
    source = read_source(file, environment)
    problems = list(source.problems)
    config = None
    if source.values is not None:
        config, found = _validate(source, file)
        problems += found
        if config is not None and not accepts_unfinished:
            problems += _certain(list(find_unfinished(config)), _paths(source.problems))
    if problems or config is None:
        raise ConfigError(source.lines(problems))
    return config


def _validate(source: Source, file: Path) -> tuple[Config | None, list[Problem]]:
    """The configuration, or what is wrong with it: each value by itself, and all together as far as that goes."""
    context = {"folder": file.parent.absolute()}
    try:
        config = Config.model_validate(source.values, context=context).placed(file, source)
    except ValidationError as exc:
        problems = problems_of(exc, source, Config)
        broken = _paths([*problems, *source.problems])
        return None, problems + _conflicts_of_the_rest(source, file, context, broken)
    return config, _certain(find_conflicts(config), _paths(source.problems))


def _paths(problems: list[Problem]) -> set[KeyPath]:
    """Where the problems are; a secret is not known where its file is wrong."""
    found = {p.path for p in problems}
    return found | {(*p[:-1], p[-1].removesuffix("_file")) for p in found if p and isinstance(p[-1], str)}


def _certain(conflicts: list[Problem], broken: set[KeyPath]) -> list[Problem]:
    """The conflicts that would remain when what is broken were put right, as far as can be told."""
    return [c for c in conflicts if not any(_touches(c.path, b) for b in broken)]


def _conflicts_of_the_rest(source: Source, file: Path, context: dict[str, Any], broken: set[KeyPath]) -> list[Problem]:
    """Conflicts between the values that are right, so that one run tells everything that can be told."""
    for _ in range(_MOST_ATTEMPTS):
        rest = _filled(_without(source.values, broken))
        try:
            config = Config.model_validate(rest, context=context).placed(file, source)
        except ValidationError as exc:
            wrong = wrong_paths(exc, rest) - broken
            if not wrong or () in wrong:
                break
            broken |= wrong
        else:
            # Placeholders and defaults stand in for what was left out: only what touches none of it is certain.
            return _certain(find_conflicts(config), broken)
    return []


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    """The same with something harmless and unlike everything else where a required value was left out."""
    addresses = values.get("addresses")
    for i, one in enumerate(addresses if isinstance(addresses, list) else []):
        if isinstance(one, dict):
            one.setdefault("name", f"?{i}")
            one.setdefault("address", f"support{i}@{_NOWHERE}")
            one["allmember"] = one.get("allmember") or [f"all{i}@{_NOWHERE}"]
            sender = one.setdefault("sender", {})
            if isinstance(sender, dict):
                sender.setdefault("address", f"sender{i}@{_NOWHERE}")
    stand_ins: dict[str, Any] = {
        "internal_domains": [_NOWHERE],
        "admins": [f"admin@{_NOWHERE}"],
        "outbound": {"host": _NOWHERE},
    }
    stand_ins["addresses"] = [{
        "name": "?", "address": f"support@{_NOWHERE}", "sender": {"address": f"sender@{_NOWHERE}"},
        "allmember": [f"all@{_NOWHERE}"],
    }]  # fmt: skip
    return values | {key: stand_in for key, stand_in in stand_ins.items() if not values.get(key)}


def _touches(path: KeyPath, broken: KeyPath) -> bool:
    shared = min(len(path), len(broken))
    return path[:shared] == broken[:shared]


def _without(values: Any, broken: set[KeyPath], path: KeyPath = ()) -> Any:
    """The same values without the broken ones.

    Items of lists are left out with all that follow them, so that the numbers of those before stay.
    """
    if isinstance(values, dict):
        return {k: _without(v, broken, (*path, k)) for k, v in values.items() if (*path, k) not in broken}
    if isinstance(values, list):
        kept = []
        for i, value in enumerate(values):
            if (*path, i) in broken:
                break
            kept.append(_without(value, broken, (*path, i)))
        return kept
    return values
