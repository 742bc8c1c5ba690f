"""What a client may ask for, given what it asked for before."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import LocalProtocolError
from repartee.protocol import events as ev
from repartee.protocol.config import (
    AudioOutputConfig,
    RealtimeSession,
    ServerVad,
    SessionAudio,
    TranscriptionSession,
)
from repartee.protocol.connection import CLIENT, Connection
from repartee.protocol.items import InputText, Message
from repartee.protocol.model import UNSET
from repartee.protocol.requests import PENDING_MAX
from repartee.protocol.responses import ResponseParams
from tests.protocol.wire import MS, Wire, turn_detection


def item(item_id: Any = UNSET) -> Message:
    return Message(id=item_id, role="user", content=[InputText(text="x")])


def create(item_id: Any = UNSET, after: Any = UNSET) -> ev.ConversationItemCreate:
    return ev.ConversationItemCreate(item=item(item_id), previous_item_id=after)


def delete(item_id: str) -> ev.ConversationItemDelete:
    return ev.ConversationItemDelete(item_id=item_id)


def truncate(item_id: str, end_ms: int) -> ev.ConversationItemTruncate:
    return ev.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=end_ms)


SIDE = ev.ResponseCreate(response=ResponseParams(conversation="none"))


@pytest.mark.parametrize(
    "before, event, code",
    [
        ([create("a")], create("a"), "item_create_duplicate_item_id"),
        ([], create("a", after="no"), "item_create_invalid_previous_item_id"),
        ([create("a"), delete("a")], create("b", after="a"), "item_create_invalid_previous_item_id"),
        ([create("a"), delete("a")], delete("a"), "item_delete_invalid_item_id"),
        (
            [create("a"), delete("a")],
            ev.ConversationItemRetrieve(item_id="a"),
            "item_retrieve_invalid_item_id",
        ),
        ([create("a"), delete("a")], truncate("a", 0), "item_truncate_invalid_item_id"),
        ([], truncate("a", 0), "item_truncate_invalid_item_id"),
        ([], create("x" * 33), "string_above_max_length"),
        ([], ev.ResponseCancel(), "response_cancel_not_active"),
        ([], ev.ResponseCancel(response_id="r"), "response_cancel_not_active"),
        ([ev.ResponseCreate()], ev.ResponseCreate(), "conversation_already_has_active_response"),
        (
            [ev.ResponseCreate(), ev.ResponseCancel(), ev.ResponseCreate()],
            ev.ResponseCreate(),
            "conversation_already_has_active_response",
        ),
        ([], ev.InputAudioBufferAppend(audio=b"odd"), "invalid_value"),
        ([], ev.SessionUpdate(session=TranscriptionSession()), "invalid_value"),
        ([], ev.SessionUpdate(session=RealtimeSession(model="other")), "invalid_value"),
        ([], ev.SessionClose(), "invalid_value"),
    ],
)
def test_what_the_server_would_refuse_is_not_sent(before: list[Any], event: Any, code: str) -> None:
    wire = Wire()
    for each in before:
        wire.ask(each, flush=False)
    pending = wire.client.requests.pending
    with pytest.raises(LocalProtocolError) as caught:
        wire.client.send(event)
    assert caught.value.code == code
    assert wire.client.requests.pending == pending


@pytest.mark.parametrize(
    "events",
    [
        [create("a"), create("b", after="a"), delete("a"), create("a"), create()],
        [create("a"), ev.ConversationItemRetrieve(item_id="a")],
        [ev.ResponseCreate(), SIDE, SIDE, ev.ResponseCancel(), ev.ResponseCreate()],
        [turn_detection(None), ev.InputAudioBufferCommit()],  # an update is on its way: only the server knows
    ],
)
def test_what_is_on_its_way_counts(events: list[Any]) -> None:
    wire = Wire()
    for event in events:
        wire.ask(event, flush=False)
    wire.flush()
    assert {error.code for error in wire.errors()} <= {"input_audio_buffer_commit_empty"}
    assert wire.client.requests.pending == ()
    wire.assert_same()


def test_truncations_on_their_way_count() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.audio(bytes(1000 * MS)))
    item_id = wire.client.conversation.ids[0]
    wire.ask(truncate(item_id, 500), flush=False)
    with pytest.raises(LocalProtocolError, match="Audio content of 500ms is already shorter than 600ms"):
        wire.ask(truncate(item_id, 600))
    wire.flush()
    with pytest.raises(LocalProtocolError, match="already shorter"):
        wire.ask(truncate(item_id, 501))


def test_a_manual_commit_needs_audio_and_a_voice_stays() -> None:
    wire = Wire()
    wire.ask(turn_detection(None))
    wire.ask(ev.InputAudioBufferAppend(audio=bytes(99 * MS)))
    with pytest.raises(LocalProtocolError, match=r"only has 99\.00ms"):
        wire.ask(ev.InputAudioBufferCommit())
    wire.ask(turn_detection(ServerVad()))
    with pytest.raises(LocalProtocolError) as caught:
        wire.ask(ev.SessionUpdate(event_id="mine", session=RealtimeSession(output_modalities=["video"])))
    assert caught.value.event_id == "mine"
    wire.ask(ev.ResponseCreate())
    writer = wire.server.server.next_response()
    assert writer is not None
    wire.say(writer.audio(bytes(MS)))
    audio = SessionAudio(output=AudioOutputConfig(voice="cedar"))
    with pytest.raises(LocalProtocolError, match="Cannot update a conversation's voice"):
        wire.ask(ev.SessionUpdate(session=RealtimeSession(audio=audio)))


def test_an_answer_names_its_request_and_so_does_an_error() -> None:
    wire = Wire()
    wire.ask(create("a", after="root"))
    answered: Any = wire.client.answered
    assert answered is None  # the last event was the item's `done`
    asked = wire.ask(delete("a"))
    assert wire.client.answered == asked
    update = wire.client.send(ev.SessionUpdate(session=RealtimeSession(instructions="x")))
    error = ev.ErrorDetails(message="no", event_id=update.event_id)
    wire.client.receive(ev.Error(error=error))
    assert wire.client.answered == update
    wire.client.receive(ev.Error(error=error))
    answered = wire.client.answered
    assert answered is None
    front = wire.client.send(create("b", after="root"))
    assert wire.client.flow.at_root == {"b"}
    wire.client.receive(ev.Error(error=ev.ErrorDetails(message="no", event_id=front.event_id)))
    assert wire.client.flow.at_root == set()


def test_what_is_never_answered_is_forgotten_in_time() -> None:
    client = Connection(CLIENT)
    first = client.send(create())
    for _ in range(PENDING_MAX):
        client.send(create())
    assert len(client.requests.pending) == PENDING_MAX
    assert first not in client.requests.pending
    client.send(ev.InputAudioBufferAppend(audio=b""))
    assert len(client.requests.pending) == PENDING_MAX
