"""A server that has the sound: what it tells of it, and how it truncates by itself (G6)."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import LocalProtocolError
from repartee.protocol import events as ev
from repartee.protocol.playback_writer import HeardItem
from tests.protocol.wire import MS, Wire

CANCELLED = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


def playing(heard: HeardItem | None = None) -> tuple[Wire, Any]:
    """A response of one second is being generated, and is heard."""
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    writer: Any = wire.server.server.next_response()
    wire.say(
        [*writer.begin_message(item_id="item_1"), *writer.transcript("Hi"), *writer.audio(bytes(1000 * MS))]
    )
    wire.server.server.playback.heard = lambda: heard
    wire.say(wire.server.server.playback.started(writer.id))
    wire.taken()
    return wire, writer


def truncated_ms(wire: Wire) -> dict[int, int]:
    entry = wire.client.conversation.entry("item_1")
    assert entry is not None
    return entry.truncated_ms


def test_a_response_is_heard_to_its_end() -> None:
    wire, writer = playing()
    playback = wire.server.server.playback
    assert playback.response_id == writer.id
    with pytest.raises(LocalProtocolError, match="still generated"):
        playback.stopped()
    wire.say([*writer.finish(), *playback.stopped()])
    assert wire.taken()[-3:] == ["response.done", "rate_limits.updated", "output_audio_buffer.stopped"]
    assert playback.stopped() == playback.cleared() == []
    wire.assert_same()


def test_the_caller_interrupts() -> None:
    wire, _ = playing(HeardItem("item_1", 400))
    wire.say(wire.server.server.user_item().speech_started(0))
    assert wire.taken() == [
        "input_audio_buffer.speech_started",
        *CANCELLED,
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    assert truncated_ms(wire) == {0: 400}
    wire.assert_same()


def test_the_caller_interrupts_what_was_generated_before() -> None:
    wire, writer = playing(HeardItem("item_1", 400))
    wire.say(writer.finish())
    wire.taken()
    wire.say(wire.server.server.user_item().speech_started(0))
    assert wire.taken()[1:] == ["output_audio_buffer.cleared", "conversation.item.truncated"]


def test_the_client_clears_after_it_cancelled() -> None:
    wire, _ = playing(HeardItem("item_1", -5))
    wire.ask(ev.ResponseCancel())
    wire.ask(ev.OutputAudioBufferClear())
    assert wire.taken() == [*CANCELLED, "output_audio_buffer.cleared", "conversation.item.truncated"]
    assert truncated_ms(wire) == {0: 0}
    assert wire.client.requests.pending == ()


@pytest.mark.parametrize("heard", [None, HeardItem("item_1", 1000), HeardItem("gone", 10)])
def test_what_was_heard_whole_or_deleted_is_not_truncated(heard: HeardItem | None) -> None:
    wire, writer = playing(heard)
    wire.say(writer.finish())
    wire.ask(ev.OutputAudioBufferClear())
    assert wire.taken()[-1] == "output_audio_buffer.cleared"
    assert truncated_ms(wire) == {}


def test_without_one_who_knows_nothing_is_truncated() -> None:
    wire, _ = playing()
    wire.server.server.playback.heard = None
    wire.ask(ev.OutputAudioBufferClear())
    assert wire.taken() == ["output_audio_buffer.cleared"]
    assert wire.server.server.playback.response_id is None
