"""The official clients, `openai` and `openai-agents`, converse with our server role over a real socket.

They are the judges here: what they can't parse, they report or raise.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed

from repartee.protocol.events import ConversationItemTruncate, ResponseDone
from repartee.testing import ScriptedRealtimeServer, ServerManner, call_function
from repartee.testing.speech import decode
from tests.integration.official_clients import (
    AgentsTalk,
    audio_of,
    deltas,
    nothing_reported,
    on_a_socket,
    say_to,
    spoken,
    transcripts,
    types_of,
    until,
    write_to,
)

MODEL = "gpt-realtime"
SLOW = ServerManner(chunk_s=0.04)
"""So that a reply lasts long enough to be interrupted."""
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."


# ------------------------------------------------------------------------------------------------------------ openai


@asynccontextmanager
async def official(server: ScriptedRealtimeServer, *, key: str = "any", **session: Any) -> AsyncIterator[Any]:
    """A connection of the official client's, configured."""
    async with (
        AsyncOpenAI(base_url=server.base_url, api_key=key) as client,
        client.realtime.connect(model=MODEL) as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        if session:
            update: Any = {"type": "realtime", **session}
            await connection.session.update(session=update)
            assert (await connection.recv()).type == "session.updated"
        yield connection


@on_a_socket
async def test_openai_text() -> None:
    async with (
        ScriptedRealtimeServer(["Fine, thanks."]) as server,
        official(server, output_modalities=["text"], instructions="Be brief.") as connection,
    ):
        await write_to(connection, "how are you")
        await connection.response.create()
        events = await until(connection, "rate_limits.updated")
        assert types_of(events) == [
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        assert "".join(deltas(events, "response.output_text.delta")) == "Fine, thanks."
        assert events[-2].response.usage.total_tokens > 0
    assert server.requests[0][1]["authorization"] == "Bearer any"


@on_a_socket
async def test_openai_audio_with_server_vad_and_transcription() -> None:
    hears = {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": {"type": "server_vad"}}
    async with (
        ScriptedRealtimeServer() as server,
        official(server, audio={"input": hears}) as connection,
    ):
        await say_to(connection, spoken("good morning"))
        events = await until(connection, "rate_limits.updated")
        types = types_of(events)
        assert types[:3] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ]
        [transcript] = [e for e in events if e.type.endswith("transcription.completed")]
        assert transcript.transcript == "good morning"
        assert "".join(deltas(events, "response.output_audio_transcript.delta")) == "You said: good morning."
        assert [word.text for word in decode(audio_of(events), 24_000)] == [
            "You",
            "said:",
            "good",
            "morning.",
        ]
        await connection.conversation.item.retrieve(item_id=transcript.item_id)
        [item] = await until(connection, "conversation.item.retrieved")
        heard = decode(base64.b64decode(item.item.content[0].audio), 24_000)
        assert [word.text for word in heard] == ["good", "morning"]


@on_a_socket
async def test_openai_push_to_talk() -> None:
    async with (
        ScriptedRealtimeServer(["Roger."]) as server,
        official(server, audio={"input": {"turn_detection": None}}) as connection,
    ):
        await connection.input_audio_buffer.commit()
        [error] = await until(connection, "error")
        assert error.error.code == "input_audio_buffer_commit_empty"
        await say_to(connection, spoken("over", silence_ms=0))
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        events = await until(connection, "response.done")
        assert types_of(events)[0] == "input_audio_buffer.committed"
        assert events[-1].response.output[0].content[0].transcript == "Roger."


@on_a_socket
async def test_openai_function() -> None:
    tool = {
        "type": "function",
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    }
    script: list[Any] = [call_function("get_time", zone="UTC"), "It is noon."]
    async with (
        ScriptedRealtimeServer(script) as server,
        official(server, tools=[tool], output_modalities=["text"]) as connection,
    ):
        await write_to(connection, "what time is it")
        await connection.response.create()
        events = await until(connection, "response.done")
        [call] = events[-1].response.output
        assert (call.type, call.name, call.arguments) == ("function_call", "get_time", '{"zone": "UTC"}')
        assert "".join(deltas(events, "response.function_call_arguments.delta")) == call.arguments
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}
        )
        await connection.response.create()
        events = await until(connection, "response.done")
        assert events[-1].response.output[0].content[0].text == "It is noon."
    assert server.connection.questions[1].text == "12:00"


@on_a_socket
async def test_openai_interruption_by_voice() -> None:
    async with (
        ScriptedRealtimeServer([LONG, "Sorry."], manner=SLOW) as server,
        official(server) as connection,
    ):
        await say_to(connection, spoken("count please"))
        events = await until(connection, "response.output_audio.delta")
        await say_to(connection, spoken("stop", silence_ms=0))
        events += await until(connection, "response.done")
        cancelled = events[-1].response
        assert (cancelled.status, cancelled.status_details.reason) == ("cancelled", "turn_detected")
        types = types_of(events)
        assert types.index("response.output_audio.done") > types.index(
            "input_audio_buffer.speech_started", types.index("response.created")
        )
        item_id = cancelled.output[0].id
        await connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=90)
        await until(connection, "conversation.item.truncated")
        await say_to(connection, [bytes(48 * 700)])
        events = await until(connection, "response.done")
        assert "response.output_audio.delta" in types_of(events)
        assert events[-1].response.output[0].content[0].transcript == "Sorry."


@on_a_socket
async def test_openai_interruption_by_the_client() -> None:
    async with ScriptedRealtimeServer([LONG], manner=SLOW) as server, official(server) as connection:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        events = await until(connection, "response.done")
        assert events[-1].response.status_details.reason == "client_cancelled"
        await connection.response.cancel()
        events = await until(connection, "error")
        assert events[-1].error.code == "response_cancel_not_active"
        assert events[-1].error.message.startswith("Cancellation failed")


@on_a_socket
async def test_openai_out_of_band() -> None:
    async with ScriptedRealtimeServer(["greeting"]) as server, official(server) as connection:
        await connection.response.create(
            response={
                "conversation": "none",
                "metadata": {"topic": "class"},
                "output_modalities": ["text"],
                "input": [],
            }
        )
        events = await until(connection, "response.done")
        assert not any(event.type.startswith("conversation.item") for event in events)
        assert (events[-1].response.metadata, events[-1].response.conversation_id) == (
            {"topic": "class"},
            None,
        )


@on_a_socket
async def test_openai_transcription_session() -> None:
    async with (
        ScriptedRealtimeServer() as server,
        AsyncOpenAI(base_url=server.base_url, api_key="any") as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        hears: Any = {
            "transcription": {"model": "gpt-4o-transcribe"},
            "turn_detection": {"type": "server_vad"},
        }
        await connection.session.update(session={"type": "transcription", "audio": {"input": hears}})
        await say_to(connection, spoken("note this"))
        events = await until(connection, "conversation.item.input_audio_transcription.completed")
        assert events[-1].transcript == "note this"
        assert not any(event.type.startswith("response.") for event in events)


@on_a_socket
async def test_openai_wrong_key() -> None:
    async with (
        ScriptedRealtimeServer(api_key="right") as server,
        AsyncOpenAI(base_url=server.base_url, api_key="wrong") as client,
        client.realtime.connect(model=MODEL) as connection,
    ):
        error: Any = await connection.recv()
        assert error.error.code == "invalid_api_key"
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 3000


# ----------------------------------------------------------------------------------------------------- openai-agents


@pytest.fixture
def _reported(caplog: pytest.LogCaptureFixture) -> Any:
    with nothing_reported(caplog):
        yield


@asynccontextmanager
async def agents_talk(
    server: ScriptedRealtimeServer, agent: RealtimeAgent[Any] | None = None, **config: Any
) -> AsyncIterator[AgentsTalk]:
    """A session of the agents package with the server."""
    agent = agent or RealtimeAgent(name="A", instructions="Be brief.")
    settings = {"model_name": MODEL, **config.pop("settings", {})}
    url = f"{server.url}?model={MODEL}"
    model_config: Any = {"url": url, "api_key": "any", "initial_model_settings": settings, **config}
    async with await RealtimeRunner(agent).run(model_config=model_config) as session:
        yield AgentsTalk(session)


@pytest.mark.usefixtures("_reported")
@on_a_socket
async def test_agents_text() -> None:
    async with (
        ScriptedRealtimeServer(["Fine, thanks."]) as server,
        agents_talk(server, settings={"modalities": ["text"]}) as talk,
    ):
        await talk.session.send_message("how are you")
        await talk.until_said("Fine, thanks.")
        await talk.until("agent_end")
        assert transcripts(talk.session, "user") == ["how are you"]
    assert server.connection.count("error") == 0


@pytest.mark.usefixtures("_reported")
@on_a_socket
async def test_agents_audio() -> None:
    async with ScriptedRealtimeServer() as server, agents_talk(server) as talk:
        for piece in spoken("good morning"):
            await talk.session.send_audio(piece)
        await talk.until("audio_end")
        await talk.until_said("You said: good morning.")
        await talk.until_said("good morning", "user")
        assert [word.text for word in decode(talk.audio, 24_000)] == ["You", "said:", "good", "morning."]
    assert server.connection.count("error") == 0


@pytest.mark.usefixtures("_reported")
@on_a_socket
async def test_agents_tool() -> None:
    asked = []

    @function_tool
    def get_time(zone: str) -> str:
        """Tell the time."""
        asked.append(zone)
        return "12:00"

    agent = RealtimeAgent(name="A", tools=[get_time])
    script: list[Any] = [call_function("get_time", zone="UTC"), "It is noon."]
    async with ScriptedRealtimeServer(script) as server, agents_talk(server, agent) as talk:
        await talk.session.send_message("what time is it")
        ended = await talk.until("tool_end")
        assert (asked, ended.output) == (["UTC"], "12:00")
        await talk.until_said("It is noon.")
    assert [question.text for question in server.connection.questions] == ["what time is it", "12:00"]
    assert server.connection.count("error") == 0


@pytest.mark.usefixtures("_reported")
@pytest.mark.parametrize("interrupt_response", [True, False])
@on_a_socket
async def test_agents_interruption_by_voice(interrupt_response: bool) -> None:
    detection = {"type": "server_vad", "interrupt_response": interrupt_response}
    tracker = RealtimePlaybackTracker()
    async with (
        ScriptedRealtimeServer([LONG, "Sorry."], manner=SLOW) as server,
        agents_talk(server, settings={"turn_detection": detection}, playback_tracker=tracker) as talk,
    ):
        await talk.session.send_message("count please")
        first = await talk.until("audio")
        tracker.on_play_ms(first.item_id, first.content_index, 80)
        for piece in spoken("stop", silence_ms=0):
            await talk.session.send_audio(piece)
        await talk.until("audio_interrupted")
        await talk.until_raw("turn_ended")
        await talk.session.send_audio(bytes(48 * 700))
        await talk.until_said("Sorry.")
        await talk.until_raw("turn_ended")
    connection = server.connection
    truncated = [event for event in connection.received if isinstance(event, ConversationItemTruncate)]
    assert [(event.item_id, event.audio_end_ms) for event in truncated] == [(first.item_id, 80)]
    assert connection.count("conversation.item.truncated") == 1
    done: Any = [event.response for event in connection.sent if isinstance(event, ResponseDone)]
    reason = "turn_detected" if interrupt_response else "client_cancelled"
    assert [response.status for response in done] == ["cancelled", "completed"]
    assert done[0].status_details.reason == reason
    assert connection.count("error") == 0


@pytest.mark.usefixtures("_reported")
@pytest.mark.parametrize("server_interrupts", [True, False])
@on_a_socket
async def test_agents_interruption_by_the_program(server_interrupts: bool) -> None:
    detection = {"type": "server_vad", "interrupt_response": server_interrupts}
    async with (
        ScriptedRealtimeServer([LONG], manner=SLOW) as server,
        agents_talk(server, settings={"turn_detection": detection}) as talk,
    ):
        await talk.session.send_message("count please")
        await talk.until("audio")
        await talk.session.interrupt()
        await talk.until("audio_interrupted")
        await talk.until_raw("turn_ended")
    connection = server.connection
    # Where the server interrupts by itself, this client only truncates, and lets the response run on.
    [done] = [event.response for event in connection.sent if isinstance(event, ResponseDone)]
    assert done.status == ("completed" if server_interrupts else "cancelled")
    assert connection.count("conversation.item.truncated") == 1
    assert connection.count("error") == 0
