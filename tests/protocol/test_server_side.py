"""What a server answers to what it can't do: every error of section H, each naming the client event at fault."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import LocalProtocolError, RemoteProtocolError, UsageError
from repartee.protocol import events as ev
from repartee.protocol.codec import decode_client_event, encode
from repartee.protocol.config import (
    AudioInputConfig,
    AudioOutputConfig,
    PcmuAudio,
    RealtimeSession,
    SessionAudio,
    TranscriptionSession,
    TranslationSession,
)
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.faults import BETA_DISABLED, CONVERSATION_TOO_LONG, INVALID_API_KEY, INVALID_MODEL
from repartee.protocol.items import (
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    ItemReference,
    Message,
    OutputAudio,
)
from repartee.protocol.model import UNSET
from repartee.protocol.responses import ResponseParams
from repartee.protocol.server_side import HELD_MAX, RESPONSES_MAX
from repartee.protocol.tables import SessionState
from tests.protocol.wire import MS, Wire, turn_detection


def message(item_id: str | None = None) -> Message:
    return Message(id=item_id or UNSET, role="user", content=[InputText(text="hello")])


def voice(name: str) -> ev.SessionUpdate:
    return ev.SessionUpdate(
        session=RealtimeSession(instructions="new", audio=SessionAudio(output=AudioOutputConfig(voice=name)))
    )


def refused(wire: Wire, event: Any) -> ev.ErrorDetails:
    """What comes back for an event: one error and nothing else, and the session goes on."""
    before = wire.server.session
    [error] = wire.force(event)
    assert isinstance(error, ev.Error)
    assert isinstance(error.event_id, str)
    assert error.error.type == "invalid_request_error"
    assert error.error.event_id == "mine"
    assert wire.server.state is SessionState.OPEN
    assert wire.server.session is before
    return error.error


def test_a_second_response() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    error = refused(wire, ev.ResponseCreate(event_id="mine"))
    assert error.code == "conversation_already_has_active_response"
    assert error.message == (
        f"Conversation already has an active response in progress: {wire.client.active_response_id}. "
        "Wait until the response is finished before creating a new one."
    )


@pytest.mark.parametrize("response_id", [UNSET, "resp_other"])
def test_a_cancel_of_nothing(response_id: Any) -> None:
    error = refused(Wire(), ev.ResponseCancel(event_id="mine", response_id=response_id))
    assert (error.code, error.message) == (
        "response_cancel_not_active",
        "Cancellation failed: no active response found",
    )


def test_a_commit_of_too_little() -> None:
    wire = Wire()
    wire.ask(turn_detection(None))
    error = refused(wire, ev.InputAudioBufferCommit(event_id="mine"))
    assert error.code == "input_audio_buffer_commit_empty"
    assert error.message == (
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        "but buffer only has 0.00ms of audio."
    )
    wire.force(ev.InputAudioBufferAppend(audio=bytes(99 * MS + 24)))
    assert "99.50ms" in refused(wire, ev.InputAudioBufferCommit(event_id="mine")).message
    g711 = SessionAudio(input=AudioInputConfig(format=PcmuAudio()))
    wire.ask(ev.SessionUpdate(session=RealtimeSession(audio=g711)))
    wire.ask(ev.InputAudioBufferClear())
    wire.ask(ev.InputAudioBufferAppend(audio=bytes(801)))
    wire.ask(ev.InputAudioBufferCommit())
    assert wire.errors()[2:] == []


def test_truncations() -> None:
    wire = Wire()
    unknown = ev.ConversationItemTruncate(event_id="mine", item_id="no", content_index=0, audio_end_ms=1)
    error = refused(wire, unknown)
    assert (error.code, error.message) == ("item_truncate_invalid_item_id", "Item with item_id not found: no")
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.audio(bytes(1100 * MS)))
    item_id = wire.client.conversation.ids[0]

    def truncate(**fields: Any) -> ev.ErrorDetails:
        wanted = {"item_id": item_id, "content_index": 0, "audio_end_ms": 1300, **fields}
        return refused(wire, ev.ConversationItemTruncate(event_id="mine", **wanted))

    error = truncate()
    assert (error.code, error.message) == (
        "invalid_value",
        "Audio content of 1100ms is already shorter than 1300ms",
    )
    assert truncate(content_index=1).param == "content_index"
    assert truncate(audio_end_ms=-1).param == "audio_end_ms"
    wire.ask(ev.ConversationItemCreate(item=message("u1")))
    assert truncate(item_id="u1").message == "Only model output audio messages can be truncated."


def test_deletions_and_retrievals() -> None:
    error = refused(Wire(), ev.ConversationItemDelete(event_id="mine", item_id="yo"))
    assert (error.code, error.param) == ("item_delete_invalid_item_id", None)
    assert error.message == "Error deleting item: the item with id 'yo' does not exist."
    error = refused(Wire(), ev.ConversationItemRetrieve(event_id="mine", item_id="yo"))
    assert error.code == "item_retrieve_invalid_item_id"


def test_items_that_can_not_be_added() -> None:
    wire = Wire()
    wire.ask(ev.ConversationItemCreate(item=message("u1")))

    def create(item: Item, previous: Any = UNSET) -> ev.ErrorDetails:
        event = ev.ConversationItemCreate(event_id="mine", item=item, previous_item_id=previous)
        error = refused(wire, event)
        assert wire.server.conversation.ids == ("u1",)
        return error

    assert create(message("u1")).code == "item_create_duplicate_item_id"
    error = create(message(), previous="no")
    assert error.code == "item_create_invalid_previous_item_id"
    assert error.message == "Error adding item: the previous item with id 'no' does not exist."
    error = create(message("x" * 39))
    assert (error.code, error.param) == ("string_above_max_length", "item.id")
    assert error.message == (
        "Invalid 'item.id': string too long. Expected a string with maximum length 32, "
        "but got a string with length 39 instead."
    )
    assert create(FunctionCallOutput(call_id="x" * 33, output="")).param == "item.call_id"
    assert create(ItemReference(id="u1")).param == "item.type"
    assert create(Message(role="tool", content=[])).param == "item.role"
    assert create(Message(role="user", content=[OutputAudio()])).param == "item.content[0].type"


@pytest.mark.parametrize(
    "frame, code, param",
    [
        ('{"type":"scooby.dooby.doo","event_id":"mine"}', "invalid_value", "type"),
        ('{"type":"session.close","event_id":"mine"}', "invalid_value", "type"),
        ('{"type":"response.done","event_id":"mine"}', "invalid_value", "type"),
        (
            '{"type":"session.update","event_id":"mine","session":{"type":"realtime","foo":1}}',
            "unknown_parameter",
            "session.foo",
        ),
        (
            '{"type":"session.update","event_id":"mine","session":{"type":"realtime",'
            '"audio":{"input":{"turn_detection":{"type":"server_vad","x":1}}}}}',
            "unknown_parameter",
            "session.audio.input.turn_detection.x",
        ),
        (
            '{"type":"session.update","event_id":"mine","session":{}}',
            "missing_required_parameter",
            "session.type",
        ),
        (
            '{"type":"session.update","event_id":"mine","session":{"type":"party"}}',
            "invalid_value",
            "session.type",
        ),
        (
            '{"type":"session.update","event_id":"mine","session":{"type":"transcription"}}',
            "invalid_value",
            "session.type",
        ),
        (
            '{"type":"conversation.item.create","event_id":"mine","item":{}}',
            "missing_required_parameter",
            "item.type",
        ),
        (
            '{"type":"conversation.item.create","event_id":"mine","item":{"type":"thought"}}',
            "invalid_value",
            "item.type",
        ),
        ('{"type":"input_audio_buffer.append","event_id":"mine","audio":"AAAA"}', "invalid_value", "audio"),
        (
            '{"type":"response.create","event_id":"mine","response":{"input":[{"type":"item_reference","id":"no"}]}}',
            "invalid_value",
            "response.input[0].id",
        ),
    ],
)
def test_events_that_make_no_sense(frame: str, code: str, param: str) -> None:
    wire = Wire()
    wire.up.append(frame.encode())
    wire.flush()
    error = wire.errors()[-1]
    assert (error.code, error.param, error.event_id) == (code, param, "mine")
    assert not list(wire.server.conversation)


def test_unknown_fields_can_be_let_pass() -> None:
    wire = Wire(refuse_unknown_fields=False)
    wire.up.append(b'{"type":"session.update","session":{"type":"realtime","foo":1,"instructions":"x"}}')
    wire.flush()
    assert wire.last(ev.SessionUpdated).session.instructions == "x"


def test_a_frame_that_can_not_be_read() -> None:
    server = Connection(SERVER)
    server.server.start()
    with pytest.raises(RemoteProtocolError) as caught:
        decode_client_event('{"event_id":"mine"}')
    [error] = server.server.refuse(caught.value)
    assert isinstance(error, ev.Error)
    assert (error.error.code, error.error.message) == ("invalid_event", "The 'type' field is missing.")
    assert error.error.event_id == "mine"
    assert b'"param":null' in encode(error)
    assert server.state is SessionState.OPEN


def test_an_event_without_an_id_gets_an_error_without_one() -> None:
    wire = Wire()
    [error] = wire.force(ev.ResponseCancel())
    assert b'"event_id":null' in encode(error)


def test_a_voice_can_not_change_after_it_was_heard_and_nothing_else_of_the_update_does() -> None:
    wire = Wire()
    wire.ask(voice("cedar"))
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.audio(bytes(MS)))
    error = refused(wire, ev.SessionUpdate(event_id="mine", session=voice("marin").session))
    assert error.code == "cannot_update_voice"
    assert error.message == "Cannot update a conversation's voice if assistant audio is present."
    wire.ask(voice("cedar"))  # the same one may be repeated


def test_a_model_can_not_change() -> None:
    wire = Wire()
    wire.ask(ev.SessionUpdate(session=RealtimeSession(model="test")))
    error = refused(wire, ev.SessionUpdate(event_id="mine", session=RealtimeSession(model="other")))
    assert (error.code, error.param) == ("invalid_value", "session.model")


def test_plain_audio_is_taken_in_unless_something_can_be_said_against_it() -> None:
    connection = Connection(SERVER)
    assert not connection.server.take_audio(bytes(960)), "before the session begins"
    connection.server.start()
    assert connection.server.take_audio(bytes(960))
    assert not connection.server.take_audio(bytes(961)), "half a sample"
    assert connection.server.buffered_bytes == 960
    connection.server.end()
    assert not connection.server.take_audio(bytes(960))


def test_a_session_that_is_over() -> None:
    wire = Wire()
    wire.say(wire.server.server.end())
    assert wire.errors()[-1].code == "session_expired"
    assert wire.server.receive(ev.ResponseCreate()) == []
    with pytest.raises(LocalProtocolError, match="session is over"):
        wire.server.server.start()


@pytest.mark.parametrize(
    "fault, fields, code",
    [(INVALID_API_KEY, {}, 3000), (INVALID_MODEL, {"model": "m"}, 4000), (BETA_DISABLED, {}, 4000)],
)
def test_a_session_that_never_begins(fault: Any, fields: Any, code: int) -> None:
    server = Connection(SERVER)
    [error] = server.server.end(fault, **fields)
    assert isinstance(error, ev.Error)
    assert error.error.code == fault.code
    assert server.server.close is not None
    assert server.server.close.code == code
    assert server.server.close.reason == f"invalid_request_error.{fault.code}"


def test_a_conversation_that_is_too_long() -> None:
    wire = Wire()
    wire.say([wire.server.send(CONVERSATION_TOO_LONG.event())])
    assert wire.errors()[0].message == "Conversation is too long to create a Response."
    assert wire.client.state is SessionState.OPEN


def test_items_are_told_without_audio_and_nulls_and_retrieved_with_their_audio() -> None:
    wire = Wire(audio_bytes_max=1000 * MS)
    sound = bytes(range(256)) * 3
    heard = Message(role="user", content=[InputAudio(audio=sound)], status=None, object=None)
    sent = wire.ask(ev.ConversationItemCreate(item=heard))
    added = wire.last(ev.ConversationItemAdded)
    assert encode(added).endswith(
        b'"status":"completed","role":"user","content":[{"type":"input_audio","transcript":null}]}}'
    )
    wire.ask(ev.ConversationItemRetrieve(item_id=sent.item.id))
    assert wire.last(ev.ConversationItemRetrieved).item.content[0].audio == sound


def test_items_may_stand_anywhere() -> None:
    wire = Wire()
    for item_id, previous in (("b", UNSET), ("a", "root"), ("d", "b"), ("c", "b"), ("e", None)):
        wire.ask(ev.ConversationItemCreate(item=message(item_id), previous_item_id=previous))
    assert wire.client.conversation.ids == ("a", "b", "c", "d", "e")
    previous_ids = [e.previous_item_id for e in wire.events if isinstance(e, ev.ConversationItemAdded)]
    assert previous_ids == [None, None, "b", "b", "d"]
    wire.ask(ev.ConversationItemDelete(item_id="c"))
    assert wire.server.conversation.ids == ("a", "b", "d", "e")
    wire.assert_same()


def test_what_waits_for_a_response_waits_in_order() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.ask(ev.ConversationItemCreate(item=FunctionCallOutput(id="o1", call_id="c", output="1")))
    wire.ask(ev.ConversationItemCreate(item=message("u1"), previous_item_id="o1"))
    wire.ask(ev.ConversationItemRetrieve(item_id="o1"))
    wire.ask(ev.ConversationItemDelete(item_id="o1"))
    wire.ask(ev.ConversationItemCreate(item=message("u2")))
    assert wire.server.conversation.ids == ("u2",)
    wire.taken()
    wire.say(writer.finish())
    assert wire.taken() == [
        "response.done",
        "rate_limits.updated",
        *["conversation.item.added", "conversation.item.done"] * 2,
        "conversation.item.retrieved",
        "conversation.item.deleted",
    ]
    assert wire.client.conversation.ids == ("u2", "u1")
    assert wire.client.requests.pending == ()


def test_a_response_begins_once_at_a_time_and_is_skipped_when_it_was_cancelled() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    wire.ask(ev.ResponseCancel())
    assert wire.server.server.next_response() is None
    wire.server.server.respond()
    with pytest.raises(LocalProtocolError, match="is in progress in the conversation"):
        wire.server.server.respond()
    _, made = wire.server.server.respond(ResponseParams(conversation="none"))
    assert len(made) == 1
    assert Connection(SERVER).server.interrupt() == []


def test_more_than_anybody_needs_is_refused_or_not_kept_waiting() -> None:
    wire = Wire()
    side = ev.ResponseCreate(response=ResponseParams(conversation="none"))
    for _ in range(RESPONSES_MAX):
        wire.ask(side)
    assert refused(wire, ev.ResponseCreate(event_id="mine")).code == "rate_limit_exceeded"
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    for _ in range(HELD_MAX + 1):
        wire.ask(ev.ConversationItemCreate(item=FunctionCallOutput(call_id="c", output="")))
    assert len(wire.server.conversation) == 1


def test_kinds_of_sessions() -> None:
    server = Connection(SERVER, kind="transcription")
    assert isinstance(server.session or server.server.start()[0].session, TranscriptionSession)  # type: ignore[attr-defined]
    server = Connection(SERVER, session=TranslationSession(type="translation"))
    assert server.kind == "translation"


def test_a_key_of_the_telephone_is_told_without_an_id() -> None:
    wire = Wire()
    wire.say(wire.server.server.dtmf("#", received_at=1_800_000_000))
    event = wire.last(ev.DtmfEventReceived)
    assert (event.event, event.received_at, event.event_id) == ("#", 1_800_000_000, UNSET)
    with pytest.raises(UsageError, match="'12' is no key"):
        wire.server.server.dtmf("12", received_at=0)
