"""Who may import whom (STYLE 2), read from the sources; and how long a module may be."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "src" / "supportrelay"
MODULES = sorted(SOURCES.rglob("*.py"))

# What is true of mail needs no clock, network, disk, randomness or log: `core` is given what it decides on.
# `csv` and `io` read text that was handed over; `open` is looked for below.
CORE_MAY_USE = """
    abc base64 binascii bisect codecs collections contextlib csv dataclasses datetime encodings enum fnmatch functools
    hashlib heapq hmac html io ipaddress itertools json math operator quopri re string struct textwrap types typing
    unicodedata urllib.parse
"""
CLOCKS = {"now", "utcnow", "today"}

# Layer -> the layers it may import, itself aside. Everything above `config` wires or commands.
LAYERS: dict[str, set[str]] = {
    "core": set(),
    "log_outlet": set(),
    "log": {"core", "log_outlet"},
    "i18n": {"core"},
    "tally": {"core"},
    "edge": {"core", "log", "i18n", "tally"},
    "flow": {"core", "log", "tally"},
    "config": {"core"},
    "admin": {"core", "log", "i18n", "edge", "flow", "config"},
    "bootstrap_crm": {"core", "log", "i18n", "edge", "config"},
    "bootstrap_dkim": {"core", "edge", "config"},
    "bootstrap_listen": {"core", "edge", "config"},
    "bootstrap_proof": {"core", "edge", "config"},
    "bootstrap": {
        *("core", "log", "i18n", "edge", "flow", "config", "admin"),
        *("bootstrap_crm", "bootstrap_dkim", "bootstrap_listen", "bootstrap_proof"),
    },
    "bootstrap_chores": {"core", "edge", "flow", "bootstrap"},
    "bootstrap_web": {"core", "edge", "config", "tally", "bootstrap_crm", "__init__"},
    "worker_process": {
        *("core", "log", "i18n", "edge", "flow", "config", "admin"),
        *("bootstrap", "bootstrap_chores", "bootstrap_crm", "bootstrap_listen"),
    },
    "supervisor": {
        *("core", "log", "i18n", "edge", "flow", "config", "admin", "tally"),
        *("bootstrap", "bootstrap_crm", "bootstrap_listen", "bootstrap_web", "worker_process"),
    },
    "cli": {
        *("core", "log", "i18n", "edge", "flow", "config", "admin"),
        *("bootstrap", "bootstrap_dkim", "supervisor", "log_outlet", "__init__"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}

# Edges do not import edges: each turns one outside thing into our terms. These rooms are one thing in several modules.
EDGE_ROOMS = {
    "crm": {"store"},  # the builtin CRM lives in the store's tables
}

# Longer than 400 lines, and why that is better than two modules.
LONG_MODULES = {
    "core/ports.py": "every port and its values, read together when an edge is written",
}


class Import(NamedTuple):
    """One import: the module that has it, where, and the dotted name it asks for."""

    module: Path
    line: int
    name: str

    @property
    def place(self) -> str:
        return f"{self.module.relative_to(SOURCES)}:{self.line} imports {self.name}"


def _imports(module: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: relative imports hide who imports whom"
            name = node.module or ""
            if name == "supportrelay" or _is_package(name):
                yield from (Import(module, node.lineno, f"{name}.{alias.name}") for alias in node.names)
            else:
                yield Import(module, node.lineno, name)


def _is_package(name: str) -> bool:
    return name.startswith("supportrelay.") and SOURCES.joinpath(*name.split(".")[1:]).is_dir()


def _all_imports(layer: str) -> list[Import]:
    return [found for module in MODULES if _layer(module) == layer for found in _imports(module)]


def _layer(module: Path) -> str:
    return module.relative_to(SOURCES).with_suffix("").parts[0]


def _our_layer(name: str) -> str:
    """Layer of an imported name of ours; names that the package itself defines belong to ``__init__``."""
    part = name.split(".")[1]
    return part if part in LAYERS else "__init__"


def test_every_module_belongs_to_a_known_layer() -> None:
    assert {_layer(module) for module in MODULES} <= set(LAYERS)


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    allowed = LAYERS[layer] | {layer}
    ours = [found for found in _all_imports(layer) if found.name.startswith("supportrelay.")]

    assert [found.place for found in ours if _our_layer(found.name) not in allowed] == []


def test_core_uses_only_pure_standard_library() -> None:
    foreign = [found for found in _all_imports("core") if not found.name.startswith("supportrelay")]

    assert [found.place for found in foreign if not _is_pure(found.name)] == []


def _is_pure(name: str) -> bool:
    return not {name, name.partition(".")[0]}.isdisjoint(CORE_MAY_USE.split())


def test_core_asks_no_clock_and_opens_no_file() -> None:
    asked = [
        f"{module.relative_to(SOURCES)}:{node.lineno} calls {_called(node)}"
        for module in MODULES
        if _layer(module) == "core"
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _called(node) in CLOCKS | {"open", "print", "input"}
    ]

    assert asked == []


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id if call.func.id not in CLOCKS else ""
    return call.func.attr if isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS else ""


def test_edges_do_not_import_edges() -> None:
    crossing = [
        found.place
        for found in _all_imports("edge")
        if found.name.startswith("supportrelay.edge.") and not _same_room(found)
    ]

    assert crossing == []


def _same_room(found: Import) -> bool:
    room = found.module.relative_to(SOURCES).with_suffix("").parts[1]
    other = found.name.split(".")[2]
    return other == room or other in EDGE_ROOMS.get(room, set())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(SOURCES)))
def test_a_module_stays_readable(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    name = str(module.relative_to(SOURCES))

    assert lines <= 400 or name in LONG_MODULES, f"{name} has {lines} lines; split it by what it does"


def test_no_excuse_is_kept_longer_than_needed() -> None:
    too_short = [
        name
        for name in LONG_MODULES
        if not (SOURCES / name).exists() or len((SOURCES / name).read_text(encoding="utf-8").splitlines()) <= 400
    ]

    assert too_short == []
