"""The official clients, `openai` and `openai-agents`, converse with the running server on real sockets.

What is served is composed of scripted parts, so each answer, and what the model remembers, is known to the word.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import pytest
from agents import function_tool as agents_tool
from agents.realtime import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed

from repartee.chat import FunctionCallOutput, function_tool
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.server import app
from repartee.server.options import ServerOptions
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD, call_function
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
from tests.server.serving import serving

MODEL = "gpt-realtime"
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
TOOL = {
    "type": "function",
    "name": "get_time",
    "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
}
ADDED = ["conversation.item.added", "conversation.item.done"]
MESSAGE = ["response.output_item.added", "conversation.item.added", "response.content_part.added"]
TEXT_TAIL = [
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
AUDIO_TAIL = ["response.output_audio.done", "response.output_audio_transcript.done", *TEXT_TAIL[1:]]
PUSH_TO_TALK = {"input": {"turn_detection": None}}


class House:
    """A running server, and the model behind it."""

    def __init__(self, replies: list[Any], *, slow: bool = False, tools: tuple[Any, ...] = ()) -> None:
        self.llm = ScriptedLLM(replies)
        tts = ScriptedTTS(ms_per_word=100, first_chunk_s=0.01, chunk_s=0.08 if slow else 0.001)
        model = Spoken(Transcribed(Conversing(self.llm), ScriptedSTT(final_lag_s=0.01)), tts)
        self.served = Served.of(model, name="scripted", vad=ScriptedVAD(), tools=tools)
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, key: str = "any") -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.base_url, api_key=key)

    @property
    def remembered(self) -> list[tuple[str, str]]:
        """What the model was given last: roles and words."""
        return [(each.role, each.text) for each in self.llm.requests[-1].context.messages]


@asynccontextmanager
async def house(
    *replies: Any, slow: bool = False, keys: tuple[str, ...] = (), tools: tuple[Any, ...] = (), **options: Any
) -> AsyncIterator[House]:
    """A server that gives these replies."""
    made = House(list(replies), slow=slow, tools=tools)
    async with serving(app(made.served, options=ServerOptions(**options), api_keys=keys)) as server:
        made.port = server.port
        yield made


@asynccontextmanager
async def official(house: House, *, key: str = "any", **session: Any) -> AsyncIterator[Any]:
    """A connection of the official client's, configured."""
    async with house.client(key) as client, client.realtime.connect(model=MODEL) as connection:
        assert (await connection.recv()).type == "session.created"
        if session:
            update: Any = {"type": "realtime", **session}
            await connection.session.update(session=update)
            updated = await connection.recv()
            assert updated.type == "session.updated", updated
        yield connection


def once(events: list[Any]) -> list[str]:
    """Types of events, runs of one type as one."""
    return [kind for kind, _ in groupby(types_of(events))]


async def nothing_more(connection: Any) -> None:
    """See that the server has nothing to say: the next event is the answer to this."""
    await connection.send({"type": "conversation.item.retrieve", "item_id": "none", "event_id": "nothing"})
    event = await connection.recv()
    assert (event.type, event.error.event_id) == ("error", "nothing")


# ------------------------------------------------------------------------------------------------------------ openai


@on_a_socket
async def test_text_in_order_g3() -> None:
    async with house("Fine, thanks.") as server, official(server, output_modalities=["text"]) as connection:
        await write_to(connection, "how are you")
        await connection.response.create()
        events = await until(connection, "rate_limits.updated")
        assert once(events) == [
            *ADDED,
            "response.created",
            *MESSAGE,
            "response.output_text.delta",
            *TEXT_TAIL,
        ]
        assert "".join(deltas(events, "response.output_text.delta")) == "Fine, thanks."
        assert events[-2].response.usage.total_tokens > 0
        assert server.remembered == [("user", "how are you")]
        await nothing_more(connection)


@on_a_socket
async def test_voice_in_order_g2_with_the_words_of_both() -> None:
    hears = {"transcription": {"model": "any"}, "turn_detection": {"type": "server_vad"}}
    async with (
        house("Good morning to you.") as server,
        official(server, audio={"input": hears}) as connection,
    ):
        await say_to(connection, spoken("good morning"))
        events = await until(connection, "rate_limits.updated")
        heard = "conversation.item.input_audio_transcription."
        assert once([e for e in events if not e.type.startswith(heard)]) == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            *ADDED,
            "response.created",
            *MESSAGE,
            *once([e for e in events if e.type.endswith((".output_audio.delta", "_audio_transcript.delta"))]),
            *AUDIO_TAIL,
        ]
        assert "".join(deltas(events, f"{heard}delta")) == "good morning"
        [transcript] = [e for e in events if e.type == f"{heard}completed"]
        assert transcript.transcript == "good morning"
        assert "".join(deltas(events, "response.output_audio_transcript.delta")) == "Good morning to you."
        assert [word.text for word in decode(audio_of(events), 24_000)] == ["Good", "morning", "to", "you."]
        await connection.conversation.item.retrieve(item_id=transcript.item_id)
        [item] = await until(connection, "conversation.item.retrieved")
        found = decode(base64.b64decode(item.item.content[0].audio), 24_000)
        assert [word.text for word in found] == ["good", "morning"]


@on_a_socket
async def test_manual_commit_in_order_g4() -> None:
    async with house("Roger.") as server, official(server, audio=PUSH_TO_TALK) as connection:
        await connection.input_audio_buffer.commit()
        [error] = await until(connection, "error")
        assert error.error.code == "input_audio_buffer_commit_empty"
        await say_to(connection, spoken("over", silence_ms=0))
        await connection.input_audio_buffer.commit()
        events = await until(connection, "conversation.item.done")
        assert types_of(events) == ["input_audio_buffer.committed", *ADDED]
        await nothing_more(connection)  # a commit starts no response by itself
        await connection.response.create()
        events = await until(connection, "rate_limits.updated")
        assert types_of(events)[:4] == ["response.created", *MESSAGE]
        assert types_of(events)[-7:] == AUDIO_TAIL
        assert server.remembered == [("user", "over")]


@on_a_socket
async def test_function_in_order_g5() -> None:
    script = [call_function("get_time", zone="UTC"), "It is noon."]
    async with (
        house(*script) as server,
        official(server, tools=[TOOL], output_modalities=["text"]) as connection,
    ):
        await write_to(connection, "what time is it")
        await connection.response.create()
        events = await until(connection, "rate_limits.updated")
        assert once(events) == [
            *ADDED,
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        [call] = events[-2].response.output
        assert (call.type, call.name, call.arguments) == ("function_call", "get_time", '{"zone": "UTC"}')
        assert "".join(deltas(events, "response.function_call_arguments.delta")) == call.arguments
        await nothing_more(connection)  # nor does a function's call
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}
        await connection.conversation.item.create(item=output)
        await connection.response.create()
        events = await until(connection, "response.done")
        assert events[-1].response.output[0].content[0].text == "It is noon."
        [result] = [each for each in server.llm.requests[-1].context if isinstance(each, FunctionCallOutput)]
        assert (result.call_id, result.output) == (call.call_id, "12:00")


@on_a_socket
async def test_a_function_on_the_server_and_its_words_are_one_response() -> None:
    @function_tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    async with (
        house(call_function("add", a=17, b=25), "Forty-two.", tools=(add,)) as server,
        official(server, output_modalities=["text"]) as connection,
    ):
        await write_to(connection, "what is 17 plus 25")
        await connection.response.create()
        events = await until(connection, "response.done")
        call, message = events[-1].response.output
        assert (call.type, call.output) == ("mcp_call", "42")
        assert message.content[0].text == "Forty-two."


@on_a_socket
async def test_cancel_and_truncate_in_order_g6_leave_the_words_heard() -> None:
    async with house(LONG, "Going on.", slow=True) as server, official(server) as connection:
        await write_to(connection, "count")
        await connection.response.create()
        events: list[Any] = []
        while len(audio_of(events)) < 48 * 400:
            events += await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        tail = await until(connection, "rate_limits.updated")
        events += tail
        assert types_of(tail)[-7:] == AUDIO_TAIL
        assert set(types_of(tail)[:-7]) <= {
            "response.output_audio.delta",
            "response.output_audio_transcript.delta",
        }
        done = tail[-2].response
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
        assert done.output[0].status == "incomplete"
        await connection.conversation.item.truncate(
            item_id=done.output[0].id, content_index=0, audio_end_ms=220
        )
        [truncated] = await until(connection, "conversation.item.truncated")
        assert truncated.audio_end_ms == 220
        await write_to(connection, "go on")
        await connection.response.create(response={"output_modalities": ["text"]})
        await until(connection, "response.done")
        assert server.remembered == [("user", "count"), ("assistant", "One two"), ("user", "go on")]


@on_a_socket
async def test_the_voice_interrupts_in_order_g6() -> None:
    async with house(LONG, "Sorry.", slow=True) as server, official(server) as connection:
        await write_to(connection, "count")
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await say_to(connection, spoken("stop that"))
        events = await until(connection, "response.done")
        types = types_of(events)
        assert types[types.index("input_audio_buffer.speech_started") + 1 :] == AUDIO_TAIL[:-1]
        assert events[-1].response.status_details.reason == "turn_detected"
        item_id = events[-1].response.output[0].id
        await connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=90)
        events = await until(connection, "response.done")
        assert "conversation.item.truncated" in types_of(events)
        assert events[-1].response.output[0].content[0].transcript == "Sorry."
        await write_to(connection, "well")
        await connection.response.create(response={"output_modalities": ["text"]})
        await until(connection, "response.done")
        said = [text for role, text in server.remembered if role == "assistant"]
        assert len(said[0].split()) <= 1
        assert said[-1] == "Sorry."


ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "scooby.dooby.doo"}, "invalid_value", "type"),
    ({}, "invalid_event", ""),
    (
        {"type": "session.update", "session": {"type": "realtime", "foo": 1}},
        "unknown_parameter",
        "session.foo",
    ),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", ""),
    ({"type": "response.cancel"}, "response_cancel_not_active", ""),
    (
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1},
        "item_truncate_invalid_item_id",
        "item_id",
    ),
    ({"type": "conversation.item.delete", "item_id": "yo"}, "item_delete_invalid_item_id", ""),
    ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_retrieve_invalid_item_id", "item_id"),
    (
        {
            "type": "conversation.item.create",
            "previous_item_id": "x",
            "item": {"type": "message", "role": "user", "content": []},
        },
        "item_create_invalid_previous_item_id",
        "previous_item_id",
    ),
    (
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "id": "i" * 39, "role": "user", "content": []},
        },
        "string_above_max_length",
        "item.id",
    ),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
]


@on_a_socket
async def test_errors_of_section_h() -> None:
    async with house("One two three.", slow=True) as server, official(server) as connection:
        for number, (event, code, param) in enumerate(ERRORS):
            await connection.send({**event, "event_id": f"mine_{number}"})
            [error] = await until(connection, "error")
            found = error.error
            assert (found.code, found.param or "", found.event_id) == (code, param, f"mine_{number}"), event
            assert found.type == "invalid_request_error"
            assert found.message
        item: Any = {"type": "message", "id": "twice", "role": "user", "content": []}
        await connection.conversation.item.create(item=item)
        await connection.conversation.item.create(item=item)
        events = await until(connection, "error")
        assert events[-1].error.code == "item_create_duplicate_item_id"
        await connection.response.create()
        await connection.response.create()
        events = await until(connection, "error")
        assert events[-1].error.code == "conversation_already_has_active_response"
        events += await until(connection, "response.done")
        response = events[-1].response
        assert response.status == "completed"
        await connection.session.update(
            session={"type": "realtime", "tools": [TOOL], "audio": {"output": {"voice": "cedar"}}}
        )
        events = await until(connection, "error")
        assert events[-1].error.code == "cannot_update_voice"
        await connection.conversation.item.truncate(
            item_id=response.output[0].id, content_index=0, audio_end_ms=999_999
        )
        events = await until(connection, "error")
        assert events[-1].error.code == "invalid_value"
        assert "already shorter than 999999ms" in events[-1].error.message
        await nothing_more(connection)


@on_a_socket
async def test_out_of_band_in_order_g7_beside_the_conversation() -> None:
    async with house(LONG, "greeting", slow=True) as server, official(server) as connection:
        await write_to(connection, "count")
        await connection.response.create()
        before = await until(connection, "response.output_audio.delta")
        await connection.response.create(
            response={
                "conversation": "none",
                "metadata": {"topic": "class"},
                "output_modalities": ["text"],
                "input": [],
            }
        )
        events = await until(connection, "response.done")
        done = events[-1].response
        assert (done.metadata, done.conversation_id) == ({"topic": "class"}, None)
        own = [
            event
            for event in events
            if done.id
            in (getattr(event, "response_id", ""), getattr(getattr(event, "response", None), "id", ""))
        ]
        assert once(own) == [
            "response.created",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            *[kind for kind in TEXT_TAIL if kind.startswith("response.")],
        ]
        assert not [kind for kind in types_of(events) if kind.startswith("conversation.item")]
        assert [request.context.items for request in server.llm.requests][1] == ()
        live = before[-1].response_id
        assert [e.response_id for e in events if e.type == "response.output_audio.delta"][-1] == live
        await connection.response.cancel()
        events = await until(connection, "response.done")
        assert events[-1].response.id == live


@on_a_socket
async def test_transcription_session_in_order_g8() -> None:
    async with (
        house() as server,
        server.client() as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        created: Any = await connection.recv()
        assert (created.type, created.session.type) == ("session.created", "transcription")
        hears: Any = {"transcription": {"model": "any"}, "turn_detection": {"type": "server_vad"}}
        await connection.session.update(session={"type": "transcription", "audio": {"input": hears}})
        await say_to(connection, spoken("note this"))
        completed = "conversation.item.input_audio_transcription.completed"
        events = await until(connection, completed)
        assert events[-1].transcript == "note this"
        assert events[-1].usage.type == "duration"
        assert [kind for kind in once(events) if "transcription" not in kind] == [
            "session.updated",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            *ADDED,
        ]
        assert server.llm.requests == []


@on_a_socket
async def test_a_client_secret_is_minted_and_used_with_what_is_bound_to_it() -> None:
    async with house("Aye.", keys=("the-right-key",)) as server:
        async with server.client("the-right-key") as client:
            session: Any = {
                "type": "realtime",
                "model": "scripted",
                "instructions": "Talk like a pirate.",
                "output_modalities": ["text"],
            }
            secret = await client.realtime.client_secrets.create(
                session=session, expires_after={"anchor": "created_at", "seconds": 60}
            )
        assert secret.value.startswith("ek_")
        assert secret.session.type == "realtime"
        async with server.client(secret.value) as client, client.realtime.connect(model="scripted") as talk:
            created: Any = await talk.recv()
            assert created.session.instructions == "Talk like a pirate."
            await write_to(talk, "hello")
            await talk.response.create()
            events = await until(talk, "response.done")
            assert events[-1].response.output[0].content[0].text == "Aye."
            assert server.llm.requests[-1].instructions == "Talk like a pirate."
        async with server.client("wrong") as client, client.realtime.connect(model=MODEL) as connection:
            error: Any = await connection.recv()
            assert error.error.code == "invalid_api_key"
            with pytest.raises(ConnectionClosed) as caught:
                await connection.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 3000


@on_a_socket
async def test_the_session_ends_in_order() -> None:
    async with house(session_s=1.0) as server, official(server) as connection:
        [error] = await until(connection, "error")
        assert error.error.code == "session_expired"
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001


@on_a_socket
async def test_idle_timeout_in_order_g2() -> None:
    # The least that the protocol allows is five seconds: the one slow test here.
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    async with (
        house("Hello.", "Still there?") as server,
        official(server, audio={"input": {"turn_detection": detection}}) as connection,
    ):
        await say_to(connection, spoken("hello"))
        await until(connection, "rate_limits.updated")
        began_s = asyncio.get_running_loop().time()
        events = await until(connection, "rate_limits.updated")
        waited_s = asyncio.get_running_loop().time() - began_s
        assert 4.9 < waited_s < 8
        assert types_of(events)[:5] == [
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            *ADDED,
            "response.created",
        ]
        assert events[0].item_id == events[1].item_id == events[2].item.id
        assert events[0].audio_end_ms >= events[0].audio_start_ms
        assert events[-2].response.output[0].content[0].transcript == "Still there?"


# ----------------------------------------------------------------------------------------------------- openai-agents


@pytest.fixture
def _reported(caplog: pytest.LogCaptureFixture) -> Any:
    with nothing_reported(caplog):
        yield


@asynccontextmanager
async def agents_talk(
    house: House, agent: RealtimeAgent[Any] | None = None, **config: Any
) -> AsyncIterator[AgentsTalk]:
    """A session of the agents package with the server."""
    agent = agent or RealtimeAgent(name="A", instructions="Be brief.")
    settings = {"model_name": MODEL, **config.pop("settings", {})}
    url = f"ws://127.0.0.1:{house.port}/v1/realtime?model={MODEL}"
    model_config: Any = {"url": url, "api_key": "any", "initial_model_settings": settings, **config}
    async with await RealtimeRunner(agent).run(model_config=model_config) as session:
        yield AgentsTalk(session)


@pytest.mark.usefixtures("_reported")
@on_a_socket
async def test_agents_text() -> None:
    async with (
        house("Fine, thanks.") as server,
        agents_talk(server, settings={"modalities": ["text"]}) as talk,
    ):
        await talk.session.send_message("how are you")
        await talk.until_said("Fine, thanks.")
        await talk.until("agent_end")
        assert transcripts(talk.session, "user") == ["how are you"]
        assert server.llm.requests[-1].instructions == "Be brief."


@pytest.mark.usefixtures("_reported")
@on_a_socket
async def test_agents_audio() -> None:
    async with house("Good morning to you.") as server, agents_talk(server) as talk:
        for piece in spoken("good morning"):
            await talk.session.send_audio(piece)
        await talk.until("audio_end")
        await talk.until_said("Good morning to you.")
        await talk.until_said("good morning", "user")
        assert [word.text for word in decode(talk.audio, 24_000)] == ["Good", "morning", "to", "you."]


@pytest.mark.usefixtures("_reported")
@on_a_socket
async def test_agents_tool() -> None:
    asked = []

    @agents_tool
    def get_time(zone: str) -> str:
        """Tell the time."""
        asked.append(zone)
        return "12:00"

    agent = RealtimeAgent(name="A", tools=[get_time])
    script = [call_function("get_time", zone="UTC"), "It is noon."]
    async with house(*script) as server, agents_talk(server, agent) as talk:
        await talk.session.send_message("what time is it")
        ended = await talk.until("tool_end")
        assert (asked, ended.output) == (["UTC"], "12:00")
        await talk.until_said("It is noon.")
        kinds = [type(item).__name__ for item in server.llm.requests[-1].context]
        assert kinds == ["Message", "FunctionCall", "FunctionCallOutput"]


@pytest.mark.usefixtures("_reported")
@pytest.mark.parametrize("interrupt_response", [True, False])
@on_a_socket
async def test_agents_interruption_by_voice(interrupt_response: bool) -> None:
    detection = {"type": "server_vad", "interrupt_response": interrupt_response}
    tracker = RealtimePlaybackTracker()
    async with (
        house(LONG, "Sorry.", slow=True) as server,
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
        # What is remembered is what its tracker says was played: less than a word.
        said = [text for role, text in server.remembered if role == "assistant"]
        assert all(len(text.split()) <= 1 for text in said)
