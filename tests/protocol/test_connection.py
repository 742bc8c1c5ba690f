"""Whole conversations between two ends, in the order in which the live service was recorded (section G)."""

from __future__ import annotations

import pytest

from repartee.errors import LocalProtocolError, RemoteProtocolError, StateError
from repartee.protocol import events as ev
from repartee.protocol.config import (
    AudioInputConfig,
    AudioOutputConfig,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionAudio,
    Transcription,
    TranscriptionSession,
    TranslationSession,
)
from repartee.protocol.connection import CLIENT, SERVER, Connection
from repartee.protocol.items import FunctionCallOutput, InputText, ItemReference, Message
from repartee.protocol.model import UNSET
from repartee.protocol.responses import Response, ResponseParams
from repartee.protocol.tables import SessionState
from tests.protocol.wire import MS, Wire, turn_detection

SPOKEN_TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
MESSAGE_HEAD = ["response.output_item.added", "conversation.item.added", "response.content_part.added"]
TEXT_TAIL = ["response.output_text.done", *SPOKEN_TAIL[2:]]


def user(text: str, item_id: str | None = None) -> ev.ConversationItemCreate:
    return ev.ConversationItemCreate(
        item=Message(id=item_id or UNSET, role="user", content=[InputText(text=text)])
    )


def text_response(**fields: object) -> ev.ResponseCreate:
    return ev.ResponseCreate(response=ResponseParams(output_modalities=["text"], **fields))  # type: ignore[arg-type]


def test_a_session_starts_and_is_updated_as_a_whole() -> None:
    wire = Wire()
    wire.ask(ev.SessionUpdate(session=RealtimeSession(instructions="Be brief.", tools=[], tracing=None)))
    assert wire.taken() == ["session.created", "session.updated"]
    session = wire.last(ev.SessionUpdated).session
    assert (session.instructions, session.output_modalities) == ("Be brief.", ["audio"])
    assert session.audio.input.turn_detection.silence_duration_ms == 500
    wire.assert_same()


def test_an_update_may_be_in_flight_before_the_session_is_created() -> None:
    server, client = Connection(SERVER), Connection(CLIENT, strict=True)
    created = server.server.start()
    update = client.send(ev.SessionUpdate(session=RealtimeSession(instructions="x")))
    assert client.state is SessionState.CONNECTING
    for event in [*created, *server.receive(update)]:
        client.receive(event)
    assert (client.answered, client.state) == (update, SessionState.OPEN)
    assert client.requests.pending == ()


def test_a_spoken_turn() -> None:
    wire = Wire()
    wire.taken()
    item = wire.server.server.user_item()
    wire.say(item.speech_started(120))
    wire.say(item.transcript_delta("what"))
    assert wire.client.flow.input_item_id == item.item_id
    wire.say(item.speech_stopped(900))
    wire.say(item.commit())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.transcript("It is"))
    wire.say(writer.audio(bytes(100 * MS)))
    wire.say(item.transcript_completed("what time is it"))
    wire.say(writer.transcript(" noon."))
    wire.say(writer.audio(bytes(50 * MS)))
    wire.say(writer.finish())
    delta = "conversation.item.input_audio_transcription.delta"
    assert wire.taken() == [
        "input_audio_buffer.speech_started",
        delta,
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        *MESSAGE_HEAD,
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        *SPOKEN_TAIL,
    ]
    said, answer = wire.client.conversation
    assert said.content[0].transcript == "what time is it"  # type: ignore[attr-defined]
    assert answer.content[0].transcript == "It is noon."  # type: ignore[attr-defined]
    entry = wire.client.conversation.entry(wire.client.conversation.ids[1])
    assert entry is not None
    assert entry.audio_ms() == 150
    done = wire.last(ev.ResponseDone).response
    assert (done.status, done.status_details, done.metadata) == ("completed", None, None)
    assert [item.id for item in done.output] == [wire.client.conversation.ids[1]]
    wire.assert_same()


def test_no_response_where_the_turn_detection_makes_none() -> None:
    wire = Wire()
    wire.ask(turn_detection(SemanticVad(create_response=False)))
    item = wire.server.server.user_item()
    wire.say([*item.speech_started(0), *item.speech_stopped(500), *item.commit()])
    assert wire.server.server.next_response() is None
    assert wire.client.active_response_id is None


def test_the_idle_timeout_commits_silence_and_responds() -> None:
    wire = Wire()
    wire.ask(turn_detection(ServerVad(idle_timeout_ms=6000)))
    wire.taken()
    item = wire.server.server.user_item()
    wire.say(item.timeout_triggered(1000, 7000))
    wire.say(item.commit())
    assert wire.taken() == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]


def test_a_text_turn() -> None:
    wire = Wire()
    wire.taken()
    wire.ask(user("hello", "item_mine"))
    assert wire.taken() == ["conversation.item.added", "conversation.item.done"]
    wire.ask(text_response(metadata={"a": "b"}))
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.text("Hi"))
    wire.say(writer.text("."))
    wire.say(writer.finish())
    assert wire.taken() == [
        "response.created",
        *MESSAGE_HEAD,
        "response.output_text.delta",
        "response.output_text.delta",
        *TEXT_TAIL,
    ]
    assert wire.last(ev.ResponseDone).response.metadata == {"a": "b"}
    assert wire.last(ev.ConversationItemDone).previous_item_id == "item_mine"
    with pytest.raises(StateError, match="is text, not audio"):
        writer.audio(b"")
    wire.assert_same()


def test_a_manual_commit_starts_no_response() -> None:
    wire = Wire()
    wire.ask(turn_detection(None))
    wire.taken()
    for _ in range(5):
        wire.ask(ev.InputAudioBufferAppend(audio=bytes(20 * MS)))
    wire.ask(ev.InputAudioBufferCommit())
    assert wire.taken() == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert wire.client.conversation.ids
    wire.ask(ev.ResponseCreate())
    assert wire.taken() == ["response.created"]
    wire.assert_same()


def test_a_client_commit_ends_a_turn_early() -> None:
    wire = Wire()
    wire.ask(ev.InputAudioBufferAppend(audio=bytes(200 * MS)))
    item = wire.server.server.user_item()
    wire.say(item.speech_started(0))
    wire.taken()
    wire.ask(ev.InputAudioBufferCommit())
    assert wire.last(ev.InputAudioBufferCommitted).item_id == item.item_id
    assert item.speech_stopped(300) == []
    assert item.commit() == []
    wire.assert_same()


def test_a_cleared_buffer_forgets_the_turn() -> None:
    wire = Wire()
    item = wire.server.server.user_item()
    wire.say(item.speech_started(0))
    wire.ask(ev.InputAudioBufferClear())
    assert wire.log[-1] == "input_audio_buffer.cleared"
    assert item.transcript_delta("x") == item.speech_stopped(5) == []
    wire.assert_same()


def test_a_message_and_calls_overlap_and_the_output_waits_for_the_end() -> None:
    wire = Wire()
    wire.ask(text_response())
    wire.taken()
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.begin_message(phase="commentary"))
    wire.say(writer.text("One moment"))
    wire.say(writer.begin_call("time", call_id="call_1"))
    wire.say(writer.arguments("{}"))
    wire.say(writer.end_message())
    wire.say(writer.end_call())
    call = wire.last(ev.ResponseFunctionCallArgumentsDone)
    assert (call.call_id, call.name, call.arguments) == ("call_1", "time", "{}")
    wire.ask(ev.ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="noon")))
    wire.say(writer.finish())
    assert wire.taken() == [
        *MESSAGE_HEAD,
        "response.output_text.delta",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert [type(item).__name__ for item in wire.client.conversation] == [
        "Message",
        "FunctionCall",
        "FunctionCallOutput",
    ]
    assert [item.status for item in wire.last(ev.ResponseDone).response.output] == ["completed"] * 2
    wire.assert_same()


def test_a_client_cancels() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say([*writer.transcript("Once upon"), *writer.audio(bytes(1000 * MS)), *writer.begin_call("f")])
    wire.taken()
    wire.ask(ev.ResponseCancel())
    assert wire.taken() == [
        *SPOKEN_TAIL[:5],
        "conversation.item.done",
        "response.output_item.done",
        *SPOKEN_TAIL[5:],
    ]
    response = wire.last(ev.ResponseDone).response
    assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
    assert [item.status for item in response.output] == ["incomplete", "incomplete"]
    assert writer.finished
    assert writer.audio(bytes(MS)) == writer.finish() == writer.end_message() == writer.arguments("x") == []
    wire.ask(
        ev.ConversationItemTruncate(
            item_id=wire.client.conversation.ids[0], content_index=0, audio_end_ms=400
        )
    )
    assert wire.taken() == ["conversation.item.truncated"]
    [item, _] = wire.client.conversation
    assert item.content[0].transcript is UNSET  # type: ignore[attr-defined]
    wire.assert_same()


def test_speech_interrupts_and_truncation_comes_while_the_item_grows() -> None:
    wire = Wire()
    wire.ask(turn_detection(ServerVad(interrupt_response=False)))
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say([*writer.transcript("A long story"), *writer.audio(bytes(1100 * MS))])
    item = wire.server.server.user_item()
    wire.say(item.speech_started(0))
    assert not writer.finished
    answer_id = wire.client.conversation.ids[-1]
    for end_ms in (900, 900, 800):
        wire.ask(ev.ConversationItemTruncate(item_id=answer_id, content_index=0, audio_end_ms=end_ms))
    wire.say(writer.audio(bytes(MS)))
    wire.say([*item.speech_stopped(10), *item.commit()])
    assert wire.server.server.next_response() is None  # one is in progress
    wire.ask(turn_detection(ServerVad()))
    again = wire.server.server.user_item()
    wire.taken()
    wire.say(again.speech_started(0))
    assert wire.taken() == ["input_audio_buffer.speech_started", *SPOKEN_TAIL]
    assert wire.last(ev.ResponseDone).response.status_details.reason == "turn_detected"
    assert wire.errors() == []
    entry = wire.server.conversation.entry(answer_id)
    assert entry is not None
    assert entry.item.content[0].transcript is UNSET  # type: ignore[attr-defined]
    assert entry.audio_ms() == 800
    wire.assert_same()


def test_out_of_band_responses_run_beside_the_conversation() -> None:
    wire = Wire()
    wire.ask(user("hello", "u1"))
    wire.ask(ev.ResponseCreate())
    main = wire.server.server.next_response()
    wire.ask(text_response(conversation="none", input=[ItemReference(id="u1")], metadata={"topic": "x"}))
    side = wire.server.server.next_response()
    assert main is not None
    assert side is not None
    wire.taken()
    wire.say([*side.text("Greeting"), *main.audio(bytes(MS)), *side.begin_call("f"), *side.arguments("{}")])
    wire.say(side.finish())
    joined = [event for event in wire.events if isinstance(event, ev.ConversationItemAdded)]
    assert len(joined) == 2  # the client's and the main response's
    done = wire.last(ev.ResponseDone).response
    assert (done.conversation_id, done.metadata) == (None, {"topic": "x"})
    assert len(wire.client.conversation) == 2
    assert wire.client.active_response_id == main.id
    wire.ask(ev.ResponseCancel(response_id=main.id))
    assert wire.client.flow.active is None
    wire.assert_same()


def test_a_transcription_session_has_no_responses() -> None:
    wire = Wire("transcription")
    update = TranscriptionSession(
        audio=SessionAudio(input=AudioInputConfig(transcription=Transcription(model="whisper-1")))
    )
    wire.ask(ev.SessionUpdate(session=update))
    assert wire.last(ev.SessionUpdated).session.audio.input.transcription == Transcription(
        model="whisper-1", language=None, prompt=None
    )
    wire.taken()
    item = wire.server.server.user_item()
    wire.say([*item.speech_started(0), *item.speech_stopped(500), *item.commit()])
    wire.say([*item.transcript_delta("a"), *item.transcript_segment("a", speaker="A", start=0.0, end=0.5)])
    wire.say(item.transcript_failed("no model", code="x"))
    assert wire.taken()[2:5] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    with pytest.raises(LocalProtocolError, match=r"response\.create"):
        wire.client.send(ev.ResponseCreate())
    with pytest.raises(LocalProtocolError, match="no place in a transcription session"):
        wire.server.server.respond()
    wire.assert_same()


def test_a_translation_session() -> None:
    wire = Wire("translation")
    session = TranslationSession(
        audio=SessionAudio(
            input=AudioInputConfig(transcription=Transcription(model="m")),
            output=AudioOutputConfig(language="de"),
        )
    )
    wire.ask(ev.SessionUpdate(session=session))
    assert wire.last(ev.SessionUpdated).session.audio.output.language == "de"
    with pytest.raises(LocalProtocolError, match="no whole number of 16-bit samples"):
        wire.client.send(ev.SessionInputAudioBufferAppend(audio=b"odd"))
    wire.ask(ev.SessionInputAudioBufferAppend(audio=bytes(200 * MS)))
    wire.say([wire.server.send(ev.SessionInputTranscriptDelta(delta="good"))])
    wire.ask(ev.SessionClose())
    assert wire.server.state is wire.client.state is SessionState.CLOSING
    with pytest.raises(LocalProtocolError, match="session is over"):
        wire.client.send(ev.SessionInputAudioBufferAppend(audio=b""))
    wire.say(
        [
            wire.server.send(ev.SessionOutputTranscriptDelta(delta="gut")),
            wire.server.send(ev.SessionOutputAudioDelta(delta=bytes(4))),
            wire.server.send(ev.SessionClosed()),
        ]
    )
    assert wire.client.state.value == "closed"
    with pytest.raises(LocalProtocolError, match=r"conversation\.item\.create"):
        wire.client.send(user("x"))
    with pytest.raises(LocalProtocolError, match="session is over"):
        wire.server.send(ev.SessionOutputTranscriptDelta(delta="x"))
    wire.assert_same()


def test_playback_at_the_server() -> None:
    wire = Wire()
    wire.ask(ev.OutputAudioBufferClear())  # nothing plays: nothing is answered
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.transcript("Hi"))
    wire.say([wire.server.send(ev.OutputAudioBufferStarted(response_id=writer.id))])
    wire.say(writer.finish())
    wire.ask(ev.OutputAudioBufferClear())
    assert wire.log[-1] == "output_audio_buffer.cleared"
    with pytest.raises(LocalProtocolError, match=r"output_audio_buffer\.stopped is not possible"):
        wire.server.send(ev.OutputAudioBufferStopped(response_id=writer.id))
    wire.assert_same()


def test_an_attached_client_has_no_beginning_and_sees_what_it_can() -> None:
    client = Connection(CLIENT, attached=True, strict=True)
    client.send(ev.ConversationItemDelete(item_id="never_seen"))
    client.receive(
        ev.ResponseOutputTextDelta(response_id="r", item_id="i", output_index=0, content_index=0, delta="x")
    )
    assert client.state is SessionState.OPEN
    assert len(client.flow.deviations) == 1


def test_each_end_sends_only_its_own() -> None:
    wire = Wire()
    with pytest.raises(LocalProtocolError, match="client sends no ResponseCreated"):
        wire.client.send(ev.ResponseCreated(response=Response()))
    with pytest.raises(LocalProtocolError, match="server sends no ResponseCreate"):
        wire.server.send(ev.ResponseCreate())
    with pytest.raises(StateError, match="is the client"):
        _ = wire.client.server


def test_a_strict_client_refuses_what_is_out_of_order_and_a_lenient_one_notes_it() -> None:
    stray = ev.ResponseOutputAudioDelta(
        response_id="r", item_id="i", output_index=0, content_index=0, delta=b""
    )
    wire = Wire()
    with pytest.raises(RemoteProtocolError, match="no response 'r' in progress"):
        wire.client.receive(stray)
    lenient = Connection(CLIENT)
    lenient.receive(stray)
    assert lenient.flow.deviations[0].code == "invalid_event"


def test_what_a_session_expires_with() -> None:
    wire = Wire()
    wire.say(wire.server.server.end())
    assert wire.errors()[0].code == "session_expired"
    close = wire.server.server.close
    assert close is not None
    assert (close.code, close.reason) == (1001, "Your session hit the maximum duration of 60 minutes.")
    assert wire.server.state is SessionState.CLOSED
