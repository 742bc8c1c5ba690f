"""The scripted realtime model: asked or by itself, spoken or typed, complete or broken off."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from repartee.audio import AudioFrame
from repartee.chat import AudioContent, ChatContext, Message
from repartee.clock import Clock
from repartee.errors import ModelConnectionError, ModelError
from repartee.models import (
    ChatRequest,
    PlaybackFinished,
    PlaybackStarted,
    ResponseOptions,
    SessionOptions,
    TextDelta,
)
from repartee.models import events as ev
from repartee.testing import (
    Disconnect,
    Emit,
    Reply,
    ScriptedRealtimeModel,
    ScriptedTTS,
    ScriptError,
    UserTurn,
    call_function,
    elapse,
    fail,
    sleep_until,
    stall,
    virtual_time,
)
from repartee.testing.scripted_realtime import ScriptedRealtimeSession

E = TypeVar("E")
VOICE = ScriptedTTS(ms_per_word=200.0)


class Consumer:
    """Opens a session and keeps its events with their times."""

    def __init__(self, model: ScriptedRealtimeModel, options: SessionOptions | None = None) -> None:
        self.clock = Clock(asyncio.get_running_loop().time)
        self.log: list[tuple[float, ev.RealtimeEvent]] = []
        self.session: ScriptedRealtimeSession = model.session(
            options or SessionOptions(),
            on_event=lambda event: self.log.append((self.clock.now(), event)),
            clock=self.clock,
        )

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.log if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for _, event in self.log]


@virtual_time
async def test_it_answers_when_asked_and_speaks() -> None:
    model = ScriptedRealtimeModel(["Hello there, friend."], voice=VOICE)
    consumer = Consumer(model)
    await consumer.session.start()
    consumer.session.create_item(Message.of("user", "hi"))
    consumer.session.create_response(ResponseOptions(request_id="r1"))
    await elapse(5.0)
    (created,) = consumer.of(ev.ResponseCreated)
    assert created.request_id == "r1"
    deltas = consumer.of(ev.TranscriptDelta)
    assert [(delta.delta, delta.start_ms) for delta in deltas] == [
        ("Hello", 0.0),
        (" there,", 200.0),
        (" friend.", 400.0),
    ]
    audio = consumer.of(ev.AudioDelta)
    assert b"".join(delta.audio.data for delta in audio) == VOICE.speak("Hello there, friend.")[0]
    assert [delta.audio.position_samples for delta in audio] == [2400 * i for i in range(6)]
    first_audio_s = next(at_s for at_s, event in consumer.log if isinstance(event, ev.AudioDelta))
    assert first_audio_s == 0.2
    (done,) = consumer.of(ev.ResponseDone)
    assert (done.status, done.usage.output_tokens) == ("completed", 5)
    (item,) = [event.item for event in consumer.of(ev.OutputItemDone)]
    assert isinstance(item, Message)
    assert item.content == (AudioContent("Hello there, friend.", 600),)
    assert consumer.session.context.messages[-1] == item
    await consumer.session.aclose()
    assert [call.name for call in consumer.session.calls] == [
        "start",
        "create_item",
        "create_response",
        "aclose",
    ]


@virtual_time
async def test_text_function_calls_and_verbatim() -> None:
    call = call_function("weather", "call_1", city="Oslo")
    model = ScriptedRealtimeModel([Reply("Let me see.", (call,))])
    consumer = Consumer(model, SessionOptions(modalities=("text",)))
    await consumer.session.start()
    consumer.session.create_response(ResponseOptions())
    await elapse(1.0)
    assert [delta.delta for delta in consumer.of(ev.TranscriptDelta)] == ["Let", " me", " see."]
    assert consumer.of(ev.AudioDelta) == []
    assert "".join(delta.delta for delta in consumer.of(ev.CallArgumentsDelta)) == call.arguments
    assert consumer.session.context.items[-1] == call
    consumer.session.create_response(ResponseOptions(say="Exactly this."))
    await elapse(1.0)
    assert "".join(d.delta for d in consumer.of(ev.TranscriptDelta)) == "Let me see.Exactly this."
    await consumer.session.aclose()


@virtual_time
async def test_it_hears_scripted_speech() -> None:
    model = ScriptedRealtimeModel(["Sure."])
    consumer = Consumer(model)
    await consumer.session.start()
    consumer.session.begin_input("u1")
    consumer.session.append_audio(AudioFrame(ScriptedTTS().speak("book a table")[0], 24_000))
    consumer.session.settle_audio()
    consumer.session.commit_audio()
    await elapse(1.0)
    assert [event.text for event in consumer.of(ev.InterimTranscript)] == ["book a table"]
    assert consumer.of(ev.InputCommitted) == [ev.InputCommitted("u1", None, "manual")]
    assert consumer.of(ev.TranscriptCompleted) == [ev.TranscriptCompleted("u1", "book a table")]
    assert consumer.session.context.messages[0].text == "book a table"
    consumer.session.append_audio(AudioFrame(ScriptedTTS().speak("never mind")[0], 24_000))
    consumer.session.clear_audio()
    consumer.session.commit_audio()
    await elapse(1.0)
    assert consumer.of(ev.TranscriptCompleted)[-1].transcript == ""
    model.replies.clear()
    await consumer.session.aclose()


@virtual_time
async def test_its_own_turn_detection_and_interruption() -> None:
    turns = [UserTurn("book a table", after_s=1.0), UserTurn("no wait", after_s=0.6)]
    model = ScriptedRealtimeModel(["Sure, for how many people would that be?", "Yes?"], turns, voice=VOICE)
    assert model.capabilities.turn_detection
    consumer = Consumer(model)
    await consumer.session.start()
    await sleep_until(2.51)
    consumer.session.report_playback(PlaybackStarted(consumer.of(ev.ResponseCreated)[0].response_id))
    await sleep_until(6.0)
    starts = [(round(at_s, 6), e) for at_s, e in consumer.log if isinstance(e, ev.SpeechStarted)]
    assert [at_s for at_s, _ in starts] == [1.0, 2.9]
    stops = consumer.of(ev.SpeechStopped)
    assert [stop.audio_end_ms for stop in stops] == pytest.approx([2000.0, 2900 + 2000 / 3])
    first, second = consumer.of(ev.ResponseCreated)
    assert first.request_id is None
    done = {event.response_id: (event.status, event.reason) for event in consumer.of(ev.ResponseDone)}
    # All of the first answer was generated before the user came in; it is playing.
    assert done[first.response_id] == ("completed", "")
    assert done[second.response_id] == ("completed", "")
    assert consumer.of(ev.OutputClear) == [ev.OutputClear(first.response_id, "turn_detected")]
    assert [e.transcript for e in consumer.of(ev.TranscriptCompleted)] == ["book a table", "no wait"]
    consumer.session.report_playback(PlaybackFinished(first.response_id, interrupted=True))
    await consumer.session.aclose()


@virtual_time
async def test_new_speech_cancels_what_is_being_generated() -> None:
    turns = [UserTurn("one", words_per_s=10.0), UserTurn("two", after_s=0.1)]
    consumer = Consumer(ScriptedRealtimeModel(["Never heard.", "Heard."], turns))
    await consumer.session.start()
    await elapse(5.0)
    assert [(d.status, d.reason) for d in consumer.of(ev.ResponseDone)] == [
        ("cancelled", "turn_detected"),
        ("completed", ""),
    ]
    await consumer.session.aclose()


@virtual_time
async def test_cancelling_and_truncating() -> None:
    model = ScriptedRealtimeModel(["one two three four five six"], voice=VOICE, inter_token_s=0.1)
    consumer = Consumer(model)
    session = consumer.session
    await session.start()
    session.create_response(ResponseOptions())
    await elapse(0.55)
    session.cancel_response()
    session.cancel_response()
    assert consumer.kinds()[-3:] == ["ItemDone", "OutputItemDone", "ResponseDone"]
    (done,) = consumer.of(ev.ResponseDone)
    assert (done.status, done.reason) == ("cancelled", "client_cancelled")
    item = session.context.messages[-1]
    assert (item.text, item.status) == ("one two", "incomplete")
    session.truncate_item(item.id, audio_end_ms=150, text="one")
    assert consumer.of(ev.ItemTruncated) == [ev.ItemTruncated(item.id, 150, "one")]
    assert session.context.messages[-1].interrupted
    session.truncate_item(item.id, audio_end_ms=0)
    assert session.context.messages == ()
    session.truncate_item("nobody", audio_end_ms=10)
    session.delete_item("nobody")
    session.create_item(Message.of("user", "hi", id="u1"))
    session.create_item(Message.of("user", "hi", id="u1"))
    session.delete_item("u1")
    assert len(consumer.of(ev.ErrorOccurred)) == 3
    await elapse(5.0)
    assert len(consumer.of(ev.ResponseDone)) == 1
    await session.aclose()


@virtual_time
async def test_one_response_at_a_time_but_for_those_out_of_band() -> None:
    consumer = Consumer(ScriptedRealtimeModel(["first", "aside"]))
    await consumer.session.start()
    consumer.session.create_response(ResponseOptions(request_id="a"))
    consumer.session.create_response(ResponseOptions(request_id="b"))
    consumer.session.create_response(ResponseOptions(request_id="c", conversation="none"))
    await elapse(2.0)
    by_request = {event.request_id: event.response_id for event in consumer.of(ev.ResponseCreated)}
    done = {event.response_id: event.status for event in consumer.of(ev.ResponseDone)}
    assert [done[by_request[name]] for name in ("a", "b", "c")] == ["completed", "failed", "completed"]
    assert [message.text for message in consumer.session.context.messages] == ["first"]
    await consumer.session.aclose()


@virtual_time
async def test_faults_of_an_answer() -> None:
    model = ScriptedRealtimeModel(
        ["one two three four"] * 2, voice=VOICE, faults=[fail(1, after=3), stall(2)]
    )
    consumer = Consumer(model)
    await consumer.session.start()
    consumer.session.create_response(ResponseOptions())
    await elapse(2.0)
    assert len(consumer.of(ev.AudioDelta)) == 3
    assert [error.stage for error in consumer.of(ev.ErrorOccurred)] == ["realtime"]
    assert consumer.of(ev.ResponseDone)[0].status == "failed"
    consumer.session.create_response(ResponseOptions())
    await elapse(100.0)
    assert len(consumer.of(ev.ResponseDone)) == 1
    await consumer.session.aclose()
    assert consumer.of(ev.ResponseDone)[-1].status == "cancelled"


@virtual_time
async def test_the_connection_breaks() -> None:
    model = ScriptedRealtimeModel(
        ["one two three"], [Emit((ev.InputCleared("odd"),), after_s=0.1), Disconnect(after_s=0.2)]
    )
    consumer = Consumer(model)
    await consumer.session.start()
    consumer.session.create_response(ResponseOptions())
    await elapse(5.0)
    assert consumer.of(ev.InputCleared) == [ev.InputCleared("odd")]
    (done,) = consumer.of(ev.ResponseDone)
    assert (done.status, done.reason) == ("failed", "connection_lost")
    (failed, error) = consumer.of(ev.ErrorOccurred)
    assert not failed.fatal
    assert error.fatal
    assert isinstance(error.error, ModelConnectionError)
    await consumer.session.aclose()


@virtual_time
async def test_it_may_not_start() -> None:
    model = ScriptedRealtimeModel(start_error=ModelConnectionError("no route", stage="realtime"))
    consumer = Consumer(model)
    with pytest.raises(ModelError, match="no route"):
        await consumer.session.start()
    await consumer.session.aclose()


@virtual_time
async def test_a_script_must_be_used_up_and_suffice() -> None:
    model = ScriptedRealtimeModel(["never asked for"], [UserTurn("too late", after_s=100.0)])
    consumer = Consumer(model)
    await consumer.session.start()
    with pytest.raises(ScriptError, match=r"2 of the script .*never asked for.*too late"):
        await consumer.session.aclose()
    await consumer.session.aclose()  # once is enough
    lax = ScriptedRealtimeModel(["never asked for"], strict=False)
    await Consumer(lax).session.aclose()
    with pytest.raises(ScriptError):
        lax.assert_consumed()

    short = ScriptedRealtimeModel()
    consumer = Consumer(short)
    await consumer.session.start()
    consumer.session.create_response(ResponseOptions())
    await elapse(1.0)
    assert consumer.of(ev.ResponseDone)[0].status == "failed"
    with pytest.raises(ScriptError, match="no reply for answer 1"):
        await consumer.session.aclose()


@virtual_time
async def test_it_is_an_llm_too() -> None:
    model = ScriptedRealtimeModel(["It is noon."])
    context = ChatContext()
    context.add_message("user", "What time is it?")
    chunks = [chunk async for chunk in model.chat(ChatRequest(context))]
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == "It is noon."
