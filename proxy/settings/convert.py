"""Parsed YAML to the Structs of `schema`, with every mistake translated for people. Pure.

The fast way is one `msgspec.convert`. When it fails, `_Walker` goes through the values beside the types and reports all
mistakes, not only the first: unknown keys with the nearest valid one, missing keys, wrong kinds, values out of a list.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from proxy.settings import schema
from proxy.settings.document import BROKEN, HIDDEN, Document, Path
from proxy.settings.units import DURATION_FORM, SIZE_FORM, decode_hook
from proxy.settings.wording import EXAMPLES, HOMES, NOUNS, PATTERNS, UNHELPFUL_HOME, closest, kind, written

T = TypeVar("T")


def decode(document: Document, wanted: type[T], path: Path = ()) -> T | None:
    """The value at `path` as a `wanted`, or None with the mistakes recorded in `document.problems`."""
    value = document.value
    for step in path:
        value = value[step]
    try:
        return msgspec.convert(value, wanted, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        before = len(document.problems)
        _Walker(document).visit(value, inspect.type_info(wanted), path)
        if len(document.problems) == before and document.sound:
            document.problem(path, str(error))  # the walker knows every type in `schema`; this is for the next one
        return None


def decode_routes(document: Document) -> list[tuple[int, schema.Route]]:
    """The routes of a routes file with their index; broken ones are left out, their mistakes recorded."""
    whole = decode(document, schema.RouteFile)
    if whole is not None and document.sound:
        return list(enumerate(whole.routes))
    listed = document.value.get("routes") if isinstance(document.value, dict) else None
    if not isinstance(listed, list):
        return []
    sound = []
    for index, value in enumerate(listed):
        if _holds_broken(value):
            continue
        try:
            sound.append((index, msgspec.convert(value, schema.Route, dec_hook=decode_hook)))
        except msgspec.ValidationError:
            continue
    return sound


def _holds_broken(value: object) -> bool:
    """Whether a value that was refused is anywhere inside (in `claims`, say, whose values may be of any kind)."""
    if isinstance(value, dict):
        return any(_holds_broken(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_holds_broken(inner) for inner in value)
    return value is BROKEN


# --- the walk ----------------------------------------------------------------------------------------------------


class _Walker:
    """Visits values and types together and records each mistake once. BROKEN values are somebody else's problem."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def visit(self, value: Any, wanted: inspect.Type, path: Path) -> None:
        if value is BROKEN:
            return
        if isinstance(wanted, inspect.UnionType):
            self.union(value, wanted, path)
        elif isinstance(wanted, inspect.StructType):
            self.struct(value, wanted, path)
        elif isinstance(wanted, inspect.VarTupleType):
            self.listed(value, wanted, path)
        elif isinstance(wanted, inspect.DictType):
            self.mapping(value, wanted, path)
        elif isinstance(wanted, inspect.LiteralType):
            self.literal(value, wanted, path)
        elif isinstance(wanted, inspect.CustomType):
            self.custom(value, wanted, path)
        elif isinstance(wanted, inspect.StrType):
            self.text(value, wanted, path)
        elif isinstance(wanted, inspect.IntType):
            self.integer(value, wanted, path)
        elif isinstance(wanted, inspect.BoolType) and not isinstance(value, bool):
            self.wrong(path, "must be true or false", "")

    def union(self, value: Any, wanted: inspect.UnionType, path: Path) -> None:
        """Pick the alternative by the kind of the value; mistakes are then those of that alternative."""
        options = [option for option in wanted.types if not isinstance(option, inspect.NoneType)]
        tagged = [option for option in options if isinstance(option, inspect.StructType) and option.tag is not None]
        if tagged and isinstance(value, dict):
            self.tagged(value, tagged, path)
            return
        for wanted_kind, option_types in (
            (dict, (inspect.StructType, inspect.DictType)),
            (list, (inspect.VarTupleType,)),
            (object, (inspect.StrType, inspect.CustomType, inspect.IntType, inspect.LiteralType)),
        ):
            option = next((option for option in options if isinstance(option, option_types)), None)
            if isinstance(value, wanted_kind) and option is not None:
                self.visit(value, option, path)
                return
        self.visit(value, options[0], path)

    def tagged(self, value: dict[str, Any], options: list[inspect.StructType], path: Path) -> None:
        """Pick the alternative that the value names."""
        key = options[0].tag_field or ""
        chosen = next((option for option in options if option.tag == value.get(key)), None)
        if chosen is not None:
            self.struct(value, chosen, path)
        elif key not in value:
            self.document.problem(path, f'{self.name(path)} needs "{key}"', self.one_of(options))
        elif value[key] is not BROKEN:
            self.wrong((*path, key), f"must be {self.one_of(options)}", "")

    def one_of(self, options: list[inspect.StructType]) -> str:
        return " or ".join(f'"{option.tag}"' for option in options)

    def struct(self, value: Any, wanted: inspect.StructType, path: Path) -> None:
        if not isinstance(value, dict):
            self.not_a_struct(value, wanted, path)
            return
        fields = {field.encode_name: field for field in wanted.fields}
        for key, inner in value.items():
            if key == wanted.tag_field:
                continue
            if key in fields:
                self.visit(inner, fields[key].type, (*path, key))
            elif not key.startswith(HIDDEN):
                self.unknown(key, list(fields), wanted, value, path)
        if any(key.startswith(HIDDEN) for key in value):
            return
        for key, field in fields.items():
            if field.required and key not in value:
                self.document.problem(path, f'{self.label(wanted, value, path)} needs "{key}"', self.need_hint(key))

    def not_a_struct(self, value: Any, wanted: inspect.StructType, path: Path) -> None:
        if wanted.cls is schema.SecretRef:
            line, column = self.document.place(path)
            self.document.problem_at(
                line,
                column,
                f"{self.name(path)} must say where the secret is, not hold it",
                self.example(path),
                show=False,
            )
            return
        self.wrong(path, f"must be a mapping, not {kind(value)}", self.example(path))

    def unknown(
        self, key: str, known: list[str], wanted: inspect.StructType, value: dict[str, Any], path: Path
    ) -> None:
        near = closest(key, known)
        homes = [home for home in HOMES.get(key, ()) if key not in UNHELPFUL_HOME]
        if near is not None:
            hint = f'did you mean "{near}"?'
        elif homes:
            hint = f'"{key}" is a key of {" and of ".join(homes)}: is the indentation right?'
        else:
            hint = "valid keys: " + ", ".join(known)
        where = self.label(wanted, value, path)
        self.document.problem((*path, key), f'unknown key "{key}" in {where}', hint, key=True)

    def listed(self, value: Any, wanted: inspect.VarTupleType, path: Path) -> None:
        if not isinstance(value, list):
            of_words = isinstance(wanted.item_type, inspect.StrType) and isinstance(value, str)
            hint = f"{path[-1]}: [{value}]" if of_words and path else self.example(path)
            self.wrong(path, f"must be a list, not {kind(value)}", hint)
            return
        if wanted.min_length and len(value) < wanted.min_length:
            self.wrong(path, "is an empty list", "list at least one, or remove the key")
        for index, item in enumerate(value):
            self.visit(item, wanted.item_type, (*path, index))

    def mapping(self, value: Any, wanted: inspect.DictType, path: Path) -> None:
        if not isinstance(value, dict):
            self.wrong(path, f"must be a mapping, not {kind(value)}", self.example(path))
            return
        for key, inner in value.items():
            self.visit(inner, wanted.value_type, (*path, key))

    def literal(self, value: Any, wanted: inspect.LiteralType, path: Path) -> None:
        if value in wanted.values and type(value) in {type(option) for option in wanted.values}:
            return
        if written(value) in wanted.values:
            self.wrong(path, f"must be text, not {kind(value)}", f'put it in quotes: "{written(value)}"')
            return
        near = closest(written(value), [str(option) for option in wanted.values])
        options = [f'"{option}"' if isinstance(option, str) else str(option) for option in wanted.values]
        choice = f"{', '.join(options[:-1])} or {options[-1]}"
        shown = f', not "{written(value)}"' if isinstance(value, (str, int, float)) else f", not {kind(value)}"
        self.wrong(path, f"must be {choice}{shown}", f'did you mean "{near}"?' if near else "")

    def custom(self, value: Any, wanted: inspect.CustomType, path: Path) -> None:
        try:
            decode_hook(wanted.cls, value)
        except ValueError as error:
            form = DURATION_FORM if wanted.cls is schema.Duration else SIZE_FORM
            if str(error) == "a duration needs a unit":
                form = f"write {written(value)}s for seconds, or another unit: 250ms, 15m, 12h, 7d"
            shown = f' ("{written(value)}")' if isinstance(value, (str, int, float)) else ""
            self.document.problem(path, f"{self.name(path)}: {error}{shown}", form)

    def text(self, value: Any, wanted: inspect.StrType, path: Path) -> None:
        if not isinstance(value, str):
            hint = f'put it in quotes: "{written(value)}"' if not isinstance(value, (list, dict)) else ""
            self.wrong(path, f"must be text, not {kind(value)}", hint)
        elif wanted.pattern is not None and not re.search(wanted.pattern, value):
            message, hint = PATTERNS.get(wanted.pattern, (f"does not match {wanted.pattern}", ""))
            self.document.problem(path, f'{self.name(path)}: "{value}" {message}', hint)

    def integer(self, value: Any, wanted: inspect.IntType, path: Path) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            self.wrong(path, f"must be a whole number, not {kind(value)}", "")
        elif wanted.ge is not None and value < wanted.ge:
            self.wrong(path, f"must be at least {wanted.ge}", "")
        elif wanted.le is not None and value > wanted.le:
            self.wrong(path, f"must be at most {wanted.le}", "")

    # --- how things are called ---

    def wrong(self, path: Path, message: str, hint: str) -> None:
        self.document.problem(path, f"{self.name(path)} {message}", hint)

    def name(self, path: Path) -> str:
        """`"groups"`, `"groups" item 2`, or `the file`."""
        if not path:
            return "the file"
        if isinstance(path[-1], int):
            return f"{self.name(path[:-1])} item {path[-1] + 1}" if len(path) > 1 else f"item {path[-1] + 1}"
        return f'"{path[-1]}"'

    def label(self, wanted: inspect.StructType, value: dict[str, Any], path: Path) -> str:
        """`route "grafana"`, `"tls"`, `the configuration`."""
        noun = NOUNS.get(wanted.cls)
        if noun is None:
            return self.name(path)
        named = value.get("name", value.get("address"))
        if isinstance(named, str):
            return f'{noun} "{named}"'
        return noun if noun.startswith(("a ", "the ")) else f"a {noun}"

    def example(self, path: Path) -> str:
        return EXAMPLES.get(str(path[-1]), "") if path else "a file begins with a key, such as “routes:”"

    def need_hint(self, key: str) -> str:
        return f"add: {EXAMPLES.get(key, f'{key}: …')}"
