"""What server events change, and what is out of order: raised by a strict flow, noted and survived by a lenient one."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.config import (
    AudioInputConfig,
    RealtimeSession,
    ServerVad,
    SessionAudio,
    TranscriptionSession,
)
from repartee.protocol.flow import Flow
from repartee.protocol.items import AudioPart, InputAudio, InputText, McpListTools, Message, OutputAudio
from repartee.protocol.model import UNSET
from repartee.protocol.responses import Response
from repartee.protocol.tables import InputState, SessionState

WHERE: dict[str, Any] = {"response_id": "r", "item_id": "a", "output_index": 0}
AUDIO = ev.ResponseOutputAudioDelta(content_index=0, delta=bytes(4800), **WHERE)
GROWING = Message(id="a", role="assistant", status="in_progress", content=[])
COMPLETE = Message(id="a", role="assistant", status="completed", content=[OutputAudio(transcript="x")])
USER = Message(id="u", role="user", content=[InputText(text="hi")])
TURN_DETECTION = ev.SessionUpdated(
    session=RealtimeSession(audio=SessionAudio(input=AudioInputConfig(turn_detection=ServerVad())))
)
FIRST_WORDS = ev.TranscriptionDelta(item_id="u", delta="x")
LIST = ev.ConversationItemAdded(item=McpListTools(id="l", server_label="s", tools=[]))
LISTING = ev.McpListToolsInProgress(item_id="l")
ADDED = ev.ConversationItemAdded(item=USER)
CREATED = ev.ResponseCreated(response=Response(id="r", conversation_id="c"))
DONE = ev.ResponseDone(response=Response(id="r", conversation_id="c", status="completed"))


def opened(strict: bool = True) -> Flow:
    flow = Flow("realtime", strict=strict)
    flow.observe(ev.SessionCreated(session=RealtimeSession()))
    return flow


OUT_OF_ORDER: list[tuple[list[Any], Any, str]] = [
    ([], ev.SessionCreated(session=RealtimeSession()), "session.created is not possible now"),
    ([], ev.SessionUpdated(session=TranscriptionSession()), "has a realtime session"),
    ([], ev.SessionOutputAudioDelta(delta=b""), "no place in a realtime session"),
    ([], AUDIO, "no response 'r'"),
    ([], DONE, "no response 'r'"),
    ([CREATED], CREATED, "an id of its own"),
    (
        [CREATED],
        ev.ResponseCreated(response=Response(id="q", conversation_id="c")),
        "Response r is in progress",
    ),
    ([], ev.ResponseCreated(response=Response()), "an id of its own"),
    ([CREATED], AUDIO, "has no item 'a'"),
    ([], ev.ConversationItemDone(item=USER), "'u' was never added"),
    ([ADDED], ADDED, "already exists"),
    ([ADDED, ev.ConversationItemDone(item=USER)], ev.ConversationItemDone(item=USER), "is done already"),
    ([], ev.ConversationItemAdded(item=USER, previous_item_id="no"), "previous item with id 'no'"),
    ([], ev.ConversationItemAdded(item=Message(role="user", content=[])), "needs an id"),
    ([], ev.ConversationItemDeleted(item_id="no"), "no item 'no'"),
    ([], ev.ConversationItemTruncated(item_id="no", content_index=0, audio_end_ms=0), "not found: no"),
    ([], ev.InputAudioBufferSpeechStopped(audio_end_ms=0, item_id="u"), "speech_stopped is not possible"),
    (
        [ev.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="u")],
        ev.InputAudioBufferSpeechStopped(audio_end_ms=0, item_id="other"),
        "the input buffer's item is u",
    ),
    ([ADDED], ev.InputAudioBufferCommitted(item_id="u"), "already exists"),
    ([ev.InputAudioBufferCommitted(item_id="v")], ADDED, "committed item v comes first"),
    ([], ev.TranscriptionCompleted(item_id="u", transcript="x"), "Nobody has spoken"),
    ([TURN_DETECTION], ev.TranscriptionDelta(item_id="u", delta="x"), "Nobody has spoken"),
    ([FIRST_WORDS], ev.TranscriptionDelta(item_id="v", delta="x"), "Nobody has spoken"),
    ([FIRST_WORDS], ev.InputAudioBufferCommitted(item_id="v"), "the input buffer's item is u"),
    ([], ev.McpListToolsInProgress(item_id="l"), "no list of tools 'l'"),
    ([LIST], ev.McpListToolsCompleted(item_id="l"), "completed is not possible"),
    ([LIST, LISTING], ev.ConversationItemDone(item=LIST.item), "before its MCP server has answered"),
    ([CREATED], ev.ResponseMcpCallInProgress(item_id="no", output_index=0), "has an item 'no'"),
    ([CREATED], ev.OutputAudioBufferStarted(response_id="r"), "no audio to play"),
    ([], ev.OutputAudioBufferStopped(response_id="r"), "stopped is not possible"),
]


@pytest.mark.parametrize("before, event, words", OUT_OF_ORDER)
def test_what_is_out_of_order(before: list[Any], event: Any, words: str) -> None:
    strict, lenient = opened(), opened(strict=False)
    for each in before:
        strict.observe(each)
        lenient.observe(each)
    ids, responses = strict.conversation.ids, set(strict.responses)
    with pytest.raises(ProtocolError, match=f"(?i){words}"):
        strict.observe(event)
    assert (strict.conversation.ids, set(strict.responses)) == (ids, responses)
    lenient.observe(event)
    assert len(lenient.deviations) == 1


def test_a_server_that_leaves_events_out_still_gets_through() -> None:
    flow = opened(strict=False)
    for event in (
        CREATED,
        ev.ResponseOutputItemAdded(response_id="r", output_index=0, item=GROWING),
        ev.ResponseOutputItemAdded(response_id="r", output_index=0, item=GROWING),
        AUDIO,  # without its part
        ev.ResponseOutputItemDone(
            response_id="r", output_index=0, item=COMPLETE
        ),  # nor the conversation's word
        DONE,
    ):
        flow.observe(event)
    assert flow.active is None
    assert flow.has_spoken
    assert len(flow.deviations) == 3
    flow.observe(ev.ConversationItemDone(item=COMPLETE))  # never added: takes it all the same
    assert flow.conversation.ids == ("a",)


def test_an_item_that_was_deleted_while_it_grew_stays_deleted() -> None:
    flow = opened()
    for event in (
        CREATED,
        ev.ResponseOutputItemAdded(response_id="r", output_index=0, item=GROWING),
        ev.ConversationItemAdded(item=GROWING),
        ev.ResponseContentPartAdded(content_index=0, part=AudioPart(), **WHERE),
        ev.ConversationItemDeleted(item_id="a"),
        AUDIO,
        ev.ResponseOutputAudioDone(content_index=0, **WHERE),
        ev.ResponseOutputAudioTranscriptDone(content_index=0, transcript="x", **WHERE),
        ev.ResponseContentPartDone(content_index=0, part=AudioPart(), **WHERE),
        ev.ConversationItemDone(item=COMPLETE),
        ev.ResponseOutputItemDone(response_id="r", output_index=0, item=COMPLETE),
        DONE,
    ):
        flow.observe(event)
    assert len(flow.conversation) == 0


def test_the_betas_word_is_added_and_done_in_one() -> None:
    flow = opened()
    flow.observe(ev.ConversationItemCreated(item=USER))
    flow.observe(ev.ConversationItemCreated(item=GROWING))
    assert [flow.conversation.entry(i).done for i in ("u", "a")] == [True, False]  # type: ignore[union-attr]


def test_null_as_the_previous_item_is_the_front_only_where_it_was_asked_for() -> None:
    flow = opened()
    flow.observe(ADDED)
    for item_id, root in (("v", False), ("w", True)):
        if root:
            flow.at_root.add(item_id)
        item = Message(id=item_id, role="user", content=[])
        flow.observe(ev.ConversationItemAdded(item=item, previous_item_id=None))
    assert flow.conversation.ids == ("w", "u", "v")


def test_a_first_error_is_the_last_event() -> None:
    flow = Flow("realtime", strict=True)
    with pytest.raises(
        ProtocolError, match=r"rate_limits\.updated is not possible now: the session is 'connecting'"
    ):
        flow.observe(ev.RateLimitsUpdated(rate_limits=[]))
    flow.observe(ev.Error(error=ev.ErrorDetails(message="Incorrect API key provided.")))
    assert flow.session_state is SessionState.CLOSED
    with pytest.raises(ProtocolError, match="session is over"):
        flow.observe(ev.RateLimitsUpdated(rate_limits=[]))
    flow.observe(ev.UnknownEvent({"type": "goodbye"}))


def test_transcripts_find_their_item_before_and_after_it_is_there() -> None:
    flow = opened()
    flow.observe(ev.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="u"))
    flow.observe(ev.TranscriptionDelta(item_id="u", delta="h"))
    flow.observe(ev.InputAudioBufferCommitted(item_id="u"))
    heard = Message(id="u", role="user", content=[InputAudio(transcript=None)])
    flow.observe(ev.ConversationItemAdded(item=heard))
    assert (flow.input_state, flow.input_item_id) == (InputState.IDLE, None)
    flow.observe(ev.TranscriptionCompleted(item_id="u", transcript="hi", content_index=UNSET))
    [item] = flow.conversation
    assert item.content[0].transcript == "hi"  # type: ignore[attr-defined]
