"""A session whose model is another Realtime server."""

from __future__ import annotations

from typing import Any

from repartee.compose import Overheard
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.protocol import events as ev
from repartee.server.policy import Policy
from repartee.testing import (
    Reply,
    ScriptedRealtimeServer,
    ScriptedSTT,
    ServerManner,
    call_function,
    elapse,
    virtual_time,
)
from tests.server.talk import Talk

TEXT = {"output_modalities": ["text"]}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def relay(server: ScriptedRealtimeServer) -> RealtimeModel:
    """A model at that server."""
    return RealtimeModel(api_key="sk-test", turn_detection=None, connector=server.connect)


@virtual_time
async def test_a_voice_turn_passes_through() -> None:
    server = ScriptedRealtimeServer(["Sure, done.", "Yes."])
    async with Talk(relay(server)) as talk:
        await elapse(0.1)
        talk.hear(0.3, "book a table", 1.0)
        done = await talk.done()
        assert done["status"] == "completed"
        assert done["output"][0]["content"][0]["transcript"] == "Sure, done."
        assert talk.client.all("response.output_audio.delta")
        item = done["output"][0]["id"]
        talk.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=300)
        await elapse(0.1)
        [remote] = server.connections
        assert any(isinstance(event, ev.ConversationItemTruncate) for event in remote.received)
        assert (await talk.answer("and?"))["status"] == "completed"


@virtual_time
async def test_text_calls_and_out_of_band() -> None:
    server = ScriptedRealtimeServer(
        [Reply("One moment.", (call_function("weather", "call_1"),)), "Sunny.", "topic: weather"]
    )
    async with Talk(relay(server), session={**TEXT, "tools": [WEATHER]}) as talk:
        done = await talk.answer("weather?")
        assert [item["type"] for item in done["output"]] == ["message", "function_call"]
        call_id = done["output"][1]["call_id"]
        talk.send(
            "conversation.item.create",
            item={"type": "function_call_output", "call_id": call_id, "output": "28 C"},
        )
        assert (await talk.answer())["output"][0]["content"][0]["text"] == "Sunny."
        aside = await talk.answer(conversation="none", metadata={"a": "b"}, instructions="Name the topic.")
        assert aside["output"][0]["content"][0]["text"] == "topic: weather"
        assert aside["metadata"] == {"a": "b"}


@virtual_time
async def test_a_cancelled_response_is_cancelled_there() -> None:
    server = ScriptedRealtimeServer(["word " * 50, "Ok."])
    async with Talk(relay(server), session=TEXT) as talk:
        talk.say("talk")
        talk.respond()
        await elapse(0.1)
        talk.send("response.cancel")
        assert talk.client.last("response.done")["response"]["status"] == "cancelled"
        assert (await talk.answer("again"))["status"] == "completed"
        [remote] = server.connections
        assert any(isinstance(event, ev.ResponseCancel) for event in remote.received)


@virtual_time
async def test_a_lost_connection_is_nobodys_business() -> None:
    server = ScriptedRealtimeServer(["One.", "Two."])
    async with Talk(relay(server), session=TEXT) as talk:
        await talk.answer("first")
        server.connections[0].break_off()
        await elapse(5)
        assert (await talk.answer("second"))["output"][0]["content"][0]["text"] == "Two."
        assert not talk.client.all("error")
        assert "SessionReconnected" in [type(entry.event).__name__ for entry in talk.log]
    await server.aclose()


@virtual_time
async def test_what_the_client_wants_is_told_to_the_remote_session() -> None:
    server = ScriptedRealtimeServer(["Sure."])
    async with Talk(relay(server), session={"tools": [WEATHER]}, policy=Policy("Be polite.")) as talk:
        await elapse(0.1)
        [remote] = server.connections
        told: Any = remote.protocol.session
        assert not told.audio.input.transcription
        talk.update(
            audio={
                "input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}},
                "output": {"voice": "cedar"},
            }
        )
        await elapse(0.1)
        told = remote.protocol.session
        assert (told.audio.input.transcription.model, told.audio.input.transcription.language) == (
            "gpt-4o-transcribe",
            "en",
        )
        assert told.audio.output.voice == "cedar"
        assert told.audio.input.turn_detection is None  # the turns stay ours
        assert told.instructions == "Be polite.\n\nBe kind."
        assert [tool.name for tool in told.tools] == ["weather"]
        talk.update(audio={"input": {"transcription": None}})
        await elapse(0.1)
        told = remote.protocol.session
        assert told.audio.input.transcription is None


@virtual_time
async def test_the_remote_words_are_told_where_it_writes_them_down() -> None:
    server = ScriptedRealtimeServer(["Sure."], manner=ServerManner(transcripts=("book a desk",)))
    overheard = Overheard(relay(server), ScriptedSTT())
    async with Talk(overheard) as talk:
        await elapse(0.1)
        talk.update(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
        await elapse(0.1)
        talk.hear(0.3, "book a table", 1.0)
        await talk.done()
        await elapse(5)
        told = talk.client.all("conversation.item.input_audio_transcription.completed")
        assert [event["transcript"] for event in told] == ["book a desk"]
