"""What the caller says, in the recorded order. Whole turns: test_connection."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import LocalProtocolError
from repartee.protocol import events as ev
from repartee.protocol.codec import encode
from repartee.protocol.config import AudioInputConfig, SessionAudio, TranscriptionSession
from repartee.protocol.connection import SERVER, Connection
from tests.protocol.wire import MS, Wire, turn_detection

NO_TURN_DETECTION = AudioInputConfig(turn_detection=None)


@pytest.fixture
def server() -> Connection:
    server = Connection(SERVER, audio_bytes_max=10_000)
    server.server.start()
    return server


def test_a_user_item_has_a_transcript_that_is_null(server: Connection) -> None:
    made = server.server.user_item("item_1").commit(bytes(960), respond=False)
    assert b'"content":[{"type":"input_audio","transcript":null}]' in encode(made[1])
    entry = server.conversation.entry("item_1")
    assert entry is not None
    assert entry.audio_ms() == 20
    assert len(server.conversation.retrieve("item_1").content[0].audio) == 960  # type: ignore[attr-defined]


def test_items_are_chained(server: Connection) -> None:
    server.server.user_item("item_1").commit(respond=False)
    committed: Any = server.server.user_item("item_2").commit(respond=False)[0]
    assert (committed.previous_item_id, committed.item_id) == ("item_1", "item_2")


def test_a_response_can_be_asked_for_against_the_session(server: Connection) -> None:
    assert isinstance(server.server.user_item().commit(respond=True)[-1], ev.ResponseCreated)
    assert isinstance(
        server.server.user_item().commit(respond=True)[-1], ev.ConversationItemDone
    )  # one is active


def test_a_late_transcript_finds_its_item_and_a_deleted_one_is_let_be(server: Connection) -> None:
    server.server.user_item("item_1").commit(respond=False)
    writer = server.server.user_item("item_1")
    [completed] = writer.transcript_completed("hello")
    assert b'"usage":{"type":"duration","seconds":0.0}' in encode(completed)
    server.receive(ev.ConversationItemDelete(item_id="item_1"))
    assert writer.transcript_completed("hello") == writer.transcript_failed("x") == []
    assert writer.transcript_segment("a", speaker="A", start=0.0, end=1.0) == []


def test_only_one_turn_at_a_time(server: Connection) -> None:
    server.server.user_item("item_1").speech_started(0)
    with pytest.raises(LocalProtocolError, match="speech_started is not possible"):
        server.server.user_item("item_2").speech_started(5)
    assert server.server.user_item().item_id == "item_1"  # the turn that is open


def test_words_before_the_commit_begin_the_item_where_nobody_detects_turns() -> None:
    wire = Wire("transcription")
    wire.ask(ev.SessionUpdate(session=TranscriptionSession(audio=SessionAudio(input=NO_TURN_DETECTION))))
    wire.taken()
    item = wire.server.server.user_item()
    wire.say(
        [*item.transcript_started("hel"), *item.transcript_delta("lo"), *item.transcript_started(" you")]
    )
    assert wire.taken() == ["conversation.item.input_audio_transcription.delta"] * 3
    assert wire.client.flow.input_item_id == item.item_id == wire.server.server.user_item().item_id
    wire.ask(ev.InputAudioBufferAppend(audio=bytes(100 * MS)))
    wire.ask(ev.InputAudioBufferCommit())  # the message that the words are of
    assert wire.last(ev.InputAudioBufferCommitted).item_id == item.item_id
    wire.say(item.transcript_completed("hello you"))
    [message] = wire.client.conversation
    assert message.content[0].transcript == "hello you"  # type: ignore[attr-defined]
    wire.assert_same()


def test_words_of_a_buffer_that_was_cleared_are_let_be() -> None:
    wire = Wire()
    wire.ask(turn_detection(None))
    item = wire.server.server.user_item()
    wire.say(item.transcript_started("hel"))
    wire.ask(ev.InputAudioBufferClear())
    assert item.transcript_delta("lo") == []
    wire.assert_same()


def test_words_of_a_message_that_was_deleted_do_not_begin_it_again() -> None:
    wire = Wire()
    wire.ask(turn_detection(None))
    item = wire.server.server.user_item()
    wire.say(item.commit(respond=False))
    other = wire.server.server.user_item()
    wire.say(other.transcript_started("next"))
    assert wire.server.server.user_item("elsewhere").transcript_started("x") == []
    wire.ask(ev.ConversationItemDelete(item_id=item.item_id))
    assert item.transcript_delta("late") == []
    wire.assert_same()


def test_with_turn_detection_on_speech_comes_first(server: Connection) -> None:
    with pytest.raises(LocalProtocolError, match="Nobody has spoken"):
        server.server.user_item().transcript_started("hello")
