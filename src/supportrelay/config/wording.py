"""pydantic's errors as problems in plain words, each at the key that a person wrote."""

import difflib
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from supportrelay.config.problem import KeyPath, Problem
from supportrelay.config.source import SECRETS, Source

__all__ = ["known_keys", "problems_of", "wrong_paths"]

_LONGEST_SHOWN = 60

_PLAIN: Mapping[str, str] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must hold keys and values (key: value)",
    "extra_forbidden": "unknown key",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "frozen_set_type": "must be a list: [a, b], or lines that begin with '- '",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list: [a, b], or lines that begin with '- '",
    "mapping_type": "must hold keys and values (key: value)",
    "missing": "is required",
    "model_attributes_type": "must hold keys and values (key: value)",
    "model_type": "must hold keys and values (key: value)",
    "set_type": "must be a list: [a, b], or lines that begin with '- '",
    "string_type": "must be text; put it in quotes",
    "string_sub_type": "must be text; put it in quotes",
    "tuple_type": "must be a list: [a, b], or lines that begin with '- '",
}
_SHOWN = frozenset({
    "bool_parsing", "bool_type", "enum", "float_parsing", "greater_than", "greater_than_equal", "int_from_float",
    "int_parsing", "int_type", "less_than", "less_than_equal", "literal_error", "string_pattern_mismatch",
    "value_error",
})  # fmt: skip
"""Kinds of errors whose value is put before the text; a value in a wrong place might be a secret."""


def problems_of(error: ValidationError, source: Source, root: type[BaseModel]) -> list[Problem]:
    """Every mistake that pydantic found, each once, without those that only follow from another.

    A value that could not be read from the file is None there and was complained about already.
    """
    told = {p.path for p in source.problems}
    found: list[Problem] = []
    errors = error.errors(include_url=False)
    for one in errors:
        # An item that is wrong does not count, so its list seems too short; a default that is made of a wrong value
        # cannot be made.
        if one["type"] == "default_factory_not_called" or (
            one["type"] == "too_short" and _has_wrong_items(one, errors)
        ):
            continue
        problem = _problem(one, source, root)
        if problem.path in told and _value_at(source.values, problem.path) is None:
            continue
        # A secret read out of password_file is unknown where password_file is unknown: once is enough.
        if one["type"] == "extra_forbidden" and f"{problem.path[-1]}_file" in _around(source.values, problem.path):
            continue
        found.append(problem)
    return list(dict.fromkeys(found))


def _has_wrong_items(one: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    place = one["loc"]
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors)


def wrong_paths(error: ValidationError, values: Any) -> set[KeyPath]:
    """What has to go so that the rest may be valid: wrong values, and mappings in which something is missing."""
    found = set()
    for one in error.errors(include_url=False):
        is_missing = one["type"] == "missing"
        path = _written_path(values, one["loc"], is_missing=is_missing)
        found.add(path[:-1] if is_missing else path)
    return found


def _problem(one: ErrorDetails, source: Source, root: type[BaseModel]) -> Problem:
    context = one.get("ctx", {})
    path = _written_path(source.values, one["loc"], is_missing=one["type"] == "missing")
    if context.get("at"):
        path = (*path, str(context["at"]))
    if one["type"] == "extra_forbidden":
        return Problem(path, _unknown_key(path, root, _around(source.values, path)), is_about_key=True)
    text = _plain(one, context)
    value = _value_at(source.values, path)
    if value is None and path and one["type"] != "missing" and one["type"] != "relay":
        text = f"has no value; it {text}" if text.startswith(("must", "needs")) else text
    elif one["type"] in _SHOWN and _may_show(value, path, source):
        text = f"'{value if not isinstance(value, bool) else str(value).lower()}': {text}"
    return Problem(path, text)


def _plain(one: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind = one["type"]
    if kind in {"literal_error", "enum"}:
        expected = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        return f"must be {'one of ' if ',' in expected else ''}{expected}"
    if kind == "too_short":
        return (
            f"needs at least {context.get('min_length', 1)}"
            if context.get("min_length", 1) != 1
            else "needs at least one"
        )
    if kind == "too_long":
        return f"takes at most {context.get('max_length')}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        return f"must be at least {context['ge']}" if "ge" in context else f"must be at most {context['le']}"
    if kind == "value_error":
        return str(context.get("error", one["msg"]))
    return _PLAIN.get(kind, one["msg"])


def _may_show(value: Any, path: KeyPath, source: Source) -> bool:
    if isinstance(value, (dict, list)) or value is None or len(str(value)) > _LONGEST_SHOWN:
        return False
    if any(str(step) in SECRETS for step in path):
        return False
    return not any(path[:end] in source.concealed for end in range(1, len(path) + 1)) and str(value).isprintable()


def _written_path(values: Any, location: tuple[int | str, ...], *, is_missing: bool) -> KeyPath:
    """The way of keys and items in the file; pydantic's location also names unions, tags and functions."""
    path: list[str | int] = []
    for i, step in enumerate(location):
        if _holds(values, step):
            path.append(step)
            values = values[step]
        elif is_missing and i == len(location) - 1:
            path.append(step)
    return tuple(path)


def _holds(values: Any, step: int | str) -> bool:
    if isinstance(values, dict):
        return step in values
    return isinstance(values, list) and isinstance(step, int) and 0 <= step < len(values)


def _value_at(values: Any, path: KeyPath) -> Any:
    for step in path:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _around(values: Any, path: KeyPath) -> Mapping[str, Any]:
    found = _value_at(values, path[:-1])
    return found if isinstance(found, dict) else {}


def _unknown_key(path: KeyPath, root: type[BaseModel], around: Mapping[str, Any]) -> str:
    models = _models_at(root, path[:-1])
    other = next((kind for m in models if path[-1] in m.model_fields and (kind := _kind_of(m))), "")
    if other:
        return f"unknown key of kind {around.get('kind') or 'builtin'}; it belongs to kind {other}"
    known = _keys_of([m for m in models if _kind_of(m) in {"", around.get("kind") or "builtin"}])
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"unknown key; did you mean '{near[0]}'?"
    if len(path) == 1:
        return "unknown key; supportrelay.example.yaml has them all"
    return f"unknown key; the keys here are {', '.join(known)}" if known else "unknown key"


def known_keys(root: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that a mapping at this path may have; empty when it is free or unknown."""
    return _keys_of(_models_at(root, path))


def _keys_of(models: list[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(field.alias or name for m in models for name, field in m.model_fields.items()))


def _models_at(root: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    kinds: list[Any] = [root]
    for step in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _kind_of(model: type[BaseModel]) -> str:
    """The one word that ``kind`` may be in a model of several; "" where it chooses no model."""
    field = model.model_fields.get("kind")
    words = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    return str(words[0]) if len(words) == 1 else ""


def _inside(kind: type[BaseModel], step: str | int) -> list[Any]:
    """The models that may stand one step further."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if step in {name, field.alias}:
                return _unfold(field.annotation)
    # One mapping in place of a list of them ('outbound'), an item of a list, a key of a free mapping.
    return [kind] if isinstance(step, int) else []


def _unfold(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return [kind for one in get_args(annotation) for kind in _unfold(one)]
    if origin in {tuple, list}:
        return _unfold(get_args(annotation)[0])
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _unfold(get_args(annotation)[0])
    return [annotation]
