"""A `VAD` whose results are known beforehand."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from repartee.errors import ModelError
from repartee.models import VAD, SpeechProbability, VADCapabilities, VADStream
from repartee.testing import speech
from repartee.testing._delay import DelayLine
from repartee.testing.faults import Fault, FaultPlan

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["ScriptedVAD"]


class ScriptedVAD(VAD):
    """Tells speech from silence without a model: by the samples, or by a list of times.

    Args:
        intervals: when there is speech, as ``(start_s, end_s)`` in seconds of the stream's own audio, in order.
            Default: none, then each window with a sample other than 0 is speech.
        probability: of a window with speech. Default: 0.98.
        silence_probability: of one without. Default: 0.01.
        noise_probability: of one with `repartee.testing.speech.noise` alone. Default: as for speech.
        lag_s: how long after a window's last sample was pushed its result comes. Default: 0.
        window_ms: length of a window. Default: 32.
        sample_rate: the rate it likes best; it takes any. Default: 24000, so that scripted audio is not resampled.
        faults: a call is a stream (from 1, over all of this model's), a result a window.
    """

    def __init__(
        self,
        intervals: Sequence[tuple[float, float]] | None = None,
        *,
        probability: float = 0.98,
        silence_probability: float = 0.01,
        noise_probability: float | None = None,
        lag_s: float = 0.0,
        window_ms: int = 32,
        sample_rate: int = 24_000,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.capabilities = VADCapabilities(sample_rate, window_ms)
        self.intervals = None if intervals is None else sorted(intervals)
        self.probability = probability
        self.silence_probability = silence_probability
        self.noise_probability = probability if noise_probability is None else noise_probability
        self.lag_s = lag_s
        self.plan = FaultPlan(faults, "vad")
        self.streams: list[ScriptedVADStream] = []
        """Every stream, in the order in which they were opened."""

    @property
    def open_streams(self) -> int:
        """How many streams have not been closed."""
        return sum(not stream.closed for stream in self.streams)

    def stream(
        self,
        *,
        sample_rate: int,
        on_result: Callable[[SpeechProbability], None],
        on_error: Callable[[ModelError], None],
    ) -> VADStream:
        stream = ScriptedVADStream(self, len(self.streams) + 1, sample_rate, on_result, on_error)
        self.streams.append(stream)
        return stream


class ScriptedVADStream(VADStream):
    """One stream of a `ScriptedVAD`."""

    def __init__(
        self,
        vad: ScriptedVAD,
        call: int,
        sample_rate: int,
        on_result: Callable[[SpeechProbability], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        self._vad = vad
        self._call = call
        self._sample_rate = sample_rate
        self._window = sample_rate * vad.capabilities.window_ms // 1000
        self._on_result = on_result
        self._on_error = on_error
        self._line = DelayLine()
        self._pending = bytearray()  # less than a window between pushes
        self._position = 0
        self._windows = 0
        self._ended = False
        self.resets = 0
        """How often `reset` was called."""

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._line.closed

    def push(self, frame: AudioFrame) -> None:
        self._pending += frame.data
        size = 2 * self._window
        while len(self._pending) >= size and not self._ended:
            window = bytes(self._pending[:size])
            del self._pending[:size]
            self._position += self._window
            self._take(window)

    def _take(self, window: bytes) -> None:
        lag = self._vad.lag_s
        fault = self._vad.plan.at(self._call, self._windows)
        self._windows += 1
        if fault is not None and fault.kind == "slow":
            lag += fault.delay_s
        elif fault is not None:
            self._ended = True
            if fault.kind == "fail":
                self._line.after(lag, self._on_error, self._vad.plan.model_error(fault, self._call))
            return
        result = SpeechProbability(self._judge(window), self._position, speech.level_dbfs(window))
        self._line.after(lag, self._on_result, result)

    def _judge(self, window: bytes) -> float:
        vad = self._vad
        if vad.intervals is not None:
            end_s = self._position / self._sample_rate
            start_s = (self._position - self._window) / self._sample_rate
            at = bisect.bisect_left(vad.intervals, (end_s, end_s))
            speaks = any(end > start_s for _, end in vad.intervals[:at])
            return vad.probability if speaks else vad.silence_probability
        if speech.is_silent(window):
            return vad.silence_probability
        if vad.noise_probability != vad.probability and not speech.says_something(window):
            return vad.noise_probability
        return vad.probability

    def reset(self) -> None:
        self.resets += 1
        # Positions go on counting, as the interface wants it: what waits is skipped, not forgotten.
        self._position += len(self._pending) // 2
        self._pending.clear()

    async def aclose(self) -> None:
        self._line.close()
        self._pending.clear()
