"""What a conversation is connected to: where audio comes from, where it goes, where text goes.

An `AudioOutput` is the place where *heard* is measured. It plays what was written, in order, and reports positions:
the number of samples (of its own rate, since it was opened) that have really left the loudspeaker. Nothing else in
the house estimates that number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.errors import ReparteeError

__all__ = ["AudioInput", "AudioOutput", "OutputCapabilities", "PlaybackPosition", "TextOutput"]


class AudioInput(ABC):
    """A source of mono audio: a microphone, a file, a socket. Iterating it gives frames until it ends.

    It may raise `DeviceError` when its device goes away.
    """

    sample_rate: int = 24_000

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[AudioFrame]: ...

    async def aclose(self) -> None:
        """Release the source. Idempotent. Default: nothing."""


@dataclass(frozen=True, slots=True)
class PlaybackPosition:
    """How much has been played. Positions never decrease, and count silence not at all."""

    position_samples: int
    """Samples that have left the loudspeaker since the output was opened, at the output's rate."""
    cleared: bool = False
    """Whether this answers a `AudioOutput.clear`: what was written before it and is not counted never plays."""
    estimated: bool = False
    """Whether it was reckoned from time because nothing at the far end acknowledges."""


@dataclass(frozen=True, slots=True)
class OutputCapabilities:
    """What an output does."""

    pause: bool = True
    gain: bool = True
    """Whether it can turn the volume down while it plays."""
    max_lead_ms: int | None = 200
    """How much audio it wants to hold ahead of what has been played. ``None``: as much as there is (a far end
    that keeps its own buffer)."""
    acknowledges: bool = True
    """Whether positions come from where the sound is made, rather than from an estimate."""


class AudioOutput(ABC):
    """A place that plays mono audio."""

    sample_rate: int = 24_000
    capabilities: OutputCapabilities = OutputCapabilities()

    @abstractmethod
    def open(
        self,
        *,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        """Begin. Both callbacks are called on the event loop, positions in order."""

    @abstractmethod
    def write(self, frame: AudioFrame) -> None:
        """Queue audio behind what is queued. Its rate is the output's. Never blocks."""

    @abstractmethod
    def clear(self) -> None:
        """Drop what has not been played, at once; one `PlaybackPosition` with ``cleared`` follows, even late.

        Also ends a pause, and turns the volume back up.
        """

    @abstractmethod
    def pause(self) -> None:
        """Stop playing and keep the rest. Nothing where it can't."""

    @abstractmethod
    def resume(self) -> None:
        """Go on where it paused."""

    def set_gain(self, db: float) -> None:
        """Turn the volume to ``db`` (0 is full) without a click. Nothing where it can't."""

    async def aclose(self) -> None:
        """Stop and release. Idempotent. Default: nothing."""


class TextOutput(ABC):
    """A place for the agent's words: captions or a terminal."""

    @abstractmethod
    def write(self, text: str, *, final: bool = False) -> None:
        """The next words of what is being said; ``final`` with the last (possibly empty) ones of a reply."""
