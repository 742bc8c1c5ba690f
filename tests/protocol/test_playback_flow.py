"""Which events of a server's playback may come when."""

from __future__ import annotations

import pytest

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.playback_flow import PlaybackFlow
from repartee.protocol.response_flow import ResponseFlow
from repartee.protocol.tables import PlaybackState

STARTED = ev.OutputAudioBufferStarted(response_id="r")
STOPPED = ev.OutputAudioBufferStopped(response_id="r")
CLEARED = ev.OutputAudioBufferCleared(response_id="r")


def response(has_audio: bool) -> dict[str, ResponseFlow]:
    flow = ResponseFlow("r", in_conversation=True, bytes_per_ms=48)
    flow.has_audio = has_audio
    return {"r": flow}


def test_it_starts_while_generated_and_stops_after() -> None:
    flow = PlaybackFlow()
    with pytest.raises(ProtocolError, match="no audio to play"):
        flow.check(STARTED, response(has_audio=False))
    flow.check(STARTED, response(has_audio=True))
    flow.check(STARTED, {})  # generated faster than it is heard: another one was still played
    flow.apply(STARTED)
    assert (flow.state, flow.response_id) == (PlaybackState.PLAYING, "r")
    with pytest.raises(ProtocolError, match="still generated"):
        flow.check(STOPPED, response(has_audio=True))
    flow.check(CLEARED, response(has_audio=True))
    flow.check(STOPPED, {})
    flow.apply(STOPPED)
    assert (flow.state, flow.response_id) == (PlaybackState.IDLE, None)
    with pytest.raises(ProtocolError, match="cleared is not possible"):
        flow.check(CLEARED, {})


def test_one_at_a_time() -> None:
    flow = PlaybackFlow()
    flow.apply(STARTED)
    with pytest.raises(ProtocolError, match="started is not possible"):
        flow.check(ev.OutputAudioBufferStarted(response_id="q"), {})
    with pytest.raises(ProtocolError, match="What is played is response r"):
        flow.check(ev.OutputAudioBufferStopped(response_id="q"), {})
