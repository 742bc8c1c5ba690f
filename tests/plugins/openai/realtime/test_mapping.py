"""Items, tools and usage: ours and the protocol's."""

from __future__ import annotations

from repartee.chat import (
    AudioContent,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Message,
    TextContent,
    function_tool,
)
from repartee.models import Usage
from repartee.models.wire import item_of
from repartee.plugins.openai.realtime.mapping import (
    status_of,
    tool_choice_of,
    tools_of,
    usage_of,
    wire_item,
)
from repartee.protocol import items as wire
from repartee.protocol import responses
from repartee.protocol.model import UNSET, to_raw


def test_speech_goes_as_its_words() -> None:
    user = to_raw(wire_item(Message("user", (AudioContent("hi", 400),), "item_1")))
    assert user["content"] == [{"type": "input_text", "text": "hi"}]
    agent = to_raw(wire_item(Message("assistant", (AudioContent("hello", 900),), "item_2")))
    assert agent["content"] == [{"type": "output_text", "text": "hello"}]


def test_speech_without_words_goes_as_itself() -> None:
    item = Message("user", (AudioContent(None),), "item_1")
    assert to_raw(wire_item(item, b"\0\0"))["content"] == [{"type": "input_audio", "audio": "AAA="}]
    assert to_raw(wire_item(item))["content"] == []


def test_items_there_and_back() -> None:
    message = Message(
        "user", (TextContent("See:"), ImageContent("https://example.org/a.png", "high")), "item_1"
    )
    call = FunctionCall("f", '{"a":1}', "call_1", "item_2")
    output = FunctionCallOutput("call_1", "2", id="item_3")
    for item in (message, call, output):
        assert item_of(wire_item(item), item.id) == item


def test_long_call_ids_still_match() -> None:
    call_id = "call_of_another_provider_0123456789abcdef"
    call = to_raw(wire_item(FunctionCall("f", "{}", call_id)))
    output = to_raw(wire_item(FunctionCallOutput(call_id, "2")))
    assert call["call_id"] == output["call_id"]
    assert len(call["call_id"]) <= 32


def test_what_the_server_says() -> None:
    spoken = wire.Message(role="assistant", status="incomplete", content=[wire.OutputAudio(transcript="Hel")])
    item = item_of(spoken, "mine")
    assert isinstance(item, Message)
    assert (item.id, item.text, item.status, item.interrupted) == ("mine", "Hel", "incomplete", True)
    assert item_of(wire.Message(role="user", content=[wire.InputAudio(transcript=None)]), "u") == Message(
        "user", (AudioContent(None),), "u"
    )


def test_tools() -> None:
    @function_tool
    async def add(a: int) -> int:
        """Add one."""
        return a + 1

    [tool] = map(to_raw, tools_of([add]))
    assert (tool["type"], tool["name"], tool["description"]) == ("function", "add", "Add one.")
    assert tool_choice_of("required") == "required"
    assert to_raw(tool_choice_of("add")) == {"type": "function", "name": "add"}


def test_usage() -> None:
    assert usage_of(UNSET) == usage_of(None) == Usage()
    usage = responses.Usage(
        input_tokens=10,
        output_tokens=20,
        input_token_details=responses.InputTokenDetails(cached_tokens=3, audio_tokens=4),
        output_token_details=responses.OutputTokenDetails(audio_tokens=5),
    )
    assert usage_of(usage) == Usage(10, 20, 3, 4, 5)


def test_how_a_response_ended() -> None:
    assert status_of(responses.Response(status="completed")) == ("completed", "", None)
    assert status_of(responses.Response(status="in_a_way")) == ("completed", "", None)
    details = responses.StatusDetails(type="cancelled", reason="turn_detected")
    cut = responses.Response(status="cancelled", status_details=details)
    assert status_of(cut) == ("cancelled", "turn_detected", None)
    error = responses.ResponseError(code="overloaded", message="no")
    failed = responses.Response(status="failed", status_details=responses.StatusDetails(error=error))
    assert status_of(failed) == ("failed", "overloaded", error)
