"""Conversations as the API wants them, and functions as a model is held to them."""

from __future__ import annotations

import enum
import json
from typing import Any, Literal, TypedDict

import pytest

from repartee.chat import (
    AudioContent,
    ChatContext,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Message,
    RunContext,
    TextContent,
    function_tool,
)
from repartee.plugins.openai.messages import (
    NO_RESULT,
    chat_messages,
    strict_schema,
    tool_choice_param,
    tool_param,
)

CONTEXT = RunContext(session=None, call_id="c", name="f")


def test_words_of_every_kind() -> None:
    context = ChatContext(
        [
            Message.of("system", "Be kind."),
            Message("user", (AudioContent("hello", 400),)),
            Message("user", (AudioContent(None, 400),)),
            Message("assistant", (AudioContent("Hi there", 700),), interrupted=True),
            Message.of("user", "half a pair \ud83d"),
        ]
    )
    assert chat_messages(context, "Talk.") == [
        {"role": "system", "content": "Talk."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi there"},
        {"role": "user", "content": "half a pair ?"},
    ]
    assert chat_messages(ChatContext(), " ") == []


def test_pictures() -> None:
    picture = ImageContent("data:image/png;base64,AAAA", "low")
    context = ChatContext([Message("user", (TextContent("what is this"), picture))])
    assert chat_messages(context)[0]["content"] == [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    ]


def test_results_stand_behind_their_calls() -> None:
    context = ChatContext(
        [
            Message.of("user", "book and look"),
            Message.of("assistant", "One moment."),
            FunctionCall("book", '{"guests": 2}', "c1"),
            FunctionCall("look", "not json", "c2"),
            Message.of("user", "hurry"),
            FunctionCallOutput("c1", "booked"),
            FunctionCallOutput("c0", "of no call"),
        ]
    )
    _, calls, *rest = chat_messages(context)
    assert calls == {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"guests": 2}'}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        ],
    }
    assert rest == [
        {"role": "tool", "tool_call_id": "c1", "content": "booked"},
        {"role": "tool", "tool_call_id": "c2", "content": NO_RESULT},
        {"role": "user", "content": "hurry"},
    ]


def test_calls_of_two_answers_are_two_messages() -> None:
    context = ChatContext(
        [
            FunctionCall("a", "{}", "c1"),
            FunctionCallOutput("c1", "1"),
            Message.of("assistant", "And now?"),
            FunctionCall("b", "{}", "c2"),
            FunctionCallOutput("c2", "2"),
        ]
    )
    assert [(each["role"], each["content"]) for each in chat_messages(context)] == [
        ("assistant", None),
        ("tool", "1"),
        ("assistant", "And now?"),
        ("tool", "2"),
    ]


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Topping(TypedDict, total=False):
    name: str
    extra: bool


@function_tool
def order(
    dish: str,
    count: int = 1,
    size: Size = Size.SMALL,
    note: str | None = None,
    toppings: list[Topping] | None = None,
) -> str:
    """Order a dish.

    Args:
        dish: its name.
        count: how many.
    """
    return dish


def test_a_schema_to_be_held_to() -> None:
    param = tool_param(order, strict=True)["function"]
    assert (param["name"], param["description"], param["strict"]) == ("order", "Order a dish.", True)
    schema = param["parameters"]
    assert schema["required"] == ["dish", "count", "size", "note", "toppings"]
    assert schema["additionalProperties"] is False
    fields = schema["properties"]
    assert fields["dish"] == {"type": "string", "description": "its name."}
    assert fields["count"] == {"type": ["integer", "null"], "description": "how many. (default: 1)"}
    assert fields["size"]["anyOf"][1] == {"type": "null"}
    assert fields["note"]["type"] == ["string", "null"]
    assert "default" not in json.dumps(schema).replace("(default", "")


def test_null_is_read_as_left_out() -> None:
    nothing = {
        "dish": "soup",
        "count": None,
        "size": None,
        "note": None,
        "toppings": [{"name": "egg", "extra": None}],
    }
    assert order.bind(json.dumps(nothing), CONTEXT) == {
        "dish": "soup",
        "note": None,
        "toppings": [{"name": "egg"}],
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {"x": {}}, "required": ["x"]},
        {
            "type": "object",
            "properties": {"x": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}},
        },
        {"type": "object", "properties": {"x": {"type": "array"}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"type": "array", "prefixItems": [], "items": False}}},
        {
            "type": "object",
            "properties": {"x": {"type": "object", "additionalProperties": {"type": "string"}}},
        },
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {}},
        # null would mean None, and leaving it out means 5.
        {"type": "object", "properties": {"x": {"type": ["integer", "null"], "default": 5}}},
    ],
)
def test_what_no_model_can_be_held_to(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None


def test_a_function_with_its_own_schema_is_shown_as_it_is() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}

    @function_tool(raw_schema=schema)
    def raw(arguments: dict[str, Any]) -> str:
        """Take what comes."""
        return str(arguments)

    param = tool_param(raw, strict=True)["function"]
    assert param["parameters"] == schema
    assert "strict" not in param
    assert tool_param(order, strict=False)["function"]["parameters"] == order.parameters


def test_a_choice_of_values_and_nested_ones() -> None:
    @function_tool
    def f(mode: Literal["a", "b"] = "a", both: list[int] | dict[str, str] | None = None) -> str:
        """F."""
        return mode

    assert strict_schema(f.parameters) is None, "a map has no strict form"
    schema = {"type": "object", "properties": {"x": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}
    held = strict_schema(schema)
    assert held is not None
    assert held["properties"] == schema["properties"]


def test_which_function_to_call() -> None:
    assert [tool_choice_param(choice) for choice in ("auto", "none", "required")] == [
        "auto",
        "none",
        "required",
    ]
    assert tool_choice_param("order") == {"type": "function", "function": {"name": "order"}}
