"""The caller's words for the client."""

from __future__ import annotations

from typing import Any

from repartee.errors import ModelError
from repartee.models.events import InterimTranscript, TranscriptCompleted, TranscriptFailed
from repartee.protocol import events as ev
from repartee.protocol.config import AudioInputConfig, RealtimeSession, ServerVad, SessionAudio, Transcription
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.sessions import default_session, merge
from repartee.server.sessions.transcripts import KEPT_MAX, Transcripts


class Kit:
    """A session's words."""

    def __init__(self, *, wanted: bool = True, detects: bool = True) -> None:
        default = default_session(id="sess_1")
        hears = AudioInputConfig(
            transcription=Transcription(model="any") if wanted else None,
            turn_detection=ServerVad() if detects else None,
        )
        session = merge(default, RealtimeSession(audio=SessionAudio(input=hears)), default)
        self.connection = Connection(SERVER, session=session)
        self.connection.server.start()
        self.said: list[Any] = []
        self.transcripts = Transcripts(self.connection, self.said.extend)
        self.transcripts.configure()

    def begin(self, item_id: str) -> None:
        self.connection.server.user_item(item_id).speech_started(0)

    def commit(self, item_id: str) -> None:
        server = self.connection.server
        server.user_item(item_id).speech_stopped(100)
        server.user_item(item_id).commit(respond=False)
        self.transcripts.committed(item_id, 1.5)

    @property
    def words(self) -> list[str]:
        return [getattr(event, "delta", None) or f"={event.transcript}" for event in self.said]


def test_deltas_grow_with_what_is_stable_and_the_rest_comes_at_the_end() -> None:
    kit = Kit()
    kit.begin("item_1")
    for text, stable in (("book", 0), ("book a", 4), ("book a cable", 4), ("book a table", 6)):
        kit.transcripts.on_event(InterimTranscript("item_1", text, stable))
    kit.commit("item_1")
    kit.transcripts.on_event(TranscriptCompleted("item_1", "book a table"))
    assert kit.words == ["book", " a", " table", "=book a table"]
    usage = kit.said[-1].usage
    assert (usage.type, usage.seconds) == ("duration", 1.5)


def test_words_that_are_complete_before_the_commit_wait_for_it() -> None:
    kit = Kit()
    kit.begin("item_1")
    kit.transcripts.on_event(TranscriptCompleted("item_1", "yes"))
    assert kit.words == []
    kit.commit("item_1")
    assert kit.words == ["yes", "=yes"]


def test_a_final_that_contradicts_what_was_told_stands_alone() -> None:
    kit = Kit()
    kit.begin("item_1")
    kit.transcripts.on_event(InterimTranscript("item_1", "cable", 5))
    kit.transcripts.on_event(InterimTranscript("item_1", "table for", 9))
    kit.commit("item_1")
    kit.transcripts.completed("item_1", "table")
    assert kit.words == ["cable", "=table"]


def test_nobody_asked() -> None:
    kit = Kit(wanted=False)
    kit.begin("item_1")
    kit.transcripts.on_event(InterimTranscript("item_1", "book", 4))
    kit.commit("item_1")
    kit.transcripts.on_event(TranscriptCompleted("item_1", "book"))
    assert kit.said == []


def test_a_failure_is_told() -> None:
    kit = Kit()
    kit.begin("item_1")
    kit.commit("item_1")
    kit.transcripts.on_event(TranscriptFailed("item_1", ModelError("deaf", stage="stt", code="stt_down")))
    [failed] = kit.said
    assert isinstance(failed, ev.TranscriptionFailed)
    assert (failed.error.message, failed.error.code) == ("deaf", "stt_down")


def test_without_turn_detection_words_begin_the_item() -> None:
    kit = Kit(detects=False)
    kit.transcripts.on_event(InterimTranscript("item_1", "book", 4))
    assert kit.connection.flow.input_item_id == "item_1"
    kit.transcripts.on_event(InterimTranscript("item_2", "other", 5))
    assert kit.words == ["book"]
    kit.transcripts.cleared()
    kit.connection.server.user_item("item_1").commit(respond=False)
    kit.transcripts.committed("item_1", 1.0)
    kit.transcripts.completed("item_1", "book")
    assert kit.words == ["book", "book", "=book"]


def test_with_turn_detection_words_of_nobody_are_not_told() -> None:
    kit = Kit()
    kit.transcripts.on_event(InterimTranscript("item_1", "book", 4))
    assert kit.said == []


def test_what_is_never_settled_is_forgotten() -> None:
    kit = Kit()
    for n in range(KEPT_MAX + 1):
        kit.transcripts.completed(f"item_{n}", "x")
    kit.begin("item_0")
    kit.commit("item_0")
    assert kit.said == []
