"""A translation session between two ends: continuous, flushed, closed (section E)."""

from __future__ import annotations

import pytest

from repartee.errors import LocalProtocolError, ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.faults import SESSION_EXPIRED, Close
from tests.protocol.wire import MS, Wire


def test_all_is_translated_before_it_closes() -> None:
    wire = Wire("translation")
    server = wire.server.server
    writer = server.translation
    wire.ask(ev.SessionInputAudioBufferAppend(audio=bytes(200 * MS)))
    wire.say([*writer.input_transcript("good"), *writer.output_transcript("gut", elapsed_ms=200)])
    wire.say(writer.audio(bytes(10 * MS), elapsed_ms=210))
    audio = wire.last(ev.SessionOutputAudioDelta)
    assert (audio.sample_rate, audio.channels, audio.format, audio.elapsed_ms) == (24_000, 1, "pcm16", 210)
    closing = [writer.closing]
    wire.ask(ev.SessionClose())
    closing.append(writer.closing)
    assert closing == [False, True]
    closes = [server.close]
    wire.say([*writer.output_transcript("en Tag"), *writer.closed()])
    assert wire.taken()[-2:] == ["session.output_transcript.delta", "session.closed"]
    assert [*closes, server.close] == [None, Close(1000)]
    assert wire.client.requests.pending == ()
    wire.assert_same()


def test_nothing_is_written_once_it_is_over() -> None:
    wire = Wire("translation")
    wire.say(wire.server.server.end(SESSION_EXPIRED))
    writer = wire.server.server.translation
    assert writer.closed() == writer.audio(b"") == writer.input_transcript("x") == []
    assert wire.server.server.close == SESSION_EXPIRED.close


def test_only_whole_samples_and_only_in_a_translation() -> None:
    with pytest.raises(ProtocolError, match="no whole number of 16-bit samples"):
        Wire("translation").server.server.translation.audio(b"odd")
    with pytest.raises(LocalProtocolError, match="no place in a realtime session"):
        Wire().server.server.translation.input_transcript("x")
