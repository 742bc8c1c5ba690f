"""Voice activity detection: how probable is it that a stretch of audio is speech?

A `VAD` gives one `VADStream` for each microphone. Streams take frames and hand one `SpeechProbability` for each
window to their sink; turning probabilities into "started" and "stopped" is the turn engine's work, not the model's.
Results may come later and from a shared batch, but always in order and on the event loop's thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from repartee.errors import ModelError

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["VAD", "SpeechProbability", "VADCapabilities", "VADStream"]


class SpeechProbability(msgspec.Struct, frozen=True, gc=False):
    """One window's result."""

    probability: float
    """0 to 1."""
    end_position_samples: int
    """Where the window ends, in samples of the stream's input rate since its first frame."""
    dbfs: float = -96.0
    """The window's level: RMS in dB relative to full scale."""


@dataclass(frozen=True, slots=True)
class VADCapabilities:
    """What a detector needs."""

    sample_rate: int = 16_000
    """The rate it likes best, in Hz; a stream resamples what it gets."""
    window_ms: int = 32
    tail_ms: float = 0.0
    """For how long after speech has ended its probability stays high, typically. An end of speech is dated back by it,
    so that silence is counted from where it began."""


class VADStream(ABC):
    """Detection on one microphone."""

    @abstractmethod
    def push(self, frame: AudioFrame) -> None:
        """Take mono audio of any length. Never blocks; past its bound the oldest waiting audio is dropped."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what was heard; the next frame starts fresh (positions go on counting)."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release the stream. No result comes after this returns. Idempotent."""


class VAD(ABC):
    """A voice activity detector, shared by any number of streams."""

    capabilities: VADCapabilities = VADCapabilities()

    @abstractmethod
    def stream(
        self,
        *,
        sample_rate: int,
        on_result: Callable[[SpeechProbability], None],
        on_error: Callable[[ModelError], None],
    ) -> VADStream:
        """Begin detection on one microphone.

        Args:
            sample_rate: of the frames to come, in Hz.
            on_result: called on the event loop, in order, once a window.
            on_error: called at most once; no result comes after it.
        """

    async def prewarm(self) -> None:
        """Load what is needed, so the first window is not slow. Default: nothing."""

    async def aclose(self) -> None:
        """Release shared resources once no stream is open. Default: nothing."""
