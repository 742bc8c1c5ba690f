"""What plays a session's audio to a caller: the `OutputSink` of a call, and its RTP packets when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from repartee.audio import AudioFrame
from repartee.clock import Clock
from repartee.errors import AudioFormatError
from repartee.server.webrtc.pacing import (
    SAMPLE_RATE,
    FrameClock,
    Heard,
    Playout,
    PlayoutEvent,
    Started,
    Stopped,
)
from repartee.server.webrtc.voice_codec import VoiceEncoder

if TYPE_CHECKING:
    from repartee.server.recordings.recording import Recording

__all__ = ["Loudspeaker", "PlaybackOwner", "TimedPacket"]

HEARD_SAMPLES: Final = 2400
"""Between two reports of how far an item was heard: 100 ms, five frames."""


class PlaybackOwner(Protocol):
    """Who is told what is heard: a `ServedSession`."""

    def playback_started(self, response_id: str) -> None:
        """The first audio of a response is heard."""

    def playback_stopped(self, response_id: str) -> None:
        """A response was heard to its end."""

    def heard(self, item_id: str, ms: int) -> None:
        """So much of an item's audio was heard."""


class TimedPacket(NamedTuple):
    """An encoded frame, and its place in RTP time."""

    payload: bytes
    timestamp: int
    """In ticks of the codec's RTP clock since the first one."""


class Loudspeaker:
    """Plays responses one after the other, at the pace of the clock.

    The position it tells counts what was handed to RTP; nothing acknowledges it, so it is an estimate
    (`estimated`), which runs ahead of the caller's ears by the network and the jitter buffer there.

    Args:
        clock: session time.
    """

    estimated: Final = True
    """Whether the heard position is an estimate."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._playout = Playout()
        self._encoder: VoiceEncoder | None = None
        self._frames: FrameClock | None = None
        self._owner: PlaybackOwner | None = None
        self._told: tuple[str, int] = ("", 0)
        self._recording: Recording | None = None
        self.skipped_frames = 0
        """Not sent, as the loop was busy for too long."""

    @property
    def statistics(self) -> dict[str, int]:
        """Counts of what went wrong: ``skipped_frames``, ``underruns``, ``refused_bytes``."""
        return {
            "skipped_frames": self.skipped_frames,
            "underruns": self._playout.underruns,
            "refused_bytes": self._playout.refused_bytes,
        }

    def open(self, codec: str, owner: PlaybackOwner) -> None:
        """Before the first packet.

        Args:
            codec: ``opus``, ``pcmu`` or ``pcma``.
            owner: who is told what is heard.
        """
        self._encoder = VoiceEncoder(codec)
        self._owner = owner

    def record_to(self, recording: Recording) -> None:
        """Have what is played noted there, too."""
        self._recording = recording

    # -- OutputSink --------------------------------------------------------------------------------------------

    def write(self, response_id: str, item_id: str, pcm: AudioFrame) -> None:
        """More audio of an item: mono at 24 kHz.

        Raises:
            AudioFormatError: another rate or more channels.
        """
        if pcm.sample_rate != SAMPLE_RATE or pcm.channels != 1:
            raise AudioFormatError(
                f"a call plays mono at {SAMPLE_RATE} Hz, not {pcm.channels} channel(s) at {pcm.sample_rate} Hz: "
                "resample first"
            )
        self._playout.write(response_id, item_id, pcm.data)

    def end(self, response_id: str) -> None:
        """All audio of a response was written."""
        self._playout.end(response_id)

    def clear(self) -> tuple[str, str, int] | None:
        """Stop: within 5 ms of audio, by a fade.

        Returns:
            (response id, item id, heard ms) of what was cut; ``None``: nothing was playing or waiting.
        """
        cut = self._playout.clear()
        return None if cut is None else (cut.response_id, cut.item_id, _ms(cut.samples))

    # -- packets -----------------------------------------------------------------------------------------------

    async def packet(self) -> TimedPacket:
        """Wait until the next packet is due, and make it."""
        assert self._encoder is not None, "open() comes first"
        if self._frames is None:
            self._frames = FrameClock(self._clock.now())
        wait_s = self._frames.deadline() - self._clock.now()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        frame = self._playout.next_frame()
        if self._recording is not None and not frame.silent:
            self._recording.played(frame.data, self._clock.to_source(self._frames.deadline()))
        packet = TimedPacket(
            self._encoder.encode(frame.data, silent=frame.silent), self._frames.index * self._encoder.ticks
        )
        if frame.events:
            self._tell(frame.events)
        self.skipped_frames += self._frames.sent(self._clock.now())
        return packet

    def _tell(self, events: Sequence[PlayoutEvent]) -> None:
        owner = self._owner
        assert owner is not None
        for event in events:
            match event:
                case Started(response_id=response_id):
                    owner.playback_started(response_id)
                case Stopped(response_id=response_id):
                    self._report(owner)
                    owner.playback_stopped(response_id)
                case Heard(item_id=item_id, samples=samples):
                    if item_id != self._told[0]:
                        self._report(owner)
                    self._told = (item_id, samples)
                    if samples % HEARD_SAMPLES == 0:
                        owner.heard(item_id, _ms(samples))

    def _report(self, owner: PlaybackOwner) -> None:
        """The end of an item."""
        item_id, samples = self._told
        if item_id and samples % HEARD_SAMPLES:
            owner.heard(item_id, _ms(samples))
        self._told = ("", 0)


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE
