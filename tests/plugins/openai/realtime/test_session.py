"""A session on a good day: text, speech, functions, images, and what is changed while it runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.chat import ChatContext, FunctionCall, ImageContent, Message, TextContent, function_tool
from repartee.errors import ConfigurationError, UsageError
from repartee.models import ResponseOptions, SessionOptions
from repartee.models import events as ev
from repartee.plugins.openai.realtime import ServerVad
from repartee.protocol import events as wire
from repartee.testing import call_function, elapse, run, virtual_time
from repartee.testing.conformance_realtime import REALTIME_CHECKS, RealtimeCheck
from repartee.testing.realtime_connection import ServerManner
from repartee.testing.realtime_replies import FailedReply, Question
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.scripted_llm import Reply
from tests.plugins.openai.realtime.talk import Talk, frames_of, model_at, words_of

VAD = ServerVad(silence_duration_ms=400)


@function_tool
async def get_time(zone: str) -> str:
    """Tell the time.

    Args:
        zone: where.
    """
    return f"noon in {zone}"


@pytest.mark.parametrize("check", REALTIME_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: RealtimeCheck) -> None:
    async def main() -> None:
        server = ScriptedRealtimeServer()
        try:
            await check(lambda: model_at(server))
        finally:
            await server.aclose()

    run(main())


@virtual_time
async def test_a_typed_turn_is_answered_in_speech() -> None:
    async with Talk(ScriptedRealtimeServer(["It is noon."])) as talk:
        done = await talk.answer("What time is it?")
        assert done.status == "completed"
        assert done.usage.output_tokens > 0
        assert talk.said() == [("user", "What time is it?"), ("assistant", "It is noon.")]
        assert talk.heard(done.response_id) == "It is noon."
        assert [item.id for item in talk.history] == talk.at_server()
        assert talk.of(ev.RateLimitsUpdated)[0].remaining["tokens"] > 0
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_the_server_takes_turns() -> None:
    server = ScriptedRealtimeServer(["Hello there."])
    options: dict[str, Any] = {
        "turn_detection": VAD,
        "input_audio_transcription": {"model": "gpt-realtime-whisper"},
    }
    async with Talk(server, **options) as talk:
        assert talk.model.capabilities.turn_detection
        await talk.say("good morning")
        await talk.until(lambda: talk.of(ev.ResponseDone))
        await talk.until(lambda: talk.of(ev.TranscriptCompleted))
        assert talk.said() == [("user", "good morning"), ("assistant", "Hello there.")]
        [started], [stopped] = talk.of(ev.SpeechStarted), talk.of(ev.SpeechStopped)
        [committed] = talk.of(ev.InputCommitted)
        assert started.item_id == stopped.item_id == committed.item_id == talk.history.messages[0].id
        assert [e.text for e in talk.of(ev.InterimTranscript)] == ["good", "good morning"]
        assert talk.of(ev.ResponseCreated)[0].request_id is None
        assert talk.at_server() == [item.id for item in talk.history]


@virtual_time
async def test_a_turn_committed_here_has_the_id_chosen_here() -> None:
    server = ScriptedRealtimeServer(["Hello."])
    async with Talk(server, turn_detection=None, input_audio_transcription={"model": "whisper-1"}) as talk:
        assert not talk.model.capabilities.turn_detection
        talk.session.begin_input("item_mine")
        for frame in frames_of("hi you"):
            talk.session.append_audio(frame)
        talk.session.commit_audio()
        done = await talk.answer()
        assert done.status == "completed"
        await talk.until(lambda: talk.of(ev.TranscriptCompleted))
        assert talk.history.messages[0].id == "item_mine"
        assert talk.said() == [("user", "hi you"), ("assistant", "Hello.")]
        assert talk.served.count("input_audio_buffer.commit") == 1
        assert talk.served.count("response.create") == 1
        # What is done to it reaches the server under the server's own name.
        talk.session.delete_item("item_mine")
        await elapse(0.1)
        assert len(talk.at_server()) == 1


@virtual_time
async def test_a_short_turn_is_filled_up_and_an_empty_one_is_not_sent() -> None:
    async with Talk(ScriptedRealtimeServer(), turn_detection=None) as talk:
        talk.session.commit_audio()
        assert [e.reason for e in talk.of(ev.InputCleared)] == ["no audio"]
        talk.session.append_audio(frames_of("", quiet_ms=20)[0])
        talk.session.commit_audio()
        await talk.until(lambda: talk.of(ev.InputCommitted))
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_functions_are_called_side_by_side() -> None:
    calls = (call_function("get_time", zone="UTC"), call_function("get_time", zone="CET"))
    server = ScriptedRealtimeServer([Reply("One moment.", calls=calls), "Noon, both."])
    async with Talk(server, session=SessionOptions(tools=(get_time,))) as talk:
        first = await talk.answer("What time is it?")
        made = [e.item for e in talk.of(ev.OutputItemDone) if isinstance(e.item, FunctionCall)]
        assert [call.arguments for call in made] == [call.arguments for call in calls]
        deltas = "".join(e.delta for e in talk.of(ev.CallArgumentsDelta))
        assert deltas == "".join(call.arguments for call in calls)
        for call in made:
            talk.return_output(call, "noon")
        second = await talk.answer()
        assert (first.status, second.status) == ("completed", "completed")
        assert talk.said()[-1] == ("assistant", "Noon, both.")
        assert [item.id for item in talk.history] == talk.at_server()
        assert len(talk.history) == 7


@virtual_time
async def test_a_result_that_comes_while_the_response_goes_on() -> None:
    """The server puts it behind the response's items, and so do we."""
    calls = (call_function("get_time", zone="UTC"), call_function("get_time", zone="CET"))
    server = ScriptedRealtimeServer([Reply(calls=calls)])
    async with Talk(server, session=SessionOptions(tools=(get_time,))) as talk:
        talk.type("What time is it?")
        request = talk.ask()
        await talk.until(lambda: talk.of(ev.OutputItemDone))
        call = talk.of(ev.OutputItemDone)[0].item
        assert isinstance(call, FunctionCall)
        talk.return_output(call, "noon")
        await talk.until(lambda: talk.end_of(request))
        await elapse(0.1)
        assert [item.id for item in talk.history] == talk.at_server()


@virtual_time
async def test_out_of_band_beside_a_response() -> None:
    server = ScriptedRealtimeServer(
        lambda question: "Paris." if "city" in question.text else "One. Two. Three."
    )
    async with Talk(server) as talk:
        talk.type("Count.")
        first = talk.ask()
        aside = talk.ask(
            conversation="none",
            input=(Message.of("user", "Which city?"),),
            modalities=("text",),
            metadata={"for": "the log"},
        )
        await talk.until(lambda: talk.end_of(first) and talk.end_of(aside))
        response_id = talk.response_of(aside)
        assert (
            "".join(e.delta for e in talk.of(ev.TranscriptDelta) if e.response_id == response_id) == "Paris."
        )
        assert not [e for e in talk.of(ev.AudioDelta) if e.response_id == response_id]
        assert [e.metadata for e in talk.of(ev.ResponseCreated) if e.response_id == response_id] == [
            {"for": "the log"}
        ]
        assert talk.said() == [("user", "Count."), ("assistant", "One. Two. Three.")]


@virtual_time
async def test_images_and_what_one_response_alone_is_told() -> None:
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return "A cat."

    async with Talk(ScriptedRealtimeServer(answer)) as talk:
        picture = ImageContent("data:image/png;base64,iVBORw0KGgo=", "low")
        talk.session.create_item(Message("user", (TextContent("What is it?"), picture)))
        await talk.answer(
            instructions="Be brief.",
            tools=(get_time,),
            tool_choice="none",
            voice="cedar",
            max_output_tokens=9,
        )
        params = asked[0].params
        assert params.instructions == "Be brief."
        assert params.max_output_tokens == 9
        assert params.tool_choice == "none"
        assert params.audio.output.voice == "cedar"  # type: ignore[union-attr]
        message = asked[0].items[0]
        assert message.content[1].image_url == picture.url  # type: ignore[attr-defined]
        assert message.content[1].detail == "low"  # type: ignore[attr-defined]


@virtual_time
async def test_an_update_says_what_changed_and_no_more() -> None:
    async with Talk(ScriptedRealtimeServer(), session=SessionOptions(instructions="Be kind.")) as talk:
        talk.session.update(SessionOptions(instructions="Be brief.", tools=(get_time,), voice="cedar"))
        talk.session.update(SessionOptions(instructions="Be brief.", tools=(get_time,), voice="cedar"))
        await elapse(0.1)
        first, second = (e for e in talk.served.received if isinstance(e, wire.SessionUpdate))
        assert second.session.instructions == "Be brief."  # type: ignore[attr-defined]
        now = talk.served.protocol.session
        assert [tool.name for tool in now.tools] == ["get_time"]  # type: ignore[union-attr]
        assert now.audio.output.voice == "cedar"  # type: ignore[union-attr]
        assert not isinstance(second.session.audio.input, type(first.session.audio.input))  # type: ignore[attr-defined]


@virtual_time
async def test_a_voice_that_has_spoken_stays_and_the_rest_of_the_update_counts() -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        await talk.answer("Hello.")
        talk.session.update(SessionOptions(instructions="Be brief.", voice="cedar"))
        await elapse(0.1)
        [error] = talk.of(ev.ErrorOccurred)
        assert isinstance(error.error, ConfigurationError)
        assert "start a new session" in str(error.error)
        assert talk.served.protocol.session.instructions == "Be brief."  # type: ignore[union-attr]
        assert talk.served.count("error") == 0


@virtual_time
async def test_a_request_made_while_one_is_answered_waits_for_its_turn() -> None:
    async with Talk(ScriptedRealtimeServer(["One.", "Two."])) as talk:
        talk.type("Count.")
        first, second = talk.ask(), talk.ask()
        await talk.until(lambda: talk.end_of(first) and talk.end_of(second))
        assert talk.said()[1:] == [("assistant", "One."), ("assistant", "Two.")]
        assert talk.served.count("error") == 0


@virtual_time
async def test_a_request_that_the_server_forestalls_is_made_again() -> None:
    """The caller's turn ends, and is answered, just as somebody asks for a response."""
    async with Talk(ScriptedRealtimeServer(["One.", "Two."]), turn_detection=VAD) as talk:
        talk.served.respond()
        request = talk.ask()
        await talk.until(lambda: talk.end_of(request))
        assert talk.served.count("error") == 1
        assert talk.of(ev.ErrorOccurred) == []
        assert [m.text for m in talk.history.messages] == ["One.", "Two."]


@virtual_time
async def test_a_response_that_fails_says_why_once() -> None:
    failed = FailedReply("inference_rate_limit_exceeded", "Slow down.")
    async with Talk(ScriptedRealtimeServer([failed, "Better."])) as talk:
        done = await talk.answer("Hello?")
        assert (done.status, str(done.error)) == ("failed", "Slow down.")
        assert [str(e.error) for e in talk.of(ev.ErrorOccurred)] == ["Slow down."]
        assert (await talk.answer()).status == "completed"


@virtual_time
async def test_one_reply_without_a_session() -> None:
    server = ScriptedRealtimeServer(lambda question: f"{len(question.items)} items, then {question.text}")
    model = model_at(server)
    context = ChatContext()
    context.add_message("user", "My name is Ada.")
    context.add_message("assistant", "Hello Ada.")
    deltas = [delta async for delta in model.generate_reply("Who am I?", chat_context=context)]
    assert "".join(deltas) == "3 items, then Who am I?"
    assert len(deltas) > 1
    assert len(context) == 2
    await server.aclose()


@virtual_time
async def test_transcriptions_come_in_any_order() -> None:
    manner = ServerManner(transcripts_reordered=True)
    server = ScriptedRealtimeServer(["A.", "B."], manner=manner)
    options: dict[str, Any] = {
        "turn_detection": VAD,
        "input_audio_transcription": {"model": "gpt-4o-transcribe"},
    }
    async with Talk(server, **options) as talk:
        for text in ("one", "two"):
            await talk.say(text)
            await elapse(3.0)
        assert [e.transcript for e in talk.of(ev.TranscriptCompleted)] == ["two", "one"]
        assert talk.said() == [("user", "one"), ("assistant", "A."), ("user", "two"), ("assistant", "B.")]


@virtual_time
async def test_items_with_ids_that_are_too_long_for_the_server() -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        long = "an_identifier_of_more_than_32_characters"
        talk.session.create_item(Message.of("user", "Hello.", id=long))
        talk.session.create_item(Message.of("user", "Hello again."), previous_item_id=long)
        await elapse(0.1)
        assert talk.of(ev.ErrorOccurred) == []
        assert [words_of(item) for item in talk.served.protocol.conversation] == ["Hello.", "Hello again."]
        talk.session.delete_item(long)
        await elapse(0.1)
        assert len(talk.at_server()) == len(talk.history) == 1


@virtual_time
async def test_what_cannot_be_done_is_told() -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        talk.session.delete_item("nobody")
        talk.session.truncate_item("nobody", audio_end_ms=10)
        talk.session.create_item(Message.of("user", "x"), previous_item_id="nobody")
        assert [type(e.error) for e in talk.of(ev.ErrorOccurred)] == [UsageError] * 3
        assert len(talk.history) == 0


@virtual_time
async def test_a_closed_session_answers_nothing() -> None:
    talk = Talk(ScriptedRealtimeServer())
    async with talk:
        talk.type("Hello.")
        request = talk.ask()
        await talk.until(lambda: talk.response_of(request))
    done = talk.end_of(request)
    assert done is not None
    assert done.status == "cancelled"
    count = len(talk.log)
    talk.session.create_response(ResponseOptions())
    talk.session.append_audio(frames_of("", quiet_ms=20)[0])
    talk.session.commit_audio()
    assert len(talk.log) == count
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_frames_that_come_at_once_are_sent_together_and_others_as_they_come() -> None:
    def appends() -> list[bytes]:
        return [e.audio for e in talk.served.received if isinstance(e, wire.InputAudioBufferAppend)]

    async with Talk(ScriptedRealtimeServer(), turn_detection=None) as talk:
        frames = [frame.data for frame in frames_of("one two")]
        for frame in frames_of("one two"):
            talk.session.append_audio(frame)
        await elapse(0.1)
        assert appends() == [frames[0], b"".join(frames[1:])]  # the first does not wait
        for frame in frames_of("one two"):
            talk.session.append_audio(frame)
            await elapse(0.02)
        assert appends()[2:] == frames
        for frame in frames_of("one two"):
            talk.session.append_audio(frame)
        talk.session.commit_audio()  # goes behind what was said before it
        await elapse(0.1)
        kinds = [type(event).__name__ for event in talk.served.received]
        assert kinds[-1] == "InputAudioBufferCommit"
        assert len(appends()) == 2 + len(frames) + 2
        assert b"".join(appends()) == 3 * b"".join(frames)


@virtual_time
async def test_what_waits_to_be_sent_is_not_sent_twice_where_the_connection_is_lost() -> None:
    async with Talk(ScriptedRealtimeServer(), turn_detection=None) as talk:
        for frame in frames_of("one two"):
            talk.session.append_audio(frame)
        talk.served.break_off()
        await elapse(2.0)
        [_first, second] = talk.server.connections
        sent = [e.audio for e in second.received if isinstance(e, wire.InputAudioBufferAppend)]
        assert b"".join(sent) == b"".join(frame.data for frame in frames_of("one two"))
        assert talk.of(ev.ErrorOccurred) == []
