from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Optional, Required, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.chat.schema import Mismatch, shape_of
from repartee.errors import UsageError


class Colour(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: float = 1.5
    tags: list[str] = dataclasses.field(default_factory=list)
    length: float = dataclasses.field(init=False, default=0.0)


class Options(TypedDict, total=False):
    size: Required[int]
    note: str


class Strict(TypedDict):
    size: int
    note: NotRequired[str]


@dataclasses.dataclass
class Tree:
    children: list[Tree]


def read(annotation: Any, value: Any, lenient: bool = True) -> Any:
    return shape_of(annotation, "f(x)").read(value, "x", lenient)


@pytest.mark.parametrize(
    "annotation, schema",
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object", "additionalProperties": True}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (int | None, {"type": ["integer", "null"]}),
        (Optional[str], {"type": ["string", "null"]}),  # noqa: UP045 - the older spelling must work too
        (
            list[int] | str,
            {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]},
        ),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"type": "string", "enum": ["red", "dark blue"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (Annotated[int, "how many"], {"type": "integer", "description": "how many"}),
        (Annotated[int, 5], {"type": "integer"}),
    ],
)
def test_schema(annotation: Any, schema: dict[str, Any]) -> None:
    assert shape_of(annotation, "f(x)").schema == schema


def test_a_pair_is_a_list_of_exactly_two() -> None:
    schema = shape_of(tuple[int, str], "f(x)").schema
    assert (schema["minItems"], schema["maxItems"], schema["items"]) == (2, 2, False)
    assert read(tuple[int, str], [1, "a"]) == (1, "a")
    with pytest.raises(Mismatch, match="exactly 2 values"):
        read(tuple[int, str], [1])


def test_a_dataclass_is_an_object_without_others() -> None:
    schema = shape_of(Point, "f(x)").schema
    assert list(schema["properties"]) == ["x", "y", "tags"]  # not the field that can't be given
    assert schema["required"] == ["x"]
    assert schema["additionalProperties"] is False
    assert read(Point, {"x": 3}) == Point(3)
    assert read(list[Point], [{"x": 3, "y": 2}]) == [Point(3, 2.0)]
    with pytest.raises(Mismatch, match=r"unknown argument 'x\.z'"):
        read(Point, {"x": 3, "z": 1})


@pytest.mark.parametrize("annotation", [Options, Strict])
def test_a_typed_dict_knows_what_it_requires(annotation: Any) -> None:
    # Also where annotations are texts, as in this module: then the class itself can't tell.
    assert shape_of(annotation, "f(x)").schema["required"] == ["size"]
    assert read(annotation, {"size": 1}) == {"size": 1}
    with pytest.raises(Mismatch, match=r"missing argument 'x\.size' \(integer\)"):
        read(annotation, {"note": "a"})


@pytest.mark.parametrize(
    "annotation, sent, value",
    [
        (int, "5", 5),
        (int, 5.0, 5),
        (float, 5, 5.0),
        (float, "2.5", 2.5),
        (bool, "True", True),
        (str, 5, "5"),
        (Colour, "RED", Colour.RED),
        (Colour, "Dark Blue", Colour.DARK_BLUE),
        (Colour, "DARK_BLUE", Colour.DARK_BLUE),
        (Level, "2", Level.HIGH),
        (Literal["a", "b"], " A ", "a"),
        (set[int], [1, 1], {1}),
        (int | str, "5", "5"),  # exactly a text, so it stays one
        (int | bool, True, True),
        (int | None, "5", 5),
        (dict[str, int], {"a": "1"}, {"a": 1}),
    ],
)
def test_what_can_only_mean_one_thing_is_taken(annotation: Any, sent: Any, value: Any) -> None:
    result = read(annotation, sent)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "annotation, sent, reason",
    [
        (int, 5.5, "whole number, not 5.5"),
        (int, True, "whole number, not true"),
        (int, None, "whole number, not null"),
        (int, "five", "whole number, not 'five'"),
        (float, "nan", "must be a number"),
        (float, 10**400, "must be a number"),
        (float, "1" * 100, "must be a number"),
        (bool, 1, "true or false, not 1"),
        (str, True, "a text, not true"),
        (str, ["a"], "a text"),
        (None, 0, "null, not 0"),
        (list[int], "1", "must be a list"),
        (list[int], [1, "b"], r"'x\[1\]' must be a whole number"),
        (dict[str, int], [1], "must be an object"),
        (dict[str, int], {"a": "b"}, r"'x\.a' must be a whole number"),
        (Point, [], "must be an object"),
        (Colour, "green", "one of 'red', 'dark blue', not 'green'"),
        (Literal[1, 2], True, "one of 1, 2, not true"),
        (Literal["a"], [], "one of 'a'"),
        (int | None, "x", "whole number"),
    ],
)
def test_the_model_is_told_what_would_be_right(annotation: Any, sent: Any, reason: str) -> None:
    with pytest.raises(Mismatch, match=reason):
        read(annotation, sent)


def test_reading_exactly_takes_no_substitutes() -> None:
    with pytest.raises(Mismatch):
        read(int, "5", lenient=False)
    with pytest.raises(Mismatch):
        read(int | bool, "5", lenient=False)


@pytest.mark.parametrize(
    "annotation, reason",
    [
        (bytes, "bytes has no JSON Schema"),
        (object(), "has no JSON Schema"),
        (dict[int, str], "keys of a JSON object are texts"),
        (Tree, "Tree contains itself"),
        (Literal[b"a"], "texts, numbers, booleans or None"),
        (enum.Enum("Empty", {}), "without values"),
        (list[bytes], "bytes has no JSON Schema"),
    ],
)
def test_what_json_can_not_carry_is_refused_when_defined(annotation: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        shape_of(annotation, "f(x)")


_LEAVES = st.sampled_from(
    [
        (str, st.text(max_size=5)),
        (int, st.integers()),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (bool, st.booleans()),
        (None, st.none()),
        (Literal["a", 2, None], st.sampled_from(["a", 2, None])),
    ]
)


Kind = tuple[Any, st.SearchStrategy[Any]]


def _of(container: Any, *arguments: Any) -> Any:
    return container[arguments]


def _nest(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    return st.one_of(
        inner.map(lambda kind: (_of(list, kind[0]), st.lists(kind[1], max_size=3))),
        inner.map(lambda kind: (_of(dict, str, kind[0]), st.dictionaries(st.text(max_size=3), kind[1]))),
        st.tuples(inner, inner).map(
            lambda two: (_of(tuple, two[0][0], two[1][0]), st.tuples(two[0][1], two[1][1]))
        ),
        inner.map(lambda kind: (_of(Union, kind[0], None), st.none() | kind[1])),
    )


@given(st.data())
def test_every_value_of_a_type_comes_back_from_its_json(data: st.DataObject) -> None:
    annotation, values = data.draw(st.recursive(_LEAVES, _nest, max_leaves=4))
    value = data.draw(values)
    shape = shape_of(annotation, "f(x)")
    assert shape.read(json.loads(json.dumps(value)), "x", True) == value
    json.dumps(shape.schema)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_whatever_a_model_sends_is_read_or_refused(value: Any) -> None:
    for annotation in _ANNOTATIONS:
        with contextlib.suppress(Mismatch):  # nothing else may come
            read(annotation, value)


_ANNOTATIONS: list[Any] = [
    int, float, str, bool, Point, Options, Colour, Literal["a", 1], list[int] | None, tuple[int, str],
]  # fmt: skip
