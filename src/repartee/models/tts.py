"""Text to speech, streaming, with word timings where the voice has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repartee.errors import ConfigurationError

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["TTS", "SpeechChunk", "TTSCapabilities", "TimedWord"]


@dataclass(frozen=True, slots=True)
class TimedWord:
    """Where a word is in the synthesized text and in the audio that it became."""

    text_start: int
    """Index of its first character in the text given to `TTS.synthesize`."""
    text_end: int
    """Index behind its last character."""
    start_ms: float
    """When it begins, from the first sample of this synthesis."""


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A stretch of speech, and the words that begin in it (a word may be announced early, never twice)."""

    audio: AudioFrame
    words: tuple[TimedWord, ...] = ()


@dataclass(frozen=True, slots=True)
class TTSCapabilities:
    """What a voice does."""

    sample_rate: int = 24_000
    """Of the audio that it gives, in Hz."""
    word_times: bool = False
    min_words: int = 1
    """The fewest words in a piece that it still speaks well: a voice with good prosody wants a clause."""
    languages: tuple[str, ...] = ("en",)
    voices: tuple[str, ...] = ()
    """Names for `TTS.with_voice`, that of its own voice first; it may know more. ``()``: it has one voice."""


class TTS(ABC):
    """A voice, shared by any number of sessions."""

    capabilities: TTSCapabilities = TTSCapabilities()

    @abstractmethod
    def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak one piece of text: mono audio, in order, the first of it as early as it can be.

        Closing the generator stops the synthesis. Text without anything to say gives no chunk.

        Raises:
            ModelError: the voice failed.
        """

    def with_voice(self, name: str) -> TTS:
        """The same engine with another of its voices: at the same sample rate, for as long as this one is open.

        What it needs it shares with this one, so it costs next to nothing, and closing it does nothing. Any number
        of them may speak at the same time. Default: there is no other voice.

        Raises:
            ConfigurationError: there is no such voice; says which there are.
        """
        raise ConfigurationError(f"{type(self).__name__} has one voice, and none by the name {name!r}")

    async def prewarm(self) -> None:
        """Load what is needed, so the first sound is not late. Default: nothing."""

    async def aclose(self) -> None:
        """Release shared resources. Default: nothing."""
