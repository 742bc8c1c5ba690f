from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.chat import FunctionTool, RunContext, function_tool, result_text, tool_table
from repartee.errors import ConfigurationError, ToolError, UsageError

if TYPE_CHECKING:
    from somewhere import Nothing  # type: ignore[import-not-found]

CONTEXT = RunContext(session=None, call_id="call_1", name="f")


@function_tool
async def book_table(
    context: RunContext, guests: int, day: Literal["today", "tomorrow"] = "today", note: str | None = None
) -> str:
    """Book a table.

    Asks the restaurant
    by itself.

    Args:
        guests: how many
            people come.
        day (str): which day.

    Returns:
        what the restaurant said.
    """
    return f"{guests} {day} {note} {context.call_id}"


def test_the_signature_and_the_docstring_make_the_schema() -> None:
    assert book_table.name == "book_table"
    assert book_table.description == "Book a table.\n\nAsks the restaurant by itself."
    assert book_table.parameters == {
        "type": "object",
        "properties": {
            "guests": {"type": "integer", "description": "how many people come."},
            "day": {
                "type": "string",
                "enum": ["today", "tomorrow"],
                "default": "today",
                "description": "which day.",
            },
            "note": {"type": ["string", "null"], "default": None},
        },
        "required": ["guests"],
        "additionalProperties": False,
    }


def test_bind_gives_what_the_function_is_called_with() -> None:
    assert book_table.bind('{"guests": "4"}', CONTEXT) == {"guests": 4, "context": CONTEXT}
    assert book_table.bind('{"guests": 4, "day": null, "note": null}', CONTEXT) == {
        "guests": 4,
        "note": None,  # null is a value of it; of "day" it is not, so there it means left out
        "context": CONTEXT,
    }


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ("{}", r"missing argument 'guests' \(integer\)"),
        ("", "missing argument 'guests'"),
        ('{"guests": 2, "dy": "today"}', "unknown argument 'dy', did you mean 'day'"),
        ('{"guests": "many", "day": "monday"}', "'guests' must be a whole number.*'day' must be one of"),
        ('{"guests": 2', "must be one JSON object"),
        ("[2]", "one JSON object, not a list"),
        ("null", "one JSON object, not a NoneType"),
        ('{"guests": NaN}', "NaN is not a JSON value"),
        ("[" * 100_000, "one JSON object"),
        ('{"guests": ' + "9" * 10_000 + "}", "one JSON object"),
        ('{"context": {}, "guests": 1}', "unknown argument 'context'"),
    ],
)
def test_the_model_is_told_what_is_wrong(arguments: str, reason: str) -> None:
    with pytest.raises(ToolError, match=f"^book_table was not called: .*{reason}"):
        book_table.bind(arguments, CONTEXT)


@given(st.text())
def test_any_text_is_bound_or_refused(arguments: str) -> None:
    try:
        bound = book_table.bind(arguments, CONTEXT)
    except ToolError:
        return
    assert isinstance(bound["guests"], int)


@given(
    guests=st.integers(),
    day=st.sampled_from(["today", "tomorrow"]),
    note=st.none() | st.text(),
)
def test_what_fits_arrives_unchanged(guests: int, day: str, note: str | None) -> None:
    sent = {"guests": guests, "day": day, "note": note}
    assert book_table.bind(json.dumps(sent), CONTEXT) == {**sent, "context": CONTEXT}


def test_calling_the_tool_calls_the_function() -> None:
    assert asyncio.run(book_table(CONTEXT, 2)) == "2 today None call_1"


# -- functions of other kinds --------------------------------------------------------------------------------------


NO_JSON = object()


class Kitchen:
    def __init__(self, stock: int) -> None:
        self.stock = stock

    @function_tool
    async def take(self, count: int) -> int:
        """Take eggs."""
        self.stock -= count
        return self.stock

    @staticmethod
    @function_tool
    def open_door() -> None:
        """Open the door."""

    @function_tool
    def left(self) -> int:
        """Count eggs."""
        return self.stock


def test_a_method_belongs_to_its_instance() -> None:
    one, other = Kitchen(10), Kitchen(20)
    assert asyncio.run(one.take(**one.take.bind('{"count": 3}', CONTEXT))) == 7
    assert other.left() == 20
    assert one.take.is_async
    assert not one.left.is_async
    assert Kitchen.open_door.bind("{}", CONTEXT) == {}
    with pytest.raises(UsageError, match=r"take is a method: .*thing\.take"):
        Kitchen.take.bind('{"count": 3}', CONTEXT)
    with pytest.raises(ConfigurationError, match="take is a method"):
        tool_table([Kitchen.take])


def test_a_bound_method_can_be_wrapped() -> None:
    class Plain:
        def look(self, where: str) -> str:
            return where

    tool = function_tool(Plain().look)
    assert list(tool.parameters["properties"]) == ["where"]
    assert tool.function(**tool.bind('{"where": "here"}', CONTEXT)) == "here"
    assert not tool.is_async


def test_a_decorated_function_keeps_its_signature() -> None:
    def logged(function: Any) -> Any:
        @functools.wraps(function)
        async def inner(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return inner

    @function_tool
    @logged
    async def look(where: str) -> str:
        """Look."""
        return where

    assert list(look.parameters["properties"]) == ["where"]
    assert look.is_async


def test_an_object_that_is_called_like_a_function() -> None:
    class Look:
        """Look around."""

        async def __call__(self, where: str) -> str:
            return where

    tool = function_tool(name="look")(Look())
    assert (tool.name, tool.description, tool.is_async) == ("look", "Look around.", True)
    assert list(tool.parameters["properties"]) == ["where"]


def test_types_of_an_enclosing_function_are_found() -> None:
    class Size(enum.Enum):
        BIG = "big"

    def make() -> FunctionTool:
        @function_tool
        def pick(size: Size = Size.BIG) -> Size:
            """Pick."""
            return size

        return pick

    # Only types that the function itself uses are in its closure; an annotation alone is not.
    with pytest.raises(UsageError, match="annotations can't be resolved"):
        make()


def test_a_return_type_for_the_type_checker_only_does_no_harm() -> None:
    @function_tool
    def nothing() -> Nothing:
        """Do nothing."""

    assert nothing.parameters["properties"] == {}


# -- options -------------------------------------------------------------------------------------------------------


def test_options_override_what_is_derived() -> None:
    @function_tool(
        name="weather", description="Tell the weather.", examples=["how is it in {place}"], timeout_s=2
    )
    def get(place: Annotated[str, "a town"]) -> str:
        """Not this."""
        return place

    assert (get.name, get.description, get.timeout_s) == ("weather", "Tell the weather.", 2)
    assert get.examples == ("how is it in {place}",)
    assert get.parameters["properties"]["place"] == {"type": "string", "description": "a town"}


def test_without_a_docstring_the_name_describes_it() -> None:
    @function_tool
    def find_the_key() -> None:
        pass

    assert find_the_key.description == "Find the key"


def test_a_default_that_json_can_not_carry_is_left_out() -> None:
    class Size(enum.Enum):
        BIG = "big"

    def pick(size: Any = Size.BIG, when: Any = NO_JSON) -> None: ...

    properties = function_tool(pick).parameters["properties"]
    assert properties == {"size": {"default": "big"}, "when": {}}


def test_a_raw_schema_is_given_to_the_model_as_it_is() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 3}},
        "required": ["a"],
        "additionalProperties": False,
    }

    @function_tool(raw_schema=schema)
    def raw(values: dict[str, Any], context: RunContext) -> Any:
        """Take it raw."""
        return values

    assert raw.parameters is schema
    assert raw.bind('{"a": "x"}', CONTEXT) == {"values": {"a": "x"}, "context": CONTEXT}
    with pytest.raises(ToolError, match="missing argument 'a'; unknown argument 'b'"):
        raw.bind('{"b": 1}', CONTEXT)


def test_a_raw_schema_may_allow_others() -> None:
    tool = function_tool(raw_schema={"type": "object"})(lambda_taking_a_dict)
    assert tool.bind('{"b": 1}', CONTEXT) == {"values": {"b": 1}}


def lambda_taking_a_dict(values: dict[str, Any]) -> None: ...


def no_annotation(city) -> None: ...  # type: ignore[no-untyped-def]


def many(*cities: str) -> None: ...


def keywords(**cities: str) -> None: ...


def positional(city: str, /) -> None: ...


def impossible(city: bytes) -> None: ...


def twice(a: RunContext, b: RunContext) -> None: ...


def unknown(a: Nothing) -> None: ...


@pytest.mark.parametrize(
    "function, reason",
    [
        (no_annotation, "the parameter city needs an annotation"),
        (many, r"\*cities can't be described"),
        (keywords, r"\*cities can't be described"),
        (positional, "city is positional-only"),
        (impossible, r"impossible\(city\): the type bytes has no JSON Schema"),
        (twice, "two parameters are RunContext"),
        (unknown, "annotations can't be resolved"),
        (staticmethod(many), "put @staticmethod or @classmethod above"),
        (5, "takes a function, not int"),
        (lambda: None, "the tool name '<lambda>'"),
    ],
)
def test_a_bad_definition_says_what_would_be_right(function: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        function_tool(function)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"name": "a b"}, "the tool name 'a b'"),
        ({"name": ""}, "the tool name ''"),
        ({"name": "a" * 65}, "1 to 64 letters"),
        ({"timeout_s": 0}, "timeout_s must be above 0"),
        ({"timeout_s": float("nan")}, "timeout_s must be above 0"),
        ({"examples": ["in {town}"]}, "'in {town}' has a slot that is no parameter: 'town'"),
        ({"raw_schema": {"type": "string"}}, "raw_schema"),
    ],
)
def test_a_bad_option_says_what_would_be_right(options: dict[str, Any], reason: str) -> None:
    def look(city: str) -> None: ...

    with pytest.raises(UsageError, match=reason):
        function_tool(**options)(look)


# -- results and tables --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Report:
    degrees: float
    when: datetime.date
    seen: set[int]


class Kind(enum.Enum):
    A = "a"


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "done"),
        ("as it is", "as it is"),
        ("", ""),
        (Kind.A, "a"),
        (3, "3"),
        (True, "true"),
        ([1, None, "ü"], '[1, null, "ü"]'),
        (Report(1.5, datetime.date(2026, 1, 2), {3}), '{"degrees": 1.5, "when": "2026-01-02", "seen": [3]}'),
        ({Kind.A: (1, 2), 3: Kind.A}, '{"a": [1, 2], "3": "a"}'),
        ([object], "[\"<class 'object'>\"]"),
    ],
)
def test_a_result_becomes_text(value: Any, text: str) -> None:
    assert result_text(value) == text


def test_tools_are_known_by_their_names() -> None:
    assert tool_table([book_table, Kitchen.open_door]) == {
        "book_table": book_table,
        "open_door": Kitchen.open_door,
    }


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two tools are called 'book_table'"):
        tool_table([book_table, book_table])


def test_a_plain_function_is_no_tool() -> None:
    with pytest.raises(ConfigurationError, match="many is not a function tool: decorate it"):
        tool_table([many])
