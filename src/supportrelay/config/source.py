"""Read YAML into plain values and remember where each of them stands.

The nodes of PyYAML's safe composer are turned into values here, because its constructor forgets lines and lets a key
stand twice. Scalars follow YAML 1.2's core schema: ``yes``, ``no``, ``on`` and dates are text, ``true`` and ``false``
are not. A number that would not print as it was written (``007``, ``1.10``) stays text, which the models can read too.

Text may hold ``${VARIABLE}`` and ``${VARIABLE:-default}`` (``$${`` is a plain ``${``). A secret ``password`` may stand
in a file of its own, named by ``password_file``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from supportrelay.config.problem import KeyPath, Problem, print_key_path
from supportrelay.core.errors import ConfigError

__all__ = ["SECRETS", "Source", "read_source"]

SECRETS = frozenset({
    "client_secret", "key_password", "password", "private_key", "refresh_token", "token", "url", "webhook_secret",
})  # fmt: skip
"""Keys that ``KEY_file`` may stand for."""

_MOST_VALUES = 200_000  # aliases of aliases multiply; a configuration has some hundred values
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{(?P<bad>[^}]*)\}?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")


@dataclass(slots=True)
class Source:
    """A configuration file as values.

    Attributes:
        file: Its name as given; stands before every problem.
        values: Mappings, lists and scalars.
        concealed: Values that came out of the environment or a secret's file; never shown.
        problems: What is wrong with the file itself; the values at those paths are None.
    """

    file: str
    values: Any = None
    concealed: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    _keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    _values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)

    def mark(self, path: KeyPath, *, of_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value (or key) at a path or of the nearest thing around it."""
        for end in range(len(path), 0, -1):
            first, second = (self._keys, self._values) if of_key or end < len(path) else (self._values, self._keys)
            found = first.get(path[:end]) or second.get(path[:end])
            if found:
                return found
        return (1, 1)

    def where(self, path: KeyPath) -> str:
        """``FILE:LINE:COLUMN`` of a value, ``FILE`` when neither it nor anything around it stands there."""
        if path[:1] not in self._values:
            return self.file
        line, column = self.mark(path)
        return f"{self.file}:{line}:{column}"

    def line(self, problem: Problem) -> str:
        """``FILE:LINE:COLUMN: key.path: what is wrong``."""
        line, column = problem.mark or self.mark(problem.path, of_key=problem.is_about_key)
        key = print_key_path(problem.path)
        return f"{self.file}:{line}:{column}: {key + ': ' if key else ''}{problem.text}"

    def lines(self, problems: list[Problem]) -> list[str]:
        """The lines of several problems in the order of the file, each once."""
        placed = [(p.mark or self.mark(p.path, of_key=p.is_about_key), self.line(p)) for p in problems]
        return list(dict.fromkeys(line for _, line in sorted(placed, key=lambda one: one[0])))


def read_source(file: Path, environment: Mapping[str, str], *, loader: Any = yaml.SafeLoader) -> Source:
    """Return a file's values with their places.

    Args:
        file: The configuration; ``*_file`` names are relative to its folder.
        environment: Where ``${VARIABLE}`` is looked up.
        loader: ``yaml.CSafeLoader`` is ten times as quick and tells worse what is wrong.

    Raises:
        ConfigError: There is no such file, it cannot be read, or it is no YAML. Smaller mistakes are left in
            ``Source.problems``, to be told together with those of the models.
    """
    source = Source(str(file))
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([f"{file}: there is no such file"]) from None
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        column = exc.start - exc.object.rfind(b"\n", 0, exc.start)
        raise ConfigError([f"{file}:{line}:{column}: not UTF-8; save the file in that charset"]) from None
    except OSError as exc:
        raise ConfigError([f"{file}: cannot be read ({exc.strerror})"]) from None
    try:
        node = yaml.compose(text, Loader=loader)
        _Reader(source, file.parent, environment).read(node)
    except yaml.YAMLError as exc:
        raise ConfigError([_syntax_error(file, text, exc)]) from None
    except RecursionError:
        raise ConfigError([f"{file}: nested too deeply"]) from None
    return source


def _syntax_error(file: Path, text: str, error: yaml.YAMLError) -> str:
    """One line in plain words; PyYAML's own runs over several and quotes the file, secrets included."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        return f"{file}:{line}:{column}: a control character (code {ord(text[error.position])}) is not allowed"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
    problem = str(getattr(error, "problem", "") or "")
    if "'\\t'" in problem or (mark and _line_of(text, mark.line)[: mark.column + 1].endswith("\t")):
        return f"{where}: a tab; YAML is indented with spaces"
    if "but found another document" in problem:
        return f"{where}: a second document ('---'); one file holds one configuration"
    if "found undefined alias" in problem:
        return f"{where}: an alias (*name) without its anchor (&name); put text that begins with * in quotes"
    return f"{where}: this is not YAML: {problem or 'it cannot be read'}"


def _line_of(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""


class _Reader:
    """Turns nodes into values and fills a `Source` on the way."""

    def __init__(self, source: Source, folder: Path, environment: Mapping[str, str]) -> None:
        self._source = source
        self._folder = folder
        self._environment = environment
        self._around: set[int] = set()
        self._count = 0

    def read(self, root: yaml.Node | None) -> None:
        if root is None:
            self._complain((), "the file is empty")
            return
        if not isinstance(root, yaml.MappingNode):
            self._complain((), "the file must hold keys and values (addresses: ...)", root)
            return
        self._source.values = self._value(root, ())

    def _complain(self, path: KeyPath, text: str, node: yaml.Node | None = None, *, is_about_key: bool = False) -> None:
        mark = _place(node) if node else None
        self._source.problems.append(Problem(path, text, is_about_key=is_about_key, mark=mark))

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count += 1
        if id(node) in self._around or self._count > _MOST_VALUES:
            self._complain(path, "an alias (*name) that repeats itself", node)
            return None
        self._source._values[path] = _place(node)  # noqa: SLF001  the reader fills the source
        self._around.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else None
        finally:
            self._around.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(path, "a key must be a plain word", key_node)
                continue
            key = str(key_node.value)
            if key == "<<" and not key_node.style:
                merged |= self._merged(value_node, path)
                continue
            here = (*path, key)
            if key in values:
                line = self._source.mark(here, of_key=True)[0]
                self._complain(here, f"this key stood already on line {line}", key_node, is_about_key=True)
                continue
            self._source._keys[here] = _place(key_node)  # noqa: SLF001  the reader fills the source
            values[key] = self._value(value_node, here)
        values = merged | values
        for key in [k for k in values if k.endswith("_file") and k.removesuffix("_file") in SECRETS]:
            self._read_secret(values, key, path)
        return values

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """What ``<<`` brings in; of several mappings the first wins."""
        found: dict[str, Any] = {}
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            value = self._value(one, path)
            if isinstance(value, dict):
                found = value | found
            else:
                self._complain(path, "<< needs a mapping", one)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text = str(node.value)
        if node.style is None:
            if text in _NULLS:
                return None
            if text in _BOOLEANS:
                return _BOOLEANS[text]
            if _INTEGER.fullmatch(text) and str(int(text)) == text:
                return int(text)
            if _DECIMAL.fullmatch(text) and str(float(text)) == text:
                return float(text)
        return self._interpolated(text, node, path) if "${" in text else text

    def _interpolated(self, text: str, node: yaml.Node, path: KeyPath) -> str | None:
        failed = False

        def put(match: re.Match[str]) -> str:
            nonlocal failed
            if match.group() == "$${":
                return "${"
            name, default = match["name"], match["default"]
            if not name:
                self._complain(
                    path, "${...} needs the name of an environment variable (write $${ for a plain ${)", node
                )
            elif name in self._environment and not (default and not self._environment[name]):
                self._source.concealed.add(path)
                return self._environment[name]
            elif default:
                return str(default[2:])
            else:
                self._complain(path, f"the environment variable {name} is not set", node)
            failed = True
            return ""

        done = _VARIABLE.sub(put, text)
        return None if failed else done

    def _read_secret(self, values: dict[str, Any], key: str, path: KeyPath) -> None:
        """Put the content of ``password_file`` into ``password``; the name of the file stays too, to be read again."""
        secret, name = key.removesuffix("_file"), values[key]
        here = (*path, key)
        if values.get(secret) is not None:
            self._complain(here, f"give {secret} or {key}, not both", is_about_key=True)
            return
        if not isinstance(name, str):
            return
        self._source.concealed.add((*path, secret))
        self._source._values[*path, secret] = self._source.mark(here)  # noqa: SLF001  the reader fills the source
        try:
            values[secret] = (self._folder / name).expanduser().read_text("utf-8").strip("\r\n")
        except (OSError, RuntimeError) as exc:
            why = getattr(exc, "strerror", None) or "no such home"
            self._complain(here, f"cannot read {self._folder / name} ({why})")
        except ValueError:
            self._complain(here, f"{self._folder / name} is not text in UTF-8")
        else:
            if not values[secret]:
                self._complain(here, f"{self._folder / name} is empty")


def _place(node: yaml.Node) -> tuple[int, int]:
    return (node.start_mark.line + 1, node.start_mark.column + 1)
