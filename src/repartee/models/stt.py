"""Speech to text, streaming.

An `STTStream` takes audio and hands events to its sink on the event loop: an `Interim` whenever its reading of the
open segment changes, and exactly one `Final` for each `flush` (and, from a model with its own endpointing, for each
end of speech that it finds by itself).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repartee.errors import ModelError

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["STT", "Final", "Interim", "STTCapabilities", "STTEvent", "STTStream", "Word"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it was spoken, in samples of the stream's input rate since its first frame."""

    text: str
    start_position_samples: int
    end_position_samples: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Interim:
    """How the open segment reads so far. Replaces the previous interim of this segment."""

    text: str
    stable_chars: int = 0
    """How many leading characters the model will not change any more."""


@dataclass(frozen=True, slots=True)
class Final:
    """A segment's final words; ``""`` where nothing was said. The next interim belongs to a new segment."""

    text: str
    confidence: float | None = None
    """0 to 1, where the model gives one."""
    words: tuple[Word, ...] = ()
    flush_id: int | None = None
    """Which `STTStream.flush` this answers; ``None`` where the model ended the segment by itself."""


STTEvent = Interim | Final


@dataclass(frozen=True, slots=True)
class STTCapabilities:
    """What a recogniser does and needs."""

    interim: bool = True
    """Whether `Interim`s come while speech goes on."""
    endpointing: bool = False
    """Whether it ends segments by itself (then audio must flow through silence too)."""
    word_times: bool = False
    sample_rate: int = 16_000
    """The rate it likes best, in Hz; a stream resamples what it gets."""
    languages: tuple[str, ...] = ("en",)


class STTStream(ABC):
    """Recognition of one speaker."""

    @abstractmethod
    def push(self, frame: AudioFrame) -> None:
        """Take mono audio of any length. Never blocks.

        Past its bound (stated by the model) it reports an error once rather than guess at words with audio missing.
        """

    @abstractmethod
    def flush(self) -> int:
        """End the open segment; its `Final` (with this call's id) follows as soon as the model has it."""

    @abstractmethod
    def cancel(self) -> None:
        """Throw the open segment away; no event about it comes any more."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release the stream. No event comes after this returns. Idempotent."""


class STT(ABC):
    """A recogniser, shared by any number of streams."""

    capabilities: STTCapabilities = STTCapabilities()

    @abstractmethod
    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker.

        Args:
            sample_rate: of the frames to come, in Hz.
            on_event: called on the event loop, in order.
            on_error: called at most once; no event comes after it.
        """

    async def prewarm(self) -> None:
        """Load what is needed, so the first words are not late. Default: nothing."""

    async def aclose(self) -> None:
        """Release shared resources once no stream is open. Default: nothing."""
