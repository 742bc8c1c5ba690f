"""A connection that is lost at each event of each flow: the conversation is whole all the same."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.chat import FunctionCall, FunctionCallOutput, FunctionTool, function_tool
from repartee.models import events as ev
from repartee.plugins.openai.realtime import ServerVad
from repartee.session import Agent
from repartee.testing import ScriptedTurnDetector, ScriptedVAD, call_function, elapse, virtual_time
from repartee.testing.realtime_connection import ServerManner
from repartee.testing.realtime_faults import WireFault, drop
from repartee.testing.realtime_replies import Question
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.scripted_llm import Reply
from tests.plugins.openai.realtime.talk import Talk, frames_of, model_at, words_of
from tests.session.scene import Scene

VAD = ServerVad(silence_duration_ms=400)
VAD_OPTIONS: dict[str, Any] = {
    "turn_detection": VAD,
    "input_audio_transcription": {"model": "gpt-realtime-whisper"},
}
FASTER = ServerManner(chunk_s=0.02)

SPOKEN = (
    "session.updated",
    "input_audio_buffer.speech_started",
    "conversation.item.input_audio_transcription.delta",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
    "conversation.item.input_audio_transcription.completed",
)
CALLED = (
    "conversation.item.create",
    "response.create",
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
)


def rule(question: Question) -> str | Reply:
    """What the server says, whichever connection asks."""
    if question.is_output:
        return "It is noon."
    if "time" in question.text:
        return Reply(calls=(call_function("get_time"),))
    return "one two three four"


def check_whole(talk: Talk) -> None:
    """The consumer's mirror, the session and the server agree, and nothing is there twice."""
    ids = [item.id for item in talk.history]
    assert len(ids) == len(set(ids))
    assert talk.as_the_server_has_them() == talk.at_server()
    created = [e.response_id for e in talk.of(ev.ResponseCreated)]
    assert sorted(created) == sorted(e.response_id for e in talk.of(ev.ResponseDone))
    assert not [e for e in talk.of(ev.ErrorOccurred) if e.fatal]


@pytest.mark.parametrize("event", SPOKEN)
@virtual_time
async def test_lost_in_a_spoken_turn(event: str) -> None:
    server = ScriptedRealtimeServer(rule, manner=FASTER, faults=[drop(on=event)])
    async with Talk(server, **VAD_OPTIONS) as talk:
        for frame in frames_of("hello to you", quiet_ms=2500):
            talk.session.append_audio(frame)
            await elapse(0.02)
        await elapse(5.0)
        users = [m for m in talk.history.messages if m.role == "user"]
        agents = [m for m in talk.history.messages if m.role == "assistant"]
        assert len(users) == 1, talk.said()
        assert len(agents) == 1, talk.said()
        assert len(talk.of(ev.SessionReconnected)) == 1
        assert len(talk.of(ev.SpeechStarted)) == 1
        assert users[0].text in ("hello to you", ""), talk.said()
        if agents[0].status == "completed":
            assert agents[0].text == "one two three four"
        check_whole(talk)
        assert (await talk.answer("Go on.")).status == "completed"
        check_whole(talk)


@pytest.mark.parametrize("event", CALLED)
@virtual_time
async def test_lost_in_a_call(event: str) -> None:
    """No function is run twice, and none that was asked for is left out."""
    server = ScriptedRealtimeServer(rule, manner=FASTER, faults=[drop(on=event)])
    async with Talk(server) as talk:
        done = await talk.answer("What time is it?")
        calls = [e.item for e in talk.of(ev.OutputItemDone) if isinstance(e.item, FunctionCall)]
        if not calls:
            assert done.status == "incomplete"
            await talk.answer()
            calls = [e.item for e in talk.of(ev.OutputItemDone) if isinstance(e.item, FunctionCall)]
        assert len(calls) == 1
        talk.return_output(calls[0], "noon")
        await talk.answer()
        assert talk.said()[-1] == ("assistant", "It is noon.")
        assert len([item for item in talk.history if isinstance(item, FunctionCallOutput)]) == 1
        await elapse(1.0)
        check_whole(talk)


@pytest.mark.parametrize("after", range(1, 24))
@virtual_time
async def test_lost_after_any_number_of_events(after: int) -> None:
    server = ScriptedRealtimeServer(rule, manner=FASTER, faults=[drop(after=after)])
    async with Talk(server) as talk:
        done = await talk.answer("Hello.")
        assert done.status in ("completed", "incomplete")
        await elapse(1.0)
        check_whole(talk)
        assert (await talk.answer("Again.")).status == "completed"
        check_whole(talk)


# -- whole sessions: states, playback, tools, every invariant ------------------------------------------------------


def a_clock(runs: list[str]) -> FunctionTool:
    @function_tool
    async def get_time() -> str:
        """Tell the time."""
        runs.append("run")
        await elapse(1.0)
        return "noon"

    return get_time


@pytest.mark.parametrize("at_s", [0.0, 1.3, 1.95, 2.3, 3.5, 5.0])
@virtual_time
async def test_a_session_that_expires_mid_speech_mid_tool_and_mid_reply(at_s: float) -> None:
    runs: list[str] = []
    faults: list[WireFault] = []
    server = ScriptedRealtimeServer(rule, manner=FASTER, faults=faults)
    model = model_at(server, **VAD_OPTIONS)
    agent = Agent(instructions="Be kind.", tools=[a_clock(runs)])
    async with Scene(model=model, stt=None, tts=None, vad=None, agent=agent) as scene:
        scene.mic.speak("what time is it", 1.0)
        if at_s:
            await scene.until(at_s)
            server.connections[-1].expire()
        await scene.until(12.0)
        assert runs == ["run"]
        texts = [m.text for m in scene.session.history.messages]
        assert texts in (["what time is it", "It is noon."], ["", "It is noon."])
        assert scene.session.agent_state == "listening"
        assert scene.session.user_state == "listening"
        assert len(scene.events(ev.SessionReconnected)) == bool(at_s)
    await server.aclose()


@virtual_time
async def test_the_chapters_second_session_commits_once_and_asks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("repartee.session.composition.default_stt", lambda: None)
    server = ScriptedRealtimeServer(rule, manner=FASTER)
    options = {"input_audio_transcription": {"model": "gpt-realtime-whisper"}, "turn_detection": None}
    model = model_at(server, **options)
    async with Scene(
        model=model, stt=None, tts=None, vad=ScriptedVAD(), turn_detection=ScriptedTurnDetector(0.99)
    ) as scene:
        scene.mic.speak("hello to you", 1.0)
        await scene.until(6.0)
        scene.mic.speak("and you", 7.0)
        await scene.until(14.0)
        assert server.connections[0].count("input_audio_buffer.commit") == 2
        assert server.connections[0].count("response.create") == 2
        assert [m.text for m in scene.session.history.messages] == [
            "hello to you",
            "one two three four",
            "and you",
            "one two three four",
        ]
        assert [e.source for e in scene.events(ev.WordsFrom)] == ["model"]
        committed = [e.item_id for e in scene.events(ev.InputCommitted)]
        assert committed == [m.id for m in scene.session.history.messages if m.role == "user"]
    await server.aclose()


@virtual_time
async def test_interrupted_by_voice_and_cut_at_what_was_heard() -> None:
    server = ScriptedRealtimeServer(
        lambda q: "Yes?" if "stop" in q.text else " ".join(["word"] * 20), manner=FASTER
    )
    model = model_at(server, **VAD_OPTIONS)
    async with Scene(model=model, stt=None, tts=None, vad=None) as scene:
        scene.mic.speak("tell me", 1.0)
        scene.mic.speak("stop it", 4.0)
        await scene.until(9.0)
        first = scene.session.history.messages[1]
        assert first.interrupted
        assert 0 < len(first.text.split()) < 20
        conversation = server.connections[0].protocol.conversation
        assert [str(item.id) for item in conversation] == [item.id for item in scene.session.history]  # type: ignore[attr-defined]
        assert scene.said[-1] == ("assistant", "Yes?")
        assert scene.events(ev.ErrorOccurred) == []
    await server.aclose()


@pytest.mark.parametrize(
    ("event", "after", "words"),
    [
        ("response.output_audio_transcript.delta", 1, 0),
        ("response.output_audio.delta", 1, 0),
        ("response.output_audio.delta", 2, 1),
        ("response.output_audio_transcript.delta", 2, 1),
        ("response.output_audio_transcript.delta", 5, 4),
        ("response.output_audio.delta", 11, 4),
        ("response.output_audio.done", 1, 12),
    ],
)
@virtual_time
async def test_lost_in_the_middle_of_a_reply_and_not_a_word_more_is_remembered_than_was_heard(
    event: str, after: int, words: int
) -> None:
    """The server's words run ahead of its sound: those without any were never said."""
    whole = [f"word{number}" for number in range(12)]
    faults = [drop(on=event, after=after)]
    server = ScriptedRealtimeServer(
        lambda question: "Yes." if "on" in question.text else " ".join(whole),
        manner=ServerManner(chunk_s=0.09),
        faults=faults,
    )
    model = model_at(server, **VAD_OPTIONS)
    async with Scene(model=model, stt=None, tts=None, vad=None) as scene:
        scene.mic.speak("tell me", 1.0)
        await scene.until(9.0)
        kept = " ".join(whole[:words])
        said = [*([("assistant", kept + "–")] if words else [])]
        assert scene.said == [("user", "tell me"), *said]
        heard = scene.events(ev.OutputHeard)
        assert (heard[-1].text if heard else "") == kept
        assert len(kept.split()) <= len(scene.heard.split())  # of the last word maybe not every letter
        told = scene.events(ev.ItemTruncated) if words else scene.events(ev.ItemDeleted)
        assert len(told) == 1
        assert len(scene.events(ev.ItemTruncated)) + len(scene.events(ev.ItemDeleted)) == 1
        [done] = scene.events(ev.ResponseDone)
        assert (done.status, done.reason) == ("incomplete", "connection_lost")
        assert len(scene.events(ev.SessionReconnected)) == 1
        assert scene.events(ev.ErrorOccurred) == []
        at_server = [words_of(item) for item in server.connections[-1].protocol.conversation]
        assert at_server == ["tell me", *([kept] if words else [])]
        scene.mic.speak("go on", 9.0)
        await scene.until(13.0)
        assert scene.said[-1] == ("assistant", "Yes.")
        await server.connections[0].aclose()
    await server.aclose()
