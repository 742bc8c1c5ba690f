"""What clients send that is not installed here (LiveKit, Pipecat, pydantic-ai, agents-js), as their frames were told.

Each is a row: the frames, and what the client needs in return. The packages themselves drive the server where they are
installed: `tests/integration/test_server_official_clients.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from repartee.testing import call_function, elapse, virtual_time
from tests.server.talk import Talk

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
NULLS = {
    "type": "realtime",
    "tracing": None,
    "prompt": None,
    "include": None,
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "noise_reduction": None,
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
        },
        "output": {"speed": 1.0, "voice": "marin", "format": {"type": "audio/pcm", "rate": 24000}},
    },
}
LIVEKIT_VAD = {"type": "server_vad", "threshold": 0.5, "create_response": True, "idle_timeout_ms": None}


async def _speaking(talk: Talk) -> str:
    talk.say("count")
    talk.respond()
    while len(talk.client.all("response.output_audio.delta")) < 8:
        await elapse(0.005)
    return str(talk.client.last("response.output_item.added")["item"]["id"])


async def livekit_updates_with_nulls(talk: Talk) -> None:
    talk.send("session.update", session=NULLS)
    update = {"type": "realtime", "audio": {"input": {"turn_detection": LIVEKIT_VAD}}}
    talk.send("session.update", session=update, event_id="session_update_1")
    told = talk.client.last("session.updated")["session"]
    assert told["audio"]["input"]["turn_detection"]["idle_timeout_ms"] is None
    assert told["audio"]["input"]["noise_reduction"] is None
    assert len(talk.client.all("session.updated")) == 2


async def livekit_names_its_items_and_waits_for_them(talk: Talk) -> None:
    name = "item_" + "a" * 27
    assert len(name) == 32
    talk.say("hi", item_id=name, event_id="chat_ctx_create_1")
    assert talk.client.last("conversation.item.added")["item"]["id"] == name
    assert talk.client.last("conversation.item.added")["previous_item_id"] is None
    talk.say("hi", item_id=name, event_id="chat_ctx_create_2")
    assert talk.client.last("error")["error"]["code"] == "item_create_duplicate_item_id"
    talk.send("conversation.item.delete", item_id=name)
    assert talk.client.last("conversation.item.deleted")["item_id"] == name


async def livekit_knows_its_response_by_the_metadata(talk: Talk) -> None:
    done = await talk.answer("hi", metadata={"client_event_id": "response_create_1"})
    assert talk.client.last("response.created")["response"]["metadata"] == done["metadata"]
    assert done["metadata"] == {"client_event_id": "response_create_1"}


async def livekit_cancels_what_is_over(talk: Talk) -> None:
    talk.send("response.cancel", event_id="x")
    assert talk.client.last("error")["error"]["message"].startswith("Cancellation failed")


async def livekit_truncates_after_speech_and_without_a_cancel(talk: Talk) -> None:
    item_id = await _speaking(talk)
    for _ in range(2):
        talk.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=200)
    assert len(talk.client.all("conversation.item.truncated")) == 2
    assert (await talk.done())["status"] == "completed"
    assert not talk.client.all("error")


async def pydantic_ai_truncates_before_it_cancels(talk: Talk) -> None:
    item_id = await _speaking(talk)
    talk.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=200)
    talk.send("response.cancel")
    assert (await talk.done())["status"] == "cancelled"
    assert not talk.client.all("error")


async def pipecat_retrieves_at_once(talk: Talk) -> None:
    talk.send("conversation.item.retrieve", item_id="item_x", event_id="rci_item_x")
    error = talk.client.last("error")["error"]
    assert (error["code"], error["event_id"]) == ("item_retrieve_invalid_item_id", "rci_item_x")


async def pipecat_reads_only_narrow_sessions(talk: Talk) -> None:
    talk.update(
        tool_choice="auto",
        audio={"output": {"voice": {"id": "own"}}, "input": {"transcription": {"model": "x"}}},
    )
    told = talk.client.last("session.updated")["session"]
    assert told["audio"]["output"]["voice"] == "own"
    assert isinstance(told["tool_choice"], str)
    assert set(told["audio"]["input"]["transcription"]) == {"model", "language", "prompt"}
    done = await talk.answer("hi")
    assert {"status_details", "usage", "conversation_id", "metadata", "output_modalities"} <= set(done)
    for event in talk.events:
        for item in [event.get("item") or {}, *(event.get("response") or {}).get("output", [])]:
            nulls = [name for name, value in item.items() if value is None]
            assert not nulls, f"{event['type']} has {nulls} as null"


async def tool_results_before_the_response_is_done(talk: Talk) -> None:
    talk.update(tools=[TOOL])
    talk.say("look")
    talk.respond()
    while not talk.client.all("response.function_call_arguments.done"):
        await elapse(0.001)
    call = talk.client.last("response.function_call_arguments.done")
    assert call["name"] == "look"
    assert len(call["call_id"]) <= 32
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "seen"}
    talk.send("conversation.item.create", item=output)
    await talk.done()
    await elapse(0.1)
    added = [event["item"]["type"] for event in talk.client.all("conversation.item.added")]
    assert added == ["message", "function_call", "function_call_output"]
    assert (await talk.answer())["status"] == "completed"
    assert [type(item).__name__ for item in talk.llm.requests[-1].context][1:] == [
        "FunctionCall",
        "FunctionCallOutput",
    ]


async def agents_js_sends_no_empty_tools(talk: Talk) -> None:
    talk.update(tools=[TOOL])
    talk.update(instructions="Another agent.")
    assert [tool["name"] for tool in talk.client.last("session.updated")["session"]["tools"]] == ["look"]


async def every_event_has_its_id(talk: Talk) -> None:
    await talk.answer("hi")
    found = [event["event_id"] for event in talk.events]
    assert len(set(found)) == len(found)
    assert all(isinstance(each, str) for each in found)


MANNERS: list[tuple[Callable[[Talk], Any], list[Any]]] = [
    (livekit_updates_with_nulls, []),
    (livekit_names_its_items_and_waits_for_them, []),
    (livekit_knows_its_response_by_the_metadata, ["Hello."]),
    (livekit_cancels_what_is_over, []),
    (livekit_truncates_after_speech_and_without_a_cancel, ["One two three four five."]),
    (pydantic_ai_truncates_before_it_cancels, ["One two three four five six seven eight." * 5]),
    (pipecat_retrieves_at_once, []),
    (pipecat_reads_only_narrow_sessions, ["Hello."]),
    (tool_results_before_the_response_is_done, [call_function("look"), "Seen."]),
    (agents_js_sends_no_empty_tools, []),
    (every_event_has_its_id, ["Hello."]),
]


@pytest.mark.parametrize(("manner", "replies"), MANNERS, ids=[manner.__name__ for manner, _ in MANNERS])
def test_every_client_gets_what_it_needs(manner: Callable[[Talk], Any], replies: list[Any]) -> None:
    @virtual_time
    async def converse() -> None:
        async with Talk(replies=replies) as talk:
            await manner(talk)

    converse()


@virtual_time
async def test_an_update_that_comes_before_anything_was_said() -> None:
    talk = Talk(replies=["ok"])
    frame = json.dumps(
        {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}
    )
    talk.session.receive(frame, talk.client)
    async with talk:
        assert talk.client.types == ["session.created", "session.updated"]
