"""The JSON Schema of the configuration, for editors: made from `schema/`, whose comments become the help texts."""

from __future__ import annotations

import ast
import inspect as source_inspect
import json
from typing import Any

import msgspec
from msgspec import inspect

from proxy.settings import schema
from proxy.settings.schema import base, configuration, devices, listeners, login, operation, routes, workloads
from proxy.settings.units import encode_hook

_MODULES = (base, configuration, devices, listeners, login, operation, routes, workloads)
_DURATION = {"type": "string", "pattern": r"^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}
_SIZE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(B|[KMGT]iB|[kMGT]B)?$"}]}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 that accepts `ostiary.yaml` and routes files."""
    maker = _Maker()
    top = [maker.of(inspect.type_info(struct)) for struct in (schema.Configuration, schema.RouteFile)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ostiary configuration",
        "description": "ostiary.yaml, or a file of the routes folder",
        "anyOf": top,
        "$defs": dict(sorted(maker.definitions.items())),
    }


def written_schema() -> str:
    """The schema as the text of `config/ostiary.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def key_comments() -> dict[tuple[str, str], str]:
    """What the trailing comments in `schema/` say, by class and attribute."""
    found: dict[tuple[str, str], str] = {}
    for module in _MODULES:
        _comments_of(source_inspect.getsource(module), found)
    return found


def _comments_of(text: str, found: dict[tuple[str, str], str]) -> None:
    lines = text.splitlines()
    for struct in ast.parse(text).body:
        if not isinstance(struct, ast.ClassDef):
            continue
        for statement in struct.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                _, mark, comment = lines[(statement.end_lineno or statement.lineno) - 1].partition("  # ")
                if mark:
                    found[struct.name, statement.target.id] = comment.strip()


class _Maker:
    """Collects definitions while types are described."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self.comments = key_comments()

    def of(self, kind: inspect.Type) -> dict[str, Any]:
        """The schema of one type. `null` is left out everywhere: a key without a value is refused."""
        if isinstance(kind, inspect.StructType):
            return self.struct(kind)
        if isinstance(kind, inspect.UnionType):
            options = [self.of(option) for option in kind.types if not isinstance(option, inspect.NoneType)]
            return options[0] if len(options) == 1 else {"anyOf": options}
        if isinstance(kind, inspect.VarTupleType):
            found: dict[str, Any] = {"type": "array", "items": self.of(kind.item_type)}
            return found | ({"minItems": kind.min_length} if kind.min_length else {})
        if isinstance(kind, inspect.DictType):
            return {"type": "object", "additionalProperties": self.of(kind.value_type)}
        return self.leaf(kind)

    def leaf(self, kind: inspect.Type) -> dict[str, Any]:
        if isinstance(kind, inspect.CustomType):
            return dict(_DURATION if kind.cls is schema.Duration else _SIZE)
        if isinstance(kind, inspect.LiteralType):
            return {"enum": list(kind.values)}
        if isinstance(kind, inspect.StrType):
            return {"type": "string"} | ({"pattern": kind.pattern} if kind.pattern else {})
        if isinstance(kind, inspect.IntType):
            bounds = {"minimum": kind.ge, "maximum": kind.le}
            return {"type": "integer"} | {name: bound for name, bound in bounds.items() if bound is not None}
        if isinstance(kind, inspect.BoolType):
            return {"type": "boolean"}
        return {}

    def struct(self, kind: inspect.StructType) -> dict[str, Any]:
        name = kind.cls.__name__
        if name not in self.definitions:
            definition: dict[str, Any] = {"type": "object"}
            self.definitions[name] = definition
            definition["description"] = " ".join((source_inspect.getdoc(kind.cls) or "").split())
            definition["properties"] = {field.encode_name: self.field(kind.cls, field) for field in kind.fields}
            required = [field.encode_name for field in kind.fields if field.required]
            if kind.tag_field is not None:
                definition["properties"] = {kind.tag_field: {"const": kind.tag}} | definition["properties"]
                if kind.cls is not schema.Provider:  # a provider without a type is an OpenID provider
                    required.append(kind.tag_field)
            if required:
                definition["required"] = required
            definition["additionalProperties"] = False
        return {"$ref": f"#/$defs/{name}"}

    def field(self, struct: type, field: inspect.Field) -> dict[str, Any]:
        found = self.of(field.type)
        comment = next(
            (
                self.comments[c.__name__, field.name]
                for c in struct.__mro__
                if (c.__name__, field.name) in self.comments
            ),
            "",
        )
        if comment:
            found["description"] = comment
        default = field.default
        if default is not msgspec.NODEFAULT and default is not None and not isinstance(default, msgspec.Struct):
            found["default"] = msgspec.to_builtins(default, enc_hook=encode_hook)
        return found
