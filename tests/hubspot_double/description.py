"""The OpenAPI descriptions: which calls there are, and whether a request keeps to them.

Both files of ``../shared/specs/hubspot`` beside the project (``HUBSPOT_DOUBLE_SPECS`` names another folder) are read at
the start; validators are compiled once.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import jsonschema

from hubspot_double.errors import violation

__all__ = ["Description", "Operation", "specs_folder"]

_PROJECT = Path(__file__).resolve().parents[2]
_BOOLS = {"true": True, "false": False}


def specs_folder() -> Path:
    """Where the descriptions are; AssertionError when they are not there."""
    folder = Path(os.environ.get("HUBSPOT_DOUBLE_SPECS") or _PROJECT.parent / "shared" / "specs" / "hubspot")
    assert folder.is_dir(), f"no OpenAPI descriptions in {folder}; HUBSPOT_DOUBLE_SPECS names another folder"
    return folder


def _inline(schema: Any, root: Mapping[str, Any]) -> Any:
    """Without references (ours do not recurse), and ``nullable`` said in JSON schema's words."""
    if isinstance(schema, list):
        return [_inline(one, root) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return _inline(found, root)
    made = {name: _inline(one, root) for name, one in schema.items()}
    if made.pop("nullable", False) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


@dataclass
class Operation:
    """One method of one path.

    Attributes:
        id: ``tickets_create`` ..., the same in both versions.
        template: Path segments; those in braces are parameters.
    """

    id: str
    method: str
    template: tuple[str, ...]
    raw: Mapping[str, Any]
    root: Mapping[str, Any] = field(repr=False)

    @property
    def is_search(self) -> bool:
        return self.id.endswith("_search")

    @cached_property
    def _parameters(self) -> dict[tuple[str, str], tuple[dict[str, Any], jsonschema.protocols.Validator]]:
        found: dict[tuple[str, str], tuple[dict[str, Any], jsonschema.protocols.Validator]] = {}
        for one in _inline(self.raw.get("parameters", []), self.root):
            validator = jsonschema.Draft202012Validator(one["schema"])
            found[one["in"], one["name"]] = (one, validator)
        return found

    @cached_property
    def _body(self) -> jsonschema.protocols.Validator | None:
        request = self.raw.get("requestBody")
        if request is None:
            return None
        schema = _inline(request["content"]["application/json"]["schema"], self.root)
        return jsonschema.Draft202012Validator(schema)

    @cached_property
    def _answers(self) -> dict[str, jsonschema.protocols.Validator]:
        found: dict[str, jsonschema.protocols.Validator] = {}
        for status, answer in _inline(self.raw["responses"], self.root).items():
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            if schema is not None:
                found[status] = jsonschema.Draft202012Validator(schema)
        return found

    def path_values(self, segments: tuple[str, ...]) -> dict[str, str]:
        """The path's parameters; a violation raises `ApiError`."""
        values = {}
        for part, segment in zip(self.template, segments, strict=True):
            if part.startswith("{"):
                name = part[1:-1]
                values[name] = segment
                _, validator = self._parameters["path", name]
                self._check(validator, segment, f"path parameter {name}")
        return values

    def query_values(self, query: str) -> dict[str, Any]:
        """The query's parameters with the type they are described with."""
        values: dict[str, Any] = {}
        for name, text in parse_qsl(query, keep_blank_values=True):
            known = self._parameters.get(("query", name))
            if known is None:
                raise violation(f"{self.id}: unknown query parameter {name}")
            if name in values:
                raise violation(f"{self.id}: query parameter {name} is there twice")
            parameter, validator = known
            values[name] = _typed(text, parameter["schema"].get("type", "string"))
            self._check(validator, values[name], f"query parameter {name}")
        for (place, name), (parameter, _) in self._parameters.items():
            if place == "query" and parameter.get("required") and name not in values:
                raise violation(f"{self.id}: query parameter {name} is missing")
        return values

    def body_value(self, body: bytes, content_type: str) -> Any:
        """The body as JSON; what does not keep to the schema raises `ApiError`."""
        if self._body is None:
            if body and self.method in {"GET", "DELETE"}:
                raise violation(f"{self.id}: takes no body")
            return None
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise violation(f"{self.id}: content type {content_type or 'missing'}", 415)
        try:
            value = json.loads(body)
        except ValueError as error:
            raise violation(f"{self.id}: Invalid input JSON: {error}") from None
        self._check(self._body, value, "body")
        return value

    def answer_problem(self, status: int, body: Any) -> str:
        """How an answer differs from the description, "" when it does not."""
        validator = self._answers.get(str(status)) or self._answers.get("default")
        if str(status) not in self.raw["responses"] and status < 400:
            return f"{self.id}: status {status} is not described"
        error = (
            jsonschema.exceptions.best_match(validator.iter_errors(body)) if validator and body is not None else None
        )
        return f"{self.id}: {status}: {error.json_path}: {error.message}" if error else ""

    def _check(self, validator: jsonschema.protocols.Validator, value: Any, what: str) -> None:
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if error is not None:
            raise violation(f"{self.id}: {what}: {error.json_path}: {error.message[:400]}")


def _typed(text: str, kind: str) -> Any:
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean":
        return _BOOLS.get(text, text)
    if kind == "array":
        return text.split(",") if text else []
    return text


class Description:
    """All operations of both versions."""

    def __init__(self, folder: Path | None = None) -> None:
        self.operations: dict[tuple[int, str], list[Operation]] = {}
        self._routes: dict[int, list[tuple[str, ...]]] = {}
        self._by_template: dict[tuple[str, ...], dict[str, Operation]] = {}
        files = sorted((folder or specs_folder()).glob("*.openapi.json"))
        assert files, "no OpenAPI descriptions"
        for file in files:
            root = json.loads(file.read_text(encoding="utf-8"))
            for path, methods in root["paths"].items():
                template = tuple(path.strip("/").split("/"))
                made = {
                    m.upper(): Operation(o["operationId"], m.upper(), template, o, root) for m, o in methods.items()
                }
                self._by_template.setdefault(template, {}).update(made)
        for template in self._by_template:
            self._routes.setdefault(len(template), []).append(template)
        for templates in self._routes.values():  # literal segments win over parameters
            templates.sort(key=lambda t: [part.startswith("{") for part in t])

    def match(self, raw_path: str) -> tuple[dict[str, Operation], tuple[str, ...]] | None:
        """(method -> operation, decoded segments), None for a path that is not described."""
        segments = tuple(unquote(part) for part in raw_path.strip("/").split("/"))
        for template in self._routes.get(len(segments), ()):
            if all(part.startswith("{") or part == segment for part, segment in zip(template, segments, strict=True)):
                return self._by_template[template], segments
        return None
