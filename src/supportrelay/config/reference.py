"""The annotated example, printed from the models.

``python -m supportrelay.config.reference > config/supportrelay.example.yaml`` writes it anew.

What is required stands in the open, everything else behind a ``#`` with its default. A line that begins with ``#`` and
one space is prose; any other ``#`` may be taken away and leaves valid YAML. Of a section with several kinds the first
is shown, the keys of the others stand below it behind a ``#`` of their own.
"""

import sys
import textwrap
import types
from datetime import timedelta
from enum import Enum
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from supportrelay.config.models import Config
from supportrelay.config.scalars import print_duration
from supportrelay.config.section import is_later

__all__ = ["example_text", "print_yaml"]

_WIDTH = 110
_STEP = "  "
_HEAD = """\
# supportrelay: every key of the configuration, what it does and why. Printed from the program; copy what you need to
# supportrelay.yaml ('supportrelay init' writes a first one), and try it with 'supportrelay check'.
#
# Relative paths are relative to the configuration file. Durations: 30s, 5m, 1h, 30d. Sizes: 50MB, 50MiB.
# Text may hold ${VARIABLE} or ${VARIABLE:-default} of the environment. A secret may stand in a file of its own:
# password_file in place of password. Unknown keys are errors.
"""
_WORDS = frozenset({"", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_PLAIN_MARKS = frozenset("-_./@+*:;=()?!・、。 ")


def example_text() -> str:
    """The content of ``config/supportrelay.example.yaml``."""
    blocks = ["\n".join(_field(name, field, "", in_the_open=False)) for name, field in Config.model_fields.items()]
    return _HEAD + "\n" + "\n\n".join(blocks) + "\n"


def _field(name: str, field: FieldInfo, indent: str, *, in_the_open: bool) -> list[str]:
    """Prose and code of one key. ``in_the_open``: a key of a block that is hidden as a whole; not hidden again."""
    code = _code(field.alias or name, field, indent, in_the_open=in_the_open or not _is_open(field))
    if not in_the_open and not _is_open(field):
        code = [f"{indent}#{line.removeprefix(indent)}" for line in code]
    return [*_prose(field, indent), *code]


def _is_open(field: FieldInfo) -> bool:
    return field.is_required() or bool(_extra(field, "shown"))


def _prose(field: FieldInfo, indent: str) -> list[str]:
    text = field.description or ""
    if is_later(field):
        text += f" Without effect in this version: {is_later(field)}."
    width = _WIDTH - len(indent) - len("# ")
    lines = [f"{indent}# {line}" for line in textwrap.wrap(text, width, break_on_hyphens=False)]
    default = _default(field)
    return [*lines, f"{indent}# {default}"] if default else lines


def _default(field: FieldInfo) -> str:
    told = _extra(field, "default")
    if told:
        return f"Default: {told}"
    if field.is_required():
        return "Required."
    if isinstance(field.default, BaseModel):
        return ""
    if isinstance(field.default, tuple) and field.default and isinstance(field.default[0], BaseModel):
        return "Default: one, as here"
    return f"Default: {print_yaml(field.default) if field.default not in (None, (), {}) else 'none'}"


def _code(name: str, field: FieldInfo, indent: str, *, in_the_open: bool) -> list[str]:
    examples = field.examples or []
    if examples and str(examples[0]).startswith("\n"):
        return [f"{indent}{name}:", *textwrap.indent(str(examples[0]).strip(), indent + _STEP).splitlines()]
    model, is_list = _model_of(field.annotation)
    if examples or model is None:
        shown = str(examples[0]) if examples else print_yaml(field.default)
        return [f"{indent}{name}: {shown}"]
    is_item = is_list and not _extra(field, "single")
    inner = indent + _STEP * (2 if is_item else 1)
    lines = [
        line for key, one in model.model_fields.items() for line in _field(key, one, inner, in_the_open=in_the_open)
    ]
    lines += [line for other in _other_kinds(field.annotation) for line in _alternative(other, inner)]
    return [f"{indent}{name}:", *(_as_item(lines, inner) if is_item else lines)]


def _alternative(model: type[BaseModel], indent: str) -> list[str]:
    """The keys of another kind than the one that is shown, each hidden by itself."""
    lines = [f"{indent}# Keys of kind {model.model_fields['kind'].default}:"]
    for key, field in model.model_fields.items():
        if key != "kind":
            lines += _field(key, field, indent, in_the_open=False)
    return lines


def _other_kinds(annotation: Any) -> list[type[BaseModel]]:
    """Models besides the first of those that ``kind`` chooses from."""
    if get_origin(annotation) not in {Union, types.UnionType}:
        return []
    found = [one for one in get_args(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    return [one for one in found[1:] if "kind" in one.model_fields]


def _as_item(lines: list[str], inner: str) -> list[str]:
    """The keys of a mapping as one item of a list: the first key gets the dash."""
    outer = inner.removesuffix(_STEP)
    first = next(i for i, line in enumerate(lines) if not line.startswith(f"{inner}#"))
    return [
        *(outer + line.removeprefix(inner) for line in lines[:first]),
        f"{outer}- {lines[first].removeprefix(inner)}",
        *lines[first + 1 :],
    ]


def _model_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model in an annotation, and whether it stands in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin = get_origin(annotation)
    if origin in {tuple, list}:
        return _model_of(get_args(annotation)[0])[0], True
    if origin in {Union, types.UnionType}:
        return next((found for one in get_args(annotation) if (found := _model_of(one))[0]), (None, False))
    return None, False


def _extra(field: FieldInfo, name: str) -> Any:
    extra = field.json_schema_extra
    return extra.get(name) if isinstance(extra, dict) else None


def print_yaml(value: Any) -> str:
    """A value on one line of YAML, as a person would write it."""
    match value:
        case bool():
            return str(value).lower()
        case Enum():
            return print_yaml(value.value)
        case timedelta():
            return print_duration(value)
        case dict():
            return "{" + ", ".join(f"{print_yaml(k)}: {print_yaml(v)}" for k, v in value.items()) + "}"
        case tuple() | list():
            return "[" + ", ".join(print_yaml(one) for one in value) + "]"
        case None:
            return ""
        case str():
            return value if _is_plain(value) else "'" + value.replace("'", "''") + "'"
        case _:
            return str(value)


def _is_plain(text: str) -> bool:
    if text.lower() in _WORDS or not text[0].isalnum() or text.endswith((" ", ":")) or ": " in text:
        return False
    if text.replace(".", "").replace("_", "").isdigit() and not text.replace(".", "").isalpha():
        return text.count(".") > 1  # an IP address is text, a number would become one
    return all(c.isalnum() or c in _PLAIN_MARKS for c in text)


if __name__ == "__main__":
    sys.stdout.write(example_text())
