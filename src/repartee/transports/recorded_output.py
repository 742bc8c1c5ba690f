"""`RecordedOutput`: any loudspeaker, with what it has really played recorded as the agent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from repartee.audio import apply_gain
from repartee.io import AudioOutput, PlaybackPosition

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.errors import ReparteeError
    from repartee.transports.recorder import CallRecorder

__all__ = ["RecordedOutput"]


class RecordedOutput(AudioOutput):
    """Records what the output says it has played, when it says so, at the volume of that moment.

    Args:
        sink: the output.
        recorder: takes each stretch with the loop time of its first sample.
    """

    def __init__(self, sink: AudioOutput, recorder: CallRecorder) -> None:
        self.sample_rate = sink.sample_rate
        self.capabilities = sink.capabilities
        self._sink = sink
        self._recorder = recorder
        self._waiting: deque[AudioFrame] = deque()  # bounded by what the output takes
        self._played_samples = 0
        self._gain_db = 0.0
        self._on_position: Callable[[PlaybackPosition], None] | None = None

    def open(
        self,
        *,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        self._on_position = on_position
        self._sink.open(on_position=self._played, on_error=on_error)

    def write(self, frame: AudioFrame) -> None:
        self._waiting.append(frame)
        self._sink.write(frame)

    def clear(self) -> None:
        self._gain_db = 0.0
        self._sink.clear()

    def pause(self) -> None:
        self._sink.pause()

    def resume(self) -> None:
        self._sink.resume()

    def set_gain(self, db: float) -> None:
        self._gain_db = db
        self._sink.set_gain(db)

    async def aclose(self) -> None:
        await self._sink.aclose()

    def _played(self, position: PlaybackPosition) -> None:
        left = position.position_samples - self._played_samples
        self._played_samples = max(self._played_samples, position.position_samples)
        at_s = asyncio.get_running_loop().time() - max(0, left) / self.sample_rate
        while left > 0 and self._waiting:
            frame = self._waiting.popleft()
            if frame.samples > left:
                self._waiting.appendleft(frame.slice(left, frame.samples))
                frame = frame.slice(0, left)
            self._recorder.agent(apply_gain(frame, self._gain_db) if self._gain_db else frame, at_s)
            at_s += frame.duration_s
            left -= frame.samples
        if position.cleared:
            self._waiting.clear()
        if self._on_position is not None:
            self._on_position(position)
