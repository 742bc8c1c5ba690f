"""The protocol's items, tools and choices as ours."""

from __future__ import annotations

import pytest

from repartee.chat import AudioContent, FunctionCall, FunctionCallOutput, ImageContent, Message, TextContent
from repartee.errors import StateError
from repartee.models.wire import choice_of, declared_tools, item_of
from repartee.protocol import items as wire
from repartee.protocol.tools import FunctionTool, McpTool, ToolChoice


def test_a_message_keeps_words_pictures_and_how_it_ended() -> None:
    said = wire.Message(
        id="x",
        role="user",
        content=[
            wire.InputText(text="look"),
            wire.InputAudio(transcript=None),
            wire.InputImage(image_url="data:,", detail="low"),
        ],
    )
    assert item_of(said, "mine") == Message(
        "user", (TextContent("look"), AudioContent(None), ImageContent("data:,", "low")), "mine"
    )
    cut = wire.Message(role="assistant", status="incomplete", content=[wire.OutputAudio(transcript="Hel")])
    assert item_of(cut, "a") == Message("assistant", (AudioContent("Hel"),), "a", "incomplete", True)


def test_calls_and_outputs_keep_their_call_id() -> None:
    call = item_of(wire.FunctionCall(call_id="call_1", name="f", arguments="{}"), "i1")
    assert call == FunctionCall("f", "{}", "call_1", "i1")
    output = item_of(wire.FunctionCallOutput(call_id="call_1", output="4"), "i2")
    assert output == FunctionCallOutput("call_1", "4", id="i2")


def test_what_has_no_counterpart_is_nothing() -> None:
    assert item_of(wire.McpListTools(server_label="x", tools=[]), "i") is None


def test_only_named_functions_are_declared_and_they_run_at_the_client() -> None:
    tools = declared_tools(
        [
            FunctionTool(name="f", parameters={"type": "object", "properties": {"a": {"type": "string"}}}),
            FunctionTool(name=None, description="nameless"),
            McpTool(server_label="remote", server_url="https://mcp.test"),
            FunctionTool(name="g", description=None),
        ]
    )
    assert [tool.name for tool in tools] == ["f", "g"]
    assert tools[0].parameters["properties"] == {"a": {"type": "string"}}
    assert tools[1].parameters == {"type": "object", "properties": {}}
    with pytest.raises(StateError, match="runs at the client"):
        tools[0](a="x")


def test_a_choice_is_a_word_or_a_name() -> None:
    assert choice_of("none") == "none"
    assert choice_of(ToolChoice(type="function", name="f")) == "f"
    assert choice_of(ToolChoice(type="mcp", server_label="remote")) == "required"
