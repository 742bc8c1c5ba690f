"""Our client and our server role, joined in memory on virtual time: one keeps what the other side heard."""

from __future__ import annotations

from repartee import AgentSession, function_tool
from repartee.plugins import openai
from repartee.protocol.events import ConversationItemTruncate
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    ScriptedRealtimeServer,
    call_function,
    elapse,
    virtual_time,
)

LONG = "One two three four five six seven eight nine ten."


def session_with(server: ScriptedRealtimeServer, **options: object) -> AgentSession:
    model = openai.realtime.RealtimeModel(
        base_url="http://scripted.test/v1", api_key="any", connector=server.connect, **options
    )
    return AgentSession(llm=model)


@virtual_time
async def test_a_turn_and_its_words() -> None:
    server = ScriptedRealtimeServer()
    microphone, loudspeaker = MemoryInput(), MemoryOutput()
    session = session_with(server, input_audio_transcription={"model": "whisper-1"})
    await session.start(audio_input=microphone, audio_output=loudspeaker)
    await microphone.say("good morning")
    await elapse(4.0)
    assert loudspeaker.heard_text() == "You said: good morning."
    assert [message.text for message in session.history.messages] == [
        "good morning",
        "You said: good morning.",
    ]
    await session.aclose()
    assert server.connection.count("error") == 0


@virtual_time
async def test_an_interruption_is_truncated_to_what_was_heard() -> None:
    server = ScriptedRealtimeServer([LONG, "Sorry."])
    microphone, loudspeaker = MemoryInput(), MemoryOutput()
    session = session_with(server)
    await session.start(audio_input=microphone, audio_output=loudspeaker)
    await microphone.say("count")
    await elapse(1.8)  # the server has long sent all, and is heard a second later or so
    await microphone.say("stop")
    await elapse(4.0)
    [truncate] = [
        event for event in server.connection.received if isinstance(event, ConversationItemTruncate)
    ]
    kept = server.connection.protocol.conversation.entry(truncate.item_id)
    assert kept is not None
    assert kept.truncated_ms == {0: truncate.audio_end_ms}
    whole_words = truncate.audio_end_ms // server.manner.ms_per_word
    assert 1 <= whole_words <= 6
    heard = session.history.messages[1]
    assert heard.interrupted
    assert LONG.startswith(heard.text)
    assert len(heard.text.split()) in (whole_words, whole_words + 1)
    assert loudspeaker.heard_text().endswith("Sorry.")
    await session.aclose()
    assert server.connection.count("error") == 0


@virtual_time
async def test_a_session_that_expires_goes_on_over_another_connection() -> None:
    server = ScriptedRealtimeServer(["First.", "Second."], session_s=5.0)
    microphone, loudspeaker = MemoryInput(), MemoryOutput()
    session = session_with(server)
    await session.start(audio_input=microphone, audio_output=loudspeaker)
    await microphone.say("one")
    await elapse(6.0)
    await microphone.say("two")
    await elapse(2.5)
    assert loudspeaker.heard_text() == "First. Second."
    assert len(server.connections) == 2
    # The new connection was told what had been said.
    assert server.connection.count("conversation.item.create") >= 1
    await session.aclose()


@virtual_time
async def test_a_function_over_the_protocol() -> None:
    @function_tool
    def get_time(zone: str) -> str:
        """Tell the time."""
        return f"12:00 {zone}"

    server = ScriptedRealtimeServer([call_function("get_time", zone="UTC"), "It is noon."])
    loudspeaker = MemoryOutput()
    model = openai.realtime.RealtimeModel(
        base_url="http://scripted.test/v1", api_key="any", connector=server.connect
    )
    session = AgentSession(llm=model, tools=[get_time])
    await session.start(audio_output=loudspeaker)
    await session.send_text("what time is it")
    await session.wait_for_idle()
    await elapse(3.0)
    assert loudspeaker.heard_text() == "It is noon."
    assert "12:00 UTC" in server.connection.questions[1].text
    await session.aclose()
