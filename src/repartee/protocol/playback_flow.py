"""What a server plays by itself (WebRTC, SIP), as its events tell it: one response at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from repartee.protocol.response_events import (
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
)
from repartee.protocol.response_flow import ResponseFlow, illegal
from repartee.protocol.tables import PLAYBACK_TABLE, PlaybackState, step

__all__ = ["PLAYBACK_EVENTS", "PlaybackEvent", "PlaybackFlow"]

PlaybackEvent: TypeAlias = OutputAudioBufferStarted | OutputAudioBufferStopped | OutputAudioBufferCleared

PLAYBACK_EVENTS = (OutputAudioBufferStarted, OutputAudioBufferStopped, OutputAudioBufferCleared)
"""The events that a `PlaybackFlow` takes in."""


class PlaybackFlow:
    """The playback of a connection whose server has the sound."""

    def __init__(self) -> None:
        self.state = PlaybackState.IDLE
        self.response_id: str | None = None
        """The response that is heard."""

    def check(self, event: PlaybackEvent, responses: Mapping[str, ResponseFlow]) -> None:
        """Whether an event may come now.

        A response begins to be heard while it is generated or after, but not without any audio, and has been heard
        to its end only after its ``response.done`` (the recorded order).

        Args:
            event: the event.
            responses: those in progress.

        Raises:
            ProtocolError: it may not.
        """
        step(PLAYBACK_TABLE, self.state, event.__struct_config__.tag)  # type: ignore[arg-type]
        generating = responses.get(event.response_id)
        if isinstance(event, OutputAudioBufferStarted):
            if generating is not None and not generating.has_audio:
                raise illegal(f"Response {event.response_id} has no audio to play.", "response_id")
            return
        if event.response_id != self.response_id:
            raise illegal(f"What is played is response {self.response_id}.", "response_id")
        if isinstance(event, OutputAudioBufferStopped) and generating is not None:
            raise illegal(f"Response {event.response_id} is still generated: more may come.", "response_id")

    def apply(self, event: PlaybackEvent) -> None:
        """Take an event in. Never raises."""
        self.state = (
            PlaybackState.PLAYING if isinstance(event, OutputAudioBufferStarted) else PlaybackState.IDLE
        )
        self.response_id = event.response_id if self.state is PlaybackState.PLAYING else None
