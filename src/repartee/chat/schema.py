"""From a Python annotation to JSON Schema, and from a model's JSON back to Python.

A `Shape` is both directions of one annotation, so the schema that a model is shown and the check of what it
sends can't disagree. Only the standard library is used; a model's JSON is untrusted input.

Reading has two strengths. *Exact*: the JSON type is the declared one. *Lenient*: what models send by mistake
and can only mean one thing is taken (``"5"`` for an integer, ``"true"`` for a boolean, an enum's name for its
value). A union tries every member exactly before any member leniently.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, cast

from repartee.errors import UsageError

__all__ = ["Field", "Mismatch", "Shape", "object_schema", "read_fields", "shape_of"]


class Mismatch(Exception):
    """A value is not what its schema says. The text is written for the model that sent it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One annotation: what a model is told, and how its answer is read."""

    schema: dict[str, Any]
    """JSON Schema (draft 2020-12)."""
    read: Callable[[Any, str, bool], Any]
    """``read(value, where, lenient)`` gives the Python value or raises `Mismatch`, which names ``where``."""
    nullable: bool = False
    """Whether ``null`` is a value of it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A named value: a parameter, or a field of a structure."""

    name: str
    shape: Shape
    required: bool


def shape_of(annotation: Any, where: str, _open: tuple[Any, ...] = ()) -> Shape:
    """The shape of an annotation.

    Takes ``str``, ``int``, ``float``, ``bool``, ``None``, ``Any``, unions, ``list``, ``Sequence``, ``set``,
    ``tuple``, ``dict[str, …]``, ``Literal``, ``Enum``, ``TypedDict``, dataclasses, and ``Annotated`` with a
    text (its description).

    Args:
        annotation: resolved, not a string.
        where: what it annotates, for the message.

    Raises:
        UsageError: JSON has no such thing, or a structure contains itself.
    """
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Annotated:
        return _described(shape_of(arguments[0], where, _open), arguments[1:])
    if origin in (Union, types.UnionType):
        return _union([shape_of(each, where, _open) for each in arguments])
    if origin is Literal:
        return _choice({value: value for value in arguments}, {}, where)
    if origin in (typing.Required, typing.NotRequired):
        return shape_of(arguments[0], where, _open)
    container = origin if origin is not None else annotation
    if container is tuple and arguments and arguments[-1] is not ...:
        return _tuple([shape_of(each, where, _open) for each in arguments if each != ()])
    if container in _SEQUENCES:
        return _array(shape_of(arguments[0] if arguments else Any, where, _open), _SEQUENCES[container])
    if container in (dict, Mapping):
        if arguments and arguments[0] is not str:
            raise UsageError(f"{where}: the keys of a JSON object are texts; use dict[str, …]")
        return _mapping(shape_of(arguments[1] if arguments else Any, where, _open))
    if isinstance(annotation, type):
        return _class(annotation, where, _open)
    raise _unsupported(annotation, where)


def _unsupported(annotation: Any, where: str) -> UsageError:
    name = getattr(annotation, "__name__", None) or str(annotation)
    return UsageError(
        f"{where}: the type {name} has no JSON Schema; use str, int, float, bool, None, list, dict, tuple, "
        "Literal, Enum, a TypedDict or a dataclass, or give raw_schema="
    )


def _class(annotation: type, where: str, open_: tuple[Any, ...]) -> Shape:
    if issubclass(annotation, enum.Enum):
        members = list(annotation)
        by_name = {member.name: member for member in members}
        return _choice({member.value: member for member in members}, by_name, where)
    is_typed_dict = typing.is_typeddict(annotation)
    if not is_typed_dict and not dataclasses.is_dataclass(annotation):
        raise _unsupported(annotation, where)
    if annotation in open_:
        raise UsageError(
            f"{where}: {annotation.__name__} contains itself; a function's arguments must be finite"
        )
    hints = typing.get_type_hints(annotation, include_extras=True)
    if is_typed_dict:
        names = list(hints)
        required = _required_keys(annotation, hints)
        build: Callable[..., Any] = dict
    else:
        fields = [field for field in dataclasses.fields(cast(Any, annotation)) if field.init]
        names = [field.name for field in fields]
        required = frozenset(
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        build = annotation
    inner = [
        Field(name, shape_of(hints[name], f"{where}.{name}", (*open_, annotation)), name in required)
        for name in names
    ]
    return _structure(inner, build)


def _required_keys(annotation: type, hints: dict[str, Any]) -> frozenset[str]:
    # What the class itself reports misses markers that were still texts when it was made.
    keys: set[str] = set(getattr(annotation, "__required_keys__", ()))
    for name, hint in hints.items():
        if typing.get_origin(hint) is typing.Required:
            keys.add(name)
        elif typing.get_origin(hint) is typing.NotRequired:
            keys.discard(name)
    return frozenset(keys)


# -- the kinds ------------------------------------------------------------------------------------------


def _read_any(value: Any, where: str, lenient: bool) -> Any:
    return value


def _read_none(value: Any, where: str, lenient: bool) -> None:
    if value is not None:
        raise Mismatch(f"{where!r} must be null, not {_say(value)}")


def _read_bool(value: Any, where: str, lenient: bool) -> bool:
    if isinstance(value, bool):
        return value
    if lenient and isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise Mismatch(f"{where!r} must be true or false, not {_say(value)}")


def _read_int(value: Any, where: str, lenient: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # JSON has one kind of number: 5.0 is an integer by its schema too (draft 2020-12, 6.1.1).
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if lenient and isinstance(value, str) and len(value) < 64:
        try:
            return int(value)
        except ValueError:
            pass
    raise Mismatch(f"{where!r} must be a whole number, not {_say(value)}")


def _read_float(value: Any, where: str, lenient: bool) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_digits = lenient and isinstance(value, str) and len(value) < 64
    number = _to_float(value) if is_number or is_digits else None
    if number is None or not math.isfinite(number):
        raise Mismatch(f"{where!r} must be a number, not {_say(value)}")
    return number


def _to_float(value: Any) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _read_str(value: Any, where: str, lenient: bool) -> str:
    if isinstance(value, str):
        return value
    if lenient and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise Mismatch(f"{where!r} must be a text, not {_say(value)}")


_SIMPLE: dict[Any, Shape] = {
    str: Shape({"type": "string"}, _read_str),
    int: Shape({"type": "integer"}, _read_int),
    float: Shape({"type": "number"}, _read_float),
    bool: Shape({"type": "boolean"}, _read_bool),
    None: Shape({"type": "null"}, _read_none, nullable=True),
    type(None): Shape({"type": "null"}, _read_none, nullable=True),
    Any: Shape({}, _read_any, nullable=True),
    object: Shape({}, _read_any, nullable=True),
}

_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    Sequence: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
}


def _described(shape: Shape, notes: tuple[Any, ...]) -> Shape:
    text = next((note for note in notes if isinstance(note, str)), None)
    return shape if text is None else dataclasses.replace(shape, schema={**shape.schema, "description": text})


def _union(members: list[Shape]) -> Shape:
    def read(value: Any, where: str, lenient: bool) -> Any:
        problems: list[str] = []
        for strength in (False, True) if lenient else (False,):
            for member in members:
                try:
                    return member.read(value, where, strength)
                except Mismatch as mismatch:
                    problems.append(str(mismatch))
        raise Mismatch(" or ".join(dict.fromkeys(problems)))

    simple = [member.schema for member in members if set(member.schema) == {"type"}]
    if len(simple) == len(members):
        schema: dict[str, Any] = {"type": [each["type"] for each in simple]}
    else:
        schema = {"anyOf": [member.schema for member in members]}
    return Shape(schema, read, nullable=any(member.nullable for member in members))


def _choice(values: dict[Any, Any], by_name: dict[str, Any], where: str) -> Shape:
    if not values:
        raise UsageError(f"{where}: an enumeration without values can't be chosen from")
    if not all(value is None or isinstance(value, (str, int, float, bool)) for value in values):
        raise UsageError(f"{where}: the values to choose from must be texts, numbers, booleans or None")
    folded = {str(value).casefold(): member for value, member in values.items()}
    folded_names = {name.casefold(): member for name, member in by_name.items()}

    def read(value: Any, where: str, lenient: bool) -> Any:
        for each, member in values.items():
            if each == value and isinstance(each, bool) == isinstance(value, bool):
                return member
        if lenient and isinstance(value, (str, int, float)):
            text = str(value).strip().casefold()
            for table in (folded, folded_names):
                if text in table:
                    return table[text]
        raise Mismatch(f"{where!r} must be one of {', '.join(map(_say, values))}, not {_say(value)}")

    schema: dict[str, Any] = {"enum": list(values)}
    kinds = {_JSON_TYPES[type(value)] for value in values}
    if len(kinds) == 1:
        schema = {"type": kinds.pop(), **schema}
    return Shape(schema, read, nullable=None in values)


_JSON_TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _array(item: Shape, build: Callable[[list[Any]], Any]) -> Shape:
    def read(value: Any, where: str, lenient: bool) -> Any:
        if not isinstance(value, list):
            raise Mismatch(f"{where!r} must be a list, not {_say(value)}")
        return build([item.read(each, f"{where}[{at}]", lenient) for at, each in enumerate(value)])

    unique = {"uniqueItems": True} if build in (set, frozenset) else {}
    return Shape({"type": "array", "items": item.schema, **unique}, read)


def _tuple(items: list[Shape]) -> Shape:
    def read(value: Any, where: str, lenient: bool) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise Mismatch(f"{where!r} must be a list of exactly {len(items)} values, not {_say(value)}")
        return tuple(
            item.read(each, f"{where}[{at}]", lenient)
            for at, (item, each) in enumerate(zip(items, value, strict=True))
        )

    schema = {
        "type": "array",
        "prefixItems": [item.schema for item in items],
        "items": False,
        "minItems": len(items),
        "maxItems": len(items),
    }
    return Shape(schema, read)


def _mapping(item: Shape) -> Shape:
    def read(value: Any, where: str, lenient: bool) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(f"{where!r} must be an object, not {_say(value)}")
        return {key: item.read(each, f"{where}.{key}", lenient) for key, each in value.items()}

    return Shape({"type": "object", "additionalProperties": item.schema or True}, read)


def _structure(fields: list[Field], build: Callable[..., Any]) -> Shape:
    def read(value: Any, where: str, lenient: bool) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(f"{where!r} must be an object, not {_say(value)}")
        return build(**read_fields(fields, value, f"{where}.", lenient))

    return Shape(object_schema(fields), read)


def object_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """The schema of an object with exactly these fields."""
    return {
        "type": "object",
        "properties": {field.name: field.shape.schema for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


def read_fields(
    fields: Sequence[Field], values: dict[str, Any], prefix: str = "", lenient: bool = True
) -> dict[str, Any]:
    """Read an object's fields. ``null`` for an optional field that can't be ``null`` counts as left out.

    Raises:
        Mismatch: names everything that is wrong, not only the first.
    """
    problems: list[str] = []
    result: dict[str, Any] = {}
    known = {field.name: field for field in fields}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            problems.append(f"unknown argument {prefix + name!r}{hint}")
    for field in fields:
        if field.name not in values:
            if field.required:
                kind = _kind(field.shape.schema)
                problems.append(f"missing argument {prefix + field.name!r}" + (f" ({kind})" if kind else ""))
            continue
        value = values[field.name]
        if value is None and not field.required and not field.shape.nullable:
            continue
        try:
            result[field.name] = field.shape.read(value, prefix + field.name, lenient)
        except Mismatch as mismatch:
            problems.append(str(mismatch))
    if problems:
        raise Mismatch("; ".join(problems))
    return result


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(_say, schema["enum"]))
    kind = schema.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _say(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
