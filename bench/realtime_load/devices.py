"""A sound card in memory: every 20 ms it gives what the microphone heard, and plays what it was given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from bench.realtime_load.pace import SAMPLE_RATE, stamped
from repartee import AudioFrame
from repartee.errors import ReparteeError
from repartee.io import AudioInput, AudioOutput, OutputCapabilities, PlaybackPosition

__all__ = ["Loudspeaker", "Microphone"]


class Microphone(AudioInput):
    """Gives what is pushed."""

    sample_rate = SAMPLE_RATE

    def __init__(self) -> None:
        self._frames: deque[AudioFrame] = deque(maxlen=500)  # 10 s; the oldest are lost
        self._waiter: asyncio.Future[None] | None = None
        self._position = 0

    def push(self, pcm: bytes) -> None:
        """The device has heard that."""
        self._frames.append(AudioFrame(pcm, SAMPLE_RATE, 1, self._position))
        self._position += len(pcm) // 2
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[AudioFrame]:
        return self

    async def __anext__(self) -> AudioFrame:
        while not self._frames:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._frames.popleft()


class Loudspeaker(AudioOutput):
    """Plays 20 ms at each tick, and says when it was given a piece of sound and when it was silenced.

    Args:
        heard: called with the age of each piece that comes, in seconds.
        silenced: called with the loop's time when it is cleared.
    """

    sample_rate = SAMPLE_RATE
    capabilities = OutputCapabilities()

    def __init__(self, heard: Callable[[float], None], silenced: Callable[[float], None]) -> None:
        self._heard = heard
        self._silenced = silenced
        self._written = 0
        self._played = 0
        self._paused = False
        self._on_position: Callable[[PlaybackPosition], None] | None = None

    def open(
        self,
        *,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        self._on_position = on_position

    def write(self, frame: AudioFrame) -> None:
        self._written += frame.samples
        sent_s = stamped(frame.data)
        if sent_s is not None:
            self._heard(asyncio.get_running_loop().time() - sent_s)

    def clear(self) -> None:
        self._silenced(asyncio.get_running_loop().time())
        self._written, self._paused = self._played, False
        if self._on_position is not None:
            self._on_position(PlaybackPosition(self._played, cleared=True))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def tick(self, samples: int) -> None:
        """That much time has gone by."""
        if self._written > self._played and not self._paused and self._on_position is not None:
            self._played = min(self._written, self._played + samples)
            self._on_position(PlaybackPosition(self._played))
