"""The caller's turns as the server tells them, in whatever order."""

from __future__ import annotations

import pytest

from repartee.chat import ChatContext, Message
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.plugins.openai.realtime.ids import Ids
from repartee.plugins.openai.realtime.incoming import Incoming
from repartee.plugins.openai.realtime.pending_audio import PendingAudio
from repartee.protocol import events as wire
from repartee.protocol import items
from repartee.protocol.responses import ResponseError


class Ear:
    """An `Incoming`, what it told, and the history."""

    def __init__(self) -> None:
        self.told: list[ev.RealtimeEvent] = []
        self.history = ChatContext()
        self.audio = PendingAudio(1000, 10, server_commits=True)
        self.incoming = Incoming(self._tell, self.history, Ids(), self.audio)

    def _tell(self, event: ev.RealtimeEvent) -> None:
        self.told.append(event)
        apply_event(self.history, event)

    def hear(self, *events: wire.ServerEvent) -> list[str]:
        """What is told of those events."""
        before = len(self.told)
        for event in events:
            self.incoming.receive(event)
        return [type(event).__name__ for event in self.told[before:]]


def started(item_id: str, at_ms: int = 0) -> wire.ServerEvent:
    return wire.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=at_ms)


def committed(item_id: str) -> list[wire.ServerEvent]:
    item = items.Message(
        id=item_id, role="user", status="completed", content=[items.InputAudio(transcript=None)]
    )
    return [
        wire.InputAudioBufferCommitted(item_id=item_id, previous_item_id=None),
        wire.ConversationItemAdded(item=item, previous_item_id=None),
        wire.ConversationItemDone(item=item, previous_item_id=None),
    ]


def transcribed(item_id: str, text: str) -> wire.ServerEvent:
    return wire.TranscriptionCompleted(item_id=item_id, content_index=0, transcript=text)


def test_words_that_come_before_their_item_are_told_with_it() -> None:
    ear = Ear()
    assert ear.hear(started("i"), transcribed("i", " hi ")) == ["SpeechStarted"]
    assert ear.hear(*committed("i")) == ["InputCommitted", "ItemAdded", "TranscriptCompleted", "ItemDone"]
    [message] = ear.history.messages
    assert message.text == "hi"


def test_words_make_the_audio_needless() -> None:
    ear = Ear()
    ear.hear(started("i"))
    ear.audio.append(b"aa")
    ear.hear(*committed("i"))
    assert ear.audio.audio_of("i") == b"aa"
    ear.hear(transcribed("i", "hi"))
    assert ear.audio.audio_of("i") is None


def test_interim_words_grow_and_belong_to_the_turn_that_is_open_here() -> None:
    ear = Ear()
    ear.incoming.open_turn = "mine"
    for delta in ("good", " day"):
        ear.hear(wire.TranscriptionDelta(item_id="theirs", content_index=0, delta=delta))
    assert [(e.item_id, e.text) for e in ear.told if isinstance(e, ev.InterimTranscript)] == [
        ("mine", "good"),
        ("mine", "good day"),
    ]
    ear.incoming.committed_here()
    ear.hear(*committed("theirs"))
    assert [item.id for item in ear.history] == ["mine"]


def test_a_turn_goes_on_with_the_next_connection() -> None:
    ear = Ear()
    ear.hear(started("i", 100))
    ear.incoming.new_connection(500.0)
    assert ear.hear(started("j", 10)) == [], "it has begun already"
    assert ear.hear(wire.InputAudioBufferSpeechStopped(item_id="j", audio_end_ms=900)) == ["SpeechStopped"]
    assert ear.told[-1:] == [ev.SpeechStopped("i", 1400.0)]
    ear.hear(*committed("j"))
    assert [item.id for item in ear.history] == ["i"]
    ear.hear(started("k", 2000))
    assert ear.told[-1:] == [ev.SpeechStarted("k", 2500.0)]


def test_a_turn_that_is_not_heard_again_ends() -> None:
    ear = Ear()
    ear.hear(started("i"))
    ear.incoming.new_connection(500.0)
    assert ear.incoming.resumption_failed()
    assert [type(event) for event in ear.told] == [ev.SpeechStarted, ev.SpeechStopped, ev.InputCleared]
    assert not ear.incoming.resumption_failed()
    assert ear.hear(started("j")) == ["SpeechStarted"]


def test_what_answers_our_own_items_is_no_news() -> None:
    ear = Ear()
    ear.history.insert(Message.of("user", "hi", id="i"))
    ear.incoming.sent("i")
    assert ear.hear(*committed("i")[1:]) == []
    assert ear.hear(wire.ConversationItemDeleted(item_id="i")) == []
    ear.incoming.forget("i")
    assert ear.hear(wire.ConversationItemDeleted(item_id="i")) == ["ItemDeleted"]


def test_a_refused_turn_gives_its_place_to_the_next() -> None:
    ear = Ear()
    for name in ("first", "second"):
        ear.incoming.open_turn = name
        ear.incoming.committed_here()
    assert ear.incoming.commit_refused() == "first"
    ear.hear(*committed("theirs"))
    assert [item.id for item in ear.history] == ["second"]


@pytest.mark.parametrize("known", [True, False])
def test_words_that_are_not_to_be_had(known: bool) -> None:
    ear = Ear()
    failed = wire.TranscriptionFailed(
        item_id="i",
        content_index=0,
        error=ResponseError(message="Too noisy.", code="audio_unintelligible"),
    )
    if known:
        ear.hear(*committed("i"), failed)
    else:
        ear.hear(failed, *committed("i"))
    [told] = [e for e in ear.told if isinstance(e, ev.TranscriptFailed)]
    assert str(told.error) == "Too noisy."
