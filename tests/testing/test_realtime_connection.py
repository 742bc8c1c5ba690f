"""What one connection to a scripted server does, event by event. On virtual time, in memory."""

from __future__ import annotations

import asyncio

import pytest

from repartee.protocol import events as ev
from repartee.protocol.config import (
    AudioInputConfig,
    AudioOutputConfig,
    PcmuAudio,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionAudio,
    Transcription,
    TranscriptionSession,
)
from repartee.protocol.items import FunctionCallOutput, InputText, Message
from repartee.protocol.responses import ResponseParams
from repartee.testing import Reply, call_function, elapse, virtual_time
from repartee.testing.realtime_connection import ServerManner
from repartee.testing.realtime_faults import drop, freeze, lag
from repartee.testing.realtime_replies import FailedReply
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.realtime_voice import speak
from repartee.testing.speech import decode
from tests.testing.realtime_peer import Peer, Request

SPOKEN_TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
WHISPER = Transcription(model="whisper-1")
STREAMING = Transcription(model="gpt-realtime-whisper")


# -- turns ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_spoken_turn_in_the_recorded_order() -> None:
    server = ScriptedRealtimeServer()
    peer = await Peer.connect(server)
    peer.configure(transcription=STREAMING)
    peer.speak("good morning")
    await peer.until(ev.RateLimitsUpdated)
    speech = ["response.output_audio_transcript.delta", "response.output_audio.delta"]
    types = [event for event in peer.types if event not in speech]
    assert types == [
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        DELTA,
        DELTA,
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        COMPLETED,
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        *SPOKEN_TAIL,
    ]
    assert [event for event in peer.types if event in speech][:2] == speech  # words come before their sound
    assert peer.transcript == "You said: good morning."
    assert [word.text for word in decode(peer.audio, 24_000)] == peer.transcript.split()
    usage = peer.all(ev.TranscriptionCompleted)[0].usage
    assert usage.seconds == pytest.approx(1.0)  # half a second of speech, and of silence
    await peer.aclose()


@virtual_time
async def test_a_typed_turn_in_text() -> None:
    server = ScriptedRealtimeServer(["Fine, thanks."])
    peer = await Peer.connect(server)
    peer.configure(output_modalities=["text"])
    peer.type_text("how are you")
    peer.send(ev.ResponseCreate())
    done = await peer.until(ev.ResponseDone)
    assert [event.delta for event in peer.all(ev.ResponseOutputTextDelta)] == ["Fine,", " thanks."]
    assert done.response.output[0].content[0].text == "Fine, thanks."
    assert done.response.usage.output_tokens > 0
    [question] = server.connection.questions
    assert question.text == "how are you"
    await peer.aclose()


@virtual_time
async def test_push_to_talk() -> None:
    server = ScriptedRealtimeServer(["Roger."])
    peer = await Peer.connect(server)
    peer.configure(turn_detection=None, transcription=WHISPER)
    peer.speak("over to you", silence_s=0)
    peer.send(ev.InputAudioBufferCommit())
    await peer.until(ev.TranscriptionCompleted)
    assert peer.types[2:] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        DELTA,
        COMPLETED,
    ]
    assert peer.all(ev.TranscriptionDelta)[0].delta == "over to you"  # whole, from whisper-1
    peer.send(ev.ResponseCreate())
    await peer.until(ev.ResponseDone)
    assert server.connection.questions[0].text == "over to you"
    [item_id, _] = peer.protocol.conversation.ids
    peer.send(ev.ConversationItemRetrieve(item_id=item_id))
    item = (await peer.until(ev.ConversationItemRetrieved)).item
    assert [word.text for word in decode(item.content[0].audio, 24_000)] == ["over", "to", "you"]
    await peer.aclose()


@virtual_time
async def test_a_streaming_transcription_comes_before_the_commit() -> None:
    server = ScriptedRealtimeServer(["Roger."])
    peer = await Peer.connect(server, strict=False)
    peer.configure(turn_detection=None, transcription=STREAMING)
    peer.speak("over to you", silence_s=0)
    await peer.until(ev.TranscriptionDelta, 3)
    assert peer.all(ev.InputAudioBufferCommitted) == []
    peer.send(ev.InputAudioBufferCommit())
    completed = await peer.until(ev.TranscriptionCompleted)
    committed = await peer.until(ev.InputAudioBufferCommitted)
    deltas = peer.all(ev.TranscriptionDelta)
    assert [event.delta for event in deltas] == ["over", " to", " you"]
    assert {event.item_id for event in deltas} == {completed.item_id} == {committed.item_id}
    assert completed.transcript == "over to you"
    await peer.aclose()


@virtual_time
async def test_scripted_words_stream_with_the_sound() -> None:
    server = ScriptedRealtimeServer(manner=ServerManner(transcripts=("one two three four",)))
    peer = await Peer.connect(server)
    peer.configure(transcription=STREAMING)
    peer.speak("hm hm", silence_s=0)
    await elapse(1.0)
    assert [event.delta for event in peer.all(ev.TranscriptionDelta)] == ["one", " two"]
    peer.send(ev.InputAudioBufferAppend(audio=bytes(48 * 600)))
    assert (await peer.until(ev.TranscriptionCompleted)).transcript == "one two three four"
    assert [event.delta for event in peer.all(ev.TranscriptionDelta)] == ["one", " two", " three", " four"]
    await peer.aclose()


@virtual_time
async def test_cleared_audio_is_no_turn() -> None:
    peer = await Peer.connect(ScriptedRealtimeServer())
    peer.configure(turn_detection=None)
    peer.speak("never mind", silence_s=0)
    peer.send(ev.InputAudioBufferClear())
    peer.force(ev.InputAudioBufferCommit())
    error = (await peer.until(ev.Error)).error
    assert error.code == "input_audio_buffer_commit_empty"
    assert "input_audio_buffer.cleared" in peer.types
    await peer.aclose()


@virtual_time
async def test_turn_detection_may_leave_the_response_to_the_client() -> None:
    server = ScriptedRealtimeServer()
    peer = await Peer.connect(server)
    peer.configure(turn_detection=SemanticVad(eagerness="high", create_response=False))
    peer.speak("well", silence_s=0.4)
    await peer.until(ev.ConversationItemDone)
    await elapse(1.0)
    assert peer.all(ev.ResponseCreated) == []
    assert peer.all(ev.InputAudioBufferSpeechStopped)[0].audio_end_ms == 550
    await peer.aclose()


@virtual_time
async def test_what_it_heard_may_be_scripted() -> None:
    manner = ServerManner(transcripts=("first thing", "second thing"))
    server = ScriptedRealtimeServer(
        {"first thing": "One.", "second thing": "Two.", "": "None."}, manner=manner
    )
    peer = await Peer.connect(server)
    peer.configure(transcription=STREAMING)
    for count in (1, 2, 3):
        peer.speak("mumble")
        await peer.until(ev.ResponseDone, count)
    assert peer.transcript == "One.Two.None."
    assert [event.transcript for event in peer.all(ev.TranscriptionCompleted)] == [
        "first thing",
        "second thing",
        "",
    ]
    await peer.aclose()


@virtual_time
async def test_telephony_both_ways() -> None:
    server = ScriptedRealtimeServer(["Hello."])
    peer = await Peer.connect(server)
    output = AudioOutputConfig(format=PcmuAudio())
    audio = SessionAudio(input=AudioInputConfig(format=PcmuAudio()), output=output)
    peer.send(ev.SessionUpdate(session=RealtimeSession(audio=audio)))
    await peer.until(ev.SessionUpdated)
    for chunk in speak("hello", format="ulaw"):
        peer.send(ev.InputAudioBufferAppend(audio=chunk.audio))
    peer.send(ev.InputAudioBufferAppend(audio=b"\xff" * 8 * 600))
    done = await peer.until(ev.ResponseDone)
    assert len(peer.audio) == 250 * 8
    assert done.response.status == "completed"
    await peer.aclose()


# -- functions, and what else a response may be --------------------------------------------------------------


@virtual_time
async def test_a_function_is_called_and_its_output_answered() -> None:
    call = call_function("get_time", "call_1", zone="UTC")
    server = ScriptedRealtimeServer([Reply("One moment.", (call,)), "It is noon."])
    peer = await Peer.connect(server)
    peer.type_text("what time is it")
    peer.send(ev.ResponseCreate())
    arguments = await peer.until(ev.ResponseFunctionCallArgumentsDone)
    assert (arguments.name, arguments.call_id, arguments.arguments) == (
        "get_time",
        "call_1",
        '{"zone": "UTC"}',
    )
    # The output comes before the response is done, as from clients in a hurry, and joins behind its items.
    peer.send(ev.ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="12:00")))
    await peer.until(ev.ResponseDone)
    peer.send(ev.ResponseCreate())
    await peer.until(ev.ResponseDone, 2)
    kinds = [type(item).__name__ for item in peer.protocol.conversation]
    assert kinds == ["Message", "Message", "FunctionCall", "FunctionCallOutput", "Message"]
    assert peer.transcript == "One moment.It is noon."
    assert [question.text for question in server.connection.questions] == ["what time is it", "12:00"]
    await peer.aclose()


@virtual_time
async def test_out_of_band_beside_the_conversation() -> None:
    server = ScriptedRealtimeServer({"hi": "Hello there, how can I help?", "*": "greeting"})
    peer = await Peer.connect(server)
    peer.type_text("hi")
    peer.send(ev.ResponseCreate())
    beside = ResponseParams(
        conversation="none",
        metadata={"topic": "class"},
        output_modalities=["text"],
        input=[Message(role="user", content=[InputText(text="classify")])],
    )
    peer.send(ev.ResponseCreate(response=beside))
    first = (await peer.until(ev.ResponseDone)).response
    assert (first.metadata, first.conversation_id) == ({"topic": "class"}, None)
    assert first.output[0].content[0].text == "greeting"
    second = (await peer.until(ev.ResponseDone, 2)).response
    assert second.output[0].content[0].transcript == "Hello there, how can I help?"
    assert len(peer.protocol.conversation) == 2
    await peer.aclose()


@virtual_time
async def test_responses_that_fail_say_why() -> None:
    server = ScriptedRealtimeServer(
        [
            FailedReply("inference_rate_limit_exceeded", "Slow down."),
            FailedReply("max_output_tokens", text="On and", status="incomplete"),
        ]
    )
    peer = await Peer.connect(server)
    for count in (1, 2, 3):
        peer.send(ev.ResponseCreate())
        await peer.until(ev.ResponseDone, count)
    failed, incomplete, unscripted = [event.response for event in peer.all(ev.ResponseDone)]
    assert failed.status_details.error.code == "inference_rate_limit_exceeded"
    assert (incomplete.status, incomplete.status_details.reason) == ("incomplete", "max_output_tokens")
    assert incomplete.output[0].content[0].transcript == "On and"
    assert unscripted.status_details.error.code == "script_error"
    assert len(server.connection.script_errors) == 1
    await peer.aclose()


@virtual_time
async def test_it_may_speak_up_by_itself() -> None:
    server = ScriptedRealtimeServer(["Are you still there?"])
    peer = await Peer.connect(server)
    await peer.until(ev.SessionCreated)
    server.connection.respond()
    await peer.until(ev.ResponseDone)
    assert peer.transcript == "Are you still there?"
    await peer.aclose()


@virtual_time
async def test_it_speaks_up_when_nobody_says_anything() -> None:
    manner = ServerManner(transcripts=("one", "", "two"))
    server = ScriptedRealtimeServer(["Fine.", "Hello?", "Good."], manner=manner)
    peer = await Peer.connect(server)
    peer.configure(turn_detection=ServerVad(idle_timeout_ms=5000))
    peer.speak("one")
    await peer.until(ev.ResponseDone)
    await elapse(5.0)
    assert peer.all(ev.InputAudioBufferTimeoutTriggered) == []
    await peer.until(ev.ResponseDone, 2)
    at = peer.types.index("input_audio_buffer.timeout_triggered")
    assert peer.types[at + 1 : at + 5] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    peer.speak("two")  # in time: nothing is triggered again while it is said
    await peer.until(ev.ResponseDone, 3)
    await elapse(3.0)
    assert len(peer.all(ev.InputAudioBufferTimeoutTriggered)) == 1
    assert peer.transcript == "Fine.Hello?Good."
    await peer.aclose()


# -- interruption --------------------------------------------------------------------------------------------


@virtual_time
async def test_the_callers_voice_cuts_it_off() -> None:
    manner = ServerManner(chunk_s=0.1)
    server = ScriptedRealtimeServer(["One two three four five six seven.", "Sorry."], manner=manner)
    peer = await Peer.connect(server)
    peer.speak("count")
    await peer.until(ev.ResponseOutputAudioDelta, 5)
    peer.speak("stop")
    first = (await peer.until(ev.ResponseDone)).response
    assert (first.status, first.status_details.reason) == ("cancelled", "turn_detected")
    assert first.output[0].status == "incomplete"
    started = [index for index, t in enumerate(peer.types) if t == "input_audio_buffer.speech_started"]
    assert peer.types[started[1] + 1 : started[1] + 8] == SPOKEN_TAIL
    item_id = first.output[0].id
    peer.send(ev.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=300))
    await peer.until(ev.ConversationItemTruncated)
    await peer.until(ev.ResponseDone, 2)
    assert peer.transcript.endswith("Sorry.")
    await peer.aclose()


@virtual_time
async def test_the_client_cancels_and_truncates() -> None:
    manner = ServerManner(chunk_s=0.1)
    server = ScriptedRealtimeServer(["One two three four five."], manner=manner)
    peer = await Peer.connect(server)
    peer.send(ev.ResponseCreate())
    delta = await peer.until(ev.ResponseOutputAudioDelta, 3)
    truncate = ev.ConversationItemTruncate(item_id=delta.item_id, content_index=0, audio_end_ms=200)
    peer.send(truncate, ev.ResponseCancel())
    done = (await peer.until(ev.ResponseDone)).response
    assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
    before = len(peer.audio)
    await elapse(2.0)
    assert len(peer.audio) == before
    entry = peer.protocol.conversation.entry(delta.item_id)
    assert entry is not None
    assert entry.truncated_ms == {0: 200}
    peer.force(ev.ResponseCancel())
    assert (await peer.until(ev.Error)).error.code == "response_cancel_not_active"
    await peer.aclose()


# -- transcription -------------------------------------------------------------------------------------------


@virtual_time
async def test_transcriptions_may_come_in_the_wrong_order() -> None:
    server = ScriptedRealtimeServer(manner=ServerManner(transcripts_reordered=True))
    peer = await Peer.connect(server)
    peer.configure(transcription=WHISPER)
    for count, word in enumerate(["one", "two", "three", "four"], 1):
        peer.speak(word)
        await peer.until(ev.ResponseDone, count)
    await peer.until(ev.TranscriptionCompleted, 4)
    assert [e.transcript for e in peer.all(ev.TranscriptionCompleted)] == ["two", "one", "four", "three"]
    await peer.aclose()


@virtual_time
async def test_a_transcription_session_only_writes_down() -> None:
    server = ScriptedRealtimeServer()
    request = Request(url="ws://scripted.test/v1/realtime?intent=transcription")
    peer = await Peer.connect(server, request, kind="transcription")
    heard = AudioInputConfig(
        transcription=Transcription(model="gpt-4o-transcribe"), turn_detection=ServerVad()
    )
    peer.send(ev.SessionUpdate(session=TranscriptionSession(audio=SessionAudio(input=heard))))
    peer.speak("note this down")
    assert (await peer.until(ev.TranscriptionCompleted)).transcript == "note this down"
    assert [event.delta for event in peer.all(ev.TranscriptionDelta)] == ["note", " this", " down"]
    assert not any(t.startswith("response.") for t in peer.types)
    await peer.aclose()


# -- errors and ends -----------------------------------------------------------------------------------------


@virtual_time
async def test_what_it_cannot_read_is_an_error_and_not_the_end() -> None:
    peer = await Peer.connect(ScriptedRealtimeServer())
    for frame in (b"\x00binary", b"{nonsense", b'{"type":"scooby.dooby.doo","event_id":"e1"}', b'{"a":1}'):
        peer.send_frame(frame)
    await peer.until(ev.Error, 4)
    errors = [event.error for event in peer.all(ev.Error)]
    assert [error.code for error in errors] == [
        "invalid_event",
        "invalid_event",
        "invalid_value",
        "invalid_event",
    ]
    assert errors[2].event_id == "e1"
    peer.type_text("still here")
    await peer.until(ev.ConversationItemDone)
    await peer.aclose()


@virtual_time
async def test_a_session_expires_in_the_middle_of_a_reply() -> None:
    manner = ServerManner(chunk_s=0.1)
    server = ScriptedRealtimeServer(["One two three four five."], manner=manner, session_s=1.0)
    peer = await Peer.connect(server)
    await elapse(0.9)
    peer.send(ev.ResponseCreate())
    assert await peer.until_closed() == (1001, "Your session hit the maximum duration of 60 minutes.")
    assert peer.all(ev.Error)[-1].error.code == "session_expired"
    assert peer.types[-1] == "error"
    assert server.connection.ended.is_set()
    server.connection.expire()  # once is enough
    await peer.aclose()


@virtual_time
async def test_it_closes_errs_and_says_anything_on_demand() -> None:
    server = ScriptedRealtimeServer()
    peer = await Peer.connect(server)
    server.connection.fail("server_error", "Something broke.")
    server.connection.inject(
        {"type": "session.created", "event_id": "e", "session": {"type": "realtime", "model": "odd"}}
    )
    server.connection.close(1012, "restart")
    peer.protocol.flow.strict = False
    assert await peer.until_closed() == (1012, "restart")
    assert peer.types == ["session.created", "error", "session.created"]
    assert peer.all(ev.Error)[0].error.message == "Something broke."
    await peer.aclose()


@virtual_time
async def test_what_came_and_went_is_remembered() -> None:
    server = ScriptedRealtimeServer()
    peer = await Peer.connect(server)
    peer.type_text("hello")
    peer.send(ev.ResponseCreate())
    await peer.until(ev.RateLimitsUpdated)
    connection = server.connection
    assert [type(event).__name__ for event in connection.received] == [
        "ConversationItemCreate",
        "ResponseCreate",
    ]
    assert connection.sent == peer.events
    assert (connection.count("response.create"), connection.count("response.done")) == (1, 1)
    await peer.aclose()


@virtual_time
async def test_a_translation_is_closed_when_that_is_asked() -> None:
    server = ScriptedRealtimeServer()
    request = Request(url="ws://scripted.test/v1/realtime/translations?model=m")
    peer = await Peer.connect(server, request, kind="translation")
    await peer.until(ev.SessionCreated)
    peer.send(ev.SessionInputAudioBufferAppend(audio=bytes(960)), ev.SessionClose())
    assert await peer.until_closed() == (1000, "")
    assert peer.types == ["session.created", "session.closed"]
    await peer.aclose()


# -- faults --------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_connection_breaks_behind_the_nth_event() -> None:
    server = ScriptedRealtimeServer(faults=[drop(after=4)])
    peer = await Peer.connect(server)
    peer.type_text("hello")
    peer.send(ev.ResponseCreate())
    assert await peer.until_closed() == (1006, "")
    assert peer.types == [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    await elapse(1.0)
    await peer.aclose()


@virtual_time
async def test_a_connection_breaks_when_the_client_says_something() -> None:
    server = ScriptedRealtimeServer(faults=[drop(on="response.create")])
    peer = await Peer.connect(server)
    peer.type_text("hello")
    peer.send(ev.ResponseCreate())
    assert await peer.until_closed() == (1006, "")
    assert "response.created" not in peer.types
    await peer.aclose()


@virtual_time
async def test_a_frozen_connection_says_nothing_and_stays() -> None:
    server = ScriptedRealtimeServer(faults=[freeze(on="response.created")])
    peer = await Peer.connect(server)
    peer.send(ev.ResponseCreate())
    await peer.until(ev.ResponseCreated)
    peer.type_text("hello?")
    await elapse(60.0)
    assert peer.types == ["session.created", "response.created"]
    assert peer.closed is None
    assert server.connection.count("conversation.item.create") == 0
    await peer.aclose()


@virtual_time
async def test_a_slow_connection_takes_its_time() -> None:
    server = ScriptedRealtimeServer(faults=[lag(0.5)])
    peer = await Peer.connect(server)
    await peer.until(ev.SessionCreated)
    peer.type_text("hello")
    await elapse(0.9)
    assert peer.types == ["session.created", "conversation.item.added"]
    await peer.until(ev.ConversationItemDone)
    await peer.aclose()


@virtual_time
async def test_a_fault_of_the_server_is_not_hidden() -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    def rule(question: object) -> str:
        raise ValueError("the rule is wrong")

    peer = await Peer.connect(ScriptedRealtimeServer(rule))
    peer.send(ev.ResponseCreate())
    await elapse(1.0)
    assert told == ["the rule is wrong"]
    await peer.aclose()
